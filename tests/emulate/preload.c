/* For whole programs: LD_PRELOAD=libebru_emulate.so PROGRAM --cpu-level=x86-64-v4-amx
 * --no-cpu-check. With EBRU_EMULATE_REPORT=FILE the process leaves there how often it performed
 * what. */
#include "tests/emulate/emulate.h"

#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void install(void) {
    if (!emulate_install()) fprintf(stderr, "emulator: this CPU has no AVX-512\n");
}

__attribute__((destructor)) static void report(void) {
    static const char *const names[EM_OPS] = {
#define X(ID, name) name,
        EM_INSTRUCTIONS(X)
#undef X
    };
    const char *path = getenv("EBRU_EMULATE_REPORT");
    FILE *out = path ? fopen(path, "w") : NULL;
    for (int k = 0; out && k < EM_OPS; k++)
        fprintf(out, "%s %llu\n", names[k], (unsigned long long)emulate_count((em_op)k));
    if (out) fclose(out);
}
