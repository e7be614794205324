/* Building the tokenizer blob from vocabulary entries and merges text. */
#include "runtime/text/tokenizer_build.h"
#include "base/hash.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ID     (1u << 24)
#define MAX_SYMBOL RT_TOKENIZER_MAX_TOKEN /* bytes of one vocabulary text */
#define MAX_TEXT   (1u << 28)

/* Vocabulary by text: open addressing, entry index + 1 in each used slot. */
struct index {
    const rt_vocab_entry *entries;
    uint32_t *slots;
    size_t mask;
};

static rt_status no_memory(rt_error *err) {
    return rt_fail(err, RT_ERR_SYSTEM, "out of memory for the tokenizer");
}

/* The text for a message: printable ASCII, the rest as '?'. */
static const char *shown(const char *text, size_t length, char out[48]) {
    size_t n = length < 44 ? length : 44;
    for (size_t i = 0; i < n; i++) out[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
    memcpy(out + n, n < length ? "..." : "", n < length ? 4 : 1);
    return out;
}

static const rt_vocab_entry *find(const struct index *x, const char *text, size_t length) {
    size_t slot = (size_t)base_hash64_bytes(BASE_HASH64_START, text, length) & x->mask;
    for (; x->slots[slot]; slot = (slot + 1) & x->mask) {
        const rt_vocab_entry *e = x->entries + (x->slots[slot] - 1);
        if (e->length == length && memcmp(e->text, text, length) == 0) return e;
    }
    return NULL;
}

static rt_status index_vocabulary(struct index *x, const rt_vocab_entry *entries, size_t count,
                                  uint32_t *id_count, size_t *bad_entry, rt_error *err) {
    char name[48];
    *bad_entry = count;
    if (count == 0 || count > MAX_ID)
        return rt_fail(err, RT_ERR_INPUT, "a vocabulary of %zu entries (1 to %u are possible)",
                       count, MAX_ID);
    size_t size = 16;
    while (size < count * 2) size *= 2;
    x->entries = entries;
    x->mask = size - 1;
    x->slots = calloc(size, sizeof *x->slots);
    unsigned char *seen = calloc(MAX_ID / 8, 1);
    if (!x->slots || !seen) {
        free(seen);
        return no_memory(err);
    }
    rt_status status = RT_OK;
    for (size_t i = 0; i < count && status == RT_OK; i++) {
        const rt_vocab_entry *e = entries + i;
        shown(e->text, e->length, name);
        if (e->length == 0 || e->length > MAX_SYMBOL)
            status = rt_fail(err, RT_ERR_INPUT,
                             "vocabulary text '%s' has %zu bytes (1 to %d are possible)", name,
                             e->length, MAX_SYMBOL);
        else if (e->id >= MAX_ID)
            status =
                rt_fail(err, RT_ERR_INPUT, "id %u of '%s' is out of range", (unsigned)e->id, name);
        else if (seen[e->id / 8] >> (e->id % 8) & 1)
            status =
                rt_fail(err, RT_ERR_INPUT, "id %u of '%s' is given twice", (unsigned)e->id, name);
        else if (find(x, e->text, e->length))
            status = rt_fail(err, RT_ERR_INPUT, "vocabulary text '%s' is given twice", name);
        *bad_entry = status != RT_OK ? i : count;
        if (status != RT_OK) break;
        seen[e->id / 8] = (unsigned char)(seen[e->id / 8] | 1u << (e->id % 8));
        size_t slot = (size_t)base_hash64_bytes(BASE_HASH64_START, e->text, e->length) & x->mask;
        while (x->slots[slot]) slot = (slot + 1) & x->mask;
        x->slots[slot] = (uint32_t)i + 1;
        if (e->id >= *id_count) *id_count = e->id + 1;
    }
    free(seen);
    return status;
}

/* The symbol of a byte in CLIP's (GPT-2's) alphabet: printable bytes are themselves, the others
 * 256, 257 ... in order. */
static uint32_t byte_symbol(unsigned byte) {
    uint32_t extra = 256;
    for (unsigned b = 0; b < 256; b++) {
        bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte) return printable ? b : extra;
        if (!printable) extra++;
    }
    return 0;
}

static void byte_tables(const struct index *x, uint32_t *inside, uint32_t *final) {
    for (unsigned b = 0; b < 256; b++) {
        char text[16];
        size_t n = rt_utf8_put(byte_symbol(b), text);
        const rt_vocab_entry *e = find(x, text, n);
        inside[b] = e ? e->id : RT_TOKEN_NONE;
        memcpy(text + n, "</w>", 4);
        e = find(x, text, n + 4);
        final[b] = e ? e->id : RT_TOKEN_NONE;
    }
}

/* One line of merges.txt into m[4]; text without the line end. */
static rt_status parse_merge(const struct index *x, const char *line, size_t length, uint32_t rank,
                             uint32_t *m, rt_error *err) {
    char name[48], joined[2 * MAX_SYMBOL];
    const char *space = memchr(line, ' ', length);
    size_t left = space ? (size_t)(space - line) : 0, right = space ? length - left - 1 : 0;
    if (left == 0 || right == 0 || memchr(space + 1, ' ', right))
        return rt_fail(err, RT_ERR_INPUT, "'%s' is not a pair", shown(line, length, name));
    if (left > MAX_SYMBOL || right > MAX_SYMBOL)
        return rt_fail(err, RT_ERR_INPUT, "a symbol of more than %d bytes", MAX_SYMBOL);
    memcpy(joined, line, left);
    memcpy(joined + left, space + 1, right);
    const rt_vocab_entry *a = find(x, line, left), *b = find(x, space + 1, right),
                         *both = find(x, joined, left + right);
    if (!a || !b || !both)
        return rt_fail(err, RT_ERR_INPUT, "'%s' is not in the vocabulary",
                       !a   ? shown(line, left, name)
                       : !b ? shown(space + 1, right, name)
                            : shown(joined, left + right, name));
    m[0] = a->id;
    m[1] = b->id;
    m[2] = rank;
    m[3] = both->id;
    return RT_OK;
}

/* By pair, then by rank. */
static int compare_merges(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    for (int i = 0; i < 3; i++)
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return 0;
}

/* *out: malloc'ed [count][4], sorted; of a pair given twice the later line counts, as in transformers.
 */
static rt_status parse_merges(const struct index *x, const char *text, size_t length,
                              size_t max_merges, uint32_t **out, size_t *out_count,
                              size_t *bad_line, rt_error *err) {
    size_t lines = 1, count = 0, number = 0, kept = 0;
    for (size_t i = 0; i < length; i++) lines += text[i] == '\n';
    uint32_t *m = malloc(lines * 4 * sizeof *m);
    if (!m) return no_memory(err);
    for (size_t at = 0; at < length;) {
        const char *newline = memchr(text + at, '\n', length - at);
        size_t end = newline ? (size_t)(newline - text) : length, n = end - at;
        const char *line = text + at;
        number++;
        at = end + 1;
        if (n > 0 && line[n - 1] == '\r') n--;
        if (n == 0 || (number == 1 && n >= 8 && memcmp(line, "#version", 8) == 0)) continue;
        if (max_merges != 0 && count == max_merges) break;
        rt_status status = parse_merge(x, line, n, (uint32_t)count, m + 4 * count, err);
        if (status != RT_OK) {
            *bad_line = number;
            free(m);
            return status;
        }
        count++;
    }
    qsort(m, count, 4 * sizeof *m, compare_merges);
    for (size_t i = 0; i < count; i++) {
        bool again =
            kept > 0 && m[4 * (kept - 1)] == m[4 * i] && m[4 * (kept - 1) + 1] == m[4 * i + 1];
        if (again) kept--;
        memmove(m + 4 * kept++, m + 4 * i, 4 * sizeof *m);
    }
    *out = m;
    *out_count = kept;
    return RT_OK;
}

static const rt_vocab_entry *by_id(const rt_vocab_entry *vocab, size_t count, uint32_t id) {
    for (size_t i = 0; i < count; i++)
        if (vocab[i].id == id) return vocab + i;
    return NULL;
}

/* ---- added tokens ---- */

struct added {
    size_t count, bytes;
    rt_added_row *rows;
    char *text;
};

static rt_status add_text(struct added *a, const char *text, size_t length, uint32_t *offset,
                          uint32_t *size, rt_error *err) {
    char *grown = realloc(a->text, a->bytes + length);
    if (!grown) return no_memory(err);
    memcpy(grown + a->bytes, text, length);
    a->text = grown;
    *offset = (uint32_t)a->bytes;
    *size = (uint32_t)length;
    a->bytes += length;
    return RT_OK;
}

static rt_status add_token(struct added *a, const rt_added_token *t, bool lower, rt_error *err) {
    char name[48], *normal;
    size_t length;
    rt_added_row *row = a->rows + a->count++;
    if (t->length == 0 || t->length > MAX_SYMBOL)
        return rt_fail(err, RT_ERR_INPUT, "added token '%s' has %zu bytes (1 to %d are possible)",
                       shown(t->text, t->length, name), t->length, MAX_SYMBOL);
    if (t->id >= MAX_ID)
        return rt_fail(err, RT_ERR_INPUT, "id %u of '%s' is out of range", (unsigned)t->id,
                       shown(t->text, t->length, name));
    rt_status status = rt_unicode_normalize(t->text, t->length, lower, &normal, &length, err);
    if (status != RT_OK) return status;
    row->id = t->id;
    row->flags = t->flags;
    status = add_text(a, t->text, t->length, &row->own_offset, &row->own_length, err);
    row->offset = row->own_offset;
    row->length = row->own_length;
    if (status == RT_OK && (t->flags & RT_ADDED_NORMALIZED))
        status = add_text(a, normal, length, &row->offset, &row->length, err);
    free(normal);
    return status;
}

/* Rows are compared by their texts, which qsort's function must find. */
struct sorted {
    rt_added_row row;
    const char *own, *text;
};

static int compare_texts(const char *a, size_t n, const char *b, size_t m) {
    int order = memcmp(a, b, n < m ? n : m);
    return order ? order : n < m ? -1 : n > m;
}

static int by_own_text(const void *a, const void *b) {
    const struct sorted *x = a, *y = b;
    return compare_texts(x->own, x->row.own_length, y->own, y->row.own_length);
}

static int by_text(const void *a, const void *b) {
    const struct sorted *x = a, *y = b;
    uint32_t normalized = RT_ADDED_NORMALIZED;
    if ((x->row.flags & normalized) != (y->row.flags & normalized))
        return x->row.flags & normalized ? 1 : -1;
    int order = compare_texts(x->text, x->row.length, y->text, y->row.length);
    return order ? order : x->row.id < y->row.id ? -1 : x->row.id > y->row.id;
}

/* How many of T_1, T_2 ... there are, in rows that are sorted by their own text. */
static uint32_t count_vectors(const struct sorted *rows, size_t count, const struct sorted *token) {
    char name[MAX_SYMBOL + 16];
    memcpy(name, token->own, token->row.own_length);
    for (uint32_t i = 1;; i++) {
        int n = snprintf(name + token->row.own_length, 16, "_%u", (unsigned)i);
        struct sorted key = {.own = name};
        key.row.own_length = token->row.own_length + (uint32_t)n;
        if (!bsearch(&key, rows, count, sizeof *rows, by_own_text)) return i - 1;
    }
}

static rt_status order_rows(struct added *a, rt_error *err) {
    struct sorted *rows = calloc(a->count + 1, sizeof *rows);
    char name[48];
    rt_status status = RT_OK;
    if (!rows) return no_memory(err);
    for (size_t i = 0; i < a->count; i++)
        rows[i] = (struct sorted){a->rows[i], a->text + a->rows[i].own_offset,
                                  a->text + a->rows[i].offset};
    qsort(rows, a->count, sizeof *rows, by_own_text);
    for (size_t i = 1; i < a->count && status == RT_OK; i++)
        if (by_own_text(rows + i - 1, rows + i) == 0)
            status = rt_fail(err, RT_ERR_INPUT, "added token '%s' is given twice",
                             shown(rows[i].own, rows[i].row.own_length, name));
    for (size_t i = 0; i < a->count && status == RT_OK; i++)
        rows[i].row.vectors = count_vectors(rows, a->count, rows + i);
    qsort(rows, a->count, sizeof *rows, by_text);
    for (size_t i = 1; i < a->count && status == RT_OK; i++)
        if (by_text(rows + i - 1, rows + i) == 0)
            status = rt_fail(err, RT_ERR_INPUT, "added token '%s' is given twice",
                             shown(rows[i].text, rows[i].row.length, name));
    for (size_t i = 0; i < a->count; i++) a->rows[i] = rows[i].row;
    free(rows);
    return status;
}

static rt_status collect_added(struct added *a, const rt_vocab_entry *vocab, size_t vocab_count,
                               uint32_t *id_count, const rt_tokenizer_options *o, rt_error *err) {
    const rt_vocab_entry *own[2] = {by_id(vocab, vocab_count, o->bos),
                                    by_id(vocab, vocab_count, o->eos)};
    size_t count = o->added ? o->added_count : o->bos == o->eos ? 1 : 2;
    if (count > RT_TOKENIZER_MAX_ADDED)
        return rt_fail(err, RT_ERR_INPUT, "%zu added tokens are too many", count);
    for (int i = 0; i < 2 && !o->added; i++)
        if (!own[i])
            return rt_fail(err, RT_ERR_INPUT, "the vocabulary has no %s token (id %u)",
                           i ? "end" : "start", (unsigned)(i ? o->eos : o->bos));
    a->rows = calloc(count + 1, sizeof *a->rows);
    if (!a->rows) return no_memory(err);
    rt_status status = RT_OK;
    for (size_t i = 0; i < count && status == RT_OK; i++) {
        rt_added_token t;
        if (o->added)
            t = o->added[i];
        else
            t = (rt_added_token){own[i]->text, own[i]->length, own[i]->id, RT_ADDED_NORMALIZED};
        status = add_token(a, &t, o->lower_case, err);
        if (status == RT_OK && t.id >= *id_count) *id_count = t.id + 1;
    }
    if (status == RT_OK) status = order_rows(a, err);
    if (status == RT_OK &&
        (o->bos >= *id_count || o->eos >= *id_count || o->pad >= *id_count || o->unk >= *id_count))
        status = rt_fail(err, RT_ERR_INPUT,
                         "start id %u, end id %u, pad id %u or unknown id %u is not in the "
                         "vocabulary",
                         (unsigned)o->bos, (unsigned)o->eos, (unsigned)o->pad, (unsigned)o->unk);
    return status;
}

static rt_status assemble(const struct index *x, const uint32_t *merges, size_t merge_count,
                          const struct added *a, uint32_t id_count, const rt_tokenizer_options *o,
                          void **blob, size_t *size, rt_error *err) {
    size_t row_words = sizeof *a->rows / sizeof(uint32_t);
    size_t words =
        RT_TOKENIZER_HEADER + 512 + 4 * merge_count + row_words * a->count + (a->bytes + 3) / 4;
    uint32_t *w = calloc(words, sizeof *w);
    if (!w) return no_memory(err);
    memcpy(w, "EBRUTOK", 8);
    const uint32_t header[] = {o->lower_case ? 1 : 0,
                               id_count,
                               o->bos,
                               o->eos,
                               o->pad,
                               o->unk,
                               o->max_length,
                               (uint32_t)merge_count,
                               (uint32_t)a->count,
                               (uint32_t)a->bytes};
    w[2] = RT_TOKENIZER_VERSION;
    w[3] = (uint32_t)(words * 4);
    memcpy(w + 6, header, sizeof header);
    byte_tables(x, w + RT_TOKENIZER_HEADER, w + RT_TOKENIZER_HEADER + 256);
    uint32_t *at = w + RT_TOKENIZER_HEADER + 512;
    if (merge_count) memcpy(at, merges, 4 * merge_count * sizeof *at);
    at += 4 * merge_count;
    if (a->count) memcpy(at, a->rows, a->count * sizeof *a->rows);
    if (a->bytes) memcpy(at + row_words * a->count, a->text, a->bytes);
    uint64_t hash = base_hash64_bytes(BASE_HASH64_START, w + 6, words * 4 - 24);
    w[4] = (uint32_t)hash;
    w[5] = (uint32_t)(hash >> 32);
    *blob = w;
    *size = words * 4;
    return RT_OK;
}

rt_status rt_tokenizer_build_blob(const rt_vocab_entry *vocab, size_t vocab_count,
                                  const char *merges, size_t merges_length, size_t max_merges,
                                  const rt_tokenizer_options *options, void **blob, size_t *size,
                                  rt_tokenizer_fault *fault, rt_error *err) {
    rt_tokenizer_fault nobody;
    if (!fault) fault = &nobody;
    *fault = (rt_tokenizer_fault){.where = RT_TOKENIZER_MERGES};
    struct index x = {0};
    struct added a = {0};
    uint32_t id_count = 0, *pairs = NULL;
    size_t pair_count = 0;
    *blob = NULL;
    *size = 0;
    if (merges_length > MAX_TEXT)
        return rt_fail(err, RT_ERR_INPUT, "merges of %zu bytes are too many", merges_length);
    fault->where = RT_TOKENIZER_OPTIONS;
    if (options->max_length < 3 || options->max_length > RT_TOKENIZER_MAX_LENGTH)
        return rt_fail(err, RT_ERR_INPUT, "maximum prompt length %u is not within 3..%u",
                       (unsigned)options->max_length, RT_TOKENIZER_MAX_LENGTH);
    fault->where = RT_TOKENIZER_VOCABULARY;
    rt_status status = index_vocabulary(&x, vocab, vocab_count, &id_count, &fault->entry, err);
    if (status == RT_OK) status = collect_added(&a, vocab, vocab_count, &id_count, options, err);
    if (status == RT_OK) {
        fault->where = RT_TOKENIZER_MERGES;
        status = parse_merges(&x, merges, merges_length, max_merges, &pairs, &pair_count,
                              &fault->line, err);
    }
    if (status == RT_OK)
        status = assemble(&x, pairs, pair_count, &a, id_count, options, blob, size, err);
    free(pairs);
    free(a.rows);
    free(a.text);
    free(x.slots);
    return status;
}
