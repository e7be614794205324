/* What the names of the original implementation depend on; see lora.h. */
#include <stdio.h>
#include <string.h>

#include "frontend/lora/lora.h"

/* Notes what "KIND.I.PART.J..." says about level I: how many blocks there are, whether attention.
 */
static void note_level(const char *path, const char *kind, int64_t blocks[FE_MAX_RESOLUTIONS],
                       bool attention[FE_MAX_RESOLUTIONS]) {
    char part[32];
    int i, j;
    size_t n = strlen(kind);
    if (strncmp(path, kind, n) != 0 || sscanf(path + n, ".%d.%31[a-z].%d", &i, part, &j) != 3)
        return;
    if (i < 0 || i >= FE_MAX_RESOLUTIONS || j < 0) return;
    if (!strcmp(part, "resnets") && j >= blocks[i]) blocks[i] = (int64_t)j + 1;
    attention[i] |= !strcmp(part, "attentions");
}

void fe_lora_ldm_read(const ir_module *m, ldm_unet *u) {
    static const char unet[] = "unet/";
    int64_t down[FE_MAX_RESOLUTIONS] = {0}, up[FE_MAX_RESOLUTIONS] = {0};
    bool attends_down[FE_MAX_RESOLUTIONS] = {false}, attends_up[FE_MAX_RESOLUTIONS] = {false};
    for (size_t i = 0; i < m->weights.count; i++) {
        const char *name = m->weights.items[i].name;
        if (strncmp(name, unet, strlen(unet)) != 0) continue;
        note_level(name + strlen(unet), "down_blocks", down, attends_down);
        note_level(name + strlen(unet), "up_blocks", up, attends_up);
    }
    *u = (ldm_unet){.blocks = down[0]};
    while (u->resolutions < FE_MAX_RESOLUTIONS && up[u->resolutions]) u->resolutions++;
    for (size_t i = 0; i < u->resolutions; i++) u->up_depth[u->resolutions - 1 - i] = attends_up[i];
}
