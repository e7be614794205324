/* The layers and blocks of diffusers' U-Nets and autoencoders against the numbers its own tests
 * print: tests/models/test_layers_utils.py and tests/models/unets/test_unet_2d_blocks.py. */
#include "tests/unit/published/published.h"
#include "tests/unit/support/temp_dir.h"

#include "frontend/build/layers.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(a) ((uint32_t)(sizeof(a) / sizeof *(a)))
#define DIM(...)                                                                                   \
    (int64_t[]) {                                                                                  \
        __VA_ARGS__                                                                                \
    }

/* ---- layers ---- */

/* option: channels of the convolution; 0 none */
static void draw_upsample(published *p, const published_case *c) {
    published_randn(p, 4, DIM(1, 32, 32, 32));
    if (c->option) torch_conv(&p->init, "conv", 32, c->option, 3);
}
static ir_ref build_upsample(fe_builder *b, const ir_ref *in, const published_case *c) {
    return c->option ? fe_upsample(b, in[0], "conv", c->option, 64, 64)
                     : fe_resize(b, in[0], 64, 64);
}

static void draw_downsample(published *p, const published_case *c) {
    published_randn(p, 4, DIM(1, 32, 64, 64));
    if (c->option) torch_conv(&p->init, "conv", 32, c->option, 3);
}
static ir_ref build_downsample(fe_builder *b, const ir_ref *in, const published_case *c) {
    if (c->option) return fe_downsample(b, in[0], "conv", c->option, false);
    struct ir_attrs_pool mean = IR_DEFAULTS(pool);
    return fe_pool(b, in[0], IR_OP_avg_pool2d, &mean);
}

/* option: what the block does to the size */
static void draw_resnet(published *p, const published_case *c) {
    (void)c;
    published_randn(p, 4, DIM(1, 32, 64, 64));
    published_randn(p, 2, DIM(1, 128));
    torch_resnet(&p->init, "resnet", 32, 32, 128);
}
static ir_ref build_resnet(fe_builder *b, const ir_ref *in, const published_case *c) {
    fe_res_options o = fe_res_defaults(32, 32, 1e-6);
    o.resample = (fe_resample)c->option;
    return fe_res_block(b, in[0], in[1], "resnet", &o);
}

/* option: heads; two heads of 32 attend to a context of 4 tokens, which is drawn after the module
 */
static void draw_transformer(published *p, const published_case *c) {
    (void)c;
    published_randn(p, 4, DIM(1, 64, 64, 64));
    torch_transformer(&p->init, "transformer", 64, 64);
    published_randn(p, 3, DIM(1, 4, 64));
}
static void draw_self_transformer(published *p, const published_case *c) {
    (void)c;
    published_randn(p, 4, DIM(1, 32, 64, 64));
    torch_transformer(&p->init, "transformer", 32, 0);
}
static ir_ref build_transformer(fe_builder *b, const ir_ref *in, const published_case *c) {
    bool alone = c->draw == draw_self_transformer;
    fe_transformer_options o = {.heads = c->option,
                                .depth = 1,
                                .groups = 32,
                                .eps = 1e-6,
                                .second = alone ? FE_SECOND_NONE : FE_SECOND_CONTEXT};
    return fe_spatial_transformer(b, in[0], alone ? IR_NONE : in[1], "transformer", &o);
}

static const published_case layers[] = {
    {"upsample",
     draw_upsample,
     build_upsample,
     {-0.2173, -1.2079, -1.2079, 0.2952, 1.1254, 1.1254, 0.2952, 1.1254, 1.1254},
     0},
    {"upsample_conv",
     draw_upsample,
     build_upsample,
     {0.7145, 1.3773, 0.3492, 0.8448, 1.0839, -0.3341, 0.5956, 0.1250, -0.4841},
     32},
    {"upsample_conv_64",
     draw_upsample,
     build_upsample,
     {0.2703, 0.1656, -0.2538, -0.0553, -0.2984, 0.1044, 0.1155, 0.2579, 0.7755},
     64},
    {"downsample",
     draw_downsample,
     build_downsample,
     {-0.0513, -0.3889, 0.0640, 0.0836, -0.5460, -0.0341, -0.0169, -0.6967, 0.1179},
     0},
    {"downsample_conv",
     draw_downsample,
     build_downsample,
     {0.9267, 0.5878, 0.3337, 1.2321, -0.1191, -0.3984, -0.7532, -0.0715, -0.3913},
     32},
    {"downsample_conv_16",
     draw_downsample,
     build_downsample,
     {-0.6586, 0.5985, 0.0721, 0.1256, -0.1492, 0.4436, -0.2544, 0.5021, 1.1522},
     16},
    {"resnet",
     draw_resnet,
     build_resnet,
     {-1.9010, -0.2974, -0.8245, -1.3533, 0.8742, -0.9645, -2.0584, 1.3387, -0.4746},
     FE_RESAMPLE_NONE},
    {"resnet_up",
     draw_resnet,
     build_resnet,
     {1.2130, -0.8753, -0.9027, 1.5783, -0.5362, -0.5001, 1.0726, -0.7732, -0.4182},
     FE_RESAMPLE_DOUBLE},
    {"resnet_down",
     draw_resnet,
     build_resnet,
     {-0.3002, -0.7135, 0.1359, 0.0561, -0.7935, 0.0113, -0.1766, -0.6714, -0.0436},
     FE_RESAMPLE_HALF},
    {"transformer",
     draw_self_transformer,
     build_transformer,
     {-1.9455, -0.0066, -1.3933, -1.5878, 0.5325, -0.6486, -1.8648, 0.7515, -0.9689},
     1},
    {"transformer_two_heads",
     draw_self_transformer,
     build_transformer,
     {-1.9380, -0.0083, -1.3771, -1.5819, 0.5209, -0.6441, -1.8545, 0.7563, -0.9615},
     2},
    {"transformer_cross",
     draw_transformer,
     build_transformer,
     {0.0143, -0.6909, -2.1547, -1.8893, 1.4097, 0.1359, -0.2521, -1.3359, 0.2598},
     2},
};

static void published_layers(void **state) {
    (void)state;
    published_check(layers, COUNT(layers));
}

/* ---- sinusoids ---- */

/* get_timestep_embedding(arange(128), 64, ...)[23:26, 47:50] */
static const struct sinusoid_case {
    double shift, scale, expected[PUBLISHED_VALUES];
    bool flip;
} sinusoids[] = {
    {1, 1, {0.9646, 0.9804, 0.9892, 0.9615, 0.9787, 0.9882, 0.9582, 0.9769, 0.9872}, false},
    {0, 1, {0.3019, 0.2280, 0.1716, 0.3146, 0.2377, 0.1790, 0.3272, 0.2474, 0.1864}, true},
    {1,
     1000,
     {-0.9801, -0.9464, -0.9349, -0.3952, 0.8887, -0.9709, 0.5299, -0.2853, -0.9927},
     false},
};

static void draw_timesteps(published *p, const published_case *c) {
    (void)c;
    float t[26];
    for (int i = 0; i < 26; i++) t[i] = (float)i;
    published_input(p, 1, DIM(26), t);
}
/* Columns up to 49, so that the last 3 x 3 values are those that the test prints. */
static ir_ref build_timesteps(fe_builder *b, const ir_ref *in, const published_case *c) {
    const struct sinusoid_case *s = &sinusoids[c->option];
    struct ir_attrs_timestep a = IR_DEFAULTS(timestep);
    a.dim = 64;
    a.shift = s->shift;
    a.flip = s->flip;
    struct ir_attrs_slice columns = {.axis = 1, .start = 0, .count = 50};
    ir_ref e = fe_sinusoid(b, fe_affine(b, in[0], s->scale, 0), &a);
    return fe_reshape(b, fe_emit1(b, IR_OP_slice, e, &columns), 4, DIM(1, 1, 26, 50));
}

static void published_sinusoids(void **state) {
    (void)state;
    static const char *const names[] = {"sinusoid_ddpm", "sinusoid_ldm", "sinusoid_grad_tts"};
    published_case cases[COUNT(sinusoids)];
    for (int i = 0; i < (int)COUNT(sinusoids); i++) {
        cases[i] = (published_case){names[i], draw_timesteps, build_timesteps, {0}, i};
        for (int k = 0; k < PUBLISHED_VALUES; k++) cases[i].expected[k] = sinusoids[i].expected[k];
    }
    published_check(cases, COUNT(sinusoids));
}

/* ---- blocks ---- */

/* A block: one layer (the middle: two) of 32 channels, each a residual block and what follows it,
 * then what changes the size. */
typedef enum way { DOWN, MIDDLE, UP } way;
typedef enum follows { NOTHING, ATTENTION, TRANSFORMER } follows;
enum { WAY = 3, FOLLOWS = 3 << 2, RESNET = 1 << 4, NO_EMB = 1 << 5, NO_SKIP = 1 << 6 };
#define BLOCK(way, follows, flags) ((way) | (follows) << 2 | (flags))
static way way_of(int option) {
    return (way)(option & WAY);
}
static follows follows_of(int option) {
    return (follows)((option & FOLLOWS) >> 2);
}
static bool has_skip(int option) {
    return way_of(option) == UP && !(option & NO_SKIP);
}

/* The module is drawn after the inputs; the skip of a way up from a generator seeded anew. */
static void draw_block(published *p, const published_case *c) {
    int64_t emb = c->option & NO_EMB ? 0 : 128;
    follows f = follows_of(c->option);
    published_randn(p, 4, DIM(4, 32, 32, 32));
    if (emb) published_randn(p, 2, DIM(4, 128));
    if (has_skip(c->option)) {
        rt_rng_seed(&p->init.rng, 1);
        published_randn(p, 4, DIM(4, 32, 32, 32));
    }
    torch_resnet(&p->init, "resnets.0", has_skip(c->option) ? 64 : 32, 32, emb);
    if (f == ATTENTION) torch_image_attention(&p->init, "attentions.0", 32);
    if (f == TRANSFORMER) torch_transformer(&p->init, "attentions.0", 32, 32);
    if (way_of(c->option) == MIDDLE)
        torch_resnet(&p->init, "resnets.1", 32, 32, emb);
    else if (c->option & RESNET)
        torch_resnet(&p->init, "sampler", 32, 32, emb);
    else
        torch_conv(&p->init, "sampler", 32, 32, 3);
}

static ir_ref change_size(fe_builder *b, ir_ref x, ir_ref emb, const published_case *c) {
    bool up = way_of(c->option) == UP;
    fe_res_options o = fe_res_defaults(32, 32, 1e-6);
    if (way_of(c->option) == MIDDLE) return fe_res_block(b, x, emb, "resnets.1", &o);
    o.resample = up ? FE_RESAMPLE_DOUBLE : FE_RESAMPLE_HALF;
    if (c->option & RESNET) return fe_res_block(b, x, emb, "sampler", &o);
    return up ? fe_upsample(b, x, "sampler", 32, 64, 64)
              : fe_downsample(b, x, "sampler", 32, false);
}

static ir_ref build_block(fe_builder *b, const ir_ref *in, const published_case *c) {
    ir_ref x = in[0], emb = c->option & NO_EMB ? IR_NONE : in[1];
    fe_res_options res = fe_res_defaults(32, 32, 1e-6);
    if (has_skip(c->option)) {
        fe_push(b, in[2]);
        x = fe_concat_pop(b, x);
    }
    x = fe_res_block(b, x, emb, "resnets.0", &res);
    if (follows_of(c->option) == ATTENTION) { /* heads of one channel, the classes' default */
        fe_image_attention_options o = fe_image_attention_defaults(32, 32, 1e-6);
        x = fe_image_attention(b, x, "attentions.0", &o);
    }
    if (follows_of(c->option) == TRANSFORMER) { /* the tests give no context */
        fe_transformer_options o = {
            .heads = 1, .depth = 1, .groups = 32, .eps = 1e-6, .second = FE_SECOND_TOKENS};
        x = fe_spatial_transformer(b, x, IR_NONE, "attentions.0", &o);
    }
    return change_size(b, x, emb, c);
}

#define CASE(name, way, follows, flags, ...)                                                       \
    {name, draw_block, build_block, {__VA_ARGS__}, BLOCK(way, follows, flags)}
static const published_case blocks[] = {
    CASE("DownBlock2D", DOWN, NOTHING, 0, -0.0232, -0.9869, 0.8054, -0.0637, -0.1688, -1.4264,
         0.4470, -1.3394, 0.0904),
    CASE("ResnetDownsampleBlock2D", DOWN, NOTHING, RESNET, 0.0710, 0.2410, -0.7320, -1.0757,
         -1.1343, 0.3540, -0.0133, -0.2576, 0.0948),
    CASE("AttnDownBlock2D", DOWN, ATTENTION, 0, 0.0636, 0.8964, -0.6234, -1.0131, 0.0844, 0.4935,
         0.3437, 0.0911, -0.2957),
    CASE("CrossAttnDownBlock2D", DOWN, TRANSFORMER, 0, 0.2238, -0.7396, -0.2255, -0.3829, 0.1925,
         1.1665, 0.0603, -0.7295, 0.1983),
    CASE("DownEncoderBlock2D", DOWN, NOTHING, NO_EMB, 1.1102, 0.5302, 0.4872, -0.0023, -0.8042,
         0.0483, -0.3489, -0.5632, 0.7626),
    CASE("AttnDownEncoderBlock2D", DOWN, ATTENTION, NO_EMB, 0.8966, -0.1486, 0.8568, 0.8141,
         -0.9046, -0.1342, -0.0972, -0.7417, 0.1538),
    CASE("UNetMidBlock2D", MIDDLE, ATTENTION, 0, -0.1062, 1.7248, 0.3494, 1.4569, -0.0910, -1.2421,
         -0.9984, 0.6736, 1.0028),
    CASE("UNetMidBlock2DCrossAttn", MIDDLE, TRANSFORMER, 0, 0.0187, 2.4220, 0.4484, 1.1203, -0.6121,
         -1.5122, -0.8270, 0.7851, 1.8335),
    CASE("UpBlock2D", UP, NOTHING, 0, -0.2041, -0.4165, -0.3022, 0.0041, -0.6628, -0.7053, 0.1928,
         -0.0325, 0.0523),
    CASE("ResnetUpsampleBlock2D", UP, NOTHING, RESNET, 0.2287, 0.3549, -0.1346, 0.4797, -0.1715,
         -0.9649, 0.7305, -0.5864, -0.6244),
    CASE("CrossAttnUpBlock2D", UP, TRANSFORMER, 0, -0.1403, -0.3515, -0.0420, -0.1425, 0.3167,
         0.5094, -0.2181, 0.5931, 0.5582),
    CASE("AttnUpBlock2D", UP, ATTENTION, 0, 0.0979, 0.1326, 0.0021, 0.0659, 0.2249, 0.0059, 0.1132,
         0.5952, 0.1033),
    CASE("UpDecoderBlock2D", UP, NOTHING, NO_EMB | NO_SKIP, 0.4404, 0.1998, -0.9886, -0.3320,
         -0.3128, -0.7034, -0.6955, -0.2338, -0.3137),
    CASE("AttnUpDecoderBlock2D", UP, ATTENTION, NO_EMB | NO_SKIP, 0.6738, 0.4491, 0.1055, 1.0710,
         0.7316, 0.3339, 0.3352, 0.1023, 0.3568),
};

static void published_blocks(void **state) {
    (void)state;
    published_check(blocks, COUNT(blocks));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_sinusoids),
        cmocka_unit_test(published_layers),
        cmocka_unit_test(published_blocks),
    };
    return cmocka_run_group_tests(tests, temp_shared_begin, temp_shared_end);
}
