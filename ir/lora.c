/* Low-rank updates of weights: what fits, and the sum.
 *
 * An update is never multiplied out as a whole. Where elements of the weight are read, the rows
 * they lie in get their share: with the factors as matrices, up [N,r] and down [r,K*kh*kw] (mid
 * already multiplied into it), row n gets sum over r of scale * up[n,r] * down[r,:]. Sums are in
 * binary64 in the order of the updates and of r, rounded once at the end, so any range gives the
 * same bits. */
#include <string.h>

#include "ir/build.h"

enum { BLOCK = 256 /* columns at a time */, UNROLL = 4 /* ranks at a time */ };

/* ---- shapes ---- */

typedef struct filter {
    int64_t n, k, kh, kw;
} filter;

/* [N,K] is a filter of 1x1. */
static bool as_filter(const ir_type *t, filter *f) {
    bool conv = t->rank == 4;
    *f = (filter){t->dim[0], t->dim[1], conv ? t->dim[2] : 1, conv ? t->dim[3] : 1};
    return (conv || t->rank == 2) && ir_is_float(t->dtype);
}

static bool is_point(const filter *f) {
    return f->kh == 1 && f->kw == 1;
}

static bool same_window(const filter *a, const filter *b) {
    return a->kh == b->kh && a->kw == b->kw;
}

static void say_types(base_str *why, const ir_type *w, const ir_lora *l) {
    const ir_type *t[] = {&l->up.type, &l->down.type, l->mid.type.rank ? &l->mid.type : NULL};
    base_str_add(why, "up ");
    for (int i = 0; i < 3 && t[i]; i++) {
        if (i) base_str_add(why, i == 1 ? ", down " : ", mid ");
        ir_print_type(t[i], why);
    }
    base_str_add(why, " do not fit a weight ");
    ir_print_type(w, why);
}

static bool shapes_fit(const ir_type *w, const ir_lora *l) {
    filter whole, up, down, mid;
    if (!as_filter(w, &whole) || !as_filter(&l->up.type, &up) || !as_filter(&l->down.type, &down))
        return false;
    if (!is_point(&up) || up.n != whole.n || down.k != whole.k) return false;
    if (!l->mid.type.rank) return up.k == down.n && same_window(&down, &whole);
    return as_filter(&l->mid.type, &mid) && is_point(&down) && same_window(&mid, &whole) &&
           up.k == mid.n && mid.k == down.n;
}

bool ir_lora_fits(const ir_type *w, const ir_lora *l, base_str *why) {
    if (shapes_fit(w, l)) return true;
    if (why) say_types(why, w, l);
    return false;
}

int64_t ir_lora_rank(const ir_lora *l) {
    return l->up.type.dim[1];
}

void ir_lora_add(ir_module *m, uint32_t weight, const ir_lora *update) {
    ir_lora *copy = base_arena_alloc(m->arena, sizeof *copy);
    ir_weight *w = &m->weights.items[weight];
    *copy = *update;
    copy->up.name = "up"; /* what the random numbers of a factor without a file depend on */
    copy->down.name = "down";
    copy->mid.name = "mid";
    copy->next = NULL;
    if (w->last_lora)
        w->last_lora->next = copy;
    else
        w->loras = copy;
    w->last_lora = copy;
}

/* ---- sums ---- */

/* The factors of one update, ready to be multiplied: up [rows][ranks] from the first row asked for,
 * scaled; down [ranks][columns]. Ranks and columns are rounded up with zeros. */
typedef struct factors {
    double *up;
    float *down;
    int64_t ranks, columns;
} factors;

static float *read_all(const ir_weight *w) {
    int64_t count = ir_type_elements(&w->type);
    float *values = base_alloc((size_t)count * sizeof *values);
    ir_weight_read(w, values, 0, count);
    return values;
}

static int64_t round_up(int64_t n, int64_t step) {
    return (n + step - 1) / step * step;
}

/* Row r of mid o down: [K][kh][kw] = sum over s of mid[r,s,kh,kw] * down[s,k]. */
static void compose_row(const float *mid, const float *down, int64_t s_count, int64_t k_count,
                        int64_t window, float *out) {
    for (int64_t k = 0; k < k_count; k++)
        for (int64_t p = 0; p < window; p++) {
            double sum = 0.0;
            for (int64_t s = 0; s < s_count; s++)
                sum += (double)mid[s * window + p] * (double)down[s * k_count + k];
            out[k * window + p] = (float)sum;
        }
}

static void read_down(const ir_lora *l, int64_t row, factors *f) {
    int64_t rank = ir_lora_rank(l);
    f->down = base_alloc((size_t)(f->ranks * f->columns) * sizeof *f->down);
    if (!l->mid.type.rank) {
        for (int64_t r = 0; r < rank; r++)
            ir_weight_read(&l->down, f->down + r * f->columns, r * row, row);
        return;
    }
    float *mid = read_all(&l->mid), *down = read_all(&l->down);
    int64_t s_count = l->down.type.dim[0], k_count = l->down.type.dim[1], window = row / k_count;
    for (int64_t r = 0; r < rank; r++)
        compose_row(mid + r * s_count * window, down, s_count, k_count, window,
                    f->down + r * f->columns);
    base_free(mid);
    base_free(down);
}

static factors factors_new(const ir_lora *l, int64_t first_row, int64_t rows, int64_t row) {
    int64_t rank = ir_lora_rank(l);
    factors f = {.ranks = round_up(rank, UNROLL), .columns = round_up(row, BLOCK)};
    float *up = base_alloc((size_t)(rows * rank) * sizeof *up);
    ir_weight_read(&l->up, up, first_row * rank, rows * rank);
    f.up = base_alloc((size_t)(rows * f.ranks) * sizeof *f.up);
    for (int64_t n = 0; n < rows; n++)
        for (int64_t r = 0; r < rank; r++)
            f.up[n * f.ranks + r] = l->scale * (double)up[n * rank + r];
    base_free(up);
    read_down(l, row, &f);
    return f;
}

/* Constant extents: the compiler makes vectors of it. */
static void add_block(double *restrict sum, const double *restrict u, const float *restrict d,
                      int64_t stride) {
    const float *restrict d1 = d + stride, *restrict d2 = d1 + stride, *restrict d3 = d2 + stride;
    for (int i = 0; i < BLOCK; i++)
        sum[i] += u[0] * (double)d[i] + u[1] * (double)d1[i] + u[2] * (double)d2[i] +
                  u[3] * (double)d3[i];
}

typedef struct range {
    int64_t first, count, row; /* elements; elements of a row */
} range;

/* Columns [k, k + BLOCK) of one row, of which those inside the range are changed. */
static void add_to_row(const factors *f, size_t updates, int64_t first_row, int64_t n, int64_t k,
                       const range *want, float *out) {
    double sum[BLOCK] = {0};
    int64_t start = n * want->row + k - want->first,
            width = want->row - k < BLOCK ? want->row - k : BLOCK;
    int64_t lo = start < 0 ? -start : 0,
            hi = want->count - start < width ? want->count - start : width;
    if (lo >= hi) return;
    for (int64_t i = lo; i < hi; i++) sum[i] = (double)out[start + i];
    for (size_t u = 0; u < updates; u++)
        for (int64_t r = 0; r < f[u].ranks; r += UNROLL)
            add_block(sum, f[u].up + (n - first_row) * f[u].ranks + r,
                      f[u].down + r * f[u].columns + k, f[u].columns);
    for (int64_t i = lo; i < hi; i++) out[start + i] = (float)sum[i];
}

void ir_lora_apply(const ir_weight *w, float *out, int64_t first, int64_t count) {
    range want = {first, count, ir_type_elements(&w->type) / w->type.dim[0]};
    int64_t first_row = first / want.row, end_row = (first + count - 1) / want.row + 1;
    BASE_VEC(factors) f = {0};
    for (const ir_lora *l = w->loras; l; l = l->next)
        BASE_PUSH(&f, factors_new(l, first_row, end_row - first_row, want.row));
    for (int64_t k = 0; k < want.row;
         k += BLOCK) /* a block of `down` stays in the cache for all rows */
        for (int64_t n = first_row; n < end_row; n++)
            add_to_row(f.items, f.count, first_row, n, k, &want, out);
    for (size_t i = 0; i < f.count; i++) {
        base_free(f.items[i].up);
        base_free(f.items[i].down);
    }
    base_free(f.items);
}
