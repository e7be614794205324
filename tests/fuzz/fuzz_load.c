/* Fuzz entry: a model that is one file: its name behind "== ", then its bytes. What kind of file it
 * is, its name and its content say. A model verifies; what is none has a reason. (Texts of the IR
 * have entries of their own.) */
#include "tests/fuzz/fuzz.h"

#include "frontend/frontend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const fe_options options = {
        .random_weights = true, .guidance_pair = true, .shared_timestep = true};
    const char *line = memchr(data, '\n', size), *path;
    char name[64];
    if (!line) return 0;
    const size_t n = (size_t)(line - (const char *)data), begin = n + 1;
    if (n < 4 || n - 3 >= sizeof name || memcmp(data, "== ", 3) != 0) return 0;
    snprintf(name, sizeof name, "%.*s", (int)(n - 3), (const char *)data + 3);
    const char *end = strrchr(name, '.');
    fuzz_folder();
    if ((end && !strcmp(end, ".ir")) || strchr(name, '/') ||
        !fuzz_write(name, data + begin, size - begin, &path))
        return 0;
    base_diag *d = fuzz_diag(size % 2);
    ir_module *m = fe_load(d, path, &options);
    PROMISE((m != NULL) == (base_diag_errors(d) == 0));
    if (m) ir_verify(m, NULL);
    ir_module_free(m);
    base_diag_free(d);
    return 0;
}
