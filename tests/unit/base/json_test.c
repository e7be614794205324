/* The strict JSON reader: what it refuses and where, what it accepts, accessors, agreement with
 * cJSON. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "frontend/files/json_file.h"
#include "tests/unit/support/captured_diag.h"

static base_json *parse(capture *c, const char *text) {
    return base_json_parse(c->diag, "a.json", text, strlen(text), NULL);
}

/* ---- refused ---- */

typedef struct bad_case {
    const char *text;
    unsigned line, col;
    const char *message;
} bad_case;

/* The text must be refused with exactly one error at the place, saying `message`. */
static void refuse(const char *text, size_t length, unsigned line, unsigned col,
                   const char *message) {
    capture c;
    char place[64];
    capture_begin(&c, (base_diag_options){0});
    char *exact = malloc(length ? length : 1); /* so that ASan sees a read behind the text */
    memcpy(exact, text, length);
    base_json *doc = base_json_parse(c.diag, "a.json", exact, length, NULL);
    free(exact);
    snprintf(place, sizeof place, "a.json:%u:%u: error: ", line, col);
    if (doc || base_diag_errors(c.diag) != 1 || strncmp(captured(&c), place, strlen(place)) != 0 ||
        !strstr(captured(&c), message)) {
        fail_msg("text <%.*s>: expected %s...%s, got <%s>", (int)length, text, place, message,
                 captured(&c));
    }
    capture_end(&c);
}

static void refuse_all(const bad_case *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        refuse(cases[i].text, strlen(cases[i].text), cases[i].line, cases[i].col, cases[i].message);
    }
}
#define REFUSE_ALL(cases) refuse_all(cases, sizeof cases / sizeof *cases)

/* Lines of a file are documents: each is read alone, and its places are the file's. */
static void parts_have_places_in_the_file(void **state) {
    (void)state;
    static const char text[] = "[1]\n\n{\"a\": 27}\n[2,]\n[3]";
    capture c;
    int64_t value;
    capture_begin(&c, (base_diag_options){0});
    const base_source *file = base_diag_source(c.diag, "a.jsonl", text, sizeof text - 1);
    base_json *doc = base_json_parse_part(c.diag, file, 5, 14, 3, NULL);
    assert_non_null(doc);
    base_jval a = base_json_get(base_json_root(doc), "a");
    assert_true(base_json_int(a, &value, 0, 99) && value == 27);
    assert_int_equal(base_json_loc(a).line, 3);
    assert_int_equal(base_json_loc(a).col, 7);
    assert_false(base_json_int(a, &value, 0, 9));
    base_json_free(doc);
    assert_non_null(strstr(captured(&c), "a.jsonl:3:7: error: "));
    assert_non_null(strstr(captured(&c), "{\"a\": 27}"));
    capture_end(&c);

    capture_begin(&c, (base_diag_options){0});
    file = base_diag_source(c.diag, "a.jsonl", text, sizeof text - 1);
    assert_null(base_json_parse_part(c.diag, file, 15, 19, 4, NULL));
    assert_non_null(strstr(captured(&c), "a.jsonl:4:4: error: "));
    doc = base_json_parse_part(c.diag, file, 20, 23, 5, NULL);
    assert_non_null(doc);
    assert_int_equal(base_json_length(base_json_root(doc)), 1);
    base_json_free(doc);
    capture_end(&c);
}

static void refuses_bad_structure(void **state) {
    (void)state;
    static const bad_case cases[] = {
        {"", 1, 1, "empty"},
        {" \n ", 2, 2, "empty"},
        {"[1,]", 1, 4, "trailing comma before ']'"},
        {"{\"a\":1,}", 1, 8, "trailing comma before '}'"},
        {"{\"a\":1,\n}", 2, 1, "trailing comma before '}'"},
        {"[,1]", 1, 2, "expected a value, found ','"},
        {"[1 2]", 1, 4, "expected ',' or ']', found '2'"},
        {"{\"a\" 1}", 1, 6, "':' after the key"},
        {"{\"a\":}", 1, 6, "expected a value"},
        {"{\"a\":1 \"b\":2}", 1, 8, "expected ',' or '}'"},
        {"{a:1}", 1, 2, "a key in double quotes"},
        {"{1:1}", 1, 2, "a key in double quotes"},
        {"{'a':1}", 1, 2, "strings need double quotes"},
        {"['a']", 1, 2, "strings need double quotes"},
        {"[1", 1, 3, "the text ends where ',' or ']' should stand"},
        {"{", 1, 2, "the text ends"},
        {"{\"a\"", 1, 5, "the text ends"},
        {"{\"a\":", 1, 6, "the text ends where a value"},
        {"{\"a\":1,", 1, 8, "the text ends"},
        {"[1]]", 1, 4, "after the end"},
        {"{} {}", 1, 4, "after the end"},
        {"1 2", 1, 3, "after the end"},
        {"]", 1, 1, "expected a value"},
        {"[1}", 1, 3, "expected ',' or ']'"},
        {"{\"a\":1]", 1, 7, "expected ',' or '}'"},
        {"// no\n1", 1, 1, "comments"},
        {"[1, /* no */ 2]", 1, 5, "comments"},
        {"[1 # no\n]", 1, 4, "comments"},
        {"[\f1]", 1, 2, "0x0c"},
        {"[\xc2\xa0"
         "1]",
         1, 2, "0xc2"},
    };
    REFUSE_ALL(cases);
}

static void refuses_bad_numbers_and_words(void **state) {
    (void)state;
    static const bad_case cases[] = {
        {"01", 1, 1, "leading zero"},
        {"-01", 1, 1, "leading zero"},
        {"[1.]", 1, 2, "decimal point"},
        {"[.5]", 1, 2, "may not begin with '.'"},
        {"[+1]", 1, 2, "begin with '+'"},
        {"[1e]", 1, 2, "exponent"},
        {"[1e+]", 1, 2, "exponent"},
        {"[-]", 1, 2, "a digit must follow '-'"},
        {"[-Infinity]", 1, 2, "infinit"},
        {"[NaN]", 1, 2, "NaN and Infinity"},
        {"[Infinity]", 1, 2, "NaN and Infinity"},
        {"[nan]", 1, 2, "unknown word"},
        {"[0x10]", 1, 2, "malformed number"},
        {"[1.5.2]", 1, 2, "malformed number"},
        {"[12a]", 1, 2, "malformed number"},
        {"[1_000]", 1, 2, "malformed number"},
        {"[True]", 1, 2, "true, false and null"},
        {"[None]", 1, 2, "true, false and null"},
        {"[tru]", 1, 2, "unknown word"},
        {"[truely]", 1, 2, "unknown word"},
        {"[nul", 1, 2, "unknown word"},
        {"[1e999]", 1, 2, "too large for a double"},
        {"[-1.5E+400]", 1, 2, "too large for a double"},
    };
    REFUSE_ALL(cases);
    char digits[412];
    memset(digits, '9', sizeof digits);
    digits[0] = '[';
    digits[411] = ']';
    refuse(digits, sizeof digits, 1, 2, "too large for a double");
}

static void refuses_bad_strings(void **state) {
    (void)state;
    static const bad_case cases[] = {
        {"[\"abc", 1, 2, "without a closing quote"},
        {"[\"abc\\", 1, 6, "ends inside a string"},
        {"[\"ab\ncd\"]", 1, 5, "line break inside a string"},
        {"[\"a\tb\"]", 1, 4, "control character 0x09"},
        {"[\"a\x1f\"]", 1, 4, "control character 0x1f"},
        {"[\"\\x41\"]", 1, 3, "unknown escape"},
        {"[\"\\'\"]", 1, 3, "unknown escape"},
        {"[\"\\u12g4\"]", 1, 3, "four hexadecimal digits"},
        {"[\"\\u12\"]", 1, 3, "four hexadecimal digits"},
        {"[\"\\u0000\"]", 1, 3, "NUL character"},
        {"{\"\\u0000\":1}", 1, 3, "NUL character"},
        {"[\"\\udc00\"]", 1, 3, "lone low surrogate"},
        {"[\"\\ud800\"]", 1, 3, "not followed by a low one"},
        {"[\"\\ud800\\u0041\"]", 1, 3, "not followed by a low one"},
        {"[\"\\ud800\\ud800\"]", 1, 3, "not followed by a low one"},
        {"[\"\\ud83d\\n\"]", 1, 3, "not followed by a low one"},
    };
    REFUSE_ALL(cases);
    refuse("[\"a\0b\"]", 7, 1, 4, "control character 0x00");
    refuse("[1\0]", 4, 1, 3, "byte 0x00");
}

static void refuses_bad_utf8(void **state) {
    (void)state;
    static const char *const bytes[] = {
        "\x80",     /* continuation alone */
        "\xc0\xaf", /* overlong '/' */
        "\xc1\xbf",
        "\xe0\x80\xaf",
        "\xe0\x9f\xbf",
        "\xf0\x80\x80\xaf",
        "\xf0\x8f\xbf\xbf",
        "\xed\xa0\x80", /* surrogates */
        "\xed\xbf\xbf",
        "\xf4\x90\x80\x80", /* above U+10FFFF */
        "\xf5\x80\x80\x80",
        "\xff",
        "\xfe",
        "\xc3",
        "\xe2\x82",
        "\xf0\x9f\x98", /* cut short */
        "\xc3(",
        "\xe2\x82(",
        "\xf0\x9f\x98(",
    };
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        char text[32];
        snprintf(text, sizeof text, "[\"ab%s\"]", bytes[i]);
        refuse(text, strlen(text), 1, 5, "invalid UTF-8");
        snprintf(text, sizeof text, "[\"ab%s", bytes[i]);
        refuse(text, strlen(text), 1, 5, "invalid UTF-8");
    }
}

static void refuses_byte_order_marks(void **state) {
    (void)state;
    refuse("\xef\xbb\xbf{}", 5, 1, 1, "byte order mark");
    refuse("\xff\xfe{\0}\0", 6, 1, 1, "UTF-16");
    refuse("\xfe\xff\0{\0}", 6, 1, 1, "UTF-16");
}

static void refuses_deep_nesting(void **state) {
    (void)state;
    char text[400];
    for (int n = 63; n <= 66; n++) {
        for (int object = 0; object < 2; object++) {
            base_str s = {0};
            for (int i = 0; i < n; i++) base_str_add(&s, object ? "{\"a\":" : "[");
            base_str_add(&s, "1");
            for (int i = 0; i < n; i++) base_str_add(&s, object ? "}" : "]");
            capture c;
            capture_begin(&c, (base_diag_options){0});
            base_json *doc = parse(&c, s.data);
            assert_int_equal(doc != NULL, n <= 64);
            if (!doc) assert_non_null(strstr(captured(&c), "deeper than 64"));
            base_json_free(doc);
            capture_end(&c);
            base_str_free(&s);
        }
    }
    memset(text, '[', sizeof text);
    refuse(text, sizeof text, 1, 65, "deeper than 64");
}

static void refuses_too_much(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_json_limits bytes = {.max_bytes = 8}, values = {.max_values = 4};
    assert_null(base_json_parse(c.diag, "a", "[1,2,3,4]", 9, &bytes));
    assert_non_null(strstr(captured(&c), "too large: 9 bytes, the limit is 8"));
    assert_null(base_json_parse(c.diag, "a", "[1,2,3,4]", 9, &values));
    assert_non_null(strstr(captured(&c), "more than 4 values"));
    values.max_values = 5;
    base_json *doc = base_json_parse(c.diag, "a", "[1,2,3,4]", 9, &values);
    assert_non_null(doc);
    base_json_free(doc);
    capture_end(&c);
}

static void duplicate_keys_name_both_places(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    /* The second pair is equal only after decoding; the same key in another object is no duplicate.
     */
    assert_null(parse(
        &c, "{\"a\": 1,\n \"bc\": {\"a\": 2},\n \"a\": 3,\n \"\\u0062c\": 4, \"\": 1, \"\": 2}"));
    const char *out = captured(&c);
    assert_int_equal(base_diag_errors(c.diag), 3);
    assert_non_null(strstr(out, "a.json:3:2: error: duplicate key 'a'"));
    assert_non_null(strstr(out, "a.json:1:2: note: it was first given here"));
    assert_non_null(strstr(out, "a.json:4:2: error: duplicate key 'bc'"));
    assert_non_null(strstr(out, "a.json:2:2: note: it was first given here"));
    assert_non_null(strstr(out, "error: duplicate key ''"));
    capture_end(&c);
}

static void many_problems_stay_bounded(void **state) {
    (void)state;
    base_str s = {0};
    base_str_add(&s, "{\"a\":1");
    for (int i = 0; i < 50000; i++) base_str_add(&s, ",\"a\":1e999");
    base_str_add(&s, "}");
    capture c;
    capture_begin(&c, (base_diag_options){0});
    assert_null(parse(&c, s.data));
    assert_true(base_diag_errors(c.diag) >= 1 && base_diag_errors(c.diag) <= 100);
    capture_end(&c);
    base_str_free(&s);
}

/* Every prefix of a document is refused (none of them is a document itself) without reading behind
 * it. */
static void every_prefix_is_refused(void **state) {
    (void)state;
    static const char text[] =
        "{\"key\\u00e9\\ud83d\\ude00\": [1, -2.5e-3, true, null, \"\xf0\x9f\x98\x80\"], \"b\": {}}";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        capture c;
        capture_begin(&c, (base_diag_options){0});
        char *prefix = malloc(n ? n : 1);
        memcpy(prefix, text, n);
        assert_null(base_json_parse(c.diag, "a", prefix, n, NULL));
        assert_int_equal(base_diag_errors(c.diag), 1);
        free(prefix);
        capture_end(&c);
    }
}

/* ---- accepted ---- */

static void strings_are_decoded(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_json *doc =
        parse(&c, "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\", \"\\u0041\\u00e9\\u20AC\\ud83d\\uDE00\", "
                  "\"\", \"plain \xc3\xa9\"]");
    assert_non_null(doc);
    static const char *const expected[] = {
        "\"\\/\b\f\n\r\t", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "", "plain \xc3\xa9"};
    for (size_t i = 0; i < 4; i++) {
        const char *s;
        assert_true(base_json_string(base_json_item(base_json_root(doc), i), &s));
        assert_string_equal(s, expected[i]);
    }
    assert_false(base_json_present(base_json_item(base_json_root(doc), 4)));
    base_json_free(doc);
    capture_end(&c);
}

static void integers_are_exact(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){.limit = 100});
    base_json *doc = parse(
        &c,
        "[9223372036854775807, -9223372036854775808, 9007199254740993, -0, 0,"
        " 9223372036854775808, -9223372036854775809, 2.0, 1e3, \"3\", null, 18446744073709551616]");
    base_jval root = base_json_root(doc);
    static const int64_t good[] = {INT64_MAX, INT64_MIN, 9007199254740993, 0, 0};
    int64_t v = 77;
    for (size_t i = 0; i < 5; i++) {
        assert_true(base_json_int(base_json_item(root, i), &v, INT64_MIN, INT64_MAX));
        assert_int_equal(v, good[i]);
    }
    v = 77;
    for (size_t i = 5; i < 12; i++) {
        assert_false(base_json_int(base_json_item(root, i), &v, INT64_MIN, INT64_MAX));
        assert_int_equal(v, 77);
    }
    const char *out = captured(&c);
    assert_non_null(strstr(out, "'[5]': 9223372036854775808 is out of range"));
    assert_non_null(strstr(out, "'[7]': expected an integer, found a number with a fraction"));
    assert_non_null(strstr(out, "'[9]': expected an integer, found a string"));
    assert_non_null(strstr(out, "'[10]': expected an integer, found null"));
    assert_false(base_json_int(base_json_item(root, 4), &v, 1, INT64_MAX));
    assert_non_null(strstr(captured(&c), "'[4]': 0 is out of range (at least 1)"));
    assert_false(base_json_int(base_json_item(root, 4), &v, 1, 8));
    assert_non_null(strstr(captured(&c), "(1 to 8)"));
    base_json_free(doc);
    capture_end(&c);
}

static void doubles_are_read_alike_in_every_locale(void **state) {
    (void)state;
    static const char *const locales[] = {"C", "de_DE.UTF-8", "tr_TR.UTF-8"};
    for (size_t l = 0; l < 3; l++) {
        setlocale(LC_ALL, locales[l]); /* where it is not installed the round repeats C */
        capture c;
        capture_begin(&c, (base_diag_options){0});
        base_json *doc =
            parse(&c, "[0.18215, 1e-5, -2.5E+3, 7, 1e-999, 1.7976931348623157e308, "
                      "0.1000000000000000055511151231257827021181583404541015625000001]");
        static const double expected[] = {0.18215, 1e-5, -2500, 7, 0, 1.7976931348623157e308, 0.1};
        for (size_t i = 0; i < 7; i++) {
            double v;
            assert_true(base_json_double(base_json_item(base_json_root(doc), i), &v));
            assert_true(v == expected[i]);
        }
        base_json_free(doc);
        capture_end(&c);
    }
    setlocale(LC_ALL, "C");
}

static const char model[] =
    "{\n"
    "  \"act\": \"sliu\",\n"
    "  \"sample_size\": \"64\",\n"
    "  \"down\": [{\"type\": \"res\"}, {\"type\": 3, \"odd key\": [true]}],\n"
    "  \"eps\": 1e-05, \"flag\": true, \"nothing\": null, \"channels\": [320, 640, 1280]\n"
    "}\n";

static void members_and_order(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_json *doc = parse(&c, model);
    base_jval root = base_json_root(doc), down = base_json_get(root, "down");
    assert_int_equal(base_json_length(root), 7);
    assert_int_equal(base_json_length(down), 2);
    assert_int_equal(base_json_kind_of(down), BASE_JSON_ARRAY);
    assert_false(base_json_present(base_json_get(root, "Down"))); /* case matters */
    assert_false(base_json_present(base_json_get(root, "dow")));
    assert_false(base_json_present(base_json_get(root, "downs")));
    assert_false(base_json_present(base_json_get(down, "type")));
    static const char *const keys[] = {"act",  "sample_size", "down",    "eps",
                                       "flag", "nothing",     "channels"};
    size_t n = 0;
    for (base_jval m = base_json_first(root); base_json_present(m); m = base_json_next(m)) {
        assert_string_equal(base_json_key(m), keys[n++]);
    }
    assert_int_equal(n, 7);
    n = 0;
    for (base_jval m = base_json_first(down); base_json_present(m); m = base_json_next(m)) {
        assert_int_equal(m.node, base_json_item(down, n++).node);
        assert_null(base_json_key(m));
    }
    assert_int_equal(n, 2);
    assert_true(base_json_is_null(base_json_get(root, "nothing")));
    assert_false(base_json_is_null((base_jval){0}));
    assert_false(base_json_present(base_json_first(base_json_get(root, "eps"))));
    assert_false(base_json_present(base_json_next(root)));
    int64_t v[3];
    size_t count;
    assert_true(base_json_ints(base_json_get(root, "channels"), v, 3, &count, 1, 4096));
    assert_int_equal(count, 3);
    assert_int_equal(v[2], 1280);
    assert_int_equal(base_diag_errors(c.diag), 0);
    assert_false(base_json_ints(base_json_get(root, "channels"), v, 2, &count, 1, 4096));
    assert_false(base_json_ints(base_json_get(root, "channels"), v, 3, &count, 1, 639));
    assert_int_equal(base_diag_errors(c.diag), 3);
    base_json_free(doc);
    capture_end(&c);
}

static void lookup_in_a_large_object(void **state) {
    (void)state;
    base_str s = {0};
    base_str_add(&s, "{");
    for (int i = 0; i < 3000; i++)
        base_str_addf(&s, "%s\"k%d\":%d", i ? "," : "", (i * 7919) % 3000, (i * 7919) % 3000);
    base_str_add(&s, "}");
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_json *doc = parse(&c, s.data);
    for (int i = 0; i < 3000; i++) {
        char key[16];
        int64_t v;
        snprintf(key, sizeof key, "k%d", i);
        assert_true(base_json_int(base_json_get(base_json_root(doc), key), &v, 0, 3000));
        assert_int_equal(v, i);
    }
    base_json_free(doc);
    capture_end(&c);
    base_str_free(&s);
}

static void getters_report_places_and_paths(void **state) {
    (void)state;
    static const char *const acts[] = {"silu", "gelu"};
    capture c;
    capture_begin(&c, (base_diag_options){.json = true});
    base_json *doc = parse(&c, model);
    base_jval root = base_json_root(doc);
    int64_t i;
    size_t index;
    const char *s;
    double x;
    bool b;
    assert_false(base_json_int(base_json_get(root, "sample_size"), &i, 1, 4096));
    assert_non_null(strstr(
        captured(&c),
        "\"message\":\"'sample_size': expected an integer, found a string\","
        "\"file\":\"a.json\",\"line\":3,\"col\":18,\"length\":4,\"path\":\"$.sample_size\""));
    assert_false(base_json_choice(base_json_get(root, "act"), "activation", acts, 2, &index));
    assert_non_null(strstr(captured(&c), "unknown activation 'sliu'; did you mean 'silu'?"));
    base_jval second = base_json_item(base_json_get(root, "down"), 1);
    assert_false(base_json_string(base_json_get(second, "type"), &s));
    assert_non_null(strstr(captured(&c), "\"path\":\"$.down[1].type\""));
    assert_false(base_json_string(base_json_item(base_json_get(second, "odd key"), 0), &s));
    assert_non_null(strstr(captured(&c), "\"path\":\"$.down[1][\\\"odd key\\\"][0]\""));
    assert_false(base_json_double(base_json_get(root, "flag"), &x));
    assert_false(base_json_bool(base_json_get(root, "eps"), &b));
    assert_non_null(strstr(captured(&c), "'eps': expected true or false, found a number"));
    assert_false(base_json_present(base_json_require(second, "prefix")));
    assert_non_null(strstr(captured(&c), "missing key 'prefix'"));
    assert_false(base_json_present(base_json_require(base_json_get(root, "eps"), "x")));
    assert_non_null(strstr(captured(&c), "'eps': expected an object"));
    unsigned before = base_diag_errors(c.diag);
    assert_false(base_json_int((base_jval){0}, &i, 0, 1)); /* absent: somebody reported it before */
    assert_false(base_json_string(base_json_require((base_jval){0}, "x"), &s));
    assert_int_equal(base_diag_errors(c.diag), before);
    base_json_free(doc);
    capture_end(&c);
}

static void optional_members(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_json *doc = parse(&c, model);
    base_jval root = base_json_root(doc);
    assert_int_equal(base_json_opt_int(root, "absent", 5, 0, 10), 5);
    assert_int_equal(base_json_opt_int(root, "nothing", 6, 0, 10), 6);
    assert_true(base_json_opt_double(root, "eps", 1) == 1e-5);
    assert_true(base_json_opt_double(root, "absent", 0.5) == 0.5);
    assert_true(base_json_opt_bool(root, "flag", false));
    assert_string_equal(base_json_opt_string(root, "act", "x"), "sliu");
    assert_string_equal(base_json_opt_string(root, "nothing", "x"), "x");
    assert_int_equal(base_diag_errors(c.diag), 0);
    assert_int_equal(base_json_opt_int(root, "flag", 7, 0, 10), 7);
    assert_int_equal(base_diag_errors(c.diag), 1);
    base_json_free(doc);
    capture_end(&c);
}

static void unknown_keys(void **state) {
    (void)state;
    static const char *const known[] = {"in_channels", "out_channels", "_class_name"};
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_json *doc =
        parse(&c, "{\"in_chanels\": 4, \"out_channels\": 4, \"asked\": 1, \"zzz\": 2}");
    base_jval root = base_json_root(doc);
    base_json_get(root, "asked");
    assert_int_equal(base_json_report_unknown_keys(root, known, 3, BASE_WARNING), 2);
    assert_int_equal(base_diag_warnings(c.diag), 2);
    assert_non_null(
        strstr(captured(&c),
               "a.json:1:2: warning: unknown key 'in_chanels'; did you mean 'in_channels'?"));
    assert_non_null(strstr(captured(&c), "warning: unknown key 'zzz'\n"));
    assert_int_equal(base_json_report_unknown_keys(root, NULL, 0, BASE_ERROR), 3);
    assert_int_equal(base_diag_errors(c.diag), 3);
    base_json_free(doc);
    capture_end(&c);
}

/* A key nobody knows is compared with the keys that were asked for in vain in the same object. */
static void unknown_keys_may_be_meant_ones(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_json *doc = parse(&c, "{\"in_chanels\": 4, \"sub\": {\"in_chanel\": 1}}");
    base_jval root = base_json_root(doc), sub = base_json_get(root, "sub");
    base_json_get(root, "in_channels");
    assert_int_equal(base_json_report_unknown_keys(root, NULL, 0, BASE_ERROR), 1);
    assert_non_null(strstr(captured(&c), "unknown key 'in_chanels'; did you mean 'in_channels'?"));
    assert_int_equal(base_json_report_unknown_keys(sub, NULL, 0, BASE_ERROR), 1);
    assert_non_null(strstr(captured(&c), "unknown key 'in_chanel'\n"));
    assert_int_equal(base_json_report_unknown_keys(base_json_first(sub), NULL, 0, BASE_ERROR), 0);
    for (int i = 0; i < 2000; i++) base_json_get(sub, "x"); /* the record is bounded */
    assert_int_equal(base_json_report_unknown_keys(sub, NULL, 0, BASE_ERROR), 1);
    base_json_free(doc);
    capture_end(&c);
}

static void choices(void **state) {
    (void)state;
    static const char *const names[] = {"epsilon", "v_prediction", "sample"};
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_json *doc = parse(&c, "[\"v_prediction\", \"flow\", 1]");
    size_t index = 9;
    assert_true(
        base_json_choice(base_json_item(base_json_root(doc), 0), "prediction", names, 3, &index));
    assert_int_equal(index, 1);
    assert_false(
        base_json_choice(base_json_item(base_json_root(doc), 1), "prediction", names, 3, &index));
    assert_non_null(strstr(captured(&c), "unknown prediction 'flow'\n"));
    assert_non_null(strstr(captured(&c), "note: known: epsilon, v_prediction, sample\n"));
    assert_false(
        base_json_choice(base_json_item(base_json_root(doc), 2), "prediction", names, 3, &index));
    int64_t v[1];
    size_t count;
    assert_false(base_json_ints(base_json_item(base_json_root(doc), 2), v, 1, &count, 0, 1));
    assert_non_null(strstr(captured(&c), "'[2]': expected an array of integers, found an integer"));
    base_json_free(doc);
    capture_end(&c);
}

static void paths_of_odd_keys_and_of_the_root(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_json *doc = parse(&c, "{\"2x\": {\"\": 1, \"x2\": 2}}");
    base_jval root = base_json_root(doc), two = base_json_get(root, "2x");
    assert_string_equal(base_json_loc(two).path, "$[\"2x\"]");
    assert_string_equal(base_json_loc(base_json_get(two, "")).path, "$[\"2x\"][\"\"]");
    assert_string_equal(base_json_loc(base_json_get(two, "x2")).path, "$[\"2x\"].x2");
    assert_int_equal(base_json_key_loc(two).col, 2);
    assert_int_equal(base_json_loc(two).col, 8);
    assert_int_equal(base_json_key_loc(root).col, 1);
    bool b;
    assert_false(base_json_bool(root, &b));
    assert_non_null(strstr(captured(&c), "error: expected true or false, found an object"));
    base_json_free(doc);
    capture_end(&c);
}

static void absent_values_are_accepted_everywhere(void **state) {
    (void)state;
    base_jval none = {0};
    int64_t i;
    double x;
    bool b;
    size_t n;
    const char *s, *const names[] = {"a"};
    assert_false(base_json_present(none) || base_json_is(none, BASE_JSON_NULL) ||
                 base_json_expect(none, BASE_JSON_NULL));
    assert_int_equal(base_json_kind_of(none), BASE_JSON_NULL);
    assert_false(base_json_present(base_json_get(none, "a")) ||
                 base_json_present(base_json_require(none, "a")));
    assert_false(base_json_present(base_json_first(none)) ||
                 base_json_present(base_json_next(none)));
    assert_false(base_json_present(base_json_item(none, 0)) || base_json_length(none) ||
                 base_json_key(none));
    assert_false(base_json_int(none, &i, 0, 1) || base_json_double(none, &x) ||
                 base_json_bool(none, &b));
    assert_false(base_json_string(none, &s) || base_json_choice(none, "x", names, 1, &n) ||
                 base_json_ints(none, &i, 1, &n, 0, 1));
    assert_int_equal(base_json_opt_int(none, "a", 4, 0, 9), 4);
    assert_null(base_json_loc(none).source);
    assert_null(base_json_key_loc(none).source);
    base_json_error(none, "silent");
    base_json_warning(none, "silent");
    assert_int_equal(base_json_report_unknown_keys(none, NULL, 0, BASE_ERROR), 0);
}

static void documents_in_a_folder(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    fe_dir *dir = fe_dir_open(c.diag, EBRU_TEST_DATA "/fuzz/corpus/json");
    base_json *doc = fe_json_load_in(c.diag, dir, "config.json", NULL);
    assert_int_equal(base_json_length(base_json_root(doc)), 5);
    assert_non_null(strstr(base_json_source(doc)->path, "corpus/json/config.json"));
    base_json_free(doc);
    assert_null(fe_json_load_in(c.diag, dir, "none.json", NULL));
    assert_null(fe_json_load_in(c.diag, dir, "../json/config.json", NULL));
    assert_null(fe_json_load(c.diag, EBRU_TEST_DATA "/fuzz/corpus/json/none.json", NULL));
    base_json_limits limits = {.max_bytes = 10};
    assert_null(fe_json_load_in(c.diag, dir, "config.json", &limits));
    assert_int_equal(base_diag_errors(c.diag), 4);
    fe_dir_close(dir);
    capture_end(&c);
}

/* ---- agreement with cJSON, an independent parser ---- */

static void same_value(base_jval ours, const cJSON *theirs) {
    switch (base_json_kind_of(ours)) {
    case BASE_JSON_NULL: assert_true(cJSON_IsNull(theirs)); break;
    case BASE_JSON_BOOL: {
        bool b = false;
        assert_true(base_json_bool(ours, &b) && cJSON_IsBool(theirs) && b == cJSON_IsTrue(theirs));
        break;
    }
    case BASE_JSON_INT:
    case BASE_JSON_REAL: {
        double x = 0;
        assert_true(base_json_double(ours, &x) && cJSON_IsNumber(theirs) &&
                    x == theirs->valuedouble);
        break;
    }
    case BASE_JSON_STRING: {
        const char *s = NULL;
        assert_true(base_json_string(ours, &s) && cJSON_IsString(theirs));
        assert_string_equal(s, theirs->valuestring);
        break;
    }
    default: {
        assert_true(base_json_is(ours, BASE_JSON_OBJECT) ? cJSON_IsObject(theirs)
                                                         : cJSON_IsArray(theirs));
        base_jval v = base_json_first(ours);
        for (const cJSON *t = theirs->child; t; t = t->next, v = base_json_next(v)) {
            assert_true(base_json_present(v));
            if (t->string) assert_string_equal(base_json_key(v), t->string);
            same_value(v, t);
        }
        assert_false(base_json_present(v));
    }
    }
}

static void agrees_with_cjson(void **state) {
    (void)state;
    static const char *const files[] = {
        "goldens/unet-sd1/config.json",     "goldens/unet-sd2/config.json",
        "goldens/unet2d-cifar/config.json", "goldens/vae-kl/config.json",
        "goldens/text-gelu/config.json",    "../models/clip/vocab.json"};
    unsigned compared = 0;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[4096];
        capture c;
        fe_bytes bytes;
        snprintf(path, sizeof path, EBRU_TEST_DATA "/%s", files[i]);
        capture_begin(&c, (base_diag_options){0});
        if (fe_path_is_file(path)) {
            base_json *doc = fe_json_load(c.diag, path, NULL);
            assert_non_null(doc);
            assert_true(fe_file_read(c.diag, path, 0, &bytes));
            cJSON *theirs = cJSON_Parse(bytes.data);
            same_value(base_json_root(doc), theirs);
            cJSON_Delete(theirs);
            fe_bytes_free(&bytes);
            base_json_free(doc);
            compared++;
        }
        capture_end(&c);
    }
    assert_true(compared >= 3);
}

/* ---- cost ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) ||                         \
    __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Any 1 MiB text is read in less than 64 MiB: the worst is a list of one-digit numbers. */
static void memory_stays_in_proportion(void **state) {
    (void)state;
#ifndef SANITIZED
    pid_t child = fork();
    if (child == 0) {
        enum { N = 1024 * 1024 };
        char *text = malloc(N);
        for (size_t i = 0; i < N; i++) text[i] = i % 2 ? '1' : ',';
        text[0] = '[';
        text[N - 1] = ']';
        text[N - 2] = ' ';
        text[N - 3] = '1';
        base_diag *d = base_diag_new(NULL);
        base_json *doc = base_json_parse(d, "a", text, N, NULL);
        bool good = doc && base_json_length(base_json_root(doc)) > N / 2 - 4;
        _exit(good ? 0 : 1);
    }
    int status;
    struct rusage usage;
    wait4(child, &status, 0, &usage);
    assert_int_equal(status, 0);
    assert_true(usage.ru_maxrss < 64 * 1024);
#endif
}

/* ---- Python's numbers ---- */

static base_json *parse_python(capture *c, const char *text) {
    static const base_json_limits python = {.python_numbers = true};
    return base_json_parse(c->diag, "a.json", text, strlen(text), &python);
}

static void python_numbers(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_json *doc = parse_python(&c, "{\"a\": -Infinity, \"b\": [NaN,Infinity], \"c\": -1}");
    assert_non_null(doc);
    base_jval root = base_json_root(doc), list = base_json_get(root, "b");
    double number = 7;
    assert_true(base_json_any_double(base_json_get(root, "a"), &number));
    assert_true(isinf(number) && number < 0);
    assert_true(base_json_any_double(base_json_item(list, 0), &number) && isnan(number));
    assert_true(base_json_any_double(base_json_item(list, 1), &number) && isinf(number));
    assert_true(base_json_double(base_json_get(root, "c"), &number) && number == -1);
    /* refused where a number is used */
    assert_false(base_json_double(base_json_get(root, "a"), &number));
    assert_true(number == -1);
    assert_non_null(strstr(captured(&c), "'a': expected a finite number, found -Infinity"));
    base_json_free(doc);
    static const char *const bad[] = {"[Infinit]", "[NaNs]",       "[-NaN]",      "[+Infinity]",
                                      "[nan]",     "[-Infinity1]", "[Infinity.]", "[-I]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_null(parse_python(&c, bad[i]));
    capture_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_have_places_in_the_file),
        cmocka_unit_test(refuses_bad_structure),
        cmocka_unit_test(refuses_bad_numbers_and_words),
        cmocka_unit_test(refuses_bad_strings),
        cmocka_unit_test(refuses_bad_utf8),
        cmocka_unit_test(refuses_byte_order_marks),
        cmocka_unit_test(refuses_deep_nesting),
        cmocka_unit_test(refuses_too_much),
        cmocka_unit_test(duplicate_keys_name_both_places),
        cmocka_unit_test(many_problems_stay_bounded),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(doubles_are_read_alike_in_every_locale),
        cmocka_unit_test(members_and_order),
        cmocka_unit_test(lookup_in_a_large_object),
        cmocka_unit_test(getters_report_places_and_paths),
        cmocka_unit_test(optional_members),
        cmocka_unit_test(unknown_keys),
        cmocka_unit_test(unknown_keys_may_be_meant_ones),
        cmocka_unit_test(choices),
        cmocka_unit_test(paths_of_odd_keys_and_of_the_root),
        cmocka_unit_test(absent_values_are_accepted_everywhere),
        cmocka_unit_test(documents_in_a_folder),
        cmocka_unit_test(agrees_with_cjson),
        cmocka_unit_test(memory_stays_in_proportion),
        cmocka_unit_test(python_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
