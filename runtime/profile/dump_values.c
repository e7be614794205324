/* --dump-values: every function that runs leaves its inputs, its arena and its outputs in a file, as frames:
 * a line "FUNCTION", "KIND INDEX BYTES" and that many bytes. Of a program compiled with --plan=separate that
 * is the value of every op: nothing in the arena is written twice. */
#include "runtime/engine/engine.h"

static void frame(FILE *f, const char *kind, int index, const void *data, uint64_t bytes) {
    fprintf(f, "%s %d %llu\n", kind, index, (unsigned long long)bytes);
    fwrite(data, 1, (size_t)bytes, f);
}

void rt_values_write(FILE *f, const struct ebru_function_desc *fn, const struct ebru_call *call) {
    fprintf(f, "function %s\n", fn->name);
    for (int32_t i = 0; i < fn->input_count; i++)
        frame(f, "in", i, call->inputs[i], fn->inputs[i].bytes);
    frame(f, "arena", 0, call->arena, fn->arena_bytes);
    for (int32_t i = 0; i < fn->output_count; i++)
        frame(f, "out", i, call->outputs[i], fn->outputs[i].bytes);
}
