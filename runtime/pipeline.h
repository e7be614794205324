/* From a request to pictures: what the model's properties say to do (text or class to image, with or without
 * an autoencoder). */
#ifndef EBRU_RUNTIME_PIPELINE_H
#define EBRU_RUNTIME_PIPELINE_H

#include "runtime/engine.h"
#include "runtime/progress.h"
#include "runtime/sampler_config.h"

typedef enum rt_pipeline_kind {
    RT_PIPELINE_NONE,
    RT_PIPELINE_TEXT,
    RT_PIPELINE_CLASS,
    RT_PIPELINE_UNCONDITIONAL
} rt_pipeline_kind;

/* What the tables say about the model. */
typedef struct rt_pipeline_info {
    rt_pipeline_kind kind;
    const char *denoiser, *decoder, *text_encoder; /* function names; NULL when there is none */
    int width, height, channels;                   /* of the picture */
    int default_steps;
    double default_guidance;
    bool guidance_pair;                  /* the denoiser exists at twice the batch too, as NAME@2 */
    const char *text_output;             /* the text encoder's output that the denoiser reads */
    double scaling_factor, shift_factor; /* the decoder's input is latent / scaling_factor + shift_factor */
    int classes;
    rt_sampler_config sampler;
} rt_pipeline_info;

/* Reads the properties. RT_ERR_INTERNAL when they are inconsistent. */
rt_status rt_pipeline_read(rt_pipeline_info *info, const struct ebru_model *t, rt_error *err);

/* One picture asked for. */
typedef struct rt_request {
    const char *prompt, *negative; /* text models; UTF-8 */
    size_t prompt_length, negative_length;
    int32_t class_label; /* class models */
    uint64_t seed;
} rt_request;

typedef struct rt_settings {
    int steps;
    double guidance;
    rt_sampler_config sampler;
    rt_progress *progress;
    bool quiet;
} rt_settings;

/* Paints `count` pictures [height][width][channels] of 8 bits into `out`, one after another. RT_ERR_INPUT for
 * a prompt that is not UTF-8 or when a NaN or infinity comes out (the message says where first). */
rt_status rt_paint(rt_engine *e, const rt_pipeline_info *info, const rt_request *requests, int count,
                   const rt_settings *settings, uint8_t *out, rt_error *err);

/* Number of the class with this name ("class.N" properties), or -1. */
int rt_class_by_name(const struct ebru_model *t, const char *name, size_t length);

#endif
