/* T2IAdapter: from a picture to a feature for each resolution of the U-Net; see control.h. */
#include <string.h>

#include "frontend/build/layers.h"
#include "frontend/diffusers/control/control.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- the config ---- */

static bool read_channels(fe_adapter_config *c) {
    static const int64_t published[] = {320, 640, 1280, 1280};
    base_jval v = base_json_get(c->root, "channels");
    if (!base_json_present(v)) {
        c->count = COUNT(published);
        memcpy(c->channels, published, sizeof published);
        return true;
    }
    if (!base_json_ints(v, c->channels, FE_MAX_RESOLUTIONS, &c->count, 1, FE_MAX_CHANNELS))
        return false;
    if (!c->count) {
        base_json_error(v, "'channels' is empty");
        return false;
    }
    /* blocks of the XL kind change channels at two places only */
    for (size_t i = 3; c->kind == FE_ADAPTER_FULL_XL && i < c->count; i++)
        if (c->channels[i] != c->channels[i - 1]) {
            base_json_error(base_json_item(v, i),
                            "block %zu of a full_adapter_xl cannot go from %lld to %lld channels",
                            i, (long long)c->channels[i - 1], (long long)c->channels[i]);
            return false;
        }
    for (size_t i = 0; c->kind == FE_ADAPTER_LIGHT && i < c->count; i++)
        if (c->channels[i] < 4) {
            base_json_error(base_json_item(v, i),
                            "a light_adapter works with a fourth of these channels: 4 or more");
            return false;
        }
    return true;
}

bool fe_adapter_read(base_jval root, fe_adapter_config *c) {
    static const char *const kinds[] = {"full_adapter", "full_adapter_xl", "light_adapter"};
    *c = (fe_adapter_config){.root = root};
    unsigned before = base_diag_errors(base_json_diag(root.doc));
    if (!base_json_expect(root, BASE_JSON_OBJECT)) return false;
    base_jval type = base_json_get(root, "adapter_type");
    size_t kind = 0;
    bool fine = !base_json_present(type) ||
                base_json_choice(type, "adapter type", kinds, COUNT(kinds), &kind);
    c->kind = (fe_adapter_kind)kind;
    fine &= read_channels(c);
    c->image_channels = base_json_opt_int(root, "in_channels", 3, 1, FE_MAX_CHANNELS);
    c->res_blocks = base_json_opt_int(root, "num_res_blocks", 2, 0, FE_MAX_DEPTH);
    c->factor = base_json_opt_int(root, "downscale_factor", 8, 1, FE_MAX_KERNEL);
    fe_config_unknown(root, NULL, 0);
    return fine && base_diag_errors(base_json_diag(root.doc)) == before;
}

/* ---- the network ---- */

/* [B,C,H,W] -> [B,C r r,H/r,W/r]: the pixels of a square become channels, row by row. */
static ir_ref unshuffle(fe_builder *b, ir_ref x, int64_t r) {
    if (!ir_ref_ok(x) || r == 1) return x;
    const ir_type t = *ir_typeof(b->f, x);
    int64_t n = t.dim[0], c = t.dim[1], h = t.dim[2] / r, w = t.dim[3] / r;
    x = fe_reshape(b, x, 6, (int64_t[]){n, c, h, r, w, r});
    x = fe_transpose(b, x, 6, (int64_t[]){0, 1, 3, 5, 2, 4});
    return fe_reshape(b, x, 4, (int64_t[]){n, c * r * r, h, w});
}

/* The last row (axis 2) or column (3) once more where their number is odd. */
static ir_ref make_even(fe_builder *b, ir_ref x, int axis) {
    if (!ir_ref_ok(x)) return x;
    int64_t extent = ir_typeof(b->f, x)->dim[axis];
    if (extent % 2 == 0) return x;
    struct ir_attrs_slice edge = {.axis = axis, .start = extent - 1, .count = 1};
    struct ir_attrs_axis joined = {.axis = axis};
    return fe_emit2(b, IR_OP_concat, x, fe_emit1(b, IR_OP_slice, x, &edge), &joined);
}

/* Means of 2x2 pixels; at an odd edge of those that there are, which is the same with the edge
 * doubled. */
static ir_ref halve(fe_builder *b, ir_ref x) {
    struct ir_attrs_pool means = IR_DEFAULTS(pool);
    return fe_pool(b, make_even(b, make_even(b, x, 2), 3), IR_OP_avg_pool2d, &means);
}

/* x + block2(relu(block1(x))); the second convolution is 1x1 in the full kinds. */
static ir_ref res_blocks(fe_builder *b, const fe_adapter_config *c, ir_ref x, const char *prefix,
                         int64_t channels) {
    fe_conv_options first = fe_conv_same(channels, 3, 1),
                    second = fe_conv_same(channels, c->kind == FE_ADAPTER_LIGHT ? 3 : 1, 1);
    for (int64_t i = 0; i < c->res_blocks; i++) {
        const char *name = fe_name(b, "%s.resnets.%lld", prefix, (long long)i);
        ir_ref h = fe_conv(b, x, fe_sub(b, name, "block1"), &first);
        h = fe_conv(b, fe_activation(b, h, IR_ACT_RELU), fe_sub(b, name, "block2"), &second);
        x = fe_add(b, h, x);
    }
    return x;
}

static ir_ref full_block(fe_builder *b, const fe_adapter_config *c, ir_ref x, const char *prefix,
                         int64_t channels, bool down) {
    if (down) x = halve(b, x);
    if (!ir_ref_ok(x)) return x;
    if (ir_typeof(b->f, x)->dim[1] != channels) {
        fe_conv_options one = fe_conv_same(channels, 1, 1);
        x = fe_conv(b, x, fe_sub(b, prefix, "in_conv"), &one);
    }
    return res_blocks(b, c, x, prefix, channels);
}

static ir_ref light_block(fe_builder *b, const fe_adapter_config *c, ir_ref x, const char *prefix,
                          int64_t channels, bool down) {
    fe_conv_options in = fe_conv_same(channels / 4, 1, 1), out = fe_conv_same(channels, 1, 1);
    if (down) x = halve(b, x);
    x = fe_conv(b, x, fe_sub(b, prefix, "in_conv"), &in);
    x = res_blocks(b, c, x, prefix, channels / 4);
    return fe_conv(b, x, fe_sub(b, prefix, "out_conv"), &out);
}

bool fe_adapter_build(fe_builder *b, const fe_adapter_config *c, const char *name,
                      const fe_sizes *s) {
    bool light = c->kind == FE_ADAPTER_LIGHT;
    unsigned before = base_diag_errors(b->d);
    fe_at(b, c->root);
    fe_begin(b, name);
    if (s->height % c->factor || s->width % c->factor)
        fe_fail(b, "a picture of %lld x %lld: both sides must be multiples of %lld",
                (long long)s->width, (long long)s->height, (long long)c->factor);
    if (base_diag_errors(b->d) != before) return false;
    fe_at(b, fe_config_at(c->root, "in_channels"));
    ir_ref x = fe_input(b, "image", IR_f32, 4,
                        (int64_t[]){s->batch, c->image_channels, s->height, s->width}, IR_PROMPT);
    fe_at(b, fe_config_at(c->root, "downscale_factor"));
    x = unshuffle(b, x, c->factor);
    fe_at(b, fe_config_at(c->root, "channels"));
    if (!light) {
        fe_conv_options conv = fe_conv_same(c->channels[0], 3, 1);
        x = fe_conv(b, x, "adapter.conv_in", &conv);
    }
    /* the light kind has one block more, of the last one's channels */
    for (size_t i = 0; i < c->count + light; i++) {
        const char *prefix = fe_name(b, "adapter.body.%zu", i);
        bool down = c->kind == FE_ADAPTER_FULL_XL ? i == 2 : i > 0;
        int64_t channels = c->channels[i < c->count ? i : c->count - 1];
        x = light ? light_block(b, c, x, prefix, channels, down)
                  : full_block(b, c, x, prefix, channels, down);
        fe_result(b, fe_name(b, "features.%zu", i), x);
    }
    return fe_end(b) && base_diag_errors(b->d) == before;
}
