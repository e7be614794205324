#include "driver/driver.h"

#include "frontend/files.h"

#include <signal.h>
#include <unistd.h>

static void on_signal(int sig) {
    fe_output_remove_all();
    _exit(128 + sig);
}

int main(int argc, char **argv) {
    struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is a write error, told as one */
    signal(SIGPIPE, SIG_IGN);
    drv_options o;
    int bad = drv_parse(&o, argc, argv);
    if (bad) return bad;
    switch (o.command) {
    case DRV_COMPILE: return drv_compile(&o);
    case DRV_OPT: return drv_opt(&o);
    case DRV_VERIFY: return drv_verify(&o);
    case DRV_INSPECT: return drv_inspect(&o);
    case DRV_BENCH: return drv_bench(&o);
    }
    return DRV_INTERNAL;
}
