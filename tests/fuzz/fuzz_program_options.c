/* Fuzz entry: the command line of a program, a word a line. What is accepted is within the ranges
 * that the help text tells; what is refused has a reason. */
#include "tests/fuzz/words.h"

#include "runtime/cli/options.h"

#include <math.h>

static void check(const rt_options *o) {
    enum { MOST = 1000000 };
    PROMISE(o->steps >= 0 && o->steps <= MOST && o->threads >= 0 && o->threads <= MOST);
    PROMISE(o->width >= 0 && o->width <= MOST && o->height >= 0 && o->height <= MOST);
    PROMISE(o->count >= 1 && o->count <= MOST && o->grid >= 0 && o->grid <= MOST);
    PROMISE(isfinite(o->cfg_scale) && isfinite(o->eta) && isfinite(o->strength));
    PROMISE(o->guidance_rescale >= 0 && o->guidance_rescale <= 1 && o->strength <= 1);
    for (int i = 0; i < o->prompt_count; i++) PROMISE(o->prompts[i] != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_words w;
    rt_options o;
    rt_error err = {""};
    fuzz_words_begin(&w, data, size);
    const rt_status status = rt_options_parse(&o, w.argc, w.argv, &err);
    PROMISE(status == RT_OK || (status == RT_ERR_USAGE && err.message[0]));
    if (status == RT_OK) check(&o);
    rt_options_free(&o);
    fuzz_words_end(&w);
    return 0;
}
