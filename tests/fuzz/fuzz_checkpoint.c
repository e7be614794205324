/* Fuzz entry: names and shapes of a single-file checkpoint, as a list of tensors. What system it is,
 * its networks' sizes and configs are guessed from them. What is accepted is a whole model whose
 * weights are bound and whose text reads back; what is refused has a reason. */
#include "tests/fuzz/read_back.h"

static void check(ir_module *m) {
    ir_verify(m, NULL);
    for (size_t i = 0; i < m->weights.count; i++) {
        const ir_weight *w = &m->weights.items[i];
        float value;
        if (w->kind == IR_WEIGHT_FILE) ir_weight_read(w, &value, ir_type_elements(&w->type) - 1, 1);
    }
    fuzz_read_back(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const fe_options options = {.guidance_pair = true, .shared_timestep = true};
    const char *path;
    fuzz_folder();
    PROMISE(fuzz_write_tensors("model.safetensors", (const char *)data, size, &path));
    base_diag *d = fuzz_diag(size % 2);
    ir_module *m = fe_load(d, path, &options);
    PROMISE((m != NULL) == (base_diag_errors(d) == 0));
    if (m) check(m);
    ir_module_free(m);
    base_diag_free(d);
    return 0;
}
