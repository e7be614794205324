/* Samplers on x0 + sigma e (Karras et al. 2022 as in k-diffusion and diffusers): Euler, Euler
 * ancestral, Heun, LMS. */
#include "runtime/samplers/samplers_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Euler's interpolation_type "log_linear": torch.linspace of float32 logarithms over one point
 * more, the end being the least sigma. */
static void log_linear(const rt_sampler *s, int count, double *sigma) {
    int last = s->c.num_train_timesteps - 1;
    float from = logf((float)rt_sampler_sigma_at(s, last)),
          to = logf((float)rt_sampler_sigma_at(s, 0));
    float step = (to - from) / (float)count;
    for (int i = 0; i <= count; i++)
        sigma[i] =
            expf(i < (count + 1) / 2 ? from + step * (float)i : to - step * (float)(count - i));
}

/* `steps` timesteps and sigmas, and the sigma at which the last step ends. */
static rt_status init_sigmas(rt_sampler *s, bool respaced, rt_error *err) {
    int count = s->steps;
    bool euler = s->c.sampler == RT_SAMPLER_EULER,
         logarithmic = euler && (s->c.flags & RT_SAMPLER_LOG_LINEAR);
    double *t = calloc((size_t)count * 2 + 1, sizeof *t);
    if (!t) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    double *sigma = t + count;
    rt_status status = rt_sampler_real_timesteps(s, count, t, err);
    if (status == RT_OK) {
        for (int i = 0; i < count; i++) sigma[i] = rt_sampler_sigma_at(s, t[i]);
        sigma[count] =
            euler && (s->c.flags & RT_SAMPLER_FINAL_SIGMA_MIN) ? rt_sampler_sigma_at(s, 0) : 0;
        double end = sigma[count];
        if (logarithmic) log_linear(s, count, sigma);
        if (respaced && rt_sampler_respace(s, sigma[0], sigma[logarithmic ? count : count - 1],
                                           count, sigma, t))
            sigma[count] = end;
        bool continuous =
            s->c.flags & RT_SAMPLER_CONTINUOUS && s->c.prediction_type == RT_PREDICT_V;
        for (int i = 0; i <= count; i++) s->sigmas[i] = (float)sigma[i];
        for (int i = 0; i < count; i++)
            s->timesteps[i] = continuous ? 0.25f * logf(s->sigmas[i]) : (float)t[i];
    }
    free(t);
    if (status != RT_OK) return status;
    s->evals = count;
    s->space = SPACE_SIGMA;
    s->has_sigmas = true;
    float top = s->sigmas[0];
    s->init_sigma = s->c.timestep_spacing == RT_SPACING_LEADING ? sqrtf(top * top + 1.0f) : top;
    return RT_OK;
}

/* Coefficients of x0 = from_x * x + from_out * out. */
struct sigma_predict {
    float from_x, from_out;
};

static struct sigma_predict predict(const rt_sampler *s, float sigma) {
    switch (s->c.prediction_type) {
    case RT_PREDICT_EPSILON: return (struct sigma_predict){1, -sigma};
    case RT_PREDICT_V: {
        float square = sigma * sigma + 1.0f;
        return (struct sigma_predict){1.0f / square, -sigma / sqrtf(square)};
    }
    default: return (struct sigma_predict){0, 1};
    }
}

static rt_status init_euler(rt_sampler *s, rt_error *err) {
    return init_sigmas(s, true, err);
}

/* ---- Euler ---- */

static void step_euler(rt_sampler *s, int k, float *x, const float *out, const float *noise) {
    (void)noise;
    float sigma = s->sigmas[k], dt = s->sigmas[k + 1] - sigma;
    struct sigma_predict p = predict(s, sigma);
    for (size_t i = 0; i < s->n; i++) {
        float x0 = p.from_x * x[i] + p.from_out * out[i];
        x[i] += (x[i] - x0) / sigma * dt;
    }
}

const struct sampler_ops rt_sampler_ops_EULER = {init_euler, step_euler, NULL};

/* ---- Euler ancestral ---- */

static rt_status init_euler_a(rt_sampler *s, rt_error *err) {
    return init_sigmas(s, false, err);
}

static void step_euler_a(rt_sampler *s, int k, float *x, const float *out, const float *noise) {
    float from = s->sigmas[k], to = s->sigmas[k + 1];
    float up = sqrtf(to * to * (from * from - to * to) / (from * from));
    float dt = sqrtf(to * to - up * up) - from;
    struct sigma_predict p = predict(s, from);
    for (size_t i = 0; i < s->n; i++) {
        float x0 = p.from_x * x[i] + p.from_out * out[i];
        x[i] += (x[i] - x0) / from * dt;
        x[i] += noise[i] * up;
    }
}

/* diffusers draws in the last step too, where it multiplies by zero. */
static bool noise_always(const rt_sampler *s, int k) {
    (void)s;
    (void)k;
    return true;
}

const struct sampler_ops rt_sampler_ops_EULER_A = {init_euler_a, step_euler_a, noise_always};

/* ---- Heun: each step but the last is evaluated at both ends ---- */

static rt_status init_heun(rt_sampler *s, rt_error *err) {
    rt_status status = init_euler(s, err);
    if (status != RT_OK) return status;
    for (int i = s->steps - 1; i >= 1; i--) { /* all but the first twice, in place from the back */
        s->timesteps[2 * i] = s->timesteps[2 * i - 1] = s->timesteps[i];
        s->sigmas[2 * i] = s->sigmas[2 * i - 1] = s->sigmas[i];
    }
    s->evals = 2 * s->steps - 1;
    s->sigmas[s->evals] = 0;
    return RT_OK;
}

static void step_heun(rt_sampler *s, int k, float *x, const float *out, const float *noise) {
    (void)noise;
    float *slope = s->history[0], *start = s->history[1];
    bool second = s->done % 2 == 1;
    float sigma = s->sigmas[k];
    struct sigma_predict p = predict(s, sigma);
    if (!second) s->dt = s->sigmas[k + 1] - sigma;
    for (size_t i = 0; i < s->n; i++) {
        float x0 = sampler_clip(s, p.from_x * x[i] + p.from_out * out[i]);
        float d = (x[i] - x0) / sigma;
        if (second) {
            x[i] = start[i] + (slope[i] + d) / 2.0f * s->dt;
        } else {
            slope[i] = d;
            start[i] = x[i];
            x[i] += d * s->dt;
        }
    }
}

const struct sampler_ops rt_sampler_ops_HEUN = {init_heun, step_heun, NULL};

/* ---- LMS: Adams-Bashforth of order 4 on uneven sigmas ---- */

/* Integral from sigmas[k] to sigmas[k + 1] of the Lagrange basis polynomial of node k - j among nodes k .. k
 * - order + 1. Degree <= 3, so two Gauss points are exact. */
static double lms_coefficient(const rt_sampler *s, int k, int order, int j) {
    double a = s->sigmas[k], b = s->sigmas[k + 1], sum = 0;
    for (int point = -1; point <= 1; point += 2) {
        double at = (a + b) / 2 + point * (b - a) / 2 * 0.57735026918962576451, product = 1;
        for (int i = 0; i < order; i++) {
            double node = s->sigmas[k - i];
            if (i != j) product *= (at - node) / (s->sigmas[k - j] - node);
        }
        sum += product;
    }
    return sum * (b - a) / 2;
}

static void step_lms(rt_sampler *s, int k, float *x, const float *out, const float *noise) {
    (void)noise;
    float *newest = s->history[3]; /* history[j]: the derivative j evaluations ago */
    memmove(s->history + 1, s->history, 3 * sizeof *s->history);
    s->history[0] = newest;
    if (s->entries < 4) s->entries++;
    float sigma = s->sigmas[k];
    struct sigma_predict p = predict(s, sigma);
    for (size_t i = 0; i < s->n; i++)
        newest[i] = (x[i] - (p.from_x * x[i] + p.from_out * out[i])) / sigma;
    float c[4] = {0};
    int order =
        k < 3 ? k + 1
              : 4; /* begun in the middle, diffusers leaves out the terms it has no history for */
    for (int j = 0; j < s->entries; j++) c[j] = (float)lms_coefficient(s, k, order, j);
    for (size_t i = 0; i < s->n; i++) {
        float sum = 0;
        for (int j = 0; j < s->entries; j++) sum += c[j] * s->history[j][i];
        x[i] += sum;
    }
}

const struct sampler_ops rt_sampler_ops_LMS = {init_euler, step_lms, NULL};
