/* What a compiled model says about its sampler: plain constant data that the compiler emits and the
 * program reads. Field names are those of diffusers' scheduler_config.json. Fixed-width fields,
 * doubles first, no pointers but one. */
#ifndef EBRU_RUNTIME_SAMPLERS_SAMPLER_CONFIG_H
#define EBRU_RUNTIME_SAMPLERS_SAMPLER_CONFIG_H

#include "runtime/engine/status.h"

#include <stdbool.h>
#include <stdint.h>

#define RT_SAMPLER_CONFIG_VERSION 3u

/* One enumerator per row of samplers.def: RT_SAMPLER_DDIM ... */
typedef enum rt_sampler_id {
#define SAMPLER(ID, ...) RT_SAMPLER_##ID,
#include "runtime/samplers/samplers.def"
#undef SAMPLER
    RT_SAMPLER_COUNT
} rt_sampler_id;

/* What a denoiser was trained to answer. A sampler of another family paints noise with it. */
typedef enum rt_family {
    RT_FAMILY_NOISE,  /* noise, a picture or v = alpha noise - sigma data */
    RT_FAMILY_FLOW,   /* noise - data along a straight path (diffusers' flow matching) */
    RT_FAMILY_TO_DATA /* data - noise along it */
} rt_family;

typedef enum rt_prediction {
    RT_PREDICT_EPSILON,
    RT_PREDICT_V,
    RT_PREDICT_SAMPLE,
    RT_PREDICT_FLOW
} rt_prediction;
typedef enum rt_beta_schedule {
    RT_BETA_LINEAR,
    RT_BETA_SCALED_LINEAR,
    RT_BETA_SQUAREDCOS_CAP_V2,
    RT_BETA_SIGMOID,
    RT_BETA_LAPLACE,
    RT_BETA_EXP
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
    RT_SAMPLER_PREDICT_X0 = 1u << 7,      /* UniPC: integrate the clean sample, not the noise */
    RT_SAMPLER_FINAL_SIGMA_MIN = 1u << 8, /* final_sigmas_type "sigma_min" instead of "zero" */
    RT_SAMPLER_USE_EXPONENTIAL_SIGMAS = 1u << 9,
    RT_SAMPLER_USE_BETA_SIGMAS = 1u << 10,
    RT_SAMPLER_USE_LU_LAMBDAS = 1u << 11,
    RT_SAMPLER_THRESHOLDING = 1u << 12,
    /* Euler: interpolation_type "log_linear" instead of "linear" */
    RT_SAMPLER_LOG_LINEAR = 1u << 13,
    RT_SAMPLER_CONTINUOUS = 1u << 14, /* Euler: timestep_type "continuous" */
    RT_SAMPLER_USE_FLOW_SIGMAS = 1u << 15,
    RT_SAMPLER_INVERT_SIGMAS = 1u << 16,      /* flow matching */
    RT_SAMPLER_STOCHASTIC_SAMPLING = 1u << 17 /* flow matching */
};

/* Settings: one for each SETTING row of meta_keys.def, in its order. */
typedef enum rt_setting {
#define SETTING(ID, ...) RT_SETTING_##ID,
#include "runtime/abi/meta_keys.def"
    RT_SETTING_COUNT
} rt_setting;
_Static_assert(RT_SETTING_COUNT <= 64, "rt_sampler_config.given has a bit for each");

/* Bits of rt_sampler_config.given: keys that the model's file names. A key that is not given takes
 * the default of whatever class runs, as diffusers' from_config does when a sampler is changed. */
#define RT_GIVEN(ID) (UINT64_C(1) << RT_SETTING_##ID)

/* Sets of samplers: RT_OF(DDIM) | RT_OF(DDPM). The sets are those of the classes in diffusers that
 * read a key. */
#define RT_OF(ID) (1u << RT_SAMPLER_##ID)
enum {
    RT_OF_SOLVERS = RT_OF(DPMPP_2M) | RT_OF(UNIPC),
    RT_OF_DISCRETE = RT_OF(DDIM) | RT_OF(DDPM) | RT_OF(EULER) | RT_OF(EULER_A) | RT_OF(PNDM) |
                     RT_OF(HEUN) | RT_OF(LMS) | RT_OF_SOLVERS | RT_OF(LCM),
    RT_OF_ALL = (1u << RT_SAMPLER_COUNT) - 1,
    RT_OF_CLIPPING = RT_OF(DDIM) | RT_OF(DDPM) | RT_OF(HEUN) | RT_OF(LCM),
    RT_OF_THRESHOLDING = RT_OF(DDIM) | RT_OF(DDPM) | RT_OF(LCM) | RT_OF_SOLVERS,
    /* sigma_min and sigma_max are read by all that have other sigmas, also where the class's
     * constructor does not have them */
    RT_OF_RESPACED = RT_OF(EULER) | RT_OF(HEUN) | RT_OF(LMS) | RT_OF_SOLVERS | RT_OF(FLOW_EULER),
    RT_OF_ZERO_SNR =
        RT_OF(DDIM) | RT_OF(DDPM) | RT_OF(EULER) | RT_OF(EULER_A) | RT_OF_SOLVERS | RT_OF(LCM)
};

typedef struct rt_sampler_config {
    double beta_start, beta_end;
    double clip_sample_range;
    double eta;                /* DDIM: 0 = deterministic, 1 = as much noise as DDPM */
    double shift;              /* flow matching */
    double flow_shift;         /* the same of use_flow_sigmas */
    double shift_terminal;     /* 0: none */
    double lambda_min_clipped; /* DPM-Solver; -INFINITY: none */
    double timestep_scaling;   /* LCM */
    /* LCM: the part of its original schedule that is used, 1 = all. Its image to image begins so,
     * with all steps, where other samplers leave out steps. */
    double strength;
    /* ends of Karras', exponential and beta sigmas; 0: the schedule's own */
    double sigma_min, sigma_max;
    double dynamic_thresholding_ratio, sample_max_value;
    /* numbers separated by spaces, as many as num_train_timesteps; NULL: by beta_schedule. Owned
     * by whoever set it */
    const char *trained_betas;
    const char *disable_corrector; /* UniPC: step numbers likewise, or NULL */
    uint32_t version;              /* RT_SAMPLER_CONFIG_VERSION */
    int32_t sampler;               /* rt_sampler_id */
    int32_t prediction_type;       /* rt_prediction */
    int32_t beta_schedule;         /* rt_beta_schedule */
    int32_t timestep_spacing;      /* rt_spacing */
    int32_t variance_type;         /* rt_variance */
    int32_t algorithm_type;        /* rt_algorithm */
    int32_t solver_type;           /* rt_solver */
    int32_t num_train_timesteps;
    int32_t steps_offset;
    int32_t solver_order;             /* DPM-Solver, UniPC: 1 to 3 */
    int32_t original_inference_steps; /* LCM */
    uint32_t flags;                   /* RT_SAMPLER_* */
    uint64_t given;                   /* RT_GIVEN(ID) */
} rt_sampler_config;

/* Defaults of the diffusers class of this sampler; `given` is 0. */
rt_sampler_config rt_sampler_defaults(rt_sampler_id id);

/* The same model with another sampler: defaults of `id`, overwritten by the keys that `from` was
 * given. Keys that the class of `id` does not have are kept for the next switch, too. */
rt_sampler_config rt_sampler_switch(const rt_sampler_config *from, rt_sampler_id id);

/* What runs: the settings that the sampler's class does not have are the defaults. */
rt_sampler_config rt_sampler_effective(const rt_sampler_config *config);

/* Whether the sampler can run at all so, with any number of steps. RT_ERR_INPUT names the settings
 * that no sampler can have, or this one cannot have, or not together. */
rt_status rt_sampler_config_check(const rt_sampler_config *config, rt_error *err);

/* The largest number of steps of a run that begins with noise alone. */
int rt_sampler_most_steps(const rt_sampler_config *config);

/* What the denoiser of this configuration answers. */
rt_family rt_sampler_family(const rt_sampler_config *config);
/* Whether sampler `id` can run the denoiser of `from`: they are of one family, and the settings are
 * ones it can have. RT_ERR_INPUT says why not. */
rt_status rt_sampler_fits(const rt_sampler_config *from, rt_sampler_id id, rt_error *err);

/* Whether a key of scheduler_config.json is a setting here: a SETTING row of meta_keys.def. */
bool rt_sampler_config_knows(const char *key);
/* The samplers (RT_OF) whose class reads the setting. */
unsigned rt_setting_samplers(rt_setting setting);

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
