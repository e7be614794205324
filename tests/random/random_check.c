#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/random/random_check.h"
#include "tests/unit/passes/pass_case.h"

random_subset random_pass_subset(uint32_t index) {
    random_subset s = {.separate_buffers = index % 8 == 7};
    uint32_t place = 0; /* among those that may be left out */
    for (uint32_t i = 0; i < pass_count(); i++) {
        if (pass_get(i)->flags & PASS_REQUIRED) continue;
        /* Pass k is in subset n when the numbers k + 1 and n have an odd number of common bits: two
         * passes then agree in half of the subsets and differ in half (Hadamard's matrix). */
        uint32_t common = ++place & index;
        bool off = index == 1 || (index > 1 && __builtin_parity(common));
        if (off && s.count < 64) s.off[s.count++] = pass_get(i)->name;
    }
    return s;
}

/* A target that binds every node to a kernel of its op's name. */
static bool bind(const ir_target *t, ir_func *f, ir_ref node, ir_binding **out, base_str *reason) {
    (void)t, (void)reason;
    ir_binding *b = base_arena_alloc(f->module->arena, sizeof *b);
    *b = (ir_binding){.kernel = ir_op_get(ir_get(f, node)->op)->name, .tasks = 1, .scratch = 64};
    *out = b;
    return true;
}
static const ir_target target = {
    .level = "test", .threads = 2, .l1d = 32 << 10, .l2 = 1 << 20, .bind = bind};

/* A function's stages stand in for it once it is split. */
static void run_stages(const ir_module *m, case_values *v) {
    static const char *const names[] = {"n.prompt", "n.schedule", "n.step", "n", "keep"};
    for (int i = 0; i < 5; i++)
        if (ir_func_find(m, names[i])) case_eval(ir_func_find(m, names[i]), v, 0);
}

static const char *const outputs[] = {"sample_out", "other_out", "k_out"};
enum { OUTPUTS = 3 };

/* Nothing can be told from values that are not finite, or mostly one and the same. */
static bool proves_nothing(const ir_tensor *t) {
    int64_t n = ir_type_elements(&t->type), same = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(t->data[i])) return true;
        same += t->data[i] == t->data[0];
    }
    return n > 2 && same > n / 2;
}

/* Products of 8-bit integers: where an addition in another order moves a value over the middle
 * between two bytes, all behind it differ by a step, so the whole is measured and not the worst. */
static random_verdict compare_class(const ir_tensor *a, const ir_tensor *b, double most_rms,
                                    const char *name, base_str *why) {
    double error = 0, size = 0;
    bool fine = b && ir_shape_equal(&a->type, &b->type);
    for (int64_t i = 0; fine && i < ir_type_elements(&a->type); i++) {
        const double x = (double)a->data[i], y = (double)b->data[i];
        error += (x - y) * (x - y);
        size += x * x;
        fine = isfinite(x) == isfinite(y);
    }
    if (!fine || error > most_rms * most_rms * size + 1e-10) {
        base_str_addf(why, "%s: %s, rms %g of %g\n", name,
                      fine ? "other values" : "other shape or not finite", sqrt(error), sqrt(size));
        return RANDOM_DIFFERENT;
    }
    return proves_nothing(a) ? RANDOM_MISTRUSTED : RANDOM_SAME;
}

static random_verdict compare(case_values *want, case_values *got, const char *name,
                              double most_rms, base_str *why) {
    const ir_tensor *a = case_find(want, name), *b = case_find(got, name);
    if (!a) return RANDOM_SAME;
    if (most_rms > 0) return compare_class(a, b, most_rms, name, why);
    double most = 0, worst = 0;
    bool fine = b && ir_shape_equal(&a->type, &b->type);
    for (int64_t i = 0; fine && i < ir_type_elements(&a->type); i++) {
        most = fmax(most, fabs((double)a->data[i]));
        worst = fmax(worst, fabs((double)a->data[i] - (double)b->data[i]));
        fine = isfinite(a->data[i]) == isfinite(b->data[i]);
    }
    if (!fine || worst > 1e-4 * most + 1e-5) {
        base_str_addf(why, "%s: %s, off by %g of %g\n", name,
                      fine ? "other values" : "other shape or not finite", worst, most);
        return RANDOM_DIFFERENT;
    }
    return proves_nothing(a) ? RANDOM_MISTRUSTED : RANDOM_SAME;
}

bool random_run_passes(ir_module *m, const pass_options *passes) {
    base_diag *d = base_diag_new(NULL);
    pass_context *c = pass_context_new(m, &target);
    bool fine = pass_run(c, passes, d);
    if (!fine) base_diag_flush(d);
    pass_context_free(c);
    base_diag_free(d);
    return fine;
}

random_verdict random_check(uint64_t seed, const random_options *o, const pass_options *passes,
                            base_str *why) {
    ir_module *m = random_module(seed, o);
    case_values *v = base_alloc(2 * sizeof *v);
    run_stages(m, &v[0]);
    const double most_rms = passes->precision == IR_PRECISION_INT8 ? 0.06 : o->int8 ? 0.001 : 0;
    random_verdict verdict = RANDOM_BROKEN;
    if (random_run_passes(m, passes)) {
        run_stages(m, &v[1]);
        verdict = RANDOM_SAME;
        for (int i = 0; i < OUTPUTS && verdict != RANDOM_DIFFERENT; i++) {
            random_verdict here = compare(&v[0], &v[1], outputs[i], most_rms, why);
            if (here != RANDOM_SAME) verdict = here;
        }
    }
    if (verdict == RANDOM_DIFFERENT || verdict == RANDOM_BROKEN) {
        ir_module *original = random_module(seed, o);
        base_str_addf(why, "seed %llu\n", (unsigned long long)seed);
        ir_print(original, why);
        ir_module_free(original);
    }
    case_free_values(&v[0]);
    case_free_values(&v[1]);
    base_free(v);
    ir_module_free(m);
    return verdict;
}

bool random_fault_is_idle(uint64_t seed, const random_options *o, const pass_options *passes) {
    pass_options right = *passes;
    right.fault = NULL;
    const pass_options *ways[] = {passes, &right};
    case_values *v = base_alloc(2 * sizeof *v);
    bool same = true;
    for (int i = 0; i < 2; i++) {
        ir_module *m = random_module(seed, o);
        same &= random_run_passes(m, ways[i]);
        run_stages(m, &v[i]);
        ir_module_free(m);
    }
    for (int i = 0; same && i < OUTPUTS; i++) {
        const ir_tensor *a = case_find(&v[0], outputs[i]), *b = case_find(&v[1], outputs[i]);
        if (!a || !b) continue;
        same = !memcmp(a->data, b->data, (size_t)ir_type_elements(&a->type) * sizeof *a->data);
    }
    case_free_values(&v[0]);
    case_free_values(&v[1]);
    base_free(v);
    return same;
}
