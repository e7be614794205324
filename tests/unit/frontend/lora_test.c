/* LoRA files in every style of naming against what PyTorch merged (tests/reference/make_lora.py),
 * and files that cannot be merged. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/lora/lora.h"
#include "frontend/safetensors/weights.h"
#include "tests/unit/support/captured_diag.h"
#include "tests/unit/support/temp_dir.h"

#define GOLDENS EBRU_TEST_DATA "/goldens/"
enum { ROWS = 5 /* every fifth row of a merged weight is in the files */ };

static ir_module *load(base_diag *d, const char *folder, const fe_lora *loras, uint32_t count) {
    char path[512];
    snprintf(path, sizeof path, GOLDENS "%s", folder);
    return fe_load(d, path, &(fe_options){.loras = loras, .lora_count = count});
}

static const ir_weight *weight_named(const ir_module *m, const char *component, const char *name) {
    char full[512];
    snprintf(full, sizeof full, "%s/%s", component, name);
    uint32_t i = ir_weight_find(m, full);
    if (i == UINT32_MAX) fail_msg("no weight %s", full);
    return &m->weights.items[i];
}

static size_t updated_weights(const ir_module *m) {
    size_t n = 0;
    for (size_t i = 0; i < m->weights.count; i++) n += m->weights.items[i].loras != NULL;
    return n;
}

/* rms of the difference / rms of the expected rows. */
static double difference(const ir_weight *w, const fe_st_tensor *t) {
    int64_t row = ir_type_elements(&w->type) / w->type.dim[0];
    float *got = base_alloc((size_t)row * sizeof *got), *want = base_alloc(t->bytes);
    double error = 0.0, square = 0.0;
    fe_st_to_f32(t, want, 0, t->count);
    assert_int_equal(t->count, (size_t)row * (size_t)t->dims[0]);
    for (int64_t r = 0; r < t->dims[0]; r++) {
        ir_weight_read(w, got, r * ROWS * row, row);
        for (int64_t i = 0; i < row; i++) {
            double d = (double)got[i] - (double)want[r * row + i];
            error += d * d;
            square += (double)want[r * row + i] * (double)want[r * row + i];
        }
    }
    base_free(got);
    base_free(want);
    return sqrt(error / square);
}

/* The folder's weights with these LoRAs are the expected ones, and no others are changed. */
static void check_merge(const char *folder, const char *component, const fe_lora *loras,
                        uint32_t count, const char *expected) {
    base_diag *d = base_diag_new(NULL);
    ir_module *m = load(d, folder, loras, count);
    if (!m) fail_msg("%s is not read", loras[0].path);
    char path[512];
    snprintf(path, sizeof path, GOLDENS "%s%s", strchr(expected, '/') ? "" : "lora/", expected);
    fe_st *table = fe_st_open(d, path);
    assert_non_null(table);
    assert_int_equal(updated_weights(m), fe_st_count(table));
    for (size_t i = 0; i < fe_st_count(table); i++) {
        const fe_st_tensor *t = fe_st_at(table, i);
        double e = difference(weight_named(m, component, t->name), t);
        if (!(e < 1e-6)) fail_msg("%s: %s differs by %g", loras[0].path, t->name, e);
    }
    fe_st_close(table);
    ir_module_free(m);
    base_diag_free(d);
}

#define FILE_OF(name) GOLDENS "lora/" name ".safetensors"

static void unet_styles(void **state) {
    (void)state;
    static const char *const full[] = {FILE_OF("unet-kohya"), FILE_OF("unet-original")};
    static const char *const attention[] = {FILE_OF("unet-peft"), FILE_OF("unet-peft-named"),
                                            FILE_OF("unet-old"), FILE_OF("unet-oldest")};
    for (size_t i = 0; i < 2; i++)
        check_merge("unet-sd1", "unet", &(fe_lora){full[i], 0.75}, 1,
                    "unet-full-expected.safetensors");
    for (size_t i = 0; i < 4; i++)
        check_merge("unet-sd1", "unet", &(fe_lora){attention[i], 1.0}, 1,
                    "unet-attention-expected.safetensors");
    check_merge("unet-sd1", "unet", &(fe_lora){FILE_OF("unet-peft-metadata"), 1.0}, 1,
                "unet-metadata-expected.safetensors");
    const fe_lora both[] = {{full[1], 0.75}, {attention[0], -0.5}};
    check_merge("unet-sd1", "unet", both, 2, "unet-both-expected.safetensors");
}

static void text_styles(void **state) {
    (void)state;
    static const char *const styles[] = {FILE_OF("text-kohya"), FILE_OF("text-kohya-1"),
                                         FILE_OF("text-peft"), FILE_OF("text-diffusers"),
                                         FILE_OF("text-old")};
    for (size_t i = 0; i < 5; i++)
        check_merge("text-quickgelu", "text_encoder", &(fe_lora){styles[i], -1.5}, 1,
                    "text-expected.safetensors");
}

/* Printed, read back and bound again, a module has the same weights. */
static void check_text(const char *folder, const fe_lora *loras, uint32_t count) {
    base_diag *d = base_diag_new(NULL);
    ir_module *m = load(d, folder, loras, count);
    base_str text = {0};
    ir_print(m, &text);
    ir_module *again = ir_parse(d, "x.ir", text.data, text.len);
    assert_non_null(again);
    assert_true(fe_bind_ir_weights(d, again));
    assert_int_equal(updated_weights(again), updated_weights(m));
    assert_int_equal(m->weights.count, again->weights.count);
    for (size_t i = 0; i < m->weights.count; i++) {
        const ir_weight *w = &m->weights.items[i], *v = &again->weights.items[i];
        size_t n = (size_t)ir_type_elements(&w->type);
        float *a = base_alloc(n * sizeof *a), *b = base_alloc(n * sizeof *b);
        ir_weight_read(w, a, 0, (int64_t)n);
        ir_weight_read(v, b, 0, (int64_t)n);
        assert_memory_equal(a, b, n * sizeof *a);
        base_free(a);
        base_free(b);
    }
    base_str_free(&text);
    ir_module_free(m);
    ir_module_free(again);
    base_diag_free(d);
}

static void through_text(void **state) {
    (void)state;
    const fe_lora both[] = {{FILE_OF("unet-kohya"), 0.75}, {FILE_OF("unet-peft"), -0.5}};
    check_text("unet-sd1", both, 2);
}

/* The methods of LyCORIS and PEFT, as their own code merges them; and what was read, printed and read
 * again, is the same. */
static void methods(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double scale;
    } files[] = {{"locon", 0.75},         {"locon-mid", 0.75},   {"loha", 0.75},
                 {"loha-tucker", 0.75},   {"lokr-full", 0.75},   {"lokr-w2", 0.75},
                 {"lokr-both", 0.75},     {"lokr-tucker", 0.75}, {"dora-kohya", 1.0},
                 {"dora-kohya-in", 1.0},  {"dora-peft", 1.0},    {"ia3", 0.75},
                 {"full", 0.75},          {"rslora-peft", 1.0},  {"plain-peft-noalpha", 0.75},
                 {"rslora-lycoris", 0.75}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[512], expected[512];
        snprintf(path, sizeof path, GOLDENS "lora-variants/%s.safetensors", files[i].name);
        snprintf(expected, sizeof expected, "lora-variants/%s.expected.safetensors", files[i].name);
        const fe_lora l = {path, files[i].scale};
        check_merge("lora-variants/unet", "unet", &l, 1, expected);
        check_text("lora-variants/unet", &l, 1);
    }
}

/* PEFT keeps alpha in a file of its own. */
static void adapter_config(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    FILE *in = fopen(FILE_OF("unet-peft-named"), "rb");
    assert_non_null(in);
    static char bytes[65536];
    size_t n = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    temp_write(&t, "adapter_model.safetensors", bytes, n);
    static const char config[] = "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 6, "
                                 "\"lora_dropout\": NaN}";
    temp_write(&t, "adapter_config.json", config, sizeof config - 1);
    check_merge("unet-sd1", "unet", &(fe_lora){temp_path(&t, "adapter_model.safetensors"), 1.0}, 1,
                "unet-metadata-expected.safetensors");

    static const char stable[] =
        "{\"lora_bias\": true, \"lora_alpha\": 6, \"alpha_pattern\": {\"to_q\": 3}}";
    temp_write(&t, "adapter_config.json", stable, sizeof stable - 1);
    capture c;
    capture_begin(&c, (base_diag_options){0});
    fe_lora l = {temp_path(&t, "adapter_model.safetensors"), 1.0};
    assert_null(load(c.diag, "unet-sd1", &l, 1));
    assert_non_null(strstr(captured(&c), "unsupported: a LoRA with 'lora_bias'"));
    assert_non_null(strstr(captured(&c), "unsupported: a LoRA with 'alpha_pattern'"));
    capture_end(&c);
    temp_dir_end(&t);
}

/* ---- names of the original implementation ---- */

static void add_weight(ir_module *m, const char *format, int i, int j, const char *rest) {
    char name[256];
    snprintf(name, sizeof name, format, i, j, rest);
    ir_type t = ir_type_make(IR_f32, 2, (int64_t[]){4, 4});
    ir_weight_add(m, name, &t);
}

/* SDXL: two and three residual blocks a level, attention on the two lower ones. */
static void sdxl_names(void **state) {
    (void)state;
    ir_module *m = ir_module_new();
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            if (j < 2) add_weight(m, "unet/down_blocks.%d.resnets.%d.%s", i, j, "conv1.weight");
            add_weight(m, "unet/up_blocks.%d.resnets.%d.%s", i, j, "conv1.weight");
            if (i > 0 && j < 2)
                add_weight(m, "unet/down_blocks.%d.attentions.%d.%s", i, j, "proj_in.weight");
            if (i < 2)
                add_weight(m, "unet/up_blocks.%d.attentions.%d.%s", i, j,
                           "transformer_blocks.9.attn2.to_out.0.weight");
        }
        if (i < 2) add_weight(m, "unet/down_blocks.%d.downsamplers.%d.%s", i, 0, "conv.weight");
        if (i < 2) add_weight(m, "unet/up_blocks.%d.upsamplers.%d.%s", i, 0, "conv.weight");
    }
    add_weight(m, "unet/add_embedding.linear_%d%.0d%s", 1, 0, ".weight");
    add_weight(m, "unet/mid_block.resnets.%d.conv%d%s", 1, 2, ".weight");
    add_weight(m, "text_encoder_2/text_model.encoder.layers.%d%.0d.self_attn.q_proj%s", 31, 0,
               ".weight");
    static const char *const cases[][2] = {
        {"input_blocks_1_0_in_layers_2", "down_blocks.0.resnets.0.conv1"},
        {"input_blocks_3_0_op", "down_blocks.0.downsamplers.0.conv"},
        {"input_blocks_4_1_proj_in", "down_blocks.1.attentions.0.proj_in"},
        {"input_blocks_6_0_op", "down_blocks.1.downsamplers.0.conv"},
        {"input_blocks_8_1_proj_in", "down_blocks.2.attentions.1.proj_in"},
        {"middle_block_2_out_layers_3", "mid_block.resnets.1.conv2"},
        {"output_blocks_0_1_transformer_blocks_9_attn2_to_out_0",
         "up_blocks.0.attentions.0.transformer_blocks.9.attn2.to_out.0"},
        {"output_blocks_2_2_conv", "up_blocks.0.upsamplers.0.conv"},
        {"output_blocks_5_2_conv", "up_blocks.1.upsamplers.0.conv"},
        {"output_blocks_8_0_in_layers_2", "up_blocks.2.resnets.2.conv1"},
        {"label_emb_0_0", "add_embedding.linear_1"},
        {"down_blocks_1_attentions_0_proj_in", "down_blocks.1.attentions.0.proj_in"},
        {"input_blocks_9_0_op", NULL},
        {"output_blocks_9_0_in_layers_2", NULL},
    };
    base_arena *a = base_arena_new();
    fe_lora_index *x = fe_lora_index_new(m);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char tensor[256], want[256];
        fe_lora_name name;
        snprintf(tensor, sizeof tensor, "lora_unet_%s.lora_down.weight", cases[i][0]);
        assert_true(fe_lora_split(a, m, NULL, tensor, &name));
        uint32_t found = fe_lora_find(x, &name);
        if (!cases[i][1]) {
            assert_int_equal(found, UINT32_MAX);
            continue;
        }
        if (found == UINT32_MAX) fail_msg("%s is not found", cases[i][0]);
        snprintf(want, sizeof want, "unet/%s.weight", cases[i][1]);
        assert_string_equal(m->weights.items[found].name, want);
    }
    static const char *const second[] = {
        "lora_te2_text_model_encoder_layers_31_self_attn_q_proj.alpha",
        "text_encoder_2.text_model.encoder.layers.31.self_attn.q_proj.lora_A.weight",
        "text_encoder_2.text_model.encoder.layers.31.self_attn.to_q_lora.up.weight"};
    for (size_t i = 0; i < 3; i++) {
        fe_lora_name name;
        assert_true(fe_lora_split(a, m, NULL, second[i], &name));
        assert_string_equal(name.component, "text_encoder_2");
        uint32_t found = fe_lora_find(x, &name);
        assert_true(found != UINT32_MAX);
        assert_string_equal(m->weights.items[found].name,
                            "text_encoder_2/text_model.encoder.layers.31.self_attn.q_proj.weight");
    }
    fe_lora_index_free(x);
    base_arena_free(a);
    ir_module_free(m);
}

/* ---- files that cannot be merged ---- */

static float zeros[8192];

static fe_st_tensor tensor(const char *name, uint32_t rank, int64_t a, int64_t b) {
    return (fe_st_tensor){.name = name,
                          .dtype = FE_ST_F32,
                          .rank = rank,
                          .dims = {a, b, 3, 3},
                          .data = (const uint8_t *)zeros};
}

/* Loading unet-sd1 with a LoRA of these tensors fails with this message, once. */
static void expect_fault(const fe_st_tensor *tensors, size_t n, const char *message) {
    temp_dir t;
    capture c;
    temp_dir_begin(&t);
    capture_begin(&c, (base_diag_options){0});
    fe_lora l = {temp_path(&t, "l.safetensors"), 1.0};
    assert_true(fe_st_write(c.diag, l.path, tensors, n, NULL, 0));
    assert_null(load(c.diag, "unet-sd1", &l, 1));
    assert_int_equal(base_diag_errors(c.diag), 1);
    if (!strstr(captured(&c), message)) fail_msg("expected <%s> in <%s>", message, captured(&c));
    assert_non_null(strstr(captured(&c), "l.safetensors: error: "));
    capture_end(&c);
    temp_dir_end(&t);
}

#define Q    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
#define CONV "unet.down_blocks.0.resnets.0.conv1"

static void faults(void **state) {
    (void)state;
    fe_st_tensor up = tensor(Q ".lora_up.weight", 2, 16, 2),
                 down = tensor(Q ".lora_down.weight", 2, 2, 16), bad;
    expect_fault(&up, 1, "incomplete: '" Q "' has no lora_down");
    expect_fault(&down, 1, "incomplete: '" Q "' has no lora_up");
    bad = tensor(Q ".lora_up.weight", 2, 16, 3);
    expect_fault(
        (fe_st_tensor[]){bad, down}, 2,
        "shape: '" Q ".lora_up.weight' is [16, 3], '" Q ".lora_down.weight' [2, 16]; the weight "
        "'unet/down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight' is f32[16,16]");
    bad = tensor(Q ".lora_down.weight", 2, 2, 320); /* of a larger model */
    expect_fault((fe_st_tensor[]){up, bad}, 2, "wrong shapes 1");
    fe_st_tensor empty[] = {tensor(Q ".lora_up.weight", 2, 16, 0),
                            tensor(Q ".lora_down.weight", 2, 0, 16)};
    expect_fault(empty, 2, "is [16, 0]: no matrix and no filter");
    bad = down;
    bad.dtype = FE_ST_I32;
    expect_fault((fe_st_tensor[]){up, bad}, 2, "element type: '" Q ".lora_down.weight' is I32");

    float value = NAN;
    fe_st_tensor alpha = {.name = Q ".alpha", .dtype = FE_ST_F32, .data = (const uint8_t *)&value};
    expect_fault((fe_st_tensor[]){up, down, alpha}, 3,
                 "alpha: '" Q ".alpha' is not a finite number");
    value = INFINITY;
    expect_fault((fe_st_tensor[]){up, down, alpha}, 3, "is not a finite number");
    alpha = tensor(Q ".alpha", 1, 2, 0);
    expect_fault((fe_st_tensor[]){up, down, alpha}, 3, "alpha: '" Q ".alpha' is not one number");
    expect_fault(&alpha, 1, "has no lora_up (lora_B) and lora_down (lora_A)");

    fe_st_tensor twice = tensor(
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight", 2, 2, 16);
    expect_fault((fe_st_tensor[]){up, down, twice}, 3, "said twice: ");
    /* a filter needs its window, a module its name */
    fe_st_tensor conv[] = {tensor(CONV ".lora_B.weight", 2, 16, 2),
                           tensor(CONV ".lora_A.weight", 2, 2, 16)};
    expect_fault(conv, 2,
                 "the weight 'unet/down_blocks.0.resnets.0.conv1.weight' is f32[16,16,3,3]");
    bad = tensor("lora_unet_down_blocks_7_resnets_0_conv1.lora_up.weight", 2, 16, 2);
    expect_fault((fe_st_tensor[]){up, down, bad}, 3,
                 "not in the model: 'lora_unet_down_blocks_7_resnets_0_conv1'");
    bad = tensor("model.diffusion_model.x.lora_up.weight", 2, 16, 2); /* no difference */
    expect_fault((fe_st_tensor[]){up, down, bad}, 3, "not in the model: 'model.diffusion_model.x'");
    bad = tensor("unet.conv_in.weight", 2, 16, 2);
    expect_fault((fe_st_tensor[]){up, down, bad}, 3, "no part of a LoRA: 'unet.conv_in.weight'");
    bad = tensor("lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight", 2, 16, 2);
    expect_fault(&bad, 1, "nothing in this LoRA belongs to what is compiled");
    expect_fault(NULL, 0, "nothing in this LoRA belongs to what is compiled");
}

static void other_methods(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {Q ".oft_diag", "unsupported: OFT (1 tensors"},
        {Q ".a1.weight", "unsupported: GLoRA"},
        {Q ".ia3_l.weight", "unsupported: IA3 as PEFT writes it"},
        {CONV ".lora_B.bias", "unsupported: LoRA with a bias"},
        {Q ".hada_w1_a", "two methods for one module: '" Q ".lora_up.weight' and '" Q},
        {Q ".diff", "two methods for one module"},
        {Q ".on_input", "two methods for one module"}};
    fe_st_tensor up = tensor(Q ".lora_up.weight", 2, 16, 2),
                 down = tensor(Q ".lora_down.weight", 2, 2, 16);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_fault((fe_st_tensor[]){up, down, tensor(cases[i][0], 1, 16, 0)}, 3, cases[i][1]);
}

/* Parts of LyCORIS' methods that are missing, or of another model. */
static void parts_of_methods(void **state) {
    (void)state;
    fe_st_tensor a = tensor(Q ".hada_w1_a", 2, 16, 2), b = tensor(Q ".hada_w1_b", 2, 2, 16),
                 c = tensor(Q ".hada_w2_a", 2, 16, 3), d = tensor(Q ".hada_w2_b", 2, 3, 16);
    expect_fault((fe_st_tensor[]){a, b, d}, 3, "incomplete: '" Q "' has no hada_w2_a");
    d.dims[1] = 17;
    expect_fault((fe_st_tensor[]){a, b, c, d}, 4, "'" Q ".hada_w2_b' [3, 17]; the weight 'unet/");
    fe_st_tensor t1 = tensor(Q ".hada_t1", 4, 2, 2);
    d.dims[1] = 16; /* one window alone */
    expect_fault((fe_st_tensor[]){a, b, c, d, t1}, 5, "wrong shapes 1");

    fe_st_tensor w1 = tensor(Q ".lokr_w1", 2, 4, 4), w2 = tensor(Q ".lokr_w2", 2, 4, 4),
                 w1a = tensor(Q ".lokr_w1_a", 2, 4, 1), w2a = tensor(Q ".lokr_w2_a", 2, 4, 1);
    expect_fault(&w1, 1, "incomplete: '" Q "' has no lokr_w2");
    expect_fault((fe_st_tensor[]){w1, w2a}, 2, "has no lokr_w2_b");
    expect_fault((fe_st_tensor[]){w1, w2, w1a}, 3, "wrong shapes 1"); /* the first side twice */
    w2.dims[0] = 5;
    expect_fault((fe_st_tensor[]){w1, w2}, 2, "shape: '" Q ".lokr_w1' is [4, 4]");

    fe_st_tensor up = tensor(Q ".lora_up.weight", 2, 16, 2),
                 down = tensor(Q ".lora_down.weight", 2, 2, 16),
                 rows = tensor(Q ".dora_scale", 2, 17, 1),
                 vector = tensor("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q."
                                 "lora_magnitude_vector.default.weight",
                                 1, 16, 0);
    expect_fault((fe_st_tensor[]){up, down, rows}, 3, "'" Q ".dora_scale' [17, 1]");
    rows.dims[0] = 16;
    expect_fault((fe_st_tensor[]){up, down, rows, vector}, 4, "wrong shapes 1");
    expect_fault(&rows, 1, "has no lora_up (lora_B) and lora_down (lora_A)");

    fe_st_tensor diff = tensor(CONV ".diff", 4, 16, 16), bias = tensor(Q ".diff_b", 1, 16, 0);
    diff.dims[3] = 1;
    expect_fault(&diff, 1, "shape: '" CONV ".diff' is [16, 16, 3, 1]");
    expect_fault(&bias, 1, "not in the model: a bias of '" Q "'"); /* to_q has none */

    float side = INFINITY;
    fe_st_tensor gain = tensor(Q ".weight", 1, 16, 0),
                 on = {.name = Q ".on_input", .dtype = FE_ST_F32, .data = (const uint8_t *)&side};
    expect_fault((fe_st_tensor[]){gain, on}, 2,
                 "on_input: '" Q ".on_input' is not a finite number");
    side = 1.0f;
    gain.dims[0] = 15;
    expect_fault((fe_st_tensor[]){gain, on}, 2, "shape: '" Q ".weight' is [15]");
    expect_fault(&on, 1, "incomplete: '" Q "'");
}

/* All of it in one error, twenty notes at most. */
static void one_report(void **state) {
    (void)state;
    static char names[30][80];
    fe_st_tensor tensors[31];
    for (int i = 0; i < 30; i++) {
        snprintf(names[i], sizeof names[i], "lora_unet_nothing_%02d.lora_up.weight", i);
        tensors[i] = tensor(names[i], 2, 16, 2);
    }
    tensors[30] = tensor(Q ".lora_up.weight", 2, 16, 2);
    expect_fault(tensors, 31, "modules not in the model 30, incomplete updates 1");
    expect_fault(tensors, 31, "note: and 11 more");
}

static void broken_files(void **state) {
    (void)state;
    temp_dir t;
    temp_dir_begin(&t);
    char bytes[4096];
    FILE *in = fopen(FILE_OF("unet-peft"), "rb");
    assert_non_null(in);
    size_t n = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    temp_write(&t, "cut.safetensors", bytes, n);
    static const char *const names[] = {"cut.safetensors", "absent.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        capture c;
        capture_begin(&c, (base_diag_options){0});
        fe_lora l = {temp_path(&t, names[i]), 1.0};
        assert_null(load(c.diag, "unet-sd1", &l, 1));
        assert_non_null(strstr(captured(&c), names[i]));
        capture_end(&c);
    }
    temp_dir_end(&t);
}

/* ---- slots ---- */

static ir_module *load_slots(base_diag *d, const fe_lora_slot *slots, uint32_t count) {
    return fe_load(d, GOLDENS "unet-sd1", &(fe_options){.slots = slots, .slot_count = count});
}

static void print(const ir_module *m, const char *function, base_str *out) {
    const ir_func *f = ir_func_find(m, function);
    if (!f) fail_msg("no function %s", function);
    ir_print_func(f, out);
}

static size_t count_of(const char *text, const char *word) {
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, word)); p += strlen(word)) n++;
    return n;
}

/* The function stays as it is without slots; its twin has an input for each slot, and as many
 * products with it as the file has updates. Names and digests are told, the model's digest stays. */
static void slots_have_twins(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    const fe_lora_slot slots[] = {{NULL, FILE_OF("unet-kohya")}, {"b", FILE_OF("unet-peft")}};
    const fe_lora merged = {FILE_OF("unet-kohya"), 1.0};
    ir_module *m = load_slots(c.diag, slots, 2), *plain = load(c.diag, "unet-sd1", NULL, 0),
              *other = load(c.diag, "unet-sd1", &merged, 1);
    if (!m || !plain || !other) fail_msg("%s", captured(&c));
    assert_int_equal(m->funcs.count, 2 * plain->funcs.count);
    base_str with = {0}, without = {0}, twin = {0}, faults = {0};
    print(m, "unet", &with);
    print(plain, "unet", &without);
    print(m, "unet.lora", &twin);
    assert_string_equal(with.data, without.data);
    assert_non_null(strstr(twin.data, " lora.unet-kohya : f32[1] prompt"));
    assert_non_null(strstr(twin.data, " lora.b : f32[1] prompt"));
    size_t updates = updated_weights(other);
    assert_true(updates > 0);
    assert_true(count_of(twin.data, " = mul ") - count_of(with.data, " = mul ") >= updates);
    assert_true(ir_verify(m, &faults));
    char a[FE_DIGEST_TEXT], b[FE_DIGEST_TEXT];
    fe_weights_digest(m, a);
    fe_weights_digest(plain, b);
    assert_string_equal(a, b);
    assert_string_equal(ir_meta_string(m, "lora.name.0", ""), "unet-kohya");
    assert_string_equal(ir_meta_string(m, "lora.name.1", ""), "b");
    assert_int_equal(strlen(ir_meta_string(m, "lora.digest.1", "")), FE_DIGEST_TEXT - 1);
    assert_string_not_equal(ir_meta_string(m, "lora.digest.0", ""),
                            ir_meta_string(m, "lora.digest.1", ""));
    base_str_free(&with);
    base_str_free(&without);
    base_str_free(&twin);
    base_str_free(&faults);
    ir_module_free(m);
    ir_module_free(plain);
    ir_module_free(other);
    capture_end(&c);
}

static void refused_slots(void **state) {
    (void)state;
    static const char *const names[] = {"", "a:b", "a,b", "a=b", "a/b", "a\nb", "<a>", "\"a\""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        capture c;
        capture_begin(&c, (base_diag_options){0});
        assert_null(load_slots(c.diag, &(fe_lora_slot){names[i], FILE_OF("unet-peft")}, 1));
        assert_non_null(strstr(captured(&c), "cannot name a slot"));
        assert_int_equal(base_diag_errors(c.diag), 1);
        capture_end(&c);
    }
    capture c;
    capture_begin(&c, (base_diag_options){0});
    const fe_lora_slot two[] = {{"a", FILE_OF("unet-peft")}, {"a", FILE_OF("unet-kohya")}};
    assert_null(load_slots(c.diag, two, 2));
    assert_non_null(strstr(captured(&c), "two slots have the name 'a'"));
    capture_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unet_styles),    cmocka_unit_test(text_styles),
        cmocka_unit_test(adapter_config), cmocka_unit_test(through_text),
        cmocka_unit_test(sdxl_names),     cmocka_unit_test(faults),
        cmocka_unit_test(other_methods),  cmocka_unit_test(one_report),
        cmocka_unit_test(methods),        cmocka_unit_test(parts_of_methods),
        cmocka_unit_test(broken_files),   cmocka_unit_test(slots_have_twins),
        cmocka_unit_test(refused_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
