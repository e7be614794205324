/* split_stages: what depends only on the prompt or only on the schedule leaves the step.
 *
 *   before   func @unet(%0 sample : f32[1,4,8,8] step,
 *              %1 timestep : f32[1] schedule,
 *              %2 context : f32[1,7,32] prompt) {
 *              %3 = timestep_embedding %1 {dim=64} : f32[1,64]
 *              %4 = linear %3, @temb.weight : f32[1,64]
 *              %5 = linear %2, @to_k.weight : f32[1,7,64]
 *              ...
 *   after    func @unet.prompt(%0 context : f32[1,7,32] prompt) {
 *              %1 = linear %0, @to_k.weight : f32[1,7,64]
 *              return "%to_k" = %1
 *            }
 *            func @unet.schedule(%0 timestep : f32[8] schedule) {
 *              %1 = timestep_embedding %0 {dim=64} : f32[8,64]
 *              %2 = linear %1, @temb.weight : f32[8,64]
 *              return "%temb" = %2
 *            }
 *            func @unet.step(%0 sample : f32[1,4,8,8] step,
 *              %1 "%temb" : f32[1,64] schedule,
 *              %2 "%to_k" : f32[1,7,64] prompt) {
 *              ...
 *
 * A function is split when it has an input that changes every step and some op that does not depend
 * on it; otherwise it stays as it is, name included. Only stages with work exist; the rest is
 * always NAME.step. A value passes from stage to stage as an output and an input of the same name,
 * which begins with '%'. Where all ops of the schedule work row by row its function computes eight
 * steps a call; NAME.step takes one row. A schedule value may depend on the prompt too (class
 * embeddings), then rows stay one unless the shapes broadcast.
 *
 * here    before anything fuses across the boundary
 * not     functions without a per-step input; repeating work to pass less
 * tests   tests/lit/passes/split_stages/, tests/unit/passes/pipeline_variations_test.c,
 *         tests/unit/passes/passes_random_test.c */
#include "passes/stages/stage_splitter.h"

bool pass_split_stages(pass_context *c, ir_module *m) {
    return pass_split_module(c, m, "split_stages", false);
}
