/* Samplers on sqrt(abar) x0 + sqrt(1 - abar) e: DDIM (Song et al. 2020), DDPM (Ho et al. 2020), LCM
 * (Luo et al. 2023). */
#include "runtime/samplers/samplers_internal.h"

#include <math.h>
#include <stdlib.h>

static rt_status init_spaced(rt_sampler *s, rt_error *err) {
    double *t = malloc((size_t)s->steps * sizeof *t);
    if (!t) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    rt_status status = rt_sampler_whole_timesteps(s, s->steps, t, err);
    for (int i = 0; status == RT_OK && i < s->steps; i++) s->timesteps[i] = (float)t[i];
    free(t);
    s->evals = s->steps;
    s->space = SPACE_ALPHA;
    return status;
}

/* ---- DDIM ---- */

static void step_ddim(rt_sampler *s, int k, float *x, const float *out, const float *noise) {
    int t = (int)s->timesteps[k];
    float abar = s->alphas_cumprod[t];
    float previous = sampler_alpha(s, t - s->c.num_train_timesteps / s->steps);
    float a = sqrtf(abar), b = sqrtf(1.0f - abar);
    float variance = (1.0f - previous) / (1.0f - abar) * (1.0f - abar / previous);
    float sigma = (float)s->c.eta * sqrtf(variance);
    float a_previous = sqrtf(previous), direction = sqrtf(1.0f - previous - sigma * sigma);
    float *clean = s->history[0];
    rt_sampler_clean(s, a, b, x, out, clean);
    for (size_t i = 0; i < s->n; i++) {
        float e;
        if (s->c.prediction_type == RT_PREDICT_EPSILON)
            e = out[i];
        else if (s->c.prediction_type == RT_PREDICT_V)
            e = a * out[i] + b * x[i];
        else
            e = (x[i] - a * out[i]) / b;
        x[i] = a_previous * clean[i] + direction * e;
        if (sigma > 0) x[i] += sigma * noise[i];
    }
}

static bool noise_ddim(const rt_sampler *s, int k) {
    (void)k;
    return s->c.eta > 0;
}

const struct sampler_ops rt_sampler_ops_DDIM = {init_spaced, step_ddim, noise_ddim};

/* ---- DDPM ---- */

static void step_ddpm(rt_sampler *s, int k, float *x, const float *out, const float *noise) {
    int t = (int)s->timesteps[k];
    float abar = s->alphas_cumprod[t];
    float previous = k + 1 < s->evals ? s->alphas_cumprod[(int)s->timesteps[k + 1]] : 1.0f;
    float a = sqrtf(abar), b = sqrtf(1.0f - abar);
    float alpha = abar / previous, beta = 1.0f - alpha;
    float c0 = sqrtf(previous) * beta / (1.0f - abar);
    float cx = sqrtf(alpha) * (1.0f - previous) / (1.0f - abar);
    float variance = beta;
    if (s->c.variance_type != RT_VARIANCE_FIXED_LARGE)
        variance = fmaxf((1.0f - previous) / (1.0f - abar) * beta, 1e-20f);
    float sigma = t > 0 ? sqrtf(variance) : 0;
    if (s->c.variance_type == RT_VARIANCE_FIXED_SMALL_LOG && t > 0)
        sigma = expf(0.5f * logf(variance));
    float *clean = s->history[0];
    rt_sampler_clean(s, a, b, x, out, clean);
    for (size_t i = 0; i < s->n; i++) {
        x[i] = c0 * clean[i] + cx * x[i];
        if (t > 0) x[i] += sigma * noise[i];
    }
}

static bool noise_ddpm(const rt_sampler *s, int k) {
    return s->timesteps[k] > 0;
}

const struct sampler_ops rt_sampler_ops_DDPM = {init_spaced, step_ddpm, noise_ddpm};

/* ---- LCM ---- */

static rt_status init_lcm(rt_sampler *s, rt_error *err) {
    int original = s->c.original_inference_steps, train = s->c.num_train_timesteps;
    if (original < 1 || original > train)
        return rt_fail(err, RT_ERR_INPUT, "original_inference_steps %d is not within 1..%d",
                       original, train);
    int used = s->c.strength < 1 ? (int)(original * s->c.strength) : original;
    if (s->steps > used)
        return rt_fail(err, RT_ERR_INPUT, "%d steps: LCM allows at most %d%s", s->steps, used,
                       used < original ? " at this strength" : "");
    for (int i = 0; i < s->steps; i++) {
        int index = (int)floor(i * ((double)used / s->steps));
        s->timesteps[i] = (float)((used - index) * (train / original) - 1);
    }
    s->evals = s->steps;
    s->space = SPACE_ALPHA;
    return RT_OK;
}

static void step_lcm(rt_sampler *s, int k, float *x, const float *out, const float *noise) {
    int t = (int)s->timesteps[k];
    bool last = k + 1 == s->evals;
    float abar = s->alphas_cumprod[t];
    float previous = s->alphas_cumprod[last ? t : (int)s->timesteps[k + 1]];
    float a = sqrtf(abar), b = sqrtf(1.0f - abar);
    float a_previous = sqrtf(previous), b_previous = sqrtf(1.0f - previous);
    double scaled = t * s->c.timestep_scaling, sigma_data = 0.5;
    double total = scaled * scaled + sigma_data * sigma_data;
    float skip = (float)(sigma_data * sigma_data / total), keep = (float)(scaled / sqrt(total));
    float *clean = s->history[0];
    rt_sampler_clean(s, a, b, x, out, clean);
    for (size_t i = 0; i < s->n; i++) {
        float x0 = keep * clean[i] + skip * x[i];
        x[i] = last ? x0 : a_previous * x0 + b_previous * noise[i];
    }
}

static bool noise_lcm(const rt_sampler *s, int k) {
    return k + 1 < s->evals;
}

const struct sampler_ops rt_sampler_ops_LCM = {init_lcm, step_lcm, noise_lcm};
