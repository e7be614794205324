/* The block builder's ground floor: places, inputs, weights, single layers and the skip stack; see
 * blocks.h. */
#include <stdarg.h>
#include <string.h>

#include "frontend/build/blocks.h"
#include "frontend/build/layers.h"

/* ---- the builder ---- */

void fe_builder_init(fe_builder *b, base_diag *d, ir_module *m, fe_weights *weights,
                     const char *scope) {
    *b = (fe_builder){
        .d = d, .m = m, .weights = weights, .scope = scope, .arena = base_arena_new(), .block = ""};
}

void fe_builder_free(fe_builder *b) {
    base_free(b->skips.items);
    base_arena_free(b->arena);
    *b = (fe_builder){0};
}

void fe_begin(fe_builder *b, const char *function) {
    b->f = ir_func_new(b->m, function);
    b->skips.count = 0;
    b->full = false;
    fe_enter(b, "");
}

bool fe_end(fe_builder *b) {
    size_t left = b->skips.count;
    b->skips.count = 0;
    if (!left) return true;
    const fe_skip *top = &b->skips.items[left - 1];
    base_error(b->d, &b->loc, "function '%s' ends with %zu value%s left on the skip stack",
               b->f->name, left, left == 1 ? "" : "s");
    base_note(b->d, &top->loc, "the last one was pushed here");
    return false;
}

static void set_origin(fe_builder *b) {
    const char *file = b->loc.source ? b->loc.source->path : NULL;
    b->origin = ir_origin_add(b->m, file, b->loc.line, b->loc.col, b->block);
}

void fe_at(fe_builder *b, base_jval v) {
    if (!base_json_present(v)) return;
    b->loc = base_json_loc(v);
    set_origin(b);
}

void fe_enter(fe_builder *b, const char *prefix) {
    if (b->nested) return; /* a layer inside a block belongs to the block */
    b->block = prefix;
    set_origin(b);
}

const char *fe_open(fe_builder *b, const char *prefix) {
    const char *outer = b->block;
    b->block = prefix;
    b->nested++;
    set_origin(b);
    return outer;
}

ir_ref fe_close(fe_builder *b, const char *outer, ir_ref result) {
    b->block = outer;
    b->nested--;
    set_origin(b);
    return result;
}

ir_ref fe_fail(fe_builder *b, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (*b->block)
        base_error(b->d, &b->loc, "%s: %s", base_escape(b->block, strlen(b->block)), text);
    else
        base_error(b->d, &b->loc, "%s", text);
    return IR_NONE;
}

const char *fe_name(fe_builder *b, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return base_arena_strdup(b->arena, text);
}

/* PREFIX.NAME, or just one of them when the other is empty. */
const char *fe_sub(fe_builder *b, const char *prefix, const char *name) {
    if (!*prefix) return name;
    if (!*name) return prefix;
    return fe_name(b, "%s.%s", prefix, name);
}

const char *fe_type_text(fe_builder *b, ir_ref x) {
    base_str s = {0};
    ir_print_type(ir_typeof(b->f, x), &s);
    const char *text = base_arena_strdup(b->arena, s.data);
    base_str_free(&s);
    return text;
}

/* ---- nodes ---- */

ir_ref fe_emit(fe_builder *b, ir_op op, const ir_ref *operands, uint32_t count, const void *attrs) {
    const ir_op_info *info = ir_op_get(op);
    for (uint32_t i = 0; i < count && i < info->min_operands; i++)
        if (!ir_ref_ok(operands[i])) return IR_NONE;
    if (b->f->nodes.count >= FE_MAX_NODES) {
        if (!b->full)
            fe_fail(b, "function '%s' has more than %d operations", b->f->name, FE_MAX_NODES);
        b->full = true;
        return IR_NONE;
    }
    ir_type type;
    base_str faults = {0};
    if (!ir_infer(b->f, op, operands, count, attrs ? attrs : info->attr_default, &type, &faults)) {
        while (faults.len && faults.data[faults.len - 1] == '\n') faults.data[--faults.len] = 0;
        fe_fail(b, "%s: %s", info->name, faults.data ? faults.data : "does not fit");
        base_str_free(&faults);
        return IR_NONE;
    }
    return ir_build(b->f, op, operands, count, attrs, IR_PLAIN, b->origin);
}

ir_ref fe_emit1(fe_builder *b, ir_op op, ir_ref x, const void *attrs) {
    return fe_emit(b, op, &x, 1, attrs);
}

ir_ref fe_emit2(fe_builder *b, ir_op op, ir_ref x, ir_ref y, const void *attrs) {
    return fe_emit(b, op, (ir_ref[]){x, y}, 2, attrs);
}

ir_ref fe_input(fe_builder *b, const char *name, ir_dtype dtype, uint32_t rank, const int64_t *dim,
                ir_freq freq) {
    ir_type type = ir_type_make(dtype, rank, dim);
    base_str why = {0};
    if (!ir_type_valid(&type, &why)) {
        fe_fail(b, "input '%s' has %s", name, why.data);
        base_str_free(&why);
        return IR_NONE;
    }
    return ir_input(b->f, name, &type, freq, b->origin);
}

void fe_result(fe_builder *b, const char *name, ir_ref value) {
    if (ir_ref_ok(value)) ir_set_output(b->f, name, value);
}

/* ---- weights ---- */

ir_ref fe_weight(fe_builder *b, fe_tensor_spec *spec) {
    spec->scope = b->scope;
    for (uint32_t i = 0; i < spec->rank; i++)
        if (spec->dim[i] < 1 || spec->dim[i] > FE_MAX_CHANNELS)
            return fe_fail(b, "tensor '%s' would have an extent of %lld; 1 to %d is supported",
                           spec->names[0], (long long)spec->dim[i], FE_MAX_CHANNELS);
    ir_type type = ir_type_make(IR_f32, spec->rank, spec->dim);
    if (!ir_type_valid(&type, NULL) || ir_type_elements(&type) > FE_MAX_WEIGHT)
        return fe_fail(b, "tensor '%s' would have too many elements", spec->names[0]);
    return ir_weight_ref(b->f, fe_weights_declare(b->weights, spec), b->origin);
}

static ir_ref vector(fe_builder *b, const char *prefix, const char *name, int64_t n, fe_init init,
                     int64_t fan_in) {
    fe_tensor_spec s = {
        .names = {fe_sub(b, prefix, name)}, .rank = 1, .dim = {n}, .init = init, .fan_in = fan_in};
    return fe_weight(b, &s);
}

ir_ref fe_bias(fe_builder *b, const char *prefix, int64_t n, int64_t fan_in) {
    return vector(b, prefix, "bias", n, FE_INIT_BIAS, fan_in);
}

ir_ref fe_table(fe_builder *b, const char *prefix, int64_t count, int64_t width) {
    fe_tensor_spec s = {.names = {fe_sub(b, prefix, "weight")},
                        .rank = 2,
                        .dim = {count, width},
                        .init = FE_INIT_TABLE};
    return fe_weight(b, &s);
}

ir_ref fe_constant(fe_builder *b, const char *name, const ir_type *type, const float *values) {
    uint32_t index = ir_weight_add(b->m, fe_name(b, "%s/%s", b->scope, name), type);
    ir_weight *w = &b->m->weights.items[index];
    size_t bytes = (size_t)ir_type_elements(type) * sizeof *values;
    void *data = base_arena_alloc(b->m->arena, bytes);
    memcpy(data, values, bytes);
    w->kind = IR_WEIGHT_DATA;
    w->data = data;
    return ir_weight_ref(b->f, index, b->origin);
}

/* ---- layers ---- */

bool fe_of_rank(fe_builder *b, ir_ref x, uint32_t rank, const char *what, ir_type *type) {
    if (!ir_ref_ok(x)) return false;
    *type = *ir_typeof(b->f, x);
    if (type->rank == rank && type->dtype != IR_i32) return true;
    fe_fail(b, "%s needs %s, its input is %s", what,
            rank == 4   ? "an image [B,C,H,W]"
            : rank == 3 ? "tokens [B,T,C]"
                        : "a vector [B,C]",
            fe_type_text(b, x));
    return false;
}

fe_conv_options fe_conv_same(int64_t out, int64_t kernel, int64_t stride) {
    int64_t p = kernel / 2;
    return (fe_conv_options){out, {kernel, kernel}, {stride, stride}, {p, p, p, p}, true};
}

ir_ref fe_conv(fe_builder *b, ir_ref x, const char *prefix, const fe_conv_options *o) {
    fe_enter(b, prefix);
    ir_type t;
    if (!fe_of_rank(b, x, 4, "a convolution", &t)) return IR_NONE;
    int64_t in = t.dim[1];
    fe_tensor_spec s = {.names = {fe_sub(b, prefix, "weight")},
                        .rank = 4,
                        .dim = {o->out, in, o->kernel[0], o->kernel[1]},
                        .init = FE_INIT_FILTER,
                        .fan_in = in * o->kernel[0] * o->kernel[1]};
    ir_ref w = fe_weight(b, &s);
    if (!ir_ref_ok(w)) return IR_NONE;
    ir_ref bias = o->bias ? fe_bias(b, prefix, o->out, s.fan_in) : IR_NONE;
    struct ir_attrs_conv2d a = IR_DEFAULTS(conv2d);
    a.stride = IR_I2(o->stride[0], o->stride[1]);
    a.pad = IR_I4(o->pad[0], o->pad[1], o->pad[2], o->pad[3]);
    return fe_emit(b, IR_OP_conv2d, (ir_ref[]){x, w, bias}, 3, &a);
}

ir_ref fe_linear_named(fe_builder *b, ir_ref x, const char *prefix, const char *old_prefix,
                       const fe_linear_options *o) {
    if (!ir_ref_ok(x)) return IR_NONE;
    const ir_type t = *ir_typeof(b->f, x);
    if (!t.rank || t.dtype == IR_i32)
        return fe_fail(b, "a linear layer cannot take %s", fe_type_text(b, x));
    int64_t in = t.dim[t.rank - 1];
    fe_tensor_spec s = {
        .names = {fe_sub(b, prefix, "weight"), old_prefix ? fe_sub(b, old_prefix, "weight") : NULL},
        .rank = o->conv_weight ? 4u : 2u,
        .dim = {o->out, in, 1, 1},
        .either_rank = true,
        .init = FE_INIT_FILTER,
        .fan_in = in};
    ir_ref w = fe_weight(b, &s), bias = IR_NONE;
    if (!ir_ref_ok(w)) return IR_NONE;
    if (o->bias) {
        fe_tensor_spec v = {
            .names = {fe_sub(b, prefix, "bias"), old_prefix ? fe_sub(b, old_prefix, "bias") : NULL},
            .rank = 1,
            .dim = {o->out},
            .init = FE_INIT_BIAS,
            .fan_in = in};
        bias = fe_weight(b, &v);
    }
    return fe_emit(b, IR_OP_linear, (ir_ref[]){x, w, bias}, 3, NULL);
}

ir_ref fe_linear(fe_builder *b, ir_ref x, const char *prefix, const fe_linear_options *o) {
    fe_enter(b, prefix);
    return fe_linear_named(b, x, prefix, NULL, o);
}

ir_ref fe_group_norm(fe_builder *b, ir_ref x, const char *prefix, int64_t groups, double eps) {
    fe_enter(b, prefix);
    if (!ir_ref_ok(x)) return IR_NONE;
    const ir_type t = *ir_typeof(b->f, x);
    if (t.rank < 2) return fe_fail(b, "group_norm cannot take %s", fe_type_text(b, x));
    if (groups < 1 || t.dim[1] % groups)
        return fe_fail(b, "group_norm '%s': %lld groups do not divide %lld channels", prefix,
                       (long long)groups, (long long)t.dim[1]);
    struct ir_attrs_group_norm a = IR_DEFAULTS(group_norm);
    a.groups = groups;
    a.eps = eps;
    int64_t n = t.dim[1];
    ir_ref gamma = vector(b, prefix, "weight", n, FE_INIT_SCALE, 0),
           beta = vector(b, prefix, "bias", n, FE_INIT_SHIFT, 0);
    return fe_emit(b, IR_OP_group_norm, (ir_ref[]){x, gamma, beta}, 3, &a);
}

ir_ref fe_spatial_norm(fe_builder *b, ir_ref x, ir_ref latent, const char *prefix) {
    enum { GROUPS = 32 };
    static const double eps = 1e-6;
    ir_type t;
    if (!fe_of_rank(b, x, 4, "a spatial norm", &t)) return IR_NONE;
    fe_conv_options one = fe_conv_same(t.dim[1], 1, 1);
    latent = fe_resize(b, latent, t.dim[2], t.dim[3]);
    ir_ref h = fe_group_norm(b, x, fe_sub(b, prefix, "norm_layer"), GROUPS, eps);
    h = fe_mul(b, h, fe_conv(b, latent, fe_sub(b, prefix, "conv_y"), &one));
    return fe_add(b, h, fe_conv(b, latent, fe_sub(b, prefix, "conv_b"), &one));
}

ir_ref fe_layer_norm(fe_builder *b, ir_ref x, const char *prefix, double eps) {
    fe_enter(b, prefix);
    if (!ir_ref_ok(x)) return IR_NONE;
    const ir_type t = *ir_typeof(b->f, x);
    if (t.rank < 1) return fe_fail(b, "layer_norm cannot take %s", fe_type_text(b, x));
    struct ir_attrs_norm a = IR_DEFAULTS(norm);
    a.eps = eps;
    int64_t n = t.dim[t.rank - 1];
    ir_ref gamma = vector(b, prefix, "weight", n, FE_INIT_SCALE, 0),
           beta = vector(b, prefix, "bias", n, FE_INIT_SHIFT, 0);
    return fe_emit(b, IR_OP_layer_norm, (ir_ref[]){x, gamma, beta}, 3, &a);
}

ir_ref fe_activation(fe_builder *b, ir_ref x, ir_act act) {
    return act == IR_ACT_NONE ? x : fe_emit1(b, ir_act_op(act), x, NULL);
}

ir_ref fe_affine(fe_builder *b, ir_ref x, double mul, double add) {
    if (mul == 1.0 && add == 0.0) return x;
    struct ir_attrs_affine a = {.mul = mul, .add = add};
    return fe_emit1(b, IR_OP_affine, x, &a);
}

ir_ref fe_add(fe_builder *b, ir_ref x, ir_ref y) {
    return fe_emit2(b, IR_OP_add, x, y, NULL);
}

ir_ref fe_mul(fe_builder *b, ir_ref x, ir_ref y) {
    return fe_emit2(b, IR_OP_mul, x, y, NULL);
}

ir_ref fe_concat(fe_builder *b, ir_ref x, ir_ref y) {
    if (!ir_ref_ok(x) || !ir_ref_ok(y)) return IR_NONE;
    uint32_t rank = ir_typeof(b->f, x)->rank;
    if (rank < 1) return fe_fail(b, "concat cannot take %s", fe_type_text(b, x));
    struct ir_attrs_axis a = {.axis = rank == 4 ? 1 : (int64_t)rank - 1};
    return fe_emit2(b, IR_OP_concat, x, y, &a);
}

ir_ref fe_embedding(fe_builder *b, ir_ref ids, const char *prefix, const fe_embedding_options *o) {
    fe_enter(b, prefix);
    if (!ir_ref_ok(ids)) return IR_NONE;
    ir_ref position = IR_NONE, table = fe_table(b, prefix, o->count, o->width);
    if (o->position) {
        position = fe_table(b, o->position, o->positions, o->width);
        if (!ir_ref_ok(position)) return IR_NONE;
    }
    return fe_emit(b, IR_OP_embedding, (ir_ref[]){ids, table, position}, 3, NULL);
}

ir_ref fe_nearest(fe_builder *b, ir_ref x, const char *prefix, int64_t count, ir_ref *row) {
    ir_type t;
    fe_enter(b, prefix);
    if (!fe_of_rank(b, x, 3, "the search in a codebook", &t)) return IR_NONE;
    ir_ref table = fe_table(b, prefix, count, t.dim[2]);
    ir_ref ids = fe_emit2(b, IR_OP_nearest, x, table, NULL);
    if (row) *row = fe_emit(b, IR_OP_embedding, (ir_ref[]){ids, table, IR_NONE}, 3, NULL);
    return ids;
}

ir_ref fe_select_row(fe_builder *b, ir_ref x, ir_ref ids, int64_t id) {
    struct ir_attrs_select_row a = {.id = id};
    return fe_emit2(b, IR_OP_select_row, x, ids, &a);
}

ir_ref fe_sinusoid(fe_builder *b, ir_ref t, const struct ir_attrs_timestep *a) {
    return fe_emit1(b, IR_OP_timestep_embedding, t, a);
}

ir_ref fe_pool(fe_builder *b, ir_ref x, ir_op op, const struct ir_attrs_pool *a) {
    ir_type t;
    return fe_of_rank(b, x, 4, "pooling", &t) ? fe_emit1(b, op, x, a) : IR_NONE;
}

ir_ref fe_resize(fe_builder *b, ir_ref x, int64_t height, int64_t width) {
    ir_type t;
    if (!fe_of_rank(b, x, 4, "resizing", &t)) return IR_NONE;
    if (height > FE_MAX_SIDE || width > FE_MAX_SIDE)
        return fe_fail(b, "an image of %lld x %lld is larger than %d a side", (long long)width,
                       (long long)height, FE_MAX_SIDE);
    if (t.dim[2] == height && t.dim[3] == width) return x;
    struct ir_attrs_size a = {.size = IR_I2(height, width)};
    return fe_emit1(b, IR_OP_resize_nearest, x, &a);
}

ir_ref fe_reshape(fe_builder *b, ir_ref x, uint32_t rank, const int64_t *dim) {
    struct ir_attrs_shape a = {.shape = {.n = rank}};
    for (uint32_t i = 0; i < rank; i++) a.shape.v[i] = dim[i];
    return fe_emit1(b, IR_OP_reshape, x, &a);
}

ir_ref fe_transpose(fe_builder *b, ir_ref x, uint32_t rank, const int64_t *perm) {
    struct ir_attrs_transpose a = {.perm = {.n = rank}};
    for (uint32_t i = 0; i < rank; i++) a.perm.v[i] = perm[i];
    return fe_emit1(b, IR_OP_transpose, x, &a);
}

ir_ref fe_to_tokens(fe_builder *b, ir_ref image) {
    ir_type t;
    if (!fe_of_rank(b, image, 4, "turning an image into tokens", &t)) return IR_NONE;
    ir_ref x = fe_reshape(b, image, 3, (int64_t[]){t.dim[0], t.dim[1], t.dim[2] * t.dim[3]});
    return fe_transpose(b, x, 3, (int64_t[]){0, 2, 1});
}

ir_ref fe_to_image(fe_builder *b, ir_ref tokens, int64_t height, int64_t width) {
    ir_type t;
    if (!fe_of_rank(b, tokens, 3, "turning tokens into an image", &t)) return IR_NONE;
    if (t.dim[1] != height * width)
        return fe_fail(b, "%lld tokens do not make an image of %lld x %lld", (long long)t.dim[1],
                       (long long)width, (long long)height);
    ir_ref x = fe_transpose(b, tokens, 3, (int64_t[]){0, 2, 1});
    return fe_reshape(b, x, 4, (int64_t[]){t.dim[0], t.dim[2], height, width});
}

/* ---- the skip stack ---- */

void fe_push(fe_builder *b, ir_ref x) {
    BASE_PUSH(&b->skips, ((fe_skip){x, b->loc}));
}

ir_ref fe_concat_pop(fe_builder *b, ir_ref x) {
    if (!b->skips.count)
        return fe_fail(b, "the skip stack is empty: there are more pops than pushes");
    fe_skip skip = b->skips.items[--b->skips.count];
    ir_type t;
    if (!fe_of_rank(b, x, 4, "joining with a skip", &t) || !ir_ref_ok(skip.value)) return IR_NONE;
    const ir_type *s = ir_typeof(b->f, skip.value);
    if (s->rank != 4 || s->dim[0] != t.dim[0] || s->dim[2] != t.dim[2] || s->dim[3] != t.dim[3]) {
        fe_fail(b, "%s cannot be joined with the skip %s", fe_type_text(b, x),
                fe_type_text(b, skip.value));
        base_note(b->d, &skip.loc, "it was pushed here");
        return IR_NONE;
    }
    return fe_concat(b, x, skip.value);
}

void fe_upsample_size(const fe_builder *b, ir_ref x, int64_t *height, int64_t *width) {
    *height = *width = 1;
    if (!ir_ref_ok(x) || ir_typeof(b->f, x)->rank != 4) return;
    const ir_type *t = ir_typeof(b->f, x);
    *height = 2 * t->dim[2];
    *width = 2 * t->dim[3];
    if (!b->skips.count) return;
    ir_ref top = b->skips.items[b->skips.count - 1].value;
    if (!ir_ref_ok(top) || ir_typeof(b->f, top)->rank != 4) return;
    *height = ir_typeof(b->f, top)->dim[2];
    *width = ir_typeof(b->f, top)->dim[3];
}
