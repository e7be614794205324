/* Manual pages from the option tables, in roff's man macros. */
#include "driver/cli/option_table.h"
#include "driver/cli/options.h"
#include "driver/version.h"

#include "runtime/cli/options.h"
#include "runtime/samplers/samplers.h"

#include <string.h>

/* Text as roff reads it: hyphens of options stay what they are. */
static void text(const char *s, base_str *out) {
    if (*s == '.' || *s == '\'') base_str_add(out, "\\&");
    for (; *s; s++) {
        if (*s == '\\')
            base_str_add(out, "\\e");
        else if (*s == '-')
            base_str_add(out, "\\-");
        else
            base_str_addn(out, s, 1);
    }
}

/* A macro with its arguments as one line of text: `.B --emit=`. */
static void macro(const char *name, const char *s, base_str *out) {
    base_str_addf(out, ".%s ", name);
    text(s, out);
    base_str_add(out, "\n");
}

/* Text in lines short enough for who reads the source. */
static void line(const char *s, base_str *out) {
    enum { WIDTH = 72 };
    while (strlen(s) > WIDTH) {
        size_t n = WIDTH;
        while (n && s[n] != ' ') n--;
        if (!n) break;
        char part[WIDTH + 1];
        snprintf(part, sizeof part, "%.*s", (int)n, s);
        text(part, out);
        base_str_add(out, "\n");
        s += n + 1;
    }
    text(s, out);
    base_str_add(out, "\n");
}

static void header(const char *name, const char *about, base_str *out) {
    base_str_add(out, ".TH ");
    for (const char *p = name; *p; p++)
        base_str_addf(out, "%c", *p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    base_str_addf(out, " 1 %s \"ebru %s\" \"User Commands\"\n.SH NAME\n%s \\- ", drv_version_date,
                  drv_version, name);
    line(about, out);
}

/* Commands that take the option, in words; nothing when all do. */
static void commands_of(const base_option *o, base_str *out) {
    uint32_t some = 0;
    base_str list = {0};
    for (uint32_t i = 0; i < drv_command_count; i++) {
        if (!(o->commands & drv_commands[i].bit)) continue;
        base_str_addf(&list, "%s%s", some++ ? ", " : "", drv_commands[i].name);
    }
    if (o->commands == DRV_NO_COMMAND)
        base_str_add(out, "(without a command)\n");
    else if (some < drv_command_count)
        base_str_addf(out, "(%s)\n", list.data ? list.data : "");
    base_str_free(&list);
}

void drv_man(base_str *out) {
    header("ebru", "an ahead-of-time compiler for diffusion models on CPUs", out);
    base_str_add(out, ".SH SYNOPSIS\n");
    for (uint32_t i = 0; i < drv_command_count; i++) {
        if (i) base_str_add(out, ".br\n");
        base_str_addf(out, ".B ebru %s\n", drv_commands[i].name);
        line(drv_commands[i].operands, out);
    }
    base_str_add(out, ".SH DESCRIPTION\n");
    line(
        "Compiles a diffusion model to one executable that paints pictures and needs nothing else.",
        out);
    line("MODEL is a model description (JSON), a diffusers folder, one component folder, a "
         "single-file "
         "checkpoint (safetensors), or an .ir file.",
         out);
    line("Without a command, ebru MODEL -o FILE compiles.", out);
    base_str_add(out, ".SH COMMANDS\n");
    for (uint32_t i = 0; i < drv_command_count; i++) {
        base_str_add(out, ".TP\n");
        base_str_addf(out, ".B %s\n", drv_commands[i].name);
        line(drv_commands[i].help, out);
    }
    base_str_add(out, ".SH OPTIONS\n");
    for (size_t i = 0; i < drv_option_table.count; i++) {
        const base_option *o = &drv_option_table.rows[i];
        char head[BASE_OPTION_HEAD_MAX];
        if (!o->help) continue;
        base_str_add(out, ".TP\n");
        macro("B", base_option_head(o, head), out);
        line(o->help, out);
        commands_of(o, out);
    }
    base_str_add(out, ".SH EXAMPLES\n");
    for (uint32_t i = 0; i < drv_example_count; i++) {
        base_str_add(out, ".TP\n");
        macro("B", drv_examples[i].line, out);
        line(drv_examples[i].help, out);
    }
    base_str_add(out, ".SH EXIT STATUS\n");
    line("0: done. 1: unusable input or a failed check. 2: usage. 3: input or output. 4: CPU or "
         "target not "
         "supported. 70: an error of ebru itself.",
         out);
    base_str_add(out, ".SH SEE ALSO\n.BR ebru\\-program (1)\n");
}

void drv_man_program(base_str *out) {
    header("ebru-program", "a program that ebru made of a diffusion model", out);
    base_str_add(out, ".SH SYNOPSIS\n.B ./PROGRAM\n[OPTION]...\n.SH DESCRIPTION\n");
    line("Paints pictures. The options are those of every such program; which of them a program "
         "takes depends "
         "on its model, and its --help begins with what it paints and an example.",
         out);
    base_str_add(out, ".SH OPTIONS\n");
    for (size_t i = 0; i < rt_option_table.count; i++) {
        const base_option *o = &rt_option_table.rows[i];
        char head[BASE_OPTION_HEAD_MAX];
        if (!o->help) continue;
        base_str_add(out, ".TP\n");
        macro("B", base_option_head(o, head), out);
        line(o->help, out);
    }
    base_str_add(out, ".SH SAMPLERS\n");
    for (int i = 0; i < RT_SAMPLER_COUNT; i++) line(rt_sampler_name((rt_sampler_id)i), out);
    base_str_add(out, ".SH EXIT STATUS\n");
    line("0: done. 1: unusable input. 2: usage. 3: input or output. 4: the CPU lacks what the code "
         "needs. 70: "
         "an error of the program itself.",
         out);
    base_str_add(out, ".SH SEE ALSO\n.BR ebru (1)\n");
}
