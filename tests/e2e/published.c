/* published write NAME FOLDER: the folder of a pipeline of diffusers' own tests
 * (tests/unit/published/published_pipelines.h). published check NAME A.png: whether its last 3 x 3
 * pixels of the last channel are what the test prints; exit 1 when they differ by more than the
 * test's tolerance and the rounding to 8 bits. */
#include "tests/unit/published/published_pipelines.h"

#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check(const published_pipeline *p, const char *path) {
    png_image im = {.version = PNG_IMAGE_VERSION};
    unsigned side = (unsigned)p->side;
    png_byte pixels[32 * 32 * 3];
    if (!png_image_begin_read_from_file(&im, path) || im.width != side || im.height != side ||
        (im.format = PNG_FORMAT_RGB, PNG_IMAGE_SIZE(im) > sizeof pixels) ||
        !png_image_finish_read(&im, NULL, pixels, 0, NULL)) {
        fprintf(stderr, "%s: no picture of %u x %u: %s\n", path, side, side, im.message);
        return 1;
    }
    double worst = 0;
    for (unsigned i = 0; i < 9; i++) {
        unsigned at = (side - 3 + i / 3) * side + side - 3 + i % 3;
        worst = fmax(worst, fabs(pixels[3 * at + 2] / 255.0 - p->expected[i]));
    }
    printf("largest difference %.1e\n", worst);
    return worst > p->tolerance + 0.5 / 255;
}

int main(int argc, char **argv) {
    for (size_t i = 0; argc == 4 && i < published_pipeline_count; i++) {
        const published_pipeline *p = &published_pipelines[i];
        if (strcmp(argv[2], p->name) != 0) continue;
        if (strcmp(argv[1], "check") == 0) return check(p, argv[3]);
        published_pipeline_write(p, argv[3]);
        return 0;
    }
    fprintf(stderr, "usage: published write|check NAME FOLDER|PICTURE\n");
    return 2;
}
