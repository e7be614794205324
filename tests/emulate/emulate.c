/* The handler: decode, perform, step over. */
#include "tests/emulate/perform.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[EM_OPS] = {
#define X(ID, name) name,
    EM_INSTRUCTIONS(X)
#undef X
};
static atomic_ullong counts[EM_OPS];

/* There is no way on: says why and ends the process, also from inside a handler. */
static _Noreturn void give_up(const uint8_t *code, const char *name, const char *why) {
    char text[200];
    int n = snprintf(text, sizeof text, "emulator: %s: %s, at %p:", name, why, (const void *)code);
    for (int k = 0; k < 12; k++) n += snprintf(text + n, sizeof text - (size_t)n, " %02x", code[k]);
    text[n++] = '\n';
    if (write(2, text, (size_t)n) < 0) _exit(70);
    abort();
}

static void on_illegal(int sig, siginfo_t *info, void *context) {
    (void)sig;
    (void)info;
    em_frame f;
    em_inst i;
    ucontext_t *u = context;
    const uint8_t *code = (const uint8_t *)(uintptr_t)u->uc_mcontext.gregs[REG_RIP];
    if (!em_decode(code, &i)) give_up(code, "unknown", "illegal instruction");
    if (!em_frame_of(&f, u)) give_up(code, names[i.op], "the kernel saved no extended state");
    do { /* the signal costs most: what follows directly is performed along with it */
        const char *fault =
            i.op >= EM_VDPBF16PS ? em_perform_vector(&f, &i) : em_perform_tile(&f, &i);
        if (fault) give_up(code, names[i.op], fault);
        atomic_fetch_add_explicit(&counts[i.op], 1, memory_order_relaxed);
        code += i.length;
        f.general[REG_RIP] += i.length;
    } while (em_decode(code, &i));
}

bool emulate_install(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f") || !em_frame_layout()) return false;
    struct sigaction act = {.sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO | SA_RESTART};
    return sigaction(SIGILL, &act, NULL) == 0;
}

bool emulate_tiles(void) {
    uint8_t config[64];
    if (!emulate_install()) return false;
    uint64_t before = emulate_count(EM_STTILECFG);
    __asm__ volatile("sttilecfg %0" : "=m"(config));
    return emulate_count(EM_STTILECFG) > before;
}

uint64_t emulate_count(em_op op) {
    return atomic_load(&counts[op]);
}
