/* What the binders share: the kernel table, params structs as named parameters, layouts as kernels
 * see them. */
#include "codegen/target/bind.h"

#include <limits.h>
#include <stdarg.h>
#include <string.h>

/* ---- the kernel table: field names and types of every params struct ---- */

#define FIELD_NAME(type, name) #name,
#define FIELD_TYPE_i32         "i"
#define FIELD_TYPE_u32         "i"
#define FIELD_TYPE_f32         "f"
#define FIELD_TYPE(type, name) FIELD_TYPE_##type
#define READ_i32(list)         (int32_t)(list)->i
#define READ_u32(list)         (uint32_t)(list)->i
#define READ_f32(list)         (float)((list)->is_float ? (list)->f : (double)(list)->i)
#define READ_FIELD(type, name) p->name = READ_##type(list), list++;
#define KERNEL(name, operands, summary)                                                            \
    static const char *const fields_##name[] = {EBRU_FIELDS_##name(FIELD_NAME) NULL};              \
    _Static_assert(sizeof(struct ebru_##name##_params) ==                                          \
                       4 * (sizeof fields_##name / sizeof *fields_##name - 1),                     \
                   "fields of four bytes");                                                        \
    static void read_##name(const ir_param *list, cg_params *out) {                                \
        struct ebru_##name##_params *p = &out->name;                                               \
        memset(out, 0, sizeof *out);                                                               \
        EBRU_FIELDS_##name(READ_FIELD)                                                             \
    }                                                                                              \
    static int32_t tasks_##name(const cg_params *p) {                                              \
        return ebru_##name##_tasks(&p->name);                                                      \
    }                                                                                              \
    static int64_t scratch_##name(const cg_params *p) {                                            \
        return ebru_##name##_scratch(&p->name);                                                    \
    }
#include "runtime/abi/kernels.def"

static const cg_kernel kernels[] = {
#define KERNEL(name, operands, summary)                                                            \
    {#name,                                                                                        \
     fields_##name,                                                                                \
     EBRU_FIELDS_##name(FIELD_TYPE),                                                               \
     sizeof fields_##name / sizeof *fields_##name - 1,                                             \
     read_##name,                                                                                  \
     tasks_##name,                                                                                 \
     scratch_##name},
#include "runtime/abi/kernels.def"
};

const cg_kernel *cg_kernel_find(const char *name) {
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (strcmp(kernels[i].name, name) == 0) return &kernels[i];
    return NULL;
}

int cg_kernel_field(const cg_kernel *k, const char *name) {
    for (uint32_t i = 0; i < k->field_count; i++)
        if (strcmp(k->field[i], name) == 0) return (int)i;
    return -1;
}

int32_t cg_params_get(const cg_kernel *k, const cg_params *p, const char *name) {
    const int at = cg_kernel_field(k, name);
    return at < 0 || k->types[at] != 'i' ? 0 : ((const int32_t *)(const void *)p)[at];
}

void cg_params_set(const cg_kernel *k, cg_params *p, const char *name, int32_t value) {
    const int at = cg_kernel_field(k, name);
    if (at >= 0 && k->types[at] == 'i') ((int32_t *)(void *)p)[at] = value;
}

/* ---- finishing ---- */

static void set_i(ir_param *p, const char *name, int64_t v) {
    *p = (ir_param){.name = name, .i = v};
}
static void set_f(ir_param *p, const char *name, double v) {
    *p = (ir_param){.name = name, .is_float = true, .f = v};
}
#define PUT_i32(p, name, v)   set_i(p, name, (v))
#define PUT_u32(p, name, v)   set_i(p, name, (int64_t)(v))
#define PUT_f32(p, name, v)   set_f(p, name, (double)(v))
#define PUT_FIELD(type, name) PUT_##type(at++, #name, p->name);

#define KERNEL(row, operands, summary)                                                             \
    bool cg_done_##row(cg_bind *b, const struct ebru_##row##_params *p) {                          \
        ir_binding *o = b->out;                                                                    \
        o->kernel = #row;                                                                          \
        o->param_count = sizeof fields_##row / sizeof *fields_##row - 1;                           \
        o->params = base_arena_alloc(b->f->module->arena, o->param_count * sizeof *o->params);     \
        ir_param *at = o->params;                                                                  \
        EBRU_FIELDS_##row(PUT_FIELD);                                                              \
        o->tasks = ebru_##row##_tasks(p);                                                          \
        o->scratch = (uint64_t)ebru_##row##_scratch(p);                                            \
        if (o->tasks < 1) return cg_refuse(b, "its work does not fit 32-bit task numbers");        \
        return true;                                                                               \
    }
#include "runtime/abi/kernels.def"

bool cg_refuse(cg_bind *b, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (b->reason) base_str_add(b->reason, text);
    return false;
}

/* ---- operands ---- */

#define R CG_SLOT_RESULT
#define N CG_SLOT_NONE
#define CONVOLUTION(op)                                                                            \
    {                                                                                              \
        IR_OP_##op, {                                                                              \
            8, {                                                                                   \
                IR_IN(op, x), IR_IN(op, x1), IR_IN(op, norm), IR_IN(op, w), IR_IN(op, bias),       \
                    IR_IN(op, tbias), IR_IN(op, residual), R                                       \
            }                                                                                      \
        }                                                                                          \
    }
/* Rows for ops whose kernel takes operands in another order than the op; all others: operands in
 * order, result last. */
static const struct {
    ir_op op;
    cg_operands map;
} operand_rows[] = {
    /* -> x0 x1 scale_shift weight bias tbias residual out */
    CONVOLUTION(conv2d),
    CONVOLUTION(conv2d_phases),
    CONVOLUTION(conv2d_winograd),
    {IR_OP_linear,
     {8,
      {IR_IN(linear, x), N, N, IR_IN(linear, w), IR_IN(linear, bias), N, IR_IN(linear, residual),
       R}}},
    /* -> x w1 b1 w2 b2 residual out */
    {IR_OP_feed_forward,
     {7,
      {IR_IN(feed_forward, x), IR_IN(feed_forward, w1), IR_IN(feed_forward, b1),
       IR_IN(feed_forward, w2), IR_IN(feed_forward, b2), IR_IN(feed_forward, residual), R}}},
    /* -> x0 x1 gamma beta out */
    {IR_OP_group_stats,
     {5,
      {IR_IN(group_stats, x), IR_IN(group_stats, x1), IR_IN(group_stats, gamma),
       IR_IN(group_stats, beta), R}}},
    /* -> x0 x1 scale_shift out */
    {IR_OP_norm_apply, {4, {IR_IN(norm_apply, x), N, IR_IN(norm_apply, stats), R}}},
    /* -> x0 x1 out */
    {IR_OP_channel_range, {3, {IR_IN(channel_range, x), IR_IN(channel_range, x1), R}}},
    /* -> x0 x1 scale_shift range out */
    {IR_OP_quantize,
     {5,
      {IR_IN(quantize, x), IR_IN(quantize, x1), IR_IN(quantize, norm), IR_IN(quantize, range), R}}},
    /* -> x weight scale bias tbias residual out */
    {IR_OP_conv2d_i8,
     {7,
      {IR_IN(conv2d_i8, x), IR_IN(conv2d_i8, w), IR_IN(conv2d_i8, scale), IR_IN(conv2d_i8, bias),
       IR_IN(conv2d_i8, tbias), IR_IN(conv2d_i8, residual), R}}},
    /* all, absent ones included */
    {IR_OP_concat, {9, {0, 1, 2, 3, 4, 5, 6, 7, R}}},
    {IR_OP_embedding,
     {4, {IR_IN(embedding, ids), IR_IN(embedding, table), IR_IN(embedding, position), R}}},
};
#undef CONVOLUTION

cg_operands cg_operand_slots(const ir_func *f, const ir_node *node) {
    (void)f;
    cg_operands o = {0};
    bool found = false;
    for (size_t i = 0; i < sizeof operand_rows / sizeof *operand_rows && !found; i++)
        if (operand_rows[i].op == node->op) {
            o = operand_rows[i].map;
            found = true;
        }
    if (!found) {
        o.count = node->operand_count + 1;
        for (uint32_t i = 0; i < node->operand_count; i++) o.slot[i] = (int)i;
        o.slot[node->operand_count] = R;
    }
    for (uint32_t i = 0; i < o.count; i++)
        if (o.slot[i] >= 0 &&
            ((uint32_t)o.slot[i] >= node->operand_count || !ir_ref_ok(node->operand[o.slot[i]])))
            o.slot[i] = N;
    return o;
}
#undef R
#undef N

/* ---- layouts ---- */

bool cg_is_c16(const ir_type *t) {
    if (t->layout == IR_C16) return true;
    return t->rank == 2 && t->dim[1] % IR_BLOCK == 0;
}

static const char *operand_name(const cg_bind *b, uint32_t operand) {
    return operand == UINT32_MAX ? "result" : ir_op_get(b->node->op)->operand_name[operand];
}

static bool want(cg_bind *b, uint32_t operand, bool c16) {
    const ir_type *t = operand == UINT32_MAX ? &b->node->type : cg_in(b, operand);
    if (!t) return cg_refuse(b, "operand '%s' is missing", operand_name(b, operand));
    if (t->dtype != IR_f32)
        return cg_refuse(b, "%s is %s; kernels compute in f32", operand_name(b, operand),
                         ir_dtype_name[t->dtype]);
    if (c16 ? !cg_is_c16(t) : t->layout != IR_PLAIN)
        return cg_refuse(b, "%s must be %s", operand_name(b, operand), c16 ? "c16" : "plain");
    if (ir_type_bytes(t) / 4 > INT32_MAX)
        return cg_refuse(b, "%s has 2^31 elements or more", operand_name(b, operand));
    return true;
}
bool cg_want_c16(cg_bind *b, uint32_t operand) {
    return want(b, operand, true);
}
bool cg_want_plain(cg_bind *b, uint32_t operand) {
    return want(b, operand, false);
}

cg_bcp cg_bcp_of(const ir_type *t) {
    cg_bcp r = {(int32_t)t->dim[0], 0, 1};
    int axis = t->rank == 2 ? 1 : ir_channel_axis(t);
    for (uint32_t i = 1; i < t->rank; i++) {
        if ((int)i == axis)
            r.c = (int32_t)t->dim[i];
        else
            r.p *= (int32_t)t->dim[i];
    }
    return r;
}

uint32_t cg_physical(const ir_type *t, int64_t dim[IR_MAX_RANK + 1]) {
    if (t->layout == IR_PLAIN) {
        memcpy(dim, t->dim, t->rank * sizeof *dim);
        return t->rank;
    }
    int axis = ir_channel_axis(t);
    uint32_t n = 0;
    dim[n++] = t->dim[0];
    dim[n++] = ir_round_block(t->dim[axis]) / IR_BLOCK;
    for (uint32_t i = 1; i < t->rank; i++)
        if ((int)i != axis) dim[n++] = t->dim[i];
    dim[n++] = IR_BLOCK;
    return n;
}

uint32_t cg_physical_axis(const ir_type *t, int64_t axis) {
    if (t->layout == IR_PLAIN || axis == 0) return (uint32_t)axis;
    int channel = ir_channel_axis(t);
    if (axis == channel) return 1;
    return (uint32_t)(axis < channel ? axis + 1 : axis);
}

_Static_assert(IR_BLOCK == 16, "a block of the kernels has 16 channels (ebru_blocks16)");

#define ACT(name, ID, formula)                                                                     \
    _Static_assert((int)IR_ACT_##ID == (int)EBRU_ACT_##ID, "an activation has one number");
#include "base/activations.def"
int32_t cg_act(ir_act act) {
    return (int32_t)act;
}
