/* From a request to pictures: what the model's properties say to do. Text, class or nothing to
 * image, from noise or from a picture, with or without an autoencoder, with further channels for
 * the denoiser or without. */
#ifndef EBRU_RUNTIME_PIPELINE_PIPELINE_H
#define EBRU_RUNTIME_PIPELINE_PIPELINE_H

#include "runtime/cli/progress.h"
#include "runtime/engine/engine.h"
#include "runtime/samplers/sampler_config.h"

#include "runtime/image/image_processor.h"

#include <signal.h>

enum { RT_MAX_CONTROLS = 8 };

/* A network that a picture controls the denoiser through. */
typedef struct rt_control_info {
    const char *function, *source; /* source: the name of the folder it came from; may be NULL */
    bool every_step;               /* else it runs once */
    bool pooled;                   /* its results are means over the picture */
    int channels;                  /* of its picture, 1 or 3 */
    int width, height;
    double scale; /* by default */
} rt_control_info;

enum { RT_REFERENCE_ADAPTERS = 4 };

/* What the tables say about the model. */
typedef struct rt_pipeline_info {
    ebru_pipeline_kind kind;
    ebru_condition condition;
    /* Function names; NULL when there is none. A model with two text encoders reads the widths of
     * both. */
    const char *denoiser, *decoder, *encoder, *text_encoder, *text_encoder_2;
    int width, height, channels;     /* of the picture */
    int latent_width, latent_height; /* of the denoiser's sample */
    int default_steps;
    double default_guidance;
    bool guidance_pair; /* the denoiser exists at twice the batch too, as NAME@2 */
    const char *text_output,
        *text_output_2; /* the text encoders' outputs that the denoiser reads */
    /* the same of negative prompts; NULL: as above */
    const char *negative_text_output, *negative_text_output_2;
    const char *pooled_output; /* of the last text encoder: the denoiser's text_embeds; or NULL */
    int chunks;                /* of the text encoder's length that a prompt may fill */
    bool force_zeros;          /* without a negative prompt its half is zeros */
    /* the decoder's input is latent / scaling_factor + shift_factor */
    double scaling_factor, shift_factor;
    int classes;
    bool image_input; /* the program reads pictures */
    double default_strength;
    int noise_level, max_noise_level; /* of the small picture that is painted larger */
    bool guidance_embedding;          /* guidance is an input of the denoiser */
    /* pictures beside the prompt: how many adapters look at them (0: none do), at how many each,
     * and how strongly where nothing is said */
    int reference_adapters, reference_images;
    double default_reference_scale[RT_REFERENCE_ADAPTERS];
    const char *image_encoder;          /* NULL: none */
    rt_image_processor image_processor; /* of what it reads */
    const char *safety_checker;         /* NULL: none */
    bool safety_black;                  /* what it flags becomes black */
    const char *upscaler; /* the function that enlarges what was painted; NULL: none */
    int upscale;          /* how many times; 1 without one */
    rt_sampler_config sampler, low_res;
    rt_control_info controls[RT_MAX_CONTROLS];
    int control_count;
    bool guesses; /* guess mode is always on */
} rt_pipeline_info;

/* Reads the properties. RT_ERR_INTERNAL when they are inconsistent. */
rt_status rt_pipeline_read(rt_pipeline_info *info, const struct ebru_model *t, rt_error *err);

/* The pictures a run begins from, at the sizes the program works with; absent ones are NULL. */
typedef struct rt_pictures {
    uint8_t *init; /* [height][width][channels]; for low_resolution of the latent's size */
    uint8_t *mask; /* [height][width]; values from one half of white on are to be repainted */
    float *depth;  /* [latent_height][latent_width] in -1..1 */
    float *controls[RT_MAX_CONTROLS]; /* [channels][height][width] in 0..1 */
    /* beside the prompt, as the image encoder reads them: [3][reference_height][reference_width];
     * as many for each adapter, one adapter's behind the other's */
    float **references;
    int reference_count, reference_width, reference_height;
} rt_pictures;

/* One picture asked for. */
typedef struct rt_request {
    const char *prompt, *negative; /* text models; UTF-8; negative NULL: none was given */
    size_t prompt_length, negative_length;
    int32_t class_label; /* class models */
    uint64_t seed;
} rt_request;

/* How strong a control network is, and in which part of the evaluations, 0..1, it is at work. */
typedef struct rt_control_setting {
    double scale, start, stop;
} rt_control_setting;

typedef struct rt_settings {
    int steps;
    double guidance;         /* above 1 the unconditional half runs too, as in diffusers */
    double guidance_rescale; /* 0..1 */
    double strength;         /* how much of the noise a given picture gets, above 0 to 1 */
    int noise_level;         /* low_resolution */
    double reference_scale[RT_REFERENCE_ADAPTERS];
    bool *flagged; /* set for each picture before it is handed to `finished`; NULL: not wanted */
    bool upscale;  /* what is finished is enlarged by the upscaler */
    bool weighted; /* prompts are in the notation of prompt_weights.h */
    rt_sampler_config sampler;
    rt_pictures pictures;
    rt_control_setting controls[RT_MAX_CONTROLS];
    bool guess_mode; /* ControlNets control the half with the prompt alone, fine details less */
    rt_progress *progress;
    bool quiet;
    /* Called for every picture [height][width][channels] of 8 bits (enlarged: with `upscale`), in
     * order, as soon as it is
     * finished; a failure ends the run. */
    rt_status (*finished)(void *user, int index, const uint8_t *pixels, rt_error *err);
    void *user;
    /* The run ends before the next step once this is not 0; NULL: nobody asks for it. */
    const volatile sig_atomic_t *stop;
} rt_settings;

/* Paints `count` pictures. RT_ERR_INPUT for a prompt that is not UTF-8 or when a NaN or infinity
 * comes out (the message says where first); RT_ERR_USAGE when the strength leaves no step of the
 * sampler; RT_ERR_SYSTEM, too, when it was stopped. */
rt_status rt_denoise(rt_engine *e, const rt_pipeline_info *info, const rt_request *requests,
                     int count, const rt_settings *settings, rt_error *err);

/* Number of the class with this name ("class.N" properties), or -1. */
int rt_class_by_name(const struct ebru_model *t, const char *name, size_t length);

#endif
