#include "runtime/image/picture_formats.h"

#include <ctype.h>
#include <string.h>

static const rt_picture_format formats[] = {
    {"PNG", "png ", rt_png_check, rt_png_encode},
    {"JPEG", "jpg jpeg jpe jfif jif ", NULL, NULL},
    {"WebP", "webp ", NULL, NULL},
    {"GIF", "gif ", NULL, NULL},
    {"BMP", "bmp dib ", NULL, NULL},
    {"TIFF", "tif tiff ", NULL, NULL},
    {"AVIF", "avif avifs ", NULL, NULL},
    {"HEIF", "heic heif hif ", NULL, NULL},
    {"JPEG XL", "jxl ", NULL, NULL},
    {"JPEG 2000", "jp2 j2k jpf jpx jpc ", NULL, NULL},
    {"animated PNG", "apng ", NULL, NULL},
    {"Netpbm", "ppm pgm pbm pnm pam pfm ", NULL, NULL},
    {"TGA", "tga ", NULL, NULL},
    {"ICO", "ico cur ", NULL, NULL},
    {"QOI", "qoi ", NULL, NULL},
    {"OpenEXR", "exr ", NULL, NULL},
    {"Radiance HDR", "hdr ", NULL, NULL},
    {"DDS", "dds ", NULL, NULL},
    {"PCX", "pcx ", NULL, NULL},
    {"X bitmap", "xbm xpm ", NULL, NULL},
    {"SVG", "svg svgz ", NULL, NULL},
    {"PDF", "pdf ", NULL, NULL},
    {"PostScript", "ps eps ", NULL, NULL},
    {"Photoshop", "psd psb ", NULL, NULL},
    {"GIMP", "xcf ", NULL, NULL},
    {"NumPy", "npy npz ", NULL, NULL},
};

const rt_picture_format *rt_picture_format_of(const char *path) {
    enum { LONGEST = 8 };
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    char ending[LONGEST + 2] = "";
    size_t n = dot && dot != name ? strlen(dot + 1) : 0;
    if (!n || n > LONGEST) return formats;
    for (size_t i = 0; i < n; i++) ending[i] = (char)tolower((unsigned char)dot[1 + i]);
    ending[n] = ' ';
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const char *found = strstr(formats[i].endings, ending);
        if (found && (found == formats[i].endings || found[-1] == ' ')) return &formats[i];
    }
    return formats;
}
