/* Fuzz entry: any bytes as a safetensors file. Of what is accepted, every tensor must lie inside
 * the file, without overlap, sorted and found by its name, and convert. */
#include "tests/fuzz/fuzz.h"

#include "frontend/safetensors/safetensors.h"

static void check_tensor(fe_st *st, size_t i, const uint8_t *data, size_t size) {
    const fe_st_tensor *t = fe_st_at(st, i);
    PROMISE(t->rank <= FE_ST_MAX_RANK);
    PROMISE(t->gguf || t->bytes == t->count * fe_st_dtype_size(t->dtype));
    PROMISE(t->data >= data && t->bytes <= size && t->data - data <= (ptrdiff_t)(size - t->bytes));
    PROMISE(fe_st_find(st, t->name) == t);
    if (i > 0) PROMISE(strcmp(fe_st_at(st, i - 1)->name, t->name) < 0);
    size_t count = t->count < 1000 ? t->count : 1000;
    float out[1000];
    int64_t ints[1000];
    fe_st_to_f32(t, out, t->count - count, count);
    fe_st_to_i64(t, ints, t->count - count, count);
    PROMISE(fe_st_loc(st, t).path != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    base_diag *d = fuzz_diag(size % 2);
    fe_st *st = fe_st_open_memory(d, "fuzz.safetensors", data, size);
    PROMISE((st != NULL) == (base_diag_errors(d) == 0));
    if (st) {
        size_t total = 0;
        for (size_t i = 0; i < fe_st_count(st); i++) {
            check_tensor(st, i, data, size);
            total += fe_st_at(st, i)->bytes;
        }
        PROMISE(total <= size);
        for (size_t i = 0; i < fe_st_metadata_count(st); i++) {
            const char *key, *value = fe_st_metadata_at(st, i, &key);
            PROMISE(strcmp(fe_st_metadata(st, key), value) == 0);
        }
    }
    fe_st_close(st);
    base_diag_free(d);
    return 0;
}
