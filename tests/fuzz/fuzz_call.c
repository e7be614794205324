/* Fuzz entry: any bytes as the standard input of a program's --call, whose network copies a matrix,
 * adds a step and a scale. Frames that are complete give the outputs; others are refused with a
 * printable reason, and nothing is written beside the inputs' buffers. */
#include "tests/fuzz/fuzz.h"

#include "runtime/abi/abi.h"
#include "runtime/cli/program.h"

static void run_schedule(const struct ebru_call *call, int32_t thread, int32_t threads) {
    const float *t = call->inputs[0];
    float *out = call->outputs[0];
    (void)threads;
    for (int i = 0; thread == 0 && i < 8; i++) out[i] = t[i];
}

static void run_step(const struct ebru_call *call, int32_t thread, int32_t threads) {
    const float *sample = call->inputs[0], *embedding = call->inputs[1];
    const int32_t *ids = call->inputs[2];
    float *out = call->outputs[0];
    (void)threads;
    for (int i = 0; thread == 0 && i < 6; i++)
        out[i] = sample[i] + embedding[0] + (float)(ids[0] % 7);
}

static const struct ebru_tensor_desc schedule_inputs[] = {
    {.name = "timestep", .freq = EBRU_SCHEDULE, .rank = 1, .dim = {8}, .bytes = 32}};
static const struct ebru_tensor_desc schedule_outputs[] = {
    {.name = "%time", .freq = EBRU_SCHEDULE, .rank = 2, .dim = {8, 1}, .bytes = 32}};
static const struct ebru_tensor_desc step_inputs[] = {
    {.name = "sample", .freq = EBRU_STEP, .rank = 2, .dim = {2, 3}, .bytes = 24},
    {.name = "%time", .freq = EBRU_SCHEDULE, .rank = 2, .dim = {1, 1}, .bytes = 4},
    {.name = "a b", .dtype = EBRU_I32, .freq = EBRU_STEP, .rank = 1, .dim = {1}, .bytes = 4}};
static const struct ebru_tensor_desc step_outputs[] = {
    {.name = "sample", .freq = EBRU_STEP, .rank = 2, .dim = {2, 3}, .bytes = 24}};
static const struct ebru_function_desc functions[] = {{.name = "net.schedule",
                                                       .input_count = 1,
                                                       .output_count = 1,
                                                       .batch = 1,
                                                       .inputs = schedule_inputs,
                                                       .outputs = schedule_outputs},
                                                      {.name = "net.step",
                                                       .input_count = 3,
                                                       .output_count = 1,
                                                       .batch = 1,
                                                       .inputs = step_inputs,
                                                       .outputs = step_outputs}};
static const ebru_run_fn code[] = {run_schedule, run_step};
static const struct ebru_level_desc level = {"any", code};
/* The runtime wants a program's tables by this name; these stand for them. */
extern const struct ebru_model ebru_model;
const struct ebru_model ebru_model = {.abi_version = EBRU_ABI_VERSION,
                                      .function_count = 2,
                                      .level_count = 1,
                                      .functions = functions,
                                      .levels = &level};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static rt_model model = {.tables = &ebru_model, .level = &level};
    static rt_engine engine;
    rt_error err = {""};
    if (!engine.pool) PROMISE(rt_engine_open(&engine, &model, 1, &err) == RT_OK);
    FILE *in = size ? fmemopen((void *)(uintptr_t)data, size, "rb") : fopen("/dev/null", "r");
    PROMISE(in != NULL);
    FILE *kept = stdin;
    stdin = in;
    fuzz_streams_begin();
    const rt_status status = rt_program_call(&engine, "net", NULL, &err);
    fuzz_streams_end();
    stdin = kept;
    fclose(in);
    PROMISE(status == RT_OK || status == RT_ERR_INPUT);
    PROMISE((status == RT_OK) == !err.message[0]);
    return 0;
}
