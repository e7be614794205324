#include "driver/cli/option_table.h"
#include "runtime/cli/options.h"

#include "base/cpu/levels.def"
#include "driver/cli/options.h"
#include "driver/version.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

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
    Q = DRV_QUANTIZE,
    K = DRV_COMPLETION,
    H = DRV_HELP,
    N = DRV_NO_COMMAND,
    ALL = (1 << 16) - 1
};

/* The names of all CPU levels, for the texts of -mcpu=. */
#define LEVEL(before, ID, suffix, name, ...) before name

#define FLAG            .kind = BASE_OPTION_FLAG
#define TEXT            .kind = BASE_OPTION_TEXT
#define NAME            .kind = BASE_OPTION_NAME
#define INT             .kind = BASE_OPTION_INT64, .least = 1, .most = 1000000000
#define NUM             .kind = BASE_OPTION_INT64, .most = 1000000000
#define REAL(to)        .kind = BASE_OPTION_REAL, .most = to
#define RANGE(from, to) .kind = BASE_OPTION_REAL, .least = from, .most = to
#define OPEN(from)      .kind = BASE_OPTION_INT64, .least = from, .most = BASE_OPTION_ANY
#define OLEVEL          .kind = BASE_OPTION_INT64, .most = 3, .glued = true
#define OWN(how)        .kind = BASE_OPTION_OWN, .set = how
#define OWN_GLUED(how)  OWN(how), .glued = true
static const base_option rows[] = {
#define OPT(name_, argument_, kind_, field, commands_, help_)                                      \
    {.name = name_,                                                                                \
     .argument = argument_,                                                                        \
     .help = help_,                                                                                \
     .commands = commands_,                                                                        \
     .offset = offsetof(drv_options, field),                                                       \
     kind_},
#include "driver/cli/options.def"
#undef OPT
};
static const char *command_name(unsigned bit) {
    for (uint32_t i = 0; i < drv_command_count; i++)
        if (drv_commands[i].bit == bit) return drv_commands[i].name;
    return NULL;
}

_Static_assert(sizeof rows / sizeof *rows <= DRV_MAX_OPTIONS, "raise the limit");

static void count_given(void *options, size_t row) {
    drv_options *o = options;
    if (o->given[row] < UCHAR_MAX) o->given[row]++;
}

/* What compilers of C call it. */
static const base_option_advice advice[] = {
    {"-march", "the CPU is chosen by -mcpu=LEVELS (default: native)"},
    {"-mtune", "the CPU is chosen by -mcpu=LEVELS (default: native)"},
    {"--cpu-level", "the CPU is chosen by -mcpu=LEVELS (default: native)"},
    {"-shared", "--emit=lib makes a shared library"},
    {"-c", "--emit=obj makes an object file"},
    {"-S", "--emit=asm writes assembly"},
    {"-g", "a program's --profile names ops, and --emit=asm says which op code is from"},
    {"-j", "all cores are used"},
};

const base_option_table drv_option_table = {rows,
                                            sizeof rows / sizeof *rows,
                                            drv_add_operand,
                                            count_given,
                                            command_name,
                                            &rt_option_table,
                                            "the programs that ebru makes",
                                            advice,
                                            sizeof advice / sizeof *advice};

void drv_tell_repeated(base_diag *d, const drv_options *o) {
    for (size_t i = 0; i < drv_option_table.count; i++) {
        const base_option *row = &rows[i];
        if (o->given[i] > 1 && row->kind != BASE_OPTION_FLAG && row->kind != BASE_OPTION_OWN)
            base_warning(d, NULL, "%s was given more than once; the last one counts", row->name);
    }
}

const drv_command drv_commands[] = {
#define CMD(name, bit, operands, least, most, help) {name, bit, operands, least, most, help},
#define EXAMPLE(command, line, help)
#include "driver/cli/commands.def"
#undef CMD
#undef EXAMPLE
};
const uint32_t drv_command_count = sizeof drv_commands / sizeof *drv_commands;
_Static_assert(sizeof drv_commands / sizeof *drv_commands <= DRV_MAX_COMMANDS, "raise the limit");

const drv_example drv_examples[] = {
#define CMD(name, bit, operands, least, most, help)
#define EXAMPLE(command, line, help) {command, line, help},
#include "driver/cli/commands.def"
#undef CMD
#undef EXAMPLE
};
const uint32_t drv_example_count = sizeof drv_examples / sizeof *drv_examples;

const char *drv_option_values(const base_option *o) {
    static const struct {
        const char *name, *values;
    } known[] = {
        {"--emit=", "exe lib obj asm llvm-ir ir ir:graph ir:fused ir:kernel ir:placed dot html"},
        {"--target=", "x86_64-linux-gnu aarch64-linux-gnu"},
        {"-mcpu=",
         "native" EBRU_LEVELS_x86_64(LEVEL, LEVEL, " ") EBRU_LEVELS_aarch64(LEVEL, LEVEL, " ")},
        {"-O", "0 1 2 3"},
        {"--precision=", "f32 bf16x3 bf16 int8"},
        {"--weights=", "embed append external random:1"},
        {"--prediction=", "epsilon v_prediction sample"},
#define SAMPLER(ID, name, ...) name " "
        {
            "--sampler=",
#include "runtime/samplers/samplers.def"
        },
        {"--safety-checker=", "off flag black"},
        {"--plan=", "reuse separate"},
        {"--by=", "op shape"},
        {"--sort=", "time lost"},
        {"--error-format=", "text json"},
        {"--color=", "auto always never"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(o->name, known[i].name)) return known[i].values;
    return NULL;
}

static void print_examples(FILE *out, unsigned command) {
    fputs("\nExamples:\n", out);
    for (uint32_t i = 0; i < drv_example_count; i++)
        if (drv_examples[i].command == command)
            fprintf(out, "  # %s\n  %s\n", drv_examples[i].help, drv_examples[i].line);
}

void drv_print_help(FILE *out, unsigned command) {
    if (!command) {
        fprintf(out, "ebru %s: an ahead-of-time compiler for diffusion models on CPUs\n\n",
                drv_version);
        for (uint32_t i = 0; i < drv_command_count; i++)
            fprintf(out, "  ebru %-10s %-32s %s\n", drv_commands[i].name, drv_commands[i].operands,
                    drv_commands[i].help);
        fprintf(
            out,
            "\nMODEL is a model description (JSON), a diffusers folder, one component folder, a "
            "single-file\ncheckpoint (safetensors), or an .ir file.\n"
            "ebru COMMAND --help lists a command's options.\n");
        print_examples(out, 0);
        return;
    }
    for (uint32_t i = 0; i < drv_command_count; i++)
        if (drv_commands[i].bit == command)
            fprintf(out, "ebru %s %s: %s\n\n", drv_commands[i].name, drv_commands[i].operands,
                    drv_commands[i].help);
    base_options_print(out, &drv_option_table, command, 26);
    print_examples(out, command);
}
