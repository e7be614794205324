/* Filters and the weights they are made of; see filters.h. */
#include "passes/manager/filters.h"
#include "base/lora_slots.h"
#include "passes/manager/match.h"

enum { W = IR_IN(conv2d, w) }; /* of conv2d and of linear */
_Static_assert(IR_IN(linear, w) == W, "filters alike");
static const uint32_t NONE = UINT32_MAX;

bool pass_has_filter(const ir_node *n) {
    return n->op == IR_OP_conv2d || n->op == IR_OP_linear;
}

static pass_filter *set_of(const pass_filters *s, uint32_t weight) {
    pass_filter *all = s->of;
    while (all[weight].parent != weight)
        weight = all[weight].parent = all[all[weight].parent].parent;
    return &all[weight];
}

static pass_filter *filter_of(const pass_filters *s, const ir_node *n) {
    const uint32_t weight = pass_has_filter(n) ? s->weight[n->operand[W].id] : NONE;
    return weight == NONE ? NULL : set_of(s, weight);
}

const pass_filter *pass_filter_of(const pass_filters *s, const ir_node *n) {
    return filter_of(s, n);
}

bool pass_filter_allows(const pass_filter *filter, ir_precision p, base_str *why) {
    return !filter || pass_class_allows(filter->class, p) ||
           pass_no(why, "the quantization file asks for %s", ir_precision_name[filter->class]);
}

static void join(const pass_filters *s, uint32_t a, uint32_t b) {
    pass_filter *to = set_of(s, a), *from = set_of(s, b);
    if (ir_precision_error[from->class] < ir_precision_error[to->class]) to->class = from->class;
    from->parent = to->parent;
}

/* What node i of the function is made of goes together, and is known by one of the weights. */
static void join_operands(const pass_filters *s, const ir_func *f, uint32_t i) {
    const ir_node *n = &f->nodes.items[i];
    if (n->op == IR_OP_weight) s->weight[i] = (uint32_t)IR_ATTRS(n, weight)->index;
    for (uint32_t k = 0; k < n->operand_count; k++) {
        if (!ir_ref_ok(n->operand[k]) || s->weight[n->operand[k].id] == NONE) continue;
        const uint32_t other = s->weight[n->operand[k].id];
        if (s->weight[i] == NONE) s->weight[i] = other;
        join(s, s->weight[i], other);
    }
}

void pass_filters_open(pass_filters *s, const ir_func *f) {
    const size_t count = f->nodes.count;
    s->freq = ir_frequencies(f);
    s->constant = ir_constants(f);
    s->weight = base_alloc(count * sizeof *s->weight + 1);
    bool *mark = base_alloc(count + 1); /* filters, and what they are made of */
    for (uint32_t i = (uint32_t)count; i-- > 0;) {
        const ir_node *n = &f->nodes.items[i];
        s->weight[i] = NONE;
        if (s->is_candidate(n) && pass_has_filter(n)) mark[n->operand[W].id] = true;
        for (uint32_t k = 0; k < n->operand_count && mark[i] && s->constant[i]; k++)
            if (ir_ref_ok(n->operand[k])) mark[n->operand[k].id] = true;
    }
    for (uint32_t i = 0; i < count; i++)
        if (mark[i] && s->constant[i]) join_operands(s, f, i);
    base_free(mark);
}

void pass_filters_close(const pass_filters *s) {
    base_free(s->freq);
    base_free(s->constant);
    base_free(s->weight);
}

/* Adds what the function's ops cost to their filters, and keeps those of ops that cannot be
 * lowered. A twin has a say in filters of its own only: what is chosen for its function's must be
 * what is chosen without it. */
static void count_uses(const pass_filters *s, ir_func *f, pass_filter_fits *fits) {
    const bool twin = base_is_lora_twin(f->name);
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        pass_filter *filter = s->is_candidate(n) ? filter_of(s, n) : NULL;
        if (!filter || (twin && filter->used)) continue;
        filter->used |= !twin;
        base_str why = {0};
        filter->kept |= !fits(s, f, i, &why);
        base_str_free(&why);
        pass_costs_add(&filter->costs, s->c, f, (ir_ref){i});
    }
}

void pass_filters_begin(pass_filters *s, pass_context *c, const ir_module *m,
                        bool (*is_candidate)(const ir_node *n), pass_filter_fits *fits) {
    *s = (pass_filters){.c = c, .is_candidate = is_candidate};
    s->of = base_alloc((m->weights.count + 1) * sizeof *s->of);
    for (uint32_t i = 0; i < m->weights.count; i++) {
        s->of[i].parent = i;
        s->of[i].class = pass_class_of(c, m->weights.items[i].name);
    }
    /* all are joined before the first count, and twins are counted last */
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < m->funcs.count; i++) {
            ir_func *f = m->funcs.items[i];
            if (round && base_is_lora_twin(f->name) != (round == 2)) continue;
            pass_filters_open(s, f);
            if (round) count_uses(s, f, fits);
            pass_filters_close(s);
        }
    for (uint32_t i = 0; i < m->weights.count; i++) s->of[i].costs.int8 = !s->of[i].kept;
}

void pass_filters_end(pass_filters *s) {
    base_free(s->of);
}
