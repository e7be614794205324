/* Long runs over random modules; scripts/campaign calls it. A finding is printed with its module.
 *
 *   random_modules passes MODULES SUBSETS FIRST   each module through each subset of the passes
 *   random_modules int8 MODULES SUBSETS FIRST     the same with products of 8-bit integers: modules
 *                                                 that have them, and --precision=int8 for others
 *   random_modules faults MODULES FIRST           with a fault planted behind each pass: is it found?
 *   random_modules write MODULES FIRST FOLDER     the modules as IR text, FOLDER/SEED.ir
 *   random_modules write-int8 ...                 those with products of 8-bit integers
 *
 * Ends with 0 when nothing was found that should not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/random/random_check.h"

static random_options options = RANDOM_OPTIONS_DEFAULT;
static const random_options with_int8 = RANDOM_OPTIONS_INT8;
static ir_precision precision; /* f32 */

static pass_options options_of(const random_subset *s) {
    pass_options o = PASS_OPTIONS_DEFAULT;
    o.verify_each = true;
    o.disabled = s->off;
    o.disabled_count = s->count;
    o.separate_buffers = s->separate_buffers;
    o.precision = precision;
    if (precision == IR_PRECISION_INT8) { /* more of the small random networks */
        static const char *const knobs[] = {"lower_int8=channels:16"};
        o.knobs = knobs;
        o.knob_count = 1;
    }
    return o;
}

/* ---- passes ---- */

static bool run_passes(uint64_t modules, uint32_t subsets, uint64_t first) {
    static random_coverage coverage;
    uint64_t verdicts[RANDOM_VERDICTS] = {0};
    for (uint64_t seed = first; seed < first + modules; seed++) {
        ir_module *m = random_module(seed, &options);
        random_cover(&coverage, m);
        ir_module_free(m);
        for (uint32_t n = 0; n < subsets; n++) {
            random_subset s = random_pass_subset(n);
            pass_options o = options_of(&s);
            base_str why = {0};
            random_verdict verdict = random_check(seed, &options, &o, &why);
            if (why.len) printf("subset %u: %s\n", n, why.data);
            verdicts[verdict]++;
            base_str_free(&why);
        }
    }
    base_str text = {0};
    random_coverage_print(&coverage, options.int8, &text);
    printf("%llu modules, %u subsets of the passes: %llu same, %llu different, %llu broken, %llu "
           "prove nothing\n%s",
           (unsigned long long)modules, subsets, (unsigned long long)verdicts[RANDOM_SAME],
           (unsigned long long)verdicts[RANDOM_DIFFERENT],
           (unsigned long long)verdicts[RANDOM_BROKEN],
           (unsigned long long)verdicts[RANDOM_MISTRUSTED], text.data);
    base_str_free(&text);
    return !verdicts[RANDOM_DIFFERENT] && !verdicts[RANDOM_BROKEN];
}

/* ---- planted faults ---- */

/* The module's text behind the pipeline, with a fault ("PASS:N") or without. NULL when it broke. */
static char *text_after(uint64_t seed, const char *fault) {
    random_subset s = random_pass_subset(0);
    pass_options o = options_of(&s);
    o.fault = fault;
    o.quiet = true;
    ir_module *m = random_module(seed, &options);
    base_str text = {0};
    if (random_run_passes(m, &o)) ir_print(m, &text);
    ir_module_free(m);
    return text.data;
}

static bool run_faults(uint64_t modules, uint64_t first) {
    uint64_t planted = 0, found = 0, idle = 0, unknown = 0;
    for (uint32_t p = 0; p < pass_count(); p++) {
        if (pass_get(p)->level_out > IR_FUSED)
            break; /* a kernel's parameters: the evaluator sees none */
        uint64_t here = 0, seen = 0;
        for (uint64_t seed = first; seed < first + modules; seed++) {
            char *right = text_after(seed, NULL);
            for (int n = 1; n <= 3; n++) {
                char fault[64];
                snprintf(fault, sizeof fault, "%s:%d", pass_get(p)->name, n);
                char *wrong = text_after(seed, fault);
                bool changed = right && wrong && strcmp(right, wrong) != 0;
                base_free(wrong);
                if (!changed) break; /* the pass made no more nodes */
                random_subset s = random_pass_subset(0);
                pass_options o = options_of(&s);
                o.fault = fault;
                o.quiet = true;
                base_str why = {0};
                random_verdict verdict = random_check(seed, &options, &o, &why);
                base_str_free(&why);
                if (verdict == RANDOM_MISTRUSTED) {
                    unknown++;
                } else if (verdict == RANDOM_SAME && random_fault_is_idle(seed, &options, &o)) {
                    idle++;
                } else {
                    here++;
                    seen += verdict != RANDOM_SAME;
                    if (verdict == RANDOM_SAME)
                        printf("not found: seed %llu --plant-fault=%s\n", (unsigned long long)seed,
                               fault);
                }
            }
            base_free(right);
        }
        if (here)
            printf("%-22s %6llu planted %6llu found\n", pass_get(p)->name, (unsigned long long)here,
                   (unsigned long long)seen);
        planted += here;
        found += seen;
    }
    printf(
        "%llu planted that change a result, %llu found; %llu change none; of %llu nothing can be "
        "told\n",
        (unsigned long long)planted, (unsigned long long)found, (unsigned long long)idle,
        (unsigned long long)unknown);
    return planted > 0;
}

/* ---- modules as text ---- */

static bool write_modules(uint64_t modules, uint64_t first, const char *folder) {
    for (uint64_t seed = first; seed < first + modules; seed++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%llu.ir", folder, (unsigned long long)seed);
        ir_module *m = random_module(seed, &options);
        base_str text = {0};
        ir_print(m, &text);
        FILE *f = fopen(path, "w");
        bool fine = f && fwrite(text.data, 1, text.len, f) == text.len;
        if (f && fclose(f)) fine = false;
        base_str_free(&text);
        ir_module_free(m);
        if (!fine) {
            perror(path);
            return false;
        }
    }
    return true;
}

/* ---- command line ---- */

static int usage(void) {
    fprintf(stderr, "random_modules passes|int8 MODULES SUBSETS FIRST | faults MODULES FIRST | "
                    "write|write-int8 MODULES FIRST FOLDER\n");
    return 2;
}

int main(int argc, char **argv) {
    uint64_t number[4] = {0};
    for (int i = 2; i < argc && i < 5; i++) number[i - 2] = strtoull(argv[i], NULL, 10);
    if (argc == 5 && !strcmp(argv[1], "passes"))
        return !run_passes(number[0], (uint32_t)number[1], number[2]);
    if (argc == 5 && !strcmp(argv[1], "int8")) {
        precision = IR_PRECISION_INT8;
        bool fine = run_passes(number[0] - number[0] / 2, (uint32_t)number[1], number[2]);
        precision = IR_PRECISION_F32;
        options = with_int8;
        return !(run_passes(number[0] / 2, (uint32_t)number[1], number[2]) && fine);
    }
    if (argc == 4 && !strcmp(argv[1], "faults")) return !run_faults(number[0], number[1]);
    if (argc == 5 && !strcmp(argv[1], "write-int8")) options = with_int8;
    if (argc == 5 && (!strcmp(argv[1], "write") || !strcmp(argv[1], "write-int8")))
        return !write_modules(number[0], number[1], argv[4]);
    return usage();
}
