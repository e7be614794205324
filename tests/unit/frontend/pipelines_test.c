/* Whole pipelines of diffusers: the published models of models/configs at full size (what their
 * programs get to know, their functions, how many parameters), and small ones that do not fit
 * together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "frontend/diffusers/diffusers.h"
#include "runtime/text/tokenizer.h"
#include "tests/unit/frontend/loading.h"
#include "tests/unit/support/temp_dir.h"

#define CONFIGS  EBRU_TEST_DATA "/../models/configs/"
#define COUNT(a) (sizeof(a) / sizeof *(a))

static const fe_options program = {
    .random_weights = true, .random_seed = 1, .guidance_pair = true, .shared_timestep = true};

static const char *config(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, CONFIGS "%s", name);
    return path;
}

/* ---- what is in a module, as text ---- */

static void add_meta(const ir_module *m, const char *key, base_str *s) {
    const ir_meta *e = ir_meta_get(m, key);
    if (!e) {
        base_str_addf(s, "-");
        return;
    }
    if (e->kind == IR_META_INT) base_str_addf(s, "%lld", (long long)e->i);
    if (e->kind == IR_META_FLOAT) base_str_addf(s, "%g", e->f);
    if (e->kind == IR_META_STRING) base_str_addf(s, "%s", e->s);
}

/* "key=value" for every key of a list, "-" for an absent one. */
static void check_meta(const ir_module *m, const char *expected) {
    base_str got = {0};
    char keys[2048], *rest = keys;
    snprintf(keys, sizeof keys, "%s", expected);
    for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL;) {
        *strchr(word, '=') = 0;
        base_str_addf(&got, "%s%s=", got.len ? " " : "", word);
        add_meta(m, word, &got);
    }
    assert_string_equal(got.data, expected);
    base_str_free(&got);
}

/* "function(input:1x2 input:3)" for every function, in order. */
static void check_functions(const ir_module *m, const char *expected) {
    base_str got = {0};
    for (size_t i = 0; i < m->funcs.count; i++) {
        const ir_func *f = m->funcs.items[i];
        base_str_addf(&got, "%s%s(", i ? " " : "", f->name);
        for (size_t k = 0; k < f->inputs.count; k++) {
            const ir_node *n = ir_get(f, f->inputs.items[k]);
            base_str_addf(&got, "%s%s:", k ? " " : "", IR_ATTRS(n, input)->name);
            for (uint32_t d = 0; d < n->type.rank; d++)
                base_str_addf(&got, "%s%lld", d ? "x" : "", (long long)n->type.dim[d]);
        }
        base_str_addf(&got, ")");
    }
    assert_string_equal(got.data, expected);
    base_str_free(&got);
}

/* ---- the published models ---- */

typedef struct expectation {
    const char *name, *meta, *functions;
} expectation;

#define TEXT_L    "text_encoder(input_ids:1x77) "
#define TEXT_G    "text_encoder_2(input_ids:1x77) "
#define ENCODE(S) "vae.encode(image:1x3x" S "x" S ") "
#define DECODE(S) "vae.decode(latent:1x4x" S "x" S ") "

static const expectation expectations[] = {
    {"sd-v1-5",
     "pipeline.kind=text_to_image pipeline.class=StableDiffusionPipeline pipeline.denoiser=unet "
     "pipeline.guidance=1 pipeline.guidance_embedding=- pipeline.condition=- "
     "pipeline.image_input=1 "
     "pipeline.text_encoder=text_encoder pipeline.text_output=last_hidden_state "
     "pipeline.text_encoder_2=- "
     "pipeline.pooled_output=- pipeline.decoder=vae.decode pipeline.encoder=vae.encode "
     "sampler.class=pndm sampler.beta_schedule=scaled_linear sampler.beta_start=0.00085 "
     "sampler.beta_end=0.012 sampler.skip_prk_steps=1 sampler.steps_offset=1 "
     "sampler.set_alpha_to_one=0 "
     "sampler.clip_sample=0 sampler.prediction_type=- sampler.steps=50 sampler.guidance=7.5 "
     "sampler.strength=0.8 latent.channels=4 latent.height=64 latent.width=64 "
     "vae.scaling_factor=0.18215 "
     "vae.scale=8 image.channels=3 image.height=512 image.width=512 text.max_length=77 "
     "text.width=768 "
     "text.chunks=- text.force_zeros=- time_ids.count=- tokenizer.pad=49407 tokenizer.bos=49406 "
     "tokenizer.eos=49407 tokenizer_2.pad=- classes.count=-",
     TEXT_L ENCODE("512")
         DECODE("64") "unet(sample:1x4x64x64 timestep:1 encoder_hidden_states:1x77x768) "
                      "unet@2(sample:2x4x64x64 timestep:1 encoder_hidden_states:2x77x768)"},
    {"sd-v1-5-inpainting",
     "pipeline.kind=text_to_image pipeline.condition=inpaint pipeline.image_input=1 "
     "pipeline.encoder=vae.encode sampler.strength=1 sampler.steps=50 sampler.guidance=7.5 "
     "sampler.skip_prk_steps=1 latent.channels=4 image.width=512",
     TEXT_L ENCODE("512")
         DECODE("64") "unet(sample:1x9x64x64 timestep:1 encoder_hidden_states:1x77x768) "
                      "unet@2(sample:2x9x64x64 timestep:1 encoder_hidden_states:2x77x768)"},
    {"sd-v2-1",
     "pipeline.condition=- sampler.class=ddim sampler.prediction_type=v_prediction "
     "sampler.steps_offset=1 "
     "sampler.set_alpha_to_one=0 latent.height=96 image.height=768 text.width=1024 tokenizer.pad=0",
     TEXT_L ENCODE("768")
         DECODE("96") "unet(sample:1x4x96x96 timestep:1 encoder_hidden_states:1x77x1024) "
                      "unet@2(sample:2x4x96x96 timestep:1 encoder_hidden_states:2x77x1024)"},
    {"sd-v2-depth",
     "pipeline.condition=depth pipeline.encoder=vae.encode "
     "sampler.strength=0.8 sampler.class=pndm latent.channels=4 latent.height=64 image.height=512",
     TEXT_L ENCODE("512")
         DECODE("64") "unet(sample:1x5x64x64 timestep:1 encoder_hidden_states:1x77x1024) "
                      "unet@2(sample:2x5x64x64 timestep:1 encoder_hidden_states:2x77x1024)"},
    {"sd-x4-upscaler",
     "pipeline.kind=text_to_image pipeline.condition=low_resolution pipeline.image_input=1 "
     "pipeline.encoder=- sampler.class=ddim sampler.beta_start=0.0001 sampler.beta_end=0.02 "
     "sampler.beta_schedule=scaled_linear sampler.prediction_type=v_prediction "
     "sampler.clip_sample=0 "
     "sampler.steps=75 sampler.guidance=9 sampler.strength=- low_res.class=ddpm "
     "low_res.noise_level=20 "
     "low_res.max_noise_level=350 low_res.beta_schedule=scaled_linear low_res.beta_start=0.0001 "
     "low_res.beta_end=0.02 low_res.num_train_timesteps=1000 vae.scaling_factor=0.08333 "
     "vae.scale=4 "
     "latent.channels=4 latent.height=128 image.height=512 classes.count=-",
     TEXT_L DECODE("128") "unet(sample:1x7x128x128 timestep:1 encoder_hidden_states:1x77x1024 "
                          "class_labels:1) "
                          "unet@2(sample:2x7x128x128 timestep:1 encoder_hidden_states:2x77x1024 "
                          "class_labels:2)"},
    {"sdxl-base",
     "pipeline.kind=text_to_image pipeline.text_encoder=text_encoder "
     "pipeline.text_output=penultimate_hidden_state pipeline.text_encoder_2=text_encoder_2 "
     "pipeline.text_output_2=penultimate_hidden_state pipeline.pooled_output=text_embeds "
     "time_ids.count=6 "
     "text.force_zeros=1 text.width=2048 text.max_length=77 tokenizer.pad=49407 tokenizer_2.pad=0 "
     "tokenizer_2.max_length=77 vae.scaling_factor=0.13025 sampler.class=euler "
     "sampler.timestep_spacing=leading sampler.steps_offset=1 sampler.steps=50 sampler.guidance=5 "
     "latent.height=128 image.height=1024 pipeline.image_input=1",
     TEXT_G TEXT_L ENCODE("1024")
         DECODE("128") "unet(sample:1x4x128x128 timestep:1 encoder_hidden_states:1x77x2048 "
                       "text_embeds:1x1280 "
                       "time_ids:1x6) "
                       "unet@2(sample:2x4x128x128 timestep:1 encoder_hidden_states:2x77x2048 "
                       "text_embeds:2x1280 "
                       "time_ids:2x6)"},
    {"sdxl-refiner",
     "pipeline.text_encoder=- pipeline.text_output=- pipeline.text_encoder_2=text_encoder_2 "
     "pipeline.text_output_2=penultimate_hidden_state pipeline.pooled_output=text_embeds "
     "time_ids.count=5 "
     "text.force_zeros=0 text.width=1280 tokenizer.pad=- tokenizer_2.pad=0 sampler.strength=0.3 "
     "image.height=1024",
     TEXT_G ENCODE("1024") DECODE("128") "unet(sample:1x4x128x128 timestep:1 "
                                         "encoder_hidden_states:1x77x1280 text_embeds:1x1280 "
                                         "time_ids:1x5) "
                                         "unet@2(sample:2x4x128x128 timestep:1 "
                                         "encoder_hidden_states:2x77x1280 text_embeds:2x1280 "
                                         "time_ids:2x5)"},
    {"lcm-sd-v1-5",
     "pipeline.kind=text_to_image pipeline.guidance=0 pipeline.guidance_embedding=256 "
     "sampler.class=lcm "
     "sampler.original_inference_steps=50 sampler.steps=4 sampler.guidance=8.5 "
     "sampler.strength=0.8 "
     "sampler.steps_offset=0 sampler.set_alpha_to_one=1 pipeline.image_input=1",
     TEXT_L ENCODE("512") DECODE("64") "unet(sample:1x4x64x64 timestep:1 "
                                       "encoder_hidden_states:1x77x768 timestep_cond:1x256)"},
    {"ddpm-cifar10-32",
     "pipeline.kind=unconditional pipeline.guidance=0 pipeline.decoder=- pipeline.encoder=- "
     "pipeline.image_input=1 sampler.class=ddpm sampler.steps=1000 "
     "sampler.variance_type=fixed_large "
     "sampler.clip_sample=1 sampler.strength=0.8 latent.channels=3 image.height=32 vae.scale=1",
     "unet(sample:1x3x32x32 timestep:1)"},
    {"ddpm-cat-256", "pipeline.kind=unconditional image.height=256 latent.height=256",
     "unet(sample:1x3x256x256 timestep:1)"},
};

static void published_models(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(expectations); i++) {
        const expectation *e = &expectations[i];
        print_message("%s\n", e->name);
        ir_module *m = accept(config(e->name), &program);
        check_functions(m, e->functions);
        check_meta(m, e->meta);
        ir_module_free(m);
    }
}

/* The depth map is a picture that the user gives, so nothing estimates it. */
static void ignored_parts(void **state) {
    (void)state;
    ir_module *m = accept(config("sd-v2-depth"), &program);
    assert_string_equal(ir_meta_string(m, "pipeline.ignored", ""),
                        "feature_extractor, depth_estimator");
    ir_module_free(m);
    m = accept(config("sd-v1-5"), &program);
    assert_string_equal(ir_meta_string(m, "pipeline.ignored", ""),
                        "safety_checker, feature_extractor");
    ir_module_free(m);
}

/* Parameters and tensors, as published. */
static void parameter_counts(void **state) {
    (void)state;
    static const struct {
        const char *model, *component;
        int64_t parameters;
        size_t tensors;
    } cases[] = {
        {"sd-v1-5", "unet", 859520964, 686},
        {"sd-v1-5", "vae", 83653863, 248},
        {"sd-v1-5", "text_encoder", 123060480, 196},
        {"sd-v1-5-inpainting", "unet", 859535364, 686},
        {"sd-v2-1", "unet", 865910724, 686},
        {"sd-v2-1", "text_encoder", 340387840, 372},
        {"sd-v2-depth", "unet", 865913604, 686},
        {"sd-x4-upscaler", "unet", 473398020, 687},
        {"sd-x4-upscaler", "vae", 55325927, 204},
        {"sdxl-base", "unet", 2567463684, 1680},
        {"sdxl-base", "text_encoder_2", 694659840, 517},
        {"sdxl-refiner", "unet", 2259526660, 1220},
        {"lcm-sd-v1-5", "unet", 859520964 + 256 * 320, 687},
        {"ddpm-cifar10-32", "unet", 35746307, 328},
        {"ddpm-cat-256", "unet", 113673219, 450},
        {"ip-adapter-image-encoder", "image_encoder", 632076800, 520},
        {"realesrgan-x4plus", "upscaler", 16697987, 702},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        fe_options o = {.random_weights = true, .random_seed = 1, .component = cases[i].component};
        ir_module *m = accept(config(cases[i].model), &o);
        print_message("%s %s\n", cases[i].model, cases[i].component);
        assert_int_equal(ir_parameter_count(m), cases[i].parameters);
        assert_int_equal(m->weights.count, cases[i].tensors);
        ir_module_free(m);
    }
}

/* The whole of a model in memory: both U-Nets share their weights, and nothing is left out. */
static void whole_count(void **state) {
    (void)state;
    ir_module *m = accept(config("sd-v1-5"), &program);
    assert_int_equal(ir_parameter_count(m), 859520964 + 83653863 + 123060480);
    ir_module_free(m);
}

/* ---- options ---- */

static void without_pictures(void **state) {
    (void)state;
    fe_options o = program;
    o.no_image_input = true;
    ir_module *m = accept(config("sd-v1-5"), &o);
    assert_null(ir_func_find(m, "vae.encode"));
    check_meta(
        m,
        "pipeline.image_input=- pipeline.encoder=- sampler.strength=- pipeline.decoder=vae.decode");
    ir_module_free(m);
    m = accept(config("ddpm-cifar10-32"), &o);
    check_meta(m, "pipeline.image_input=-");
    ir_module_free(m);
    refuse(config("sd-v1-5-inpainting"), &o,
           "--no-image-input: this model cannot do without a picture");
    refuse(config("sd-v2-depth"), &o, "its U-Net takes a depth map");
    refuse(config("sd-x4-upscaler"), &o, "its U-Net takes a small picture");
}

static void prompt_chunks(void **state) {
    (void)state;
    fe_options o = program;
    o.prompt_chunks = 3;
    ir_module *m = accept(config("sd-v1-5"), &o);
    check_meta(m, "text.chunks=3 text.max_length=77");
    check_functions(
        m, TEXT_L ENCODE("512")
               DECODE("64") "unet(sample:1x4x64x64 timestep:1 encoder_hidden_states:1x231x768) "
                            "unet@2(sample:2x4x64x64 timestep:1 encoder_hidden_states:2x231x768)");
    ir_module_free(m);
    refuse(config("ddpm-cifar10-32"), &o, "--prompt-chunks: a DDPMPipeline reads no text");
    o.component = "unet";
    m = accept(config("sd-v1-5"), &o);
    check_functions(m, "unet(sample:1x4x64x64 timestep:1 encoder_hidden_states:1x231x768)");
    ir_module_free(m);
}

/* The number of the last layer whose result an output uses; -1 for the embedding. */
static int layer_of(const ir_module *m, const ir_func *f, ir_ref r) {
    for (;;) {
        const ir_node *n = ir_get(f, r);
        const char *block = m->origins.items[n->origin].block, *dot;
        int layer;
        if (block && (dot = strstr(block, "layers.")) && sscanf(dot, "layers.%d", &layer) == 1)
            return layer;
        if (n->op == IR_OP_input || !n->operand_count) return -1;
        r = n->operand[0];
    }
}

static ir_ref output_of(const ir_func *f, const char *name) {
    for (size_t i = 0; i < f->outputs.count; i++)
        if (strcmp(f->outputs.items[i].name, name) == 0) return f->outputs.items[i].value;
    fail_msg("no output %s", name);
    return IR_NONE;
}

/* Stable Diffusion takes the final norm of hidden_states[-(N+1)], XL hidden_states[-(N+2)]. */
static void clip_skip(void **state) {
    (void)state;
    for (int skip = 0; skip <= 2; skip++) {
        fe_options o = {.random_weights = true, .component = "text_encoder_2", .clip_skip = skip};
        ir_module *m = accept(config("sdxl-base"), &o);
        const ir_func *f = m->funcs.items[0];
        assert_int_equal(layer_of(m, f, output_of(f, "last_hidden_state")), 31 - skip);
        assert_int_equal(layer_of(m, f, output_of(f, "penultimate_hidden_state")), 30 - skip);
        assert_int_equal(layer_of(m, f, output_of(f, "text_embeds")), 31);
        ir_module_free(m);
    }
    /* negative prompts come from all layers, as in diffusers */
    fe_options o = program;
    o.clip_skip = 1;
    ir_module *m = accept(config("sd-v1-5"), &o);
    const ir_func *f = ir_func_find(m, "text_encoder");
    assert_string_equal(ir_meta_string(m, "pipeline.negative_text_output", ""),
                        "negative_hidden_state");
    assert_int_equal(layer_of(m, f, output_of(f, "last_hidden_state")), 10);
    assert_int_equal(layer_of(m, f, output_of(f, "negative_hidden_state")), 11);
    ir_module_free(m);
    m = accept(config("sdxl-base"), &o);
    f = ir_func_find(m, "text_encoder");
    assert_int_equal(layer_of(m, f, output_of(f, "penultimate_hidden_state")), 9);
    assert_int_equal(layer_of(m, f, output_of(f, "negative_hidden_state")), 10);
    f = ir_func_find(m, "text_encoder_2");
    assert_int_equal(layer_of(m, f, output_of(f, "penultimate_hidden_state")), 29);
    assert_int_equal(layer_of(m, f, output_of(f, "negative_hidden_state")), 30);
    ir_module_free(m);
    m = accept(config("lcm-sd-v1-5"), &o); /* never guided */
    assert_null(ir_meta_get(m, "pipeline.negative_text_output"));
    ir_module_free(m);
    o = (fe_options){
        .random_weights = true, .component = "unet", .clip_skip = 1, .no_image_input = true};
    refuse(config("sdxl-base"), &o, "--clip-skip: the component 'unet' is no text encoder");
    refuse(config("ddpm-cifar10-32"), &o,
           "--no-image-input: the component 'unet' alone paints no pictures");
    o = (fe_options){.random_weights = true, .prompt_chunks = 2};
    refuse(config("sd-v1-5/vae"), &o, "--prompt-chunks: the component 'vae' has no context");
    o = program;
    o.clip_skip = 12;
    refuse(config("sd-v1-5"), &o, "--clip-skip: 12 layers cannot be left out of 12");
    o.clip_skip = 1;
    refuse(config("ddpm-cifar10-32"), &o, "--clip-skip: a DDPMPipeline reads no text");
}

static void second_tokenizer(void **state) {
    (void)state;
    ir_module *m = accept(config("sdxl-base"), &program);
    base_diag *d = base_diag_new(NULL);
    static const struct {
        const char *name;
        int32_t pad;
    } cases[] = {{"tokenizer", 49407}, {"tokenizer_2", 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t bytes, used;
        int32_t ids[77];
        rt_tokenizer t;
        rt_error why;
        unsigned char *blob = fe_tokenizer_blob(d, m, cases[i].name, &bytes);
        assert_non_null(blob);
        assert_int_equal(rt_tokenizer_open(&t, blob, bytes, &why), RT_OK);
        assert_int_equal(rt_tokenizer_encode_prompt(&t, "a cat", 5, ids, &used, NULL, &why), RT_OK);
        assert_int_equal(ids[0], 49406);
        assert_int_equal(ids[3], 49407);
        assert_int_equal(ids[4], cases[i].pad);
        assert_int_equal(ids[76], cases[i].pad);
        base_free(blob);
    }
    base_diag_free(d);
    ir_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_models), cmocka_unit_test(ignored_parts),
        cmocka_unit_test(parameter_counts), cmocka_unit_test(whole_count),
        cmocka_unit_test(without_pictures), cmocka_unit_test(prompt_chunks),
        cmocka_unit_test(clip_skip),        cmocka_unit_test(second_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
