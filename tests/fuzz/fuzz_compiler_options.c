/* Fuzz entry: the command line of ebru, a word a line. What is accepted is a command with as many
 * operands as it takes, and options within their ranges; what is refused has a reason. */
#include "tests/fuzz/words.h"

#include "driver/cli/option_table.h"
#include "driver/cli/options.h"
#include "driver/driver.h"

#include <math.h>

static void check(const drv_options *o) {
    unsigned known = 0;
    for (uint32_t i = 0; i < drv_command_count; i++)
        if (drv_commands[i].bit == o->command) {
            known++;
            PROMISE(o->operands <= drv_commands[i].most);
        }
    PROMISE(known == 1);
    PROMISE(!o->model == (o->operands < 1) && !o->second == (o->operands < 2) &&
            !o->third == (o->operands < 3));
    PROMISE(o->load.lora_count <= DRV_MAX_LORAS && o->passes.disabled_count <= DRV_MAX_DISABLED);
    for (uint32_t i = 0; i < o->load.lora_count; i++)
        PROMISE(*o->load.loras[i].path && isfinite(o->load.loras[i].scale));
    PROMISE(o->load.batch >= 0 && o->load.width >= 0 && o->load.width <= 16384 &&
            o->load.height >= 0 && o->load.height <= 16384);
    PROMISE(o->code.opt_level >= 0 && o->code.opt_level <= 3 && o->code.placement < 3);
    PROMISE(o->code.products < IR_PRECISION_COUNT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static drv_options o;
    fuzz_words w;
    bool done = false;
    fuzz_words_begin(&w, data, size);
    fuzz_streams_begin();
    const int code = drv_parse(&o, w.argc, w.argv, &done);
    const size_t said = fuzz_streams_end();
    PROMISE(code == 0 || (code == DRV_USAGE && said > 0));
    if (code == 0 && !done) check(&o);
    fuzz_words_end(&w);
    return 0;
}
