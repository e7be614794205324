#include "runtime/cli/options.h"
#include "base/suggest.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum kind { FLAG, INT, COUNT, REAL, PART, TEXT, SEED, PROMPT, BENCH, PROGRESS };

struct option {
    const char *shorthand, *name, *argument;
    enum kind kind;
    size_t offset;
    const char *help;
};

#define AT(field) offsetof(rt_options, field)
static const struct option table[] = {
    {"-p", "--prompt", "TEXT", PROMPT, AT(prompts),
     "what to paint; @FILE reads a file, - standard input; may be repeated"},
    {"-n", "--negative-prompt", "TEXT", TEXT, AT(negative), "what to keep away from"},
    {NULL, "--prompt-weights", NULL, FLAG, AT(weights),
     "prompts are weighted: (word:1.2), ((word)), [word]; \\( is a bracket"},
    {NULL, "--class", "LIST", TEXT, AT(classes),
     "classes of a class-conditional model: numbers, ranges or names, e.g. 0,3,5-9"},
    {"-o", "--output", "FILE", TEXT, AT(output),
     "PNG to write (default output.png, which never overwrites); - is standard output"},
    {NULL, "--steps", "N", COUNT, AT(steps), "denoising steps"},
    {NULL, "--cfg-scale", "X", REAL, AT(cfg_scale), "guidance; 1 and below switches it off"},
    {NULL, "--guidance-rescale", "X", PART, AT(guidance_rescale),
     "0 to 1: against overexposed pictures of a high guidance (default 0)"},
    {"-i", "--init-img", "FILE", TEXT, AT(init_image), "PNG to begin from, instead of noise alone"},
    {NULL, "--strength", "X", PART, AT(strength),
     "with -i: how much is painted anew, above 0 to 1; that part of the steps is run"},
    {NULL, "--mask", "FILE", TEXT, AT(mask),
     "with -i: PNG that is white where the picture is repainted"},
    {NULL, "--depth", "FILE", TEXT, AT(depth), "with -i: depth map, bright is near (depth models)"},
    {NULL, "--noise-level", "N", INT, AT(noise_level),
     "with -i: noise put on the picture that is painted larger (upscalers)"},
    {"-s", "--seed", "N", SEED, AT(seed),
     "seed of the noise, the same picture as torch's CPU generator; -1 = random (default 42)"},
    {"-b", "--batch-count", "COUNT", COUNT, AT(count),
     "pictures for each prompt; picture i takes seed + i"},
    {NULL, "--grid", "COLUMNS", COUNT, AT(grid), "all pictures in one file, side by side"},
    {"-W", "--width", "N", COUNT, AT(width),
     "width in pixels (sizes are fixed when the model is compiled)"},
    {"-H", "--height", "N", COUNT, AT(height), "height in pixels"},
    {NULL, "--sampling-method", "NAME", TEXT, AT(sampler), "another sampler than the model's"},
    {NULL, "--eta", "X", REAL, AT(eta), "noise of the DDIM sampler, 0 to 1"},
    {"-t", "--threads", "N", COUNT, AT(threads),
     "threads (default: what affinity, cgroup and cores allow); never changes the picture"},
    {NULL, "--cpu-level", "NAME", TEXT, AT(cpu_level),
     "run the code of a lower CPU level of this program"},
    {NULL, "--no-cpu-check", NULL, FLAG, AT(no_cpu_check),
     "with --cpu-level: even if the CPU lacks what the level needs (for emulators)"},
    {NULL, "--profile", "FILE", TEXT, AT(profile),
     "write a Chrome trace of the run, and a table of the ops to standard error"},
    {NULL, "--profile-steps", "N", COUNT, AT(profile_steps),
     "calls of a function that the trace holds op by op (default 2; with --bench all); sums are of "
     "all"},
    {NULL, "--bench", NULL, BENCH, AT(bench),
     "time every function on made-up inputs; --bench=json prints one object a function"},
    {NULL, "--function", "NAME", TEXT, AT(bench_function), "with --bench: this function only"},
    {NULL, "--cold", NULL, FLAG, AT(bench_cold),
     "with --bench: also with weights in turn from copies that no cache holds together"},
    {NULL, "--runs", "N", COUNT, AT(bench_runs),
     "with --bench: runs of each function (default 20)"},
    {NULL, "--call", "NAME", TEXT, AT(call),
     "run one network on tensors from standard input (docs/program.md)"},
    {NULL, "--dump-values", "FILE", TEXT, AT(dump_values),
     "with --call: write every function's inputs, arena and outputs"},
    {NULL, "--build-info", NULL, FLAG, AT(build_info),
     "what this program was compiled from and for"},
    {NULL, "--no-metadata", NULL, FLAG, AT(no_metadata), "no text in the PNG"},
    {NULL, "--progress", "auto|bar|plain|none", PROGRESS, AT(progress),
     "how progress is shown on standard error"},
    {"-q", "--quiet", NULL, FLAG, AT(quiet), "no progress, no notes"},
    {"-v", "--verbose", NULL, FLAG, AT(verbose), "say what was chosen and why"},
    {"-h", "--help", NULL, FLAG, AT(help), "this text"},
    {NULL, "--version", NULL, FLAG, AT(version), "version of the compiler that made this program"},
};
enum { TABLE = sizeof table / sizeof *table };

/* What is near the word in front of its '='. */
static rt_status unknown(const char *word, rt_error *err) {
    const char *names[TABLE];
    char name[80], hint[BASE_HINT_MAX];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    for (int i = 0; i < TABLE; i++) names[i] = table[i].name;
    base_hint(base_suggest(name, names, TABLE), hint);
    return rt_fail(err, RT_ERR_USAGE, "unknown option '%.80s'%s", word,
                   *hint ? hint : "; see --help");
}

int rt_option_count(void) {
    return TABLE;
}

rt_option rt_option_at(int index) {
    const struct option *o = &table[index];
    return (rt_option){o->shorthand, o->name, o->argument, o->help};
}

static rt_status bad_value(const struct option *o, const char *value, const char *expected,
                           rt_error *err) {
    return rt_fail(err, RT_ERR_USAGE, "%s expects %s, not '%.80s'", o->name, expected, value);
}

static rt_status set_value(rt_options *o, const struct option *opt, const char *value,
                           rt_error *err) {
    char *field = (char *)o + opt->offset, *end = NULL;
    errno = 0;
    switch (opt->kind) {
    case TEXT: memcpy(field, &value, sizeof value); return RT_OK;
    case INT:
    case COUNT: {
        long n = strtol(value, &end, 10);
        if (errno || *end || end == value || n < (opt->kind == COUNT) || n > 1000000)
            return bad_value(opt, value,
                             opt->kind == COUNT ? "a whole number from 1 to 1000000"
                                                : "a whole number from 0 to 1000000",
                             err);
        int i = (int)n;
        memcpy(field, &i, sizeof i);
        return RT_OK;
    }
    case PART:
    case REAL: {
        double x = strtod(value, &end), most = opt->kind == PART ? 1 : 1000;
        if (errno || *end || end == value || !(x >= 0 && x <= most))
            return bad_value(opt, value,
                             most > 1 ? "a number from 0 to 1000" : "a number from 0 to 1", err);
        memcpy(field, &x, sizeof x);
        return RT_OK;
    }
    case SEED:
        if (!strcmp(value, "-1")) {
            o->seed_random = true;
            return RT_OK;
        }
        o->seed = strtoull(value, &end, 10);
        if (errno || *end || end == value || *value == '-')
            return bad_value(opt, value, "a whole number from 0 to 2^64 - 1, or -1", err);
        o->seed_random = false;
        return RT_OK;
    case PROMPT: {
        const char **grown = realloc(o->prompts, sizeof *grown * (size_t)(o->prompt_count + 1));
        if (!grown) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
        o->prompts = grown;
        grown[o->prompt_count++] = value;
        return RT_OK;
    }
    case PROGRESS: {
        static const char *const modes[] = {"auto", "bar", "plain", "none"};
        for (int i = 0; i < 4; i++)
            if (!strcmp(value, modes[i])) {
                o->progress = (rt_progress_mode)i;
                return RT_OK;
            }
        return bad_value(opt, value, "auto, bar, plain or none", err);
    }
    case BENCH:
        o->bench = true;
        o->bench_json = !strcmp(value, "json");
        return o->bench_json ? RT_OK : bad_value(opt, value, "nothing or =json", err);
    case FLAG: break;
    }
    return rt_fail(err, RT_ERR_USAGE, "%s takes no value", opt->name);
}

/* The option that `word` names; *value receives what follows '=' (or, for short options, what is
 * glued on). */
static const struct option *match(const char *word, const char **value) {
    *value = NULL;
    const char *equals = word[1] == '-' ? strchr(word, '=') : NULL;
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    for (int i = 0; i < TABLE; i++) {
        if (strlen(table[i].name) == n && !strncmp(word, table[i].name, n)) {
            if (equals) *value = equals + 1;
            return &table[i];
        }
        if (table[i].shorthand && word[1] != '-' && !strncmp(word, table[i].shorthand, 2)) {
            if (word[2] && !table[i].argument) continue;
            if (word[2]) *value = word + 2;
            return &table[i];
        }
    }
    return NULL;
}

rt_status rt_options_parse(rt_options *o, int argc, char **argv, rt_error *err) {
    memset(o, 0, sizeof *o);
    o->seed = 42;
    o->cfg_scale = -1;
    o->eta = -1;
    o->strength = -1;
    o->noise_level = -1;
    o->count = 1;
    o->bench_runs = 20;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = NULL;
        if (word[0] != '-' || !word[1])
            return rt_fail(err, RT_ERR_USAGE,
                           "unexpected argument '%.80s'; a prompt is given with -p", word);
        const struct option *opt = match(word, &value);
        if (!opt) return unknown(word, err);
        if (!opt->argument && !value) {
            bool on = true;
            memcpy((char *)o + opt->offset, &on, sizeof on);
            continue;
        }
        if (!value && ++i == argc)
            return rt_fail(err, RT_ERR_USAGE, "%s expects a value: %s", opt->name, opt->argument);
        rt_status s = set_value(o, opt, value ? value : argv[i], err);
        if (s) return s;
    }
    if (o->quiet) o->progress = RT_PROGRESS_NONE;
    return RT_OK;
}

void rt_options_free(rt_options *o) {
    free(o->prompts);
    o->prompts = NULL;
}

void rt_options_print(FILE *out) {
    fputs("Options:\n", out);
    for (int i = 0; i < TABLE; i++) {
        char head[80];
        snprintf(head, sizeof head, "%s%s%s%s%s", table[i].shorthand ? table[i].shorthand : "  ",
                 table[i].shorthand ? ", " : "  ", table[i].name, table[i].argument ? " " : "",
                 table[i].argument ? table[i].argument : "");
        fprintf(out, "  %-32s %s\n", head, table[i].help);
    }
}
