/* Flow matching by Euler steps. */
#include "runtime/samplers/samplers_internal.h"

#include <math.h>
#include <stdlib.h>

/* ---- FLOW ---- */

/* The network gives data - noise at (1 - s) noise + s data, t = T (1 - s); s walks from 0 to 1
 * evenly. */

static rt_status init_flow(rt_sampler *s, rt_error *err) {
    (void)err;
    for (int k = 0; k < s->steps; k++) {
        s->timesteps[k] = (float)(s->c.num_train_timesteps * (1 - (double)k / s->steps));
        s->sigmas[k] = (float)(1 - (double)k / s->steps);
    }
    s->sigmas[s->steps] = 0;
    s->evals = s->steps;
    s->space = SPACE_FLOW;
    s->has_sigmas = true;
    return RT_OK;
}

static void step_flow(rt_sampler *s, int k, float *x, const float *out, const float *noise) {
    (void)k;
    (void)noise;
    float steps = (float)s->steps;
    for (size_t i = 0; i < s->n; i++) x[i] += out[i] / steps;
}

const struct sampler_ops rt_sampler_ops_FLOW = {init_flow, step_flow, NULL};

/* ---- FLOW_EULER ---- */

/* diffusers' FlowMatchEulerDiscreteScheduler; the network gives noise - data. */

static rt_status init_flow_euler(rt_sampler *s, rt_error *err) {
    double shift = s->c.shift, train = s->c.num_train_timesteps;
    int count = s->steps;
    bool inverted = s->c.flags & RT_SAMPLER_INVERT_SIGMAS;
    double *sigma = calloc((size_t)count * 2, sizeof *sigma);
    if (!sigma) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    /* The ends are those of the trained table, which is shifted already; the spaced values are
     * shifted again. */
    double high = (float)rt_sampler_shifted(shift, 1),
           low = (float)rt_sampler_shifted(shift, 1 / train);
    for (int k = 0; k < count; k++)
        sigma[k] = rt_sampler_shifted(shift, rt_sampler_linspace(high, low, count, k));
    rt_status status = rt_sampler_stretch(s, count, sigma, err);
    rt_sampler_respace(s, sigma[0], sigma[count - 1], count, sigma, sigma + count);
    for (int k = 0; k < count; k++) {
        s->sigmas[k] = inverted ? 1.0f - (float)sigma[k] : (float)sigma[k];
        s->timesteps[k] = s->sigmas[k] * (float)train;
    }
    free(sigma);
    s->sigmas[count] = inverted ? 1 : 0;
    s->evals = count;
    s->space = SPACE_FLOW;
    s->has_sigmas = true;
    return status;
}

static bool draws(const rt_sampler *s, int k) {
    (void)k;
    return s->c.flags & RT_SAMPLER_STOCHASTIC_SAMPLING;
}

static void step_flow_euler(rt_sampler *s, int k, float *x, const float *out, const float *noise) {
    float sigma = s->sigmas[k], next = s->sigmas[k + 1], dt = next - sigma;
    if (draws(s, k))
        for (size_t i = 0; i < s->n; i++)
            x[i] = (1.0f - next) * (x[i] - sigma * out[i]) + next * noise[i];
    else
        for (size_t i = 0; i < s->n; i++) x[i] += dt * out[i];
}

const struct sampler_ops rt_sampler_ops_FLOW_EULER = {init_flow_euler, step_flow_euler, draws};
