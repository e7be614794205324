/* What the parts of painting share: pipeline.c runs the loop, condition_text.c makes what the
 * denoiser is told in words and numbers, condition_image.c where the loop begins and the channels
 * it is shown. Nobody else includes it. */
#ifndef EBRU_RUNTIME_PIPELINE_DENOISE_H
#define EBRU_RUNTIME_PIPELINE_DENOISE_H

#include "runtime/engine/staged_network.h"
#include "runtime/pipeline/pipeline.h"
#include "runtime/pipeline/rng.h"
#include "runtime/samplers/samplers.h"
#include "runtime/text/tokenizer.h"

/* One text encoder, with the columns of the context that are its own. */
struct rt_text_encoder {
    rt_network *net;
    rt_tokenizer tokenizer;
    const char *output, *negative; /* of the prompt, and of the negative prompt */
    size_t width, offset;
};

/* What a row of the context holds now, so that a prompt of many pictures is encoded once. */
struct rt_text_row {
    const char *text; /* the request's; NULL: zeros */
    size_t length;
    bool filled;
};

/* The prompts as the denoiser reads them; the embeddings live in its own input buffers. */
struct rt_text_state {
    struct rt_text_encoder encoders[2];
    int encoder_count;    /* 0: the model takes no text */
    size_t tokens, width; /* of the context: chunks of `tokens` */
    float *context;       /* [halves][batch][chunks * tokens][width] */
    float *pooled;        /* [halves][batch][pooled_width]; NULL: the denoiser takes none */
    size_t pooled_width;
    struct rt_text_row *rows; /* [halves][batch] */
    int32_t *ids;             /* of the prompts being encoded: [batch][chunks][tokens] */
    float *weights;           /* the same shape */
};

/* Where pictures begin that are not painted from noise alone, and what else the denoiser is shown.
 */
struct rt_image_state {
    float *clean; /* pixel models: the given picture [latent]; NULL: none, or there is an encoder */
    float *moments;        /* of the given picture, or with `exact` its latent; NULL: none */
    float *masked_moments; /* the same of the part to be kept */
    bool exact;            /* the encoder gives a latent, not a distribution: nothing is drawn */
    float *mask;           /* [latent area], 1 is repainted; NULL: none */
    bool blend;            /* the rest of the picture is put back after each evaluation */
    float *known,
        *noise; /* [batch][latent], of the picture's clean latents and their noise, for blending */
    float *small;              /* low_resolution: the given picture [3][latent area] */
    rt_sampler *small_sampler; /* that noises it */
    size_t channels;           /* further channels of the denoiser's sample */
    float *condition;          /* [batch][channels][latent area] */
    float *draw;               /* room for one picture's draw */
};

/* One network that a picture controls the denoiser through. */
struct rt_control {
    rt_network *net; /* NULL: there is no picture for it, or its scale is 0 */
    bool every_step;
};

struct rt_control_state {
    struct rt_control nets[RT_MAX_CONTROLS];
    bool guess;      /* only the half with the prompt is controlled */
    bool silent;     /* the denoiser's residuals are zeros */
    uint32_t active; /* bit i: the features of network i are in the denoiser's inputs */
};

/* Everything one call of rt_denoise holds; freed in one place. */
struct rt_denoiser {
    rt_engine *engine;
    const rt_pipeline_info *info;
    const rt_settings *settings;
    rt_network *denoiser, *decoder, *upscaler, *checker; /* the last two: NULL, or at the end */
    rt_sampler *sampler;
    int first;     /* evaluation the loop begins with */
    bool guided;   /* a call of the denoiser computes the unconditional half too, first */
    int batch;     /* pictures a call of the denoiser */
    size_t latent; /* elements of one picture's latent */
    size_t area;   /* of one channel of it */
    float *x, *scaled, *noise, *mixed;
    rt_rng *rng;    /* one generator a picture, so that a batch equals its single pictures */
    char phase[48]; /* "denoise", with the picture's number where there are several */
    struct rt_text_state text;
    struct rt_image_state image;
    struct rt_control_state control;
};

/* Elements of one picture's part of a tensor whose first dimension is the batch. */
size_t rt_denoiser_elements(const struct ebru_tensor_desc *d);
/* out[batch][latent] standard normal, each picture's from its own generator. */
void rt_denoiser_draw(struct rt_denoiser *p, float *out);

/* condition_text.c. Open: networks, tokenizers, buffers; RT_ERR_INTERNAL when the tables do not fit
 * together. Then, for every batch, the denoiser's conditioning inputs for its pictures r[batch]. */
rt_status rt_condition_text_open(struct rt_denoiser *p, rt_error *err);
rt_status rt_condition_text(struct rt_denoiser *p, const rt_request *r, rt_error *err);
void rt_condition_text_close(struct rt_denoiser *p);

/* condition_reference.c: the denoiser's inputs for pictures beside the prompt, once a run; zeros at
 * a scale of 0 where none were given. */
rt_status rt_condition_reference_open(struct rt_denoiser *p, rt_error *err);

/* condition_image.c. Open: encodes the given pictures, checks the shapes; the sampler exists by
 * then, and p->first is set. For every batch, begin: p->x as evaluation p->first takes it, with all
 * that is drawn for it, in diffusers' order; input: the denoiser's `sample` for evaluation k;
 * after: what follows it. */
rt_status rt_condition_image_open(struct rt_denoiser *p, rt_error *err);
void rt_condition_image_begin(struct rt_denoiser *p);
void rt_condition_image_input(struct rt_denoiser *p, int k);
void rt_condition_image_after(struct rt_denoiser *p, int k);
void rt_condition_image_close(struct rt_denoiser *p);

/* condition_control.c. Open: networks, their pictures; those that run once have run. For every
 * batch, behind the others and before the denoiser begins, begin: the networks of every step, for
 * `count` evaluations; step: the denoiser's inputs for evaluation k of these, behind
 * rt_condition_image_input. */
rt_status rt_condition_control_open(struct rt_denoiser *p, rt_error *err);
rt_status rt_condition_control_begin(struct rt_denoiser *p, const float *timesteps, int count,
                                     rt_error *err);
void rt_condition_control_step(struct rt_denoiser *p, int k, int count);
void rt_condition_control_close(struct rt_denoiser *p);

#endif
