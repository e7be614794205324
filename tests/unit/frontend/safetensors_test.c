/* safetensors: one test per error of the reference implementation, shards, conversions, the writer.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/arena.h"
#include "frontend/safetensors/safetensors.h"
#include "tests/unit/support/fixture.h"

/* ---- building files ---- */

typedef struct image {
    uint8_t *data;
    size_t size;
} image;

/* A file of exactly its size on the heap, so that ASan sees a read behind it. */
static image make_n(uint64_t length, const char *header, size_t header_size, size_t data_size) {
    image f = {malloc(8 + header_size + data_size), 8 + header_size + data_size};
    for (int i = 0; i < 8; i++) f.data[i] = (uint8_t)(length >> (8 * i));
    memcpy(f.data + 8, header, header_size);
    for (size_t i = 0; i < data_size; i++) f.data[8 + header_size + i] = (uint8_t)i;
    return f;
}

static image make(const char *header, size_t data_size) {
    return make_n(strlen(header), header, strlen(header), data_size);
}

/* The file must be refused with `errors` errors, the first one being `message`. */
static void refuse_image(image f, unsigned errors, const char *message) {
    capture c;
    capture_begin(&c, (base_diag_options){0});
    fe_st *st = fe_st_open_memory(c.diag, "m.st", f.data, f.size);
    if (st || base_diag_errors(c.diag) != errors ||
        strncmp(captured(&c), message, strlen(message)) != 0) {
        fail_msg("<%.*s>: expected %u errors <%s>, got %u <%s>",
                 f.size < 8     ? 0
                 : f.size < 208 ? (int)f.size - 8
                                : 200,
                 (const char *)f.data + 8, errors, message, base_diag_errors(c.diag), captured(&c));
    }
    capture_end(&c);
    free(f.data);
}

static void refuse(const char *header, size_t data_size, unsigned errors, const char *message) {
    refuse_image(make(header, data_size), errors, message);
}

static fe_st *accept(capture *c, image f) {
    fe_st *st = fe_st_open_memory(c->diag, "m.st", f.data, f.size);
    if (!st || base_diag_errors(c->diag)) fail_msg("refused: %s", captured(c));
    return st;
}

#define TENSOR(name, dtype, shape, begin, end)                                                     \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end \
    "]}"

/* ---- the reference's errors, by their names there ---- */

static void header_too_small(void **state) {
    (void)state;
    refuse_image((image){calloc(1, 1), 0}, 1, "m.st: error: the file is empty");
    for (size_t n = 1; n < 8; n++) {
        image f = {calloc(1, n), n};
        refuse_image(f, 1, "m.st: error: too short for a safetensors file");
    }
}

static void header_too_large(void **state) {
    (void)state;
    static const uint64_t lengths[] = {100000001, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};
    for (size_t i = 0; i < 4; i++) {
        refuse_image(make_n(lengths[i], "{}", 2, 0), 1,
                     "m.st: error: not a safetensors file: header length");
    }
}

static void invalid_header_length(void **state) {
    (void)state;
    refuse_image(make_n(3, "{}", 2, 0), 1,
                 "m.st: error: the file is truncated: a header of 3 bytes, 2 bytes left");
    refuse_image(make_n(100000000, "{}", 2, 0), 1,
                 "m.st: error: the file is truncated: a header of 100000000");
}

static void invalid_header_not_utf8(void **state) {
    (void)state;
    refuse("{\"\xff\":1}", 0, 1, "m.st: header byte 2: error: the header is not valid UTF-8");
    refuse("{}\xe2\x82", 0, 1,
           "m.st: header byte 2: error: the header is not valid UTF-8"); /* ends with the file */
    refuse("{}  0123456789\xff  0123456789", 0, 1,
           "m.st: header byte 14: error: the header is not valid UTF-8");
    refuse("{}\xed\xa0\x80", 0, 1, "m.st: header byte 2: error: the header is not valid UTF-8");
}

static void invalid_header_not_json(void **state) {
    (void)state;
    refuse("", 0, 1, "m.st: header byte 0: error: the header is not valid JSON: the text is empty");
    refuse("{", 0, 1, "m.st: header byte 1: error: the header is not valid JSON");
    refuse("{\"a\":{}", 0, 4, "m.st: tensor 'a': error: missing key 'dtype'");
    refuse("{\"\\u12", 0, 1,
           "m.st: header byte 2: error: the header is not valid JSON: \\u needs four");
    refuse("{\"\\", 0, 1,
           "m.st: header byte 2: error: the header is not valid JSON: the text ends");
    refuse("{\"", 0, 1, "m.st: header byte 1: error: the header is not valid JSON: string without");
    refuse("[1]", 0, 1, "m.st: header byte 0: error: the header must be a JSON object");
    refuse("7", 0, 1, "m.st: header byte 0: error: the header must be a JSON object");
    refuse("{} x", 0, 1,
           "m.st: header byte 3: error: the header is not valid JSON: unexpected text");
    refuse("{\"a\":1,}", 0, 2, "m.st: tensor 'a': error: expected an object");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[01],\"data_offsets\":[0,4]}}", 4, 1,
           "m.st: header byte 29: error: the header is not valid JSON: number with a leading zero");
    refuse("{\"a\\u0000\":{}}", 0, 1,
           "m.st: header byte 3: error: the header is not valid JSON: a NUL character");
    char deep[300];
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"a\":", 5);
    refuse_image(make_n(sizeof deep, deep, sizeof deep, 0), 2,
                 "m.st: tensor 'a': error: expected an object");
}

static void invalid_offset(void **state) {
    (void)state;
    refuse("{" TENSOR("a", "U8", "[2]", 1, 3) "}", 3, 1,
           "m.st: tensor 'a': error: the first tensor begins at byte 1");
    refuse(
        "{" TENSOR("a", "U8", "[2]", 0, 2) "," TENSOR("b", "U8", "[2]", 3, 5) "}", 5, 1,
        "m.st: tensor 'b': error: 1 unused bytes between the end of tensor 'a' (2) and this one");
    refuse("{" TENSOR("a", "U8", "[2]", 0, 2) "," TENSOR("b", "U8", "[2]", 1, 3) "}", 3, 1,
           "m.st: tensor 'b': error: overlaps tensor 'a' by 1 bytes");
    refuse("{" TENSOR("a", "U8", "[2]", 2, 0) "}", 2, 1,
           "m.st: tensor 'a': error: data_offsets [2, 0] end before they begin");
    refuse("{" TENSOR("a", "U8", "[2]", 0, 2) "," TENSOR("b", "U8", "[2]", 0, 2) "}", 2, 1,
           "m.st: tensor 'b': error: overlaps tensor 'a' by 2 bytes");
}

static void tensor_invalid_info(void **state) {
    (void)state;
    refuse("{" TENSOR("a", "F32", "[2]", 0, 4) "}", 4, 1,
           "m.st: tensor 'a': error: shape [2] in F32 needs 8 bytes, data_offsets [0, 4] hold 4");
    refuse("{" TENSOR("a", "F32", "[]", 0, 0) "}", 0, 1,
           "m.st: tensor 'a': error: shape [] in F32 needs 4 bytes");
    refuse("{" TENSOR("a", "F16", "[0,4]", 0, 8) "}", 8, 1,
           "m.st: tensor 'a': error: shape [0, 4] in F16 needs 0");
}

static void metadata_incomplete_buffer_missing(void **state) {
    (void)state;
    refuse("{" TENSOR("a", "U8", "[2]", 0, 2) "}", 1, 1,
           "m.st: error: the file is truncated: the tensors need 2 bytes, it has 1");
    refuse("{" TENSOR("a", "F32", "[1099511627776]", 0, 4398046511104) "}", 1, 1,
           "m.st: error: the file is truncated");
}

static void metadata_incomplete_buffer_extra(void **state) {
    (void)state;
    refuse("{" TENSOR("a", "U8", "[2]", 0, 2) "}", 3, 1,
           "m.st: error: 1 unexpected bytes after the last tensor");
    refuse("{}", 1, 1, "m.st: error: 1 unexpected bytes after the last tensor");
}

static void validation_overflow_of_shape(void **state) {
    (void)state;
    refuse("{" TENSOR("a", "U8", "[4294967296,4294967296]", 0, 0) "}", 0, 1,
           "m.st: tensor 'a': error: shape [4294967296, 4294967296] has more elements than can be "
           "counted");
    /* also when a later dimension is 0 */
    refuse("{" TENSOR("a", "U8", "[4294967296,4294967296,0]", 0, 0) "}", 0, 1,
           "m.st: tensor 'a': error: shape");
}

static void validation_overflow_of_bytes(void **state) {
    (void)state;
    refuse("{" TENSOR("a", "F32", "[4611686018427387904]", 0, 0) "}", 0, 1,
           "m.st: tensor 'a': error: the size of shape [4611686018427387904] in F32 overflows");
}

static void misaligned_slice(void **state) {
    (void)state;
    refuse("{" TENSOR("a", "F4", "[3]", 0, 2) "}", 2, 1,
           "m.st: tensor 'a': error: shape [3] in F4 is not a whole number of bytes");
    refuse("{" TENSOR("a", "F6_E2M3", "[2]", 0, 2) "}", 2, 1,
           "m.st: tensor 'a': error: shape [2] in F6_E2M3 is not");
}

/* ---- beyond the reference's list ---- */

static void numbers_must_be_plain_integers(void **state) {
    (void)state;
#define WITH_SHAPE(s) "{\"a\":{\"dtype\":\"U8\",\"shape\":" s ",\"data_offsets\":[0,2]}}"
    refuse(WITH_SHAPE("[-2]"), 2, 1, "m.st: tensor 'a': error: shape: -2 is negative");
    refuse(WITH_SHAPE("[-1,-2]"), 2, 2, "m.st: tensor 'a': error: shape: -1 is negative");
    refuse(WITH_SHAPE("[2.0]"), 2, 1, "m.st: tensor 'a': error: shape must hold integers only");
    refuse(WITH_SHAPE("[2e0]"), 2, 1, "m.st: tensor 'a': error: shape must hold integers only");
    refuse(WITH_SHAPE("[\"2\"]"), 2, 1, "m.st: tensor 'a': error: shape must hold integers only");
    refuse(WITH_SHAPE("[[2]]"), 2, 1, "m.st: tensor 'a': error: shape must hold integers only");
    refuse(WITH_SHAPE("[null,{\"x\":[1]},true]"), 2, 1,
           "m.st: tensor 'a': error: shape must hold integers only");
    refuse(WITH_SHAPE("2"), 2, 1, "m.st: tensor 'a': error: shape must be an array of integers");
    refuse(WITH_SHAPE("{\"n\":2}"), 2, 1,
           "m.st: tensor 'a': error: shape must be an array of integers");
    refuse(WITH_SHAPE("[18446744073709551615]"), 2, 1,
           "m.st: tensor 'a': error: shape: 18446744073709551615 is too large");
    refuse(WITH_SHAPE("[9007199254740993]"), 2, 1,
           "m.st: tensor 'a': error: shape [9007199254740993] in U8 needs 9007199254740993 bytes");
#define WITH_OFFSETS(o) "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":" o "}}"
    refuse(WITH_OFFSETS("[0]"), 2, 1, "m.st: tensor 'a': error: data_offsets must be two integers");
    refuse(WITH_OFFSETS("[0,2,2]"), 2, 1,
           "m.st: tensor 'a': error: data_offsets has more than 2 numbers");
    refuse(WITH_OFFSETS("[]"), 2, 1, "m.st: tensor 'a': error: data_offsets must be two integers");
    refuse(WITH_OFFSETS("[0,-2]"), 2, 1, "m.st: tensor 'a': error: data_offsets: -2 is negative");
    refuse(WITH_OFFSETS("\"0,2\""), 2, 1, "m.st: tensor 'a': error: data_offsets must be an array");
}

static void rank_is_at_most_eight(void **state) {
    (void)state;
    refuse(WITH_SHAPE("[1,1,1,1,1,1,1,1,2]"), 2, 1,
           "m.st: tensor 'a': error: shape has more than 8 numbers");
    capture c;
    capture_begin(&c, (base_diag_options){0});
    image f = make(WITH_SHAPE("[1,1,1,1,1,1,1,2]"), 2);
    fe_st *st = accept(&c, f);
    assert_int_equal(fe_st_at(st, 0)->rank, 8);
    assert_int_equal(fe_st_at(st, 0)->dims[7], 2);
    fe_st_close(st);
    capture_end(&c);
    free(f.data);
}

static void dtypes_must_be_known_and_supported(void **state) {
    (void)state;
    refuse("{" TENSOR("a", "F33", "[2]", 0, 2) "}", 2, 1,
           "m.st: tensor 'a': error: unknown dtype 'F33'");
    refuse("{" TENSOR("a", "f32", "[2]", 0, 8) "}", 8, 1,
           "m.st: tensor 'a': error: unknown dtype 'f32'");
    refuse("{" TENSOR("a", "F8_E4M3", "[2]", 0, 2) "}", 2, 1,
           "m.st: tensor 'a': error: unsupported: dtype F8_E4M3");
    refuse("{" TENSOR("a", "F4", "[4]", 0, 2) "}", 2, 1,
           "m.st: tensor 'a': error: unsupported: dtype F4");
    refuse("{" TENSOR("a", "U64", "[1]", 0, 8) "}", 8, 1,
           "m.st: tensor 'a': error: unsupported: dtype U64");
    refuse("{\"a\":{\"dtype\":4,\"shape\":[2],\"data_offsets\":[0,2]}}", 2, 1,
           "m.st: tensor 'a': error: dtype must be a string");
}

static void keys_of_a_tensor(void **state) {
    (void)state;
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[2]}}", 2, 1,
           "m.st: tensor 'a': error: missing key 'data_offsets'");
    refuse("{\"a\":{}}", 0, 3, "m.st: tensor 'a': error: missing key 'dtype'");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2],\"scale\":{\"x\":[1]}}}",
           2, 1, "m.st: tensor 'a': error: unknown key 'scale'");
    refuse("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, 1,
           "m.st: tensor 'a': error: duplicate key 'dtype'");
    refuse("{\"a\":{\"dtype\":\"U8\",\"d\\u0074ype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
           2, 1, "m.st: tensor 'a': error: duplicate key 'dtype'");
}

static void duplicate_names_are_named(void **state) {
    (void)state;
    refuse("{" TENSOR("a", "U8", "[2]", 0, 2) "," TENSOR("a", "U8", "[2]", 2, 4) "}", 4, 1,
           "m.st: tensor 'a': error: the name is given twice, at header bytes 1 and 53");
    /* zero-byte tensors pass the reference's contiguity check */
    refuse("{" TENSOR("a", "U8", "[0]", 0, 0) "," TENSOR("a", "U8", "[0]", 0, 0) "}", 0, 1,
           "m.st: tensor 'a': error: the name is given twice");
    refuse("{" TENSOR("a", "U8", "[0]", 0, 0) "," TENSOR("\\u0061", "U8", "[0]", 0, 0) "}", 0, 1,
           "m.st: tensor 'a': error: the name is given twice");
    refuse("{\"__metadata__\":{},\"__metadata__\":{}}", 0, 1,
           "m.st: header byte 19: error: duplicate key '__metadata__'");
    refuse("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, 1,
           "m.st: header byte 32: error: duplicate key 'k' in __metadata__");
}

static void metadata_values_are_strings(void **state) {
    (void)state;
    refuse("{\"__metadata__\":{\"k\":1}}", 0, 1,
           "m.st: header byte 21: error: __metadata__ value of 'k' must be a string");
    refuse("{\"__metadata__\":{\"k\":[1,}}", 0, 2,
           "m.st: header byte 21: error: __metadata__ value");
    refuse("{\"__metadata__\":{\"k\":\"1\",", 0, 1,
           "m.st: header byte 25: error: the header is not valid JSON");
    refuse("{\"__metadata__\":[]}", 0, 1,
           "m.st: header byte 16: error: __metadata__ must be an object of strings");
    refuse("{\"__metadata__\":{\"k\":{\"x\":[1,{}]}, \"l\":null}}", 0, 2,
           "m.st: header byte 21: error: __metadata__ value");
}

static void null_metadata_is_none(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    image f = make("{\"__metadata__\":null}", 0);
    fe_st *st = accept(&c, f);
    assert_int_equal(fe_st_metadata_count(st), 0);
    fe_st_close(st);
    free(f.data);
    capture_end(&c);
}

static void all_bad_tensors_are_reported(void **state) {
    (void)state;
    refuse("{" TENSOR("a", "F32", "[2]", 0, 4) "," TENSOR("b", "U8", "[1]", 4, 4) "," TENSOR(
               "c", "U8", "[1]", 4, 5) "," TENSOR("d", "U16", "[1]", 5, 7) "}",
           7, 3, "m.st: tensor 'a': error: shape [2] in F32 needs 8 bytes");
    refuse("{\"a\":1,\"b\":{\"dtype\":\"F9\"},\"c\":[]}", 0, 5,
           "m.st: tensor 'a': error: expected an object");
}

static void a_million_faults_stay_bounded(void **state) {
    (void)state;
    base_str s = {0};
    base_str_add(&s, "{\"a\":1");
    for (int i = 0; i < 100000; i++) base_str_add(&s, ",\"a\":{}");
    base_str_add(&s, "}");
    refuse(s.data, 0, 100, "m.st: tensor 'a': error: expected an object");
    base_str_free(&s);
}

static void hostile_names_are_escaped(void **state) {
    (void)state;
    refuse("{" TENSOR("\\u001b[2J\xe2\x80\xae", "F9", "[2]", 0, 2) "}", 2, 1,
           "m.st: tensor '\\x1b[2J\\xe2\\x80\\xae': error: unknown dtype 'F9'");
}

static void other_formats_are_named(void **state) {
    (void)state;
#define ZIP(n, name)          "PK\3\4\24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" n "\0\0\0" name "\200\2}"
#define FILE_(bytes, message) {bytes, sizeof(bytes) - 1, message}
    static const struct {
        const char *bytes;
        size_t size;
        const char *message;
    } files[] = {
        FILE_("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        FILE_(ZIP("\20", "archive/data.pkl"),
              "a zip file with a PyTorch pickle in it, and reading"),
        FILE_(ZIP("\5", "a.npy"), "an archive of NumPy (.npz)"),
        FILE_(ZIP("\5", "a.txt"), "a zip file; unpack it first"),
        FILE_(ZIP("\5", "a"), "a zip file; unpack it first"),
        FILE_("\200\2}q\0.", "this is a pickle, and reading a pickle runs code from it"),
        FILE_("GGUF and more bytes", "a GGUF file of version 1684955424; 2 and 3 are read"),
        FILE_("<!DOCTYPE html>", "this is a web page"),
        FILE_("\n\n <!Doctype HTML>\n<html>", "this is a web page"),
        FILE_("\xef\xbb\xbf<HTML lang=\"en\">", "this is a web page"),
        FILE_("<!-- saved from url -->", "this is a web page"),
        FILE_("<?xml version=\"1.0\"?><Error>", "this is XML, perhaps what a server answered"),
        FILE_("{\"error\": \"none\"}\n", "this is text, not safetensors; perhaps what a server "
                                         "answered in place of the file: '{\"error\": \"none\"}'"),
        FILE_("Entry not found", "in place of the file: 'Entry not found'"),
        FILE_("caf\xc3\xa9 not found", "in place of the file: 'caf"),
        FILE_("\x7f"
              "ELF\2\1\1\0",
              "this is a program, not a model"),
        FILE_("ebru ir 2 graph\n", "this is IR text"),
        FILE_("", "the file is empty: a download that did not finish?"),
        FILE_("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "the file begins with zeros"),
        FILE_("<!\0\0\0\0\0\0{", "the file is truncated"), /* a header of 8508 bytes */
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        capture c;
        capture_begin(&c, (base_diag_options){0});
        assert_null(fe_st_open_memory(c.diag, "m.st", files[i].bytes, files[i].size));
        if (!strstr(captured(&c), files[i].message))
            fail_msg("'%s' does not say '%s'", captured(&c), files[i].message);
        assert_int_equal(base_diag_errors(c.diag), 1);
        capture_end(&c);
    }
}

/* ---- legal oddities ---- */

static void empty_and_scalar_tensors(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    image f = make("{" TENSOR("s", "F32", "[]", 0, 4) "," TENSOR(
                       "e", "F32", "[3,0]", 4, 4) "," TENSOR("f", "U8", "[0]", 0, 0) "}",
                   4);
    fe_st *st = accept(&c, f);
    assert_int_equal(fe_st_count(st), 3);
    const fe_st_tensor *s = fe_st_find(st, "s"), *e = fe_st_find(st, "e");
    assert_int_equal(s->rank, 0);
    assert_int_equal(s->count, 1);
    assert_int_equal(s->bytes, 4);
    assert_int_equal(e->count, 0);
    assert_int_equal(e->bytes, 0);
    fe_st_close(st);
    free(f.data);
    f = make("{}", 0);
    st = accept(&c, f);
    assert_int_equal(fe_st_count(st), 0);
    assert_null(fe_st_find(st, "a"));
    fe_st_close(st);
    free(f.data);
    capture_end(&c);
}

/* Offsets order the data, whatever the order of the names in the header. */
static void header_order_is_free(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    image f = make("{" TENSOR("a", "U8", "[1]", 2, 3) "," TENSOR("z", "U8", "[1]", 0, 1) "," TENSOR(
                       "m", "U8", "[1]", 1, 2) "}",
                   3);
    fe_st *st = accept(&c, f);
    assert_int_equal(fe_st_find(st, "a")->data[0], 2);
    assert_int_equal(fe_st_find(st, "z")->data[0], 0);
    assert_int_equal(fe_st_find(st, "m")->data[0], 1);
    fe_st_close(st);
    free(f.data);
    capture_end(&c);
}

/* An empty tensor at the end of another's bytes, named before it. */
static void empty_tensors_share_an_offset(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    image f = make("{" TENSOR("a", "U8", "[0]", 2, 2) "," TENSOR("b", "U8", "[2]", 0, 2) "}", 2);
    fe_st *st = accept(&c, f);
    assert_int_equal(fe_st_find(st, "a")->bytes, 0);
    assert_int_equal(fe_st_find(st, "b")->bytes, 2);
    fe_st_close(st);
    free(f.data);
    capture_end(&c);
}

/* The reference's test_whitespace_leading_padded_header: readers must tolerate it. */
static void white_space_around_the_header(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    image f = make(" \n\t{" TENSOR("a", "U8", "[2]", 0, 2) "}   ", 2);
    fe_st *st = accept(&c, f);
    assert_memory_equal(fe_st_find(st, "a")->data, "\0\1", 2);
    fe_st_close(st);
    free(f.data);
    capture_end(&c);
}

static void table_and_metadata(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    image f = make("{\"__metadata__\":{\"format\":\"pt\",\"a\\nb\":\"\\u00e9\"}," TENSOR(
                       "z", "U8", "[2]", 0, 2) "," TENSOR("b.w", "I16", "[1,3]", 2,
                                                          8) "," TENSOR("a\\\"\xc3\xa9", "BF16",
                                                                        "[1]", 8, 10) "}",
                   10);
    fe_st *st = accept(&c, f);
    assert_int_equal(fe_st_count(st), 3);
    assert_string_equal(fe_st_at(st, 0)->name, "a\"\xc3\xa9");
    assert_string_equal(fe_st_at(st, 1)->name, "b.w");
    assert_string_equal(fe_st_at(st, 2)->name, "z");
    const fe_st_tensor *t = fe_st_find(st, "b.w");
    assert_int_equal(t->dtype, FE_ST_I16);
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->dims[1], 3);
    assert_int_equal(t->count, 3);
    assert_int_equal(t->bytes, 6);
    assert_int_equal(t->data[0], 2);
    assert_null(fe_st_find(st, "b"));
    assert_null(fe_st_find(st, "b.w2"));
    assert_string_equal(fe_st_metadata(st, "format"), "pt");
    assert_string_equal(fe_st_metadata(st, "a\nb"), "\xc3\xa9");
    assert_null(fe_st_metadata(st, "none"));
    assert_int_equal(fe_st_metadata_count(st), 2);
    const char *key;
    assert_string_equal(fe_st_metadata_at(st, 1, &key), "pt");
    assert_string_equal(key, "format");
    assert_string_equal(fe_st_path(st), "m.st");
    base_loc loc = fe_st_loc(st, t);
    base_error(c.diag, &loc, "odd");
    assert_string_equal(captured(&c), "m.st: tensor 'b.w': error: odd\n");
    fe_st_close(st);
    fe_st_close(NULL);
    free(f.data);
    capture_end(&c);
}

/* Every prefix is refused with a message and nothing is read behind it; every single bit flip is
 * survived. */
static void every_prefix_and_bit_flip(void **state) {
    (void)state;
    image f = make("{\"__metadata__\":{\"k\":\"\\u00e9\"}," TENSOR(
                       "a", "F16", "[2,1]", 0, 4) "," TENSOR("b", "U8", "[3]", 4, 7) "}",
                   7);
    for (size_t n = 0; n < f.size; n++) {
        image cut = {malloc(n ? n : 1), n};
        memcpy(cut.data, f.data, n);
        capture c;
        capture_begin(&c, (base_diag_options){0});
        assert_null(fe_st_open_memory(c.diag, "m", cut.data, n));
        assert_true(base_diag_errors(c.diag) >= 1);
        capture_end(&c);
        free(cut.data);
    }
    base_diag *d = base_diag_new(&(base_diag_options){.out = fopen("/dev/null", "w")});
    for (size_t bit = 0; bit < f.size * 8; bit++) {
        f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        fe_st *st = fe_st_open_memory(d, "m", f.data, f.size);
        for (size_t i = 0; st && i < fe_st_count(st); i++) {
            const fe_st_tensor *t = fe_st_at(st, i);
            assert_true(t->data >= f.data && t->data + t->bytes <= f.data + f.size);
        }
        fe_st_close(st);
        f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    base_diag_free(d);
    free(f.data);
}

/* ---- conversions ---- */

/* The value of a binary16 by its definition. */
static double half_value(unsigned h) {
    int exponent = h >> 10 & 31;
    double fraction = h & 1023, sign = h & 0x8000 ? -1 : 1;
    if (exponent == 31) return fraction != 0 ? NAN : sign * INFINITY;
    return exponent ? sign * ldexp(1024 + fraction, exponent - 25) : sign * ldexp(fraction, -24);
}

static fe_st_tensor tensor_of(fe_st_dtype dtype, const void *data, size_t count) {
    return (fe_st_tensor){.name = "t",
                          .dtype = dtype,
                          .rank = 1,
                          .dims = {(int64_t)count},
                          .count = count,
                          .bytes = count * fe_st_dtype_size(dtype),
                          .data = data};
}

static void all_halves_and_bfloats_are_exact(void **state) {
    (void)state;
    static uint8_t bytes[1 + 2 * 65536]; /* one off, so that the elements are unaligned */
    static float out[65536];
    for (unsigned i = 0; i < 65536; i++) {
        bytes[1 + 2 * i] = (uint8_t)i;
        bytes[2 + 2 * i] = (uint8_t)(i >> 8);
    }
    fe_st_tensor t = tensor_of(FE_ST_F16, bytes + 1, 65536);
    fe_st_to_f32(&t, out, 0, 65536);
    for (unsigned i = 0; i < 65536; i++) {
        double expected = half_value(i);
        uint32_t bits;
        memcpy(&bits, &out[i], 4);
        if (isnan(expected)) {
            assert_int_equal(bits, (i & 0x8000u) << 16 | 0x7f800000u | (i & 1023u) << 13);
        } else {
            assert_true((double)out[i] == expected && (bits >> 31) == i >> 15);
        }
    }
    t.dtype = FE_ST_BF16;
    fe_st_to_f32(&t, out, 0, 65536);
    for (unsigned i = 0; i < 65536; i++) {
        uint32_t bits;
        memcpy(&bits, &out[i], 4);
        assert_int_equal(bits, i << 16);
    }
}

static void other_conversions(void **state) {
    (void)state;
    float out[6];
    int64_t ints[4];
    const double f64[] = {0.1, 1e300, -1e300, 3.4028235677973366e38, 3.4028235677973362e38, 1e-320};
    fe_st_tensor t = tensor_of(FE_ST_F64, f64, 6);
    fe_st_to_f32(&t, out, 0, 6);
    assert_true(out[0] == 0.1f && out[1] == INFINITY && out[2] == -INFINITY && out[3] == INFINITY);
    assert_true(out[4] == 3.40282347e38f && out[5] == 0);
    const int64_t i64[] = {16777217, -3, INT64_MAX, INT64_MIN};
    t = tensor_of(FE_ST_I64, i64, 4);
    fe_st_to_f32(&t, out, 0, 4);
    assert_true(out[0] == 16777216.0f && out[1] == -3 && out[2] == 9223372036854775808.0f);
    assert_true(fe_st_to_i64(&t, ints, 1, 3));
    assert_true(ints[0] == -3 && ints[1] == INT64_MAX && ints[2] == INT64_MIN);
    const int8_t i8[] = {-128, 127, -1, 2};
    t = tensor_of(FE_ST_I8, i8, 4);
    fe_st_to_f32(&t, out, 1, 3);
    assert_true(out[0] == 127 && out[1] == -1 && out[2] == 2);
    t.dtype = FE_ST_U8;
    fe_st_to_f32(&t, out, 0, 4);
    assert_true(out[0] == 128 && out[2] == 255);
    t.dtype = FE_ST_BOOL;
    fe_st_to_f32(&t, out, 0, 4);
    assert_true(out[0] == 1 && out[3] == 1);
    const int32_t i32[] = {-7, INT32_MAX};
    t = tensor_of(FE_ST_I32, i32, 2);
    assert_true(fe_st_to_i64(&t, ints, 0, 2) && ints[0] == -7 && ints[1] == INT32_MAX);
    const int16_t i16[] = {-7, INT16_MIN};
    t = tensor_of(FE_ST_I16, i16, 2);
    fe_st_to_f32(&t, out, 0, 2);
    assert_true(out[0] == -7 && out[1] == -32768);
    const float f32[] = {1.5f, -0.0f, 1e-45f};
    t = tensor_of(FE_ST_F32, f32, 3);
    fe_st_to_f32(&t, out, 0, 3);
    assert_memory_equal(out, f32, sizeof f32);
    assert_false(fe_st_to_i64(&t, ints, 0, 1));
}

/* ---- files, writer, folders ---- */

static void written_files_are_read_back(void **state) {
    (void)state;
    static const float values[6] = {1, 2, 3, 4, 5, 6};
    static const uint16_t halves[2] = {0x3c00, 0xbc00};
    fe_st_tensor in[] = {
        {.name = "w\"\\\x01\xc3\xa9",
         .dtype = FE_ST_F32,
         .rank = 2,
         .dims = {2, 3},
         .data = (const uint8_t *)values},
        {.name = "h", .dtype = FE_ST_F16, .rank = 1, .dims = {2}, .data = (const uint8_t *)halves},
        {.name = "empty", .dtype = FE_ST_I64, .rank = 1, .dims = {0}},
        {.name = "scalar", .dtype = FE_ST_F32, .data = (const uint8_t *)values}};
    static const char *const metadata[][2] = {{"format", "pt"}, {"line", "a\nb"}};
    fixture f;
    begin(&f);
    const char *path = temp_path(&f.t, "x.safetensors");
    assert_true(fe_st_write(f.c.diag, path, in, 4, metadata, 2));
    fe_st *st = fe_st_open(f.c.diag, path);
    assert_non_null(st);
    assert_int_equal(fe_st_count(st), 4);
    const fe_st_tensor *w = fe_st_find(st, in[0].name);
    assert_non_null(w);
    assert_int_equal((uintptr_t)w->data % 8, 0); /* the writer pads the header */
    assert_memory_equal(w->data, values, sizeof values);
    assert_int_equal(w->dims[0], 2);
    assert_int_equal(fe_st_find(st, "scalar")->rank, 0);
    float out[2];
    fe_st_to_f32(fe_st_find(st, "h"), out, 0, 2);
    assert_true(out[0] == 1 && out[1] == -1);
    assert_string_equal(fe_st_metadata(st, "line"), "a\nb");
    fe_st_close(st);
    assert_true(fe_st_write(f.c.diag, path, NULL, 0, NULL, 0));
    st = fe_st_open(f.c.diag, path);
    assert_int_equal(fe_st_count(st), 0);
    fe_st_close(st);
    assert_int_equal(count_files(f.t.path), 1);
    assert_int_equal(base_diag_errors(f.c.diag), 0);
    end(&f);
}

static void the_writer_refuses_what_the_format_cannot_hold(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    const char *path = temp_path(&f.t, "x.safetensors");
    fe_st_tensor twice[] = {{.name = "a", .dtype = FE_ST_U8, .rank = 1},
                            {.name = "a", .dtype = FE_ST_U8, .rank = 1}};
    fe_st_tensor invalid = {.name = "\xff", .dtype = FE_ST_U8, .rank = 1};
    fe_st_tensor reserved = {.name = "__metadata__", .dtype = FE_ST_U8, .rank = 1};
    fe_st_tensor huge = {
        .name = "h", .dtype = FE_ST_F64, .rank = 2, .dims = {INT64_MAX, INT64_MAX}};
    fe_st_tensor rank = {.name = "r", .dtype = FE_ST_F64, .rank = 9};
    assert_false(fe_st_write(f.c.diag, path, twice, 2, NULL, 0));
    assert_false(fe_st_write(f.c.diag, path, &invalid, 1, NULL, 0));
    assert_false(fe_st_write(f.c.diag, path, &reserved, 1, NULL, 0));
    assert_false(fe_st_write(f.c.diag, path, &huge, 1, NULL, 0));
    assert_false(fe_st_write(f.c.diag, path, &rank, 1, NULL, 0));
    assert_false(fe_st_write(f.c.diag, temp_path(&f.t, "none/x"), NULL, 0, NULL, 0));
    assert_int_equal(base_diag_errors(f.c.diag), 6);
    assert_int_equal(count_files(f.t.path), 0);
    end(&f);
}

static void write_one(fixture *f, const char *file, const char *tensor, uint8_t value) {
    fe_st_tensor t = {.name = tensor, .dtype = FE_ST_U8, .rank = 1, .dims = {1}, .data = &value};
    assert_true(fe_st_write(f->c.diag, temp_path(&f->t, file), &t, 1, NULL, 0));
}

static const char *const bases[] = {"diffusion_pytorch_model", "model"};

static fe_st *open_dir(fixture *f) {
    return fe_st_open_dir(f->c.diag, f->t.path, bases, 2);
}

static void expect_byte(fixture *f, const char *tensor, uint8_t value) {
    fe_st *st = open_dir(f);
    assert_non_null(st);
    assert_int_equal(fe_st_find(st, tensor)->data[0], value);
    fe_st_close(st);
}

static void which_file_of_a_folder(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    write_one(&f, "model.fp16.safetensors", "w", 1);
    expect_byte(&f, "w", 1);
    write_one(&f, "model.safetensors", "w", 2);
    expect_byte(&f, "w", 2);
    write_one(&f, "diffusion_pytorch_model.fp16.safetensors", "w", 3);
    expect_byte(&f, "w", 3);
    write_one(&f, "diffusion_pytorch_model.safetensors", "w", 4);
    expect_byte(&f, "w", 4);
    end(&f);
}

static void pickles_are_refused_with_advice(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    assert_null(open_dir(&f));
    assert_non_null(
        strstr(captured(&f.c),
               "error: no weights in this folder; looked for diffusion_pytorch_model.safetensors"));
    temp_write(&f.t, "diffusion_pytorch_model.bin", "x", 1);
    assert_null(open_dir(&f));
    assert_non_null(strstr(captured(&f.c), "only pickled weights ('diffusion_pytorch_model.bin')"));
    assert_non_null(strstr(captured(&f.c), "safe_serialization=True"));
    assert_null(fe_st_open_dir(f.c.diag, temp_path(&f.t, "none"), bases, 2));
    end(&f);
}

#define INDEX "model.safetensors.index.json"

static void write_index(fixture *f, const char *map) {
    char text[2000];
    snprintf(text, sizeof text, "{\"metadata\":{\"total_size\":3},\n\"weight_map\":{%s}}", map);
    temp_write(&f->t, INDEX, text, strlen(text));
}

static void shards_become_one_table(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    write_one(&f, "model-00001-of-00002.safetensors", "b", 7);
    write_one(&f, "model-00002-of-00002.safetensors", "a", 8);
    write_index(
        &f,
        "\"a\":\"model-00002-of-00002.safetensors\",\"b\":\"model-00001-of-00002.safetensors\"");
    fe_st *st = open_dir(&f);
    assert_non_null(st);
    assert_int_equal(fe_st_count(st), 2);
    assert_string_equal(fe_st_at(st, 0)->name, "a");
    assert_int_equal(fe_st_find(st, "a")->data[0], 8);
    assert_int_equal(fe_st_find(st, "b")->data[0], 7);
    assert_non_null(strstr(fe_st_find(st, "b")->source->path, "model-00001-of-00002.safetensors"));
    assert_non_null(strstr(fe_st_path(st), INDEX));
    fe_st_close(st);
    assert_int_equal(base_diag_errors(f.c.diag) + base_diag_warnings(f.c.diag), 0);
    write_index(&f, "\"a\":\"model-00002-of-00002.safetensors\"");
    st = open_dir(&f); /* a shard the index does not name stays unread */
    assert_int_equal(fe_st_count(st), 1);
    fe_st_close(st);
    end(&f);
}

static void refuse_index(fixture *f, const char *map, const char *message) {
    write_index(f, map);
    assert_null(open_dir(f));
    if (!strstr(captured(&f->c), message)) fail_msg("expected %s in %s", message, captured(&f->c));
}

static void shard_names_are_plain_basenames(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    mkdir(temp_path(&f.t, "sub"), 0777);
    write_one(&f, "sub/x.safetensors", "a", 1);
    static const char *const tricks[] = {"sub/x.safetensors",
                                         "../x.safetensors",
                                         "/tmp/x.safetensors",
                                         "sub/../../x.safetensors",
                                         ".x.safetensors",
                                         "..\\\\x.safetensors",
                                         "",
                                         "\\u002e\\u002e/x.safetensors"};
    for (size_t i = 0; i < sizeof tricks / sizeof *tricks; i++) {
        char map[200];
        snprintf(map, sizeof map, "\"a\":\"%s\"", tricks[i]);
        refuse_index(&f, map, INDEX ":2:19: error: shard name '");
        assert_int_equal(base_diag_errors(f.c.diag), i + 1);
    }
    refuse_index(&f, "\"a\":\"x.bin\"", "shard 'x.bin' is not a .safetensors file");
    refuse_index(&f, "\"a\":\"x\\u0000.safetensors\"", "NUL character");
    refuse_index(&f, "\"a\":7", "expected a string, found an integer");
    end(&f);
}

static void bad_indices_say_what_is_wrong(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    write_one(&f, "one.safetensors", "a", 1);
    write_one(&f, "two.safetensors", "a", 2);
    write_one(&f, "three.safetensors", "extra", 2);
    refuse_index(&f, "\"a\":\"none.safetensors\"",
                 "none.safetensors: error: cannot open: No such file");
    refuse_index(&f, "\"b\":\"one.safetensors\"",
                 INDEX ":2:19: error: tensor 'b' is not in shard 'one.safetensors'");
    refuse_index(&f, "\"b\":\"one.safetensors\",\"a\":\"two.safetensors\"",
                 "tensor 'b' is not in shard");
    refuse_index(&f, "\"a\":\"one.safetensors\",\"a\":\"two.safetensors\"", "duplicate key 'a'");
    refuse_index(
        &f,
        "\"a\":\"one.safetensors\",\"extra\":\"three.safetensors\",\"zz\":\"three.safetensors\"",
        "tensor 'zz' is not in shard");
    assert_int_equal(base_diag_warnings(f.c.diag), 2); /* 'a' beside the missing 'b', twice */
    temp_write(&f.t, INDEX, "{}", 2);
    assert_null(open_dir(&f));
    assert_non_null(strstr(captured(&f.c), "missing key 'weight_map'"));
    temp_write(&f.t, INDEX, "{\"weight_map\":", 14);
    assert_null(open_dir(&f));
    assert_non_null(
        strstr(captured(&f.c), INDEX ":1:15: error: the text ends where a value should stand"));
    temp_write(&f.t, INDEX, "{\"weight_map\":[]}", 17);
    assert_null(open_dir(&f));
    assert_non_null(strstr(captured(&f.c), "'weight_map': expected an object, found an array"));
    end(&f);
}

static void a_tensor_in_two_shards_is_refused(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    uint8_t byte = 1;
    fe_st_tensor t[] = {{.name = "a", .dtype = FE_ST_U8, .rank = 1, .dims = {1}, .data = &byte},
                        {.name = "b", .dtype = FE_ST_U8, .rank = 1, .dims = {1}, .data = &byte}};
    assert_true(fe_st_write(f.c.diag, temp_path(&f.t, "one.safetensors"), t, 2, NULL, 0));
    assert_true(fe_st_write(f.c.diag, temp_path(&f.t, "two.safetensors"), t + 1, 1, NULL, 0));
    refuse_index(&f, "\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"",
                 "tensor 'b': error: the tensor is also in shard");
    end(&f);
}

/* ---- cost ---- */

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Hardening must not make loading slow: 200,000 tensors, a header of 17 MB. */
static void large_headers_are_fast(void **state) {
    (void)state;
    enum { N = 200000 };
    base_str s = {0};
    for (unsigned i = 0; i < N; i++) {
        base_str_addf(
            &s, "%c\"down_blocks.%u.w\":{\"dtype\":\"F16\",\"shape\":[0,4],\"data_offsets\":[0,0]}",
            i ? ',' : '{', (i * 7919u) % N);
    }
    base_str_add(&s, "}");
    image f = make(s.data, 0);
    base_str_free(&s);
    capture c;
    capture_begin(&c, (base_diag_options){0});
    double start = seconds();
    fe_st *st = accept(&c, f);
    double taken = seconds() - start;
    assert_int_equal(fe_st_count(st), N);
    assert_non_null(fe_st_find(st, "down_blocks.199999.w"));
    if (taken > 10) fail_msg("%.1f s for %zu bytes", taken, f.size); /* 0.4 s without sanitizers */
    fe_st_close(st);
    capture_end(&c);
    free(f.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_too_small),
        cmocka_unit_test(header_too_large),
        cmocka_unit_test(invalid_header_length),
        cmocka_unit_test(invalid_header_not_utf8),
        cmocka_unit_test(invalid_header_not_json),
        cmocka_unit_test(invalid_offset),
        cmocka_unit_test(tensor_invalid_info),
        cmocka_unit_test(metadata_incomplete_buffer_missing),
        cmocka_unit_test(metadata_incomplete_buffer_extra),
        cmocka_unit_test(validation_overflow_of_shape),
        cmocka_unit_test(validation_overflow_of_bytes),
        cmocka_unit_test(misaligned_slice),
        cmocka_unit_test(numbers_must_be_plain_integers),
        cmocka_unit_test(rank_is_at_most_eight),
        cmocka_unit_test(dtypes_must_be_known_and_supported),
        cmocka_unit_test(keys_of_a_tensor),
        cmocka_unit_test(duplicate_names_are_named),
        cmocka_unit_test(metadata_values_are_strings),
        cmocka_unit_test(null_metadata_is_none),
        cmocka_unit_test(all_bad_tensors_are_reported),
        cmocka_unit_test(a_million_faults_stay_bounded),
        cmocka_unit_test(hostile_names_are_escaped),
        cmocka_unit_test(other_formats_are_named),
        cmocka_unit_test(empty_and_scalar_tensors),
        cmocka_unit_test(header_order_is_free),
        cmocka_unit_test(empty_tensors_share_an_offset),
        cmocka_unit_test(white_space_around_the_header),
        cmocka_unit_test(table_and_metadata),
        cmocka_unit_test(every_prefix_and_bit_flip),
        cmocka_unit_test(all_halves_and_bfloats_are_exact),
        cmocka_unit_test(other_conversions),
        cmocka_unit_test(written_files_are_read_back),
        cmocka_unit_test(the_writer_refuses_what_the_format_cannot_hold),
        cmocka_unit_test(which_file_of_a_folder),
        cmocka_unit_test(pickles_are_refused_with_advice),
        cmocka_unit_test(shards_become_one_table),
        cmocka_unit_test(shard_names_are_plain_basenames),
        cmocka_unit_test(bad_indices_say_what_is_wrong),
        cmocka_unit_test(a_tensor_in_two_shards_is_refused),
        cmocka_unit_test(large_headers_are_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
