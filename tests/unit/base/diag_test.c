/* Diagnostics: text form, JSON form, escaping, limit, suggestions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/captured_diag.h"

static const char config[] = "{\n  \"type\": \"ResBlok\",\n\t\"n\": 3\n}\n";

static const base_source *config_source(capture *c) {
    return base_diag_source(c->diag, "unet/config.json", config, strlen(config));
}

static void error_with_caret(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_loc loc = {
        .source = config_source(&c), .line = 2, .col = 11, .length = 9, .path = "$.type"};
    base_error(c.diag, &loc, "unknown block type '%s'", "ResBlok");
    base_note(c.diag, NULL, "did you mean 'ResBlock'?");
    assert_string_equal(captured(&c), "unet/config.json:2:11: error: unknown block type 'ResBlok'\n"
                                      "    2 |   \"type\": \"ResBlok\",\n"
                                      "      |           ^~~~~~~~~\n"
                                      "note: did you mean 'ResBlock'?\n");
    assert_int_equal(base_diag_errors(c.diag), 1);
    assert_int_equal(base_diag_warnings(c.diag), 0);
    capture_end(&c);
}

static void tabs_keep_the_caret_in_place(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_loc loc = {.source = config_source(&c), .line = 3, .col = 7, .length = 1};
    base_warning(c.diag, &loc, "small");
    assert_string_equal(captured(&c), "unet/config.json:3:7: warning: small\n"
                                      "    3 |  \"n\": 3\n"
                                      "      |       ^\n");
    assert_int_equal(base_diag_warnings(c.diag), 1);
    capture_end(&c);
}

static void caret_counts_characters_not_bytes(void **state) {
    (void)state;
    static const char text[] = "\"\xc3\xa9\xc3\xa8\x1b[31m\": x";
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_loc loc = {.source = base_diag_source(c.diag, "a", text, strlen(text)),
                    .line = 1,
                    .col = 14,
                    .length = 1};
    base_error(c.diag, &loc, "bad");
    assert_string_equal(captured(&c), "a:1:14: error: bad\n"
                                      "    1 | \"\xc3\xa9\xc3\xa8\\x1b[31m\": x\n"
                                      "      |               ^\n");
    capture_end(&c);
}

static void places_without_a_line(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_loc loc = {.source = base_diag_source(c.diag, "m.safetensors", NULL, 0),
                    .path = "tensor 'x'"};
    base_error(c.diag, &loc, "lies");
    base_error(c.diag, NULL, "no place");
    loc.path = NULL;
    base_error(c.diag, &loc, "whole file");
    assert_string_equal(captured(&c), "m.safetensors: tensor 'x': error: lies\n"
                                      "error: no place\n"
                                      "m.safetensors: error: whole file\n");
    capture_end(&c);
}

static void places_outside_the_text_are_harmless(void **state) {
    (void)state;
    static const uint32_t lines[][2] = {{2, 19}, {2, 4000000000u}, {5, 1},
                                        {6, 1},  {4000, 7},        {1, 0}};
    capture c;
    capture_begin(&c, (base_diag_options){0});
    const base_source *s = config_source(&c);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        base_loc loc = {.source = s, .line = lines[i][0], .col = lines[i][1], .length = UINT32_MAX};
        base_error(c.diag, &loc, "far");
    }
    assert_non_null(strstr(captured(&c), "config.json:4000:7: error: far"));
    capture_end(&c);
}

static void long_lines_are_cut_around_the_caret(void **state) {
    (void)state;
    enum { N = 100000 };
    char *text = malloc(N);
    memset(text, 'a', N);
    text[60000] = 'X';
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_loc loc = {
        .source = base_diag_source(c.diag, "a", text, N), .line = 1, .col = 60001, .length = 1};
    base_error(c.diag, &loc, "here");
    const char *out = captured(&c);
    assert_true(strlen(out) < 400);
    const char *quoted = strstr(out, "    1 | ...aaa"), *x = strchr(quoted, 'X');
    const char *second = strstr(quoted, "      | "), *caret = strchr(second, '^');
    assert_int_equal(x - quoted, caret - second);
    capture_end(&c);
    free(text);
}

static void hostile_bytes_never_reach_the_terminal(void **state) {
    (void)state;
    static const char *const hostile[] = {
        "\x1b[2J",
        "\r\n",
        "\x7f",
        "\xc2\x9b",
        "\xe2\x80\xaexyz",
        "\xe2\x81\xa6",
        "\xff\xfe",
        "\xc0\x80",
        "\xed\xa0\x80",
        "\xf4\x90\x80\x80",
        "\xe2\x80\xa8",
        "\xf3\xa0\x81\x81",
        "\xe2\x82",
    };
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        for (int json = 0; json < 2; json++) {
            capture c;
            capture_begin(&c, (base_diag_options){.json = json});
            char text[64];
            snprintf(text, sizeof text, "ab%scd", hostile[i]);
            base_loc loc = {.source = base_diag_source(c.diag, text, text, strlen(text)),
                            .line = 1,
                            .col = 1,
                            .length = 3,
                            .path = text};
            base_error(c.diag, &loc, "name '%s'", text);
            base_note(c.diag, &loc, "%s", text);
            const char *out = captured(&c);
            assert_null(strstr(out, hostile[i]));
            for (; *out; out++)
                assert_true(*out == '\n' || ((unsigned char)*out >= 0x20 && *out != 0x7f));
            capture_end(&c);
        }
    }
    assert_string_equal(base_escape("a\x1b\xe2\x80\xae\xff\xc3\xa9", 8),
                        "a\\x1b\\xe2\\x80\\xae\\xff\xc3\xa9");
}

static void escape_is_cut_and_kept_for_eight_calls(void **state) {
    (void)state;
    char name[1000];
    memset(name, 'n', sizeof name);
    const char *s = base_escape(name, sizeof name);
    assert_true(strlen(s) <= 200);
    assert_string_equal(s + strlen(s) - 3, "...");
    memset(name, '\x01', sizeof name);
    assert_true(strlen(base_escape(name, sizeof name)) <= 200);
    const char *kept[8];
    for (int i = 0; i < 8; i++) {
        name[0] = (char)('a' + i);
        kept[i] = base_escape(name, 1);
    }
    for (int i = 0; i < 8; i++) assert_int_equal(kept[i][0], 'a' + i);
    assert_string_equal(base_escape("", 0), "");
    char *cut = malloc(2); /* exactly, so that ASan sees a read behind a sequence cut short */
    memcpy(cut, "\xe2\x82", 2);
    assert_string_equal(base_escape(cut, 2), "\\xe2\\x82");
    free(cut);
}

static void json_form(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){.json = true});
    base_loc loc = {
        .source = config_source(&c), .line = 2, .col = 11, .length = 9, .path = "$.type"};
    base_error(c.diag, &loc, "a \"quoted\" \\ thing");
    base_note(c.diag, NULL, "one");
    base_note(c.diag, &loc, "two");
    base_warning(c.diag, NULL, "plain");
    assert_string_equal(captured(&c),
                        "{\"severity\":\"error\",\"message\":\"a \\\"quoted\\\" \\\\ "
                        "thing\",\"file\":\"unet/config.json\","
                        "\"line\":2,\"col\":11,\"length\":9,\"path\":\"$.type\",\"notes\":["
                        "{\"severity\":\"note\",\"message\":\"one\",\"file\":null,\"line\":0,"
                        "\"col\":0,\"length\":0,\"path\":"
                        "null},"
                        "{\"severity\":\"note\",\"message\":\"two\",\"file\":\"unet/"
                        "config.json\",\"line\":2,\"col\":11,"
                        "\"length\":9,\"path\":\"$.type\"}]}\n"
                        "{\"severity\":\"warning\",\"message\":\"plain\",\"file\":null,\"line\":0,"
                        "\"col\":0,\"length\":0,"
                        "\"path\":null,\"notes\":[]}\n");
    capture_end(&c);
}

static void limit_and_summary(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){.limit = 2});
    for (int i = 0; i < 5; i++) {
        base_error(c.diag, NULL, "e%d", i);
        base_note(c.diag, NULL, "n%d", i);
    }
    for (int i = 0; i < 3; i++) base_warning(c.diag, NULL, "w%d", i);
    assert_string_equal(captured(&c),
                        "error: e0\nnote: n0\nerror: e1\nnote: n1\nwarning: w0\nwarning: w1\n"
                        "note: too many errors: 3 more not shown\n"
                        "note: too many warnings: 1 more not shown\n");
    assert_int_equal(base_diag_errors(c.diag), 5);
    assert_int_equal(base_diag_warnings(c.diag), 3);
    capture_end(&c);
}

static void default_limit_is_twenty(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    for (int i = 0; i < 25; i++) base_error(c.diag, NULL, "e%d", i);
    assert_non_null(strstr(captured(&c), "error: e19\n"));
    assert_null(strstr(captured(&c), "error: e20\n"));
    assert_non_null(strstr(captured(&c), "too many errors: 5 more"));
    capture_end(&c);
}

static void the_json_summary_is_json(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){.limit = 1, .json = true});
    base_error(c.diag, NULL, "a");
    base_error(c.diag, NULL, "b");
    assert_non_null(
        strstr(captured(&c),
               "\n{\"severity\":\"note\",\"message\":\"too many errors: 1 more not shown\""));
    capture_end(&c);
}

static void windows_line_ends_are_not_quoted(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    base_loc loc = {.source = base_diag_source(c.diag, "a", "one\r\ntwo\r\n", 10),
                    .line = 2,
                    .col = 9,
                    .length = 1};
    base_error(c.diag, &loc, "x");
    assert_string_equal(captured(&c), "a:2:9: error: x\n    2 | two\n      |    ^\n");
    base_diag_free(NULL);
    capture_end(&c);
}

static void colours_only_when_asked(void **state) {
    (void)state;
    for (int color = 0; color < 2; color++) {
        capture c;
        capture_begin(&c, (base_diag_options){.color = color});
        base_loc loc = {.source = config_source(&c), .line = 2, .col = 11, .length = 9};
        base_error(c.diag, &loc, "x");
        assert_int_equal(strchr(captured(&c), '\x1b') != NULL, color);
        capture_end(&c);
    }
}

static void a_path_need_not_outlive_the_call(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    char *path = strdup("tensor 'w'");
    base_loc loc = {.source = base_diag_source(c.diag, "m", NULL, 0), .path = path};
    base_error(c.diag, &loc, "x");
    free(path);
    assert_string_equal(captured(&c), "m: tensor 'w': error: x\n");
    capture_end(&c);
}

static void our_own_bugs_exit_with_70(void **state) {
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], STDERR_FILENO);
        ICE("node %d has no %s", 4, "shape\x1b");
    }
    close(pipes[1]);
    char text[2000] = {0};
    size_t used = 0;
    for (ssize_t n; (n = read(pipes[0], text + used, sizeof text - 1 - used)) > 0;)
        used += (size_t)n;
    close(pipes[0]);
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 70);
    assert_non_null(strstr(text, "internal error at "));
    assert_non_null(strstr(text, "node 4 has no shape\\x1b"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_with_caret),
        cmocka_unit_test(tabs_keep_the_caret_in_place),
        cmocka_unit_test(caret_counts_characters_not_bytes),
        cmocka_unit_test(places_without_a_line),
        cmocka_unit_test(places_outside_the_text_are_harmless),
        cmocka_unit_test(long_lines_are_cut_around_the_caret),
        cmocka_unit_test(hostile_bytes_never_reach_the_terminal),
        cmocka_unit_test(escape_is_cut_and_kept_for_eight_calls),
        cmocka_unit_test(json_form),
        cmocka_unit_test(limit_and_summary),
        cmocka_unit_test(default_limit_is_twenty),
        cmocka_unit_test(the_json_summary_is_json),
        cmocka_unit_test(windows_line_ends_are_not_quoted),
        cmocka_unit_test(colours_only_when_asked),
        cmocka_unit_test(a_path_need_not_outlive_the_call),
        cmocka_unit_test(our_own_bugs_exit_with_70),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
