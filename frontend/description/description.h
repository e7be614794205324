/* What the two halves of the model description language share: description.c (documents, functions,
 * repeats) and description_blocks.c (the table of blocks and how each reads its keys). */
#ifndef EBRU_FRONTEND_DESCRIPTION_DESCRIPTION_H
#define EBRU_FRONTEND_DESCRIPTION_DESCRIPTION_H

#include "frontend/build/blocks.h"
#include "frontend/description/expression.h"
#include "frontend/files/json_file.h"

typedef struct desc_value {
    const char *name;
    ir_ref value;
} desc_value;

/* The state of building one function of a description. */
typedef struct desc {
    fe_builder *b;
    base_jval defaults; /* section "defaults": keys of blocks by block name */
    fe_variables vars;
    BASE_VEC(desc_value) values; /* inputs and what was saved; later ones hide earlier ones */
    ir_ref x;                    /* the current value */
    uint32_t blocks;             /* built so far */
} desc;

/* One block of a list, with the section of the defaults that belongs to it. */
typedef struct desc_block {
    base_jval v; /* a string (name only) or an object */
    const char *name, *prefix;
    base_jval defaults;
} desc_block;

/* A row of the table of blocks. `keys` and `names` are space-separated: what may stand in the block
 * beside the keys every block has, and in its object "names". */
typedef struct desc_row {
    const char *name, *keys, *names;
    bool prefix; /* reads tensors: must have a prefix */
    ir_ref (*build)(desc *c, const desc_block *k, ir_ref x);
} desc_row;

/* The row of a block; NULL when there is none. "repeat" has a row without function: description.c
 * builds it. */
const desc_row *desc_find(const char *name);
/* Names of all blocks, for suggestions. Returns their number; `out` may be NULL. */
size_t desc_names(const char **out);
/* Keys every block may have. */
extern const char desc_common_keys[];

/* The value named `name`; IR_NONE after reporting at v. */
ir_ref desc_lookup(desc *c, base_jval v, const char *name);
/* A number: an integer or a string with an expression. False after reporting. */
bool desc_number(desc *c, base_jval v, int64_t *out, int64_t min, int64_t max);
/* A string with its {expressions} replaced, in the builder's arena; NULL after reporting. */
const char *desc_text(desc *c, base_jval v);

#endif
