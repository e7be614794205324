#include "tests/unit/published/published_pipelines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TINY                                                                                       \
    {                                                                                              \
        .in = 3, .out = 3, .channels = {4, 8}, .layers = 1, .levels = 2, .attention = {            \
            false,                                                                                 \
            true                                                                                   \
        }                                                                                          \
    }

const published_pipeline published_pipelines[] = {
    {"ddim",
     "DDIMPipeline",
     "DDIMScheduler",
     RT_SAMPLER_DDIM,
     4,
     8,
     2,
     TINY,
     1e-3,
     {0.0, 9.979e-01, 0.0, 9.999e-01, 9.986e-01, 9.991e-01, 7.106e-04, 0.0, 0.0}},
    {"ddpm",
     "DDPMPipeline",
     "DDPMScheduler",
     RT_SAMPLER_DDPM,
     4,
     8,
     2,
     TINY,
     1e-2,
     {0.0, 0.9996672, 0.00329116, 1.0, 0.9995991, 1.0, 0.0060907, 0.00115037, 0.0}},
    {"pndm",
     "PNDMPipeline",
     "PNDMScheduler",
     RT_SAMPLER_PNDM,
     32,
     32,
     20,
     {.in = 3,
      .out = 3,
      .channels = {32, 64},
      .layers = 2,
      .levels = 2,
      .attention = {false, true}},
     1e-2,
     {1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0}},
};
const size_t published_pipeline_count = sizeof published_pipelines / sizeof *published_pipelines;

static FILE *create(const char *folder, const char *part, const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, part);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s%s%s", folder, part, *part ? "/" : "", name);
    FILE *f = fopen(path, "w");
    if (f) return f;
    perror(path);
    exit(1);
}

void published_pipeline_write(const published_pipeline *p, const char *folder) {
    const torch_network *n = &p->network;
    FILE *f = create(folder, "", "model_index.json");
    fprintf(f,
            "{\"_class_name\": \"%s\", \"unet\": [\"diffusers\", \"UNet2DModel\"], "
            "\"scheduler\": [\"diffusers\", \"%s\"]}\n",
            p->pipeline, p->scheduler);
    fclose(f);
    f = create(folder, "scheduler", "scheduler_config.json");
    fprintf(f, "{\"_class_name\": \"%s\"}\n",
            p->scheduler); /* everything else is the class's default */
    fclose(f);
    f = create(folder, "unet", "config.json");
    fprintf(f,
            "{\"_class_name\": \"UNet2DModel\", \"sample_size\": %d, \"in_channels\": %d, "
            "\"out_channels\": %d, "
            "\"block_out_channels\": [%d, %d], \"layers_per_block\": %d, \"norm_num_groups\": %d, "
            "\"down_block_types\": [\"DownBlock2D\", \"AttnDownBlock2D\"], "
            "\"up_block_types\": [\"AttnUpBlock2D\", \"UpBlock2D\"]}\n",
            p->side, (int)n->in, (int)n->out, (int)n->channels[0], (int)n->channels[1],
            (int)n->layers, p->groups);
    fclose(f);
    char path[1024];
    torch_init weights;
    torch_init_begin(&weights, 0);
    torch_unet2d(&weights, n);
    snprintf(path, sizeof path, "%s/unet/diffusion_pytorch_model.safetensors", folder);
    torch_init_write(&weights, path);
    torch_init_end(&weights);
}
