/* The register of passes in digested form: the rows of passes.def, orders between them, and how
 * they are listed. */
#include "passes/manager/manager.h"

#include <string.h>

static const pass_info infos[] = {
#define PASS(name, in, out, flags, needs, gives, keeps, summary, advice)                           \
    {#name, summary, advice, in, out, flags, needs, gives, keeps},
#define MODULE_PASS(name, in, out, flags, needs, gives, keeps, summary, advice)                    \
    {#name, summary, advice, in, out, (flags) | PASS_MODULE, needs, gives, keeps},
#include "passes/passes.def"
};
_Static_assert(sizeof infos / sizeof *infos == PASS_COUNT, "PASS_COUNT counts the rows");

static const pass_runner runners[PASS_COUNT] = {
#define PASS(name, in, out, flags, needs, gives, keeps, summary, advice)        {pass_##name, NULL},
#define MODULE_PASS(name, in, out, flags, needs, gives, keeps, summary, advice) {NULL, pass_##name},
#include "passes/passes.def"
};

static const pass_order orders[] = {
#define AFTER(pass, earlier, reason) {PASS_INDEX_##pass, PASS_INDEX_##earlier, reason},
#include "passes/passes.def"
};
enum { ORDERS = sizeof orders / sizeof *orders };

/* The order of the rows holds all orders between them. */
#define AFTER(pass, earlier, reason)                                                               \
    _Static_assert(PASS_INDEX_##earlier < PASS_INDEX_##pass, #earlier " stands before " #pass);
#include "passes/passes.def"

static const pass_knob_info knobs[] = {
#define KNOB(pass, name, type, least, most, default, summary)                                      \
    {PASS_INDEX_##pass, #name, summary, PASS_KNOB_##type, least, most, default},
#include "passes/passes.def"
};

const pass_knob_info *pass_knob_get(uint32_t index) {
    return &knobs[index];
}

void pass_knob_print(const pass_knob_info *x, double value, base_str *out) {
    base_str_addf(out, x->type == PASS_KNOB_WHOLE ? "%.0f" : "%.4g", value);
}

uint32_t pass_count(void) {
    return PASS_COUNT;
}

const pass_info *pass_get(uint32_t index) {
    return &infos[index];
}

const pass_runner *pass_get_runner(uint32_t index) {
    return &runners[index];
}

uint32_t pass_order_count(void) {
    return ORDERS;
}

const pass_order *pass_order_get(uint32_t index) {
    return &orders[index];
}

const pass_contracts *pass_own_contracts(void) {
    static const pass_contracts own = {infos, orders, ORDERS};
    return &own;
}

int pass_index(const char *name, size_t length) {
    for (int i = 0; i < (int)PASS_COUNT; i++)
        if (strlen(infos[i].name) == length && !memcmp(infos[i].name, name, length)) return i;
    return -1;
}

const pass_renamed *pass_find_renamed(const char *name, size_t length) {
    static const pass_renamed rows[] = {
#define RENAMED(name, pass, text) {#name, PASS_INDEX_##pass, text},
#include "passes/passes.def"
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strlen(rows[i].name) == length && !memcmp(rows[i].name, name, length)) return &rows[i];
    return NULL;
}

const pass_info *pass_find(const char *name) {
    int i = pass_index(name, strlen(name));
    return i < 0 ? NULL : &infos[i];
}

/* ---- order ---- */

bool pass_list_in_order(const pass_contracts *k, const uint32_t *list, uint32_t count,
                        const pass_order **broken) {
    for (uint32_t i = 0; i < k->order_count; i++) {
        const pass_order *o = &k->orders[i];
        uint32_t first = 0, second = 0; /* places in the list, count where it is not there */
        while (first < count && list[first] != o->earlier) first++;
        while (second < count && list[second] != o->later) second++;
        if (first == count || second == count || first < second) continue;
        *broken = o;
        return false;
    }
    return true;
}

/* ---- the list of passes ---- */

static void add_properties(base_str *out, const char *label, uint32_t bits) {
    if (!bits) return;
    base_str_addf(out, "    %-7s", label);
    const char *before = "";
    for (uint32_t i = 0; i < PASS_PROP_COUNT; i++) {
        if (!(bits >> i & 1)) continue;
        base_str_addf(out, "%s%s", before, pass_property_get(i)->name);
        before = ", ";
    }
    base_str_add(out, "\n");
}

static void add_flags(base_str *out, uint32_t flags) {
    static const struct {
        uint32_t bit;
        const char *text;
    } words[] = {{PASS_REQUIRED, "required"},
                 {PASS_FUSION, "fusion"},
                 {PASS_MOVES, "moves"},
                 {PASS_MODULE, "whole module"},
                 {PASS_PER_LEVEL, "per CPU level"}};
    const char *before = "    is     ";
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!(flags & words[i].bit)) continue;
        base_str_addf(out, "%s%s", before, words[i].text);
        before = ", ";
    }
    if (flags) base_str_add(out, "\n");
}

static void add_knob(base_str *out, const pass_knob_info *x) {
    base_str_addf(out, "    knob   -f%s=%s:", infos[x->pass].name, x->name);
    pass_knob_print(x, x->otherwise, out);
    base_str_add(out, " (");
    pass_knob_print(x, x->least, out);
    base_str_add(out, " to ");
    pass_knob_print(x, x->most, out);
    base_str_addf(out, "): %s\n", x->summary);
}

void pass_list(base_str *out) {
    for (uint32_t i = 0; i < PASS_COUNT; i++) {
        const pass_info *p = &infos[i];
        base_str_addf(out, "%-22s %-6s -> %-6s %-9s %s\n", p->name, ir_level_name[p->level_in],
                      ir_level_name[p->level_out], p->flags & PASS_REQUIRED ? "required" : "",
                      p->summary);
        add_flags(out, p->flags);
        add_properties(out, "needs", p->needs);
        add_properties(out, "gives", p->gives);
        add_properties(out, "keeps", p->keeps);
        for (uint32_t k = 0; k < ORDERS; k++)
            if (orders[k].later == i)
                base_str_addf(out, "    after  %s: %s\n", infos[orders[k].earlier].name,
                              orders[k].reason);
        for (uint32_t k = 0; k < PASS_KNOB_COUNT; k++)
            if (knobs[k].pass == i) add_knob(out, &knobs[k]);
    }
}
