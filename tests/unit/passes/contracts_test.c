/* The contracts of passes.def, held against what passes do.
 *
 * On the modules of the passes' own text tests (tests/lit/passes) it is observed what each pass
 * gives, keeps and loses, and whether it does something else when what it needs is missing.
 * Contracts that say otherwise are faults, and a contract that lacks any one of its bits has to be
 * one: a bit dropped from passes.def is noticed. The few bits that nothing can show stand in
 * `unseen`. In the same way, a pass that runs behind another instead of before it may not make a
 * difference that no level, property or order tells. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "passes/manager/manager.h"
#include "tests/unit/passes/pass_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* ---- the modules ---- */

enum { MOST_TEXTS = 200 };
static char *texts[MOST_TEXTS];
static uint32_t text_count;

/* Whether it can be read: some of the texts show what is wrong. */
static bool parses(const base_str *text) {
    FILE *out = fopen("/dev/null", "w");
    base_diag *d = base_diag_new(&(base_diag_options){.out = out});
    ir_module *m = ir_parse(d, "case", text->data, text->len);
    bool fine = m != NULL;
    ir_module_free(m);
    base_diag_free(d);
    fclose(out);
    return fine;
}

static void add_text(const char *path) {
    FILE *in = fopen(path, "r");
    if (!in) fail_msg("cannot read %s", path);
    base_str s = {0};
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, in)) > 0;) base_str_addn(&s, part, n);
    fclose(in);
    assert_true(text_count < MOST_TEXTS);
    if (parses(&s))
        texts[text_count++] = s.data;
    else
        base_str_free(&s);
}

/* Where passes meet: what one of them makes or leaves is what another looks for. The first has
 * something for most of those on FUSED, beside attention, so that something is tiled or not. */
static const char *const nets[] = {
    "ebru ir 3 fused\n"
    "weight @v64 : f32[64] = random 1 0.5 0.5\n"
    "weight @v128 : f32[128] = random 2 0.5 0.5\n"
    "weight @w : f32[64,64,3,3] = random 3 0.1 0.0\n"
    "weight @w2 : f32[64,128,3,3] = random 4 0.1 0.0\n"
    "weight @p : f32[64,64,1,1] = random 5 0.1 0.0\n"
    "weight @up : f32[256,32] = random 6 0.1 0.0\n"
    "weight @down : f32[32,128] = random 7 0.1 0.0\n"
    "func @n.prompt(%0 k : f32[1,7,32] prompt) {\n"
    "%1 = silu %0 : f32[1,7,32]\nreturn \"%k\" = %1\n}\n"
    "func @n.step(%0 x : f32[1,64,64,64] step, %1 t : f32[1,512,32] step,\n"
    "    %2 \"%k\" : f32[1,7,32] prompt) {\n"
    "%3 = group_norm %0, @v64, @v64 : f32[1,64,64,64]\n"
    "%4 = silu %3 : f32[1,64,64,64]\n"
    "%5 = conv2d %4, @w {pad=[1,1,1,1]} : f32[1,64,64,64]\n"
    "%6 = relu %5 : f32[1,64,64,64]\n"
    "%7 = concat %6, %0 {axis=1} : f32[1,128,64,64]\n"
    "%8 = conv2d %7, @w2 {pad=[1,1,1,1]} : f32[1,64,64,64]\n"
    "%9 = resize_nearest %8 {size=[128,128]} : f32[1,64,128,128]\n"
    "%10 = conv2d %9, @w {pad=[1,1,1,1]} : f32[1,64,128,128]\n"
    "%11 = conv2d %10, @p : f32[1,64,128,128]\n"
    "%12 = exp %1 : f32[1,512,32]\n"
    "%13 = mul %12, %1 : f32[1,512,32]\n"
    "%14 = attention %13, %2, %2 {heads=2, scale=0.25} : f32[1,512,32]\n"
    "%15 = linear %14, @up : f32[1,512,256]\n"
    "%16 = geglu %15 : f32[1,512,128]\n"
    "%17 = linear %16, @down : f32[1,512,32]\n"
    "%18 = reshape %1 {shape=[1,512,2,16]} : f32[1,512,2,16]\n"
    "%19 = transpose %18 {perm=[0,2,1,3]} : f32[1,2,512,16]\n"
    "%20 = matmul %19, %19 {transpose_b=true, scale=0.25} : f32[1,2,512,512]\n"
    "%21 = softmax %20 : f32[1,2,512,512]\n"
    "%22 = matmul %21, %19 : f32[1,2,512,16]\n"
    "%23 = transpose %22 {perm=[0,2,1,3]} : f32[1,512,2,16]\n"
    "%24 = reshape %23 {shape=[1,512,32]} : f32[1,512,32]\n"
    "return y = %11, z = %17, v = %24\n}\n",
    /* a norm of two images, norms before and behind resizing */
    "ebru ir 3 fused\n"
    "weight @v64 : f32[64] = random 1 0.5 0.5\n"
    "weight @v128 : f32[128] = random 2 0.5 0.5\n"
    "weight @w : f32[64,64,3,3] = random 3 0.1 0.0\n"
    "weight @w2 : f32[64,128,3,3] = random 4 0.1 0.0\n"
    "func @n(%0 x : f32[1,64,8,8] step, %1 y : f32[1,64,8,8] step) {\n"
    "%2 = concat %0, %1 {axis=1} : f32[1,128,8,8]\n"
    "%3 = group_norm %2, @v128, @v128 : f32[1,128,8,8]\n"
    "%4 = conv2d %3, @w2 {pad=[1,1,1,1]} : f32[1,64,8,8]\n"
    "%5 = resize_nearest %4 {size=[16,16]} : f32[1,64,16,16]\n"
    "%6 = group_norm %5, @v64, @v64 : f32[1,64,16,16]\n"
    "%7 = conv2d %6, @w {pad=[1,1,1,1]} : f32[1,64,16,16]\n"
    "%8 = group_norm %7, @v64, @v64 : f32[1,64,16,16]\n"
    "%9 = resize_nearest %8 {size=[32,32]} : f32[1,64,32,32]\n"
    "%10 = conv2d %9, @w {pad=[1,1,1,1]} : f32[1,64,32,32]\n"
    "return y = %10\n}\n",
    /* a constant that canonicalize makes another use of, equal halves that pass between stages */
    "ebru ir 3 graph\n"
    "weight @w : f32[32,32,3,3] = random 1 0.1 0.0\n"
    "weight @l : f32[32,32] = random 2 0.1 0.0\n"
    "weight @v : f32[1,32,1,1] = random 3 0.1 0.0\n"
    "func @n(%0 x : f32[2,32,16,16] step paired, %1 t : f32[2,32] schedule paired,\n"
    "    %2 c : f32[2,32] prompt) {\n"
    "%3 = neg @v : f32[1,32,1,1]\n"
    "%4 = sub %0, %3 : f32[2,32,16,16]\n"
    "%5 = linear %1, @l : f32[2,32]\n"
    "%6 = reshape %5 {shape=[2,32,1,1]} : f32[2,32,1,1]\n"
    "%7 = add %4, %6 : f32[2,32,16,16]\n"
    "%8 = conv2d %7, @w {pad=[1,1,1,1]} : f32[2,32,16,16]\n"
    "%9 = linear %2, @l : f32[2,32]\n"
    "%10 = reshape %9 {shape=[2,32,1,1]} : f32[2,32,1,1]\n"
    "%11 = add %8, %10 : f32[2,32,16,16]\n"
    "%12 = conv2d %11, @w {pad=[1,1,1,1]} : f32[2,32,16,16]\n"
    "return y = %12\n}\n",
};

/* All *.ir of a folder. */
static void add_texts(const char *folder) {
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort);
    if (n < 0) fail_msg("cannot read %s", folder);
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        size_t length = strlen(name);
        base_str path = {0};
        base_str_addf(&path, "%s/%s", folder, name);
        if (length > 3 && !strcmp(name + length - 3, ".ir")) add_text(path.data);
        base_str_free(&path);
        free(entries[i]);
    }
    free(entries);
}

static int read_modules(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        base_str text = {0};
        base_str_add(&text, nets[i]);
        texts[text_count++] = text.data;
    }
    for (uint32_t i = 0; i < pass_count(); i++) {
        const char *name = pass_get(i)->name;
        base_str folder = {0};
        base_str_addf(&folder, "%s/%s", EBRU_PASS_TESTS, strcmp(name, "dce_fused") ? name : "dce");
        add_texts(folder.data);
        base_str_free(&folder);
    }
    return 0;
}

/* ---- running ---- */

/* Contracts that ask for nothing and promise nothing. */
static const pass_contracts *no_contracts(void) {
    static pass_info infos[PASS_COUNT];
    static const pass_contracts k = {infos, NULL, 0};
    for (uint32_t i = 0; i < PASS_COUNT; i++) {
        infos[i] = *pass_get(i);
        infos[i].needs = infos[i].gives = infos[i].keeps = 0;
    }
    return &k;
}

/* A target without kernels for attention that is not tiled, and for what is not laid out. */
static bool bind(const ir_target *t, ir_func *f, ir_ref node, ir_binding **out, base_str *reason) {
    const ir_node *n = ir_get(f, node);
    if (n->op != IR_OP_attention && n->op != IR_OP_silu)
        return case_target()->bind(t, f, node, out, reason);
    base_str_addf(reason, "there is no kernel for %s", ir_op_get(n->op)->name);
    return false;
}

static ir_precision precision; /* what is asked for */
enum { PRECISIONS = 3 };
static const ir_precision precisions[PRECISIONS] = {IR_PRECISION_F32, IR_PRECISION_BF16,
                                                    IR_PRECISION_INT8};

typedef struct outcome {
    bool refused;     /* with a diagnostic */
    bool changed;     /* the last pass changed something */
    uint32_t matched; /* by it */
} outcome;

/* Runs a list of passes, indices. */
static outcome run_list(ir_module *m, const uint32_t *list, uint32_t count,
                        const pass_contracts *contracts) {
    char *messages = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&messages, &n);
    base_diag *d = base_diag_new(&(base_diag_options){.out = out});
    ir_target target = *case_target();
    target.bind = bind;
    pass_context *c = pass_context_new(m, &target);
    base_str names = {0};
    for (uint32_t i = 0; i < count; i++)
        base_str_addf(&names, "%s%s", i ? "," : "", pass_get(list[i])->name);
    pass_options o = PASS_OPTIONS_DEFAULT;
    o.passes = names.data ? names.data : "";
    o.precision = precision;
    o.contracts = contracts;
    outcome result = {.refused = !pass_run(c, &o, d)};
    if (count && c->timings.count) result.changed = c->timings.items[c->timings.count - 1].changed;
    for (size_t i = 0; count && i < c->matches.count; i++)
        result.matched += !c->matches.items[i].reason &&
                          !strcmp(c->matches.items[i].pass, pass_get(list[count - 1])->name);
    pass_context_free(c);
    base_diag_free(d);
    fclose(out);
    free(messages);
    base_str_free(&names);
    return result;
}

/* The default pipeline from the module's level on, up to `end` (not included), without `without`
 * (PASS_COUNT: with all). */
static void run_up_to(ir_module *m, uint32_t end, uint32_t without) {
    uint32_t list[PASS_COUNT], n = 0;
    for (uint32_t i = 0; i < end; i++)
        if (i != without && m->level <= pass_get(i)->level_out) list[n++] = i;
    run_list(m, list, n, no_contracts());
}

/* The properties that hold for all functions. */
static uint32_t properties_of(const ir_module *m) {
    uint32_t bits = 0;
    for (uint32_t i = 0; i < PASS_PROP_COUNT; i++) {
        bool all = true;
        for (size_t k = 0; k < m->funcs.count; k++)
            all = all && pass_holds(m->funcs.items[k], 1u << i, NULL);
        bits |= (uint32_t)all << i;
    }
    return bits;
}

/* The properties that say something about a module. Where nothing works, all that is said of
 * working nodes is true, the contrary included. What is not laid out is packed only where there are
 * no weights. */
static uint32_t telling(uint32_t bits) {
    const uint32_t layouts = PASS_PLAIN | PASS_LAID_OUT, tiles = PASS_UNTILED | PASS_TILED;
    uint32_t all = ~0u;
    if ((bits & layouts) == layouts) all &= ~layouts;
    if ((bits & tiles) == tiles) all &= ~tiles;
    if (bits & PASS_PLAIN) all &= ~(uint32_t)PASS_PACKED;
    return all;
}

/* ---- what is observed ---- */

typedef struct observed {
    uint32_t gained, missed; /* did not hold before, held after; did not */
    uint32_t kept, lost;     /* held before a pass that changed something, held after; did not */
    uint32_t needed;         /* without it the pass does something else */
} observed;

static observed seen[PASS_COUNT];

/* Uses of everything that nobody needs. */
static void add_dead(ir_module *m) {
    for (size_t i = 0; i < m->funcs.count; i++) {
        ir_func *f = m->funcs.items[i];
        for (uint32_t k = 0, n = f->nodes.count; k < n; k++) {
            ir_ref r = {k};
            const ir_type *t = ir_typeof(f, r);
            if (t->dtype != IR_f32) continue;
            ir_build(f, m->level == IR_GRAPH ? IR_OP_neg : IR_OP_copy, &r, 1, NULL, t->layout, 0);
        }
    }
}

enum situation { BEHIND, BEHIND_WITH_DEAD, ALONE, ALONE_WITH_DEAD, SITUATIONS };

/* What the pass does behind those that stand before it, or alone. */
static void observe_effect(const char *text, uint32_t pass, enum situation at) {
    ir_module *m = case_parse(text);
    const pass_info *p = pass_get(pass);
    observed *s = &seen[pass];
    if (at <= BEHIND_WITH_DEAD) run_up_to(m, pass, PASS_COUNT);
    if ((at == BEHIND_WITH_DEAD || at == ALONE_WITH_DEAD) && m->level <= IR_FUSED) add_dead(m);
    if (p->needs & PASS_NO_DEAD) /* as the manager establishes it */
        for (size_t i = 0; i < m->funcs.count; i++)
            pass_property_get(PASS_PROP_INDEX_NO_DEAD)->establish(m->funcs.items[i]);
    uint32_t before = properties_of(m), telling_before = telling(before);
    if ((before & p->needs) == p->needs) {
        outcome o = run_list(m, &pass, 1, no_contracts());
        uint32_t after = properties_of(m);
        if (!o.refused && o.changed) {
            s->kept |= telling_before & telling(after) & before & after;
            s->lost |= before & ~after;
            s->gained |= ~before & after;
        }
        if (!o.refused) s->missed |= ~before & ~after;
    }
    ir_module_free(m);
}

/* A module that a pass comes to, without a property: the pass that gives it has not run, the one
 * that ends it has, or there are dead nodes. */
static ir_module *without_property(const char *text, uint32_t pass, uint32_t property) {
    const pass_property *q = pass_property_get(property);
    ir_module *m = case_parse(text);
    uint32_t giver = q->giver ? (uint32_t)pass_index(q->giver, strlen(q->giver)) : PASS_COUNT;
    run_up_to(m, pass, 1u << property == PASS_NO_DEAD ? PASS_COUNT : giver);
    if (1u << property == PASS_NO_DEAD) add_dead(m);
    if (q->ender) {
        uint32_t ender = (uint32_t)pass_index(q->ender, strlen(q->ender));
        run_list(m, &ender, 1, no_contracts());
    }
    return m;
}

/* Whether the pass does something else on a module without the property than `with`. In a process
 * of its own: what a pass makes of IR it was not written for may be an internal error. */
static bool does_otherwise(const char *text, uint32_t pass, uint32_t property, outcome with) {
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) _exit(2);
        ir_module *m = without_property(text, pass, property);
        if (properties_of(m) >> property & 1) _exit(0);
        outcome o = run_list(m, &pass, 1, no_contracts());
        base_str faults = {0};
        bool sound = ir_verify(m, &faults);
        _exit(o.refused || !o.changed || o.matched != with.matched || !sound);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status != 0;
}

static void observe_need(const char *text, uint32_t pass, uint32_t property) {
    ir_module *m = case_parse(text);
    run_up_to(m, pass, PASS_COUNT);
    outcome with = run_list(m, &pass, 1, pass_own_contracts());
    ir_module_free(m);
    if (!with.refused && with.changed && does_otherwise(text, pass, property, with))
        seen[pass].needed |= 1u << property;
}

static void observe(void) {
    for (uint32_t pass = 0; pass < PASS_COUNT; pass++)
        for (uint32_t t = 0; t < text_count; t++) {
            for (int at = 0; at < SITUATIONS; at++)
                observe_effect(texts[t], pass, (enum situation)at);
            for (uint32_t i = 0; i < PASS_PROP_COUNT; i++)
                if (pass_get(pass)->needs >> i & 1) observe_need(texts[t], pass, i);
        }
}

static int observe_all(void **state) {
    read_modules(state);
    for (int i = 0; i < PRECISIONS; i++) {
        precision = precisions[i];
        observe();
    }
    return 0;
}

/* ---- contracts against what is observed ---- */

/* What is wrong with a contract: a promise that was broken, or one that is always kept and not
 * made; a need that is not said. */
static bool holds(const pass_info *p, const observed *s, base_str *faults) {
    const struct {
        uint32_t bits;
        const char *what;
    } wrong[] = {
        {p->gives & s->missed, "is promised and not given"},
        {p->keeps & s->lost, "is promised and lost"},
        {s->gained & ~s->missed & ~p->gives & ~p->keeps, "is given and not promised"},
        {s->kept & ~s->lost & ~p->gives & ~p->keeps, "is kept and not promised"},
        {s->needed & ~p->needs, "is needed and not asked for"},
    };
    size_t before = faults->len;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (uint32_t k = 0; k < PASS_PROP_COUNT; k++)
            if (wrong[i].bits >> k & 1)
                base_str_addf(faults, "%s: %s %s\n", p->name, pass_property_get(k)->name,
                              wrong[i].what);
    return faults->len == before;
}

static void test_contracts_hold(void **state) {
    (void)state;
    base_str faults = {0};
    for (uint32_t i = 0; i < PASS_COUNT; i++) holds(pass_get(i), &seen[i], &faults);
    if (faults.len) fail_msg("%s", faults.data);
}

enum { NEEDS, GIVES, KEEPS, COLUMNS };
static const char dead_work[] = "no work is done for nodes that nobody needs",
                  any_layout[] = "it finds its ops in any layout, but casts would lie between them";

/* Bits that can go without anything to show for it, and why they stand there all the same. */
static const struct {
    const char *pass;
    int column;
    uint32_t property;
    const char *why;
} unseen[] = {
    {"share_halves", NEEDS, PASS_NO_DEAD, dead_work},
    {"split_stages", NEEDS, PASS_NO_DEAD, dead_work},
    {"lower_int8", NEEDS, PASS_NO_DEAD, dead_work},
    {"lower_precision", NEEDS, PASS_NO_DEAD, dead_work},
    {"choose_winograd", NEEDS, PASS_NO_DEAD, dead_work},
    {"upsample_phases", NEEDS, PASS_NO_DEAD, dead_work},
    {"split_packing", NEEDS, PASS_NO_DEAD, dead_work},
    {"select_kernels", NEEDS, PASS_NO_DEAD, dead_work},
    {"fuse_attention", NEEDS, PASS_PLAIN, any_layout},
    {"fuse_upsample", NEEDS, PASS_PLAIN, any_layout},
    {"tile_attention", NEEDS, PASS_LAID_OUT, any_layout},
};

static const char *why_unseen(const char *pass, int column, uint32_t property) {
    for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++)
        if (!strcmp(unseen[i].pass, pass) && unseen[i].column == column &&
            unseen[i].property == property)
            return unseen[i].why;
    return NULL;
}

/* Any one bit that is dropped is noticed, but for those of `unseen`. */
static void test_every_bit_counts(void **state) {
    (void)state;
    static const char *const columns[COLUMNS] = {"needs", "gives", "keeps"};
    base_str faults = {0};
    for (uint32_t i = 0; i < PASS_COUNT; i++)
        for (int column = 0; column < COLUMNS; column++)
            for (uint32_t k = 0; k < PASS_PROP_COUNT; k++) {
                pass_info p = *pass_get(i);
                uint32_t *bits = column == NEEDS ? &p.needs : column == GIVES ? &p.gives : &p.keeps;
                if (!(*bits >> k & 1)) continue;
                *bits &= ~(1u << k);
                base_str what = {0};
                bool noticed = !holds(&p, &seen[i], &what);
                bool listed = why_unseen(p.name, column, 1u << k) != NULL;
                base_str_free(&what);
                if (noticed != listed) continue;
                base_str_addf(&faults, "%s: %s %s %s\n", p.name, columns[column],
                              pass_property_get(k)->name,
                              noticed ? "is noticed, and listed as unseen" : "can go unnoticed");
            }
    if (faults.len) fail_msg("%s", faults.data);
}

/* Forms are canonical: a second run finds nothing to do. */
static void test_canonical(void **state) {
    (void)state;
    uint32_t changed = 0;
    const uint32_t pass = PASS_INDEX_canonicalize;
    for (uint32_t t = 0; t < text_count; t++) {
        ir_module *m = case_parse(texts[t]);
        if (m->level == IR_GRAPH) {
            changed += run_list(m, &pass, 1, pass_own_contracts()).changed;
            assert_false(run_list(m, &pass, 1, pass_own_contracts()).changed);
        }
        ir_module_free(m);
    }
    assert_true(changed > 3);
}

/* ---- order ---- */

/* What pass_run says to a list of two passes. */
static void expect_refusal(const pass_order *o) {
    char *messages = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&messages, &n);
    base_diag *d = base_diag_new(&(base_diag_options){.out = out});
    ir_module *m = case_parse(nets[0]);
    pass_context *c = pass_context_new(m, case_target());
    base_str list = {0}, want = {0};
    base_str_addf(&list, "%s,%s", pass_get(o->later)->name, pass_get(o->earlier)->name);
    base_str_addf(&want, "pass '%s' has to run before '%s': %s", pass_get(o->earlier)->name,
                  pass_get(o->later)->name, o->reason);
    pass_options options = PASS_OPTIONS_DEFAULT;
    options.passes = list.data;
    assert_false(pass_run(c, &options, d));
    assert_int_equal(c->timings.count, 0); /* nothing has run */
    base_diag_flush(d);
    if (!strstr(messages, want.data)) fail_msg("expected: %s\nfound: %s", want.data, messages);
    pass_context_free(c);
    ir_module_free(m);
    base_diag_free(d);
    fclose(out);
    free(messages);
    base_str_free(&list);
    base_str_free(&want);
}

static void test_orders(void **state) {
    (void)state;
    const pass_contracts *own = pass_own_contracts();
    const pass_order *broken;
    uint32_t list[PASS_COUNT];
    for (uint32_t i = 0; i < PASS_COUNT; i++) list[i] = i;
    assert_true(pass_list_in_order(own, list, PASS_COUNT, &broken));
    assert_true(pass_list_in_order(own, list, 0, &broken));
    for (uint32_t i = 0; i < own->order_count; i++) {
        const pass_order *o = &own->orders[i];
        const uint32_t wrong[] = {o->later, o->earlier},
                       twice[] = {o->earlier, o->later, o->earlier};
        assert_false(pass_list_in_order(own, wrong, 2, &broken));
        assert_ptr_equal(broken, o);
        assert_true(pass_list_in_order(own, wrong, 1, &broken));
        assert_true(pass_list_in_order(own, wrong + 1, 1, &broken));
        assert_true(pass_list_in_order(own, twice, 2, &broken));
        assert_true(pass_list_in_order(own, twice, 3, &broken)); /* once more does no harm */
        expect_refusal(o);
    }
}

/* The module's text behind a list of passes; empty when it is refused. */
static base_str result_of(const char *text, const uint32_t *list, uint32_t count,
                          const pass_contracts *contracts) {
    ir_module *m = case_parse(text);
    base_str out = {0};
    if (!run_list(m, list, count, contracts).refused) ir_print(m, &out);
    ir_module_free(m);
    return out;
}

/* The default list from a level on, pass `from` moved behind `to`; select_kernels comes last. */
static uint32_t moved_list(ir_level level, uint32_t from, uint32_t to, uint32_t list[PASS_COUNT]) {
    uint32_t n = 0;
    for (uint32_t i = 0; i <= PASS_INDEX_select_kernels; i++) {
        if (i != from && level <= pass_get(i)->level_out) list[n++] = i;
        if (i == to) list[n++] = from;
    }
    return n;
}

/* What a text comes to in default order, up to kernels where there are kernels for it. */
typedef struct in_order {
    ir_level level;
    uint32_t passes; /* of the list */
    base_str result;
} in_order;
static in_order results[PRECISIONS][MOST_TEXTS];

static void run_in_order(void) {
    for (int p = 0; p < PRECISIONS; p++) {
        precision = precisions[p];
        for (uint32_t t = 0; t < text_count; t++) {
            in_order *r = &results[p][t];
            ir_module *m = case_parse(texts[t]);
            r->level = m->level;
            ir_module_free(m);
            uint32_t list[PASS_COUNT];
            r->passes = moved_list(r->level, PASS_COUNT, PASS_COUNT, list);
            r->result = result_of(texts[t], list, r->passes, pass_own_contracts());
            if (!r->result.len)
                r->result = result_of(texts[t], list, --r->passes, pass_own_contracts());
        }
    }
}

/* Whether some text comes to something else, without a word, where `from` runs behind `to`. */
static bool differs_quietly(uint32_t from, uint32_t to, const pass_contracts *contracts) {
    bool differs = false;
    for (int p = 0; p < PRECISIONS; p++)
        for (uint32_t t = 0; t < text_count && !differs; t++) {
            const in_order *r = &results[p][t];
            if (!r->result.len || r->level > pass_get(from)->level_out) continue;
            uint32_t list[PASS_COUNT];
            moved_list(r->level, from, to, list);
            precision = precisions[p];
            base_str moved = result_of(texts[t], list, r->passes, contracts);
            differs = moved.len && strcmp(r->result.data, moved.data);
            base_str_free(&moved);
        }
    return differs;
}

/* No pass that is moved behind another makes a difference that a list does not tell. */
static void test_every_order_is_said(void **state) {
    (void)state;
    run_in_order();
    base_str faults = {0};
    for (uint32_t from = 0; from < PASS_INDEX_select_kernels; from++)
        for (uint32_t to = from + 1; to < PASS_INDEX_select_kernels; to++)
            if (differs_quietly(from, to, pass_own_contracts()))
                base_str_addf(&faults, "%s behind %s makes a difference\n", pass_get(from)->name,
                              pass_get(to)->name);
    if (faults.len) fail_msg("%s", faults.data);
}

/* Every order is there for a difference that nothing else tells. */
static void test_every_order_counts(void **state) {
    (void)state;
    const pass_contracts *own = pass_own_contracts();
    pass_contracts without = {own->passes, NULL, 0};
    base_str faults = {0};
    for (uint32_t i = 0; i < own->order_count; i++) {
        const pass_order *o = &own->orders[i];
        if (!differs_quietly(o->earlier, o->later, &without))
            base_str_addf(&faults, "%s before %s makes no difference\n", pass_get(o->earlier)->name,
                          pass_get(o->later)->name);
    }
    if (faults.len) fail_msg("%s", faults.data);
}

static int free_modules(void **state) {
    (void)state;
    for (uint32_t i = 0; i < text_count; i++) {
        base_free(texts[i]);
        for (int p = 0; p < PRECISIONS; p++) base_str_free(&results[p][i].result);
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contracts_hold),      cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_canonical),           cmocka_unit_test(test_orders),
        cmocka_unit_test(test_every_order_is_said), cmocka_unit_test(test_every_order_counts),
    };
    return cmocka_run_group_tests(tests, observe_all, free_modules);
}
