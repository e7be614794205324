/* Documents of cJSON: values that cJSON would not write exactly, and text; see json_writer.h. */
#include "driver/json_writer.h"

#include "base/diag.h"
#include "base/json/json_scan.h"
#include "base/number.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- values ---- */

/* cJSON takes memory from base_alloc, so none of its functions fails. */
static void use_own_memory(void) {
    static bool done;
    cJSON_Hooks hooks = {.malloc_fn = base_alloc, .free_fn = base_free};
    if (!done) cJSON_InitHooks(&hooks);
    done = true;
}

/* The text with U+FFFD for each byte that is no UTF-8, to be freed with base_free; NULL when it is
 * valid as it is. */
static char *repaired(const char *text) {
    size_t n = strlen(text), good = base_utf8_check(text, n);
    if (good == n) return NULL;
    base_str valid = {0};
    for (size_t at = 0;; at++) {
        base_str_addn(&valid, text + at, good);
        at += good;
        if (at == n) return valid.data;
        base_str_add(&valid, "\xef\xbf\xbd");
        good = base_utf8_check(text + at + 1, n - at - 1);
    }
}

void drv_json_put(cJSON *to, const char *key, cJSON *item) {
    char *other = key ? repaired(key) : NULL;
    if (!(key ? cJSON_AddItemToObject(to, other ? other : key, item)
              : cJSON_AddItemToArray(to, item)))
        ICE("no place in a JSON document for '%s'", key ? key : "an item");
    base_free(other);
}

cJSON *drv_json_object(cJSON *to, const char *key) {
    use_own_memory();
    cJSON *item = cJSON_CreateObject();
    if (to) drv_json_put(to, key, item);
    return item;
}

cJSON *drv_json_array(cJSON *to, const char *key) {
    use_own_memory();
    cJSON *item = cJSON_CreateArray();
    if (to) drv_json_put(to, key, item);
    return item;
}

void drv_json_text(cJSON *to, const char *key, const char *text) {
    char *other = text ? repaired(text) : NULL;
    drv_json_put(to, key, text ? cJSON_CreateString(other ? other : text) : cJSON_CreateNull());
    base_free(other);
}

/* Whole numbers are raw text: cJSON holds them as doubles and prints large ones with exponents. */
void drv_json_int(cJSON *to, const char *key, int64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    drv_json_put(to, key, cJSON_CreateRaw(text));
}

void drv_json_uint(cJSON *to, const char *key, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    drv_json_put(to, key, cJSON_CreateRaw(text));
}

void drv_json_real(cJSON *to, const char *key, double value) {
    base_str text = {0};
    base_print_f64(value, &text);
    drv_json_put(to, key,
                 isfinite(value) ? cJSON_CreateRaw(text.data) : cJSON_CreateString(text.data));
    base_str_free(&text);
}

void drv_json_bool(cJSON *to, const char *key, bool value) {
    drv_json_put(to, key, cJSON_CreateBool(value));
}

/* ---- text ---- */

/* Objects nested deeper stay on the line of the one around them. Lists of functions are at depth
 * 1, of their nodes at 3. */
enum { MOST_DEPTH = 4 };

/* Appends the character at s, which is well-formed UTF-8, as JSON's escape; the bytes it has. */
static size_t add_escape(const char *s, base_str *out) {
    const unsigned char *p = (const unsigned char *)s;
    size_t n = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
    uint32_t code = n == 1 ? *p : *p & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) code = code << 6 | (p[i] & 0x3fu);
    if (code < 0x10000)
        base_str_addf(out, "\\u%04x", code);
    else
        base_str_addf(out, "\\u%04x\\u%04x", 0xd7c0 + (code >> 10), 0xdc00 + (code & 0x3ff));
    return n;
}

/* A string with its quotes; the bytes it has in `s`. Markup and what is not ASCII can stand in
 * strings only. */
static size_t add_string(const char *s, base_str *out) {
    size_t from = 0, at = 1;
    while (s[at] != '"') {
        unsigned char c = (unsigned char)s[at];
        if (c == '\\') {
            at += 2;
        } else if (c < 0x7f && c != '<' && c != '>' && c != '&') {
            at++;
        } else {
            base_str_addn(out, s + from, at - from);
            at += add_escape(s + at, out);
            from = at;
        }
    }
    base_str_addn(out, s + from, at + 1 - from);
    return at + 1;
}

/* What stands between this character, outside of strings, and the next. */
static void add_gap(char before, char c, char next, unsigned depth, base_str *out) {
    bool item = next == '{' && (c == '[' || c == ',') && depth <= MOST_DEPTH;
    bool member_behind_list = c == ',' && before == ']' && depth == 1;
    if (item || member_behind_list)
        base_str_addf(out, "\n%*s", (int)depth, "");
    else if (c == ',' || c == ':')
        base_str_add(out, " ");
}

/* cJSON's unformatted text, escaped and, with `lines`, set in lines. */
static void add_laid_out(const char *s, bool lines, base_str *out) {
    unsigned depth = 0;
    for (size_t at = 0; s[at];) {
        char c = s[at];
        if (c == '"') {
            at += add_string(s + at, out);
            continue;
        }
        base_str_addn(out, &c, 1);
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        if (lines) add_gap(at ? s[at - 1] : '\0', c, s[at + 1], depth, out);
        at++;
    }
    base_str_add(out, "\n");
}

void drv_json_write(cJSON *document, drv_json_layout layout, base_str *out) {
    char *text = cJSON_PrintUnformatted(document);
    if (text)
        add_laid_out(text, layout == DRV_JSON_LINES, out);
    else /* of more than 2 GiB */
        ICE("a JSON document that cJSON cannot write");
    cJSON_free(text);
    cJSON_Delete(document);
}
