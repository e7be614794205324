/* What a file is, told by its first bytes: its name says what somebody wanted to call it. */
#ifndef EBRU_FRONTEND_FILES_FORMATS_H
#define EBRU_FRONTEND_FILES_FORMATS_H

#include <stddef.h>
#include <stdint.h>

typedef enum fe_format {
    FE_FORMAT_UNKNOWN, /* perhaps JSON */
    FE_FORMAT_EMPTY,
    FE_FORMAT_SAFETENSORS, /* what begins as one; it may be cut */
    FE_FORMAT_IR,
    FE_FORMAT_PROGRAM, /* ELF */
    FE_FORMAT_PICKLE,
    FE_FORMAT_FOREIGN
} fe_format;

/* *what (may be NULL): of a PICKLE and a FOREIGN file, what it is and what can be done, as what
 * follows "this is "; else NULL. */
fe_format fe_format_of(const void *data, size_t size, const char **what);

/* Length of a file's name without ".safetensors", however that is written; the whole length of any
 * other. */
size_t fe_stem_length(const char *name);

#endif
