/* Merging LoRA files; see lora.h. The tensors of a file are gathered by the weight they update;
 * each complete group becomes an update of that weight (ir_lora), and everything else is collected
 * and reported at once. */
#include "frontend/lora/lora.h"
#include "frontend/files/hub_cache.h"
#include "runtime/abi/meta_keys.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NOTES_SHOWN = 20 };

/* In the order they are reported. */
typedef enum fault_kind {
    OTHER_METHOD,
    FOREIGN,
    UNKNOWN,
    REPEATED,
    MIXED,
    INCOMPLETE,
    BAD_TYPE,
    MISSHAPED,
    BAD_ALPHA,
    NOT_TAKEN,
    FAULT_KINDS
} fault_kind;

typedef struct fault {
    fault_kind kind;
    const char *name, *text;
} fault;

/* The tensors that update one weight or bias. */
typedef struct group {
    const char *module;
    const char *component;
    uint32_t weight;
    const fe_st_tensor *part[FE_LORA_ROLES];
} group;

/* Tensors of one kind that are spoken of together: of a method, or of a component that is not
 * there. */
typedef struct tally {
    const char *what, *first;
    size_t count;
} tally;

typedef struct merge {
    base_diag *d;
    ir_module *m;
    fe_st *table;
    const char *path;
    double scale;
    const fe_lora_taker *taker; /* NULL: the weights take the updates */
    fe_lora_index *index;
    fe_lora_config config;
    base_arena *arena;
    uint32_t *group_of;  /* place in groups of each weight, plus one */
    const char *unknown; /* the last module that was not found */
    BASE_VEC(group) groups;
    BASE_VEC(tally) methods;
    BASE_VEC(tally) skipped;
    BASE_VEC(fault) faults;
} merge;

static const char *quoted(merge *x, const char *name) {
    return base_arena_strdup(x->arena, base_escape(name, strlen(name)));
}

static void add_fault(merge *x, fault_kind kind, const char *name, const char *text) {
    BASE_PUSH(&x->faults, ((fault){kind, base_arena_strdup(x->arena, name), text}));
}

#define COUNT_IN(x, list, text, tensor)                                                            \
    do {                                                                                           \
        size_t i_ = 0;                                                                             \
        while (i_ < (list)->count && strcmp((list)->items[i_].what, text) != 0) i_++;              \
        if (i_ == (list)->count)                                                                   \
            BASE_PUSH(list, ((tally){base_arena_strdup((x)->arena, text), tensor, 0}));            \
        (list)->items[i_].count++;                                                                 \
    } while (0)

/* ---- gathering ---- */

static void add_unknown(merge *x, const fe_lora_name *name) {
    /* A module's tensors stand together in the order of names. */
    if (x->unknown && strcmp(x->unknown, name->module) == 0) return;
    x->unknown = name->module;
    add_fault(x, UNKNOWN, name->module,
              base_arena_printf(x->arena, "not in the model: %s'%s'",
                                name->bias ? "a bias of " : "", quoted(x, name->module)));
}

static void add_part(merge *x, const fe_lora_name *name, uint32_t weight, const fe_st_tensor *t) {
    if (!x->group_of[weight]) {
        BASE_PUSH(&x->groups, ((group){name->module, name->component, weight, {NULL}}));
        x->group_of[weight] = (uint32_t)x->groups.count;
    }
    const fe_st_tensor **part = &x->groups.items[x->group_of[weight] - 1].part[name->role];
    if (*part)
        add_fault(x, REPEATED, t->name,
                  base_arena_printf(x->arena, "said twice: '%s' and '%s'", quoted(x, (*part)->name),
                                    quoted(x, t->name)));
    *part = t;
}

static void gather(merge *x, const fe_st_tensor *t) {
    const char *method = fe_lora_other_method(t->name);
    fe_lora_name name;
    if (method) {
        COUNT_IN(x, &x->methods, method, t->name);
    } else if (!fe_lora_split(x->arena, x->m, x->table, t->name, &name)) {
        add_fault(x, FOREIGN, t->name,
                  base_arena_printf(x->arena, "no part of a LoRA: '%s'", quoted(x, t->name)));
    } else {
        uint32_t weight = fe_lora_find(x->index, &name);
        bool alone = strcmp(ir_meta_string(x->m, EBRU_META_PIPELINE_KIND.name,
                                           EBRU_META_PIPELINE_KIND.otherwise),
                            ebru_pipeline_kind_name[EBRU_PIPELINE_NONE]) == 0;
        if (weight != UINT32_MAX)
            add_part(x, &name, weight, t);
        else if (alone && !fe_lora_has_component(x->m, name.component))
            COUNT_IN(x, &x->skipped, name.component, t->name);
        else
            add_unknown(x, &name);
    }
}

/* ---- checking ---- */

static const char *shape_text(merge *x, const fe_st_tensor *t) {
    base_str s = {0};
    base_str_add(&s, "[");
    for (uint32_t i = 0; i < t->rank; i++)
        base_str_addf(&s, "%s%lld", i ? ", " : "", (long long)t->dims[i]);
    base_str_add(&s, "]");
    const char *text = base_arena_strdup(x->arena, s.data);
    base_str_free(&s);
    return text;
}

/* One factor as the module holds it. */
static bool read_factor(merge *x, const fe_st_tensor *t, ir_weight *out) {
    ir_dtype dtype;
    if (!fe_element_type(t->dtype, &dtype)) {
        add_fault(x, BAD_TYPE, t->name,
                  base_arena_printf(x->arena,
                                    "element type: '%s' is %s; it may be F32, F16 or BF16",
                                    quoted(x, t->name), fe_st_dtype_name(t->dtype)));
        return false;
    }
    ir_type type = ir_type_make(dtype, t->rank, t->dims);
    if (!t->rank || !ir_type_valid(&type, NULL)) {
        add_fault(x, MISSHAPED, t->name,
                  base_arena_printf(x->arena, "shape: '%s' is %s: no matrix and no filter",
                                    quoted(x, t->name), shape_text(x, t)));
        return false;
    }
    *out = (ir_weight){.type = type,
                       .kind = IR_WEIGHT_FILE,
                       .file = fe_path_absolute(x->m->arena, t->source->path),
                       .tensor = base_arena_strdup(x->m->arena, t->name),
                       .data = t->data,
                       .stored = fe_st_stored(t->dtype)};
    return true;
}

/* A tensor of one finite number; false after reporting. */
static bool read_number(merge *x, const fe_st_tensor *t, const char *what, double *out) {
    float value = NAN;
    if (t->count == 1) fe_st_to_f32(t, &value, 0, 1);
    *out = (double)value;
    if (isfinite(value)) return true;
    add_fault(x, BAD_ALPHA, t->name,
              base_arena_printf(x->arena,
                                t->count == 1 ? "%s: '%s' is not a finite number"
                                              : "%s: '%s' is not one number",
                                what, quoted(x, t->name)));
    return false;
}

/* alpha over the rank; PEFT's "rank-stabilized" LoRA divides by its root. LyCORIS
 * stores an alpha that is rescaled already. A LoKr of two whole matrices has no rank, and an alpha
 * that does not count. */
static bool read_scale(merge *x, const group *g, const ir_lora *l, double *scale) {
    const ir_weight *f = l->factor;
    bool whole = l->method == IR_LORA_LOKR && f[IR_LORA_W1].type.rank && f[IR_LORA_W2].type.rank;
    bool ranked = l->method <= IR_LORA_LOKR && !whole;
    double rank = (double)ir_lora_rank(l), alpha = rank;
    const fe_st_tensor *t = g->part[FE_LORA_ALPHA];
    *scale = 1.0;
    if (t && !read_number(x, t, "alpha", &alpha)) return false;
    if (!ranked) return true;
    if (!t) fe_lora_config_alpha(&x->config, g->component, &alpha);
    bool root = fe_lora_config_switch(&x->config, g->component, "use_rslora");
    *scale = alpha / (root ? sqrt(rank) : rank);
    return true;
}

static const struct {
    ir_lora_method method;
    ir_lora_factor factor;
    const char *shown;
} parts[FE_LORA_FACTORS] = {
#define LORA_PART(ID, method, factor, shown) {IR_LORA_##method, IR_LORA_##factor, shown},
#include "frontend/lora/lora_parts.def"
};

static void misfit(merge *x, const group *g) {
    const ir_weight *w = &x->m->weights.items[g->weight];
    const char *first = NULL;
    base_str s = {0};
    for (int role = 0; role < FE_LORA_ON_INPUT; role++) {
        const fe_st_tensor *t = g->part[role];
        if (!t) continue;
        base_str_addf(&s, "%s'%s' %s%s", first ? ", " : "shape: ", quoted(x, t->name),
                      first ? "" : "is ", shape_text(x, t));
        if (!first) first = t->name;
    }
    base_str_addf(&s, "; the weight '%s' is ", quoted(x, w->name));
    ir_print_type(&w->type, &s);
    add_fault(x, MISSHAPED, first, base_arena_strdup(x->arena, s.data));
    base_str_free(&s);
}

/* The method that the parts are of; false after reporting parts of two. */
static bool find_method(merge *x, const group *g, ir_lora_method *method) {
    const fe_st_tensor *first = NULL;
    *method = IR_LORA_LOW_RANK;
    for (int role = 0; role < FE_LORA_FACTORS; role++) {
        const fe_st_tensor *t = g->part[role];
        if (t && first && parts[role].method != *method) {
            add_fault(x, MIXED, g->module,
                      base_arena_printf(x->arena, "two methods for one module: '%s' and '%s'",
                                        quoted(x, first->name), quoted(x, t->name)));
            return false;
        }
        if (t) *method = parts[role].method;
        if (t && !first) first = t;
    }
    const fe_st_tensor *on_input = g->part[FE_LORA_ON_INPUT];
    if (!first && on_input) *method = IR_LORA_GAIN;
    if (!on_input || *method == IR_LORA_GAIN) return true;
    add_fault(x, MIXED, g->module,
              base_arena_printf(x->arena, "two methods for one module: '%s' and '%s'",
                                quoted(x, first->name), quoted(x, on_input->name)));
    return false;
}

static void add_missing_part(const group *g, int role, base_str *out) {
    if (!g->part[role]) base_str_addf(out, "%s%s", out->len ? " and " : "", parts[role].shown);
}

/* One side of LoKr: a whole matrix, or two factors. */
static void add_missing_side(const group *g, int whole, base_str *out) {
    if (g->part[whole]) return;
    if (!g->part[whole + 1] && !g->part[whole + 2]) {
        add_missing_part(g, whole, out);
        return;
    }
    add_missing_part(g, whole + 1, out);
    add_missing_part(g, whole + 2, out);
}

/* False after reporting the parts that the method needs and the file does not have. */
static bool is_complete(merge *x, const group *g, ir_lora_method method) {
    base_str s = {0};
    for (int role = 0; role < FE_LORA_FACTORS; role++)
        if (parts[role].method == method && ir_lora_required[method] & 1u << parts[role].factor)
            add_missing_part(g, role, &s);
    if (method == IR_LORA_LOKR) {
        add_missing_side(g, FE_LORA_LOKR_W1, &s);
        add_missing_side(g, FE_LORA_LOKR_W2, &s);
    }
    if (s.len)
        add_fault(x, INCOMPLETE, g->module,
                  base_arena_printf(x->arena, "incomplete: '%s' has no %s", quoted(x, g->module),
                                    s.data));
    bool complete = !s.len;
    base_str_free(&s);
    return complete;
}

/* Whether DoRA's magnitudes are of columns: [1,K] or [1,K,1,1] in LyCORIS' form. PEFT has them for
 * the rows only, of filters as [1,N,1,1]. */
static bool of_columns(const group *g, const ir_type *w) {
    const fe_st_tensor *t = g->part[FE_LORA_DORA_SCALE];
    return t && t->rank >= 2 && w->rank >= 2 && t->dims[0] == 1 && t->dims[1] == w->dim[1] &&
           w->dim[0] != 1;
}

static bool read_factors(merge *x, const group *g, ir_lora *l) {
    bool fine = true;
    for (int role = 0; role < FE_LORA_FACTORS; role++)
        if (g->part[role]) fine &= read_factor(x, g->part[role], &l->factor[parts[role].factor]);
    const fe_st_tensor *t = g->part[FE_LORA_DORA_SCALE];
    if (!t) t = g->part[FE_LORA_MAGNITUDE];
    bool in = of_columns(g, &x->m->weights.items[g->weight].type);
    if (t) fine &= read_factor(x, t, &l->factor[in ? IR_LORA_MAGNITUDE_IN : IR_LORA_MAGNITUDE]);
    return fine;
}

/* IA3 scales the rows, or the columns where the module's input is scaled. */
static bool read_side(merge *x, const group *g, ir_lora *l) {
    double on_input;
    if (l->method != IR_LORA_GAIN) return true;
    if (!read_number(x, g->part[FE_LORA_ON_INPUT], "on_input", &on_input)) return false;
    if (on_input == 0.0) return true;
    l->method = IR_LORA_GAIN_IN;
    l->factor[IR_LORA_GAIN_COLUMNS] = l->factor[IR_LORA_GAIN_ROWS];
    l->factor[IR_LORA_GAIN_ROWS] = (ir_weight){0};
    return true;
}

/* The update goes to the weight, or to who takes it instead. */
static void give(merge *x, const group *g, const ir_lora *l) {
    base_str why = {0};
    if (!x->taker)
        ir_lora_add(x->m, g->weight, l);
    else if (x->taker->takes(x->taker->user, g->weight, l, &why))
        x->taker->take(x->taker->user, g->weight, l);
    else
        add_fault(x, NOT_TAKEN, g->module,
                  base_arena_printf(x->arena, "only merged, with --lora=: '%s' %s",
                                    quoted(x, g->module), why.data));
    base_str_free(&why);
}

static void apply_group(merge *x, const group *g) {
    ir_lora l = {0};
    if (!find_method(x, g, &l.method) || !is_complete(x, g, l.method)) return;
    if (!read_factors(x, g, &l) || !read_side(x, g, &l)) return;
    if (!ir_lora_fits(&x->m->weights.items[g->weight].type, &l, NULL) ||
        (g->part[FE_LORA_DORA_SCALE] && g->part[FE_LORA_MAGNITUDE])) {
        misfit(x, g);
        return;
    }
    double scale;
    if (!read_scale(x, g, &l, &scale)) return;
    l.scale = x->scale * scale;
    if (isfinite(l.scale))
        give(x, g, &l);
    else
        add_fault(x, BAD_ALPHA, g->module,
                  base_arena_printf(x->arena, "alpha: the scale of '%s' is not finite",
                                    quoted(x, g->module)));
}

/* A DoRA without magnitudes would be merged as something else. */
static void check_dora(merge *x) {
    for (size_t i = 0; i < x->groups.count; i++) {
        const group *g = &x->groups.items[i];
        if (!g->part[FE_LORA_UP] || g->part[FE_LORA_MAGNITUDE] || g->part[FE_LORA_DORA_SCALE] ||
            !fe_lora_config_switch(&x->config, g->component, "use_dora"))
            continue;
        add_fault(x, INCOMPLETE, g->module,
                  base_arena_printf(x->arena, "incomplete: '%s' has no lora_magnitude_vector",
                                    quoted(x, g->module)));
    }
}

/* ---- the report ---- */

static int by_kind_and_name(const void *a, const void *b) {
    const fault *x = a, *y = b;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void summary(const merge *x, base_str *out) {
    static const char *const what[FAULT_KINDS] = {[OTHER_METHOD] = "unsupported methods",
                                                  [FOREIGN] = "tensors that are no part of a LoRA",
                                                  [UNKNOWN] = "modules not in the model",
                                                  [REPEATED] = "parts said twice",
                                                  [MIXED] = "modules with several methods",
                                                  [INCOMPLETE] = "incomplete updates",
                                                  [BAD_TYPE] = "unsupported element types",
                                                  [MISSHAPED] = "wrong shapes",
                                                  [BAD_ALPHA] = "bad alphas",
                                                  [NOT_TAKEN] = "updates that must be merged"};
    size_t counts[FAULT_KINDS] = {0};
    for (size_t i = 0; i < x->faults.count; i++) counts[x->faults.items[i].kind]++;
    for (size_t k = 0; k < FAULT_KINDS; k++)
        if (counts[k]) base_str_addf(out, "%s%s %zu", out->len ? ", " : "", what[k], counts[k]);
}

static void report_faults(merge *x) {
    for (size_t i = 0; i < x->methods.count; i++) {
        const tally *t = &x->methods.items[i];
        add_fault(x, OTHER_METHOD, t->what,
                  base_arena_printf(x->arena, "unsupported: %s (%zu tensors, such as '%s')",
                                    t->what, t->count, quoted(x, t->first)));
    }
    if (!x->faults.count) return;
    qsort(x->faults.items, x->faults.count, sizeof *x->faults.items, by_kind_and_name);
    base_str s = {0};
    summary(x, &s);
    base_loc loc = {.source = base_diag_source(x->d, x->path, NULL, 0)};
    base_error(x->d, &loc, "the LoRA does not fit the model: %s", s.data);
    base_str_free(&s);
    for (size_t i = 0; i < x->faults.count && i < NOTES_SHOWN; i++)
        base_note(x->d, NULL, "%s", x->faults.items[i].text);
    if (x->faults.count > NOTES_SHOWN)
        base_note(x->d, NULL, "and %zu more", x->faults.count - NOTES_SHOWN);
}

static void report(merge *x) {
    report_faults(x);
    if (!x->faults.count && !x->groups.count) {
        base_loc loc = {.source = base_diag_source(x->d, x->path, NULL, 0)};
        base_error(x->d, &loc, "nothing in this LoRA belongs to what is compiled");
    }
    for (size_t i = 0; i < x->skipped.count; i++)
        base_note(x->d, NULL, "%s: %zu tensors are for the component '%s', which is not compiled",
                  x->path, x->skipped.items[i].count, quoted(x, x->skipped.items[i].what));
}

/* ---- the merge ---- */

static void close_table(void *table) {
    fe_st_close(table);
}

static void merge_free(merge *x) {
    fe_lora_index_free(x->index);
    fe_lora_config_free(&x->config);
    base_free(x->group_of);
    base_free(x->groups.items);
    base_free(x->methods.items);
    base_free(x->skipped.items);
    base_free(x->faults.items);
    base_arena_free(x->arena);
}

static bool read_file(base_diag *d, ir_module *m, const fe_lora *o, const char *option,
                      const fe_lora_taker *taker) {
    unsigned before = base_diag_errors(d);
    fe_st *table = fe_st_open(d, o->path);
    if (!table) {
        if (!fe_path_exists(o->path)) fe_hub_advice(d, o->path, FE_HUB_LORA);
        if (fe_path_is_dir(o->path)) fe_folder_advice(d, o->path, option);
        return false;
    }
    BASE_PUSH(&m->owners, ((struct ir_owner){table, close_table}));
    merge x = {.d = d,
               .m = m,
               .table = table,
               .path = o->path,
               .scale = o->scale,
               .taker = taker,
               .arena = base_arena_new()};
    if (fe_lora_config_read(d, table, o->path, &x.config)) {
        x.index = fe_lora_index_new(m);
        x.group_of = base_alloc((m->weights.count + 1) * sizeof *x.group_of);
        for (size_t i = 0; i < fe_st_count(table); i++) gather(&x, fe_st_at(table, i));
        for (size_t i = 0; i < x.groups.count; i++) apply_group(&x, &x.groups.items[i]);
        check_dora(&x);
        report(&x);
    }
    merge_free(&x);
    return base_diag_errors(d) == before;
}

bool fe_lora_apply(base_diag *d, ir_module *m, const fe_lora *o) {
    return read_file(d, m, o, "--lora=", NULL);
}

bool fe_lora_read(base_diag *d, ir_module *m, const char *path, const char *option,
                  const fe_lora_taker *taker) {
    return read_file(d, m, &(fe_lora){path, 1.0}, option, taker);
}
