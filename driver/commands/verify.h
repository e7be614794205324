/* What `verify` shares with the tools that look for wrong results. */
#ifndef EBRU_DRIVER_COMMANDS_VERIFY_H
#define EBRU_DRIVER_COMMANDS_VERIFY_H

#include "frontend/frontend.h"

struct fe_st;

/* The file that --io names; NULL with diagnostics. */
struct fe_st *drv_io_open(base_diag *d, const char *path);
/* The shapes of a file's in. tensors, for the front end; base_free. */
fe_shape *drv_io_shapes(const struct fe_st *st, uint32_t *count);

#endif
