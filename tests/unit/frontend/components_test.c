/* The front ends held to independent implementations: each component golden (diffusers, OpenAI's
 * CLIP; tests/goldens/README.md) loaded as a folder and evaluated by the reference evaluator. This
 * is the proof that the block builder builds the right networks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/frontend/golden_model.h"
#include "tests/unit/support/temp_dir.h"

static const double tolerance =
    1e-4; /* rms error / rms of the reference; float32 implementations agree to about 1e-5 */

static void check(const char *folder, int outputs) {
    char model[512], io[512];
    snprintf(model, sizeof model, EBRU_TEST_DATA "/goldens/%s", folder);
    snprintf(io, sizeof io, EBRU_TEST_DATA "/goldens/%s/io.safetensors", folder);
    golden_result r = golden_model_check(model, io);
    assert_int_equal(r.outputs, outputs);
    assert_true(r.worst <= tolerance);
}

static void text_quick_gelu(void **state) {
    (void)state;
    check("text-quickgelu", 2);
}

static void text_gelu(void **state) {
    (void)state;
    check("text-gelu", 2);
}

static void text_with_projection(void **state) {
    (void)state;
    check("text-projection", 3);
    check("text-projection-eos", 3);
}

static void autoencoder_both_ways(void **state) {
    (void)state;
    check("vae-kl", 2);
}

static void tiny_autoencoder_both_ways(void **state) {
    (void)state;
    check("vae-tiny", 2);
}

static void pictures_to_embeddings(void **state) {
    (void)state;
    check("clip-vision", 3); /* CLIPVisionModelWithProjection */
}

/* RRDBNet */
static void larger_pictures(void **state) {
    (void)state;
    check("rrdb-x4", 1);
    check("rrdb-x2", 1);
}

/* A picture beside the text: projection, and keys and values numbered down, up, middle. */
static void check_adapter(const char *folder, double scale) {
    char model[512], io[512], file[512];
    snprintf(model, sizeof model, EBRU_TEST_DATA "/goldens/%s/unet", folder);
    snprintf(io, sizeof io, EBRU_TEST_DATA "/goldens/%s/io.safetensors", folder);
    snprintf(file, sizeof file, EBRU_TEST_DATA "/goldens/%s/ip_adapter.safetensors", folder);
    const fe_ip_adapter adapter = {file, scale};
    golden_result r = golden_model_check_with(
        model, io, (fe_options){.ip_adapters = &adapter, .ip_adapter_count = 1});
    assert_int_equal(r.outputs, 2);
    assert_true(r.worst <= tolerance);
}

static void unet_with_pictures(void **state) {
    (void)state;
    check_adapter("ip/plain", 0.6);
    check_adapter("ip/plus", 0.6);
}

static void unet_like_cifar(void **state) {
    (void)state;
    check("unet2d-cifar", 1);
}

static void unet_with_classes(void **state) {
    (void)state;
    check("unet2d-class", 1);
}

static void unet_like_sd1(void **state) {
    (void)state;
    check("unet-sd1", 1);
}

static void unet_like_sd2(void **state) {
    (void)state;
    check("unet-sd2", 1);
}

static void embedding_scales_and_shifts(void **state) {
    (void)state;
    check("unet2d-scale-shift", 1);
    check("unet-scale-shift", 1);
}

static void residual_blocks_change_the_size(void **state) {
    (void)state;
    check("unet2d-resnet", 1);
    check("unet-resnet", 1);
}

static void middle_without_attention_or_none(void **state) {
    (void)state;
    check("unet2d-plain-mid", 1);
    check("unet2d-no-mid", 1);
}

static void unet_with_all_embeddings(void **state) {
    (void)state;
    check("unet-lcm", 1);
}

/* attention_head_dim of the upward blocks is not reversed. */
static void unet_with_attention_upwards(void **state) {
    (void)state;
    check("unet-attn-up-heads", 1);
}

/* Distilled models: transformer layers block by block, some of none, and a small mid block or none. */
static void unet_with_layers_block_by_block(void **state) {
    (void)state;
    check("unet-nested", 1);
    check("unet-nomid", 1);
}

/* Attention to pixels and text at once, text pooled into the embedding, as in DeepFloyd IF. */
static void unet_with_simple_attention(void **state) {
    (void)state;
    check("unet-simple", 1);
}

/* Random frequencies, a class joined to the embedding; a table of timesteps. */
static void unet_with_other_times(void **state) {
    (void)state;
    check("unet-fourier", 1);
    check("unet2d-learned", 1);
}

/* GLIGEN's layers are in the file and do nothing. */
static void unet_with_boxes(void **state) {
    (void)state;
    check("unet-gated", 1);
}

static void autoencoder_with_attention(void **state) {
    (void)state;
    check("vae-attention", 2);
}

/* encoder_hid_dim of a U-Net that attends to no text: its projection is there and does nothing. */
static void projection_without_reader(void **state) {
    (void)state;
    enum { MOST = 256 };
    static fe_st_tensor tensors[MOST];
    static const float zeros[60];
    const char *golden = EBRU_TEST_DATA "/goldens/unet-attn-up-heads/";
    char path[1024], config[2048];
    temp_dir t;
    temp_dir_begin(&t);
    snprintf(path, sizeof path, "%sconfig.json", golden);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    config[fread(config, 1, sizeof config - 1, f)] = 0;
    fclose(f);
    char *end = strrchr(config, '}');
    snprintf(end, sizeof config - (size_t)(end - config), ", \"encoder_hid_dim\": 5}");
    temp_write(&t, "config.json", config, strlen(config));

    base_diag *d = base_diag_new(NULL);
    snprintf(path, sizeof path, "%sdiffusion_pytorch_model.safetensors", golden);
    fe_st *st = fe_st_open(d, path);
    assert_non_null(st);
    size_t n = fe_st_count(st);
    assert_true(n + 2 <= MOST);
    for (size_t i = 0; i < n; i++) tensors[i] = *fe_st_at(st, i);
    tensors[n] = (fe_st_tensor){.name = "encoder_hid_proj.weight",
                                .dtype = FE_ST_F32,
                                .rank = 2,
                                .dims = {12, 5},
                                .data = (const uint8_t *)zeros};
    tensors[n + 1] = (fe_st_tensor){.name = "encoder_hid_proj.bias",
                                    .dtype = FE_ST_F32,
                                    .rank = 1,
                                    .dims = {12},
                                    .data = (const uint8_t *)zeros};
    assert_true(fe_st_write(d, temp_path(&t, "diffusion_pytorch_model.safetensors"), tensors, n + 2,
                            NULL, 0));
    fe_st_close(st);
    base_diag_free(d);
    snprintf(path, sizeof path, "%sio.safetensors", golden);
    golden_result r = golden_model_check(t.path, path);
    assert_int_equal(r.outputs, 1);
    assert_true(r.worst <= tolerance);
    temp_dir_end(&t);
}

static void described_flow_matching_unet(void **state) {
    (void)state;
    golden_result r = golden_model_check(EBRU_TEST_DATA "/../models/shapes-32",
                                         EBRU_TEST_DATA "/../models/shapes-32/io.safetensors");
    assert_int_equal(r.outputs, 1);
    assert_true(r.worst <= tolerance);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_quick_gelu),
        cmocka_unit_test(text_gelu),
        cmocka_unit_test(autoencoder_both_ways),
        cmocka_unit_test(unet_like_cifar),
        cmocka_unit_test(unet_with_classes),
        cmocka_unit_test(unet_like_sd1),
        cmocka_unit_test(unet_like_sd2),
        cmocka_unit_test(unet_with_attention_upwards),
        cmocka_unit_test(unet_with_layers_block_by_block),
        cmocka_unit_test(unet_with_simple_attention),
        cmocka_unit_test(unet_with_other_times),
        cmocka_unit_test(unet_with_boxes),
        cmocka_unit_test(autoencoder_with_attention),
        cmocka_unit_test(projection_without_reader),
        cmocka_unit_test(described_flow_matching_unet),
        cmocka_unit_test(embedding_scales_and_shifts),
        cmocka_unit_test(residual_blocks_change_the_size),
        cmocka_unit_test(middle_without_attention_or_none),
        cmocka_unit_test(unet_with_all_embeddings),
        cmocka_unit_test(tiny_autoencoder_both_ways),
        cmocka_unit_test(pictures_to_embeddings),
        cmocka_unit_test(unet_with_pictures),
        cmocka_unit_test(larger_pictures),
        cmocka_unit_test(text_with_projection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
