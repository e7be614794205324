/* What a lowered model is made of: tables for people, JSON for tools, a graph for dot. */
#ifndef EBRU_DRIVER_ANALYZE_ANALYZE_H
#define EBRU_DRIVER_ANALYZE_ANALYZE_H

#include "driver/quantize/quantization_file.h"
#include "ir/ir.h"
#include "passes/passes.h"

/* FLOPs, weights and memory block by block. `depth`: levels shown below the function. */
void drv_analyze(const ir_module *m, uint32_t depth, base_str *out);
/* Nodes, kernels, places, passes and weights as one JSON object. */
void drv_metafile(const ir_module *m, const pass_context *c, const drv_quantization *q,
                  base_str *out);
/* What the passes decided, as text or as JSON. */
void drv_fusion_report(pass_context *c, const drv_quantization *q, bool json, base_str *out);
void drv_dot(const ir_module *m, base_str *out);

#endif
