/* What the command line says of passes: -fno-PASS leaves one out, -fno-PASS@REGEX leaves it out in
 * the blocks that match, -fPASS=KNOB:VALUE moves one of its thresholds (rows KNOB of passes.def). */
#include "base/suggest.h"
#include "passes/manager/manager.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void pass_choices_begin(pass_choices *k) {
    *k = (pass_choices){0};
    for (uint32_t i = 0; i < PASS_KNOB_COUNT; i++) k->knobs[i] = pass_knob_get(i)->otherwise;
}

void pass_choices_free(pass_choices *k) {
    for (size_t i = 0; i < k->places.count; i++) regfree(&k->places.items[i].regex);
    base_free(k->places.items);
    *k = (pass_choices){0};
}

/* ---- -fno- ---- */

static void list_passes_by_block(base_diag *d) {
    base_str names = {0};
    for (uint32_t i = 0; i < PASS_COUNT; i++)
        if (pass_get(i)->flags & PASS_FUSION)
            base_str_addf(&names, "%s%s", names.len ? ", " : "", pass_get(i)->name);
    base_note(d, NULL, "these decide by block: %s", names.data);
    base_str_free(&names);
}

static bool add_place(pass_choices *k, base_diag *d, uint32_t pass, const char *option) {
    const char *pattern = strchr(option, '@') + 1;
    pass_place p = {.pass = pass, .option = option};
    if (!(pass_get(pass)->flags & PASS_FUSION)) {
        base_error(d, NULL, "-fno-%s: pass '%s' does not decide by block",
                   base_escape(option, strlen(option)), pass_get(pass)->name);
        list_passes_by_block(d);
        return false;
    }
    int bad = *pattern ? regcomp(&p.regex, pattern, REG_EXTENDED | REG_NOSUB) : 0;
    if (bad || !*pattern) {
        char why[200] = "it is empty";
        if (bad) regerror(bad, &p.regex, why, sizeof why);
        base_error(d, NULL, "-fno-%s: behind '@' stands a regular expression for blocks: %s",
                   base_escape(option, strlen(option)), why);
        return false;
    }
    BASE_PUSH(&k->places, p);
    return true;
}

static bool read_disabled(pass_choices *k, base_diag *d, const char *option) {
    size_t n = strcspn(option, "@");
    int at = pass_known(d, "-fno-PASS", option, n);
    if (at < 0) return false;
    if (pass_get((uint32_t)at)->flags & PASS_REQUIRED) {
        const char *name = pass_get((uint32_t)at)->name;
        base_error(d, NULL, "-fno-%s: pass '%s' is required", name, name);
        return false;
    }
    if (option[n]) return add_place(k, d, (uint32_t)at, option);
    return k->off[at] = true;
}

/* ---- -f ---- */

/* The knob of this name; PASS_KNOB_COUNT with a diagnostic. */
static uint32_t find_knob(base_diag *d, uint32_t pass, const char *option, const char *name,
                          size_t length) {
    const char *names[PASS_KNOB_COUNT];
    size_t count = 0;
    for (uint32_t i = 0; i < PASS_KNOB_COUNT; i++) {
        const pass_knob_info *x = pass_knob_get(i);
        if (x->pass != pass) continue;
        if (strlen(x->name) == length && !memcmp(x->name, name, length)) return i;
        names[count++] = x->name;
    }
    const char *shown = base_escape(option, strlen(option));
    if (!count) {
        base_error(d, NULL, "-f%s: pass '%s' has no knobs; ebru help passes lists those there are",
                   shown, pass_get(pass)->name);
        return PASS_KNOB_COUNT;
    }
    base_str text = {0}, all = {0};
    base_str_addn(&text, name, length);
    base_error(d, NULL, "-f%s: pass '%s' has no knob '%s'", shown, pass_get(pass)->name,
               base_escape(name, length));
    const char *near = length ? base_suggest(text.data, names, count) : NULL;
    for (size_t i = 0; i < count; i++) base_str_addf(&all, "%s%s", i ? ", " : "", names[i]);
    if (near)
        base_note(d, NULL, "did you mean '%s'?", near);
    else
        base_note(d, NULL, "it has %s", all.data);
    base_str_free(&text);
    base_str_free(&all);
    return PASS_KNOB_COUNT;
}

static bool set_knob(pass_choices *k, base_diag *d, uint32_t knob, const char *option,
                     const char *value) {
    const pass_knob_info *x = pass_knob_get(knob);
    char *end;
    double v = strtod(value, &end);
    bool whole = x->type == PASS_KNOB_WHOLE;
    if (*value && !*end && v >= x->least && v <= x->most && (!whole || v == floor(v))) {
        k->knobs[knob] = v;
        return true;
    }
    base_str range = {0}, otherwise = {0};
    pass_knob_print(x, x->least, &range);
    base_str_add(&range, " to ");
    pass_knob_print(x, x->most, &range);
    pass_knob_print(x, x->otherwise, &otherwise);
    base_error(d, NULL, "-f%s: %s is a %snumber from %s, not '%s'",
               base_escape(option, strlen(option)), x->name, whole ? "whole " : "", range.data,
               base_escape(value, strlen(value)));
    base_note(d, NULL, "%s; %s unless it is set", x->summary, otherwise.data);
    base_str_free(&range);
    base_str_free(&otherwise);
    return false;
}

/* PASS=KNOB:VALUE */
static bool read_knob(pass_choices *k, base_diag *d, const char *option) {
    size_t pass = strcspn(option, "=");
    const char *name = option + pass + (option[pass] != 0);
    size_t n = strcspn(name, ":");
    if (!option[pass] || !name[n]) {
        base_error(d, NULL, "-f expects PASS=KNOB:VALUE, not '%s'",
                   base_escape(option, strlen(option)));
        return false;
    }
    int at = pass_known(d, "-f", option, pass);
    if (at < 0) return false;
    uint32_t knob = find_knob(d, (uint32_t)at, option, name, n);
    return knob < PASS_KNOB_COUNT && set_knob(k, d, knob, option, name + n + 1);
}

bool pass_choices_read(pass_choices *k, base_diag *d, const pass_options *o) {
    bool fine = true;
    pass_choices_free(k);
    pass_choices_begin(k);
    for (uint32_t i = 0; i < o->disabled_count; i++) fine &= read_disabled(k, d, o->disabled[i]);
    for (uint32_t i = 0; i < o->knob_count; i++) fine &= read_knob(k, d, o->knobs[i]);
    return fine;
}

void pass_choices_warn(const pass_choices *k, base_diag *d) {
    for (size_t i = 0; i < k->places.count; i++)
        if (!k->places.items[i].used)
            base_warning(d, NULL,
                         "-fno-%s kept nothing from the pass: it matches in no block whose name "
                         "the expression fits",
                         base_escape(k->places.items[i].option, strlen(k->places.items[i].option)));
}

/* ---- for passes ---- */

double pass_knob(const pass_context *c, uint32_t index) {
    return pass_choices_of(c)->knobs[index];
}

bool pass_left_out(const pass_context *c, const char *pass, const ir_func *f, ir_ref node,
                   base_str *why) {
    pass_choices *k = pass_choices_of(c);
    const char *block = f->module->origins.items[ir_get(f, node)->origin].block;
    for (size_t i = 0; i < k->places.count; i++) {
        pass_place *p = &k->places.items[i];
        if (strcmp(pass_get(p->pass)->name, pass) != 0) continue;
        if (regexec(&p->regex, block ? block : "", 0, NULL, 0)) continue;
        p->used = true;
        if (why) base_str_addf(why, "left out by -fno-%s", p->option);
        return true;
    }
    return false;
}
