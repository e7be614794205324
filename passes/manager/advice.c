/* What a refusal asks for: for each pass that reports refusals, what the network or the options
 * would have to be for more to match. The fusion report says it once behind a pass's refusals. */
#include "passes/passes.h"

#include <string.h>

static const struct {
    const char *pass, *text;
} advice[] = {
    {"fold_constants",
     "constants larger than the budget stay computed; store the tensor as a weight of its own"},
    {"share_halves",
     "pays where many ops stand before the first that looks at the prompt (or the class); feed "
     "the prompt in later"},
    {"split_stages",
     "rename the function that stands in the way: stages are called NAME.prompt, NAME.schedule "
     "and NAME.step"},
    {"fuse_groupnorm_silu",
     "an activation joins the norm when it reads it directly and nothing else does; a norm "
     "in front of attention has none, and loses nothing"},
    {"fuse_attention",
     "write scores as matmul of queries and keys of equal heads, scaled, softmax over the last "
     "axis, matmul with values; nothing else may read what lies between"},
    {"fuse_conv_epilogue",
     "one residual of the result's own shape, one vector a channel and one activation fit, in "
     "this order; what is in between must not be read by others"},
    {"eliminate_concat",
     "join two images along their channels, the first of a multiple of 16, for convolutions and "
     "norms only"},
    {"fuse_norm_prologue",
     "the norm is applied on the way into convolutions; where something else reads it too it is "
     "computed and stored. Before attention, whose projections are linears, that is meant"},
    {"fuse_upsample",
     "resize by nearest neighbour directly before a conv2d that is its only reader"},
    {"fuse_elementwise",
     "chains of one shape become one loop; keep what broadcasts, or has other readers, at "
     "the chain's end"},
    {"lower_precision",
     "16 channels or more on both sides and a weight of its own; what must stay in f32 "
     "is listed to be known, not to be changed"},
    {"choose_winograd", "stride 1, products in f32 and a picture large enough that fewer products "
                        "pay for larger weights: "
                        "a larger --size= or --batch= makes more match"},
    {"upsample_phases", "the input is read at exactly twice its size by a 3x3 filter of stride 1 "
                        "and padding 1, in f32"},
    {"overwrite_input",
     "one image, no residual, and no reader of the input behind the convolution: only memory is "
     "at stake"},
    {"fuse_feed_forward",
     "many tokens beside few channels: a larger --size= makes more match; where weights "
     "outweigh the hidden layer two linears are faster"},
};

const char *pass_advice(const char *pass) {
    for (size_t i = 0; i < sizeof advice / sizeof *advice; i++)
        if (!strcmp(advice[i].pass, pass)) return advice[i].text;
    return NULL;
}
