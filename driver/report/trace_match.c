/* Is a trace of this program, or of this module? */
#include "driver/commands/inspect.h"
#include "driver/report/trace.h"

#include "codegen/llvm/emission_plan.h"
#include "frontend/files/files.h"

#include <string.h>

/* ---- a program: the id in its build information ---- */

bool drv_trace_of_program(base_diag *d, const drv_trace *t, const char *trace_path,
                          const char *program_path) {
    fe_map map = {0};
    size_t size;
    if (!fe_file_map(d, program_path, &map)) return false;
    const char *info = drv_build_info(&map, &size),
               *name = base_escape(program_path, strlen(program_path));
    const char *build = info ? memmem(info, size, "\nbuild: ", 8) : NULL;
    bool same = false;
    if (!info)
        base_error(d, NULL, "%s: not a program made by ebru", name);
    else if (!build)
        base_error(d, NULL, "%s: made by an older ebru, without an id", name);
    else {
        build += 8;
        size_t room = size - (size_t)(build - info), length = 0, n = strlen(t->build);
        while (length < room && build[length] != '\n') length++;
        same = n && n == length && !memcmp(build, t->build, n);
        if (!same) {
            base_error(d, NULL, "%s: a trace of another program than %s",
                       base_escape(trace_path, strlen(trace_path)), name);
            base_note(d, NULL, "the trace is of '%s', build %s; the program is build %.*s",
                      base_escape(t->program, strlen(t->program)), base_escape(t->build, n),
                      length < 64 ? (int)length : 64, build);
        }
    }
    fe_unmap(&map);
    return same;
}

/* ---- a module: op for op ---- */

static bool another(base_diag *d, const drv_trace *t, const char *path, const char *fmt,
                    const char *name) {
    base_str what = {0};
    base_str_addf(&what, fmt, base_escape(name, strlen(name)));
    base_error(d, NULL, "%s: a trace of another program: %s", base_escape(path, strlen(path)),
               what.data);
    base_note(d, NULL, "the trace is of model '%s', precision %s, level %s",
              base_escape(t->model, strlen(t->model)),
              base_escape(t->precision, strlen(t->precision)),
              base_escape(t->level, strlen(t->level)));
    base_str_free(&what);
    return false;
}

static bool same_op(const ir_func *f, const ir_node *n, uint32_t number, const drv_trace_op *op) {
    base_str type = {0};
    const char *block = f->module->origins.items[n->origin].block;
    ir_print_type(&n->type, &type);
    bool same = number == op->node && !strcmp(ir_op_get(n->op)->name, op->op) &&
                !strcmp(n->binding->kernel, op->kernel) &&
                !strcmp(type.data ? type.data : "", op->result) &&
                !strcmp(block ? block : "", op->block);
    base_str_free(&type);
    return same;
}

static bool same_function(base_diag *d, const drv_trace *t, const char *path, const ir_func *f,
                          const drv_trace_function *g) {
    uint32_t *number = ir_numbering(f), at = 0;
    bool same = true;
    for (uint32_t i = 0; i < f->nodes.count && same; i++) {
        const ir_node *n = &f->nodes.items[i];
        if (!cg_node_runs(n)) continue;
        same = at < g->op_count && same_op(f, n, number[i], &g->ops[at]);
        if (!same) {
            base_str node = {0};
            ir_print_node(f, (ir_ref){i}, &node);
            base_str_addf(&node, " of %s", f->name);
            another(d, t, path, "its ops do not have %s", node.data);
            base_str_free(&node);
        }
        at++;
    }
    base_free(number);
    return same && (at == g->op_count || another(d, t, path, "%s has fewer ops", f->name));
}

bool drv_trace_of_module(base_diag *d, const drv_trace *t, const char *trace_path,
                         const ir_module *m) {
    if (m->level != IR_PLACED) {
        base_error(d, NULL, "a trace is compared with a module at level placed, not %s",
                   ir_level_name[m->level]);
        return false;
    }
    for (uint32_t i = 0; i < t->function_count; i++) {
        const drv_trace_function *g = &t->functions[i];
        const ir_func *f = NULL;
        for (size_t k = 0; k < m->funcs.count; k++)
            if (!strcmp(m->funcs.items[k]->name, g->name)) f = m->funcs.items[k];
        if (!f) return another(d, t, trace_path, "there is no function '%s'", g->name);
        if (!same_function(d, t, trace_path, f, g)) return false;
    }
    return true;
}
