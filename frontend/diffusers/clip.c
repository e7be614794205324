/* CLIPTextModel and CLIPTextModelWithProjection: config and the function input_ids ->
 * last_hidden_state, penultimate_hidden_state, and text_embeds with a projection; see diffusers.h.
 */
#include <string.h>

#include "frontend/diffusers/diffusers.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* The class must be one that is built. */
static bool read_class(base_jval root, bool *projected) {
    base_jval list = base_json_get(root, "architectures");
    const char *word;
    if (!base_json_present(list) || base_json_is_null(list)) return true;
    if (!base_json_expect(list, BASE_JSON_ARRAY)) return false;
    for (base_jval v = base_json_first(list); base_json_present(v); v = base_json_next(v)) {
        if (!base_json_string(v, &word)) return false;
        *projected = strcmp(word, "CLIPTextModelWithProjection") == 0;
        if (*projected || strcmp(word, "CLIPTextModel") == 0) continue;
        base_json_error(v,
                        "unsupported: text model '%s' (supported are CLIPTextModel and "
                        "CLIPTextModelWithProjection)",
                        base_escape(word, strlen(word)));
        return false;
    }
    return true;
}

bool fe_clip_read(base_jval root, fe_clip_config *c) {
    static const char *const ignored[] = {"model_type",
                                          "bos_token_id",
                                          "pad_token_id",
                                          "dropout",
                                          "attention_dropout",
                                          "initializer_factor",
                                          "initializer_range",
                                          "torch_dtype",
                                          "dtype",
                                          "transformers_version",
                                          "gradient_checkpointing"};
    *c = (fe_clip_config){.root = root};
    unsigned before = base_diag_errors(base_json_diag(root.doc));
    if (!base_json_expect(root, BASE_JSON_OBJECT)) return false;
    bool projected = false, fine = read_class(root, &projected);
    int64_t projection = base_json_opt_int(root, "projection_dim", 512, 1, FE_MAX_CHANNELS);
    if (projected) c->projection = projection;
    c->eos = base_json_opt_int(root, "eos_token_id", 49407, 0, FE_MAX_CHANNELS);
    c->vocabulary = base_json_opt_int(root, "vocab_size", 49408, 1, FE_MAX_CHANNELS);
    c->width = base_json_opt_int(root, "hidden_size", 512, 1, FE_MAX_CHANNELS);
    c->inner = base_json_opt_int(root, "intermediate_size", 2048, 1, FE_MAX_CHANNELS);
    c->layers = base_json_opt_int(root, "num_hidden_layers", 12, 1, FE_MAX_DEPTH);
    c->heads = base_json_opt_int(root, "num_attention_heads", 8, 1, FE_MAX_CHANNELS);
    c->positions = base_json_opt_int(root, "max_position_embeddings", 77, 1, FE_MAX_SIDE);
    c->eps = base_json_opt_double(root, "layer_norm_eps", 1e-5);
    fine &= fe_config_activation(root, "hidden_act", IR_ACT_QUICK_GELU, &c->act);
    if (c->width % c->heads) {
        base_json_error(fe_config_at(root, "num_attention_heads"),
                        "%lld heads do not divide a hidden size of %lld", (long long)c->heads,
                        (long long)c->width);
        fine = false;
    }
    fe_config_unknown(root, ignored, COUNT(ignored));
    return fine && base_diag_errors(base_json_diag(root.doc)) == before;
}

static void at_key(fe_builder *b, const fe_clip_config *c, const char *key) {
    fe_at(b, fe_config_at(c->root, key));
}

/* The projected row of the end of the text. Old configs say the end is 2, which it never was in the
 * vocabulary: for them it is the largest id, as transformers does. */
static ir_ref text_embeds(fe_builder *b, const fe_clip_config *c, ir_ref x, ir_ref ids) {
    ir_ref row = fe_select_row(b, x, ids, c->eos == 2 ? -1 : c->eos);
    return fe_linear(b, row, "text_projection", &(fe_linear_options){.out = c->projection});
}

bool fe_clip_build(fe_builder *b, const fe_clip_config *c, const char *name, const fe_sizes *s) {
    unsigned before = base_diag_errors(b->d);
    if (s->tokens > c->positions) {
        base_error(b->d, NULL, "%lld tokens are more than the text model's %lld positions",
                   (long long)s->tokens, (long long)c->positions);
        return false;
    }
    if (c->skip >= c->layers) {
        base_error(b->d, NULL, "--clip-skip: %lld layers cannot be left out of %lld",
                   (long long)c->skip, (long long)c->layers);
        return false;
    }
    fe_at(b, c->root);
    fe_begin(b, name);
    at_key(b, c, "vocab_size");
    ir_ref ids = fe_input(b, "input_ids", IR_i32, 2, (int64_t[]){s->batch, s->tokens}, IR_PROMPT);
    fe_embedding_options e = {.count = c->vocabulary,
                              .width = c->width,
                              .position = "text_model.embeddings.position_embedding",
                              .positions = c->positions};
    ir_ref x = fe_embedding(b, ids, "text_model.embeddings.token_embedding", &e);

    at_key(b, c, "num_hidden_layers");
    fe_text_layer_options layer = {
        .heads = c->heads, .inner = c->inner, .eps = c->eps, .act = c->act, .causal = true};
    ir_ref last = x, penultimate = x, full_penultimate = x;
    for (int64_t i = 0; i < c->layers;
         i++) { /* x is hidden_states[i], hidden_states[layers] the last */
        if (i == c->layers - c->skip) last = x;
        if (i == c->layers - c->skip - 1) penultimate = x;
        full_penultimate = x;
        x = fe_text_layer(b, x, fe_name(b, "text_model.encoder.layers.%lld", (long long)i), &layer);
    }
    if (!c->skip) last = x;
    at_key(b, c, "layer_norm_eps");
    last = fe_layer_norm(b, last, "text_model.final_layer_norm", c->eps);
    fe_result(b, "last_hidden_state", last);
    fe_result(b, "penultimate_hidden_state", penultimate);
    if (c->skip && c->negative == FE_NEGATIVE_PENULTIMATE)
        fe_result(b, "negative_hidden_state", full_penultimate);
    if (c->skip && (c->projection || c->negative == FE_NEGATIVE_LAST))
        x = fe_layer_norm(b, x, "text_model.final_layer_norm", c->eps);
    else
        x = last;
    if (c->skip && c->negative == FE_NEGATIVE_LAST) fe_result(b, "negative_hidden_state", x);
    if (c->projection) {
        at_key(b, c, "projection_dim");
        fe_result(b, "text_embeds", text_embeds(b, c, x, ids));
    }
    return fe_end(b) && base_diag_errors(b->d) == before;
}
