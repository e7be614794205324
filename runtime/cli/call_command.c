/* --call=NAME: runs one network on tensors from standard input, writes its outputs to standard output.
 * Frames: a line "NAME BYTES\n", then that many bytes (f32 or i32, row-major, host order); docs/program.md.
 */
#include "runtime/cli/program.h"

#include "runtime/cli/output.h"
#include "runtime/engine/staged_network.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static rt_status read_frame(rt_network *n, bool *seen, bool *end, rt_error *err) {
    char line[400], *name = line;
    unsigned long long bytes;
    int used = 0;
    *end = false;
    if (!fgets(line, sizeof line, stdin)) {
        *end = true;
        return RT_OK;
    }
    char *blank = strrchr(line, ' '); /* names may have some, too */
    if (!blank || sscanf(blank, " %llu%n", &bytes, &used) != 1 || strcmp(blank + used, "\n") != 0)
        return rt_fail(err, RT_ERR_INPUT, "expected a line 'NAME BYTES' on standard input");
    *blank = '\0';
    for (int i = 0; i < rt_network_input_count(n); i++) {
        const struct ebru_tensor_desc *d = rt_network_input_at(n, i);
        if (strcmp(d->name, name) != 0) continue;
        /* A schedule function may compute several timesteps a call; one is enough, and fills all
         * rows. */
        unsigned long long rows = d->freq == EBRU_SCHEDULE && bytes ? d->bytes / bytes : 1;
        if (bytes * rows != d->bytes)
            return rt_fail(err, RT_ERR_INPUT, "input '%s' has %llu bytes, expected %llu", name,
                           bytes, (unsigned long long)d->bytes);
        char *to = rt_network_input_buffer(n, name);
        if (fread(to, 1, (size_t)bytes, stdin) != bytes)
            return rt_fail(err, RT_ERR_INPUT, "standard input ends within '%s'", name);
        for (unsigned long long r = 1; r < rows; r++) memcpy(to + r * bytes, to, (size_t)bytes);
        seen[i] = true;
        return RT_OK;
    }
    return rt_fail(err, RT_ERR_INPUT, "this network has no input '%s'", name);
}

static rt_status run(rt_network *n, rt_profile *profile, rt_error *err) {
    bool end = false, *seen = calloc((size_t)rt_network_input_count(n) + 1, sizeof *seen);
    if (!seen) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    rt_status s = RT_OK;
    rt_profile_phase(profile, "read");
    while (!s && !end) s = read_frame(n, seen, &end, err);
    for (int i = 0; !s && i < rt_network_input_count(n); i++)
        if (!seen[i])
            s = rt_fail(err, RT_ERR_INPUT, "input '%s' is missing on standard input",
                        rt_network_input_at(n, i)->name);
    free(seen);
    rt_profile_phase(profile, "call");
    if (!s) s = rt_network_begin(n, NULL, 1, err);
    if (s) return s;
    rt_network_step(n, 0);
    rt_profile_phase(profile, "write");
    for (int i = 0; i < rt_network_output_count(n); i++) {
        const struct ebru_tensor_desc *d = rt_network_output_at(n, i);
        printf("%s %llu\n", d->name, (unsigned long long)d->bytes);
        fwrite(rt_network_output_buffer(n, d->name), 1, (size_t)d->bytes, stdout);
    }
    return fflush(stdout) || ferror(stdout)
               ? rt_fail(err, RT_ERR_SYSTEM, "cannot write to standard output")
               : RT_OK;
}

rt_status rt_program_call(rt_engine *e, const char *name, const char *dump, rt_error *err) {
    rt_network *n;
    rt_status s = rt_network_open(&n, e, name, err);
    if (s) return s == RT_ERR_INTERNAL ? RT_ERR_USAGE : s;
    rt_output values = {0};
    if (dump) s = rt_output_begin(&values, dump, err);
    if (!s) {
        e->values = values.file;
        s = run(n, e->profile, err);
        e->values = NULL;
    }
    if (values.file) { /* after a failure, too: values up to it are what one looks for */
        rt_error late = {""};
        rt_status written = rt_output_commit(&values, &late);
        if (!s && written) *err = late;
        if (!s) s = written;
    }
    rt_network_free(n);
    return s;
}
