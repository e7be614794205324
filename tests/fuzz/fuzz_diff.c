/* Fuzz entry: the two files that `ebru diff` compares, behind lines "== a" and "== b": dumps of the
 * IR, or fusion reports. It finds them the same or different, whatever form it is asked for, and a
 * file differs from itself in nothing; what it cannot read has a reason. */
#include "tests/fuzz/fuzz.h"

#include "driver/commands/commands.h"
#include "driver/driver.h"

static int diff(const char *a, const char *b, bool json) {
    static drv_options o;
    o = (drv_options){.command = DRV_DIFF, .model = a, .second = b, .operands = 2};
    o.common.json = json;
    o.common.quiet = false;
    fuzz_streams_begin();
    const int code = drv_diff(&o);
    const size_t said = fuzz_streams_end();
    PROMISE(code == 0 || code == 1 || code == DRV_USAGE);
    PROMISE(code != DRV_USAGE || said > 0);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_part parts[FUZZ_MOST_PARTS];
    const size_t count = fuzz_split(data, size, "a", parts);
    const char *a, *b;
    size_t n, k;
    const char *first = fuzz_part_text(parts, count, "a", &n),
               *second = fuzz_part_text(parts, count, "b", &k);
    fuzz_folder();
    PROMISE(fuzz_write("a", first, n, &a) && fuzz_write("b", second, k, &b));
    const int code = diff(a, b, size % 2);
    const int same = diff(a, a, false);
    PROMISE(same != 1 && (code > 1 || same == 0));
    return 0;
}
