/* split_stages: what depends only on the prompt or only on the schedule leaves the step.
 *
 *   before   func @unet(%0 sample: f32[1,4,8,8] step, %1 timestep: f32[1] schedule, %2 context: f32[1,7,32]
 * prompt) { %3 = timestep_embedding %1 {dim=64} : f32[1,64] %4 = linear %3, @temb : f32[1,64] %5 = linear %2,
 * @to_k : f32[1,7,64]
 *              ... %4 and %5 are used ...
 *   after    func @unet.prompt(%0 context: f32[1,7,32] prompt) { %1 = linear %0, @to_k : f32[1,7,64]  return
 * "%to_k"=%1 } func @unet.schedule(%0 timestep: f32[8] schedule) { %1 = timestep_embedding %0 {dim=64} :
 * f32[8,64] %2 = linear %1, @temb : f32[8,64] return "%temb"=%2 } func @unet.step(%0 sample: f32[1,4,8,8]
 * step, %1 "%temb": f32[1,64] schedule, %2 "%to_k": f32[1,7,64] prompt) { ... }
 *
 * A function is split when it has an input that changes every step and some op that does not depend on it;
 * otherwise it stays as it is, name included. Only stages with work exist; the rest is always NAME.step. A
 * value passes from stage to stage as an output and an input of the same name, which begins with '%'. Where
 * all ops of the schedule work row by row its function computes eight steps a call; NAME.step takes one row.
 * A schedule value may depend on the prompt too (class embeddings), then rows stay one unless the shapes
 * broadcast.
 *
 * needs   NO_DEAD       keeps   NO_DEAD       level  GRAPH -> GRAPH
 * here    before anything fuses across the boundary
 * not     functions without a per-step input; repeating work to pass less
 * tests   tests/unit/passes_split_test.c, tests/lit/passes/split_stages/ */
#include "passes/split.h"

#include <string.h>

/* BASE of BASE.step, else the name itself. */
static const char *base_name(ir_module *m, const char *name) {
    size_t n = strlen(name);
    if (n > 5 && !strcmp(name + n - 5, ".step")) return ir_arena_strndup(m->arena, name, n - 5);
    return name;
}

static bool has_step_input(const ir_func *f) {
    for (size_t i = 0; i < f->inputs.count; i++)
        if (IR_ATTRS(ir_get(f, f->inputs.items[i]), input)->freq == IR_STEP) return true;
    return false;
}

/* A module that has functions of these names already keeps them. */
static bool names_free(pass_context *c, const pass_split *s) {
    static const char *const suffix[] = {"prompt", "schedule", "step"};
    for (int i = 0; i < 3; i++) {
        ir_str name = {0};
        ir_str_addf(&name, "%s.%s", s->base, suffix[i]);
        bool taken = ir_func_find(c->module, name.data) != NULL;
        if (taken)
            pass_refused(c, s->pass, s->f, s->f->outputs.items[0].value, "stages of a function",
                         "a function %s exists", name.data);
        ir_str_free(&name);
        if (taken) return false;
    }
    return true;
}

/* The functions of the module may change while it is walked: those that are there now. */
static bool split_all(pass_context *c, ir_module *m, const char *pass, bool again) {
    size_t count = m->funcs.count;
    ir_func **funcs = ir_alloc(count * sizeof(ir_func *) + 1);
    memcpy(funcs, m->funcs.items, count * sizeof(ir_func *));
    bool changed = false;
    for (size_t i = 0; i < count; i++) {
        pass_split s = {.c = c, .pass = pass, .f = funcs[i], .again = again};
        if (ir_func_find(m, funcs[i]->name) != funcs[i]) continue; /* replaced */
        s.base = base_name(m, funcs[i]->name);
        bool stage = s.base != funcs[i]->name;
        if (stage != again || !has_step_input(funcs[i])) continue;
        if (!again && !names_free(c, &s)) continue;
        if (pass_split_function(&s)) changed = true;
    }
    ir_free(funcs);
    return changed;
}

bool pass_split_stages(pass_context *c, ir_module *m) {
    return split_all(c, m, "split_stages", false);
}

/* split_packing: packed keys and values of cross-attention, and casts, that depend on the prompt only leave
 * the step.
 *
 *   before   func @unet.prompt(...) { ... return "%to_k"=%1 }
 *            func @unet.step(..., %2 "%to_k": f32[1,7,64]:c16 prompt) { ... %9 = pack_k %2 {heads=2} ... }
 *   after    func @unet.prompt(...) { ... %2 = pack_k %1 {heads=2} ...  return "%attn2.pack_k"=%2 }
 *            func @unet.step(..., %2 "%attn2.pack_k": f32[1,2,1,32,16] prompt) { ... }
 *
 * The second half of split_stages, for ops that exist since layout and tile_attention; same splitter,
 * extending NAME.prompt. What depends on the schedule stays: its function may compute several steps a call.
 *
 * needs   NO_DEAD, LAID_OUT, TILED       keeps   all       level  FUSED -> FUSED
 * here    after tile_attention
 * not     functions that split_stages did not split
 * tests   tests/unit/passes_split_test.c, tests/lit/passes/split_packing/ */
bool pass_split_packing(pass_context *c, ir_module *m) {
    return split_all(c, m, "split_packing", true);
}
