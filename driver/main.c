#include "base/diag.h"
#include "base/system/io.h"
#include "base/system/output.h"
#include "base/system/stack.h"
#include "driver/cli/write_text.h"
#include "driver/commands/commands.h"
#include "driver/driver.h"
#include "frontend/files/files.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
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
    case DRV_QUANTIZE: return drv_quantize(o);
    case DRV_COMPLETION: return drv_completion(o);
    case DRV_HELP: return drv_help(o);
    }
    return DRV_INTERNAL;
}

/* What commands that work long will write; compile has a look of its own. */
static int check_outputs(const drv_options *o) {
    base_diag *d = drv_diag(&o->common);
    drv_tell_repeated(d, o);
    if (o->command == DRV_COMPILE) {
        base_diag_free(d);
        return DRV_OK;
    }
    bool prints =
        !o->common.output &&
        (o->command & (DRV_OPT | DRV_INSPECT | DRV_DIFF | DRV_REPORT | DRV_BENCH | DRV_VERIFY));
    bool fine = drv_can_write(d, o->common.output);
    fine &= drv_can_write(d, o->verify.write);
    fine &= drv_can_write(d, prints ? "-" : NULL);
    base_diag_free(d);
    return fine ? DRV_OK : DRV_IO;
}

static void say(const char *text) {
    (void)base_write_all(STDERR_FILENO, text, strlen(text));
}

/* Somebody cut a file that is mapped, or its disk fails. */
static void on_bus_error(int number, siginfo_t *info, void *context) {
    /* a signal that was sent, and not a fault, has no address */
    const char *path = info->si_code > 0 ? fe_mapped_path(info->si_addr) : NULL;
    (void)context;
    base_output_remove_all();
    if (!path) { /* a fault of ours, or sent */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    say("ebru: error: cannot read '");
    say(path);
    say("': the file became shorter, or its disk fails\n");
    _exit(DRV_IO);
}

/* Where there is no PATH (env -i), execvp() finds the linker all the same, but a compiler driver
 * does not find its own parts, for which it looks itself up. */
static void set_default_path(void) {
    char path[256];
    size_t n = confstr(_CS_PATH, path, sizeof path);
    if (!getenv("PATH") && n && n <= sizeof path) setenv("PATH", path, 1);
}

/* LLVM recurses, and a stack that overflows would be told as a fault of ebru's. A low limit that the
 * user may raise is raised, for the linker too. 0 or an exit code. */
static int check_stack(void) {
    enum { NEEDED = 256 << 10 };
    return base_stack_suffices("ebru", NEEDED) ? DRV_OK : DRV_IO;
}

int main(int argc, char **argv) {
    set_default_path();
    base_keep_standard_streams();
    base_output_catch_signals();
    base_output_keep("/proc/self/exe");
    struct sigaction bus = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &bus, NULL);
    signal(SIGCHLD, SIG_DFL); /* who ignores it has no children to wait for, and so would we */
    drv_options o;
    bool done = false;
    int code = drv_parse(&o, argc, argv, &done);
    if (!code && !done) code = check_stack();
    if (!code && !done) code = check_outputs(&o);
    if (!code && !done) code = run(&o);
    if (code == DRV_INPUT && base_diag_system_failed()) code = DRV_IO;
    if ((fflush(stdout) || ferror(stdout)) && !code) {
        fprintf(stderr, "ebru: error: cannot write to standard output\n");
        code = DRV_IO;
    }
    return code;
}
