/* fuse_upsample: a conv reads its nearest-neighbour upsampled input by index.
 *
 *   before   %1 = resize_nearest %0 {size=[64,64]} : f32[1,320,64,64]
 *            %2 = conv2d %1, @w, @b {pad=[1,1,1,1]} : f32[1,320,64,64]
 *   after    %1 = conv2d %0, @w, @b {pad=[1,1,1,1], upsample=[64,64]} : f32[1,320,64,64]
 *
 * here    after fuse_norm_prologue: a norm in front of a resize stays, so that no conv resizes its
 *         input and applies a norm to it
 * not     a resized image with other readers, which must exist anyway
 * tests   tests/lit/passes/fuse_upsample/, tests/unit/passes/passes_test.c */
#include "passes/manager/match.h"

static const char PASS_NAME[] = "fuse_upsample", WHAT[] = "resize_nearest + conv2d";

static bool can_join(const ir_rewrite *rw, const ir_node *conv, ir_ref resize, base_str *why) {
    if (!pass_sole_use(rw, resize, why)) return false;
    if (IR_ATTRS(conv, conv2d)->upsample.v[0] != 0)
        return pass_no(why, "conv2d resizes its input already");
    return !ir_ref_ok(IR_OPERAND(conv, conv2d, x1)) || pass_no(why, "conv2d has two inputs");
}

static ir_ref rule(ir_rewrite *rw, ir_ref old) {
    const ir_node *n = ir_get(rw->from, old);
    if (n->op != IR_OP_conv2d) return IR_NONE;
    ir_ref x = n->operand[IR_IN(conv2d, x)];
    const ir_node *resize = ir_get(rw->from, x);
    if (resize->op != IR_OP_resize_nearest) return IR_NONE;
    pass_decision d = {.c = rw->user, .pass = PASS_NAME, .f = rw->from, .node = old, .what = WHAT};
    if (!pass_decided(&d, can_join(rw, n, x, &d.why))) return IR_NONE;
    struct ir_attrs_conv2d a = *IR_ATTRS(n, conv2d);
    a.upsample = IR_ATTRS(resize, size)->size;
    ir_node conv = rw_draft(rw, old);
    conv.attrs = &a;
    ir_set_operand(&conv, IR_IN(conv2d, x), rw_new(rw, resize->operand[IR_IN(resize_nearest, x)]));
    return rw_build(rw, &conv);
}

bool pass_fuse_upsample(pass_context *c, ir_func *f) {
    return ir_rewrite_apply(f, rule, c, true);
}
