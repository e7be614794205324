/* Finds the weights of a component folder: one file, a variant, or shards behind an index; see
 * safetensors.h. */
#include <stdlib.h>
#include <string.h>

#include "frontend/files/formats.h"
#include "frontend/files/json_file.h"
#include "frontend/safetensors/safetensors_table.h"

enum { INDEX_LIMIT = 100 * 1000 * 1000, INDEX_VALUES = 8 * 1000 * 1000 };

/* One row of the index's weight_map. */
typedef struct st_mapping {
    const char *shard, *tensor;
    base_jval value;
} st_mapping;

typedef BASE_VEC(st_mapping) mapping_vec;

static int by_shard_then_tensor(const void *x, const void *y) {
    const st_mapping *a = x, *b = y;
    int order = strcmp(a->shard, b->shard);
    return order ? order : strcmp(a->tensor, b->tensor);
}

static bool has_suffix(const char *name, const char *suffix) {
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0;
}

/* Reads weight_map; a shard's name comes from the file and must be a plain basename (path traversal
 * through shard names is a known hole of other loaders). */
static bool read_weight_map(base_jval root, mapping_vec *out) {
    base_jval map = base_json_require(root, "weight_map");
    if (!base_json_present(map) || !base_json_expect(map, BASE_JSON_OBJECT)) return false;
    bool fine = true;
    for (base_jval m = base_json_first(map); base_json_present(m); m = base_json_next(m)) {
        st_mapping row = {.tensor = base_json_key(m), .value = m};
        base_loc loc = base_json_loc(m);
        if (!base_json_string(m, &row.shard) ||
            !fe_check_name(base_json_diag(m.doc), &loc, "shard name", row.shard,
                           strlen(row.shard))) {
            fine = false;
        } else if (!has_suffix(row.shard, ".safetensors")) {
            base_json_error(m, "shard '%s' is not a .safetensors file",
                            base_escape(row.shard, strlen(row.shard)));
            fine = false;
        } else {
            BASE_PUSH(out, row);
        }
    }
    return fine;
}

/* Maps one shard, appends its tensors and holds them to the rows of the index that name it. */
static bool add_shard(fe_st *st, fe_dir *dir, const st_mapping *rows, size_t n) {
    fe_map map;
    if (!fe_dir_map(st->diag, dir, rows[0].shard, &map)) return false;
    BASE_PUSH(&st->maps, map);
    size_t first = st->entries.count;
    const char *shown = fe_dir_join(dir, rows[0].shard);
    if (!st_add_file(st, shown, map.data, map.size)) return false;

    /* Both lists are sorted by tensor name: walk them together. */
    size_t at = first, extra = 0;
    bool fine = true;
    for (size_t i = 0; i < n; i++) {
        while (at < st->entries.count && strcmp(st->entries.items[at].t.name, rows[i].tensor) < 0)
            at++, extra++;
        if (at < st->entries.count && strcmp(st->entries.items[at].t.name, rows[i].tensor) == 0) {
            at++;
        } else {
            base_json_error(rows[i].value, "tensor '%s' is not in shard '%s'",
                            base_escape(rows[i].tensor, strlen(rows[i].tensor)),
                            base_escape(rows[i].shard, strlen(rows[i].shard)));
            fine = false;
        }
    }
    extra += st->entries.count - at;
    if (extra) {
        base_loc loc = {.source = base_diag_source(st->diag, shown, NULL, 0)};
        base_warning(st->diag, &loc, "%zu tensors of this shard are not named by the index", extra);
    }
    return fine;
}

/* The same tensor in two shards. */
static bool check_merged(fe_st *st) {
    bool fine = true;
    for (size_t i = 1; i < st->entries.count; i++) {
        const fe_st_tensor *a = &st->entries.items[i - 1].t, *b = &st->entries.items[i].t;
        if (strcmp(a->name, b->name) != 0) continue;
        base_loc loc = fe_st_loc(st, b);
        base_error(st->diag, &loc, "the tensor is also in shard '%s'", a->source->path);
        fine = false;
    }
    return fine;
}

static fe_st *open_shards(base_diag *d, fe_dir *dir, const char *index) {
    base_json_limits limits = {.max_bytes = INDEX_LIMIT, .max_values = INDEX_VALUES};
    base_json *doc = fe_json_load_in(d, dir, index, &limits);
    if (!doc) return NULL;
    fe_st *st = st_new(d, fe_dir_join(dir, index));
    mapping_vec rows = {0};
    bool fine = read_weight_map(base_json_root(doc), &rows);
    if (fine && rows.count > 0) {
        qsort(rows.items, rows.count, sizeof *rows.items, by_shard_then_tensor);
        for (size_t i = 0, end; i < rows.count; i = end) {
            for (end = i + 1;
                 end < rows.count && !strcmp(rows.items[end].shard, rows.items[i].shard);)
                end++;
            fine &= add_shard(st, dir, rows.items + i, end - i);
        }
    }
    if (fine) {
        st_sort_names(st, 0);
        fine = check_merged(st);
    }
    base_free(rows.items);
    base_json_free(doc);
    if (fine) return st;
    fe_st_close(st);
    return NULL;
}

static fe_st *open_single(base_diag *d, fe_dir *dir, const char *name) {
    fe_map map;
    if (!fe_dir_map(d, dir, name, &map)) return NULL;
    fe_st *st = st_new(d, fe_dir_join(dir, name));
    BASE_PUSH(&st->maps, map);
    if (st_add_file(st, st->path, map.data, map.size)) return st;
    fe_st_close(st);
    return NULL;
}

/* A file under one of the names that pickled weights have; NULL: there is none. */
static const char *find_pickle(fe_dir *dir, base_arena *a, const char *const *bases, size_t n) {
    static const char *const pickles[] = {"%s.bin",  "%s.fp16.bin", "pytorch_model.bin",
                                          "%s.ckpt", "%s.pt",       "%s.pth"};
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof pickles / sizeof *pickles; k++) {
            const char *stem = strncmp(pickles[k], "%s", 2) == 0 ? bases[i] : "";
            const char *name = base_arena_printf(a, "%s%s", stem, pickles[k] + (*stem ? 2 : 0));
            if (fe_dir_has_file(dir, name)) return name;
        }
    return NULL;
}

static bool holds_tensors(base_diag *d, fe_dir *dir, const char *name) {
    fe_map map;
    if (!fe_dir_map(d, dir, name, &map)) return false;
    fe_format format = fe_format_of(map.data, map.size, NULL);
    bool is = format == FE_FORMAT_SAFETENSORS || format == FE_FORMAT_GGUF;
    fe_unmap(&map);
    return is;
}

static void report_none(base_diag *d, fe_dir *dir, const char *pickle, const char *const *bases,
                        size_t n) {
    base_loc loc = {.source = base_diag_source(d, fe_dir_path(dir), NULL, 0)};
    if (pickle) {
        base_error(d, &loc,
                   "only pickled weights ('%s') are here, and reading a pickle runs code from it",
                   pickle);
        base_note(d, NULL,
                  "in Python, save_pretrained(FOLDER, safe_serialization=True) writes safetensors");
        return;
    }
    base_str names = {0};
    for (size_t i = 0; i < n; i++) {
        base_str_addf(&names, "%s%s.safetensors[.index.json], %s.gguf", i ? ", " : "", bases[i],
                      bases[i]);
    }
    base_error_missing(d, &loc, "no weights in this folder; looked for %s",
                       names.data ? names.data : "nothing");
    base_note(d, NULL,
              "--weights=random:1 draws them at random: for sizes and speed, not pictures");
    base_str_free(&names);
}

/* The first of the names under which weights are stored that is in the folder, as a regular file or
 * at all. */
static const char *find_weights(fe_dir *dir, base_arena *a, const char *const *bases, size_t n,
                                bool any, bool *index) {
    /* Variants' indices have been written in three spellings over time. */
    static const struct {
        const char *suffix;
        bool index;
    } forms[] = {{".safetensors", false},
                 {".safetensors.index.json", true},
                 {".fp16.safetensors", false},
                 {".safetensors.index.fp16.json", true},
                 {".fp16.safetensors.index.json", true},
                 {".safetensors.fp16.index.json", true},
                 {".gguf", false}};
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
            const char *name = base_arena_printf(a, "%s%s", bases[i], forms[k].suffix);
            *index = forms[k].index;
            if (any ? fe_dir_has_name(dir, name) : fe_dir_has_file(dir, name)) return name;
        }
    }
    return NULL;
}

fe_st *fe_st_open_in(base_diag *d, fe_dir *dir, const char *const *bases, size_t n) {
    base_arena *a = base_arena_new();
    bool index;
    fe_st *st = NULL;
    const char *name = find_weights(dir, a, bases, n, false, &index);
    /* what is no file (a link to a blob that is not there, a FIFO) is named when it is opened */
    if (!name) name = find_weights(dir, a, bases, n, true, &index);
    const char *pickle = name ? NULL : find_pickle(dir, a, bases, n);
    if (name)
        st = index ? open_shards(d, dir, name) : open_single(d, dir, name);
    else if (pickle && holds_tensors(d, dir, pickle)) /* whatever it is called */
        st = open_single(d, dir, pickle);
    else
        report_none(d, dir, pickle, bases, n);
    base_arena_free(a);
    return st;
}

fe_st *fe_st_open_dir(base_diag *d, const char *path, const char *const *bases, size_t n) {
    fe_dir *dir = fe_dir_open(d, path);
    if (!dir) return NULL;
    fe_st *st = fe_st_open_in(d, dir, bases, n);
    fe_dir_close(dir);
    return st;
}
