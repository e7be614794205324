/* The table of tuning records: a hash by kernel key, of each key the records in the order they
 * came. */
#include "base/hash.h"
#include "codegen/target/bind.h"

#include <string.h>

struct entry {
    cg_record record;
    uint32_t next; /* entry of the same bucket added before, +1; 0: none */
};

enum { BUCKETS = 1024 };

struct cg_tuning {
    base_arena *arena; /* strings */
    BASE_VEC(struct entry) entries;
    uint32_t bucket[BUCKETS]; /* the last entry, +1 */
};

cg_tuning *cg_tuning_new(void) {
    cg_tuning *t = base_alloc(sizeof *t);
    t->arena = base_arena_new();
    return t;
}

void cg_tuning_free(cg_tuning *t) {
    if (!t) return;
    base_arena_free(t->arena);
    base_free(t->entries.items);
    base_free(t);
}

static uint32_t bucket_of(const char *kernel, const char *key) {
    uint32_t h = base_hash_bytes(BASE_HASH_START, kernel, strlen(kernel));
    return base_hash_bytes(h, key, strlen(key)) % BUCKETS;
}

void cg_tuning_add(cg_tuning *t, const cg_record *r) {
    const uint32_t at = bucket_of(r->kernel, r->key);
    struct entry e = {*r, t->bucket[at]};
    e.record.machine.level = base_arena_strdup(t->arena, r->machine.level);
    e.record.kernel = base_arena_strdup(t->arena, r->kernel);
    e.record.key = base_arena_strdup(t->arena, r->key);
    for (uint32_t i = 0; i < r->choice_count; i++)
        e.record.choice[i].field = base_arena_strdup(t->arena, r->choice[i].field);
    BASE_PUSH(&t->entries, e);
    t->bucket[at] = (uint32_t)t->entries.count;
}

size_t cg_tuning_count(const cg_tuning *t) {
    return t->entries.count;
}

/* How well a record fits: 0 not at all. A shipped one is for one kind of CPU, which the level and
 * the caches of a core tell; the last cache differs between CPUs of a kind. */
static int fit(const cg_record *r, const cg_machine *m) {
    if (strcmp(r->machine.level, m->level) != 0) return 0;
    const bool core = r->machine.l1d == m->l1d && r->machine.l2 == m->l2;
    if (r->shipped) return core;
    const bool caches = core && r->machine.l3 == m->l3;
    return 2 + (r->machine.threads == m->threads) + 2 * caches;
}

const cg_record *cg_tuning_find(const cg_tuning *t, const cg_machine *m, const char *kernel,
                                const char *key) {
    const cg_record *best = NULL;
    int best_fit = 0;
    for (uint32_t i = t->bucket[bucket_of(kernel, key)]; i; i = t->entries.items[i - 1].next) {
        const cg_record *r = &t->entries.items[i - 1].record;
        const int f = fit(r, m);
        if (f <= best_fit || strcmp(r->kernel, kernel) != 0 || strcmp(r->key, key) != 0) continue;
        best = r;
        best_fit = f;
    }
    return best;
}

void cg_tuning_log_free(cg_tuning_log *log) {
    base_free(log->refused.items);
}

void cg_tuning_refuse(cg_tuning_log *log, const cg_record *r, const char *why) {
    for (size_t i = 0; i < log->refused.count; i++)
        if (log->refused.items[i] == r) return;
    BASE_PUSH(&log->refused, r);
    if (log->diag)
        base_warning(log->diag, r->loc.source ? &r->loc : NULL,
                     "this tuning record of %s is ignored, its choice is not legal: %s", r->kernel,
                     why);
}

/* ---- targets that consult a table ---- */

ir_target *cg_target_tuned(const ir_target *t, const cg_tuning_use *use) {
    cg_target_info *info = base_alloc(sizeof *info);
    *info = *(const cg_target_info *)t;
    info->tuning = *use;
    info->base.force = use->force;
    return &info->base;
}

cg_machine cg_machine_of(const ir_target *t, uint32_t threads) {
    return (cg_machine){t->level, t->l1d, t->l2, t->l3, threads};
}

int32_t cg_target_isa(const ir_target *t) {
    return ((const cg_target_info *)t)->isa;
}
