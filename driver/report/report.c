/* ebru report PROGRAM TRACE [TRACE]: where a run's time went. PROGRAM says what the traces are of:
 * a program (its file is read, not run), IR text, or a model, which is lowered as `ebru compile`
 * would. */
#include "driver/report/report.h"
#include "driver/cli/write_text.h"
#include "driver/commands/commands.h"
#include "driver/commands/lower.h"
#include "driver/driver.h"
#include "driver/html/html.h"
#include "frontend/files/files.h"

#include <string.h>

/* ---- what was run ---- */

/* The module that the program was made of, at PLACED level: IR text as it is, or lowered for the
 * level and the precision that the trace names. A page (or NULL) sees it before the passes. False
 * with diagnostics. */
static bool lower(base_diag *d, const drv_options *given, const drv_trace *t, drv_html *page,
                  drv_build *b, ir_module **m) {
    drv_options o = *given;
    fe_options fe = drv_fe_options(&o.load);
    if (drv_is_ir(o.model)) {
        *m = drv_load(d, o.model, &fe);
        if (!*m) return false;
        if ((*m)->level == IR_PLACED) return true;
        ir_module_free(*m);
    }
    if (!o.code.cpu) o.code.cpu = t->level;
    for (int p = 0; !o.code.precision && p < IR_PRECISION_COUNT; p++)
        if (!strcmp(t->precision, ir_precision_name[p])) o.code.products = (ir_precision)p;
    if (!drv_lower_observed(d, &o, &fe, b, page ? drv_html_before : NULL, page)) return false;
    *m = b->levels[0].module;
    return true;
}

static bool is_program(const char *path) {
    char magic[4] = "";
    FILE *f = fe_path_is_file(path) ? fopen(path, "rb") : NULL;
    bool elf = f && fread(magic, 1, 4, f) == 4 && !memcmp(magic, "\177ELF", 4);
    if (f) fclose(f);
    return elf;
}

/* Whether all traces are of what the command line names. *m: the module, when that is known. */
static bool match(base_diag *d, const drv_options *o, drv_trace *const *traces, int count,
                  drv_html *page, drv_build *b, ir_module **m) {
    const char *const paths[] = {o->second, o->third};
    bool program = is_program(o->model), fine = program || lower(d, o, traces[0], page, b, m);
    for (int i = 0; fine && i < count; i++)
        fine = program ? drv_trace_of_program(d, traces[i], paths[i], o->model)
                       : drv_trace_of_module(d, traces[i], paths[i], *m);
    return fine;
}

/* ---- the report ---- */

static bool print(base_diag *d, const drv_options *o, drv_trace *const *traces, int count,
                  const ir_module *m, const drv_quantization *q) {
    drv_report reports[2];
    base_str text = {0};
    drv_report_choice choice = {o->report.by && !strcmp(o->report.by, "shape"),
                                o->report.sort && !strcmp(o->report.sort, "lost"), q};
    for (int i = 0; i < count; i++) drv_report_make(&reports[i], traces[i], m, choice);
    if (o->common.json)
        for (int i = 0; i < count; i++) drv_report_json(&reports[i], &text);
    else if (count == 2)
        drv_report_compare(&reports[0], &reports[1], &text);
    else
        drv_report_text(&reports[0], m ? o->model : NULL, &text);
    bool ok = drv_write_text(d, o->common.output ? o->common.output : "-", text.data, text.len);
    for (int i = 0; i < count; i++) drv_report_free(&reports[i]);
    base_str_free(&text);
    return ok;
}

/* -o FILE.html: the page, with the model's IR where that is known. */
static bool write_page(base_diag *d, const drv_options *o, drv_html *page, const drv_trace *t,
                       const drv_build *b, ir_module *m) {
    drv_build alone = {.levels = {{NULL, m}}, .count = 1};
    if (b->count || !m)
        return drv_html_write(d, page, o, b->count ? b : NULL, t, 0, o->common.output);
    alone.contexts[0] = pass_context_new(m, NULL);
    bool ok = drv_html_write(d, page, o, &alone, t, 0, o->common.output);
    pass_context_free(alone.contexts[0]);
    return ok;
}

static bool is_page(const char *output) {
    size_t n = output ? strlen(output) : 0;
    return n > 5 && !strcmp(output + n - 5, ".html");
}

int drv_report_run(const drv_options *o) {
    if (is_page(o->common.output) && o->third) {
        fprintf(stderr, "ebru: error: report: a page shows one trace; two are compared as text\n");
        return DRV_USAGE;
    }
    base_diag *d = drv_diag(&o->common);
    drv_html *page = is_page(o->common.output) ? drv_html_new() : NULL;
    drv_build b = {0};
    ir_module *m = NULL;
    drv_trace *traces[2] = {drv_trace_read(d, o->second),
                            o->third ? drv_trace_read(d, o->third) : NULL};
    int count = o->third ? 2 : 1, code = DRV_INPUT;
    if (traces[0] && traces[count - 1] && match(d, o, traces, count, page, &b, &m)) {
        bool ok = page ? write_page(d, o, page, traces[0], &b, m)
                       : print(d, o, traces, count, m, b.quantization);
        code = ok ? DRV_OK : DRV_IO;
    }
    for (int i = 0; i < count; i++) drv_trace_free(traces[i]);
    if (!b.count) ir_module_free(m);
    drv_build_free(&b);
    drv_html_free(page);
    base_diag_flush(d);
    base_diag_free(d);
    return code;
}
