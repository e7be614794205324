/* --analyze: where the work, the weights and the memory are: component, block by block, with a total a
 * function. */
#include "driver/driver.h"

#include <stdlib.h>
#include <string.h>

struct row {
    const char *block; /* the first two parts of the tensor prefix */
    ir_cost cost;
    uint32_t nodes, kernels;
};

/* "down_blocks.0.resnets.1" -> "down_blocks.0": deep enough to see the network's shape, shallow enough to
 * read. */
static char *group(ir_arena *a, const char *block) {
    if (!block || !*block) return ir_arena_strdup(a, "(top)");
    const char *dot = strchr(block, '.');
    dot = dot ? strchr(dot + 1, '.') : NULL;
    return ir_arena_strndup(a, block, dot ? (size_t)(dot - block) : strlen(block));
}

static void analyze_func(const ir_module *m, const ir_func *f, ir_arena *a, ir_str *out) {
    IR_VEC(struct row) rows = {0};
    ir_cost total = ir_func_cost(f);
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        const ir_node *n = &f->nodes.items[i];
        if (n->op == IR_OP_input || n->op == IR_OP_weight || (ir_op_get(n->op)->flags & IR_FLAG_PACK))
            continue;
        char *name = group(a, m->origins.items[n->origin].block);
        size_t r = 0;
        while (r < rows.count && strcmp(rows.items[r].block, name) != 0) r++;
        if (r == rows.count) IR_PUSH(&rows, ((struct row){.block = name}));
        ir_cost c = ir_node_cost(f, (ir_ref){i});
        rows.items[r].cost.flops += c.flops;
        rows.items[r].cost.bytes += c.bytes;
        rows.items[r].cost.weight_bytes += c.weight_bytes;
        rows.items[r].nodes++;
        rows.items[r].kernels += n->binding != NULL;
    }
    ir_str_addf(out, "%s: %.3f GFLOP, weights %.1f MiB, moved %.1f MiB, arena %.1f MiB\n", f->name,
                total.flops * 1e-9, (double)total.weight_bytes / 1048576.0, (double)total.bytes / 1048576.0,
                (double)f->arena_bytes / 1048576.0);
    for (size_t r = 0; r < rows.count; r++) {
        const struct row *w = &rows.items[r];
        ir_str_addf(out, "  %-34s %5.1f %%  %9.3f GFLOP  %8.2f MiB weights  %8.2f MiB moved  %4u nodes\n",
                    w->block, total.flops > 0 ? 100 * w->cost.flops / total.flops : 0, w->cost.flops * 1e-9,
                    (double)w->cost.weight_bytes / 1048576.0, (double)w->cost.bytes / 1048576.0, w->nodes);
    }
    ir_free(rows.items);
}

void drv_analyze(const ir_module *m, ir_str *out) {
    ir_arena *a = ir_arena_new();
    for (size_t i = 0; i < m->funcs.count; i++) analyze_func(m, m->funcs.items[i], a, out);
    ir_arena_free(a);
}
