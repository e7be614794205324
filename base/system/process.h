/* Children that do not outlive the process that started them, however that ends. */
#ifndef EBRU_BASE_SYSTEM_PROCESS_H
#define EBRU_BASE_SYSTEM_PROCESS_H

#include <sys/types.h>

/* fork() with streams flushed before, whose child is killed when the thread that called it ends,
 * and does not hold the locks of its parent's temporaries (base/system/output.h). -1 with errno set. */
pid_t base_fork(void);

/* Ends a process at once, such a child above all, without what exit() does. Where it is counted
 * which lines run, the counts are written first. */
_Noreturn void base_exit_child(int status);

/* Starts argv[0], found by PATH, with descriptors for its streams 0, 1, 2 (-1: ours) and without
 * the environment's variable `without` (NULL: all of it). It and what it starts are a process group
 * of its own, which gets SIGTERM when the calling thread ends, and whose leader's number is the
 * value; base_wait() gives the status of argv[0]. -1 with errno set, also when it cannot be
 * executed. */
pid_t base_spawn(const char *const *argv, const int streams[3], const char *without);

/* waitpid() that no signal interrupts: 0, or -1 with errno set. */
int base_wait(pid_t pid, int *status);

#endif
