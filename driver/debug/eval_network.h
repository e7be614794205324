/* Networks in the reference evaluator, node by node: what `verify --layers` and `reduce` compare.
 *
 * A network is one function of a module, or its stages after it was split (NAME.prompt,
 * NAME.schedule, NAME.step). Its entries are the nodes of all stages that depend on inputs, in
 * order of evaluation; an input that an earlier stage computes is an entry with that stage's value
 * as its operand. */
#ifndef EBRU_DRIVER_DEBUG_EVAL_NETWORK_H
#define EBRU_DRIVER_DEBUG_EVAL_NETWORK_H

#include "frontend/frontend.h"
#include "frontend/safetensors/safetensors.h"
#include "ir/ir.h"

#define NET_NONE UINT32_MAX

typedef struct net_entry {
    const ir_func *f;
    ir_ref node;
    uint32_t operand[IR_MAX_OPERANDS]; /* entries; NET_NONE: absent, or depends on weights only */
    ir_tensor value; /* data NULL before it is evaluated and after it was dropped */
} net_entry;

typedef struct net {
    char name[300];
    const ir_module *module; /* outlives the network */
    BASE_VEC(net_entry) entries;
    BASE_VEC(uint32_t) outputs; /* entries; of the last stage */
    BASE_VEC(const char *) output_names;
} net;

/* Values of the inputs that come from outside, by name. */
typedef struct net_inputs {
    fe_st *file;     /* in.NAME where it has one; may be NULL */
    const char *why; /* name of the file, for messages */
    uint64_t seed;   /* of all others */
} net_inputs;

/* The names of the module's networks in order ("unet" of unet.prompt, unet.schedule and unet.step),
 * at most `room`; returns how many. Names are the module's or in its arena. */
uint32_t net_names(ir_module *m, const char **names, uint32_t room);
/* The network of that name; NULL when the module has none. net_free. */
net *net_new(const ir_module *m, const char *name);
void net_free(net *n);

/* The entry is an input that no earlier stage computes. */
bool net_is_external(const net_entry *e);
/* Its value: from the file (a single number is repeated, and so are rows of a schedule), else made
 * up: f32 uniform in [-sqrt 3, sqrt 3) (variance 1), timesteps in [1, 999], indices below the
 * extent of the table they look up; the halves of a paired input are equal. The same name, shape
 * and seed give the same values. False with a diagnostic. */
bool net_input_value(base_diag *d, const net *n, const net_entry *e, const net_inputs *in,
                     ir_tensor *out);

/* The value of an entry that is not external from its operands' values; `override` (may be NULL)
 * are values by entry that take the place of the entries' own where data is not NULL. */
ir_tensor net_eval_entry(const net *n, uint32_t entry, const ir_tensor *override);
/* Evaluates all entries; keeps all values, or only the outputs'. Progress on stderr when `what` is
 * not NULL. False with a diagnostic. */
bool net_eval(base_diag *d, net *n, const net_inputs *in, bool keep, const char *what);

/* rms of the difference over the rms of `ref` (that rms itself where ref is 0), inf when one side
 * is not finite where the other is; *max: the largest difference (may be NULL). */
double net_distance(const float *x, const float *ref, int64_t count, double *max);
/* The largest distance of an output of `n` from the output of that name of `ref`; inf when a shape
 * differs. */
double net_outputs_distance(const net *n, const net *ref);

/* "%57 conv2d" */
void net_entry_text(const net_entry *e, base_str *out);
/* "block down_blocks.0.resnets.1, at model.json:12:4", as far as it is known; "" otherwise. */
void net_entry_place(const net_entry *e, base_str *out);

#endif
