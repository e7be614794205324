/* The ebru command line: the only room that sees all others. */
#ifndef EBRU_DRIVER_DRIVER_H
#define EBRU_DRIVER_DRIVER_H

/* Exit codes: 0 done, 1 unusable input or a failed check, 2 usage, 3 I/O, 4 CPU or target not
 * supported, 70 an error of ebru itself. */
enum { DRV_OK = 0, DRV_INPUT = 1, DRV_USAGE = 2, DRV_IO = 3, DRV_CPU = 4, DRV_INTERNAL = 70 };

#endif
