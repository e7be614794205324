/* The reader of traces: what it understands, and that it refuses everything else with a place. */
#include "driver/report/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/captured_diag.h"
#include "tests/unit/support/refusal.h"

/* Two threads, one function of two ops, of which the worker waits for the first. */
static const char good[] =
    "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"format\":1,\"program\":\"p\",\"model\":\"m\",\n"
    "\"build\":\"00ff\",\"ebru\":\"0.0.0\",\"precision\":\"f32\",\"level\":\"x86-64-v3\","
    "\"threads\":2,\n"
    "\"wall_us\":100.250,\"options\":[\"-p\",\"a "
    "cat\"],\"roofs\":{\"unit\":\"FMA\",\"gflops\":2.5,\n"
    "\"memory_gbs\":10},\"dropped_events\":0,\"detailed_calls\":2,\"functions\":[\n"
    "{\"name\":\"net.step\",\"batch\":1,\"ops\":[\n"
    "{\"node\":\"%4\",\"op\":\"linear\",\"kernel\":\"conv2d\",\"block\":\"mid.a\",\"result\":\"f32["
    "1,8]\",\n"
    "\"flops\":128,\"bytes\":64,\"weight_bytes\":32,\"calls\":1,\"work_us\":[20,10],\"min_us\":10,"
    "\n"
    "\"median_us\":20,\"p99_us\":20,\"max_us\":20,\"wait_us\":[0,10]},\n"
    "{\"node\":\"%5\",\"op\":\"softmax\",\"kernel\":\"softmax\",\"block\":\"mid\",\"result\":\"f32["
    "1,8]\",\n"
    "\"flops\":8,\"bytes\":64,\"weight_bytes\":0,\"calls\":1,\"work_us\":[5,5],\"min_us\":5,\n"
    "\"median_us\":5,\"p99_us\":5,\"max_us\":5,\"wait_us\":[0,0]}]}]},\n"
    "\"traceEvents\":[\n"
    "{\"ph\":\"M\",\"pid\":1,\"tid\":1,\"name\":\"thread_name\",\"args\":{\"name\":\"worker "
    "1\"}},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":0,\"ts\":0,\"dur\":100.25,\"cat\":\"run\",\"name\":\"p\"},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":0,\"ts\":0,\"dur\":100.25,\"cat\":\"phase\",\"name\":"
    "\"denoise\"},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":0,\"ts\":0,\"dur\":10,\"cat\":\"host\",\"name\":\"host\"},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":0,\"ts\":10,\"dur\":25,\"cat\":\"function\",\"name\":\"net."
    "step\",\n"
    "\"args\":{\"call\":1,\"counts\":true}},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":0,\"ts\":10,\"dur\":20,\"cat\":\"op\",\"name\":\"linear\",\n"
    "\"args\":{\"index\":0,\"node\":\"%4\"}},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":0,\"ts\":30,\"dur\":5,\"cat\":\"op\",\"name\":\"softmax\","
    "\"args\":{"
    "\"index\":1}},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":0,\"dur\":100.25,\"cat\":\"run\",\"name\":\"p\"},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":0,\"dur\":100.25,\"cat\":\"phase\",\"name\":"
    "\"denoise\"},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":0,\"dur\":100.25,\"cat\":\"step\",\"name\":\"step "
    "1/1\"},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":0,\"dur\":10,\"cat\":\"wait\",\"name\":\"idle\"},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":10,\"dur\":25,\"cat\":\"function\",\"name\":\"net."
    "step\",\n"
    "\"args\":{\"call\":1,\"counts\":false}},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":10,\"dur\":10,\"cat\":\"op\",\"name\":\"linear\","
    "\"args\":{"
    "\"index\":0}},\n"
    "{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":20,\"dur\":10,\"cat\":\"wait\",\"name\":\"barrier\","
    "\"args\":{"
    "\"index\":0}}\n"
    "]}\n";

static void understands(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    drv_trace *t = drv_trace_parse(c.diag, "t.json", good, sizeof good - 1);
    assert_string_equal(captured(&c), "");
    assert_non_null(t);
    assert_string_equal(t->model, "m");
    assert_string_equal(t->options[1], "a cat");
    assert_int_equal(t->wall, 100250);
    assert_int_equal(t->threads, 2);
    assert_true(t->gflops == 2.5 && t->memory_gbs == 10);
    assert_true(t->f32_gflops == 2.5); /* an older trace has one roof */
    assert_true(t->functions[0].ops[0].roof == 2.5);
    assert_true(t->i8_gflops == 0 && t->i8_unit[0] == 0);
    const drv_trace_op *op = &t->functions[0].ops[0];
    assert_int_equal(op->node, 4);
    assert_float_equal(drv_trace_work(t, op), 15e-6, 1e-12);
    assert_float_equal(drv_trace_wait(t, op), 5e-6, 1e-12);
    assert_int_equal(t->tracks[0].count, 6);
    assert_string_equal(t->tracks[1].name, "worker 1");
    const drv_trace_event *e = t->tracks[1].events;
    assert_int_equal(e[0].parent, DRV_TRACE_NONE);
    assert_int_equal(e[4].parent, 2);
    assert_int_equal(e[4].kind, DRV_TRACE_FUNCTION);
    assert_int_equal(e[4].function, 0);
    assert_false(e[4].counts);
    assert_int_equal(e[6].kind, DRV_TRACE_WAIT);
    assert_int_equal(e[6].parent, 4);
    assert_int_equal(e[6].depth, 4);
    assert_int_equal(e[6].op, 0);
    assert_int_equal(e[3].op, DRV_TRACE_NONE);
    assert_int_equal(e[6].begin + e[6].duration, 30000);
    drv_trace_free(t);
    capture_end(&c);
}

static void *read_text(base_diag *d, const char *name, const char *text, size_t length) {
    return drv_trace_parse(d, name, text, length);
}

static void refuses(const char *from, const char *to, const char *message) {
    expect_refusal(read_text, "t.json", good, from, to, message);
}

static void refuses_the_rest(void **state) {
    (void)state;
    refuses("\"format\":1", "\"format\":2", "this ebru reads format 1");
    refuses("\"format\":1", "\"form\":1", "not a trace that a program of ebru wrote");
    refuses("\"threads\":2", "\"threads\":0", "0");
    refuses("\"threads\":2", "\"threads\":4000000000", "4000000000");
    refuses("\"threads\":2", "\"threads\":1", "one a thread");
    refuses("\"threads\":2", "\"threads\":3", "one a thread");
    refuses("\"gflops\":2.5", "\"gflops\":-2.5", "expected a number from 0");
    refuses("\"gflops\":2.5", "\"gflops\":2.5,\"f32_gflops\":-1", "expected a number from 0");
    refuses("\"gflops\":2.5", "\"gflops\":2.5,\"i8_gflops\":1", "missing key 'i8_unit'");
    refuses("\"calls\":1", "\"roof_gflops\":-1,\"calls\":1", "expected a number from 0");
    refuses("\"wall_us\":100.250", "\"wall_us\":1e300", "expected a number from 0");
    refuses("\"wall_us\":100.250", "\"wall_us\":99", "not as long as wall_us");
    refuses("\"model\":\"m\"", "\"model\":3", "expected a string");
    refuses("\"model\":\"m\",", "", "missing key 'model'");
    refuses("\"functions\":[", "\"functions\":[7,", "expected an object");
    refuses("\"node\":\"%4\"", "\"node\":\"4\"", "a node's number");
    refuses("\"node\":\"%4\"", "\"node\":\"%99999999999\"", "a node's number");
    refuses("\"bytes\":64", "\"bytes\":-1", "-1");
    refuses("\"traceEvents\":[", "\"traceEvents\":3,\"more\":[", "expected an array");
    refuses("\"ph\":\"M\"", "\"ph\":\"B\"", "expected complete events");
    refuses("\"tid\":1,\"name\"", "\"tid\":2,\"name\"", "2");
    refuses("\"ts\":0,\"dur\":100.25,\"cat\":\"phase\"", "\"ts\":200,\"dur\":0,\"cat\":\"phase\"",
            "outside of the run");
    refuses("\"ts\":0,\"dur\":100.25,\"cat\":\"run\"", "\"ts\":1,\"dur\":100.25,\"cat\":\"run\"",
            "begins before the event in front of it");
    refuses("\"cat\":\"run\"", "\"cat\":\"phase\"", "a track begins with the run");
    refuses("\"cat\":\"run\"", "\"cat\":\"runs\"", "did you mean 'run'?");
    refuses("\"ts\":10,\"dur\":25", "\"ts\":10,\"dur\":91", "ends behind the event");
    refuses("\"ts\":30,\"dur\":5", "\"ts\":30,\"dur\":5.001", "ends behind the event");
    refuses("\"ts\":30,\"dur\":5", "\"ts\":29,\"dur\":5", "ends behind the event");
    refuses("\"ts\":30,\"dur\":5", "\"ts\":9,\"dur\":1", "begins before the event in front of it");
    refuses("\"ts\":30,\"dur\":5", "\"ts\":30,\"dur\":-5", "expected a number from 0");
    refuses("\"cat\":\"host\"", "\"cat\":\"op\"", "'op' within 'phase'");
    refuses("\"cat\":\"host\"", "\"cat\":\"run\"", "'run' within 'phase'");
    refuses("\"name\":\"net.step\",\n\"args\"", "\"name\":\"net.stop\",\n\"args\"",
            "no function of this name");
    refuses("\"call\":1", "\"call\":0", "0");
    refuses("{\"index\":1}", "{\"index\":2}", "has 2 ops");
    refuses("{\"index\":1}", "{}", "missing key 'index'");
    refuses("\"name\":\"softmax\",\"args\"", "\"name\":\"linear\",\"args\"", "is 'softmax'");
    refuses("\"traceEvents\":[", "\"traceEvents\":[],\"more\":[", "has no events");
}

/* Cut anywhere, and with any byte changed, it is read or refused, never more. */
static void survives(void **state) {
    (void)state;
    static const char bytes[] = "\"{}[],:0-x\\";
    char text[sizeof good];
    for (size_t n = 0; n < sizeof good - 2; n++) { /* without the last brace */
        capture c;
        capture_begin(&c, (base_diag_options){0});
        drv_trace *t = drv_trace_parse(c.diag, "t.json", good, n);
        assert_null(t);
        capture_end(&c);
        capture_begin(&c, (base_diag_options){0});
        memcpy(text, good, sizeof good);
        text[n] = bytes[n % (sizeof bytes - 1)];
        drv_trace_free(drv_trace_parse(c.diag, "t.json", text, sizeof good - 1));
        capture_end(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(understands),
                                       cmocka_unit_test(refuses_the_rest),
                                       cmocka_unit_test(survives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
