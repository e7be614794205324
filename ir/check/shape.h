/* What the shape rules share; not for other folders. A rule ir_shape_NAME fills `out` (a plain
 * type) from checked operands, or reports faults through shape_fault and returns false. The driver
 * (shape.c) has already checked operand counts and that required operands are there, and checks the
 * result's extents afterwards. */
#ifndef EBRU_IR_CHECK_SHAPE_H
#define EBRU_IR_CHECK_SHAPE_H

#include "ir/ir.h"

typedef struct ir_shape {
    const ir_func *f;
    const ir_op_info *info;
    const ir_ref *operand;
    uint32_t count;
    const void *attrs;
    base_str *faults;
} ir_shape;

#define SHAPE_ATTRS(s, set) ((const struct ir_attrs_##set *)(s)->attrs)
#define SHAPE_RULE(name)    bool ir_shape_##name(const ir_shape *s, ir_type *out)

#define OP(name, ...) SHAPE_RULE(name);
#include "ir/ops.def"
#undef OP

/* The type of an operand; NULL when it is absent. */
const ir_type *shape_operand(const ir_shape *s, uint32_t i);
/* Appends a message line; always false. */
bool shape_fault(const ir_shape *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends "operand 'k': expected TEXT, found TYPE"; always false. */
bool shape_expected(const ir_shape *s, uint32_t i, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Checks of one operand; each reports and returns false. */
bool shape_is_float(const ir_shape *s, uint32_t i);               /* f32, f16 or bf16 */
bool shape_is_rank(const ir_shape *s, uint32_t i, uint32_t rank); /* a float of that rank */
bool shape_is_vector(const ir_shape *s, uint32_t i, int64_t n,
                     bool padded); /* a float [n]; [n rounded up] too if padded */
bool shape_is(const ir_shape *s, uint32_t i, const ir_type *t); /* a float with the dims of t */

/* f32 of the given dims. */
void shape_set(ir_type *out, uint32_t rank, const int64_t *dim);
/* An attribute's value must lie in lo..hi. */
bool shape_in(const ir_shape *s, const char *attr, int64_t value, int64_t lo, int64_t hi);
/* numpy broadcasting of operands first..count-1 into out. */
bool shape_broadcast(const ir_shape *s, uint32_t first, ir_type *out);

/* Window attributes (strides, paddings, sizes) stay below this, so that sums and products with
 * extents never overflow. */
#define SHAPE_WINDOW_MAX ((int64_t)1 << 20)
/* Extent of a sliding window's output; reports when the window does not fit. */
bool shape_window(const ir_shape *s, const char *axis, int64_t in, int64_t before, int64_t after,
                  int64_t size, int64_t stride, int64_t *out);

#endif
