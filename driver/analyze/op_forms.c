/* Forms of the ops of lowered IR; see op_forms.h. */
#include "driver/analyze/op_forms.h"

#include <math.h>

/* An op that multiplies, and its form's name. */
static const char *form_of(const ir_node *n) {
    switch (n->op) {
    case IR_OP_conv2d:
    case IR_OP_linear:
    case IR_OP_conv2d_i8: return "direct";
    case IR_OP_conv2d_winograd: return IR_ATTRS(n, winograd)->tile == 2 ? "F(2,3)" : "F(4,3)";
    case IR_OP_conv2d_phases: return "phases";
    case IR_OP_feed_forward: return "feed_forward";
    case IR_OP_attention:
    case IR_OP_attention_tiled: return "attention";
    default: return NULL;
    }
}

static ir_precision precision_of(const ir_node *n) {
    const ir_op_info *info = ir_op_get(n->op);
    if (n->op == IR_OP_conv2d_i8) return IR_PRECISION_INT8;
    for (uint32_t i = 0; i < info->attr_count; i++)
        if (info->attrs[i].kind == IR_ATTR_precision)
            return *(const ir_precision *)(const void *)((const char *)n->attrs +
                                                         info->attrs[i].offset);
    return IR_PRECISION_F32;
}

/* Expressions of constants are short; where they share much, the walk ends early. */
enum { MOST_STEPS = 64 };

static void take_weights(const ir_func *f, ir_ref r, const drv_quantization *q, uint32_t *steps,
                         drv_op_form *out) {
    const ir_node *n = ir_get(f, r);
    if (++*steps > MOST_STEPS) return;
    for (uint32_t k = 0; k < n->operand_count; k++)
        if (ir_ref_ok(n->operand[k])) take_weights(f, n->operand[k], q, steps, out);
    if (n->op != IR_OP_weight) return;
    const char *name = f->module->weights.items[IR_ATTRS(n, weight)->index].name;
    const drv_quantized_filter *said = q ? drv_quantization_find(q, name) : NULL;
    if (!out->weight) out->weight = name;
    if (said)
        out->signal_to_noise_dB =
            fmin(out->signal_to_noise_dB, said->signal_to_noise_dB[out->precision]);
}

/* Which operands are filters. */
static bool is_filter(ir_op op, uint32_t k) {
    if (op == IR_OP_feed_forward)
        return k == IR_IN(feed_forward, w1) || k == IR_IN(feed_forward, w2);
    return op != IR_OP_attention && op != IR_OP_attention_tiled && k == IR_IN(conv2d, w);
}
_Static_assert(IR_IN(conv2d, w) == IR_IN(linear, w) && IR_IN(conv2d, w) == IR_IN(conv2d_i8, w) &&
                   IR_IN(conv2d, w) == IR_IN(conv2d_winograd, w) &&
                   IR_IN(conv2d, w) == IR_IN(conv2d_phases, w),
               "filters alike");

bool drv_op_form_of(const ir_func *f, ir_ref node, const bool *constant, const drv_quantization *q,
                    drv_op_form *out) {
    const ir_node *n = ir_get(f, node);
    *out = (drv_op_form){.form = form_of(n), .signal_to_noise_dB = NAN};
    if (!out->form) return false;
    out->precision = precision_of(n);
    uint32_t steps = 0;
    for (uint32_t k = 0; k < n->operand_count; k++)
        if (is_filter(n->op, k) && ir_ref_ok(n->operand[k]) && constant[n->operand[k].id])
            take_weights(f, n->operand[k], q, &steps, out);
    return true;
}

void drv_add_op_form(cJSON *to, const drv_op_form *form) {
    drv_json_text(to, "form", form->form);
    drv_json_text(to, "precision", ir_precision_name[form->precision]);
    if (form->weight) drv_json_text(to, "filter", form->weight);
    if (!isnan(form->signal_to_noise_dB))
        drv_json_real(to, "signal_to_noise_dB", form->signal_to_noise_dB);
}
