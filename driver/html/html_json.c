/* JSON for a page: a table of strings, and escapes that keep hostile text harmless; see html.h. */
#include "base/number.h"
#include "driver/html/html.h"

#include "base/hash.h"
#include "base/index.h"

#include <math.h>
#include <string.h>

struct html_index {
    base_index names;
};

html_json *html_json_new(void) {
    html_json *j = base_alloc(sizeof *j);
    j->index = base_alloc(sizeof *j->index);
    j->arena = base_arena_new();
    return j;
}

void html_json_free(html_json *j) {
    if (!j) return;
    base_index_free(&j->index->names);
    base_free(j->index);
    base_free(j->strings.items);
    base_str_free(&j->text);
    base_arena_free(j->arena);
    base_free(j);
}

int64_t html_string(html_json *j, const char *s) {
    if (!s) return -1;
    base_index *x = &j->index->names;
    uint32_t hash = base_hash_text(s);
    uint32_t at = base_index_start(x, hash), id;
    while (base_index_next(x, hash, &at, &id))
        if (!strcmp(j->strings.items[id], s)) return id;
    id = (uint32_t)j->strings.count;
    BASE_PUSH(&j->strings, base_arena_strdup(j->arena, s));
    base_index_add(x, hash, id);
    return id;
}

/* Decodes one UTF-8 character of at most 4 bytes; 0 when it is not well-formed (RFC 3629). */
static unsigned decode(const unsigned char *s, uint32_t *out) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned n = s[0] < 0x80             ? 1
                 : (s[0] & 0xe0) == 0xc0 ? 2
                 : (s[0] & 0xf0) == 0xe0 ? 3
                 : (s[0] & 0xf8) == 0xf0 ? 4
                                         : 0;
    if (!n) return 0;
    uint32_t c = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
    for (unsigned i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0; /* also where the string ends */
        c = c << 6 | (s[i] & 0x3f);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0;
    *out = c;
    return n;
}

/* Controls, marks of direction, separators of lines, and characters one does not see. */
static bool hidden(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff0 && c <= 0xfffb) ||
           (c >= 0xe0000 && c <= 0xe0fff);
}

void html_add_text(base_str *out, const char *s) {
    base_str_add(out, "\"");
    for (const unsigned char *p = (const unsigned char *)s; *p;) {
        uint32_t c = 0;
        unsigned n = decode(p, &c);
        if (!n)
            base_str_addf(out, "\\\\x%02x", *p);
        else if (hidden(c))
            base_str_addf(out, "\\\\u{%04x}", c);
        else if (c == '"' || c == '\\')
            base_str_addf(out, "\\%c", (char)c);
        else if (c == '<' || c == '>' || c == '&')
            base_str_addf(out, "\\u%04x", c);
        else
            base_str_addn(out, (const char *)p, n);
        p += n ? n : 1;
    }
    base_str_add(out, "\"");
}

void html_add_number(base_str *out, double v) {
    if (!isfinite(v))
        base_str_add(out, "null");
    else if (fabs(v) < 1e15 && v == floor(v))
        base_str_addf(out, "%.0f", v);
    else
        base_print_f64(v, out);
}
