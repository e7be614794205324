/* From diffusers' names of tensors to those of single-file checkpoints; see ldm.h. diffusers
 * numbers resolutions and the blocks in them, the U-Net of the latent diffusion code one list of
 * blocks down and one up; its decoder numbers resolutions from the finest, OpenCLIP keeps query,
 * key and value in one tensor and its projection as [width, projection]. A name that has no other
 * form is taken over as it is. */
#include <stdlib.h>
#include <string.h>

#include "frontend/ldm/ldm.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

typedef struct new_name {
    const char *from, *to;
} new_name;

/* ---- reading names ---- */

/* Moves *s behind `text` if it begins with it. */
static bool take(const char **s, const char *text) {
    size_t n = strlen(text);
    if (strncmp(*s, text, n) != 0) return false;
    *s += n;
    return true;
}

/* "N." at *s. Numbers are those of the front end's own names, so they are small. */
static bool take_number(const char **s, long *n) {
    char *end;
    if (**s < '0' || **s > '9') return false;
    *n = strtol(*s, &end, 10);
    if (*end != '.') return false;
    *s = end + 1;
    return true;
}

/* `name` with the first matching beginning exchanged; NULL when none matches. */
static const char *exchange(base_arena *a, const char *name, const new_name *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const char *rest = name;
        if (take(&rest, rows[i].from)) return base_arena_printf(a, "%s%s", rows[i].to, rest);
    }
    return NULL;
}

/* ---- U-Net ---- */

static const char *res_name(base_arena *a, const char *name) {
    static const new_name rows[] = {
        {"norm1.", "in_layers.0."},          {"conv1.", "in_layers.2."},
        {"norm2.", "out_layers.0."},         {"conv2.", "out_layers.3."},
        {"time_emb_proj.", "emb_layers.1."}, {"conv_shortcut.", "skip_connection."}};
    const char *other = exchange(a, name, rows, COUNT(rows));
    return other ? other : name;
}

static const char *down_name(const ldm_unet *u, base_arena *a, const char *s) {
    long resolution, block,
        stride = (long)u->blocks + 1; /* the last block of a resolution halves the picture */
    if (!take_number(&s, &resolution)) return NULL;
    if (take(&s, "resnets.") && take_number(&s, &block))
        return base_arena_printf(a, "input_blocks.%ld.0.%s", 1 + resolution * stride + block,
                                 res_name(a, s));
    if (take(&s, "attentions.") && take_number(&s, &block))
        return base_arena_printf(a, "input_blocks.%ld.1.%s", 1 + resolution * stride + block, s);
    if (take(&s, "downsamplers.0.conv."))
        return base_arena_printf(a, "input_blocks.%ld.0.op.%s", (resolution + 1) * stride, s);
    return NULL;
}

static const char *up_name(const ldm_unet *u, base_arena *a, const char *s) {
    long resolution, block, stride = (long)u->blocks + 1;
    if (!take_number(&s, &resolution)) return NULL;
    if (take(&s, "resnets.") && take_number(&s, &block))
        return base_arena_printf(a, "output_blocks.%ld.0.%s", resolution * stride + block,
                                 res_name(a, s));
    if (take(&s, "attentions.") && take_number(&s, &block))
        return base_arena_printf(a, "output_blocks.%ld.1.%s", resolution * stride + block, s);
    /* the upsampler stands in the resolution's last block, behind its attention if there is one */
    if (take(&s, "upsamplers.0.conv.") && resolution < (long)u->resolutions)
        return base_arena_printf(a, "output_blocks.%ld.%d.conv.%s",
                                 resolution * stride + stride - 1,
                                 u->up_depth[u->resolutions - 1 - (size_t)resolution] ? 2 : 1, s);
    return NULL;
}

static const char *mid_name(base_arena *a, const char *s) {
    long block;
    if (take(&s, "resnets.") && take_number(&s, &block))
        return base_arena_printf(a, "middle_block.%ld.%s", 2 * block, res_name(a, s));
    if (take(&s, "attentions.") && take_number(&s, &block))
        return base_arena_printf(a, "middle_block.%ld.%s", 2 * block + 1, s);
    return NULL;
}

static const char *unet_name(const ldm_unet *u, base_arena *a, const char *name) {
    static const new_name rows[] = {{"conv_in.", "input_blocks.0.0."},
                                    {"conv_norm_out.", "out.0."},
                                    {"conv_out.", "out.2."},
                                    {"time_embedding.linear_1.", "time_embed.0."},
                                    {"time_embedding.linear_2.", "time_embed.2."},
                                    {"class_embedding.linear_1.", "label_emb.0.0."},
                                    {"class_embedding.linear_2.", "label_emb.0.2."},
                                    {"class_embedding.", "label_emb."},
                                    {"add_embedding.linear_1.", "label_emb.0.0."},
                                    {"add_embedding.linear_2.", "label_emb.0.2."}};
    const char *s = name;
    if (take(&s, "down_blocks.")) return down_name(u, a, s);
    if (take(&s, "mid_block.")) return mid_name(a, s);
    if (take(&s, "up_blocks.")) return up_name(u, a, s);
    return exchange(a, name, rows, COUNT(rows));
}

/* ---- autoencoder ---- */

static const char *vae_res_name(base_arena *a, const char *name) {
    static const new_name rows[] = {{"conv_shortcut.", "nin_shortcut."}};
    const char *other = exchange(a, name, rows, COUNT(rows));
    return other ? other : name;
}

static const char *vae_attention_name(base_arena *a, const char *name) {
    static const new_name rows[] = {{"group_norm.", "norm."},
                                    {"to_q.", "q."},
                                    {"to_k.", "k."},
                                    {"to_v.", "v."},
                                    {"to_out.0.", "proj_out."}};
    return exchange(a, name, rows, COUNT(rows));
}

/* What follows "encoder." or "decoder.". */
static const char *vae_side_name(const ldm_vae *v, base_arena *a, const char *name) {
    static const new_name rows[] = {{"conv_norm_out.", "norm_out."}};
    const char *s = name;
    long resolution = 0, block;
    bool down = take(&s, "down_blocks."), up = !down && take(&s, "up_blocks.");
    if ((down || up) && !take_number(&s, &resolution)) return NULL;
    if (up) resolution = (long)v->resolutions - 1 - resolution;
    if (down || up) {
        const char *way = down ? "down" : "up";
        if (take(&s, "resnets.") && take_number(&s, &block))
            return base_arena_printf(a, "%s.%ld.block.%ld.%s", way, resolution, block,
                                     vae_res_name(a, s));
        if (take(&s, "downsamplers.0.") || take(&s, "upsamplers.0."))
            return base_arena_printf(a, "%s.%ld.%ssample.%s", way, resolution, way, s);
        return NULL;
    }
    if (take(&s, "mid_block.resnets.") && take_number(&s, &block))
        return base_arena_printf(a, "mid.block_%ld.%s", block + 1, vae_res_name(a, s));
    if (take(&s, "mid_block.attentions.") && take_number(&s, &block)) {
        const char *rest = vae_attention_name(a, s);
        return rest ? base_arena_printf(a, "mid.attn_%ld.%s", block + 1, rest) : NULL;
    }
    const char *other = exchange(a, name, rows, COUNT(rows));
    return other ? other : name;
}

static const char *vae_name(const ldm_vae *v, base_arena *a, const char *name) {
    const char *s = name;
    bool encoder = take(&s, "encoder.");
    if (!encoder && !take(&s, "decoder.")) return name; /* quant_conv, post_quant_conv */
    const char *rest = vae_side_name(v, a, s);
    return rest ? base_arena_printf(a, "%s.%s", encoder ? "encoder" : "decoder", rest) : NULL;
}

/* ---- text encoders ---- */

/* Query, key and value are the thirds, in this order, of one tensor's rows. */
static const char *third(const ldm_text *t, base_arena *a, const char *layer, const char *s) {
    static const char *const letters[] = {"q_proj.", "k_proj.", "v_proj."};
    for (long long i = 0; i < 3; i++) {
        const char *rest = s;
        if (take(&rest, letters[i]))
            return base_arena_printf(a, "%sattn.in_proj_%s[%lld:%lld]", layer, rest,
                                     i * (long long)t->width, (i + 1) * (long long)t->width);
    }
    return NULL;
}

static const char *open_clip_name(const ldm_text *t, base_arena *a, const char *name) {
    static const new_name rows[] = {
        {"text_model.embeddings.token_embedding.", "token_embedding."},
        {"text_model.embeddings.position_embedding.weight", "positional_embedding"},
        {"text_model.final_layer_norm.", "ln_final."},
        {"text_projection.weight", "text_projection.T"}};
    static const new_name layer_rows[] = {{"layer_norm1.", "ln_1."},
                                          {"layer_norm2.", "ln_2."},
                                          {"mlp.fc1.", "mlp.c_fc."},
                                          {"mlp.fc2.", "mlp.c_proj."},
                                          {"self_attn.out_proj.", "attn.out_proj."}};
    const char *s = name;
    long i;
    if (!take(&s, "text_model.encoder.layers.")) return exchange(a, name, rows, COUNT(rows));
    if (!take_number(&s, &i)) return NULL;
    const char *layer = base_arena_printf(a, "transformer.resblocks.%ld.", i);
    const char *rest = exchange(a, s, layer_rows, COUNT(layer_rows));
    if (rest) return base_arena_printf(a, "%s%s", layer, rest);
    return take(&s, "self_attn.") ? third(t, a, layer, s) : NULL;
}

static const char *text_name(const ldm_text *t, base_arena *a, const char *name) {
    if (t->open) return open_clip_name(t, a, name);
    if (t->bare) take(&name, "text_model.");
    return name;
}

/* ---- components ---- */

static const ldm_text *text_of(const ldm_file *f, const char *component) {
    for (size_t i = 0; i < LDM_TEXTS; i++)
        if (f->text[i].prefix && strcmp(f->text[i].folder, component) == 0) return &f->text[i];
    return NULL;
}

/* Prefix of the component's tensors; NULL when the file does not have it. */
static const char *prefix_of(const ldm_file *f, const char *component) {
    const ldm_text *text = text_of(f, component);
    if (text) return text->prefix;
    if (strcmp(component, "unet") == 0) return f->unet.prefix;
    return strcmp(component, "vae") == 0 ? f->vae.prefix : NULL;
}

const char *ldm_place(const ldm_file *f, const char *component, base_arena *a, const char *name) {
    const ldm_text *text = text_of(f, component);
    const char *other = text                             ? text_name(text, a, name)
                        : strcmp(component, "unet") == 0 ? unet_name(&f->unet, a, name)
                                                         : vae_name(&f->vae, a, name);
    const char *prefix = prefix_of(f, component);
    return base_arena_printf(a, "%s%s", prefix ? prefix : "", other ? other : name);
}

bool ldm_owns(const ldm_file *f, const char *component, const char *tensor) {
    const char *prefix = prefix_of(f, component);
    return prefix && take(&tensor, prefix) && !ldm_is_surplus(f, tensor - strlen(prefix));
}

/* ---- tensors of no use ---- */

/* The last layer of Stable Diffusion 2's text encoder is in the file, but the state before it is
 * what is used. */
static bool behind_last_layer(const ldm_text *t, const char *s) {
    long i;
    return t->prefix && t->open && take(&s, t->prefix) && take(&s, "transformer.resblocks.") &&
           take_number(&s, &i) && i == t->layers;
}

bool ldm_is_surplus(const ldm_file *f, const char *tensor) {
    /* averages of training, buffers of the noise schedule, losses, a depth estimator, markers */
    static const char *const beginnings[] = {"model_ema.",
                                             "first_stage_model.model_ema.",
                                             "first_stage_model.loss.",
                                             "depth_model.",
                                             "low_scale_model.",
                                             "embedding_manager.",
                                             "denoiser.",
                                             "posterior_",
                                             "sqrt_",
                                             "log_one_minus_alphas_cumprod",
                                             "alphas_cumprod"};
    static const char *const names[] = {"betas",       "logvar", "lvlb_weights", "scale_factor",
                                        "global_step", "v_pred", "ztsnr"};
    static const char *const endings[] = {".position_ids", ".logit_scale", ".attn_mask",
                                          ".transformer.text_projection.weight"};
    size_t length = strlen(tensor);
    for (size_t i = 0; i < COUNT(names); i++)
        if (strcmp(tensor, names[i]) == 0) return true;
    for (size_t i = 0; i < COUNT(beginnings); i++)
        if (strncmp(tensor, beginnings[i], strlen(beginnings[i])) == 0) return true;
    for (size_t i = 0; i < COUNT(endings); i++) {
        size_t n = strlen(endings[i]);
        if (length >= n && strcmp(tensor + length - n, endings[i]) == 0) return true;
    }
    for (size_t i = 0; i < LDM_TEXTS; i++) {
        const ldm_text *t = &f->text[i];
        if (behind_last_layer(t, tensor)) return true;
        const char *rest = tensor; /* Stable Diffusion 2 has a projection that nobody applies */
        if (t->prefix && t->open && !t->projection && take(&rest, t->prefix) &&
            strcmp(rest, "text_projection") == 0)
            return true;
    }
    return false;
}
