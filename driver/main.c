#include "base/io.h"
#include "base/output.h"
#include "driver/commands/commands.h"
#include "driver/driver.h"

#include <signal.h>
#include <unistd.h>

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
    case DRV_BISECT: return drv_bisect(o);
    case DRV_TUNE: return drv_tune(o);
    case DRV_COMPLETION: return drv_completion(o);
    case DRV_HELP: return drv_help(o);
    }
    return DRV_INTERNAL;
}

int main(int argc, char **argv) {
    base_keep_standard_streams();
    base_output_catch_signals();
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is a write error, told as one */
    signal(SIGPIPE, SIG_IGN);
    drv_options o;
    bool done = false;
    int code = drv_parse(&o, argc, argv, &done);
    if (!code && !done) code = run(&o);
    if ((fflush(stdout) || ferror(stdout)) && !code) {
        if (!base_is_broken_pipe(STDOUT_FILENO))
            fprintf(stderr, "ebru: error: cannot write to standard output\n");
        code = DRV_IO;
    }
    return code;
}
