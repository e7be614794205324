/* scheduler_config.json, or the sampler section of a description, as meta sampler.*; see
 * diffusers.h. Only keys that the file names are passed on: the rest are the class's defaults,
 * which the runtime knows (runtime/samplers/sampler_config.c). */
#include <string.h>

#include "frontend/diffusers/diffusers.h"
#include "runtime/abi/meta_keys.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* The register of samplers is shared with the runtime, so that a new one is one row. */
typedef struct sampler_row {
    const char *name, *class_name;
} sampler_row;
static const sampler_row samplers[] = {
#define SAMPLER(ID, name, cls, ...) {name, cls},
#include "runtime/samplers/samplers.def"
#undef SAMPLER
};

/* Older names of classes. */
static const struct {
    const char *old, *name;
} aliases[] = {{"GaussianDDPMScheduler", "ddpm"}, {"GaussianDDIMScheduler", "ddim"}};

typedef struct sampler_key {
    const char *name;
    ebru_meta_type type;
    int64_t least, most; /* of an INT */
    const char *words;   /* of a CHOICE */
} sampler_key;

static const sampler_key keys[] = {
#define SETTING(ID, key, TYPE, least, most, words, GIVEN, place, doc)                              \
    {key, EBRU_META_TYPE_##TYPE, least, most, words},
#include "runtime/abi/meta_keys.def"
};
/* Places in `keys`. */
enum {
#define SETTING(ID, ...) SETTING_##ID,
#include "runtime/abi/meta_keys.def"
};
enum { MAX_WORDS = 6 };

/* Keys that would change the arithmetic in ways that are not built; their harmless values pass. */
static const char *const unsupported[] = {"use_flow_sigmas", "use_dynamic_shifting",
                                          "invert_sigmas",   "stochastic_sampling",
                                          "shift_terminal",  "timestep_type=discrete"};

static bool sampler_class(base_jval v, const char **name) {
    const char *names[2 * COUNT(samplers) + COUNT(aliases)], *word;
    size_t n = 0, i;
    if (!base_json_string(v, &word)) return false;
    for (i = 0; i < COUNT(aliases); i++) {
        if (strcmp(word, aliases[i].old) != 0) continue;
        *name = aliases[i].name;
        return true;
    }
    for (i = 0; i < COUNT(samplers); i++) {
        names[n++] = samplers[i].name;
        names[n++] = samplers[i].class_name;
    }
    if (!base_json_choice(v, "sampler", names, n, &i)) return false;
    *name = samplers[i / 2].name;
    return true;
}

/* PREFIX.KEY, from the module's arena. */
static const char *setting(const ir_module *m, const char *prefix, const sampler_key *k) {
    return base_arena_printf(m->arena, "%s.%s", prefix, k->name);
}

/* trained_betas: as many numbers as timesteps were trained, as one text of float32 values. */
static bool read_numbers(ir_module *m, const char *prefix, base_jval v, const char *key) {
    enum { DIFFUSERS_DEFAULT = 1000 };
    int64_t trained =
        ir_meta_int(m, setting(m, prefix, &keys[SETTING_NUM_TRAIN_TIMESTEPS]), DIFFUSERS_DEFAULT);
    if (!base_json_expect(v, BASE_JSON_ARRAY)) return false;
    size_t n = base_json_length(v);
    if (n != (size_t)trained) {
        base_json_error(v, "'trained_betas' has %zu entries, 'num_train_timesteps' is %lld", n,
                        (long long)trained);
        return false;
    }
    base_str text = {0};
    bool fine = true;
    for (size_t i = 0; fine && i < n; i++) {
        double number;
        fine = base_json_double(base_json_item(v, i), &number);
        if (fine) base_str_addf(&text, "%s%.9g", i ? " " : "", (double)(float)number);
    }
    if (fine) ir_meta_set_string(m, key, text.data);
    base_str_free(&text);
    return fine;
}

/* Splits "a|b" into an arena; returns how many words there are. */
static size_t split(base_arena *a, const char *words, const char *out[MAX_WORDS]) {
    size_t count = 0;
    for (const char *w = words; *w; count++) {
        size_t n = strcspn(w, "|");
        if (count == MAX_WORDS) ICE("more than %d words: %s", MAX_WORDS, words);
        out[count] = base_arena_strndup(a, w, n);
        w += n + (w[n] == '|');
    }
    return count;
}

static bool read_key(ir_module *m, const char *prefix, base_jval v, const sampler_key *k) {
    const char *key = setting(m, prefix, k), *words[MAX_WORDS];
    int64_t integer;
    double number;
    bool flag;
    size_t i;
    switch (k->type) {
    case EBRU_META_TYPE_INT:
        if (!base_json_int(v, &integer, k->least, k->most)) return false;
        ir_meta_set_int(m, key, integer);
        return true;
    case EBRU_META_TYPE_FLOAT:
        if (!base_json_double(v, &number)) return false;
        ir_meta_set_float(m, key, number);
        return true;
    case EBRU_META_TYPE_FLAG:
        if (!base_json_bool(v, &flag)) return false;
        ir_meta_set_int(m, key, flag);
        return true;
    case EBRU_META_TYPE_NUMBERS: return read_numbers(m, prefix, v, key);
    case EBRU_META_TYPE_CHOICE: break;
    case EBRU_META_TYPE_STRING: ICE("no setting is any string: %s", key);
    }
    if (!base_json_choice(v, k->name, words, split(m->arena, k->words, words), &i)) return false;
    ir_meta_set_string(m, key, words[i]);
    return true;
}

/* Everything but the class. */
static bool read_keys(ir_module *m, const char *prefix, base_jval root) {
    bool fine = fe_config_unsupported(root, unsupported, COUNT(unsupported)), x0;
    base_jval predict =
        base_json_get(root, "predict_x0"); /* UniPC; unlike the others, on if absent */
    if (base_json_is(predict, BASE_JSON_BOOL) && base_json_bool(predict, &x0) && !x0) {
        base_json_error(predict, "unsupported: 'predict_x0' is false");
        fine = false;
    }
    for (size_t i = 0; i < COUNT(keys); i++) {
        base_jval v = base_json_get(root, keys[i].name);
        if (base_json_present(v) && !base_json_is_null(v)) fine &= read_key(m, prefix, v, &keys[i]);
    }
    return fine;
}

bool fe_scheduler_folder_meta(ir_module *m, const char *prefix, base_jval root, base_jval indexed) {
    const char *name = NULL;
    char key[64];
    base_jval v = base_json_require(root, "_class_name"),
              timesteps = base_json_get(root, "timesteps");
    if (!base_json_present(v)) return false;
    bool fine = sampler_class(v, &name);
    if (base_json_present(indexed)) fine = sampler_class(indexed, &name) && fine;
    snprintf(key, sizeof key, "%s.class", prefix);
    if (name) ir_meta_set_string(m, key, name);
    fine &= read_keys(m, prefix, root);
    if (base_json_is(timesteps, BASE_JSON_INT)) /* of GaussianDDPMScheduler */
        fine &= read_key(m, prefix, timesteps, &keys[SETTING_NUM_TRAIN_TIMESTEPS]);
    return fine;
}

bool fe_scheduler_section_meta(ir_module *m, const char *prefix, base_jval root,
                               const char *const *more, size_t n) {
    const char *known[COUNT(keys) + 9] = {"class"}, *name = NULL;
    char key[64];
    size_t count = 1;
    base_jval v = base_json_require(root, "class");
    if (!base_json_present(v)) return false;
    bool fine = sampler_class(v, &name);
    snprintf(key, sizeof key, "%s.class", prefix);
    if (name) ir_meta_set_string(m, key, name);
    fine &= read_keys(m, prefix, root);
    for (size_t i = 0; i < COUNT(keys); i++) known[count++] = keys[i].name;
    for (size_t i = 0; i < n && count < COUNT(known); i++) known[count++] = more[i];
    return !base_json_report_unknown_keys(root, known, count, BASE_ERROR) && fine;
}
