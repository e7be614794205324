/* The program's main work: requests from the command line, pictures to PNG files with the text
 * others read back. */
#include "base/suggest.h"
#include "runtime/cli/program.h"

#include "runtime/cli/option_effects.h"
#include "runtime/cli/paint/paint_parameters.h"
#include "runtime/cli/paint/paint_pictures.h"
#include "runtime/cli/paint/paint_prompts.h"
#include "runtime/cli/paint/picture_names.h"
#include "runtime/image/png_writer.h"
#include "runtime/text/unicode.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define PICTURE_LIMIT 10000 /* of one run; a grid holds them in memory until all are painted */

struct job {
    rt_engine *engine;
    const rt_options *o;
    rt_pipeline_info info;
    rt_settings settings;
    rt_request *requests;
    char **texts; /* owned prompt texts */
    int count, text_count;
    int painted; /* pictures in `grid` */
    uint64_t seed;
    bool *flagged;  /* of each request, by the safety checker */
    uint8_t *grid;  /* all pictures, one after another, with --grid; else NULL */
    uint8_t *sheet; /* room for the picture of all of them */
};

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

/* Prompts in the order given, behind them the negative one. */
static rt_status read_prompts(struct job *j, size_t *lengths, rt_error *err) {
    const rt_options *o = j->o;
    bool input_read = false;
    for (int i = 0; i < o->prompt_count + (o->negative != NULL); i++) {
        bool negative = i == o->prompt_count;
        rt_prompt_source from = {.option = negative ? "--negative-prompt" : "--prompt",
                                 .given = negative ? o->negative : o->prompts[i],
                                 .weighted = o->weights,
                                 .quiet = o->quiet};
        rt_status s = rt_prompt_read(&from, &input_read, &j->texts[i], &lengths[i], err);
        if (s) return s;
        j->text_count = i + 1;
    }
    return RT_OK;
}

static rt_status text_requests(struct job *j, rt_error *err) {
    int count = j->o->prompt_count;
    if (!count) return rt_fail(err, RT_ERR_USAGE, "nothing to paint: give a prompt with -p");
    j->texts = calloc((size_t)count + 1, sizeof *j->texts);
    size_t *lengths = calloc((size_t)count + 1, sizeof *lengths);
    rt_status s = j->texts && lengths ? read_prompts(j, lengths, err)
                                      : rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    for (int i = 0; i < count && !s; i++) {
        rt_request r = {.prompt = j->texts[i], .prompt_length = lengths[i]};
        if (j->o->negative) {
            r.negative = j->texts[count];
            r.negative_length = lengths[count];
        }
        s = add_request(j, r, err);
    }
    free(lengths);
    return s;
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
    return RT_OK;
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
    for (int i = 0; i < o->control_count && i < RT_MAX_CONTROLS; i++) {
        const rt_control_option *c = &o->controls[i];
        s->controls[i] = (rt_control_setting){c->scaled ? c->scale : j->info.controls[i].scale,
                                              c->start, c->stop};
    }
    s->guess_mode = o->guess_mode;
    s->weighted = o->weights;
    s->upscale = j->info.upscaler && !o->no_upscale;
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

/* What was asked for must do something, and what the model needs must be there. */
static rt_status check_options(const struct job *j, rt_error *err) {
    const rt_option_context c = {.options = j->o,
                                 .info = &j->info,
                                 .guidance = j->settings.guidance,
                                 .sampler = (rt_sampler_id)j->settings.sampler.sampler};
    rt_status s = rt_options_check(&c, err);
    return s ? s : rt_pictures_check(j->o, &j->info, err);
}

static rt_status prepare(struct job *j, rt_error *err) {
    const rt_options *o = j->o;
    rt_status s = rt_pipeline_read(&j->info, j->engine->model->tables, err);
    if (s) return s;
    if (j->info.kind == EBRU_PIPELINE_NONE)
        return rt_fail(err, RT_ERR_USAGE,
                       "this program holds networks but no pipeline: use --call or --bench");
    if (j->info.kind == EBRU_PIPELINE_UPSCALE) return check_options(j, err);
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
    if (!s) s = check_options(j, err);
    if (s) return s;
    if (j->info.kind == EBRU_PIPELINE_TEXT) return text_requests(j, err);
    if (j->info.kind == EBRU_PIPELINE_CLASS) return class_requests(j, err);
    return add_request(j, (rt_request){0}, err);
}

/* Of what is written. */
static uint32_t out_width(const struct job *j) {
    return (uint32_t)(j->info.width * (j->settings.upscale ? j->info.upscale : 1));
}

static uint32_t out_height(const struct job *j) {
    return (uint32_t)(j->info.height * (j->settings.upscale ? j->info.upscale : 1));
}

static rt_names file_names(const struct job *j) {
    return (rt_names){j->o->output, j->grid ? 1 : j->count};
}

static char *parameters(const struct job *j, int index) {
    const rt_painting painting = {.tables = j->engine->model->tables,
                                  .options = j->o,
                                  .info = &j->info,
                                  .settings = &j->settings,
                                  .requests = j->requests,
                                  .flagged = j->info.safety_checker ? j->flagged : NULL,
                                  .count = j->count};
    return rt_parameters(&painting, index);
}

static rt_status write_file(const struct job *j, int index, const uint8_t *pixels, uint32_t columns,
                            uint32_t rows, rt_error *err) {
    char name[RT_NAME_MAX], shown[RT_PRINTABLE_MAX];
    const rt_names names = file_names(j);
    rt_names_get(&names, index, name);
    char *text = j->o->no_metadata ? NULL : parameters(j, index);
    rt_png_text chunk = {"parameters", text};
    /* a name that the user did not write out */
    struct stat st;
    bool replaces = j->count > 1 && !j->grid && strcmp(name, "-") != 0 && !lstat(name, &st) &&
                    S_ISREG(st.st_mode);
    rt_progress_phase(j->settings.progress, "write", 0);
    rt_profile_phase(j->engine->profile, "write");
    rt_output to;
    rt_status s = rt_output_begin(&to, name, err);
    if (!s)
        s = rt_names_format(&names)->encode(&to, pixels, out_width(j) * columns,
                                            out_height(j) * rows, j->info.channels, &chunk,
                                            text ? 1 : 0, err);
    if (!s) s = rt_names_commit(&names, &to, name, err);
    free(text);
    rt_progress_close(j->settings.progress);
    if (!s && !j->o->quiet)
        fprintf(stderr, "wrote %s%s\n", rt_printable(name, shown),
                replaces ? ", in place of an earlier file" : "");
    return s;
}

/* A picture is written when it is finished: what a long run has painted is there when it is
 * interrupted. */
static rt_status picture_finished(void *user, int index, const uint8_t *pixels, rt_error *err) {
    struct job *j = user;
    if (j->flagged && j->flagged[index]) { /* also with --quiet: it is no note */
        rt_progress_close(j->settings.progress);
        fprintf(stderr, "warning: the safety checker flags picture %d of %d%s\n", index + 1,
                j->count, j->info.safety_black ? ": it is black" : "");
    }
    size_t plane = (size_t)out_width(j) * out_height(j) * (size_t)j->info.channels;
    if (!j->grid) return write_file(j, index, pixels, 1, 1, err);
    memcpy(j->grid + (size_t)index * plane, pixels, plane);
    j->painted = index + 1;
    return RT_OK;
}

/* How the pictures stand in a file of all of them. */
static void grid_size(const struct job *j, uint32_t *columns, uint32_t *rows) {
    *columns = (uint32_t)(j->o->grid < j->count ? j->o->grid : j->count);
    *rows = ((uint32_t)j->count + *columns - 1) / *columns;
}

static rt_status write_grid(const struct job *j, rt_error *err) {
    uint32_t w = out_width(j), h = out_height(j), columns, rows;
    grid_size(j, &columns, &rows);
    rt_image_grid(j->grid, (size_t)j->count, h, w, j->info.channels, columns, j->sheet);
    return write_file(j, 0, j->sheet, columns, rows, err);
}

/* ---- runs that end before their last picture ---- */

static volatile sig_atomic_t stop_signal;
/* Who asks a program to end, and lives long enough to wait for it. */
static const int stopping[] = {SIGINT, SIGTERM, SIGHUP};
enum { STOPPING = sizeof stopping / sizeof *stopping };

static void on_stop(int number) {
    stop_signal = number;
}

/* Until `end`, such a signal ends the painting of a grid after the step that runs; a second one
 * ends the program, as the first one does otherwise. */
static void begin_stopping(struct job *j, struct sigaction old[STOPPING]) {
    const struct sigaction act = {.sa_handler = on_stop,
                                  .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    for (int i = 0; i < STOPPING; i++)
        if (!sigaction(stopping[i], NULL, &old[i]) && old[i].sa_handler != SIG_IGN)
            sigaction(stopping[i], &act, NULL);
    j->settings.stop = &stop_signal;
}

static void end_stopping(const struct sigaction old[STOPPING]) {
    for (int i = 0; i < STOPPING; i++)
        if (old[i].sa_handler != SIG_IGN) sigaction(stopping[i], &old[i], NULL);
}

/* What a grid has when a signal or an error ends the run is not lost: it is a grid of that. */
static rt_status write_part(struct job *j, rt_error *err) {
    if (!j->painted) return RT_OK;
    if (!j->o->quiet) {
        rt_progress_close(j->settings.progress);
        fprintf(stderr, "note: the grid has the first %d of %d pictures\n", j->painted, j->count);
    }
    j->count = j->painted;
    return write_grid(j, err);
}

static rt_status paint_grid(struct job *j, rt_error *err) {
    struct sigaction old[STOPPING];
    rt_error late;
    begin_stopping(j, old);
    rt_status s = rt_denoise(j->engine, &j->info, j->requests, j->count, &j->settings, err);
    end_stopping(old);
    if (!s) return write_grid(j, err);
    if (write_part(j, &late)) fprintf(stderr, "error: %s\n", late.message);
    if (stop_signal) raise(stop_signal); /* ends as it would have ended without a grid */
    return s;
}

/* The memory that a grid needs, and whether there can be such a picture. */
static rt_status begin_grid(struct job *j, rt_error *err) {
    uint32_t columns, rows;
    const rt_names names = {j->o->output, 1};
    size_t plane = (size_t)out_width(j) * out_height(j) * (size_t)j->info.channels;
    grid_size(j, &columns, &rows);
    uint64_t width = (uint64_t)out_width(j) * columns, height = (uint64_t)out_height(j) * rows;
    rt_status s = rt_names_format(&names)->check(
        width < UINT32_MAX ? (uint32_t)width : UINT32_MAX,
        height < UINT32_MAX ? (uint32_t)height : UINT32_MAX, j->info.channels, err);
    if (s) return s;
    j->grid = malloc(plane * (size_t)j->count);
    j->sheet = malloc(plane * columns * rows);
    if (j->grid && j->sheet) return RT_OK;
    return rt_fail(err, RT_ERR_SYSTEM, "out of memory: a grid of %d pictures needs %zu bytes",
                   j->count, plane * (size_t)j->count + plane * columns * rows);
}

/* All files of the run can be written, as far as that is known. */
static rt_status check_output(const struct job *j, rt_error *err) {
    const rt_names names = {j->o->output, j->o->grid ? 1 : j->count};
    rt_status s = rt_names_check(&names, err);
    for (int i = 0; !s && j->o->profile && i < names.count; i++) {
        char name[RT_NAME_MAX];
        rt_names_get(&names, i, name);
        s = rt_output_apart("the picture", name, "--profile", j->o->profile, err);
    }
    if (s) return s;
    return rt_names_format(&names)->check(out_width(j), out_height(j), j->info.channels, err);
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
    if (!s && j.info.kind == EBRU_PIPELINE_UPSCALE)
        return rt_program_upscale(e, o, &j.info, &progress, err);
    if (!s) s = check_output(&j, err);
    if (!s && o->grid) s = begin_grid(&j, err);
    if (!s && !(j.flagged = calloc((size_t)j.count + 1, sizeof *j.flagged)))
        s = rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    j.settings.flagged = j.flagged;
    if (!s) s = rt_pictures_read(&j.settings.pictures, j.settings.reference_scale, o, &j.info, err);
    if (!s && j.grid)
        s = paint_grid(&j, err);
    else if (!s)
        s = rt_denoise(e, &j.info, j.requests, j.count, &j.settings, err);
    rt_progress_close(&progress);
    rt_pictures_free(&j.settings.pictures);
    free(j.grid);
    free(j.sheet);
    free(j.flagged);
    free(j.requests);
    for (int i = 0; i < j.text_count; i++) free(j.texts[i]);
    free(j.texts);
    return s;
}
