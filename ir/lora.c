/* Updates of weights: their words, and which factors fit which weight. The sums are in lora_sum.c. */
#include <string.h>

#include "ir/build.h"

const char *const ir_lora_method_name[IR_LORA_METHODS] = {
#define LORA_METHOD(ID, word, required) [IR_LORA_##ID] = word,
#include "ir/lora.def"
};
const char *const ir_lora_factor_name[IR_LORA_FACTORS] = {
#define LORA_FACTOR(ID, word) [IR_LORA_##ID] = word,
#include "ir/lora.def"
};
const uint32_t ir_lora_required[IR_LORA_METHODS] = {
#define LORA_METHOD(ID, word, required) [IR_LORA_##ID] = (required),
#include "ir/lora.def"
};

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

/* A tensor as a matrix of its rows. */
typedef struct matrix {
    int64_t rows, columns;
} matrix;

static bool as_matrix(const ir_weight *w, matrix *out) {
    const ir_type *t = &w->type;
    *out = (matrix){0};
    if (t->rank < 2 || t->rank > 4 || !ir_is_float(t->dtype)) return false;
    *out = (matrix){t->dim[0], ir_type_elements(t) / t->dim[0]};
    return true;
}

static bool is_product(int64_t whole, int64_t a, int64_t b) {
    return whole % a == 0 && whole / a == b;
}

static bool low_rank_fits(const filter *whole, const ir_lora *l) {
    filter up, down, mid;
    if (!as_filter(&l->up.type, &up) || !as_filter(&l->down.type, &down)) return false;
    if (!is_point(&up) || up.n != whole->n || down.k != whole->k) return false;
    if (!l->mid.type.rank) return up.k == down.n && same_window(&down, whole);
    return as_filter(&l->mid.type, &mid) && is_point(&down) && same_window(&mid, whole) &&
           up.k == mid.n && mid.k == down.n;
}

/* a [N,r] times b [r,columns], or with the window of t between them a [s,N], t [s,r,kh,kw] and
 * b [r,K]: a matrix of `whole`'s shape, where K is columns / (kh kw). */
static bool product_fits(const ir_lora *l, ir_lora_factor first, ir_lora_factor window,
                         const filter *whole) {
    matrix a, b;
    filter t;
    if (!as_matrix(&l->factor[first], &a) || !as_matrix(&l->factor[first + 1], &b)) return false;
    if (!l->factor[window].type.rank)
        return a.rows == whole->n && a.columns == b.rows &&
               is_product(b.columns, whole->kh * whole->kw, whole->k);
    return as_filter(&l->factor[window].type, &t) && same_window(&t, whole) && a.rows == t.n &&
           a.columns == whole->n && b.rows == t.k && b.columns == whole->k;
}

static bool loha_fits(const filter *whole, const ir_lora *l) {
    return !l->factor[IR_LORA_T1].type.rank == !l->factor[IR_LORA_T2].type.rank &&
           product_fits(l, IR_LORA_W1_A, IR_LORA_T1, whole) &&
           product_fits(l, IR_LORA_W2_A, IR_LORA_T2, whole);
}

/* One side of Kronecker's product: a whole matrix or filter, or a product. What it is, as a filter:
 * of the second, whose window is the weight's. */
static bool side_fits(const ir_lora *l, ir_lora_factor side, ir_lora_factor window,
                      const filter *whole, filter *out) {
    const ir_weight *one = &l->factor[side], *a = &l->factor[side + 1], *b = &l->factor[side + 2];
    const ir_weight *t = &l->factor[window];
    int64_t taps = whole->kh * whole->kw;
    matrix first, second;
    if (one->type.rank) {
        if (a->type.rank || b->type.rank || t->type.rank || !as_matrix(one, &first)) return false;
        filter f;
        if (one->type.rank == 4 && (!as_filter(&one->type, &f) || !same_window(&f, whole)))
            return false;
        *out = (filter){first.rows, first.columns / taps, whole->kh, whole->kw};
        return first.columns % taps == 0;
    }
    if (!as_matrix(a, &first) || !as_matrix(b, &second)) return false;
    *out = t->type.rank ? (filter){first.columns, second.columns, whole->kh, whole->kw}
                        : (filter){first.rows, second.columns / taps, whole->kh, whole->kw};
    return (t->type.rank || second.columns % taps == 0) && product_fits(l, side + 1, window, out);
}

static bool lokr_fits(const filter *whole, const ir_lora *l) {
    const filter point = {1, 1, 1, 1};
    filter w1, w2;
    return !l->factor[IR_LORA_T1].type.rank && side_fits(l, IR_LORA_W1, IR_LORA_T1, &point, &w1) &&
           side_fits(l, IR_LORA_W2, IR_LORA_T2, whole, &w2) && is_product(whole->n, w1.n, w2.n) &&
           is_product(whole->k, w1.k, w2.k);
}

/* The dimensions up to the last that is not 1. */
static uint32_t without_ones(const ir_type *t) {
    uint32_t rank = t->rank;
    while (rank > 1 && t->dim[rank - 1] == 1) rank--;
    return rank;
}

static bool diff_fits(const ir_type *w, const ir_type *diff) {
    uint32_t rank = without_ones(w);
    return ir_is_float(diff->dtype) && without_ones(diff) == rank &&
           memcmp(w->dim, diff->dim, rank * sizeof *w->dim) == 0;
}

/* A list of numbers, whatever dimensions of 1 it has beside. */
static bool is_list(const ir_weight *w, int64_t count) {
    return ir_is_float(w->type.dtype) && ir_type_elements(&w->type) == count;
}

static bool magnitude_fits(const filter *whole, const ir_lora *l) {
    const ir_weight *rows = &l->factor[IR_LORA_MAGNITUDE],
                    *columns = &l->factor[IR_LORA_MAGNITUDE_IN];
    if (rows->type.rank && columns->type.rank) return false;
    if (rows->type.rank) return is_list(rows, whole->n);
    return !columns->type.rank || is_list(columns, whole->k);
}

/* Which factors a method may have beside those it must have. */
static uint32_t allowed(ir_lora_method method) {
#define BIT(ID) (1u << IR_LORA_##ID)
    const uint32_t magnitudes = BIT(MAGNITUDE) | BIT(MAGNITUDE_IN);
    switch (method) {
    case IR_LORA_LOW_RANK: return BIT(MID) | magnitudes;
    case IR_LORA_LOHA: return BIT(T1) | BIT(T2) | magnitudes;
    case IR_LORA_LOKR:
        return BIT(W1) | BIT(W1_A) | BIT(W1_B) | BIT(W2) | BIT(W2_A) | BIT(W2_B) | BIT(T2) |
               magnitudes;
    default: return 0;
    }
#undef BIT
}

static bool has_factors(const ir_lora *l) {
    uint32_t have = 0, need = ir_lora_required[l->method];
    IR_LORA_EACH(l, k) have |= 1u << k;
    return (have & need) == need && !(have & ~need & ~allowed(l->method));
}

static bool factors_fit(const ir_type *w, const ir_lora *l) {
    filter whole;
    if (!has_factors(l)) return false;
    if (l->method == IR_LORA_DIFF)
        return ir_is_float(w->dtype) && diff_fits(w, &l->factor[IR_LORA_DIFFERENCE].type);
    if (!as_filter(w, &whole) || !magnitude_fits(&whole, l)) return false;
    switch (l->method) {
    case IR_LORA_LOW_RANK: return low_rank_fits(&whole, l);
    case IR_LORA_LOHA: return loha_fits(&whole, l);
    case IR_LORA_LOKR: return lokr_fits(&whole, l);
    case IR_LORA_GAIN: return is_list(&l->factor[IR_LORA_GAIN_ROWS], whole.n);
    case IR_LORA_GAIN_IN: return is_list(&l->factor[IR_LORA_GAIN_COLUMNS], whole.k);
    default: return false;
    }
}

bool ir_lora_fits(const ir_type *w, const ir_lora *l, base_str *why) {
    if (factors_fit(w, l)) return true;
    if (!why) return false;
    bool first = true;
    IR_LORA_EACH(l, k) {
        base_str_addf(why, "%s%s ", first ? "" : ", ", ir_lora_factor_name[k]);
        ir_print_type(&l->factor[k].type, why);
        first = false;
    }
    base_str_addf(why, "%s do not fit %s", first ? "no factors" : "",
                  l->method == IR_LORA_LOW_RANK ? "" : ir_lora_method_name[l->method]);
    base_str_addf(why, "%sa weight ", l->method == IR_LORA_LOW_RANK ? "" : " of ");
    ir_print_type(w, why);
    return false;
}

/* LoKr's is that of the second side; of the first, if only that is a product. */
int64_t ir_lora_rank(const ir_lora *l) {
    const ir_weight *f = l->factor;
    switch (l->method) {
    case IR_LORA_LOW_RANK: return f[IR_LORA_UP].type.dim[1];
    case IR_LORA_LOHA: return f[IR_LORA_W1_B].type.dim[0];
    case IR_LORA_LOKR:
        return f[IR_LORA_W2_B].type.rank   ? f[IR_LORA_W2_B].type.dim[0]
               : f[IR_LORA_W1_B].type.rank ? f[IR_LORA_W1_B].type.dim[0]
                                           : 1;
    default: return 1;
    }
}

void ir_lora_add(ir_module *m, uint32_t weight, const ir_lora *update) {
    ir_lora *copy = base_arena_alloc(m->arena, sizeof *copy);
    ir_weight *w = &m->weights.items[weight];
    *copy = *update;
    /* what the random numbers of a factor without a file depend on */
    for (int k = 0; k < IR_LORA_FACTORS; k++) copy->factor[k].name = ir_lora_factor_name[k];
    copy->next = NULL;
    if (w->last_lora)
        w->last_lora->next = copy;
    else
        w->loras = copy;
    w->last_lora = copy;
}
