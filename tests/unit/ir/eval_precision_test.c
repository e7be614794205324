/* The evaluator's products in bf16 and bf16x3: rounding, packed forms, and every op that has a
 * precision against sums of products of numbers rounded here. */
#include "tests/unit/ir/eval_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- numbers ---- */

/* Eight bits of mantissa by arithmetic, for numbers far from the ends of the range. */
static double near_bf16(double x) {
    int e;
    double m = frexp(x, &e);
    return ldexp(nearbyint(m * 256), e - 8);
}

typedef struct split {
    double hi, lo;
} split;

static split split_of(ir_precision p, float x) {
    split s = {(double)x, 0};
    if (p != IR_PRECISION_F32) s.hi = near_bf16((double)x);
    if (p == IR_PRECISION_BF16X3) s.lo = near_bf16((double)x - s.hi);
    return s;
}

static double product(ir_precision p, float a, float b) {
    split x = split_of(p, a), y = split_of(p, b);
    return x.hi * y.hi + x.hi * y.lo + x.lo * y.hi;
}

/* Numbers with all bits of binary32, in (-1, 1). */
static float noise(int seed, int64_t i) {
    uint32_t h = (uint32_t)i * 2654435761u + (uint32_t)seed * 40503u;
    h = (h ^ h >> 15) * 2246822519u;
    h ^= h >> 13;
    return (float)((double)h / 2147483648.0 - 1.0);
}

static ir_ref noisy(eval_case *c, ir_type type, int seed) {
    int64_t n = ir_type_elements(&type);
    float *x = base_alloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = noise(seed, i);
    ir_ref r = case_values(c, type, x);
    base_free(x);
    return r;
}

static ir_ref packed(eval_case *c, ir_type type, int seed, ir_precision p) {
    struct ir_attrs_pack at = {.precision = p};
    return ir_op1(c->f, IR_OP_pack_conv_weight, noisy(c, type, seed), &at, 0);
}

static const ir_precision lowered[] = {IR_PRECISION_BF16, IR_PRECISION_BF16X3};

static void rounding(void **state) {
    (void)state;
    static const struct {
        float x;
        uint16_t bits;
    } rows[] = {
        {0, 0},
        {-0.0f, 0x8000},
        {1, 0x3f80},
        {-2.5f, 0xc020},
        {1 + 0x1p-8f, 0x3f80},            /* a tie: to even, down */
        {1 + 3 * 0x1p-8f, 0x3f82},        /* and up */
        {1 + 0x1p-8f + 0x1p-23f, 0x3f81}, /* just above a tie */
        {2 - 0x1p-23f, 0x4000},           /* up into the next binade */
        {0x1p-133f, 0x0001},              /* the least denormal */
        {0x1p-134f, 0x0000},              /* a tie with zero */
        {0x1.fep127f, 0x7f7f},            /* the largest */
        {0x1.ffp127f, 0x7f80},            /* beyond it */
        {INFINITY, 0x7f80},
        {-INFINITY, 0xff80},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(ir_bf16_bits(rows[i].x), rows[i].bits);
    uint32_t low = 0x7f800001u; /* a NaN all of whose bits are in the part that goes */
    float nan;
    memcpy(&nan, &low, sizeof nan);
    assert_true((ir_bf16_bits(nan) & 0x7fffu) > 0x7f80u);
    for (int64_t i = 0; i < 1000; i++) {
        uint32_t bits = (uint32_t)ir_bf16_bits(noise(9, i)) << 16;
        float x;
        memcpy(&x, &bits, sizeof x);
        assert_true((double)x == near_bf16((double)noise(9, i)));
    }
}

/* ---- packed forms ---- */

static void packed_weights(void **state) {
    (void)state;
    enum { N = 18, C = 37, TAPS = 6 };
    for (int k = 0; k < 2; k++) {
        eval_case c = case_new();
        ir_tensor y = case_eval(&c, packed(&c, T(N, C, 2, 3), 1, lowered[k]));
        int64_t parts = k + 1;
        ir_type want = T(2, 2, 2, 3, parts, 16, 16, 2);
        assert_true(ir_shape_equal(&y.type, &want));
        for (int64_t i = 0; i < ir_type_elements(&want); i++) { /* nb cb tap part c/2 n c%2 */
            int64_t ch = i / 32 % 16 * 2 + i % 2, part = i / 512 % parts,
                    tap = i / 512 / parts % TAPS;
            int64_t block = i / 512 / parts / TAPS;
            int64_t n = block / 2 * 16 + i / 2 % 16;
            ch += block % 2 * 32;
            split s = {0, 0};
            if (n < N && ch < C) s = split_of(lowered[k], noise(1, (n * C + ch) * TAPS + tap));
            assert_true((double)y.data[i] == (part ? s.lo : s.hi));
        }
        ir_tensor_free(&y);
        case_free(&c);
    }
}

static void packed_keys_and_values(void **state) {
    (void)state;
    enum { B = 2, S = 35, H = 2, D = 40 };
    for (int k = 0; k < 4; k++) {
        bool values = k % 2;
        ir_precision p = lowered[k / 2];
        eval_case c = case_new();
        struct ir_attrs_heads at = {.heads = H, .precision = p};
        ir_ref x = noisy(&c, T(B, S, H * D), 1);
        ir_tensor y = case_eval(&c, ir_op1(c.f, values ? IR_OP_pack_v : IR_OP_pack_k, x, &at, 0));
        int64_t parts = k / 2 + 1, rows = 48; /* S and D rounded up to 16 */
        ir_type want = T(B, H, parts, 2, rows, 32);
        assert_true(ir_shape_equal(&y.type, &want));
        for (int64_t i = 0; i < ir_type_elements(&want); i++) {
            int64_t across = i / (32 * rows) % 2 * 32 + i % 32, row = i / 32 % rows;
            int64_t part = i / (64 * rows) % parts, head = i / (64 * rows * parts);
            int64_t s = values ? across : row, d = values ? row : across;
            split v = {0, 0};
            if (s < S && d < D)
                v = split_of(p, noise(1, (head / H * S + s) * H * D + head % H * D + d));
            assert_true((double)y.data[i] == (part ? v.lo : v.hi));
        }
        ir_tensor_free(&y);
        case_free(&c);
    }
}

/* ---- ops ---- */

static void linear_of_rounded(void **state) {
    (void)state;
    enum { M = 9, N = 18, K = 37 };
    for (int k = 0; k < 2; k++) {
        eval_case c = case_new();
        struct ir_attrs_linear at = {.n = N, .precision = lowered[k]};
        ir_ref x = noisy(&c, T(M, K), 1), w = packed(&c, T(N, K), 2, lowered[k]),
               bias = noisy(&c, T(N), 3);
        ir_tensor y = case_eval(&c, ir_op3(c.f, IR_OP_linear, x, w, bias, &at, 0));
        for (int64_t m = 0; m < M; m++)
            for (int64_t n = 0; n < N; n++) {
                double sum = (double)noise(3, n); /* neither bias nor sum is rounded */
                for (int64_t i = 0; i < K; i++)
                    sum += product(lowered[k], noise(1, m * K + i), noise(2, n * K + i));
                assert_true(fabs((double)y.data[m * N + n] - sum) < 1e-6);
            }
        ir_tensor_free(&y);
        case_free(&c);
    }
}

/* conv2d over `x` [2,21,4,5] of one part and `w` of one part, in f32. */
static void part_of_conv(const float *x, const float *w, double sign, double *sum) {
    eval_case c = case_new();
    struct ir_attrs_conv2d at = IR_DEFAULTS(conv2d);
    at.pad = IR_I4(1, 0, 1, 2);
    at.stride = IR_I2(2, 1);
    at.upsample = IR_I2(7, 6);
    ir_ref xr = case_values(&c, T(2, 21, 4, 5), x), wr = case_values(&c, T(18, 21, 3, 3), w);
    ir_tensor y = case_eval(&c, ir_op2(c.f, IR_OP_conv2d, xr, wr, &at, 0));
    for (int64_t i = 0; i < ir_type_elements(&y.type); i++) sum[i] += sign * (double)y.data[i];
    ir_tensor_free(&y);
    case_free(&c);
}

/* The input is rounded after norm and activation, whose result is binary32, and before the sums. */
static void conv2d_of_rounded(void **state) {
    (void)state;
    enum { X = 2 * 21 * 4 * 5, W = 18 * 21 * 9, Y = 2 * 18 * 4 * 6 };
    for (int k = 0; k < 2; k++) {
        ir_precision p = lowered[k];
        eval_case c = case_new();
        ir_ref x = noisy(&c, T(2, 16, 4, 5), 1), x1 = noisy(&c, T(2, 5, 4, 5), 2);
        ir_ref norm = noisy(&c, T(2, 2, 32), 4);
        struct ir_attrs_axis axis = {.axis = 1};
        struct ir_attrs_act act = {.act = IR_ACT_SILU};
        ir_ref both = ir_op2(c.f, IR_OP_concat, x, x1, &axis, 0);
        ir_tensor image = case_eval(&c, ir_op2(c.f, IR_OP_norm_apply, both, norm, &act, 0));
        struct ir_attrs_conv2d at = IR_DEFAULTS(conv2d);
        at.pad = IR_I4(1, 0, 1, 2);
        at.stride = IR_I2(2, 1);
        at.upsample = IR_I2(7, 6);
        at.pre_act = IR_ACT_SILU;
        at.n = 18;
        at.precision = p;
        ir_ref w = packed(&c, T(18, 21, 3, 3), 3, p);
        ir_tensor y =
            case_eval(&c, ir_build(c.f, IR_OP_conv2d, REFS(x, w, IR_NONE, x1, norm), &at, 0, 0));
        assert_int_equal(ir_type_elements(&y.type), Y);
        static float xs[2][X], ws[2][W];
        static double sum[Y];
        memset(sum, 0, sizeof sum);
        for (int64_t i = 0; i < X; i++) {
            split s = split_of(p, image.data[i]);
            xs[0][i] = (float)s.hi, xs[1][i] = (float)s.lo;
        }
        for (int64_t i = 0; i < W; i++) {
            split s = split_of(p, noise(3, i));
            ws[0][i] = (float)s.hi, ws[1][i] = (float)s.lo;
        }
        part_of_conv(xs[0], ws[0], 1, sum);
        part_of_conv(xs[0], ws[1], 1, sum);
        part_of_conv(xs[1], ws[0], 1, sum);
        for (int64_t i = 0; i < Y; i++) assert_true(fabs((double)y.data[i] - sum[i]) < 4e-6);
        ir_tensor_free(&y);
        ir_tensor_free(&image);
        case_free(&c);
    }
}

static void feed_forward_is_two_linears(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        ir_precision p = lowered[k];
        ir_tensor y[2];
        for (int fused = 0; fused < 2; fused++) {
            eval_case c = case_new();
            ir_ref x = noisy(&c, T(2, 3, 20), 1), residual = noisy(&c, T(2, 3, 18), 6);
            ir_ref w1 = packed(&c, T(64, 20), 2, p), w2 = packed(&c, T(18, 32), 4, p);
            ir_ref b1 = noisy(&c, T(64), 3), b2 = noisy(&c, T(18), 5);
            struct ir_attrs_feed_forward at = {.hidden = 32, .n = 18, .precision = p};
            struct ir_attrs_linear first = {.n = 64, .geglu = true, .precision = p};
            struct ir_attrs_linear second = {.n = 18, .precision = p};
            ir_ref out = fused ? ir_build(c.f, IR_OP_feed_forward,
                                          REFS(x, w1, w2, b1, b2, residual), &at, IR_PLAIN, 0)
                               : ir_build(c.f, IR_OP_linear,
                                          REFS(ir_op3(c.f, IR_OP_linear, x, w1, b1, &first, 0), w2,
                                               b2, residual),
                                          &second, IR_PLAIN, 0);
            y[fused] = case_eval(&c, out);
            case_free(&c);
        }
        assert_memory_equal(y[0].data, y[1].data, 2 * 3 * 18 * sizeof(float));
        ir_tensor_free(&y[0]);
        ir_tensor_free(&y[1]);
    }
}

enum { B = 2, TOKENS = 5, S = 35, H = 2, D = 24, WIDTH = H * D };

/* One row of attention: query t of head h, batch b, over keys and values of one batch. */
static void naive_attention(ir_precision p, int64_t b, int64_t t, int64_t h, bool causal,
                            double *y) {
    double weight[S], max = -INFINITY, all = 0;
    int64_t count = causal ? t + 1 : S;
    for (int64_t s = 0; s < count; s++) {
        weight[s] = 0;
        for (int64_t i = 0; i < D; i++)
            weight[s] += 0.3 * product(p, 4 * noise(1, (b * TOKENS + t) * WIDTH + h * D + i),
                                       noise(2, s * WIDTH + h * D + i));
        max = weight[s] > max ? weight[s] : max;
    }
    for (int64_t i = 0; i < D; i++) y[i] = 0;
    for (int64_t s = 0; s < count; s++) {
        float e = (float)exp(weight[s] - max);
        all += exp(weight[s] - max);
        for (int64_t i = 0; i < D; i++) y[i] += product(p, e, noise(3, s * WIDTH + h * D + i));
    }
    for (int64_t i = 0; i < D; i++) y[i] /= all;
}

static ir_tensor attention(ir_precision p, bool tiled, bool causal) {
    eval_case c = case_new();
    float queries[B * TOKENS * WIDTH];
    for (int64_t i = 0; i < B * TOKENS * WIDTH; i++) queries[i] = 4 * noise(1, i);
    ir_ref q = case_values(&c, T(B, TOKENS, WIDTH), queries);
    ir_ref k = noisy(&c, T(1, S, WIDTH), 2), v = noisy(&c, T(1, S, WIDTH), 3);
    struct ir_attrs_attention at = {.heads = H, .scale = 0.3, .causal = causal, .precision = p};
    struct ir_attrs_heads heads = {.heads = H, .precision = p};
    struct ir_attrs_attention_tiled tiles = {
        .heads = H, .scale = 0.3, .causal = causal, .kv_len = S, .precision = p};
    ir_ref y = tiled
                   ? ir_op3(c.f, IR_OP_attention_tiled, q, ir_op1(c.f, IR_OP_pack_k, k, &heads, 0),
                            ir_op1(c.f, IR_OP_pack_v, v, &heads, 0), &tiles, 0)
                   : ir_op3(c.f, IR_OP_attention, q, k, v, &at, 0);
    ir_tensor result = case_eval(&c, y);
    case_free(&c);
    return result;
}

static void attention_of_rounded(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) {
        ir_precision p = lowered[k / 2];
        bool causal = k % 2;
        ir_tensor y = attention(p, false, causal), tiles = attention(p, true, causal);
        assert_memory_equal(y.data, tiles.data, B * TOKENS * WIDTH * sizeof(float));
        for (int64_t r = 0; r < B * TOKENS * H; r++) {
            double want[D];
            naive_attention(p, r / (TOKENS * H), r / H % TOKENS, r % H, causal, want);
            for (int64_t i = 0; i < D; i++) /* an exponential may round to either side of a tie */
                assert_true(fabs((double)y.data[r * D + i] - want[i]) < 2e-6);
        }
        ir_tensor_free(&y);
        ir_tensor_free(&tiles);
    }
}

/* Three products give nearly what f32 gives, one does not: the classes mean something. */
static void classes(void **state) {
    (void)state;
    double error[3] = {0}, all = 0;
    ir_tensor exact = attention(IR_PRECISION_F32, true, false);
    for (int k = 0; k < 2; k++) {
        ir_tensor y = attention(lowered[k], true, false);
        for (int64_t i = 0; i < B * TOKENS * WIDTH; i++)
            error[k] += pow((double)y.data[i] - (double)exact.data[i], 2);
        ir_tensor_free(&y);
    }
    for (int64_t i = 0; i < B * TOKENS * WIDTH; i++) all += pow((double)exact.data[i], 2);
    assert_true(sqrt(error[0] / all) > 1e-3 && sqrt(error[0] / all) < 2e-2);
    assert_true(sqrt(error[1] / all) < 3e-5);
    ir_tensor_free(&exact);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding),
        cmocka_unit_test(packed_weights),
        cmocka_unit_test(packed_keys_and_values),
        cmocka_unit_test(linear_of_rounded),
        cmocka_unit_test(conv2d_of_rounded),
        cmocka_unit_test(feed_forward_is_two_linears),
        cmocka_unit_test(attention_of_rounded),
        cmocka_unit_test(classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
