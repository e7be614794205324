/* Performs the instructions of AVX512-BF16, VNNI (AVX512-VNNI and AVX-VNNI) and AMX (BF16 and INT8)
 * on a CPU with AVX-512 that lacks them, so that the machine code of the levels that have them can
 * be tested there. For tests only: a run of such instructions costs a signal, some microseconds.
 *
 * A SIGILL handler decodes the instruction, reads and writes the registers that the kernel saved on
 * the stack, and goes on behind it. What the CPU can do by itself never gets here. Instructions:
 * LDTILECFG, STTILECFG, TILERELEASE, TILEZERO, TILELOADD, TILELOADDT1, TILESTORED, TDPBF16PS,
 * TDPBUSD; VPDPBUSD in the VEX form; VDPBF16PS, VCVTNE2PS2BF16, VCVTNEPS2BF16, VPDPBUSD in the EVEX
 * form, in all lengths, with masks and broadcasts. Every other illegal instruction, and those that the manual says fault (wrong shapes, a tile used twice), end
 * the process with a message. */
#ifndef EBRU_TESTS_EMULATE_EMULATE_H
#define EBRU_TESTS_EMULATE_EMULATE_H

#include <stdbool.h>
#include <stdint.h>

#define EM_INSTRUCTIONS(X)                                                                         \
    X(LDTILECFG, "ldtilecfg")                                                                      \
    X(STTILECFG, "sttilecfg")                                                                      \
    X(TILERELEASE, "tilerelease")                                                                  \
    X(TILEZERO, "tilezero")                                                                        \
    X(TILELOADD, "tileloadd")                                                                      \
    X(TILESTORED, "tilestored")                                                                    \
    X(TDPBF16PS, "tdpbf16ps")                                                                      \
    X(TDPBUSD, "tdpbusd")                                                                          \
    X(VDPBF16PS, "vdpbf16ps")                                                                      \
    X(VPDPBUSD, "vpdpbusd")                                                                        \
    X(VCVTNE2PS2BF16, "vcvtne2ps2bf16")                                                            \
    X(VCVTNEPS2BF16, "vcvtneps2bf16")

typedef enum em_op {
#define X(ID, name) EM_##ID,
    EM_INSTRUCTIONS(X)
#undef X
        EM_OPS
} em_op;

/* Installs the handler, anew when somebody else took its place (cmocka does for every test). False,
 * and nothing is installed, when the CPU or the system lacks AVX-512. Threads that run emulated
 * code must not block SIGILL. */
bool emulate_install(void);

/* emulate_install, and whether the tile instructions get to the emulator: not all of them do on a
 * CPU that has tiles, where a system that withholds their data still lets a process configure them.
 */
bool emulate_tiles(void);

/* How many were performed so far, in all threads. */
uint64_t emulate_count(em_op op);

#endif
