/* RRDBNet's config and network; see upscaler.h and diffusers.h. */
#include "frontend/build/layers.h"
#include "frontend/upscaler/upscaler.h"
#include "runtime/abi/meta_keys.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

bool fe_rrdb_read(base_jval root, fe_upscaler_config *c) {
    unsigned before = base_diag_errors(base_json_diag(root.doc));
    *c = (fe_upscaler_config){.root = root};
    if (!base_json_expect(root, BASE_JSON_OBJECT)) return false;
    c->in = base_json_opt_int(root, "num_in_ch", 3, 1, FE_MAX_CHANNELS);
    c->out = base_json_opt_int(root, "num_out_ch", 3, 1, FE_MAX_CHANNELS);
    c->features = base_json_opt_int(root, "num_feat", 64, 1, FE_MAX_CHANNELS);
    c->blocks = base_json_opt_int(root, "num_block", 23, 1, FE_MAX_DEPTH);
    c->growth = base_json_opt_int(root, "num_grow_ch", 32, 1, FE_MAX_CHANNELS);
    int64_t scale = base_json_opt_int(root, "scale", 4, 1, 4);
    if (scale == 3) {
        base_json_error(base_json_get(root, "scale"),
                        "unsupported: an RRDBNet makes pictures 1, 2 or 4 times as large");
        return false;
    }
    c->unshuffle = 4 / scale;
    fe_config_unknown(root, NULL, 0);
    return base_diag_errors(base_json_diag(root.doc)) == before;
}

/* max(x, 0.2 x) */
static ir_ref leaky(fe_builder *b, ir_ref x) {
    return fe_emit2(b, IR_OP_max, x, fe_affine(b, x, 0.2, 0.0), NULL);
}

static ir_ref conv(fe_builder *b, ir_ref x, const char *name, int64_t out) {
    fe_conv_options o = fe_conv_same(out, 3, 1);
    return fe_conv(b, x, name, &o);
}

/* 0.2 h + x */
static ir_ref residual(fe_builder *b, ir_ref h, ir_ref x) {
    return fe_add(b, fe_affine(b, h, 0.2, 0.0), x);
}

/* Five convolutions, each of all that came before. */
static ir_ref dense_block(fe_builder *b, const fe_upscaler_config *c, ir_ref x,
                          const char *prefix) {
    ir_ref all[5] = {x}, h = x;
    const char *outer = fe_open(b, prefix);
    for (uint32_t k = 1; k <= 5; k++) {
        struct ir_attrs_axis channels = {.axis = 1};
        h = k > 1 ? fe_emit(b, IR_OP_concat, all, k, &channels) : x;
        h = conv(b, h, fe_name(b, "%s.conv%u", prefix, k), k < 5 ? c->growth : c->features);
        if (k < 5) all[k] = h = leaky(b, h);
    }
    return fe_close(b, outer, residual(b, h, x));
}

static ir_ref block(fe_builder *b, const fe_upscaler_config *c, ir_ref x, int64_t i) {
    ir_ref h = x;
    for (int k = 1; k <= 3; k++)
        h = dense_block(b, c, h, fe_name(b, "body.%lld.rdb%d", (long long)i, k));
    return residual(b, h, x);
}

/* [B,C,H,W] -> [B,C u u,H/u,W/u] */
static ir_ref unshuffle(fe_builder *b, ir_ref x, int64_t u) {
    ir_type t;
    if (u == 1 || !fe_of_rank(b, x, 4, "an upscaler", &t)) return x;
    int64_t h = t.dim[2] / u, w = t.dim[3] / u;
    x = fe_reshape(b, x, 6, (int64_t[]){t.dim[0], t.dim[1], h, u, w, u});
    x = fe_transpose(b, x, 6, (int64_t[]){0, 1, 3, 5, 2, 4});
    return fe_reshape(b, x, 4, (int64_t[]){t.dim[0], t.dim[1] * u * u, h, w});
}

static ir_ref doubled(fe_builder *b, ir_ref x, const char *name, int64_t out) {
    ir_type t;
    if (!fe_of_rank(b, x, 4, "an upscaler", &t)) return IR_NONE;
    return leaky(b, conv(b, fe_resize(b, x, 2 * t.dim[2], 2 * t.dim[3]), name, out));
}

bool fe_rrdb_build(fe_builder *b, const fe_upscaler_config *c, const char *name,
                   const fe_sizes *s) {
    unsigned before = base_diag_errors(b->d);
    if (s->height % c->unshuffle || s->width % c->unshuffle) {
        base_error(b->d, NULL,
                   "a picture of %lld x %lld does not fit the upscaler: both sides must be "
                   "multiples of %lld",
                   (long long)s->width, (long long)s->height, (long long)c->unshuffle);
        return false;
    }
    fe_at(b, c->root);
    fe_begin(b, name);
    ir_ref x =
        fe_input(b, "image", IR_f32, 4, (int64_t[]){s->batch, c->in, s->height, s->width}, IR_STEP);
    x = conv(b, unshuffle(b, x, c->unshuffle), "conv_first", c->features);
    ir_ref h = x;
    for (int64_t i = 0; i < c->blocks; i++) h = block(b, c, h, i);
    x = fe_add(b, conv(b, h, "conv_body", c->features), x);
    x = doubled(b, doubled(b, x, "conv_up1", c->features), "conv_up2", c->features);
    x = leaky(b, conv(b, x, "conv_hr", c->features));
    fe_result(b, "image", conv(b, x, "conv_last", c->out));
    return fe_end(b) && base_diag_errors(b->d) == before;
}

void fe_upscaler_meta(ir_module *m, const fe_upscaler_config *c, const char *called) {
    ir_meta_set_string(m, EBRU_META_PIPELINE_UPSCALER.name, "upscaler");
    ir_meta_set_string(m, EBRU_META_UPSCALER_NAME.name, called);
    ir_meta_set_int(m, EBRU_META_UPSCALER_SCALE.name, 4 / c->unshuffle);
}

void fe_upscaler_alone(ir_module *m, const fe_upscaler_config *c, const fe_sizes *s) {
    ir_meta_set_string(m, EBRU_META_PIPELINE_KIND.name,
                       ebru_pipeline_kind_name[EBRU_PIPELINE_UPSCALE]);
    ir_meta_set_int(m, EBRU_META_PIPELINE_IMAGE_INPUT.name, 1);
    ir_meta_set_int(m, EBRU_META_IMAGE_CHANNELS.name, c->in);
    ir_meta_set_int(m, EBRU_META_IMAGE_HEIGHT.name, s->height);
    ir_meta_set_int(m, EBRU_META_IMAGE_WIDTH.name, s->width);
}
