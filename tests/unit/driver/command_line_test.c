/* The command line of ebru: which field a row fills, for which commands, and what is read further. */
#include "driver/cli/option_table.h"
#include "driver/cli/options.h"
#include "driver/driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static drv_options o;
static int parse(const char *line) {
    static char words[1200];
    static char *argv[30];
    int argc = 1;
    bool done;
    argv[0] = words;
    snprintf(words, sizeof words, "ebru %s", line);
    strtok(words, " ");
    for (char *w; (w = strtok(NULL, " "));) argv[argc++] = w;
    return drv_parse(&o, argc, argv, &done);
}

static void values_stand_in_their_groups(void **state) {
    (void)state;
    assert_int_equal(
        parse("compile m.ir -o x --size=64x32 --batch 2 -O1 -mcpu=a,b --precision=bf16 "
              "--weights=random:7 --weights=external -fno-dce -fno-layout "
              "--passes=canonicalize --opt-bisect-limit=0 --analyze=all -q"),
        DRV_OK);
    assert_int_equal(o.command, DRV_COMPILE);
    assert_string_equal(o.model, "m.ir");
    assert_string_equal(o.common.output, "x");
    assert_true(o.common.quiet && !o.common.json);
    assert_int_equal(o.load.width, 64);
    assert_int_equal(o.load.height, 32);
    assert_int_equal(o.load.batch, 2);
    assert_true(o.load.random_weights && o.load.random_seed == 7);
    assert_int_equal(o.code.placement, 2);
    assert_int_equal(o.code.opt_level, 1);
    assert_int_equal(o.code.products, IR_PRECISION_BF16);
    assert_string_equal(o.code.cpu, "a,b");
    assert_int_equal(o.passes.disabled_count, 2);
    assert_string_equal(o.passes.disabled[1], "layout");
    assert_string_equal(o.passes.list, "canonicalize");
    assert_int_equal(o.passes.bisect_limit, 0);
    assert_true(o.show.analyze && o.show.depth == UINT32_MAX);

    assert_int_equal(parse("compile m --lora=a:b.safetensors:0.5 --lora c"), DRV_OK);
    assert_int_equal(o.load.lora_count, 2);
    assert_string_equal(o.load.loras[0].path, "a:b.safetensors");
    assert_true(o.load.loras[0].scale == 0.5 && o.load.loras[1].scale == 1);
    assert_int_equal(o.code.opt_level, 3);
    assert_int_equal(o.code.placement, -1);
    assert_int_equal(o.passes.bisect_limit, -1);
    assert_true(!o.load.default_steps && o.load.default_noise_level < 0);
    assert_true(o.load.default_guidance < 0 && o.load.default_strength < 0);
    assert_int_equal(parse("compile m --size=64 --default-steps=4 --default-noise-level=0 "
                           "--default-cfg-scale=1.5 --default-strength=0.5"),
                     DRV_OK);
    assert_true(o.load.width == 64 && o.load.height == 64);
    assert_true(o.load.default_steps == 4 && o.load.default_noise_level == 0);
    assert_true(o.load.default_guidance == 1.5 && o.load.default_strength == 0.5);
    assert_int_equal(parse("report program trace another"), DRV_OK);
    assert_string_equal(o.third, "another");
}

static void unusable_lines_are_usage_errors(void **state) {
    (void)state;
    static const char *const lines[] = {"compile",
                                        "diff",
                                        "diff a b c",
                                        "compile m --size=64x",
                                        "compile m --size=0x64",
                                        "compile m --weights=elsewhere",
                                        "compile m --weights=random:x",
                                        "compile m --io=f",
                                        "compile m --lora=f:inf",
                                        "compile m --lora=:2",
                                        "compile m.ir --lora=f",
                                        "compile m -O4",
                                        "tune m --budget=0",
                                        "opt x.ir --filter=(",
                                        "nonsense",
                                        "compile m --batch"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (parse(lines[i]) != DRV_USAGE) fail_msg("taken: %s", lines[i]);
}

/* The C library writes out what is repeated, 16 million copies of the first that is refused, and
 * goes down into brackets by recursion. */
static void filters_are_small(void **state) {
    (void)state;
    char line[1200], longest[1001];
    assert_int_equal(parse("opt x.ir --filter=(a{1,255}){1,30}"), DRV_OK);
    assert_int_equal(parse("opt x.ir --filter=((a{1,255}){1,255}){1,255}"), DRV_USAGE);
    assert_int_equal(parse("opt x.ir --filter=a{99999999999999999999}"), DRV_USAGE);
    assert_int_equal(parse("opt x.ir --filter=a++++++++++++++++++++++++++++++++++"), DRV_USAGE);
    assert_int_equal(parse("opt x.ir --filter=(b+(a+)+){1,200}"), DRV_OK);
    assert_int_equal(parse("opt x.ir --filter=a+b+c+d+e+f+g+h+i+j+k+l+m+n+o+p+[+]+\\++"), DRV_OK);
    memset(longest, 'x', 1000);
    longest[1000] = '\0';
    snprintf(line, sizeof line, "opt x.ir --filter=%s", longest);
    assert_int_equal(parse(line), DRV_OK);
    snprintf(line, sizeof line, "opt x.ir --filter=%sx", longest);
    assert_int_equal(parse(line), DRV_USAGE);
}

/* A command is offered only rows of the groups that it reads. */
static void commands_have_their_groups(void **state) {
    (void)state;
    enum {
        C = DRV_COMPILE,
        O = DRV_OPT,
        V = DRV_VERIFY,
        I = DRV_INSPECT,
        B = DRV_BENCH,
        D = DRV_DIFF,
        R = DRV_REPORT,
        X = DRV_REDUCE,
        T = DRV_TUNE,
        S = DRV_BISECT,
        Q = DRV_QUANTIZE
    };
#define GROUP(name, commands)                                                                      \
    {offsetof(drv_options, name), offsetof(drv_options, name) + sizeof o.name, commands}
    static const struct {
        size_t from, to;
        unsigned commands;
    } groups[] = {
        GROUP(common, ~0u),
        GROUP(load, C | O | V | I | B | R | X | T | S | Q),
        GROUP(passes, C | O | V | B | D | R | X | T | S | Q),
        GROUP(code, C | O | V | I | B | R | X | T | S | Q),
        GROUP(show, C | O),
        GROUP(run, C | V | B | X | T | Q),
        GROUP(verify, V | B | X),
        GROUP(reduce, X | S),
        GROUP(report, R),
        GROUP(tune, T),
        GROUP(quantize, Q),
        GROUP(manual, DRV_HELP),
    };
    enum { GROUPS = sizeof groups / sizeof *groups };
    for (size_t i = 0; i < drv_option_table.count; i++) {
        const base_option *row = &drv_option_table.rows[i];
        size_t g = 0;
        while (g < GROUPS && !(row->offset >= groups[g].from && row->offset < groups[g].to)) g++;
        if (g == GROUPS) fail_msg("%s fills no group", row->name);
        if (row->commands & ~groups[g].commands)
            fail_msg("%s is offered to a command that does not read its group", row->name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_stand_in_their_groups),
        cmocka_unit_test(unusable_lines_are_usage_errors),
        cmocka_unit_test(filters_are_small),
        cmocka_unit_test(commands_have_their_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
