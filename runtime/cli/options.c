#include "runtime/cli/options.h"
#include "runtime/engine/threads.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVERY = 1 }; /* a program has no commands */

static bool set_seed(void *options, const base_option *row, const char *value, char *error) {
    rt_options *o = options;
    char *end;
    o->seed_random = strcmp(value, "-1") == 0;
    if (o->seed_random) return true;
    errno = 0;
    o->seed = strtoull(value, &end, 10);
    if (!errno && !*end && end != value && *value != '-') return true;
    return base_option_expects(row, "a whole number from 0 to 2^64 - 1, or -1", value, error);
}

static bool add_text(const char ***list, int *count, const base_option *row, const char *value,
                     char *error) {
    const char **grown = realloc(*list, sizeof *grown * (size_t)(*count + 1));
    if (!grown) {
        snprintf(error, BASE_OPTION_ERROR_MAX, "out of memory for %s", row->name);
        return false;
    }
    *list = grown;
    grown[(*count)++] = value;
    return true;
}

static bool add_prompt(void *options, const base_option *row, const char *value, char *error) {
    rt_options *o = options;
    return add_text(&o->prompts, &o->prompt_count, row, value, error);
}

/* All of text[length] as a number. */
static bool parse_number(const char *text, size_t length, double *out) {
    char copy[64], *end;
    if (!length || length >= sizeof copy || !strchr("+-.0123456789", *text)) return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    *out = strtod(copy, &end);
    return !*end;
}

/* Numbers behind the colons at the end of `value`, at most 3, the last one last; *length: of what
 * is in front. */
static int trailing_numbers(const char *value, double numbers[3], size_t *length) {
    int count = 0;
    size_t end = strlen(value);
    while (count < 3) {
        size_t at = end;
        while (at > 0 && value[at - 1] != ':') at--;
        double x;
        if (at < 2 || !parse_number(value + at, end - at, &x)) break;
        for (int i = count; i > 0; i--) numbers[i] = numbers[i - 1];
        numbers[0] = x;
        count++;
        end = at - 1;
    }
    *length = end;
    return count;
}

static bool wrong_control(char *error, const char *name, const char *format, const char *value) {
    char what[200];
    snprintf(what, sizeof what, format, value);
    snprintf(error, BASE_OPTION_ERROR_MAX, "%s: %s", name, what);
    return false;
}

/* A file may be called a:0.5; then that is its name. */
static bool read_control(rt_control_option *c, const char *name, const char *value, char *error) {
    double numbers[3];
    size_t length = strlen(value), stem;
    int count = trailing_numbers(value, numbers, &stem);
    const char *colon = strrchr(value, ':');
    bool whole = !access(value, F_OK);
    *c = (rt_control_option){.stop = 1, .low = 100, .high = 200};
    if (!whole && count == 2)
        return wrong_control(
            error, name, "expects FILE[:SCALE[:START:STOP]]; '%.80s' ends in two numbers", value);
    if (!whole && !count && colon)
        return wrong_control(error, name,
                             "there is no file '%.80s', and what stands behind its last colon is "
                             "no number",
                             value);
    if (!whole && count) {
        length = stem;
        c->scaled = true;
        c->scale = numbers[0];
        if (count == 3) c->start = numbers[1];
        if (count == 3) c->stop = numbers[2];
    }
    if (!length) return wrong_control(error, name, "expects a file, not '%.80s'", value);
    if (!isfinite(c->scale))
        return wrong_control(error, name, "the scale in '%.80s' is not finite", value);
    if (!(c->start >= 0 && c->start < c->stop && c->stop <= 1))
        return wrong_control(error, name,
                             "START and STOP in '%.80s' must be 0 <= START < STOP <= 1", value);
    c->file = strndup(value, length);
    return c->file || wrong_control(error, name, "out of memory%s", "");
}

static bool add_control(void *options, const base_option *row, const char *value, char *error) {
    rt_options *o = options;
    if (o->control_count == RT_OPTION_CONTROLS_MAX)
        return base_option_expects(row, "no more than 8 pictures", value, error);
    rt_control_option *c = &o->controls[o->control_count];
    if (!read_control(c, row->name, value, error)) return false;
    if (!o->control_count && o->canny_first) {
        c->canny = true;
        c->low = o->canny_low;
        c->high = o->canny_high;
    }
    o->control_count++;
    return true;
}

/* Of the picture given last, or of the first one when none was given yet. */
static bool set_canny(void *options, const base_option *row, const char *value, char *error) {
    rt_options *o = options;
    double low = 100, high = 200;
    const char *colon = value ? strchr(value, ':') : NULL;
    bool fine = !value || (colon && parse_number(value, (size_t)(colon - value), &low) &&
                           parse_number(colon + 1, strlen(colon + 1), &high) && low >= 0 &&
                           high >= 0 && isfinite(low) && isfinite(high));
    if (!fine)
        return base_option_expects(row, "nothing or =LOW:HIGH, two thresholds", value, error);
    rt_control_option *c = o->control_count ? &o->controls[o->control_count - 1] : NULL;
    if (c) c->canny = true;
    if (!c) o->canny_first = true;
    *(c ? &c->low : &o->canny_low) = low;
    *(c ? &c->high : &o->canny_high) = high;
    return true;
}

static bool add_reference(void *options, const base_option *row, const char *value, char *error) {
    rt_options *o = options;
    return add_text(&o->references, &o->reference_count, row, value, error);
}

static bool add_lora(void *options, const base_option *row, const char *value, char *error) {
    rt_options *o = options;
    if (o->lora_count == BASE_LORA_SLOTS) {
        snprintf(error, BASE_OPTION_ERROR_MAX, "%s: no program has more than %d slots", row->name,
                 (int)BASE_LORA_SLOTS);
        return false;
    }
    o->loras[o->lora_count++] = value;
    return true;
}

static bool set_progress(void *options, const base_option *row, const char *value, char *error) {
    static const char *const modes[] = {"auto", "bar", "plain", "none"};
    rt_options *o = options;
    for (int i = 0; i < 4; i++)
        if (!strcmp(value, modes[i])) {
            o->progress = (rt_progress_mode)i;
            return true;
        }
    return base_option_expects(row, "auto, bar, plain or none", value, error);
}

static bool set_bench(void *options, const base_option *row, const char *value, char *error) {
    rt_options *o = options;
    o->bench = true;
    o->bench_json = value && !strcmp(value, "json");
    if (!value || o->bench_json) return true;
    return base_option_expects(row, "nothing or =json", value, error);
}

static bool refuse_manual(void *options, const base_option *row, const char *value, char *error) {
    (void)options, (void)value;
    snprintf(error, BASE_OPTION_ERROR_MAX,
             "%s: the manual page is that of all programs: man ebru-program, or ebru help "
             "--man-program | man -l -",
             row->name);
    return false;
}

static bool refuse_operand(void *options, const char *word, char *error) {
    (void)options;
    snprintf(error, BASE_OPTION_ERROR_MAX, "unexpected argument '%.80s'; a prompt is given with -p",
             word);
    return false;
}

#define FLAG        .kind = BASE_OPTION_FLAG
#define TEXT        .kind = BASE_OPTION_TEXT
#define WHOLE(from) .kind = BASE_OPTION_INT, .least = from, .most = 1000000
#define UP_TO(to)   .kind = BASE_OPTION_INT, .least = 1, .most = to
#define OPEN(from)  .kind = BASE_OPTION_INT, .least = from, .most = BASE_OPTION_ANY
#define REAL(to)    .kind = BASE_OPTION_REAL, .most = to
#define OWN(how)    .kind = BASE_OPTION_OWN, .set = how
#define ROW(shorthand_, name_, argument_, needs_, kind_, field, help_)                             \
    {.shorthand = shorthand_,                                                                      \
     .name = name_,                                                                                \
     .argument = argument_,                                                                        \
     .help = help_,                                                                                \
     .commands = EVERY,                                                                            \
     .offset = offsetof(rt_options, field),                                                        \
     .needs = needs_,                                                                              \
     kind_}
/* What a row needs to do anything, shorter. */
enum {
    ALWAYS = RT_NEEDS_NOTHING,
    FILES = RT_NEEDS_PAINTING,
    PAINTING = RT_NEEDS_PAINTING | RT_NEEDS_LOOP,
    PROMPT = PAINTING | RT_NEEDS_PROMPT,
    PICTURES = PAINTING | RT_NEEDS_PICTURES,
    INIT = PICTURES | RT_NEEDS_INIT,
    GUIDED = PAINTING | RT_NEEDS_GUIDED
};
static const base_option rows[] = {
    ROW("-p", "--prompt", "TEXT", PROMPT | RT_OPTION_REPEATS, OWN(add_prompt), prompts,
        "what to paint; @FILE reads a file, - standard input; may be repeated"),
    ROW("-n", "--negative-prompt", "TEXT", PROMPT | GUIDED | RT_NEEDS_NEGATIVE, TEXT, negative,
        "what to keep away from; @FILE and - as for -p"),
    ROW(NULL, "--prompt-weights", NULL, PROMPT, FLAG, weights,
        "prompts are weighted: (word:1.2), ((word)), [word]; \\( is a bracket"),
    ROW(NULL, "--class", "LIST", PAINTING | RT_NEEDS_CLASSES, TEXT, classes,
        "classes of a class-conditional model: numbers, ranges or names, e.g. 0,3,5-9"),
    ROW(NULL, "--lora", "NAME[:SCALE]", RT_NEEDS_NO_BENCH | RT_OPTION_REPEATS, OWN(add_lora), loras,
        "apply a LoRA that the program keeps, SCALE (default 1) times; may be repeated"),
    ROW("-o", "--output", "FILE", FILES, TEXT, output,
        "PNG to write (default output.png, which never overwrites); - is standard output"),
    ROW(NULL, "--steps", "N", PAINTING, OPEN(1), steps, "denoising steps"),
    ROW(NULL, "--cfg-scale", "X", PAINTING | RT_NEEDS_GUIDANCE, REAL(1000), cfg_scale,
        "guidance; 1 and below switches it off"),
    ROW(NULL, "--guidance-rescale", "X", GUIDED | RT_NEEDS_PAIR, REAL(1), guidance_rescale,
        "0 to 1: against overexposed pictures of a high guidance (default 0)"),
    ROW("-i", "--init-img", "FILE", FILES | RT_NEEDS_PICTURES, TEXT, init_image,
        "PNG to begin from, instead of noise alone"),
    ROW(NULL, "--strength", "X", INIT | RT_NEEDS_STRENGTH, REAL(1), strength,
        "with -i: 0.7 runs the last 70 % of the steps; from above 0 (almost the picture) to 1 (a "
        "new one)"),
    ROW(NULL, "--mask", "FILE", INIT | RT_NEEDS_MASKS, TEXT, mask,
        "with -i: PNG that is white where the picture is repainted"),
    ROW(NULL, "--depth", "FILE", INIT | RT_NEEDS_DEPTH, TEXT, depth,
        "with -i: depth map, bright is near (depth models)"),
    ROW(NULL, "--ip-image", "FILE[:SCALE]", PICTURES | RT_NEEDS_REFERENCES | RT_OPTION_REPEATS,
        OWN(add_reference), references,
        "PNG beside the prompt (IP-Adapter), SCALE times as strong; may be repeated"),
    ROW(NULL, "--no-upscale", NULL, PAINTING | RT_NEEDS_UPSCALER, FLAG, no_upscale,
        "leave pictures as they are painted, without the program's upscaler"),
    ROW(NULL, "--noise-level", "N", INIT | RT_NEEDS_SMALL, OPEN(0), noise_level,
        "with -i: noise put on the picture that is painted larger (upscalers)"),
    ROW(NULL, "--control", "FILE[:SCALE[:START:STOP]]",
        PAINTING | RT_NEEDS_CONTROLS | RT_OPTION_REPEATS, OWN(add_control), controls,
        "PNG that controls the picture, for a ControlNet or T2I-Adapter; once for each of them, in "
        "their order. SCALE: how strongly (default 1, 0 = not at all); START, STOP: in which part "
        "of "
        "the steps, 0 to 1"),
    ROW(NULL, "--control-canny", NULL, PAINTING | RT_NEEDS_CONTROL | RT_OPTION_REPEATS,
        OWN(set_canny), controls,
        "the edges of the --control before it control, by Canny; --control-canny=LOW:HIGH sets the "
        "thresholds (default 100:200)"),
    ROW(NULL, "--guess-mode", NULL, PAINTING | RT_NEEDS_CONTROL | RT_NEEDS_GUESSING, FLAG,
        guess_mode,
        "ControlNets guess without a prompt: they control the half with the prompt only"),
    ROW("-s", "--seed", "N", PAINTING, OWN(set_seed), seed,
        "seed of the noise, the same picture as torch's CPU generator; -1 = random (default 42)"),
    ROW("-b", "--batch-count", "COUNT", PAINTING, OPEN(1), count,
        "pictures for each prompt; picture i takes seed + i"),
    ROW(NULL, "--grid", "COLUMNS", PAINTING, WHOLE(1), grid,
        "all pictures in one file, side by side"),
    ROW("-W", "--width", "N", PAINTING, WHOLE(1), width,
        "width in pixels (sizes are fixed when the model is compiled)"),
    ROW("-H", "--height", "N", PAINTING, WHOLE(1), height, "height in pixels"),
    ROW(NULL, "--sampling-method", "NAME", PAINTING, TEXT, sampler,
        "another sampler than the model's"),
    ROW(NULL, "--eta", "X", PAINTING | RT_NEEDS_ETA, REAL(1000), eta,
        "noise of the DDIM sampler, 0 to 1"),
    ROW("-t", "--threads", "N", ALWAYS, UP_TO(RT_MAX_THREADS), threads,
        "threads (default: what affinity, cgroup and cores allow); never changes the picture"),
    ROW(NULL, "--cpu-level", "NAME", ALWAYS, TEXT, cpu_level,
        "run the code of a lower CPU level of this program"),
    ROW(NULL, "--no-cpu-check", NULL, RT_NEEDS_CPU_LEVEL, FLAG, no_cpu_check,
        "with --cpu-level: even if the CPU lacks what the level needs (for emulators)"),
    ROW(NULL, "--profile", "FILE", ALWAYS, TEXT, profile,
        "write a Chrome trace of the run, and a table of the ops to standard error"),
    ROW(NULL, "--profile-steps", "N", RT_NEEDS_PROFILE, WHOLE(1), profile_steps,
        "calls of a function that the trace holds op by op (default 2; with --bench all); sums are "
        "of "
        "all"),
    ROW(NULL, "--bench", NULL, ALWAYS, OWN(set_bench), bench,
        "time every function on made-up inputs; --bench=json prints one object a function"),
    ROW(NULL, "--function", "NAME", RT_NEEDS_BENCH, TEXT, bench_function,
        "with --bench: this function only"),
    ROW(NULL, "--cold", NULL, RT_NEEDS_BENCH, FLAG, bench_cold,
        "with --bench: also with weights in turn from copies that no cache holds together"),
    ROW(NULL, "--runs", "N", RT_NEEDS_BENCH, WHOLE(1), bench_runs,
        "with --bench: runs of each function (default 20)"),
    ROW(NULL, "--partition", "N", RT_NEEDS_BENCH, UP_TO(RT_MAX_THREADS), bench_partition,
        "with --bench: work is cut as for N threads, whose shares the threads do in turn"),
    ROW(NULL, "--call", "NAME", RT_NEEDS_NO_BENCH, TEXT, call,
        "run one network on tensors from standard input (docs/program.md)"),
    ROW(NULL, "--dump-values", "FILE", RT_NEEDS_CALL, TEXT, dump_values,
        "with --call: write every function's inputs, arena and outputs"),
    ROW(NULL, "--build-info", NULL, ALWAYS, FLAG, build_info,
        "what this program was compiled from and for"),
    ROW(NULL, "--no-metadata", NULL, ALWAYS, FLAG, no_metadata, "no text in the PNG"),
    ROW(NULL, "--progress", "auto|bar|plain|none", ALWAYS, OWN(set_progress), progress,
        "how progress is shown on standard error"),
    ROW("-q", "--quiet", NULL, ALWAYS, FLAG, quiet, "no progress, no notes"),
    ROW("-v", "--verbose", NULL, ALWAYS, FLAG, verbose, "say what was chosen and why"),
    ROW("-h", "--help", NULL, ALWAYS, FLAG, help, "this text"),
    ROW(NULL, "--man", NULL, ALWAYS, OWN(refuse_manual), help, NULL),
    ROW(NULL, "--version", NULL, ALWAYS, FLAG, version,
        "version of the compiler that made this program"),
};

_Static_assert(sizeof rows / sizeof *rows <= RT_OPTION_ROWS_MAX, "rt_options.given");

static void count_given(void *options, size_t row) {
    rt_options *o = options;
    if (o->given[row] < 255) o->given[row]++;
}

/* Options of the compiler, and what other programs that paint call ours. */
#define COMPILED(name, what) {name, what " when the program is compiled: ebru compile " name}
static const base_option_advice advice[] = {
    COMPILED("--size", "the size is chosen"),
    COMPILED("--controlnet", "ControlNets are put in"),
    COMPILED("--t2i-adapter", "T2I-Adapters are put in"),
    COMPILED("--ip-adapter", "IP-Adapters are put in"),
    COMPILED("--upscaler", "an upscaler is put in"),
    COMPILED("--precision", "the precision is chosen"),
    COMPILED("--batch", "the number of pictures at once is chosen"),
    COMPILED("--clip-skip", "layers are skipped"),
    COMPILED("--prompt-chunks", "the length of prompts is chosen"),
    COMPILED("--prediction", "the prediction is named"),
    COMPILED("--sampler", "the sampler of the model is chosen"),
    COMPILED("--scheduler-config", "the sampler's settings are chosen"),
    COMPILED("--weights", "the place of the weights is chosen"),
    {"--num-inference-steps", "--steps is the number of steps"},
    {"--num_inference_steps", "--steps is the number of steps"},
    {"--guidance-scale", "--cfg-scale is the guidance"},
    {"--guidance_scale", "--cfg-scale is the guidance"},
};
#undef COMPILED

const base_option_table rt_option_table = {
    rows,   sizeof rows / sizeof *rows,    refuse_operand, count_given, NULL, NULL, NULL,
    advice, sizeof advice / sizeof *advice};

rt_status rt_options_parse(rt_options *o, int argc, char **argv, rt_error *err) {
    char error[BASE_OPTION_ERROR_MAX];
    *o = (rt_options){.seed = 42,
                      .cfg_scale = -1,
                      .eta = -1,
                      .strength = -1,
                      .noise_level = -1,
                      .count = 1,
                      .bench_runs = 20};
    if (argc > 1 && !base_options_parse(&rt_option_table, EVERY, o, argc - 1, argv + 1, error))
        return rt_fail(err, RT_ERR_USAGE, "%s", error);
    if (o->quiet) o->progress = RT_PROGRESS_NONE;
    return RT_OK;
}

void rt_options_free(rt_options *o) {
    for (int i = 0; i < o->control_count; i++) free(o->controls[i].file);
    o->control_count = 0;
    free(o->prompts);
    free(o->references);
    o->prompts = o->references = NULL;
}

void rt_options_print(FILE *out) {
    fputs("Options:\n", out);
    base_options_print(out, &rt_option_table, EVERY, 32);
}
