/* IP-Adapter (Ye et al. 2023): a picture beside the prompt. A file has a projection of what CLIP's
 * vision tower makes of the picture to tokens, and keys and values of these tokens for every
 * cross-attention of a U-Net. Three projections are read, told by their tensors:
 *
 *   image_proj.proj, norm        plain: image_embeds -> tokens
 *   image_proj.proj.0 ... 3      full face: every token of penultimate_hidden_state by itself
 *   image_proj.latents, layers   Plus: a Resampler over penultimate_hidden_state
 *
 * Files are safetensors, or what torch.save makes of {"image_proj": ..., "ip_adapter": ...}. */
#ifndef EBRU_FRONTEND_IP_ADAPTER_IP_ADAPTER_H
#define EBRU_FRONTEND_IP_ADAPTER_IP_ADAPTER_H

#include "frontend/build/blocks.h"
#include "frontend/frontend.h"

/* The adapters of one U-Net. */
typedef struct fe_ip_adapters fe_ip_adapters;

/* Opens the files that the options name and finds out what they are. The module owns what is read.
 * NULL after reporting everything that is wrong. fe_ip_adapters_free. */
fe_ip_adapters *fe_ip_adapters_open(base_diag *d, ir_module *m, const fe_options *o);
void fe_ip_adapters_free(fe_ip_adapters *a); /* NULL is allowed */

/* How adapter i reads a picture: width of the vectors, their number (0: image_embeds, one vector;
 * else the tokens of penultimate_hidden_state that the file asks for, or 0 as well for any). */
uint32_t fe_ip_adapters_count(const fe_ip_adapters *a);
bool fe_ip_adapter_reads_tokens(const fe_ip_adapters *a, uint32_t i);
int64_t fe_ip_adapter_input_width(const fe_ip_adapters *a, uint32_t i);
/* The vision tower's tokens, for functions that are built from now on. */
void fe_ip_adapters_set_tokens(fe_ip_adapters *a, int64_t tokens);

/* Within a U-Net's function: inputs image_embeds [B,C] ([B,images,C] with several pictures), or
 * image_hidden_states [B,T,C] ([B,images,T,C]), and ip_scale [1]; _2 and so on of further adapters.
 * Returns what cross-attention attends to, NULL after reporting; `context` is the width of the
 * U-Net's. */
fe_image_contexts *fe_ip_adapters_build(fe_ip_adapters *a, fe_builder *b, int64_t batch,
                                        int64_t context);
/* Behind all functions: reports tensors that are missing, misshapen or left over. */
bool fe_ip_adapters_check(fe_ip_adapters *a);

#endif
