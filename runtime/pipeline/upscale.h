/* Pictures enlarged by a network (pipeline.upscaler). */
#ifndef EBRU_RUNTIME_PIPELINE_UPSCALE_H
#define EBRU_RUNTIME_PIPELINE_UPSCALE_H

#include "runtime/engine/staged_network.h"
#include "runtime/pipeline/pipeline.h"

/* Opens the network of info->upscaler. RT_ERR_INTERNAL when it does not fit the properties. */
rt_status rt_upscaler_open(rt_network **net, rt_engine *e, const rt_pipeline_info *info,
                           rt_error *err);

/* pixels[height][width][channels] of 8 bits -> out, upscale times as high and wide. The network
 * reads values 0 to 1 and its result is cut to that and rounded, half to even. A picture of another
 * size than the network's is done piece by piece: pieces overlap, and what would lie outside repeats
 * the border. RT_ERR_INPUT: what comes out is not finite. */
rt_status rt_upscale(rt_network *net, const rt_pipeline_info *info, const uint8_t *pixels,
                     int width, int height, uint8_t *out, rt_error *err);

#endif
