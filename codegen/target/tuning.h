/* Tuning records: how fast kernels were measured to be, and with which tiles. A table of them,
 * looked up by machine and kernel key; docs/tuning.md has the text form, driver/tune/tuning_file.c
 * reads and writes it.
 *
 * A key says what a kernel computes: its params, those that are zero left out, tiles left out. A
 * choice says how: values of tile fields. Choices of a record that are not legal for the key are
 * ignored with a warning. */
#ifndef EBRU_CODEGEN_TARGET_TUNING_H
#define EBRU_CODEGEN_TARGET_TUNING_H

#include "ir/ir.h"
#include "ir/target.h"

enum {
    CG_MOST_FIELDS = 40, /* of a params struct */
    CG_MOST_TILES = 9    /* tile fields of a kernel */
};

/* Where a record was measured; what a lookup is made for. */
typedef struct cg_machine {
    const char *level;    /* of the code, "x86-64-v3"; not more than the CPU's */
    uint64_t l1d, l2, l3; /* bytes; 0: unknown */
    uint32_t threads;
} cg_machine;

typedef struct cg_tile {
    const char *field; /* of the kernel's params struct: "MR" */
    int32_t value;
} cg_tile;

typedef struct cg_record {
    cg_machine machine;
    const char *kernel, *key;
    cg_tile choice[CG_MOST_TILES];
    uint32_t choice_count;       /* 0: the tiles that the rules give were the best */
    double ns[2], default_ns[2]; /* least and median of a run, chosen tiles and the rules' */
    uint32_t tried;              /* other tiles that were timed; 0: the rules' only */
    bool shipped;                /* comes with the compiler */
    base_loc loc;                /* for warnings; source may be NULL */
} cg_record;

typedef struct cg_tuning cg_tuning;
/* Warnings about records go to `d`, which may be NULL and must live as long. */
cg_tuning *cg_tuning_new(base_diag *d);
void cg_tuning_free(cg_tuning *t); /* NULL is allowed */
/* Copies the record. Of two that fit a lookup equally well the later one counts. */
void cg_tuning_add(cg_tuning *t, const cg_record *r);
size_t cg_tuning_count(const cg_tuning *t);
/* The record for a kernel key that fits `m` best: same level and caches and threads; same level and
 * caches; same level and threads; same level; shipped, same level. NULL: none. */
const cg_record *cg_tuning_find(const cg_tuning *t, const cg_machine *m, const char *kernel,
                                const char *key);
/* Kernels that were given tiles of a record since the table was made. */
uint32_t cg_tuning_used(const cg_tuning *t);

/* What a target consults: a table, or NULL. `forms`: choices that change the form of weights are
 * open, too. */
typedef struct cg_tuning_use {
    cg_tuning *table;
    bool forms;
    cg_machine machine;
    /* For the tuner, which has to see all forms of a model: answers as if this form were the
     * fastest. -1: not. */
    int prefer;
} cg_tuning_use;
/* A copy of `t`, base_free it, that consults `use`. */
ir_target *cg_target_tuned(const ir_target *t, const cg_tuning_use *use);
/* The machine that code for `t` is chosen for: its level and caches. */
cg_machine cg_machine_of(const ir_target *t, uint32_t threads);
int32_t cg_target_isa(const ir_target *t); /* EBRU_ISA_* */

/* tiles.c: params structs as words, keys, tiles. `words` is a params struct: all its fields have 4
 * bytes. */
bool cg_is_tile(const char *kernel, const char *field);
/* Whether the kernel has tiles to choose. */
bool cg_has_tiles(const char *kernel);
void cg_params_words(const ir_binding *b, int32_t words[CG_MOST_FIELDS]);
/* Place of a field in the words, -1 when there is none of that name. */
int cg_field_index(const char *kernel, const char *field);
/* `overwrite`: the result lies over the input (conv2d {overwrite}), which binds some of the tiles.
 */
void cg_kernel_key(const char *kernel, const int32_t *words, bool overwrite, base_str *out);
/* Tiles that compute the right thing in a bearable amount of scratch; why not, otherwise. */
bool cg_tiles_legal(const char *kernel, const int32_t *words, bool overwrite, base_str *why);
int64_t cg_words_scratch(const char *kernel, const int32_t *words);
int32_t cg_words_tasks(const char *kernel, const int32_t *words);

/* For target.c and tiles.c. */
struct cg_bind;
void cg_tuning_count_use(cg_tuning *t);
/* Warns, once a record. */
void cg_tuning_refuse(cg_tuning *t, const cg_record *r, const char *why);
void cg_tuned_tiles(struct cg_bind *b); /* replaces the binding's tiles by a record's */
double cg_measured(const ir_target *t, ir_func *f, ir_ref node, ir_form form);

#endif
