/* What the compiler knows of a model, as documents of JSON: the metafile and the fusion report. The
 * HTML page shows the same documents. Schemas in docs/inspecting.md. */
#ifndef EBRU_DRIVER_ANALYZE_DOCUMENTS_H
#define EBRU_DRIVER_ANALYZE_DOCUMENTS_H

#include "driver/analyze/json_paths.h"
#include "driver/json_writer.h"
#include "driver/quantize/quantization_file.h"
#include "passes/passes.h"

/* metafile.c: the module; `c`: the passes that it went through, NULL: none yet. The caller owns the
 * document. `q`: for what is known of the ops' errors, or NULL. */
cJSON *drv_metafile_document(const ir_module *m, const pass_context *c, const drv_quantization *q,
                             drv_json_paths *paths);
/* Attributes of an op as members: all of them, or where `node` is NULL their defaults. */
void drv_add_attrs(cJSON *to, const char *key, ir_op op, const ir_node *node);

/* fusion_report.c: "decisions", "passes" and "plans" as lists in `to`. */
void drv_add_decisions(cJSON *to, const pass_context *c, drv_json_paths *paths);
void drv_add_passes(cJSON *to, const pass_context *c);
void drv_add_plans(cJSON *to, const pass_context *c);

#endif
