/* scheduler_config.json, or the sampler section of a description, as meta sampler.*; see
 * diffusers.h. Only keys that the file names are passed on: the rest are the class's defaults,
 * which the runtime knows (runtime/samplers/sampler_config.c). */
#include <math.h>
#include <string.h>

#include "base/suggest.h"
#include "frontend/diffusers/diffusers.h"
#include "runtime/abi/meta_keys.h"
#include "runtime/samplers/sampler_config.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- classes ---- */

/* The samplers: --sampling-method names and classes, by rt_sampler_id. */
static const struct {
    const char *name, *class_name;
} samplers[] = {
#define SAMPLER(ID, name, cls, ...) {name, cls},
#include "runtime/samplers/samplers.def"
};

/* Schedulers that diffusers has and ebru has not. */
static const struct {
    const char *class_name;
    rt_family family;
} not_built[] = {
#define NOT_BUILT(cls, FAMILY) {cls, RT_FAMILY_##FAMILY},
#include "runtime/samplers/samplers.def"
};

/* Older names of classes. */
static const struct {
    const char *old, *name;
} aliases[] = {{"GaussianDDPMScheduler", "DDPMScheduler"},
               {"GaussianDDIMScheduler", "DDIMScheduler"}};

/* -1: none is built by that name of a class, or with `names` of a sampler. */
static int sampler_find(const char *word, bool with_names) {
    for (size_t i = 0; i < COUNT(aliases); i++)
        if (strcmp(word, aliases[i].old) == 0) word = aliases[i].name;
    for (size_t i = 0; i < COUNT(samplers); i++)
        if (strcmp(word, samplers[i].class_name) == 0 ||
            (with_names && strcmp(word, samplers[i].name) == 0))
            return (int)i;
    return -1;
}

/* Says that `word` is no sampler: at `at` (of a description, or of a folder), or at the option that
 * asked for it. */
static void refuse_class(base_diag *d, base_jval at, bool described, const char *word) {
    const char *names[2 * COUNT(samplers)], *known = "unknown";
    char hint[BASE_HINT_MAX];
    base_str list = {0};
    for (size_t i = 0; i < COUNT(samplers); i++) {
        names[2 * i] = samplers[i].name;
        names[2 * i + 1] = samplers[i].class_name;
        base_str_addf(&list, "%s%s (%s)", i ? ", " : "", samplers[i].class_name, samplers[i].name);
    }
    const char *near = base_suggest_class(word, names, COUNT(names));
    for (size_t i = 0; i < COUNT(not_built); i++) {
        if (strcmp(word, not_built[i].class_name) != 0) continue;
        known = "unsupported";
        near = NULL; /* a name of its own, no misspelling */
    }
    base_hint(near, hint);
    word = base_escape(word, strlen(word));
    if (base_json_present(at))
        base_json_error(at, "%s %s '%s'%s", known, described ? "sampler" : "scheduler", word, hint);
    else
        base_error(d, NULL, "--sampler: %s sampler '%s'%s", known, word, hint);
    base_note(d, NULL, "supported are %s", list.data);
    if (!described && base_json_present(at))
        base_note(d, NULL,
                  "--sampler=NAME runs another one with the settings of this file, "
                  "--scheduler-config=FILE takes another file");
    base_str_free(&list);
}

/* The class in a file, or the name of a sampler in a description. */
static bool read_class(base_jval v, bool with_names, int *id) {
    const char *word;
    if (!base_json_string(v, &word)) return false;
    *id = sampler_find(word, with_names);
    if (*id < 0) refuse_class(base_json_diag(v.doc), v, with_names, word);
    return *id >= 0;
}

/* What the denoiser of a file's class answers; noise when nobody knows the class. */
static rt_family family_of(const char *class_name) {
    int id = sampler_find(class_name, false);
    if (id >= 0) {
        rt_sampler_config c = rt_sampler_defaults((rt_sampler_id)id);
        return rt_sampler_family(&c);
    }
    for (size_t i = 0; i < COUNT(not_built); i++)
        if (strcmp(class_name, not_built[i].class_name) == 0) return not_built[i].family;
    return RT_FAMILY_NOISE;
}

/* ---- keys ---- */

typedef struct sampler_key {
    const char *name;
    ebru_meta_type type;
    int64_t least, most; /* of an INT */
    const char *words;   /* of a CHOICE */
} sampler_key;

/* By rt_setting. */
static const sampler_key keys[] = {
#define SETTING(ID, key, TYPE, least, most, words, CLASSES, place, doc)                            \
    {key, EBRU_META_TYPE_##TYPE, least, most, words},
#include "runtime/abi/meta_keys.def"
};
enum { MAX_WORDS = 6 };

/* Keys of the classes that are no settings here. */
static const struct {
    const char *name;
    unsigned samplers;
    const char *harmless;
} unbuilt[] = {
#define UNBUILT(key, CLASSES, harmless) {key, CLASSES, harmless},
#include "runtime/abi/meta_keys.def"
};

/* One reading of a file: whose settings, and where they go. */
typedef struct reading {
    ir_module *m;
    const char *prefix; /* of the properties */
    rt_sampler_config config;
} reading;

static bool has_key(const reading *r, unsigned samplers_of_key) {
    return samplers_of_key >> r->config.sampler & 1;
}

/* PREFIX.KEY, from the module's arena. */
static const char *property(const reading *r, const char *key) {
    return base_arena_printf(r->m->arena, "%s.%s", r->prefix, key);
}

/* Sets the property, and the setting of the configuration that is checked as a whole later. */
static void set_text(reading *r, const sampler_key *k, const char *text) {
    ir_meta_set_string(r->m, property(r, k->name), text);
    rt_sampler_config_set(&r->config, k->name, base_arena_strdup(r->m->arena, text), 0, NULL);
}

/* As many numbers as timesteps were trained, or any list of steps, as one text of float32 values.
 */
static bool read_numbers(reading *r, base_jval v, const sampler_key *k) {
    if (!base_json_expect(v, BASE_JSON_ARRAY)) return false;
    size_t n = base_json_length(v);
    if (k == &keys[RT_SETTING_TRAINED_BETAS] && n != (size_t)r->config.num_train_timesteps) {
        base_json_error(v, "'%s' has %zu entries, 'num_train_timesteps' is %d", k->name, n,
                        (int)r->config.num_train_timesteps);
        return false;
    }
    base_str text = {0};
    bool fine = true;
    for (size_t i = 0; fine && i < n; i++) {
        double number;
        fine = base_json_double(base_json_item(v, i), &number);
        if (fine) base_str_addf(&text, "%s%.9g", i ? " " : "", (double)(float)number);
    }
    if (fine && n) set_text(r, k, text.data);
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

static bool read_word(reading *r, base_jval v, const sampler_key *k) {
    const char *word, *words[MAX_WORDS];
    char hint[BASE_HINT_MAX];
    if (!base_json_string(v, &word)) return false;
    if (ebru_meta_choice(k->words, word) >= 0) {
        set_text(r, k, word);
        return true;
    }
    size_t n = split(r->m->arena, k->words, words);
    base_hint(base_suggest(word, words, n), hint);
    base_json_error(v, "unsupported %s '%s'%s", k->name, base_escape(word, strlen(word)), hint);
    base_str list = {0};
    for (size_t i = 0; i < n; i++) base_str_addf(&list, "%s%s", i ? ", " : "", words[i]);
    base_note(base_json_diag(v.doc), NULL, "supported are %s", list.data);
    base_str_free(&list);
    return false;
}

static bool read_key(reading *r, base_jval v, const sampler_key *k) {
    const char *key = property(r, k->name);
    int64_t integer;
    double number = 0;
    bool flag;
    switch (k->type) {
    case EBRU_META_TYPE_INT:
        if (!base_json_int(v, &integer, k->least, k->most)) return false;
        ir_meta_set_int(r->m, key, integer);
        number = (double)integer;
        break;
    case EBRU_META_TYPE_FLOAT:
        if (k == &keys[RT_SETTING_LAMBDA_MIN_CLIPPED] && base_json_any_double(v, &number) &&
            number == -INFINITY)
            return true; /* the default, which no property can say */
        if (!base_json_double(v, &number)) return false;
        ir_meta_set_float(r->m, key, number);
        break;
    case EBRU_META_TYPE_FLAG:
        if (!base_json_bool(v, &flag)) return false;
        ir_meta_set_int(r->m, key, flag);
        number = flag;
        break;
    case EBRU_META_TYPE_NUMBERS: return read_numbers(r, v, k);
    case EBRU_META_TYPE_CHOICE: return read_word(r, v, k);
    case EBRU_META_TYPE_STRING: ICE("no setting is any string: %s", key);
    }
    rt_sampler_config_set(&r->config, k->name, NULL, number, NULL);
    return true;
}

/* Whether read_key would take the value, in silence. */
static bool would_fit(base_jval v, const sampler_key *k) {
    base_json_kind kind = base_json_kind_of(v);
    const char *word;
    int64_t integer;
    double number;
    switch (k->type) {
    case EBRU_META_TYPE_INT:
        return kind == BASE_JSON_INT && base_json_double(v, &number) &&
               number >= (double)k->least && number <= (double)k->most &&
               base_json_int(v, &integer, k->least, k->most);
    case EBRU_META_TYPE_FLOAT:
        return (kind == BASE_JSON_INT || kind == BASE_JSON_REAL) &&
               base_json_any_double(v, &number) && isfinite(number);
    case EBRU_META_TYPE_FLAG: return kind == BASE_JSON_BOOL;
    case EBRU_META_TYPE_CHOICE:
        return kind == BASE_JSON_STRING && base_json_string(v, &word) &&
               ebru_meta_choice(k->words, word) >= 0;
    case EBRU_META_TYPE_NUMBERS:
        if (kind != BASE_JSON_ARRAY || k == &keys[RT_SETTING_TRAINED_BETAS]) return false;
        for (base_jval i = base_json_first(v); base_json_present(i); i = base_json_next(i))
            if ((!base_json_is(i, BASE_JSON_INT) && !base_json_is(i, BASE_JSON_REAL)) ||
                !base_json_any_double(i, &number) || !isfinite(number))
                return false;
        return true;
    case EBRU_META_TYPE_STRING: break;
    }
    return false;
}

/* A key of another class does nothing here. It is kept for --sampling-method where it can be. */
static bool read_foreign_key(reading *r, base_jval v, const sampler_key *k) {
    return would_fit(v, k) ? read_key(r, v, k) : true;
}

/* Whether the value of an UNBUILT key changes nothing. */
static bool is_harmless(base_jval v, const char *harmless) {
    const char *word = NULL;
    bool flag;
    if (base_json_is_null(v) || strcmp(harmless, "*") == 0) return true;
    if (base_json_is(v, BASE_JSON_BOOL) && base_json_bool(v, &flag)) word = flag ? "true" : "false";
    if (base_json_is(v, BASE_JSON_STRING)) base_json_string(v, &word);
    return word && ebru_meta_choice(harmless, word) >= 0;
}

static bool read_unbuilt(const reading *r, base_jval root) {
    bool fine = true;
    for (size_t i = 0; i < COUNT(unbuilt); i++) {
        base_jval v = base_json_get(root, unbuilt[i].name);
        if (!base_json_present(v) || !has_key(r, unbuilt[i].samplers) ||
            is_harmless(v, unbuilt[i].harmless))
            continue;
        base_json_error(v, "unsupported: this value of '%s'", unbuilt[i].name);
        base_str list = {0};
        for (const char *w = unbuilt[i].harmless; *w; w++)
            base_str_addf(&list, *w == '|' ? ", " : "%c", *w);
        base_note(base_json_diag(root.doc), NULL, "supported is %s", list.data);
        base_str_free(&list);
        fine = false;
    }
    return fine;
}

/* Where what the check of the whole says belongs: the first key of the file that it names. */
static base_jval place_of(base_jval root, const char *message) {
    for (size_t i = 0; i < COUNT(keys); i++) {
        base_jval v = base_json_get(root, keys[i].name);
        if (base_json_present(v) && strstr(message, keys[i].name)) return v;
    }
    return root;
}

/* Everything but the class, which is r->config's. `trained`: the key of num_train_timesteps. */
static bool read_keys(reading *r, base_jval root, const char *trained) {
    bool fine = read_unbuilt(r, root);
    for (size_t i = 0; i < COUNT(keys); i++) {
        base_jval v = base_json_get(root, keys[i].name);
        if (i == RT_SETTING_NUM_TRAIN_TIMESTEPS && !base_json_present(v))
            v = base_json_get(root, trained);
        if (!base_json_present(v) || base_json_is_null(v)) continue;
        fine &= has_key(r, rt_setting_samplers((rt_setting)i)) ? read_key(r, v, &keys[i])
                                                               : read_foreign_key(r, v, &keys[i]);
    }
    rt_error err;
    if (!fine || rt_sampler_config_check(&r->config, &err) == RT_OK) return fine;
    base_json_error(place_of(root, err.message), "%s", err.message);
    return false;
}

static void set_class(reading *r, rt_sampler_id id) {
    r->config = rt_sampler_defaults(id);
    ir_meta_set_string(r->m, property(r, "class"), samplers[id].name);
}

/* Which sampler runs, by what asks for it: the option, the pipeline's constructor, the index, the
 * file. */
static bool choose_class(base_jval root, const fe_scheduler_choice *choice, int *id) {
    base_jval v = base_json_present(choice->indexed) ? choice->indexed
                                                     : base_json_require(root, "_class_name");
    base_diag *d = base_json_diag(root.doc);
    const char *word;
    if (!base_json_present(v) || !base_json_string(v, &word)) return false;
    if (choice->sampler) {
        *id = sampler_find(choice->sampler, true);
        if (*id < 0) {
            refuse_class(d, (base_jval){0}, false, choice->sampler);
            return false;
        }
        rt_family wants = family_of(samplers[*id].class_name);
        if (family_of(word) == wants) return true;
        base_error(d, NULL, "--sampler: '%s' is not for this model, whose scheduler is '%s': %s",
                   choice->sampler, base_escape(word, strlen(word)),
                   wants == RT_FAMILY_NOISE ? "it cannot run flow matching"
                                            : "it runs flow matching only");
        return false;
    }
    if (!choice->forced) return read_class(v, false, id);
    *id = sampler_find(choice->forced, false);
    if (*id != sampler_find(word, false))
        base_json_warning(v, "a %s runs %s with these settings, whatever class is written here",
                          choice->pipeline, choice->forced);
    return true;
}

bool fe_scheduler_folder_meta(ir_module *m, const char *prefix, base_jval root,
                              const fe_scheduler_choice *choice) {
    reading r = {.m = m, .prefix = prefix};
    int id;
    if (!base_json_expect(root, BASE_JSON_OBJECT)) return false;
    base_json_get(root, "_class_name");
    if (!choose_class(root, choice, &id)) return false;
    set_class(&r, (rt_sampler_id)id);
    bool fine = read_keys(&r, root, "timesteps"); /* of GaussianDDPMScheduler */
    fe_config_unknown(root, NULL, 0);
    return fine;
}

bool fe_scheduler_section_meta(ir_module *m, const char *prefix, base_jval root,
                               const char *const *more, size_t n) {
    const char *known[COUNT(keys) + 9] = {"class"};
    reading r = {.m = m, .prefix = prefix};
    size_t count = 1;
    int id;
    base_jval v = base_json_require(root, "class");
    if (!base_json_present(v)) return false;
    bool fine = read_class(v, true, &id);
    if (fine) {
        set_class(&r, (rt_sampler_id)id);
        fine = read_keys(&r, root, "num_train_timesteps");
    }
    for (size_t i = 0; i < COUNT(keys); i++) known[count++] = keys[i].name;
    for (size_t i = 0; i < n && count < COUNT(known); i++) known[count++] = more[i];
    return !base_json_report_unknown_keys(root, known, count, BASE_ERROR) && fine;
}
