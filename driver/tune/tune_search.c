/* The search for better tiles of one kernel: field after field, each with its neighbours, from the
 * rules' tiles on; what is better stays. At the end the best is timed against the rules' once more,
 * and has to win by more than the noise. */
#include "codegen/target/default_tiles/default_tiles.h"
#include "driver/tune/tune.h"

#include <stdlib.h>
#include <string.h>

/* What the least and the median of runs must gain for tiles to be taken. */
static const double STEP_GAIN = 0.99, LAST_GAIN = 0.98;
enum { MOST_VALUES = 24, FEWEST_RUNS = 3, LAST_RUNS = 9 };

struct search {
    tune_timer *t;
    tune_kernel *k;
    int32_t isa;
    double until;
    int runs; /* that take a few milliseconds together */
};

/* ---- timing ---- */

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void time_two(struct search *s, const cg_params *a, const cg_params *b, int runs,
                     double out[2][2]) {
    double ns[2][TUNE_MOST_RUNS];
    const cg_params *const params[2] = {a, b};
    tune_time(s->t, params, runs, ns);
    for (int v = 0; v < (a == b ? 1 : 2); v++) {
        qsort(ns[v], (size_t)runs, sizeof(double), ascending);
        out[v][0] = ns[v][0];
        out[v][1] = ns[v][runs / 2];
    }
}

/* Runs of a kernel that takes so long: three, more of short ones. */
static int runs_for(double ns) {
    double n = 3e6 / ns;
    return n < (double)FEWEST_RUNS ? FEWEST_RUNS : n > 30 ? 30 : (int)n;
}

void tune_first_look(tune_timer *t, tune_kernel *k) {
    struct search s = {t, k, 0, 0, 0};
    double out[2][2];
    time_two(&s, &k->rules, &k->rules, FEWEST_RUNS, out);
    const int runs = runs_for(out[0][0]);
    if (runs > FEWEST_RUNS) time_two(&s, &k->rules, &k->rules, runs, out);
    memcpy(k->rules_ns, out[0], sizeof k->rules_ns);
    memcpy(k->best_ns, out[0], sizeof k->best_ns);
}

bool tune_changes_bits(const char *kernel) {
    return !strncmp(kernel, "attention", 9);
}

/* ---- neighbours ---- */

static int32_t get(const struct search *s, const cg_params *p, const char *field) {
    return cg_params_get(s->k->kernel, p, field);
}
static void set(const struct search *s, cg_params *p, const char *field, int32_t value) {
    cg_params_set(s->k->kernel, p, field, value);
}

static bool is_conv(const struct search *s) {
    return !strcmp(s->k->kernel->name, "conv2d") || !strcmp(s->k->kernel->name, "conv2d_bf16");
}
static bool is_bf16(const struct search *s) {
    return strstr(s->k->kernel->name, "_bf16") != NULL;
}

/* The largest value a field may have; what it is a part of. */
static int32_t extent(const struct search *s, const cg_params *p, const char *field) {
    const char *kernel = s->k->kernel->name;
    const int32_t bf16 = is_bf16(s);
    if (!strncmp(kernel, "attention", 9)) {
        const int32_t n = get(s, p, !strcmp(field, "QB") ? "T" : "S");
        return bf16 ? ebru_blocks32(n) * 32 : ebru_blocks16(n) * 16;
    }
    if (!strncmp(field, "KC", 2)) {
        const int32_t c = is_conv(s)              ? get(s, p, "C0") + get(s, p, "C1")
                          : !strcmp(field, "KC1") ? get(s, p, "C")
                                                  : get(s, p, "H");
        return bf16 ? ebru_blocks32(c) : ebru_blocks16(c);
    }
    if (!strncmp(field, "NB", 2))
        return !strcmp(field, "NB1") ? 2 * ebru_blocks16(get(s, p, "H"))
                                     : ebru_blocks16(get(s, p, "N"));
    if (!strcmp(field, "PG")) return ebru_ceil_div(ebru_blocks16(get(s, p, "N")), get(s, p, "NB"));
    if (!strcmp(field, "TB")) return get(s, p, "B");
    if (!strcmp(field, "TT")) return ebru_conv2d_winograd_tiles(&p->conv2d_winograd);
    if (is_conv(s)) { /* the bf16 struct begins with the same fields */
        if (!strcmp(field, "TH")) return ebru_conv2d_rows(&p->conv2d);
        if (!strcmp(field, "TW")) return ebru_conv2d_cols(&p->conv2d);
    }
    if (!strcmp(kernel, "conv2d_i8")) {
        const struct ebru_conv2d_params shape = ebru_conv2d_i8_shape(&p->conv2d_i8);
        if (!strcmp(field, "TH")) return ebru_conv2d_rows(&shape);
        if (!strcmp(field, "TW")) return ebru_conv2d_cols(&shape);
    }
    if (!strcmp(field, "TW")) return get(s, p, "T");
    return 1; /* order, pack */
}

static int add_value(int32_t *values, int count, int32_t v) {
    for (int i = 0; i < count; i++)
        if (values[i] == v) return count;
    if (count < MOST_VALUES) values[count++] = v;
    return count;
}

/* Values of a field worth a try; the legal ones among them are tried. */
static int values_of(const struct search *s, const cg_params *p, const char *field,
                     int32_t *values) {
    static const int32_t parts[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64};
    static const int32_t few[] = {1, 2, 3, 4, 6, 8, 10, 12, 16},
                         rows[] = {3, 4, 5, 6, 8, 10, 12, 16, 32};
    static const int32_t queries[] = {16, 32, 48, 64, 80, 96, 128, 192};
    static const int32_t keys[] = {64, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1024};
#define EACH(list, expression)                                                                     \
    for (size_t i = 0; i < sizeof(list) / sizeof *(list); i++) n = add_value(values, n, expression)
    int n = 0;
    const int32_t most = extent(s, p, field);
    if (!strcmp(field, "order") || !strcmp(field, "pack")) {
        n = add_value(values, n, 0);
        n = add_value(values, n, 1);
    } else if (!strncmp(field, "MR", 2)) {
        EACH(rows, rows[i]);
    } else if (!strncmp(field, "NB", 2)) {
        EACH(few, ebru_min_i32(few[i], most));
    } else if (!strcmp(field, "QB")) {
        EACH(queries, ebru_min_i32(queries[i], most));
    } else if (!strcmp(field, "KB")) {
        EACH(keys, ebru_min_i32(keys[i], most));
    } else {
        EACH(parts, ebru_ceil_div(most, parts[i]));
        if (!strcmp(field, "TT") || (!strcmp(field, "TW") && !is_conv(s)))
            for (int32_t t = 24; t <= 192; t += 24) n = add_value(values, n, ebru_min_i32(t, most));
    }
#undef EACH
    return n;
}

/* Sets a field, and others that hang on it. */
static void change(const struct search *s, cg_params *p, const char *field, int32_t value) {
    set(s, p, field, value);
    if (!strncmp(field, "NB", 2) && !is_bf16(s)) { /* registers: more columns, fewer pixels */
        char rows[4] = {'M', 'R', field[2], '\0'};
        set(s, p, rows, cg_most_rows(s->isa, value));
    }
    if (!strcmp(field, "NB")) set(s, p, "PG", ebru_min_i32(get(s, p, "PG"), extent(s, p, "PG")));
    if (is_conv(s) && ebru_conv2d_pointwise(&p->conv2d) && !strcmp(field, "TW") &&
        value > 1) { /* whole register tiles */
        const int32_t mr = get(s, p, "MR"), up = ebru_ceil_div(value, mr) * mr;
        set(s, p, "TW", ebru_min_i32(up, extent(s, p, "TW")));
    }
    if (s->k->overwrite) { /* a task has all panels of its pixels */
        set(s, p, "TB", 1);
        set(s, p, "order", 0);
        set(s, p, "pack", 1);
        set(s, p, "PG", extent(s, p, "PG"));
    }
}

/* ---- descent ---- */

/* The kernel's tile fields, those first that matter most. */
static const char *const ORDER[] = {"NB",  "NB1", "NB2",   "TT",   "QB",  "KB", "TH",
                                    "TW",  "TB",  "KC",    "KC1",  "KC2", "PG", "MR",
                                    "MR1", "MR2", "order", "pack", NULL};

/* True when the candidate is better than the best and has taken its place. */
static bool try_tiles(struct search *s, const cg_params *p) {
    double out[2][2];
    s->k->candidates++;
    time_two(s, &s->k->best, p, s->runs, out);
    if (out[1][0] > out[0][0] * STEP_GAIN) return false;
    time_two(s, &s->k->best, p, s->runs * 2, out);
    if (out[1][0] > out[0][0] * STEP_GAIN || out[1][1] > out[0][1] * STEP_GAIN) return false;
    s->k->best = *p;
    return true;
}

static bool descend(struct search *s) {
    bool better = false;
    for (const char *const *field = ORDER; *field; field++) {
        if (!cg_is_tile(s->k->kernel->name, *field)) continue;
        int32_t values[MOST_VALUES];
        const int n = values_of(s, &s->k->best, *field, values);
        for (int i = 0; i < n && base_now() < s->until; i++) {
            cg_params p = s->k->best;
            change(s, &p, *field, values[i]);
            /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): words of four bytes, the rest zero */
            if (!memcmp(&p, &s->k->best, sizeof p)) continue;
            if (cg_tiles_legal(s->k->kernel, &p, s->isa, s->k->overwrite, NULL) &&
                cg_tiles_bearable(s->k->kernel, &p, NULL))
                better |= try_tiles(s, &p);
        }
    }
    return better;
}

void tune_search(tune_timer *t, tune_kernel *k, int32_t isa, double seconds, bool keep_bits) {
    struct search s = {t, k, isa, base_now() + seconds, runs_for(k->rules_ns[0])};
    double out[2][2];
    k->best = k->rules;
    if (!keep_bits || !tune_changes_bits(k->kernel->name))
        while (descend(&s) && base_now() < s.until) {
        }
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): words of four bytes, the rest zero */
    const bool other = memcmp(&k->best, &k->rules, sizeof k->best) != 0;
    const int runs = s.runs > LAST_RUNS ? s.runs : LAST_RUNS;
    time_two(&s, &k->rules, other ? &k->best : &k->rules, runs, out);
    memcpy(k->rules_ns, out[0], sizeof k->rules_ns);
    const bool taken =
        other && out[1][0] < out[0][0] * LAST_GAIN && out[1][1] < out[0][1] * LAST_GAIN;
    memcpy(k->best_ns, out[taken], sizeof k->best_ns);
    if (!taken) k->best = k->rules;
}
