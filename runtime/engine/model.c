#include "runtime/engine/model.h"
#include "base/suggest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* EBRU_ISA_* of a level's description: the compiler writes names that this runtime knows. */
static int32_t isa_of(const struct ebru_level_desc *level) {
    return base_isa_by_name(level->name);
}

static rt_status choose_level(rt_model *m, rt_error *err) {
    const struct ebru_model *t = m->tables;
    bool permitted = true;
    for (int32_t i = t->level_count - 1; i >= 0; i--) {
        int32_t isa = isa_of(&t->levels[i]);
        if (!base_cpu_runs(&m->cpu, isa)) continue;
        if ((permitted = base_cpu_permit(&m->cpu, isa))) {
            m->level = &t->levels[i];
            return RT_OK;
        }
    }
    char missing[200];
    base_cpu_missing(&m->cpu, isa_of(&t->levels[0]), missing, sizeof missing);
    if (m->cpu.isa == EBRU_ISA_NONE)
        return rt_fail(err, RT_ERR_CPU,
                       "this program needs %s (%s); ebru compiles for no level that this CPU has",
                       t->levels[0].name, missing);
    return rt_fail(
        err, RT_ERR_CPU,
        "this program needs %s (%s); this %s offers %s. Rebuild with -mcpu=%s or a list of levels",
        t->levels[0].name, missing, permitted ? "CPU" : "system", base_isa_name(m->cpu.isa),
        base_isa_name(m->cpu.isa));
}

static rt_status unknown_level(const struct ebru_model *t, const char *name, rt_error *err) {
    const char *names[8];
    char hint[BASE_HINT_MAX], list[160] = "; it has code for ";
    size_t count = 0, at = strlen(list);
    for (; (int32_t)count < t->level_count && count < 8; count++) {
        names[count] = t->levels[count].name;
        if (at < sizeof list)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", count ? ", " : "",
                                   names[count]);
    }
    base_hint(base_suggest(name, names, count), hint);
    return rt_fail(err, RT_ERR_USAGE, "this program has no code for '%.60s'%s", name,
                   *hint ? hint : list);
}

static rt_status take_level(rt_model *m, const char *name, bool unchecked, rt_error *err) {
    const struct ebru_model *t = m->tables;
    for (int32_t i = 0; i < t->level_count; i++)
        if (!strcmp(t->levels[i].name, name)) m->level = &t->levels[i];
    if (!m->level) return unknown_level(m->tables, name, err);
    rt_status s = unchecked ? RT_OK : rt_cpu_force_level(&m->cpu, name, err);
    if (!s && !base_cpu_permit(&m->cpu, isa_of(m->level)) && !unchecked)
        s = rt_fail(err, RT_ERR_CPU, "this system does not let programs use what %s needs", name);
    return s;
}

rt_status rt_model_open(rt_model *m, const struct ebru_model *tables, const char *forced,
                        bool unchecked, rt_error *err) {
    memset(m, 0, sizeof *m);
    m->tables = tables;
    if (tables->abi_version != EBRU_ABI_VERSION)
        return rt_fail(err, RT_ERR_INTERNAL, "model tables have version %u, the runtime has %d",
                       tables->abi_version, EBRU_ABI_VERSION);
    base_cpu_detect(&m->cpu);
    if (unchecked && !forced)
        return rt_fail(err, RT_ERR_USAGE,
                       "--no-cpu-check needs --cpu-level: which code is to run?");
    rt_status s = forced ? take_level(m, forced, unchecked, err) : choose_level(m, err);
    return s ? s : rt_weights_map(m, err);
}

int rt_model_function(const rt_model *m, const char *name) {
    for (int32_t i = 0; i < m->tables->function_count; i++)
        if (!strcmp(m->tables->functions[i].name, name)) return i;
    return -1;
}

static int compare_key(const void *key, const void *item) {
    return strcmp(key, ((const struct ebru_meta_desc *)item)->key);
}

static const struct ebru_meta_desc *meta_find(const struct ebru_model *t, const char *key) {
    if (!t->meta_count) return NULL;
    return bsearch(key, t->meta, (size_t)t->meta_count, sizeof *t->meta, compare_key);
}

int64_t rt_meta_int(const struct ebru_model *t, ebru_int_key key) {
    const struct ebru_meta_desc *d = meta_find(t, key.name);
    return d && d->kind == EBRU_META_KIND_INT ? d->i : key.otherwise;
}

double rt_meta_float(const struct ebru_model *t, ebru_float_key key) {
    const struct ebru_meta_desc *d = meta_find(t, key.name);
    if (!d || d->kind == EBRU_META_KIND_STRING) return key.otherwise;
    return d->kind == EBRU_META_KIND_FLOAT ? d->f : (double)d->i;
}

const char *rt_meta_string(const struct ebru_model *t, ebru_string_key key) {
    const struct ebru_meta_desc *d = meta_find(t, key.name);
    return d && d->kind == EBRU_META_KIND_STRING ? d->s : key.otherwise;
}

bool rt_meta_has(const struct ebru_model *t, const char *name) {
    return meta_find(t, name) != NULL;
}

static const char *numbered(const struct ebru_model *t, ebru_string_key key, int number) {
    char name[64];
    ebru_meta_numbered(key, number, name);
    return rt_meta_string(t, (ebru_string_key){name, key.otherwise});
}

const char *rt_meta_class_name(const struct ebru_model *t, int number) {
    return numbered(t, EBRU_META_CLASS_NAME, number);
}

const char *rt_meta_lora_name(const struct ebru_model *t, int number) {
    return numbered(t, EBRU_META_LORA_NAME, number);
}

const char *rt_meta_lora_digest(const struct ebru_model *t, int number) {
    return numbered(t, EBRU_META_LORA_DIGEST, number);
}

static rt_status unknown_property(const char *name, rt_error *err) {
    enum { MOST = 256 };
    const char *names[MOST];
    char hint[BASE_HINT_MAX];
    size_t count = 0;
    for (size_t i = 0; i < ebru_meta_count() && count < MOST; i++)
        if (ebru_meta_at(i)->in_program) names[count++] = ebru_meta_at(i)->name;
    return rt_fail(err, RT_ERR_INTERNAL, "this runtime knows no property '%.60s'%s", name,
                   base_hint(base_suggest(name, names, count), hint));
}

rt_status rt_meta_check(const struct ebru_model *t, rt_error *err) {
    for (int32_t i = 0; i < t->meta_count; i++) {
        const struct ebru_meta_desc *d = &t->meta[i];
        const ebru_meta_key *key = ebru_meta_find(d->key);
        char list[EBRU_META_EXPECTS];
        if (!key || !key->in_program) return unknown_property(d->key, err);
        const char *expected = ebru_meta_expects(key, (ebru_meta_kind)d->kind, d->i, d->s, list);
        if (expected)
            return rt_fail(err, RT_ERR_INTERNAL, "the property '%.60s' must be %s", d->key,
                           expected);
    }
    return RT_OK;
}
