/* GGUF files: what is read from sound ones, and what is said of others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/safetensors/safetensors.h"
#include "frontend/safetensors/tensor_ref.h"
#include "tests/unit/support/captured_diag.h"

/* ---- files in memory ---- */

typedef struct file {
    unsigned char bytes[4096];
    size_t size;
} file;

static void put(file *f, uint64_t v, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) f->bytes[f->size++] = (unsigned char)(v >> 8 * i);
}

static void put_text(file *f, const char *s) {
    put(f, strlen(s), 8);
    memcpy(f->bytes + f->size, s, strlen(s));
    f->size += strlen(s);
}

static file begin(uint64_t version, uint64_t tensors, uint64_t pairs) {
    file f = {.bytes = "GGUF", .size = 4};
    put(&f, version, 4);
    put(&f, tensors, 8);
    put(&f, pairs, 8);
    return f;
}

static void put_tensor(file *f, const char *name, unsigned rank, const uint64_t *ne, uint64_t type,
                       uint64_t offset) {
    put_text(f, name);
    put(f, rank, 4);
    for (unsigned i = 0; i < rank; i++) put(f, ne[i], 8);
    put(f, type, 4);
    put(f, offset, 8);
}
#define NE(...)                                                                                    \
    (const uint64_t[]) {                                                                           \
        __VA_ARGS__                                                                                \
    }

/* The data begins at a multiple of 32 and is `bytes` long: 0, 1, 2 ... */
static void put_data(file *f, size_t bytes) {
    while (f->size % 32) put(f, 0, 1);
    for (size_t i = 0; i < bytes; i++) put(f, i, 1);
}

/* On the heap, so that a sanitizer sees a byte too far. */
static fe_st *open_file(base_diag *d, const file *f) {
    unsigned char *exact = base_alloc(f->size);
    memcpy(exact, f->bytes, f->size);
    fe_st *st = fe_st_open_memory(d, "x.gguf", exact, f->size);
    if (!st) base_free(exact);
    return st;
}

static void close_file(fe_st *st, const file *f, size_t first_tensor_at) {
    unsigned char *exact = (unsigned char *)(uintptr_t)fe_st_at(st, 0)->data - first_tensor_at;
    assert_true(first_tensor_at < f->size);
    fe_st_close(st);
    base_free(exact);
}

/* ---- sound files ---- */

enum { F32 = 0, Q8_0 = 8, Q2_K = 10, Q8_1 = 9, I32 = 26 };
enum { U8 = 0, U32 = 4, VALUE_I32 = 5, BOOLEAN = 7, STRING = 8, ARRAY = 9, F64 = 12 };

static void sound(void **state) {
    (void)state;
    for (uint64_t version = 2; version <= 3; version++) {
        file f = begin(version, 3, 5);
        put_text(&f, "general.architecture"), put(&f, STRING, 4), put_text(&f, "sd1");
        put_text(&f, "flag"), put(&f, BOOLEAN, 4), put(&f, 1, 1);
        put_text(&f, "wide"), put(&f, F64, 4), put(&f, 0, 8);
        put_text(&f, "names"), put(&f, ARRAY, 4), put(&f, STRING, 4), put(&f, 2, 8);
        put_text(&f, "a"), put_text(&f, "");
        put_text(&f, "comfy.gguf.orig_shape.flat"), put(&f, ARRAY, 4), put(&f, VALUE_I32, 4);
        put(&f, 4, 8), put(&f, 2, 4), put(&f, 8, 4), put(&f, 2, 4), put(&f, 2, 4);
        put_tensor(&f, "matrix", 2, NE(3, 2), F32, 96);
        put_tensor(&f, "flat", 2, NE(32, 2), Q8_0, 0);
        put_tensor(&f, "row", 1, NE(3), F32, 128);
        put_data(&f, 128 + 12);
        base_diag *d = base_diag_new(NULL);
        fe_st *st = open_file(d, &f);
        assert_non_null(st);
        assert_int_equal(fe_st_count(st), 3);
        assert_string_equal(fe_st_metadata(st, "general.architecture"), "sd1");
        const fe_st_tensor *matrix = fe_st_find(st, "matrix"), *flat = fe_st_find(st, "flat");
        assert_int_equal(matrix->rank, 2); /* ggml names the innermost dimension first */
        assert_int_equal(matrix->dims[0], 2);
        assert_int_equal(matrix->dims[1], 3);
        assert_int_equal(matrix->data[0], 96);
        assert_int_equal(flat->rank, 4);
        assert_int_equal(flat->dims[1], 8);
        assert_int_equal(flat->bytes, 2 * 34);
        assert_string_equal(fe_st_dtype_name(flat->dtype), "Q8_0");

        /* d is 0x0100, the numbers are 2, 3 ... */
        float want = 0x1p-16f * 2.0f, got;
        fe_st_to_f32(flat, &got, 0, 1);
        assert_true(got == want);
        fe_tensor_view v;
        assert_true(fe_tensor_find(st, "flat[1:2]", &v)); /* a whole block */
        assert_null(v.copy);
        assert_int_equal(v.data - flat->data, 34);
        /* a first dimension of 1 comes back where it is asked for */
        assert_true(fe_tensor_find(st, "row", &v));
        fe_tensor_add_ones(&v, 2, (int64_t[]){1, 4});
        assert_int_equal(v.rank, 1);
        fe_tensor_add_ones(&v, 2, (int64_t[]){1, 3});
        assert_int_equal(v.rank, 2);
        close_file(st, &f, f.size - 140);
        base_diag_free(d);
    }
}

/* Rows that begin inside of a block, and transposes, are copied as numbers. */
static void parts_of_blocks(void **state) {
    (void)state;
    file f = begin(3, 1, 1);
    put_text(&f, "comfy.gguf.orig_shape.m"), put(&f, ARRAY, 4), put(&f, VALUE_I32, 4);
    put(&f, 2, 8), put(&f, 4, 4), put(&f, 8, 4);
    put_tensor(&f, "m", 1, NE(32), Q8_0, 0);
    put_data(&f, 34);
    base_diag *d = base_diag_new(NULL);
    fe_st *st = open_file(d, &f);
    float all[32], got;
    fe_tensor_view v;
    fe_st_to_f32(fe_st_at(st, 0), all, 0, 32);
    assert_true(fe_tensor_find(st, "m[1:3]", &v));
    assert_int_equal(v.dtype, FE_ST_F32);
    assert_memory_equal(v.data, all + 8, 16 * sizeof *all);
    base_free((void *)(uintptr_t)v.copy);
    assert_true(fe_tensor_find(st, "m.T", &v));
    memcpy(&got, v.data + sizeof got, sizeof got); /* row 0, column 1 */
    assert_true(got == all[8]);
    base_free((void *)(uintptr_t)v.copy);
    close_file(st, &f, f.size - 34);
    base_diag_free(d);
}

/* ---- other files ---- */

static void refused(const file *f, const char *message) {
    capture c;
    capture_begin(&c, (base_diag_options){0});
    if (open_file(c.diag, f)) fail_msg("read, of %zu bytes; expected <%s>", f->size, message);
    if (!strstr(captured(&c), message)) fail_msg("expected <%s> in <%s>", message, captured(&c));
    capture_end(&c);
}

static void headers(void **state) {
    (void)state;
    file f = begin(3, 0, 0);
    for (size_t n = 4; n < 24; n++) {
        file cut = f;
        cut.size = n;
        refused(&cut, "the file is truncated");
    }
    f = begin(0x03000000, 0, 0);
    refused(&f, "a big-endian GGUF file");
    f = begin(1, 0, 0);
    refused(&f, "version 1; convert the model again");
    f = begin(4, 0, 0);
    refused(&f, "version 4; 2 and 3 are read");
    f = begin(3, 1ull << 63, 0);
    refused(&f, "9223372036854775808 tensors are more than the file can have");
    f = begin(3, 0, UINT64_MAX);
    refused(&f, "keys are more than the file can have");
}

static void metadata(void **state) {
    (void)state;
    file f = begin(3, 0, 1), g;
    put_text(&f, "key");
    g = f, put(&g, ARRAY, 4), put(&g, ARRAY, 4), put(&g, 1, 8), put(&g, 0, 8);
    refused(&g, "key 'key': error: an array of arrays");
    g = f, put(&g, 13, 4);
    refused(&g, "a value of the unknown type 13");
    g = f, put(&g, ARRAY, 4), put(&g, 99, 4), put(&g, 1, 8);
    refused(&g, "an array of the unknown type 99");
    g = f, put(&g, STRING, 4), put(&g, 1ull << 62, 8), put(&g, 0, 8);
    refused(&g, "the file is truncated");
    g = f, put(&g, ARRAY, 4), put(&g, F64, 4), put(&g, 1ull << 61, 8);
    refused(&g, "an array of 2305843009213693952 values");
    g = f, put(&g, ARRAY, 4), put(&g, STRING, 4), put(&g, 1ull << 40, 8), put(&g, 0, 8);
    refused(&g, "the file is truncated");
    g = f, put(&g, ARRAY, 4), put(&g, U32, 4), put(&g, 3, 8), put(&g, 0, 8);
    refused(&g, "the file is truncated");
    g = begin(3, 0, 2);
    for (int i = 0; i < 2; i++) put_text(&g, "key"), put(&g, U8, 4), put(&g, 0, 1);
    refused(&g, "key 'key': error: the key is given twice");
    g = begin(3, 0, 1);
    put(&g, 3, 8), put(&g, 0x41ff41, 3), put(&g, U8, 4), put(&g, 0, 1);
    refused(&g, "the name of a key is no text in UTF-8");
    for (uint64_t alignment = 0; alignment < 49; alignment += 24) {
        g = begin(3, 0, 1);
        put_text(&g, "general.alignment"), put(&g, U32, 4), put(&g, alignment, 4);
        refused(&g, "which is no power of two");
    }
    g = begin(3, 0, 1);
    put_text(&g, "general.alignment"), put(&g, STRING, 4), put_text(&g, "32");
    refused(&g, "the alignment is no number of 32 bits");
    g = begin(3, 0, 1);
    put_text(&g, "comfy.gguf.orig_shape.x"), put(&g, ARRAY, 4), put(&g, VALUE_I32, 4);
    put(&g, 1, 8), put(&g, UINT32_MAX, 4);
    refused(&g, "a dimension that is no size");
}

static void tensors(void **state) {
    (void)state;
    file f = begin(3, 1, 0), g;
    g = f, put_tensor(&g, "t", 2, NE(1ull << 40, 1ull << 40), F32, 0);
    refused(&g, "tensor 't': error: shape [1099511627776, 1099511627776] has more elements");
    g = f, put_tensor(&g, "t", 1, NE(1ull << 63), F32, 0);
    refused(&g, "a dimension of 9223372036854775808");
    g = f, put_tensor(&g, "t", 1, NE(1ull << 62), F32, 0);
    refused(&g, "the size of shape [4611686018427387904] in F32 overflows");
    g = f, put_tensor(&g, "t", 5, NE(1, 1, 1, 1, 1), F32, 0);
    refused(&g, "5 dimensions; there can be 4");
    g = f, put_tensor(&g, "t", 1, NE(33), Q8_0, 0);
    refused(&g, "rows of shape [33] are no whole blocks of Q8_0, which are 32 elements");
    g = f, put_tensor(&g, "t", 1, NE(128), Q2_K, 0);
    refused(&g, "no whole blocks of Q2_K, which are 256 elements");
    g = f, put_tensor(&g, "t", 1, NE(32), Q8_1, 0);
    refused(&g, "unsupported: elements of type Q8_1");
    g = f, put_tensor(&g, "t", 1, NE(32), 999, 0);
    refused(&g, "unsupported: elements of the unknown type 999");
    g = f, put_tensor(&g, "t", 1, NE(8), F32, 4), put_data(&g, 64);
    refused(&g, "offset 4 is no multiple of the alignment 32");
    g = f, put_tensor(&g, "t", 1, NE(8), F32, UINT64_MAX - 31), put_data(&g, 64);
    refused(&g, "and 32 bytes overflow");
    g = f, put_tensor(&g, "t", 1, NE(8), F32, 0), put_data(&g, 31);
    refused(&g, "tensor 't': error: the file is truncated: the tensor ends at byte 32");
    g = f, put_tensor(&g, "t", 1, NE(8), F32, 1ull << 40), put_data(&g, 64);
    refused(&g, "the file is truncated");
    g = f, put_tensor(&g, "", 1, NE(8), F32, 0), put_data(&g, 32);
    refused(&g, "the name of a tensor is empty");
    f = begin(3, 2, 0);
    g = f, put_tensor(&g, "t", 1, NE(16), F32, 0), put_tensor(&g, "u", 1, NE(16), F32, 32);
    put_data(&g, 96);
    refused(&g, "tensor 'u': error: overlaps tensor 't' by 32 bytes");
    g = f, put_tensor(&g, "t", 1, NE(8), F32, 0), put_tensor(&g, "t", 1, NE(8), F32, 32);
    put_data(&g, 64);
    refused(&g, "tensor 't': error: the name is given twice");
    /* all bad ones at once */
    g = f, put_tensor(&g, "t", 1, NE(32), Q8_1, 0), put_tensor(&g, "u", 1, NE(32), 15, 0);
    refused(&g, "tensor 'u': error: unsupported: elements of type Q8_K");
    g = begin(3, 1, 1);
    put_text(&g, "comfy.gguf.orig_shape.t"), put(&g, ARRAY, 4), put(&g, VALUE_I32, 4);
    put(&g, 2, 8), put(&g, 3, 4), put(&g, 3, 4);
    put_tensor(&g, "t", 1, NE(8), I32, 0), put_data(&g, 32);
    refused(&g, "is [8], which 'comfy.gguf.orig_shape.' says was [3, 3]: not as many elements");
}

/* Every beginning of a sound file is refused or has all its tensors inside. */
static void cut_files(void **state) {
    (void)state;
    file f = begin(3, 1, 1);
    put_text(&f, "names"), put(&f, ARRAY, 4), put(&f, STRING, 4), put(&f, 1, 8), put_text(&f, "a");
    put_tensor(&f, "t", 2, NE(32, 2), Q8_0, 0), put_data(&f, 68);
    for (size_t n = 4; n < f.size; n++) {
        file cut = f;
        cut.size = n;
        refused(&cut, "the file "); /* is truncated, cannot have so many */
    }
}

int main(void) {
    const struct CMUnitTest all[] = {
        cmocka_unit_test(sound),    cmocka_unit_test(parts_of_blocks), cmocka_unit_test(headers),
        cmocka_unit_test(metadata), cmocka_unit_test(tensors),         cmocka_unit_test(cut_files),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
