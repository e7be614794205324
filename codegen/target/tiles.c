/* Kernels' tile fields: which they are, which values are legal, keys of what is computed without
 * them. */
#include "codegen/target/bind.h"

#include <string.h>

enum { MOST_SCRATCH = 64 << 20 }; /* bytes a thread */

/* ---- which fields are tiles ---- */

static const struct {
    const char *kernel;
    const char *tiles[CG_MOST_TILES + 1];
} tile_rows[] = {
    {"conv2d", {"MR", "NB", "TB", "TH", "TW", "PG", "KC", "order", "pack"}},
    {"conv2d_bf16", {"MR", "NB", "TB", "TH", "TW", "PG", "KC", "order"}},
    {"conv2d_winograd", {"MR", "NB", "TT", "PG"}},
    {"feed_forward", {"MR1", "NB1", "KC1", "MR2", "NB2", "KC2", "TW"}},
    {"feed_forward_bf16", {"MR1", "NB1", "KC1", "MR2", "NB2", "KC2", "TW"}},
    {"attention", {"QB", "KB"}},
    {"attention_bf16", {"QB", "KB"}},
};

static const char *const *tiles_of(const char *kernel) {
    for (size_t i = 0; i < sizeof tile_rows / sizeof *tile_rows; i++)
        if (strcmp(tile_rows[i].kernel, kernel) == 0) return tile_rows[i].tiles;
    static const char *const none[] = {NULL};
    return none;
}

bool cg_has_tiles(const char *kernel) {
    return tiles_of(kernel)[0] != NULL;
}

bool cg_is_tile(const char *kernel, const char *field) {
    for (const char *const *t = tiles_of(kernel); *t; t++)
        if (strcmp(*t, field) == 0) return true;
    return false;
}

/* ---- params structs as words ---- */

void cg_params_words(const ir_binding *b, int32_t words[CG_MOST_FIELDS]) {
    memset(words, 0, CG_MOST_FIELDS * sizeof *words);
    for (uint32_t i = 0; i < b->param_count && i < CG_MOST_FIELDS; i++) {
        const ir_param *p = &b->params[i];
        const float f = (float)p->f;
        if (p->is_float)
            memcpy(&words[i], &f, sizeof f);
        else
            words[i] = (int32_t)p->i;
    }
}

int cg_field_index(const char *kernel, const char *field) {
    const cg_kernel *k = cg_kernel_find(kernel);
    for (uint32_t i = 0; k && i < k->field_count; i++)
        if (strcmp(k->field[i], field) == 0) return (int)i;
    return -1;
}

int64_t cg_words_scratch(const char *kernel, const int32_t *words) {
    return cg_kernel_find(kernel)->scratch(words);
}
int32_t cg_words_tasks(const char *kernel, const int32_t *words) {
    return cg_kernel_find(kernel)->tasks(words);
}

/* Fields of binary32 (a scale, an epsilon) change no time and are no part of the key; neither are
 * fields that are zero, so that a field a later version appends changes no key. */
void cg_kernel_key(const char *kernel, const int32_t *words, bool overwrite, base_str *out) {
    const cg_kernel *k = cg_kernel_find(kernel);
    base_str_add(out, "");
    for (uint32_t i = 0; i < k->field_count; i++) {
        if (k->types[i] != 'i' || words[i] == 0 || cg_is_tile(kernel, k->field[i])) continue;
        base_str_addf(out, "%s%s=%d", out->len ? " " : "", k->field[i], words[i]);
    }
    if (overwrite) base_str_add(out, " overwrite=1");
}

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

static bool conv2d_legal(const struct ebru_conv2d_params *p, int32_t run, bool even, bool overwrite,
                         base_str *why) {
    const int32_t nb = ebru_blocks16(p->N), cb = ebru_blocks16(p->C0 + p->C1);
    struct ebru_conv2d_params in_place = *p;
    in_place.pack = 0;
    bool fine = WITHIN(MR, run, 64) && WITHIN(NB, 1, (nb + 1) / 2 * 2) && WITHIN(TB, 1, p->B) &&
                WITHIN(TH, 1, ebru_conv2d_rows(p)) && WITHIN(TW, 1, ebru_conv2d_cols(p)) &&
                WITHIN(PG, 1, ebru_ceil_div(nb, p->NB)) && WITHIN(KC, 1, cb) &&
                WITHIN(order, 0, 1) && WITHIN(pack, 0, 1) &&
                need(why, p->MR % run == 0, "MR is not whole runs of the matrix unit");
    if (!fine) return false;
    if (even || p->act == EBRU_ACT_GEGLU) fine = need(why, p->NB % 2 == 0, "NB is odd");
    if (p->pack && !overwrite)
        fine = fine &&
               need(why, ebru_conv2d_direct(&in_place), "pack=1, but nothing is read in place");
    if (overwrite)
        fine = fine && need(why, p->pack && p->TB == 1 && p->order == 0 && p->PG * p->NB >= nb,
                            "a task does not have all panels of the pixels it overwrites");
    return fine;
}

static bool conv2d_bf16_legal(const struct ebru_conv2d_bf16_params *p, bool overwrite,
                              base_str *why) {
    const struct ebru_conv2d_params q = ebru_conv2d_bf16_shape(p);
    return conv2d_legal(&q, ebru_bf16_run_length(p->form), true, overwrite, why);
}

static bool winograd_legal(const struct ebru_conv2d_winograd_params *p, base_str *why) {
    const int32_t nb = ebru_blocks16(p->N);
    return WITHIN(MR, 1, 64) && WITHIN(NB, 1, ebru_max_i32(nb, 4)) &&
           WITHIN(TT, 1, ebru_conv2d_winograd_tiles(p)) && WITHIN(PG, 1, ebru_ceil_div(nb, p->NB));
}

static bool feed_forward_legal(const struct ebru_feed_forward_params *p, int32_t run,
                               base_str *why) {
    const int32_t nb2 = ebru_blocks16(p->N);
    return WITHIN(MR1, run, 64) && WITHIN(MR2, run, 64) &&
           WITHIN(NB1, 2, 2 * ebru_blocks16(p->H)) && WITHIN(NB2, 1, (nb2 + 1) / 2 * 2) &&
           WITHIN(KC1, 1, ebru_blocks16(p->C)) && WITHIN(KC2, 1, ebru_blocks16(p->H)) &&
           WITHIN(TW, 1, p->T) && need(why, p->NB1 % 2 == 0, "NB1 is odd") &&
           need(why, p->MR1 % run == 0 && p->MR2 % run == 0,
                "MR1, MR2: not whole runs of the matrix unit");
}

static bool feed_forward_bf16_legal(const struct ebru_feed_forward_bf16_params *p, base_str *why) {
    struct ebru_feed_forward_params q;
#define COPY_FIELD(type, name) q.name = p->name;
    EBRU_FIELDS_feed_forward(COPY_FIELD);
#undef COPY_FIELD
    return feed_forward_legal(&q, ebru_bf16_run_length(p->form), why) &&
           need(why, p->NB2 % 2 == 0, "NB2 is odd");
}

static bool attention_legal(int32_t T, int32_t S, int32_t QB, int32_t KB, int32_t keys,
                            base_str *why) {
    const int64_t t16 = ir_round_block(T), s = ((int64_t)S + keys - 1) / keys * keys;
    return within(why, "QB", QB, 16, t16 < 512 ? t16 : 512) &&
           within(why, "KB", KB, keys, s < 4096 ? s : 4096) &&
           need(why, QB % 16 == 0, "QB is no multiple of 16") &&
           need(why, KB % keys == 0,
                keys == 16 ? "KB is no multiple of 16" : "KB is no multiple of 32");
}

static bool values_legal(const char *kernel, const void *words, bool overwrite, base_str *why) {
    if (strcmp(kernel, "conv2d") == 0) return conv2d_legal(words, 1, false, overwrite, why);
    if (strcmp(kernel, "conv2d_bf16") == 0) return conv2d_bf16_legal(words, overwrite, why);
    if (strcmp(kernel, "conv2d_winograd") == 0) return winograd_legal(words, why);
    if (strcmp(kernel, "feed_forward") == 0) return feed_forward_legal(words, 1, why);
    if (strcmp(kernel, "feed_forward_bf16") == 0) return feed_forward_bf16_legal(words, why);
    const struct ebru_attention_params *f = words;
    const struct ebru_attention_bf16_params *h = words;
    if (strcmp(kernel, "attention") == 0) return attention_legal(f->T, f->S, f->QB, f->KB, 16, why);
    if (strcmp(kernel, "attention_bf16") == 0)
        return attention_legal(h->T, h->S, h->QB, h->KB, 32, why);
    return need(why, false, "the kernel has no tiles to choose");
}

bool cg_tiles_legal(const char *kernel, const int32_t *words, bool overwrite, base_str *why) {
    if (!values_legal(kernel, words, overwrite, why)) return false;
    const int64_t scratch = cg_words_scratch(kernel, words);
    if (scratch > MOST_SCRATCH || cg_words_tasks(kernel, words) < 1) {
        if (why) base_str_addf(why, "a task needs %lld bytes of scratch", (long long)scratch);
        return false;
    }
    return true;
}

/* ---- a record's tiles ---- */

static bool is_overwriting(const ir_node *n) {
    return n->op == IR_OP_conv2d && IR_ATTRS(n, conv2d)->overwrite;
}

/* The record for a binding of this node; key: scratch. */
static const cg_record *record_of(const cg_target_info *t, const ir_node *n, const ir_binding *b,
                                  const int32_t *words) {
    base_str key = {0};
    cg_kernel_key(b->kernel, words, is_overwriting(n), &key);
    const cg_record *r = cg_tuning_find(t->tuning.table, &t->tuning.machine, b->kernel, key.data);
    base_str_free(&key);
    return r;
}

void cg_tuned_tiles(cg_bind *b) {
    const cg_target_info *t = b->target;
    if (!t->tuning.table || !cg_has_tiles(b->out->kernel)) return;
    int32_t words[CG_MOST_FIELDS];
    cg_params_words(b->out, words);
    const cg_record *r = record_of(t, b->node, b->out, words);
    if (!r) return;
    for (uint32_t i = 0; i < r->choice_count; i++)
        words[cg_field_index(r->kernel, r->choice[i].field)] = r->choice[i].value;
    base_str why = {0};
    if (!cg_tiles_legal(r->kernel, words, is_overwriting(b->node), &why)) {
        cg_tuning_refuse(t->tuning.table, r, why.data);
    } else {
        for (uint32_t i = 0; i < r->choice_count; i++) {
            const int at = cg_field_index(r->kernel, r->choice[i].field);
            b->out->params[at].i = words[at];
        }
        b->out->tasks = cg_words_tasks(r->kernel, words);
        b->out->scratch = (uint64_t)cg_words_scratch(r->kernel, words);
        cg_tuning_count_use(t->tuning.table);
    }
    base_str_free(&why);
}

/* ---- what a node takes, done one form or another ---- */

static bool bind_form(cg_bind *b, ir_form form) {
    switch (form) {
    case IR_FORM_WINOGRAD_2: return cg_bind_as_winograd(b, 2);
    case IR_FORM_WINOGRAD_4: return cg_bind_as_winograd(b, 4);
    case IR_FORM_FUSED: return cg_bind_as_feed_forward(b);
    case IR_FORM_DIRECT: break;
    }
    if (b->node->op == IR_OP_linear) return cg_bind_linear(b);
    return b->node->op == IR_OP_conv2d && (cg_bind_as_phases(b) || cg_bind_conv2d(b));
}

double cg_measured(const ir_target *t, ir_func *f, ir_ref node, ir_form form) {
    const cg_target_info *info = (const cg_target_info *)t;
    if (info->tuning.table && info->tuning.prefer >= 0)
        return (int)form == info->tuning.prefer ? 1 : 1000;
    if (!info->tuning.table || !info->tuning.forms) return 0;
    ir_binding out = {0};
    cg_bind b = {info, f, ir_get(f, node), &out, NULL};
    if (!bind_form(&b, form)) return 0;
    int32_t words[CG_MOST_FIELDS];
    cg_params_words(&out, words);
    const cg_record *r = record_of(info, b.node, &out, words);
    return r ? r->ns[1] : 0;
}
