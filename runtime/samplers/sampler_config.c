/* Scheduler configurations: class defaults, keys of scheduler_config.json, changing the class. */
#include "runtime/samplers/sampler_config.h"
#include "runtime/abi/meta_keys.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const struct {
    const char *name, *cls, *label;
} names[RT_SAMPLER_COUNT] = {
#define SAMPLER(ID, name, cls, history, label) {name, cls, label},
#include "runtime/samplers/samplers.def"
#undef SAMPLER
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
    return id == RT_SAMPLER_DDIM;
}

rt_sampler_config rt_sampler_defaults(rt_sampler_id id) {
    rt_sampler_config c = {
        .beta_start = 1e-4,
        .beta_end = 0.02,
        .clip_sample_range = 1,
        .shift = 1,
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
    case RT_SAMPLER_UNIPC:
        c.timestep_spacing = RT_SPACING_LINSPACE;
        c.flags = RT_SAMPLER_LOWER_ORDER_FINAL;
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

static void copy_flag(rt_sampler_config *to, const rt_sampler_config *from, uint32_t given,
                      uint32_t flag) {
    if (from->given & given) to->flags = (to->flags & ~flag) | (from->flags & flag);
}

rt_sampler_config rt_sampler_switch(const rt_sampler_config *from, rt_sampler_id id) {
    if (from->sampler == (int32_t)id) return *from;
    rt_sampler_config c = rt_sampler_defaults(id);
    uint32_t g = from->given;
    c.given = g;
    c.eta = from->eta;
    if (g & RT_GIVEN_NUM_TRAIN_TIMESTEPS) c.num_train_timesteps = from->num_train_timesteps;
    if (g & RT_GIVEN_BETA_START) c.beta_start = from->beta_start;
    if (g & RT_GIVEN_BETA_END) c.beta_end = from->beta_end;
    if (g & RT_GIVEN_BETA_SCHEDULE) c.beta_schedule = from->beta_schedule;
    if (g & RT_GIVEN_PREDICTION_TYPE) c.prediction_type = from->prediction_type;
    if (g & RT_GIVEN_TIMESTEP_SPACING) c.timestep_spacing = from->timestep_spacing;
    if (g & RT_GIVEN_STEPS_OFFSET) c.steps_offset = from->steps_offset;
    if (g & RT_GIVEN_VARIANCE_TYPE) c.variance_type = from->variance_type;
    if (g & RT_GIVEN_CLIP_SAMPLE_RANGE) c.clip_sample_range = from->clip_sample_range;
    if (g & RT_GIVEN_SHIFT) c.shift = from->shift;
    if (g & RT_GIVEN_ORIGINAL_STEPS) c.original_inference_steps = from->original_inference_steps;
    if (g & RT_GIVEN_TIMESTEP_SCALING) c.timestep_scaling = from->timestep_scaling;
    if (g & RT_GIVEN_SOLVER_ORDER) c.solver_order = from->solver_order;
    if (g & RT_GIVEN_ALGORITHM) c.algorithm_type = from->algorithm_type;
    if (g & RT_GIVEN_SOLVER_TYPE) c.solver_type = from->solver_type;
    if (g & RT_GIVEN_TRAINED_BETAS) c.trained_betas = from->trained_betas;
    if (g & RT_GIVEN_SIGMA_RANGE) {
        c.sigma_min = from->sigma_min;
        c.sigma_max = from->sigma_max;
    }
    if (g & RT_GIVEN_THRESHOLDING) {
        c.dynamic_thresholding_ratio = from->dynamic_thresholding_ratio;
        c.sample_max_value = from->sample_max_value;
    }
    copy_flag(&c, from, RT_GIVEN_THRESHOLDING, RT_SAMPLER_THRESHOLDING);
    copy_flag(&c, from, RT_GIVEN_EXPONENTIAL_SIGMAS, RT_SAMPLER_USE_EXPONENTIAL_SIGMAS);
    copy_flag(&c, from, RT_GIVEN_BETA_SIGMAS, RT_SAMPLER_USE_BETA_SIGMAS);
    copy_flag(&c, from, RT_GIVEN_LU_LAMBDAS, RT_SAMPLER_USE_LU_LAMBDAS);
    copy_flag(&c, from, RT_GIVEN_INTERPOLATION, RT_SAMPLER_LOG_LINEAR);
    copy_flag(&c, from, RT_GIVEN_CLIP_SAMPLE, RT_SAMPLER_CLIP_SAMPLE);
    copy_flag(&c, from, RT_GIVEN_SET_ALPHA_TO_ONE, RT_SAMPLER_SET_ALPHA_TO_ONE);
    copy_flag(&c, from, RT_GIVEN_SKIP_PRK_STEPS, RT_SAMPLER_SKIP_PRK_STEPS);
    copy_flag(&c, from, RT_GIVEN_USE_KARRAS_SIGMAS, RT_SAMPLER_USE_KARRAS_SIGMAS);
    copy_flag(&c, from, RT_GIVEN_LOWER_ORDER_FINAL, RT_SAMPLER_LOWER_ORDER_FINAL);
    copy_flag(&c, from, RT_GIVEN_EULER_AT_FINAL, RT_SAMPLER_EULER_AT_FINAL);
    copy_flag(&c, from, RT_GIVEN_RESCALE_ZERO_SNR, RT_SAMPLER_RESCALE_ZERO_SNR);
    copy_flag(&c, from, RT_GIVEN_USE_CLIPPED_OUTPUT, RT_SAMPLER_USE_CLIPPED_OUTPUT);
    copy_flag(&c, from, RT_GIVEN_FINAL_SIGMAS, RT_SAMPLER_FINAL_SIGMA_MIN);
    return c;
}

/* ---- keys ---- */

/* One key: where its value goes. */
static const struct key_row {
    const char *key;
    ebru_meta_type type;
    const char *words;
    uint32_t given, flag; /* flag: the value is that bit of `flags`; else it is at `offset` */
    size_t offset;
} keys[] = {
#define FIELD(name) 0, offsetof(rt_sampler_config, name)
#define BIT(name)   RT_SAMPLER_##name, 0
#define SETTING(ID, key, TYPE, least, most, words, GIVEN, place, doc)                              \
    {key, EBRU_META_TYPE_##TYPE, words, RT_GIVEN_##GIVEN, place},
#include "runtime/abi/meta_keys.def"
#undef FIELD
#undef BIT
};

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
    if (!s) c->given |= row->given;
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
