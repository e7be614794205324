/* The pipeline section of a model description: what the program's loop does with the functions; see
 * docs/model-language.md. */
#include <string.h>

#include "frontend/defaults.h"
#include "frontend/description/description_check.h"
#include "frontend/diffusers/diffusers.h"
#include "frontend/embedding/embedding.h"
#include "frontend/tokenizer/tokenizer.h"
#include "runtime/abi/meta_keys.h"

enum { MAX_CLASSES = 100000 };

static size_t kind_of(base_jval pipeline) {
    base_jval v = base_json_get(pipeline, "kind");
    const char *word;
    if (!base_json_is(v, BASE_JSON_STRING) || !base_json_string(v, &word))
        return EBRU_PIPELINE_NONE;
    for (size_t i = 0; i < EBRU_PIPELINE_KIND_COUNT; i++)
        if (strcmp(word, ebru_pipeline_kind_name[i]) == 0) return i;
    return EBRU_PIPELINE_NONE;
}

const char *fe_desc_denoiser(base_jval pipeline) {
    return kind_of(pipeline) == EBRU_PIPELINE_NONE
               ? NULL
               : base_json_opt_string(pipeline, "denoiser", "unet");
}

bool fe_desc_guidance(base_jval pipeline) {
    return base_json_opt_bool(pipeline, "guidance", kind_of(pipeline) == EBRU_PIPELINE_TEXT);
}

/* The function a key names; NULL after reporting (or silently, when it is not `needed` and absent).
 */
static const ir_func *function(const ir_module *m, base_jval pipeline, const char *key,
                               const char *fallback, bool needed) {
    base_jval v = base_json_get(pipeline, key);
    const char *name = fallback;
    if (base_json_present(v) && !base_json_string(v, &name)) return NULL;
    const ir_func *f = ir_func_find(m, name);
    if (!f && (needed || base_json_present(v)))
        base_json_error(base_json_present(v) ? v : pipeline,
                        "the %s '%s' is not among the functions", key,
                        base_escape(name, strlen(name)));
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
        if (strcmp(f->outputs.items[i].name, name) == 0)
            return ir_typeof(f, f->outputs.items[i].value);
    return NULL;
}

static bool needs(base_jval pipeline, const ir_func *f, const ir_type *t, const char *what,
                  const char *name) {
    if (t) return true;
    base_json_error(pipeline, "function '%s' needs an %s '%s' for this kind of pipeline", f->name,
                    what, name);
    return false;
}

/* Channels, height and width of what the loop denoises, or of its pictures. */
static bool is_4d(base_jval at, const char *what, const ir_type *t) {
    if (t->rank != 4) base_json_error(at, "the %s of the loop must be an image [B,C,H,W]", what);
    return t->rank == 4;
}

static bool latent_meta(ir_module *m, base_jval at, const ir_type *t) {
    if (!is_4d(at, "latent", t)) return false;
    ir_meta_set_int(m, EBRU_META_LATENT_CHANNELS.name, t->dim[1]);
    ir_meta_set_int(m, EBRU_META_LATENT_HEIGHT.name, t->dim[2]);
    ir_meta_set_int(m, EBRU_META_LATENT_WIDTH.name, t->dim[3]);
    return true;
}

static bool image_meta(ir_module *m, base_jval at, const ir_type *t) {
    if (!is_4d(at, "image", t)) return false;
    if (t->dim[1] > 4) {
        base_json_error(at, "unsupported: pictures of %lld channels (a PNG has 1 to 4)",
                        (long long)t->dim[1]);
        return false;
    }
    ir_meta_set_int(m, EBRU_META_IMAGE_CHANNELS.name, t->dim[1]);
    ir_meta_set_int(m, EBRU_META_IMAGE_HEIGHT.name, t->dim[2]);
    ir_meta_set_int(m, EBRU_META_IMAGE_WIDTH.name, t->dim[3]);
    return true;
}

/* "classes": their number, or their names. */
static bool read_classes(ir_module *m, base_jval pipeline) {
    base_jval v = base_json_require(pipeline, "classes");
    int64_t n = 0;
    const char *name;
    if (!base_json_present(v)) return false;
    if (!base_json_is(v, BASE_JSON_ARRAY)) {
        if (!base_json_int(v, &n, 1, MAX_CLASSES)) return false;
        ir_meta_set_int(m, EBRU_META_CLASSES_COUNT.name, n);
        return true;
    }
    bool fine = true;
    for (base_jval c = base_json_first(v); base_json_present(c); c = base_json_next(c), n++) {
        char key[64];
        ebru_meta_numbered(EBRU_META_CLASS_NAME, n, key);
        if (base_json_string(c, &name))
            ir_meta_set_string(m, key, name);
        else
            fine = false;
    }
    ir_meta_set_int(m, EBRU_META_CLASSES_COUNT.name, n);
    if (!n) base_json_error(v, "'classes' is empty");
    return fine && n > 0;
}

/* *picture: the type of the loop's pictures. `latent`: of what the loop denoises. */
static bool read_decoder(ir_module *m, base_jval pipeline, const ir_type *sample,
                         const ir_type **picture) {
    const ir_func *f = function(m, pipeline, "decoder", "vae.decode", false);
    int64_t scale = base_json_opt_int(pipeline, "scale", 1, 1, 64);
    ir_meta_set_int(m, EBRU_META_VAE_SCALE.name, scale);
    *picture = sample;
    if (!f)
        return !base_json_present(base_json_get(pipeline, "decoder")) &&
               image_meta(m, pipeline, sample);
    const ir_type *latent = input(f, "latent"), *image = output(f, "image");
    if (!needs(pipeline, f, latent, "input", "latent") ||
        !needs(pipeline, f, image, "output", "image"))
        return false;
    if (!ir_shape_equal(latent, sample)) {
        base_json_error(pipeline,
                        "the decoder's latent has another shape than the denoiser's sample");
        return false;
    }
    *picture = image;
    ir_meta_set_string(m, EBRU_META_PIPELINE_DECODER.name, f->name);
    ir_meta_set_float(m, EBRU_META_VAE_SCALING_FACTOR.name,
                      base_json_opt_double(pipeline, "scaling_factor", 1.0));
    ir_meta_set_float(m, EBRU_META_VAE_SHIFT_FACTOR.name,
                      base_json_opt_double(pipeline, "shift_factor", 0.0));
    return image_meta(m, pipeline, image);
}

/* ---- pictures that go in ---- */

/* "condition": what the denoiser's channels behind the latent's are. */
static bool read_condition(base_jval pipeline, const ir_func *f, const ir_type *sample,
                           const ir_type *latent, const ir_type *picture, size_t *condition) {
    base_jval v = base_json_get(pipeline, "condition");
    *condition = EBRU_CONDITION_NONE;
    if (base_json_present(v)) {
        if (!base_json_choice(v, "condition", ebru_condition_name + 1, EBRU_CONDITION_COUNT - 1,
                              condition))
            return false;
        ++*condition; /* none is said by silence */
    }
    const int64_t extra[EBRU_CONDITION_COUNT] = {
        [EBRU_CONDITION_INPAINT] = latent->dim[1] + 1,
        [EBRU_CONDITION_DEPTH] = 1,
        [EBRU_CONDITION_LOW_RESOLUTION] = picture->dim[1],
    };
    ir_type expected = *latent;
    expected.dim[1] += extra[*condition];
    if (!ir_shape_equal(sample, &expected)) {
        if (*condition == EBRU_CONDITION_NONE)
            base_json_error(pipeline, "the denoiser's result has another shape than its sample");
        else
            base_json_error(
                v,
                "with this condition the denoiser's sample has %lld channels more than its result",
                (long long)extra[*condition]);
        return false;
    }
    return *condition != EBRU_CONDITION_LOW_RESOLUTION ||
           needs(pipeline, f, input(f, "class_labels"), "input", "class_labels");
}

static bool is_image(const ir_type *t, int64_t channels, int64_t height, int64_t width) {
    return t && t->rank == 4 && t->dim[1] == channels && t->dim[2] == height && t->dim[3] == width;
}

/* "encoder": a picture to the moments of a latent, or to the latent. *f stays NULL when there is
 * none. */
static bool read_encoder(ir_module *m, base_jval pipeline, const ir_type *latent,
                         const ir_type *picture, ir_func **f) {
    base_jval v = base_json_get(pipeline, "encoder");
    const ir_func *e = function(m, pipeline, "encoder", "vae.encode", false);
    if (!e) return !base_json_present(v);
    const ir_type *image = input(e, "image"), *moments = output(e, "moments"),
                  *plain = output(e, "latent");
    bool fits = is_image(image, picture->dim[1], picture->dim[2], picture->dim[3]) &&
                (is_image(moments, 2 * latent->dim[1], latent->dim[2], latent->dim[3]) ||
                 is_image(plain, latent->dim[1], latent->dim[2], latent->dim[3]));
    if (fits) *f = ir_func_find(m, e->name);
    if (fits || !base_json_present(v))
        return true; /* nobody said that a vae.encode is for this loop */
    base_json_error(
        v, "the encoder must make 'moments' or 'latent' of this loop's latents from an 'image'");
    return false;
}

/* "low_res": the scheduler of the noise on the small picture. */
static bool read_low_res(ir_module *m, base_jval pipeline) {
    static const char *const more[] = {"noise_level", "max_noise_level"};
    base_jval s = base_json_require(pipeline, "low_res");
    if (!base_json_present(s) || !base_json_expect(s, BASE_JSON_OBJECT)) return false;
    int64_t most = base_json_opt_int(s, "max_noise_level", 350, 0, 1000000);
    ir_meta_set_int(m, EBRU_META_LOW_RES_MAX_NOISE_LEVEL.name, most);
    ir_meta_set_int(m, EBRU_META_LOW_RES_NOISE_LEVEL.name,
                    base_json_opt_int(s, "noise_level", most < 20 ? most : 20, 0, most));
    return fe_scheduler_section_meta(m, "low_res", s, more, 2);
}

/* Whether and how the loop begins with a picture, and what the denoiser is shown beside the latent.
 */
static bool read_pictures(ir_module *m, base_jval pipeline, const ir_func *denoiser,
                          const ir_type *sample, const ir_type *latent, const ir_type *picture,
                          const fe_options *o) {
    size_t condition;
    ir_func *encoder = NULL;
    if (!read_condition(pipeline, denoiser, sample, latent, picture, &condition) ||
        !read_encoder(m, pipeline, latent, picture, &encoder))
        return false;
    bool pixels = !ir_meta_string(m, EBRU_META_PIPELINE_DECODER.name, NULL),
         low = condition == EBRU_CONDITION_LOW_RESOLUTION;
    if (!low && base_json_present(base_json_get(pipeline, "low_res"))) {
        base_json_error(base_json_get(pipeline, "low_res"),
                        "'low_res' is for the condition 'low_resolution'");
        return false;
    }
    bool alpha = picture->dim[1] % 2 == 0; /* such pictures are made and not read */
    if (condition != EBRU_CONDITION_NONE) {
        if (alpha) {
            base_json_error(pipeline, "unsupported: a condition where pictures have alpha");
            return false;
        }
        ir_meta_set_string(m, EBRU_META_PIPELINE_CONDITION.name, ebru_condition_name[condition]);
        if (o->no_image_input) {
            base_error(
                base_json_diag(pipeline.doc), NULL,
                "--no-image-input: this model cannot do without a picture (its condition is '%s')",
                ebru_condition_name[condition]);
            return false;
        }
        if (!low && !encoder) {
            base_json_error(pipeline, "the condition '%s' needs an 'encoder'",
                            ebru_condition_name[condition]);
            return false;
        }
    }
    if (o->no_image_input || alpha) {
        if (encoder) ir_func_remove(m, encoder);
        return true;
    }
    if (!pixels && !encoder && !low) return true;
    ir_meta_set_int(m, EBRU_META_PIPELINE_IMAGE_INPUT.name, 1);
    if (low) return read_low_res(m, pipeline);
    if (encoder) ir_meta_set_string(m, EBRU_META_PIPELINE_ENCODER.name, encoder->name);
    double strength = base_json_opt_double(base_json_get(pipeline, "sampler"), "strength",
                                           condition == EBRU_CONDITION_INPAINT ? 1.0 : 0.8);
    ir_meta_set_float(m, EBRU_META_SAMPLER_STRENGTH.name, strength);
    if (strength > 0 && strength <= 1) return true;
    base_json_error(base_json_get(base_json_get(pipeline, "sampler"), "strength"),
                    "'strength' is above 0 and at most 1");
    return false;
}

/* "tokenizer": a folder beside the description. */
static bool read_tokenizer(base_diag *d, ir_module *m, base_jval pipeline, const char *path,
                           int64_t tokens, int64_t rows) {
    base_jval v = base_json_require(pipeline, "tokenizer");
    const char *name;
    if (!base_json_present(v)) return false;
    base_loc loc = base_json_loc(v);
    if (!base_json_string(v, &name) || !fe_check_name(d, &loc, "folder", name, strlen(name)))
        return false;
    const char *slash = strrchr(path, '/');
    const char *folder = slash ? base_arena_strndup(m->arena, path, (size_t)(slash - path)) : ".";
    fe_dir *dir = fe_dir_open(d, fe_path_join(m->arena, slash == path ? "/" : folder, name));
    bool fine = dir && fe_tokenizer_meta(d, m, "tokenizer", dir, tokens, rows);
    fe_dir_close(dir);
    return fine;
}

static bool read_text(base_diag *d, ir_module *m, base_jval pipeline, const ir_func *denoiser,
                      const char *path) {
    const ir_func *f = function(m, pipeline, "text_encoder", "text_encoder", true);
    const char *name = base_json_opt_string(pipeline, "text_output", "last_hidden_state");
    const ir_type *context = input(denoiser, "encoder_hidden_states");
    if (!f || !needs(pipeline, denoiser, context, "input", "encoder_hidden_states")) return false;
    const ir_type *ids = input(f, "input_ids"), *state = output(f, name);
    if (!needs(pipeline, f, ids, "input", "input_ids") ||
        !needs(pipeline, f, state, "output", name))
        return false;
    if (!ir_shape_equal(context, state) || ids->rank != 2) {
        base_json_error(pipeline,
                        "the text encoder's '%s' has another shape than the denoiser's context",
                        name);
        return false;
    }
    ir_meta_set_string(m, EBRU_META_PIPELINE_TEXT_ENCODER.name, f->name);
    ir_meta_set_string(m, EBRU_META_PIPELINE_TEXT_OUTPUT.name, name);
    ir_meta_set_int(m, EBRU_META_TEXT_MAX_LENGTH.name, ids->dim[1]);
    ir_meta_set_int(m, EBRU_META_TEXT_WIDTH.name, state->dim[state->rank - 1]);
    const uint32_t table = fe_text_table(f);
    return read_tokenizer(d, m, pipeline, path, ids->dim[1],
                          table == UINT32_MAX ? 0 : m->weights.items[table].type.dim[0]);
}

static bool read_sampler(base_diag *d, ir_module *m, base_jval pipeline, const fe_options *o) {
    static const char *const more[] = {"steps", "guidance", "strength"};
    static const char *const unnamed[FE_DEFAULT_NAMES] = {NULL};
    base_jval s = base_json_require(pipeline, "sampler");
    if (!base_json_present(s) || !base_json_expect(s, BASE_JSON_OBJECT)) return false;
    bool fine = fe_scheduler_section_meta(m, "sampler", s, more, 3);
    fe_defaults_choose(d, m, o, &(fe_defaults){.steps = 50, .guidance = 1.0}, unnamed);
    /* what the description says counts more than what its sampler suggests */
    int64_t steps = ir_meta_int(m, EBRU_META_SAMPLER_STEPS.name, 0);
    double guidance = ir_meta_float(m, EBRU_META_SAMPLER_GUIDANCE.name, 0);
    ir_meta_set_int(m, EBRU_META_SAMPLER_STEPS.name,
                    base_json_opt_int(s, "steps", steps, 1, 1000000));
    ir_meta_set_float(m, EBRU_META_SAMPLER_GUIDANCE.name,
                      base_json_opt_double(s, "guidance", guidance));
    return fine;
}

static bool read_loop(base_diag *d, ir_module *m, base_jval pipeline, size_t kind, const char *path,
                      const fe_options *o) {
    const ir_func *f = function(m, pipeline, "denoiser", "unet", true);
    if (!f) return false;
    const ir_type *sample = input(f, "sample"), *t = input(f, "timestep"),
                  *out = output(f, "sample"), *picture = NULL;
    if (!needs(pipeline, f, sample, "input", "sample") ||
        !needs(pipeline, f, t, "input", "timestep") || !needs(pipeline, f, out, "output", "sample"))
        return false;
    bool fine = true;
    ir_meta_set_string(m, EBRU_META_PIPELINE_DENOISER.name, f->name);
    ir_meta_set_int(m, EBRU_META_PIPELINE_GUIDANCE.name,
                    o->guidance_pair && fe_desc_guidance(pipeline));
    const ir_type *cond = input(f, "timestep_cond"); /* the guidance, in distilled models */
    if (cond && cond->rank == 2)
        ir_meta_set_int(m, EBRU_META_PIPELINE_GUIDANCE_EMBEDDING.name, cond->dim[1]);
    if (!latent_meta(m, pipeline, out)) return false;
    fine &= read_decoder(m, pipeline, out, &picture);
    fine &= read_sampler(d, m, pipeline, o);
    if (fine) fine = read_pictures(m, pipeline, f, sample, out, picture, o);
    if (kind == EBRU_PIPELINE_CLASS)
        fine &= read_classes(m, pipeline) &&
                needs(pipeline, f, input(f, "class_labels"), "input", "class_labels");
    if (kind == EBRU_PIPELINE_TEXT) fine &= read_text(d, m, pipeline, f, path);
    return fine;
}

bool fe_desc_pipeline(base_diag *d, ir_module *m, base_jval root, const char *path,
                      const fe_options *o) {
    base_jval pipeline = base_json_get(root, "pipeline"),
              kind_value = base_json_get(pipeline, "kind");
    size_t kind = EBRU_PIPELINE_NONE;
    bool fine = true;
    if (base_json_present(pipeline)) {
        base_json_require(pipeline, "kind");
        fine = base_json_choice(kind_value, "kind of pipeline", ebru_pipeline_kind_name,
                                EBRU_PIPELINE_UPSCALE, &kind); /* the last is no loop's */
    }
    if (o->component) kind = EBRU_PIPELINE_NONE; /* a component alone has no loop */
    ir_meta_set_string(m, EBRU_META_PIPELINE_KIND.name, ebru_pipeline_kind_name[kind]);
    return (kind == EBRU_PIPELINE_NONE || read_loop(d, m, pipeline, kind, path, o)) && fine;
}
