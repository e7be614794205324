/* Fuzz entry: any bytes as a JSON document. Whatever is accepted must read the same in cJSON, and every
 * accessor must survive every value. Linked into a libFuzzer target and into the replay of the corpus. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "frontend/files/json_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Broken promises end the run whatever the build type: assert() may be compiled out. */
#define PROMISE(x)                                                                                           \
    do {                                                                                                     \
        if (!(x)) abort();                                                                                   \
    } while (0)

static void compare(fe_jval v, const cJSON *theirs) {
    int64_t i;
    double x;
    bool b;
    const char *s;
    size_t index, count;
    int64_t list[4];
    static const char *const names[] = {"silu", "a"};
    PROMISE(fe_json_present(v) && theirs);
    ir_loc loc = fe_json_loc(v);
    PROMISE(loc.line >= 1 && loc.col >= 1 && loc.path && loc.path[0] == '$');
    switch (fe_json_kind_of(v)) {
    case FE_JSON_NULL: PROMISE(cJSON_IsNull(theirs)); break;
    case FE_JSON_BOOL: PROMISE(fe_json_bool(v, &b) && b == (cJSON_IsTrue(theirs) != 0)); break;
    case FE_JSON_INT: fe_json_int(v, &i, -10, 10); /* fall through */
    case FE_JSON_REAL:
        PROMISE(fe_json_double(v, &x) && isfinite(x));
        PROMISE(cJSON_IsNumber(theirs) && x == theirs->valuedouble);
        break;
    case FE_JSON_STRING:
        PROMISE(fe_json_string(v, &s) && cJSON_IsString(theirs) && strcmp(s, theirs->valuestring) == 0);
        fe_json_choice(v, "thing", names, 2, &index);
        break;
    case FE_JSON_ARRAY:
    case FE_JSON_OBJECT: {
        bool object = fe_json_is(v, FE_JSON_OBJECT);
        PROMISE(object ? cJSON_IsObject(theirs) : cJSON_IsArray(theirs));
        fe_json_ints(v, list, 4, &count, 0, 100);
        fe_json_require(v, "a");
        size_t n = 0;
        fe_jval child = fe_json_first(v);
        for (const cJSON *t = theirs->child; t; t = t->next, child = fe_json_next(child), n++) {
            compare(child, t);
            if (object)
                PROMISE(fe_json_get(v, t->string).node == child.node);
            else
                PROMISE(fe_json_item(v, n).node == child.node);
        }
        PROMISE(n == fe_json_length(v) && !fe_json_present(child));
        fe_json_report_unknown_keys(v, names, 2, IR_WARNING);
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static FILE *null;
    if (!null) null = fopen("/dev/null", "w");
    fe_json_limits limits = {.max_values = 100000};
    ir_diag *d = ir_diag_new(&(ir_diag_options){.out = null, .limit = 5, .json = size % 2});
    fe_json *doc = fe_json_parse(d, "fuzz.json", (const char *)data, size, &limits);
    PROMISE((doc != NULL) == (ir_diag_errors(d) == 0));
    if (doc) {
        cJSON *theirs = cJSON_ParseWithLength((const char *)data, size);
        compare(fe_json_root(doc), theirs);
        cJSON_Delete(theirs);
        fe_json_free(doc);
    }
    ir_diag_free(d);
    return 0;
}
