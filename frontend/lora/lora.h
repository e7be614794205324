/* LoRA files: what a tensor's name says, which weight of the module it means, and the merge. For
 * frontend/load.c and tests. */
#ifndef EBRU_FRONTEND_LORA_LORA_H
#define EBRU_FRONTEND_LORA_LORA_H

#include "frontend/files/json_file.h"
#include "frontend/frontend.h"
#include "frontend/ldm/ldm.h"
#include "frontend/safetensors/safetensors.h"

/* ---- lora.c ---- */

/* Adds the updates of a LoRA file, times o->scale, to the weights of a module that was built from a
 * model (weights named "component/path.weight" after diffusers). Nothing is computed:
 * ir_weight_read adds them. False after one report that lists everything that cannot be used:
 * unknown modules, missing parts, shapes of another model, alphas that are no numbers, methods that
 * are not supported. Parts for components that are not compiled because one was chosen are only
 * remarked on. */
bool fe_lora_apply(base_diag *d, ir_module *m, const fe_lora *o);

/* Takes the updates of a file one by one, instead of the weights. An update's scale is
 * alpha / rank; `update` lives as long as the call, its factors' strings as long as the module. */
typedef struct fe_lora_taker {
    void *user;
    /* Whether this update can be taken; else the reason is appended. */
    bool (*takes)(void *user, uint32_t weight, const ir_lora *update, base_str *why);
    void (*take)(void *user, uint32_t weight, const ir_lora *update);
} fe_lora_taker;
/* Reads a LoRA file as fe_lora_apply does, for a taker. `option` is how the file was named, for
 * advice. */
bool fe_lora_read(base_diag *d, ir_module *m, const char *path, const char *option,
                  const fe_lora_taker *taker);

/* ---- lora_slots.c ---- */

/* Keeps the factors of o->slots as weights of the module, gives every function that one of them
 * changes a twin which applies them (base/lora_slots.h), and notes names and digests as properties.
 * False after reports: all that fe_lora_apply refuses; updates that are no product of factors, or of
 * weights that are no filter of a linear layer or a convolution; names that are there twice. */
bool fe_lora_slots_apply(base_diag *d, ir_module *m, const fe_options *o);

/* ---- lora_names.c ---- */

/* What a tensor is to the update of its module: rows of lora_parts.def and what goes with them. */
typedef enum fe_lora_role {
#define LORA_PART(ID, method, factor, shown) FE_LORA_##ID,
#include "frontend/lora/lora_parts.def"
    FE_LORA_FACTORS,
    FE_LORA_DORA_SCALE = FE_LORA_FACTORS,
    FE_LORA_MAGNITUDE,
    FE_LORA_ON_INPUT,
    FE_LORA_ALPHA,
    FE_LORA_ROLES
} fe_lora_role;

/* A tensor's name taken apart. Strings live in the arena given. */
typedef struct fe_lora_name {
    const char *component; /* "unet", "text_encoder" ... */
    const char *path;      /* of the module inside it, every '.' an '_' */
    const char *module;    /* as the file writes it, for messages */
    fe_lora_role role;
    bool bias; /* of the module's bias, not of its weight */
} fe_lora_name;

/* What a tensor belongs to that is not supported ("OFT" ...); NULL when it looks like none of it. */
const char *fe_lora_other_method(const char *tensor);
/* Takes a name apart; false when it is no part of a LoRA. `m` tells which components there are,
 * `table` (may be NULL) what stands beside the tensor: X.weight is a part of IA3 beside X.on_input. */
bool fe_lora_split(base_arena *a, const ir_module *m, const fe_st *table, const char *tensor,
                   fe_lora_name *out);
/* A component of which the module has weights. */
bool fe_lora_has_component(const ir_module *m, const char *component);

/* The module's weights and biases by the names LoRA files give them: paths with '_' for '.', and
 * for the U-Net also the names of the original implementation (input_blocks_4_1_...), as SDXL's
 * trainers write them. */
typedef struct fe_lora_index fe_lora_index;
fe_lora_index *fe_lora_index_new(const ir_module *m);
void fe_lora_index_free(fe_lora_index *x);
/* Index of the weight in the module's table; UINT32_MAX when there is none. */
uint32_t fe_lora_find(const fe_lora_index *x, const fe_lora_name *name);

/* ---- lora_ldm.c ---- */

/* As much of a U-Net's shape as ldm_place needs to name its modules, from the names of the weights.
 */
void fe_lora_ldm_read(const ir_module *m, ldm_unet *u);

/* ---- lora_config.c ---- */

/* What no tensor says, such as alpha: PEFT's and diffusers' settings, in the metadata or in an
 * adapter_config.json beside an adapter_model.safetensors. */
typedef struct fe_lora_config {
    base_json *doc;
    bool prefixed; /* keys are "component.key" */
    base_jval root;
} fe_lora_config;
/* False after reporting settings that are not supported. */
bool fe_lora_config_read(base_diag *d, const fe_st *table, const char *path, fe_lora_config *c);
void fe_lora_config_free(fe_lora_config *c);
/* The default alpha of a component's modules; false when nothing is said, so that it is the rank.
 */
bool fe_lora_config_alpha(const fe_lora_config *c, const char *component, double *alpha);
/* Whether "use_rslora" or another switch of a component is on. */
bool fe_lora_config_switch(const fe_lora_config *c, const char *component, const char *key);

#endif
