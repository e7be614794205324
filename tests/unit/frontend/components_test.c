/* The front ends held to independent implementations: each component golden (diffusers, OpenAI's
 * CLIP; tests/goldens/README.md) loaded as a folder and evaluated by the reference evaluator. This
 * is the proof that the block builder builds the right networks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/frontend/golden_model.h"

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
        cmocka_unit_test(described_flow_matching_unet),
        cmocka_unit_test(embedding_scales_and_shifts),
        cmocka_unit_test(residual_blocks_change_the_size),
        cmocka_unit_test(middle_without_attention_or_none),
        cmocka_unit_test(unet_with_all_embeddings),
        cmocka_unit_test(tiny_autoencoder_both_ways),
        cmocka_unit_test(text_with_projection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
