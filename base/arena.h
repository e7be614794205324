/* Memory of the compiler: arenas, growable vectors, checked size arithmetic.
 *
 * Everything the compiler allocates comes from base_alloc/base_realloc (one hook, so that tests can
 * make the n-th allocation fail) or from an arena built on it. Passes never free: nodes and
 * attributes live in the module's arena and are dropped whole. Out of memory ends in the handler
 * set by base_set_oom_handler, by default a message and exit code 3. */
#ifndef EBRU_BASE_ARENA_H
#define EBRU_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *base_alloc(size_t size);            /* zeroed; never NULL */
void *base_realloc(void *p, size_t size); /* grown bytes are not zeroed; never NULL */
void base_free(void *p);
/* base_alloc for what may be huge: NULL where there is no memory. Who asked then knows better what
 * it was for, and ends by base_out_of_memory ("weight 'w' : f32[8,8]"; NULL: nothing to say). */
void *base_try_alloc(size_t size);
_Noreturn void base_out_of_memory(size_t bytes, const char *what);
void base_set_oom_handler(void (*handler)(void));
/* Test hook: the n-th allocation from now fails (calls the handler); 0 switches it off. */
void base_fail_allocation(uint64_t n);

typedef struct base_arena base_arena;
base_arena *base_arena_new(void);
void base_arena_free(base_arena *a);                /* NULL is allowed */
void *base_arena_alloc(base_arena *a, size_t size); /* zeroed, 16-byte aligned */
char *base_arena_strdup(base_arena *a, const char *s);
char *base_arena_strndup(base_arena *a, const char *s, size_t n);
char *base_arena_printf(base_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Growable array: `T *items; size_t count, cap;` fields grown with BASE_PUSH. Freed with
 * base_free(items). */
#define BASE_VEC(T)                                                                                \
    struct {                                                                                       \
        T *items;                                                                                  \
        size_t count, cap;                                                                         \
    }
#define BASE_PUSH(v, x)                                                                            \
    do {                                                                                           \
        if ((v)->count == (v)->cap)                                                                \
            (v)->items = base_grow((v)->items, &(v)->cap, sizeof *(v)->items);                     \
        (v)->items[(v)->count++] = (x);                                                            \
    } while (0)
void *base_grow(void *items, size_t *cap, size_t item_size);

/* Growable string for printers and messages. `data` is always NUL-terminated once anything was
 * appended. */
typedef struct base_str {
    char *data;
    size_t len, cap;
} base_str;
void base_str_add(base_str *s, const char *text);
void base_str_addn(base_str *s, const char *text, size_t n);
void base_str_addf(base_str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void base_str_free(base_str *s);

/* Checked arithmetic for sizes that come from files: false on overflow, *out untouched. */
static inline bool base_mul_size(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
static inline bool base_add_size(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

#endif
