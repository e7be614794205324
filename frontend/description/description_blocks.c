/* The blocks of the model description language: one row and one function each, reading the block's
 * keys and calling the block builder. docs/model-language.md describes them.
 *
 * Adding a block: a function, a row in `rows`, a line in docs/model-language.md, a case in
 * tests/unit/frontend/description_test.c. */
#include "frontend/description/description.h"

#include <string.h>

#include "frontend/build/layers.h"

const char desc_common_keys[] = "block prefix from save when about";

/* ---- reading keys: of the block, else of the defaults for its kind ---- */

static base_jval find(const desc_block *k, const char *key) {
    base_jval v = base_json_get(k->v, key);
    return base_json_present(v) ? v : base_json_get(k->defaults, key);
}

enum { REQUIRED = -1 };

static int64_t number(desc *c, const desc_block *k, const char *key, int64_t fallback, int64_t min,
                      int64_t max) {
    base_jval v = find(k, key);
    int64_t n = 0;
    if (base_json_present(v)) return desc_number(c, v, &n, min, max) ? n : min;
    if (fallback == REQUIRED) fe_fail(c->b, "block '%s' needs a key '%s'", k->name, key);
    return fallback == REQUIRED ? min : fallback;
}

static double real(const desc_block *k, const char *key, double fallback) {
    base_jval v = find(k, key);
    double x;
    return base_json_present(v) && base_json_double(v, &x) ? x : fallback;
}

static bool flag(const desc_block *k, const char *key, bool fallback) {
    base_jval v = find(k, key);
    bool x;
    return base_json_present(v) && base_json_bool(v, &x) ? x : fallback;
}

/* One of two words. */
static bool second_word(const desc_block *k, const char *key, const char *first, const char *second,
                        bool fallback) {
    const char *words[] = {first, second};
    base_jval v = find(k, key);
    size_t i;
    return base_json_present(v) && base_json_choice(v, key, words, 2, &i) ? i == 1 : fallback;
}

static ir_act activation(const desc_block *k, const char *key, ir_act fallback) {
    base_jval v = find(k, key);
    size_t i;
    return base_json_present(v) && base_json_choice(v, "activation", ir_act_name, IR_ACT_COUNT, &i)
               ? (ir_act)i
               : fallback;
}

/* The tensor name of a part: from "names" of the block, of the defaults, or the fallback. */
static const char *part(const desc_block *k, const char *role, const char *fallback) {
    base_jval v = base_json_get(base_json_get(k->v, "names"), role);
    if (!base_json_present(v)) v = base_json_get(base_json_get(k->defaults, "names"), role);
    const char *word;
    return base_json_present(v) && base_json_string(v, &word) ? word : fallback;
}

/* Another value of the function: a key that names it. IR_NONE when the key is null. */
static ir_ref other(desc *c, const desc_block *k, const char *key, const char *fallback) {
    base_jval v = find(k, key);
    const char *name = fallback;
    if (base_json_is_null(v)) return IR_NONE;
    if (base_json_present(v) && !base_json_string(v, &name)) return IR_NONE;
    if (!name) return fe_fail(c->b, "block '%s' needs a key '%s'", k->name, key);
    return desc_lookup(c, base_json_present(v) ? v : k->v, name);
}

/* One number for both directions, or [y, x]. */
static void pair(desc *c, const desc_block *k, const char *key, int64_t fallback, int64_t min,
                 int64_t max, int64_t out[2]) {
    base_jval v = find(k, key);
    out[0] = out[1] = fallback;
    if (!base_json_present(v)) return;
    if (!base_json_is(v, BASE_JSON_ARRAY)) {
        desc_number(c, v, &out[0], min, max);
        out[1] = out[0];
    } else if (base_json_length(v) != 2) {
        base_json_error(v, "'%s': expected one number or two (vertical, horizontal)", key);
    } else {
        for (size_t i = 0; i < 2; i++) desc_number(c, base_json_item(v, i), &out[i], min, max);
    }
}

static int64_t channels_of(const desc *c, ir_ref x) {
    if (!ir_ref_ok(x)) return 1;
    const ir_type *t = ir_typeof(c->b->f, x);
    if (!t->rank) return 1;
    return t->dim[t->rank == 4 ? 1 : t->rank - 1];
}

/* "heads", or "head_dim" with as many heads as fit. */
static int64_t heads(desc *c, const desc_block *k, ir_ref x) {
    base_jval v = find(k, "head_dim");
    int64_t width, channels = channels_of(c, x);
    if (!base_json_present(v)) return number(c, k, "heads", 1, 1, FE_MAX_CHANNELS);
    if (!desc_number(c, v, &width, 1, FE_MAX_CHANNELS)) return 1;
    int64_t n = number(c, k, "heads", channels / width, 1, FE_MAX_CHANNELS);
    if (n * width == channels || !ir_ref_ok(x)) return n ? n : 1;
    base_json_error(v, "%lld heads of width %lld do not make the %lld channels of the value",
                    (long long)n, (long long)width, (long long)channels);
    return 1;
}

/* ---- layers ---- */

static ir_ref finish(desc *c, const desc_block *k, ir_ref x) {
    return fe_activation(c->b, x, activation(k, "activation", IR_ACT_NONE));
}

/* "same" (kernel / 2 all around), "valid" (none), a number, or [top, left, bottom, right]. */
static void padding(desc *c, const desc_block *k, fe_conv_options *o) {
    static const char *const words[] = {"same", "valid"};
    base_jval v = find(k, "padding");
    size_t i = 0;
    int64_t n;
    for (size_t p = 0; p < 4; p++) o->pad[p] = o->kernel[p % 2] / 2;
    if (!base_json_present(v)) return;
    if (base_json_is(v, BASE_JSON_ARRAY) && base_json_length(v) == 4) {
        for (size_t p = 0; p < 4; p++)
            desc_number(c, base_json_item(v, p), &o->pad[p], 0, FE_MAX_KERNEL);
    } else if (base_json_is(v, BASE_JSON_INT)) {
        if (desc_number(c, v, &n, 0, FE_MAX_KERNEL))
            o->pad[0] = o->pad[1] = o->pad[2] = o->pad[3] = n;
    } else if (base_json_is(v, BASE_JSON_ARRAY)) {
        base_json_error(v, "'padding': expected four numbers (top, left, bottom, right)");
    } else if (base_json_choice(v, "padding", words, 2, &i) && i == 1) {
        memset(o->pad, 0, sizeof o->pad);
    }
}

static ir_ref build_conv(desc *c, const desc_block *k, ir_ref x) {
    fe_conv_options o = {.out = number(c, k, "out", REQUIRED, 1, FE_MAX_CHANNELS),
                         .bias = flag(k, "bias", true)};
    pair(c, k, "kernel", 3, 1, FE_MAX_KERNEL, o.kernel);
    pair(c, k, "stride", 1, 1, FE_MAX_KERNEL, o.stride);
    padding(c, k, &o);
    return finish(c, k, fe_conv(c->b, x, k->prefix, &o));
}

static ir_ref build_linear(desc *c, const desc_block *k, ir_ref x) {
    fe_linear_options o = {.out = number(c, k, "out", REQUIRED, 1, FE_MAX_CHANNELS),
                           .bias = flag(k, "bias", true)};
    return finish(c, k, fe_linear(c->b, x, k->prefix, &o));
}

static ir_ref build_group_norm(desc *c, const desc_block *k, ir_ref x) {
    int64_t groups = number(c, k, "groups", 32, 1, FE_MAX_CHANNELS);
    return finish(c, k, fe_group_norm(c->b, x, k->prefix, groups, real(k, "eps", 1e-5)));
}

static ir_ref build_layer_norm(desc *c, const desc_block *k, ir_ref x) {
    return fe_layer_norm(c->b, x, k->prefix, real(k, "eps", 1e-5));
}

static ir_ref build_activation(desc *c, const desc_block *k, ir_ref x) {
    for (int act = 1; act < IR_ACT_COUNT; act++)
        if (strcmp(k->name, ir_act_name[act]) == 0) return fe_activation(c->b, x, (ir_act)act);
    return x;
}

static ir_ref build_embedding(desc *c, const desc_block *k, ir_ref x) {
    fe_embedding_options o = {.count = number(c, k, "count", REQUIRED, 1, FE_MAX_CHANNELS),
                              .width = number(c, k, "width", REQUIRED, 1, FE_MAX_CHANNELS)};
    base_jval position = find(k, "position");
    if (base_json_present(position)) {
        o.position = desc_text(c, position);
        o.positions = number(c, k, "positions", REQUIRED, 1, FE_MAX_SIDE);
        if (!o.position) return IR_NONE;
    }
    return fe_embedding(c->b, x, k->prefix, &o);
}

static struct ir_attrs_timestep sinusoid(desc *c, const desc_block *k) {
    struct ir_attrs_timestep a = IR_DEFAULTS(timestep);
    a.dim = number(c, k, "dim", REQUIRED, 2, FE_MAX_CHANNELS);
    a.flip = flag(k, "flip", false);
    a.shift = real(k, "shift", 0.0);
    a.max_period = real(k, "max_period", 10000.0);
    a.scale = real(k, "scale", 1.0);
    return a;
}

static ir_ref build_timestep_embedding(desc *c, const desc_block *k, ir_ref x) {
    struct ir_attrs_timestep a = sinusoid(c, k);
    return fe_sinusoid(c->b, x, &a);
}

static ir_ref mlp(desc *c, const desc_block *k, ir_ref x, int64_t out_fallback) {
    fe_mlp_options o = {.out = number(c, k, "out", out_fallback, 1, FE_MAX_CHANNELS),
                        .act = activation(k, "activation", IR_ACT_SILU),
                        .first = part(k, "linear_1", "linear_1"),
                        .second = part(k, "linear_2", "linear_2")};
    o.inner = number(c, k, "inner", o.out, 1, FE_MAX_CHANNELS);
    return fe_mlp(c->b, x, k->prefix, &o);
}

static ir_ref build_mlp(desc *c, const desc_block *k, ir_ref x) {
    return mlp(c, k, x, REQUIRED);
}

static ir_ref build_time_embedding(desc *c, const desc_block *k, ir_ref x) {
    struct ir_attrs_timestep a = sinusoid(c, k);
    return mlp(c, k, fe_sinusoid(c->b, x, &a), 4 * a.dim);
}

/* ---- the picture's size ---- */

static ir_ref pool(desc *c, const desc_block *k, ir_ref x, ir_op op) {
    struct ir_attrs_pool a = IR_DEFAULTS(pool);
    int64_t size[2], stride[2];
    pair(c, k, "size", 2, 1, FE_MAX_KERNEL, size);
    pair(c, k, "stride", size[0], 1, FE_MAX_KERNEL, stride);
    int64_t p = number(c, k, "padding", 0, 0, FE_MAX_KERNEL);
    a.kernel = IR_I2(size[0], size[1]);
    a.stride = IR_I2(stride[0], stride[1]);
    a.pad = IR_I4(p, p, p, p);
    return fe_pool(c->b, x, op, &a);
}

static ir_ref build_max_pool(desc *c, const desc_block *k, ir_ref x) {
    return pool(c, k, x, IR_OP_max_pool2d);
}

static ir_ref build_avg_pool(desc *c, const desc_block *k, ir_ref x) {
    return pool(c, k, x, IR_OP_avg_pool2d);
}

static ir_ref build_resize(desc *c, const desc_block *k, ir_ref x) {
    int64_t scale[2];
    pair(c, k, "scale", 2, 1, FE_MAX_KERNEL, scale);
    if (!ir_ref_ok(x)) return IR_NONE;
    const ir_type *t = ir_typeof(c->b->f, x);
    int64_t h = t->rank == 4 ? t->dim[2] * scale[0] : 1,
            w = t->rank == 4 ? t->dim[3] * scale[1] : 1;
    return fe_resize(c->b, x, number(c, k, "height", h, 1, FE_MAX_SIDE),
                     number(c, k, "width", w, 1, FE_MAX_SIDE));
}

static ir_ref build_downsample(desc *c, const desc_block *k, ir_ref x) {
    int64_t out = number(c, k, "out", channels_of(c, x), 1, FE_MAX_CHANNELS);
    return fe_downsample(c->b, x, k->prefix, out,
                         second_word(k, "padding", "same", "after", false));
}

static ir_ref build_upsample(desc *c, const desc_block *k, ir_ref x) {
    int64_t out = number(c, k, "out", channels_of(c, x), 1, FE_MAX_CHANNELS), height = 1, width = 1;
    fe_upsample_size(c->b, x, &height, &width);
    if (!second_word(k, "size", "double", "skip", false) && ir_ref_ok(x) &&
        ir_typeof(c->b->f, x)->rank == 4) {
        height = 2 * ir_typeof(c->b->f, x)->dim[2];
        width = 2 * ir_typeof(c->b->f, x)->dim[3];
    }
    return fe_upsample(c->b, x, k->prefix, out, height, width);
}

/* ---- blocks ---- */

static ir_ref build_res_block(desc *c, const desc_block *k, ir_ref x) {
    fe_res_options o =
        fe_res_defaults(number(c, k, "out", REQUIRED, 1, FE_MAX_CHANNELS),
                        number(c, k, "groups", 32, 1, FE_MAX_CHANNELS), real(k, "eps", 1e-5));
    unsigned before = base_diag_errors(c->b->d);
    ir_ref emb = other(c, k, "emb", "emb");
    if (base_diag_errors(c->b->d) != before) return IR_NONE;
    o.act = activation(k, "activation", IR_ACT_SILU);
    o.output_scale = real(k, "output_scale", 1.0);
    o.norm1 = part(k, "norm1", o.norm1);
    o.conv1 = part(k, "conv1", o.conv1);
    o.emb = part(k, "emb", o.emb);
    o.norm2 = part(k, "norm2", o.norm2);
    o.conv2 = part(k, "conv2", o.conv2);
    o.shortcut = part(k, "shortcut", o.shortcut);
    return fe_res_block(c->b, x, emb, k->prefix, &o);
}

static void read_attention(desc *c, const desc_block *k, ir_ref x, fe_attention_options *o) {
    o->heads = heads(c, k, x);
    o->qkv_bias = flag(k, "qkv_bias", o->qkv_bias);
    o->causal = flag(k, "causal", false);
    o->conv_weight = second_word(k, "projection", "linear", "conv", false);
    o->q = part(k, "q", o->q);
    o->k = part(k, "k", o->k);
    o->v = part(k, "v", o->v);
    o->out = part(k, "out", o->out);
    o->qkv = part(k, "qkv", NULL);
}

static ir_ref build_attention(desc *c, const desc_block *k, ir_ref x) {
    fe_image_attention_options o = fe_image_attention_defaults(
        1, number(c, k, "groups", 32, 1, FE_MAX_CHANNELS), real(k, "eps", 1e-5));
    read_attention(c, k, x, &o.attention);
    o.output_scale = real(k, "output_scale", 1.0);
    o.norm = part(k, "norm", o.norm);
    return fe_image_attention(c->b, x, k->prefix, &o);
}

static ir_ref token_attention(desc *c, const desc_block *k, ir_ref x, ir_ref context) {
    fe_attention_options o = fe_attention_defaults(1);
    read_attention(c, k, x, &o);
    return fe_attention(c->b, x, context, k->prefix, &o);
}

static ir_ref build_self_attention(desc *c, const desc_block *k, ir_ref x) {
    return token_attention(c, k, x, IR_NONE);
}

static ir_ref build_cross_attention(desc *c, const desc_block *k, ir_ref x) {
    ir_ref context = other(c, k, "context", "encoder_hidden_states");
    return ir_ref_ok(context) ? token_attention(c, k, x, context) : IR_NONE;
}

static ir_ref build_spatial_transformer(desc *c, const desc_block *k, ir_ref x) {
    fe_transformer_options o = {.heads = heads(c, k, x),
                                .depth = number(c, k, "depth", 1, 1, FE_MAX_DEPTH),
                                .groups = number(c, k, "groups", 32, 1, FE_MAX_CHANNELS),
                                .eps = real(k, "eps", 1e-6),
                                .linear_projection =
                                    !second_word(k, "projection", "linear", "conv", true),
                                .only_cross = flag(k, "only_cross_attention", false)};
    ir_ref context = other(c, k, "context", "encoder_hidden_states");
    return fe_spatial_transformer(c->b, x, context, k->prefix, &o);
}

static ir_ref build_feed_forward(desc *c, const desc_block *k, ir_ref x) {
    fe_feed_forward_options o = {
        .inner = number(c, k, "inner", 4 * channels_of(c, x), 1, FE_MAX_CHANNELS),
        .act = activation(k, "activation", IR_ACT_NONE),
        .in = part(k, "in", "net.0.proj"),
        .out = part(k, "out", "net.2")};
    o.geglu = !base_json_present(
        find(k, "activation")); /* as in Stable Diffusion, unless an activation is named */
    return fe_feed_forward(c->b, x, k->prefix, &o);
}

static ir_ref build_text_layer(desc *c, const desc_block *k, ir_ref x) {
    fe_text_layer_options o = {.heads = heads(c, k, x),
                               .inner =
                                   number(c, k, "inner", 4 * channels_of(c, x), 1, FE_MAX_CHANNELS),
                               .eps = real(k, "eps", 1e-5),
                               .act = activation(k, "activation", IR_ACT_QUICK_GELU),
                               .causal = flag(k, "causal", true)};
    return fe_text_layer(c->b, x, k->prefix, &o);
}

/* ---- values ---- */

static ir_ref build_to_tokens(desc *c, const desc_block *k, ir_ref x) {
    (void)k;
    return fe_to_tokens(c->b, x);
}

static ir_ref build_to_image(desc *c, const desc_block *k, ir_ref x) {
    int64_t height = number(c, k, "height", REQUIRED, 1, FE_MAX_SIDE);
    return fe_to_image(c->b, x, height, number(c, k, "width", REQUIRED, 1, FE_MAX_SIDE));
}

static ir_ref build_add(desc *c, const desc_block *k, ir_ref x) {
    return fe_add(c->b, x, other(c, k, "with", NULL));
}

static ir_ref build_mul(desc *c, const desc_block *k, ir_ref x) {
    return fe_mul(c->b, x, other(c, k, "with", NULL));
}

static ir_ref build_concat(desc *c, const desc_block *k, ir_ref x) {
    return fe_concat(c->b, x, other(c, k, "with", NULL));
}

static ir_ref build_scale(desc *c, const desc_block *k, ir_ref x) {
    return fe_affine(c->b, x, real(k, "mul", 1.0), real(k, "add", 0.0));
}

static ir_ref build_use(desc *c, const desc_block *k, ir_ref x) {
    if (!base_json_present(base_json_get(k->v, "from")))
        return fe_fail(c->b, "block 'use' needs a key 'from'");
    return x;
}

static ir_ref build_push(desc *c, const desc_block *k, ir_ref x) {
    (void)k;
    fe_push(c->b, x);
    return x;
}

static ir_ref build_concat_pop(desc *c, const desc_block *k, ir_ref x) {
    (void)k;
    return fe_concat_pop(c->b, x);
}

#define ATTENTION_KEYS  "heads head_dim qkv_bias causal projection names"
#define ATTENTION_NAMES "q k v out qkv"
#define SINUSOID_KEYS   "dim flip shift max_period scale"

static const desc_row rows[] = {
    {"repeat", "count index blocks", "", false, NULL},
    {"push", "", "", false, build_push},
    {"concat_pop", "", "", false, build_concat_pop},
    {"use", "", "", false, build_use},
    {"add", "with", "", false, build_add},
    {"mul", "with", "", false, build_mul},
    {"concat", "with", "", false, build_concat},
    {"scale", "mul add", "", false, build_scale},
    {"to_tokens", "", "", false, build_to_tokens},
    {"to_image", "height width", "", false, build_to_image},
    {"conv", "out kernel stride padding bias activation", "", true, build_conv},
    {"linear", "out bias activation", "", true, build_linear},
    {"group_norm", "groups eps activation", "", true, build_group_norm},
    {"layer_norm", "eps", "", true, build_layer_norm},
#define ACT(name, ID, formula) {#name, "", "", false, build_activation},
#include "base/activations.def"
    {"max_pool", "size stride padding", "", false, build_max_pool},
    {"avg_pool", "size stride padding", "", false, build_avg_pool},
    {"resize", "scale height width", "", false, build_resize},
    {"embedding", "count width position positions", "", true, build_embedding},
    {"timestep_embedding", SINUSOID_KEYS, "", false, build_timestep_embedding},
    {"time_embedding", SINUSOID_KEYS " inner out activation names", "linear_1 linear_2", true,
     build_time_embedding},
    {"mlp", "inner out activation names", "linear_1 linear_2", true, build_mlp},
    {"res_block", "out groups eps emb activation output_scale names",
     "norm1 conv1 emb norm2 conv2 shortcut", true, build_res_block},
    {"attention", "groups eps output_scale " ATTENTION_KEYS, "norm " ATTENTION_NAMES, true,
     build_attention},
    {"self_attention", ATTENTION_KEYS, ATTENTION_NAMES, true, build_self_attention},
    {"cross_attention", "context " ATTENTION_KEYS, "q k v out", true, build_cross_attention},
    {"spatial_transformer",
     "heads head_dim depth groups eps context projection only_cross_attention", "", true,
     build_spatial_transformer},
    {"feed_forward", "inner activation names", "in out", true, build_feed_forward},
    {"text_layer", "heads head_dim inner eps activation causal", "", true, build_text_layer},
    {"downsample", "out padding", "", true, build_downsample},
    {"upsample", "out size", "", true, build_upsample},
};

const desc_row *desc_find(const char *name) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

size_t desc_names(const char **out) {
    size_t n = sizeof rows / sizeof *rows;
    for (size_t i = 0; out && i < n; i++) out[i] = rows[i].name;
    return n;
}
