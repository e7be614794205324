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
    golden_file g = {0};
    g.bytes = golden_read(name, &g.size);
    uint64_t header = 0;
    if (g.size >= 8) memcpy(&header, g.bytes, 8);
    if (g.size < 8 || header > g.size - 8) {
        fprintf(stderr, "golden %s is damaged\n", name);
        exit(1);
    }
    g.header = malloc(header + 1);
    if (!g.header) exit(1);
    memcpy(g.header, g.bytes + 8, header);
    g.header[header] = 0;
    size_t rest = g.size - 8 - header;
    g.data = malloc(rest + 1); /* aligned for floats, as the file need not be */
    if (!g.data) exit(1);
    memcpy(g.data, g.bytes + 8 + header, rest);
    return g;
}

void golden_close(golden_file *g) {
    free(g->bytes);
    free(g->header);
    free(g->data);
    memset(g, 0, sizeof *g);
}

const float *golden_f32(const golden_file *g, const char *name, size_t *count) {
    char key[256];
    snprintf(key, sizeof key, "\"%s\": {", name);
    const char *at = strstr(g->header, key);
    if (!at) return NULL;
    const char *offsets = strstr(at, "\"data_offsets\": [");
    unsigned long long begin = 0, end = 0;
    if (!offsets || sscanf(offsets, "\"data_offsets\": [%llu, %llu]", &begin, &end) != 2)
        return NULL;
    *count = (size_t)(end - begin) / sizeof(float);
    return (const float *)(const void *)(g->data + begin);
}

int golden_says(const golden_file *g, const char *text) {
    return strstr(g->header, text) != NULL;
}
