/* Writes safetensors files; see safetensors.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json/json_scan.h"
#include "base/system/output.h"
#include "frontend/safetensors/safetensors_table.h"

enum { ALIGNMENT = 8, LENGTH_BYTES = 8 };

static void add_string(base_str *out, const char *s) {
    base_str_add(out, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20)
            base_str_addf(out, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            base_str_addf(out, "\\%c", c);
        else
            base_str_addn(out, s, 1);
    }
    base_str_add(out, "\"");
}

static int compare_names(const void *x, const void *y) {
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* True, or reports what the format cannot hold. */
static bool check_names(base_diag *d, const base_loc *loc, const fe_st_tensor *tensors, size_t n) {
    bool fine = true;
    const char **names = base_alloc(n * sizeof *names);
    for (size_t i = 0; i < n; i++) {
        names[i] = tensors[i].name;
        size_t length = strlen(names[i]);
        if (base_utf8_check(names[i], length) < length || strcmp(names[i], "__metadata__") == 0) {
            base_error(d, loc, "'%s' cannot be the name of a tensor",
                       base_escape(names[i], length));
            fine = false;
        }
    }
    if (n > 1) qsort(names, n, sizeof *names, compare_names);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(names[i - 1], names[i]) != 0) continue;
        base_error(d, loc, "two tensors are named '%s'", base_escape(names[i], strlen(names[i])));
        fine = false;
    }
    base_free(names);
    return fine;
}

static bool tensor_bytes(const fe_st_tensor *t, size_t *bytes) {
    *bytes = fe_st_dtype_size(t->dtype);
    for (uint32_t i = 0; i < t->rank; i++) {
        if (t->dims[i] < 0 || !base_mul_size(*bytes, (size_t)t->dims[i], bytes)) return false;
    }
    return t->rank <= FE_ST_MAX_RANK;
}

static bool add_tensor(base_str *out, const fe_st_tensor *t, size_t *offset) {
    size_t bytes, end;
    if (t->rank > FE_ST_MAX_RANK || !tensor_bytes(t, &bytes) ||
        !base_add_size(*offset, bytes, &end))
        return false;
    add_string(out, t->name);
    base_str_addf(out, ":{\"dtype\":\"%s\",\"shape\":[", fe_st_dtype_name(t->dtype));
    for (uint32_t i = 0; i < t->rank; i++)
        base_str_addf(out, "%s%" PRId64, i ? "," : "", t->dims[i]);
    base_str_addf(out, "],\"data_offsets\":[%zu,%zu]}", *offset, end);
    *offset = end;
    return true;
}

/* The JSON header, padded with spaces so that the data begins at a multiple of 8. */
static bool build_header(base_diag *d, const base_loc *loc, base_str *out,
                         const fe_st_tensor *tensors, size_t n, const char *const (*metadata)[2],
                         size_t n_metadata) {
    size_t offset = 0;
    base_str_add(out, "{");
    for (size_t i = 0; i < n_metadata; i++) {
        base_str_add(out, i ? "," : "\"__metadata__\":{");
        add_string(out, metadata[i][0]);
        base_str_add(out, ":");
        add_string(out, metadata[i][1]);
    }
    if (n_metadata) base_str_add(out, n ? "}," : "}");
    for (size_t i = 0; i < n; i++) {
        if (i) base_str_add(out, ",");
        if (!add_tensor(out, &tensors[i], &offset)) {
            base_error(d, loc, "tensor '%s' has a size that cannot be written",
                       base_escape(tensors[i].name, strlen(tensors[i].name)));
            return false;
        }
    }
    base_str_add(out, "}");
    while (out->len % ALIGNMENT) base_str_add(out, " ");
    if (out->len <= FE_ST_MAX_HEADER) return true;
    base_error(d, loc, "the header would be longer than %d bytes", FE_ST_MAX_HEADER);
    return false;
}

bool fe_st_write(base_diag *d, const char *path, const fe_st_tensor *tensors, size_t n,
                 const char *const (*metadata)[2], size_t n_metadata) {
    base_loc loc = {.source = base_diag_source(d, path, NULL, 0)};
    base_str header = {0};
    if (!check_names(d, &loc, tensors, n) ||
        !build_header(d, &loc, &header, tensors, n, metadata, n_metadata)) {
        base_str_free(&header);
        return false;
    }
    base_output *o = base_output_begin(path, 0666);
    int error = o ? 0 : errno;
    if (o) {
        uint8_t length[LENGTH_BYTES];
        for (unsigned i = 0; i < LENGTH_BYTES; i++)
            length[i] = (uint8_t)((uint64_t)header.len >> (8 * i));
        base_output_write(o, length, sizeof length);
        base_output_write(o, header.data, header.len);
        for (size_t i = 0; i < n; i++) {
            size_t bytes = 0;
            tensor_bytes(&tensors[i], &bytes);
            base_output_write(o, tensors[i].data, bytes);
        }
        error = base_output_commit(o);
    }
    base_str_free(&header);
    if (error == BASE_OUTPUT_IS_INPUT)
        base_error(d, &loc, "cannot write: %s", base_output_why(error));
    else if (error)
        base_error_file(d, path, o ? "write" : "create", error);
    return !error;
}
