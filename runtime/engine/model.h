/* The compiled model as the program sees it: tables of runtime/abi/abi.h, the CPU level that runs,
 * the mapped weights. */
#ifndef EBRU_RUNTIME_ENGINE_MODEL_H
#define EBRU_RUNTIME_ENGINE_MODEL_H

#include "base/lora_slots.h"
#include "runtime/abi/abi.h"
#include "runtime/abi/meta_keys.h"
#include "runtime/engine/cpu_level.h"
#include "runtime/engine/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct rt_model {
    const struct ebru_model *tables;
    const struct ebru_level_desc *level; /* the code that runs */
    base_cpu cpu;
    /* base of the packed weights, 64-byte aligned; NULL when the model has none */
    const char *weights;
    void *mapping; /* what rt_model_close unmaps; NULL for embedded weights */
    size_t mapping_bytes;
    float lora[BASE_LORA_SLOTS]; /* the scale of each slot of the program; 0: it is off */
} rt_model;

/* Chooses the highest level of the program that this CPU runs and the system permits (`forced`, a
 * level name, when that is not NULL; `unchecked`: that one whatever the CPU says) and maps the
 * weights. RT_ERR_CPU names the features that are missing; RT_ERR_SYSTEM / RT_ERR_INPUT tell what
 * is wrong with the weights (absent, truncated, of another program). To be called before threads
 * are started. */
rt_status rt_model_open(rt_model *m, const struct ebru_model *tables, const char *forced,
                        bool unchecked, rt_error *err);
void rt_model_close(rt_model *m);

/* weights_map.c: maps the weights into m->weights (part of rt_model_open). */
rt_status rt_weights_map(rt_model *m, rt_error *err);

/* Index of the function with that name, -1 if there is none. */
int rt_model_function(const rt_model *m, const char *name);

/* Properties (EBRU_META_* of meta_keys.h); the key's default when they are absent or of another
 * kind (an integer is accepted where a float is asked for). */
int64_t rt_meta_int(const struct ebru_model *t, ebru_int_key key);
double rt_meta_float(const struct ebru_model *t, ebru_float_key key);
const char *rt_meta_string(const struct ebru_model *t, ebru_string_key key);
bool rt_meta_has(const struct ebru_model *t, const char *name);
/* The name of a class, NULL when the model gives it none. */
const char *rt_meta_class_name(const struct ebru_model *t, int number);
/* The name of a LoRA slot, or its digest; NULL when there are no more. */
const char *rt_meta_lora_name(const struct ebru_model *t, int number);
const char *rt_meta_lora_digest(const struct ebru_model *t, int number);

/* Whether this runtime knows every property and its kind of value. RT_ERR_INTERNAL names one that
 * it does not know, and the one that was probably meant. */
rt_status rt_meta_check(const struct ebru_model *t, rt_error *err);

#endif
