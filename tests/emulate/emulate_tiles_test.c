/* AMX-BF16 and AMX-INT8 by the emulator against naive arithmetic: shapes, addresses, configuration, threads,
 * faults. */
#include "emulate_test.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct config {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
};

static void configure(const struct config *c) {
    __asm__ volatile("ldtilecfg (%0)" ::"r"(c) : "memory");
}
static void release(void) {
    __asm__ volatile("tilerelease" ::: "memory");
}
#define LOAD(t, p, stride)                                                                         \
    __asm__ volatile("tileloadd (%0,%1), %%tmm" #t ::"r"(p), "r"((int64_t)(stride)) : "memory")
/* clang-format off */
#define STORE(t, p, stride)                                                                        \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1)" ::"r"(p), "r"((int64_t)(stride))            \
                     : "memory")
/* clang-format on */
#define ZERO(t)      __asm__ volatile("tilezero %%tmm" #t::: "memory")
#define DOT(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c::: "memory")
#define DOT_BYTES(c, a, b)                                                                         \
    __asm__ volatile("tdpbusd %%tmm" #b ", %%tmm" #a ", %%tmm" #c::: "memory")

/* Tiles 0 to 2, or 5 to 7, as c (M rows of N), a (M rows of K pairs), b (K rows of N pairs). */
static struct config shapes(int M, int N, int K, int first) {
    struct config c = {.palette = 1};
    c.rows[first] = c.rows[first + 1] = (uint8_t)M;
    c.rows[first + 2] = (uint8_t)K;
    c.colsb[first] = c.colsb[first + 2] = (uint16_t)(4 * N);
    c.colsb[first + 1] = (uint16_t)(4 * K);
    return c;
}

static float product(const uint32_t *a, const uint32_t *b, int K, float c) {
    float even = 0, odd = 0;
    for (int k = 0; k < K; k++) {
        even = multiply_add(widen((uint16_t)a[k]), widen((uint16_t)b[k * 16]), even);
        odd = multiply_add(widen((uint16_t)(a[k] >> 16)), widen((uint16_t)(b[k * 16] >> 16)), odd);
    }
    return add(c, add(even, odd));
}

static uint32_t product_bytes(const uint32_t *a, const uint32_t *b, int K, uint32_t c) {
    for (int k = 0; k < K; k++) c = dot_bytes(c, a[k], b[k * 16]);
    return c;
}

static void multiply(bool of_bytes) {
    static const int sizes[][3] = {{16, 16, 16}, {1, 1, 1},   {16, 16, 1},
                                   {3, 16, 16},  {16, 5, 16}, {7, 9, 11}};
    for (size_t s = 0; s < 2 * (sizeof sizes / sizeof *sizes); s++) {
        const int *size = sizes[s / 2], M = size[0], N = size[1], K = size[2];
        struct config g = shapes(M, N, K, s % 2 ? 5 : 0);
        uint32_t a[16][16], b[16][16], c[16][16], out[17][16];
        for (int i = 0; i < 256; i++) {
            a[i / 16][i % 16] = of_bytes ? random_word() : random_pair();
            b[i / 16][i % 16] = of_bytes ? random_word() : random_pair();
            c[i / 16][i % 16] = of_bytes ? random_word() : random_float();
        }
        memset(out, 0xab, sizeof out);
        configure(&g);
        if (s % 2) {
            LOAD(5, c, 64);
            LOAD(6, a, 64);
            LOAD(7, b, 64);
            if (of_bytes)
                DOT_BYTES(5, 6, 7);
            else
                DOT(5, 6, 7);
            STORE(5, out, 64);
        } else {
            LOAD(0, c, 64);
            LOAD(1, a, 64);
            LOAD(2, b, 64);
            if (of_bytes)
                DOT_BYTES(0, 1, 2);
            else
                DOT(0, 1, 2);
            STORE(0, out, 64);
        }
        release();
        for (int m = 0; m < 17; m++)
            for (int n = 0; n < 16; n++) {
                uint32_t want = 0xabababab; /* outside the tile nothing is written */
                if (m < M && n < N && of_bytes)
                    want = product_bytes(a[m], &b[0][n], K, c[m][n]);
                else if (m < M && n < N)
                    want = bits_of(product(a[m], &b[0][n], K, float_of(c[m][n])));
                if (of_bytes ? out[m][n] != want : !same(float_of(out[m][n]), float_of(want)))
                    fail_msg("%dx%dx%d: row %d column %d is %08x, not %08x", M, N, K, m, n,
                             out[m][n], want);
            }
    }
}

void tiles_multiply(void **state) {
    (void)state;
    multiply(false);
}
void tiles_multiply_bytes(void **state) {
    (void)state;
    multiply(true);
}

/* One tile of 4 rows of 8 bytes, loaded or stored by the instruction; p in rax, r12 and r13, stride
 * in rcx and r9. */
#define FORM(code)                                                                                 \
    do {                                                                                           \
        register const char *p12 __asm__("r12") = p;                                               \
        register const char *p13 __asm__("r13") = p;                                               \
        register int64_t stride9 __asm__("r9") = stride;                                           \
        __asm__ volatile(code ::"a"(p), "c"(stride), "r"(p12), "r"(p13), "r"(stride9) : "memory"); \
    } while (0)

static char bytes[4096];
static struct config small = {.palette = 1, .colsb = {[3] = 8}, .rows = {[3] = 4}};

static void loaded(const char *first, int64_t stride) {
    char out[32];
    STORE(3, out, 8);
    for (int r = 0; r < 4; r++) assert_memory_equal(out + r * 8, first + r * stride, 8);
    ZERO(3);
    STORE(3, out, 8);
    for (int i = 0; i < 32; i++) assert_int_equal(out[i], 0);
}

static void stored(const char *first, int64_t stride) {
    for (int r = 0; r < 4; r++)
        for (int i = 0; i < 8; i++) {
            assert_int_equal(first[r * stride + i], 'A' + r * 8 + i);
        }
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 7 ^ i >> 8);
}

void tiles_are_addressed(void **state) {
    (void)state;
    const char *p = bytes + 2048;
    int64_t stride = 24;
    char letters[32];
    for (int i = 0; i < 32; i++) letters[i] = (char)('A' + i);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 7 ^ i >> 8);
    configure(&small);
    FORM("tileloadd (%%rax,%%rcx), %%tmm3");
    loaded(p, 24);
    FORM("tileloaddt1 (%%rax,%%rcx,2), %%tmm3");
    loaded(p, 48);
    FORM("tileloadd 7(%%r12,%%r9,4), %%tmm3");
    loaded(p + 7, 96);
    FORM("tileloadd -100(%%r13,%%r9,8), %%tmm3");
    loaded(p - 100, 192);
    FORM("tileloadd 1000(%%r12,%%rcx), %%tmm3");
    loaded(p + 1000, 24);
    FORM("tileloadd -1000(%%r13,%%rcx), %%tmm3");
    loaded(p - 1000, 24);
    FORM("tileloadd (%%rax), %%tmm3"); /* no index: every row is the first */
    loaded(p, 0);
    FORM("tileloadd 64(%%r13), %%tmm3");
    loaded(p + 64, 0);
    stride = -40;
    FORM("tileloadd (%%rax,%%rcx), %%tmm3");
    loaded(p, -40);
    /* the stack pointer as base; its red zone survives the signal */
    char zone[8];
    __asm__ volatile("mov (%1), %%r8\n\tmov %%r8, -8(%%rsp)\n\ttileloadd -8(%%rsp), %%tmm3\n\t"
                     "mov -8(%%rsp), %%r8\n\tmov %%r8, %0"
                     : "=m"(zone)
                     : "r"(p)
                     : "memory", "r8");
    loaded(p, 0);
    assert_memory_equal(zone, p, 8);
    /* no base: an absolute address */
    char *low = mmap((void *)0x20000000, 4096, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    assert_true(low == (char *)0x20000000);
    memcpy(low, bytes, 4096);
    __asm__ volatile("tileloadd 0x20000010(,%0,2), %%tmm3" ::"r"(INT64_C(12)) : "memory");
    loaded(bytes + 16, 24);
    munmap(low, 4096);
    stride = 24;
    LOAD(3, letters, 8);
    FORM("tilestored %%tmm3, (%%rax,%%rcx)");
    stored(p, 24);
    FORM("tilestored %%tmm3, 300(%%r13,%%r9,4)");
    stored(p + 300, 96);
    stride = -8;
    FORM("tilestored %%tmm3, -5(%%r12,%%rcx,1)");
    stored(p - 5, -8);
    release();
}

void tiles_are_configured(void **state) {
    (void)state;
    struct config c = shapes(3, 4, 5, 0), back;
    configure(&c);
    __asm__ volatile("sttilecfg %0" : "=m"(back)::"memory");
    assert_memory_equal(&c, &back, sizeof c);
    uint32_t word[16 * 16], out[16 * 16];
    for (int i = 0; i < 256; i++) word[i] = random_word();
    LOAD(0, word, 64);
    __asm__ volatile("ldtilecfg %0" ::"m"(small)
                     : "memory"); /* relative to the instruction; clears all tiles */
    __asm__ volatile("sttilecfg %0" : "=m"(back)::"memory");
    assert_memory_equal(&small, &back, sizeof back);
    configure(&c);
    STORE(0, out, 64);
    for (int r = 0; r < 3; r++)
        for (int i = 0; i < 4; i++) assert_int_equal(out[r * 16 + i], 0);
    release();
    __asm__ volatile("sttilecfg %0" : "=m"(back)::"memory");
    for (size_t i = 0; i < sizeof back; i++) assert_int_equal(((uint8_t *)&back)[i], 0);
}

static void *thread(void *arg) {
    int rows = *(int *)arg;
    struct config c = {.palette = 1, .colsb = {4}, .rows = {(uint8_t)rows}};
    uint32_t in[16] = {0}, out[16] = {0};
    for (int round = 0; round < 300; round++) {
        configure(&c);
        for (int i = 0; i < rows; i++) in[i] = (uint32_t)(rows * 1000 + i);
        LOAD(0, in, 4);
        sched_yield();
        STORE(0, out, 4);
        if (memcmp(in, out, sizeof in)) return "mixed up";
    }
    release();
    return NULL;
}

void tiles_belong_to_threads(void **state) {
    (void)state;
    pthread_t t[3];
    int rows[3] = {2, 9, 16};
    void *result;
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&t[i], NULL, thread, &rows[i]), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], &result);
        assert_null(result);
    }
}

static void twice(void) {
    struct config c = shapes(16, 16, 16, 0);
    configure(&c);
    __asm__ volatile(
        ".byte 0xc4, 0xe2, 0x72, 0x5c, 0xc1"); /* tmm0 += tmm1 * tmm1, which assemblers refuse */
}
static void misfit(void) {
    struct config c = shapes(16, 16, 16, 0);
    c.rows[2] = 8;
    configure(&c);
    DOT(0, 1, 2);
}
static void not_configured(void) {
    struct config c = shapes(16, 16, 16, 0);
    configure(&c);
    ZERO(4);
}
static void no_configuration(void) {
    release();
    ZERO(0);
}
static void too_large(void) {
    struct config c = {.palette = 1, .colsb = {68}, .rows = {1}};
    configure(&c);
}
static void reserved(void) {
    struct config c = {.palette = 1, .reserved = {1}};
    configure(&c);
}
static void unknown(void) {
    __asm__ volatile("ud2");
}

/* On a CPU with AMX it ends, too, if without our words. */
static void ends(void (*what)(void), const char *says) {
    int out[2], status;
    char text[400] = "";
    assert_int_equal(pipe(out), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(out[1], 2);
        what();
        _exit(0);
    }
    close(out[1]);
    size_t used = 0;
    ssize_t n;
    while ((n = read(out[0], text + used, sizeof text - 1 - used)) > 0) used += (size_t)n;
    close(out[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    if (WTERMSIG(status) == SIGABRT && !strstr(text, says))
        fail_msg("'%s' does not say '%s'", text, says);
}

void what_the_cpu_refuses_ends_the_process(void **state) {
    (void)state;
    ends(twice, "tdpbf16ps: one tile twice in a product");
    ends(misfit, "tdpbf16ps: shapes that do not fit");
    ends(not_configured, "tilezero: tile that is not configured");
    ends(no_configuration, "tilezero: tile instruction without a configuration");
    ends(too_large, "ldtilecfg: configuration with a tile that is too large");
    ends(reserved, "ldtilecfg: configuration with reserved bytes");
    ends(unknown, "unknown: illegal instruction");
}
