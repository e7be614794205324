#include "runtime/engine/shares.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What is left of a share is one word, so that it is taken from in one step. It tells of which op
 * it is: a thread that wants some of it may meanwhile have been left behind by one that is at a
 * later op, though not by more than a barrier allows. */
enum { TASK_BITS = 26, MOST_SHARED = 1 << TASK_BITS };

static uint64_t word_of(int32_t op, int32_t begin, int32_t end) {
    return ((uint64_t)(uint32_t)op << TASK_BITS | (uint32_t)begin) << TASK_BITS | (uint32_t)end;
}
static int32_t begin_of(uint64_t word) {
    return (int32_t)(word >> TASK_BITS & (MOST_SHARED - 1));
}
static int32_t end_of(uint64_t word) {
    return (int32_t)(word & (MOST_SHARED - 1));
}
/* Something is left of the op's. */
static bool left_of(uint64_t word, int32_t op) {
    return word >> 2 * TASK_BITS == word_of(op, 0, 0) >> 2 * TASK_BITS &&
           begin_of(word) < end_of(word);
}

static uint64_t tasks_of(int32_t begin, int32_t end) {
    return (uint64_t)(uint32_t)end << 32 | (uint32_t)begin;
}
static int32_t share_begin(int32_t tasks, int32_t thread, int32_t threads) {
    return (int32_t)((int64_t)tasks * thread / threads);
}

_Bool rt_shares_init(rt_shares *s, int32_t threads) {
    void *place = NULL;
    const size_t bytes = (size_t)threads * sizeof *s->of;
    if (posix_memalign(&place, _Alignof(struct rt_share), bytes) != 0) return false;
    *s = (rt_shares){memset(place, 0, bytes), threads, 0};
    for (int32_t i = 0; i < threads; i++) atomic_init(&s->of[i].left, 0);
    return true;
}

void rt_shares_free(rt_shares *s) {
    free(s->of);
    s->of = NULL;
}

void rt_shares_begin(rt_shares *s, int32_t thread) {
    s->of[thread].op = -1;
}

/* Where the part ends that a thread takes next of its own: about half of what is left, whole steps
 * where there are several of them. Of less than two steps more than half: what they share is read
 * again for each part. */
static int32_t own_end(int32_t begin, int32_t end, int32_t step) {
    const int32_t n = end - begin;
    if (step <= 1 || n <= 2) return end - n / 2;
    if (n < 2 * step) return end - n / 4;
    const int32_t up = (begin + (n + 1) / 2 + step - 1) / step * step;
    return up < end ? up : end;
}

/* Where the part begins that is taken of another's. */
static int32_t others_begin(int32_t begin, int32_t end, int32_t step) {
    const int32_t half = end - (end - begin + 1) / 2, down = half / step * step;
    return down >= begin ? down : half;
}

static uint64_t take_own(struct rt_share *me, int32_t op, int32_t step) {
    uint64_t word = atomic_load_explicit(&me->left, memory_order_relaxed);
    while (left_of(word, op)) {
        const int32_t begin = begin_of(word), end = end_of(word), to = own_end(begin, end, step);
        if (atomic_compare_exchange_weak_explicit(&me->left, &word, word_of(op, to, end),
                                                  memory_order_relaxed, memory_order_relaxed))
            return tasks_of(begin, to);
    }
    return 0;
}

/* Looks at the threads 1, 2, 4, 8 ... further on: enough to meet one that is late, and few. */
static uint64_t take_others(rt_shares *s, int32_t thread, int32_t op, int32_t step) {
    for (int32_t away = 1; away < s->threads; away *= 2) {
        struct rt_share *other = &s->of[(thread + away) % s->threads];
        uint64_t word = atomic_load_explicit(&other->left, memory_order_relaxed);
        while (left_of(word, op)) {
            const int32_t begin = begin_of(word), end = end_of(word),
                          from = others_begin(begin, end, step);
            if (atomic_compare_exchange_weak_explicit(&other->left, &word, word_of(op, begin, from),
                                                      memory_order_relaxed, memory_order_relaxed))
                return tasks_of(from, end);
        }
    }
    return 0;
}

static int64_t thread_cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The shares of `partition` threads, those that this one stands for in turn. */
static uint64_t take_turn(rt_shares *s, int32_t thread, int32_t op, int32_t tasks) {
    struct rt_share *me = &s->of[thread];
    const int64_t now = thread_cpu();
    if (me->op != op) {
        me->op = op;
        me->turn = share_begin(s->partition, thread, s->threads);
        me->tasks = tasks;
        me->cpu = me->longest = 0;
    } else {
        me->cpu += now - me->opened;
        if (now - me->opened > me->longest) me->longest = now - me->opened;
    }
    me->opened = now;
    while (me->turn < share_begin(s->partition, thread + 1, s->threads)) {
        const int32_t turn = me->turn++, begin = share_begin(tasks, turn, s->partition),
                      end = share_begin(tasks, turn + 1, s->partition);
        if (begin < end) return tasks_of(begin, end);
    }
    return 0;
}

uint64_t rt_shares_take(rt_shares *s, int32_t thread, int32_t op, int32_t tasks, int32_t step) {
    struct rt_share *me = &s->of[thread];
    if (s->partition) return take_turn(s, thread, op, tasks);
    const bool shared = s->threads > 1 && tasks > s->threads && tasks < MOST_SHARED;
    if (me->op != op) {
        const int32_t begin = share_begin(tasks, thread, s->threads),
                      end = share_begin(tasks, thread + 1, s->threads);
        me->op = op;
        if (!shared) return tasks_of(begin, end);
        const int32_t to = own_end(begin, end, step);
        atomic_store_explicit(&me->left, word_of(op, to, end), memory_order_relaxed);
        return tasks_of(begin, to);
    }
    if (!shared) return 0;
    const uint64_t own = take_own(me, op, step);
    return own ? own : take_others(s, thread, op, step);
}
