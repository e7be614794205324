#include "codegen/link/weights_segment.h"
#include "base/system/io.h"
#include "codegen/link/elf.h"

#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static const char stub[64] = "ebru: here the packed weights of the model begin";

bool cg_weights_segment_stub(int fd, const cg_arch *arch, const char *symbol, uint64_t align) {
    return base_pwrite_all(fd, stub, sizeof stub, CG_ELF_DATA_OFFSET) &&
           cg_elf_finish(fd, arch, symbol, CG_ELF_DATA_OFFSET, sizeof stub, align);
}

static bool get(int fd, void *to, size_t size, uint64_t at) {
    return pread(fd, to, size, (off_t)at) == (ssize_t)size;
}

/* What aligns the stub, and nothing else. */
static bool only_zeros(int fd, uint64_t at, uint64_t bytes) {
    static const char zeros[4096];
    char part[sizeof zeros];
    for (uint64_t end = at + bytes; at < end;) {
        size_t n = end - at < sizeof part ? (size_t)(end - at) : sizeof part;
        if (!get(fd, part, n, at) || memcmp(part, zeros, n) != 0) return false;
        at += n;
    }
    return true;
}

/* The section that ends with the stub. */
static bool find_section(int fd, const Elf64_Ehdr *e, uint64_t align, cg_weights_segment *s,
                         Elf64_Shdr *found) {
    for (uint32_t i = 0; i < e->e_shnum; i++) {
        char bytes[sizeof stub];
        s->section_header = e->e_shoff + i * sizeof *found;
        if (!get(fd, found, sizeof *found, s->section_header)) return false;
        if (found->sh_type != SHT_PROGBITS || !(found->sh_flags & SHF_ALLOC) ||
            found->sh_size < sizeof stub)
            continue;
        uint64_t at = found->sh_size - sizeof stub;
        if (!get(fd, bytes, sizeof bytes, found->sh_offset + at)) return false;
        if (memcmp(bytes, stub, sizeof stub) != 0) continue;
        s->address = found->sh_addr + at;
        return s->address % align == 0 && only_zeros(fd, found->sh_offset, at);
    }
    return false;
}

bool cg_weights_segment_find(int fd, uint64_t align, cg_weights_segment *s) {
    Elf64_Ehdr e;
    Elf64_Shdr section;
    errno = 0;
    if (!get(fd, &e, sizeof e, 0) || memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 ||
        e.e_shentsize != sizeof section || e.e_phentsize != sizeof(Elf64_Phdr) ||
        !find_section(fd, &e, align, s, &section))
        return false;
    bool found = false;
    for (uint32_t i = 0; i < e.e_phnum; i++) {
        Elf64_Phdr p;
        uint64_t at = e.e_phoff + i * sizeof p;
        if (!get(fd, &p, sizeof p, at)) return false;
        if (p.p_type != PT_LOAD) continue;
        if (p.p_vaddr > s->address) return false;
        if (p.p_vaddr + p.p_memsz <= s->address) continue;
        if (p.p_flags != PF_R || p.p_vaddr != section.sh_addr || p.p_memsz != section.sh_size)
            return false;
        s->program_header = at;
        found = true;
    }
    return found;
}

bool cg_weights_segment_set(int fd, const cg_weights_segment *s, uint64_t offset, uint64_t bytes,
                            uint64_t align) {
    Elf64_Phdr p;
    Elf64_Shdr h;
    if (!get(fd, &p, sizeof p, s->program_header) || !get(fd, &h, sizeof h, s->section_header))
        return false;
    p.p_offset = h.sh_offset = offset;
    p.p_vaddr = p.p_paddr = h.sh_addr = s->address;
    p.p_filesz = p.p_memsz = h.sh_size = bytes;
    p.p_align = h.sh_addralign = align;
    return base_pwrite_all(fd, &p, sizeof p, s->program_header) &&
           base_pwrite_all(fd, &h, sizeof h, s->section_header);
}
