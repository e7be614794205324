/* References to tensors and parts of them; see tensor_ref.h. */
#include "frontend/safetensors/tensor_ref.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

static fe_tensor_view whole(const fe_st_tensor *t) {
    fe_tensor_view v = {.tensor = t, .dtype = t->dtype, .rank = t->rank, .data = t->data};
    memcpy(v.dims, t->dims, sizeof v.dims);
    return v;
}

static const fe_st_tensor *find_prefix(const fe_st *table, const char *name, size_t length) {
    char *copy = base_alloc(length + 1);
    memcpy(copy, name, length);
    const fe_st_tensor *t = fe_st_find(table, copy);
    base_free(copy);
    return t;
}

/* A number without sign at *s, which is moved behind it. */
static bool read_number(const char **s, int64_t *out) {
    int64_t n = 0;
    const char *p = *s;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p - '0', &n))
            return false;
    if (p == *s) return false;
    *s = p;
    *out = n;
    return true;
}

/* The elements of a view from `first` on as F32, of blocks. */
static void copy_numbers(fe_tensor_view *v, size_t first, size_t count) {
    float *copy = base_alloc((count ? count : 1) * sizeof *copy);
    fe_st_to_f32(v->tensor, copy, first, count);
    v->dtype = FE_ST_F32;
    v->data = v->copy = (const uint8_t *)copy;
}

/* NAME[a:b]. Rows are contiguous, so they need no copy, unless they begin or end inside of a block. */
static bool find_rows(const fe_st *table, const char *reference, fe_tensor_view *view) {
    const char *bracket = strrchr(reference, '['), *s = bracket ? bracket + 1 : "";
    int64_t first, end;
    if (!read_number(&s, &first) || *s++ != ':' || !read_number(&s, &end) || strcmp(s, "]") != 0)
        return false;
    const fe_st_tensor *t = find_prefix(table, reference, (size_t)(bracket - reference));
    if (!t || t->rank < 1 || first >= end || end > t->dims[0]) return false;
    *view = whole(t);
    view->dims[0] = end - first;
    const size_t row = t->count / (size_t)t->dims[0], from = row * (size_t)first,
                 count = row * (size_t)(end - first);
    const ir_stored form = fe_st_stored(t->dtype);
    const size_t block = (size_t)ir_stored_block(form);
    if (form == IR_STORED_PLAIN)
        view->data += t->bytes / (size_t)t->dims[0] * (size_t)first;
    else if (from % block || count % block)
        copy_numbers(view, from, count);
    else
        view->data += ir_stored_bytes(form, from);
    return true;
}

/* NAME.T */
static bool find_transpose(const fe_st *table, const char *reference, fe_tensor_view *view) {
    size_t n = strlen(reference);
    if (n < 2 || strcmp(reference + n - 2, ".T") != 0) return false;
    const fe_st_tensor *t = find_prefix(table, reference, n - 2);
    if (!t || t->rank != 2) return false;
    *view = whole(t);
    if (fe_st_stored(t->dtype) != IR_STORED_PLAIN) copy_numbers(view, 0, t->count);
    size_t rows = (size_t)t->dims[0], columns = (size_t)t->dims[1],
           size = fe_st_dtype_size(view->dtype), bytes = t->count * size;
    uint8_t *copy = base_alloc(bytes ? bytes : 1);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            memcpy(copy + (j * rows + i) * size, view->data + (i * columns + j) * size, size);
    base_free((void *)(uintptr_t)view->copy);
    view->dims[0] = t->dims[1];
    view->dims[1] = t->dims[0];
    view->data = view->copy = copy;
    return true;
}

void fe_tensor_add_ones(fe_tensor_view *view, uint32_t rank, const int64_t *dims) {
    if (!view->tensor->gguf || view->rank >= rank || rank > FE_ST_MAX_RANK) return;
    const uint32_t lost = rank - view->rank;
    for (uint32_t i = 0; i < lost; i++)
        if (dims[i] != 1) return;
    if (memcmp(dims + lost, view->dims, view->rank * sizeof *dims) != 0) return;
    memcpy(view->dims, dims, rank * sizeof *dims);
    view->rank = rank;
}

bool fe_tensor_find(const fe_st *table, const char *reference, fe_tensor_view *view) {
    const fe_st_tensor *t = fe_st_find(table, reference);
    if (t) *view = whole(t);
    return t || find_rows(table, reference, view) || find_transpose(table, reference, view);
}
