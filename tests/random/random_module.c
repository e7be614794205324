#include "tests/random/random_module.h"

#include <math.h>
#include <string.h>

typedef struct gen {
    ir_module *m;
    ir_func *f;
    const random_options *o;
    uint64_t state;
    uint32_t weights;
} gen;

/* ---- choices ---- */

/* Uniform in [0, n). The generator of PCG (O'Neill, 2014) with its high bits. */
static uint32_t pick(gen *g, uint32_t n) {
    g->state = g->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((g->state >> 33) % n);
}

static bool chance(gen *g, uint32_t percent) {
    return pick(g, 100) < percent;
}

/* Extents of channels and tokens: 1, below a block, whole blocks, and tails. */
static int64_t extent(gen *g) {
    static const int64_t extents[] = {1,  2,  3,  4,  5,  7,  8,  8,  15, 16,
                                      16, 17, 20, 24, 31, 32, 33, 40, 48};
    return extents[pick(g, sizeof extents / sizeof *extents)];
}

static const ir_type *type_of(const gen *g, ir_ref r) {
    return ir_typeof(g->f, r);
}

/* A random f32 value of this rank (0: any); IR_NONE when there is none. Recent ones are likelier.
 */
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

static ir_ref weight(gen *g, uint32_t rank, const int64_t *dim, double bound, double center) {
    static const ir_dtype dtypes[] = {IR_f32, IR_f32, IR_f32, IR_f32,
                                      IR_f32, IR_f32, IR_f16, IR_bf16};
    char name[32];
    snprintf(name, sizeof name, "n/w%u.weight", g->weights++);
    ir_type t = ir_type_make(dtypes[pick(g, 8)], rank, dim);
    uint32_t i = ir_weight_add(g->m, name, &t);
    ir_weight *w = &g->m->weights.items[i];
    w->kind = IR_WEIGHT_RANDOM;
    w->seed = i + 1;
    w->bound = bound;
    w->center = center;
    return ir_weight_ref(g->f, i, 0);
}

/* A vector, or nothing. */
static ir_ref maybe_vector(gen *g, int64_t n, double bound) {
    return pick(g, 2) ? weight(g, 1, &n, bound, 0) : IR_NONE;
}

/* ---- building ---- */

/* The op when it is legal and small enough, else IR_NONE. */
static ir_ref build(gen *g, ir_op op, const ir_ref *x, uint32_t n, const void *attrs) {
    ir_type t;
    base_str faults = {0};
    for (uint32_t i = 0; i < n; i++)
        if (!ir_ref_ok(x[i]) && i < ir_op_get(op)->min_operands) return IR_NONE;
    bool fits =
        ir_infer(g->f, op, x, n, attrs ? attrs : ir_op_get(op)->attr_default, &t, &faults) &&
        ir_type_elements(&t) <= g->o->most_elements;
    base_str_free(&faults);
    return fits ? ir_build(g->f, op, x, n, attrs, IR_PLAIN, 0) : IR_NONE;
}

static ir_ref build1(gen *g, ir_op op, ir_ref x, const void *attrs) {
    return build(g, op, &x, 1, attrs);
}

static ir_ref build2(gen *g, ir_op op, ir_ref x, ir_ref y, const void *attrs) {
    return build(g, op, (ir_ref[]){x, y}, 2, attrs);
}

static ir_ref affine(gen *g, ir_ref x, double mul, double add) {
    return build1(g, IR_OP_affine, x, &(struct ir_attrs_affine){.mul = mul, .add = add});
}

static ir_ref reshape(gen *g, ir_ref x, uint32_t rank, const int64_t *dim) {
    struct ir_attrs_shape a = {.shape = {.n = rank}};
    memcpy(a.shape.v, dim, rank * sizeof *dim);
    return build1(g, IR_OP_reshape, x, &a);
}

static ir_ref transpose(gen *g, ir_ref x, uint32_t rank, const int64_t *perm) {
    struct ir_attrs_transpose a = {.perm = {.n = rank}};
    memcpy(a.perm.v, perm, rank * sizeof *perm);
    return build1(g, IR_OP_transpose, x, &a);
}

/* ---- products ---- */

static ir_ref conv2d(gen *g, ir_ref x) {
    static const int64_t sides[] = {1, 1, 3, 3, 3, 3, 2, 5};
    int64_t n = extent(g), c = type_of(g, x)->dim[1], kh = sides[pick(g, 8)], kw = kh;
    if (chance(g, 10)) kw = sides[pick(g, 8)];
    ir_ref o[] = {x, weight(g, 4, (int64_t[]){n, c, kh, kw}, 1.5 / sqrt((double)(c * kh * kw)), 0),
                  maybe_vector(g, n, 0.3)};
    struct ir_attrs_conv2d a = IR_DEFAULTS(conv2d);
    if (chance(g, 80))
        a.pad = IR_I4(kh / 2, kw / 2, kh / 2, kw / 2);
    else if (pick(g, 2))
        a.pad = IR_I4(0, pick(g, 3), 1, pick(g, 2)); /* one side more than the other */
    if (chance(g, 20)) a.stride = IR_I2(1 + pick(g, 2), 1 + pick(g, 3));
    return build(g, IR_OP_conv2d, o, 3, &a);
}

static ir_ref linear(gen *g, ir_ref x) {
    const ir_type t = *type_of(g, x);
    int64_t n = extent(g), c = t.dim[t.rank - 1], filter[] = {n, c, 1, 1};
    ir_ref o[] = {x, weight(g, pick(g, 4) ? 2 : 4, filter, 1.5 / sqrt((double)c), 0),
                  maybe_vector(g, n, 0.3)};
    ir_ref y = build(g, IR_OP_linear, o, 3, NULL);
    return y;
}

/* linear, a gate, linear: what a transformer's feed-forward is. */
static ir_ref feed_forward(gen *g, ir_ref x) {
    const ir_type t = *type_of(g, x);
    int64_t c = t.dim[t.rank - 1], hidden = extent(g);
    ir_ref h = linear(g, x);
    if (!ir_ref_ok(h)) return h;
    int64_t k = type_of(g, h)->dim[t.rank - 1];
    ir_ref up[] = {h, weight(g, 2, (int64_t[]){2 * hidden, k}, 1.5 / sqrt((double)k), 0),
                   maybe_vector(g, 2 * hidden, 0.3)};
    h = build1(g, IR_OP_geglu, build(g, IR_OP_linear, up, 3, NULL), NULL);
    ir_ref down[] = {h, weight(g, 2, (int64_t[]){c, hidden}, 1.5 / sqrt((double)hidden), 0),
                     maybe_vector(g, c, 0.3)};
    h = build(g, IR_OP_linear, down, 3, NULL);
    return pick(g, 2) ? build2(g, IR_OP_add, h, x, NULL) : h;
}

/* A batched product of any two values, each brought to the rank of the other. */
static ir_ref matmul(gen *g, ir_ref a, ir_ref b) {
    if (!ir_ref_ok(b)) return IR_NONE;
    const ir_type s = *type_of(g, a), t = *type_of(g, b);
    struct ir_attrs_matmul m = {.transpose_b = pick(g, 2), .scale = pick(g, 2) ? 1.0 : 0.25};
    if (s.rank < 2 || t.rank != s.rank) return IR_NONE;
    int64_t k = s.dim[s.rank - 1], perm[IR_MAX_RANK];
    for (uint32_t i = 0; i < t.rank; i++) perm[i] = i;
    perm[t.rank - 2] = t.rank - 1;
    perm[t.rank - 1] = t.rank - 2;
    m.scale /= sqrt((double)k);
    ir_ref y = build2(g, IR_OP_matmul, a, b, &m);
    if (ir_ref_ok(y)) return y;
    m.transpose_b = !m.transpose_b;
    y = build2(g, IR_OP_matmul, a, b, &m);
    return ir_ref_ok(y) ? y
                        : build2(g, IR_OP_matmul, a, transpose(g, a, s.rank, perm),
                                 &(struct ir_attrs_matmul){.scale = 1 / sqrt((double)k)});
}

static ir_ref attention(gen *g, ir_ref x, ir_ref c) {
    const ir_type q = *type_of(g, x), k = *type_of(g, c);
    if (q.rank != 3 || k.rank != 3 || q.dim[2] != k.dim[2] || q.dim[0] != k.dim[0]) return IR_NONE;
    int64_t heads = 1 + pick(g, 3);
    while (q.dim[2] % heads) heads--;
    int64_t d = q.dim[2] / heads;
    ir_ref v[3] = {x, c, c};
    for (int i = 0; i < 3; i++) {
        const ir_type *t = i ? &k : &q;
        v[i] = reshape(g, v[i], 4, (int64_t[]){t->dim[0], t->dim[1], heads, d});
        v[i] = transpose(g, v[i], 4, (int64_t[]){0, 2, 1, 3});
    }
    struct ir_attrs_matmul m = {.transpose_b = true, .scale = 1 / sqrt((double)d)};
    struct ir_attrs_softmax s = {.causal = q.dim[1] == k.dim[1] && pick(g, 2)};
    ir_ref y = build1(g, IR_OP_softmax, build(g, IR_OP_matmul, v, 2, &m), &s);
    y = build2(g, IR_OP_matmul, y, v[2], NULL);
    y = transpose(g, y, 4, (int64_t[]){0, 2, 1, 3});
    return reshape(g, y, 3, q.dim);
}

/* ---- products of 8-bit integers ---- */

/* A value [B,n] or [1,n], made for the purpose. */
static ir_ref row_for(gen *g, int64_t batch, int64_t n) {
    ir_ref v = any(g, 2);
    if (!ir_ref_ok(v) || (type_of(g, v)->dim[0] != batch && type_of(g, v)->dim[0] != 1))
        return IR_NONE;
    const int64_t c = type_of(g, v)->dim[1];
    return build2(g, IR_OP_linear, v, weight(g, 2, (int64_t[]){n, c}, 1.5 / sqrt((double)c), 0),
                  NULL);
}

/* Operands and attributes of an image's quantize; the channels that it reads. */
static int64_t quantize_image(gen *g, ir_ref *in, struct ir_attrs_quantize *a) {
    const ir_type t = *type_of(g, in[0]);
    ir_ref other = any(g, 4);
    int64_t c = t.dim[1], channels = c;
    if (c % IR_BLOCK == 0 && ir_ref_ok(other)) {
        ir_type like = t;
        like.dim[1] = type_of(g, other)->dim[1];
        if (ir_shape_equal(&like, type_of(g, other))) {
            in[IR_IN(quantize, x1)] = other;
            channels += like.dim[1];
        }
    }
    for (int i = 0; i < 4 && chance(g, 40); i++) a->pad.v[i] = pick(g, 3);
    if (chance(g, 20)) a->upsample = IR_I2(t.dim[2] * 2, t.dim[3] * 2);
    if (chance(g, 10)) a->upsample = IR_I2(1 + pick(g, 6), 1 + pick(g, 6));
    if (chance(g, 40)) {
        struct ir_attrs_stats s = {.groups = 1 + pick(g, 4), .eps = 0.1};
        while (channels % s.groups) s.groups--;
        in[IR_IN(quantize, norm)] =
            build(g, IR_OP_group_stats,
                  (ir_ref[]){in[0], weight(g, 1, &channels, 0.3, 1),
                             weight(g, 1, &channels, 0.3, 0), in[IR_IN(quantize, x1)]},
                  4, &s);
    }
    bool padded = false;
    for (int i = 0; i < 4; i++) padded |= a->pad.v[i] != 0;
    if (padded || pick(g, 3))
        in[IR_IN(quantize, range)] = build(g, IR_OP_channel_range, in, 2, NULL);
    return channels;
}

/* What lower_int8 makes of a convolution or a linear, with every operand that the ops may have. */
static ir_ref conv2d_i8(gen *g, ir_ref x) {
    const ir_type t = *type_of(g, x);
    if (t.rank != 3 && t.rank != 4) return IR_NONE;
    struct ir_attrs_quantize q = IR_DEFAULTS(quantize);
    struct ir_attrs_conv2d_i8 a = IR_DEFAULTS(conv2d_i8);
    ir_ref in[IR_OPERANDS(quantize)] = {x, IR_NONE, IR_NONE, IR_NONE};
    const bool image = t.rank == 4;
    if (chance(g, 30)) q.pre_act = IR_ACT_SILU;
    a.channels = image ? quantize_image(g, in, &q) : t.dim[2];
    a.n = extent(g);
    a.geglu = !image && a.n % (2 * IR_BLOCK) == 0 && pick(g, 2);
    if (!a.geglu && chance(g, 30)) a.act = pick(g, 2) ? IR_ACT_SILU : IR_ACT_GELU;
    int64_t kh = image ? 1 + pick(g, 3) : 1, kw = image ? 1 + pick(g, 3) : 1;
    if (image && chance(g, 20)) a.stride = IR_I2(1 + pick(g, 2), 1 + pick(g, 3));
    ir_ref y[IR_OPERANDS(conv2d_i8)] = {build(g, IR_OP_quantize, in, 4, &q)};
    if (!ir_ref_ok(y[0])) return IR_NONE;
    const double bound = 1.5 / sqrt((double)(a.channels * kh * kw));
    ir_ref w = weight(g, image ? 4 : 2, (int64_t[]){a.n, a.channels, kh, kw}, bound, 0);
    y[IR_IN(conv2d_i8, w)] = build1(g, IR_OP_pack_i8_weight, w, NULL);
    y[IR_IN(conv2d_i8, scale)] = build1(g, IR_OP_pack_i8_scale, w, NULL);
    y[IR_IN(conv2d_i8, bias)] = maybe_vector(g, a.n, 0.3);
    y[IR_IN(conv2d_i8, tbias)] = image && pick(g, 2) ? row_for(g, t.dim[0], a.n) : IR_NONE;
    y[IR_IN(conv2d_i8, residual)] = IR_NONE;
    ir_ref r = build(g, IR_OP_conv2d_i8, y, IR_OPERANDS(conv2d_i8), &a);
    if (!ir_ref_ok(r) || a.geglu || pick(g, 3)) return r;
    y[IR_IN(conv2d_i8, residual)] = affine(g, r, 0.5, 0.25);
    return build(g, IR_OP_conv2d_i8, y, IR_OPERANDS(conv2d_i8), &a);
}

/* ---- norms ---- */

static ir_ref group_norm(gen *g, ir_ref x) {
    int64_t c = type_of(g, x)->dim[1], groups = 1 + pick(g, 8);
    struct ir_attrs_group_norm a = IR_DEFAULTS(group_norm);
    while (c % groups) groups--;
    a.groups = groups;
    a.eps = 0.1;
    ir_ref o[] = {x, weight(g, 1, &c, 0.3, 1), weight(g, 1, &c, 0.3, 0)};
    ir_ref y = build(g, IR_OP_group_norm, o, 3, &a);
    return pick(g, 3) ? build1(g, IR_OP_silu, y, NULL) : y;
}

static ir_ref layer_norm(gen *g, ir_ref x) {
    const ir_type *t = type_of(g, x);
    int64_t c = t->dim[t->rank - 1];
    struct ir_attrs_norm a = {.eps = 0.1};
    ir_ref gamma = weight(g, 1, &c, 0.3, 1), beta = weight(g, 1, &c, 0.3, 0);
    return build(g, IR_OP_layer_norm, (ir_ref[]){x, gamma, beta}, 3, &a);
}

/* ---- elementwise ---- */

/* x in (0.5, 1.5), whatever it was: a divisor, or what has a root. */
static ir_ref positive(gen *g, ir_ref x) {
    return affine(g, build1(g, IR_OP_sigmoid, x, NULL), 1, 0.5);
}

static ir_ref unary(gen *g, ir_ref x) {
    static const struct {
        double mul, add;
    } affines[] = {{0.5, 0}, {-1.5, 0.25}, {1, 0.5}, {0, 0.5}, {1, 0}};
    uint32_t which = pick(g, 5);
    struct ir_attrs_clamp c = {.lo = -0.5, .hi = 1};
    switch (pick(g, 8)) {
    case 0: return affine(g, x, affines[which].mul, affines[which].add);
    case 1: return build2(g, IR_OP_mul, build1(g, IR_OP_sigmoid, x, NULL), x, NULL); /* a gate */
    case 2: return build1(g, IR_OP_clamp, x, &c);
    case 3: return build1(g, IR_OP_exp, build1(g, IR_OP_tanh, x, NULL), NULL);
    case 4: return build1(g, IR_OP_sqrt, positive(g, x), NULL);
    case 5: return build1(g, IR_OP_neg, x, NULL);
    default: return build1(g, ir_act_op((ir_act)(1 + pick(g, IR_ACT_COUNT - 1))), x, NULL);
    }
}

static ir_ref binary(gen *g, ir_ref x) {
    static const ir_op ops[] = {IR_OP_add, IR_OP_add, IR_OP_add, IR_OP_mul,
                                IR_OP_sub, IR_OP_max, IR_OP_min, IR_OP_div};
    ir_op op = ops[pick(g, 8)];
    ir_ref y = any(g, chance(g, 70) ? type_of(g, x)->rank : 0);
    if (!ir_ref_ok(y)) return IR_NONE;
    if (chance(g, 20)) { /* a constant vector or number */
        const ir_type *t = type_of(g, x);
        y = weight(g, 1, &(int64_t){pick(g, 2) ? 1 : t->dim[t->rank - 1]}, 1, 0);
        if (type_of(g, y)->dtype != IR_f32) return IR_NONE;
    }
    if (op == IR_OP_div) y = positive(g, y);
    return pick(g, 4) || op == IR_OP_div ? build2(g, op, x, y, NULL) : build2(g, op, y, x, NULL);
}

/* ---- moves ---- */

/* Image to tokens, tokens to image, vector to image, and moves that are none of these. */
static ir_ref move(gen *g, ir_ref x) {
    const ir_type t = *type_of(g, x);
    int64_t perm[IR_MAX_RANK], dim[IR_MAX_RANK + 1];
    if (t.rank == 2 && chance(g, 60))
        return reshape(g, x, 4, (int64_t[]){t.dim[0], t.dim[1], 1, 1});
    if (t.rank == 3 && chance(g, 70)) {
        int64_t h = t.dim[1] % 3 == 0 ? 3 : t.dim[1] % 2 ? 1 : 2;
        x = transpose(g, x, 3, (int64_t[]){0, 2, 1});
        return reshape(g, x, 4, (int64_t[]){t.dim[0], t.dim[2], h, t.dim[1] / h});
    }
    if (t.rank == 4 && chance(g, 70)) {
        x = reshape(g, x, 3, (int64_t[]){t.dim[0], t.dim[1], t.dim[2] * t.dim[3]});
        return transpose(g, x, 3, (int64_t[]){0, 2, 1});
    }
    if (t.rank >= 2 && pick(g, 2)) {
        uint32_t by = 1 + pick(g, t.rank - 1);
        for (uint32_t i = 0; i < t.rank; i++) perm[i] = (i + by) % t.rank;
        if (pick(g, 2)) { /* two neighbours change places */
            for (uint32_t i = 0; i < t.rank; i++) perm[i] = i;
            perm[by - 1] = by;
            perm[by] = by - 1;
        }
        return transpose(g, x, t.rank, perm);
    }
    if (t.rank < 5 && pick(g, 2)) { /* an axis of one more */
        uint32_t at = pick(g, t.rank + 1);
        for (uint32_t i = 0; i <= t.rank; i++)
            dim[i] = i < at ? t.dim[i] : i > at ? t.dim[i - 1] : 1;
        return reshape(g, x, t.rank + 1, dim);
    }
    return reshape(g, x, 2, (int64_t[]){t.dim[0], ir_type_elements(&t) / t.dim[0]});
}

static ir_ref slice(gen *g, ir_ref x) {
    const ir_type *t = type_of(g, x);
    struct ir_attrs_slice a = {.axis = pick(g, t->rank)};
    a.count = 1 + pick(g, (uint32_t)t->dim[a.axis]);
    a.start = pick(g, (uint32_t)(t->dim[a.axis] - a.count + 1));
    return build1(g, IR_OP_slice, x, &a);
}

static ir_ref concat(gen *g, ir_ref x) {
    const uint32_t rank = type_of(g, x)->rank, count = 2 + pick(g, 3);
    struct ir_attrs_axis a = {.axis = rank == 4 && pick(g, 2) ? 1 : pick(g, rank)};
    ir_ref v[4] = {x, IR_NONE, IR_NONE, IR_NONE};
    uint32_t n = 1;
    for (int attempt = 0; n < count && attempt < 8; attempt++) {
        ir_ref y = any(g, rank);
        bool fits = ir_ref_ok(y);
        for (uint32_t i = 0; fits && i < rank; i++)
            fits = i == a.axis || type_of(g, y)->dim[i] == type_of(g, x)->dim[i];
        if (fits) v[n++] = y;
    }
    return build(g, IR_OP_concat, v, n, &a);
}

static ir_ref image_op(gen *g, ir_ref x) {
    const ir_type t = *type_of(g, x);
    struct ir_attrs_pool pool = IR_DEFAULTS(pool);
    struct ir_attrs_size up = {.size = IR_I2(t.dim[2] * 2, t.dim[3] * 2)};
    if (pick(g, 3) == 0) up.size = IR_I2(1 + pick(g, 9), 1 + pick(g, 9));
    if (pick(g, 2)) {
        pool.kernel = IR_I2(1 + pick(g, 3), 1 + pick(g, 3));
        pool.stride = IR_I2(1 + pick(g, 2), 1 + pick(g, 2));
    }
    ir_ref y;
    switch (pick(g, 4)) {
    case 0: return build1(g, IR_OP_resize_nearest, x, &up);
    case 1: return build1(g, pick(g, 2) ? IR_OP_max_pool2d : IR_OP_avg_pool2d, x, &pool);
    default: y = build1(g, IR_OP_resize_nearest, x, &up); return ir_ref_ok(y) ? conv2d(g, y) : y;
    }
}

/* ---- indices ---- */

/* The input of indices; what case_eval gives it stays below the tables' four rows. */
static ir_ref ids_of(const gen *g) {
    for (uint32_t i = 0; i < g->f->nodes.count; i++)
        if (ir_get(g->f, (ir_ref){i})->type.dtype == IR_i32) return (ir_ref){i};
    return IR_NONE;
}

/* The nearest rows of a table. Of an input, whose values no pass can change: one rounding more would
 * make another row the nearest. */
static ir_ref nearest(gen *g) {
    const ir_ref context = {1};
    ir_ref table = weight(g, 2, (int64_t[]){4 + pick(g, 3), type_of(g, context)->dim[2]}, 1, 0);
    return build2(g, IR_OP_embedding, build2(g, IR_OP_nearest, context, table, NULL), table, NULL);
}

static ir_ref embedding(gen *g) {
    ir_ref ids = ids_of(g);
    if (pick(g, 3) == 0) return nearest(g);
    if (!ir_ref_ok(ids)) return IR_NONE;
    int64_t c = extent(g), tokens = type_of(g, ids)->dim[1];
    ir_ref o[] = {ids, weight(g, 2, (int64_t[]){4 + pick(g, 3), c}, 1, 0), IR_NONE};
    if (pick(g, 2)) o[2] = weight(g, 2, (int64_t[]){tokens + pick(g, 2), c}, 1, 0);
    ir_ref x = build(g, IR_OP_embedding, o, 3, NULL);
    struct ir_attrs_select_row a = {.id = (int64_t)pick(g, 4) - 1};
    return pick(g, 2) ? build2(g, IR_OP_select_row, x, ids, &a) : x;
}

/* ---- modules ---- */

static void step(gen *g) {
    ir_ref x = any(g, 0);
    if (!ir_ref_ok(x)) return;
    const uint32_t rank = type_of(g, x)->rank;
    struct ir_attrs_softmax s = {.causal = false};
    if (g->o->int8 && rank >= 3 && chance(g, 30)) {
        conv2d_i8(g, x);
        return;
    }
    switch (pick(g, 12)) {
    case 0:
    case 1: binary(g, x); break;
    case 2: unary(g, x); break;
    case 3: move(g, x); break;
    case 4: rank >= 3 ? group_norm(g, x) : layer_norm(g, x); break;
    case 5: rank == 4 ? image_op(g, x) : rank == 3 ? feed_forward(g, x) : concat(g, x); break;
    case 6:
        if (rank == 3) {
            ir_ref context = any(g, 3);
            attention(g, x, pick(g, 2) && ir_ref_ok(context) ? context : x);
        } else {
            concat(g, x);
        }
        break;
    case 7: pick(g, 2) ? slice(g, x) : concat(g, x); break;
    case 8:
        if (chance(g, 30))
            embedding(g);
        else if (pick(g, 2))
            build1(g, IR_OP_softmax, x, &s);
        else
            matmul(g, x, any(g, rank));
        break;
    case 9: rank == 3 ? layer_norm(g, x) : unary(g, x); break;
    default: rank == 4 && pick(g, 5) ? conv2d(g, x) : linear(g, x);
    }
}

/* The outputs: the last value that depends on an input, and maybe another. */
static void set_outputs(gen *g) {
    bool *constant = ir_constants(g->f);
    ir_ref last = IR_NONE, other = any(g, 0);
    for (uint32_t i = 0; i < g->f->nodes.count; i++)
        if (!constant[i] && ir_get(g->f, (ir_ref){i})->op != IR_OP_input) last = (ir_ref){i};
    if (ir_ref_ok(other) && constant[other.id]) other = IR_NONE;
    base_free(constant);
    if (!ir_ref_ok(last)) last = build1(g, IR_OP_silu, (ir_ref){0}, NULL);
    ir_set_output(g->f, "sample_out", last);
    if (ir_ref_ok(other) && pick(g, 2)) ir_set_output(g->f, "other_out", other);
}

ir_module *random_module(uint64_t seed, const random_options *o) {
    gen g = {.m = ir_module_new(), .o = o, .state = seed * 0x9e3779b97f4a7c15u + 1};
    if (o->int8) g.m->level = IR_FUSED;
    g.f = ir_func_new(g.m, "n");
    const bool paired = chance(&g, 30);
    int64_t b = paired ? 2 : 1 + pick(&g, 2), c = extent(&g), tokens = 1 + pick(&g, 19);
    ir_type image = ir_type_make(IR_f32, 4, (int64_t[]){b, c, 1 + pick(&g, 6), 1 + pick(&g, 6)});
    ir_type text = ir_type_make(IR_f32, 3, (int64_t[]){b, tokens, c}),
            time = ir_type_make(IR_f32, 1, (int64_t[]){1}),
            ids = ir_type_make(IR_i32, 2, (int64_t[]){b, tokens});
    ir_ref sample = ir_input(g.f, "sample", &image, IR_STEP, 0);
    if (paired) ir_input_pair(g.f, sample);
    ir_input(g.f, "context", &text, chance(&g, 80) ? IR_PROMPT : IR_STEP, 0);
    ir_ref t = ir_input(g.f, "timestep", &time, chance(&g, 80) ? IR_SCHEDULE : IR_STEP, 0);
    if (pick(&g, 2)) ir_input(g.f, "ids", &ids, IR_PROMPT, 0);
    struct ir_attrs_timestep a = IR_DEFAULTS(timestep);
    a.dim = extent(&g) + 1;
    if (pick(&g, 2)) {
        a.flip = true;
        a.scale = 2;
        a.max_period = 100;
    }
    build1(&g, IR_OP_timestep_embedding, t, &a);
    for (uint32_t i = 0; i < o->ops; i++) step(&g);
    set_outputs(&g);
    ir_func *keep = ir_func_new(g.m, "keep"); /* beside it: something must survive splitting */
    ir_ref k = ir_input(keep, "k", &time, IR_PROMPT, 0);
    ir_set_output(keep, "k_out", ir_op1(keep, IR_OP_silu, k, NULL, 0));
    return g.m;
}

/* ---- coverage ---- */

static uint32_t shape_class(const ir_type *t) {
    int64_t n = t->rank ? t->dim[t->rank - 1] : 1;
    return n == 1              ? RANDOM_SHAPE_ONE
           : n < IR_BLOCK      ? RANDOM_SHAPE_BELOW
           : n % IR_BLOCK == 0 ? RANDOM_SHAPE_WHOLE
                               : RANDOM_SHAPE_TAIL;
}

void random_cover(random_coverage *c, const ir_module *m) {
    for (size_t k = 0; k < m->funcs.count; k++) {
        const ir_func *f = m->funcs.items[k];
        for (size_t i = 0; i < f->nodes.count; i++) {
            const ir_node *n = &f->nodes.items[i];
            c->op[n->op]++;
            c->rank[n->op][n->type.rank]++;
            c->shape[n->op][shape_class(&n->type)]++;
            for (uint32_t j = 0; j < n->operand_count; j++)
                if (ir_ref_ok(n->operand[j])) c->edge[ir_get(f, n->operand[j])->op][n->op]++;
        }
    }
}

static void add_share(base_str *out, const char *what, uint32_t seen, uint32_t all) {
    base_str_addf(out, "%-12s %u of %u\n", what, seen, all);
}

bool random_makes(ir_op op, bool int8) {
    static const ir_op lowered[] = {IR_OP_channel_range,  IR_OP_quantize,      IR_OP_conv2d_i8,
                                    IR_OP_pack_i8_weight, IR_OP_pack_i8_scale, IR_OP_group_stats};
    for (size_t i = 0; int8 && i < sizeof lowered / sizeof *lowered; i++)
        if (op == lowered[i]) return true;
    return ir_op_get(op)->levels >> IR_GRAPH & 1;
}

void random_coverage_print(const random_coverage *c, bool int8, base_str *out) {
    uint32_t ops = 0, seen = 0, shapes = 0, ranks = 0, edges = 0;
    base_str never = {0};
    for (uint32_t op = 0; op < IR_OP_COUNT; op++) {
        if (!random_makes((ir_op)op, int8)) continue;
        ops++;
        seen += c->op[op] != 0;
        if (!c->op[op]) base_str_addf(&never, " %s", ir_op_get((ir_op)op)->name);
        for (uint32_t i = 0; i < RANDOM_SHAPES; i++) shapes += c->shape[op][i] != 0;
        for (uint32_t i = 0; i <= IR_MAX_RANK; i++) ranks += c->rank[op][i] != 0;
        for (uint32_t i = 0; i < IR_OP_COUNT; i++) edges += c->edge[op][i] != 0;
    }
    add_share(out, "ops", seen, ops);
    add_share(out, "op x shape", shapes, ops * RANDOM_SHAPES);
    base_str_addf(out, "%-12s %u\n", "op x rank", ranks);
    base_str_addf(out, "%-12s %u\n", "op to op", edges);
    if (never.len) base_str_addf(out, "never:%s\n", never.data);
    base_str_free(&never);
}
