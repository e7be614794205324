/* The constant tables of runtime/abi/abi.h as LLVM constants. Field by field in the order of the C
 * structs; LLVM lays a non-packed struct out as C does. */
#include "base/digest.h"
#include "base/hash.h"
#include "base/index.h"
#include "codegen/link/jobs.h"
#include "codegen/llvm/cg.h"
#include "runtime/abi/abi.h"
#include "runtime/abi/meta_keys.h"

#include <string.h>

typedef struct tables {
    cg *c;
    const cg_table_input *in;
    BASE_VEC(struct known_string {
        const char *text;
        LLVMValueRef global;
    })
    strings;
    base_index by_text;
} tables;

/* ---- building blocks ---- */

static LLVMValueRef constant(cg *c, LLVMValueRef value, const char *name, uint32_t align) {
    LLVMValueRef g = LLVMAddGlobal(c->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(g, value);
    LLVMSetGlobalConstant(g, 1);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    if (align) LLVMSetAlignment(g, align);
    return g;
}

static LLVMValueRef null(const tables *t) {
    return LLVMConstNull(t->c->ptr);
}

/* Blocks and kernels repeat often: equal strings are one. */
static LLVMValueRef string(tables *t, const char *s) {
    if (!s) return null(t);
    const uint32_t hash = base_hash_text(s);
    uint32_t at = base_index_start(&t->by_text, hash), id;
    while (base_index_next(&t->by_text, hash, &at, &id))
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): what has an id is there */
        if (strcmp(t->strings.items[id].text, s) == 0) return t->strings.items[id].global;
    LLVMValueRef value = LLVMConstStringInContext2(t->c->context, s, strlen(s), 0);
    struct known_string k = {s, constant(t->c, value, "", 1)};
    LLVMSetUnnamedAddress(k.global, LLVMGlobalUnnamedAddr);
    base_index_add(&t->by_text, hash, (uint32_t)t->strings.count);
    BASE_PUSH(&t->strings, k);
    return k.global;
}

/* A string that will not outlive the call. */
static LLVMValueRef text(tables *t, const base_str *s) {
    LLVMValueRef value =
        LLVMConstStringInContext2(t->c->context, s->data ? s->data : "", s->len, 0);
    return constant(t->c, value, "", 1);
}

static LLVMValueRef structure(tables *t, LLVMValueRef *fields, uint32_t count) {
    return LLVMConstStructInContext(t->c->context, fields, count, 0);
}
#define STRUCT(t, fields) structure(t, fields, sizeof fields / sizeof *fields)

/* An array of structs as a global; NULL when empty. Frees `items`. */
static LLVMValueRef array(tables *t, LLVMValueRef *items, size_t count, const char *name) {
    LLVMValueRef g = null(t);
    if (count) g = constant(t->c, LLVMConstArray2(LLVMTypeOf(items[0]), items, count), name, 16);
    base_free(items);
    return g;
}

static LLVMValueRef bytes(tables *t, const unsigned char *data, size_t count, const char *name) {
    if (!data) return null(t);
    return constant(t->c, LLVMConstStringInContext2(t->c->context, (const char *)data, count, 1),
                    name, 16);
}

static LLVMValueRef i32(const tables *t, int64_t v) {
    return cg_i32(t->c, v);
}
static LLVMValueRef i64(const tables *t, uint64_t v) {
    return cg_i64(t->c, (int64_t)v);
}
static LLVMValueRef f64(const tables *t, double v) {
    return LLVMConstReal(LLVMDoubleTypeInContext(t->c->context), v);
}

/* ---- functions ---- */

_Static_assert(sizeof((struct ebru_tensor_desc *)0)->dim == IR_MAX_RANK * sizeof(int64_t),
               "a tensor of the tables has room for all dimensions of a type");
/* Numbers of these enums stand in the tables as they are. */
_Static_assert((int)IR_PROGRAM == (int)EBRU_PROGRAM && (int)IR_PROMPT == (int)EBRU_PROMPT &&
                   (int)IR_SCHEDULE == (int)EBRU_SCHEDULE && (int)IR_STEP == (int)EBRU_STEP &&
                   (int)IR_FREQ_COUNT == 4,
               "ir_freq is what abi.h calls a frequency");
_Static_assert((int)CG_WEIGHTS_EMBED == (int)EBRU_EMBED &&
                   (int)CG_WEIGHTS_APPEND == (int)EBRU_APPEND &&
                   (int)CG_WEIGHTS_EXTERNAL == (int)EBRU_EXTERNAL,
               "cg_weights is what abi.h calls a place of weights");

static LLVMValueRef tensor(tables *t, const char *name, const ir_type *type, ir_freq freq) {
    LLVMValueRef dim[8];
    for (uint32_t i = 0; i < 8; i++) dim[i] = i64(t, i < type->rank ? (uint64_t)type->dim[i] : 0);
    LLVMValueRef fields[] = {
        string(t, name),
        i32(t, type->dtype == IR_i32    ? EBRU_I32
               : type->dtype == IR_bf16 ? EBRU_BF16
               : type->dtype == IR_u8   ? EBRU_U8
               : type->dtype == IR_i8   ? EBRU_I8
                                        : EBRU_F32),
        i32(t, type->layout == IR_C16 ? EBRU_C16 : EBRU_PLAIN),
        i32(t, type->rank),
        i32(t, (int)freq),
        LLVMConstArray2(t->c->i64, dim, 8),
        i64(t, ir_type_bytes(type)),
    };
    return STRUCT(t, fields);
}

static LLVMValueRef inputs(tables *t, const ir_func *f) {
    LLVMValueRef *items = base_alloc((f->inputs.count + 1) * sizeof *items);
    for (size_t i = 0; i < f->inputs.count; i++) {
        const ir_node *n = ir_get(f, f->inputs.items[i]);
        items[i] = tensor(t, IR_ATTRS(n, input)->name, &n->type, IR_ATTRS(n, input)->freq);
    }
    return array(t, items, f->inputs.count, "inputs");
}

static LLVMValueRef outputs(tables *t, const ir_func *f) {
    LLVMValueRef *items = base_alloc((f->outputs.count + 1) * sizeof *items);
    ir_freq *freq = ir_frequencies(f);
    for (size_t i = 0; i < f->outputs.count; i++) {
        const ir_output *o = &f->outputs.items[i];
        items[i] = tensor(t, o->name, ir_typeof(f, o->value), freq[o->value.id]);
    }
    base_free(freq);
    return array(t, items, f->outputs.count, "outputs");
}

static LLVMValueRef ops(tables *t, const cg_func_plan *p) {
    LLVMValueRef *items = base_alloc((p->ops.count + 1) * sizeof *items);
    uint32_t *number = ir_numbering(p->f);
    for (size_t i = 0; i < p->ops.count; i++) {
        const ir_node *n = ir_get(p->f, p->ops.items[i].node);
        ir_cost cost = ir_node_cost(p->f, p->ops.items[i].node);
        const char *block = p->f->module->origins.items[n->origin].block;
        base_str detail = {0};
        ir_print_type(&n->type, &detail);
        LLVMValueRef fields[] = {
            string(t, ir_op_get(n->op)->name),
            string(t, n->binding->kernel),
            string(t, block ? block : ""),
            text(t, &detail),
            f64(t, cost.flops),
            i64(t, cost.bytes),
            i64(t, cost.weight_bytes),
            i32(t, number[p->ops.items[i].node.id]),
            i32(t, 0),
        };
        items[i] = STRUCT(t, fields);
        base_str_free(&detail);
    }
    base_free(number);
    return array(t, items, p->ops.count, "ops");
}

/* Images a call computes: the first axis of the first result. */
static int64_t batch_of(const ir_func *f) {
    if (!f->outputs.count) return 1;
    const ir_type *t = ir_typeof(f, f->outputs.items[0].value);
    return t->rank ? t->dim[0] : 1;
}

static LLVMValueRef functions(tables *t, size_t *count) {
    const cg_plan *p = &t->in->plans[0];
    LLVMValueRef *items = base_alloc((p->funcs.count + 1) * sizeof *items);
    for (size_t i = 0; i < p->funcs.count; i++) {
        const ir_func *f = p->funcs.items[i].f;
        uint64_t arena = 0, scratch = 0; /* levels may need different amounts */
        for (uint32_t l = 0; l < t->in->level_count; l++) {
            const ir_func *g = t->in->plans[l].funcs.items[i].f;
            if (g->arena_bytes > arena) arena = g->arena_bytes;
            if (g->scratch_bytes > scratch) scratch = g->scratch_bytes;
        }
        LLVMValueRef fields[] = {
            string(t, f->name),
            i32(t, (int64_t)f->inputs.count),
            i32(t, (int64_t)f->outputs.count),
            i32(t, (int64_t)p->funcs.items[i].ops.count),
            i32(t, batch_of(f)),
            inputs(t, f),
            outputs(t, f),
            ops(t, &p->funcs.items[i]),
            i64(t, arena),
            i64(t, scratch),
        };
        items[i] = STRUCT(t, fields);
    }
    *count = p->funcs.count;
    return array(t, items, p->funcs.count, "functions");
}

/* ---- levels ---- */

static LLVMValueRef levels(tables *t) {
    cg *c = t->c;
    LLVMTypeRef args[] = {c->ptr, c->i32, c->i32};
    LLVMTypeRef type = LLVMFunctionType(c->void_, args, 3, 0);
    LLVMValueRef *items = base_alloc((t->in->level_count + 1) * sizeof *items);
    for (uint32_t l = 0; l < t->in->level_count; l++) {
        const cg_plan *p = &t->in->plans[l];
        LLVMValueRef *run = base_alloc((p->funcs.count + 1) * sizeof *run);
        for (size_t i = 0; i < p->funcs.count; i++) {
            run[i] = LLVMAddFunction(c->module, p->funcs.items[i].symbol, type);
            LLVMSetVisibility(run[i], LLVMHiddenVisibility);
        }
        LLVMValueRef fields[] = {string(t, p->target->base.level),
                                 array(t, run, p->funcs.count, "run")};
        items[l] = STRUCT(t, fields);
    }
    return array(t, items, t->in->level_count, "levels");
}

/* ---- properties ---- */

/* What concerns the compilation only, above all files of this machine, says nothing to whoever runs
 * the program. */
static bool in_program(const ir_meta *m) {
    const ebru_meta_key *key = ebru_meta_find(m->key);
    return key && key->in_program;
}

_Static_assert((int)IR_META_INT == EBRU_META_KIND_INT &&
                   (int)IR_META_FLOAT == EBRU_META_KIND_FLOAT &&
                   (int)IR_META_STRING == EBRU_META_KIND_STRING,
               "kinds of values are the same in the IR and in the program");

/* The properties that go into the program, by their keys; base_free() them. */
static const ir_meta **sorted_meta(const cg_table_input *in, size_t *count) {
    const ir_module *m = in->plans[0].module;
    const ir_meta **sorted = base_alloc((m->meta.count + 1) * sizeof *sorted);
    size_t n = 0;
    for (size_t i = 0; i < m->meta.count; i++) {
        size_t at = n;
        if (!in_program(&m->meta.items[i])) continue;
        for (; at > 0 && strcmp(sorted[at - 1]->key, m->meta.items[i].key) > 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = &m->meta.items[i];
        n++;
    }
    *count = n;
    return sorted;
}

static LLVMValueRef meta(tables *t, size_t *count) {
    size_t n;
    const ir_meta **sorted = sorted_meta(t->in, &n);
    LLVMValueRef *items = base_alloc((n + 1) * sizeof *items);
    for (size_t i = 0; i < n; i++) {
        const ir_meta *e = sorted[i];
        ebru_meta_kind kind = (ebru_meta_kind)e->kind;
        LLVMValueRef fields[] = {
            string(t, e->key),
            i32(t, kind),
            i32(t, 0),
            i64(t, kind == EBRU_META_KIND_INT ? (uint64_t)e->i : 0),
            f64(t, kind == EBRU_META_KIND_FLOAT ? e->f : 0.0),
            string(t, kind == EBRU_META_KIND_STRING ? e->s : NULL),
        };
        items[i] = STRUCT(t, fields);
    }
    base_free(sorted);
    *count = n;
    return array(t, items, n, "meta");
}

/* ---- what program this is ---- */

static void digest_text(base_digest *d, const char *s) {
    base_digest_add(d, s ? s : "", s ? strlen(s) + 1 : 1);
}

/* The properties steer the loop: prediction, sampler, guidance. */
static void digest_meta(base_digest *d, const cg_table_input *in) {
    size_t n;
    const ir_meta **sorted = sorted_meta(in, &n);
    for (size_t i = 0; i < n; i++) {
        const ir_meta *e = sorted[i];
        digest_text(d, e->key);
        if (e->kind == IR_META_INT) base_digest_add(d, &e->i, sizeof e->i);
        if (e->kind == IR_META_FLOAT) base_digest_add(d, &e->f, sizeof e->f);
        if (e->kind == IR_META_STRING) digest_text(d, e->s);
    }
    base_free(sorted);
}

/* Everything that runs: the kernels with their parameters, the order of the ops, the weights, the
 * properties and the tokenizers; and what the compiler says about itself. Nothing of the place it
 * was compiled at. */
static void build_id(const cg_table_input *in, const char *info, char out[33]) {
    base_digest d;
    unsigned char id[16];
    base_digest_begin(&d);
    digest_text(&d, info);
    base_digest_add(&d, in->weights_id, sizeof in->weights_id);
    digest_meta(&d, in);
    if (in->options->tokenizer)
        base_digest_add(&d, in->options->tokenizer, in->options->tokenizer_bytes);
    if (in->options->tokenizer_2)
        base_digest_add(&d, in->options->tokenizer_2, in->options->tokenizer_2_bytes);
    for (uint32_t l = 0; l < in->level_count; l++) {
        const cg_plan *p = &in->plans[l];
        digest_text(&d, p->target->base.level);
        for (size_t i = 0; i < p->wrappers.count; i++) digest_text(&d, p->wrappers.items[i].key);
        for (size_t i = 0; i < p->funcs.count; i++) {
            const cg_func_plan *f = &p->funcs.items[i];
            digest_text(&d, f->f->name);
            for (size_t k = 0; k < f->ops.count; k++) {
                const ir_node *n = ir_get(f->f, f->ops.items[k].node);
                const uint32_t what[] = {f->ops.items[k].wrapper, f->ops.items[k].barrier};
                digest_text(&d, ir_op_get(n->op)->name);
                base_digest_add(&d, what, sizeof what);
            }
        }
    }
    base_digest_end(&d, id);
    for (int i = 0; i < 16; i++) snprintf(out + 2 * i, 3, "%02x", id[i]);
}

/* The build information with the id as its third line: near the mark that others find the text by.
 * Behind its end stands what the functions are. */
static LLVMValueRef build_info(tables *t) {
    const char *info = t->in->options->build_info ? t->in->options->build_info : "", *at = info;
    char id[33];
    build_id(t->in, info, id);
    for (int line = 0; line < 2 && strchr(at, '\n'); line++) at = strchr(at, '\n') + 1;
    base_str s = {0};
    base_str_addn(&s, info, (size_t)(at - info));
    base_str_addf(&s, "build: %s\n%s", id, at);
    base_str_addn(&s, "", 1);
    base_str_add(&s, t->in->options->functions ? t->in->options->functions : "");
    LLVMValueRef value = text(t, &s);
    base_str_free(&s);
    return value;
}

/* ---- the model ---- */

static LLVMValueRef embedded_weights(tables *t) {
    if (t->in->options->weights == CG_WEIGHTS_EXTERNAL || !t->in->weights_bytes) return null(t);
    LLVMValueRef g = LLVMAddGlobal(
        t->c->module, LLVMArrayType2(LLVMInt8TypeInContext(t->c->context), 0), "ebru_weights");
    LLVMSetGlobalConstant(g, 1);
    LLVMSetVisibility(g, LLVMHiddenVisibility);
    return g;
}

bool cg_emit_tables(cg *c, const cg_table_input *in) {
    tables t = {.c = c, .in = in};
    size_t function_count, meta_count;
    LLVMValueRef function_table = functions(&t, &function_count),
                 meta_table = meta(&t, &meta_count);
    LLVMValueRef id[16];
    for (int i = 0; i < 16; i++)
        id[i] = LLVMConstInt(LLVMInt8TypeInContext(c->context), in->weights_id[i], 0);
    LLVMValueRef fields[] = {
        i32(&t, EBRU_ABI_VERSION),
        i32(&t, (int64_t)in->options->weights),
        i32(&t, (int64_t)function_count),
        i32(&t, in->level_count),
        i32(&t, (int64_t)meta_count),
        i32(&t, 0),
        function_table,
        levels(&t),
        meta_table,
        i64(&t, in->weights_bytes),
        LLVMConstArray2(LLVMInt8TypeInContext(c->context), id, 16),
        embedded_weights(&t),
        string(&t, in->external),
        bytes(&t, in->options->tokenizer, in->options->tokenizer_bytes, "tokenizer"),
        i64(&t, in->options->tokenizer ? in->options->tokenizer_bytes : 0),
        bytes(&t, in->options->tokenizer_2, in->options->tokenizer_2_bytes, "tokenizer_2"),
        i64(&t, in->options->tokenizer_2 ? in->options->tokenizer_2_bytes : 0),
        build_info(&t),
    };
    LLVMValueRef model = STRUCT(&t, fields);
    LLVMValueRef global = LLVMAddGlobal(c->module, LLVMTypeOf(model), "ebru_model");
    LLVMSetInitializer(global, model);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetAlignment(global, 16);
    uint64_t size = LLVMABISizeOfType(LLVMGetModuleDataLayout(c->module), LLVMTypeOf(model));
    base_free(t.strings.items);
    base_index_free(&t.by_text);
    if (size != sizeof(struct ebru_model))
        cg_job_broken("the tables do not match runtime/abi/abi.h");
    return true;
}
