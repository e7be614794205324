/* ebru bench: compiles a model for one use and lets the program time its own functions. */
#include "driver/driver.h"

#include <string.h>

static int run(ir_diag *d, const drv_options *o, const char *program) {
    char runs[32], threads[24], function[300];
    const char *argv[8] = {program, o->json ? "--bench=json" : "--bench"};
    int n = 2;
    if (o->runs) {
        snprintf(runs, sizeof runs, "--runs=%lld", (long long)o->runs);
        argv[n++] = runs;
    }
    if (o->threads) {
        snprintf(threads, sizeof threads, "-t%lld", (long long)o->threads);
        argv[n++] = threads;
    }
    /* a function is named as it is inside its component ("decode") or in full ("vae.decode", "unet.step") */
    if (o->function && (strchr(o->function, '.') || !o->component)) {
        snprintf(function, sizeof function, "--function=%s", o->function);
        argv[n++] = function;
    }
    argv[n] = NULL;
    return drv_run(d, argv, NULL, 0, NULL, NULL);
}

int drv_bench(const drv_options *given) {
    drv_options o = *given;
    bool quiet = o.quiet || o.json;
    o.quiet = true;
    ir_diag *d = drv_diag(&o);
    drv_temp temp = {0};
    drv_build b = {0};
    cg_result result = {0};
    fe_options fe = drv_fe_options(&o);
    fe.guidance_pair = false; /* --batch says how many */
    if (fe.function && strchr(fe.function, '.')) fe.function = NULL;
    int code = DRV_INPUT;
    if (!quiet) fprintf(stderr, "compiling %s\n", o.model);
    if (drv_temp_new(d, &temp)) {
        if (drv_lower(d, &o, &fe, &b)) {
            int status = DRV_IO;
            if (drv_emit(d, &o, &b, temp.program, CG_EXE, &result)) status = run(d, &o, temp.program);
            code = status < 0 ? DRV_INTERNAL : status;
        }
        drv_build_free(&b);
        drv_temp_free(&temp);
    }
    ir_diag_flush(d);
    ir_diag_free(d);
    return code;
}
