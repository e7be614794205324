/* main() of every emitted program. The exit code is the status: 0 ok, 1 input, 2 usage, 3 I/O, 4
 * CPU, 70 internal error. */
#include "runtime/cli/program.h"
#include "runtime/cli/output.h"

#include "base/system/io.h"
#include "base/system/output.h"
#include "base/system/stack.h"
#include "runtime/cli/lora_option.h"
#include "runtime/cli/option_effects.h"
#include "runtime/samplers/samplers.h"
#include "runtime/text/unicode.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Mapped weights that cannot be read: somebody cut the file while we ran, or its disk fails. */
static void on_bus_error(int sig, siginfo_t *info, void *context) {
    static const char text[] =
        "error: cannot read the weights: their file became shorter, or its disk fails\n";
    (void)context;
    base_output_remove_all();
    if (info->si_code <= 0) { /* sent by somebody */
        signal(sig, SIG_DFL);
        raise(sig);
        return;
    }
    if (write(2, text, sizeof text - 1) < 0) _exit(RT_ERR_SYSTEM);
    _exit(RT_ERR_SYSTEM);
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void print_help(const char *program, const struct ebru_model *t) {
    rt_pipeline_info info;
    rt_error err;
    bool paints = !rt_pipeline_read(&info, t, &err) && info.kind != EBRU_PIPELINE_NONE;
    const char *about = rt_meta_string(t, EBRU_META_MODEL_ABOUT);
    rt_print(stdout, program);
    printf(": ");
    rt_print(stdout, rt_meta_string(t, EBRU_META_MODEL_NAME));
    printf(", compiled by ebru ");
    rt_print(stdout, rt_meta_string(t, EBRU_META_EBRU_VERSION));
    printf(" for");
    for (int32_t i = 0; i < t->level_count; i++) printf("%s %s", i ? "," : "", t->levels[i].name);
    printf("\n");
    if (about) rt_print(stdout, about);
    if (about) printf("\n");
    if (paints && info.kind == EBRU_PIPELINE_UPSCALE) {
        printf(
            "Makes pictures %d times as high and wide, %dx%d pixels at a time\n\nExample: ./%s -i "
            "small.png -o large.png\n",
            info.upscale, info.width, info.height, program);
        paints = false;
    }
    if (paints) {
        printf("Paints %dx%d pictures; %d steps, sampler %s", info.width, info.height,
               info.default_steps, rt_sampler_name((rt_sampler_id)info.sampler.sampler));
        if (info.kind == EBRU_PIPELINE_TEXT) printf(", guidance %g", info.default_guidance);
        bool larger = info.condition == EBRU_CONDITION_LOW_RESOLUTION;
        if (info.image_input && larger && info.noise_level >= 0)
            printf(", noise level %d", info.noise_level);
        else if (info.image_input && !larger)
            printf(", strength %g", info.default_strength);
        static const char *const inputs[] = {"", " -i picture.png --mask mask.png",
                                             " -i picture.png --depth depth.png", " -i small.png"};
        printf("\n\nExample: ./%s %s%s -s 7 -o painted.png\n", program,
               info.kind == EBRU_PIPELINE_TEXT    ? "-p \"a red circle on a white background\""
               : info.kind == EBRU_PIPELINE_CLASS ? "--class 3"
                                                  : "",
               inputs[info.condition]);
    }
    printf("\n");
    rt_options_print(stdout);
    for (int i = 0; i < BASE_LORA_SLOTS && rt_meta_lora_name(t, i); i++) {
        printf(i ? ", " : "\nLoRAs: ");
        rt_print(stdout, rt_meta_lora_name(t, i));
    }
    if (rt_meta_lora_name(t, 0)) printf("\n");
    if (paints) printf("\nSamplers:");
    for (int i = 0; paints && i < RT_SAMPLER_COUNT; i++)
        if (rt_sampler_fits(&info.sampler, (rt_sampler_id)i, NULL) == RT_OK)
            printf(" %s", rt_sampler_name((rt_sampler_id)i));
    printf("\nExit codes: 0 ok, 1 unusable input, 2 usage, 3 I/O, 4 CPU not supported, 70 internal "
           "error\n");
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
        printf("function: ");
        rt_print(stdout, f->name);
        printf(", batch %d, %d ops, arena %llu bytes, scratch %llu bytes a thread\n", f->batch,
               f->op_count, (unsigned long long)f->arena_bytes,
               (unsigned long long)f->scratch_bytes);
    }
    for (int32_t i = 0; i < t->meta_count; i++) {
        const struct ebru_meta_desc *m = &t->meta[i];
        rt_print(stdout, m->key);
        if (m->kind == 0) printf(": %lld\n", (long long)m->i);
        if (m->kind == 1) printf(": %.9g\n", m->f);
        if (m->kind != 2) continue;
        printf(": ");
        rt_print(stdout, m->s);
        printf("\n");
    }
}

/* The program's name and its arguments, for the trace. */
struct invocation {
    const char *program;
    int argc;
    char **argv;
    struct timespec start; /* when main() began */
};

static rt_status finish_profile(rt_engine *e, const rt_options *o, const struct invocation *v,
                                rt_error *err) {
    rt_profile *p = e->profile;
    rt_profile_stop(p);
    e->profile = NULL; /* measuring the roofs is no part of it */
    rt_profile_about about = {
        .program = v->program,
        .level = e->model->level->name,
        .argc = v->argc,
        .argv = v->argv,
        .calls = o->profile_steps ? o->profile_steps
                 : o->bench       ? INT_MAX
                                  : 2,
        .roofs = {rt_peak_measure(e->pool, e->model->tables, e->model->level->name),
                  rt_peak_memory(e->pool)},
    };
    rt_status s = rt_profile_write(p, &about, o->profile, err);
    if (!s) s = rt_profile_table(p, &about.roofs, stderr, err);
    rt_profile_free(p);
    return s;
}

/* No output of the run takes the place of what it reads. A picture that is painted anew may: it is
 * in memory by then. */
static void keep_inputs(const rt_options *o) {
    base_output_keep("/proc/self/exe");
    const char *const files[] = {o->mask, o->depth};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (files[i]) base_output_keep(files[i]);
    for (int i = 0; i < o->prompt_count; i++)
        if (o->prompts[i][0] == '@') base_output_keep(o->prompts[i] + 1);
    if (o->negative && o->negative[0] == '@') base_output_keep(o->negative + 1);
}

static rt_status check_outputs(const rt_options *o, rt_error *err) {
    rt_status s = RT_OK;
    if (o->profile) s = rt_output_check(o->profile, err);
    if (!s && o->dump_values) s = rt_output_check(o->dump_values, err);
    if (!s && (o->bench || o->call)) s = rt_output_check("-", err);
    const char *command = o->call ? "--call" : "--bench",
               *results = o->call || o->bench ? "-" : NULL;
    if (!s) s = rt_output_apart(command, results, "--dump-values", o->dump_values, err);
    if (!s) s = rt_output_apart(command, results, "--profile", o->profile, err);
    if (!s) s = rt_output_apart("--dump-values", o->dump_values, "--profile", o->profile, err);
    if (!s && o->profile && o->init_image && base_output_same(o->profile, o->init_image))
        s = rt_fail(err, RT_ERR_USAGE, "--profile would replace the picture of --init-img");
    return s;
}

static rt_status run(const rt_options *o, const struct invocation *v, rt_error *err) {
    rt_model model;
    rt_engine engine;
    /* said before the work, not after it */
    rt_status s = rt_options_check(&(rt_option_context){.options = o}, err);
    keep_inputs(o);
    if (!s) s = rt_loras_check(o, &ebru_model, err);
    if (!s) s = rt_model_open(&model, &ebru_model, o->cpu_level, o->no_cpu_check, err);
    if (s) return s;
    rt_loras_set(o, &ebru_model, model.lora);
    s = check_outputs(o, err); /* after the weights: their file is an input, too */
    if (s) {
        rt_model_close(&model);
        return s;
    }
    char reason[200] = "";
    int threads = o->threads ? o->threads : rt_threads_default(reason, sizeof reason);
    s = rt_engine_open(&engine, &model, threads, err);
    if (s) {
        rt_model_close(&model);
        return s;
    }
    if (o->verbose) {
        fprintf(stderr, "level %s, %d threads%s%s\n", model.level->name, threads,
                *reason ? ": " : "", reason);
        fprintf(stderr, "arena %zu bytes, scratch %zu bytes a thread\n", engine.arena_bytes,
                engine.scratch_bytes);
        engine.timed = true;
        engine.start = v->start;
    }
    if (o->profile) s = rt_profile_new(&engine.profile, model.tables, threads, &v->start, err);
    if (!s && o->bench)
        s = rt_program_bench(&engine, o, err);
    else if (!s && o->call)
        s = rt_program_call(&engine, o->call, o->dump_values, err);
    else if (!s)
        s = rt_program_paint(&engine, o, err);
    if (engine.profile && !s) s = finish_profile(&engine, o, v, err);
    rt_profile_free(engine.profile);
    rt_engine_close(&engine);
    rt_model_close(&model);
    return s;
}

/* What main does when there is enough stack. Its frame holds the options, which are larger than what
 * a stack that is too small may have left: so main itself must not have them. */
__attribute__((noinline)) static rt_status run_arguments(const struct invocation *v) {
    rt_options o;
    rt_error err = {""};
    rt_status s = rt_options_parse(&o, v->argc, v->argv, &err);
    if (!s && o.help)
        print_help(v->program, &ebru_model);
    else if (!s && o.version)
        printf("%s\n", rt_meta_string(&ebru_model, EBRU_META_EBRU_VERSION));
    else if (!s && o.build_info)
        print_build_info(&ebru_model);
    else if (!s)
        s = run(&o, v, &err);
    if (!s && (fflush(stdout) || ferror(stdout)))
        s = rt_fail(&err, RT_ERR_SYSTEM, "cannot write to standard output");
    if (s) {
        rt_print(stderr, v->program);
        fprintf(stderr, ": error: ");
        rt_print(stderr, err.message);
        fprintf(stderr, "\n");
    }
    rt_options_free(&o);
    return s;
}

enum { MAIN_STACK = 64 << 10 };

int main(int argc, char **argv) {
    struct invocation v = {argc > 0 ? base_name(argv[0]) : "program", argc, argv, {0}};
    clock_gettime(CLOCK_MONOTONIC, &v.start);
    base_keep_standard_streams();
    base_output_catch_signals();
    struct sigaction act = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &act, NULL);
    /* worker threads have stacks of their own size, this one what the limit leaves it */
    if (!base_stack_suffices(v.program, MAIN_STACK)) return RT_ERR_SYSTEM;
    return (int)run_arguments(&v);
}
