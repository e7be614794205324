/* Networks that a picture controls the denoiser through. Those that have a sample run beside it at
 * every step of their range (ControlNets); the others have run before (T2I-Adapters). What they give
 * is scaled and summed into inputs of the denoiser, which are zeros where none is at work. */
#include "runtime/pipeline/condition.h"
#include "runtime/pipeline/denoise.h"

#include <stdlib.h>
#include <string.h>

/* Names of results, and of the denoiser's inputs that they are added to. */
enum { FEATURES = 2 };
static const char *const handed[][2] = {
    {"down_block_res_samples.", "down_block_additional_residuals."},
    {"mid_block_res_sample", "mid_block_additional_residual"},
    [FEATURES] = {"features.", "down_intrablock_additional_residuals."},
};

/* The name of the input that a result is added to; false when it is none. */
static bool input_name(const char *result, char out[80]) {
    for (size_t k = 0; k < sizeof handed / sizeof *handed; k++) {
        size_t n = strlen(handed[k][0]);
        if (strncmp(result, handed[k][0], n) != 0) continue;
        snprintf(out, 80, "%s%s", handed[k][1], result + n);
        return true;
    }
    return false;
}

/* Whether networks that run at every step, or the others, add to this input of the denoiser. */
static bool is_fed(const char *input, bool every_step) {
    bool fed = false;
    for (size_t k = 0; k < sizeof handed / sizeof *handed; k++) {
        bool other = (k == FEATURES) == every_step;
        fed |= !other && strncmp(input, handed[k][1], strlen(handed[k][1])) == 0;
    }
    return fed;
}

/* ---- adding up ---- */

static void zero_inputs(struct rt_denoiser *p, bool every_step) {
    for (int i = 0; i < rt_network_input_count(p->denoiser); i++) {
        const struct ebru_tensor_desc *d = rt_network_input_at(p->denoiser, i);
        if (is_fed(d->name, every_step))
            memset(rt_network_input_buffer(p->denoiser, d->name), 0, (size_t)d->bytes);
    }
}

/* to[channels][area] += scale * from, which has the same elements or one a channel. */
static void add_row(float *to, const float *from, size_t n, size_t given, float scale) {
    size_t each = n / given;
    for (size_t i = 0; i < n; i++) to[i] += scale * from[each == 1 ? i : i / each];
}

/* Adds a network's results to the denoiser's inputs, row by row: a network of one picture to all
 * rows, one of half the rows to the second half. */
static void add_results(struct rt_denoiser *p, const struct rt_control *c, float scale) {
    for (int i = 0; i < rt_network_output_count(c->net); i++) {
        const struct ebru_tensor_desc *from = rt_network_output_at(c->net, i), *to;
        char name[80];
        if (!input_name(from->name, name)) continue;
        to = rt_network_input(p->denoiser, name);
        if (!to) continue; /* a feature that the denoiser has no place for */
        const float *result = rt_network_output_buffer(c->net, from->name);
        float *input = rt_network_input_buffer(p->denoiser, name);
        size_t n = rt_denoiser_elements(to), given = rt_denoiser_elements(from),
               rows = (size_t)to->dim[0], have = (size_t)from->dim[0],
               first = c->every_step ? rows - have : 0;
        for (size_t r = first; r < rows; r++)
            add_row(input + r * n, result + (r - first) % have * given, n, given, scale);
    }
}

/* ---- opening ---- */

static rt_status fits(struct rt_denoiser *p, const struct rt_control *c, rt_error *err) {
    for (int i = 0; i < rt_network_output_count(c->net); i++) {
        const struct ebru_tensor_desc *from = rt_network_output_at(c->net, i);
        char name[80];
        const struct ebru_tensor_desc *to =
            input_name(from->name, name) ? rt_network_input(p->denoiser, name) : NULL;
        size_t n = to ? rt_denoiser_elements(to) : 0, given = rt_denoiser_elements(from);
        if (to &&
            (n % given || (n != given && given != (size_t)to->dim[1]) || from->dim[0] > to->dim[0]))
            return rt_fail(err, RT_ERR_INTERNAL, "'%s' and the denoiser do not fit together",
                           from->name);
    }
    return RT_OK;
}

static rt_status show_picture(struct rt_control *c, const float *picture, rt_error *err) {
    const char *name = c->every_step ? "controlnet_cond" : "image";
    const struct ebru_tensor_desc *d = rt_network_input(c->net, name);
    if (!d || !picture) return rt_fail(err, RT_ERR_INTERNAL, "a control network takes no picture");
    float *to = rt_network_input_buffer(c->net, name);
    size_t n = rt_denoiser_elements(d);
    for (int64_t i = 0; i < d->dim[0]; i++) memcpy(to + (size_t)i * n, picture, n * sizeof *to);
    return RT_OK;
}

static rt_status open_one(struct rt_denoiser *p, int i, rt_error *err) {
    const rt_control_info *info = &p->info->controls[i];
    struct rt_control *c = &p->control.nets[i];
    char name[300];
    c->every_step = info->every_step;
    bool both = c->every_step && p->guided && !p->control.guess;
    snprintf(name, sizeof name, "%s%s", info->function, both ? "@2" : "");
    rt_status s = rt_network_open(&c->net, p->engine, name, err);
    if (!s) s = fits(p, c, err);
    if (!s) s = show_picture(c, p->settings->pictures.controls[i], err);
    if (s || c->every_step) return s;
    rt_progress_phase(p->settings->progress, "control", 0);
    rt_profile_phase(p->engine->profile, "control");
    s = rt_network_begin(c->net, NULL, 1, err);
    if (!s) rt_network_step(c->net, 0);
    return s;
}

rt_status rt_condition_control_open(struct rt_denoiser *p, rt_error *err) {
    struct rt_control_state *state = &p->control;
    state->guess = p->settings->guess_mode || p->info->guesses;
    state->active = UINT32_MAX; /* nothing is known of the inputs */
    for (int i = 0; i < p->info->control_count; i++) {
        const rt_control_setting *setting = &p->settings->controls[i];
        if (!p->settings->pictures.controls[i] || setting->scale == 0) continue;
        rt_status s = open_one(p, i, err);
        if (s) return s;
    }
    return RT_OK;
}

void rt_condition_control_close(struct rt_denoiser *p) {
    for (int i = 0; i < p->info->control_count; i++) rt_network_free(p->control.nets[i].net);
}

/* ---- the loop ---- */

/* Whether network i is at work in evaluation k of `count`, as diffusers' pipelines decide: of its
 * controlnet_keep, and of adapter_conditioning_factor. */
static bool works(const struct rt_denoiser *p, int i, int k, int count) {
    const rt_control_setting *s = &p->settings->controls[i];
    if (!p->control.nets[i].net || (double)k / count < s->start) return false;
    if (p->control.nets[i].every_step) return !((double)(k + 1) / count > s->stop);
    return s->stop >= 1 || k < (int)(p->settings->steps * s->stop);
}

/* The features of the adapters that are at work; true when they changed. */
static bool fill_features(struct rt_denoiser *p, int k, int count) {
    uint32_t active = 0;
    for (int i = 0; i < p->info->control_count; i++)
        if (!p->control.nets[i].every_step && works(p, i, k, count)) active |= 1u << i;
    if (active == p->control.active) return false;
    p->control.active = active;
    zero_inputs(p, false);
    for (int i = 0; i < p->info->control_count; i++)
        if (active >> i & 1)
            add_results(p, &p->control.nets[i], (float)p->settings->controls[i].scale);
    return true;
}

/* What the denoiser is told beside sample and timestep, a ControlNet is told, too; one of half the
 * rows what the second half is told. */
static rt_status copy_inputs(struct rt_denoiser *p, struct rt_control *c, rt_error *err) {
    static const char *const own[] = {"sample", "timestep", "controlnet_cond",
                                      "conditioning_scale"};
    for (int i = 0; i < rt_network_input_count(c->net); i++) {
        const struct ebru_tensor_desc *to = rt_network_input_at(c->net, i);
        bool mine = false;
        for (size_t k = 0; k < sizeof own / sizeof *own; k++) mine |= !strcmp(to->name, own[k]);
        if (mine) continue;
        const struct ebru_tensor_desc *from = rt_network_input(p->denoiser, to->name);
        if (!from || from->bytes < to->bytes || from->bytes % to->bytes)
            return rt_fail(err, RT_ERR_INTERNAL, "the denoiser has no '%s' for a control network",
                           to->name);
        memcpy(rt_network_input_buffer(c->net, to->name),
               (const char *)rt_network_input_buffer(p->denoiser, to->name) +
                   (from->bytes - to->bytes),
               (size_t)to->bytes);
    }
    return RT_OK;
}

rt_status rt_condition_control_begin(struct rt_denoiser *p, const float *timesteps, int count,
                                     rt_error *err) {
    rt_status s = RT_OK;
    if (!p->info->control_count) return RT_OK;
    fill_features(p, 0, count);
    zero_inputs(p, true);
    p->control.silent = true;
    for (int i = 0; !s && i < p->info->control_count; i++) {
        struct rt_control *c = &p->control.nets[i];
        if (!c->net || !c->every_step) continue;
        s = copy_inputs(p, c, err);
        if (!s) s = rt_network_begin(c->net, timesteps, count, err);
    }
    return s;
}

/* Factors of the results: in guess mode from a tenth for the finest to one for the mid block. */
static void fill_scales(struct rt_denoiser *p, int i) {
    struct rt_control *c = &p->control.nets[i];
    const struct ebru_tensor_desc *d = rt_network_input(c->net, "conditioning_scale");
    float *scales = rt_network_input_buffer(c->net, "conditioning_scale");
    bool rises = p->control.guess && !p->info->controls[i].pooled;
    if (d)
        rt_control_scales((float)p->settings->controls[i].scale, rises, (size_t)d->dim[0], scales);
}

void rt_condition_control_step(struct rt_denoiser *p, int k, int count) {
    if (!p->info->control_count) return;
    if (fill_features(p, k, count)) rt_network_refresh(p->denoiser);
    bool any = false;
    for (int i = 0; i < p->info->control_count; i++) {
        struct rt_control *c = &p->control.nets[i];
        if (!c->every_step || !works(p, i, k, count)) continue;
        float *sample = rt_network_input_buffer(c->net, "sample");
        size_t n = (size_t)p->batch * p->latent,
               halves = (size_t)rt_network_batch(c->net) / (size_t)p->batch;
        for (size_t h = 0; h < halves; h++) memcpy(sample + h * n, p->scaled, n * sizeof *sample);
        fill_scales(p, i);
        rt_network_step(c->net, k);
        if (!any) zero_inputs(p, true);
        any = true;
        add_results(p, c, 1);
    }
    if (!any && !p->control.silent) zero_inputs(p, true);
    p->control.silent = !any;
}
