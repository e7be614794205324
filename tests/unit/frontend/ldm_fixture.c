/* Single-file checkpoints for tests; see ldm_fixture.h. */
#include "tests/unit/frontend/ldm_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS = 3 };

_Noreturn static void stop(const char *what, const char *name) {
    fprintf(stderr, "ldm_fixture: %s: %s\n", what, name);
    abort();
}

static void put_transposed(ldm_fixture *f, fe_st_tensor *t) {
    int64_t rows = t->dims[0], columns = t->dims[1];
    const float *in = (const float *)(const void *)t->data;
    float *out = base_arena_alloc(f->arena, (size_t)(rows * columns) * sizeof *out);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) out[j * rows + i] = in[i * columns + j];
    t->data = (const uint8_t *)out;
    t->dims[0] = columns;
    t->dims[1] = rows;
}

/* One after the other along the rows. */
static void put_together(ldm_fixture *f, fe_st_tensor *t, const ir_weight *const *parts, size_t n) {
    const ir_type *type = &parts[0]->type;
    int64_t one = ir_type_elements(type);
    float *values = base_arena_alloc(f->arena, n * (size_t)one * sizeof *values);
    for (size_t i = 0; i < n; i++) ir_weight_read(parts[i], values + (int64_t)i * one, 0, one);
    t->rank = type->rank;
    memcpy(t->dims, type->dim, type->rank * sizeof *t->dims);
    t->dims[0] *= (int64_t)n;
    t->data = (const uint8_t *)values;
}

/* A tensor that is not part of the model: zeros of the shape in the text. */
static void put_surplus(ldm_fixture *f, fe_st_tensor *t, char *shape) {
    int64_t n = 1;
    for (char *s = strtok(shape, ","); s; s = strtok(NULL, ",")) n *= t->dims[t->rank++] = atoll(s);
    t->data = base_arena_alloc(f->arena, (size_t)n * sizeof(float));
}

static void add_line(ldm_fixture *f, const ir_module *m, char *line, bool *used) {
    char *words[2 + PARTS], *rest = line;
    size_t n = 0;
    line[strcspn(line, "\n")] = '\0';
    while (rest && n < 2 + PARTS) words[n++] = strsep(&rest, "\t");
    if (n < 3) stop("bad line", line);
    fe_st_tensor t = {.name = base_arena_strdup(f->arena, words[0]), .dtype = FE_ST_F32};
    char kind = words[1][0];
    if (kind == '-') {
        put_surplus(f, &t, words[2]);
        BASE_PUSH(&f->tensors, t);
        return;
    }
    const ir_weight *parts[PARTS];
    for (size_t i = 2; i < n; i++) {
        uint32_t index = ir_weight_find(m, words[i]);
        if (index == UINT32_MAX) stop("no such weight", words[i]);
        if (used[index]) stop("named twice", words[i]);
        used[index] = true;
        parts[i - 2] = &m->weights.items[index];
    }
    put_together(f, &t, parts, n - 2);
    if (kind == 'T') put_transposed(f, &t);
    if (kind == 'C') {
        t.rank = 4;
        t.dims[2] = t.dims[3] = 1;
    }
    BASE_PUSH(&f->tensors, t);
}

void ldm_fixture_begin(ldm_fixture *f, const ir_module *m, const char *map_path) {
    *f = (ldm_fixture){.arena = base_arena_new()};
    FILE *file = fopen(map_path, "r");
    if (!file) stop("cannot open", map_path);
    bool *used = base_alloc(m->weights.count * sizeof *used);
    char line[1024];
    while (fgets(line, sizeof line, file)) add_line(f, m, line, used);
    fclose(file);
    for (size_t i = 0; i < m->weights.count; i++)
        if (!used[i]) stop("not in the map", m->weights.items[i].name);
    base_free(used);
}

void ldm_fixture_end(ldm_fixture *f) {
    base_free(f->tensors.items);
    base_arena_free(f->arena);
}

fe_st_tensor *ldm_fixture_tensor(ldm_fixture *f, const char *name) {
    for (size_t i = 0; i < f->tensors.count; i++)
        if (strcmp(f->tensors.items[i].name, name) == 0) return &f->tensors.items[i];
    stop("no tensor", name);
}

void ldm_fixture_add(ldm_fixture *f, const char *name, fe_st_dtype dtype, uint32_t rank,
                     const int64_t *dims) {
    fe_st_tensor t = {
        .name = name, .dtype = dtype, .rank = rank, .data = base_arena_alloc(f->arena, 4096)};
    for (uint32_t i = 0; i < rank; i++) t.dims[i] = dims[i];
    BASE_PUSH(&f->tensors, t);
}

void ldm_fixture_remove(ldm_fixture *f, const char *name) {
    *ldm_fixture_tensor(f, name) = f->tensors.items[f->tensors.count - 1];
    f->tensors.count--;
}

void ldm_fixture_write(const ldm_fixture *f, const char *path, const char *const (*metadata)[2],
                       size_t n) {
    base_diag *d = base_diag_new(NULL);
    if (!fe_st_write(d, path, f->tensors.items, f->tensors.count, metadata, n))
        stop("cannot write", path);
    base_diag_free(d);
}
