/* Modules, functions, nodes: building and interning; see ir.h. */
#include <string.h>

#include "base/hash.h"
#include "base/index.h"
#include "ir/build.h"
#include "ir/ir.h"

struct ir_intern {
    base_index index;
};

/* Lookup of names: the first `count` entries of each vector are in its index; the rest is added
 * when asked. */
struct ir_tables {
    base_index weights, origins;
};

/* ---- types ---- */

ir_type ir_type_make(ir_dtype dtype, uint32_t rank, const int64_t *dim) {
    if (rank > IR_MAX_RANK) ICE("a type of rank %u", rank);
    ir_type t = {.dtype = dtype, .layout = IR_PLAIN, .rank = rank};
    for (uint32_t i = 0; i < rank; i++) t.dim[i] = dim[i];
    return t;
}

bool ir_shape_equal(const ir_type *a, const ir_type *b) {
    if (a->rank != b->rank) return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

bool ir_type_equal(const ir_type *a, const ir_type *b) {
    return a->dtype == b->dtype && a->layout == b->layout && ir_shape_equal(a, b);
}

int64_t ir_type_elements(const ir_type *t) {
    int64_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++) n *= t->dim[i];
    return n;
}

int ir_channel_axis(const ir_type *t) {
    switch (t->rank) {
    case 2: return 1;
    case 3: return 2;
    case 4: return 1;
    default: return -1;
    }
}

uint64_t ir_type_bytes(const ir_type *t) {
    uint64_t n = ir_dtype_bytes[t->dtype];
    int axis = t->layout == IR_C16 ? ir_channel_axis(t) : -1;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= (uint64_t)((int)i == axis ? ir_round_block(t->dim[i]) : t->dim[i]);
    return n;
}

static bool bad_type(base_str *why, const char *text) {
    if (why) base_str_add(why, text);
    return false;
}

bool ir_type_valid(const ir_type *t, base_str *why) {
    if ((unsigned)t->dtype >= IR_DTYPE_COUNT) return bad_type(why, "unknown element type");
    if ((unsigned)t->layout >= IR_LAYOUT_COUNT) return bad_type(why, "unknown layout");
    if (t->rank > IR_MAX_RANK) return bad_type(why, "more than 8 dimensions");
    int64_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (t->dim[i] < 1) return bad_type(why, "a dimension smaller than 1");
        if (__builtin_mul_overflow(n, t->dim[i], &n) || n > IR_MAX_ELEMENTS)
            return bad_type(why, "too many elements");
    }
    if (t->layout == IR_C16 && t->dtype != IR_f32)
        return bad_type(why, "layout c16 is for f32 only");
    if (t->layout == IR_C16 && ir_channel_axis(t) < 0)
        return bad_type(why, "layout c16 is for 2 to 4 dimensions only");
    return true;
}

/* ---- modules and functions ---- */

ir_module *ir_module_new(void) {
    base_arena *arena = base_arena_new();
    ir_module *m = base_arena_alloc(arena, sizeof *m);
    m->arena = arena;
    m->level = IR_GRAPH;
    m->tables = base_arena_alloc(arena, sizeof *m->tables);
    BASE_PUSH(&m->origins, ((ir_origin){0}));
    return m;
}

static void drop_intern(ir_func *f) {
    if (f->intern) base_index_free(&f->intern->index);
    base_free(f->intern);
    f->intern = NULL;
}

void ir_func_clear(ir_func *f) {
    drop_intern(f);
    base_free(f->nodes.items);
    base_free(f->inputs.items);
    base_free(f->outputs.items);
    *f = (ir_func){.module = f->module, .name = f->name};
}

void ir_module_free(ir_module *m) {
    if (!m) return;
    for (size_t i = 0; i < m->funcs.count; i++) ir_func_clear(m->funcs.items[i]);
    for (size_t i = 0; i < m->owners.count; i++) m->owners.items[i].close(m->owners.items[i].owner);
    base_free(m->funcs.items);
    base_free(m->weights.items);
    base_free(m->meta.items);
    base_free(m->origins.items);
    base_free(m->owners.items);
    base_index_free(&m->tables->weights);
    base_index_free(&m->tables->origins);
    base_arena_free(m->arena);
}

ir_func *ir_func_detached(ir_module *m, const char *name) {
    ir_func *f = base_arena_alloc(m->arena, sizeof *f);
    f->module = m;
    f->name = base_arena_strdup(m->arena, name);
    return f;
}

ir_func *ir_func_new(ir_module *m, const char *name) {
    ir_func *f = ir_func_detached(m, name);
    BASE_PUSH(&m->funcs, f);
    return f;
}

void ir_func_take(ir_func *f, ir_func *from) {
    ir_func_clear(f);
    *f = *from;
    *from = (ir_func){.module = f->module, .name = f->name};
}

ir_func *ir_func_find(const ir_module *m, const char *name) {
    for (size_t i = 0; i < m->funcs.count; i++)
        if (strcmp(m->funcs.items[i]->name, name) == 0) return m->funcs.items[i];
    return NULL;
}

void ir_func_remove(ir_module *m, ir_func *f) {
    for (size_t i = 0; i < m->funcs.count; i++) {
        if (m->funcs.items[i] != f) continue;
        ir_func_clear(f);
        memmove(&m->funcs.items[i], &m->funcs.items[i + 1],
                (m->funcs.count - i - 1) * sizeof(ir_func *));
        m->funcs.count--;
        return;
    }
    ICE("removing function %s, which is not in the module", f->name);
}

/* ---- origins, weights, meta ---- */

static bool same_string(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

ir_origin_id ir_origin_add(ir_module *m, const char *file, uint32_t line, uint32_t col,
                           const char *block) {
    if (file && !*file) file = NULL;
    if (block && !*block) block = NULL;
    if (!file && !block && !line && !col) return 0;

    uint32_t h = BASE_HASH_START, at, id;
    if (file) h = base_hash_bytes(h, file, strlen(file));
    if (block) h = base_hash_bytes(h, block, strlen(block));
    h = base_hash_bytes(h, &line, sizeof line);
    h = base_hash_finish(base_hash_bytes(h, &col, sizeof col));

    base_index *x = &m->tables->origins;
    at = base_index_start(x, h);
    while (base_index_next(x, h, &at, &id)) {
        const ir_origin *o = &m->origins.items[id];
        if (o->line == line && o->col == col && same_string(o->file, file) &&
            same_string(o->block, block))
            return id;
    }
    /* Most origins share the file and often the block of the one before: share its strings too. */
    const ir_origin *last = &m->origins.items[m->origins.count - 1];
    ir_origin o = {.line = line, .col = col};
    if (file)
        o.file = same_string(file, last->file) ? last->file : base_arena_strdup(m->arena, file);
    if (block)
        o.block =
            same_string(block, last->block) ? last->block : base_arena_strdup(m->arena, block);
    BASE_PUSH(&m->origins, o);
    id = (uint32_t)(m->origins.count - 1);
    base_index_add(x, h, id);
    return id;
}

uint32_t ir_weight_find(const ir_module *m, const char *name) {
    base_index *x = &m->tables->weights;
    if (x->count > m->weights.count) base_index_free(x); /* entries were removed */
    for (size_t i = x->count; i < m->weights.count; i++)
        base_index_add(x, base_hash_text(m->weights.items[i].name), (uint32_t)i);
    uint32_t h = base_hash_text(name), at = base_index_start(x, h), id;
    while (base_index_next(x, h, &at, &id))
        if (strcmp(m->weights.items[id].name, name) == 0) return id;
    return UINT32_MAX;
}

uint32_t ir_weight_add(ir_module *m, const char *name, const ir_type *type) {
    uint32_t found = ir_weight_find(m, name);
    if (found != UINT32_MAX) return found;
    ir_weight w = {
        .name = base_arena_strdup(m->arena, name), .type = *type, .kind = IR_WEIGHT_UNBOUND};
    BASE_PUSH(&m->weights, w);
    return (uint32_t)(m->weights.count - 1);
}

const ir_meta *ir_meta_get(const ir_module *m, const char *key) {
    for (size_t i = 0; i < m->meta.count; i++)
        if (strcmp(m->meta.items[i].key, key) == 0) return &m->meta.items[i];
    return NULL;
}

/* The entry for a key, emptied; appended when new. */
static ir_meta *meta_entry(ir_module *m, const char *key) {
    for (size_t i = 0; i < m->meta.count; i++) {
        ir_meta *e = &m->meta.items[i];
        if (strcmp(e->key, key) != 0) continue;
        *e = (ir_meta){.key = e->key};
        return e;
    }
    BASE_PUSH(&m->meta, ((ir_meta){.key = base_arena_strdup(m->arena, key)}));
    return &m->meta.items[m->meta.count - 1];
}

void ir_meta_set_int(ir_module *m, const char *key, int64_t value) {
    ir_meta *e = meta_entry(m, key);
    e->kind = IR_META_INT;
    e->i = value;
}

void ir_meta_set_float(ir_module *m, const char *key, double value) {
    ir_meta *e = meta_entry(m, key);
    e->kind = IR_META_FLOAT;
    e->f = value;
}

void ir_meta_set_string(ir_module *m, const char *key, const char *value) {
    ir_meta *e = meta_entry(m, key);
    e->kind = IR_META_STRING;
    e->s = base_arena_strdup(m->arena, value);
}

int64_t ir_meta_int(const ir_module *m, const char *key, int64_t otherwise) {
    const ir_meta *e = ir_meta_get(m, key);
    return e && e->kind == IR_META_INT ? e->i : otherwise;
}

double ir_meta_float(const ir_module *m, const char *key, double otherwise) {
    const ir_meta *e = ir_meta_get(m, key);
    if (e && e->kind == IR_META_INT) return (double)e->i;
    return e && e->kind == IR_META_FLOAT ? e->f : otherwise;
}

const char *ir_meta_string(const ir_module *m, const char *key, const char *otherwise) {
    const ir_meta *e = ir_meta_get(m, key);
    return e && e->kind == IR_META_STRING ? e->s : otherwise;
}

/* ---- nodes ---- */

/* Inputs differ by name even when equal otherwise; a copy exists to be another buffer. */
static bool is_interned(ir_op op) {
    return op != IR_OP_input && op != IR_OP_copy;
}

static uint32_t hash_node(const ir_node *n) {
    uint32_t h = base_hash_bytes(BASE_HASH_START, &n->op, sizeof n->op);
    h = base_hash_bytes(h, n->operand, n->operand_count * sizeof n->operand[0]);
    h = base_hash_bytes(h, &n->type.layout, sizeof n->type.layout);
    return base_hash_finish(ir_attrs_hash(n->op, n->attrs, h));
}

static bool same_node(const ir_node *a, const ir_node *b) {
    return a->op == b->op && a->operand_count == b->operand_count &&
           memcmp(a->operand, b->operand, a->operand_count * sizeof a->operand[0]) == 0 &&
           ir_type_equal(&a->type, &b->type) && ir_attrs_equal(a->op, a->attrs, b->attrs);
}

static base_index *intern_index(ir_func *f) {
    if (f->intern) return &f->intern->index;
    f->intern = base_alloc(sizeof *f->intern);
    for (size_t i = 0; i < f->nodes.count; i++)
        if (is_interned(f->nodes.items[i].op))
            base_index_add(&f->intern->index, hash_node(&f->nodes.items[i]), (uint32_t)i);
    return &f->intern->index;
}

ir_ref ir_node_add(ir_func *f, const ir_node *node) {
    ir_node n = *node;
    uint32_t h = 0;
    if (is_interned(n.op)) {
        base_index *x = intern_index(f);
        h = hash_node(&n);
        uint32_t at = base_index_start(x, h), id;
        while (base_index_next(x, h, &at, &id))
            if (same_node(&f->nodes.items[id], &n)) return (ir_ref){id};
    }
    if (f->nodes.count >= UINT32_MAX - 1) ICE("function %s has too many nodes", f->name);
    ir_ref r = {(uint32_t)f->nodes.count};
    for (uint32_t i = n.operand_count; i < IR_MAX_OPERANDS; i++) n.operand[i] = IR_NONE;
    n.attrs = ir_attrs_copy(f->module->arena, n.op, n.attrs);
    BASE_PUSH(&f->nodes, n);
    if (is_interned(n.op)) base_index_add(&f->intern->index, h, r.id);
    if (n.op == IR_OP_input) BASE_PUSH(&f->inputs, r);
    return r;
}

ir_ref ir_build(ir_func *f, ir_op op, const ir_ref *operands, uint32_t count, const void *attrs,
                ir_layout layout, ir_origin_id origin) {
    const ir_op_info *info = ir_op_get(op);
    ir_node n = {.op = op, .attrs = attrs ? attrs : info->attr_default, .origin = origin};
    while (count && !ir_ref_ok(operands[count - 1])) count--;
    base_str faults = {0};
    if (!ir_infer(f, op, operands, count, n.attrs, &n.type, &faults))
        ICE("building %s in function %s:\n%s", info->name, f->name, faults.data);
    n.operand_count = count;
    for (uint32_t i = 0; i < count; i++) n.operand[i] = operands[i];
    n.type.layout = layout;
    if (!ir_type_valid(&n.type, &faults))
        ICE("building %s in function %s: %s", info->name, f->name, faults.data);
    return ir_node_add(f, &n);
}

static ir_ref add_input(ir_func *f, const struct ir_attrs_input *a, const ir_type *type,
                        ir_origin_id origin) {
    base_str why = {0};
    if (!ir_type_valid(type, &why)) ICE("input %s of function %s: %s", a->name, f->name, why.data);
    ir_node n = {.op = IR_OP_input, .attrs = a, .type = *type, .origin = origin};
    return ir_node_add(f, &n);
}

ir_ref ir_input(ir_func *f, const char *name, const ir_type *type, ir_freq freq,
                ir_origin_id origin) {
    struct ir_attrs_input a = IR_DEFAULTS(input);
    a.name = name;
    a.freq = freq;
    return add_input(f, &a, type, origin);
}

ir_ref ir_input_like(ir_func *f, const ir_node *input, const ir_type *type) {
    return add_input(f, IR_ATTRS(input, input), type, input->origin);
}

void ir_input_pair(ir_func *f, ir_ref input) {
    ir_node *n = &f->nodes.items[input.id];
    struct ir_attrs_input *a = base_arena_alloc(f->module->arena, sizeof *a);
    *a = *IR_ATTRS(n, input);
    a->paired = true;
    n->attrs = a;
}

ir_ref ir_weight_ref(ir_func *f, uint32_t weight_index, ir_origin_id origin) {
    (void)origin;
    if (weight_index >= f->module->weights.count) ICE("no weight has the index %u", weight_index);
    struct ir_attrs_weight a = IR_DEFAULTS(weight);
    a.index = weight_index;
    ir_node n = {
        .op = IR_OP_weight, .attrs = &a, .type = f->module->weights.items[weight_index].type};
    return ir_node_add(f, &n);
}

void ir_set_output(ir_func *f, const char *name, ir_ref value) {
    if (value.id >= f->nodes.count) ICE("output %s of function %s has no value", name, f->name);
    BASE_PUSH(&f->outputs,
              ((ir_output){.name = base_arena_strdup(f->module->arena, name), .value = value}));
}

ir_ref ir_op1(ir_func *f, ir_op op, ir_ref a, const void *attrs, ir_origin_id origin) {
    return ir_build(f, op, &a, 1, attrs, IR_PLAIN, origin);
}

ir_ref ir_op2(ir_func *f, ir_op op, ir_ref a, ir_ref b, const void *attrs, ir_origin_id origin) {
    ir_ref operands[] = {a, b};
    return ir_build(f, op, operands, 2, attrs, IR_PLAIN, origin);
}

ir_ref ir_op3(ir_func *f, ir_op op, ir_ref a, ir_ref b, ir_ref c, const void *attrs,
              ir_origin_id origin) {
    ir_ref operands[] = {a, b, c};
    return ir_build(f, op, operands, 3, attrs, IR_PLAIN, origin);
}

typedef struct sweep {
    ir_func *f;
    ir_node *old;
    ir_ref *map; /* where old nodes are now */
    uint32_t kept;
    bool moved;
} sweep;

/* The next node is old node i, after the weights that it is the first to use. */
static void sweep_to(sweep *w, uint32_t i) {
    ir_node n = w->old[i];
    for (uint32_t k = 0; k < n.operand_count; k++) {
        if (!ir_ref_ok(n.operand[k])) continue;
        const uint32_t from = n.operand[k].id;
        if (!ir_ref_ok(w->map[from])) sweep_to(w, from); /* a weight, which has no operands */
        n.operand[k] = w->map[from];
    }
    w->moved |= w->kept != i;
    w->map[i] = (ir_ref){w->kept};
    w->f->nodes.items[w->kept++] = n;
}

void ir_func_sweep(ir_func *f) {
    bool *live = base_alloc(f->nodes.count);
    ir_ref *map = base_alloc(f->nodes.count * sizeof *map);
    for (size_t i = 0; i < f->outputs.count; i++) live[f->outputs.items[i].value.id] = true;
    for (size_t i = 0; i < f->inputs.count; i++) live[f->inputs.items[i].id] = true;
    for (size_t i = f->nodes.count; i-- > 0;) {
        const ir_node *n = &f->nodes.items[i];
        for (uint32_t k = 0; live[i] && k < n->operand_count; k++)
            if (ir_ref_ok(n->operand[k])) live[n->operand[k].id] = true;
    }
    sweep w = {f, base_alloc(f->nodes.count * sizeof *w.old + 1), map, 0, false};
    if (f->nodes.count) memcpy(w.old, f->nodes.items, f->nodes.count * sizeof *w.old);
    for (uint32_t i = 0; i < f->nodes.count; i++) map[i] = IR_NONE;
    for (uint32_t i = 0; i < f->nodes.count; i++)
        if (live[i] && w.old[i].op != IR_OP_weight) sweep_to(&w, i);
    for (size_t i = 0; i < f->outputs.count; i++) {
        ir_ref *value = &f->outputs.items[i].value;
        if (!ir_ref_ok(map[value->id])) sweep_to(&w, value->id);
        *value = map[value->id];
    }
    for (size_t i = 0; i < f->inputs.count; i++) f->inputs.items[i] = map[f->inputs.items[i].id];
    if (w.moved || w.kept != f->nodes.count) drop_intern(f);
    f->nodes.count = w.kept;
    base_free(w.old);
    base_free(live);
    base_free(map);
}
