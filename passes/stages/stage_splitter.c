/* The stage splitter: a function becomes up to three by how often its inputs change.
 *
 * A node belongs to the first stage in which all it depends on is known. From the outputs back, a
 * stage computes the nodes that belong to it. A node of an earlier stage becomes an input, and an
 * output of the earlier stage, unless it is a mere change of shape: that is repeated where it is
 * needed, so that the value behind it crosses. Values that only depend on weights are repeated too.
 * So the cheapest frontier crosses: of x and silu(x) only what a later stage reads. */
#include "passes/stages/stage_splitter.h"
#include "passes/manager/match.h"

#include <string.h>

enum { PROMPT, SCHEDULE, STEP, STAGES };
static const char *const stage_name[STAGES] = {"prompt", "schedule", "step"};
static const ir_freq stage_freq[STAGES] = {IR_PROMPT, IR_SCHEDULE, IR_STEP};

/* What is split, and how. */
typedef struct pass_split {
    pass_context *c;
    const char *pass; /* for the report */
    ir_func *f;
    const char *base; /* name of the network: BASE.prompt, BASE.schedule, BASE.step */
    bool again;       /* see split.h */
} pass_split;

typedef struct split {
    const pass_split *o;
    ir_module *m;
    const ir_func *from;
    bool *constant;
    uint8_t *stage_of;    /* stage of each node of `from` */
    bool *crosses;        /* the node is passed from its stage to a later one */
    bool *need[STAGES];   /* the node stands in this stage, as a computation or as an input */
    const char **name;    /* of nodes that cross */
    ir_func *old[STAGES]; /* functions that exist already */
    ir_func *to[STAGES];
    ir_ref *map[STAGES]; /* node of `from` -> node of to[stage] */
} split;

/* ---- stages ---- */

/* What is repeated rather than passed on. Transposes belong to patterns (heads of attention) that
 * later passes look for on one side. */
static bool is_trivial(const split *s, uint32_t i) {
    ir_op op = s->from->nodes.items[i].op;
    if (op == IR_OP_transpose) return !s->o->again;
    return op == IR_OP_reshape || op == IR_OP_view || op == IR_OP_input;
}

static void find_homes(split *s) {
    ir_freq *freq = ir_frequencies(s->from);
    for (uint32_t i = 0; i < s->from->nodes.count; i++) {
        s->stage_of[i] = freq[i] == IR_STEP ? STEP : freq[i] == IR_SCHEDULE ? SCHEDULE : PROMPT;
        if (s->stage_of[i] == SCHEDULE && s->o->again) s->stage_of[i] = STEP;
    }
    base_free(freq);
}

/* From the needed nodes of a stage back to its inputs; what comes from earlier stages is needed
 * there. */
static void find_needs(split *s, int stage) {
    bool *need = s->need[stage];
    for (uint32_t i = (uint32_t)s->from->nodes.count; i-- > 0;) {
        const ir_node *n = &s->from->nodes.items[i];
        if (stage < STEP && s->crosses[i] && s->stage_of[i] == stage) need[i] = true;
        if (!need[i]) continue;
        if (!s->constant[i] && s->stage_of[i] < stage && !is_trivial(s, i)) {
            s->crosses[i] = true;
            continue;
        }
        for (uint32_t k = 0; k < n->operand_count; k++)
            if (ir_ref_ok(n->operand[k])) need[n->operand[k].id] = true;
    }
}

/* ---- names ---- */

static bool name_taken(const split *s, const char *name, uint32_t before) {
    for (uint32_t i = 0; i < before; i++)
        if (s->name[i] && !strcmp(s->name[i], name)) return true;
    for (size_t i = 0; i < s->from->inputs.count; i++)
        if (!strcmp(IR_ATTRS(ir_get(s->from, s->from->inputs.items[i]), input)->name, name))
            return true;
    for (int stage = 0; stage < STAGES; stage++)
        for (size_t i = 0; s->old[stage] && i < s->old[stage]->outputs.count; i++)
            if (!strcmp(s->old[stage]->outputs.items[i].name, name)) return true;
    return false;
}

/* What a node computes, by the name of its weight or block:
 * "down_blocks.0.resnets.1.time_emb_proj". */
static void describe(const split *s, uint32_t i, base_str *out) {
    const ir_node *n = &s->from->nodes.items[i];
    const char *block = s->m->origins.items[n->origin].block;
    if (n->op == IR_OP_linear || n->op == IR_OP_conv2d) {
        ir_ref w = n->operand[n->op == IR_OP_linear ? IR_IN(linear, w) : IR_IN(conv2d, w)];
        while (ir_get(s->from, w)->operand_count) w = ir_get(s->from, w)->operand[0];
        if (ir_get(s->from, w)->op == IR_OP_weight) {
            const char *name =
                s->m->weights.items[IR_ATTRS(ir_get(s->from, w), weight)->index].name;
            const char *slash = strrchr(name, '/');
            if (slash) name = slash + 1;
            size_t length = strlen(name);
            if (length > 7 && !strcmp(name + length - 7, ".weight")) length -= 7;
            base_str_addn(out, name, length);
            return;
        }
    }
    if (block) base_str_addf(out, "%s.", block);
    base_str_add(out, ir_op_get(n->op)->name);
}

static void name_crossings(split *s) {
    for (uint32_t i = 0; i < s->from->nodes.count; i++) {
        if (!s->crosses[i]) continue;
        base_str base = {0}, name = {0};
        describe(s, i, &base);
        base_str_addf(&name, "%%%s", base.data);
        for (int k = 2; name_taken(s, name.data, i); k++) {
            base_str_free(&name);
            base_str_addf(&name, "%%%s.%d", base.data, k);
        }
        s->name[i] = base_arena_strdup(s->m->arena, name.data);
        base_str_free(&name);
        base_str_free(&base);
    }
}

/* ---- building the stages ---- */

static ir_ref find_output(const ir_func *f, const char *name) {
    for (size_t i = 0; i < f->outputs.count; i++)
        if (!strcmp(f->outputs.items[i].name, name)) return f->outputs.items[i].value;
    return IR_NONE;
}

static ir_ref find_input(const ir_func *f, const char *name) {
    for (size_t i = 0; i < f->inputs.count; i++)
        if (!strcmp(IR_ATTRS(ir_get(f, f->inputs.items[i]), input)->name, name))
            return f->inputs.items[i];
    return IR_NONE;
}

static ir_ref clone(ir_func *to, const ir_node *n, const ir_ref *map) {
    if (n->op == IR_OP_weight)
        return ir_weight_ref(to, (uint32_t)IR_ATTRS(n, weight)->index, n->origin);
    ir_ref operand[IR_MAX_OPERANDS];
    for (uint32_t k = 0; k < n->operand_count; k++)
        operand[k] = ir_ref_ok(n->operand[k]) ? map[n->operand[k].id] : IR_NONE;
    return ir_build(to, n->op, operand, n->operand_count, n->attrs, n->type.layout, n->origin);
}

/* An input of `from` in a stage: the value an existing function of this stage gives under that
 * name, or the function's own input. */
static ir_ref take_input(ir_func *to, const ir_node *n) {
    const struct ir_attrs_input *a = IR_ATTRS(n, input);
    ir_ref r = find_output(to, a->name);
    if (!ir_ref_ok(r)) r = find_input(to, a->name);
    return ir_ref_ok(r) ? r : ir_input_like(to, n, &n->type);
}

/* A copy of an existing function under the same name, with its outputs. */
static void copy_into(ir_func *to, const ir_func *old) {
    ir_ref *map = base_alloc(old->nodes.count * sizeof *map + 1);
    for (size_t i = 0; i < old->inputs.count; i++) {
        const ir_node *n = ir_get(old, old->inputs.items[i]);
        map[old->inputs.items[i].id] = ir_input_like(to, n, &n->type);
    }
    for (uint32_t i = 0; i < old->nodes.count; i++)
        if (old->nodes.items[i].op != IR_OP_input) map[i] = clone(to, &old->nodes.items[i], map);
    for (size_t i = 0; i < old->outputs.count; i++)
        ir_set_output(to, old->outputs.items[i].name, map[old->outputs.items[i].value.id]);
    base_free(map);
}

/* The step keeps what it reads, what changes every step, and what nobody reads: the network's
 * signature stays. */
static bool stands_in_step(const split *s, uint32_t id) {
    const struct ir_attrs_input *a = IR_ATTRS(&s->from->nodes.items[id], input);
    if (a->freq == IR_STEP) return true;
    for (int stage = 0; stage < STAGES; stage++)
        if (s->need[stage][id]) return false;
    return !pass_is_internal(a->name);
}

static void build_stage(split *s, int stage) {
    const ir_func *from = s->from;
    ir_func *to = s->to[stage];
    ir_ref *map = s->map[stage];
    const bool *need = s->need[stage];
    if (s->old[stage] && stage != STEP) copy_into(to, s->old[stage]);
    for (size_t i = 0; i < from->inputs.count; i++) {
        uint32_t id = from->inputs.items[i].id;
        const ir_node *n = &from->nodes.items[id];
        if (need[id] || (stage == STEP && stands_in_step(s, id))) map[id] = take_input(to, n);
    }
    for (uint32_t i = 0; i < from->nodes.count; i++) {
        const ir_node *n = &from->nodes.items[i];
        if (need[i] && s->crosses[i] && s->stage_of[i] < stage)
            map[i] = ir_input(to, s->name[i], &n->type, stage_freq[s->stage_of[i]], n->origin);
    }
    for (uint32_t i = 0; i < from->nodes.count; i++) {
        const ir_node *n = &from->nodes.items[i];
        if (need[i] && n->op != IR_OP_input && !ir_ref_ok(map[i])) map[i] = clone(to, n, map);
    }
    for (uint32_t i = 0; stage != STEP && i < from->nodes.count; i++)
        if (s->crosses[i] && s->stage_of[i] == stage) ir_set_output(to, s->name[i], map[i]);
    for (size_t i = 0; stage == STEP && i < from->outputs.count; i++)
        ir_set_output(to, from->outputs.items[i].name, map[from->outputs.items[i].value.id]);
}

/* Outputs between stages that nobody takes any more go, and with them what computed them. */
static void drop_unread_outputs(split *s, int stage) {
    ir_func *f = s->to[stage];
    size_t kept = 0;
    for (size_t i = 0; i < f->outputs.count; i++) {
        bool read = !pass_is_internal(f->outputs.items[i].name);
        for (int later = stage + 1; later < STAGES; later++) {
            const ir_func *g = s->to[later] ? s->to[later] : s->old[later];
            read |= g && ir_ref_ok(find_input(g, f->outputs.items[i].name));
        }
        if (read) f->outputs.items[kept++] = f->outputs.items[i];
    }
    f->outputs.count = kept;
    pass_dce(s->o->c, f);
}

/* What left: contractions, embeddings and packs, by name. */
static void report(const split *s) {
    for (uint32_t i = 0; i < s->from->nodes.count; i++) {
        const ir_node *n = &s->from->nodes.items[i];
        const ir_op_info *info = ir_op_get(n->op);
        bool work = (info->flags & IR_FLAG_CONTRACT) || n->op == IR_OP_timestep_embedding ||
                    n->op == IR_OP_embedding || n->op == IR_OP_pack_k || n->op == IR_OP_pack_v;
        if (s->constant[i] || s->stage_of[i] == STEP || !s->need[s->stage_of[i]][i] ||
            !(work || s->crosses[i]))
            continue;
        base_str what = {0};
        describe(s, i, &what);
        base_str_addf(&what, ": %s to %s", info->name, s->to[s->stage_of[i]]->name);
        pass_matched(s->o->c, s->o->pass, s->from, (ir_ref){i}, what.data);
        base_str_free(&what);
    }
}

/* ---- the module ---- */

/* A new stage, which the module does not list yet. */
static ir_func *new_stage(ir_module *m, const char *base, int stage) {
    base_str name = {0};
    base_str_addf(&name, "%s.%s", base, stage_name[stage]);
    ir_func *f = ir_func_detached(m, name.data);
    base_str_free(&name);
    return f;
}

static ir_func *existing(const split *s, int stage) {
    base_str name = {0};
    base_str_addf(&name, "%s.%s", s->o->base, stage_name[stage]);
    ir_func *f = ir_func_find(s->m, name.data);
    base_str_free(&name);
    return f == s->from ? NULL : f;
}

static size_t index_of(const ir_module *m, const ir_func *f) {
    size_t i = 0;
    while (m->funcs.items[i] != f) i++;
    return i;
}

/* The stages stand where the function stood; functions they replace go. */
static void list_stages(split *s) {
    for (int stage = 0; stage < STEP; stage++)
        if (s->to[stage] && s->old[stage]) ir_func_remove(s->m, s->old[stage]);
    size_t at = index_of(s->m, s->from);
    ir_func_remove(s->m, s->o->f);
    for (int stage = 0; stage < STAGES; stage++) {
        if (!s->to[stage]) continue;
        BASE_PUSH(&s->m->funcs, s->to[stage]);
        memmove(&s->m->funcs.items[at + 1], &s->m->funcs.items[at],
                (s->m->funcs.count - 1 - at) * sizeof s->m->funcs.items[0]);
        s->m->funcs.items[at++] = s->to[stage];
    }
}

static bool split_function(const pass_split *o) {
    split s = {.o = o, .m = o->c->module, .from = o->f, .constant = ir_constants(o->f)};
    size_t nodes = o->f->nodes.count;
    s.stage_of = base_alloc(nodes + 1);
    s.crosses = base_alloc(nodes + 1);
    s.name = base_alloc(nodes * sizeof *s.name + 1);
    bool leaves[STAGES] = {false};
    for (int stage = STEP; stage >= PROMPT; stage--) {
        s.need[stage] = base_alloc(nodes + 1);
        s.map[stage] = base_alloc(nodes * sizeof *s.map[stage] + 1);
        for (size_t i = 0; i < nodes; i++) s.map[stage][i] = IR_NONE;
        s.old[stage] = existing(&s, stage);
    }
    find_homes(&s);
    for (size_t i = 0; i < o->f->outputs.count; i++)
        s.need[STEP][o->f->outputs.items[i].value.id] = true;
    for (int stage = STEP; stage >= PROMPT; stage--) find_needs(&s, stage);
    for (size_t i = 0; i < nodes; i++)
        if (s.crosses[i]) leaves[s.stage_of[i]] = leaves[STEP] = true;

    if (leaves[STEP]) {
        name_crossings(&s);
        for (int stage = 0; stage < STAGES; stage++) {
            if (!leaves[stage]) continue;
            s.to[stage] = new_stage(s.m, o->base, stage);
            build_stage(&s, stage);
        }
        for (int stage = STEP - 1; stage >= PROMPT; stage--)
            if (s.to[stage]) drop_unread_outputs(&s, stage);
        report(&s);
        if (s.to[SCHEDULE] && !s.old[SCHEDULE]) pass_widen_rows(s.to[SCHEDULE]);
        list_stages(&s);
    }
    for (int stage = 0; stage < STAGES; stage++) {
        base_free(s.need[stage]);
        base_free(s.map[stage]);
    }
    base_free(s.name);
    base_free(s.crosses);
    base_free(s.stage_of);
    base_free(s.constant);
    return leaves[STEP];
}

/* ---- all functions ---- */

/* BASE of BASE.step, else the name itself. */
static const char *base_name(ir_module *m, const char *name) {
    size_t n = strlen(name);
    if (n > 5 && !strcmp(name + n - 5, ".step")) return base_arena_strndup(m->arena, name, n - 5);
    return name;
}

static bool has_step_input(const ir_func *f) {
    for (size_t i = 0; i < f->inputs.count; i++)
        if (IR_ATTRS(ir_get(f, f->inputs.items[i]), input)->freq == IR_STEP) return true;
    return false;
}

/* A module that has functions of these names already keeps them. */
static bool names_free(pass_context *c, const pass_split *s) {
    static const char *const suffix[] = {"prompt", "schedule", "step"};
    for (int i = 0; i < 3; i++) {
        base_str name = {0};
        base_str_addf(&name, "%s.%s", s->base, suffix[i]);
        bool taken = ir_func_find(c->module, name.data) != NULL;
        if (taken)
            pass_refused(c, s->pass, s->f, s->f->outputs.items[0].value, "stages of a function",
                         "a function %s exists", name.data);
        base_str_free(&name);
        if (taken) return false;
    }
    return true;
}

/* The functions of the module may change while it is walked: those that are there now. */
bool pass_split_module(pass_context *c, ir_module *m, const char *pass, bool again) {
    size_t count = m->funcs.count;
    ir_func **funcs = base_alloc(count * sizeof(ir_func *) + 1);
    if (count) memcpy(funcs, m->funcs.items, count * sizeof(ir_func *));
    bool changed = false;
    for (size_t i = 0; i < count; i++) {
        pass_split s = {.c = c, .pass = pass, .f = funcs[i], .again = again};
        if (ir_func_find(m, funcs[i]->name) != funcs[i]) continue; /* replaced */
        s.base = base_name(m, funcs[i]->name);
        bool stage = s.base != funcs[i]->name;
        if (stage != again || !has_step_input(funcs[i])) continue;
        if (!again && !names_free(c, &s)) continue;
        if (split_function(&s)) changed = true;
    }
    base_free(funcs);
    return changed;
}
