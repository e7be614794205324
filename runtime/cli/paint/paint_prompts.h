/* Prompts as the command line gives them: themselves, in a file (@FILE) or on standard input (-).
 * The same notation stands behind every option that takes a prompt. */
#ifndef EBRU_RUNTIME_CLI_PAINT_PAINT_PROMPTS_H
#define EBRU_RUNTIME_CLI_PAINT_PAINT_PROMPTS_H

#include "runtime/engine/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct rt_prompt_source {
    const char *option; /* for messages: "--prompt" */
    const char *given;  /* the option's value */
    bool weighted;      /* it is in the notation of prompt_weights.h */
    bool quiet;         /* no notes */
} rt_prompt_source;

/* The text of a prompt, NUL-terminated and malloc'ed, without a byte order mark, of a file without
 * the line ends behind it. *input_read: whether standard input has been read already, for all
 * prompts of a run. A file of several lines is one prompt, which is told on standard error.
 * RT_ERR_SYSTEM: cannot be read. RT_ERR_INPUT: no UTF-8 or of another encoding, a NUL in it, longer
 * than 1 MiB, wrong weights. RT_ERR_USAGE: standard input for the second time, or a tag that other
 * programs load a file by (<lora:NAME:0.8>), which would be nothing but words here. */
rt_status rt_prompt_read(const rt_prompt_source *from, bool *input_read, char **text,
                         size_t *length, rt_error *err);

#endif
