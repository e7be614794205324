/* The U-Net of a checkpoint that comes without the rest, as a component of a diffusers folder: as
 * programs that quantize write it, with or without the prefix of its names; see ldm.h. */
#include "frontend/ldm/ldm.h"

#include <string.h>

static const char *place_in(const void *ctx, base_arena *a, const char *name) {
    return ldm_place(ctx, "unet", a, name);
}

static bool owned_by(const void *ctx, const char *tensor) {
    const ldm_file *f = ctx;
    return !ldm_is_surplus(f, tensor) &&
           strncmp(tensor, f->unet.prefix, strlen(f->unet.prefix)) == 0;
}

/* What stands before the names of the original implementation; NULL: they are others. */
static const char *find_prefix(const fe_st *table) {
    static const char *const known[] = {LDM_UNET, "diffusion_model.", ""};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char name[64];
        snprintf(name, sizeof name, "%sinput_blocks.0.0.weight", known[i]);
        if (fe_st_find(table, name)) return known[i];
    }
    return NULL;
}

static size_t count_others(const ldm_file *f) {
    size_t n = 0;
    for (size_t i = 0; i < fe_st_count(f->table); i++) {
        const char *name = fe_st_at(f->table, i)->name;
        n += !ldm_is_surplus(f, name) && !owned_by(f, name);
    }
    return n;
}

static void close_table(void *table) {
    fe_st_close(table);
}

fe_weights *fe_ldm_unet_weights(base_diag *d, ir_module *m, fe_st *table) {
    const char *prefix = find_prefix(table);
    if (!prefix) return fe_weights_table(d, m, table);
    ldm_file *f = base_arena_alloc(m->arena, sizeof *f);
    fe_naming *naming = base_arena_alloc(m->arena, sizeof *naming);
    *f = (ldm_file){.d = d, .path = fe_st_path(table), .table = table, .unet.prefix = prefix};
    *naming = (fe_naming){f, place_in, owned_by};
    BASE_PUSH(&m->owners, ((struct ir_owner){table, close_table}));
    if (!ldm_read_unet(f)) return NULL;
    size_t others = count_others(f);
    if (others)
        base_note(d, NULL, "%s: %zu tensors are no part of the U-Net and are not read",
                  fe_st_path(table), others);
    return fe_weights_named(d, m, table, naming);
}
