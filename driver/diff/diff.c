/* ebru diff: two modules by structure, two fusion reports, or folders of dumps. Exit code 0: the same, 1: different,
 * 2: usage or a file that cannot be read, as of diff. */
#include "driver/diff/diff.h"
#include "base/number.h"
#include "driver/cli/read_text.h"
#include "driver/cli/write_text.h"
#include "driver/commands/commands.h"
#include "driver/driver.h"
#include "frontend/files/files.h"
#include "runtime/abi/meta_keys.h"

#include <errno.h>
#include <regex.h>
#include <string.h>

/* ---- what differs between two nodes ---- */

static const char *kept(diff *d, base_str *text) {
    const char *s = base_arena_strdup(d->arena, text->data ? text->data : "");
    base_str_free(text);
    return s;
}

static const char *operand_text(diff *d, const ir_func *f, const uint32_t *number, const ir_node *n,
                                uint32_t k) {
    ir_ref r = k < n->operand_count ? n->operand[k] : IR_NONE;
    if (!ir_ref_ok(r)) return "_";
    const ir_node *x = ir_get(f, r);
    if (x->op == IR_OP_weight)
        return base_arena_printf(d->arena, "@%s",
                                 f->module->weights.items[IR_ATTRS(x, weight)->index].name);
    const char *what = x->op == IR_OP_input ? IR_ATTRS(x, input)->name : ir_op_get(x->op)->name;
    return base_arena_printf(d->arena, "%%%u %s", number[r.id], what);
}

static const char *type_text(diff *d, const ir_type *t) {
    base_str s = {0};
    ir_print_type(t, &s);
    return kept(d, &s);
}

static const char *attr_text(diff *d, const ir_node *n, uint32_t i) {
    base_str s = {0};
    ir_print_attr(n, i, &s);
    return kept(d, &s);
}

static const char *param_text(diff *d, const ir_param *p) {
    base_str s = {0};
    if (p->is_float)
        base_print_f64(p->f, &s);
    else
        base_str_addf(&s, "%lld", (long long)p->i);
    return kept(d, &s);
}

typedef BASE_VEC(diff_detail) details;

static void binding_details(diff *d, const ir_binding *a, const ir_binding *b, details *out) {
    if (!a || !b || strcmp(a->kernel, b->kernel)) {
        BASE_PUSH(out, ((diff_detail){.what = "kernel", a ? a->kernel : "_", b ? b->kernel : "_"}));
        return;
    }
    for (uint32_t i = 0; i < a->param_count || i < b->param_count; i++) {
        const ir_param *x = i < a->param_count ? &a->params[i] : NULL;
        const ir_param *y = i < b->param_count ? &b->params[i] : NULL;
        const char *from = x ? param_text(d, x) : "_", *to = y ? param_text(d, y) : "_";
        if (strcmp(from, to))
            BASE_PUSH(out, ((diff_detail){(x ? x : y)->name, from, to, .brief = true}));
    }
    if (a->tasks != b->tasks)
        BASE_PUSH(out,
                  ((diff_detail){"tasks", base_arena_printf(d->arena, "%lld", (long long)a->tasks),
                                 base_arena_printf(d->arena, "%lld", (long long)b->tasks),
                                 .brief = true}));
    if (a->scratch != b->scratch)
        BASE_PUSH(
            out, ((diff_detail){"scratch",
                                base_arena_printf(d->arena, "%llu", (unsigned long long)a->scratch),
                                base_arena_printf(d->arena, "%llu", (unsigned long long)b->scratch),
                                .brief = true}));
}

/* Everything but places. */
static void find_details(diff *d, const diff_func *df, const ir_pairing *p, diff_entry *e,
                         uint32_t bits) {
    const ir_node *a = ir_get(p->a, e->a), *b = ir_get(p->b, e->b);
    const ir_op_info *op = ir_op_get(a->op);
    details found = {0};
    for (uint32_t i = 0; (bits & IR_DIFFERS_ATTRS) && i < op->attr_count; i++) {
        const char *from = attr_text(d, a, i), *to = attr_text(d, b, i);
        if (strcmp(from, to))
            BASE_PUSH(&found, ((diff_detail){.what = op->attrs[i].name, from, to}));
    }
    for (uint32_t k = 0; (bits & IR_DIFFERS_OPERANDS) && k < op->max_operands; k++) {
        if (ir_pair_operand_same(p, e->a, e->b, k)) continue;
        BASE_PUSH(&found,
                  ((diff_detail){op->operand_name[k] ? op->operand_name[k] : "operand",
                                 operand_text(d, p->a, df->number_a, a, k),
                                 operand_text(d, p->b, df->number_b, b, k), .operand = true}));
    }
    if (bits & IR_DIFFERS_TYPE) {
        if (ir_shape_equal(&a->type, &b->type) && a->type.dtype == b->type.dtype)
            BASE_PUSH(&found, ((diff_detail){.what = "layout",
                                             ir_layout_name[a->type.layout],
                                             ir_layout_name[b->type.layout]}));
        else
            BASE_PUSH(&found, ((diff_detail){"type", type_text(d, &a->type), type_text(d, &b->type),
                                             .brief = true}));
    }
    if (bits & IR_DIFFERS_KERNEL) binding_details(d, a->binding, b->binding, &found);
    if (bits & IR_DIFFERS_BLOCK) {
        const char *from = p->a->module->origins.items[a->origin].block,
                   *to = p->b->module->origins.items[b->origin].block;
        BASE_PUSH(&found,
                  ((diff_detail){"block", from ? from : "_", to ? to : "_", .brief = true}));
    }
    e->detail_count = (uint32_t)found.count;
    e->details = base_arena_alloc(d->arena, found.count * sizeof *found.items + 1);
    if (found.count) memcpy(e->details, found.items, found.count * sizeof *found.items);
    base_free(found.items);
}

/* ---- functions ---- */

static diff_entry entry_of(const ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    const char *block = f->module->origins.items[n->origin].block;
    return (diff_entry){IR_NONE, IR_NONE, .op = ir_op_get(n->op)->name,
                        .block = block ? block : ""};
}

/* Notes nodes of a that are gone, from *at to `end` or, when `run`, to the next one that is not. */
static void removed_until(diff_func *df, const ir_pairing *p, uint32_t *at, uint32_t end,
                          bool run) {
    for (; *at < end; (*at)++) {
        if (p->a->nodes.items[*at].op == IR_OP_weight) continue;
        if (ir_ref_ok(p->to_b[*at]) && run) return;
        if (ir_ref_ok(p->to_b[*at])) continue;
        diff_entry e = entry_of(p->a, (ir_ref){*at});
        e.a = (ir_ref){*at};
        BASE_PUSH(&df->entries, e);
        df->counts.removed++;
    }
}

/* Nothing but other operands: the same op reads what took the place of something. */
static bool is_rewired(const diff_entry *e) {
    for (uint32_t i = 0; i < e->detail_count; i++)
        if (!e->details[i].operand || !strcmp(e->details[i].from, "_") ||
            !strcmp(e->details[i].to, "_"))
            return false;
    return true;
}

static void compare_nodes(diff *d, diff_func *df, const ir_pairing *p) {
    uint32_t at = 0, all = (uint32_t)p->a->nodes.count;
    for (uint32_t i = 0; i < p->b->nodes.count; i++) {
        if (p->b->nodes.items[i].op == IR_OP_weight) continue;
        diff_entry e = entry_of(p->b, (ir_ref){i});
        e.a = p->to_a[i];
        e.b = (ir_ref){i};
        if (!ir_ref_ok(e.a)) {
            removed_until(df, p, &at, all, true);
            BASE_PUSH(&df->entries, e);
            df->counts.added++;
            continue;
        }
        removed_until(df, p, &at, e.a.id, false);
        if (at == e.a.id) at++;
        uint32_t bits = ir_pair_differs(p, e.a, e.b);
        df->counts.moved += bits == IR_DIFFERS_PLACE;
        if (!(bits & ~(uint32_t)IR_DIFFERS_PLACE)) continue;
        find_details(d, df, p, &e, bits);
        e.rewired = is_rewired(&e);
        *(e.rewired ? &df->counts.rewired : &df->counts.changed) += 1;
        BASE_PUSH(&df->entries, e);
    }
    removed_until(df, p, &at, all, false);
}

static const ir_output *find_output(const ir_func *f, const char *name) {
    for (size_t i = 0; i < f->outputs.count; i++)
        if (!strcmp(f->outputs.items[i].name, name)) return &f->outputs.items[i];
    return NULL;
}

static const char *output_text(diff *d, const ir_func *f, const ir_output *o) {
    if (!o) return "_";
    base_str s = {0};
    ir_print_ref(f, o->value, &s);
    base_str_addf(&s, " %s", ir_op_get(ir_get(f, o->value)->op)->name);
    return kept(d, &s);
}

static void compare_outputs(diff *d, diff_func *df, const ir_pairing *p) {
    for (size_t i = 0; i < p->a->outputs.count; i++) {
        const ir_output *a = &p->a->outputs.items[i], *b = find_output(p->b, a->name);
        if (b && ir_ref_eq(p->to_b[a->value.id], b->value)) continue;
        BASE_PUSH(
            &df->outputs,
            ((diff_detail){.what = a->name, output_text(d, p->a, a), output_text(d, p->b, b)}));
    }
    for (size_t i = 0; i < p->b->outputs.count; i++) {
        const ir_output *b = &p->b->outputs.items[i];
        if (!find_output(p->a, b->name))
            BASE_PUSH(&df->outputs, ((diff_detail){.what = b->name, "_", output_text(d, p->b, b)}));
    }
}

static void compare_funcs(diff *d, const ir_func *a, const ir_func *b) {
    diff_func df = {.name = (a ? a : b)->name, .a = a, .b = b};
    if (a && b) {
        df.number_a = ir_numbering(a);
        df.number_b = ir_numbering(b);
        ir_pairing p = ir_pair_nodes(a, b);
        compare_nodes(d, &df, &p);
        compare_outputs(d, &df, &p);
        ir_pairing_free(&p);
        d->counts.removed += df.counts.removed;
        d->counts.added += df.counts.added;
        d->counts.changed += df.counts.changed;
        d->counts.rewired += df.counts.rewired;
        d->counts.moved += df.counts.moved;
        df.same = !df.entries.count && !df.outputs.count && !df.counts.moved &&
                  a->arena_bytes == b->arena_bytes && a->scratch_bytes == b->scratch_bytes;
    }
    d->same &= df.same;
    BASE_PUSH(&d->funcs, df);
}

/* ---- modules ---- */

static void compare_row(diff *d, bool weight, const char *name, const char *from, const char *to) {
    if (from && to && !strcmp(from, to)) return;
    diff_row row = {name, from, to};
    if (weight)
        BASE_PUSH(&d->weights, row);
    else
        BASE_PUSH(&d->meta, row);
    d->same = false;
}

static const char *weight_text(diff *d, const ir_module *m, uint32_t index) {
    if (index == UINT32_MAX) return NULL;
    base_str s = {0};
    ir_print_weight(&m->weights.items[index], &s);
    const char *text = kept(d, &s), *behind_name = strstr(text, " : ");
    return behind_name ? behind_name + 3 : text;
}

static void compare_weights(diff *d) {
    for (uint32_t i = 0; i < d->a->weights.count; i++) {
        const char *name = d->a->weights.items[i].name;
        compare_row(d, true, name, weight_text(d, d->a, i),
                    weight_text(d, d->b, ir_weight_find(d->b, name)));
    }
    for (uint32_t i = 0; i < d->b->weights.count; i++)
        if (ir_weight_find(d->a, d->b->weights.items[i].name) == UINT32_MAX)
            compare_row(d, true, d->b->weights.items[i].name, NULL, weight_text(d, d->b, i));
}

static const char *meta_text(diff *d, const ir_meta *e) {
    if (!e) return NULL;
    base_str s = {0};
    if (e->kind == IR_META_INT) base_str_addf(&s, "%lld", (long long)e->i);
    if (e->kind == IR_META_FLOAT) base_print_f64(e->f, &s);
    if (e->kind == IR_META_STRING) base_str_addf(&s, "\"%s\"", e->s);
    return kept(d, &s);
}

/* How far a module has come is told in the head, and makes no difference by itself. */
static bool is_progress(const char *key) {
    return !strcmp(key, EBRU_META_PASSES_AFTER.name);
}

static void compare_meta(diff *d) {
    for (size_t i = 0; i < d->a->meta.count; i++) {
        const ir_meta *e = &d->a->meta.items[i];
        if (!is_progress(e->key))
            compare_row(d, false, e->key, meta_text(d, e), meta_text(d, ir_meta_get(d->b, e->key)));
    }
    for (size_t i = 0; i < d->b->meta.count; i++) {
        const ir_meta *e = &d->b->meta.items[i];
        if (!is_progress(e->key) && !ir_meta_get(d->a, e->key))
            compare_row(d, false, e->key, NULL, meta_text(d, e));
    }
}

diff drv_diff_compare(const ir_module *a, const char *path_a, const ir_module *b,
                      const char *path_b) {
    diff d = {.arena = base_arena_new(), .a = a, .b = b, .path_a = path_a, .path_b = path_b};
    d.same = a->level == b->level;
    for (size_t i = 0; i < a->funcs.count; i++) {
        const ir_func *f = a->funcs.items[i];
        compare_funcs(&d, f, ir_func_find(b, f->name));
    }
    for (size_t i = 0; i < b->funcs.count; i++)
        if (!ir_func_find(a, b->funcs.items[i]->name)) compare_funcs(&d, NULL, b->funcs.items[i]);
    compare_weights(&d);
    compare_meta(&d);
    return d;
}

void drv_diff_filter(diff *d, const char *pattern) {
    regex_t regex;
    if (!pattern || regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB)) return;
    for (size_t i = 0; i < d->funcs.count; i++) {
        diff_func *f = &d->funcs.items[i];
        size_t left = 0;
        bool whole = !regexec(&regex, f->name, 0, NULL, 0);
        for (size_t k = 0; k < f->entries.count; k++) {
            const diff_entry *e = &f->entries.items[k];
            if (whole || !regexec(&regex, e->block, 0, NULL, 0) ||
                !regexec(&regex, e->op, 0, NULL, 0))
                f->entries.items[left++] = *e;
        }
        f->entries.count = left;
    }
    regfree(&regex);
}

void drv_diff_free(diff *d) {
    for (size_t i = 0; i < d->funcs.count; i++) {
        diff_func *f = &d->funcs.items[i];
        base_free(f->number_a);
        base_free(f->number_b);
        base_free(f->entries.items);
        base_free(f->outputs.items);
    }
    base_free(d->funcs.items);
    base_free(d->weights.items);
    base_free(d->meta.items);
    base_arena_free(d->arena);
}

static int diff_modules(base_diag *diag, const drv_options *o, const fe_bytes texts[2]) {
    ir_module *a = fe_parse_ir(diag, o->model, texts[0].data, texts[0].size, NULL),
              *b = fe_parse_ir(diag, o->second, texts[1].data, texts[1].size, NULL);
    int code = DRV_USAGE;
    if (a && b) {
        diff d = drv_diff_compare(a, o->model, b, o->second);
        drv_diff_filter(&d, o->passes.filter);
        base_str text = {0};
        if (o->common.json)
            drv_json_write(drv_diff_json(&d), DRV_JSON_LINES, &text);
        else
            drv_diff_text(&d, o->common.quiet, &text);
        code = drv_write_text(diag, "-", text.data, text.len) ? (d.same ? 0 : 1) : DRV_USAGE;
        base_str_free(&text);
        drv_diff_free(&d);
    }
    ir_module_free(a);
    ir_module_free(b);
    return code;
}

/* Two files of one kind: IR text or fusion reports. Each is read once: it may be a pipe. */
static int diff_files(base_diag *d, const drv_options *o) {
    fe_bytes texts[2] = {0};
    bool a = drv_read_text(d, o->model, (size_t)1 << 30, &texts[0]),
         b = drv_read_text(d, o->second, (size_t)1 << 30, &texts[1]), reports = true;
    for (int i = 0; i < 2 && a && b; i++)
        reports &= texts[i].data[strspn(texts[i].data, " \n\r\t")] == '{';
    int code = DRV_USAGE;
    if (a && b) code = reports ? drv_diff_reports(d, o, texts) : diff_modules(d, o, texts);
    fe_bytes_free(&texts[0]);
    fe_bytes_free(&texts[1]);
    return code;
}

static int usage(const char *what) {
    fprintf(stderr, "ebru: error: %s\n", what);
    return DRV_USAGE;
}

int drv_diff(const drv_options *o) {
    bool folder = fe_path_is_dir(o->model), second = o->second && fe_path_is_dir(o->second);
    if (!o->second && !folder) return usage("diff expects A B, or a folder of dumps");
    if (o->second && folder != second) {
        const char *file = folder ? o->second : o->model;
        if (fe_path_exists(file)) return usage("diff expects two files or two folders");
        fprintf(stderr, "%s: error: cannot open: %s\n", base_shown(file), strerror(ENOENT));
        return DRV_USAGE;
    }
    if (!folder && !strcmp(o->model, "-") && !strcmp(o->second, "-"))
        return usage("only one of the two can be standard input");
    base_diag *d = drv_diag(&o->common);
    int code = !folder ? diff_files(d, o) : second ? drv_diff_folders(d, o) : drv_diff_folder(d, o);
    base_diag_flush(d);
    base_diag_free(d);
    return code;
}
