/* Inside of a JSON document, shared by its builder (json.c) and its accessors (json_get.c). */
#ifndef EBRU_BASE_JSON_JSON_DOC_H
#define EBRU_BASE_JSON_JSON_DOC_H

#include "base/json/json.h"

/* A value. Nodes stand in document order; a container is followed by its subtree. Byte ranges are
 * those of the text that was read: the file, or a part of it. Strings and keys are decoded in place in the document's own copy of the text,
 * where a NUL ends them (decoding never lengthens, and the closing quote makes room). */
typedef struct json_node {
    uint32_t begin, end; /* the token, or the container from bracket to bracket */
    uint32_t after;      /* first node behind the subtree */
    uint32_t parent;     /* the root is its own parent */
    uint32_t count;      /* children of a container; decoded length of a string */
    uint32_t order;      /* container: its `count` children in doc->order, members sorted by key */
    uint32_t key, key_end; /* the key's token in the file, 0,0 for none */
    uint32_t key_length;   /* decoded */
    uint8_t kind;          /* base_json_kind */
    bool value;            /* of a BASE_JSON_BOOL */
    bool known;            /* somebody asked for this member */
} json_node;

struct base_json {
    base_diag *diag;
    const base_source *source; /* the file, for quoting */
    const char *original;      /* the unchanged text in it, for numbers */
    size_t length;
    uint32_t first_line; /* of the text in the file */
    char *text;          /* the copy with decoded strings */
    base_arena *arena;   /* JSON paths */
    BASE_VEC(json_node) nodes;
    BASE_VEC(uint32_t) order;
    /* Members that were asked for in vain: what a misspelt key may have meant. */
    BASE_VEC(struct json_miss {
        uint32_t object;
        const char *key;
    })
    missed;
    BASE_VEC(uint32_t) lines; /* start of each line; filled by the first base_json_place */
};

static inline const char *json_key(const base_json *doc, const json_node *n) {
    return doc->text + n->key + 1;
}

/* Line, column and length of a byte range of the text, without a JSON path. */
base_loc base_json_place(base_json *doc, size_t begin, size_t end);

#endif
