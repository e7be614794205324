/* Passes: their register, the manager, and the reports they leave.
 *
 * A pass is one file with one public function `bool pass_NAME(pass_context *, ir_func *)` or, for
 * passes over the whole module (stage splitting), `bool pass_NAME(pass_context *, ir_module *)`; it
 * returns whether it changed anything. The manager, not the pass, verifies, prints, dumps, times,
 * stops and bisects. Order, levels and contracts stand in passes.def. */
#ifndef EBRU_PASSES_PASSES_H
#define EBRU_PASSES_PASSES_H

#include "ir/ir.h"
#include "ir/target.h"

/* One decision of a fusion pass, kept for the report: what was looked at, whether it matched, and
 * if not, the condition that failed. */
typedef struct pass_match {
    const char *pass;
    const char *func;
    const char *what; /* e.g. "group_norm + silu" */
    const char *op;   /* of the node looked at */
    const char *node; /* text of the node looked at, e.g. "%41 silu : f32[2,320,64,64]" */
    /* NULL when matched; else the failed condition, e.g. "group_norm %40 has 2 users" */
    const char *reason;
    const char *costs; /* what the ways to compute the node take, where compared; or NULL */
    ir_origin origin;
    /* JSON path of the place in the model's file, once somebody has looked; or NULL */
    const char *path;
} pass_match;

typedef struct pass_timing {
    const char *pass;
    double ms;
    uint32_t nodes_before, nodes_after;
    bool changed;
} pass_timing;

/* What the memory plan of a function costs. */
typedef struct pass_plan {
    const char *func;
    uint64_t arena_bytes; /* as planned */
    uint64_t bound;       /* the most bytes alive at one node: no plan can need less */
    uint64_t total;       /* the sum of all buffers, as if each had its own */
} pass_plan;

/* A packed weight's place in the weights blob; equal expressions share one, over all functions of
 * the module. */
typedef struct pass_packed_offset {
    const char *key; /* the expression that computes it, e.g. "pack_vector(@unet/conv_in.bias)" */
    uint64_t offset, bytes;
} pass_packed_offset;

/* What plan_memory found out, besides the places it wrote into the IR. */
typedef struct pass_memory_plan {
    BASE_VEC(pass_plan) funcs; /* in module order */
    BASE_VEC(pass_packed_offset) weights;
    uint64_t weights_bytes; /* of the packed weights, all functions */
} pass_memory_plan;

typedef struct pass_contracts pass_contracts;

/* The error class of what reads a weight, where it is another than the module's. */
typedef struct pass_weight_class {
    const char *weight; /* its name in the module */
    ir_precision precision;
} pass_weight_class;

typedef struct pass_options {
    const char *passes;          /* comma-separated list, NULL = the default pipeline */
    const char *const *disabled; /* -fno-: "PASS", or "PASS@REGEX" for blocks that match */
    uint32_t disabled_count;
    const char *const *knobs; /* -f: "PASS=KNOB:VALUE"; of one knob the last counts */
    uint32_t knob_count;
    const char *stop_after; /* NULL = to the end */
    /* skip passes up to and including this one; NULL: what the meta "passes.after" says */
    const char *start_after;
    const char *print_before, *print_after; /* pass name, "all", or NULL; to `print_to` */
    /* after passes only where something changed; after all unless print_after names one */
    bool print_changed;
    /* POSIX extended regular expression: what is printed of the IR (print_filter.c), or NULL */
    const char *filter;
    bool no_loc; /* what is printed and dumped has no source locations */
    FILE *print_to;
    const char *dump_dir; /* numbered files NN-PASS.ir, 00-input.ir first; must exist */
    bool verify_each; /* verifier, print/parse round trip and given properties after every pass */
    bool time_passes; /* table to print_to at the end */
    /* -1 = no limit; of the applications of optional passes, a pass on a function (on the module)
     * each, only the first so many run */
    int64_t bisect_limit;
    /* plan_memory: one buffer a tensor, nothing in place (the plan's oracle) */
    bool separate_buffers;
    ir_precision precision; /* lower_precision: of products; f32 leaves all as it is */
    /* with precision int8: weights whose class is another, or the same; sorted by name */
    const pass_weight_class *classes;
    size_t class_count;
    /* the widest of the program's CPU levels, where it has several; NULL: the context's target is
     * its only one. See PASS_PER_LEVEL. */
    const ir_target *widest;
    /* for tests: PASS[:N], make the N-th node this pass produced compute something else */
    const char *fault;
    const pass_contracts *contracts; /* for tests: in place of those of passes.def; or NULL */
    bool quiet;                      /* no BISECT lines, no word of the fault */
} pass_options;
/* All off, no limit, printing to stderr. */
#define PASS_OPTIONS_DEFAULT ((pass_options){.print_to = stderr, .bisect_limit = -1})

typedef struct pass_context {
    ir_module *module;
    /* What the pass that runs may know of the target. A PASS_PER_LEVEL pass sees all of it; the
     * others see what all CPU levels of a program have in common: `lanes` and `rate`, the widest's;
     * everything else is zero. Between runs, pass_context_new's; NULL if that is. */
    const ir_target *target;
    const pass_options *options; /* of the run; set during pass_run */
    base_arena *arena;           /* of the reports */
    BASE_VEC(pass_match) matches;
    BASE_VEC(pass_timing) timings;
    pass_memory_plan memory;
    base_diag *diag; /* where pass_error reports; set during pass_run */
    bool failed;     /* a pass reported an error */
    /* Numbers of the nodes of the function that the pass decided about last: counting them for each
     * decision anew takes the square of the nodes. NULL before the first decision of a pass. */
    struct pass_numbers {
        const ir_func *f;
        const ir_node *nodes;
        size_t node_count, input_count;
        uint32_t *number;
    } numbers;
} pass_context;

/* Flags of a pass; passes.def says what they mean. */
enum { PASS_REQUIRED = 1, PASS_FUSION = 2, PASS_MODULE = 4, PASS_MOVES = 8, PASS_PER_LEVEL = 16 };

/* The index of each pass in default order. */
enum {
#define PASS(name, in, out, flags, needs, gives, keeps, summary, advice)        PASS_INDEX_##name,
#define MODULE_PASS(name, in, out, flags, needs, gives, keeps, summary, advice) PASS_INDEX_##name,
#include "passes/passes.def"
    PASS_COUNT
};

/* The index of each knob: PASS_KNOB_choose_winograd_f23. */
enum {
#define KNOB(pass, name, type, least, most, default, summary) PASS_KNOB_##pass##_##name,
#include "passes/passes.def"
    PASS_KNOB_COUNT
};

/* Properties, one bit each. */
enum {
#define PROP(name, giver, ender, establish, summary) PASS_PROP_INDEX_##name,
#include "passes/passes.def"
    PASS_PROP_COUNT
};
enum {
#define PROP(name, giver, ender, establish, summary) PASS_##name = 1 << PASS_PROP_INDEX_##name,
#include "passes/passes.def"
};

typedef struct pass_info {
    const char *name;
    const char *summary;
    const char *advice; /* what would have to be otherwise for it to refuse less; or NULL */
    ir_level level_in, level_out; /* levels of the module before and after */
    uint32_t flags;
    uint32_t needs, gives, keeps; /* properties */
} pass_info;
uint32_t pass_count(void);
const pass_info *pass_get(uint32_t index); /* in default order */
const pass_info *pass_find(const char *name);

/* A threshold of a pass. */
typedef enum pass_knob_type { PASS_KNOB_REAL, PASS_KNOB_WHOLE } pass_knob_type;
typedef struct pass_knob_info {
    uint32_t pass;
    const char *name, *summary;
    pass_knob_type type;
    double least, most, otherwise; /* otherwise: as long as nobody sets it */
} pass_knob_info;
const pass_knob_info *pass_knob_get(uint32_t index);
/* A value of it as help texts and messages show it. */
void pass_knob_print(const pass_knob_info *x, double value, base_str *out);

/* Where both run, pass `earlier` runs before pass `later`; indices in default order. */
typedef struct pass_order {
    uint32_t later, earlier;
    const char *reason;
} pass_order;
uint32_t pass_order_count(void);
const pass_order *pass_order_get(uint32_t index); /* as the rows of passes.def */

/* The whole register of contracts: pass_count() passes and the orders. */
struct pass_contracts {
    const pass_info *passes;
    const pass_order *orders;
    uint32_t order_count;
};
/* True when a list of passes (indices) holds all orders: where both passes of one stand in it, an
 * `earlier` stands before the first `later`. Otherwise the first that is broken. */
bool pass_list_in_order(const pass_contracts *k, const uint32_t *list, uint32_t count,
                        const pass_order **broken);
/* The rows of passes.def as `ebru opt --list-passes` prints them. */
void pass_list(base_str *out);

/* The target may be NULL as long as select_kernels does not run. Reports live as long as the
 * context. */
pass_context *pass_context_new(ir_module *m, const ir_target *target);
void pass_context_free(pass_context *c);
/* Runs the pipeline. False with diagnostics when an option names an unknown pass, a dump cannot be
 * written, no kernel fits a node (select_kernels) or a list is out of order for the module's level.
 * The default pipeline records the last pass in the module's meta "passes.after", so that a dump
 * goes on where it stopped; a list leaves the meta alone. A broken invariant after a pass is our
 * bug: the IR is written to <dump_dir or .>/ebru-bad.ir and the process ends with 70. */
bool pass_run(pass_context *c, const pass_options *options, base_diag *d);
/* Fusion report as text: per pass matched / refused with reason and place, what left the loop, the
 * memory plan. */
void pass_report(const pass_context *c, base_str *out);

/* Texts about nodes, equal but for the numbers behind '%': a node that goes renumbers all that
 * follow. */
bool pass_same_text(const char *a, const char *b);

/* For passes: note a match or a refusal. The node is one of f as it is when the call is made. */
void pass_matched(pass_context *c, const char *pass, const ir_func *f, ir_ref node,
                  const char *what);
void pass_refused(pass_context *c, const char *pass, const ir_func *f, ir_ref node,
                  const char *what, const char *reason, ...) __attribute__((format(printf, 6, 7)));
/* For passes: the user's module cannot be compiled; the run ends after this pass. */
void pass_error(pass_context *c, const ir_func *f, ir_ref node, const char *message, ...)
    __attribute__((format(printf, 4, 5)));

/* For passes: nanoseconds a node takes, done this way, where the target knows it and the choice is
 * open. 0: nobody measured it, or the program has several CPU levels, which share the form of their
 * weights. */
double pass_measured(const pass_context *c, ir_func *f, ir_ref node, ir_way way);
/* Whether a class has products of a precision: of its own and in f32; int8 those in bf16, too. */
bool pass_class_allows(ir_precision class, ir_precision p);
/* For passes: the class of a weight by its name. */
ir_precision pass_class_of(const pass_context *c, const char *weight);
/* What is asked for whatever is faster; form IR_FORM_NONE: the pass chooses. */
ir_way pass_forced(const pass_context *c);
/* Whether the whole run leaves a pass out (-fno-PASS), by its index. */
bool pass_is_off(const pass_context *c, uint32_t index);

/* What a conv2d or linear over packed weights takes when it is computed the best way that a class
 * of precision allows: in products of f32, for one picture (manager/forms.c). The module is one in
 * which the passes have run up to pack_weights, `o` the options of the run. For int8 the op has to
 * be one that can be lowered to it. */
double pass_class_cost(pass_context *c, const pass_options *o, ir_func *f, ir_ref node,
                       ir_precision class);

/* For passes: the value of a knob, by its index. */
double pass_knob(const pass_context *c, uint32_t index);
/* For passes: true, and the option is appended to `why` (may be NULL), where the pass is to leave
 * the node alone because of its block (-fno-PASS@REGEX). pass_decided() asks it by itself. */
bool pass_left_out(const pass_context *c, const char *pass, const ir_func *f, ir_ref node,
                   base_str *why);

/* properties.c: whether a property (one PASS_* bit) holds for a function; the reason is appended to
 * `why` when not (may be NULL). */
bool pass_holds(const ir_func *f, uint32_t property, base_str *why);

#define PASS(name, in, out, flags, needs, gives, keeps, summary, advice)                           \
    bool pass_##name(pass_context *c, ir_func *f);
#define MODULE_PASS(name, in, out, flags, needs, gives, keeps, summary, advice)                    \
    bool pass_##name(pass_context *c, ir_module *m);
#include "passes/passes.def"

#endif
