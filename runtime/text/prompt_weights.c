/* One pass over the text makes pieces of one weight, a closing bracket multiplies the pieces since
 * its opening one. How many brackets may be open is bounded, so the work is linear in the text. */
#include "runtime/text/prompt_weights.h"
#include "runtime/text/tokenizer.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct piece {
    size_t begin, length; /* in reader.out */
    double weight;
    bool is_break;
};

/* Open brackets of a kind: the first piece inside each. */
struct open {
    size_t first[RT_PROMPT_MAX_OPEN];
    size_t count;
};

struct reader {
    const char *text;
    size_t length, at;
    char *out; /* text without brackets, weights, escapes */
    size_t out_length;
    struct piece *pieces;
    size_t count, room;
    struct open round, square;
    bool fresh; /* the next character starts a piece */
    rt_error *err;
};

static rt_status no_memory(rt_error *err) {
    return rt_fail(err, RT_ERR_SYSTEM, "out of memory for a prompt");
}

static struct piece *add_piece(struct reader *r, bool is_break) {
    if (r->count == r->room) {
        size_t room = r->room ? r->room * 2 : 16;
        struct piece *pieces = realloc(r->pieces, room * sizeof *pieces);
        if (!pieces) return NULL;
        r->pieces = pieces;
        r->room = room;
    }
    r->fresh = is_break;
    struct piece *p = &r->pieces[r->count++];
    *p = (struct piece){.begin = r->out_length, .weight = 1, .is_break = is_break};
    return p;
}

static rt_status put(struct reader *r, char c) {
    if ((r->count == 0 || r->fresh) && !add_piece(r, false)) return no_memory(r->err);
    r->out[r->out_length++] = c;
    r->pieces[r->count - 1].length++;
    return RT_OK;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Part of a word as \b sees it; every letter beyond ASCII is one. */
static bool is_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (unsigned char)c >= 0x80;
}

/* ---- brackets ---- */

static rt_status open_bracket(struct reader *r, struct open *o) {
    if (o->count == RT_PROMPT_MAX_OPEN)
        return rt_fail(
            r->err, RT_ERR_INPUT,
            "prompt weights: more than %d '%c' brackets are open at byte %zu of the prompt",
            RT_PROMPT_MAX_OPEN, r->text[r->at], r->at);
    o->first[o->count++] = r->count;
    r->fresh = true;
    return RT_OK;
}

static rt_status scale(struct reader *r, size_t first, double factor) {
    for (size_t i = first; i < r->count; i++) {
        r->pieces[i].weight *= factor;
        if (!(fabs(r->pieces[i].weight) <= (double)RT_PROMPT_MAX_WEIGHT))
            return rt_fail(r->err, RT_ERR_INPUT,
                           "prompt weights: the weight at byte %zu of the prompt is above %d",
                           r->at, RT_PROMPT_MAX_WEIGHT);
    }
    r->fresh = true;
    return RT_OK;
}

/* The end of ":NUMBER)" that begins at r->at, 0 if it is none; [*begin, *end) is the number, which
 * may hold several points. */
static size_t match_weight(const struct reader *r, size_t *begin, size_t *end) {
    size_t at = r->at + 1;
    while (at < r->length && is_space(r->text[at])) at++;
    *begin = at;
    if (at < r->length && (r->text[at] == '+' || r->text[at] == '-')) at++;
    size_t digits = at;
    while (at < r->length && ((r->text[at] >= '0' && r->text[at] <= '9') || r->text[at] == '.'))
        at++;
    *end = at;
    if (at == digits) return 0;
    while (at < r->length && is_space(r->text[at])) at++;
    return at < r->length && r->text[at] == ')' ? at + 1 : 0;
}

/* At a ':': a weight that closes a bracket, or a character like any other. */
static rt_status read_colon(struct reader *r) {
    size_t begin, end, next = match_weight(r, &begin, &end);
    if (!next || r->round.count == 0) return put(r, r->text[r->at++]);
    char number[64], *stop = NULL;
    size_t n = end - begin;
    double weight = 0;
    if (n < sizeof number) {
        memcpy(number, r->text + begin, n);
        number[n] = 0;
        weight = strtod(number, &stop);
    }
    if (!stop || *stop)
        return rt_fail(r->err, RT_ERR_INPUT,
                       "prompt weights: '%.*s%s' at byte %zu of the prompt is no number",
                       n < 40 ? (int)n : 40, r->text + begin, n < 40 ? "" : "...", begin);
    r->at = next;
    return scale(r, r->round.first[--r->round.count], weight);
}

static rt_status close_bracket(struct reader *r, struct open *o, double factor) {
    if (o->count == 0) return put(r, r->text[r->at++]);
    r->at++;
    return scale(r, o->first[--o->count], factor);
}

/* ---- breaks ---- */

static bool at_break(const struct reader *r) {
    const char *t = r->text + r->at;
    size_t left = r->length - r->at;
    return left >= 5 && memcmp(t, "BREAK", 5) == 0 && (r->at == 0 || !is_word(t[-1])) &&
           (left == 5 || !is_word(t[5]));
}

/* Space around a break belongs to it. A piece that had nothing else goes away. */
static rt_status read_break(struct reader *r) {
    while (r->count > 0 && !r->fresh && is_space(r->out[r->out_length - 1])) {
        r->out_length--;
        r->fresh = --r->pieces[r->count - 1].length == 0;
        if (r->fresh) r->count--;
    }
    if (!add_piece(r, true)) return no_memory(r->err);
    for (r->at += 5; r->at < r->length && is_space(r->text[r->at]);) r->at++;
    return RT_OK;
}

/* ---- the whole ---- */

static rt_status read_next(struct reader *r) {
    const double more = 1.1, less = 1 / 1.1;
    char c = r->text[r->at];
    rt_status status = RT_OK;
    switch (c) {
    case '\\':
        if (r->at + 1 < r->length && r->text[r->at + 1] && strchr("()[]\\", r->text[r->at + 1]))
            r->at++;
        return put(r, r->text[r->at++]);
    case '(':
    case '[':
        status = open_bracket(r, c == '(' ? &r->round : &r->square);
        r->at++;
        return status;
    case ')': return close_bracket(r, &r->round, more);
    case ']': return close_bracket(r, &r->square, less);
    case ':': return read_colon(r);
    case 'B':
        if (at_break(r)) return read_break(r);
    }
    return put(r, r->text[r->at++]);
}

static rt_status read_all(struct reader *r) {
    rt_status status = RT_OK;
    while (status == RT_OK && r->at < r->length) status = read_next(r);
    for (size_t i = 0; i < r->round.count && status == RT_OK; i++)
        status = scale(r, r->round.first[i], 1.1);
    for (size_t i = 0; i < r->square.count && status == RT_OK; i++)
        status = scale(r, r->square.first[i], 1 / 1.1);
    return status;
}

/* Joins neighbours of one weight and puts a NUL behind every text. */
static rt_status finish(const struct reader *r, rt_prompt *p) {
    p->segments = calloc(r->count + 1, sizeof *p->segments);
    p->storage = malloc(r->out_length + r->count + 2);
    if (!p->segments || !p->storage) {
        rt_prompt_free(p);
        return no_memory(r->err);
    }
    char *to = p->storage;
    for (size_t i = 0; i < r->count; i++) {
        const struct piece *from = &r->pieces[i];
        rt_prompt_segment *last = p->count ? &p->segments[p->count - 1] : NULL;
        float weight = from->is_break ? 1 : (float)from->weight;
        if (last && !last->is_break && !from->is_break && last->weight == weight) {
            to--; /* over the NUL */
        } else {
            last = &p->segments[p->count++];
            *last = (rt_prompt_segment){.text = to, .weight = weight, .is_break = from->is_break};
        }
        memcpy(to, r->out + from->begin, from->length);
        to += from->length;
        last->length += from->length;
        *to++ = 0;
    }
    if (p->count == 0) {
        *to = 0;
        p->segments[p->count++] = (rt_prompt_segment){.text = to, .weight = 1};
    }
    return RT_OK;
}

rt_status rt_prompt_parse(const char *text, size_t length, rt_prompt *p, rt_error *err) {
    *p = (rt_prompt){0};
    if (length > RT_TOKENIZER_TEXT_LIMIT)
        return rt_fail(err, RT_ERR_INPUT, "a prompt of %zu bytes is too long (at most %u)", length,
                       RT_TOKENIZER_TEXT_LIMIT);
    struct reader r = {.text = text, .length = length, .err = err, .out = malloc(length + 1)};
    if (!r.out) return no_memory(err);
    rt_status status = read_all(&r);
    if (status == RT_OK) status = finish(&r, p);
    free(r.out);
    free(r.pieces);
    return status;
}

void rt_prompt_free(rt_prompt *p) {
    free(p->segments);
    free(p->storage);
    *p = (rt_prompt){0};
}
