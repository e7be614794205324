#include "codegen/target/default_tiles/cuts.h"

#include <stddef.h>

/* ---- choosing ---- */

double cg_cut_time(const cg_cut *c, int32_t threads) {
    const int32_t share = ebru_ceil_div(c->tasks, threads);
    return share * c->task + c->again * (1 + (share - 1) / (double)c->step);
}

int32_t cg_best_cut(const cg_cut *list, int32_t count, int32_t threads) {
    int32_t best = 0;
    double least = cg_cut_time(&list[0], threads) * (threads <= 2  ? 0.85
                                                     : threads < 6 ? 0.93
                                                                   : 0.98);
    for (int32_t i = 1; i < count; i++) {
        const double time = cg_cut_time(&list[i], threads);
        if (time >= least) continue;
        least = time;
        best = i;
    }
    return best;
}

/* ---- what things take ---- */

static const double BEGIN = 2000, /* a task: to be handed out, tables, a cold start */
    GATHERED = 6,                 /* a vector of the input read, scaled, stored */
    ACTIVATED = 16,               /* and silu of it */
    FINISHED = 4,                 /* a vector of the result */
    TRANSFORMED = 5;              /* a vector of a point, on the way in or out */
/* A vector of weights comes from L2 or beyond for every task, beside the sums it is for. */
static const double WEIGHT = 1.5;

/* Rows that count when `rows` are multiplied `most` at a time: few take as long as three. */
static double full_rows(int32_t rows, int32_t most) {
    const int32_t rest = rows % most;
    return rows - rest + (rest ? ebru_max_i32(rest, ebru_min_i32(3, most)) : 0);
}

/* A candidate that differs from the last. */
static void add(cg_cut *list, int32_t *count, const cg_cut *c) {
    if (*count < CG_MOST_CUTS && c->tasks >= 1) list[(*count)++] = *c;
}

/* ---- conv2d ---- */

int32_t cg_step_conv2d(const struct ebru_conv2d_params *p) {
    return p->order || ebru_conv2d_direct(p) ? 1 : ebru_conv2d_groups(p);
}
int32_t cg_step_conv2d_bf16(const struct ebru_conv2d_bf16_params *p) {
    return p->order ? 1 : ebru_conv2d_bf16_groups(p);
}

/* Lengths that `whole` is cut to: equal parts, multiples of `unit`, from `first` down. Returns the
 * next shorter one; 0 at the end. */
static int32_t shorter(int32_t whole, int32_t at, int32_t unit) {
    for (int32_t parts = ebru_ceil_div(whole, at) + 1; parts <= whole; parts++) {
        const int32_t length = ebru_ceil_div(ebru_ceil_div(whole, parts), unit) * unit;
        if (length < at) return length;
        if (length <= unit) return 0;
    }
    return 0;
}

/* What a task of shape q takes: `rows` are multiplied at once, `width` is the share of a vector's
 * multiply-add that a product takes, `gathered` whether its input is. */
static void cost_conv2d(const struct ebru_conv2d_params *q, double rows, double width,
                        int32_t gathered, cg_cut *c) {
    const int32_t pixels = q->TB * q->TH * q->TW, cbs = ebru_blocks16(q->C0 + q->C1),
                  nb = ebru_min_i32(q->NB * q->PG, ebru_blocks16(q->N)),
                  pointwise = ebru_conv2d_pointwise(q);
    const double weights = (double)q->KH * q->KW * cbs * 16 * nb;
    const double input = q->TB * (double)(pointwise ? 1 : ebru_conv2d_in_rows(q)) *
                         (pointwise ? q->TW : ebru_conv2d_in_cols(q)) * cbs;
    c->task = BEGIN + width * weights * (rows + WEIGHT) + FINISHED * (double)pixels * nb;
    c->again = gathered ? input * (GATHERED + (q->pre_act ? ACTIVATED : 0)) : 0;
    if (c->step == 1) {
        c->task += c->again;
        c->again = 0;
    }
}

/* Cuts of a convolution, of which `cost` tells what a task takes. */
typedef void cost_fn(const struct ebru_conv2d_params *q, const void *own, cg_cut *c);
static int32_t cuts_of(const struct ebru_conv2d_params *p, const void *own, int32_t unit,
                       cost_fn *cost, cg_cut *list) {
    enum { MANY = 2048 }; /* tasks, more than enough for any number of threads */
    int32_t count = 0;
    struct ebru_conv2d_params q = *p;
    const int32_t rows = ebru_conv2d_rows(p), cols = ebru_conv2d_cols(p);
    for (q.TB = p->TB; q.TB >= 1; q.TB = q.TB > 1 ? ebru_ceil_div(q.TB, 2) : 0) {
        for (q.TH = p->TH; q.TH >= 1; q.TH = shorter(rows, q.TH, 1)) {
            int32_t tasks = 0;
            for (q.TW = p->TW; q.TW >= 1 && tasks <= MANY; q.TW = shorter(cols, q.TW, unit)) {
                cg_cut c = {.field = {q.TB, q.TH, q.TW, q.PG},
                            .tasks = tasks = ebru_conv2d_tasks(&q)};
                cost(&q, own, &c);
                add(list, &count, &c);
            }
            q.TW = p->TW;
            if (ebru_conv2d_tasks(&q) > MANY) break;
        }
    }
    return count;
}

static void cost_f32(const struct ebru_conv2d_params *q, const void *own, cg_cut *c) {
    (void)own;
    c->step = cg_step_conv2d(q);
    cost_conv2d(q, full_rows(q->TB * q->TH * q->TW, q->MR), 1, !ebru_conv2d_direct(q), c);
}

int32_t cg_cuts_conv2d(const struct ebru_conv2d_params *p, cg_cut list[CG_MOST_CUTS]) {
    return cuts_of(p, NULL, p->MR, cost_f32, list);
}

/* ---- conv2d_bf16 ---- */

/* Of a vector's multiply-add, what the product of a row by 16 columns takes. */
static double bf16_width(int32_t parts, int32_t form) {
    const double products = parts == 1 ? 1 : 3;
    return form == EBRU_BF16_WIDE ? 1 : form == EBRU_BF16_PAIRS ? products / 2 : products / 16;
}

static void cost_bf16(const struct ebru_conv2d_params *q, const void *own, cg_cut *c) {
    const struct ebru_conv2d_bf16_params *p = own, b = ebru_conv2d_bf16_of(q, p->parts, p->form);
    const int32_t length = ebru_bf16_segment_length(p->form);
    c->step = cg_step_conv2d_bf16(&b);
    cost_conv2d(q, full_rows(ebru_conv2d_bf16_segments(&b) * length, q->MR),
                bf16_width(p->parts, p->form), 1, c);
}

int32_t cg_cuts_conv2d_bf16(const struct ebru_conv2d_bf16_params *p, cg_cut list[CG_MOST_CUTS]) {
    const struct ebru_conv2d_params q = ebru_conv2d_bf16_shape(p);
    return cuts_of(&q, p, p->MR, cost_bf16, list);
}

/* ---- conv2d_i8: nothing is gathered ---- */

static void cost_i8(const struct ebru_conv2d_params *q, const void *own, cg_cut *c) {
    struct ebru_conv2d_i8_params p = *(const struct ebru_conv2d_i8_params *)own;
    const int32_t length = ebru_i8_segment_length(p.form);
    p.TB = q->TB;
    p.TH = q->TH;
    p.TW = q->TW;
    c->step = 1;
    cost_conv2d(q, full_rows(ebru_conv2d_i8_segments(&p) * length, q->MR), 0.25 / length, 0, c);
}

int32_t cg_cuts_conv2d_i8(const struct ebru_conv2d_i8_params *p, cg_cut list[CG_MOST_CUTS]) {
    const struct ebru_conv2d_params q = ebru_conv2d_i8_shape(p);
    return cuts_of(&q, p, p->MR, cost_i8, list);
}

/* ---- conv2d_winograd, conv2d_winograd_bf16 ---- */

int32_t cg_step_conv2d_winograd(const struct ebru_conv2d_winograd_params *p) {
    return ebru_conv2d_winograd_groups(p);
}

/* `width` as bf16_width; rows of the multiply come in segments of `length`. */
static int32_t winograd_cuts(const struct ebru_conv2d_winograd_params *p, double width,
                             int32_t length, cg_cut *list) {
    int32_t count = 0;
    struct ebru_conv2d_winograd_params q = *p;
    const int32_t tiles = ebru_conv2d_winograd_tiles(p), cbs = ebru_blocks16(p->C0 + p->C1),
                  nbs = ebru_blocks16(p->N), panels = ebru_ceil_div(nbs, p->NB);
    const double points = (p->M + 2) * (p->M + 2);
    for (q.TT = p->TT; q.TT >= 1; q.TT = shorter(tiles, q.TT, length)) {
        for (q.PG = p->PG; q.PG >= 1; q.PG = shorter(panels, q.PG, 1)) {
            const double nb = ebru_min_i32(q.NB * q.PG, nbs);
            const int32_t rows = ebru_ceil_div(q.TT, length) * length;
            cg_cut c = {.field = {q.TT, q.PG},
                        .tasks = ebru_conv2d_winograd_tasks(&q),
                        .step = ebru_conv2d_winograd_groups(&q)};
            c.task = BEGIN + points * nb *
                                 (cbs * 16.0 * width * (full_rows(rows, q.MR) + WEIGHT) +
                                  TRANSFORMED * (double)q.TT);
            c.again = q.TT * cbs *
                      (points * TRANSFORMED +
                       (p->M * p->M + 4.0 * p->M) * (GATHERED + (p->pre_act ? ACTIVATED : 0)));
            if (c.step == 1) {
                c.task += c.again;
                c.again = 0;
            }
            add(list, &count, &c);
        }
        if (q.TT <= 4 || ebru_ceil_div(tiles, q.TT) > 1024) break;
    }
    return count;
}

int32_t cg_cuts_conv2d_winograd(const struct ebru_conv2d_winograd_params *p,
                                cg_cut list[CG_MOST_CUTS]) {
    return winograd_cuts(p, 1, 1, list);
}

int32_t cg_cuts_conv2d_winograd_bf16(const struct ebru_conv2d_winograd_bf16_params *p,
                                     cg_cut list[CG_MOST_CUTS]) {
    const struct ebru_conv2d_winograd_params q = ebru_conv2d_winograd_bf16_shape(p);
    return winograd_cuts(&q, bf16_width(p->parts, p->form), ebru_bf16_segment_length(p->form),
                         list);
}

/* ---- feed_forward ---- */

/* Tokens that a task of a feed-forward has, whose layers multiply mr1 and mr2 at once. */
static int32_t cuts_of_tokens(int32_t B, int32_t T, int32_t TW, int32_t mr1, int32_t mr2,
                              double weights1, double weights2, double width, cg_cut *list) {
    int32_t count = 0;
    for (int32_t tw = TW; tw >= 1; tw = shorter(T, tw, ebru_min_i32(mr1, 16))) {
        cg_cut c = {.field = {tw}, .tasks = B * ebru_ceil_div(T, tw), .step = 1};
        c.task = BEGIN + width * (weights1 * (full_rows(tw, mr1) + WEIGHT) +
                                  weights2 * (full_rows(tw, mr2) + WEIGHT));
        add(list, &count, &c);
    }
    return count;
}

int32_t cg_cuts_feed_forward(const struct ebru_feed_forward_params *p, cg_cut list[CG_MOST_CUTS]) {
    return cuts_of_tokens(p->B, p->T, p->TW, p->MR1, p->MR2, 2.0 * p->H / 16 * p->C,
                          (double)p->N / 16 * p->H, 1, list);
}

int32_t cg_cuts_feed_forward_bf16(const struct ebru_feed_forward_bf16_params *p,
                                  cg_cut list[CG_MOST_CUTS]) {
    return cuts_of_tokens(p->B, p->T, p->TW, p->MR1, p->MR2, 2.0 * p->H / 16 * p->C,
                          (double)p->N / 16 * p->H, bf16_width(p->parts, p->form), list);
}

/* ---- attention ---- */

/* Blocks of 16 queries a task has; the keys and values go by for each task. */
static int32_t cuts_of_queries(const struct ebru_attention_params *p, double width, cg_cut *list) {
    const double EXPONENTIAL = 24;
    int32_t count = 0;
    for (int32_t qb = p->QB; qb >= 16; qb -= 16) {
        const double blocks = qb / 16.0, keys = p->S;
        cg_cut c = {.field = {qb}, .tasks = p->B * p->heads * ebru_ceil_div(p->T, qb), .step = 1};
        c.task = BEGIN + keys * (width * 2 * p->d * (blocks + 0.3) + EXPONENTIAL * blocks);
        add(list, &count, &c);
        if (p->causal) break; /* which keys a block of queries masks is part of its sums */
    }
    return count;
}

int32_t cg_cuts_attention(const struct ebru_attention_params *p, cg_cut list[CG_MOST_CUTS]) {
    return cuts_of_queries(p, 1, list);
}

int32_t cg_cuts_attention_bf16(const struct ebru_attention_bf16_params *p,
                               cg_cut list[CG_MOST_CUTS]) {
    struct ebru_attention_params q;
#define COPY_FIELD(type, name) q.name = p->name;
    EBRU_FIELDS_attention(COPY_FIELD)
#undef COPY_FIELD
        return cuts_of_queries(&q, bf16_width(p->parts, p->form), list);
}
