/* Configurations of image encoders, safety checkers and upscalers ("RRDBNet") that cannot be built. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "tests/unit/support/captured_diag.h"
#include "tests/unit/support/temp_dir.h"

/* A folder with such a config of the class, with made-up weights; `expected` NULL: it is built. */
static void check(const char *class, const char *keys, const char *expected) {
    char config[1024];
    temp_dir t;
    capture c;
    temp_dir_begin(&t);
    capture_begin(&c, (base_diag_options){0});
    snprintf(config, sizeof config, "{\"architectures\": [\"%s\"], \"projection_dim\": 8%s}", class,
             keys);
    temp_write(&t, "config.json", config, strlen(config));
    ir_module *m = fe_load(c.diag, t.path, &(fe_options){.random_weights = true, .random_seed = 1});
    const char *text = captured(&c);
    if (expected && !strstr(text, expected)) print_message("%s\n", text);
    assert_true(!expected == (m != NULL));
    assert_true(!expected || strstr(text, expected) != NULL);
    ir_module_free(m);
    capture_end(&c);
    temp_dir_end(&t);
}

#define SMALL                                                                                      \
    "\"hidden_size\": 8, \"num_attention_heads\": 2, \"num_hidden_layers\": 1, \"image_size\": 6," \
    " \"patch_size\": 2, \"intermediate_size\": 8"

static void encoders(void **state) {
    (void)state;
    const char *class = "CLIPVisionModelWithProjection";
    check(class, ", " SMALL, NULL);
    check(class, ", " SMALL ", \"hidden_act\": \"gelu_pytorch_tanh2\"", "activation");
    check(class, ", \"hidden_size\": 8, \"num_attention_heads\": 3", "3 heads do not divide");
    check(class, ", \"image_size\": 6, \"patch_size\": 7", "larger than the picture");
}

static void upscalers(void **state) {
    (void)state;
    const char *class = "x\"], \"_class_name\": \"RRDBNet\", \"y\": [\"";
    check(class, ", \"scale\": 3", "1, 2 or 4 times as large");
    check(class, ", \"num_blok\": 2, \"num_feat\": 0", "num_feat");
}

static void checkers(void **state) {
    (void)state;
    const char *class = "StableDiffusionSafetyChecker";
    check(class, ", \"vision_config\": {" SMALL "}", NULL);
    check(class, "", "there is no 'vision_config'");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoders),
        cmocka_unit_test(checkers),
        cmocka_unit_test(upscalers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
