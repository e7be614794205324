/* The filters of a module, as passes that lower precision see them. Not for other folders.
 *
 * Weights of which one filter is made go together, and so do all ops that read them: two versions
 * of a weight would both be stored. */
#ifndef EBRU_PASSES_MANAGER_FILTERS_H
#define EBRU_PASSES_MANAGER_FILTERS_H

#include "passes/manager/forms.h"

/* Weights that go together, and their ops. */
typedef struct pass_filter {
    uint32_t parent;    /* a tree of indices: its root stands for all of it */
    bool kept;          /* some op cannot be lowered */
    bool used;          /* by a function that is no twin (base/lora_slots.h) */
    ir_precision class; /* the strictest of its weights' */
    pass_costs costs;
} pass_filter;

typedef struct pass_filters {
    pass_context *c;
    bool (*is_candidate)(
        const ir_node *n); /* an op that may be lowered, with a filter or without */
    pass_filter *of;       /* per weight of the module */
    /* of the function that is open, per node */
    ir_freq *freq;
    bool *constant;
    uint32_t *weight; /* of a filter, and of what it is made of: one of its weights */
} pass_filters;

/* Whether an op may be lowered, whatever becomes of others with its filter; else why not is
 * appended. The function is open. */
typedef bool pass_filter_fits(const pass_filters *s, const ir_func *f, uint32_t node,
                              base_str *why);

/* Fills s for the module: filters with their classes, whether all their ops fit, and costs. */
void pass_filters_begin(pass_filters *s, pass_context *c, const ir_module *m,
                        bool (*is_candidate)(const ir_node *n), pass_filter_fits *fits);
void pass_filters_end(pass_filters *s);
void pass_filters_open(pass_filters *s, const ir_func *f);
void pass_filters_close(const pass_filters *s);
/* Whether it is a conv2d or linear: operand IR_IN(conv2d, w) is its filter. */
bool pass_has_filter(const ir_node *n);
/* The filter of an op of the open function; NULL where it has none, or it is made of no weights. */
const pass_filter *pass_filter_of(const pass_filters *s, const ir_node *n);
/* Whether the quantization file leaves the op in a class that has products of this precision; else
 * the reason. */
bool pass_filter_allows(const pass_filter *filter, ir_precision p, base_str *why);

#endif
