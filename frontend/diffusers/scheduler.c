/* scheduler_config.json, or the sampler section of a description, as meta sampler.*; see
 * diffusers.h. Only keys that the file names are passed on: the rest are the class's defaults,
 * which the runtime knows (runtime/samplers/sampler_config.c). */
#include <string.h>

#include "frontend/diffusers/diffusers.h"

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

typedef enum key_kind { INTEGER, NUMBER, FLAG, WORD, NUMBERS } key_kind;

typedef struct sampler_key {
    const char *name;
    key_kind kind;
    int64_t min, max;     /* INTEGER */
    const char *words[6]; /* WORD */
} sampler_key;

static const sampler_key keys[] = {
    {"num_train_timesteps", INTEGER, 1, 1000000, {0}},
    {"steps_offset", INTEGER, 0, 1000000, {0}},
    {"solver_order", INTEGER, 1, 3, {0}},
    {"original_inference_steps", INTEGER, 1, 1000000, {0}},
    {"beta_start", NUMBER, 0, 0, {0}},
    {"beta_end", NUMBER, 0, 0, {0}},
    {"clip_sample_range", NUMBER, 0, 0, {0}},
    {"shift", NUMBER, 0, 0, {0}},
    {"timestep_scaling", NUMBER, 0, 0, {0}},
    {"beta_schedule", WORD, 0, 0, {"linear", "scaled_linear", "squaredcos_cap_v2"}},
    {"prediction_type", WORD, 0, 0, {"epsilon", "v_prediction", "sample"}},
    {"timestep_spacing", WORD, 0, 0, {"linspace", "leading", "trailing"}},
    {"variance_type", WORD, 0, 0, {"fixed_small", "fixed_large", "fixed_small_log"}},
    {"final_sigmas_type", WORD, 0, 0, {"zero", "sigma_min"}},
    {"algorithm_type",
     WORD,
     0,
     0,
     {"dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver", "deis"}},
    {"solver_type", WORD, 0, 0, {"midpoint", "heun", "bh2", "bh1", "logrho"}},
    {"interpolation_type", WORD, 0, 0, {"linear", "log_linear"}},
    {"trained_betas", NUMBERS, 0, 0, {0}},
    {"sigma_min", NUMBER, 0, 0, {0}},
    {"sigma_max", NUMBER, 0, 0, {0}},
    {"dynamic_thresholding_ratio", NUMBER, 0, 0, {0}},
    {"sample_max_value", NUMBER, 0, 0, {0}},
    {"thresholding", FLAG, 0, 0, {0}},
    {"use_exponential_sigmas", FLAG, 0, 0, {0}},
    {"use_beta_sigmas", FLAG, 0, 0, {0}},
    {"use_lu_lambdas", FLAG, 0, 0, {0}},
    {"clip_sample", FLAG, 0, 0, {0}},
    {"set_alpha_to_one", FLAG, 0, 0, {0}},
    {"skip_prk_steps", FLAG, 0, 0, {0}},
    {"use_karras_sigmas", FLAG, 0, 0, {0}},
    {"lower_order_final", FLAG, 0, 0, {0}},
    {"euler_at_final", FLAG, 0, 0, {0}},
    {"rescale_betas_zero_snr", FLAG, 0, 0, {0}},
    {"use_clipped_model_output", FLAG, 0, 0, {0}},
};

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

/* trained_betas: as many numbers as timesteps were trained, as one text of float32 values. */
static bool read_numbers(ir_module *m, base_jval v, const char *key) {
    int64_t trained = ir_meta_int(m, "sampler.num_train_timesteps", 1000);
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

static bool read_key(ir_module *m, const char *prefix, base_jval v, const sampler_key *k) {
    char key[64];
    snprintf(key, sizeof key, "%s.%s", prefix, k->name);
    int64_t integer;
    double number;
    bool flag;
    size_t count = 0, i;
    switch (k->kind) {
    case INTEGER:
        if (!base_json_int(v, &integer, k->min, k->max)) return false;
        ir_meta_set_int(m, key, integer);
        return true;
    case NUMBER:
        if (!base_json_double(v, &number)) return false;
        ir_meta_set_float(m, key, number);
        return true;
    case FLAG:
        if (!base_json_bool(v, &flag)) return false;
        ir_meta_set_int(m, key, flag);
        return true;
    case NUMBERS: return read_numbers(m, v, key);
    case WORD: break;
    }
    while (count < COUNT(k->words) && k->words[count]) count++;
    if (!base_json_choice(v, k->name, k->words, count, &i)) return false;
    ir_meta_set_string(m, key, k->words[i]);
    return true;
}

/* Everything but the class. */
static bool read_keys(ir_module *m, const char *prefix, base_jval root) {
    bool fine = fe_config_unsupported(root, unsupported, COUNT(unsupported));
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
        fine &= read_key(m, prefix, timesteps, &keys[0]);
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
