/* Default tiles of conv2d, feed_forward and conv2d_winograd. */
#include "codegen/target/default_tiles/default_tiles.h"

/* ---- conv2d ---- */

/* Blocks of columns of a panel of `nb` in all: as many as a register tile is wide and divide them
 * without a rest, or with one that is no single block. */
static int32_t panel_blocks(int32_t isa, int32_t nb) {
    const int32_t widest = cg_widest_tile(isa);
    if (widest < 4 || nb % 4 == 0) return widest;
    if (nb < 4) return nb;
    return nb % 3 == 0 || nb % 4 == 1 ? 3 : 4;
}

/* The register tile: as many pixels as the registers hold beside the columns. */
static void register_tile(struct ebru_conv2d_params *p, int32_t isa) {
    p->NB = panel_blocks(isa, ebru_blocks16(p->N));
    if (p->act == EBRU_ACT_GEGLU && p->NB % 2) p->NB = 2; /* a value and its gate */
    p->MR = cg_most_rows(isa, p->NB);
}

/* The pixels of a task. Its gathered input fits half of L2, or is small beside the weights: once
 * more all weights for a smaller one would be more to read than it again for every panel. The sums
 * of a panel: L1's size times four. */
static void task_region(struct ebru_conv2d_params *p, int64_t l1, int64_t l2) {
    const int32_t rows = ebru_conv2d_rows(p), cols = ebru_conv2d_cols(p);
    int64_t budget = l2 / 2 / 4; /* floats */
    if (!ebru_conv2d_pointwise(p)) {
        int64_t small =
            ebru_conv2d_weight_floats(p) / ebru_ceil_div(ebru_blocks16(p->N), p->NB) / 2;
        budget = small > budget ? small : budget;
    }
    p->TB = 1;
    p->TW = cols;
    p->TH = rows;
    for (;;) {
        int64_t pixels = (int64_t)p->TH * p->TW;
        if (pixels * p->NB * 16 <= l1 && ebru_conv2d_gather_floats(p) <= budget) break;
        if (p->TH > 1 && (p->TH > 4 || p->TW <= 64))
            p->TH = ebru_ceil_div(p->TH, 2);
        else if (p->TW > 48)
            p->TW = ebru_ceil_div(ebru_ceil_div(p->TW, 2), p->MR) * p->MR;
        else if (p->TH > 1)
            p->TH = ebru_ceil_div(p->TH, 2);
        else
            break;
    }
    /* Small images: several in one task, so that weights are read once. */
    while (p->TH == rows && p->TW == cols && p->TB < p->B &&
           (int64_t)(p->TB + 1) * p->TH * p->TW * p->NB * 16 <= l1) {
        p->TB++;
        if (ebru_conv2d_gather_floats(p) > budget) {
            p->TB--;
            break;
        }
    }
}

/* Few tasks: a multiple of four of them, so that two or four threads get equal shares. */
static void even_tasks(struct ebru_conv2d_params *p) {
    while (ebru_conv2d_tasks(p) < 16 && ebru_conv2d_tasks(p) % 4 != 0) {
        if (p->TH >= 4)
            p->TH = ebru_ceil_div(p->TH, 2);
        else if (p->TW >= 4 * p->MR)
            p->TW = ebru_ceil_div(p->TW, 2);
        else
            break;
    }
}

/* Tiles of a pointwise convolution whose input is packed, a band of TW pixels a task: the bands
 * whose bytes a thread, of two, are fewest. All weights go by for each band; a band that L2 cannot
 * keep beside a panel of weights is read again for each panel. */
static void packed_bands(struct ebru_conv2d_params *p, int64_t l1, int64_t l2) {
    const int32_t cols = ebru_conv2d_cols(p), groups = ebru_conv2d_groups(p);
    const int64_t weights = ebru_conv2d_weight_floats(p),
                  pixel = 16 * (int64_t)ebru_blocks16(p->C0 + p->C1);
    int64_t least = INT64_MAX;
    int32_t best = p->TW;
    for (int32_t n = 1; n == 1 || cols / n >= 4 * p->MR; n++) {
        const int32_t up = ebru_ceil_div(ebru_ceil_div(cols, n), p->MR) * p->MR,
                      tw = ebru_min_i32(up, cols);
        const int32_t regions = p->B * ebru_ceil_div(cols, tw);
        if ((int64_t)tw * p->NB * 16 > l1 || (regions < 8 && regions % 2 != 0)) continue;
        const int64_t reads = tw * pixel * 4 <= l2 / 4 * 3 ? 1 : groups;
        const int64_t cost = regions * weights + p->B * cols * pixel * reads;
        if (cost < least) {
            least = cost;
            best = tw;
        }
    }
    p->TW = best;
    p->TH = p->TB = 1;
    p->order = 0;
}

/* Whether what could be read in place is packed first. The c-blocks of a pixel lie far apart, often
 * a multiple of 64 KiB, and push each other out of L2: read in place they come from afar again for
 * every panel. Packing pays from about eight panels on; narrow panels gain by it sooner. */
static void packing(struct ebru_conv2d_params *p, int64_t l1, int64_t l2) {
    const int32_t cb = ebru_blocks16(p->C0 + p->C1), cols = ebru_conv2d_cols(p);
    const int32_t aliased = p->NB < 4 && (int64_t)p->H * p->W % 1024 == 0 && cb > 16;
    const int32_t again = cb > 32 && ebru_conv2d_groups(p) >= 8 && (int64_t)cols * cb * 64 > l2 / 2;
    if (!ebru_conv2d_direct(p) || (!aliased && !again)) return;
    p->pack = 1;
    if (again) packed_bands(p, l1, l2);
}

void cg_default_tiles_conv2d(struct ebru_conv2d_params *p, int32_t isa, int64_t l1, int64_t l2) {
    const int32_t cb = ebru_blocks16(p->C0 + p->C1);
    if (l1 <= 0) l1 = CG_COMMON_L1;
    if (l2 <= 0) l2 = CG_COMMON_L2;
    p->pack = 0;
    p->order = 0;
    p->PG = 1;
    register_tile(p, isa);
    task_region(p, l1, l2);
    /* The weights of a pass over one panel stay in L2 while the pixels go by; passes of one length.
     */
    const int64_t slice = (int64_t)p->KH * p->KW * 256 * 4 * p->NB;
    const int32_t most = (int32_t)(l2 / 5 / slice);
    p->KC = ebru_ceil_div(cb, ebru_ceil_div(cb, ebru_max_i32(most, 1)));
    even_tasks(p);
    /* Bands of one image share a panel of weights that is larger than L2 can keep for all. */
    if (ebru_conv2d_weight_floats(p) * 4 > l2 && ebru_conv2d_tasks(p) <= 4 * ebru_conv2d_groups(p))
        p->order = 1;
    packing(p, l1, l2);
}

/* ---- feed_forward ---- */

/* The fewest tokens, twelve or more, that are whole register tiles of both layers. */
static int32_t whole_tiles(const struct ebru_feed_forward_params *p) {
    int32_t tokens = p->MR1;
    while (tokens < 12 || tokens % p->MR2 != 0) tokens += p->MR1;
    return tokens;
}

/* Weights are read once a task, so a task has as many tokens as keep its hidden layer in half of
 * L2. */
void cg_default_tiles_feed_forward(struct ebru_feed_forward_params *p, int32_t isa, int64_t l1,
                                   int64_t l2) {
    struct ebru_conv2d_params first, second;
    p->MR1 = p->NB1 = p->KC1 = p->MR2 = p->NB2 = p->KC2 = p->TW = 1;
    ebru_feed_forward_layers(p, &first, &second);
    cg_default_tiles_conv2d(&first, isa, l1, l2);
    cg_default_tiles_conv2d(&second, isa, l1, l2);
    p->MR1 = first.MR;
    p->NB1 = first.NB;
    p->KC1 = first.KC;
    p->MR2 = second.MR;
    p->NB2 = second.NB;
    p->KC2 = second.KC;
    if (l2 <= 0) l2 = CG_COMMON_L2;
    int64_t most = l2 / 2 / 4 / (16 * (int64_t)ebru_blocks16(p->H));
    const int32_t step = whole_tiles(p);
    p->TW = (int32_t)(most < p->T ? most : p->T) / step * step;
    if (p->TW < step) p->TW = ebru_min_i32(p->T, step);
}

/* ---- conv2d_winograd ---- */

bool cg_halve_for_scratch(int32_t *tb, int32_t *th, int32_t *tw, int32_t mr) {
    if (*tb > 1)
        *tb = ebru_ceil_div(*tb, 2);
    else if (*th > 1 && (*th > 4 || *tw <= 64))
        *th = ebru_ceil_div(*th, 2);
    else if (*tw > 64)
        *tw = ebru_ceil_div(ebru_ceil_div(*tw, 2), mr) * mr;
    else if (*th > 1)
        *th = ebru_ceil_div(*th, 2);
    else
        return false;
    return true;
}

bool cg_halve_for_threads(int32_t *tb, int32_t *th, int32_t *tw, int32_t mr) {
    if (*tb > 1)
        *tb = ebru_ceil_div(*tb, 2);
    else if (*th >= 4)
        *th = ebru_ceil_div(*th, 2);
    else if (*tw >= 4 * mr)
        *tw = ebru_ceil_div(*tw, 2);
    else
        return false;
    return true;
}

void cg_share_winograd(int32_t tiles, int32_t most, int32_t panels, int32_t *tt, int32_t *pg) {
    most = ebru_max_i32(ebru_min_i32(most, 48), 32);
    int32_t regions = ebru_ceil_div(tiles, most);
    if (regions > 1 && regions < 16) regions = ebru_min_i32((regions + 1) / 2 * 2, tiles);
    *tt = ebru_ceil_div(tiles, regions);
    const int32_t groups = regions >= 4 ? 1 : regions == 2 ? 2 : 4;
    *pg = ebru_ceil_div(panels, ebru_min_i32(groups, panels));
}

/* A task's tiles are as many as use each weight often enough (48), fewer where the transformed
 * input would grow beyond a few L2 caches; but not below 32: that input is a stream and may come
 * from L3, where all weights once more would come from memory. */
void cg_default_tiles_conv2d_winograd(struct ebru_conv2d_winograd_params *p, int32_t isa,
                                      int64_t l2) {
    int32_t nb = ebru_blocks16(p->N), cb = ebru_blocks16(p->C0 + p->C1);
    int32_t tiles = ebru_conv2d_winograd_tiles(p), points = (p->M + 2) * (p->M + 2);
    if (l2 <= 0) l2 = CG_COMMON_L2;
    p->NB = cg_widest_tile(isa) < 4 ? 4 : panel_blocks(isa, nb);
    p->MR = cg_most_rows(isa, p->NB);
    int32_t most = (int32_t)(4 * l2 / ((int64_t)points * cb * 64));
    cg_share_winograd(tiles, most, ebru_ceil_div(nb, p->NB), &p->TT, &p->PG);
}
