/* Defaults of a program's options; see defaults.h. */
#include "frontend/defaults.h"

#include <ctype.h>
#include <string.h>

#include "runtime/abi/meta_keys.h"
#include "runtime/samplers/sampler_config.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Models that were distilled to paint in few steps. diffusers leaves the numbers to the caller; they
 * are those of the models' own pages. A rule fits if all that it says is so. */
typedef struct rule {
    unsigned samplers;   /* bits RT_OF(ID) */
    const char *spacing; /* of the scheduler; NULL: any */
    const char *word;    /* in one of the model's names, in any case; NULL: any name */
    bool embedded;       /* the U-Net takes the guidance as an input (time_cond_proj_dim) */
    int64_t steps;       /* their defaults */
    double guidance;     /* 1: off, one evaluation a step */
    double strength;     /* 0: as the class */
    const char *because; /* what the model is, for the note */
} rule;

static const rule rules[] = {
    /* latent consistency models whose guidance was distilled, too */
    {RT_OF(LCM), NULL, NULL, true, 4, 8.0, 0, "a latent consistency model"},
    /* others, and LCM-LoRAs that were merged: more than 2 burns the colours */
    {RT_OF(LCM), NULL, NULL, false, 4, 1.5, 0,
     "a model with the sampler of latent consistency models"},
    /* The schedule tells adversarially distilled models from those that only have such a name. */
    {RT_OF(EULER) | RT_OF(EULER_A), "trailing", "turbo", false, 1, 1.0, 0.5, "a Turbo model"},
    {RT_OF(EULER) | RT_OF(EULER_A) | RT_OF(DDIM), "trailing", "lightning", false, 4, 1.0, 0,
     "a Lightning model"},
};

static bool has_word(const char *name, const char *word) {
    size_t n = strlen(word);
    for (; name && *name; name++) {
        size_t i = 0;
        while (i < n && tolower((unsigned char)name[i]) == word[i]) i++;
        if (i == n) return true;
    }
    return false;
}

static bool fits(const rule *r, const ir_module *m, const char *const names[FE_DEFAULT_NAMES]) {
    int id = rt_sampler_by_name(ir_meta_string(m, EBRU_META_SAMPLER_CLASS.name, ""));
    bool named = !r->word;
    for (int i = 0; i < FE_DEFAULT_NAMES && !named; i++) named = has_word(names[i], r->word);
    if (!named || id < 0 || !(r->samplers >> id & 1)) return false;
    if (r->embedded && !ir_meta_get(m, EBRU_META_PIPELINE_GUIDANCE_EMBEDDING.name)) return false;
    return !r->spacing ||
           !strcmp(ir_meta_string(m, EBRU_META_SAMPLER_TIMESTEP_SPACING.name, ""), r->spacing);
}

/* What the rule changed and the options leave as it is. */
static void tell(base_diag *d, const rule *r, const fe_options *o, const fe_defaults *otherwise) {
    base_str now = {0}, before = {0};
    if (!o->default_steps) {
        base_str_addf(&now, "--steps %lld", (long long)r->steps);
        base_str_addf(&before, "%lld", (long long)otherwise->steps);
    }
    if (!o->default_guidance) {
        base_str_addf(&now, "%s--cfg-scale %g", now.len ? " and " : "", r->guidance);
        base_str_addf(&before, "%s%g", before.len ? " and " : "", otherwise->guidance);
    }
    if (now.len)
        base_note(d, NULL,
                  "this is %s: the program's defaults are %s, not %s as of other models in a %s "
                  "(--default-steps= and --default-cfg-scale= set them)",
                  r->because, now.data, before.data, otherwise->of);
    base_str_free(&now);
    base_str_free(&before);
}

void fe_defaults_choose(base_diag *d, ir_module *m, const fe_options *o,
                        const fe_defaults *otherwise, const char *const names[FE_DEFAULT_NAMES]) {
    const rule *r = NULL;
    for (size_t i = 0; i < COUNT(rules) && !r; i++)
        if (fits(&rules[i], m, names)) r = &rules[i];
    /* a class that is made for such models has its own */
    if (r && otherwise->steps <= r->steps) r = NULL;
    ir_meta_set_int(m, EBRU_META_SAMPLER_STEPS.name, r ? r->steps : otherwise->steps);
    ir_meta_set_float(m, EBRU_META_SAMPLER_GUIDANCE.name, r ? r->guidance : otherwise->guidance);
    if (!r) return;
    if (r->strength > 0 && ir_meta_get(m, EBRU_META_SAMPLER_STRENGTH.name))
        ir_meta_set_float(m, EBRU_META_SAMPLER_STRENGTH.name, r->strength);
    if (otherwise->of && !o->told) tell(d, r, o, otherwise);
}

/* ---- what the command line says ---- */

static bool override_steps(base_diag *d, ir_module *m, int64_t steps) {
    int id = rt_sampler_by_name(ir_meta_string(m, EBRU_META_SAMPLER_CLASS.name, ""));
    rt_sampler_config c = rt_sampler_defaults((rt_sampler_id)(id < 0 ? 0 : id));
    c.num_train_timesteps =
        (int32_t)ir_meta_int(m, EBRU_META_SAMPLER_NUM_TRAIN_TIMESTEPS.name, c.num_train_timesteps);
    c.original_inference_steps = (int32_t)ir_meta_int(
        m, EBRU_META_SAMPLER_ORIGINAL_INFERENCE_STEPS.name, c.original_inference_steps);
    const int most = rt_sampler_most_steps(&c);
    if (steps > most)
        base_error(d, NULL, "--default-steps: the sampler %s of this model allows 1 to %d",
                   rt_sampler_name((rt_sampler_id)c.sampler), most);
    ir_meta_set_int(m, EBRU_META_SAMPLER_STEPS.name, steps);
    return steps <= most;
}

static bool override_guidance(base_diag *d, ir_module *m, double guidance) {
    const char *text = ebru_pipeline_kind_name[EBRU_PIPELINE_TEXT];
    bool guided = !strcmp(ir_meta_string(m, EBRU_META_PIPELINE_KIND.name, ""), text) ||
                  ir_meta_int(m, EBRU_META_PIPELINE_GUIDANCE.name, 0) ||
                  ir_meta_get(m, EBRU_META_PIPELINE_GUIDANCE_EMBEDDING.name);
    if (!guided) base_error(d, NULL, "--default-cfg-scale: this model has no guidance");
    ir_meta_set_float(m, EBRU_META_SAMPLER_GUIDANCE.name, guidance);
    return guided;
}

static bool override_strength(base_diag *d, ir_module *m, double strength) {
    bool begins = ir_meta_get(m, EBRU_META_SAMPLER_STRENGTH.name);
    if (!begins)
        base_error(d, NULL,
                   "--default-strength: this program begins with no picture that it changes");
    else if (!(strength > 0))
        base_error(d, NULL, "--default-strength is above 0 and at most 1");
    ir_meta_set_float(m, EBRU_META_SAMPLER_STRENGTH.name, strength);
    return begins && strength > 0;
}

static bool override_noise_level(base_diag *d, ir_module *m, int64_t level) {
    const char *low = ebru_condition_name[EBRU_CONDITION_LOW_RESOLUTION];
    int64_t most = ir_meta_int(m, EBRU_META_LOW_RES_MAX_NOISE_LEVEL.name,
                               EBRU_META_LOW_RES_MAX_NOISE_LEVEL.otherwise);
    bool larger = !strcmp(ir_meta_string(m, EBRU_META_PIPELINE_CONDITION.name, ""), low);
    if (!larger)
        base_error(d, NULL, "--default-noise-level is for models that paint a picture larger");
    else if (most < 0)
        base_error(d, NULL, "--default-noise-level: this model adds no noise to the picture");
    else if (level > most)
        base_error(d, NULL, "--default-noise-level: this model knows 0 to %lld", (long long)most);
    ir_meta_set_int(m, EBRU_META_LOW_RES_NOISE_LEVEL.name, level);
    return larger && level <= most;
}

bool fe_defaults_override(base_diag *d, ir_module *m, const fe_options *o) {
    bool fine = true;
    if (!o->default_steps && !o->default_guidance && !o->default_strength &&
        !o->default_noise_level)
        return true;
    if (!ir_meta_get(m, EBRU_META_SAMPLER_CLASS.name)) {
        base_error(d, NULL,
                   "--default-... options go with a whole model: this one has no denoising loop");
        return false;
    }
    if (o->default_steps) fine &= override_steps(d, m, o->default_steps);
    if (o->default_guidance) fine &= override_guidance(d, m, *o->default_guidance);
    if (o->default_strength) fine &= override_strength(d, m, *o->default_strength);
    if (o->default_noise_level) fine &= override_noise_level(d, m, *o->default_noise_level);
    return fine;
}
