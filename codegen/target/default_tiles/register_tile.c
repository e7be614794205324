/* The register tiles of all CPU levels, as runtime/abi/tiles.def lists them. */
#include "runtime/abi/tiles.def"

#include "codegen/target/default_tiles/default_tiles.h"

/* The most rows at the widest tile that is not wider than `blocks`. */
#define NARROWER(a, nb, mr)                                                                        \
    if ((nb) <= blocks) most = (mr);

int32_t cg_most_rows(int32_t isa, int32_t blocks) {
    int32_t most = 1;
    switch (base_isa_plain(isa)) {
#define LEVEL(a, ID, ...)                                                                          \
    case EBRU_ISA_##ID: EBRU_TILES_##ID(NARROWER, 0) break;
        EBRU_LEVELS(LEVEL, EBRU_NO_LEVEL, 0)
#undef LEVEL
    default: break;
    }
    return most;
}

int32_t cg_most_rows_bf16(int32_t isa, int32_t blocks) {
    int32_t most = 1;
    switch (isa) {
#define LEVEL(a, ID, ...)                                                                          \
    case EBRU_ISA_##ID: EBRU_TILES_BF16_##ID(NARROWER, 0) break;
        EBRU_LEVELS(LEVEL, LEVEL, 0)
#undef LEVEL
    default: break;
    }
    return most * ebru_bf16_segment_length(ebru_bf16_form(isa));
}

int32_t cg_most_rows_i8(int32_t isa, int32_t blocks) {
    int32_t most = 1;
    switch (isa) {
#define LEVEL(a, ID, ...)                                                                          \
    case EBRU_ISA_##ID: EBRU_TILES_I8_##ID(NARROWER, 0) break;
        EBRU_LEVELS(LEVEL, LEVEL, 0)
#undef LEVEL
    default: break;
    }
    return most * ebru_i8_segment_length(ebru_i8_form(isa));
}

int32_t cg_widest_tile(int32_t isa) {
    int32_t widest = 1;
    switch (base_isa_plain(isa)) {
#define WIDER(a, nb, mr) widest = (nb);
#define LEVEL(a, ID, ...)                                                                          \
    case EBRU_ISA_##ID: EBRU_TILES_##ID(WIDER, 0) break;
        EBRU_LEVELS(LEVEL, EBRU_NO_LEVEL, 0)
#undef LEVEL
    default: break;
    }
    return widest;
}
