/* JSON documents that are files; see json_file.h. */
#include "frontend/files/json_file.h"

static size_t byte_limit(const base_json_limits *limits) {
    return limits && limits->max_bytes ? limits->max_bytes : BASE_JSON_MAX_BYTES;
}

static base_json *parse_and_free(base_diag *d, const char *name, fe_bytes *bytes,
                                 const base_json_limits *limits) {
    base_json *doc = base_json_parse(d, name, bytes->data, bytes->size, limits);
    fe_bytes_free(bytes);
    return doc;
}

base_json *fe_json_load(base_diag *d, const char *path, const base_json_limits *limits) {
    fe_bytes bytes;
    if (!fe_file_read(d, path, byte_limit(limits), &bytes)) return NULL;
    return parse_and_free(d, path, &bytes, limits);
}

base_json *fe_json_load_in(base_diag *d, fe_dir *dir, const char *name,
                           const base_json_limits *limits) {
    fe_bytes bytes;
    if (!fe_dir_read(d, dir, name, byte_limit(limits), &bytes)) return NULL;
    base_json_limits python = limits ? *limits : (base_json_limits){0};
    python.python_numbers = true;
    return parse_and_free(d, fe_dir_join(dir, name), &bytes, &python);
}
