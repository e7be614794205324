/* Inside of the pass manager: what its files share. */
#ifndef EBRU_PASSES_MANAGER_MANAGER_H
#define EBRU_PASSES_MANAGER_MANAGER_H

#include "passes/passes.h"

#include <regex.h>

/* registry.c: the functions of a pass, of which one is there. */
typedef struct pass_runner {
    bool (*on_function)(pass_context *c, ir_func *f);
    bool (*on_module)(pass_context *c, ir_module *m);
} pass_runner;
const pass_runner *pass_get_runner(uint32_t index);
/* The index of the pass of this name; -1 when there is none. */
int pass_index(const char *name, size_t length);
/* A name of an older ebru (a row RENAMED): the pass it stands for, and what became of it. NULL when
 * there never was such a pass. */
typedef struct pass_renamed {
    const char *name;
    uint32_t index;
    const char *text;
} pass_renamed;
const pass_renamed *pass_find_renamed(const char *name, size_t length);
const pass_contracts *pass_own_contracts(void); /* those of passes.def */

/* choices.c: what -fno- and -f say. */
typedef struct pass_place {
    uint32_t pass;
    const char *option; /* behind -fno-: "PASS@REGEX" */
    regex_t regex;
    bool used; /* it has kept a node from the pass */
} pass_place;
typedef struct pass_choices {
    bool off[PASS_COUNT];
    double knobs[PASS_KNOB_COUNT];
    BASE_VEC(pass_place) places;
} pass_choices;
/* All passes on, all knobs as passes.def has them. */
void pass_choices_begin(pass_choices *k);
/* False with diagnostics for all that is wrong. */
bool pass_choices_read(pass_choices *k, base_diag *d, const pass_options *o);
/* At the end of a run: warns of places that kept no node from their pass. */
void pass_choices_warn(const pass_choices *k, base_diag *d);
void pass_choices_free(pass_choices *k);
/* context.c: those of a context; they hold between runs, too. */
pass_choices *pass_choices_of(const pass_context *c);
/* manager.c: the index of the named pass; -1 with a diagnostic that suggests the nearest name. */
int pass_known(base_diag *d, const char *option, const char *name, size_t length);

/* context.c: the target of the CPU level the context is for, which passes see in part; or NULL. */
const ir_target *pass_level_target(const pass_context *c);

/* properties.c: a row PROP of passes.def. */
typedef struct pass_property {
    const char *name;
    const char *giver, *ender; /* passes; or NULL */
    const char *summary;
    /* Whether it holds, checked from scratch; the reason is appended to `why` when not. */
    bool (*holds)(const ir_func *f, base_str *why);
    void (*establish)(ir_func *f); /* makes it hold; NULL: only a pass does, or nothing */
} pass_property;
const pass_property *pass_property_get(uint32_t index);

/* Verifier and print/parse round trip; faults are appended. */
void pass_check(const ir_module *m, base_str *faults);
/* Our bug: writes <dir or .>/ebru-bad.ir and ends the process with 70. */
_Noreturn void pass_broken(const ir_module *m, const char *pass, const char *faults,
                           const char *dir);
/* What is printed around passes. */
typedef struct pass_show {
    FILE *out;
    bool no_loc, filtered;
    regex_t regex;
    base_str before; /* with a filter: what it showed before the pass */
} pass_show;
/* False with a diagnostic when the filter is no regular expression; end it all the same. */
bool pass_show_begin(pass_show *s, base_diag *d, const pass_options *o);
void pass_show_end(pass_show *s);
/* Before a pass runs: prints what the filter shows and, for pass_show_after's `only_changed`, keeps
 * it. */
void pass_show_before(pass_show *s, const ir_module *m, const char *pass, bool print,
                      bool remember);
/* After it. With `only_changed` nothing where what the filter shows is the same but for numbers. */
void pass_show_after(pass_show *s, const ir_module *m, const char *pass, bool changed,
                     bool only_changed);
/* The options' dump_dir/NN-PASS.ir; false with a diagnostic when it cannot be written. */
bool pass_dump(base_diag *d, const ir_module *m, const pass_options *o, uint32_t number,
               const char *pass);

/* fault.c: planted faults. */
typedef struct pass_fault {
    const char *pass; /* still to be planted after this pass; NULL: no more */
    long number;      /* in the number-th node that can be altered, from 1 */
    BASE_VEC(uint64_t) seen;
} pass_fault;
/* Reads PASS[:N]; the name goes to name[room]. False when malformed. */
bool pass_fault_read(pass_fault *fault, const char *text, char *name, size_t room);
/* Looks at the module before the pass. */
void pass_fault_look(pass_fault *fault, const ir_module *m);
/* After the pass changed the module: alters a node and says so on `log` (may be NULL). No node
 * fits: nothing happens. */
void pass_fault_plant(pass_fault *fault, ir_module *m, FILE *log);
void pass_fault_free(pass_fault *fault);

/* report.c: drops the numbers kept for decisions (pass_context.numbers): a pass begins, and
 * functions may have changed. */
void pass_forget_numbers(pass_context *c);

#endif
