/* The formats of files; see formats.h. */
#include "frontend/files/formats.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Files that are often met where a model's were meant. */
static const struct {
    size_t at, length;
    const char *magic;
    fe_format format;
    const char *what;
} known[] = {
    {0, 23, "version https://git-lfs", FE_FORMAT_FOREIGN,
     "a git-lfs pointer, not the file; run `git lfs pull`"},
    {0, 2, "PK", FE_FORMAT_PICKLE, "a zip file, probably a PyTorch pickle"},
    {0, 2, "\x80\x02", FE_FORMAT_PICKLE, "a pickle"},
    {0, 2, "\x80\x03", FE_FORMAT_PICKLE, "a pickle"},
    {0, 2, "\x80\x04", FE_FORMAT_PICKLE, "a pickle"},
    {0, 2, "\x80\x05", FE_FORMAT_PICKLE, "a pickle"},
    {257, 5, "ustar", FE_FORMAT_PICKLE, "a tar file, perhaps an old PyTorch pickle"},
    {0, 4, "GGUF", FE_FORMAT_FOREIGN, "a GGUF file; ebru reads safetensors"},
    {0, 8, "\x89HDF\r\n\x1a\n", FE_FORMAT_FOREIGN, "an HDF5 file (Keras); ebru reads safetensors"},
    {4, 4, "TFL3", FE_FORMAT_FOREIGN, "a TensorFlow Lite file; ebru reads safetensors"},
    {0, 2, "\x1f\x8b", FE_FORMAT_FOREIGN, "a file packed by gzip; unpack it first"},
    {0, 6,
     "\xfd"
     "7zXZ\0",
     FE_FORMAT_FOREIGN, "a file packed by xz; unpack it first"},
    {0, 4, "\x28\xb5\x2f\xfd", FE_FORMAT_FOREIGN, "a file packed by zstd; unpack it first"},
    {0, 9, "<!DOCTYPE", FE_FORMAT_FOREIGN, "a web page, not the file it was meant to download"},
    {0, 9, "<!doctype", FE_FORMAT_FOREIGN, "a web page, not the file it was meant to download"},
    {0, 5, "<html", FE_FORMAT_FOREIGN, "a web page, not the file it was meant to download"},
    {0, 4, "\x89PNG", FE_FORMAT_FOREIGN, "a picture"},
    {0, 3, "\xff\xd8\xff", FE_FORMAT_FOREIGN, "a picture"},
    {0, 4,
     "\x7f"
     "ELF",
     FE_FORMAT_PROGRAM, NULL},
};

static uint64_t header_length(const uint8_t *data) {
    uint64_t n = 0;
    for (unsigned i = 0; i < 8; i++) n |= (uint64_t)data[i] << 8 * i;
    return n;
}

/* The length of a header, and the brace it begins with. Text has no such length: that would be a
 * hundred million bytes and more. */
static bool is_safetensors(const uint8_t *data, size_t size) {
    enum { MOST = 100000000 };
    return size > 8 && data[8] == '{' && header_length(data) <= MOST;
}

/* The first line that is no comment says it. */
static bool is_ir(const char *text, size_t size) {
    static const char mark[] = "ebru ir ";
    size_t at = 0;
    while (at < size && strchr("# \t\r\n", text[at])) {
        if (text[at] == '#')
            while (at < size && text[at] != '\n') at++;
        else
            at++;
    }
    return size - at >= sizeof mark - 1 && memcmp(text + at, mark, sizeof mark - 1) == 0;
}

size_t fe_stem_length(const char *name) {
    static const char end[] = ".safetensors";
    size_t n = strlen(name), k = sizeof end - 1;
    return n >= k && strcasecmp(name + n - k, end) == 0 ? n - k : n;
}

fe_format fe_format_of(const void *data, size_t size, const char **what) {
    const uint8_t *bytes = data;
    if (what) *what = NULL;
    if (!size) return FE_FORMAT_EMPTY;
    for (size_t i = 0; i < COUNT(known); i++) {
        if (size < known[i].at + known[i].length ||
            memcmp(bytes + known[i].at, known[i].magic, known[i].length) != 0)
            continue;
        if (what) *what = known[i].what;
        return known[i].format;
    }
    if (is_safetensors(bytes, size)) return FE_FORMAT_SAFETENSORS;
    return is_ir(data, size) ? FE_FORMAT_IR : FE_FORMAT_UNKNOWN;
}
