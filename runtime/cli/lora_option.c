#include "runtime/cli/lora_option.h"

#include "base/suggest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NAME[:SCALE] taken apart. */
typedef struct lora {
    int slot; /* -1: the program has no slot of that name */
    size_t length;
    double scale; /* NaN: it is no finite number */
} lora;

static int slot_of(const struct ebru_model *t, const char *name, size_t length) {
    const char *known;
    for (int i = 0; i < BASE_LORA_SLOTS && (known = rt_meta_lora_name(t, i)); i++)
        if (strlen(known) == length && !memcmp(known, name, length)) return i;
    return -1;
}

/* Names have no colon. */
static lora parse(const struct ebru_model *t, const char *text) {
    const size_t n = strcspn(text, ":");
    lora l = {slot_of(t, text, n), n, 1.0};
    if (!text[n]) return l;
    char *end;
    l.scale = strtod(text + n + 1, &end);
    if (*end || end == text + n + 1 || !isfinite((float)l.scale)) l.scale = NAN;
    return l;
}

static rt_status unknown(const struct ebru_model *t, const char *name, size_t length,
                         rt_error *err) {
    const char *names[BASE_LORA_SLOTS];
    char hint[BASE_HINT_MAX], list[256] = "", copy[100];
    size_t used = 0, count = 0;
    for (; count < BASE_LORA_SLOTS && (names[count] = rt_meta_lora_name(t, (int)count)); count++)
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", count ? ", " : "",
                                     names[count]);
    if (!count)
        return rt_fail(err, RT_ERR_USAGE,
                       "--lora: this program keeps no LoRAs: ebru compile --lora-slot=FILE keeps "
                       "one, --lora=FILE merges it");
    snprintf(copy, sizeof copy, "%.*s", length < 99 ? (int)length : 99, name);
    base_hint(base_suggest(copy, names, count), hint);
    return rt_fail(err, RT_ERR_USAGE, "--lora: this program has no LoRA '%.60s'%s (it has: %s)",
                   copy, hint, list);
}

rt_status rt_loras_check(const rt_options *o, const struct ebru_model *t, rt_error *err) {
    bool given[BASE_LORA_SLOTS] = {false};
    for (int i = 0; i < o->lora_count; i++) {
        const char *text = o->loras[i];
        const lora l = parse(t, text);
        if (l.slot < 0) return unknown(t, text, l.length, err);
        if (isnan(l.scale))
            return rt_fail(err, RT_ERR_USAGE,
                           "--lora: the scale '%.60s' of '%.60s' is not a finite number",
                           text + l.length + 1, rt_meta_lora_name(t, l.slot));
        if (given[l.slot])
            return rt_fail(err, RT_ERR_USAGE, "--lora: '%.60s' is given twice",
                           rt_meta_lora_name(t, l.slot));
        given[l.slot] = true;
    }
    return RT_OK;
}

void rt_loras_set(const rt_options *o, const struct ebru_model *t, float scale[BASE_LORA_SLOTS]) {
    for (int i = 0; i < BASE_LORA_SLOTS; i++) scale[i] = 0;
    for (int i = 0; i < o->lora_count; i++) {
        const lora l = parse(t, o->loras[i]);
        scale[l.slot] = (float)l.scale;
    }
}
