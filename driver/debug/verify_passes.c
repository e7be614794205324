/* The first pass that changes results, by bisection over the passes that change the module (or pass by pass,
 * --all), and with it the node. */
#include "driver/commands/lower.h"
#include "driver/debug/find_culprit.h"
#include "driver/debug/verify_layers.h"

#include <math.h>
#include <string.h>

static void print_node(const char *label, const net_entry *e) {
    base_str text = {0}, place = {0};
    ir_print_node(e->f, e->node, &text);
    net_entry_place(e, &place);
    printf("    %s %s\n", label, text.data);
    printf("           function %s%s%s\n", base_shown(e->f->name), place.len ? ", " : "",
           place.len ? place.data : "");
    base_str_free(&text);
    base_str_free(&place);
}

static void print_culprit(const layers *l, const net *before, const net *after, uint32_t at) {
    net_culprit c;
    if (!net_locate(before, after, l->tolerance, &c)) {
        printf(
            "    every value of the IR after it is one of the IR before: outputs were exchanged\n");
        return;
    }
    const net_entry *e = &after->entries.items[c.entry];
    base_str name = {0};
    net_entry_text(e, &name);
    printf("    node %s (numbered as by --stop-after=%s) %s\n", name.data, l->changed[at - 1],
           c.expected == NET_NONE ? "is the first whose value the IR before does not have"
                                  : "does not compute what it stands for");
    base_str_free(&name);
    print_node("after: ", e);
    if (c.expected != NET_NONE) print_node("before:", &before->entries.items[c.expected]);
    if (c.suspect == NET_NONE) return;
    printf("    or the fault is in what it reads, which has no counterpart in the IR before:\n");
    print_node("after: ", &after->entries.items[c.suspect]);
}

/* Evaluates the network before and after pass `at` with all values kept, and names the node. */
static bool locate(layers *l, const char *network, uint32_t at) {
    drv_build b = {0}, a = {0};
    net *before = NULL, *after = NULL;
    ir_module *m = layers_lower(l, at - 1, &b), *k = m ? layers_lower(l, at, &a) : NULL;
    bool fine = false;
    if (k) {
        before = net_new(m, network);
        after = net_new(k, network);
        fine =
            net_eval(l->d, before, &l->in, true, NULL) && net_eval(l->d, after, &l->in, true, NULL);
        if (fine) print_culprit(l, before, after, at);
    }
    net_free(before);
    net_free(after);
    drv_build_free(&b);
    drv_build_free(&a);
    return fine;
}

/* Every pass in turn; *first: the first with results out of tolerance. */
static bool walk(layers *l, const char *network, uint32_t *first) {
    *first = 0;
    for (uint32_t i = 1; i <= l->changed_count; i++) {
        double distance = layers_distance(l, network, i);
        if (distance < 0) return false;
        bool bad = !(distance <= l->tolerance);
        printf("  %-22s rms/ref %.3e%s\n", l->changed[i - 1], distance, bad ? "  FAIL" : "");
        if (bad && !*first) *first = i;
    }
    return true;
}

/* Results are good after `low` passes and bad after `high`. */
static bool bisect(layers *l, const char *network, uint32_t *first) {
    uint32_t low = 0, high = l->changed_count;
    while (high - low > 1) {
        uint32_t mid = (low + high) / 2;
        double distance = layers_distance(l, network, mid);
        if (distance < 0) return false;
        if (l->progress)
            fprintf(stderr, "%s after %s: rms/ref %.3e\n", base_shown(network), l->changed[mid - 1],
                    distance);
        if (distance <= l->tolerance)
            low = mid;
        else
            high = mid;
    }
    *first = high;
    return true;
}

static bool look_at(layers *l, const char *network, uint32_t *failed) {
    uint32_t first = 0;
    double distance = layers_distance(l, network, l->changed_count);
    if (distance < 0) return false;
    bool bad = !(distance <= l->tolerance);
    printf("passes, %s: rms/ref %.3e after %u passes, %s\n", base_shown(network), distance,
           l->changed_count, bad ? "FAIL" : "PASS");
    *failed += bad;
    fflush(stdout);
    if (l->o->verify.all && !walk(l, network, &first)) return false;
    if (bad && !l->o->verify.all && !bisect(l, network, &first)) return false;
    if (!first) return true;
    printf("  first pass that changes results: %s\n", l->changed[first - 1]);
    return locate(l, network, first);
}

bool layers_passes(layers *l, uint32_t *failed) {
    const char *names[LAYERS_MOST_NETWORKS];
    ir_module *m = layers_base(l);
    bool fine = m != NULL;
    uint32_t count = fine ? layers_networks(l, m, names) : 0;
    if (fine && !count) {
        base_error(l->d, NULL, "no network to look at");
        fine = false;
    }
    for (uint32_t i = 0; i < count && fine; i++) fine = look_at(l, names[i], failed);
    return fine;
}

const char *layers_first_pass(layers *l) {
    const char *names[LAYERS_MOST_NETWORKS];
    ir_module *m = layers_base(l);
    uint32_t count = m ? layers_networks(l, m, names) : 0, first;
    for (uint32_t i = 0; i < count; i++) {
        double distance = layers_distance(l, names[i], l->changed_count);
        if (distance < 0) return NULL;
        if (!(distance <= l->tolerance))
            return bisect(l, names[i], &first) ? l->changed[first - 1] : NULL;
    }
    return NULL;
}
