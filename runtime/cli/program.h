/* Parts of an emitted program's main(). */
#ifndef EBRU_RUNTIME_CLI_PROGRAM_H
#define EBRU_RUNTIME_CLI_PROGRAM_H

#include "runtime/cli/options.h"
#include "runtime/engine/engine.h"
#include "runtime/pipeline/pipeline.h"

/* call.c: --call, and --dump-values (NULL: no dump). The exit code; the message in err. */
rt_status rt_program_call(rt_engine *e, const char *name, const char *dump, rt_error *err);
/* bench.c: --bench. */
rt_status rt_program_bench(rt_engine *e, const rt_options *o, rt_error *err);
/* paint.c: prompts or classes to PNG files. */
rt_status rt_program_paint(rt_engine *e, const rt_options *o, rt_error *err);
/* paint/upscale_command.c: programs of the kind upscale, for rt_program_paint. */
rt_status rt_program_upscale(rt_engine *e, const rt_options *o, const rt_pipeline_info *info,
                             rt_progress *progress, rt_error *err);

#endif
