/* Ways to compute an op, what each costs, and which is the best one. Not for other folders.
 *
 * One rule decides, for a filter over all its uses (two versions of it would both be stored), among
 * the ways that the error class of --precision= allows, or of a quantization file. lower_int8 and
 * lower_precision carry out the precision of the way that is chosen, choose_winograd its form; all
 * ask here, so that they agree. */
#ifndef EBRU_PASSES_MANAGER_FORMS_H
#define EBRU_PASSES_MANAGER_FORMS_H

#include "passes/passes.h"

/* The ways, a row each: PASS_WAY(ID, form, precision, name). A class allows those that
 * pass_class_allows says. Within a precision the direct sum stands first; precisions of one class
 * stand from the most precise on. Not here is F(4,3)
 * with products in bf16, whose error is six times that of the direct sum, nor in bf16x3, five
 * times. A row for each precision that a CPU level has kernels for. */
#define PASS_WAYS(PASS_WAY)                                                                        \
    PASS_WAY(DIRECT, DIRECT, F32, "direct")                                                        \
    PASS_WAY(F23, WINOGRAD_2, F32, "F(2,3)")                                                       \
    PASS_WAY(F43, WINOGRAD_4, F32, "F(4,3)")                                                       \
    PASS_WAY(BF16X3, DIRECT, BF16X3, "direct")                                                     \
    PASS_WAY(F23_BF16X3, WINOGRAD_2, BF16X3, "F(2,3)")                                             \
    PASS_WAY(BF16, DIRECT, BF16, "direct")                                                         \
    PASS_WAY(F23_BF16, WINOGRAD_2, BF16, "F(2,3)")                                                 \
    PASS_WAY(INT8, DIRECT, INT8, "direct")
enum {
#define PASS_WAY(ID, form, precision, name) PASS_WAY_##ID,
    PASS_WAYS(PASS_WAY)
#undef PASS_WAY
        PASS_WAY_COUNT
};
/* The way of this index; its name. */
ir_way pass_way(uint32_t index);
const char *pass_way_name(uint32_t index);

/* What the ways cost of a filter, or of an op without one. */
typedef struct pass_costs {
    double estimate[PASS_WAY_COUNT]; /* in products of f32, for one picture */
    double ns[PASS_WAY_COUNT];
    uint32_t uses, measured[PASS_WAY_COUNT]; /* uses, and those of them a record has the time of */
    bool winograd;                           /* some use can be done by Winograd */
    bool direct_only; /* some use must not: the filter would have two forms */
    bool int8;        /* all uses can be done in int8; who asks sets it */
} pass_costs;

/* True for a conv2d of 3x3 and stride 1 over a packed weight: Winograd is for it. The weight's index
 * goes to *weight; else why not is appended (may be NULL). */
bool pass_has_winograd(const ir_func *f, const ir_node *n, uint32_t *weight, base_str *why);
/* Adds one use: a conv2d, linear or attention. */
void pass_costs_add(pass_costs *costs, const pass_context *c, ir_func *f, ir_ref node);
/* Whether a convolution of a doubled input is done by phases: upsample_phases can, and is left out
 * neither altogether nor there. */
bool pass_in_phases(const pass_context *c, const ir_func *f, ir_ref node);
/* The best way within a class; PASS_WAY_*. */
uint32_t pass_best_way(const pass_context *c, const pass_costs *costs, ir_precision class);
/* The best of a precision within the class that it names. */
uint32_t pass_best_way_of(const pass_context *c, const pass_costs *costs, ir_precision precision);
/* Appends what the ways of a class take: "estimated f32 direct 1.00, F(2,3) 0.62; bf16 direct 0.55"
 * relative to the first, or "measured .. ms". */
void pass_costs_say(const pass_context *c, const pass_costs *costs, ir_precision class,
                    base_str *out);

#endif
