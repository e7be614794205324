/* Tiles of kernels: which fields of the parameters they are, which values are legal, the key of
 * what is computed without them, and the tiles of tuning records. */
#ifndef EBRU_CODEGEN_TARGET_TILES_H
#define EBRU_CODEGEN_TARGET_TILES_H

#include "codegen/target/bind.h"
#include "codegen/target/default_tiles/cuts.h"
#include "runtime/abi/abi.h"

/* Whether the kernel has tiles to choose; whether a field of its is one. */
bool cg_has_tiles(const char *kernel);
bool cg_is_tile(const char *kernel, const char *field);
/* Whether the result lies over the input (conv2d {overwrite}), which binds some of the tiles. */
bool cg_is_overwriting(const ir_node *n);
/* Appends the key of a bound node. */
void cg_kernel_key(const ir_binding *b, bool overwrite, base_str *out);
/* Whether the kernel of level `isa` computes the right thing with these tiles; why not, otherwise
 * (`why` may be NULL). */
bool cg_tiles_legal(const cg_kernel *k, const cg_params *p, int32_t isa, bool overwrite,
                    base_str *why);
/* Whether legal tiles need a bearable amount of scratch a thread: what a record may ask for. */
bool cg_tiles_bearable(const cg_kernel *k, const cg_params *p, base_str *why);

/* How a binding's work is cut for each number of threads (EBRU_CUT_THREADS): what ir_binding.cuts
 * points to. A row is a cut; columns are numbers of threads. */
typedef struct cg_cuts {
    uint32_t fields, rows;
    int field[CG_CUT_FIELDS]; /* places of the fields in the params */
    struct cg_cut_row {
        int32_t tasks, step, value[CG_CUT_FIELDS];
    } *row;
    uint8_t at[EBRU_CUTS]; /* the row of a column */
} cg_cuts;
/* For target.c: gives the binding its cuts, and the scratch that all of them fit. Its parameters
 * become those of two threads: what they are, unless that leaves a thread idle. Up to `measured`
 * threads they were found to be the best, and stay. */
void cg_cut_work(cg_bind *b, uint32_t measured);
/* All ways to cut the work of a kernel's params, those first; their number, 0 for kernels with a
 * single one. The params cut one way. */
int32_t cg_ways(const cg_kernel *k, const cg_params *p, cg_cut list[CG_MOST_CUTS]);
cg_params cg_cut_params(const cg_kernel *k, const cg_params *p, const cg_cut *c);
/* Neighbouring tasks of the binding that share what they read; 1: none. */
int32_t cg_step(const ir_binding *b);
/* For target.c: replaces the binding's tiles by a record's, returns the number of threads that it
 * was measured with, 0 when there is none; ir_target's `measured`. */
uint32_t cg_tuned_tiles(cg_bind *b);
double cg_measured(const ir_target *t, ir_func *f, ir_ref node, ir_way way);

#endif
