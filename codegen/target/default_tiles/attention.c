/* Default tiles of attention and attention_bf16. */
#include "codegen/target/default_tiles/default_tiles.h"

/* 48 queries are a multiple of every level's register tile; the block of keys is as long as the
 * keys, values and scores of a tile fit half of L2. */
void cg_default_tiles_attention(struct ebru_attention_params *p, int64_t l2) {
    const int64_t queries = ebru_min_i32(p->T, 48);
    if (l2 <= 0) l2 = CG_COMMON_L2;
    p->QB = ebru_blocks16((int32_t)queries) * 16;
    p->KB = ebru_min_i32(ebru_blocks16(p->S) * 16, 256);
    while (p->KB > 32 && (p->KB * (int64_t)p->d * 2 + queries * p->KB) * 4 > l2 / 2)
        p->KB = ebru_blocks16(p->KB / 2) * 16;
}

void cg_default_tiles_attention_bf16(struct ebru_attention_bf16_params *p, int32_t isa,
                                     int64_t l2) {
    if (l2 <= 0) l2 = CG_COMMON_L2;
    p->form = ebru_bf16_form(isa);
    p->QB = p->T <= 64    ? ebru_blocks16(p->T) * 16
            : p->T <= 128 ? ebru_blocks16(ebru_ceil_div(p->T, 2)) * 16
                          : 64;
    /* The longer, the seldomer sums of values are stored and loaded: 2 % of 4096 keys by pairs. */
    p->KB = ebru_min_i32(ebru_blocks32(p->S) * 32, p->form == EBRU_BF16_PAIRS ? 256 : 128);
    while (p->KB > 32 && (int64_t)p->KB * p->d * 4 * p->parts > l2 / 2)
        p->KB = ebru_blocks32(p->KB / 2) * 32;
}
