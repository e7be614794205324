/* Inside of ebru diff: what diff.c collects, and the two forms it is written in. */
#ifndef EBRU_DRIVER_DIFF_DIFF_H
#define EBRU_DRIVER_DIFF_DIFF_H

#include "driver/cli/options.h"
#include "driver/json_writer.h"
#include "frontend/files/files.h"
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

/* diff.c: two modules, which must live longer than the result. Free with drv_diff_free. */
diff drv_diff_compare(const ir_module *a, const char *path_a, const ir_module *b,
                      const char *path_b);
/* Of functions whose name matches all nodes stay, of others those whose block or op does; what is
 * left out still counts. NULL: no filter. */
void drv_diff_filter(diff *d, const char *pattern);
void drv_diff_free(diff *d);

/* diff_text.c: for reading; `brief`: without the single nodes. */
void drv_diff_text(const diff *d, bool brief, base_str *out);
/* ": 66 removed, 6 added"; `removed` says what of: "removed" or "nodes removed". */
void drv_diff_add_counts(const diff_counts *c, const char *removed, base_str *out);
/* diff_json.c: schema in docs/inspecting.md. */
cJSON *drv_diff_json(const diff *d);
void drv_diff_json_counts(cJSON *to, const diff_counts *c);

/* diff_report.c: two fusion reports in JSON, whose texts are `texts`; exit code as of ebru diff. */
int drv_diff_reports(base_diag *d, const drv_options *o, const fe_bytes texts[2]);
/* diff_folders.c: two folders of dumps, pass by pass. */
int drv_diff_folders(base_diag *d, const drv_options *o);
/* diff_folder.c: one folder of dumps, from its first to its last: what became of each node. */
int drv_diff_folder(base_diag *d, const drv_options *o);

#endif
