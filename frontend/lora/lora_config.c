/* Settings of an adapter outside its tensors; see lora.h. diffusers writes them into the file's
 * metadata ("lora_adapter_metadata": JSON with "unet.lora_alpha" ...), PEFT into
 * adapter_config.json. */
#include <math.h>
#include <string.h>

#include "frontend/lora/lora.h"

static const char METADATA_KEY[] = "lora_adapter_metadata";

static const base_json_limits python = {.python_numbers = true};

/* The text of `key`, of one component or of all ("component.key" for any component). */
static bool is_key(const fe_lora_config *c, const char *name, const char *key) {
    if (!c->prefixed) return strcmp(name, key) == 0;
    const char *dot = strrchr(name, '.');
    return dot && strcmp(dot + 1, key) == 0;
}

/* Settings that change the sum: refused by name where they are switched on. */
static bool check_settings(const fe_lora_config *c) {
    static const char *const flags[] = {"lora_bias", "fan_in_fan_out"};
    static const char *const patterns[] = {"alpha_pattern"};
    bool fine = true;
    for (base_jval v = base_json_first(c->root); base_json_present(v); v = base_json_next(v)) {
        bool set = false;
        for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
            if (is_key(c, base_json_key(v), flags[i]) && base_json_is(v, BASE_JSON_BOOL))
                fine &= base_json_bool(v, &set);
        for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
            if (is_key(c, base_json_key(v), patterns[i])) set = base_json_length(v) > 0;
        if (!set) continue;
        base_json_error(v, "unsupported: a LoRA with '%s'", base_json_key(v));
        fine = false;
    }
    return fine;
}

/* adapter_config.json stands beside adapter_model.safetensors. */
static bool load_neighbour(base_diag *d, const char *path, fe_lora_config *c) {
    static const char weights[] = "adapter_model.safetensors";
    size_t n = strlen(path), k = strlen(weights);
    if (n < k || strcmp(path + n - k, weights) != 0 || (n > k && path[n - k - 1] != '/'))
        return true;
    base_str name = {0};
    base_str_addn(&name, path, n - k);
    base_str_add(&name, "adapter_config.json");
    bool fine = true;
    if (fe_path_exists(name.data)) {
        c->doc = fe_json_load(d, name.data, &python);
        fine = c->doc != NULL;
    }
    base_str_free(&name);
    return fine;
}

bool fe_lora_config_read(base_diag *d, const fe_st *table, const char *path, fe_lora_config *c) {
    *c = (fe_lora_config){0};
    const char *text = fe_st_metadata(table, METADATA_KEY);
    if (text) {
        base_str name = {0};
        base_str_addf(&name, "%s: metadata '%s'", path, METADATA_KEY);
        c->doc = base_json_parse(d, name.data, text, strlen(text), &python);
        c->prefixed = true;
        base_str_free(&name);
        if (!c->doc) return false;
    } else if (!load_neighbour(d, path, c)) {
        return false;
    }
    if (!c->doc) return true;
    c->root = base_json_root(c->doc);
    return base_json_expect(c->root, BASE_JSON_OBJECT) && check_settings(c);
}

void fe_lora_config_free(fe_lora_config *c) {
    base_json_free(c->doc);
    c->doc = NULL;
}

static base_jval setting(const fe_lora_config *c, const char *component, const char *name) {
    base_str key = {0};
    base_str_addf(&key, "%s%s%s", c->prefixed ? component : "", c->prefixed ? "." : "", name);
    base_jval v = base_json_get(c->root, key.data);
    base_str_free(&key);
    return v;
}

bool fe_lora_config_alpha(const fe_lora_config *c, const char *component, double *alpha) {
    if (!c->doc) return false;
    base_jval v = setting(c, component, "lora_alpha");
    return base_json_present(v) && !base_json_is_null(v) && base_json_double(v, alpha) &&
           isfinite(*alpha);
}

bool fe_lora_config_switch(const fe_lora_config *c, const char *component, const char *key) {
    bool on = false;
    if (!c->doc) return false;
    base_jval v = setting(c, component, key);
    return base_json_is(v, BASE_JSON_BOOL) && base_json_bool(v, &on) && on;
}
