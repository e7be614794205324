/* Runs a fuzz entry point over committed inputs, and over prefixes of the small ones, so that what
 * fuzzing found once is tested in every build without libFuzzer: replay PREFIXES FOLDER-OR-FILE...
 * PREFIXES is how many of a file, spread over its length, or "all". With FUZZ_VERBOSE in the
 * environment it says what the inputs are told. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

enum { PREFIX_LIMIT = 2048 };

static size_t prefixes;

/* Runs a copy of exactly this size, so that a sanitizer sees a read behind it. */
static void run(const uint8_t *data, size_t size) {
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) abort();
    memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static unsigned run_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(size ? size : 1);
    if (!data || fread(data, 1, size, f) != size) abort();
    fclose(f);
    if (getenv("FUZZ_VERBOSE")) fprintf(stderr, "-- %s\n", path);
    run(data, size);
    const size_t count = prefixes < size ? prefixes : size;
    for (size_t i = 0; size <= PREFIX_LIMIT && i < count; i++) run(data, i * size / count);
    free(data);
    return 1;
}

static unsigned run_path(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) return run_file(path);
    unsigned files = 0;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        char child[4096];
        if (e->d_name[0] == '.') continue;
        if (snprintf(child, sizeof child, "%s/%s", path, e->d_name) < (int)sizeof child)
            files += run_path(child);
    }
    if (d) closedir(d);
    return files;
}

int main(int argc, char **argv) {
    unsigned files = 0;
    if (argc < 3) return 2;
    prefixes = strcmp(argv[1], "all") ? strtoul(argv[1], NULL, 10) : PREFIX_LIMIT;
    for (int i = 2; i < argc; i++) files += run_path(argv[i]);
    printf("%u inputs\n", files);
    return files ? 0 : 1;
}
