/* Pictures beside the prompt (IP-Adapter): what an image encoder makes of them, as inputs of the
 * denoiser. The unconditional half is told nothing: zeros where the picture is one vector, and what
 * the encoder makes of zeros where it is a row of them, as in diffusers. */
#include "runtime/pipeline/denoise.h"

#include <string.h>

/* One adapter's inputs of the denoiser. */
struct adapter {
    const struct ebru_tensor_desc *in;
    float *to, *scale;
    bool tokens;   /* reads penultimate_hidden_state, else image_embeds */
    size_t images; /* a row */
    size_t each;   /* elements of an image */
};

static rt_status open_adapter(struct rt_denoiser *p, int index, struct adapter *a, rt_error *err) {
    char embeds[32], states[32], scale[32], suffix[8] = "";
    if (index) snprintf(suffix, sizeof suffix, "_%d", index + 1);
    snprintf(embeds, sizeof embeds, "image_embeds%s", suffix);
    snprintf(states, sizeof states, "image_hidden_states%s", suffix);
    snprintf(scale, sizeof scale, "ip_scale%s", suffix);
    a->tokens = rt_network_input(p->denoiser, embeds) == NULL;
    a->in = rt_network_input(p->denoiser, a->tokens ? states : embeds);
    a->to = rt_network_input_buffer(p->denoiser, a->tokens ? states : embeds);
    a->scale = rt_network_input_buffer(p->denoiser, scale);
    a->images = (size_t)p->info->reference_images;
    if (!a->in || !a->to || !a->scale || rt_denoiser_elements(a->in) % a->images)
        return rt_fail(err, RT_ERR_INTERNAL, "the denoiser lacks the inputs of its IP-Adapter %d",
                       index + 1);
    a->each = rt_denoiser_elements(a->in) / a->images;
    memset(a->to, 0, (size_t)a->in->dim[0] * rt_denoiser_elements(a->in) * sizeof *a->to);
    *a->scale = 0;
    return RT_OK;
}

static rt_status encode(struct rt_denoiser *p, rt_network *net, const float *picture,
                        rt_error *err) {
    const struct ebru_tensor_desc *in = rt_network_input(net, "pixel_values");
    float *to = rt_network_input_buffer(net, "pixel_values");
    size_t n = rt_denoiser_elements(in), side = (size_t)in->dim[3];
    if (in->dim[1] != 3 || side != (size_t)p->settings->pictures.reference_width ||
        (size_t)in->dim[2] != (size_t)p->settings->pictures.reference_height)
        return rt_fail(err, RT_ERR_INTERNAL, "the image encoder reads another size of picture");
    for (int64_t i = 0; i < in->dim[0]; i++) {
        if (picture)
            memcpy(to + (size_t)i * n, picture, n * sizeof *to);
        else
            memset(to + (size_t)i * n, 0, n * sizeof *to);
    }
    rt_status s = rt_network_begin(net, NULL, 1, err);
    if (!s) rt_network_step(net, 0);
    return s;
}

/* What the encoder gave, as image `image` of rows `first` to `first + count`. */
static rt_status put(const struct adapter *a, rt_network *net, size_t first, size_t count,
                     size_t image, rt_error *err) {
    const char *name = a->tokens ? "penultimate_hidden_state" : "image_embeds";
    const struct ebru_tensor_desc *from = rt_network_output(net, name);
    if (!from || rt_denoiser_elements(from) != a->each)
        return rt_fail(err, RT_ERR_INTERNAL, "image encoder and denoiser do not fit together");
    for (size_t row = first; row < first + count; row++)
        memcpy(a->to + (row * a->images + image) * a->each, rt_network_output_buffer(net, name),
               a->each * sizeof *a->to);
    return RT_OK;
}

/* Pictures of one adapter into the prompt's rows, and of nothing into the others. Fewer pictures
 * than there is room for are repeated, each as often: attention to them is the same. */
static rt_status fill(struct rt_denoiser *p, rt_network *net, const struct adapter *a,
                      const float *const *pictures, size_t count, rt_error *err) {
    size_t batch = (size_t)p->batch, first = p->guided ? batch : 0;
    rt_status s = RT_OK;
    for (size_t i = 0; !s && i < count; i++) {
        s = encode(p, net, pictures[i], err);
        for (size_t k = i; !s && k < a->images; k += count) s = put(a, net, first, batch, k, err);
    }
    if (s || !p->guided || !a->tokens) return s;
    s = encode(p, net, NULL, err);
    for (size_t k = 0; !s && k < a->images; k++) s = put(a, net, 0, batch, k, err);
    return s;
}

rt_status rt_condition_reference_open(struct rt_denoiser *p, rt_error *err) {
    const rt_pictures *given = &p->settings->pictures;
    int count = p->info->reference_adapters;
    struct adapter adapters[RT_REFERENCE_ADAPTERS];
    rt_network *net = NULL;
    rt_status s = RT_OK;
    for (int i = 0; !s && i < count; i++) s = open_adapter(p, i, &adapters[i], err);
    if (s || !count || !given->reference_count) return s;
    s = rt_network_open(&net, p->engine, p->info->image_encoder, err);
    if (!s) {
        rt_profile_phase(p->engine->profile, "image-encode");
        rt_progress_phase(p->settings->progress, "image-encode", 0);
    }
    size_t each = (size_t)(given->reference_count / count);
    for (int i = 0; !s && i < count; i++) {
        *adapters[i].scale = (float)p->settings->reference_scale[i];
        s = fill(p, net, &adapters[i], (const float *const *)given->references + (size_t)i * each,
                 each, err);
    }
    rt_network_free(net);
    return s;
}
