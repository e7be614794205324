/* What ebru tune prints: a row for each change of the lowered model, what all of them come to, and
 * what to type next.
 *
 *   conv2d f32[1,128,8,8] -> f32[1,128,8,8]   7  unet.step %131 mid.res1 ...  direct -> F(2,3) ...
 *
 * A row is of nodes that run, so candidates that were not taken have none. Nodes with the same
 * kernel before and the same after are one row. */
#include "driver/diff/node_fates.h"
#include "driver/tune/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct row {
    base_str key;   /* equal keys are one row */
    base_str shape; /* "conv2d f32[1,128,8,8] -> f32[1,128,8,8]" */
    base_str where; /* "unet.step %131 mid.res1": the first, numbered as by the records */
    base_str form, tiles;
    uint32_t nodes;
    double runs;         /* in a picture, of all nodes */
    double rules, tuned; /* ns of one node */
    bool form_changes, bits_change;
} row;
typedef BASE_VEC(row) rows;

/* ---- one node ---- */

void tune_choice(const tune_kernel *k, cg_record *r) {
    for (uint32_t i = 0; i < k->kernel->field_count; i++) {
        const char *field = k->kernel->field[i];
        if (!cg_is_tile(k->kernel->name, field)) continue;
        const int32_t value = cg_params_get(k->kernel, &k->best, field);
        if (value != cg_params_get(k->kernel, &k->rules, field))
            r->choice[r->choice_count++] = (cg_tile){field, value};
    }
}

static bool has_tiles(const ir_node *n) {
    return n->binding && cg_has_tiles(n->binding->kernel);
}

static const tune_kernel *kernel_of(const tune_kernels *all, const ir_node *n) {
    base_str key = {0};
    cg_kernel_key(n->binding, cg_is_overwriting(n), &key);
    const tune_kernel *k = tune_find(all, n->binding->kernel, key.data);
    base_str_free(&key);
    return k;
}

/* The precision of a bound node's products, from the kernel's parameters. */
static ir_precision precision_of(const ir_node *n) {
    const ir_binding *b = n->binding;
    if (n->op == IR_OP_conv2d_i8) return IR_PRECISION_INT8;
    for (uint32_t i = 0; b && i < b->param_count; i++)
        if (!strcmp(b->params[i].name, "parts"))
            return b->params[i].i == 2 ? IR_PRECISION_BF16X3 : IR_PRECISION_BF16;
    return IR_PRECISION_F32;
}

static void add_form(const ir_node *n, base_str *out) {
    if (n->op == IR_OP_conv2d || n->op == IR_OP_conv2d_i8)
        base_str_add(out, "direct");
    else if (n->op == IR_OP_conv2d_phases)
        base_str_add(out, "phases");
    else if (n->op == IR_OP_conv2d_winograd)
        base_str_addf(out, "F(%d,3)", (int)IR_ATTRS(n, winograd)->tile);
    else if (n->op == IR_OP_feed_forward)
        base_str_add(out, "one op");
    else
        base_str_add(out, ir_op_get(n->op)->name);
    if (precision_of(n) != IR_PRECISION_F32)
        base_str_addf(out, " %s", ir_precision_name[precision_of(n)]);
}

static bool same_form(const ir_node *a, const ir_node *b) {
    return a->op == b->op && precision_of(a) == precision_of(b) &&
           (a->op != IR_OP_conv2d_winograd ||
            IR_ATTRS(a, winograd)->tile == IR_ATTRS(b, winograd)->tile);
}

static bool is_convolution(const ir_node *n) {
    return n->op == IR_OP_conv2d || n->op == IR_OP_conv2d_winograd || n->op == IR_OP_conv2d_phases;
}

/* The op and its shapes; what form of a convolution it is stands in a column of its own. */
static void add_shape(const ir_node *n, const tune_kernel *k, base_str *out) {
    const char *types = strchr(k->shape, '[');
    while (types && types > k->shape && types[-1] != ' ') types--;
    if (is_convolution(n) && types)
        base_str_addf(out, "conv2d %s", types);
    else
        base_str_add(out, k->shape);
}

/* The node of the lowering by the rules adds its part to the row. */
static void add_source(row *r, const tune_kernels *all, const ir_node *from, const ir_node *to) {
    const tune_kernel *k = kernel_of(all, from);
    if (!k) return;
    r->rules += k->rules_ns[1];
    base_str_addf(&r->key, "|%s %s", k->kernel->name, k->key);
    if (!r->shape.len) add_shape(from, k, &r->shape);
    if (same_form(from, to)) return;
    r->form_changes = true;
    r->bits_change |= is_convolution(from) || precision_of(from) != precision_of(to);
    base_str_add(&r->form, r->form.len ? " and " : "");
    add_form(from, &r->form);
}

/* The node as lowered by the records. */
static bool finish(row *r, const tune_kernels *all, const ir_func *f, uint32_t id,
                   uint32_t number) {
    const ir_node *n = &f->nodes.items[id];
    const tune_kernel *k = kernel_of(all, n);
    if (!k) return false;
    cg_record record = {0};
    tune_choice(k, &record);
    base_str_add(&r->tiles, "");
    for (uint32_t i = 0; i < record.choice_count; i++) {
        base_str_addf(&r->tiles, "%s%s=%d", i ? " " : "", record.choice[i].field,
                      record.choice[i].value);
        r->bits_change |=
            tune_changes_bits(k->kernel->name) && !strcmp(record.choice[i].field, "KB");
    }
    r->tuned = k->best_ns[1];
    r->nodes = 1;
    r->runs = tune_runs_of(f);
    const char *block = f->module->origins.items[n->origin].block;
    base_str_addf(&r->where, "%s %%%u %s", base_escape(f->name, strlen(f->name)), number,
                  block ? base_escape(block, strlen(block)) : "");
    base_str_addf(&r->key, "|%s %s", k->kernel->name, k->key);
    if (!r->shape.len) add_shape(n, k, &r->shape);
    base_str_add(&r->form, r->form_changes ? " -> " : "");
    if (r->form_changes) add_form(n, &r->form);
    return r->form_changes || record.choice_count > 0;
}

/* ---- all nodes ---- */

static void free_row(row *r) {
    base_str_free(&r->key);
    base_str_free(&r->shape);
    base_str_free(&r->where);
    base_str_free(&r->form);
    base_str_free(&r->tiles);
}

static void take_row(rows *all, row *r) {
    for (size_t i = 0; i < all->count; i++) {
        row *known = &all->items[i];
        if (strcmp(known->key.data, r->key.data) != 0) continue;
        known->nodes++;
        known->runs += r->runs;
        free_row(r);
        return;
    }
    BASE_PUSH(all, *r);
}

/* The nodes of the lowering by the rules that the node has taken the place of. */
static void add_sources(row *r, const tune_kernels *all, const ir_module *rules,
                        const node_fates *fates, uint32_t func, uint32_t id, const ir_node *to) {
    for (uint32_t f = 0; f < rules->funcs.count; f++)
        for (uint32_t i = 0; i < rules->funcs.items[f]->nodes.count; i++) {
            const node_fate *fate = &fates->of[f][i];
            const ir_node *n = &rules->funcs.items[f]->nodes.items[i];
            if (fate->func == func && fate->node.id == id && has_tiles(n))
                add_source(r, all, n, to);
        }
}

static rows find_rows(const tune_kernels *all, const ir_module *rules, const ir_module *tuned) {
    rows found = {0};
    node_fates fates = drv_node_fates(rules, tuned);
    for (uint32_t f = 0; f < tuned->funcs.count; f++) {
        const ir_func *func = tuned->funcs.items[f];
        uint32_t *number = ir_numbering(func);
        for (uint32_t i = 0; i < func->nodes.count; i++) {
            const ir_node *n = &func->nodes.items[i];
            if (!has_tiles(n)) continue;
            row r = {0};
            add_sources(&r, all, rules, &fates, f, i, n);
            if (finish(&r, all, func, i, number[i]))
                take_row(&found, &r);
            else
                free_row(&r);
        }
        base_free(number);
    }
    drv_node_fates_free(&fates);
    return found;
}

/* ---- printing ---- */

static double gain(const row *r) {
    return r->runs * (r->rules - r->tuned);
}

static int by_gain(const void *a, const void *b) {
    const double x = gain(a), y = gain(b);
    return (x < y) - (x > y);
}

static void print_row(const row *r) {
    char where[80];
    snprintf(where, sizeof where, "%s%s", r->nodes > 1 ? "e.g. " : "", r->where.data);
    printf("%-48.48s %5u  %-38.38s %-18s %9.3f %9.3f", r->shape.data, r->nodes, where, r->form.data,
           r->rules * 1e-6, r->tuned * 1e-6);
    if (r->rules > 0)
        printf(" %6.1f", 100 * (r->tuned / r->rules - 1));
    else
        printf(" %6s", "");
    printf("%s%s\n", *r->tiles.data ? "  " : "", r->tiles.data);
}

/* Both sums over a picture. */
static void totals(const tune_kernels *all, double *before, double *after, uint32_t *candidates) {
    *before = *after = 0;
    *candidates = 0;
    for (size_t i = 0; i < all->count; i++) {
        *before += all->items[i].calls * all->items[i].rules_ns[1];
        *after += all->items[i].tuned_calls * all->items[i].best_ns[1];
        *candidates += all->items[i].candidates;
    }
}

static void print_sum(const rows *all, const tune_lowered *rules, const tune_lowered *tuned,
                      double before, double after) {
    uint32_t forms = 0, tiles = 0;
    bool bits = false;
    for (size_t i = 0; i < all->count; i++) {
        const row *r = &all->items[i];
        if (r->form_changes) forms += r->nodes;
        if (*r->tiles.data) tiles += r->nodes;
        bits |= r->bits_change;
    }
    printf("\n%u nodes change their form and %u their tiles: %s bits, weights ", forms, tiles,
           bits ? "other" : "the same");
    if (rules->weights_bytes == tuned->weights_bytes)
        printf("as they were");
    else
        printf("%.1f -> %.1f MiB", (double)rules->weights_bytes / 1048576.0,
               (double)tuned->weights_bytes / 1048576.0);
    printf(", %.1f -> %.1f ms by kernels\n", before * 1e-6, after * 1e-6);
}

void tune_print_table(const tune_kernels *all, const tune_lowered *rules, const tune_lowered *tuned,
                      const cg_machine *machine, double seconds) {
    double before, after;
    uint32_t candidates;
    totals(all, &before, &after, &candidates);
    rows found = find_rows(all, rules->module, tuned->module);
    if (found.count) qsort(found.items, found.count, sizeof *found.items, by_gain);
    printf("%s, %u threads: %zu kernels, %u candidates, %.0f s\n", machine->level, machine->threads,
           all->count, candidates, seconds);
    printf("%-48s %5s  %-38s %-18s %9s %9s %6s  %s\n", "what changes, largest gain first", "nodes",
           "where", "form", "rules ms", "tuned ms", "%", "tiles");
    for (size_t i = 0; i < found.count; i++) print_row(&found.items[i]);
    printf("%-48s %5s  %-38s %-18s %9.1f %9.1f", "all kernels with tiles, a picture of 20 steps",
           "", "", "", before * 1e-6, after * 1e-6);
    printf(" %6.1f\n", before > 0 ? 100 * (after / before - 1) : 0);
    print_sum(&found, rules, tuned, before, after);
    for (size_t i = 0; i < found.count; i++) free_row(&found.items[i]);
    base_free(found.items);
}
