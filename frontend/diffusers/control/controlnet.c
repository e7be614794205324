/* ControlNetModel: a copy of the U-Net's way down, whose input has an embedding of a picture added,
 * with a 1x1 convolution behind each of its outputs; see control.h. */
#include <string.h>

#include "frontend/build/layers.h"
#include "frontend/diffusers/control/control.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- the config ---- */

static bool read_embedding(fe_control_config *c) {
    static const int64_t published[] = {16, 32, 96, 256};
    base_jval v = base_json_get(c->unet.root, "conditioning_embedding_out_channels");
    if (!base_json_present(v)) {
        c->stages = COUNT(published);
        memcpy(c->embedding, published, sizeof published);
        return true;
    }
    if (!base_json_ints(v, c->embedding, FE_MAX_RESOLUTIONS, &c->stages, 1, FE_MAX_CHANNELS))
        return false;
    if (c->stages) return true;
    base_json_error(v, "'conditioning_embedding_out_channels' is empty");
    return false;
}

static bool read_order(fe_control_config *c) {
    static const char *const orders[] = {"rgb", "bgr"};
    base_jval v = base_json_get(c->unet.root, "controlnet_conditioning_channel_order");
    size_t i = 0;
    if (base_json_present(v) && !base_json_choice(v, "channel order", orders, COUNT(orders), &i))
        return false;
    c->bgr = i == 1;
    return true;
}

bool fe_control_read(base_jval root, fe_control_config *c) {
    static const char *const ignored[] = {"upcast_attention", "addition_embed_type_num_heads"};
    *c = (fe_control_config){.bgr = false};
    unsigned before = base_diag_errors(base_json_diag(root.doc));
    bool fine = fe_unet_read_encoder(root, &c->unet);
    if (!base_json_is(root, BASE_JSON_OBJECT)) return false;
    fine &= read_embedding(c);
    fine &= read_order(c);
    c->image_channels = base_json_opt_int(root, "conditioning_channels", 3, 1, FE_MAX_CHANNELS);
    c->pooled = base_json_opt_bool(root, "global_pool_conditions", false);
    fe_config_unknown(root, ignored, COUNT(ignored));
    return fine && base_diag_errors(base_json_diag(root.doc)) == before;
}

int64_t fe_control_scale(const fe_control_config *c) {
    return fe_resolution_scale(c->stages);
}

/* ---- the network ---- */

static void at_key(fe_builder *b, const fe_control_config *c, const char *key) {
    fe_at(b, fe_config_at(c->unet.root, key));
}

static ir_ref reverse_channels(fe_builder *b, ir_ref x, int64_t channels) {
    ir_ref reversed = IR_NONE;
    for (int64_t i = channels; i-- > 0;) {
        struct ir_attrs_slice one = {.axis = 1, .start = i, .count = 1};
        ir_ref channel = fe_emit1(b, IR_OP_slice, x, &one);
        reversed = ir_ref_ok(reversed) ? fe_concat(b, reversed, channel) : channel;
    }
    return reversed;
}

/* The picture [B,C,H,W] as [B,channels,h,w], of the sample's size. */
static ir_ref embed_picture(fe_builder *b, const fe_control_config *c, const fe_sizes *s) {
    const char *prefix = "controlnet_cond_embedding";
    int64_t scale = fe_control_scale(c);
    int64_t height = s->control_height ? s->control_height : s->height * scale,
            width = s->control_width ? s->control_width : s->width * scale;
    at_key(b, c, "conditioning_channels");
    ir_ref x = fe_input(b, "controlnet_cond", IR_f32, 4,
                        (int64_t[]){s->control_batch ? s->control_batch : s->batch,
                                    c->image_channels, height, width},
                        IR_PROMPT);
    if (c->bgr) {
        at_key(b, c, "controlnet_conditioning_channel_order");
        x = reverse_channels(b, x, c->image_channels);
    }
    at_key(b, c, "conditioning_embedding_out_channels");
    fe_conv_options conv = fe_conv_same(c->embedding[0], 3, 1);
    x = fe_activation(b, fe_conv(b, x, fe_sub(b, prefix, "conv_in"), &conv), IR_ACT_SILU);
    for (size_t i = 0; i < 2 * (c->stages - 1); i++) {
        conv = fe_conv_same(c->embedding[(i + 1) / 2], 3, 1 + (int64_t)(i % 2));
        x = fe_conv(b, x, fe_name(b, "%s.blocks.%zu", prefix, i), &conv);
        x = fe_activation(b, x, IR_ACT_SILU);
    }
    conv = fe_conv_same(c->unet.channels[0], 3, 1);
    x = fe_conv(b, x, fe_sub(b, prefix, "conv_out"), &conv);
    if (!ir_ref_ok(x)) return x;
    const ir_type t = *ir_typeof(b->f, x);
    if (t.dim[2] == s->height && t.dim[3] == s->width) return x;
    return fe_fail(b,
                   "a picture of %lld x %lld is embedded in %lld x %lld cells, and the sample has "
                   "%lld x %lld",
                   (long long)width, (long long)height, (long long)t.dim[3], (long long)t.dim[2],
                   (long long)s->width, (long long)s->height);
}

/* Means over the picture, [B,C,1,1]. */
static ir_ref pool(fe_builder *b, ir_ref x) {
    if (!ir_ref_ok(x)) return x;
    const ir_type t = *ir_typeof(b->f, x);
    struct ir_attrs_pool whole = IR_DEFAULTS(pool);
    whole.kernel = whole.stride = IR_I2(t.dim[2], t.dim[3]);
    return fe_pool(b, x, IR_OP_avg_pool2d, &whole);
}

/* Result k: what convolution `prefix` makes of x, times entry k of the scales. */
static void result(fe_builder *b, const fe_control_config *c, ir_ref x, size_t k, ir_ref scales,
                   const char *prefix, const char *name) {
    if (!ir_ref_ok(x)) return;
    struct ir_attrs_slice entry = {.axis = 0, .start = (int64_t)k, .count = 1};
    fe_conv_options conv = fe_conv_same(ir_typeof(b->f, x)->dim[1], 1, 1);
    x = fe_conv(b, x, prefix, &conv);
    if (c->pooled) x = pool(b, x);
    ir_ref scale = fe_emit1(b, IR_OP_slice, scales, &entry);
    fe_result(b, name, fe_mul(b, x, fe_reshape(b, scale, 4, (int64_t[]){1, 1, 1, 1})));
}

bool fe_control_build(fe_builder *b, const fe_control_config *c, const char *name,
                      const fe_sizes *s) {
    unsigned before = base_diag_errors(b->d);
    fe_at(b, c->unet.root);
    fe_begin(b, name);
    ir_ref picture = embed_picture(b, c, s);
    ir_ref x = ir_ref_ok(picture) ? fe_unet_encode(b, &c->unet, s, picture) : IR_NONE;
    size_t count = b->skips.count;
    at_key(b, c, "down_block_types");
    ir_ref scales =
        fe_input(b, "conditioning_scale", IR_f32, 1, (int64_t[]){(int64_t)count + 1}, IR_STEP);
    for (size_t k = 0; k < count; k++)
        result(b, c, b->skips.items[k].value, k, scales,
               fe_name(b, "controlnet_down_blocks.%zu", k),
               fe_name(b, "down_block_res_samples.%zu", k));
    b->skips.count = 0;
    at_key(b, c, "mid_block_type");
    result(b, c, x, count, scales, "controlnet_mid_block", "mid_block_res_sample");
    return fe_end(b) && base_diag_errors(b->d) == before;
}
