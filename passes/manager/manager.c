/* The pass manager: the loop that runs a pipeline.
 *
 * Around every pass it checks levels and contracts (passes.def), shows it of the target what it may
 * know, counts for bisection, measures, verifies, prints and dumps. A pass that is switched off
 * leaves its level change to the manager: GRAPH IR is legal at FUSED as it stands, so the module is
 * raised when the next pass wants it; the higher levels are reached by required passes only. */
#include "passes/manager/manager.h"
#include "base/suggest.h"
#include "base/system/clock.h"
#include "runtime/abi/meta_keys.h"

#include <stdlib.h>
#include <string.h>

int pass_known(base_diag *d, const char *option, const char *name, size_t length) {
    int i = pass_index(name, length);
    if (i >= 0) return i;
    const pass_renamed *old = pass_find_renamed(name, length);
    if (old) {
        const char *now = pass_get(old->index)->name;
        base_warning(d, NULL, "%s: pass '%s' is now %s; '%s' is meant", option, old->name,
                     old->text, now);
        return (int)old->index;
    }
    const char *names[PASS_COUNT];
    for (uint32_t k = 0; k < PASS_COUNT; k++) names[k] = pass_get(k)->name;
    char *text = base_alloc(length + 1);
    memcpy(text, name, length);
    base_error(d, NULL, "%s: unknown pass '%s'", option, base_escape(name, length));
    const char *near = base_suggest(text, names, PASS_COUNT);
    if (near)
        base_note(d, NULL, "did you mean '%s'?", near);
    else
        base_note(d, NULL, "--list-passes lists all");
    base_free(text);
    return -1;
}

/* ---- one run ---- */

typedef struct run {
    pass_context *c;
    const pass_options *o;
    base_diag *d;
    uint32_t known;   /* properties that hold for all functions */
    int64_t optional; /* running number of applications of optional passes, for bisection */
    bool everywhere;  /* the pass that ran last was applied to all functions */
    pass_show show;
    const pass_contracts *contracts;
    bool list;        /* an explicit list of passes */
    pass_fault fault; /* to be planted; .pass NULL: none */
} run;

static const pass_info *info_of(const run *r, uint32_t index) {
    return &r->contracts->passes[index];
}

static uint32_t node_count(const ir_module *m) {
    size_t n = 0;
    for (size_t i = 0; i < m->funcs.count; i++) n += m->funcs.items[i]->nodes.count;
    return (uint32_t)n;
}

static bool holds(const ir_module *m, uint32_t property, base_str *why) {
    for (size_t i = 0; i < m->funcs.count; i++)
        if (!pass_holds(m->funcs.items[i], property, why)) return false;
    return true;
}

/* Why the pass cannot run: a property it needs does not hold, and nothing establishes it. */
static void report_missing(run *r, const pass_info *p, const pass_property *q, base_str *why) {
    while (why->len && why->data[why->len - 1] == '\n') why->data[--why->len] = 0;
    if (q->giver) {
        base_error(r->d, NULL, "pass '%s' needs IR with property %s: run pass '%s' before it",
                   p->name, q->name, q->giver);
    } else {
        base_error(r->d, NULL, "pass '%s' comes too late: needed is IR where %s%s%s%s", p->name,
                   q->summary, q->ender ? ", and pass '" : "", q->ender ? q->ender : "",
                   q->ender ? "' ends that" : "");
    }
    base_note(r->d, NULL, "%s", why->data ? why->data : "");
}

/* Makes every property that the pass needs hold, or reports which pass is missing. *late: the pass
 * comes too late for a property that no pass gives; an error in a list only. */
static bool assure(run *r, const pass_info *p, bool *late) {
    ir_module *m = r->c->module;
    bool fine = true;
    for (uint32_t i = 0; i < PASS_PROP_COUNT; i++) {
        uint32_t bit = 1u << i;
        const pass_property *q = pass_property_get(i);
        if (!(p->needs & bit) || (r->known & bit)) continue;
        base_str why = {0};
        if (holds(m, bit, &why)) {
            r->known |= bit;
        } else if (q->establish) {
            for (size_t k = 0; k < m->funcs.count; k++) q->establish(m->funcs.items[k]);
            r->known |= bit;
        } else {
            fine = false;
            *late = !q->giver;
            if (q->giver || r->list) report_missing(r, p, q, &why);
        }
        base_str_free(&why);
    }
    return fine;
}

/* Whether the next application of a pass, on one function or (NULL) on the module, is within the
 * limit. */
static bool allowed_by_bisect(run *r, const pass_info *p, const ir_func *f) {
    if (p->flags & PASS_REQUIRED) return true;
    r->optional++;
    if (r->o->bisect_limit < 0) return true;
    bool go = r->optional <= r->o->bisect_limit;
    if (!r->o->quiet)
        fprintf(r->o->print_to, "BISECT: %s pass (%lld) %s on %s\n", go ? "running" : "NOT running",
                (long long)r->optional, p->name,
                f ? base_escape(f->name, strlen(f->name)) : "the module");
    return go;
}

/* Beyond the limit nothing of a pass runs: not even what it needs is established. */
static bool beyond_bisect(run *r, const pass_info *p) {
    const ir_module *m = r->c->module;
    if ((p->flags & PASS_REQUIRED) || r->o->bisect_limit < 0 || r->optional < r->o->bisect_limit)
        return false;
    if (p->flags & PASS_MODULE) allowed_by_bisect(r, p, NULL);
    for (size_t i = 0; !(p->flags & PASS_MODULE) && i < m->funcs.count; i++)
        allowed_by_bisect(r, p, m->funcs.items[i]);
    return true;
}

/* False when the level forbids the pass; that is an error in a list, and means "already done" in
 * the default pipeline. */
static bool level_fits(run *r, const pass_info *p, bool *error) {
    ir_module *m = r->c->module;
    if (m->level > p->level_out) {
        if (!r->list) return false;
        base_error(r->d, NULL, "pass '%s' works at level %s, but the module is at level %s already",
                   p->name, ir_level_name[p->level_in], ir_level_name[m->level]);
        *error = true;
        return false;
    }
    if (m->level < p->level_in && p->level_in <= IR_FUSED) m->level = IR_FUSED;
    if (m->level < p->level_in) {
        base_error(r->d, NULL, "pass '%s' needs the module at level %s, but it is at level %s",
                   p->name, ir_level_name[p->level_in], ir_level_name[m->level]);
        *error = true;
        return false;
    }
    return true;
}

static bool names(const char *option, const char *pass) {
    return option && (!strcmp(option, "all") || !strcmp(option, pass));
}

static bool shown_after(const run *r, const char *pass) {
    return names(r->o->print_after ? r->o->print_after : r->o->print_changed ? "all" : NULL, pass);
}

/* ---- one pass ---- */

/* What the pass may know of the target: see pass_context. `common` is room for it. */
static const ir_target *visible_target(const run *r, const pass_info *p, ir_target *common) {
    const ir_target *all = pass_level_target(r->c), *widest = r->o->widest ? r->o->widest : all;
    if (!all || (p->flags & PASS_PER_LEVEL)) return all;
    *common = (ir_target){.lanes = widest->lanes};
    memcpy(common->rate, widest->rate, sizeof common->rate);
    return common;
}

/* Applies the pass; false when the bisect limit kept it from some function. */
static bool apply(run *r, uint32_t index, bool *changed) {
    pass_context *c = r->c;
    ir_module *m = c->module;
    const pass_info *p = info_of(r, index);
    const pass_runner *runner = pass_get_runner(index);
    ir_target common;
    bool everywhere = true;
    c->target = visible_target(r, p, &common);
    if (runner->on_module) {
        allowed_by_bisect(r, p, NULL);
        *changed = runner->on_module(c, m);
    } else {
        for (size_t i = 0; i < m->funcs.count; i++) {
            bool go = allowed_by_bisect(r, p, m->funcs.items[i]);
            everywhere &= go;
            if (go && runner->on_function(c, m->funcs.items[i])) *changed = true;
        }
    }
    c->target = pass_level_target(c);
    return everywhere;
}

static void run_pass(run *r, uint32_t index) {
    pass_context *c = r->c;
    ir_module *m = c->module;
    const pass_info *p = info_of(r, index);
    pass_timing t = {.pass = p->name, .nodes_before = node_count(m)};
    pass_forget_numbers(c);
    pass_show_before(&r->show, m, t.pass, names(r->o->print_before, t.pass),
                     r->o->print_changed && shown_after(r, t.pass));
    bool plant = r->fault.pass == p->name;
    if (plant) pass_fault_look(&r->fault, m);
    const double start = base_now();
    if (m->level < p->level_out && p->level_out == IR_FUSED) m->level = IR_FUSED;
    r->everywhere = apply(r, index, &t.changed);
    t.ms = 1e3 * (base_now() - start);
    t.nodes_after = node_count(m);
    BASE_PUSH(&c->timings, t);
    if (c->failed) return;
    if (m->level < p->level_out) m->level = p->level_out;
    if (plant && t.changed) pass_fault_plant(&r->fault, m, r->o->quiet ? NULL : r->o->print_to);
    if (t.changed) r->known &= p->keeps;
    if (r->everywhere && !r->o->verify_each) r->known |= p->gives;
    if (!r->list) ir_meta_set_string(m, EBRU_META_PASSES_AFTER.name, p->name);
}

/* After a pass: verifier, round trip, given properties; then what the options want to see. */
static bool after(run *r, uint32_t index) {
    pass_context *c = r->c;
    const pass_info *p = info_of(r, index);
    const pass_timing *t = &c->timings.items[c->timings.count - 1];
    if (r->o->verify_each) {
        base_str faults = {0};
        uint32_t gives = r->everywhere ? p->gives : 0;
        pass_check(c->module, &faults);
        for (uint32_t i = 0; i < PASS_PROP_COUNT; i++)
            if ((gives | (r->known & p->keeps)) >> i & 1) {
                if (!holds(c->module, 1u << i, &faults))
                    base_str_addf(&faults, "property %s lost\n", pass_property_get(i)->name);
            }
        if (faults.len) pass_broken(c->module, p->name, faults.data, r->o->dump_dir);
        base_str_free(&faults);
        r->known |= gives;
    }
    if (shown_after(r, p->name))
        pass_show_after(&r->show, c->module, p->name, t->changed, r->o->print_changed);
    return !r->o->dump_dir || pass_dump(r->d, c->module, r->o, index + 1, p->name);
}

/* Runs one pass with everything around it; false ends the run. */
static bool step(run *r, uint32_t index) {
    const pass_info *p = info_of(r, index);
    bool error = false, late = false;
    if (pass_choices_of(r->c)->off[index] && !r->list) return true;
    if (!level_fits(r, p, &error)) return !error;
    if (beyond_bisect(r, p)) return true;
    if (!assure(r, p, &late)) return late && !r->list;
    run_pass(r, index);
    return !r->c->failed && after(r, index);
}

/* ---- options ---- */

static bool pass_or_all(base_diag *d, const char *option, const char *name) {
    return !name || !strcmp(name, "all") || pass_known(d, option, name, strlen(name)) >= 0;
}

static bool read_fault(run *r) {
    char name[64];
    if (!r->o->fault) return true;
    if (!pass_fault_read(&r->fault, r->o->fault, name, sizeof name)) {
        base_error(r->d, NULL, "--plant-fault: expected PASS or PASS:NUMBER, not '%s'",
                   base_escape(r->o->fault, strlen(r->o->fault)));
        return false;
    }
    int at = pass_known(r->d, "--plant-fault", name, strlen(name));
    if (at >= 0) r->fault.pass = pass_get((uint32_t)at)->name;
    return at >= 0;
}

/* Where the default pipeline begins: behind start_after, or behind the pass a dump was written
 * after. */
static bool first_pass(run *r, uint32_t *first) {
    const char *name = r->o->start_after;
    *first = 0;
    if (!name) {
        name = ir_meta_string(r->c->module, EBRU_META_PASSES_AFTER.name, NULL);
        if (!name || !*name) return true;
        /* a dump of another ebru may have been written after a pass that is not here */
        int after = pass_known(r->d, EBRU_META_PASSES_AFTER.name, name, strlen(name));
        *first = (uint32_t)(after + 1);
        return after >= 0;
    }
    int at = pass_known(r->d, "--start-after", name, strlen(name));
    *first = (uint32_t)(at + 1);
    return at >= 0;
}

static bool run_default(run *r) {
    uint32_t first, last = PASS_COUNT - 1;
    bool fine = first_pass(r, &first);
    if (r->o->stop_after) {
        int at = pass_known(r->d, "--stop-after", r->o->stop_after, strlen(r->o->stop_after));
        fine = fine && at >= 0;
        last = (uint32_t)at;
    }
    if (!fine) return false;
    for (uint32_t i = first; i <= last; i++)
        if (!step(r, i)) return false;
    if (r->o->stop_after)
        ir_meta_set_string(r->c->module, EBRU_META_PASSES_AFTER.name, r->o->stop_after);
    return true;
}

static bool list_in_order(run *r, const uint32_t *list, uint32_t count) {
    const pass_order *broken;
    if (pass_list_in_order(r->contracts, list, count, &broken)) return true;
    base_error(r->d, NULL, "--passes: pass '%s' has to run before '%s': %s",
               pass_get(broken->earlier)->name, pass_get(broken->later)->name, broken->reason);
    return false;
}

static bool run_list(run *r) {
    uint32_t order[256], count = 0;
    bool fine = true;
    for (const char *p = r->o->passes; *p;) {
        size_t n = strcspn(p, ",");
        int at = n ? pass_known(r->d, "--passes", p, n) : -2;
        if (at == -1) fine = false;
        if (at >= 0 && count == 256) {
            base_error(r->d, NULL, "--passes: more than 256 passes");
            return false;
        }
        if (at >= 0) order[count++] = (uint32_t)at;
        p += n;
        if (*p == ',') p++;
    }
    fine = fine && list_in_order(r, order, count);
    for (uint32_t i = 0; fine && i < count; i++) {
        if (!step(r, order[i])) return false;
        if (r->o->stop_after && !strcmp(r->o->stop_after, pass_get(order[i])->name)) break;
    }
    return fine;
}

static void print_times(const pass_context *c, FILE *out) {
    double total = 0;
    for (size_t i = 0; i < c->timings.count; i++) total += c->timings.items[i].ms;
    fprintf(out, "%-22s %10s %6s %14s\n", "pass", "ms", "%", "nodes");
    for (size_t i = 0; i < c->timings.count; i++) {
        const pass_timing *t = &c->timings.items[i];
        fprintf(out, "%-22s %10.2f %6.1f %6u ->%6u%s\n", t->pass, t->ms,
                total > 0 ? 100 * t->ms / total : 0, t->nodes_before, t->nodes_after,
                t->changed ? "" : "  unchanged");
    }
    fprintf(out, "%-22s %10.2f\n", "total", total);
}

bool pass_run(pass_context *c, const pass_options *options, base_diag *d) {
    run r = {.c = c,
             .o = options,
             .d = d,
             .list = options->passes != NULL,
             .contracts = options->contracts ? options->contracts : pass_own_contracts()};
    c->diag = d;
    c->options = options;
    c->failed = false;
    pass_choices *choices = pass_choices_of(c);
    bool fine = pass_choices_read(choices, d, options);
    fine = read_fault(&r) && fine;
    fine = pass_or_all(d, "--print-after", options->print_after) && fine;
    fine = pass_or_all(d, "--print-before", options->print_before) && fine;
    fine = pass_show_begin(&r.show, d, options) && fine;
    if (fine && options->dump_dir) fine = pass_dump(d, c->module, options, 0, "input");
    fine = fine && (r.list ? run_list(&r) : run_default(&r));
    /* once for all levels of a program */
    if (fine && (!options->widest || options->widest == pass_level_target(c)))
        pass_choices_warn(choices, d);
    if (options->time_passes) print_times(c, options->print_to);
    pass_show_end(&r.show);
    pass_fault_free(&r.fault);
    c->diag = NULL;
    c->options = NULL;
    return fine;
}
