/* The report for programs: one object with a list a section. */
#include "driver/json_writer.h"
#include "driver/report/report.h"

#include <math.h>

/* Milliseconds of seconds, without the noise behind the trace's nanoseconds. */
static void add_ms(cJSON *to, const char *key, double seconds) {
    drv_json_real(to, key, round(seconds * 1e12) / 1e9);
}

static void add_row(cJSON *list, const drv_report *r, drv_report_section section,
                    const drv_report_row *w) {
    bool memory, thread = section == DRV_REPORT_THREADS;
    double roof = drv_report_share(r, w, &memory);
    cJSON *o = drv_json_object(list, NULL);
    drv_json_text(o, "name", w->name);
    if (w->block) drv_json_text(o, "block", w->block);
    if (w->place) drv_json_text(o, "place", w->place);
    if (w->form.form) drv_add_op_form(o, &w->form);
    drv_json_uint(o, "depth", w->depth);
    drv_json_uint(o, "calls", w->calls);
    add_ms(o, "ms", w->work);
    if (section != DRV_REPORT_PHASES) add_ms(o, "wait_ms", w->wait);
    if (thread) add_ms(o, "outside_ms", w->outside);
    if (!thread && section != DRV_REPORT_PHASES) {
        drv_json_real(o, "flops", w->flops);
        drv_json_real(o, "bytes", w->bytes);
        drv_json_real(o, "roof_share", roof);
        if (section != DRV_REPORT_FUNCTIONS) add_ms(o, "lost_ms", w->lost);
        drv_json_text(o, "bound", memory ? "memory" : "compute");
    }
    if (w->median > 0) {
        add_ms(o, "min_ms", w->least);
        add_ms(o, "median_ms", w->median);
        add_ms(o, "p99_ms", w->p99);
        add_ms(o, "max_ms", w->most);
    }
}

void drv_report_json(const drv_report *r, base_str *out) {
    const drv_trace *t = r->trace;
    cJSON *doc = drv_json_object(NULL, NULL);
    drv_json_uint(doc, "thread_count", t->threads);
    drv_json_text(doc, "program", t->program);
    drv_json_text(doc, "model", t->model);
    drv_json_text(doc, "build", t->build);
    drv_json_text(doc, "ebru", t->ebru);
    drv_json_text(doc, "precision", t->precision);
    drv_json_text(doc, "level", t->level);
    add_ms(doc, "wall_ms", (double)t->wall * 1e-9);
    add_ms(doc, "cpu_ms", (double)t->cpu * 1e-9);
    drv_json_real(doc, "core_share", r->cores);
    drv_json_real(doc, "roof_core_share", t->peak_cores);
    drv_json_real(doc, "roof_gflops", t->gflops);
    drv_json_real(doc, "roof_f32_gflops", t->f32_gflops);
    if (t->i8_gflops > 0) drv_json_real(doc, "roof_i8_gflops", t->i8_gflops);
    drv_json_real(doc, "roof_memory_gbs", t->memory_gbs);
    add_ms(doc, "in_functions_ms", r->in_functions);
    drv_json_uint(doc, "dropped_events", t->dropped_events);
    for (int s = 0; s < DRV_REPORT_SECTIONS; s++) {
        cJSON *list = drv_json_array(doc, drv_report_name[s]);
        for (size_t i = 0; i < r->rows[s].count; i++)
            add_row(list, r, (drv_report_section)s, &r->rows[s].items[i]);
    }
    drv_json_write(doc, DRV_JSON_LINES, out);
}
