/* Paints, and keeps what functions are given on the way. */
#include "driver/quantize/recording.h"
#include "base/text.h"
#include "driver/cli/read_text.h"
#include "driver/debug/eval_network.h"
#include "runtime/engine/staged_network.h"
#include "runtime/pipeline/pipeline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_STEPS = 20, OTHER_CALLS = 2, MOST_NETWORKS = 64 };

/* ---- prompts ---- */

bool quant_prompts_read(base_diag *d, const char *path, quant_prompts *out) {
    static const char *const own[] = {
        "a red circle on a white background",
        "a photograph of an astronaut riding a horse",
        "an oil painting of a village by the sea at sunset",
        "a large yellow star on a blue background",
        "portrait of an old man, soft light",
        "a bowl of fruit on a wooden table",
    };
    *out = (quant_prompts){.given = path != NULL};
    for (size_t i = 0; !path && i < sizeof own / sizeof *own; i++) BASE_PUSH(&out->items, own[i]);
    if (!path) return true;
    if (!drv_read_text(d, path, (size_t)1 << 24, &out->text)) return false;
    char *line = (char *)(uintptr_t)out->text.data, *end = line + out->text.size;
    while (line < end) {
        char *next = memchr(line, '\n', (size_t)(end - line));
        if (!next) next = end;
        char *last = next;
        while (last > line && (last[-1] == '\r' || last[-1] == ' ' || last[-1] == '\t')) last--;
        if (last > line) {
            char *copy = base_alloc((size_t)(last - line) + 1);
            memcpy(copy, line, (size_t)(last - line));
            BASE_PUSH(&out->items, copy);
        }
        line = next + 1;
    }
    if (!out->items.count)
        base_error(d, NULL, "--prompts: '%s' has no prompts; a line is one",
                   base_escape(path, strlen(path)));
    return out->items.count > 0;
}

void quant_prompts_free(quant_prompts *p) {
    for (size_t i = 0; p->given && i < p->items.count; i++)
        base_free((void *)(uintptr_t)p->items.items[i]);
    base_free(p->items.items);
    fe_bytes_free(&p->text);
    *p = (quant_prompts){0};
}

/* ---- calls ---- */

static quant_value copy_value(const struct ebru_tensor_desc *t, const void *data) {
    quant_value v = {base_alloc(strlen(t->name) + 1), base_alloc((size_t)t->bytes + 1), t->bytes};
    strcpy(v.name, t->name);
    memcpy(v.data, data, (size_t)t->bytes);
    return v;
}

static void call_free(quant_call *c) {
    for (size_t i = 0; i < c->in.count; i++) {
        base_free(c->in.items[i].name);
        base_free(c->in.items[i].data);
    }
    for (size_t i = 0; i < c->out.count; i++) {
        base_free(c->out.items[i].name);
        base_free(c->out.items[i].data);
    }
    base_free(c->in.items);
    base_free(c->out.items);
    base_free(c->function);
    *c = (quant_call){0};
}

void quant_recording_free(quant_recording *r) {
    for (size_t i = 0; i < r->calls.count; i++) call_free(&r->calls.items[i]);
    base_free(r->calls.items);
    *r = (quant_recording){0};
}

static const quant_value *named(const quant_value *values, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(values[i].name, name)) return &values[i];
    return NULL;
}
const quant_value *quant_call_input(const quant_call *c, const char *name) {
    return named(c->in.items, c->in.count, name);
}
const quant_value *quant_call_output(const quant_call *c, const char *name) {
    return named(c->out.items, c->out.count, name);
}

typedef struct recorder {
    const struct ebru_model *tables;
    quant_recording *to;
} recorder;

static void observe(void *user, int function, const struct ebru_call *call) {
    const recorder *r = user;
    const struct ebru_function_desc *f = &r->tables->functions[function];
    if (base_ends_with(f->name, ".schedule")) return; /* steps read what it gave */
    quant_call c = {.function = base_alloc(strlen(f->name) + 1), .weight = 1};
    strcpy(c.function, f->name);
    for (int32_t i = 0; i < f->input_count; i++)
        BASE_PUSH(&c.in, copy_value(&f->inputs[i], call->inputs[i]));
    for (int32_t i = 0; i < f->output_count; i++)
        BASE_PUSH(&c.out, copy_value(&f->outputs[i], call->outputs[i]));
    BASE_PUSH(&r->to->calls, c);
}

/* ---- which calls are kept ---- */

static bool is_loop(const quant_recording *r, size_t from, const char *denoiser, size_t i) {
    const char *name = r->calls.items[i].function;
    const size_t n = strlen(denoiser);
    (void)from;
    return !strncmp(name, denoiser, n) && (name[n] == 0 || name[n] == '@' || name[n] == '.') &&
           !base_ends_with(name, ".prompt");
}

/* Sample k of `samples` is of painting k modulo `paintings`, and as far along the steps as k is
 * among the samples. */
static bool is_sample(size_t call, size_t calls, uint32_t painting, uint32_t paintings,
                      uint32_t samples) {
    for (uint32_t k = painting; k < samples; k += paintings)
        if ((size_t)((k + 0.5) * (double)calls / samples) == call) return true;
    return false;
}

/* An error of 1e-3, small enough for samplers that clip, in one evaluation, no error and no sample
 * in those before it: samplers are linear. What the later steps make of it is left out. By the
 * sampler's arithmetic alone they would enlarge early errors beyond all others, but the network
 * sees the sample that an error has changed, and takes it back. */
bool quant_step_weights(const rt_sampler_config *config, int steps, double *out) {
    enum { N = 16 };
    static const float small = 1e-3f, none[N] = {0};
    rt_sampler *s = NULL;
    rt_error err;
    bool fine = !rt_sampler_new(&s, config, steps, N, &err);
    const int count = fine ? rt_sampler_evaluations(s) : 0;
    for (int at = 0; at < count; at++) {
        float x[N] = {0}, result[N];
        rt_sampler_reset(s);
        for (int k = 0; k <= at; k++) {
            for (int i = 0; i < N; i++) result[i] = k == at ? small : 0;
            fine &= !rt_sampler_step(s, k, x, result, none, &err);
        }
        if (at + 1 < count) rt_sampler_scale_input(s, at + 1, x, x);
        const double reached = (double)x[0] / (double)small;
        out[at] = reached * reached;
        fine &= isfinite(out[at]);
    }
    rt_sampler_free(s);
    return fine;
}

static void weigh(quant_recording *r, size_t from, const char *denoiser, const double *weights,
                  size_t count) {
    for (size_t i = from, at = 0; i < r->calls.count; i++)
        if (is_loop(r, from, denoiser, i) && at < count) r->calls.items[i].weight = weights[at++];
}

static void thin_out(quant_recording *r, size_t from, const char *denoiser, uint32_t painting,
                     uint32_t paintings, uint32_t samples) {
    size_t loop = 0, at = 0, kept = from;
    for (size_t i = from; i < r->calls.count; i++) loop += is_loop(r, from, denoiser, i);
    for (size_t i = from; i < r->calls.count; i++) {
        quant_call *c = &r->calls.items[i];
        bool keep;
        if (is_loop(r, from, denoiser, i)) {
            keep = is_sample(at++, loop, painting, paintings, samples);
        } else {
            size_t before = 0;
            for (size_t k = from; k < kept; k++)
                before += !strcmp(r->calls.items[k].function, c->function);
            keep = before < OTHER_CALLS;
        }
        quant_call moved = *c;
        *c = (quant_call){0};
        if (keep)
            r->calls.items[kept++] = moved;
        else
            call_free(&moved);
    }
    r->calls.count = kept;
}

/* ---- painting ---- */

static rt_status finished(void *user, int index, const uint8_t *pixels, rt_error *err) {
    (void)user, (void)index, (void)pixels, (void)err;
    return RT_OK;
}

/* A disc on a slope of grey: something with areas and edges, for models that begin with a
 * picture. */
static void make_up_pictures(const rt_pipeline_info *info, rt_pictures *p) {
    const bool small = info->condition == EBRU_CONDITION_LOW_RESOLUTION;
    const int w = small ? info->latent_width : info->width,
              h = small ? info->latent_height : info->height;
    p->init = base_alloc((size_t)w * (size_t)h * (size_t)info->channels);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < info->channels; c++) {
                const double dx = (x + 0.5) / w - 0.5, dy = (y + 0.5) / h - 0.5;
                const bool disc = dx * dx + dy * dy < 0.1;
                p->init[((size_t)y * (size_t)w + (size_t)x) * (size_t)info->channels + (size_t)c] =
                    (uint8_t)(disc ? 220 - 60 * c : 40 + 160 * x / w);
            }
    if (info->condition == EBRU_CONDITION_INPAINT) {
        p->mask = base_alloc((size_t)w * (size_t)h);
        for (int i = 0; i < w * h; i++) p->mask[i] = i % w < w / 2 ? 255 : 0;
    }
    if (info->condition != EBRU_CONDITION_DEPTH) return;
    const int n = info->latent_width * info->latent_height;
    p->depth = base_alloc((size_t)n * sizeof *p->depth);
    for (int i = 0; i < n; i++) p->depth[i] = (float)(2.0 * i / n - 1);
}

/* The outline of a disc, as a map of edges. */
static void make_up_controls(const rt_pipeline_info *info, rt_settings *s) {
    for (int i = 0; i < info->control_count; i++) {
        const rt_control_info *c = &info->controls[i];
        const size_t area = (size_t)c->width * (size_t)c->height, n = area * (size_t)c->channels;
        s->controls[i] = (rt_control_setting){c->scale, 0, 1};
        s->pictures.controls[i] = base_alloc(n * sizeof *s->pictures.controls[i]);
        for (size_t k = 0; k < n; k++) {
            const size_t at = k % area, width = (size_t)c->width;
            const double dx = ((double)(at % width) + 0.5) / c->width - 0.5,
                         dy = ((double)(at / width) + 0.5) / c->height - 0.5;
            const double r = dx * dx + dy * dy;
            s->pictures.controls[i][k] = r > 0.09 && r < 0.1;
        }
    }
}

static void pictures_free(rt_pictures *p) {
    for (int i = 0; i < RT_MAX_CONTROLS; i++) base_free(p->controls[i]);
    base_free(p->init);
    base_free(p->mask);
    base_free(p->depth);
}

static rt_status paint(quant_code *code, const rt_pipeline_info *info, const quant_prompts *prompts,
                       uint32_t paintings, uint32_t samples, bool quiet, quant_recording *out,
                       rt_error *err) {
    rt_progress progress;
    rt_progress_open(&progress, 2, quiet ? RT_PROGRESS_NONE : RT_PROGRESS_AUTO);
    const int most = rt_sampler_most_steps(&info->sampler);
    rt_settings s = {.steps = info->default_steps < MOST_STEPS ? info->default_steps : MOST_STEPS,
                     .guidance = info->default_guidance,
                     .strength = info->condition ? info->default_strength : 1,
                     .noise_level = info->noise_level,
                     .sampler = info->sampler,
                     .progress = &progress,
                     .quiet = true,
                     .finished = finished};
    if (s.steps > most) s.steps = most;
    if (info->condition) make_up_pictures(info, &s.pictures);
    make_up_controls(info, &s);
    out->pictures_made_up = info->condition != EBRU_CONDITION_NONE || info->control_count > 0;
    out->steps = (uint32_t)s.steps;
    rt_sampler *sampler = NULL;
    rt_status status = rt_sampler_new(&sampler, &s.sampler, s.steps, 1, err);
    size_t evaluations = status ? 0 : (size_t)rt_sampler_evaluations(sampler);
    double *weights = base_alloc((evaluations + 1) * sizeof *weights);
    rt_sampler_free(sampler);
    if (!status && !quant_step_weights(&s.sampler, s.steps, weights)) evaluations = 0;
    for (uint32_t p = 0; p < paintings && !status; p++) {
        rt_request r = {.seed = 1000 + p};
        if (info->kind == EBRU_PIPELINE_TEXT) {
            r.prompt = prompts->items.items[p % prompts->items.count];
            r.prompt_length = strlen(r.prompt);
        }
        if (info->classes) r.class_label = (int32_t)(p % (uint32_t)info->classes);
        const size_t from = out->calls.count;
        status = rt_denoise(&code->engine, info, &r, 1, &s, err);
        weigh(out, from, info->denoiser, weights, evaluations);
        thin_out(out, from, info->denoiser, p, paintings, samples);
        out->paintings = p + 1;
    }
    rt_progress_close(&progress);
    pictures_free(&s.pictures);
    base_free(weights);
    return status;
}

/* ---- networks without a pipeline ---- */

static bool fill_input(base_diag *d, rt_network *n, const net *shape, const char *name,
                       uint64_t seed) {
    for (size_t i = 0; i < shape->entries.count; i++) {
        const net_entry *e = &shape->entries.items[i];
        const ir_node *node = ir_get(e->f, e->node);
        if (!net_is_external(e) || strcmp(IR_ATTRS(node, input)->name, name) != 0) continue;
        ir_tensor t;
        if (!net_input_value(d, shape, e, &(net_inputs){.seed = seed}, &t)) return false;
        const int64_t count = ir_type_elements(&t.type);
        for (int64_t k = 0; k < count && node->type.dtype == IR_i32; k++) {
            const int32_t whole = (int32_t)t.data[k];
            memcpy(&t.data[k], &whole, sizeof whole);
        }
        memcpy(rt_network_input_buffer(n, name), t.data, (size_t)count * sizeof(float));
        ir_tensor_free(&t);
        return true;
    }
    return true;
}

static bool call_network(base_diag *d, quant_code *code, const ir_module *m, const char *name,
                         uint32_t samples) {
    rt_error err = {""};
    rt_network *n;
    rt_status s = rt_network_open(&n, &code->engine, name, &err);
    if (s) {
        base_error(d, NULL, "%s", err.message);
        return false;
    }
    net *shape = net_new(m, name);
    bool fine = shape != NULL;
    for (uint32_t k = 0; k < samples && fine; k++) {
        for (int i = 0; i < rt_network_input_count(n) && fine; i++)
            fine = fill_input(d, n, shape, rt_network_input_at(n, i)->name, k + 1);
        if (fine && rt_network_begin(n, NULL, 1, &err)) {
            base_error(d, NULL, "%s", err.message);
            fine = false;
        }
        if (fine) rt_network_step(n, 0);
    }
    net_free(shape);
    rt_network_free(n);
    return fine;
}

static bool call_networks(base_diag *d, quant_code *code, const ir_module *m, uint32_t samples) {
    const char *names[MOST_NETWORKS];
    const uint32_t count = net_names((ir_module *)(uintptr_t)m, names, MOST_NETWORKS);
    bool fine = true;
    for (uint32_t i = 0; i < count && fine; i++) fine = call_network(d, code, m, names[i], samples);
    return fine;
}

bool quant_record(base_diag *d, quant_code *code, const ir_module *m, const quant_prompts *prompts,
                  uint32_t samples, bool quiet, quant_recording *out) {
    rt_pipeline_info info;
    rt_error err = {""};
    recorder r = {code->model.tables, out};
    *out = (quant_recording){0};
    rt_status s = rt_pipeline_read(&info, code->model.tables, &err);
    code->engine.observe = observe;
    code->engine.observer = &r;
    bool fine = !s;
    if (!s && info.kind == EBRU_PIPELINE_NONE) {
        fine = call_networks(d, code, m, samples);
    } else if (!s) {
        const bool text = info.kind == EBRU_PIPELINE_TEXT;
        if (prompts->given && !text)
            base_warning(d, NULL, "--prompts does nothing: this model paints without a prompt");
        uint32_t paintings = (samples + 2) / 3;
        if (text && prompts->given && prompts->items.count > paintings)
            paintings = (uint32_t)prompts->items.count;
        if (paintings > samples) {
            base_warning(d, NULL,
                         "only the first %u of %zu prompts are painted; --samples=%zu paints all",
                         samples, prompts->items.count, prompts->items.count);
            paintings = samples;
        }
        s = paint(code, &info, prompts, paintings, samples, quiet, out, &err);
        fine = !s;
    }
    if (s) base_error(d, NULL, "%s", err.message);
    code->engine.observe = NULL;
    return fine;
}
