/* Arenas, growable arrays and strings on one allocation hook; see arena.h. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The hostile test configuration makes growth and chunk changes happen all the time. */
#ifdef EBRU_HOSTILE
enum { ARENA_CHUNK = 64, VEC_START = 1, POISON = 0xab };
#else
enum { ARENA_CHUNK = 64 * 1024, VEC_START = 8 };
#endif

enum { ARENA_ALIGN = 16, EXIT_OUT_OF_MEMORY = 3 };

static void (*oom_handler)(void);
static uint64_t fail_countdown;

_Noreturn void base_out_of_memory(size_t bytes, const char *what) {
    if (oom_handler) oom_handler(); /* a test leaves by longjmp */
    if (bytes < 1u << 20 && !what)
        fputs("ebru: error: out of memory\n", stderr);
    else
        fprintf(stderr, "ebru: error: out of memory: %zu bytes were asked for%s%s\n", bytes,
                what ? ", for " : "", what ? what : "");
    exit(EXIT_OUT_OF_MEMORY);
}

/* bytes: what was asked for, SIZE_MAX for more than there can be. */
_Noreturn static void out_of_memory(size_t bytes) {
    base_out_of_memory(bytes, NULL);
}

/* True when the test hook wants this allocation to fail. */
static bool fail_now(void) {
    return fail_countdown && --fail_countdown == 0;
}

void base_set_oom_handler(void (*handler)(void)) {
    oom_handler = handler;
}

void base_fail_allocation(uint64_t n) {
    fail_countdown = n;
}

void *base_try_alloc(size_t size) {
    return fail_now() ? NULL : calloc(1, size ? size : 1);
}

void *base_alloc(size_t size) {
    void *p = base_try_alloc(size);
    if (!p) out_of_memory(size);
    return p;
}

void *base_realloc(void *p, size_t size) {
    void *q = fail_now() ? NULL : realloc(p, size ? size : 1);
    if (!q) out_of_memory(size);
    return q;
}

void base_free(void *p) {
    free(p);
}

void *base_grow(void *items, size_t *cap, size_t item_size) {
    size_t doubled, bytes;
    if (!base_mul_size(*cap, 2, &doubled)) out_of_memory(SIZE_MAX);
    if (doubled < VEC_START) doubled = VEC_START;
    if (!base_mul_size(doubled, item_size, &bytes)) out_of_memory(SIZE_MAX);
    items = base_realloc(items, bytes);
#ifdef EBRU_HOSTILE
    memset((char *)items + *cap * item_size, POISON, bytes - *cap * item_size);
#endif
    *cap = doubled;
    return items;
}

/* ---- arenas ---- */

typedef struct chunk {
    struct chunk *next;
    size_t used, cap; /* bytes of data[] */
    size_t pad;       /* keeps data[] aligned to ARENA_ALIGN */
    unsigned char data[];
} chunk;

_Static_assert(offsetof(chunk, data) % ARENA_ALIGN == 0, "arena memory must stay 16-byte aligned");

struct base_arena {
    chunk *head; /* the chunk being filled; full and oversized ones follow it */
};

base_arena *base_arena_new(void) {
    return base_alloc(sizeof(base_arena));
}

void base_arena_free(base_arena *a) {
    if (!a) return;
    for (chunk *c = a->head, *next; c; c = next) {
        next = c->next;
        base_free(c);
    }
    base_free(a);
}

static chunk *new_chunk(size_t cap) {
    size_t bytes;
    if (!base_add_size(cap, sizeof(chunk), &bytes)) out_of_memory(SIZE_MAX);
    chunk *c = base_alloc(bytes);
    c->cap = cap;
    return c;
}

void *base_arena_alloc(base_arena *a, size_t size) {
    size_t rounded;
    if (!base_add_size(size ? size : 1, ARENA_ALIGN - 1, &rounded)) out_of_memory(SIZE_MAX);
    rounded &= ~(size_t)(ARENA_ALIGN - 1);

    chunk *c = a->head;
    if (c && c->cap - c->used >= rounded) {
        void *p = c->data + c->used;
        c->used += rounded;
        return p;
    }
    if (c && rounded > ARENA_CHUNK / 4) {
        /* A large block gets a chunk of its own behind the head, whose rest stays usable. */
        chunk *big = new_chunk(rounded);
        big->used = rounded;
        big->next = c->next;
        c->next = big;
        return big->data;
    }
    chunk *fresh = new_chunk(rounded > ARENA_CHUNK ? rounded : ARENA_CHUNK);
    fresh->used = rounded;
    fresh->next = c;
    a->head = fresh;
    return fresh->data;
}

char *base_arena_strndup(base_arena *a, const char *s, size_t n) {
    size_t bytes;
    if (!base_add_size(n, 1, &bytes)) out_of_memory(SIZE_MAX);
    char *copy = base_arena_alloc(a, bytes);
    if (n) memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *base_arena_strdup(base_arena *a, const char *s) {
    return base_arena_strndup(a, s, strlen(s));
}

char *base_arena_printf(base_arena *a, const char *fmt, ...) {
    char first[256];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(first, sizeof first, fmt, ap);
    va_end(ap);
    char *text = base_arena_alloc(a, n < 0 ? 1 : (size_t)n + 1);
    if (n > 0 && (size_t)n < sizeof first)
        memcpy(text, first, (size_t)n);
    else if (n > 0)
        vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

/* ---- strings ---- */

static void str_reserve(base_str *s, size_t more) {
    size_t need;
    if (!base_add_size(s->len, more, &need) || !base_add_size(need, 1, &need))
        out_of_memory(SIZE_MAX);
    if (need <= s->cap) return;
    size_t cap = s->cap < 32 ? 64 : s->cap;
    while (cap < need) {
        if (!base_mul_size(cap, 2, &cap)) cap = need;
    }
    s->data = base_realloc(s->data, cap);
    s->cap = cap;
}

void base_str_addn(base_str *s, const char *text, size_t n) {
    str_reserve(s, n);
    if (n) memcpy(s->data + s->len, text, n);
    s->len += n;
    s->data[s->len] = '\0';
}

void base_str_add(base_str *s, const char *text) {
    base_str_addn(s, text, strlen(text));
}

void base_str_addf(base_str *s, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) n = 0;
    str_reserve(s, (size_t)n);
    s->data[s->len] = '\0';
    if (!n) return;
    va_start(ap, fmt);
    vsnprintf(s->data + s->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    s->len += (size_t)n;
}

void base_str_free(base_str *s) {
    base_free(s->data);
    *s = (base_str){0};
}
