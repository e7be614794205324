/* A module as code in this process. */
#include "driver/quantize/op_code.h"
#include "driver/commands/run_program.h"

#include <dlfcn.h>
#include <string.h>

static bool load(base_diag *d, const char *path, int threads, quant_code *code) {
    rt_error err = {""};
    code->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!code->handle) {
        base_error(d, NULL, "cannot load the compiled ops: %s", dlerror());
        return false;
    }
    const struct ebru_model *tables = dlsym(code->handle, "ebru_model");
    if (!tables || tables->abi_version != EBRU_ABI_VERSION) ICE("no tables in what was compiled");
    rt_status s = rt_model_open(&code->model, tables, NULL, false, &err);
    if (!s) s = rt_engine_open(&code->engine, &code->model, threads, &err);
    if (s) base_error(d, NULL, "cannot run the compiled ops: %s", err.message);
    return !s;
}

bool quant_code_open(base_diag *d, const drv_options *o, drv_build *b, quant_code *code) {
    drv_temp temp = {0};
    cg_result result;
    drv_options quiet = *o;
    quiet.common.quiet = true;
    const int threads = o->run.threads ? (int)o->run.threads : rt_threads_default(NULL, 0);
    /* what is loaded needs no name any more: the folder goes at once */
    const bool fine = drv_temp_new(d, &temp) &&
                      drv_emit(d, &quiet, b, temp.program.data, CG_LIB, &result) &&
                      load(d, temp.program.data, threads, code);
    drv_temp_free(&temp);
    return fine;
}

void quant_code_close(quant_code *code) {
    if (code->engine.model) rt_engine_close(&code->engine);
    if (code->model.tables) rt_model_close(&code->model);
    if (code->handle) dlclose(code->handle);
    memset(code, 0, sizeof *code);
}
