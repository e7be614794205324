/* diffusers folders: pipelines, components, what is refused by name, schedulers, tokenizers. That
 * the networks are right is components_test's business. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/diffusers/diffusers.h"
#include "frontend/tokenizer/tokenizer.h"
#include "runtime/text/tokenizer.h"
#include "tests/unit/frontend/loading.h"
#include "tests/unit/support/temp_dir.h"

#define SHAPES_128 EBRU_TEST_DATA "/../models/shapes-128"

static const fe_options at_random = {.random_weights = true, .random_seed = 1};

static void write_text(const temp_dir *t, const char *name, const char *text) {
    temp_write(t, name, text, strlen(text));
}

static const ir_type *input_type(const ir_module *m, const char *function, const char *name) {
    const ir_func *f = ir_func_find(m, function);
    if (!f) fail_msg("no function %s", function);
    for (size_t i = 0; i < f->inputs.count; i++)
        if (strcmp(IR_ATTRS(ir_get(f, f->inputs.items[i]), input)->name, name) == 0)
            return ir_typeof(f, f->inputs.items[i]);
    fail_msg("%s has no input %s", function, name);
    return NULL;
}

static void check_dims(const ir_type *t, uint32_t rank, const int64_t *dim) {
    assert_int_equal(t->rank, rank);
    assert_memory_equal(t->dim, dim, rank * sizeof *dim);
}

#define DIMS(...)                                                                                  \
    (const int64_t[]) {                                                                            \
        __VA_ARGS__                                                                                \
    }

/* ---- the trained pipeline ---- */

static void program(void **state) {
    (void)state;
    fe_options o = {.guidance_pair = true, .shared_timestep = true};
    ir_module *m = accept(SHAPES_128, &o);
    assert_int_equal(m->funcs.count, 5);
    assert_non_null(ir_func_find(m, "vae.decode"));
    assert_non_null(ir_func_find(m, "text_encoder"));
    check_dims(input_type(m, "unet", "sample"), 4, DIMS(1, 4, 16, 16));
    check_dims(input_type(m, "unet", "timestep"), 1, DIMS(1));
    check_dims(input_type(m, "unet@2", "sample"), 4, DIMS(2, 4, 16, 16));
    check_dims(input_type(m, "unet@2", "timestep"), 1, DIMS(1));
    check_dims(input_type(m, "unet@2", "encoder_hidden_states"), 3, DIMS(2, 77, 128));
    check_dims(input_type(m, "text_encoder", "input_ids"), 2, DIMS(1, 77));
    static const struct {
        const char *key, *value;
    } words[] = {{"pipeline.kind", "text_to_image"},
                 {"pipeline.denoiser", "unet"},
                 {"pipeline.decoder", "vae.decode"},
                 {"pipeline.text_encoder", "text_encoder"},
                 {"sampler.class", "ddim"},
                 {"sampler.beta_schedule", "scaled_linear"},
                 {"sampler.prediction_type", "epsilon"},
                 {"tokenizer.pad_token", "<|endoftext|>"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_string_equal(ir_meta_string(m, words[i].key, ""), words[i].value);
    assert_int_equal(ir_meta_int(m, "image.width", 0), 128);
    assert_int_equal(ir_meta_int(m, "sampler.steps_offset", -1), 1);
    assert_int_equal(ir_meta_int(m, "sampler.set_alpha_to_one", -1), 0);
    assert_int_equal(ir_meta_int(m, "pipeline.guidance", -1), 1);
    assert_int_equal(ir_meta_int(m, "tokenizer.eos", -1), 633);
    assert_true(ir_meta_float(m, "vae.scaling_factor", 0) > 0.347);
    assert_null(
        ir_meta_get(m, "sampler.timestep_spacing")); /* not in the file: the class's default */
    ir_module_free(m);
}

static void sizes(void **state) {
    (void)state;
    fe_options o = {.guidance_pair = true, .batch = 3, .width = 64, .height = 96};
    ir_module *m = accept(SHAPES_128, &o);
    check_dims(input_type(m, "unet@2", "sample"), 4, DIMS(6, 4, 12, 8));
    check_dims(input_type(m, "unet", "timestep"), 1, DIMS(3));
    check_dims(input_type(m, "vae.decode", "latent"), 4, DIMS(1, 4, 12, 8)); /* one at a time */
    ir_module_free(m);
    o.width = 100;
    refuse(SHAPES_128, &o, "both sides must be multiples of 8");
    o.width = 8 << 20;
    refuse(SHAPES_128, &o, "1 to 65536 is possible");
    o = (fe_options){.batch = -1};
    refuse(SHAPES_128, &o, "a batch of -1");
}

static void selections(void **state) {
    (void)state;
    fe_options o = {.component = "vae"};
    ir_module *m = accept(SHAPES_128, &o);
    assert_int_equal(m->funcs.count, 2);
    assert_non_null(ir_func_find(m, "vae.encode"));
    assert_string_equal(ir_meta_string(m, "pipeline.kind", ""), "none");
    ir_module_free(m);
    o.function = "decode";
    m = accept(SHAPES_128 "/vae", &o);
    assert_int_equal(m->funcs.count, 1);
    assert_string_equal(m->funcs.items[0]->name, "vae.decode");
    check_dims(input_type(m, "vae.decode", "latent"), 4, DIMS(1, 4, 16, 16));
    ir_module_free(m);
    o.function = "encod";
    refuse(SHAPES_128 "/vae", &o, "no function 'encod'");
    o = (fe_options){.component = "unet"};
    refuse(SHAPES_128 "/vae", &o, "the folder holds the component 'vae', not 'unet'");
    o.width = o.height = 64;
    m = accept(SHAPES_128, &o);
    check_dims(input_type(m, "unet", "sample"), 4, DIMS(1, 4, 8, 8)); /* pixels */
    ir_module_free(m);
    m = accept(SHAPES_128 "/unet", &o);
    check_dims(input_type(m, "unet", "sample"), 4, DIMS(1, 4, 64, 64)); /* cells */
    ir_module_free(m);
    o.component = "unets";
    refuse(SHAPES_128, &o, "unknown component 'unets'");
    fe_shape shapes[] = {{"latent", 4, {2, 4, 6, 10}}};
    o = (fe_options){.shapes = shapes, .shape_count = 1};
    m = accept(SHAPES_128 "/vae", &o);
    check_dims(input_type(m, "vae.encode", "image"), 4, DIMS(2, 3, 48, 80));
    ir_module_free(m);
}

/* Shapes of reference tensors: those of an encoder's and a decoder's run need not fit each other.
 */
static void given_shapes(void **state) {
    (void)state;
    fe_shape image[] = {{"image", 4, {1, 3, 17, 9}}},
             both[] = {{"image", 4, {1, 3, 33, 20}}, {"latent", 4, {2, 4, 3, 5}}};
    fe_options o = {.shapes = image, .shape_count = 1};
    ir_module *m = accept(SHAPES_128 "/vae", &o);
    check_dims(input_type(m, "vae.encode", "image"), 4, DIMS(1, 3, 17, 9));
    const ir_func *f = ir_func_find(m, "vae.encode");
    check_dims(ir_typeof(f, f->outputs.items[0].value), 4,
               DIMS(1, 8, 2, 1)); /* each halving rounds down */
    ir_module_free(m);
    o = (fe_options){.shapes = both, .shape_count = 2};
    m = accept(SHAPES_128 "/vae", &o);
    check_dims(input_type(m, "vae.encode", "image"), 4, DIMS(1, 3, 33, 20));
    check_dims(input_type(m, "vae.decode", "latent"), 4, DIMS(2, 4, 3, 5));
    ir_module_free(m);
    image[0].dim[3] = 7;
    o = (fe_options){.shapes = image, .shape_count = 1};
    refuse(SHAPES_128 "/vae", &o, "both sides must be at least 8");
    o = (fe_options){.width = 20, .height = 16};
    refuse(SHAPES_128 "/vae", &o, "both sides must be multiples of 8");
    fe_shape ids[] = {{"input_ids", 1, {5}}};
    o = (fe_options){.shapes = ids, .shape_count = 1};
    m = accept(SHAPES_128 "/text_encoder", &o);
    check_dims(input_type(m, "text_encoder", "input_ids"), 2, DIMS(1, 5));
    ir_module_free(m);
}

/* Where every node comes from. */
static void origins(void **state) {
    (void)state;
    ir_module *m = accept(SHAPES_128 "/unet", &at_random);
    const ir_func *f = m->funcs.items[0];
    bool found = false;
    for (size_t i = 0; i < f->nodes.count; i++) {
        const ir_origin *o = &m->origins.items[f->nodes.items[i].origin];
        if (f->nodes.items[i].op != IR_OP_conv2d || !o->block ||
            strcmp(o->block, "down_blocks.1.resnets.0") != 0)
            continue;
        found = true;
        assert_non_null(strstr(o->file, "unet/config.json"));
        assert_int_equal(o->line, 7); /* "CrossAttnDownBlock2D", the second */
    }
    assert_true(found);
    ir_module_free(m);
}

/* ---- pipelines in temporary folders ---- */

static const char ddpm_scheduler[] =
    "{\"_class_name\": \"DDPMScheduler\", \"beta_start\": 0.0001, \"variance_type\": "
    "\"fixed_large\", "
    "\"trained_betas\": null, \"clip_sample\": true, \"skip_prk_steps\": true}";
static const char small_unet[] =
    "{\"_class_name\": \"UNet2DModel\", \"sample_size\": 8, \"block_out_channels\": [8, 16], "
    "\"norm_num_groups\": 4, \"layers_per_block\": 1, \"down_block_types\": [\"DownBlock2D\", "
    "\"AttnDownBlock2D\"], \"up_block_types\": [\"AttnUpBlock2D\", \"UpBlock2D\"]}";

/* A U-Net whose inputs no pipeline makes is fine alone, and refused in a pipeline. */
static void inputs_no_pipeline_makes(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    char unet[sizeof small_unet + 64];
    snprintf(unet, sizeof unet, "{\"class_embed_type\": \"identity\", %s", small_unet + 1);
    write_text(&t, "config.json", unet);
    ir_module_free(accept(t.path, &at_random));
    write_text(
        &t, "model_index.json",
        "{\"_class_name\": \"DDPMPipeline\", \"scheduler\": [\"diffusers\", \"DDPMScheduler\"], "
        "\"unet\": [\"diffusers\", \"UNet2DModel\"]}");
    write_text(&t, "scheduler_config.json", ddpm_scheduler);
    refuse(t.path, &at_random, "unsupported in a DDPMPipeline: 'class_embed_type'");
    temp_dir_end(&t);
}

/* As in google/ddpm-*: everything in the root. */
static void unconditional_in_root(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    write_text(
        &t, "model_index.json",
        "{\"_class_name\": \"DDPMPipeline\", \"scheduler\": [\"diffusers\", \"DDPMScheduler\"], "
        "\"unet\": [\"diffusers\", \"UNet2DModel\"]}");
    write_text(&t, "config.json", small_unet);
    write_text(&t, "scheduler_config.json", ddpm_scheduler);
    fe_options o = at_random;
    o.guidance_pair = true;
    ir_module *m = accept(t.path, &o);
    assert_int_equal(m->funcs.count, 1);
    assert_string_equal(ir_meta_string(m, "pipeline.kind", ""), "unconditional");
    assert_string_equal(ir_meta_string(m, "sampler.variance_type", ""), "fixed_large");
    assert_int_equal(ir_meta_int(m, "sampler.clip_sample", -1), 1);
    assert_int_equal(ir_meta_int(m, "sampler.steps", 0), 1000);
    assert_null(ir_meta_get(m, "pipeline.decoder"));
    ir_module_free(m);

    write_text(&t, "scheduler_config.json",
               "{\"_class_name\": \"GaussianDDPMScheduler\", \"timesteps\": 500}");
    m = accept(t.path, &o);
    assert_string_equal(ir_meta_string(m, "sampler.class", ""), "ddpm");
    assert_int_equal(ir_meta_int(m, "sampler.num_train_timesteps", 0), 500);
    ir_module_free(m);

    temp_dir_end(&t);
}

static void bad_folders(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    refuse(t.path, &at_random,
           "a model folder has a model_index.json, a config.json or a model.json");
    refuse(temp_path(&t, "absent"), &at_random, "absent");
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "expected an object"},
        {"{}", "missing key '_class_name'"},
        {"{\"_class_name\": \"FluxPipeline\"}", "unsupported: pipeline 'FluxPipeline'\n"},
        {"{\"_class_name\": \"FluxPipeline\"}",
         "supported are StableDiffusionPipeline, StableDiffusionImg2ImgPipeline, "},
        {"{\"_class_name\": \"StableDiffusionControlNetXSPipeline\"}",
         "unsupported: pipeline 'StableDiffusionControlNetXSPipeline'"},
        {"{\"_class_name\": \"StableDiffusionXLPipeline\"}",
         "the pipeline needs a component 'text_encoder_2'"},
        {"{\"_class_name\": \"StableDifusionPipeline\"}",
         "did you mean 'StableDiffusionPipeline'?"},
        {"{\"_class_name\": \"StableDiffusionPipeline\", \"unet\": [null, null]}",
         "the pipeline needs a component 'unet'"},
        {"{\"_class_name\": 3}", "expected a string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(&t, "model_index.json", cases[i].text);
        refuse(t.path, &at_random, cases[i].message);
    }
    temp_dir_end(&t);

    temp_dir_begin(&t);
    write_text(&t, "config.json", "{\"_class_name\": \"ConsistencyDecoderVAE\"}");
    refuse(t.path, &at_random, "unsupported: model class 'ConsistencyDecoderVAE'");
    write_text(&t, "config.json", "{\"hello\": 1}");
    refuse(t.path, &at_random, "neither '_class_name' nor 'architectures'");
    write_text(&t, "config.json", "{\"architectures\": [\"T5EncoderModel\"]}");
    refuse(t.path, &at_random, "unsupported: text model 'T5EncoderModel'");
    write_text(&t, "config.json", small_unet);
    refuse(t.path, &(fe_options){0}, "safetensors"); /* no weights */
    write_text(&t, "x.json", "{\"hello\": 1}");
    refuse(temp_path(&t, "x.json"), &at_random, "it has no key 'ebru'");
    refuse(temp_path(&t, "config.json"), &at_random, "name the folder it is in");
    temp_write(&t, "x.safetensors", "\2\0\0\0\0\0\0\0{}", 10);
    refuse(temp_path(&t, "x.safetensors"), &at_random, "weights alone are no model");
    temp_dir_end(&t);
}

/* ---- configs ---- */

static void config_case(const char *text, const char *message) {
    temp_dir t;
    temp_dir_begin(&t);
    write_text(&t, "config.json", text);
    if (message)
        refuse(t.path, &at_random, message);
    else
        ir_module_free(accept(t.path, &at_random));
    temp_dir_end(&t);
}

/* A small UNet2DConditionModel with one more key. */
static void unet_case(const char *key, const char *message) {
    char text[2048];
    snprintf(text, sizeof text,
             "{\"_class_name\": \"UNet2DConditionModel\", \"sample_size\": 8, "
             "\"block_out_channels\": [32, 64], "
             "\"cross_attention_dim\": 16, \"layers_per_block\": 1, \"down_block_types\": "
             "[\"CrossAttnDownBlock2D\", \"DownBlock2D\"], "
             "\"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\"]%s%s}",
             *key ? ", " : "", key);
    config_case(text, message);
}

/* Every key that asks for something that is not built is refused by its name; nothing is silently
 * ignored. */
static void refused_by_name(void **state) {
    (void)state;
    unet_case("", NULL);
    unet_case("\"dual_cross_attention\": false, \"attention_type\": \"default\", "
              "\"time_cond_proj_dim\": null",
              NULL);
    /* heads of 24 channels: two of 64 are 48 wide, one of 32 is 24 wide; the layer is named */
    unet_case("\"attention_head_dim\": 24", NULL);
    config_case(
        "{\"_class_name\": \"UNet2DModel\", \"sample_size\": 8, \"block_out_channels\": [4, "
        "20], \"norm_num_groups\": 4, \"layers_per_block\": 1, \"down_block_types\": "
        "[\"DownBlock2D\", \"AttnDownBlock2D\"], \"up_block_types\": [\"AttnUpBlock2D\", "
        "\"UpBlock2D\"]}",
        NULL);
    config_case(
        "{\"_class_name\": \"UNet2DModel\", \"sample_size\": 8, \"block_out_channels\": [4, "
        "20], \"norm_num_groups\": 4, \"layers_per_block\": 1, \"down_block_types\": "
        "[\"AttnDownBlock2D\", \"AttnDownBlock2D\"], \"up_block_types\": [\"UpBlock2D\", "
        "\"UpBlock2D\"]}",
        "error: down_blocks.0.attentions.0: heads of 8 are wider than 4 channels");
    unet_case("\"dual_cross_attention\": true",
              "unsupported: this value of 'dual_cross_attention'");
    unet_case("\"num_attention_heads\": 8", "'num_attention_heads'");
    unet_case("\"resnet_time_scale_shift\": \"scale_shift\"", NULL);
    unet_case("\"resnet_time_scale_shift\": \"spatial\"",
              "unknown resnet_time_scale_shift 'spatial'");
    unet_case("\"timestep_post_act\": \"sillu\"", "unknown activation 'sillu'");
    unet_case("\"class_embeddings_concat\": true",
              "'class_embeddings_concat' joins a class, and the U-Net has none");
    unet_case("\"class_embeddings_concat\": true, \"num_class_embeds\": 5, "
              "\"addition_embed_type\": \"text\", \"addition_embed_type_num_heads\": 4",
              "exclude each other");
    unet_case("\"addition_embed_type\": \"text\", \"addition_embed_type_num_heads\": 5",
              "5 heads do not divide 16 channels");
    unet_case("\"attention_type\": \"fenced\"", "unknown attention_type 'fenced'");
    unet_case("\"time_embedding_type\": \"learned\"", "unknown time_embedding_type 'learned'");
    unet_case("\"time_embedding_type\": \"fourier\", \"time_embedding_dim\": 31", "must be even");
    config_case("{\"_class_name\": \"UNet2DModel\", \"time_embedding_type\": \"fourier\"}",
                "unsupported: 'time_embedding_type' is 'fourier' in a UNet2DModel");
    config_case("{\"_class_name\": \"UNet2DModel\", \"time_embedding_type\": \"learned\"}",
                "which needs 'num_train_timesteps'");
    config_case("{\"_class_name\": \"UNet2DModel\", \"mid_block_type\": "
                "\"UNetMidBlock2DSimpleCrossAttn\"}",
                "a UNet2DModel has no cross-attention");
    unet_case("\"time_cond_proj_dim\": 256", NULL);
    unet_case("\"time_cond_proj_dim\": \"wide\"", "expected an integer, found a string");
    unet_case("\"class_embed_type\": \"projection\"",
              "which needs 'projection_class_embeddings_input_dim'");
    unet_case("\"class_embed_type\": \"onehot\"", "unknown class embedding 'onehot'");
    unet_case("\"resnet_out_scale_factor\": 0", "'resnet_out_scale_factor' must be positive");
    unet_case("\"addition_embed_type\": \"image\"",
              "unsupported: 'addition_embed_type' is 'image'");
    unet_case("\"encoder_hid_dim_type\": \"ip_image_proj\"",
              "unsupported: 'encoder_hid_dim_type' is 'ip_image_proj'");
    unet_case("\"cross_attention_norm\": \"rms_norm\"", "unknown cross_attention_norm 'rms_norm'");
    unet_case("\"mid_block_type\": \"UNetMidBlock2DSimpleCrossAttn\", \"attention_head_dim\": 65",
              "mid_block.attentions.0: heads of 65 are wider than 64 channels");
    unet_case("\"norm_num_groups\": null", "'norm_num_groups' is null");
    unet_case("\"act_fn\": \"sillu\"", "unknown activation 'sillu'; did you mean 'silu'?");
    unet_case("\"attention_head_dim\": [1, 2, 3]", "3 values for 2 resolutions");
    unet_case("\"transformer_layers_per_block\": [[1], 2]",
              "needs 'reverse_transformer_layers_per_block'");
    unet_case("\"transformer_layers_per_block\": [[2], null], "
              "\"reverse_transformer_layers_per_block\": [7, [1, 0]]",
              "expected an integer, found null");
    unet_case("\"transformer_layers_per_block\": [[2], 1], "
              "\"reverse_transformer_layers_per_block\": [null, [1, 0]]",
              NULL);
    unet_case("\"transformer_layers_per_block\": [[2], 1], "
              "\"reverse_transformer_layers_per_block\": [1, [1]]",
              "1 numbers for 2 attention blocks");
    unet_case("\"transformer_layers_per_block\": [[-2], 1], "
              "\"reverse_transformer_layers_per_block\": [1, [1, 1]]",
              "is out of range");
    unet_case("\"transformer_layers_per_block\": [1, 2, 3]", "3 values for 2 resolutions");
    unet_case("\"attention_head_dim\": [16, [16]]", "expected an integer, found an array");
    unet_case("\"norm_num_groups\": 7", "7 groups do not divide 32 channels");
    unet_case("\"in_channels\": -1", "is out of range");
    unet_case("\"in_channels\": \"four\"", "expected an integer, found a string");
    unet_case("\"conv_in_kernel\": 4", "must be odd");
    unet_case("\"mid_block_scale_factor\": 0", "must be positive");
    config_case("{\"_class_name\": \"UNet2DConditionModel\", \"block_out_channels\": [32], "
                "\"down_block_types\": [\"SkipDownBlock2D\"], "
                "\"up_block_types\": [\"UpBlock2D\"]}",
                "unsupported: block type 'SkipDownBlock2D'");
    config_case("{\"_class_name\": \"UNet2DConditionModel\", \"block_out_channels\": [32], "
                "\"down_block_types\": [\"DownBlok2D\"], "
                "\"up_block_types\": [\"UpBlock2D\", \"UpBlock2D\"]}",
                "unknown block type 'DownBlok2D'; did you mean 'DownBlock2D'?");
    config_case(
        "{\"_class_name\": \"UNet2DModel\", \"block_out_channels\": [32], \"down_block_types\": "
        "[\"CrossAttnDownBlock2D\"], "
        "\"up_block_types\": [\"UpBlock2D\"]}",
        "unsupported: block type 'CrossAttnDownBlock2D' (supported here: DownBlock2D, ");
    config_case("{\"_class_name\": \"UNet2DModel\"}", "no 'sample_size'");
    config_case("{\"_class_name\": \"AutoencoderKL\", \"down_block_types\": [\"DownBlock2D\"]}",
                "unsupported: block type 'DownBlock2D' (supported here: DownEncoderBlock2D, "
                "AttnDownEncoderBlock2D)");
    config_case(
        "{\"_class_name\": \"AutoencoderKL\", \"down_block_types\": [\"DownEncoderBlok2D\"]}",
        "unknown block type 'DownEncoderBlok2D'; did you mean 'DownEncoderBlock2D'?");
    /* of configs before 0.1 */
    config_case("{\"_class_name\": \"AutoencoderKL\", \"down_block_types\": "
                "[\"UNetResDownEncoderBlock2D\"]}",
                NULL);
    config_case("{\"_class_name\": \"UNet3DConditionModel\"}",
                "error: unsupported: model class 'UNet3DConditionModel'\n");
    config_case("{\"_class_name\": \"UNet2DConditionModl\"}",
                "unknown model class 'UNet2DConditionModl'; did you mean 'UNet2DConditionModel'?");
    config_case("{\"_class_name\": \"AutoencoderTiny\"}", NULL);
    config_case("{\"_class_name\": \"VQModel\", \"vq_embed_dim\": 5}", NULL);
    config_case("{\"_class_name\": \"VQModel\", \"norm_type\": \"layer\"}",
                "unknown norm_type 'layer'");
    config_case("{\"_class_name\": \"VQModel\", \"norm_type\": \"spatial\", \"vq_embed_dim\": 5}",
                "needs a 'vq_embed_dim' of 3");
    config_case("{\"_class_name\": \"VQModel\", \"num_vq_embeddings\": 0}", "is out of range");
    config_case(
        "{\"_class_name\": \"AutoencoderTiny\", \"encoder_block_out_channels\": [64, 32, 64, 64]}",
        "unsupported: resolutions of 'encoder_block_out_channels' with different channels");
    config_case("{\"_class_name\": \"AutoencoderTiny\", \"upsample_fn\": \"bilinear\"}",
                "unsupported: 'upsample_fn' is 'bilinear'");
    config_case("{\"_class_name\": \"AutoencoderTiny\", \"upsampling_scaling_factor\": 4}",
                "unsupported: this value of 'upsampling_scaling_factor'");
    config_case("{\"_class_name\": \"AutoencoderTiny\", \"num_decoder_blocks\": [1, 2]}",
                "'num_decoder_blocks' has 2 entries for 4 resolutions");
    config_case(
        "{\"_class_name\": \"AutoencoderKL\", \"latents_mean\": [1, 2], \"latents_std\": [1, 2]}",
        "2 numbers for 4 channels of the latent");
    config_case("{\"_class_name\": \"AutoencoderKL\", \"latents_mean\": [1, 2, 3, 4], "
                "\"latents_std\": [1, 2, 0, 1]}",
                "'latents_std' must be positive");
    config_case("{\"architectures\": [\"CLIPTextModel\"], \"num_attention_heads\": 7}",
                "7 heads do not divide a hidden size of 512");
    /* What is wrong with a default is said at the config. */
    config_case("{\"architectures\": [\"CLIPTextModel\"], \"hidden_size\": 47}",
                "config.json:1:1: error: 8 heads do not divide a hidden size of 47");
}

static void unknown_keys_are_remarked_on(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    write_text(&t, "config.json",
               "{\"_class_name\": \"AutoencoderKL\", \"_anything\": 1, \"scaling_facto\": 2}");
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *m = fe_load(c.diag, t.path, &at_random);
    assert_non_null(m);
    assert_int_equal(base_diag_warnings(c.diag), 1);
    assert_non_null(strstr(captured(&c), "warning: unknown key 'scaling_facto'"));
    ir_module_free(m);
    capture_end(&c);
    temp_dir_end(&t);
}

/* ---- the tokenizer ---- */

static void blob_of_the_trained_model(void **state) {
    (void)state;
    fe_options o = at_random;
    ir_module *m = accept(SHAPES_128, &o);
    base_diag *d = base_diag_new(NULL);
    size_t bytes;
    unsigned char *blob = fe_tokenizer_blob(d, m, "tokenizer", &bytes);
    assert_non_null(blob);
    rt_tokenizer t;
    rt_error why;
    assert_int_equal(rt_tokenizer_open(&t, blob, bytes, &why), RT_OK);
    assert_int_equal(t.bos, 632);
    assert_int_equal(t.eos, 633);
    assert_int_equal(t.max_length, 77);
    int32_t ids[77];
    static const char prompt[] = "a red circle on a white background";
    size_t used;
    assert_int_equal(rt_tokenizer_encode_prompt(&t, prompt, strlen(prompt), ids, &used, NULL, &why),
                     RT_OK);
    assert_int_equal(used, 9); /* seven words, one token each, between start and end */
    assert_int_equal(ids[76], 633);
    base_free(blob);
    ir_module_free(m);

    m = ir_module_new();
    assert_null(fe_tokenizer_blob(d, m, "tokenizer", &bytes));
    assert_int_equal(bytes, 0);
    assert_int_equal(base_diag_errors(d), 0);
    ir_module_free(m);
    base_diag_free(d);
}

/* Stable Diffusion 2's files differ about the pad token; special_tokens_map.json is right. */
static void special_tokens(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    write_text(&t, "vocab.json",
               "{\"!\": 0, \"a\": 1, \"a</w>\": 2, \"<|startoftext|>\": 3, \"<|endoftext|>\": 4}");
    write_text(&t, "merges.txt", "#version: 0.2\n");
    write_text(&t, "tokenizer_config.json",
               "{\"pad_token\": \"<|endoftext|>\", \"model_max_length\": "
               "1000000000000000019884624838656}");
    write_text(&t, "special_tokens_map.json",
               "{\"pad_token\": \"!\", \"bos_token\": {\"content\": \"<|startoftext|>\", "
               "\"lstrip\": false}}");
    base_diag *d = base_diag_new(NULL);
    ir_module *m = ir_module_new();
    fe_dir *dir = fe_dir_open(d, t.path);
    assert_true(fe_tokenizer_meta(d, m, "tokenizer", dir, 77, 0));
    assert_int_equal(ir_meta_int(m, "tokenizer.pad", -1), 0);
    assert_int_equal(ir_meta_int(m, "tokenizer.bos", -1), 3);
    assert_int_equal(ir_meta_int(m, "tokenizer.max_length", -1), 77);
    fe_dir_close(dir);
    ir_module_free(m);
    base_diag_free(d);

    capture c;
    capture_begin(&c, (base_diag_options){0});
    write_text(&t, "vocab.json", "{\"a\": 1}");
    m = ir_module_new();
    dir = fe_dir_open(c.diag, t.path);
    assert_false(fe_tokenizer_meta(c.diag, m, "tokenizer", dir, 77, 0));
    assert_non_null(
        strstr(captured(&c), "the special token '<|startoftext|>' is not in the vocabulary"));
    fe_dir_close(dir);
    ir_module_free(m);
    capture_end(&c);
    temp_dir_end(&t);
}

/* What is said of a merges.txt beside a vocabulary of three tokens that need merges; "": nothing. */
static void expect_of_merges(const char *merges, bool built, const char *message) {
    temp_dir t;
    capture c;
    size_t bytes;
    temp_dir_begin(&t);
    capture_begin(&c, (base_diag_options){0});
    write_text(&t, "vocab.json",
               "{\"#\": 0, \"#</w>\": 1, \"\u00e1\": 2, \"\u00e1</w>\": 3, \"##</w>\": 4, "
               "\"\u00e1\u00e1</w>\": 5, \"\u00e1#\": 6, \"<|startoftext|>\": 7, "
               "\"<|endoftext|>\": 8, \"<concept>\": 9}");
    write_text(&t, "merges.txt", merges);
    ir_module *m = ir_module_new();
    fe_dir *dir = fe_dir_open(c.diag, t.path);
    assert_int_equal(fe_tokenizer_meta(c.diag, m, "tokenizer", dir, 77, 0), built);
    unsigned char *blob = built ? fe_tokenizer_blob(c.diag, m, "tokenizer", &bytes) : NULL;
    assert_int_equal(blob != NULL, built);
    const char *said = captured(&c) ? captured(&c) : "";
    if (*message ? !strstr(said, message) : *said) fail_msg("<%s> in <%s>", message, said);
    base_free(blob);
    fe_dir_close(dir);
    ir_module_free(m);
    capture_end(&c);
    temp_dir_end(&t);
}

static void merges_that_are_cut(void **state) {
    (void)state;
    expect_of_merges("#version: 0.2\n# #</w>\n\u00e1 \u00e1</w>\n\u00e1 #\n", true, "");
    expect_of_merges("# #</w>\n\u00e1 \u00e1</w>\n\u00e1 #", true, "");
    expect_of_merges("#version: 0.2\n# #</w>\n", true,
                     "warning: has 1 merges for 3 tokens of the vocabulary; is it complete?");
    expect_of_merges("#version: 0.2\n", false, "error: has no merges; the vocabulary has 3 tokens");
    expect_of_merges("", false, "error: has no merges");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(program),
        cmocka_unit_test(sizes),
        cmocka_unit_test(selections),
        cmocka_unit_test(given_shapes),
        cmocka_unit_test(origins),
        cmocka_unit_test(inputs_no_pipeline_makes),
        cmocka_unit_test(unconditional_in_root),
        cmocka_unit_test(bad_folders),
        cmocka_unit_test(refused_by_name),
        cmocka_unit_test(unknown_keys_are_remarked_on),
        cmocka_unit_test(blob_of_the_trained_model),
        cmocka_unit_test(special_tokens),
        cmocka_unit_test(merges_that_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
