/* Prompts and class labels as the denoiser's conditioning inputs. */
#include "runtime/painter.h"

#include <stdlib.h>
#include <string.h>

rt_status rt_condition_text_open(struct rt_painter *p, rt_error *err) {
    struct rt_text_state *text = &p->text;
    if (p->info->kind != RT_PIPELINE_TEXT) return RT_OK;
    rt_status s = rt_net_open(&text->net, p->engine,
                              p->info->text_encoder ? p->info->text_encoder : "text_encoder", err);
    const struct ebru_model *t = p->engine->model->tables;
    if (!s) s = rt_tokenizer_open(&text->tokenizer, t->tokenizer, (size_t)t->tokenizer_bytes, err);
    if (s) return s;
    const struct ebru_tensor_desc *context = rt_net_input(p->denoiser, "encoder_hidden_states");
    if (!context) return rt_fail(err, RT_ERR_INTERNAL, "the denoiser has no input 'encoder_hidden_states'");
    text->context_size = rt_painter_elements(context);
    text->context = rt_buffer(text->context_size * (size_t)p->batch * sizeof(float));
    text->uncond = rt_buffer(text->context_size * (size_t)p->batch * sizeof(float));
    return text->context && text->uncond ? RT_OK : rt_fail(err, RT_ERR_SYSTEM, "out of memory");
}

void rt_condition_text_close(struct rt_painter *p) {
    rt_net_free(p->text.net);
    rt_buffer_free(p->text.context);
    rt_buffer_free(p->text.uncond);
}

/* Text embeddings of `count` prompts into out[batch][tokens][width]; the text network may have another batch.
 */
static rt_status encode_text(struct rt_painter *p, const char *const *texts, const size_t *lengths, int count,
                             float *out, rt_error *err) {
    struct rt_text_state *text = &p->text;
    const struct ebru_tensor_desc *ids = rt_net_input(text->net, "input_ids");
    const struct ebru_tensor_desc *hidden = rt_net_output(text->net, p->info->text_output);
    if (!ids || !hidden || rt_painter_elements(hidden) != text->context_size ||
        (uint32_t)ids->dim[1] != text->tokenizer.max_length)
        return rt_fail(err, RT_ERR_INTERNAL, "text encoder, tokenizer and denoiser do not fit together");
    int32_t *buffer = rt_net_input_buffer(text->net, "input_ids");
    int batch = (int)ids->dim[0];
    for (int first = 0; first < count; first += batch) {
        for (int i = 0; i < batch; i++) {
            int k = first + i < count ? first + i : count - 1;
            size_t used, cut;
            rt_status s =
                rt_tokenizer_encode_prompt(&text->tokenizer, texts[k], lengths[k],
                                           buffer + (size_t)i * (size_t)ids->dim[1], &used, &cut, err);
            if (s) return s;
            if (cut && first + i < count && !p->settings->quiet) {
                rt_progress_close(p->settings->progress);
                fprintf(stderr,
                        "note: the prompt has %zu tokens more than the %u the model reads; they are cut\n",
                        cut, text->tokenizer.max_length - 2);
            }
        }
        rt_status s = rt_net_begin(text->net, NULL, 1, err);
        if (s) return s;
        rt_net_step(text->net, 0);
        int n = count - first < batch ? count - first : batch;
        memcpy(out + (size_t)first * text->context_size,
               rt_net_output_buffer(text->net, p->info->text_output),
               (size_t)n * text->context_size * sizeof(float));
    }
    return RT_OK;
}

rt_status rt_condition_text(struct rt_painter *p, const rt_request *r, rt_error *err) {
    size_t n = (size_t)p->batch;
    struct rt_text_state *text = &p->text;
    if (text->net) {
        const char *texts[64], *negatives[64];
        size_t lengths[64], negative_lengths[64];
        if (p->batch > 64) return rt_fail(err, RT_ERR_INTERNAL, "batch above 64");
        for (size_t i = 0; i < n; i++) {
            texts[i] = r[i].prompt, lengths[i] = r[i].prompt_length;
            negatives[i] = r[i].negative, negative_lengths[i] = r[i].negative_length;
        }
        rt_progress_phase(p->settings->progress, "text-encode", 0);
        rt_status s = encode_text(p, texts, lengths, p->batch, text->context, err);
        if (!s && p->guided) s = encode_text(p, negatives, negative_lengths, p->batch, text->uncond, err);
        if (s) return s;
        float *context = rt_net_input_buffer(p->denoiser, "encoder_hidden_states");
        size_t half = text->context_size * n;
        if (p->guided) memcpy(context, text->uncond, half * sizeof(float));
        memcpy(context + (p->guided ? half : 0), text->context, half * sizeof(float));
    }
    int32_t *labels = rt_net_input_buffer(p->denoiser, "class_labels");
    if (labels)
        for (size_t i = 0; i < n; i++) labels[i] = r[i].class_label;
    return RT_OK;
}
