/* The diffusers folder that would hold the model of a single-file checkpoint: its JSON files, in
 * memory; see ldm.h. Only keys whose value is not the constructor's default or that a reader looks
 * for. */
#include <string.h>

#include "frontend/ldm/clip_vocabulary.h"
#include "frontend/ldm/ldm.h"

/* ---- writing JSON ---- */

static void add_ints(base_str *s, const char *key, const int64_t *values, size_t n) {
    base_str_addf(s, "  \"%s\": [", key);
    for (size_t i = 0; i < n; i++) base_str_addf(s, "%s%lld", i ? ", " : "", (long long)values[i]);
    base_str_add(s, "],\n");
}

static void add_int(base_str *s, const char *key, int64_t value) {
    base_str_addf(s, "  \"%s\": %lld,\n", key, (long long)value);
}

static void add_flag(base_str *s, const char *key, bool value) {
    base_str_addf(s, "  \"%s\": %s,\n", key, value ? "true" : "false");
}

static void add_words(base_str *s, const char *key, const char *const *words, size_t n) {
    base_str_addf(s, "  \"%s\": [", key);
    for (size_t i = 0; i < n; i++) base_str_addf(s, "%s\"%s\"", i ? ", " : "", words[i]);
    base_str_add(s, "],\n");
}

/* The last key, without a comma. */
static void add_class(base_str *s, const char *name) {
    base_str_addf(s, "  \"_class_name\": \"%s\"\n}\n", name);
}

static void add_file(fe_dir *dir, const char *name, base_str *s) {
    fe_dir_add_text(dir, name, s->data);
    base_str_free(s);
}

/* ---- components ---- */

/* Layers of the transformers of a resolution: a number, or a list where blocks differ, as in
 * distilled networks. One that has none has any number. */
static void add_depth(base_str *s, const ldm_file *f, bool up, size_t resolution, int64_t none) {
    const ldm_unet *u = &f->unet;
    int64_t first = up ? u->up_depth[resolution] : u->depth[resolution], blocks = u->blocks + up;
    bool same = true;
    for (int64_t j = 1; first && j < blocks; j++) same &= ldm_depth(f, up, resolution, j) == first;
    if (same) {
        base_str_addf(s, "%lld", (long long)(first ? first : none));
        return;
    }
    for (int64_t j = 0; j < blocks; j++)
        base_str_addf(s, "%s%lld", j ? ", " : "[", (long long)ldm_depth(f, up, resolution, j));
    base_str_add(s, "]");
}

/* The middle has the last resolution's layers on the way down. */
static void add_depths(base_str *s, const ldm_file *f) {
    const ldm_unet *u = &f->unet;
    for (int up = 0; up < 2; up++) {
        base_str_addf(s, "  \"%stransformer_layers_per_block\": [", up ? "reverse_" : "");
        for (size_t i = 0; i < u->resolutions; i++) {
            size_t at = up ? u->resolutions - 1 - i : i;
            bool mid = !up && i + 1 == u->resolutions && u->mid_depth;
            base_str_add(s, i ? ", " : "");
            add_depth(s, f, up, at, mid ? u->mid_depth : 1);
        }
        base_str_add(s, "],\n");
    }
}

/* XL's label is made of text_embeds and of time_ids, 6 or for the refiner 5, as sinusoids. */
static void add_labels(base_str *s, const ldm_file *f) {
    const ldm_unet *u = &f->unet;
    bool refiner = f->system->family == LDM_REFINER;
    if (u->classes) add_int(s, "num_class_embeds", u->classes);
    if (!u->label_width) return;
    int64_t text = f->text[1].projection ? f->text[1].projection : 1280, ids = refiner ? 5 : 6;
    base_str_add(s, "  \"addition_embed_type\": \"text_time\",\n");
    add_int(s, "addition_time_embed_dim",
            u->label_width > text + ids ? (u->label_width - text) / ids : 1);
    add_int(s, "projection_class_embeddings_input_dim", u->label_width);
}

static void unet_config(const ldm_file *f, fe_dir *dir) {
    const ldm_unet *u = &f->unet;
    const char *down[FE_MAX_RESOLUTIONS], *up[FE_MAX_RESOLUTIONS];
    int64_t heads[FE_MAX_RESOLUTIONS] = {0};
    base_str s = {0};
    for (size_t i = 0; i < u->resolutions; i++) {
        down[i] = u->depth[i] ? "CrossAttnDownBlock2D" : "DownBlock2D";
        up[u->resolutions - 1 - i] = u->up_depth[i] ? "CrossAttnUpBlock2D" : "UpBlock2D";
        heads[i] = ldm_heads(f, u->channels[i]);
    }
    base_str_add(&s, "{\n");
    add_int(&s, "sample_size", f->system->sample);
    add_int(&s, "in_channels", u->in_channels);
    add_int(&s, "out_channels", u->out_channels);
    add_ints(&s, "block_out_channels", u->channels, u->resolutions);
    add_words(&s, "down_block_types", down, u->resolutions);
    base_str_addf(&s, "  \"mid_block_type\": %s,\n",
                  u->mid_depth ? "\"UNetMidBlock2DCrossAttn\""
                  : u->mid     ? "\"UNetMidBlock2D\""
                               : "null");
    add_words(&s, "up_block_types", up, u->resolutions);
    add_int(&s, "layers_per_block", u->blocks);
    if (u->time_dim != 4 * u->channels[0]) add_int(&s, "time_embedding_dim", u->time_dim);
    add_ints(&s, "attention_head_dim", heads,
             u->resolutions); /* diffusers' name for the number of heads */
    if (u->context) add_int(&s, "cross_attention_dim", u->context);
    add_depths(&s, f);
    add_flag(&s, "use_linear_projection", u->linear);
    base_str_add(&s, "  \"only_cross_attention\": [");
    for (size_t i = 0; i < u->resolutions; i++)
        base_str_addf(&s, "%s%s", i ? ", " : "", u->only_cross[i] ? "true" : "false");
    base_str_add(&s, "],\n");
    add_labels(&s, f);
    add_class(&s, "UNet2DConditionModel");
    add_file(dir, "unet/config.json", &s);
}

static void vae_config(const ldm_file *f, fe_dir *dir) {
    const ldm_vae *v = &f->vae;
    const char *down[FE_MAX_RESOLUTIONS], *up[FE_MAX_RESOLUTIONS];
    base_str s = {0};
    for (size_t i = 0; i < v->resolutions; i++)
        down[i] = "DownEncoderBlock2D", up[i] = "UpDecoderBlock2D";
    base_str_add(&s, "{\n");
    add_int(&s, "sample_size", f->system->sample * fe_resolution_scale(v->resolutions));
    add_int(&s, "in_channels", v->in_channels);
    add_int(&s, "out_channels", v->out_channels);
    add_int(&s, "latent_channels", v->latent_channels);
    add_ints(&s, "block_out_channels", v->channels, v->resolutions);
    add_words(&s, "down_block_types", down, v->resolutions);
    add_words(&s, "up_block_types", up, v->resolutions);
    add_int(&s, "layers_per_block", v->blocks);
    add_flag(&s, "use_quant_conv", v->quant);
    add_flag(&s, "use_post_quant_conv", v->post_quant);
    add_flag(&s, "mid_block_add_attention", v->mid_attention);
    base_str_addf(&s, "  \"scaling_factor\": %s,\n", f->system->scaling_factor);
    add_class(&s, "AutoencoderKL");
    add_file(dir, "vae/config.json", &s);
}

/* Every published text encoder has heads of 64. */
static void text_config(const ldm_text *t, fe_dir *dir) {
    base_str s = {0};
    base_str_addf(&s, "{\n  \"architectures\": [\"%s\"],\n",
                  t->projection ? "CLIPTextModelWithProjection" : "CLIPTextModel");
    add_int(&s, "vocab_size", t->vocabulary);
    add_int(&s, "hidden_size", t->width);
    add_int(&s, "intermediate_size", t->inner);
    add_int(&s, "num_hidden_layers", t->layers);
    add_int(&s, "num_attention_heads", t->width < 64 ? 1 : t->width / 64);
    add_int(&s, "max_position_embeddings", t->positions);
    if (t->projection) add_int(&s, "projection_dim", t->projection);
    add_int(&s, "eos_token_id", 2); /* as published: the largest id is the end of the text */
    base_str_addf(&s, "  \"hidden_act\": \"%s\"\n}\n", t->open ? "gelu" : "quick_gelu");
    char name[64];
    snprintf(name, sizeof name, "%s/config.json", t->folder);
    add_file(dir, name, &s);
}

/* CLIP's tokenizer; OpenCLIP pads with the token 0, which is "!". */
/* `open`: OpenCLIP's, which pads with another token. */
static void tokenizer_files(bool open, const char *folder, fe_dir *dir) {
    char name[64], text[256];
    snprintf(name, sizeof name, "%s/special_tokens_map.json", folder);
    snprintf(
        text, sizeof text,
        "{\"bos_token\": \"<|startoftext|>\", \"eos_token\": \"<|endoftext|>\", \"unk_token\": "
        "\"<|endoftext|>\", \"pad_token\": \"%s\"}\n",
        open ? "!" : "<|endoftext|>");
    fe_dir_add_text(dir, name, text);
    for (size_t i = 0; i < FE_CLIP_FILES; i++) {
        const fe_clip_file *file = &fe_clip_files[i];
        snprintf(name, sizeof name, "%s/%s", folder, file->name);
        fe_dir_add_data(dir, name, file->path, file->data, (size_t)(file->end - file->data));
    }
}

/* ---- schedulers and the index ---- */

static void scheduler_config(const ldm_file *f, fe_dir *dir) {
    base_str s = {0};
    base_str_addf(&s, "{%s, \"prediction_type\": \"%s\"", ldm_scheduler(f), f->prediction);
    /* a network trained down to no signal at all is sampled from there */
    base_str_add(&s,
                 f->zero_snr
                     ? ", \"timestep_spacing\": \"trailing\", \"rescale_betas_zero_snr\": true}\n"
                     : ", \"timestep_spacing\": \"leading\"}\n");
    add_file(dir, "scheduler/scheduler_config.json", &s);
    if (f->system->extra == 3)
        fe_dir_add_text(
            dir, "low_res_scheduler/scheduler_config.json",
            "{\"_class_name\": \"DDPMScheduler\", \"beta_schedule\": \"scaled_linear\", "
            "\"beta_start\": 0.0001, \"beta_end\": 0.02, \"num_train_timesteps\": 1000, "
            "\"variance_type\": \"fixed_small\", \"clip_sample\": true}\n");
}

static void index_file(const ldm_file *f, fe_dir *dir) {
    base_str s = {0};
    base_str_addf(&s, "{\"_class_name\": \"%s\"", f->system->pipeline);
    base_str_add(&s, ", \"unet\": [\"diffusers\", \"UNet2DConditionModel\"]");
    base_str_add(&s, ", \"scheduler\": [\"diffusers\", null]");
    if (f->vae.prefix) base_str_add(&s, ", \"vae\": [\"diffusers\", \"AutoencoderKL\"]");
    for (size_t i = 0; i < LDM_TEXTS; i++) {
        const ldm_text *t = &f->text[i];
        if (t->prefix)
            base_str_addf(&s, ", \"%s\": [\"transformers\", \"%s\"]", t->folder,
                          t->projection ? "CLIPTextModelWithProjection" : "CLIPTextModel");
    }
    base_str_addf(&s, "%s}\n", f->system->index);
    add_file(dir, "model_index.json", &s);
}

fe_dir *ldm_folder(const ldm_file *f) {
    static const char *const tokenizers[LDM_TEXTS] = {"tokenizer", "tokenizer_2"};
    fe_dir *dir = fe_dir_new_memory(f->path);
    index_file(f, dir);
    unet_config(f, dir);
    if (f->vae.prefix) vae_config(f, dir);
    for (size_t i = 0; i < LDM_TEXTS; i++) {
        if (!f->text[i].prefix && !f->text[i].given) continue;
        if (f->text[i].prefix) text_config(&f->text[i], dir);
        bool open = f->text[i].given ? i == 1 || f->system->family == LDM_SD2 : f->text[i].open;
        tokenizer_files(open, tokenizers[i], dir);
    }
    scheduler_config(f, dir);
    return dir;
}
