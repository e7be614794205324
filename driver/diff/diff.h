/* Inside of ebru diff: what diff.c collects, and the two forms it is written in. */
#ifndef EBRU_DRIVER_DIFF_DIFF_H
#define EBRU_DRIVER_DIFF_DIFF_H

#include "driver/cli/options.h"
#include "ir/analysis/pairing.h"

/* One thing that is different about a pair of nodes: an attribute, "type", "layout", "block", an
 * operand's name, "kernel", a parameter of it, "tasks" or "scratch", with its two values as text.
 */
typedef struct diff_detail {
    const char *what, *from, *to;
    bool operand, brief; /* brief: values say little in a summary over many nodes */
} diff_detail;

typedef struct diff_entry {
    ir_ref a, b; /* IR_NONE: added; removed */
    const char *op, *block;
    bool rewired;         /* nothing differs but which nodes it reads */
    diff_detail *details; /* of a changed node */
    uint32_t detail_count;
} diff_entry;

/* Of nodes. moved: the same, but at another place. */
typedef struct diff_counts {
    uint32_t removed, added, changed, rewired, moved;
} diff_counts;

/* A function of either module, or of both. */
typedef struct diff_func {
    const char *name;
    const ir_func *a, *b; /* NULL: not there */
    uint32_t *number_a, *number_b;
    BASE_VEC(diff_entry) entries; /* in the order of the text, removed nodes where they stood */
    BASE_VEC(diff_detail) outputs;
    diff_counts counts;
    bool same; /* both modules have it, and nothing differs */
} diff_func;

/* Rows of the weight table or properties that differ; NULL: not there. */
typedef struct diff_row {
    const char *name, *from, *to;
} diff_row;

typedef struct diff {
    base_arena *arena;
    const ir_module *a, *b;
    const char *path_a, *path_b;
    BASE_VEC(diff_func) funcs;
    BASE_VEC(diff_row) weights, meta;
    diff_counts counts; /* over functions that both have */
    bool same;
} diff;

/* diff_text.c: for reading; `brief`: without the single nodes. */
void drv_diff_text(const diff *d, bool brief, base_str *out);
/* diff_json.c: schema in docs/inspecting.md. */
void drv_diff_json(const diff *d, base_str *out);

/* diff_report.c: two fusion reports in JSON; exit code as of ebru diff. */
int drv_diff_reports(base_diag *d, const drv_options *o);

#endif
