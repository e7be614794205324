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

_Noreturn static void out_of_memory(void) {
    if (oom_handler) oom_handler(); /* a test leaves by longjmp */
    fputs("ebru: error: out of memory\n", stderr);
    exit(EXIT_OUT_OF_MEMORY);
}

/* True when the test hook wants this allocation to fail. */
static bool fail_now(void) {
    return fail_countdown && --fail_countdown == 0;
}

void ir_set_oom_handler(void (*handler)(void)) {
    oom_handler = handler;
}

void ir_fail_allocation(uint64_t n) {
    fail_countdown = n;
}

void *ir_alloc(size_t size) {
    void *p = fail_now() ? NULL : calloc(1, size ? size : 1);
    if (!p) out_of_memory();
    return p;
}

void *ir_realloc(void *p, size_t size) {
    void *q = fail_now() ? NULL : realloc(p, size ? size : 1);
    if (!q) out_of_memory();
    return q;
}

void ir_free(void *p) {
    free(p);
}

void *ir_grow(void *items, size_t *cap, size_t item_size) {
    size_t doubled, bytes;
    if (!ir_mul_size(*cap, 2, &doubled)) out_of_memory();
    if (doubled < VEC_START) doubled = VEC_START;
    if (!ir_mul_size(doubled, item_size, &bytes)) out_of_memory();
    items = ir_realloc(items, bytes);
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

struct ir_arena {
    chunk *head; /* the chunk being filled; full and oversized ones follow it */
};

ir_arena *ir_arena_new(void) {
    return ir_alloc(sizeof(ir_arena));
}

void ir_arena_free(ir_arena *a) {
    if (!a) return;
    for (chunk *c = a->head, *next; c; c = next) {
        next = c->next;
        ir_free(c);
    }
    ir_free(a);
}

static chunk *new_chunk(size_t cap) {
    size_t bytes;
    if (!ir_add_size(cap, sizeof(chunk), &bytes)) out_of_memory();
    chunk *c = ir_alloc(bytes);
    c->cap = cap;
    return c;
}

void *ir_arena_alloc(ir_arena *a, size_t size) {
    size_t rounded;
    if (!ir_add_size(size ? size : 1, ARENA_ALIGN - 1, &rounded)) out_of_memory();
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

char *ir_arena_strndup(ir_arena *a, const char *s, size_t n) {
    size_t bytes;
    if (!ir_add_size(n, 1, &bytes)) out_of_memory();
    char *copy = ir_arena_alloc(a, bytes);
    if (n) memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *ir_arena_strdup(ir_arena *a, const char *s) {
    return ir_arena_strndup(a, s, strlen(s));
}

char *ir_arena_printf(ir_arena *a, const char *fmt, ...) {
    char first[256];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(first, sizeof first, fmt, ap);
    va_end(ap);
    char *text = ir_arena_alloc(a, n < 0 ? 1 : (size_t)n + 1);
    if (n > 0 && (size_t)n < sizeof first)
        memcpy(text, first, (size_t)n);
    else if (n > 0)
        vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

/* ---- strings ---- */

static void str_reserve(ir_str *s, size_t more) {
    size_t need;
    if (!ir_add_size(s->len, more, &need) || !ir_add_size(need, 1, &need)) out_of_memory();
    if (need <= s->cap) return;
    size_t cap = s->cap < 32 ? 64 : s->cap;
    while (cap < need) {
        if (!ir_mul_size(cap, 2, &cap)) cap = need;
    }
    s->data = ir_realloc(s->data, cap);
    s->cap = cap;
}

void ir_str_addn(ir_str *s, const char *text, size_t n) {
    str_reserve(s, n);
    if (n) memcpy(s->data + s->len, text, n);
    s->len += n;
    s->data[s->len] = '\0';
}

void ir_str_add(ir_str *s, const char *text) {
    ir_str_addn(s, text, strlen(text));
}

void ir_str_addf(ir_str *s, const char *fmt, ...) {
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

void ir_str_free(ir_str *s) {
    ir_free(s->data);
    *s = (ir_str){0};
}
