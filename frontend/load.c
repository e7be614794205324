/* The door of the front ends: what kind of model a path is; see frontend.h. */
#include "frontend/frontend.h"

#include "base/number.h"

#include <stdlib.h>
#include <string.h>

#include "frontend/defaults.h"
#include "frontend/diffusers/diffusers.h"
#include "frontend/files/formats.h"
#include "frontend/files/hub_cache.h"
#include "frontend/lora/lora.h"
#include "frontend/properties.h"
#include "frontend/safetensors/weights.h"
#include "runtime/abi/meta_keys.h"

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

static void find_factor(ir_module *m, ir_weight *w, const char *text) {
    if (w->kind == IR_WEIGHT_FILE) w->file = fe_path_beside(m->arena, text, w->file);
}

/* Files that a text names, wherever it is read from. */
static void find_files(ir_module *m, const char *text) {
    for (size_t i = 0; i < m->weights.count; i++) {
        ir_weight *w = &m->weights.items[i];
        find_factor(m, w, text);
        for (ir_lora *l = w->loras; l; l = l->next) {
            find_factor(m, &l->up, text);
            find_factor(m, &l->down, text);
            find_factor(m, &l->mid, text);
        }
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
        fine = doc && fe_load_description(d, m, file, doc, o);
        base_json_free(doc);
    } else {
        base_error(d, NULL,
                   "%s: a model folder has a model_index.json, a config.json or a model.json",
                   path);
    }
    base_free(file);
    return fine;
}

/* A JSON file: a description, or one of diffusers' files, which stand for their folder. */
static bool load_json(base_diag *d, ir_module *m, const char *path, const fe_options *o) {
    base_json *doc = fe_json_load(d, path, NULL);
    if (!doc) {
        if (!fe_path_exists(path)) fe_hub_advice(d, path);
        return false;
    }
    base_jval root = base_json_root(doc);
    bool fine = false;
    if (base_json_present(base_json_get(root, "ebru"))) {
        fine = fe_load_description(d, m, path, doc, o);
    } else if (base_json_present(base_json_get(root, "_class_name")) ||
               base_json_present(base_json_get(root, "architectures"))) {
        base_json_error(root, "this is a part of a diffusers model: name the folder it is in");
    } else {
        base_json_error(root, "this is no model description: it has no key 'ebru'");
    }
    base_json_free(doc);
    return fine;
}

static bool refuse_pickle(base_diag *d, const char *path, const char *what) {
    base_error(d, NULL, "%s: this is a pickle, and reading a pickle runs code from it", path);
    if (strcmp(what, "a pickle") != 0) base_note(d, NULL, "this is %s", what);
    base_note(d, NULL,
              "in Python, safetensors.torch.save_file(torch.load(FILE)[\"state_dict\"], NEW) "
              "writes the "
              "same tensors as safetensors");
    return false;
}

/* The format of a file by its content; UNKNOWN of what cannot be looked into. */
static fe_format format_of(base_diag *d, const char *path, const char **what) {
    fe_map map;
    *what = NULL;
    if (!fe_path_is_file(path) || !fe_file_map(d, path, &map)) return FE_FORMAT_UNKNOWN;
    fe_format format = fe_format_of(map.data, map.size, what);
    fe_unmap(&map);
    return format;
}

/* Files of models that are not read, by their ending; true after reporting. */
static bool is_stranger(base_diag *d, const char *path) {
    static const char *const known[][2] = {
        {".onnx", "an ONNX graph, and graphs are not read"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!ends_with(path, known[i][0])) continue;
        base_error(d, NULL, "%s: this is %s", path, known[i][1]);
        base_note(d, NULL, "name a diffusers folder or a checkpoint in safetensors");
        return true;
    }
    return false;
}

static bool load_into(base_diag *d, ir_module *m, const char *path, const fe_options *o) {
    if (fe_path_is_dir(path)) return load_folder(d, m, path, o);
    const char *what;
    unsigned before = base_diag_errors(d);
    fe_format format = format_of(d, path, &what);
    if (base_diag_errors(d) != before) return false;
    switch (format) {
    case FE_FORMAT_SAFETENSORS: return fe_load_checkpoint(d, m, path, o);
    case FE_FORMAT_PICKLE: return refuse_pickle(d, path, what);
    case FE_FORMAT_PROGRAM:
        base_error(d, NULL, "%s: this is a program, not a model", path);
        base_note(d, NULL, "`ebru inspect` says what a program was compiled from");
        return false;
    case FE_FORMAT_FOREIGN: base_error(d, NULL, "%s: this is %s", path, what); return false;
    case FE_FORMAT_EMPTY:
    case FE_FORMAT_IR:
    case FE_FORMAT_UNKNOWN: break;
    }
    if (fe_path_exists(path) && is_stranger(d, path)) return false;
    if (path[fe_stem_length(path)]) return fe_load_checkpoint(d, m, path, o); /* a broken one */
    return load_json(d, m, path, o);
}

/* Guidance calls the denoiser with the same sample in both halves of its batch. */
static void pair_halves(ir_module *m) {
    const char *denoiser = ir_meta_string(m, EBRU_META_PIPELINE_DENOISER.name, NULL);
    ir_func *f = denoiser ? ir_func_find(m, base_arena_printf(m->arena, "%s@2", denoiser)) : NULL;
    for (size_t i = 0; f && i < f->inputs.count; i++)
        if (strcmp(IR_ATTRS(ir_get(f, f->inputs.items[i]), input)->name, "sample") == 0)
            ir_input_pair(f, f->inputs.items[i]);
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

/* "." and ".." are names of no model. */
static char *folder_name(base_arena *a, const char *path) {
    char *name = fe_path_base(a, path);
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) return name;
    char *real = realpath(path, NULL);
    if (real) name = fe_path_base(a, real);
    free(real);
    return name;
}

ir_module *fe_load(base_diag *d, const char *path, const fe_options *options) {
    unsigned before = base_diag_errors(d);
    const char *what;
    if (ends_with(path, ".ir") || format_of(d, path, &what) == FE_FORMAT_IR)
        return load_text(d, path);
    if (base_diag_errors(d) != before) return NULL;
    ir_module *m = ir_module_new();
    bool merged = true;
    if (fe_is_hub_cache(path)) path = fe_hub_snapshot(d, m->arena, path);
    bool fine = path && load_into(d, m, path, options) && base_diag_errors(d) == before;
    for (uint32_t i = 0; fine && i < options->lora_count; i++)
        merged &= fe_lora_apply(d, m, &options->loras[i]);
    fine &= merged;
    fine = fine && fe_defaults_override(d, m, options);
    if (fine) pair_halves(m);
    if (fine) note_loras(m, options);
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
