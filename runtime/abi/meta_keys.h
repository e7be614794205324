/* The properties a model may have, from the rows of meta_keys.def: a constant for each key with its
 * type and default, and the table that says whether a key is one. Read by the compiler, which
 * writes properties, and by the programs, which take them. */
#ifndef EBRU_RUNTIME_ABI_META_KEYS_H
#define EBRU_RUNTIME_ABI_META_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a request is made of (pipeline.kind), and what the denoiser is shown beside the latent
 * (pipeline.condition). The runtime's and the front end's enumerations are made of these lists. */
#define EBRU_PIPELINE_KINDS(X)                                                                     \
    X(NONE, "none")                                                                                \
    X(TEXT, "text_to_image")                                                                       \
    X(CLASS, "class_to_image")                                                                     \
    X(UNCONDITIONAL, "unconditional")                                                              \
    X(UPSCALE, "upscale")
#define EBRU_CONDITIONS(X)                                                                         \
    X(NONE, "none")                                                                                \
    X(INPAINT, "inpaint")                                                                          \
    X(DEPTH, "depth")                                                                              \
    X(LOW_RESOLUTION, "low_resolution")
#define EBRU_META_WORD(ID, word) "|" word

typedef enum ebru_pipeline_kind {
#define X(ID, word) EBRU_PIPELINE_##ID,
    EBRU_PIPELINE_KINDS(X)
#undef X
        EBRU_PIPELINE_KIND_COUNT
} ebru_pipeline_kind;

typedef enum ebru_condition {
#define X(ID, word) EBRU_CONDITION_##ID,
    EBRU_CONDITIONS(X)
#undef X
        EBRU_CONDITION_COUNT
} ebru_condition;

/* Their words, in that order. */
extern const char *const ebru_pipeline_kind_name[EBRU_PIPELINE_KIND_COUNT];
extern const char *const ebru_condition_name[EBRU_CONDITION_COUNT];

/* ---- a constant a key: EBRU_META_IMAGE_WIDTH = {"image.width", 0} ---- */

typedef struct ebru_int_key {
    const char *name;
    int64_t otherwise; /* what an absent key stands for */
} ebru_int_key;
typedef struct ebru_float_key {
    const char *name;
    double otherwise;
} ebru_float_key;
typedef struct ebru_string_key {
    const char *name, *otherwise;
} ebru_string_key;

#define EBRU_KEY_INT     ebru_int_key
#define EBRU_KEY_FLAG    ebru_int_key
#define EBRU_KEY_FLOAT   ebru_float_key
#define EBRU_KEY_STRING  ebru_string_key
#define EBRU_KEY_CHOICE  ebru_string_key
#define EBRU_KEY_NUMBERS ebru_string_key

#define META(ID, key, TYPE, otherwise, words, SCOPE, writer, doc)                                  \
    static const EBRU_KEY_##TYPE EBRU_META_##ID = {key, otherwise};
#include "runtime/abi/meta_keys.def"

/* ---- the table ---- */

typedef enum ebru_meta_type {
    EBRU_META_TYPE_INT,
    EBRU_META_TYPE_FLAG,  /* 0 or 1 */
    EBRU_META_TYPE_FLOAT, /* an integer passes, too */
    EBRU_META_TYPE_STRING,
    EBRU_META_TYPE_CHOICE, /* one of `words` */
    EBRU_META_TYPE_NUMBERS /* a string of numbers, separated by spaces */
} ebru_meta_type;

typedef struct ebru_meta_key {
    const char *name;
    ebru_meta_type type;
    bool in_program;   /* else it concerns the compilation only */
    const char *words; /* of a CHOICE, separated by '|', maybe with one in front; else NULL */
} ebru_meta_key;

/* A value as the IR and the program's table have it. */
typedef enum ebru_meta_kind {
    EBRU_META_KIND_INT,
    EBRU_META_KIND_FLOAT,
    EBRU_META_KIND_STRING
} ebru_meta_kind;

/* Rows of the table: 0 <= index < ebru_meta_count(). */
size_t ebru_meta_count(void);
const ebru_meta_key *ebru_meta_at(size_t index);

/* The row of a key, "class.3" to the row "class.N"; NULL when there is none. */
const ebru_meta_key *ebru_meta_find(const char *name);

/* The key of a row that ends in ".N" with a number in its place. */
void ebru_meta_numbered(ebru_string_key row, int64_t number, char out[64]);

/* NULL when the value may stand for the key, else what is expected ("an integer", "0 or 1", "one of
 * none, inpaint"), written to `out` where it is not constant. `number`: of an integer; `text`: of a
 * string. */
enum { EBRU_META_EXPECTS = 160 };
const char *ebru_meta_expects(const ebru_meta_key *key, ebru_meta_kind kind, int64_t number,
                              const char *text, char out[EBRU_META_EXPECTS]);

/* Index of `text` among words separated by '|' (one in front is passed over), -1 if it is not
 * there. */
int ebru_meta_choice(const char *words, const char *text);

#endif
