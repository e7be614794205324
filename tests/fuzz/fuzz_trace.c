/* Fuzz entry: any bytes as the trace of a run. What is accepted has events that nest and sums up as
 * text, as JSON and beside itself; what is refused has a reason. */
#include "tests/fuzz/fuzz.h"

#include "base/json/json.h"
#include "driver/report/report.h"

static void check(const drv_trace *t) {
    PROMISE(t->threads >= 1);
    for (uint32_t i = 0; i < t->threads; i++)
        for (uint32_t k = 0; k < t->tracks[i].count; k++) {
            const drv_trace_event *e = &t->tracks[i].events[k];
            PROMISE(e->begin >= 0 && e->duration >= 0);
            PROMISE(e->function == DRV_TRACE_NONE || e->function < t->function_count);
            PROMISE(e->op == DRV_TRACE_NONE || e->op < t->functions[e->function].op_count);
            if (e->parent == DRV_TRACE_NONE) continue;
            const drv_trace_event *p = &t->tracks[i].events[e->parent];
            PROMISE(e->parent < k && e->begin >= p->begin &&
                    e->begin + e->duration <= p->begin + p->duration);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    base_diag *d = fuzz_diag(size % 2);
    drv_trace *t = drv_trace_parse(d, "fuzz.json", (const char *)data, size);
    PROMISE((t != NULL) == (base_diag_errors(d) == 0));
    if (t) {
        drv_report r;
        base_str text = {0}, json = {0};
        check(t);
        drv_report_make(&r, t, NULL, (drv_report_choice){0});
        drv_report_text(&r, size % 3 ? "fuzz.ir" : NULL, &text);
        drv_report_compare(&r, &r, &text);
        drv_report_json(&r, &json);
        base_json *doc = base_json_parse(d, "report.json", json.data, json.len, NULL);
        PROMISE(doc != NULL);
        base_json_free(doc);
        drv_report_free(&r);
        base_str_free(&text);
        base_str_free(&json);
    }
    drv_trace_free(t);
    base_diag_free(d);
    return 0;
}
