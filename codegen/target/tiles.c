#include "codegen/target/tiles.h"

#include "codegen/target/default_tiles/default_tiles.h"

#include <string.h>

enum { MOST_SCRATCH = 64 << 20 }; /* bytes a thread */

/* ---- what is legal ---- */

static bool within(base_str *why, const char *field, int32_t value, int32_t least, int64_t most) {
    if (value >= least && value <= most) return true;
    if (why)
        base_str_addf(why, "%s=%d is not from %d to %lld", field, value, least, (long long)most);
    return false;
}
static bool need(base_str *why, bool condition, const char *fault) {
    if (!condition && why) base_str_add(why, fault);
    return condition;
}
#define WITHIN(field, least, most) within(why, #field, p->field, least, most)

/* A kernel at a CPU level, and what it multiplies. */
struct unit {
    int32_t isa;
    enum { F32, BF16, I8 } operands;
};

/* The most rows of its register tiles in a panel of NB blocks. */
static int32_t most_rows(struct unit u, int32_t nb) {
    switch (u.operands) {
    case BF16: return cg_most_rows_bf16(u.isa, nb);
    case I8: return cg_most_rows_i8(u.isa, nb);
    case F32: break;
    }
    return cg_most_rows(u.isa, nb);
}

/* Rows of a register tile that there is code for: MR pixels in a panel of NB blocks (1 or more). */
static bool rows_legal(struct unit u, const char *field, int32_t mr, int32_t nb, base_str *why) {
    const int32_t row = u.operands == F32 ? 1 : ebru_bf16_segment_length(ebru_bf16_form(u.isa));
    if (!within(why, field, mr, row, most_rows(u, nb))) return false;
    if (mr % row != 0 && why)
        base_str_addf(why, "%s=%d is no multiple of the matrix unit's %d rows", field, mr, row);
    return mr % row == 0;
}

/* The form of multiplying is written into the parameters; it is the level's. */
static bool form_legal(int32_t form, int32_t level, base_str *why) {
    return need(why, form == level, "form is another CPU level's");
}

static bool conv2d_legal(const struct ebru_conv2d_params *p, struct unit u, bool overwrite,
                         base_str *why) {
    const int32_t nb = ebru_blocks16(p->N), cb = ebru_blocks16(p->C0 + p->C1);
    struct ebru_conv2d_params in_place = *p;
    in_place.pack = 0;
    bool fine = WITHIN(NB, 1, (nb + 1) / 2 * 2) && rows_legal(u, "MR", p->MR, p->NB, why) &&
                WITHIN(TB, 1, p->B) && WITHIN(TH, 1, ebru_conv2d_rows(p)) &&
                WITHIN(TW, 1, ebru_conv2d_cols(p)) && WITHIN(PG, 1, ebru_ceil_div(nb, p->NB)) &&
                WITHIN(KC, 1, cb) && WITHIN(order, 0, 1) && WITHIN(pack, 0, 1);
    if (!fine) return false;
    if (u.operands != F32 || p->act == EBRU_ACT_GEGLU)
        fine = need(why, p->NB % 2 == 0, "NB is odd");
    if (p->pack && !overwrite)
        fine = fine &&
               need(why, ebru_conv2d_direct(&in_place), "pack=1, but nothing is read in place");
    if (overwrite)
        fine = fine && need(why, p->pack && p->TB == 1 && p->order == 0 && p->PG * p->NB >= nb,
                            "a task does not have all panels of the pixels it overwrites");
    return fine;
}

static bool feed_forward_legal(const struct ebru_feed_forward_params *p, struct unit u,
                               base_str *why) {
    const int32_t nb2 = ebru_blocks16(p->N);
    return WITHIN(NB1, 2, 2 * ebru_blocks16(p->H)) && WITHIN(NB2, 1, (nb2 + 1) / 2 * 2) &&
           rows_legal(u, "MR1", p->MR1, p->NB1, why) && rows_legal(u, "MR2", p->MR2, p->NB2, why) &&
           WITHIN(KC1, 1, ebru_blocks16(p->C)) && WITHIN(KC2, 1, ebru_blocks16(p->H)) &&
           WITHIN(TW, 1, p->T) && need(why, p->NB1 % 2 == 0, "NB1 is odd") &&
           (u.operands == F32 || need(why, p->NB2 % 2 == 0, "NB2 is odd"));
}

static bool attention_legal(const struct ebru_attention_params *p, int32_t keys, base_str *why) {
    const int64_t t16 = ir_round_block(p->T), s = ((int64_t)p->S + keys - 1) / keys * keys;
    return WITHIN(QB, 16, t16 < 512 ? t16 : 512) && WITHIN(KB, keys, s < 4096 ? s : 4096) &&
           need(why, p->QB % 16 == 0, "QB is no multiple of 16") &&
           need(why, p->KB % keys == 0,
                keys == 16 ? "KB is no multiple of 16" : "KB is no multiple of 32");
}

/* ---- the kernels that have tiles ---- */

/* The fields that a bf16 kernel has in common with the one without bf16 arithmetic. */
#define COPY_FIELD(type, name) q.name = p->name;
#define COPY_SHARED(kernel, from)                                                                  \
    const struct ebru_##kernel##_bf16_params *p = &(from)->kernel##_bf16;                          \
    struct ebru_##kernel##_params q;                                                               \
    EBRU_FIELDS_##kernel(COPY_FIELD)

static bool legal_conv2d(const cg_params *p, int32_t isa, bool overwrite, base_str *why) {
    return conv2d_legal(&p->conv2d, (struct unit){isa, F32}, overwrite, why);
}
static bool legal_conv2d_bf16(const cg_params *all, int32_t isa, bool overwrite, base_str *why) {
    COPY_SHARED(conv2d, all)
    return conv2d_legal(&q, (struct unit){isa, BF16}, overwrite, why) &&
           form_legal(p->form, ebru_bf16_form(isa), why);
}
static bool legal_conv2d_winograd(const cg_params *all, int32_t isa, bool overwrite,
                                  base_str *why) {
    (void)overwrite;
    const struct ebru_conv2d_winograd_params *p = &all->conv2d_winograd;
    const int32_t nb = ebru_blocks16(p->N);
    return WITHIN(NB, 1, ebru_max_i32(nb, 4)) &&
           rows_legal((struct unit){isa, F32}, "MR", p->MR, p->NB, why) &&
           WITHIN(TT, 1, ebru_conv2d_winograd_tiles(p)) && WITHIN(PG, 1, ebru_ceil_div(nb, p->NB));
}
static bool legal_conv2d_winograd_bf16(const cg_params *all, int32_t isa, bool overwrite,
                                       base_str *why) {
    (void)overwrite;
    COPY_SHARED(conv2d_winograd, all)
    const int32_t nb = ebru_blocks16(q.N);
    return within(why, "NB", q.NB, 1, (nb + 1) / 2 * 2) &&
           rows_legal((struct unit){isa, BF16}, "MR", q.MR, q.NB, why) &&
           need(why, q.NB % 2 == 0, "NB is odd") &&
           within(why, "TT", q.TT, 1, ebru_conv2d_winograd_tiles(&q)) &&
           within(why, "PG", q.PG, 1, ebru_ceil_div(nb, q.NB)) &&
           form_legal(p->form, ebru_bf16_form(isa), why);
}
static bool legal_conv2d_i8(const cg_params *all, int32_t isa, bool overwrite, base_str *why) {
    (void)overwrite;
    const struct ebru_conv2d_i8_params *p = &all->conv2d_i8;
    const struct ebru_conv2d_params shape = ebru_conv2d_i8_shape(p);
    const int32_t nb = ebru_blocks16(p->N);
    return WITHIN(NB, 1, (nb + 1) / 2 * 2) &&
           rows_legal((struct unit){isa, I8}, "MR", p->MR, p->NB, why) && WITHIN(TB, 1, p->B) &&
           WITHIN(TH, 1, ebru_conv2d_rows(&shape)) && WITHIN(TW, 1, ebru_conv2d_cols(&shape)) &&
           WITHIN(PG, 1, ebru_ceil_div(nb, p->NB)) && WITHIN(order, 0, 1) &&
           (p->act != EBRU_ACT_GEGLU || need(why, p->NB % 2 == 0, "NB is odd")) &&
           form_legal(p->form, ebru_i8_form(isa), why);
}
static bool legal_feed_forward(const cg_params *p, int32_t isa, bool overwrite, base_str *why) {
    (void)overwrite;
    return feed_forward_legal(&p->feed_forward, (struct unit){isa, F32}, why);
}
static bool legal_feed_forward_bf16(const cg_params *all, int32_t isa, bool overwrite,
                                    base_str *why) {
    (void)overwrite;
    COPY_SHARED(feed_forward, all)
    return feed_forward_legal(&q, (struct unit){isa, BF16}, why) &&
           form_legal(p->form, ebru_bf16_form(isa), why);
}
static bool legal_attention(const cg_params *p, int32_t isa, bool overwrite, base_str *why) {
    (void)isa, (void)overwrite;
    return attention_legal(&p->attention, 16, why);
}
static bool legal_attention_bf16(const cg_params *all, int32_t isa, bool overwrite, base_str *why) {
    (void)overwrite;
    COPY_SHARED(attention, all)
    return attention_legal(&q, 32, why) && form_legal(p->form, ebru_bf16_form(isa), why);
}

static const struct tile_row {
    const char *kernel;
    bool (*legal)(const cg_params *p, int32_t isa, bool overwrite, base_str *why);
    const char *tiles[CG_MOST_TILES + 1];
} tile_rows[] = {
    {"conv2d", legal_conv2d, {"MR", "NB", "TB", "TH", "TW", "PG", "KC", "order", "pack"}},
    {"conv2d_bf16", legal_conv2d_bf16, {"MR", "NB", "TB", "TH", "TW", "PG", "KC", "order"}},
    {"conv2d_i8", legal_conv2d_i8, {"MR", "NB", "TB", "TH", "TW", "PG", "order"}},
    {"conv2d_winograd", legal_conv2d_winograd, {"MR", "NB", "TT", "PG"}},
    {"conv2d_winograd_bf16", legal_conv2d_winograd_bf16, {"MR", "NB", "TT", "PG"}},
    {"feed_forward", legal_feed_forward, {"MR1", "NB1", "KC1", "MR2", "NB2", "KC2", "TW"}},
    {"feed_forward_bf16",
     legal_feed_forward_bf16,
     {"MR1", "NB1", "KC1", "MR2", "NB2", "KC2", "TW"}},
    {"attention", legal_attention, {"QB", "KB"}},
    {"attention_bf16", legal_attention_bf16, {"QB", "KB"}},
};

static const struct tile_row *row_of(const char *kernel) {
    for (size_t i = 0; i < sizeof tile_rows / sizeof *tile_rows; i++)
        if (strcmp(tile_rows[i].kernel, kernel) == 0) return &tile_rows[i];
    return NULL;
}

bool cg_has_tiles(const char *kernel) {
    return row_of(kernel) != NULL;
}

bool cg_is_tile(const char *kernel, const char *field) {
    const struct tile_row *row = row_of(kernel);
    for (const char *const *t = row ? row->tiles : NULL; t && *t; t++)
        if (strcmp(*t, field) == 0) return true;
    return false;
}

bool cg_tiles_legal(const cg_kernel *k, const cg_params *p, int32_t isa, bool overwrite,
                    base_str *why) {
    const struct tile_row *row = row_of(k->name);
    return row ? row->legal(p, isa, overwrite, why)
               : need(why, false, "the kernel has no tiles to choose");
}

bool cg_tiles_bearable(const cg_kernel *k, const cg_params *p, base_str *why) {
    const int64_t scratch = k->scratch(p);
    if (scratch <= MOST_SCRATCH && k->tasks(p) >= 1) return true;
    if (why) base_str_addf(why, "a task needs %lld bytes of scratch", (long long)scratch);
    return false;
}

/* ---- keys ---- */

/* Fields of binary32 (a scale, an epsilon) change no time and are no part of the key; neither are
 * fields that are zero, so that a field a later version appends changes no key. */
void cg_kernel_key(const ir_binding *b, bool overwrite, base_str *out) {
    const cg_kernel *k = cg_kernel_find(b->kernel);
    base_str_add(out, "");
    for (uint32_t i = 0; i < b->param_count; i++) {
        const ir_param *p = &b->params[i];
        if (k->types[i] != 'i' || p->i == 0 || cg_is_tile(b->kernel, p->name)) continue;
        base_str_addf(out, "%s%s=%d", out->len ? " " : "", p->name, (int)p->i);
    }
    if (overwrite) base_str_add(out, " overwrite=1");
}

/* ---- a record's tiles ---- */

bool cg_is_overwriting(const ir_node *n) {
    return n->op == IR_OP_conv2d && IR_ATTRS(n, conv2d)->overwrite;
}

/* The record for a binding of this node. */
static const cg_record *record_of(const cg_target_info *t, const ir_node *n, const ir_binding *b) {
    base_str key = {0};
    cg_kernel_key(b, cg_is_overwriting(n), &key);
    const cg_record *r = cg_tuning_find(t->tuning.table, &t->tuning.machine, b->kernel, key.data);
    base_str_free(&key);
    return r;
}

/* Writes the record's choices into the list; tasks and scratch follow. */
static void take_tiles(ir_binding *b, const cg_kernel *k, const cg_record *r, const cg_params *p) {
    for (uint32_t i = 0; i < r->choice_count; i++)
        b->params[cg_kernel_field(k, r->choice[i].field)].i = r->choice[i].value;
    b->tasks = k->tasks(p);
    b->scratch = (uint64_t)k->scratch(p);
}

uint32_t cg_tuned_tiles(cg_bind *b) {
    const cg_target_info *t = b->target;
    cg_tuning_log *log = t->tuning.log;
    if (!t->tuning.table || !cg_has_tiles(b->out->kernel)) return 0;
    const cg_record *r = record_of(t, b->node, b->out);
    if (!r) return 0;
    const cg_kernel *k = cg_kernel_find(r->kernel);
    cg_params p;
    k->read(b->out->params, &p);
    for (uint32_t i = 0; i < r->choice_count; i++)
        cg_params_set(k, &p, r->choice[i].field, r->choice[i].value);
    base_str why = {0};
    const bool legal = cg_tiles_legal(k, &p, t->isa, cg_is_overwriting(b->node), &why) &&
                       cg_tiles_bearable(k, &p, &why);
    if (legal) take_tiles(b->out, k, r, &p);
    if (legal && log) log->used++;
    if (!legal && log) cg_tuning_refuse(log, r, why.data);
    base_str_free(&why);
    return legal ? r->machine.threads : 0;
}

/* ---- what a node takes, done one form or another ---- */

static bool bind_way(cg_bind *b, ir_way way) {
    switch (way.form) {
    case IR_FORM_WINOGRAD_2: return cg_bind_as_winograd(b, 2, way.precision);
    case IR_FORM_WINOGRAD_4: return cg_bind_as_winograd(b, 4, way.precision);
    case IR_FORM_FUSED: return cg_bind_as_feed_forward(b, way.precision);
    case IR_FORM_DIRECT:
    case IR_FORM_NONE: break;
    }
    if (way.precision == IR_PRECISION_INT8) return cg_bind_as_i8(b);
    if (b->node->op == IR_OP_attention) return cg_bind_as_attention(b, way.precision);
    return cg_bind_as_direct(b, way.precision);
}

double cg_measured(const ir_target *t, ir_func *f, ir_ref node, ir_way way) {
    const cg_target_info *info = (const cg_target_info *)t;
    if (!info->tuning.table || !info->tuning.forms) return 0;
    ir_binding out = {0};
    cg_bind b = {info, f, ir_get(f, node), &out, NULL};
    if (!bind_way(&b, way)) return 0;
    const cg_record *r = record_of(info, b.node, &out);
    return r ? r->ns[1] : 0;
}
