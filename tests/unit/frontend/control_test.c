/* ControlNets and T2I-Adapters: their goldens (diffusers), settings that the goldens do not have,
 * and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/frontend/golden_model.h"
#include "tests/unit/frontend/loading.h"
#include "tests/unit/support/temp_dir.h"

#define GOLDENS EBRU_TEST_DATA "/goldens/"
static const double tolerance = 1e-5; /* float32 against float64: 2e-6 at most */

static void check(const char *folder, int outputs) {
    char model[512], io[600];
    snprintf(model, sizeof model, GOLDENS "%s", folder);
    snprintf(io, sizeof io, "%s/io.safetensors", model);
    golden_result r = golden_model_check(model, io);
    assert_int_equal(r.outputs, outputs);
    assert_true(r.worst <= tolerance);
}

static void controlnets(void **state) {
    (void)state;
    check("controlnet-sd1", 5);
    check("controlnet-xl", 5);
}

static void adapters(void **state) {
    (void)state;
    check("t2i-full", 3);
    check("t2i-full-xl", 4);
    check("t2i-light", 4);
}

static void unets_take_what_they_give(void **state) {
    (void)state;
    check("unet-controlnet-sd1", 1);
    check("unet-t2i-full-xl", 1);
    check("unet-t2i-light", 1);
}

/* ---- goldens with another config ---- */

enum { MOST = 256 };

/* Makes of the tensors of a golden's io what they are with the other config; data are floats that
 * may be changed in place. */
typedef void io_change(fe_st_tensor *t, float *data);

static char *read_text(const char *path, char *out, size_t size) {
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    out[fread(out, 1, size - 1, f)] = 0;
    fclose(f);
    return out;
}

/* The config of `golden` with `to` in place of `from`, in the folder t. */
static void write_config(temp_dir *t, const char *golden, const char *from, const char *to) {
    char path[600], config[8192], changed[8192];
    snprintf(path, sizeof path, GOLDENS "%s/config.json", golden);
    char *at = strstr(read_text(path, config, sizeof config), from);
    assert_non_null(at);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - config), config, to,
             at + strlen(from));
    temp_write(t, "config.json", changed, strlen(changed));
}

static void check_changed(const char *golden, const char *from, const char *to, io_change *change) {
    static fe_st_tensor tensors[MOST];
    float *copies[MOST];
    char path[600];
    temp_dir t;
    temp_dir_begin(&t);
    write_config(&t, golden, from, to);
    base_diag *d = base_diag_new(NULL);
    const char *const files[] = {"diffusion_pytorch_model.safetensors", "io.safetensors"};
    for (int k = 0; k < 2; k++) {
        snprintf(path, sizeof path, GOLDENS "%s/%s", golden, files[k]);
        fe_st *st = fe_st_open(d, path);
        assert_non_null(st);
        size_t n = fe_st_count(st);
        assert_true(n <= MOST);
        for (size_t i = 0; i < n; i++) {
            tensors[i] = *fe_st_at(st, i);
            copies[i] = base_alloc(tensors[i].count * sizeof(float));
            fe_st_to_f32(&tensors[i], copies[i], 0, tensors[i].count);
            tensors[i].dtype = FE_ST_F32;
            tensors[i].data = (const uint8_t *)copies[i];
            if (k == 1 && change) change(&tensors[i], copies[i]);
        }
        assert_true(fe_st_write(d, temp_path(&t, files[k]), tensors, n, NULL, 0));
        for (size_t i = 0; i < n; i++) base_free(copies[i]);
        fe_st_close(st);
    }
    base_diag_free(d);
    char io[600];
    snprintf(io, sizeof io, "%s", temp_path(&t, "io.safetensors"));
    golden_result r = golden_model_check(t.path, io);
    assert_int_equal(r.outputs, 5);
    assert_true(r.worst <= tolerance);
    temp_dir_end(&t);
}

static void reverse_picture(fe_st_tensor *t, float *data) {
    if (strcmp(t->name, "in.controlnet_cond") != 0) return;
    size_t area = (size_t)(t->dims[2] * t->dims[3]);
    for (int64_t b = 0; b < t->dims[0]; b++)
        for (size_t i = 0; i < area; i++) {
            float *pixel = data + (size_t)b * 3 * area + i, red = pixel[0];
            pixel[0] = pixel[2 * area];
            pixel[2 * area] = red;
        }
}

static void means_of_results(fe_st_tensor *t, float *data) {
    if (strncmp(t->name, "out.", 4) != 0) return;
    size_t rows = (size_t)(t->dims[0] * t->dims[1]), area = (size_t)(t->dims[2] * t->dims[3]);
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t i = 0; i < area; i++) sum += (double)data[r * area + i];
        data[r] = (float)(sum / (double)area);
    }
    t->dims[2] = t->dims[3] = 1;
    t->count = rows;
    t->bytes = rows * sizeof(float);
}

static void settings_of_controlnets(void **state) {
    (void)state;
    check_changed("controlnet-sd1", "order\": \"rgb\"", "order\": \"bgr\"", reverse_picture);
    check_changed("controlnet-sd1", "global_pool_conditions\": false",
                  "global_pool_conditions\": true", means_of_results);
    /* the right name of the number of heads goes first */
    check_changed("controlnet-sd1", "\"attention_head_dim\": 4,\n \"num_attention_heads\": null",
                  "\"attention_head_dim\": 2,\n \"num_attention_heads\": 4", NULL);
    /* a projection of the context that the class has and does not look at */
    check_changed("controlnet-sd1", "\"encoder_hid_dim\": null", "\"encoder_hid_dim\": 5", NULL);
}

/* ---- an adapter at odd sizes ---- */

static float *filled(size_t n, float value) {
    float *x = base_alloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = value;
    return x;
}

/* Of an odd number of pixels the last is a mean by itself: the same picture everywhere stays the
 * same, where a mean with a zero would not. */
static void odd_edges_are_means_of_what_is_there(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    const char config[] = "{\"_class_name\": \"T2IAdapter\", \"channels\": [1, 1], "
                          "\"in_channels\": 1, \"num_res_blocks\": 0, \"downscale_factor\": 1}";
    temp_write(&t, "config.json", config, strlen(config));
    const float center[9] = {0, 0, 0, 0, 1, 0, 0, 0, 0}, none[1] = {0};
    float *image = filled(15, 0.5f), *half = filled(6, 0.5f);
    const fe_st_tensor weights[] = {{.name = "adapter.conv_in.weight",
                                     .dtype = FE_ST_F32,
                                     .rank = 4,
                                     .dims = {1, 1, 3, 3},
                                     .data = (const uint8_t *)center},
                                    {.name = "adapter.conv_in.bias",
                                     .dtype = FE_ST_F32,
                                     .rank = 1,
                                     .dims = {1},
                                     .data = (const uint8_t *)none}};
    const fe_st_tensor io[] = {{.name = "in.image",
                                .dtype = FE_ST_F32,
                                .rank = 4,
                                .dims = {1, 1, 3, 5},
                                .data = (const uint8_t *)image},
                               {.name = "out.features.0",
                                .dtype = FE_ST_F32,
                                .rank = 4,
                                .dims = {1, 1, 3, 5},
                                .data = (const uint8_t *)image},
                               {.name = "out.features.1",
                                .dtype = FE_ST_F32,
                                .rank = 4,
                                .dims = {1, 1, 2, 3},
                                .data = (const uint8_t *)half}};
    base_diag *d = base_diag_new(NULL);
    assert_true(
        fe_st_write(d, temp_path(&t, "diffusion_pytorch_model.safetensors"), weights, 2, NULL, 0));
    assert_true(fe_st_write(d, temp_path(&t, "io.safetensors"), io, 3, NULL, 0));
    base_diag_free(d);
    char path[600];
    snprintf(path, sizeof path, "%s", temp_path(&t, "io.safetensors"));
    golden_result r = golden_model_check(t.path, path);
    assert_int_equal(r.outputs, 2);
    assert_true(r.worst == 0);
    base_free(image);
    base_free(half);
    temp_dir_end(&t);
}

/* ---- what is refused ---- */

static void refuse_config(const char *config, const char *message) {
    temp_dir t;
    temp_dir_begin(&t);
    temp_write(&t, "config.json", config, strlen(config));
    const fe_options o = {.random_weights = true, .width = 64, .height = 64};
    if (message)
        refuse(t.path, &o, message);
    else
        ir_module_free(accept(t.path, &o));
    temp_dir_end(&t);
}

#define CONTROLNET(keys)                                                                           \
    "{\"_class_name\": \"ControlNetModel\", \"block_out_channels\": [32], \"down_block_types\": [" \
    "\"DownBlock2D\"], \"cross_attention_dim\": 8" keys "}"
#define ADAPTER(keys) "{\"_class_name\": \"T2IAdapter\"" keys "}"

static void configs(void **state) {
    (void)state;
    refuse_config(CONTROLNET(""), NULL);
    refuse_config(CONTROLNET(", \"mid_block_type\": \"UNetMidBlock2D\""), NULL);
    refuse_config(CONTROLNET(", \"class_embed_type\": \"timestep\""), NULL);
    refuse_config(CONTROLNET(", \"num_class_embeds\": 3"), NULL);
    refuse_config(CONTROLNET(", \"mid_block_type\": null"), "expected a string, found null");
    refuse_config(CONTROLNET(", \"controlnet_conditioning_channel_order\": \"bgra\""),
                  "unknown channel order 'bgra'");
    refuse_config(CONTROLNET(", \"conditioning_embedding_out_channels\": []"),
                  "'conditioning_embedding_out_channels' is empty");
    refuse_config(CONTROLNET(", \"conditioning_embedding_out_channels\": null"), "found null");
    refuse_config(CONTROLNET(", \"addition_embed_type\": \"text_image\""),
                  "unsupported: 'addition_embed_type' is 'text_image'");
    refuse_config(CONTROLNET(", \"encoder_hid_dim_type\": \"text_image_proj\""),
                  "unsupported: 'encoder_hid_dim_type' is 'text_image_proj'");
    refuse_config(ADAPTER(""), NULL);
    refuse_config(ADAPTER(", \"adapter_type\": \"light_adapter\", \"channels\": [4, 8]"), NULL);
    refuse_config(ADAPTER(", \"adapter_type\": \"heavy_adapter\""),
                  "unknown adapter type 'heavy_adapter'");
    refuse_config(ADAPTER(", \"adapter_type\": \"full_adapter_xl\", \"channels\": [4, 8, 8, 9]"),
                  "block 3 of a full_adapter_xl cannot go from 8 to 9 channels");
    refuse_config(ADAPTER(", \"channels\": []"), "'channels' is empty");
    refuse_config(ADAPTER(", \"downscale_factor\": 7"),
                  "a picture of 64 x 64: both sides must be multiples of 7");
}

/* Residuals of another network. */
static void residuals_must_fit(void **state) {
    (void)state;
    const fe_shape few[] = {{"down_block_additional_residuals.0", 4, {1, 8, 8, 8}},
                            {"mid_block_additional_residual", 4, {1, 16, 4, 4}}};
    const fe_shape wide[] = {{"down_intrablock_additional_residuals.0", 4, {1, 9, 8, 8}}};
    fe_options o = {.shapes = few, .shape_count = 2, .width = 8, .height = 8};
    refuse(GOLDENS "unet-controlnet-sd1", &o,
           "1 residuals of the way down, and there are 4 places: it was made for another U-Net");
    o.shape_count = 1;
    refuse(GOLDENS "unet-controlnet-sd1", &o, "and none of the mid block");
    o.shapes = wide;
    refuse(GOLDENS "unet-controlnet-sd1", &o,
           "'down_intrablock_additional_residuals.0' is f32[1,9,8,8], and what it is added to "
           "f32[1,8,8,8]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(controlnets),
        cmocka_unit_test(adapters),
        cmocka_unit_test(unets_take_what_they_give),
        cmocka_unit_test(settings_of_controlnets),
        cmocka_unit_test(odd_edges_are_means_of_what_is_there),
        cmocka_unit_test(configs),
        cmocka_unit_test(residuals_must_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
