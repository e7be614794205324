/* The tensors of a safetensors file, stored another way: resave IN OUT [--dtype F64|F32|F16|BF16]
 * [--legacy] [--shards N]. --legacy: attention of autoencoders under the names of before 2023, its
 * matrices as filters of one pixel. --shards: OUT.safetensors becomes
 * OUT-00001-of-0000N.safetensors ... and an index. */
#include "frontend/safetensors/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* f32 to f16 of values that came from f16, so nothing is rounded. */
static uint16_t to_f16(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000u, exponent = bits >> 23 & 255u, mantissa = bits & 0x7fffffu;
    if (exponent == 255) return (uint16_t)(sign | 0x7c00u | mantissa >> 13);
    if (exponent >= 113) return (uint16_t)(sign | (exponent - 112u) << 10 | mantissa >> 13);
    return (uint16_t)(sign | (exponent < 102 ? 0 : (mantissa | 0x800000u) >> (126u - exponent)));
}

static void *convert(const fe_st_tensor *t, fe_st_dtype to) {
    size_t size = fe_st_dtype_size(to);
    float *values = malloc((t->count + 1) * sizeof *values);
    char *out = malloc((t->count + 1) * size);
    fe_st_to_f32(t, values, 0, t->count);
    for (size_t i = 0; i < t->count; i++) {
        double wide = (double)values[i];
        uint16_t half = to_f16(values[i]);
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        if (to == FE_ST_BF16) half = (uint16_t)(bits >> 16);
        const void *from = to == FE_ST_F64   ? (const void *)&wide
                           : to == FE_ST_F32 ? (const void *)&bits
                                             : &half;
        memcpy(out + i * size, from, size);
    }
    free(values);
    return out;
}

static void legacy(fe_st_tensor *t) {
    static const char *const names[][2] = {{".to_q.", ".query."},
                                           {".to_k.", ".key."},
                                           {".to_v.", ".value."},
                                           {".to_out.0.", ".proj_attn."}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *at = strstr(t->name, names[i][0]);
        if (!at) continue;
        size_t room = strlen(t->name) + 16;
        char *name = malloc(room);
        snprintf(name, room, "%.*s%s%s", (int)(at - t->name), t->name, names[i][1],
                 at + strlen(names[i][0]));
        t->name = name;
        if (t->rank == 2) t->dims[2] = t->dims[3] = 1, t->rank = 4;
        return;
    }
}

static bool write_shards(base_diag *d, const char *out, const fe_st_tensor *t, size_t n,
                         size_t shards) {
    char path[4096], index[4096];
    const char *slash = strrchr(out, '/');
    const char *base = slash ? slash + 1 : out;
    int stem = (int)(strlen(out) - strlen(".safetensors"));
    int base_stem = (int)(strlen(base) - strlen(".safetensors"));
    snprintf(index, sizeof index, "%s.index.json", out);
    FILE *f = fopen(index, "w");
    if (!f) return false;
    fprintf(f, "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");
    for (size_t s = 0, first = 0; s < shards; s++) {
        size_t end = n * (s + 1) / shards;
        snprintf(path, sizeof path, "%.*s-%05zu-of-%05zu.safetensors", stem, out, s + 1, shards);
        if (!fe_st_write(d, path, t + first, end - first, NULL, 0)) {
            fclose(f);
            return false;
        }
        for (; first < end; first++)
            fprintf(f, "%s\n\"%s\": \"%.*s-%05zu-of-%05zu.safetensors\"", first ? "," : "",
                    t[first].name, base_stem, base, s + 1, shards);
    }
    fprintf(f, "}}\n");
    return fclose(f) == 0;
}

int main(int argc, char **argv) {
    const char *dtype = NULL;
    size_t shards = 0;
    bool old = false;
    for (int i = 3; i < argc; i++) {
        if (!strcmp(argv[i], "--dtype") && i + 1 < argc)
            dtype = argv[++i];
        else if (!strcmp(argv[i], "--shards") && i + 1 < argc)
            shards = (size_t)atoi(argv[++i]);
        else if (!strcmp(argv[i], "--legacy"))
            old = true;
    }
    base_diag *d = base_diag_new(NULL);
    fe_st *st = argc > 2 ? fe_st_open(d, argv[1]) : NULL;
    bool fine = st != NULL;
    if (fine) {
        size_t n = fe_st_count(st);
        fe_st_tensor *t = calloc(n + 1, sizeof *t);
        for (size_t i = 0; i < n; i++) {
            t[i] = *fe_st_at(st, i);
            for (int to = FE_ST_F64; dtype && to <= FE_ST_BF16; to++)
                if (!strcmp(dtype, fe_st_dtype_name((fe_st_dtype)to))) {
                    t[i].data = convert(fe_st_at(st, i), (fe_st_dtype)to);
                    t[i].dtype = (fe_st_dtype)to;
                }
            if (old) legacy(&t[i]);
        }
        fine = shards ? write_shards(d, argv[2], t, n, shards)
                      : fe_st_write(d, argv[2], t, n, NULL, 0);
        for (size_t i = 0; i < n; i++) {
            const fe_st_tensor *from = fe_st_at(st, i);
            if (t[i].data != from->data) free((void *)(uintptr_t)t[i].data);
            if (t[i].name != from->name) free((void *)(uintptr_t)t[i].name);
        }
        free(t);
    }
    fe_st_close(st);
    base_diag_flush(d);
    base_diag_free(d);
    return fine ? 0 : 1;
}
