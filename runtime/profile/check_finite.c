/* --check-finite: the first number of an op's result that is a NaN or an infinity ends the program, named by
 * function, op, block, step and its place in the tensor. */
#include "runtime/cli/output.h"
#include "runtime/engine/engine.h"
#include "runtime/text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Index of the first bit pattern whose exponent is all ones; `count` when there is none. */
static uint64_t first_bad(const void *data, bool half, uint64_t count) {
    const uint32_t *words = data;
    const uint16_t *halves = data;
    uint64_t i = 0;
    if (half)
        while (i < count && (halves[i] & 0x7f80u) != 0x7f80u) i++;
    else
        while (i < count && (words[i] & 0x7f800000u) != 0x7f800000u) i++;
    return i;
}

static const char *kind_of(const void *data, bool half, uint64_t i) {
    uint32_t bits =
        half ? (uint32_t)((const uint16_t *)data)[i] << 16 : ((const uint32_t *)data)[i];
    return bits & 0x7fffffu ? "NaN" : bits >> 31 ? "-infinity" : "infinity";
}

/* The place of element `at` of a tensor of this type (as ir_print_type writes it:
 * "f32[2,320,64,64]:c16"), as "[1,17,3,5]". Channels of c16 lie in blocks of 16. */
static void place_text(const char *type, uint64_t at, char *text, size_t room) {
    uint64_t dim[8], index[8] = {0};
    int rank = 0;
    const char *p = strchr(type, '[');
    while (p && rank < 8 && (*p == '[' || *p == ',') && p[1] != ']') {
        char *end;
        dim[rank++] = strtoull(p + 1, &end, 10);
        p = end;
    }
    bool blocked = p && strstr(p, ":c16") && rank >= 2;
    int channel = rank == 4 ? 1 : rank - 1;
    if (blocked) {
        index[channel] = at % 16;
        at /= 16;
    }
    for (int k = rank; k-- > 1;) {
        if (blocked && k == channel) continue;
        index[k] = at % dim[k];
        at /= dim[k];
    }
    if (blocked) {
        uint64_t blocks = (dim[channel] + 15) / 16;
        index[channel] += at % blocks * 16;
        at /= blocks;
    }
    if (rank) index[0] = at;
    size_t n = 0;
    for (int k = 0; k < rank && n < room; k++)
        n += (size_t)snprintf(text + n, room - n, "%s%llu", k ? "," : "[",
                              (unsigned long long)index[k]);
    if (n < room) snprintf(text + n, room - n, "%s", rank ? "]" : "[]");
}

void ebru_check_finite(const struct ebru_call *call, int32_t op, const void *data, uint64_t bytes) {
    const rt_engine *e = call->runtime;
    const struct ebru_function_desc *f = &e->model->tables->functions[e->function];
    const struct ebru_op_desc *o = &f->ops[op];
    bool half = !strncmp(o->detail, "bf16", 4);
    uint64_t count = bytes / (half ? 2 : 4), i = first_bad(data, half, count);
    if (i == count) return;
    char place[200], step[40] = "";
    place_text(o->detail, i, place, sizeof place);
    size_t n = strlen(f->name);
    if (n > 5 && !strcmp(f->name + n - 5, ".step"))
        snprintf(step, sizeof step, ", step %d", e->step + 1);
    char name[RT_PRINTABLE_MAX], block[RT_PRINTABLE_MAX];
    fprintf(stderr, "error: function %s%s: op %d of %d, %s (kernel %s)%s%s: %s at %s of %s\n",
            rt_printable(f->name, name), step, op + 1, f->op_count, o->name, o->kernel,
            *o->block ? ", block " : "", rt_printable(o->block, block), kind_of(data, half, i),
            place, o->detail);
    base_output_remove_all();
    _exit(RT_ERR_INPUT);
}
