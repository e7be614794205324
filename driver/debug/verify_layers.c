/* ebru verify --layers: where results go wrong. Two questions: do the passes change what the
 * reference evaluator computes (layers_passes.c), and does every compiled op compute what the
 * evaluator computes from the same operands (layers_kernels.c)? */
#include "driver/debug/verify_layers.h"
#include "driver/commands/lower.h"
#include "driver/commands/verify.h"
#include "driver/driver.h"

#include <stdlib.h>
#include <string.h>

int layers_open(layers *l, const drv_options *o) {
    *l = (layers){
        .o = o, .d = drv_diag(&o->common), .fe = drv_fe_options(&o->load), .in = {.seed = 1}};
    l->tolerance = ir_precision_error[o->code.products];
    if (o->verify.tolerance) {
        char *end;
        l->tolerance = strtod(o->verify.tolerance, &end);
        if (*end || end == o->verify.tolerance || !(l->tolerance > 0)) {
            fprintf(stderr, "ebru: error: --tolerance expects a positive number\n");
            return DRV_USAGE;
        }
    }
    if (!o->verify.io) return DRV_OK;
    l->in.why = o->verify.io;
    l->in.file = drv_io_open(l->d, o->verify.io);
    if (!l->in.file) return DRV_INPUT;
    l->fe.guidance_pair = false;
    l->fe.shared_timestep = false;
    l->fe.shapes = drv_io_shapes(l->in.file, &l->fe.shape_count);
    return DRV_OK;
}

void layers_close(layers *l) {
    for (size_t i = 0; i < l->nets.count; i++) net_free(l->nets.items[i]);
    base_free(l->nets.items);
    drv_build_free(&l->base);
    base_free((void *)(uintptr_t)l->fe.shapes);
    fe_st_close(l->in.file);
    base_diag_flush(l->d);
    base_diag_free(l->d);
}

bool layers_find_passes(layers *l) {
    drv_build b = {0};
    bool fine = drv_lower(l->d, l->o, &l->fe, &b);
    l->changed_count = 0;
    const pass_context *c = fine ? b.contexts[b.count - 1] : NULL;
    for (size_t i = 0; fine && i < c->timings.count && l->changed_count < LAYERS_MOST_PASSES; i++)
        if (c->timings.items[i].changed) l->changed[l->changed_count++] = c->timings.items[i].pass;
    drv_build_free(&b);
    return fine;
}

ir_module *layers_lower(layers *l, uint32_t count, drv_build *b) {
    drv_options o = *l->o;
    if (count)
        o.passes.stop_after = l->changed[count - 1];
    else
        o.passes.list = "";
    if (!drv_lower(l->d, &o, &l->fe, b)) return NULL;
    return b->levels[b->count - 1].module;
}

uint32_t layers_networks(const layers *l, ir_module *m, const char *names[LAYERS_MOST_NETWORKS]) {
    uint32_t count = net_names(m, names, LAYERS_MOST_NETWORKS), kept = 0;
    /* front ends have chosen already; of IR the function is chosen here */
    for (uint32_t i = 0; i < count; i++)
        if (!l->o->load.function || !drv_is_ir(l->o->model) ||
            !strcmp(names[i], l->o->load.function))
            names[kept++] = names[i];
    return kept;
}

static net *evaluated(layers *l, ir_module *m, const char *name, const char *what) {
    net *n = net_new(m, name);
    if (n && !net_eval(l->d, n, &l->in, false, l->progress ? what : NULL)) {
        net_free(n);
        return NULL;
    }
    return n;
}

ir_module *layers_base(layers *l) {
    if (l->base.count) return l->base.levels[l->base.count - 1].module;
    return layers_lower(l, 0, &l->base);
}

/* The network without any pass, evaluated once. */
static const net *base_net(layers *l, const char *network) {
    for (size_t i = 0; i < l->nets.count; i++)
        if (!strcmp(l->nets.items[i]->name, network)) return l->nets.items[i];
    ir_module *m = layers_base(l);
    net *n = m ? evaluated(l, m, network, "no passes") : NULL;
    if (n) BASE_PUSH(&l->nets, n);
    return n;
}

double layers_distance(layers *l, const char *network, uint32_t count) {
    drv_build after = {0};
    const net *base = base_net(l, network);
    ir_module *m = base ? layers_lower(l, count, &after) : NULL;
    net *n = m ? evaluated(l, m, network, count ? l->changed[count - 1] : "no passes") : NULL;
    double distance = n ? net_outputs_distance(n, base) : -1;
    net_free(n);
    drv_build_free(&after);
    return distance;
}

int drv_layers(const drv_options *given) {
    drv_options o = *given;
    layers l;
    uint32_t failed = 0;
    bool both = !o.verify.layers_passes && !o.verify.layers_kernels;
    o.common.quiet = true;
    int code = layers_open(&l, &o);
    l.progress = !given->common.quiet;
    if (!code) {
        if (!given->common.quiet && !o.verify.io)
            fprintf(stderr, "no --io=FILE: inputs are made up, the same in every run\n");
        bool fine = layers_find_passes(&l);
        if (fine && (both || o.verify.layers_passes)) fine = layers_passes(&l, &failed);
        if (fine && (both || o.verify.layers_kernels)) fine = layers_kernels(&l, &failed);
        code = fine && !failed ? DRV_OK : DRV_INPUT;
    }
    layers_close(&l);
    return code;
}
