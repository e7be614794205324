/* The layout is the XSAVE area's in its standard form (Intel SDM volume 1, chapter 13; Linux's
 * uapi/asm/sigcontext.h): 512 bytes of legacy state, a header of 64 whose first word says which
 * components hold something else than zeros, the components at the offsets CPUID leaf 0DH tells. */
#include "tests/emulate/frame.h"

#include <cpuid.h>
#include <string.h>

enum { SSE = 1, YMM_HIGH = 2, MASKS = 5, ZMM_HIGH = 6, ZMM_16_31 = 7, COMPONENTS = 8 };
enum { LEGACY_XMM = 160, SOFTWARE = 464, HEADER = 512 };

static struct {
    uint32_t offset, bytes;
} layout[COMPONENTS];

/* What the kernel writes into bytes of the legacy area that the CPU leaves alone. */
struct software {
    uint32_t magic, extended_bytes;
    uint64_t features;
    uint32_t bytes;
};

bool em_frame_layout(void) {
    uint32_t a, b, c, d;
    const uint32_t needed =
        1u << SSE | 1u << YMM_HIGH | 1u << MASKS | 1u << ZMM_HIGH | 1u << ZMM_16_31;
    if (!__get_cpuid_count(0xd, 0, &a, &b, &c, &d) || (a & needed) != needed) return false;
    layout[SSE].offset = LEGACY_XMM;
    layout[SSE].bytes = 256;
    for (unsigned k = YMM_HIGH; k < COMPONENTS; k++) {
        if (!(needed >> k & 1)) continue;
        __get_cpuid_count(0xd, k, &a, &b, &c, &d);
        layout[k].offset = b;
        layout[k].bytes = a;
    }
    return true;
}

bool em_frame_of(em_frame *f, ucontext_t *context) {
    const uint32_t magic = 0x46505853; /* FP_XSTATE_MAGIC1 */
    struct software s;
    f->general = context->uc_mcontext.gregs;
    f->area = (uint8_t *)context->uc_mcontext.fpregs;
    if (!f->area) return false;
    memcpy(&s, f->area + SOFTWARE, sizeof s);
    return s.magic == magic && s.bytes >= layout[ZMM_16_31].offset + layout[ZMM_16_31].bytes;
}

static uint64_t in_use(const em_frame *f) {
    uint64_t bits;
    memcpy(&bits, f->area + HEADER, sizeof bits);
    return bits;
}

/* Bytes of a component that is not in use are zeros, whatever lies in memory. */
static void read_part(const em_frame *f, int component, unsigned at, void *to, unsigned bytes) {
    if (in_use(f) >> component & 1)
        memcpy(to, f->area + layout[component].offset + at, bytes);
    else
        memset(to, 0, bytes);
}

static void write_part(const em_frame *f, int component, unsigned at, const void *from,
                       unsigned bytes) {
    uint64_t bits = in_use(f);
    uint8_t *p = f->area + layout[component].offset;
    if (!(bits >> component & 1)) {
        memset(p, 0, layout[component].bytes);
        bits |= UINT64_C(1) << component;
        memcpy(f->area + HEADER, &bits, sizeof bits);
    }
    memcpy(p + at, from, bytes);
}

void em_read_vector(const em_frame *f, unsigned n, void *to) {
    char *p = to;
    if (n >= 16) {
        read_part(f, ZMM_16_31, (n - 16) * 64, p, 64);
        return;
    }
    read_part(f, SSE, n * 16, p, 16);
    read_part(f, YMM_HIGH, n * 16, p + 16, 16);
    read_part(f, ZMM_HIGH, n * 32, p + 32, 32);
}

void em_write_vector(const em_frame *f, unsigned n, const void *from) {
    const char *p = from;
    if (n >= 16) {
        write_part(f, ZMM_16_31, (n - 16) * 64, p, 64);
        return;
    }
    write_part(f, SSE, n * 16, p, 16);
    write_part(f, YMM_HIGH, n * 16, p + 16, 16);
    write_part(f, ZMM_HIGH, n * 32, p + 32, 32);
}

uint64_t em_read_mask(const em_frame *f, unsigned n) {
    uint64_t k;
    read_part(f, MASKS, n * 8, &k, sizeof k);
    return k;
}

static int64_t general(const em_frame *f, int n) {
    static const int place[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                  REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                  REG_R12, REG_R13, REG_R14, REG_R15};
    return f->general[place[n]];
}

char *em_base_address(const em_frame *f, const em_inst *i) {
    int64_t base = i->base == EM_RIP           ? f->general[REG_RIP] + i->length
                   : i->base == EM_NO_REGISTER ? 0
                                               : general(f, i->base);
    return (char *)(uintptr_t)((uint64_t)base + (uint64_t)i->disp);
}

int64_t em_index(const em_frame *f, const em_inst *i) {
    return i->index == EM_NO_REGISTER ? 0 : (int64_t)((uint64_t)general(f, i->index) * i->scale);
}
