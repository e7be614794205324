/* A command line by a table: parsing, the option list of a help text, suggestions for misspelled
 * options and messages. The compiler has one table (driver/cli/options.def), the programs it makes
 * have another (runtime/cli/options.c).
 *
 * A name is `--steps`, `-o` or `-mcpu=`; its argument follows as the next word or behind a '='.
 * Where the name ends in '=' help texts show it so. Names of one letter (`-O`) and those that
 * end in '-' (`-fno-`) take it glued on as well. `--` ends the options. */
#ifndef EBRU_BASE_OPTIONS_H
#define EBRU_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum base_option_kind {
    BASE_OPTION_FLAG,  /* bool: becomes true */
    BASE_OPTION_TEXT,  /* const char *: the word of argv, or its end */
    BASE_OPTION_NAME,  /* the same, and never empty: of a file, of a choice */
    BASE_OPTION_INT,   /* int from least to most */
    BASE_OPTION_INT64, /* int64_t from least to most */
    BASE_OPTION_REAL,  /* double from least to most */
    BASE_OPTION_OWN    /* set() does it */
} base_option_kind;

/* `most` of a whole number whose limit is not the option's: who reads it knows the limit. A number
 * that does not fit becomes the largest that does. */
#define BASE_OPTION_ANY INT64_MAX

enum { BASE_OPTION_ERROR_MAX = 400, BASE_OPTION_HEAD_MAX = 80 };

typedef struct base_option base_option;
struct base_option {
    const char *name;
    const char *shorthand; /* "-s", or NULL */
    const char *argument;  /* what it is called in help texts; NULL: it takes none */
    const char *help;      /* NULL: for tests, shown nowhere */
    unsigned commands;     /* bits of the commands that have it */
    base_option_kind kind;
    bool glued; /* the help text shows the argument glued on (also where the name ends in = or -) */
    int64_t least, most;
    size_t offset;  /* of the field in the structure that is filled */
    unsigned needs; /* without which the option does nothing: bits of the table's owner */
    /* OWN: takes the value into the structure at `options`. A value that it does not like: false,
     * with a sentence in `error` (base_option_expects). An option without an argument gets what
     * stands behind '=', or NULL. */
    bool (*set)(void *options, const base_option *o, const char *value,
                char error[BASE_OPTION_ERROR_MAX]);
};

/* A word that is an option elsewhere, and a sentence that says what does it here: "-march" and "the
 * CPU is chosen by -mcpu=". */
typedef struct base_option_advice {
    const char *word, *advice;
} base_option_advice;

typedef struct base_option_table {
    const base_option *rows;
    size_t count;
    /* Takes a word that is no option; false with a sentence in `error`. */
    bool (*operand)(void *options, const char *word, char error[BASE_OPTION_ERROR_MAX]);
    /* Hears which row an option was, after its value has been taken; may be NULL. */
    void (*given)(void *options, size_t row);
    /* For messages: the name of the command of one bit, NULL when no command has that bit. May be
     * NULL: commands have no names. */
    const char *(*command)(unsigned bit);
    /* Options that a user may take for one of these, and who has them, as "programs"; may be NULL. */
    const struct base_option_table *others;
    const char *others_owner;
    /* Words for which a message says more than that they are unknown; may be NULL. */
    const base_option_advice *advice;
    size_t advice_count;
} base_option_table;

/* Parses argv[0] to argv[argc - 1] by the rows that one of `commands` has into the structure at
 * `options`, which has its defaults already. False with a sentence in `error`: words of argv stand
 * in it as they are. */
bool base_options_parse(const base_option_table *t, unsigned commands, void *options, int argc,
                        char *const *argv, char error[BASE_OPTION_ERROR_MAX]);

/* For set(): "NAME expects EXPECTED, not 'VALUE'". Returns false. */
bool base_option_expects(const base_option *o, const char *expected, const char *value,
                         char error[BASE_OPTION_ERROR_MAX]);

/* True when help texts show the argument in one word with the name. */
bool base_option_is_glued(const base_option *o);
/* "-s, --seed N", "--emit=KIND", "-ON": as it is typed. Returns `out`. */
const char *base_option_head(const base_option *o, char out[BASE_OPTION_HEAD_MAX]);
/* The options that one of `commands` has, a line each, their help from column `width` + 3 on. A row
 * with the help of the row in front of it is another spelling and is left out. */
void base_options_print(FILE *out, const base_option_table *t, unsigned commands, int width);

#endif
