/* The CPU level a program was told to run at; see cpu_level.h. */
#include "runtime/engine/cpu_level.h"

#include <string.h>

#define KNOWN(a, ID, suffix, name, ...) ", " name

rt_status rt_cpu_force_level(base_cpu *cpu, const char *name, rt_error *err) {
    int32_t isa = base_isa_by_name(name);
    if (isa == EBRU_ISA_NONE) {
        static const char known[] = EBRU_LEVELS_HERE(KNOWN, KNOWN, 0);
        return rt_fail(err, RT_ERR_USAGE, "unknown CPU level '%.40s' (%s)", name,
                       known + strlen(", "));
    }
    if (!base_cpu_runs(cpu, isa)) {
        char missing[200];
        base_cpu_missing(cpu, isa, missing, sizeof missing);
        return rt_fail(err, RT_ERR_CPU, "this CPU offers up to %s, not %s (%s)",
                       base_isa_name(cpu->isa), name, missing);
    }
    base_cpu_lower(cpu, isa);
    return RT_OK;
}
