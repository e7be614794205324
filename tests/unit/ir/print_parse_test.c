/* The text form: every op and every kind of entry prints, reads back identically, and wrong text is
 * reported, never followed. */
#include "base/number.h"
#include "tests/unit/ir/ir_cases.h"
#include "tests/unit/support/captured_diag.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* tests/fuzz/fuzz_ir.c */

static ir_module *parse(const char *text, size_t length, base_str *messages) {
    capture cap;
    capture_begin(&cap, (base_diag_options){.limit = 1000});
    ir_module *m = ir_parse(cap.diag, "t.ir", text, length);
    if (messages) base_str_add(messages, captured(&cap));
    if (!m && !messages) fail_msg("%s", captured(&cap));
    capture_end(&cap);
    return m;
}

/* ---- structural equality, attribute by attribute; weights may be numbered otherwise ---- */

static void same_binding(const ir_binding *a, const ir_binding *b) {
    assert_int_equal(a == NULL, b == NULL);
    if (!a) return;
    assert_string_equal(a->kernel, b->kernel);
    assert_int_equal(a->tasks, b->tasks);
    assert_int_equal(a->scratch, b->scratch);
    assert_int_equal(a->param_count, b->param_count);
    for (uint32_t i = 0; i < a->param_count; i++) {
        assert_string_equal(a->params[i].name, b->params[i].name);
        assert_int_equal(a->params[i].is_float, b->params[i].is_float);
        assert_int_equal(a->params[i].i, b->params[i].i);
        assert_true(memcmp(&a->params[i].f, &b->params[i].f, sizeof(double)) == 0);
    }
}

static void same_text(const char *a, const char *b) {
    assert_int_equal(a == NULL, b == NULL);
    if (a) assert_string_equal(a, b);
}

static void same_origin(const ir_func *f, ir_origin_id a, const ir_func *g, ir_origin_id b) {
    const ir_origin *x = &f->module->origins.items[a], *y = &g->module->origins.items[b];
    same_text(x->file, y->file);
    same_text(x->block, y->block);
    assert_int_equal(x->line, y->line);
    assert_int_equal(x->col, y->col);
}

/* Node i of f against the node it is in g; map is filled in order. */
static void same_node(const ir_func *f, ir_ref i, const ir_func *g, ir_ref k, const ir_ref *map) {
    const ir_node *a = ir_get(f, i), *b = ir_get(g, k);
    assert_int_equal(a->op, b->op);
    assert_true(ir_type_equal(&a->type, &b->type));
    assert_int_equal(a->operand_count, b->operand_count);
    for (uint32_t o = 0; o < a->operand_count; o++)
        assert_int_equal(ir_ref_ok(a->operand[o]) ? map[a->operand[o].id].id : UINT32_MAX,
                         b->operand[o].id);
    assert_true(ir_attrs_equal(a->op, a->attrs, b->attrs));
    assert_int_equal(a->place.kind, b->place.kind);
    assert_int_equal(a->place.offset, b->place.offset);
    same_binding(a->binding, b->binding);
    same_origin(f, a->origin, g, b->origin);
}

static void same_func(const ir_func *f, const ir_func *g) {
    assert_string_equal(f->name, g->name);
    assert_int_equal(f->arena_bytes, g->arena_bytes);
    assert_int_equal(f->scratch_bytes, g->scratch_bytes);
    assert_int_equal(f->nodes.count, g->nodes.count);
    assert_int_equal(f->inputs.count, g->inputs.count);
    ir_ref *map = base_alloc(f->nodes.count * sizeof *map), at = {0};
    /* Weights are matched by their table entry, all other nodes by their number. */
    uint32_t *nf = ir_numbering(f), *ng = ir_numbering(g);
    for (uint32_t i = 0; i < f->nodes.count; i++)
        for (at.id = 0; at.id < g->nodes.count; at.id++) {
            bool w = f->nodes.items[i].op == IR_OP_weight,
                 v = g->nodes.items[at.id].op == IR_OP_weight;
            if (w != v) continue;
            if (w ? ir_attrs_equal(IR_OP_weight, f->nodes.items[i].attrs,
                                   g->nodes.items[at.id].attrs)
                  : nf[i] == ng[at.id])
                map[i] = at;
        }
    for (uint32_t i = 0; i < f->nodes.count; i++) same_node(f, (ir_ref){i}, g, map[i], map);
    for (size_t i = 0; i < f->inputs.count; i++)
        assert_int_equal(map[f->inputs.items[i].id].id, g->inputs.items[i].id);
    assert_int_equal(f->outputs.count, g->outputs.count);
    for (size_t i = 0; i < f->outputs.count; i++) {
        assert_string_equal(f->outputs.items[i].name, g->outputs.items[i].name);
        assert_int_equal(map[f->outputs.items[i].value.id].id, g->outputs.items[i].value.id);
    }
    base_free(nf);
    base_free(ng);
    base_free(map);
}

static void same_source(const ir_weight *a, const ir_weight *b) {
    assert_true(ir_type_equal(&a->type, &b->type));
    assert_int_equal(a->kind, b->kind);
    same_text(a->file, b->file);
    same_text(a->tensor, b->tensor);
    assert_true(a->seed == b->seed && a->bound == b->bound && a->center == b->center);
    if (a->kind == IR_WEIGHT_DATA) assert_memory_equal(a->data, b->data, ir_type_bytes(&a->type));
}

static void same_weight(const ir_weight *a, const ir_weight *b) {
    assert_string_equal(a->name, b->name);
    same_source(a, b);
    const ir_lora *x = a->loras, *y = b->loras;
    for (; x && y; x = x->next, y = y->next) {
        assert_memory_equal(&x->scale, &y->scale, sizeof x->scale);
        same_source(&x->up, &y->up);
        same_source(&x->down, &y->down);
        same_source(&x->mid, &y->mid);
    }
    assert_true(!x && !y);
}

static void same_module(const ir_module *a, const ir_module *b) {
    assert_int_equal(a->level, b->level);
    assert_int_equal(a->meta.count, b->meta.count);
    for (size_t i = 0; i < a->meta.count; i++) {
        assert_string_equal(a->meta.items[i].key, b->meta.items[i].key);
        assert_int_equal(a->meta.items[i].kind, b->meta.items[i].kind);
        assert_int_equal(a->meta.items[i].i, b->meta.items[i].i);
        assert_true(memcmp(&a->meta.items[i].f, &b->meta.items[i].f, sizeof(double)) == 0);
        same_text(a->meta.items[i].s, b->meta.items[i].s);
    }
    assert_int_equal(a->weights.count, b->weights.count);
    for (size_t i = 0; i < a->weights.count; i++)
        same_weight(&a->weights.items[i], &b->weights.items[i]);
    assert_int_equal(a->funcs.count, b->funcs.count);
    for (size_t i = 0; i < a->funcs.count; i++) same_func(a->funcs.items[i], b->funcs.items[i]);
}

/* Prints m, reads it back, compares both as structures and as texts. Frees m. */
static void round_trip(ir_module *m) {
    base_str first = {0}, second = {0};
    ir_print(m, &first);
    ir_module *again = parse(first.data, first.len, NULL);
    same_module(m, again);
    ir_print(again, &second);
    assert_string_equal(first.data, second.data);
    base_str_free(&first);
    base_str_free(&second);
    ir_module_free(m);
    ir_module_free(again);
}

/* ---- round trips ---- */

static void every_op(void **state) {
    (void)state;
    base_str text = {0};
    base_str_add(&text, "ebru ir 3 fused\n");
    for (int i = 0; i < GOOD_NODES; i++) {
        char name[16];
        snprintf(name, sizeof name, "case%d", i);
        case_function(&good_nodes[i], name, good_nodes[i].expect, &text);
    }
    round_trip(parse(text.data, text.len, NULL));
    base_str_free(&text);
}

static const char placed_text[] =
    "# a comment\n"
    "ebru ir 3 placed // another\n"
    "meta \"pipeline\" = \"text_to_image\"\n"
    "meta \"scale\" = 0.18215\n"
    "meta \"n\" = -9223372036854775808\n"
    "meta \"odd \\\"key\\\\\" = \"a\\tb\\n\\x1b[31m\\xff\"\n"
    "weight @unet/conv_in.weight : f16[20,4,3,3] = file \"models/x y.safetensors\" "
    "\"conv_in.weight\"\n"
    "weight @\"odd name\" : f32[20] = random 18446744073709551615 0.05 -1\n"
    "weight @updated : f32[2,3,3,3] = random 1 0.05 0.0 + lora -0.25 f16[2,4] file \"l "
    "\\\"a\\\".safetensors\" "
    "\"x.lora_up.weight\", bf16[4,3,3,3] file \"l\" \"x.lora_down.weight\"\n"
    "    + lora 1e-3 f32[2,1,1,1] data \"0000803f000080bf\", f32[1,3] random 2 0.5 0, f32[1,1,3,3] "
    "random 3 "
    "1 0\n"
    "weight @c : f32[2] = data \"0000803f000080bf\"\n"
    "weight @\"//\" : bf16[]\n"
    "func @unet.step(%in sample : f32[2,4,6,6] step at input+0 loc(\"a.json\":1:2), %t \"time "
    "step\" : "
    "f32[1] schedule\n"
    "    at input+1 loc(\"\" \"block\")) arena=1024000 scratch=8192 {\n"
    "  weight @\"odd name\" at weights+36864\n"
    "  %p = pack_conv_weight @unet/conv_in.weight : f32[2,1,3,3,16,16] at weights+0\n"
    "  %lc = layout_cast %in : f32[2,4,6,6]:c16 kernel cast {} tasks=1 scratch=0 at arena+10240\n"
    "  %3 = conv2d %lc, %p, @\"odd name\" {pad=[1,1,1,1], n=20} : f32[2,20,6,6]:c16\n"
    "    kernel conv2d {B=2, eps=1e-5, x=1e300, big=9223372036854775807, inf=-inf} tasks=12 "
    "scratch=8192\n"
    "    at arena+20480 loc(\"unet/config.json\":12:3 \"conv_in\")\n"
    "  %4 = view %3 {shape=[2,36,20]} : f32[2,36,20]:c16 at arena+20480\n"
    "  %5 = layout_cast %4 : f32[2,36,20] kernel \"odd kernel\" {} tasks=1 scratch=0 at output+1\n"
    "  %6 = affine %t {mul=-0.0, add=0.1} : f32[1] kernel affine {} tasks=1 scratch=0 at output+0\n"
    "  return \"1st\" = %6, sample = %5\n"
    "}\n"
    "func @\"unet 2\"() {\n"
    "  weight @c at weights+40960\n"
    "  return w = @c\n"
    "}\n";

static void every_entry(void **state) {
    (void)state;
    ir_module *m = parse(placed_text, sizeof placed_text - 1, NULL);
    assert_true(signbit(
        IR_ATTRS(&m->funcs.items[0]->nodes.items[m->funcs.items[0]->nodes.count - 1], affine)
            ->mul));
    assert_string_equal(ir_meta_string(m, "odd \"key\\", ""), "a\tb\n\x1b[31m\xff");
    assert_true(ir_meta_int(m, "n", 0) == INT64_MIN);
    assert_null(m->weights.items[0].data);
    round_trip(m);
}

/* Weights that appear long before they are used, inputs made late: numbers stay. */
static void numbering_is_stable(void **state) {
    (void)state;
    ir_module *m = ir_module_new();
    ir_func *f = ir_func_new(m, "f");
    ir_type t = ir_type_make(IR_f32, 1, (int64_t[]){4});
    ir_ref w = ir_weight_ref(f, ir_weight_add(m, "w", &t), 0),
           v = ir_weight_ref(f, ir_weight_add(m, "v", &t), 0);
    ir_ref e = ir_op1(f, IR_OP_exp, v, NULL, 0);
    ir_ref x = ir_input(f, "x", &t, IR_PROMPT, ir_origin_add(m, "f.json", 3, 4, "b"));
    ir_ref s = ir_op2(f, IR_OP_add, x, e, NULL, ir_origin_add(m, "f.json", 3, 4, NULL));
    ir_ref y = ir_input(f, "y", &t, IR_STEP, 0);
    ir_set_output(f, "out", ir_op2(f, IR_OP_mul, ir_op2(f, IR_OP_add, s, y, NULL, 0), w, NULL, 0));
    base_str line = {0};
    ir_print_node(f, s, &line);
    assert_string_equal(line.data, "%3 = add %0, %2 : f32[4]");
    line.len = 0;
    ir_print_ref(f, v, &line);
    assert_string_equal(line.data, "@v");
    base_str_free(&line);
    round_trip(m);
}

static void floats(void **state) {
    (void)state;
    static const double exact[] = {0.0,
                                   -0.0,
                                   1.0,
                                   0.1,
                                   1e-5,
                                   5e-324,
                                   1.7976931348623157e308,
                                   1e300,
                                   0.18215,
                                   100000.0,
                                   123456789012345680.0,
                                   2.2250738585072014e-308,
                                   3.0e-5,
                                   1.0 / 3.0};
    static const char *const text[] = {"0.0",
                                       "-0.0",
                                       "1.0",
                                       "0.1",
                                       "1e-05",
                                       "5e-324",
                                       "1.7976931348623157e+308",
                                       "1e+300",
                                       "0.18215",
                                       "1e+05",
                                       "1.2345678901234568e+17",
                                       "2.2250738585072014e-308",
                                       "3e-05",
                                       "0.3333333333333333"};
    base_str s = {0};
    for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++) {
        double back;
        s.len = 0;
        base_print_f64(exact[i], &s);
        assert_string_equal(s.data, text[i]);
        assert_true(base_parse_f64(s.data, s.len, &back));
        assert_memory_equal(&back, &exact[i], sizeof back);
    }
    uint64_t bits = 1;
    for (int i = 0; i < 20000; i++) {
        double v, back;
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        memcpy(&v, &bits, sizeof v);
        s.len = 0;
        base_print_f64(v, &s);
        assert_true(base_parse_f64(s.data, s.len, &back));
        if (!isnan(v)) assert_memory_equal(&back, &v, sizeof back);
        if (isnan(v)) assert_true(isnan(back));
    }
    base_str_free(&s);
    double v;
    static const char *const wrong[] = {"",      "-",        ".",    "1e",  "0x10", " 1", "1 ",
                                        "1.2.3", "infinity", "-nan", "1,5", "e5",   "--1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (base_parse_f64(wrong[i], strlen(wrong[i]), &v))
            fail_msg("'%s' was read as a number", wrong[i]);
}

/* ---- wrong text ---- */

static void expect_error(const char *text, size_t length, const char *message) {
    base_str found = {0};
    ir_module *m = parse(text, length, &found);
    if (m || !strstr(found.data, message))
        fail_msg("%s\nexpected: %s\nfound: %s", text, message, found.data);
    base_str_free(&found);
}

#define ERROR_(text, message) expect_error(text, sizeof text - 1, message)
#define HEAD                  "ebru ir 3 graph\n"
#define BODY(line)            HEAD "func @f(%x x : f32[4] step) {\n" line "\nreturn y = %x\n}\n"

static void wrong_headers(void **state) {
    (void)state;
    ERROR_("", "t.ir:1:1: error: expected 'ebru', found the end of the text");
    ERROR_("ebru ir 99 graph", "1:9: error: written by a newer ebru: version 99 of the text form, "
                               "this one reads 3");
    ERROR_("ebru ir 18446744073709551615 graph", "1:9: error: written by a newer ebru: version "
                                                 "18446744073709551615 of the text form");
    ERROR_("ebru ir 0 graph", "1:9: error: written by an older ebru: version 0 of the text form, "
                              "this one reads from 1 on");
    ERROR_("ebru ir 3 grap", "1:11: error: expected a level, found 'grap'; did you mean 'graph'?");
    ERROR_("{\"json\": 1}", "1:1: error: expected 'ebru', found '{'");
    ERROR_(HEAD "foo\n", "2:1: error: expected 'meta', 'weight' or 'func', found 'foo'");
    ERROR_(HEAD "meta k = 1\n", "2:6: error: expected a key in quotes");
    ERROR_(HEAD "meta \"k\" = x\n", "2:12: error: expected a number");
    ERROR_(HEAD "meta \"k\" = 9223372036854775808\n", "2:12: error: the number is too large");
    ERROR_(HEAD "meta \"k\" = 1\nmeta \"k\" = 2\n", "3:6: error: the key appears twice");
    ERROR_(HEAD "meta \"\" = 1\n", "2:6: error: the key is empty");
    ERROR_(HEAD "meta \"a\\q\" = 1\n", "2:8: error: unknown escape in a string");
    ERROR_(HEAD "meta \"a\\x00\" = 1\n", "2:8: error: unknown escape in a string");
    ERROR_(HEAD "meta \"a", "2:6: error: the string does not end on its line");
    ERROR_(HEAD "meta \"a\nb\" = 1\n", "2:6: error: the string does not end on its line");
    ERROR_(HEAD "meta \"a\0b\" = 1\n", "2:6: error: the string does not end on its line");
    ERROR_(HEAD "meta \"a\" = 1 \0\n", "2:14: error: unexpected character");
}

static void wrong_weights(void **state) {
    (void)state;
    ERROR_(HEAD "weight w : f32[4]\n", "2:8: error: expected the weight's name, @..., found 'w'");
    ERROR_(HEAD "weight @ : f32[4]\n", "2:8: error: a name must follow '%' and '@'");
    ERROR_(HEAD "weight @w : f64[4]\n", "2:13: error: expected an element type, found 'f64'");
    ERROR_(HEAD "weight @w : f32[0]\n", "2:13: error: a dimension smaller than 1");
    ERROR_(HEAD "weight @w : f32[-4]\n", "2:13: error: a dimension smaller than 1");
    ERROR_(HEAD "weight @w : f32[1,1,1,1,1,1,1,1,1]\n", "2:33: error: more than 8 numbers");
    ERROR_(HEAD "weight @w : f32[4294967296,4294967296]\n", "2:13: error: too many elements");
    ERROR_(HEAD "weight @w : f32[99999999999999999999]\n", "2:17: error: the number is too large");
    ERROR_(HEAD "weight @w : f32[4] = fiel \"a\" \"b\"\n",
           "2:22: error: expected 'file', 'random' or 'data'");
    ERROR_(HEAD "weight @w : f32[4] = file \"a\"\n",
           "3:1: error: expected a tensor name in quotes");
    ERROR_(HEAD "weight @w : f32[4] = random -1 1 1\n",
           "2:29: error: expected a whole number of 0 or more");
    ERROR_(HEAD "weight @w : f32[4] = random 18446744073709551616 1 1\n",
           "2:29: error: the number is too large");
    ERROR_(HEAD "weight @w : f32[4] = random 1 inf 1\n", "bound or center is not finite");
    ERROR_(HEAD "weight @w : f32[1] = data \"0011\"\n",
           "2:27: error: the data has 4 digits, the type needs 8");
    ERROR_(HEAD "weight @w : f32[1] = data \"0011223g\"\n",
           "2:27: error: byte 3 is not two digits");
    ERROR_(HEAD "weight @w : f32[1]\nweight @w : f32[1]\n",
           "3:8: error: the weight is already defined");
}

static void wrong_nodes(void **state) {
    (void)state;
    ERROR_(BODY("%1 = slu %x : f32[4]"), "3:6: error: unknown op 'slu'; did you mean 'silu'?");
    ERROR_(BODY("%1 = input : f32[4]"), "3:6: error: unknown op 'input'");
    ERROR_(BODY("%1 = silu %y : f32[4]"), "3:11: error: unknown value %y");
    ERROR_(BODY("%1 = silu @y : f32[4]"), "3:11: error: unknown weight @y");
    ERROR_(BODY("%1 = silu %x, %x : f32[4]"), "3:15: error: silu has at most 1 operands");
    ERROR_(BODY("%1 = silu : f32[4]"), "3:1: error: silu: operand 'x' is missing");
    ERROR_(BODY("%x = silu %x : f32[4]"), "3:1: error: %x is already defined");
    ERROR_(BODY("%1 = silu %x"), "4:1: error: expected ':', found 'return'");
    ERROR_(BODY("%1 silu %x : f32[4]"), "3:4: error: expected '=', found 'silu'");
    ERROR_(BODY("%1 = affine %x {mull=1} : f32[4]"),
           "3:17: error: affine has no attribute 'mull'; did you mean 'mul'?");
    ERROR_(BODY("%1 = affine %x {mul=1, mul=1} : f32[4]"),
           "3:24: error: attribute 'mul' appears twice");
    ERROR_(BODY("%1 = affine %x {mul=y} : f32[4]"), "3:21: error: expected a number, found 'y'");
    ERROR_(BODY("%1 = affine %x {mul=1 : f32[4]"), "3:23: error: expected '}', found ':'");
    ERROR_(BODY("%1 = softmax %x {causal=1} : f32[4]"), "3:25: error: expected 'true' or 'false'");
    ERROR_(BODY("%1 = resize_nearest %x {size=[1]} : f32[4]"),
           "3:30: error: expected 2 numbers, found 1");
    ERROR_(BODY("%1 = max_pool2d %x {pad=[1]} : f32[4]"),
           "3:25: error: expected 4 numbers, found 1");
    ERROR_(BODY("%1 = linear %x, %x {act=sillu} : f32[4]"),
           "3:25: error: expected an activation, found 'sillu'; did you mean 'silu'?");
    ERROR_(BODY("%1 = reshape %x {shape=[1,2,3,4,5,6,7,8,9]} : f32[4]"), "more than 8 numbers");
    ERROR_(BODY("%1 = silu %x : f32[4] kernel k {a=} tasks=1 scratch=0"),
           "3:35: error: expected a number");
    ERROR_(BODY("%1 = silu %x : f32[4] at nowhere+1"),
           "3:26: error: expected 'arena', 'input', 'output' or 'weights'");
    ERROR_(BODY("%1 = silu %x : f32[4] loc(\"a\":1)"), "3:32: error: expected ':'");
    ERROR_(BODY("%1 = silu %x : f32[4] loc(\"a\":4294967296:1)"),
           "3:31: error: the number is too large");
    ERROR_(BODY("weight @w at weights+0"), "3:8: error: unknown weight @w");
    ERROR_(BODY("$"), "3:1: error: unexpected character");
    ERROR_(HEAD "func f() {}\n", "2:6: error: expected the function's name, @..., found 'f'");
    ERROR_(HEAD "func @f() {}\n", "2:12: error: the function has no return");
    ERROR_(HEAD "func @f() {\n", "3:1: error: expected 'return', found the end of the text");
    ERROR_(HEAD "func @f(%x x : f32[1] stp) { return y = %x }\n",
           "2:23: error: expected a frequency, found 'stp'; did you mean 'step'?");
    ERROR_(HEAD "func @f(%x x : f32[1] step, %x y : f32[1] step) { return y = %x }\n",
           "2:29: error: %x is already defined");
    ERROR_(HEAD "func @f(%x x : f32[1] step) { return y = %x }\nfunc @f(%x x : f32[1] step) { "
                "return y = %x }\n",
           "3:6: error: the function is already defined");
}

/* Many problems, one report; faulty lines cause no follow-up messages. */
static void collects(void **state) {
    (void)state;
    static const char text[] = HEAD "meta \"a\" 1\n"
                                    "weight @w f32[4]\n"
                                    "weight @v : f33[4]\n"
                                    "func @f(%x x : f32[4] step) {\n"
                                    "  %1 = slu %x : f32[4]\n"
                                    "  %2 = silu %1 : f32[4]\n"
                                    "  %3 = add %2, %nowhere : f32[4]\n"
                                    "  %4 = add %nowhere, %3 : f32[4]\n"
                                    "  %5 = affine %x {mul=[} : f32[4]\n"
                                    "  return y = %4\n"
                                    "}\n"
                                    "func @late(%x x : f32[4] step) {\n"
                                    "  %1 = silu %2 : f32[4]\n"
                                    "  %2 = silu %x : f32[4]\n"
                                    "  return y = %2\n"
                                    "}\n"
                                    "func @g(%x x : f32[4] stp) {\n"
                                    "  return y = %z\n"
                                    "}\n";
    capture cap;
    capture_begin(&cap, (base_diag_options){.limit = 1000});
    assert_null(ir_parse(cap.diag, "t.ir", text, sizeof text - 1));
    const char *m = captured(&cap);
    static const char *const places[] = {
        "t.ir:2:10:",  "t.ir:3:11:",  "t.ir:4:13:",  "t.ir:6:8:",  "t.ir:8:16:",
        "t.ir:10:23:", "t.ir:14:13:", "t.ir:18:23:", "t.ir:19:14:"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (!strstr(m, places[i])) fail_msg("no error at %s in\n%s", places[i], m);
    assert_int_equal(base_diag_errors(cap.diag), sizeof places / sizeof places[0]);
    capture_end(&cap);
}

/* Very many problems end the reading. */
static void gives_up(void **state) {
    (void)state;
    base_str text = {0};
    base_str_add(&text, HEAD);
    for (int i = 0; i < 5000; i++) base_str_add(&text, "nonsense\n");
    capture cap;
    capture_begin(&cap, (base_diag_options){0});
    assert_null(ir_parse(cap.diag, "t.ir", text.data, text.len));
    assert_true(base_diag_errors(cap.diag) < 200);
    capture_end(&cap);
    base_str_free(&text);
}

/* Deep views and many nodes cost no more than their number. */
static void large(void **state) {
    (void)state;
    base_str text = {0};
    base_str_add(&text, "ebru ir 3 placed\nfunc @f(%0 x : f32[2,3] step at input+0) {\n");
    for (int i = 0; i < 40000; i++)
        base_str_addf(&text, "%%%d = view %%%d {shape=[%s]} : f32[%s] at input+0\n", i + 1, i,
                      i % 2 ? "2,3" : "3,2", i % 2 ? "2,3" : "3,2");
    base_str_add(&text, "return y = %40000\n}\n");
    ir_module *m = parse(text.data, text.len, NULL);
    assert_int_equal(m->funcs.items[0]->nodes.count, 40001);
    ir_module_free(m);
    base_str_free(&text);
}

/* A short run of the fuzzer from a valid text: bytes changed, lines doubled, dropped and cut. */
static void mutations(void **state) {
    (void)state;
    base_str text = {0};
    base_str_add(&text, placed_text); /* valid; what follows is only right in syntax */
    base_str_add(&text, "func @case(%a a : f32[2] step at input+0) {\n");
    for (int i = 0; i < GOOD_NODES; i++)
        base_str_addf(&text, "  %%r%d = %s : %s\n", i, good_nodes[i].node, good_nodes[i].expect);
    base_str_add(&text, "  return r = %r1\n}\n");
    uint32_t seed = 1;
#define RANDOM(n) ((seed = seed * 1664525u + 1013904223u) >> 8) % (uint32_t)(n)
    static const char alphabet[] = "%@{}[]()=:,+-\"\\#/ \n0123456789abcdefgnopqrx.\x80\xff_";
    char *copy = malloc(2 * text.len);
    for (int round = 0; round < 2000; round++) {
        size_t n = round % 2 ? text.len : sizeof placed_text - 1;
        memcpy(copy, text.data, n);
        for (uint32_t k = 1 + RANDOM(3); k > 0; k--) {
            size_t at = RANDOM(n), run = 1 + RANDOM(12);
            if (at + run > n) run = n - at;
            switch (RANDOM(4)) {
            case 0: copy[at] = alphabet[RANDOM(sizeof alphabet)]; break;
            case 1: memmove(copy + at, copy + at + run, n - at - run), n -= run; break;
            case 2:
                if (n + run > 2 * text.len) break;
                memmove(copy + at + run, copy + at, n - at);
                n += run;
                break;
            case 3:
                if (round % 8 == 0) n = at + 1;
                break;
            }
        }
        LLVMFuzzerTestOneInput((const uint8_t *)copy, n);
    }
    free(copy);
    base_str_free(&text);
}

/* Valid texts, one number or word changed: most of them stay syntactically right and reach the
 * verifier. */
static void mutated_values(void **state) {
    (void)state;
    uint32_t seed = 7;
    static const char *const numbers[] = {"0",
                                          "-1",
                                          "1",
                                          "2",
                                          "16",
                                          "17",
                                          "1048576",
                                          "1099511627776",
                                          "9223372036854775807",
                                          "-9223372036854775808"};
    for (int round = 0; round < 4000; round++) {
        const ir_case *c = &good_nodes[RANDOM(GOOD_NODES)];
        base_str text = {0}, changed = {0};
        base_str_add(&text, "ebru ir 3 fused\n");
        case_function(c, "f", c->expect, &text);
        uint32_t which = RANDOM(12) + 1;
        for (const char *p = text.data; *p;) {
            size_t digits = strspn(p, "0123456789");
            if (digits && --which == 0) {
                base_str_add(&changed, numbers[RANDOM(sizeof numbers / sizeof numbers[0])]);
            } else {
                base_str_addn(&changed, p, digits ? digits : 1);
            }
            p += digits ? digits : 1;
        }
        LLVMFuzzerTestOneInput((const uint8_t *)changed.data, changed.len);
        base_str_free(&text);
        base_str_free(&changed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op),
        cmocka_unit_test(every_entry),
        cmocka_unit_test(numbering_is_stable),
        cmocka_unit_test(floats),
        cmocka_unit_test(wrong_headers),
        cmocka_unit_test(wrong_weights),
        cmocka_unit_test(wrong_nodes),
        cmocka_unit_test(collects),
        cmocka_unit_test(gives_up),
        cmocka_unit_test(large),
        cmocka_unit_test(mutations),
        cmocka_unit_test(mutated_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
