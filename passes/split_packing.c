/* split_packing: packed keys and values of cross-attention, and casts, that depend on the prompt
 * only leave the step.
 *
 *   before   func @unet.prompt(...) { ... return "%to_k" = %1 }
 *            func @unet.step(..., %2 "%to_k" : f32[1,7,64]:c16 prompt) {
 *              ...
 *              %9 = pack_k %2 {heads=2} : f32[1,2,7,32]
 *   after    func @unet.prompt(...) {
 *              ...
 *              %2 = pack_k %1 {heads=2} : f32[1,2,7,32]
 *              return "%attn2.pack_k" = %2
 *            }
 *            func @unet.step(..., %2 "%attn2.pack_k" : f32[1,2,7,32] prompt) { ... }
 *
 * The second half of split_stages, for ops that exist since lay_out and tile_attention; the same
 * splitter, which extends NAME.prompt. What depends on the schedule stays: its function may compute
 * several steps a call.
 *
 * here    after tile_attention
 * not     functions that split_stages did not split
 * tests   tests/lit/passes/split_packing/, tests/unit/passes/pipeline_variations_test.c */
#include "passes/stages/stage_splitter.h"

bool pass_split_packing(pass_context *c, ir_module *m) {
    return pass_split_module(c, m, "split_packing", true);
}
