/* scheduler_config.json: every key is used, known not to matter, or told; which class runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/frontend/loading.h"
#include "tests/unit/support/temp_dir.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char small_unet[] =
    "{\"_class_name\": \"UNet2DModel\", \"sample_size\": 8, \"block_out_channels\": [8, 16], "
    "\"norm_num_groups\": 4, \"layers_per_block\": 1, \"down_block_types\": [\"DownBlock2D\", "
    "\"DownBlock2D\"], \"up_block_types\": [\"UpBlock2D\", \"UpBlock2D\"]}";

static const fe_options program = {
    .random_weights = true, .random_seed = 1, .guidance_pair = true, .shared_timestep = true};

static void write_text(const temp_dir *t, const char *name, const char *text) {
    temp_write(t, name, text, strlen(text));
}

/* The model whose scheduler's file has this text; NULL after what `c` captured. `indexed`: the class
 * in model_index.json, or NULL. */
static ir_module *load(capture *c, const char *pipeline, const char *indexed, const char *scheduler,
                       const fe_options *o) {
    char index[512], entry[128] = "";
    temp_dir t;
    temp_dir_begin(&t);
    if (indexed) snprintf(entry, sizeof entry, ", \"scheduler\": [\"diffusers\", \"%s\"]", indexed);
    snprintf(index, sizeof index,
             "{\"_class_name\": \"%s\", \"unet\": [\"diffusers\", \"UNet2DModel\"]%s}", pipeline,
             entry);
    write_text(&t, "model_index.json", index);
    write_text(&t, "config.json", small_unet);
    write_text(&t, "scheduler_config.json", scheduler);
    capture_begin(c, (base_diag_options){0});
    ir_module *m = fe_load(c->diag, t.path, o);
    temp_dir_end(&t);
    return m;
}

static void expect_message(capture *c, const char *message) {
    if (!strstr(captured(c), message)) fail_msg("expected <%s> in <%s>", message, captured(c));
}

#define CLASS(name) "{\"_class_name\": \"" name "\", "

/* ---- keys ---- */

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *scheduler, *message;
    } cases[] = {
        {CLASS("UniPCMultistepScheduler") "\"predict_x0\": false}",
         "scheduler_config.json:1:58: error: predict_x0 false needs final_sigmas_type sigma_min"},
        {CLASS("UniPCMultistepScheduler") "\"solver_p\": [\"diffusers\", \"DDIMScheduler\"]}",
         "unsupported: this value of 'solver_p'"},
        {CLASS("UniPCMultistepScheduler") "\"shift_terminal\": 0.1}",
         "shift_terminal needs use_flow_sigmas"},
        {CLASS("DPMSolverMultistepScheduler") "\"use_dynamic_shifting\": true}",
         "unsupported: this value of 'use_dynamic_shifting'"},
        {CLASS("DPMSolverMultistepScheduler") "\"variance_type\": \"learned_range\"}",
         "unsupported: this value of 'variance_type'"},
        {CLASS("DPMSolverMultistepScheduler") "\"algorithm_type\": \"dpmsolver\"}",
         "need final_sigmas_type sigma_min"},
        {CLASS("DPMSolverMultistepScheduler") "\"lambda_min_clipped\": Infinity}",
         "'lambda_min_clipped': expected a finite number, found Infinity"},
        {CLASS("DDIMScheduler") "\"beta_start\": NaN}",
         "scheduler_config.json:1:48: error: 'beta_start': expected a finite number, found NaN"},
        {CLASS("DDIMScheduler") "\"beta_schedule\": \"sigmoid\"}",
         "DDIMScheduler has no beta_schedule 'sigmoid'"},
        {CLASS("PNDMScheduler") "\"prediction_type\": \"sample\"}",
         "PNDMScheduler has no prediction_type 'sample'"},
        {CLASS("DDPMScheduler") "\"variance_type\": \"learned\"}",
         "unsupported variance_type 'learned'"},
        {CLASS("DDPMScheduler") "\"variance_type\": \"learned\"}",
         "supported are fixed_small, fixed_large, fixed_small_log"},
        {CLASS("DDPMScheduler") "\"trained_betas\": [0.1, 0.2]}",
         "'trained_betas' has 2 entries, 'num_train_timesteps' is 1000"},
        {CLASS("EulerDiscreteScheduler") "\"use_karras_sigmas\": true, \"use_beta_sigmas\": true}",
         "only one of use_karras_sigmas"},
        {CLASS("FlowMatchEulerDiscreteScheduler") "\"shift\": 0}", "must be positive"},
        {"{\"beta_start\": 0.1}", "missing key '_class_name'"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        capture c;
        ir_module *m = load(&c, "DDPMPipeline", NULL, cases[i].scheduler, &program);
        if (m) fail_msg("accepted: %s", cases[i].scheduler);
        expect_message(&c, cases[i].message);
        capture_end(&c);
    }
}

/* Accepted without a word. Keys of other classes do nothing, whatever they are. */
static void harmless(void **state) {
    (void)state;
    static const char *const cases[] = {
        /* as diffusers saves them */
        CLASS("DPMSolverMultistepScheduler") "\"_diffusers_version\": \"0.32.2\", "
                                             "\"lambda_min_clipped\": -Infinity, "
                                             "\"variance_type\": null, \"use_flow_sigmas\": false, "
                                             "\"flow_shift\": 1.0, \"use_dynamic_shifting\": "
                                             "false, \"time_shift_type\": "
                                             "\"exponential\", \"euler_at_final\": false, "
                                             "\"use_lu_lambdas\": false}",
        CLASS("UniPCMultistepScheduler") "\"predict_x0\": true, \"disable_corrector\": [], "
                                         "\"solver_p\": null, \"sigma_min\": null, \"sigma_max\": "
                                         "null, \"shift_terminal\": null}",
        CLASS(
            "FlowMatchEulerDiscreteScheduler") "\"base_image_seq_len\": 256, \"base_shift\": 0.5, "
                                               "\"invert_sigmas\": false, \"max_image_seq_len\": "
                                               "4096, \"max_shift\": 1.15, \"shift\": "
                                               "3.0, \"shift_terminal\": null, "
                                               "\"stochastic_sampling\": false}",
        /* keys of other classes */
        CLASS("DDIMScheduler") "\"skip_prk_steps\": true, \"lambda_min_clipped\": -Infinity, "
                               "\"shift\": Infinity, \"variance_type\": \"learned\", "
                               "\"use_dynamic_shifting\": true, "
                               "\"solver_p\": [], \"algorithm_type\": \"sorcery\", "
                               "\"solver_order\": 9}",
        CLASS("DPMSolverMultistepScheduler") "\"variance_type\": \"fixed_large\"}",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        capture c;
        ir_module *m = load(&c, "DDPMPipeline", NULL, cases[i], &program);
        if (!m || *captured(&c)) fail_msg("%s: %s", cases[i], captured(&c));
        ir_module_free(m);
        capture_end(&c);
    }
}

static void used(void **state) {
    (void)state;
    capture c;
    ir_module *m = load(
        &c, "DDPMPipeline", NULL,
        CLASS("DPMSolverMultistepScheduler") "\"num_train_timesteps\": 3, "
                                             "\"thresholding\": true, \"trained_betas\": [0.1, "
                                             "2e-1, 0], "
                                             "\"algorithm_type\": \"sde-dpmsolver++\", "
                                             "\"sigma_max\": 12.5, "
                                             "\"lambda_min_clipped\": -5.1, \"clip_sample\": true, "
                                             "\"disable_corrector\": [0, 2]}",
        &program);
    if (!m) fail_msg("%s", captured(&c));
    assert_string_equal(ir_meta_string(m, "sampler.trained_betas", ""),
                        "0.100000001 0.200000003 0");
    assert_string_equal(ir_meta_string(m, "sampler.algorithm_type", ""), "sde-dpmsolver++");
    assert_int_equal(ir_meta_int(m, "sampler.thresholding", 0), 1);
    assert_true(ir_meta_float(m, "sampler.sigma_max", 0) == 12.5);
    assert_true(ir_meta_float(m, "sampler.lambda_min_clipped", 0) == -5.1);
    /* kept for another sampler */
    assert_int_equal(ir_meta_int(m, "sampler.clip_sample", 0), 1);
    assert_string_equal(ir_meta_string(m, "sampler.disable_corrector", ""), "0 2");
    ir_module_free(m);
    capture_end(&c);
}

static void unknown_keys_are_told(void **state) {
    (void)state;
    capture c;
    ir_module *m = load(
        &c, "DDPMPipeline", NULL,
        CLASS("DDIMScheduler") "\"prediction_typ\": \"v_prediction\", \"bogus\": 1}", &program);
    assert_non_null(m);
    assert_int_equal(base_diag_warnings(c.diag), 2);
    expect_message(&c, "scheduler_config.json:1:34: warning: unknown key 'prediction_typ'; did you "
                       "mean 'prediction_type'?");
    expect_message(&c, "unknown key 'bogus'");
    ir_module_free(m);
    capture_end(&c);
}

/* ---- classes ---- */

static void classes(void **state) {
    (void)state;
    fe_options euler = program, wrong = program, flow = program;
    euler.sampler = "euler";
    wrong.sampler = "eulr";
    flow.sampler = "FlowMatchEulerDiscreteScheduler";
    static const char tcd[] = CLASS("TCDScheduler") "\"beta_end\": 0.5}";
    const struct {
        const char *indexed, *scheduler;
        const fe_options *o;
        const char *message; /* NULL: accepted, and the sampler is */
        const char *sampler;
    } cases[] = {
        {NULL, tcd, &program, "unsupported scheduler 'TCDScheduler'\n", NULL},
        {NULL, tcd, &program, "supported are DDIMScheduler (ddim), DDPMScheduler (ddpm), ", NULL},
        {NULL, tcd, &program, "--sampler=NAME runs another one", NULL},
        {"KDPM2AncestralDiscreteScheduler", "{}", &program,
         "unsupported scheduler 'KDPM2AncestralDiscreteScheduler'\n", NULL},
        {NULL, CLASS("DDPMSchedule") "\"beta_end\": 0.5}", &program,
         "unknown scheduler 'DDPMSchedule'; did you mean 'DDPMScheduler'?", NULL},
        {NULL, tcd, &euler, NULL, "euler"},
        {"TCDScheduler", "{}", &euler, NULL, "euler"},
        {NULL, tcd, &wrong, "--sampler: unknown sampler 'eulr'; did you mean 'euler'?", NULL},
        {NULL, tcd, &flow, "'FlowMatchEulerDiscreteScheduler' is not for this model", NULL},
        {"FlowMatchHeunDiscreteScheduler", "{}", &euler, "'euler' is not for this model", NULL},
        {"FlowMatchHeunDiscreteScheduler", "{}", &flow, NULL, "flow_euler"},
        /* the index wins */
        {"EulerDiscreteScheduler", tcd, &program, NULL, "euler"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        capture c;
        ir_module *m = load(&c, "DDPMPipeline", cases[i].indexed, cases[i].scheduler, cases[i].o);
        if (cases[i].message) {
            if (m) fail_msg("accepted: %s", cases[i].scheduler);
            expect_message(&c, cases[i].message);
        } else {
            if (!m) fail_msg("%s: %s", cases[i].scheduler, captured(&c));
            assert_string_equal(ir_meta_string(m, "sampler.class", ""), cases[i].sampler);
            ir_module_free(m);
        }
        capture_end(&c);
    }
}

/* Pipelines whose constructor makes one class of any scheduler. */
static void converting_pipelines(void **state) {
    (void)state;
    capture c;
    static const char ddpm[] = CLASS("DDPMScheduler") "\"beta_end\": 0.5}";
    ir_module *m = load(&c, "DDIMPipeline", NULL, ddpm, &program);
    assert_non_null(m);
    assert_string_equal(ir_meta_string(m, "sampler.class", ""), "ddim");
    assert_true(ir_meta_float(m, "sampler.beta_end", 0) == 0.5);
    expect_message(&c,
                   "scheduler_config.json:1:17: warning: a DDIMPipeline runs DDIMScheduler with "
                   "these settings, whatever class is written here");
    ir_module_free(m);
    capture_end(&c);
    m = load(&c, "PNDMPipeline", "TCDScheduler", "{}", &program);
    assert_non_null(m);
    assert_string_equal(ir_meta_string(m, "sampler.class", ""), "pndm");
    ir_module_free(m);
    capture_end(&c);
    m = load(&c, "DDIMPipeline", "DDIMScheduler", "{}", &program);
    assert_true(m && !*captured(&c));
    ir_module_free(m);
    capture_end(&c);
    /* the option wins */
    fe_options euler = program;
    euler.sampler = "euler";
    m = load(&c, "DDIMPipeline", NULL, ddpm, &euler);
    assert_string_equal(ir_meta_string(m, "sampler.class", ""), "euler");
    ir_module_free(m);
    capture_end(&c);
}

/* --scheduler-config: another file than the folder's, with its class. */
static void another_file(void **state) {
    (void)state;
    capture c;
    temp_dir t;
    temp_dir_begin(&t);
    write_text(&t, "other.json",
               CLASS("LMSDiscreteScheduler") "\"beta_end\": 0.25, \"sigma_min\": NaN, \"hm\": 1}");
    fe_options o = program;
    o.scheduler_config = temp_path(&t, "other.json");
    ir_module *m = load(&c, "DDPMPipeline", "TCDScheduler", "not even JSON", &o);
    assert_null(m);
    expect_message(&c, "other.json:1:72: error: 'sigma_min': expected a finite number");
    capture_end(&c);
    write_text(&t, "other.json", CLASS("LMSDiscreteScheduler") "\"beta_end\": 0.25, \"hm\": 1}");
    m = load(&c, "DDPMPipeline", "TCDScheduler", "not even JSON", &o);
    if (!m) fail_msg("%s", captured(&c));
    assert_string_equal(ir_meta_string(m, "sampler.class", ""), "lms");
    assert_true(ir_meta_float(m, "sampler.beta_end", 0) == 0.25);
    expect_message(&c, "warning: unknown key 'hm'");
    ir_module_free(m);
    capture_end(&c);
    temp_dir_end(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),      cmocka_unit_test(harmless),
        cmocka_unit_test(used),         cmocka_unit_test(unknown_keys_are_told),
        cmocka_unit_test(classes),      cmocka_unit_test(converting_pipelines),
        cmocka_unit_test(another_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
