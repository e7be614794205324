/* Small pipelines of diffusers in temporary folders: what a class makes of a U-Net, what
 * constructors change, what is refused and by which name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "frontend/diffusers/diffusers.h"
#include "tests/unit/support/captured_diag.h"
#include "tests/unit/support/temp_dir.h"

static const fe_options program = {
    .random_weights = true, .random_seed = 1, .guidance_pair = true, .shared_timestep = true};

/* A small pipeline; each text is put into its file. Strings of keys begin with a comma where they
 * are not empty. */
typedef struct folder {
    const char *class_name, *index; /* index: more keys of model_index.json */
    int in_channels;
    const char *unet;              /* more keys of the U-Net */
    const char *vae;               /* the config; NULL: a small AutoencoderKL */
    const char *scheduler;         /* more keys; NULL: of PNDM */
    const char *second_encoder;    /* more keys; NULL: there is none */
    const char *indexed_scheduler; /* NULL: PNDMScheduler */
    const char *tokenizer;         /* keys of tokenizer_config.json; NULL: there is none */
} folder;

static void write_text(const temp_dir *t, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void write_text(const temp_dir *t, const char *name, const char *fmt, ...) {
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    temp_write(t, name, text, (size_t)n);
}

static void write_tokenizer(const temp_dir *t, const char *name) {
    char path[64];
    mkdir(temp_path(t, name), 0777);
    snprintf(path, sizeof path, "%s/vocab.json", name);
    write_text(t, path, "{\"!\": 0, \"a</w>\": 1, \"<|startoftext|>\": 2, \"<|endoftext|>\": 3}");
    snprintf(path, sizeof path, "%s/merges.txt", name);
    write_text(t, path, "#version: 0.2\n");
}

static const char text_config[] =
    "{\"architectures\": [\"CLIPTextModel%s\"], \"hidden_size\": 16, \"num_hidden_layers\": 2, "
    "\"num_attention_heads\": 2, \"intermediate_size\": 32, \"vocab_size\": 4%s}";

static void write_texts(const temp_dir *t, const folder *f) {
    mkdir(temp_path(t, "text_encoder"), 0777);
    write_text(t, "text_encoder/config.json", text_config, "", "");
    write_tokenizer(t, "tokenizer");
    if (f->tokenizer) write_text(t, "tokenizer/tokenizer_config.json", "{%s}", f->tokenizer);
    if (!f->second_encoder) return;
    mkdir(temp_path(t, "text_encoder_2"), 0777);
    write_text(t, "text_encoder_2/config.json", text_config, "WithProjection", f->second_encoder);
    write_tokenizer(t, "tokenizer_2");
}

/* What the config names first: {"_class_name": "NAME". */
static const char *class_of(const char *config) {
    static char name[64];
    if (sscanf(config, "{\"_class_name\": \"%63[^\"]\"", name) != 1) fail_msg("%s", config);
    return name;
}

static void folder_begin(temp_dir *t, const folder *f) {
    static const char *const parts[] = {"unet", "vae", "scheduler", "low_res_scheduler"};
    temp_dir_begin(t);
    for (int i = 0; i < 4; i++) mkdir(temp_path(t, parts[i]), 0777);
    write_text(t, "model_index.json",
               "{\"_class_name\": \"%s\", \"scheduler\": [\"diffusers\", \"%s\"], "
               "\"low_res_scheduler\": [\"diffusers\", \"DDPMScheduler\"], "
               "\"text_encoder\": [\"transformers\", \"CLIPTextModel\"], "
               "\"tokenizer\": [\"transformers\", \"CLIPTokenizer\"], "
               "\"unet\": [\"diffusers\", \"UNet2DConditionModel\"], \"vae\": [\"diffusers\", "
               "\"%s\"]%s%s}",
               f->class_name, f->indexed_scheduler ? f->indexed_scheduler : "PNDMScheduler",
               f->vae ? class_of(f->vae) : "AutoencoderKL",
               f->second_encoder
                   ? ", \"text_encoder_2\": [\"transformers\", \"CLIPTextModelWithProjection\"], "
                     "\"tokenizer_2\": [\"transformers\", \"CLIPTokenizer\"]"
                   : "",
               f->index ? f->index : "");
    write_text(
        t, "unet/config.json",
        "{\"_class_name\": \"UNet2DConditionModel\", \"sample_size\": 8, \"in_channels\": %d, "
        "\"block_out_channels\": [32, 32], \"cross_attention_dim\": %d, \"layers_per_block\": 1, "
        "\"down_block_types\": [\"CrossAttnDownBlock2D\", \"DownBlock2D\"], "
        "\"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\"]%s}",
        f->in_channels ? f->in_channels : 4, f->second_encoder ? 32 : 16, f->unet ? f->unet : "");
    write_text(t, "vae/config.json", "%s",
               f->vae ? f->vae
                      : "{\"_class_name\": \"AutoencoderKL\", \"block_out_channels\": [32, 32], "
                        "\"down_block_types\": [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\"], "
                        "\"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]}");
    write_text(t, "scheduler/scheduler_config.json", "{\"_class_name\": \"PNDMScheduler\"%s}",
               f->scheduler ? f->scheduler : "");
    write_text(t, "low_res_scheduler/scheduler_config.json",
               "{\"_class_name\": \"DDPMScheduler\"}");
    write_texts(t, f);
}

static ir_module *accept_path(const char *path, const fe_options *o, const char *warning) {
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *m = fe_load(c.diag, path, o);
    if (!m || base_diag_errors(c.diag) || (!warning && base_diag_warnings(c.diag)))
        fail_msg("%s", captured(&c));
    if (warning && !strstr(captured(&c), warning))
        fail_msg("expected <%s> in <%s>", warning, captured(&c));
    capture_end(&c);
    return m;
}

static ir_module *accept_with(const folder *f, const fe_options *o, const char *warning) {
    temp_dir t;
    folder_begin(&t, f);
    ir_module *m = accept_path(t.path, o, warning);
    temp_dir_end(&t);
    return m;
}

static ir_module *accept(const folder *f) {
    return accept_with(f, &program, NULL);
}

static void refuse_path(const char *path, const char *message) {
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *m = fe_load(c.diag, path, &program);
    if (m) fail_msg("accepted, expected <%s>", message);
    if (!strstr(captured(&c), message)) fail_msg("expected <%s> in <%s>", message, captured(&c));
    capture_end(&c);
}

static void refuse(const folder *f, const char *message) {
    temp_dir t;
    folder_begin(&t, f);
    refuse_path(t.path, message);
    temp_dir_end(&t);
}

static void expect_word(const ir_module *m, const char *key, const char *value) {
    assert_string_equal(ir_meta_string(m, key, "absent"), value);
}
static void expect_int(const ir_module *m, const char *key, int64_t value) {
    assert_int_equal(ir_meta_int(m, key, -1), value);
}
static void expect_real(const ir_module *m, const char *key, double value) {
    double got = ir_meta_float(m, key, -1);
    if (!(got > value - 1e-9 && got < value + 1e-9))
        fail_msg("%s: %g, expected %g", key, got, value);
}

#define XL_UNET                                                                                    \
    ", \"addition_embed_type\": \"text_time\", \"addition_time_embed_dim\": 8, "                   \
    "\"projection_class_embeddings_input_dim\": 64"
#define XL_TEXT ", \"projection_dim\": 16"

/* ---- what the U-Net is conditioned on ---- */

/* Checkpoints for inpainting and depth were published under the plain class, too. */
static void condition_by_channels(void **state) {
    (void)state;
    static const struct {
        const char *class_name;
        int channels;
        const char *condition;
        double strength;
    } cases[] = {{"StableDiffusionPipeline", 4, "absent", 0.8},
                 {"StableDiffusionPipeline", 9, "inpaint", 1.0},
                 {"StableDiffusionPipeline", 5, "depth", 0.8},
                 {"StableDiffusionImg2ImgPipeline", 4, "absent", 0.8},
                 {"StableDiffusionInpaintPipeline", 9, "inpaint", 1.0},
                 {"StableDiffusionInpaintPipeline", 4, "absent", 1.0},
                 {"StableDiffusionInpaintPipelineLegacy", 4, "absent", 0.8},
                 {"StableDiffusionDepth2ImgPipeline", 5, "depth", 0.8},
                 {"LatentConsistencyModelImg2ImgPipeline", 4, "absent", 0.8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ir_module *m =
            accept(&(folder){.class_name = cases[i].class_name, .in_channels = cases[i].channels});
        expect_word(m, "pipeline.condition", cases[i].condition);
        expect_real(m, "sampler.strength", cases[i].strength);
        expect_int(m, "latent.channels", 4);
        expect_word(m, "pipeline.encoder", "vae.encode");
        ir_module_free(m);
    }
    refuse(&(folder){.class_name = "StableDiffusionPipeline", .in_channels = 7},
           "unsupported in a StableDiffusionPipeline: a U-Net that takes 7 channels and gives 4, "
           "that is a "
           "latent and a small picture");
    refuse(&(folder){.class_name = "StableDiffusionPipeline", .in_channels = 8},
           "a U-Net that takes 8 channels and gives 4\n");
    refuse(&(folder){.class_name = "StableDiffusionDepth2ImgPipeline"},
           "a U-Net that takes 4 channels and gives 4, that is a latent alone");
    refuse(&(folder){.class_name = "StableDiffusionInpaintPipelineLegacy", .in_channels = 9},
           "that is a latent, a mask and a masked picture");
}

static void upscaler(void **state) {
    (void)state;
    folder f = {.class_name = "StableDiffusionUpscalePipeline",
                .in_channels = 7,
                .unet = ", \"num_class_embeds\": 100",
                .index = ", \"max_noise_level\": 350"};
    ir_module *m = accept(&f);
    expect_word(m, "pipeline.condition", "low_resolution");
    expect_int(m, "low_res.noise_level", 20);
    expect_int(m, "low_res.max_noise_level", 99); /* the table ends there */
    expect_word(m, "low_res.class", "ddpm");
    expect_real(m, "vae.scaling_factor", 0.08333);
    expect_int(m, "latent.width", 8);
    expect_int(m, "image.width", 16);
    assert_null(ir_meta_get(m, "pipeline.encoder"));
    assert_null(ir_func_find(m, "vae.encode"));
    assert_null(ir_meta_get(m, "classes.count"));
    ir_module_free(m);
    f.vae = "{\"_class_name\": \"AutoencoderKL\", \"scaling_factor\": 0.18215}";
    m = accept_with(&f, &program, "takes 0.08333 for 'scaling_factor', whatever is written here");
    expect_real(m, "vae.scaling_factor", 0.08333);
    ir_module_free(m);
    f.vae = NULL;
    f.unet = NULL;
    refuse(&f, "needs a U-Net with 'num_class_embeds', for the noise level");
    f.class_name = "StableDiffusionPipeline", f.in_channels = 4,
    f.unet = ", \"num_class_embeds\": 100";
    refuse(&f, "unsupported in a StableDiffusionPipeline: 'num_class_embeds'");
}

static void guidance_embedding(void **state) {
    (void)state;
    ir_module *m = accept(&(folder){.class_name = "LatentConsistencyModelPipeline",
                                    .unet = ", \"time_cond_proj_dim\": 32"});
    expect_int(m, "pipeline.guidance_embedding", 32);
    expect_int(m, "pipeline.guidance", 0);
    expect_int(m, "sampler.steps", 4);
    assert_null(ir_func_find(m, "unet@2"));
    ir_module_free(m);
    /* a distilled U-Net in a plain pipeline, and a plain one in a pipeline that never guides */
    m = accept(
        &(folder){.class_name = "StableDiffusionPipeline", .unet = ", \"time_cond_proj_dim\": 32"});
    expect_int(m, "pipeline.guidance_embedding", 32);
    assert_null(ir_func_find(m, "unet@2"));
    ir_module_free(m);
    m = accept(&(folder){.class_name = "LatentConsistencyModelPipeline"});
    assert_null(ir_meta_get(m, "pipeline.guidance_embedding"));
    assert_null(ir_func_find(m, "unet@2"));
    ir_module_free(m);
}

/* ---- XL ---- */

static void two_encoders(void **state) {
    (void)state;
    folder f = {
        .class_name = "StableDiffusionXLPipeline", .unet = XL_UNET, .second_encoder = XL_TEXT};
    ir_module *m = accept(&f);
    expect_int(m, "text.width", 32);
    expect_int(m, "text.force_zeros", 1);
    expect_int(m, "time_ids.count", 6);
    expect_real(m, "sampler.guidance", 5.0);
    expect_int(m, "latent.width", 8);
    ir_module_free(m);

    f.class_name = "StableDiffusionXLInpaintPipeline", f.in_channels = 9;
    m = accept(&f);
    expect_word(m, "pipeline.condition", "inpaint");
    expect_real(m, "sampler.strength", 0.9999);
    expect_real(m, "sampler.guidance", 7.5);
    ir_module_free(m);
    f.class_name = "StableDiffusionXLImg2ImgPipeline", f.in_channels = 4;
    f.index = ", \"force_zeros_for_empty_prompt\": false";
    m = accept(&f);
    expect_int(m, "text.force_zeros", 0);
    expect_real(m, "sampler.strength", 0.3);
    ir_module_free(m);

    f.index = ", \"requires_aesthetics_score\": true";
    refuse(&f, "text_embeds of 16 and 5 time_ids of 8 are 56");
    f.index = NULL;
    f.second_encoder = ", \"projection_dim\": 24";
    refuse(&f, "the U-Net projects 64 numbers, but text_embeds of 24 and 6 time_ids of 8 are 72");
    f.second_encoder = ", \"projection_dim\": 16, \"max_position_embeddings\": 50";
    refuse(&f, "the text encoders take different numbers of tokens: 77 and 50");
    f.second_encoder = XL_TEXT;
    f.class_name = "StableDiffusionPipeline";
    refuse(&f, "unsupported in a StableDiffusionPipeline: 'addition_embed_type'");
    refuse(&(folder){.class_name = "StableDiffusionXLPipeline"},
           "the pipeline needs a component 'text_encoder_2'");
}

/* ---- constructors ---- */

static void old_versions(void **state) {
    (void)state;
    folder f = {.class_name = "StableDiffusionPipeline",
                .unet = ", \"_diffusers_version\": \"0.8.1\"",
                .scheduler =
                    ", \"steps_offset\": 0, \"clip_sample\": true, \"skip_prk_steps\": false"};
    ir_module *m = accept(&f);
    expect_int(m, "latent.width", 64); /* said 8, meant 64 */
    expect_int(m, "sampler.steps_offset", 1);
    expect_int(m, "sampler.clip_sample", 0);
    expect_int(m, "sampler.skip_prk_steps", 0);
    ir_module_free(m);
    f.class_name = "StableDiffusionInpaintPipeline";
    m = accept(&f);
    expect_int(m, "latent.width", 64);
    expect_int(m, "sampler.steps_offset", 1);
    expect_int(m, "sampler.clip_sample", 1);
    expect_int(m, "sampler.skip_prk_steps", 1);
    ir_module_free(m);
    /* in the folder of a plain class a U-Net for inpainting or depth is run by the class for it */
    f.class_name = "StableDiffusionPipeline", f.in_channels = 9;
    m = accept(&f);
    expect_int(m, "sampler.clip_sample", 1);
    expect_int(m, "sampler.skip_prk_steps", 1);
    ir_module_free(m);
    f.in_channels = 5;
    m = accept(&f);
    expect_int(m, "sampler.steps_offset", 0);
    expect_int(m, "sampler.clip_sample", 1);
    expect_int(m, "sampler.skip_prk_steps", 0);
    ir_module_free(m);
    f.class_name = "LatentConsistencyModelPipeline", f.in_channels = 0;
    m = accept(&f);
    expect_int(m, "latent.width", 8);
    expect_int(m, "sampler.steps_offset", 0);
    expect_int(m, "sampler.clip_sample", 1);
    ir_module_free(m);
    f.class_name = "StableDiffusionPipeline", f.unet = ", \"_diffusers_version\": \"0.9.0.dev0\"";
    m = accept(&f);
    expect_int(m, "latent.width", 8);
    ir_module_free(m);
    /* the depth model says 32 in newer versions, too */
    m = accept(&(folder){.class_name = "StableDiffusionDepth2ImgPipeline", .in_channels = 5});
    expect_int(m, "latent.width", 64);
    ir_module_free(m);
    fe_options sized = program;
    sized.width = sized.height = 32;
    f = (folder){.class_name = "StableDiffusionDepth2ImgPipeline", .in_channels = 5};
    m = accept_with(&f, &sized, NULL);
    expect_int(m, "latent.width", 16);
    ir_module_free(m);
}

/* model_index.json says which class of scheduler reads the file. */
static void scheduler_of_the_index(void **state) {
    (void)state;
    ir_module *m = accept(&(folder){.class_name = "StableDiffusionPipeline",
                                    .indexed_scheduler = "EulerDiscreteScheduler"});
    expect_word(m, "sampler.class", "euler");
    ir_module_free(m);
    refuse(&(folder){.class_name = "StableDiffusionPipeline",
                     .indexed_scheduler = "EulerDiscreetScheduler"},
           "unknown scheduler 'EulerDiscreetScheduler'; did you mean 'EulerDiscreteScheduler'?");
}

/* Keys of model_index.json and of the tokenizer's files that nothing reads. */
static void unknown_entries(void **state) {
    (void)state;
    folder f = {.class_name = "StableDiffusionPipeline",
                .index = ", \"requires_safety_checker\": false, \"image_encoder\": [null, null], "
                         "\"controlnet\": [null, null]"};
    ir_module_free(accept(&f));
    f.index = ", \"controlnet\": [\"diffusers\", \"ControlNetModel\"]";
    ir_module_free(accept_with(&f, &program, "model_index.json:1:"));
    ir_module_free(accept_with(&f, &program, "warning: unknown key 'controlnet'"));
    f.index = NULL;
    f.tokenizer = "\"errors\": \"replace\", \"pad_tokn\": \"!\"";
    ir_module_free(accept_with(&f, &program,
                               "tokenizer_config.json:1:23: warning: unknown key 'pad_tokn'; did "
                               "you mean 'pad_token'?"));
    f.tokenizer = "\"padding_side\": \"left\"";
    refuse(&f, "unsupported: 'padding_side' is 'left'");
    f.tokenizer = "\"padding_side\": \"right\", \"model_max_length\": 1e30";
    ir_module_free(accept(&f));
}

/* A config that names no class is of the class that model_index.json says. */
static void class_of_the_index(void **state) {
    (void)state;
    temp_dir t;
    folder_begin(&t, &(folder){.class_name = "StableDiffusionPipeline"});
    write_text(&t, "vae/config.json",
               "{\"block_out_channels\": [32, 32], \"down_block_types\": [\"DownEncoderBlock2D\", "
               "\"DownEncoderBlock2D\"], \"up_block_types\": [\"UpDecoderBlock2D\", "
               "\"UpDecoderBlock2D\"]}");
    write_text(&t, "text_encoder/config.json",
               "{\"hidden_size\": 16, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, "
               "\"intermediate_size\": 32, \"vocab_size\": 4}");
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *m = fe_load(c.diag, t.path, &program);
    if (!m) fail_msg("%s", captured(&c));
    ir_module_free(m);
    capture_end(&c);
    temp_dir_end(&t);
}

/* Pipelines of other names are no misspellings; what makes them others is said. */
static void other_pipelines(void **state) {
    (void)state;
    static const char *const others[] = {"StableDiffusion3Pipeline", "StableDiffusionPAGPipeline",
                                         "StableDiffusionXLControlNetXSPipeline"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char message[120];
        snprintf(message, sizeof message, "unsupported: pipeline '%s'\n", others[i]);
        refuse(&(folder){.class_name = others[i]}, message);
        refuse(&(folder){.class_name = others[i]}, "supported are StableDiffusionPipeline, ");
    }
    refuse(&(folder){.class_name = "StableDifusionPipeline"},
           "'StableDifusionPipeline'; did you mean 'StableDiffusionPipeline'?");
    folder f = {.class_name = "StableDiffusion3Pipeline",
                .index = ", \"transformer\": [\"diffusers\", \"SD3Transformer2DModel\"], "
                         "\"text_encoder_3\": [\"transformers\", \"T5EncoderModel\"], "
                         "\"controlnet\": [null, null]"};
    refuse(&f, "note: it is made of parts that are not built: transformer (SD3Transformer2DModel), "
               "text_encoder_3 (T5EncoderModel)\n");
    refuse(&f, "note: of its components --component=NAME compiles alone: ");
}

/* ---- tokenizers ---- */

static void expect_of_tokenizer(const char *name, const char *text, const char *message) {
    char path[64];
    temp_dir t;
    capture c;
    folder_begin(&t, &(folder){.class_name = "StableDiffusionPipeline"});
    snprintf(path, sizeof path, "tokenizer/%s", name);
    write_text(&t, path, "%s", text);
    capture_begin(&c, (base_diag_options){0});
    ir_module_free(fe_load(c.diag, t.path, &program));
    const char *said = captured(&c) ? captured(&c) : "";
    if (message ? !strstr(said, message) : *said != 0)
        fail_msg("expected <%s> in <%s>", message ? message : "", said);
    capture_end(&c);
    temp_dir_end(&t);
}

/* Faults are told at the file they are in, before any other work. */
static void faults_of_tokenizers(void **state) {
    (void)state;
    static const char vocabulary[] =
        "{\"!\": 0, \"a\": 1, \"a</w>\": %s, \"<|startoftext|>\": 3, \"<|endoftext|>\": 4}";
    char text[160];
    snprintf(text, sizeof text, vocabulary, "1");
    expect_of_tokenizer("vocab.json", text,
                        "vocab.json:1:27: error: id 1 of 'a</w>' is given twice");
    snprintf(text, sizeof text, vocabulary, "99000000");
    expect_of_tokenizer("vocab.json", text, "vocab.json:1:27: error: id 99000000 of");
    expect_of_tokenizer("merges.txt", "#version: 0.2\na\n",
                        "merges.txt:2:1: error: 'a' is not a pair");
    expect_of_tokenizer("merges.txt", "#version: 0.2\n\n! q\n",
                        "merges.txt:3:1: error: 'q' is not in the vocabulary");
}

/* Tokens beside the vocabulary, of which the text encoder must know. */
static void added_tokens(void **state) {
    (void)state;
    expect_of_tokenizer("added_tokens.json", "{\"<dot>\": 4}",
                        "added_tokens.json:1:11: error: the token '<dot>' has the id 4, and the "
                        "text encoder knows 4 tokens");
    expect_of_tokenizer("added_tokens.json", "{\"<|startoftext|>\": 2}", NULL);
}

/* A download of some folders only. */
static void missing_folders(void **state) {
    (void)state;
    static const char *const files[] = {"vae/config.json", "scheduler/scheduler_config.json"};
    static const char *const folders[] = {"vae", "scheduler"};
    temp_dir t;
    folder_begin(&t, &(folder){.class_name = "StableDiffusionPipeline"});
    for (size_t i = 0; i < 2; i++) {
        unlink(temp_path(&t, files[i]));
        rmdir(temp_path(&t, folders[i]));
    }
    capture c;
    capture_begin(&c, (base_diag_options){0});
    assert_null(fe_load(c.diag, t.path, &program));
    for (size_t i = 0; i < 2; i++) {
        char message[80];
        snprintf(message, sizeof message,
                 "error: there is no folder '%s', which model_index.json names", folders[i]);
        if (!strstr(captured(&c), message)) fail_msg("<%s> in <%s>", message, captured(&c));
    }
    assert_int_equal(base_diag_errors(c.diag), 2);
    assert_true(base_diag_system_failed());
    capture_end(&c);
    temp_dir_end(&t);
}

static void one_file_tokenizer(void **state) {
    (void)state;
    temp_dir t;
    capture c;
    folder_begin(&t, &(folder){.class_name = "StableDiffusionPipeline"});
    unlink(temp_path(&t, "tokenizer/vocab.json"));
    capture_begin(&c, (base_diag_options){0});
    assert_null(fe_load(c.diag, t.path, &program));
    assert_non_null(strstr(captured(&c), "there is no 'vocab.json'"));
    assert_non_null(strstr(captured(&c), "a tokenizer is these two files, or tokenizer.json"));
    assert_true(base_diag_system_failed());
    write_text(&t, "tokenizer/tokenizer.json", "{}");
    assert_null(fe_load(c.diag, t.path, &program));
    assert_non_null(strstr(captured(&c), "tokenizer.json:1:1: error: missing key 'model'"));
    capture_end(&c);
    temp_dir_end(&t);
}

/* ---- autoencoders ---- */

static void tiny_autoencoder(void **state) {
    (void)state;
    folder f = {
        .class_name = "StableDiffusionPipeline",
        .vae = "{\"_class_name\": \"AutoencoderTiny\", \"encoder_block_out_channels\": [16, 16], "
               "\"decoder_block_out_channels\": [16, 16], \"num_encoder_blocks\": [1, 1], "
               "\"num_decoder_blocks\": [1, 1]}"};
    ir_module *m = accept(&f);
    expect_word(m, "pipeline.decoder", "vae.decode");
    expect_word(m, "pipeline.encoder", "vae.encode");
    expect_real(m, "vae.scaling_factor", 1.0);
    expect_int(m, "vae.scale", 2);
    expect_int(m, "image.width", 16);
    const ir_func *e = ir_func_find(m, "vae.encode");
    assert_string_equal(e->outputs.items[0].name, "latent");
    ir_module_free(m);
}

/* A 1x1 convolution that scales and shifts every channel for itself. */
static void check_channels(const ir_module *m, const char *name, int n, const float *mul,
                           const float *add) {
    char text[64];
    snprintf(text, sizeof text, "%s.weight", name);
    uint32_t w = ir_weight_find(m, text);
    assert_true(w != UINT32_MAX);
    const float *matrix = m->weights.items[w].data;
    snprintf(text, sizeof text, "%s.bias", name);
    const float *bias = m->weights.items[ir_weight_find(m, text)].data;
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < n; k++) assert_float_equal(matrix[i * n + k], i == k ? mul[i] : 0, 0);
        assert_float_equal(bias[i], add[i], 1e-6);
    }
}

#define STATISTICS                                                                                 \
    "{\"_class_name\": \"AutoencoderKL\", \"latents_mean\": [1, -2, 3, 0.5], "                     \
    "\"latents_std\": [1, 2, 0.25, 4]%s}"

/* XL's classes read means and deviations, no other class does; none reads a shift. */
static void latent_statistics(void **state) {
    (void)state;
    char vae[256];
    snprintf(vae, sizeof vae, STATISTICS, "");
    folder f = {.class_name = "StableDiffusionXLPipeline",
                .unet = XL_UNET,
                .vae = vae,
                .second_encoder = XL_TEXT};
    ir_module *m = accept(&f);
    check_channels(m, "vae/latents_to_data", 4, (const float[]){1, 2, 0.25F, 4},
                   (const float[]){1, -2, 3, 0.5F});
    check_channels(m, "vae/latents_from_data", 8, (const float[]){1, 0.5F, 4, 0.25F, 1, 1, 1, 1},
                   (const float[]){-1, 1, -12, -0.125F, 0, -1.3862944F, 2.7725887F, -2.7725887F});
    ir_module_free(m);
    fe_options alone = program; /* the component itself knows nothing of it, as in diffusers */
    alone.component = "vae";
    m = accept_with(&f, &alone, NULL);
    assert_int_equal(ir_weight_find(m, "vae/latents_to_data.weight"), UINT32_MAX);
    ir_module_free(m);
    snprintf(vae, sizeof vae, STATISTICS, ", \"shift_factor\": 0.5");
    m = accept_with(&f, &program, "a StableDiffusionXLPipeline does not read 'shift_factor'");
    assert_null(ir_meta_get(m, "vae.shift_factor"));
    assert_true(ir_weight_find(m, "vae/latents_to_data.weight") != UINT32_MAX);
    ir_module_free(m);
    folder sd = {.class_name = "StableDiffusionPipeline", .vae = vae};
    m = accept_with(&sd, &program, "a StableDiffusionPipeline does not read 'latents_mean'");
    assert_null(ir_meta_get(m, "vae.shift_factor"));
    assert_int_equal(ir_weight_find(m, "vae/latents_to_data.weight"), UINT32_MAX);
    ir_module_free(m);
    /* XL's inpainting encodes without, in the folder of a plain class, too */
    snprintf(vae, sizeof vae, STATISTICS, "");
    for (int plain = 0; plain < 2; plain++) {
        folder paint = {.class_name = plain ? "StableDiffusionXLPipeline"
                                            : "StableDiffusionXLInpaintPipeline",
                        .in_channels = 9,
                        .unet = XL_UNET,
                        .vae = vae,
                        .second_encoder = XL_TEXT};
        m = accept(&paint);
        assert_true(ir_weight_find(m, "vae/latents_to_data.weight") != UINT32_MAX);
        assert_int_equal(ir_weight_find(m, "vae/latents_from_data.weight"), UINT32_MAX);
        ir_module_free(m);
    }
    /* one alone is read by nobody */
    sd.vae = "{\"_class_name\": \"AutoencoderKL\", \"latents_mean\": [1, -2, 3, 0.5]}";
    m = accept_with(&sd, &program, "'latents_mean' does nothing without 'latents_std'");
    ir_module_free(m);
}

/* ---- refusals ---- */

static void unsupported_components(void **state) {
    (void)state;
    static const struct {
        const char *index, *message;
    } cases[] = {
        {"\"unet\": [\"diffusers\", \"UNet3DConditionModel\"]",
         "unsupported: a 'unet' of class 'UNet3DConditionModel'"},
        {"\"vae\": [\"diffusers\", \"AsymmetricAutoencoderKL\"]",
         "unsupported: a 'vae' of class 'AsymmetricAutoencoderKL'"},
        {"\"vae\": [\"diffusers\", \"MoVQ\"]",
         "supported are AutoencoderKL, VQModel, AutoencoderTiny"},
        {"\"text_encoder\": [\"transformers\", \"T5EncoderModel\"]",
         "unsupported: a 'text_encoder' of class 'T5EncoderModel'"},
        {"\"text_encoder\": [\"transformers\", \"T5EncoderModel\"]",
         "supported are CLIPTextModel, CLIPTextModelWithProjection"},
        {"\"unet\": [null, null]", "the pipeline needs a component 'unet'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        temp_dir t;
        temp_dir_begin(&t);
        write_text(&t, "model_index.json", "{\"_class_name\": \"StableDiffusionPipeline\", %s}",
                   cases[i].index);
        capture c;
        capture_begin(&c, (base_diag_options){0});
        assert_null(fe_load(c.diag, t.path, &program));
        if (!strstr(captured(&c), cases[i].message))
            fail_msg("expected <%s> in <%s>", cases[i].message, captured(&c));
        capture_end(&c);
        temp_dir_end(&t);
    }
}

static void misfits(void **state) {
    (void)state;
    folder f = {.class_name = "StableDiffusionPipeline",
                .vae = "{\"_class_name\": \"AutoencoderKL\", \"latent_channels\": 8}"};
    refuse(&f, "the U-Net makes 4 channels, the autoencoder's latent has 8");
    f.vae = "{\"_class_name\": \"AutoencoderKL\", \"in_channels\": 1}";
    refuse(&f, "the autoencoder reads pictures of 1 channels and makes pictures of 3");
    f.vae = NULL;
    f.second_encoder = XL_TEXT; /* only makes the U-Net's context wider here */
    refuse(&f, "the U-Net attends to a context of width 32, the text encoder makes 16");
}

/* A class-conditional model of pixels. */
static void class_labels(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    write_text(
        &t, "model_index.json",
        "{\"_class_name\": \"DDIMPipeline\", \"scheduler\": [\"diffusers\", \"DDIMScheduler\"], "
        "\"unet\": [\"diffusers\", \"UNet2DModel\"]}");
    write_text(&t, "scheduler_config.json", "{\"_class_name\": \"DDIMScheduler\"}");
    write_text(
        &t, "config.json",
        "{\"_class_name\": \"UNet2DModel\", \"sample_size\": 8, \"block_out_channels\": [8, 16], "
        "\"norm_num_groups\": 4, \"layers_per_block\": 1, \"num_class_embeds\": 10, "
        "\"down_block_types\": [\"DownBlock2D\", \"AttnDownBlock2D\"], "
        "\"up_block_types\": [\"AttnUpBlock2D\", \"UpBlock2D\"]}");
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *m = fe_load(c.diag, t.path, &program);
    if (!m) fail_msg("%s", captured(&c));
    expect_word(m, "pipeline.kind", "class_to_image");
    expect_int(m, "classes.count", 10);
    expect_int(m, "sampler.steps", 50);
    expect_int(m, "pipeline.image_input", 1);
    ir_module_free(m);
    capture_end(&c);
    temp_dir_end(&t);
}

/* ---- the layout of the Hugging Face cache ---- */

#define SHARDED EBRU_TEST_DATA "/goldens/pipelines/depth" /* its U-Net is in two shards */

static const temp_dir *cache;
static int blobs;

/* Every file becomes blobs/N, and a link to it stands in the snapshot. */
static int add_to_cache(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)where;
    char blob[64], link[512], target[600];
    const char *inside = path + strlen(SHARDED);
    snprintf(link, sizeof link, "snapshots/abc%s", inside);
    if (kind == FTW_D) return mkdir(temp_path(cache, link), 0777);
    if (kind != FTW_F) return 1;
    snprintf(blob, sizeof blob, "blobs/%d", blobs++);
    snprintf(target, sizeof target, "../../%s%s", strchr(inside + 1, '/') ? "../" : "", blob);
    FILE *f = fopen(path, "rb");
    char *data = malloc((size_t)st->st_size + 1);
    size_t n = fread(data, 1, (size_t)st->st_size, f);
    fclose(f);
    temp_write(cache, blob, data, n);
    free(data);
    return symlink(target, temp_path(cache, link));
}

static void check_same_weights(const ir_module *a, const ir_module *b) {
    assert_int_equal(a->weights.count, b->weights.count);
    for (size_t i = 0; i < a->weights.count; i++) {
        const ir_weight *x = &a->weights.items[i], *y = &b->weights.items[i];
        int64_t n = ir_type_elements(&x->type);
        float *p = base_alloc((size_t)n * sizeof *p), *q = base_alloc((size_t)n * sizeof *q);
        assert_string_equal(x->name, y->name);
        assert_true(ir_type_elements(&y->type) == n);
        ir_weight_read(x, p, 0, n);
        ir_weight_read(y, q, 0, n);
        assert_memory_equal(p, q, (size_t)n * sizeof *p);
        base_free(p);
        base_free(q);
    }
}

static void cache_layout(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    mkdir(temp_path(&t, "blobs"), 0777);
    mkdir(temp_path(&t, "snapshots"), 0777);
    cache = &t;
    blobs = 0;
    assert_int_equal(nftw(SHARDED, add_to_cache, 16, 0), 0);
    assert_true(blobs > 10);
    fe_options o = {.guidance_pair = true, .shared_timestep = true, .width = 32, .height = 32};
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *linked = fe_load(c.diag, temp_path(&t, "snapshots/abc"), &o);
    ir_module *plain = fe_load(c.diag, SHARDED, &o);
    if (!linked || !plain || base_diag_warnings(c.diag)) fail_msg("%s", captured(&c));
    assert_int_equal(linked->funcs.count, plain->funcs.count);
    expect_word(linked, "pipeline.condition", "depth");
    check_same_weights(linked, plain);
    ir_module_free(linked);
    ir_module_free(plain);
    capture_end(&c);
    temp_dir_end(&t);
}

/* ---- ControlNets and adapters ---- */

/* The pipeline of `f` with `count` networks of this config in folders NAME, NAME_1 ... */
static void controlled_begin(temp_dir *t, const folder *f, const char *name, int count,
                             const char *config) {
    folder_begin(t, f);
    for (int i = 0; i < count; i++) {
        char path[64];
        int n = i ? snprintf(path, sizeof path, "%s_%d", name, i)
                  : snprintf(path, sizeof path, "%s", name);
        mkdir(temp_path(t, path), 0777);
        snprintf(path + n, sizeof path - (size_t)n, "/config.json");
        write_text(t, path, "%s", config);
    }
}

static const folder with_controlnet = {
    .class_name = "StableDiffusionControlNetPipeline",
    .index = ", \"controlnet\": [\"diffusers\", \"ControlNetModel\"]"};
#define SMALL_CONTROLNET(keys)                                                                     \
    "{\"_class_name\": \"ControlNetModel\", \"block_out_channels\": [32, 32], "                    \
    "\"cross_attention_dim\": 16, \"layers_per_block\": 1, \"down_block_types\": "                 \
    "[\"CrossAttnDownBlock2D\", \"DownBlock2D\"], \"conditioning_embedding_out_channels\": [4, "   \
    "8]" keys "}"

static void refuse_control(const char *config, const char *message) {
    temp_dir t;
    controlled_begin(&t, &with_controlnet, "controlnet", 1, config);
    refuse_path(t.path, message);
    temp_dir_end(&t);
}

static void controlnets_of_folders(void **state) {
    (void)state;
    temp_dir t;
    controlled_begin(&t, &with_controlnet, "controlnet", 2, SMALL_CONTROLNET(""));
    ir_module *m = accept_path(t.path, &program, NULL);
    /* of a plain ControlNetModel the second folder is none of the pipeline's */
    assert_int_equal(ir_meta_int(m, "pipeline.controls", 0), 1);
    assert_non_null(ir_func_find(m, "controlnet"));
    assert_non_null(ir_func_find(m, "controlnet@2"));
    assert_null(ir_func_find(m, "controlnet_1"));
    /* the class leaves the scheduler as its file says */
    assert_null(ir_meta_get(m, "sampler.steps_offset"));
    ir_module_free(m);
    temp_dir_end(&t);

    folder f = with_controlnet;
    f.class_name = "StableDiffusionControlNetInpaintPipeline";
    f.index = ", \"controlnet\": [\"diffusers\", \"MultiControlNetModel\"]";
    controlled_begin(&t, &f, "controlnet", 2,
                     SMALL_CONTROLNET(", \"global_pool_conditions\": true"));
    m = accept_path(t.path, &program, NULL);
    assert_int_equal(ir_meta_int(m, "pipeline.controls", 0), 2);
    assert_string_equal(ir_meta_string(m, "control.1", ""), "controlnet_1");
    assert_int_equal(ir_meta_int(m, "control_pooled.1", 0), 1);
    assert_true(ir_meta_float(m, "control_scale.1", 0) == 0.5);
    assert_non_null(ir_func_find(m, "controlnet_1@2"));
    ir_module_free(m);
    temp_dir_end(&t);

    f.class_name = "StableDiffusionAdapterPipeline";
    f.index = ", \"adapter\": [\"diffusers\", \"MultiAdapter\"]";
    controlled_begin(&t, &f, "adapter", 3,
                     "{\"_class_name\": \"T2IAdapter\", \"channels\": [32, 32], "
                     "\"downscale_factor\": 2, \"in_channels\": 1}");
    m = accept_path(t.path, &program, NULL);
    assert_int_equal(ir_meta_int(m, "pipeline.controls", 0), 3);
    assert_string_equal(ir_meta_string(m, "control.2", ""), "adapter_2");
    assert_null(ir_func_find(m, "adapter@2")); /* it runs once */
    ir_module_free(m);
    temp_dir_end(&t);
}

static void controlnets_that_do_not_fit(void **state) {
    (void)state;
    refuse_control(SMALL_CONTROLNET(", \"in_channels\": 9"),
                   "the ControlNet takes 9 channels, the latent has 4");
    refuse_control(SMALL_CONTROLNET(", \"conditioning_channels\": 4"),
                   "control pictures of 4 channels (1 and 3 are)");
    refuse_control(SMALL_CONTROLNET(", \"num_class_embeds\": 4"),
                   "a ControlNet with class labels (the component alone can be loaded)");

    refuse_control("{\"_class_name\": \"ControlNetModel\", \"block_out_channels\": [32, 32], "
                   "\"cross_attention_dim\": 16, \"layers_per_block\": 1, \"down_block_types\": "
                   "[\"CrossAttnDownBlock2D\", \"DownBlock2D\"]}",
                   "a cell of the picture's embedding has 8 pixels along a side, a cell of the "
                   "latent 2");
    refuse_control("{\"_class_name\": \"ControlNetModel\", \"block_out_channels\": [32, 32], "
                   "\"cross_attention_dim\": 16, \"layers_per_block\": 2, \"down_block_types\": "
                   "[\"CrossAttnDownBlock2D\", \"DownBlock2D\"], "
                   "\"conditioning_embedding_out_channels\": [4, 8]}",
                   "a ControlNet gives 6 residuals of the way down, and there are 4 places");
    refuse_control("{\"_class_name\": \"ControlNetModel\", \"block_out_channels\": [32, 64], "
                   "\"cross_attention_dim\": 16, \"layers_per_block\": 1, \"down_block_types\": "
                   "[\"CrossAttnDownBlock2D\", \"DownBlock2D\"], "
                   "\"conditioning_embedding_out_channels\": [4, 8]}",
                   "'mid_block_additional_residual' is f32[1,64,4,4], and what it is added to "
                   "f32[1,32,4,4]: it was made for another U-Net");
    folder f = with_controlnet;
    f.index = ", \"controlnet\": [\"diffusers\", \"ControlNetUnionModel\"]";
    refuse(&f, "unsupported: a 'controlnet' of class 'ControlNetUnionModel'");
    f.index = ", \"controlnet\": [\"diffusers\", \"ControlNetModel\"]";
    refuse(&f, "there is no folder 'controlnet', which model_index.json names");
    f.index = NULL;
    refuse(&f, "the pipeline needs a component 'controlnet'");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(condition_by_channels),
        cmocka_unit_test(upscaler),
        cmocka_unit_test(guidance_embedding),
        cmocka_unit_test(two_encoders),
        cmocka_unit_test(old_versions),
        cmocka_unit_test(class_of_the_index),
        cmocka_unit_test(other_pipelines),
        cmocka_unit_test(faults_of_tokenizers),
        cmocka_unit_test(missing_folders),
        cmocka_unit_test(added_tokens),
        cmocka_unit_test(one_file_tokenizer),
        cmocka_unit_test(scheduler_of_the_index),
        cmocka_unit_test(unknown_entries),
        cmocka_unit_test(tiny_autoencoder),
        cmocka_unit_test(latent_statistics),
        cmocka_unit_test(unsupported_components),
        cmocka_unit_test(misfits),
        cmocka_unit_test(class_labels),
        cmocka_unit_test(cache_layout),
        cmocka_unit_test(controlnets_of_folders),
        cmocka_unit_test(controlnets_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
