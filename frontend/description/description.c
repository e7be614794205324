/* The model description language: the document, its functions, repeats and values; see
 * docs/model-language.md. The blocks themselves are in description_blocks.c, the pipeline section
 * in description_pipeline.c.
 *
 * A description is read in two walks. The first looks at every block once, whatever repeats and
 * conditions say, and reports unknown blocks and keys; the second builds. */
#include "frontend/description/description.h"

#include <string.h>

#include "base/suggest.h"
#include "frontend/build/layers.h"
#include "frontend/description/description_check.h"
#include "frontend/diffusers/diffusers.h"
#include "runtime/abi/meta_keys.h"

enum { MAX_BLOCKS = 100000, MAX_REPEAT = 4096, MAX_LIST = 256 };

/* A description while it is loaded. */
typedef struct document {
    base_diag *d;
    ir_module *m;
    const fe_options *o;
    base_jval root;
    const char *path;
    fe_weights *weights;
    fe_variables params; /* section "params", without the symbols */
} document;

/* ---- values ---- */

ir_ref desc_lookup(desc *c, base_jval v, const char *name) {
    for (size_t i = c->values.count; i-- > 0;)
        if (strcmp(c->values.items[i].name, name) == 0) return c->values.items[i].value;
    const char **names = base_alloc((c->values.count + 1) * sizeof *names);
    for (size_t i = 0; i < c->values.count; i++) names[i] = c->values.items[i].name;
    char hint[BASE_HINT_MAX];
    const char *near = base_suggest(name, names, c->values.count);
    base_json_error(v, "there is no value '%s'%s", base_escape(name, strlen(name)),
                    base_hint(near, hint));
    base_free(names);
    return IR_NONE;
}

static void save(desc *c, const char *name, ir_ref value) {
    BASE_PUSH(&c->values, ((desc_value){name, value}));
}

bool desc_number(desc *c, base_jval v, int64_t *out, int64_t min, int64_t max) {
    return fe_desc_expression(&c->vars, v, out, min, max);
}

const char *desc_text(desc *c, base_jval v) {
    const char *text, *result = NULL;
    if (!base_json_string(v, &text)) return NULL;
    base_str out = {0}, why = {0};
    if (fe_arith_substitute(&c->vars, text, &out, &why))
        result = base_arena_strdup(c->b->arena, out.data);
    else
        base_json_error(v, "%s", why.data);
    base_str_free(&out);
    base_str_free(&why);
    return result;
}

/* ---- blocks ---- */

static bool build_list(desc *c, base_jval list);

static bool build_repeat(desc *c, const desc_block *k) {
    base_jval count = base_json_require(k->v, "count"), blocks = base_json_require(k->v, "blocks");
    const char *index = base_json_opt_string(k->v, "index", "i");
    unsigned before = base_diag_errors(c->b->d);
    int64_t n;
    if (!desc_number(c, count, &n, 0, MAX_REPEAT) || !base_json_present(blocks)) return false;
    BASE_PUSH(&c->vars.list, ((fe_variable){.name = index}));
    size_t slot = c->vars.list.count - 1;
    for (int64_t i = 0; i < n && base_diag_errors(c->b->d) == before; i++) {
        c->vars.list.items[slot].value = i;
        if (!build_list(c, blocks)) break;
    }
    c->vars.list.count--;
    return base_diag_errors(c->b->d) == before;
}

/* "when": an expression; 0 leaves the block out. */
static bool is_wanted(desc *c, base_jval v) {
    base_jval when = base_json_get(v, "when");
    int64_t n = 1;
    if (base_json_is(when, BASE_JSON_BOOL)) {
        bool flag;
        return base_json_bool(when, &flag) && flag;
    }
    if (base_json_present(when) && !desc_number(c, when, &n, INT64_MIN, INT64_MAX)) return false;
    return n != 0;
}

static const char *block_name(base_jval v) {
    const char *name = "";
    base_json_string(base_json_is(v, BASE_JSON_OBJECT) ? base_json_get(v, "block") : v, &name);
    return name;
}

static bool build_block(desc *c, base_jval v) {
    desc_block k = {.v = v, .name = block_name(v), .prefix = ""};
    const desc_row *row = desc_find(k.name);
    unsigned before = base_diag_errors(c->b->d);
    k.defaults = base_json_get(c->defaults, k.name);
    if (!row || !is_wanted(c, v)) return base_diag_errors(c->b->d) == before;
    if (!row->build) return build_repeat(c, &k);
    if (++c->blocks > MAX_BLOCKS) {
        if (c->blocks == MAX_BLOCKS + 1)
            base_json_error(v, "the function has more than %d blocks", MAX_BLOCKS);
        return false;
    }
    base_jval prefix = base_json_get(v, "prefix"), from = base_json_get(v, "from"),
              to = base_json_get(v, "save");
    const char *name;
    if (base_json_present(prefix)) k.prefix = desc_text(c, prefix);
    if (!k.prefix) return false;
    fe_at(c->b, v);
    fe_enter(c->b, k.prefix);
    ir_ref x = c->x;
    if (base_json_present(from))
        x = base_json_string(from, &name) ? desc_lookup(c, from, name) : IR_NONE;
    c->x = row->build(c, &k, x);
    if (base_json_present(to) && base_json_string(to, &name)) save(c, name, c->x);
    return base_diag_errors(c->b->d) == before;
}

/* Goes on after a faulty block, so that all faults of a list are reported; values that depend on it
 * are IR_NONE and silent. */
static bool build_list(desc *c, base_jval list) {
    bool fine = true;
    for (base_jval v = base_json_first(list); base_json_present(v) && c->blocks <= MAX_BLOCKS;
         v = base_json_next(v))
        fine &= build_block(c, v);
    return fine;
}

/* ---- functions ---- */

typedef struct function {
    const char *name;      /* as written: "unet" */
    const char *component; /* up to the first dot */
    base_jval v;
} function;

static const fe_shape *given_shape(const fe_options *o, const char *name) {
    for (uint32_t i = 0; i < o->shape_count; i++)
        if (strcmp(o->shapes[i].name, name) == 0) return &o->shapes[i];
    return NULL;
}

static void set_variable(fe_variables *v, const char *name, int64_t value) {
    for (size_t i = v->list.count; i-- > 0;) {
        if (strcmp(v->list.items[i].name, name) != 0) continue;
        v->list.items[i] = (fe_variable){.name = name, .value = value};
        return;
    }
    BASE_PUSH(&v->list, ((fe_variable){.name = name, .value = value}));
}

/* The symbols B, H, W, T take their values from the shapes of the caller's tensors, where an
 * input's shape names them bare. */
static void bind_symbols(const document *t, base_jval inputs, fe_variables *vars) {
    static const char *const symbols[] = {"B", "H", "W", "T"};
    for (base_jval in = base_json_first(inputs); base_json_present(in); in = base_json_next(in)) {
        const fe_shape *shape = given_shape(t->o, base_json_key(in));
        base_jval dims = base_json_get(in, "shape");
        if (!shape || shape->rank != base_json_length(dims)) continue;
        for (uint32_t i = 0; i < shape->rank; i++) {
            const char *word;
            base_jval dim = base_json_item(dims, i);
            if (!base_json_is(dim, BASE_JSON_STRING) || !base_json_string(dim, &word)) continue;
            for (size_t k = 0; k < 4; k++)
                if (strcmp(word, symbols[k]) == 0) set_variable(vars, symbols[k], shape->dim[i]);
        }
    }
}

static ir_freq default_frequency(const char *name) {
    static const char *const prompt[] = {"encoder_hidden_states", "class_labels", "input_ids",
                                         "text_embeds", "time_ids"};
    if (strcmp(name, "timestep") == 0) return IR_SCHEDULE;
    for (size_t i = 0; i < sizeof prompt / sizeof *prompt; i++)
        if (strcmp(name, prompt[i]) == 0) return IR_PROMPT;
    return IR_STEP;
}

static bool build_input(desc *c, const document *t, base_jval in) {
    static const char *const dtypes[] = {"f32", "i32"};
    const char *name = base_json_key(in);
    base_jval shape = base_json_require(in, "shape"), dtype = base_json_get(in, "dtype"),
              frequency = base_json_get(in, "frequency");
    size_t type = 0, often = default_frequency(name), rank = base_json_length(shape);
    int64_t dim[IR_MAX_RANK];
    bool fine = base_json_present(shape) && base_json_expect(shape, BASE_JSON_ARRAY);
    if (fine && (rank < 1 || rank > IR_MAX_RANK)) {
        base_json_error(shape, "a shape has 1 to %d extents", IR_MAX_RANK);
        fine = false;
    }
    if (base_json_present(dtype)) fine &= base_json_choice(dtype, "element type", dtypes, 2, &type);
    if (base_json_present(frequency))
        fine &= base_json_choice(frequency, "frequency", ir_freq_name, IR_FREQ_COUNT, &often);
    for (size_t i = 0; fine && i < rank; i++)
        fine = desc_number(c, base_json_item(shape, i), &dim[i], 1, FE_MAX_CHANNELS);
    if (!fine) return false;
    const char *first;
    if (often == IR_SCHEDULE && t->o->shared_timestep &&
        base_json_is(base_json_item(shape, 0), BASE_JSON_STRING) &&
        base_json_string(base_json_item(shape, 0), &first) && strcmp(first, "B") == 0)
        dim[0] = 1; /* one for all pictures of the batch */
    fe_at(c->b, in);
    ir_ref value =
        fe_input(c->b, name, type ? IR_i32 : IR_f32, (uint32_t)rank, dim, (ir_freq)often);
    save(c, name, value);
    if (c->values.count == 1) c->x = value;
    return ir_ref_ok(value);
}

/* A string names the current value; an object names saved values. */
static bool build_outputs(desc *c, base_jval v) {
    const char *name;
    if (base_json_is(v, BASE_JSON_STRING)) {
        if (base_json_string(v, &name)) fe_result(c->b, name, c->x);
        return true;
    }
    if (!base_json_expect(v, BASE_JSON_OBJECT)) return false;
    if (!base_json_length(v)) base_json_error(v, "a function needs an output");
    bool fine = base_json_length(v) > 0;
    for (base_jval o = base_json_first(v); base_json_present(o); o = base_json_next(o)) {
        if (!base_json_string(o, &name)) return false;
        ir_ref value = desc_lookup(c, o, name);
        fine &= ir_ref_ok(value);
        fe_result(c->b, base_json_key(o), value);
    }
    return fine;
}

/* One function at a batch size, under the name `as`. */
static bool build_function(document *t, const function *f, const char *as, int64_t batch) {
    fe_builder b;
    unsigned before = base_diag_errors(t->d);
    fe_builder_init(&b, t->d, t->m, t->weights, f->component);
    desc c = {.b = &b, .defaults = base_json_get(t->root, "defaults"), .x = IR_NONE};
    for (size_t i = 0; i < t->params.list.count; i++)
        BASE_PUSH(&c.vars.list, t->params.list.items[i]);
    base_jval inputs = base_json_get(f->v, "inputs");
    set_variable(&c.vars, "B", batch);
    bind_symbols(t, inputs, &c.vars);

    fe_at(&b, f->v);
    fe_begin(&b, as);
    bool fine = true;
    for (base_jval in = base_json_first(inputs); base_json_present(in); in = base_json_next(in))
        fine &= build_input(&c, t, in);
    fine = fine && build_list(&c, base_json_get(f->v, "blocks"));
    fe_at(&b, f->v);
    fine = fine && fe_end(&b) && build_outputs(&c, base_json_get(f->v, "outputs"));
    base_free(c.vars.list.items);
    base_free(c.values.items);
    fe_builder_free(&b);
    return fine && base_diag_errors(t->d) == before;
}

/* ---- the document ---- */

/* "params": integers, lists of integers, expressions of earlier ones. The command line's size takes
 * the place of H and W. */
static bool read_params(document *t) {
    base_jval params = base_json_get(t->root, "params");
    bool fine = true;
    for (base_jval p = base_json_first(params); base_json_present(p); p = base_json_next(p)) {
        fe_variable v = {.name = base_json_key(p)};
        if (base_json_is(p, BASE_JSON_ARRAY)) {
            int64_t *values =
                base_arena_alloc(t->m->arena, (base_json_length(p) + 1) * sizeof *values);
            bool list = base_json_length(p) <= MAX_LIST;
            if (!list) base_json_error(p, "a list of more than %d numbers", MAX_LIST);
            for (size_t i = 0; list && i < base_json_length(p); i++)
                list = fe_desc_expression(&t->params, base_json_item(p, i), &values[i], INT32_MIN,
                                          INT32_MAX);
            v.values = values;
            v.count = base_json_length(p);
            fine &= list;
        } else {
            fine &= fe_desc_expression(&t->params, p, &v.value, INT32_MIN, INT32_MAX);
        }
        BASE_PUSH(&t->params.list, v);
    }
    return fine;
}

static bool has_param(const document *t, const char *name) {
    for (size_t i = 0; i < t->params.list.count; i++)
        if (strcmp(t->params.list.items[i].name, name) == 0) return true;
    return false;
}

static bool size_option(document *t, const char *name, int64_t pixels, int64_t scale) {
    if (!pixels) return true;
    if (pixels < 1 || pixels > FE_MAX_SIDE || pixels % scale)
        base_error(t->d, NULL, "a side of %lld pixels: this model needs multiples of %lld",
                   (long long)pixels, (long long)scale);
    else if (!has_param(t, name))
        base_error(t->d, NULL,
                   "the size of this model is fixed: its description has no parameter '%s'", name);
    else {
        set_variable(&t->params, name, pixels / scale);
        return true;
    }
    return false;
}

static bool read_size(document *t) {
    int64_t scale = base_json_opt_int(base_json_get(t->root, "pipeline"), "scale", 1, 1, 64);
    bool fine = size_option(t, "W", t->o->width, scale);
    fine &= size_option(t, "H", t->o->height, scale);
    if (t->o->sequence && has_param(t, "T")) set_variable(&t->params, "T", t->o->sequence);
    return fine;
}

/* The weight file stands beside the description; its name must be a plain one. */
static fe_weights *open_weights(document *t) {
    base_jval v = base_json_get(t->root, "weights");
    const char *name;
    if (t->o->random_weights) return fe_weights_random(t->d, t->m, t->o->random_seed);
    if (!base_json_present(v)) {
        base_json_error(
            t->root,
            "the description names no weights; they can be drawn at random: --weights=random:SEED");
        return NULL;
    }
    base_loc loc = base_json_loc(v);
    if (!base_json_string(v, &name) ||
        !fe_check_name(t->d, &loc, "weight file", name, strlen(name)))
        return NULL;
    const char *slash = strrchr(t->path, '/');
    char *folder =
        slash ? base_arena_strndup(t->m->arena, t->path, (size_t)(slash - t->path)) : ".";
    if (slash == t->path) folder = "/";
    const char *file = fe_path_join(t->m->arena, folder, name);
    if (!fe_path_exists(file)) {
        base_error_missing(t->d, &loc, "there is no weight file '%s'", file);
        base_note(t->d, NULL,
                  "--weights=random:1 draws them at random: for sizes and speed, not pictures");
        return NULL;
    }
    fe_st *table = fe_st_open(t->d, file);
    return table ? fe_weights_table(t->d, t->m, table) : NULL;
}

static bool build_all(document *t) {
    base_jval functions = base_json_get(t->root, "functions"),
              pipeline = base_json_get(t->root, "pipeline");
    const char *denoiser = fe_desc_denoiser(pipeline);
    bool fine = true, pair = t->o->guidance_pair && !t->o->component && fe_desc_guidance(pipeline);
    int64_t batch = t->o->batch ? t->o->batch : 1;
    if (batch < 1 || batch > FE_MAX_BATCH) {
        base_error(t->d, NULL, "a batch of %lld: 1 to %d is possible", (long long)batch,
                   FE_MAX_BATCH);
        return false;
    }
    for (base_jval v = base_json_first(functions); base_json_present(v); v = base_json_next(v)) {
        function f = {.name = base_json_key(v), .v = v};
        f.component = base_arena_strndup(t->m->arena, f.name, strcspn(f.name, "."));
        bool built = build_function(t, &f, f.name, batch);
        if (built && pair && denoiser && strcmp(denoiser, f.name) == 0)
            built =
                build_function(t, &f, base_arena_printf(t->m->arena, "%s@2", f.name), 2 * batch);
        fine &= built;
    }
    return fine && fe_weights_check(t->weights);
}

static bool keeps(const fe_options *o, const char *name) {
    size_t component = strcspn(name, ".@");
    const char *dot = strchr(name, '.');
    if (o->component &&
        (strlen(o->component) != component || memcmp(o->component, name, component) != 0))
        return false;
    return !o->function || strcmp(o->function, name) == 0 ||
           (dot && strcmp(dot + 1, o->function) == 0);
}

static bool keep_functions(document *t) {
    BASE_VEC(const char *) names = {0}; /* of functions, of components */
    for (size_t i = 0; i < t->m->funcs.count; i++) {
        const char *name = t->m->funcs.items[i]->name;
        BASE_PUSH(&names, name);
        BASE_PUSH(&names, base_arena_strndup(t->m->arena, name, strcspn(name, ".@")));
    }
    for (size_t i = t->m->funcs.count; i-- > 0;)
        if (!keeps(t->o, t->m->funcs.items[i]->name)) ir_func_remove(t->m, t->m->funcs.items[i]);
    const char *wanted = t->o->function ? t->o->function : t->o->component;
    const char *near = wanted ? base_suggest(wanted, names.items, names.count) : NULL;
    base_free(names.items);
    if (t->m->funcs.count) return true;
    base_error(t->d, NULL, "%s: the description has no such function", t->path);
    if (near) base_note(t->d, NULL, "did you mean '%s'?", near);
    return false;
}

static void general_meta(document *t) {
    const char *name = base_json_opt_string(t->root, "name", NULL),
               *about = base_json_opt_string(t->root, "about", NULL);
    if (name) ir_meta_set_string(t->m, EBRU_META_MODEL_NAME.name, name);
    if (about) ir_meta_set_string(t->m, EBRU_META_MODEL_ABOUT.name, about);
}

bool fe_load_description(base_diag *d, ir_module *m, const char *path, base_json *doc,
                         const fe_options *o) {
    document t = {.d = d, .m = m, .o = o, .root = base_json_root(doc), .path = path};
    unsigned before = base_diag_errors(d);
    bool fine = fe_desc_check(t.root);
    if (o->clip_skip || o->prompt_chunks) {
        base_error(d, NULL,
                   "--%s: a description writes its text encoder out, and the length of its context",
                   o->clip_skip ? "clip-skip" : "prompt-chunks");
        fine = false;
    }
    if (o->sampler || o->scheduler_config) {
        base_error(d, NULL, "--%s: a description names its sampler and the settings",
                   o->sampler ? "sampler" : "scheduler-config");
        fine = false;
    }
    fine = fine && read_params(&t) && read_size(&t);
    if (fine) {
        general_meta(&t);
        t.weights = open_weights(&t);
        fine = t.weights && build_all(&t);
    }
    fine = fine && fe_desc_pipeline(d, m, t.root, path, o) && keep_functions(&t);
    fe_weights_free(t.weights);
    base_free(t.params.list.items);
    return fine && base_diag_errors(d) == before;
}
