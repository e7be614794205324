/* Captured diagnostics and a temporary folder, for tests that read and write files. */
#ifndef EBRU_TESTS_UNIT_SUPPORT_FIXTURE_H
#define EBRU_TESTS_UNIT_SUPPORT_FIXTURE_H

#include "tests/unit/support/captured_diag.h"
#include "tests/unit/support/temp_dir.h"

typedef struct fixture {
    capture c;
    temp_dir t;
} fixture;

static inline void begin(fixture *f) {
    capture_begin(&f->c, (base_diag_options){.limit = 100});
    temp_dir_begin(&f->t);
}

static inline void end(fixture *f) {
    capture_end(&f->c);
    temp_dir_end(&f->t);
}

#endif
