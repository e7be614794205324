/* Reads the tensors of a golden .safetensors file. For tests only: the files are our own, malformed
 * ones end the test. */
#ifndef EBRU_TESTS_UNIT_SUPPORT_GOLDEN_FILE_H
#define EBRU_TESTS_UNIT_SUPPORT_GOLDEN_FILE_H

#include "base/json/json.h"

typedef struct golden_file {
    base_diag *diag;
    base_json *header;
    char *data;
} golden_file;

/* `name` is relative to tests/goldens. Exits with a message if it cannot be read. */
golden_file golden_open(const char *name);
void golden_close(golden_file *g);
/* The float32 tensor `name` and its element count; NULL if there is none. Lives as long as g. */
const float *golden_f32(const golden_file *g, const char *name, size_t *count);
/* A text of the file's metadata; NULL if there is none. Lives as long as g. */
const char *golden_says(const golden_file *g, const char *key);
/* Whole file as malloc'ed bytes with a NUL behind them. */
char *golden_read(const char *name, size_t *size);

#endif
