/* ebru report: a trace summed up as tables of rows. */
#ifndef EBRU_DRIVER_REPORT_REPORT_H
#define EBRU_DRIVER_REPORT_REPORT_H

#include "driver/analyze/op_forms.h"
#include "driver/report/trace.h"

/* Times are means of the threads, in seconds. What a section does not know is 0, or NULL. */
typedef struct drv_report_row {
    const char *name;  /* of a phase, function, kind of op, op, block or thread */
    const char *block; /* ops */
    const char *place; /* ops, when a module is known: "unet/config.json:17:3" */
    drv_op_form form;  /* ops that multiply, when a module is known; else without a form */
    uint32_t depth;    /* steps below their phase; blocks below theirs */
    uint64_t calls;
    double work, wait;   /* phases and functions: work is their whole time */
    double outside;      /* threads: not in functions */
    double flops, bytes; /* of all calls; bytes with weights */
    double compute;      /* the least time for the flops, by the roof of each op's products */
    /* ops, and sums over ops: what work takes beyond the roof that binds; 0 where no roof was
     * measured, and for ops beyond it */
    double lost;
    double least, median, p99,
        most; /* ops: one thread's part of a call; functions, steps: a call */
} drv_report_row;

typedef enum drv_report_section {
    DRV_REPORT_PHASES,
    DRV_REPORT_FUNCTIONS,
    DRV_REPORT_KINDS,
    DRV_REPORT_OPS,
    DRV_REPORT_BLOCKS,
    DRV_REPORT_THREADS,
    DRV_REPORT_SECTIONS
} drv_report_section;
extern const char *const drv_report_name[DRV_REPORT_SECTIONS];

typedef struct drv_report_rows {
    drv_report_row *items;
    size_t count, cap;
} drv_report_rows;

/* What is summed up how. */
typedef struct drv_report_choice {
    bool by_shape; /* kinds of ops with one result are a row */
    bool by_lost;  /* ops, kinds and blocks that lose most come first, else the longest */
    const drv_quantization *quantization; /* what is known of the ops' errors; or NULL */
} drv_report_choice;

typedef struct drv_report {
    const drv_trace *trace;
    drv_report_choice choice;
    drv_report_rows rows[DRV_REPORT_SECTIONS];
    double in_functions; /* calls that count: what shares of ops are of */
    double cores; /* CPU time of the threads by the time they worked, at most 1: what they had of
                   * their cores. 1 where the trace does not say */
} drv_report;

/* report_sum.c. `m`: the placed module that the trace is of, or NULL. Freed with drv_report_free;
 * names live with the trace. */
void drv_report_make(drv_report *r, drv_trace *t, const ir_module *m, drv_report_choice choice);
void drv_report_free(drv_report *r);

/* Seconds that all threads together worked in functions. */
double drv_report_working(const drv_report *r);

/* The share of the roof that binds the row, 0 when none was measured; *memory: that is memory's. */
double drv_report_share(const drv_report *r, const drv_report_row *row, bool *memory);

/* report_text.c, report_json.c */
/* `model`: what the command names the module by, for the command that looks further; NULL: not
 * known. */
void drv_report_text(const drv_report *r, const char *model, base_str *out);
void drv_report_compare(const drv_report *a, const drv_report *b, base_str *out);
void drv_report_json(const drv_report *r, base_str *out);

#endif
