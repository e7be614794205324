/* The report for programs: one object with a list a section. */
#include "driver/report/report.h"

#include <string.h>

static void number(const char *key, double value, base_str *out) {
    base_str_addf(out, ",\"%s\":%.9g", key, value);
}

static void row(const drv_report *r, drv_report_section section, const drv_report_row *w,
                base_str *out) {
    bool memory, thread = section == DRV_REPORT_THREADS;
    double roof = drv_report_share(r, w, &memory);
    base_str_add(out, "{\"name\":");
    base_json_quote(out, w->name);
    if (w->block) {
        base_str_add(out, ",\"block\":");
        base_json_quote(out, w->block);
    }
    if (w->place) {
        base_str_add(out, ",\"place\":");
        base_json_quote(out, w->place);
    }
    base_str_addf(out, ",\"depth\":%u,\"calls\":%llu", w->depth, (unsigned long long)w->calls);
    number("ms", w->work * 1e3, out);
    if (section != DRV_REPORT_PHASES) number("wait_ms", w->wait * 1e3, out);
    if (thread) number("outside_ms", w->outside * 1e3, out);
    if (!thread && section != DRV_REPORT_PHASES) {
        number("flops", w->flops, out);
        number("bytes", w->bytes, out);
        number("roof_share", roof, out);
        base_str_addf(out, ",\"bound\":\"%s\"", memory ? "memory" : "compute");
    }
    if (w->median > 0) {
        number("min_ms", w->least * 1e3, out);
        number("median_ms", w->median * 1e3, out);
        number("p99_ms", w->p99 * 1e3, out);
        number("max_ms", w->most * 1e3, out);
    }
    base_str_add(out, "}");
}

void drv_report_json(const drv_report *r, base_str *out) {
    const drv_trace *t = r->trace;
    const char *const texts[][2] = {{"program", t->program},     {"model", t->model},
                                    {"build", t->build},         {"ebru", t->ebru},
                                    {"precision", t->precision}, {"level", t->level}};
    base_str_addf(out, "{\"thread_count\":%u", t->threads);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        base_str_addf(out, ",\"%s\":", texts[i][0]);
        base_json_quote(out, texts[i][1]);
    }
    number("wall_ms", (double)t->wall * 1e-6, out);
    number("roof_gflops", t->gflops, out);
    number("roof_memory_gbs", t->memory_gbs, out);
    number("in_functions_ms", r->in_functions * 1e3, out);
    base_str_addf(out, ",\"dropped_events\":%llu", (unsigned long long)t->dropped_events);
    for (int s = 0; s < DRV_REPORT_SECTIONS; s++) {
        base_str_addf(out, ",\n\"%s\":[", drv_report_name[s]);
        for (size_t i = 0; i < r->rows[s].count; i++) {
            base_str_add(out, i ? ",\n" : "\n");
            row(r, (drv_report_section)s, &r->rows[s].items[i], out);
        }
        base_str_add(out, "]");
    }
    base_str_add(out, "}\n");
}
