#include "codegen/link/link.h"
#include "base/system/process.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The runtime with libpng and zlib as one relocatable object, without and with the PNG decoder, put
 * into the compiler by codegen/CMakeLists.txt. Empty: without a cross compiler there is none,
 * without the architecture's libpng only the first, which then paints nothing. */
#define RUNTIME(arch)                                                                              \
    extern const char ebru_runtime_##arch[], ebru_runtime_##arch##_end[];                          \
    extern const char ebru_runtime_pictures_##arch[], ebru_runtime_pictures_##arch##_end[];
RUNTIME(x86_64)
RUNTIME(aarch64)
#undef RUNTIME
#define PIECE(name) ebru_runtime_##name, ebru_runtime_##name##_end
static const struct runtime {
    uint16_t machine;
    const char *plain, *plain_end, *pictures, *pictures_end;
} runtimes[] = {
    {EM_X86_64, PIECE(x86_64), PIECE(pictures_x86_64)},
    {EM_AARCH64, PIECE(aarch64), PIECE(pictures_aarch64)},
};
#undef PIECE

#ifndef CG_LINKER
#define CG_LINKER NULL /* the architecture's */
#endif
#ifndef CG_LINK_FLAGS
#define CG_LINK_FLAGS "" /* flags the runtime was built with and needs again, separated by spaces */
#endif

typedef struct command {
    const char *words[96];
    uint32_t count;
} command;
static void word(command *c, const char *w) {
    if (c->count + 1 < sizeof c->words / sizeof *c->words) c->words[c->count++] = w;
}

static void show(const command *c) {
    for (uint32_t i = 0; i < c->count; i++) fprintf(stderr, "%s%s", i ? " " : "", c->words[i]);
    fprintf(stderr, "\n");
}

/* What the linker said, to be shown only if it failed. */
static void show_file(base_diag *d, const char *path) {
    char text[4096];
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) fclose(f);
    text[n] = '\0';
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        base_note(d, NULL, "%s", base_escape(line, strlen(line)));
}

static bool run(base_diag *d, const cg_arch *arch, command *c, const char *log) {
    int status, to = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    c->words[c->count] = NULL;
    /* what that variable holds would become the program's run path */
    pid_t pid = to < 0 ? -1 : base_spawn(c->words, (int[3]){-1, to, to}, "LD_RUN_PATH");
    int error = errno;
    if (to >= 0) close(to);
    if (pid < 0) {
        base_error(d, NULL, "cannot run the linker '%s': %s",
                   base_escape(c->words[0], strlen(c->words[0])), strerror(error));
        if (error == ENOENT)
            base_note(d, NULL, "on Debian: apt install %s (or name another with --linker=)",
                      arch->packages);
        return false;
    }
    if (base_wait(pid, &status) != 0) {
        base_error(d, NULL, "cannot wait for the linker '%s': %s",
                   base_escape(c->words[0], strlen(c->words[0])), strerror(errno));
        return false;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    base_error(d, NULL, "linking failed: '%s' %s %d", base_escape(c->words[0], strlen(c->words[0])),
               WIFSIGNALED(status) ? "was ended by signal" : "exited with code",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    show_file(d, log);
    return false;
}

/* Nothing of the tables that calls go through stays writable, no stack is executable. */
#define HARDENED "-Wl,-z,relro,-z,now,-z,noexecstack"

static void extra_flags(command *c, char *flags) {
    for (char *w = strtok(flags, " "); w; w = strtok(NULL, " ")) word(c, w);
}

static const struct runtime *runtime_of(const cg_arch *arch) {
    const struct runtime *r = runtimes;
    while (r->machine != arch->elf_machine) r++;
    return r;
}

bool cg_link_possible(base_diag *d, const cg_arch *arch, bool paints) {
    const struct runtime *r = runtime_of(arch);
    if (r->plain == r->plain_end) {
        base_error(d, NULL,
                   "this ebru has no runtime for programs of %s: there was no compiler for it when "
                   "it was built",
                   arch->triple);
        base_note(d, NULL,
                  "on Debian: apt install %s, and build again; --emit=obj, lib, asm and llvm-ir "
                  "need none",
                  arch->packages);
        return false;
    }
    if (paints && r->pictures == r->pictures_end) {
        base_error(d, NULL,
                   "this ebru was built without libpng for %s, so its programs cannot paint",
                   arch->triple);
        base_note(d, NULL, "on Debian: dpkg --add-architecture %s && apt update", arch->debian);
        base_note(d, NULL,
                  "apt install libpng-dev:%s, then configure and build ebru again; --no-pictures "
                  "makes a program that runs networks only (--call, --bench)",
                  arch->debian);
        return false;
    }
    return true;
}

/* NULL with a diagnostic. */
static const char *write_runtime(base_diag *d, cg_files *files, const cg_arch *arch,
                                 bool pictures) {
    const char *path = cg_files_add(files, "runtime.o");
    const struct runtime *r = runtime_of(arch);
    bool reads = pictures && r->pictures != r->pictures_end;
    const char *from = reads ? r->pictures : r->plain,
               *end = reads ? r->pictures_end : r->plain_end;
    return cg_files_write(d, path, from, (size_t)(end - from)) ? path : NULL;
}

bool cg_link(base_diag *d, cg_files *files, const cg_arch *arch, const char *const *objects,
             uint32_t count, bool pictures, const cg_options *options, const char *to) {
    command c = {.count = 0};
    bool here = arch == cg_arch_host();
    const char *own = here ? CG_LINKER : NULL;
    char flags[] = CG_LINK_FLAGS;
    word(&c, options->linker ? options->linker : own ? own : arch->linker);
    switch (options->kind) {
    case CG_OBJ:
        word(&c, "-r");
        word(&c, "-nostdlib");
        break;
    case CG_LIB:
        word(&c, "-shared");
        word(&c, HARDENED);
        word(&c, "-Wl,--gc-sections,--hash-style=gnu");
        break;
    default:
        word(&c, "-pie");
        word(&c, HARDENED);
        /* Code of ours and of LLVM leaves functions as it entered them, so a shadow stack of CET
         * fits. (In a library the mark would move the segment that the weights go into.) */
        if (arch->elf_machine == EM_X86_64) word(&c, "-Wl,-z,shstk");
        word(&c, "-Wl,--gc-sections,--hash-style=gnu");
        if (here) extra_flags(&c, flags);
        break;
    }
    /* No identity but the contents: the same model twice is the same bytes. */
    word(&c, "-Wl,--build-id=none");
    word(&c, "-o");
    word(&c, to);
    for (uint32_t i = 0; i < count; i++) word(&c, objects[i]);
    if (options->kind == CG_EXE) {
        const char *runtime = write_runtime(d, files, arch, pictures);
        if (!runtime) return false;
        word(&c, runtime);
        word(&c, "-lm");
        word(&c, "-lpthread");
    }
    if (options->verbose) show(&c);
    return run(d, arch, &c, cg_files_add(files, "link.log"));
}
