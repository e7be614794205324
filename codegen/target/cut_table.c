/* The cuts of a bound node: for each number of threads the way to cut its work that the rules take
 * for the best (default_tiles/cuts.h), of those that are legal. */
#include "codegen/target/tiles.h"

#include <string.h>

#define WAYS(name)                                                                                 \
    static int32_t ways_##name(const cg_params *p, cg_cut *list) {                                 \
        return cg_cuts_##name(&p->name, list);                                                     \
    }
EBRU_CUT_KERNELS(WAYS)

static const struct cut_row {
    const char *kernel;
    const char *fields[CG_CUT_FIELDS + 1];
    int32_t (*ways)(const cg_params *p, cg_cut *list);
} cut_rows[] = {
#define FIELD(name) #name,
#define ROW(name)   {#name, {EBRU_CUT_##name(FIELD) NULL}, ways_##name},
    EBRU_CUT_KERNELS(ROW)};

static const struct cut_row *row_of(const char *kernel) {
    for (size_t i = 0; i < sizeof cut_rows / sizeof *cut_rows; i++)
        if (strcmp(cut_rows[i].kernel, kernel) == 0) return &cut_rows[i];
    return NULL;
}

int32_t cg_ways(const cg_kernel *k, const cg_params *p, cg_cut list[CG_MOST_CUTS]) {
    const struct cut_row *row = row_of(k->name);
    return row ? row->ways(p, list) : 0;
}

cg_params cg_cut_params(const cg_kernel *k, const cg_params *p, const cg_cut *c) {
    const struct cut_row *row = row_of(k->name);
    cg_params q = *p;
    for (uint32_t i = 0; row && row->fields[i]; i++)
        cg_params_set(k, &q, row->fields[i], c->field[i]);
    return q;
}

int32_t cg_step(const ir_binding *b) {
    const cg_kernel *k = cg_kernel_find(b->kernel);
    cg_params p;
    cg_cut list[CG_MOST_CUTS];
    k->read(b->params, &p);
    return cg_ways(k, &p, list) > 0 ? list[0].step : 1;
}

/* Leaves the ways that the kernel can go; the first, of the params themselves, stays. */
static int32_t legal_ways(const cg_bind *b, const cg_kernel *k, const cg_params *p, cg_cut *list) {
    const int32_t count = cg_ways(k, p, list);
    int32_t kept = 1;
    for (int32_t i = 1; i < count; i++) {
        const cg_params q = cg_cut_params(k, p, &list[i]);
        if (cg_tiles_legal(k, &q, b->target->isa, cg_is_overwriting(b->node), NULL) &&
            cg_tiles_bearable(k, &q, NULL))
            list[kept++] = list[i];
    }
    return kept;
}

/* The table's row of a way, new if it is the first of its kind. */
static uint8_t add_row(cg_cuts *t, const cg_cut *c) {
    struct cg_cut_row r = {.tasks = c->tasks, .step = c->step};
    memcpy(r.value, c->field, sizeof r.value);
    for (uint32_t i = 0; i < t->rows; i++)
        if (memcmp(&t->row[i], &r, sizeof r) == 0) return (uint8_t)i;
    t->row[t->rows] = r;
    return (uint8_t)t->rows++;
}

/* Makes the row the binding's own. */
static void take_row(ir_binding *b, const cg_cuts *t, const struct cg_cut_row *r) {
    for (uint32_t i = 0; i < t->fields; i++) b->params[t->field[i]].i = r->value[i];
    b->tasks = r->tasks;
}

void cg_cut_work(cg_bind *b, uint32_t measured) {
    static const int32_t threads[EBRU_CUTS] = {
#define THREADS(n) n,
        EBRU_CUT_THREADS(THREADS)};
    const struct cut_row *row = row_of(b->out->kernel);
    if (!row) return;
    const cg_kernel *k = cg_kernel_find(b->out->kernel);
    cg_params p;
    cg_cut list[CG_MOST_CUTS];
    struct cg_cut_row rows[EBRU_CUTS];
    cg_cuts t = {.row = rows};
    b->out->cuts = NULL;
    k->read(b->out->params, &p);
    const int32_t count = legal_ways(b, k, &p, list);
    for (int32_t i = 0; i < EBRU_CUTS; i++) {
        const bool own = threads[i] <= (int32_t)measured;
        const cg_cut *best = &list[own ? 0 : cg_best_cut(list, count, threads[i])];
        const cg_params q = cg_cut_params(k, &p, best);
        const uint64_t scratch = (uint64_t)k->scratch(&q);
        if (scratch > b->out->scratch) b->out->scratch = scratch;
        t.at[i] = add_row(&t, best);
    }
    for (; row->fields[t.fields]; t.fields++)
        t.field[t.fields] = cg_kernel_field(k, row->fields[t.fields]);
    take_row(b->out, &t, &rows[t.at[ebru_cut_column(2)]]);
    if (t.rows == 1) return;
    base_arena *arena = b->f->module->arena;
    cg_cuts *kept = base_arena_alloc(arena, sizeof *kept);
    *kept = t;
    kept->row = base_arena_alloc(arena, t.rows * sizeof *kept->row);
    memcpy(kept->row, rows, t.rows * sizeof *kept->row);
    b->out->cuts = kept;
}
