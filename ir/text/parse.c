/* Reads the text form; grammar in ir/text/print.c.
 *
 * The text is not trusted. Problems are reported with their place and reading goes on at the next
 * line; a value whose line could not be read is marked, so that its uses cause no further messages.
 * A module without syntax errors is verified, so whatever ir_parse returns is valid IR. Limits keep
 * hostile text from costing more than its size suggests. */
#include <stdarg.h>
#include <string.h>

#include "base/hash.h"
#include "base/index.h"
#include "base/number.h"
#include "base/suggest.h"
#include "ir/build.h"
#include "ir/check/verify.h"
#include "ir/text/lex.h"

enum {
    MAX_META = 4096,
    MAX_WEIGHTS = 1 << 20,
    MAX_FUNCS = 4096,
    MAX_NODES = 1 << 16, /* of a function */
    MAX_PARAMS = 1024,   /* inputs or outputs of a function */
    MAX_BINDING = 256,   /* parameters of a kernel */
    MAX_ERRORS = 100
};

typedef struct label {
    const char *name;
    ir_ref ref; /* IR_NONE: its line was faulty */
} label;

/* Where the nodes of a function stand, for the verifier's faults. */
typedef struct func_locs {
    const ir_func *f;
    ir_token name;
    BASE_VEC(ir_token) node;
} func_locs;

typedef struct parser {
    base_diag *d;
    const base_source *source;
    unsigned errors_before;
    base_arena *scratch;
    ir_lexer lx;
    ir_token tok;
    ir_module *m;
    ir_func *f;
    base_index label_index;
    BASE_VEC(label) labels;
    BASE_VEC(func_locs) locs;
} parser;

/* ---- tokens ---- */

static unsigned error_count(const parser *p) {
    return base_diag_errors(p->d) - p->errors_before;
}

static void report_at(parser *p, const ir_token *t, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void report_at(parser *p, const ir_token *t, const char *fmt, ...) {
    if (t->kind == TOK_BAD) return; /* the lexer has reported */
    base_loc loc = ir_token_loc(p->source, t);
    va_list ap;
    va_start(ap, fmt);
    base_vreport(p->d, BASE_ERROR, &loc, fmt, ap);
    va_end(ap);
}
/* Reports and is false; a macro, so that static checks see it. */
#define fail_at(...) (report_at(__VA_ARGS__), false)

static bool expected(parser *p, const char *what) {
    if (p->tok.kind == TOK_END)
        return fail_at(p, &p->tok, "expected %s, found the end of the text", what);
    const char *mark = p->tok.kind == TOK_LABEL ? "%" : p->tok.kind == TOK_REF ? "@" : "";
    return fail_at(p, &p->tok, "expected %s, found '%s%s'", what, mark,
                   base_escape(p->tok.text, p->tok.text_length));
}

static void next(parser *p) {
    p->tok = ir_lex(&p->lx);
}

static bool is_punct(const parser *p, char c) {
    return p->tok.kind == TOK_PUNCT && p->tok.text[0] == c;
}

static bool is_word(const parser *p, const char *word) {
    return p->tok.kind == TOK_WORD && strcmp(p->tok.text, word) == 0;
}

static bool accept_punct(parser *p, char c) {
    if (!is_punct(p, c)) return false;
    next(p);
    return true;
}

static bool accept_word(parser *p, const char *word) {
    if (!is_word(p, word)) return false;
    next(p);
    return true;
}

static bool expect_punct(parser *p, char c) {
    char what[] = {'\'', c, '\'', '\0'};
    return accept_punct(p, c) || expected(p, what);
}

static bool expect_word(parser *p, const char *word) {
    if (accept_word(p, word)) return true;
    char what[32];
    snprintf(what, sizeof what, "'%s'", word);
    return expected(p, what);
}

/* Goes to the first token of a line, at least one token further than `start`, where the faulty
 * statement began. */
static void recover(parser *p, const ir_token *start) {
    while (p->tok.kind != TOK_END &&
           (!p->tok.first || (p->tok.line == start->line && p->tok.col == start->col)))
        next(p);
}

/* ---- words, numbers, types ---- */

static bool read_name(parser *p, const char *what, const char **out) {
    *out = "";
    if (p->tok.kind != TOK_WORD && p->tok.kind != TOK_STRING) return expected(p, what);
    *out = p->tok.text;
    next(p);
    return true;
}

static bool read_string(parser *p, const char *what, const char **out) {
    *out = "";
    if (p->tok.kind != TOK_STRING) return expected(p, what);
    *out = p->tok.text;
    next(p);
    return true;
}

static bool is_integer(const ir_token *t) {
    const char *s = t->text;
    if (t->kind != TOK_NUMBER) return false;
    s += *s == '-';
    return *s && s[strspn(s, "0123456789")] == '\0';
}

static bool read_u64(parser *p, uint64_t *out) {
    if (!is_integer(&p->tok) || p->tok.text[0] == '-')
        return expected(p, "a whole number of 0 or more");
    uint64_t v = 0;
    for (const char *s = p->tok.text; *s; s++)
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
            return fail_at(p, &p->tok, "the number is too large");
    *out = v;
    next(p);
    return true;
}

static bool read_i64(parser *p, int64_t *out) {
    if (!is_integer(&p->tok)) return expected(p, "a whole number");
    bool negative = p->tok.text[0] == '-';
    int64_t v = 0; /* built downwards, where the range is larger */
    for (const char *s = p->tok.text + negative; *s; s++)
        if (__builtin_mul_overflow(v, (int64_t)10, &v) ||
            __builtin_sub_overflow(v, (int64_t)(*s - '0'), &v))
            return fail_at(p, &p->tok, "the number is too large");
    if (!negative && v == INT64_MIN) return fail_at(p, &p->tok, "the number is too large");
    *out = negative ? v : -v;
    next(p);
    return true;
}

static bool read_u32(parser *p, uint32_t *out) {
    ir_token at = p->tok;
    uint64_t v;
    if (!read_u64(p, &v)) return false;
    if (v > UINT32_MAX) return fail_at(p, &at, "the number is too large");
    *out = (uint32_t)v;
    return true;
}

static bool read_f64(parser *p, double *out) {
    if (p->tok.kind != TOK_NUMBER && p->tok.kind != TOK_WORD) return expected(p, "a number");
    if (!base_parse_f64(p->tok.text, p->tok.text_length, out)) return expected(p, "a number");
    next(p);
    return true;
}

/* An index into a table of names. */
static bool read_enum(parser *p, const char *what, const char *const *names, uint32_t count,
                      uint32_t *out) {
    if (p->tok.kind != TOK_WORD) return expected(p, what);
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(names[i], p->tok.text) != 0) continue;
        *out = i;
        next(p);
        return true;
    }
    const char *meant = base_suggest(p->tok.text, names, count);
    if (!meant) return expected(p, what);
    return fail_at(p, &p->tok, "expected %s, found '%s'; did you mean '%s'?", what,
                   base_escape(p->tok.text, p->tok.text_length), meant);
}

/* "[" [ INT { "," INT } ] "]" */
static bool read_ints(parser *p, int64_t out[IR_MAX_RANK], uint32_t *count) {
    *count = 0;
    if (!expect_punct(p, '[')) return false;
    if (accept_punct(p, ']')) return true;
    do {
        if (*count == IR_MAX_RANK) return fail_at(p, &p->tok, "more than 8 numbers");
        if (!read_i64(p, &out[(*count)++])) return false;
    } while (accept_punct(p, ','));
    return expect_punct(p, ']');
}

static bool read_type(parser *p, ir_type *out) {
    ir_token at = p->tok;
    uint32_t dtype = IR_f32, layout = IR_PLAIN;
    *out = (ir_type){0};
    if (!read_enum(p, "an element type", ir_dtype_name, IR_DTYPE_COUNT, &dtype)) return false;
    if (!read_ints(p, out->dim, &out->rank)) return false;
    if (accept_punct(p, ':') && !read_enum(p, "a layout", ir_layout_name, IR_LAYOUT_COUNT, &layout))
        return false;
    out->dtype = (ir_dtype)dtype;
    out->layout = (ir_layout)layout;
    base_str why = {0};
    bool fine = ir_type_valid(out, &why) || fail_at(p, &at, "%s", why.data);
    base_str_free(&why);
    return fine;
}

/* ---- meta and weights ---- */

static bool parse_meta(parser *p) {
    ir_token at = p->tok;
    const char *key;
    if (!read_string(p, "a key in quotes", &key) || !expect_punct(p, '=')) return false;
    if (!*key) return fail_at(p, &at, "the key is empty");
    if (ir_meta_get(p->m, key)) return fail_at(p, &at, "the key appears twice");
    if (p->m->meta.count == MAX_META) return fail_at(p, &at, "more than %d meta entries", MAX_META);
    int64_t i;
    double f;
    if (p->tok.kind == TOK_STRING) {
        ir_meta_set_string(p->m, key, p->tok.text);
        next(p);
    } else if (is_integer(&p->tok)) {
        if (!read_i64(p, &i)) return false;
        ir_meta_set_int(p->m, key, i);
    } else {
        if (!read_f64(p, &f)) return false;
        ir_meta_set_float(p->m, key, f);
    }
    ir_meta *e = &p->m->meta.items[p->m->meta.count - 1];
    base_loc loc = ir_token_loc(p->source, &at);
    e->line = loc.line, e->col = loc.col, e->length = loc.length;
    return true;
}

static int nibble(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_data(parser *p, ir_weight *w) {
    ir_token at = p->tok;
    const char *hex;
    if (!read_string(p, "hexadecimal data in quotes", &hex)) return false;
    uint64_t bytes = ir_type_bytes(&w->type);
    if (at.text_length != 2 * bytes)
        return fail_at(p, &at, "the data has %zu digits, the type needs %llu", at.text_length,
                       (unsigned long long)(2 * bytes));
    unsigned char *data = base_arena_alloc(p->m->arena, (size_t)bytes);
    for (uint64_t i = 0; i < bytes; i++) {
        int hi = nibble(hex[2 * i]), lo = nibble(hex[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return fail_at(p, &at, "byte %llu is not two digits 0-9 a-f", (unsigned long long)i);
        data[i] = (unsigned char)(hi * 16 + lo);
    }
    w->kind = IR_WEIGHT_DATA;
    w->data = data;
    return true;
}

static bool parse_weight_source(parser *p, ir_weight *w) {
    const char *file, *tensor;
    if (accept_word(p, "file")) {
        if (!read_string(p, "a path in quotes", &file) ||
            !read_string(p, "a tensor name in quotes", &tensor))
            return false;
        w->kind = IR_WEIGHT_FILE;
        w->file = base_arena_strdup(p->m->arena, file);
        w->tensor = base_arena_strdup(p->m->arena, tensor);
        return true;
    }
    if (accept_word(p, "random")) {
        w->kind = IR_WEIGHT_RANDOM;
        return read_u64(p, &w->seed) && read_f64(p, &w->bound) && read_f64(p, &w->center);
    }
    if (accept_word(p, "data")) return parse_data(p, w);
    return expected(p, "'file', 'random' or 'data'");
}

/* A factor, whose word may be missing where it is the one that is expected. */
static bool parse_factor(parser *p, ir_lora *l, int *expected_next) {
    int k = 0;
    ir_token at = p->tok;
    while (k < IR_LORA_FACTORS && !is_word(p, ir_lora_factor_name[k])) k++;
    if (k < IR_LORA_FACTORS)
        next(p);
    else
        k = *expected_next;
    if (k == IR_LORA_FACTORS) return fail_at(p, &at, "too many factors");
    *expected_next = k + 1;
    ir_weight *factor = &l->factor[k];
    if (factor->type.rank)
        return fail_at(p, &at, "the factor '%s' is given twice", ir_lora_factor_name[k]);
    return read_type(p, &factor->type) && parse_weight_source(p, factor);
}

/* After "+". */
static bool parse_lora(parser *p, ir_lora *l) {
    uint32_t method;
    int factor = 0;
    *l = (ir_lora){0};
    if (!read_enum(p, "an update's method", ir_lora_method_name, IR_LORA_METHODS, &method) ||
        !read_f64(p, &l->scale))
        return false;
    l->method = (ir_lora_method)method;
    do
        if (!parse_factor(p, l, &factor)) return false;
    while (accept_punct(p, ','));
    return true;
}

/* After "rows". The weight's type is said with its rows. */
static bool parse_rows(parser *p, uint32_t index) {
    ir_weight rows = {0}, *w = &p->m->weights.items[index];
    ir_token at = p->tok;
    if (!read_type(p, &rows.type) || !parse_weight_source(p, &rows)) return false;
    int64_t left = ir_weight_stored_type(w).dim[0];
    bool fits = w->kind != IR_WEIGHT_DATA && w->type.rank == 2 && rows.type.rank == 2 &&
                ir_is_float(rows.type.dtype) && rows.type.dim[1] == w->type.dim[1] &&
                rows.type.dim[0] < left;
    if (!fits) return fail_at(p, &at, "these are no rows of the weight");
    w->type.dim[0] -= rows.type.dim[0]; /* they come back */
    ir_weight_append(p->m, index, &rows);
    return true;
}

static bool parse_weight(parser *p) {
    ir_token at = p->tok;
    ir_type type;
    if (at.kind != TOK_REF) return expected(p, "the weight's name, @...");
    next(p);
    if (!expect_punct(p, ':') || !read_type(p, &type)) return false;
    if (ir_weight_find(p->m, at.text) != UINT32_MAX)
        return fail_at(p, &at, "the weight is already defined");
    if (p->m->weights.count == MAX_WEIGHTS)
        return fail_at(p, &at, "more than %d weights", MAX_WEIGHTS);
    ir_weight w = {.kind = IR_WEIGHT_UNBOUND};
    w.type = type;
    bool fine = !accept_punct(p, '=') || parse_weight_source(p, &w);
    /* Known even when its source is faulty, so that its uses are not reported too. */
    uint32_t index = ir_weight_add(p->m, at.text, &type);
    ir_weight *entry = &p->m->weights.items[index];
    w.name = entry->name;
    *entry = w;
    while (fine && accept_punct(p, '+')) {
        ir_lora l;
        if (accept_word(p, "rows")) {
            fine = parse_rows(p, index);
            continue;
        }
        fine = parse_lora(p, &l);
        if (fine) ir_lora_add(p->m, index, &l);
    }
    return fine;
}

/* ---- values ---- */

static label *find_label(parser *p, const char *name) {
    uint32_t h = base_hash_text(name), at = base_index_start(&p->label_index, h), id;
    while (base_index_next(&p->label_index, h, &at, &id))
        if (strcmp(p->labels.items[id].name, name) == 0) return &p->labels.items[id];
    return NULL;
}

static void add_label(parser *p, const char *name, ir_ref ref) {
    base_index_add(&p->label_index, base_hash_text(name), (uint32_t)p->labels.count);
    BASE_PUSH(&p->labels, ((label){.name = name, .ref = ref}));
}

/* Adds a node and remembers where it stands. */
static ir_ref add_node(parser *p, const ir_node *n, const ir_token *at) {
    ir_ref r = ir_node_add(p->f, n);
    func_locs *locs = &p->locs.items[p->locs.count - 1];
    if (locs->node.count < p->f->nodes.count) BASE_PUSH(&locs->node, *at);
    return r;
}

static ir_ref weight_node(parser *p, uint32_t index, const ir_token *at) {
    struct ir_attrs_weight a = IR_DEFAULTS(weight);
    a.index = index;
    ir_node n = {.op = IR_OP_weight, .attrs = &a, .type = p->m->weights.items[index].type};
    return add_node(p, &n, at);
}

/* A label or weight; *out is IR_NONE and *poisoned set when it stands for a line that was reported
 * already. */
static bool read_value(parser *p, ir_ref *out, bool *poisoned) {
    ir_token at = p->tok;
    *out = IR_NONE;
    if (at.kind == TOK_REF) {
        uint32_t index = ir_weight_find(p->m, at.text);
        next(p);
        if (index == UINT32_MAX) {
            report_at(p, &at, "unknown weight @%s", base_escape(at.text, at.text_length));
            *poisoned = true;
        } else {
            *out = weight_node(p, index, &at);
        }
        return true;
    }
    if (at.kind != TOK_LABEL) return expected(p, "a value");
    next(p);
    const label *l = find_label(p, at.text);
    if (!l) {
        report_at(p, &at, "unknown value %%%s", base_escape(at.text, at.text_length));
        add_label(p, at.text, IR_NONE);
    }
    if (l) *out = l->ref;
    if (!ir_ref_ok(*out)) *poisoned = true;
    return true;
}

/* ---- parts of a node ---- */

static bool read_attr_value(parser *p, const ir_attr_info *a, void *attrs) {
    const ir_attr_type *t = ir_attr_type_of(a->kind);
    void *field = (char *)attrs + a->offset;
    ir_token at = p->tok;
    ir_dims list;
    uint32_t count = (uint32_t)(t->size / sizeof(int64_t)), value;
    switch (t->form) {
    case IR_ATTR_FORM_INTEGER: return read_i64(p, field);
    case IR_ATTR_FORM_REAL: return read_f64(p, field);
    case IR_ATTR_FORM_FLAG:
        *(bool *)field = is_word(p, "true");
        return accept_word(p, "true") || accept_word(p, "false") ||
               expected(p, "'true' or 'false'");
    case IR_ATTR_FORM_INTEGERS:
        if (!read_ints(p, list.v, &list.n)) return false;
        if (list.n != count) return fail_at(p, &at, "expected %u numbers, found %u", count, list.n);
        memcpy(field, list.v, t->size);
        return true;
    case IR_ATTR_FORM_LIST: return read_ints(p, ((ir_dims *)field)->v, &((ir_dims *)field)->n);
    case IR_ATTR_FORM_TEXT: return read_string(p, "a string in quotes", field);
    case IR_ATTR_FORM_NAME:
        if (!read_enum(p, t->what, t->names, t->name_count, &value)) return false;
        memcpy(field, &value, t->size);
        return true;
    }
    return false;
}

static const ir_attr_info *find_attr(parser *p, const ir_op_info *info) {
    const char *names[32];
    uint32_t count = info->attr_count < 32 ? info->attr_count : 32;
    for (uint32_t i = 0; i < count; i++) {
        names[i] = info->attrs[i].name;
        if (p->tok.kind == TOK_WORD && strcmp(names[i], p->tok.text) == 0) return &info->attrs[i];
    }
    if (p->tok.kind != TOK_WORD) {
        expected(p, "the name of an attribute");
        return NULL;
    }
    const char *meant = base_suggest(p->tok.text, names, count),
               *name = base_escape(p->tok.text, p->tok.text_length);
    if (meant)
        report_at(p, &p->tok, "%s has no attribute '%s'; did you mean '%s'?", info->name, name,
                  meant);
    else
        report_at(p, &p->tok, "%s has no attribute '%s'", info->name, name);
    return NULL;
}

/* Attributes in braces, if any; the rest keep their defaults. */
static bool read_attrs(parser *p, const ir_op_info *info, const void **out) {
    char *attrs = base_arena_alloc(p->scratch, info->attr_size);
    memcpy(attrs, info->attr_default, info->attr_size);
    *out = attrs;
    if (!accept_punct(p, '{')) return true;
    uint32_t seen = 0;
    do {
        ir_token at = p->tok;
        const ir_attr_info *a = find_attr(p, info);
        if (!a) return false;
        uint32_t bit = 1u << (a - info->attrs);
        if (seen & bit) return fail_at(p, &at, "attribute '%s' appears twice", a->name);
        seen |= bit;
        next(p);
        if (!expect_punct(p, '=') || !read_attr_value(p, a, attrs)) return false;
    } while (accept_punct(p, ','));
    return expect_punct(p, '}');
}

static bool read_binding_param(parser *p, ir_param *out) {
    const char *name;
    *out = (ir_param){0};
    if (!read_name(p, "the name of a kernel parameter", &name) || !expect_punct(p, '='))
        return false;
    out->name = base_arena_strdup(p->m->arena, name);
    if (is_integer(&p->tok)) return read_i64(p, &out->i);
    out->is_float = true;
    return read_f64(p, &out->f);
}

/* After "kernel". */
static bool read_binding(parser *p, ir_binding **out) {
    ir_binding *b = base_arena_alloc(p->m->arena, sizeof *b);
    const char *kernel;
    ir_param params[MAX_BINDING];
    if (!read_name(p, "the name of a kernel", &kernel) || !expect_punct(p, '{')) return false;
    b->kernel = base_arena_strdup(p->m->arena, kernel);
    if (!is_punct(p, '}')) {
        do {
            if (b->param_count == MAX_BINDING)
                return fail_at(p, &p->tok, "more than %d parameters", MAX_BINDING);
            if (!read_binding_param(p, &params[b->param_count++])) return false;
        } while (accept_punct(p, ','));
    }
    if (b->param_count) {
        b->params = base_arena_alloc(p->m->arena, b->param_count * sizeof *b->params);
        memcpy(b->params, params, b->param_count * sizeof *b->params);
    }
    *out = b;
    return expect_punct(p, '}') && expect_word(p, "tasks") && expect_punct(p, '=') &&
           read_i64(p, &b->tasks) && expect_word(p, "scratch") && expect_punct(p, '=') &&
           read_u64(p, &b->scratch);
}

static bool read_place(parser *p, ir_place *out) {
    static const char *const names[] = {"arena", "input", "output", "weights"};
    static const ir_place_kind kinds[] = {IR_AT_ARENA, IR_AT_INPUT, IR_AT_OUTPUT, IR_AT_WEIGHT};
    uint32_t kind = 0;
    if (!accept_word(p, "at")) return true;
    if (!read_enum(p, "'arena', 'input', 'output' or 'weights'", names, 4, &kind) ||
        !expect_punct(p, '+'))
        return false;
    out->kind = kinds[kind];
    return read_u64(p, &out->offset);
}

static bool read_origin(parser *p, ir_origin_id *out) {
    const char *file, *block = NULL;
    uint32_t line = 0, col = 0;
    if (!accept_word(p, "loc")) return true;
    if (!expect_punct(p, '(') || !read_string(p, "a file name in quotes", &file)) return false;
    if (accept_punct(p, ':') &&
        (!read_u32(p, &line) || !expect_punct(p, ':') || !read_u32(p, &col)))
        return false;
    if (p->tok.kind == TOK_STRING && !read_string(p, "a block", &block)) return false;
    *out = ir_origin_add(p->m, file, line, col, block);
    return expect_punct(p, ')');
}

/* ---- statements of a function ---- */

static bool read_op(parser *p, ir_op *out) {
    const char *names[IR_OP_COUNT];
    for (size_t i = 0; i < IR_OP_COUNT; i++) names[i] = ir_op_get((ir_op)i)->name;
    if (p->tok.kind != TOK_WORD) return expected(p, "an op");
    ir_token at = p->tok;
    next(p);
    if (ir_op_by_name(at.text, out) && !(ir_op_get(*out)->flags & IR_FLAG_LEAF)) return true;
    const char *name = base_escape(at.text, at.text_length),
               *meant = base_suggest(at.text, names, IR_OP_COUNT);
    if (meant && strcmp(meant, at.text) != 0)
        return fail_at(p, &at, "unknown op '%s'; did you mean '%s'?", name, meant);
    return fail_at(p, &at, "unknown op '%s'", name);
}

static bool read_operands(parser *p, const ir_op_info *info, ir_node *n, bool *poisoned) {
    if (is_punct(p, '{') || is_punct(p, ':')) return true;
    uint32_t used = 0;
    do {
        if (n->operand_count == info->max_operands)
            return fail_at(p, &p->tok, "%s has at most %u operands", info->name,
                           info->max_operands);
        ir_ref *slot = &n->operand[n->operand_count++];
        *slot = IR_NONE;
        if (accept_word(p, "_")) continue;
        if (!read_value(p, slot, poisoned)) return false;
        used = n->operand_count;
    } while (accept_punct(p, ','));
    n->operand_count = used; /* trailing absent operands are not kept */
    return true;
}

/* After "LABEL =". On success *out is the node, or IR_NONE when an operand's line was faulty. */
static bool parse_node(parser *p, const ir_token *at, ir_ref *out) {
    ir_node n = {0};
    bool poisoned = false;
    if (!read_op(p, &n.op)) return false;
    const ir_op_info *info = ir_op_get(n.op);
    if (!read_operands(p, info, &n, &poisoned) || !read_attrs(p, info, &n.attrs) ||
        !expect_punct(p, ':') || !read_type(p, &n.type))
        return false;
    if (accept_word(p, "kernel") && !read_binding(p, &n.binding)) return false;
    if (!read_place(p, &n.place) || !read_origin(p, &n.origin)) return false;
    *out = poisoned ? IR_NONE : add_node(p, &n, at);
    return true;
}

static bool parse_assignment(parser *p) {
    ir_token at = p->tok;
    ir_ref r = IR_NONE;
    next(p);
    const label *known = find_label(p, at.text);
    if (known && ir_ref_ok(known->ref))
        report_at(p, &at, "%%%s is already defined", base_escape(at.text, at.text_length));
    bool fine = expect_punct(p, '=') && parse_node(p, &at, &r);
    label *l = find_label(p, at.text); /* known before only as a mistake, perhaps */
    if (!l)
        add_label(p, at.text, r);
    else if (!ir_ref_ok(l->ref))
        l->ref = r;
    return fine;
}

/* After "weight" in a function: the place of a weight it uses. */
static bool parse_used_weight(parser *p) {
    ir_token at = p->tok;
    ir_place place = {0};
    if (at.kind != TOK_REF) return expected(p, "the weight's name, @...");
    next(p);
    uint32_t index = ir_weight_find(p->m, at.text);
    if (index == UINT32_MAX)
        return fail_at(p, &at, "unknown weight @%s", base_escape(at.text, at.text_length));
    if (!is_word(p, "at")) return expected(p, "'at'");
    if (!read_place(p, &place)) return false;
    ir_ref r = weight_node(p, index, &at);
    p->f->nodes.items[r.id].place = place;
    return true;
}

static bool parse_return(parser *p) {
    if (is_punct(p, '}')) return true;
    do {
        const char *name;
        ir_ref value;
        bool poisoned = false;
        if (p->f->outputs.count == MAX_PARAMS)
            return fail_at(p, &p->tok, "more than %d outputs", MAX_PARAMS);
        if (!read_name(p, "the name of an output", &name) || !expect_punct(p, '=') ||
            !read_value(p, &value, &poisoned))
            return false;
        if (!poisoned) ir_set_output(p->f, name, value);
    } while (accept_punct(p, ','));
    return true;
}

static bool parse_param(parser *p) {
    struct ir_attrs_input a = IR_DEFAULTS(input);
    ir_node n = {.op = IR_OP_input, .attrs = &a};
    ir_token at = p->tok;
    uint32_t freq;
    if (at.kind != TOK_LABEL) return expected(p, "a parameter, %...");
    if (p->f->inputs.count == MAX_PARAMS)
        return fail_at(p, &at, "more than %d parameters", MAX_PARAMS);
    next(p);
    if (!read_name(p, "the name of the parameter", &a.name) || !expect_punct(p, ':') ||
        !read_type(p, &n.type) || !read_enum(p, "a frequency", ir_freq_name, IR_FREQ_COUNT, &freq))
        return false;
    a.freq = (ir_freq)freq;
    a.paired = accept_word(p, "paired");
    if (a.paired && (n.type.rank == 0 || n.type.dim[0] % 2 != 0))
        return fail_at(p, &at, "a paired parameter has an even first axis");
    if (!read_place(p, &n.place) || !read_origin(p, &n.origin)) return false;
    if (find_label(p, at.text))
        return fail_at(p, &at, "%%%s is already defined", base_escape(at.text, at.text_length));
    add_label(p, at.text, add_node(p, &n, &at));
    return true;
}

/* From the name to the '{'. */
static bool parse_func_head(parser *p) {
    if (!expect_punct(p, '(')) return false;
    if (!accept_punct(p, ')')) {
        do {
            if (!parse_param(p)) return false;
        } while (accept_punct(p, ','));
        if (!expect_punct(p, ')')) return false;
    }
    if (accept_word(p, "arena") && (!expect_punct(p, '=') || !read_u64(p, &p->f->arena_bytes)))
        return false;
    if (accept_word(p, "scratch") && (!expect_punct(p, '=') || !read_u64(p, &p->f->scratch_bytes)))
        return false;
    return expect_punct(p, '{');
}

/* A body's statement; *end is set by return. */
static bool parse_statement(parser *p, bool *end) {
    if (p->f->nodes.count >= MAX_NODES) {
        *end = true;
        return fail_at(p, &p->tok, "function @%s has more than %d nodes",
                       base_escape(p->f->name, strlen(p->f->name)), MAX_NODES);
    }
    if (p->tok.kind == TOK_LABEL) return parse_assignment(p);
    if (accept_word(p, "weight")) return parse_used_weight(p);
    if (accept_word(p, "return")) {
        *end = true;
        return parse_return(p) && expect_punct(p, '}');
    }
    return expected(p, "'%...', 'weight' or 'return'");
}

static bool starts_toplevel(const parser *p) {
    return p->tok.kind == TOK_END || is_word(p, "func") || is_word(p, "meta");
}

static bool parse_func(parser *p) {
    ir_token at = p->tok;
    if (at.kind != TOK_REF) return expected(p, "the function's name, @...");
    next(p);
    if (ir_func_find(p->m, at.text)) report_at(p, &at, "the function is already defined");
    if (p->m->funcs.count == MAX_FUNCS) return fail_at(p, &at, "more than %d functions", MAX_FUNCS);
    p->f = ir_func_new(p->m, at.text);
    BASE_PUSH(&p->locs, ((func_locs){.f = p->f, .name = at}));
    base_index_free(&p->label_index);
    p->labels.count = 0;

    ir_token start = at;
    if (!parse_func_head(p)) recover(p, &start);
    bool end = false;
    while (!end && error_count(p) < MAX_ERRORS) {
        start = p->tok;
        if (is_punct(p, '}')) {
            next(p);
            return fail_at(p, &start, "the function has no return");
        }
        if (starts_toplevel(p)) return expected(p, "'return'");
        if (!parse_statement(p, &end)) recover(p, &start);
    }
    return true;
}

/* ---- module ---- */

/* Whether texts of that version are read here (ir.h says when it grows). */
static bool version_read(parser *p, const ir_token *at, uint64_t version) {
    if (version > IR_TEXT_VERSION)
        return fail_at(p, at,
                       "written by a newer ebru: version %llu of the text form, this one reads %d",
                       (unsigned long long)version, IR_TEXT_VERSION);
    if (version >= IR_TEXT_OLDEST) return true;
    return fail_at(
        p, at, "written by an older ebru: version %llu of the text form, this one reads from %d on",
        (unsigned long long)version, IR_TEXT_OLDEST);
}

static bool parse_header(parser *p) {
    uint32_t level;
    uint64_t version;
    if (!expect_word(p, "ebru") || !expect_word(p, "ir")) return false;
    ir_token at = p->tok;
    if (!read_u64(p, &version)) return false;
    if (!version_read(p, &at, version)) return false;
    if (!read_enum(p, "a level", ir_level_name, IR_LEVEL_COUNT, &level)) return false;
    p->m->level = (ir_level)level;
    return true;
}

static void parse_module(parser *p) {
    next(p);
    if (!parse_header(p)) return; /* it is no IR at all */
    while (p->tok.kind != TOK_END && error_count(p) < MAX_ERRORS) {
        ir_token start = p->tok;
        bool fine;
        if (accept_word(p, "meta"))
            fine = parse_meta(p);
        else if (accept_word(p, "weight"))
            fine = parse_weight(p);
        else if (accept_word(p, "func"))
            fine = parse_func(p);
        else
            fine = expected(p, "'meta', 'weight' or 'func'");
        if (!fine) recover(p, &start);
    }
}

/* Where the node stands. */
static base_loc loc_of(const parser *p, const ir_func *f, ir_ref r) {
    base_loc loc = {.source = p->source};
    for (size_t i = 0; f && i < p->locs.count; i++) {
        const func_locs *locs = &p->locs.items[i];
        if (locs->f != f) continue;
        loc = ir_token_loc(p->source, ir_ref_ok(r) && r.id < locs->node.count
                                          ? &locs->node.items[r.id]
                                          : &locs->name);
    }
    return loc;
}

/* A fault of the verifier becomes an error there. */
static void report_fault(void *user, const ir_func *f, ir_ref r, const char *message) {
    parser *p = user;
    const base_loc loc = loc_of(p, f, r);
    base_error(p->d, &loc, "%s", message);
}

/* Faults and remarks of others begin with the op, as the verifier's. */
static void report_held(parser *p, base_severity severity, const ir_func *f, ir_ref r,
                        const char *message) {
    const base_loc loc = loc_of(p, f, r);
    const bool node = f && ir_ref_ok(r);
    const char *op = node ? ir_op_get(ir_get(f, r)->op)->name : "", *colon = node ? ": " : "";
    if (severity == BASE_ERROR)
        base_error(p->d, &loc, "%s%s%s", op, colon, message);
    else
        base_warning(p->d, &loc, "%s%s%s", op, colon, message);
}
static void held_fault(void *user, const ir_func *f, ir_ref r, const char *message) {
    report_held(user, BASE_ERROR, f, r, message);
}
static void held_remark(void *user, const ir_func *f, ir_ref r, const char *message) {
    report_held(user, BASE_WARNING, f, r, message);
}

ir_module *ir_parse(base_diag *d, const char *name, const char *text, size_t length) {
    return ir_parse_held(d, name, text, length, NULL);
}

ir_module *ir_parse_held(base_diag *d, const char *name, const char *text, size_t length,
                         const ir_text_rules *rules) {
    parser p = {.d = d, .errors_before = base_diag_errors(d)};
    if (length >= UINT32_MAX) {
        base_error(d, &(base_loc){.source = base_diag_source(d, name, NULL, 0)},
                   "the text is larger than 4 GiB");
        return NULL;
    }
    p.source = base_diag_source(d, name, text, length);
    p.scratch = base_arena_new();
    p.m = ir_module_new();
    p.lx = (ir_lexer){.arena = p.scratch,
                      .d = d,
                      .source = p.source,
                      .p = text,
                      .end = text + length,
                      .line_start = text,
                      .line = 1,
                      .first = true};
    parse_module(&p);
    if (error_count(&p) >= MAX_ERRORS)
        base_error(d, NULL, "%s: too many errors, reading stopped",
                   base_escape(name, strlen(name)));
    if (error_count(&p) == 0) {
        ir_fault_sink sink = {.report = report_fault, .user = &p};
        const ir_text_report report = {held_fault, held_remark, &p};
        if (ir_verify_into(p.m, &sink) && rules) rules->hold(rules->of, p.m, &report);
    }
    for (size_t i = 0; i < p.locs.count; i++) base_free(p.locs.items[i].node.items);
    base_free(p.locs.items);
    base_free(p.labels.items);
    base_index_free(&p.label_index);
    base_arena_free(p.scratch);
    if (error_count(&p) == 0) return p.m;
    ir_module_free(p.m);
    return NULL;
}
