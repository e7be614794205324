/* Levels from the features that cpu_ARCHITECTURE.c finds, cores and caches from the operating
 * system. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/cpu/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_CPUS 8192

static const char *const feature_names[BASE_CPU_FEATURE_COUNT] = {
#define X(ID, name, ...) name,
    BASE_CPU_FEATURES(X)
#undef X
};

/* ---- levels ---- */

/* This architecture's, lowest first. */
static const struct {
    int32_t isa, below;
    uint64_t features; /* its own */
} levels[] = {
#define NEED(ID) | BASE_CPU_FEATURE(ID)
#define ROW(a, ID, suffix, name, PLAIN, plain, FORM, lanes, l1, l2, cpu, beyond, flags, BELOW,     \
            features)                                                                              \
    {EBRU_ISA_##ID, EBRU_ISA_##BELOW, 0 features},
    EBRU_LEVELS_HERE(ROW, ROW, 0)
#undef ROW
#undef NEED
};
enum { LEVELS = sizeof levels / sizeof *levels };

uint64_t base_isa_needs(int32_t isa) {
    for (int i = 0; i < LEVELS; i++)
        if (levels[i].isa == isa) return levels[i].features | base_isa_needs(levels[i].below);
    return 0;
}

int32_t base_cpu_best(uint64_t features) {
    for (int i = LEVELS; i-- > 0;)
        if ((base_isa_needs(levels[i].isa) & ~features) == 0) return levels[i].isa;
    return EBRU_ISA_NONE;
}

int32_t base_isa_by_name(const char *name) {
    for (int i = 0; i < LEVELS; i++)
        if (strcmp(base_isa_name(levels[i].isa), name) == 0) return levels[i].isa;
    return EBRU_ISA_NONE;
}

const char *base_isa_name(int32_t isa) {
    static const char *const names[EBRU_ISA_COUNT] = {
#define ROW(a, ID, suffix, name, ...) name,
        EBRU_LEVELS(ROW, ROW, 0)
#undef ROW
    };
    return isa >= 0 && isa < EBRU_ISA_COUNT ? names[isa] : "none";
}

const char *base_isa_suffix(int32_t isa) {
    static const char *const suffixes[EBRU_ISA_COUNT] = {
#define ROW(a, ID, suffix, ...) #suffix,
        EBRU_LEVELS(ROW, ROW, 0)
#undef ROW
    };
    return isa >= 0 && isa < EBRU_ISA_COUNT ? suffixes[isa] : "none";
}

/* ---- caches ---- */

/* The first line of cpuN/cache/indexI/NAME; false when there is none. */
static bool cache_line(const char *root, int cpu, int index, const char *name, char line[32]) {
    char path[512];
    if (snprintf(path, sizeof path, "%s/cpu%d/cache/index%d/%s", root, cpu, index, name) >=
        (int)sizeof path)
        return false;
    FILE *f = fopen(path, "re");
    if (!f) return false;
    bool read = fgets(line, 32, f) != NULL;
    fclose(f);
    return read;
}

/* "32K", "2048K", "32M": bytes; 0 where it says something else. */
static size_t cache_bytes(const char *text) {
    size_t n = 0;
    int digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 9; digits++)
        n = n * 10 + (size_t)(text[digits] - '0');
    const char *unit = text + digits;
    const int shift = *unit == 'K' ? 10 : *unit == 'M' ? 20 : *unit == 'G' ? 30 : 0;
    if (shift) unit++;
    return digits && (*unit == '\n' || !*unit) ? n << shift : 0;
}

bool base_cpu_caches(const char *root, int cpu_index, base_cpu *cpu) {
    enum { MOST_CACHES = 16 };
    char line[32];
    size_t l1d = 0, l2 = 0, l3 = 0;
    for (int i = 0; i < MOST_CACHES && cache_line(root, cpu_index, i, "type", line); i++) {
        if (line[0] != 'D' && line[0] != 'U') continue; /* Data, Unified; not Instruction */
        const int level = cache_line(root, cpu_index, i, "level", line) ? line[0] - '0' : 0;
        const size_t bytes = cache_line(root, cpu_index, i, "size", line) ? cache_bytes(line) : 0;
        if (level == 1) l1d = bytes;
        if (level == 2) l2 = bytes;
        if (level == 3) l3 = bytes;
    }
    if (!l1d) return false;
    cpu->l1d = l1d;
    cpu->l2 = l2;
    cpu->l3 = l3;
    return true;
}

/* What the C library says: where the kernel does not tell. It computes sizes from CPUID, and on
 * some virtual machines adds up the last caches of all sockets (320 MiB for one of 32). */
static void caches_of_libc(base_cpu *cpu) {
#if defined(_SC_LEVEL1_DCACHE_SIZE)
    const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    size_t *const sizes[] = {&cpu->l1d, &cpu->l2, &cpu->l3};
    for (int i = 0; i < 3; i++) {
        const long bytes = sysconf(names[i]);
        *sizes[i] = bytes > 0 ? (size_t)bytes : 0;
    }
#else
    (void)cpu;
#endif
}

/* ---- this CPU ---- */

#define SYSTEM_CPUS "/sys/devices/system/cpu"

void base_cpu_detect(base_cpu *cpu) {
    memset(cpu, 0, sizeof *cpu);
    cpu->features = base_cpu_features();
    cpu->isa = base_cpu_best(cpu->features);
    if (!base_cpu_caches(SYSTEM_CPUS, 0, cpu)) caches_of_libc(cpu);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    cpu->logical_cpus = online > 0 && online <= MOST_CPUS ? (int)online : 1;
    cpu->physical_cores = base_cpu_physical_cores(SYSTEM_CPUS, MOST_CPUS, NULL);
}

bool base_cpu_runs(const base_cpu *cpu, int32_t isa) {
    const uint64_t needed = base_isa_needs(isa);
    return needed != 0 && (needed & ~cpu->features) == 0;
}

int base_cpu_missing(const base_cpu *cpu, int32_t isa, char *text, size_t size) {
    uint64_t missing = base_isa_needs(isa) & ~cpu->features;
    int count = 0;
    size_t used = 0;
    if (size > 0) text[0] = 0;
    for (int i = 0; i < BASE_CPU_FEATURE_COUNT; i++) {
        if (!(missing >> i & 1)) continue;
        if (used < size) {
            int n = snprintf(text + used, size - used, "%s%s", count ? ", " : "", feature_names[i]);
            used += n > 0 ? (size_t)n : 0;
        }
        count++;
    }
    return count;
}

void base_cpu_lower(base_cpu *cpu, int32_t isa) {
    cpu->features &= base_isa_needs(isa); /* no code asks for what no level names */
    cpu->isa = isa;
}

/* ---- cores ---- */

/* The lowest CPU of a sibling list such as "0,64" or "2-3": the name of a core. -1 if it cannot be
 * read. */
static int first_sibling(const char *root, int cpu) {
    char path[512], text[64];
    if (snprintf(path, sizeof path, "%s/cpu%d/topology/thread_siblings_list", root, cpu) >=
        (int)sizeof path)
        return -1;
    FILE *f = fopen(path, "re");
    if (!f) return -1;
    bool read = fgets(text, sizeof text, f) != NULL;
    fclose(f);
    int value = 0, digits = 0;
    for (; read && text[digits] >= '0' && text[digits] <= '9' && digits < 6; digits++)
        value = value * 10 + (text[digits] - '0');
    bool good = digits > 0 && (text[digits] == ',' || text[digits] == '-' || text[digits] == '\n' ||
                               text[digits] == 0);
    return good && value <= cpu ? value : -1;
}

int base_cpu_physical_cores(const char *root, int cpu_count, const bool *allowed) {
    if (cpu_count <= 0) return 0;
    bool *seen = calloc((size_t)cpu_count, sizeof *seen);
    if (!seen) return 0;
    int cores = 0, absent = 0;
    for (int cpu = 0; cpu < cpu_count; cpu++) {
        if (allowed && !allowed[cpu]) continue;
        int core = first_sibling(root, cpu);
        if (core < 0) {
            if (allowed) { /* one that may be used must be known */
                cores = 0;
                break;
            }
            if (++absent > 512) break; /* offline CPUs leave gaps; a long one is the end */
            continue;
        }
        absent = 0;
        if (!seen[core]) {
            seen[core] = true;
            cores++;
        }
    }
    free(seen);
    return cores;
}
