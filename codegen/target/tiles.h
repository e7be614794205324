/* Tiles of kernels: which fields of the parameters they are, which values are legal, the key of
 * what is computed without them, and the tiles of tuning records. */
#ifndef EBRU_CODEGEN_TARGET_TILES_H
#define EBRU_CODEGEN_TARGET_TILES_H

#include "codegen/target/bind.h"

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

/* For target.c: replaces the binding's tiles by a record's; ir_target's `measured`. */
void cg_tuned_tiles(cg_bind *b);
double cg_measured(const ir_target *t, ir_func *f, ir_ref node, ir_way way);

#endif
