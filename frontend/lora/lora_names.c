/* Names in LoRA files; see lora.h.
 *
 * Three families write them. kohya's: "lora_unet_" and the module's path with '_' for '.', then
 * .lora_down.weight, .lora_up.weight, .alpha. PEFT's: the path as it is, then .lora_A.weight,
 * .lora_B.weight (the adapter's name may stand between). Old diffusers:
 * "...attn1.processor.to_q_lora.down.weight". A path whose dots became underscores cannot be split
 * again, so no name is: the paths of all weights get the same form and are looked up. */
#include "frontend/lora/lora.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char WEIGHT[] = ".weight";

/* ---- taking apart ---- */

static bool ends_with(const char *s, size_t n, const char *end) {
    size_t k = strlen(end);
    return n >= k && memcmp(s + n - k, end, k) == 0;
}

const char *fe_lora_other_method(const char *tensor) {
    static const char *const marks[][2] = {
        {".dora_scale", "DoRA"},
        {"lora_magnitude_vector", "DoRA"},
        {".hada_", "LoHa"},
        {".lokr_", "LoKr"},
        {".on_input", "IA3"},
        {".ia3_", "IA3"},
        {".oft_", "OFT"},
        {".lora_embedding_", "LoRA of an embedding"},
        {".lora_B.bias", "LoRA with a bias"},
        {".lora_up.bias", "LoRA with a bias"},
        {"bundle_emb.", "an embedding (textual inversion)"},
        {"emb_params", "an embedding (textual inversion)"},
    };
    for (size_t i = 0; i < COUNT(marks); i++)
        if (strstr(tensor, marks[i][0])) return marks[i][1];
    size_t n = strlen(tensor);
    return ends_with(tensor, n, ".diff") || ends_with(tensor, n, ".diff_b")
               ? "whole differences of weights"
               : NULL;
}

/* "X.lora_A.NAME.weight" of an adapter with a name: the length of X.lora_A.weight's X; 0 when it is
 * not so. */
static size_t named_adapter(const char *s, size_t n, fe_lora_role *role) {
    if (!ends_with(s, n, WEIGHT)) return 0;
    size_t end = n - strlen(WEIGHT), dot = end;
    while (dot > 0 && s[dot - 1] != '.') dot--;
    if (dot < 2) return 0;
    *role = ends_with(s, dot - 1, ".lora_A") ? FE_LORA_DOWN : FE_LORA_UP;
    bool fits = ends_with(s, dot - 1, ".lora_A") || ends_with(s, dot - 1, ".lora_B");
    return fits ? dot - 1 - strlen(".lora_A") : 0;
}

/* Length of the module's part of the name and the role; 0 when it is no part of a LoRA. */
static size_t module_length(const char *s, fe_lora_role *role) {
    static const struct {
        const char *end;
        fe_lora_role role;
    } ends[] = {{".lora_up.weight", FE_LORA_UP},
                {".lora_down.weight", FE_LORA_DOWN},
                {".lora_mid.weight", FE_LORA_MID},
                {".lora_B.weight", FE_LORA_UP},
                {".lora_A.weight", FE_LORA_DOWN},
                {".lora_linear_layer.up.weight", FE_LORA_UP},
                {".lora_linear_layer.down.weight", FE_LORA_DOWN},
                {".lora.up.weight", FE_LORA_UP},
                {".lora.down.weight", FE_LORA_DOWN},
                {"_lora.up.weight", FE_LORA_UP},
                {"_lora.down.weight", FE_LORA_DOWN},
                {"_lora.alpha", FE_LORA_ALPHA},
                {".lora.alpha", FE_LORA_ALPHA},
                {".lora_linear_layer.alpha", FE_LORA_ALPHA},
                {".alpha", FE_LORA_ALPHA}};
    size_t n = strlen(s);
    for (size_t i = 0; i < COUNT(ends); i++)
        if (ends_with(s, n, ends[i].end)) {
            *role = ends[i].role;
            return n - strlen(ends[i].end);
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
    const char *rest = after(module, "base_model.model.");
    if (rest) module = rest;
    size_t n = strcspn(module, ".");
    const char *first = base_arena_strndup(a, module, n);
    bool is_component = module[n] && fe_lora_has_component(m, first);
    for (size_t i = 0; i < COUNT(known); i++)
        is_component |= module[n] && known[i].kohya && !strcmp(first, known[i].name);
    *path = is_component ? module + n + 1 : module;
    if (is_component) return first;
    /* files of one component */
    return after(module, "text_model.") || after(module, "encoder.layers.") ? "text_encoder"
                                                                            : "unet";
}

/* The form in which paths are compared. */
static char *underscored(base_arena *a, const char *path) {
    char *s = base_arena_strdup(a, path);
    for (char *p = s; *p; p++)
        if (*p == '.') *p = '_';
    return s;
}

bool fe_lora_split(base_arena *a, const ir_module *m, const char *tensor, fe_lora_name *out) {
    size_t n = module_length(tensor, &out->role);
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
    uint32_t weight;
} row;

struct fe_lora_index {
    base_arena *arena;
    BASE_VEC(row) rows;
};

static int by_name(const void *x, const void *y) {
    const row *a = x, *b = y;
    int order = strcmp(a->component, b->component);
    if (!order) order = strcmp(a->path, b->path);
    return order ? order : (a->weight > b->weight) - (a->weight < b->weight);
}

/* `name` ends with ".weight", which the row does not have. */
static void add_row(fe_lora_index *x, const char *component, const char *name, uint32_t weight) {
    char *path = underscored(x->arena, name);
    path[strlen(path) - strlen(WEIGHT)] = '\0';
    BASE_PUSH(&x->rows, ((row){component, path, weight}));
}

fe_lora_index *fe_lora_index_new(const ir_module *m) {
    fe_lora_index *x = base_alloc(sizeof *x);
    x->arena = base_arena_new();
    ldm_file original = {0}; /* a checkpoint without a prefix */
    fe_lora_ldm_read(m, &original.unet);
    for (uint32_t i = 0; i < m->weights.count; i++) {
        const ir_weight *w = &m->weights.items[i];
        const char *slash = strchr(w->name, '/');
        if (!slash || !ends_with(slash, strlen(slash), WEIGHT) || w->type.rank < 2) continue;
        const char *component = base_arena_strndup(x->arena, w->name, (size_t)(slash - w->name));
        add_row(x, component, slash + 1, i);
        /* CLIPTextModel of transformers 5 has no such part */
        const char *inner = after(slash + 1, "text_model.");
        if (inner) add_row(x, component, inner, i);
        if (strcmp(component, "unet") != 0) continue;
        add_row(x, component, ldm_place(&original, component, x->arena, slash + 1), i);
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

static int compare(const void *key, const void *element) {
    const row *a = key, *b = element;
    int order = strcmp(a->component, b->component);
    return order ? order : strcmp(a->path, b->path);
}

static uint32_t lookup(const fe_lora_index *x, const char *component, const char *path) {
    const row key = {.component = component, .path = path}, *found = NULL;
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
    uint32_t w = lookup(x, name->component, name->path);
    size_t n = strlen(name->path);
    for (size_t i = 0; i < COUNT(old) && w == UINT32_MAX; i++) {
        if (!ends_with(name->path, n, old[i][0])) continue;
        const char *other = base_arena_printf(x->arena, "%.*s%s", (int)(n - strlen(old[i][0])),
                                              name->path, old[i][1]);
        w = lookup(x, name->component, other);
    }
    return w;
}
