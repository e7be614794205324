#include "runtime/cli/paint/paint_parameters.h"
#include "runtime/cli/lora_option.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

/* In quotes where commas, quotes or line ends would end the value for who reads it. */
static void put_value(FILE *f, const char *s) {
    if (!s[strcspn(s, ",:\"\\\n")]) {
        fputs(s, f);
        return;
    }
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') fputc('\\', f);
        if (*s == '\n')
            fputs("\\n", f);
        else
            fputc(*s, f);
    }
    fputc('"', f);
}

/* ---- the parts of the line of settings ---- */

static void put_picture(FILE *f, const char *name, const void *pixels, size_t bytes) {
    if (pixels)
        fprintf(f, "%s hash: %016llx, ", name,
                (unsigned long long)base_hash64_bytes(BASE_HASH64_START, pixels, bytes));
}

/* "Control 0: canny:0.8:0:1, " and what the picture was. */
static void put_controls(FILE *f, const rt_painting *p) {
    for (int i = 0; i < p->info->control_count; i++) {
        const rt_control_info *info = &p->info->controls[i];
        const rt_control_setting *s = &p->settings->controls[i];
        char name[32], text[300];
        if (!p->settings->pictures.controls[i] || s->scale == 0) continue;
        snprintf(name, sizeof name, "Control %d", i);
        snprintf(text, sizeof text, "%s:%g:%g:%g", info->source ? info->source : info->function,
                 s->scale, s->start, s->stop);
        fprintf(f, "%s: ", name);
        put_value(f, text);
        fprintf(f, ", ");
        put_picture(f, name, p->settings->pictures.controls[i],
                    (size_t)info->width * (size_t)info->height * (size_t)info->channels *
                        sizeof(float));
    }
    if (p->settings->guess_mode) fprintf(f, "Guess mode: on, ");
}

/* Pictures beside the prompt: of each IP-Adapter its scale and what it looks at. */
static void put_references(FILE *f, const rt_painting *p) {
    const rt_pictures *given = &p->settings->pictures;
    const char *names = rt_meta_string(p->tables, EBRU_META_IP_ADAPTER_NAMES);
    size_t bytes = (size_t)given->reference_width * (size_t)given->reference_height * 3 *
                   sizeof **given->references;
    if (!given->reference_count) return;
    if (names) {
        fprintf(f, "IP-Adapter: ");
        put_value(f, names);
        fprintf(f, ", ");
    }
    for (int i = 0; i < p->info->reference_adapters; i++)
        fprintf(f, "IP-Adapter scale: %g, ", p->settings->reference_scale[i]);
    for (int i = 0; i < given->reference_count; i++)
        put_picture(f, "IP-Adapter image", given->references[i], bytes);
}

static void put_pictures(FILE *f, const rt_painting *p) {
    const rt_settings *s = p->settings;
    const rt_pipeline_info *info = p->info;
    bool larger = info->condition == EBRU_CONDITION_LOW_RESOLUTION;
    size_t latent = (size_t)info->latent_width * (size_t)info->latent_height,
           area = (size_t)info->width * (size_t)info->height;
    if (larger && s->noise_level >= 0)
        fprintf(f, "Noise level: %d, ", s->noise_level);
    else if (!larger && s->pictures.init)
        fprintf(f, "Denoising strength: %g, ", s->strength);
    if (s->pictures.mask) fprintf(f, "Mask: on, ");
    if (s->pictures.depth) fprintf(f, "Depth map: on, ");
    put_picture(f, "Init image", s->pictures.init,
                (larger ? latent : area) * (size_t)info->channels);
    put_picture(f, "Mask", s->pictures.mask, area);
    put_picture(f, "Depth map", s->pictures.depth, latent * sizeof *s->pictures.depth);
    put_controls(f, p);
    put_references(f, p);
}

/* The keys of the scheduler's file that the model carries; all others are the class's defaults. */
static void put_scheduler(FILE *f, const struct ebru_model *t, const char *prefix,
                          const char *title) {
    size_t n = strlen(prefix);
    bool any = false;
    for (int32_t i = 0; i < t->meta_count; i++) {
        const struct ebru_meta_desc *m = &t->meta[i];
        if (strncmp(m->key, prefix, n) != 0 || !rt_sampler_config_knows(m->key + n)) continue;
        fprintf(f, "%s%s=", any ? " " : title, m->key + n);
        if (m->kind == EBRU_META_KIND_INT)
            fprintf(f, "%lld", (long long)m->i);
        else if (m->kind == EBRU_META_KIND_FLOAT)
            fprintf(f, "%.9g", m->f);
        else if (strchr(m->s, ' ')) /* a thousand numbers */
            fprintf(f, "#%016llx", (unsigned long long)base_hash64_text(m->s));
        else
            fprintf(f, "%s", m->s);
        any = true;
    }
    if (any) fprintf(f, ", ");
}

/* "style:0.8 (DIGEST), detail:1 (DIGEST)" */
static void put_slots(FILE *f, const rt_painting *p) {
    float scale[BASE_LORA_SLOTS];
    char text[BASE_LORA_SLOTS * 80] = "";
    size_t used = 0;
    rt_loras_set(p->options, p->tables, scale);
    for (int i = 0; i < BASE_LORA_SLOTS && used < sizeof text; i++)
        if (scale[i] != 0)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%.40s:%.9g (%.16s)",
                                     used ? ", " : "", rt_meta_lora_name(p->tables, i),
                                     (double)scale[i], rt_meta_lora_digest(p->tables, i));
    if (!used) return;
    fprintf(f, "LoRA slots: ");
    put_value(f, text);
    fprintf(f, ", ");
}

static void put_model(FILE *f, const struct ebru_model *t) {
    const char *loras = rt_meta_string(t, EBRU_META_MODEL_LORAS),
               *digest = rt_meta_string(t, EBRU_META_MODEL_DIGEST),
               *quantization = rt_meta_string(t, EBRU_META_QUANTIZATION);
    int64_t skip = rt_meta_int(t, EBRU_META_TEXT_CLIP_SKIP),
            chunks = rt_meta_int(t, EBRU_META_TEXT_CHUNKS);
    /* counted as the web UI does: 1 is the last layer */
    if (skip) fprintf(f, "Clip skip: %lld, ", (long long)skip + 1);
    if (chunks > 1) fprintf(f, "Prompt chunks: %lld, ", (long long)chunks);
    if (rt_meta_has(t, EBRU_META_PRECISION.name))
        fprintf(f, "Precision: %s, ", rt_meta_string(t, EBRU_META_PRECISION));
    if (quantization) fprintf(f, "Quantization: %s, ", quantization);
    if (loras) {
        fprintf(f, "LoRA: ");
        put_value(f, loras);
        fprintf(f, ", ");
    }
    if (digest) fprintf(f, "Weights: %s, ", digest);
}

/* ---- the text ---- */

static void put_prompts(FILE *f, const rt_painting *p, const rt_request *r) {
    bool guided = p->info->guidance_pair && p->settings->guidance > 1;
    /* an empty negative prompt is another than none where that means zeros */
    bool negative = r->negative && guided && (r->negative_length || p->info->force_zeros);
    if (!r->prompt) return;
    fprintf(f, "%.*s\n", (int)r->prompt_length, r->prompt);
    if (negative) fprintf(f, "Negative prompt: %.*s\n", (int)r->negative_length, r->negative);
}

/* One request with its settings. */
static void put_request(FILE *f, const rt_painting *p, const rt_request *r) {
    const struct ebru_model *t = p->tables;
    const rt_settings *s = p->settings;
    rt_sampler_id sampler = (rt_sampler_id)s->sampler.sampler;
    put_prompts(f, p, r);
    fprintf(f, "Steps: %d, Sampler: %s, ", s->steps, rt_sampler_label(sampler));
    if (r->prompt) fprintf(f, "CFG scale: %g, ", s->guidance);
    if (s->sampler.eta > 0 && rt_sampler_reads_eta(sampler))
        fprintf(f, "Eta: %g, ", s->sampler.eta);
    if (s->guidance_rescale > 0) fprintf(f, "Guidance rescale: %g, ", s->guidance_rescale);
    if (s->weighted) fprintf(f, "Prompt weights: on, ");
    put_pictures(f, p);
    if (!r->prompt && p->info->classes) fprintf(f, "Class: %d, ", r->class_label);
    put_scheduler(f, t, "sampler.", "Scheduler settings: ");
    if (p->info->condition == EBRU_CONDITION_LOW_RESOLUTION && p->settings->noise_level >= 0)
        put_scheduler(f, t, "low_res.", "Low resolution scheduler settings: ");
    put_slots(f, p);
    put_model(f, t);
    if (p->flagged)
        fprintf(f, "Safety checker: %s, ", p->flagged[r - p->requests] ? "flagged" : "passed");
    fprintf(f, "Seed: %llu, Size: %dx%d, Model: ", (unsigned long long)r->seed, p->info->width,
            p->info->height);
    put_value(f, rt_meta_string(t, EBRU_META_MODEL_NAME));
    if (s->upscale) {
        fprintf(f, ", Upscaler: ");
        put_value(f, rt_meta_string(t, EBRU_META_UPSCALER_NAME));
        fprintf(f, ", Upscale: %d", p->info->upscale);
    }
    fprintf(f, ", RNG: torch-cpu, Version: ebru %s", rt_meta_string(t, EBRU_META_EBRU_VERSION));
}

static bool same_request(const rt_request *a, const rt_request *b) {
    return a->prompt == b->prompt && a->class_label == b->class_label;
}

/* Pictures of one prompt or class stand behind each other, their seeds are counted on. */
static void put_grid(FILE *f, const rt_painting *p) {
    for (int i = 0, end; i < p->count; i = end) {
        for (end = i + 1; end < p->count && same_request(&p->requests[i], &p->requests[end]);)
            end++;
        if (i) fprintf(f, "\n\n");
        put_request(f, p, &p->requests[i]);
        fprintf(f, ", Grid: pictures %d to %d of %d in %d columns", i + 1, end, p->count,
                p->options->grid);
        if (end - i > 1)
            fprintf(f, " with seeds %llu to %llu", (unsigned long long)p->requests[i].seed,
                    (unsigned long long)p->requests[end - 1].seed);
    }
}

char *rt_parameters(const rt_painting *p, int index) {
    char *out = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&out, &size);
    if (!f) return NULL;
    if (p->options->grid && p->count > 1)
        put_grid(f, p);
    else
        put_request(f, p, &p->requests[index]);
    if (!fclose(f)) return out;
    free(out);
    return NULL;
}
