#include "base/number.h"
#include "base/suggest.h"
#include "driver/cli/option_table.h"
#include "driver/driver.h"

#include <errno.h>
#include <math.h>
#include <regex.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int usage_error(const char *fmt, const char *word, const char *near) {
    char hint[BASE_HINT_MAX];
    fprintf(stderr, "ebru: error: ");
    fprintf(stderr, fmt, base_escape(word, strlen(word)));
    fprintf(stderr, "%s\n", base_hint(near, hint));
    return DRV_USAGE;
}

static const drv_command *command_of(unsigned bit) {
    for (uint32_t i = 0; i < drv_command_count; i++)
        if (drv_commands[i].bit == bit) return &drv_commands[i];
    ICE("command %u", bit);
}

/* The row that `word` spells for this command; *value receives what is glued to it. */
static const drv_option *match(const char *word, unsigned command, const char **value) {
    const drv_option *best = NULL;
    *value = NULL;
    for (uint32_t i = 0; i < drv_option_count; i++) {
        const drv_option *o = &drv_option_table[i];
        if (!(o->commands & command)) continue;
        size_t n = strlen(o->name);
        bool prefix = o->argument && (o->name[n - 1] == '=' || o->kind == DRV_LIST ||
                                      o->kind == DRV_OLEVEL || (n == 2 && o->argument));
        if (!strcmp(word, o->name)) {
            *value = NULL;
            if (o->name[n - 1] == '=') *value = "";
            return o;
        }
        if (prefix && !strncmp(word, o->name, n)) {
            best = o;
            *value = word + n;
        } else if (o->name[n - 1] == '=' && !best && strlen(word) == n - 1 &&
                   !strncmp(word, o->name, n - 1)) {
            best = o; /* --size 64x64: the value follows as its own word */
        }
    }
    return best;
}

/* What is near the word in front of its '='; options of other commands only say where they belong.
 */
static int unknown_option(const char *word, unsigned command) {
    char name[64];
    const char *own[DRV_MAX_OPTIONS];
    size_t count = 0, n = strcspn(word, "=");
    snprintf(name, sizeof name, "%.*s", n < sizeof name - 1 ? (int)n + (word[n] == '=') : 62, word);
    for (uint32_t i = 0; i < drv_option_count; i++) {
        const drv_option *o = &drv_option_table[i];
        if (!o->help) continue; /* for tests */
        if (o->commands & command)
            own[count++] = o->name;
        else if (!strcmp(name, o->name))
            return usage_error("unknown option '%s'; other commands have it", word, NULL);
    }
    return usage_error("unknown option '%s'", word, base_suggest(name, own, count));
}

/* FILE[:SCALE]: the scale is what follows the last colon, when that is a number; a path may have
 * colons. */
static int add_lora(drv_options *o, const char *value) {
    if (o->lora_count == DRV_MAX_LORAS)
        return usage_error("too many --lora= options: '%s'", value, NULL);
    fe_lora *l = &o->loras[o->lora_count++];
    *l = (fe_lora){value, 1.0};
    const char *colon = strrchr(value, ':');
    double scale;
    if (colon && base_parse_f64(colon + 1, strlen(colon + 1), &scale)) {
        if (!isfinite(scale))
            return usage_error("--lora=: the scale '%s' is not finite", colon + 1, NULL);
        *(char *)(uintptr_t)colon = '\0'; /* the strings of argv may be changed */
        l->scale = scale;
    }
    if (!*l->path) return usage_error("--lora= expects FILE[:SCALE], not '%s'", value, NULL);
    return 0;
}

static int set_value(drv_options *o, const drv_option *opt, const char *value) {
    char *field = (char *)o + opt->offset, *end;
    if (opt->kind == DRV_LIST) {
        if (o->disabled_count == DRV_MAX_DISABLED)
            return usage_error("too many %s options", opt->name, NULL);
        o->disabled[o->disabled_count++] = value;
        return 0;
    }
    if (opt->kind == DRV_LORA) return add_lora(o, value);
    if (opt->kind == DRV_TEXT) {
        /* --weights=random:1 and --weights=external say different things and may stand together */
        if (opt->offset == offsetof(drv_options, weights) && !strncmp(value, "random:", 7)) {
            errno = 0;
            o->random_seed = strtoull(value + 7, &end, 10);
            if (errno || end == value + 7 || *end || value[7] == '-')
                return usage_error("--weights=random: expects a seed, not '%s'", value + 7, NULL);
            o->random_weights = true;
            return 0;
        }
        memcpy(field, &value, sizeof value);
        return 0;
    }
    errno = 0;
    long long n = strtoll(value, &end, 10);
    bool low = opt->kind == DRV_INT ? n < 1 : n < 0 || (opt->kind == DRV_OLEVEL && n > 3);
    if (errno || end == value || *end || low || n > 1000000000) {
        fprintf(stderr, "ebru: error: %s expects a whole number, not '%s'\n", opt->name,
                base_escape(value, strlen(value)));
        return DRV_USAGE;
    }
    int64_t i = n;
    memcpy(field, &i, sizeof i);
    return 0;
}

static int check_filter(const char *filter) {
    regex_t regex;
    int bad = filter ? regcomp(&regex, filter, REG_EXTENDED | REG_NOSUB) : 0;
    if (!bad) {
        if (filter) regfree(&regex);
        return 0;
    }
    char why[200];
    regerror(bad, &regex, why, sizeof why);
    fprintf(stderr, "ebru: error: --filter= expects a regular expression, not '%s': %s\n",
            base_escape(filter, strlen(filter)), why);
    return DRV_USAGE;
}

/* --analyze shows two levels of blocks, --analyze=N another number, --analyze=all down to the ops.
 */
static int read_depth(drv_options *o) {
    const char *text = o->analyze_depth;
    o->depth = 2;
    if (!text) return 0;
    o->analyze = true;
    size_t n = strspn(text, "0123456789");
    if (!strcmp(text, "all"))
        o->depth = UINT32_MAX;
    else if (n && n < 6 && !text[n])
        o->depth = strtoll(text, NULL, 10);
    else
        return usage_error("--analyze= expects a number of levels or all, not '%s'", text, NULL);
    return 0;
}

static int digest(drv_options *o) {
    if (o->size) {
        char x;
        int used = 0;
        long long w = 0, h = 0;
        if (sscanf(o->size, "%lld%c%lld%n", &w, &x, &h, &used) != 3 || x != 'x' || o->size[used] ||
            w < 1 || h < 1 || w > 16384 || h > 16384)
            return usage_error("--size expects WIDTHxHEIGHT, not '%s'", o->size, NULL);
        o->width = w, o->height = h;
    }
    static const char *const places[] = {"embed", "append", "external"};
    o->placement = -1;
    if (o->weights) {
        for (int i = 0; i < 3; i++)
            if (!strcmp(o->weights, places[i])) o->placement = i;
        if (o->placement < 0)
            return usage_error("--weights expects embed, append, external or random:SEED, not '%s'",
                               o->weights, base_suggest(o->weights, places, 3));
    }
    static const char *const predictions[] = {"epsilon", "v_prediction", "sample"};
    bool known = !o->prediction;
    for (int i = 0; i < 3 && !known; i++) known = !strcmp(o->prediction, predictions[i]);
    if (!known)
        return usage_error("--prediction expects epsilon, v_prediction or sample, not '%s'",
                           o->prediction, base_suggest(o->prediction, predictions, 3));
    if (o->lora_count && o->model && drv_is_ir(o->model))
        return usage_error(
            "--lora= goes with a model; '%s' is IR, whose weights may be folded already", o->model,
            NULL);
    int p = 0;
    while (o->precision && p < IR_PRECISION_COUNT &&
           strcmp(o->precision, ir_precision_name[p]) != 0)
        p++;
    if (p == IR_PRECISION_COUNT)
        return usage_error("--precision expects f32, bf16x3 or bf16, not '%s'", o->precision,
                           base_suggest(o->precision, ir_precision_name, IR_PRECISION_COUNT));
    o->products = (ir_precision)p;
    int bad = check_filter(o->filter);
    if (!bad) bad = read_depth(o);
    if (bad) return bad;
    if (o->plan && strcmp(o->plan, "reuse") != 0 && strcmp(o->plan, "separate") != 0)
        return usage_error("--plan expects reuse or separate, not '%s'", o->plan, NULL);
    if (o->color && strcmp(o->color, "auto") != 0 && strcmp(o->color, "always") != 0 &&
        strcmp(o->color, "never") != 0)
        return usage_error("--color expects auto, always or never, not '%s'", o->color, NULL);
    if (o->error_format && strcmp(o->error_format, "text") != 0 &&
        strcmp(o->error_format, "json") != 0)
        return usage_error("--error-format expects text or json, not '%s'", o->error_format, NULL);
    return 0;
}

static unsigned find_command(const char *word) {
    for (uint32_t i = 0; i < drv_command_count; i++)
        if (!strcmp(word, drv_commands[i].name)) return drv_commands[i].bit;
    return 0;
}

static int unknown_command(const char *word) {
    const char *names[DRV_MAX_COMMANDS];
    for (uint32_t i = 0; i < drv_command_count; i++) names[i] = drv_commands[i].name;
    return usage_error("'%s' is neither a command nor a file", word,
                       base_suggest(word, names, drv_command_count));
}

static int add_operand(drv_options *o, const char *word, uint32_t *count) {
    const char **const places[] = {&o->model, &o->second, &o->third};
    if (*count == command_of(o->command)->most)
        return usage_error("unexpected argument '%s'", word, NULL);
    *places[(*count)++] = word;
    return 0;
}

static int check_operands(const drv_options *o, uint32_t count) {
    const drv_command *c = command_of(o->command);
    if (count >= c->least || o->list_passes || o->list_ops) return 0;
    if (c->least == 1 && c->bit != DRV_COMPLETION)
        return usage_error("%s: which model?", c->name, NULL);
    fprintf(stderr, "ebru: error: %s expects %s\n", c->name, c->operands);
    return DRV_USAGE;
}

int drv_parse(drv_options *o, int argc, char **argv, bool *done) {
    memset(o, 0, sizeof *o);
    o->opt_level = 3;
    o->bisect_limit = -1;
    int i = 1;
    if (argc > 1 && (o->command = find_command(argv[1])))
        i = 2;
    else if (argc > 1 && argv[1][0] != '-' && access(argv[1], F_OK))
        return unknown_command(argv[1]);
    bool bare = !o->command;
    if (bare) o->command = DRV_COMPILE; /* ebru MODEL -o X */
    bool only_operands = false;
    uint32_t operands = 0;
    for (; i < argc; i++) {
        const char *word = argv[i], *value;
        if (!only_operands && !strcmp(word, "--")) {
            only_operands = true;
            continue;
        }
        if (only_operands || word[0] != '-' || !word[1]) {
            int bad = add_operand(o, word, &operands);
            if (bad) return bad;
            continue;
        }
        if (bare && !strcmp(word, "--version")) {
            printf("ebru %s\n", DRV_VERSION);
            *done = true;
            return 0;
        }
        const drv_option *opt = match(word, o->command, &value);
        if (!opt) return unknown_option(word, o->command);
        if (!opt->argument) {
            bool on = true;
            memcpy((char *)o + opt->offset, &on, sizeof on);
            continue;
        }
        if (!value && ++i == argc) return usage_error("%s expects a value", opt->name, NULL);
        int bad = set_value(o, opt, value ? value : argv[i]);
        if (bad) return bad;
    }
    if (o->help || argc == 1) {
        drv_print_help(argc == 1 ? stderr : stdout, bare ? 0 : o->command);
        *done = true;
        return argc == 1 ? DRV_USAGE : 0;
    }
    int bad = check_operands(o, operands);
    return bad ? bad : digest(o);
}

base_diag *drv_diag(const drv_options *o) {
    const char *no_color = getenv("NO_COLOR");
    bool always = o->color && !strcmp(o->color, "always"),
         never = o->color && !strcmp(o->color, "never");
    base_diag_options d = {
        .out = stderr,
        .json = o->error_format && !strcmp(o->error_format, "json"),
        .color = always || (!never && isatty(2) && !(no_color && *no_color)),
        .limit = (unsigned)o->error_limit,
    };
    return base_diag_new(&d);
}
