/* The safety checker of a model's folder: which of the finished pictures it flags. */
#ifndef EBRU_RUNTIME_PIPELINE_SAFETY_H
#define EBRU_RUNTIME_PIPELINE_SAFETY_H

#include "runtime/engine/staged_network.h"
#include "runtime/pipeline/pipeline.h"

/* Its rule. Of each margin, a cosine less its threshold, three decimal places count. One special
 * concept above 0 adds 0.01 to all that are looked at later, special ones and others. A picture with
 * one other concept above 0 is flagged. */
bool rt_safety_flags(const float *special, size_t special_count, const float *concepts,
                     size_t concept_count);

/* Asks the network of info->safety_checker about a finished picture pixels[height][width][3]. */
rt_status rt_safety_check(rt_network *net, const rt_pipeline_info *info, const uint8_t *pixels,
                          bool *flagged, rt_error *err);

#endif
