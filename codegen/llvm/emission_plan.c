/* Finds the distinct kernels of a module and the order of work in its functions. */
#include "codegen/llvm/emission_plan.h"
#include "base/cpu/cpu.h"

#include "base/hash.h"
#include "codegen/target/tiles.h"

#include <string.h>

/* Kernels an object: few enough that the cores share a network's kernels evenly. */
enum { WRAPPERS_PER_PART = 12, MAX_PARTS = 16 };

bool cg_node_runs(const ir_node *n) {
    return n->binding && (n->place.kind == IR_AT_ARENA || n->place.kind == IR_AT_OUTPUT);
}

static bool bad_node(base_diag *d, const ir_func *f, ir_ref r, const char *why) {
    base_str text = {0};
    ir_print_node(f, r, &text);
    base_error(d, NULL, "%s: %s: %s", f->name, text.data ? text.data : "?", why);
    base_str_free(&text);
    return false;
}

/* The kernel's code at the level has these tiles. */
static bool check_tiles(base_diag *d, const cg_plan *plan, const ir_func *f, ir_ref r,
                        const cg_kernel *k) {
    const ir_node *n = ir_get(f, r);
    if (!cg_has_tiles(k->name)) return true;
    cg_params p;
    base_str why = {0};
    k->read(n->binding->params, &p);
    const bool fine = cg_tiles_legal(k, &p, plan->target->isa, cg_is_overwriting(n), &why);
    if (!fine) {
        base_str text = {0};
        base_str_addf(&text, "%s has no such tiles at %s: %s", k->name, plan->target->base.level,
                      why.data);
        bad_node(d, f, r, text.data);
        base_str_free(&text);
    }
    base_str_free(&why);
    return fine;
}

/* Bindings may come from a text file: names, order and kinds of the parameters must be the
 * kernel's, and their tiles the level's. */
static bool check_binding(base_diag *d, const cg_plan *plan, const ir_func *f, ir_ref r,
                          const cg_kernel *k) {
    const ir_binding *b = ir_get(f, r)->binding;
    if (b->tasks < 1 || b->tasks > INT32_MAX)
        return bad_node(d, f, r, "the number of tasks is out of range");
    if (!k) return true;
    if (b->param_count != k->field_count)
        return bad_node(d, f, r, "the binding has another number of parameters");
    for (uint32_t i = 0; i < k->field_count; i++) {
        const ir_param *p = &b->params[i];
        if (strcmp(p->name, k->field[i]) != 0)
            return bad_node(d, f, r, "the binding has other parameters than the kernel");
        if (k->types[i] == 'i' && (p->is_float || p->i < INT32_MIN || p->i > UINT32_MAX))
            return bad_node(d, f, r, "a parameter is out of range");
    }
    return check_tiles(d, plan, f, r, k);
}

static void param_text(const ir_param *p, char type, base_str *out) {
    if (type == 'f')
        base_str_addf(out, ",%a", p->is_float ? p->f : (double)p->i);
    else
        base_str_addf(out, ",%lld", (long long)p->i);
}

/* The loop nest without its counters of tasks says everything about an elementwise loop. */
static void ew_key(const cg_ew_plan *p, base_str *out) {
    for (uint32_t i = 0; i < p->axes; i++) base_str_addf(out, ",%lld", (long long)p->extent[i]);
    base_str_addf(out, ";%lld+%u lanes %u axis %d", (long long)p->vectors, p->tail, p->lanes,
                  p->block_axis);
    for (uint32_t s = 0; s <= p->operands; s++) {
        const cg_ew_stream *e = s < p->operands ? &p->in[s] : &p->out;
        base_str_addf(out, ";%lld%s%s", (long long)e->vector, e->splat ? "s" : "",
                      e->aligned ? "a" : "");
        for (uint32_t i = 0; i < p->axes; i++) base_str_addf(out, ",%lld", (long long)e->outer[i]);
    }
    for (uint32_t i = 0; i < p->step_count; i++) {
        const ir_expr_step *s = &p->steps[i];
        if (s->kind == IR_EXPR_OPERAND) base_str_addf(out, " $%u", s->operand);
        if (s->kind == IR_EXPR_NUMBER) base_str_addf(out, " %a", s->number);
        if (s->kind == IR_EXPR_OP) base_str_addf(out, " %s", ir_op_get(s->op)->name);
    }
}

/* Equal parameters mean equal cuts in most cases; not where a hand set them. */
static void cuts_text(const cg_cuts *c, base_str *out) {
    for (uint32_t i = 0; c && i < c->rows; i++) {
        base_str_addf(out, ";%d", c->row[i].tasks);
        for (uint32_t k = 0; k < c->fields; k++) base_str_addf(out, ",%d", c->row[i].value[k]);
    }
}

static bool key_of(base_diag *d, const cg_plan *plan, const ir_func *f, ir_ref r, cg_wrapper *w,
                   base_str *out) {
    const ir_node *n = ir_get(f, r);
    const ir_binding *b = n->binding;
    bool ew = strcmp(b->kernel, "ew") == 0;
    *w = (cg_wrapper){.f = f, .node = n, .kernel = ew ? NULL : cg_kernel_find(b->kernel)};
    if (!ew && !w->kernel) return bad_node(d, f, r, "bound to an unknown kernel");
    if (!check_binding(d, plan, f, r, w->kernel)) return false;
    w->operands = cg_operand_slots(f, n);
    for (uint32_t i = 0; i < w->operands.count; i++)
        if (w->operands.slot[i] != CG_SLOT_NONE) w->present |= 1u << i;
    base_str_addf(out, "%s/%x", b->kernel, w->present);
    if (ew) {
        cg_ew_plan loop;
        base_str why = {0};
        bool fine = cg_ew_make_plan(f, n, &loop, &why) && loop.tasks == b->tasks;
        if (!fine) bad_node(d, f, r, why.data ? why.data : "the binding does not fit the node");
        base_str_free(&why);
        if (fine) ew_key(&loop, out);
        return fine;
    }
    for (uint32_t i = 0; i < b->param_count; i++)
        param_text(&b->params[i], w->kernel->types[i], out);
    cuts_text(b->cuts, out);
    return true;
}

/* Wrappers of the kernel so far (NULL: of loops), for the name of the next, which is counted. */
static uint32_t count_of(cg_plan *p, const cg_kernel *k) {
    for (size_t i = 0; i < p->of_kernel.count; i++)
        if (p->of_kernel.items[i].kernel == k) return p->of_kernel.items[i].count++;
    BASE_PUSH(&p->of_kernel, ((cg_kernel_count){k, 1}));
    return 0;
}

/* Index of the wrapper with that key, new if there is none yet; UINT32_MAX on errors. */
static uint32_t wrapper_of(base_diag *d, cg_plan *p, const ir_func *f, ir_ref r) {
    base_str key = {0};
    cg_wrapper w;
    uint32_t found = UINT32_MAX;
    if (key_of(d, p, f, r, &w, &key)) {
        const uint32_t hash = base_hash_text(key.data);
        uint32_t at = base_index_start(&p->by_key, hash), id;
        while (found == UINT32_MAX && base_index_next(&p->by_key, hash, &at, &id))
            /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): what has an id is there */
            if (strcmp(p->wrappers.items[id].key, key.data) == 0) found = id;
        if (found == UINT32_MAX) {
            const uint32_t same = count_of(p, w.kernel);
            found = (uint32_t)p->wrappers.count;
            base_index_add(&p->by_key, hash, found);
            w.key = base_arena_strdup(p->arena, key.data);
            w.name = base_arena_printf(p->arena, "ebru.%s.%s.%u", base_isa_suffix(p->target->isa),
                                       w.kernel ? w.kernel->name : "ew", same);
            BASE_PUSH(&p->wrappers, w);
        }
    }
    base_str_free(&key);
    return found;
}

/* A name as a symbol: letters, digits, '_' and '.' stay. The index keeps different names different.
 */
static const char *symbol_of(const cg_plan *p, const char *name, size_t index) {
    char *s = base_arena_printf(p->arena, "ebru.%s.f%zu.%.80s", base_isa_suffix(p->target->isa),
                                index, name);
    for (char *c = s; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              *c == '.'))
            *c = '_';
    return s;
}

void cg_part_symbol(const cg_func_plan *f, uint32_t part, char text[CG_SYMBOL_SIZE]) {
    if (cg_part_count(f) == 1)
        snprintf(text, CG_SYMBOL_SIZE, "%s", f->symbol);
    else
        snprintf(text, CG_SYMBOL_SIZE, "%s.%u", f->symbol, part);
}

static bool plan_func(base_diag *d, cg_plan *p, const ir_func *f) {
    cg_func_plan fp = {.f = f, .symbol = symbol_of(p, f->name, p->funcs.count)};
    cg_hazards h = {{0}, {0}};
    bool fine = true;
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        ir_ref r = {i};
        if (!cg_node_runs(n)) continue;
        for (uint32_t k = 0; k < n->operand_count; k++)
            if (ir_ref_ok(n->operand[k]) && ir_get(f, n->operand[k])->place.kind == IR_UNPLACED)
                fine = bad_node(d, f, r, "an operand has no place");
        cg_op op = {r, wrapper_of(d, p, f, r), false};
        if (op.wrapper == UINT32_MAX) fine = false;
        op.barrier = cg_hazard(&h, f, n, r);
        BASE_PUSH(&fp.ops, op);
    }
    for (size_t i = 0; i < f->outputs.count; i++)
        if (ir_get(f, f->outputs.items[i].value)->place.kind != IR_AT_OUTPUT ||
            ir_get(f, f->outputs.items[i].value)->place.offset != i)
            fine =
                bad_node(d, f, f->outputs.items[i].value, "an output is not placed in its buffer");
    cg_hazards_free(&h);
    BASE_PUSH(&p->funcs, fp);
    return fine;
}

bool cg_make_plan(base_diag *d, const cg_target_info *target, const ir_module *m, cg_plan *p) {
    *p = (cg_plan){.arena = base_arena_new(), .target = target, .module = m};
    if (m->level != IR_PLACED) {
        base_error(d, NULL, "code is generated from the placed level; this module is at level %s",
                   ir_level_name[m->level]);
        return false;
    }
    bool fine = true;
    for (size_t i = 0; i < m->funcs.count; i++) fine &= plan_func(d, p, m->funcs.items[i]);
    p->parts = (uint32_t)(p->wrappers.count + WRAPPERS_PER_PART - 1) / WRAPPERS_PER_PART;
    if (p->parts < 1) p->parts = 1;
    if (p->parts > MAX_PARTS) p->parts = MAX_PARTS;
    return fine;
}

void cg_free_plan(cg_plan *p) {
    for (size_t i = 0; i < p->funcs.count; i++) base_free(p->funcs.items[i].ops.items);
    base_free(p->funcs.items);
    base_free(p->wrappers.items);
    base_free(p->of_kernel.items);
    base_index_free(&p->by_key);
    base_arena_free(p->arena);
}
