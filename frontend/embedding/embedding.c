/* Files of textual inversion; see embedding.h. Three spellings:
 *
 *   diffusers      one tensor, called as the token
 *   AUTOMATIC1111  "string_to_param" with one tensor "*", and the token in "name"; or "emb_params"
 *                  alone, where the file is called as the token
 *   XL             "clip_l" and "clip_g", for the first and the second text encoder; likewise */
#include "frontend/embedding/embedding.h"

#include <stdlib.h>
#include <string.h>

#include "base/json/json_scan.h"
#include "frontend/safetensors/weights.h"
#include "frontend/tokenizer/tokenizer.h"
#include "frontend/torch/torch_file.h"
#include "runtime/abi/meta_keys.h"
#include "runtime/text/tokenizer_build.h"

enum { ENCODERS = 2, MOST_TOKEN_BYTES = RT_TOKENIZER_MAX_TOKEN - 16 };

static const char *const encoder_names[ENCODERS] = {"text_encoder", "text_encoder_2"};
static const char *const tokenizer_names[ENCODERS] = {"tokenizer", "tokenizer_2"};
static const char *const tensor_names[ENCODERS] = {"clip_l", "clip_g"};

/* A text encoder of the module. */
typedef struct encoder {
    bool there;
    const char *name;
    uint32_t weight; /* its token embeddings */
    base_json *doc;  /* its tokenizer's vocabulary; NULL: a component alone, without tokenizer */
    base_jval vocab;
    fe_added_tokens added;
    bool changed;
} encoder;

typedef struct work {
    base_diag *d;
    ir_module *m;
    base_arena *arena;
    encoder encoders[ENCODERS];
} work;

/* A file while it is read. */
typedef struct file {
    fe_st *table;
    const char *path, *token; /* token: as the option or the file says */
} file;

static const char *shown(const char *text) {
    return base_escape(text, strlen(text));
}

static base_loc place(const file *f, const fe_st_tensor *t) {
    return fe_st_loc(f->table, t);
}

static int64_t width(const work *w, int i) {
    return w->m->weights.items[w->encoders[i].weight].type.dim[1];
}

/* ---- the encoders ---- */

static const char *encoder_name(const ir_module *m, int i) {
    if (ir_func_find(m, encoder_names[i]) || i > 0) return encoder_names[i];
    const char *said = ir_meta_string(m, EBRU_META_PIPELINE_TEXT_ENCODER.name, NULL);
    return said && strcmp(said, encoder_names[1]) != 0 ? said : encoder_names[0];
}

/* Its tokenizer, and whether all its ids are embeddings already. */
static bool open_tokenizer(work *w, encoder *e, const char *name) {
    const char *key = fe_tokenizer_key(w->m, name, FE_TOKEN_VOCAB);
    int64_t rows = w->m->weights.items[e->weight].type.dim[0], id;
    if (!ir_meta_get(w->m, key)) return true;
    e->doc = fe_tokenizer_vocabulary(w->d, w->m, name, &e->vocab);
    if (!e->doc || !fe_added_read(w->d, w->m, name, &e->added)) return false;
    for (base_jval v = base_json_first(e->vocab); base_json_present(v); v = base_json_next(v)) {
        if (!base_json_int(v, &id, 0, INT32_MAX)) return false;
        if (id < rows) continue;
        base_json_error(v,
                        "the id %lld of '%s' is beyond the %lld tokens that '%s' knows: new tokens "
                        "cannot follow",
                        (long long)id, shown(base_json_key(v)), (long long)rows, e->name);
        return false;
    }
    return true;
}

static bool open_encoders(work *w) {
    bool fine = true, any = false;
    for (int i = 0; i < ENCODERS; i++) {
        encoder *e = &w->encoders[i];
        e->name = encoder_name(w->m, i);
        e->added = fe_added_new();
        const ir_func *f = ir_func_find(w->m, e->name);
        e->weight = f ? fe_text_table(f) : UINT32_MAX;
        e->there = e->weight != UINT32_MAX;
        any |= e->there;
        if (e->there) fine &= open_tokenizer(w, e, tokenizer_names[i]);
    }
    if (!any) base_error(w->d, NULL, "--embedding: there is no text encoder in what is loaded");
    return fine && any;
}

static bool close_encoders(work *w, bool fine) {
    for (int i = 0; i < ENCODERS; i++) {
        encoder *e = &w->encoders[i];
        if (fine && e->changed && e->doc) {
            size_t bytes;
            fe_added_write(w->m, tokenizer_names[i], &e->added);
            unsigned char *blob = fe_tokenizer_blob(w->d, w->m, tokenizer_names[i], &bytes);
            fine = blob != NULL;
            base_free(blob);
        }
        fe_added_free(&e->added);
        base_json_free(e->doc);
    }
    return fine;
}

/* ---- tokens ---- */

static bool is_known(const encoder *e, const char *token) {
    return (e->doc && base_json_present(base_json_get(e->vocab, token))) ||
           fe_added_find(&e->added, token);
}

/* The token of vector k. */
static const char *vector_token(work *w, const char *token, int64_t k) {
    return k ? base_arena_printf(w->arena, "%s_%lld", token, (long long)k) : token;
}

/* None of a token's names may be known; nor the one that would be its second, which would belong to
 * it from now on. */
static bool check_tokens(work *w, const file *f, const fe_st_tensor *t, const encoder *e,
                         int64_t vectors) {
    base_loc loc = place(f, t);
    for (int64_t k = 0; k < (vectors > 2 ? vectors : 2); k++) {
        const char *token = vector_token(w, f->token, k);
        if (!is_known(e, token)) continue;
        base_error(w->d, &loc, "the tokenizer of '%s' has a token '%s' already", e->name,
                   shown(token));
        base_note(w->d, NULL, "--embedding=FILE:TOKEN gives the embedding another name");
        return false;
    }
    return true;
}

static bool check_text(work *w, const file *f) {
    base_loc loc = {.source = base_diag_source(w->d, f->path, NULL, 0)};
    size_t n = strlen(f->token);
    if (n && n <= MOST_TOKEN_BYTES && base_utf8_check(f->token, n) == n) return true;
    base_error(w->d, &loc, "the token '%s' %s", shown(f->token),
               !n                      ? "is empty"
               : n <= MOST_TOKEN_BYTES ? "is not UTF-8"
                                       : "is too long");
    return false;
}

/* ---- tensors ---- */

/* The vectors as rows; a single one may have no dimension of its own. */
static bool read_rows(work *w, const file *f, const fe_st_tensor *t, ir_weight *rows) {
    base_loc loc = place(f, t);
    ir_dtype dtype;
    int64_t dim[2] = {t->rank == 1 ? 1 : t->dims[0], t->dims[t->rank == 1 ? 0 : 1]};
    if (t->rank < 1 || t->rank > 2 || dim[0] < 1 || dim[1] < 1) {
        base_error(w->d, &loc,
                   "it has %u dimensions or no elements; vectors are [width] or [n,width]",
                   (unsigned)t->rank);
        return false;
    }
    if (!fe_element_type(t->dtype, &dtype)) {
        base_error(w->d, &loc, "its elements are %s; they may be F32, F16 or BF16",
                   fe_st_dtype_name(t->dtype));
        return false;
    }
    *rows = (ir_weight){.type = ir_type_make(dtype, 2, dim),
                        .kind = IR_WEIGHT_FILE,
                        .file = fe_path_absolute(w->m->arena, t->source->path),
                        .tensor = base_arena_strdup(w->m->arena, t->name),
                        .data = t->data};
    return true;
}

static bool add_rows(work *w, const file *f, const fe_st_tensor *t, int i, const ir_weight *rows) {
    encoder *e = &w->encoders[i];
    base_loc loc = place(f, t);
    int64_t vectors = rows->type.dim[0], first = w->m->weights.items[e->weight].type.dim[0];
    if (rows->type.dim[1] != width(w, i)) {
        base_error(w->d, &loc, "its vectors have %lld elements; those of '%s' have %lld",
                   (long long)rows->type.dim[1], e->name, (long long)width(w, i));
        return false;
    }
    if (vectors > RT_TOKENIZER_MAX_ADDED - FE_TOKENIZER_ROLES - (int64_t)e->added.tokens.count) {
        base_error(w->d, &loc, "%lld more tokens are too many", (long long)vectors);
        return false;
    }
    if (!check_tokens(w, f, t, e, vectors)) return false;
    for (int64_t k = 0; k < vectors; k++)
        fe_added_push(&e->added, vector_token(w, f->token, k), (uint32_t)(first + k), 0);
    ir_weight_append(w->m, e->weight, rows);
    e->changed = true;
    return true;
}

/* A tensor that does not say whose it is belongs to the first encoder of its width. */
static bool add_by_width(work *w, const file *f, const fe_st_tensor *t) {
    ir_weight rows;
    base_str widths = {0};
    int found = -1;
    if (!read_rows(w, f, t, &rows)) return false;
    for (int i = 0; i < ENCODERS; i++) {
        if (!w->encoders[i].there) continue;
        if (found < 0 && width(w, i) == rows.type.dim[1]) found = i;
        base_str_addf(&widths, "%s%lld ('%s')", widths.len ? " and " : "", (long long)width(w, i),
                      w->encoders[i].name);
    }
    base_loc loc = place(f, t);
    if (found < 0)
        base_error(w->d, &loc, "its vectors have %lld elements; this model's have %s",
                   (long long)rows.type.dim[1], widths.data);
    base_str_free(&widths);
    if (found < 0 || !add_rows(w, f, t, found, &rows)) return false;
    if (w->encoders[!found].there)
        base_note(w->d, &loc, "'%s' is a token of '%s' alone; for '%s' it is plain text",
                  shown(f->token), w->encoders[found].name, w->encoders[!found].name);
    return true;
}

/* ---- spellings ---- */

/* The file's name without folder and ending. */
static const char *stem(work *w, const char *path) {
    char *name = fe_path_base(w->arena, path), *dot = strrchr(name, '.');
    if (dot && dot != name) *dot = '\0';
    return name;
}

static bool refuse_tensors(work *w, const file *f) {
    base_loc loc = {.source = base_diag_source(w->d, f->path, NULL, 0)};
    base_str names = {0};
    enum { SHOWN = 5 };
    size_t n = fe_st_count(f->table);
    for (size_t i = 0; i < n && i < SHOWN; i++)
        base_str_addf(&names, "%s'%s'", i ? ", " : "", shown(fe_st_at(f->table, i)->name));
    base_error(w->d, &loc,
               "this is no embedding: it has the tensors %s%s; one is expected, or "
               "'string_to_param.*', or 'clip_l' and 'clip_g'",
               n ? names.data : "(none)", n > SHOWN ? " and more" : "");
    base_str_free(&names);
    return false;
}

/* clip_l and clip_g, each for its encoder. */
static bool add_pair(work *w, file *f) {
    bool fine = true, used = false;
    size_t known = 0;
    for (int i = 0; i < ENCODERS; i++) known += fe_st_find(f->table, tensor_names[i]) != NULL;
    if (known != fe_st_count(f->table)) return refuse_tensors(w, f);
    if (!f->token) f->token = stem(w, f->path);
    if (!check_text(w, f)) return false;
    for (int i = 0; i < ENCODERS; i++) {
        const fe_st_tensor *t = fe_st_find(f->table, tensor_names[i]);
        ir_weight rows;
        if (!t) continue;
        base_loc loc = place(f, t);
        if (!w->encoders[i].there) {
            base_note(w->d, &loc, "it is for '%s', which is not compiled", encoder_names[i]);
            continue;
        }
        used = true;
        fine &= read_rows(w, f, t, &rows) && add_rows(w, f, t, i, &rows);
    }
    base_loc loc = {.source = base_diag_source(w->d, f->path, NULL, 0)};
    if (!used) base_error(w->d, &loc, "nothing in this embedding belongs to what is compiled");
    return fine && used;
}

static bool add_single(work *w, file *f) {
    const fe_st_tensor *t = fe_st_find(f->table, "string_to_param.*");
    base_loc loc = {.source = base_diag_source(w->d, f->path, NULL, 0)};
    if (t) {
        if (!f->token) f->token = fe_st_metadata(f->table, "name");
        if (!f->token) f->token = stem(w, f->path);
    } else if (fe_st_count(f->table) == 1) {
        t = fe_st_at(f->table, 0);
        if (!f->token && strcmp(t->name, "emb_params") == 0) f->token = stem(w, f->path);
        if (!f->token && strcmp(t->name, "tensor") == 0) {
            base_error(w->d, &loc,
                       "it is a tensor without a name: --embedding=FILE:TOKEN names it");
            return false;
        }
        if (!f->token) f->token = t->name;
    } else {
        return refuse_tensors(w, f);
    }
    return check_text(w, f) && add_by_width(w, f, t);
}

/* ---- files ---- */

/* FILE or FILE:TOKEN: as much of it as is there is the file. */
static void split(work *w, const char *value, file *f) {
    f->path = value;
    if (fe_path_exists(value)) return;
    const char *last = strrchr(value, ':');
    for (const char *colon = last; colon && colon > value; colon--) {
        if (*colon != ':') continue;
        const char *path = base_arena_strndup(w->arena, value, (size_t)(colon - value));
        bool there = fe_path_exists(path);
        if (!there && colon != last) continue;
        f->path = path;
        f->token = colon + 1;
        if (there) return;
    }
}

/* A folder as diffusers reads it: one of these files in it. */
static void look_inside(work *w, file *f) {
    static const char *const names[] = {"learned_embeds.safetensors", "learned_embeds.bin"};
    if (!fe_path_is_dir(f->path)) return;
    for (int i = 0; i < 2; i++) {
        const char *path = fe_path_join(w->arena, f->path, names[i]);
        if (!fe_path_exists(path)) continue;
        f->path = path;
        return;
    }
}

static void close_table(void *table) {
    fe_st_close(table);
}

static bool add_file(work *w, const char *value) {
    file f = {0};
    split(w, value, &f);
    look_inside(w, &f);
    f.table = fe_tensors_open(w->d, f.path);
    if (!f.table) return false;
    BASE_PUSH(&w->m->owners, ((struct ir_owner){f.table, close_table}));
    bool pair = fe_st_find(f.table, tensor_names[0]) || fe_st_find(f.table, tensor_names[1]);
    return pair ? add_pair(w, &f) : add_single(w, &f);
}

bool fe_embeddings_apply(base_diag *d, ir_module *m, const fe_options *o) {
    if (!o->embedding_count) return true;
    work w = {.d = d, .m = m, .arena = base_arena_new()};
    const bool open = open_encoders(&w);
    bool fine = open;
    for (uint32_t i = 0; open && i < o->embedding_count; i++)
        fine &= add_file(&w, o->embeddings[i]);
    fine = close_encoders(&w, fine);
    base_arena_free(w.arena);
    return fine;
}
