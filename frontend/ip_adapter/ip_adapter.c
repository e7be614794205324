/* IP-Adapter: files, projections and keys and values; see ip_adapter.h. */
#include "frontend/ip_adapter/ip_adapter.h"

#include <stdlib.h>
#include <string.h>

#include "frontend/build/layers.h"
#include "frontend/torch/torch_file.h"

enum { HEAD_WIDTH = 64 }; /* of a Resampler: its class knows no other */

typedef enum kind { PLAIN, FULL, RESAMPLER } kind;

typedef struct adapter {
    const char *path;
    double scale;
    kind kind;
    fe_weights *weights;
    const char *scope;      /* "ip_adapter", "ip_adapter_2" ... */
    const char *suffix;     /* of its inputs: "", "_2" ... */
    int64_t input, context; /* width of what it reads, and of the tokens it makes */
    int64_t tokens;         /* that it makes of a picture; FULL: as many as it reads */
    int64_t hidden;         /* RESAMPLER: width of the latents; FULL: between the layers */
    int64_t inner, ff;      /* RESAMPLER: width of its attention, of its feed-forward */
    int64_t depth;          /* RESAMPLER: layers */
    int64_t layers;         /* cross-attentions it has keys and values for */
} adapter;

struct fe_ip_adapters {
    base_diag *d;
    ir_module *m;
    const fe_options *o;
    adapter *items;
    uint32_t count;
    int64_t read_tokens; /* of the vision tower */
    fe_image_contexts contexts;
    fe_image_context context[FE_MAX_IP_ADAPTERS];
};

/* ---- files ---- */

static const fe_st_tensor *of_rank(const fe_st *t, const char *name, uint32_t rank) {
    const fe_st_tensor *found = fe_st_find(t, name);
    if (!found || found->rank != rank) return NULL;
    for (uint32_t i = 0; i < rank; i++)
        if (found->dims[i] < 1 || found->dims[i] > FE_MAX_CHANNELS) return NULL;
    return found;
}

static bool has_prefix(const fe_st *t, const char *prefix) {
    for (size_t i = 0; i < fe_st_count(t); i++)
        if (strncmp(fe_st_at(t, i)->name, prefix, strlen(prefix)) == 0) return true;
    return false;
}

/* Rows (axis 0) or columns of a matrix of the file; 0 when there is none. */
static int64_t extent(const fe_st *t, const char *name, uint32_t rank, uint32_t axis) {
    const fe_st_tensor *found = of_rank(t, name, rank);
    return found ? found->dims[axis] : 0;
}

static int64_t count_layers(const fe_st *t, const char *format) {
    char name[80];
    int64_t n = 0;
    for (; n < 2 * FE_MAX_DEPTH; n++) {
        snprintf(name, sizeof name, format, (long long)n);
        if (!fe_st_find(t, name)) break;
    }
    return n;
}

static int64_t count_keys(const fe_st *t) {
    char name[80];
    int64_t n = 0;
    for (; n < 2 * FE_MAX_DEPTH; n++) {
        snprintf(name, sizeof name, "ip_adapter.%lld.to_k_ip.weight", (long long)(2 * n + 1));
        if (!fe_st_find(t, name)) break;
    }
    return n;
}

/* Adapters that are known and not built; NULL: it is none of them. */
static const char *stranger(const fe_st *t) {
    if (has_prefix(t, "image_proj.perceiver_resampler.") ||
        has_prefix(t, "ip_adapter.0.to_k_lora.") ||
        (fe_st_find(t, "image_proj.proj.0.weight") && fe_st_find(t, "image_proj.norm.weight")))
        return "an IP-Adapter FaceID, which reads the vectors of a face recogniser and no picture";
    if (has_prefix(t, "image_proj.time_embedding."))
        return "an IP-Adapter for Stable Diffusion 3, whose denoiser is not built";
    if (!has_prefix(t, "image_proj.") && !has_prefix(t, "ip_adapter."))
        return "no IP-Adapter: it has no tensors 'image_proj.' and 'ip_adapter.'";
    return NULL;
}

static bool find_kind(const fe_st *t, adapter *a) {
    if ((a->input = extent(t, "image_proj.proj.weight", 2, 1))) {
        a->kind = PLAIN;
        a->context = extent(t, "image_proj.norm.weight", 1, 0);
        int64_t rows = extent(t, "image_proj.proj.weight", 2, 0);
        a->tokens = a->context && rows % a->context == 0 ? rows / a->context : 0;
        return a->tokens > 0;
    }
    if ((a->context = extent(t, "image_proj.proj.3.weight", 1, 0))) {
        a->kind = FULL;
        a->input = extent(t, "image_proj.proj.0.weight", 2, 1);
        a->hidden = extent(t, "image_proj.proj.0.weight", 2, 0);
        return a->input && a->hidden;
    }
    a->kind = RESAMPLER;
    a->tokens = extent(t, "image_proj.latents", 3, 1);
    a->hidden = extent(t, "image_proj.latents", 3, 2);
    a->input = extent(t, "image_proj.proj_in.weight", 2, 1);
    a->context = extent(t, "image_proj.proj_out.weight", 2, 0);
    a->inner = extent(t, "image_proj.layers.0.0.to_q.weight", 2, 0);
    a->ff = extent(t, "image_proj.layers.0.1.1.weight", 2, 0);
    a->depth = count_layers(t, "image_proj.layers.%lld.0.to_q.weight");
    return a->tokens && a->hidden && a->input && a->context && a->inner && a->ff &&
           a->inner % HEAD_WIDTH == 0;
}

static bool open_one(fe_ip_adapters *all, adapter *a) {
    fe_st *table = fe_tensors_open(all->d, a->path);
    if (!table) return false;
    base_loc loc = {.source = base_diag_source(all->d, fe_st_path(table), NULL, 0)};
    const char *why = stranger(table);
    bool fine = !why && find_kind(table, a);
    a->layers = count_keys(table);
    if (why)
        base_error(all->d, &loc, "--ip-adapter: this is %s", why);
    else if (!fine)
        base_error(all->d, &loc,
                   "--ip-adapter: its 'image_proj.' is no projection that is known: plain "
                   "('proj', 'norm'), full face ('proj.0' to 'proj.3') or Plus ('latents', "
                   "'layers', heads of %d)",
                   HEAD_WIDTH);
    else if (!a->layers)
        base_error(all->d, &loc, "--ip-adapter: there is no tensor 'ip_adapter.1.to_k_ip.weight'");
    if (!fine || !a->layers) {
        fe_st_close(table);
        return false;
    }
    a->weights = fe_weights_table(all->d, all->m, table);
    return true;
}

fe_ip_adapters *fe_ip_adapters_open(base_diag *d, ir_module *m, const fe_options *o) {
    static const char *const suffixes[FE_MAX_IP_ADAPTERS] = {"", "_2", "_3", "_4"};
    fe_ip_adapters *all = base_alloc(sizeof *all);
    bool fine = o->ip_images <= FE_MAX_IP_IMAGES;
    if (!fine)
        base_error(d, NULL, "--ip-images=%lld: an adapter looks at 1 to %d pictures",
                   (long long)o->ip_images, FE_MAX_IP_IMAGES);
    *all = (fe_ip_adapters){.d = d, .m = m, .o = o, .count = o->ip_adapter_count};
    all->items = base_alloc((all->count + 1) * sizeof *all->items);
    for (uint32_t i = 0; i < all->count; i++) {
        all->items[i] =
            (adapter){.path = o->ip_adapters[i].path,
                      .scale = o->ip_adapters[i].scale,
                      .suffix = suffixes[i],
                      .scope = base_arena_printf(m->arena, "ip_adapter%s", suffixes[i])};
        fine &= open_one(all, &all->items[i]);
    }
    if (fine) return all;
    fe_ip_adapters_free(all);
    return NULL;
}

void fe_ip_adapters_free(fe_ip_adapters *a) {
    if (!a) return;
    for (uint32_t i = 0; i < a->count; i++) fe_weights_free(a->items[i].weights);
    base_free(a->items);
    base_free(a);
}

uint32_t fe_ip_adapters_count(const fe_ip_adapters *a) {
    return a->count;
}

bool fe_ip_adapter_reads_tokens(const fe_ip_adapters *a, uint32_t i) {
    return a->items[i].kind != PLAIN;
}

int64_t fe_ip_adapter_input_width(const fe_ip_adapters *a, uint32_t i) {
    return a->items[i].input;
}

void fe_ip_adapters_set_tokens(fe_ip_adapters *a, int64_t tokens) {
    a->read_tokens = tokens;
}

bool fe_ip_adapters_check(fe_ip_adapters *a) {
    bool fine = true;
    for (uint32_t i = 0; i < a->count; i++) fine &= fe_weights_check(a->items[i].weights);
    return fine;
}

/* ---- projections ---- */

static ir_ref layer(fe_builder *b, ir_ref x, const char *name, int64_t out, bool bias) {
    return fe_linear(b, x, name, &(fe_linear_options){.out = out, .bias = bias});
}

/* image_embeds [n,C] -> tokens [n,T,context] */
static ir_ref project_plain(fe_builder *b, const adapter *a, ir_ref x, int64_t n) {
    x = layer(b, x, "image_proj.proj", a->tokens * a->context, true);
    x = fe_reshape(b, x, 3, (int64_t[]){n, a->tokens, a->context});
    return fe_layer_norm(b, x, "image_proj.norm", 1e-5);
}

static ir_ref project_full(fe_builder *b, const adapter *a, ir_ref x) {
    x = fe_activation(b, layer(b, x, "image_proj.proj.0", a->hidden, true), IR_ACT_GELU);
    x = layer(b, x, "image_proj.proj.2", a->context, true);
    return fe_layer_norm(b, x, "image_proj.proj.3", 1e-5);
}

/* The latents attend to what was read and to themselves. */
static ir_ref perceive(fe_builder *b, const adapter *a, ir_ref x, ir_ref latents,
                       const char *prefix) {
    fe_attention_options attention = fe_attention_defaults(a->inner / HEAD_WIDTH);
    attention.inner = a->inner;
    attention.out_bias = false;
    attention.out = "to_out";
    attention.kv = "to_kv";
    x = fe_layer_norm(b, x, fe_name(b, "%s.norm1", prefix), 1e-5);
    ir_ref h = fe_layer_norm(b, latents, fe_name(b, "%s.norm2", prefix), 1e-5);
    x = fe_emit2(b, IR_OP_concat, x, h, &(struct ir_attrs_axis){.axis = 1});
    return fe_add(b, fe_attention(b, h, x, prefix, &attention), latents);
}

static ir_ref resample(fe_builder *b, const adapter *a, ir_ref x, int64_t n) {
    fe_tensor_spec spec = {.names = {"image_proj.latents"},
                           .rank = 3,
                           .dim = {1, a->tokens, a->hidden},
                           .init = FE_INIT_TABLE};
    ir_ref latents = fe_weight(b, &spec);
    x = layer(b, x, "image_proj.proj_in", a->hidden, true);
    if (n > 1) { /* the same for every picture */
        ir_ref rows[8] = {latents};
        struct ir_attrs_axis first = {.axis = 0};
        int64_t have = 1;
        while (have < n) {
            int64_t more = have < n - have ? have : n - have;
            struct ir_attrs_slice part = {.axis = 0, .start = 0, .count = more};
            rows[1] = more == have ? rows[0] : fe_emit1(b, IR_OP_slice, rows[0], &part);
            rows[0] = fe_emit2(b, IR_OP_concat, rows[0], rows[1], &first);
            have += more;
        }
        latents = rows[0];
    }
    for (int64_t i = 0; i < a->depth; i++) {
        const char *name = fe_name(b, "image_proj.layers.%lld", (long long)i);
        latents = perceive(b, a, x, latents, fe_name(b, "%s.0", name));
        ir_ref h = fe_layer_norm(b, latents, fe_name(b, "%s.1.0", name), 1e-5);
        h = fe_activation(b, layer(b, h, fe_name(b, "%s.1.1", name), a->ff, false), IR_ACT_GELU);
        h = layer(b, h, fe_name(b, "%s.1.3", name), a->hidden, false);
        latents = fe_add(b, h, latents);
    }
    latents = layer(b, latents, "image_proj.proj_out", a->context, true);
    return fe_layer_norm(b, latents, "image_proj.norm_out", 1e-5);
}

static const fe_shape *given(const fe_options *o, const char *name) {
    for (uint32_t i = 0; i < o->shape_count; i++)
        if (strcmp(o->shapes[i].name, name) == 0) return &o->shapes[i];
    return NULL;
}

/* The input of one adapter, pictures as rows: [n,C] or [n,T,C]. */
static ir_ref read_pictures(fe_ip_adapters *all, fe_builder *b, const adapter *a, int64_t batch,
                            int64_t *images) {
    bool plain = a->kind == PLAIN;
    const char *name =
        fe_name(b, "%s%s", plain ? "image_embeds" : "image_hidden_states", a->suffix);
    const fe_shape *shape = given(all->o, name);
    uint32_t rank = plain ? 2 : 3;
    int64_t tokens = all->read_tokens, dim[4] = {batch};
    *images = all->o->ip_images ? all->o->ip_images : 1;
    if (shape && shape->rank >= rank && shape->rank <= rank + 1) {
        *images = shape->rank > rank ? shape->dim[1] : 1;
        if (!plain) tokens = shape->dim[shape->rank - 2];
    }
    if (!plain && !tokens) tokens = 257; /* of the published encoders: 224 / 14 patches a side */
    bool several = *images > 1 || (shape && shape->rank > rank);
    if (several) dim[1] = *images;
    if (!plain) dim[several ? 2 : 1] = tokens;
    dim[rank - 1 + several] = a->input;
    ir_ref x = fe_input(b, name, IR_f32, rank + several, dim, IR_PROMPT);
    if (!several) return x;
    return plain ? fe_reshape(b, x, 2, (int64_t[]){batch * *images, a->input})
                 : fe_reshape(b, x, 3, (int64_t[]){batch * *images, tokens, a->input});
}

static ir_ref tokens_of(fe_ip_adapters *all, fe_builder *b, const adapter *a, int64_t batch) {
    int64_t images, n;
    ir_ref x = read_pictures(all, b, a, batch, &images);
    n = batch * images;
    x = a->kind == PLAIN  ? project_plain(b, a, x, n)
        : a->kind == FULL ? project_full(b, a, x)
                          : resample(b, a, x, n);
    if (images == 1 || !ir_ref_ok(x)) return x;
    int64_t made = ir_typeof(b->f, x)->dim[1];
    return fe_reshape(b, x, 3, (int64_t[]){batch, images * made, a->context});
}

/* What the keys' values are multiplied by: an input of programs and of callers that have it, else
 * what the option says. */
static ir_ref scale_of(fe_ip_adapters *all, fe_builder *b, const adapter *a) {
    const char *name = fe_name(b, "ip_scale%s", a->suffix);
    if (!all->o->guidance_pair && !given(all->o, name)) return IR_NONE;
    ir_ref x = fe_input(b, name, IR_f32, 1, (int64_t[]){1}, IR_PROMPT);
    return fe_reshape(b, x, 3, (int64_t[]){1, 1, 1});
}

fe_image_contexts *fe_ip_adapters_build(fe_ip_adapters *all, fe_builder *b, int64_t batch,
                                        int64_t context) {
    fe_weights *weights = b->weights;
    const char *scope = b->scope;
    bool fine = true;
    all->contexts = (fe_image_contexts){.items = all->context, .count = all->count};
    for (uint32_t i = 0; i < all->count; i++) {
        const adapter *a = &all->items[i];
        if (a->context != context) {
            base_error(all->d, NULL,
                       "--ip-adapter: '%s' makes tokens of width %lld, the U-Net attends to %lld: "
                       "it belongs to another kind of model",
                       a->path, (long long)a->context, (long long)context);
            fine = false;
            continue;
        }
        b->weights = a->weights;
        b->scope = a->scope;
        ir_ref tokens = tokens_of(all, b, a, batch);
        if (!all->o->guidance_pair) fe_result(b, fe_name(b, "ip_tokens%s", a->suffix), tokens);
        all->context[i] = (fe_image_context){.tokens = tokens,
                                             .scale = scale_of(all, b, a),
                                             .otherwise = a->scale,
                                             .weights = a->weights,
                                             .scope = a->scope,
                                             .layers = a->layers};
        b->weights = weights;
        b->scope = scope;
    }
    return fine ? &all->contexts : NULL;
}
