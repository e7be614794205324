/* ebru opt --list-ops: the op table as docs/ops.md shows it. */
#include "base/number.h"
#include "driver/commands/lists.h"
#include "ir/ir.h"

static void print_default(const ir_op_info *op, const ir_attr_info *a, base_str *out) {
    const void *p = (const char *)op->attr_default + a->offset;
    switch (a->kind) {
    case IR_ATTR_i64: base_str_addf(out, "%lld", (long long)*(const int64_t *)p); break;
    case IR_ATTR_f64: base_print_f64(*(const double *)p, out); break;
    case IR_ATTR_flag: base_str_add(out, *(const bool *)p ? "true" : "false"); break;
    case IR_ATTR_i2: {
        const int64_t *v = ((const ir_i2 *)p)->v;
        base_str_addf(out, "[%lld,%lld]", (long long)v[0], (long long)v[1]);
        break;
    }
    case IR_ATTR_i4: {
        const int64_t *v = ((const ir_i4 *)p)->v;
        base_str_addf(out, "[%lld,%lld,%lld,%lld]", (long long)v[0], (long long)v[1],
                      (long long)v[2], (long long)v[3]);
        break;
    }
    case IR_ATTR_dims: base_str_add(out, "[]"); break;
    case IR_ATTR_str: base_str_addf(out, "\"%s\"", *(const char *const *)p); break;
    case IR_ATTR_act: base_str_add(out, ir_act_name[*(const ir_act *)p]); break;
    case IR_ATTR_freq: base_str_add(out, ir_freq_name[*(const ir_freq *)p]); break;
    case IR_ATTR_precision: base_str_add(out, ir_precision_name[*(const ir_precision *)p]); break;
    }
}

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
        print_default(op, &op->attrs[i], out);
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
