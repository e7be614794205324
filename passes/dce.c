/* dce, dce_fused: nodes that no output needs are dropped.
 *
 *   before   %3 = conv2d %0, %1, %2 : f32[1,8,4,4]
 *            %4 = silu %3 : f32[1,8,4,4]
 *            return y = %3
 *   after    %3 = conv2d %0, %1, %2 : f32[1,8,4,4]
 *            return y = %3
 *
 * here    before the passes that count users; once more before kernels and memory are spent on
 *         nodes
 * not     inputs: they are the function's signature, and stay even when nobody reads them
 * tests   tests/lit/passes/dce/ */
#include "passes/passes.h"

bool pass_dce(pass_context *c, ir_func *f) {
    (void)c;
    return ir_rewrite_apply(f, NULL, NULL, true);
}

bool pass_dce_fused(pass_context *c, ir_func *f) {
    return pass_dce(c, f);
}
