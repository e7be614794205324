/* Random graphs: every pass alone and the whole pipeline, with passes left out at random, keep the
 * values. A failing seed is printed with the graph. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/passes/pass_case.h"

enum { SEEDS = 400, OPS = 14, MOST_ELEMENTS = 3000 };

typedef struct gen {
    ir_module *m;
    ir_func *f;
    uint32_t seed, weights;
} gen;

static uint32_t pick(gen *g, uint32_t n) {
    g->seed = g->seed * 1664525u + 1013904223u;
    return (g->seed >> 10) % n;
}

static ir_ref weight(gen *g, uint32_t rank, const int64_t *dim, double bound, double center) {
    char name[32];
    snprintf(name, sizeof name, "n/w%u.weight", g->weights++);
    ir_type t = ir_type_make(pick(g, 8) ? IR_f32 : IR_f16, rank, dim);
    uint32_t i = ir_weight_add(g->m, name, &t);
    g->m->weights.items[i].kind = IR_WEIGHT_RANDOM;
    g->m->weights.items[i].seed = i + 1;
    g->m->weights.items[i].bound = bound;
    g->m->weights.items[i].center = center;
    return ir_weight_ref(g->f, i, 0);
}

/* A random value of this rank (0: any); IR_NONE when there is none. Recent ones are likelier. */
static ir_ref any(gen *g, uint32_t rank) {
    for (int attempt = 0; attempt < 20; attempt++) {
        uint32_t n = (uint32_t)g->f->nodes.count, k = pick(g, n), j = pick(g, n);
        if (j > k && pick(g, 2)) k = j;
        const ir_node *x = ir_get(g->f, (ir_ref){k});
        if (x->op != IR_OP_weight && x->type.dtype == IR_f32 && x->type.rank >= 1 &&
            (!rank || x->type.rank == rank))
            return (ir_ref){k};
    }
    return IR_NONE;
}

static ir_ref try_build(gen *g, ir_op op, const ir_ref *x, uint32_t n, const void *attrs) {
    ir_type t;
    base_str faults = {0};
    bool fits =
        ir_infer(g->f, op, x, n, attrs ? attrs : ir_op_get(op)->attr_default, &t, &faults) &&
        ir_type_elements(&t) <= MOST_ELEMENTS;
    base_str_free(&faults);
    return fits ? ir_build(g->f, op, x, n, attrs, IR_PLAIN, 0) : IR_NONE;
}

static ir_ref reshape(gen *g, ir_ref x, uint32_t rank, const int64_t *dim) {
    struct ir_attrs_shape a = {.shape = {.n = rank}};
    for (uint32_t i = 0; i < rank; i++) a.shape.v[i] = dim[i];
    return try_build(g, IR_OP_reshape, &x, 1, &a);
}

static ir_ref transpose(gen *g, ir_ref x, uint32_t rank, const int64_t *perm) {
    struct ir_attrs_transpose a = {.perm = {.n = rank}};
    for (uint32_t i = 0; i < rank; i++) a.perm.v[i] = perm[i];
    return try_build(g, IR_OP_transpose, &x, 1, &a);
}

static ir_ref conv(gen *g, ir_ref x) {
    static const int64_t widths[] = {4, 8, 16, 20, 32};
    int64_t n = widths[pick(g, 5)], c = ir_typeof(g->f, x)->dim[1], k = pick(g, 2) ? 3 : 1;
    ir_ref o[] = {x, weight(g, 4, (int64_t[]){n, c, k, k}, 1.0 / sqrt((double)(c * k * k)), 0),
                  IR_NONE};
    if (pick(g, 2)) o[2] = weight(g, 1, &n, 0.3, 0);
    struct ir_attrs_conv2d a = IR_DEFAULTS(conv2d);
    if (k == 3) a.pad = IR_I4(1, 1, 1, 1);
    if (!pick(g, 4)) a.stride = IR_I2(2, 2);
    return try_build(g, IR_OP_conv2d, o, 3, &a);
}

static ir_ref linear(gen *g, ir_ref x) {
    static const int64_t widths[] = {4, 8, 16, 20};
    const ir_type t = *ir_typeof(g->f, x);
    int64_t n = widths[pick(g, 4)], c = t.dim[t.rank - 1];
    ir_ref o[] = {x, weight(g, 2, (int64_t[]){n, c}, 1.0 / sqrt((double)c), 0), IR_NONE};
    if (pick(g, 2)) o[2] = weight(g, 1, &n, 0.3, 0);
    return try_build(g, IR_OP_linear, o, 3, NULL);
}

static ir_ref group_norm(gen *g, ir_ref x) {
    int64_t c = ir_typeof(g->f, x)->dim[1];
    struct ir_attrs_group_norm a = IR_DEFAULTS(group_norm);
    a.groups = c % 4 ? 1 : pick(g, 2) ? 4 : 2;
    a.eps = 0.1;
    ir_ref o[] = {x, weight(g, 1, &c, 0.3, 1), weight(g, 1, &c, 0.3, 0)};
    ir_ref y = try_build(g, IR_OP_group_norm, o, 3, &a);
    return pick(g, 3) && ir_ref_ok(y) ? try_build(g, IR_OP_silu, &y, 1, NULL) : y;
}

static ir_ref attention(gen *g, ir_ref x, ir_ref c) {
    const ir_type q = *ir_typeof(g->f, x), k = *ir_typeof(g->f, c);
    if (q.rank != 3 || k.rank != 3 || q.dim[2] != k.dim[2] || q.dim[0] != k.dim[0]) return IR_NONE;
    int64_t heads = q.dim[2] % 2 ? 1 : 2, d = q.dim[2] / heads;
    ir_ref v[3] = {x, c, c};
    for (int i = 0; i < 3; i++) {
        const ir_type *t = i ? &k : &q;
        v[i] = reshape(g, v[i], 4, (int64_t[]){t->dim[0], t->dim[1], heads, d});
        v[i] = transpose(g, v[i], 4, (int64_t[]){0, 2, 1, 3});
    }
    struct ir_attrs_matmul m = {.transpose_b = true, .scale = 0.5};
    struct ir_attrs_softmax s = {.causal = q.dim[1] == k.dim[1] && pick(g, 2)};
    ir_ref y = try_build(g, IR_OP_matmul, v, 2, &m);
    if (!ir_ref_ok(y)) return y;
    y = try_build(g, IR_OP_softmax, &y, 1, &s);
    y = try_build(g, IR_OP_matmul, (ir_ref[]){y, v[2]}, 2, NULL);
    y = transpose(g, y, 4, (int64_t[]){0, 2, 1, 3});
    return reshape(g, y, 3, q.dim);
}

static ir_ref binary(gen *g) {
    static const ir_op ops[] = {IR_OP_add, IR_OP_add, IR_OP_add, IR_OP_mul,
                                IR_OP_sub, IR_OP_max, IR_OP_min};
    ir_ref x[] = {any(g, 0), any(g, 0)};
    if (!ir_ref_ok(x[0]) || !ir_ref_ok(x[1])) return IR_NONE;
    if (!pick(g, 5)) { /* a constant vector */
        const ir_type *t = ir_typeof(g->f, x[0]);
        x[1] = weight(g, 1, &(int64_t){pick(g, 2) ? 1 : t->dim[t->rank - 1]}, 1, 0);
    }
    return try_build(g, ops[pick(g, 7)], x, 2, NULL);
}

static ir_ref unary(gen *g, ir_ref x) {
    static const ir_op ops[] = {IR_OP_silu, IR_OP_silu,    IR_OP_gelu, IR_OP_relu,
                                IR_OP_tanh, IR_OP_sigmoid, IR_OP_neg,  IR_OP_quick_gelu};
    if (!pick(g, 4)) {
        struct ir_attrs_affine a = {.mul = pick(g, 2) ? 0.5 : -1.5, .add = pick(g, 2) ? 0.25 : 0};
        return try_build(g, IR_OP_affine, &x, 1, &a);
    }
    if (!pick(g, 6)) { /* a gate */
        ir_ref s = try_build(g, IR_OP_sigmoid, &x, 1, NULL);
        return try_build(g, IR_OP_mul, (ir_ref[]){s, x}, 2, NULL);
    }
    return try_build(g, ops[pick(g, 8)], &x, 1, NULL);
}

/* Image to tokens, tokens to image, vector to image, and moves that are none of these. */
static ir_ref move(gen *g, ir_ref x) {
    const ir_type t = *ir_typeof(g->f, x);
    if (t.rank == 2 && pick(g, 4)) return reshape(g, x, 4, (int64_t[]){t.dim[0], t.dim[1], 1, 1});
    if (t.rank == 3 && pick(g, 4)) {
        int64_t h = t.dim[1] % 2 ? 1 : 2;
        x = transpose(g, x, 3, (int64_t[]){0, 2, 1});
        return reshape(g, x, 4, (int64_t[]){t.dim[0], t.dim[2], h, t.dim[1] / h});
    }
    if (t.rank == 4 && pick(g, 4)) {
        x = reshape(g, x, 3, (int64_t[]){t.dim[0], t.dim[1], t.dim[2] * t.dim[3]});
        return transpose(g, x, 3, (int64_t[]){0, 2, 1});
    }
    if (t.rank >= 2 && pick(g, 2)) {
        int64_t perm[IR_MAX_RANK];
        for (uint32_t i = 0; i < t.rank; i++) perm[i] = (i + 1) % t.rank;
        return transpose(g, x, t.rank, perm);
    }
    return reshape(g, x, 2, (int64_t[]){t.dim[0], ir_type_elements(&t) / t.dim[0]});
}

static ir_ref image_op(gen *g, ir_ref x) {
    const ir_type t = *ir_typeof(g->f, x);
    struct ir_attrs_size up = {.size = IR_I2(t.dim[2] * 2, t.dim[3] + 1)};
    struct ir_attrs_pool pool = IR_DEFAULTS(pool);
    struct ir_attrs_axis axis = {.axis = 1};
    struct ir_attrs_slice part = {.axis = pick(g, 2), .start = 0, .count = 1};
    part.count = (t.dim[part.axis] + 1) / 2;
    part.start = t.dim[part.axis] - part.count;
    ir_ref y = any(g, 4);
    switch (pick(g, 6)) {
    case 0:
        y = try_build(g, IR_OP_resize_nearest, &x, 1, &up);
        return ir_ref_ok(y) ? conv(g, y) : y;
    case 1: return try_build(g, IR_OP_resize_nearest, &x, 1, &up);
    case 2: return try_build(g, pick(g, 2) ? IR_OP_max_pool2d : IR_OP_avg_pool2d, &x, 1, &pool);
    case 3: return try_build(g, IR_OP_slice, &x, 1, &part);
    default: return ir_ref_ok(y) ? try_build(g, IR_OP_concat, (ir_ref[]){x, y}, 2, &axis) : IR_NONE;
    }
}

static void step(gen *g) {
    ir_ref x = any(g, 0);
    if (!ir_ref_ok(x)) return;
    uint32_t rank = ir_typeof(g->f, x)->rank;
    struct ir_attrs_norm norm = {.eps = 0.1};
    switch (pick(g, 10)) {
    case 0:
    case 1: binary(g); break;
    case 2: unary(g, x); break;
    case 3: move(g, x); break;
    case 4:
        if (rank == 4) group_norm(g, x);
        break;
    case 5:
        if (rank == 4) image_op(g, x);
        break;
    case 6:
        if (rank == 3 && pick(g, 2)) {
            ir_ref context = any(g, 3);
            attention(g, x, pick(g, 2) && ir_ref_ok(context) ? context : x);
        } else if (rank == 3) {
            int64_t c = ir_typeof(g->f, x)->dim[2];
            try_build(g, IR_OP_layer_norm,
                      (ir_ref[]){x, weight(g, 1, &c, 0.3, 1), weight(g, 1, &c, 0.3, 0)}, 3, &norm);
        }
        break;
    default:
        if (rank == 4)
            conv(g, x);
        else
            linear(g, x);
    }
}

static ir_module *random_module(uint32_t seed) {
    gen g = {.m = ir_module_new(), .seed = seed * 2654435761u + 1};
    g.f = ir_func_new(g.m, "n");
    int64_t b = 1 + pick(&g, 2), c = (int64_t[]){3, 8, 16, 20}[pick(&g, 4)];
    ir_type image = ir_type_make(IR_f32, 4, (int64_t[]){b, c, 3 + pick(&g, 3), 4});
    ir_type tokens = ir_type_make(IR_f32, 3, (int64_t[]){b, 5, c}),
            time = ir_type_make(IR_f32, 1, (int64_t[]){1});
    ir_input(g.f, "sample", &image, IR_STEP, 0);
    ir_input(g.f, "context", &tokens, IR_PROMPT, 0);
    ir_ref t = ir_input(g.f, "timestep", &time, IR_SCHEDULE, 0);
    struct ir_attrs_timestep a = IR_DEFAULTS(timestep);
    a.dim = c + c % 2;
    try_build(&g, IR_OP_timestep_embedding, &t, 1, &a);
    for (int i = 0; i < OPS; i++) step(&g);
    ir_ref last = {(uint32_t)g.f->nodes.count - 1}, other = any(&g, 0);
    while (ir_get(g.f, last)->op == IR_OP_weight) last.id--;
    ir_set_output(g.f, "sample_out", last);
    if (ir_ref_ok(other) && pick(&g, 2)) ir_set_output(g.f, "other_out", other);
    ir_func_new(g.m, "keep"); /* a function beside it: something must survive splitting */
    ir_func *keep = g.m->funcs.items[1];
    ir_ref k = ir_input(keep, "k", &time, IR_PROMPT, 0);
    ir_set_output(keep, "k_out", ir_op1(keep, IR_OP_silu, k, NULL, 0));
    return g.m;
}

static void run_stages(const ir_module *m, case_values *v) {
    static const char *const names[] = {"n.prompt", "n.schedule", "n.step", "n"};
    for (int i = 0; i < 4; i++)
        if (ir_func_find(m, names[i])) case_eval(ir_func_find(m, names[i]), v, 0);
}

static void compare(case_values *want, case_values *got, uint32_t seed, const char *name,
                    const ir_module *m) {
    ir_tensor *a = case_find(want, name), *b = case_find(got, name);
    if (!a) return;
    double most = 0, worst = 0;
    bool fine = b && ir_shape_equal(&a->type, &b->type);
    for (int64_t i = 0; fine && i < ir_type_elements(&a->type); i++) {
        most = fmax(most, fabs((double)a->data[i]));
        worst = fmax(worst, fabs((double)a->data[i] - (double)b->data[i]));
    }
    if (fine && !(worst > 1e-4 * most + 1e-5)) return;
    base_str text = {0};
    ir_print(m, &text);
    fail_msg("seed %u, %s: %g of %g\n%s", seed, name, worst, most, strstr(text.data, "func"));
}

static void check(uint32_t seed, const pass_options *o) {
    ir_module *m = random_module(seed);
    case_values *v = base_alloc(2 * sizeof *v);
    run_stages(m, &v[0]);
    base_diag *d = base_diag_new(NULL);
    pass_context *c = pass_context_new(m, case_target());
    assert_true(pass_run(c, o, d));
    run_stages(m, &v[1]);
    compare(&v[0], &v[1], seed, "sample_out", m);
    compare(&v[0], &v[1], seed, "other_out", m);
    pass_context_free(c);
    base_diag_free(d);
    case_free_values(&v[0]);
    case_free_values(&v[1]);
    base_free(v);
    ir_module_free(m);
}

static void test_passes_alone(void **state) {
    (void)state;
    static const char *const lists[] = {"canonicalize",
                                        "fold_constants",
                                        "split_stages",
                                        "fuse_groupnorm_silu",
                                        "fuse_attention",
                                        "fuse_conv_epilogue",
                                        "eliminate_concat",
                                        "fuse_norm_prologue",
                                        "fuse_upsample",
                                        "fuse_elementwise",
                                        "lay_out",
                                        "lay_out,lay_out",
                                        "lay_out,pack_weights",
                                        "lay_out,pack_weights,tile_attention"};
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        pass_options o = PASS_OPTIONS_DEFAULT;
        o.verify_each = true;
        o.passes = lists[seed % (sizeof lists / sizeof *lists)];
        check(seed, &o);
    }
}

static void test_whole_road(void **state) {
    (void)state;
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        const char *off[64];
        uint32_t n = 0;
        for (uint32_t p = 0; p < pass_count(); p++)
            if (!(pass_get(p)->flags & PASS_REQUIRED) && (seed * 2654435761u >> (8 + p)) % 4 == 0)
                off[n++] = pass_get(p)->name;
        pass_options o = PASS_OPTIONS_DEFAULT;
        o.verify_each = true;
        o.disabled = off;
        o.disabled_count = seed % 3 ? n : 0;
        o.separate_buffers = seed % 7 == 0;
        check(1000 + seed, &o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes_alone),
        cmocka_unit_test(test_whole_road),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
