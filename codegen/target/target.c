/* The targets: CPU levels, and for every op how it is bound and in which layouts it can compute. */
#include "codegen/target/arch.h"
#include "codegen/target/tiles.h"

#include "base/cpu/cpu.h"

/* The binder of every op, by the column `code` of ops.def. */
static cg_binder *const binders[IR_OP_COUNT] = {
#define KERNEL(name)                                                          cg_bind_##name
#define LOOP(name)                                                            cg_bind_ew
#define NOTHING(name)                                                         NULL
#define OP(name, attrs, levels, flags, code, layout, cost, operands, summary) code(name),
#include "ir/ops.def"
#undef OP
#undef KERNEL
#undef LOOP
#undef NOTHING
};

/* Kernels of the op write a result of this layout. */
static bool writes(ir_op op, const ir_type *t) {
    if (ir_op_blocked(op)) return cg_is_c16(t);
    ir_result r = ir_op_get(op)->result;
    return t->layout == IR_PLAIN || r == IR_RESULT_SAME || r == IR_RESULT_KEEP;
}

static bool bind(const ir_target *t, ir_func *f, ir_ref node, ir_binding **out, base_str *reason) {
    const ir_node *n = ir_get(f, node);
    cg_binder *binder = binders[n->op];
    cg_bind b = {(const cg_target_info *)t, f, n, NULL, reason};
    if (!binder) return cg_refuse(&b, "there is no kernel for %s", ir_op_get(n->op)->name);
    if (!writes(n->op, &n->type))
        return cg_refuse(&b, "there is no kernel for %s with a %s result", ir_op_get(n->op)->name,
                         ir_layout_name[n->type.layout]);
    b.out = base_arena_alloc(f->module->arena, sizeof *b.out);
    if (!binder(&b)) return false;
    cg_cut_work(&b, 0); /* what records differ from */
    const uint32_t measured = cg_tuned_tiles(&b);
    if (measured) cg_cut_work(&b, measured);
    *out = b.out;
    return true;
}

/* Common cache sizes of the level's CPUs: a named level gives the same program wherever it is
 * compiled. */
#define KIB(n) (uint64_t)(n) << 10
/* ir_target's `rate` in f32, bf16 and bf16x3, by how a level multiplies bf16 (EBRU_BF16_*). PAIRS:
 * measured on a Zen 4. WIDE: f32 arithmetic on rounded numbers, measured with AVX-512. TILES: of
 * the matrix unit's 14 to 16 what operands from L2 leave, an estimate; three products of bf16x3
 * load their operands half as often. */
#define RATES_WIDE  1, 0.78, 0.26
#define RATES_PAIRS 1, 1.85, 0.62
#define RATES_TILES 1, 8, 3.3
/* The last one, in int8, by level: with instructions for dot products of bytes, measured on a Zen 4
 * with AVX512-VNNI; without them pairs of 16-bit integers, measured on the same at v2, v3 and v4.
 * NEON without dot products multiplies single 32-bit integers: an estimate. The matrix unit has
 * twice the products of bf16: an estimate, too. */
#define RATE_I8_NEON      0.5
#define RATE_I8_NEON_DOT  4
#define RATE_I8_NEON_BF16 4
#define RATE_I8_V2        1.45
#define RATE_I8_V3        1.04
#define RATE_I8_V3_VNNI   4
#define RATE_I8_V4        1.29
#define RATE_I8_V4_VNNI   4
#define RATE_I8_V4_BF16   4
#define RATE_I8_V4_AMX    16
#define TARGET(a, ID, suffix, name, PLAIN, plain, FORM, lanes, l1, l2, cpu, beyond, ...)           \
    {{name, 2, KIB(l1), KIB(l2), bind, 0, cg_measured, lanes, {0}, {RATES_##FORM, RATE_I8_##ID}},  \
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
