/* verify --layers: what its two questions, and `reduce`, share. */
#ifndef EBRU_DRIVER_DEBUG_VERIFY_LAYERS_H
#define EBRU_DRIVER_DEBUG_VERIFY_LAYERS_H

#include "driver/commands/lower.h"
#include "driver/commands/run_program.h"
#include "driver/debug/eval_network.h"

enum { LAYERS_MOST_PASSES = 256, LAYERS_MOST_NETWORKS = 64 };

typedef struct layers {
    const drv_options *o;
    base_diag *d;
    fe_options fe;
    net_inputs in;
    double tolerance;
    bool progress;                           /* on stderr */
    const char *changed[LAYERS_MOST_PASSES]; /* passes that change the module, in order */
    uint32_t changed_count;
    drv_build base;       /* the module without any pass */
    BASE_VEC(net *) nets; /* its networks, as far as they were evaluated */
} layers;

/* Options, diagnostics and inputs; opens --io. Returns an exit code other than 0 after a message.
 * layers_close in any case. */
int layers_open(layers *l, const drv_options *o);
void layers_close(layers *l);
/* Runs all passes and notes which change something. False with diagnostics. */
bool layers_find_passes(layers *l);
/* The module after the first `count` passes that change it, of the highest CPU level; release with
 * drv_build_free. NULL with diagnostics. */
ir_module *layers_lower(layers *l, uint32_t count, drv_build *b);
/* How far the network's outputs are from what they are without any pass, after the first `count`
 * passes that change the module; negative with diagnostics. */
double layers_distance(layers *l, const char *network, uint32_t count);
/* The module without any pass, loaded once; NULL with diagnostics. */
ir_module *layers_base(layers *l);
/* Names of the networks to look at (in `m`'s arena). */
uint32_t layers_networks(const layers *l, ir_module *m, const char *names[LAYERS_MOST_NETWORKS]);

/* layers_passes.c: the evaluator before and after the passes. Adds to *failed; false with
 * diagnostics. */
bool layers_passes(layers *l, uint32_t *failed);
/* The first pass, of the first network that has one, that changes results; NULL: none (or
 * diagnostics). */
const char *layers_first_pass(layers *l);
/* layers_kernels.c: the compiled program against the evaluator, op by op. */
bool layers_kernels(layers *l, uint32_t *failed);
/* The first network whose compiled ops are out of tolerance; nothing is printed. False: none (or
 * diagnostics). */
bool layers_kernels_fail(layers *l);
/* The only function of a placed module, one op, as the program `temp` computes it beside the
 * evaluator, on made-up inputs. *distance: the rms error relative to the reference's rms; negative
 * when it was not compared, because it is too large or its operands are packed. False with
 * diagnostics. */
bool layers_op(layers *l, const ir_module *m, const drv_temp *temp, double *distance);

/* The command: verify --layers. Exit code. */
int drv_layers(const drv_options *o);

#endif
