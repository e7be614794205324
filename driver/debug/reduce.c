/* ebru reduce: a small IR that still shows what a large one showed.
 *
 * A candidate is tested by a command (--test=, exit code 0: still interesting), or by what `verify
 * --layers` found in the original: one pass changes what the evaluator computes, or a compiled op
 * is out of tolerance. Coarse steps first: single functions; by bisection the earliest node that
 * may be the only output, then the latest front of inputs; then node by node from the end, until
 * nothing more goes. Every candidate is verified before it is tested. */
#include "ir/analysis/reduce.h"
#include "base/system/process.h"
#include "driver/cli/write_text.h"
#include "driver/commands/commands.h"
#include "driver/commands/lower.h"
#include "driver/commands/run_program.h"
#include "driver/debug/verify_layers.h"
#include "driver/driver.h"
#include "runtime/abi/meta_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct reducer {
    drv_options o;
    base_diag *d;
    drv_temp temp;
    char path[PATH_MAX]; /* of the candidate */
    const char *pass; /* the pass that changes results; NULL: compiled ops are out of tolerance */
    base_str best;    /* text of the smallest interesting module */
    uint32_t tests;
    time_t shown;
} reducer;

/* ---- modules from text and back ---- */

static ir_module *parse(const base_str *text) {
    base_diag *d = base_diag_new(NULL);
    ir_module *m = ir_parse(d, "candidate", text->data, text->len);
    base_diag_free(d);
    if (!m) ICE("reduce: a candidate does not read back");
    return m;
}

static uint32_t count_ops(const base_str *text) {
    ir_module *m = parse(text);
    uint32_t count = ir_op_count(m);
    ir_module_free(m);
    return count;
}

/* ---- tests ---- */

/* The fault is still there: results of some network change in the pass, or a compiled op is out of
 * tolerance. */
static bool layers_say_yes(reducer *r) {
    drv_options o = r->o;
    layers l;
    bool yes = false;
    o.model = r->path;
    o.load.function = NULL;
    o.common.quiet = true;
    if (!layers_open(&l, &o)) {
        const char *names[LAYERS_MOST_NETWORKS];
        ir_module *m = r->pass ? layers_base(&l) : NULL;
        uint32_t count = m ? layers_networks(&l, m, names) : 0;
        l.changed[0] = r->pass;
        l.changed_count = 1;
        for (uint32_t i = 0; i < count && !yes; i++)
            yes = layers_distance(&l, names[i], 1) > l.tolerance;
        if (!r->pass) yes = layers_kernels_fail(&l);
    }
    layers_close(&l);
    return yes;
}

static void progress(reducer *r) {
    if (r->o.common.quiet || time(NULL) < r->shown + 5) return;
    fprintf(stderr, "%u ops after %u tests\n", count_ops(&r->best), r->tests);
    r->shown = time(NULL);
}

/* In a child: a candidate that makes the compiler itself end is not what was looked for. */
static bool child_says_yes(reducer *r) {
    int status = 0;
    pid_t pid = base_fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        if (null >= 0) dup2(null, STDERR_FILENO);
        base_exit_child(!layers_say_yes(r));
    }
    return pid > 0 && base_wait(pid, &status) == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool interesting(reducer *r, const base_str *text) {
    r->tests++;
    progress(r);
    if (!drv_write_text(r->d, r->path, text->data, text->len)) return false;
    if (r->o.reduce.test) return drv_run_test(r->o.reduce.test, r->path) == 0;
    return child_says_yes(r);
}

/* Takes the module (freed here) as the best one when it is legal, other than the best and still
 * interesting. */
static bool try_module(reducer *r, ir_module *m) {
    base_str text = {0}, faults = {0};
    ir_drop_unused(m);
    bool fine = ir_verify(m, &faults);
    ir_print(m, &text);
    ir_module_free(m);
    fine = fine && (text.len != r->best.len || memcmp(text.data, r->best.data, text.len) != 0) &&
           interesting(r, &text);
    base_str_free(&faults);
    if (fine) {
        base_str_free(&r->best);
        r->best = text;
    } else {
        base_str_free(&text);
    }
    return fine;
}

/* ---- steps: each returns whether the module became smaller ---- */

static bool drop_functions(reducer *r) {
    bool any = false;
    for (uint32_t i = 0;; i++) { /* one function alone */
        ir_module *m = parse(&r->best);
        if (m->funcs.count < 2 || i >= m->funcs.count) {
            ir_module_free(m);
            break;
        }
        for (uint32_t k = (uint32_t)m->funcs.count; k-- > 0;)
            if (k != i) ir_func_remove(m, m->funcs.items[k]);
        if (try_module(r, m)) return true;
    }
    for (uint32_t i = 0;;) { /* all but one */
        ir_module *m = parse(&r->best);
        if (m->funcs.count < 2 || i >= m->funcs.count) {
            ir_module_free(m);
            return any;
        }
        ir_func_remove(m, m->funcs.items[i]);
        if (try_module(r, m))
            any = true;
        else
            i++;
    }
}

static bool drop_meta(reducer *r) {
    ir_module *m = parse(&r->best);
    size_t kept = 0, had = m->meta.count;
    for (size_t i = 0; i < m->meta.count; i++)
        if (!strcmp(m->meta.items[i].key, EBRU_META_PASSES_AFTER.name))
            m->meta.items[kept++] = m->meta.items[i];
    m->meta.count = kept;
    if (kept < had) return try_module(r, m);
    ir_module_free(m);
    return false;
}

static bool drop_outputs(reducer *r, uint32_t func) {
    bool any = false;
    for (size_t i = 0;;) {
        ir_module *m = parse(&r->best);
        ir_func *f = m->funcs.items[func];
        if (f->outputs.count < 2 || i >= f->outputs.count) {
            ir_module_free(m);
            return any;
        }
        memmove(&f->outputs.items[i], &f->outputs.items[i + 1],
                (f->outputs.count - i - 1) * sizeof *f->outputs.items);
        f->outputs.count--;
        if (try_module(r, m))
            any = true;
        else
            i++;
    }
}

/* The nodes of a function that may be cut: no leaves, and they depend on inputs. base_free. */
static uint32_t *cuttable(const ir_func *f, uint32_t *count) {
    bool *constant = ir_constants(f);
    uint32_t *list = base_alloc((f->nodes.count + 1) * sizeof *list);
    *count = 0;
    for (uint32_t i = 0; i < f->nodes.count; i++)
        if (!constant[i] && f->nodes.items[i].op != IR_OP_input) list[(*count)++] = i;
    base_free(constant);
    return list;
}

/* A candidate in which only the first `keep` of the function's nodes are left, the last of them its
 * output. */
static bool try_tail(reducer *r, uint32_t func, uint32_t keep) {
    ir_module *m = parse(&r->best);
    uint32_t count, *list = cuttable(m->funcs.items[func], &count);
    if (keep <= count) ir_reduce_output(m->funcs.items[func], (ir_ref){list[keep - 1]});
    base_free(list);
    return try_module(r, m);
}

/* A candidate in which inputs stand for the function's nodes up to number `cut`. */
static bool try_head(reducer *r, uint32_t func, uint32_t cut) {
    ir_module *m = parse(&r->best);
    ir_func *f = m->funcs.items[func];
    uint32_t count, *list = cuttable(f, &count);
    ir_cut *cuts = base_alloc((f->nodes.count + 1) * sizeof *cuts);
    for (uint32_t i = 0; i < cut && i < count; i++) cuts[list[i]].fate = IR_CUT_INPUT;
    bool fine = ir_reduce(f, cuts);
    base_free(cuts);
    base_free(list);
    if (fine) return try_module(r, m);
    ir_module_free(m);
    return false;
}

static uint32_t cuttable_count(const reducer *r, uint32_t func) {
    ir_module *m = parse(&r->best);
    uint32_t count;
    base_free(cuttable(m->funcs.items[func], &count));
    ir_module_free(m);
    return count;
}

/* Bisection over the only output: the function's end goes as far as it will. */
static bool cut_tail(reducer *r, uint32_t func) {
    uint32_t low = 0,
             high = cuttable_count(r, func); /* interesting with `high` nodes, not with `low` */
    bool any = false;
    while (high - low > 1 && high > 1) {
        uint32_t mid = (low + high) / 2;
        if (try_tail(r, func, mid)) {
            any = true;
            high = cuttable_count(r, func); /* nodes that the output does not need are gone, too */
            if (low >= high) low = 0;
        } else {
            low = mid;
        }
    }
    return any;
}

/* Bisection over the front of inputs. */
static bool cut_head(reducer *r, uint32_t func) {
    uint32_t step = cuttable_count(r, func) / 2;
    bool any = false;
    while (step > 0) {
        if (try_head(r, func, step)) {
            any = true;
            if (step > cuttable_count(r, func)) step = cuttable_count(r, func);
        } else {
            step /= 2;
        }
    }
    return any;
}

/* One cut of one node. */
static bool try_cut(reducer *r, uint32_t func, uint32_t node, ir_cut cut) {
    ir_module *m = parse(&r->best);
    ir_func *f = m->funcs.items[func];
    ir_cut *cuts = base_alloc((f->nodes.count + 1) * sizeof *cuts);
    bool fine = node < f->nodes.count;
    if (fine) cuts[node] = cut;
    fine = fine && ir_reduce(f, cuts);
    base_free(cuts);
    if (fine) return try_module(r, m);
    ir_module_free(m);
    return false;
}

/* Node by node from the end: an operand stands for it, an input stands for it, an optional operand
 * goes. */
static bool cut_nodes(reducer *r, uint32_t func) {
    ir_module *m = parse(&r->best);
    uint32_t i = (uint32_t)m->funcs.items[func]->nodes.count;
    ir_module_free(m);
    bool any = false;
    while (i-- > 0) {
        bool went = false;
        for (uint32_t k = 0; k < IR_MAX_OPERANDS && !went; k++)
            went = try_cut(r, func, i, (ir_cut){IR_CUT_BYPASS, k});
        if (!went) went = try_cut(r, func, i, (ir_cut){IR_CUT_INPUT, 0});
        for (uint32_t k = IR_MAX_OPERANDS; k-- > 0 && !went;)
            any |= try_cut(r, func, i, (ir_cut){IR_CUT_DROP, k});
        any |= went;
        m = parse(&r->best);
        uint32_t left = (uint32_t)m->funcs.items[func]->nodes.count;
        ir_module_free(m);
        if (i > left) i = left; /* nodes behind it may have gone with it */
    }
    return any;
}

/* Extents of inputs become 1 where they can, else half. */
static bool shrink(reducer *r, uint32_t func) {
    bool any = false;
    for (uint32_t input = 0, axis = 0;;) {
        ir_module *m = parse(&r->best);
        ir_func *f = m->funcs.items[func];
        if (input >= f->inputs.count) {
            ir_module_free(m);
            return any;
        }
        const ir_type *t = ir_typeof(f, f->inputs.items[input]);
        int64_t extent = axis < t->rank ? t->dim[axis] : 1;
        bool went = false, last = axis >= t->rank;
        ir_module_free(m);
        for (int64_t to = 1; to < extent && !went; to = to < extent / 2 ? extent / 2 : extent) {
            m = parse(&r->best);
            if (ir_reduce_extent(m->funcs.items[func], extent, to))
                went = try_module(r, m);
            else
                ir_module_free(m);
        }
        any |= went;
        if (last)
            input++, axis = 0;
        else if (!went)
            axis++;
    }
}

static uint32_t function_count(const reducer *r) {
    ir_module *m = parse(&r->best);
    uint32_t count = (uint32_t)m->funcs.count;
    ir_module_free(m);
    return count;
}

static void reduce(reducer *r) {
    drop_functions(r);
    drop_meta(r);
    for (bool more = true; more;) {
        more = false;
        for (uint32_t f = 0; f < function_count(r); f++) {
            more |= drop_outputs(r, f);
            more |= cut_tail(r, f);
            more |= cut_head(r, f);
            more |= cut_nodes(r, f);
            more |= shrink(r, f);
        }
        more |= drop_functions(r);
    }
}

/* ---- the command ---- */

/* What is wrong with the original: a pass, or compiled ops. False with a diagnostic when nothing
 * is. */
static bool find_fault(reducer *r) {
    layers l;
    drv_options o = r->o;
    bool both = !o.verify.layers_passes && !o.verify.layers_kernels, found = false;
    o.model = r->path;
    o.load.function = NULL;
    o.common.quiet = true;
    if (!layers_open(&l, &o)) {
        l.progress = !r->o.common.quiet;
        bool fine = layers_find_passes(&l);
        if (fine && (both || o.verify.layers_passes)) {
            r->pass = layers_first_pass(&l);
            found = r->pass != NULL;
        }
        if (fine && !found && (both || o.verify.layers_kernels)) found = layers_kernels_fail(&l);
        fine = fine && !base_diag_errors(l.d);
        if (fine && !found)
            base_error(l.d, NULL,
                       "%s shows no fault: passes and compiled ops compute what the evaluator does",
                       r->o.model);
    }
    layers_close(&l);
    if (found && !r->o.common.quiet)
        fprintf(stderr,
                r->pass ? "keeping: results change in pass %s\n"
                        : "keeping: a compiled op is out of tolerance\n",
                r->pass);
    return found;
}

/* The model as text without weights and functions that --function= leaves out. */
static bool load(reducer *r, const fe_options *fe) {
    ir_module *m = drv_load(r->d, r->o.model, fe);
    if (!m) return false;
    if (m->level >= IR_KERNEL) {
        base_error(r->d, NULL, "reduce works on IR at level graph or fused; this is at level %s",
                   ir_level_name[m->level]);
        base_note(
            r->d, NULL,
            "give the model itself, or what --emit=ir:fused or --dump-dir= wrote of it before "
            "select_kernels");
        ir_module_free(m);
        return false;
    }
    ir_print(m, &r->best);
    ir_module_free(m);
    if (drv_write_text(r->d, r->path, r->best.data, r->best.len)) return true;
    return false;
}

static int run(reducer *r, const fe_options *fe) {
    if (!load(r, fe)) return DRV_INPUT;
    uint32_t before = count_ops(&r->best), functions = function_count(r);
    time_t start = time(NULL);
    if (r->o.reduce.test ? !interesting(r, &r->best) : !find_fault(r)) {
        if (r->o.reduce.test && !base_diag_errors(r->d))
            base_error(r->d, NULL, "the test does not find %s interesting: '%s' did not end with 0",
                       r->o.model, r->o.reduce.test);
        return DRV_INPUT;
    }
    reduce(r);
    if (!drv_write_text(r->d, r->o.common.output, r->best.data, r->best.len)) return DRV_IO;
    if (!r->o.common.quiet)
        fprintf(stderr, "%u functions, %u ops -> %u, %u ops; %u tests, %ld s\n", functions, before,
                function_count(r), count_ops(&r->best), r->tests, (long)(time(NULL) - start));
    return DRV_OK;
}

int drv_reduce(const drv_options *o) {
    bool layers_test = o->verify.layers || o->verify.layers_passes || o->verify.layers_kernels;
    reducer r = {.o = *o};
    fe_options fe = drv_fe_options(&o->load);
    if (!o->common.output || (o->reduce.test != NULL) == layers_test) {
        fprintf(stderr, "ebru: error: reduce: name the output with -o and one test, --test=COMMAND "
                        "or --layers\n");
        return DRV_USAGE;
    }
    r.d = drv_diag(&o->common);
    int code = DRV_IO;
    if (drv_temp_new(r.d, &r.temp)) {
        snprintf(r.path, sizeof r.path, "%s/candidate.ir", base_temp_dir_path(r.temp.dir));
        code = run(&r, &fe);
        drv_temp_free(&r.temp);
    }
    base_str_free(&r.best);
    base_diag_flush(r.d);
    base_diag_free(r.d);
    return code;
}
