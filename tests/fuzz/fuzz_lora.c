/* Fuzz entry: a LoRA file as a list of tensors, and PEFT's adapter_config.json behind a line
 * "== adapter_config.json", for a small model. What is accepted can be read as weights; what is
 * refused has a reason. */
#include "tests/fuzz/fuzz.h"

#include "frontend/lora/lora.h"
#include "runtime/abi/meta_keys.h"

/* Weights of every kind that a LoRA may name: matrices and filters of a U-Net, with the names that
 * trainers derive from block numbers, and of both text encoders. */
static const char model[] =
    "ebru ir 3 graph\n"
    "weight @unet/conv_in.weight : f32[4,4,3,3] = random 1 0.2 0.0\n"
    "weight @unet/time_embedding.linear_1.weight : f32[8,4] = random 2 0.2 0.0\n"
    "weight @unet/down_blocks.0.resnets.0.conv1.weight : f32[4,4,3,3] = random 3 0.2 0.0\n"
    "weight @unet/down_blocks.0.attentions.0.proj_in.weight : f32[4,4,1,1] = random 4 0.2 0.0\n"
    "weight @unet/down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight : f32[4,4] = "
    "random 5 0.2 0.0\n"
    "weight @unet/mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight : f32[4,6] = "
    "random 6 0.2 0.0\n"
    "weight @unet/up_blocks.1.resnets.0.conv1.weight : f32[4,8,3,3] = random 7 0.2 0.0\n"
    "weight @text_encoder/text_model.encoder.layers.0.self_attn.q_proj.weight : f32[6,6] = "
    "random 8 0.2 0.0\n"
    "weight @text_encoder_2/text_model.encoder.layers.0.mlp.fc1.weight : f32[8,6] = "
    "random 9 0.2 0.0\n";

static ir_module *small_model(bool pipeline) {
    base_diag *d = fuzz_diag(false);
    ir_module *m = ir_parse(d, "model.ir", model, sizeof model - 1);
    PROMISE(m != NULL);
    if (pipeline)
        ir_meta_set_string(m, EBRU_META_PIPELINE_KIND.name,
                           ebru_pipeline_kind_name[EBRU_PIPELINE_TEXT]);
    base_diag_free(d);
    return m;
}

static void check(const ir_module *m) {
    float values[4 * 8 * 9];
    for (size_t i = 0; i < m->weights.count; i++) {
        const ir_weight *w = &m->weights.items[i];
        ir_weight_read(w, values, 0, ir_type_elements(&w->type));
    }
}

/* The same file in a slot of a model whose matrices and filters are layers of a function. */
static void slots(const char *path, size_t size) {
    ir_module *m = small_model(size % 3 != 0);
    base_diag *d = fuzz_diag(size % 2);
    ir_func *f = ir_func_new(m, "unet");
    const size_t weights = m->weights.count;
    for (uint32_t i = 0; i < weights; i++) {
        const ir_type *w = &m->weights.items[i].type;
        const bool conv = w->rank == 4;
        if (!conv && w->rank != 2) continue;
        const int64_t image[] = {1, w->dim[1], 4, 4}, tokens[] = {1, 2, w->dim[1]};
        const ir_type type = ir_type_make(IR_f32, conv ? 4 : 3, conv ? image : tokens);
        const char *name = m->weights.items[i].name;
        ir_ref x = ir_input(f, name, &type, IR_STEP, 0);
        ir_set_output(
            f, name,
            ir_op2(f, conv ? IR_OP_conv2d : IR_OP_linear, x, ir_weight_ref(f, i, 0), NULL, 0));
    }
    const fe_lora_slot slot = {"s", path};
    const bool fine = fe_lora_slots_apply(d, m, &(fe_options){.slots = &slot, .slot_count = 1});
    PROMISE(fine == (base_diag_errors(d) == 0));
    if (fine) PROMISE(m->funcs.count <= 2);
    ir_verify(m, NULL);
    ir_module_free(m);
    base_diag_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char name[] = "adapter_model.safetensors";
    fuzz_part parts[FUZZ_MOST_PARTS];
    const size_t count = fuzz_split(data, size, name, parts);
    const char *folder = fuzz_write_parts(parts, count);
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ir_module *m = small_model(size % 3 != 0);
    base_diag *d = fuzz_diag(size % 2);
    const bool fine = fe_lora_apply(d, m, &(fe_lora){path, 0.5});
    PROMISE(fine == (base_diag_errors(d) == 0));
    if (fine) check(m);
    ir_module_free(m);
    base_diag_free(d);
    slots(path, size);
    return 0;
}
