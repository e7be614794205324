/* What passes see of a run, and of the CPU level behind it what they see only by asking. */
#include "passes/manager/manager.h"

#include <stdlib.h>
#include <string.h>

/* A context with what no pass sees. */
typedef struct context {
    pass_context base;       /* first */
    const ir_target *target; /* of the CPU level */
    pass_choices *choices;
} context;

const ir_target *pass_level_target(const pass_context *c) {
    return ((const context *)c)->target;
}

pass_choices *pass_choices_of(const pass_context *c) {
    return ((const context *)c)->choices;
}

pass_context *pass_context_new(ir_module *m, const ir_target *target) {
    context *c = base_alloc(sizeof *c);
    c->target = target;
    c->choices = base_alloc(sizeof *c->choices);
    pass_choices_begin(c->choices);
    c->base.module = m;
    c->base.target = target;
    c->base.arena = base_arena_new();
    return &c->base;
}

void pass_context_free(pass_context *c) {
    if (!c) return;
    base_arena_free(c->arena);
    pass_forget_numbers(c);
    base_free(c->matches.items);
    base_free(c->timings.items);
    base_free(c->memory.funcs.items);
    base_free(c->memory.weights.items);
    pass_choices_free(pass_choices_of(c));
    base_free(pass_choices_of(c));
    base_free(c);
}

bool pass_class_allows(ir_precision class, ir_precision p) {
    return p == IR_PRECISION_F32 || p == class ||
           (class == IR_PRECISION_INT8 && p == IR_PRECISION_BF16);
}

static int name_of(const void *name, const void *row) {
    return strcmp(name, ((const pass_weight_class *)row)->weight);
}

ir_precision pass_class_of(const pass_context *c, const char *weight) {
    const pass_options *o = c->options;
    const pass_weight_class *row =
        o->class_count ? bsearch(weight, o->classes, o->class_count, sizeof *row, name_of) : NULL;
    return row ? row->precision : o->precision;
}

ir_way pass_forced(const pass_context *c) {
    const ir_target *t = pass_level_target(c);
    return t ? t->force : (ir_way){IR_FORM_NONE, IR_PRECISION_F32};
}

double pass_measured(const pass_context *c, ir_func *f, ir_ref node, ir_way way) {
    const ir_target *t = pass_level_target(c);
    bool open = !c->options->widest; /* else the levels would have to agree */
    return open && t && t->measured ? t->measured(t, f, node, way) : 0;
}

bool pass_is_off(const pass_context *c, uint32_t index) {
    return pass_choices_of(c)->off[index];
}
