/* The formats of files; see formats.h. */
#include "frontend/files/formats.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/json/json_scan.h"

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
    {0, 2, "\x80\x02", FE_FORMAT_PICKLE, "a pickle"},
    {0, 2, "\x80\x03", FE_FORMAT_PICKLE, "a pickle"},
    {0, 2, "\x80\x04", FE_FORMAT_PICKLE, "a pickle"},
    {0, 2, "\x80\x05", FE_FORMAT_PICKLE, "a pickle"},
    {257, 5, "ustar", FE_FORMAT_PICKLE, "a tar file, perhaps an old PyTorch pickle"},
    {0, 4, "GGUF", FE_FORMAT_GGUF, "a GGUF file, which has weights in it"},
    {0, 4, "lmgg", FE_FORMAT_FOREIGN, "a GGML file; ebru reads GGUF and safetensors"},
    {0, 4, "fmgg", FE_FORMAT_FOREIGN, "a GGML file; ebru reads GGUF and safetensors"},
    {0, 4, "tjgg", FE_FORMAT_FOREIGN, "a GGML file; ebru reads GGUF and safetensors"},
    {0, 6, "\x93NUMPY", FE_FORMAT_FOREIGN, "an array of NumPy; ebru reads safetensors"},
    {0, 8, "\x89HDF\r\n\x1a\n", FE_FORMAT_FOREIGN, "an HDF5 file (Keras); ebru reads safetensors"},
    {4, 4, "TFL3", FE_FORMAT_FOREIGN, "a TensorFlow Lite file; ebru reads safetensors"},
    {0, 2, "\x1f\x8b", FE_FORMAT_FOREIGN, "a file packed by gzip; unpack it first"},
    {0, 6,
     "\xfd"
     "7zXZ\0",
     FE_FORMAT_FOREIGN, "a file packed by xz; unpack it first"},
    {0, 4, "\x28\xb5\x2f\xfd", FE_FORMAT_FOREIGN, "a file packed by zstd; unpack it first"},
    {0, 3, "BZh", FE_FORMAT_FOREIGN, "a file packed by bzip2; unpack it first"},
    {0, 6, "7z\xbc\xaf\x27\x1c", FE_FORMAT_FOREIGN, "a file packed by 7-Zip; unpack it first"},
    {0, 4, "Rar!", FE_FORMAT_FOREIGN, "a file packed by RAR; unpack it first"},
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
    static const char *const ends[] = {".safetensors", ".gguf"};
    size_t n = strlen(name);
    for (size_t i = 0; i < COUNT(ends); i++) {
        size_t k = strlen(ends[i]);
        if (n >= k && strcasecmp(name + n - k, ends[i]) == 0) return n - k;
    }
    return n;
}

/* A zip file, by the name of its first member: PyTorch's begin with ROOT/data.pkl. */
static fe_format zip_format(const uint8_t *data, size_t size, const char **what) {
    enum { NAME_LENGTH = 26, NAME = 30 };
    static const char pickle[] = "data.pkl", array[] = ".npy";
    size_t n = size > NAME ? (size_t)(data[NAME_LENGTH] | data[NAME_LENGTH + 1] << 8) : 0;
    const uint8_t *end = data + NAME + n;
    if (size < NAME + n) n = 0;
    if (n >= sizeof pickle - 1 && !memcmp(end - (sizeof pickle - 1), pickle, sizeof pickle - 1)) {
        *what = "a zip file with a PyTorch pickle in it";
        return FE_FORMAT_PICKLE;
    }
    bool arrays = n >= sizeof array - 1 && !memcmp(end - (sizeof array - 1), array, 4);
    *what = arrays ? "an archive of NumPy (.npz); ebru reads safetensors"
                   : "a zip file; unpack it first";
    return FE_FORMAT_FOREIGN;
}

/* Markup, in whatever case, behind blanks and a byte order mark: pages and answers of servers. No
 * safetensors file begins so, because five letters are the length of a header no file has. */
static bool is_markup(const uint8_t *data, size_t size, const char **what) {
    size_t at = size >= 3 && !memcmp(data, "\xef\xbb\xbf", 3) ? 3 : 0;
    while (at < size && strchr(" \t\r\n", data[at]) && data[at]) at++;
    const char *text = (const char *)data + at;
    if (size - at < 5 || text[0] != '<') return false;
    for (int i = 1; i < 5; i++)
        if (!isalnum((unsigned char)text[i]) && (!text[i] || !strchr(" !?/>-", text[i])))
            return false;
    *what = strncasecmp(text, "<?xml", 5) == 0
                ? "XML, perhaps what a server answered in place of the file"
                : "a web page, not the file it was meant to download";
    return true;
}

fe_format fe_format_of(const void *data, size_t size, const char **what) {
    const uint8_t *bytes = data;
    const char *nobody;
    if (!what) what = &nobody;
    *what = NULL;
    if (!size) return FE_FORMAT_EMPTY;
    if (size >= 4 && memcmp(bytes, "PK\3\4", 4) == 0) return zip_format(bytes, size, what);
    if (is_markup(bytes, size, what)) return FE_FORMAT_FOREIGN;
    for (size_t i = 0; i < COUNT(known); i++) {
        if (size < known[i].at + known[i].length ||
            memcmp(bytes + known[i].at, known[i].magic, known[i].length) != 0)
            continue;
        *what = known[i].what;
        return known[i].format;
    }
    if (is_safetensors(bytes, size)) return FE_FORMAT_SAFETENSORS;
    return is_ir(data, size) ? FE_FORMAT_IR : FE_FORMAT_UNKNOWN;
}

/* Length of the first line, at most `most` bytes of it, of what is text; 0 of anything else. */
static size_t first_line(const char *text, size_t size, size_t most) {
    enum { LOOKED_AT = 256, LONGEST = 4 };
    size_t looked = size < LOOKED_AT ? size : LOOKED_AT, n = 0;
    if (base_utf8_check(text, looked) + LONGEST <= looked) return 0;
    for (size_t i = 0; i < looked; i++)
        if ((unsigned char)text[i] < ' ' && (!text[i] || !strchr("\t\r\n", text[i]))) return 0;
    while (n < size && n < most && text[n] != '\r' && text[n] != '\n') n++;
    return n;
}

static bool is_zeros(const uint8_t *data, size_t size) {
    enum { LEAST = 16, LOOKED_AT = 64 };
    size_t n = size < LOOKED_AT ? size : LOOKED_AT;
    for (size_t i = 0; i < n; i++)
        if (data[i]) return false;
    return n >= LEAST;
}

bool fe_format_refuse(base_diag *d, const char *shown, const void *data, size_t size) {
    enum { SHOWN = 60 };
    const char *what;
    base_loc loc = {.source = base_diag_source(d, shown, NULL, 0)};
    switch (fe_format_of(data, size, &what)) {
    case FE_FORMAT_SAFETENSORS:
    case FE_FORMAT_GGUF: return false;
    case FE_FORMAT_PICKLE:
        base_error(d, &loc, "this is %s, and reading a pickle runs code from it", what);
        base_note(
            d, NULL,
            "in Python, safetensors.torch.save_file(torch.load(FILE, weights_only=True), NEW) "
            "writes the same tensors as safetensors; those of a checkpoint are in "
            "torch.load(FILE)[\"state_dict\"]");
        return true;
    case FE_FORMAT_PROGRAM:
        base_error(d, &loc, "this is a program, not a model");
        base_note(d, NULL, "`ebru inspect` says what a program was compiled from");
        return true;
    case FE_FORMAT_FOREIGN: base_error(d, &loc, "this is %s", what); return true;
    case FE_FORMAT_EMPTY:
        base_error(d, &loc, "the file is empty: a download that did not finish?");
        return true;
    case FE_FORMAT_IR:
        base_error(d, &loc, "this is IR text, which has no weights in it");
        return true;
    case FE_FORMAT_UNKNOWN: break;
    }
    size_t n = first_line(data, size, SHOWN);
    if (n)
        base_error(d, &loc,
                   "this is text, not safetensors; perhaps what a server answered in place of the "
                   "file: '%s'",
                   base_escape(data, n));
    else if (is_zeros(data, size))
        base_error(d, &loc, "the file begins with zeros: a download that did not finish?");
    else
        return false;
    return true;
}
