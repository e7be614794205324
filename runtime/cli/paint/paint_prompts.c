#include "runtime/cli/paint/paint_prompts.h"

#include "runtime/text/prompt_weights.h"
#include "runtime/text/unicode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PROMPT_LIMIT = 1 << 20, /* bytes of one prompt */ NAME_ROOM = 320 };

/* How messages call the prompt: its option, and where it was read from. Returns `out`. */
static const char *prompt_name(const rt_prompt_source *from, char out[NAME_ROOM]) {
    char shown[RT_PRINTABLE_MAX];
    if (!strcmp(from->given, "-"))
        snprintf(out, NAME_ROOM, "%s: the text on standard input", from->option);
    else if (from->given[0] == '@')
        snprintf(out, NAME_ROOM, "%s: the text in '%s'", from->option,
                 rt_printable(from->given + 1, shown));
    else
        snprintf(out, NAME_ROOM, "%s '%.60s'", from->option, rt_printable(from->given, shown));
    return out;
}

static bool is_stream(const rt_prompt_source *from) {
    return from->given[0] == '@' || !strcmp(from->given, "-");
}

/* ---- reading ---- */

static rt_status read_stream(FILE *f, const rt_prompt_source *from, char **out, size_t *length,
                             rt_error *err) {
    char name[NAME_ROOM], *text = malloc(PROMPT_LIMIT + 1);
    if (!text) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    errno = 0;
    size_t n = fread(text, 1, PROMPT_LIMIT + 1, f);
    if (ferror(f) || n > PROMPT_LIMIT) {
        int code = errno;
        free(text);
        prompt_name(from, name);
        return n > PROMPT_LIMIT
                   ? rt_fail(err, RT_ERR_INPUT, "%s is longer than %d bytes", name, PROMPT_LIMIT)
                   : rt_fail(err, RT_ERR_SYSTEM, "cannot read %s: %s", name,
                             strerror(code ? code : EIO));
    }
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r')) n--;
    text[n] = '\0';
    *out = text;
    *length = n;
    return RT_OK;
}

static rt_status read_given(const rt_prompt_source *from, bool *input_read, char **out,
                            size_t *length, rt_error *err) {
    char shown[RT_PRINTABLE_MAX];
    if (!strcmp(from->given, "-")) {
        if (*input_read)
            return rt_fail(err, RT_ERR_USAGE, "%s: standard input has one text, for one prompt",
                           from->option);
        *input_read = true;
        return read_stream(stdin, from, out, length, err);
    }
    if (from->given[0] == '@') {
        FILE *f = fopen(from->given + 1, "r");
        if (!f)
            return rt_fail(err, RT_ERR_SYSTEM, "%s: cannot open the prompt file '%s': %s",
                           from->option, rt_printable(from->given + 1, shown), strerror(errno));
        rt_status s = read_stream(f, from, out, length, err);
        fclose(f);
        return s;
    }
    *length = strlen(from->given);
    *out = strdup(from->given);
    return *out ? RT_OK : rt_fail(err, RT_ERR_SYSTEM, "out of memory");
}

/* ---- what the text is ---- */

/* Takes a byte order mark away; those of other encodings are told by name. */
static rt_status check_encoding(const rt_prompt_source *from, char *text, size_t *length,
                                rt_error *err) {
    char name[NAME_ROOM];
    if (*length >= 2 && (!memcmp(text, "\xff\xfe", 2) || !memcmp(text, "\xfe\xff", 2)))
        return rt_fail(err, RT_ERR_INPUT, "%s is UTF-16; prompts are UTF-8",
                       prompt_name(from, name));
    if (*length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
        *length -= 3;
        memmove(text, text + 3, *length + 1);
    }
    for (size_t at = 0; at < *length;) {
        uint32_t code;
        if (!rt_utf8_next(text, *length, &at, &code))
            return rt_fail(err, RT_ERR_INPUT, "%s is not UTF-8 at byte %zu",
                           prompt_name(from, name), at);
        if (!code) /* text in the picture would end here */
            return rt_fail(err, RT_ERR_INPUT, "%s has a NUL at byte %zu", prompt_name(from, name),
                           at - 1);
    }
    return RT_OK;
}

/* "<lora:NAME:0.8>": in other programs the file NAME changes the weights, and the tag is no part of
 * the prompt. */
static rt_status check_tags(const rt_prompt_source *from, const char *text, rt_error *err) {
    static const char *const loads[] = {"<lora:", "<lyco:", "<hypernet:"};
    char shown[RT_PRINTABLE_MAX], tag[100];
    for (const char *p = text; (p = strchr(p, '<')); p++) {
        const char *end = strchr(p, '>');
        for (size_t i = 0; end && i < sizeof loads / sizeof *loads; i++) {
            if (strncmp(p, loads[i], strlen(loads[i])) != 0) continue;
            snprintf(tag, sizeof tag, "%.*s", (int)(end - p + 1), p);
            rt_printable(tag, shown);
            if (i == 2)
                return rt_fail(err, RT_ERR_USAGE, "%s: '%s': hypernetworks are not supported",
                               from->option, shown);
            return rt_fail(err, RT_ERR_USAGE,
                           "%s: '%s' does nothing in a prompt: a LoRA is merged when the program "
                           "is compiled (ebru compile --lora=FILE:SCALE), or kept then "
                           "(--lora-slot=FILE) and applied by the program's --lora NAME:SCALE",
                           from->option, shown);
        }
    }
    return RT_OK;
}

static rt_status check_weights(const rt_prompt_source *from, const char *text, size_t length,
                               rt_error *err) {
    rt_prompt prompt;
    if (!from->weighted) return RT_OK;
    rt_status s = rt_prompt_parse(text, length, &prompt, err);
    if (!s) rt_prompt_free(&prompt);
    return s;
}

/* That an option's value is not the prompt but says where it is, and how much was found there. */
static void tell_source(const rt_prompt_source *from, const char *text, size_t length) {
    char name[NAME_ROOM];
    size_t lines = 1;
    if (!is_stream(from) || from->quiet) return;
    for (const char *p = text; (p = strchr(p, '\n')); p++) lines++;
    if (lines > 1)
        fprintf(stderr, "note: %s has %zu lines; all of them are one prompt\n",
                prompt_name(from, name), lines);
    else
        fprintf(stderr, "note: %s is the prompt (%zu bytes)\n", prompt_name(from, name), length);
}

rt_status rt_prompt_read(const rt_prompt_source *from, bool *input_read, char **text,
                         size_t *length, rt_error *err) {
    *text = NULL;
    rt_status s = read_given(from, input_read, text, length, err);
    if (!s) s = check_encoding(from, *text, length, err);
    if (!s) s = check_tags(from, *text, err);
    if (!s) s = check_weights(from, *text, *length, err);
    if (!s) {
        tell_source(from, *text, *length);
        return RT_OK;
    }
    free(*text);
    *text = NULL;
    return s;
}
