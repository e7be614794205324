/* The tiny unconditional pipelines of diffusers' own tests (tests/pipelines/ddim, ddpm, pndm),
 * whose pictures the tests print: a folder of each can be written, with weights drawn as torch
 * draws them. */
#ifndef EBRU_TESTS_UNIT_PUBLISHED_PUBLISHED_PIPELINES_H
#define EBRU_TESTS_UNIT_PUBLISHED_PUBLISHED_PIPELINES_H

#include "tests/unit/published/torch_init.h"

#include "runtime/samplers/sampler_config.h"

typedef struct published_pipeline {
    const char *name; /* "ddim" */
    const char *pipeline, *scheduler;
    rt_sampler_id sampler;
    int groups, side, steps;
    torch_network network;
    double tolerance;   /* of the test in diffusers */
    double expected[9]; /* image[0, -3:, -3:, -1], values 0 to 1 */
} published_pipeline;

extern const published_pipeline published_pipelines[];
extern const size_t published_pipeline_count;

/* Writes the pipeline's files into an existing folder; ends the process when that fails. */
void published_pipeline_write(const published_pipeline *p, const char *folder);

#endif
