/* ebru completion SHELL: what bash, zsh and fish complete the command line by, from the option
 * tables. */
#include "base/suggest.h"
#include "driver/cli/option_table.h"
#include "driver/cli/write_text.h"
#include "driver/commands/commands.h"
#include "driver/driver.h"
#include "driver/version.h"

#include "runtime/cli/options.h"

#include <string.h>

/* Text inside single quotes of a shell; `also` are further characters that need a backslash there.
 */
static void quoted(const char *s, const char *also, base_str *out) {
    for (; *s; s++) {
        if (*s == '\'')
            base_str_add(out, "'\\''");
        else
            base_str_addf(out, strchr(also, *s) ? "\\%c" : "%c", *s);
    }
}

/* ---- bash ---- */

static void bash_words(unsigned command, base_str *out) {
    for (size_t i = 0; i < drv_option_table.count; i++)
        if (drv_option_table.rows[i].help && (drv_option_table.rows[i].commands & command))
            base_str_addf(out, " %s", drv_option_table.rows[i].name);
}

/* The word under the cursor is taken from the line: bash cuts it at '=' and ':', and wants only the
 * part behind the last cut back. */
static const char bash_frame[] =
    "_ebru_reply() { # WORD, the candidates\n"
    "    local cut=${1%\"${1##*[=:]}\"}\n"
    "    COMPREPLY=($(compgen -W \"$2\" -- \"$1\"))\n"
    "    if [[ -n $cut ]]; then COMPREPLY=(\"${COMPREPLY[@]#\"$cut\"}\"); fi\n"
    "    if [[ ${#COMPREPLY[@]} = 1 && ( ${COMPREPLY[0]} = *= || ${COMPREPLY[0]} = *- ) ]]; then\n"
    "        compopt -o nospace 2>/dev/null\n"
    "    fi\n"
    "}\n"
    "_ebru_files() { COMPREPLY=($(compgen -f -- \"${1##*=}\")); }\n";

static void bash(base_str *out) {
    base_str_addf(out, "# bash completion of ebru %s: made by `ebru completion bash`\n%s",
                  drv_version, bash_frame);
    base_str_add(out, "_ebru() {\n    local line=${COMP_LINE:0:COMP_POINT} word options=\n"
                      "    word=${line##*[[:space:]]}\n    case ${COMP_WORDS[1]} in\n");
    for (uint32_t i = 0; i < drv_command_count; i++) {
        base_str_addf(out, "    %s) options='", drv_commands[i].name);
        bash_words(drv_commands[i].bit, out);
        base_str_add(out, "' ;;\n");
    }
    base_str_add(out, "    *) options='");
    bash_words(DRV_COMPILE | DRV_NO_COMMAND, out);
    base_str_add(out, "' ;;\n    esac\n    case $word in\n");
    for (size_t i = 0; i < drv_option_table.count; i++) {
        const base_option *o = &drv_option_table.rows[i];
        const char *values = drv_option_values(o);
        if (!values) continue;
        base_str_addf(out, "    %s*) _ebru_reply \"$word\" '", o->name);
        for (const char *p = values; *p; p += strspn(p, " ")) {
            size_t n = strcspn(p, " ");
            base_str_addf(out, " %s%.*s", o->name, (int)n, p);
            p += n;
        }
        base_str_add(out, "' ;;\n");
    }
    base_str_add(out, "    -fno-*) _ebru_reply \"$word\" \"$(\"${COMP_WORDS[0]}\" compile "
                      "--list-passes 2>/dev/null |"
                      " grep -o '^[a-z_0-9]*' | sed 's/^/-fno-/')\" ;;\n"
                      "    --*=*) _ebru_files \"$word\" ;;\n    -*) _ebru_reply \"$word\" "
                      "\"$options\" ;;\n    *)\n"
                      "        _ebru_files \"$word\"\n        if [[ $COMP_CWORD = 1 ]]; then\n"
                      "            COMPREPLY+=($(compgen -W '");
    for (uint32_t i = 0; i < drv_command_count; i++)
        base_str_addf(out, " %s", drv_commands[i].name);
    base_str_add(
        out, "' -- \"$word\"))\n        elif [[ ${COMP_WORDS[1]} = completion ]]; then\n"
             "            COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$word\"))\n        fi\n"
             "        ;;\n    esac\n}\n"
             "complete -o filenames -o bashdefault -F _ebru ebru\n\n"
             "# For programs that ebru made: complete -o filenames -F _ebru_program NAME\n"
             "_ebru_program() {\n    local line=${COMP_LINE:0:COMP_POINT} word\n"
             "    word=${line##*[[:space:]]}\n    case $word in\n    -*) _ebru_reply \"$word\" '");
    for (size_t i = 0; i < rt_option_table.count; i++) {
        const base_option *o = &rt_option_table.rows[i];
        if (!o->help) continue;
        base_str_addf(out, " %s%s%s", o->shorthand ? o->shorthand : "", o->shorthand ? " " : "",
                      o->name);
    }
    base_str_add(out, "' ;;\n    *) _ebru_files \"$word\" ;;\n    esac\n}\n");
}

/* ---- zsh ---- */

static void zsh_option(const base_option *o, base_str *out) {
    const char *values = drv_option_values(o);
    base_str_add(out, " \\\n            '*");
    quoted(o->name, "", out);
    if (base_option_is_glued(o)) base_str_add(out, "-"); /* the argument follows in the same word */
    base_str_add(out, "[");
    quoted(o->help, "[]:\\", out);
    base_str_add(out, "]");
    if (o->argument) {
        base_str_add(out, ":");
        quoted(o->argument, "[]:\\", out);
        base_str_add(out, ":");
        if (values) {
            base_str_add(out, "(");
            quoted(values, ":\\", out);
            base_str_add(out, ")");
        } else if (o->set == drv_add_disabled) {
            base_str_add(out, "($(${words[1]} compile --list-passes 2>/dev/null | "
                              "grep -o \"^[a-z_0-9]*\"))");
        } else {
            base_str_add(out, "_files");
        }
    }
    base_str_add(out, "'");
}

static void zsh_command(const drv_command *c, base_str *out) {
    base_str_addf(out, "    %s)\n        _arguments", c->bit == DRV_COMPILE ? "*" : c->name);
    for (size_t k = 0; k < drv_option_table.count; k++)
        if (drv_option_table.rows[k].help && (drv_option_table.rows[k].commands & c->bit))
            zsh_option(&drv_option_table.rows[k], out);
    base_str_add(out, c->bit == DRV_COMPLETION ? " \\\n            '2:shell:(bash zsh fish)' ;;\n"
                                               : " \\\n            '*:file:_files' ;;\n");
}

static void zsh(base_str *out) {
    base_str_addf(out,
                  "#compdef ebru\n# zsh completion of ebru %s: made by `ebru completion zsh`\n",
                  drv_version);
    base_str_add(out, "_ebru() {\n    local -a commands=(");
    for (uint32_t i = 0; i < drv_command_count; i++) {
        base_str_addf(out, "\n        '%s:", drv_commands[i].name);
        quoted(drv_commands[i].help, "", out);
        base_str_add(out, "'");
    }
    base_str_add(out, ")\n    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n"
                      "        _describe command commands\n        _files\n        return\n    fi\n"
                      "    case $words[2] in\n");
    for (uint32_t i = 1; i < drv_command_count; i++) zsh_command(&drv_commands[i], out);
    zsh_command(&drv_commands[0], out); /* compile: it takes what is no command, too */
    base_str_add(out, "    esac\n}\n_ebru \"$@\"\n");
}

/* ---- fish ---- */

static void fish_option(const base_option *o, base_str *out) {
    const char *values = drv_option_values(o), *name = o->name;
    char bare[64];
    bool two = name[1] == '-', shorthand = !two && strlen(name) == 2;
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(name + 1 + two, "="), name + 1 + two);
    base_str_add(out, o->commands == DRV_NO_COMMAND
                          ? "complete -c ebru -n '__fish_use_subcommand"
                          : "complete -c ebru -n '__fish_seen_subcommand_from");
    for (uint32_t i = 0; i < drv_command_count; i++)
        if (o->commands & drv_commands[i].bit) base_str_addf(out, " %s", drv_commands[i].name);
    if (o->set == drv_add_disabled) {
        base_str_add(out, "' -f -a '(ebru compile --list-passes 2>/dev/null | "
                          "string replace -rf -- \"^(\\S+).*\" \"-fno-\\$1\")' -d '");
    } else {
        base_str_addf(out, "' %s %s", shorthand ? "-s" : two ? "-l" : "-o", bare);
        if (o->argument) base_str_add(out, values ? " -x" : " -r");
        if (values) base_str_addf(out, " -a '%s'", values);
        base_str_add(out, " -d '");
    }
    for (const char *p = o->help; *p; p++)
        base_str_addf(out, *p == '\'' || *p == '\\' ? "\\%c" : "%c", *p);
    base_str_add(out, "'\n");
}

static void fish(base_str *out) {
    base_str_addf(out, "# fish completion of ebru %s: made by `ebru completion fish`\n",
                  drv_version);
    for (uint32_t i = 0; i < drv_command_count; i++) {
        base_str_addf(out, "complete -c ebru -n __fish_use_subcommand -a %s -d '",
                      drv_commands[i].name);
        for (const char *p = drv_commands[i].help; *p; p++)
            base_str_addf(out, *p == '\'' || *p == '\\' ? "\\%c" : "%c", *p);
        base_str_add(out, "'\n");
    }
    base_str_add(
        out,
        "complete -c ebru -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'\n");
    for (size_t i = 0; i < drv_option_table.count; i++)
        if (drv_option_table.rows[i].help) fish_option(&drv_option_table.rows[i], out);
}

int drv_completion(const drv_options *o) {
    static const char *const shells[] = {"bash", "zsh", "fish"};
    static void (*const make[])(base_str *) = {bash, zsh, fish};
    for (int i = 0; i < 3; i++) {
        if (strcmp(o->model, shells[i]) != 0) continue;
        base_str text = {0};
        base_diag *d = drv_diag(&o->common);
        make[i](&text);
        int code = drv_write_text(d, "-", text.data, text.len) ? DRV_OK : DRV_IO;
        base_str_free(&text);
        base_diag_free(d);
        return code;
    }
    char hint[BASE_HINT_MAX];
    const char *near = base_suggest(o->model, shells, 3);
    fprintf(stderr, "ebru: error: completion expects bash, zsh or fish, not '%s'%s\n",
            base_escape(o->model, strlen(o->model)), base_hint(near, hint));
    return DRV_USAGE;
}
