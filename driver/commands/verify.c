/* ebru verify: a component against the inputs and outputs that a file holds. Every function whose
 * in. and out. tensors are there is run, compiled or in the reference evaluator, at the file's
 * shapes. With --write the inputs suffice, and what was computed becomes such a file. The tolerance
 * is that of the precision's class. */

#include "driver/commands/verify.h"
#include "base/number.h"
#include "base/suggest.h"
#include "driver/commands/commands.h"
#include "driver/commands/lower.h"
#include "driver/commands/run_program.h"
#include "driver/debug/verify_layers.h"
#include "driver/driver.h"
#include "frontend/files/files.h"
#include "frontend/files/hub_cache.h"
#include "frontend/safetensors/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct verify {
    const drv_options *o;
    base_diag *d;
    fe_st *st;
    double tolerance;
    unsigned failed, checked;
    fe_st_tensor *written; /* --write: the file's in. tensors, then what was computed */
    size_t written_count, written_inputs;
};

/* One line of the table. rms is relative to the reference's rms. */
static void compare(struct verify *v, const char *func, const char *name, const float *ours,
                    const float *theirs, size_t n) {
    double max = 0, sum = 0, ref = 0, peak = 0;
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        double e = (double)ours[i] - (double)theirs[i], a = fabs((double)theirs[i]);
        if (!isfinite(ours[i])) finite = false;
        if (fabs(e) > max) max = fabs(e);
        if (a > peak) peak = a;
        sum += e * e;
        ref += (double)theirs[i] * (double)theirs[i];
    }
    double rms = n ? sqrt(sum / (double)n) : 0, ref_rms = n ? sqrt(ref / (double)n) : 0;
    double relative = ref_rms > 0 ? rms / ref_rms : rms;
    double psnr = rms > 0 ? 20 * log10(2 * peak / rms) : INFINITY;
    bool pass = finite && relative <= v->tolerance;
    printf("%s %s: max abs %.3e, rms/ref %.3e, PSNR %.1f dB, %s%s\n", base_shown(func),
           base_shown(name), max, relative, psnr, pass ? "PASS" : "FAIL",
           finite ? "" : " (not finite)");
    v->checked++;
    v->failed += !pass;
}

static const fe_st_tensor *find(const struct verify *v, const char *direction, const char *name) {
    char key[300];
    snprintf(key, sizeof key, "%s.%s", direction, name);
    return fe_st_find(v->st, key);
}

static size_t count_of(const fe_st_tensor *t) {
    size_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++) n *= (size_t)t->dims[i];
    return n;
}

/* True when the file has every input of f and, without --write, at least one output. */
static bool covered(const struct verify *v, const ir_func *f) {
    bool any = false;
    for (size_t i = 0; i < f->inputs.count; i++)
        if (!find(v, "in", IR_ATTRS(ir_get(f, f->inputs.items[i]), input)->name)) return false;
    for (size_t i = 0; i < f->outputs.count; i++)
        any |= find(v, "out", f->outputs.items[i].name) != NULL;
    return any || v->o->verify.write;
}

/* A file whose metadata has a scaling_factor holds the latent as pipelines keep it: the autoencoder
 * gets it divided. */
static void unscale(const struct verify *v, const char *name, float *x, size_t n) {
    const char *text = fe_st_metadata(v->st, "scaling_factor");
    double factor;
    if (!text || strcmp(name, "latent") != 0 || !base_parse_f64(text, strlen(text), &factor) ||
        !(factor > 0))
        return;
    for (size_t i = 0; i < n; i++) x[i] = (float)((double)x[i] / factor);
}

/* The file's tensor as f32 [elements of type]; a single value is repeated (a scalar timestep for a
 * batch). NULL with a diagnostic. */
static float *input_values(struct verify *v, const char *name, const ir_type *type) {
    const fe_st_tensor *t = find(v, "in", name);
    size_t n = (size_t)ir_type_elements(type), have = count_of(t);
    if (have != n && have != 1) {
        base_str s = {0};
        ir_print_type(type, &s);
        base_error(v->d, NULL, "%s: tensor 'in.%s' has %zu elements, the model expects %s",
                   v->o->verify.io, name, have, s.data);
        base_str_free(&s);
        return NULL;
    }
    float *x = base_alloc(n * sizeof *x);
    fe_st_to_f32(t, x, 0, have);
    for (size_t i = have; i < n; i++) x[i] = x[0];
    unscale(v, name, x, n);
    return x;
}

/* ---- --write ---- */

static void keep_inputs(struct verify *v) {
    size_t n = fe_st_count(v->st);
    v->written = base_alloc((n + 1) * sizeof *v->written);
    for (size_t i = 0; i < n; i++)
        if (!strncmp(fe_st_at(v->st, i)->name, "in.", 3))
            v->written[v->written_count++] = *fe_st_at(v->st, i);
    v->written_inputs = v->written_count;
}

/* A computed output; of two functions with an output of one name the first one's is kept. */
static void keep_output(struct verify *v, const char *name, const ir_type *type, const float *x) {
    size_t length = strlen(name) + sizeof "out.",
           bytes = (size_t)ir_type_elements(type) * sizeof *x;
    char *key = base_alloc(length);
    snprintf(key, length, "out.%s", name);
    for (size_t i = v->written_inputs; i < v->written_count; i++)
        if (!strcmp(v->written[i].name, key)) {
            base_free(key);
            return;
        }
    fe_st_tensor t = {.name = key, .dtype = FE_ST_F32, .rank = type->rank, .bytes = bytes};
    for (uint32_t i = 0; i < type->rank; i++) t.dims[i] = type->dim[i];
    t.count = bytes / sizeof *x;
    t.data = memcpy(base_alloc(bytes + 1), x, bytes);
    v->written = base_realloc(v->written, (v->written_count + 1) * sizeof *v->written);
    v->written[v->written_count++] = t;
}

static void write_kept(struct verify *v) {
    if (v->written_count > v->written_inputs && !base_diag_errors(v->d))
        fe_st_write(v->d, v->o->verify.write, v->written, v->written_count, NULL, 0);
    for (size_t i = v->written_inputs; i < v->written_count; i++) {
        base_free((void *)(uintptr_t)v->written[i].name);
        base_free((void *)(uintptr_t)v->written[i].data);
    }
    base_free(v->written);
}

/* ---- running ---- */

static void report(struct verify *v, const ir_func *f, const char *name, const float *ours,
                   size_t n) {
    if (name[0] == '%')
        return; /* between the stages of a split network, in a layout of the compiler's */
    for (size_t i = 0; v->o->verify.write && i < f->outputs.count; i++) {
        const ir_type *type = ir_typeof(f, f->outputs.items[i].value);
        if (!strcmp(f->outputs.items[i].name, name) && (size_t)ir_type_elements(type) == n)
            keep_output(v, name, type, ours);
    }
    const fe_st_tensor *t = find(v, "out", name);
    if (!t) return;
    if (count_of(t) != n) {
        base_error(v->d, NULL, "%s: tensor 'out.%s' has %zu elements, the model gives %zu",
                   v->o->verify.io, name, count_of(t), n);
        return;
    }
    float *theirs = base_alloc(n * sizeof *theirs);
    fe_st_to_f32(t, theirs, 0, n);
    compare(v, f->name, name, ours, theirs, n);
    base_free(theirs);
}

static void run_evaluator(struct verify *v, const ir_func *f) {
    ir_tensor *in = base_alloc(sizeof *in * (f->inputs.count + 1)),
              *out = base_alloc(sizeof *out * (f->outputs.count + 1));
    bool ok = true;
    for (size_t i = 0; i < f->inputs.count; i++) {
        const ir_node *n = ir_get(f, f->inputs.items[i]);
        in[i] = (ir_tensor){n->type, input_values(v, IR_ATTRS(n, input)->name, &n->type)};
        ok &= in[i].data != NULL;
    }
    if (ok) ir_eval(f, in, out, NULL);
    for (size_t i = 0; ok && i < f->outputs.count; i++) {
        report(v, f, f->outputs.items[i].name, out[i].data, (size_t)ir_type_elements(&out[i].type));
        ir_tensor_free(&out[i]);
    }
    for (size_t i = 0; i < f->inputs.count; i++) ir_tensor_free(&in[i]);
    base_free(in);
    base_free(out);
}

/* --call frames: "NAME BYTES\n" and the bytes. */
static bool frame_inputs(struct verify *v, const ir_func *f, base_str *frames) {
    for (size_t i = 0; i < f->inputs.count; i++) {
        const ir_node *n = ir_get(f, f->inputs.items[i]);
        const char *name = IR_ATTRS(n, input)->name;
        size_t count = (size_t)ir_type_elements(&n->type);
        float *x = input_values(v, name, &n->type);
        if (!x) return false;
        if (n->type.dtype == IR_i32)
            for (size_t k = 0; k < count; k++) {
                int32_t whole = (int32_t)x[k];
                memcpy(&x[k], &whole, sizeof whole);
            }
        base_str_addf(frames, "%s %zu\n", name, count * sizeof *x);
        base_str_addn(frames, (const char *)x, count * sizeof *x);
        base_free(x);
    }
    return true;
}

/* An output of integers. */
static bool is_whole(const ir_func *f, const char *name) {
    for (size_t i = 0; i < f->outputs.count; i++)
        if (!strcmp(f->outputs.items[i].name, name))
            return ir_typeof(f, f->outputs.items[i].value)->dtype == IR_i32;
    return false;
}

static void read_frames(struct verify *v, const ir_func *f, const char *text, size_t length) {
    size_t at = 0;
    while (at < length) {
        const char *newline = memchr(text + at, '\n', length - at);
        const char *blank = newline ? memrchr(text + at, ' ', (size_t)(newline - text) - at) : NULL;
        char name[300];
        unsigned long long bytes;
        if (!blank || sscanf(blank, " %llu", &bytes) != 1 ||
            blank - (text + at) >= (ptrdiff_t)sizeof name ||
            bytes > length - (size_t)(newline + 1 - text)) {
            base_error(v->d, NULL, "the program's output is not in frames");
            return;
        }
        snprintf(name, sizeof name, "%.*s", (int)(blank - (text + at)), text + at);
        float *x = base_alloc((size_t)bytes);
        memcpy(x, newline + 1, (size_t)bytes);
        if (is_whole(f, name))
            for (size_t i = 0; i < (size_t)bytes / sizeof *x; i++) {
                int32_t whole;
                memcpy(&whole, &x[i], sizeof whole);
                x[i] = (float)whole;
            }
        report(v, f, name, x, (size_t)bytes / sizeof *x);
        base_free(x);
        at = (size_t)(newline + 1 - text) + (size_t)bytes;
    }
}

static void run_compiled(struct verify *v, const ir_func *f, const char *program) {
    base_str frames = {0};
    char threads[24], call[300];
    snprintf(threads, sizeof threads, "%lld", (long long)v->o->run.threads);
    snprintf(call, sizeof call, "--call=%s", f->name);
    const char *emulated[] = {
        v->o->run.emulator, program, call, v->o->run.threads ? "-t" : NULL, threads, NULL};
    const char *const *argv = emulated + (v->o->run.emulator == NULL);
    char *out = NULL;
    size_t out_bytes = 0;
    if (frame_inputs(v, f, &frames)) {
        int code = drv_run(v->d, argv, frames.data, frames.len, &out, &out_bytes);
        if (code > 0) base_error(v->d, NULL, "the compiled program ended with %d", code);
        if (code == 0) read_frames(v, f, out, out_bytes);
    }
    base_free(out);
    base_str_free(&frames);
}

fe_st *drv_io_open(base_diag *d, const char *path) {
    fe_st *st = fe_st_open(d, path);
    if (!st && !fe_path_exists(path)) fe_hub_advice(d, path, FE_HUB_TENSORS);
    return st;
}

fe_shape *drv_io_shapes(const fe_st *st, uint32_t *count) {
    size_t n = fe_st_count(st);
    fe_shape *s = base_alloc((n + 1) * sizeof *s);
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        const fe_st_tensor *t = fe_st_at(st, i);
        if (strncmp(t->name, "in.", 3) != 0) continue;
        fe_shape *to = &s[(*count)++];
        to->name = t->name + 3;
        to->rank = t->rank;
        for (uint32_t k = 0; k < t->rank && k < IR_MAX_RANK; k++) to->dim[k] = (int64_t)t->dims[k];
    }
    return s;
}

static bool has_input(const ir_func *f, const char *name) {
    for (size_t i = 0; i < f->inputs.count; i++)
        if (!strcmp(IR_ATTRS(ir_get(f, f->inputs.items[i]), input)->name, name)) return true;
    return false;
}

/* Inputs that every U-Net of diffusers may be called with, and that some do not look at. */
static bool may_be_ignored(const ir_module *m, const char *name) {
    static const char *const names[] = {"encoder_hidden_states", "class_labels", "timestep_cond",
                                        "text_embeds", "time_ids"};
    bool unet = false, known = false;
    for (size_t i = 0; i < m->funcs.count; i++)
        unet |= has_input(m->funcs.items[i], "sample") && has_input(m->funcs.items[i], "timestep");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) known |= !strcmp(name, names[i]);
    /* an adapter's features beyond the U-Net's resolutions */
    known |= strstr(name, "down_intrablock_additional_residuals.") == name;
    return unet && known;
}

/* Inputs of the file that no function has would be left out of what is compared: they are refused,
 * each with the name it may have meant. */
static bool inputs_known(const struct verify *v, const ir_module *m) {
    BASE_VEC(const char *) names = {0};
    bool fine = true;
    for (size_t i = 0; i < m->funcs.count; i++) {
        const ir_func *f = m->funcs.items[i];
        for (size_t k = 0; k < f->inputs.count; k++)
            BASE_PUSH(&names, IR_ATTRS(ir_get(f, f->inputs.items[k]), input)->name);
    }
    for (size_t i = 0; i < fe_st_count(v->st); i++) {
        const char *tensor = fe_st_at(v->st, i)->name, *name = tensor + 3;
        bool known = strncmp(tensor, "in.", 3) != 0;
        for (size_t k = 0; !known && k < m->funcs.count; k++)
            known = has_input(m->funcs.items[k], name);
        if (known) continue;
        const char *shown = base_escape(tensor, strlen(tensor));
        if (may_be_ignored(m, name) || v->o->load.function) {
            base_warning(v->d, NULL, "%s: the model does not read '%s'", v->o->verify.io, shown);
            continue;
        }
        char hint[BASE_HINT_MAX];
        base_error(v->d, NULL, "%s: the model has no input for the tensor '%s'%s", v->o->verify.io,
                   shown, base_hint(base_suggest(name, names.items, names.count), hint));
        fine = false;
    }
    base_free(names.items);
    return fine;
}

static void run_all(struct verify *v, const ir_module *m, const char *program) {
    for (size_t i = 0; i < m->funcs.count; i++) {
        const ir_func *f = m->funcs.items[i];
        if (!covered(v, f)) continue;
        if (program)
            run_compiled(v, f, program);
        else
            run_evaluator(v, f);
    }
}

/* The evaluator's word on a precision: functions after the passes that lower them, whole. */
static void evaluate_lowered(struct verify *v, const fe_options *fe) {
    static const char *const splitters[] = {"split_stages", "split_packing"};
    drv_options o = *v->o;
    drv_build b = {0};
    o.passes.stop_after = "dce_fused";
    for (int i = 0; i < 2 && o.passes.disabled_count < DRV_MAX_DISABLED; i++)
        o.passes.disabled[o.passes.disabled_count++] = splitters[i];
    if (drv_lower(v->d, &o, fe, &b)) run_all(v, b.levels[0].module, NULL);
    drv_build_free(&b);
}

static void verify_model(struct verify *v, const fe_options *fe) {
    ir_module *m = drv_load(v->d, v->o->model, fe);
    if (!m || (drv_is_ir(v->o->model) && !fe_bind_ir_weights(v->d, m)) || !inputs_known(v, m)) {
        ir_module_free(m);
        return;
    }
    drv_temp temp = {0};
    drv_build b = {0};
    cg_result result;
    if (v->o->verify.evaluator && v->o->code.products != IR_PRECISION_F32) {
        evaluate_lowered(v, fe);
    } else if (v->o->verify.evaluator) {
        run_all(v, m, NULL);
    } else if (drv_temp_new(v->d, &temp)) {
        if (drv_lower(v->d, v->o, fe, &b) &&
            drv_emit(v->d, v->o, &b, temp.program.data, CG_EXE, &result))
            run_all(v, m, temp.program.data);
        drv_build_free(&b);
        drv_temp_free(&temp);
    }
    ir_module_free(m);
}

int drv_verify(const drv_options *given) {
    drv_options o = *given;
    struct verify v = {.o = &o, .tolerance = ir_precision_error[given->code.products]};
    if (o.verify.layers || o.verify.layers_passes || o.verify.layers_kernels)
        return drv_layers(given);
    if (!o.verify.io) {
        fprintf(stderr, "ebru: error: verify: name the reference tensors with --io=FILE\n");
        return DRV_USAGE;
    }
    if (o.verify.tolerance) {
        char *end;
        v.tolerance = strtod(o.verify.tolerance, &end);
        if (*end || end == o.verify.tolerance || !(v.tolerance > 0)) {
            fprintf(stderr, "ebru: error: --tolerance expects a positive number\n");
            return DRV_USAGE;
        }
    }
    o.common.quiet = true;
    v.d = drv_diag(&o.common);
    v.st = drv_io_open(v.d, o.verify.io);
    if (v.st) {
        uint32_t count;
        fe_shape *s = drv_io_shapes(v.st, &count);
        fe_options fe = drv_fe_options(&o.load);
        fe.guidance_pair = false;
        fe.shared_timestep = false;
        fe.shapes = s;
        fe.shape_count = count;
        if (o.verify.write) keep_inputs(&v);
        verify_model(&v, &fe);
        base_free(s);
        if (!base_diag_errors(v.d) && !v.checked && v.written_count == v.written_inputs)
            base_error(v.d, NULL, "%s holds %s of none of the model's functions", o.verify.io,
                       o.verify.write ? "the inputs" : "inputs and outputs");
        write_kept(&v);
    }
    fe_st_close(v.st);
    base_diag_flush(v.d);
    int code = base_diag_errors(v.d) || v.failed ? DRV_INPUT : DRV_OK;
    base_diag_free(v.d);
    return code;
}
