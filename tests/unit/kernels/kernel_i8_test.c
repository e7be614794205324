/* Quantizing and the products of 8-bit integers against naive loops: sums are exact, so that all
 * levels, tiles and splits give the same bits but for the last float steps. */
#include "codegen/target/default_tiles/default_tiles.h"
#include "tests/unit/kernels/kernel_conv.h"

/* ---- conv2d_i8 ---- */

struct i8_shape {
    int32_t B, H, W, C, N, K, S, bias, tbias, residual, act, phases;
};

/* Operands, and what is wanted, in double. */
struct i8_data {
    uint8_t *x;
    int8_t *w;
    float *scale;
    struct conv_data rest; /* bias, tbias, res, want */
};

static struct ebru_conv2d_i8_params params_of(const struct i8_shape *s) {
    struct ebru_conv2d_i8_params p = {.B = s->B,
                                      .H = s->H,
                                      .W = s->W,
                                      .C = s->C,
                                      .N = s->N,
                                      .KH = s->K,
                                      .KW = s->K,
                                      .SH = s->S,
                                      .SW = s->S,
                                      .OH = s->phases ? 2 * (s->H - 2) : (s->H - s->K) / s->S + 1,
                                      .OW = s->phases ? 2 * (s->W - 2) : (s->W - s->K) / s->S + 1,
                                      .phases = s->phases,
                                      .has_bias = s->bias,
                                      .tbias = s->tbias,
                                      .residual = s->residual,
                                      .act = s->act};
    return p;
}

/* 0 .. most - 1 */
static int32_t below(int32_t most) {
    return (int32_t)(((double)kt_random() + 1) / 2 * most);
}

static struct i8_data data_of(const struct ebru_conv2d_i8_params *p) {
    struct i8_data d = {0};
    const int32_t row = ebru_i8_row(p->C), pixels = p->B * p->H * p->W;
    d.x = (uint8_t *)kt_alloc((size_t)pixels * (size_t)row);
    for (int32_t i = 0; i < pixels; i++) {
        uint8_t *pixel = d.x + (int64_t)i * row;
        /* what no channel has may be anything; the extremes are frequent */
        for (int32_t c = 0; c < row; c++)
            pixel[c] = (uint8_t)(below(4) == 0 ? 255 * below(2) : below(256));
        const float scale = 0.01f + (float)below(100) * 1e-3f;
        const int32_t zero = below(256);
        memcpy(pixel + row - EBRU_I8_RECORD, &scale, sizeof scale);
        memcpy(pixel + row - EBRU_I8_RECORD + 4, &zero, sizeof zero);
    }
    const int32_t npad = ebru_blocks16(p->N) * 16, columns = (p->phases ? 4 : 1) * npad;
    d.w = (int8_t *)kt_alloc((size_t)ebru_conv2d_i8_weight_bytes(p));
    memset(d.w, 0, (size_t)ebru_conv2d_i8_weight_bytes(p));
    d.scale = kt_floats(2 * columns);
    for (int32_t n = 0; n < columns; n++) {
        int32_t total = 0;
        for (int32_t i = 0; i < p->C * p->KH * p->KW && n % npad < p->N; i++) {
            const int32_t q = below(4) == 0 ? 127 * (1 - 2 * below(2)) : below(255) - 127;
            d.w[ebru_conv2d_i8_weight_index(p, n, i % p->C, i / p->C / p->KW, i / p->C % p->KW)] =
                (int8_t)q;
            total += q;
        }
        d.scale[n] = n % npad < p->N ? 1e-4f * (float)(1 + below(100)) : 0;
        d.scale[columns + n] = (float)total;
    }
    d.rest.bias = kt_padded(p->N);
    d.rest.tbias = kt_random_floats(p->B * npad);
    return d;
}

static double sum_at(const struct ebru_conv2d_i8_params *p, const struct i8_data *d, int32_t b,
                     int32_t n, int32_t y, int32_t x) {
    const int32_t row = ebru_i8_row(p->C), npad = ebru_blocks16(p->N) * 16;
    /* with phases: the row of the filter; rows and columns 2i + r of the result begin at i + r */
    const int32_t at = p->phases ? (y % 2 * 2 + x % 2) * npad + n : n,
                  top = p->phases ? y / 2 + y % 2 : y * p->SH,
                  left = p->phases ? x / 2 + x % 2 : x * p->SW;
    const uint8_t *first = d->x + (((int64_t)b * p->H + top) * p->W + left) * row;
    int64_t sum = 0;
    float scale;
    int32_t zero;
    memcpy(&scale, first + row - EBRU_I8_RECORD, sizeof scale);
    memcpy(&zero, first + row - EBRU_I8_RECORD + 4, sizeof zero);
    for (int32_t i = 0; i < p->KH; i++)
        for (int32_t j = 0; j < p->KW; j++)
            for (int32_t c = 0; c < p->C; c++)
                sum += (first[((int64_t)i * p->W + j) * row + c] - zero) *
                       d->w[ebru_conv2d_i8_weight_index(p, at, c, i, j)];
    double v = (double)(float)sum * (double)(scale * d->scale[at]);
    if (p->has_bias) v += (double)d->rest.bias[n];
    if (p->tbias) v += (double)d->rest.tbias[(p->tbias == 1 ? b : 0) * npad + n];
    return v;
}

static void want(const struct ebru_conv2d_i8_params *p, struct i8_data *d) {
    const int32_t NO = p->act == EBRU_ACT_GEGLU ? p->N / 2 : p->N, OP = p->OH * p->OW;
    d->rest.res = kt_random_c16(p->B, NO, OP);
    d->rest.want = (double *)kt_alloc((size_t)(p->B * NO * OP) * sizeof(double));
    for (int32_t i = 0; i < p->B * NO * OP; i++) {
        const int32_t b = i / (NO * OP), n = i / OP % NO, y = i % OP / p->OW, x = i % p->OW;
        double v;
        if (p->act == EBRU_ACT_GEGLU) {
            v = sum_at(p, d, b, ebru_geglu_column(n, 0), y, x) *
                kt_act(sum_at(p, d, b, ebru_geglu_column(n, 1), y, x), EBRU_ACT_GELU);
        } else {
            v = sum_at(p, d, b, n, y, x);
            if (p->residual) v += (double)d->rest.res[kt_c16(NO, OP, b, n, i % OP)];
            v = kt_act(v, p->act);
        }
        d->rest.want[i] = v;
    }
}

static float *check(const struct ebru_conv2d_i8_params *p, const struct i8_data *d, int32_t level) {
    const struct ebru_conv2d_params shape = ebru_conv2d_i8_shape(p);
    float *out = kt_floats(conv_out_floats(&shape));
    void *buf[EBRU_CONV2D_I8_BUFS] = {d->x,
                                      d->w,
                                      d->scale,
                                      p->has_bias ? d->rest.bias : NULL,
                                      p->tbias ? d->rest.tbias : NULL,
                                      p->residual ? d->rest.res : NULL,
                                      out};
    char title[160];
    KT_RUN_BF16(conv2d_i8, level, p, buf, EBRU_CONV2D_I8_OUT, conv_out_floats(&shape));
    snprintf(title, sizeof title, "level %d, %d->%d k%d, MR %d NB %d TB %d TH %d TW %d", level,
             p->C, p->N, p->KH, p->MR, p->NB, p->TB, p->TH, p->TW);
    conv_expect(&shape, &d->rest, out, p->act == EBRU_ACT_GEGLU ? 5e-6 : 1e-6, title);
    return out;
}

/* How often the level's own instruction was performed for a CPU that lacks it. */
static uint64_t multiplied(int32_t level) {
#if defined(__x86_64__)
    return emulate_count(level == EBRU_ISA_V4_AMX ? EM_TDPBUSD : EM_VPDPBUSD);
#else
    (void)level;
    return 0;
#endif
}

static void products(void **state) {
    (void)state;
    static const struct i8_shape shapes[] = {
        {.B = 1, .H = 6, .W = 9, .C = 64, .N = 48, .K = 3, .S = 1, .bias = 1},
        {.B = 2, .H = 7, .W = 6, .C = 20, .N = 33, .K = 3, .S = 2, .tbias = 1, .residual = 1},
        {.B = 3, .H = 5, .W = 5, .C = 100, .N = 80, .K = 1, .S = 1, .tbias = 2, .act = 1},
        {.B = 2, .H = 1, .W = 29, .C = 320, .N = 64, .K = 1, .S = 1, .bias = 1, .residual = 1},
        {.B = 2,
         .H = 1,
         .W = 13,
         .C = 72,
         .N = 96,
         .K = 1,
         .S = 1,
         .bias = 1,
         .act = EBRU_ACT_GEGLU},
        {.B = 1, .H = 4, .W = 3, .C = 3, .N = 5, .K = 2, .S = 1},
        {.B = 2,
         .H = 6,
         .W = 9,
         .C = 70,
         .N = 37,
         .K = 2,
         .S = 1,
         .bias = 1,
         .tbias = 1,
         .residual = 1,
         .phases = 1},
        {.B = 1, .H = 3, .W = 4, .C = 16, .N = 16, .K = 2, .S = 1, .act = 1, .phases = 1},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct ebru_conv2d_i8_params p = params_of(&shapes[i]);
        struct i8_data d = data_of(&p);
        want(&p, &d);
        const float *any = NULL; /* without an activation all levels give the same bits */
        KT_EACH_BF16_LEVEL(level) {
            const uint64_t before = multiplied(level);
            const struct ebru_conv2d_params shape = ebru_conv2d_i8_shape(&p);
            const size_t bytes = (size_t)conv_out_floats(&shape) * sizeof(float);
            cg_default_tiles_conv2d_i8(&p, level, 0);
            const float *first = check(&p, &d, level);
            if (any && p.act == EBRU_ACT_NONE) assert_memory_equal(first, any, bytes);
            any = first;
            cg_default_tiles_conv2d_i8(&p, level, 4096); /* a tiny cache: many tasks */
            if (!kt_emulated) assert_memory_equal(first, check(&p, &d, level), bytes);
            p.NB = 2; /* odd tiles */
            p.MR = p.form == EBRU_I8_TILES ? 16 : ebru_min_i32(3, cg_most_rows_i8(level, p.NB));
            p.TB = ebru_min_i32(2, p.B);
            p.TH = ebru_min_i32(3, ebru_conv2d_rows(&shape));
            p.TW = ebru_min_i32(7, ebru_conv2d_cols(&shape));
            p.PG = ebru_min_i32(2, ebru_ceil_div(ebru_blocks16(p.N), p.NB));
            p.order = 1;
            assert_memory_equal(first, check(&p, &d, level), bytes);
            /* level by level only where no level above it has the instruction */
            if (kt_emulated && (level == EBRU_ISA_V3_VNNI || level == EBRU_ISA_V4_AMX))
                assert_true(multiplied(level) > before);
        }
        kt_release();
    }
}

/* ---- quantize ---- */

static void range(void **state) {
    (void)state;
    const int32_t sizes[][3] = {{37, 20, 0}, {9, 48, 0}, {12, 16, 21}, {5, 20, 7}};
    for (int i = 0; i < 4; i++) {
        const struct ebru_channel_range_params p = {2, sizes[i][0], sizes[i][1], sizes[i][2]};
        float *x0 = kt_random_c16(2, p.C0, p.P), *x1 = p.C1 ? kt_random_c16(2, p.C1, p.P) : NULL;
        const int32_t pad = ebru_blocks16(p.C0 + p.C1) * 16;
        x0[kt_c16(p.C0, p.P, 1, 3, 2)] = INFINITY;
        KT_EACH_LEVEL(level) {
            float *out = kt_floats(2 * 2 * pad);
            void *buf[] = {x0, x1, out};
            KT_RUN(channel_range, level, &p, buf, EBRU_CHANNEL_RANGE_OUT, 2 * 2 * pad);
            for (int32_t b = 0; b < 2; b++)
                for (int32_t c = 0; c < pad; c++) {
                    float lo = INFINITY, hi = -INFINITY;
                    for (int32_t q = 0; q < p.P && c < p.C0 + p.C1; q++) {
                        const float v = c < p.C0 ? x0[kt_c16(p.C0, p.P, b, c, q)]
                                                 : x1[kt_c16(p.C1, p.P, b, c - p.C0, q)];
                        lo = fminf(lo, v);
                        hi = fmaxf(hi, v);
                    }
                    if (c >= p.C0 + p.C1) lo = hi = 0;
                    const float *got = out + b * 2 * pad + c;
                    if (b == 1 && c == 3)
                        assert_true(isnan(got[0]) && isnan(got[pad]));
                    else
                        assert_true(got[0] == lo && got[pad] == hi);
                }
        }
        kt_release();
    }
}

struct quantize_data {
    float *x0, *x1, *stats, *range;
};

static double value_at(const struct ebru_quantize_params *p, const struct quantize_data *d,
                       int32_t b, int32_t c, int32_t y, int32_t x) {
    const int32_t iy = y - p->PT, ix = x - p->PL, pad = ebru_blocks16(p->C0 + p->C1) * 16;
    if (iy < 0 || iy >= p->UH || ix < 0 || ix >= p->UW) return 0;
    const int64_t P = (int64_t)p->H * p->W, q = iy * p->H / p->UH * p->W + ix * p->W / p->UW;
    double v = (double)(c < p->C0 ? d->x0[kt_c16(p->C0, P, b, c, q)]
                                  : d->x1[kt_c16(p->C1, P, b, c - p->C0, q)]);
    const float *stats = d->stats + b * 2 * pad;
    if (p->pro_scale) v = v * (double)stats[c] + (double)stats[pad + c];
    return kt_act(v, p->pre_act);
}

/* Every byte stands for the value to half a step, padding for zero; steps are no larger than they
 * must be; all pixels of an image have one record. */
static void check_bytes(const struct ebru_quantize_params *p, const struct quantize_data *d,
                        const uint8_t *out) {
    const int32_t C = p->C0 + p->C1, row = ebru_i8_row(C), pixels = p->OH * p->OW;
    for (int32_t b = 0; b < p->B; b++) {
        double lo = 0, hi = 0;
        for (int32_t i = 0; i < pixels; i++) {
            const uint8_t *pixel = out + ((int64_t)b * pixels + i) * row,
                          *record = pixel + row - EBRU_I8_RECORD;
            float scale;
            int32_t zero;
            memcpy(&scale, record, sizeof scale);
            memcpy(&zero, record + 4, sizeof zero);
            assert_true(zero >= 0 && zero <= 255 && scale > 0);
            if (!p->ranged) lo = hi = 0;
            for (int32_t c = 0; c < C; c++) {
                const double v = value_at(p, d, b, c, i / p->OW, i % p->OW);
                kt_assert_close((float)((double)scale * (pixel[c] - zero)), v,
                                (double)scale * 0.505 + 1e-5, "[%d,%d,%d]", b, i, c);
                lo = fmin(lo, v);
                hi = fmax(hi, v);
            }
            for (int32_t c = ebru_blocks16(C) * 16; c < row - EBRU_I8_RECORD; c++)
                assert_int_equal(pixel[c], 0);
            if (p->ranged)
                assert_memory_equal(record, out + (int64_t)b * pixels * row + row - EBRU_I8_RECORD,
                                    EBRU_I8_RECORD);
            /* silu's least value is taken for one that is reached */
            if (!p->ranged || i == pixels - 1)
                assert_true((double)scale * 255 * 0.99 <=
                            hi - lo + (p->pre_act == EBRU_ACT_SILU ? 0.28 : 0) + 1e-5);
        }
    }
}

static void bytes(void **state) {
    (void)state;
    static const struct ebru_quantize_params shapes[] = {
        {.B = 2, .H = 1, .W = 37, .UH = 1, .UW = 37, .C0 = 70, .OH = 1, .OW = 37},
        {.B = 1, .H = 1, .W = 5, .UH = 1, .UW = 5, .C0 = 64, .OH = 1, .OW = 5, .pre_act = 1},
        {.B = 2,
         .H = 5,
         .W = 4,
         .UH = 5,
         .UW = 4,
         .C0 = 16,
         .C1 = 21,
         .PT = 1,
         .PL = 2,
         .OH = 7,
         .OW = 7,
         .ranged = 1},
        {.B = 2,
         .H = 4,
         .W = 35,
         .UH = 8,
         .UW = 70,
         .C0 = 40,
         .PT = 1,
         .PL = 1,
         .OH = 10,
         .OW = 72,
         .pro_scale = 1,
         .pre_act = EBRU_ACT_SILU,
         .ranged = 1},
        {.B = 1,
         .H = 3,
         .W = 3,
         .UH = 3,
         .UW = 3,
         .C0 = 130,
         .OH = 3,
         .OW = 4,
         .pro_scale = 1,
         .ranged = 1},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct ebru_quantize_params p = shapes[i];
        const int32_t C = p.C0 + p.C1, pad = ebru_blocks16(C) * 16, P = p.H * p.W;
        struct quantize_data d = {kt_random_c16(p.B, p.C0, P),
                                  p.C1 ? kt_random_c16(p.B, p.C1, P) : NULL,
                                  kt_random_floats(p.B * 2 * pad), kt_floats(p.B * 2 * pad)};
        for (int32_t b = 0; b < p.B; b++)
            for (int32_t c = 0; c < 2 * pad && p.pro_scale; c++)
                d.stats[b * 2 * pad + c] =
                    c % pad < C ? 3 * d.stats[b * 2 * pad + c] : 0; /* both signs */
        KT_EACH_LEVEL(level) {
            const struct ebru_channel_range_params r = {p.B, P, p.C0, p.C1};
            void *ranges[] = {d.x0, d.x1, d.range};
            KT_RUN(channel_range, level, &r, ranges, EBRU_CHANNEL_RANGE_OUT, p.B * 2 * pad);
            const int64_t floats = (int64_t)p.B * p.OH * p.OW * ebru_i8_row(C) / 4;
            float *out = kt_floats(floats);
            void *buf[] = {d.x0, d.x1, p.pro_scale ? d.stats : NULL, p.ranged ? d.range : NULL,
                           out};
            KT_RUN(quantize, level, &p, buf, EBRU_QUANTIZE_OUT, floats);
            check_bytes(&p, &d, (const uint8_t *)(const void *)out);
        }
        kt_release();
    }
}

/* What is no number is not lost: the scale is none either. Zeros have one. */
static void no_numbers(void **state) {
    (void)state;
    const struct ebru_quantize_params p = {
        .B = 1, .H = 1, .W = 3, .UH = 1, .UW = 3, .C0 = 20, .OH = 1, .OW = 3};
    KT_EACH_LEVEL(level) {
        float *x = kt_floats(kt_c16_floats(1, 20, 3)), *out = kt_floats(3 * ebru_i8_row(20) / 4);
        memset(x, 0, (size_t)kt_c16_floats(1, 20, 3) * sizeof *x);
        x[kt_c16(20, 3, 0, 17, 0)] = NAN;
        x[kt_c16(20, 3, 0, 2, 1)] = -INFINITY;
        x[kt_c16(20, 3, 0, 19, 2) + 4] = NAN; /* a lane that no channel has */
        void *buf[] = {x, NULL, NULL, NULL, out};
        KT_RUN(quantize, level, &p, buf, EBRU_QUANTIZE_OUT, 3 * ebru_i8_row(20) / 4);
        for (int32_t i = 0; i < 3; i++) {
            float scale;
            memcpy(&scale, (uint8_t *)(void *)out + i * ebru_i8_row(20) + 64, sizeof scale);
            assert_true(i < 2 ? isnan(scale) : scale > 0);
        }
        kt_release();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(range),
        cmocka_unit_test(bytes),
        cmocka_unit_test(no_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
