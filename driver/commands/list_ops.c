/* ebru opt --list-ops: the op table as docs/ops.md shows it. */
#include "driver/commands/lists.h"
#include "ir/ir.h"

static void print_op(const ir_op_info *op, base_str *out) {
    static const char *const result[] = {
        [IR_RESULT_KEEP] = "as it is",      [IR_RESULT_SAME] = "as its operands",
        [IR_RESULT_PLAIN] = "plain",        [IR_RESULT_C16] = "c16",
        [IR_RESULT_TOKENS] = "c16, tokens", [IR_RESULT_MOVE] = "a view, or plain",
        [IR_RESULT_SPLIT] = "other ops"};
    base_str_addf(out, "| `%s` |", op->name);
    for (uint32_t k = 0; k < op->max_operands; k++)
        base_str_addf(out, " %s%s", op->operand_name[k],
                      k >= op->graph_operands ? "+"
                      : k >= op->min_operands ? "?"
                                              : "");
    base_str_add(out, " |");
    for (uint32_t i = 0; i < op->attr_count; i++) {
        base_str_addf(out, "%s %s=", i ? "," : "", op->attrs[i].name);
        ir_print_value(op->attrs[i].kind, (const char *)op->attr_default + op->attrs[i].offset,
                       out);
        bool earlier = op->levels & ((1u << op->attrs[i].level) - 1); /* the op itself is */
        if (earlier) base_str_add(out, "+");
    }
    base_str_add(out, " | ");
    for (int l = 0; l < IR_LEVEL_COUNT; l++)
        if (op->levels & 1u << l) base_str_addf(out, "%c", "GFKP"[l]);
    base_str_addf(out, " | %s |", result[op->result]);
    for (uint32_t k = 0; k < op->max_operands; k++)
        if (op->over >> k & 1) base_str_addf(out, " %s", op->operand_name[k]);
    base_str_add(out, " | ");
    for (const char *s = op->summary; *s; s++) base_str_addf(out, *s == '|' ? "\\%c" : "%c", *s);
    base_str_add(out, " |\n");
}

void drv_list_ops(base_str *out) {
    base_str_add(
        out,
        "# Ops\n\n"
        "Printed by `ebru opt --list-ops` from the rows of `ir/ops.def` and `ir/attrs.def`. "
        "Operands: `?` may be absent, `+` may\nbe there from the FUSED level on. Attributes with "
        "their defaults; those with `+` may differ from them from the\nFUSED level on. Levels: "
        "GRAPH, FUSED, KERNEL, PLACED.\n"
        "Layout: how kernels write the result. In place: operands whose memory the result may "
        "take.\n\n"
        "| op | operands | attributes | levels | layout | in place | |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n");
    for (int op = 0; op < IR_OP_COUNT; op++) print_op(ir_op_get((ir_op)op), out);
}
