/* RRDBNet (ESRGAN, Real-ESRGAN): pictures four times as large, or twice and once as large where the
 * picture is unshuffled in front. As a folder with config.json, or as a file alone whose tensors
 * say all of it: BasicSR's names, bare or under params or params_ema, or the old names of ESRGAN
 * (model.0.weight ...); safetensors, or what torch.save wrote. */
#ifndef EBRU_FRONTEND_UPSCALER_UPSCALER_H
#define EBRU_FRONTEND_UPSCALER_UPSCALER_H

#include "frontend/diffusers/diffusers.h"

/* Whether a file holds one, by the names in it; nothing is reported. */
bool fe_upscaler_is(const char *path);
/* A file as a module: the function upscaler, image -> image, and its properties. */
bool fe_load_upscaler(base_diag *d, ir_module *m, const char *path, const fe_options *o);
/* Adds the file's function for pictures of that size to a module; what is wrong is told as of
 * --upscaler=. The pipeline's pictures have `channels`. */
bool fe_upscaler_add(base_diag *d, ir_module *m, const char *path, const fe_sizes *s,
                     int64_t channels);
/* The properties of a module whose function `upscaler` was built from c; `called`: its name. */
void fe_upscaler_meta(ir_module *m, const fe_upscaler_config *c, const char *called);
/* Those of a program that does nothing else. */
void fe_upscaler_alone(ir_module *m, const fe_upscaler_config *c, const fe_sizes *s);

#endif
