/* diffusers folders: model_index.json, component folders, and what a pipeline class means for the program;
 * see diffusers.h. */
#include "frontend/diffusers.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

typedef enum part_kind { PART_UNET, PART_VAE, PART_TEXT, PART_COUNT } part_kind;
static const char *const part_names[PART_COUNT] = {"unet", "vae", "text_encoder"};

/* One component: its folder, config, and what the config says. */
typedef struct part {
    part_kind kind;
    bool wanted;
    fe_dir *dir;
    fe_json *doc;
    union {
        fe_unet_config unet;
        fe_vae_config vae;
        fe_clip_config text;
    } config;
} part;

typedef struct loader {
    ir_diag *d;
    ir_module *m;
    const fe_options *o;
    fe_dir *root;
    part parts[PART_COUNT];
    fe_json *index; /* model_index.json; NULL for a single component */
} loader;

/* ---- sizes ---- */

static const fe_shape *given_shape(const fe_options *o, const char *name, uint32_t rank) {
    for (uint32_t i = 0; i < o->shape_count; i++)
        if (strcmp(o->shapes[i].name, name) == 0 && o->shapes[i].rank == rank) return &o->shapes[i];
    return NULL;
}

static bool in_range(ir_diag *d, const char *what, int64_t value, int64_t max) {
    if (value >= 1 && value <= max) return true;
    ir_error(d, NULL, "%s of %lld: 1 to %lld is possible", what, (long long)value, (long long)max);
    return false;
}

static bool check_sizes(ir_diag *d, const fe_sizes *s) {
    bool fine = in_range(d, "a batch", s->batch, FE_MAX_BATCH);
    fine &= in_range(d, "a height", s->height, FE_MAX_SIDE);
    fine &= in_range(d, "a width", s->width, FE_MAX_SIDE);
    return in_range(d, "a number of tokens", s->tokens, FE_MAX_SIDE) && fine;
}

static void take_image_shape(const fe_options *o, const char *name, int64_t scale, fe_sizes *s) {
    const fe_shape *shape = given_shape(o, name, 4);
    if (!shape) return;
    s->batch = shape->dim[0];
    if (__builtin_mul_overflow(shape->dim[2], scale, &s->height)) s->height = 0;
    if (__builtin_mul_overflow(shape->dim[3], scale, &s->width)) s->width = 0;
}

static int64_t or_else(int64_t value, int64_t otherwise) {
    return value ? value : otherwise;
}

static fe_sizes base_sizes(const loader *l) {
    int64_t positions = l->parts[PART_TEXT].wanted ? l->parts[PART_TEXT].config.text.positions : 77;
    return (fe_sizes){.batch = or_else(l->o->batch, 1),
                      .height = 1,
                      .width = 1,
                      .tokens = or_else(l->o->sequence, positions),
                      .shared_timestep = l->o->shared_timestep};
}

/* Pixels a cell of the U-Net's sample: the autoencoder's, when it stands beside. */
static int64_t pixel_scale(const loader *l) {
    return l->parts[PART_VAE].doc ? fe_vae_scale(&l->parts[PART_VAE].config.vae) : 1;
}

static bool unet_sizes(const loader *l, fe_sizes *s) {
    const fe_unet_config *c = &l->parts[PART_UNET].config.unet;
    int64_t scale = pixel_scale(l);
    *s = base_sizes(l);
    if (l->o->width % scale || l->o->height % scale) {
        ir_error(l->d, NULL, "a picture of %lld x %lld: both sides must be multiples of %lld",
                 (long long)l->o->width, (long long)l->o->height, (long long)scale);
        return false;
    }
    s->height = or_else(l->o->height / scale, c->sample_height);
    s->width = or_else(l->o->width / scale, c->sample_width);
    take_image_shape(l->o, "sample", 1, s);
    const fe_shape *context = given_shape(l->o, "encoder_hidden_states", 3);
    if (context) s->tokens = context->dim[1];
    if (!s->height || !s->width) {
        fe_json_error(c->root, "the config has no 'sample_size', so the picture size must be given (--size)");
        return false;
    }
    return check_sizes(l->d, s);
}

static bool vae_sizes(const loader *l, fe_sizes *s) {
    const fe_vae_config *c = &l->parts[PART_VAE].config.vae;
    const part *unet = &l->parts[PART_UNET];
    int64_t scale = fe_vae_scale(c);
    *s = base_sizes(l);
    s->height = or_else(l->o->height, unet->doc ? unet->config.unet.sample_height * scale : c->sample_height);
    s->width = or_else(l->o->width, unet->doc ? unet->config.unet.sample_width * scale : c->sample_width);
    if (!s->height || !s->width) s->height = s->width = 32 * scale;
    take_image_shape(l->o, "latent", scale, s);
    const fe_sizes decoded = *s;
    take_image_shape(l->o, "image", 1, s);
    if (given_shape(l->o, "latent", 4)) {
        s->latent_batch = decoded.batch;
        s->latent_height = decoded.height / scale;
        s->latent_width = decoded.width / scale;
    }
    if (!given_shape(l->o, "image", 4) && (s->height % scale || s->width % scale)) {
        ir_error(
            l->d, NULL,
            "a picture of %lld x %lld does not fit the autoencoder: both sides must be multiples of %lld",
            (long long)s->width, (long long)s->height, (long long)scale);
        return false;
    }
    return check_sizes(l->d, s) && check_sizes(l->d, &decoded);
}

static bool text_sizes(const loader *l, fe_sizes *s) {
    *s = base_sizes(l);
    const fe_shape *ids = given_shape(l->o, "input_ids", 2), *one = given_shape(l->o, "input_ids", 1);
    if (ids) {
        s->batch = ids->dim[0];
        s->tokens = ids->dim[1];
    } else if (one) {
        s->batch = 1;
        s->tokens = one->dim[0];
    }
    return check_sizes(l->d, s);
}

/* ---- building ---- */

static fe_weights *open_weights(loader *l, part *p) {
    static const char *const bases[] = {"diffusion_pytorch_model", "model"};
    if (l->o->random_weights) return fe_weights_random(l->d, l->m, l->o->random_seed);
    fe_st *table = fe_st_open_in(l->d, p->dir, bases, COUNT(bases));
    return table ? fe_weights_table(l->d, l->m, table) : NULL;
}

static bool guided(const loader *l) {
    return l->o->guidance_pair && strcmp(ir_meta_string(l->m, "pipeline.kind", "none"), "text_to_image") == 0;
}

static bool build_unet(loader *l, fe_builder *b, const fe_unet_config *c) {
    fe_sizes s;
    if (!unet_sizes(l, &s) || !fe_unet_build(b, c, "unet", &s)) return false;
    if (!guided(l)) return true;
    s.batch *= 2;
    return fe_unet_build(b, c, "unet@2", &s);
}

static bool build_functions(loader *l, fe_builder *b, part *p) {
    fe_sizes s;
    switch (p->kind) {
    case PART_UNET: return build_unet(l, b, &p->config.unet);
    case PART_VAE: return vae_sizes(l, &s) && fe_vae_build(b, &p->config.vae, "vae", &s);
    case PART_TEXT: return text_sizes(l, &s) && fe_clip_build(b, &p->config.text, "text_encoder", &s);
    case PART_COUNT: break;
    }
    return false;
}

/* All functions of a component, so that its weights are bound in full whatever is kept of it. */
static bool build_part(loader *l, part *p) {
    fe_weights *w = open_weights(l, p);
    if (!w) return false;
    fe_builder b;
    fe_builder_init(&b, l->d, l->m, w, part_names[p->kind]);
    bool fine = build_functions(l, &b, p) && fe_weights_check(w);
    fe_builder_free(&b);
    fe_weights_free(w);
    return fine;
}

static bool keeps(const fe_options *o, bool program, const char *name) {
    if (o->function) {
        const char *dot = strchr(name, '.');
        return strcmp(name, o->function) == 0 || (dot && strcmp(dot + 1, o->function) == 0);
    }
    return !(program && strcmp(name, "vae.encode") == 0); /* no pipeline built so far reads pictures */
}

static bool keep_functions(loader *l) {
    bool program = l->index && l->o->guidance_pair && !l->o->component;
    for (size_t i = l->m->funcs.count; i-- > 0;)
        if (!keeps(l->o, program, l->m->funcs.items[i]->name)) ir_func_remove(l->m, l->m->funcs.items[i]);
    if (l->m->funcs.count) return true;
    ir_error(l->d, NULL, "the model has no function '%s'", l->o->function);
    return false;
}

/* ---- components ---- */

static bool read_config(part *p) {
    fe_jval root = fe_json_root(p->doc);
    switch (p->kind) {
    case PART_UNET: return fe_unet_read(root, &p->config.unet);
    case PART_VAE: return fe_vae_read(root, &p->config.vae);
    case PART_TEXT: return fe_clip_read(root, &p->config.text);
    case PART_COUNT: break;
    }
    return false;
}

static void loader_free(loader *l) {
    for (size_t i = 0; i < PART_COUNT; i++) {
        fe_json_free(l->parts[i].doc);
        if (l->parts[i].dir != l->root) fe_dir_close(l->parts[i].dir);
    }
    fe_json_free(l->index);
    fe_dir_close(l->root);
}

/* Which component a config.json describes. */
static bool part_of_config(fe_jval root, part_kind *kind) {
    static const struct {
        const char *name;
        part_kind kind;
    } classes[] = {{"UNet2DConditionModel", PART_UNET},
                   {"UNet2DModel", PART_UNET},
                   {"AutoencoderKL", PART_VAE},
                   {"AutoencoderTiny", PART_VAE}};
    const char *names[COUNT(classes)];
    size_t i;
    if (!fe_json_expect(root, FE_JSON_OBJECT)) return false;
    fe_jval v = fe_json_get(root, "_class_name");
    if (fe_json_present(v)) {
        for (i = 0; i < COUNT(classes); i++) names[i] = classes[i].name;
        if (!fe_json_choice(v, "model class", names, COUNT(names), &i)) return false;
        *kind = classes[i].kind;
        return true;
    }
    *kind = PART_TEXT;
    if (fe_json_present(fe_json_get(root, "architectures")) ||
        fe_json_present(fe_json_get(root, "model_type")))
        return true;
    fe_json_error(root, "this is no config of a model: it has neither '_class_name' nor 'architectures'");
    return false;
}

static bool selected(const fe_options *o, const char *name) {
    return !o->component || strcmp(o->component, name) == 0;
}

bool fe_load_component(ir_diag *d, ir_module *m, const char *path, const fe_options *o) {
    loader l = {.d = d, .m = m, .o = o, .root = fe_dir_open(d, path)};
    if (!l.root) return false;
    part_kind kind;
    fe_json *doc = fe_json_load_in(d, l.root, "config.json", NULL);
    bool fine = doc && part_of_config(fe_json_root(doc), &kind);
    if (fine) {
        part *p = &l.parts[kind];
        *p = (part){.kind = kind, .wanted = true, .dir = l.root, .doc = doc};
        doc = NULL;
        if (!selected(o, part_names[kind])) {
            ir_error(d, NULL, "the folder holds the component '%s', not '%s'", part_names[kind],
                     o->component);
            fine = false;
        }
        fine = fine && read_config(p);
        ir_meta_set_string(m, "pipeline.kind", "none");
        fine = fine && build_part(&l, p) && keep_functions(&l);
    }
    fe_json_free(doc);
    loader_free(&l);
    return fine;
}

/* ---- pipelines ---- */

typedef struct pipeline_class {
    const char *name, *kind;
    bool parts[PART_COUNT];
    int64_t steps;
    double guidance;
} pipeline_class;

static const pipeline_class pipelines[] = {
    {"StableDiffusionPipeline", "text_to_image", {true, true, true}, 50, 7.5},
    {"DDPMPipeline", "unconditional", {true, false, false}, 1000, 1.0},
    {"DDIMPipeline", "unconditional", {true, false, false}, 50, 1.0},
    {"PNDMPipeline", "unconditional", {true, false, false}, 50, 1.0},
};
/* Known, and not built yet: told apart from misspellings. */
static const char *const later_pipelines[] = {
    "StableDiffusionImg2ImgPipeline",    "StableDiffusionInpaintPipeline",
    "StableDiffusionDepth2ImgPipeline",  "StableDiffusionUpscalePipeline",
    "StableDiffusionControlNetPipeline", "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline",  "StableDiffusionXLInpaintPipeline",
    "LatentConsistencyModelPipeline"};

static const pipeline_class *find_pipeline(fe_jval index) {
    fe_jval v = fe_json_require(index, "_class_name");
    const char *word, *names[COUNT(pipelines)];
    size_t i;
    if (!fe_json_string(v, &word)) return NULL;
    for (i = 0; i < COUNT(later_pipelines); i++) {
        if (strcmp(word, later_pipelines[i]) != 0) continue;
        fe_json_error(
            v, "unsupported: pipeline '%s'; its components can be loaded one by one (--component=unet)",
            word);
        return NULL;
    }
    for (i = 0; i < COUNT(pipelines); i++) names[i] = pipelines[i].name;
    return fe_json_choice(v, "pipeline", names, COUNT(names), &i) ? &pipelines[i] : NULL;
}

/* The class of a component in model_index.json ("name": ["library", "Class"]); NULL when it is absent or
 * [null, null]. */
static const char *indexed_class(fe_jval index, const char *name) {
    fe_jval v = fe_json_get(index, name);
    const char *word = NULL;
    if (fe_json_length(v) == 2 && fe_json_is(fe_json_item(v, 1), FE_JSON_STRING))
        fe_json_string(fe_json_item(v, 1), &word);
    return word;
}

/* NAME/ inside the folder if there is one, else the folder itself (as in older repositories). */
static fe_dir *part_dir(loader *l, const char *name) {
    return fe_dir_has_dir(l->root, name) ? fe_dir_open_in(l->d, l->root, name) : l->root;
}

static bool open_part(loader *l, part_kind kind) {
    part *p = &l->parts[kind];
    fe_jval index = fe_json_root(l->index);
    part_kind found;
    if (!indexed_class(index, part_names[kind])) {
        fe_json_error(index, "the pipeline needs a component '%s'", part_names[kind]);
        return false;
    }
    *p = (part){.kind = kind, .wanted = true, .dir = part_dir(l, part_names[kind])};
    if (!p->dir) return false;
    p->doc = fe_json_load_in(l->d, p->dir, "config.json", NULL);
    if (!p->doc || !part_of_config(fe_json_root(p->doc), &found)) return false;
    if (found != kind) {
        fe_json_error(fe_json_root(p->doc), "this is not the config of a component '%s'", part_names[kind]);
        return false;
    }
    return read_config(p);
}

/* Pipelines of diffusers before 0.9 said 32 and meant 64. */
static void correct_sample_size(fe_unet_config *c) {
    const char *version = fe_json_opt_string(c->root, "_diffusers_version", "99");
    char *end;
    long major = strtol(version, &end, 10), minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    if (major == 0 && minor < 9 && c->sample_height < 64 && c->sample_width < 64)
        c->sample_height = c->sample_width = 64;
}

static bool load_scheduler(loader *l, bool stable_diffusion) {
    fe_dir *dir = part_dir(l, "scheduler");
    if (!dir) return false;
    fe_json *doc = fe_json_load_in(l->d, dir, "scheduler_config.json", NULL);
    bool fine = doc && fe_scheduler_meta(l->m, fe_json_root(doc), "_class_name");
    if (fine && stable_diffusion) { /* what the constructor of the pipeline sets whatever the file says */
        ir_meta_set_int(l->m, "sampler.steps_offset", 1);
        ir_meta_set_int(l->m, "sampler.clip_sample", 0);
    }
    fe_json_free(doc);
    if (dir != l->root) fe_dir_close(dir);
    return fine;
}

static bool load_tokenizer(loader *l) {
    fe_dir *dir = part_dir(l, "tokenizer");
    if (!dir) return false;
    bool fine = fe_tokenizer_meta(l->d, l->m, dir, l->parts[PART_TEXT].config.text.positions);
    if (dir != l->root) fe_dir_close(dir);
    return fine;
}

static void note_ignored(loader *l) {
    static const char *const names[] = {"safety_checker", "feature_extractor", "image_encoder",
                                        "watermarker"};
    ir_str s = {0};
    for (size_t i = 0; i < COUNT(names); i++)
        if (indexed_class(fe_json_root(l->index), names[i]))
            ir_str_addf(&s, "%s%s", s.len ? ", " : "", names[i]);
    if (s.len) ir_meta_set_string(l->m, "pipeline.ignored", s.data);
    ir_str_free(&s);
}

/* Checks between components, and the meta that depends on several. */
static bool pipeline_meta(loader *l, const pipeline_class *p) {
    ir_module *m = l->m;
    fe_sizes s;
    const fe_unet_config *unet = &l->parts[PART_UNET].config.unet;
    if (!unet_sizes(l, &s)) return false;
    bool latent = p->parts[PART_VAE];
    const fe_vae_config *vae = latent ? &l->parts[PART_VAE].config.vae : NULL;
    int64_t scale = pixel_scale(l);
    ir_meta_set_string(m, "pipeline.class", p->name);
    ir_meta_set_string(m, "pipeline.denoiser", "unet");
    ir_meta_set_int(m, "pipeline.guidance", guided(l));
    ir_meta_set_int(m, "sampler.steps", p->steps);
    ir_meta_set_float(m, "sampler.guidance", p->guidance);
    ir_meta_set_int(m, "latent.channels", unet->in_channels);
    ir_meta_set_int(m, "latent.height", s.height);
    ir_meta_set_int(m, "latent.width", s.width);
    ir_meta_set_int(m, "vae.scale", scale);
    ir_meta_set_int(m, "image.channels", latent ? vae->out_channels : unet->in_channels);
    ir_meta_set_int(m, "image.height", s.height * scale);
    ir_meta_set_int(m, "image.width", s.width * scale);
    if (latent) {
        ir_meta_set_string(m, "pipeline.decoder", "vae.decode");
        ir_meta_set_float(m, "vae.scaling_factor", vae->scaling_factor);
        ir_meta_set_float(m, "vae.shift_factor", vae->shift_factor);
    }
    if (p->parts[PART_TEXT]) {
        const fe_clip_config *text = &l->parts[PART_TEXT].config.text;
        ir_meta_set_string(m, "pipeline.text_encoder", "text_encoder");
        ir_meta_set_string(m, "pipeline.text_output", "last_hidden_state");
        ir_meta_set_int(m, "text.max_length", text->positions);
        ir_meta_set_int(m, "text.width", text->width);
    }
    if (unet->class_kind == FE_CLASS_TABLE) ir_meta_set_int(m, "classes.count", unet->classes);
    return true;
}

/* What a U-Net may ask for beyond sample, timestep, context and the index of a class: no pipeline built so
 * far makes it. */
static bool only_known_inputs(const fe_unet_config *c) {
    static const char message[] = "unsupported in a pipeline: '%s' (the component alone can be loaded)";
    bool fine = true;
    if (c->class_kind != FE_CLASS_NONE && c->class_kind != FE_CLASS_TABLE) {
        fe_json_error(fe_config_at(c->root, "class_embed_type"), message, "class_embed_type");
        fine = false;
    }
    if (c->time_cond) {
        fe_json_error(fe_config_at(c->root, "time_cond_proj_dim"), message, "time_cond_proj_dim");
        fine = false;
    }
    if (c->added_input) {
        fe_json_error(fe_config_at(c->root, "addition_embed_type"), message, "addition_embed_type");
        fine = false;
    }
    return fine;
}

/* What one component hands to another must fit. */
static bool parts_fit(const loader *l, const pipeline_class *p) {
    const fe_unet_config *unet = &l->parts[PART_UNET].config.unet;
    bool fine = only_known_inputs(unet);
    if (unet->in_channels != unet->out_channels) {
        fe_json_error(fe_config_at(unet->root, "in_channels"),
                      "unsupported: a pipeline whose U-Net takes %lld channels and gives %lld",
                      (long long)unet->in_channels, (long long)unet->out_channels);
        fine = false;
    }
    if (p->parts[PART_VAE] && l->parts[PART_VAE].config.vae.latent_channels != unet->out_channels) {
        fe_json_error(fe_config_at(unet->root, "out_channels"),
                      "the U-Net makes %lld channels, the autoencoder's latent has %lld",
                      (long long)unet->out_channels,
                      (long long)l->parts[PART_VAE].config.vae.latent_channels);
        fine = false;
    }
    if (p->parts[PART_TEXT] && l->parts[PART_TEXT].config.text.width != fe_unet_context(unet)) {
        fe_json_error(fe_config_at(unet->root, "cross_attention_dim"),
                      "the U-Net attends to a context of width %lld, the text encoder makes %lld",
                      (long long)fe_unet_context(unet), (long long)l->parts[PART_TEXT].config.text.width);
        fine = false;
    }
    return fine;
}

static bool load_whole(loader *l, const pipeline_class *p) {
    bool fine = true, sd = p->parts[PART_TEXT];
    for (size_t i = 0; i < PART_COUNT; i++)
        if (p->parts[i]) fine &= open_part(l, (part_kind)i);
    fine &= load_scheduler(l, sd);
    if (!fine || !parts_fit(l, p)) return false;
    if (sd) correct_sample_size(&l->parts[PART_UNET].config.unet);
    const char *kind = p->kind;
    if (!sd && l->parts[PART_UNET].config.unet.class_kind == FE_CLASS_TABLE) kind = "class_to_image";
    ir_meta_set_string(l->m, "pipeline.kind", kind);
    note_ignored(l);
    fine = pipeline_meta(l, p);
    if (sd) fine &= load_tokenizer(l);
    for (size_t i = PART_COUNT; i-- > 0;) /* in the order of use: text, autoencoder, U-Net */
        if (p->parts[i]) fine &= build_part(l, &l->parts[i]);
    return fine && keep_functions(l);
}

/* A U-Net taken out of a latent pipeline still has its size in pixels: the autoencoder's config says how many
 * a cell has. */
static bool open_scale(loader *l, part_kind kind) {
    const char *vae = indexed_class(fe_json_root(l->index), part_names[PART_VAE]);
    bool known = vae && (strcmp(vae, "AutoencoderKL") == 0 || strcmp(vae, "AutoencoderTiny") == 0);
    if (kind != PART_UNET || !known) return true;
    return open_part(l, PART_VAE);
}

static bool load_one(loader *l, const char *name) {
    ir_meta_set_string(l->m, "pipeline.kind", "none");
    for (size_t i = 0; i < PART_COUNT; i++)
        if (strcmp(name, part_names[i]) == 0)
            return open_scale(l, (part_kind)i) && open_part(l, (part_kind)i) && build_part(l, &l->parts[i]) &&
                   keep_functions(l);
    ir_error(l->d, NULL, "unknown component '%s': unet, vae and text_encoder are known",
             ir_escape(name, strlen(name)));
    return false;
}

bool fe_load_pipeline(ir_diag *d, ir_module *m, const char *path, const fe_options *o) {
    loader l = {.d = d, .m = m, .o = o, .root = fe_dir_open(d, path)};
    if (!l.root) return false;
    l.index = fe_json_load_in(d, l.root, "model_index.json", NULL);
    bool fine = l.index && fe_json_expect(fe_json_root(l.index), FE_JSON_OBJECT);
    if (fine && o->component) {
        fine = load_one(&l, o->component);
    } else if (fine) {
        const pipeline_class *p = find_pipeline(fe_json_root(l.index));
        fine = p && load_whole(&l, p);
    }
    loader_free(&l);
    return fine;
}
