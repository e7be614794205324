/* Keys of diffusers and transformers configs; see diffusers.h. A missing key has the constructor's
 * default, as old configs rely on. */
#include <string.h>

#include "frontend/diffusers/diffusers.h"

static base_jval given(base_jval root, const char *key) {
    base_jval v = base_json_get(root, key);
    return base_json_is_null(v) ? (base_jval){0} : v;
}

base_jval fe_config_at(base_jval root, const char *key) {
    base_jval v = base_json_get(root, key);
    return base_json_present(v) ? v : root;
}

static bool one_a_level(base_jval v, size_t n) {
    if (base_json_length(v) == n) return true;
    base_json_error(v, "%zu values for %zu resolutions", base_json_length(v), n);
    return false;
}

bool fe_config_block(base_jval v, const char *what, const char *const *names, size_t n,
                     size_t *index) {
    /* of diffusers; those that are built are among them, for configs that have them elsewhere */
    static const char *const known[] = {"AttnDownBlock2D",
                                        "AttnDownEncoderBlock2D",
                                        "AttnSkipDownBlock2D",
                                        "AttnSkipUpBlock2D",
                                        "AttnUpBlock2D",
                                        "AttnUpDecoderBlock2D",
                                        "CrossAttnDownBlock2D",
                                        "CrossAttnUpBlock2D",
                                        "DownBlock2D",
                                        "DownEncoderBlock2D",
                                        "KCrossAttnDownBlock2D",
                                        "KCrossAttnUpBlock2D",
                                        "KDownBlock2D",
                                        "KUpBlock2D",
                                        "ResnetDownsampleBlock2D",
                                        "ResnetUpsampleBlock2D",
                                        "SimpleCrossAttnDownBlock2D",
                                        "SimpleCrossAttnUpBlock2D",
                                        "SkipDownBlock2D",
                                        "SkipUpBlock2D",
                                        "UNetMidBlock2D",
                                        "UNetMidBlock2DCrossAttn",
                                        "UNetMidBlock2DSimpleCrossAttn",
                                        "UpBlock2D",
                                        "UpDecoderBlock2D"};
    static const char old[] = "UNetRes"; /* of configs before 0.1; diffusers drops it, too */
    const char *word;
    if (!base_json_is(v, BASE_JSON_STRING) || !base_json_string(v, &word))
        return base_json_choice(v, what, names, n, index);
    if (strncmp(word, old, sizeof old - 1) == 0) word += sizeof old - 1;
    for (size_t i = 0; i < n; i++)
        if (strcmp(word, names[i]) == 0) {
            *index = i;
            return true;
        }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(word, known[i]) != 0) continue;
        base_str list = {0};
        for (size_t k = 0; k < n; k++) base_str_addf(&list, "%s%s", k ? ", " : "", names[k]);
        base_json_error(v, "unsupported: %s '%s' (supported here: %s)", what, word, list.data);
        base_str_free(&list);
        return false;
    }
    return base_json_choice(v, what, names, n, index);
}

bool fe_config_resolutions(base_jval root, const char *key, size_t n, int64_t fallback, int64_t max,
                           int64_t *out) {
    base_jval v = given(root, key);
    for (size_t i = 0; i < n; i++) out[i] = fallback;
    if (!base_json_present(v)) return true;
    if (base_json_is(v, BASE_JSON_ARRAY)) {
        bool fine = one_a_level(v, n);
        for (size_t i = 0; fine && i < n; i++)
            fine = base_json_int(base_json_item(v, i), &out[i], 1, max);
        return fine;
    }
    if (!base_json_int(v, &out[0], 1, max)) return false;
    for (size_t i = 1; i < n; i++) out[i] = out[0];
    return true;
}

bool fe_config_resolution_flags(base_jval root, const char *key, size_t n, bool fallback,
                                bool *out) {
    base_jval v = given(root, key);
    for (size_t i = 0; i < n; i++) out[i] = fallback;
    if (!base_json_present(v)) return true;
    if (base_json_is(v, BASE_JSON_ARRAY)) {
        bool fine = one_a_level(v, n);
        for (size_t i = 0; fine && i < n; i++) fine = base_json_bool(base_json_item(v, i), &out[i]);
        return fine;
    }
    bool all;
    if (!base_json_bool(v, &all)) return false;
    for (size_t i = 0; i < n; i++) out[i] = all;
    return true;
}

bool fe_config_activation(base_jval root, const char *key, ir_act fallback, ir_act *out) {
    static const char *const names[] = {
#define ACT_CONFIG(word, ID) word,
#include "base/activations.def"
    };
    static const ir_act acts[] = {
#define ACT_CONFIG(word, ID) IR_ACT_##ID,
#include "base/activations.def"
    };
    base_jval v = given(root, key);
    size_t i;
    *out = fallback;
    if (!base_json_present(v)) return true;
    if (!base_json_choice(v, "activation", names, sizeof names / sizeof *names, &i)) return false;
    *out = acts[i];
    return true;
}

bool fe_config_size(base_jval root, const char *key, int64_t *height, int64_t *width) {
    base_jval v = given(root, key);
    *height = *width = 0;
    if (!base_json_present(v)) return true;
    if (base_json_is(v, BASE_JSON_ARRAY)) {
        int64_t hw[2];
        size_t n;
        if (!base_json_ints(v, hw, 2, &n, 1, FE_MAX_SIDE)) return false;
        if (n != 2) {
            base_json_error(v, "'%s': expected height and width", key);
            return false;
        }
        *height = hw[0];
        *width = hw[1];
        return true;
    }
    if (!base_json_int(v, height, 1, FE_MAX_SIDE)) return false;
    *width = *height;
    return true;
}

/* A value that switches nothing on: null, false, "default", or what stands after '='. */
static bool is_off(base_jval v, const char *allowed) {
    const char *word;
    double number;
    bool flag;
    switch (base_json_kind_of(v)) {
    case BASE_JSON_NULL: return true;
    case BASE_JSON_BOOL:
        return base_json_bool(v, &flag) && (!flag || (allowed && strcmp(allowed, "true") == 0));
    case BASE_JSON_STRING:
        return base_json_string(v, &word) && strcmp(word, allowed ? allowed : "default") == 0;
    case BASE_JSON_INT:
    case BASE_JSON_REAL: {
        char text[32];
        if (!allowed || !base_json_double(v, &number)) return false;
        snprintf(text, sizeof text, "%g", number);
        return strcmp(text, allowed) == 0;
    }
    default: return false;
    }
}

static bool refuse(base_jval v, const char *key, const char *allowed) {
    const char *word;
    if (base_json_is(v, BASE_JSON_STRING) && base_json_string(v, &word))
        base_json_error(v, "unsupported: '%s' is '%s'", key, base_escape(word, strlen(word)));
    else
        base_json_error(v, "unsupported: this value of '%s'", key);
    if (allowed) base_note(base_json_diag(v.doc), NULL, "supported is %s", allowed);
    return false;
}

bool fe_config_unsupported(base_jval root, const char *const *keys, size_t n) {
    bool fine = true;
    for (size_t i = 0; i < n; i++) {
        char key[64];
        const char *equals = strchr(keys[i], '=');
        size_t length = equals ? (size_t)(equals - keys[i]) : strlen(keys[i]);
        if (length >= sizeof key) ICE("config key %s is too long", keys[i]);
        memcpy(key, keys[i], length);
        key[length] = 0;
        base_jval v = base_json_get(root, key);
        const char *allowed = equals ? equals + 1 : NULL;
        if (base_json_present(v) && !is_off(v, allowed)) fine = refuse(v, key, allowed);
    }
    return fine;
}

void fe_config_unknown(base_jval root, const char *const *ignored, size_t n) {
    for (base_jval v = base_json_first(root); base_json_present(v); v = base_json_next(v)) {
        const char *key = base_json_key(v);
        if (key && key[0] == '_') base_json_get(root, key); /* diffusers' own remarks: known */
    }
    base_json_report_unknown_keys(root, ignored, n, BASE_WARNING);
}
