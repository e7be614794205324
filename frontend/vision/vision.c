/* CLIPVisionModelWithProjection and StableDiffusionSafetyChecker, which is such a model with
 * concepts: config and the function from a picture to its embedding; see diffusers.h. */
#include <string.h>

#include "frontend/build/layers.h"
#include "frontend/diffusers/diffusers.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char *const ignored[] = {"model_type",
                                      "architectures",
                                      "attention_dropout",
                                      "dropout",
                                      "initializer_factor",
                                      "initializer_range",
                                      "logit_scale_init_value",
                                      "torch_dtype",
                                      "dtype",
                                      "transformers_version",
                                      "gradient_checkpointing"};

/* The tower's own keys; `at` is the whole config, or the part of it that is about the tower. */
static bool read_tower(base_jval at, fe_vision_config *c) {
    c->root = at;
    c->width = base_json_opt_int(at, "hidden_size", 768, 1, FE_MAX_CHANNELS);
    c->inner = base_json_opt_int(at, "intermediate_size", 3072, 1, FE_MAX_CHANNELS);
    c->layers = base_json_opt_int(at, "num_hidden_layers", 12, 1, FE_MAX_DEPTH);
    c->heads = base_json_opt_int(at, "num_attention_heads", 12, 1, FE_MAX_CHANNELS);
    c->channels = base_json_opt_int(at, "num_channels", 3, 1, FE_MAX_CHANNELS);
    c->image = base_json_opt_int(at, "image_size", 224, 1, FE_MAX_SIDE);
    c->patch = base_json_opt_int(at, "patch_size", 32, 1, FE_MAX_KERNEL);
    c->eps = base_json_opt_double(at, "layer_norm_eps", 1e-5);
    bool fine = fe_config_activation(at, "hidden_act", IR_ACT_QUICK_GELU, &c->act);
    if (c->width % c->heads) {
        base_json_error(fe_config_at(at, "num_attention_heads"),
                        "%lld heads do not divide a hidden size of %lld", (long long)c->heads,
                        (long long)c->width);
        fine = false;
    }
    if (c->patch > c->image) {
        base_json_error(fe_config_at(at, "patch_size"),
                        "a patch of %lld is larger than the picture of %lld", (long long)c->patch,
                        (long long)c->image);
        fine = false;
    }
    return fine;
}

bool fe_vision_read(base_jval root, fe_vision_config *c) {
    *c = (fe_vision_config){.prefix = "vision_model"};
    unsigned before = base_diag_errors(base_json_diag(root.doc));
    if (!base_json_expect(root, BASE_JSON_OBJECT)) return false;
    bool fine = read_tower(root, c);
    c->projection = base_json_opt_int(root, "projection_dim", 512, 1, FE_MAX_CHANNELS);
    fe_config_unknown(root, ignored, COUNT(ignored));
    return fine && base_diag_errors(base_json_diag(root.doc)) == before;
}

/* What is about the text model of the CLIP that the checker was taken from says nothing here. */
bool fe_safety_read(base_jval root, fe_vision_config *c) {
    static const char *const of_clip[] = {
        "model_type",  "architectures",       "initializer_factor", "logit_scale_init_value",
        "text_config", "text_config_dict",    "vision_config_dict", "torch_dtype",
        "dtype",       "transformers_version"};
    *c = (fe_vision_config){.prefix = "vision_model.vision_model", .checks = true};
    unsigned before = base_diag_errors(base_json_diag(root.doc));
    if (!base_json_expect(root, BASE_JSON_OBJECT)) return false;
    base_jval tower = base_json_get(root, "vision_config");
    if (!base_json_is(tower, BASE_JSON_OBJECT)) tower = base_json_get(root, "vision_config_dict");
    c->projection = base_json_opt_int(root, "projection_dim", 512, 1, FE_MAX_CHANNELS);
    if (!base_json_is(tower, BASE_JSON_OBJECT)) {
        base_json_error(root, "there is no 'vision_config'");
        return false;
    }
    bool fine = read_tower(tower, c);
    fe_config_unknown(root, of_clip, COUNT(of_clip));
    return fine && base_diag_errors(base_json_diag(root.doc)) == before;
}

int64_t fe_vision_tokens(const fe_vision_config *c) {
    int64_t side = c->image / c->patch;
    return side * side + 1;
}

static void at_key(fe_builder *b, const fe_vision_config *c, const char *key) {
    fe_at(b, fe_config_at(c->root, key));
}

static const char *part(fe_builder *b, const fe_vision_config *c, const char *name) {
    return fe_name(b, "%s.%s", c->prefix, name);
}

static ir_ref table(fe_builder *b, const char *name, uint32_t rank, int64_t rows, int64_t width) {
    fe_tensor_spec s = {.names = {name},
                        .rank = rank,
                        .dim = {rank == 1 ? width : rows, width},
                        .init = FE_INIT_TABLE};
    return fe_weight(b, &s);
}

/* Patches as tokens [B,T,C], the class token in front of them, and positions. A picture whose side
 * the patch does not divide loses its last rows and columns, as a convolution does. */
static ir_ref embeddings(fe_builder *b, const fe_vision_config *c, ir_ref x, int64_t batch) {
    fe_conv_options conv = {
        .out = c->width, .kernel = {c->patch, c->patch}, .stride = {c->patch, c->patch}};
    at_key(b, c, "patch_size");
    x = fe_to_tokens(b, fe_conv(b, x, part(b, c, "embeddings.patch_embedding"), &conv));
    ir_ref class = table(b, part(b, c, "embeddings.class_embedding"), 1, 1, c->width);
    class = fe_reshape(b, class, 3, (int64_t[]){1, 1, c->width});
    if (batch > 1) { /* a row of zeros for each picture, to add it to */
        struct ir_attrs_slice first = {.axis = 1, .start = 0, .count = 1};
        ir_ref zeros = fe_affine(b, fe_emit1(b, IR_OP_slice, x, &first), 0.0, 0.0);
        class = fe_add(b, zeros, class);
    }
    x = fe_emit2(b, IR_OP_concat, class, x, &(struct ir_attrs_axis){.axis = 1});
    int64_t tokens = fe_vision_tokens(c);
    ir_ref position =
        table(b, part(b, c, "embeddings.position_embedding.weight"), 2, tokens, c->width);
    return fe_add(b, x, fe_reshape(b, position, 3, (int64_t[]){1, tokens, c->width}));
}

/* Cosines of embeddings [B,D] and of concepts, the rows of a table: [B,n]. The length of a row is
 * taken as torch's normalize does, at least 1e-12. */
static ir_ref unit_rows(fe_builder *b, ir_ref x, int64_t rows, int64_t width) {
    struct ir_attrs_matmul dot = IR_DEFAULTS(matmul);
    dot.transpose_b = true;
    ir_ref row = fe_reshape(b, x, 3, (int64_t[]){rows, 1, width});
    ir_ref squares = fe_emit2(b, IR_OP_matmul, row, row, &dot);
    struct ir_attrs_clamp least = {.lo = 1e-24, .hi = 1e300};
    ir_ref length = fe_emit1(b, IR_OP_sqrt, fe_emit1(b, IR_OP_clamp, squares, &least), NULL);
    return fe_reshape(b, fe_emit2(b, IR_OP_div, row, length, NULL), 2, (int64_t[]){rows, width});
}

static void concepts(fe_builder *b, const fe_vision_config *c, ir_ref unit, const char *which,
                     const char *cosines, const char *margins, int64_t count) {
    struct ir_attrs_matmul dot = IR_DEFAULTS(matmul);
    dot.transpose_b = true;
    ir_ref rows = table(b, fe_name(b, "%s_embeds", which), 2, count, c->projection);
    ir_ref cosine = fe_emit2(b, IR_OP_matmul, unit, unit_rows(b, rows, count, c->projection), &dot);
    ir_ref limit = table(b, fe_name(b, "%s_embeds_weights", which), 1, 1, count);
    fe_result(b, cosines, cosine);
    limit = fe_reshape(b, limit, 2, (int64_t[]){1, count});
    fe_result(b, margins, fe_emit2(b, IR_OP_sub, cosine, limit, NULL));
}

bool fe_vision_build(fe_builder *b, const fe_vision_config *c, const char *name,
                     const fe_sizes *s) {
    unsigned before = base_diag_errors(b->d);
    fe_at(b, c->root);
    fe_begin(b, name);
    at_key(b, c, "image_size");
    ir_ref x = fe_input(b, c->checks ? "clip_input" : "pixel_values", IR_f32, 4,
                        (int64_t[]){s->batch, c->channels, c->image, c->image}, IR_PROMPT);
    x = embeddings(b, c, x, s->batch);
    at_key(b, c, "layer_norm_eps");
    x = fe_layer_norm(b, x, part(b, c, "pre_layrnorm"), c->eps); /* the published spelling */
    at_key(b, c, "num_hidden_layers");
    fe_text_layer_options layer = {
        .heads = c->heads, .inner = c->inner, .eps = c->eps, .act = c->act};
    ir_ref penultimate = x;
    for (int64_t i = 0; i < c->layers; i++) {
        penultimate = x;
        x = fe_text_layer(b, x, fe_name(b, "%s.encoder.layers.%lld", c->prefix, (long long)i),
                          &layer);
    }
    if (!c->checks) {
        fe_result(b, "last_hidden_state", x);
        fe_result(b, "penultimate_hidden_state", penultimate);
    }
    struct ir_attrs_slice first = {.axis = 1, .start = 0, .count = 1};
    x = fe_reshape(b, fe_emit1(b, IR_OP_slice, x, &first), 2, (int64_t[]){s->batch, c->width});
    at_key(b, c, "layer_norm_eps");
    x = fe_layer_norm(b, x, part(b, c, "post_layernorm"), c->eps);
    at_key(b, c, "projection_dim");
    x = fe_linear(b, x, "visual_projection", &(fe_linear_options){.out = c->projection});
    fe_result(b, "image_embeds", x);
    if (c->checks) {
        ir_ref unit = unit_rows(b, x, s->batch, c->projection);
        concepts(b, c, unit, "special_care", "special_cos_dist", "special_margins", 3);
        concepts(b, c, unit, "concept", "cos_dist", "concept_margins", 17);
    }
    return fe_end(b) && base_diag_errors(b->d) == before;
}
