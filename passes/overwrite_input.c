/* overwrite_input: a 1x1 convolution writes its result over its input where nobody reads that any
 * more.
 *
 *   before   %5 = conv2d %1, %4, @b {n=128} : f32[1,128,512,512]:c16
 *   after    %5 = conv2d %1, %4, @b {n=128, overwrite=true} : f32[1,128,512,512]:c16
 *
 * (%1 : f32[1,256,512,512]:c16)
 *
 * The shortcut of a residual block is such a convolution, and in the decoder of an autoencoder it
 * stands where the most memory is needed: its input of 256 MiB, what the other way has made of it
 * (128 MiB), and its result. Each pixel of the result is made of the same pixel of the input alone,
 * so a kernel that has read a pixel before it writes it may write it there, and 128 MiB of 512 are
 * saved. The price is a copy of a task's input, which large inputs want anyway.
 *
 * here    after the passes that change convolutions; before kernels are bound, which differ
 * not     batches (planes of images lie in between); inputs of less than a megabyte, which is a
 *         knob; reordering nodes so that an input dies earlier
 * tests   tests/lit/passes/overwrite_input/, tests/unit/passes/passes_test.c */
#include "passes/manager/match.h"

static const char PASS_NAME[] = "overwrite_input", WHAT[] = "1x1 conv2d in place";

typedef struct lifetimes {
    pass_context *c;
    uint32_t *last; /* of each node: ir_last_uses */
} lifetimes;

/* A convolution of single pixels that makes an image of the same size with fewer channels, or as
 * many. */
static bool is_candidate(const lifetimes *l, const ir_func *f, const ir_node *n) {
    if (n->op != IR_OP_conv2d) return false;
    const struct ir_attrs_conv2d *a = IR_ATTRS(n, conv2d);
    const ir_type *x = ir_typeof(f, n->operand[IR_IN(conv2d, x)]),
                  *w = ir_typeof(f, n->operand[IR_IN(conv2d, w)]);
    bool pixels = w->rank >= 6 && w->dim[2] == 1 && w->dim[3] == 1 && a->stride.v[0] == 1 &&
                  a->stride.v[1] == 1 && a->upsample.v[0] == 0 && n->type.dim[2] == x->dim[2] &&
                  n->type.dim[3] == x->dim[3];
    return pixels && x->layout == IR_C16 && n->type.layout == IR_C16 &&
           !ir_ref_ok(ir_operand(n, IR_IN(conv2d, x1))) &&
           ir_round_block(n->type.dim[1]) <= ir_round_block(x->dim[1]) &&
           (double)ir_type_bytes(x) >= pass_knob(l->c, PASS_KNOB_overwrite_input_bytes);
}

static bool fits(const lifetimes *l, const ir_func *f, ir_ref r, base_str *why) {
    const ir_node *n = ir_get(f, r);
    ir_ref root = ir_view_root(f, n->operand[IR_IN(conv2d, x)]);
    if (ir_get(f, root)->op == IR_OP_input)
        base_str_add(why, "the input is the caller's");
    else if (n->type.dim[0] != 1)
        base_str_addf(why, "there are %lld images", (long long)n->type.dim[0]);
    else if (ir_ref_ok(ir_operand(n, IR_IN(conv2d, residual))))
        base_str_add(why, "it writes over its residual");
    else if (l->last[root.id] != r.id)
        base_str_add(why, "the input is read once more later");
    return why->len == 0;
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const lifetimes *l = rw->user;
    const ir_node *n = ir_get(rw->from, old);
    if (!is_candidate(l, rw->from, n) || IR_ATTRS(n, conv2d)->overwrite) return IR_NONE;
    pass_decision d = {.c = l->c, .pass = PASS_NAME, .f = rw->from, .node = old, .what = WHAT};
    if (!pass_decided(&d, fits(l, rw->from, old, &d.why))) return IR_NONE;
    struct ir_attrs_conv2d a = *IR_ATTRS(n, conv2d);
    a.overwrite = true;
    ir_node conv = rw_draft(rw, old);
    conv.attrs = &a;
    return rw_build(rw, &conv);
}

bool pass_overwrite_input(pass_context *c, ir_func *f) {
    lifetimes l = {.c = c, .last = ir_last_uses(f)};
    bool changed = ir_rewrite_apply(f, rule, &l, true);
    base_free(l.last);
    return changed;
}
