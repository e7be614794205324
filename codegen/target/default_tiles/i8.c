/* Default tiles of conv2d_i8. */
#include "codegen/target/default_tiles/default_tiles.h"

/* The pixels of a task: as many as their rows fit beside a panel of weights, of which every tile
 * reads all. */
static void task_region(struct ebru_conv2d_i8_params *p, int64_t budget) {
    const struct ebru_conv2d_params shape = ebru_conv2d_i8_shape(p);
    p->TB = p->B;
    p->TH = ebru_conv2d_rows(&shape);
    p->TW = ebru_conv2d_cols(&shape);
    while (ebru_conv2d_i8_input_bytes(p) > budget) {
        if (!cg_halve_for_scratch(&p->TB, &p->TH, &p->TW, p->MR)) break;
    }
}

/* Few tasks: a multiple of four of them, so that two or four threads get equal shares. */
static void even_tasks(struct ebru_conv2d_i8_params *p) {
    while (ebru_conv2d_i8_tasks(p) < 16 && ebru_conv2d_i8_tasks(p) % 4 != 0) {
        if (!cg_halve_for_threads(&p->TB, &p->TH, &p->TW, p->MR)) break;
    }
}

void cg_default_tiles_conv2d_i8(struct ebru_conv2d_i8_params *p, int32_t isa, int64_t l2) {
    if (l2 <= 0) l2 = CG_COMMON_L2;
    const int32_t nb = ebru_blocks16(p->N);
    p->form = ebru_i8_form(isa);
    p->NB = ebru_min_i32((nb + 1) / 2 * 2, 4);
    while (p->NB > 2 && p->NB * ebru_conv2d_i8_block_bytes(p) > l2 / 2) p->NB -= 2;
    p->MR = cg_most_rows_i8(isa, p->NB);
    p->PG = 1;
    p->order = 0;
    task_region(p, l2 / 2);
    even_tasks(p);
    /* weights that are larger than L2 come from memory once: all pixels before the next panel */
    if (ebru_conv2d_i8_weight_bytes(p) > l2) p->order = 1;
}
