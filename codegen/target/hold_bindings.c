/* Bindings that come from text, where hands change them: each is held to what a binder makes of the
 * node. Kernel and parameters must be the binder's; only tiles are open, within what is legal
 * (tiles.c). Tasks and scratch follow from them.
 *
 *   %41 = conv2d ... kernel conv2d {B=1, ..., MR=6, NB=4, ...} tasks=4 scratch=78336
 *                                    the node's   tiles        what follows */
#include "codegen/target/arch.h"
#include "codegen/target/tiles.h"

#include "base/cpu/isa.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef struct holder {
    const cg_target_info *target;
    const ir_text_report *to;
    uint32_t faults;
    /* bindings whose tasks or scratch were other tiles', the first of them and what it said */
    uint32_t corrected;
    const ir_func *first_func;
    ir_ref first;
    base_str said;
} holder;

static bool fault(holder *h, const ir_func *f, ir_ref r, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static bool fault(holder *h, const ir_func *f, ir_ref r, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    h->faults++;
    h->to->fault(h->to->user, f, r, text);
    return false;
}

/* ---- one binding ---- */

static const ir_param *param_of(const ir_binding *b, const char *name) {
    for (uint32_t i = 0; i < b->param_count; i++)
        if (strcmp(b->params[i].name, name) == 0) return &b->params[i];
    return NULL;
}

static bool same_value(const ir_param *a, const ir_param *b) {
    if (!a->is_float && !b->is_float) return a->i == b->i;
    return (float)(a->is_float ? a->f : (double)a->i) == (float)(b->is_float ? b->f : (double)b->i);
}

static void print_value(const ir_param *p, char text[40]) {
    if (p->is_float)
        snprintf(text, 40, "%.9g", p->f);
    else
        snprintf(text, 40, "%" PRId64, p->i);
}

/* Every parameter is one of the kernel's, there once (the verifier's), with the node's value unless
 * it is a tile. */
static bool hold_params(holder *h, const ir_func *f, ir_ref r, const ir_binding *given,
                        const ir_binding *wanted) {
    bool fine = true;
    for (uint32_t i = 0; i < given->param_count; i++)
        if (!param_of(wanted, given->params[i].name))
            fine = fault(h, f, r, "kernel %s has no parameter '%s'", wanted->kernel,
                         base_escape(given->params[i].name, strlen(given->params[i].name)));
    for (uint32_t i = 0; i < wanted->param_count; i++) {
        const ir_param *want = &wanted->params[i], *is = param_of(given, want->name);
        char found[40], right[40];
        if (!is) {
            fine = fault(h, f, r, "parameter '%s' of kernel %s is missing", want->name,
                         wanted->kernel);
            continue;
        }
        const bool tile = cg_is_tile(wanted->kernel, want->name);
        if (tile ? !is->is_float && is->i >= INT32_MIN && is->i <= INT32_MAX : same_value(is, want))
            continue;
        print_value(is, found);
        print_value(want, right);
        fine = tile ? fault(h, f, r, "%s=%s is no 32-bit number", want->name, found)
                    : fault(h, f, r, "%s=%s, but the node asks for %s=%s", want->name, found,
                            want->name, right);
    }
    return fine;
}

static void note_correction(holder *h, const ir_func *f, ir_ref r, const ir_binding *given,
                            const ir_binding *held) {
    if (given->tasks == held->tasks && given->scratch == held->scratch) return;
    if (h->corrected++) return;
    h->first_func = f;
    h->first = r;
    base_str_addf(&h->said,
                  "tasks=%" PRId64 " scratch=%" PRIu64
                  " are not of these tiles: taken as tasks=%" PRId64 " scratch=%" PRIu64,
                  given->tasks, given->scratch, held->tasks, held->scratch);
}

/* Puts the text's tiles into the binder's binding, if they are legal. */
static bool hold_tiles(holder *h, const ir_func *f, ir_ref r, const ir_binding *given,
                       ir_binding *wanted) {
    const cg_kernel *k = cg_kernel_find(wanted->kernel);
    if (!k || !cg_has_tiles(k->name)) return true;
    const uint64_t rules = wanted->scratch; /* what the rules' tiles need is bearable */
    cg_params p;
    bool other = false;
    for (uint32_t i = 0; i < wanted->param_count; i++) {
        const int64_t value = param_of(given, wanted->params[i].name)->i;
        if (!cg_is_tile(k->name, wanted->params[i].name)) continue;
        other |= wanted->params[i].i != value;
        wanted->params[i].i = value;
    }
    if (!other) return true;
    wanted->cuts = NULL; /* what is said by hand holds for any number of threads */
    k->read(wanted->params, &p);
    base_str why = {0};
    bool fine = cg_tiles_legal(k, &p, h->target->isa, cg_is_overwriting(ir_get(f, r)), &why);
    if (fine) {
        wanted->tasks = k->tasks(&p);
        wanted->scratch = (uint64_t)k->scratch(&p);
        fine = wanted->scratch <= rules || cg_tiles_bearable(k, &p, &why);
    }
    if (!fine)
        fault(h, f, r, "%s has no such tiles at %s: %s", k->name, h->target->base.level, why.data);
    base_str_free(&why);
    return fine;
}

/* ---- tiles from a command line ---- */

/* One "NAME=NUMBER" of the list, into the parameter of that name. */
static bool set_tile(ir_binding *b, const char *item, size_t length, base_str *why) {
    const char *equals = memchr(item, '=', length);
    char name[16] = "", *end = NULL;
    if (equals && equals - item < (ptrdiff_t)sizeof name)
        snprintf(name, sizeof name, "%.*s", (int)(equals - item), item);
    const long long value = equals ? strtoll(equals + 1, &end, 10) : 0;
    if (!cg_is_tile(b->kernel, name)) {
        base_str_addf(why, "'%s' sets no tile of kernel %s, which has", base_escape(item, length),
                      b->kernel);
        for (uint32_t i = 0; i < b->param_count; i++)
            if (cg_is_tile(b->kernel, b->params[i].name))
                base_str_addf(why, " %s", b->params[i].name);
        return false;
    }
    if (end == equals + 1 || end != item + length || value < INT32_MIN || value > INT32_MAX) {
        base_str_addf(why, "'%s' is no whole number", base_escape(item, length));
        return false;
    }
    for (uint32_t i = 0; i < b->param_count; i++)
        if (strcmp(b->params[i].name, name) == 0) b->params[i].i = (int32_t)value;
    return true;
}

bool cg_set_tiles(const ir_target *t, ir_func *f, ir_ref r, const char *list, base_str *why) {
    const ir_binding *old = ir_get(f, r)->binding;
    const cg_kernel *k = cg_kernel_find(old->kernel);
    if (!k || !cg_has_tiles(k->name)) {
        base_str_addf(why, "kernel %s has no tiles", old->kernel);
        return false;
    }
    ir_binding *b = base_arena_alloc(f->module->arena, sizeof *b);
    *b = *old;
    b->cuts = NULL;
    b->params = base_arena_alloc(f->module->arena, b->param_count * sizeof *b->params);
    memcpy(b->params, old->params, b->param_count * sizeof *b->params);
    for (const char *item = list;; item++) {
        const size_t length = strcspn(item, ",");
        if (!set_tile(b, item, length, why)) return false;
        item += length;
        if (!*item) break;
    }
    cg_params p;
    k->read(b->params, &p);
    if (!cg_tiles_legal(k, &p, cg_target_isa(t), cg_is_overwriting(ir_get(f, r)), why) ||
        !cg_tiles_bearable(k, &p, why))
        return false;
    b->tasks = k->tasks(&p);
    b->scratch = (uint64_t)k->scratch(&p);
    if (b->scratch > f->scratch_bytes) f->scratch_bytes = b->scratch;
    f->nodes.items[r.id].binding = b;
    return true;
}

/* ---- all bindings of a text ---- */

static void hold_node(holder *h, ir_func *f, ir_ref r) {
    const ir_node *n = ir_get(f, r);
    const ir_binding *given = n->binding;
    ir_binding *wanted = NULL;
    base_str why = {0};
    if (!h->target->base.bind(&h->target->base, f, r, &wanted, &why))
        fault(h, f, r, "no kernel fits the node: %s", why.data ? why.data : "");
    else if (strcmp(given->kernel, wanted->kernel) != 0)
        fault(h, f, r, "its kernel is '%s', found '%s'", wanted->kernel,
              base_escape(given->kernel, strlen(given->kernel)));
    else if (hold_params(h, f, r, given, wanted) && hold_tiles(h, f, r, given, wanted)) {
        note_correction(h, f, r, given, wanted);
        f->nodes.items[r.id].binding = wanted;
    }
    base_str_free(&why);
}

/* ---- a module ---- */

static void hold_func(holder *h, ir_func *f) {
    bool *constant = ir_constants(f);
    uint64_t scratch = 0;
    for (uint32_t i = 0; i < f->nodes.count; i++) {
        if (!f->nodes.items[i].binding) continue;
        if (constant[i])
            fault(h, f, (ir_ref){i}, "it is computed by the compiler, but has a kernel");
        else
            hold_node(h, f, (ir_ref){i});
        if (f->nodes.items[i].binding->scratch > scratch)
            scratch = f->nodes.items[i].binding->scratch;
    }
    base_free(constant);
    if (!h->faults) f->scratch_bytes = scratch;
}

void cg_hold_bindings(void *target, ir_module *m, const ir_text_report *to) {
    if (m->level < IR_KERNEL) return;
    cg_target_info rules = *(const cg_target_info *)target;
    memset(&rules.tuning, 0, sizeof rules.tuning); /* no records */
    holder h = {.target = &rules, .to = to};
    for (size_t i = 0; i < m->funcs.count; i++) hold_func(&h, m->funcs.items[i]);
    if (h.corrected > 1) base_str_addf(&h.said, " (so it is in %u more places)", h.corrected - 1);
    if (h.corrected) to->remark(to->user, h.first_func, h.first, h.said.data);
    base_str_free(&h.said);
}
