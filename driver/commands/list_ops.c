/* ebru opt --list-ops: the ops of the IR as docs/ops.md shows them. */
#include "driver/commands/lists.h"
#include "ir/ir.h"

static void add_operands(const ir_op_info *op, base_str *s) {
    if (!op->max_operands) return;
    base_str_add(s, " of `");
    for (uint32_t k = 0; k < op->max_operands; k++)
        base_str_addf(s, "%s%s%s", k ? " " : "", op->operand_name[k],
                      k >= op->graph_operands ? "+"
                      : k >= op->min_operands ? "?"
                                              : "");
    base_str_add(s, "`");
}

static void add_attributes(const ir_op_info *op, base_str *s) {
    for (uint32_t i = 0; i < op->attr_count; i++) {
        base_str_addf(s, "%s%s=", i ? ", `" : " Attributes: `", op->attrs[i].name);
        ir_print_value(op->attrs[i].kind, (const char *)op->attr_default + op->attrs[i].offset, s);
        bool earlier = op->levels & ((1u << op->attrs[i].level) - 1); /* the op itself is */
        base_str_add(s, earlier ? "`+" : "`");
    }
    if (op->attr_count) base_str_add(s, ".");
}

static void print_op(const ir_op_info *op, base_str *out) {
    static const char *const result[] = {
        [IR_RESULT_KEEP] = "as it is",      [IR_RESULT_SAME] = "as its operands",
        [IR_RESULT_PLAIN] = "plain",        [IR_RESULT_C16] = "c16",
        [IR_RESULT_TOKENS] = "c16, tokens", [IR_RESULT_MOVE] = "a view, or plain",
        [IR_RESULT_SPLIT] = "other ops"};
    base_str s = {0};
    base_str_addf(&s, "**`%s`**", op->name);
    add_operands(op, &s);
    base_str_addf(&s, ": %s.", op->summary);
    add_attributes(op, &s);
    base_str_add(&s, " Levels: ");
    for (int l = 0; l < IR_LEVEL_COUNT; l++)
        if (op->levels & 1u << l) base_str_addf(&s, "%c", "GFKP"[l]);
    base_str_addf(&s, "; layout: %s", result[op->result]);
    const char *before = "; in place of: ";
    for (uint32_t k = 0; k < op->max_operands; k++)
        if (op->over >> k & 1) {
            base_str_addf(&s, "%s%s", before, op->operand_name[k]);
            before = " ";
        }
    base_str_add(&s, ".");
    drv_list_entry(s.data, out);
    base_str_free(&s);
}

void drv_list_ops(base_str *out) {
    base_str_add(
        out,
        "# Ops\n\n"
        "`ebru opt --list-ops` prints this page from the rows of `ir/ops.def` and "
        "`ir/attrs.def`.\n\n"
        "- Operands: `?` may be absent; `+` may be there from the FUSED level on.\n"
        "- Attributes are shown with their defaults. One with `+` may differ from its default from "
        "the\n  FUSED level on.\n"
        "- Levels: GRAPH, FUSED, KERNEL, PLACED, by their first letters.\n"
        "- Layout: how kernels write the result. In place of: operands whose memory the result may "
        "take.\n\n");
    for (int op = 0; op < IR_OP_COUNT; op++) print_op(ir_op_get((ir_op)op), out);
}
