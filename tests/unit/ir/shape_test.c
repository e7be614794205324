/* Shape rules: every op's result type, and the faults each rule finds. */
#include "tests/unit/ir/ir_cases.h"
#include "tests/unit/support/captured_diag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* The module of one case, or NULL with its messages in `out`. */
static ir_module *parse_case(const ir_case *c, const char *type, char *out, size_t size) {
    base_str text = {0};
    base_str_add(&text, "ebru ir 3 fused\n");
    case_function(c, "f", type, &text);
    capture cap;
    capture_begin(&cap, (base_diag_options){0});
    ir_module *m = ir_parse(cap.diag, "case.ir", text.data, text.len);
    snprintf(out, size, "%s", captured(&cap));
    capture_end(&cap);
    base_str_free(&text);
    return m;
}

static void infers(void **state) {
    (void)state;
    bool seen[IR_OP_COUNT] = {false};
    seen[IR_OP_input] = seen[IR_OP_weight] = true;
    for (int i = 0; i < GOOD_NODES; i++) {
        char messages[4096];
        ir_module *m = parse_case(&good_nodes[i], good_nodes[i].expect, messages, sizeof messages);
        if (!m) fail_msg("%s: %s", good_nodes[i].node, messages);
        seen[m->funcs.items[0]->nodes.items[m->funcs.items[0]->nodes.count - 1].op] = true;
        ir_module_free(m);
    }
    for (int op = 0; op < IR_OP_COUNT; op++)
        if (!seen[op]) fail_msg("no case for %s", ir_op_get((ir_op)op)->name);
}

static const ir_case bad_nodes[] = {
    {"f32[2,4,9]  f32[8,4,3,3]", "conv2d %a, %b",
     "operand 'x': expected 4 float dimensions, found f32[2,4,9]"},
    {"f32[2,4,9,9] f32[8,5,3,3]", "conv2d %a, %b",
     "operand 'w': expected [n,4] or [n,4,kh,kw], found f32[8,5,3,3]"},
    {"f32[2,4,9,9] f32[8,4]", "conv2d %a, %b", "operand 'w': expected 4 dimensions"},
    {"f32[2,4,9,9] f32[8,4,3,3] f32[9]", "conv2d %a, %b, %c",
     "operand 'bias': expected f32[8], found f32[9]"},
    {"f32[2,4,9,9] f32[8,4,3,3] f32[16]", "conv2d %a, %b, %c", "operand 'bias': expected f32[8]"},
    {"f32[2,4,2,9] f32[8,4,3,3]", "conv2d %a, %b",
     "the window of 3 does not fit the padded height of 2"},
    {"f32[2,4,9,2] f32[8,4,3,3]", "conv2d %a, %b", "padded width of 2"},
    {"f32[2,4,9,9] f32[8,4,3,3]", "conv2d %a, %b {stride=[0,1]}", "attribute 'stride' is 0"},
    {"f32[2,4,9,9] f32[8,4,3,3]", "conv2d %a, %b {pad=[0,0,0,9223372036854775807]}",
     "attribute 'pad' is"},
    {"f32[2,4,9,9] f32[8,4,3,3]", "conv2d %a, %b {upsample=[4,0]}",
     "'upsample' has one extent of 0"},
    {"f32[2,4,9,9] f32[8,4,3,3]", "conv2d %a, %b {n=9}", "attribute 'n' is 9"},
    {"f32[2,4,9,9] f32[1,1,3,3,16,16]", "conv2d %a, %b", "attribute 'n' must be set"},
    {"f32[2,4,9,9] f32[1,1,3,3,16,16]", "conv2d %a, %b {n=17}",
     "operand 'w': expected f32[2,1,kh,kw,16,16]"},
    {"f32[2,4,9,9] f32[8,8,3,3] f32[2,4,9,8]", "conv2d %a, %b, _, %c",
     "operand 'x1': expected f32[2,4,9,9]"},
    {"f32[2,4,9,9] f32[1,1,3,3,16,16] f32[2,4,9,9]", "conv2d %a, %b, _, %c {n=3}",
     "a multiple of 16 channels"},
    {"f32[2,4,9,9] f32[8,4,3,3] f32[2,2,4]", "conv2d %a, %b, _, _, %c",
     "operand 'norm': expected f32[2,2,16]"},
    {"f32[2,4,9,9] f32[8,4,3,3] f32[3,8]", "conv2d %a, %b, _, _, _, %c",
     "operand 'tbias': expected f32[2,8]"},
    {"f32[2,4,9,9] f32[8,4,3,3] f32[2,8,9,9]", "conv2d %a, %b, _, _, _, _, %c",
     "operand 'residual': expected f32[2,8,7,7]"},
    {"f32[2,4,9,9]", "conv2d %a", "operand 'w' is missing"},
    {"f32[2,4,9,9]", "conv2d _, %a", "operand 'x' is missing"},
    {"f32[2,7,20] f32[30,20,3,3]", "linear %a, %b", "a filter of 1 by 1"},
    {"f32[2,7,20] f32[30,21]", "linear %a, %b", "operand 'w': expected [n,20]"},
    {"f32[] f32[30,21]", "linear %a, %b", "operand 'x': expected at least one dimension"},
    {"i32[4] f32[30,4]", "linear %a, %b", "operand 'x': expected a float type"},
    {"f32[2,32,4] f32[32] f32[32]", "group_norm %a, %b, %c {groups=5}",
     "'groups' is 5, which does not divide 32"},
    {"f32[2,32,4] f32[32] f32[32]", "group_norm %a, %b, %c {groups=0}", "'groups' is 0"},
    {"f32[2,32,4] f32[31] f32[32]", "group_norm %a, %b, %c", "operand 'gamma': expected f32[32]"},
    {"f32[2,32,4] f32[32] f32[33]", "group_norm %a, %b, %c {eps=-1.0}", "operand 'beta'"},
    {"f32[2,32,4] f32[32] f32[32]", "group_norm %a, %b, %c {eps=-1.0}", "'eps' is negative"},
    {"f32[2,32] f32[31] f32[32]", "layer_norm %a, %b, %c", "operand 'gamma'"},
    {"f32[2,3] f32[4]", "add %a, %b",
     "operand 'b': expected dimensions that broadcast with f32[2,3], found f32[4]"},
    {"f32[2,3] f32[2,3,4,4]", "add %a, %b", "dimensions that broadcast"},
    {"f32[2,3] i32[3]", "add %a, %b", "operand 'b': expected a float type"},
    {"f32[2]", "clamp %a {lo=1.0, hi=0.0}", "'lo' is greater"},
    {"f32[2]", "clamp %a {lo=nan}", "'lo' is greater"},
    {"f32[3]", "geglu %a", "an even last dimension"},
    {"f32[4,5] f32[4,5]", "matmul %a, %b", "operand 'b': expected [...,5,n]"},
    {"f32[2,4,5] f32[3,5,4]", "matmul %a, %b", "batch axes that broadcast"},
    {"f32[4] f32[4,5]", "matmul %a, %b", "operand 'a': expected at least 2"},
    {"f32[4]", "softmax %a {causal=true}", "at least 2 dimensions"},
    {"f32[4]", "reshape %a {shape=[5]}", "attribute 'shape' has 5 elements, operand 'x' has 4"},
    {"f32[4]", "reshape %a {shape=[-1]}", "attribute 'shape': a dimension smaller than 1"},
    {"f32[4]", "view %a {shape=[2147483648,2147483648,4]}", "attribute 'shape': too many elements"},
    {"f32[4,5]", "transpose %a {perm=[0,0]}", "'perm' is not a permutation"},
    {"f32[4,5]", "transpose %a {perm=[0,2]}", "'perm' is not a permutation"},
    {"f32[4,5]", "transpose %a", "'perm' is not a permutation"},
    {"f32[4,5] f32[5,5]", "concat %a, %b {axis=1}",
     "operand 'b': expected f32[4,5] but for axis 1"},
    {"f32[4,5] f32[5,5]", "concat %a, %b {axis=2}", "attribute 'axis' is 2"},
    {"f32[4]", "slice %a {start=4, count=1}", "attribute 'start' is 4, expected 0 to 3"},
    {"f32[4]", "slice %a {start=2, count=3}", "attribute 'count' is 3, expected 1 to 2"},
    {"f32[4]", "slice %a {axis=-1, count=3}", "attribute 'axis' is -1"},
    {"f32[2] f32[10,8]", "embedding %a, %b", "operand 'ids': expected i32[B] or i32[B,T]"},
    {"i32[2] f32[10]", "embedding %a, %b", "operand 'table': expected [V,C]"},
    {"i32[2,9] f32[10,8] f32[8,8]", "embedding %a, %b, %c",
     "operand 'position': expected a table of 9 or more"},
    {"i32[2] f32[10,8] f32[8,8]", "embedding %a, %b, %c", "as there are positions"},
    {"i32[2] f32[10,16]", "embedding %a, %b {n=17}", "attribute 'n' is 17"},
    {"i32[2] f32[10,32]", "embedding %a, %b {n=11}", "operand 'table'"},
    {"f32[2,5,8] f32[10,7]", "nearest %a, %b", "operand 'table': expected a table of 1 or more"},
    {"f32[5,8] f32[10,8]", "nearest %a, %b", "operand 'x'"},
    {"f32[2,5,8] f32[10,16]", "nearest %a, %b {n=7}", "attribute 'n' is 7"},
    {"f32[2,5,8] i32[2,4]", "select_row %a, %b", "operand 'ids': expected i32[2,5]"},
    {"f32[2,5,8] f32[2,5]", "select_row %a, %b", "operand 'ids': expected i32[2,5]"},
    {"f32[2,5,8] i32[2,5]", "select_row %a, %b {id=-2}", "attribute 'id' is -2"},
    {"f32[2]", "timestep_embedding %a", "attribute 'dim' is 0"},
    {"f32[2]", "timestep_embedding %a {dim=2, shift=1.0}", "'shift' is not below dim / 2"},
    {"f32[2]", "timestep_embedding %a {dim=4, max_period=0.0}", "'max_period' is not positive"},
    {"f32[2,3,4,4]", "resize_nearest %a", "attribute 'size' is 0"},
    {"f32[2,3,4,4]", "max_pool2d %a {pad=[2,0,0,0]}", "attribute 'pad' is 2"},
    {"f32[2,3,1,4]", "avg_pool2d %a", "does not fit the padded height"},
    {"f32[2,9,8] f32[3,5,8] f32[2,5,8]", "attention %a, %b, %c",
     "operand 'k': expected f32[2,5,8]"},
    {"f32[2,9,8] f32[2,5,8] f32[2,6,8]", "attention %a, %b, %c",
     "operand 'v': expected f32[2,5,8]"},
    {"f32[2,9,8] f32[2,5,8] f32[2,5,8]", "attention %a, %b, %c {heads=3}",
     "'heads' is 3, which does not divide"},
    {"f32[2,24,4,4] f32[24] f32[24]", "group_stats %a, %b, %c {groups=7}", "'groups' is 7"},
    {"f32[2,24,4,4] f32[2,2,24]", "norm_apply %a, %b", "operand 'stats': expected f32[2,2,32]"},
    {"f32[2,3]", "ew %a {expr=\"add(a,b)\"}", "uses operand 'b', which is absent"},
    {"f32[2,3]", "ew %a", "attribute 'expr': expected an operand"},
    {"f32[2,9,24] f32[2,2,16,12] f32[2,2,2,12,16]",
     "attention_tiled %a, %b, %c {heads=2, kv_len=18}", "operand 'kp': expected f32[2,2,18,12]"},
    {"f32[2,9,24] f32[2,2,18,12] f32[2,2,1,12,16]",
     "attention_tiled %a, %b, %c {heads=2, kv_len=18}", "operand 'vp': expected f32[2,2,2,12,16]"},
    {"f32[2,9,24] f32[2,2,18,12] f32[2,2,2,12,16]", "attention_tiled %a, %b, %c {heads=2}",
     "attribute 'kv_len' is 0"},
    {"f32[2,9]", "pack_k %a", "expected 3 float dimensions"},
    {"f32[2,9,3]", "pack_v %a {heads=2}", "'heads' is 2"},
    {"f32[2,7,20] f32[64,20] f32[2,2,1,1,16,16]", "feed_forward %a, %b, %c {hidden=32, n=18}",
     "operand 'w1': expected a packed filter of 1 by 1"},
    {"f32[2,7,20] f32[4,2,1,1,16,16] f32[2,1,1,1,16,16]",
     "feed_forward %a, %b, %c {hidden=32, n=18}", "operand 'w2': expected f32[2,2,kh,kw,16,16]"},
    {"f32[2,7,20] f32[4,2,1,1,16,16] f32[2,2,1,1,16,16]",
     "feed_forward %a, %b, %c {hidden=24, n=18}", "attribute 'hidden' is 24: a multiple of 16"},
    {"f32[2,7,20] f32[4,2,1,1,16,16] f32[2,2,1,1,16,16]", "feed_forward %a, %b, %c {n=18}",
     "'hidden'"},
    {"f32[2,7,20] f32[4,2,1,1,16,16] f32[2,2,1,1,16,16] f32[2,7,19]",
     "feed_forward %a, %b, %c, _, _, %d {hidden=32, n=18}", "operand 'residual'"},
    {"f32[2,4,9,9] f32[8,4,3,3]", "conv2d %a, %b {n=8, precision=bf16}",
     "operand 'w': expected bf16[1,1,kh,kw,1,16,16,2], as 'precision' is bf16, found f32[8,4,3,3]"},
    {"f32[2,4,9,9] bf16[1,1,3,3,1,16,16,2]", "conv2d %a, %b {n=8, precision=bf16x3}",
     "operand 'w': expected bf16[1,1,kh,kw,2,16,16,2], as 'precision' is bf16x3"},
    {"f32[2,4,9,9] bf16[1,1,3,3,1,16,16,2]", "conv2d %a, %b {precision=bf16}",
     "attribute 'n' must be set"},
    {"f32[2,4,9,9] bf16[1,1,3,3,1,16,16,2]", "conv2d %a, %b {n=8}", "operand 'w': expected [n,4]"},
    {"f32[2,7,40] bf16[2,1,1,1,1,16,16,2]", "linear %a, %b {n=30, precision=bf16}",
     "operand 'w': expected bf16[2,2,kh,kw,1,16,16,2]"},
    {"f32[2,7,20] bf16[4,1,1,1,1,16,16,2] f32[2,2,1,1,16,16]",
     "feed_forward %a, %b, %c {hidden=32, n=18, precision=bf16}",
     "operand 'w2': expected bf16[2,1,"},
    {"f32[2,20,4,5]", "quantize %a {pad=[1,1,1,1]}",
     "what is padded has one scale an image: operand 'range' is missing"},
    {"f32[2,20,4,5]", "quantize %a {pre_act=gelu}", "attribute 'pre_act' is gelu: none or silu"},
    {"f32[2,20,4,5] f32[2,3,4,5]", "quantize %a, %b",
     "operand 'x': expected a multiple of 16 channels, as operand 'x1' follows"},
    {"f32[2,16,4,5] f32[2,3,4,6]", "channel_range %a, %b", "operand 'x1': expected f32[2,3,4,5]"},
    {"f32[2,20,4,5] f32[1,2,32]", "quantize %a, _, %b",
     "operand 'norm': expected f32[2,2,32], found f32[1,2,32]"},
    {"f32[2,7,20] f32[2,2,32]", "quantize %a, _, _, %b",
     "tokens are quantized without padding and other operands"},
    {"u8[2,7,144] i8[4,1,1,1,16,16,4] f32[2,64]", "conv2d_i8 %a, %b, %c {channels=70, n=64}",
     "operand 'w': expected i8[4,kh,kw,2,16,16,4]"},
    {"u8[2,7,144] i8[4,1,1,2,16,16,4] f32[64]", "conv2d_i8 %a, %b, %c {channels=70, n=64}",
     "operand 'scale': expected f32[2,64], found f32[64]"},
    {"u8[2,7,144] i8[4,1,1,2,16,16,4] f32[2,64]", "conv2d_i8 %a, %b, %c {n=64}",
     "attribute 'channels' is 0"},
    {"u8[2,7,80] i8[4,1,1,2,16,16,4] f32[2,64]", "conv2d_i8 %a, %b, %c {channels=70, n=64}",
     "operand 'x': expected u8[B,H,W,144] or u8[B,T,144], found u8[2,7,80]"},
    {"u8[2,7,9,144] i8[4,1,1,2,16,16,4] f32[2,64]",
     "conv2d_i8 %a, %b, %c {channels=70, n=64, geglu=true}", "attribute 'geglu' is for tokens"},
    {"u8[2,7,144] i8[4,3,1,2,16,16,4] f32[2,64]", "conv2d_i8 %a, %b, %c {channels=70, n=64}",
     "tokens are multiplied by filters of 1 by 1 and stride 1"},
    {"u8[1,40,40,8208] i8[1,3,3,128,16,16,4] f32[2,16]",
     "conv2d_i8 %a, %b, %c {channels=8192, n=16}",
     "sums of more than 66311 products do not fit 32 bits"},
    {"u8[2,6,7,80] i8[2,2,2,1,16,16,4] f32[2,32]",
     "conv2d_i8 %a, %b, %c {channels=20, n=18, phases=true}", "i8[8,kh,kw,1,16,16,4]"},
    {"u8[2,6,7,80] i8[8,3,3,1,16,16,4] f32[2,128]",
     "conv2d_i8 %a, %b, %c {channels=20, n=18, phases=true}", "filters of 2 by 2 and stride 1"},
    {"u8[2,2,7,80] i8[8,2,2,1,16,16,4] f32[2,128]",
     "conv2d_i8 %a, %b, %c {channels=20, n=18, phases=true}", "an image inside its padding"},
    {"u8[2,7,144] i8[8,1,1,2,16,16,4] f32[2,128]",
     "conv2d_i8 %a, %b, %c {channels=70, n=32, phases=true}", "'phases' is for images"},
    {"u8[2,7,144]", "copy %a", "operand 'x': expected no 8-bit integers, which conv2d_i8 reads"},
    {"f32[2,9,24] bf16[2,2,1,1,32,32] f32[2,2,2,12,16]",
     "attention_tiled %a, %b, %c {heads=2, kv_len=18, precision=bf16}",
     "operand 'vp': expected bf16[2,2,1,1,16,32]"},
    {"f32[2,9,24] bf16[2,2,1,1,32,32] f32[2,2,2,12,16]",
     "attention_tiled %a, %b, %c {heads=2, kv_len=18}", "operand 'kp': expected f32[2,2,18,12]"},
    {"f32[9,9,3,1]", "pack_winograd_weight %a", "expected [N,C,3,3]"},
    {"f32[9,9,3,3]", "pack_winograd_weight %a {tile=3}", "attribute 'tile' is 3: 2 or 4"},
    {"f32[2,20,4,4] f32[36,2,2,16,16]", "conv2d_winograd %a, %b {tile=2, n=18}",
     "operand 'w': expected f32[16,2,2,16,16]"},
    {"f32[2,20,4,4] f32[36,2,2,16,16]", "conv2d_winograd %a, %b", "'n'"},
    {"f32[9,9,3,3]", "pack_winograd_weight %a {precision=bf16}",
     "attribute 'tile' is 4: 2, as 'precision' is bf16"},
    {"f32[2,40,4,4] bf16[16,2,2,1,16,16,2]",
     "conv2d_winograd %a, %b {tile=2, n=18, precision=bf16x3}",
     "operand 'w': expected bf16[16,2,2,2,16,16,2], as 'precision' is bf16x3"},
    {"f32[9,9,3,1]", "phase_filter %a", "expected [N,C,3,3]"},
    {"f32[2,20,4,4] f32[8,2,3,3,16,16]", "conv2d_phases %a, %b {n=18}", "packed filters of 2 by 2"},
    {"f32[2,20,4,4] f32[2,2,2,2,16,16]", "conv2d_phases %a, %b {n=18}", "f32[8,2,kh,kw,16,16]"},
    {"f32[2,20,4,4] f32[8,2,2,2,16,16]", "conv2d_phases %a, %b", "'n'"},
    {"f32[9]", "pack_conv_weight %a", "expected [N,K] or [N,C,kh,kw]"},
    {"f32[9,3]", "pack_vector %a", "expected 1 float dimensions"},
    {"f32[9]", "pack_table %a", "expected 2 float dimensions"},
    {"f32[1048576,1,1048576] f32[1,1048576,1]", "add %a, %b", "the result: too many elements"},
};

static void finds_faults(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_nodes / sizeof bad_nodes[0]; i++) {
        char messages[4096];
        ir_module *m = parse_case(&bad_nodes[i], "f32[1]", messages, sizeof messages);
        assert_null(m);
        if (!strstr(messages, bad_nodes[i].expect))
            fail_msg("%s\nexpected: %s\nfound: %s", bad_nodes[i].node, bad_nodes[i].expect,
                     messages);
    }
}

static void weights_widen(void **state) {
    (void)state;
    ir_module *m = ir_module_new();
    ir_func *f = ir_func_new(m, "f");
    ir_type half = ir_type_make(IR_f16, 2, (int64_t[]){3, 4});
    ir_ref w = ir_weight_ref(f, ir_weight_add(m, "w", &half), 0);
    struct ir_attrs_transpose t = {.perm = {2, {1, 0}}};
    ir_ref r = ir_op1(f, IR_OP_transpose, w, &t, 0);
    assert_int_equal(ir_typeof(f, w)->dtype, IR_f16);
    assert_int_equal(ir_typeof(f, r)->dtype, IR_f32);
    assert_int_equal(ir_typeof(f, r)->dim[0], 4);
    ir_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(infers),
        cmocka_unit_test(finds_faults),
        cmocka_unit_test(weights_widen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
