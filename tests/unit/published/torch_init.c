#include "tests/unit/published/torch_init.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void torch_init_begin(torch_init *t, uint64_t seed) {
    *t = (torch_init){0};
    rt_rng_seed(&t->rng, seed);
}

void torch_init_end(torch_init *t) {
    for (size_t i = 0; i < t->count; i++) {
        free((void *)(uintptr_t)t->tensors[i].name);
        free((void *)(uintptr_t)t->tensors[i].data);
    }
    free(t->tensors);
    *t = (torch_init){0};
}

void torch_init_write(const torch_init *t, const char *path) {
    base_diag *d = base_diag_new(NULL);
    bool fine = fe_st_write(d, path, t->tensors, t->count, NULL, 0);
    base_diag_flush(d);
    base_diag_free(d);
    if (!fine) abort();
}

/* A new tensor PREFIX.SUFFIX to be filled. */
static float *tensor(torch_init *t, const char *prefix, const char *suffix, uint32_t rank,
                     const int64_t *dim) {
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 64;
        t->tensors = realloc(t->tensors, t->room * sizeof *t->tensors);
        if (!t->tensors) abort();
    }
    size_t length = strlen(prefix) + strlen(suffix) + 2, count = 1;
    char *name = malloc(length);
    if (!name) abort();
    snprintf(name, length, "%s.%s", prefix, suffix);
    fe_st_tensor *s = &t->tensors[t->count++];
    *s = (fe_st_tensor){.name = name, .dtype = FE_ST_F32, .rank = rank};
    for (uint32_t i = 0; i < rank; i++) {
        s->dims[i] = dim[i];
        count *= (size_t)dim[i];
    }
    float *data = malloc(count * sizeof *data);
    if (!data) abort();
    s->count = count;
    s->bytes = count * sizeof *data;
    s->data = (const uint8_t *)data;
    return data;
}

static const char *sub(char (*buffer)[128], const char *prefix, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static const char *sub(char (*buffer)[128], const char *prefix, const char *format, ...) {
    int n = snprintf(*buffer, sizeof *buffer, "%s%s", prefix, *prefix ? "." : "");
    va_list ap;
    va_start(ap, format);
    vsnprintf(*buffer + n, sizeof *buffer - (size_t)n, format, ap);
    va_end(ap);
    return *buffer;
}

/* ---- layers ---- */

static void filter(torch_init *t, const char *prefix, int64_t out, int64_t fan_in, bool bias,
                   uint32_t rank, const int64_t *dim) {
    float bound = (float)(1 / sqrt((double)fan_in));
    rt_rng_uniform(&t->rng, -bound, bound, tensor(t, prefix, "weight", rank, dim),
                   (size_t)(out * fan_in));
    if (bias)
        rt_rng_uniform(&t->rng, -bound, bound, tensor(t, prefix, "bias", 1, &out), (size_t)out);
}

void torch_conv(torch_init *t, const char *prefix, int64_t in, int64_t out, int64_t kernel) {
    filter(t, prefix, out, in * kernel * kernel, true, 4, (int64_t[]){out, in, kernel, kernel});
}

void torch_linear(torch_init *t, const char *prefix, int64_t in, int64_t out, bool bias) {
    filter(t, prefix, out, in, bias, 2, (int64_t[]){out, in});
}

void torch_norm(torch_init *t, const char *prefix, int64_t width) {
    float *weight = tensor(t, prefix, "weight", 1, &width),
          *bias = tensor(t, prefix, "bias", 1, &width);
    for (int64_t i = 0; i < width; i++) {
        weight[i] = 1;
        bias[i] = 0;
    }
}

/* ---- modules ---- */

void torch_resnet(torch_init *t, const char *prefix, int64_t in, int64_t out, int64_t emb) {
    char s[128];
    torch_norm(t, sub(&s, prefix, "norm1"), in);
    torch_conv(t, sub(&s, prefix, "conv1"), in, out, 3);
    if (emb) torch_linear(t, sub(&s, prefix, "time_emb_proj"), emb, out, true);
    torch_norm(t, sub(&s, prefix, "norm2"), out);
    torch_conv(t, sub(&s, prefix, "conv2"), out, out, 3);
    if (in != out) torch_conv(t, sub(&s, prefix, "conv_shortcut"), in, out, 1);
}

void torch_image_attention(torch_init *t, const char *prefix, int64_t width) {
    static const char *const parts[] = {"to_q", "to_k", "to_v", "to_out.0"};
    char s[128];
    torch_norm(t, sub(&s, prefix, "group_norm"), width);
    for (int i = 0; i < 4; i++)
        torch_linear(t, sub(&s, prefix, "%s", parts[i]), width, width, true);
}

static void cross_attention(torch_init *t, const char *prefix, int64_t width, int64_t context) {
    char s[128];
    torch_linear(t, sub(&s, prefix, "to_q"), width, width, false);
    torch_linear(t, sub(&s, prefix, "to_k"), context, width, false);
    torch_linear(t, sub(&s, prefix, "to_v"), context, width, false);
    torch_linear(t, sub(&s, prefix, "to_out.0"), width, width, true);
}

void torch_transformer(torch_init *t, const char *prefix, int64_t width, int64_t context) {
    char s[128];
    torch_norm(t, sub(&s, prefix, "norm"), width);
    torch_conv(t, sub(&s, prefix, "proj_in"), width, width, 1);
    cross_attention(t, sub(&s, prefix, "transformer_blocks.0.attn1"), width, width);
    if (context) cross_attention(t, sub(&s, prefix, "transformer_blocks.0.attn2"), width, context);
    torch_linear(t, sub(&s, prefix, "transformer_blocks.0.ff.net.0.proj"), width, 8 * width, true);
    torch_linear(t, sub(&s, prefix, "transformer_blocks.0.ff.net.2"), 4 * width, width, true);
    for (int i = 1; i <= 3; i++)
        if (i != 2 || context)
            torch_norm(t, sub(&s, prefix, "transformer_blocks.0.norm%d", i), width);
    torch_conv(t, sub(&s, prefix, "proj_out"), width, width, 1);
}

/* ---- UNet2DModel ---- */

static void middle(torch_init *t, int64_t width, int64_t emb) {
    char s[128];
    torch_resnet(t, sub(&s, "", "mid_block.resnets.0"), width, width, emb);
    torch_image_attention(t, sub(&s, "", "mid_block.attentions.0"), width);
    torch_resnet(t, sub(&s, "", "mid_block.resnets.1"), width, width, emb);
}

static void down(torch_init *t, const torch_network *n, int64_t emb) {
    char s[128];
    int64_t in = n->channels[0];
    for (size_t i = 0; i < n->levels; i++) {
        for (int64_t j = 0; j < n->layers; j++) {
            torch_resnet(t, sub(&s, "", "down_blocks.%zu.resnets.%d", i, (int)j), in,
                         n->channels[i], emb);
            in = n->channels[i];
            if (n->attention[i])
                torch_image_attention(t, sub(&s, "", "down_blocks.%zu.attentions.%d", i, (int)j),
                                      in);
        }
        if (i + 1 < n->levels)
            torch_conv(t, sub(&s, "", "down_blocks.%zu.downsamplers.0.conv", i), in, in, 3);
    }
}

static void up(torch_init *t, const torch_network *n, int64_t emb) {
    char s[128];
    int64_t previous = n->channels[n->levels - 1];
    for (size_t i = 0; i < n->levels; i++) {
        size_t at = n->levels - 1 - i;
        int64_t out = n->channels[at], input = n->channels[at > 0 ? at - 1 : 0];
        for (int64_t j = 0; j <= n->layers; j++) {
            int64_t skip = j == n->layers ? input : out;
            torch_resnet(t, sub(&s, "", "up_blocks.%zu.resnets.%d", i, (int)j), previous + skip,
                         out, emb);
            previous = out;
            if (n->attention[at])
                torch_image_attention(t, sub(&s, "", "up_blocks.%zu.attentions.%d", i, (int)j),
                                      out);
        }
        if (i + 1 < n->levels)
            torch_conv(t, sub(&s, "", "up_blocks.%zu.upsamplers.0.conv", i), out, out, 3);
    }
}

void torch_unet2d(torch_init *t, const torch_network *n) {
    int64_t emb = 4 * n->channels[0];
    torch_conv(t, "conv_in", n->in, n->channels[0], 3);
    torch_linear(t, "time_embedding.linear_1", n->channels[0], emb, true);
    torch_linear(t, "time_embedding.linear_2", emb, emb, true);
    down(t, n, emb);
    middle(t, n->channels[n->levels - 1], emb);
    up(t, n, emb);
    torch_norm(t, "conv_norm_out", n->channels[0]);
    torch_conv(t, "conv_out", n->channels[0], n->out, 3);
}
