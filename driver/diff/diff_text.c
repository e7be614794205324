/* ebru diff for reading: a summary a function, what happened to which kinds of nodes, then the
 * nodes block by block.
 *
 *   unet.step: 340 -> 280 nodes: 66 removed, 6 added, 6 rewired
 *     removed   24 reshape, 24 transpose, 12 matmul, 6 softmax
 *     added     6 attention
 *     rewired   6 linear {x}
 *   down.6.attn
 *     - %77 = softmax %76 : f32[1,4,64,64]
 *     + %70 = attention %64, %66, %68 {heads=4} : f32[1,64,128]
 *     ~ %82 -> %71 linear {x=%81 reshape -> %70 attention}
 *
 * A node is rewired when nothing but the nodes it reads differs: mostly it reads what took the
 * place of something. */
#include "driver/diff/diff.h"
#include "runtime/abi/meta_keys.h"

#include <stdlib.h>
#include <string.h>

static const char *shown(const char *s) {
    return base_escape(s, strlen(s));
}

/* ---- kinds of changes, counted ---- */

struct kind {
    char *text;
    uint32_t count, first;
};

static int by_count(const void *x, const void *y) {
    const struct kind *a = x, *b = y;
    if (a->count != b->count) return a->count > b->count ? -1 : 1;
    return a->first < b->first ? -1 : 1;
}

/* The node's op and, of a changed one, what changed, without the numbers of nodes. */
static void kind_of(const diff_entry *e, base_str *out) {
    base_str_add(out, e->op);
    for (uint32_t i = 0; i < e->detail_count; i++) {
        const diff_detail *c = &e->details[i];
        base_str_add(out, i ? ", " : " {");
        if (c->operand)
            base_str_addf(out, "%s%s",
                          !strcmp(c->from, "_") ? "+"
                          : !strcmp(c->to, "_") ? "-"
                                                : "",
                          c->what);
        else if (c->brief)
            base_str_add(out, c->what);
        else
            base_str_addf(out, "%s=%s -> %s", c->what, c->from, c->to);
    }
    if (e->detail_count) base_str_add(out, "}");
}

enum { MOST_KINDS = 12 };

static void add_kinds(const diff_func *f, const char *title, bool has_a, bool has_b, bool rewired,
                      base_str *out) {
    BASE_VEC(struct kind) kinds = {0};
    base_arena *arena = base_arena_new();
    for (uint32_t i = 0; i < f->entries.count; i++) {
        const diff_entry *e = &f->entries.items[i];
        if (ir_ref_ok(e->a) != has_a || ir_ref_ok(e->b) != has_b || e->rewired != rewired) continue;
        base_str text = {0};
        kind_of(e, &text);
        size_t k = 0;
        while (k < kinds.count && strcmp(kinds.items[k].text, text.data)) k++;
        if (k == kinds.count)
            BASE_PUSH(&kinds, ((struct kind){base_arena_strdup(arena, text.data), .first = i}));
        kinds.items[k].count++;
        base_str_free(&text);
    }
    if (kinds.count) {
        qsort(kinds.items, kinds.count, sizeof *kinds.items, by_count);
        base_str_addf(out, "  %-9s", title);
        for (size_t k = 0; k < kinds.count && k < MOST_KINDS; k++)
            base_str_addf(out, "%s%u %s", k ? ", " : " ", kinds.items[k].count,
                          shown(kinds.items[k].text));
        if (kinds.count > MOST_KINDS)
            base_str_addf(out, ", %zu more kinds", kinds.count - MOST_KINDS);
        base_str_add(out, "\n");
    }
    base_free(kinds.items);
    base_arena_free(arena);
}

/* ---- nodes ---- */

static void add_entry(const diff_func *f, const diff_entry *e, base_str *out) {
    if (!ir_ref_ok(e->b) || !ir_ref_ok(e->a)) {
        bool removed = ir_ref_ok(e->a);
        base_str_add(out, removed ? "    - " : "    + ");
        ir_print_line(removed ? f->a : f->b, removed ? f->number_a : f->number_b,
                      removed ? e->a : e->b, false, out);
        base_str_add(out, "\n");
        return;
    }
    const ir_node *n = ir_get(f->b, e->b);
    base_str_addf(out, "    ~ %%%u -> %%%u %s", f->number_a[e->a.id], f->number_b[e->b.id],
                  n->op == IR_OP_input ? shown(IR_ATTRS(n, input)->name) : e->op);
    for (uint32_t i = 0; i < e->detail_count; i++) {
        base_str_addf(out, "%s%s=", i ? ", " : " {", shown(e->details[i].what));
        base_str_addf(out, "%s -> %s", shown(e->details[i].from), shown(e->details[i].to));
    }
    base_str_add(out, "}\n");
}

/* Blocks in the order in which they first appear, each with all its nodes. */
static void add_blocks(const diff_func *f, base_str *out) {
    size_t n = f->entries.count;
    bool *done = base_alloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        if (done[i]) continue;
        const char *block = f->entries.items[i].block;
        base_str_addf(out, "  %s\n", *block ? shown(block) : "(no block)");
        for (size_t k = i; k < n; k++) {
            if (done[k] || strcmp(f->entries.items[k].block, block)) continue;
            done[k] = true;
            add_entry(f, &f->entries.items[k], out);
        }
    }
    base_free(done);
}

/* ---- functions and modules ---- */

static void add_count(uint32_t n, const char *what, const char **separator, base_str *out) {
    if (!n) return;
    base_str_addf(out, "%s%u %s", *separator, n, what);
    *separator = ", ";
}

void drv_diff_add_counts(const diff_counts *c, const char *removed, base_str *out) {
    const char *separator = ": ";
    add_count(c->removed, removed, &separator, out);
    add_count(c->added, "added", &separator, out);
    add_count(c->changed, "changed", &separator, out);
    add_count(c->rewired, "rewired", &separator, out);
    add_count(c->moved, "at another place", &separator, out);
}

static void add_size(const char *what, uint64_t a, uint64_t b, base_str *out) {
    if (a != b)
        base_str_addf(out, "  %-9s %llu -> %llu bytes\n", what, (unsigned long long)a,
                      (unsigned long long)b);
}

static uint32_t nodes_of(const ir_func *f) {
    uint32_t n = 0;
    for (size_t i = 0; i < f->nodes.count; i++) n += f->nodes.items[i].op != IR_OP_weight;
    return n;
}

static void add_func(const diff_func *f, bool brief, base_str *out) {
    if (!f->a || !f->b) {
        base_str_addf(out, "%s: %s, %u nodes\n", shown(f->name), f->a ? "removed" : "added",
                      nodes_of(f->a ? f->a : f->b));
        return;
    }
    if (f->same) return;
    base_str_addf(out, "%s: %u -> %u nodes", shown(f->name), nodes_of(f->a), nodes_of(f->b));
    drv_diff_add_counts(&f->counts, "removed", out);
    base_str_add(out, "\n");
    add_kinds(f, "removed", true, false, false, out);
    add_kinds(f, "added", false, true, false, out);
    add_kinds(f, "changed", true, true, false, out);
    add_kinds(f, "rewired", true, true, true, out);
    add_size("arena", f->a->arena_bytes, f->b->arena_bytes, out);
    add_size("scratch", f->a->scratch_bytes, f->b->scratch_bytes, out);
    for (size_t i = 0; i < f->outputs.count; i++) {
        base_str_addf(out, "  output    %s: ", shown(f->outputs.items[i].what));
        base_str_addf(out, "%s -> %s\n", shown(f->outputs.items[i].from),
                      shown(f->outputs.items[i].to));
    }
    if (!brief) add_blocks(f, out);
}

/* A property may be a folder's name or a whole tokenizer; a weight's data may be long. */
static const char *cut(const char *s) {
    static char text[2][100];
    static unsigned next;
    char *t = text[next++ % 2];
    snprintf(t, sizeof text[0], "%s", s ? shown(s) : "_");
    return t;
}

static void add_rows(const char *what, const diff_row *rows, size_t count, bool brief,
                     base_str *out) {
    if (brief && count > 4) {
        base_str_addf(out, "%zu of %s differ\n", count, what);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (rows[i].from && rows[i].to)
            base_str_addf(out, "~ %s %s: %s -> %s\n", what, shown(rows[i].name), cut(rows[i].from),
                          cut(rows[i].to));
        else
            base_str_addf(out, "%c %s %s: %s\n", rows[i].from ? '-' : '+', what,
                          shown(rows[i].name), cut(rows[i].from ? rows[i].from : rows[i].to));
    }
}

static void add_head(const char *sign, const char *path, const ir_module *m, base_str *out) {
    const char *after = ir_meta_string(m, EBRU_META_PASSES_AFTER.name, NULL);
    base_str_addf(out, "%s %s: level %s%s%s\n", sign, shown(path), ir_level_name[m->level],
                  after ? ", after " : "", after ? shown(after) : "");
}

void drv_diff_text(const diff *d, bool brief, base_str *out) {
    size_t same = 0, all = d->funcs.count;
    if (!d->same) {
        add_head("---", d->path_a, d->a, out);
        add_head("+++", d->path_b, d->b, out);
    }
    add_rows("property", d->meta.items, d->meta.count, brief, out);
    add_rows("weight", d->weights.items, d->weights.count, brief, out);
    for (size_t i = 0; i < all; i++) {
        size_t before = out->len;
        add_func(&d->funcs.items[i], brief, out);
        same += out->len == before;
    }
    if (d->same) {
        base_str_addf(out, "the same: %zu functions\n", all);
        return;
    }
    base_str_addf(out, "%zu of %zu functions differ", all - same, all);
    drv_diff_add_counts(&d->counts, "nodes removed", out);
    if (d->meta.count + d->weights.count)
        base_str_addf(out, "; %zu of properties and weights", d->meta.count + d->weights.count);
    base_str_add(out, "\n");
}
