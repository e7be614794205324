/* Fuzz entry: the weights of a component's folder: model.safetensors.index.json and its shards, each
 * behind a line "== NAME", shards as lists of tensors. Of what is accepted, every tensor is found by
 * its name, once, and has its bytes; what is refused has a reason. */
#include "tests/fuzz/fuzz.h"

#include "frontend/safetensors/safetensors.h"

static void check(const fe_st *st) {
    for (size_t i = 0; i < fe_st_count(st); i++) {
        const fe_st_tensor *t = fe_st_at(st, i);
        PROMISE(t->gguf || t->bytes == t->count * fe_st_dtype_size(t->dtype));
        PROMISE(fe_st_find(st, t->name) == t);
        if (i > 0) PROMISE(strcmp(fe_st_at(st, i - 1)->name, t->name) < 0);
        float last = 0;
        if (t->count) fe_st_to_f32(t, &last, t->count - 1, 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const bases[] = {"diffusion_pytorch_model", "model"};
    fuzz_part parts[FUZZ_MOST_PARTS];
    const size_t count = fuzz_split(data, size, "model.safetensors.index.json", parts);
    base_diag *d = fuzz_diag(size % 2);
    fe_st *st = fe_st_open_dir(d, fuzz_write_parts(parts, count), bases, 2);
    PROMISE((st != NULL) == (base_diag_errors(d) == 0));
    if (st) check(st);
    fe_st_close(st);
    base_diag_free(d);
    return 0;
}
