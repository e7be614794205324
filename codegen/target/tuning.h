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

enum { CG_MOST_TILES = 9 }; /* tile fields of a kernel */

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
cg_tuning *cg_tuning_new(void);
void cg_tuning_free(cg_tuning *t); /* NULL is allowed */
/* Copies the record. Of two that fit a lookup equally well the later one counts. */
void cg_tuning_add(cg_tuning *t, const cg_record *r);
size_t cg_tuning_count(const cg_tuning *t);
/* The record for a kernel key that fits `m` best: same level and caches and threads; same level and
 * caches; same level and threads; same level; shipped, same level and caches of a core. NULL:
 * none. */
const cg_record *cg_tuning_find(const cg_tuning *t, const cg_machine *m, const char *kernel,
                                const char *key);
/* What became of records while kernels were bound. */
typedef struct cg_tuning_log {
    base_diag *diag;                     /* warnings about records go there; NULL: nowhere */
    uint32_t used;                       /* kernels that were given tiles of a record */
    BASE_VEC(const cg_record *) refused; /* and were warned about, once each */
} cg_tuning_log;
void cg_tuning_log_free(cg_tuning_log *log);
/* Notes that the record's choice is not legal, and why. */
void cg_tuning_refuse(cg_tuning_log *log, const cg_record *r, const char *why);

/* What a target consults. Table and log live as long as the target. */
typedef struct cg_tuning_use {
    const cg_tuning *table; /* NULL: none */
    cg_tuning_log *log;     /* NULL: nobody asks */
    bool forms;             /* choices that change the form of weights are open, too */
    ir_way force;           /* as ir_target's */
    cg_machine machine;
} cg_tuning_use;
/* A copy of `t`, base_free it, that consults `use`. */
ir_target *cg_target_tuned(const ir_target *t, const cg_tuning_use *use);
/* The machine that code for `t` is chosen for: its level and caches. */
cg_machine cg_machine_of(const ir_target *t, uint32_t threads);
int32_t cg_target_isa(const ir_target *t); /* EBRU_ISA_* */

#endif
