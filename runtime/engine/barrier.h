/* The barrier of a pool. Threads arrive in groups of RT_BARRIER_GROUP: the last of a group arrives
 * at the group of groups above, and so on; the last of all lets every group go, whose threads wait
 * on a word of their own. So no cache line is written by more than a group, and nobody waits for
 * anything but to be let go: shortly spinning, then asleep in the kernel. Up to a group of threads
 * it is a counter and a word. */
#ifndef EBRU_RUNTIME_ENGINE_BARRIER_H
#define EBRU_RUNTIME_ENGINE_BARRIER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { RT_BARRIER_GROUP = 8 };

struct rt_barrier_group {
    _Alignas(64) _Atomic uint32_t arrived;
    uint32_t count; /* threads or groups that arrive here */
    uint32_t above; /* the group that the last of them arrives at; its own: none */
    _Alignas(64) _Atomic uint32_t epoch; /* futex word; groups of threads only */
    _Atomic uint32_t sleepers;
};

typedef struct rt_barrier {
    struct rt_barrier_group *groups; /* those of threads first, then those above */
    uint32_t count, leaves;          /* threads, groups of threads */
    uint32_t spins;                  /* pauses before sleeping */
} rt_barrier;

/* False when there is no memory. */
bool rt_barrier_init(rt_barrier *b, uint32_t count);
void rt_barrier_free(rt_barrier *b);
/* Thread `tid` of the barrier's arrives. All writes before it by any thread are visible after it
 * to all. */
void rt_barrier_wait(rt_barrier *b, uint32_t tid);

/* A hint that this thread waits for another. */
void rt_pause(void);
/* Sleeping while *word is `value`, and waking who does. */
void rt_futex_wait(_Atomic uint32_t *word, uint32_t value);
void rt_futex_wake_all(_Atomic uint32_t *word);

#endif
