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

static const struct {
    const char *name;
    int level;
} features[BASE_CPU_FEATURE_COUNT] = {
#define X(ID, name, level) {name, level},
    BASE_CPU_FEATURES(X)
#undef X
};

/* ---- features ---- */

/* What `level` needs, with all below. */
static uint64_t needed(int level) {
    uint64_t bits = 0;
    for (int i = 0; i < BASE_CPU_FEATURE_COUNT; i++)
        if (features[i].level != 0 && features[i].level <= level) bits |= UINT64_C(1) << i;
    return bits;
}

int base_cpu_level_of(uint64_t found) {
    int level = 1;
    while (level < BASE_CPU_HIGHEST && (needed(level + 1) & ~found) == 0) level++;
    return level;
}

static size_t cache_size(int name) {
    long bytes = sysconf(name);
    return bytes > 0 ? (size_t)bytes : 0;
}

void base_cpu_detect(base_cpu *cpu) {
    memset(cpu, 0, sizeof *cpu);
    cpu->features = base_cpu_features();
    cpu->level = base_cpu_level_of(cpu->features);
#if defined(_SC_LEVEL1_DCACHE_SIZE)
    cpu->l1d = cache_size(_SC_LEVEL1_DCACHE_SIZE);
    cpu->l2 = cache_size(_SC_LEVEL2_CACHE_SIZE);
    cpu->l3 = cache_size(_SC_LEVEL3_CACHE_SIZE);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    cpu->logical_cpus = online > 0 && online <= MOST_CPUS ? (int)online : 1;
    cpu->physical_cores = base_cpu_physical_cores("/sys/devices/system/cpu", MOST_CPUS, NULL);
}

/* ---- levels ---- */

int base_cpu_level_by_name(const char *name) {
    for (int i = 1; i <= BASE_CPU_HIGHEST; i++)
        if (strcmp(base_cpu_level_names[i], name) == 0) return i;
    return 0;
}

const char *base_cpu_level_name(int level) {
    return base_cpu_level_names[level >= 0 && level <= BASE_CPU_HIGHEST ? level : 0];
}

int base_cpu_missing(const base_cpu *cpu, int level, char *text, size_t size) {
    uint64_t missing = needed(level) & ~cpu->features;
    int count = 0;
    size_t used = 0;
    if (size > 0) text[0] = 0;
    for (int i = 0; i < BASE_CPU_FEATURE_COUNT; i++) {
        if (!(missing >> i & 1)) continue;
        if (used < size) {
            int n = snprintf(text + used, size - used, "%s%s", count ? ", " : "", features[i].name);
            used += n > 0 ? (size_t)n : 0;
        }
        count++;
    }
    return count;
}

void base_cpu_lower(base_cpu *cpu, int level) {
    if (level < BASE_CPU_HIGHEST)
        cpu->features &= needed(level); /* no code asks for what no level names */
    cpu->level = level;
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
