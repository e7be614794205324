/* The tokenizer: blob checking, splitting into words, byte-pair merging. */
#include "runtime/text/tokenizer.h"
#include "base/hash.h"
#include "runtime/text/unicode.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- the blob ---- */

static rt_status damaged(rt_error *err, const char *what) {
    return rt_fail(err, RT_ERR_INPUT, "embedded tokenizer is damaged: %s", what);
}

static bool id_fits(const rt_tokenizer *t, uint32_t id) {
    return id < t->id_count;
}

static rt_status check_contents(const rt_tokenizer *t, rt_error *err) {
    if (!id_fits(t, t->bos) || !id_fits(t, t->eos) || !id_fits(t, t->pad) || !id_fits(t, t->unk))
        return damaged(err, "special id out of range");
    for (int b = 0; b < 256; b++)
        if ((t->byte_inside[b] != RT_TOKEN_NONE && !id_fits(t, t->byte_inside[b])) ||
            (t->byte_final[b] != RT_TOKEN_NONE && !id_fits(t, t->byte_final[b])))
            return damaged(err, "byte symbol out of range");
    for (uint32_t i = 0; i < t->merge_count; i++) {
        const uint32_t *m = t->merges + 4 * (size_t)i;
        if (!id_fits(t, m[0]) || !id_fits(t, m[1]) || !id_fits(t, m[3]))
            return damaged(err, "merge out of range");
        if (i > 0 && (m[-4] > m[0] || (m[-4] == m[0] && m[-3] >= m[1])))
            return damaged(err, "merges out of order");
    }
    for (uint32_t i = 0; i < t->special_count; i++) {
        const uint32_t *s = t->specials + 3 * (size_t)i;
        if (s[1] == 0 || s[0] > t->special_bytes || s[1] > t->special_bytes - s[0] ||
            !id_fits(t, s[2]))
            return damaged(err, "special token out of range");
    }
    return RT_OK;
}

rt_status rt_tokenizer_open(rt_tokenizer *t, const void *blob, size_t size, rt_error *err) {
    memset(t, 0, sizeof *t);
    const uint32_t *w = blob;
    if (((uintptr_t)blob & 3) != 0) return damaged(err, "not aligned");
    if (size < RT_TOKENIZER_HEADER * 4 || memcmp(blob, "EBRUTOK", 8) != 0)
        return damaged(err, "no header");
    if (w[2] != RT_TOKENIZER_VERSION)
        return rt_fail(err, RT_ERR_INPUT, "embedded tokenizer has format version %u, expected %u",
                       (unsigned)w[2], RT_TOKENIZER_VERSION);
    uint64_t words = RT_TOKENIZER_HEADER + 512 + (uint64_t)w[13] * 4 + (uint64_t)w[14] * 3 +
                     ((uint64_t)w[15] + 3) / 4;
    if (w[3] != size || words * 4 != size) return damaged(err, "wrong size");
    if (base_hash64_bytes(BASE_HASH64_START, w + 6, size - 24) != ((uint64_t)w[5] << 32 | w[4]))
        return damaged(err, "wrong hash");
    t->flags = w[6];
    t->id_count = w[7];
    t->bos = w[8];
    t->eos = w[9];
    t->pad = w[10];
    t->unk = w[11];
    t->max_length = w[12];
    t->merge_count = w[13];
    t->special_count = w[14];
    t->special_bytes = w[15];
    t->byte_inside = w + RT_TOKENIZER_HEADER;
    t->byte_final = t->byte_inside + 256;
    t->merges = t->byte_final + 256;
    t->specials = t->merges + 4 * (size_t)t->merge_count;
    t->special_text = (const char *)(t->specials + 3 * (size_t)t->special_count);
    if (t->max_length < 3 || t->max_length > RT_TOKENIZER_MAX_LENGTH)
        return damaged(err, "prompt length");
    return check_contents(t, err);
}

/* ---- merging ---- */

/* [rank, merged id] of a pair, NULL if it does not merge. */
static const uint32_t *find_merge(const rt_tokenizer *t, uint32_t left, uint32_t right) {
    size_t low = 0, high = t->merge_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const uint32_t *m = t->merges + 4 * middle;
        if (m[0] == left && m[1] == right) return m + 2;
        if (m[0] < left || (m[0] == left && m[1] < right))
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* A word's symbols as a linked list in an array. */
struct symbol {
    uint32_t id;
    int32_t previous, next; /* -1 = none */
    bool gone;
};

/* A possible merge of the symbol at `at` with its neighbour on the right. Stale when either has
 * changed: then the pair no longer gives `merged`. */
struct candidate {
    uint32_t rank, merged;
    int32_t at;
};

struct work {
    const rt_tokenizer *t;
    struct symbol *symbols;
    struct candidate *heap;  /* lowest rank, then leftmost, on top */
    size_t heap_count, room; /* symbols that fit; the heap holds three times as many */
    uint32_t *ids;
    size_t count, cap;
};

static bool before(const struct candidate *a, const struct candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(struct work *w, int32_t at) {
    const struct symbol *s = w->symbols + at;
    if (s->next < 0) return;
    const uint32_t *m = find_merge(w->t, s->id, w->symbols[s->next].id);
    if (!m) return;
    struct candidate c = {m[0], m[1], at};
    size_t i = w->heap_count++;
    while (i > 0 && before(&c, w->heap + (i - 1) / 2)) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = c;
}

static struct candidate pop(struct work *w) {
    struct candidate top = w->heap[0], c = w->heap[--w->heap_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w->heap_count) break;
        if (child + 1 < w->heap_count && before(w->heap + child + 1, w->heap + child)) child++;
        if (!before(w->heap + child, &c)) break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = c;
    return top;
}

/* Lowest rank first, leftmost among equals; n log n in the length of the word. Each merge adds at
 * most two candidates to the n - 1 there are at first, so the heap never holds more than 3 n. */
static void merge_word(struct work *w, int32_t count) {
    w->heap_count = 0;
    for (int32_t i = 0; i + 1 < count; i++) push(w, i);
    while (w->heap_count > 0) {
        struct candidate c = pop(w);
        struct symbol *left = w->symbols + c.at;
        if (left->gone || left->next < 0) continue;
        struct symbol *right = w->symbols + left->next;
        const uint32_t *m = find_merge(w->t, left->id, right->id);
        if (!m || m[1] != c.merged) continue;
        left->id = c.merged;
        right->gone = true;
        left->next = right->next;
        if (left->next >= 0) w->symbols[left->next].previous = c.at;
        if (left->previous >= 0) push(w, left->previous);
        push(w, c.at);
    }
}

static bool reserve_ids(struct work *w, size_t more) {
    if (w->cap - w->count >= more) return true;
    size_t cap = (w->count + more) * 2;
    uint32_t *grown = realloc(w->ids, cap * sizeof *grown);
    if (!grown) return false;
    w->ids = grown;
    w->cap = cap;
    return true;
}

static bool reserve_symbols(struct work *w, size_t count) {
    if (w->room >= count) return true;
    size_t room = count + count / 2 + 16;
    free(w->symbols);
    free(w->heap);
    w->symbols = malloc(room * sizeof *w->symbols);
    w->heap = malloc(3 * room * sizeof *w->heap);
    w->room = w->symbols && w->heap ? room : 0;
    return w->room != 0;
}

/* Appends the ids of one word. False: out of memory. */
static bool encode_word(struct work *w, const char *word, size_t length) {
    if (!reserve_symbols(w, length) || !reserve_ids(w, length)) return false;
    const rt_tokenizer *t = w->t;
    int32_t count = (int32_t)length;
    for (int32_t i = 0; i < count; i++) {
        const uint32_t *table = i + 1 < count ? t->byte_inside : t->byte_final;
        uint32_t id = table[(unsigned char)word[i]];
        w->symbols[i] = (struct symbol){id == RT_TOKEN_NONE ? t->unk : id, i - 1,
                                        i + 1 < count ? i + 1 : -1, false};
    }
    merge_word(w, count);
    for (int32_t i = 0; i >= 0; i = w->symbols[i].next) w->ids[w->count++] = w->symbols[i].id;
    return true;
}

/* ---- splitting ---- */

static unsigned kind_at(const char *text, size_t length, size_t at, size_t *after) {
    uint32_t code = 0;
    *after = at;
    if (!rt_utf8_next(text, length, after, &code))
        *after = at + 1; /* cannot be: the text was normalised */
    return rt_unicode_kind_of(code);
}

/* End of the word that begins at `at`: 's|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+ */
static size_t word_end(const char *text, size_t length, size_t at) {
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    if (text[at] == '\'')
        for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
            size_t n = strlen(endings[i]);
            if (length - at >= n && memcmp(text + at, endings[i], n) == 0) return at + n;
        }
    size_t end;
    unsigned kind = kind_at(text, length, at, &end);
    if (kind == RT_NUMBER) return end;
    while (end < length) {
        size_t after;
        if (kind_at(text, length, end, &after) != kind) break;
        end = after;
    }
    return end;
}

/* The pattern's words of a text without special tokens. */
static bool encode_plain(struct work *w, const char *text, size_t length) {
    for (size_t at = 0; at < length;) {
        size_t after;
        if (kind_at(text, length, at, &after) & RT_SPACE) {
            at = after;
            continue;
        }
        size_t end = word_end(text, length, at);
        if (!encode_word(w, text + at, end - at)) return false;
        at = end;
    }
    return true;
}

/* The longest special token at text[at], NULL if there is none. */
static const uint32_t *special_at(const rt_tokenizer *t, const char *text, size_t length,
                                  size_t at) {
    const uint32_t *best = NULL;
    for (uint32_t i = 0; i < t->special_count; i++) {
        const uint32_t *s = t->specials + 3 * (size_t)i;
        const char *token = t->special_text + s[0];
        if (token[0] == text[at] && s[1] <= length - at && memcmp(token, text + at, s[1]) == 0 &&
            (!best || s[1] > best[1]))
            best = s;
    }
    return best;
}

static bool encode_normal(struct work *w, const char *text, size_t length) {
    size_t plain = 0; /* begin of the text not encoded yet */
    for (size_t at = 0; at < length;) {
        const uint32_t *special = special_at(w->t, text, length, at);
        if (!special) {
            at++;
            continue;
        }
        if (!encode_plain(w, text + plain, at - plain) || !reserve_ids(w, 1)) return false;
        w->ids[w->count++] = special[2];
        at += special[1];
        plain = at;
    }
    return encode_plain(w, text + plain, length - plain);
}

rt_status rt_tokenizer_encode(const rt_tokenizer *t, const char *text, size_t length,
                              uint32_t **ids, size_t *count, rt_error *err) {
    *ids = NULL;
    *count = 0;
    if (length > RT_TOKENIZER_TEXT_LIMIT)
        return rt_fail(err, RT_ERR_INPUT, "the text has %zu bytes; at most %u are allowed", length,
                       RT_TOKENIZER_TEXT_LIMIT);
    char *normal;
    size_t normal_length;
    rt_status status =
        rt_unicode_normalize(text, length, (t->flags & 1) != 0, &normal, &normal_length, err);
    if (status != RT_OK) return status;
    struct work w = {.t = t};
    if (!encode_normal(&w, normal, normal_length)) {
        status = rt_fail(err, RT_ERR_SYSTEM, "out of memory for a text of %zu bytes", length);
        free(w.ids);
    } else if (w.count == 0) {
        free(w.ids);
    } else {
        *ids = w.ids;
        *count = w.count;
    }
    free(w.symbols);
    free(w.heap);
    free(normal);
    return status;
}

rt_status rt_tokenizer_encode_prompt(const rt_tokenizer *t, const char *text, size_t length,
                                     int32_t *ids, size_t *used, size_t *cut, rt_error *err) {
    uint32_t *all;
    size_t count;
    rt_status status = rt_tokenizer_encode(t, text, length, &all, &count, err);
    if (status != RT_OK) return status;
    size_t room = t->max_length - 2, kept = count < room ? count : room, n = 0;
    ids[n++] = (int32_t)t->bos;
    for (size_t i = 0; i < kept; i++) ids[n++] = (int32_t)all[i];
    ids[n++] = (int32_t)t->eos;
    if (used) *used = n;
    if (cut) *cut = count - kept;
    while (n < t->max_length) ids[n++] = (int32_t)t->pad;
    free(all);
    return RT_OK;
}
