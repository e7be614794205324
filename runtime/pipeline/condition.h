/* The arithmetic of conditioning, apart from networks and files: what diffusers' pipelines compute
 * between them, in float32 as there. */
#ifndef EBRU_RUNTIME_PIPELINE_CONDITION_H
#define EBRU_RUNTIME_PIPELINE_CONDITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* pixels[area][channels] of 8 bits -> out[channels][area] in -1..1: v / 255 * 2 - 1. */
void rt_picture_to_float(const uint8_t *pixels, size_t area, size_t channels, float *out);

/* The same in 0..1, as control pictures are. */
void rt_control_to_float(const uint8_t *pixels, size_t area, size_t channels, float *out);

/* Factors of the n results of a ControlNet: `scale`; where they rise, scale times 0.1 to 1 in equal
 * ratios. */
void rt_control_scales(float scale, bool rises, size_t n, float *out);

/* pixels[area] of 8 bits -> out[area]: 1 where the value is at least one half of white, else 0. */
void rt_mask_to_float(const uint8_t *pixels, size_t area, float *out);

/* A draw from the diagonal normal distribution that an autoencoder's encoder describes:
 * moments[2][n], mean then log of the variance, the latter clamped to -30..20; noise[n] standard
 * normal. out[n] = mean + exp(logvar / 2) * noise. */
void rt_posterior_sample(const float *moments, const float *noise, size_t n, float *out);

/* x[channels][area] = (1 - mask[area]) * known + mask * x: what is not repainted stays. */
void rt_mask_blend(const float *mask, size_t area, size_t channels, const float *known, float *x);

/* depth[n] to -1..1, its least value at -1, its largest at 1. False when all values are the same:
 * then there is no such scale, and depth is left as it was. */
bool rt_depth_normalise(float *depth, size_t n);

/* The guidance as an input of the denoiser (`timestep_cond` of latent consistency models): with w =
 * 1000 (guidance - 1) and half = width / 2, out = sin(w f_i), cos(w f_i), f_i = 10000^(-i / (half -
 * 1)); a zero behind them when width is odd. */
void rt_guidance_embedding(double guidance, size_t width, float *out);

/* SDXL's micro-conditioning, out[count]. 6: height and width of the original, top and left of its
 * crop, height and width wanted. 5 (the refiner): ... crop, aesthetic score, 6 or for the negative
 * half 2.5. */
void rt_time_ids(size_t count, int height, int width, bool negative, float *out);

/* Classifier-free guidance: out[n] = u + g (c - u). With rescale > 0 (Lin et al. 2023, section 3.4)
 * the part `rescale` of it is brought to the standard deviation of c. out may be neither input. */
void rt_guide(const float *u, const float *c, size_t n, float g, float rescale, float *out);

/* rows[tokens][width] of a text encoder times weights[tokens], then brought back to the mean of all
 * values that they had (stable-diffusion.cpp, AUTOMATIC1111). Nothing happens when all weights are
 * 1. */
void rt_weigh_tokens(float *rows, const float *weights, size_t tokens, size_t width);

#endif
