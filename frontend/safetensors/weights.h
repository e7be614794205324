/* Binding of weights: every tensor a network reads is declared with the shape the network needs,
 * and found in the weight files (or drawn at random) in the same moment. What does not fit is
 * collected, and fe_weights_check reports all of it at once: missing, mis-shaped, and left over.
 *
 * One fe_weights is one table of tensors (a file, or the shards of one component) or one random
 * source. Several components may read the same table. */
#ifndef EBRU_FRONTEND_SAFETENSORS_WEIGHTS_H
#define EBRU_FRONTEND_SAFETENSORS_WEIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "frontend/safetensors/safetensors.h"
#include "ir/ir.h"

/* What a tensor is, for random values: with fan_in = elements of one output's filter,
 *   FE_INIT_FILTER  weight of a linear or conv layer, uniform in +-1/sqrt(fan_in), as torch's default
 *   FE_INIT_BIAS    its bias, the same bound (fan_in given to the call)
 *   FE_INIT_SCALE   weight of a normalisation, 1 +- 0.1
 *   FE_INIT_SHIFT   its bias, +-0.1
 *   FE_INIT_TABLE   embedding, +-1 */
typedef enum fe_init {
    FE_INIT_FILTER,
    FE_INIT_BIAS,
    FE_INIT_SCALE,
    FE_INIT_SHIFT,
    FE_INIT_TABLE
} fe_init;

/* A declaration. `names` are tried in order (old names after the current one); the first is the
 * name in messages. `either_rank`: [N,K] and [N,K,1,1] are both accepted, whichever `type` says. */
typedef struct fe_tensor_spec {
    /* component: the module's name of the weight is "scope/name" ("unet/conv_in.weight") */
    const char *scope;
    const char *names[3];
    uint32_t rank;
    int64_t dim[IR_MAX_RANK];
    bool either_rank;
    fe_init init;
    int64_t fan_in; /* FE_INIT_FILTER, FE_INIT_BIAS */
} fe_tensor_spec;

/* The element type of a tensor that may be a weight: f32, f16 or bf16, and f32 of blocks; false for
 * all others. */
bool fe_element_type(fe_st_dtype from, ir_dtype *to);

typedef struct fe_weights fe_weights;

/* Random values from `seed` for every tensor; no file is read. Freed with fe_weights_free. */
fe_weights *fe_weights_random(base_diag *d, ir_module *m, uint64_t seed);
/* Tensors of an opened table, which the module owns from now on. */
fe_weights *fe_weights_table(base_diag *d, ir_module *m, fe_st *table);

/* How a file that holds several components, or uses other names, keeps one of them. */
typedef struct fe_naming {
    const void *ctx;
    /* Where the tensor that is declared as `name` is: a reference (tensor_ref.h) in `a`. */
    const char *(*place)(const void *ctx, base_arena *a, const char *name);
    /* Whether a tensor of the file is one of the component's, and of use: left over when nobody
     * declares it. */
    bool (*owns)(const void *ctx, const char *tensor);
} fe_naming;
/* The same with such names. The table stays the caller's and must live as long as the module; so must
 * *naming as long as the result. Messages have the file's names. */
fe_weights *fe_weights_named(base_diag *d, ir_module *m, fe_st *table, const fe_naming *naming);
void fe_weights_free(fe_weights *w); /* NULL is allowed; bound data stays alive with the module */

/* Index in the module's weight table; always valid: a tensor that is missing or mis-shaped is
 * entered unbound with the declared shape. Declaring the same name again gives the same index (and
 * is a fault when the shapes differ). */
uint32_t fe_weights_declare(fe_weights *w, const fe_tensor_spec *spec);

/* A tensor that the network has and does not need: it is not left over. */
void fe_weights_ignore(fe_weights *w, const char *name);

/* Reports everything that was missing, mis-shaped, of an element type that cannot be a weight, or
 * never declared (tensors known to be of no use, such as CLIP's position_ids, excepted) as one
 * error with a note a tensor, sorted, 20 at most and some of each kind, and a note on a prefix that
 * all names have or lack. True when there was nothing to report. */
bool fe_weights_check(fe_weights *w);

/* The digest of all weights of a module as they were read, with their names, types and LoRAs: 16
 * hexadecimal digits. It reads every byte of them. Factors of slots are left out: they are beside
 * the model. */
enum { FE_DIGEST_TEXT = 17 };
void fe_weights_digest(const ir_module *m, char out[FE_DIGEST_TEXT]);
/* What a weight adds to a digest: its type and elements, without name, LoRAs and further rows; and
 * the text of a digest. */
void fe_digest_weight(base_digest *d, const ir_weight *w);
void fe_digest_text(const unsigned char id[16], char out[FE_DIGEST_TEXT]);

#endif
