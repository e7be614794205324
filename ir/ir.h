/* The tensor IR of ebru.
 *
 * Semantics. Values are immutable tensors of rank 0..8; a node has one result. Arithmetic is IEEE
 * binary32 unless a type says otherwise; the reference evaluator accumulates in binary64, kernels
 * in binary32 in any order. NaN and infinity propagate. All shapes are static. Shapes are logical
 * and row-major: images [B,C,H,W], tokens [B,T,C], vectors [B,C]. A layout (plain or c16) says how
 * a value's bytes lie; it never changes a value's meaning, so the evaluator ignores it.
 *
 * Levels. GRAPH: what the network means. FUSED: composite ops, layouts chosen. KERNEL: every
 * working node is bound to a row of runtime/abi/kernels.def. PLACED: every value has a place. Each
 * op row in ops.def lists the levels where it is legal.
 *
 * Functions. A function's nodes stand in def-before-use order. Inputs are marked with how often
 * they change (ir_freq); pure nodes are interned (same op, operands, attributes, layout -> same
 * node), so common subexpressions do not arise. Passes never edit a function in place: they build a
 * new one (ir_rewrite), except for annotations (bindings, places).
 *
 * Text. Complete: ir_print writes a module, ir_parse reads it back identically (grammar in
 * ir/text/print.c).
 *
 * Ownership. A module owns everything reachable from it through its arena; ir_module_free drops it
 * whole. */
#ifndef EBRU_IR_IR_H
#define EBRU_IR_IR_H

#include "base/arena.h"
#include "base/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The version of the text form, the number in `ebru ir 3 graph`.
 *
 * It is raised when this ebru writes what one of the version before cannot read, or would read with
 * another meaning: a new op, operand, attribute, word, type, property or rule of the grammar, and a
 * changed default or meaning. Between two releases once is enough. An older ebru then refuses the
 * text by its version, not by the first word it does not know.
 *
 * Texts from IR_TEXT_OLDEST on are read. When something is taken away or changes its meaning, so
 * that an old text would mean another thing here, it becomes IR_TEXT_VERSION, too.
 *
 * tests/unit/ir/text_version_test.c fails when the words of the text form change; it says what to
 * do. */
#define IR_TEXT_VERSION 3
#define IR_TEXT_OLDEST  1

#define IR_MAX_RANK     8
#define IR_MAX_NAME     200 /* bytes of the name of a function, input or output */
#define IR_MAX_OPERANDS 8
#define IR_BLOCK        16 /* channels of a c16 block */
/* The reduction index is packed in blocks of these where operands are bf16. */
#define IR_BF16_BLOCK 32
/* Quantized pixels have their channels in whole blocks of these, and a record of so many bytes
 * behind them: the scale, a float, and the zero point, a 32-bit integer. */
#define IR_I8_BLOCK  64
#define IR_I8_RECORD 16
/* Weights are no larger: |q| <= 127. */
#define IR_I8_WEIGHT 127
/* The sum of the most products of 255 and 127 that 32 bits hold. */
#define IR_I8_MAX_SUM ((int64_t)INT32_MAX / (255 * IR_I8_WEIGHT))
/* No tensor has more elements, so that sizes in bytes, padding included, and products of two
 * extents never overflow. */
#define IR_MAX_ELEMENTS ((int64_t)1 << 40)
#define IR_ARENA_ALIGN  64 /* places in the arena and in the packed weights are multiples of it */

/* ---- types ---- */

typedef enum ir_dtype {
#define DTYPE(name, bytes, summary) IR_##name,
#include "ir/types.def"
    IR_DTYPE_COUNT
} ir_dtype;

/* plain: row-major. c16: channels in blocks of 16, innermost: [B,C,H,W] -> [B][C/16][H][W][16],
 * [B,T,C] -> [B][C/16][T][16], [B,C] -> [B][C/16][16]; C rounded up, pad lanes finite. So c16
 * [B,C,H,W] and c16 [B,H*W,C] are the same bytes. */
typedef enum ir_layout { IR_PLAIN, IR_C16, IR_LAYOUT_COUNT } ir_layout;

typedef struct ir_type {
    ir_dtype dtype;
    ir_layout layout;
    uint32_t rank;
    int64_t dim[IR_MAX_RANK];
} ir_type;

typedef enum ir_level { IR_GRAPH, IR_FUSED, IR_KERNEL, IR_PLACED, IR_LEVEL_COUNT } ir_level;

/* How often a value changes, in order: once per program, per prompt, per schedule (the list of
 * timesteps), per step. */
typedef enum ir_freq { IR_PROGRAM, IR_PROMPT, IR_SCHEDULE, IR_STEP, IR_FREQ_COUNT } ir_freq;

typedef enum ir_act {
    IR_ACT_NONE,
#define ACT(name, ID, formula) IR_ACT_##ID,
#include "base/activations.def"
    IR_ACT_COUNT
} ir_act;

/* What the two operands of a product are rounded to before they are multiplied (sums stay binary32):
 * f32       not at all
 * bf16      to bfloat16, the nearest, ties to even
 * bf16x3    into hi = bf16(x) and lo = bf16(x - hi); the product is hi hi + hi lo + lo hi
 * int8      to integers of 8 bits, by ops of their own (quantize, conv2d_i8): a class of errors that
 *           a module is compiled for, never the attribute of an op */
typedef enum ir_precision {
    IR_PRECISION_F32,
    IR_PRECISION_BF16,
    IR_PRECISION_BF16X3,
    IR_PRECISION_INT8,
    IR_PRECISION_COUNT
} ir_precision;
/* bf16 numbers that stand for one: 1 or 2 (hi, lo). Not of f32. */
static inline int64_t ir_parts(ir_precision p) {
    return p == IR_PRECISION_BF16X3 ? 2 : 1;
}

/* Names as they stand in the text form. */
extern const char *const ir_dtype_name[IR_DTYPE_COUNT];
extern const uint32_t ir_dtype_bytes[IR_DTYPE_COUNT];
extern const char *const ir_layout_name[IR_LAYOUT_COUNT]; /* "plain", "c16" */
extern const char *const ir_level_name[IR_LEVEL_COUNT];   /* "graph", ... */
extern const char *const ir_freq_name[IR_FREQ_COUNT]; /* "program", "prompt", "schedule", "step" */
extern const char *const ir_act_name[IR_ACT_COUNT];   /* "none", "silu", ... */
extern const char *const ir_precision_name[IR_PRECISION_COUNT]; /* "f32", "bf16", ... */
/* The error class of a network's results: rms of the error over rms of the result. */
extern const double ir_precision_error[IR_PRECISION_COUNT];

ir_type ir_type_make(ir_dtype dtype, uint32_t rank, const int64_t *dim); /* plain */
bool ir_type_equal(const ir_type *a, const ir_type *b);                  /* layout included */
bool ir_shape_equal(const ir_type *a, const ir_type *b);                 /* dims only */
int64_t ir_type_elements(const ir_type *t);                              /* logical elements */
uint64_t ir_type_bytes(const ir_type *t); /* bytes in its layout, padding included */
/* Rank, extents (1 or more), element count and layout are legal; the reason is appended to `why`
 * when not (may be NULL). */
bool ir_type_valid(const ir_type *t, base_str *why);
/* Rounded up to whole blocks of channels: what c16 pads an extent to. */
static inline int64_t ir_round_block(int64_t n) {
    return (n + IR_BLOCK - 1) / IR_BLOCK * IR_BLOCK;
}
static inline bool ir_is_float(ir_dtype d) {
    return d == IR_f32 || d == IR_f16 || d == IR_bf16;
}
static inline bool ir_is_quantized(ir_dtype d) {
    return d == IR_u8 || d == IR_i8;
}
/* Bytes of a quantized pixel or token of `channels`, its record included. */
static inline int64_t ir_i8_row(int64_t channels) {
    return (channels + IR_I8_BLOCK - 1) / IR_I8_BLOCK * IR_I8_BLOCK + IR_I8_RECORD;
}
/* The axis that c16 blocks: 1 of [B,C,H,W], the last of [B,T,C] and [B,C]; -1 where c16 is not
 * defined. */
int ir_channel_axis(const ir_type *t);

/* ---- attributes ---- */

typedef struct ir_i2 {
    int64_t v[2];
} ir_i2;
typedef struct ir_i4 {
    int64_t v[4];
} ir_i4;
typedef struct ir_dims {
    uint32_t n;
    int64_t v[IR_MAX_RANK];
} ir_dims;
#define IR_I2(a, b)       ((ir_i2){{(a), (b)}})
#define IR_I4(a, b, c, d) ((ir_i4){{(a), (b), (c), (d)}})
#define IR_DIMS0          ((ir_dims){0, {0}})

/* Attribute types, from types.def: ir_attr_NAME is the C type, IR_ATTR_NAME its number. */
#define ATTR(name, type, form)   typedef type ir_attr_##name;
#define NAMED(name, count, what) typedef ir_##name ir_attr_##name;
#include "ir/types.def"
typedef enum ir_attr_kind {
#define ATTR(name, type, form)   IR_ATTR_##name,
#define NAMED(name, count, what) IR_ATTR_##name,
#include "ir/types.def"
    IR_ATTR_KIND_COUNT
} ir_attr_kind;
typedef enum ir_attr_form {
    IR_ATTR_FORM_INTEGER,
    IR_ATTR_FORM_REAL,
    IR_ATTR_FORM_FLAG,
    IR_ATTR_FORM_INTEGERS,
    IR_ATTR_FORM_LIST,
    IR_ATTR_FORM_TEXT,
    IR_ATTR_FORM_NAME
} ir_attr_form;
typedef struct ir_attr_type {
    ir_attr_form form;
    size_t size;              /* of the C type */
    const char *const *names; /* NAME: of its values, in order */
    uint32_t name_count;
    const char *what; /* NAME: a value, for messages: "an activation" */
} ir_attr_type;
const ir_attr_type *ir_attr_type_of(ir_attr_kind kind);
/* The number of a value of form NAME. */
static inline uint32_t ir_attr_name_index(const void *value) {
    return *(const uint32_t *)value;
}

#include "ir/attrs.def"

#define IR_ATTR_FIELD(type, name, def, level) ir_attr_##type name;
#define IR_ATTR_STRUCT(set)                                                                        \
    struct ir_attrs_##set {                                                                        \
        ATTRS_##set(IR_ATTR_FIELD) uint8_t none_;                                                  \
    };
ATTR_SETS(IR_ATTR_STRUCT)

/* One attribute of an op: name, kind, where it lies in the attribute struct, and the level from
 * which it may differ from its default. */
typedef struct ir_attr_info {
    const char *name;
    ir_attr_kind kind;
    size_t offset;
    ir_level level;
} ir_attr_info;

/* ---- ops ---- */

typedef enum ir_op {
#define OP(name, ...) IR_OP_##name,
#include "ir/ops.def"
#undef OP
    IR_OP_COUNT
} ir_op;

/* The operands of an op by name, as its row of ops.def has them: IR_IN(conv2d, bias) is the number
 * of conv2d's operand 'bias', an integer constant; a name the op does not have is no member of the
 * struct, and so an error of the C compiler. IR_OPERANDS(conv2d): how many operands it can have. */
#define IN(name, role)    char name;
#define OPT(name, role)   char name;
#define FUSED(name, role) char name;
#define NONE
#define OP(name, attrs, levels, flags, code, layout, cost, operands, summary)                      \
    struct ir_operands_##name {                                                                    \
        operands char count_;                                                                      \
    };
#include "ir/ops.def"
#undef OP
#undef IN
#undef OPT
#undef FUSED
#undef NONE
#define IR_IN(op, operand) ((uint32_t)offsetof(struct ir_operands_##op, operand))
#define IR_OPERANDS(op)    IR_IN(op, count_)

enum {
    IR_FLAG_LEAF = 1,
    IR_FLAG_EW = 2,
    IR_FLAG_VIEW = 4,
    IR_FLAG_CONTRACT = 8,
    IR_FLAG_ROWS = 16,
    IR_FLAG_PACK = 32
};

/* How kernels read an operand, and how an op's result lies: the words of ops.def, explained there. */
typedef enum ir_role {
    IR_ROLE_ANY,
    IR_ROLE_SAME,
    IR_ROLE_PLAIN,
    IR_ROLE_C16,
    IR_ROLE_TOKENS,
    IR_ROLE_IMAGE,
    IR_ROLE_FILTER,
    IR_ROLE_VECTOR,
    IR_ROLE_TABLE
} ir_role;
typedef enum ir_result {
    IR_RESULT_KEEP,
    IR_RESULT_SAME,
    IR_RESULT_PLAIN,
    IR_RESULT_C16,
    IR_RESULT_TOKENS,
    IR_RESULT_MOVE,
    IR_RESULT_SPLIT
} ir_result;

/* What ops.def says about an op, in digested form. */
typedef struct ir_op_info {
    const char *name;
    const char *summary;
    uint32_t levels;       /* bit 1 << ir_level */
    uint32_t flags;        /* IR_FLAG_* */
    uint32_t min_operands; /* required operands come first */
    uint32_t max_operands;
    uint32_t graph_operands; /* operands allowed at GRAPH level */
    const char *operand_name[IR_MAX_OPERANDS];
    ir_role operand_role[IR_MAX_OPERANDS];
    uint32_t over;    /* bits of the operands whose place the result may take */
    ir_result result; /* how it lies */
    const ir_attr_info *attrs;
    uint32_t attr_count;
    size_t attr_size; /* of the attribute struct */
    const void *attr_default;
} ir_op_info;
const ir_op_info *ir_op_get(ir_op op);
/* The op that computes an activation (not of IR_ACT_NONE), and the activation that an op is:
 * IR_ACT_NONE when it is none. */
ir_op ir_act_op(ir_act act);
ir_act ir_op_act(ir_op op);
bool ir_op_by_name(const char *name, ir_op *op);
/* Kernels of the op write c16 only. */
bool ir_op_blocked(ir_op op);
/* Operand k of the op is a weight that the compiler packs: FILTER, VECTOR or TABLE. */
bool ir_op_packs(ir_op op, uint32_t k);
/* Attribute structs of an op: equality field by field (strings by content). */
bool ir_attrs_equal(ir_op op, const void *a, const void *b);

/* ---- module ---- */

typedef struct ir_ref {
    uint32_t id;
} ir_ref;
#define IR_NONE ((ir_ref){UINT32_MAX})
static inline bool ir_ref_ok(ir_ref r) {
    return r.id != UINT32_MAX;
}
static inline bool ir_ref_eq(ir_ref a, ir_ref b) {
    return a.id == b.id;
}

/* Where a node comes from: file and position in the model description, and the block it belongs to
 * (its tensor prefix, e.g. "down_blocks.0.resnets.1"). Interned in the module; index 0 = unknown.
 */
typedef struct ir_origin {
    const char *file;
    uint32_t line, col;
    const char *block;
} ir_origin;
typedef uint32_t ir_origin_id;

/* A named parameter of a kernel binding. */
typedef struct ir_param {
    const char *name;
    bool is_float;
    int64_t i;
    double f;
} ir_param;

/* KERNEL level: which kernel computes a node, every field of its params struct, how many tasks,
 * scratch bytes a thread. */
typedef struct ir_binding {
    const char *kernel; /* name of a kernels.def row, or "ew" for a loop generated from the node */
    uint32_t param_count;
    ir_param *params;
    int64_t tasks;
    uint64_t scratch;
    /* the target's own: how the work is cut for other numbers of threads (`scratch` is enough for
     * all); NULL: as the parameters say, for any number. No part of the text, where it follows from
     * the parameters */
    const void *cuts;
} ir_binding;

/* PLACED level: where a node's bytes are. Views have the place of what they view (plus 0). */
typedef enum ir_place_kind {
    IR_UNPLACED,
    IR_AT_ARENA,
    IR_AT_INPUT,
    IR_AT_OUTPUT,
    IR_AT_WEIGHT
} ir_place_kind;
typedef struct ir_place {
    ir_place_kind kind;
    /* arena: byte offset; input, output: index; weight: byte offset in the packed weights */
    uint64_t offset;
} ir_place;

typedef struct ir_node {
    ir_op op;
    uint32_t operand_count;
    ir_ref operand[IR_MAX_OPERANDS]; /* absent optional operands are IR_NONE */
    const void *attrs;               /* struct ir_attrs_SET of the op; arena */
    ir_type type;
    ir_origin_id origin;
    ir_binding *binding; /* KERNEL on; NULL for leaves and views */
    ir_place place;      /* PLACED */
} ir_node;
#define IR_ATTRS(node, set) ((const struct ir_attrs_##set *)(node)->attrs)
/* Operand k of a node, IR_NONE when absent. */
static inline ir_ref ir_operand(const ir_node *n, uint32_t k) {
    return k < n->operand_count ? n->operand[k] : IR_NONE;
}
/* The same by name: IR_OPERAND(n, conv2d, bias) of a node n that is a conv2d (or has its operands). */
#define IR_OPERAND(node, op, name) ir_operand((node), IR_IN(op, name))

/* How the elements of a weight are stored: as numbers of its type, or in blocks of small integers,
 * which are read as f32 (ir/stored.def). */
typedef enum ir_stored {
    IR_STORED_PLAIN,
#define STORED(ID, word, elements, bytes) IR_STORED_##ID,
#include "ir/stored.def"
    IR_STORED_COUNT
} ir_stored;

/* A tensor of the weight table. Data is reached through ir_weight_read only. */
typedef struct ir_weight ir_weight;
typedef struct ir_lora ir_lora;
typedef struct ir_rows ir_rows;
struct ir_weight {
    const char *name; /* unique in the module, e.g. "unet/conv_in.weight" */
    ir_type type;     /* dtype as stored; plain; with the rows that are behind the stored ones */
    /* Where it comes from, for the text form: exactly one of these kinds. */
    enum { IR_WEIGHT_UNBOUND, IR_WEIGHT_FILE, IR_WEIGHT_RANDOM, IR_WEIGHT_DATA } kind;
    const char *file; /* FILE: path as it can be opened */
    /* FILE: the tensor inside, or a part of it: NAME, NAME[a:b] (rows), NAME.T */
    const char *tensor;
    uint64_t seed; /* RANDOM: see ir/weights.c for the distribution */
    double bound;  /* RANDOM: values uniform in [center - bound, center + bound] */
    double center;
    /* FILE: mapped bytes (kept alive by the module's owners); DATA: elements in the arena */
    const void *data;
    ir_stored stored;   /* of data; in blocks the type is f32 */
    ir_lora *loras;     /* added to the values wherever they are read, in this order; arena */
    ir_lora *last_lora; /* ir_lora_add's */
    ir_rows *rows;      /* behind the stored elements, in this order; arena */
};

/* Further rows of a table [N,C], as embeddings of new tokens are: [n,C], without a name, updates
 * and rows of their own. */
struct ir_rows {
    ir_weight values;
    ir_rows *next;
};

/* An update of a weight by a file of another training: ir/lora.def says which there are, what they
 * do and which factors they have. Factors have no name and no updates of their own; one that is not
 * there has a type of rank 0. */
typedef enum ir_lora_method {
#define LORA_METHOD(ID, word, required) IR_LORA_##ID,
#include "ir/lora.def"
    IR_LORA_METHODS
} ir_lora_method;
typedef enum ir_lora_factor {
#define LORA_FACTOR(ID, word) IR_LORA_##ID,
#include "ir/lora.def"
    IR_LORA_FACTORS
} ir_lora_factor;
extern const char *const ir_lora_method_name[IR_LORA_METHODS],
    *const ir_lora_factor_name[IR_LORA_FACTORS];
extern const uint32_t ir_lora_required[IR_LORA_METHODS]; /* bits of factors */
struct ir_lora {
    ir_lora_method method;
    double scale;
    union {
        struct {
            ir_weight up, down, mid; /* of low rank */
        };
        ir_weight factor[IR_LORA_FACTORS];
    };
    ir_lora *next;
};
/* The factors that are there. */
#define IR_LORA_EACH(l, k)                                                                         \
    for (int k = 0; k < IR_LORA_FACTORS; k++)                                                      \
        if ((l)->factor[k].type.rank)

/* A property of the model that is not dataflow: pipeline kind, sampler constants, tokenizer
 * files... Keys are dotted. Here they may be any; which ones a model may have, and of which kind,
 * says runtime/abi/meta_keys.def, and who loads a model checks it. */
typedef struct ir_meta {
    const char *key;
    enum { IR_META_INT, IR_META_FLOAT, IR_META_STRING } kind;
    int64_t i;
    double f;
    const char *s;
    uint32_t line, col, length; /* in the text it was read from; 0: it was not */
} ir_meta;

typedef struct ir_output {
    const char *name;
    ir_ref value;
} ir_output;

typedef struct ir_module ir_module;

typedef struct ir_func {
    ir_module *module;
    const char *name; /* "unet", "unet@2.step", "vae.decode", ... */
    BASE_VEC(ir_node) nodes;
    BASE_VEC(ir_ref) inputs; /* nodes with op input, in parameter order */
    BASE_VEC(ir_output) outputs;
    uint64_t arena_bytes;     /* PLACED */
    uint64_t scratch_bytes;   /* KERNEL on: the largest of the bindings', per thread */
    struct ir_intern *intern; /* hash table of pure nodes; rebuilt when missing */
} ir_func;

struct ir_module {
    base_arena *arena;
    ir_level level;
    BASE_VEC(ir_func *) funcs;
    BASE_VEC(ir_weight) weights;
    BASE_VEC(ir_meta) meta;
    BASE_VEC(ir_origin) origins; /* [0] = unknown */
    /* Things kept alive for the weights' data (mapped files); freed with the module by calling
     * `close(owner)`. */
    BASE_VEC(struct ir_owner {
        void *owner;
        void (*close)(void *);
    })
    owners;
    struct ir_tables *tables; /* node.c: lookup of weights and origins */
};

/* node.c: modules, functions, nodes */
ir_module *ir_module_new(void);
void ir_module_free(ir_module *m);                    /* NULL is allowed */
ir_func *ir_func_new(ir_module *m, const char *name); /* appended to m->funcs */
/* A function that the module does not list: whoever makes it lists it, hands it to ir_func_take or
 * frees its contents with ir_func_clear. */
ir_func *ir_func_detached(ir_module *m, const char *name);
/* f gets the contents of a detached function, name included, and keeps its address; `from` is empty
 * then. Both are of one module. */
void ir_func_take(ir_func *f, ir_func *from);
/* Frees what a function holds outside the arena; an empty function remains. */
void ir_func_clear(ir_func *f);
ir_func *ir_func_find(const ir_module *m, const char *name); /* NULL when absent */
void ir_func_remove(ir_module *m, ir_func *f);
static inline const ir_node *ir_get(const ir_func *f, ir_ref r) {
    return &f->nodes.items[r.id];
}
static inline const ir_type *ir_typeof(const ir_func *f, ir_ref r) {
    return &f->nodes.items[r.id].type;
}
ir_origin_id ir_origin_add(ir_module *m, const char *file, uint32_t line, uint32_t col,
                           const char *block);

/* Weight and meta tables. ir_weight_add returns the index of the entry with that name, adding it if
 * new. */
uint32_t ir_weight_add(ir_module *m, const char *name, const ir_type *type);
uint32_t ir_weight_find(const ir_module *m, const char *name); /* UINT32_MAX when absent */
/* The type of a weight without the rows behind the stored ones. */
ir_type ir_weight_stored_type(const ir_weight *w);
/* Puts rows behind those a weight has (copied into the module's arena). Its type, which must be
 * [N,C], changes wherever functions use it; no node behind it may depend on N. */
void ir_weight_append(ir_module *m, uint32_t weight, const ir_weight *rows);
/* Reads `count` elements from element `first` as f32, updates and rows included. The weight must be
 * bound. */
void ir_weight_read(const ir_weight *w, float *out, int64_t first, int64_t count);
/* The elements of the weight, of all its updates and rows are there to be read. */
bool ir_weight_bound(const ir_weight *w);
/* Bytes of the weight's data. */
uint64_t ir_weight_bytes(const ir_weight *w);
/* The value of binary16 bits. */
float ir_f16_value(uint16_t bits);
/* stored.c: forms other than PLAIN. Name ("Q8_0"), elements of a block (of PLAIN 1), bytes of so many
 * whole blocks, and `count` elements from `first` as f32; data may lie at any address. */
const char *ir_stored_name(ir_stored form);
int ir_stored_block(ir_stored form);
uint64_t ir_stored_bytes(ir_stored form, uint64_t elements);
void ir_stored_read(ir_stored form, const void *data, float *out, int64_t first, int64_t count);
/* The bits of the bf16 number nearest to x, ties to even; a NaN stays one. */
uint16_t ir_bf16_bits(float x);

/* lora.c: an update is added to a weight's list (copied into the module's arena), after those it
 * has. */
void ir_lora_add(ir_module *m, uint32_t weight, const ir_lora *update);
/* The method has its factors, and no others, and they fit each other and a weight of type `w`; the
 * reason is appended to `why` when not (may be NULL). */
bool ir_lora_fits(const ir_type *w, const ir_lora *update, base_str *why);
/* The rank, by which alpha is divided; 1 of methods without one. The update must fit. */
int64_t ir_lora_rank(const ir_lora *update);
void ir_meta_set_int(ir_module *m, const char *key, int64_t value);
void ir_meta_set_float(ir_module *m, const char *key, double value);
void ir_meta_set_string(ir_module *m, const char *key, const char *value);
const ir_meta *ir_meta_get(const ir_module *m, const char *key); /* NULL when absent */
int64_t ir_meta_int(const ir_module *m, const char *key, int64_t otherwise);
double ir_meta_float(const ir_module *m, const char *key,
                     double otherwise); /* an int entry is converted */
const char *ir_meta_string(const ir_module *m, const char *key, const char *otherwise);

/* Building. `attrs` may be NULL (defaults); it is copied. The result type is inferred (ir_infer); a
 * fault in operands or attributes here is the caller's bug and ends in ICE: front ends check user
 * input before they build. Trailing absent operands are dropped. Returns an existing equal node
 * where there is one. `layout` is the result's layout. */
ir_ref ir_build(ir_func *f, ir_op op, const ir_ref *operands, uint32_t count, const void *attrs,
                ir_layout layout, ir_origin_id origin);
ir_ref ir_input(ir_func *f, const char *name, const ir_type *type, ir_freq freq,
                ir_origin_id origin);
/* An input with the name and attributes of one of another function, and a type of its own. */
ir_ref ir_input_like(ir_func *f, const ir_node *input, const ir_type *type);
/* Says of an input with an even first axis that its halves are always equal. */
void ir_input_pair(ir_func *f, ir_ref input);
ir_ref ir_weight_ref(ir_func *f, uint32_t weight_index,
                     ir_origin_id origin);                      /* origin unused: the name tells */
void ir_set_output(ir_func *f, const char *name, ir_ref value); /* appended */
/* Removes nodes that no output depends on (inputs stay) and closes the gaps; order is kept, but that
 * weights stand before their first use, as in a function that was read from text: what stood there
 * once leaves no trace. */
void ir_func_sweep(ir_func *f);
/* Shorthands for plain-layout nodes. */
ir_ref ir_op1(ir_func *f, ir_op op, ir_ref a, const void *attrs, ir_origin_id origin);
ir_ref ir_op2(ir_func *f, ir_op op, ir_ref a, ir_ref b, const void *attrs, ir_origin_id origin);
ir_ref ir_op3(ir_func *f, ir_op op, ir_ref a, ir_ref b, ir_ref c, const void *attrs,
              ir_origin_id origin);
/* Default attributes of a set: struct ir_attrs_conv2d a = IR_DEFAULTS(conv2d); */
#define IR_ATTR_INIT(type, name, def, level) .name = def,
#define IR_DEFAULTS(set)                     ((struct ir_attrs_##set){ATTRS_##set(IR_ATTR_INIT).none_ = 0})

/* uses.c: analyses, recomputed when needed */
/* Number of uses of each node (operands and outputs); base_free the result. */
uint32_t *ir_use_counts(const ir_func *f);
/* For each node how often its value changes: the highest frequency among the inputs it depends on;
 * base_free. */
ir_freq *ir_frequencies(const ir_func *f);

/* For each node the last node that reads its bytes, itself or through views; the node itself where
 * nobody reads them, the number of nodes where an output shows them. A view, whose bytes are those
 * of another node, has the entry of a node that nobody reads. One walk; base_free. */
uint32_t *ir_last_uses(const ir_func *f);
/* For each node the node whose bytes it shows: ir_view_root of all, in one walk; base_free. */
uint32_t *ir_view_roots(const ir_func *f);
/* For each node whether it depends on weights only, so that it can be computed at compile time;
 * base_free. */
bool *ir_constants(const ir_func *f);
/* True when the node's bytes are its operand's: a view, or a reshape, transpose or layout_cast that
 * moves nothing in these layouts. Such a node needs no kernel and has the place of its operand. */
bool ir_is_view(const ir_func *f, ir_ref r);
/* The node whose bytes r shows: r itself, or through views the node viewed. */
ir_ref ir_view_root(const ir_func *f, ir_ref r);
/* The operands, as bits, over which a kernel of this node may write its result when they die there:
 * those it reads element by element or row by row at the place it writes, of exactly the result's
 * type; or what conv2d {overwrite} reads, which may be larger than the result. */
uint32_t ir_overwritable(const ir_func *f, ir_ref r);

/* shape.c: result types. ir_infer computes the result type (layout plain) of an op; on faults
 * appends messages, one line each, to `faults` and returns false. */
bool ir_infer(const ir_func *f, ir_op op, const ir_ref *operands, uint32_t count, const void *attrs,
              ir_type *out, base_str *faults);

/* verify.c: structure, levels, types, layouts, bindings, places. Collects all faults into `faults`
 * (NULL: ICE at the first), each line "FUNC: %41 attention: operand 'k': expected ..., found ...".
 * True when there are none. */
bool ir_verify(const ir_module *m, base_str *faults);

/* print.c, parse.c: the text form. ir_parse reports problems to `d` with line and column and
 * returns NULL. Weights of kind FILE come back unbound (data NULL) until the front end binds them
 * (fe_bind_ir_weights). */
void ir_print(const ir_module *m, base_str *out);
void ir_print_func(const ir_func *f, base_str *out);
/* The same, with source locations or without. Text without them reads back to the same module but
 * for the locations and blocks of its nodes. */
void ir_print_text(const ir_module *m, bool loc, base_str *out);
void ir_print_func_text(const ir_func *f, bool loc, base_str *out);
void ir_print_type(const ir_type *t, base_str *out);
/* One node as in the text form, without its origin: for reports and messages. */
void ir_print_node(const ir_func *f, ir_ref r, base_str *out);
/* The same with numbers from ir_numbering, for many nodes of a function; with its origin when
 * `origin`. */
void ir_print_line(const ir_func *f, const uint32_t *number, ir_ref r, bool origin, base_str *out);
/* A row of the weight table as in the text form. */
void ir_print_weight(const ir_weight *w, base_str *out);
/* A value of an attribute type, as in the text form. */
void ir_print_value(ir_attr_kind kind, const void *value, base_str *out);
/* Attribute `index` of the op's; all that differ from their defaults, as " {a=1, b=2}" or nothing.
 */
void ir_print_attr(const ir_node *n, uint32_t index, base_str *out);
void ir_print_attrs(const ir_node *n, base_str *out);
/* For a debugger: a function, or one node of it, to standard error. scripts/gdb/ebru.py calls them. */
void ir_dump_func(const ir_func *f);
void ir_dump_node(const ir_func *f, ir_ref r);
ir_module *ir_parse(base_diag *d, const char *name, const char *text, size_t length);
/* What a text is held to beside the verifier, by those who know kernels (codegen/target): called
 * where the verifier finds nothing. Faults make the text illegal; remarks tell what was set right.
 */
typedef struct ir_text_report {
    void (*fault)(void *user, const ir_func *f, ir_ref node, const char *message);
    void (*remark)(void *user, const ir_func *f, ir_ref node, const char *message);
    void *user;
} ir_text_report;
typedef struct ir_text_rules {
    void (*hold)(void *of, ir_module *m, const ir_text_report *to);
    void *of;
} ir_text_rules;
/* ir_parse, held to `rules` (NULL: none). */
ir_module *ir_parse_held(base_diag *d, const char *name, const char *text, size_t length,
                         const ir_text_rules *rules);
/* The number of a node in the text form (%N): inputs first, then the others in order; weights have
 * none (UINT32_MAX). ir_numbering returns the numbers of all nodes, base_free it. */
uint32_t *ir_numbering(const ir_func *f);
/* "%12", or "@name" for a weight: for messages. Walks the function. */
void ir_print_ref(const ir_func *f, ir_ref r, base_str *out);

/* expr.c: expressions of `ew` nodes. */
typedef struct ir_expr_step {
    enum { IR_EXPR_OPERAND, IR_EXPR_NUMBER, IR_EXPR_OP } kind;
    uint32_t operand; /* OPERAND */
    double number;    /* NUMBER */
    ir_op op;         /* OP: an elementwise op; takes its arity from the stack */
} ir_expr_step;
#define IR_EXPR_MAX 128
/* Parses into postfix steps; returns their number, 0 when malformed (message in `fault` when not
 * NULL). Besides the binary and unary elementwise ops, affine and clamp are written add/mul and
 * max/min: "min(max(a,-1),1)" uses functions max and min. */
uint32_t ir_expr_parse(const char *text, ir_expr_step steps[IR_EXPR_MAX], base_str *fault);
/* Any elementwise node as steps over its own operands 0..n-1 (those of an ew node as they are).
 * Returns their number; 0 for an ew node whose text is malformed, with the fault as for
 * ir_expr_parse. */
uint32_t ir_expr_of_node(const ir_node *n, ir_expr_step steps[IR_EXPR_MAX], base_str *fault);
/* The text of well-formed steps: ir_expr_parse reads it back identically. */
void ir_expr_print(const ir_expr_step *steps, uint32_t count, base_str *out);

/* eval.c: the reference evaluator, the semantic specification: naive loops, binary64 accumulation,
 * any level. Tensors are logical row-major arrays; integer tensors are held as float too (exact
 * below 2^24). */
typedef struct ir_tensor {
    ir_type type;
    float *data; /* base_alloc'd; owned by whoever holds the tensor */
} ir_tensor;
typedef struct ir_eval_options {
    void (*progress)(void *user, uint32_t done, uint32_t total);
    /* Called after every node (layers of `verify --layers`); NULL: not called. */
    void (*observe)(void *user, ir_ref node, const ir_tensor *value);
    void *user;
} ir_eval_options;
/* Evaluates f on inputs (in parameter order; types must match) into outputs[f->outputs.count]
 * (allocated here, free with ir_tensor_free). Weights must be bound. Intermediate tensors are freed
 * at their last use. */
void ir_eval(const ir_func *f, const ir_tensor *inputs, ir_tensor *outputs,
             const ir_eval_options *options);
/* Evaluates one value that depends on weights only (frequency program), e.g. a packed weight. */
ir_tensor ir_eval_constant(const ir_func *f, ir_ref r);
/* Evaluates one node that is no input on these operands (NULL where absent; shapes must match). */
ir_tensor ir_eval_node(const ir_func *f, ir_ref r, const ir_tensor *const in[IR_MAX_OPERANDS]);
void ir_tensor_free(ir_tensor *t);

/* cost.c */
typedef struct ir_cost {
    double flops; /* multiply-adds count twice; elementwise functions count one per element */
    uint64_t weight_bytes; /* weights read, as packed */
    uint64_t bytes;        /* activations read and written, in their layouts */
} ir_cost;
ir_cost ir_node_cost(const ir_func *f, ir_ref r);
ir_cost ir_func_cost(const ir_func *f);
int64_t
ir_parameter_count(const ir_module *m); /* elements of all weights referenced by some function */

/* rewrite.c: building a changed copy of a function. The driver walks the old nodes in order; `rule`
 * may return a value of the new function for an old node, or IR_NONE for a plain clone. Interning
 * removes duplicates; dead nodes stay until the dead-code pass (ir_rewrite_apply removes them when
 * `drop_dead`). Looks only at operands and use counts.
 *   - rw_new(rw, old operand): the new value of an old node
 *   - match on new nodes (already rewritten), count uses on old ones. */
typedef struct ir_rewrite {
    ir_func *from, *to;
    ir_ref *map;    /* old id -> new ref */
    uint32_t *uses; /* use counts of `from` */
    void *user;
} ir_rewrite;
typedef ir_ref (*ir_rewrite_rule)(ir_rewrite *rw, ir_ref old);
static inline ir_ref rw_new(const ir_rewrite *rw, ir_ref old) {
    return ir_ref_ok(old) ? rw->map[old.id] : IR_NONE;
}
ir_ref rw_clone(ir_rewrite *rw, ir_ref old); /* the old node with its operands mapped */
/* Drafts: a node that is like another but for some operands or attributes. rw_draft is the old node
 * with the new values of its operands; a copy of a new node is a draft, too. Of a draft its op,
 * operands, attributes, origin and the layout of its type may be changed before it is built, which
 * infers the type anew. */
ir_node rw_draft(const ir_rewrite *rw, ir_ref old);
ir_ref rw_build(ir_rewrite *rw, const ir_node *draft);
/* Operand k of a draft; those between it and the last so far are absent. */
void ir_set_operand(ir_node *draft, uint32_t k, ir_ref value);
/* Gives the draft attributes of its own (in the module's arena) and returns the place of the one
 * with this name, which is of this kind: for attributes that several ops have. */
void *ir_edit_attr(ir_module *m, ir_node *draft, const char *name, ir_attr_kind kind);
/* Replaces f's contents by the rewritten ones. True when the text of f changed. */
bool ir_rewrite_apply(ir_func *f, ir_rewrite_rule rule, void *user, bool drop_dead);

/* target.h is the passes' view of the target machine. */

#endif
