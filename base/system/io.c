#include "base/system/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

/* Linux writes at most 0x7ffff000 bytes a call. The hostile tests write few at a time. */
#ifdef EBRU_HOSTILE
enum { MOST = 997 };
#else
enum { MOST = 1 << 30 };
#endif

static size_t least(size_t count) {
    return count < MOST ? count : MOST;
}

/* What a call has written: true when the caller may go on. A call that writes nothing and gives no
 * reason would be repeated for ever. */
static bool advanced(ssize_t n) {
    if (n == 0) errno = EIO;
    return n > 0;
}

bool base_write_all(int fd, const void *bytes, size_t count) {
    const char *p = bytes;
    while (count > 0) {
        ssize_t n = write(fd, p, least(count));
        if (n < 0 && errno == EINTR) continue;
        if (!advanced(n)) return false;
        p += n;
        count -= (size_t)n;
    }
    return true;
}

bool base_pwrite_all(int fd, const void *bytes, size_t count, uint64_t at) {
    const char *p = bytes;
    while (count > 0) {
        ssize_t n = pwrite(fd, p, least(count), (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (!advanced(n)) return false;
        p += n;
        at += (uint64_t)n;
        count -= (size_t)n;
    }
    return true;
}

bool base_copy_all(int from, int to) {
    char buffer[1 << 15];
    ssize_t n;
    while ((n = read(from, buffer, sizeof buffer)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 || !base_write_all(to, buffer, (size_t)n)) return false;
    }
    return true;
}

void base_keep_standard_streams(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY) < 0)
            return;
}

int base_check_standard_output(void) {
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    if (flags < 0) return errno;
    if ((flags & O_ACCMODE) == O_RDONLY) return EBADF;
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLNVAL)) ? EPIPE : 0;
}
