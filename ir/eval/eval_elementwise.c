/* Evaluator: activations, elementwise ops and their expressions, with numpy's broadcasting. Every
 * elementwise op is an expression of one step; groups (`ew`) have more. Between the steps of one
 * expression values stay in binary64. */
#include "ir/eval/eval.h"

#include <math.h>
#include <string.h>

/* ---- functions of numbers ---- */

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

double ir_eval_scalar(ir_op op, double x, double y) {
    switch (op) {
    case IR_OP_silu: return x * sigmoid(x);
    case IR_OP_gelu: return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
    case IR_OP_gelu_tanh:
        return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case IR_OP_quick_gelu: return x * sigmoid(1.702 * x);
    case IR_OP_relu: return x < 0 ? 0 : x; /* NaN stays NaN */
    case IR_OP_sigmoid: return sigmoid(x);
    case IR_OP_tanh: return tanh(x);
    case IR_OP_mish: return x * tanh(log1p(exp(x)));
    case IR_OP_exp: return exp(x);
    case IR_OP_sqrt: return sqrt(x);
    case IR_OP_neg: return -x;
    case IR_OP_add: return x + y;
    case IR_OP_sub: return x - y;
    case IR_OP_mul: return x * y;
    case IR_OP_div: return x / y;
    case IR_OP_max: return x > y || isnan(x) ? x : y;
    case IR_OP_min: return x < y || isnan(x) ? x : y;
    default: ICE("'%s' is not a function of numbers", ir_op_get(op)->name);
    }
}

double ir_eval_act(ir_act act, double x) {
    return act == IR_ACT_NONE ? x : ir_eval_scalar(ir_act_op(act), x, 0);
}

/* ---- expressions over broadcast operands ---- */

enum { RUN = 256 }; /* elements of the last axis computed together, so that steps are loops */

/* The axes of the result and how far each operand moves along them (0: broadcast). */
typedef struct walk {
    uint32_t rank;
    int64_t dim[IR_MAX_RANK];
    int64_t stride[IR_MAX_OPERANDS][IR_MAX_RANK];
} walk;

static void operand_strides(const ir_type *t, const ir_type *out, int64_t *stride) {
    int64_t step = 1;
    for (uint32_t i = 1; i <= out->rank; i++) {
        int64_t own = i <= t->rank ? t->dim[t->rank - i] : 1;
        stride[out->rank - i] = own == 1 ? 0 : step;
        step *= own;
    }
}

static walk walk_new(const ir_eval_args *a, const ir_type *out) {
    walk w = {.rank = out->rank};
    memcpy(w.dim, out->dim, sizeof w.dim);
    for (uint32_t k = 0; k < a->node->operand_count; k++)
        if (a->in[k]) operand_strides(&a->in[k]->type, out, w.stride[k]);
    /* Neighbouring axes that every operand walks as one become one: runs get long. */
    for (uint32_t i = w.rank; i-- > 1;) {
        bool one = true;
        for (uint32_t k = 0; k < a->node->operand_count; k++)
            one = one && w.stride[k][i - 1] == w.stride[k][i] * w.dim[i];
        if (!one) continue;
        w.dim[i - 1] *= w.dim[i];
        for (uint32_t k = 0; k < a->node->operand_count; k++) w.stride[k][i - 1] = w.stride[k][i];
        for (uint32_t j = i; j + 1 < w.rank; j++) {
            w.dim[j] = w.dim[j + 1];
            for (uint32_t k = 0; k < a->node->operand_count; k++)
                w.stride[k][j] = w.stride[k][j + 1];
        }
        w.rank--;
    }
    if (w.rank == 0) w.dim[w.rank++] = 1;
    return w;
}

/* One run: `count` elements of the last axis, operand k from from[k] in steps of step[k]. The
 * values of the steps are a stack of rows of RUN numbers; the result is left in the first. */
static void eval_run(const ir_expr_step *steps, uint32_t step_count, const float *const *from,
                     const int64_t *step, int64_t count, double *stack) {
    double *top = stack; /* one past the topmost row */
    for (uint32_t s = 0; s < step_count; s++) {
        if (steps[s].kind == IR_EXPR_OPERAND) {
            const float *x = from[steps[s].operand];
            for (int64_t i = 0; i < count; i++) top[i] = (double)x[i * step[steps[s].operand]];
            top += RUN;
        } else if (steps[s].kind == IR_EXPR_NUMBER) {
            for (int64_t i = 0; i < count; i++) top[i] = steps[s].number;
            top += RUN;
        } else if (ir_op_get(steps[s].op)->min_operands == 2) {
            double *x = top - 2 * RUN, *y = top - RUN;
            for (int64_t i = 0; i < count; i++) x[i] = ir_eval_scalar(steps[s].op, x[i], y[i]);
            top -= RUN;
        } else {
            double *x = top - RUN;
            for (int64_t i = 0; i < count; i++) x[i] = ir_eval_scalar(steps[s].op, x[i], 0);
        }
    }
}

static void eval_steps(const ir_eval_args *a, ir_tensor *out, const ir_expr_step *steps,
                       uint32_t step_count) {
    walk w = walk_new(a, &out->type);
    uint32_t last = w.rank - 1;
    int64_t index[IR_MAX_RANK] = {0}, step[IR_MAX_OPERANDS];
    for (uint32_t k = 0; k < IR_MAX_OPERANDS; k++) step[k] = w.stride[k][last];
    double *stack = base_alloc((size_t)step_count * RUN * sizeof *stack);
    float *to = out->data;
    for (bool more = true; more;) {
        const float *from[IR_MAX_OPERANDS] = {0};
        for (uint32_t k = 0; k < a->node->operand_count; k++) {
            if (!a->in[k]) continue;
            from[k] = a->in[k]->data;
            for (uint32_t i = 0; i < last; i++) from[k] += index[i] * w.stride[k][i];
        }
        for (int64_t first = 0; first < w.dim[last]; first += RUN) {
            int64_t count = w.dim[last] - first < RUN ? w.dim[last] - first : RUN;
            eval_run(steps, step_count, from, step, count, stack);
            for (int64_t i = 0; i < count; i++) *to++ = (float)stack[i];
            for (uint32_t k = 0; k < IR_MAX_OPERANDS; k++)
                if (from[k]) from[k] += count * step[k];
        }
        more = false;
        for (uint32_t i = last; i-- > 0 && !more;) {
            more = ++index[i] < w.dim[i];
            if (!more) index[i] = 0;
        }
    }
    base_free(stack);
}

void ir_eval_ew(const ir_eval_args *a, ir_tensor *out) {
    ir_expr_step steps[IR_EXPR_MAX];
    uint32_t count = ir_expr_parse(IR_ATTRS(a->node, ew)->expr, steps, NULL);
    if (count == 0) ICE("malformed expression '%s'", IR_ATTRS(a->node, ew)->expr);
    eval_steps(a, out, steps, count);
}

/* ---- single ops ---- */

static void eval_one(const ir_eval_args *a, ir_tensor *out) {
    ir_expr_step steps[3] = {{.kind = IR_EXPR_OPERAND, .operand = 0}};
    uint32_t count = 1;
    if (a->in[IR_IN(add, b)])
        steps[count++] = (ir_expr_step){.kind = IR_EXPR_OPERAND, .operand = IR_IN(add, b)};
    steps[count++] = (ir_expr_step){.kind = IR_EXPR_OP, .op = a->node->op};
    eval_steps(a, out, steps, count);
}

#define ONE(name)                                                                                  \
    void ir_eval_##name(const ir_eval_args *a, ir_tensor *out) {                                   \
        eval_one(a, out);                                                                          \
    }
#define ACT(name, ID, formula) ONE(name)
#include "base/activations.def"
ONE(exp)
ONE(sqrt)
ONE(neg)
ONE(add)
ONE(sub)
ONE(mul)
ONE(div)
ONE(max)
ONE(min)

void ir_eval_affine(const ir_eval_args *a, ir_tensor *out) {
    const struct ir_attrs_affine *at = IR_ATTRS(a->node, affine);
    int64_t n = ir_type_elements(&out->type);
    for (int64_t i = 0; i < n; i++)
        out->data[i] = (float)((double)a->in[IR_IN(affine, x)]->data[i] * at->mul + at->add);
}

void ir_eval_clamp(const ir_eval_args *a, ir_tensor *out) {
    const struct ir_attrs_clamp *at = IR_ATTRS(a->node, clamp);
    int64_t n = ir_type_elements(&out->type);
    for (int64_t i = 0; i < n; i++) {
        double x = ir_eval_scalar(IR_OP_max, (double)a->in[IR_IN(clamp, x)]->data[i], at->lo);
        out->data[i] = (float)ir_eval_scalar(IR_OP_min, x, at->hi);
    }
}

/* [..., 2n] -> [..., n]: first half * gelu(second half) */
void ir_eval_geglu(const ir_eval_args *a, ir_tensor *out) {
    int64_t n = out->type.dim[out->type.rank - 1], rows = ir_type_elements(&out->type) / n;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            const float *x = a->in[IR_IN(geglu, x)]->data + 2 * r * n + i;
            out->data[r * n + i] =
                (float)((double)x[0] * ir_eval_scalar(IR_OP_gelu, (double)x[n], 0));
        }
}
