/* Names in LoRA files; see lora.h.
 *
 * Three families write them. kohya's, and with it LyCORIS': "lora_unet_" and the module's path with
 * '_' for '.', then .lora_down.weight, .lora_up.weight, .alpha, or the parts of other methods
 * (lora_parts.def). PEFT's: the path as it is, then .lora_A.weight, .lora_B.weight (the adapter's
 * name may stand between). Old diffusers: "...attn1.processor.to_q_lora.down.weight". A path whose dots became underscores cannot be split
 * again, so no name is: the paths of all weights get the same form and are looked up. */
#include "frontend/lora/lora.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char WEIGHT[] = ".weight", BIAS[] = ".bias";

/* ---- taking apart ---- */

static bool ends_with(const char *s, size_t n, const char *end) {
    size_t k = strlen(end);
    return n >= k && memcmp(s + n - k, end, k) == 0;
}

const char *fe_lora_other_method(const char *tensor) {
    static const char *const marks[][2] = {
        {".ia3_", "IA3 as PEFT writes it"},
        {".oft_", "OFT"},
        {".boft_", "BOFT"},
        {".glora_", "GLoRA"},
        {".vera_", "VeRA"},
        {".lora_embedding_", "LoRA of an embedding"},
        {".lora_B.bias", "LoRA with a bias"},
        {".lora_up.bias", "LoRA with a bias"},
        {".bias_indices", "LoRA with a bias"},
        {".bias_values", "LoRA with a bias"},
        {".bias_size", "LoRA with a bias"},
        {"bundle_emb.", "an embedding (textual inversion)"},
        {"emb_params", "an embedding (textual inversion)"},
    };
    static const char *const ends[][2] = {
        {".a1.weight", "GLoRA"},
        {".a2.weight", "GLoRA"},
        {".b1.weight", "GLoRA"},
        {".b2.weight", "GLoRA"},
        {".set_weight", "whole weights in place of the model's"},
    };
    for (size_t i = 0; i < COUNT(marks); i++)
        if (strstr(tensor, marks[i][0])) return marks[i][1];
    for (size_t i = 0; i < COUNT(ends); i++)
        if (ends_with(tensor, strlen(tensor), ends[i][0])) return ends[i][1];
    return NULL;
}

/* "X.lora_A.NAME.weight" of an adapter with a name: the length of X.lora_A.weight's X; 0 when it is
 * not so. */
static size_t named_adapter(const char *s, size_t n, fe_lora_role *role) {
    static const struct {
        const char *part;
        fe_lora_role role;
    } parts[] = {{".lora_A", FE_LORA_DOWN},
                 {".lora_B", FE_LORA_UP},
                 {".lora_magnitude_vector", FE_LORA_MAGNITUDE}};
    if (!ends_with(s, n, WEIGHT)) return 0;
    size_t end = n - strlen(WEIGHT), dot = end;
    while (dot > 0 && s[dot - 1] != '.') dot--;
    if (dot < 2) return 0;
    for (size_t i = 0; i < COUNT(parts); i++) {
        if (!ends_with(s, dot - 1, parts[i].part)) continue;
        *role = parts[i].role;
        return dot - 1 - strlen(parts[i].part);
    }
    return 0;
}

/* X.weight with X.on_input beside it. */
static bool has_on_input(const fe_st *table, const char *s, size_t module) {
    base_str name = {0};
    base_str_addn(&name, s, module);
    base_str_add(&name, ".on_input");
    bool there = table && fe_st_find(table, name.data);
    base_str_free(&name);
    return there;
}

/* Length of the module's part of the name, the role and its target; 0 when it is no part of a LoRA.
 */
static size_t module_length(const char *s, const fe_st *table, fe_lora_role *role, bool *bias) {
    enum { IS_WEIGHT, IS_BIAS };
    static const struct {
        const char *end;
        fe_lora_role role;
        int target;
    } ends[] = {
#define LORA_ENDING(end, ID, target) {end, FE_LORA_##ID, IS_##target},
#include "frontend/lora/lora_parts.def"
    };
    size_t n = strlen(s);
    *bias = false;
    for (size_t i = 0; i < COUNT(ends); i++)
        if (ends_with(s, n, ends[i].end)) {
            *role = ends[i].role;
            *bias = ends[i].target == IS_BIAS;
            return n - strlen(ends[i].end);
        }
    if (ends_with(s, n, WEIGHT) && has_on_input(table, s, n - strlen(WEIGHT))) {
        *role = FE_LORA_GAIN;
        return n - strlen(WEIGHT);
    }
    return named_adapter(s, n, role);
}

static const char *after(const char *s, const char *prefix) {
    size_t n = strlen(prefix);
    return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

bool fe_lora_has_component(const ir_module *m, const char *component) {
    for (size_t i = 0; i < m->weights.count; i++) {
        const char *rest = after(m->weights.items[i].name, component);
        if (rest && *rest == '/') return true;
    }
    return false;
}

/* The component a module's name begins with, and what follows. */
static const char *component_of(base_arena *a, const ir_module *m, const char *module,
                                const char **path) {
    static const struct {
        const char *name, *kohya; /* NULL: LoRA files do not know it */
    } known[] = {
#define COMPONENT(ID, name, FAMILY, kohya) {name, kohya},
#include "frontend/diffusers/components.def"
        {"text_encoder", "lora_te_"}, /* of the only one */
    };
    for (size_t i = 0; i < COUNT(known); i++)
        if (known[i].kohya && (*path = after(module, known[i].kohya))) return known[i].name;
    /* of PEFT's whole model, of LyCORIS' wrapper around one network */
    const char *rest = after(module, "base_model.model."), *wrapped = after(module, "lycoris_");
    if (rest) module = rest;
    if (wrapped) module = wrapped;
    size_t n = strcspn(module, ".");
    const char *first = base_arena_strndup(a, module, n);
    bool is_component = module[n] && fe_lora_has_component(m, first);
    for (size_t i = 0; i < COUNT(known); i++)
        is_component |= module[n] && known[i].kohya && !strcmp(first, known[i].name);
    *path = is_component ? module + n + 1 : module;
    if (is_component) return first;
    /* files of one component */
    static const char *const of_text[] = {"text_model.", "encoder.layers.", "text_model_",
                                          "encoder_layers_"};
    for (size_t i = 0; i < COUNT(of_text); i++)
        if (after(module, of_text[i])) return "text_encoder";
    return "unet";
}

/* The form in which paths are compared. */
static char *underscored(base_arena *a, const char *path) {
    char *s = base_arena_strdup(a, path);
    for (char *p = s; *p; p++)
        if (*p == '.') *p = '_';
    return s;
}

bool fe_lora_split(base_arena *a, const ir_module *m, const fe_st *table, const char *tensor,
                   fe_lora_name *out) {
    size_t n = module_length(tensor, table, &out->role, &out->bias);
    if (!n) return false;
    out->module = base_arena_strndup(a, tensor, n);
    const char *path, *processor;
    out->component = component_of(a, m, out->module, &path);
    if ((processor =
             strstr(path, ".processor."))) /* weights of an attention that stood in its processor */
        path = base_arena_printf(a, "%.*s%s", (int)(processor - path), path,
                                 processor + strlen(".processor"));
    out->path = underscored(a, path);
    return true;
}

/* ---- finding ---- */

typedef struct row {
    const char *component, *path;
    bool bias;
    uint32_t weight;
} row;

struct fe_lora_index {
    base_arena *arena;
    BASE_VEC(row) rows;
};

static int compare(const void *x, const void *y) {
    const row *a = x, *b = y;
    int order = strcmp(a->component, b->component);
    if (!order) order = strcmp(a->path, b->path);
    return order ? order : a->bias - b->bias;
}

static int by_name(const void *x, const void *y) {
    const row *a = x, *b = y;
    int order = compare(x, y);
    return order ? order : (a->weight > b->weight) - (a->weight < b->weight);
}

/* `name` ends with ".weight" or ".bias", which the row does not have. */
static void add_row(fe_lora_index *x, const char *component, const char *name, bool bias,
                    uint32_t weight) {
    char *path = underscored(x->arena, name);
    path[strlen(path) - strlen(bias ? BIAS : WEIGHT)] = '\0';
    BASE_PUSH(&x->rows, ((row){component, path, bias, weight}));
}

fe_lora_index *fe_lora_index_new(const ir_module *m) {
    fe_lora_index *x = base_alloc(sizeof *x);
    x->arena = base_arena_new();
    ldm_file original = {0}; /* a checkpoint without a prefix */
    fe_lora_ldm_read(m, &original.unet);
    for (uint32_t i = 0; i < m->weights.count; i++) {
        const ir_weight *w = &m->weights.items[i];
        const char *slash = strchr(w->name, '/');
        if (!slash) continue;
        size_t n = strlen(slash);
        bool bias = ends_with(slash, n, BIAS);
        if (!bias && !ends_with(slash, n, WEIGHT)) continue;
        const char *component = base_arena_strndup(x->arena, w->name, (size_t)(slash - w->name));
        add_row(x, component, slash + 1, bias, i);
        /* CLIPTextModel of transformers 5 has no such part */
        const char *inner = after(slash + 1, "text_model.");
        if (inner) add_row(x, component, inner, bias, i);
        if (strcmp(component, "unet") != 0) continue;
        add_row(x, component, ldm_place(&original, component, x->arena, slash + 1), bias, i);
    }
    if (x->rows.count) qsort(x->rows.items, x->rows.count, sizeof *x->rows.items, by_name);
    return x;
}

void fe_lora_index_free(fe_lora_index *x) {
    if (!x) return;
    base_free(x->rows.items);
    base_arena_free(x->arena);
    base_free(x);
}

static uint32_t lookup(const fe_lora_index *x, const fe_lora_name *name, const char *path) {
    const row key = {.component = name->component, .path = path, .bias = name->bias}, *found = NULL;
    if (x->rows.count) found = bsearch(&key, x->rows.items, x->rows.count, sizeof key, compare);
    return found ? found->weight : UINT32_MAX;
}

/* Old files have one name for the projections of all attentions: to_q, to_k, to_v, to_out. */
uint32_t fe_lora_find(const fe_lora_index *x, const fe_lora_name *name) {
    static const char *const old[][2] = {{"to_out", "to_out_0"},
                                         {"to_q", "q_proj"},
                                         {"to_k", "k_proj"},
                                         {"to_v", "v_proj"},
                                         {"to_out", "out_proj"}};
    uint32_t w = lookup(x, name, name->path);
    size_t n = strlen(name->path);
    for (size_t i = 0; i < COUNT(old) && w == UINT32_MAX; i++) {
        if (!ends_with(name->path, n, old[i][0])) continue;
        const char *other = base_arena_printf(x->arena, "%.*s%s", (int)(n - strlen(old[i][0])),
                                              name->path, old[i][1]);
        w = lookup(x, name, other);
    }
    return w;
}
