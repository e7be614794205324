/* The verifier: at least one module that breaks each rule. Rules that text can break are checked
 * through the parser, which verifies; the others by damaging a module. */
#include "ir/build.h"
#include "ir/ir.h"
#include "tests/unit/support/captured_diag.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static ir_module *parse(const char *text, char *messages, size_t size) {
    capture cap;
    capture_begin(&cap, (base_diag_options){.limit = 1000});
    ir_module *m = ir_parse(cap.diag, "t.ir", text, strlen(text));
    snprintf(messages, size, "%s", captured(&cap));
    capture_end(&cap);
    return m;
}

static void expect_fault(const char *text, const char *fault) {
    char messages[8192];
    ir_module *m = parse(text, messages, sizeof messages);
    if (m || !strstr(messages, fault))
        fail_msg("%s\nexpected: %s\nfound: %s", text, fault, messages);
}

static void expect_fine(const char *text) {
    char messages[8192];
    ir_module *m = parse(text, messages, sizeof messages);
    if (!m) fail_msg("%s\n%s", text, messages);
    ir_module_free(m);
}

/* ---- levels, types, layouts ---- */

#define F(level, params, body) "ebru ir 3 " level "\nfunc @f(" params ") {\n" body "\n}\n"
#define X4                     "%x x : f32[1,32,4,4] step"

static void levels(void **state) {
    (void)state;
    expect_fault(F("graph", X4, "%1 = copy %x : f32[1,32,4,4] return y = %1"),
                 "copy: the op is not legal at level graph");
    expect_fault(F("placed", X4, "%1 = attention %x, %x, %x : f32[1,32,4,4] return y = %1"),
                 "attention: the op is not legal at level placed");
    expect_fault(F("graph", X4 ", %w w : f32[8,64,1,1] step",
                   "%1 = conv2d %x, %w, _, %x : f32[1,8,4,4] return y = %1"),
                 "conv2d: operand 'x1' is legal from level fused on");
    expect_fault(F("graph", X4 ", %w w : f32[8,32,1,1] step",
                   "%1 = conv2d %x, %w {act=silu} : f32[1,8,4,4] return y = %1"),
                 "conv2d: attribute 'act' is legal from level fused on");
    expect_fault(F("graph", X4 ", %w w : f32[8,32,1,1] step",
                   "%1 = conv2d %x, %w {upsample=[4,4]} : f32[1,8,4,4] return y = %1"),
                 "conv2d: attribute 'upsample' is legal from level fused on");
    expect_fault(F("graph", X4 ", %w w : f32[8,32,1,1] step",
                   "%1 = conv2d %x, %w {overwrite=true} : f32[1,8,4,4] return y = %1"),
                 "conv2d: attribute 'overwrite' is legal from level fused on");
    expect_fault(F("graph", "%x x : f32[2,32] step, %w w : f32[32,32] step",
                   "%1 = linear %x, %w {geglu=true} : f32[2,16] return y = %1"),
                 "linear: attribute 'geglu' is legal from level fused on");
    expect_fault(F("graph", X4, "%1 = silu %x : f32[1,32,4,4]:c16 return y = %1"),
                 "layout c16 is legal from level fused on");
    expect_fine(F("fused", X4, "%1 = silu %x : f32[1,32,4,4]:c16 return y = %1"));
}

static void types(void **state) {
    (void)state;
    expect_fault(F("graph", X4, "%1 = silu %x : f32[1,32,4,5] return y = %1"),
                 "t.ir:3:1: error: silu: expected type f32[1,32,4,4], found f32[1,32,4,5]");
    expect_fault(F("graph", "%x x : f16[4] step", "return y = %x"), "an input is f32 or i32");
    expect_fault(F("fused", "%x x : f32[1,1,4,4,4]:c16 step", "return y = %x"),
                 "layout c16 is for 2 to 4 dimensions");
    expect_fault(F("fused", "%x x : i32[1,16]:c16 step", "return y = %x"),
                 "layout c16 is for f32 only");
    expect_fault("ebru ir 3 fused\nweight @w : f32[2,16]:c16\n", "its layout is not plain");
}

static void layouts(void **state) {
    (void)state;
    expect_fine(F("fused", "%x x : f32[2,400]:c16 step",
                  "%1 = view %x {shape=[2,1,400]} : f32[2,1,400]:c16 return y = %1"));
#define VIEW(from, shape) F("fused", "%x x : " from " step", "%1 = view %x {shape=" shape "} : f32" shape
    expect_fault(VIEW("f32[2,20,4,5]:c16", "[2,400]") " return y = %1"), "these are not the bytes of operand 'x'");
    expect_fault(VIEW("f32[2,20,4,5]:c16", "[2,40,10]") ":c16 return y = %1"), "these are not the bytes");
    expect_fault(VIEW("f32[2,20,4,5]", "[2,20,20]") ":c16 return y = %1"), "these are not the bytes");
    expect_fine(VIEW("f32[2,20,4,5]:c16", "[2,20,20]") ":c16 return y = %1"));
    expect_fine(VIEW("f32[2,20,20]:c16", "[2,20,2,10]") ":c16 return y = %1"));
    expect_fine(VIEW("f32[2,32,1,1]:c16", "[2,32]") " return y = %1"));
    expect_fault(VIEW("f32[2,20,1,1]:c16", "[2,20]") " return y = %1"), "these are not the bytes");
    expect_fault(
        F("fused", "%x x : f32[2,32,4,4]:c16 step", "%1 = copy %x : f32[2,32,4,4] return y = %1"),
        "a copy has the layout of its operand");
    expect_fault(F("fused", "%x x : f32[2,32,48]:c16 step, %g g : f32[32] step",
                   "%1 = group_stats %x, %g, %g : f32[2,2,32] return y = %1"),
                 "operand 'x' is c16 tokens");
    expect_fault(F("fused", "%x x : f32[2,32,4,4]:c16 step, %g g : f32[32] step",
                   "%1 = group_stats %x, %g, %g : f32[2,2,32]:c16 return y = %1"),
                 "the layout of statistics is plain");
}

/* ---- bindings ---- */

static void bindings(void **state) {
    (void)state;
#define K(binding)                                                                                 \
    "ebru ir 3 kernel\nfunc @f(%x x : f32[4] step) scratch=64 {\n%1 = silu %x : f32[4] " binding   \
    " return y = %1\n}\n"
    expect_fine(K("kernel silu {n=4} tasks=1 scratch=64"));
    expect_fault(K(""), "silu: it has no kernel");
    expect_fault(K("kernel silu {n=4} tasks=0 scratch=0"), "it has 0 tasks");
    expect_fault(K("kernel silu {n=4} tasks=1 scratch=65"),
                 "it needs 65 bytes of scratch, the function has 64");
    expect_fault(K("kernel \"\" {n=4} tasks=1 scratch=0"), "its kernel has no name");
    expect_fault(K("kernel silu {n=4, n=5} tasks=1 scratch=0"),
                 "parameter 'n' of its kernel appears twice");
    expect_fault(K("kernel silu {\"\"=5} tasks=1 scratch=0"),
                 "parameter 0 of its kernel has no name");
    expect_fault(F("fused", "%x x : f32[4] step",
                   "%1 = silu %x : f32[4] kernel k {} tasks=1 scratch=0 return y = %1"),
                 "a kernel is legal from level kernel on");
    expect_fault(
        F("kernel", "%x x : f32[4] step",
          "%1 = view %x {shape=[2,2]} : f32[2,2] kernel k {} tasks=1 scratch=0 return y = %1"),
        "it does no work, but has a kernel");
    expect_fine(F("kernel", "%x x : f32[4] step",
                  "%1 = reshape %x {shape=[2,2]} : f32[2,2] return y = %1"));
    expect_fine(F("kernel", "%x x : f32[1,4] step",
                  "%1 = transpose %x {perm=[1,0]} : f32[4,1] return y = %1"));
    expect_fault(F("kernel", "%x x : f32[2,4] step",
                   "%1 = transpose %x {perm=[1,0]} : f32[4,2] return y = %1"),
                 "transpose: it has no kernel");
    expect_fault("ebru ir 3 fused\nfunc @f(%x x : f32[4] step) scratch=1 { return y = %x }\n",
                 "scratch is legal from level kernel on");
    /* What depends on weights only is computed at compile time. */
    expect_fine("ebru ir 3 kernel\nweight @w : f16[4]\nfunc @f() {\n%1 = pack_vector @w : f32[16] "
                "return y = "
                "%1\n}\n");
}

/* ---- places ---- */

#define P(head, body)                                                                              \
    "ebru ir 3 placed\nweight @w : f16[4]\nfunc @f(%x x : f32[16] step at input+0) " head          \
    " {\n" body "\n}"                                                                              \
    "\n"
#define BY " kernel k {} tasks=1 scratch=0 "

static void places(void **state) {
    (void)state;
    expect_fine(P("arena=128",
                  "%1 = tanh %x : f32[16]" BY "at arena+64 %2 = mul %1, %x : f32[16]" BY
                  "at output+0 return y = %2"));
    expect_fault(P("arena=128", "%1 = tanh %x : f32[16]" BY "at arena+128 return y = %1"),
                 "its 64 bytes at 128 leave the arena of 128");
    expect_fault(
        P("arena=128", "%1 = tanh %x : f32[16]" BY "at arena+18446744073709551552 return y = %1"),
        "leave the arena of 128");
    expect_fault(P("arena=128", "%1 = tanh %x : f32[16]" BY "at arena+4 return y = %1"),
                 "not aligned to 64 bytes");
    expect_fault(P("", "%1 = tanh %x : f32[16]" BY "return y = %1"),
                 "it has no place in the arena or an output");
    expect_fault(P("", "%1 = tanh %x : f32[16]" BY "at input+0 return y = %1"),
                 "it has no place in the arena");
    expect_fault(P("", "%1 = tanh %x : f32[16]" BY "at output+1 return y = %1"),
                 "it is not the value of output 1");
    expect_fault(P("arena=64", "%1 = tanh %x : f32[16]" BY "at output+0 %2 = tanh %1 : f32[16]" BY
                               "at arena+0 return y = %2"),
                 "it is not the value of output 0");
    expect_fault("ebru ir 3 placed\nfunc @f(%x x : f32[4] step at input+1) { return y = %x }\n",
                 "an input's place is its own index");
    expect_fault("ebru ir 3 placed\nfunc @f(%x x : f32[4] step) { return y = %x }\n",
                 "an input's place is its own index");
    expect_fault(P("arena=64", "%1 = view %x {shape=[4,4]} : f32[4,4] at arena+0 return y = %1"),
                 "a view's place is that of what it views");
    expect_fine(P("", "%1 = view %x {shape=[4,4]} : f32[4,4] at input+0 return y = %1"));
    expect_fault(F("kernel", "%x x : f32[4] step at input+0", "return y = %x"),
                 "a place is legal at level placed only");
    expect_fault("ebru ir 3 kernel\nfunc @f(%x x : f32[4] step) arena=64 { return y = %x }\n",
                 "an arena is legal at level placed only");
}

static void weight_places(void **state) {
    (void)state;
    expect_fault(P("", "%1 = pack_vector @w : f32[16] %2 = add %x, %1 : f32[16]" BY
                       "at output+0 return y = %2"),
                 "pack_vector: its value is used at run time, but it has no place");
    expect_fault(P("arena=64",
                   "%1 = pack_vector @w : f32[16] at arena+0 %2 = add %x, %1 : f32[16]" BY
                   "at output+0 return y = %2"),
                 "a constant's place is in the weights");
    expect_fault(P("", "%1 = pack_vector @w : f32[16] at weights+8 %2 = add %x, %1 : f32[16]" BY
                       "at output+0 return y = %2"),
                 "pack_vector: its place is not aligned");
#define TWO(a, b)                                                                                  \
    P("",                                                                                          \
      "%1 = pack_vector @w : f32[16] at weights+" a " %2 = exp %1 : f32[16] at weights+" b         \
      " %3 = ew %x, %1, %2 {expr=\"add(a,add(b,c))\"} : f32[16]" BY "at output+0 return y = %3")
    expect_fine(TWO("0", "64"));
    expect_fine(TWO("64", "0"));
    expect_fine(TWO("64", "64"));
    expect_fault(
        "ebru ir 3 placed\nweight @a : f16[32]\nfunc @f(%x x : f32[32] step at input+0) {\n"
        "weight @a at weights+0 %1 = exp @a : f32[32] at weights+64\n"
        "%3 = ew %x, @a, %1 {expr=\"add(a,add(b,c))\"} : f32[32]" BY
        "at output+0 return y = %3 }\n",
        "its place in the weights reaches into that of @a");
}

/* The planner is held to this. Ops that cannot work in place (geglu, concat) stand for all. */
static void overlaps(void **state) {
    (void)state;
#define A(at1, at2, at3)                                                                           \
    P("arena=256",                                                                                 \
      "%1 = concat %x, %x : f32[32]" BY "at arena+" at1 " %2 = concat %1 : f32[32]" BY             \
      "at arena+" at2 " %3 = concat %1, %2 : f32[64]" BY "at output+0 return y = %3" at3)
    expect_fine(A("0", "128", ""));
    expect_fault(A("0", "0", ""), "concat: it is placed over %1, which is still alive");
    expect_fault(A("0", "64", ""), "concat: it is placed over %1, which is still alive");
    expect_fault(A("64", "0", ""), "concat: it is placed over %1, which is still alive");
    /* A kernel may not write over what it reads, even when that dies there. */
    expect_fault(P("arena=128",
                   "%1 = concat %x, %x : f32[32]" BY "at arena+0 %2 = concat %1 : f32[32]" BY
                   "at arena+0 %3 = exp %2 : f32[32]" BY "at output+0 return y = %3"),
                 "concat: it is placed over %1");
    /* Elementwise nodes may, byte for byte, when it dies there. */
    expect_fine(P("arena=128",
                  "%1 = concat %x, %x : f32[32]" BY "at arena+0 %2 = exp %1 : f32[32]" BY
                  "at arena+0 %3 = exp %2 : f32[32]" BY "at output+0 return y = %3"));
    expect_fault(P("arena=192",
                   "%1 = concat %x, %x : f32[32]" BY "at arena+0 %2 = exp %1 : f32[32]" BY
                   "at arena+64 %3 = exp %2 : f32[32]" BY "at output+0 return y = %3"),
                 "exp: it is placed over %1");
    expect_fault(P("arena=128",
                   "%1 = concat %x, %x : f32[32]" BY "at arena+0 %2 = exp %1 : f32[32]" BY
                   "at arena+0 %3 = add %1, %2 : f32[32]" BY "at output+0 return y = %3"),
                 "exp: it is placed over %1");
    expect_fault(P("arena=64",
                   "%1 = exp %x : f32[16]" BY
                   "at arena+0 %2 = view %1 {shape=[4,4]} : f32[4,4] at arena+0 "
                   "%3 = transpose %2 {perm=[1,0]} : f32[4,4]" BY "at arena+0 return y = %3"),
                 "transpose: it is placed over %1");
    /* Broadcasting reads elsewhere. */
    expect_fault(
        "ebru ir 3 placed\nfunc @f(%x x : f32[1,4] step at input+0, %y y : f32[4,1] step at "
        "input+1) arena=64 {\n"
        "%1 = exp %x : f32[1,4]" BY "at arena+0 %2 = add %1, %y : f32[4,4]" BY
        "at arena+0 return y = %2\n}\n",
        "add: it is placed over %2");
    /* A view keeps alive what it views; an output lives to the end. */
    expect_fault(P("arena=128",
                   "%1 = exp %x : f32[16]" BY
                   "at arena+0 %2 = view %1 {shape=[4,4]} : f32[4,4] at arena+0 "
                   "%3 = concat %x : f32[16]" BY "at arena+0 %4 = concat %2 : f32[4,4]" BY
                   "at arena+64 return y = %3, z = %4"),
                 "concat: it is placed over %1");
    expect_fault(P("arena=64", "%1 = exp %x : f32[16]" BY "at arena+0 %2 = neg %x : f32[16]" BY
                               "at arena+0 return y = %1, z = %2"),
                 "neg: it is placed over %1");
}

/* ---- damaged modules ---- */

static ir_module *sound(ir_func **f) {
    static const char text[] =
        "ebru ir 3 graph\nweight @w : f32[4]\nmeta \"k\" = 1\n"
        "func @f(%0 x : f32[4] step, %1 z : f32[4] prompt) {\n"
        "%2 = add %0, %1 : f32[4]\n%3 = affine %2 {mul=2.0} : f32[4]\n%4 = add %3, @w : f32[4]\n"
        "return y = %4, z = %3\n}\nfunc @g(%0 x : f32[4] step) { return y = %0 }\n";
    char messages[1024];
    ir_module *m = parse(text, messages, sizeof messages);
    assert_non_null(m);
    *f = m->funcs.items[0];
    return m;
}

static void expect_verify(ir_module *m, const char *fault) {
    base_str faults = {0};
    assert_false(ir_verify(m, &faults));
    if (!strstr(faults.data, fault)) fail_msg("expected: %s\nfound: %s", fault, faults.data);
    base_str_free(&faults);
    ir_module_free(m);
}

/* Gives an attribute a legal value that is not its default. */
static void change(const ir_attr_info *a, void *attrs) {
    void *p = (char *)attrs + a->offset;
    const ir_attr_type *t = ir_attr_type_of(a->kind);
    switch (t->form) {
    case IR_ATTR_FORM_REAL: *(double *)p += 1; break;
    case IR_ATTR_FORM_FLAG: *(bool *)p = !*(bool *)p; break;
    case IR_ATTR_FORM_INTEGER:
    case IR_ATTR_FORM_INTEGERS: ++*(int64_t *)p; break; /* the first */
    case IR_ATTR_FORM_LIST: *(ir_dims *)p = (ir_dims){1, {1}}; break;
    case IR_ATTR_FORM_TEXT: *(const char **)p = "a"; break;
    case IR_ATTR_FORM_NAME: *(uint32_t *)p = (*(uint32_t *)p + 1) % t->name_count; break;
    }
}

/* Whether the verifier has something against the level of this attribute of this op, as the one
 * attribute that is not at its default, in a module of this level. What else it finds wrong with
 * the node, which has no operands, does not count here. */
static bool level_refused(ir_op op, const ir_attr_info *a, ir_level level) {
    const ir_op_info *info = ir_op_get(op);
    ir_func *f;
    ir_module *m = sound(&f);
    ir_node *n = &f->nodes.items[3];
    n->op = op;
    n->operand_count = 0;
    n->attrs = ir_attrs_copy(m->arena, op, info->attr_default);
    change(a, (void *)n->attrs);
    m->level = level;
    char message[128];
    snprintf(message, sizeof message, "%s: attribute '%s' is legal from level %s on", info->name,
             a->name, ir_level_name[a->level]);
    base_str faults = {0};
    ir_verify(m, &faults);
    bool refused = faults.data && strstr(faults.data, message);
    base_str_free(&faults);
    ir_module_free(m);
    return refused;
}

/* Every attribute of every op is refused below the level that attrs.def gives it, and at that level
 * and above it is not. */
static void attribute_levels(void **state) {
    (void)state;
    uint32_t refused = 0;
    for (int op = 0; op < IR_OP_COUNT; op++) {
        const ir_op_info *info = ir_op_get((ir_op)op);
        for (uint32_t i = 0; i < info->attr_count; i++)
            for (int level = 0; level < IR_LEVEL_COUNT; level++) {
                const ir_attr_info *a = &info->attrs[i];
                bool early = (ir_level)level < a->level;
                if (!(info->levels >> level & 1)) continue; /* the op itself is refused */
                if (level_refused((ir_op)op, a, (ir_level)level) != early)
                    fail_msg("%s {%s} at level %s: %s", info->name, a->name, ir_level_name[level],
                             early ? "accepted" : "refused");
                refused += early;
            }
    }
    assert_true(refused >= 12); /* conv2d 6, linear 4, group_norm 1, embedding 1 */
}

static void damage(void **state) {
    (void)state;
    ir_func *f;
    ir_module *m = sound(&f);
    assert_true(ir_verify(m, NULL));
    f->nodes.items[2].operand[1].id = 99;
    expect_verify(m, "f: %2 add: operand 'b' is not defined before");

    m = sound(&f);
    f->nodes.items[2].operand[0].id = 3;
    expect_verify(m, "f: %2 add: operand 'a' is not defined before");

    m = sound(&f);
    f->nodes.items[2].operand[0].id = 2;
    expect_verify(m, "operand 'a' is not defined before");

    m = sound(&f);
    f->nodes.items[2].operand_count = 9;
    expect_verify(m, "expected at most 2 operands, found 9");

    m = sound(&f);
    f->nodes.items[2].operand_count = 1;
    expect_verify(m, "add: operand 'b' is missing");

    m = sound(&f);
    f->nodes.items[2].op = (ir_op)1000;
    expect_verify(m, "unknown op 1000");

    m = sound(&f);
    f->nodes.items[3].attrs = NULL;
    expect_verify(m, "affine: its attributes are missing");

    m = sound(&f);
    f->nodes.items[3].type.rank = 9;
    expect_verify(m, "affine: its type: more than 8 dimensions");

    m = sound(&f);
    f->nodes.items[3].origin = 77;
    expect_verify(m, "its origin does not exist");

    m = sound(&f);
    ((struct ir_attrs_input *)f->nodes.items[0].attrs)->freq = (ir_freq)9;
    expect_verify(m, "attribute 'freq' has no legal value");

    m = sound(&f);
    ((struct ir_attrs_input *)f->nodes.items[0].attrs)->name = NULL;
    expect_verify(m, "attribute 'name' has no legal value");

    m = sound(&f);
    ((struct ir_attrs_input *)f->nodes.items[1].attrs)->name = "x";
    expect_verify(m, "f: %1 input: the name 'x' is not unique");

    m = sound(&f);
    ((struct ir_attrs_input *)f->nodes.items[1].attrs)->name = "";
    expect_verify(m, "the input has no name");

    m = sound(&f);
    ((struct ir_attrs_weight *)f->nodes.items[4].attrs)->index = 5;
    expect_verify(m, "weight: the weight table has no entry 5");

    m = sound(&f);
    m->weights.items[0].type.dtype = IR_f16;
    expect_verify(m, "weight: expected type f16[4], found f32[4]");
}

static void damaged_tables(void **state) {
    (void)state;
    ir_func *f;
    ir_module *m = sound(&f);
    f->inputs.count = 1;
    expect_verify(m, "it is not among the function's inputs");

    m = sound(&f);
    f->inputs.items[1].id = 0;
    expect_verify(m, "f: input 1 is not an input node of its own");

    m = sound(&f);
    f->outputs.items[0].value.id = 50;
    expect_verify(m, "f: output 'y' has no value");

    m = sound(&f);
    f->outputs.items[0].name = "z";
    expect_verify(m, "f: output 'z': the name is not unique");

    m = sound(&f);
    f->outputs.items[0].name = "";
    expect_verify(m, "f: output 0 has no name");

    m = sound(&f);
    f->outputs.count = 0;
    expect_verify(m, "the function has no outputs");

    m = sound(&f);
    m->funcs.items[1]->name = "f";
    expect_verify(m, "f: the function's name is not unique");

    m = sound(&f);
    m->level = (ir_level)4;
    expect_verify(m, "the module's level is unknown");

    m = sound(&f);
    m->meta.items[0].key = "";
    expect_verify(m, "a meta entry has no key");

    m = sound(&f);
    BASE_PUSH(&m->meta, m->meta.items[0]);
    expect_verify(m, "meta \"k\" appears twice");

    m = sound(&f);
    BASE_PUSH(&m->weights, m->weights.items[0]);
    expect_verify(m, "weight @w: the name is not unique");

    m = sound(&f);
    m->weights.items[0].kind = IR_WEIGHT_FILE;
    expect_verify(m, "weight @w: file or tensor name is missing");

    m = sound(&f);
    m->weights.items[0].kind = IR_WEIGHT_DATA;
    expect_verify(m, "weight @w: its data is missing");

    m = sound(&f);
    m->weights.items[0].type.dim[0] = 0;
    expect_verify(m, "weight @w: a dimension smaller than 1");
}

static ir_weight factor(uint32_t rank, int64_t a, int64_t b, int64_t c, int64_t d) {
    return (ir_weight){.kind = IR_WEIGHT_RANDOM,
                       .type = ir_type_make(IR_f32, rank, (int64_t[]){a, b, c, d}),
                       .bound = 1.0};
}

static void expect_sound(ir_module *m) {
    base_str faults = {0};
    if (!ir_verify(m, &faults)) fail_msg("%s", faults.data);
    base_str_free(&faults);
    ir_module_free(m);
}

/* A module with one weight of this shape and one update. */
static ir_module *updated(ir_type type, double scale, ir_weight up, ir_weight down, ir_weight mid) {
    ir_module *m = ir_module_new();
    uint32_t i = ir_weight_add(m, "w", &type);
    m->weights.items[i].kind = IR_WEIGHT_RANDOM;
    ir_lora l = {.scale = scale, .up = up, .down = down, .mid = mid};
    ir_lora_add(m, i, &l);
    return m;
}

static void updates(void **state) {
    (void)state;
    const ir_weight none = {0};
    ir_type matrix = ir_type_make(IR_f32, 2, (int64_t[]){5, 7}),
            filter = ir_type_make(IR_f32, 4, (int64_t[]){5, 7, 3, 3}),
            vector = ir_type_make(IR_f32, 1, (int64_t[]){5});
    expect_sound(updated(matrix, 1, factor(2, 5, 2, 0, 0), factor(2, 2, 7, 0, 0), none));
    expect_sound(updated(matrix, 1, factor(4, 5, 2, 1, 1), factor(4, 2, 7, 1, 1), none));
    expect_sound(updated(filter, 1, factor(4, 5, 2, 1, 1), factor(4, 2, 7, 3, 3), none));
    expect_sound(
        updated(filter, 1, factor(2, 5, 2, 0, 0), factor(2, 3, 7, 0, 0), factor(4, 2, 3, 3, 3)));

    expect_verify(updated(matrix, INFINITY, factor(2, 5, 2, 0, 0), factor(2, 2, 7, 0, 0), none),
                  "weight @w: the scale of an update is not finite");
    expect_verify(updated(matrix, 1, factor(2, 5, 2, 0, 0), none, none),
                  "weight @w: a part of it has no source");
    static const char unfit[] = "weight @w: update: up f32[";
    expect_verify(updated(matrix, 1, factor(2, 5, 2, 0, 0), factor(2, 3, 7, 0, 0), none), unfit);
    expect_verify(updated(matrix, 1, factor(2, 4, 2, 0, 0), factor(2, 2, 7, 0, 0), none), unfit);
    expect_verify(updated(matrix, 1, factor(2, 5, 2, 0, 0), factor(2, 2, 6, 0, 0), none), unfit);
    expect_verify(updated(vector, 1, factor(2, 5, 2, 0, 0), factor(2, 2, 1, 0, 0), none), unfit);
    expect_verify(updated(filter, 1, factor(2, 5, 2, 0, 0), factor(2, 2, 7, 0, 0), none), unfit);
    expect_verify(updated(filter, 1, factor(4, 5, 2, 3, 3), factor(4, 2, 7, 3, 3), none), unfit);
    expect_verify(
        updated(filter, 1, factor(2, 5, 2, 0, 0), factor(2, 3, 7, 0, 0), factor(4, 3, 2, 3, 3)),
        unfit);
    expect_verify(
        updated(filter, 1, factor(2, 5, 2, 0, 0), factor(4, 3, 7, 3, 3), factor(4, 2, 3, 3, 3)),
        unfit);
    expect_verify(
        updated(filter, 1, factor(2, 5, 2, 0, 0), factor(2, 3, 7, 0, 0), factor(4, 2, 3, 1, 3)),
        unfit);
}

/* All faults are collected, each on its line. */
static void collects(void **state) {
    (void)state;
    ir_func *f;
    ir_module *m = sound(&f);
    f->nodes.items[2].type.dim[0] = 5;
    f->nodes.items[3].type.dim[0] = 6;
    base_str faults = {0};
    assert_false(ir_verify(m, &faults));
    assert_non_null(strstr(faults.data, "f: %2 add: expected type f32[4], found f32[5]\n"));
    assert_non_null(strstr(faults.data, "f: %3 affine: expected type f32[5], found f32[6]\n"));
    assert_non_null(strstr(
        faults.data,
        "f: %4 add: operand 'b': expected dimensions that broadcast with f32[6], found f32[4]\n"));
    base_str_free(&faults);
    ir_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),   cmocka_unit_test(types),   cmocka_unit_test(layouts),
        cmocka_unit_test(bindings), cmocka_unit_test(places),  cmocka_unit_test(weight_places),
        cmocka_unit_test(overlaps), cmocka_unit_test(damage),  cmocka_unit_test(damaged_tables),
        cmocka_unit_test(collects), cmocka_unit_test(updates), cmocka_unit_test(attribute_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
