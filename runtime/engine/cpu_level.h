/* The CPU level a program was told to run at. */
#ifndef EBRU_RUNTIME_ENGINE_CPU_LEVEL_H
#define EBRU_RUNTIME_ENGINE_CPU_LEVEL_H

#include "base/cpu/cpu.h"
#include "runtime/engine/status.h"

/* Pretends to a lower level: removes the features above it. RT_ERR_USAGE for an unknown name,
 * RT_ERR_CPU for a level above what the CPU has. */
rt_status rt_cpu_force_level(base_cpu *cpu, const char *name, rt_error *err);

#endif
