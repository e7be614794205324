#include "codegen/link/elf.h"
#include "base/system/io.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { NONE, DATA, SYMTAB, STRTAB, SHSTRTAB, STACK, SECTIONS };

bool cg_elf_finish(int fd, const cg_arch *arch, const char *symbol, uint64_t offset, uint64_t bytes,
                   uint64_t align) {
    char names[64] =
        "\0.symtab\0.strtab\0.shstrtab\0.note.GNU-stack"; /* then the section of data */
    static const Elf64_Word name_at[SECTIONS] = {
        [SYMTAB] = 1, [STRTAB] = 9, [SHSTRTAB] = 17, [STACK] = 27, [DATA] = 43};
    snprintf(names + name_at[DATA], sizeof names - name_at[DATA], "%s", arch->data_section);
    char strings[64];
    int n = snprintf(strings + 1, sizeof strings - 1, "%s", symbol);
    strings[0] = '\0';
    size_t strings_size = (size_t)n + 2;
    if (n < 0 || strings_size > sizeof strings) {
        errno = ENAMETOOLONG;
        return false;
    }
    uint64_t symbols_at = (offset + bytes + 7) / 8 * 8;
    Elf64_Sym symbols[2] = {{0}};
    symbols[1].st_name = 1;
    symbols[1].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
    symbols[1].st_other = STV_HIDDEN;
    symbols[1].st_shndx = DATA;
    symbols[1].st_size = bytes;
    uint64_t strings_at = symbols_at + sizeof symbols, names_at = strings_at + strings_size;
    uint64_t headers_at = (names_at + sizeof names + 7) / 8 * 8;
    Elf64_Shdr s[SECTIONS];
    memset(s, 0, sizeof s);
    for (int i = 0; i < SECTIONS; i++) s[i].sh_name = name_at[i];
    s[DATA].sh_type = SHT_PROGBITS;
    s[DATA].sh_flags = SHF_ALLOC | arch->data_flags;
    s[DATA].sh_offset = offset;
    s[DATA].sh_size = bytes;
    s[DATA].sh_addralign = align;
    s[SYMTAB] = (Elf64_Shdr){.sh_name = name_at[SYMTAB],
                             .sh_type = SHT_SYMTAB,
                             .sh_offset = symbols_at,
                             .sh_size = sizeof symbols,
                             .sh_link = STRTAB,
                             .sh_info = 1,
                             .sh_addralign = 8,
                             .sh_entsize = sizeof *symbols};
    s[STRTAB] = (Elf64_Shdr){.sh_name = name_at[STRTAB],
                             .sh_type = SHT_STRTAB,
                             .sh_offset = strings_at,
                             .sh_size = strings_size,
                             .sh_addralign = 1};
    s[SHSTRTAB] = (Elf64_Shdr){.sh_name = name_at[SHSTRTAB],
                               .sh_type = SHT_STRTAB,
                               .sh_offset = names_at,
                               .sh_size = sizeof names,
                               .sh_addralign = 1};
    s[STACK].sh_type = SHT_PROGBITS; /* empty: the stack need not be executable */
    s[STACK].sh_offset = headers_at;
    s[STACK].sh_addralign = 1;
    Elf64_Ehdr e = {.e_type = ET_REL,
                    .e_machine = arch->elf_machine,
                    .e_version = EV_CURRENT,
                    .e_shoff = headers_at,
                    .e_ehsize = sizeof e,
                    .e_shentsize = sizeof *s,
                    .e_shnum = SECTIONS,
                    .e_shstrndx = SHSTRTAB};
    memcpy(e.e_ident, ELFMAG, SELFMAG);
    e.e_ident[EI_CLASS] = ELFCLASS64;
    e.e_ident[EI_DATA] = ELFDATA2LSB;
    e.e_ident[EI_VERSION] = EV_CURRENT;
    return base_pwrite_all(fd, &e, sizeof e, 0) &&
           base_pwrite_all(fd, symbols, sizeof symbols, symbols_at) &&
           base_pwrite_all(fd, strings, strings_size, strings_at) &&
           base_pwrite_all(fd, names, sizeof names, names_at) &&
           base_pwrite_all(fd, s, sizeof s, headers_at);
}
