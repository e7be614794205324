#include "runtime/cli/option_effects.h"

#include <string.h>

/* ---- what options need ---- */

static bool is_painting(const rt_option_context *c) {
    return !c->options->bench && !c->options->call;
}
static bool is_bench(const rt_option_context *c) {
    return c->options->bench;
}
static bool is_no_bench(const rt_option_context *c) {
    return !c->options->bench;
}
static bool is_call(const rt_option_context *c) {
    return c->options->call && !c->options->bench;
}
static bool has_profile(const rt_option_context *c) {
    return c->options->profile != NULL;
}
static bool has_cpu_level(const rt_option_context *c) {
    return c->options->cpu_level != NULL;
}
static bool takes_prompt(const rt_option_context *c) {
    return c->info->kind == EBRU_PIPELINE_TEXT;
}
static bool has_classes(const rt_option_context *c) {
    return c->info->kind == EBRU_PIPELINE_CLASS;
}
static bool reads_pictures(const rt_option_context *c) {
    return c->info->image_input;
}
static bool looks_at_pictures(const rt_option_context *c) {
    return c->info->reference_adapters > 0;
}
static bool has_loop(const rt_option_context *c) {
    return c->info->kind != EBRU_PIPELINE_UPSCALE;
}
static bool has_upscaler(const rt_option_context *c) {
    return c->info->upscaler && has_loop(c);
}
static bool takes_mask(const rt_option_context *c) {
    return c->info->condition == EBRU_CONDITION_NONE ||
           c->info->condition == EBRU_CONDITION_INPAINT;
}
static bool takes_depth(const rt_option_context *c) {
    return c->info->condition == EBRU_CONDITION_DEPTH;
}
static bool paints_larger(const rt_option_context *c) {
    return c->info->condition == EBRU_CONDITION_LOW_RESOLUTION;
}
static bool adds_noise(const rt_option_context *c) {
    return c->info->max_noise_level >= 0;
}
static bool paints_anew(const rt_option_context *c) {
    return !paints_larger(c);
}
/* Of how much is changed, by strength or by noise. */
static bool has_choice(const rt_option_context *c) {
    return paints_anew(c) || adds_noise(c);
}
/* That a model with a condition lacks its picture is told otherwise: it cannot do without. */
static bool has_init(const rt_option_context *c) {
    return c->options->init_image || c->info->condition != EBRU_CONDITION_NONE;
}
static bool has_controls(const rt_option_context *c) {
    return c->info->control_count > 0;
}
static bool has_control(const rt_option_context *c) {
    return c->options->control_count > 0;
}
static bool has_guessing(const rt_option_context *c) {
    bool any = false;
    for (int i = 0; i < c->info->control_count; i++) any |= c->info->controls[i].every_step;
    return any;
}
static bool has_guidance(const rt_option_context *c) {
    return c->info->guidance_pair || c->info->guidance_embedding;
}
static bool has_pair(const rt_option_context *c) {
    return c->info->guidance_pair;
}
static bool is_guided(const rt_option_context *c) {
    return c->guidance > 1;
}
static bool reads_eta(const rt_option_context *c) {
    return rt_sampler_reads_eta(c->sampler);
}

/* In the order in which they are looked at: what is first is the cause of what follows. */
static const struct need {
    unsigned bit;
    bool of_model; /* looks at the model or at what it is set to */
    bool refused;
    bool (*holds)(const rt_option_context *c);
    const char *otherwise; /* behind the option's name */
} needs[] = {
    {RT_NEEDS_BENCH, false, true, is_bench, " is for --bench"},
    {RT_NEEDS_NO_BENCH, false, true, is_no_bench,
     ": --bench runs networks on inputs of its own; give one of the two"},
    {RT_NEEDS_CALL, false, true, is_call, " is for --call"},
    {RT_NEEDS_PROFILE, false, true, has_profile, " is for --profile"},
    {RT_NEEDS_CPU_LEVEL, false, true, has_cpu_level, " needs --cpu-level: which code is to run?"},
    {RT_NEEDS_PAINTING, false, true, is_painting,
     " is for pictures; --bench and --call paint none"},
    {RT_NEEDS_LOOP, true, true, has_loop, ": this program paints nothing, it enlarges pictures"},
    {RT_NEEDS_UPSCALER, true, true, has_upscaler,
     ": this program has no upscaler (ebru compile --upscaler=FILE)"},
    {RT_NEEDS_PROMPT, true, true, takes_prompt, ": this model takes no prompt"},
    {RT_NEEDS_CLASSES, true, true, has_classes, ": this model has no classes"},
    {RT_NEEDS_SMALL, true, true, paints_larger, " is for models that paint a picture larger"},
    {RT_NEEDS_SMALL, true, true, adds_noise, ": this model adds no noise to the small picture"},
    {RT_NEEDS_DEPTH, true, true, takes_depth, ": this model takes no depth map"},
    {RT_NEEDS_PICTURES, true, true, reads_pictures,
     ": this program was compiled without picture input"},
    {RT_NEEDS_REFERENCES, true, true, looks_at_pictures,
     ": this program has no IP-Adapter (ebru compile --ip-adapter=FILE)"},
    {RT_NEEDS_MASKS, true, true, takes_mask, ": this model takes no mask"},
    {RT_NEEDS_STRENGTH, true, true, has_choice, ": this model paints its picture larger"},
    {RT_NEEDS_STRENGTH, true, true, paints_anew,
     ": this model paints its picture larger; see --noise-level"},
    {RT_NEEDS_CONTROLS, true, true, has_controls,
     ": this program has no ControlNet or T2I-Adapter (ebru compile --controlnet=, "
     "--t2i-adapter=)"},
    {RT_NEEDS_GUESSING, true, true, has_guessing, ": this program has no ControlNet"},
    {RT_NEEDS_CONTROL, true, true, has_control, " needs a picture: give it with --control"},
    {RT_NEEDS_INIT, true, true, has_init, " needs a picture to begin from: give it with -i"},
    {RT_NEEDS_GUIDANCE, true, true, has_guidance, ": this model has no guidance"},
    {RT_NEEDS_PAIR, true, true, has_pair, ": this model has no guidance to rescale"},
    {RT_NEEDS_NEGATIVE, true, false, has_pair, " has no effect: this model is not guided by one"},
    {RT_NEEDS_GUIDED, true, false, is_guided,
     " has no effect at a guidance of 1 or below (--cfg-scale)"},
    {RT_NEEDS_ETA, true, false, reads_eta, " has no effect on this sampler; it is read by"
#define IGNORES_ETA(name)
#define READS_ETA(name)                                        " " name
#define SAMPLER(ID, name, cls, history, label, FAMILY, OF_ETA) OF_ETA(name)
#include "runtime/samplers/samplers.def"
#undef READS_ETA
#undef IGNORES_ETA
    },
};

const char *rt_option_idle(size_t row, const rt_option_context *c, bool *refused) {
    unsigned wanted = rt_option_table.rows[row].needs;
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        const struct need *n = &needs[i];
        if (!(wanted & n->bit) || (n->of_model && !c->info) || n->holds(c)) continue;
        *refused = n->refused;
        return n->otherwise;
    }
    return NULL;
}

/* ---- what was given ---- */

static void join(rt_error *err, const char *name, const char *why) {
    char *to = err ? err->message : NULL;
    size_t n = to ? strlen(to) : 0;
    if (to) snprintf(to + n, sizeof err->message - n, "%s%s%s", n ? "; " : "", name, why);
}

/* Of an option with a value the last counts: an alias can be overridden, but not in silence. */
static void tell_repeated(const rt_options *o) {
    for (size_t i = 0; i < rt_option_table.count; i++) {
        const base_option *row = &rt_option_table.rows[i];
        bool counts = row->kind == BASE_OPTION_FLAG || row->needs & RT_OPTION_REPEATS;
        if (o->given[i] > 1 && !counts && !o->quiet)
            fprintf(stderr, "note: %s was given more than once; the last one counts\n", row->name);
    }
}

rt_status rt_options_check(const rt_option_context *c, rt_error *err) {
    bool refused = false, fine = true;
    rt_error all = {""};
    for (int notes = 0; notes < 2 && fine; notes++) /* first what is refused */
        for (size_t i = 0; i < rt_option_table.count; i++) {
            const char *name = rt_option_table.rows[i].name,
                       *why = c->options->given[i] ? rt_option_idle(i, c, &refused) : NULL;
            if (!why) continue;
            if (!notes && refused) join(&all, name, why);
            if (notes && !c->options->quiet) fprintf(stderr, "note: %s%s\n", name, why);
            fine &= !refused;
        }
    if (!fine) return rt_fail(err, RT_ERR_USAGE, "%s", all.message);
    if (!c->info) tell_repeated(c->options);
    return RT_OK;
}
