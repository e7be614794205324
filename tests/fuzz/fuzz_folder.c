/* Fuzz entry: the JSON files of a diffusers folder together (model_index.json, the components'
 * configs, the scheduler, the tokenizer), each behind a line "== NAME". What is accepted verifies,
 * prints and reads back; what is refused has a reason. Weights are random. */
#include "tests/fuzz/read_back.h"

static void check(ir_module *m) {
    ir_verify(m, NULL);
    fuzz_read_back(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_part parts[FUZZ_MOST_PARTS];
    const size_t count = fuzz_split(data, size, "model_index.json", parts);
    const char *folder = fuzz_write_parts(parts, count);
    const fe_options options = {
        .random_weights = true, .guidance_pair = true, .shared_timestep = true};
    base_diag *d = fuzz_diag(size % 2);
    ir_module *m = fe_load(d, folder, &options);
    PROMISE((m != NULL) == (base_diag_errors(d) == 0));
    if (m) check(m);
    ir_module_free(m);
    base_diag_free(d);
    return 0;
}
