/* How many threads are worth starting: affinity mask, cgroup quota, physical cores. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/cpu/cpu.h"
#include "runtime/engine/threads.h"

#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CPUS   8192
#define FILE_LIMIT  65536
#define PATH_LENGTH 4096

/* ---- cgroup ---- */

/* The beginning of a file, NUL-terminated; false if it cannot be read or holds a NUL. */
static bool read_file(const char *path, char *text, size_t size) {
    FILE *f = fopen(path, "re");
    if (!f) return false;
    size_t n = fread(text, 1, size - 1, f);
    bool good = !ferror(f);
    fclose(f);
    text[n] = 0;
    return good && strlen(text) == n;
}

/* A positive decimal number at *at, which moves behind it; 0 if there is none or it exceeds 10^15.
 */
static double positive(const char **at) {
    const char *p = *at;
    double value = 0;
    if (!isdigit((unsigned char)*p)) return 0;
    for (; isdigit((unsigned char)*p); p++) {
        value = value * 10 + (*p - '0');
        if (value > 1e15) return 0;
    }
    *at = p;
    return value;
}

static bool at_end(const char *p) {
    return *p == 0 || (*p == '\n' && p[1] == 0);
}

/* "QUOTA PERIOD" of cpu.max, -1 for "max PERIOD" and for anything else. */
static double limit_v2(const char *folder) {
    char path[PATH_LENGTH + 32], text[128];
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (!read_file(path, text, sizeof text)) return -1;
    const char *p = text;
    double quota = positive(&p);
    if (quota == 0 || *p != ' ') return -1;
    p++;
    double period = positive(&p);
    return period > 0 && at_end(p) ? quota / period : -1;
}

static double limit_v1(const char *folder) {
    char path[PATH_LENGTH + 32], text[128];
    double value[2];
    static const char *const names[2] = {"cpu.cfs_quota_us", "cpu.cfs_period_us"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (!read_file(path, text, sizeof text)) return -1;
        const char *p = text;
        value[i] = positive(&p);
        if (value[i] == 0 || !at_end(p)) return -1; /* a quota of -1 is no limit */
    }
    return value[0] / value[1];
}

static double smaller(double a, double b) {
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

/* The smallest limit from root/group up to root itself. A group outside the mounted tree ("/../..")
 * counts as the root. */
static double climb(const char *root, const char *group, double (*limit)(const char *)) {
    char path[PATH_LENGTH];
    size_t base = strlen(root);
    if (strstr(group, "..") || strcmp(group, "/") == 0) group = "";
    if (base + strlen(group) >= sizeof path) return -1;
    memcpy(path, root, base + 1);
    strcat(path, group);
    double best = limit(path);
    for (size_t end = strlen(path); end > base; end--)
        if (path[end - 1] == '/') {
            path[end - 1] = 0;
            best = smaller(best, limit(path));
        }
    return best;
}

/* True if the comma-separated list holds "cpu". */
static bool has_cpu(const char *list) {
    for (const char *p = list; p; p = strchr(p, ',')) {
        if (*p == ',') p++;
        size_t n = strcspn(p, ",");
        if (n == 3 && memcmp(p, "cpu", 3) == 0) return true;
    }
    return false;
}

/* One line "ID:CONTROLLERS:GROUP" of /proc/PID/cgroup. */
static double line_limit(char *line, const char *mount) {
    char root[PATH_LENGTH];
    char *controllers = strchr(line, ':'),
         *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group || group[1] != '/') return -1;
    *group++ = 0;
    controllers++;
    if (*controllers == 0) { /* v2, mounted alone or beside v1 */
        double best = climb(mount, group, limit_v2);
        if (snprintf(root, sizeof root, "%s/unified", mount) >= (int)sizeof root) return best;
        return smaller(best, climb(root, group, limit_v2));
    }
    if (!has_cpu(controllers)) return -1;
    if (snprintf(root, sizeof root, "%s/%s", mount, controllers) >= (int)sizeof root) return -1;
    double best = climb(root, group, limit_v1);
    if (snprintf(root, sizeof root, "%s/cpu", mount) >= (int)sizeof root) return best;
    return smaller(best, climb(root, group, limit_v1));
}

double rt_cgroup_cpu_limit(const char *proc_cgroup, const char *mount) {
    char *text = malloc(FILE_LIMIT), *rest = NULL;
    double best = -1;
    if (text && read_file(proc_cgroup, text, FILE_LIMIT))
        for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
            best = smaller(best, line_limit(line, mount));
    free(text);
    return best;
}

/* ---- all limits ---- */

/* Number of CPUs this process may use, and which; -1 if the system does not say. */
static int affinity(bool *allowed) {
    cpu_set_t *set = CPU_ALLOC(MOST_CPUS);
    size_t size = CPU_ALLOC_SIZE(MOST_CPUS);
    int count = -1;
    if (set && sched_getaffinity(0, size, set) == 0) {
        count = CPU_COUNT_S(size, set);
        for (size_t i = 0; i < MOST_CPUS; i++) allowed[i] = CPU_ISSET_S(i, size, set) != 0;
    }
    CPU_FREE(set);
    return count;
}

rt_thread_limits rt_thread_limits_now(void) {
    bool allowed[MOST_CPUS] = {false};
    rt_thread_limits limits = {.affinity = affinity(allowed)};
    limits.cgroup = rt_cgroup_cpu_limit("/proc/self/cgroup", "/sys/fs/cgroup");
    int cores = limits.affinity > 0
                    ? base_cpu_physical_cores("/sys/devices/system/cpu", MOST_CPUS, allowed)
                    : 0;
    limits.physical_cores = cores > 0 ? cores : -1;
    return limits;
}

int rt_threads_choose(const rt_thread_limits *limits, char *reason, size_t size) {
    int best = RT_MAX_THREADS;
    bool known = false;
    if (limits->affinity > 0) {
        known = true;
        if (limits->affinity < best) best = limits->affinity;
    }
    if (limits->cgroup > 0) {
        known = true;
        int whole = limits->cgroup < 1 ? 1 : limits->cgroup < best ? (int)limits->cgroup : best;
        if (whole < best) best = whole;
    }
    if (limits->physical_cores > 0) {
        known = true;
        if (limits->physical_cores < best) best = limits->physical_cores;
    }
    if (!known) best = 1;
    if (reason && size > 0) {
        char parts[3][48] = {"", "", ""};
        if (limits->affinity > 0)
            snprintf(parts[0], sizeof parts[0], ", %d CPUs allowed", limits->affinity);
        if (limits->cgroup > 0)
            snprintf(parts[1], sizeof parts[1], ", cgroup limit %.2f", limits->cgroup);
        if (limits->physical_cores > 0)
            snprintf(parts[2], sizeof parts[2], ", %d physical cores", limits->physical_cores);
        char all[160];
        snprintf(all, sizeof all, "%s%s%s", parts[0], parts[1], parts[2]);
        snprintf(reason, size, "%d thread%s: %s", best, best == 1 ? "" : "s",
                 known ? all + 2 : "no limit known");
    }
    return best;
}

int rt_threads_default(char *reason, size_t size) {
    rt_thread_limits limits = rt_thread_limits_now();
    return rt_threads_choose(&limits, reason, size);
}
