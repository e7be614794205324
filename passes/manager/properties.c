/* The properties of passes.def: what each means, checked from scratch on any function, and how it
 * is made to hold, where that is possible at any time. */
#include "passes/manager/manager.h"
#include "passes/manager/match.h"

static bool no(base_str *why, const ir_func *f, uint32_t id, const char *text) {
    if (!why) return false;
    base_str_addf(why, "%s: ", f->name);
    ir_print_node(f, (ir_ref){id}, why);
    while (why->len && why->data[why->len - 1] == '\n') why->data[--why->len] = 0;
    base_str_addf(why, ": %s\n", text);
    return false;
}

static bool holds_NO_DEAD(const ir_func *f, base_str *why) {
    uint32_t *uses = ir_use_counts(f);
    uint32_t dead = UINT32_MAX;
    for (uint32_t i = 0; i < f->nodes.count && dead == UINT32_MAX; i++)
        if (!uses[i] && f->nodes.items[i].op != IR_OP_input) dead = i;
    base_free(uses);
    return dead == UINT32_MAX || no(why, f, dead, "has no users");
}

static void drop_dead(ir_func *f) {
    ir_rewrite_apply(f, NULL, NULL, true);
}

static bool holds_PLAIN(const ir_func *f, base_str *why) {
    for (uint32_t i = 0; i < f->nodes.count; i++)
        if (f->nodes.items[i].type.layout != IR_PLAIN) return no(why, f, i, "is laid out already");
    return true;
}

static bool holds_LAID_OUT(const ir_func *f, base_str *why) {
    bool *constant = ir_constants(f), fine = true;
    for (uint32_t i = 0; i < f->nodes.count && fine; i++) {
        const ir_node *n = &f->nodes.items[i];
        uint32_t flags = ir_op_get(n->op)->flags;
        if (constant[i] || (flags & IR_FLAG_LEAF)) continue;
        if (n->op == IR_OP_group_norm)
            fine = no(why, f, i,
                      "group_norm stands for itself; kernels have group_stats and norm_apply");
        else if ((flags & IR_FLAG_EW) && n->op != IR_OP_ew)
            fine = no(why, f, i, "an elementwise op that is not an ew node");
        else if (ir_op_blocked(n->op) && n->type.layout != IR_C16)
            fine = no(why, f, i, "stands in plain layout");
    }
    base_free(constant);
    return fine;
}

static bool holds_PACKED(const ir_func *f, base_str *why) {
    bool *constant = ir_constants(f), fine = true;
    for (uint32_t i = 0; i < f->nodes.count && fine; i++) {
        const ir_node *n = &f->nodes.items[i];
        for (uint32_t k = 0; k < n->operand_count && fine && !constant[i]; k++)
            if (ir_ref_ok(n->operand[k]) && ir_op_packs(n->op, k) &&
                !pass_is_packed(f, n->operand[k]))
                fine = no(why, f, i, "a weight is not packed");
    }
    base_free(constant);
    return fine;
}

static bool holds_UNTILED(const ir_func *f, base_str *why) {
    for (uint32_t i = 0; i < f->nodes.count; i++)
        if (f->nodes.items[i].op == IR_OP_attention_tiled)
            return no(why, f, i, "attention is tiled already");
    return true;
}

static bool holds_TILED(const ir_func *f, base_str *why) {
    for (uint32_t i = 0; i < f->nodes.count; i++)
        if (f->nodes.items[i].op == IR_OP_attention) return no(why, f, i, "attention is not tiled");
    return true;
}

static bool holds_BOUND(const ir_func *f, base_str *why) {
    bool *constant = ir_constants(f), fine = true;
    for (uint32_t i = 0; i < f->nodes.count && fine; i++) {
        const ir_node *n = &f->nodes.items[i];
        if (constant[i] || n->op == IR_OP_input || ir_is_view(f, (ir_ref){i})) continue;
        if (!n->binding) fine = no(why, f, i, "has no kernel");
    }
    base_free(constant);
    return fine;
}

static bool holds_PLACED(const ir_func *f, base_str *why) {
    bool *constant = ir_constants(f), fine = true;
    for (uint32_t i = 0; i < f->nodes.count && fine; i++)
        if (!constant[i] && f->nodes.items[i].place.kind == IR_UNPLACED)
            fine = no(why, f, i, "has no place");
    base_free(constant);
    return fine;
}

static const pass_property properties[PASS_PROP_COUNT] = {
#define PROP(name, giver, ender, establish, summary)                                               \
    {#name, giver, ender, summary, holds_##name, establish},
#include "passes/passes.def"
};

const pass_property *pass_property_get(uint32_t index) {
    return &properties[index];
}

bool pass_holds(const ir_func *f, uint32_t property, base_str *why) {
    for (uint32_t i = 0; i < PASS_PROP_COUNT; i++)
        if (property == 1u << i) return properties[i].holds(f, why);
    ICE("%u is not one property", property);
}
