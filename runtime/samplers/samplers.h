/* Samplers: the arithmetic of a denoising loop, without the model.
 *
 *   rt_sampler *s;
 *   rt_sampler_new(&s, &config, steps, n, &err)
 *   x = randn(n) * rt_sampler_init_noise_sigma(s)
 *   for k in first .. rt_sampler_evaluations(s) - 1:
 *       rt_sampler_scale_input(s, k, x, scaled)
 *       out = model(scaled, rt_sampler_timesteps(s)[k])
 *       if (rt_sampler_needs_noise(s, k)) noise = randn(n)
 *       rt_sampler_step(s, k, x, out, noise)
 *
 * n is the number of elements of the sample, all images of the batch together. An evaluation of the
 * model is not always a step. rt_sampler_step makes x the next sample.
 *
 * Tensors are float32 as in diffusers; coefficients are computed as diffusers computes them. The
 * evaluations must be stepped in order (multistep samplers keep history); rt_sampler_reset begins a
 * new picture. */
#ifndef EBRU_RUNTIME_SAMPLERS_SAMPLERS_H
#define EBRU_RUNTIME_SAMPLERS_SAMPLERS_H

#include "runtime/engine/status.h"
#include "runtime/samplers/sampler_config.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct rt_sampler rt_sampler;

/* RT_ERR_INPUT for a config that cannot be run (unknown id, steps < 1 or more than
 * num_train_timesteps, betas out of (0,1) ...), RT_ERR_SYSTEM for memory. Freed with
 * rt_sampler_free. */
rt_status rt_sampler_new(rt_sampler **out, const rt_sampler_config *config, int steps, size_t n,
                         rt_error *err);
/* The sample is of so many pictures of equal size (1 when this is not called): thresholding looks
 * at each alone. */
void rt_sampler_set_images(rt_sampler *s, size_t images);
void rt_sampler_free(rt_sampler *s); /* NULL is allowed */
void rt_sampler_reset(rt_sampler *s);

int rt_sampler_evaluations(const rt_sampler *s); /* model evaluations of a full run */
const float *
rt_sampler_timesteps(const rt_sampler *s); /* [evaluations], what the model gets as `timestep` */
const float *
rt_sampler_sigmas(const rt_sampler *s); /* [evaluations + 1], NULL if the sampler has none */
float rt_sampler_init_noise_sigma(const rt_sampler *s);

/* out[n] = the model input for x[n] at evaluation k; out may be x. */
void rt_sampler_scale_input(const rt_sampler *s, int k, const float *x, float *out);

/* True if step k uses noise[n] ~ N(0,1). Draw it only then: that keeps the generator in step with
 * diffusers. */
bool rt_sampler_needs_noise(const rt_sampler *s, int k);

/* x[n] (unscaled) is replaced by the sample after evaluation k. noise may be NULL where it is not
 * needed. RT_ERR_USAGE if k is out of order. */
rt_status rt_sampler_step(rt_sampler *s, int k, float *x, const float *model_output,
                          const float *noise, rt_error *err);

/* Image to image: first evaluation for this strength (0..1; evaluations() when nothing is left to
 * do). As diffusers does it, strength leaves out evaluations, one a step (Heun: two): PNDM, which
 * has more of them than steps, always keeps some. */
int rt_sampler_first_evaluation(const rt_sampler *s, double strength);
/* out[n] = clean[n] noised to the level at which evaluation k begins; out may be clean or noise. */
void rt_sampler_add_noise(const rt_sampler *s, int k, const float *clean, const float *noise,
                          float *out);

#endif
