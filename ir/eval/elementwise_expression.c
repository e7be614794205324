/* Expressions of `ew` nodes.
 *
 *   expr = OPERAND | NUMBER | OP "(" expr { "," expr } ")"
 *
 * OPERAND is a letter a..h, NUMBER a decimal literal, OP the name of an elementwise op that has no
 * attributes (unary: silu, exp, ...; binary: add, mul, max, ...). Blanks may stand between tokens.
 * The parsed form is postfix: every step pushes an operand or a number, or takes as many values as
 * its op has operands and pushes the result. */
#include <string.h>

#include "base/number.h"
#include "ir/ir.h"

enum { MAX_DEPTH = 64 };

typedef struct reader {
    const char *start, *p;
    ir_expr_step *steps;
    uint32_t count;
    base_str *fault;
} reader;

static bool bad(reader *r, const char *what) {
    if (r->fault)
        base_str_addf(r->fault, "%s at character %zu", what, (size_t)(r->p - r->start) + 1);
    return false;
}

static void skip_blanks(reader *r) {
    while (*r->p == ' ') r->p++;
}

static bool accept(reader *r, char c) {
    skip_blanks(r);
    if (*r->p != c) return false;
    r->p++;
    return true;
}

static bool push(reader *r, ir_expr_step step) {
    if (r->count == IR_EXPR_MAX) return bad(r, "too many steps");
    r->steps[r->count++] = step;
    return true;
}

/* Elementwise ops without attributes: their operands say everything. */
static bool is_function(ir_op op) {
    const ir_op_info *info = ir_op_get(op);
    return (info->flags & IR_FLAG_EW) && info->attr_count == 0;
}

static bool read_expr(reader *r, int depth);

static bool read_call(reader *r, const char *name, size_t length, int depth) {
    char text[32];
    ir_op op;
    if (length >= sizeof text) return bad(r, "unknown function");
    memcpy(text, name, length);
    text[length] = '\0';
    if (!ir_op_by_name(text, &op) || !is_function(op)) return bad(r, "unknown function");
    if (!accept(r, '(')) return bad(r, "expected '('");
    uint32_t arity = ir_op_get(op)->min_operands;
    for (uint32_t i = 0; i < arity; i++) {
        if (i && !accept(r, ',')) return bad(r, "expected ','");
        if (!read_expr(r, depth + 1)) return false;
    }
    if (!accept(r, ')')) return bad(r, "expected ')'");
    return push(r, (ir_expr_step){.kind = IR_EXPR_OP, .op = op});
}

static bool read_expr(reader *r, int depth) {
    if (depth > MAX_DEPTH) return bad(r, "nested too deeply");
    skip_blanks(r);
    const char *word = r->p;
    size_t letters = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if ((*word >= '0' && *word <= '9') || *word == '-' || *word == '.') {
        size_t length = strspn(word, "0123456789.eE+-inf");
        double number;
        if (!base_parse_f64(word, length, &number)) return bad(r, "malformed number");
        r->p += length;
        return push(r, (ir_expr_step){.kind = IR_EXPR_NUMBER, .number = number});
    }
    double special;
    if (letters == 3 && base_parse_f64(word, letters, &special)) { /* inf, nan */
        r->p += letters;
        return push(r, (ir_expr_step){.kind = IR_EXPR_NUMBER, .number = special});
    }
    if (letters == 0) return bad(r, "expected an operand, a number or a function");
    r->p += letters;
    if (letters == 1) {
        if (*word > 'h') return bad(r, "unknown operand");
        return push(r, (ir_expr_step){.kind = IR_EXPR_OPERAND, .operand = (uint32_t)(*word - 'a')});
    }
    return read_call(r, word, letters, depth);
}

uint32_t ir_expr_parse(const char *text, ir_expr_step steps[IR_EXPR_MAX], base_str *fault) {
    reader r = {.start = text, .p = text, .steps = steps, .fault = fault};
    if (!read_expr(&r, 0)) return 0;
    skip_blanks(&r);
    if (*r.p) {
        bad(&r, "unexpected text after the expression");
        return 0;
    }
    return r.count;
}

uint32_t ir_expr_of_node(const ir_node *n, ir_expr_step steps[IR_EXPR_MAX], base_str *fault) {
    uint32_t count = 0;
#define OPERAND(k) (steps[count++] = (ir_expr_step){.kind = IR_EXPR_OPERAND, .operand = (k)})
#define NUMBER(v)  (steps[count++] = (ir_expr_step){.kind = IR_EXPR_NUMBER, .number = (v)})
#define OPERATE(o) (steps[count++] = (ir_expr_step){.kind = IR_EXPR_OP, .op = (o)})
    switch (n->op) {
    case IR_OP_ew: return ir_expr_parse(IR_ATTRS(n, ew)->expr, steps, fault);
    case IR_OP_affine: {
        double mul = IR_ATTRS(n, affine)->mul, add = IR_ATTRS(n, affine)->add;
        OPERAND(0);
        if (mul != 1.0) {
            NUMBER(mul);
            OPERATE(IR_OP_mul);
        }
        if (add != 0.0 || mul == 1.0) { /* x*m + 0 is x*m but for the sign of zero */
            NUMBER(add);
            OPERATE(IR_OP_add);
        }
        return count;
    }
    case IR_OP_clamp:
        OPERAND(0);
        NUMBER(IR_ATTRS(n, clamp)->lo);
        OPERATE(IR_OP_max);
        NUMBER(IR_ATTRS(n, clamp)->hi);
        OPERATE(IR_OP_min);
        return count;
    default:
        for (uint32_t i = 0; i < n->operand_count; i++) OPERAND(i);
        OPERATE(n->op);
        return count;
    }
#undef OPERAND
#undef NUMBER
#undef OPERATE
}

/* Prints the value the step `at` pushes; returns the first step that belongs to it. */
static uint32_t first_step(const ir_expr_step *steps, uint32_t at) {
    uint32_t needed = 1;
    for (uint32_t i = at + 1; i-- > 0;) {
        needed--;
        if (steps[i].kind == IR_EXPR_OP) needed += ir_op_get(steps[i].op)->min_operands;
        if (needed == 0) return i;
    }
    ICE("the steps of an expression do not fit together");
}

static void print_value(const ir_expr_step *steps, uint32_t at, base_str *out) {
    const ir_expr_step *s = &steps[at];
    if (s->kind == IR_EXPR_OPERAND) {
        base_str_addf(out, "%c", (char)('a' + (int)s->operand));
        return;
    }
    if (s->kind == IR_EXPR_NUMBER) {
        base_print_f64(s->number, out);
        return;
    }
    const ir_op_info *info = ir_op_get(s->op);
    uint32_t last[IR_MAX_OPERANDS]; /* where each argument ends */
    uint32_t end = at;
    for (uint32_t i = info->min_operands; i-- > 0;) {
        if (end == 0) ICE("the steps of an expression do not fit together");
        last[i] = end - 1;
        end = first_step(steps, end - 1);
    }
    base_str_addf(out, "%s(", info->name);
    for (uint32_t i = 0; i < info->min_operands; i++) {
        if (i) base_str_add(out, ",");
        print_value(steps, last[i], out);
    }
    base_str_add(out, ")");
}

void ir_expr_print(const ir_expr_step *steps, uint32_t count, base_str *out) {
    if (count == 0) ICE("an expression without steps");
    print_value(steps, count - 1, out);
}
