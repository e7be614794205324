/* ebru help [COMMAND]: help texts and manual pages. */
#include "base/suggest.h"
#include "driver/cli/option_table.h"
#include "driver/cli/write_text.h"
#include "driver/commands/commands.h"
#include "driver/driver.h"

#include <string.h>

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
    const char *names[DRV_MAX_COMMANDS];
    for (uint32_t i = 0; i < drv_command_count; i++) {
        names[i] = drv_commands[i].name;
        if (strcmp(names[i], o->model) != 0) continue;
        drv_print_help(stdout, drv_commands[i].bit);
        return DRV_OK;
    }
    char hint[BASE_HINT_MAX];
    const char *near = base_suggest(o->model, names, drv_command_count);
    fprintf(stderr, "ebru: error: no command '%s'%s\n", base_escape(o->model, strlen(o->model)),
            base_hint(near, hint));
    return DRV_USAGE;
}
