/* pngdiff A.png B.png [MIN_DB]: prints the PSNR of two pictures (inf when equal) and the largest difference;
 * exit 1 when the sizes differ or the PSNR is below MIN_DB. */
#include <math.h>
#include <png.h>
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
    png_image a, b;
    if (argc < 3) return 2;
    png_bytep x = load(argv[1], &a), y = load(argv[2], &b);
    int code = 1;
    if (x && y && a.width == b.width && a.height == b.height) {
        double sum = 0;
        int max = 0;
        size_t n = PNG_IMAGE_SIZE(a);
        for (size_t i = 0; i < n; i++) {
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
    return code;
}
