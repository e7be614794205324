/* ebru opt --list-properties: the table of properties as docs/properties.md shows it. */
#include "base/number.h"
#include "driver/commands/lists.h"
#include "runtime/abi/meta_keys.h"
#include "runtime/samplers/sampler_config.h"

#include <string.h>

static const char *type_name(ebru_meta_type type) {
    switch (type) {
    case EBRU_META_TYPE_INT: return "integer";
    case EBRU_META_TYPE_FLAG: return "0 or 1";
    case EBRU_META_TYPE_FLOAT: return "number";
    case EBRU_META_TYPE_STRING: return "string";
    case EBRU_META_TYPE_CHOICE: return "word";
    case EBRU_META_TYPE_NUMBERS: break;
    }
    return "numbers in a string";
}

typedef struct row {
    const char *name;
    ebru_meta_type type;
    const char *otherwise, *words; /* NULL: none */
    const char *writer, *doc;
    bool in_program;
    unsigned samplers; /* of a setting: who reads it (RT_OF); else 0 */
} row;

/* "ddim, lcm": the samplers that read a setting. */
static void add_samplers(unsigned samplers, base_str *s) {
    const char *comma = "";
    if (samplers == RT_OF_ALL) {
        base_str_add(s, "all");
        return;
    }
    if (samplers == RT_OF_DISCRETE) {
        base_str_add(s, "all but flow and flow_euler");
        return;
    }
    for (int i = 0; i < RT_SAMPLER_COUNT; i++) {
        if (!(samplers >> i & 1)) continue;
        base_str_addf(s, "%s%s", comma, rt_sampler_name((rt_sampler_id)i));
        comma = ", ";
    }
}

static void print_row(const row *r, base_str *out) {
    base_str s = {0};
    base_str_addf(&s, "`%s` (%s", r->name, type_name(r->type));
    if (r->otherwise) base_str_addf(&s, ", default %s", r->otherwise);
    if (r->writer) base_str_addf(&s, "; %s", r->writer);
    if (r->samplers) base_str_add(&s, "; ");
    if (r->samplers) add_samplers(r->samplers, &s);
    base_str_addf(&s, "%s): ", r->in_program ? "" : "; not in the program");
    if (r->words) {
        const char *w = r->words + (*r->words == '|');
        for (; *w; w++) base_str_addf(&s, *w == '|' ? ", " : "%c", *w);
        base_str_add(&s, ". ");
    }
    base_str_add(&s, r->doc);
    drv_list_entry(s.data, out);
    base_str_free(&s);
}

/* ---- rows ---- */

/* A default as it is written in the table, without the quotes; none where absence says enough. */
static const char *shown(base_arena *a, const char *written) {
    size_t n = strlen(written);
    if (!strcmp(written, "NULL") || !strcmp(written, "0")) return NULL;
    if (*written != '"') return written;
    return base_arena_strndup(a, written + 1, n - 2);
}

enum { COMPILER, PROGRAM };

#define META(ID, key, TYPE, otherwise, words, SCOPE, writer, doc)                                  \
    {key, EBRU_META_TYPE_##TYPE, #otherwise, words, writer, doc, SCOPE, 0},
#define SETTING(...)
#define TOKENIZER(...)
static const row general[] = {
#include "runtime/abi/meta_keys.def"
};

#define SETTING(ID, key, TYPE, least, most, words, CLASSES, place, doc)                            \
    {key, EBRU_META_TYPE_##TYPE, "NULL", words, NULL, doc, PROGRAM, CLASSES},
static const row settings[] = {
#include "runtime/abi/meta_keys.def"
};

#define TOKENIZER(ID, key, TYPE, otherwise, SCOPE, doc)                                            \
    {key, EBRU_META_TYPE_##TYPE, #otherwise, NULL, NULL, doc, SCOPE, 0},
static const row tokenizer[] = {
#include "runtime/abi/meta_keys.def"
};

static void print_rows(const row *rows, size_t count, base_str *out) {
    base_arena *a = base_arena_new();
    for (size_t i = 0; i < count; i++) {
        row r = rows[i];
        r.otherwise = shown(a, r.otherwise);
        print_row(&r, out);
    }
    base_arena_free(a);
}

static const char introduction[] =
    "# Model properties\n"
    "\n"
    "Printed by `ebru opt --list-properties` from the rows of `runtime/abi/meta_keys.def`.\n"
    "\n"
    "The properties of a compiled model: the `meta` lines of the IR, and the table\n"
    "`ebru_model.meta` of the program. The front ends and a few passes write them, as each entry\n"
    "says behind its kind; the program reads them. A key that does not apply is absent. A key "
    "that\n"
    "is not listed here, or a value of another kind, is refused where IR text is read and where a\n"
    "program starts.\n"
    "\n";

static const char about_settings[] =
    "\n## Settings of samplers\n\n"
    "Two properties each: `sampler.KEY` for the scheduler of the loop, `low_res.KEY` for the one\n"
    "that adds noise to the small picture of an upscaler. KEY and its values are those of\n"
    "diffusers' scheduler_config.json. Only what the model's file names is there; the rest are\n"
    "the defaults of the class. The samplers whose class in diffusers reads a key stand behind\n"
    "its kind. Others leave it out, as `from_config` does; the property is kept, so that\n"
    "`--sampling-method` can hand it to one that reads it.\n\n";

/* Keys of scheduler files that are no settings. */
static void print_unbuilt(base_str *out) {
    static const struct {
        const char *key, *harmless;
        unsigned samplers;
    } rows_unbuilt[] = {
#define UNBUILT(key, CLASSES, harmless) {key, harmless, CLASSES},
#include "runtime/abi/meta_keys.def"
    };
    for (size_t i = 0; i < sizeof rows_unbuilt / sizeof *rows_unbuilt; i++) {
        base_str s = {0};
        base_str_addf(&s, "`%s` (", rows_unbuilt[i].key);
        add_samplers(rows_unbuilt[i].samplers, &s);
        base_str_add(&s, "): ");
        if (strcmp(rows_unbuilt[i].harmless, "*") == 0) base_str_add(&s, "any value");
        for (const char *w = rows_unbuilt[i].harmless; *w && *w != '*'; w++)
            base_str_addf(&s, *w == '|' ? ", " : "%c", *w);
        base_str_add(&s, ".");
        drv_list_entry(s.data, out);
        base_str_free(&s);
    }
}

static const char about_unbuilt[] =
    "\n## Keys that are no settings\n\n"
    "Keys of scheduler_config.json that these samplers' classes have in diffusers, and the values\n"
    "that change nothing. `null` is always one of them. Other values are refused. Keys that no\n"
    "class has are warned of.\n\n";

static const char about_tokenizers[] = "\n## Tokenizers\n\n"
                                       "Two properties each: `tokenizer.KEY` and "
                                       "`tokenizer_2.KEY`, for the first and the second text\n"
                                       "encoder.\n\n";

#define COUNT(a) (sizeof(a) / sizeof *(a))

void drv_list_properties(base_str *out) {
    base_str_add(out, introduction);
    print_rows(general, COUNT(general), out);
    base_str_add(out, about_settings);
    print_rows(settings, COUNT(settings), out);
    base_str_add(out, about_unbuilt);
    print_unbuilt(out);
    base_str_add(out, about_tokenizers);
    print_rows(tokenizer, COUNT(tokenizer), out);
}
