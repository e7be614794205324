/* Fuzz entry: any bytes as a JSON document in which Python's Infinity and NaN are numbers. It is a
 * superset of the strict form with the same values, and no such number is ever handed to a caller
 * that did not ask for it. */
#include "tests/fuzz/fuzz.h"

#include "frontend/files/json_file.h"

#include <math.h>

static void compare(base_jval v, base_jval strict) {
    double x, any;
    const char *text;
    PROMISE(base_json_present(v));
    const bool compared = base_json_present(strict);
    if (compared) PROMISE(base_json_kind_of(v) == base_json_kind_of(strict));
    switch (base_json_kind_of(v)) {
    case BASE_JSON_INT:
    case BASE_JSON_REAL: {
        PROMISE(base_json_any_double(v, &any));
        const unsigned before = base_diag_errors(base_json_diag(v.doc));
        const bool finite = base_json_double(v, &x);
        PROMISE(finite == (isfinite(any) != 0));
        PROMISE(!finite || (x == any && !isnan(x)));
        PROMISE(finite == (base_diag_errors(base_json_diag(v.doc)) == before));
        if (compared) PROMISE(finite && base_json_double(strict, &any) && any == x);
        break;
    }
    case BASE_JSON_STRING: PROMISE(base_json_string(v, &text)); break;
    case BASE_JSON_NULL:
    case BASE_JSON_BOOL: break;
    case BASE_JSON_ARRAY:
    case BASE_JSON_OBJECT: {
        base_jval other = base_json_first(strict);
        for (base_jval child = base_json_first(v); base_json_present(child);
             child = base_json_next(child)) {
            PROMISE(base_json_present(other) == compared);
            compare(child, other);
            other = base_json_next(other);
        }
        PROMISE(!base_json_present(other));
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    base_diag *d = fuzz_diag(false), *silent = fuzz_diag(true);
    const char *text = (const char *)data;
    const base_json_limits python = {.max_values = 100000, .python_numbers = true},
                           plain = {.max_values = 100000};
    base_json *doc = base_json_parse(d, "python.json", text, size, &python);
    PROMISE((doc != NULL) == (base_diag_errors(d) == 0));
    base_json *strict = base_json_parse(silent, "strict.json", text, size, &plain);
    PROMISE(doc || !strict);
    if (doc) compare(base_json_root(doc), strict ? base_json_root(strict) : (base_jval){0});
    base_json_free(strict);
    base_json_free(doc);
    base_diag_free(silent);
    base_diag_free(d);
    return 0;
}
