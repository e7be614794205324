/* The report for programs: one object with a list a section. */
#include "driver/report/report.h"

#include <string.h>

static void number(const char *key, double value, ir_str *out) {
    ir_str_addf(out, ",\"%s\":%.9g", key, value);
}

static void row(const drv_report *r, drv_report_section section, const drv_report_row *w, ir_str *out) {
    bool memory, thread = section == DRV_REPORT_THREADS;
    double roof = drv_report_share(r, w, &memory);
    ir_str_add(out, "{\"name\":");
    ir_json_string(out, w->name);
    if (w->block) {
        ir_str_add(out, ",\"block\":");
        ir_json_string(out, w->block);
    }
    if (w->place) {
        ir_str_add(out, ",\"place\":");
        ir_json_string(out, w->place);
    }
    ir_str_addf(out, ",\"depth\":%u,\"calls\":%llu", w->depth, (unsigned long long)w->calls);
    number("ms", w->work * 1e3, out);
    if (section != DRV_REPORT_PHASES) number("wait_ms", w->wait * 1e3, out);
    if (thread) number("outside_ms", w->outside * 1e3, out);
    if (!thread && section != DRV_REPORT_PHASES) {
        number("flops", w->flops, out);
        number("bytes", w->bytes, out);
        number("roof_share", roof, out);
        ir_str_addf(out, ",\"bound\":\"%s\"", memory ? "memory" : "compute");
    }
    if (w->median > 0) {
        number("min_ms", w->least * 1e3, out);
        number("median_ms", w->median * 1e3, out);
        number("p99_ms", w->p99 * 1e3, out);
        number("max_ms", w->most * 1e3, out);
    }
    ir_str_add(out, "}");
}

void drv_report_json(const drv_report *r, ir_str *out) {
    const drv_trace *t = r->trace;
    const char *const texts[][2] = {{"program", t->program},     {"model", t->model},
                                    {"build", t->build},         {"ebru", t->ebru},
                                    {"precision", t->precision}, {"level", t->level}};
    ir_str_addf(out, "{\"thread_count\":%u", t->threads);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ir_str_addf(out, ",\"%s\":", texts[i][0]);
        ir_json_string(out, texts[i][1]);
    }
    number("wall_ms", (double)t->wall * 1e-6, out);
    number("roof_gflops", t->gflops, out);
    number("roof_memory_gbs", t->memory_gbs, out);
    number("in_functions_ms", r->in_functions * 1e3, out);
    ir_str_addf(out, ",\"dropped_events\":%llu", (unsigned long long)t->dropped_events);
    for (int s = 0; s < DRV_REPORT_SECTIONS; s++) {
        ir_str_addf(out, ",\n\"%s\":[", drv_report_name[s]);
        for (size_t i = 0; i < r->rows[s].count; i++) {
            ir_str_add(out, i ? ",\n" : "\n");
            row(r, (drv_report_section)s, &r->rows[s].items[i], out);
        }
        ir_str_add(out, "]");
    }
    ir_str_add(out, "}\n");
}
