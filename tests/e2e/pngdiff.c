/* pngdiff A.png B.png [MIN_DB [MASK.png]]: prints the PSNR of two pictures (inf when equal) and the
 * largest difference; exit 1 when the sizes differ or the PSNR is below MIN_DB. With a mask only
 * pixels count that are black in it. */
#include <math.h>
#include <png.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static png_bytep load(const char *path, png_image *im) {
    memset(im, 0, sizeof *im);
    im->version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_file(im, path)) {
        fprintf(stderr, "%s: %s\n", path, im->message);
        return NULL;
    }
    im->format = PNG_FORMAT_RGB;
    png_bytep p = malloc(PNG_IMAGE_SIZE(*im));
    if (p && png_image_finish_read(im, NULL, p, 0, NULL)) return p;
    free(p);
    return NULL;
}

int main(int argc, char **argv) {
    png_image a, b, m;
    if (argc < 3) return 2;
    png_bytep x = load(argv[1], &a), y = load(argv[2], &b),
              mask = argc > 4 ? load(argv[4], &m) : NULL;
    bool masked = argc <= 4 || (mask && m.width == a.width && m.height == a.height);
    int code = 1;
    if (x && y && masked && a.width == b.width && a.height == b.height) {
        double sum = 0;
        int max = 0;
        size_t n = 0;
        for (size_t i = 0; i < PNG_IMAGE_SIZE(a); i++) {
            if (mask && mask[i]) continue;
            n++;
            int d = abs((int)x[i] - (int)y[i]);
            sum += (double)d * d;
            if (d > max) max = d;
        }
        double db = sum > 0 ? 10 * log10(255.0 * 255.0 * (double)n / sum) : INFINITY;
        printf("%.2f dB, max %d\n", db, max);
        code = db < (argc > 3 ? atof(argv[3]) : 0);
    } else {
        fprintf(stderr, "%s and %s: sizes differ or unreadable\n", argv[1], argv[2]);
    }
    free(x);
    free(y);
    free(mask);
    return code;
}
