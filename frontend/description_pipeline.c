/* The pipeline section of a model description: what the program's loop does with the functions; see
 * docs/model-language.md. */
#include <string.h>

#include "frontend/description_check.h"
#include "frontend/diffusers.h"

enum { MAX_CLASSES = 100000 };

static const char *const kinds[] = {"none", "text_to_image", "class_to_image", "unconditional"};
enum { NONE, TEXT, CLASS, UNCONDITIONAL, KINDS };

static size_t kind_of(fe_jval pipeline) {
    fe_jval v = fe_json_get(pipeline, "kind");
    const char *word;
    if (!fe_json_is(v, FE_JSON_STRING) || !fe_json_string(v, &word)) return NONE;
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(word, kinds[i]) == 0) return i;
    return NONE;
}

const char *fe_desc_denoiser(fe_jval pipeline) {
    return kind_of(pipeline) == NONE ? NULL : fe_json_opt_string(pipeline, "denoiser", "unet");
}

bool fe_desc_guidance(fe_jval pipeline) {
    return fe_json_opt_bool(pipeline, "guidance", kind_of(pipeline) == TEXT);
}

/* The function a key names; NULL after reporting (or silently, when it is not `needed` and absent). */
static const ir_func *function(const ir_module *m, fe_jval pipeline, const char *key, const char *fallback,
                               bool needed) {
    fe_jval v = fe_json_get(pipeline, key);
    const char *name = fallback;
    if (fe_json_present(v) && !fe_json_string(v, &name)) return NULL;
    const ir_func *f = ir_func_find(m, name);
    if (!f && (needed || fe_json_present(v)))
        fe_json_error(fe_json_present(v) ? v : pipeline, "the %s '%s' is not among the functions", key,
                      ir_escape(name, strlen(name)));
    return f;
}

static const ir_type *input(const ir_func *f, const char *name) {
    for (size_t i = 0; i < f->inputs.count; i++)
        if (strcmp(IR_ATTRS(ir_get(f, f->inputs.items[i]), input)->name, name) == 0)
            return ir_typeof(f, f->inputs.items[i]);
    return NULL;
}

static const ir_type *output(const ir_func *f, const char *name) {
    for (size_t i = 0; i < f->outputs.count; i++)
        if (strcmp(f->outputs.items[i].name, name) == 0) return ir_typeof(f, f->outputs.items[i].value);
    return NULL;
}

static bool needs(fe_jval pipeline, const ir_func *f, const ir_type *t, const char *what, const char *name) {
    if (t) return true;
    fe_json_error(pipeline, "function '%s' needs an %s '%s' for this kind of pipeline", f->name, what, name);
    return false;
}

static bool image_meta(ir_module *m, fe_jval at, const char *what, const ir_type *t) {
    static const char *const axes[] = {"channels", "height", "width"};
    if (t->rank != 4) {
        fe_json_error(at, "the %s of the loop must be an image [B,C,H,W]", what);
        return false;
    }
    for (int i = 0; i < 3; i++) {
        char key[64];
        snprintf(key, sizeof key, "%s.%s", what, axes[i]);
        ir_meta_set_int(m, key, t->dim[i + 1]);
    }
    return true;
}

/* "classes": their number, or their names. */
static bool read_classes(ir_module *m, fe_jval pipeline) {
    fe_jval v = fe_json_require(pipeline, "classes");
    int64_t n = 0;
    const char *name;
    if (!fe_json_present(v)) return false;
    if (!fe_json_is(v, FE_JSON_ARRAY)) {
        if (!fe_json_int(v, &n, 1, MAX_CLASSES)) return false;
        ir_meta_set_int(m, "classes.count", n);
        return true;
    }
    bool fine = true;
    for (fe_jval c = fe_json_first(v); fe_json_present(c); c = fe_json_next(c), n++) {
        char key[32];
        snprintf(key, sizeof key, "class.%lld", (long long)n);
        if (fe_json_string(c, &name))
            ir_meta_set_string(m, key, name);
        else
            fine = false;
    }
    ir_meta_set_int(m, "classes.count", n);
    if (!n) fe_json_error(v, "'classes' is empty");
    return fine && n > 0;
}

static bool read_decoder(ir_module *m, fe_jval pipeline, const ir_type *sample) {
    const ir_func *f = function(m, pipeline, "decoder", "vae.decode", false);
    int64_t scale = fe_json_opt_int(pipeline, "scale", 1, 1, 64);
    ir_meta_set_int(m, "vae.scale", scale);
    if (!f)
        return !fe_json_present(fe_json_get(pipeline, "decoder")) && image_meta(m, pipeline, "image", sample);
    const ir_type *latent = input(f, "latent"), *image = output(f, "image");
    if (!needs(pipeline, f, latent, "input", "latent") || !needs(pipeline, f, image, "output", "image"))
        return false;
    if (!ir_shape_equal(latent, sample)) {
        fe_json_error(pipeline, "the decoder's latent has another shape than the denoiser's sample");
        return false;
    }
    ir_meta_set_string(m, "pipeline.decoder", f->name);
    ir_meta_set_float(m, "vae.scaling_factor", fe_json_opt_double(pipeline, "scaling_factor", 1.0));
    ir_meta_set_float(m, "vae.shift_factor", fe_json_opt_double(pipeline, "shift_factor", 0.0));
    return image_meta(m, pipeline, "image", image);
}

/* "tokenizer": a folder beside the description. */
static bool read_tokenizer(ir_diag *d, ir_module *m, fe_jval pipeline, const char *path, int64_t tokens) {
    fe_jval v = fe_json_require(pipeline, "tokenizer");
    const char *name;
    if (!fe_json_present(v)) return false;
    ir_loc loc = fe_json_loc(v);
    if (!fe_json_string(v, &name) || !fe_check_name(d, &loc, "folder", name, strlen(name))) return false;
    const char *slash = strrchr(path, '/');
    const char *folder = slash ? ir_arena_strndup(m->arena, path, (size_t)(slash - path)) : ".";
    fe_dir *dir = fe_dir_open(d, fe_path_join(m->arena, slash == path ? "/" : folder, name));
    bool fine = dir && fe_tokenizer_meta(d, m, "tokenizer", dir, tokens);
    fe_dir_close(dir);
    return fine;
}

static bool read_text(ir_diag *d, ir_module *m, fe_jval pipeline, const ir_func *denoiser, const char *path) {
    const ir_func *f = function(m, pipeline, "text_encoder", "text_encoder", true);
    const char *name = fe_json_opt_string(pipeline, "text_output", "last_hidden_state");
    const ir_type *context = input(denoiser, "encoder_hidden_states");
    if (!f || !needs(pipeline, denoiser, context, "input", "encoder_hidden_states")) return false;
    const ir_type *ids = input(f, "input_ids"), *state = output(f, name);
    if (!needs(pipeline, f, ids, "input", "input_ids") || !needs(pipeline, f, state, "output", name))
        return false;
    if (!ir_shape_equal(context, state) || ids->rank != 2) {
        fe_json_error(pipeline, "the text encoder's '%s' has another shape than the denoiser's context",
                      name);
        return false;
    }
    ir_meta_set_string(m, "pipeline.text_encoder", f->name);
    ir_meta_set_string(m, "pipeline.text_output", name);
    ir_meta_set_int(m, "text.max_length", ids->dim[1]);
    ir_meta_set_int(m, "text.width", state->dim[state->rank - 1]);
    return read_tokenizer(d, m, pipeline, path, ids->dim[1]);
}

static bool read_sampler(ir_module *m, fe_jval pipeline) {
    fe_jval s = fe_json_require(pipeline, "sampler");
    if (!fe_json_present(s) || !fe_json_expect(s, FE_JSON_OBJECT)) return false;
    ir_meta_set_int(m, "sampler.steps", fe_json_opt_int(s, "steps", 50, 1, 1000000));
    ir_meta_set_float(m, "sampler.guidance", fe_json_opt_double(s, "guidance", 1.0));
    return fe_scheduler_section_meta(m, s);
}

static bool read_loop(ir_diag *d, ir_module *m, fe_jval pipeline, size_t kind, const char *path,
                      const fe_options *o) {
    const ir_func *f = function(m, pipeline, "denoiser", "unet", true);
    if (!f) return false;
    const ir_type *sample = input(f, "sample"), *t = input(f, "timestep"), *out = output(f, "sample");
    if (!needs(pipeline, f, sample, "input", "sample") || !needs(pipeline, f, t, "input", "timestep") ||
        !needs(pipeline, f, out, "output", "sample"))
        return false;
    bool fine = true;
    if (!ir_shape_equal(sample, out)) {
        fe_json_error(pipeline, "the denoiser's result has another shape than its sample");
        fine = false;
    }
    ir_meta_set_string(m, "pipeline.denoiser", f->name);
    ir_meta_set_int(m, "pipeline.guidance", o->guidance_pair && fe_desc_guidance(pipeline));
    fine &= image_meta(m, pipeline, "latent", sample);
    fine &= read_decoder(m, pipeline, sample);
    fine &= read_sampler(m, pipeline);
    if (kind == CLASS)
        fine &= read_classes(m, pipeline) &&
                needs(pipeline, f, input(f, "class_labels"), "input", "class_labels");
    if (kind == TEXT) fine &= read_text(d, m, pipeline, f, path);
    return fine;
}

bool fe_desc_pipeline(ir_diag *d, ir_module *m, fe_jval root, const char *path, const fe_options *o) {
    fe_jval pipeline = fe_json_get(root, "pipeline"), kind_value = fe_json_get(pipeline, "kind");
    size_t kind = NONE;
    bool fine = true;
    if (fe_json_present(pipeline)) {
        fe_json_require(pipeline, "kind");
        fine = fe_json_choice(kind_value, "kind of pipeline", kinds, KINDS, &kind);
    }
    if (o->component) kind = NONE; /* a component alone has no loop */
    ir_meta_set_string(m, "pipeline.kind", kinds[kind]);
    return (kind == NONE || read_loop(d, m, pipeline, kind, path, o)) && fine;
}
