/* Printing the IR around passes: --print-before, --print-after, --print-changed, and what --filter
 * leaves of it.
 *
 * A filter shows a function whole when its name matches; of every other function the nodes whose
 * block, op, attributes, type or kernel match, under a comment line that says how many they are. */
#include "ir/text/node_filter.h"
#include "passes/manager/manager.h"

#include <string.h>

bool pass_show_begin(pass_show *s, base_diag *d, const pass_options *o) {
    *s = (pass_show){.out = o->print_to, .no_loc = o->no_loc};
    if (!o->filter) return true;
    int bad = regcomp(&s->regex, o->filter, REG_EXTENDED | REG_NOSUB);
    s->filtered = !bad;
    if (!bad) return true;
    char why[200];
    regerror(bad, &s->regex, why, sizeof why);
    base_error(d, NULL, "--filter: '%s': %s", base_escape(o->filter, strlen(o->filter)), why);
    return false;
}

void pass_show_end(pass_show *s) {
    if (s->filtered) regfree(&s->regex);
    base_str_free(&s->before);
    *s = (pass_show){0};
}

static void filter_func(const pass_show *s, const ir_func *f, base_str *out) {
    if (ir_filter_text(&s->regex, f->name)) {
        base_str_add(out, "\n");
        ir_print_func_text(f, !s->no_loc, out);
        return;
    }
    uint32_t *number = ir_numbering(f), shown = 0;
    base_str lines = {0};
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        if (n->op == IR_OP_weight || !ir_filter_node(&s->regex, f, n)) continue;
        shown++;
        base_str_add(&lines, "  ");
        ir_print_line(f, number, (ir_ref){i}, !s->no_loc, &lines);
        base_str_add(&lines, "\n");
    }
    if (shown)
        base_str_addf(out, "// %u nodes of %s\n%s", shown, base_escape(f->name, strlen(f->name)),
                      lines.data);
    base_str_free(&lines);
    base_free(number);
}

static base_str render(const pass_show *s, const ir_module *m) {
    base_str text = {0};
    base_str_add(&text, "");
    if (!s->filtered) {
        ir_print_text(m, !s->no_loc, &text);
        return text;
    }
    for (size_t i = 0; i < m->funcs.count; i++) filter_func(s, m->funcs.items[i], &text);
    return text;
}

void pass_show_before(pass_show *s, const ir_module *m, const char *pass, bool print,
                      bool remember) {
    remember &= s->filtered; /* without a filter the pass itself says whether it changed anything */
    if (!print && !remember) return;
    base_str text = render(s, m);
    if (print && text.len) fprintf(s->out, "// before %s\n%s", pass, text.data);
    base_str_free(&s->before);
    if (remember)
        s->before = text;
    else
        base_str_free(&text);
}

void pass_show_after(pass_show *s, const ir_module *m, const char *pass, bool changed,
                     bool only_changed) {
    if (only_changed && !changed) return;
    base_str text = render(s, m);
    bool same = only_changed && s->before.data && pass_same_text(s->before.data, text.data);
    if (!same && (text.len || s->before.len))
        fprintf(s->out, "// after %s%s\n%s", pass, changed ? "" : " (unchanged)", text.data);
    base_str_free(&text);
}
