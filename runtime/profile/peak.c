/* The machine's own floating-point roof, measured: independent multiply-adds in registers, nothing
 * else. */
#include "runtime/abi/kernel_abi.h"
#include "runtime/engine/engine.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct peak_loop {
    void (*run)(long iterations);
    double multiplies; /* an iteration, and as many additions */
    const char *unit;
};

#if defined(__x86_64__)
/* Twelve chains cover the latency of two FMA ports (4 cycles x 2 = 8). All registers start at zero:
 * no traps, no denormals. */
#define CHAINS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#define FMA512(r) "vfmadd231ps %%zmm0, %%zmm0, %%zmm" #r "\n\t"
#define FMA256(r) "vfmadd231ps %%ymm0, %%ymm0, %%ymm" #r "\n\t"
#define MULADD(r) "mulps %%xmm0, %%xmm" #r "\n\taddps %%xmm0, %%xmm" #r "\n\t"
#define CLEAR(r)  "pxor %%xmm" #r ", %%xmm" #r "\n\t"
#define VCLEAR(r) "vpxor %%xmm" #r ", %%xmm" #r ", %%xmm" #r "\n\t"
#define CLOBBERS                                                                                   \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12"

static void loop512(long n) {
    __asm__ volatile(VCLEAR(0)
                         CHAINS(VCLEAR) "1:\n\t" CHAINS(FMA512) "dec %0\n\tjnz 1b\n\tvzeroupper"
                     : "+r"(n)::CLOBBERS, "cc");
}
static void loop256(long n) {
    __asm__ volatile(VCLEAR(0)
                         CHAINS(VCLEAR) "1:\n\t" CHAINS(FMA256) "dec %0\n\tjnz 1b\n\tvzeroupper"
                     : "+r"(n)::CLOBBERS, "cc");
}
static void loop128(long n) {
    __asm__ volatile(CLEAR(0) CHAINS(CLEAR) "1:\n\t" CHAINS(MULADD) "dec %0\n\tjnz 1b"
                     : "+r"(n)::CLOBBERS, "cc");
}

#define DOT512(r) "vdpbf16ps %%zmm0, %%zmm0, %%zmm" #r "\n\t"
static void loop_bf16(long n) {
    __asm__ volatile(VCLEAR(0)
                         CHAINS(VCLEAR) "1:\n\t" CHAINS(DOT512) "dec %0\n\tjnz 1b\n\tvzeroupper"
                     : "+r"(n)::CLOBBERS, "cc");
}

/* Six sums of 16x16 cover the latency of a product (52 cycles, one begins every 16); tiles 6 and 7
 * are its operands. */
#define TILES(X) X(0) X(1) X(2) X(3) X(4) X(5)
#define TZERO(r) "tilezero %%tmm" #r "\n\t"
#define TDOT(r)  "tdpbf16ps %%tmm7, %%tmm6, %%tmm" #r "\n\t"
#define TDOTB(r) "tdpbusd %%tmm7, %%tmm6, %%tmm" #r "\n\t"
#define EIGHT(...)                                                                                 \
    {__VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__,                                           \
     __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__}
#define TILE_LOOP(name, op)                                                                        \
    static void name(long n) {                                                                     \
        static const struct {                                                                      \
            uint8_t palette, start_row, reserved[14];                                              \
            uint16_t row_bytes[16];                                                                \
            uint8_t rows[16];                                                                      \
        } config = {.palette = 1, .row_bytes = EIGHT(64), .rows = EIGHT(16)};                      \
        __asm__ volatile("ldtilecfg %1\n\t" TILES(TZERO) TZERO(6)                                  \
                             TZERO(7) "1:\n\t" TILES(op) "dec %0\n\tjnz 1b\n\ttilerelease"         \
                         : "+r"(n)                                                                 \
                         : "m"(config)                                                             \
                         : "cc");                                                                  \
    }
TILE_LOOP(loop_amx, TDOT)
TILE_LOOP(loop_amx_i8, TDOTB)

/* Unsigned by signed bytes, four to a sum; pairs of 16-bit integers where there is no VNNI, whose
 * sums take an addition of their own. */
#define VNNI512(r) "vpdpbusd %%zmm0, %%zmm0, %%zmm" #r "\n\t"
#define VNNI256(r) "%{vex%} vpdpbusd %%ymm0, %%ymm0, %%ymm" #r "\n\t"
#define PAIRS512(r)                                                                                \
    "vpmaddwd %%zmm0, %%zmm0, %%zmm13\n\tvpaddd %%zmm13, %%zmm" #r ", %%zmm" #r "\n\t"
#define PAIRS256(r)                                                                                \
    "vpmaddwd %%ymm0, %%ymm0, %%ymm13\n\tvpaddd %%ymm13, %%ymm" #r ", %%ymm" #r "\n\t"
#define PAIRS128(r)                                                                                \
    "movdqa %%xmm0, %%xmm13\n\tpmaddwd %%xmm0, %%xmm13\n\tpaddd %%xmm13, %%xmm" #r "\n\t"
#define I8_LOOP(name, op)                                                                          \
    static void name(long n) {                                                                     \
        __asm__ volatile(VCLEAR(0)                                                                 \
                             CHAINS(VCLEAR) "1:\n\t" CHAINS(op) "dec %0\n\tjnz 1b\n\tvzeroupper"   \
                         : "+r"(n)::CLOBBERS, "xmm13", "cc");                                      \
    }
I8_LOOP(loop_vnni512, VNNI512)
I8_LOOP(loop_vnni256, VNNI256)
I8_LOOP(loop_pairs512, PAIRS512)
I8_LOOP(loop_pairs256, PAIRS256)
static void loop_pairs128(long n) {
    __asm__ volatile(CLEAR(0) CHAINS(CLEAR) "1:\n\t" CHAINS(PAIRS128) "dec %0\n\tjnz 1b"
                     : "+r"(n)::CLOBBERS, "xmm13", "cc");
}

/* What tile_i8.c multiplies with. */
static struct peak_loop loop_of_i8(int32_t isa) {
    switch (isa) {
    case EBRU_ISA_V4_VNNI:
    case EBRU_ISA_V4_BF16: return (struct peak_loop){loop_vnni512, 12 * 64, "AVX-512 VNNI"};
    case EBRU_ISA_V4_AMX: return (struct peak_loop){loop_amx_i8, 6 * 16 * 16 * 64, "AMX int8"};
    case EBRU_ISA_V3_VNNI: return (struct peak_loop){loop_vnni256, 12 * 32, "AVX-VNNI"};
    case EBRU_ISA_V4: return (struct peak_loop){loop_pairs512, 12 * 32, "pairs of 16 bits"};
    case EBRU_ISA_V3: return (struct peak_loop){loop_pairs256, 12 * 16, "pairs of 16 bits"};
    default: return (struct peak_loop){loop_pairs128, 12 * 8, "pairs of 16 bits"};
    }
}

/* bf16: of the program's products; not every level has a unit of its own for them. */
static struct peak_loop loop_of(int32_t isa, bool bf16) {
    const int32_t form = bf16 ? ebru_bf16_form(isa) : EBRU_BF16_WIDE;
    if (form == EBRU_BF16_TILES) return (struct peak_loop){loop_amx, 6 * 16 * 16 * 32, "AMX bf16"};
    if (form == EBRU_BF16_PAIRS) return (struct peak_loop){loop_bf16, 12 * 32, "AVX-512 bf16"};
    switch (base_isa_lanes(isa)) {
    case 16: return (struct peak_loop){loop512, 12 * 16, "FMA"};
    case 8: return (struct peak_loop){loop256, 12 * 8, "FMA"};
    default: return (struct peak_loop){loop128, 12 * 4, "multiply and add"};
    }
}
#else
/* Twenty chains: four units of four cycles have sixteen under way. */
#define CHAINS(X)  X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) MORE(X)
#define MORE(X)    X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20)
#define CLEAR(r)   "movi v" #r ".4s, #0\n\t"
#define FMA128(r)  "fmla v" #r ".4s, v0.4s, v0.4s\n\t"
#define CLOBBER(r) "v" #r,
static void loop_neon(long n) {
    __asm__ volatile(CLEAR(0) CHAINS(CLEAR) "1:\n\t" CHAINS(FMA128) "subs %0, %0, #1\n\tb.ne 1b"
                     : "+r"(n)::CHAINS(CLOBBER) "v0", "cc");
}

/* The portable products of 32-bit integers, and the dot product's. */
#define MLA128(r)  "mla v" #r ".4s, v0.4s, v0.4s\n\t"
#define DOT128(r)  ".inst 0x4e809400 + " #r "\n\t" /* sdot vr.4s, v0.16b, v0.16b */
static void loop_mla(long n) {
    __asm__ volatile(CLEAR(0) CHAINS(CLEAR) "1:\n\t" CHAINS(MLA128) "subs %0, %0, #1\n\tb.ne 1b"
                     : "+r"(n)::CHAINS(CLOBBER) "v0", "cc");
}
static void loop_dot(long n) {
    __asm__ volatile(CLEAR(0) CHAINS(CLEAR) "1:\n\t" CHAINS(DOT128) "subs %0, %0, #1\n\tb.ne 1b"
                     : "+r"(n)::CHAINS(CLOBBER) "v0", "cc");
}

static struct peak_loop loop_of_i8(int32_t isa) {
    if (isa == EBRU_ISA_NEON) return (struct peak_loop){loop_mla, 20 * 4, "integers of 32 bits"};
    return (struct peak_loop){loop_dot, 20 * 16, "dot product"};
}

static struct peak_loop loop_of(int32_t isa, bool bf16) {
    (void)isa;
    (void)bf16;
    return (struct peak_loop){loop_neon, 20 * 4, "FMA"};
}
#endif

struct peak_run {
    struct peak_loop loop;
    long iterations;
};

static void peak_thread(void *arg, int tid, int nthreads) {
    (void)tid, (void)nthreads;
    struct peak_run *r = arg;
    r->loop.run(r->iterations);
}

static bool is_bf16(const char *kernel) {
    return strstr(kernel, "_bf16") != NULL;
}

static bool is_i8(const char *kernel) {
    return strstr(kernel, "_i8") != NULL;
}

double rt_peak_of(const rt_peak *peak, const char *kernel) {
    if (is_i8(kernel)) return peak->i8;
    return is_bf16(kernel) ? peak->gflops / peak->products : peak->f32;
}

double rt_peak_of_function(const rt_peak *peak, const struct ebru_function_desc *f) {
    double flops = 0, least = 0; /* time, at every op's peak */
    for (int32_t i = 0; i < f->op_count; i++) {
        const double of = rt_peak_of(peak, f->ops[i].kernel);
        flops += f->ops[i].flops;
        if (of > 0) least += f->ops[i].flops / of;
    }
    return least > 0 ? flops / least : peak->gflops;
}

/* Whether the program has such products: its kernels say so. */
static bool multiplies(const struct ebru_model *t, bool (*so)(const char *kernel)) {
    for (int32_t f = 0; f < t->function_count; f++)
        for (int32_t i = 0; i < t->functions[f].op_count; i++)
            if (so(t->functions[f].ops[i].kernel)) return true;
    return false;
}

double rt_cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of one run on all threads; *cores: the share of them that they had a core. */
static double run_once(rt_pool *pool, struct peak_run *r, double *cores) {
    double t = now(), cpu = rt_cpu_seconds();
    rt_pool_run(pool, peak_thread, r);
    t = now() - t;
    *cores = t > 0 ? (rt_cpu_seconds() - cpu) / (t * rt_pool_size(pool)) : 0;
    return t;
}

/* The best of some runs, with its share of the cores. */
static rt_peak measure(rt_pool *pool, struct peak_loop loop) {
    enum { RUNS = 7, MOST_RUNS = 40 };
    struct peak_run r = {loop, 1000};
    rt_peak peak = {.unit = loop.unit};
    double cores;
    /* long enough for the clock; meanwhile clocks settle at the level's frequency */
    while (run_once(pool, &r, &cores) < 4e-3 && r.iterations < 2000000000) r.iterations *= 2;
    for (int i = 0; i < RUNS || (peak.cores < RT_CORES_ENOUGH && i < MOST_RUNS); i++) {
        double g = 2.0 * r.loop.multiplies * (double)r.iterations * rt_pool_size(pool) /
                   run_once(pool, &r, &cores) * 1e-9;
        if (g <= peak.gflops) continue;
        peak.gflops = g;
        peak.cores = cores < 1 ? cores : 1;
    }
    return peak;
}

rt_peak rt_peak_measure(rt_pool *pool, const struct ebru_model *t, const char *level) {
    const int32_t isa = base_isa_by_name(level);
    const struct peak_loop all = loop_of(isa, multiplies(t, is_bf16)), f32 = loop_of(isa, false);
    rt_peak peak = measure(pool, all);
    peak.f32 = f32.run == all.run ? peak.gflops : measure(pool, f32).gflops;
    peak.products = strcmp(rt_meta_string(t, EBRU_META_PRECISION), "bf16x3") == 0 ? 3 : 1;
    if (multiplies(t, is_i8)) {
        const struct peak_loop i8 = loop_of_i8(isa);
        peak.i8 = measure(pool, i8).gflops;
        peak.i8_unit = i8.unit;
    }
    return peak;
}
