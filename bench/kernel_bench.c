/* Kernel speed on one thread, as a share of the FMA peak measured in the same process.
 *
 *   kernel_bench [v2|v3|v4|v4_bf16|v4_amx] [rounds] [=NAME]    best of rounds, peak and kernels in turns;
 * only names with NAME
 *
 * Rows in bf16 count a product once, also where bf16x3 makes three of it; the last two levels differ in them.
 * Kernels run unspecialised here (params from memory); inside a compiled model shapes are constants. */
#include "runtime/cpu.h"
#include "runtime/kernel_abi.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DECLARE(name, level)                                                                                 \
    void ebru_k_##name##_##level(const struct ebru_##name##_params *, void *const *, float *, int32_t,       \
                                 int32_t);
#define KERNEL(name, operands, summary)                                                                      \
    DECLARE(name, v2)                                                                                        \
    DECLARE(name, v3)                                                                                        \
    DECLARE(name, v4)                                                                                        \
    DECLARE(name, v4_bf16)                                                                                   \
    DECLARE(name, v4_amx)
#include "runtime/kernels.def"
void ebru_peak_v2(int32_t n);
void ebru_peak_v3(int32_t n);
void ebru_peak_v4(int32_t n);

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static float *floats(int64_t n) {
    float *p = (float *)aligned_alloc(64, (size_t)(n * 4 + 63) / 64 * 64 + 64);
    if (!p) abort();
    for (int64_t i = 0; i < n; i++) p[i] = (float)((i * 7919) % 1000) * 1e-3f - 0.5f;
    return p;
}

static uint16_t *bf16s(int64_t n) {
    uint16_t *p = (uint16_t *)floats((n + 1) / 2);
    for (int64_t i = 0; i < n; i++) p[i] = ebru_bf16_of((float)((i * 7919) % 1000) * 1e-3f - 0.5f);
    return p;
}

enum kind {
    CONV,
    CONV_BF16,
    WINOGRAD,
    FEED_FORWARD,
    FEED_FORWARD_BF16,
    LINEARS,
    ATTENTION,
    STATS,
    LAYER_NORM
};
struct job {
    char name[64];
    enum kind kind;
    union {
        struct ebru_conv2d_params conv;
        struct ebru_conv2d_bf16_params conv_bf16;
        struct ebru_feed_forward_bf16_params ff_bf16;
        struct ebru_conv2d_winograd_params winograd;
        struct {
            struct ebru_feed_forward_params ff;
            struct ebru_conv2d_params first, second; /* the same as two linears */
        };
        struct ebru_attention_params attention;
        struct ebru_group_stats_params stats;
        struct ebru_layer_norm_params norm;
    };
    void *buf[EBRU_CONV2D_BUFS];
    void *hidden; /* between the two linears */
    float *scratch;
    double work, best; /* FLOP, or bytes for the memory-bound ones; seconds */
};

static struct job jobs[96];
static int job_count;
static int32_t level = EBRU_LEVEL_V4;

#define RUN(name, p, buf, s, n)                                                                              \
    (level == 2   ? ebru_k_##name##_v2(p, buf, s, 0, n)                                                      \
     : level == 3 ? ebru_k_##name##_v3(p, buf, s, 0, n)                                                      \
                  : ebru_k_##name##_v4(p, buf, s, 0, n))
#define RUN_BF16(name, p, buf, s, n)                                                                         \
    (level == EBRU_LEVEL_V4_AMX    ? ebru_k_##name##_v4_amx(p, buf, s, 0, n)                                 \
     : level == EBRU_LEVEL_V4_BF16 ? ebru_k_##name##_v4_bf16(p, buf, s, 0, n)                                \
                                   : RUN(name, p, buf, s, n))

static struct job *add(enum kind kind) {
    struct job *j = &jobs[job_count++];
    j->kind = kind;
    return j;
}

static void conv(int32_t B, int32_t H, int32_t C0, int32_t C1, int32_t N, int32_t K, int32_t fused) {
    struct job *j = add(CONV);
    struct ebru_conv2d_params *p = &j->conv;
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
    ebru_conv2d_default_tiles(p, level, 0, 0);
    snprintf(j->name, sizeof j->name, "conv %d->%d %dx%d k%d b%d%s", C0 + C1, N, H, H, K, B,
             fused ? " norm+silu, residual" : "");
    const int64_t P = (int64_t)H * H;
    j->buf[EBRU_CONV2D_X0] = floats(B * ebru_blocks16(C0) * 16 * P);
    j->buf[EBRU_CONV2D_X1] = C1 ? floats(B * ebru_blocks16(C1) * 16 * P) : NULL;
    j->buf[EBRU_CONV2D_SCALE_SHIFT] = floats(B * 2 * ebru_blocks16(C0 + C1) * 16);
    j->buf[EBRU_CONV2D_WEIGHT] = floats(ebru_conv2d_weight_floats(p));
    j->buf[EBRU_CONV2D_BIAS] = floats(ebru_blocks16(N) * 16);
    j->buf[EBRU_CONV2D_RESIDUAL] = floats(B * ebru_blocks16(N) * 16 * P);
    j->buf[EBRU_CONV2D_OUT] = floats(B * ebru_blocks16(N) * 16 * P);
    j->scratch = floats(ebru_conv2d_scratch(p) / 4);
    j->work = 2.0 * B * (double)P * (C0 + C1) * N * K * K;
}

/* The same in bf16 (parts 1) or bf16x3 (2). */
static void conv_bf16(int32_t parts, int32_t B, int32_t H, int32_t C, int32_t N, int32_t K, int32_t fused) {
    conv(B, H, C, 0, N, K, fused);
    struct job *j = &jobs[job_count - 1];
    const struct ebru_conv2d_params shape = j->conv;
    struct ebru_conv2d_bf16_params *p = &j->conv_bf16;
    char name[64];
    snprintf(name, sizeof name, "bf16%s %s", parts == 2 ? "x3" : "", j->name);
    memcpy(j->name, name, sizeof name);
    j->kind = CONV_BF16;
    *p = ebru_conv2d_bf16_of(&shape, parts, 0);
    ebru_conv2d_bf16_default_tiles(p, level, 0, 0);
    free(j->buf[EBRU_CONV2D_WEIGHT]);
    free(j->scratch);
    j->buf[EBRU_CONV2D_WEIGHT] = bf16s(ebru_conv2d_bf16_weight_elements(p));
    j->scratch = floats(ebru_conv2d_bf16_scratch(p) / 4);
}

/* The same work by F(MxM, 3x3); counted as the direct sum's. */
static void winograd(int32_t B, int32_t H, int32_t C0, int32_t N, int32_t M) {
    struct job *j = add(WINOGRAD);
    struct ebru_conv2d_winograd_params *p = &j->winograd;
    p->B = B;
    p->H = p->W = p->UH = p->UW = p->OH = p->OW = H;
    p->C0 = C0;
    p->N = N;
    p->PT = p->PL = 1;
    p->has_bias = p->pro_scale = p->residual = 1;
    p->pre_act = EBRU_ACT_SILU;
    p->M = M;
    ebru_conv2d_winograd_default_tiles(p, level, 0);
    snprintf(j->name, sizeof j->name, "winograd F(%d,3) %d->%d %dx%d b%d", M, C0, N, H, H, B);
    const int64_t P = (int64_t)H * H;
    j->buf[EBRU_CONV2D_X0] = floats(B * ebru_blocks16(C0) * 16 * P);
    j->buf[EBRU_CONV2D_SCALE_SHIFT] = floats(B * 2 * ebru_blocks16(C0) * 16);
    j->buf[EBRU_CONV2D_WEIGHT] = floats(ebru_winograd_weight_floats(N, C0, M));
    j->buf[EBRU_CONV2D_BIAS] = floats(ebru_blocks16(N) * 16);
    j->buf[EBRU_CONV2D_RESIDUAL] = floats(B * ebru_blocks16(N) * 16 * P);
    j->buf[EBRU_CONV2D_OUT] = floats(B * ebru_blocks16(N) * 16 * P);
    j->scratch = floats(ebru_conv2d_winograd_scratch(p) / 4);
    j->work = 2.0 * B * (double)P * C0 * N * 9;
}

/* The gated feed-forward over T tokens, fused and as two linears. */
static void feed_forward(int32_t T, int32_t C, int32_t H) {
    for (enum kind kind = FEED_FORWARD; kind <= LINEARS; kind++) {
        struct job *j = add(kind);
        struct ebru_feed_forward_params *p = &j->ff;
        p->B = 1;
        p->T = T;
        p->C = p->N = C;
        p->H = H;
        p->has_b1 = p->has_b2 = p->residual = 1;
        ebru_feed_forward_default_tiles(p, level, 0, 0);
        ebru_feed_forward_layers(p, &j->first, &j->second);
        ebru_conv2d_default_tiles(&j->first, level, 0, 0);
        ebru_conv2d_default_tiles(&j->second, level, 0, 0);
        snprintf(j->name, sizeof j->name, "feed_forward %d tokens, %d->%d->%d%s", T, C, H, C,
                 kind == LINEARS ? " apart" : "");
        j->buf[EBRU_FEED_FORWARD_X] = floats((int64_t)T * C);
        j->buf[EBRU_FEED_FORWARD_W1] = floats(ebru_conv2d_weight_floats(&j->first));
        j->buf[EBRU_FEED_FORWARD_B1] = floats(2 * H);
        j->buf[EBRU_FEED_FORWARD_W2] = floats(ebru_conv2d_weight_floats(&j->second));
        j->buf[EBRU_FEED_FORWARD_B2] = floats(C);
        j->buf[EBRU_FEED_FORWARD_RESIDUAL] = floats((int64_t)T * C);
        j->buf[EBRU_FEED_FORWARD_OUT] = floats((int64_t)T * C);
        int64_t scratch = ebru_feed_forward_scratch(p);
        if (kind == LINEARS) {
            j->hidden = floats((int64_t)T * H);
            scratch = ebru_conv2d_scratch(&j->first) + ebru_conv2d_scratch(&j->second);
        }
        j->scratch = floats(scratch / 4);
        j->work = 6.0 * T * C * H;
    }
}

static void feed_forward_bf16(int32_t parts, int32_t T, int32_t C, int32_t H) {
    struct job *j = add(FEED_FORWARD_BF16);
    struct ebru_feed_forward_bf16_params *p = &j->ff_bf16;
    struct ebru_conv2d_bf16_params first, second;
    p->B = 1;
    p->T = T;
    p->C = p->N = C;
    p->H = H;
    p->has_b1 = p->has_b2 = p->residual = 1;
    p->parts = parts;
    ebru_feed_forward_bf16_default_tiles(p, level, 0, 0);
    ebru_feed_forward_bf16_layers(p, &first, &second);
    snprintf(j->name, sizeof j->name, "bf16%s feed_forward %d tokens, %d->%d->%d", parts == 2 ? "x3" : "", T,
             C, H, C);
    j->buf[EBRU_FEED_FORWARD_X] = floats((int64_t)T * C);
    j->buf[EBRU_FEED_FORWARD_W1] = bf16s(ebru_conv2d_bf16_weight_elements(&first));
    j->buf[EBRU_FEED_FORWARD_B1] = floats(2 * H);
    j->buf[EBRU_FEED_FORWARD_W2] = bf16s(ebru_conv2d_bf16_weight_elements(&second));
    j->buf[EBRU_FEED_FORWARD_B2] = floats(C);
    j->buf[EBRU_FEED_FORWARD_RESIDUAL] = floats((int64_t)T * C);
    j->buf[EBRU_FEED_FORWARD_OUT] = floats((int64_t)T * C);
    j->scratch = floats(ebru_feed_forward_bf16_scratch(p) / 4);
    j->work = 6.0 * T * C * H;
}

static void linears(struct job *j) {
    void *const first[EBRU_CONV2D_BUFS] = {
        j->buf[EBRU_FEED_FORWARD_X],  NULL, NULL, j->buf[EBRU_FEED_FORWARD_W1],
        j->buf[EBRU_FEED_FORWARD_B1], NULL, NULL, j->hidden};
    void *const second[EBRU_CONV2D_BUFS] = {j->hidden,
                                            NULL,
                                            NULL,
                                            j->buf[EBRU_FEED_FORWARD_W2],
                                            j->buf[EBRU_FEED_FORWARD_B2],
                                            NULL,
                                            j->buf[EBRU_FEED_FORWARD_RESIDUAL],
                                            j->buf[EBRU_FEED_FORWARD_OUT]};
    RUN(conv2d, &j->first, first, j->scratch, ebru_conv2d_tasks(&j->first));
    RUN(conv2d, &j->second, second, j->scratch, ebru_conv2d_tasks(&j->second));
}

static void attention(int32_t T, int32_t S, int32_t heads, int32_t d) {
    struct job *j = add(ATTENTION);
    struct ebru_attention_params *p = &j->attention;
    p->B = p->Bk = 1;
    p->T = T;
    p->S = S;
    p->heads = heads;
    p->d = d;
    p->C = heads * d;
    p->scale = 0.1f;
    ebru_attention_default_tiles(p, level, 0, 0);
    snprintf(j->name, sizeof j->name, "attention %d queries %d keys, %d x %d", T, S, heads, d);
    j->buf[EBRU_ATTENTION_Q] = floats((int64_t)T * heads * d + 16 * T);
    j->buf[EBRU_ATTENTION_K] = floats((int64_t)heads * ebru_blocks16(S) * d * 16);
    j->buf[EBRU_ATTENTION_V] = floats((int64_t)heads * ebru_blocks16(d) * S * 16);
    j->buf[EBRU_ATTENTION_OUT] = floats((int64_t)T * heads * d + 16 * T);
    j->scratch = floats(ebru_attention_scratch(p) / 4);
    j->work = 4.0 * T * S * heads * d;
}

static void stats(int32_t P, int32_t C) {
    struct job *j = add(STATS);
    const struct ebru_group_stats_params p = {1, P, C, 0, 32, 1e-5f};
    j->stats = p;
    snprintf(j->name, sizeof j->name, "group_stats %d channels, %d pixels (GB/s)", C, P);
    j->buf[EBRU_GROUP_STATS_X0] = floats((int64_t)C * P);
    j->buf[EBRU_GROUP_STATS_GAMMA] = floats(C);
    j->buf[EBRU_GROUP_STATS_BETA] = floats(C);
    j->buf[EBRU_GROUP_STATS_OUT] = floats(2 * C);
    j->work = 4.0 * C * P;
}

static void layer_norm(int32_t T, int32_t C) {
    struct job *j = add(LAYER_NORM);
    const struct ebru_layer_norm_params p = {1, T, C, 1e-5f};
    j->norm = p;
    snprintf(j->name, sizeof j->name, "layer_norm %d tokens, %d channels (GB/s)", T, C);
    j->buf[EBRU_LAYER_NORM_X] = floats((int64_t)C * T);
    j->buf[EBRU_LAYER_NORM_GAMMA] = floats(C);
    j->buf[EBRU_LAYER_NORM_BETA] = floats(C);
    j->buf[EBRU_LAYER_NORM_OUT] = floats((int64_t)C * T);
    j->work = 8.0 * C * T;
}

static double once(struct job *j) {
    const double t = now();
    switch (j->kind) {
    case CONV: RUN(conv2d, &j->conv, j->buf, j->scratch, ebru_conv2d_tasks(&j->conv)); break;
    case CONV_BF16:
        RUN_BF16(conv2d_bf16, &j->conv_bf16, j->buf, j->scratch, ebru_conv2d_bf16_tasks(&j->conv_bf16));
        break;
    case FEED_FORWARD_BF16:
        RUN_BF16(feed_forward_bf16, &j->ff_bf16, j->buf, j->scratch,
                 ebru_feed_forward_bf16_tasks(&j->ff_bf16));
        break;
    case WINOGRAD:
        RUN(conv2d_winograd, &j->winograd, j->buf, j->scratch, ebru_conv2d_winograd_tasks(&j->winograd));
        break;
    case FEED_FORWARD: RUN(feed_forward, &j->ff, j->buf, j->scratch, ebru_feed_forward_tasks(&j->ff)); break;
    case LINEARS: linears(j); break;
    case ATTENTION:
        RUN(attention, &j->attention, j->buf, j->scratch, ebru_attention_tasks(&j->attention));
        break;
    case STATS: RUN(group_stats, &j->stats, j->buf, NULL, ebru_group_stats_tasks(&j->stats)); break;
    case LAYER_NORM: RUN(layer_norm, &j->norm, j->buf, NULL, ebru_layer_norm_tasks(&j->norm)); break;
    }
    return now() - t;
}

int main(int argc, char **argv) {
    int rounds = 20;
    const char *only = "";
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == 'v')
            level = strstr(argv[i], "amx")    ? EBRU_LEVEL_V4_AMX
                    : strstr(argv[i], "bf16") ? EBRU_LEVEL_V4_BF16
                                              : atoi(argv[i] + 1);
        else if (argv[i][0] == '=')
            only = argv[i] + 1;
        else
            rounds = atoi(argv[i]);
    }
    rt_cpu cpu;
    rt_cpu_detect(&cpu);
    if (level > cpu.level || !rt_cpu_permit(&cpu, level)) {
        fprintf(stderr, "kernel_bench: this machine is not of that level\n");
        return 1;
    }
    conv(1, 32, 64, 0, 64, 3, 0);
    conv(1, 32, 64, 0, 64, 3, 1);
    conv(1, 16, 128, 0, 128, 3, 1);
    conv(1, 8, 256, 0, 256, 3, 1);
    conv(1, 8, 256, 256, 256, 3, 1);
    conv(1, 32, 64, 64, 64, 3, 1);
    conv(1, 32, 64, 0, 128, 1, 0);
    conv(1, 8, 256, 0, 768, 1, 0);
    conv(1, 8, 256, 0, 256, 1, 0);
    conv(2, 64, 320, 0, 320, 3, 1);
    conv(1, 64, 320, 0, 320, 1, 0);
    conv(1, 64, 320, 0, 2560, 1, 0);
    conv(1, 64, 1280, 0, 320, 1, 0);
    conv(1, 32, 640, 0, 640, 1, 0);
    conv(1, 32, 640, 0, 5120, 1, 0);
    conv(1, 16, 1280, 0, 1280, 1, 0);
    conv(1, 16, 5120, 0, 1280, 1, 0);
    conv(1, 64, 320, 0, 320, 3, 1);
    winograd(1, 64, 320, 320, 4);
    winograd(1, 64, 320, 320, 2);
    conv(1, 32, 640, 0, 640, 3, 1);
    winograd(1, 32, 640, 640, 4);
    winograd(1, 32, 640, 640, 2);
    conv(1, 16, 1280, 0, 1280, 3, 1);
    winograd(1, 16, 1280, 1280, 2);
    winograd(1, 16, 1280, 1280, 4);
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
        feed_forward_bf16(parts, 4096, 320, 1280);
        feed_forward_bf16(parts, 1024, 640, 2560);
    }
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
    const int32_t lanes = level >= 4 ? 16 : level == 3 ? 8 : 4, n = 20000;
    double peak = 0;
    for (int j = 0; j < job_count; j++) jobs[j].best = 1e30;
    for (int r = 0; r < rounds; r++) {
        for (int j = 0; j < job_count; j++) {
            if (!strstr(jobs[j].name, only)) continue;
            const double t = now();
            if (level == 2)
                ebru_peak_v2(n);
            else if (level == 3)
                ebru_peak_v3(n);
            else
                ebru_peak_v4(n);
            const double g = 2.0 * n * 12 * lanes * 2 / (now() - t) * 1e-9;
            if (g > peak) peak = g;
            once(&jobs[j]); /* activations are warm in a network; weights beyond L2 are not */
            const double s = once(&jobs[j]);
            if (s < jobs[j].best) jobs[j].best = s;
        }
    }
    printf("v%d: peak %.1f GFLOP/s on one thread\n", level, peak);
    for (int j = 0; j < job_count; j++) {
        if (!strstr(jobs[j].name, only)) continue;
        const double rate = jobs[j].work / jobs[j].best * 1e-9;
        printf("%-46s %9.4f ms %7.1f", jobs[j].name, jobs[j].best * 1e3, rate);
        if (jobs[j].kind <= ATTENTION) printf(" GFLOP/s %5.1f %%", 100 * rate / peak);
        if (jobs[j].kind == CONV)
            printf("  tile %dx%d, %d tasks", jobs[j].conv.MR, jobs[j].conv.NB,
                   ebru_conv2d_tasks(&jobs[j].conv));
        if (jobs[j].kind == CONV_BF16)
            printf("  tile %dx%d, %d tasks of %dx%dx%d, %d blocks a pass", jobs[j].conv_bf16.MR,
                   jobs[j].conv_bf16.NB, ebru_conv2d_bf16_tasks(&jobs[j].conv_bf16), jobs[j].conv_bf16.TB,
                   jobs[j].conv_bf16.TH, jobs[j].conv_bf16.TW, jobs[j].conv_bf16.KC);
        if (jobs[j].kind == FEED_FORWARD_BF16)
            printf("  %d tokens a task, %d, %d blocks a pass", jobs[j].ff_bf16.TW, jobs[j].ff_bf16.KC1,
                   jobs[j].ff_bf16.KC2);
        if (jobs[j].kind == WINOGRAD)
            printf("  tile %dx%d, %d tasks of %d", jobs[j].winograd.MR, jobs[j].winograd.NB,
                   ebru_conv2d_winograd_tasks(&jobs[j].winograd), jobs[j].winograd.TT);
        printf("\n");
    }
    return 0;
}
