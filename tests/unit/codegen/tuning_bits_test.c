/* Which choices keep bits: kernels with the rules' tiles and with any legal ones, and cut in any way
 * that the rules know, give the same result to the last bit, at every level this machine runs; and
 * legal tiles stay inside the scratch that they are given. */
#include "tests/unit/kernels/kernel_test.h"

#include "codegen/target/default_tiles/default_tiles.h"
#include "codegen/target/tiles.h"

enum { FLOATS = 1 << 18, TRIES = 24, THREADS = 7 };

typedef void run_fn(const void *p, void *const *buf, float *scratch, int32_t begin, int32_t end);
#define WRAP(kernel, ID, suffix, ...)                                                              \
    static void run_##kernel##_##suffix(const void *p, void *const *buf, float *scratch,           \
                                        int32_t b, int32_t e) {                                    \
        ebru_k_##kernel##_##suffix(p, buf, scratch, b, e);                                         \
    }
#define ROW(kernel, ID, suffix, ...) {#kernel, EBRU_ISA_##ID, run_##kernel##_##suffix},
#define EACH_KERNEL(F32, BF16, X)                                                                  \
    F32(X, conv2d)                                                                                 \
    F32(X, conv2d_winograd)                                                                        \
    F32(X, feed_forward)                                                                           \
    F32(X, attention)                                                                              \
    BF16(X, conv2d_bf16)                                                                           \
    BF16(X, conv2d_winograd_bf16)                                                                  \
    BF16(X, feed_forward_bf16) BF16(X, attention_bf16) BF16(X, conv2d_i8)
EACH_KERNEL(KT_F32_LEVELS, KT_BF16_LEVELS, WRAP)
static const struct {
    const char *kernel;
    int32_t level;
    run_fn *run;
} natives[] = {EACH_KERNEL(KT_F32_LEVELS, KT_BF16_LEVELS, ROW)};

static uint32_t seed = 1;
static int32_t below(int32_t n) {
    seed = seed * 1664525u + 1013904223u;
    return (int32_t)((seed >> 8) % (uint32_t)n);
}

/* Numbers that are fit as binary32 and as two of bf16. */
static float *numbers(int64_t n) {
    float *p = kt_floats(n);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t half = (uint32_t)below(0x200) | 0x3d00u | (uint32_t)below(2) << 15,
                       word = half << 16 | half;
        memcpy(&p[i], &word, 4);
    }
    return p;
}

/* Random legal tiles, some of them the rules'; false when none were found. */
static bool random_tiles(const cg_kernel *k, int32_t level, const cg_params *rules, cg_params *p) {
    for (int attempt = 0; attempt < 1000; attempt++) {
        *p = *rules;
        for (uint32_t i = 0; i < k->field_count; i++) {
            const char *field = k->field[i];
            if (!cg_is_tile(k->name, field) || !strcmp(field, "KB") || below(2)) continue;
            const int32_t step = !strcmp(field, "QB") ? 16 : 1;
            const int32_t more = cg_params_get(k, rules, field) * 3 / step + 2;
            cg_params_set(k, p, field,
                          !strcmp(field, "order") || !strcmp(field, "pack") ? below(2)
                          : !strncmp(field, "MR", 2) && below(2)            ? 16 * (1 + below(2))
                                                                 : step * (1 + below(more)));
        }
        if (cg_tiles_legal(k, p, level, false, NULL)) return true;
    }
    return false;
}

struct out {
    float *data;
    void *buf[CG_MAX_BUFS];
};

static void run_tiles(run_fn *run, const cg_kernel *k, const cg_params *p, struct out *o,
                      int result) {
    for (int64_t i = 0; i < FLOATS; i++) o->data[i] = -7;
    o->buf[result] = o->data;
    float *scratch = kt_floats(k->scratch(p) / 4);
    const int32_t tasks = k->tasks(p), part = tasks / 3;
    run(p, o->buf, scratch, part, tasks);
    run(p, o->buf, scratch, 0, part);
}

/* Tasks, and the cut's fields, as the kernel counts them. */
static void right_count(const cg_kernel *k, const cg_params *p, const cg_cut *c) {
    if (k->tasks(p) != c->tasks) fail_msg("%s: %d tasks, not %d", k->name, k->tasks(p), c->tasks);
    assert_true(c->step >= 1 && c->task > 0 && c->again >= 0);
}

/* One call for all tasks, and as each of the threads that the cut is for would call. */
static void same_cuts(run_fn *run, const cg_kernel *k, int32_t level, const cg_params *rules,
                      struct out *whole, struct out *b, int result) {
    static cg_cut list[CG_MOST_CUTS];
    const int32_t count = cg_ways(k, rules, list);
    assert_true(count > 0);
    for (int32_t i = 0; i < count; i++) {
        const cg_params p = cg_cut_params(k, rules, &list[i]);
        const bool legal = cg_tiles_legal(k, &p, level, false, NULL);
        right_count(k, &p, &list[i]);
        if (!legal || (i > 0 && below(count) > TRIES)) continue;
        for (int64_t w = 0; w < FLOATS; w++) b->data[w] = -7;
        b->buf[result] = b->data;
        float *scratch = kt_floats(k->scratch(&p) / 4);
        for (int32_t t = 0; t < THREADS; t++)
            run(&p, b->buf, scratch, list[i].tasks * t / THREADS,
                list[i].tasks * (t + 1) / THREADS);
        if (memcmp(whole->data, b->data, FLOATS * sizeof(float)) != 0)
            fail_msg("%s at %s: cut %d of %d, other bits", k->name, base_isa_name(level), i, count);
    }
}

/* `rules`: params with the rules' tiles; bits of `absent`: operands that are not there. */
static void same_bits(const char *kernel, int32_t level, const cg_params *rules, int bufs,
                      unsigned absent) {
    const cg_kernel *k = cg_kernel_find(kernel);
    run_fn *run = NULL;
    for (size_t i = 0; i < sizeof natives / sizeof *natives; i++)
        if (natives[i].level == level && !strcmp(natives[i].kernel, kernel)) run = natives[i].run;
    assert_non_null(run);
    base_str why = {0};
    if (!cg_tiles_legal(k, rules, level, false, &why))
        fail_msg("%s: the rules' tiles: %s", kernel, why.data);
    struct out a = {.data = kt_floats(FLOATS)}, b = {.data = kt_floats(FLOATS)};
    for (int i = 0; i < bufs - 1; i++)
        a.buf[i] = b.buf[i] = absent >> i & 1 ? NULL : numbers(FLOATS);
    run_tiles(run, k, rules, &a, bufs - 1);
    for (int t = 0; t < TRIES; t++) {
        cg_params p;
        assert_true(random_tiles(k, level, rules, &p));
        run_tiles(run, k, &p, &b, bufs - 1);
        if (memcmp(a.data, b.data, FLOATS * sizeof(float)) == 0) continue;
        for (uint32_t i = 0; i < k->field_count; i++)
            if (cg_is_tile(kernel, k->field[i]))
                print_message("%s=%d (rules %d) ", k->field[i], cg_params_get(k, &p, k->field[i]),
                              cg_params_get(k, rules, k->field[i]));
        fail_msg("%s at %s: other tiles, other bits", kernel, base_isa_name(level));
    }
    same_cuts(run, k, level, rules, &a, &b, bufs - 1);
    kt_release();
}

/* ---- convolutions ---- */

static struct ebru_conv2d_params shape(int32_t B, int32_t H, int32_t W, int32_t C0, int32_t C1,
                                       int32_t N, int32_t K, int32_t S) {
    struct ebru_conv2d_params p = {
        .B = B, .H = H, .W = W, .UH = H, .UW = W, .C0 = C0, .C1 = C1, .N = N};
    p.KH = p.KW = K;
    p.SH = p.SW = S;
    p.PT = p.PL = K / 2;
    p.OH = (H + 2 * (K / 2) - K) / S + 1;
    p.OW = (W + 2 * (K / 2) - K) / S + 1;
    p.has_bias = 1;
    return p;
}

enum { CONVS = 6 };
static struct ebru_conv2d_params conv_case(int i) {
    struct ebru_conv2d_params p = shape(2, 9, 11, 19, 21, 70, 3, 1);
    p.pro_scale = p.residual = 1;
    p.pre_act = EBRU_ACT_SILU;
    p.tbias = 1;
    if (i == 1) p = shape(1, 10, 13, 33, 0, 48, 3, 2);
    if (i == 2) p = shape(2, 8, 16, 64, 32, 80, 1, 1); /* read in place, or packed */
    if (i == 3) p = shape(3, 6, 7, 40, 0, 33, 1, 1);
    if (i == 4) {
        p = shape(1, 1, 70, 48, 0, 96, 1, 1);
        p.act = EBRU_ACT_GEGLU;
    }
    if (i == 5) { /* four filters of 2x2 on an input read at twice its size */
        p = shape(2, 6, 7, 32, 0, 48, 2, 1);
        p.OH = 12;
        p.OW = 14;
        p.phases = 1;
    }
    return p;
}
static unsigned conv_absent(const struct ebru_conv2d_params *p) {
    return (p->C1 ? 0u : 1u << EBRU_CONV2D_X1) |
           (p->pro_scale ? 0u : 1u << EBRU_CONV2D_SCALE_SHIFT) |
           (p->tbias ? 0u : 1u << EBRU_CONV2D_TBIAS) |
           (p->residual ? 0u : 1u << EBRU_CONV2D_RESIDUAL);
}

static void conv2d(void **state) {
    (void)state;
    KT_EACH_LEVEL(level) for (int i = 0; i < CONVS; i++) {
        struct ebru_conv2d_params p = conv_case(i);
        cg_default_tiles_conv2d(&p, level, 0, 0);
        same_bits("conv2d", level, &(cg_params){.conv2d = p}, EBRU_CONV2D_BUFS, conv_absent(&p));
    }
}

static void conv2d_bf16(void **state) {
    (void)state;
    KT_EACH_BF16_LEVEL(level) for (int i = 0; i < CONVS - 1 && !kt_emulated; i++) {
        const struct ebru_conv2d_params q = conv_case(i);
        struct ebru_conv2d_bf16_params p = ebru_conv2d_bf16_of(&q, 1 + i % 2, 0);
        cg_default_tiles_conv2d_bf16(&p, level, 0, 0);
        same_bits("conv2d_bf16", level, &(cg_params){.conv2d_bf16 = p}, EBRU_CONV2D_BUFS,
                  conv_absent(&q));
    }
}

static void conv2d_i8(void **state) {
    (void)state;
    KT_EACH_BF16_LEVEL(level) for (int i = 0; i < 4 && !kt_emulated; i++) {
        struct ebru_conv2d_i8_params p = {
            .B = 2, .H = 9, .W = 12, .C = 83, .N = 70, .KH = 3, .KW = 3, .SH = 1 + i, .SW = 1};
        p.OH = (p.H - 3) / p.SH + 1;
        p.OW = p.W - 2;
        p.has_bias = p.residual = 1;
        if (i == 3) { /* by phases */
            p.KH = p.KW = 2;
            p.SH = p.phases = 1;
            p.OH = 2 * (p.H - 2);
            p.OW = 2 * (p.W - 2);
        }
        cg_default_tiles_conv2d_i8(&p, level, 0);
        same_bits("conv2d_i8", level, &(cg_params){.conv2d_i8 = p}, EBRU_CONV2D_I8_BUFS,
                  1u << EBRU_CONV2D_I8_TBIAS);
    }
}

static struct ebru_conv2d_winograd_params winograd_case(int32_t M) {
    struct ebru_conv2d_winograd_params p = {
        .B = 2, .H = 9, .W = 11, .UH = 9, .UW = 11, .C0 = 19, .C1 = 16};
    p.N = 70;
    p.PT = p.PL = p.has_bias = p.residual = 1;
    p.OH = 9;
    p.OW = 11;
    p.M = M;
    return p;
}
enum { WINOGRAD_ABSENT = 1u << EBRU_CONV2D_SCALE_SHIFT | 1u << EBRU_CONV2D_TBIAS };

static void conv2d_winograd(void **state) {
    (void)state;
    KT_EACH_LEVEL(level) for (int32_t M = 2; M <= 4; M += 2) {
        struct ebru_conv2d_winograd_params p = winograd_case(M);
        cg_default_tiles_conv2d_winograd(&p, level, 0);
        same_bits("conv2d_winograd", level, &(cg_params){.conv2d_winograd = p}, EBRU_CONV2D_BUFS,
                  WINOGRAD_ABSENT);
    }
}

static void conv2d_winograd_bf16(void **state) {
    (void)state;
    KT_EACH_BF16_LEVEL(level) for (int32_t parts = 1; parts <= 2 && !kt_emulated; parts++) {
        const struct ebru_conv2d_winograd_params q = winograd_case(2);
        struct ebru_conv2d_winograd_bf16_params p = ebru_conv2d_winograd_bf16_of(&q, parts, 0);
        cg_default_tiles_conv2d_winograd_bf16(&p, level, 0);
        same_bits("conv2d_winograd_bf16", level, &(cg_params){.conv2d_winograd_bf16 = p},
                  EBRU_CONV2D_BUFS, WINOGRAD_ABSENT);
    }
}

/* ---- feed-forward, attention ---- */

static void feed_forward(void **state) {
    (void)state;
    KT_EACH_LEVEL(level) {
        struct ebru_feed_forward_params p = {
            .B = 2, .T = 37, .C = 48, .H = 80, .N = 33, .has_b1 = 1, .residual = 1};
        cg_default_tiles_feed_forward(&p, level, 0, 0);
        same_bits("feed_forward", level, &(cg_params){.feed_forward = p}, EBRU_FEED_FORWARD_BUFS,
                  1u << EBRU_FEED_FORWARD_B2);
    }
}

static void feed_forward_bf16(void **state) {
    (void)state;
    KT_EACH_BF16_LEVEL(level) for (int32_t parts = 1; parts <= 2 && !kt_emulated; parts++) {
        struct ebru_feed_forward_bf16_params p = {
            .B = 2, .T = 37, .C = 48, .H = 80, .N = 33, .residual = 1};
        p.parts = parts;
        cg_default_tiles_feed_forward_bf16(&p, level, 0, 0);
        same_bits("feed_forward_bf16", level, &(cg_params){.feed_forward_bf16 = p},
                  EBRU_FEED_FORWARD_BUFS, 1u << EBRU_FEED_FORWARD_B1 | 1u << EBRU_FEED_FORWARD_B2);
    }
}

/* Blocks of keys are where sums begin anew: they stay. Blocks of queries keep bits, unless queries
 * see keys up to their own place only: what a block sees is then told from its first. */
static void attention(void **state) {
    (void)state;
    KT_EACH_LEVEL(level) for (int raised = 0; raised < 5; raised++) {
        struct ebru_attention_params p = {
            .B = 2, .T = 90, .Bk = 1, .S = 70, .heads = 2, .d = 24, .C = 48};
        p.scale = 0.2f + 450.0f * (float)raised; /* queries see keys far beyond the first ones */
        cg_default_tiles_attention(&p, 0);
        p.KB = 32;
        same_bits("attention", level, &(cg_params){.attention = p}, EBRU_ATTENTION_BUFS, 0);
    }
}

static void attention_bf16(void **state) {
    (void)state;
    KT_EACH_BF16_LEVEL(level) for (int i = 0; i < 4 && !kt_emulated; i++) {
        struct ebru_attention_bf16_params p = {
            .B = 2, .T = 90, .Bk = 1, .S = 70, .heads = 2, .d = 24, .C = 48};
        p.scale = i % 2 ? 900.0f : 0.2f;
        p.parts = 1 + i / 2;
        cg_default_tiles_attention_bf16(&p, level, 0);
        p.KB = 32;
        same_bits("attention_bf16", level, &(cg_params){.attention_bf16 = p}, EBRU_ATTENTION_BUFS,
                  0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv2d),
        cmocka_unit_test(conv2d_bf16),
        cmocka_unit_test(conv2d_i8),
        cmocka_unit_test(conv2d_winograd),
        cmocka_unit_test(conv2d_winograd_bf16),
        cmocka_unit_test(feed_forward),
        cmocka_unit_test(feed_forward_bf16),
        cmocka_unit_test(attention),
        cmocka_unit_test(attention_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
