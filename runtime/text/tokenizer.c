/* The tokenizer: blob checking, splitting into words, byte-pair merging. */
#include "runtime/text/tokenizer.h"
#include "base/hash.h"
#include "runtime/text/unicode.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the blob ---- */

enum { ROW_WORDS = sizeof(rt_added_row) / sizeof(uint32_t) };

static rt_status damaged(rt_error *err, const char *what) {
    return rt_fail(err, RT_ERR_INPUT, "embedded tokenizer is damaged: %s", what);
}

static bool id_fits(const rt_tokenizer *t, uint32_t id) {
    return id < t->id_count;
}

static bool text_fits(const rt_tokenizer *t, uint32_t offset, uint32_t length) {
    return length != 0 && offset <= t->added_bytes && length <= t->added_bytes - offset;
}

/* The order that rows are found by. */
static int compare_rows(const rt_tokenizer *t, const rt_added_row *a, const rt_added_row *b) {
    uint32_t normalized = RT_ADDED_NORMALIZED;
    if ((a->flags & normalized) != (b->flags & normalized)) return a->flags & normalized ? 1 : -1;
    uint32_t least = a->length < b->length ? a->length : b->length;
    int order = memcmp(t->added_text + a->offset, t->added_text + b->offset, least);
    if (order) return order;
    if (a->length != b->length) return a->length < b->length ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static rt_status check_added(rt_tokenizer *t, rt_error *err) {
    for (uint32_t i = 0; i < t->added_count; i++) {
        const rt_added_row *row = t->added + i;
        if (!text_fits(t, row->own_offset, row->own_length) ||
            !text_fits(t, row->offset, row->length) || !id_fits(t, row->id) ||
            row->flags > RT_ADDED_FLAGS || row->vectors >= t->added_count)
            return damaged(err, "added token out of range");
        if (i > 0 && compare_rows(t, row - 1, row) >= 0)
            return damaged(err, "added tokens out of order");
        if (!(row->flags & RT_ADDED_NORMALIZED)) t->added_raw = i + 1;
        if (row->vectors) t->multi_vector = true;
    }
    return RT_OK;
}

static rt_status check_contents(rt_tokenizer *t, rt_error *err) {
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
    return check_added(t, err);
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
    uint64_t words = RT_TOKENIZER_HEADER + 512 + (uint64_t)w[13] * 4 + (uint64_t)w[14] * ROW_WORDS +
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
    t->added_count = w[14];
    t->added_bytes = w[15];
    t->byte_inside = w + RT_TOKENIZER_HEADER;
    t->byte_final = t->byte_inside + 256;
    t->merges = t->byte_final + 256;
    t->added = (const rt_added_row *)(t->merges + 4 * (size_t)t->merge_count);
    t->added_text = (const char *)(t->added + t->added_count);
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
    bool *seen; /* NULL, or [added_count]: which added tokens the text has; no ids are made then */
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

/* ---- added tokens ---- */

/* The rows of [*first, *end), whose texts agree in `depth` bytes, that have `byte` next. */
static void narrow(const rt_tokenizer *t, size_t depth, unsigned char byte, uint32_t *first,
                   uint32_t *end) {
    for (int side = 0; side < 2; side++) {
        uint32_t low = *first, high = *end;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            const rt_added_row *row = t->added + middle;
            unsigned char c = (unsigned char)t->added_text[row->offset + depth];
            if (side ? c <= byte : c < byte)
                low = middle + 1;
            else
                high = middle;
        }
        *(side ? end : first) = low;
    }
}

/* The longest of the rows [first, end) that `text` begins with, NULL if there is none. */
static const rt_added_row *longest_at(const rt_tokenizer *t, uint32_t first, uint32_t end,
                                      const char *text, size_t length) {
    const rt_added_row *best = NULL;
    for (size_t depth = 0; first < end; depth++) {
        if (t->added[first].length == depth) best = t->added + first;
        while (first < end && t->added[first].length == depth) first++; /* the same text again */
        if (depth == length) break;
        narrow(t, depth, (unsigned char)text[depth], &first, &end);
    }
    return best;
}

/* Part of a word as `single_word` sees it. */
static bool is_word(const char *text, size_t length, size_t at) {
    size_t after;
    return text[at] == '_' || (kind_at(text, length, at, &after) & (RT_LETTER | RT_NUMBER)) != 0;
}

static bool stands_alone(const char *text, size_t length, size_t begin, size_t end) {
    size_t last = begin;
    while (last > 0 && ((unsigned char)text[--last] & 0xc0) == 0x80) {
    }
    return (begin == 0 || !is_word(text, length, last)) &&
           (end == length || !is_word(text, length, end));
}

/* Length of a text without the white space at its end. */
static size_t trimmed(const char *text, size_t length) {
    size_t end = 0;
    for (size_t at = 0, after; at < length; at = after)
        if (!(kind_at(text, length, at, &after) & RT_SPACE)) end = after;
    return end;
}

static size_t behind_space(const char *text, size_t length, size_t at) {
    for (size_t after; at < length && kind_at(text, length, at, &after) & RT_SPACE;) at = after;
    return at;
}

static rt_status no_memory(rt_error *err, size_t length) {
    return rt_fail(err, RT_ERR_SYSTEM, "out of memory for a text of %zu bytes", length);
}

static rt_status put_added(struct work *w, const rt_added_row *row, rt_error *err) {
    if (w->seen) {
        w->seen[row - w->t->added] = true;
        return RT_OK;
    }
    if (!reserve_ids(w, 1)) return no_memory(err, row->own_length);
    w->ids[w->count++] = row->id;
    return RT_OK;
}

/* What is done with the text between added tokens. */
typedef rt_status rest_encoder(struct work *w, const char *text, size_t length, rt_error *err);

/* Takes the tokens of rows [first, end) out of the text. One that is found and should stand alone
 * and does not is passed by. */
static rt_status take_out(struct work *w, uint32_t first, uint32_t end, const char *text,
                          size_t length, rest_encoder *rest, rt_error *err) {
    size_t begin = 0; /* of the text that is not encoded yet */
    rt_status status = RT_OK;
    for (size_t at = 0; at < length && first < end && status == RT_OK;) {
        const rt_added_row *row = longest_at(w->t, first, end, text + at, length - at);
        size_t start = at;
        at += row ? row->length : 1;
        if (!row || ((row->flags & RT_ADDED_SINGLE_WORD) && !stands_alone(text, length, start, at)))
            continue;
        if (row->flags & RT_ADDED_RSTRIP) at = behind_space(text, length, at);
        size_t before = start - begin;
        if (row->flags & RT_ADDED_LSTRIP) before = trimmed(text + begin, before);
        status = rest(w, text + begin, before, err);
        if (status == RT_OK) status = put_added(w, row, err);
        begin = at;
    }
    return status == RT_OK ? rest(w, text + begin, length - begin, err) : status;
}

static rt_status encode_words(struct work *w, const char *text, size_t length, rt_error *err) {
    return w->seen || encode_plain(w, text, length) ? RT_OK : no_memory(err, length);
}

static rt_status encode_rest(struct work *w, const char *text, size_t length, rt_error *err) {
    char *normal;
    size_t normal_length;
    rt_status status =
        rt_unicode_normalize(text, length, (w->t->flags & 1) != 0, &normal, &normal_length, err);
    if (status != RT_OK) return status;
    status =
        take_out(w, w->t->added_raw, w->t->added_count, normal, normal_length, encode_words, err);
    free(normal);
    return status;
}

static bool is_utf8(const char *text, size_t length) {
    uint32_t code;
    for (size_t at = 0; at < length;)
        if (!rt_utf8_next(text, length, &at, &code)) return false;
    return true;
}

static rt_status encode_text(struct work *w, const char *text, size_t length, rt_error *err) {
    /* as a whole, so that a fault is at its place in the whole */
    if (w->t->added_raw == 0 || !is_utf8(text, length)) return encode_rest(w, text, length, err);
    return take_out(w, 0, w->t->added_raw, text, length, encode_rest, err);
}

/* ---- tokens of several vectors ---- */

struct text {
    char *data;
    size_t length, room;
};

static rt_status append(struct text *to, const char *data, size_t length, rt_error *err) {
    if (length > RT_TOKENIZER_TEXT_LIMIT - to->length)
        return rt_fail(err, RT_ERR_INPUT,
                       "the text has more than %u bytes, with every token of several vectors "
                       "written out",
                       RT_TOKENIZER_TEXT_LIMIT);
    if (length == 0) return RT_OK; /* perhaps there is no memory yet */
    if (to->length + length > to->room) {
        size_t room = (to->length + length) * 2;
        char *grown = realloc(to->data, room);
        if (!grown) return no_memory(err, room);
        to->data = grown;
        to->room = room;
    }
    memcpy(to->data + to->length, data, length);
    to->length += length;
    return RT_OK;
}

/* "T T_1 T_2" */
static rt_status append_vectors(struct text *to, const char *token, const rt_added_row *row,
                                rt_error *err) {
    rt_status status = append(to, token, row->own_length, err);
    for (uint32_t i = 1; i <= row->vectors && status == RT_OK; i++) {
        char number[16];
        int n = snprintf(number, sizeof number, "_%u", (unsigned)i);
        status = append(to, " ", 1, err);
        if (status == RT_OK) status = append(to, token, row->own_length, err);
        if (status == RT_OK) status = append(to, number, (size_t)n, err);
    }
    return status;
}

/* Writes out each occurrence of a token in *text, also inside words. */
static rt_status write_out(const rt_tokenizer *t, const rt_added_row *row, struct text *text,
                           rt_error *err) {
    const char *token = t->added_text + row->own_offset;
    struct text to = {0};
    rt_status status = RT_OK;
    for (size_t at = 0; at < text->length && status == RT_OK;) {
        if (text->length - at >= row->own_length &&
            memcmp(text->data + at, token, row->own_length) == 0) {
            status = append_vectors(&to, token, row, err);
            at += row->own_length;
        } else {
            status = append(&to, text->data + at++, 1, err);
        }
    }
    free(text->data);
    *text = to;
    return status;
}

/* The row that was seen and has several vectors with the least id of at least *id; NULL: no more.
 * */
static const rt_added_row *next_seen(const struct work *w, uint64_t *id) {
    const rt_added_row *next = NULL;
    for (uint32_t i = 0; i < w->t->added_count; i++) {
        const rt_added_row *row = w->t->added + i;
        if (w->seen[i] && row->vectors && row->id >= *id && (!next || row->id < next->id))
            next = row;
    }
    if (next) *id = (uint64_t)next->id + 1;
    return next;
}

/* *out: the text with tokens of several vectors written out, in the order of their ids (diffusers
 * has none); freed by the caller. */
static rt_status write_vectors(struct work *w, const char *text, size_t length, struct text *out,
                               rt_error *err) {
    w->seen = calloc(w->t->added_count, sizeof *w->seen);
    if (!w->seen) return no_memory(err, length);
    rt_status status = encode_text(w, text, length, err);
    if (status == RT_OK) status = append(out, text, length, err);
    uint64_t id = 0;
    for (const rt_added_row *row; status == RT_OK && (row = next_seen(w, &id));)
        status = write_out(w->t, row, out, err);
    free(w->seen);
    w->seen = NULL;
    return status;
}

rt_status rt_tokenizer_encode(const rt_tokenizer *t, const char *text, size_t length,
                              uint32_t **ids, size_t *count, rt_error *err) {
    *ids = NULL;
    *count = 0;
    if (length > RT_TOKENIZER_TEXT_LIMIT)
        return rt_fail(err, RT_ERR_INPUT, "the text has %zu bytes; at most %u are allowed", length,
                       RT_TOKENIZER_TEXT_LIMIT);
    struct work w = {.t = t};
    struct text written = {0};
    rt_status status = RT_OK;
    if (t->multi_vector) {
        status = write_vectors(&w, text, length, &written, err);
        text = written.data ? written.data : "";
        length = written.length;
    }
    if (status == RT_OK) status = encode_text(&w, text, length, err);
    if (status != RT_OK || w.count == 0) {
        free(w.ids);
    } else {
        *ids = w.ids;
        *count = w.count;
    }
    free(w.symbols);
    free(w.heap);
    free(written.data);
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
