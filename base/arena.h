/* Memory of the compiler: arenas, growable vectors, checked size arithmetic.
 *
 * Everything the compiler allocates comes from ir_alloc/ir_realloc (one hook, so that tests can make the n-th
 * allocation fail) or from an arena built on it. Passes never free: nodes and attributes live in the module's
 * arena and are dropped whole. Out of memory ends in the handler set by ir_set_oom_handler, by default a
 * message and exit code 3. */
#ifndef EBRU_IR_ARENA_H
#define EBRU_IR_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *ir_alloc(size_t size);            /* zeroed; never NULL */
void *ir_realloc(void *p, size_t size); /* grown bytes are not zeroed; never NULL */
void ir_free(void *p);
void ir_set_oom_handler(void (*handler)(void));
/* Test hook: the n-th allocation from now fails (calls the handler); 0 switches it off. */
void ir_fail_allocation(uint64_t n);

typedef struct ir_arena ir_arena;
ir_arena *ir_arena_new(void);
void ir_arena_free(ir_arena *a);                /* NULL is allowed */
void *ir_arena_alloc(ir_arena *a, size_t size); /* zeroed, 16-byte aligned */
char *ir_arena_strdup(ir_arena *a, const char *s);
char *ir_arena_strndup(ir_arena *a, const char *s, size_t n);
char *ir_arena_printf(ir_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Growable array: `T *items; size_t count, cap;` fields grown with IR_PUSH. Freed with ir_free(items). */
#define IR_VEC(T)                                                                                            \
    struct {                                                                                                 \
        T *items;                                                                                            \
        size_t count, cap;                                                                                   \
    }
#define IR_PUSH(v, x)                                                                                        \
    do {                                                                                                     \
        if ((v)->count == (v)->cap) (v)->items = ir_grow((v)->items, &(v)->cap, sizeof *(v)->items);         \
        (v)->items[(v)->count++] = (x);                                                                      \
    } while (0)
void *ir_grow(void *items, size_t *cap, size_t item_size);

/* Growable string for printers and messages. `data` is always NUL-terminated once anything was appended. */
typedef struct ir_str {
    char *data;
    size_t len, cap;
} ir_str;
void ir_str_add(ir_str *s, const char *text);
void ir_str_addn(ir_str *s, const char *text, size_t n);
void ir_str_addf(ir_str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ir_str_free(ir_str *s);

/* Checked arithmetic for sizes that come from files: false on overflow, *out untouched. */
static inline bool ir_mul_size(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
static inline bool ir_add_size(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

#endif
