/* Fuzz entry: any bytes as a scheduler_config.json, and as the sampler section of a description.
 * What the front end accepts, the program accepts: every property is a setting of the sampler, the
 * whole can run, and a run with zeros for the network's answers ends; whatever is refused has a
 * reason. So for every other sampler that the program offers. */
#include "tests/fuzz/fuzz.h"

#include "frontend/diffusers/diffusers.h"
#include "runtime/abi/meta_keys.h"
#include "runtime/samplers/samplers.h"

static rt_sampler_config config_of(const ir_module *m) {
    static const char prefix[] = "sampler.";
    rt_error err = {""};
    const char *name = ir_meta_string(m, EBRU_META_SAMPLER_CLASS.name, NULL);
    PROMISE(name && rt_sampler_by_name(name) >= 0);
    rt_sampler_config c = rt_sampler_defaults((rt_sampler_id)rt_sampler_by_name(name));
    for (size_t i = 0; i < m->meta.count; i++) {
        const ir_meta *e = &m->meta.items[i];
        if (strncmp(e->key, prefix, sizeof prefix - 1) != 0) continue;
        const char *key = e->key + sizeof prefix - 1;
        if (!rt_sampler_config_knows(key)) continue;
        PROMISE(rt_sampler_config_set(&c, key, e->kind == IR_META_STRING ? e->s : NULL,
                                      e->kind == IR_META_FLOAT ? e->f : (double)e->i,
                                      &err) == RT_OK);
    }
    return c;
}

static void run(const rt_sampler_config *c, int steps) {
    enum { N = 4 };
    float x[N] = {0.5f, -1, 2, 0}, scaled[N], noise[N] = {1, -1, 0.25f, 0};
    static const float answer[N];
    rt_error err = {""};
    rt_sampler *s = NULL;
    rt_status status = rt_sampler_new(&s, c, steps, N, &err);
    PROMISE(status == RT_OK ? s != NULL : err.message[0] != '\0');
    if (status) return;
    const int count = rt_sampler_evaluations(s);
    PROMISE(count >= 1);
    for (int k = 0; k < count; k++) {
        rt_sampler_scale_input(s, k, x, scaled);
        PROMISE(rt_sampler_step(s, k, x, answer, rt_sampler_needs_noise(s, k) ? noise : NULL,
                                &err) == RT_OK);
    }
    const int first = rt_sampler_first_evaluation(s, 0.5);
    PROMISE(first >= 0 && first <= count);
    if (first < count) rt_sampler_add_noise(s, first, x, noise, scaled);
    rt_sampler_free(s);
}

static void use(const ir_module *m, size_t size) {
    rt_error err = {""};
    const rt_sampler_config c = config_of(m);
    PROMISE(rt_sampler_config_check(&c, &err) == RT_OK);
    const int steps = 1 + (int)(size % 4);
    run(&c, steps);
    for (int id = 0; id < RT_SAMPLER_COUNT; id++) {
        err.message[0] = '\0';
        if (rt_sampler_fits(&c, (rt_sampler_id)id, &err)) {
            PROMISE(err.message[0]);
            continue;
        }
        const rt_sampler_config other = rt_sampler_switch(&c, (rt_sampler_id)id);
        PROMISE(rt_sampler_config_check(&other, &err) == RT_OK);
        run(&other, steps);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int section = 0; section < 2; section++) {
        base_diag *d = fuzz_diag(size % 2);
        const base_json_limits python = {.python_numbers = !section};
        base_json *doc =
            base_json_parse(d, "scheduler_config.json", (const char *)data, size, &python);
        ir_module *m = ir_module_new();
        const fe_scheduler_choice choice = {0};
        bool fine =
            doc && (section ? fe_scheduler_section_meta(m, "sampler", base_json_root(doc), NULL, 0)
                            : fe_scheduler_folder_meta(m, "sampler", base_json_root(doc), &choice));
        PROMISE(fine == (base_diag_errors(d) == 0));
        if (fine) use(m, size);
        base_json_free(doc);
        ir_module_free(m);
        base_diag_free(d);
    }
    return 0;
}
