#include "runtime/engine/staged_network.h"

#include <stdlib.h>
#include <string.h>

enum { STAGE_PROMPT, STAGE_SCHEDULE, STAGE_STEP, STAGES };
static const char *const stage_suffix[STAGES] = {".prompt", ".schedule", ".step"};

/* One named value: an external input, or what an earlier stage computes for a later one. */
struct value {
    const struct ebru_tensor_desc *desc; /* as its consumer sees it */
    void *buffer;
    /* Schedule stage: `rows` timesteps a call; one table for the whole run. */
    const struct ebru_tensor_desc *producer; /* NULL: external */
    int stage;                               /* of the producer */
    char *table;
    size_t stride; /* bytes a timestep in the table */
    int rows;
    bool set; /* an external input that the network knows by itself */
};

struct stage {
    int function; /* -1: absent */
    const struct ebru_function_desc *desc;
    int *input; /* index into values */
    const void **in;
    void **out;
};

struct rt_network {
    rt_engine *engine;
    struct stage stages[STAGES];
    struct value *values;
    int value_count;
    int timestep; /* value "timestep", -1 when there is none */
    int rows;     /* timesteps a call of the schedule stage computes */
    /* of the loop, the caller's; NULL: the timestep input was filled by the caller */
    const float *timesteps;
};

static bool same(const char *a, const char *b) {
    return strcmp(a, b) == 0;
}

static int find_value(const rt_network *n, const char *name) {
    for (int i = 0; i < n->value_count; i++)
        if (same(n->values[i].desc->name, name)) return i;
    return -1;
}

/* The output of an earlier stage with that name. */
static const struct ebru_tensor_desc *find_producer(const rt_network *n, int before,
                                                    const char *name, int *stage) {
    for (int s = 0; s < before; s++) {
        const struct ebru_function_desc *f = n->stages[s].desc;
        for (int32_t i = 0; f && i < f->output_count; i++) {
            if (!same(f->outputs[i].name, name)) continue;
            *stage = s;
            return &f->outputs[i];
        }
    }
    return NULL;
}

static rt_status bind_inputs(rt_network *n, int s, rt_error *err) {
    struct stage *st = &n->stages[s];
    size_t inputs = (size_t)st->desc->input_count, outputs = (size_t)st->desc->output_count;
    st->input = calloc(inputs + 1, sizeof *st->input);
    st->in = calloc(inputs + 1, sizeof *st->in);
    st->out = calloc(outputs + 1, sizeof *st->out);
    if (!st->input || !st->in || !st->out) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    for (size_t i = 0; i < inputs; i++) {
        const struct ebru_tensor_desc *d = &st->desc->inputs[i];
        int v = find_value(n, d->name);
        if (v < 0) {
            v = n->value_count++;
            struct value *value = &n->values[v];
            value->desc = d;
            value->producer = find_producer(n, s, d->name, &value->stage);
            if (!value->producer || value->stage == STAGE_PROMPT) {
                value->buffer = rt_buffer((size_t)d->bytes);
                if (!value->buffer) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
            }
            if (value->producer && value->producer->bytes % d->bytes)
                return rt_fail(err, RT_ERR_INTERNAL, "stage value '%s' has two sizes", d->name);
            if (value->producer) value->rows = (int)(value->producer->bytes / d->bytes);
        }
        st->input[i] = v;
    }
    return RT_OK;
}

/* The functions of a network; the number of their inputs. */
static int find_stages(rt_network *n, const char *name) {
    const rt_model *m = n->engine->model;
    char full[320];
    int total = 0;
    for (int s = 0; s < STAGES; s++) {
        snprintf(full, sizeof full, "%s%s", name, stage_suffix[s]);
        int f = rt_model_function(m, full);
        if (f < 0 && s == STAGE_STEP) f = rt_model_function(m, name);
        n->stages[s].function = f;
        if (f < 0) continue;
        n->stages[s].desc = &m->tables->functions[f];
        total += n->stages[s].desc->input_count;
    }
    return total;
}

static bool any_lora(const rt_model *m) {
    for (int i = 0; i < BASE_LORA_SLOTS; i++)
        if (m->lora[i] != 0) return true;
    return false;
}

/* With a LoRA on, its twin stands for a network that it changes. */
static int find_network(rt_network *n, const char *name) {
    char twin[300];
    snprintf(twin, sizeof twin, "%s" BASE_LORA_TWIN, name);
    int total = any_lora(n->engine->model) ? find_stages(n, twin) : 0;
    return total && n->stages[STAGE_STEP].desc ? total : find_stages(n, name);
}

static void set_loras(rt_network *n) {
    const rt_model *m = n->engine->model;
    char input[300];
    const char *name;
    for (int i = 0; i < BASE_LORA_SLOTS && (name = rt_meta_lora_name(m->tables, i)); i++) {
        snprintf(input, sizeof input, BASE_LORA_INPUT "%s", name);
        int v = any_lora(m) ? find_value(n, input) : -1;
        if (v < 0) continue;
        memcpy(n->values[v].buffer, &m->lora[i], sizeof m->lora[i]);
        n->values[v].set = true;
    }
}

rt_status rt_network_open(rt_network **out, rt_engine *e, const char *name, rt_error *err) {
    rt_network *n = calloc(1, sizeof *n);
    if (!n) return rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    n->engine = e;
    n->rows = 1;
    const int total = find_network(n, name);
    rt_status status = RT_OK;
    if (n->stages[STAGE_STEP].function < 0) {
        status = rt_fail(err, RT_ERR_INTERNAL, "this program has no function '%s'", name);
    } else {
        n->values = calloc((size_t)total + 1, sizeof *n->values);
        if (!n->values) status = rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    }
    for (int s = 0; s < STAGES && !status; s++)
        if (n->stages[s].desc) status = bind_inputs(n, s, err);
    struct stage *step = &n->stages[STAGE_STEP];
    for (int32_t i = 0; !status && i < step->desc->output_count; i++) {
        step->out[i] = rt_buffer((size_t)step->desc->outputs[i].bytes);
        if (!step->out[i]) status = rt_fail(err, RT_ERR_SYSTEM, "out of memory");
    }
    if (status) {
        rt_network_free(n);
        return status;
    }
    set_loras(n);
    n->timestep = find_value(n, "timestep");
    for (int v = 0; v < n->value_count; v++)
        if (n->values[v].producer && n->values[v].stage == STAGE_SCHEDULE)
            n->rows = n->values[v].rows;
    *out = n;
    return RT_OK;
}

void rt_network_free(rt_network *n) {
    if (!n) return;
    for (int v = 0; v < n->value_count; v++) {
        rt_buffer_free(n->values[v].buffer);
        rt_buffer_free(n->values[v].table);
    }
    struct stage *step = &n->stages[STAGE_STEP];
    for (int32_t i = 0; step->out && i < step->desc->output_count; i++)
        rt_buffer_free(step->out[i]);
    for (int s = 0; s < STAGES; s++) {
        free(n->stages[s].input);
        free(n->stages[s].in);
        free(n->stages[s].out);
    }
    free(n->values);
    free(n);
}

int rt_network_batch(const rt_network *n) {
    return n->stages[STAGE_STEP].desc->batch;
}

/* An input that the caller fills. */
static bool is_external(const struct value *v) {
    return !v->producer && !v->set;
}

static const struct value *external_at(const rt_network *n, int index) {
    for (int v = 0; v < n->value_count; v++)
        if (is_external(&n->values[v]) && index-- == 0) return &n->values[v];
    return NULL;
}

int rt_network_input_count(const rt_network *n) {
    int count = 0;
    for (int v = 0; v < n->value_count; v++) count += is_external(&n->values[v]);
    return count;
}

const struct ebru_tensor_desc *rt_network_input_at(const rt_network *n, int index) {
    const struct value *v = external_at(n, index);
    return v ? v->desc : NULL;
}

int rt_network_output_count(const rt_network *n) {
    return n->stages[STAGE_STEP].desc->output_count;
}

const struct ebru_tensor_desc *rt_network_output_at(const rt_network *n, int index) {
    return &n->stages[STAGE_STEP].desc->outputs[index];
}

const struct ebru_tensor_desc *rt_network_input(const rt_network *n, const char *name) {
    int v = find_value(n, name);
    return v >= 0 && is_external(&n->values[v]) ? n->values[v].desc : NULL;
}

static int output_index(const rt_network *n, const char *name) {
    for (int i = 0; i < rt_network_output_count(n); i++)
        if (same(rt_network_output_at(n, i)->name, name)) return i;
    return -1;
}

const struct ebru_tensor_desc *rt_network_output(const rt_network *n, const char *name) {
    int i = output_index(n, name);
    return i < 0 ? NULL : rt_network_output_at(n, i);
}

void *rt_network_input_buffer(rt_network *n, const char *name) {
    int v = find_value(n, name);
    return v >= 0 && is_external(&n->values[v]) ? n->values[v].buffer : NULL;
}

const void *rt_network_output_buffer(const rt_network *n, const char *name) {
    int i = output_index(n, name);
    return i < 0 ? NULL : n->stages[STAGE_STEP].out[i];
}

/* Writes `count` timesteps into the timestep input of `dim0` entries, the last one repeated. */
static void fill_timesteps(float *dst, int64_t dim0, const float *timesteps, int count, int first) {
    for (int64_t i = 0; i < dim0; i++) {
        int64_t k = first + i;
        dst[i] = timesteps[k < count ? k : count - 1];
    }
}

static void gather_inputs(rt_network *n, int s, int k) {
    struct stage *st = &n->stages[s];
    for (int32_t i = 0; i < st->desc->input_count; i++) {
        struct value *v = &n->values[st->input[i]];
        st->in[i] = v->table ? v->table + (size_t)k * v->stride : v->buffer;
    }
}

static void run_prompt(rt_network *n) {
    struct stage *st = &n->stages[STAGE_PROMPT];
    if (!st->desc) return;
    gather_inputs(n, STAGE_PROMPT, 0);
    for (int32_t i = 0; i < st->desc->output_count; i++) {
        int v = find_value(n, st->desc->outputs[i].name);
        st->out[i] = v >= 0 ? n->values[v].buffer : NULL;
    }
    rt_engine_run(n->engine, st->function, st->in, st->out);
}

/* Tables for all timesteps, rounded up to whole calls so that the last call may write past the
 * schedule's end. */
static rt_status size_tables(rt_network *n, int count, rt_error *err) {
    int calls = (count + n->rows - 1) / n->rows;
    for (int i = 0; i < n->value_count; i++) {
        struct value *v = &n->values[i];
        if (!v->producer || v->stage != STAGE_SCHEDULE) continue;
        rt_buffer_free(v->table);
        v->stride = (size_t)v->desc->bytes;
        v->table = rt_buffer((size_t)v->producer->bytes * (size_t)calls);
        if (!v->table)
            return rt_fail(err, RT_ERR_SYSTEM, "out of memory for the schedule's tables");
    }
    return RT_OK;
}

static void run_schedule(rt_network *n, const float *timesteps, int count) {
    struct stage *st = &n->stages[STAGE_SCHEDULE];
    int64_t entries = 1;
    void *timestep_buffer = n->timestep >= 0 ? n->values[n->timestep].buffer : NULL;
    for (int32_t i = 0; i < st->desc->input_count; i++)
        if (st->input[i] == n->timestep) entries = st->desc->inputs[i].dim[0];
    for (int first = 0; first < count; first += n->rows) {
        if (timesteps && timestep_buffer) {
            if (n->rows > 1)
                fill_timesteps(timestep_buffer, entries, timesteps, count, first);
            else
                fill_timesteps(timestep_buffer, entries, timesteps + first, 1, 0);
        }
        gather_inputs(n, STAGE_SCHEDULE, 0);
        for (int32_t i = 0; i < st->desc->output_count; i++) {
            int v = find_value(n, st->desc->outputs[i].name);
            if (v >= 0) st->out[i] = n->values[v].table + (size_t)first * n->values[v].stride;
        }
        rt_engine_run(n->engine, st->function, st->in, st->out);
    }
}

rt_status rt_network_begin(rt_network *n, const float *timesteps, int count, rt_error *err) {
    run_prompt(n);
    if (n->stages[STAGE_SCHEDULE].desc) {
        rt_status s = size_tables(n, count, err);
        if (s) return s;
        run_schedule(n, timesteps, count);
    }
    /* A step that still reads the timestep itself gets it from here. */
    n->timesteps = timesteps;
    return RT_OK;
}

void rt_network_refresh(rt_network *n) {
    run_prompt(n);
}

void rt_network_step(rt_network *n, int k) {
    struct stage *st = &n->stages[STAGE_STEP];
    if (n->timesteps && n->timestep >= 0)
        for (int32_t i = 0; i < st->desc->input_count; i++)
            if (st->input[i] == n->timestep)
                fill_timesteps(n->values[n->timestep].buffer, st->desc->inputs[i].dim[0],
                               n->timesteps + k, 1, 0);
    gather_inputs(n, STAGE_STEP, k);
    n->engine->step = k;
    rt_engine_run(n->engine, st->function, st->in, st->out);
}
