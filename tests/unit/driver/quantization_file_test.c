/* The quantization file: what is written reads back, everything that is wrong is told with its
 * place and at once, and a file is held to the model. */
#include "driver/quantize/quantization_file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/captured_diag.h"
#include "tests/unit/support/refusal.h"

static const char good[] =
    "{\"format\": \"ebru-quantization-1\", \"model\": \"m\", \"weights\": \"0123456789abcdef\",\n"
    " \"budget_dB\": 44, \"result_dB\": 46.25, \"ops\": [\n"
    "{\"component\": \"net\", \"weight\": \"b.weight\", \"precision\": \"int8\",\n"
    " \"signal_to_noise_dB\": {\"int8\": 38.5, \"bf16\": 51}, \"result_dB\": {\"int8\": 60},\n"
    " \"why\": \"within the budget\"},\n"
    "{\"component\": \"net\", \"weight\": \"a.weight\", \"precision\": \"f32\"}]}\n";

static drv_quantization *parse(capture *c, const char *text) {
    return drv_quantization_parse(c->diag, "q.json", text, strlen(text));
}

static void understands(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    drv_quantization *q = parse(&c, good);
    assert_string_equal(captured(&c), "");
    assert_non_null(q);
    assert_string_equal(q->model, "m");
    assert_string_equal(q->weights, "0123456789abcdef");
    assert_int_equal(strlen(q->digest), 16);
    assert_true(q->budget_dB == 44 && q->result_dB == 46.25);
    assert_int_equal(q->filters.count, 2);
    const drv_quantized_filter *f = drv_quantization_find(q, "net/b.weight");
    assert_ptr_equal(f, &q->filters.items[0]);
    assert_int_equal(f->precision, IR_PRECISION_INT8);
    assert_true(f->signal_to_noise_dB[IR_PRECISION_INT8] == 38.5);
    assert_true(f->result_dB[IR_PRECISION_INT8] == 60 && isnan(f->result_dB[IR_PRECISION_BF16]));
    assert_string_equal(f->why, "within the budget");
    assert_int_equal(f->loc.line, 3);
    assert_null(drv_quantization_find(q, "net/c.weight"));
    /* for passes: sorted by the module's names */
    assert_string_equal(q->classes[0].weight, "net/a.weight");
    assert_int_equal(q->classes[0].precision, IR_PRECISION_F32);
    assert_string_equal(q->classes[1].weight, "net/b.weight");
    drv_quantization_free(q);
    capture_end(&c);
}

/* What is printed is read, and printed alike. Numbers that JSON has no words for are kept in
 * range or left out. */
static void reads_back(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    drv_quantization *q = drv_quantization_new(), *again;
    q->model = "a \"model\"";
    q->weights = "00000000000000ff";
    q->result_dB = 41.23456;
    drv_quantized_filter *f = drv_quantization_add(q, "unet/conv_in.weight");
    f->precision = IR_PRECISION_BF16;
    f->signal_to_noise_dB[IR_PRECISION_INT8] = INFINITY;
    f->signal_to_noise_dB[IR_PRECISION_BF16] = -3;
    f->why = "few channels";
    drv_quantization_add(q, "plain");
    base_str text = {0}, twice = {0};
    drv_quantization_print(q, &text);
    again = parse(&c, text.data);
    assert_string_equal(captured(&c), "");
    assert_non_null(again);
    assert_true(again->result_dB == 41.23 && isnan(again->budget_dB));
    const drv_quantized_filter *g = drv_quantization_find(again, "unet/conv_in.weight");
    assert_string_equal(g->component, "unet");
    assert_string_equal(g->weight, "conv_in.weight");
    assert_int_equal(g->precision, IR_PRECISION_BF16);
    assert_true(g->signal_to_noise_dB[IR_PRECISION_INT8] == DRV_QUANTIZATION_MOST_DB);
    assert_string_equal(drv_quantization_find(again, "plain")->component, "");
    drv_quantization_print(again, &twice);
    assert_string_equal(text.data, twice.data);
    base_str_free(&text);
    base_str_free(&twice);
    drv_quantization_free(q);
    drv_quantization_free(again);
    capture_end(&c);
}

static void *read_text(base_diag *d, const char *name, const char *text, size_t length) {
    return drv_quantization_parse(d, name, text, length);
}

static void refuses(const char *from, const char *to, const char *message) {
    expect_refusal(read_text, "q.json", good, from, to, message);
}

static void refuses_the_rest(void **state) {
    (void)state;
    refuses("quantization-1", "quantization-2", "unknown format 'ebru-quantization-2'");
    refuses("\"format\": \"ebru-quantization-1\", ", "", "missing key 'format'");
    refuses("{\"format\"", "[{\"format\"", "q.json:");
    refuses("\"m\"", "7", "expected a string");
    refuses("0123456789abcdef", "0123456789ABCDEF", "expected a digest");
    refuses("0123456789abcdef", "0123", "expected a digest");
    refuses("\"weights\": \"0123456789abcdef\",", "", "missing key 'weights'");
    refuses("\"budget_dB\": 44", "\"budget_db\": 44", "did you mean 'budget_dB'?");
    refuses("44", "\"44\"", "expected a number");
    refuses("44", "1e300", "expected dB from -400 to 400");
    refuses("\"ops\": [", "\"ops\": {}, \"more\": [", "expected an array");
    refuses("\"ops\": [", "\"ops\": [3,", "expected an object");
    refuses("\"component\": \"net\", ", "", "missing key 'component'");
    refuses("\"weight\": \"b.weight\"", "\"wait\": \"b.weight\"", "missing key 'weight'");
    refuses("\"b.weight\"", "\"\"", "expected the name of a weight");
    refuses("\"b.weight\"", "\"a.weight\"", "'net/a.weight' has an entry already");
    refuses("\"precision\": \"int8\"", "\"precision\": \"int4\"", "unknown precision 'int4'");
    refuses("\"precision\": \"int8\"", "\"precision\": \"bf16x3\"", "unknown precision 'bf16x3'");
    refuses("\"precision\": \"int8\"", "\"precision\": 8", "expected a string");
    refuses("{\"int8\": 38.5", "{\"f32\": 38.5", "unknown key 'f32'");
    refuses("{\"int8\": 38.5, \"bf16\": 51}", "38.5", "expected an object");
    refuses("\"why\": \"within the budget\"", "\"why\": null", "expected a string");
    refuses("\"why\"", "\"reason\"", "unknown key 'reason'");
    refuses("]}", "]", "q.json:");
}

static void tells_all_at_once(void **state) {
    (void)state;
    static const char bad[] =
        "{\"format\": \"ebru-quantization-1\", \"model\": \"m\", \"weights\": \"x\",\n \"ops\": "
        "[\n{\"component\": \"n\", \"weight\": \"a\", \"precision\": \"int9\"},\n"
        "{\"component\": \"n\", \"weight\": \"a\", \"precision\": \"int8\", \"x\": 1}]}\n";
    capture c;
    capture_begin(&c, (base_diag_options){0});
    assert_null(parse(&c, bad));
    assert_non_null(strstr(captured(&c), "q.json:1:"));
    assert_non_null(strstr(captured(&c), "q.json:3:48: error"));
    assert_non_null(strstr(captured(&c), "q.json:4:30: error: 'n/a' has an entry already"));
    assert_non_null(strstr(captured(&c), "q.json:3:30: note"));
    assert_non_null(strstr(captured(&c), "unknown key 'x'"));
    assert_int_equal(base_diag_errors(c.diag), 4);
    capture_end(&c);
}

/* Cut anywhere, and with any byte changed, it is read or refused, never more. */
static void survives(void **state) {
    (void)state;
    static const char bytes[] = "\"{}[],:0-x\\";
    char text[sizeof good];
    for (size_t n = 0; n < sizeof good - 2; n++) { /* without the last brace */
        capture c;
        capture_begin(&c, (base_diag_options){0});
        assert_null(drv_quantization_parse(c.diag, "q.json", good, n));
        capture_end(&c);
        capture_begin(&c, (base_diag_options){0});
        memcpy(text, good, sizeof good);
        text[n] = bytes[n % (sizeof bytes - 1)];
        drv_quantization_free(drv_quantization_parse(c.diag, "q.json", text, sizeof good - 1));
        capture_end(&c);
    }
}

/* ---- beside a model ---- */

static const char model[] = "ebru ir 3 graph\n"
                            "weight @net/a.weight : f32[16,16] = random 1 0.2 0.0\n"
                            "weight @net/b.weight : f32[16,16] = random 2 0.2 0.0\n"
                            "func @net(%0 x : f32[1,5,16] step) {\n"
                            "  %1 = linear %0, @net/a.weight : f32[1,5,16]\n"
                            "  %2 = linear %1, @net/b.weight : f32[1,5,16]\n"
                            "  return y = %2\n"
                            "}\n";

/* Whether the good text with `from` replaced goes with the model, and what is said. */
static void beside(const char *from, const char *to, bool part, bool fine, const char *message) {
    capture c;
    char text[sizeof good + 200];
    const char *at = strstr(good, from);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    capture_begin(&c, (base_diag_options){0});
    ir_module *m = ir_parse(c.diag, "m.ir", model, sizeof model - 1);
    drv_quantization *q = parse(&c, text);
    assert_non_null(m);
    assert_non_null(q);
    assert_int_equal(drv_quantization_check(c.diag, q, m, part), fine);
    if (message ? !strstr(captured(&c), message) : *captured(&c))
        fail_msg("'%s' for '%s': expected '%s', got: %s", to, from, message, captured(&c));
    drv_quantization_free(q);
    ir_module_free(m);
    capture_end(&c);
}

static void goes_with_its_model(void **state) {
    (void)state;
    beside("b.weight", "b.weight", true, true, NULL);
    beside("b.weight", "b.weight", false, true,
           "q.json:1:60: warning: this quantization file was "
           "made with other weights");
    beside("b.weight", "c.weight", true, true, NULL); /* of a part that is not here */
    beside("b.weight", "c.weight", false, false,
           "q.json:3:32: error: the model has no weight 'net/c.weight'; did you mean");
    beside("\"net\", \"weight\": \"b.weight\", \"precision\": \"int8\",\n",
           "\"n\", \"weight\": \"z\", \"precision\": \"int8\",\n", false, false, "no weight 'n/z'");
}

static void not_with_another(void **state) {
    (void)state;
    capture c;
    capture_begin(&c, (base_diag_options){0});
    ir_module *m = ir_parse(c.diag, "m.ir", model, sizeof model - 1);
    drv_quantization *q =
        parse(&c, "{\"format\": \"ebru-quantization-1\", \"model\": \"o\", \"weights\": "
                  "\"0123456789abcdef\", \"ops\": [{\"component\": \"o\", \"weight\": \"w\", "
                  "\"precision\": \"int8\"}]}");
    assert_false(drv_quantization_check(c.diag, q, m, true));
    assert_non_null(strstr(captured(&c), "has none of the weights"));
    drv_quantization_free(q);
    ir_module_free(m);
    capture_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(understands),      cmocka_unit_test(reads_back),
        cmocka_unit_test(refuses_the_rest), cmocka_unit_test(tells_all_at_once),
        cmocka_unit_test(survives),         cmocka_unit_test(goes_with_its_model),
        cmocka_unit_test(not_with_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
