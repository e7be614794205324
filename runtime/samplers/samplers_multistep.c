/* Multistep samplers: PNDM (Liu et al. 2022), DPM-Solver and DPM-Solver++ (Lu et al. 2022). */
#include "runtime/samplers/samplers_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- PNDM ---- */

/* history[0..3]  outputs, newest first
 * history[4]     the sample a Runge-Kutta or repeated step began with
 * history[5]     the sum of a Runge-Kutta step */

static int stride(const rt_sampler *s) {
    return s->c.num_train_timesteps / s->steps;
}
static bool runge_kutta(const rt_sampler *s) {
    return !(s->c.flags & RT_SAMPLER_SKIP_PRK_STEPS);
}

/* Without Runge-Kutta: the second timestep is evaluated twice. With: four evaluations for each of
 * the first three steps. */
static rt_status init_pndm(rt_sampler *s, rt_error *err) {
    int n = s->steps, count = 0;
    if (runge_kutta(s) && n < 4)
        return rt_fail(err, RT_ERR_INPUT, "%d steps: PNDM with Runge-Kutta steps needs at least 4",
                       n);
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

/* The transfer from timestep t to `previous` with the combined output e (formula 9 of the paper).
 */
static void transfer(const rt_sampler *s, int t, int previous, const float *from, const float *e,
                     float *x) {
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

/* Begun in the middle, diffusers takes the timesteps a step begins with from the start of the list,
 * and those it ends with from where the list is read. */
static void step_prk(rt_sampler *s, int k, float *x, const float *out) {
    static const float weights[4] = {1 / 6.0f, 1 / 3.0f, 1 / 3.0f, 1 / 6.0f};
    int stage = s->done % 4;
    float *start = s->history[4], *sum = s->history[5];
    int t = (int)s->timesteps[s->done - stage];
    int previous = (int)s->timesteps[k] - (stage % 2 ? 0 : stride(s) / 2);
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
        step_prk(s, k, x, out);
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
            e[i] = (1 / 24.0f) *
                   (55.0f * h[0][i] - 59.0f * h[1][i] + 37.0f * h[2][i] - 9.0f * h[3][i]);
    }
    transfer(s, t, previous, from, e, x);
}

const struct sampler_ops rt_sampler_ops_PNDM = {init_pndm, step_pndm, NULL};

/* ---- DPM-Solver ---- */

/* DPM-Solver, DPM-Solver++ and their stochastic forms, multistep up to order 3. history[0..2]: what
 * the solver integrates, newest first: predicted clean samples (++) or predicted noise. */

static bool integrates_noise(const rt_sampler *s) {
    return s->c.algorithm_type == RT_ALGORITHM_DPMSOLVER ||
           s->c.algorithm_type == RT_ALGORITHM_SDE_DPMSOLVER;
}

static bool adds_noise(const rt_sampler *s) {
    return s->c.algorithm_type == RT_ALGORITHM_SDE_DPMSOLVER_PP ||
           s->c.algorithm_type == RT_ALGORITHM_SDE_DPMSOLVER;
}

/* use_flow_sigmas: sigmas evenly from noise to data, shifted; or UniPC's Karras sigmas as shares of
 * the noise. Timesteps are cut to integers. */
static rt_status flow_sigmas(const rt_sampler *s, bool respaced, double *sigma, double *t,
                             rt_error *err) {
    rt_status status = RT_OK;
    int count = s->steps;
    double train = s->c.num_train_timesteps, shift = s->c.flow_shift;
    bool unipc = s->c.sampler == RT_SAMPLER_UNIPC;
    for (int i = 0; i < count; i++) {
        if (respaced)
            sigma[i] = sigma[i] / (sigma[i] + 1);
        else if (unipc)
            sigma[i] = rt_sampler_shifted(shift, rt_sampler_linspace(1, 1 / train, count + 1, i));
        else
            sigma[i] = rt_sampler_shifted(
                shift, 1 - rt_sampler_linspace(1, 1 / train, count + 1, count - i));
    }
    if (unipc && !respaced) {
        status = rt_sampler_stretch(s, count, sigma, err);
        if (fabs(sigma[0] - 1) < 1e-6) sigma[0] -= 1e-6; /* log(1 - sigma) must be finite */
    }
    for (int i = 0; i < count; i++) t[i] = floor(sigma[i] * train);
    return status;
}

rt_status rt_sampler_solver_schedule(rt_sampler *s, rt_error *err) {
    int count = s->steps, made, last = s->c.num_train_timesteps - 1;
    double *t = calloc((size_t)count * 2, sizeof *t);
    if (!t) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    double *sigma = t + count;
    bool flow = s->c.flags & RT_SAMPLER_USE_FLOW_SIGMAS, unipc = s->c.sampler == RT_SAMPLER_UNIPC;
    rt_status status = rt_sampler_solver_timesteps(s, count, t, &made, err);
    for (int i = 0; status == RT_OK && i < made; i++) sigma[i] = rt_sampler_sigma_at(s, t[i]);
    /* DPM-Solver does not round the timesteps of the cosine schedule; what is not rounded, is cut
     * to an integer. */
    bool round = (s->c.flags & (RT_SAMPLER_USE_KARRAS_SIGMAS | RT_SAMPLER_USE_LU_LAMBDAS)) &&
                 (unipc || s->c.beta_schedule != RT_BETA_SQUAREDCOS_CAP_V2);
    double high = rt_sampler_sigma_at(s, last), low = rt_sampler_sigma_at(s, 0);
    bool respaced = status == RT_OK && rt_sampler_respace(s, high, low, count, sigma, t);
    if (respaced || flow) made = count;
    if (status == RT_OK && flow) {
        status = flow_sigmas(s, respaced, sigma, t, err);
    } else if (respaced) {
        /* The last timestep's own sigma is the last timestep, however its logarithms were rounded.
         */
        for (int i = 0; i < count; i++) t[i] = round ? rint(t[i]) : floor(t[i] + 1e-4);
    }
    if (unipc && (respaced || flow)) low = sigma[count - 1];
    for (int i = 0; status == RT_OK && i < made; i++) {
        s->timesteps[i] = (float)t[i];
        s->sigmas[i] = (float)sigma[i];
    }
    free(t);
    s->sigmas[made] = s->c.flags & RT_SAMPLER_FINAL_SIGMA_MIN ? (float)low : 0;
    s->evals = made;
    s->space = flow ? SPACE_FLOW : SPACE_ALPHA;
    s->has_sigmas = true;
    return status;
}

/* x = of_x x + of_newest m0 + of_slope (m0 - m1) / r0 + of_noise z */
struct solver_step {
    float of_x, of_newest, of_slope, of_noise;
};

static struct solver_step solver_step(const rt_sampler *s, struct half_log now,
                                      struct half_log to) {
    float h = to.lambda - now.lambda;
    bool heun = s->c.solver_type == RT_SOLVER_HEUN;
    float change, up;
    switch (s->c.algorithm_type) {
    case RT_ALGORITHM_DPMSOLVER:
        up = expf(h) - 1.0f;
        change = to.sigma * up;
        return (struct solver_step){to.alpha / now.alpha, -change,
                                    heun ? -(to.sigma * (up / h - 1.0f)) : -0.5f * change, 0};
    case RT_ALGORITHM_SDE_DPMSOLVER:
        up = expf(h) - 1.0f;
        change = to.sigma * up;
        return (struct solver_step){to.alpha / now.alpha, -2.0f * change,
                                    heun ? -2.0f * (to.sigma * (up / h - 1.0f)) : -change,
                                    to.sigma * sqrtf(expf(2.0f * h) - 1.0f)};
    case RT_ALGORITHM_SDE_DPMSOLVER_PP:
        up = 1.0f - expf(-2.0f * h);
        change = to.alpha * up;
        return (struct solver_step){to.sigma / now.sigma * expf(-h), change,
                                    heun ? to.alpha * (up / (-2.0f * h) + 1.0f) : 0.5f * change,
                                    to.sigma * sqrtf(up)};
    default:
        up = expf(-h) - 1.0f;
        change = to.alpha * up;
        return (struct solver_step){to.sigma / now.sigma, -change,
                                    heun ? to.alpha * (up / h + 1.0f) : -0.5f * change, 0};
    }
}

/* What the solver integrates: the clean sample or the noise that the model's output stands for. */
static void convert(rt_sampler *s, struct half_log now, const float *x, const float *out,
                    float *m) {
    for (size_t i = 0; i < s->n; i++) m[i] = sampler_x0(s, now.alpha, now.sigma, x[i], out[i]);
    rt_sampler_threshold(s, m);
    if (!integrates_noise(s)) return;
    for (size_t i = 0; i < s->n; i++) {
        if (s->sorted || s->c.prediction_type == RT_PREDICT_SAMPLE)
            m[i] = (x[i] - now.alpha * m[i]) / now.sigma;
        else
            m[i] = s->c.prediction_type == RT_PREDICT_EPSILON
                       ? out[i]
                       : now.alpha * out[i] + now.sigma * x[i];
    }
}

/* Coefficients of the third order in terms of its two differences D1 and D2. */
static void third_order(const rt_sampler *s, struct half_log to, float h, float *of_first,
                        float *of_second) {
    float e;
    switch (s->c.algorithm_type) {
    case RT_ALGORITHM_DPMSOLVER:
        e = expf(h) - 1.0f;
        *of_first = -(to.sigma * (e / h - 1.0f));
        *of_second = -(to.sigma * ((e - h) / (h * h) - 0.5f));
        break;
    case RT_ALGORITHM_SDE_DPMSOLVER_PP:
        e = 1.0f - expf(-2.0f * h);
        *of_first = to.alpha * (e / (-2.0f * h) + 1.0f);
        *of_second = to.alpha * ((e - 2.0f * h) / (4.0f * h * h) - 0.5f);
        break;
    default:
        e = expf(-h) - 1.0f;
        *of_first = to.alpha * (e / h + 1.0f);
        *of_second = -(to.alpha * ((e + h) / (h * h) - 0.5f));
    }
}

/* The order that history and settings allow at evaluation k. */
static int order_at(const rt_sampler *s, int k) {
    int left = s->evals - 1 - k,
        order = s->c.solver_order < s->entries ? s->c.solver_order : s->entries;
    bool few = (s->c.flags & RT_SAMPLER_LOWER_ORDER_FINAL) && s->evals < 15;
    if (left == 0 && (few || (s->c.flags & RT_SAMPLER_EULER_AT_FINAL) || s->sigmas[k + 1] == 0))
        return 1;
    return left == 1 && few && order > 2 ? 2 : order;
}

static void step_dpmpp(rt_sampler *s, int k, float *x, const float *out, const float *noise) {
    struct half_log now = sampler_half_log(s, s->sigmas[k]),
                    to = sampler_half_log(s, s->sigmas[k + 1]);
    float *m = s->history[2], *m1 = s->history[0], *m2 = s->history[1];
    s->history[0] = m;
    s->history[1] = m1;
    s->history[2] = m2;
    convert(s, now, x, out, m);
    if (s->entries < 3) s->entries++;

    int order = order_at(s, k);
    struct solver_step c = solver_step(s, now, to);
    float h = to.lambda - now.lambda, r0 = 1, r1 = 1, of_first = 0, of_second = 0;
    if (order > 1) r0 = (now.lambda - sampler_half_log(s, s->sigmas[k - 1]).lambda) / h;
    if (order > 2) {
        r1 = (sampler_half_log(s, s->sigmas[k - 1]).lambda -
              sampler_half_log(s, s->sigmas[k - 2]).lambda) /
             h;
        third_order(s, to, h, &of_first, &of_second);
    }
    if (!adds_noise(s)) noise = NULL;
    float inverse = 1.0f / r0, inverse_1 = 1.0f / r1, share = r0 / (r0 + r1),
          both = 1.0f / (r0 + r1);
    for (size_t i = 0; i < s->n; i++) {
        float next = c.of_x * x[i] + c.of_newest * m[i];
        if (order > 1) {
            float slope = inverse * (m[i] - m1[i]);
            if (order > 2) {
                float bend = slope - inverse_1 * (m1[i] - m2[i]);
                next = next + of_first * (slope + share * bend) + of_second * (both * bend);
            } else {
                next += c.of_slope * slope;
            }
        }
        x[i] = noise ? next + c.of_noise * noise[i] : next;
    }
}

static bool noise_dpmpp(const rt_sampler *s, int k) {
    (void)k;
    return adds_noise(s);
}

const struct sampler_ops rt_sampler_ops_DPMPP_2M = {rt_sampler_solver_schedule, step_dpmpp,
                                                    noise_dpmpp};
