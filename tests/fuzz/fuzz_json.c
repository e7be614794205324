/* Fuzz entry: any bytes as a JSON document. Whatever is accepted must read the same in cJSON, and
 * every accessor must survive every value. */
#include "tests/fuzz/fuzz.h"

#include <math.h>

#include <cjson/cJSON.h>

#include "frontend/files/json_file.h"

static void compare(base_jval v, const cJSON *theirs) {
    int64_t i;
    double x;
    bool b;
    const char *s;
    size_t index, count;
    int64_t list[4];
    static const char *const names[] = {"silu", "a"};
    PROMISE(base_json_present(v) && theirs);
    base_loc loc = base_json_loc(v);
    PROMISE(loc.line >= 1 && loc.col >= 1 && loc.path && loc.path[0] == '$');
    switch (base_json_kind_of(v)) {
    case BASE_JSON_NULL: PROMISE(cJSON_IsNull(theirs)); break;
    case BASE_JSON_BOOL: PROMISE(base_json_bool(v, &b) && b == (cJSON_IsTrue(theirs) != 0)); break;
    case BASE_JSON_INT: base_json_int(v, &i, -10, 10); /* fall through */
    case BASE_JSON_REAL:
        PROMISE(base_json_double(v, &x) && isfinite(x));
        PROMISE(cJSON_IsNumber(theirs) && x == theirs->valuedouble);
        break;
    case BASE_JSON_STRING:
        PROMISE(base_json_string(v, &s) && cJSON_IsString(theirs) &&
                strcmp(s, theirs->valuestring) == 0);
        base_json_choice(v, "thing", names, 2, &index);
        break;
    case BASE_JSON_ARRAY:
    case BASE_JSON_OBJECT: {
        bool object = base_json_is(v, BASE_JSON_OBJECT);
        PROMISE(object ? cJSON_IsObject(theirs) : cJSON_IsArray(theirs));
        base_json_ints(v, list, 4, &count, 0, 100);
        base_json_require(v, "a");
        size_t n = 0;
        base_jval child = base_json_first(v);
        for (const cJSON *t = theirs->child; t; t = t->next, child = base_json_next(child), n++) {
            compare(child, t);
            if (object)
                PROMISE(base_json_get(v, t->string).node == child.node);
            else
                PROMISE(base_json_item(v, n).node == child.node);
        }
        PROMISE(n == base_json_length(v) && !base_json_present(child));
        base_json_report_unknown_keys(v, names, 2, BASE_WARNING);
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    base_json_limits limits = {.max_values = 100000};
    base_diag *d = fuzz_diag(size % 2);
    base_json *doc = base_json_parse(d, "fuzz.json", (const char *)data, size, &limits);
    PROMISE((doc != NULL) == (base_diag_errors(d) == 0));
    if (doc) {
        cJSON *theirs = cJSON_ParseWithLength((const char *)data, size);
        compare(base_json_root(doc), theirs);
        cJSON_Delete(theirs);
        base_json_free(doc);
    }
    base_diag_free(d);
    return 0;
}
