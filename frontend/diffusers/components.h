/* Components of pipelines and the classes they may be of: the rows of components.def. */
#ifndef EBRU_FRONTEND_DIFFUSERS_COMPONENTS_H
#define EBRU_FRONTEND_DIFFUSERS_COMPONENTS_H

#include "frontend/diffusers/control/control.h"

typedef enum fe_component_kind {
#define COMPONENT(ID, ...) FE_COMPONENT_##ID,
#include "frontend/diffusers/components.def"
    FE_COMPONENT_COUNT
} fe_component_kind;

/* Names of the components' folders, of their entries in model_index.json, and of their functions.
 */
extern const char *const fe_component_names[FE_COMPONENT_COUNT];

typedef enum fe_family {
    FE_FAMILY_UNET,
    FE_FAMILY_VAE,
    FE_FAMILY_TEXT,
    FE_FAMILY_CONTROL,
    FE_FAMILY_ADAPTER,
    FE_FAMILY_VISION,
    FE_FAMILY_SAFETY,
    FE_FAMILY_UPSCALER
} fe_family;
extern const fe_family fe_component_family[FE_COMPONENT_COUNT];

/* What the config of a class of the family says. */
typedef union fe_config {
    fe_unet_config unet;
    fe_vae_config vae;
    fe_clip_config text;
    fe_control_config control;
    fe_adapter_config adapter;
    fe_vision_config vision; /* of VISION and SAFETY */
    fe_upscaler_config upscaler;
} fe_config;

/* A row CLASS. */
typedef struct fe_class fe_class;
const char *fe_class_name(const fe_class *c);
fe_family fe_class_family(const fe_class *c);

/* The class with that name in a family; NULL when there is none. */
const fe_class *fe_class_find(fe_family family, const char *name);
/* The names of a family's classes, separated by commas. */
void fe_class_list(fe_family family, base_str *out);

/* Whether a config.json says what class it is of. */
bool fe_config_names_class(base_jval root);
/* The class a config.json is of. NULL after reporting that it is no config, or of a class that is
 * not built. */
const fe_class *fe_class_of_config(base_jval root);

/* Reads and checks a config of the class; false after reporting everything that is wrong or not
 * supported. `root` must outlive *config. */
bool fe_class_read(const fe_class *c, base_jval root, fe_config *config);
/* Adds the functions of a component called `name`; false after reporting. */
bool fe_class_build(const fe_class *c, fe_builder *b, const fe_config *config, const char *name,
                    const fe_sizes *s);

#endif
