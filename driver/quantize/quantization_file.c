/* The quantization file, a JSON document: see quantization_file.h. It is read by the strict reader,
 * since people edit it, and written as the reader wants it. */
#include "driver/quantize/quantization_file.h"
#include "driver/cli/read_text.h"
#include "driver/json_writer.h"

#include "base/digest.h"
#include "base/json/json.h"
#include "base/suggest.h"
#include "frontend/files/files.h"
#include "frontend/safetensors/weights.h"
#include "runtime/abi/meta_keys.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char FORMAT[] = "ebru-quantization-1";
_Static_assert((int)DRV_QUANTIZATION_DIGEST == (int)FE_DIGEST_TEXT, "a digest is 16 digits");

bool drv_quantization_has(ir_precision p) {
    return p == IR_PRECISION_F32 || drv_quantization_has_ratio(p);
}
bool drv_quantization_has_ratio(ir_precision p) {
    return p == IR_PRECISION_BF16 || p == IR_PRECISION_INT8;
}

drv_quantization *drv_quantization_new(void) {
    drv_quantization *q = base_alloc(sizeof *q);
    q->arena = base_arena_new();
    q->model = q->weights = "";
    q->budget_dB = q->result_dB = NAN;
    return q;
}

void drv_quantization_free(drv_quantization *q) {
    if (!q) return;
    base_free(q->filters.items);
    base_free(q->by_name);
    base_free(q->classes);
    base_arena_free(q->arena);
    base_free(q);
}

drv_quantized_filter *drv_quantization_add(drv_quantization *q, const char *name) {
    const char *slash = strchr(name, '/');
    drv_quantized_filter f = {.name = base_arena_strdup(q->arena, name)};
    f.component = slash ? base_arena_strndup(q->arena, name, (size_t)(slash - name)) : "";
    f.weight = slash ? f.name + (slash - name) + 1 : f.name;
    for (int p = 0; p < IR_PRECISION_COUNT; p++) f.signal_to_noise_dB[p] = f.result_dB[p] = NAN;
    BASE_PUSH(&q->filters, f);
    return &q->filters.items[q->filters.count - 1];
}

/* ---- reading ---- */

/* A ratio, or NAN where there is none. */
static double ratio(base_jval v) {
    double x = NAN;
    if (!base_json_double(v, &x)) return NAN;
    if (fabs(x) <= DRV_QUANTIZATION_MOST_DB) return x;
    base_json_error(v, "expected dB from -%g to %g", DRV_QUANTIZATION_MOST_DB,
                    DRV_QUANTIZATION_MOST_DB);
    return NAN;
}

/* A ratio for each precision that has one; an absent object has none. */
static void read_ratios(base_jval object, double out[IR_PRECISION_COUNT]) {
    if (!base_json_expect(object, BASE_JSON_OBJECT)) return;
    for (ir_precision p = 0; p < IR_PRECISION_COUNT; p++)
        if (drv_quantization_has_ratio(p))
            out[p] = ratio(base_json_get(object, ir_precision_name[p]));
    base_json_report_unknown_keys(object, NULL, 0, BASE_ERROR);
}

/* One of the words that the format knows; f32 after reporting. */
static ir_precision read_precision(base_jval v) {
    const char *words[IR_PRECISION_COUNT];
    ir_precision of[IR_PRECISION_COUNT];
    size_t count = 0, index = 0;
    for (ir_precision p = 0; p < IR_PRECISION_COUNT; p++)
        if (drv_quantization_has(p)) {
            words[count] = ir_precision_name[p];
            of[count++] = p;
        }
    return base_json_choice(v, "precision", words, count, &index) ? of[index] : IR_PRECISION_F32;
}

/* Of a member that must be there, "" after reporting. It lives with `q`. */
static const char *read_text(const drv_quantization *q, base_jval v) {
    const char *s = "";
    base_json_string(v, &s);
    return base_arena_strdup(q->arena, s);
}

static void read_filter(drv_quantization *q, base_jval v) {
    if (!base_json_expect(v, BASE_JSON_OBJECT)) return;
    const base_jval weight = base_json_require(v, "weight");
    drv_quantized_filter f = *drv_quantization_add(q, "");
    f.component = read_text(q, base_json_require(v, "component"));
    f.weight = read_text(q, weight);
    if (base_json_is(weight, BASE_JSON_STRING) && !*f.weight)
        base_json_error(weight, "expected the name of a weight");
    f.name = *f.component ? base_arena_printf(q->arena, "%s/%s", f.component, f.weight) : f.weight;
    f.precision = read_precision(base_json_require(v, "precision"));
    read_ratios(base_json_get(v, "signal_to_noise_dB"), f.signal_to_noise_dB);
    read_ratios(base_json_get(v, "result_dB"), f.result_dB);
    const base_jval why = base_json_get(v, "why");
    if (base_json_present(why)) f.why = read_text(q, why);
    f.loc = base_json_loc(base_json_is(weight, BASE_JSON_STRING) ? weight : v);
    f.loc.path = f.loc.path ? base_arena_strdup(q->arena, f.loc.path) : NULL;
    base_json_report_unknown_keys(v, NULL, 0, BASE_ERROR);
    q->filters.items[q->filters.count - 1] = f;
}

static bool is_digest(const char *s) {
    return strlen(s) == DRV_QUANTIZATION_DIGEST - 1 &&
           strspn(s, "0123456789abcdef") == DRV_QUANTIZATION_DIGEST - 1;
}

static void read_document(drv_quantization *q, base_jval root) {
    static const char *const formats[] = {FORMAT};
    size_t format;
    if (!base_json_expect(root, BASE_JSON_OBJECT)) return;
    /* of another version nothing else can be said */
    if (!base_json_choice(base_json_require(root, "format"), "format", formats, 1, &format)) return;
    const base_jval weights = base_json_require(root, "weights"),
                    ops = base_json_require(root, "ops");
    q->model = read_text(q, base_json_require(root, "model"));
    q->weights = read_text(q, weights);
    q->loc = base_json_loc(weights);
    q->loc.path = q->loc.path ? base_arena_strdup(q->arena, q->loc.path) : NULL;
    if (base_json_is(weights, BASE_JSON_STRING) && !is_digest(q->weights))
        base_json_error(weights,
                        "expected a digest of %d hexadecimal digits, as in the property "
                        "model.digest",
                        DRV_QUANTIZATION_DIGEST - 1);
    q->budget_dB = ratio(base_json_get(root, "budget_dB"));
    q->result_dB = ratio(base_json_get(root, "result_dB"));
    if (base_json_expect(ops, BASE_JSON_ARRAY))
        for (base_jval v = base_json_first(ops); base_json_present(v); v = base_json_next(v))
            read_filter(q, v);
    base_json_report_unknown_keys(root, NULL, 0, BASE_ERROR);
}

/* By name; among equals in the order of the file. */
static int by_name(const void *a, const void *b) {
    const drv_quantized_filter *x = *(const drv_quantized_filter *const *)a,
                               *y = *(const drv_quantized_filter *const *)b;
    const int order = strcmp(x->name, y->name);
    return order ? order : (x > y) - (x < y);
}

static void sort(drv_quantization *q) {
    const size_t n = q->filters.count;
    q->by_name = base_alloc((n + 1) * sizeof *q->by_name);
    for (size_t i = 0; i < n; i++) q->by_name[i] = &q->filters.items[i];
    qsort(q->by_name, n, sizeof *q->by_name, by_name);
    q->classes = base_alloc((n + 1) * sizeof *q->classes);
    for (size_t i = 0; i < n; i++)
        q->classes[i] = (pass_weight_class){q->by_name[i]->name, q->by_name[i]->precision};
}

/* A second entry of a filter would have to be passed over silently. */
static void refuse_repeated(base_diag *d, const drv_quantization *q) {
    for (size_t i = 1; i < q->filters.count; i++) {
        const drv_quantized_filter *f = q->by_name[i];
        if (!*f->name || strcmp(f->name, q->by_name[i - 1]->name) != 0) continue;
        base_error(d, &f->loc, "'%s' has an entry already", base_shown(f->name));
        base_note(d, &q->by_name[i - 1]->loc, "this one");
    }
}

static void note_digest(drv_quantization *q, const char *text, size_t length) {
    base_digest d;
    unsigned char id[16];
    base_digest_begin(&d);
    base_digest_add(&d, text, length);
    base_digest_end(&d, id);
    for (size_t i = 0; i < DRV_QUANTIZATION_DIGEST / 2; i++)
        snprintf(q->digest + 2 * i, 3, "%02x", id[i]);
}

drv_quantization *drv_quantization_parse(base_diag *d, const char *name, const char *text,
                                         size_t length) {
    const unsigned before = base_diag_errors(d);
    base_json *doc = base_json_parse(d, name, text, length, NULL);
    drv_quantization *q = drv_quantization_new();
    if (doc) {
        read_document(q, base_json_root(doc));
        sort(q);
        refuse_repeated(d, q);
        note_digest(q, text, length);
    }
    base_json_free(doc);
    if (doc && base_diag_errors(d) == before) return q;
    drv_quantization_free(q);
    return NULL;
}

drv_quantization *drv_quantization_read(base_diag *d, const char *path) {
    fe_bytes text;
    if (!drv_read_text(d, path, BASE_JSON_MAX_BYTES, &text)) return NULL;
    drv_quantization *q =
        drv_quantization_parse(d, strcmp(path, "-") ? path : "<stdin>", text.data, text.size);
    fe_bytes_free(&text);
    return q;
}

/* ---- writing ---- */

static void put_ratio(cJSON *to, const char *key, double dB) {
    if (isnan(dB)) return;
    dB = fmax(-DRV_QUANTIZATION_MOST_DB, fmin(DRV_QUANTIZATION_MOST_DB, dB));
    drv_json_real(to, key, round(dB * 100) / 100);
}

static void put_ratios(cJSON *to, const char *key, const double dB[IR_PRECISION_COUNT]) {
    cJSON *object = NULL;
    for (ir_precision p = 0; p < IR_PRECISION_COUNT; p++) {
        if (!drv_quantization_has_ratio(p) || isnan(dB[p])) continue;
        if (!object) object = drv_json_object(to, key);
        put_ratio(object, ir_precision_name[p], dB[p]);
    }
}

void drv_quantization_print(const drv_quantization *q, base_str *out) {
    cJSON *o = drv_json_object(NULL, NULL);
    drv_json_text(o, "format", FORMAT);
    drv_json_text(o, "model", q->model);
    drv_json_text(o, "weights", q->weights);
    put_ratio(o, "budget_dB", q->budget_dB);
    put_ratio(o, "result_dB", q->result_dB);
    cJSON *ops = drv_json_array(o, "ops");
    for (size_t i = 0; i < q->filters.count; i++) {
        const drv_quantized_filter *f = &q->filters.items[i];
        cJSON *op = drv_json_object(ops, NULL);
        drv_json_text(op, "component", f->component);
        drv_json_text(op, "weight", f->weight);
        drv_json_text(op, "precision", ir_precision_name[f->precision]);
        put_ratios(op, "signal_to_noise_dB", f->signal_to_noise_dB);
        put_ratios(op, "result_dB", f->result_dB);
        if (f->why) drv_json_text(op, "why", f->why);
    }
    drv_json_write(o, DRV_JSON_LINES, out);
}

/* ---- what it says of a module ---- */

static int name_of(const void *name, const void *filter) {
    return strcmp(name, (*(const drv_quantized_filter *const *)filter)->name);
}

const drv_quantized_filter *drv_quantization_find(const drv_quantization *q, const char *name) {
    const drv_quantized_filter *const *f =
        bsearch(name, q->by_name, q->filters.count, sizeof *q->by_name, name_of);
    return f ? *f : NULL;
}

/* Marks the filters that the module has; how many there are. */
static size_t mark_present(const drv_quantization *q, const ir_module *m, bool *present) {
    size_t count = 0;
    for (size_t i = 0; i < m->weights.count; i++) {
        const drv_quantized_filter *f = drv_quantization_find(q, m->weights.items[i].name);
        if (!f) continue;
        present[f - q->filters.items] = true;
        count++;
    }
    return count;
}

static void refuse_absent(base_diag *d, const drv_quantization *q, const ir_module *m,
                          const bool *present) {
    enum { MOST_HINTS = 20 };
    size_t looked = 0;
    const char **names = base_alloc((m->weights.count + 1) * sizeof *names);
    for (size_t i = 0; i < m->weights.count; i++) names[i] = m->weights.items[i].name;
    for (size_t i = 0; i < q->filters.count; i++) {
        const drv_quantized_filter *f = &q->filters.items[i];
        char hint[BASE_HINT_MAX];
        if (present[i]) continue;
        /* of many a few are printed, and a search takes as long as the model is large */
        const char *near =
            looked++ < MOST_HINTS ? base_suggest(f->name, names, m->weights.count) : NULL;
        base_error(d, &f->loc, "the model has no weight '%s'%s", base_shown(f->name),
                   near ? base_hint(near, hint) : "");
    }
    base_free(names);
}

bool drv_quantization_check(base_diag *d, drv_quantization *q, const ir_module *m, bool part) {
    if (q->checked) return true;
    const unsigned before = base_diag_errors(d);
    bool *present = base_alloc(q->filters.count + 1);
    const size_t there = mark_present(q, m, present);
    if (!there && q->filters.count) {
        base_error(d, &q->loc,
                   "the model has none of the weights that this quantization file "
                   "names; it is one of '%s'",
                   base_shown(q->model));
    } else if (!part) {
        char counted[FE_DIGEST_TEXT];
        const char *digest = ir_meta_string(m, EBRU_META_MODEL_DIGEST.name, NULL);
        refuse_absent(d, q, m, present);
        if (!digest) fe_weights_digest(m, counted);
        if (!digest) digest = counted;
        if (strcmp(digest, q->weights) != 0)
            base_warning(d, &q->loc,
                         "this quantization file was made with other weights: those of the model "
                         "have the digest %s",
                         base_shown(digest));
    }
    base_free(present);
    return q->checked = base_diag_errors(d) == before;
}
