/* Fuzz entry: any bytes as tuning records, read strictly and leniently. What is refused has a
 * reason. Whatever the records say of tiles, a module is bound with tiles that are legal: it reads
 * back. */
#include "tests/fuzz/fuzz.h"

#include "codegen/target/target.h"
#include "driver/tune/tuning_file.h"
#include "frontend/frontend.h"
#include "passes/passes.h"

static const char model[] = "ebru ir 3 graph\n"
                            "weight @w : f32[16,16,3,3] = random 1 0.2 0.0\n"
                            "weight @l : f32[16,16] = random 2 0.2 0.0\n"
                            "func @net(%0 x : f32[1,16,6,6] step, %1 y : f32[1,5,16] step) {\n"
                            "  %2 = conv2d %0, @w {pad=[1,1,1,1]} : f32[1,16,6,6]\n"
                            "  %3 = linear %1, @l : f32[1,5,16]\n"
                            "  return a = %2, b = %3\n"
                            "}\n";

static void bind(const cg_tuning *table) {
    base_diag *d = fuzz_diag(false);
    const cg_arch *arch = cg_arch_find(d, "x86_64-linux-gnu");
    const ir_target *plain = cg_arch_target(d, arch, "x86-64-v3");
    cg_tuning_log log = {.diag = d};
    const cg_tuning_use use = {
        .table = table, .log = &log, .forms = true, .machine = cg_machine_of(plain, 2)};
    ir_target *tuned = cg_target_tuned(plain, &use);
    ir_module *m = ir_parse(d, "model.ir", model, sizeof model - 1);
    PROMISE(m != NULL);
    pass_options o = PASS_OPTIONS_DEFAULT;
    o.print_to = fuzz_sink();
    o.quiet = true;
    pass_context *c = pass_context_new(m, tuned);
    PROMISE(pass_run(c, &o, d));
    pass_context_free(c);
    base_str text = {0};
    ir_print(m, &text);
    const ir_text_rules rules = {cg_hold_bindings, (void *)(uintptr_t)plain};
    ir_module *again = fe_parse_ir(d, "again.ir", text.data, text.len, &rules);
    PROMISE(again && base_diag_errors(d) == 0);
    ir_module_free(again);
    ir_module_free(m);
    base_str_free(&text);
    base_free(tuned);
    cg_tuning_log_free(&log);
    base_diag_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int lenient = 0; lenient < 2; lenient++) {
        base_diag *d = fuzz_diag(size % 2);
        cg_tuning *table = cg_tuning_new();
        const bool fine =
            drv_tuning_read(d, "fuzz.jsonl", (const char *)data, size, false, lenient, table);
        PROMISE(fine == (base_diag_errors(d) == 0) && (fine || !lenient));
        if (lenient && cg_tuning_count(table)) bind(table);
        cg_tuning_free(table);
        base_diag_free(d);
    }
    return 0;
}
