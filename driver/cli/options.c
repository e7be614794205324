#include "base/number.h"
#include "base/suggest.h"
#include "driver/cli/option_table.h"
#include "driver/commands/lower.h"
#include "driver/driver.h"
#include "driver/version.h"
#include "frontend/files/files.h"

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

/* FILE[:SCALE]: the scale is what follows the last colon, when that is a number; a path may have
 * colons. */
static bool file_and_scale(fe_lora *l, const base_option *row, const char *value, char *error) {
    *l = (fe_lora){value, 1.0};
    const char *colon = strrchr(value, ':');
    double scale;
    if (colon && base_parse_f64(colon + 1, strlen(colon + 1), &scale)) {
        if (!isfinite(scale)) {
            snprintf(error, BASE_OPTION_ERROR_MAX, "%s: the scale '%.80s' is not finite", row->name,
                     colon + 1);
            return false;
        }
        *(char *)(uintptr_t)colon = '\0'; /* the strings of argv may be changed */
        l->scale = scale;
    }
    return *l->path || base_option_expects(row, "FILE[:SCALE]", value, error);
}

bool drv_add_lora(void *options, const base_option *row, const char *value, char *error) {
    drv_options *o = options;
    if (o->load.lora_count == DRV_MAX_LORAS)
        return base_option_expects(row, "no more than 64 files", value, error);
    return file_and_scale(&o->load.loras[o->load.lora_count++], row, value, error);
}

bool drv_add_ip_adapter(void *options, const base_option *row, const char *value, char *error) {
    drv_options *o = options;
    if (o->load.ip_adapter_count == FE_MAX_IP_ADAPTERS)
        return base_option_expects(row, "no more than 4 files", value, error);
    return file_and_scale(&o->load.ip_adapters[o->load.ip_adapter_count++], row, value, error);
}

/* [NAME=]FILE: no name has a slash, so ./A=B is a file. */
bool drv_add_slot(void *options, const base_option *row, const char *value, char *error) {
    drv_options *o = options;
    if (o->load.slot_count == BASE_LORA_SLOTS)
        return base_option_expects(row, "no more than 64 files", value, error);
    fe_lora_slot *slot = &o->load.slots[o->load.slot_count++];
    const char *sign = strchr(value, '='), *slash = strchr(value, '/');
    *slot = (fe_lora_slot){.path = value};
    if (sign && (!slash || sign < slash)) {
        *(char *)(uintptr_t)sign = '\0'; /* the strings of argv may be changed */
        *slot = (fe_lora_slot){value, sign + 1};
    }
    const bool named = !slot->name || *slot->name;
    return (named && *slot->path) || base_option_expects(row, "[NAME=]FILE", value, error);
}

/* Where the file's name ends, the front end finds out: both parts may have colons. */
bool drv_add_embedding(void *options, const base_option *row, const char *value, char *error) {
    drv_options *o = options;
    if (o->load.embedding_count == DRV_MAX_EMBEDDINGS)
        return base_option_expects(row, "no more than 64 files", value, error);
    o->load.embeddings[o->load.embedding_count++] = value;
    return (*value && *value != ':') || base_option_expects(row, "FILE[:TOKEN]", value, error);
}

/* One more folder of `most`. */
static bool add_folder(const base_option *row, const char *value, const char **list,
                       uint32_t *count, char *error) {
    if (*count == DRV_MAX_CONTROLS)
        return base_option_expects(row, "no more than 8 folders", value, error);
    list[(*count)++] = value;
    return *value || base_option_expects(row, "a folder", value, error);
}

bool drv_add_controlnet(void *options, const base_option *row, const char *value, char *error) {
    drv_options *o = options;
    return add_folder(row, value, o->load.controlnets, &o->load.controlnet_count, error);
}

bool drv_add_adapter(void *options, const base_option *row, const char *value, char *error) {
    drv_options *o = options;
    return add_folder(row, value, o->load.adapters, &o->load.adapter_count, error);
}

bool drv_add_disabled(void *options, const base_option *row, const char *value, char *error) {
    drv_options *o = options;
    if (o->passes.disabled_count == DRV_MAX_DISABLED)
        return base_option_expects(row, "no more than 64 passes", value, error);
    o->passes.disabled[o->passes.disabled_count++] = value;
    return true;
}

/* Which passes and knobs there are is the passes' to say (passes/manager/choices.c). */
bool drv_add_knob(void *options, const base_option *row, const char *value, char *error) {
    drv_options *o = options;
    if (!strchr(value, '=')) {
        snprintf(error, BASE_OPTION_ERROR_MAX,
                 "unknown option '-f%.80s'; -fno-PASS leaves a pass out, -fPASS=KNOB:VALUE sets a "
                 "threshold of it",
                 value);
        return false;
    }
    if (o->passes.knob_count == DRV_MAX_KNOBS)
        return base_option_expects(row, "no more than 64 knobs", value, error);
    o->passes.knobs[o->passes.knob_count++] = value;
    return true;
}

/* --weights=random:1 and --weights=external say different things and may stand together. */
bool drv_set_weights(void *options, const base_option *row, const char *value, char *error) {
    static const char *const places[] = {"embed", "append", "external"};
    drv_options *o = options;
    char *end, hint[BASE_HINT_MAX];
    if (!strncmp(value, "random:", 7)) {
        errno = 0;
        o->load.random_seed = strtoull(value + 7, &end, 10);
        if (errno || end == value + 7 || *end || value[7] == '-')
            return base_option_expects(row, "a seed behind random:", value + 7, error);
        return o->load.random_weights = true;
    }
    for (int i = 0; i < 3; i++)
        if (!strcmp(value, places[i])) {
            o->code.placement = i;
            return true;
        }
    snprintf(error, BASE_OPTION_ERROR_MAX,
             "%s expects embed, append, external or random:SEED, not '%.80s'%s", row->name, value,
             base_hint(base_suggest(value, places, 3), hint));
    return false;
}

bool drv_add_operand(void *options, const char *word, char *error) {
    drv_options *o = options;
    const char **const places[] = {&o->model, &o->second, &o->third};
    if (o->operands == command_of(o->command)->most) {
        snprintf(error, BASE_OPTION_ERROR_MAX, "unexpected argument '%.80s'", word);
        return false;
    }
    *places[o->operands++] = word;
    return true;
}

enum { FILTER_LENGTH = 1000, FILTER_WRITTEN = 10000 };

/* The length of an expression of at most FILTER_LENGTH characters with its repetitions written out,
 * as the C library does it: x+ is xx*, x{1,9} is nine x. FILTER_WRITTEN + 1 where it is more. */
static uint64_t written_length(const char *c) {
    struct {
        uint64_t sum, last; /* of a group: what is finished, and what an operator would repeat */
    } group[FILTER_LENGTH + 1] = {{0}}, *g = group;
    while (*c) {
        const char sign = *c++;
        uint64_t factor = sign == '+' ? 2 : 0;
        if (sign == '{') {
            factor = 1;
            for (; *c && strchr("0123456789,", *c); c++) {
                const uint64_t n = *c == ',' ? 0 : strtoull(c, NULL, 10);
                if (n >= factor) factor = n < FILTER_WRITTEN ? n + 1 : FILTER_WRITTEN;
            }
        }
        if (factor) {
            g->last *= factor;
        } else if (sign == ')' && g > group) {
            const uint64_t whole = g->sum + g->last + 1;
            (--g)->last = whole;
        } else {
            g->sum += g->last;
            g->last = 1;
            if (sign == '(') {
                g++;
                g->sum = g->last = 0;
            }
            if (sign == '\\' && *c) c++;
            if (sign == '[') {
                if (*c == '^') c++;
                if (*c) c++; /* a ']' here is one of the set */
                c += strcspn(c, "]");
                if (*c) c++;
            }
        }
        if (g->sum + g->last > FILTER_WRITTEN) return FILTER_WRITTEN + 1;
    }
    return g->sum + g->last;
}

static int check_filter(const char *filter) {
    regex_t regex;
    if (filter && (strlen(filter) > FILTER_LENGTH || written_length(filter) > FILTER_WRITTEN)) {
        fprintf(stderr,
                "ebru: error: --filter= expects a regular expression of at most %d characters, and "
                "of %d with its repetitions written out\n",
                FILTER_LENGTH, FILTER_WRITTEN);
        return DRV_USAGE;
    }
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
    const char *text = o->show.analyze_depth;
    o->show.depth = 2;
    if (!text) return 0;
    o->show.analyze = true;
    size_t n = strspn(text, "0123456789");
    if (!strcmp(text, "all"))
        o->show.depth = UINT32_MAX;
    else if (n && n < 6 && !text[n])
        o->show.depth = strtoll(text, NULL, 10);
    else
        return usage_error("--analyze= expects a number of levels or all, not '%s'", text, NULL);
    return 0;
}

/* A value that is one of two words; NULL: not given. */
static int one_of(const char *value, const char *fmt, const char *first, const char *second) {
    const char *const words[] = {first, second};
    if (!value || !strcmp(value, first) || !strcmp(value, second)) return 0;
    return usage_error(fmt, value, base_suggest(value, words, 2));
}

static int digest(drv_options *o) {
    if (o->load.size) {
        char x;
        int used = 0;
        long long w = 0, h = 0;
        int read = sscanf(o->load.size, "%lld%n%c%lld%n", &w, &used, &x, &h, &used);
        if (read == 1) x = 'x', h = w; /* a square */
        if ((read != 1 && read != 3) || x != 'x' || o->load.size[used] || w < 1 || h < 1 ||
            w > 16384 || h > 16384)
            return usage_error("--size expects WIDTHxHEIGHT, or the side of a square, from 1 to "
                               "16384 each, not '%s'",
                               o->load.size, NULL);
        o->load.width = w, o->load.height = h;
    }
    static const char *const predictions[] = {"epsilon", "v_prediction", "sample"};
    bool known = !o->load.prediction;
    for (int i = 0; i < 3 && !known; i++) known = !strcmp(o->load.prediction, predictions[i]);
    if (!known)
        return usage_error("--prediction expects epsilon, v_prediction or sample, not '%s'",
                           o->load.prediction, base_suggest(o->load.prediction, predictions, 3));
    static const char *const safeties[] = {"off", "flag", "black"};
    known = !o->load.safety;
    for (int i = 0; i < 3 && !known; i++) known = !strcmp(o->load.safety, safeties[i]);
    if (!known)
        return usage_error("--safety-checker expects off, flag or black, not '%s'", o->load.safety,
                           base_suggest(o->load.safety, safeties, 3));
    if (o->load.lora_count && o->model && drv_is_ir(o->model))
        return usage_error(
            "--lora= goes with a model; '%s' is IR, whose weights may be folded already", o->model,
            NULL);
    if (o->load.slot_count && o->model && drv_is_ir(o->model))
        return usage_error("--lora-slot= goes with a model; '%s' is IR, which has its slots",
                           o->model, NULL);
#define WITH_A_MODEL " goes with a model; '%s' is IR, which says where its weights are"
    const char *const parts[][2] = {{o->load.unet, "--unet=" WITH_A_MODEL},
                                    {o->load.vae, "--vae=" WITH_A_MODEL},
                                    {o->load.text_encoder, "--text-encoder=" WITH_A_MODEL},
                                    {o->load.text_encoder_2, "--text-encoder-2=" WITH_A_MODEL}};
    for (size_t i = 0; o->model && drv_is_ir(o->model) && i < sizeof parts / sizeof *parts; i++)
        if (parts[i][0]) return usage_error(parts[i][1], o->model, NULL);
#undef WITH_A_MODEL
    if (o->load.unet && o->load.random_weights && !fe_path_is_dir(o->load.unet))
        return usage_error("--unet= and --weights=random: '%s' would not be read", o->load.unet,
                           NULL);
    if (o->load.embedding_count && o->model && drv_is_ir(o->model))
        return usage_error("--embedding= goes with a model; '%s' is IR, which has its tokens",
                           o->model, NULL);
    if ((o->load.controlnet_count || o->load.adapter_count) && o->model && drv_is_ir(o->model))
        return usage_error(
            "--controlnet= and --t2i-adapter= go with a model; '%s' is IR, which has "
            "its networks",
            o->model, NULL);
    if (o->load.ip_adapter_count && o->model && drv_is_ir(o->model))
        return usage_error("--ip-adapter= goes with a model; '%s' is IR, which has its adapters",
                           o->model, NULL);
    if ((o->load.ip_images || o->load.image_encoder) && !o->load.ip_adapter_count)
        return usage_error("--%s does nothing without --ip-adapter=",
                           o->load.ip_images ? "ip-images=" : "image-encoder=", NULL);
    if ((o->load.sampler || o->load.scheduler_config) && o->model && drv_is_ir(o->model))
        return usage_error("--sampler= and --scheduler-config= go with a model; '%s' is IR, which "
                           "has its sampler",
                           o->model, NULL);
    int p = 0;
    while (o->code.precision && p < IR_PRECISION_COUNT &&
           strcmp(o->code.precision, ir_precision_name[p]) != 0)
        p++;
    if (p == IR_PRECISION_COUNT)
        return usage_error("--precision expects f32, bf16x3, bf16 or int8, not '%s'",
                           o->code.precision,
                           base_suggest(o->code.precision, ir_precision_name, IR_PRECISION_COUNT));
    o->code.products = (ir_precision)p;
    /* a report takes the precision of the trace */
    if (o->code.quantization && p != IR_PRECISION_INT8 &&
        !(o->command == DRV_REPORT && !o->code.precision))
        return usage_error("--quantization=%s says which filters do not multiply in int8: it goes "
                           "with --precision=int8",
                           o->code.quantization, NULL);
    int bad = check_filter(o->passes.filter);
    if (!bad) bad = read_depth(o);
    if (!bad)
        bad = one_of(o->passes.plan, "--plan expects reuse or separate, not '%s'", "reuse",
                     "separate");
    if (!bad) bad = one_of(o->report.by, "--by expects op or shape, not '%s'", "op", "shape");
    if (!bad) bad = one_of(o->report.sort, "--sort expects time or lost, not '%s'", "time", "lost");
    if (bad) return bad;
    if (o->common.color && strcmp(o->common.color, "auto") != 0 &&
        strcmp(o->common.color, "always") != 0 && strcmp(o->common.color, "never") != 0)
        return usage_error("--color expects auto, always or never, not '%s'", o->common.color,
                           NULL);
    if (o->common.error_format && strcmp(o->common.error_format, "text") != 0 &&
        strcmp(o->common.error_format, "json") != 0)
        return usage_error("--error-format expects text or json, not '%s'", o->common.error_format,
                           NULL);
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

static int check_operands(const drv_options *o) {
    const drv_command *c = command_of(o->command);
    bool lists = o->show.list_passes || o->show.list_ops || o->show.list_properties ||
                 o->show.list_cpu_levels;
    if (o->operands >= c->least || lists) return 0;
    if (c->least == 1 && !(c->bit & (DRV_COMPLETION | DRV_DIFF)))
        return usage_error("%s: which model?", c->name, NULL);
    fprintf(stderr, "ebru: error: %s expects %s\n", c->name, c->operands);
    return DRV_USAGE;
}

int drv_parse(drv_options *o, int argc, char **argv, bool *done) {
    char error[BASE_OPTION_ERROR_MAX];
    *o = (drv_options){
        .code.opt_level = 3,
        .code.placement = -1,
        .passes.bisect_limit = -1,
        .load = {.default_noise_level = -1, .default_guidance = -1, .default_strength = -1}};
    int first = 1;
    if (argc > 1 && (o->command = find_command(argv[1])))
        first = 2;
    else if (argc > 1 && argv[1][0] != '-' && !strchr(argv[1], '/') && access(argv[1], F_OK))
        return unknown_command(argv[1]);
    bool bare = !o->command;
    if (bare) o->command = DRV_COMPILE; /* ebru MODEL -o X */
    if (argc > first &&
        !base_options_parse(&drv_option_table, o->command | (bare ? DRV_NO_COMMAND : 0), o,
                            argc - first, argv + first, error))
        return usage_error("%s", error, NULL);
    if (o->common.version) printf("ebru %s\n", drv_version);
    if (o->common.help || argc == 1)
        drv_print_help(argc == 1 ? stderr : stdout, bare ? 0 : o->command);
    *done = o->common.version || o->common.help || argc == 1;
    if (*done) return argc == 1 ? DRV_USAGE : 0;
    int bad = check_operands(o);
    return bad ? bad : digest(o);
}

base_diag *drv_diag(const drv_common_options *o) {
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
