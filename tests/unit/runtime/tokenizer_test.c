/* The tokenizer against ids of the transformers tokenizer, the blob's checks, hostile texts. */
#include "base/hash.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/tokenizer_build.h"
#include "runtime/text/unicode.h"

#include "tests/unit/support/golden_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* ---- enough JSON for the goldens, which are ours and well-formed ---- */

static unsigned hex4(const char *p) {
    char digits[5] = {p[0], p[1], p[2], p[3], 0};
    return (unsigned)strtoul(digits, NULL, 16);
}

/* The string that begins at *at (a quote), unescaped into out; *at moves behind it. Returns its
 * length. */
static size_t json_string(const char **at, char *out) {
    const char *p = *at + 1;
    size_t n = 0;
    while (*p != '"') {
        if (*p != '\\') {
            out[n++] = *p++;
            continue;
        }
        const char *from = "nrtbf\"\\/", *to = "\n\r\t\b\f\"\\/", *hit = strchr(from, p[1]);
        if (hit) {
            out[n++] = to[hit - from];
            p += 2;
            continue;
        }
        uint32_t code = hex4(p + 2);
        p += 6;
        if (code >= 0xd800 && code < 0xdc00) {
            code = 0x10000 + ((code - 0xd800) << 10) + (hex4(p + 2) - 0xdc00);
            p += 6;
        }
        n += rt_utf8_put(code, out + n);
    }
    *at = p + 1;
    return n;
}

struct vocabulary {
    rt_vocab_entry *entries;
    size_t count;
    char *texts, *json, *merges;
    size_t merges_length;
};

static struct vocabulary load_vocabulary(const char *folder) {
    struct vocabulary v = {0};
    char path[128];
    size_t size;
    snprintf(path, sizeof path, "%s/vocab.json", folder);
    v.json = golden_read(path, &size);
    snprintf(path, sizeof path, "%s/merges.txt", folder);
    v.merges = golden_read(path, &v.merges_length);
    v.entries = calloc(size / 4 + 1, sizeof *v.entries);
    v.texts = malloc(size + 1);
    assert_true(v.entries && v.texts);
    char *out = v.texts;
    for (const char *p = strchr(v.json, '"'); p; p = strchr(p, '"')) {
        size_t n = json_string(&p, out);
        while (*p == ':' || *p == ' ') p++;
        v.entries[v.count++] = (rt_vocab_entry){out, n, (uint32_t)strtoul(p, NULL, 10)};
        out += n;
    }
    return v;
}

static void free_vocabulary(struct vocabulary *v) {
    free(v->entries);
    free(v->texts);
    free(v->json);
    free(v->merges);
}

static uint32_t id_of(const struct vocabulary *v, const char *text) {
    for (size_t i = 0; i < v->count; i++)
        if (v->entries[i].length == strlen(text) &&
            memcmp(v->entries[i].text, text, strlen(text)) == 0)
            return v->entries[i].id;
    fail_msg("no '%s' in the vocabulary", text);
    return 0;
}

static rt_tokenizer_options clip_options(const struct vocabulary *v) {
    uint32_t end = id_of(v, "<|endoftext|>");
    return (rt_tokenizer_options){.bos = id_of(v, "<|startoftext|>"),
                                  .eos = end,
                                  .pad = end,
                                  .unk = end,
                                  .max_length = 77,
                                  .lower_case = true};
}

static void *clip_blob, *shapes_blob;
static size_t clip_size, shapes_size;
static rt_tokenizer clip, shapes;

static void open_blob(const char *folder, void **blob, size_t *size, rt_tokenizer *t) {
    struct vocabulary v = load_vocabulary(folder);
    rt_tokenizer_options o = clip_options(&v);
    rt_error err = {"?"};
    if (rt_tokenizer_build_blob(v.entries, v.count, v.merges, v.merges_length, 0, &o, blob, size,
                                NULL, &err) != RT_OK ||
        rt_tokenizer_open(t, *blob, *size, &err) != RT_OK)
        fail_msg("%s: %s", folder, err.message);
    free_vocabulary(&v);
}

static int setup(void **state) {
    (void)state;
    open_blob("../../models/clip", &clip_blob, &clip_size, &clip);
    open_blob("tokenizer/shapes", &shapes_blob, &shapes_size, &shapes);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    free(clip_blob);
    free(shapes_blob);
    return 0;
}

static void expect(const rt_tokenizer *t, const char *text, size_t length, const uint32_t *want,
                   size_t count) {
    uint32_t *ids;
    size_t got;
    rt_error err = {"?"};
    if (rt_tokenizer_encode(t, text, length, &ids, &got, &err) != RT_OK)
        fail_msg("'%s': %s", text, err.message);
    for (size_t i = 0; i < got && i < count; i++)
        if (ids[i] != want[i])
            fail_msg("'%s': id %zu is %u, want %u", text, i, (unsigned)ids[i], (unsigned)want[i]);
    if (got != count) fail_msg("'%s': %zu ids, want %zu", text, got, count);
    free(ids);
}

/* ---- tests ---- */

static void clip_goldens(void **state) {
    (void)state;
    size_t size, cases = 0;
    char *json = golden_read("tokenizer/clip-ids.json", &size), *text = malloc(size + 1);
    uint32_t *ids = malloc(size * sizeof *ids);
    assert_true(text && ids);
    for (const char *p = strstr(json, "\"text\": "); p; p = strstr(p, "\"text\": ")) {
        p += strlen("\"text\": ");
        size_t length = json_string(&p, text), count = 0;
        text[length] = 0;
        p = strchr(p, '[') + 1;
        for (;;) {
            while (*p == ' ' || *p == '\n' || *p == ',') p++;
            if (*p == ']') break;
            ids[count++] = (uint32_t)strtoul(p, (char **)(uintptr_t)&p, 10);
        }
        expect(&clip, text, length, ids, count);
        cases++;
    }
    assert_int_equal(cases, 28);
    free(json);
    free(text);
    free(ids);
}

/* The demonstration model's own vocabulary: words that were merged, words that fall back to
 * letters. */
static void shapes_vocabulary(void **state) {
    (void)state;
    struct vocabulary v = load_vocabulary("tokenizer/shapes");
    const uint32_t want[] = {
        id_of(&v, "a</w>"), id_of(&v, "red</w>"),   id_of(&v, "circle</w>"),    id_of(&v, "on</w>"),
        id_of(&v, "a</w>"), id_of(&v, "white</w>"), id_of(&v, "background</w>")};
    const char *text = "A red  Circle on a\nwhite background";
    expect(&shapes, text, strlen(text), want, 7);
    const uint32_t letters[] = {id_of(&v, "z"), id_of(&v, "q</w>"), id_of(&v, "7</w>"),
                                id_of(&v, "7</w>")};
    expect(&shapes, "zq77", 4, letters, 4);
    free_vocabulary(&v);
}

static void prompt_is_framed_and_cut(void **state) {
    (void)state;
    int32_t ids[77];
    size_t used, cut;
    assert_int_equal(rt_tokenizer_encode_prompt(&clip, "a lovely cat", 12, ids, &used, &cut, NULL),
                     RT_OK);
    const int32_t want[] = {49406, 320, 2165, 2368, 49407, 49407};
    assert_memory_equal(ids, want, sizeof want);
    assert_int_equal(ids[76], 49407);
    assert_int_equal(used, 5);
    assert_int_equal(cut, 0);
    char text[5 * 80 + 1] = "";
    for (int i = 0; i < 80; i++) strcat(text, "word ");
    assert_int_equal(rt_tokenizer_encode_prompt(&clip, text, strlen(text), ids, &used, &cut, NULL),
                     RT_OK);
    assert_int_equal(used, 77);
    assert_int_equal(cut, 5);
    assert_int_equal(ids[75], 2653);
    assert_int_equal(ids[76], 49407);
    assert_int_equal(rt_tokenizer_encode_prompt(&clip, "", 0, ids, NULL, NULL, NULL), RT_OK);
    assert_int_equal(ids[0], 49406);
    assert_int_equal(ids[1], 49407);
}

/* Stable Diffusion 2 pads with "!", which as a special token is also taken whole inside a text. */
static void pad_and_special_tokens_are_options(void **state) {
    (void)state;
    struct vocabulary v = load_vocabulary("../../models/clip");
    rt_tokenizer_options o = clip_options(&v);
    const rt_added_token specials[] = {{"<|startoftext|>", 15, o.bos, RT_ADDED_NORMALIZED},
                                       {"<|endoftext|>", 13, o.eos, RT_ADDED_NORMALIZED},
                                       {"!", 1, 0, 0}};
    o.pad = 0;
    o.added = specials;
    o.added_count = 3;
    void *blob;
    size_t size;
    rt_tokenizer t;
    assert_int_equal(rt_tokenizer_build_blob(v.entries, v.count, v.merges, v.merges_length, 0, &o,
                                             &blob, &size, NULL, NULL),
                     RT_OK);
    assert_int_equal(rt_tokenizer_open(&t, blob, size, NULL), RT_OK);
    int32_t ids[77];
    assert_int_equal(
        rt_tokenizer_encode_prompt(&t, "Cat!!<|ENDOFTEXT|>", 18, ids, NULL, NULL, NULL), RT_OK);
    const int32_t framed[] = {49406, 2368, 0, 0, 49407, 49407, 0, 0};
    assert_memory_equal(ids, framed, sizeof framed);
    free(blob);
    free_vocabulary(&v);
}

/* A tokenizer of the shapes' vocabulary with more tokens, ids from 700 on in their order. */
static rt_tokenizer with_added(const char *const *texts, const uint32_t *flags, size_t count,
                               void **blob) {
    struct vocabulary v = load_vocabulary("tokenizer/shapes");
    rt_tokenizer_options o = clip_options(&v);
    rt_added_token added[16] = {{"<|endoftext|>", 13, o.eos, RT_ADDED_NORMALIZED}};
    for (size_t i = 0; i < count; i++)
        added[i + 1] =
            (rt_added_token){texts[i], strlen(texts[i]), 700 + (uint32_t)i, flags ? flags[i] : 0};
    o.added = added;
    o.added_count = count + 1;
    rt_tokenizer t = {0};
    rt_error err = {"?"};
    size_t size;
    if (rt_tokenizer_build_blob(v.entries, v.count, v.merges, v.merges_length, 0, &o, blob, &size,
                                NULL, &err) != RT_OK ||
        rt_tokenizer_open(&t, *blob, size, &err) != RT_OK)
        fail_msg("%s", err.message);
    free_vocabulary(&v);
    return t;
}

/* The text's ids: added ones as their numbers, each id of the vocabulary as a dot. */
static void expect_added(const rt_tokenizer *t, const char *text, const char *want) {
    uint32_t *ids;
    size_t count, n = 0;
    char got[400] = "";
    rt_error err = {"?"};
    if (rt_tokenizer_encode(t, text, strlen(text), &ids, &count, &err) != RT_OK)
        fail_msg("'%s': %s", text, err.message);
    for (size_t i = 0; i < count; i++)
        n += (size_t)snprintf(got + n, sizeof got - n, ids[i] >= 700 ? " %u" : " .",
                              (unsigned)ids[i]);
    free(ids);
    if (strcmp(got + (n > 0), want) != 0) fail_msg("'%s': <%s>, want <%s>", text, got, want);
}

/* The leftmost first, of several the longest, in the case they are written in, also in words. */
static void added_tokens_are_taken_whole(void **state) {
    (void)state;
    static const char *const texts[] = {"<dot>", "<dot>s", "dotty", "a b", "\xc3\x84\xcc\xb1"};
    void *blob;
    rt_tokenizer t = with_added(texts, NULL, 5, &blob);
    expect_added(&t, "<dot>", "700");
    expect_added(&t, "red <dot>, <dot>s<dot>", ". 700 . 701 700");
    expect_added(&t, "red<dot>red", ". 700 .");
    expect_added(&t, "<dotty>", ". 702 .");
    expect_added(&t, "<DOT>", ". . . . .");
    expect_added(&t, "a b a  b", "703 . .");
    expect_added(&t, "\xc3\x84\xcc\xb1", "704"); /* as it is written, before it is normalised */
    expect_added(&t, "<do<dot><", ". . . 700 .");
    free(blob);
}

static void added_tokens_have_rules(void **state) {
    (void)state;
    static const char *const texts[] = {"Foo", "Bar", " baz", "<l>", "<r>", "go"};
    static const uint32_t flags[] = {RT_ADDED_NORMALIZED, RT_ADDED_SINGLE_WORD,
                                     RT_ADDED_NORMALIZED, RT_ADDED_LSTRIP,
                                     RT_ADDED_RSTRIP,     RT_ADDED_NORMALIZED};
    void *blob;
    rt_tokenizer t = with_added(texts, flags, 6, &blob);
    expect_added(&t, "foo FOO fOogo", "700 700 700 705");
    expect_added(&t, "Bar,Bar (Bar) _Bar Bar1 BarBar bar",
                 "701 . 701 . 701 . . . . . . . . . . . . . . . . .");
    expect_added(&t, "red baz", ". 702");
    expect_added(&t, "<r> baz <r>\xe2\x80\x83 baz", "704 . . . 704 . . .");
    expect_added(&t, " baz<l>red \t <l> baz", "702 703 . 703 702");
    free(blob);
}

/* The tokens of several vectors as diffusers' pipelines write them out. */
static void tokens_of_several_vectors(void **state) {
    (void)state;
    static const char *const texts[] = {"<s>", "<s>_1", "<s>_2", "Bad", "Bad_1", "<x>_1"};
    void *blob;
    rt_tokenizer t = with_added(texts, NULL, 6, &blob);
    expect_added(&t, "red <s> red<s>", ". 700 701 702 . 700 701 702");
    expect_added(&t, "myBade bad", ". . 703 704 . . . .");
    expect_added(&t, "", "");
    expect_added(&t, "<s>_1", "701");
    expect_added(&t, "<s>_1 <s>", "700 701 702 . . 700 701 702");
    expect_added(&t, "<x>_1 <x>", "705 . . .");
    char *text = malloc(RT_TOKENIZER_TEXT_LIMIT);
    uint32_t *ids;
    size_t count;
    rt_error err = {""};
    assert_non_null(text);
    for (size_t i = 0; i + 3 <= RT_TOKENIZER_TEXT_LIMIT; i += 3) memcpy(text + i, "<s>", 3);
    assert_int_equal(
        rt_tokenizer_encode(&t, text, RT_TOKENIZER_TEXT_LIMIT / 3 * 3, &ids, &count, &err),
        RT_ERR_INPUT);
    assert_non_null(strstr(err.message, "every token of several vectors written out"));
    free(text);
    err.message[0] = 0;
    assert_int_equal(rt_tokenizer_encode(&t, "<s>ab\xff", 6, &ids, &count, &err), RT_ERR_INPUT);
    assert_non_null(strstr(err.message, "byte 5"));
    free(blob);
}

static void invalid_utf8_is_located(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        const char *where;
    } bad[] = {
        {"ab\xff", 3, "byte 2"},
        {"\xc3", 1, "byte 0"},
        {"x\xc0\xaf", 3, "byte 1"},
        {"\xed\xa0\x80", 3, "byte 0"},
        {"\xf4\x90\x80\x80", 4, "byte 0"},
        {"\xe2\x82", 2, "byte 0"},
        {"\xe0\x80\x80", 3, "byte 0"},
        {"caf\xe9", 4, "byte 3"},
        {"\xf8\x88\x80\x80\x80", 5, "byte 0"},
        {"\xf0\x9f\x8e\x41", 4, "byte 0"},
        {"\x80", 1, "byte 0"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint32_t *ids;
        size_t count;
        rt_error err = {""};
        assert_int_equal(rt_tokenizer_encode(&clip, bad[i].text, bad[i].length, &ids, &count, &err),
                         RT_ERR_INPUT);
        assert_null(ids);
        if (!strstr(err.message, bad[i].where)) fail_msg("case %zu: %s", i, err.message);
    }
    const uint32_t nul[] = {320, 444, 320}; /* NUL is a symbol like any other */
    expect(&clip, "a\0a", 3, nul, 3);
}

/* Hostile shapes must cost no more than their length: one endless word, endless marks, thousands of
 * words. */
static void long_texts_are_fast(void **state) {
    (void)state;
    size_t n = 200000;
    char *text = malloc(n * 2 + 1);
    assert_non_null(text);
    clock_t start = clock();
    uint32_t *ids;
    size_t count;
    memset(text, 'a', n);
    assert_int_equal(rt_tokenizer_encode(&clip, text, n, &ids, &count, NULL), RT_OK);
    assert_true(count > n / 32 && count < n / 4);
    free(ids);
    for (size_t i = 0; i < n; i++) memcpy(text + 2 * i, i % 2 ? "\xcc\x81" : "\xcc\xa3", 2);
    assert_int_equal(rt_tokenizer_encode(&clip, text, 2 * n, &ids, &count, NULL), RT_OK);
    free(ids);
    size_t length = 0;
    for (int i = 0; i < 10000; i++)
        length += (size_t)sprintf(text + length, "word%c, ", 'a' + i % 26);
    assert_int_equal(rt_tokenizer_encode(&clip, text, length, &ids, &count, NULL), RT_OK);
    assert_true(count >= 20000);
    free(ids);
    assert_int_equal(
        rt_tokenizer_encode(&clip, text, (size_t)RT_TOKENIZER_TEXT_LIMIT + 1, &ids, &count, NULL),
        RT_ERR_INPUT);
    free(text);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    if (seconds > 20) fail_msg("%g s", seconds); /* quadratic work would take hours */
}

/* Any bytes: an answer or an error with a byte offset, and the answer's ids exist. */
static void random_bytes(void **state) {
    (void)state;
    uint32_t seed = 1;
    static const char *const pieces[] = {"a",
                                         "'",
                                         "'s",
                                         " ",
                                         "\xcc\x81",
                                         "\xe1\x84\x80",
                                         "\xe1\x85\xa1",
                                         "1",
                                         "<|endoftext|>",
                                         "\xf0\x9f\x8e\xa8",
                                         "\xc4\xb0",
                                         "<|",
                                         "!",
                                         "Z",
                                         "\xff",
                                         "\n",
                                         "\xc2\xa0"};
    for (int round = 0; round < 5000; round++) {
        char text[256];
        size_t n = 0;
        for (int i = 0; i < 14; i++) {
            seed = seed * 1664525u + 1013904223u;
            if (seed >> 24 == 7) {
                text[n++] = (char)(seed >> 16);
            } else {
                size_t which = (seed >> 20) % (sizeof pieces / sizeof *pieces);
                if (which == 14 && round % 8) which = 0;
                n += strlen(strcpy(text + n, pieces[which]));
            }
        }
        uint32_t *ids;
        size_t count;
        rt_error err = {""};
        rt_status status = rt_tokenizer_encode(&clip, text, n, &ids, &count, &err);
        if (status == RT_OK) {
            for (size_t i = 0; i < count; i++) assert_true(ids[i] < 49408);
            free(ids);
        } else {
            assert_int_equal(status, RT_ERR_INPUT);
            assert_non_null(strstr(err.message, "byte"));
        }
    }
}

/* Kind, and lower case of NFC, of every code point of the basic plane; the hash was made with
 * Python's unicodedata. */
static void basic_plane(void **state) {
    (void)state;
    size_t room = 0x10000 * 8, n = 0;
    char *data = malloc(room);
    assert_non_null(data);
    for (uint32_t code = 0; code < 0x10000; code++) {
        if (code >= 0xd800 && code < 0xe000) continue;
        char utf8[4], *normal;
        size_t length;
        assert_int_equal(
            rt_unicode_normalize(utf8, rt_utf8_put(code, utf8), true, &normal, &length, NULL),
            RT_OK);
        data[n++] = (char)rt_unicode_kind_of(code);
        memcpy(data + n, normal, length);
        n += length;
        free(normal);
    }
    uint64_t hash = base_hash64_bytes(BASE_HASH64_START, data, n);
    free(data);
    assert_true(hash == UINT64_C(0x4d44dfeb5b0dce51));
}

static void normalization(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"e\xcc\x81", "\xc3\xa9"},                                /* e + acute */
        {"\xe2\x84\xab", "\xc3\xa5"},                             /* angstrom sign, lower-cased */
        {"s\xcc\x87\xcc\xa3", "\xe1\xb9\xa9"},                    /* marks out of order */
        {"a\xcc\x85\xcc\x81", "a\xcc\x85\xcc\x81"},               /* an overline stands between */
        {"\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c"}, /* Hangul jamo */
        {"\xe0\xa4\x95\xe0\xa4\xbc", "\xe0\xa4\x95\xe0\xa4\xbc"}, /* excluded from composition */
        {"\xf0\x9d\x85\x9e", "\xf0\x9d\x85\x97\xf0\x9d\x85\xa5"}, /* decomposes for good */
        {"\xf0\x91\x82\x99\xf0\x91\x82\xba",
         "\xf0\x91\x82\x9a"},                         /* composes outside the basic plane */
        {"\xc4\xb0", "i\xcc\x87"},                    /* capital I with dot */
        {"\xe1\xba\x9e\xce\xa3", "\xc3\x9f\xcf\x83"}, /* capital sharp s; sigma without context */
        {"\xf0\x90\x90\x80", "\xf0\x90\x90\xa8"},     /* Deseret */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *out;
        size_t length;
        assert_int_equal(
            rt_unicode_normalize(cases[i].in, strlen(cases[i].in), true, &out, &length, NULL),
            RT_OK);
        if (strcmp(out, cases[i].out) != 0) fail_msg("case %zu", i);
        free(out);
    }
}

static void damaged_blobs_are_errors(void **state) {
    (void)state;
    uint32_t *copy = malloc(shapes_size + 8);
    assert_non_null(copy);
    rt_tokenizer t;
    rt_error err;
    memcpy(copy, shapes_blob, shapes_size);
    assert_int_equal(rt_tokenizer_open(&t, copy, shapes_size, &err), RT_OK);
    for (size_t size = 0; size < shapes_size; size += size < 100 ? 1 : 97)
        assert_int_equal(rt_tokenizer_open(&t, copy, size, &err), RT_ERR_INPUT);
    for (size_t byte = 0; byte < shapes_size;
         byte++) { /* any flipped bit is seen by the hash or before it */
        ((unsigned char *)copy)[byte] ^= (unsigned char)(1u << byte % 8);
        assert_int_equal(rt_tokenizer_open(&t, copy, shapes_size, &err), RT_ERR_INPUT);
        ((unsigned char *)copy)[byte] ^= (unsigned char)(1u << byte % 8);
    }
    for (size_t word = 6; word < shapes_size / 4;
         word++) { /* wrong contents under a right hash: refused or harmless */
        uint32_t saved = copy[word];
        copy[word] = word % 2 ? 0x7fffffffu : saved + 1;
        uint64_t hash = base_hash64_bytes(BASE_HASH64_START, copy + 6, shapes_size - 24);
        copy[4] = (uint32_t)hash;
        copy[5] = (uint32_t)(hash >> 32);
        if (rt_tokenizer_open(&t, copy, shapes_size, &err) == RT_OK) {
            uint32_t *ids;
            size_t count;
            assert_int_equal(
                rt_tokenizer_encode(&t, "a red star<|endoftext|>", 23, &ids, &count, &err), RT_OK);
            free(ids);
        }
        copy[word] = saved;
    }
    assert_int_equal(rt_tokenizer_open(&t, (char *)copy + 1, shapes_size, &err), RT_ERR_INPUT);
    free(copy);
}

static void build(const char *merges, uint32_t bos, uint32_t second_id, uint32_t max_length,
                  const char *want) {
    const rt_vocab_entry vocab[] = {
        {"a", 1, 0}, {"b</w>", 5, second_id}, {"ab</w>", 6, 2}, {"<e>", 3, 3}};
    rt_tokenizer_options o = {.bos = bos, .eos = 3, .pad = 3, .unk = 3, .max_length = max_length};
    void *blob;
    size_t size;
    rt_error err = {""};
    rt_tokenizer_fault at;
    rt_status status =
        rt_tokenizer_build_blob(vocab, 4, merges, strlen(merges), 0, &o, &blob, &size, &at, &err);
    if (!want) {
        assert_int_equal(status, RT_OK);
        free(blob);
        return;
    }
    assert_int_equal(status, RT_ERR_INPUT);
    assert_null(blob);
    char told[sizeof err.message + 40]; /* "merges 2: ..." */
    static const char *const files[] = {"options", "vocabulary", "merges"};
    snprintf(told, sizeof told, "%s %zu: %s", files[at.where],
             at.where == RT_TOKENIZER_MERGES ? at.line : at.entry, err.message);
    if (!strstr(told, want)) fail_msg("'%s' does not say '%s'", told, want);
}

static void bad_vocabularies_are_errors(void **state) {
    (void)state;
    build("#version: 0.2\na b</w>\n", 3, 1, 77, NULL);
    build("a b</w>", 3, 1, 77, NULL);
    build("", 3, 1, 77, NULL);
    build("#version: 0.2\na\n", 3, 1, 77, "merges 2: 'a'");
    build("#version: 0.2\n\na b</w> c\n", 3, 1, 77, "merges 3: 'a b</w> c'");
    build(" b</w>\n", 3, 1, 77, "merges 1: ");
    build("a c\n", 3, 1, 77, "merges 1: 'c'");
    build("a a\n", 3, 1, 77, "'aa'");
    build("a b</w>", 9, 1, 77, "vocabulary 4: the vocabulary has no start token");
    build("a b</w>", 3, 0, 77, "twice");
    build("a b</w>", 3, 0xffffffffu, 77, "out of range");
    build("a b</w>", 3, 1, 2, "length");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clip_goldens),
        cmocka_unit_test(shapes_vocabulary),
        cmocka_unit_test(prompt_is_framed_and_cut),
        cmocka_unit_test(pad_and_special_tokens_are_options),
        cmocka_unit_test(added_tokens_are_taken_whole),
        cmocka_unit_test(added_tokens_have_rules),
        cmocka_unit_test(tokens_of_several_vectors),
        cmocka_unit_test(invalid_utf8_is_located),
        cmocka_unit_test(long_texts_are_fast),
        cmocka_unit_test(random_bytes),
        cmocka_unit_test(basic_plane),
        cmocka_unit_test(normalization),
        cmocka_unit_test(damaged_blobs_are_errors),
        cmocka_unit_test(bad_vocabularies_are_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
