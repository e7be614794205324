/* Scheduler configurations: class defaults, keys of scheduler_config.json, changing the class. */
#include "runtime/samplers/sampler_config.h"
#include "runtime/abi/meta_keys.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const struct {
    const char *name, *cls, *label;
    rt_family family;
    bool eta;
} names[RT_SAMPLER_COUNT] = {
#define READS_ETA   true
#define IGNORES_ETA false
#define SAMPLER(ID, name, cls, history, label, FAMILY, eta)                                        \
    {name, cls, label, RT_FAMILY_##FAMILY, eta},
#include "runtime/samplers/samplers.def"
#undef READS_ETA
#undef IGNORES_ETA
};

int rt_sampler_by_name(const char *name) {
    for (int i = 0; i < RT_SAMPLER_COUNT; i++)
        if (strcmp(names[i].name, name) == 0) return i;
    return -1;
}

int rt_sampler_by_class(const char *cls) {
    for (int i = 0; i < RT_SAMPLER_COUNT; i++)
        if (strcmp(names[i].cls, cls) == 0) return i;
    return -1;
}

const char *rt_sampler_name(rt_sampler_id id) {
    return names[id].name;
}
const char *rt_sampler_label(rt_sampler_id id) {
    return names[id].label;
}

bool rt_sampler_reads_eta(rt_sampler_id id) {
    return names[id].eta;
}

rt_sampler_config rt_sampler_defaults(rt_sampler_id id) {
    rt_sampler_config c = {
        .beta_start = 1e-4,
        .beta_end = 0.02,
        .clip_sample_range = 1,
        .shift = 1,
        .flow_shift = 1,
        .lambda_min_clipped = -INFINITY,
        .timestep_scaling = 10,
        .strength = 1,
        .dynamic_thresholding_ratio = 0.995,
        .sample_max_value = 1,
        .version = RT_SAMPLER_CONFIG_VERSION,
        .sampler = (int32_t)id,
        .prediction_type = RT_PREDICT_EPSILON,
        .beta_schedule = RT_BETA_LINEAR,
        .timestep_spacing = RT_SPACING_LEADING,
        .variance_type = RT_VARIANCE_FIXED_SMALL,
        .num_train_timesteps = 1000,
        .solver_order = 2,
        .original_inference_steps = 50,
    };
    switch (id) {
    case RT_SAMPLER_DDIM: c.flags = RT_SAMPLER_CLIP_SAMPLE | RT_SAMPLER_SET_ALPHA_TO_ONE; break;
    case RT_SAMPLER_DDPM: c.flags = RT_SAMPLER_CLIP_SAMPLE; break;
    case RT_SAMPLER_HEUN:
        c.beta_start = 0.00085;
        c.beta_end = 0.012;
        c.timestep_spacing = RT_SPACING_LINSPACE;
        break;
    case RT_SAMPLER_EULER:
    case RT_SAMPLER_EULER_A:
    case RT_SAMPLER_LMS: c.timestep_spacing = RT_SPACING_LINSPACE; break;
    case RT_SAMPLER_DPMPP_2M:
        c.timestep_spacing = RT_SPACING_LINSPACE;
        c.flags = RT_SAMPLER_LOWER_ORDER_FINAL;
        break;
    case RT_SAMPLER_UNIPC:
        c.timestep_spacing = RT_SPACING_LINSPACE;
        c.flags = RT_SAMPLER_LOWER_ORDER_FINAL | RT_SAMPLER_PREDICT_X0;
        c.solver_type = RT_SOLVER_BH2;
        break;
    case RT_SAMPLER_LCM:
        c.beta_start = 0.00085;
        c.beta_end = 0.012;
        c.beta_schedule = RT_BETA_SCALED_LINEAR;
        c.flags = RT_SAMPLER_SET_ALPHA_TO_ONE;
        break;
    case RT_SAMPLER_PNDM:
    case RT_SAMPLER_FLOW:
    case RT_SAMPLER_FLOW_EULER:
    case RT_SAMPLER_COUNT: break;
    }
    return c;
}

/* ---- settings ---- */

/* One key: where its value goes, and who reads it. */
static const struct key_row {
    const char *key;
    ebru_meta_type type;
    const char *words;
    unsigned samplers; /* RT_OF */
    uint32_t flag;     /* the value is that bit of `flags`; else it is at `offset` */
    size_t offset;
} keys[RT_SETTING_COUNT] = {
#define FIELD(name) 0, offsetof(rt_sampler_config, name)
#define BIT(name)   RT_SAMPLER_##name, 0
#define SETTING(ID, key, TYPE, least, most, words, CLASSES, place, doc)                            \
    {key, EBRU_META_TYPE_##TYPE, words, CLASSES, place},
#include "runtime/abi/meta_keys.def"
#undef FIELD
#undef BIT
};

unsigned rt_setting_samplers(rt_setting setting) {
    return keys[setting].samplers;
}

static size_t field_size(const struct key_row *row) {
    if (row->type == EBRU_META_TYPE_NUMBERS) return sizeof(const char *);
    return row->type == EBRU_META_TYPE_FLOAT ? sizeof(double) : sizeof(int32_t);
}

static void copy_setting(rt_sampler_config *to, const rt_sampler_config *from,
                         const struct key_row *row) {
    if (row->flag)
        to->flags = (to->flags & ~row->flag) | (from->flags & row->flag);
    else
        memcpy((char *)to + row->offset, (const char *)from + row->offset, field_size(row));
}

rt_sampler_config rt_sampler_switch(const rt_sampler_config *from, rt_sampler_id id) {
    if (from->sampler == (int32_t)id) return *from;
    rt_sampler_config c = rt_sampler_defaults(id);
    c.given = from->given;
    c.eta = from->eta;
    for (size_t i = 0; i < RT_SETTING_COUNT; i++)
        if (from->given >> i & 1) copy_setting(&c, from, &keys[i]);
    return c;
}

rt_sampler_config rt_sampler_effective(const rt_sampler_config *config) {
    rt_sampler_config c = *config, own = rt_sampler_defaults((rt_sampler_id)c.sampler);
    for (size_t i = 0; i < RT_SETTING_COUNT; i++)
        if (!(keys[i].samplers >> c.sampler & 1)) copy_setting(&c, &own, &keys[i]);
    return c;
}

rt_family rt_sampler_family(const rt_sampler_config *config) {
    rt_sampler_config c = rt_sampler_effective(config);
    if (c.prediction_type == RT_PREDICT_FLOW) return RT_FAMILY_FLOW;
    return names[c.sampler].family;
}

/* What the denoisers of a family answer, in words. */
static const char *const answers[] = {[RT_FAMILY_NOISE] = "noise, a picture or v",
                                      [RT_FAMILY_FLOW] = "the flow from data to noise",
                                      [RT_FAMILY_TO_DATA] = "the flow from noise to data"};

rt_status rt_sampler_fits(const rt_sampler_config *from, rt_sampler_id id, rt_error *err) {
    rt_sampler_config c = rt_sampler_switch(from, id);
    rt_family has = rt_sampler_family(from), wants = rt_sampler_family(&c);
    if (has != wants)
        return rt_fail(err, RT_ERR_INPUT,
                       "sampler '%s' is not for this model: it needs a network that predicts %s, "
                       "this one predicts %s",
                       names[id].name, answers[wants], answers[has]);
    return rt_sampler_config_check(&c, err);
}

/* ---- values ---- */

static void set_flag(rt_sampler_config *c, uint32_t flag, bool on) {
    c->flags = (c->flags & ~flag) | (on ? flag : 0);
}

static rt_status set_word(rt_sampler_config *c, const struct key_row *row, const char *text,
                          rt_error *err) {
    int index = text ? ebru_meta_choice(row->words, text) : -1;
    int32_t value = (int32_t)index;
    if (index < 0)
        return rt_fail(err, RT_ERR_INPUT, "unsupported %s '%.40s' (supported: %s)", row->key,
                       text ? text : "", row->words);
    if (row->flag)
        set_flag(c, row->flag, value != 0);
    else
        memcpy((char *)c + row->offset, &value, sizeof value);
    return RT_OK;
}

static rt_status set_number(rt_sampler_config *c, const struct key_row *row, double number,
                            rt_error *err) {
    char *field = (char *)c + row->offset;
    if (row->type == EBRU_META_TYPE_FLAG) {
        set_flag(c, row->flag, number != 0);
    } else if (row->type == EBRU_META_TYPE_FLOAT) {
        memcpy(field, &number, sizeof number);
    } else {
        if (number != floor(number) || fabs(number) > 1e6)
            return rt_fail(err, RT_ERR_INPUT, "%s must be a whole number of at most 1000000",
                           row->key);
        int32_t value = (int32_t)number;
        memcpy(field, &value, sizeof value);
    }
    return RT_OK;
}

static rt_status set_key(rt_sampler_config *c, const struct key_row *row, const char *text,
                         double number, rt_error *err) {
    rt_status s = RT_OK;
    if (row->type == EBRU_META_TYPE_CHOICE) {
        s = set_word(c, row, text, err);
    } else if (row->type == EBRU_META_TYPE_NUMBERS) {
        if (!text) return rt_fail(err, RT_ERR_INPUT, "%s must be a text", row->key);
        memcpy((char *)c + row->offset, &text, sizeof text);
    } else if (text || !isfinite(number)) {
        return rt_fail(err, RT_ERR_INPUT, "%s must be a number", row->key);
    } else {
        s = set_number(c, row, number, err);
    }
    if (!s) c->given |= UINT64_C(1) << (row - keys);
    return s;
}

static const struct key_row *key_find(const char *key) {
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i].key, key) == 0) return &keys[i];
    return NULL;
}

bool rt_sampler_config_knows(const char *key) {
    return key_find(key) != NULL;
}

rt_status rt_sampler_config_set(rt_sampler_config *config, const char *key, const char *text,
                                double number, rt_error *err) {
    const struct key_row *row = key_find(key);
    if (!row) return rt_fail(err, RT_ERR_INPUT, "no sampler has a setting '%.40s'", key);
    return set_key(config, row, text, number, err);
}

/* ---- whether they can be run ---- */

/* ONLY rows: words that not all samplers of their key know. */
static rt_status check_words(const rt_sampler_config *c, rt_error *err) {
    static const struct {
        const char *key, *word;
        unsigned samplers;
    } only[] = {
#define ONLY(key, word, CLASSES) {key, word, CLASSES},
#include "runtime/abi/meta_keys.def"
    };
    for (size_t i = 0; i < sizeof only / sizeof *only; i++) {
        const struct key_row *row = key_find(only[i].key);
        int32_t value;
        memcpy(&value, (const char *)c + row->offset, sizeof value);
        if (value != ebru_meta_choice(row->words, only[i].word) ||
            !(row->samplers >> c->sampler & 1) || only[i].samplers >> c->sampler & 1)
            continue;
        return rt_fail(err, RT_ERR_INPUT, "%s has no %s '%s'", names[c->sampler].cls, row->key,
                       only[i].word);
    }
    return RT_OK;
}

static bool in_range(int32_t value, int32_t last) {
    return value >= 0 && value <= last;
}

static rt_status check_numbers(const rt_sampler_config *c, rt_error *err) {
    if (!in_range(c->prediction_type, RT_PREDICT_FLOW) ||
        !in_range(c->beta_schedule, RT_BETA_EXP) ||
        !in_range(c->timestep_spacing, RT_SPACING_TRAILING) ||
        !in_range(c->variance_type, RT_VARIANCE_FIXED_SMALL_LOG) ||
        !in_range(c->algorithm_type, RT_ALGORITHM_DEIS) ||
        !in_range(c->solver_type, RT_SOLVER_LOGRHO))
        return rt_fail(err, RT_ERR_INPUT, "sampler settings are damaged: a choice is out of range");
    if (c->num_train_timesteps < 1 || c->num_train_timesteps > 1000000)
        return rt_fail(err, RT_ERR_INPUT, "num_train_timesteps %d is not within 1..1000000",
                       (int)c->num_train_timesteps);
    if (!(c->eta >= 0 && c->eta <= 1))
        return rt_fail(err, RT_ERR_INPUT, "eta %g is not within 0..1", c->eta);
    if (!(c->clip_sample_range > 0))
        return rt_fail(err, RT_ERR_INPUT, "clip_sample_range must be positive");
    if (!(c->beta_start >= 0 && c->beta_start < 1 && c->beta_end >= 0 && c->beta_end < 1))
        return rt_fail(err, RT_ERR_INPUT, "beta_start %g and beta_end %g must be within [0, 1)",
                       c->beta_start, c->beta_end);
    if (!(c->dynamic_thresholding_ratio >= 0 && c->dynamic_thresholding_ratio <= 1 &&
          c->sample_max_value > 0))
        return rt_fail(
            err, RT_ERR_INPUT,
            "dynamic_thresholding_ratio %g must be within 0..1, sample_max_value %g positive",
            c->dynamic_thresholding_ratio, c->sample_max_value);
    if (!(c->sigma_min >= 0 && c->sigma_max >= 0 &&
          (c->sigma_max == 0 || c->sigma_min <= c->sigma_max)))
        return rt_fail(err, RT_ERR_INPUT, "sigma_min %g and sigma_max %g are no range",
                       c->sigma_min, c->sigma_max);
    if (!(c->shift > 0 && c->flow_shift > 0))
        return rt_fail(err, RT_ERR_INPUT, "shift %g and flow_shift %g must be positive", c->shift,
                       c->flow_shift);
    if (!(c->shift_terminal >= 0 && c->shift_terminal < 1))
        return rt_fail(err, RT_ERR_INPUT, "shift_terminal %g is not within [0, 1)",
                       c->shift_terminal);
    return RT_OK;
}

/* Sigmas from 0 to 1 of DPM-Solver and UniPC. */
static rt_status check_flow(const rt_sampler_config *c, bool noise, rt_error *err) {
    uint32_t others =
        RT_SAMPLER_USE_EXPONENTIAL_SIGMAS | RT_SAMPLER_USE_BETA_SIGMAS | RT_SAMPLER_USE_LU_LAMBDAS;
    bool flow = c->flags & RT_SAMPLER_USE_FLOW_SIGMAS,
         predicts = c->prediction_type == RT_PREDICT_FLOW;
    if (c->sampler != RT_SAMPLER_UNIPC) others |= RT_SAMPLER_USE_KARRAS_SIGMAS;
    if (flow && c->flags & others)
        return rt_fail(err, RT_ERR_INPUT,
                       "use_flow_sigmas and other sigmas are not possible together");
    if (predicts && !flow)
        return rt_fail(err, RT_ERR_INPUT, "prediction_type flow_prediction needs use_flow_sigmas");
    if (predicts && noise)
        return rt_fail(err, RT_ERR_INPUT,
                       "prediction_type flow_prediction: the predicted noise cannot be integrated "
                       "(%s)",
                       c->sampler == RT_SAMPLER_UNIPC ? "predict_x0" : "algorithm_type");
    if (c->sampler == RT_SAMPLER_UNIPC && c->shift_terminal > 0 && !flow)
        return rt_fail(err, RT_ERR_INPUT, "shift_terminal needs use_flow_sigmas");
    return RT_OK;
}

/* DPM-Solver and UniPC. */
static rt_status check_solver(const rt_sampler_config *c, rt_error *err) {
    bool dpm = c->sampler == RT_SAMPLER_DPMPP_2M;
    int order = c->solver_order,
        most = dpm && c->algorithm_type == RT_ALGORITHM_SDE_DPMSOLVER ? 2 : 3;
    bool noise = dpm ? c->algorithm_type == RT_ALGORITHM_DPMSOLVER ||
                           c->algorithm_type == RT_ALGORITHM_SDE_DPMSOLVER
                     : !(c->flags & RT_SAMPLER_PREDICT_X0);
    if (order < 1 || order > most)
        return rt_fail(err, RT_ERR_INPUT, "solver_order %d is not supported (1 to %d)", order,
                       most);
    if (noise && !(c->flags & RT_SAMPLER_FINAL_SIGMA_MIN))
        return rt_fail(err, RT_ERR_INPUT,
                       dpm ? "algorithm_type dpmsolver and sde-dpmsolver need final_sigmas_type "
                             "sigma_min"
                           : "predict_x0 false needs final_sigmas_type sigma_min");
    if (isnan(c->lambda_min_clipped))
        return rt_fail(err, RT_ERR_INPUT, "lambda_min_clipped is not a number");
    return check_flow(c, noise, err);
}

rt_status rt_sampler_config_check(const rt_sampler_config *config, rt_error *err) {
    if (config->version != RT_SAMPLER_CONFIG_VERSION)
        return rt_fail(err, RT_ERR_INPUT, "sampler settings of version %u, expected %u",
                       (unsigned)config->version, RT_SAMPLER_CONFIG_VERSION);
    if (config->sampler < 0 || config->sampler >= RT_SAMPLER_COUNT)
        return rt_fail(err, RT_ERR_INPUT, "unknown sampler number %d", (int)config->sampler);
    rt_sampler_config c = rt_sampler_effective(config);
    rt_status s = check_numbers(&c, err);
    if (!s) s = check_words(&c, err);
    int spacings = (c.flags & RT_SAMPLER_USE_KARRAS_SIGMAS) != 0;
    spacings += (c.flags & RT_SAMPLER_USE_EXPONENTIAL_SIGMAS) != 0;
    spacings += (c.flags & RT_SAMPLER_USE_BETA_SIGMAS) != 0;
    if (!s && spacings > 1)
        return rt_fail(err, RT_ERR_INPUT,
                       "only one of use_karras_sigmas, use_exponential_sigmas and use_beta_sigmas "
                       "is possible");
    if (!s && RT_OF_SOLVERS >> c.sampler & 1) s = check_solver(&c, err);
    return s;
}

int rt_sampler_most_steps(const rt_sampler_config *config) {
    int train = config->num_train_timesteps, original = config->original_inference_steps;
    return config->sampler == RT_SAMPLER_LCM && original < train ? original : train;
}
