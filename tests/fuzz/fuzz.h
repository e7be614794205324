/* What the fuzz entries share: promises, silent diagnostics, and inputs that stand for files.
 *
 * A reader that wants a path gets files in a folder of the run's own, which is emptied for each
 * input and removed at the end. An input says in text what files there are, so that a mutation of
 * it is another folder and not a broken archive. */
#ifndef EBRU_TESTS_FUZZ_FUZZ_H
#define EBRU_TESTS_FUZZ_FUZZ_H

#include "base/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Broken promises end the run whatever the build type: assert() may be compiled out. */
#define PROMISE(x)                                                                                 \
    do {                                                                                           \
        if (!(x)) fuzz_broken(__FILE__, __LINE__, #x);                                             \
    } while (0)
_Noreturn void fuzz_broken(const char *file, int line, const char *promise);

/* A stream that keeps nothing; with FUZZ_VERBOSE in the environment, standard error: what an input
 * is told. */
FILE *fuzz_sink(void);
/* Diagnostics into it, in text or (where `json`) as JSON. */
base_diag *fuzz_diag(bool json);

/* What a function says on the standard streams. Between begin and end, stdout goes nowhere and
 * stderr is kept; end returns how many bytes it was. */
void fuzz_streams_begin(void);
size_t fuzz_streams_end(void);

/* ---- files ---- */

/* A piece of an input: what stands behind a line "== NAME". */
typedef struct fuzz_part {
    char name[96];
    const char *text;
    size_t length;
} fuzz_part;

enum { FUZZ_MOST_PARTS = 16 };

/* Takes the input apart. What stands in front of the first such line is part `first`, where there
 * is any, or where there is nothing else. Returns how many parts there are. */
size_t fuzz_split(const uint8_t *data, size_t size, const char *first,
                  fuzz_part parts[FUZZ_MOST_PARTS]);
/* The text of the part with that name; "" with *length 0 when there is none. */
const char *fuzz_part_text(const fuzz_part *parts, size_t count, const char *name, size_t *length);

/* Empties the folder and returns its path. */
const char *fuzz_folder(void);
/* Writes a file there: "config.json", "unet/config.json". False for other names. Its path, until the
 * next eight calls, in *path (may be NULL). */
bool fuzz_write(const char *name, const void *data, size_t size, const char **path);
/* The folder with all parts. A part *.safetensors is a list of tensors: fuzz_tensors. */
const char *fuzz_write_parts(const fuzz_part *parts, size_t count);

/* ---- tensors ---- */

/* Writes a safetensors file of tensors that are listed in text, a line each:
 *
 *   NAME DTYPE [4,3,1,1]          zeros; the file has holes where they are
 *   NAME DTYPE [] = 1.5           all elements this number (F32 and F16 scalars and small ones)
 *   @KEY VALUE                    metadata
 *
 * Other lines, and what is beyond limits of size, are left out. */
bool fuzz_write_tensors(const char *name, const char *text, size_t length, const char **path);

#endif
