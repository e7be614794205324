/* gguf_file IN OUT TYPE [--original FOLDER] [--flatten] [--mute]: the tensors of a safetensors file as a GGUF
 * file, whose matrices and filters have elements of TYPE (F32, F16, Q8_0, Q4_0) where their rows are
 * whole blocks; others are F16, lists F32. --original: a U-Net in the names of the original
 * implementation; FOLDER is a component's, of the same U-Net. --flatten: rows are made whole blocks
 * of 256, and comfy.gguf.orig_shape.NAME says what they were, as ComfyUI-GGUF's converter has it;
 * --mute: nothing says it. */
#include "frontend/lora/lora.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALIGNMENT = 32,
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q8_0 = 8,
    VALUE_STRING = 8,
    VALUE_ARRAY = 9,
    VALUE_I32 = 5
};

typedef struct out_tensor {
    const fe_st_tensor *t;
    const char *name;
    int type;
    bool flat;
    uint64_t bytes;
} out_tensor;

static void put(FILE *f, uint64_t v, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) fputc((int)(v >> 8 * i & 255), f);
}

static void put_text(FILE *f, const char *s) {
    put(f, strlen(s), 8);
    fputs(s, f);
}

/* Rounded to nearest; numbers that have no normal binary16 become 0. */
static uint16_t to_f16(float v) {
    int e;
    double m = frexp(fabs((double)v), &e), scaled = rint(ldexp(m, 11));
    uint32_t sign = signbit(v) ? 0x8000u : 0;
    if (scaled == 2048.0) scaled = 1024.0, e++;
    if (v == 0.0f || e < -23) return (uint16_t)sign;
    if (e < -13) return (uint16_t)(sign | (uint32_t)rint(ldexp(fabs((double)v), 24)));
    return (uint16_t)(sign | (uint32_t)(e + 14) << 10 | ((uint32_t)scaled & 1023u));
}

static void put_block(FILE *f, const float *v, int type) {
    float most = 0.0f;
    for (int i = 0; i < 32; i++)
        if (fabsf(v[i]) > fabsf(most)) most = v[i];
    if (type == Q8_0) {
        float d = fabsf(most) / 127.0f;
        put(f, to_f16(d), 2);
        for (int i = 0; i < 32; i++) put(f, (uint8_t)(int8_t)lrintf(d > 0 ? v[i] / d : 0), 1);
        return;
    }
    float d = most / -8.0f;
    put(f, to_f16(d), 2);
    for (int i = 0; i < 16; i++) {
        long low = d != 0 ? lrintf(v[i] / d) + 8 : 8, high = d != 0 ? lrintf(v[i + 16] / d) + 8 : 8;
        if (low > 15) low = 15;
        if (high > 15) high = 15;
        put(f, (uint64_t)(low | high << 4), 1);
    }
}

static void put_elements(FILE *f, const out_tensor *o) {
    float *v = malloc((o->t->count + 1) * sizeof *v);
    fe_st_to_f32(o->t, v, 0, o->t->count);
    for (size_t i = 0; i < o->t->count; i++) {
        uint32_t bits;
        memcpy(&bits, &v[i], sizeof bits);
        if (o->type == F32) put(f, bits, 4);
        if (o->type == F16) put(f, to_f16(v[i]), 2);
        if (o->type > F16 && i % 32 == 0) put_block(f, v + i, o->type);
    }
    free(v);
}

static void choose(out_tensor *o, int type, bool flatten) {
    const fe_st_tensor *t = o->t;
    int64_t row = t->rank ? t->dims[t->rank - 1] : 1;
    o->flat = flatten && t->rank > 1 && t->count >= 512 && t->count % 256 == 0 && row % 256 != 0;
    if (o->flat) row = 256;
    o->type = t->rank < 2 ? F32 : type > F16 && row % 32 ? F16 : type;
    o->bytes = o->type == F32   ? t->count * 4
               : o->type == F16 ? t->count * 2
                                : t->count / 32 * (o->type == Q8_0 ? 34 : 18);
}

static uint64_t padded(uint64_t n) {
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void put_info(FILE *f, const out_tensor *o, uint64_t offset) {
    const fe_st_tensor *t = o->t;
    uint32_t first = 0; /* as ggml does, leading dimensions of 1 are left out */
    while (first + 1 < t->rank && t->dims[first] == 1) first++;
    put_text(f, o->name);
    put(f, o->flat ? 2 : t->rank ? t->rank - first : 1, 4);
    if (o->flat) {
        put(f, 256, 8);
        put(f, t->count / 256, 8);
    } else {
        for (uint32_t i = t->rank; i-- > first;) put(f, (uint64_t)t->dims[i], 8);
        if (!t->rank) put(f, 1, 8);
    }
    put(f, (uint64_t)o->type, 4);
    put(f, offset, 8);
}

static void put_shape(FILE *f, const out_tensor *o) {
    char key[512];
    snprintf(key, sizeof key, "comfy.gguf.orig_shape.%s", o->name);
    put_text(f, key);
    put(f, VALUE_ARRAY, 4);
    put(f, VALUE_I32, 4);
    put(f, o->t->rank, 8);
    for (uint32_t i = 0; i < o->t->rank; i++) put(f, (uint64_t)o->t->dims[i], 4);
}

static bool write_file(const char *path, const out_tensor *o, size_t n, bool mute) {
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    size_t flat = 0;
    uint64_t offset = 0;
    for (size_t i = 0; i < n; i++) flat += o[i].flat && !mute;
    fputs("GGUF", f);
    put(f, 3, 4);
    put(f, n, 8);
    put(f, flat + 1, 8);
    put_text(f, "general.architecture");
    put(f, VALUE_STRING, 4);
    put_text(f, "sd1");
    for (size_t i = 0; i < n; i++)
        if (o[i].flat && !mute) put_shape(f, &o[i]);
    for (size_t i = 0; i < n; i++, offset = padded(offset)) {
        put_info(f, &o[i], offset);
        offset += o[i].bytes;
    }
    for (size_t i = 0; i < n; i++) {
        while (ftell(f) % ALIGNMENT) fputc(0, f);
        put_elements(f, &o[i]);
    }
    return fclose(f) == 0;
}

int main(int argc, char **argv) {
    static const char *const names[] = {
        [F32] = "F32", [F16] = "F16", [Q4_0] = "Q4_0", [Q8_0] = "Q8_0"};
    const char *original = NULL;
    bool flatten = false, mute = false;
    int type = -1;
    for (int i = 4; i < argc; i++) {
        if (!strcmp(argv[i], "--original") && i + 1 < argc) original = argv[++i];
        if (!strcmp(argv[i], "--flatten")) flatten = true;
        if (!strcmp(argv[i], "--mute")) mute = true;
    }
    for (int i = 0; argc > 3 && i <= Q8_0; i++)
        if (names[i] && !strcmp(argv[3], names[i])) type = i;
    if (type < 0) {
        fprintf(stderr,
                "usage: gguf_file IN OUT F32|F16|Q4_0|Q8_0 [--original FOLDER] [--flatten]\n");
        return 2;
    }
    base_diag *d = base_diag_new(NULL);
    base_arena *a = base_arena_new();
    fe_st *st = fe_st_open(d, argv[1]);
    ldm_file ldm = {0};
    ir_module *m = original ? fe_load(d, original, &(fe_options){0}) : NULL;
    bool fine = st && (!original || m);
    if (fine) {
        size_t n = fe_st_count(st);
        out_tensor *o = calloc(n + 1, sizeof *o);
        if (m) fe_lora_ldm_read(m, &ldm.unet);
        for (size_t i = 0; i < n; i++) {
            o[i].t = fe_st_at(st, i);
            o[i].name = m ? ldm_place(&ldm, "unet", a, o[i].t->name) : o[i].t->name;
            choose(&o[i], type, flatten);
        }
        fine = write_file(argv[2], o, n, mute);
        free(o);
    }
    ir_module_free(m);
    fe_st_close(st);
    base_arena_free(a);
    base_diag_flush(d);
    base_diag_free(d);
    return fine ? 0 : 1;
}
