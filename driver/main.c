#include "driver/driver.h"

#include "frontend/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static void on_signal(int sig) {
    fe_output_remove_all();
    drv_temp_remove();
    _exit(128 + sig);
}

/* A missing standard stream must not become the number of an output file, which messages would end
 * up in. */
static void keep_standard_streams(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd ? O_WRONLY : O_RDONLY) < 0)
            return;
}

static int run(const drv_options *o) {
    switch (o->command) {
    case DRV_COMPILE: return drv_compile(o);
    case DRV_OPT: return drv_opt(o);
    case DRV_VERIFY: return drv_verify(o);
    case DRV_INSPECT: return drv_inspect(o);
    case DRV_BENCH: return drv_bench(o);
    case DRV_DIFF: return drv_diff(o);
    case DRV_REPORT: return drv_report_run(o);
    case DRV_REDUCE: return drv_reduce(o);
    case DRV_TUNE: return drv_tune(o);
    case DRV_COMPLETION: return drv_completion(o);
    case DRV_HELP: return drv_help(o);
    }
    return DRV_INTERNAL;
}

int main(int argc, char **argv) {
    keep_standard_streams();
    struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is a write error, told as one */
    signal(SIGPIPE, SIG_IGN);
    drv_options o;
    bool done = false;
    int code = drv_parse(&o, argc, argv, &done);
    if (!code && !done) code = run(&o);
    if ((fflush(stdout) || ferror(stdout)) && !code) {
        fprintf(stderr, "ebru: error: cannot write to standard output\n");
        code = DRV_IO;
    }
    return code;
}
