/* Fuzz entry: any bytes as a GGUF file. Of what is accepted, every tensor must lie inside the file,
 * without overlap, sorted and found by its name, and convert. */
#include "tests/fuzz/fuzz.h"

#include "frontend/gguf/gguf.h"

static void check_tensor(fe_st *st, size_t i, const uint8_t *data, size_t size) {
    const fe_st_tensor *t = fe_st_at(st, i);
    PROMISE(t->gguf && t->rank <= FE_ST_MAX_RANK);
    PROMISE(t->data >= data && t->bytes <= size && t->data - data <= (ptrdiff_t)(size - t->bytes));
    PROMISE(fe_st_find(st, t->name) == t);
    if (i > 0) PROMISE(strcmp(fe_st_at(st, i - 1)->name, t->name) < 0);
    size_t elements = 1;
    for (uint32_t k = 0; k < t->rank; k++) elements *= (size_t)t->dims[k];
    PROMISE(elements == t->count);
    size_t count = t->count < 1000 ? t->count : 1000;
    float out[1000];
    int64_t ints[1000];
    fe_st_to_f32(t, out, t->count - count, count);
    fe_st_to_i64(t, ints, t->count - count, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4 || memcmp(data, "GGUF", 4) != 0) return 0;
    base_diag *d = fuzz_diag(size % 2);
    fe_st *st = fe_st_open_memory(d, "fuzz.gguf", data, size);
    PROMISE((st != NULL) == (base_diag_errors(d) == 0));
    size_t total = 0;
    for (size_t i = 0; st && i < fe_st_count(st); i++) {
        check_tensor(st, i, data, size);
        total += fe_st_at(st, i)->bytes;
    }
    PROMISE(total <= size);
    fe_st_close(st);
    base_diag_free(d);
    return 0;
}
