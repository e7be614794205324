/* Shared by the samplers_*.c files; nobody else includes it.
 *
 * A sampler is a `const struct sampler_ops rt_sampler_ops_ID`:
 *   init         fills s->timesteps and s->evals (room for SAMPLER_MAX_EVALS(steps)), s->sigmas if it
 *                has them, s->init_sigma and s->space. c, steps, n and the noise schedule
 *                (alphas_cumprod, final_alpha) are ready.
 *   step         x becomes the sample after evaluation k; k is in range and in order. s->done is the
 *                number of evaluations since reset.
 *   needs_noise  NULL = never */
#ifndef EBRU_RUNTIME_SAMPLERS_SAMPLERS_INTERNAL_H
#define EBRU_RUNTIME_SAMPLERS_SAMPLERS_INTERNAL_H

#include "runtime/samplers/samplers.h"

#include <math.h>

#define SAMPLER_MAX_HISTORY      6
#define SAMPLER_MAX_EVALS(steps) (2 * (steps) + 16)

/* What a sample at noise level sigma is: sqrt(abar) x0 + sqrt(1 - abar) e; x0 + sigma e; (1 -
 * sigma) x0 + sigma e. */
enum sampler_space { SPACE_ALPHA, SPACE_SIGMA, SPACE_FLOW };

struct sampler_ops {
    rt_status (*init)(rt_sampler *s, rt_error *err);
    void (*step)(rt_sampler *s, int k, float *x, const float *out, const float *noise);
    bool (*needs_noise)(const rt_sampler *s, int k);
};

struct rt_sampler {
    rt_sampler_config c;
    const struct sampler_ops *ops;
    size_t n;
    int steps, evals;
    int next;    /* evaluation that must come next; -1 = any (fresh) */
    int done;    /* evaluations since reset */
    int order;   /* multistep: order that the history allows, or the last order used */
    int entries; /* multistep: history entries in use */
    float init_sigma, final_alpha, dt;
    enum sampler_space space;
    bool has_sigmas;
    float *alphas_cumprod; /* [num_train_timesteps] */
    float *timesteps;      /* [evals] */
    float *sigmas;         /* [evals + 1] */
    float *history[SAMPLER_MAX_HISTORY];
    size_t images; /* pictures in the sample */
    float *sorted; /* [n] for thresholding, else NULL */
};

/* ---- samplers_schedule.c ---- */

rt_status rt_sampler_noise_schedule(rt_sampler *s, rt_error *err);
/* `count` timesteps, descending, as whole numbers, by timestep_spacing. RT_ERR_INPUT if one is not
 * a trained timestep. */
rt_status rt_sampler_whole_timesteps(const rt_sampler *s, int count, double *t, rt_error *err);
/* As the Euler family wants them: linspace is not rounded. */
rt_status rt_sampler_real_timesteps(const rt_sampler *s, int count, double *t, rt_error *err);
/* As DPM-Solver and UniPC want them: spaced as count + 1, of which the last is dropped, below the
 * timesteps that lambda_min_clipped leaves out. *made: how many they are; with trailing spacing
 * those that are left out are not replaced. */
rt_status rt_sampler_solver_timesteps(const rt_sampler *s, int count, double *t, int *made,
                                      rt_error *err);
/* samplers_multistep.c: init of DPM-Solver and UniPC: sigmas at rounded timesteps or otherwise spaced
 * ones, and the one at which the last step ends. */
rt_status rt_sampler_solver_schedule(rt_sampler *s, rt_error *err);
/* Element i of numpy.linspace(from, to, count). */
double rt_sampler_linspace(double from, double to, int count, int i);
/* A flow's sigma, shifted towards noise. */
double rt_sampler_shifted(double shift, double sigma);
/* Stretches a flow's sigmas so that the last is shift_terminal, if there is one. RT_ERR_INPUT: the
 * last is noise alone. */
rt_status rt_sampler_stretch(const rt_sampler *s, int count, double *sigma, rt_error *err);
/* sigma = sqrt((1 - abar) / abar), between trained timesteps by linear interpolation. */
double rt_sampler_sigma_at(const rt_sampler *s, double t);
/* The timestep whose sigma it is, by linear interpolation of log sigma. */
double rt_sampler_timestep_of(const rt_sampler *s, double sigma);
/* Replaces sigma[count], from high to low, by Karras' (2022, rho = 7), exponential, beta (Lee et
 * al. 2024) sigmas or even lambdas (Lu et al. 2022) between `high` and `low` or the config's own
 * ends, and gives each its timestep in t[count] (not rounded). False, without a change, when the
 * config wants none of them. */
bool rt_sampler_respace(const rt_sampler *s, double high, double low, int count, double *sigma,
                        double *t);

/* abar at a trained timestep; before the first it is final_alpha. */
static inline float sampler_alpha(const rt_sampler *s, int t) {
    return t >= 0 ? s->alphas_cumprod[t] : s->final_alpha;
}

/* The clean sample that the model's output stands for; a = sqrt(abar), b = sqrt(1 - abar), x = a x0
 * + b e. */
static inline float sampler_x0(const rt_sampler *s, float a, float b, float x, float out) {
    switch (s->c.prediction_type) {
    case RT_PREDICT_EPSILON: return (x - b * out) / a;
    case RT_PREDICT_V: return a * x - b * out;
    case RT_PREDICT_FLOW: return x - b * out;
    default: return out;
    }
}

/* A noise level in the terms of DPM-Solver: alpha x0 + sigma e, lambda = log(alpha / sigma).
 * `level` is sigma / alpha, or with use_flow_sigmas sigma itself, and alpha = 1 - sigma. */
struct half_log {
    float alpha, sigma, lambda;
};
static inline struct half_log sampler_half_log(const rt_sampler *s, float level) {
    float alpha = s->space == SPACE_FLOW ? 1.0f - level : 1.0f / sqrtf(level * level + 1.0f);
    float sigma = s->space == SPACE_FLOW ? level : level * alpha;
    return (struct half_log){alpha, sigma, logf(alpha) - logf(sigma)};
}

/* Clean samples x0[n]: dynamic thresholding (Saharia et al. 2022) of each picture when the config
 * says so. */
void rt_sampler_threshold(rt_sampler *s, float *x0);
/* x0[n] = sampler_x0 of every element, then thresholded or clipped, as DDIM, DDPM and LCM do. */
void rt_sampler_clean(rt_sampler *s, float a, float b, const float *x, const float *out, float *x0);

static inline float sampler_clip(const rt_sampler *s, float x0) {
    float range = (float)s->c.clip_sample_range;
    if (!(s->c.flags & RT_SAMPLER_CLIP_SAMPLE)) return x0;
    return x0 < -range ? -range : x0 > range ? range : x0;
}

#define SAMPLER(ID, ...) extern const struct sampler_ops rt_sampler_ops_##ID;
#include "runtime/samplers/samplers.def"

#endif
