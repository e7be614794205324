/* The text form of a module. The grammar is below, one rule a line (a rule that needs more goes on
 * behind its '=' or '|'); ir/text/parse.c reads exactly this. Blanks and line ends only separate,
 * except that after an error reading goes on at the next line. '#' and '//' start comments.
 *
 *   module  = "ebru" "ir" INT LEVEL { meta | weight | func }
 *   meta    = "meta" STRING "=" ( INT | FLOAT | STRING )
 *   weight  = "weight" REF ":" type [ "=" source ] { "+" ( update | rows ) }
 *   update  = METHOD FLOAT factor { "," factor }
 *   factor  = [ FACTOR ] type source
 *   rows    = "rows" type source
 *   source  = "file" STRING STRING
 *           | "random" INT FLOAT FLOAT
 *           | "data" STRING
 *   func    = "func" REF "(" [ param { "," param } ] ")" sizes "{" { node | used } result "}"
 *   sizes   = [ "arena" "=" INT ] [ "scratch" "=" INT ]
 *   param   = LABEL NAME ":" type FREQ [ "paired" ] [ place ] [ loc ]
 *   node    = LABEL "=" OP [ operand { "," operand } ] [ attrs ] ":" type [ kernel ] [ place ] [ loc ]
 *   used    = "weight" REF place
 *   result  = "return" [ NAME "=" value { "," NAME "=" value } ]
 *   operand = value | "_"
 *   value   = LABEL | REF
 *   attrs   = "{" attr { "," attr } "}"
 *   attr    = NAME "=" ( INT | FLOAT | "true" | "false" | ints | STRING | ACT | FREQ | PRECISION )
 *   ints    = "[" [ INT { "," INT } ] "]"
 *   type    = DTYPE ints [ ":" LAYOUT ]
 *   kernel  = "kernel" NAME "{" [ number { "," number } ] "}" "tasks" "=" INT "scratch" "=" INT
 *   number  = NAME "=" ( INT | FLOAT )
 *   place   = "at" ( "arena" | "input" | "output" | "weights" ) "+" INT
 *   loc     = "loc" "(" STRING [ ":" INT ":" INT ] [ STRING ] ")"
 *   LABEL   = "%" word
 *   REF     = "@" ( word | STRING )
 *   NAME    = word | STRING
 *   word    = letters, digits and any of _ . / - (for NAME not first a digit or '-')
 *   STRING  = '"' { any character but '"', '\' and control characters | escape } '"'
 *   escape  = '\"' | '\\' | '\n' | '\t' | '\xHH' (not 00)
 *   INT     = [ "-" ] digits
 *   FLOAT   = INT | INT with '.' or exponent | "inf" | "-inf" | "nan"
 *
 * What the rules do not say:
 *   module   INT is the version, IR_TEXT_VERSION of ir/ir.h; LEVEL and the other words in capitals are the names
 *            of ir/ir.h's enumerations, OP and the attributes of an op those of ir/ops.def
 *   weight   without a source it is not bound
 *   update   METHOD and FACTOR are words of ir/lora.def; the number is the scale. A factor without a
 *            word is the one that follows there on the factor before it; the first is up
 *   rows     are behind those of the source; the weight's type counts them, too
 *   source   file: path, relative to the text's folder, and tensor. random: seed, bound, center; see ir/weights.c. data: the bytes of
 *            the elements in hexadecimal, the lower address first
 *   used     the place of a weight that the function uses
 *   operand  "_" is an optional operand that is absent
 *   value    a node or parameter, or a weight of the weight table
 *   loc      file, line, column, block
 *
 * Canonical form: what ir_print writes. Labels are numbers, inputs first, then the nodes in order;
 * weights of the table are nodes without a line of their own, so they have no label. An attribute
 * equal to its default is left out. Every value reads back identically, so print(parse(print(m)))
 * == print(m). */
#include <string.h>

#include "base/number.h"
#include "ir/build.h"
#include "ir/ir.h"

/* ---- names and strings ---- */

static bool is_word_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '/' || c == '-';
}

/* Bytes outside printable ASCII are escaped, so that no name can drive a terminal. */
static void print_string(const char *s, base_str *out) {
    base_str_add(out, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            base_str_addf(out, "\\%c", c);
        else if (c == '\n')
            base_str_add(out, "\\n");
        else if (c == '\t')
            base_str_add(out, "\\t");
        else if (c < 0x20 || c > 0x7e)
            base_str_addf(out, "\\x%02x", c);
        else
            base_str_addn(out, s, 1);
    }
    base_str_add(out, "\"");
}

/* Words as they are, anything else as a string. */
static void print_word(const char *s, bool digits_first, base_str *out) {
    bool word =
        *s && (digits_first || !((*s >= '0' && *s <= '9') || *s == '-')) && !strstr(s, "//");
    for (const char *p = s; word && *p; p++) word = is_word_char(*p);
    if (word)
        base_str_add(out, s);
    else
        print_string(s, out);
}

static void print_ref_name(const char *s, base_str *out) {
    base_str_add(out, "@");
    print_word(s, true, out);
}

/* ---- types, attributes ---- */

void ir_print_type(const ir_type *t, base_str *out) {
    base_str_addf(out, "%s[", ir_dtype_name[t->dtype]);
    for (uint32_t i = 0; i < t->rank; i++)
        base_str_addf(out, i ? ",%lld" : "%lld", (long long)t->dim[i]);
    base_str_add(out, "]");
    if (t->layout != IR_PLAIN) base_str_addf(out, ":%s", ir_layout_name[t->layout]);
}

static void print_ints(const int64_t *v, uint32_t n, base_str *out) {
    base_str_add(out, "[");
    for (uint32_t i = 0; i < n; i++) base_str_addf(out, i ? ",%lld" : "%lld", (long long)v[i]);
    base_str_add(out, "]");
}

void ir_print_value(ir_attr_kind kind, const void *value, base_str *out) {
    const ir_attr_type *t = ir_attr_type_of(kind);
    switch (t->form) {
    case IR_ATTR_FORM_INTEGER:
        base_str_addf(out, "%lld", (long long)*(const int64_t *)value);
        break;
    case IR_ATTR_FORM_REAL: base_print_f64(*(const double *)value, out); break;
    case IR_ATTR_FORM_FLAG: base_str_add(out, *(const bool *)value ? "true" : "false"); break;
    case IR_ATTR_FORM_INTEGERS:
        print_ints(value, (uint32_t)(t->size / sizeof(int64_t)), out);
        break;
    case IR_ATTR_FORM_LIST:
        print_ints(((const ir_dims *)value)->v, ((const ir_dims *)value)->n, out);
        break;
    case IR_ATTR_FORM_TEXT: print_string(*(const char *const *)value, out); break;
    case IR_ATTR_FORM_NAME: base_str_add(out, t->names[ir_attr_name_index(value)]); break;
    }
}

void ir_print_attr(const ir_node *n, uint32_t index, base_str *out) {
    const ir_attr_info *a = &ir_op_get(n->op)->attrs[index];
    ir_print_value(a->kind, (const char *)n->attrs + a->offset, out);
}

void ir_print_attrs(const ir_node *n, base_str *out) {
    const ir_op_info *info = ir_op_get(n->op);
    bool any = false;
    for (uint32_t i = 0; i < info->attr_count; i++) {
        const ir_attr_info *a = &info->attrs[i];
        if (ir_attr_equal(a, n->attrs, info->attr_default)) continue;
        base_str_addf(out, "%s%s=", any ? ", " : " {", a->name);
        ir_print_attr(n, i, out);
        any = true;
    }
    if (any) base_str_add(out, "}");
}

/* ---- nodes ---- */

static void print_ref(const ir_func *f, const uint32_t *number, ir_ref r, base_str *out) {
    if (!ir_ref_ok(r)) {
        base_str_add(out, "_");
        return;
    }
    if (r.id >= f->nodes.count) { /* only in reports about broken functions */
        base_str_addf(out, "%%?%u", r.id);
        return;
    }
    const ir_node *n = ir_get(f, r);
    if (n->op != IR_OP_weight) {
        base_str_addf(out, "%%%u", number[r.id]);
        return;
    }
    int64_t index = IR_ATTRS(n, weight)->index;
    bool known = index >= 0 && (uint64_t)index < f->module->weights.count;
    print_ref_name(known ? f->module->weights.items[index].name : "?", out);
}

static void print_place(const ir_place *p, base_str *out) {
    static const char *const kind[] = {[IR_AT_ARENA] = "arena",
                                       [IR_AT_INPUT] = "input",
                                       [IR_AT_OUTPUT] = "output",
                                       [IR_AT_WEIGHT] = "weights"};
    if (p->kind != IR_UNPLACED)
        base_str_addf(out, " at %s+%llu", kind[p->kind], (unsigned long long)p->offset);
}

static void print_origin(const ir_func *f, ir_origin_id id, base_str *out) {
    if (id == 0 || id >= f->module->origins.count) return;
    const ir_origin *o = &f->module->origins.items[id];
    base_str_add(out, " loc(");
    print_string(o->file ? o->file : "", out);
    if (o->line || o->col) base_str_addf(out, ":%u:%u", o->line, o->col);
    if (o->block) {
        base_str_add(out, " ");
        print_string(o->block, out);
    }
    base_str_add(out, ")");
}

static void print_binding(const ir_binding *b, base_str *out) {
    base_str_add(out, " kernel ");
    print_word(b->kernel, false, out);
    base_str_add(out, " {");
    for (uint32_t i = 0; i < b->param_count; i++) {
        const ir_param *p = &b->params[i];
        if (i) base_str_add(out, ", ");
        print_word(p->name, false, out);
        base_str_add(out, "=");
        if (p->is_float)
            base_print_f64(p->f, out);
        else
            base_str_addf(out, "%lld", (long long)p->i);
    }
    base_str_addf(out, "} tasks=%lld scratch=%llu", (long long)b->tasks,
                  (unsigned long long)b->scratch);
}

/* Everything of a node's line but its origin. */
static void print_node(const ir_func *f, const uint32_t *number, ir_ref r, base_str *out) {
    const ir_node *n = ir_get(f, r);
    if (n->op == IR_OP_weight) {
        base_str_add(out, "weight ");
        print_ref(f, number, r, out);
        print_place(&n->place, out);
        return;
    }
    print_ref(f, number, r, out);
    if (n->op == IR_OP_input) {
        base_str_add(out, " ");
        print_word(IR_ATTRS(n, input)->name, false, out);
        base_str_add(out, " : ");
        ir_print_type(&n->type, out);
        base_str_addf(out, " %s", ir_freq_name[IR_ATTRS(n, input)->freq]);
        if (IR_ATTRS(n, input)->paired) base_str_add(out, " paired");
    } else {
        base_str_addf(out, " = %s", ir_op_get(n->op)->name);
        for (uint32_t i = 0; i < n->operand_count; i++) {
            base_str_add(out, i ? ", " : " ");
            print_ref(f, number, n->operand[i], out);
        }
        ir_print_attrs(n, out);
        base_str_add(out, " : ");
        ir_print_type(&n->type, out);
    }
    if (n->binding) print_binding(n->binding, out);
    print_place(&n->place, out);
}

uint32_t *ir_numbering(const ir_func *f) {
    uint32_t *number = base_alloc(f->nodes.count * sizeof *number);
    uint32_t next = 0;
    for (size_t i = 0; i < f->nodes.count; i++) number[i] = UINT32_MAX;
    for (size_t i = 0; i < f->inputs.count; i++)
        if (f->inputs.items[i].id < f->nodes.count) number[f->inputs.items[i].id] = next++;
    for (size_t i = 0; i < f->nodes.count; i++)
        if (f->nodes.items[i].op != IR_OP_weight && number[i] == UINT32_MAX) number[i] = next++;
    return number;
}

void ir_print_ref(const ir_func *f, ir_ref r, base_str *out) {
    uint32_t *number = ir_numbering(f);
    print_ref(f, number, r, out);
    base_free(number);
}

void ir_print_node(const ir_func *f, ir_ref r, base_str *out) {
    uint32_t *number = ir_numbering(f);
    print_node(f, number, r, out);
    base_free(number);
}

void ir_print_line(const ir_func *f, const uint32_t *number, ir_ref r, bool origin, base_str *out) {
    print_node(f, number, r, out);
    if (origin && ir_get(f, r)->op != IR_OP_weight) print_origin(f, ir_get(f, r)->origin, out);
}

/* ---- functions and modules ---- */

static void print_params(const ir_func *f, const uint32_t *number, bool loc, base_str *out) {
    for (size_t i = 0; i < f->inputs.count; i++) {
        if (i) base_str_add(out, f->inputs.count > 2 ? ",\n    " : ", ");
        ir_print_line(f, number, f->inputs.items[i], loc, out);
    }
}

void ir_print_func_text(const ir_func *f, bool loc, base_str *out) {
    uint32_t *number = ir_numbering(f);
    base_str_add(out, "func ");
    print_ref_name(f->name, out);
    base_str_add(out, "(");
    print_params(f, number, loc, out);
    base_str_add(out, ")");
    if (f->arena_bytes) base_str_addf(out, " arena=%llu", (unsigned long long)f->arena_bytes);
    if (f->scratch_bytes) base_str_addf(out, " scratch=%llu", (unsigned long long)f->scratch_bytes);
    base_str_add(out, " {\n");
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        if (n->op == IR_OP_input || (n->op == IR_OP_weight && n->place.kind == IR_UNPLACED))
            continue;
        base_str_add(out, "  ");
        ir_print_line(f, number, (ir_ref){i}, loc, out);
        base_str_add(out, "\n");
    }
    base_str_add(out, "  return");
    for (size_t i = 0; i < f->outputs.count; i++) {
        base_str_add(out, i ? ", " : " ");
        print_word(f->outputs.items[i].name, false, out);
        base_str_add(out, " = ");
        print_ref(f, number, f->outputs.items[i].value, out);
    }
    base_str_add(out, "\n}\n");
    base_free(number);
}

static void print_meta(const ir_meta *e, base_str *out) {
    base_str_add(out, "meta ");
    print_string(e->key, out);
    base_str_add(out, " = ");
    switch (e->kind) {
    case IR_META_INT: base_str_addf(out, "%lld", (long long)e->i); break;
    case IR_META_FLOAT: base_print_f64(e->f, out); break;
    case IR_META_STRING: print_string(e->s, out); break;
    }
    base_str_add(out, "\n");
}

static void print_bytes(const ir_weight *w, base_str *out) {
    static const char digit[] = "0123456789abcdef";
    const unsigned char *p = w->data;
    char text[128];
    size_t n = 0;
    for (uint64_t i = 0, bytes = ir_type_bytes(&w->type); i < bytes; i++) {
        text[n++] = digit[p[i] >> 4];
        text[n++] = digit[p[i] & 15];
        if (n == sizeof text || i + 1 == bytes) {
            base_str_addn(out, text, n);
            n = 0;
        }
    }
}

static void print_source(const ir_weight *w, base_str *out) {
    switch (w->kind) {
    case IR_WEIGHT_UNBOUND: break;
    case IR_WEIGHT_FILE:
        base_str_add(out, "file ");
        print_string(w->file, out);
        base_str_add(out, " ");
        print_string(w->tensor, out);
        break;
    case IR_WEIGHT_RANDOM:
        base_str_addf(out, "random %llu ", (unsigned long long)w->seed);
        base_print_f64(w->bound, out);
        base_str_add(out, " ");
        base_print_f64(w->center, out);
        break;
    case IR_WEIGHT_DATA:
        base_str_add(out, "data \"");
        print_bytes(w, out);
        base_str_add(out, "\"");
        break;
    }
}

static void print_lora(const ir_lora *l, base_str *out) {
    bool first = true;
    base_str_addf(out, " + %s ", ir_lora_method_name[l->method]);
    base_print_f64(l->scale, out);
    IR_LORA_EACH(l, k) {
        base_str_add(out, first ? " " : ", ");
        first = false;
        if (k > IR_LORA_MID) base_str_addf(out, "%s ", ir_lora_factor_name[k]);
        ir_print_type(&l->factor[k].type, out);
        base_str_add(out, " ");
        print_source(&l->factor[k], out);
    }
}

void ir_print_weight(const ir_weight *w, base_str *out) {
    base_str_add(out, "weight ");
    print_ref_name(w->name, out);
    base_str_add(out, " : ");
    ir_print_type(&w->type, out);
    if (w->kind != IR_WEIGHT_UNBOUND) base_str_add(out, " = ");
    print_source(w, out);
    for (const ir_lora *l = w->loras; l; l = l->next) print_lora(l, out);
    for (const ir_rows *r = w->rows; r; r = r->next) {
        base_str_add(out, " + rows ");
        ir_print_type(&r->values.type, out);
        base_str_add(out, " ");
        print_source(&r->values, out);
    }
}

void ir_print_text(const ir_module *m, bool loc, base_str *out) {
    base_str_addf(out, "ebru ir %d %s\n", IR_TEXT_VERSION, ir_level_name[m->level]);
    for (size_t i = 0; i < m->meta.count; i++) print_meta(&m->meta.items[i], out);
    for (size_t i = 0; i < m->weights.count; i++) {
        ir_print_weight(&m->weights.items[i], out);
        base_str_add(out, "\n");
    }
    for (size_t i = 0; i < m->funcs.count; i++) {
        base_str_add(out, "\n");
        ir_print_func_text(m->funcs.items[i], loc, out);
    }
}

void ir_print(const ir_module *m, base_str *out) {
    ir_print_text(m, true, out);
}

void ir_print_func(const ir_func *f, base_str *out) {
    ir_print_func_text(f, true, out);
}

/* ---- for a debugger ---- */

static void dump(base_str *text) {
    fputs(text->data ? text->data : "", stderr);
    fputc('\n', stderr);
    base_str_free(text);
}

void ir_dump_func(const ir_func *f) {
    base_str text = {0};
    ir_print_func(f, &text);
    dump(&text);
}

void ir_dump_node(const ir_func *f, ir_ref r) {
    base_str text = {0};
    ir_print_node(f, r, &text);
    dump(&text);
}
