/* A network that is run op by op, each op in a class of precision of its own. */
#ifndef EBRU_DRIVER_QUANTIZE_OP_NETWORK_H
#define EBRU_DRIVER_QUANTIZE_OP_NETWORK_H

#include "driver/debug/eval_network.h"
#include "driver/quantize/op_code.h"
#include "driver/quantize/recording.h"

/* The code of all ops, by the class it is compiled for: f32, bf16, int8. In a lower class only ops
 * are there that it computes otherwise than the next higher one. */
typedef struct quant_codes {
    quant_code of[IR_PRECISION_COUNT];
} quant_codes;

/* An op's function in one class. */
typedef struct quant_op_code {
    int function;    /* -1: none */
    uint32_t *input; /* entries, in the order of the function's inputs */
} quant_op_code;

typedef struct quant_entry {
    enum { QUANT_SKIPPED, QUANT_GIVEN, QUANT_SHOWN, QUANT_OP } kind;
    uint32_t root;     /* the entry whose bytes it shows; itself, when it has its own */
    uint32_t last_use; /* the last op that reads these bytes; all ones when an output shows them */
    ir_precision precision; /* class that a changed run computes the op in */
    quant_op_code code[IR_PRECISION_COUNT];
    void *exact, *changed; /* values: in f32; of a changed run, NULL where they are the same */
    double seconds;        /* the op in f32, the last time it ran */
} quant_entry;

typedef struct quant_sample {
    const quant_call *prompt, *step; /* prompt may be NULL */
    double share;                    /* of the whole error; those of all samples add up to 1 */
} quant_sample;

typedef struct quant_network {
    net *net;
    quant_entry *entries; /* as those of `net` */
    BASE_VEC(quant_sample) samples;
    double *power; /* of each output, the mean of the samples by their shares */
} quant_network;

/* The network of that name in `m`, a module with packed weights; NULL when the recording has no
 * call of it. quant_network_free. */
quant_network *quant_network_new(const ir_module *m, const char *name, const quant_recording *r);
void quant_network_free(quant_network *w);
/* Finds the code of its ops. Before anything runs. */
void quant_network_bind(quant_network *w, const quant_codes *codes);

/* Whether the op is computed otherwise in this class than in f32. */
bool quant_is_open(const quant_entry *e, ir_precision p);

/* Runs the network in f32 on one of its samples. False with a diagnostic when it does not compute
 * what the program computed as a whole. */
bool quant_run_exact(base_diag *d, quant_network *w, const quant_codes *codes, uint32_t sample);
/* After that: runs one op in a class, on exact operands; adds to the powers of its result and of
 * its error. */
void quant_run_op(quant_network *w, const quant_codes *codes, uint32_t entry, ir_precision p,
                  double *signal, double *noise);
/* After that: runs the ops in the classes that their entries say, and all that depends on what
 * changes. The power of the result's error relative to the mean power of the result over all
 * samples, so that one that happens to be near zero does not outweigh the others; of the worst
 * output. */
double quant_run_changed(quant_network *w, const quant_codes *codes);
/* Seconds that quant_run_changed will take, at least, when these ops change. */
double quant_changed_seconds(const quant_network *w, const uint32_t *entries, size_t count);

#endif
