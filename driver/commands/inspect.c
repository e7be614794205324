/* ebru inspect: what is in a model, a safetensors file, or a program that ebru made. Nothing is
 * executed. */

#include "driver/commands/inspect.h"
#include "driver/cli/write_text.h"
#include "driver/commands/commands.h"
#include "driver/commands/lower.h"
#include "driver/driver.h"
#include "driver/json_writer.h"
#include "frontend/files/files.h"
#include "frontend/files/formats.h"
#include "frontend/safetensors/safetensors.h"

#include <string.h>

/* An object a line. */
static void tensors_json(const fe_st *st, base_str *out) {
    for (size_t i = 0; i < fe_st_count(st); i++) {
        const fe_st_tensor *t = fe_st_at(st, i);
        cJSON *o = drv_json_object(NULL, NULL);
        drv_json_text(o, "name", t->name);
        drv_json_text(o, "dtype", fe_st_dtype_name(t->dtype));
        cJSON *shape = drv_json_array(o, "shape");
        for (uint32_t k = 0; k < t->rank; k++) drv_json_int(shape, NULL, t->dims[k]);
        drv_json_write(o, DRV_JSON_LINE, out);
    }
}

static void tensors_text(const fe_st *st, base_str *out) {
    uint64_t bytes = 0, elements = 0;
    for (size_t i = 0; i < fe_st_metadata_count(st); i++) {
        const char *key, *value = fe_st_metadata_at(st, i, &key);
        base_str_addf(out, "metadata %s: ", base_escape(key, strlen(key)));
        base_str_addf(out, "%s\n", base_escape(value, strlen(value)));
    }
    for (size_t i = 0; i < fe_st_count(st); i++) {
        const fe_st_tensor *t = fe_st_at(st, i);
        uint64_t n = 1;
        base_str_addf(out, "%-60s %s[", base_escape(t->name, strlen(t->name)),
                      fe_st_dtype_name(t->dtype));
        for (uint32_t k = 0; k < t->rank; k++) {
            base_str_addf(out, "%s%lld", k ? "," : "", (long long)t->dims[k]);
            n *= (uint64_t)t->dims[k];
        }
        base_str_add(out, "]\n");
        elements += n;
        bytes += t->bytes;
    }
    base_str_addf(out, "%zu tensors, %llu elements, %llu bytes\n", fe_st_count(st),
                  (unsigned long long)elements, (unsigned long long)bytes);
}

static int inspect_safetensors(base_diag *d, const drv_options *o) {
    fe_st *st = fe_st_open(d, o->model);
    if (!st) return DRV_INPUT;
    base_str s = {0};
    base_str_add(&s, "");
    if (o->common.json)
        tensors_json(st, &s);
    else
        tensors_text(st, &s);
    bool ok = drv_write_text(d, "-", s.data, s.len);
    base_str_free(&s);
    fe_st_close(st);
    return ok ? DRV_OK : DRV_IO;
}

/* The build information of a program stands in it as text after this mark (split here, so that ebru
 * itself does not hold it). */
const char *drv_build_info(const fe_map *map, size_t *length) {
    char mark[64];
    snprintf(mark, sizeof mark, "%s%s", "ebru build", " info\nversion: ");
    const char *at = map->data ? memmem(map->data, map->size, mark, strlen(mark)) : NULL;
    if (!at) return NULL;
    size_t room = map->size - (size_t)((const uint8_t *)at - map->data);
    *length = strnlen(at, room < 4096 ? room : 4096);
    return at;
}

/* Text of a file that may be anybody's. */
static void print_text(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        putchar((unsigned char)text[i] < 32 && text[i] != '\n' ? '?' : text[i]);
}

static int inspect_program(base_diag *d, const fe_map *map, const drv_options *o) {
    size_t n;
    const char *at = drv_build_info(map, &n);
    if (!at) {
        base_error(d, NULL, "%s: not a program made by ebru", o->model);
        return DRV_INPUT;
    }
    print_text(at, n);
    /* behind its end stand the functions; in programs of ebru 0.2 nothing does */
    static const char mark[] = "function ";
    size_t room = map->size - (size_t)((const uint8_t *)at - map->data) - n;
    if (room > sizeof mark && !memcmp(at + n + 1, mark, sizeof mark - 1))
        print_text(at + n + 1, strnlen(at + n + 1, room - 1));
    return DRV_OK;
}

/* False for a value that passes between the stages of one network: it has no name of the model. */
static bool describe_value(const ir_func *f, const char *kind, const char *name, ir_ref r,
                           base_str *out) {
    if (*name == '%') return false;
    base_str_addf(out, "  %s %s : ", kind, base_shown(name));
    ir_print_type(ir_typeof(f, r), out);
    const ir_node *n = ir_get(f, r);
    if (n->op == IR_OP_input) base_str_addf(out, " per %s", ir_freq_name[IR_ATTRS(n, input)->freq]);
    base_str_add(out, "\n");
    return true;
}

void drv_describe_functions(const ir_module *m, base_str *out) {
    for (size_t i = 0; i < m->funcs.count; i++) {
        const ir_func *f = m->funcs.items[i];
        ir_cost c = ir_func_cost(f);
        base_str_addf(out, "function %s: %zu nodes, %.3f GFLOP, %.1f MiB of weights",
                      base_shown(f->name), f->nodes.count, c.flops * 1e-9,
                      (double)c.weight_bytes / 1048576.0);
        if (m->level == IR_PLACED)
            base_str_addf(out, ", arena %llu bytes", (unsigned long long)f->arena_bytes);
        base_str_add(out, "\n");
        uint32_t between = 0;
        for (size_t k = 0; k < f->inputs.count; k++)
            between +=
                !describe_value(f, "input", IR_ATTRS(ir_get(f, f->inputs.items[k]), input)->name,
                                f->inputs.items[k], out);
        for (size_t k = 0; k < f->outputs.count; k++)
            between += !describe_value(f, "output", f->outputs.items[k].name,
                                       f->outputs.items[k].value, out);
        if (between) base_str_addf(out, "  %u values between stages\n", between);
    }
}

static int inspect_model(base_diag *d, const drv_options *o) {
    fe_options fe = drv_fe_options(&o->load);
    ir_module *m = drv_load(d, o->model, &fe);
    if (!m) return DRV_INPUT;
    base_str functions = {0};
    for (size_t i = 0; i < m->meta.count; i++) {
        const ir_meta *e = &m->meta.items[i];
        if (e->kind == IR_META_INT) printf("%s: %lld\n", base_shown(e->key), (long long)e->i);
        if (e->kind == IR_META_FLOAT) printf("%s: %.9g\n", base_shown(e->key), e->f);
        if (e->kind == IR_META_STRING) printf("%s: %s\n", base_shown(e->key), base_shown(e->s));
    }
    drv_describe_functions(m, &functions);
    printf("%s", functions.data ? functions.data : "");
    base_str_free(&functions);
    printf("parameters: %lld in %zu tensors\n", (long long)ir_parameter_count(m), m->weights.count);
    ir_module_free(m);
    return DRV_OK;
}

int drv_inspect(const drv_options *o) {
    base_diag *d = drv_diag(&o->common);
    int code = DRV_INPUT;
    fe_map map = {0};
    fe_format format = FE_FORMAT_UNKNOWN;
    if (fe_path_is_file(o->model) && fe_file_map(d, o->model, &map))
        format = fe_format_of(map.data, map.size, NULL);
    if (base_diag_errors(d)) {
        /* told */
    } else if (format == FE_FORMAT_SAFETENSORS || format == FE_FORMAT_GGUF ||
               o->model[fe_stem_length(o->model)]) {
        code = inspect_safetensors(d, o);
    } else if (o->common.json && fe_path_exists(o->model)) {
        fprintf(
            stderr,
            "ebru: error: inspect --json lists the tensors of a safetensors or GGUF file only\n");
        code = DRV_USAGE;
    } else if (format == FE_FORMAT_PROGRAM) {
        code = inspect_program(d, &map, o);
    } else {
        code = inspect_model(d, o);
    }
    fe_unmap(&map);
    base_diag_flush(d);
    base_diag_free(d);
    return code;
}
