/* Names of U-Net modules in the original implementation; see lora.h.
 *
 * There, the way down is one list: conv_in is input_blocks.0, then come each level's residual blocks (with
 * their attention as .1) and its downsampler. The way up counts the same way, but an upsampler stands behind
 * the level's last residual block and attention in the same entry. */
#include <stdio.h>
#include <string.h>

#include "frontend/lora.h"

enum { LEVELS = 16, MAX_LAYERS = 64 };

typedef struct level {
    int layers;
    bool attention, resampler;
} level;

/* Notes what "KIND.I.resnets.J..." says about level I. */
static void note_level(const char *path, const char *kind, level levels[LEVELS]) {
    char part[32];
    int i, j;
    size_t n = strlen(kind);
    if (strncmp(path, kind, n) != 0 || sscanf(path + n, ".%d.%31[a-z].%d", &i, part, &j) != 3) return;
    if (i < 0 || i >= LEVELS || j < 0 || j >= MAX_LAYERS) return;
    level *l = &levels[i];
    if (!strcmp(part, "resnets") && j >= l->layers) l->layers = j + 1;
    l->attention |= !strcmp(part, "attentions");
    l->resampler |= !strcmp(part, "downsamplers");
}

void fe_lora_ldm_read(const ir_module *m, fe_lora_ldm *out) {
    level down[LEVELS] = {{0}}, up[LEVELS] = {{0}};
    for (size_t i = 0; i < m->weights.count; i++) {
        const char *name = m->weights.items[i].name;
        if (strncmp(name, "unet/", 5) != 0) continue;
        note_level(name + 5, "down_blocks", down);
        note_level(name + 5, "up_blocks", up);
    }
    for (int i = 0, d = 1, u = 0; i < LEVELS; i++) {
        out->down_base[i] = d;
        out->up_base[i] = u;
        out->up_layers[i] = up[i].layers;
        out->up_attention[i] = up[i].attention;
        d += down[i].layers + down[i].resampler;
        u += up[i].layers;
    }
}

/* The part of a residual block behind its number. */
static bool resnet_part(const char *rest, ir_str *out) {
    static const char *const names[][2] = {{"conv1", "in_layers.2"},
                                           {"time_emb_proj", "emb_layers.1"},
                                           {"conv2", "out_layers.3"},
                                           {"conv_shortcut", "skip_connection"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(rest, names[i][0])) {
            ir_str_add(out, names[i][1]);
            return true;
        }
    return false;
}

static bool part_name(const char *part, const char *rest, ir_str *out) {
    if (!strcmp(part, "resnets")) return resnet_part(rest, out);
    if (strcmp(part, "attentions") != 0) return false;
    ir_str_add(out, rest); /* inside, both call things the same */
    return true;
}

static bool level_name(const fe_lora_ldm *l, const char *path, bool up, ir_str *out) {
    char part[32];
    int i, j, used = 0;
    if (sscanf(path, ".%d.%31[a-z].%d.%n", &i, part, &j, &used) != 3 || !used) return false;
    if (i < 0 || i >= LEVELS || j < 0 || j >= MAX_LAYERS) return false;
    const char *list = up ? "output_blocks" : "input_blocks", *rest = path + used;
    int base = up ? l->up_base[i] : l->down_base[i];
    if (!strcmp(part, "upsamplers")) {
        ir_str_addf(out, "output_blocks.%d.%d.%s", base + l->up_layers[i] - 1, l->up_attention[i] ? 2 : 1,
                    rest);
        return true;
    }
    if (!strcmp(part, "downsamplers")) { /* the entry before the next level */
        ir_str_addf(out, "input_blocks.%d.0.op", (i + 1 < LEVELS ? l->down_base[i + 1] : base) - 1);
        return true;
    }
    ir_str_addf(out, "%s.%d.%d.", list, base + j, strcmp(part, "attentions") == 0);
    return part_name(part, rest, out);
}

static bool mid_name(const char *path, ir_str *out) {
    char part[32];
    int j, used = 0;
    if (sscanf(path, ".%31[a-z].%d.%n", part, &j, &used) != 2 || !used || j < 0 || j >= MAX_LAYERS)
        return false;
    ir_str_addf(out, "middle_block.%d.", !strcmp(part, "resnets") ? 2 * j : 2 * j + 1);
    return part_name(part, path + used, out);
}

bool fe_lora_ldm_name(const fe_lora_ldm *l, const char *path, ir_str *out) {
    static const char *const names[][2] = {{"conv_in", "input_blocks.0.0"},
                                           {"conv_out", "out.2"},
                                           {"time_embedding.linear_1", "time_embed.0"},
                                           {"time_embedding.linear_2", "time_embed.2"},
                                           {"add_embedding.linear_1", "label_emb.0.0"},
                                           {"add_embedding.linear_2", "label_emb.0.2"}};
    out->len = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(path, names[i][0])) {
            ir_str_add(out, names[i][1]);
            return true;
        }
    if (!strncmp(path, "down_blocks.", 12)) return level_name(l, path + 11, false, out);
    if (!strncmp(path, "up_blocks.", 10)) return level_name(l, path + 9, true, out);
    if (!strncmp(path, "mid_block.", 10)) return mid_name(path + 9, out);
    return false;
}
