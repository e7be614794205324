/* Noise schedules and timestep spacings, shared by the samplers. diffusers computes betas and their
 * products as float32 tensors (torch's cumprod accumulates in double), timesteps and interpolated
 * sigmas as float64 arrays. */
#include "runtime/samplers/samplers_internal.h"

#include <math.h>
#include <stdlib.h>

/* Element i of torch.linspace(start, end, count), float32. */
static float linspace_f32(double start, double end, int count, int i) {
    float first = (float)start, last = (float)end;
    if (count < 2) return first;
    float step = (last - first) / (float)(count - 1);
    return i < count / 2 ? first + step * (float)i : last - step * (float)(count - i - 1);
}

/* betas_for_alpha_bar: the product of 1 - beta up to a time from 0 to 1. */
static double alpha_bar(rt_beta_schedule schedule, double time) {
    if (schedule == RT_BETA_EXP) return exp(time * -12);
    if (schedule == RT_BETA_LAPLACE) {
        double snr = exp(-0.5 * copysign(1, 0.5 - time) * log(1 - 2 * fabs(0.5 - time) + 1e-6));
        return sqrt(snr / (1 + snr));
    }
    double c = cos((time + 0.008) / 1.008 * 3.14159265358979323846 / 2);
    return c * c;
}

static float beta_at(const rt_sampler_config *c, int i) {
    int n = c->num_train_timesteps;
    if (c->beta_schedule == RT_BETA_LINEAR) return linspace_f32(c->beta_start, c->beta_end, n, i);
    if (c->beta_schedule == RT_BETA_SCALED_LINEAR) {
        float root = linspace_f32(sqrt(c->beta_start), sqrt(c->beta_end), n, i);
        return root * root;
    }
    if (c->beta_schedule == RT_BETA_SIGMOID) {
        float share = 1.0f / (1.0f + expf(-linspace_f32(-6, 6, n, i)));
        return share * (float)(c->beta_end - c->beta_start) + (float)c->beta_start;
    }
    rt_beta_schedule schedule = (rt_beta_schedule)c->beta_schedule;
    double t1 = (double)i / n, t2 = (double)(i + 1) / n;
    return (float)fmin(1 - alpha_bar(schedule, t2) / alpha_bar(schedule, t1), 0.999);
}

/* sqrt(abar) shifted and scaled so that it ends at zero (Lin et al. 2023), then back through betas,
 * as diffusers does. */
static void rescale_zero_snr(float *abar, int n) {
    float first = sqrtf(abar[0]), last = sqrtf(abar[n - 1]);
    double product = 1;
    float previous = 1;
    for (int i = 0; i < n; i++) {
        float root = (sqrtf(abar[i]) - last) * (first / (first - last));
        float square = root * root;
        float beta = 1.0f - (i == 0 ? square : square / previous);
        previous = square;
        product *= 1.0f - beta;
        abar[i] = (float)product;
    }
}

rt_status rt_sampler_noise_schedule(rt_sampler *s, rt_error *err) {
    const rt_sampler_config *c = &s->c;
    const char *trained = c->trained_betas;
    double product = 1;
    for (int i = 0; i < c->num_train_timesteps; i++) {
        char *end = NULL;
        float beta = trained ? strtof(trained, &end) : beta_at(c, i);
        if (trained && end == trained)
            return rt_fail(err, RT_ERR_INPUT,
                           "trained_betas has %d numbers, num_train_timesteps is %d", i,
                           (int)c->num_train_timesteps);
        trained = end;
        if (!(beta >= 0 && beta < 1))
            return rt_fail(err, RT_ERR_INPUT, "beta %g at timestep %d is not within [0, 1)",
                           (double)beta, i);
        product *= 1.0f - beta;
        s->alphas_cumprod[i] = (float)product;
    }
    while (trained && *trained == ' ') trained++;
    if (trained && *trained)
        return rt_fail(err, RT_ERR_INPUT,
                       "trained_betas has more numbers than num_train_timesteps, %d",
                       (int)c->num_train_timesteps);
    int last = c->num_train_timesteps - 1;
    if (c->flags & RT_SAMPLER_RESCALE_ZERO_SNR) {
        if (last == 0 || !(s->alphas_cumprod[0] > s->alphas_cumprod[last]))
            return rt_fail(err, RT_ERR_INPUT, "rescale_betas_zero_snr needs falling alphas");
        rescale_zero_snr(s->alphas_cumprod, last + 1);
    }
    s->final_alpha = c->flags & RT_SAMPLER_SET_ALPHA_TO_ONE ? 1.0f : s->alphas_cumprod[0];
    return RT_OK;
}

/* ---- spacing ---- */

double rt_sampler_linspace(double from, double to, int count, int i) {
    if (count < 2) return from;
    return i == count - 1 ? to : (double)i * ((to - from) / (count - 1)) + from;
}

static rt_status check(const rt_sampler *s, const double *t, int count, rt_error *err) {
    int last = s->c.num_train_timesteps - 1;
    for (int i = 0; i < count; i++)
        if (!(t[i] >= 0 && t[i] <= last))
            return rt_fail(err, RT_ERR_INPUT,
                           "%d steps with steps_offset %d reach timestep %g; the last one is %d",
                           s->steps, s->c.steps_offset, t[i], last);
    return RT_OK;
}

/* `spaced` timesteps below `end` are laid out, the first `count` of the descending list are taken.
 */
static rt_status space(const rt_sampler *s, int end, int spaced, int count, bool whole, double *t,
                       rt_error *err) {
    double stride = (double)s->c.num_train_timesteps / s->steps; /* of trailing */
    for (int i = 0; i < count; i++) {
        int up = spaced - 1 - i; /* index in the ascending list */
        switch (s->c.timestep_spacing) {
        case RT_SPACING_LINSPACE:
            t[i] = rt_sampler_linspace(0, end - 1, spaced, up);
            t[i] = whole ? rint(t[i]) : (double)(float)t[i];
            break;
        case RT_SPACING_LEADING: t[i] = up * (end / spaced) + s->c.steps_offset; break;
        default: t[i] = rint(end - i * stride) - 1; break;
        }
    }
    return check(s, t, count, err);
}

rt_status rt_sampler_whole_timesteps(const rt_sampler *s, int count, double *t, rt_error *err) {
    return space(s, s->c.num_train_timesteps, count, count, true, t, err);
}

rt_status rt_sampler_real_timesteps(const rt_sampler *s, int count, double *t, rt_error *err) {
    return space(s, s->c.num_train_timesteps, count, count, false, t, err);
}

/* abar, where an infinite sigma (zero terminal SNR) has diffusers' stand-in. */
static float trained_alpha(const rt_sampler *s, int t) {
    float a = s->alphas_cumprod[t];
    return a <= 0 ? 0x1p-24f : a;
}

/* How many timesteps lambda_min_clipped leaves. The logarithms are float32, as in diffusers. */
static int unclipped(const rt_sampler *s) {
    float least = (float)s->c.lambda_min_clipped;
    int left = s->c.num_train_timesteps;
    while (left > 0) {
        float a = trained_alpha(s, left - 1);
        if (!(logf(sqrtf(a)) - logf(sqrtf(1.0f - a)) < least)) break;
        left--;
    }
    return left;
}

rt_status rt_sampler_solver_timesteps(const rt_sampler *s, int count, double *t, int *made,
                                      rt_error *err) {
    int train = s->c.num_train_timesteps, left = unclipped(s);
    *made = count;
    if (left < 1)
        return rt_fail(err, RT_ERR_INPUT, "lambda_min_clipped %g leaves no timestep",
                       s->c.lambda_min_clipped);
    if (left < train && s->c.timestep_spacing == RT_SPACING_TRAILING)
        *made = (int)ceil(left / ((double)train / s->steps));
    return space(s, left, count + 1, *made, true, t, err);
}

/* ---- sigmas ---- */

static float trained_sigma(const rt_sampler *s, int t) {
    float a = trained_alpha(s, t);
    return sqrtf((1.0f - a) / a);
}

double rt_sampler_sigma_at(const rt_sampler *s, double t) {
    int last = s->c.num_train_timesteps - 1;
    int low = (int)floor(t);
    if (low >= last) return trained_sigma(s, last);
    double a = trained_sigma(s, low), b = trained_sigma(s, low + 1);
    return a + (b - a) * (t - low);
}

double rt_sampler_timestep_of(const rt_sampler *s, double sigma) {
    int last = s->c.num_train_timesteps - 1;
    if (last == 0) return 0;
    double target = log(fmax(sigma, 1e-10));
    int low = 0; /* the last timestep whose log sigma is not above the target */
    for (int high = last; low < high;) {
        int middle = (low + high + 1) / 2;
        if (logf(trained_sigma(s, middle)) <= target)
            low = middle;
        else
            high = middle - 1;
    }
    if (low > last - 1) low = last - 1;
    float a = logf(trained_sigma(s, low)), b = logf(trained_sigma(s, low + 1));
    double w = fmin(fmax(((double)a - target) / (double)(a - b), 0), 1);
    return (1 - w) * low + w * (low + 1);
}

double rt_sampler_shifted(double shift, double sigma) {
    return shift * sigma / (1 + (shift - 1) * sigma);
}

rt_status rt_sampler_stretch(const rt_sampler *s, int count, double *sigma, rt_error *err) {
    if (s->c.shift_terminal == 0) return RT_OK;
    double scale = (1 - sigma[count - 1]) / (1 - s->c.shift_terminal);
    if (!(scale > 0))
        return rt_fail(err, RT_ERR_INPUT, "%d steps: shift_terminal needs at least 2", count);
    for (int i = 0; i < count; i++) sigma[i] = 1 - (1 - sigma[i]) / scale;
    return RT_OK;
}

/* ---- other sigmas ---- */

/* Regularised incomplete beta function I_x(a, a) for x <= 1/2, by its continued fraction (Press et
 * al., Numerical Recipes, 6.4). */
static double incomplete_beta(double x, double a) {
    if (x <= 0) return 0;
    double front = exp(lgamma(2 * a) - 2 * lgamma(a) + a * log(x) + a * log1p(-x)) / a;
    double c = 1, d = 1 / (1 - 2 * a * x / (a + 1)), f = d;
    for (int m = 1; m < 200; m++) {
        double even = m * (a - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (2 * a + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / (1 + even * d);
        c = 1 + even / c;
        f *= c * d;
        d = 1 / (1 + odd * d);
        c = 1 + odd / c;
        f *= c * d;
        if (fabs(c * d - 1) < 1e-15) break;
    }
    return front * f;
}

/* Quantile of the symmetric beta distribution with both parameters `a`, by bisection. */
static double beta_quantile(double p, double a) {
    if (p > 0.5) return 1 - beta_quantile(1 - p, a);
    double low = 0, high = 0.5;
    for (int i = 0; i < 80 && p > 0; i++) {
        double middle = (low + high) / 2;
        if (incomplete_beta(middle, a) < p)
            low = middle;
        else
            high = middle;
    }
    return p > 0 ? (low + high) / 2 : 0;
}

bool rt_sampler_respace(const rt_sampler *s, double high, double low, int count, double *sigma,
                        double *t) {
    uint32_t f = s->c.flags;
    bool karras = f & RT_SAMPLER_USE_KARRAS_SIGMAS, lu = f & RT_SAMPLER_USE_LU_LAMBDAS;
    bool exponential = f & RT_SAMPLER_USE_EXPONENTIAL_SIGMAS;
    if (!karras && !lu && !exponential && !(f & RT_SAMPLER_USE_BETA_SIGMAS)) return false;
    bool own = (lu && !karras) ||
               (karras && s->c.sampler == RT_SAMPLER_LMS); /* there diffusers has no other ends */
    if (!own && s->c.sigma_max > 0) high = s->c.sigma_max;
    if (!own && s->c.sigma_min > 0) low = s->c.sigma_min;
    for (int i = 0; i < count; i++) {
        double along = rt_sampler_linspace(0, 1, count, i);
        if (karras) {
            double from = pow(high, 1 / 7.0), to = pow(low, 1 / 7.0);
            sigma[i] = pow(from + along * (to - from), 7.0);
        } else if (lu || exponential) {
            sigma[i] = exp(log(high) + along * (log(low) - log(high)));
        } else {
            sigma[i] = low + beta_quantile(1 - along, 0.6) * (high - low);
        }
        t[i] = rt_sampler_timestep_of(s, sigma[i]);
    }
    return true;
}
