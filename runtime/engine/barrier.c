#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/engine/barrier.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define DEFAULT_SPINS 1000

void rt_futex_wait(_Atomic uint32_t *word, uint32_t value) {
    syscall(SYS_futex, (uint32_t *)(uintptr_t)word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void rt_futex_wake_all(_Atomic uint32_t *word) {
    syscall(SYS_futex, (uint32_t *)(uintptr_t)word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

void rt_pause(void) {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint32_t groups_of(uint32_t n) {
    return (n + RT_BARRIER_GROUP - 1) / RT_BARRIER_GROUP;
}

/* Groups [from, from + groups_of(n)) take the n threads or groups below; those above follow. */
static void build(rt_barrier *b, uint32_t from, uint32_t n) {
    const uint32_t groups = groups_of(n);
    for (uint32_t i = 0; i < groups; i++) {
        struct rt_barrier_group *g = &b->groups[from + i];
        const uint32_t rest = n - i * RT_BARRIER_GROUP;
        atomic_init(&g->arrived, 0);
        atomic_init(&g->epoch, 0);
        atomic_init(&g->sleepers, 0);
        g->count = rest < RT_BARRIER_GROUP ? rest : RT_BARRIER_GROUP;
        g->above = groups == 1 ? from : from + groups + i / RT_BARRIER_GROUP;
    }
    if (groups > 1) build(b, from + groups, groups);
}

bool rt_barrier_init(rt_barrier *b, uint32_t count) {
    uint32_t all = 0, level = count;
    do all += level = groups_of(level);
    while (level > 1);
    void *place = NULL;
    if (posix_memalign(&place, _Alignof(struct rt_barrier_group), all * sizeof *b->groups) != 0)
        return false;
    *b = (rt_barrier){memset(place, 0, all * sizeof *b->groups), count, groups_of(count),
                      DEFAULT_SPINS};
    build(b, 0, count);
    return true;
}

void rt_barrier_free(rt_barrier *b) {
    free(b->groups);
    b->groups = NULL;
}

/* The last of all was there. Sequentially consistent here and where threads fall asleep: either
 * this one sees the sleeper or the sleeper sees the new epoch. */
static void let_go(rt_barrier *b) {
    for (uint32_t i = 0; i < b->leaves; i++) {
        struct rt_barrier_group *g = &b->groups[i];
        atomic_fetch_add(&g->epoch, 1);
        if (atomic_load(&g->sleepers) != 0) rt_futex_wake_all(&g->epoch);
    }
}

void rt_barrier_wait(rt_barrier *b, uint32_t tid) {
    if (b->count <= 1) return;
    struct rt_barrier_group *mine = &b->groups[tid / RT_BARRIER_GROUP], *g = mine;
    const uint32_t epoch = atomic_load_explicit(&mine->epoch, memory_order_relaxed);
    while (atomic_fetch_add_explicit(&g->arrived, 1, memory_order_acq_rel) + 1 == g->count) {
        atomic_store_explicit(&g->arrived, 0, memory_order_relaxed); /* published by the epochs */
        if (g == &b->groups[g->above]) {
            let_go(b);
            return;
        }
        g = &b->groups[g->above];
    }
    for (uint32_t i = 0; i < b->spins; i++) {
        if (atomic_load_explicit(&mine->epoch, memory_order_acquire) != epoch) return;
        rt_pause();
    }
    atomic_fetch_add(&mine->sleepers, 1);
    while (atomic_load(&mine->epoch) == epoch) rt_futex_wait(&mine->epoch, epoch);
    atomic_fetch_sub(&mine->sleepers, 1);
}
