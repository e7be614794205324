#include "tests/unit/support/golden_file.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef EBRU_GOLDENS_DIR
#error "EBRU_GOLDENS_DIR is the path of tests/goldens"
#endif

char *golden_read(const char *name, size_t *size) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", EBRU_GOLDENS_DIR, name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "cannot open golden %s\n", path);
        exit(1);
    }
    fseek(f, 0, SEEK_END);
    long end = ftell(f);
    rewind(f);
    size_t n = end > 0 ? (size_t)end : 0;
    char *bytes = malloc(n + 1);
    if (!bytes || fread(bytes, 1, n, f) != n) {
        fprintf(stderr, "cannot read golden %s\n", path);
        exit(1);
    }
    fclose(f);
    bytes[n] = 0;
    *size = n;
    return bytes;
}

golden_file golden_open(const char *name) {
    golden_file g = {.diag = base_diag_new(NULL)};
    size_t size;
    char *bytes = golden_read(name, &size);
    uint64_t header = 0;
    if (size >= 8) memcpy(&header, bytes, 8);
    if (size >= 8 && header <= size - 8)
        g.header = base_json_parse(g.diag, name, bytes + 8, (size_t)header, NULL);
    if (!g.header) {
        fprintf(stderr, "golden %s is damaged\n", name);
        exit(1);
    }
    size_t rest = size - 8 - (size_t)header;
    g.data = malloc(rest + 1); /* aligned for floats, as the file need not be */
    if (!g.data) exit(1);
    memcpy(g.data, bytes + 8 + header, rest);
    free(bytes);
    return g;
}

void golden_close(golden_file *g) {
    base_json_free(g->header);
    base_diag_free(g->diag);
    free(g->data);
    memset(g, 0, sizeof *g);
}

const float *golden_f32(const golden_file *g, const char *name, size_t *count) {
    base_jval at = base_json_get(base_json_get(base_json_root(g->header), name), "data_offsets");
    int64_t offsets[2];
    size_t n;
    if (!base_json_present(at) || !base_json_ints(at, offsets, 2, &n, 0, INT64_MAX) || n != 2)
        return NULL;
    *count = (size_t)(offsets[1] - offsets[0]) / sizeof(float);
    return (const float *)(const void *)(g->data + offsets[0]);
}

const char *golden_says(const golden_file *g, const char *key) {
    base_jval metadata = base_json_get(base_json_root(g->header), "__metadata__");
    const char *text = NULL;
    base_jval v = base_json_get(metadata, key);
    return base_json_present(v) && base_json_string(v, &text) ? text : NULL;
}
