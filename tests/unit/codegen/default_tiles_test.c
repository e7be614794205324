/* The rules' tiles for many shapes at every CPU level: legal, and as many rows as there is code
 * for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codegen/target/default_tiles/default_tiles.h"
#include "codegen/target/tiles.h"

enum { SHAPES = 3000 };

static uint32_t seed = 1;
static int32_t below(int32_t n) {
    seed = seed * 1664525u + 1013904223u;
    return (int32_t)((seed >> 8) % (uint32_t)n);
}
/* Up to n, small ones as often as large ones. */
static int32_t size(int32_t n) {
    return 1 + below(below(2) ? n : below(2) ? (n + 7) / 8 : (n + 63) / 64);
}
static int64_t cache(void) {
    return below(3) ? (int64_t)1 << (14 + below(8)) : 0;
}

static void legal(const char *kernel, const cg_params *p, int32_t isa) {
    base_str why = {0};
    if (!cg_tiles_legal(cg_kernel_find(kernel), p, isa, false, &why))
        fail_msg("%s, level %d: %s", kernel, isa, why.data);
}

static struct ebru_conv2d_params convolution(void) {
    struct ebru_conv2d_params p = {.B = size(4), .C0 = size(2048), .N = size(2048), .KH = 1};
    p.H = p.UH = size(128);
    p.W = p.UW = size(128);
    if (below(3) == 0) {
        p.KH = 3;
        p.PT = p.PL = 1;
    } else if (below(2)) {
        p.act = EBRU_ACT_GEGLU;
        p.N = (p.N + 31) / 32 * 32;
    }
    if (below(4) == 0) p.C1 = size(512);
    p.KW = p.KH;
    p.SH = p.SW = p.KH == 3 && below(3) == 0 ? 2 : 1;
    p.OH = (p.H + 2 * p.PT - p.KH) / p.SH + 1;
    p.OW = (p.W + 2 * p.PL - p.KW) / p.SW + 1;
    if (p.KH == 3 && p.SH == 1 && below(3) == 0) { /* of a doubled input */
        p.KH = p.KW = 2;
        p.OH = 2 * p.H;
        p.OW = 2 * p.W;
        p.phases = 1;
    }
    return p;
}

#define EACH_LEVEL(isa) for (int32_t isa = 0; isa < EBRU_ISA_COUNT; isa++)

static void convolutions(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) EACH_LEVEL(isa) {
            struct ebru_conv2d_params p = convolution();
            cg_default_tiles_conv2d(&p, isa, cache(), cache());
            legal("conv2d", &(cg_params){.conv2d = p}, isa);
            assert_int_equal(p.MR, cg_most_rows(isa, p.NB));
            struct ebru_conv2d_bf16_params q = ebru_conv2d_bf16_of(&p, 1 + below(2), 0);
            q.pack = 0;
            cg_default_tiles_conv2d_bf16(&q, isa, cache(), cache());
            legal("conv2d_bf16", &(cg_params){.conv2d_bf16 = q}, isa);
            assert_int_equal(q.MR, cg_most_rows_bf16(isa, q.NB));
            struct ebru_conv2d_i8_params r = {.B = p.B,
                                              .H = p.OH + p.KH,
                                              .W = p.OW + p.KW,
                                              .C = p.C0 + p.C1,
                                              .N = p.N,
                                              .KH = p.KH,
                                              .KW = p.KW,
                                              .SH = 1,
                                              .SW = 1,
                                              .OH = p.OH + 1,
                                              .OW = p.OW + 1,
                                              .act = p.act};
            cg_default_tiles_conv2d_i8(&r, isa, cache());
            legal("conv2d_i8", &(cg_params){.conv2d_i8 = r}, isa);
            assert_int_equal(r.MR, cg_most_rows_i8(isa, r.NB));
        }
}

static void winograd(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) EACH_LEVEL(isa) {
            struct ebru_conv2d_winograd_params p = {.B = size(4),
                                                    .C0 = size(2048),
                                                    .N = size(2048),
                                                    .PT = 1,
                                                    .PL = 1,
                                                    .M = 2 + below(2) * 2};
            p.H = p.UH = p.OH = size(128);
            p.W = p.UW = p.OW = size(128);
            cg_default_tiles_conv2d_winograd(&p, isa, cache());
            legal("conv2d_winograd", &(cg_params){.conv2d_winograd = p}, isa);
            assert_int_equal(p.MR, cg_most_rows(isa, p.NB));
        }
}

static void feed_forward(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) EACH_LEVEL(isa) {
            struct ebru_feed_forward_params p = {.B = size(4),
                                                 .T = size(4096),
                                                 .C = size(1280),
                                                 .H = 16 * size(320),
                                                 .N = size(1280)};
            struct ebru_feed_forward_bf16_params q = {
                .B = p.B, .T = p.T, .C = p.C, .H = p.H, .N = p.N, .parts = 1 + below(2)};
            cg_default_tiles_feed_forward(&p, isa, cache(), cache());
            legal("feed_forward", &(cg_params){.feed_forward = p}, isa);
            cg_default_tiles_feed_forward_bf16(&q, isa, cache(), cache());
            legal("feed_forward_bf16", &(cg_params){.feed_forward_bf16 = q}, isa);
        }
}

static void attention(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) EACH_LEVEL(isa) {
            struct ebru_attention_params p = {
                .B = 1, .Bk = 1, .T = size(4096), .S = size(4096), .heads = 1, .d = size(512)};
            struct ebru_attention_bf16_params q = {
                .B = 1, .Bk = 1, .T = p.T, .S = p.S, .heads = 1, .d = p.d, .parts = 1 + below(2)};
            cg_default_tiles_attention(&p, cache());
            legal("attention", &(cg_params){.attention = p}, isa);
            cg_default_tiles_attention_bf16(&q, isa, cache());
            legal("attention_bf16", &(cg_params){.attention_bf16 = q}, isa);
        }
}

/* More rows than the level's registers hold are refused, at each width of a panel. */
static void rows_of_levels(void **state) {
    (void)state;
    static const struct {
        int32_t isa, blocks, most;
    } rows[] = {{EBRU_ISA_V2, 1, 2},  {EBRU_ISA_V2, 4, 2},      {EBRU_ISA_V3, 2, 6},
                {EBRU_ISA_V4, 1, 12}, {EBRU_ISA_V4, 2, 10},     {EBRU_ISA_V4, 3, 8},
                {EBRU_ISA_V4, 8, 6},  {EBRU_ISA_V4_AMX, 2, 10}, {EBRU_ISA_NEON_BF16, 2, 6}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ebru_conv2d_params p;
        ebru_conv2d_set_linear(&p, 1, 64, 64, 128);
        cg_default_tiles_conv2d(&p, rows[i].isa, 0, 0);
        p.NB = rows[i].blocks;
        p.PG = 1;
        p.MR = rows[i].most;
        legal("conv2d", &(cg_params){.conv2d = p}, rows[i].isa);
        p.MR++;
        assert_false(cg_tiles_legal(cg_kernel_find("conv2d"), &(cg_params){.conv2d = p},
                                    rows[i].isa, false, NULL));
    }
    assert_int_equal(cg_most_rows_bf16(EBRU_ISA_V4_AMX, 2), 32);
    assert_int_equal(cg_most_rows_bf16(EBRU_ISA_V4_BF16, 2), 12);
    assert_int_equal(cg_most_rows_bf16(EBRU_ISA_NEON, 2), 5);
    assert_int_equal(cg_widest_tile(EBRU_ISA_V4_BF16), 4);
    assert_int_equal(cg_widest_tile(EBRU_ISA_NEON), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),   cmocka_unit_test(winograd),
        cmocka_unit_test(feed_forward),   cmocka_unit_test(attention),
        cmocka_unit_test(rows_of_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
