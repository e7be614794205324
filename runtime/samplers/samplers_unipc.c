/* UniPC (Zhao et al. 2023), as diffusers' UniPCMultistepScheduler. Its schedule is DPM-Solver's.
 *
 * history[0..2]: predicted clean samples (or noise), newest first; [3]: the sample before the last step; [4]:
 * spare. */
#include "runtime/samplers/samplers_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool integrates_noise(const rt_sampler *s) {
    return !(s->c.flags & RT_SAMPLER_PREDICT_X0);
}

/* disable_corrector: whether the result of step k is left as it was predicted. */
static bool uncorrected(const rt_sampler *s, int k) {
    const char *at = s->c.disable_corrector;
    char *end;
    for (double step; at && (step = strtod(at, &end), end != at); at = end)
        if (step == k) return true;
    return false;
}

/* R rho = b of the paper for `order` nodes: rows r^(i-1), right sides phi_(i+1)(h) i! / B(h). */
struct system {
    double r[3]; /* node positions in units of h; the last is 1 */
    double b[3];
    double phi_1; /* e^hh - 1, where hh is -h for clean samples and h for noise */
    double big_b; /* B(h): phi_1, or hh for solver_type "bh1" */
};

static struct system build_system(const rt_sampler *s, int order, int base, float lambda, float h) {
    double hh = integrates_noise(s) ? (double)h : -(double)h;
    struct system sys = {.phi_1 = expm1(hh)};
    for (int i = 1; i < order; i++)
        sys.r[i - 1] = (sampler_half_log(s, s->sigmas[base - i]).lambda - lambda) / h;
    sys.r[order - 1] = 1;
    double phi = sys.phi_1 / hh - 1, factorial = 1;
    sys.big_b = s->c.solver_type == RT_SOLVER_BH1 ? hh : sys.phi_1;
    for (int i = 1; i <= order; i++) {
        sys.b[i - 1] = phi * factorial / sys.big_b;
        factorial *= i + 1;
        phi = phi / hh - 1 / factorial;
    }
    return sys;
}

/* Solves sum_j r[j]^i rho[j] = b[i] for i, j < n <= 3 by elimination with pivoting. */
static void solve(const struct system *sys, int n, double *rho) {
    double m[3][4];
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) m[i][j] = pow(sys->r[j], i);
        m[i][n] = sys->b[i];
    }
    for (int c = 0; c < n; c++) {
        int pivot = c;
        for (int i = c + 1; i < n; i++)
            if (fabs(m[i][c]) > fabs(m[pivot][c])) pivot = i;
        for (int j = 0; j <= n; j++) {
            double swap = m[c][j];
            m[c][j] = m[pivot][j];
            m[pivot][j] = swap;
        }
        for (int i = 0; i < n; i++) {
            double f = i == c ? 0 : m[i][c] / m[c][c];
            for (int j = c; j <= n; j++) m[i][j] -= f * m[c][j];
        }
    }
    for (int i = 0; i < n; i++) rho[i] = m[i][n] / m[i][i];
}

/* A step from sigmas[base] to sigmas[base + 1], starting at `from`. `m` = what is integrated (clean
 * samples, or noise) at base, base - 1, ... With `corrected`, the clean sample at the end of the step is known too. */
static void update(const rt_sampler *s, int order, int base, const float *from, float *const *m,
                   const float *corrected, float *x) {
    struct half_log start = sampler_half_log(s, s->sigmas[base]),
                    end = sampler_half_log(s, s->sigmas[base + 1]);
    float h = end.lambda - start.lambda;
    struct system sys = build_system(s, order, base, start.lambda, h);
    double rho[3] = {
        0.5, 0,
        0}; /* order 1 of the corrector, order 2 of the predictor: as the authors simplify */
    int known = order - 1;
    if (corrected && order > 1) solve(&sys, order, rho);
    if (!corrected && order > 2) solve(&sys, known, rho);
    bool noise = integrates_noise(s);
    float scale = noise ? end.sigma : end.alpha;
    float keep = noise ? end.alpha / start.alpha : end.sigma / start.sigma;
    float first = (float)(scale * sys.phi_1);
    /* without differences B(h) does not count; in an infinite step it would be infinite */
    float change = known || corrected ? (float)(scale * sys.big_b) : 0;
    float weight[2] = {0}, last = corrected ? (float)rho[known] : 0;
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): orders are 1 to 3 */
    for (int j = 0; j < known; j++) weight[j] = (float)(rho[j] / sys.r[j]);
    for (size_t i = 0; i < s->n; i++) {
        float sum = 0;
        for (int j = 0; j < known; j++) sum += weight[j] * (m[j + 1][i] - m[0][i]);
        if (corrected) sum += last * (corrected[i] - m[0][i]);
        x[i] = keep * from[i] - first * m[0][i] - change * sum;
    }
}

/* The clean sample, or the noise, that the model's output stands for. */
static void convert(rt_sampler *s, struct half_log now, const float *x, const float *out,
                    float *m) {
    for (size_t i = 0; i < s->n; i++) {
        if (!integrates_noise(s))
            m[i] = sampler_x0(s, now.alpha, now.sigma, x[i], out[i]);
        else if (s->c.prediction_type == RT_PREDICT_SAMPLE)
            m[i] = (x[i] - now.alpha * out[i]) / now.sigma;
        else if (s->c.prediction_type == RT_PREDICT_V)
            m[i] = now.alpha * out[i] + now.sigma * x[i];
        else
            m[i] = out[i];
    }
    if (!integrates_noise(s)) rt_sampler_threshold(s, m);
}

static void step_unipc(rt_sampler *s, int k, float *x, const float *out, const float *noise) {
    (void)noise;
    struct half_log now = sampler_half_log(s, s->sigmas[k]);
    float *oldest = s->history[2], *before = s->history[3];
    float *fresh = s->history[4]; /* the corrector of order 3 still needs the oldest */
    convert(s, now, x, out, fresh);
    if (s->done > 0 && !uncorrected(s, k - 1))
        update(s, s->order, k - 1, before, s->history, fresh, x);

    s->history[4] = oldest;
    memmove(s->history + 1, s->history, 2 * sizeof *s->history);
    s->history[0] = fresh;
    int order = s->c.solver_order;
    if ((s->c.flags & RT_SAMPLER_LOWER_ORDER_FINAL) && order > s->evals - k) order = s->evals - k;
    if (s->sigmas[k + 1] == 0) order = 1; /* an infinite step has no higher orders */
    if (order > s->entries + 1) order = s->entries + 1;
    s->order = order;
    memcpy(before, x, s->n * sizeof *x);
    update(s, order, k, before, s->history, NULL, x);
    if (s->entries < s->c.solver_order) s->entries++;
}

const struct sampler_ops rt_sampler_ops_UNIPC = {rt_sampler_solver_schedule, step_unipc, NULL};
