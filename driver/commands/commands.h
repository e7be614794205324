/* The subcommands. Each returns an exit code (driver/driver.h) after its own messages. */
#ifndef EBRU_DRIVER_COMMANDS_COMMANDS_H
#define EBRU_DRIVER_COMMANDS_COMMANDS_H

#include "driver/cli/options.h"

int drv_compile(const drv_options *o);
int drv_opt(const drv_options *o);
int drv_verify(const drv_options *o);
int drv_reduce(const drv_options *o);
int drv_bisect(const drv_options *o);
int drv_inspect(const drv_options *o);
int drv_bench(const drv_options *o);
int drv_diff(const drv_options *o);
int drv_report_run(const drv_options *o);
int drv_completion(const drv_options *o);
int drv_help(const drv_options *o);
int drv_tune(const drv_options *o);
int drv_quantize(const drv_options *o);

#endif
