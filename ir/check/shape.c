/* Result types: the driver, the checks rules share, and the rules of elementwise and data-moving
 * ops. */
#include "ir/check/shape.h"

#include <stdarg.h>
#include <string.h>

#include "ir/build.h"

/* ---- driver ---- */

typedef bool shape_rule(const ir_shape *s, ir_type *out);
static shape_rule *const rules[IR_OP_COUNT] = {
#define OP(name, ...) ir_shape_##name,
#include "ir/ops.def"
#undef OP
};

static bool operands_present(const ir_shape *s) {
    if (s->count > s->info->max_operands)
        return shape_fault(s, "expected at most %u operands, found %u", s->info->max_operands,
                           s->count);
    bool fine = true;
    for (uint32_t i = 0; i < s->info->max_operands; i++) {
        bool present = i < s->count && ir_ref_ok(s->operand[i]);
        if (!present && i < s->info->min_operands)
            fine = shape_fault(s, "operand '%s' is missing", s->info->operand_name[i]);
        if (present && s->operand[i].id >= s->f->nodes.count)
            fine = shape_fault(s, "operand '%s' does not exist", s->info->operand_name[i]);
        else if (present && s->info != ir_op_get(IR_OP_conv2d_i8) &&
                 ir_is_quantized(shape_operand(s, i)->dtype))
            fine = shape_expected(s, i, "no 8-bit integers, which conv2d_i8 reads");
    }
    return fine;
}

bool ir_infer(const ir_func *f, ir_op op, const ir_ref *operands, uint32_t count, const void *attrs,
              ir_type *out, base_str *faults) {
    const ir_op_info *info = ir_op_get(op);
    ir_shape s = {.f = f,
                  .info = info,
                  .operand = operands,
                  .count = count,
                  .attrs = attrs ? attrs : info->attr_default,
                  .faults = faults};
    *out = (ir_type){.dtype = IR_f32, .layout = IR_PLAIN};
    if (!operands_present(&s) || !rules[op](&s, out)) return false;
    base_str why = {0};
    bool fine = ir_type_valid(out, &why) || shape_fault(&s, "the result: %s", why.data);
    base_str_free(&why);
    return fine;
}

/* ---- shared checks ---- */

const ir_type *shape_operand(const ir_shape *s, uint32_t i) {
    return i < s->count && ir_ref_ok(s->operand[i]) ? ir_typeof(s->f, s->operand[i]) : NULL;
}

static void add_formatted(base_str *out, const char *fmt, va_list ap) {
    char text[512];
    vsnprintf(text, sizeof text, fmt, ap);
    base_str_add(out, text);
}

bool shape_fault(const ir_shape *s, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add_formatted(s->faults, fmt, ap);
    va_end(ap);
    base_str_add(s->faults, "\n");
    return false;
}

bool shape_expected(const ir_shape *s, uint32_t i, const char *fmt, ...) {
    va_list ap;
    base_str_addf(s->faults, "operand '%s': expected ", s->info->operand_name[i]);
    va_start(ap, fmt);
    add_formatted(s->faults, fmt, ap);
    va_end(ap);
    base_str_add(s->faults, ", found ");
    ir_print_type(shape_operand(s, i), s->faults);
    base_str_add(s->faults, "\n");
    return false;
}

bool shape_is_float(const ir_shape *s, uint32_t i) {
    return ir_is_float(shape_operand(s, i)->dtype) || shape_expected(s, i, "a float type");
}

bool shape_is_rank(const ir_shape *s, uint32_t i, uint32_t rank) {
    const ir_type *t = shape_operand(s, i);
    return (ir_is_float(t->dtype) && t->rank == rank) ||
           shape_expected(s, i, "%u float dimensions", rank);
}

bool shape_is_vector(const ir_shape *s, uint32_t i, int64_t n, bool padded) {
    const ir_type *t = shape_operand(s, i);
    bool fits = t->rank == 1 && (t->dim[0] == n || (padded && t->dim[0] == ir_round_block(n)));
    return (fits && ir_is_float(t->dtype)) || shape_expected(s, i, "f32[%lld]", (long long)n);
}

bool shape_is(const ir_shape *s, uint32_t i, const ir_type *t) {
    const ir_type *found = shape_operand(s, i);
    if (ir_is_float(found->dtype) && ir_shape_equal(found, t)) return true;
    ir_type plain = *t;
    plain.layout = IR_PLAIN;
    base_str text = {0};
    ir_print_type(&plain, &text);
    shape_expected(s, i, "%s", text.data);
    base_str_free(&text);
    return false;
}

void shape_set(ir_type *out, uint32_t rank, const int64_t *dim) {
    *out = ir_type_make(IR_f32, rank, dim);
}

bool shape_in(const ir_shape *s, const char *attr, int64_t value, int64_t lo, int64_t hi) {
    return (value >= lo && value <= hi) ||
           shape_fault(s, "attribute '%s' is %lld, expected %lld to %lld", attr, (long long)value,
                       (long long)lo, (long long)hi);
}

bool shape_broadcast(const ir_shape *s, uint32_t first, ir_type *out) {
    *out = (ir_type){.dtype = IR_f32};
    for (uint32_t i = first; i < s->count; i++) {
        const ir_type *t = shape_operand(s, i);
        if (!t) continue;
        if (!shape_is_float(s, i)) return false;
        if (t->rank > out->rank) { /* make room on the left */
            uint32_t extra = t->rank - out->rank;
            memmove(&out->dim[extra], &out->dim[0], out->rank * sizeof out->dim[0]);
            for (uint32_t k = 0; k < extra; k++) out->dim[k] = 1;
            out->rank = t->rank;
        }
        for (uint32_t k = 0; k < t->rank; k++) {
            int64_t *d = &out->dim[out->rank - t->rank + k];
            if (*d == 1) *d = t->dim[k];
            if (t->dim[k] != *d && t->dim[k] != 1) {
                base_str text = {0};
                ir_print_type(out, &text);
                shape_expected(s, i, "dimensions that broadcast with %s", text.data);
                base_str_free(&text);
                return false;
            }
        }
    }
    return true;
}

bool shape_window(const ir_shape *s, const char *axis, int64_t in, int64_t before, int64_t after,
                  int64_t size, int64_t stride, int64_t *out) {
    int64_t padded = in + before + after;
    if (padded < size)
        return shape_fault(s, "the window of %lld does not fit the padded %s of %lld",
                           (long long)size, axis, (long long)padded);
    *out = (padded - size) / stride + 1;
    return true;
}

/* ---- leaves ---- */

SHAPE_RULE(input) {
    (void)out;
    return shape_fault(s, "the type of an input is given, not inferred");
}

SHAPE_RULE(weight) {
    const ir_module *m = s->f->module;
    int64_t index = SHAPE_ATTRS(s, weight)->index;
    if (index < 0 || (uint64_t)index >= m->weights.count)
        return shape_fault(s, "the weight table has no entry %lld", (long long)index);
    *out = m->weights.items[index].type;
    return true;
}

/* ---- elementwise ---- */

#define ELEMENTWISE(name)                                                                          \
    SHAPE_RULE(name) {                                                                             \
        return shape_broadcast(s, 0, out);                                                         \
    }
#define ACT(name, ID, formula) ELEMENTWISE(name)
#include "base/activations.def"
ELEMENTWISE(exp)
ELEMENTWISE(sqrt)
ELEMENTWISE(neg)
ELEMENTWISE(add)
ELEMENTWISE(sub)
ELEMENTWISE(mul)
ELEMENTWISE(div)
ELEMENTWISE(max)
ELEMENTWISE(min)
ELEMENTWISE(affine)

SHAPE_RULE(clamp) {
    const struct ir_attrs_clamp *a = SHAPE_ATTRS(s, clamp);
    if (!(a->lo <= a->hi)) return shape_fault(s, "attribute 'lo' is greater than 'hi'");
    return shape_broadcast(s, 0, out);
}

SHAPE_RULE(ew) {
    ir_expr_step steps[IR_EXPR_MAX];
    base_str why = {0};
    uint32_t n = ir_expr_parse(SHAPE_ATTRS(s, ew)->expr, steps, &why);
    bool fine = n || shape_fault(s, "attribute 'expr': %s", why.data);
    base_str_free(&why);
    for (uint32_t i = 0; i < n; i++) {
        if (steps[i].kind != IR_EXPR_OPERAND || shape_operand(s, steps[i].operand)) continue;
        fine = shape_fault(s, "attribute 'expr' uses operand '%s', which is absent",
                           s->info->operand_name[steps[i].operand]);
    }
    return fine && shape_broadcast(s, 0, out);
}

SHAPE_RULE(geglu) {
    const ir_type *x = shape_operand(s, IR_IN(geglu, x));
    if (!shape_is_float(s, IR_IN(geglu, x))) return false;
    if (x->rank < 1 || x->dim[x->rank - 1] % 2 != 0)
        return shape_expected(s, IR_IN(geglu, x), "an even last dimension");
    shape_set(out, x->rank, x->dim);
    out->dim[x->rank - 1] /= 2;
    return true;
}

/* ---- data movement: any element type; narrow floats become f32 ---- */

static void set_moved(const ir_shape *s, ir_type *out, uint32_t rank, const int64_t *dim) {
    shape_set(out, rank, dim);
    if (shape_operand(s, 0)->dtype == IR_i32) out->dtype = IR_i32;
}

static bool same_elements(const ir_shape *s, ir_type *out) {
    const ir_dims *shape = &SHAPE_ATTRS(s, shape)->shape;
    const ir_type *x = shape_operand(s, 0);
    if (shape->n > IR_MAX_RANK)
        return shape_fault(s, "attribute 'shape' has more than 8 dimensions");
    set_moved(s, out, shape->n, shape->v);
    base_str why = {0};
    bool fine = ir_type_valid(out, &why) || shape_fault(s, "attribute 'shape': %s", why.data);
    base_str_free(&why);
    if (fine && ir_type_elements(out) != ir_type_elements(x))
        return shape_fault(s, "attribute 'shape' has %lld elements, operand 'x' has %lld",
                           (long long)ir_type_elements(out), (long long)ir_type_elements(x));
    return fine;
}

SHAPE_RULE(reshape) {
    return same_elements(s, out);
}

SHAPE_RULE(view) {
    return same_elements(s, out);
}

SHAPE_RULE(transpose) {
    const ir_dims *perm = &SHAPE_ATTRS(s, transpose)->perm;
    const ir_type *x = shape_operand(s, IR_IN(transpose, x));
    uint32_t seen = 0;
    bool fine = perm->n == x->rank;
    for (uint32_t i = 0; fine && i < perm->n; i++) {
        fine = perm->v[i] >= 0 && perm->v[i] < x->rank && !(seen >> perm->v[i] & 1);
        if (fine) seen |= 1u << perm->v[i];
    }
    if (!fine)
        return shape_fault(s, "attribute 'perm' is not a permutation of the %u axes of operand 'x'",
                           x->rank);
    set_moved(s, out, x->rank, x->dim);
    for (uint32_t i = 0; i < perm->n; i++) out->dim[i] = x->dim[perm->v[i]];
    return true;
}

SHAPE_RULE(concat) {
    int64_t axis = SHAPE_ATTRS(s, axis)->axis;
    const ir_type *a = shape_operand(s, IR_IN(concat, a));
    if (a->rank == 0) return shape_expected(s, IR_IN(concat, a), "at least one dimension");
    if (!shape_in(s, "axis", axis, 0, a->rank - 1)) return false;
    set_moved(s, out, a->rank, a->dim);
    bool fine = true;
    for (uint32_t i = IR_IN(concat, b); i < s->count; i++) {
        const ir_type *t = shape_operand(s, i);
        if (!t) continue;
        ir_type like = *a;
        like.layout = IR_PLAIN;
        if (t->rank == a->rank) like.dim[axis] = t->dim[axis];
        if (!ir_shape_equal(t, &like) || (t->dtype == IR_i32) != (a->dtype == IR_i32)) {
            base_str text = {0};
            ir_print_type(&like, &text);
            fine = shape_expected(s, i, "%s but for axis %lld", text.data, (long long)axis);
            base_str_free(&text);
        } else if (out->dim[axis] <= IR_MAX_ELEMENTS) {
            out->dim[axis] += t->dim[axis];
        }
    }
    return fine;
}

SHAPE_RULE(slice) {
    const struct ir_attrs_slice *a = SHAPE_ATTRS(s, slice);
    const ir_type *x = shape_operand(s, IR_IN(slice, x));
    if (x->rank == 0) return shape_expected(s, IR_IN(slice, x), "at least one dimension");
    if (!shape_in(s, "axis", a->axis, 0, x->rank - 1)) return false;
    int64_t extent = x->dim[a->axis];
    if (!shape_in(s, "start", a->start, 0, extent - 1) ||
        !shape_in(s, "count", a->count, 1, extent - a->start))
        return false;
    set_moved(s, out, x->rank, x->dim);
    out->dim[a->axis] = a->count;
    return true;
}

static bool same_shape(const ir_shape *s, ir_type *out) {
    const ir_type *x = shape_operand(s, 0);
    set_moved(s, out, x->rank, x->dim);
    return true;
}

SHAPE_RULE(layout_cast) {
    return same_shape(s, out);
}

SHAPE_RULE(copy) {
    return same_shape(s, out);
}
