/* Samplers: the common part. What differs is in samplers_*.c, one sampler_ops a row of
 * samplers.def. */
#include "runtime/samplers/samplers.h"
#include "runtime/samplers/samplers_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const struct sampler_ops *ops;
    int history;
} rows[RT_SAMPLER_COUNT] = {
#define SAMPLER(ID, name, cls, history, ...) {&rt_sampler_ops_##ID, history},
#include "runtime/samplers/samplers.def"
};

static float *floats(size_t n) {
    return calloc(n ? n : 1, sizeof(float));
}

rt_status rt_sampler_new(rt_sampler **out, const rt_sampler_config *config, int steps, size_t n,
                         rt_error *err) {
    *out = NULL;
    rt_status status = rt_sampler_config_check(config, err);
    if (status == RT_OK && (steps < 1 || steps > config->num_train_timesteps))
        status = rt_fail(err, RT_ERR_INPUT, "%d steps: the sampler allows 1 to %d", steps,
                         (int)config->num_train_timesteps);
    if (status != RT_OK) return status;
    rt_sampler *s = calloc(1, sizeof *s);
    if (!s) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    s->c = rt_sampler_effective(config);
    s->n = n;
    s->steps = steps;
    s->next = -1;
    s->init_sigma = 1;
    s->images = 1;
    s->ops = rows[config->sampler].ops;
    size_t room = SAMPLER_MAX_EVALS((size_t)steps);
    s->alphas_cumprod = floats((size_t)config->num_train_timesteps);
    s->timesteps = floats(room);
    s->sigmas = floats(room + 1);
    bool complete = s->alphas_cumprod && s->timesteps && s->sigmas;
    if (s->c.flags & RT_SAMPLER_THRESHOLDING) {
        s->sorted = floats(n);
        complete = complete && s->sorted;
    }
    for (int i = 0; i < rows[config->sampler].history; i++) {
        s->history[i] = floats(n);
        complete = complete && s->history[i];
    }
    if (complete) {
        status = rt_sampler_noise_schedule(s, err);
        if (status == RT_OK) status = s->ops->init(s, err);
    } else {
        status = rt_fail(err, RT_ERR_SYSTEM, "out of memory for the sampler's buffers");
    }
    if (status == RT_OK)
        *out = s;
    else
        rt_sampler_free(s);
    return status;
}

void rt_sampler_free(rt_sampler *s) {
    if (!s) return;
    free(s->alphas_cumprod);
    free(s->timesteps);
    free(s->sigmas);
    free(s->sorted);
    for (int i = 0; i < SAMPLER_MAX_HISTORY; i++) free(s->history[i]);
    free(s);
}

void rt_sampler_set_images(rt_sampler *s, size_t images) {
    s->images = images;
}

void rt_sampler_reset(rt_sampler *s) {
    s->next = -1;
    s->done = s->order = s->entries = 0;
    s->dt = 0;
}

/* ---- the clean sample ---- */

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* torch.quantile of |x0[n]|: linear between the two nearest. */
static float quantile(const float *x0, size_t n, double ratio, float *sorted) {
    for (size_t i = 0; i < n; i++) sorted[i] = fabsf(x0[i]);
    qsort(sorted, n, sizeof *sorted, by_value);
    float rank = (float)ratio * (float)(n - 1), below = floorf(rank);
    size_t low = (size_t)below, high = low + 1 < n ? low + 1 : low;
    return sorted[low] + (rank - below) * (sorted[high] - sorted[low]);
}

void rt_sampler_threshold(rt_sampler *s, float *x0) {
    if (!s->sorted || s->images == 0 || s->n < s->images) return;
    size_t n = s->n / s->images;
    for (size_t image = 0; image < s->images; image++, x0 += n) {
        float limit = fmaxf(quantile(x0, n, s->c.dynamic_thresholding_ratio, s->sorted), 1.0f);
        limit = fminf(limit, (float)s->c.sample_max_value);
        for (size_t i = 0; i < n; i++) x0[i] = fmaxf(-limit, fminf(x0[i], limit)) / limit;
    }
}

void rt_sampler_clean(rt_sampler *s, float a, float b, const float *x, const float *out,
                      float *x0) {
    for (size_t i = 0; i < s->n; i++) x0[i] = sampler_x0(s, a, b, x[i], out[i]);
    if (s->sorted)
        rt_sampler_threshold(s, x0);
    else
        for (size_t i = 0; i < s->n; i++) x0[i] = sampler_clip(s, x0[i]);
}

/* ---- what a run needs to know ---- */

int rt_sampler_evaluations(const rt_sampler *s) {
    return s->evals;
}
const float *rt_sampler_timesteps(const rt_sampler *s) {
    return s->timesteps;
}
const float *rt_sampler_sigmas(const rt_sampler *s) {
    return s->has_sigmas ? s->sigmas : NULL;
}
float rt_sampler_init_noise_sigma(const rt_sampler *s) {
    return s->init_sigma;
}

void rt_sampler_scale_input(const rt_sampler *s, int k, const float *x, float *out) {
    if (s->space != SPACE_SIGMA) {
        if (out != x) memcpy(out, x, s->n * sizeof *out);
        return;
    }
    float scale = sqrtf(s->sigmas[k] * s->sigmas[k] + 1.0f);
    for (size_t i = 0; i < s->n; i++) out[i] = x[i] / scale;
}

bool rt_sampler_needs_noise(const rt_sampler *s, int k) {
    return s->ops->needs_noise && s->ops->needs_noise(s, k);
}

rt_status rt_sampler_step(rt_sampler *s, int k, float *x, const float *model_output,
                          const float *noise, rt_error *err) {
    if (k < 0 || k >= s->evals || (s->next >= 0 && k != s->next))
        return rt_fail(err, RT_ERR_USAGE, "sampler step %d is out of order (expected %d of %d)", k,
                       s->next < 0 ? 0 : s->next, s->evals);
    if (!noise && rt_sampler_needs_noise(s, k))
        return rt_fail(err, RT_ERR_USAGE, "sampler step %d needs noise", k);
    s->ops->step(s, k, x, model_output, noise);
    s->next = k + 1;
    s->done++;
    return RT_OK;
}

int rt_sampler_first_evaluation(const rt_sampler *s, double strength) {
    int wanted = strength >= 1 ? s->steps : strength > 0 ? (int)(s->steps * strength) : 0;
    int order = s->c.sampler == RT_SAMPLER_HEUN ? 2 : 1;
    int first = (s->steps - wanted) * order;
    return first > s->evals ? s->evals : first;
}

void rt_sampler_add_noise(const rt_sampler *s, int k, const float *clean, const float *noise,
                          float *out) {
    float a, b;
    if (s->space == SPACE_ALPHA && s->has_sigmas) { /* sigmas that may lie between the timesteps */
        struct half_log level = sampler_half_log(s, s->sigmas[k]);
        a = level.alpha;
        b = level.sigma;
    } else if (s->space == SPACE_ALPHA) {
        float abar = s->alphas_cumprod[(int)s->timesteps[k]];
        a = sqrtf(abar);
        b = sqrtf(1.0f - abar);
    } else {
        b = s->sigmas[k];
        a = s->space == SPACE_FLOW ? 1.0f - b : 1.0f;
    }
    for (size_t i = 0; i < s->n; i++) out[i] = a * clean[i] + b * noise[i];
}
