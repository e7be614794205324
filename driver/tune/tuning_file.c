/* Tuning records as text: JSON Lines, one record a line, appended to and never rewritten
 * (docs/tuning.md). Files are merged by concatenation. They are read by the strict reader, line by
 * line: people edit and merge records, and a fault is told with its line and column. */
#include "driver/tune/tuning_file.h"
#include "codegen/target/target.h"
#include "codegen/target/tiles.h"
#include "driver/cli/options.h"
#include "driver/version.h"

#include "driver/json_writer.h"
#include "frontend/files/json_file.h"
#include "runtime/engine/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RECORD_VERSION = 1, MOST_RUNS = 64 };

/* ---- one record ---- */

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Least and median of an array of times. */
static bool read_times(base_jval v, double out[2]) {
    double ns[MOST_RUNS];
    size_t n = base_json_length(v);
    if (!base_json_expect(v, BASE_JSON_ARRAY)) return false;
    if (n < 1 || n > MOST_RUNS) {
        base_json_error(v, "expected 1 to %d times", MOST_RUNS);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!base_json_double(base_json_item(v, i), &ns[i])) return false;
        if (ns[i] > 0) continue;
        base_json_error(base_json_item(v, i), "a time is positive");
        return false;
    }
    qsort(ns, n, sizeof *ns, ascending);
    out[0] = ns[0];
    out[1] = ns[n / 2];
    return true;
}

static bool read_choice(base_jval v, cg_record *r) {
    if (!base_json_expect(v, BASE_JSON_OBJECT)) return false;
    for (base_jval m = base_json_first(v); base_json_present(m); m = base_json_next(m)) {
        const char *field = base_json_key(m);
        int64_t value;
        if (!cg_is_tile(r->kernel, field)) {
            base_loc at = base_json_key_loc(m);
            base_error(base_json_diag(v.doc), &at, "'%s' is no tile of %s",
                       base_escape(field, strlen(field)), r->kernel);
            return false;
        }
        if (!base_json_int(m, &value, 0, INT32_MAX)) return false;
        r->choice[r->choice_count++] = (cg_tile){field, (int32_t)value};
    }
    return true;
}

static bool read_machine(base_jval cpu, base_jval threads, cg_machine *m) {
    int64_t n = 0;
    bool fine = base_json_string(base_json_require(cpu, "level"), &m->level) &&
                base_json_int(threads, &n, 1, RT_MAX_THREADS);
    m->threads = (uint32_t)n;
    m->l1d = (uint64_t)base_json_opt_int(cpu, "l1d", 0, 0, INT64_MAX);
    m->l2 = (uint64_t)base_json_opt_int(cpu, "l2", 0, 0, INT64_MAX);
    m->l3 = (uint64_t)base_json_opt_int(cpu, "l3", 0, 0, INT64_MAX);
    return fine;
}

/* False after reporting what is wrong; *skip: a record of another version, or of a kernel there is
 * none of. */
static bool read_record(base_jval v, cg_record *r, bool *skip) {
    int64_t version = 0;
    *skip = false;
    if (!base_json_int(base_json_require(v, "v"), &version, 0, INT64_MAX)) return false;
    if (version != RECORD_VERSION) {
        base_json_warning(base_json_get(v, "v"), "this record is of version %lld; it is not used",
                          (long long)version);
        *skip = true;
        return true;
    }
    base_jval op = base_json_require(v, "op");
    if (!base_json_string(op, &r->kernel)) return false;
    if (!cg_has_tiles(r->kernel)) {
        base_json_warning(op, "no kernel '%s' has tiles; the record is not used",
                          base_escape(r->kernel, strlen(r->kernel)));
        *skip = true;
        return true;
    }
    bool fine =
        read_machine(base_json_require(v, "cpu"), base_json_require(v, "threads"), &r->machine);
    fine = base_json_string(base_json_require(v, "key"), &r->key) && fine;
    fine = read_choice(base_json_require(v, "choice"), r) && fine;
    r->tried = (uint32_t)base_json_opt_int(v, "tried", 0, 0, INT32_MAX);
    fine = read_times(base_json_require(v, "ns"), r->ns) && fine;
    return read_times(base_json_require(v, "default_ns"), r->default_ns) && fine;
}

static void add_times(cJSON *to, const char *key, const double ns[2]) {
    cJSON *list = drv_json_array(to, key);
    for (int i = 0; i < 2; i++) drv_json_int(list, NULL, llround(ns[i]));
}

void drv_record_print(const cg_record *r, base_str *out) {
    char day[32];
    const time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(day, sizeof day, "%Y-%m-%d", &utc);
    cJSON *o = drv_json_object(NULL, NULL);
    drv_json_int(o, "v", RECORD_VERSION);
    drv_json_text(o, "ebru", drv_version);
    cJSON *cpu = drv_json_object(o, "cpu");
    drv_json_text(cpu, "level", r->machine.level);
    drv_json_uint(cpu, "l1d", r->machine.l1d);
    drv_json_uint(cpu, "l2", r->machine.l2);
    drv_json_uint(cpu, "l3", r->machine.l3);
    drv_json_uint(o, "threads", r->machine.threads);
    drv_json_text(o, "op", r->kernel);
    drv_json_text(o, "key", r->key);
    cJSON *choice = drv_json_object(o, "choice");
    for (uint32_t i = 0; i < r->choice_count; i++)
        drv_json_int(choice, r->choice[i].field, r->choice[i].value);
    add_times(o, "ns", r->ns);
    add_times(o, "default_ns", r->default_ns);
    drv_json_uint(o, "tried", r->tried);
    drv_json_text(o, "date", day);
    drv_json_write(o, DRV_JSON_LINE, out);
}

/* ---- files ---- */

struct reader {
    base_diag *diag;
    cg_tuning *table;
    const base_source *source; /* the file */
    FILE *nowhere;
    bool shipped, lenient; /* lenient: a malformed line is passed over with a warning */
    bool failed;
};

/* A line of the file: bytes from `begin` to `end`. */
typedef struct record_line {
    size_t begin, end;
    uint32_t number;
} record_line;

/* Reads a document that is a record; a good one is added. */
static bool take_record(struct reader *r, base_json *doc, uint32_t number, bool *skip) {
    cg_record record = {.shipped = r->shipped,
                        .loc = {.source = r->source, .line = number, .col = 1}};
    const bool fine = doc && read_record(base_json_root(doc), &record, skip);
    if (fine && !*skip) cg_tuning_add(r->table, &record);
    base_json_free(doc);
    return fine;
}

static bool read_at_place(struct reader *r, const record_line *at) {
    bool skip = false;
    return take_record(
        r, base_json_parse_part(r->diag, r->source, at->begin, at->end, at->number, NULL),
        at->number, &skip);
}

/* Whether the line is a record, of whatever version; a good one is added, and nothing is said. */
static bool read_silently(struct reader *r, const record_line *at, bool *skip) {
    const base_diag_options silent = {.out = r->nowhere};
    base_diag *d = base_diag_new(&silent);
    /* the line alone: a place in the file would be looked up for every line that is wrong */
    base_json *doc =
        base_json_parse(d, r->source->path, r->source->text + at->begin, at->end - at->begin, NULL);
    const bool fine = take_record(r, doc, at->number, skip);
    base_diag_free(d);
    return fine;
}

static void read_line(struct reader *r, const record_line *at) {
    bool skip = false;
    if (!r->lenient) {
        r->failed |= !read_at_place(r, at);
    } else if (!read_silently(r, at, &skip)) {
        const base_loc loc = {.source = r->source, .line = at->number, .col = 1};
        base_warning(r->diag, &loc, "this line is no tuning record; it is passed over");
    } else if (skip) {
        read_at_place(r, at);
    }
}

/* The text does not end in a NUL. */
static bool is_blank(const char *line, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (!strchr(" \t\r", line[i]) || !line[i]) return false;
    return true;
}

bool drv_tuning_read(base_diag *d, const char *name, const char *text, size_t length, bool shipped,
                     bool lenient, cg_tuning *table) {
    struct reader r = {.diag = d, .table = table, .shipped = shipped, .lenient = lenient};
    r.source = base_diag_source(d, name, text, length);
    r.nowhere = fopen("/dev/null", "w");
    if (!r.nowhere) {
        base_error(d, NULL, "cannot open /dev/null: %s", strerror(errno));
        return false;
    }
    uint32_t number = 1;
    for (const char *p = text, *end = text + length; p < end; number++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        const size_t n = stop ? (size_t)(stop - p) : (size_t)(end - p);
        const size_t begin = (size_t)(p - text);
        if (!is_blank(p, n)) read_line(&r, &(record_line){begin, begin + n, number});
        p += n + 1;
    }
    fclose(r.nowhere);
    return !r.failed;
}

/* "DIR/tuning.jsonl", DIR = $EBRU_CACHE_DIR, $XDG_CACHE_HOME/ebru or ~/.cache/ebru; false where
 * none is set. */
bool drv_tuning_place(base_str *path) {
    const char *own = getenv("EBRU_CACHE_DIR"), *cache = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    if (own && *own)
        base_str_add(path, own);
    else if (cache && *cache)
        base_str_addf(path, "%s/ebru", cache);
    else if (home && *home)
        base_str_addf(path, "%s/.cache/ebru", home);
    else
        return false;
    base_str_add(path, "/tuning.jsonl");
    return true;
}

/* Makes the folders of a path. */
static void make_folders(const char *path) {
    char *copy = strdup(path);
    for (char *p = copy ? strchr(copy + 1, '/') : NULL; p; p = strchr(p + 1, '/')) {
        *p = '\0';
        mkdir(copy, 0777); /* if it cannot be made, opening the file says why */
        *p = '/';
    }
    free(copy);
}

bool drv_tuning_append(base_diag *d, const char *path, const base_str *records) {
    make_folders(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    /* one write, so that records of two tuners do not mix */
    bool fine = fd >= 0 && write(fd, records->data, records->len) == (ssize_t)records->len;
    if (fd >= 0 && close(fd)) fine = false;
    if (!fine)
        base_error(d, NULL, "cannot append to '%s': %s", base_escape(path, strlen(path)),
                   strerror(errno));
    return fine;
}

/* ---- what a compilation consults ---- */

extern const char ebru_shipped_tuning[], ebru_shipped_tuning_end[];

bool drv_tuning_read_file(base_diag *d, const char *path, bool lenient, cg_tuning *table) {
    fe_bytes text;
    if (!fe_file_read(d, path, (size_t)1 << 30, &text)) return false;
    bool fine = drv_tuning_read(d, path, text.data, text.size, false, lenient, table);
    fe_bytes_free(&text);
    return fine;
}

bool drv_tuning_open(base_diag *d, const drv_code_options *o, int64_t threads, drv_tuning *t) {
    const char *cpu = o->cpu ? o->cpu : o->target ? "" : "native";
    *t = (drv_tuning){.native = !strcmp(cpu, "native"), .log.diag = d};
    if (o->tuning && !strcmp(o->tuning, "none")) return true;
    t->table = cg_tuning_new();
    t->threads = (uint32_t)(threads ? threads : rt_threads_default(NULL, 0));
    bool fine = true;
    if (t->native) /* a named level is many kinds of CPU */
        fine = drv_tuning_read(d, "shipped tuning records", ebru_shipped_tuning,
                               (size_t)(ebru_shipped_tuning_end - ebru_shipped_tuning), true, false,
                               t->table);
    if (o->tuning) return drv_tuning_read_file(d, o->tuning, false, t->table) && fine;
    base_str path = {0};
    if (t->native && drv_tuning_place(&path) && fe_path_is_file(path.data))
        fine = drv_tuning_read_file(d, path.data, true, t->table) && fine;
    base_str_free(&path);
    return fine;
}

const ir_target *drv_tuning_target(drv_tuning *t, const ir_target *target, bool only,
                                   ir_target **owned) {
    *owned = NULL;
    if (!t->table) return target;
    cg_tuning_use use = {.table = t->table, .log = &t->log, .forms = only};
    use.machine = cg_machine_of(target, t->threads);
    const ir_target *here = t->native ? cg_target(NULL, "native") : NULL;
    if (here && !strcmp(here->level, target->level)) use.machine = cg_machine_of(here, t->threads);
    return *owned = cg_target_tuned(target, &use);
}

void drv_tuning_close(drv_tuning *t) {
    cg_tuning_free(t->table);
    cg_tuning_log_free(&t->log);
    *t = (drv_tuning){0};
}
