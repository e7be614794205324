/* The op table and the attribute tables in digested form: everything here is expanded from ops.def
 * and attrs.def. */
#include <string.h>

#include "base/hash.h"
#include "ir/build.h"
#include "ir/ir.h"

/* ---- names of enums ---- */

const char *const ir_dtype_name[IR_DTYPE_COUNT] = {
#define DTYPE(name, bytes, summary) #name,
#include "ir/types.def"
};
const uint32_t ir_dtype_bytes[IR_DTYPE_COUNT] = {
#define DTYPE(name, bytes, summary) bytes,
#include "ir/types.def"
};
const char *const ir_layout_name[IR_LAYOUT_COUNT] = {[IR_PLAIN] = "plain", [IR_C16] = "c16"};
const char *const ir_level_name[IR_LEVEL_COUNT] = {
    [IR_GRAPH] = "graph", [IR_FUSED] = "fused", [IR_KERNEL] = "kernel", [IR_PLACED] = "placed"};
const char *const ir_freq_name[IR_FREQ_COUNT] = {[IR_PROGRAM] = "program",
                                                 [IR_PROMPT] = "prompt",
                                                 [IR_SCHEDULE] = "schedule",
                                                 [IR_STEP] = "step"};
const char *const ir_act_name[IR_ACT_COUNT] = {
    "none",
#define ACT(name, ID, formula) #name,
#include "base/activations.def"
};

const char *const ir_precision_name[IR_PRECISION_COUNT] = {[IR_PRECISION_F32] = "f32",
                                                           [IR_PRECISION_BF16] = "bf16",
                                                           [IR_PRECISION_BF16X3] = "bf16x3",
                                                           [IR_PRECISION_INT8] = "int8"};
const double ir_precision_error[IR_PRECISION_COUNT] = {[IR_PRECISION_F32] = 1e-4,
                                                       [IR_PRECISION_BF16] = 2e-2,
                                                       [IR_PRECISION_BF16X3] = 1e-4,
                                                       [IR_PRECISION_INT8] = 5e-2};

/* ---- attributes ---- */

static const ir_attr_type attr_types[IR_ATTR_KIND_COUNT] = {
#define ATTR(name, type, form) {IR_ATTR_FORM_##form, sizeof(type), NULL, 0, NULL},
#define NAMED(name, count, what)                                                                   \
    {IR_ATTR_FORM_NAME, sizeof(ir_##name), ir_##name##_name, count, what},
#include "ir/types.def"
};
#define NAMED(name, count, what)                                                                   \
    _Static_assert(sizeof(ir_##name) == sizeof(uint32_t), "ir_attr_name_index reads it");
#include "ir/types.def"

const ir_attr_type *ir_attr_type_of(ir_attr_kind kind) {
    return &attr_types[kind];
}

/* One function a set, because the local name `here` gives INFO the struct of the set. Each table
 * ends in an empty entry, so that sets without attributes are legal arrays. */
#define INFO(type, name, def, level) {#name, IR_ATTR_##type, offsetof(here, name), IR_##level},
#define DIGEST_SET(set)                                                                            \
    static void digest_##set(ir_op_info *info) {                                                   \
        typedef struct ir_attrs_##set here;                                                        \
        static const ir_attr_info table[] = {ATTRS_##set(INFO){NULL, IR_ATTR_i64, 0, IR_GRAPH}};   \
        static here defaults;                                                                      \
        defaults = IR_DEFAULTS(set);                                                               \
        info->attrs = table;                                                                       \
        info->attr_count = sizeof table / sizeof table[0] - 1;                                     \
        info->attr_size = sizeof(here);                                                            \
        info->attr_default = &defaults;                                                            \
    }
ATTR_SETS(DIGEST_SET)

/* ---- ops ---- */

/* The words of ops.def's columns. */
enum {
    LEAF = IR_FLAG_LEAF,
    EW = IR_FLAG_EW,
    VIEW = IR_FLAG_VIEW,
    CONTRACT = IR_FLAG_CONTRACT,
    ROWS = IR_FLAG_ROWS,
    PACK = IR_FLAG_PACK
};
enum {
    GFKP = 1 << IR_GRAPH | 1 << IR_FUSED | 1 << IR_KERNEL | 1 << IR_PLACED,
    FK = 1 << IR_FUSED | 1 << IR_KERNEL,
    FKP = 1 << IR_FUSED | 1 << IR_KERNEL | 1 << IR_PLACED
};

/* Operands of an op, as its row has them; a row without a name ends them. */
typedef struct operand_row {
    const char *name;
    enum { REQUIRED, OPTIONAL, LATE } kind;
    unsigned role; /* ir_role, OVER beside it */
} operand_row;
enum { OVER = 1 << 8 };
#define IN(name, role)    {#name, REQUIRED, IR_ROLE_##role},
#define OPT(name, role)   {#name, OPTIONAL, IR_ROLE_##role},
#define FUSED(name, role) {#name, LATE, IR_ROLE_##role},
#define NONE
#define OP(name, attrs, levels, flags, code, layout, cost, operands, summary)                      \
    _Static_assert(IR_OPERANDS(name) <= IR_MAX_OPERANDS, #name " has too many operands");          \
    static const operand_row operands_##name[] = {operands{NULL, REQUIRED, 0}};
#include "ir/ops.def"
#undef OP

typedef struct row {
    const char *name, *summary;
    const operand_row *operands;
    uint32_t levels, flags;
    ir_result result;
    void (*digest_attrs)(ir_op_info *info);
} row;

static const row rows[IR_OP_COUNT] = {
#define OP(name, attrs, levels, flags, code, layout, cost, operands, summary)                      \
    {#name, summary, operands_##name, (levels), (flags), IR_RESULT_##layout, digest_##attrs},
#include "ir/ops.def"
#undef OP
};

/* conv2d, conv2d_winograd and conv2d_phases have the same operands, group_norm and group_stats too:
 * code that serves them all uses the names of the first. */
#define SAME_OPERAND(op, other, name)                                                              \
    _Static_assert(IR_IN(op, name) == IR_IN(other, name), #op " and " #other " differ");
#define CONVOLUTION(name)                                                                          \
    SAME_OPERAND(conv2d, conv2d_winograd, name) SAME_OPERAND(conv2d, conv2d_phases, name)
CONVOLUTION(x)
CONVOLUTION(w)
CONVOLUTION(bias)
CONVOLUTION(x1)
CONVOLUTION(norm)
CONVOLUTION(tbias)
CONVOLUTION(residual)
CONVOLUTION(count_)
#define GROUPS(name) SAME_OPERAND(group_norm, group_stats, name)
GROUPS(x)
GROUPS(gamma)
GROUPS(beta)
GROUPS(x1)
GROUPS(count_)

static ir_op_info infos[IR_OP_COUNT];
static bool digested;

static void digest_operands(ir_op_info *info, const operand_row *operand) {
    for (; operand->name; operand++) {
        info->operand_role[info->max_operands] = (ir_role)(operand->role % OVER);
        if (operand->role & OVER) info->over |= 1u << info->max_operands;
        info->operand_name[info->max_operands++] = operand->name;
        if (operand->kind == REQUIRED) info->min_operands = info->max_operands;
        if (operand->kind != LATE) info->graph_operands = info->max_operands;
    }
}

static void digest(void) {
    for (size_t i = 0; i < IR_OP_COUNT; i++) {
        const row *r = &rows[i];
        ir_op_info *info = &infos[i];
        *info = (ir_op_info){.name = r->name,
                             .summary = r->summary,
                             .levels = r->levels,
                             .flags = r->flags,
                             .result = r->result};
        digest_operands(info, r->operands);
        r->digest_attrs(info);
    }
    digested = true;
}

const ir_op_info *ir_op_get(ir_op op) {
    if (!digested) digest();
    if ((unsigned)op >= IR_OP_COUNT) ICE("no op has the number %d", (int)op);
    return &infos[op];
}

ir_op ir_act_op(ir_act act) {
    switch (act) {
#define ACT(name, ID, formula)                                                                     \
    case IR_ACT_##ID: return IR_OP_##name;
#include "base/activations.def"
    case IR_ACT_NONE:
    case IR_ACT_COUNT: break;
    }
    ICE("activation %d has no op", (int)act);
}

ir_act ir_op_act(ir_op op) {
    switch (op) {
#define ACT(name, ID, formula)                                                                     \
    case IR_OP_##name: return IR_ACT_##ID;
#include "base/activations.def"
    default: return IR_ACT_NONE;
    }
}

bool ir_op_by_name(const char *name, ir_op *op) {
    for (size_t i = 0; i < IR_OP_COUNT; i++) {
        if (strcmp(rows[i].name, name) != 0) continue;
        *op = (ir_op)i;
        return true;
    }
    return false;
}

bool ir_op_blocked(ir_op op) {
    ir_result r = ir_op_get(op)->result;
    return r == IR_RESULT_C16 || r == IR_RESULT_TOKENS;
}

bool ir_op_packs(ir_op op, uint32_t k) {
    ir_role role = ir_op_get(op)->operand_role[k];
    return role == IR_ROLE_FILTER || role == IR_ROLE_VECTOR || role == IR_ROLE_TABLE;
}

/* ---- reflection ---- */

static bool value_equal(ir_attr_kind kind, const void *a, const void *b) {
    const ir_attr_type *t = &attr_types[kind];
    if (t->form == IR_ATTR_FORM_TEXT)
        return strcmp(*(const char *const *)a, *(const char *const *)b) == 0;
    if (t->form == IR_ATTR_FORM_LIST) {
        const ir_dims *x = a, *y = b;
        return x->n == y->n && memcmp(x->v, y->v, x->n * sizeof x->v[0]) == 0;
    }
    return memcmp(a, b, t->size) == 0; /* numbers by bits: -0 is not 0, a NaN is itself */
}

bool ir_attr_equal(const ir_attr_info *attr, const void *a, const void *b) {
    return value_equal(attr->kind, (const char *)a + attr->offset, (const char *)b + attr->offset);
}

static bool same_param(const ir_param *a, const ir_param *b) {
    if (strcmp(a->name, b->name) || a->is_float != b->is_float) return false;
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): by bits, as texts are */
    return a->is_float ? !memcmp(&a->f, &b->f, sizeof a->f) : a->i == b->i;
}

bool ir_binding_equal(const ir_binding *a, const ir_binding *b) {
    if (!a || !b) return a == b;
    if (strcmp(a->kernel, b->kernel) || a->param_count != b->param_count || a->tasks != b->tasks ||
        a->scratch != b->scratch)
        return false;
    for (uint32_t i = 0; i < a->param_count; i++)
        if (!same_param(&a->params[i], &b->params[i])) return false;
    return true;
}

bool ir_attrs_equal(ir_op op, const void *a, const void *b) {
    const ir_op_info *info = ir_op_get(op);
    for (uint32_t i = 0; i < info->attr_count; i++)
        if (!ir_attr_equal(&info->attrs[i], a, b)) return false;
    return true;
}

static uint32_t hash_value(uint32_t h, ir_attr_kind kind, const void *p) {
    const ir_attr_type *t = &attr_types[kind];
    if (t->form == IR_ATTR_FORM_TEXT) {
        const char *text = *(const char *const *)p;
        return base_hash_bytes(h, text, strlen(text));
    }
    if (t->form == IR_ATTR_FORM_LIST) {
        const ir_dims *d = p;
        return base_hash_bytes(h, d->v, d->n * sizeof d->v[0]);
    }
    return base_hash_bytes(h, p, t->size);
}

uint32_t ir_attrs_hash(ir_op op, const void *attrs, uint32_t h) {
    const ir_op_info *info = ir_op_get(op);
    for (uint32_t i = 0; i < info->attr_count; i++)
        h = hash_value(h, info->attrs[i].kind, (const char *)attrs + info->attrs[i].offset);
    return h;
}

void *ir_attrs_copy(base_arena *arena, ir_op op, const void *attrs) {
    const ir_op_info *info = ir_op_get(op);
    char *copy = base_arena_alloc(arena, info->attr_size);
    memcpy(copy, attrs, info->attr_size);
    for (uint32_t i = 0; i < info->attr_count; i++) {
        if (info->attrs[i].kind != IR_ATTR_str) continue;
        const char **s = (const char **)(void *)(copy + info->attrs[i].offset);
        *s = base_arena_strdup(arena, *s);
    }
    return copy;
}
