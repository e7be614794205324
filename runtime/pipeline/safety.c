#include "runtime/pipeline/safety.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* round(x, 3) > 0, to even as Python does */
static bool above(float margin, double adjustment) {
    return nearbyint(((double)margin + adjustment) * 1000) > 0;
}

bool rt_safety_flags(const float *special, size_t special_count, const float *concepts,
                     size_t concept_count) {
    double adjustment = 0;
    bool flagged = false;
    for (size_t i = 0; i < special_count; i++)
        if (above(special[i], adjustment)) adjustment = 0.01;
    for (size_t i = 0; i < concept_count; i++) flagged |= above(concepts[i], adjustment);
    return flagged;
}

rt_status rt_safety_check(rt_network *net, const rt_pipeline_info *info, const uint8_t *pixels,
                          bool *flagged, rt_error *err) {
    const struct ebru_tensor_desc *in = rt_network_input(net, "clip_input"),
                                  *special = rt_network_output(net, "special_margins"),
                                  *concepts = rt_network_output(net, "concept_margins");
    float *planes = NULL, *to = rt_network_input_buffer(net, "clip_input");
    uint32_t width, height;
    if (!in || !to || !special || !concepts || in->rank != 4 || in->dim[0] != 1 ||
        in->dim[1] != 3 || info->channels != 3)
        return rt_fail(err, RT_ERR_INTERNAL, "the safety checker is not what the properties say");
    rt_status s = rt_image_process(&info->image_processor, pixels, (uint32_t)info->width,
                                   (uint32_t)info->height, &planes, &width, &height, err);
    if (!s && (in->dim[2] != (int64_t)height || in->dim[3] != (int64_t)width))
        s = rt_fail(err, RT_ERR_INTERNAL, "the safety checker reads another size of picture");
    if (!s) memcpy(to, planes, (size_t)width * height * 3 * sizeof *to);
    free(planes);
    if (!s) s = rt_network_begin(net, NULL, 1, err);
    if (s) return s;
    rt_network_step(net, 0);
    *flagged =
        rt_safety_flags(rt_network_output_buffer(net, "special_margins"), (size_t)special->dim[1],
                        rt_network_output_buffer(net, "concept_margins"), (size_t)concepts->dim[1]);
    return RT_OK;
}
