/* main() of every emitted program. The exit code is the status: 0 ok, 1 input, 2 usage, 3 I/O, 4 CPU, 70
 * internal error. */
#include "runtime/program.h"

#include "runtime/png_writer.h"
#include "runtime/samplers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void on_signal(int sig) {
    rt_png_remove_temp();
    _exit(128 + sig);
}

/* Mapped weights that cannot be read: somebody cut the file while we ran, or its disk fails. */
static void on_bus_error(int sig) {
    static const char text[] =
        "error: cannot read the weights: their file became shorter, or its disk fails\n";
    (void)sig;
    rt_png_remove_temp();
    if (write(2, text, sizeof text - 1) < 0) _exit(RT_ERR_SYSTEM);
    _exit(RT_ERR_SYSTEM);
}

/* A program started without standard streams must not get them as its own files' numbers: messages would end
 * up in a picture. */
static void keep_standard_streams(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd ? O_WRONLY : O_RDONLY) < 0)
            return;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void print_help(const char *program, const struct ebru_model *t) {
    rt_pipeline_info info;
    rt_error err;
    bool paints = !rt_pipeline_read(&info, t, &err) && info.kind != RT_PIPELINE_NONE;
    const char *about = rt_meta_string(t, "model.about", NULL);
    printf("%s: %s, compiled by ebru %s for", program, rt_meta_string(t, "model.name", "a model"),
           rt_meta_string(t, "ebru.version", "0"));
    for (int32_t i = 0; i < t->level_count; i++) printf("%s %s", i ? "," : "", t->levels[i].name);
    printf("\n");
    if (about) printf("%s\n", about);
    if (paints) {
        printf("Paints %dx%d pictures; %d steps, sampler %s", info.width, info.height, info.default_steps,
               rt_sampler_name((rt_sampler_id)info.sampler.sampler));
        if (info.kind == RT_PIPELINE_TEXT) printf(", guidance %g", info.default_guidance);
        if (info.image_input && info.condition == RT_CONDITION_LOW_RESOLUTION)
            printf(", noise level %d", info.noise_level);
        else if (info.image_input)
            printf(", strength %g", info.default_strength);
        static const char *const inputs[] = {"", " -i picture.png --mask mask.png",
                                             " -i picture.png --depth depth.png", " -i small.png"};
        printf("\n\nExample: ./%s %s%s -s 7 -o painted.png\n", program,
               info.kind == RT_PIPELINE_TEXT    ? "-p \"a red circle\""
               : info.kind == RT_PIPELINE_CLASS ? "--class 3"
                                                : "",
               inputs[info.condition]);
    }
    printf("\n");
    rt_options_print(stdout);
    printf("\nSamplers:");
    for (int i = 0; i < RT_SAMPLER_COUNT; i++) printf(" %s", rt_sampler_name((rt_sampler_id)i));
    printf("\nExit codes: 0 ok, 1 unusable input, 2 usage, 3 I/O, 4 CPU not supported, 70 internal error\n");
}

static void print_build_info(const struct ebru_model *t) {
    printf("%s", t->build_info ? t->build_info : "");
    for (int32_t i = 0; i < t->level_count; i++) printf("level: %s\n", t->levels[i].name);
    printf("weights: %llu bytes, %s, id ", (unsigned long long)t->weights_bytes,
           t->weights_place == EBRU_EMBED    ? "embedded"
           : t->weights_place == EBRU_APPEND ? "appended"
                                             : "external");
    for (int i = 0; i < 16; i++) printf("%02x", t->weights_id[i]);
    printf("\n");
    for (int32_t i = 0; i < t->function_count; i++) {
        const struct ebru_function_desc *f = &t->functions[i];
        printf("function: %s, batch %d, %d ops, arena %llu bytes, scratch %llu bytes a thread\n", f->name,
               f->batch, f->op_count, (unsigned long long)f->arena_bytes,
               (unsigned long long)f->scratch_bytes);
    }
    for (int32_t i = 0; i < t->meta_count; i++) {
        const struct ebru_meta_desc *m = &t->meta[i];
        if (m->kind == 0) printf("%s: %lld\n", m->key, (long long)m->i);
        if (m->kind == 1) printf("%s: %.9g\n", m->key, m->f);
        if (m->kind == 2) printf("%s: %s\n", m->key, m->s);
    }
}

static rt_status finish_profile(rt_engine *e, const rt_options *o, rt_error *err) {
    rt_status s = rt_profile_write(e->profile, e->model->tables, o->profile, err);
    rt_profile *p = e->profile;
    e->profile = NULL; /* the peak measurement is no part of it */
    const struct ebru_model *t = e->model->tables;
    if (!s) rt_profile_table(p, t, rt_peak_measure(e->pool, t, e->model->level->name).gflops, stderr);
    rt_profile_free(p);
    return s;
}

/* start: when main() began. */
static rt_status run(const rt_options *o, const struct timespec *start, rt_error *err) {
    rt_model model;
    rt_engine engine;
    /* said before the work, not after it */
    rt_status s = o->profile ? rt_output_check(o->profile, err) : RT_OK;
    if (!s) s = rt_model_open(&model, &ebru_model, o->cpu_level, o->no_cpu_check, err);
    if (s) return s;
    char reason[200] = "";
    int threads = o->threads ? o->threads : rt_threads_default(reason, sizeof reason);
    s = rt_engine_open(&engine, &model, threads, err);
    if (s) {
        rt_model_close(&model);
        return s;
    }
    if (o->verbose) {
        fprintf(stderr, "level %s, %d threads%s%s\n", model.level->name, threads, *reason ? ": " : "",
                reason);
        fprintf(stderr, "arena %zu bytes, scratch %zu bytes a thread\n", engine.arena_bytes,
                engine.scratch_bytes);
        engine.timed = true;
        engine.start = *start;
    }
    if (o->profile) s = rt_profile_new(&engine.profile, threads, err);
    if (!s && o->bench)
        s = rt_program_bench(&engine, o, err);
    else if (!s && o->call)
        s = rt_program_call(&engine, o->call, err);
    else if (!s)
        s = rt_program_paint(&engine, o, err);
    if (engine.profile && !s) s = finish_profile(&engine, o, err);
    rt_profile_free(engine.profile);
    rt_engine_close(&engine);
    rt_model_close(&model);
    return s;
}

int main(int argc, char **argv) {
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    keep_standard_streams();
    const char *program = argc > 0 ? base_name(argv[0]) : "program";
    struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    act.sa_handler = on_bus_error;
    sigaction(SIGBUS, &act, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is a write error, told as one */
    rt_options o;
    rt_error err = {""};
    rt_status s = rt_options_parse(&o, argc, argv, &err);
    if (!s && o.help)
        print_help(program, &ebru_model);
    else if (!s && o.version)
        printf("%s\n", rt_meta_string(&ebru_model, "ebru.version", "0"));
    else if (!s && o.build_info)
        print_build_info(&ebru_model);
    else if (!s)
        s = run(&o, &start, &err);
    if (!s && (fflush(stdout) || ferror(stdout)))
        s = rt_fail(&err, RT_ERR_SYSTEM, "cannot write to standard output");
    if (s) fprintf(stderr, "%s: error: %s\n", program, err.message);
    rt_options_free(&o);
    return (int)s;
}
