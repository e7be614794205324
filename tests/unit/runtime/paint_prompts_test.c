/* Prompts of the command line, of files and of standard input. */
#include "runtime/cli/paint/paint_prompts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/ebru-prompt-XXXXXX";

static const char *file_of(const char *bytes, size_t n) {
    static char given[64];
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) fail_msg("cannot write %s", path);
    snprintf(given, sizeof given, "@%s", path);
    return given;
}
#define FILE_OF(text) file_of(text, sizeof(text) - 1)

static void expect(const char *given, const char *wanted) {
    bool input_read = false;
    char *text;
    size_t length;
    rt_error err = {""};
    const rt_prompt_source from = {.option = "--prompt", .given = given, .quiet = true};
    if (rt_prompt_read(&from, &input_read, &text, &length, &err)) fail_msg("%s", err.message);
    assert_int_equal(length, strlen(wanted));
    assert_string_equal(text, wanted);
    free(text);
}

static void refuse(const char *given, rt_status status, const char *says) {
    bool input_read = true;
    char *text;
    size_t length;
    rt_error err = {""};
    const rt_prompt_source from = {.option = "--negative-prompt", .given = given};
    assert_int_equal(rt_prompt_read(&from, &input_read, &text, &length, &err), status);
    assert_null(text);
    if (!strstr(err.message, says) || !strstr(err.message, "--negative-prompt"))
        fail_msg("'%s' lacks '%s'", err.message, says);
}

static void texts(void **state) {
    (void)state;
    expect("a red\tcircle", "a red\tcircle");
    expect("", "");
    expect("a@b - c", "a@b - c");
    expect("\xef\xbb\xbf"
           "circle",
           "circle");
    expect(FILE_OF("\xef\xbb\xbf"
                   "a circle\r\n\n"),
           "a circle");
    expect(FILE_OF("two\nlines"), "two\nlines");
    expect("1 < 2 > 0, <lora>, <dot>, <lora:unclosed", "1 < 2 > 0, <lora>, <dot>, <lora:unclosed");
}

static void refusals(void **state) {
    (void)state;
    refuse("-", RT_ERR_USAGE, "standard input has one text");
    refuse("@/no/such/file", RT_ERR_SYSTEM, "cannot open the prompt file '/no/such/file'");
    refuse("caf\xe9", RT_ERR_INPUT, "not UTF-8 at byte 3");
    refuse(FILE_OF("\xff\xfe"
                   "a\0"),
           RT_ERR_INPUT, "UTF-16");
    refuse(FILE_OF("a circle\0 and more"), RT_ERR_INPUT, "NUL at byte 8");
    refuse("a cat <lora:style:0.8>, red", RT_ERR_USAGE, "'<lora:style:0.8>' does nothing");
    refuse("<lyco:x:1>", RT_ERR_USAGE, "--lora=FILE:SCALE");
    refuse("<hypernet:x:1>", RT_ERR_USAGE, "hypernetworks");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts), cmocka_unit_test(refusals)};
    int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
