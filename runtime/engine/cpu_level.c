/* The CPU level a program was told to run at; see cpu_level.h. */
#include "runtime/engine/cpu_level.h"

rt_status rt_cpu_force_level(base_cpu *cpu, const char *name, rt_error *err) {
    int level = base_cpu_level_by_name(name);
    if (level == 0) {
        char known[200];
        size_t used = 0;
        for (int i = 1; i <= BASE_CPU_HIGHEST; i++)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i > 1 ? ", " : "",
                                     base_cpu_level_names[i]);
        return rt_fail(err, RT_ERR_USAGE, "unknown CPU level '%.40s' (%s)", name, known);
    }
    if (level > cpu->level) {
        char missing[200];
        base_cpu_missing(cpu, level, missing, sizeof missing);
        return rt_fail(err, RT_ERR_CPU, "this CPU offers up to %s, not %s (%s)",
                       base_cpu_level_name(cpu->level), name, missing);
    }
    base_cpu_lower(cpu, level);
    return RT_OK;
}
