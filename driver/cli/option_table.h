/* The command line as tables: options.def and commands.def. Parsing, help, man page and completions
 * walk them. */
#ifndef EBRU_DRIVER_CLI_OPTION_TABLE_H
#define EBRU_DRIVER_CLI_OPTION_TABLE_H

#include "base/arena.h"
#include "base/options.h"

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

#define DRV_MAX_COMMANDS 32
extern const base_option_table drv_option_table;
extern const drv_command drv_commands[];
extern const uint32_t drv_command_count;
extern const drv_example drv_examples[];
extern const uint32_t drv_example_count;

/* Words that may stand for its argument, separated by blanks; NULL: they are no few. */
const char *drv_option_values(const base_option *o);

/* options.c: how the table's own kinds of values are taken, and words that are no options. */
bool drv_add_disabled(void *options, const base_option *row, const char *value, char *error);
bool drv_add_knob(void *options, const base_option *row, const char *value, char *error);
bool drv_add_embedding(void *options, const base_option *row, const char *value, char *error);
bool drv_add_controlnet(void *options, const base_option *row, const char *value, char *error);
bool drv_add_adapter(void *options, const base_option *row, const char *value, char *error);
bool drv_add_ip_adapter(void *options, const base_option *row, const char *value, char *error);
bool drv_add_lora(void *options, const base_option *row, const char *value, char *error);
bool drv_add_slot(void *options, const base_option *row, const char *value, char *error);
bool drv_set_weights(void *options, const base_option *row, const char *value, char *error);
bool drv_add_operand(void *options, const char *word, char *error);

/* command 0: the overview. */
void drv_print_help(FILE *out, unsigned command);

/* man.c: the two manual pages. */
void drv_man(base_str *out);
void drv_man_program(base_str *out);

#endif
