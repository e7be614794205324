/* Nodes in the text form, for the tests of shapes, printing and parsing: parameters, a line, and
 * what is expected. */
#ifndef EBRU_TESTS_UNIT_IR_IR_CASES_H
#define EBRU_TESTS_UNIT_IR_IR_CASES_H

#include "ir/ir.h"

typedef struct ir_case {
    const char *params; /* types of %a, %b, ..., separated by blanks */
    const char *node;   /* op, operands, attributes */
    const char *expect; /* a type, or for wrong nodes a part of the message */
} ir_case;

/* Every op at least once; legal at FUSED. */
static const ir_case good_nodes[] = {
    {"f32[2,4,9,9] f32[8,4,3,3] f32[8]", "conv2d %a, %b, %c {pad=[1,1,1,1]}", "f32[2,8,9,9]"},
    {"f32[2,4,9,8] f32[8,4,3,3]", "conv2d %a, %b {stride=[2,1], pad=[0,1,1,2]}", "f32[2,8,4,9]"},
    {"f32[1,4,8,8] f32[8,4,1,1]", "conv2d %a, %b {upsample=[16,24], act=silu}", "f32[1,8,16,24]"},
    {"f32[2,16,4,4] f32[8,21,3,3] f32[8] f32[2,5,4,4] f32[1,2,32] f32[2,8] f32[2,8,4,4]",
     "conv2d %a, %b, %c, %d, %e, %f, %g {pad=[1,1,1,1], pre_act=silu}", "f32[2,8,4,4]"},
    {"f32[2,20,4,4]:c16 f32[2,2,3,3,16,16] f32[32] f32[1,18]", "conv2d %a, %b, %c, _, _, %d {n=18}",
     "f32[2,18,2,2]:c16"},
    {"f32[2,7,20] f32[30,20] f32[30] f32[2,7,30]", "linear %a, %b, %c, %d {act=gelu}",
     "f32[2,7,30]"},
    {"f32[2,7,20] f32[2,2,1,1,16,16] f32[32]", "linear %a, %b, %c {n=30}", "f32[2,7,30]"},
    {"f32[20] f32[30,20,1,1]", "linear %a, %b", "f32[30]"},
    {"f32[2,32,4,4] f32[64] f32[64] f32[2,32,4,4]",
     "group_norm %a, %b, %c, %d {groups=8, eps=1e-06, act=silu}", "f32[2,64,4,4]"},
    {"f32[2,7,20] f32[20] f32[32]", "layer_norm %a, %b, %c {eps=0.001}", "f32[2,7,20]"},
    {"f32[2,3]", "silu %a", "f32[2,3]"},
    {"f32[]", "gelu %a", "f32[]"},
    {"f32[2,3]", "gelu_tanh %a", "f32[2,3]"},
    {"f32[2,3]", "quick_gelu %a", "f32[2,3]"},
    {"f32[2,3]", "relu %a", "f32[2,3]"},
    {"f32[2,3]", "sigmoid %a", "f32[2,3]"},
    {"f32[2,3]", "tanh %a", "f32[2,3]"},
    {"f32[2,3]", "mish %a", "f32[2,3]"},
    {"f32[2,3]", "exp %a", "f32[2,3]"},
    {"f32[2,3]", "sqrt %a", "f32[2,3]"},
    {"f32[2,3]", "neg %a", "f32[2,3]"},
    {"f32[2,1,3] f32[4,1]", "add %a, %b", "f32[2,4,3]"},
    {"f32[3] f32[2,1]", "sub %a, %b", "f32[2,3]"},
    {"f32[2,4,8,8]:c16 f32[1,4,1,1]", "mul %a, %b", "f32[2,4,8,8]:c16"},
    {"f32[2] f32[]", "div %a, %b", "f32[2]"},
    {"f32[2] f32[2]", "max %a, %b", "f32[2]"},
    {"f32[2] f32[2]", "min %a, %b", "f32[2]"},
    {"f32[2]", "affine %a {mul=0.1, add=-1e-300}", "f32[2]"},
    {"f32[2]", "clamp %a {lo=-inf, hi=5e-324}", "f32[2]"},
    {"f32[2,6]", "geglu %a", "f32[2,3]"},
    {"f32[2,1,4,5] f32[3,5,6]", "matmul %a, %b {scale=0.125}", "f32[2,3,4,6]"},
    {"f32[4,5] f32[6,5]", "matmul %a, %b {transpose_b=true}", "f32[4,6]"},
    {"f32[4,5]", "softmax %a {causal=true}", "f32[4,5]"},
    {"f32[4,6]", "reshape %a {shape=[2,12]}", "f32[2,12]"},
    {"f32[1,1]", "reshape %a", "f32[]"},
    {"i32[4,6]", "transpose %a {perm=[1,0]}", "i32[6,4]"},
    {"f32[2,3,4] f32[2,1,4] f32[2,2,4]", "concat %a, %b, %c {axis=1}", "f32[2,6,4]"},
    {"f32[2,3,4]", "slice %a {axis=2, start=1, count=3}", "f32[2,3,3]"},
    {"i32[2,5] f32[10,8] f32[7,8]", "embedding %a, %b, %c", "f32[2,5,8]"},
    {"i32[2] f32[10,16]", "embedding %a, %b {n=11}", "f32[2,11]"},
    {"f32[2,5,8] i32[2,5]", "select_row %a, %b", "f32[2,8]"},
    {"f32[2,5,8] f32[10,8]", "nearest %a, %b", "i32[2,5]"},
    {"f32[2,5,8] f32[10,16]", "nearest %a, %b {n=8}", "i32[2,5]"},
    {"f32[2]", "timestep_embedding %a {dim=32, flip=true, shift=1.0}", "f32[2,32]"},
    {"f32[2,3,4,4]", "resize_nearest %a {size=[8,6]}", "f32[2,3,8,6]"},
    {"f32[2,3,5,4]", "max_pool2d %a {pad=[1,0,0,0]}", "f32[2,3,3,2]"},
    {"f32[2,3,4,4]", "avg_pool2d %a {kernel=[3,3], stride=[1,1]}", "f32[2,3,2,2]"},
    {"f32[2,9,8] f32[1,5,8] f32[2,5,8]", "attention %a, %b, %c {heads=2, scale=0.5}", "f32[2,9,8]"},
    {"f32[2,24,4,4]:c16 f32[24] f32[32]", "group_stats %a, %b, %c {groups=8}", "f32[2,2,32]"},
    {"f32[2,24,4,4] f32[40] f32[40] f32[2,16,4,4]", "group_stats %a, %b, %c, %d {groups=8}",
     "f32[2,2,48]"},
    {"f32[2,24,4,4] f32[1,2,32]", "norm_apply %a, %b {act=silu}", "f32[2,24,4,4]"},
    {"f32[2,3] f32[3]", "ew %a, %b {expr=\"add(mul(a,0.5),silu(b))\"}", "f32[2,3]"},
    {"f32[2,20,4,5]:c16", "view %a {shape=[2,20,20]}", "f32[2,20,20]:c16"},
    {"f32[2,3]", "view %a {shape=[3,2]}", "f32[3,2]"},
    {"f32[2,32]:c16", "view %a {shape=[64]}", "f32[64]"},
    {"f32[2,3,4,4]", "layout_cast %a", "f32[2,3,4,4]:c16"},
    {"i32[2,3]", "copy %a", "i32[2,3]"},
    {"f32[2,18,24]", "pack_k %a {heads=2}", "f32[2,2,18,12]"},
    {"f32[2,18,40]", "pack_v %a {heads=2}", "f32[2,2,2,20,16]"},
    {"f32[2,9,24] f32[1,2,18,12] f32[2,2,2,12,16]",
     "attention_tiled %a, %b, %c {heads=2, kv_len=18}", "f32[2,9,24]"},
    {"f32[18,33,3,1]", "pack_conv_weight %a", "f32[2,3,3,1,16,16]"},
    {"f32[18,16]", "pack_conv_weight %a", "f32[2,1,1,1,16,16]"},
    {"f32[2,18,24]", "pack_k %a {heads=2, precision=bf16}", "bf16[2,2,1,1,32,32]"},
    {"f32[2,18,72]", "pack_k %a {heads=2, precision=bf16x3}", "bf16[2,2,2,2,32,32]"},
    {"f32[2,33,40]", "pack_v %a {heads=2, precision=bf16}", "bf16[2,2,1,2,32,32]"},
    {"f32[2,33,40]", "pack_v %a {heads=2, precision=bf16x3}", "bf16[2,2,2,2,32,32]"},
    {"f32[2,9,24] bf16[1,2,2,1,32,32] bf16[2,2,2,1,16,32]",
     "attention_tiled %a, %b, %c {heads=2, kv_len=18, precision=bf16x3}", "f32[2,9,24]"},
    {"f32[2,9,8] f32[1,5,8] f32[2,5,8]", "attention %a, %b, %c {heads=2, precision=bf16}",
     "f32[2,9,8]"},
    {"f32[18,33,3,1]", "pack_conv_weight %a {precision=bf16}", "bf16[2,2,3,1,1,16,16,2]"},
    {"f32[18,32]", "pack_conv_weight %a {precision=bf16x3}", "bf16[2,1,1,1,2,16,16,2]"},
    {"f32[2,20,4,4]:c16 bf16[2,1,3,3,1,16,16,2] f32[32]",
     "conv2d %a, %b, %c {n=18, precision=bf16}", "f32[2,18,2,2]:c16"},
    {"f32[2,7,20] bf16[2,1,1,1,2,16,16,2]", "linear %a, %b {n=30, precision=bf16x3}",
     "f32[2,7,30]"},
    {"f32[2,7,40] bf16[4,2,1,1,1,16,16,2] bf16[2,1,1,1,1,16,16,2]",
     "feed_forward %a, %b, %c {hidden=32, n=18, precision=bf16}", "f32[2,7,18]"},
    {"f32[18,33,3,3]", "pack_winograd_weight %a", "f32[36,2,3,16,16]"},
    {"f32[18,33,3,3]", "pack_winograd_weight %a {tile=2}", "f32[16,2,3,16,16]"},
    {"f32[2,20,4,4]:c16 f32[16,2,2,16,16] f32[32] f32[1,18]",
     "conv2d_winograd %a, %b, %c, _, _, %d {tile=2, n=18}", "f32[2,18,4,4]:c16"},
    {"f32[2,16,5,4] f32[36,1,2,16,16] f32[8] f32[2,5,5,4] f32[1,2,32] f32[2,8] f32[2,8,8,8]",
     "conv2d_winograd %a, %b, %c, %d, %e, %f, %g {pad=[0,0,0,0], upsample=[10,10], pre_act=silu, "
     "n=8}",
     "f32[2,8,8,8]"},
    {"f32[18,33,3,3]", "phase_filter %a", "f32[128,33,2,2]"},
    {"f32[2,20,4,5]:c16 f32[8,2,2,2,16,16] f32[32] f32[1,18]",
     "conv2d_phases %a, %b, %c, _, _, %d {pre_act=silu, n=18}", "f32[2,18,8,10]:c16"},
    {"f32[2,16,5,4] f32[4,2,2,2,16,16] f32[8] f32[2,5,5,4] f32[1,2,32] f32[2,8] f32[2,8,10,8]",
     "conv2d_phases %a, %b, %c, %d, %e, %f, %g {n=8}", "f32[2,8,10,8]"},
    {"f32[2,7,20]:c16 f32[4,2,1,1,16,16] f32[2,2,1,1,16,16] f32[64] f32[32] f32[2,7,18]:c16",
     "feed_forward %a, %b, %c, %d, %e, %f {hidden=32, n=18}", "f32[2,7,18]:c16"},
    {"f32[2,7,20] f32[4,2,1,1,16,16] f32[2,2,1,1,16,16]",
     "feed_forward %a, %b, %c {hidden=32, n=18}", "f32[2,7,18]"},
    {"f32[18,70,3,1]", "pack_i8_weight %a", "i8[2,3,1,2,16,16,4]"},
    {"f32[18,64]", "pack_i8_weight %a", "i8[2,1,1,1,16,16,4]"},
    {"f32[18,70,3,1]", "pack_i8_scale %a", "f32[2,32]"},
    {"f32[2,20,4,5]:c16", "channel_range %a", "f32[2,2,32]"},
    {"f32[2,16,4,5]:c16 f32[2,5,4,5]:c16", "channel_range %a, %b", "f32[2,2,32]"},
    {"f32[2,7,70]:c16", "quantize %a", "u8[2,7,144]"},
    {"f32[2,20,4,5]:c16", "quantize %a {pre_act=silu}", "u8[2,4,5,80]"},
    {"f32[2,16,4,5]:c16 f32[2,5,4,5]:c16 f32[2,2,32] f32[2,2,32]",
     "quantize %a, %b, %c, %d {pad=[1,2,0,1], upsample=[8,10], pre_act=silu}", "u8[2,9,13,80]"},
    {"u8[2,7,144] i8[4,1,1,2,16,16,4] f32[2,64] f32[64]",
     "conv2d_i8 %a, %b, %c, %d {channels=70, n=64, geglu=true}", "f32[2,7,32]"},
    {"u8[2,7,9,80] i8[2,3,2,1,16,16,4] f32[2,32] f32[32] f32[1,18] f32[2,18,3,8]",
     "conv2d_i8 %a, %b, %c, %d, %e, %f {channels=20, n=18, stride=[2,1], act=silu}",
     "f32[2,18,3,8]"},
    {"u8[2,6,7,80] i8[8,2,2,1,16,16,4] f32[2,128]",
     "conv2d_i8 %a, %b, %c {channels=20, n=18, phases=true}", "f32[2,18,8,10]"},
    {"f32[17]", "pack_vector %a", "f32[32]"},
    {"f32[3,17]", "pack_table %a", "f32[3,32]"},
};

enum { GOOD_NODES = sizeof good_nodes / sizeof good_nodes[0] };

/* Appends a function @NAME with the case's parameters that returns its node. The result's type is
 * c->expect. */
static inline void case_function(const ir_case *c, const char *name, const char *type,
                                 base_str *out) {
    base_str_addf(out, "func @%s(", name);
    const char *p = c->params;
    for (char label = 'a'; *p; label++) {
        size_t n = 0;
        while (p[n] && p[n] != ' ') n++;
        base_str_addf(out, "%s%%%c %c : %.*s step", label == 'a' ? "" : ", ", label, label, (int)n,
                      p);
        p += n;
        while (*p == ' ') p++;
    }
    base_str_addf(out, ") {\n  %%r = %s : %s\n  return r = %%r\n}\n", c->node, type);
}

#endif
