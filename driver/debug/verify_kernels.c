/* Every compiled op beside the evaluator. The program is compiled with one buffer a tensor and
 * hands out its arena (--dump-values); then each op is evaluated on the operands that the compiled
 * op really had, so errors do not add up: what is out of tolerance here is wrong by itself. */
#include "driver/commands/lower.h"
#include "driver/commands/run_program.h"
#include "driver/debug/verify_layers.h"

#include "frontend/files/files.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the program hands out ---- */

/* The frames of one function. */
typedef struct frames {
    const char *name;
    size_t name_length;
    const char *arena;
    uint64_t arena_bytes;
    BASE_VEC(const char *) in;
    BASE_VEC(const char *) out;
} frames;

typedef struct dump {
    fe_bytes text;
    BASE_VEC(frames) functions;
} dump;

static bool read_frame(dump *p, const char **at) {
    const char *end = p->text.data + p->text.size,
               *newline = memchr(*at, '\n', (size_t)(end - *at));
    char kind[16];
    int index;
    unsigned long long bytes;
    if (!newline) return false;
    if (!strncmp(*at, "function ", 9)) {
        BASE_PUSH(&p->functions,
                  ((frames){.name = *at + 9, .name_length = (size_t)(newline - *at) - 9}));
        *at = newline + 1;
        return true;
    }
    if (!p->functions.count || sscanf(*at, "%15s %d %llu", kind, &index, &bytes) != 3 ||
        bytes > (unsigned long long)(end - newline - 1))
        return false;
    frames *f = &p->functions.items[p->functions.count - 1];
    if (!strcmp(kind, "in"))
        BASE_PUSH(&f->in, newline + 1);
    else if (!strcmp(kind, "out"))
        BASE_PUSH(&f->out, newline + 1);
    else
        f->arena = newline + 1, f->arena_bytes = bytes;
    *at = newline + 1 + bytes;
    return true;
}

static bool dump_read(base_diag *d, const char *path, dump *p) {
    if (!fe_file_read(d, path, SIZE_MAX / 2, &p->text)) return false;
    const char *at = p->text.data, *end = at + p->text.size;
    while (at < end)
        if (!read_frame(p, &at)) {
            base_error(d, NULL, "the program's values are not in frames");
            return false;
        }
    return true;
}

static void dump_free(dump *p) {
    for (size_t i = 0; i < p->functions.count; i++) {
        base_free(p->functions.items[i].in.items);
        base_free(p->functions.items[i].out.items);
    }
    base_free(p->functions.items);
    fe_bytes_free(&p->text);
}

/* The bytes of a placed node; NULL when the program has none of them. */
static const char *bytes_of(const dump *p, const net_entry *e) {
    const ir_place *place = &ir_get(e->f, e->node)->place;
    for (size_t i = 0; i < p->functions.count; i++) {
        const frames *f = &p->functions.items[i];
        if (strlen(e->f->name) != f->name_length ||
            memcmp(e->f->name, f->name, f->name_length) != 0)
            continue;
        uint64_t bytes = ir_type_bytes(ir_typeof(e->f, e->node));
        if (place->kind == IR_AT_ARENA && place->offset + bytes <= f->arena_bytes)
            return f->arena + place->offset;
        if (place->kind == IR_AT_INPUT && place->offset < f->in.count)
            return f->in.items[place->offset];
        if (place->kind == IR_AT_OUTPUT && place->offset < f->out.count)
            return f->out.items[place->offset];
    }
    return NULL;
}

/* One element of a value in memory, as f32. */
static float element(const char *bytes, ir_dtype dtype, int64_t at) {
    uint32_t bits;
    int32_t whole;
    uint16_t half;
    float x;
    switch (dtype) {
    case IR_u8: return (float)(unsigned char)bytes[at];
    case IR_i32: memcpy(&whole, bytes + at * 4, sizeof whole); return (float)whole;
    case IR_bf16:
        memcpy(&half, bytes + at * 2, sizeof half);
        bits = (uint32_t)half << 16;
        memcpy(&x, &bits, sizeof x);
        return x;
    default: memcpy(&x, bytes + at * 4, sizeof x); return x;
    }
}

/* The logical row-major array of a value that lies in its layout. */
static ir_tensor unpack(const ir_type *t, const char *bytes) {
    int64_t n = ir_type_elements(t), channels = 1, before = 1, after = 1;
    ir_tensor r = {*t, base_alloc((size_t)n * sizeof(float))};
    r.type.layout = IR_PLAIN;
    int axis = t->layout == IR_C16 ? ir_channel_axis(t) : -1;
    if (axis < 0) {
        for (int64_t i = 0; i < n; i++) r.data[i] = element(bytes, t->dtype, i);
        return r;
    }
    channels = t->dim[axis];
    for (uint32_t k = 1; k < t->rank; k++)
        if ((int)k != axis) after *= t->dim[k];
    before = t->dim[0];
    int64_t blocks = ir_round_block(channels) / IR_BLOCK,
            step = axis == 1 && t->rank > 2 ? after : 1;
    for (int64_t b = 0; b < before; b++)
        for (int64_t p = 0; p < after; p++)
            for (int64_t c = 0; c < channels; c++) {
                int64_t to = step > 1 || t->rank == 4 ? (b * channels + c) * after + p
                                                      : (b * after + p) * channels + c;
                int64_t from = ((b * blocks + c / IR_BLOCK) * after + p) * IR_BLOCK + c % IR_BLOCK;
                r.data[to] = element(bytes, t->dtype, from);
            }
    return r;
}

/* Elements that lie in memory as they are. */
static void pack_plain(ir_dtype dtype, const float *from, int64_t n, base_str *out) {
    for (int64_t i = 0; i < n; i++) {
        const float x = from[i];
        const uint16_t half = ir_bf16_bits(x);
        const unsigned char byte = (unsigned char)fmaxf(fminf(x, 255), 0);
        if (dtype == IR_bf16)
            base_str_addn(out, (const char *)&half, sizeof half);
        else if (dtype == IR_u8)
            base_str_addn(out, (const char *)&byte, sizeof byte);
        else
            base_str_addn(out, (const char *)&from[i], sizeof from[i]);
    }
}

/* The other way: n elements in row-major order, brought into the layout, to the end of `out`. Pads
 * are zero. */
static void pack(const ir_type *t, const float *from, base_str *out) {
    int axis = t->layout == IR_C16 ? ir_channel_axis(t) : -1;
    int64_t n = ir_type_elements(t), channels = axis < 0 ? 1 : t->dim[axis], before = 1, after = 1;
    if (axis < 0) {
        pack_plain(t->dtype, from, n, out);
        return;
    }
    for (int k = 0; k < (int)t->rank; k++)
        if (k == 0 || k == axis)
            before = k == 0 && axis != 0 ? t->dim[0] : before;
        else
            after *= t->dim[k];
    const bool last = axis == (int)t->rank - 1; /* tokens [B,T,C] and vectors [B,C] */
    for (int64_t b = 0; b < before; b++)
        for (int64_t c = 0; c < ir_round_block(channels); c += IR_BLOCK)
            for (int64_t p = 0; p < after; p++) {
                float lane[IR_BLOCK] = {0};
                for (int64_t i = 0; i < IR_BLOCK && c + i < channels; i++)
                    lane[i] = from[last ? (b * after + p) * channels + c + i
                                        : (b * channels + c + i) * after + p];
                base_str_addn(out, (const char *)lane, sizeof lane);
            }
}

/* ---- running the program ---- */

/* --call frames of the inputs that come from outside, each name once. */
static bool input_frames(layers *l, const net *n, base_str *out) {
    for (size_t i = 0; i < n->entries.count; i++) {
        const net_entry *e = &n->entries.items[i];
        if (!net_is_external(e)) continue;
        const ir_node *node = ir_get(e->f, e->node);
        const char *name = IR_ATTRS(node, input)->name;
        bool sent = false;
        for (size_t k = 0; k < i; k++) {
            const net_entry *x = &n->entries.items[k];
            sent |=
                net_is_external(x) && !strcmp(IR_ATTRS(ir_get(x->f, x->node), input)->name, name);
        }
        ir_tensor t;
        if (sent) continue;
        if (!net_input_value(l->d, n, e, &l->in, &t)) return false;
        int64_t count = ir_type_elements(&t.type);
        for (int64_t k = 0; k < count && node->type.dtype == IR_i32; k++) {
            int32_t whole = (int32_t)t.data[k];
            memcpy(&t.data[k], &whole, sizeof whole);
        }
        base_str_addf(out, "%s %llu\n", name, (unsigned long long)ir_type_bytes(&node->type));
        pack(&node->type, t.data, out);
        ir_tensor_free(&t);
    }
    return true;
}

static bool run_program(layers *l, const net *n, const char *program, const char *values) {
    base_str in = {0};
    char threads[24], call[320], to[PATH_MAX + 16];
    snprintf(threads, sizeof threads, "%lld", (long long)l->o->run.threads);
    snprintf(call, sizeof call, "--call=%s", n->name);
    snprintf(to, sizeof to, "--dump-values=%s", values);
    const char *emulated[] = {
        l->o->run.emulator, program, call, to, l->o->run.threads ? "-t" : NULL, threads, NULL};
    char *out = NULL;
    size_t out_bytes = 0;
    bool fine = input_frames(l, n, &in);
    if (fine) {
        int code = drv_run(l->d, emulated + (l->o->run.emulator == NULL), in.data, in.len, &out,
                           &out_bytes);
        if (code > 0) base_error(l->d, NULL, "the compiled program ended with %d", code);
        fine = code == 0;
    }
    base_free(out);
    base_str_free(&in);
    return fine;
}

/* ---- comparing ---- */

typedef struct row {
    const net_entry *e;
    double distance, max;
} row;
typedef struct rows {
    BASE_VEC(row) items;
} rows;

/* Bytes between a pixel's channels and its record may be anything: filters have zeros there. The
 * evaluator's are zero. */
static void clear_fill(const ir_func *f, const ir_node *n, ir_tensor *value) {
    const ir_type *x = ir_typeof(f, n->operand[IR_IN(quantize, x)]);
    const ir_ref x1 = IR_OPERAND(n, quantize, x1);
    const int64_t size = n->type.dim[n->type.rank - 1], count = ir_type_elements(&n->type);
    int64_t channels = x->dim[ir_channel_axis(x)];
    if (ir_ref_ok(x1)) channels += ir_typeof(f, x1)->dim[1];
    for (int64_t pixel = 0; pixel < count; pixel += size)
        for (int64_t c = channels; c < size - IR_I8_RECORD; c++) value->data[pixel + c] = 0;
}

/* Gives every entry its compiled value; the ops' rows are filled on the way. */
static bool compare(layers *l, net *n, const dump *p, rows *out) {
    for (uint32_t i = 0; i < n->entries.count; i++) {
        net_entry *e = &n->entries.items[i];
        const ir_node *node = ir_get(e->f, e->node);
        if (!node->binding && node->op != IR_OP_input) {
            e->value = net_eval_entry(n, i, NULL); /* a view */
            continue;
        }
        const char *bytes = bytes_of(p, e);
        if (!bytes) {
            base_error(l->d, NULL, "the program did not hand out a value of function '%s'",
                       e->f->name);
            return false;
        }
        e->value = unpack(&node->type, bytes);
        if (node->op == IR_OP_input) continue;
        if (node->op == IR_OP_quantize) clear_fill(e->f, node, &e->value);
        ir_tensor expected = net_eval_entry(n, i, NULL);
        row r = {.e = e};
        r.distance =
            net_distance(e->value.data, expected.data, ir_type_elements(&expected.type), &r.max);
        BASE_PUSH(&out->items, r);
        ir_tensor_free(&expected);
    }
    return true;
}

static int by_distance(const void *a, const void *b) {
    const row *x = a, *y = b;
    if (x->distance != y->distance) return x->distance < y->distance ? 1 : -1;
    return x->e < y->e ? -1 : x->e > y->e;
}

static void print_row(const layers *l, const row *r) {
    base_str text = {0}, place = {0};
    net_entry_text(r->e, &text);
    net_entry_place(r->e, &place);
    printf("  %-18s %-26s %10.3e %10.3e %s %s\n", base_shown(r->e->f->name), text.data, r->distance,
           r->max, r->distance <= l->tolerance ? "    " : "FAIL", place.data ? place.data : "");
    base_str_free(&text);
    base_str_free(&place);
}

static void print_table(const layers *l, const char *network, rows *t, const row *first) {
    double worst = 0;
    size_t count = t->items.count, shown = count;
    for (size_t i = 0; i < count; i++)
        if (t->items.items[i].distance > worst) worst = t->items.items[i].distance;
    printf("kernels, %s: %zu ops, worst rms/ref %.3e, %s\n", base_shown(network), count, worst,
           first ? "FAIL" : "PASS");
    if (first) {
        base_str text = {0};
        net_entry_text(first->e, &text);
        printf("  first op out of tolerance: %s\n", text.data);
        base_str_free(&text);
        print_row(l, first);
    }
    printf("  %-18s %-26s %10s %10s\n", l->o->verify.all ? "function" : "function, worst", "op",
           "rms/ref", "max abs");
    row *sorted = base_alloc((count + 1) * sizeof *sorted);
    if (count) memcpy(sorted, t->items.items, count * sizeof *sorted);
    if (!l->o->verify.all) {
        qsort(sorted, count, sizeof *sorted, by_distance);
        if (shown > 10) shown = 10;
    }
    for (size_t i = 0; i < shown; i++) print_row(l, &sorted[i]);
    base_free(sorted);
}

/* Runs the program on one network; its values and what each op differs by. */
static bool run_and_compare(layers *l, net *n, const drv_temp *temp, dump *p, rows *t) {
    char values[PATH_MAX];
    snprintf(values, sizeof values, "%s/values", base_temp_dir_path(temp->dir));
    return run_program(l, n, temp->program.data, values) && dump_read(l->d, values, p) &&
           compare(l, n, p, t);
}

/* Runs one network; *bad: an op is out of tolerance. */
static bool look_at(layers *l, ir_module *m, const char *name, const drv_temp *temp, bool print,
                    bool *bad) {
    net *n = net_new(m, name);
    dump p = {0};
    rows t = {0};
    bool fine = n && run_and_compare(l, n, temp, &p, &t);
    const row *first = NULL;
    for (size_t i = 0; i < t.items.count && !first; i++)
        if (!(t.items.items[i].distance <= l->tolerance)) first = &t.items.items[i];
    if (fine && print) print_table(l, name, &t, first);
    *bad = first != NULL;
    dump_free(&p);
    base_free(t.items.items);
    net_free(n);
    return fine;
}

/* A text at PLACED has a plan of its own, in which values share memory: it is planned anew. */
static bool plan_separately(layers *l, const drv_options *o, drv_build *b) {
    if (!drv_is_ir(o->model)) return true;
    ir_module *m = b->levels[0].module;
    for (size_t i = 0; i < m->funcs.count; i++) {
        ir_func *f = m->funcs.items[i];
        for (uint32_t k = 0; k < f->nodes.count; k++) f->nodes.items[k].place = (ir_place){0};
        f->arena_bytes = 0;
    }
    m->level = IR_KERNEL;
    pass_context_free(b->contexts[0]);
    b->contexts[0] = pass_context_new(m, b->levels[0].target);
    pass_options p = PASS_OPTIONS_DEFAULT;
    p.passes = "plan_memory";
    p.separate_buffers = true;
    p.quiet = true;
    return pass_run(b->contexts[0], &p, l->d);
}

static bool run(layers *l, bool print, uint32_t *failed) {
    drv_options o = *l->o;
    drv_build b = {0};
    drv_temp temp = {0};
    cg_result result;
    const char *names[LAYERS_MOST_NETWORKS];
    o.passes.plan = "separate";
    bool fine = drv_temp_new(l->d, &temp) && drv_lower(l->d, &o, &l->fe, &b);
    if (fine && b.count > 1) {
        base_error(l->d, NULL, "compiled ops are compared at one CPU level; name one with -mcpu=");
        fine = false;
    }
    fine = fine && plan_separately(l, &o, &b);
    if (fine && l->progress) fprintf(stderr, "compiling\n");
    fine = fine && drv_emit(l->d, &o, &b, temp.program.data, CG_EXE, &result);
    ir_module *m = fine ? b.levels[b.count - 1].module : NULL;
    uint32_t count = fine ? layers_networks(l, m, names) : 0;
    for (uint32_t i = 0; i < count && fine && (print || !*failed); i++) {
        bool bad;
        if (l->progress) fprintf(stderr, "%s\n", base_shown(names[i]));
        fine = look_at(l, m, names[i], &temp, print, &bad);
        *failed += bad;
    }
    drv_build_free(&b);
    drv_temp_free(&temp);
    return fine;
}

bool layers_kernels(layers *l, uint32_t *failed) {
    return run(l, true, failed);
}

bool layers_kernels_fail(layers *l) {
    uint32_t failed = 0;
    return run(l, false, &failed) && failed;
}

/* Packed operands have values that pads and parts must keep to; made up ones would not. */
static bool can_be_made_up(const ir_func *f) {
    for (size_t i = 0; i < f->inputs.count; i++) {
        const ir_type *t = ir_typeof(f, f->inputs.items[i]);
        if (t->rank > 4 || (t->dtype != IR_f32 && t->dtype != IR_i32)) return false;
    }
    return true;
}

bool layers_op(layers *l, const ir_module *m, const drv_temp *temp, double *distance) {
    static const double most_flops = 1e9; /* a few seconds of the evaluator */
    const ir_func *f = m->funcs.items[0];
    *distance = -1;
    if (ir_func_cost(f).flops > most_flops || !can_be_made_up(f)) return true;
    net *n = net_new(m, f->name);
    dump p = {0};
    rows t = {0};
    bool fine = n && run_and_compare(l, n, temp, &p, &t);
    for (size_t i = 0; i < t.items.count && fine; i++)
        if (!(t.items.items[i].distance <= *distance)) *distance = t.items.items[i].distance;
    dump_free(&p);
    base_free(t.items.items);
    net_free(n);
    return fine;
}
