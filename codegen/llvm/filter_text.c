/* Of assembly or LLVM IR only some functions: those that --filter= or --op= names, and what they
 * call, down to the tiles in which the time is spent. A function of the model calls everything, so
 * it comes alone.
 *
 * The text is cut into pieces, each a function (or an object of data) with the constants and
 * comments in front of it. A piece calls another when its name stands in it, so tables of functions
 * count, too. */
#include "base/hash.h"
#include "base/index.h"
#include "codegen/llvm/emission_plan.h"
#include "ir/text/node_filter.h"

#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

typedef struct piece {
    const char *text, *name;
    size_t length, name_length;
    bool kept;
    bool model; /* a function of the model */
} piece;

typedef struct pieces {
    BASE_VEC(piece) items;
    base_index by_name;
    bool asm_text;
    const char *comment;
} pieces;

/* ---- cutting ---- */

static bool is_symbol_char(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '$';
}

static size_t symbol_length(const char *s, const char *end) {
    size_t n = 0;
    while (s + n < end && is_symbol_char(s[n])) n++;
    return n;
}

static uint32_t hash_of(const char *name, size_t length) {
    return base_hash_finish(base_hash_bytes(BASE_HASH_START, name, length));
}

static void add_piece(pieces *p, const char *begin, const char *end, const char *name,
                      size_t length) {
    piece x = {begin, name, (size_t)(end - begin), length, false, false};
    base_index_add(&p->by_name, hash_of(name, length), (uint32_t)p->items.count);
    BASE_PUSH(&p->items, x);
}

static bool begins(const char *line, const char *end, const char *with) {
    size_t n = strlen(with);
    return (size_t)(end - line) >= n && !memcmp(line, with, n);
}

/* Assembly: a piece ends with the line `.size NAME, ...`. */
static void cut_asm(pieces *p, const char *text, const char *end) {
    const char *begin = text;
    for (const char *line = text, *next; line < end; line = next) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        next = newline ? newline + 1 : end;
        if (!begins(line, end, "\t.size\t")) continue;
        const char *name = line + strlen("\t.size\t");
        add_piece(p, begin, next, name, symbol_length(name, next));
        begin = next;
    }
}

/* LLVM IR: a piece ends with the line `}`; a global is a line. Declarations are left out. */
static void cut_ir(pieces *p, const char *text, const char *end) {
    const char *begin = text, *name = NULL;
    for (const char *line = text, *next; line < end; line = next) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        next = newline ? newline + 1 : end;
        if (*line == '@') {
            add_piece(p, line, next, line + 1, symbol_length(line + 1, next));
            begin = next;
        } else if (begins(line, next, "define ")) {
            const char *at = memchr(line, '@', (size_t)(next - line));
            name = at ? at + 1 : NULL;
        } else if (*line == '}') {
            if (name) add_piece(p, begin, next, name, symbol_length(name, next));
            begin = next;
            name = NULL;
        } else if (!name && *line != ';' && *line != '\n') {
            begin = next; /* declarations, types, attributes */
        }
    }
}

static piece *find(const pieces *p, const char *name, size_t length) {
    uint32_t hash = hash_of(name, length), at = base_index_start(&p->by_name, hash), id;
    while (base_index_next(&p->by_name, hash, &at, &id)) {
        piece *x = &p->items.items[id];
        if (x->name_length == length && !memcmp(x->name, name, length)) return x;
    }
    return NULL;
}

/* ---- choosing ---- */

static void keep_called(const pieces *p, const piece *by);

static void keep(const pieces *p, piece *x) {
    if (!x || x->kept) return;
    x->kept = true;
    if (!x->model) keep_called(p, x);
}

/* Names in comments are no calls. */
static void keep_called(const pieces *p, const piece *by) {
    const char *end = by->text + by->length;
    for (const char *line = by->text, *next; line < end; line = next) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        next = newline ? newline + 1 : end;
        const char *s = line + strspn(line, " \t");
        if (begins(s, next, p->comment)) continue;
        while (s < next) {
            size_t n = symbol_length(s, next);
            if (n) keep(p, find(p, s, n));
            s += n ? n : 1;
        }
    }
}

static void choose_op(const pieces *p, const cg_plan *plan, const cg_options *o) {
    for (size_t i = 0; i < plan->funcs.count; i++)
        for (size_t k = 0; k < plan->funcs.items[i].ops.count; k++) {
            const cg_op *op = &plan->funcs.items[i].ops.items[k];
            if (plan->funcs.items[i].f != o->only_function || !ir_ref_eq(op->node, o->only_node))
                continue;
            const char *name = plan->wrappers.items[op->wrapper].name;
            keep(p, find(p, name, strlen(name)));
        }
}

static void choose_matching(const pieces *p, const cg_plan *plan, const regex_t *r) {
    for (size_t i = 0; i < plan->funcs.count; i++) {
        const cg_func_plan *f = &plan->funcs.items[i];
        piece *model = find(p, f->symbol, strlen(f->symbol));
        if (model && ir_filter_text(r, f->f->name)) keep(p, model);
        for (size_t k = 0; k < f->ops.count; k++) {
            const char *name = plan->wrappers.items[f->ops.items[k].wrapper].name;
            if (ir_filter_node(r, f->f, ir_get(f->f, f->ops.items[k].node)))
                keep(p, find(p, name, strlen(name)));
        }
    }
    for (size_t i = 0; i < p->items.count; i++) {
        piece *x = &p->items.items[i];
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)(x->name_length < 255 ? x->name_length : 255),
                 x->name);
        if (ir_filter_text(r, name)) keep(p, x);
    }
}

static void choose(pieces *p, const cg_plan *plan, const cg_options *o) {
    for (size_t i = 0; i < plan->funcs.count; i++) {
        const char *symbol = plan->funcs.items[i].symbol;
        piece *x = find(p, symbol, strlen(symbol));
        if (x) x->model = true;
    }
    if (o->only_function) {
        choose_op(p, plan, o);
        return;
    }
    regex_t r;
    if (regcomp(&r, o->filter, REG_EXTENDED | REG_NOSUB)) return;
    choose_matching(p, plan, &r);
    regfree(&r);
}

/* ---- files ---- */

static char *read_all(const char *path, size_t *size) {
    FILE *in = fopen(path, "r");
    base_str text = {0};
    char buffer[65536];
    size_t n;
    base_str_add(&text, "");
    while (in && (n = fread(buffer, 1, sizeof buffer, in)) > 0) base_str_addn(&text, buffer, n);
    bool fine = in && !ferror(in);
    if (in) fclose(in);
    *size = text.len;
    if (!fine) base_str_free(&text);
    return fine ? text.data : NULL;
}

static bool write_kept(const pieces *p, const char *path) {
    size_t kept = 0;
    for (size_t i = 0; i < p->items.count; i++) kept += p->items.items[i].kept;
    FILE *out = fopen(path, "w");
    if (!out) return false;
    if (kept) fprintf(out, "%s %zu of %zu functions\n", p->comment, kept, p->items.count);
    for (size_t i = 0; i < p->items.count; i++)
        if (p->items.items[i].kept)
            fwrite(p->items.items[i].text, 1, p->items.items[i].length, out);
    bool fine = !ferror(out);
    return !fclose(out) && fine;
}

bool cg_filter_text(const cg_plan *plan, const cg_options *o, bool x86, const char *path,
                    base_str *fault) {
    pieces p = {.asm_text = o->kind == CG_ASM};
    p.comment = !p.asm_text ? ";" : x86 ? "#" : "//";
    size_t size = 0;
    char *text = read_all(path, &size);
    if (text && p.asm_text) cut_asm(&p, text, text + size);
    if (text && !p.asm_text) cut_ir(&p, text, text + size);
    if (text) choose(&p, plan, o);
    bool fine = text && write_kept(&p, path);
    if (!fine) base_str_addf(fault, "cannot write %s: %s", path, strerror(errno));
    base_free(p.items.items);
    base_index_free(&p.by_name);
    base_free(text);
    return fine;
}
