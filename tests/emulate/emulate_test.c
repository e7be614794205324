/* AVX512-BF16 and VNNI by the emulator (or by the CPU, where it can) against naive arithmetic: every operand
 * form of the assembler's that the emulator knows. Skipped by name on CPUs without AVX-512. */
#include "emulate_test.h"

/* The vector and mask registers before and after one instruction. */
struct machine {
    uint32_t z[32][16];
    uint64_t k[8];
};

#define NUMBERS                                                                                    \
    "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
#define LOAD                                                                                       \
    ".irp n," NUMBERS "\n\tvmovdqu64 \\n*64(%%rdi), %%zmm\\n\n\t.endr\n\t"                         \
    ".irp n,1,2,3,4,5,6,7\n\tkmovq 2048+\\n*8(%%rdi), %%k\\n\n\t.endr\n\t"
#define STORE                                                                                      \
    "\n\t.irp n," NUMBERS "\n\tvmovdqu64 %%zmm\\n, \\n*64(%%rdi)\n\t.endr\n\t"                     \
    ".irp n,1,2,3,4,5,6,7\n\tkmovq %%k\\n, 2048+\\n*8(%%rdi)\n\t.endr\n\tvzeroupper"
#define CLOBBERS                                                                                   \
    "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",        \
        "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

static uint32_t rip_words[16]; /* addressed relative to the instruction */

/* p in rax and r13, index in rcx and r12. */
typedef void run(struct machine *m, const void *p, int64_t index);
#define RUN(name, code)                                                                            \
    static void name(struct machine *m, const void *p, int64_t index) {                            \
        register const void *p13 __asm__("r13") = p;                                               \
        register int64_t index12 __asm__("r12") = index;                                           \
        __asm__ volatile(LOAD code STORE ::"D"(m), "a"(p), "c"(index), "r"(p13),                   \
                         "r"(index12), [rip] "m"(rip_words)                                        \
                         : CLOBBERS);                                                              \
    }

enum { NO = -1 };
struct form {
    const char *text;
    run *run;
    em_op op;
    int dest, first, last; /* registers; last NO: memory */
    int64_t index, at;     /* register's value; the operand's place behind p; RIP: rip_words */
    int bytes, mask;
    bool zeroing, broadcast;
};
enum { RIP = 1 << 20 };

#define FORMS(F)                                                                                   \
    F(dot_zmm, "vdpbf16ps %%zmm2, %%zmm1, %%zmm3", VDPBF16PS, 3, 1, 2, 0, 0, 64, 0, false, false)  \
    F(dot_ymm, "vdpbf16ps %%ymm12, %%ymm9, %%ymm15", VDPBF16PS, 15, 9, 12, 0, 0, 32, 0, false,     \
      false)                                                                                       \
    F(dot_xmm, "vdpbf16ps %%xmm0, %%xmm7, %%xmm8", VDPBF16PS, 8, 7, 0, 0, 0, 16, 0, false, false)  \
    F(dot_high, "vdpbf16ps %%zmm31, %%zmm16, %%zmm23", VDPBF16PS, 23, 16, 31, 0, 0, 64, 0, false,  \
      false)                                                                                       \
    F(dot_high_ymm, "vdpbf16ps %%ymm20, %%ymm2, %%ymm29", VDPBF16PS, 29, 2, 20, 0, 0, 32, 0,       \
      false, false)                                                                                \
    F(dot_same, "vdpbf16ps %%zmm5, %%zmm5, %%zmm5", VDPBF16PS, 5, 5, 5, 0, 0, 64, 0, false, false) \
    F(dot_mask, "vdpbf16ps %%zmm2, %%zmm1, %%zmm3%{%%k3%}", VDPBF16PS, 3, 1, 2, 0, 0, 64, 3,       \
      false, false)                                                                                \
    F(dot_zero, "vdpbf16ps %%ymm2, %%ymm1, %%ymm30%{%%k7%}%{z%}", VDPBF16PS, 30, 1, 2, 0, 0, 32,   \
      7, true, false)                                                                              \
    F(dot_memory, "vdpbf16ps (%%rax), %%zmm1, %%zmm3", VDPBF16PS, 3, 1, NO, 0, 0, 64, 0, false,    \
      false)                                                                                       \
    F(dot_disp8, "vdpbf16ps 128(%%rax), %%zmm1, %%zmm3", VDPBF16PS, 3, 1, NO, 0, 128, 64, 0,       \
      false, false)                                                                                \
    F(dot_disp8_less, "vdpbf16ps -64(%%r13), %%ymm1, %%ymm3", VDPBF16PS, 3, 1, NO, 0, -64, 32, 0,  \
      false, false)                                                                                \
    F(dot_disp32, "vdpbf16ps 100(%%rax), %%zmm1, %%zmm3", VDPBF16PS, 3, 1, NO, 0, 100, 64, 0,      \
      false, false)                                                                                \
    F(dot_index, "vdpbf16ps (%%rax,%%rcx,4), %%zmm1, %%zmm18", VDPBF16PS, 18, 1, NO, 5, 20, 64, 0, \
      false, false)                                                                                \
    F(dot_index_8, "vdpbf16ps 64(%%r13,%%r12,8), %%zmm1, %%zmm3", VDPBF16PS, 3, 1, NO, 3, 88, 64,  \
      0, false, false)                                                                             \
    F(dot_rip, "vdpbf16ps %[rip], %%zmm1, %%zmm3", VDPBF16PS, 3, 1, NO, 0, RIP, 64, 0, false,      \
      false)                                                                                       \
    F(dot_memory_mask, "vdpbf16ps (%%rax), %%zmm1, %%zmm3%{%%k2%}", VDPBF16PS, 3, 1, NO, 0, 0, 64, \
      2, false, false)                                                                             \
    F(dot_one, "vdpbf16ps 8(%%rax)%{1to16%}, %%zmm1, %%zmm3", VDPBF16PS, 3, 1, NO, 0, 8, 64, 0,    \
      false, true)                                                                                 \
    F(dot_one_8, "vdpbf16ps 508(%%rax,%%rcx)%{1to8%}, %%ymm1, %%ymm3%{%%k1%}%{z%}", VDPBF16PS, 3,  \
      1, NO, -8, 500, 32, 1, true, true)                                                           \
    F(dot_one_4, "vdpbf16ps (%%r13)%{1to4%}, %%xmm17, %%xmm3%{%%k1%}", VDPBF16PS, 3, 17, NO, 0, 0, \
      16, 1, false, true)                                                                          \
    F(two_zmm, "vcvtne2ps2bf16 %%zmm2, %%zmm1, %%zmm3", VCVTNE2PS2BF16, 3, 1, 2, 0, 0, 64, 0,      \
      false, false)                                                                                \
    F(two_ymm, "vcvtne2ps2bf16 %%ymm25, %%ymm1, %%ymm17", VCVTNE2PS2BF16, 17, 1, 25, 0, 0, 32, 0,  \
      false, false)                                                                                \
    F(two_xmm, "vcvtne2ps2bf16 %%xmm1, %%xmm1, %%xmm1", VCVTNE2PS2BF16, 1, 1, 1, 0, 0, 16, 0,      \
      false, false)                                                                                \
    F(two_mask, "vcvtne2ps2bf16 %%zmm2, %%zmm1, %%zmm3%{%%k4%}", VCVTNE2PS2BF16, 3, 1, 2, 0, 0,    \
      64, 4, false, false)                                                                         \
    F(two_zero, "vcvtne2ps2bf16 %%xmm2, %%xmm1, %%xmm3%{%%k5%}%{z%}", VCVTNE2PS2BF16, 3, 1, 2, 0,  \
      0, 16, 5, true, false)                                                                       \
    F(two_memory, "vcvtne2ps2bf16 64(%%rax), %%zmm1, %%zmm3", VCVTNE2PS2BF16, 3, 1, NO, 0, 64, 64, \
      0, false, false)                                                                             \
    F(two_one, "vcvtne2ps2bf16 -4(%%rax)%{1to16%}, %%zmm1, %%zmm3%{%%k6%}", VCVTNE2PS2BF16, 3, 1,  \
      NO, 0, -4, 64, 6, false, true)                                                               \
    F(one_zmm, "vcvtneps2bf16 %%zmm2, %%ymm3", VCVTNEPS2BF16, 3, 0, 2, 0, 0, 64, 0, false, false)  \
    F(one_ymm, "vcvtneps2bf16 %%ymm22, %%xmm31", VCVTNEPS2BF16, 31, 0, 22, 0, 0, 32, 0, false,     \
      false)                                                                                       \
    F(one_xmm, "vcvtneps2bf16 %%xmm14, %%xmm9", VCVTNEPS2BF16, 9, 0, 14, 0, 0, 16, 0, false,       \
      false)                                                                                       \
    F(one_mask, "vcvtneps2bf16 %%zmm2, %%ymm3%{%%k1%}", VCVTNEPS2BF16, 3, 0, 2, 0, 0, 64, 1,       \
      false, false)                                                                                \
    F(one_zero, "vcvtneps2bf16 %%ymm2, %%xmm3%{%%k2%}%{z%}", VCVTNEPS2BF16, 3, 0, 2, 0, 0, 32, 2,  \
      true, false)                                                                                 \
    F(one_memory, "vcvtneps2bf16 192(%%rax), %%ymm3", VCVTNEPS2BF16, 3, 0, NO, 0, 192, 64, 0,      \
      false, false)                                                                                \
    F(one_memory_y, "vcvtneps2bf16y 32(%%rax), %%xmm3", VCVTNEPS2BF16, 3, 0, NO, 0, 32, 32, 0,     \
      false, false)                                                                                \
    F(one_memory_x, "vcvtneps2bf16x 16(%%rax), %%xmm3", VCVTNEPS2BF16, 3, 0, NO, 0, 16, 16, 0,     \
      false, false)                                                                                \
    F(one_one, "vcvtneps2bf16 4(%%rax)%{1to16%}, %%ymm3", VCVTNEPS2BF16, 3, 0, NO, 0, 4, 64, 0,    \
      false, true)                                                                                 \
    F(bytes_vex_ymm, "%{vex%} vpdpbusd %%ymm2, %%ymm1, %%ymm3", VPDPBUSD, 3, 1, 2, 0, 0, 32, 0,    \
      false, false)                                                                                \
    F(bytes_vex_xmm, "%{vex%} vpdpbusd %%xmm12, %%xmm9, %%xmm15", VPDPBUSD, 15, 9, 12, 0, 0, 16,   \
      0, false, false)                                                                             \
    F(bytes_vex_same, "%{vex%} vpdpbusd %%ymm5, %%ymm5, %%ymm5", VPDPBUSD, 5, 5, 5, 0, 0, 32, 0,   \
      false, false)                                                                                \
    F(bytes_vex_memory, "%{vex%} vpdpbusd (%%rax), %%ymm1, %%ymm3", VPDPBUSD, 3, 1, NO, 0, 0, 32,  \
      0, false, false)                                                                             \
    F(bytes_vex_disp8, "%{vex%} vpdpbusd 100(%%r13), %%ymm1, %%ymm13", VPDPBUSD, 13, 1, NO, 0,     \
      100, 32, 0, false, false)                                                                    \
    F(bytes_vex_disp32, "%{vex%} vpdpbusd 400(%%rax), %%xmm1, %%xmm3", VPDPBUSD, 3, 1, NO, 0, 400, \
      16, 0, false, false)                                                                         \
    F(bytes_vex_index, "%{vex%} vpdpbusd -32(%%r13,%%r12,8), %%ymm10, %%ymm3", VPDPBUSD, 3, 10,    \
      NO, 3, -8, 32, 0, false, false)                                                              \
    F(bytes_vex_rip, "%{vex%} vpdpbusd %[rip], %%ymm1, %%ymm3", VPDPBUSD, 3, 1, NO, 0, RIP, 32, 0, \
      false, false)                                                                                \
    F(bytes_zmm, "vpdpbusd %%zmm2, %%zmm1, %%zmm3", VPDPBUSD, 3, 1, 2, 0, 0, 64, 0, false, false)  \
    F(bytes_high, "vpdpbusd %%zmm31, %%zmm16, %%zmm23", VPDPBUSD, 23, 16, 31, 0, 0, 64, 0, false,  \
      false)                                                                                       \
    F(bytes_mask, "vpdpbusd %%ymm20, %%ymm1, %%ymm3%{%%k3%}", VPDPBUSD, 3, 1, 20, 0, 0, 32, 3,     \
      false, false)                                                                                \
    F(bytes_memory, "vpdpbusd 128(%%rax), %%zmm1, %%zmm3%{%%k2%}%{z%}", VPDPBUSD, 3, 1, NO, 0,     \
      128, 64, 2, true, false)                                                                     \
    F(bytes_one, "vpdpbusd 8(%%rax)%{1to16%}, %%zmm1, %%zmm3", VPDPBUSD, 3, 1, NO, 0, 8, 64, 0,    \
      false, true)

#define F(name, text, ...) RUN(run_##name, text)
FORMS(F)
#undef F
static const struct form forms[] = {
#define F(name, text, op, ...) {text, run_##name, EM_##op, __VA_ARGS__},
    FORMS(F)
#undef F
};

/* The nearer of the two neighbours, the even one of equally near ones. */
static uint16_t round_naive(uint32_t x) {
    float value = flush(float_of(x));
    uint16_t low = (uint16_t)(bits_of(value) >> 16);
    if (isnan(value)) return (uint16_t)(low | 0x40);
    if (isinf(value) || value == 0) return low;
    double below = fabs((double)float_of((uint32_t)low << 16)), here = fabs((double)value);
    double step = ldexp(1.0, ilogb(here) - 7), above = below + step; /* 8 bits of significand */
    if (here - below < above - here) return low;
    if (here - below > above - here) return (uint16_t)(low + 1);
    return (uint16_t)(low + (low & 1));
}

static void expect(const struct form *f, struct machine *m, const uint32_t *memory) {
    uint32_t *dest = m->z[f->dest], old[16], first[16], last[16];
    int words = f->bytes / 4;
    memcpy(old, dest, sizeof old);
    memcpy(first, m->z[f->first], sizeof first);
    for (int n = 0; n < words; n++)
        last[n] = f->last != NO ? m->z[f->last][n] : memory[f->broadcast ? 0 : n];
    memset(dest, 0, sizeof old);
    if (f->op == EM_VDPBF16PS || f->op == EM_VPDPBUSD) {
        for (int n = 0; n < words; n++) {
            float sum = multiply_add(widen((uint16_t)(first[n] >> 16)),
                                     widen((uint16_t)(last[n] >> 16)), float_of(old[n]));
            sum = multiply_add(widen((uint16_t)first[n]), widen((uint16_t)last[n]), sum);
            if (!f->mask || m->k[f->mask] >> n & 1)
                dest[n] =
                    f->op == EM_VPDPBUSD ? dot_bytes(old[n], first[n], last[n]) : bits_of(sum);
            else if (!f->zeroing)
                dest[n] = old[n];
        }
        return;
    }
    int elements = f->op == EM_VCVTNE2PS2BF16 ? 2 * words : words;
    for (int n = 0; n < elements; n++) {
        uint16_t v = round_naive(n < words ? last[n] : first[n - words]), before;
        memcpy(&before, (char *)old + n * 2, 2);
        if (f->mask && !(m->k[f->mask] >> n & 1)) v = f->zeroing ? 0 : before;
        memcpy((char *)dest + n * 2, &v, 2);
    }
}

static void vectors(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
        const struct form *f = &forms[k];
        for (int round = 0; round < 20; round++) {
            struct machine m, want;
            uint32_t memory[256];
            for (int i = 0; i < 32 * 16; i++)
                m.z[i / 16][i % 16] = f->op == EM_VDPBF16PS ? random_pair() : random_float();
            for (int i = 0; i < 8; i++) m.k[i] = (uint64_t)random_word() << 32 | random_word();
            for (int i = 0; i < 256; i++) memory[i] = random_float();
            for (int i = 0; i < 16; i++) rip_words[i] = random_float();
            want = m;
            expect(f, &want, f->at == RIP ? rip_words : memory + 32 + f->at / 4);
            f->run(&m, memory + 32, f->index);
            for (int i = 0; i < 16; i++) {
                uint32_t got = m.z[f->dest][i], wish = want.z[f->dest][i];
                bool fine =
                    f->op == EM_VDPBF16PS ? same(float_of(got), float_of(wish)) : got == wish;
                if (!fine) fail_msg("%s: word %d is %08x, not %08x", f->text, i, got, wish);
            }
            memcpy(m.z[f->dest], want.z[f->dest], 64);
            assert_memory_equal(&m, &want, sizeof m); /* and no other register changed */
        }
    }
}

/* Registers the program has not used are not saved; writing them must not bring garbage into the
 * others. */
static void unused_registers_are_zero(void **state) {
    (void)state;
    uint32_t out[32][16];
    memset(out, 0xff, sizeof out);
    __asm__ volatile("vzeroall\n\t"
                     ".irp n,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n\t"
                     "vpxord %%zmm\\n, %%zmm\\n, %%zmm\\n\n\t.endr\n\t"
                     "vdpbf16ps %%zmm1, %%zmm2, %%zmm3\n\t"
                     "vdpbf16ps %%zmm17, %%zmm18, %%zmm19"
                     "\n\t.irp n," NUMBERS
                     "\n\tvmovdqu64 %%zmm\\n, \\n*64(%%rdi)\n\t.endr\n\tvzeroupper" ::"D"(out)
                     : CLOBBERS);
    for (int i = 0; i < 32 * 16; i++) assert_int_equal(out[i / 16][i % 16], 0);
}

static void rounding(void **state) {
    (void)state;
    static const struct {
        uint32_t x;
        uint16_t want;
    } cases[] = {{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82},
                 {0x3f808001, 0x3f81}, {0x3f807fff, 0x3f80}, {0x7f7fffff, 0x7f80},
                 {0xff7f7fff, 0xff7f}, {0x7f800001, 0x7fc0}, {0xffc00000, 0xffc0},
                 {0x007fffff, 0x0000}, {0x80000001, 0x8000}, {0x00800000, 0x0080}};
    struct machine m = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) m.z[2][i] = cases[i].x;
    run_one_zmm(&m, NULL, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint16_t got;
        memcpy(&got, (char *)m.z[3] + i * 2, 2);
        assert_int_equal(got, cases[i].want);
        assert_int_equal(round_naive(cases[i].x), cases[i].want);
    }
}

#define TEST(name)                                                                                 \
    static void test_##name(void **state) {                                                        \
        if (!emulate_install()) skip();                                                            \
        name(state);                                                                               \
    }
TEST(vectors)
TEST(unused_registers_are_zero)
TEST(rounding)
/* Of the emulator's own tiles. */
#define TILES_TEST(name)                                                                           \
    static void test_##name(void **state) {                                                        \
        if (!emulate_tiles()) skip();                                                              \
        name(state);                                                                               \
    }
TILES_TEST(tiles_multiply)
TILES_TEST(tiles_multiply_bytes)
TILES_TEST(tiles_are_addressed)
TILES_TEST(tiles_are_configured)
TILES_TEST(tiles_belong_to_threads)
TILES_TEST(what_the_cpu_refuses_ends_the_process)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_unused_registers_are_zero),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_tiles_multiply),
        cmocka_unit_test(test_tiles_multiply_bytes),
        cmocka_unit_test(test_tiles_are_addressed),
        cmocka_unit_test(test_tiles_are_configured),
        cmocka_unit_test(test_tiles_belong_to_threads),
        cmocka_unit_test(test_what_the_cpu_refuses_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
