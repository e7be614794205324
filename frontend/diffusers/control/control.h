/* Networks that a picture controls the U-Net through: ControlNets, which run beside it at every
 * step, and T2I-Adapters, which run once. */
#ifndef EBRU_FRONTEND_DIFFUSERS_CONTROL_CONTROL_H
#define EBRU_FRONTEND_DIFFUSERS_CONTROL_CONTROL_H

#include "frontend/diffusers/diffusers.h"

/* ---- controlnet.c: ControlNetModel ---- */

typedef struct fe_control_config {
    fe_unet_config unet;    /* the copy of its way down and mid block */
    int64_t image_channels; /* of the picture */
    size_t stages;          /* of the picture's embedding; each but the last halves */
    int64_t embedding[FE_MAX_RESOLUTIONS]; /* channels of the stages */
    bool bgr;                              /* the picture's channels are taken in reverse */
    bool pooled;                           /* results are means over the picture: [B,C,1,1] */
} fe_control_config;

/* Reads and checks a config; false after reporting everything that is wrong or not supported.
 * `root` must outlive *c. */
bool fe_control_read(base_jval root, fe_control_config *c);
/* Adds NAME: sample, timestep ... as of a U-Net, controlnet_cond (the picture, 0..1, per prompt) and
 * conditioning_scale f32[n], a factor for each of the n results -> down_block_res_samples.0 ... and
 * mid_block_res_sample. */
bool fe_control_build(fe_builder *b, const fe_control_config *c, const char *name,
                      const fe_sizes *s);
/* Pixels of the picture along a cell of the sample. */
int64_t fe_control_scale(const fe_control_config *c);

/* ---- t2i_adapter.c: T2IAdapter ---- */

typedef enum fe_adapter_kind {
    FE_ADAPTER_FULL,
    FE_ADAPTER_FULL_XL,
    FE_ADAPTER_LIGHT
} fe_adapter_kind;

typedef struct fe_adapter_config {
    base_jval root;
    fe_adapter_kind kind;
    int64_t image_channels;
    size_t count; /* of channels */
    int64_t channels[FE_MAX_RESOLUTIONS];
    int64_t res_blocks; /* of each block */
    int64_t factor;     /* pixels along a cell of the first feature, which a picture must fill */
} fe_adapter_config;

bool fe_adapter_read(base_jval root, fe_adapter_config *c);
/* Adds NAME: image (0..1) -> features.0 ... The sizes are the picture's. */
bool fe_adapter_build(fe_builder *b, const fe_adapter_config *c, const char *name,
                      const fe_sizes *s);

#endif
