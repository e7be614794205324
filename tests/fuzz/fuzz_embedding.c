/* Fuzz entry: any bytes as an embedding of textual inversion, of torch.save or safetensors. What is
 * accepted is rows behind a text encoder's table that can be read to their last element, and a module
 * whose text reads back, with the same rows; what is refused has a reason, and no code of it runs. */
#include "frontend/embedding/embedding.h"
#include "tests/fuzz/read_back.h"

static const char encoder[] = "ebru ir 3 graph\n"
                              "weight @table : f32[4,16] = random 1 1.0 0.0\n"
                              "func @text_encoder(%0 input_ids : i32[1,4] prompt) {\n"
                              "  %1 = embedding %0, @table : f32[1,4,16]\n"
                              "  return last_hidden_state = %1\n}\n";

static void check(ir_module *m) {
    const ir_weight *w = &m->weights.items[0];
    float *row = base_alloc((size_t)w->type.dim[1] * sizeof *row);
    ir_verify(m, NULL);
    for (int64_t i = 0; i < w->type.dim[0]; i++)
        ir_weight_read(w, row, i * w->type.dim[1], w->type.dim[1]);
    base_free(row);
    fuzz_read_back(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path;
    fuzz_folder();
    PROMISE(fuzz_write("style.pt", data, size, &path));
    base_diag *d = fuzz_diag(size % 2);
    ir_module *m = fe_parse_ir(d, "encoder.ir", encoder, sizeof encoder - 1, NULL);
    PROMISE(m != NULL);
    const fe_options options = {.embeddings = &path, .embedding_count = 1};
    const bool fine = fe_embeddings_apply(d, m, &options);
    PROMISE(fine == (base_diag_errors(d) == 0));
    PROMISE(fine == (m->weights.items[0].rows != NULL));
    if (fine) check(m);
    ir_module_free(m);
    base_diag_free(d);
    return 0;
}
