/* Small things several passes need; not for other folders. */
#ifndef EBRU_PASSES_MANAGER_MATCH_H
#define EBRU_PASSES_MANAGER_MATCH_H

#include "passes/passes.h"

/* A value seen as batches, channels and pixels or tokens: [B,C,H,W], [B,T,C], [B,C]. False for
 * other ranks. */
typedef struct pass_bcp {
    int64_t b, c, p;
} pass_bcp;
bool pass_bcp_of(const ir_type *t, pass_bcp *out);

/* True when a c16 value of this shape has the bytes of the plain one: whole blocks and nothing
 * inside a channel. */
bool pass_flat(const ir_type *t);

/* r in another layout: r itself, a view where the bytes are the same, else a layout_cast. Narrow
 * floats become f32; integers stay as they are. */
ir_ref pass_in_layout(ir_func *f, ir_ref r, ir_layout layout);

/* r is a weight in the order of kernels: made by packing, or in blocks as it is. */
bool pass_is_packed(const ir_func *f, ir_ref r);

/* x with another shape, plain, or x itself when it has that shape. */
ir_ref pass_reshape(ir_func *f, ir_ref x, uint32_t rank, const int64_t *dim, ir_origin_id origin);

/* True when the name is one the stage splitter gave ("%block.op"): a value that passes between the
 * stages of one network. */
static inline bool pass_is_internal(const char *name) {
    return name[0] == '%';
}

/* In a rewrite: the value of an old node has no other user and is no output. The reason is appended
 * to `why` when not: "conv2d %40 has 2 users". */
bool pass_sole_use(const ir_rewrite *rw, ir_ref old, base_str *why);
/* The same on a function and its use counts. */
bool pass_used_once(const ir_func *f, const uint32_t *uses, ir_ref r, base_str *why);
/* Whether a node that reads an image as its first operand can take over what makes the image; else
 * why not. */
typedef bool pass_can_take(const ir_node *user, base_str *why);
/* True when r is no output, stands nowhere but in first operands, and all who read it can take it
 * over. */
bool pass_readers_take(const ir_func *f, ir_ref r, pass_can_take *can_take, base_str *why);
/* A decision of a pass about a node, for the report. */
typedef struct pass_decision {
    pass_context *c;
    const char *pass;
    const ir_func *f;
    ir_ref node;
    const char *what; /* would match, e.g. "conv2d + residual" */
    base_str why;     /* not: the condition that failed */
    base_str costs;   /* of a choice between ways: what each takes, for the report; may be empty */
} pass_decision;
/* Reports a match or a refusal, frees `why` and `costs` and returns whether it is a match: it is none where the
 * command line takes the node's block from the pass. */
bool pass_decided(pass_decision *d, bool match);
/* Adds a reason and returns false, for conditions. */
bool pass_no(base_str *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For each node its only user; IR_NONE for outputs and for nodes with no or several uses.
 * base_free. */
ir_ref *pass_only_users(const ir_func *f);

/* Whether a convolution is a 3x3 one of its input's double that four filters of 2x2 can do; else
 * why not. Its filter is packed. */
bool pass_is_doubled(const ir_func *f, const ir_node *conv, base_str *why);

/* The node is a transpose with this permutation. */
bool pass_is_perm(const ir_node *n, uint32_t rank, const int64_t *perm);

#endif
