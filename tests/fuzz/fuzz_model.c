/* Fuzz entry: any bytes as a model description or as the config of a component. Whatever is
 * accepted must verify; whatever is refused must have said why. Weights are random, so no file is
 * read. */
#include "tests/fuzz/fuzz.h"

#include "frontend/diffusers/components.h"

static const fe_options options = {.random_weights = true, .random_seed = 1, .guidance_pair = true};

static bool build_component(fe_builder *b, base_jval root, fe_config *c) {
    const fe_sizes sizes = {.batch = 1, .height = 64, .width = 32, .tokens = 5};
    const fe_class *class = fe_class_of_config(root);
    return class && fe_class_read(class, root, c) && fe_class_build(class, b, c, "net", &sizes);
}

static bool load_component(base_diag *d, ir_module *m, base_jval root) {
    fe_config c;
    fe_builder b;
    fe_weights *w = fe_weights_random(d, m, 1);
    fe_builder_init(&b, d, m, w, "net");
    bool fine = build_component(&b, root, &c) && fe_weights_check(w);
    fe_builder_free(&b);
    fe_weights_free(w);
    return fine;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    base_diag *d = fuzz_diag(size % 2);
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
    return 0;
}
