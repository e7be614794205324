/* Scheduler configurations: class defaults, keys of scheduler_config.json, changing the class. */
#include "runtime/samplers/sampler_config.h"

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
    copy_flag(&c, from, RT_GIVEN_FINAL_SIGMAS, RT_SAMPLER_FINAL_SIGMA_MIN);
    return c;
}

/* ---- keys ---- */

enum value_kind { WHOLE, REAL, FLAG, CHOICE, TEXT, MUST };

/* One key: where its value goes. MUST: the feature is not implemented; `choices` lists the string
 * values (number 0 and false are always allowed) with which it changes nothing. */
static const struct key_row {
    const char *key;
    enum value_kind kind;
    uint32_t given, flag;
    size_t offset;
    const char *choices; /* separated by '|', in the order of the enum */
} keys[] = {
#define FIELD(name) offsetof(rt_sampler_config, name)
    {"num_train_timesteps", WHOLE, RT_GIVEN_NUM_TRAIN_TIMESTEPS, 0, FIELD(num_train_timesteps),
     NULL},
    {"steps_offset", WHOLE, RT_GIVEN_STEPS_OFFSET, 0, FIELD(steps_offset), NULL},
    {"solver_order", WHOLE, RT_GIVEN_SOLVER_ORDER, 0, FIELD(solver_order), NULL},
    {"original_inference_steps", WHOLE, RT_GIVEN_ORIGINAL_STEPS, 0, FIELD(original_inference_steps),
     NULL},
    {"beta_start", REAL, RT_GIVEN_BETA_START, 0, FIELD(beta_start), NULL},
    {"beta_end", REAL, RT_GIVEN_BETA_END, 0, FIELD(beta_end), NULL},
    {"clip_sample_range", REAL, RT_GIVEN_CLIP_SAMPLE_RANGE, 0, FIELD(clip_sample_range), NULL},
    {"shift", REAL, RT_GIVEN_SHIFT, 0, FIELD(shift), NULL},
    {"timestep_scaling", REAL, RT_GIVEN_TIMESTEP_SCALING, 0, FIELD(timestep_scaling), NULL},
    {"clip_sample", FLAG, RT_GIVEN_CLIP_SAMPLE, RT_SAMPLER_CLIP_SAMPLE, 0, NULL},
    {"set_alpha_to_one", FLAG, RT_GIVEN_SET_ALPHA_TO_ONE, RT_SAMPLER_SET_ALPHA_TO_ONE, 0, NULL},
    {"skip_prk_steps", FLAG, RT_GIVEN_SKIP_PRK_STEPS, RT_SAMPLER_SKIP_PRK_STEPS, 0, NULL},
    {"use_karras_sigmas", FLAG, RT_GIVEN_USE_KARRAS_SIGMAS, RT_SAMPLER_USE_KARRAS_SIGMAS, 0, NULL},
    {"lower_order_final", FLAG, RT_GIVEN_LOWER_ORDER_FINAL, RT_SAMPLER_LOWER_ORDER_FINAL, 0, NULL},
    {"euler_at_final", FLAG, RT_GIVEN_EULER_AT_FINAL, RT_SAMPLER_EULER_AT_FINAL, 0, NULL},
    {"rescale_betas_zero_snr", FLAG, RT_GIVEN_RESCALE_ZERO_SNR, RT_SAMPLER_RESCALE_ZERO_SNR, 0,
     NULL},
    {"beta_schedule", CHOICE, RT_GIVEN_BETA_SCHEDULE, 0, FIELD(beta_schedule),
     "linear|scaled_linear|squaredcos_cap_v2"},
    {"prediction_type", CHOICE, RT_GIVEN_PREDICTION_TYPE, 0, FIELD(prediction_type),
     "epsilon|v_prediction|sample"},
    {"timestep_spacing", CHOICE, RT_GIVEN_TIMESTEP_SPACING, 0, FIELD(timestep_spacing),
     "linspace|leading|trailing"},
    {"variance_type", CHOICE, RT_GIVEN_VARIANCE_TYPE, 0, FIELD(variance_type),
     "fixed_small|fixed_large|fixed_small_log"},
    {"final_sigmas_type", CHOICE, RT_GIVEN_FINAL_SIGMAS, RT_SAMPLER_FINAL_SIGMA_MIN, 0,
     "zero|sigma_min"},
    {"algorithm_type", CHOICE, RT_GIVEN_ALGORITHM, 0, FIELD(algorithm_type),
     "dpmsolver++|dpmsolver|sde-dpmsolver++|sde-dpmsolver|deis"},
    {"solver_type", CHOICE, RT_GIVEN_SOLVER_TYPE, 0, FIELD(solver_type),
     "midpoint|heun|bh2|bh1|logrho"},
    {"interpolation_type", CHOICE, RT_GIVEN_INTERPOLATION, RT_SAMPLER_LOG_LINEAR, 0,
     "linear|log_linear"},
    {"use_exponential_sigmas", FLAG, RT_GIVEN_EXPONENTIAL_SIGMAS, RT_SAMPLER_USE_EXPONENTIAL_SIGMAS,
     0, NULL},
    {"use_beta_sigmas", FLAG, RT_GIVEN_BETA_SIGMAS, RT_SAMPLER_USE_BETA_SIGMAS, 0, NULL},
    {"use_lu_lambdas", FLAG, RT_GIVEN_LU_LAMBDAS, RT_SAMPLER_USE_LU_LAMBDAS, 0, NULL},
    {"sigma_min", REAL, RT_GIVEN_SIGMA_RANGE, 0, FIELD(sigma_min), NULL},
    {"sigma_max", REAL, RT_GIVEN_SIGMA_RANGE, 0, FIELD(sigma_max), NULL},
    {"thresholding", FLAG, RT_GIVEN_THRESHOLDING, RT_SAMPLER_THRESHOLDING, 0, NULL},
    {"dynamic_thresholding_ratio", REAL, RT_GIVEN_THRESHOLDING, 0,
     FIELD(dynamic_thresholding_ratio), NULL},
    {"sample_max_value", REAL, RT_GIVEN_THRESHOLDING, 0, FIELD(sample_max_value), NULL},
    {"trained_betas", TEXT, RT_GIVEN_TRAINED_BETAS, 0, FIELD(trained_betas), NULL},
    {"predict_x0", MUST, 0, 1, 0, NULL},
    {"use_flow_sigmas", MUST, 0, 0, 0, NULL},
    {"use_dynamic_shifting", MUST, 0, 0, 0, NULL},
    {"invert_sigmas", MUST, 0, 0, 0, NULL},
    {"shift_terminal", MUST, 0, 0, 0, NULL},
    {"stochastic_sampling", MUST, 0, 0, 0, NULL},
    {"timestep_type", MUST, 0, 0, 0, "discrete"},
#undef FIELD
};

/* Index of `text` in "a|b|c", -1 if it is not there. */
static int choice(const char *list, const char *text) {
    size_t length = strlen(text);
    for (int index = 0; list; index++) {
        const char *bar = strchr(list, '|');
        size_t n = bar ? (size_t)(bar - list) : strlen(list);
        if (n == length && memcmp(list, text, n) == 0) return index;
        list = bar ? bar + 1 : NULL;
    }
    return -1;
}

static rt_status set_key(rt_sampler_config *c, const struct key_row *row, const char *text,
                         double number, rt_error *err) {
    char *field = (char *)c + row->offset;
    if (row->kind == MUST) {
        if (text ? row->choices && choice(row->choices, text) >= 0
                 : (number != 0) == (row->flag != 0))
            return RT_OK;
        return rt_fail(err, RT_ERR_INPUT, "unsupported scheduler setting %s%s%.40s", row->key,
                       text ? " = " : "", text ? text : "");
    }
    if (row->kind == CHOICE) {
        int index = text ? choice(row->choices, text) : -1;
        if (index < 0)
            return rt_fail(err, RT_ERR_INPUT, "unsupported %s '%.40s' (supported: %s)", row->key,
                           text ? text : "", row->choices);
        int32_t value = (int32_t)index;
        if (row->flag)
            c->flags = (c->flags & ~row->flag) | (value ? row->flag : 0);
        else
            memcpy(field, &value, sizeof value);
    } else if (row->kind == TEXT) {
        if (!text) return rt_fail(err, RT_ERR_INPUT, "%s must be a text", row->key);
        memcpy(field, &text, sizeof text);
    } else if (text || !isfinite(number)) {
        return rt_fail(err, RT_ERR_INPUT, "%s must be a number", row->key);
    } else if (row->kind == FLAG) {
        c->flags = (c->flags & ~row->flag) | (number != 0 ? row->flag : 0);
    } else if (row->kind == REAL) {
        memcpy(field, &number, sizeof number);
    } else {
        if (number != floor(number) || fabs(number) > 1e6)
            return rt_fail(err, RT_ERR_INPUT, "%s must be a whole number of at most 1000000",
                           row->key);
        int32_t value = (int32_t)number;
        memcpy(field, &value, sizeof value);
    }
    c->given |= row->given;
    return RT_OK;
}

rt_status rt_sampler_config_set(rt_sampler_config *config, const char *key, const char *text,
                                double number, rt_error *err) {
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i].key, key) == 0) return set_key(config, &keys[i], text, number, err);
    return RT_OK;
}
