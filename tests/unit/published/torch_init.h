/* Networks as torch constructs them: every layer's default initial values, drawn from torch's CPU
 * generator in the order in which diffusers' constructors make the layers (which is not the order
 * of names in a file). With the inputs drawn from the same generator, tests of diffusers that print
 * numbers need no weights.
 *
 * Layers: Linear and Conv2d draw weight, then bias, both uniform in +-1/sqrt(fan_in);
 * normalisations draw nothing (1 and 0). Names are diffusers'. */
#ifndef EBRU_TESTS_UNIT_PUBLISHED_TORCH_INIT_H
#define EBRU_TESTS_UNIT_PUBLISHED_TORCH_INIT_H

#include "frontend/safetensors/safetensors.h"
#include "runtime/pipeline/rng.h"

/* The generator and the tensors drawn so far. */
typedef struct torch_init {
    rt_rng rng;
    fe_st_tensor *tensors;
    size_t count, room;
} torch_init;

void torch_init_begin(torch_init *t, uint64_t seed); /* torch.manual_seed(seed) */
void torch_init_end(torch_init *t);
/* Writes what was drawn as a safetensors file; ends the test when that fails. */
void torch_init_write(const torch_init *t, const char *path);

/* ---- layers ---- */

void torch_conv(torch_init *t, const char *prefix, int64_t in, int64_t out, int64_t kernel);
void torch_linear(torch_init *t, const char *prefix, int64_t in, int64_t out, bool bias);
void torch_norm(torch_init *t, const char *prefix, int64_t width);

/* ---- diffusers' modules ---- */

/* ResnetBlock2D; emb 0: without time embedding. */
void torch_resnet(torch_init *t, const char *prefix, int64_t in, int64_t out, int64_t emb);
/* Attention behind a group norm, with biases. */
void torch_image_attention(torch_init *t, const char *prefix, int64_t width);
/* Transformer2DModel of one layer with convolutions for projections; context: width of what attn2
 * attends to, 0: without attn2. */
void torch_transformer(torch_init *t, const char *prefix, int64_t width, int64_t context);

/* What a UNet2DModel of the tests is made of. */
typedef struct torch_network {
    int64_t in, out, channels[4], layers;
    size_t levels;
    bool attention[4]; /* by level, finest first: AttnDownBlock2D and AttnUpBlock2D */
} torch_network;
void torch_unet2d(torch_init *t, const torch_network *n);

#endif
