/* What `verify` shares with the tools that look for wrong results. */
#ifndef EBRU_DRIVER_COMMANDS_VERIFY_H
#define EBRU_DRIVER_COMMANDS_VERIFY_H

#include "frontend/frontend.h"

/* The shapes of a file's in. tensors, for the front end; base_free. */
struct fe_st;
fe_shape *drv_io_shapes(const struct fe_st *st, uint32_t *count);

#endif
