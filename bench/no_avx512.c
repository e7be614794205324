/* Preloaded into a process, hides AVX-512 and AMX from it: makes the CPUID instruction fault
 * (Linux, CPUs with cpuid_fault) and answers it with those features' bits cleared. For engines that
 * choose their kernels by CPUID and offer no switch (onnxruntime). cc -shared -fPIC -O2 -o
 * no_avx512.so bench/no_avx512.c; LD_PRELOAD=./no_avx512.so node ... Ends the process with 3 where
 * CPUID cannot be made to fault. Not inherited over exec, preloaded anew there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { ARCH_CPUID_SET = 0x1012 };

static struct sigaction before; /* what the program wants done on SIGSEGV */
static int (*real_sigaction)(int, const struct sigaction *, struct sigaction *);

/* The handler stays, whatever the program installs (node puts all signals back to their defaults
 * first). */
int sigaction(int number, const struct sigaction *restrict new, struct sigaction *restrict old) {
    if (!real_sigaction) *(void **)&real_sigaction = dlsym(RTLD_NEXT, "sigaction");
    if (number != SIGSEGV) return real_sigaction(number, new, old);
    struct sigaction was = before;
    if (new) before = *new;
    if (old) *old = was;
    return 0;
}

static int set_cpuid(unsigned long enabled) {
    return (int)syscall(SYS_arch_prctl, ARCH_CPUID_SET, enabled);
}

/* Leaf 7 (Intel's manual, volume 2, CPUID): all that begins with AVX512 or AMX. */
static void hide(uint32_t leaf, uint32_t subleaf, uint32_t r[4]) {
    static const uint32_t ebx =
        1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31;
    static const uint32_t ecx = 1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14;
    static const uint32_t edx =
        1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25;
    if (leaf == 7 && subleaf == 0) r[1] &= ~ebx, r[2] &= ~ecx, r[3] &= ~edx;
    if (leaf == 7 && subleaf == 1)
        r[0] &= ~(1u << 5 | 1u << 21),
            r[3] &= ~(1u << 8 | 1u << 19); /* BF16, AMX-FP16, AMX-COMPLEX, AVX10 */
}

static void answer(int number, siginfo_t *info, void *context) {
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *code = (const uint8_t *)g[REG_RIP];
    /* a faulting CPUID comes as a general protection fault, whose address is 0 */
    if (info->si_code != SI_KERNEL || info->si_addr || code[0] != 0x0f || code[1] != 0xa2) {
        if (before.sa_flags & SA_SIGINFO)
            before.sa_sigaction(number, info, context);
        else
            signal(number, SIG_DFL);
        return;
    }
    uint32_t leaf = (uint32_t)g[REG_RAX], subleaf = (uint32_t)g[REG_RCX], r[4];
    set_cpuid(1);
    __asm__ volatile("cpuid"
                     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                     : "a"(leaf), "c"(subleaf));
    set_cpuid(0);
    hide(leaf, subleaf, r);
    g[REG_RAX] = r[0], g[REG_RBX] = r[1], g[REG_RCX] = r[2], g[REG_RDX] = r[3];
    g[REG_RIP] += 2;
}

__attribute__((constructor)) static void begin(void) {
    struct sigaction a = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    sigemptyset(&a.sa_mask);
    *(void **)&real_sigaction = dlsym(RTLD_NEXT, "sigaction");
    if (!real_sigaction || real_sigaction(SIGSEGV, &a, &before) != 0 || set_cpuid(0) != 0) {
        static const char text[] = "no_avx512: CPUID cannot be made to fault here\n";
        if (write(2, text, sizeof text - 1) < 0) _exit(4);
        _exit(3);
    }
}
