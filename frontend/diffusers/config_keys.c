/* Keys of diffusers and transformers configs; see diffusers.h. A missing key has the constructor's default,
 * as old configs rely on. */
#include <string.h>

#include "frontend/diffusers/diffusers.h"

static fe_jval given(fe_jval root, const char *key) {
    fe_jval v = fe_json_get(root, key);
    return fe_json_is_null(v) ? (fe_jval){0} : v;
}

fe_jval fe_config_at(fe_jval root, const char *key) {
    fe_jval v = fe_json_get(root, key);
    return fe_json_present(v) ? v : root;
}

static bool one_a_level(fe_jval v, size_t n) {
    if (fe_json_length(v) == n) return true;
    fe_json_error(v, "%zu values for %zu levels of resolution", fe_json_length(v), n);
    return false;
}

bool fe_config_levels(fe_jval root, const char *key, size_t n, int64_t fallback, int64_t max, int64_t *out) {
    fe_jval v = given(root, key);
    for (size_t i = 0; i < n; i++) out[i] = fallback;
    if (!fe_json_present(v)) return true;
    if (fe_json_is(v, FE_JSON_ARRAY)) {
        bool fine = one_a_level(v, n);
        for (size_t i = 0; fine && i < n; i++) {
            fe_jval item = fe_json_item(v, i);
            if (fe_json_is(item, FE_JSON_ARRAY)) {
                fe_json_error(item, "unsupported: a list within '%s'", key);
                return false;
            }
            fine = fe_json_int(item, &out[i], 1, max);
        }
        return fine;
    }
    if (!fe_json_int(v, &out[0], 1, max)) return false;
    for (size_t i = 1; i < n; i++) out[i] = out[0];
    return true;
}

bool fe_config_level_flags(fe_jval root, const char *key, size_t n, bool fallback, bool *out) {
    fe_jval v = given(root, key);
    for (size_t i = 0; i < n; i++) out[i] = fallback;
    if (!fe_json_present(v)) return true;
    if (fe_json_is(v, FE_JSON_ARRAY)) {
        bool fine = one_a_level(v, n);
        for (size_t i = 0; fine && i < n; i++) fine = fe_json_bool(fe_json_item(v, i), &out[i]);
        return fine;
    }
    bool all;
    if (!fe_json_bool(v, &all)) return false;
    for (size_t i = 0; i < n; i++) out[i] = all;
    return true;
}

bool fe_config_activation(fe_jval root, const char *key, ir_act fallback, ir_act *out) {
    static const char *const names[] = {"silu", "swish", "mish", "gelu", "relu", "quick_gelu", "gelu_new"};
    static const ir_act acts[] = {IR_ACT_SILU, IR_ACT_SILU,       IR_ACT_MISH,     IR_ACT_GELU,
                                  IR_ACT_RELU, IR_ACT_QUICK_GELU, IR_ACT_GELU_TANH};
    fe_jval v = given(root, key);
    size_t i;
    *out = fallback;
    if (!fe_json_present(v)) return true;
    if (!fe_json_choice(v, "activation", names, sizeof names / sizeof *names, &i)) return false;
    *out = acts[i];
    return true;
}

bool fe_config_size(fe_jval root, const char *key, int64_t *height, int64_t *width) {
    fe_jval v = given(root, key);
    *height = *width = 0;
    if (!fe_json_present(v)) return true;
    if (fe_json_is(v, FE_JSON_ARRAY)) {
        int64_t hw[2];
        size_t n;
        if (!fe_json_ints(v, hw, 2, &n, 1, FE_MAX_SIDE)) return false;
        if (n != 2) {
            fe_json_error(v, "'%s': expected height and width", key);
            return false;
        }
        *height = hw[0];
        *width = hw[1];
        return true;
    }
    if (!fe_json_int(v, height, 1, FE_MAX_SIDE)) return false;
    *width = *height;
    return true;
}

/* A value that switches nothing on: null, false, "default", or what stands after '='. */
static bool is_off(fe_jval v, const char *allowed) {
    const char *word;
    double number;
    bool flag;
    switch (fe_json_kind_of(v)) {
    case FE_JSON_NULL: return true;
    case FE_JSON_BOOL: return fe_json_bool(v, &flag) && (!flag || (allowed && strcmp(allowed, "true") == 0));
    case FE_JSON_STRING: return fe_json_string(v, &word) && strcmp(word, allowed ? allowed : "default") == 0;
    case FE_JSON_INT:
    case FE_JSON_REAL: {
        char text[32];
        if (!allowed || !fe_json_double(v, &number)) return false;
        snprintf(text, sizeof text, "%g", number);
        return strcmp(text, allowed) == 0;
    }
    default: return false;
    }
}

static bool refuse(fe_jval v, const char *key, const char *allowed) {
    const char *word;
    if (fe_json_is(v, FE_JSON_STRING) && fe_json_string(v, &word))
        fe_json_error(v, "unsupported: '%s' is '%s'", key, ir_escape(word, strlen(word)));
    else
        fe_json_error(v, "unsupported: this value of '%s'", key);
    if (allowed) ir_note(fe_json_diag(v.doc), NULL, "supported is %s", allowed);
    return false;
}

bool fe_config_unsupported(fe_jval root, const char *const *keys, size_t n) {
    bool fine = true;
    for (size_t i = 0; i < n; i++) {
        char key[64];
        const char *equals = strchr(keys[i], '=');
        size_t length = equals ? (size_t)(equals - keys[i]) : strlen(keys[i]);
        if (length >= sizeof key) ICE("config key %s is too long", keys[i]);
        memcpy(key, keys[i], length);
        key[length] = 0;
        fe_jval v = fe_json_get(root, key);
        const char *allowed = equals ? equals + 1 : NULL;
        if (fe_json_present(v) && !is_off(v, allowed)) fine = refuse(v, key, allowed);
    }
    return fine;
}

void fe_config_unknown(fe_jval root, const char *const *ignored, size_t n) {
    for (fe_jval v = fe_json_first(root); fe_json_present(v); v = fe_json_next(v)) {
        const char *key = fe_json_key(v);
        if (key && key[0] == '_') fe_json_get(root, key); /* diffusers' own remarks: known */
    }
    fe_json_report_unknown_keys(root, ignored, n, IR_WARNING);
}
