/* LoRAs that a program applies; see lora.h and base/lora_slots.h. A function
 *
 *   func @unet(%0 x) { %1 = linear %0, @w, @b ... %2 = add %1, %r ... }
 *
 * keeps its every bit, and gets a twin that computes W x + s up(down x):
 *
 *   func @unet.lora(%0 x, %1 "lora.style" : f32[1] prompt) {
 *     %2 = linear %0, @w, @b
 *     %3 = linear %0, @"lora.style/w.down"
 *     %4 = affine %3 {mul=alpha/rank}
 *     %5 = mul %4, %1
 *     %6 = linear %5, @"lora.style/w.up"
 *     %7 = add %6, %r
 *     %8 = add %2, %7
 *
 * So an update comes in where the layer's residual does: `up` takes in the residual, the layer takes
 * in what `up` gives, and no op does nothing but add. Where there is no residual, up's result is
 * one. A vector that is added to every pixel between the two (a time bias) stays with the layer. */
#include "frontend/lora/lora.h"

#include "base/digest.h"
#include "base/lora_slots.h"
#include "frontend/files/files.h"
#include "frontend/files/formats.h"
#include "frontend/safetensors/weights.h"
#include "runtime/abi/meta_keys.h"

#include <string.h>

/* An update of a weight by a slot. */
typedef struct update {
    uint32_t slot, next; /* of the same weight: index plus one, 0 at the end */
    double scale;
    uint32_t factor[3]; /* up, down, mid in the weight table; UINT32_MAX: there is none */
} update;

typedef struct slots {
    base_diag *d;
    ir_module *m;
    const char *const *name;
    uint32_t slot;   /* that is read */
    uint32_t *first; /* for each weight of the model: its updates */
    bool *is_filter; /* for each weight: all that reads it are filters of layers */
    base_digest digest;
    size_t weights; /* of the model, without factors */
    BASE_VEC(update) updates;
} slots;

/* ---- which weights can be updated ---- */

/* The weight behind a layer's filter, a change of its shape passed over; UINT32_MAX: none. */
static uint32_t weight_behind(const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    while (n->op == IR_OP_reshape) n = ir_get(f, n->operand[0]);
    return n->op == IR_OP_weight ? (uint32_t)IR_ATTRS(n, weight)->index : UINT32_MAX;
}

static bool is_layer(const ir_node *n) {
    return n->op == IR_OP_conv2d || n->op == IR_OP_linear;
}

static void find_filters(slots *s, const ir_func *f) {
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        for (uint32_t k = 0; k < n->operand_count; k++) {
            uint32_t w = ir_ref_ok(n->operand[k]) ? weight_behind(f, n->operand[k]) : UINT32_MAX;
            bool filter = n->op == IR_OP_reshape || (is_layer(n) && k == IR_IN(linear, w));
            if (w != UINT32_MAX && !filter) s->is_filter[w] = false;
        }
    }
    for (size_t i = 0; i < f->outputs.count; i++) {
        uint32_t w = weight_behind(f, f->outputs.items[i].value);
        if (w != UINT32_MAX) s->is_filter[w] = false;
    }
}

static bool takes(void *user, uint32_t weight, const ir_lora *l, base_str *why) {
    const slots *s = user;
    const bool scaled =
        l->factor[IR_LORA_MAGNITUDE].type.rank || l->factor[IR_LORA_MAGNITUDE_IN].type.rank;
    static const char *const what[IR_LORA_METHODS] = {[IR_LORA_LOHA] = "LoHa",
                                                      [IR_LORA_LOKR] = "LoKr",
                                                      [IR_LORA_DIFF] = "a whole difference",
                                                      [IR_LORA_GAIN] = "IA3",
                                                      [IR_LORA_GAIN_IN] = "IA3"};
    if (scaled || l->method != IR_LORA_LOW_RANK)
        base_str_addf(why, "is %s, no product of factors", scaled ? "DoRA" : what[l->method]);
    else if (!s->is_filter[weight])
        base_str_add(why, "is no filter of a linear layer or a convolution");
    return !why->len;
}

/* ---- factors as weights ---- */

/* "lora.style/unet/conv_in.up.weight" beside "unet/conv_in.weight" */
static uint32_t add_factor(slots *s, const char *weight, const char *part, const ir_weight *f) {
    static const char end[] = ".weight";
    size_t n = strlen(weight), cut = sizeof end - 1;
    if (n > cut && strcmp(weight + n - cut, end) == 0) n -= cut;
    const char *name = base_arena_printf(s->m->arena, BASE_LORA_INPUT "%s/%.*s.%s%s",
                                         s->name[s->slot], (int)n, weight, part, end);
    uint32_t index = ir_weight_add(s->m, name, &f->type);
    ir_weight *w = &s->m->weights.items[index];
    name = w->name;
    *w = *f;
    w->name = name;
    return index;
}

static void take(void *user, uint32_t weight, const ir_lora *l) {
    slots *s = user;
    const char *name = s->m->weights.items[weight].name;
    update u = {.slot = s->slot, .scale = l->scale, .next = s->first[weight]};
    base_digest_add(&s->digest, name, strlen(name) + 1);
    base_digest_add(&s->digest, &l->scale, sizeof l->scale);
    for (int k = IR_LORA_UP; k <= IR_LORA_MID; k++) {
        const ir_weight *f = &l->factor[k];
        u.factor[k] = UINT32_MAX;
        if (!f->type.rank) continue;
        u.factor[k] = add_factor(s, name, ir_lora_factor_name[k], f);
        fe_digest_weight(&s->digest, f);
    }
    BASE_PUSH(&s->updates, u);
    s->first[weight] = (uint32_t)s->updates.count;
}

/* ---- twins ---- */

typedef struct twin {
    const slots *s;
    const ir_func *from;
    ir_func *to;
    ir_ref *map;    /* node of `from` -> node of `to` */
    ir_ref *extra;  /* what is still to be added to it */
    ir_ref *scale;  /* of each slot; none: it changes nothing in this function */
    uint32_t *uses; /* of the nodes of `from` */
} twin;

static ir_ref add(const twin *t, ir_ref a, ir_ref b, ir_origin_id origin) {
    return ir_op2(t->to, IR_OP_add, a, b, NULL, origin);
}

/* From here on the value is whole. */
static void settle(twin *t, ir_ref old) {
    if (!ir_ref_ok(old) || !ir_ref_ok(t->extra[old.id])) return;
    t->map[old.id] = add(t, t->map[old.id], t->extra[old.id], ir_get(t->from, old)->origin);
    t->extra[old.id] = IR_NONE;
}

/* x times a factor: as the layer has it (its window, stride and padding), or point by point. */
static ir_ref apply(const twin *t, const ir_node *layer, bool window, uint32_t factor, ir_ref x) {
    ir_ref w = ir_weight_ref(t->to, factor, layer->origin);
    const ir_type *type = ir_typeof(t->to, w);
    if (layer->op == IR_OP_linear) return ir_op2(t->to, IR_OP_linear, x, w, NULL, layer->origin);
    if (type->rank == 2) { /* a filter of 1x1 */
        struct ir_attrs_shape a = IR_DEFAULTS(shape);
        a.shape.n = 4;
        for (uint32_t i = 0; i < 4; i++) a.shape.v[i] = i < 2 ? type->dim[i] : 1;
        w = ir_op1(t->to, IR_OP_reshape, w, &a, layer->origin);
    }
    return ir_op2(t->to, IR_OP_conv2d, x, w, window ? layer->attrs : NULL, layer->origin);
}

/* s alpha/rank up(mid(down x)) */
static ir_ref low_rank(const twin *t, const ir_node *layer, const update *u, ir_ref x) {
    const bool mid = u->factor[IR_LORA_MID] != UINT32_MAX;
    x = apply(t, layer, !mid, u->factor[IR_LORA_DOWN], x);
    if (mid) x = apply(t, layer, true, u->factor[IR_LORA_MID], x);
    const struct ir_attrs_affine by = {.mul = u->scale};
    if (u->scale != 1.0) x = ir_op1(t->to, IR_OP_affine, x, &by, layer->origin);
    x = ir_op2(t->to, IR_OP_mul, x, t->scale[u->slot], NULL, layer->origin);
    return apply(t, layer, false, u->factor[IR_LORA_UP], x);
}

/* The index plus one of the first update of a layer; 0: there is none. */
static uint32_t updates_of(const slots *s, const ir_func *f, const ir_node *n) {
    uint32_t w = is_layer(n) ? weight_behind(f, n->operand[IR_IN(linear, w)]) : UINT32_MAX;
    return w < s->weights ? s->first[w] : 0;
}

/* All updates of a layer together; none: it has none. */
static ir_ref updates(const twin *t, const ir_node *n) {
    ir_ref sum = IR_NONE;
    for (uint32_t k = updates_of(t->s, t->from, n); k; k = t->s->updates.items[k - 1].next) {
        ir_ref one = low_rank(t, n, &t->s->updates.items[k - 1], t->map[n->operand[0].id]);
        sum = ir_ref_ok(sum) ? add(t, sum, one, n->origin) : one;
    }
    return sum;
}

static ir_ref copy(const twin *t, const ir_node *n) {
    ir_ref operand[IR_MAX_OPERANDS];
    if (n->op == IR_OP_weight)
        return ir_weight_ref(t->to, (uint32_t)IR_ATTRS(n, weight)->index, n->origin);
    for (uint32_t k = 0; k < n->operand_count; k++)
        operand[k] = ir_ref_ok(n->operand[k]) ? t->map[n->operand[k].id] : IR_NONE;
    return ir_build(t->to, n->op, operand, n->operand_count, n->attrs, n->type.layout, n->origin);
}

/* A sum whose one side misses its update: the update joins the other side where that is as large,
 * and waits where it is smaller. False: it is no such sum. */
static bool carry(twin *t, uint32_t i) {
    const ir_node *n = &t->from->nodes.items[i];
    if (n->op != IR_OP_add) return false;
    uint32_t k = ir_ref_ok(t->extra[n->operand[0].id]) ? 0 : 1;
    ir_ref open = n->operand[k], other = n->operand[1 - k];
    if (!ir_ref_ok(t->extra[open.id]) || ir_ref_eq(open, other) ||
        !ir_shape_equal(ir_typeof(t->from, open), &n->type))
        return false;
    settle(t, other);
    if (ir_shape_equal(ir_typeof(t->from, other), &n->type)) {
        ir_ref rest = add(t, t->map[other.id], t->extra[open.id], n->origin);
        t->map[i] = add(t, t->map[open.id], rest, n->origin);
    } else {
        t->map[i] = add(t, t->map[open.id], t->map[other.id], n->origin);
        t->extra[i] = t->extra[open.id];
    }
    return true;
}

static void copy_node(twin *t, uint32_t i) {
    const ir_node *n = &t->from->nodes.items[i];
    if (n->op == IR_OP_input) return;
    if (!carry(t, i)) {
        for (uint32_t k = 0; k < n->operand_count; k++) settle(t, n->operand[k]);
        t->map[i] = copy(t, n);
        t->extra[i] = updates(t, n);
    }
    if (t->uses[i] != 1) settle(t, (ir_ref){i});
}

/* Marks the slots that change something in f; true when there is one. */
static bool find_slots(const slots *s, const ir_func *f, bool *changes) {
    bool any = false;
    for (uint32_t i = 0; i < f->nodes.count; i++)
        for (uint32_t k = updates_of(s, f, &f->nodes.items[i]); k; k = s->updates.items[k - 1].next)
            any = changes[s->updates.items[k - 1].slot] = true;
    return any;
}

static void add_twin(const slots *s, const ir_func *f, uint32_t slot_count) {
    bool changes[BASE_LORA_SLOTS] = {false};
    ir_ref scale[BASE_LORA_SLOTS];
    if (!find_slots(s, f, changes)) return;
    const size_t nodes = f->nodes.count;
    twin t = {.s = s, .from = f, .scale = scale};
    t.to = ir_func_new(s->m, base_arena_printf(s->m->arena, "%s" BASE_LORA_TWIN, f->name));
    t.map = base_alloc(nodes * sizeof *t.map + 1);
    t.extra = base_alloc(nodes * sizeof *t.extra + 1);
    t.uses = ir_use_counts(f);
    for (size_t i = 0; i < nodes; i++) t.map[i] = t.extra[i] = IR_NONE;
    for (size_t i = 0; i < f->inputs.count; i++) {
        const ir_node *n = ir_get(f, f->inputs.items[i]);
        t.map[f->inputs.items[i].id] = ir_input_like(t.to, n, &n->type);
    }
    const ir_type one = ir_type_make(IR_f32, 1, (int64_t[]){1});
    for (uint32_t k = 0; k < slot_count; k++)
        if (changes[k])
            scale[k] =
                ir_input(t.to, base_arena_printf(s->m->arena, BASE_LORA_INPUT "%s", s->name[k]),
                         &one, IR_PROMPT, 0);
    for (uint32_t i = 0; i < nodes; i++) copy_node(&t, i);
    for (size_t i = 0; i < f->outputs.count; i++) {
        settle(&t, f->outputs.items[i].value);
        ir_set_output(t.to, f->outputs.items[i].name, t.map[f->outputs.items[i].value.id]);
    }
    base_free(t.map);
    base_free(t.extra);
    base_free(t.uses);
}

/* ---- names ---- */

/* What a name may not have: programs read NAME:SCALE, and lists of them are written in pictures. */
static bool is_name(const char *name) {
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || strchr(":,=\"<>/", *p)) return false;
    return *name != '\0';
}

static bool name_slots(slots *s, const fe_options *o, const char **names) {
    bool fine = true;
    for (uint32_t i = 0; i < o->slot_count; i++) {
        const fe_lora_slot *slot = &o->slots[i];
        char *name = fe_path_base(s->m->arena, slot->name ? slot->name : slot->path);
        if (slot->name)
            name = base_arena_strdup(s->m->arena, slot->name);
        else
            name[fe_stem_length(name)] = '\0';
        names[i] = name;
        if (!is_name(name)) {
            base_error(s->d, NULL,
                       "--lora-slot: '%s' cannot name a slot: names are not empty and have none "
                       "of : , = / \" < >; --lora-slot=NAME=FILE gives another",
                       base_shown(name));
            fine = false;
        }
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(names[k], name) != 0) continue;
            base_error(s->d, NULL,
                       "--lora-slot: two slots have the name '%s'; --lora-slot=NAME=FILE gives "
                       "another",
                       base_shown(name));
            fine = false;
            break;
        }
    }
    return fine;
}

static void note_slot(slots *s, unsigned char id[16]) {
    char key[64], digest[FE_DIGEST_TEXT];
    fe_digest_text(id, digest);
    ebru_meta_numbered(EBRU_META_LORA_NAME, s->slot, key);
    ir_meta_set_string(s->m, key, s->name[s->slot]);
    ebru_meta_numbered(EBRU_META_LORA_DIGEST, s->slot, key);
    ir_meta_set_string(s->m, key, digest);
}

/* A twin would take the place of a function that is there. */
static bool names_free(const slots *s) {
    for (size_t i = 0; i < s->m->funcs.count; i++) {
        if (!base_is_lora_twin(s->m->funcs.items[i]->name)) continue;
        base_error(s->d, NULL, "--lora-slot: the model has a function '%s', as slots make them",
                   base_shown(s->m->funcs.items[i]->name));
        return false;
    }
    return true;
}

bool fe_lora_slots_apply(base_diag *d, ir_module *m, const fe_options *o) {
    const char *names[BASE_LORA_SLOTS];
    if (!o->slot_count) return true;
    slots s = {.d = d, .m = m, .name = names, .weights = m->weights.count};
    bool fine = name_slots(&s, o, names) && names_free(&s);
    s.first = base_alloc((s.weights + 1) * sizeof *s.first);
    s.is_filter = base_alloc(s.weights + 1);
    memset(s.is_filter, true, s.weights);
    for (size_t i = 0; i < m->funcs.count; i++) find_filters(&s, m->funcs.items[i]);
    const fe_lora_taker taker = {&s, takes, take};
    for (s.slot = 0; fine && s.slot < o->slot_count; s.slot++) {
        unsigned char id[16];
        base_digest_begin(&s.digest);
        if (!fe_lora_read(d, m, o->slots[s.slot].path, "--lora-slot=", &taker)) fine = false;
        base_digest_end(&s.digest, id);
        note_slot(&s, id);
    }
    const size_t functions = m->funcs.count;
    for (size_t i = 0; fine && i < functions; i++) add_twin(&s, m->funcs.items[i], o->slot_count);
    base_free(s.first);
    base_free(s.is_filter);
    base_free(s.updates.items);
    return fine;
}
