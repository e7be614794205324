/* AMX: tile configuration and tiles of a thread, and the instructions on them (Intel SDM volume 1,
 * chapter 18). */
#include "tests/emulate/perform.h"

#include <string.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

struct config {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
};

/* Space of the program itself, also when this is loaded as a library: nothing is allocated in the
 * handler. */
static _Thread_local __attribute__((tls_model("initial-exec"))) struct {
    struct config config;
    uint8_t tile[TILES][ROWS][ROW_BYTES];
} state;

static bool zeros(const void *p, size_t bytes) {
    const uint8_t *b = p;
    for (size_t i = 0; i < bytes; i++)
        if (b[i]) return false;
    return true;
}

static const char *load_config(const void *from) {
    struct config c;
    memcpy(&c, from, sizeof c);
    memset(state.tile, 0, sizeof state.tile);
    if (c.palette == 0) { /* the initial state */
        memset(&state.config, 0, sizeof state.config);
        return NULL;
    }
    if (c.palette != 1) return "configuration with an unknown palette";
    if (!zeros(c.reserved, sizeof c.reserved) || !zeros(c.colsb + TILES, TILES * sizeof *c.colsb) ||
        !zeros(c.rows + TILES, TILES))
        return "configuration with reserved bytes that are not zero";
    for (int t = 0; t < TILES; t++) {
        if (c.rows[t] > ROWS || c.colsb[t] > ROW_BYTES)
            return "configuration with a tile that is too large";
        if (!c.rows[t] != !c.colsb[t]) return "configuration with a tile of rows or columns only";
    }
    state.config = c;
    return NULL;
}

static const char *check(unsigned tile) {
    if (!state.config.palette) return "tile instruction without a configuration";
    if (tile >= TILES) return "tile number above 7";
    return state.config.rows[tile] ? NULL : "tile that is not configured";
}

/* base has no index in it: rows lie `stride` apart. */
static void load_tile(unsigned t, const char *base, int64_t stride) {
    const struct config *c = &state.config;
    for (unsigned r = 0; r < ROWS; r++) {
        if (r < c->start_row) continue;
        memset(state.tile[t][r], 0, ROW_BYTES);
        if (r < c->rows[t]) memcpy(state.tile[t][r], base + r * stride, c->colsb[t]);
    }
    state.config.start_row = 0;
}

static void store_tile(unsigned t, char *base, int64_t stride) {
    const struct config *c = &state.config;
    for (unsigned r = c->start_row; r < c->rows[t]; r++)
        memcpy(base + r * stride, state.tile[t][r], c->colsb[t]);
    state.config.start_row = 0;
}

/* c += a * b: c M rows of N columns, a M rows of K pairs of bf16 or fours of bytes, b K rows of N of
 * them. */
static const char *dot(em_op op, unsigned tc, unsigned ta, unsigned tb) {
    const struct config *g = &state.config;
    const char *fault = check(tc);
    if (!fault) fault = check(ta);
    if (!fault) fault = check(tb);
    if (fault) return fault;
    if (tc == ta || tc == tb || ta == tb) return "one tile twice in a product";
    if (g->start_row) return "product after a load that was interrupted";
    if (g->colsb[tc] % 4 || g->colsb[ta] % 4 || g->colsb[tb] % 4) return "rows of no whole words";
    if (g->rows[tc] != g->rows[ta] || g->colsb[tc] != g->colsb[tb] ||
        g->colsb[ta] / 4 != g->rows[tb])
        return "shapes that do not fit in a product";
    const unsigned rows = g->rows[tc], depth = g->colsb[ta] / 4u;
    uint32_t a[ROWS][16], b[ROWS][16], c[ROWS][16];
    memcpy(c, state.tile[tc], sizeof c);
    memcpy(a, state.tile[ta], sizeof a);
    memcpy(b, state.tile[tb], sizeof b);
    if (op == EM_TDPBUSD) {
        for (unsigned m = 0; m < rows; m++)
            for (unsigned k = 0; k < depth; k++)
                for (unsigned n = 0; n < 16; n++) c[m][n] = em_dot_bytes(c[m][n], a[m][k], b[k][n]);
    } else {
        float f32[ROWS][16];
        memcpy(f32, c, sizeof f32);
        em_dot_tile(&(struct em_dot){f32[0], a[0], b[0], rows, depth});
        memcpy(c, f32, sizeof c);
    }
    memset(state.tile[tc], 0, sizeof state.tile[tc]);
    for (unsigned m = 0; m < rows; m++) memcpy(state.tile[tc][m], c[m], g->colsb[tc]);
    return NULL;
}

const char *em_perform_tile(const em_frame *f, const em_inst *i) {
    const char *fault;
    char *base = i->memory ? em_base_address(f, i) : NULL;
    int64_t index = i->memory ? em_index(f, i) : 0;
    switch (i->op) {
    case EM_LDTILECFG: return load_config(base + index);
    case EM_STTILECFG: memcpy(base + index, &state.config, sizeof state.config); return NULL;
    case EM_TILERELEASE: memset(&state, 0, sizeof state); return NULL;
    case EM_TILEZERO:
        if ((fault = check(i->reg))) return fault;
        memset(state.tile[i->reg], 0, sizeof state.tile[i->reg]);
        return NULL;
    case EM_TILELOADD:
        if ((fault = check(i->reg))) return fault;
        load_tile(i->reg, base, index);
        return NULL;
    case EM_TILESTORED:
        if ((fault = check(i->reg))) return fault;
        store_tile(i->reg, base, index);
        return NULL;
    default: return dot(i->op, i->reg, i->rm, i->vvvv);
    }
}
