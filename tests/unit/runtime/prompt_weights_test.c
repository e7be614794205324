/* Weighted prompts. The first table is the examples that the web UI publishes with its parser
 * (parse_prompt_attention); the others are what the header promises beyond them. */
#include "runtime/text/prompt_weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BREAK "\x01" /* stands for a break in the tables */

struct want {
    const char *text;
    double weight;
};
struct example {
    const char *prompt;
    struct want segments[12];
};

/* Parses a copy of exactly this size, so that a sanitizer sees a read behind it. */
static rt_status parse(const char *text, size_t length, rt_prompt *p, rt_error *err) {
    char *exact = malloc(length ? length : 1);
    assert_non_null(exact);
    memcpy(exact, text, length);
    rt_status status = rt_prompt_parse(exact, length, p, err);
    free(exact);
    return status;
}

static void check(const struct example *e) {
    rt_prompt p;
    rt_error err = {""};
    if (parse(e->prompt, strlen(e->prompt), &p, &err) != RT_OK)
        fail_msg("'%s': %s", e->prompt, err.message);
    size_t count = 0;
    while (count < 12 && e->segments[count].text) count++;
    for (size_t i = 0; i < count && i < p.count; i++) {
        const struct want *w = &e->segments[i];
        const rt_prompt_segment *s = &p.segments[i];
        bool is_break = strcmp(w->text, BREAK) == 0;
        const char *text = is_break ? "" : w->text;
        if (s->is_break != is_break || strcmp(s->text, text) != 0 || s->length != strlen(text) ||
            !(fabs((double)s->weight - (is_break ? 1 : w->weight)) <=
              1e-6 * fmax(1, fabs(w->weight))))
            fail_msg("'%s', segment %zu: '%s' %g, expected '%s' %g", e->prompt, i, s->text,
                     (double)s->weight, w->text, w->weight);
    }
    if (p.count != count) fail_msg("'%s': %zu segments, expected %zu", e->prompt, p.count, count);
    rt_prompt_free(&p);
    assert_null(p.segments);
}
#define CHECK_ALL(examples)                                                                        \
    for (size_t e_ = 0; e_ < sizeof(examples) / sizeof *(examples); e_++) check(&(examples)[e_])

static void published_examples(void **state) {
    (void)state;
    static const struct example examples[] = {
        {"normal text", {{"normal text", 1}}},
        {"an (important) word", {{"an ", 1}, {"important", 1.1}, {" word", 1}}},
        {"(unbalanced", {{"unbalanced", 1.1}}},
        {"\\(literal\\]", {{"(literal]", 1}}},
        {"(unnecessary)(parens)", {{"unnecessaryparens", 1.1}}},
        {"a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
         {{"a ", 1},
          {"house", 1.5730000000000004},
          {" ", 1.1},
          {"on", 1},
          {" a ", 1.1},
          {"hill", 0.55},
          {", sun, ", 1.1},
          {"sky", 1.4641000000000006},
          {".", 1.1}}},
    };
    CHECK_ALL(examples);
}

static void nesting_and_numbers(void **state) {
    (void)state;
    static const struct example examples[] = {
        {"", {{"", 1}}},
        {"()[]", {{"", 1}}},
        {"((a))", {{"a", 1.21}}},
        {"[[a]]", {{"a", 1 / 1.21}}},
        {"(a:1.5)", {{"a", 1.5}}},
        {"((a:1.5):2)", {{"a", 3}}},
        {"(a [b] c)", {{"a ", 1.1}, {"b", 1}, {" c", 1.1}}},
        {"(a[b)c]", {{"a", 1.1}, {"b", 1}, {"c", 1 / 1.1}}}, /* independent of each other */
        {"(a:0)", {{"a", 0}}},
        {"(a:-1)b", {{"a", -1}, {"b", 1}}},
        {"(a:+.5)", {{"a", .5}}},
        {"(a:2.)", {{"a", 2}}},
        {"(a: 1.5 )", {{"a", 1.5}}},
        {"(a:1)b", {{"ab", 1}}},
        {"(ratio 16:9 wide)", {{"ratio 16:9 wide", 1.1}}},
        {"(at 12:30)", {{"at 12", 30}}}, /* a surprise, but what the notation says */
        {"(a:b:1.5)", {{"a:b", 1.5}}},
        {"(a:1.5 b)", {{"a:1.5 b", 1.1}}},
        {"(a:)", {{"a:", 1.1}}},
        {"(a:x)", {{"a:x", 1.1}}},
        {"(a:1e3)", {{"a:1e3", 1.1}}},
        {"[a:1.5]", {{"a:1.5", 1 / 1.1}}}, /* square brackets take no number */
        {"(caf\xc3\xa9:2) \xe2\x98\x83", {{"caf\xc3\xa9", 2}, {" \xe2\x98\x83", 1}}},
    };
    CHECK_ALL(examples);
}

static void unbalanced_and_escapes(void **state) {
    (void)state;
    static const struct example examples[] = {
        {"a)b", {{"a)b", 1}}},
        {"a]b", {{"a]b", 1}}},
        {"a:1.5)b", {{"a:1.5)b", 1}}},
        {":-)", {{":-)", 1}}},
        {"(a))b", {{"a", 1.1}, {")b", 1}}},
        {"a (b", {{"a ", 1}, {"b", 1.1}}},
        {"a [b", {{"a ", 1}, {"b", 1 / 1.1}}},
        {"((a)b", {{"a", 1.21}, {"b", 1.1}}},
        {"(a:1.5", {{"a:1.5", 1.1}}},
        {"\\(a\\)\\[b\\]\\\\", {{"(a)[b]\\", 1}}},
        {"(\\):2)", {{")", 2}}},
        {"(a\\:2)", {{"a\\", 2}}},
        {"\\a\\", {{"\\a\\", 1}}},
        {"\\\\(a)", {{"\\", 1}, {"a", 1.1}}},
    };
    CHECK_ALL(examples);
}

static void breaks(void **state) {
    (void)state;
    static const struct example examples[] = {
        {"a BREAK b", {{"a", 1}, {BREAK, 1}, {"b", 1}}},
        {"BREAK", {{BREAK, 1}}},
        {" BREAK  BREAK\n", {{BREAK, 1}, {BREAK, 1}}},
        {"a,BREAK\nb", {{"a,", 1}, {BREAK, 1}, {"b", 1}}},
        {"aBREAK BREAKs BREAK_ break", {{"aBREAK BREAKs BREAK_ break", 1}}},
        {"\xc3\xa9"
         "BREAK",
         {{"\xc3\xa9"
           "BREAK",
           1}}},
        {"(a) BREAK (b)", {{"a", 1.1}, {BREAK, 1}, {"b", 1.1}}},
        {"(a BREAK b:2) c", {{"a", 2}, {BREAK, 1}, {"b", 2}, {" c", 1}}},
        {"(BREAK)", {{BREAK, 1}}},
        {"a ( BREAK b)", {{"a ", 1}, {BREAK, 1}, {"b", 1.1}}},
        {"Bob BREA", {{"Bob BREA", 1}}},
    };
    CHECK_ALL(examples);
}

static void refuse(const char *text, size_t length, const char *want) {
    rt_prompt p;
    rt_error err = {""};
    assert_int_equal(parse(text, length, &p, &err), RT_ERR_INPUT);
    if (!strstr(err.message, want)) fail_msg("'%s' does not say '%s'", err.message, want);
    assert_null(p.segments);
    assert_null(p.storage);
    assert_int_equal(p.count, 0);
}

static void refusals(void **state) {
    (void)state;
    refuse("see (a:1.2.3)", 13, "'1.2.3' at byte 7 of the prompt is no number");
    refuse("(a:.)", 5, "'.' at byte 3");
}

static void signs_alone_are_text(void **state) {
    (void)state;
    static const struct example examples[] = {{"(a:-)", {{"a:-", 1.1}}},
                                              {"(a:+-1)", {{"a:+-1", 1.1}}}};
    CHECK_ALL(examples);
}

/* Sizes that would hurt if work or memory grew faster than the text. */
static void bombs(void **state) {
    (void)state;
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE + 1);
    assert_non_null(text);
    rt_prompt p;
    memset(text, '(', SIZE);
    refuse(text, SIZE, "more than 100 '(' brackets are open at byte 100");
    memset(text, '[', SIZE);
    refuse(text, SIZE, "more than 100 '[' brackets");
    memset(text, ')', SIZE);
    assert_int_equal(rt_prompt_parse(text, SIZE, &p, NULL), RT_OK);
    assert_int_equal(p.count, 1);
    assert_int_equal(p.segments[0].length, SIZE);
    rt_prompt_free(&p);

    memset(text, '[', 100); /* as deep as it goes, and a piece every other byte */
    for (size_t i = 100; i < SIZE; i++) text[i] = "a()"[i % 3];
    assert_int_equal(rt_prompt_parse(text, SIZE, &p, NULL), RT_OK);
    rt_prompt_free(&p);
    for (size_t i = 0; i < SIZE; i++) text[i] = "a(b)"[i % 4];
    assert_int_equal(rt_prompt_parse(text, SIZE, &p, NULL), RT_OK);
    assert_int_equal(p.count, SIZE / 2);
    rt_prompt_free(&p);
    memset(text, ':', SIZE);
    memset(text, '(', 90);
    assert_int_equal(rt_prompt_parse(text, SIZE, &p, NULL), RT_OK);
    rt_prompt_free(&p);
    refuse(text, SIZE + 1, "too long");

    size_t n = 0; /* weights that multiply beyond every float */
    for (int i = 0; i < 80; i++) text[n++] = '(';
    text[n++] = 'a';
    for (int i = 0; i < 80; i++) n += (size_t)snprintf(text + n, 8, ":999)");
    refuse(text, n, "the weight at byte 96 of the prompt is above 1000000");
    memset(text, '9', 200);
    memcpy(text, "(a:", 3);
    text[200] = ')';
    refuse(text, 201, "is no number");
    free(text);
}

/* No text makes it crash, run over its buffers or lose bytes that are neither brackets nor escapes.
 */
static void any_text(void **state) {
    (void)state;
    static const char *const parts[] = {"(",     ")", "[", "]", ":",  "\\", "1.1",
                                        "BREAK", " ", "a", "B", "\n", "-",  "."};
    uint32_t x = 7;
    for (int round = 0; round < 20000; round++) {
        char text[128];
        size_t n = 0;
        for (int i = 0; i < 12; i++) {
            const char *part =
                parts[(x = x * 1664525u + 1013904223u) >> 24 & 15 ? (x >> 20) % 14 : 0];
            memcpy(text + n, part, strlen(part));
            n += strlen(part);
        }
        rt_prompt p;
        rt_error err = {""};
        rt_status status = parse(text, n, &p, &err);
        assert_true(status == RT_OK || (status == RT_ERR_INPUT && err.message[0]));
        if (status != RT_OK) continue;
        assert_true(p.count >= 1);
        for (size_t i = 0; i < p.count; i++) {
            const rt_prompt_segment *s = &p.segments[i];
            assert_int_equal(strlen(s->text), s->length);
            assert_true(isfinite(s->weight));
            assert_true(s->length > 0 || s->is_break || p.count == 1);
            if (i > 0 && !s->is_break && !s[-1].is_break) assert_true(s->weight != s[-1].weight);
        }
        rt_prompt_free(&p);
    }
    rt_prompt p;
    assert_int_equal(parse("a\0(b)", 5, &p, NULL), RT_OK);
    assert_int_equal(p.count, 2);
    assert_int_equal(p.segments[0].length, 2);
    rt_prompt_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples),
        cmocka_unit_test(nesting_and_numbers),
        cmocka_unit_test(unbalanced_and_escapes),
        cmocka_unit_test(breaks),
        cmocka_unit_test(refusals),
        cmocka_unit_test(signs_alone_are_text),
        cmocka_unit_test(bombs),
        cmocka_unit_test(any_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
