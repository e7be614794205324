/* A program and the file of its weights take their places together. */
#ifndef EBRU_CODEGEN_LINK_PUBLISH_PAIR_H
#define EBRU_CODEGEN_LINK_PUBLISH_PAIR_H

#include "base/diag.h"

/* Moves the finished files `program` and `weights` to `to` and `weights_to`, in one folder. The
 * weights that stood there stay beside them under the name of their id (runtime/abi/kept_weights.h), where
 * their program finds them, until both are in place. So whenever this ends, the program that then
 * stands at `to` has its weights. False with a diagnostic; then both are what they were before. */
bool cg_publish_pair(base_diag *d, const char *program, const char *to, const char *weights,
                     const char *weights_to);

/* Removes what interrupted runs have kept of weights whose program is no more. */
void cg_drop_old_weights(const char *weights_to);

#endif
