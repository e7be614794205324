/* Single-file checkpoints: the same model as the diffusers folder, what a file says about itself,
 * and what is wrong with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "tests/unit/frontend/ldm_fixture.h"
#include "tests/unit/support/captured_diag.h"
#include "tests/unit/support/temp_dir.h"

#define GOLDENS EBRU_TEST_DATA "/goldens/ldm/"

/* A system whose checkpoint can be spoilt before it is written. */
typedef struct fixture {
    temp_dir dir;
    ir_module *folder; /* with the weights that are in the file */
    ldm_fixture file;
} fixture;

static void begin(fixture *x, const char *system, const char *map) {
    fe_options o = {
        .random_weights = true, .random_seed = 1, .guidance_pair = true, .shared_timestep = true};
    char path[512];
    capture c;
    temp_dir_begin(&x->dir);
    capture_begin(&c, (base_diag_options){0});
    snprintf(path, sizeof path, GOLDENS "%s", system);
    x->folder = fe_load(c.diag, path, &o);
    if (!x->folder || base_diag_warnings(c.diag)) fail_msg("%s", captured(&c));
    capture_end(&c);
    snprintf(path, sizeof path, GOLDENS "%s.map", map);
    ldm_fixture_begin(&x->file, x->folder, path);
}

static void end(fixture *x) {
    ldm_fixture_end(&x->file);
    ir_module_free(x->folder);
    temp_dir_end(&x->dir);
}

static const char *write_file(const fixture *x) {
    const char *path = temp_path(&x->dir, "x.safetensors");
    ldm_fixture_write(&x->file, path, NULL, 0);
    return path;
}

/* Loads a program; *said receives the diagnostics, to be freed. */
static ir_module *load(const char *path, const char *component, const char *prediction,
                       char **said) {
    fe_options o = {.guidance_pair = true,
                    .shared_timestep = true,
                    .component = component,
                    .prediction = prediction};
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *m = fe_load(c.diag, path, &o);
    *said = strdup(captured(&c));
    capture_end(&c);
    return m;
}

static ir_module *accept(const char *path, const char *component, const char *prediction) {
    char *said;
    ir_module *m = load(path, component, prediction, &said);
    if (!m || *said) fail_msg("%s", said);
    free(said);
    return m;
}

static void refuse(const char *path, const char *component, const char *const *messages, size_t n) {
    char *said;
    if (load(path, component, NULL, &said)) fail_msg("accepted, expected <%s>", messages[0]);
    for (size_t i = 0; i < n; i++)
        if (!strstr(said, messages[i])) fail_msg("expected <%s> in <%s>", messages[i], said);
    free(said);
}
#define REFUSE(path, component, ...)                                                               \
    refuse(path, component, (const char *const[]){__VA_ARGS__},                                    \
           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* ---- the same model ---- */

/* The functions of a module as text, without the places they come from. */
static char *functions(const ir_module *m) {
    base_str s = {0}, out = {0};
    for (size_t i = 0; i < m->funcs.count; i++) ir_print_func(m->funcs.items[i], &s);
    for (const char *at = s.data; *at;) {
        const char *place = strstr(at, " loc(\"");
        base_str_addn(&out, at, place ? (size_t)(place - at) : strlen(at));
        at = place ? strchr(place, ')') + 1 : at + strlen(at);
    }
    base_str_free(&s);
    return out.data;
}

static void same_weights(const ir_module *a, const ir_module *b) {
    assert_int_equal(a->weights.count, b->weights.count);
    for (size_t i = 0; i < a->weights.count; i++) {
        const ir_weight *w = &a->weights.items[i];
        uint32_t other = ir_weight_find(b, w->name);
        if (other == UINT32_MAX) fail_msg("no %s", w->name);
        int64_t n = ir_type_elements(&w->type);
        assert_int_equal(n, ir_type_elements(&b->weights.items[other].type));
        float *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y);
        ir_weight_read(w, x, 0, n);
        ir_weight_read(&b->weights.items[other], y, 0, n);
        if (memcmp(x, y, (size_t)n * sizeof *x) != 0) fail_msg("values of %s differ", w->name);
        free(x);
        free(y);
    }
}

static bool may_differ(const char *key) {
    size_t n = strlen(key);
    return !strncmp(key, "model.", 6) || (n > 6 && !strcmp(key + n - 6, ".vocab")) ||
           (n > 7 && !strcmp(key + n - 7, ".merges"));
}

static void same_meta(const ir_module *a, const ir_module *b) {
    for (size_t i = 0; i < a->meta.count; i++) {
        const ir_meta *x = &a->meta.items[i], *y = ir_meta_get(b, x->key);
        if (may_differ(x->key)) continue;
        if (!y || x->kind != y->kind) fail_msg("%s is absent or of another kind", x->key);
        if (x->kind == IR_META_STRING ? strcmp(x->s, y->s) != 0
            : x->kind == IR_META_INT  ? x->i != y->i
                                      : x->f != y->f)
            fail_msg("%s differs", x->key);
    }
}

static void same_model(void **state) {
    (void)state;
    static const char *const systems[][2] = {{"sd1", "sd1"},           {"sd1-inpainting", "sd1"},
                                             {"sd2", "sd2"},           {"sd2-depth", "sd2"},
                                             {"upscaler", "upscaler"}, {"xl", "xl"},
                                             {"refiner", "refiner"}};
    for (size_t i = 0; i < sizeof systems / sizeof *systems; i++) {
        fixture x;
        begin(&x, systems[i][0], systems[i][1]);
        /* nothing else tells a base checkpoint of Stable Diffusion 2 from others */
        ir_module *m =
            accept(write_file(&x), NULL, strcmp(systems[i][0], "sd2") ? NULL : "v_prediction");
        char *a = functions(x.folder), *b = functions(m);
        assert_string_equal(a, b);
        base_free(a);
        base_free(b);
        same_weights(x.folder, m);
        same_meta(x.folder, m);
        same_meta(m, x.folder);
        assert_string_equal(ir_meta_string(m, "model.name", ""), "x");
        assert_memory_equal(ir_meta_string(m, "model.about", ""), "Stable Diffusion", 16);
        ir_module_free(m);
        end(&x);
    }
}

/* Parts of tensors survive the text form; the built-in vocabulary is the published one. */
static void road_through_text(void **state) {
    (void)state;
    fixture x;
    begin(&x, "xl", "xl");
    ir_module *m = accept(write_file(&x), NULL, NULL);
    base_str text = {0};
    ir_print(m, &text);
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *again = ir_parse(c.diag, "x.ir", text.data, text.len);
    if (!again || !fe_bind_ir_weights(c.diag, again)) fail_msg("%s", captured(&c));
    same_weights(m, again);
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "tokenizer_2" : "tokenizer";
        size_t na, nb;
        unsigned char *a = fe_tokenizer_blob(c.diag, again, name, &na);
        unsigned char *b = fe_tokenizer_blob(c.diag, x.folder, name, &nb);
        assert_true(a && na == nb);
        assert_memory_equal(a, b, na);
        base_free(a);
        base_free(b);
    }
    assert_int_equal(ir_meta_int(again, "tokenizer.pad", -1), 49407);
    assert_int_equal(ir_meta_int(again, "tokenizer_2.pad", -1), 0);
    capture_end(&c);
    base_str_free(&text);
    ir_module_free(again);
    ir_module_free(m);
    end(&x);
}

/* Text encoders saved without "text_model.", autoencoders under "vae.". */
static void other_spellings(void **state) {
    (void)state;
    fixture x;
    begin(&x, "sd1", "sd1");
    for (size_t i = 0; i < x.file.tensors.count; i++) {
        static const char text[] = "cond_stage_model.transformer.text_model.",
                          vae[] = "first_stage_model.";
        fe_st_tensor *t = &x.file.tensors.items[i];
        if (!strncmp(t->name, text, sizeof text - 1))
            t->name = base_arena_printf(x.file.arena, "cond_stage_model.transformer.%s",
                                        t->name + sizeof text - 1);
        else if (!strncmp(t->name, vae, sizeof vae - 1) && !strstr(t->name, "loss"))
            t->name = base_arena_printf(x.file.arena, "vae.%s", t->name + sizeof vae - 1);
    }
    ir_module *m = accept(write_file(&x), NULL, NULL);
    same_weights(x.folder, m);
    ir_module_free(m);
    end(&x);
}

/* ---- what the network predicts ---- */

static void check_prediction(const char *path, const char *option, const char *what, int64_t cells,
                             const char *sampler, const char *warning) {
    char *said;
    ir_module *m = load(path, NULL, option, &said);
    if (!m) fail_msg("%s", said);
    if (warning ? !strstr(said, warning) : *said) fail_msg("<%s> said <%s>", what, said);
    assert_string_equal(ir_meta_string(m, "sampler.prediction_type", ""), what);
    assert_string_equal(ir_meta_string(m, "sampler.class", ""), sampler);
    assert_int_equal(ir_meta_int(m, "latent.height", 0), cells);
    free(said);
    ir_module_free(m);
}

static void predictions(void **state) {
    (void)state;
    fixture x;
    begin(&x, "sd2", "sd2");
    const char *path = write_file(&x);
    check_prediction(path, NULL, "v_prediction", 96, "ddim", "say --prediction=epsilon");
    check_prediction(path, "epsilon", "epsilon", 64, "pndm", NULL);
    check_prediction(path, "v_prediction", "v_prediction", 96, "ddim", NULL);

    static const char *const said[][2] = {{"modelspec.prediction_type", "epsilon"}};
    ldm_fixture_write(&x.file, path, said, 1);
    check_prediction(path, NULL, "epsilon", 64, "pndm", NULL);

    int64_t step = 875000;
    ldm_fixture_add(&x.file, "global_step", FE_ST_I64, 0, NULL);
    ldm_fixture_tensor(&x.file, "global_step")->data = (const uint8_t *)&step;
    write_file(&x);
    check_prediction(path, NULL, "epsilon", 64, "pndm", NULL);
    step = 220000;
    write_file(&x);
    check_prediction(path, NULL, "v_prediction", 96, "ddim", "nothing in the checkpoint says");
    end(&x);
}

/* The option overrides a diffusers folder, too. */
static void predictions_of_folders(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    fe_options o = {.random_weights = true, .prediction = "sample"};
    ir_module *m = fe_load(c.diag, GOLDENS "sd1", &o);
    if (!m) fail_msg("%s", captured(&c));
    assert_string_equal(ir_meta_string(m, "sampler.prediction_type", ""), "sample");
    ir_module_free(m);
    o.component = "vae";
    m = fe_load(c.diag, GOLDENS "sd1", &o);
    assert_null(ir_meta_get(m, "sampler.prediction_type"));
    ir_module_free(m);
    capture_end(&c);
}

/* Markers that trainers put into XL (and other) checkpoints. */
static void markers(void **state) {
    (void)state;
    fixture x;
    begin(&x, "sd1", "sd1");
    ldm_fixture_add(&x.file, "v_pred", FE_ST_F32, 1, (int64_t[]){0});
    const char *path = write_file(&x);
    check_prediction(path, NULL, "v_prediction", 64, "pndm", NULL);
    check_prediction(path, "epsilon", "epsilon", 64, "pndm", NULL);
    ldm_fixture_add(&x.file, "ztsnr", FE_ST_F32, 1, (int64_t[]){0});
    write_file(&x);
    check_prediction(path, NULL, "v_prediction", 64, "ddim", NULL);
    ir_module *m = accept(path, NULL, NULL);
    assert_int_equal(ir_meta_int(m, "sampler.rescale_betas_zero_snr", 0), 1);
    assert_string_equal(ir_meta_string(m, "sampler.timestep_spacing", ""), "trailing");
    ir_module_free(m);
    end(&x);
}

/* ---- what is wrong with a file ---- */

static void faults(void **state) {
    (void)state;
    fixture x;
    begin(&x, "sd2", "sd2");
    ldm_fixture_remove(&x.file, "model.diffusion_model.input_blocks.1.0.in_layers.2.weight");
    ldm_fixture_remove(&x.file, "model.diffusion_model.output_blocks.3.1.norm.bias");
    fe_st_tensor *t =
        ldm_fixture_tensor(&x.file, "model.diffusion_model.middle_block.2.emb_layers.1.bias");
    t->dims[0]--;
    ldm_fixture_add(&x.file, "model.diffusion_model.extra", FE_ST_F32, 1, (int64_t[]){3});
    REFUSE(write_file(&x), "unet", "tensors 2 missing, 1 of the wrong shape, 1 unexpected",
           "missing: 'model.diffusion_model.input_blocks.1.0.in_layers.2.weight' [64, 64, 3, 3] "
           "('down_blocks.0.resnets.0.conv1.weight')",
           "missing: 'model.diffusion_model.output_blocks.3.1.norm.bias' [64]",
           "wrong shape: 'model.diffusion_model.middle_block.2.emb_layers.1.bias' is [127]",
           "unexpected: 'model.diffusion_model.extra' [3]");
    ir_module_free(accept(temp_path(&x.dir, "x.safetensors"), "vae", NULL));

    t = ldm_fixture_tensor(&x.file,
                           "cond_stage_model.model.transformer.resblocks.1.attn.in_proj_weight");
    t->dims[0] -= 2;
    ldm_fixture_remove(&x.file, "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias");
    REFUSE(
        write_file(&x), "text_encoder",
        "missing: 'cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias[0:128]' [128]",
        "missing: 'cond_stage_model.model.transformer.resblocks.1.attn.in_proj_weight[256:384]' "
        "[128, 128]");
    ldm_fixture_remove(&x.file, "cond_stage_model.model.token_embedding.weight");
    REFUSE(temp_path(&x.dir, "none"), NULL, "none");
    REFUSE(write_file(&x), "text_encoder",
           "has no tensor 'cond_stage_model.model.token_embedding.weight', which tells the size");
    end(&x);
}

static void drop(ldm_fixture *f, const char *beginning) {
    for (size_t i = f->tensors.count; i-- > 0;)
        if (!strncmp(f->tensors.items[i].name, beginning, strlen(beginning)))
            ldm_fixture_remove(f, f->tensors.items[i].name);
}

static void incomplete(void **state) {
    (void)state;
    fixture x;
    begin(&x, "sd1", "sd1");
    ldm_fixture_add(&x.file, "somebody.else", FE_ST_F32, 1, (int64_t[]){3});
    char *said;
    ir_module *m = load(write_file(&x), NULL, NULL, &said);
    assert_non_null(m);
    assert_non_null(strstr(
        said, "warning: 1 tensors are no part of the model and are not read: 'somebody.else'"));
    free(said);
    ir_module_free(m);
    ldm_fixture_remove(&x.file, "somebody.else");
    drop(&x.file, "first_stage_model.");
    REFUSE(write_file(&x), NULL, "no autoencoder (first_stage_model.*)", "--component=");
    ir_module_free(accept(temp_path(&x.dir, "x.safetensors"), "unet", NULL));
    REFUSE(temp_path(&x.dir, "x.safetensors"), "vae", "needs a component 'vae'");
    drop(&x.file, "cond_stage_model.");
    REFUSE(write_file(&x), "unet",
           "no text encoder in this checkpoint, and no known one has a width of 32",
           "recognised are checkpoints of Stable Diffusion 1, ");
    end(&x);
}

/* Networks that were distilled: transformer layers differ from block to block, the middle is one
 * residual block, or there is none. */
static void distilled(void **state) {
    (void)state;
    fixture x;
    begin(&x, "xl", "xl");
    drop(&x.file, "model.diffusion_model.output_blocks.1.1.transformer_blocks.1.");
    drop(&x.file, "model.diffusion_model.middle_block.1.");
    drop(&x.file, "model.diffusion_model.middle_block.2.");
    ir_module *m = accept(write_file(&x), "unet", NULL);
    assert_true(
        ir_weight_find(m, "unet/up_blocks.0.attentions.0.transformer_blocks.1.norm1.weight") !=
        UINT32_MAX);
    assert_true(
        ir_weight_find(m, "unet/up_blocks.0.attentions.1.transformer_blocks.1.norm1.weight") ==
        UINT32_MAX);
    assert_true(ir_weight_find(m, "unet/mid_block.resnets.0.conv1.weight") != UINT32_MAX);
    assert_true(ir_weight_find(m, "unet/mid_block.resnets.1.conv1.weight") == UINT32_MAX);
    ir_module_free(m);
    drop(&x.file, "model.diffusion_model.middle_block.");
    m = accept(write_file(&x), "unet", NULL);
    assert_true(ir_weight_find(m, "unet/mid_block.resnets.0.conv1.weight") == UINT32_MAX);
    ir_module_free(m);
    end(&x);
}

/* The checkpoint's text encoder as a component's folder. */
static void write_text_encoder(fixture *x) {
    static const char prefix[] = "cond_stage_model.transformer.";
    static fe_st_tensor tensors[256];
    char path[512], config[4096];
    size_t n = 0;
    for (size_t i = 0; i < x->file.tensors.count; i++) {
        const fe_st_tensor *t = &x->file.tensors.items[i];
        if (strncmp(t->name, prefix, sizeof prefix - 1) != 0) continue;
        assert_true(n < 256);
        tensors[n] = *t;
        tensors[n++].name = base_arena_strdup(x->file.arena, t->name + sizeof prefix - 1);
    }
    capture c;
    capture_begin(&c, (base_diag_options){0});
    assert_true(fe_st_write(c.diag, temp_path(&x->dir, "model.safetensors"), tensors, n, NULL, 0));
    capture_end(&c);
    snprintf(path, sizeof path, GOLDENS "sd1/text_encoder/config.json");
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t length = fread(config, 1, sizeof config, f);
    fclose(f);
    temp_write(&x->dir, "config.json", config, length);
}

/* What a checkpoint lacks comes from folders; the tokenizer is the system's. */
static void parts_from_elsewhere(void **state) {
    (void)state;
    fixture x;
    fe_options o = {.guidance_pair = true, .shared_timestep = true};
    capture c;
    begin(&x, "sd1", "sd1");
    write_text_encoder(&x);
    drop(&x.file, "first_stage_model.");
    drop(&x.file, "cond_stage_model.");
    const char *path = write_file(&x);
    capture_begin(&c, (base_diag_options){0});
    o.vae = EBRU_TEST_DATA "/goldens/vae-kl";
    assert_null(fe_load(c.diag, path, &o));
    assert_non_null(strstr(captured(&c), "no text encoder in this checkpoint"));
    o.text_encoder = EBRU_TEST_DATA "/goldens/text-gelu";
    assert_null(fe_load(c.diag, path, &o));
    assert_non_null(strstr(captured(&c), "a context of width 32, the text encoder makes 48"));
    o.text_encoder = x.dir.path;
    o.vae = NULL;
    assert_null(fe_load(c.diag, path, &o));
    assert_non_null(strstr(captured(&c), "--vae=DIR: from the folder of an autoencoder"));
    capture_end(&c);

    o.vae = EBRU_TEST_DATA "/goldens/vae-kl";
    capture_begin(&c, (base_diag_options){0});
    ir_module *m = fe_load(c.diag, path, &o);
    if (!m) fail_msg("%s", captured(&c));
    capture_end(&c);
    assert_string_equal(ir_meta_string(m, "pipeline.class", ""), "StableDiffusionPipeline");
    assert_int_equal(ir_meta_int(m, "tokenizer.pad", -1), 49407);
    ir_module_free(m);
    end(&x);
}

/* A vocabulary that the tokenizer's ids do not fit in. */
static void short_vocabulary(void **state) {
    (void)state;
    fixture x;
    begin(&x, "sd1", "sd1");
    ldm_fixture_tensor(&x.file,
                       "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight")
        ->dims[0] = 1000;
    REFUSE(write_file(&x), NULL, "knows 1000 tokens, and the tokenizer of CLIP has 49408");
    end(&x);
}

static void strangers(void **state) {
    (void)state;
    static const struct {
        const char *name, *message;
    } others[] = {{"edm_mean", "this is Playground 2.5"},
                  {"model.diffusion_model.label_emb.0.0.weight", "this is Stable unCLIP"},
                  {"model.diffusion_model.time_embed.cond_proj.weight",
                   "only its diffusers folder is supported"}};
    fixture x;
    begin(&x, "sd1", "sd1");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ldm_fixture_add(&x.file, others[i].name, FE_ST_F32, 2, (int64_t[]){4, 4});
        REFUSE(write_file(&x), NULL, others[i].message);
        ldm_fixture_remove(&x.file, others[i].name);
    }
    fe_st_tensor *in = ldm_fixture_tensor(&x.file, "model.diffusion_model.input_blocks.0.0.weight");
    in->data = base_arena_alloc(x.file.arena, 32 * 8 * 9 * sizeof(float));
    in->dims[1] = 8;
    REFUSE(write_file(&x), NULL, "this is InstructPix2Pix");
    in->dims[1] = 6;
    REFUSE(write_file(&x), NULL, "takes 6 channels and gives 4", "recognised are checkpoints of");
    end(&x);
}

/* Files that are no checkpoint at all. */
static void other_files(void **state) {
    (void)state;
    static const struct {
        const char *name, *message;
    } others[] = {{"lora_unet_mid_block.lora_up.weight", "with --lora="},
                  {"model.diffusion_model.joint_blocks.0.x", "Stable Diffusion 3 is not supported"},
                  {"down_blocks.0.resnets.0.conv1.weight", "name the folder with its config.json"},
                  {"cond_stage_model.transformer.text_model.final_layer_norm.weight",
                   "the checkpoint has no U-Net (model.diffusion_model.*)"},
                  {"first_stage_model.decoder.conv_in.weight", "the checkpoint has no U-Net"},
                  {"state_dict.model.diffusion_model.input_blocks.0.0.weight",
                   "a checkpoint with 'state_dict.' in front of every name"},
                  {"_orig_mod.model.diffusion_model.input_blocks.0.0.weight",
                   "a checkpoint with '_orig_mod.' in front of every name"},
                  {"input_blocks.0.0.weight", "the U-Net of a checkpoint without the rest"},
                  {"embeddings.token_embedding.weight", "one component of a diffusers folder"},
                  {"x", "model.diffusion_model.*"}};
    temp_dir t;
    temp_dir_begin(&t);
    const char *path = temp_path(&t, "x.safetensors");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ldm_fixture f = {.arena = base_arena_new()};
        ldm_fixture_add(&f, others[i].name, FE_ST_F32, 1, (int64_t[]){4});
        ldm_fixture_write(&f, path, NULL, 0);
        ldm_fixture_end(&f);
        REFUSE(path, NULL, "weights alone are no model", others[i].message);
    }
    static const char zip[] =
        "PK\3\4\24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\20\0\0\0archive/data.pkl";
    temp_write(&t, "x.ckpt", zip, sizeof zip - 1);
    REFUSE(temp_path(&t, "x.ckpt"), NULL, "a zip file with a PyTorch pickle in it",
           "safetensors.torch.save_file");
    temp_dir_end(&t);
}

static void truncated(void **state) {
    (void)state;
    fixture x;
    begin(&x, "sd1", "sd1");
    const char *path = write_file(&x);
    assert_int_equal(truncate(path, 1000000), 0);
    REFUSE(path, NULL, "the file is truncated");
    end(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_model),
        cmocka_unit_test(road_through_text),
        cmocka_unit_test(other_spellings),
        cmocka_unit_test(predictions),
        cmocka_unit_test(markers),
        cmocka_unit_test(faults),
        cmocka_unit_test(incomplete),
        cmocka_unit_test(short_vocabulary),
        cmocka_unit_test(strangers),
        cmocka_unit_test(other_files),
        cmocka_unit_test(truncated),
        cmocka_unit_test(predictions_of_folders),
        cmocka_unit_test(parts_from_elsewhere),
        cmocka_unit_test(distilled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
