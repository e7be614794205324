/* Multistep samplers: PNDM (Liu et al. 2022) and DPM-Solver++ 2M (Lu et al. 2022). */
#include "runtime/samplers_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- PNDM ---- history[0..3]: outputs, newest first; [4]: the sample a Runge-Kutta or repeated step began
 * with; [5]: the sum of a Runge-Kutta step */

static int stride(const rt_sampler *s) {
    return s->c.num_train_timesteps / s->steps;
}
static bool runge_kutta(const rt_sampler *s) {
    return !(s->c.flags & RT_SAMPLER_SKIP_PRK_STEPS);
}

/* Without Runge-Kutta: the second timestep is evaluated twice. With: four evaluations for each of the first
 * three steps. */
static rt_status init_pndm(rt_sampler *s, rt_error *err) {
    int n = s->steps, count = 0;
    if (runge_kutta(s) && n < 4)
        return rt_fail(err, RT_ERR_INPUT, "%d steps: PNDM with Runge-Kutta steps needs at least 4", n);
    double *t = malloc((size_t)n * sizeof *t);
    if (!t) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    rt_status status = rt_sampler_whole_timesteps(s, n, t, err);
    s->space = SPACE_ALPHA;
    if (status == RT_OK && !runge_kutta(s)) {
        for (int i = 0; i < n; i++) {
            s->timesteps[count++] = (float)t[i];
            if (i == 1) s->timesteps[count++] = (float)t[i];
        }
    } else if (status == RT_OK) {
        for (int i = 0; i < 3; i++) { /* start, middle twice, end of the stride */
            double middle = t[i + 1] + stride(s) / 2;
            double four[4] = {t[i], middle, middle, t[i + 1]};
            for (int j = 0; j < 4; j++) s->timesteps[count++] = (float)four[j];
        }
        for (int i = 3; i < n; i++) s->timesteps[count++] = (float)t[i];
    }
    free(t);
    s->evals = count;
    return status;
}

/* The transfer from timestep t to `previous` with the combined output e (formula 9 of the paper). */
static void transfer(const rt_sampler *s, int t, int previous, const float *from, const float *e, float *x) {
    float abar = s->alphas_cumprod[t], before = sampler_alpha(s, previous);
    float beta = 1.0f - abar;
    float keep = sqrtf(before / abar);
    float scale = (before - abar) / (abar * sqrtf(1.0f - before) + sqrtf(abar * beta * before));
    float a = sqrtf(abar), b = sqrtf(beta);
    bool v = s->c.prediction_type == RT_PREDICT_V;
    for (size_t i = 0; i < s->n; i++) {
        float output = v ? a * e[i] + b * from[i] : e[i];
        x[i] = keep * from[i] - scale * output;
    }
}

static void remember(rt_sampler *s, const float *out) {
    float *oldest = s->history[3];
    memmove(s->history + 1, s->history, 3 * sizeof *s->history);
    s->history[0] = oldest;
    memcpy(oldest, out, s->n * sizeof *out);
    if (s->entries < 4) s->entries++;
}

static void step_prk(rt_sampler *s, float *x, const float *out) {
    static const float weights[4] = {1 / 6.0f, 1 / 3.0f, 1 / 3.0f, 1 / 6.0f};
    int stage = s->done % 4;
    float *start = s->history[4], *sum = s->history[5];
    int t = (int)s->timesteps[s->done - stage];
    int previous = (int)s->timesteps[s->done] - (stage % 2 ? 0 : stride(s) / 2);
    if (stage == 0) {
        remember(s, out);
        memcpy(start, x, s->n * sizeof *x);
        memset(sum, 0, s->n * sizeof *sum);
    }
    for (size_t i = 0; i < s->n; i++) sum[i] += weights[stage] * out[i];
    transfer(s, t, previous, start, stage == 3 ? sum : out, x);
}

static void step_pndm(rt_sampler *s, int k, float *x, const float *out, const float *noise) {
    (void)noise;
    if (runge_kutta(s) && s->done < 12) {
        step_prk(s, x, out);
        return;
    }
    int t = (int)s->timesteps[k], previous = t - stride(s);
    bool repeated = s->done == 1;
    float *from = x, *e = s->history[5];
    if (repeated) { /* the first step again, now with the mean of its two ends */
        previous = t;
        t += stride(s);
        from = s->history[4];
    } else {
        remember(s, out);
    }
    if (s->done == 0) memcpy(s->history[4], x, s->n * sizeof *x);
    float *const *h = s->history;
    for (size_t i = 0; i < s->n; i++) {
        if (repeated)
            e[i] = (out[i] + h[0][i]) / 2.0f;
        else if (s->entries == 1)
            e[i] = out[i];
        else if (s->entries == 2)
            e[i] = (3.0f * h[0][i] - h[1][i]) / 2.0f;
        else if (s->entries == 3)
            e[i] = (23.0f * h[0][i] - 16.0f * h[1][i] + 5.0f * h[2][i]) / 12.0f;
        else
            e[i] = (1 / 24.0f) * (55.0f * h[0][i] - 59.0f * h[1][i] + 37.0f * h[2][i] - 9.0f * h[3][i]);
    }
    transfer(s, t, previous, from, e, x);
}

const struct sampler_ops rt_sampler_ops_PNDM = {init_pndm, step_pndm, NULL};

/* ---- DPM-Solver++ 2M, midpoint ---- history[0..1]: predicted clean samples, newest first */

/* Sigmas at rounded timesteps or after Karras, and the one at which the last step ends. */
static rt_status init_dpmpp(rt_sampler *s, rt_error *err) {
    int count = s->steps, last = s->c.num_train_timesteps - 1;
    if (s->c.solver_order < 1 || s->c.solver_order > 2)
        return rt_fail(err, RT_ERR_INPUT, "solver_order %d is not supported (1 or 2)",
                       (int)s->c.solver_order);
    double *t = calloc((size_t)count * 2, sizeof *t);
    if (!t) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    double *sigma = t + count;
    bool karras = (s->c.flags & RT_SAMPLER_USE_KARRAS_SIGMAS) != 0;
    rt_status status = rt_sampler_solver_timesteps(s, count, t, err);
    if (status == RT_OK && karras) {
        rt_sampler_karras(rt_sampler_sigma_at(s, last), rt_sampler_sigma_at(s, 0), count, sigma);
        for (int i = 0; i < count; i++) t[i] = rint(rt_sampler_timestep_of(s, sigma[i]));
    }
    for (int i = 0; status == RT_OK && i < count; i++) {
        s->timesteps[i] = (float)t[i];
        s->sigmas[i] = (float)(karras ? sigma[i] : rt_sampler_sigma_at(s, t[i]));
    }
    free(t);
    s->sigmas[count] = s->c.flags & RT_SAMPLER_FINAL_SIGMA_MIN ? (float)rt_sampler_sigma_at(s, 0) : 0;
    s->evals = count;
    s->space = SPACE_ALPHA;
    s->has_sigmas = true;
    return status;
}

static void step_dpmpp(rt_sampler *s, int k, float *x, const float *out, const float *noise) {
    (void)noise;
    struct half_log now = sampler_half_log(s->sigmas[k]), to = sampler_half_log(s->sigmas[k + 1]);
    float *newest = s->history[1], *older = s->history[0];
    s->history[0] = newest;
    s->history[1] = older;
    for (size_t i = 0; i < s->n; i++)
        newest[i] = sampler_clip(s, sampler_x0(s, now.alpha, now.sigma, x[i], out[i]));
    if (s->entries < 2) s->entries++;

    int left = s->evals - 1 - k;
    bool few = (s->c.flags & RT_SAMPLER_LOWER_ORDER_FINAL) && s->evals < 15;
    bool first_at_end =
        left == 0 && (few || (s->c.flags & RT_SAMPLER_EULER_AT_FINAL) || s->sigmas[k + 1] == 0);
    float h = to.lambda - now.lambda;
    float keep = to.sigma / now.sigma, scale = to.alpha * (expf(-h) - 1.0f);
    if (s->c.solver_order < 2 || s->entries < 2 || first_at_end) {
        for (size_t i = 0; i < s->n; i++) x[i] = keep * x[i] - scale * newest[i];
        return;
    }
    float inverse = 1.0f / ((now.lambda - sampler_half_log(s->sigmas[k - 1]).lambda) / h);
    for (size_t i = 0; i < s->n; i++) {
        float slope = inverse * (newest[i] - older[i]);
        x[i] = keep * x[i] - scale * newest[i] - 0.5f * scale * slope;
    }
}

const struct sampler_ops rt_sampler_ops_DPMPP_2M = {init_dpmpp, step_dpmpp, NULL};
