/* Where the denoising loop begins, and what the denoiser is shown at each evaluation. */
#include "runtime/painter.h"

#include <string.h>

rt_status rt_condition_image_begin(struct rt_painter *p, rt_error *err) {
    (void)err;
    size_t n = p->latent * (size_t)p->batch;
    rt_painter_draw(p, p->x);
    float sigma = rt_sampler_init_noise_sigma(p->sampler);
    for (size_t i = 0; i < n; i++) p->x[i] *= sigma;
    return RT_OK;
}

void rt_condition_image_input(struct rt_painter *p, int k) {
    size_t n = p->latent * (size_t)p->batch;
    float *input = rt_net_input_buffer(p->denoiser, "sample");
    rt_sampler_scale_input(p->sampler, k, p->x, p->scaled);
    memcpy(input, p->scaled, n * sizeof(float));
    if (p->guided) memcpy(input + n, p->scaled, n * sizeof(float));
}
