/* Fuzz entry: any bytes as a model description or as the config of a component. Whatever is
 * accepted must verify; whatever is refused must have said why. Weights are random, so no file is
 * read. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/diffusers/diffusers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(x)                                                                                 \
    do {                                                                                           \
        if (!(x)) abort();                                                                         \
    } while (0)

static const fe_options options = {.random_weights = true, .random_seed = 1, .guidance_pair = true};

typedef union any_config {
    fe_unet_config unet;
    fe_vae_config vae;
    fe_clip_config text;
} any_config;

static bool build_component(fe_builder *b, base_jval root, any_config *c) {
    const fe_sizes sizes = {.batch = 1, .height = 64, .width = 32, .tokens = 5};
    const char *name = "";
    base_jval class_name = base_json_get(root, "_class_name");
    if (base_json_is(class_name, BASE_JSON_STRING)) base_json_string(class_name, &name);
    if (strcmp(name, "AutoencoderKL") == 0)
        return fe_vae_read(root, &c->vae) && fe_vae_build(b, &c->vae, "vae", &sizes);
    if (*name) return fe_unet_read(root, &c->unet) && fe_unet_build(b, &c->unet, "unet", &sizes);
    return fe_clip_read(root, &c->text) && fe_clip_build(b, &c->text, "text_encoder", &sizes);
}

static bool load_component(base_diag *d, ir_module *m, base_jval root) {
    any_config c;
    fe_builder b;
    fe_weights *w = fe_weights_random(d, m, 1);
    fe_builder_init(&b, d, m, w, "net");
    bool fine = build_component(&b, root, &c) && fe_weights_check(w);
    fe_builder_free(&b);
    fe_weights_free(w);
    return fine;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    FILE *out = fopen("/dev/null", "w");
    if (!out) return 0;
    base_diag *d = base_diag_new(&(base_diag_options){.out = out});
    base_json *doc = base_json_parse(d, "m.json", (const char *)data, size, NULL);
    if (doc) {
        ir_module *m = ir_module_new();
        base_jval root = base_json_root(doc);
        bool described = base_json_present(base_json_get(root, "ebru"));
        bool fine = described ? fe_load_description(d, m, "m.json", doc, &options)
                              : load_component(d, m, root);
        PROMISE(fine == (base_diag_errors(d) == 0));
        if (fine) ir_verify(m, NULL);
        base_json_free(doc);
        ir_module_free(m);
    }
    base_diag_free(d);
    fclose(out);
    return 0;
}
