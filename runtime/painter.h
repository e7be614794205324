/* What the parts of painting share: pipeline.c runs the loop, condition_text.c makes what the denoiser is
 * told in words and numbers, condition_image.c where the loop begins and the channels it is shown. Nobody
 * else includes it. */
#ifndef EBRU_RUNTIME_PAINTER_H
#define EBRU_RUNTIME_PAINTER_H

#include "runtime/net.h"
#include "runtime/pipeline.h"
#include "runtime/rng.h"
#include "runtime/samplers.h"
#include "runtime/tokenizer.h"

/* The prompts as the denoiser reads them. */
struct rt_text_state {
    rt_net *net; /* NULL: the model takes no text */
    rt_tokenizer tokenizer;
    float *context, *uncond; /* [batch][tokens][width] */
    size_t context_size;     /* elements of one picture's */
};

/* Everything one call of rt_paint holds; freed in one place. */
struct rt_painter {
    rt_engine *engine;
    const rt_pipeline_info *info;
    const rt_settings *settings;
    rt_net *denoiser, *decoder;
    rt_sampler *sampler;
    bool guided;   /* a call of the denoiser computes the unconditional half too, first */
    int batch;     /* pictures a call of the denoiser */
    size_t latent; /* elements of one picture's latent */
    float *x, *scaled, *noise, *mixed;
    rt_rng *rng;    /* one generator a picture, so that a batch equals its single pictures */
    char phase[48]; /* "denoise", with the picture's number where there are several */
    struct rt_text_state text;
};

/* Elements of one picture's part of a tensor whose first dimension is the batch. */
size_t rt_painter_elements(const struct ebru_tensor_desc *d);
/* out[batch][latent] standard normal, each picture's from its own generator. */
void rt_painter_draw(struct rt_painter *p, float *out);

/* condition_text.c. Open: networks, tokenizers, buffers; RT_ERR_INTERNAL when the tables do not fit together.
 * Then, for every batch, the denoiser's conditioning inputs for its pictures r[batch]. */
rt_status rt_condition_text_open(struct rt_painter *p, rt_error *err);
rt_status rt_condition_text(struct rt_painter *p, const rt_request *r, rt_error *err);
void rt_condition_text_close(struct rt_painter *p);

/* condition_image.c. Begin: p->x as the first evaluation takes it, with all that is drawn for it. Input: the
 * denoiser's `sample` for evaluation k. */
rt_status rt_condition_image_begin(struct rt_painter *p, rt_error *err);
void rt_condition_image_input(struct rt_painter *p, int k);

#endif
