/* Unicode: UTF-8, character kinds, lower case, normalization form C (UAX #15). */
#include "runtime/text/unicode.h"
#include "runtime/text/unicode_tables.h"

#include <stdlib.h>
#include <string.h>

/* Value of the last change at or before `code`. */
static unsigned lookup(const uint32_t *changes, uint32_t count, uint32_t code) {
    uint32_t low = 0, high = count; /* changes[low] is at or before code, changes[high] is not */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (changes[middle] >> 8 <= code)
            low = middle;
        else
            high = middle;
    }
    return changes[low] & 0xff;
}

unsigned rt_unicode_kind_of(uint32_t code) {
    return lookup(rt_unicode_kind, rt_unicode_kind_count, code);
}

static unsigned combining_class(uint32_t code) {
    return code < 0x300 ? 0 : lookup(rt_unicode_ccc, rt_unicode_ccc_count, code);
}

int rt_unicode_lower_of(uint32_t code, uint32_t out[2]) {
    out[0] = code;
    if (code < 0x80) {
        if (code >= 'A' && code <= 'Z') out[0] = code + 32;
        return 1;
    }
    if (code == 0x130) {
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    uint32_t low = 0, high = rt_unicode_lower_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct rt_unicode_lower *r = &rt_unicode_lower[middle];
        if (code < r->first) {
            high = middle;
        } else if (code > r->last) {
            low = middle + 1;
        } else {
            if ((code - r->first) % (uint32_t)r->stride == 0)
                out[0] = (uint32_t)((int32_t)code + r->delta);
            break;
        }
    }
    return 1;
}

/* ---- UTF-8 ---- */

bool rt_utf8_next(const char *text, size_t length, size_t *at, uint32_t *code) {
    const unsigned char *p = (const unsigned char *)text + *at;
    size_t left = length - *at, size;
    uint32_t c = p[0], least;
    if (c < 0x80) {
        *code = c;
        *at += 1;
        return true;
    }
    if (c >= 0xc2 && c <= 0xdf)
        size = 2, c &= 0x1f, least = 0x80;
    else if ((c & 0xf0) == 0xe0)
        size = 3, c &= 0x0f, least = 0x800;
    else if (c >= 0xf0 && c <= 0xf4)
        size = 4, c &= 0x07, least = 0x10000;
    else
        return false;
    if (left < size) return false;
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80) return false;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return false;
    *code = c;
    *at += size;
    return true;
}

size_t rt_utf8_put(uint32_t code, char out[4]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (char)(lead[size] | code);
    return size;
}

static bool unprintable(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
           (c >= 0xe0000 && c <= 0xe007f);
}

/* The printable form of the character at text[*at], which moves behind it; its length. */
static size_t printable(const char *text, size_t length, size_t *at, char out[20]) {
    uint32_t code;
    size_t begin = *at, used = 0;
    bool plain = rt_utf8_next(text, length, at, &code) && !unprintable(code);
    if (*at == begin) ++*at; /* no UTF-8 */
    for (size_t i = begin; i < *at; i++) {
        if (plain)
            out[used++] = text[i];
        else
            used += (size_t)snprintf(out + used, 5, "\\x%02x", (unsigned char)text[i]);
    }
    return used;
}

const char *rt_printable(const char *text, char out[RT_PRINTABLE_MAX]) {
    size_t length = strlen(text), used = 0;
    for (size_t at = 0; at < length;) {
        char shown[20];
        size_t n = printable(text, length, &at, shown);
        if (used + n > RT_PRINTABLE_MAX - 4) {
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        memcpy(out + used, shown, n);
        used += n;
    }
    out[used] = 0;
    return out;
}

void rt_print(FILE *out, const char *text) {
    size_t length = strlen(text);
    for (size_t at = 0; at < length;) {
        char shown[20];
        fwrite(shown, 1, printable(text, length, &at, shown), out);
    }
}

/* ---- normalization form C ---- */

enum {
    S_BASE = 0xac00,
    L_BASE = 0x1100,
    V_BASE = 0x1161,
    T_BASE = 0x11a7,
    L_N = 19,
    V_N = 21,
    T_N = 28
};
#define S_N ((uint32_t)L_N * V_N * T_N)

#define MAX_DECOMPOSED 4 /* longest full canonical decomposition of a code point */

static const uint32_t *decomposition(uint32_t code) {
    uint32_t low = 0, high = rt_unicode_decomposition_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const uint32_t *row = rt_unicode_decompositions[middle];
        if (row[0] == code) return row;
        if (row[0] < code)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Writes the full decomposition, returns its length. The second part of a pair never decomposes
 * further. */
static size_t decompose(uint32_t code, uint32_t *out) {
    if (code < 0xc0) {
        out[0] = code;
        return 1;
    }
    uint32_t s = code - S_BASE;
    if (code >= S_BASE && s < S_N) {
        out[0] = L_BASE + s / (V_N * T_N);
        out[1] = V_BASE + s % (V_N * T_N) / T_N;
        if (s % T_N == 0) return 2;
        out[2] = T_BASE + s % T_N;
        return 3;
    }
    uint32_t tail[MAX_DECOMPOSED];
    size_t count = 0, written = 0;
    const uint32_t *row;
    while (count < MAX_DECOMPOSED - 1 && (row = decomposition(code))) {
        code = row[1];
        if (row[2]) tail[count++] = row[2];
    }
    out[written++] = code;
    while (count > 0) out[written++] = tail[--count];
    return written;
}

/* The composite of a pair, 0 if there is none. */
static uint32_t compose(uint32_t first, uint32_t second) {
    if (first >= L_BASE && first < L_BASE + L_N && second >= V_BASE && second < V_BASE + V_N)
        return S_BASE + ((first - L_BASE) * V_N + (second - V_BASE)) * T_N;
    if (first >= S_BASE && first < S_BASE + S_N && (first - S_BASE) % T_N == 0 && second > T_BASE &&
        second < T_BASE + T_N)
        return first + (second - T_BASE);
    uint32_t low = 0, high = rt_unicode_composition_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const uint32_t *row = rt_unicode_decompositions[rt_unicode_compositions[middle]];
        if (row[1] == first && row[2] == second) return row[0];
        if (row[1] < first || (row[1] == first && row[2] < second))
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

/* Sorts each run of marks by combining class, keeping the order of equals; a counting sort, so that
 * a long run of marks costs no more than its length. `spare` has room for all. */
static void order_marks(uint32_t *codes, size_t count, uint32_t *spare) {
    for (size_t begin = 0; begin < count;) {
        if (combining_class(codes[begin]) == 0) {
            begin++;
            continue;
        }
        size_t end = begin + 1, start[257] = {0};
        while (end < count && combining_class(codes[end]) != 0) end++;
        if (end - begin > 1) {
            for (size_t i = begin; i < end; i++) start[combining_class(codes[i]) + 1]++;
            for (int c = 0; c < 256; c++) start[c + 1] += start[c];
            for (size_t i = begin; i < end; i++)
                spare[start[combining_class(codes[i])]++] = codes[i];
            memcpy(codes + begin, spare, (end - begin) * sizeof *codes);
        }
        begin = end;
    }
}

static size_t compose_all(uint32_t *codes, size_t count) {
    size_t written = 0, starter = SIZE_MAX;
    unsigned last_class = 0; /* of the last code kept behind the starter, 0 if none was */
    for (size_t i = 0; i < count; i++) {
        unsigned class = combining_class(codes[i]);
        if (starter != SIZE_MAX && (written == starter + 1 || last_class < class)) {
            uint32_t composite = compose(codes[starter], codes[i]);
            if (composite) {
                codes[starter] = composite;
                continue;
            }
        }
        if (class == 0) starter = written;
        last_class = class;
        codes[written++] = codes[i];
    }
    return written;
}

rt_status rt_unicode_nfc(const uint32_t *codes, size_t count, uint32_t **out, size_t *out_count,
                         rt_error *err) {
    size_t room = count * MAX_DECOMPOSED + 1;
    bool plain = true; /* nothing below U+0300 changes under NFC */
    for (size_t i = 0; i < count && plain; i++) plain = codes[i] < 0x300;
    if (plain) room = count + 1;
    uint32_t *result = malloc(room * sizeof *result);
    uint32_t *spare = plain ? NULL : malloc(room * sizeof *spare);
    if (!result || (!plain && !spare)) {
        free(result);
        free(spare);
        return rt_fail(err, RT_ERR_SYSTEM, "out of memory for a text of %zu characters", count);
    }
    size_t n = 0;
    if (plain) {
        if (count) memcpy(result, codes, count * sizeof *codes);
        n = count;
    } else {
        for (size_t i = 0; i < count; i++) n += decompose(codes[i], result + n);
        order_marks(result, n, spare);
        n = compose_all(result, n);
    }
    free(spare);
    *out = result;
    *out_count = n;
    return RT_OK;
}

/* ---- text to text ---- */

static rt_status decode(const char *text, size_t length, uint32_t *codes, size_t *count,
                        rt_error *err) {
    size_t n = 0;
    for (size_t at = 0; at < length; n++)
        if (!rt_utf8_next(text, length, &at, codes + n))
            return rt_fail(err, RT_ERR_INPUT, "invalid UTF-8 at byte %zu (0x%02x)", at,
                           (unsigned char)text[at]);
    *count = n;
    return RT_OK;
}

rt_status rt_unicode_normalize(const char *text, size_t length, bool lower, char **out,
                               size_t *out_length, rt_error *err) {
    size_t count = 0, n = 0;
    uint32_t *codes = malloc((length + 1) * sizeof *codes), *normal = NULL;
    if (!codes) return rt_fail(err, RT_ERR_SYSTEM, "out of memory for a text of %zu bytes", length);
    rt_status status = decode(text, length, codes, &count, err);
    if (status == RT_OK) status = rt_unicode_nfc(codes, count, &normal, &count, err);
    free(codes);
    if (status != RT_OK) return status;
    char *result = malloc(count * 4 + 4); /* U+0130 becomes 3 bytes */
    if (result) {
        for (size_t i = 0; i < count; i++) {
            uint32_t pair[2] = {normal[i], 0};
            int parts = lower ? rt_unicode_lower_of(normal[i], pair) : 1;
            for (int k = 0; k < parts; k++) n += rt_utf8_put(pair[k], result + n);
        }
        result[n] = 0;
        *out = result;
        *out_length = n;
    } else {
        status = rt_fail(err, RT_ERR_SYSTEM, "out of memory for a text of %zu characters", count);
    }
    free(normal);
    return status;
}
