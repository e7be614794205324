/* Who computes which tasks of an op. Each thread has an even share of them, neighbours. It takes
 * the first half of what is left of it, then half of the rest and so on; who has none left takes
 * from the end of another's. So threads that run undisturbed have their own part of memory in every
 * op, and one that lost its core for a while keeps nobody waiting for more than it has begun. */
#ifndef EBRU_RUNTIME_ENGINE_SHARES_H
#define EBRU_RUNTIME_ENGINE_SHARES_H

#include <stdatomic.h>
#include <stdint.h>

struct rt_share {
    _Alignas(64) _Atomic uint64_t left; /* of the thread's share: first, one past the last, op */
    int32_t op;                         /* the op it is at, -1: none */
    /* partition: the next of the threads it stands for; of the op it is at the tasks (of all
     * threads), nanoseconds of CPU time, when the share that runs began, of all of its shares and of
     * the longest */
    int32_t turn, tasks;
    int64_t opened, cpu, longest;
};

typedef struct rt_shares {
    struct rt_share *of; /* [threads] */
    int32_t threads;
    /* 0, or: the threads do the shares of so many, one after another, as those would (--partition)
     */
    int32_t partition;
} rt_shares;

/* False when there is no memory. */
_Bool rt_shares_init(rt_shares *s, int32_t threads);
void rt_shares_free(rt_shares *s);
/* By each thread, before the first op of a run. */
void rt_shares_begin(rt_shares *s, int32_t thread);
/* As ebru_take (runtime/abi/abi.h). */
uint64_t rt_shares_take(rt_shares *s, int32_t thread, int32_t op, int32_t tasks, int32_t step);

#endif
