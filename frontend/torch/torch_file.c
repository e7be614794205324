/* Tables of the tensors of torch.save's files; see torch_file.h. */
#include <string.h>

#include "frontend/files/formats.h"
#include "frontend/safetensors/safetensors_table.h"
#include "frontend/torch/torch_file.h"

enum { MOST_ENTRIES = 1 << 16, MOST_DEPTH = 16 };

typedef struct reader {
    base_diag *d;
    fe_st *st;
    const base_source *source;
    zip_members members;
    const char *root; /* name of the archive's folder, with its slash; not NUL-terminated */
    size_t root_length, entries;
} reader;

__attribute__((format(printf, 3, 4))) static bool fault(reader *r, const char *tensor,
                                                        const char *fmt, ...) {
    base_loc loc = {.source = r->source};
    if (tensor)
        loc.path =
            base_arena_printf(r->st->arena, "tensor '%s'", base_escape(tensor, strlen(tensor)));
    va_list ap;
    va_start(ap, fmt);
    base_vreport(r->d, BASE_ERROR, &loc, fmt, ap);
    va_end(ap);
    return false;
}

/* ---- the archive ---- */

static const zip_member *find_member(const reader *r, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < r->members.count; i++) {
        const zip_member *m = &r->members.items[i];
        if (m->name_length == r->root_length + n && memcmp(m->name, r->root, r->root_length) == 0 &&
            memcmp(m->name + r->root_length, name, n) == 0)
            return m;
    }
    return NULL;
}

/* The pickle, whose folder is that of all members. */
static const zip_member *find_pickle(reader *r) {
    static const char name[] = "data.pkl";
    const size_t n = sizeof name - 1;
    for (size_t i = 0; i < r->members.count; i++) {
        const zip_member *m = &r->members.items[i];
        if (m->name_length < n || memcmp(m->name + m->name_length - n, name, n) != 0) continue;
        r->root = m->name;
        r->root_length = m->name_length - n;
        return m;
    }
    return NULL;
}

static bool check_order(reader *r) {
    const zip_member *m = find_member(r, "byteorder");
    if (!m || (m->stored && m->size == 6 && memcmp(m->data, "little", 6) == 0)) return true;
    return fault(r, NULL, "unsupported: a file of a machine with another order of bytes");
}

/* ---- tensors ---- */

static bool storage_type(const char *name, fe_st_dtype *dtype) {
    static const struct {
        const char *name;
        fe_st_dtype dtype;
    } table[] = {{"Float", FE_ST_F32},  {"Half", FE_ST_F16}, {"BFloat16", FE_ST_BF16},
                 {"Double", FE_ST_F64}, {"Long", FE_ST_I64}, {"Int", FE_ST_I32},
                 {"Short", FE_ST_I16},  {"Char", FE_ST_I8},  {"Byte", FE_ST_U8},
                 {"Bool", FE_ST_BOOL}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char full[40];
        snprintf(full, sizeof full, "torch.%sStorage", table[i].name);
        *dtype = table[i].dtype;
        if (strcmp(full, name) == 0) return true;
    }
    return false;
}

/* Sizes of a tensor whose elements lie one behind the other. */
static bool read_dims(reader *r, const pickle_value *v, const char *name, fe_st_tensor *t) {
    const pickle_value *sizes = v->items.items[2], *strides = v->items.items[3];
    size_t rank = sizes->items.count, step = 1;
    if (rank > FE_ST_MAX_RANK || strides->items.count != rank)
        return fault(r, name, "unsupported: a tensor of %zu dimensions", rank);
    t->rank = (uint32_t)rank;
    t->count = 1;
    for (size_t i = 0; i < rank; i++) {
        const pickle_value *size = sizes->items.items[i], *stride = strides->items.items[i];
        if (size->kind != PICKLE_INT || stride->kind != PICKLE_INT || size->number < 0 ||
            !base_mul_size(t->count, (size_t)size->number, &t->count))
            return fault(r, name, "its sizes are none");
        t->dims[i] = size->number;
    }
    for (size_t i = rank; i-- > 0 && t->count;) {
        if (t->dims[i] != 1 && (uint64_t)strides->items.items[i]->number != step)
            return fault(r, name,
                         "unsupported: its elements do not lie one behind the other; in Python, "
                         "save TENSOR.contiguous()");
        step *= (size_t)t->dims[i];
    }
    return true;
}

static bool add_tensor(reader *r, const pickle_value *v, const char *name) {
    const pickle_value *const *storage =
        (const pickle_value *const *)v->items.items[0]->items.items;
    st_entry entry = {.t = {.name = base_arena_strdup(r->st->arena, name), .source = r->source}};
    fe_st_tensor *t = &entry.t;
    int64_t offset = v->items.items[1]->number;
    size_t begin;
    if (!storage_type(storage[1]->text, &t->dtype)) return fault(r, name, "unsupported elements");
    if (!read_dims(r, v, name, t)) return false;
    const char *key = base_arena_printf(r->st->arena, "data/%s", storage[2]->text);
    const zip_member *m = find_member(r, key);
    if (!m) return fault(r, name, "its elements, '%s', are not in the file", base_shown(key));
    if (!m->stored) return fault(r, name, "unsupported: '%s' is compressed", base_shown(key));
    const size_t size = fe_st_dtype_size(t->dtype);
    if (!base_mul_size(t->count, size, &t->bytes) || offset < 0 ||
        !base_mul_size((size_t)offset, size, &begin) || begin > m->size ||
        t->bytes > m->size - begin)
        return fault(r, name, "its elements are more than '%s' has", base_shown(key));
    t->data = m->data + begin;
    entry.dtype = (uint8_t)t->dtype;
    BASE_PUSH(&r->st->entries, entry);
    return true;
}

/* ---- objects ---- */

static bool add_value(reader *r, const pickle_value *v, const char *name, int depth);

static const char *key_text(reader *r, const pickle_value *key) {
    if (key->kind == PICKLE_TEXT) return key->text;
    if (key->kind != PICKLE_INT) return NULL;
    return base_arena_printf(r->st->arena, "%lld", (long long)key->number);
}

static bool add_dict(reader *r, const pickle_value *v, const char *name, int depth) {
    if (depth == MOST_DEPTH) return fault(r, NULL, "its objects are nested too deep");
    for (size_t i = 0; i + 1 < v->items.count; i += 2) {
        const char *key = key_text(r, v->items.items[i]);
        if (r->entries++ == MOST_ENTRIES) return fault(r, NULL, "it has too many objects");
        if (!key) continue;
        if (name) key = base_arena_printf(r->st->arena, "%s.%s", name, key);
        if (!add_value(r, v->items.items[i + 1], key, depth + 1)) return false;
    }
    return true;
}

static bool add_value(reader *r, const pickle_value *v, const char *name, int depth) {
    st_pair pair = {name, v->text};
    switch (v->kind) {
    case PICKLE_DICT: return add_dict(r, v, name, depth);
    case PICKLE_TENSOR: return add_tensor(r, v, name ? name : "tensor");
    case PICKLE_INT:
        pair.value = base_arena_printf(r->st->arena, "%lld", (long long)v->number);
        break;
    case PICKLE_TEXT: pair.value = base_arena_strdup(r->st->arena, v->text); break;
    default: return true;
    }
    pair.key = base_arena_strdup(r->st->arena, name ? name : "object");
    BASE_PUSH(&r->st->metadata, pair);
    return true;
}

static bool check_names(reader *r) {
    for (size_t i = 1; i < r->st->entries.count; i++)
        if (strcmp(r->st->entries.items[i - 1].t.name, r->st->entries.items[i].t.name) == 0)
            return fault(r, r->st->entries.items[i].t.name, "it is there twice");
    return true;
}

static bool read_file(reader *r, const fe_map *map) {
    const char *damage;
    pickle p = {0};
    pickle_value *root = NULL;
    base_str why = {0};
    if (!zip_read(map->data, map->size, &r->members, &damage)) return fault(r, NULL, "%s", damage);
    const zip_member *m = find_pickle(r);
    if (!m) return fault(r, NULL, "this is a zip file without a pickle of PyTorch in it");
    if (!m->stored) return fault(r, NULL, "unsupported: its pickle is compressed");
    if (!check_order(r)) return false;
    bool fine = pickle_read(&p, m->data, m->size, &root, &why);
    if (!fine) fault(r, NULL, "%s", why.data);
    fine = fine && add_value(r, root, NULL, 0);
    pickle_free(&p);
    base_str_free(&why);
    if (!fine) return false;
    st_sort_names(r->st, 0);
    return check_names(r);
}

static bool is_zip(const fe_map *map) {
    return map->size >= 4 && memcmp(map->data, "PK\3\4", 4) == 0;
}

fe_st *fe_torch_open(base_diag *d, const char *path) {
    fe_map map;
    if (!fe_file_map(d, path, &map)) return NULL;
    reader r = {.d = d, .st = st_new(d, path), .source = base_diag_source(d, path, NULL, 0)};
    BASE_PUSH(&r.st->maps, map);
    bool fine = is_zip(&map) ? read_file(&r, &map)
                             : fault(&r, NULL,
                                     "this is no file of torch.save (PyTorch 1.6 and "
                                     "later); in Python, torch.save(torch.load(FILE, "
                                     "weights_only=True), NEW) makes one of an older one");
    base_free(r.members.items);
    if (fine) return r.st;
    fe_st_close(r.st);
    return NULL;
}

fe_st *fe_tensors_open(base_diag *d, const char *path) {
    fe_map map;
    if (!fe_file_map(d, path, &map)) return NULL;
    bool pickled = is_zip(&map) || fe_format_of(map.data, map.size, NULL) == FE_FORMAT_PICKLE;
    fe_unmap(&map);
    return pickled ? fe_torch_open(d, path) : fe_st_open(d, path);
}
