/* Tuning records as files: reading, writing, which of them a compilation consults. */
#ifndef EBRU_DRIVER_TUNE_TUNING_FILE_H
#define EBRU_DRIVER_TUNE_TUNING_FILE_H

#include "codegen/target/tuning.h"
#include "driver/cli/options.h"

/* Reads JSON Lines into a table; empty lines are allowed. False when a line is malformed, after
 * reporting all that are, at line and column; `lenient`: such lines are passed over with a warning.
 * Records of another version or of unknown kernels are passed over with a warning. */
bool drv_tuning_read(base_diag *d, const char *name, const char *text, size_t length, bool shipped,
                     bool lenient, cg_tuning *table);
/* The same of a file. */
bool drv_tuning_read_file(base_diag *d, const char *path, bool lenient, cg_tuning *table);
/* A record as its line, dated today. */
void drv_record_print(const cg_record *r, base_str *out);
/* Appends lines to a file in one write; folders are made. False with a diagnostic. */
bool drv_tuning_append(base_diag *d, const char *path, const base_str *records);
/* Appends to `path` where records are kept by default; false when the environment does not say. */
bool drv_tuning_place(base_str *path);

/* ---- what a compilation consults ---- */

/* The tuning records a compilation consults: --tuning=FILE's, or for -mcpu=native those of the cache
 * folder; for -mcpu=native the shipped ones of its kind, too; none with --tuning=none. False with
 * diagnostics. */
typedef struct drv_tuning {
    cg_tuning *table; /* NULL: none are consulted */
    cg_tuning_log log;
    bool native;      /* code is for this machine */
    uint32_t threads; /* the program is expected to run on */
} drv_tuning;
bool drv_tuning_open(base_diag *d, const drv_code_options *o, int64_t threads, drv_tuning *t);
void drv_tuning_close(drv_tuning *t);
/* `target` consulting them; `only`: the program has no other level. *owned: to be freed with
 * base_free, or NULL. It writes to t's log. */
const ir_target *drv_tuning_target(drv_tuning *t, const ir_target *target, bool only,
                                   ir_target **owned);

#endif
