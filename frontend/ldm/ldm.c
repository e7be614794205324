/* Opening a single-file checkpoint; see ldm.h. The file stays mapped and is owned by the module:
 * components bind their weights in it. */
#include <string.h>

#include "frontend/ldm/clip_vocabulary.h"
#include "frontend/ldm/ldm.h"
#include "runtime/abi/meta_keys.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

enum { STRANGERS_SHOWN = 5 };

static const char *const components[] = {"unet", "vae", "text_encoder", "text_encoder_2"};
enum { COMPONENTS = COUNT(components) };

/* What a naming of weights.h refers to. */
typedef struct component_names {
    const ldm_file *file;
    const char *component;
} component_names;

struct fe_ldm {
    ldm_file file;
    component_names names[COMPONENTS];
    fe_naming namings[COMPONENTS];
};

static const char *place_in(const void *ctx, base_arena *a, const char *name) {
    const component_names *n = ctx;
    return ldm_place(n->file, n->component, a, name);
}

static bool owned_by(const void *ctx, const char *tensor) {
    const component_names *n = ctx;
    return ldm_owns(n->file, n->component, tensor);
}

static base_loc whole_file(const ldm_file *f) {
    return (base_loc){.source = base_diag_source(f->d, f->path, NULL, 0)};
}

/* ---- files that are something else ---- */

static bool contains(const fe_st *table, const char *part) {
    for (size_t i = 0; i < fe_st_count(table); i++)
        if (strstr(fe_st_at(table, i)->name, part)) return true;
    return false;
}

static bool begins(const fe_st *table, const char *start) {
    for (size_t i = 0; i < fe_st_count(table); i++)
        if (strncmp(fe_st_at(table, i)->name, start, strlen(start)) == 0) return true;
    return false;
}

/* What stands before the name of a checkpoint's first layer, if something does: a prefix that all
 * names have. */
static const char *layout_prefix(const ldm_file *f, size_t *length) {
    static const char first[] = "model.diffusion_model.input_blocks.0.0.weight";
    for (size_t i = 0; i < fe_st_count(f->table); i++) {
        const char *name = fe_st_at(f->table, i)->name, *at = strstr(name, first);
        if (!at || at == name || strcmp(at, first) != 0) continue;
        *length = (size_t)(at - name);
        return name;
    }
    return NULL;
}

/* A checkpoint in parts: what there is of it, and what is missing. */
static bool report_part(const ldm_file *f) {
    size_t n;
    const char *prefix = layout_prefix(f, &n);
    if (prefix) {
        base_note(f->d, NULL,
                  "this is a checkpoint with '%s' in front of every name; save it without that",
                  base_escape(prefix, n));
        return true;
    }
    if (begins(f->table, "first_stage_model.") || begins(f->table, "cond_stage_model.") ||
        begins(f->table, "conditioner.")) {
        base_note(f->d, NULL, "the checkpoint has no U-Net (model.diffusion_model.*)");
        return true;
    }
    if (begins(f->table, "input_blocks.0.0.") || begins(f->table, "diffusion_model.")) {
        base_note(
            f->d, NULL,
            "this is the U-Net of a checkpoint without the rest: name a diffusers folder that "
            "has the rest, and this file with --unet=");
        return true;
    }
    return false;
}

static void report_other(const ldm_file *f) {
    static const struct {
        const char *part, *what;
    } others[] = {
        {"joint_blocks.", "Stable Diffusion 3 is not supported"},
        {"double_blocks.", "Flux and its kin are not supported"},
        {"double_stream_blocks.", "HiDream is not supported"},
        {"control_model.", "a ControlNet is not supported"},
        {"lora_", "a LoRA goes beside a model, with --lora="},
    };
    /* a component's names begin so */
    static const char *const components_begin[] = {"down_blocks.",
                                                   "mid_block.",
                                                   "conv_in.",
                                                   "encoder.down_blocks.",
                                                   "decoder.up_blocks.",
                                                   "text_model.",
                                                   "embeddings.token_embedding."};
    base_loc loc = whole_file(f);
    base_error(
        f->d, &loc,
        "weights alone are no model; name the folder or the description that goes with them");
    bool told = report_part(f);
    for (size_t i = 0; i < COUNT(others) && !told; i++) {
        if (!contains(f->table, others[i].part)) continue;
        base_note(f->d, NULL, "%s", others[i].what);
        told = true;
    }
    for (size_t i = 0; i < COUNT(components_begin) && !told; i++) {
        if (!begins(f->table, components_begin[i])) continue;
        base_note(f->d, NULL,
                  "this is one component of a diffusers folder: name the folder with its "
                  "config.json; a U-Net goes beside it with --unet=");
        told = true;
    }
    const char *said = fe_st_metadata(f->table, "general.architecture"); /* of a GGUF file */
    if (said)
        base_note(f->d, NULL, "the file says of itself that its architecture is '%s'",
                  base_escape(said, strlen(said)));
    base_note(f->d, NULL,
              "a single file can be a checkpoint of Stable Diffusion 1, 2 or XL in its original "
              "layout, with "
              "tensors named model.diffusion_model.* first_stage_model.* cond_stage_model.* "
              "conditioner.*");
}

/* ---- what a whole model needs ---- */

/* Text encoders that the options name where the file has none. */
static void take_texts(ldm_file *f, const fe_options *o) {
    const char *const given[LDM_TEXTS] = {o->text_encoder, o->text_encoder_2};
    bool none = !f->text[0].prefix && !f->text[1].prefix;
    for (size_t i = 0; i < LDM_TEXTS; i++) f->text[i].given = none && given[i];
}

static bool text_complete(const ldm_file *f) {
    static const char *const options[LDM_TEXTS] = {"--text-encoder=DIR", "--text-encoder-2=DIR"};
    const ldm_family family = f->system->family;
    const bool needed[LDM_TEXTS] = {family != LDM_REFINER,
                                    family == LDM_XL || family == LDM_REFINER};
    bool fine = true;
    base_str s = {0};
    if (f->text[0].prefix || f->text[1].prefix) return true;
    for (size_t i = 0; i < LDM_TEXTS; i++) {
        if (!needed[i] || f->text[i].given) continue;
        base_str_addf(&s, "%s%s", fine ? "" : " and ", options[i]);
        fine = false;
    }
    base_loc loc = whole_file(f);
    if (!fine) {
        base_error(
            f->d, &loc,
            "the checkpoint has no text encoder (cond_stage_model.*, conditioner.embedders.*)");
        base_note(f->d, NULL, "%s: from the folder of a model that has what is missing", s.data);
    }
    base_str_free(&s);
    return fine;
}

static bool complete(const ldm_file *f, const fe_options *o) {
    base_loc loc = whole_file(f);
    bool fine = true;
    if (!f->vae.prefix && !o->vae) {
        base_error(f->d, &loc, "the checkpoint has no autoencoder (first_stage_model.*)");
        base_note(f->d, NULL, "--vae=DIR: from the folder of an autoencoder, or of a model");
        fine = false;
    }
    fine &= text_complete(f);
    for (size_t i = 0; i < LDM_TEXTS; i++) {
        const ldm_text *t = &f->text[i];
        if (!t->prefix || t->vocabulary >= FE_CLIP_WORDS) continue;
        base_error(f->d, &loc, "'%s*' knows %lld tokens, and the tokenizer of CLIP has %d",
                   t->prefix, (long long)t->vocabulary, FE_CLIP_WORDS);
        fine = false;
    }
    if (!fine) base_note(f->d, NULL, "what is there can be compiled by itself, with --component=");
    return fine;
}

/* Tensors that belong to no component and are not known to be of no use: diffusers does not read
 * them either, but somebody put them there. */
static void note_strangers(const ldm_file *f) {
    size_t n = 0;
    base_str s = {0};
    for (size_t i = 0; i < fe_st_count(f->table); i++) {
        const char *name = fe_st_at(f->table, i)->name;
        bool known = ldm_is_surplus(f, name);
        for (size_t c = 0; c < COMPONENTS && !known; c++) known = ldm_owns(f, components[c], name);
        if (known) continue;
        if (n++ < STRANGERS_SHOWN)
            base_str_addf(&s, "%s'%s'", n > 1 ? ", " : "", base_escape(name, strlen(name)));
    }
    base_loc loc = whole_file(f);
    if (n)
        base_warning(f->d, &loc, "%zu tensors are no part of the model and are not read: %s%s", n,
                     s.data, n > STRANGERS_SHOWN ? " ..." : "");
    base_str_free(&s);
}

/* ---- the door ---- */

static void close_table(void *table) {
    fe_st_close(table);
}

fe_ldm *fe_ldm_open(base_diag *d, ir_module *m, const char *path, const fe_options *o) {
    fe_st *table = fe_st_open(d, path);
    if (!table) return NULL;
    BASE_PUSH(&m->owners, ((struct ir_owner){table, close_table}));
    fe_ldm *ldm = base_alloc(sizeof *ldm);
    ldm_file *f = &ldm->file;
    f->d = d;
    f->path = fe_st_path(table);
    f->table = table;
    bool fine = ldm_tensor(f, "model.diffusion_model.input_blocks.0.0.weight");
    if (!fine) report_other(f);
    fine = fine && ldm_read_shapes(f);
    if (fine) take_texts(f, o);
    fine = fine && ldm_find_system(f, o) && (o->component || complete(f, o));
    if (!fine) {
        fe_ldm_free(ldm);
        return NULL;
    }
    note_strangers(f);
    ir_meta_set_string(m, EBRU_META_MODEL_ABOUT.name, f->system->title);
    for (size_t i = 0; i < COMPONENTS; i++) {
        ldm->names[i] = (component_names){f, components[i]};
        ldm->namings[i] = (fe_naming){&ldm->names[i], place_in, owned_by};
    }
    return ldm;
}

void fe_ldm_free(fe_ldm *ldm) {
    base_free(ldm);
}

fe_dir *fe_ldm_folder(const fe_ldm *ldm) {
    return ldm_folder(&ldm->file);
}

fe_weights *fe_ldm_weights(const fe_ldm *ldm, ir_module *m, const char *component) {
    for (size_t i = 0; i < COMPONENTS; i++)
        if (strcmp(components[i], component) == 0)
            return fe_weights_named(ldm->file.d, m, ldm->file.table, &ldm->namings[i]);
    return NULL;
}
