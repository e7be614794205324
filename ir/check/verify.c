/* The verifier: tables, structure, levels, types and layouts. Bindings and places: verify_place.c.
 *
 * A function whose structure is broken (operands that do not exist, unknown enumerators, ...) is
 * checked no further, because everything else relies on it; all other faults are collected. */
#include "ir/check/verify.h"
#include "ir/build.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* More faults than this are counted but not reported: nobody reads them, and hostile text could
 * make millions. */
enum { MAX_REPORTED = 500, MESSAGE = 1024 };

static bool report(ir_fault_sink *sink, const ir_func *f, ir_ref r, const char *fmt, va_list ap) {
    if (sink->count++ >= MAX_REPORTED) return false;
    char text[MESSAGE];
    int n = 0;
    if (f && ir_ref_ok(r) && (unsigned)ir_get(f, r)->op < IR_OP_COUNT)
        n = snprintf(text, sizeof text, "%s: ", ir_op_get(ir_get(f, r)->op)->name);
    vsnprintf(text + n, sizeof text - (size_t)n, fmt, ap);
    sink->report(sink->user, f, r, text);
    return false;
}

bool verify_fault(ir_fault_sink *sink, const ir_func *f, ir_ref r, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    report(sink, f, r, fmt, ap);
    va_end(ap);
    return false;
}

/* Names of functions stand on a program's command line, those of inputs and outputs in the frames of
 * its --call ("NAME BYTES"). What passes between stages begins with '%' and is never spoken. */
static bool check_spoken(ir_fault_sink *sink, const ir_func *f, ir_ref r, const char *what,
                         const char *name) {
    const size_t length = strlen(name);
    if (name[0] == '%') return true;
    if (length > IR_MAX_NAME)
        return verify_fault(sink, f, r, "the name of the %s has %zu bytes; %d are possible", what,
                            length, IR_MAX_NAME);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
            return verify_fault(sink, f, r, "the name '%s' of the %s has a control character",
                                base_escape(name, length), what);
    return true;
}

/* ---- the module's tables ---- */

static void check_factor(ir_fault_sink *sink, const ir_weight *factor, const char *name) {
    bool sourced = factor->kind == IR_WEIGHT_FILE ? factor->file && factor->tensor
                   : factor->kind == IR_WEIGHT_RANDOM
                       ? isfinite(factor->bound) && isfinite(factor->center)
                       : factor->kind == IR_WEIGHT_DATA && factor->data;
    base_str why = {0};
    if (!ir_type_valid(&factor->type, &why))
        verify_fault(sink, NULL, IR_NONE, "weight @%s: part of it: %s", name, why.data);
    base_str_free(&why);
    if (!sourced) verify_fault(sink, NULL, IR_NONE, "weight @%s: a part of it has no source", name);
    if (factor->loras || factor->rows)
        verify_fault(sink, NULL, IR_NONE, "weight @%s: a part of it has updates or rows itself",
                     name);
}

static void check_rows(ir_fault_sink *sink, const ir_weight *w, const char *name) {
    for (const ir_rows *r = w->rows; r; r = r->next) {
        const ir_type *t = &r->values.type;
        check_factor(sink, &r->values, name);
        if (w->type.rank != 2 || t->rank != 2 || t->dim[1] != w->type.dim[1] ||
            !ir_is_float(t->dtype))
            verify_fault(sink, NULL, IR_NONE, "weight @%s: rows behind it are none of it", name);
    }
    if (w->rows && (ir_weight_stored_type(w).dim[0] < 1 || w->kind == IR_WEIGHT_DATA))
        verify_fault(sink, NULL, IR_NONE, "weight @%s: has rows behind none, or behind data", name);
}

static void check_lora(ir_fault_sink *sink, const ir_weight *w, const ir_lora *l,
                       const char *name) {
    base_str why = {0};
    for (int k = 0; k < IR_LORA_FACTORS; k++)
        if (l->factor[k].type.rank || ir_lora_required[l->method] & 1u << k)
            check_factor(sink, &l->factor[k], name);
    if (!isfinite(l->scale))
        verify_fault(sink, NULL, IR_NONE, "weight @%s: the scale of an update is not finite", name);
    const ir_type stored = ir_weight_stored_type(w);
    if (!ir_lora_fits(&stored, l, &why))
        verify_fault(sink, NULL, IR_NONE, "weight @%s: update: %s", name, why.data);
    base_str_free(&why);
}

static void check_weight(ir_fault_sink *sink, const ir_module *m, uint32_t i) {
    const ir_weight *w = &m->weights.items[i];
    const char *name = base_escape(w->name, strlen(w->name));
    base_str why = {0};
    if (!ir_type_valid(&w->type, &why))
        verify_fault(sink, NULL, IR_NONE, "weight @%s: %s", name, why.data);
    base_str_free(&why);
    if (ir_is_quantized(w->type.dtype))
        verify_fault(sink, NULL, IR_NONE,
                     "weight @%s: is %s; quantized weights are packed by the compiler", name,
                     ir_dtype_name[w->type.dtype]);
    if (w->type.layout != IR_PLAIN)
        verify_fault(sink, NULL, IR_NONE, "weight @%s: its layout is not plain", name);
    if (!*w->name) verify_fault(sink, NULL, IR_NONE, "weight %u has no name", i);
    if (ir_weight_find(m, w->name) != i)
        verify_fault(sink, NULL, IR_NONE, "weight @%s: the name is not unique", name);
    if (w->kind == IR_WEIGHT_FILE && (!w->file || !w->tensor))
        verify_fault(sink, NULL, IR_NONE, "weight @%s: file or tensor name is missing", name);
    if (w->kind == IR_WEIGHT_DATA && !w->data)
        verify_fault(sink, NULL, IR_NONE, "weight @%s: its data is missing", name);
    if (w->kind == IR_WEIGHT_RANDOM && (!isfinite(w->bound) || !isfinite(w->center)))
        verify_fault(sink, NULL, IR_NONE, "weight @%s: bound or center is not finite", name);
    for (const ir_lora *l = w->loras; l; l = l->next) check_lora(sink, w, l, name);
    check_rows(sink, w, name);
}

static void check_tables(ir_fault_sink *sink, const ir_module *m) {
    for (uint32_t i = 0; i < m->weights.count; i++) check_weight(sink, m, i);
    for (size_t i = 0; i < m->meta.count; i++) {
        const ir_meta *e = &m->meta.items[i];
        if (!*e->key) verify_fault(sink, NULL, IR_NONE, "a meta entry has no key");
        if (ir_meta_get(m, e->key) != e)
            verify_fault(sink, NULL, IR_NONE, "meta \"%s\" appears twice",
                         base_escape(e->key, strlen(e->key)));
    }
    for (size_t i = 0; i < m->funcs.count; i++) {
        const ir_func *f = m->funcs.items[i];
        if (!*f->name) verify_fault(sink, f, IR_NONE, "the function has no name");
        check_spoken(sink, f, IR_NONE, "function", f->name);
        if (ir_func_find(m, f->name) != f)
            verify_fault(sink, f, IR_NONE, "the function's name is not unique");
    }
}

/* ---- structure ---- */

static bool check_attr_values(ir_fault_sink *sink, const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    const ir_op_info *info = ir_op_get(n->op);
    bool fine = true;
    if (!n->attrs) return verify_fault(sink, f, r, "its attributes are missing");
    for (uint32_t i = 0; i < info->attr_count; i++) {
        const ir_attr_info *a = &info->attrs[i];
        const void *p = (const char *)n->attrs + a->offset;
        bool ok = true;
        const ir_attr_type *t = ir_attr_type_of(a->kind);
        if (t->form == IR_ATTR_FORM_TEXT) ok = *(const char *const *)p != NULL;
        if (t->form == IR_ATTR_FORM_NAME) ok = ir_attr_name_index(p) < t->name_count;
        if (t->form == IR_ATTR_FORM_LIST) ok = ((const ir_dims *)p)->n <= IR_MAX_RANK;
        if (!ok) fine = verify_fault(sink, f, r, "attribute '%s' has no legal value", a->name);
    }
    return fine;
}

static bool check_node_structure(ir_fault_sink *sink, const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    if ((unsigned)n->op >= IR_OP_COUNT)
        return verify_fault(sink, f, r, "unknown op %d", (int)n->op);
    const ir_op_info *info = ir_op_get(n->op);
    bool fine = check_attr_values(sink, f, r);
    base_str why = {0};
    if (!ir_type_valid(&n->type, &why)) fine = verify_fault(sink, f, r, "its type: %s", why.data);
    base_str_free(&why);
    if (n->origin >= f->module->origins.count)
        fine = verify_fault(sink, f, r, "its origin does not exist");
    if (n->operand_count > info->max_operands)
        return verify_fault(sink, f, r, "expected at most %u operands, found %u",
                            info->max_operands, n->operand_count);
    for (uint32_t k = 0; k < n->operand_count; k++)
        if (ir_ref_ok(n->operand[k]) && n->operand[k].id >= r.id)
            fine = verify_fault(sink, f, r, "operand '%s' is not defined before",
                                info->operand_name[k]);
    return fine;
}

static bool check_inputs(ir_fault_sink *sink, const ir_func *f) {
    bool fine = true;
    bool *listed = base_alloc(f->nodes.count);
    for (size_t i = 0; i < f->inputs.count; i++) {
        ir_ref r = f->inputs.items[i];
        if (r.id >= f->nodes.count || ir_get(f, r)->op != IR_OP_input || listed[r.id]) {
            fine = verify_fault(sink, f, IR_NONE, "input %zu is not an input node of its own", i);
            continue;
        }
        listed[r.id] = true;
        const char *name = IR_ATTRS(ir_get(f, r), input)->name;
        if (!*name) fine = verify_fault(sink, f, r, "the input has no name");
        fine &= check_spoken(sink, f, r, "input", name);
        for (size_t k = 0; k < i && fine; k++)
            if (strcmp(IR_ATTRS(ir_get(f, f->inputs.items[k]), input)->name, name) == 0)
                verify_fault(sink, f, r, "the name '%s' is not unique",
                             base_escape(name, strlen(name)));
    }
    for (uint32_t i = 0; i < f->nodes.count; i++)
        if (f->nodes.items[i].op == IR_OP_input && !listed[i])
            fine = verify_fault(sink, f, (ir_ref){i}, "it is not among the function's inputs");
    base_free(listed);
    return fine;
}

static bool check_outputs(ir_fault_sink *sink, const ir_func *f) {
    bool fine = true;
    for (size_t i = 0; i < f->outputs.count; i++) {
        const ir_output *o = &f->outputs.items[i];
        const char *name = base_escape(o->name, strlen(o->name));
        if (o->value.id >= f->nodes.count)
            fine = verify_fault(sink, f, IR_NONE, "output '%s' has no value", name);
        if (!*o->name) verify_fault(sink, f, IR_NONE, "output %zu has no name", i);
        fine &= check_spoken(sink, f, IR_NONE, "output", o->name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(f->outputs.items[k].name, o->name) == 0)
                verify_fault(sink, f, IR_NONE, "output '%s': the name is not unique", name);
    }
    if (f->outputs.count == 0) verify_fault(sink, f, IR_NONE, "the function has no outputs");
    return fine;
}

/* True when everything else may be looked at without care. */
static bool check_structure(ir_fault_sink *sink, const ir_func *f) {
    bool fine = true;
    for (uint32_t i = 0; i < f->nodes.count; i++)
        fine &= check_node_structure(sink, f, (ir_ref){i});
    if (!fine) return false;
    fine &= check_inputs(sink, f);
    fine &= check_outputs(sink, f);
    return fine;
}

/* ---- levels ---- */

static void check_level(ir_fault_sink *sink, const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    const ir_op_info *info = ir_op_get(n->op);
    ir_level level = f->module->level;
    if (!(info->levels >> level & 1)) {
        verify_fault(sink, f, r, "the op is not legal at level %s", ir_level_name[level]);
        return;
    }
    for (uint32_t i = 0; i < info->attr_count; i++)
        if (level < info->attrs[i].level &&
            !ir_attr_equal(&info->attrs[i], n->attrs, info->attr_default))
            verify_fault(sink, f, r, "attribute '%s' is legal from level %s on",
                         info->attrs[i].name, ir_level_name[info->attrs[i].level]);
    if (level != IR_GRAPH) return;
    for (uint32_t k = info->graph_operands; k < n->operand_count; k++)
        if (ir_ref_ok(n->operand[k]))
            verify_fault(sink, f, r, "operand '%s' is legal from level fused on",
                         info->operand_name[k]);
    if (n->type.layout != IR_PLAIN)
        verify_fault(sink, f, r, "layout c16 is legal from level fused on");
}

/* ---- types ---- */

static void expected_type(ir_fault_sink *sink, const ir_func *f, ir_ref r,
                          const ir_type *expected) {
    base_str text = {0};
    base_str_add(&text, "expected type ");
    ir_print_type(expected, &text);
    base_str_add(&text, ", found ");
    ir_print_type(ir_typeof(f, r), &text);
    verify_fault(sink, f, r, "%s", text.data);
    base_str_free(&text);
}

static void check_type(ir_fault_sink *sink, const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    if (n->op == IR_OP_input) {
        bool packed = (n->type.dtype == IR_bf16 || ir_is_quantized(n->type.dtype)) &&
                      f->module->level != IR_GRAPH;
        if (n->type.dtype != IR_f32 && n->type.dtype != IR_i32 && !packed)
            verify_fault(sink, f, r, "an input is f32 or i32%s; other types are for weights",
                         f->module->level == IR_GRAPH ? ""
                                                      : ", or bf16, u8 or i8 where it was packed");
        return;
    }
    ir_type expected;
    base_str faults = {0};
    if (ir_infer(f, n->op, n->operand, n->operand_count, n->attrs, &expected, &faults)) {
        if (n->op != IR_OP_weight) expected.layout = n->type.layout;
        if (!ir_type_equal(&expected, &n->type)) expected_type(sink, f, r, &expected);
    }
    for (char *line = faults.data, *end; line && *line;
         line = end + 1) { /* every line of ir_infer is a fault */
        end = strchr(line, '\n');
        *end = '\0';
        verify_fault(sink, f, r, "%s", line);
    }
    base_str_free(&faults);
}

/* ---- layouts ---- */

/* [batch, channels, all else]: what a c16 value's bytes depend on. */
static void blocked_extents(const ir_type *t, int64_t out[3]) {
    int axis = ir_channel_axis(t);
    out[0] = t->dim[0];
    out[1] = t->dim[axis];
    out[2] = ir_type_elements(t) / (out[0] * out[1]);
}

/* c16 bytes that are plain bytes as well: no padding, one position. */
static bool is_plain_too(const ir_type *t) {
    if (t->layout == IR_PLAIN) return true;
    int64_t e[3];
    blocked_extents(t, e);
    return e[1] % IR_BLOCK == 0 && e[2] == 1;
}

static void check_view(ir_fault_sink *sink, const ir_func *f, ir_ref r) {
    const ir_type *to = ir_typeof(f, r), *from = ir_typeof(f, ir_get(f, r)->operand[0]);
    if (is_plain_too(from) && is_plain_too(to)) return;
    int64_t a[3], b[3];
    if (from->layout == IR_C16 && to->layout == IR_C16) {
        blocked_extents(from, a);
        blocked_extents(to, b);
        if (memcmp(a, b, sizeof a) == 0) return;
    }
    base_str text = {0};
    ir_print_type(from, &text);
    verify_fault(sink, f, r, "these are not the bytes of operand 'x', which is %s", text.data);
    base_str_free(&text);
}

/* c16 of rank 3 has its channels last: no op that takes channels from axis 1 may see it. */
static void check_channel_axis(ir_fault_sink *sink, const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    const ir_op_info *info = ir_op_get(n->op);
    if (n->op != IR_OP_group_norm && n->op != IR_OP_group_stats && n->op != IR_OP_norm_apply)
        return;
    for (uint32_t k = 0; k < n->operand_count; k++)
        if (ir_ref_ok(n->operand[k]) && ir_typeof(f, n->operand[k])->layout == IR_C16 &&
            ir_typeof(f, n->operand[k])->rank == 3)
            verify_fault(sink, f, r, "operand '%s' is c16 tokens, whose channels are not axis 1",
                         info->operand_name[k]);
}

static void check_layout(ir_fault_sink *sink, const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    check_channel_axis(sink, f, r);
    if (n->op == IR_OP_view) check_view(sink, f, r);
    if (n->op == IR_OP_copy && n->type.layout != ir_typeof(f, n->operand[0])->layout)
        verify_fault(sink, f, r, "a copy has the layout of its operand");
    if (n->op == IR_OP_group_stats && n->type.layout != IR_PLAIN)
        verify_fault(sink, f, r, "the layout of statistics is plain");
}

/* ---- 8-bit integers ---- */

/* Rows of bytes are filled up, so that types do not tell how many channels there are: where the
 * makers of the operands are known, they say it. */
static void check_i8_channels(ir_fault_sink *sink, const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    if (n->op != IR_OP_conv2d_i8) return;
    const struct ir_attrs_conv2d_i8 *a = IR_ATTRS(n, conv2d_i8);
    const ir_node *x = ir_get(f, n->operand[IR_IN(conv2d_i8, x)]);
    if (x->op == IR_OP_quantize) {
        const ir_type *from = ir_typeof(f, x->operand[IR_IN(quantize, x)]);
        const ir_ref x1 = IR_OPERAND(x, quantize, x1);
        int64_t channels = from->rank == 4 ? from->dim[1] : from->dim[2];
        if (ir_ref_ok(x1)) channels += ir_typeof(f, x1)->dim[1];
        if (channels != a->channels)
            verify_fault(sink, f, r, "attribute 'channels' is %lld, operand 'x' has %lld",
                         (long long)a->channels, (long long)channels);
    }
    const int64_t rows = a->phases ? 4 * ir_round_block(a->n) : a->n; /* a filter a phase */
    for (uint32_t k = IR_IN(conv2d_i8, w); k <= IR_IN(conv2d_i8, scale); k++) {
        const ir_node *pack = ir_get(f, n->operand[k]);
        if (pack->op != IR_OP_pack_i8_weight && pack->op != IR_OP_pack_i8_scale) continue;
        const ir_type *w = ir_typeof(f, pack->operand[0]);
        if (w->dim[0] != rows || w->dim[1] != a->channels)
            verify_fault(sink, f, r,
                         "operand '%s' is made of a filter of %lld by %lld channels, not %lld by "
                         "%lld",
                         ir_op_get(n->op)->operand_name[k], (long long)w->dim[0],
                         (long long)w->dim[1], (long long)rows, (long long)a->channels);
    }
}

/* ---- all of it ---- */

static bool operands_complete(const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    for (uint32_t k = 0; k < ir_op_get(n->op)->min_operands; k++)
        if (k >= n->operand_count || !ir_ref_ok(n->operand[k])) return false;
    return true;
}

static void check_func(ir_fault_sink *sink, const ir_func *f) {
    if (!check_structure(sink, f)) return;
    uint32_t before = sink->count;
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        check_level(sink, f, (ir_ref){i});
        check_type(sink, f, (ir_ref){i});
        if (operands_complete(f, (ir_ref){i})) check_layout(sink, f, (ir_ref){i});
    }
    /* Views and sizes are meaningful when types are. */
    if (sink->count != before) return;
    for (uint32_t i = 0; i < f->nodes.count; i++) check_i8_channels(sink, f, (ir_ref){i});
    verify_bindings(sink, f);
    verify_places(sink, f);
}

bool ir_verify_into(const ir_module *m, ir_fault_sink *sink) {
    if ((unsigned)m->level >= IR_LEVEL_COUNT)
        return verify_fault(sink, NULL, IR_NONE, "the module's level is unknown");
    check_tables(sink, m);
    if (sink->count) return false;
    for (size_t i = 0; i < m->funcs.count; i++) check_func(sink, m->funcs.items[i]);
    if (sink->count == 0 && m->level == IR_PLACED) verify_weight_places(sink, m);
    return sink->count == 0;
}

/* Collects lines; numbers of the function last reported on are kept. */
typedef struct collector {
    base_str *out;
    const ir_func *f;
    uint32_t *number;
} collector;

static void collect(void *user, const ir_func *f, ir_ref r, const char *message) {
    collector *c = user;
    base_str line = {0};
    if (f) base_str_addf(&line, "%s: ", base_escape(f->name, strlen(f->name)));
    if (f && ir_ref_ok(r)) {
        if (c->f != f) {
            base_free(c->number);
            c->number = ir_numbering(f);
            c->f = f;
        }
        if (c->number[r.id] == UINT32_MAX)
            base_str_add(&line, "a weight's ");
        else
            base_str_addf(&line, "%%%u ", c->number[r.id]);
    }
    base_str_addf(&line, "%s\n", message);
    if (!c->out) ICE("invalid IR: %s", line.data);
    base_str_addn(c->out, line.data, line.len);
    base_str_free(&line);
}

bool ir_verify(const ir_module *m, base_str *faults) {
    collector c = {.out = faults};
    ir_fault_sink sink = {.report = collect, .user = &c};
    bool fine = ir_verify_into(m, &sink);
    base_free(c.number);
    return fine;
}
