/* The targets: CPU levels, and for every op how it is bound and in which layouts it can compute. */
#include "codegen/target/arch.h"
#include "codegen/target/tiles.h"

#include "base/cpu/cpu.h"

enum { PLAIN = 1, C16 = 2 };

/* One row an op that does work: result layouts there are kernels for, and the binder. Elementwise
 * ops are generated. */
static const struct {
    ir_op op;
    uint32_t layouts;
    cg_binder *bind;
} rows[] = {
    {IR_OP_conv2d, C16, cg_bind_conv2d},
    {IR_OP_conv2d_winograd, C16, cg_bind_conv2d_winograd},
    {IR_OP_conv2d_phases, C16, cg_bind_conv2d_phases},
    {IR_OP_linear, C16, cg_bind_linear},
    {IR_OP_feed_forward, C16, cg_bind_feed_forward},
    {IR_OP_group_stats, PLAIN, cg_bind_group_stats},
    {IR_OP_norm_apply, C16, cg_bind_norm_apply},
    {IR_OP_layer_norm, C16, cg_bind_layer_norm},
    {IR_OP_geglu, C16, cg_bind_geglu},
    {IR_OP_pack_k, PLAIN, cg_bind_pack_k},
    {IR_OP_pack_v, PLAIN, cg_bind_pack_v},
    {IR_OP_attention_tiled, C16, cg_bind_attention_tiled},
    {IR_OP_matmul, PLAIN, cg_bind_matmul},
    {IR_OP_softmax, PLAIN, cg_bind_softmax},
    {IR_OP_resize_nearest, C16, cg_bind_resize_nearest},
    {IR_OP_max_pool2d, C16, cg_bind_max_pool2d},
    {IR_OP_avg_pool2d, C16, cg_bind_avg_pool2d},
    {IR_OP_embedding, C16, cg_bind_embedding},
    {IR_OP_select_row, C16, cg_bind_select_row},
    {IR_OP_timestep_embedding, C16, cg_bind_timestep_embedding},
    {IR_OP_concat, PLAIN | C16, cg_bind_concat},
    {IR_OP_slice, PLAIN | C16, cg_bind_slice},
    {IR_OP_transpose, PLAIN, cg_bind_transpose},
    {IR_OP_layout_cast, PLAIN | C16, cg_bind_layout_cast},
    {IR_OP_copy, PLAIN | C16, cg_bind_copy_node},
};

static cg_binder *find(ir_op op, uint32_t *layouts) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].op == op) {
            *layouts = rows[i].layouts;
            return rows[i].bind;
        }
    *layouts = PLAIN | C16;
    return ir_op_get(op)->flags & IR_FLAG_EW ? cg_bind_ew : NULL;
}

static bool bind(const ir_target *t, ir_func *f, ir_ref node, ir_binding **out, base_str *reason) {
    const ir_node *n = ir_get(f, node);
    uint32_t layouts;
    cg_binder *binder = find(n->op, &layouts);
    cg_bind b = {(const cg_target_info *)t, f, n, NULL, reason};
    if (!binder) return cg_refuse(&b, "there is no kernel for %s", ir_op_get(n->op)->name);
    if (!(layouts & (n->type.layout == IR_C16 ? C16 : PLAIN)) &&
        !(layouts == C16 && cg_is_c16(&n->type)))
        return cg_refuse(&b, "there is no kernel for %s with a %s result", ir_op_get(n->op)->name,
                         ir_layout_name[n->type.layout]);
    b.out = base_arena_alloc(f->module->arena, sizeof *b.out);
    if (!binder(&b)) return false;
    cg_tuned_tiles(&b);
    *out = b.out;
    return true;
}

static bool has_kernel(ir_op op, ir_layout layout) {
    uint32_t layouts;
    return find(op, &layouts) && (layouts & (layout == IR_C16 ? C16 : PLAIN));
}

/* Common cache sizes of the level's CPUs: a named level gives the same program wherever it is
 * compiled. */
#define KIB(n) (uint64_t)(n) << 10
#define TARGET(a, ID, suffix, name, PLAIN, plain, FORM, lanes, l1, l2, cpu, beyond, ...)           \
    {{name, 2, KIB(l1), KIB(l2), bind, has_kernel, 0, cg_measured, lanes, IR_FORM_NONE},           \
     EBRU_ISA_##ID,                                                                                \
     cpu,                                                                                          \
     beyond,                                                                                       \
     {0}},
const cg_target_info cg_targets_x86_64[EBRU_LEVEL_COUNT_x86_64] = {
    EBRU_LEVELS_x86_64(TARGET, TARGET, 0)};
const cg_target_info cg_targets_aarch64[EBRU_LEVEL_COUNT_aarch64] = {
    EBRU_LEVELS_aarch64(TARGET, TARGET, 0)};

/* This machine as other processes may use it. */
static base_cpu this_cpu(void) {
    base_cpu cpu;
    base_cpu_detect(&cpu);
    base_cpu_grantable(&cpu);
    return cpu;
}

const ir_target *cg_target_native(base_diag *d, const cg_arch *a) {
    static cg_target_info here;
    const base_cpu cpu = this_cpu();
    for (uint32_t i = 0; i < a->target_count; i++) {
        if (a->targets[i].isa != cpu.isa) continue;
        here = a->targets[i];
        if (cpu.l1d) here.base.l1d = cpu.l1d;
        if (cpu.l2) here.base.l2 = cpu.l2;
        here.base.l3 = cpu.l3;
        return &here.base;
    }
    base_error(d, NULL,
               "this machine's CPU has none of the supported levels; name one with -mcpu=");
    return NULL;
}

bool cg_target_runs_here(const ir_target *t, base_str *missing) {
    const base_cpu cpu = this_cpu();
    const int32_t isa = cg_target_isa(t);
    char text[200];
    if (base_cpu_runs(&cpu, isa)) return true;
    if (!missing) return false;
    if (base_cpu_missing(&cpu, isa, text, sizeof text) > 0)
        base_str_add(missing, text);
    else
        base_str_add(missing, "its architecture");
    return false;
}
