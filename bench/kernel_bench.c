/* Kernel speed as a share of the FMA peak measured in the same process.
 *
 *   kernel_bench [LEVEL] [ROUNDS] [=NAME] [-tN] [-c] [FIELD=VALUE ...]
 *
 *   LEVEL         suffix of a row of base/cpu/levels.def: v3 (default: this machine's best)
 *   =NAME         only names that contain NAME
 *   -tN           N threads, tasks shared out as a program does
 *   -c            cold: operands in turn from as many copies as hold 96 MB, so that weights come from memory;
 *                 inputs were just written by the threads, as by the node before
 *   FIELD=VALUE   also every convolution with its tiles changed so, in turns with the default ones
 *
 * Rows in bf16 count a product once, also where bf16x3 makes three of it. Peak and kernels run in
 * turns. A run takes the time of its slowest thread, counted in time on the processor, so that
 * other processes of the machine disturb little. Kernels run unspecialised here (params from
 * memory); inside a compiled model shapes are constants. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/cpu/cpu.h"
#include "codegen/target/default_tiles/default_tiles.h"
#include "runtime/abi/kernel_abi.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DECLARE(name, ID, suffix, ...)                                                             \
    void ebru_k_##name##_##suffix(const struct ebru_##name##_params *, void *const *, float *,     \
                                  int32_t, int32_t);
#define KERNEL(name, operands, summary) EBRU_LEVELS_HERE(DECLARE, DECLARE, name)
#include "runtime/abi/kernels.def"
#define DECLARE_PEAK(a, ID, suffix, ...) void ebru_peak_##suffix(int32_t n);
EBRU_LEVELS_HERE(DECLARE_PEAK, EBRU_NO_LEVEL, 0)

enum {
    MOST_THREADS = 16,
    MOST_ROUNDS = 1000,
    MOST_COPIES = 64,
    BUFS = EBRU_CONV2D_BUFS + 1, /* one more for what lies between two linears */
    HIDDEN = EBRU_CONV2D_BUFS,
    PEAK_STEPS = 20000,
    COLD_BYTES = 96 << 20
};
enum kind {
    CONV,
    WINOGRAD,
    WINOGRAD_BF16,
    CONV_BF16,
    CONV_I8,
    FEED_FORWARD,
    FEED_FORWARD_BF16,
    LINEARS,
    ATTENTION,
    STATS,
    LAYER_NORM,
    QUANTIZE
};

struct job {
    char name[64];
    enum kind kind;
    union {
        struct ebru_conv2d_params conv[2]; /* default tiles, changed ones */
        struct ebru_conv2d_winograd_params winograd[2];
        struct ebru_conv2d_winograd_bf16_params winograd_bf16[2];
        struct ebru_conv2d_bf16_params conv_bf16;
        struct ebru_conv2d_i8_params conv_i8;
        struct ebru_quantize_params quantize;
        struct ebru_feed_forward_bf16_params ff_bf16;
        struct {
            struct ebru_feed_forward_params ff;
            struct ebru_conv2d_params first, second; /* the same as two linears */
        };
        struct ebru_attention_params attention;
        struct ebru_group_stats_params stats;
        struct ebru_layer_norm_params norm;
    };
    int64_t size[BUFS]; /* floats of each operand; 0: absent */
    uint32_t inputs;    /* bits of the operands that nodes shortly before touched */
    uint32_t halves;    /* bits of the operands that are bf16 */
    int64_t scratch;    /* bytes a thread */
    double work;        /* FLOP, or bytes for the memory-bound ones */
    void *buf[MOST_COPIES][BUFS];
};

static struct {
    int32_t level;
    int rounds, threads, changes;
    bool cold;
    const char *only, *change[32];
} opt = {.level = EBRU_ISA_NONE, .rounds = 20, .threads = 1, .only = ""};

static struct job job;
static float *scratch[MOST_THREADS];

static double clock_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static float *floats(int64_t n) {
    float *p = (float *)aligned_alloc(64, (size_t)(n * 4 + 63) / 64 * 64 + 64);
    if (!p) abort();
    for (int64_t i = 0; i < n; i++) p[i] = (float)((i * 7919) % 1000) * 1e-3f - 0.5f;
    return p;
}

static float *bf16s(int64_t n) {
    float *p = floats(n / 2);
    uint16_t *half = (uint16_t *)p;
    for (int64_t i = 0; i < n; i++)
        half[i] = ebru_bf16_of((float)((i * 7919) % 1000) * 1e-3f - 0.5f);
    return p;
}

/* ---- what a thread runs ---- */

#define CODE(name, ID, suffix, ...)                                                                \
    case EBRU_ISA_##ID: code_ = ebru_k_##name##_##suffix; break;
#define RUN_CODE(name, p, buf, isa, cases)                                                         \
    do {                                                                                           \
        void (*code_)(const struct ebru_##name##_params *, void *const *, float *, int32_t,        \
                      int32_t) = NULL;                                                             \
        switch (isa) { cases }                                                                     \
        const int64_t tasks_ = ebru_##name##_tasks(p);                                             \
        if (code_)                                                                                 \
            code_(p, buf, scratch[t], (int32_t)(tasks_ * t / opt.threads),                         \
                  (int32_t)(tasks_ * (t + 1) / opt.threads));                                      \
    } while (0)
#define RUN(name, p, buf)                                                                          \
    RUN_CODE(name, p, buf, base_isa_plain(opt.level), EBRU_LEVELS_HERE(CODE, EBRU_NO_LEVEL, name))
#define RUN_BF16(name, p, buf) RUN_CODE(name, p, buf, opt.level, EBRU_LEVELS_HERE(CODE, CODE, name))

static pthread_barrier_t barrier;

/* The hidden layer is shared: a barrier, as between two nodes. */
static void linears(void *const *buf, int t) {
    void *const first[EBRU_CONV2D_BUFS] = {
        buf[EBRU_FEED_FORWARD_X],  NULL, NULL, buf[EBRU_FEED_FORWARD_W1],
        buf[EBRU_FEED_FORWARD_B1], NULL, NULL, buf[HIDDEN]};
    void *const second[EBRU_CONV2D_BUFS] = {buf[HIDDEN],
                                            NULL,
                                            NULL,
                                            buf[EBRU_FEED_FORWARD_W2],
                                            buf[EBRU_FEED_FORWARD_B2],
                                            NULL,
                                            buf[EBRU_FEED_FORWARD_RESIDUAL],
                                            buf[EBRU_FEED_FORWARD_OUT]};
    RUN(conv2d, &job.first, first);
    if (opt.threads > 1) pthread_barrier_wait(&barrier);
    RUN(conv2d, &job.second, second);
}

static void run_kernel(void *const *buf, int variant, int t) {
    switch (job.kind) {
    case CONV: RUN(conv2d, &job.conv[variant], buf); break;
    case WINOGRAD: RUN(conv2d_winograd, &job.winograd[variant], buf); break;
    case WINOGRAD_BF16: RUN_BF16(conv2d_winograd_bf16, &job.winograd_bf16[variant], buf); break;
    case CONV_BF16: RUN_BF16(conv2d_bf16, &job.conv_bf16, buf); break;
    case CONV_I8: RUN_BF16(conv2d_i8, &job.conv_i8, buf); break;
    case QUANTIZE: RUN(quantize, &job.quantize, buf); break;
    case FEED_FORWARD_BF16: RUN_BF16(feed_forward_bf16, &job.ff_bf16, buf); break;
    case FEED_FORWARD: RUN(feed_forward, &job.ff, buf); break;
    case LINEARS: linears(buf, t); break;
    case ATTENTION: RUN(attention, &job.attention, buf); break;
    case STATS: RUN(group_stats, &job.stats, buf); break;
    case LAYER_NORM: RUN(layer_norm, &job.norm, buf); break;
    }
}

#define PEAK(a, ID, suffix, ...)                                                                   \
    case EBRU_ISA_##ID: ebru_peak_##suffix(PEAK_STEPS); break;
static void run_peak(void) {
    switch (base_isa_plain(opt.level)) { EBRU_LEVELS_HERE(PEAK, EBRU_NO_LEVEL, 0) }
}

/* Writes thread t's share of the inputs. */
static void write_inputs(void *const *buf, int t) {
    for (int i = BUFS - 1; i >= 0; i--) { /* the first input last: it is the newest */
        if (!(job.inputs >> i & 1) || !buf[i]) continue;
        volatile float *p = (volatile float *)buf[i];
        const int64_t end = job.size[i] * (t + 1) / opt.threads;
        for (int64_t k = job.size[i] * t / opt.threads / 16 * 16; k < end; k += 16) p[k] = p[k];
    }
}

/* ---- rounds ---- */

static struct {
    double peak[MOST_ROUNDS], time[2][MOST_ROUNDS]; /* seconds */
    double thread[MOST_THREADS];
} result;

static double slowest(void) {
    double s = 0;
    for (int t = 0; t < opt.threads; t++)
        if (result.thread[t] > s) s = result.thread[t];
    return s;
}

/* The default tiles, and the changed ones. */
static int variant_count(void) {
    return opt.changes && job.kind <= WINOGRAD_BF16 ? 2 : 1;
}

static void *rounds(void *arg) {
    const int t = (int)(intptr_t)arg, variants = variant_count();
    int copies = 0, copy = 0;
    while (copies < MOST_COPIES && job.buf[copies][EBRU_CONV2D_X0]) copies++;
    for (int r = 0; r < opt.rounds; r++) {
        for (int v = -1; v < variants; v++) {
            void *const *buf = job.buf[copy];
            if (v >= 0) {
                if (opt.cold)
                    write_inputs(buf, t);
                else
                    run_kernel(buf, v, t); /* activations are warm; weights beyond L2 are not */
                copy = (copy + 1) % copies;
            }
            pthread_barrier_wait(&barrier);
            const double from = clock_of(CLOCK_THREAD_CPUTIME_ID);
            if (v < 0)
                run_peak();
            else
                run_kernel(buf, v, t);
            result.thread[t] = clock_of(CLOCK_THREAD_CPUTIME_ID) - from;
            pthread_barrier_wait(&barrier);
            if (t == 0) *(v < 0 ? &result.peak[r] : &result.time[v][r]) = slowest();
        }
    }
    return NULL;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void tiles(int v) {
    if (job.kind == CONV) {
        const struct ebru_conv2d_params *p = &job.conv[v];
        printf("  %dx%d, %dx%dx%d of KC %d, order %d%s, %d tasks", p->MR, p->NB, p->TB, p->TH,
               p->TW, p->KC, p->order, p->pack ? ", packed" : "", ebru_conv2d_tasks(p));
    } else if (job.kind == WINOGRAD) {
        const struct ebru_conv2d_winograd_params *p = &job.winograd[v];
        printf("  %dx%d, %d tasks of %d", p->MR, p->NB, ebru_conv2d_winograd_tasks(p), p->TT);
    } else if (job.kind == WINOGRAD_BF16) {
        const struct ebru_conv2d_winograd_bf16_params *p = &job.winograd_bf16[v];
        printf("  %dx%d, %d tasks of %d", p->MR, p->NB, ebru_conv2d_winograd_bf16_tasks(p), p->TT);
    } else if (job.kind == CONV_BF16) {
        const struct ebru_conv2d_bf16_params *p = &job.conv_bf16;
        printf("  %dx%d, %dx%dx%d of KC %d, order %d, %d tasks", p->MR, p->NB, p->TB, p->TH, p->TW,
               p->KC, p->order, ebru_conv2d_bf16_tasks(p));
    } else if (job.kind == CONV_I8) {
        const struct ebru_conv2d_i8_params *p = &job.conv_i8;
        printf("  %dx%d, %dx%dx%d, order %d, %d tasks", p->MR, p->NB, p->TB, p->TH, p->TW, p->order,
               ebru_conv2d_i8_tasks(p));
    } else if (job.kind == FEED_FORWARD_BF16) {
        const struct ebru_feed_forward_bf16_params *p = &job.ff_bf16;
        printf("  %d tokens a task, %d, %d blocks a pass", p->TW, p->KC1, p->KC2);
    }
}

static void report(void) {
    const int variants = variant_count(), half = opt.rounds / 2;
    const int lanes = base_isa_lanes(opt.level);
    qsort(result.peak, (size_t)opt.rounds, sizeof(double), ascending);
    const double peak = 2.0 * (double)PEAK_STEPS * 24 * lanes * opt.threads / result.peak[0] * 1e-9;
    for (int v = 0; v < variants; v++) {
        qsort(result.time[v], (size_t)opt.rounds, sizeof(double), ascending);
        const double median = result.time[v][half], rate = job.work / median * 1e-9;
        printf("%-46s %9.4f ms, best %9.4f, %7.1f", v ? "  with the changed tiles" : job.name,
               median * 1e3, result.time[v][0] * 1e3, rate);
        if (job.kind <= ATTENTION)
            printf(" GFLOP/s, %5.1f %% of %.0f, best %5.1f %%", 100 * rate / peak, peak,
                   100 * job.work / result.time[v][0] * 1e-9 / peak);
        tiles(v);
        printf("\n");
    }
    fflush(stdout);
}

/* Allocates the job's operands, runs its rounds, prints, frees. */
static void run(void) {
    if (!strstr(job.name, opt.only)) return;
    int64_t bytes = 0;
    for (int i = 0; i < BUFS; i++) bytes += job.size[i] * 4;
    int64_t copies = opt.cold ? COLD_BYTES / bytes + 1 : 1;
    if (copies == 1 && opt.cold) copies = 2;
    if (copies > MOST_COPIES) copies = MOST_COPIES;
    for (int64_t c = 0; c < copies; c++)
        for (int i = 0; i < BUFS; i++)
            job.buf[c][i] = !job.size[i]          ? NULL
                            : job.halves >> i & 1 ? bf16s(2 * job.size[i])
                                                  : floats(job.size[i]);
    for (int t = 0; t < opt.threads; t++) scratch[t] = floats(job.scratch / 4);
    pthread_t thread[MOST_THREADS];
    pthread_barrier_init(&barrier, NULL, (unsigned)opt.threads);
    for (int t = 1; t < opt.threads; t++)
        if (pthread_create(&thread[t], NULL, rounds, (void *)(intptr_t)t)) abort();
    rounds((void *)(intptr_t)0);
    for (int t = 1; t < opt.threads; t++) pthread_join(thread[t], NULL);
    pthread_barrier_destroy(&barrier);
    report();
    for (int64_t c = 0; c < copies; c++)
        for (int i = 0; i < BUFS; i++) free(job.buf[c][i]);
    for (int t = 0; t < opt.threads; t++) free(scratch[t]);
}

/* ---- jobs ---- */

static void start(enum kind kind) {
    memset(&job, 0, sizeof job);
    job.kind = kind;
}

/* The changes the command line asks for; of pixels at most what a register tile of the level has. */
#define CHANGE(type, field)                                                                        \
    if (strncmp(opt.change[i], #field "=", sizeof #field) == 0)                                    \
        p->field = (type)atoi(opt.change[i] + sizeof #field);
#define EBRU_FIELD_CHANGE(type, field) CHANGE(EBRU_FIELD_TYPE_##type, field)
static void change_conv(struct ebru_conv2d_params *p) {
    for (int i = 0; i < opt.changes; i++) {
        EBRU_FIELDS_conv2d(EBRU_FIELD_CHANGE)
    }
    p->MR = ebru_min_i32(p->MR, cg_most_rows(opt.level, p->NB));
}
static void change_winograd(struct ebru_conv2d_winograd_params *p) {
    for (int i = 0; i < opt.changes; i++) {
        EBRU_FIELDS_conv2d_winograd(EBRU_FIELD_CHANGE)
    }
    p->MR = ebru_min_i32(p->MR, cg_most_rows(opt.level, p->NB));
}

/* Here the rows of the default tiles are the most there is code for; with matrix registers they are
 * whole segments. */
static void change_winograd_bf16(struct ebru_conv2d_winograd_bf16_params *p) {
    const int32_t rows = p->MR;
    for (int i = 0; i < opt.changes; i++) {
        EBRU_FIELDS_conv2d_winograd_bf16(EBRU_FIELD_CHANGE)
    }
    p->MR = p->form == EBRU_BF16_TILES ? rows : ebru_min_i32(p->MR, rows);
}

static void finish_conv(int64_t in0, int64_t in1, int64_t out) {
    struct ebru_conv2d_params *p = job.conv;
    cg_default_tiles_conv2d(p, opt.level, 0, 0);
    p[1] = p[0];
    change_conv(&p[1]);
    job.size[EBRU_CONV2D_X0] = in0;
    job.size[EBRU_CONV2D_X1] = in1;
    if (p->pro_scale)
        job.size[EBRU_CONV2D_SCALE_SHIFT] = p->B * 2 * ebru_blocks16(p->C0 + p->C1) * 16;
    job.size[EBRU_CONV2D_WEIGHT] = ebru_conv2d_weight_floats(p);
    job.size[EBRU_CONV2D_BIAS] = ebru_blocks16(p->N) * 16;
    if (p->residual) job.size[EBRU_CONV2D_RESIDUAL] = out;
    job.size[EBRU_CONV2D_OUT] = out;
    job.inputs = 1u << EBRU_CONV2D_X0 | 1u << EBRU_CONV2D_X1 | 1u << EBRU_CONV2D_RESIDUAL |
                 1u << EBRU_CONV2D_OUT;
    job.scratch = ebru_conv2d_scratch(&p[0]);
    if (job.scratch < ebru_conv2d_scratch(&p[1])) job.scratch = ebru_conv2d_scratch(&p[1]);
    job.work = 2.0 * p->B * (double)p->OH * p->OW * (p->C0 + p->C1) * p->N * p->KH * p->KW;
}

static void set_conv(int32_t B, int32_t H, int32_t C0, int32_t C1, int32_t N, int32_t K,
                     int32_t fused) {
    start(CONV);
    struct ebru_conv2d_params *p = job.conv;
    p->B = B;
    p->H = p->W = p->UH = p->UW = p->OH = p->OW = H;
    p->C0 = C0;
    p->C1 = C1;
    p->N = N;
    p->KH = p->KW = K;
    p->SH = p->SW = 1;
    p->PT = p->PL = K / 2;
    p->has_bias = 1;
    if (fused) {
        p->pro_scale = 1;
        p->pre_act = EBRU_ACT_SILU;
        p->residual = 1;
    }
    snprintf(job.name, sizeof job.name, "conv %d->%d %dx%d k%d b%d%s", C0 + C1, N, H, H, K, B,
             fused ? " norm+silu, residual" : "");
    const int64_t P = (int64_t)H * H;
    finish_conv(B * ebru_blocks16(C0) * 16 * P, B * ebru_blocks16(C1) * 16 * P,
                B * ebru_blocks16(N) * 16 * P);
}

static void conv(int32_t B, int32_t H, int32_t C0, int32_t C1, int32_t N, int32_t K,
                 int32_t fused) {
    set_conv(B, H, C0, C1, N, K, fused);
    run();
}

/* The same in bf16 (parts 1) or bf16x3 (2). */
static void conv_bf16(int32_t parts, int32_t B, int32_t H, int32_t C, int32_t N, int32_t K,
                      int32_t fused) {
    set_conv(B, H, C, 0, N, K, fused);
    const struct ebru_conv2d_params shape = job.conv[0];
    struct ebru_conv2d_bf16_params *p = &job.conv_bf16;
    char name[64];
    memcpy(name, job.name, sizeof name);
    snprintf(job.name, sizeof job.name, "bf16%s %.50s", parts == 2 ? "x3" : "", name);
    job.kind = CONV_BF16;
    *p = ebru_conv2d_bf16_of(&shape, parts, 0);
    cg_default_tiles_conv2d_bf16(p, opt.level, 0, 0);
    job.size[EBRU_CONV2D_WEIGHT] = ebru_conv2d_bf16_weight_elements(p) / 2;
    job.halves = 1u << EBRU_CONV2D_WEIGHT;
    job.scratch = ebru_conv2d_bf16_scratch(p);
    run();
}

/* The same in 8-bit integers, and what makes its input. Instructions of such products do four times
 * as many as the FMA peak's. */
static void conv_i8(int32_t B, int32_t H, int32_t C, int32_t N, int32_t K) {
    start(CONV_I8);
    struct ebru_conv2d_i8_params *p = &job.conv_i8;
    const int32_t stored = H + K - 1;
    const int64_t P = (int64_t)H * H;
    *p = (struct ebru_conv2d_i8_params){.B = B,
                                        .H = stored,
                                        .W = stored,
                                        .C = C,
                                        .N = N,
                                        .KH = K,
                                        .KW = K,
                                        .SH = 1,
                                        .SW = 1,
                                        .OH = H,
                                        .OW = H,
                                        .has_bias = 1,
                                        .residual = 1};
    cg_default_tiles_conv2d_i8(p, opt.level, 0);
    for (int i = 0; i < opt.changes; i++) {
        EBRU_FIELDS_conv2d_i8(EBRU_FIELD_CHANGE)
    }
    snprintf(job.name, sizeof job.name, "i8 conv %d->%d %dx%d k%d b%d", C, N, H, H, K, B);
    job.size[EBRU_CONV2D_I8_X] = (int64_t)B * stored * stored * ebru_i8_row(C) / 4;
    job.size[EBRU_CONV2D_I8_WEIGHT] = ebru_conv2d_i8_weight_bytes(p) / 4;
    job.size[EBRU_CONV2D_I8_SCALE] = 2 * ebru_blocks16(N) * 16;
    job.size[EBRU_CONV2D_I8_BIAS] = ebru_blocks16(N) * 16;
    job.size[EBRU_CONV2D_I8_RESIDUAL] = job.size[EBRU_CONV2D_I8_OUT] =
        B * ebru_blocks16(N) * 16 * P;
    job.inputs = 1u << EBRU_CONV2D_I8_X | 1u << EBRU_CONV2D_I8_RESIDUAL | 1u << EBRU_CONV2D_I8_OUT;
    job.scratch = ebru_conv2d_i8_scratch(p);
    job.work = 2.0 * B * (double)P * C * N * K * K;
    run();

    start(QUANTIZE);
    job.quantize = (struct ebru_quantize_params){.B = B,
                                                 .H = K > 1 ? H : 1,
                                                 .W = K > 1 ? H : H * H,
                                                 .UH = K > 1 ? H : 1,
                                                 .UW = K > 1 ? H : H * H,
                                                 .C0 = C,
                                                 .PT = K / 2,
                                                 .PL = K / 2,
                                                 .OH = K > 1 ? stored : 1,
                                                 .OW = K > 1 ? stored : H * H,
                                                 .pro_scale = K > 1,
                                                 .pre_act = K > 1 ? EBRU_ACT_SILU : EBRU_ACT_NONE,
                                                 .ranged = K > 1};
    snprintf(job.name, sizeof job.name, "i8 quantize %d %dx%d k%d b%d", C, H, H, K, B);
    job.size[EBRU_QUANTIZE_X0] = B * ebru_blocks16(C) * 16 * P;
    if (K > 1)
        job.size[EBRU_QUANTIZE_SCALE_SHIFT] = job.size[EBRU_QUANTIZE_RANGE] =
            B * 2 * ebru_blocks16(C) * 16;
    job.size[EBRU_QUANTIZE_OUT] = (int64_t)B * stored * stored * ebru_i8_row(C) / 4;
    job.inputs = 1u << EBRU_QUANTIZE_X0 | 1u << EBRU_QUANTIZE_OUT;
    job.scratch = 64;
    run();
}

/* act: EBRU_ACT_NONE or _GEGLU, whose weight has twice N columns. */
static void linear(int32_t B, int32_t T, int32_t K, int32_t N, int32_t act) {
    start(CONV);
    struct ebru_conv2d_params *p = job.conv;
    const int32_t geglu = act == EBRU_ACT_GEGLU;
    ebru_conv2d_set_linear(p, B, T, K, geglu ? 2 * N : N);
    p->has_bias = 1;
    p->act = act;
    p->residual = !geglu;
    snprintf(job.name, sizeof job.name, "linear %d->%d%s, %d tokens b%d", K, N,
             geglu ? " geglu" : "", T, B);
    finish_conv((int64_t)B * T * K, 0, (int64_t)B * T * N);
    run();
}

/* The same work by F(MxM, 3x3); counted as the direct sum's. */
static void set_winograd(int32_t B, int32_t H, int32_t C0, int32_t N, int32_t M) {
    start(WINOGRAD);
    struct ebru_conv2d_winograd_params *p = job.winograd;
    p->B = B;
    p->H = p->W = p->UH = p->UW = p->OH = p->OW = H;
    p->C0 = C0;
    p->N = N;
    p->PT = p->PL = 1;
    p->has_bias = p->pro_scale = p->residual = 1;
    p->pre_act = EBRU_ACT_SILU;
    p->M = M;
    cg_default_tiles_conv2d_winograd(p, opt.level, 0);
    p[1] = p[0];
    change_winograd(&p[1]);
    snprintf(job.name, sizeof job.name, "winograd F(%d,3) %d->%d %dx%d b%d", M, C0, N, H, H, B);
    const int64_t P = (int64_t)H * H;
    job.size[EBRU_CONV2D_X0] = B * ebru_blocks16(C0) * 16 * P;
    job.size[EBRU_CONV2D_SCALE_SHIFT] = B * 2 * ebru_blocks16(C0) * 16;
    job.size[EBRU_CONV2D_WEIGHT] = ebru_winograd_weight_floats(N, C0, M);
    job.size[EBRU_CONV2D_BIAS] = ebru_blocks16(N) * 16;
    job.size[EBRU_CONV2D_RESIDUAL] = job.size[EBRU_CONV2D_OUT] = B * ebru_blocks16(N) * 16 * P;
    job.inputs = 1u << EBRU_CONV2D_X0 | 1u << EBRU_CONV2D_RESIDUAL | 1u << EBRU_CONV2D_OUT;
    job.scratch = ebru_conv2d_winograd_scratch(&p[0]);
    if (job.scratch < ebru_conv2d_winograd_scratch(&p[1]))
        job.scratch = ebru_conv2d_winograd_scratch(&p[1]);
    job.work = 2.0 * B * (double)P * C0 * N * 9;
}

static void winograd(int32_t B, int32_t H, int32_t C0, int32_t N, int32_t M) {
    set_winograd(B, H, C0, N, M);
    run();
}

/* The same with products in bf16 (parts 1) or bf16x3 (2), which F(2,3) has. */
static void winograd_bf16(int32_t parts, int32_t B, int32_t H, int32_t C0, int32_t N) {
    set_winograd(B, H, C0, N, 2);
    const struct ebru_conv2d_winograd_params shape = job.winograd[0];
    struct ebru_conv2d_winograd_bf16_params *p = job.winograd_bf16;
    char name[64];
    memcpy(name, job.name, sizeof name);
    snprintf(job.name, sizeof job.name, "bf16%s %.50s", parts == 2 ? "x3" : "", name);
    job.kind = WINOGRAD_BF16;
    p[0] = ebru_conv2d_winograd_bf16_of(&shape, parts, ebru_bf16_form(opt.level));
    cg_default_tiles_conv2d_winograd_bf16(p, opt.level, 0);
    p[1] = p[0];
    change_winograd_bf16(&p[1]);
    job.size[EBRU_CONV2D_WEIGHT] = ebru_winograd_bf16_weight_elements(N, C0, parts) / 2;
    job.halves = 1u << EBRU_CONV2D_WEIGHT;
    job.scratch = ebru_conv2d_winograd_bf16_scratch(&p[0]);
    if (job.scratch < ebru_conv2d_winograd_bf16_scratch(&p[1]))
        job.scratch = ebru_conv2d_winograd_bf16_scratch(&p[1]);
    run();
}

/* The gated feed-forward over T tokens, fused and as two linears. */
static void feed_forward(int32_t T, int32_t C, int32_t H) {
    for (enum kind kind = FEED_FORWARD; kind <= LINEARS; kind++) {
        start(kind);
        struct ebru_feed_forward_params *p = &job.ff;
        p->B = 1;
        p->T = T;
        p->C = p->N = C;
        p->H = H;
        p->has_b1 = p->has_b2 = p->residual = 1;
        cg_default_tiles_feed_forward(p, opt.level, 0, 0);
        ebru_feed_forward_layers(p, &job.first, &job.second);
        cg_default_tiles_conv2d(&job.first, opt.level, 0, 0);
        cg_default_tiles_conv2d(&job.second, opt.level, 0, 0);
        snprintf(job.name, sizeof job.name, "feed_forward %d tokens, %d->%d->%d%s", T, C, H, C,
                 kind == LINEARS ? " apart" : "");
        job.size[EBRU_FEED_FORWARD_X] = (int64_t)T * C;
        job.size[EBRU_FEED_FORWARD_W1] = ebru_conv2d_weight_floats(&job.first);
        job.size[EBRU_FEED_FORWARD_B1] = 2 * H;
        job.size[EBRU_FEED_FORWARD_W2] = ebru_conv2d_weight_floats(&job.second);
        job.size[EBRU_FEED_FORWARD_B2] = C;
        job.size[EBRU_FEED_FORWARD_RESIDUAL] = job.size[EBRU_FEED_FORWARD_OUT] = (int64_t)T * C;
        job.inputs = 1u << EBRU_FEED_FORWARD_X | 1u << EBRU_FEED_FORWARD_RESIDUAL |
                     1u << EBRU_FEED_FORWARD_OUT;
        job.scratch = ebru_feed_forward_scratch(p);
        if (kind == LINEARS) {
            job.size[HIDDEN] = (int64_t)T * H;
            job.scratch = ebru_conv2d_scratch(&job.first) + ebru_conv2d_scratch(&job.second);
        }
        job.work = 6.0 * T * C * H;
        run();
    }
}

static void feed_forward_bf16(int32_t parts, int32_t T, int32_t C, int32_t H) {
    start(FEED_FORWARD_BF16);
    struct ebru_feed_forward_bf16_params *p = &job.ff_bf16;
    struct ebru_conv2d_bf16_params first, second;
    p->B = 1;
    p->T = T;
    p->C = p->N = C;
    p->H = H;
    p->has_b1 = p->has_b2 = p->residual = 1;
    p->parts = parts;
    cg_default_tiles_feed_forward_bf16(p, opt.level, 0, 0);
    ebru_feed_forward_bf16_layers(p, &first, &second);
    snprintf(job.name, sizeof job.name, "bf16%s feed_forward %d tokens, %d->%d->%d",
             parts == 2 ? "x3" : "", T, C, H, C);
    job.size[EBRU_FEED_FORWARD_X] = (int64_t)T * C;
    job.size[EBRU_FEED_FORWARD_W1] = ebru_conv2d_bf16_weight_elements(&first) / 2;
    job.size[EBRU_FEED_FORWARD_B1] = 2 * H;
    job.size[EBRU_FEED_FORWARD_W2] = ebru_conv2d_bf16_weight_elements(&second) / 2;
    job.size[EBRU_FEED_FORWARD_B2] = C;
    job.size[EBRU_FEED_FORWARD_RESIDUAL] = job.size[EBRU_FEED_FORWARD_OUT] = (int64_t)T * C;
    job.inputs =
        1u << EBRU_FEED_FORWARD_X | 1u << EBRU_FEED_FORWARD_RESIDUAL | 1u << EBRU_FEED_FORWARD_OUT;
    job.halves = 1u << EBRU_FEED_FORWARD_W1 | 1u << EBRU_FEED_FORWARD_W2;
    job.scratch = ebru_feed_forward_bf16_scratch(p);
    job.work = 6.0 * T * C * H;
    run();
}

static void attention(int32_t T, int32_t S, int32_t heads, int32_t d) {
    start(ATTENTION);
    struct ebru_attention_params *p = &job.attention;
    p->B = p->Bk = 1;
    p->T = T;
    p->S = S;
    p->heads = heads;
    p->d = d;
    p->C = heads * d;
    p->scale = 0.1f;
    cg_default_tiles_attention(p, 0);
    snprintf(job.name, sizeof job.name, "attention %d queries %d keys, %d x %d", T, S, heads, d);
    job.size[EBRU_ATTENTION_Q] = (int64_t)T * heads * d + 16 * T;
    job.size[EBRU_ATTENTION_K] = (int64_t)heads * ebru_blocks16(S) * d * 16;
    job.size[EBRU_ATTENTION_V] = (int64_t)heads * ebru_blocks16(d) * S * 16;
    job.size[EBRU_ATTENTION_OUT] = (int64_t)T * heads * d + 16 * T;
    job.inputs = 1u << EBRU_ATTENTION_Q | 1u << EBRU_ATTENTION_K | 1u << EBRU_ATTENTION_V;
    job.scratch = ebru_attention_scratch(p);
    job.work = 4.0 * T * S * heads * d;
    run();
}

static void stats(int32_t P, int32_t C) {
    start(STATS);
    const struct ebru_group_stats_params p = {1, P, C, 0, 32, 1e-5f};
    job.stats = p;
    snprintf(job.name, sizeof job.name, "group_stats %d channels, %d pixels (GB/s)", C, P);
    job.size[EBRU_GROUP_STATS_X0] = (int64_t)C * P;
    job.size[EBRU_GROUP_STATS_GAMMA] = job.size[EBRU_GROUP_STATS_BETA] = C;
    job.size[EBRU_GROUP_STATS_OUT] = 2 * C;
    job.inputs = 1u << EBRU_GROUP_STATS_X0;
    job.work = 4.0 * C * P;
    run();
}

static void layer_norm(int32_t T, int32_t C) {
    start(LAYER_NORM);
    const struct ebru_layer_norm_params p = {1, T, C, 1e-5f};
    job.norm = p;
    snprintf(job.name, sizeof job.name, "layer_norm %d tokens, %d channels (GB/s)", T, C);
    job.size[EBRU_LAYER_NORM_X] = job.size[EBRU_LAYER_NORM_OUT] = (int64_t)C * T;
    job.size[EBRU_LAYER_NORM_GAMMA] = job.size[EBRU_LAYER_NORM_BETA] = C;
    job.inputs = 1u << EBRU_LAYER_NORM_X;
    job.work = 8.0 * C * T;
    run();
}

/* What Stable Diffusion 1.5 has beside the shapes that are compared with the direct sum. */
static void winograd_of_networks(void) {
    static const struct {
        int32_t B, H, C, N, M;
    } row[] = {{1, 16, 2560, 1280, 2}, {1, 16, 1920, 1280, 2}, {1, 8, 1280, 1280, 2},
               {2, 8, 1280, 1280, 2},  {1, 8, 2560, 1280, 2},  {1, 32, 1920, 640, 4},
               {1, 32, 1280, 640, 4},  {1, 64, 960, 320, 4},   {2, 16, 2560, 1280, 2},
               {2, 16, 1280, 1280, 2}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        winograd(row[i].B, row[i].H, row[i].C, row[i].N, row[i].M);
}

static void run_all(void) {
    conv(1, 32, 64, 0, 64, 3, 0);
    conv(1, 32, 64, 0, 64, 3, 1);
    conv(1, 16, 128, 0, 128, 3, 1);
    conv(1, 8, 256, 0, 256, 3, 1);
    conv(1, 8, 256, 256, 256, 3, 1);
    conv(1, 32, 64, 64, 64, 3, 1);
    conv(1, 32, 64, 0, 128, 1, 0);
    conv(1, 8, 256, 0, 768, 1, 0);
    conv(1, 8, 256, 0, 256, 1, 0);
    /* Stable Diffusion 1.5 */
    conv(2, 64, 320, 0, 320, 3, 1);
    conv(1, 8, 1280, 0, 1280, 3, 1);
    conv(1, 8, 1280, 1280, 1280, 3, 1);
    conv(2, 8, 1280, 0, 1280, 3, 1);
    conv(1, 64, 640, 0, 320, 1, 0);
    conv(1, 16, 1280, 1280, 1280, 1, 0);
    linear(1, 4096, 320, 320, EBRU_ACT_NONE);
    linear(2, 4096, 320, 320, EBRU_ACT_NONE);
    linear(1, 4096, 320, 1280, EBRU_ACT_GEGLU);
    linear(1, 4096, 1280, 320, EBRU_ACT_NONE);
    linear(1, 1024, 640, 640, EBRU_ACT_NONE);
    linear(2, 1024, 640, 640, EBRU_ACT_NONE);
    linear(1, 1024, 640, 2560, EBRU_ACT_GEGLU);
    linear(1, 1024, 2560, 640, EBRU_ACT_NONE);
    linear(1, 256, 1280, 1280, EBRU_ACT_NONE);
    linear(2, 256, 1280, 1280, EBRU_ACT_NONE);
    linear(1, 256, 1280, 5120, EBRU_ACT_GEGLU);
    linear(1, 256, 5120, 1280, EBRU_ACT_NONE);
    linear(1, 64, 1280, 1280, EBRU_ACT_NONE);
    linear(1, 64, 1280, 5120, EBRU_ACT_GEGLU);
    conv(1, 64, 320, 0, 320, 3, 1);
    winograd(1, 64, 320, 320, 4);
    winograd(1, 64, 320, 320, 2);
    conv(1, 32, 640, 0, 640, 3, 1);
    winograd(1, 32, 640, 640, 4);
    winograd(1, 32, 640, 640, 2);
    conv(1, 16, 1280, 0, 1280, 3, 1);
    winograd(1, 16, 1280, 1280, 2);
    winograd(1, 16, 1280, 1280, 4);
    winograd_of_networks();
    feed_forward(4096, 320, 1280);
    feed_forward(4096, 640, 2560);
    for (int32_t parts = 1; parts <= 2; parts++) {
        conv_bf16(parts, 1, 32, 64, 64, 3, 0);
        conv_bf16(parts, 1, 32, 64, 128, 1, 0);
        conv_bf16(parts, 1, 64, 320, 320, 3, 1);
        conv_bf16(parts, 1, 64, 320, 320, 1, 0);
        conv_bf16(parts, 1, 64, 320, 2560, 1, 0);
        conv_bf16(parts, 1, 32, 640, 640, 3, 1);
        conv_bf16(parts, 1, 32, 640, 5120, 1, 0);
        conv_bf16(parts, 1, 16, 1280, 1280, 3, 1);
        conv_bf16(parts, 2, 16, 1280, 1280, 3, 1);
        conv_bf16(parts, 2, 8, 1280, 1280, 3, 1);
        conv_bf16(parts, 1, 16, 5120, 1280, 1, 0);
        conv_bf16(parts, 1, 256, 128, 128, 3, 1);
        winograd_bf16(parts, 1, 64, 320, 320);
        winograd_bf16(parts, 1, 32, 640, 640);
        winograd_bf16(parts, 1, 16, 1280, 1280);
        winograd_bf16(parts, 2, 16, 1280, 1280);
        winograd_bf16(parts, 2, 8, 1280, 1280);
        winograd_bf16(parts, 1, 256, 128, 128);
        feed_forward_bf16(parts, 4096, 320, 1280);
        feed_forward_bf16(parts, 1024, 640, 2560);
    }
    conv_i8(1, 32, 64, 64, 3);
    conv_i8(1, 32, 64, 128, 1);
    conv_i8(1, 64, 320, 320, 3);
    conv_i8(1, 64, 320, 320, 1);
    conv_i8(1, 64, 320, 2560, 1);
    conv_i8(1, 32, 640, 640, 3);
    conv_i8(1, 32, 640, 5120, 1);
    conv_i8(1, 16, 1280, 1280, 3);
    conv_i8(2, 8, 1280, 1280, 3);
    conv_i8(1, 16, 5120, 1280, 1);
    conv_i8(1, 256, 128, 128, 3);
    conv(1, 256, 128, 0, 128, 3, 1);
    winograd(1, 256, 128, 128, 4);
    winograd(1, 256, 128, 128, 2);
    conv(1, 1, 256, 0, 1024, 1, 0);
    attention(64, 64, 4, 64);
    attention(1024, 1024, 8, 40);
    attention(1024, 77, 8, 40);
    attention(4096, 4096, 1, 40);
    attention(1024, 1024, 2, 80);
    attention(256, 256, 8, 160);
    attention(4096, 77, 8, 40);
    attention(1024, 77, 8, 80);
    attention(256, 77, 8, 160);
    stats(1024, 64);
    stats(64, 256);
    stats(4096, 320);
    layer_norm(1024, 320);
}

/* EBRU_ISA_* of a level's suffix. */
static int32_t level_of(const char *text) {
#define SUFFIX(given, ID, suffix, ...)                                                             \
    if (strcmp(given, #suffix) == 0) return EBRU_ISA_##ID;
    EBRU_LEVELS_HERE(SUFFIX, SUFFIX, text)
    return EBRU_ISA_NONE;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (level_of(a) != EBRU_ISA_NONE)
            opt.level = level_of(a);
        else if (a[0] == '=')
            opt.only = a + 1;
        else if (strncmp(a, "-t", 2) == 0)
            opt.threads = ebru_min_i32(ebru_max_i32(atoi(a + 2), 1), MOST_THREADS);
        else if (strcmp(a, "-c") == 0)
            opt.cold = true;
        else if (strchr(a, '='))
            opt.change[opt.changes < 31 ? opt.changes++ : 31] = a;
        else
            opt.rounds = ebru_min_i32(ebru_max_i32(atoi(a), 1), MOST_ROUNDS);
    }
    base_cpu cpu;
    base_cpu_detect(&cpu);
    if (opt.level == EBRU_ISA_NONE) opt.level = cpu.isa;
    if (!base_cpu_runs(&cpu, opt.level) || !base_cpu_permit(&cpu, opt.level)) {
        fprintf(stderr, "kernel_bench: this machine is not of that level\n");
        return 1;
    }
    printf("%s, %d thread%s, %s, median of %d rounds\n", base_isa_name(opt.level), opt.threads,
           opt.threads > 1 ? "s" : "", opt.cold ? "operands cold" : "activations warm", opt.rounds);
    run_all();
    return 0;
}
