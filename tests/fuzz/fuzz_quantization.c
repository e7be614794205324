/* Fuzz entry: any bytes as a quantization file. What is refused has a reason; what is read is
 * printed as text that reads back, and goes with a model or is told why not. */
#include "tests/fuzz/fuzz.h"

#include "driver/quantize/quantization_file.h"

static const char model[] = "ebru ir 3 graph\n"
                            "weight @net/a.weight : f32[16,16] = random 1 0.2 0.0\n"
                            "func @net(%0 x : f32[1,5,16] step) {\n"
                            "  %1 = linear %0, @net/a.weight : f32[1,5,16]\n"
                            "  return y = %1\n"
                            "}\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    base_diag *d = fuzz_diag(size % 2);
    drv_quantization *q = drv_quantization_parse(d, "fuzz.json", (const char *)data, size);
    PROMISE((q != NULL) == (base_diag_errors(d) == 0));
    if (q) {
        base_str once = {0}, twice = {0};
        drv_quantization_print(q, &once);
        drv_quantization *again = drv_quantization_parse(d, "again.json", once.data, once.len);
        PROMISE(again && again->filters.count == q->filters.count);
        drv_quantization_print(again, &twice);
        PROMISE(!strcmp(once.data, twice.data));
        base_str_free(&once);
        base_str_free(&twice);
        drv_quantization_free(again);
        ir_module *m = ir_parse(d, "model.ir", model, sizeof model - 1);
        PROMISE(m != NULL);
        for (int part = 0; part < 2; part++) {
            const unsigned before = base_diag_errors(d);
            q->checked = false;
            PROMISE(drv_quantization_check(d, q, m, part) == (base_diag_errors(d) == before));
        }
        ir_module_free(m);
    }
    drv_quantization_free(q);
    base_diag_free(d);
    return 0;
}
