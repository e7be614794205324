/* Samplers: the common part. What differs is in samplers_*.c, one sampler_ops a row of samplers.def. */
#include "runtime/samplers.h"
#include "runtime/samplers_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const struct sampler_ops *ops;
    int history;
} rows[RT_SAMPLER_COUNT] = {
#define SAMPLER(ID, name, cls, history, label) {&rt_sampler_ops_##ID, history},
#include "runtime/samplers.def"
#undef SAMPLER
};

static rt_status check_config(const rt_sampler_config *c, int steps, rt_error *err) {
    if (c->version != RT_SAMPLER_CONFIG_VERSION)
        return rt_fail(err, RT_ERR_INPUT, "sampler settings of version %u, expected %u", (unsigned)c->version,
                       RT_SAMPLER_CONFIG_VERSION);
    if (c->sampler < 0 || c->sampler >= RT_SAMPLER_COUNT)
        return rt_fail(err, RT_ERR_INPUT, "unknown sampler number %d", (int)c->sampler);
    if (c->prediction_type < 0 || c->prediction_type > RT_PREDICT_SAMPLE || c->beta_schedule < 0 ||
        c->beta_schedule > RT_BETA_SQUAREDCOS_CAP_V2 || c->timestep_spacing < 0 ||
        c->timestep_spacing > RT_SPACING_TRAILING || c->variance_type < 0 ||
        c->variance_type > RT_VARIANCE_FIXED_LARGE)
        return rt_fail(err, RT_ERR_INPUT, "sampler settings are damaged: a choice is out of range");
    if (c->num_train_timesteps < 1 || c->num_train_timesteps > 1000000)
        return rt_fail(err, RT_ERR_INPUT, "num_train_timesteps %d is not within 1..1000000",
                       (int)c->num_train_timesteps);
    if (steps < 1 || steps > c->num_train_timesteps)
        return rt_fail(err, RT_ERR_INPUT, "%d steps: the sampler allows 1 to %d", steps,
                       (int)c->num_train_timesteps);
    if (!(c->eta >= 0 && c->eta <= 1)) return rt_fail(err, RT_ERR_INPUT, "eta %g is not within 0..1", c->eta);
    if (!(c->clip_sample_range > 0)) return rt_fail(err, RT_ERR_INPUT, "clip_sample_range must be positive");
    if (!(c->beta_start >= 0 && c->beta_start < 1 && c->beta_end >= 0 && c->beta_end < 1))
        return rt_fail(err, RT_ERR_INPUT, "beta_start %g and beta_end %g must be within [0, 1)",
                       c->beta_start, c->beta_end);
    return RT_OK;
}

static float *floats(size_t n) {
    return calloc(n ? n : 1, sizeof(float));
}

rt_status rt_sampler_new(rt_sampler **out, const rt_sampler_config *config, int steps, size_t n,
                         rt_error *err) {
    *out = NULL;
    rt_status status = check_config(config, steps, err);
    if (status != RT_OK) return status;
    rt_sampler *s = calloc(1, sizeof *s);
    if (!s) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    s->c = *config;
    s->n = n;
    s->steps = steps;
    s->next = -1;
    s->init_sigma = 1;
    s->ops = rows[config->sampler].ops;
    size_t room = SAMPLER_MAX_EVALS((size_t)steps);
    s->alphas_cumprod = floats((size_t)config->num_train_timesteps);
    s->timesteps = floats(room);
    s->sigmas = floats(room + 1);
    bool complete = s->alphas_cumprod && s->timesteps && s->sigmas;
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
    for (int i = 0; i < SAMPLER_MAX_HISTORY; i++) free(s->history[i]);
    free(s);
}

void rt_sampler_reset(rt_sampler *s) {
    s->next = -1;
    s->done = s->order = s->entries = 0;
    s->dt = 0;
}

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

rt_status rt_sampler_step(rt_sampler *s, int k, float *x, const float *model_output, const float *noise,
                          rt_error *err) {
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
    if (!(strength > 0)) return s->evals;
    int wanted = strength >= 1 ? s->steps : (int)(s->steps * strength);
    int order = s->c.sampler == RT_SAMPLER_HEUN ? 2 : 1;
    int first = (s->steps - wanted) * order;
    return wanted == 0 || first > s->evals ? s->evals : first;
}

void rt_sampler_add_noise(const rt_sampler *s, int k, const float *clean, const float *noise, float *out) {
    float a, b;
    if (s->space == SPACE_ALPHA) {
        float abar = s->alphas_cumprod[(int)s->timesteps[k]];
        a = sqrtf(abar);
        b = sqrtf(1.0f - abar);
    } else {
        b = s->sigmas[k];
        a = s->space == SPACE_FLOW ? 1.0f - b : 1.0f;
    }
    for (size_t i = 0; i < s->n; i++) out[i] = a * clean[i] + b * noise[i];
}
