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

/* ---- this CPU ---- */

static size_t cache_size(int name) {
    long bytes = sysconf(name);
    return bytes > 0 ? (size_t)bytes : 0;
}

void base_cpu_detect(base_cpu *cpu) {
    memset(cpu, 0, sizeof *cpu);
    cpu->features = base_cpu_features();
    cpu->isa = base_cpu_best(cpu->features);
#if defined(_SC_LEVEL1_DCACHE_SIZE)
    cpu->l1d = cache_size(_SC_LEVEL1_DCACHE_SIZE);
    cpu->l2 = cache_size(_SC_LEVEL2_CACHE_SIZE);
    cpu->l3 = cache_size(_SC_LEVEL3_CACHE_SIZE);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    cpu->logical_cpus = online > 0 && online <= MOST_CPUS ? (int)online : 1;
    cpu->physical_cores = base_cpu_physical_cores("/sys/devices/system/cpu", MOST_CPUS, NULL);
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
