#include "codegen/target/arch.h"
#include "base/suggest.h"

#include <elf.h>
#include <string.h>

#ifndef SHF_X86_64_LARGE
#define SHF_X86_64_LARGE (1 << 28)
#endif

#if defined(__aarch64__)
enum { HOST = 1 };
#define CC_X86_64  "x86_64-linux-gnu-gcc"
#define CC_AARCH64 "cc"
#else
enum { HOST = 0 };
#define CC_X86_64  "cc"
#define CC_AARCH64 "aarch64-linux-gnu-gcc"
#endif

static const cg_arch architectures[] = {
    {
        .triple = "x86_64-linux-gnu",
        .llvm_triple = "x86_64-pc-linux-gnu",
        .cpu = "x86-64",
        .elf_machine = EM_X86_64,
        .data_section = ".lrodata",
        .data_flags = SHF_X86_64_LARGE,
        .linker = CC_X86_64,
        .packages = HOST == 0 ? "gcc libc6-dev" : "gcc-x86-64-linux-gnu libc6-dev-amd64-cross",
        .debian = "amd64",
        .targets = cg_targets_x86_64,
        .target_count = EBRU_LEVEL_COUNT_x86_64,
    },
    {
        .triple = "aarch64-linux-gnu",
        .llvm_triple = "aarch64-unknown-linux-gnu",
        .cpu = "generic",
        .elf_machine = EM_AARCH64,
        .data_section = ".rodata.weights",
        .linker = CC_AARCH64,
        .packages = HOST == 1 ? "gcc libc6-dev" : "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
        .debian = "arm64",
        .targets = cg_targets_aarch64,
        .target_count = EBRU_LEVEL_COUNT_aarch64,
    },
};
enum { ARCHITECTURES = sizeof architectures / sizeof *architectures };

const cg_arch *cg_arch_host(void) {
    return &architectures[HOST];
}

const cg_arch *cg_arch_find(base_diag *d, const char *triple) {
    if (!triple) return cg_arch_host();
    const char *names[ARCHITECTURES];
    for (uint32_t i = 0; i < ARCHITECTURES; i++) {
        names[i] = architectures[i].triple;
        if (strcmp(triple, names[i]) == 0) return &architectures[i];
    }
    base_error(d, NULL, "unknown target '%s'", base_escape(triple, strlen(triple)));
    const char *near = base_suggest(triple, names, ARCHITECTURES);
    if (near) base_note(d, NULL, "did you mean '%s'?", near);
    base_str known = {0};
    for (uint32_t i = 0; i < ARCHITECTURES; i++)
        base_str_addf(&known, "%s%s%s", i ? ", " : "", names[i],
                      i == HOST ? " (this machine)" : "");
    base_note(d, NULL, "known: %s", known.data);
    base_str_free(&known);
    return NULL;
}

/* ---- targets ---- */

uint32_t cg_arch_target_count(const cg_arch *a) {
    return a->target_count;
}
const char *cg_arch_target_name(const cg_arch *a, uint32_t index) {
    return a->targets[index].base.level;
}
const char *cg_arch_default(const cg_arch *a) {
    return a == cg_arch_host() ? "native" : a->targets[0].base.level;
}
const char *cg_arch_triple(const cg_arch *a) {
    return a->triple;
}

uint32_t cg_target_count(void) {
    return cg_arch_host()->target_count;
}
const char *cg_target_name(uint32_t index) {
    return cg_arch_host()->targets[index].base.level;
}

/* The architecture that has a level of this name; NULL. */
static const cg_arch *owner(const char *name) {
    for (uint32_t i = 0; i < ARCHITECTURES; i++)
        for (uint32_t k = 0; k < architectures[i].target_count; k++)
            if (strcmp(name, architectures[i].targets[k].base.level) == 0) return &architectures[i];
    return NULL;
}

static void unknown_level(base_diag *d, const cg_arch *a, const char *name) {
    const char *names[EBRU_ISA_COUNT + 1];
    uint32_t count = 0;
    base_str known = {0};
    for (; count < a->target_count; count++) names[count] = a->targets[count].base.level;
    if (a == cg_arch_host()) names[count++] = "native";
    for (uint32_t i = 0; i < count; i++) base_str_addf(&known, "%s%s", i ? ", " : "", names[i]);
    const char *shown = base_escape(name, strlen(name));
    if (owner(name)) {
        base_error(d, NULL, "'%s' is no level of %s", shown, a->triple);
        base_note(d, NULL, "it is one of --target=%s", owner(name)->triple);
    } else if (strcmp(name, "native") == 0) {
        base_error(d, NULL, "'native' is this machine, not an %s", a->triple);
    } else {
        base_error(d, NULL, "unknown CPU '%s'", shown);
        const char *near = base_suggest(name, names, count);
        if (near) base_note(d, NULL, "did you mean '%s'?", near);
    }
    base_note(d, NULL, "known: %s", known.data);
    base_str_free(&known);
}

const ir_target *cg_arch_target(base_diag *d, const cg_arch *a, const char *name) {
    if (a == cg_arch_host() && strcmp(name, "native") == 0) return cg_target_native(d, a);
    for (uint32_t i = 0; i < a->target_count; i++)
        if (strcmp(name, a->targets[i].base.level) == 0) return &a->targets[i].base;
    unknown_level(d, a, name);
    return NULL;
}

const ir_target *cg_target(base_diag *d, const char *name) {
    return cg_arch_target(d, cg_arch_host(), name);
}

const cg_arch *cg_arch_of(const ir_target *t) {
    return owner(t->level);
}
