/* Encodings from the Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2: VEX
 * and EVEX prefixes, ModRM and SIB, and the opcodes of chapters 3 to 5. */
#include "tests/emulate/decode.h"

#include <string.h>

enum { NO_PREFIX, P66, PF3, PF2 }; /* the pp field */
enum { VEX = 1, EVEX = 2 };        /* the encoding */
/* what the operands must be; of VEX: which lengths */
enum { MEMORY = 1, REGISTER = 2, SIB = 4, NO_VVVV = 8, ANY_LENGTH = 16 };

static const struct {
    uint8_t encoding, prefix, opcode, operands;
    int8_t extension; /* value of ModRM.reg, or -1 */
    em_op op;
} table[] = {
    {VEX, NO_PREFIX, 0x49, MEMORY | NO_VVVV, 0, EM_LDTILECFG},
    {VEX, P66, 0x49, MEMORY | NO_VVVV, 0, EM_STTILECFG},
    {VEX, NO_PREFIX, 0x49, REGISTER | NO_VVVV, 0, EM_TILERELEASE},
    {VEX, PF2, 0x49, REGISTER | NO_VVVV, -1, EM_TILEZERO},
    {VEX, PF2, 0x4b, MEMORY | SIB | NO_VVVV, -1, EM_TILELOADD},
    {VEX, P66, 0x4b, MEMORY | SIB | NO_VVVV, -1, EM_TILELOADD}, /* T1: the same but for a hint */
    {VEX, PF3, 0x4b, MEMORY | SIB | NO_VVVV, -1, EM_TILESTORED},
    {VEX, PF3, 0x5c, REGISTER, -1, EM_TDPBF16PS},
    {VEX, P66, 0x5e, REGISTER, -1, EM_TDPBUSD},
    {VEX, P66, 0x50, MEMORY | REGISTER | ANY_LENGTH, -1, EM_VPDPBUSD},
    {EVEX, P66, 0x50, MEMORY | REGISTER, -1, EM_VPDPBUSD},
    {EVEX, PF3, 0x52, MEMORY | REGISTER, -1, EM_VDPBF16PS},
    {EVEX, PF2, 0x72, MEMORY | REGISTER, -1, EM_VCVTNE2PS2BF16},
    {EVEX, PF3, 0x72, MEMORY | REGISTER | NO_VVVV, -1, EM_VCVTNEPS2BF16},
};

/* The prefix's fields, inverted ones turned upright. */
struct prefix {
    uint8_t encoding, pp, r, x, b; /* r has R' of EVEX as its second bit */
};

static const uint8_t *vex(const uint8_t *p, struct prefix *x, em_inst *i) {
    uint8_t a = p[1], b = p[2];
    x->encoding = VEX;
    if ((a & 0x1f) != 2 || b & 0x80) return NULL; /* map 0F38, W 0 */
    x->r = !(a & 0x80);
    x->x = !(a & 0x40);
    x->b = !(a & 0x20);
    x->pp = b & 3;
    i->vvvv = ~(unsigned)(b >> 3) & 15;
    i->bytes = b & 4 ? 32 : 16;
    return p + 3;
}

static const uint8_t *evex(const uint8_t *p, struct prefix *x, em_inst *i) {
    uint8_t a = p[1], b = p[2], c = p[3];
    unsigned length = c >> 5 & 3;
    x->encoding = EVEX;
    if ((a & 0x0f) != 2 || (b & 0x84) != 4 || length == 3) return NULL; /* map 0F38, W 0 */
    x->r = (uint8_t)((a & 0x80 ? 0 : 1) | (a & 0x10 ? 0 : 2));
    x->x = !(a & 0x40);
    x->b = !(a & 0x20);
    x->pp = b & 3;
    i->vvvv = (~(unsigned)(b >> 3) & 15) | (c & 8 ? 0 : 16);
    i->bytes = 16u << length;
    i->mask = c & 7;
    i->zeroing = c >> 7;
    i->broadcast = c >> 4 & 1;
    return i->zeroing && !i->mask ? NULL : p + 4;
}

static int64_t read_disp32(const uint8_t *p) {
    int32_t d;
    memcpy(&d, p, sizeof d);
    return d;
}

/* ModRM's memory operand; *sib: it has such a byte. */
static const uint8_t *address(const uint8_t *p, const struct prefix *x, em_inst *i, bool *sib) {
    unsigned mod = *p >> 6, rm = *p & 7;
    p++;
    i->index = EM_NO_REGISTER;
    i->scale = 1;
    i->base = (int)(rm | (unsigned)x->b << 3);
    *sib = rm == 4;
    if (*sib) {
        unsigned index = (*p >> 3 & 7) | (unsigned)x->x << 3;
        i->scale = 1u << (*p >> 6);
        i->index = index == 4 ? EM_NO_REGISTER : (int)index;
        i->base = (int)((*p & 7) | (unsigned)x->b << 3);
        if (mod == 0 && (*p & 7) == 5) {
            i->base = EM_NO_REGISTER;
            mod = 2;
        }
        p++;
    } else if (mod == 0 && rm == 5) {
        i->base = EM_RIP;
        mod = 2;
    }
    if (mod == 1)
        i->disp = (int8_t)*p++ * (int64_t)(x->encoding == VEX ? 1 : i->broadcast ? 4 : i->bytes);
    if (mod == 2) {
        i->disp = read_disp32(p);
        p += 4;
    }
    return p;
}

bool em_decode(const uint8_t *code, em_inst *out) {
    struct prefix x = {0};
    em_inst i = {0};
    bool sib = false;
    const uint8_t *p = code[0] == 0xc4   ? vex(code, &x, &i)
                       : code[0] == 0x62 ? evex(code, &x, &i)
                                         : NULL;
    if (!p) return false;
    uint8_t opcode = *p++, modrm = *p;
    i.memory = modrm < 0xc0;
    i.reg = (modrm >> 3 & 7u) | (unsigned)x.r << 3;
    i.rm = (modrm & 7u) | (unsigned)x.b << 3 | (x.encoding == EVEX ? (unsigned)x.x << 4 : 0);
    p = i.memory ? address(p, &x, &i, &sib) : p + 1;
    if (!i.memory && i.broadcast) return false; /* static rounding */
    i.length = (unsigned)(p - code);
    for (unsigned k = 0; k < sizeof table / sizeof *table; k++) {
        if (table[k].encoding != x.encoding || table[k].prefix != x.pp || table[k].opcode != opcode)
            continue;
        unsigned want = table[k].operands;
        if (!(want & (i.memory ? MEMORY : REGISTER)) || (want & SIB && !sib)) continue;
        if (want & NO_VVVV && i.vvvv != 0) continue;
        if (x.encoding == VEX && !(want & ANY_LENGTH) && i.bytes != 16) continue; /* L 0 */
        if (table[k].extension >= 0 && i.reg != (unsigned)table[k].extension) continue;
        if (table[k].op == EM_TILERELEASE && i.rm != 0) continue;
        if (table[k].op == EM_TILEZERO && i.rm != 0) continue;
        i.op = table[k].op;
        *out = i;
        return true;
    }
    return false;
}
