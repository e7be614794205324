/* Binding of weights; see weights.h. */
#include "frontend/safetensors/weights.h"
#include "frontend/torch/torch_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"
#include "frontend/safetensors/tensor_ref.h"

enum { NOTES_SHOWN = 20 };

/* In the order they are reported. */
typedef enum fault_kind { MISSING, MISSHAPED, BAD_TYPE, LEFT_OVER } fault_kind;

typedef struct fault {
    fault_kind kind;
    const char *name;
    const char *text; /* the note */
} fault;

struct fe_weights {
    base_diag *d;
    ir_module *m;
    fe_st *table; /* NULL: random; owned by the module, or by the caller when there is a naming */
    const fe_naming *naming;
    uint64_t seed;
    bool *used; /* of each tensor of the table */
    base_arena *arena;
    BASE_VEC(fault) faults;
};

static fe_weights *weights_new(base_diag *d, ir_module *m) {
    fe_weights *w = base_alloc(sizeof *w);
    w->d = d;
    w->m = m;
    w->arena = base_arena_new();
    return w;
}

fe_weights *fe_weights_random(base_diag *d, ir_module *m, uint64_t seed) {
    fe_weights *w = weights_new(d, m);
    w->seed = seed;
    return w;
}

static void close_table(void *table) {
    fe_st_close(table);
}

static void give_to_module(ir_module *m, fe_st *table) {
    BASE_PUSH(&m->owners, ((struct ir_owner){table, close_table}));
}

fe_weights *fe_weights_table(base_diag *d, ir_module *m, fe_st *table) {
    fe_weights *w = weights_new(d, m);
    w->table = table;
    w->used = base_alloc(fe_st_count(table) * sizeof *w->used);
    give_to_module(m, table);
    return w;
}

fe_weights *fe_weights_named(base_diag *d, ir_module *m, fe_st *table, const fe_naming *naming) {
    fe_weights *w = weights_new(d, m);
    w->table = table;
    w->naming = naming;
    w->used = base_alloc(fe_st_count(table) * sizeof *w->used);
    return w;
}

void fe_weights_free(fe_weights *w) {
    if (!w) return;
    base_free(w->used);
    base_free(w->faults.items);
    base_arena_free(w->arena);
    base_free(w);
}

/* ---- declaring ---- */

bool fe_element_type(fe_st_dtype from, ir_dtype *to) {
    switch (from) {
    case FE_ST_F32: *to = IR_f32; return true;
    case FE_ST_F16: *to = IR_f16; return true;
    case FE_ST_BF16: *to = IR_bf16; return true;
    default: *to = IR_f32; return fe_st_stored(from) != IR_STORED_PLAIN;
    }
}

static const char *shape_text(fe_weights *w, uint32_t rank, const int64_t *dim) {
    base_str s = {0};
    base_str_add(&s, "[");
    for (uint32_t i = 0; i < rank; i++)
        base_str_addf(&s, "%s%lld", i ? ", " : "", (long long)dim[i]);
    base_str_add(&s, "]");
    const char *text = base_arena_strdup(w->arena, s.data);
    base_str_free(&s);
    return text;
}

static const char *quoted(fe_weights *w, const char *name) {
    return base_arena_strdup(w->arena, base_escape(name, strlen(name)));
}

static void add_fault(fe_weights *w, fault_kind kind, const char *name, const char *text) {
    BASE_PUSH(&w->faults, ((fault){kind, base_arena_strdup(w->arena, name), text}));
}

/* A shape without the trailing ones of a 1x1 filter. */
static uint32_t squeezed_rank(uint32_t rank, const int64_t *dim) {
    return rank == 4 && dim[2] == 1 && dim[3] == 1 ? 2 : rank;
}

static bool same_shape(const fe_tensor_spec *s, uint32_t rank, const int64_t *dim) {
    uint32_t want = s->rank;
    if (s->either_rank) {
        want = squeezed_rank(want, s->dim);
        rank = squeezed_rank(rank, dim);
    }
    if (want != rank) return false;
    return memcmp(s->dim, dim, rank * sizeof *dim) == 0;
}

/* Looks a declaration up under all its names; the reference that was found, or NULL. */
static const char *find_tensor(const fe_weights *w, const fe_tensor_spec *spec,
                               fe_tensor_view *view) {
    if (w->naming) {
        const char *place = w->naming->place(w->naming->ctx, w->arena, spec->names[0]);
        return fe_tensor_find(w->table, place, view) ? place : NULL;
    }
    for (size_t i = 0; i < sizeof spec->names / sizeof *spec->names && spec->names[i]; i++)
        if (fe_tensor_find(w->table, spec->names[i], view)) return spec->names[i];
    /* CLIPTextModel of transformers 5 has no such part */
    const char *name = spec->names[0], inner[] = "text_model.";
    if (!name || strncmp(name, inner, sizeof inner - 1) != 0) return NULL;
    name += sizeof inner - 1;
    return fe_tensor_find(w->table, name, view) ? name : NULL;
}

static void add_missing(fe_weights *w, const fe_tensor_spec *spec) {
    const char *wanted = shape_text(w, spec->rank, spec->dim), *name = spec->names[0], *about = "";
    if (w->naming) {
        about = base_arena_printf(w->arena, " ('%s')", quoted(w, name));
        name = w->naming->place(w->naming->ctx, w->arena, name);
    }
    add_fault(w, MISSING, name,
              base_arena_printf(w->arena, "missing: '%s' %s%s", quoted(w, name), wanted, about));
}

/* Place of a tensor in the table's order of names. */
static size_t table_index(const fe_weights *w, const fe_st_tensor *t) {
    size_t lo = 0, hi = fe_st_count(w->table);
    while (lo + 1 < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(fe_st_at(w->table, mid)->name, t->name) <= 0)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static void bind_random(fe_weights *w, ir_weight *weight, const fe_tensor_spec *spec) {
    double fan_in = spec->fan_in > 0 ? (double)spec->fan_in : 1.0;
    weight->kind = IR_WEIGHT_RANDOM;
    weight->seed = w->seed; /* ir_weight_read mixes in the name */
    switch (spec->init) {
    case FE_INIT_FILTER:
    case FE_INIT_BIAS: weight->bound = 1.0 / sqrt(fan_in); break;
    case FE_INIT_SCALE:
        weight->center = 1.0;
        weight->bound = 0.1;
        break;
    case FE_INIT_SHIFT: weight->bound = 0.1; break;
    case FE_INIT_TABLE: weight->bound = 1.0; break;
    }
}

/* As many elements in a GGUF file, in fewer dimensions. */
static bool flattened(const fe_tensor_view *view, const fe_tensor_spec *spec) {
    size_t count = 1;
    for (uint32_t i = 0; i < spec->rank; i++)
        if (!base_mul_size(count, (size_t)spec->dim[i], &count)) return false;
    return view->tensor->gguf && view->rank < spec->rank && count == view->tensor->count;
}

/* Finds the tensor for a declaration; NULL after noting the fault, else its reference. */
static const char *fitting_tensor(fe_weights *w, const fe_tensor_spec *spec, fe_tensor_view *view,
                                  ir_dtype *dtype) {
    const char *name = find_tensor(w, spec, view);
    if (!name) {
        add_missing(w, spec);
        return NULL;
    }
    w->used[table_index(w, view->tensor)] = true;
    fe_tensor_add_ones(view, spec->rank, spec->dim);
    if (!same_shape(spec, view->rank, view->dims)) {
        add_fault(w, MISSHAPED, name,
                  base_arena_printf(w->arena, "wrong shape: '%s' is %s, the model needs %s%s",
                                    quoted(w, name), shape_text(w, view->rank, view->dims),
                                    shape_text(w, spec->rank, spec->dim),
                                    flattened(view, spec) ? "; it was flattened, and no key "
                                                            "comfy.gguf.orig_shape says from what"
                                                          : ""));
    } else if (!fe_element_type(view->dtype, dtype)) {
        add_fault(w, BAD_TYPE, name,
                  base_arena_printf(w->arena,
                                    "element type: '%s' is %s; weights may be F32, F16 or BF16",
                                    quoted(w, name), fe_st_dtype_name(view->tensor->dtype)));
    } else {
        return name;
    }
    base_free((void *)(uintptr_t)view->copy);
    return NULL;
}

static void free_copy(void *copy) {
    base_free(copy);
}

/* A copy of the elements becomes the module's. */
static void give_data(ir_module *m, ir_weight *weight, const fe_tensor_view *view) {
    weight->data = view->data;
    weight->stored = fe_st_stored(view->dtype);
    if (view->copy)
        BASE_PUSH(&m->owners, ((struct ir_owner){(void *)(uintptr_t)view->copy, free_copy}));
}

static void bind_file(ir_module *m, ir_weight *weight, const char *reference,
                      const fe_tensor_view *view) {
    weight->kind = IR_WEIGHT_FILE;
    weight->file = fe_path_absolute(m->arena, view->tensor->source->path);
    weight->tensor = base_arena_strdup(m->arena, reference);
    give_data(m, weight, view);
}

static uint32_t declare_again(fe_weights *w, const fe_tensor_spec *spec, uint32_t index) {
    const ir_type *have = &w->m->weights.items[index].type;
    if (!same_shape(spec, have->rank, have->dim))
        add_fault(w, MISSHAPED, spec->names[0],
                  base_arena_printf(w->arena, "two shapes: '%s' is used as %s and as %s",
                                    quoted(w, spec->names[0]), shape_text(w, have->rank, have->dim),
                                    shape_text(w, spec->rank, spec->dim)));
    return index;
}

uint32_t fe_weights_declare(fe_weights *w, const fe_tensor_spec *spec) {
    const char *name = base_arena_printf(w->arena, "%s/%s", spec->scope, spec->names[0]);
    uint32_t index = ir_weight_find(w->m, name);
    if (index != UINT32_MAX) return declare_again(w, spec, index);

    ir_type type = ir_type_make(IR_f32, spec->rank, spec->dim);
    fe_tensor_view view;
    const char *reference = w->table ? fitting_tensor(w, spec, &view, &type.dtype) : NULL;
    if (reference) type = ir_type_make(type.dtype, view.rank, view.dims);
    index = ir_weight_add(w->m, name, &type);
    ir_weight *weight = &w->m->weights.items[index];
    if (!w->table) {
        bind_random(w, weight, spec);
    } else if (reference) {
        bind_file(w->m, weight, reference, &view);
    }
    return index;
}

void fe_weights_ignore(fe_weights *w, const char *name) {
    fe_tensor_view view;
    if (!w->table || !find_tensor(w, &(fe_tensor_spec){.names = {name}}, &view)) return;
    w->used[table_index(w, view.tensor)] = true;
    base_free((void *)(uintptr_t)view.copy);
}

/* ---- the report ---- */

/* Tensors that published files carry and no network reads. */
static bool is_known_surplus(const char *name) {
    static const char *const suffixes[] = {"embeddings.position_ids"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t n = strlen(suffixes[i]);
        if (length >= n && strcmp(name + length - n, suffixes[i]) == 0) return true;
    }
    return false;
}

static void find_left_over(fe_weights *w) {
    for (size_t i = 0; w->table && i < fe_st_count(w->table); i++) {
        const fe_st_tensor *t = fe_st_at(w->table, i);
        if (w->used[i] || is_known_surplus(t->name)) continue;
        if (w->naming && !w->naming->owns(w->naming->ctx, t->name)) continue;
        add_fault(w, LEFT_OVER, t->name,
                  base_arena_printf(w->arena, "unexpected: '%s' %s is not part of the model",
                                    quoted(w, t->name), shape_text(w, t->rank, t->dims)));
    }
}

static int by_kind_and_name(const void *a, const void *b) {
    const fault *x = a, *y = b;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void summary(const fe_weights *w, base_str *out) {
    static const char *const what[] = {"missing", "of the wrong shape",
                                       "of an unsupported element type", "unexpected"};
    size_t counts[4] = {0};
    for (size_t i = 0; i < w->faults.count; i++) counts[w->faults.items[i].kind]++;
    for (size_t k = 0; k < 4; k++)
        if (counts[k]) base_str_addf(out, "%s%zu %s", out->len ? ", " : "", counts[k], what[k]);
}

/* ---- a prefix in front of all names ---- */

/* Who puts it there. */
static const char *prefix_origin(const char *prefix) {
    static const char *const known[][2] = {
        {"_orig_mod.", "torch.compile"},
        {"module.", "DataParallel"},
        {"state_dict.", "a whole checkpoint's dictionary"},
        {"model_ema.", "an average of the weights"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(prefix, known[i][0]) == 0) return known[i][1];
    return NULL;
}

static bool ends_so(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n > k && strcmp(s + n - k, end) == 0;
}

/* How many of the faults of this kind name a tensor that is one of the other kind with `prefix` in
 * front. */
static size_t count_prefixed(const fe_weights *w, fault_kind kind, fault_kind other,
                             const char *prefix) {
    size_t n = strlen(prefix), found = 0;
    for (size_t i = 0; i < w->faults.count; i++) {
        const char *name = w->faults.items[i].name;
        if (w->faults.items[i].kind != kind || strncmp(name, prefix, n) != 0) continue;
        /* the faults are sorted by kind and name */
        const fault key = {other, name + n, NULL};
        found += bsearch(&key, w->faults.items, w->faults.count, sizeof key, by_kind_and_name) != 0;
    }
    return found;
}

static size_t count_of(const fe_weights *w, fault_kind kind) {
    size_t n = 0;
    for (size_t i = 0; i < w->faults.count; i++) n += w->faults.items[i].kind == kind;
    return n;
}

/* The prefix that a fault of kind `with` has before the name of the first fault of kind `without`,
 * if that explains at least half of these; else NULL. */
static const char *common_prefix(fe_weights *w, fault_kind with, fault_kind without,
                                 size_t *count) {
    const char *name = NULL;
    for (size_t i = 0; i < w->faults.count && !name; i++)
        if (w->faults.items[i].kind == without) name = w->faults.items[i].name;
    for (size_t i = 0; i < w->faults.count && name; i++) {
        const char *longer = w->faults.items[i].name;
        if (w->faults.items[i].kind != with || !ends_so(longer, name)) continue;
        char *prefix = base_arena_strndup(w->arena, longer, strlen(longer) - strlen(name));
        *count = count_prefixed(w, with, without, prefix);
        if (2 * *count >= count_of(w, without)) return prefix;
    }
    return NULL;
}

static void note_prefix(fe_weights *w) {
    size_t count = 0;
    const char *prefix = common_prefix(w, LEFT_OVER, MISSING, &count);
    if (prefix) {
        const char *origin = prefix_origin(prefix);
        base_note(
            w->d, NULL,
            "%zu of the missing tensors are there with '%s' in front of their names%s%s; save "
            "them without it",
            count, quoted(w, prefix), origin ? ", as of " : "", origin ? origin : "");
    } else if ((prefix = common_prefix(w, MISSING, LEFT_OVER, &count))) {
        base_note(w->d, NULL,
                  "%zu of the unexpected tensors are missing ones whose names lack '%s' in front",
                  count, quoted(w, prefix));
    }
}

/* ---- the notes ---- */

/* How many of each kind are shown: the room is shared, so that no kind hides another. */
static void share_notes(const fe_weights *w, size_t shown[4]) {
    size_t counts[4], left = NOTES_SHOWN;
    for (int k = 0; k < 4; k++) counts[k] = count_of(w, (fault_kind)k), shown[k] = 0;
    for (bool more = true; more && left;) {
        more = false;
        for (int k = 0; k < 4 && left; k++) {
            if (shown[k] == counts[k]) continue;
            shown[k]++;
            left--;
            more = true;
        }
    }
}

static void list_faults(const fe_weights *w) {
    size_t shown[4], hidden = w->faults.count;
    share_notes(w, shown);
    for (size_t i = 0; i < w->faults.count; i++) {
        size_t *room = &shown[w->faults.items[i].kind];
        if (!*room) continue;
        base_note(w->d, NULL, "%s", w->faults.items[i].text);
        --*room;
        hidden--;
    }
    if (hidden) base_note(w->d, NULL, "and %zu more", hidden);
}

bool fe_weights_check(fe_weights *w) {
    find_left_over(w);
    if (!w->faults.count) return true;
    qsort(w->faults.items, w->faults.count, sizeof *w->faults.items, by_kind_and_name);
    base_str s = {0};
    summary(w, &s);
    const char *path = w->table ? fe_st_path(w->table) : "random weights";
    base_loc loc = {.source = base_diag_source(w->d, path, NULL, 0)};
    base_error(w->d, &loc, "the weights do not fit the model: tensors %s", s.data);
    base_str_free(&s);
    note_prefix(w);
    list_faults(w);
    w->faults.count = 0;
    return false;
}

/* ---- modules from text ---- */

/* The table of a file, opened at its first use; NULL after reporting (once a file). */
typedef struct open_file {
    const char *path;
    fe_st *table;
} open_file;
typedef BASE_VEC(open_file) open_files;

static fe_st *table_of(base_diag *d, ir_module *m, open_files *open, const char *path) {
    for (size_t i = 0; i < open->count; i++)
        if (strcmp(open->items[i].path, path) == 0) return open->items[i].table;
    fe_st *table = fe_tensors_open(d, path);
    if (table) give_to_module(m, table);
    BASE_PUSH(open, ((open_file){path, table}));
    return table;
}

static void bind_from(base_diag *d, ir_module *m, fe_st *table, ir_weight *weight) {
    fe_tensor_view view;
    base_loc loc = {.source = base_diag_source(d, fe_st_path(table), NULL, 0)};
    ir_dtype dtype;
    if (!fe_tensor_find(table, weight->tensor, &view)) {
        base_error(d, &loc, "there is no tensor '%s'",
                   base_escape(weight->tensor, strlen(weight->tensor)));
        return;
    }
    ir_type type = {0}, stored = ir_weight_stored_type(weight);
    fe_tensor_add_ones(&view, stored.rank, stored.dim);
    if (fe_element_type(view.dtype, &dtype) && view.rank <= IR_MAX_RANK)
        type = ir_type_make(dtype, view.rank, view.dims);
    if (type.rank == 1 && stored.rank == 2 && stored.dim[0] == 1) /* a row alone */
        type = ir_type_make(type.dtype, 2, (int64_t[]){1, view.dims[0]});
    if (!view.rank || !ir_type_equal(&type, &stored)) {
        base_str want = {0};
        ir_print_type(&stored, &want);
        base_error(d, &loc, "tensor '%s' does not have the type %s that the IR says",
                   base_escape(weight->tensor, strlen(weight->tensor)), want.data);
        base_str_free(&want);
        base_free((void *)(uintptr_t)view.copy);
        return;
    }
    give_data(m, weight, &view);
}

static void bind_source(base_diag *d, ir_module *m, open_files *open, ir_weight *weight) {
    if (weight->kind != IR_WEIGHT_FILE || weight->data) return;
    fe_st *table = table_of(d, m, open, weight->file);
    if (table) bind_from(d, m, table, weight);
}

bool fe_bind_ir_weights(base_diag *d, ir_module *m) {
    unsigned before = base_diag_errors(d);
    open_files open = {0};
    for (size_t i = 0; i < m->weights.count; i++) {
        ir_weight *weight = &m->weights.items[i];
        if (weight->kind == IR_WEIGHT_UNBOUND)
            base_error(d, NULL, "weight '%s' has no source",
                       base_escape(weight->name, strlen(weight->name)));
        bind_source(d, m, &open, weight);
        for (ir_lora *l = weight->loras; l; l = l->next) {
            IR_LORA_EACH(l, k) bind_source(d, m, &open, &l->factor[k]);
        }
        for (ir_rows *r = weight->rows; r; r = r->next) bind_source(d, m, &open, &r->values);
    }
    base_free(open.items);
    return base_diag_errors(d) == before;
}
