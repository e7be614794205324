/* Files of upscalers; see upscaler.h. */
#include "frontend/upscaler/upscaler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/files/files.h"
#include "frontend/files/formats.h"
#include "frontend/torch/torch_file.h"

/* ---- which file it is ---- */

bool fe_upscaler_is(const char *path) {
    static const char *const signs[] = {"body.0.rdb1.conv1.weight",
                                        "model.1.sub.0.RDB1.conv1.0.weight"};
    enum { MOST = 4 << 20 }; /* names stand in front of the elements, or nearly */
    FILE *f = fe_path_is_file(path) ? fopen(path, "rb") : NULL;
    if (!f) return false;
    char *text = base_alloc(MOST);
    size_t n = fread(text, 1, MOST, f);
    bool found = false, binary = n > 8 && (memcmp(text, "PK", 2) == 0 || text[8] == '{');
    for (size_t i = 0; binary && i < sizeof signs / sizeof *signs; i++)
        found |= memmem(text, n, signs[i], strlen(signs[i])) != NULL;
    base_free(text);
    fclose(f);
    return found;
}

/* ---- names ---- */

typedef struct names {
    const char *prefix; /* "", "params.", "params_ema." */
    bool old;
    int64_t blocks;
} names;

/* Of our name the one in files of the original ESRGAN. */
static const char *old_name(const names *n, base_arena *a, const char *name) {
    static const char *const layers[][2] = {{"conv_first.", "0."},
                                            {"conv_up1.", "3."},
                                            {"conv_up2.", "6."},
                                            {"conv_hr.", "8."},
                                            {"conv_last.", "10."}};
    long long i;
    int k, layer, used = 0;
    for (size_t l = 0; l < sizeof layers / sizeof *layers; l++)
        if (strncmp(name, layers[l][0], strlen(layers[l][0])) == 0)
            return base_arena_printf(a, "model.%s%s", layers[l][1], name + strlen(layers[l][0]));
    if (sscanf(name, "body.%lld.rdb%d.conv%d.%n", &i, &k, &layer, &used) == 3 && used)
        return base_arena_printf(a, "model.1.sub.%lld.RDB%d.conv%d.0.%s", i, k, layer, name + used);
    return base_arena_printf(a, "model.1.sub.%lld.%s", (long long)n->blocks,
                             name + strlen("conv_body."));
}

static const char *place(const void *ctx, base_arena *a, const char *name) {
    const names *n = ctx;
    return n->old ? old_name(n, a, name) : base_arena_printf(a, "%s%s", n->prefix, name);
}

static bool owns(const void *ctx, const char *tensor) {
    const names *n = ctx;
    return strncmp(tensor, n->prefix, strlen(n->prefix)) == 0;
}

/* ---- what its tensors say ---- */

static const fe_st_tensor *filter(const fe_st *t, const names *n, base_arena *a, const char *name) {
    const fe_st_tensor *f = fe_st_find(t, place(n, a, name));
    for (uint32_t i = 0; f && f->rank == 4 && i < 4; i++)
        if (f->dims[i] < 1 || f->dims[i] > FE_MAX_CHANNELS) return NULL;
    return f && f->rank == 4 ? f : NULL;
}

static int64_t count_blocks(const fe_st *t, const names *n, base_arena *a) {
    int64_t k = 0;
    while (k < FE_MAX_DEPTH &&
           filter(t, n, a, base_arena_printf(a, "body.%lld.rdb1.conv1.weight", (long long)k)))
        k++;
    return k;
}

static bool read_shapes(const fe_st *t, const names *n, base_arena *a, fe_upscaler_config *c) {
    const fe_st_tensor *first = filter(t, n, a, "conv_first.weight"),
                       *grow = filter(t, n, a, "body.0.rdb1.conv1.weight"),
                       *last = filter(t, n, a, "conv_last.weight");
    if (!first || !grow || !last) return false;
    *c = (fe_upscaler_config){.out = last->dims[0],
                              .features = first->dims[0],
                              .growth = grow->dims[0],
                              .blocks = n->blocks,
                              .unshuffle = 1};
    while (c->unshuffle < 4 && c->out * c->unshuffle * c->unshuffle < first->dims[1])
        c->unshuffle *= 2;
    c->in = first->dims[1] / (c->unshuffle * c->unshuffle);
    return c->in * c->unshuffle * c->unshuffle == first->dims[1] && c->in >= 1 && c->out >= 1;
}

static bool find_names(const fe_st *t, names *n, base_arena *a) {
    static const char *const prefixes[] = {"", "params_ema.", "params."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        *n = (names){.prefix = prefixes[i]};
        n->blocks = count_blocks(t, n, a);
        if (n->blocks) return true;
    }
    *n = (names){.prefix = "", .old = true};
    n->blocks = count_blocks(t, n, a);
    return n->blocks > 0;
}

static void close_table(void *table) {
    fe_st_close(table);
}

/* The function of a file, for the sizes that `s` says; *c is what the file is. */
static bool add(base_diag *d, ir_module *m, const char *path, const fe_sizes *s, int64_t channels,
                fe_upscaler_config *c) {
    names n;
    fe_st *table = fe_tensors_open(d, path);
    if (!table) return false;
    BASE_PUSH(&m->owners, ((struct ir_owner){table, close_table}));
    base_loc loc = {.source = base_diag_source(d, fe_st_path(table), NULL, 0)};
    if (!find_names(table, &n, m->arena) || !read_shapes(table, &n, m->arena, c)) {
        base_error(d, &loc,
                   "this is no upscaler that is built: an RRDBNet (ESRGAN, Real-ESRGAN) "
                   "for pictures 1, 2 or 4 times as large");
        return false;
    }
    if (channels && (c->in != channels || c->out != channels)) {
        base_error(d, &loc,
                   "the upscaler reads pictures of %lld channels and makes such of %lld, the "
                   "model's have %lld",
                   (long long)c->in, (long long)c->out, (long long)channels);
        return false;
    }
    fe_naming naming = {&n, place, owns};
    fe_weights *w = fe_weights_named(d, m, table, &naming);
    fe_builder b;
    fe_builder_init(&b, d, m, w, "upscaler");
    bool fine = fe_rrdb_build(&b, c, "upscaler", s) && fe_weights_check(w);
    fe_builder_free(&b);
    fe_weights_free(w);
    return fine;
}

static const char *called(ir_module *m, const char *path) {
    char *name = fe_path_base(m->arena, path);
    char *dot = strrchr(name, '.');
    if (dot && dot != name) *dot = '\0';
    return name;
}

bool fe_upscaler_add(base_diag *d, ir_module *m, const char *path, const fe_sizes *s,
                     int64_t channels) {
    fe_upscaler_config c;
    if (!add(d, m, path, s, channels, &c)) return false;
    fe_upscaler_meta(m, &c, called(m, path));
    return true;
}

static int64_t or_else(int64_t value, int64_t otherwise) {
    return value ? value : otherwise;
}

bool fe_load_upscaler(base_diag *d, ir_module *m, const char *path, const fe_options *o) {
    enum { SIDE = 128 };
    fe_upscaler_config c;
    fe_sizes s = {.batch = or_else(o->guidance_pair ? 1 : o->batch, 1),
                  .height = or_else(o->height, SIDE),
                  .width = or_else(o->width, SIDE)};
    for (uint32_t i = 0; i < o->shape_count; i++)
        if (strcmp(o->shapes[i].name, "image") == 0 && o->shapes[i].rank == 4) {
            s.batch = o->shapes[i].dim[0];
            s.height = o->shapes[i].dim[2];
            s.width = o->shapes[i].dim[3];
        }
    if (!add(d, m, path, &s, 0, &c)) return false;
    fe_upscaler_meta(m, &c, called(m, path));
    if (o->guidance_pair) fe_upscaler_alone(m, &c, &s);
    return true;
}
