/* Sums of updates; see ir/lora.def.
 *
 * Low-rank updates are never multiplied out as a whole. Where elements of the weight are read, the
 * rows they lie in get their share: with the factors as matrices, up [N,r] and down [r,K*kh*kw] (mid
 * already multiplied into it), row n gets sum over r of scale * up[n,r] * down[r,:]. Sums are in
 * binary64 in the order of the updates and of r, rounded once at the end, so any range gives the
 * same bits. A weight with an update of another kind is computed by whole rows, some at a time. */
#include <math.h>
#include <string.h>

#include "ir/build.h"

enum {
    BLOCK = 256,     /* columns at a time */
    UNROLL = 4,      /* ranks at a time */
    PIECE = 1 << 20, /* elements at a time, of updates that are no plain low-rank ones */
};

/* ---- products ---- */

/* A matrix product up * mid * down, where mid may be missing. `turned`: up lies as [r,N]. */
typedef struct product {
    const ir_weight *up, *mid, *down;
    bool turned;
    double scale;
} product;

/* Its factors, ready to be multiplied: up [rows][ranks] from the first row asked for, scaled; down
 * [ranks][columns]. Ranks and columns are rounded up with zeros. */
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

static bool is_there(const ir_weight *factor) {
    return factor && factor->type.rank;
}

static void read_down(const product *p, int64_t rank, int64_t row, factors *f) {
    f->down = base_alloc((size_t)(f->ranks * f->columns) * sizeof *f->down);
    if (!is_there(p->mid)) {
        for (int64_t r = 0; r < rank; r++)
            ir_weight_read(p->down, f->down + r * f->columns, r * row, row);
        return;
    }
    float *mid = read_all(p->mid), *down = read_all(p->down);
    int64_t s_count = p->down->type.dim[0], k_count = ir_type_elements(&p->down->type) / s_count,
            window = row / k_count;
    for (int64_t r = 0; r < rank; r++)
        compose_row(mid + r * s_count * window, down, s_count, k_count, window,
                    f->down + r * f->columns);
    base_free(mid);
    base_free(down);
}

static void read_up(const product *p, int64_t rank, int64_t first_row, int64_t rows, factors *f) {
    const int64_t all = ir_type_elements(&p->up->type) / rank, from = p->turned ? 0 : first_row,
                  count = p->turned ? all : rows;
    float *up = base_alloc((size_t)(count * rank) * sizeof *up);
    ir_weight_read(p->up, up, from * rank, count * rank);
    f->up = base_alloc((size_t)(rows * f->ranks) * sizeof *f->up);
    for (int64_t n = 0; n < rows; n++)
        for (int64_t r = 0; r < rank; r++)
            f->up[n * f->ranks + r] =
                p->scale * (double)(p->turned ? up[r * all + first_row + n] : up[n * rank + r]);
    base_free(up);
}

/* For rows [first_row, first_row + rows) of `row` elements. */
static factors factors_new(const product *p, int64_t first_row, int64_t rows, int64_t row) {
    const int64_t lines = p->up->type.dim[0],
                  rank = p->turned ? lines : ir_type_elements(&p->up->type) / lines;
    factors f = {.ranks = round_up(rank, UNROLL), .columns = round_up(row, BLOCK)};
    read_up(p, rank, first_row, rows, &f);
    read_down(p, rank, row, &f);
    return f;
}

static void factors_free(factors *f) {
    base_free(f->up);
    base_free(f->down);
}

static product low_rank(const ir_lora *l) {
    return (product){.up = &l->up, .mid = &l->mid, .down = &l->down, .scale = l->scale};
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

/* Adds plain low-rank updates. */
static void add_low_rank(const ir_weight *w, float *out, const range *want) {
    int64_t first_row = want->first / want->row,
            end_row = (want->first + want->count - 1) / want->row + 1;
    BASE_VEC(factors) f = {0};
    for (const ir_lora *l = w->loras; l; l = l->next) {
        product p = low_rank(l);
        BASE_PUSH(&f, factors_new(&p, first_row, end_row - first_row, want->row));
    }
    for (int64_t k = 0; k < want->row;
         k += BLOCK) /* a block of `down` stays in the cache for all rows */
        for (int64_t n = first_row; n < end_row; n++)
            add_to_row(f.items, f.count, first_row, n, k, want, out);
    for (size_t i = 0; i < f.count; i++) factors_free(&f.items[i]);
    base_free(f.items);
}

/* ---- other methods, by whole rows ---- */

/* Rows of a weight while they are updated. */
typedef struct piece {
    int64_t first, rows, row; /* first row, how many, elements of one */
    int64_t taps;             /* elements of a row that belong to one column */
    double *sum;              /* [rows][row] */
} piece;

/* The product's rows, [rows][row]. */
static double *multiply(const product *p, int64_t first, int64_t rows, int64_t row) {
    factors f = factors_new(p, first, rows, row);
    double *out = base_alloc((size_t)(rows * row) * sizeof *out);
    for (int64_t n = 0; n < rows; n++)
        for (int64_t r = 0; r < f.ranks; r++) {
            const double u = f.up[n * f.ranks + r];
            const float *restrict d = f.down + r * f.columns;
            double *restrict o = out + n * row;
            for (int64_t i = 0; i < row; i++) o[i] += u * (double)d[i];
        }
    factors_free(&f);
    return out;
}

static void add_product(const ir_lora *l, piece *x) {
    product p = low_rank(l);
    double *d = multiply(&p, x->first, x->rows, x->row);
    for (int64_t i = 0; i < x->rows * x->row; i++) x->sum[i] += d[i];
    base_free(d);
}

/* The product of a side of a two-sided method: w1 or w2. */
static product side_product(const ir_lora *l, ir_lora_factor a, ir_lora_factor window) {
    bool turned = l->factor[window].type.rank != 0;
    return (product){&l->factor[a], &l->factor[window], &l->factor[a + 1], turned, 1.0};
}

static void add_loha(const ir_lora *l, piece *x) {
    product p1 = side_product(l, IR_LORA_W1_A, IR_LORA_T1),
            p2 = side_product(l, IR_LORA_W2_A, IR_LORA_T2);
    double *d1 = multiply(&p1, x->first, x->rows, x->row),
           *d2 = multiply(&p2, x->first, x->rows, x->row);
    for (int64_t i = 0; i < x->rows * x->row; i++) x->sum[i] += l->scale * d1[i] * d2[i];
    base_free(d1);
    base_free(d2);
}

/* A side of Kronecker's product, [rows][columns]. `taps`: of the window, 1 of the first side. */
static double *read_side(const ir_lora *l, ir_lora_factor side, ir_lora_factor window, int64_t taps,
                         int64_t *rows, int64_t *columns) {
    const ir_weight *one = &l->factor[side], *a = &l->factor[side + 1], *b = &l->factor[side + 2];
    if (is_there(one)) {
        int64_t count = ir_type_elements(&one->type);
        float *values = read_all(one);
        double *out = base_alloc((size_t)count * sizeof *out);
        for (int64_t i = 0; i < count; i++) out[i] = (double)values[i];
        base_free(values);
        *rows = one->type.dim[0];
        *columns = count / *rows;
        return out;
    }
    product p = side_product(l, side + 1, window);
    *rows = p.turned ? ir_type_elements(&a->type) / a->type.dim[0] : a->type.dim[0];
    *columns = ir_type_elements(&b->type) / b->type.dim[0] * (p.turned ? taps : 1);
    return multiply(&p, 0, *rows, *columns);
}

static void add_lokr(const ir_lora *l, piece *x) {
    int64_t rows1, columns1, rows2, columns2;
    double *w1 = read_side(l, IR_LORA_W1, IR_LORA_T1, 1, &rows1, &columns1),
           *w2 = read_side(l, IR_LORA_W2, IR_LORA_T2, x->taps, &rows2, &columns2);
    for (int64_t n = 0; n < x->rows; n++) {
        int64_t i = (x->first + n) / rows2, p = (x->first + n) % rows2;
        for (int64_t j = 0; j < columns1; j++) {
            double v = l->scale * w1[i * columns1 + j], *o = x->sum + n * x->row + j * columns2;
            for (int64_t q = 0; q < columns2; q++) o[q] += v * w2[p * columns2 + q];
        }
    }
    base_free(w1);
    base_free(w2);
}

static void add_diff(const ir_lora *l, piece *x) {
    int64_t count = x->rows * x->row;
    float *d = base_alloc((size_t)count * sizeof *d);
    ir_weight_read(&l->factor[IR_LORA_DIFFERENCE], d, x->first * x->row, count);
    for (int64_t i = 0; i < count; i++) x->sum[i] += l->scale * (double)d[i];
    base_free(d);
}

/* Multiplies by a number a row, or a number a column. */
static void scale_piece(piece *x, const double *rows, const double *columns) {
    for (int64_t n = 0; n < x->rows; n++)
        for (int64_t i = 0; i < x->row; i++)
            x->sum[n * x->row + i] *= rows ? rows[n] : columns[i / x->taps];
}

/* The numbers of a list that belong to the piece. */
static double *read_list(const ir_weight *list, bool columns, const piece *x, int64_t *count) {
    *count = columns ? x->row / x->taps : x->rows;
    float *values = base_alloc((size_t)*count * sizeof *values);
    ir_weight_read(list, values, columns ? 0 : x->first, *count);
    double *out = base_alloc((size_t)*count * sizeof *out);
    for (int64_t i = 0; i < *count; i++) out[i] = (double)values[i];
    base_free(values);
    return out;
}

static void apply_gain(const ir_lora *l, piece *x) {
    bool in = l->method == IR_LORA_GAIN_IN;
    int64_t count;
    double *g = read_list(&l->factor[in ? IR_LORA_GAIN_COLUMNS : IR_LORA_GAIN_ROWS], in, x, &count);
    for (int64_t i = 0; i < count; i++) g[i] = 1.0 + l->scale * g[i];
    scale_piece(x, in ? NULL : g, in ? g : NULL);
    base_free(g);
}

/* DoRA: the norm of each row (column) becomes its magnitude. A row of zeros stays one. */
static void apply_magnitude(const ir_lora *l, piece *x) {
    bool in = is_there(&l->factor[IR_LORA_MAGNITUDE_IN]);
    if (!in && !is_there(&l->factor[IR_LORA_MAGNITUDE])) return;
    int64_t count;
    double *g = read_list(&l->factor[in ? IR_LORA_MAGNITUDE_IN : IR_LORA_MAGNITUDE], in, x, &count),
           *square = base_alloc((size_t)count * sizeof *square);
    for (int64_t n = 0; n < x->rows; n++)
        for (int64_t i = 0; i < x->row; i++) {
            double v = x->sum[n * x->row + i];
            square[in ? i / x->taps : n] += v * v;
        }
    for (int64_t i = 0; i < count; i++) g[i] = square[i] > 0.0 ? g[i] / sqrt(square[i]) : 0.0;
    scale_piece(x, in ? NULL : g, in ? g : NULL);
    base_free(square);
    base_free(g);
}

static void update_piece(const ir_lora *l, piece *x) {
    switch (l->method) {
    case IR_LORA_LOW_RANK: add_product(l, x); break;
    case IR_LORA_LOHA: add_loha(l, x); break;
    case IR_LORA_LOKR: add_lokr(l, x); break;
    case IR_LORA_DIFF: add_diff(l, x); break;
    case IR_LORA_GAIN:
    case IR_LORA_GAIN_IN: apply_gain(l, x); break;
    case IR_LORA_METHODS: ICE("update %d", (int)l->method);
    }
    apply_magnitude(l, x);
}

/* Elements of a row that belong to one column. */
static int64_t taps_of(const ir_type *t) {
    return t->rank == 4 ? t->dim[2] * t->dim[3] : 1;
}

/* Computes rows [first, first + rows) and stores what of them is wanted. */
static void store_rows(const ir_weight *w, int64_t first, int64_t rows, const range *want,
                       float *out) {
    const int64_t row = want->row, count = rows * row, start = first * row;
    piece x = {first, rows, row, taps_of(&w->type), base_alloc((size_t)count * sizeof *x.sum)};
    float *stored = base_alloc((size_t)count * sizeof *stored);
    ir_weight_read_stored(w, stored, start, count);
    for (int64_t i = 0; i < count; i++) x.sum[i] = (double)stored[i];
    for (const ir_lora *l = w->loras; l; l = l->next) update_piece(l, &x);
    int64_t lo = want->first > start ? want->first - start : 0,
            hi = want->first + want->count - start < count ? want->first + want->count - start
                                                           : count;
    for (int64_t i = lo; i < hi; i++) out[start + i - want->first] = (float)x.sum[i];
    base_free(stored);
    base_free(x.sum);
}

void ir_lora_apply(const ir_weight *w, float *out, int64_t first, int64_t count) {
    const int64_t rows = w->type.dim[0];
    const range want = {first, count, ir_type_elements(&w->type) / rows};
    bool plain = true, whole = false;
    for (const ir_lora *l = w->loras; l; l = l->next) {
        bool in = is_there(&l->factor[IR_LORA_MAGNITUDE_IN]);
        plain &= l->method == IR_LORA_LOW_RANK && !in && !is_there(&l->factor[IR_LORA_MAGNITUDE]);
        whole |= in; /* the norm of a column is one of all rows */
    }
    if (plain) {
        add_low_rank(w, out, &want);
        return;
    }
    const int64_t begin = whole ? 0 : first / want.row,
                  end = whole ? rows : (first + count - 1) / want.row + 1;
    const int64_t step = whole ? rows : PIECE / want.row + 1;
    for (int64_t n = begin; n < end; n += step)
        store_rows(w, n, end - n < step ? end - n : step, &want, out);
}
