/* A network with its stages: NAME.prompt once a prompt, NAME.schedule once over all timesteps,
 * NAME.step each step; or the one function NAME where nothing could be taken out of the loop.
 * Values handed from stage to stage keep their layouts. Where a LoRA is on that changes the network
 * (rt_model.lora), the functions are its twin's, NAME.lora, and scales are filled in. */
#ifndef EBRU_RUNTIME_ENGINE_STAGED_NETWORK_H
#define EBRU_RUNTIME_ENGINE_STAGED_NETWORK_H

#include "runtime/engine/engine.h"

typedef struct rt_network rt_network;

/* RT_ERR_INTERNAL when the tables hold no function NAME or NAME.step, or a stage's input comes from
 * nowhere. */
rt_status rt_network_open(rt_network **out, rt_engine *e, const char *name, rt_error *err);
void rt_network_free(rt_network *n); /* NULL is allowed */

/* Images a call of the step function computes (guidance halves included). */
int rt_network_batch(const rt_network *n);
/* The external inputs of all stages together, and the outputs of the step function. NULL when there
 * is no such name. */
const struct ebru_tensor_desc *rt_network_input(const rt_network *n, const char *name);
const struct ebru_tensor_desc *rt_network_output(const rt_network *n, const char *name);
int rt_network_input_count(const rt_network *n);
const struct ebru_tensor_desc *rt_network_input_at(const rt_network *n, int index);
int rt_network_output_count(const rt_network *n);
const struct ebru_tensor_desc *rt_network_output_at(const rt_network *n, int index);

/* The buffer of an external input (to be filled by the caller) or of an output (valid after
 * rt_network_step). */
void *rt_network_input_buffer(rt_network *n, const char *name);
const void *rt_network_output_buffer(const rt_network *n, const char *name);

/* Before a loop over `count` timesteps: runs the prompt stage on the inputs as they are now, and
 * the schedule stage for all timesteps. `timesteps` NULL: the timestep input was filled by the
 * caller; count must be 1. The array must live until the loop ends. */
rt_status rt_network_begin(rt_network *n, const float *timesteps, int count, rt_error *err);
/* Inside that loop: runs the prompt stage again, on the inputs as they are now. */
void rt_network_refresh(rt_network *n);
/* Step k of that loop, on the inputs as they are now. */
void rt_network_step(rt_network *n, int k);

#endif
