/* The pool, its barrier also when there are more threads than CPUs, and where the thread count
 * comes from. */
#include "runtime/engine/shares.h"
#include "runtime/engine/threads.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cmocka.h>

#include "tests/unit/support/temp_dir.h"

static rt_pool *make(int n) {
    rt_pool *pool;
    rt_error err = {"?"};
    if (rt_pool_new(&pool, n, &err) != RT_OK) fail_msg("%s", err.message);
    assert_int_equal(rt_pool_size(pool), n);
    return pool;
}

static void count_me(void *arg, int tid, int nthreads) {
    _Atomic int *seen = arg;
    if (tid >= 0 && tid < nthreads) atomic_fetch_add(&seen[tid], 1);
}

static void every_thread_runs_once(void **state) {
    (void)state;
    for (int n = 1; n <= 9; n += 2) {
        rt_pool *pool = make(n);
        _Atomic int seen[9] = {0};
        for (int run = 0; run < 200; run++) rt_pool_run(pool, count_me, seen);
        for (int i = 0; i < n; i++) assert_int_equal(seen[i], 200);
        rt_pool_free(pool);
    }
    rt_pool_free(NULL);
    rt_pool_free(make(4)); /* never used */
}

/* Each phase every thread adds its neighbour's value of the phase before; plain memory, so only the
 * barrier orders it. */
enum { PHASES = 300 };
struct ring {
    rt_pool *pool;
    uint32_t value[2][64];
};

static void pass_on(void *arg, int tid, int nthreads) {
    struct ring *r = arg;
    for (int phase = 0; phase < PHASES; phase++) {
        const uint32_t *from = r->value[phase % 2];
        r->value[1 - phase % 2][tid] = from[tid] * 3 + from[(tid + 1) % nthreads];
        rt_pool_barrier(r->pool, tid);
    }
}

static void barrier_orders_memory(void **state) {
    (void)state;
    const int sizes[] = {1, 2,  3, 8,
                         9, 33, 64}; /* groups, whole and not; more than this machine's CPUs */
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int n = sizes[s];
        static struct ring r;
        uint32_t want[2][64];
        for (int i = 0; i < n; i++) r.value[0][i] = want[0][i] = (uint32_t)i;
        for (int phase = 0; phase < PHASES; phase++)
            for (int i = 0; i < n; i++)
                want[1 - phase % 2][i] = want[phase % 2][i] * 3 + want[phase % 2][(i + 1) % n];
        r.pool = make(n);
        rt_pool_run(r.pool, pass_on, &r);
        assert_memory_equal(r.value[PHASES % 2], want[PHASES % 2], (size_t)n * sizeof(uint32_t));
        rt_pool_free(r.pool);
    }
}

static void meet(void *arg, int tid, int nthreads) {
    (void)nthreads;
    for (int i = 0; i < 2000; i++) rt_pool_barrier(arg, tid);
}

/* Far too many threads spin against each other if waiting does not give way. */
static void oversubscription_makes_progress(void **state) {
    (void)state;
    rt_pool *pool = make(24);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    rt_pool_run(pool, meet, pool);
    clock_gettime(CLOCK_MONOTONIC, &b);
    rt_pool_free(pool);
    assert_true(b.tv_sec - a.tv_sec < 60);
}

/* ---- shares ---- */

enum { OPS = 60, MOST_TASKS = 300 };
struct work {
    rt_pool *pool;
    rt_shares shares;
    int32_t tasks[OPS], step[OPS];
    int late; /* thread that is slow, or -1 */
    _Atomic int done[OPS][MOST_TASKS];
};

static void do_tasks(void *arg, int tid, int nthreads) {
    struct work *w = arg;
    (void)nthreads;
    rt_shares_begin(&w->shares, tid);
    for (int32_t op = 0; op < OPS; op++) {
        for (;;) {
            const uint64_t got = rt_shares_take(&w->shares, tid, op, w->tasks[op], w->step[op]);
            const uint32_t begin = (uint32_t)got, end = (uint32_t)(got >> 32);
            if (begin >= end) break;
            for (uint32_t t = begin; t < end; t++) atomic_fetch_add(&w->done[op][t], 1);
            if (tid == w->late) nanosleep(&(struct timespec){0, 200000}, NULL);
        }
        if (op % 3 == 2) rt_pool_barrier(w->pool, tid); /* between them threads run ahead */
    }
}

static void tasks_are_done_once(void **state) {
    (void)state;
    static struct work w;
    static const int sizes[] = {1, 2, 3, 8, 17};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int run = 0; run < 6; run++) {
            memset(&w, 0, sizeof w);
            w.pool = make(sizes[s]);
            assert_true(rt_shares_init(&w.shares, sizes[s]));
            w.late = run % 2 ? sizes[s] - 1 : -1;
            w.shares.partition = run == 4 ? 7 : run == 5 ? 128 : 0;
            for (int i = 0; i < OPS; i++) {
                w.tasks[i] = i % 4 == 3 ? 1 + i % 3 : 1 + (i * 37 + run * 11) % MOST_TASKS;
                w.step[i] = 1 + i % 5 * (i % 7);
            }
            for (int twice = 0; twice < 2; twice++) rt_pool_run(w.pool, do_tasks, &w);
            for (int i = 0; i < OPS; i++)
                for (int t = 0; t < MOST_TASKS; t++)
                    assert_int_equal(atomic_load(&w.done[i][t]), t < w.tasks[i] ? 2 : 0);
            rt_shares_free(&w.shares);
            rt_pool_free(w.pool);
        }
}

/* A thread that does not come at all keeps its share; one that began keeps half of it at most. */
static void late_shares_are_taken(void **state) {
    (void)state;
    rt_shares s;
    assert_true(rt_shares_init(&s, 2));
    for (int t = 0; t < 2; t++) rt_shares_begin(&s, t);
    uint64_t got = rt_shares_take(&s, 1, 0, 16, 1);
    assert_int_equal((uint32_t)got, 8);
    assert_int_equal(got >> 32, 12);
    uint32_t done = 0;
    while ((got = rt_shares_take(&s, 0, 0, 16, 1)) != 0)
        done += (uint32_t)(got >> 32) - (uint32_t)got;
    assert_int_equal(done, 12); /* its own eight, and what the other had not begun */
    assert_int_equal(rt_shares_take(&s, 1, 0, 16, 1), 0);
    /* what is read once for four tasks is not read twice where there are enough of them */
    got = rt_shares_take(&s, 0, 1, 32, 4);
    assert_int_equal(got >> 32, 8);
    rt_shares_free(&s);
}

/* The shares of five threads on two, as the five would have them. */
static void partition_keeps_shares(void **state) {
    (void)state;
    static const uint32_t ends[] = {2, 4, 7, 9, 12};
    rt_shares s;
    assert_true(rt_shares_init(&s, 2));
    s.partition = 5;
    uint32_t at = 0;
    for (int t = 0, k = 0; t < 2; t++) {
        rt_shares_begin(&s, t);
        for (uint64_t got; (got = rt_shares_take(&s, t, 0, 12, 1)) != 0; k++) {
            assert_int_equal((uint32_t)got, at);
            assert_int_equal(at = (uint32_t)(got >> 32), ends[k]);
        }
    }
    assert_int_equal(at, 12);
    rt_shares_free(&s);
}

/* A late thread: the others must sleep, not burn their CPU. */
static void come_late(void *arg, int tid, int nthreads) {
    (void)nthreads;
    if (tid == 0) nanosleep(&(struct timespec){0, 300000000}, NULL);
    rt_pool_barrier(arg, tid);
}

static void waiting_sleeps(void **state) {
    (void)state;
    rt_pool *pool = make(2);
    clock_t before = clock();
    rt_pool_run(pool, come_late, pool);
    double used = (double)(clock() - before) / CLOCKS_PER_SEC;
    rt_pool_free(pool);
    assert_true(used < 0.15);
}

#if defined(__x86_64__)
static void read_mxcsr(void *arg, int tid, int nthreads) {
    (void)nthreads;
    ((unsigned *)arg)[tid] = _mm_getcsr() & ~0x3fu; /* without the sticky flags */
}

static void floating_point_state_is_the_default(void **state) {
    (void)state;
    unsigned saved = _mm_getcsr(), seen[4];
    _mm_setcsr(saved |
               0x8040); /* the caller flushes to zero; threads inherit that when they are created */
    rt_pool *pool = make(4);
    rt_pool_run(pool, read_mxcsr, seen);
    assert_int_equal(_mm_getcsr() & 0x8040, 0x8040); /* given back */
    _mm_setcsr(saved);
    rt_pool_free(pool);
    for (int i = 0; i < 4; i++) assert_int_equal(seen[i], 0x1f80);
}
#endif

static void read_mask(void *arg, int tid, int nthreads) {
    (void)nthreads;
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    ((int *)arg)[tid] = sigismember(&set, SIGINT);
}

static void workers_take_no_signals(void **state) {
    (void)state;
    int blocked[3] = {-1, -1, -1};
    rt_pool *pool = make(3);
    rt_pool_run(pool, read_mask, blocked);
    rt_pool_free(pool);
    assert_int_equal(blocked[0], 0);
    assert_int_equal(blocked[1], 1);
    assert_int_equal(blocked[2], 1);
}

static void impossible_counts(void **state) {
    (void)state;
    rt_pool *pool;
    rt_error err;
    assert_int_equal(rt_pool_new(&pool, 0, &err), RT_ERR_USAGE);
    assert_null(pool);
    assert_int_equal(rt_pool_new(&pool, RT_MAX_THREADS + 1, &err), RT_ERR_USAGE);
    assert_int_equal(rt_pool_new(&pool, -1, &err), RT_ERR_USAGE);
}

/* ---- limits ---- */

static void put(const char *name, const void *bytes, size_t size) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", temp_shared()->path, name);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

static void put_text(const char *name, const char *text) {
    put(name, text, strlen(text));
}

static double limit(const char *mount) {
    char group[1024], root[1024];
    snprintf(group, sizeof group, "%s/cgroup", temp_shared()->path);
    snprintf(root, sizeof root, "%s/%s", temp_shared()->path, mount);
    return rt_cgroup_cpu_limit(group, root);
}

static void cgroup_v2(void **state) {
    (void)state;
    put_text("cgroup", "0::/user.slice/job\n");
    assert_true(limit("v2") == -1);
    put_text("v2/user.slice/job/cpu.max", "max 100000\n");
    assert_true(limit("v2") == -1);
    put_text("v2/user.slice/job/cpu.max", "250000 100000\n");
    assert_true(limit("v2") == 2.5);
    put_text("v2/user.slice/cpu.max", "150000 100000\n"); /* a parent allows less */
    assert_true(limit("v2") == 1.5);
    put_text("v2/cpu.max", "50000 100000\n");
    assert_true(limit("v2") == 0.5);
    put_text("cgroup", "0::/../../elsewhere\n"); /* outside of the namespace: the root counts */
    assert_true(limit("v2") == 0.5);
    put_text("cgroup", "0::/\n");
    assert_true(limit("v2") == 0.5);
}

static void cgroup_v1(void **state) {
    (void)state;
    put_text("cgroup", "12:cpuset:/a\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/y\n");
    assert_true(limit("v1") == -1);
    put_text("v1/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "-1\n");
    put_text("v1/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n");
    assert_true(limit("v1") == -1);
    put_text("v1/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "765000\n");
    assert_true(limit("v1") == 7.65);
    put_text("v1/cpu/docker/x/cpu.cfs_quota_us", "300000");
    put_text("v1/cpu/docker/x/cpu.cfs_period_us", "100000");
    assert_true(limit("v1") == 3);
}

/* Contents that are not what they should be never count as a limit. */
static void cgroup_hostile(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "\n",
                                      "max",
                                      "0 100000\n",
                                      "100000\n",
                                      "100000 0\n",
                                      "-5 100000\n",
                                      "1e5 100000\n",
                                      "100000  100000\n",
                                      "99999999999999999999999999 100000\n",
                                      "100000 100000 5\n",
                                      "100000 100000\nx",
                                      " 100000 100000\n",
                                      "0x10 100\n",
                                      "nan 1\n",
                                      "\xff\xfe\n"};
    put_text("cgroup", "0::/g\n");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_text("bad/g/cpu.max", bad[i]);
        if (limit("bad") != -1) fail_msg("'%s' is %g", bad[i], limit("bad"));
    }
    put("bad/g/cpu.max", "10\0 100000\n", 11);
    assert_true(limit("bad") == -1);
    put_text("bad/g/cpu.max", "200000 100000\n");
    static const char *const groups[] = {"",          ":",           "::",
                                         "0:",        "0::",         "0::g\n",
                                         "garbage\n", "\n\n\n",      "0::/nowhere/at/all\n",
                                         ":::::\n",   "4:cpux:/g\n", "4:xcpu,cpus:/g\n"};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        put_text("cgroup", groups[i]);
        if (limit("bad") != -1) fail_msg("group '%s' is %g", groups[i], limit("bad"));
    }
    size_t n = 70000; /* one endless line, and random bytes */
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, '/', n);
    memcpy(text, "0::", 3);
    put("cgroup", text, n);
    limit("bad");
    uint32_t x = 7;
    for (int round = 0; round < 300; round++) {
        static const char alphabet[] = "0123456789:/,cpumax \n.\0-";
        for (size_t i = 0; i < 200; i++)
            text[i] = alphabet[((x = x * 1664525u + 1013904223u) >> 24) % (sizeof alphabet - 1)];
        put("cgroup", text, 200);
        put("bad/g/cpu.max", text, 30);
        double l = limit("bad");
        assert_true(l == -1 || l > 0);
    }
    free(text);
    assert_true(rt_cgroup_cpu_limit("/nonexistent", "/nonexistent") == -1);
}

static void choosing(void **state) {
    (void)state;
    char why[200];
    const struct {
        rt_thread_limits limits;
        int want;
    } cases[] = {
        {{4, -1, -1}, 4}, {{8, 7.65, 16}, 7}, {{8, 0.3, 4}, 1}, {{8, -1, 4}, 4},
        {{2, 2.5, 1}, 1}, {{-1, -1, -1}, 1},  {{-1, 3, -1}, 3}, {{5000, 1e12, -1}, RT_MAX_THREADS},
        {{16, 1, 8}, 1},  {{0, 0, 0}, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(rt_threads_choose(&cases[i].limits, why, sizeof why), cases[i].want);
    rt_thread_limits l = {4, 2.5, 8};
    rt_threads_choose(&l, why, sizeof why);
    assert_string_equal(why, "2 threads: 4 CPUs allowed, cgroup limit 2.50, 8 physical cores");
    rt_threads_choose(&l, why, 5);
    assert_string_equal(why, "2 th");
    int n = rt_threads_default(why, sizeof why);
    assert_in_range(n, 1, RT_MAX_THREADS);
    assert_int_equal(rt_threads_default(NULL, 0), n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_runs_once),
        cmocka_unit_test(barrier_orders_memory),
        cmocka_unit_test(oversubscription_makes_progress),
        cmocka_unit_test(waiting_sleeps),
        cmocka_unit_test(tasks_are_done_once),
        cmocka_unit_test(late_shares_are_taken),
        cmocka_unit_test(partition_keeps_shares),
#if defined(__x86_64__)
        cmocka_unit_test(floating_point_state_is_the_default),
#endif
        cmocka_unit_test(workers_take_no_signals),
        cmocka_unit_test(impossible_counts),
        cmocka_unit_test(cgroup_v2),
        cmocka_unit_test(cgroup_v1),
        cmocka_unit_test(cgroup_hostile),
        cmocka_unit_test(choosing),
    };
    return cmocka_run_group_tests(tests, temp_shared_begin, temp_shared_end);
}
