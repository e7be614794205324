/* What the fuzz entries share; see fuzz.h. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

void fuzz_broken(const char *file, int line, const char *promise) {
    fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, promise);
    abort();
}

FILE *fuzz_sink(void) {
    static FILE *sink;
    if (!sink) sink = getenv("FUZZ_VERBOSE") ? stderr : fopen("/dev/null", "w");
    if (!sink) abort();
    return sink;
}

base_diag *fuzz_diag(bool json) {
    return base_diag_new(&(base_diag_options){.out = fuzz_sink(), .limit = 5, .json = json});
}

/* ---- streams ---- */

static FILE *real_stdout, *real_stderr;
static char *said;
static size_t said_length;

/* glibc's standard streams are variables. */
void fuzz_streams_begin(void) {
    real_stdout = stdout;
    real_stderr = stderr;
    stdout = fuzz_sink();
    stderr = open_memstream(&said, &said_length);
    if (!stderr) abort();
}

size_t fuzz_streams_end(void) {
    fclose(stderr);
    stdout = real_stdout;
    stderr = real_stderr;
    free(said);
    said = NULL;
    return said_length;
}

/* ---- parts ---- */

static void add_part(fuzz_part *parts, size_t *count, const char *name, size_t length,
                     const char *text) {
    if (*count == FUZZ_MOST_PARTS) return;
    fuzz_part *p = &parts[(*count)++];
    snprintf(p->name, sizeof p->name, "%.*s", (int)(length < 90 ? length : 90), name);
    p->text = text;
    p->length = 0;
}

size_t fuzz_split(const uint8_t *data, size_t size, const char *first,
                  fuzz_part parts[FUZZ_MOST_PARTS]) {
    const char *text = (const char *)data, *end = text + size;
    size_t count = 0;
    bool headed = size >= 3 && !memcmp(text, "== ", 3);
    if (!headed) add_part(parts, &count, first, strlen(first), text);
    for (const char *line = text; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        const char *next = stop ? stop + 1 : end;
        size_t n = (size_t)((stop ? stop : end) - line);
        if (n >= 3 && !memcmp(line, "== ", 3))
            add_part(parts, &count, line + 3, n - 3, next);
        else
            parts[count - 1].length = (size_t)(next - parts[count - 1].text);
        line = next;
    }
    return count;
}

const char *fuzz_part_text(const fuzz_part *parts, size_t count, const char *name, size_t *length) {
    *length = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(parts[i].name, name) != 0) continue;
        *length = parts[i].length;
        return parts[i].text;
    }
    return "";
}

/* ---- files ---- */

enum { PATH_ROOM = 200, MOST_NAMES = 2 * FUZZ_MOST_PARTS };

static char root[64];
static char made[MOST_NAMES][PATH_ROOM]; /* in the order they were made */
static size_t made_count;

static void empty_folder(void) {
    while (made_count > 0) {
        const char *path = made[--made_count];
        if (unlink(path) && errno == EISDIR) rmdir(path);
    }
}

static void remove_folder(void) {
    empty_folder();
    rmdir(root);
}

const char *fuzz_folder(void) {
    if (!*root) {
        snprintf(root, sizeof root, "%s/ebru-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
        if (!mkdtemp(root)) {
            perror(root);
            exit(1);
        }
        atexit(remove_folder);
    }
    empty_folder();
    return root;
}

/* One folder at most, no hidden names and nothing that a shell or a file system minds. */
static bool good_name(const char *name) {
    unsigned slashes = 0;
    for (const char *c = name; *c; c++) {
        const bool first = c == name || c[-1] == '/';
        if (*c == '/' && (first || ++slashes > 1)) return false;
        if (*c == '.' && first) return false;
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./", *c))
            return false;
    }
    return *name && name[strlen(name) - 1] != '/' && strlen(name) < 90;
}

static int open_file(const char *name, const char **path) {
    if (!*root) fuzz_folder();
    if (!good_name(name) || made_count + 2 > MOST_NAMES) return -1;
    char full[PATH_ROOM];
    snprintf(full, sizeof full, "%s/%s", root, name);
    char *slash = strrchr(full + strlen(root) + 1, '/');
    if (slash) {
        *slash = '\0';
        if (!mkdir(full, 0700)) memcpy(made[made_count++], full, sizeof full);
        *slash = '/';
    }
    const int fd = open(full, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return -1;
    memcpy(made[made_count], full, sizeof full);
    if (path) *path = made[made_count];
    made_count++;
    return fd;
}

static void write_at(int fd, const void *data, size_t size, off_t at) {
    if (size && pwrite(fd, data, size, at) != (ssize_t)size) {
        perror("write");
        exit(1);
    }
}

bool fuzz_write(const char *name, const void *data, size_t size, const char **path) {
    const int fd = open_file(name, path);
    if (fd < 0) return false;
    write_at(fd, data, size, 0);
    close(fd);
    return true;
}

const char *fuzz_write_parts(const fuzz_part *parts, size_t count) {
    const char *folder = fuzz_folder();
    for (size_t i = 0; i < count; i++) {
        const char *end = strrchr(parts[i].name, '.');
        if (end && !strcmp(end, ".safetensors"))
            fuzz_write_tensors(parts[i].name, parts[i].text, parts[i].length, NULL);
        else
            fuzz_write(parts[i].name, parts[i].text, parts[i].length, NULL);
    }
    return folder;
}

/* ---- tensors ---- */

enum { MOST_BYTES = 1 << 30, MOST_FILLED = 1 << 16 };

static const struct {
    const char *name;
    uint64_t size;
} dtypes[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
              {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1}};

typedef struct writer {
    int fd;
    uint64_t bytes; /* of tensors so far */
    base_str tensors, metadata;
    BASE_VEC(float) numbers; /* to be put at places */
    BASE_VEC(uint64_t) places;
} writer;

/* A JSON string of bytes; those that are no printable ASCII become '?'. */
static void add_string(base_str *out, const char *text, size_t length) {
    base_str_add(out, "\"");
    for (size_t i = 0; i < length; i++) {
        const char c = text[i];
        if (c == '"' || c == '\\') base_str_add(out, "\\");
        base_str_addn(out, c >= 0x20 && c < 0x7f ? &c : "?", 1);
    }
    base_str_add(out, "\"");
}

static void add_metadata(writer *w, const char *line) {
    const size_t n = strcspn(line, " ");
    base_str_add(&w->metadata, w->metadata.len ? ", " : "");
    add_string(&w->metadata, line, n);
    base_str_add(&w->metadata, ": ");
    add_string(&w->metadata, line + n + (line[n] == ' '), strlen(line + n + (line[n] == ' ')));
}

/* "[4,3]": the elements; UINT64_MAX where it is no shape or too large. */
static uint64_t count_elements(const char *shape, int *used) {
    uint64_t n = 1;
    const char *c = shape;
    if (*c++ != '[') return UINT64_MAX;
    while (*c != ']') {
        char *end;
        if (*c < '0' || *c > '9') return UINT64_MAX;
        const unsigned long long dim = strtoull(c, &end, 10);
        if (dim > MOST_BYTES || (dim && n > MOST_BYTES / dim)) return UINT64_MAX;
        n *= dim;
        c = *end == ',' ? end + 1 : end;
    }
    *used = (int)(c + 1 - shape);
    return n;
}

static void add_tensor(writer *w, const char *line) {
    char name[400], dtype[8];
    int used = 0, shape = 0;
    double number;
    if (sscanf(line, "%399s %7s %n", name, dtype, &used) != 2 || !used) return;
    const uint64_t n = count_elements(line + used, &shape);
    size_t d = 0;
    while (d < sizeof dtypes / sizeof *dtypes && strcmp(dtypes[d].name, dtype) != 0) d++;
    if (n == UINT64_MAX || d == sizeof dtypes / sizeof *dtypes) return;
    const uint64_t bytes = n * dtypes[d].size;
    if (bytes > MOST_BYTES - w->bytes) return;
    base_str_add(&w->tensors, w->tensors.len ? ", " : "");
    add_string(&w->tensors, name, strlen(name));
    base_str_addf(&w->tensors,
                  ": {\"dtype\": \"%s\", \"shape\": %.*s, \"data_offsets\": [%llu, %llu]}", dtype,
                  shape, line + used, (unsigned long long)w->bytes,
                  (unsigned long long)(w->bytes + bytes));
    if (sscanf(line + used + shape, " = %lf", &number) == 1 && !strcmp(dtype, "F32") &&
        bytes <= MOST_FILLED)
        for (uint64_t i = 0; i < n; i++) {
            BASE_PUSH(&w->numbers, (float)number);
            BASE_PUSH(&w->places, w->bytes + 4 * i);
        }
    w->bytes += bytes;
}

static void write_tensors(writer *w) {
    base_str head = {0};
    base_str_add(&head, "{");
    if (w->metadata.len) base_str_addf(&head, "\"__metadata__\": {%s}", w->metadata.data);
    if (w->tensors.len) base_str_addf(&head, "%s%s", w->metadata.len ? ", " : "", w->tensors.data);
    base_str_add(&head, "}");
    while (head.len % 8) base_str_add(&head, " ");
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)head.len >> 8 * i);
    write_at(w->fd, length, 8, 0);
    write_at(w->fd, head.data, head.len, 8);
    if (ftruncate(w->fd, (off_t)(8 + head.len + w->bytes))) exit(1);
    for (size_t i = 0; i < w->numbers.count; i++)
        write_at(w->fd, &w->numbers.items[i], 4, (off_t)(8 + head.len + w->places.items[i]));
    base_str_free(&head);
}

bool fuzz_write_tensors(const char *name, const char *text, size_t length, const char **path) {
    writer w = {.fd = open_file(name, path)};
    if (w.fd < 0) return false;
    for (const char *line = text, *end = text + length; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        const size_t n = (size_t)((stop ? stop : end) - line);
        char copy[2000];
        if (n < sizeof copy && !memchr(line, '\0', n)) {
            memcpy(copy, line, n);
            copy[n] = '\0';
            if (*copy == '@')
                add_metadata(&w, copy + 1);
            else
                add_tensor(&w, copy);
        }
        line += n + 1;
    }
    write_tensors(&w);
    close(w.fd);
    base_str_free(&w.tensors);
    base_str_free(&w.metadata);
    base_free(w.numbers.items);
    base_free(w.places.items);
    return true;
}
