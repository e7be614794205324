/* Prompts, class labels and numbers as the denoiser's conditioning inputs. */
#include "runtime/pipeline/condition.h"
#include "runtime/pipeline/denoise.h"
#include "runtime/text/prompt_tokens.h"
#include "runtime/text/unicode.h"

#include <stdlib.h>
#include <string.h>

/* The halves of a guided batch: the unconditional one first. */
enum { HALF_NEGATIVE, HALF_PROMPT };

static size_t halves(const struct rt_denoiser *p) {
    return p->guided ? 2 : 1;
}

/* Row of picture i in the denoiser's inputs. */
static size_t row_of(const struct rt_denoiser *p, int half, size_t i) {
    return half == HALF_PROMPT && p->guided ? (size_t)p->batch + i : i;
}

static rt_status open_encoder(struct rt_denoiser *p, const char *name, const char *output,
                              const char *negative, const uint8_t *blob, size_t bytes,
                              rt_error *err) {
    struct rt_text_state *text = &p->text;
    struct rt_text_encoder *e = &text->encoders[text->encoder_count++];
    rt_status s = rt_network_open(&e->net, p->engine, name, err);
    if (!s) s = rt_tokenizer_open(&e->tokenizer, blob, bytes, err);
    if (s) return s;
    const struct ebru_tensor_desc *ids = rt_network_input(e->net, "input_ids");
    const struct ebru_tensor_desc *hidden = rt_network_output(e->net, output);
    if (!negative) negative = output;
    const struct ebru_tensor_desc *other = rt_network_output(e->net, negative);
    if (!ids || !hidden || !other || rt_denoiser_elements(other) != rt_denoiser_elements(hidden) ||
        ids->rank != 2 || hidden->rank != 3 || hidden->dim[1] != ids->dim[1] ||
        (uint64_t)ids->dim[1] != e->tokenizer.max_length ||
        (text->tokens && text->tokens != e->tokenizer.max_length))
        return rt_fail(err, RT_ERR_INTERNAL,
                       "text encoder '%s' and its tokenizer do not fit together", name);
    e->output = output;
    e->negative = negative;
    e->offset = text->width;
    e->width = (size_t)hidden->dim[2];
    text->width += e->width;
    text->tokens = e->tokenizer.max_length;
    return RT_OK;
}

static rt_status open_pooled(struct rt_denoiser *p, rt_error *err) {
    struct rt_text_state *text = &p->text;
    const struct ebru_tensor_desc *to = rt_network_input(p->denoiser, "text_embeds");
    if (!to) return RT_OK;
    const char *name = p->info->pooled_output ? p->info->pooled_output : "text_embeds";
    const struct ebru_tensor_desc *from =
        rt_network_output(text->encoders[text->encoder_count - 1].net, name);
    if (!from || rt_denoiser_elements(from) != rt_denoiser_elements(to))
        return rt_fail(err, RT_ERR_INTERNAL, "no text encoder gives the denoiser's 'text_embeds'");
    text->pooled_width = rt_denoiser_elements(to);
    text->pooled = rt_network_input_buffer(p->denoiser, "text_embeds");
    return RT_OK;
}

rt_status rt_condition_text_open(struct rt_denoiser *p, rt_error *err) {
    const rt_pipeline_info *info = p->info;
    const struct ebru_model *t = p->engine->model->tables;
    struct rt_text_state *text = &p->text;
    if (info->kind != EBRU_PIPELINE_TEXT) return RT_OK;
    rt_status s = RT_OK;
    if (info->text_encoder)
        s = open_encoder(p, info->text_encoder, info->text_output, info->negative_text_output,
                         t->tokenizer, (size_t)t->tokenizer_bytes, err);
    if (!s && info->text_encoder_2)
        s = open_encoder(p, info->text_encoder_2, info->text_output_2, info->negative_text_output_2,
                         t->tokenizer_2, (size_t)t->tokenizer_2_bytes, err);
    if (s) return s;
    const struct ebru_tensor_desc *context = rt_network_input(p->denoiser, "encoder_hidden_states");
    size_t chunks = (size_t)info->chunks;
    if (!context || context->rank != 3 || (size_t)context->dim[1] != chunks * text->tokens ||
        (size_t)context->dim[2] != text->width)
        return rt_fail(err, RT_ERR_INTERNAL, "text encoder and denoiser do not fit together");
    text->context = rt_network_input_buffer(p->denoiser, "encoder_hidden_states");
    text->rows = calloc(halves(p) * (size_t)p->batch, sizeof *text->rows);
    text->ids = calloc((size_t)p->batch * chunks * text->tokens, sizeof *text->ids);
    text->weights = calloc((size_t)p->batch * chunks * text->tokens, sizeof *text->weights);
    if (!text->rows || !text->ids || !text->weights)
        return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    return open_pooled(p, err);
}

void rt_condition_text_close(struct rt_denoiser *p) {
    for (int i = 0; i < p->text.encoder_count; i++) rt_network_free(p->text.encoders[i].net);
    free(p->text.rows);
    free(p->text.ids);
    free(p->text.weights);
}

static void tell_cut(const struct rt_denoiser *p, int half, const char *text, size_t cut) {
    char shown[RT_PRINTABLE_MAX];
    if (!cut || p->settings->quiet) return;
    rt_progress_close(p->settings->progress);
    rt_printable(text, shown);
    size_t n = strlen(shown) < 40 ? strlen(shown) : 40; /* and no half of a character */
    while (n && ((unsigned char)shown[n] & 0xc0) == 0x80) n--;
    fprintf(stderr,
            "note: the %sprompt '%.*s%s' has %zu tokens more than the %zu the model reads; they "
            "are cut\n",
            half == HALF_NEGATIVE ? "negative " : "", (int)n, shown, shown[n] ? "..." : "", cut,
            (size_t)p->info->chunks * (p->text.tokens - 2));
}

/* Token ids, and weights, of the texts of rows[count] for one encoder. */
static rt_status tokenize(struct rt_denoiser *p, int encoder, int half,
                          const struct rt_text_row *rows, const size_t *todo, size_t count,
                          rt_error *err) {
    struct rt_text_state *text = &p->text;
    size_t stride = (size_t)p->info->chunks * text->tokens;
    for (size_t i = 0; i < count; i++) {
        const struct rt_text_row *row = &rows[todo[i]];
        const rt_tokenizer *t = &text->encoders[encoder].tokenizer;
        rt_token_list list = {0};
        rt_status s =
            rt_prompt_tokens(t, row->text, row->length, p->settings->weighted, &list, err);
        if (!s) {
            size_t cut = rt_prompt_frame(t, &list, (size_t)p->info->chunks, text->ids + i * stride,
                                         text->weights + i * stride);
            if (encoder == 0) tell_cut(p, half, row->text, cut);
        }
        rt_token_list_free(&list);
        if (s) return s;
    }
    return RT_OK;
}

/* Runs one encoder on the chunks of `count` tokenized texts, its own batch a time, and puts what
 * comes out in its columns of the context. */
static rt_status run_encoder(struct rt_denoiser *p, int encoder, int half, const size_t *todo,
                             size_t count, rt_error *err) {
    struct rt_text_state *text = &p->text;
    struct rt_text_encoder *e = &text->encoders[encoder];
    size_t chunks = (size_t)p->info->chunks, length = text->tokens, all = count * chunks;
    size_t batch = (size_t)rt_network_input(e->net, "input_ids")->dim[0];
    int32_t *ids = rt_network_input_buffer(e->net, "input_ids");
    bool pooled = text->pooled && encoder == text->encoder_count - 1;
    for (size_t first = 0; first < all; first += batch) {
        for (size_t i = 0; i < batch; i++) {
            size_t k = first + i < all ? first + i : all - 1;
            memcpy(ids + i * length, text->ids + k * length, length * sizeof *ids);
        }
        rt_status s = rt_network_begin(e->net, NULL, 1, err);
        if (s) return s;
        rt_network_step(e->net, 0);
        const float *hidden =
            rt_network_output_buffer(e->net, half == HALF_NEGATIVE ? e->negative : e->output);
        for (size_t k = first; k < all && k < first + batch; k++) {
            size_t row = row_of(p, half, todo[k / chunks]);
            float *to =
                text->context + (row * chunks + k % chunks) * length * text->width + e->offset;
            const float *from = hidden + (k - first) * length * e->width;
            for (size_t t = 0; t < length; t++)
                memcpy(to + t * text->width, from + t * e->width, e->width * sizeof *to);
            if (pooled && k % chunks == 0) { /* of the first chunk, as sd-cli has it */
                const char *name = p->info->pooled_output ? p->info->pooled_output : "text_embeds";
                memcpy(text->pooled + row * text->pooled_width,
                       (const float *)rt_network_output_buffer(e->net, name) +
                           (k - first) * text->pooled_width,
                       text->pooled_width * sizeof(float));
            }
        }
    }
    return RT_OK;
}

static rt_status encode(struct rt_denoiser *p, int half, const struct rt_text_row *rows,
                        const size_t *todo, size_t count, rt_error *err) {
    struct rt_text_state *text = &p->text;
    size_t chunks = (size_t)p->info->chunks, chunk = text->tokens * text->width;
    /* from the last to the first, which counts its tokens and whose weights stay */
    for (int e = text->encoder_count - 1; e >= 0; e--) {
        rt_status s = tokenize(p, e, half, rows, todo, count, err);
        if (!s) s = run_encoder(p, e, half, todo, count, err);
        if (s) return s;
    }
    for (size_t i = 0; i < count * chunks && p->settings->weighted; i++) {
        size_t row = row_of(p, half, todo[i / chunks]);
        rt_weigh_tokens(text->context + (row * chunks + i % chunks) * chunk,
                        text->weights + i * text->tokens, text->tokens, text->width);
    }
    return RT_OK;
}

/* Row `to` of context and pooled output becomes row `from`, or zeros. */
static void copy_row(struct rt_denoiser *p, int half, size_t to, size_t from, bool zeros) {
    struct rt_text_state *text = &p->text;
    float *tables[2] = {text->context, text->pooled};
    size_t widths[2] = {(size_t)p->info->chunks * text->tokens * text->width, text->pooled_width};
    for (int i = 0; i < 2; i++) {
        if (!tables[i]) continue;
        float *row = tables[i] + row_of(p, half, to) * widths[i];
        if (zeros)
            memset(row, 0, widths[i] * sizeof *row);
        else
            memcpy(row, tables[i] + row_of(p, half, from) * widths[i], widths[i] * sizeof *row);
    }
}

static bool same_text(const struct rt_text_row *a, const struct rt_text_row *b) {
    return a->filled && a->text == b->text && a->length == b->length;
}

/* Brings one half of the context up to date: rows that hold their text already are left, texts that
 * occur several times are encoded once. *told: the progress says that texts are encoded. */
static rt_status fill_half(struct rt_denoiser *p, int half, const rt_request *r, bool *told,
                           rt_error *err) {
    size_t n = (size_t)p->batch, count = 0;
    struct rt_text_row *held = p->text.rows + row_of(p, half, 0);
    struct rt_text_row *wanted = calloc(n, sizeof *wanted);
    size_t *todo = calloc(2 * n, sizeof *todo), *source = todo ? todo + n : NULL;
    rt_status s = wanted && todo ? RT_OK : rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    for (size_t i = 0; !s && i < n; i++) {
        bool negative = half == HALF_NEGATIVE;
        bool zeros = negative && !r[i].negative && p->info->force_zeros;
        wanted[i].text = !negative       ? r[i].prompt
                         : r[i].negative ? r[i].negative
                         : zeros         ? NULL
                                         : "";
        wanted[i].length = !negative       ? r[i].prompt_length
                           : r[i].negative ? r[i].negative_length
                                           : 0;
        wanted[i].filled = true;
        source[i] = i;
        while (source[i] > 0 && same_text(&wanted[i], &wanted[source[i] - 1])) source[i]--;
        if (wanted[i].text && source[i] == i && !same_text(&held[i], &wanted[i])) todo[count++] = i;
    }
    if (!s && count && !*told) rt_progress_phase(p->settings->progress, "text-encode", 0);
    *told |= count > 0;
    if (!s && count) s = encode(p, half, wanted, todo, count, err);
    for (size_t i = 0; !s && i < n; i++)
        if (source[i] != i || !wanted[i].text) copy_row(p, half, i, source[i], !wanted[i].text);
    if (!s) memcpy(held, wanted, n * sizeof *held);
    free(wanted);
    free(todo);
    return s;
}

/* class_labels: the class, or the noise level of a picture that is painted larger. */
static void fill_labels(struct rt_denoiser *p, const rt_request *r) {
    const struct ebru_tensor_desc *d = rt_network_input(p->denoiser, "class_labels");
    void *labels = rt_network_input_buffer(p->denoiser, "class_labels");
    for (size_t i = 0; labels && i < (size_t)d->dim[0]; i++) {
        int32_t label = p->info->condition == EBRU_CONDITION_LOW_RESOLUTION
                            ? p->settings->noise_level
                            : r[i % (size_t)p->batch].class_label;
        if (d->dtype == EBRU_F32)
            ((float *)labels)[i] = (float)label;
        else
            ((int32_t *)labels)[i] = label;
    }
}

static void fill_numbers(struct rt_denoiser *p) {
    const struct ebru_tensor_desc *d = rt_network_input(p->denoiser, "time_ids");
    float *ids = rt_network_input_buffer(p->denoiser, "time_ids");
    for (size_t i = 0; ids && i < (size_t)d->dim[0]; i++) {
        size_t count = rt_denoiser_elements(d);
        rt_time_ids(count, p->info->height, p->info->width, p->guided && i < (size_t)p->batch,
                    ids + i * count);
    }
    d = rt_network_input(p->denoiser, "timestep_cond");
    float *guidance = rt_network_input_buffer(p->denoiser, "timestep_cond");
    for (size_t i = 0; guidance && i < (size_t)d->dim[0]; i++) {
        size_t width = rt_denoiser_elements(d);
        rt_guidance_embedding(p->settings->guidance, width, guidance + i * width);
    }
}

rt_status rt_condition_text(struct rt_denoiser *p, const rt_request *r, rt_error *err) {
    rt_status s = RT_OK;
    bool told = false;
    if (p->text.encoder_count) {
        rt_profile_phase(p->engine->profile, "text-encode");
        s = fill_half(p, HALF_PROMPT, r, &told, err);
        if (!s && p->guided) s = fill_half(p, HALF_NEGATIVE, r, &told, err);
    }
    fill_labels(p, r);
    fill_numbers(p);
    return s;
}
