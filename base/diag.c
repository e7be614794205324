/* Collects and prints diagnostics; see diag.h.
 *
 * An error or warning and the notes after it form a frame. A frame waits in memory until the next
 * one begins or the caller flushes, so that the JSON form can put the notes inside their object. */
#include "base/diag.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

enum { DEFAULT_LIMIT = 20, QUOTE_COLUMNS = 100, ESCAPE_MAX = 200, EXIT_INTERNAL = 70 };

typedef struct message {
    base_severity severity;
    base_str text; /* sanitised */
    base_str path; /* sanitised copy of loc.path; empty when absent */
    base_loc loc;
} message;

struct base_diag {
    base_diag_options opt;
    BASE_VEC(base_source *) sources;
    BASE_VEC(message) frame; /* [0] is the error or warning, the rest its notes */
    bool frame_suppressed;
    unsigned errors, warnings;
    unsigned hidden_errors, hidden_warnings; /* suppressed since the last summary */
};

base_diag *base_diag_new(const base_diag_options *options) {
    base_diag *d = base_alloc(sizeof *d);
    if (options) d->opt = *options;
    if (!d->opt.out) d->opt.out = stderr;
    if (!d->opt.limit) d->opt.limit = DEFAULT_LIMIT;
    return d;
}

static void drop_frame(base_diag *d) {
    for (size_t i = 0; i < d->frame.count; i++) {
        base_str_free(&d->frame.items[i].text);
        base_str_free(&d->frame.items[i].path);
    }
    d->frame.count = 0;
}

void base_diag_free(base_diag *d) {
    if (!d) return;
    base_diag_flush(d);
    for (size_t i = 0; i < d->sources.count; i++) {
        base_free(d->sources.items[i]->path);
        base_free(d->sources.items[i]->text);
        base_free(d->sources.items[i]);
    }
    base_free(d->sources.items);
    base_free(d->frame.items);
    base_free(d);
}

const base_source *base_diag_source(base_diag *d, const char *path, const char *text,
                                    size_t length) {
    base_source *s = base_alloc(sizeof *s);
    s->path = base_alloc(strlen(path) + 1);
    memcpy(s->path, path, strlen(path) + 1);
    if (text) {
        s->text = base_alloc(length + 1);
        memcpy(s->text, text, length);
        s->length = length;
    }
    BASE_PUSH(&d->sources, s);
    return s;
}

/* ---- printable text ---- */

/* Length of the UTF-8 sequence at s (n > 0 bytes left) and its code point, or 0 when it is not
 * well-formed (Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t utf8_sequence(const unsigned char *s, size_t n, uint32_t *code) {
    unsigned char c = s[0];
    if (c < 0x80) {
        *code = c;
        return 1;
    }
    size_t len = c >= 0xc2 && c <= 0xdf   ? 2
                 : c >= 0xe0 && c <= 0xef ? 3
                 : c >= 0xf0 && c <= 0xf4 ? 4
                                          : 0;
    if (!len || len > n) return 0;
    uint32_t v = c & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        v = v << 6 | (s[i] & 0x3fu);
    }
    if ((len == 3 && v < 0x800) || (len == 4 && (v < 0x10000 || v > 0x10ffff))) return 0;
    if (v >= 0xd800 && v <= 0xdfff) return 0;
    *code = v;
    return len;
}

/* True for code points that would move the cursor, hide or reorder the text around them. */
static bool unprintable(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
           (c >= 0xe0000 && c <= 0xe007f);
}

/* Appends the printable form of the character at s, returns the bytes consumed; *columns grows by
 * the characters written. Backslashes stay single, so that escaping twice changes nothing. */
static size_t add_printable(base_str *out, const unsigned char *s, size_t n, size_t *columns) {
    uint32_t code;
    size_t len = utf8_sequence(s, n, &code);
    if (len && !unprintable(code)) {
        base_str_addn(out, (const char *)s, len);
        *columns += 1;
        return len;
    }
    if (!len) len = 1;
    for (size_t i = 0; i < len; i++) base_str_addf(out, "\\x%02x", s[i]);
    *columns += 4 * len;
    return len;
}

static void add_sanitised(base_str *out, const char *text, size_t length) {
    size_t columns = 0;
    base_str_addn(out, "", 0);
    for (size_t i = 0; i < length;) {
        i += add_printable(out, (const unsigned char *)text + i, length - i, &columns);
    }
}

void base_str_add_shown(base_str *out, const char *text) {
    add_sanitised(out, text, strlen(text));
}

const char *base_escape(const char *bytes, size_t length) {
    static char ring[8][ESCAPE_MAX + 16];
    static unsigned next;
    char *slot = ring[next++ % 8];
    size_t used = 0;
    const unsigned char *s = (const unsigned char *)bytes;
    for (size_t i = 0; i < length;) {
        uint32_t code;
        size_t len = utf8_sequence(s + i, length - i, &code);
        bool plain = len && !unprintable(code);
        if (!len) len = 1;
        if (used + (plain ? len : 4 * len) > ESCAPE_MAX - 3) {
            memcpy(slot + used, "...", 3);
            used += 3;
            break;
        }
        for (size_t k = 0; k < len; k++) {
            if (plain)
                slot[used++] = (char)s[i + k];
            else
                used += (size_t)snprintf(slot + used, 5, "\\x%02x", s[i + k]);
        }
        i += len;
    }
    slot[used] = '\0';
    return slot;
}

static void add_json_string(base_str *out, const char *s) {
    base_str_add(out, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') base_str_add(out, "\\");
        base_str_addn(out, s, 1); /* sanitised before: no control characters, valid UTF-8 */
    }
    base_str_add(out, "\"");
}

/* ---- the text form ---- */

static const char *const severity_name[] = {"error", "warning", "note"};
static const char *const severity_color[] = {"\x1b[1;31m", "\x1b[1;35m", "\x1b[1;36m"};

/* Start of line `line` in the source and its length, false when there is none. */
static bool find_line(const base_source *s, uint32_t line, const char **start, size_t *length) {
    const char *p = s->text, *end = s->text + s->length;
    for (uint32_t i = 1; i < line; i++) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (!p) return false;
        p++;
    }
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    *start = p;
    *length = (size_t)((nl ? nl : end) - p);
    if (*length && p[*length - 1] == '\r') --*length;
    return true;
}

/* Quotes the line with a caret under the marked range. Columns count bytes in the file but
 * characters on the screen; of a long line only the surroundings of the caret are shown. */
static void add_quote(const base_diag *d, base_str *out, const base_loc *loc) {
    const char *line;
    size_t length;
    if (!loc->source || !loc->source->text || !loc->line || !loc->col) return;
    if (!find_line(loc->source, loc->line, &line, &length)) return;
    size_t at = loc->col - 1 < length ? loc->col - 1 : length;
    size_t stop = loc->length < length - at ? at + loc->length : length;
    size_t from = 0, to = length;
    if (length > QUOTE_COLUMNS) {
        from = at > QUOTE_COLUMNS / 2 ? at - QUOTE_COLUMNS / 2 : 0;
        while (from > 0 && from < at && ((unsigned char)line[from] & 0xc0) == 0x80) from++;
        to = length - from > QUOTE_COLUMNS ? from + QUOTE_COLUMNS : length;
        while (to < length && ((unsigned char)line[to] & 0xc0) == 0x80 &&
               to < from + QUOTE_COLUMNS + 3)
            to++;
    }

    base_str text = {0};
    size_t column = 0, caret = 0, caret_end = 0;
    base_str_addf(&text, "%5u | %s", loc->line, from ? "..." : "");
    if (from) column = 3;
    for (size_t i = from; i < to;) {
        if (i <= at) caret = column;
        if (line[i] == '\t') {
            base_str_add(&text, " ");
            column++;
            i++;
        } else {
            i += add_printable(&text, (const unsigned char *)line + i, to - i, &column);
        }
        if (i <= stop) caret_end = column;
    }
    if (at >= to) caret = column;
    base_str_add(&text, to < length ? "...\n" : "\n");
    base_str_add(&text, "      | ");
    for (size_t i = 0; i < caret; i++) base_str_add(&text, " ");
    if (d->opt.color) base_str_add(&text, "\x1b[1;32m");
    base_str_add(&text, "^");
    for (size_t i = caret + 1; i < caret_end; i++) base_str_add(&text, "~");
    base_str_add(&text, d->opt.color ? "\x1b[0m\n" : "\n");
    base_str_addn(out, text.data, text.len);
    base_str_free(&text);
}

static void add_text(const base_diag *d, base_str *out, const message *m) {
    const char *bold = d->opt.color ? "\x1b[1m" : "", *reset = d->opt.color ? "\x1b[0m" : "";
    const base_loc *loc = &m->loc;
    base_str_add(out, bold);
    if (loc->source) {
        add_sanitised(out, loc->source->path, strlen(loc->source->path));
        if (loc->line) base_str_addf(out, ":%u", loc->line);
        if (loc->line && loc->col) base_str_addf(out, ":%u", loc->col);
        base_str_add(out, ": ");
    }
    if (!loc->line && m->path.len) base_str_addf(out, "%s: ", m->path.data);
    base_str_addf(out, "%s%s:%s ", d->opt.color ? severity_color[m->severity] : "",
                  severity_name[m->severity], reset);
    base_str_addf(out, "%s%s%s\n", bold, m->text.data, reset);
    add_quote(d, out, loc);
}

/* ---- the JSON form ---- */

static void add_json_fields(base_str *out, const message *m) {
    base_str_addf(out, "{\"severity\":\"%s\",\"message\":", severity_name[m->severity]);
    add_json_string(out, m->text.data);
    base_str_add(out, ",\"file\":");
    if (m->loc.source) {
        base_str path = {0};
        add_sanitised(&path, m->loc.source->path, strlen(m->loc.source->path));
        add_json_string(out, path.data);
        base_str_free(&path);
    } else {
        base_str_add(out, "null");
    }
    base_str_addf(out, ",\"line\":%u,\"col\":%u,\"length\":%u,\"path\":", m->loc.line, m->loc.col,
                  m->loc.length);
    if (m->path.len)
        add_json_string(out, m->path.data);
    else
        base_str_add(out, "null");
}

static void add_json(base_str *out, const message *frame, size_t count) {
    add_json_fields(out, &frame[0]);
    base_str_add(out, ",\"notes\":[");
    for (size_t i = 1; i < count; i++) {
        if (i > 1) base_str_add(out, ",");
        add_json_fields(out, &frame[i]);
        base_str_add(out, "}");
    }
    base_str_add(out, "]}\n");
}

/* ---- frames ---- */

static void print_frame(base_diag *d) {
    if (d->frame.count && !d->frame_suppressed) {
        base_str out = {0};
        if (d->opt.json) {
            add_json(&out, d->frame.items, d->frame.count);
        } else {
            for (size_t i = 0; i < d->frame.count; i++) add_text(d, &out, &d->frame.items[i]);
        }
        fwrite(out.data, 1, out.len, d->opt.out);
        base_str_free(&out);
    }
    drop_frame(d);
}

/* Counts an error or warning; true when it is over the limit and not printed. */
static bool count_and_suppress(base_diag *d, base_severity severity) {
    if (severity == BASE_ERROR) {
        if (++d->errors <= d->opt.limit) return false;
        d->hidden_errors++;
        return true;
    }
    if (++d->warnings <= d->opt.limit) return false;
    d->hidden_warnings++;
    return true;
}

void base_vreport(base_diag *d, base_severity severity, const base_loc *loc, const char *fmt,
                  va_list ap) {
    if (severity != BASE_NOTE || !d->frame.count) {
        print_frame(d);
        d->frame_suppressed = severity != BASE_NOTE && count_and_suppress(d, severity);
    }
    message m = {.severity = severity};
    if (loc) m.loc = *loc;
    if (!d->frame_suppressed) {
        va_list again;
        va_copy(again, ap);
        int n = vsnprintf(NULL, 0, fmt, again);
        va_end(again);
        char *raw = base_alloc(n < 0 ? 1 : (size_t)n + 1);
        if (n > 0) vsnprintf(raw, (size_t)n + 1, fmt, ap);
        add_sanitised(&m.text, raw, n < 0 ? 0 : (size_t)n);
        base_free(raw);
        if (m.loc.path) add_sanitised(&m.path, m.loc.path, strlen(m.loc.path));
    }
    m.loc.path = NULL; /* the caller's string need not outlive the call */
    BASE_PUSH(&d->frame, m);
}

void base_error(base_diag *d, const base_loc *loc, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    base_vreport(d, BASE_ERROR, loc, fmt, ap);
    va_end(ap);
}

void base_warning(base_diag *d, const base_loc *loc, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    base_vreport(d, BASE_WARNING, loc, fmt, ap);
    va_end(ap);
}

void base_note(base_diag *d, const base_loc *loc, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    base_vreport(d, BASE_NOTE, loc, fmt, ap);
    va_end(ap);
}

static bool system_failed;

void base_system_refused(void) {
    system_failed = true;
}

bool base_diag_system_failed(void) {
    return system_failed;
}

void base_error_missing(base_diag *d, const base_loc *loc, const char *fmt, ...) {
    va_list ap;
    base_system_refused();
    va_start(ap, fmt);
    base_vreport(d, BASE_ERROR, loc, fmt, ap);
    va_end(ap);
}

void base_error_file(base_diag *d, const char *path, const char *action, int code) {
    base_system_refused();
    base_loc loc = {.source = base_diag_source(d, path, NULL, 0)};
    base_error(d, &loc, "cannot %s: %s", action, strerror(code));
}

static void print_hidden(base_diag *d, unsigned hidden, const char *what) {
    if (!hidden) return;
    message m = {.severity = BASE_NOTE};
    base_str out = {0};
    base_str_addf(&m.text, "too many %ss: %u more not shown", what, hidden);
    if (d->opt.json)
        add_json(&out, &m, 1);
    else
        add_text(d, &out, &m);
    fwrite(out.data, 1, out.len, d->opt.out);
    base_str_free(&out);
    base_str_free(&m.text);
}

void base_diag_flush(base_diag *d) {
    print_frame(d);
    print_hidden(d, d->hidden_errors, "error");
    print_hidden(d, d->hidden_warnings, "warning");
    d->hidden_errors = d->hidden_warnings = 0;
    fflush(d->opt.out);
}

unsigned base_diag_errors(const base_diag *d) {
    return d->errors;
}

unsigned base_diag_warnings(const base_diag *d) {
    return d->warnings;
}

/* ---- our own bugs ---- */

void base_ice(const char *file, int line, const char *fmt, ...) {
    va_list ap;
    char text[1024];
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fflush(stdout);
    fprintf(stderr, "ebru: internal error at %s:%d: %s\n", file, line,
            base_escape(text, strlen(text)));
    fputs("This is a bug in ebru, not in your model; please report it with the command line.\n",
          stderr);
    exit(EXIT_INTERNAL);
}
