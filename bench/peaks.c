/* The machine's roofs on THREADS threads, measured: multiply-adds in registers for every width it
 * has, products of bf16 where it has them, and reading memory. One JSON object of GFLOP/s and GB/s
 * on standard output. peaks [THREADS] The best of several short runs: neighbours on the machine can
 * only take away. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { REPEATS = 9, MAX_THREADS = 256 };
#define READ_BYTES ((size_t)256 << 20) /* a thread: more than any cache */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Twelve chains cover the latency of two ports; zeros everywhere: no traps, no denormals. */
#define CHAINS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#define CLEAR(r)  "vpxor %%xmm" #r ", %%xmm" #r ", %%xmm" #r "\n\t"
#define FMA128(r) "vfmadd231ps %%xmm0, %%xmm0, %%xmm" #r "\n\t"
#define FMA256(r) "vfmadd231ps %%ymm0, %%ymm0, %%ymm" #r "\n\t"
#define FMA512(r) "vfmadd231ps %%zmm0, %%zmm0, %%zmm" #r "\n\t"
#define DPBF16(r) "vdpbf16ps %%zmm0, %%zmm0, %%zmm" #r "\n\t"
#define CLOBBERS                                                                                   \
    "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
        "xmm11", "xmm12"
#define LOOP(name, op)                                                                             \
    static void name(long n, void *unused) {                                                       \
        (void)unused;                                                                              \
        __asm__ volatile(CLEAR(0)                                                                  \
                             CHAINS(CLEAR) "1:\n\t" CHAINS(op) "dec %0\n\tjnz 1b\n\tvzeroupper"    \
                         : "+r"(n)::CLOBBERS);                                                     \
    }
LOOP(fma128, FMA128)
LOOP(fma256, FMA256)
LOOP(fma512, FMA512)
LOOP(dpbf16, DPBF16)

/* Four accumulators of 16x16 from two tiles each of A and B, all in registers. */
static void amx(long n, void *unused) {
    (void)unused;
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t colsb[16];
        uint8_t rows[16];
    } c = {.palette = 1};
    for (int i = 0; i < 8; i++) c.colsb[i] = 64, c.rows[i] = 16;
    __asm__ volatile("ldtilecfg %1\n\t"
                     "1:\n\t"
                     "tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\t"
                     "tdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\t"
                     "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\t"
                     "tdpbf16ps %%tmm7, %%tmm5, %%tmm3\n\t"
                     "dec %0\n\tjnz 1b\n\ttilerelease"
                     : "+r"(n)
                     : "m"(c)
                     : "cc");
}

/* Sums words of the thread's own memory, 64 bytes a turn, as wide as every x86-64 can. */
static void read_memory(long n, void *memory) {
    typedef uint64_t words __attribute__((vector_size(16)));
    const words *p = memory;
    words a = {0}, b = {0}, c = {0}, d = {0};
    for (long k = 0; k < n; k++) {
        for (size_t i = 0; i < READ_BYTES / sizeof *p; i += 4)
            a += p[i], b += p[i + 1], c += p[i + 2], d += p[i + 3];
        a += b, c += d, a += c;
        __asm__ volatile("" ::"x"(a));
    }
}

struct share {
    void (*loop)(long n, void *memory);
    long n;
    void *memory;
    pthread_barrier_t *begin, *end;
};

static void *run_share(void *arg) {
    struct share *s = arg;
    for (int r = 0; r < REPEATS; r++) {
        pthread_barrier_wait(s->begin);
        s->loop(s->n, s->memory);
        pthread_barrier_wait(s->end);
    }
    return NULL;
}

/* Work of all threads a second, `work` being one thread's in a run. */
static double best_rate(void (*loop)(long, void *), long n, double work, int threads,
                        void **memory) {
    pthread_barrier_t begin, end;
    pthread_barrier_init(&begin, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&end, NULL, (unsigned)threads + 1);
    pthread_t id[MAX_THREADS];
    struct share s[MAX_THREADS];
    for (int t = 0; t < threads; t++) {
        s[t] = (struct share){loop, n, memory ? memory[t] : NULL, &begin, &end};
        if (pthread_create(&id[t], NULL, run_share, &s[t]) != 0) exit(3);
    }
    double best = 0;
    for (int r = 0; r < REPEATS; r++) {
        double from = now();
        pthread_barrier_wait(&begin);
        pthread_barrier_wait(&end);
        double rate = work * threads / (now() - from);
        if (r > 0 && rate > best)
            best = rate; /* the first settles clocks and makes pages present */
    }
    for (int t = 0; t < threads; t++) pthread_join(id[t], NULL);
    return best;
}

/* Linux gives the tiles' state to processes that ask. */
static int may_use_tiles(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0;
}

static int has_flag(const char *flag) {
    static char line[1 << 16];
    FILE *f = fopen("/proc/cpuinfo", "r");
    int found = 0;
    while (f && !found && fgets(line, sizeof line, f)) {
        if (strncmp(line, "flags", 5) != 0) continue;
        for (char *word = strtok(line, " \t\n"); word && !found; word = strtok(NULL, " \t\n"))
            found = strcmp(word, flag) == 0;
        break;
    }
    if (f) fclose(f);
    return found;
}

int main(int argc, char **argv) {
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    if (threads < 1 || threads > MAX_THREADS)
        return fprintf(stderr, "peaks: 1 to %d threads\n", MAX_THREADS), 2;
    const struct {
        const char *name, *flag;
        void (*loop)(long, void *);
        double flops; /* of one turn of the loop */
    } loops[] = {
        {"fma128", "fma", fma128, 12.0 * 2 * 4},
        {"fma256", "avx2", fma256, 12.0 * 2 * 8},
        {"fma512", "avx512f", fma512, 12.0 * 2 * 16},
        {"bf16_512", "avx512_bf16", dpbf16, 12.0 * 2 * 32},
        {"amx_bf16", "amx_bf16", amx, 4.0 * 16 * 16 * 32 * 2},
    };
    printf("{\"threads\": %d", threads);
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) {
        if (!has_flag(loops[i].flag) || (loops[i].loop == amx && !may_use_tiles())) continue;
        long n = loops[i].loop == amx ? 500000 : 3000000;
        printf(", \"%s\": %.1f", loops[i].name,
               best_rate(loops[i].loop, n, loops[i].flops * (double)n, threads, NULL) * 1e-9);
    }
    void *memory[MAX_THREADS];
    for (int t = 0; t < threads; t++) {
        memory[t] = aligned_alloc(64, READ_BYTES);
        if (!memory[t]) return fputs("peaks: out of memory\n", stderr), 3;
        memset(memory[t], 1, READ_BYTES);
    }
    printf(", \"read\": %.1f}\n",
           best_rate(read_memory, 1, (double)READ_BYTES, threads, memory) * 1e-9);
    for (int t = 0; t < threads; t++) free(memory[t]);
    return 0;
}
