/* The door of the front ends: what kind of model a path is; see frontend.h. */
#include "frontend/frontend.h"

#include "base/number.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#include "frontend/defaults.h"
#include "frontend/diffusers/diffusers.h"
#include "frontend/embedding/embedding.h"
#include "frontend/files/formats.h"
#include "frontend/files/hub_cache.h"
#include "frontend/lora/lora.h"
#include "frontend/properties.h"
#include "frontend/safetensors/weights.h"
#include "frontend/tokenizer/tokenizer.h"
#include "frontend/upscaler/upscaler.h"
#include "runtime/abi/meta_keys.h"

static void find_factor(ir_module *m, ir_weight *w, const char *text) {
    if (w->kind == IR_WEIGHT_FILE) w->file = fe_path_beside(m->arena, text, w->file);
}

/* Files that a text names, wherever it is read from. */
static void find_files(ir_module *m, const char *text) {
    for (size_t i = 0; i < m->weights.count; i++) {
        ir_weight *w = &m->weights.items[i];
        find_factor(m, w, text);
        for (ir_lora *l = w->loras; l; l = l->next)
            IR_LORA_EACH(l, k) find_factor(m, &l->factor[k], text);
        for (ir_rows *r = w->rows; r; r = r->next) find_factor(m, &r->values, text);
    }
    fe_tokenizer_find_files(m, text);
}

ir_module *fe_parse_ir(base_diag *d, const char *name, const char *text, size_t length,
                       const ir_text_rules *rules) {
    ir_module *m = ir_parse_held(d, name, text, length, rules);
    if (m && fe_properties_check(d, m, name, text, length)) {
        find_files(m, name);
        return m;
    }
    ir_module_free(m);
    return NULL;
}

static ir_module *load_text(base_diag *d, const char *path) {
    enum { LIMIT = 1 << 30 };
    fe_bytes text;
    if (!fe_file_read(d, path, LIMIT, &text)) return NULL;
    ir_module *m = fe_parse_ir(d, path, text.data, text.size, NULL);
    fe_bytes_free(&text);
    if (m && fe_bind_ir_weights(d, m)) return m;
    ir_module_free(m);
    return NULL;
}

/* Files of a model's parts, and what the part is; by a file in its folder, and by a key in the
 * file. */
static const struct part {
    const char *file, *key, *what;
} parts[] = {
    {"scheduler_config.json", NULL, "the configuration of a scheduler"},
    {"vocab.json", NULL, "a part of a tokenizer"},
    {"tokenizer_config.json", "tokenizer_class", "a part of a tokenizer"},
    {"tokenizer.json", "added_tokens", "a part of a tokenizer"},
    {"special_tokens_map.json", "eos_token", "a part of a tokenizer"},
    {"preprocessor_config.json", "image_processor_type",
     "the configuration of a feature extractor"},
    {"preprocessor_config.json", "feature_extractor_type",
     "the configuration of a feature extractor"},
    {"adapter_config.json", "peft_type",
     "the configuration of a LoRA, which is named with --lora="},
};

/* What ebru and programs write, by a key, and what reads it. */
static const struct {
    const char *key, *what;
} products[] = {
    {"traceEvents", "a trace of a run: `ebru report PROGRAM TRACE` reads it"},
    {"decisions", "a fusion report: `ebru diff A B` compares two"},
    {"packed_weights", "a metafile, which programs other than ebru read"},
};

/* Words that say whose folder this is; NULL: nobody knows. */
static const char *part_in(const char *path) {
    const char *what = NULL;
    base_arena *a = base_arena_new();
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !what; i++)
        if (fe_path_is_file(fe_path_join(a, path, parts[i].file))) what = parts[i].what;
    base_arena_free(a);
    return what;
}

static void refuse_folder(base_diag *d, const char *path) {
    const char *what = part_in(path);
    base_error(d, NULL, "%s: a model folder has a model_index.json, a config.json or a model.json",
               path);
    if (what)
        base_note(d, NULL, "this folder has %s: name the model's folder, which is above it", what);
    else
        fe_folder_advice(d, path, "");
}

/* Options that give components' folders mean nothing to a description. */
static bool no_components_given(base_diag *d, const fe_options *o) {
    const char *const given[][2] = {{"unet", o->unet && fe_path_is_dir(o->unet) ? o->unet : NULL},
                                    {"vae", o->vae},
                                    {"text-encoder", o->text_encoder},
                                    {"text-encoder-2", o->text_encoder_2}};
    bool fine = true;
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        if (!given[i][1]) continue;
        base_error(d, NULL, "--%s: a description has its networks in itself", given[i][0]);
        fine = false;
    }
    return fine;
}

static bool load_folder(base_diag *d, ir_module *m, const char *path, const fe_options *o) {
    fe_dir *dir = fe_dir_open(d, path);
    if (!dir) return false;
    /* by name alone: a link to nowhere is told when it is read */
    bool pipeline = fe_dir_has_name(dir, "model_index.json"),
         component = fe_dir_has_name(dir, "config.json");
    bool description = fe_dir_has_name(dir, "model.json");
    char *file = NULL;
    if (description) {
        const char *joined = fe_dir_join(dir, "model.json");
        file = base_alloc(strlen(joined) + 1);
        memcpy(file, joined, strlen(joined) + 1);
    }
    fe_dir_close(dir);
    bool fine = false;
    if (pipeline) {
        fine = fe_load_pipeline(d, m, path, o);
    } else if (component) {
        fine = fe_load_component(d, m, path, o);
    } else if (description) {
        base_json *doc = fe_json_load(d, file, NULL);
        fine = doc && no_components_given(d, o) && fe_load_description(d, m, file, doc, o);
        base_json_free(doc);
    } else {
        refuse_folder(d, path);
    }
    base_free(file);
    return fine;
}

/* One of diffusers' files where a model was meant: what it is, and what to name instead. */
static void refuse_json(base_diag *d, const char *path, base_jval root) {
    static const char end[] = "Scheduler";
    base_arena *a = base_arena_new();
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *what = NULL,
               *class = NULL;
    char *folder = slash ? base_arena_strndup(a, path, (size_t)(slash - path)) : ".";
    if (slash == path) folder = "/";
    base_jval said = base_json_get(root, "_class_name");
    if (base_json_is(said, BASE_JSON_STRING)) base_json_string(said, &class);
    bool scheduler = class && base_ends_with(class, end);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !what; i++)
        if (strcmp(name, parts[i].file) == 0 ||
            (parts[i].key && base_json_present(base_json_get(root, parts[i].key))))
            what = parts[i].what;
    if (scheduler) what = parts[0].what;
    if (what) {
        base_json_error(root, "this is %s, not a model", what);
        base_note(d, NULL, "name the model's folder, which is the one above %s/",
                  base_escape(folder, strlen(folder)));
        if (scheduler)
            base_note(d, NULL, "--scheduler-config=%s compiles a model with it",
                      base_escape(path, strlen(path)));
    } else if (class || base_json_present(base_json_get(root, "architectures")) ||
               base_json_present(base_json_get(root, "model_type"))) {
        base_json_error(root, "this is a part of a diffusers model: name the folder it is in, %s",
                        base_escape(folder, strlen(folder)));
    } else if (base_json_present(base_json_get(root, "weight_map"))) {
        base_json_error(root,
                        "this says which weights are in which file: name the folder it is in, %s",
                        base_escape(folder, strlen(folder)));
    } else {
        base_json_error(root, "this is no model description: it has no key 'ebru'");
    }
    base_arena_free(a);
}

/* NULL: it is none of them. */
static const char *product(base_jval root) {
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        if (base_json_present(base_json_get(root, products[i].key))) return products[i].what;
    return NULL;
}

/* A JSON file: a description. */
static bool load_json(base_diag *d, ir_module *m, const char *path, const fe_options *o) {
    base_json *doc = fe_json_load(d, path, NULL);
    if (!doc) {
        if (!fe_path_exists(path)) fe_hub_advice(d, path, FE_HUB_MODEL);
        return false;
    }
    base_jval root = base_json_root(doc);
    const char *what = product(root);
    bool fine = false;
    if (what)
        base_json_error(root, "this is %s", what);
    else if (base_json_present(base_json_get(root, "ebru")))
        fine = no_components_given(d, o) && fe_load_description(d, m, path, doc, o);
    else
        refuse_json(d, path, root);
    base_json_free(doc);
    return fine;
}

/* The format of a file by its content; UNKNOWN of what cannot be looked into. With `refuse` what no
 * model is in is reported. */
static fe_format format_of(base_diag *d, const char *path, bool refuse) {
    fe_map map;
    if (!fe_path_is_file(path) || !fe_file_map(d, path, &map)) return FE_FORMAT_UNKNOWN;
    fe_format format = fe_format_of(map.data, map.size, NULL);
    bool strange =
        format == FE_FORMAT_PICKLE || format == FE_FORMAT_PROGRAM || format == FE_FORMAT_FOREIGN;
    if (refuse && strange) fe_format_refuse(d, path, map.data, map.size);
    fe_unmap(&map);
    return format;
}

/* Files of models that are not read, by their ending; true after reporting. */
static bool is_stranger(base_diag *d, const char *path) {
    static const char *const known[][2] = {
        {".onnx", "an ONNX graph, and graphs are not read"},
        {".jsonl", "a file of JSON Lines, and tuning records are named with --tuning="},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!base_ends_with(path, known[i][0])) continue;
        base_error(d, NULL, "%s: this is %s", path, known[i][1]);
        base_note(d, NULL, "name a diffusers folder or a checkpoint in safetensors or GGUF");
        return true;
    }
    return false;
}

static bool load_into(base_diag *d, ir_module *m, const char *path, const fe_options *o) {
    if (fe_path_is_dir(path)) return load_folder(d, m, path, o);
    if (fe_upscaler_is(path)) return fe_load_upscaler(d, m, path, o);
    unsigned before = base_diag_errors(d);
    fe_format format = format_of(d, path, true);
    if (base_diag_errors(d) != before) return false;
    if (format == FE_FORMAT_SAFETENSORS || format == FE_FORMAT_GGUF)
        return fe_load_checkpoint(d, m, path, o);
    if (fe_path_exists(path) && is_stranger(d, path)) return false;
    if (path[fe_stem_length(path)]) return fe_load_checkpoint(d, m, path, o); /* a broken one */
    return load_json(d, m, path, o);
}

/* Guidance calls the denoiser, and ControlNets beside it, with the same sample and control pictures
 * in both halves of the batch. */
static void pair_halves(ir_module *m) {
    static const char *const same[] = {"sample", "controlnet_cond",
                                       "down_intrablock_additional_residuals."};
    if (!ir_meta_get(m, EBRU_META_PIPELINE_DENOISER.name)) return;
    for (size_t i = 0; i < m->funcs.count; i++) {
        ir_func *f = m->funcs.items[i];
        for (size_t k = 0; base_ends_with(f->name, "@2") && k < f->inputs.count; k++) {
            const char *name = IR_ATTRS(ir_get(f, f->inputs.items[k]), input)->name;
            for (size_t j = 0; j < sizeof same / sizeof *same; j++)
                if (strncmp(name, same[j], strlen(same[j])) == 0)
                    ir_input_pair(f, f->inputs.items[k]);
        }
    }
}

void fe_note_digest(ir_module *m) {
    char digest[FE_DIGEST_TEXT];
    if (ir_meta_get(m, EBRU_META_MODEL_DIGEST.name)) return;
    fe_weights_digest(m, digest);
    ir_meta_set_string(m, EBRU_META_MODEL_DIGEST.name, digest);
}

/* "style:0.8, detail:1": names without folders and endings. */
static void note_loras(ir_module *m, const fe_options *o) {
    base_str s = {0};
    for (uint32_t i = 0; i < o->lora_count; i++) {
        const char *name = fe_path_base(m->arena, o->loras[i].path);
        base_str_addf(&s, "%s%.*s:", i ? ", " : "", (int)fe_stem_length(name), name);
        base_print_f64(o->loras[i].scale, &s);
    }
    if (s.len) ir_meta_set_string(m, EBRU_META_MODEL_LORAS.name, s.data);
    base_str_free(&s);
}

/* --unet names a file of which something was read. */
static bool unet_used(base_diag *d, const ir_module *m, const fe_options *o) {
    if (!o->unet || fe_path_is_dir(o->unet)) return true;
    const char *path = fe_path_absolute(m->arena, o->unet);
    for (size_t i = 0; i < m->weights.count; i++) {
        const ir_weight *w = &m->weights.items[i];
        if (w->kind == IR_WEIGHT_FILE && strcmp(w->file, path) == 0) return true;
    }
    base_error(d, NULL,
               "--unet: no U-Net of a diffusers folder or checkpoint is loaded from files");
    return false;
}

/* Descriptions have no place for them. */
static bool controls_used(base_diag *d, const ir_module *m, const fe_options *o) {
    if (!o->controlnet_count && !o->adapter_count) return true;
    if (ir_meta_get(m, EBRU_META_PIPELINE_CONTROLS.name)) return true;
    base_error(d, NULL, "--%s: no pipeline of a diffusers folder or checkpoint is loaded",
               o->controlnet_count ? "controlnet" : "t2i-adapter");
    return false;
}

/* --ip-adapter names files, and some U-Net attends to them. */
static bool adapters_used(base_diag *d, const ir_module *m, const fe_options *o) {
    static const char scope[] = "ip_adapter";
    if (!o->ip_adapter_count) return true;
    for (size_t i = 0; i < m->weights.count; i++)
        if (strncmp(m->weights.items[i].name, scope, sizeof scope - 1) == 0) return true;
    base_error(d, NULL,
               "--ip-adapter: there is no U-Net of a diffusers folder or checkpoint in "
               "what is loaded");
    return false;
}

/* "." and ".." are names of no model. */
static char *folder_name(base_arena *a, const char *path) {
    char *name = fe_path_base(a, path);
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) return name;
    char *real = realpath(path, NULL);
    if (real) name = fe_path_base(a, real);
    free(real);
    return name;
}

/* --upscaler: behind whatever makes pictures of one size. */
static bool add_upscaler(base_diag *d, ir_module *m, const fe_options *o) {
    int64_t width = ir_meta_int(m, EBRU_META_IMAGE_WIDTH.name, 0),
            height = ir_meta_int(m, EBRU_META_IMAGE_HEIGHT.name, 0);
    if (!o->upscaler) return true;
    const char *denoiser = ir_meta_string(m, EBRU_META_PIPELINE_DENOISER.name, NULL);
    if (!denoiser || !width || !height) {
        base_error(d, NULL, "--upscaler: what is loaded paints no pictures");
        return false;
    }
    const fe_sizes s = {.batch = 1, .height = height, .width = width};
    return fe_upscaler_add(d, m, o->upscaler, &s, ir_meta_int(m, EBRU_META_IMAGE_CHANNELS.name, 3));
}

ir_module *fe_load(base_diag *d, const char *path, const fe_options *options) {
    unsigned before = base_diag_errors(d);
    if (base_ends_with(path, ".ir") || format_of(d, path, false) == FE_FORMAT_IR)
        return load_text(d, path);
    if (base_diag_errors(d) != before) return NULL;
    ir_module *m = ir_module_new();
    bool merged = true;
    if (fe_is_hub_cache(path)) path = fe_hub_snapshot(d, m->arena, path);
    bool fine = path && load_into(d, m, path, options) && base_diag_errors(d) == before;
    fine = fine && unet_used(d, m, options) && controls_used(d, m, options) &&
           adapters_used(d, m, options);
    for (uint32_t i = 0; fine && i < options->lora_count; i++)
        merged &= fe_lora_apply(d, m, &options->loras[i]);
    fine &= merged;
    fine = fine && fe_embeddings_apply(d, m, options);
    fine = fine && add_upscaler(d, m, options);
    if (fine && options->safety && !ir_meta_get(m, EBRU_META_PIPELINE_SAFETY_CHECKER.name)) {
        base_error(d, NULL, "--safety-checker: what is loaded has none");
        fine = false;
    }
    fine = fine && fe_defaults_override(d, m, options);
    if (fine) pair_halves(m);
    if (fine) note_loras(m, options);
    fine = fine && fe_lora_slots_apply(d, m, options);
    if (fine && options->clip_skip)
        ir_meta_set_int(m, EBRU_META_TEXT_CLIP_SKIP.name, options->clip_skip);
    if (fine && !ir_meta_get(m, EBRU_META_MODEL_NAME.name)) {
        char *name = fe_hub_name(m->arena, path);
        if (!name) name = folder_name(m->arena, path);
        name[fe_stem_length(name)] = '\0';
        ir_meta_set_string(m, EBRU_META_MODEL_NAME.name, name);
    }
    if (fine && options->prediction && ir_meta_get(m, EBRU_META_SAMPLER_CLASS.name))
        ir_meta_set_string(m, EBRU_META_SAMPLER_PREDICTION_TYPE.name, options->prediction);
    else if (fine && options->prediction)
        base_warning(d, NULL, "--prediction does nothing: there is no sampler in what is loaded");
    if (!fine) {
        if (path && base_diag_errors(d) == before)
            base_error(d, NULL, "%s: the model cannot be loaded", path);
        ir_module_free(m);
        return NULL;
    }
    ir_verify(m, NULL);
    fe_properties_check(d, m, NULL, NULL, 0);
    return m;
}
