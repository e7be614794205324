/* The networks beside a pipeline's U-Net: those of its own folder (controlnet/, controlnet_1/ ...,
 * adapter/ ...) and those of --controlnet and --t2i-adapter; see pipeline.h. */
#include <string.h>

#include "frontend/diffusers/pipeline.h"
#include "frontend/files/hub_cache.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Of a component that there may be several of: the class of one, also of a config that names none,
 * and the class that says in model_index.json that there are several. */
static const struct several {
    fe_component_kind kind;
    const char *one, *class;
} several[] = {{FE_COMPONENT_CONTROLNET, "ControlNetModel", "MultiControlNetModel"},
               {FE_COMPONENT_ADAPTER, "T2IAdapter", "MultiAdapter"}};

/* "controlnet", "controlnet_1" ...: folder, function and weights of number `index`. */
static const char *numbered(const fe_pipeline *p, fe_component_kind kind, size_t index) {
    const char *name = fe_component_names[kind];
    return index ? base_arena_printf(p->m->arena, "%s_%zu", name, index) : name;
}

static size_t count_of(const fe_pipeline *p, fe_component_kind kind) {
    size_t n = 0;
    for (size_t i = 0; i < p->control_count; i++) n += p->controls[i].kind == kind;
    return n;
}

/* ---- opening ---- */

/* Reads the config of a network in its folder `dir`, which may be NULL after a report. */
static bool read_part(fe_pipeline *p, fe_component *part) {
    if (!part->dir) return false;
    part->doc = fe_json_load_in(p->d, part->dir, "config.json", NULL);
    if (!part->doc) return false;
    base_jval root = base_json_root(part->doc);
    fe_family family = fe_component_family[part->kind];
    for (size_t i = 0; i < COUNT(several); i++)
        if (several[i].kind == part->kind) part->class = fe_class_find(family, several[i].one);
    if (fe_config_names_class(root)) part->class = fe_class_of_config(root);
    if (!part->class) return false;
    if (fe_class_family(part->class) == family)
        return fe_class_read(part->class, root, &part->config);
    base_str list = {0};
    fe_class_list(family, &list);
    base_json_error(root, "this is a %s, and a %s is wanted here", fe_class_name(part->class),
                    list.data);
    base_str_free(&list);
    return false;
}

/* The next network of its kind, in `dir`. */
static bool add(fe_pipeline *p, fe_component_kind kind, fe_dir *dir, const char *source,
                bool given) {
    if (p->control_count == FE_MAX_CONTROLS) {
        base_error(p->d, NULL, "more than %d ControlNets and adapters", FE_MAX_CONTROLS);
        fe_dir_close(dir);
        return false;
    }
    fe_component *part = &p->controls[p->control_count];
    *part = (fe_component){.kind = kind,
                           .wanted = true,
                           .given = given,
                           .name = numbered(p, kind, count_of(p, kind)),
                           .source = source,
                           .dir = dir};
    p->control_count++;
    return read_part(p, part);
}

static bool open_own(fe_pipeline *p, const struct several *s) {
    const char *name = fe_component_names[s->kind];
    base_jval at;
    const char *class = fe_indexed_class(base_json_root(p->index), name, &at);
    if (!class) {
        base_json_error(base_json_root(p->index), "the pipeline needs a component '%s'", name);
        return false;
    }
    bool many = strcmp(class, s->class) == 0;
    if (!many && !fe_class_find(fe_component_family[s->kind], class)) {
        base_str list = {0};
        fe_class_list(fe_component_family[s->kind], &list);
        base_json_error(at, "unsupported: a '%s' of class '%s'", name,
                        base_escape(class, strlen(class)));
        base_note(p->d, NULL, "supported are %s, %s", list.data, s->class);
        base_str_free(&list);
        return false;
    }
    if (!fe_component_there(p, name, "config.json")) return false;
    bool fine = true;
    for (size_t i = 0; i == 0 || (many && fe_dir_has_dir(p->root, numbered(p, s->kind, i))); i++) {
        const char *folder = numbered(p, s->kind, i);
        fine &= add(p, s->kind, fe_dir_open_in(p->d, p->root, folder), folder, false);
    }
    return fine;
}

static bool open_given(fe_pipeline *p, fe_component_kind kind, const char *const *paths,
                       uint32_t count) {
    base_arena *a = p->m->arena;
    bool fine = true;
    for (uint32_t i = 0; i < count; i++) {
        const char *path = paths[i], *name = fe_hub_name(a, path);
        if (fe_is_hub_cache(path)) path = fe_hub_snapshot(p->d, a, path);
        fe_dir *dir = path ? fe_dir_open(p->d, path) : NULL;
        if (path && !dir && !fe_path_exists(path)) fe_hub_advice(p->d, path, FE_HUB_MODEL);
        fine &= add(p, kind, dir, name ? name : fe_path_base(a, paths[i]), true);
    }
    return fine;
}

bool fe_controls_open(fe_pipeline *p) {
    fe_component_kind kind;
    double scale;
    bool fine = true, own = fe_pipeline_controlled(p, &kind, &scale);
    for (size_t i = 0; i < COUNT(several); i++)
        if (own && kind == several[i].kind) fine &= open_own(p, &several[i]);
    fine &= open_given(p, FE_COMPONENT_CONTROLNET, p->o->controlnets, p->o->controlnet_count);
    return open_given(p, FE_COMPONENT_ADAPTER, p->o->adapters, p->o->adapter_count) && fine;
}

bool fe_controls_find(const fe_pipeline *p, const char *name, fe_component_kind *kind) {
    for (size_t i = 0; i < COUNT(several); i++) {
        const char *first = fe_component_names[several[i].kind];
        size_t n = strlen(first);
        if (strncmp(name, first, n) != 0) continue;
        for (size_t k = 0; k < FE_MAX_CONTROLS; k++)
            if (strcmp(name, numbered(p, several[i].kind, k)) == 0) {
                *kind = several[i].kind;
                return true;
            }
    }
    return false;
}

bool fe_controls_open_one(fe_pipeline *p, fe_component_kind kind, const char *name) {
    fe_component *part = &p->parts[kind];
    if (!fe_dir_has_dir(p->root, name)) {
        base_loc loc = {.source = base_diag_source(p->d, fe_dir_path(p->root), NULL, 0)};
        base_error_missing(p->d, &loc, "the pipeline has no folder '%s'", name);
        return false;
    }
    /* their configs have no size, but the pipeline has */
    bool sized = p->o->width || p->o->shape_count;
    for (int i = FE_COMPONENT_UNET; i <= FE_COMPONENT_VAE && !sized; i++)
        if (fe_dir_has_dir(p->root, fe_component_names[i]) &&
            !fe_component_open(p, (fe_component_kind)i))
            return false;
    *part = (fe_component){
        .kind = kind, .wanted = true, .name = name, .dir = fe_component_dir(p, name)};
    return read_part(p, part);
}

/* ---- whether they fit ---- */

static bool image_fits(base_jval root, const char *key, int64_t channels) {
    if (channels == 1 || channels == 3) return true;
    base_json_error(fe_config_at(root, key),
                    "unsupported in a pipeline: control pictures of %lld channels (1 and 3 are)",
                    (long long)channels);
    return false;
}

/* XL's ControlNets are told what the U-Net is told beside the context. */
static bool addition_fits(const fe_pipeline *p, const fe_unet_config *c) {
    const fe_unet_config *unet = &p->parts[FE_COMPONENT_UNET].config.unet;
    int64_t ids = fe_pipeline_time_ids(p);
    bool same = unet->added_input && c->added_input - ids * c->added_time_dim ==
                                         unet->added_input - ids * unet->added_time_dim;
    if (!c->added_input || same) return true;
    base_json_error(fe_config_at(c->root, "addition_embed_type"),
                    "the ControlNet needs text_embeds and time_ids, which this U-Net %s: it was "
                    "made for another",
                    unet->added_input ? "has of another width" : "has not");
    return false;
}

static bool controlnet_fits(const fe_pipeline *p, const fe_control_config *control) {
    const fe_unet_config *unet = &p->parts[FE_COMPONENT_UNET].config.unet, *c = &control->unet;
    int64_t wanted = fe_unet_context(c), given = fe_unet_context(unet);
    bool fine = addition_fits(p, c);
    if (c->in_channels != unet->out_channels) {
        base_json_error(fe_config_at(c->root, "in_channels"),
                        "the ControlNet takes %lld channels, the latent has %lld: it was made for "
                        "another U-Net",
                        (long long)c->in_channels, (long long)unet->out_channels);
        fine = false;
    }
    if (wanted && wanted != given) {
        base_json_error(fe_config_at(c->root, "cross_attention_dim"),
                        "the ControlNet attends to a context of width %lld, the U-Net to one of "
                        "%lld: it was made for another U-Net",
                        (long long)wanted, (long long)given);
        fine = false;
    }
    if (c->class_kind != FE_CLASS_NONE) {
        base_json_error(fe_config_at(c->root, c->class_kind == FE_CLASS_TABLE ? "num_class_embeds"
                                                                              : "class_embed_type"),
                        "unsupported in a pipeline: a ControlNet with class labels (the component "
                        "alone can be loaded)");
        fine = false;
    }
    if (fe_control_scale(control) != fe_pixel_scale(p)) {
        base_json_error(fe_config_at(c->root, "conditioning_embedding_out_channels"),
                        "a cell of the picture's embedding has %lld pixels along a side, a cell of "
                        "the latent %lld",
                        (long long)fe_control_scale(control), (long long)fe_pixel_scale(p));
        fine = false;
    }
    return image_fits(c->root, "conditioning_channels", control->image_channels) && fine;
}

bool fe_controls_check(const fe_pipeline *p) {
    const fe_unet_config *unet = &p->parts[FE_COMPONENT_UNET].config.unet;
    bool fine = true;
    if (!p->control_count) return true;
    if (!unet->conditional || p->condition == EBRU_CONDITION_LOW_RESOLUTION) {
        base_error(p->d, NULL, "unsupported: a ControlNet or adapter in a %s", p->c->name);
        return false;
    }
    for (size_t i = 0; i < p->control_count; i++) {
        const fe_component *part = &p->controls[i];
        fine &= part->kind == FE_COMPONENT_CONTROLNET
                    ? controlnet_fits(p, &part->config.control)
                    : image_fits(part->config.adapter.root, "in_channels",
                                 part->config.adapter.image_channels);
    }
    return fine;
}

/* ---- what they add to the U-Net ---- */

/* Names of a network's results, and of the U-Net's inputs that they are added to. */
static const char *const handed[][2] = {
    {"down_block_res_samples.", "down_block_additional_residuals."},
    {"mid_block_res_sample", "mid_block_additional_residual"},
    {"features.", "down_intrablock_additional_residuals."},
};

static fe_shape *find_added(fe_shape *added, uint32_t count, const char *name) {
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(added[i].name, name) == 0) return &added[i];
    return NULL;
}

/* A second network's result for the same input: of the same shape, or a mean over it. */
static bool joins(const fe_pipeline *p, const fe_component *part, fe_shape *to, const ir_type *t) {
    bool fits = t->dim[1] == to->dim[1];
    for (int i = 2; i < 4; i++) {
        fits &= t->dim[i] == to->dim[i] || t->dim[i] == 1 || to->dim[i] == 1;
        if (t->dim[i] > to->dim[i]) to->dim[i] = t->dim[i];
    }
    if (!fits)
        base_error(p->d, NULL,
                   "'%s' and the networks before it add to '%s' what has other shapes: they were "
                   "made for different U-Nets",
                   base_escape(part->source, strlen(part->source)), to->name);
    return fits;
}

static bool add_results(const fe_pipeline *p, const fe_component *part, const ir_func *f,
                        int64_t batch, fe_shape *added, uint32_t *count) {
    bool fine = true;
    for (size_t i = 0; i < f->outputs.count; i++) {
        const char *name = f->outputs.items[i].name, *to = NULL;
        const ir_type *t = ir_typeof(f, f->outputs.items[i].value);
        for (size_t k = 0; k < COUNT(handed) && !to; k++)
            if (strncmp(name, handed[k][0], strlen(handed[k][0])) == 0)
                to = base_arena_printf(p->m->arena, "%s%s", handed[k][1],
                                       name + strlen(handed[k][0]));
        fe_shape *known = to ? find_added(added, *count, to) : NULL;
        if (known) {
            fine &= joins(p, part, known, t);
        } else if (to) {
            added[*count] = (fe_shape){.name = to, .rank = t->rank};
            memcpy(added[*count].dim, t->dim, t->rank * sizeof *t->dim);
            added[(*count)++].dim[0] = batch;
        }
    }
    return fine;
}

bool fe_controls_added(const fe_pipeline *p, fe_sizes *s) {
    size_t most = 0;
    bool fine = true;
    for (size_t i = 0; i < p->control_count; i++)
        most += ir_func_find(p->m, p->controls[i].name)->outputs.count;
    fe_shape *added = base_arena_alloc(p->m->arena, (most + 1) * sizeof *added);
    s->added = added;
    s->added_count = 0;
    for (size_t i = 0; i < p->control_count; i++)
        fine &= add_results(p, &p->controls[i], ir_func_find(p->m, p->controls[i].name), s->batch,
                            added, &s->added_count);
    return fine;
}

bool fe_controls_build(fe_pipeline *p) {
    bool fine = true;
    for (size_t i = 0; i < p->control_count; i++) fine &= fe_component_build(p, &p->controls[i]);
    return fine;
}

/* ---- properties ---- */

static const char *key(const fe_pipeline *p, const char *row, size_t number) {
    char name[64];
    ebru_meta_numbered((ebru_string_key){row, NULL}, (int64_t)number, name);
    return base_arena_strdup(p->m->arena, name);
}

void fe_controls_meta(fe_pipeline *p) {
    fe_component_kind kind;
    double scale;
    bool own = fe_pipeline_controlled(p, &kind, &scale);
    if (!p->control_count) return;
    ir_meta_set_int(p->m, EBRU_META_PIPELINE_CONTROLS.name, (int64_t)p->control_count);
    for (size_t i = 0; i < p->control_count; i++) {
        const fe_component *part = &p->controls[i];
        bool net = part->kind == FE_COMPONENT_CONTROLNET;
        ir_meta_set_string(p->m, key(p, EBRU_META_CONTROL.name, i), part->name);
        ir_meta_set_string(p->m, key(p, EBRU_META_CONTROL_SOURCE.name, i), part->source);
        if (!part->given && own)
            ir_meta_set_float(p->m, key(p, EBRU_META_CONTROL_SCALE.name, i), scale);
        if (net && part->config.control.pooled)
            ir_meta_set_int(p->m, key(p, EBRU_META_CONTROL_POOLED.name, i), 1);
    }
}
