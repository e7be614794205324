/* Flow matching by Euler steps. */
#include "runtime/samplers/samplers_internal.h"

#include <math.h>

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

static double shifted(double shift, double sigma) {
    return shift * sigma / (1 + (shift - 1) * sigma);
}

static rt_status init_flow_euler(rt_sampler *s, rt_error *err) {
    double shift = s->c.shift, train = s->c.num_train_timesteps;
    if (!(shift > 0)) return rt_fail(err, RT_ERR_INPUT, "shift %g must be positive", shift);
    /* The ends are those of the trained table, which is shifted already; the spaced values are
     * shifted again. */
    double high = (float)shifted(shift, 1), low = (float)shifted(shift, 1 / train);
    for (int k = 0; k < s->steps; k++) {
        double step = s->steps > 1 ? (low - high) / (s->steps - 1) : 0;
        s->sigmas[k] = (float)shifted(shift, high + k * step);
        s->timesteps[k] = s->sigmas[k] * (float)train;
    }
    s->sigmas[s->steps] = 0;
    s->evals = s->steps;
    s->space = SPACE_FLOW;
    s->has_sigmas = true;
    return RT_OK;
}

static void step_flow_euler(rt_sampler *s, int k, float *x, const float *out, const float *noise) {
    (void)noise;
    float dt = s->sigmas[k + 1] - s->sigmas[k];
    for (size_t i = 0; i < s->n; i++) x[i] += dt * out[i];
}

const struct sampler_ops rt_sampler_ops_FLOW_EULER = {init_flow_euler, step_flow_euler, NULL};
