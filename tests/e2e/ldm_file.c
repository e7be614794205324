/* ldm_file FOLDER MAP OUT: the single-file checkpoint with the weights that --weights=random:1
 * gives the folder. */
#include <stdio.h>

#include "frontend/frontend.h"
#include "tests/unit/frontend/ldm_fixture.h"

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: ldm_file FOLDER MAP OUT\n");
        return 2;
    }
    base_diag *d = base_diag_new(NULL);
    fe_options o = {
        .random_weights = true, .random_seed = 1, .guidance_pair = true, .shared_timestep = true};
    ir_module *m = fe_load(d, argv[1], &o);
    if (m) {
        ldm_fixture f;
        ldm_fixture_begin(&f, m, argv[2]);
        ldm_fixture_write(&f, argv[3], NULL, 0);
        ldm_fixture_end(&f);
    }
    int code = m ? 0 : 1;
    ir_module_free(m);
    base_diag_free(d);
    return code;
}
