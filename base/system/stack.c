#include "base/system/stack.h"
#include "base/system/io.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

bool base_stack_suffices(const char *program, size_t needed) {
    const rlim_t usual = 8 << 20;
    struct rlimit r;
    if (getrlimit(RLIMIT_STACK, &r) != 0 || r.rlim_cur >= usual) return true;
    r.rlim_cur = r.rlim_max < usual ? r.rlim_max : usual;
    if (setrlimit(RLIMIT_STACK, &r) != 0) getrlimit(RLIMIT_STACK, &r);
    if (r.rlim_cur >= needed) return true;
    char text[200]; /* a stream would put its buffer on the stack */
    int n =
        snprintf(text, sizeof text,
                 "%.40s: error: the stack is limited to %zu bytes (ulimit -s); %zu are needed\n",
                 program, (size_t)r.rlim_cur, needed);
    if (n > 0) (void)base_write_all(STDERR_FILENO, text, (size_t)n);
    return false;
}
