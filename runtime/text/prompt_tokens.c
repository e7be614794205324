#include "runtime/text/prompt_tokens.h"

#include "runtime/text/prompt_weights.h"

#include <stdlib.h>
#include <string.h>

static rt_status append(rt_token_list *list, const uint32_t *ids, size_t count, float weight,
                        rt_error *err) {
    size_t need = list->count + count;
    if (need > list->room) {
        size_t room = need > 2 * list->room ? need : 2 * list->room;
        uint32_t *grown = realloc(list->ids, room * sizeof *grown);
        if (grown) list->ids = grown;
        float *heavier = grown ? realloc(list->weights, room * sizeof *heavier) : NULL;
        if (!heavier) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
        list->weights = heavier;
        list->room = room;
    }
    if (count) memcpy(list->ids + list->count, ids, count * sizeof *ids);
    for (size_t i = 0; i < count; i++) list->weights[list->count + i] = weight;
    list->count = need;
    return RT_OK;
}

static rt_status append_text(const rt_tokenizer *t, const char *text, size_t length, float weight,
                             rt_token_list *list, rt_error *err) {
    uint32_t *ids = NULL;
    size_t count = 0;
    rt_status s = rt_tokenizer_encode(t, text, length, &ids, &count, err);
    if (!s) s = append(list, ids, count, weight, err);
    free(ids);
    return s;
}

rt_status rt_prompt_tokens(const rt_tokenizer *t, const char *text, size_t length, bool weighted,
                           rt_token_list *list, rt_error *err) {
    if (!weighted) return append_text(t, text, length, 1, list, err);
    rt_prompt prompt;
    rt_status s = rt_prompt_parse(text, length, &prompt, err);
    if (s) return s;
    for (size_t i = 0; i < prompt.count && !s; i++) {
        const rt_prompt_segment *g = &prompt.segments[i];
        if (!g->is_break) {
            s = append_text(t, g->text, g->length, g->weight, list, err);
            continue;
        }
        while (!s && list->count % (t->max_length - 2)) s = append(list, &t->eos, 1, 1, err);
    }
    rt_prompt_free(&prompt);
    return s;
}

void rt_token_list_free(rt_token_list *list) {
    free(list->ids);
    free(list->weights);
    memset(list, 0, sizeof *list);
}

size_t rt_prompt_frame(const rt_tokenizer *t, const rt_token_list *list, size_t chunks,
                       int32_t *ids, float *weights) {
    size_t length = t->max_length, next = 0;
    for (size_t c = 0; c < chunks; c++, ids += length) {
        size_t n = list->count - next < length - 2 ? list->count - next : length - 2;
        for (size_t i = 0; i < length; i++) {
            bool token = i >= 1 && i <= n;
            ids[i] = (int32_t)(i == 0       ? t->bos
                               : token      ? list->ids[next + i - 1]
                               : i == n + 1 ? t->eos
                                            : t->pad);
            if (weights) weights[c * length + i] = token ? list->weights[next + i - 1] : 1;
        }
        next += n;
    }
    return list->count - next;
}
