/* Names of the files that pictures are written to: by -o, which several pictures share with numbers
 * or with a pattern, or without it by the first number that is free. */
#ifndef EBRU_RUNTIME_CLI_PAINT_PICTURE_NAMES_H
#define EBRU_RUNTIME_CLI_PAINT_PICTURE_NAMES_H

#include "runtime/image/picture_formats.h"

enum { RT_NAME_MAX = 4200 };

typedef struct rt_names {
    const char *output; /* -o; NULL: never overwrites */
    int count;          /* of files */
} rt_names;

/* Can all of them be written, as far as that is known before the work? RT_ERR_USAGE: they are no
 * names for what is written; RT_ERR_SYSTEM: folders, permissions, lengths. */
rt_status rt_names_check(const rt_names *n, rt_error *err);
/* The format of all of them. */
const rt_picture_format *rt_names_format(const rt_names *n);
/* Name of file i, from 0, to begin with. */
void rt_names_get(const rt_names *n, int i, char out[RT_NAME_MAX]);
/* Commits `to`, which was begun as `name`. Without -o the name becomes another where it has been
 * taken meanwhile; what has a name is never replaced. */
rt_status rt_names_commit(const rt_names *n, rt_output *to, char name[RT_NAME_MAX], rt_error *err);

#endif
