/* What a file is, told by its first bytes: its name says what somebody wanted to call it. */
#ifndef EBRU_FRONTEND_FILES_FORMATS_H
#define EBRU_FRONTEND_FILES_FORMATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"

typedef enum fe_format {
    FE_FORMAT_UNKNOWN, /* perhaps JSON */
    FE_FORMAT_EMPTY,
    FE_FORMAT_SAFETENSORS, /* what begins as one; it may be cut */
    FE_FORMAT_GGUF,        /* the same */
    FE_FORMAT_IR,
    FE_FORMAT_PROGRAM, /* ELF */
    FE_FORMAT_PICKLE,
    FE_FORMAT_FOREIGN
} fe_format;

/* *what (may be NULL): of a GGUF, a PICKLE and a FOREIGN file, what it is and what can be done, as what
 * follows "this is "; else NULL. */
fe_format fe_format_of(const void *data, size_t size, const char **what);

/* Reports that the file called `shown`, which should hold a model's tensors, is something else, and
 * what to do. True when it is known to be that. */
bool fe_format_refuse(base_diag *d, const char *shown, const void *data, size_t size);

/* Length of a file's name without ".safetensors" or ".gguf", however that is written; the whole
 * length of any other. */
size_t fe_stem_length(const char *name);

#endif
