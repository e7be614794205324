/* ebru help [COMMAND|TOPIC]: help texts and manual pages. */
#include "base/suggest.h"
#include "driver/cli/option_table.h"
#include "driver/cli/write_text.h"
#include "driver/commands/commands.h"
#include "driver/driver.h"
#include "passes/passes.h"
#include "runtime/cli/options.h"

#include <string.h>

/* What is no command and has a help text all the same. */
static void help_passes(void) {
    base_str text = {0};
    printf("Passes in default order, what they need and give, and their knobs with default and "
           "range.\n-fno-PASS leaves one out, -fno-PASS@REGEX in the blocks that match; "
           "-fPASS=KNOB:VALUE sets a knob.\n\n");
    pass_list(&text);
    fwrite(text.data, 1, text.len, stdout);
    base_str_free(&text);
}

static void help_program(void) {
    printf("./PROGRAM [OPTION]...: a program that ebru made. Its own --help begins with what it "
           "paints and an example.\n\n");
    rt_options_print(stdout);
}

static const struct {
    const char *name;
    void (*print)(void);
} topics[] = {{"passes", help_passes}, {"program", help_program}};
enum { TOPICS = sizeof topics / sizeof *topics };

int drv_help(const drv_options *o) {
    if (o->manual.man || o->manual.man_program) {
        base_str text = {0};
        base_diag *d = drv_diag(&o->common);
        if (o->manual.man)
            drv_man(&text);
        else
            drv_man_program(&text);
        int code = drv_write_text(d, "-", text.data, text.len) ? DRV_OK : DRV_IO;
        base_str_free(&text);
        base_diag_free(d);
        return code;
    }
    if (!o->model) {
        drv_print_help(stdout, 0);
        return DRV_OK;
    }
    const char *names[DRV_MAX_COMMANDS + TOPICS];
    for (uint32_t i = 0; i < drv_command_count; i++) {
        names[i] = drv_commands[i].name;
        if (strcmp(names[i], o->model) != 0) continue;
        drv_print_help(stdout, drv_commands[i].bit);
        return DRV_OK;
    }
    for (uint32_t i = 0; i < TOPICS; i++) {
        names[drv_command_count + i] = topics[i].name;
        if (strcmp(topics[i].name, o->model) != 0) continue;
        topics[i].print();
        return DRV_OK;
    }
    char hint[BASE_HINT_MAX];
    const char *near = base_suggest(o->model, names, drv_command_count + TOPICS);
    fprintf(stderr, "ebru: error: no command or topic '%s'%s\n",
            base_escape(o->model, strlen(o->model)), base_hint(near, hint));
    return DRV_USAGE;
}
