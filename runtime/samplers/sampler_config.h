/* What a compiled model says about its sampler: plain constant data that the compiler emits and the
 * program reads. Field names are those of diffusers' scheduler_config.json. Fixed-width fields,
 * doubles first, no pointers but one. */
#ifndef EBRU_RUNTIME_SAMPLERS_SAMPLER_CONFIG_H
#define EBRU_RUNTIME_SAMPLERS_SAMPLER_CONFIG_H

#include "runtime/engine/status.h"

#include <stdbool.h>
#include <stdint.h>

#define RT_SAMPLER_CONFIG_VERSION 2u

/* One enumerator per row of samplers.def: RT_SAMPLER_DDIM ... */
typedef enum rt_sampler_id {
#define SAMPLER(ID, name, cls, history, label) RT_SAMPLER_##ID,
#include "runtime/samplers/samplers.def"
#undef SAMPLER
    RT_SAMPLER_COUNT
} rt_sampler_id;

typedef enum rt_prediction { RT_PREDICT_EPSILON, RT_PREDICT_V, RT_PREDICT_SAMPLE } rt_prediction;
typedef enum rt_beta_schedule {
    RT_BETA_LINEAR,
    RT_BETA_SCALED_LINEAR,
    RT_BETA_SQUAREDCOS_CAP_V2
} rt_beta_schedule;
typedef enum rt_spacing { RT_SPACING_LINSPACE, RT_SPACING_LEADING, RT_SPACING_TRAILING } rt_spacing;
typedef enum rt_variance {
    RT_VARIANCE_FIXED_SMALL,
    RT_VARIANCE_FIXED_LARGE,
    RT_VARIANCE_FIXED_SMALL_LOG
} rt_variance;
/* DPM-Solver: what the solver integrates, and whether noise is added (sde). */
typedef enum rt_algorithm {
    RT_ALGORITHM_DPMSOLVER_PP,
    RT_ALGORITHM_DPMSOLVER,
    RT_ALGORITHM_SDE_DPMSOLVER_PP,
    RT_ALGORITHM_SDE_DPMSOLVER,
    RT_ALGORITHM_DEIS /* as diffusers: another word for dpmsolver++ */
} rt_algorithm;
/* Second-order formula. Each class knows two of them and takes the other words for its first. */
typedef enum rt_solver {
    RT_SOLVER_MIDPOINT, /* DPM-Solver's first */
    RT_SOLVER_HEUN,
    RT_SOLVER_BH2, /* UniPC's first */
    RT_SOLVER_BH1,
    RT_SOLVER_LOGRHO
} rt_solver;

/* Bits of rt_sampler_config.flags. */
enum {
    RT_SAMPLER_CLIP_SAMPLE = 1u << 0,
    RT_SAMPLER_SET_ALPHA_TO_ONE = 1u << 1,
    RT_SAMPLER_SKIP_PRK_STEPS = 1u << 2,
    RT_SAMPLER_USE_KARRAS_SIGMAS = 1u << 3,
    RT_SAMPLER_LOWER_ORDER_FINAL = 1u << 4,
    RT_SAMPLER_EULER_AT_FINAL = 1u << 5,
    RT_SAMPLER_RESCALE_ZERO_SNR = 1u << 6,
    RT_SAMPLER_USE_CLIPPED_OUTPUT = 1u << 7, /* DDIM: recompute epsilon from the clipped x0 */
    RT_SAMPLER_FINAL_SIGMA_MIN = 1u << 8,    /* final_sigmas_type "sigma_min" instead of "zero" */
    RT_SAMPLER_USE_EXPONENTIAL_SIGMAS = 1u << 9,
    RT_SAMPLER_USE_BETA_SIGMAS = 1u << 10,
    RT_SAMPLER_USE_LU_LAMBDAS = 1u << 11,
    RT_SAMPLER_THRESHOLDING = 1u << 12,
    RT_SAMPLER_LOG_LINEAR =
        1u << 13 /* Euler: interpolation_type "log_linear" instead of "linear" */
};

/* Bits of rt_sampler_config.given: keys the model's file names. A key that is not given takes the
 * default of whatever class runs, as diffusers' from_config does when a sampler is changed. One bit
 * per field or flag below. */
enum {
    RT_GIVEN_NUM_TRAIN_TIMESTEPS = 1u << 0,
    RT_GIVEN_BETA_SCHEDULE = 1u << 1,
    RT_GIVEN_PREDICTION_TYPE = 1u << 2,
    RT_GIVEN_TIMESTEP_SPACING = 1u << 3,
    RT_GIVEN_STEPS_OFFSET = 1u << 4,
    RT_GIVEN_VARIANCE_TYPE = 1u << 5,
    RT_GIVEN_CLIP_SAMPLE = 1u << 6,
    RT_GIVEN_CLIP_SAMPLE_RANGE = 1u << 7,
    RT_GIVEN_SET_ALPHA_TO_ONE = 1u << 8,
    RT_GIVEN_SKIP_PRK_STEPS = 1u << 9,
    RT_GIVEN_USE_KARRAS_SIGMAS = 1u << 10,
    RT_GIVEN_LOWER_ORDER_FINAL = 1u << 11,
    RT_GIVEN_EULER_AT_FINAL = 1u << 12,
    RT_GIVEN_RESCALE_ZERO_SNR = 1u << 13,
    RT_GIVEN_SHIFT = 1u << 14,
    RT_GIVEN_ORIGINAL_STEPS = 1u << 15,
    RT_GIVEN_TIMESTEP_SCALING = 1u << 16,
    RT_GIVEN_SOLVER_ORDER = 1u << 17,
    RT_GIVEN_FINAL_SIGMAS = 1u << 18,
    RT_GIVEN_BETA_START = 1u << 19,
    RT_GIVEN_BETA_END = 1u << 20,
    RT_GIVEN_SIGMA_RANGE = 1u << 21, /* sigma_min, sigma_max */
    RT_GIVEN_EXPONENTIAL_SIGMAS = 1u << 22,
    RT_GIVEN_BETA_SIGMAS = 1u << 23,
    RT_GIVEN_LU_LAMBDAS = 1u << 24,
    RT_GIVEN_THRESHOLDING = 1u << 25, /* and its ratio and limit */
    RT_GIVEN_ALGORITHM = 1u << 26,
    RT_GIVEN_SOLVER_TYPE = 1u << 27,
    RT_GIVEN_INTERPOLATION = 1u << 28,
    RT_GIVEN_TRAINED_BETAS = 1u << 29,
    RT_GIVEN_USE_CLIPPED_OUTPUT = 1u << 30
};

typedef struct rt_sampler_config {
    double beta_start, beta_end;
    double clip_sample_range;
    double eta;              /* DDIM: 0 = deterministic, 1 = as much noise as DDPM */
    double shift;            /* flow matching */
    double timestep_scaling; /* LCM */
    /* LCM: the part of its original schedule that is used, 1 = all. Its image to image begins so,
     * with all steps, where other samplers leave out steps. */
    double strength;
    /* ends of Karras', exponential and beta sigmas; 0: the schedule's own */
    double sigma_min, sigma_max;
    double dynamic_thresholding_ratio, sample_max_value;
    /* numbers separated by spaces, as many as num_train_timesteps; NULL: by beta_schedule. Owned
     * by whoever set it */
    const char *trained_betas;
    uint32_t version;         /* RT_SAMPLER_CONFIG_VERSION */
    int32_t sampler;          /* rt_sampler_id */
    int32_t prediction_type;  /* rt_prediction */
    int32_t beta_schedule;    /* rt_beta_schedule */
    int32_t timestep_spacing; /* rt_spacing */
    int32_t variance_type;    /* rt_variance */
    int32_t algorithm_type;   /* rt_algorithm */
    int32_t solver_type;      /* rt_solver */
    int32_t num_train_timesteps;
    int32_t steps_offset;
    int32_t solver_order;             /* DPM-Solver, UniPC: 1 to 3 */
    int32_t original_inference_steps; /* LCM */
    uint32_t flags;                   /* RT_SAMPLER_* */
    uint32_t given;                   /* RT_GIVEN_* */
} rt_sampler_config;

/* Defaults of the diffusers class of this sampler; `given` is 0. */
rt_sampler_config rt_sampler_defaults(rt_sampler_id id);

/* The same model with another sampler: defaults of `id`, overwritten by the keys that `from` was
 * given. */
rt_sampler_config rt_sampler_switch(const rt_sampler_config *from, rt_sampler_id id);

/* Whether a key of scheduler_config.json is a setting here: a SETTING row of meta_keys.def. */
bool rt_sampler_config_knows(const char *key);

/* Sets the field of a setting and its `given` bit: `text` for a string value, else NULL and
 * `number` (true = 1). The text of trained_betas is kept, not copied. RT_ERR_INPUT: no setting, or
 * a value outside what is implemented. */
rt_status rt_sampler_config_set(rt_sampler_config *config, const char *key, const char *text,
                                double number, rt_error *err);

/* Whether the sampler reads `eta`. */
bool rt_sampler_reads_eta(rt_sampler_id id);

/* By command-line name ("euler_a") or by diffusers class ("EulerAncestralDiscreteScheduler"); -1 if
 * there is none. */
int rt_sampler_by_name(const char *name);
int rt_sampler_by_class(const char *cls);
const char *rt_sampler_name(rt_sampler_id id);
const char *rt_sampler_label(rt_sampler_id id); /* for people and PNG text: "Euler a" */

#endif
