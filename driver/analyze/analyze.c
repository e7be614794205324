/* --analyze: where the work, the weights and the memory are, as a tree: functions, blocks in blocks as the
 * model nests them, ops.
 *
 * Blocks are named by tensor prefixes: "down_blocks.0.resnets.1.conv1" is conv1 in resnets.1 in
 * down_blocks.0; a number belongs to the name before it. "at peak" are the bytes that a block's
 * values hold in the arena at the moment when it is fullest: what would have to become smaller for
 * the arena to do so. */
#include "driver/analyze/analyze.h"
#include "driver/analyze/arena_lifetimes.h"

#include <ctype.h>
#include <string.h>

enum { NONE = -1, NAME_WIDTH = 64 };
static const double MIB = 1048576.0;

struct row {
    const char *name;
    int first, last, next; /* children in order of appearance, next sibling */
    uint32_t node;         /* of an op; UINT32_MAX: a block */
    uint32_t nodes, depth;
    ir_cost cost;
    uint64_t peak;
};

struct tree {
    base_arena *arena;
    BASE_VEC(struct row) rows; /* [0] is the function */
};

/* The end of the next name of a prefix, with the numbers behind it: "resnets.1" of
 * "resnets.1.conv1". */
static const char *part_end(const char *s) {
    const char *end = s + strcspn(s, ".");
    while (*end == '.' && isdigit((unsigned char)end[1])) {
        const char *next = end + 1 + strspn(end + 1, "0123456789");
        if (*next && *next != '.') break;
        end = next;
    }
    return end;
}

static int add_row(struct tree *t, int parent, const char *name, uint32_t node) {
    int at = (int)t->rows.count;
    struct row r = {.name = name, .first = NONE, .last = NONE, .next = NONE, .node = node};
    if (parent != NONE) r.depth = t->rows.items[parent].depth + 1;
    BASE_PUSH(&t->rows, r);
    if (parent == NONE) return at;
    struct row *p = &t->rows.items[parent];
    if (p->last == NONE)
        p->first = at;
    else
        t->rows.items[p->last].next = at;
    p->last = at;
    return at;
}

static int child(struct tree *t, int parent, const char *name, size_t length) {
    for (int i = t->rows.items[parent].first; i != NONE; i = t->rows.items[i].next) {
        const struct row *r = &t->rows.items[i];
        if (r->node == UINT32_MAX && strlen(r->name) == length && !memcmp(r->name, name, length))
            return i;
    }
    return add_row(t, parent, base_arena_strndup(t->arena, name, length), UINT32_MAX);
}

static void count(struct row *r, const ir_cost *c, uint64_t peak) {
    r->cost.flops += c->flops;
    r->cost.bytes += c->bytes;
    r->cost.weight_bytes += c->weight_bytes;
    r->peak += peak;
    r->nodes++;
}

/* Constants are computed by the compiler, inputs by nobody here. */
static bool *not_counted(const ir_func *f) {
    bool *constant = ir_constants(f);
    for (size_t i = 0; i < f->inputs.count; i++) constant[f->inputs.items[i].id] = true;
    return constant;
}

static void build(struct tree *t, const ir_func *f) {
    bool *skip = not_counted(f);
    uint32_t *number = ir_numbering(f);
    drv_life *lives = drv_lives(f);
    uint64_t most;
    uint32_t peak = drv_peak(f, lives, &most);
    add_row(t, NONE, f->name, UINT32_MAX);
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        if (skip[i]) continue;
        ir_cost c = ir_node_cost(f, (ir_ref){i});
        uint64_t held = lives[i].first <= peak && peak <= lives[i].last ? lives[i].bytes : 0;
        int at = 0;
        count(&t->rows.items[0], &c, held);
        const char *block = f->module->origins.items[n->origin].block;
        for (const char *s = block ? block : ""; *s;) {
            const char *end = part_end(s);
            at = child(t, at, s, (size_t)(end - s));
            count(&t->rows.items[at], &c, held);
            s = *end ? end + 1 : end;
        }
        at = add_row(t, at,
                     base_arena_printf(t->arena, "%%%u %s", number[i], ir_op_get(n->op)->name), i);
        count(&t->rows.items[at], &c, held);
    }
    base_free(skip);
    base_free(number);
    base_free(lives);
}

/* Columns of the names that will be shown. */
static int name_width(const struct tree *t, uint32_t depth) {
    size_t width = 10;
    for (size_t i = 0; i < t->rows.count; i++) {
        const struct row *r = &t->rows.items[i];
        size_t n = 2 * (size_t)r->depth + strlen(base_escape(r->name, strlen(r->name)));
        if (r->depth <= depth && n > width) width = n;
    }
    return width < NAME_WIDTH ? (int)width : NAME_WIDTH;
}

static void add_columns(const ir_func *f, const struct row *r, double all, base_str *out) {
    const ir_cost *c = &r->cost;
    double moved = (double)(c->weight_bytes + c->bytes);
    base_str_addf(out, " %10.4f %6.1f %11.3f %10.3f %8.1f", c->flops * 1e-9,
                  all > 0 ? 100 * c->flops / all : 0, (double)c->weight_bytes / MIB,
                  (double)c->bytes / MIB, moved > 0 ? c->flops / moved : 0);
    if (f->arena_bytes)
        base_str_addf(out, " %11.3f", (double)r->peak / MIB);
    else
        base_str_addf(out, " %11s", "-");
    if (r->node == UINT32_MAX) {
        base_str_addf(out, r->nodes == 1 ? "  %u op\n" : "  %u ops\n", r->nodes);
        return;
    }
    const ir_node *n = &f->nodes.items[r->node];
    base_str_add(out, "  ");
    ir_print_type(&n->type, out);
    if (n->binding) base_str_addf(out, " %s", n->binding->kernel);
    base_str_add(out, "\n");
}

static void print_rows(const struct tree *t, const ir_func *f, int at, uint32_t depth, int width,
                       base_str *out) {
    const struct row *r = &t->rows.items[at];
    char name[2 * NAME_WIDTH];
    snprintf(name, sizeof name, "%*s%s", 2 * (int)r->depth, "",
             base_escape(r->name, strlen(r->name)));
    base_str_addf(out, "%-*s", width, name);
    add_columns(f, r, t->rows.items[0].cost.flops, out);
    if (r->depth < depth)
        for (int i = r->first; i != NONE; i = t->rows.items[i].next)
            print_rows(t, f, i, depth, width, out);
}

static void analyze_func(const ir_func *f, uint32_t depth, base_str *out) {
    struct tree t = {.arena = base_arena_new()};
    build(&t, f);
    int width = name_width(&t, depth);
    const ir_cost *c = &t.rows.items[0].cost;
    base_str_addf(out, "%s: %.3f GFLOP, weights %.1f MiB, moved %.1f MiB, arena %.1f MiB\n",
                  base_escape(f->name, strlen(f->name)), c->flops * 1e-9,
                  (double)c->weight_bytes / MIB, (double)c->bytes / MIB,
                  (double)f->arena_bytes / MIB);
    base_str_addf(out, "%-*s %10s %6s %11s %10s %8s %11s\n", width, "", "GFLOP", "%", "weights MiB",
                  "moved MiB", "FLOP/B", "at peak MiB");
    print_rows(&t, f, 0, depth, width, out);
    base_arena_free(t.arena);
    base_free(t.rows.items);
}

void drv_analyze(const ir_module *m, uint32_t depth, base_str *out) {
    for (size_t i = 0; i < m->funcs.count; i++) {
        if (i) base_str_add(out, "\n");
        analyze_func(m->funcs.items[i], depth, out);
    }
}
