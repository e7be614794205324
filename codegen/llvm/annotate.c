/* Comments in assembly and LLVM IR that name the ops of the model: over a wrapper all ops that call
 * it, in the model's functions each op over its call. Comments only, put into the finished text:
 * the code is the same with and without.
 *
 *   # ebru.v4.conv2d.5 computes
 *   #   unet.step %21 conv2d down.0.res : f32[1,32,32,32]:c16
 *   #   unet.step %30 conv2d down.1.res : f32[1,32,32,32]:c16
 *   ebru.v4.conv2d.5:
 *
 * Calls of wrappers are neither inlined nor moved, so the n-th call in a function is its n-th op's.
 * Where one is another wrapper's (LLVM may copy code behind the branches of --poison) the rest of
 * the function stays without comments. */
#include "base/hash.h"
#include "codegen/llvm/emission_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct annotation {
    const cg_plan *plan;
    const char *mark; /* begins a comment */
    bool asm_text;
    uint32_t **number;      /* of each function's nodes */
    const cg_func_plan *in; /* the model's function whose body is read; NULL: none */
    uint32_t func, next;    /* its index; the op of its next call */
    FILE *out;
    base_index by_name;      /* of wrappers */
    uint32_t *first, *after; /* ops of a wrapper, counted over all functions: the first; the next */
} annotation;

/* The wrapper of that name; UINT32_MAX. */
static uint32_t wrapper_named(const annotation *a, const char *name, size_t length) {
    const uint32_t hash = base_hash_finish(base_hash_bytes(BASE_HASH_START, name, length));
    uint32_t at = base_index_start(&a->by_name, hash), id;
    while (base_index_next(&a->by_name, hash, &at, &id)) {
        const char *known = a->plan->wrappers.items[id].name;
        if (strlen(known) == length && !memcmp(known, name, length)) return id;
    }
    return UINT32_MAX;
}

/* Fills by_name, first and after. */
static void index_wrappers(annotation *a) {
    const cg_plan *p = a->plan;
    uint32_t ops = 0;
    for (uint32_t i = 0; i < p->funcs.count; i++) ops += (uint32_t)p->funcs.items[i].ops.count;
    a->first = base_alloc((p->wrappers.count + 1) * sizeof *a->first);
    a->after = base_alloc((ops + 1) * sizeof *a->after);
    for (uint32_t i = 0; i < p->wrappers.count; i++) {
        base_index_add(&a->by_name, base_hash_text(p->wrappers.items[i].name), i);
        a->first[i] = UINT32_MAX;
    }
    for (uint32_t i = (uint32_t)p->funcs.count; i-- > 0;)
        for (uint32_t k = (uint32_t)p->funcs.items[i].ops.count; k-- > 0;) {
            const uint32_t w = p->funcs.items[i].ops.items[k].wrapper;
            a->after[--ops] = a->first[w];
            a->first[w] = ops;
        }
}

static void print_op(const annotation *a, uint32_t func, ir_ref r) {
    const ir_func *f = a->plan->funcs.items[func].f;
    const ir_node *n = ir_get(f, r);
    const char *block = f->module->origins.items[n->origin].block;
    base_str type = {0};
    ir_print_type(&n->type, &type);
    fprintf(a->out, "%s %%%u %s%s%s : %s\n", base_escape(f->name, strlen(f->name)),
            a->number[func][r.id], ir_op_get(n->op)->name, block ? " " : "",
            block ? base_escape(block, strlen(block)) : "", type.data);
    base_str_free(&type);
}

static void over_wrapper(const annotation *a, uint32_t wrapper) {
    const cg_plan *p = a->plan;
    fprintf(a->out, "%s %s computes\n", a->mark, p->wrappers.items[wrapper].name);
    uint32_t func = 0, before = 0; /* ops of the functions before */
    for (uint32_t op = a->first[wrapper]; op != UINT32_MAX; op = a->after[op]) {
        while (op - before >= p->funcs.items[func].ops.count)
            before += (uint32_t)p->funcs.items[func++].ops.count;
        fprintf(a->out, "%s   ", a->mark);
        print_op(a, func, p->funcs.items[func].ops.items[op - before].node);
    }
}

static bool is_name(const char *name, size_t length, const char *want) {
    return strlen(want) == length && !memcmp(name, want, length);
}

/* A definition begins: of a wrapper, of a function of the model, or of something else. */
static void definition(annotation *a, const char *name, size_t length) {
    const cg_plan *p = a->plan;
    a->in = NULL;
    const uint32_t wrapper = wrapper_named(a, name, length);
    if (wrapper != UINT32_MAX) over_wrapper(a, wrapper);
    for (uint32_t i = 0; i < p->funcs.count; i++) {
        const cg_func_plan *f = &p->funcs.items[i];
        for (uint32_t k = 0; k < cg_part_count(f); k++) {
            char symbol[CG_SYMBOL_SIZE];
            cg_part_symbol(f, k, symbol);
            if (!is_name(name, length, symbol)) continue;
            fprintf(a->out, "%s %s: %zu ops", a->mark, base_escape(f->f->name, strlen(f->f->name)),
                    f->ops.count);
            if (k) fprintf(a->out, ", from op %u on", k * CG_PART_OPS);
            fputc('\n', a->out);
            a->in = f;
            a->func = i;
            a->next = k * CG_PART_OPS;
        }
    }
}

static void call(annotation *a, const char *name, size_t length) {
    const cg_plan *p = a->plan;
    if (wrapper_named(a, name, length) == UINT32_MAX) return; /* a service of the runtime */
    const cg_op *op = a->next < a->in->ops.count ? &a->in->ops.items[a->next++] : NULL;
    if (!op || !is_name(name, length, p->wrappers.items[op->wrapper].name)) {
        a->in = NULL;
        return;
    }
    fprintf(a->out, "%s%s ", a->asm_text ? "\t" : "  ", a->mark);
    print_op(a, a->func, op->node);
}

/* ---- what a line is ---- */

static size_t symbol_length(const char *s) {
    return strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.");
}

static void asm_line(annotation *a, const char *line) {
    if (*line != '\t') {
        size_t n = symbol_length(line);
        if (n && *line != '.' && line[n] == ':') definition(a, line, n);
        return;
    }
    if (!a->in || (strncmp(line, "\tcall", 5) && strncmp(line, "\tbl\t", 4))) return;
    const char *name = strchr(line + 1, '\t');
    if (name) call(a, name + 1, symbol_length(name + 1));
}

static void ir_line(annotation *a, const char *line) {
    bool define = !strncmp(line, "define ", 7);
    if (*line == '}') a->in = NULL;
    if (!define && (!a->in || !strstr(line, "call "))) return;
    const char *name = strchr(line, '@');
    if (!name) return;
    if (define)
        definition(a, name + 1, symbol_length(name + 1));
    else
        call(a, name + 1, symbol_length(name + 1));
}

/* ---- files ---- */

static bool annotate(annotation *a, FILE *in) {
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    while ((n = getline(&line, &size, in)) > 0) {
        if (a->asm_text)
            asm_line(a, line);
        else
            ir_line(a, line);
        if (fwrite(line, 1, (size_t)n, a->out) != (size_t)n) break;
    }
    free(line);
    return !ferror(in) && !ferror(a->out) && n <= 0;
}

bool cg_annotate(const cg_plan *plan, bool asm_text, bool x86, const char *path, base_str *fault) {
    char *text = NULL;
    size_t size = 0;
    annotation a = {.plan = plan, .mark = !asm_text ? ";" : x86 ? "#" : "//", .asm_text = asm_text};
    FILE *in = fopen(path, "r");
    a.out = open_memstream(&text, &size);
    a.number = base_alloc((plan->funcs.count + 1) * sizeof *a.number);
    for (uint32_t i = 0; i < plan->funcs.count; i++)
        a.number[i] = ir_numbering(plan->funcs.items[i].f);
    index_wrappers(&a);
    bool fine = in && a.out && annotate(&a, in);
    if (in) fclose(in);
    if (a.out && fclose(a.out)) fine = false;
    FILE *out = fine ? fopen(path, "w") : NULL;
    fine = out && fwrite(text, 1, size, out) == size;
    if (out && fclose(out)) fine = false;
    if (!fine) base_str_addf(fault, "cannot write %s: %s", path, strerror(errno));
    for (uint32_t i = 0; i < plan->funcs.count; i++) base_free(a.number[i]);
    base_free(a.number);
    base_free(a.first);
    base_free(a.after);
    base_index_free(&a.by_name);
    free(text);
    return fine;
}
