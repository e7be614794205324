/* The program's main work: requests from the command line, pictures to PNG files with the text
 * others read back. */
#include "base/suggest.h"
#include "runtime/cli/program.h"

#include "runtime/cli/paint_pictures.h"
#include "runtime/image/png_writer.h"
#include "runtime/text/prompt_weights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROMPT_LIMIT  (1u << 20) /* bytes of one prompt file */
#define PICTURE_LIMIT 10000      /* of one run; a grid holds them in memory until all are painted */

struct job {
    rt_engine *engine;
    const rt_options *o;
    rt_pipeline_info info;
    rt_settings settings;
    rt_request *requests;
    char **texts; /* owned prompt texts */
    int count, text_count;
    uint64_t seed;
    uint8_t *grid; /* all pictures, one after another, with --grid; else NULL */
};

static rt_status read_stream(FILE *f, const char *name, char **out, size_t *length, rt_error *err) {
    char *text = malloc(PROMPT_LIMIT + 1);
    if (!text) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    size_t n = fread(text, 1, PROMPT_LIMIT + 1, f);
    if (ferror(f) || n > PROMPT_LIMIT) {
        free(text);
        return n > PROMPT_LIMIT
                   ? rt_fail(err, RT_ERR_INPUT, "the prompt in %s is longer than %u bytes", name,
                             PROMPT_LIMIT)
                   : rt_fail(err, RT_ERR_SYSTEM, "cannot read %s: %s", name, strerror(errno));
    }
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r')) n--;
    text[n] = '\0';
    *out = text;
    *length = n;
    return RT_OK;
}

/* The text of a prompt option: itself, "@file", or "-". */
static rt_status prompt_text(const char *given, char **out, size_t *length, rt_error *err) {
    if (!strcmp(given, "-")) return read_stream(stdin, "standard input", out, length, err);
    if (given[0] == '@') {
        FILE *f = fopen(given + 1, "r");
        if (!f)
            return rt_fail(err, RT_ERR_SYSTEM, "cannot open the prompt file '%.200s': %s",
                           given + 1, strerror(errno));
        rt_status s = read_stream(f, given + 1, out, length, err);
        fclose(f);
        return s;
    }
    *length = strlen(given);
    *out = strdup(given);
    return *out ? RT_OK : rt_fail(err, RT_ERR_SYSTEM, "out of memory");
}

static rt_status add_request(struct job *j, rt_request r, rt_error *err) {
    if (j->count > PICTURE_LIMIT - j->o->count)
        return rt_fail(err, RT_ERR_USAGE, "more than %d pictures in one run", PICTURE_LIMIT);
    rt_request *grown = realloc(j->requests, sizeof *grown * (size_t)(j->count + j->o->count));
    if (!grown) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    j->requests = grown;
    for (int i = 0; i < j->o->count; i++) {
        r.seed = j->seed + (uint64_t)i;
        grown[j->count++] = r;
    }
    return RT_OK;
}

/* Told for all prompts before the first picture is painted. */
static rt_status check_weights(const struct job *j, const char *text, size_t length,
                               rt_error *err) {
    rt_prompt prompt;
    if (!j->o->weights || !text) return RT_OK;
    rt_status s = rt_prompt_parse(text, length, &prompt, err);
    if (!s) rt_prompt_free(&prompt);
    return s;
}

static rt_status text_requests(struct job *j, rt_error *err) {
    if (!j->o->prompt_count)
        return rt_fail(err, RT_ERR_USAGE, "nothing to paint: give a prompt with -p");
    j->texts = calloc((size_t)j->o->prompt_count, sizeof *j->texts);
    if (!j->texts) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    for (int i = 0; i < j->o->prompt_count; i++) {
        rt_request r = {.negative = j->o->negative};
        if (r.negative) r.negative_length = strlen(r.negative);
        rt_status s = prompt_text(j->o->prompts[i], &j->texts[i], &r.prompt_length, err);
        if (s) return s;
        j->text_count = i + 1;
        r.prompt = j->texts[i];
        s = check_weights(j, r.prompt, r.prompt_length, err);
        if (!s) s = check_weights(j, r.negative, r.negative_length, err);
        if (!s) s = add_request(j, r, err);
        if (s) return s;
    }
    return RT_OK;
}

/* Digits at p as a number, -1 when there are none; *end is what follows. */
static long class_number(const char *p, char **end) {
    *end = (char *)p;
    return *p >= '0' && *p <= '9' ? strtol(p, end, 10) : -1;
}

static rt_status unknown_class(const struct job *j, const char *name, rt_error *err) {
    enum { MOST = 1000 };
    const char *names[MOST];
    char hint[BASE_HINT_MAX];
    int count = 0;
    for (int i = 0; i < j->info.classes && i < MOST; i++) {
        const char *known = rt_meta_class_name(j->engine->model->tables, i);
        if (known) names[count++] = known;
    }
    return rt_fail(err, RT_ERR_USAGE, "--class: '%s' is no class; this model has 0 to %d%s", name,
                   j->info.classes - 1, base_hint(base_suggest(name, names, (size_t)count), hint));
}

/* One class of a list: a number, a range or a name. */
static rt_status add_classes(struct job *j, const char *word, size_t n, rt_error *err) {
    int first = rt_class_by_name(j->engine->model->tables, word, n), last = first;
    if (first < 0) {
        char copy[64], *end;
        if (!n || n >= sizeof copy)
            return rt_fail(err, RT_ERR_USAGE, "--class: '%.*s' is no class", (int)(n < 60 ? n : 60),
                           word);
        memcpy(copy, word, n);
        copy[n] = '\0';
        long a = class_number(copy, &end), b = a;
        if (a >= 0 && *end == '-') b = class_number(end + 1, &end);
        if (a < 0 || *end || a > b || b >= j->info.classes) return unknown_class(j, copy, err);
        first = (int)a, last = (int)b;
    }
    for (int c = first; c <= last; c++) {
        rt_status s = add_request(j, (rt_request){.class_label = c}, err);
        if (s) return s;
    }
    return RT_OK;
}

static rt_status class_requests(struct job *j, rt_error *err) {
    const char *p = j->o->classes;
    if (!p)
        return rt_fail(err, RT_ERR_USAGE, "nothing to paint: give a class with --class (0 to %d)",
                       j->info.classes - 1);
    for (;;) {
        size_t n = strcspn(p, ",");
        rt_status s = add_classes(j, p, n, err);
        if (s || !p[n]) return s;
        p += n + 1;
    }
}

static rt_status check_size(const struct job *j, rt_error *err) {
    const rt_options *o = j->o;
    if ((o->width && o->width != j->info.width) || (o->height && o->height != j->info.height))
        return rt_fail(
            err, RT_ERR_USAGE,
            "this program paints %dx%d pixels; compile with --size=%dx%d for another size",
            j->info.width, j->info.height, o->width ? o->width : j->info.width,
            o->height ? o->height : j->info.height);
    if (o->prompt_count && j->info.kind != EBRU_PIPELINE_TEXT)
        return rt_fail(err, RT_ERR_USAGE, "this model takes no prompt");
    if (o->classes && j->info.kind != EBRU_PIPELINE_CLASS)
        return rt_fail(err, RT_ERR_USAGE, "this model has no classes");
    return rt_pictures_check(o, &j->info, err);
}

static void choose_settings(struct job *j) {
    const rt_options *o = j->o;
    rt_settings *s = &j->settings;
    if (o->eta >= 0) s->sampler.eta = o->eta;
    s->steps = o->steps ? o->steps : j->info.default_steps;
    s->guidance = o->cfg_scale >= 0 ? o->cfg_scale : j->info.default_guidance;
    s->guidance_rescale = o->guidance_rescale;
    s->strength = o->strength >= 0 ? o->strength : o->mask ? 1.0 : j->info.default_strength;
    s->noise_level = o->noise_level >= 0 ? o->noise_level : j->info.noise_level;
    s->weighted = o->weights;
    s->quiet = o->quiet;
}

/* --sampling-method, by name or class: one that can run this model. */
static rt_status choose_sampler(struct job *j, const char *name, rt_error *err) {
    const char *names[RT_SAMPLER_COUNT];
    char hint[BASE_HINT_MAX], list[256] = "";
    size_t used = 0;
    for (int i = 0; i < RT_SAMPLER_COUNT; i++) {
        names[i] = rt_sampler_name((rt_sampler_id)i);
        if (rt_sampler_fits(&j->info.sampler, (rt_sampler_id)i, NULL) != RT_OK) continue;
        int n = snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", names[i]);
        used += n > 0 && used + (size_t)n < sizeof list ? (size_t)n : 0;
    }
    int id = rt_sampler_by_name(name);
    if (id < 0) id = rt_sampler_by_class(name);
    if (id < 0) {
        base_hint(base_suggest(name, names, RT_SAMPLER_COUNT), hint);
        return rt_fail(err, RT_ERR_USAGE, "unknown sampler '%.60s'%s (for this model: %s)", name,
                       hint, list);
    }
    rt_error why;
    if (rt_sampler_fits(&j->info.sampler, (rt_sampler_id)id, &why) != RT_OK)
        return rt_fail(err, RT_ERR_USAGE, "%.300s (for this model: %s)", why.message, list);
    j->settings.sampler = rt_sampler_switch(&j->info.sampler, (rt_sampler_id)id);
    return RT_OK;
}

/* Told before the work; a picture to begin from may allow fewer. */
static rt_status check_steps(const struct job *j, rt_error *err) {
    const rt_settings *s = &j->settings;
    const int most = rt_sampler_most_steps(&s->sampler);
    char otherwise[60] = "";
    if (s->steps <= most) return RT_OK;
    if (!j->o->steps)
        snprintf(otherwise, sizeof otherwise, "; the model's default is %d", s->steps);
    return rt_fail(err, RT_ERR_USAGE, "--steps: the sampler %s of this model allows 1 to %d%s",
                   rt_sampler_name((rt_sampler_id)s->sampler.sampler), most, otherwise);
}

static rt_status prepare(struct job *j, rt_error *err) {
    const rt_options *o = j->o;
    rt_status s = rt_pipeline_read(&j->info, j->engine->model->tables, err);
    if (s) return s;
    if (j->info.kind == EBRU_PIPELINE_NONE)
        return rt_fail(err, RT_ERR_USAGE,
                       "this program holds networks but no pipeline: use --call or --bench");
    s = check_size(j, err);
    if (s) return s;
    j->seed = o->seed;
    if (o->seed_random) {
        uint32_t random;
        if (getrandom(&random, sizeof random, 0) != sizeof random)
            return rt_fail(err, RT_ERR_SYSTEM, "no random numbers");
        j->seed = random;
        fprintf(stderr, "seed: %llu\n", (unsigned long long)j->seed);
    }
    j->settings.sampler = j->info.sampler;
    if (o->sampler) {
        s = choose_sampler(j, o->sampler, err);
        if (s) return s;
    }
    choose_settings(j);
    s = check_steps(j, err);
    if (s) return s;
    if (j->info.kind == EBRU_PIPELINE_TEXT) return text_requests(j, err);
    if (j->info.kind == EBRU_PIPELINE_CLASS) return class_requests(j, err);
    return add_request(j, (rt_request){0}, err);
}

static void picture_parameters(const struct job *j, FILE *f) {
    const rt_settings *s = &j->settings;
    if (s->guidance_rescale > 0) fprintf(f, "Guidance rescale: %g, ", s->guidance_rescale);
    if (s->weighted) fprintf(f, "Prompt weights: on, ");
    if (j->info.condition == EBRU_CONDITION_LOW_RESOLUTION)
        fprintf(f, "Noise level: %d, ", s->noise_level);
    else if (j->o->init_image)
        fprintf(f, "Denoising strength: %g, ", s->strength);
    if (j->o->mask) fprintf(f, "Mask: on, ");
    if (j->o->depth) fprintf(f, "Depth map: on, ");
}

/* The text that other tools read back from a picture: prompt, negative prompt, settings. Owned by
 * the caller. */
static char *parameters(const struct job *j, const rt_request *r) {
    const struct ebru_model *t = j->engine->model->tables;
    char *out = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&out, &size);
    if (!f) return NULL;
    if (r->prompt) fprintf(f, "%.*s\n", (int)r->prompt_length, r->prompt);
    if (r->prompt && r->negative_length) fprintf(f, "Negative prompt: %s\n", r->negative);
    fprintf(f, "Steps: %d, Sampler: %s, ", j->settings.steps,
            rt_sampler_label((rt_sampler_id)j->settings.sampler.sampler));
    if (r->prompt) fprintf(f, "CFG scale: %g, ", j->settings.guidance);
    picture_parameters(j, f);
    if (!r->prompt && j->info.classes) fprintf(f, "Class: %d, ", r->class_label);
    if (rt_meta_has(t, EBRU_META_PRECISION.name))
        fprintf(f, "Precision: %s, ", rt_meta_string(t, EBRU_META_PRECISION));
    fprintf(f, "Seed: %llu, Size: %dx%d, Model: %s, RNG: torch-cpu, Version: ebru %s",
            (unsigned long long)r->seed, j->info.width, j->info.height,
            rt_meta_string(t, EBRU_META_MODEL_NAME), rt_meta_string(t, EBRU_META_EBRU_VERSION));
    return fclose(f) ? NULL : out;
}

static bool is_number_pattern(const char *s) {
    const char *p = strstr(s, "%");
    if (!p) return false;
    size_t n = strspn(p + 1, "0123456789");
    return p[1 + n] == 'd' && n <= 2 && !strchr(p + 1, '%');
}

/* Name of picture i: the -o name, numbered before its ending when there are several; a pattern with
 * %04d is kept. */
static void file_name(const struct job *j, int i, char *out, size_t size) {
    const char *o = j->o->output;
    bool several = j->count > 1 && !j->o->grid;
    if (!o) {
        struct stat st;
        for (int n = 1; n < 100000; n++) {
            if (n == 1 && !several)
                snprintf(out, size, "output.png");
            else
                snprintf(out, size, "output-%04d.png", n);
            if (lstat(out, &st)) return;
        }
    } else if (is_number_pattern(o)) {
        const char *p = strchr(o, '%');
        size_t digits = strspn(p + 1, "0123456789");
        int width = digits ? atoi(p + 1) : 0;
        snprintf(out, size, "%.*s%0*d%s", (int)(p - o), o, width, i + 1, p + 2 + digits);
    } else if (several && strcmp(o, "-") != 0) {
        const char *dot = strrchr(o, '.'), *slash = strrchr(o, '/');
        if (!dot || (slash && dot < slash) || dot == o) dot = o + strlen(o);
        snprintf(out, size, "%.*s-%04d%s", (int)(dot - o), o, i + 1, dot);
    } else {
        snprintf(out, size, "%s", o);
    }
}

static rt_status write_file(const struct job *j, int index, const uint8_t *pixels, uint32_t columns,
                            uint32_t rows, rt_error *err) {
    char name[4200];
    file_name(j, index, name, sizeof name);
    char *text = j->o->no_metadata ? NULL : parameters(j, &j->requests[index]);
    rt_png_text chunk = {"parameters", text};
    /* a name that the user did not write out */
    struct stat st;
    bool replaces = j->count > 1 && !j->grid && strcmp(name, "-") != 0 && !lstat(name, &st) &&
                    S_ISREG(st.st_mode);
    rt_progress_phase(j->settings.progress, "write", 0);
    rt_profile_phase(j->engine->profile, "write");
    rt_status s =
        rt_png_write(name, pixels, (uint32_t)j->info.width * columns,
                     (uint32_t)j->info.height * rows, j->info.channels, &chunk, text ? 1 : 0, err);
    free(text);
    rt_progress_close(j->settings.progress);
    if (!s && !j->o->quiet)
        fprintf(stderr, "wrote %s%s\n", name, replaces ? ", in place of an earlier file" : "");
    return s;
}

/* A picture is written when it is finished: what a long run has painted is there when it is
 * interrupted. */
static rt_status picture_finished(void *user, int index, const uint8_t *pixels, rt_error *err) {
    const struct job *j = user;
    size_t plane = (size_t)j->info.width * (size_t)j->info.height * (size_t)j->info.channels;
    if (!j->grid) return write_file(j, index, pixels, 1, 1, err);
    memcpy(j->grid + (size_t)index * plane, pixels, plane);
    return RT_OK;
}

static rt_status write_grid(const struct job *j, rt_error *err) {
    uint32_t w = (uint32_t)j->info.width, h = (uint32_t)j->info.height;
    uint32_t columns = (uint32_t)(j->o->grid < j->count ? j->o->grid : j->count);
    uint32_t rows = ((uint32_t)j->count + columns - 1) / columns;
    uint8_t *pixels = malloc((size_t)w * h * (size_t)j->info.channels * columns * rows);
    if (!pixels) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    rt_image_grid(j->grid, (size_t)j->count, h, w, j->info.channels, columns, pixels);
    rt_status s = write_file(j, 0, pixels, columns, rows, err);
    free(pixels);
    return s;
}

rt_status rt_output_check(const char *path, rt_error *err) {
    char dir[4200];
    if (!*path || strlen(path) >= sizeof dir)
        return rt_fail(err, RT_ERR_USAGE, "the name of the output is %s",
                       *path ? "too long" : "empty");
    strcpy(dir, path);
    char *slash = strrchr(dir, '/');
    if (slash) slash[slash == dir] = '\0';
    struct stat st;
    bool exists = !stat(path, &st);
    if (exists && S_ISDIR(st.st_mode))
        return rt_fail(err, RT_ERR_SYSTEM, "cannot write '%.300s': it is a directory", path);
    bool device = exists && !S_ISREG(st.st_mode); /* written to, not replaced */
    if (device ? access(path, W_OK) : access(slash ? dir : ".", W_OK | X_OK))
        return rt_fail(err, RT_ERR_SYSTEM, "cannot write '%.300s': %s", path, strerror(errno));
    return RT_OK;
}

static rt_status check_output(const struct job *j, rt_error *err) {
    const char *o = j->o->output;
    if (!o) o = "output.png";
    if (strcmp(o, "-") != 0) return rt_output_check(o, err);
    if (j->count > 1 && !j->o->grid)
        return rt_fail(err, RT_ERR_USAGE,
                       "standard output takes one picture; give --grid, or a name with -o");
    if (isatty(1))
        return rt_fail(err, RT_ERR_USAGE, "standard output is a terminal; not writing a PNG to it");
    return RT_OK;
}

rt_status rt_program_paint(rt_engine *e, const rt_options *o, rt_error *err) {
    struct job j = {.engine = e, .o = o};
    rt_progress progress;
    rt_progress_open(&progress, 2, o->progress);
    j.settings.progress = &progress;
    j.settings.finished = picture_finished;
    j.settings.user = &j;
    rt_status s = rt_png_available(err);
    if (!s) s = prepare(&j, err);
    if (!s) s = check_output(&j, err);
    if (!s) s = rt_pictures_read(&j.settings.pictures, o, &j.info, err);
    if (!s && o->grid) {
        size_t plane = (size_t)j.info.width * (size_t)j.info.height * (size_t)j.info.channels;
        j.grid = malloc(plane * (size_t)j.count);
        if (!j.grid) s = rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    }
    if (!s) s = rt_denoise(e, &j.info, j.requests, j.count, &j.settings, err);
    if (!s && j.grid) s = write_grid(&j, err);
    rt_progress_close(&progress);
    rt_pictures_free(&j.settings.pictures);
    free(j.grid);
    free(j.requests);
    for (int i = 0; i < j.text_count; i++) free(j.texts[i]);
    free(j.texts);
    return s;
}
