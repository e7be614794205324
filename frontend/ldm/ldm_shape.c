/* What the tensors of a single-file checkpoint say about its networks; see ldm.h. */
#include <stdarg.h>
#include <string.h>

#include "frontend/ldm/ldm.h"

/* of the U-Net: its prefix stands before all of its names */
#define UNET "%s"

/* ---- looking at tensors ---- */

static const fe_st_tensor *find(const ldm_file *f, const char *fmt, va_list ap) {
    char name[256];
    int n = vsnprintf(name, sizeof name, fmt, ap);
    return n > 0 && (size_t)n < sizeof name ? fe_st_find(f->table, name) : NULL;
}

const fe_st_tensor *ldm_tensor(const ldm_file *f, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const fe_st_tensor *t = find(f, fmt, ap);
    va_end(ap);
    return t;
}

/* Whether there is a tensor whose name begins like this: one that is missing does not hide its
 * block. */
__attribute__((format(printf, 2, 3))) static bool any(const ldm_file *f, const char *fmt, ...) {
    char beginning[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(beginning, sizeof beginning, fmt, ap);
    va_end(ap);
    if (n <= 0 || (size_t)n >= sizeof beginning) return false;
    size_t lo = 0, hi = fe_st_count(f->table);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(fe_st_at(f->table, mid)->name, beginning) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < fe_st_count(f->table) &&
           strncmp(fe_st_at(f->table, lo)->name, beginning, (size_t)n) == 0;
}

/* Size of a dimension of a tensor that may not be there: 0 then. */
static int64_t size_of(const fe_st_tensor *t, uint32_t dim) {
    return t && dim < t->rank ? t->dims[dim] : 0;
}

/* The tensor must be there and have a first dimension that can be a number of channels. False after
 * reporting. */
static bool channels(const ldm_file *f, const char *name, uint32_t dim, int64_t *out) {
    const fe_st_tensor *t = fe_st_find(f->table, name);
    base_loc loc = {.source = base_diag_source(f->d, f->path, NULL, 0)};
    *out = size_of(t, dim);
    if (*out >= 1 && *out <= FE_MAX_CHANNELS) return true;
    if (!t) {
        base_error(f->d, &loc,
                   "the checkpoint has no tensor '%s', which tells the size of the network", name);
    } else {
        loc = fe_st_loc(f->table, t);
        base_error(f->d, &loc, "dimension %u tells the size of the network and cannot be %lld", dim,
                   (long long)*out);
    }
    return false;
}

/* ---- U-Net ---- */

/* Transformer layers of an attention; 0 when there is none. */
static int64_t depth_of(const ldm_file *f, const char *block) {
    int64_t n = 0;
    while (n < FE_MAX_DEPTH && any(f, "%s.transformer_blocks.%lld.", block, (long long)n)) n++;
    return n;
}

int64_t ldm_depth(const ldm_file *f, bool up, size_t resolution, int64_t block) {
    const ldm_unet *u = &f->unet;
    long long at = (long long)(up ? u->resolutions - 1 - resolution : resolution);
    at = at * (u->blocks + 1) + block + !up;
    char name[128];
    snprintf(name, sizeof name, UNET "%s_blocks.%lld.1", u->prefix, up ? "output" : "input", at);
    return depth_of(f, name);
}

/* How many blocks there are, and after how many the first resolution ends. */
static int64_t count_blocks(const ldm_file *f, int64_t *stride) {
    int64_t n = 1;
    *stride = 0;
    for (; n < FE_MAX_RESOLUTIONS * (FE_MAX_DEPTH + 1); n++) {
        if (!*stride && any(f, UNET "input_blocks.%lld.0.op.", f->unet.prefix, (long long)n))
            *stride = n;
        if (!any(f, UNET "input_blocks.%lld.", f->unet.prefix, (long long)n)) break;
    }
    if (!*stride) *stride = n; /* one resolution */
    return n;
}

/* Reads a resolution's width, transformers and kind of attention from its first block. */
static bool read_level(ldm_file *f, ldm_unet *u, size_t resolution) {
    long long down = 1 + (long long)resolution * (u->blocks + 1);
    char name[128];
    snprintf(name, sizeof name, UNET "input_blocks.%lld.0.out_layers.3.weight", u->prefix, down);
    if (!channels(f, name, 0, &u->channels[resolution])) return false;
    snprintf(name, sizeof name, UNET "input_blocks.%lld.1", u->prefix, down);
    u->depth[resolution] = depth_of(f, name);
    const fe_st_tensor *self = ldm_tensor(f, "%s.transformer_blocks.0.attn1.to_k.weight", name);
    const fe_st_tensor *cross = ldm_tensor(f, "%s.transformer_blocks.0.attn2.to_k.weight", name);
    const fe_st_tensor *in = ldm_tensor(f, "%s.proj_in.weight", name);
    if (u->depth[resolution] && !u->context) {
        u->context = size_of(cross, 1);
        u->linear = in && in->rank == 2;
    }
    /* an attention that only looks at the context has keys of its width */
    u->only_cross[resolution] = u->depth[resolution] && size_of(self, 1) != u->channels[resolution];
    u->up_depth[resolution] = ldm_depth(f, true, resolution, 0);
    return true;
}

static bool unet_channels(const ldm_file *f, const char *tensor, uint32_t dim, int64_t *out) {
    char name[128];
    snprintf(name, sizeof name, UNET "%s", f->unet.prefix, tensor);
    return channels(f, name, dim, out);
}

bool ldm_read_unet(ldm_file *f) {
    ldm_unet *u = &f->unet;
    int64_t stride, model, blocks = count_blocks(f, &stride);
    const fe_st_tensor *labels = ldm_tensor(f, UNET "label_emb.weight", u->prefix);
    bool fine = unet_channels(f, "input_blocks.0.0.weight", 1, &u->in_channels);
    fine &= unet_channels(f, "input_blocks.0.0.weight", 0, &model);
    fine &= unet_channels(f, "out.2.weight", 0, &u->out_channels);
    fine &= unet_channels(f, "time_embed.0.weight", 0, &u->time_dim);
    u->blocks = stride - 1;
    u->resolutions = (size_t)(blocks / stride);
    if (!fine) return false;
    if (u->blocks < 1 || blocks % stride || u->resolutions > FE_MAX_RESOLUTIONS) {
        base_loc loc = {.source = base_diag_source(f->d, f->path, NULL, 0)};
        base_error(f->d, &loc,
                   "the U-Net has %lld input blocks, and the first resolution ends with the "
                   "%lldth: resolutions of "
                   "different length are not supported",
                   (long long)blocks, (long long)stride);
        return false;
    }
    for (size_t i = 0; i < u->resolutions; i++) fine &= read_level(f, u, i);
    char mid[64];
    snprintf(mid, sizeof mid, UNET "middle_block.1", u->prefix);
    u->mid_depth = depth_of(f, mid);
    u->mid = any(f, UNET "middle_block.0.", u->prefix);
    if (!u->context && u->mid_depth)
        u->context = size_of(ldm_tensor(f, "%s.transformer_blocks.0.attn2.to_k.weight", mid), 1);
    u->classes = size_of(labels, 0);
    u->label_width = size_of(ldm_tensor(f, UNET "label_emb.0.0.weight", u->prefix), 1);
    return fine;
}

/* ---- autoencoder ---- */

static bool read_vae(ldm_file *f) {
    ldm_vae *v = &f->vae;
    const char *p = v->prefix;
    char name[128];
    while (v->resolutions < FE_MAX_RESOLUTIONS && any(f, "%sencoder.down.%zu.", p, v->resolutions))
        v->resolutions++;
    while (v->blocks < FE_MAX_DEPTH &&
           any(f, "%sencoder.down.0.block.%lld.", p, (long long)v->blocks))
        v->blocks++;
    bool fine = true;
    for (size_t i = 0; i < v->resolutions || i == 0; i++) {
        snprintf(name, sizeof name, "%sencoder.down.%zu.block.0.conv1.weight", p, i);
        fine &= channels(f, name, 0, &v->channels[i]);
    }
    snprintf(name, sizeof name, "%sencoder.conv_in.weight", p);
    fine &= channels(f, name, 1, &v->in_channels);
    snprintf(name, sizeof name, "%sdecoder.conv_out.weight", p);
    fine &= channels(f, name, 0, &v->out_channels);
    snprintf(name, sizeof name, "%sdecoder.conv_in.weight", p);
    fine &= channels(f, name, 1, &v->latent_channels);
    v->mid_attention = any(f, "%sdecoder.mid.attn_1.", p);
    v->quant = any(f, "%squant_conv.", p);
    v->post_quant = any(f, "%spost_quant_conv.", p);
    return fine;
}

/* ---- text encoders ---- */

static bool read_text(ldm_file *f, ldm_text *t) {
    const char *p = t->prefix, *model = t->open || t->bare ? "" : "text_model.";
    const char *layers = t->open ? "transformer.resblocks." : "encoder.layers.";
    const char *tokens = t->open ? "token_embedding.weight" : "embeddings.token_embedding.weight";
    const char *positions =
        t->open ? "positional_embedding" : "embeddings.position_embedding.weight";
    char name[160], prefix[96];
    snprintf(prefix, sizeof prefix, "%s%s", p, model);
    snprintf(name, sizeof name, "%s%s", prefix, tokens);
    bool fine = channels(f, name, 0, &t->vocabulary);
    fine &= channels(f, name, 1, &t->width);
    snprintf(name, sizeof name, "%s%s", prefix, positions);
    fine &= channels(f, name, 0, &t->positions);
    snprintf(name, sizeof name, "%s%s0.mlp.%s.weight", prefix, layers, t->open ? "c_fc" : "fc1");
    fine &= channels(f, name, 0, &t->inner);
    while (t->layers < FE_MAX_DEPTH && any(f, "%s%s%lld.", prefix, layers, (long long)t->layers))
        t->layers++;
    /* Stable Diffusion 2 looks at the state before the last layer; XL asks for states by itself */
    bool second = strncmp(p, "conditioner.", 12) == 0;
    if (t->open && !second && t->layers > 1) t->layers--;
    if (t->open && second) {
        snprintf(name, sizeof name, "%stext_projection", p);
        fine &= channels(f, name, 1, &t->projection);
    }
    return fine;
}

/* A text encoder in transformers' layout, or in OpenCLIP's; either prefix may be NULL. */
static void find_text(ldm_file *f, const char *transformers, const char *open_clip, size_t slot) {
    ldm_text *t = &f->text[slot];
    t->folder = slot ? "text_encoder_2" : "text_encoder";
    bool named = transformers && any(f, "%stext_model.encoder.", transformers);
    t->bare = !named && transformers && any(f, "%sencoder.", transformers);
    t->open = !named && !t->bare && open_clip && any(f, "%stransformer.resblocks.", open_clip);
    t->prefix = named || t->bare ? transformers : t->open ? open_clip : NULL;
}

bool ldm_read_shapes(ldm_file *f) {
    static const char *const vae_prefixes[] = {"first_stage_model.", "vae."};
    for (size_t i = 0; i < 2 && !f->vae.prefix; i++)
        if (any(f, "%sdecoder.", vae_prefixes[i])) f->vae.prefix = vae_prefixes[i];
    find_text(f, "cond_stage_model.transformer.", "cond_stage_model.model.", 0);
    if (!f->text[0].prefix) find_text(f, "conditioner.embedders.0.transformer.", NULL, 0);
    find_text(f, NULL, "conditioner.embedders.1.model.", 1);
    if (!f->text[1].prefix) find_text(f, NULL, "conditioner.embedders.0.model.", 1);
    f->unet.prefix = LDM_UNET;
    bool fine = ldm_read_unet(f);
    if (f->vae.prefix) fine &= read_vae(f);
    for (size_t i = 0; i < LDM_TEXTS; i++)
        if (f->text[i].prefix) fine &= read_text(f, &f->text[i]);
    return fine;
}
