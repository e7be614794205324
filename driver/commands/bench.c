/* ebru bench: compiles a model for one use and lets the program time its own functions. */
#include "driver/commands/commands.h"
#include "driver/commands/extract_op.h"
#include "driver/commands/lower.h"
#include "driver/commands/run_program.h"
#include "driver/debug/verify_layers.h"
#include "driver/driver.h"

#include <string.h>

static int run(base_diag *d, const drv_options *o, const char *program) {
    char runs[32], threads[24], partition[40], function[300];
    const char *argv[10] = {program, o->common.json ? "--bench=json" : "--bench"};
    int n = 2;
    if (o->run.runs) {
        snprintf(runs, sizeof runs, "--runs=%lld", (long long)o->run.runs);
        argv[n++] = runs;
    }
    if (o->run.threads) {
        snprintf(threads, sizeof threads, "-t%lld", (long long)o->run.threads);
        argv[n++] = threads;
    }
    if (o->run.partition) {
        snprintf(partition, sizeof partition, "--partition=%lld", (long long)o->run.partition);
        argv[n++] = partition;
    }
    if (o->run.op) argv[n++] = "--cold";
    /* a function is named as it is inside its component ("decode") or in full ("vae.decode",
     * "unet.step") */
    if (o->load.function && !o->run.op && (strchr(o->load.function, '.') || !o->load.component)) {
        snprintf(function, sizeof function, "--function=%s", o->load.function);
        argv[n++] = function;
    }
    argv[n] = NULL;
    return drv_run(d, argv, NULL, 0, NULL, NULL);
}

/* Node --op of the lowered model takes its place; *whole, the model, is to be freed after it. */
static bool take_op(base_diag *d, const drv_options *o, drv_build *b, drv_build *whole) {
    base_str text = {0};
    *whole = *b;
    memset(b, 0, sizeof *b);
    if (whole->count != 1) {
        base_error(d, NULL, "--op is timed at one CPU level; name it with -mcpu=");
        return false;
    }
    ir_module *m = drv_extract(d, whole->levels[0].module, whole->levels[0].target,
                               o->load.function, o->run.op, o->run.set, &text);
    if (m && !o->common.json) fwrite(text.data, 1, text.len, stdout);
    base_str_free(&text);
    if (!m) return false;
    b->levels[0] = (cg_level){whole->levels[0].target, m};
    b->contexts[0] = pass_context_new(m, whole->levels[0].target);
    b->count = 1;
    pass_options p = PASS_OPTIONS_DEFAULT;
    p.passes = "plan_memory";
    return pass_run(b->contexts[0], &p, d);
}

/* Times of an op that computes something else are worth nothing: once, before it is timed, its
 * result is held to the reference evaluator. An exit code other than 0 after saying so. */
static int check_op(const drv_options *o, const drv_build *b, const drv_temp *temp, bool quiet) {
    layers l;
    double distance = -1;
    int code = layers_open(&l, o);
    if (!code && !layers_op(&l, b->levels[0].module, temp, &distance)) code = DRV_INPUT;
    if (!code && distance < 0 && !quiet)
        fprintf(stderr, "note: the result was not compared: the op is too large for the reference, "
                        "or reads packed values (ebru verify --layers=kernels compares it)\n");
    if (!code && !(distance <= l.tolerance)) {
        base_error(
            l.d, NULL,
            "WRONG: the op's result is off by %.3g of the reference's rms (at most %.3g); it "
            "is not timed",
            distance, l.tolerance);
        code = DRV_INPUT;
    }
    layers_close(&l);
    return code;
}

int drv_bench(const drv_options *given) {
    drv_options o = *given;
    bool quiet = o.common.quiet || o.common.json;
    if (o.run.set && !o.run.op) {
        fprintf(stderr, "ebru: error: --set changes the tiles of --op=%%N, which is missing\n");
        return DRV_USAGE;
    }
    o.common.quiet = true;
    base_diag *d = drv_diag(&o.common);
    drv_temp temp = {0};
    drv_build b = {0}, whole = {0};
    cg_result result = {0};
    fe_options fe = drv_fe_options(&o.load);
    fe.guidance_pair = false; /* --batch says how many */
    if (fe.function && (o.run.op || strchr(fe.function, '.'))) fe.function = NULL;
    int code = DRV_INPUT;
    if (!quiet) fprintf(stderr, "compiling %s\n", base_shown(o.model));
    if (drv_temp_new(d, &temp)) {
        if (drv_lower(d, &o, &fe, &b) && (!o.run.op || take_op(d, &o, &b, &whole))) {
            int status = DRV_IO;
            if (drv_emit(d, &o, &b, temp.program.data, CG_EXE, &result)) {
                status = o.run.op ? check_op(&o, &b, &temp, quiet) : DRV_OK;
                if (!status) status = run(d, &o, temp.program.data);
            }
            code = status < 0 ? DRV_INTERNAL : status;
        }
        drv_build_free(&b);
        drv_build_free(&whole);
        drv_temp_free(&temp);
    }
    base_diag_flush(d);
    base_diag_free(d);
    return code;
}
