/* The command line as tables: options.def and commands.def. Parsing, help, man page and completions
 * walk them. */
#ifndef EBRU_DRIVER_CLI_OPTION_TABLE_H
#define EBRU_DRIVER_CLI_OPTION_TABLE_H

#include "driver/driver.h"

typedef enum drv_option_kind {
    DRV_FLAG,
    DRV_TEXT,
    DRV_INT,
    DRV_NUM,
    DRV_LIST,
    DRV_LORA,
    DRV_OLEVEL
} drv_option_kind;

typedef struct drv_option {
    const char *name, *argument; /* "--emit=", "KIND"; argument NULL: none */
    drv_option_kind kind;
    size_t offset;     /* of its field in drv_options */
    unsigned commands; /* bits */
    const char *help;  /* NULL: for tests, shown nowhere */
} drv_option;

typedef struct drv_command {
    const char *name;
    unsigned bit;
    const char *operands;
    uint32_t least, most; /* operands */
    const char *help;
} drv_command;

typedef struct drv_example {
    unsigned command; /* 0: of ebru itself */
    const char *line, *help;
} drv_example;

#define DRV_MAX_OPTIONS  200
#define DRV_MAX_COMMANDS 32
extern const drv_option drv_option_table[];
extern const uint32_t drv_option_count;
extern const drv_command drv_commands[];
extern const uint32_t drv_command_count;
extern const drv_example drv_examples[];
extern const uint32_t drv_example_count;

/* "--emit=KIND", "-o FILE", "-fno-PASS": as it is typed. Valid until the next call. */
const char *drv_option_head(const drv_option *o);
/* Words that may stand for its argument, separated by blanks; NULL: they are no few. */
const char *drv_option_values(const drv_option *o);

/* command 0: the overview. */
void drv_print_help(FILE *out, unsigned command);

/* man.c: the two manual pages. */
void drv_man(base_str *out);
void drv_man_program(base_str *out);

#endif
