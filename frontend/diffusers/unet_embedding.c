/* Embeddings of U-Nets that few models have: the time by random frequencies or a learned table, and
 * the text pooled by attention; see diffusers.h. */
#include "frontend/build/layers.h"
#include "frontend/diffusers/diffusers.h"

/* GaussianFourierProjection: [sin, cos] of 2 pi t W, or [cos, sin]. Single numbers go through the
 * sinusoids' op two at a time: its first frequency is 1. */
static ir_ref fourier(fe_builder *b, const fe_unet_config *c, ir_ref t) {
    static const float pi = 3.14159265358979323846f; /* as torch multiplies a tensor of floats */
    const int64_t batch = ir_typeof(b->f, t)->dim[0], n = c->time_input / 2;
    fe_tensor_spec s = {
        .names = {"time_proj.weight", "time_proj.W"}, .rank = 1, .dim = {n}, .init = FE_INIT_TABLE};
    ir_ref w = fe_reshape(b, fe_weight(b, &s), 2, (int64_t[]){1, n});
    ir_ref x = fe_mul(b, fe_reshape(b, t, 2, (int64_t[]){batch, 1}), w);
    x = fe_reshape(b, fe_affine(b, x, 2 * (double)pi, 0), 1, (int64_t[]){batch * n});
    struct ir_attrs_timestep a = IR_DEFAULTS(timestep);
    a.dim = 2;
    a.flip = c->flip;
    x = fe_reshape(b, fe_sinusoid(b, x, &a), 3, (int64_t[]){batch, n, 2});
    /* [B,n,2] -> [B,2,n]: all sines, then all cosines */
    x = fe_transpose(b, x, 3, (int64_t[]){0, 2, 1});
    return fe_reshape(b, x, 2, (int64_t[]){batch, 2 * n});
}

/* Rows of a table. The timestep is a float here, so that a row is picked by weights that are 1 at
 * its number and 0 at all others: max(0, 1 - |t - i|). */
static ir_ref learned(fe_builder *b, const fe_unet_config *c, ir_ref t) {
    const int64_t batch = ir_typeof(b->f, t)->dim[0], n = c->train_timesteps;
    ir_ref table = fe_table(b, "time_proj", n, c->time_input);
    float *numbers = base_arena_alloc(b->arena, (size_t)n * sizeof *numbers);
    for (int64_t i = 0; i < n; i++) numbers[i] = (float)i;
    ir_type row = ir_type_make(IR_f32, 2, (int64_t[]){1, n});
    ir_ref d = fe_emit2(b, IR_OP_sub, fe_reshape(b, t, 2, (int64_t[]){batch, 1}),
                        fe_constant(b, "time_proj.numbers", &row, numbers), NULL);
    d = fe_emit2(b, IR_OP_max, d, fe_emit1(b, IR_OP_neg, d, NULL), NULL);
    d = fe_activation(b, fe_affine(b, d, -1, 1), IR_ACT_RELU);
    struct ir_attrs_matmul a = IR_DEFAULTS(matmul);
    return fe_emit2(b, IR_OP_matmul, d, table, &a);
}

ir_ref fe_unet_time(fe_builder *b, const fe_unet_config *c, ir_ref t) {
    if (!ir_ref_ok(t)) return IR_NONE;
    if (c->time_kind == FE_TIME_FOURIER) return fourier(b, c, t);
    if (c->time_kind == FE_TIME_LEARNED) return learned(b, c, t);
    struct ir_attrs_timestep a = IR_DEFAULTS(timestep);
    a.dim = c->time_input;
    a.flip = c->flip;
    a.shift = c->freq_shift;
    return fe_sinusoid(b, t, &a);
}

/* A token that is the mean of all, and a learned position, attends to itself and all. */
static ir_ref pool_tokens(fe_builder *b, ir_ref x, const char *prefix, int64_t heads) {
    ir_type t;
    if (!fe_of_rank(b, x, 3, "pooling a text", &t)) return IR_NONE;
    struct ir_attrs_pool mean = IR_DEFAULTS(pool);
    mean.kernel = mean.stride = IR_I2(1, t.dim[1]);
    ir_ref token =
        fe_to_tokens(b, fe_emit1(b, IR_OP_avg_pool2d, fe_to_image(b, x, 1, t.dim[1]), &mean));
    fe_tensor_spec s = {.names = {fe_sub(b, prefix, "positional_embedding")},
                        .rank = 2,
                        .dim = {1, t.dim[2]},
                        .init = FE_INIT_SHIFT};
    token = fe_add(b, token, fe_reshape(b, fe_weight(b, &s), 3, (int64_t[]){1, 1, t.dim[2]}));
    struct ir_attrs_axis along = {.axis = 1};
    ir_ref all = fe_emit2(b, IR_OP_concat, token, x, &along);
    fe_attention_options o = {
        .heads = heads, .qkv_bias = true, .q = "q_proj", .k = "k_proj", .v = "v_proj"};
    return fe_reshape(b, fe_attention(b, token, all, prefix, &o), 2,
                      (int64_t[]){t.dim[0], t.dim[2]});
}

ir_ref fe_unet_text_embedding(fe_builder *b, const fe_unet_config *c, ir_ref text) {
    static const double eps = 1e-5;
    const char *outer = fe_open(b, "add_embedding");
    ir_ref x = fe_layer_norm(b, text, "add_embedding.norm1", eps);
    x = pool_tokens(b, x, "add_embedding.pool", c->added_heads);
    x = fe_linear(b, x, "add_embedding.proj",
                  &(fe_linear_options){.out = c->time_dim, .bias = true});
    return fe_close(b, outer, fe_layer_norm(b, x, "add_embedding.norm2", eps));
}
