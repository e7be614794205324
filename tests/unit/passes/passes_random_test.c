/* Random graphs: every pass alone and the whole pipeline, with passes left out, keep the values.
 * scripts/campaign runs many more of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/random/random_check.h"

enum { SEEDS = 400, MOST_MISTRUSTED = SEEDS / 5 };

static const random_options options = RANDOM_OPTIONS_DEFAULT, with_int8 = RANDOM_OPTIONS_INT8;

/* Counts what proves nothing; anything wrong ends the test with the module. */
static uint32_t check_with(uint64_t seed, const random_options *how, const pass_options *o) {
    base_str why = {0};
    random_verdict verdict = random_check(seed, how, o, &why);
    if (verdict == RANDOM_DIFFERENT || verdict == RANDOM_BROKEN) fail_msg("%s", why.data);
    base_str_free(&why);
    return verdict == RANDOM_MISTRUSTED;
}

static uint32_t check(uint64_t seed, const pass_options *o) {
    return check_with(seed, &options, o);
}

static void passes_alone(void **state) {
    (void)state;
    static const char *const lists[] = {"canonicalize",
                                        "fold_constants",
                                        "split_stages",
                                        "fuse_groupnorm_silu",
                                        "fuse_attention",
                                        "fuse_conv_epilogue",
                                        "eliminate_concat",
                                        "fuse_norm_prologue",
                                        "fuse_upsample",
                                        "fuse_elementwise",
                                        "lay_out",
                                        "lay_out,lay_out",
                                        "lay_out,pack_weights",
                                        "lay_out,pack_weights,tile_attention"};
    uint32_t mistrusted = 0;
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        pass_options o = PASS_OPTIONS_DEFAULT;
        o.verify_each = true;
        o.passes = lists[seed % (sizeof lists / sizeof *lists)];
        mistrusted += check(seed, &o);
    }
    assert_in_range(mistrusted, 0, MOST_MISTRUSTED);
}

static void pipeline_and_subsets(void **state) {
    (void)state;
    uint32_t mistrusted = 0;
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        random_subset off = random_pass_subset(seed % 16);
        pass_options o = PASS_OPTIONS_DEFAULT;
        o.verify_each = true;
        o.disabled = off.off;
        o.disabled_count = off.count;
        o.separate_buffers = off.separate_buffers;
        mistrusted += check(1000 + seed, &o);
    }
    assert_in_range(mistrusted, 0, MOST_MISTRUSTED);
}

/* Products of 8-bit integers: made by lower_int8 of what it takes, and in the module before. */
static void products_of_8_bits(void **state) {
    (void)state;
    static const char *const knobs[] = {"lower_int8=channels:16"};
    uint32_t mistrusted = 0;
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        const bool lowered = seed % 2;
        random_subset off = random_pass_subset(seed / 2 % 16);
        pass_options o = PASS_OPTIONS_DEFAULT;
        o.verify_each = true;
        o.disabled = off.off;
        o.disabled_count = off.count;
        o.separate_buffers = off.separate_buffers;
        o.knobs = knobs;
        o.knob_count = 1;
        o.precision = lowered ? IR_PRECISION_INT8 : IR_PRECISION_F32;
        mistrusted += check_with(2000 + seed, lowered ? &options : &with_int8, &o);
    }
    assert_in_range(mistrusted, 0, MOST_MISTRUSTED);
}

/* The generator reaches every op that it should, in every class of shape it can have. */
static void every_op_of(const random_options *how) {
    static random_coverage c;
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        ir_module *m = random_module(seed, how);
        base_str faults = {0};
        if (!ir_verify(m, &faults)) fail_msg("seed %u: %s", seed, faults.data);
        random_cover(&c, m);
        ir_module_free(m);
    }
    for (uint32_t op = 0; op < IR_OP_COUNT; op++)
        if (random_makes((ir_op)op, how->int8) && !c.op[op])
            fail_msg("op '%s' came up in no module", ir_op_get((ir_op)op)->name);
    memset(&c, 0, sizeof c);
}

static void every_op_comes_up(void **state) {
    (void)state;
    every_op_of(&options);
    every_op_of(&with_int8);
}

/* Of sixteen subsets, every two passes that may be left out are both in, both out, and each in
 * without the other. */
static void subsets_have_every_pair(void **state) {
    (void)state;
    random_subset s[16];
    for (uint32_t n = 0; n < 16; n++) s[n] = random_pass_subset(n);
    for (uint32_t a = 0; a < s[1].count && a < 15; a++)
        for (uint32_t b = 0; b < a; b++) {
            unsigned seen = 0;
            for (uint32_t n = 0; n < 16; n++) {
                unsigned in = 0;
                for (uint32_t k = 0; k < s[n].count; k++)
                    in |= (unsigned)(s[n].off[k] == s[1].off[a]) |
                          (unsigned)(s[n].off[k] == s[1].off[b]) << 1;
                seen |= 1u << in;
            }
            if (seen != 15) fail_msg("%s and %s", s[1].off[a], s[1].off[b]);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_alone),
        cmocka_unit_test(pipeline_and_subsets),
        cmocka_unit_test(products_of_8_bits),
        cmocka_unit_test(every_op_comes_up),
        cmocka_unit_test(subsets_have_every_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
