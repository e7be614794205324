/* Fuzz entry: any bytes as a prompt, plain and in the notation of weights, through a tokenizer that
 * knows every byte. The segments hold what the prompt holds, all ids are the tokenizer's, weights
 * are finite; what is refused has a printable reason. */
#include "tests/fuzz/fuzz.h"

#include "runtime/text/prompt_tokens.h"
#include "runtime/text/prompt_weights.h"
#include "runtime/text/tokenizer_build.h"
#include "runtime/text/unicode.h"

#include <math.h>

enum { LENGTH = 77, CHUNKS = 2 };

static char texts[520][16];
static rt_vocab_entry vocabulary[520];
static size_t words;

static void add_word(const char *text, size_t length, const char *end) {
    char *to = texts[words];
    memcpy(to, text, length);
    strcpy(to + length, end);
    vocabulary[words] = (rt_vocab_entry){to, strlen(to), (uint32_t)words};
    words++;
}

/* CLIP's alphabet of bytes: printable ones as they are, the others from U+0100 on. */
static void add_bytes(const char *end) {
    uint32_t next = 0x100;
    for (uint32_t b = 0; b < 256; b++) {
        char text[8];
        const bool own = (b > 0x20 && b < 0x7f) || (b >= 0xa1 && b != 0xad);
        add_word(text, rt_utf8_put(own ? b : next++, text), end);
    }
}

static const rt_tokenizer *tokenizer(void) {
    static const char merges[] = "#version: 0.2\na t</w>\nc at</w>\n";
    static rt_tokenizer t;
    static void *blob;
    size_t size;
    rt_error err = {""};
    if (blob) return &t;
    add_bytes("");
    add_bytes("</w>");
    add_word("at", 2, "</w>");
    add_word("cat", 3, "</w>");
    add_word("<|startoftext|>", 15, "");
    texts[words - 1][15] = '\0';
    add_word("<|eot|>", 7, "");
    const uint32_t bos = (uint32_t)words - 2, eos = bos + 1;
    const rt_tokenizer_options o = {
        .bos = bos, .eos = eos, .pad = eos, .unk = eos, .max_length = LENGTH, .lower_case = true};
    PROMISE(rt_tokenizer_build_blob(vocabulary, words, merges, sizeof merges - 1, 0, &o, &blob,
                                    &size, NULL, &err) == RT_OK);
    PROMISE(rt_tokenizer_open(&t, blob, size, &err) == RT_OK);
    return &t;
}

static void refused(const rt_error *err) {
    PROMISE(err->message[0]);
    for (const char *c = err->message; *c; c++) PROMISE((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void segments(const char *text, size_t length) {
    rt_prompt p;
    rt_error err = {""};
    if (rt_prompt_parse(text, length, &p, &err)) {
        refused(&err);
        return;
    }
    size_t total = 0;
    PROMISE(p.count >= 1);
    for (size_t i = 0; i < p.count; i++) {
        const rt_prompt_segment *s = &p.segments[i];
        PROMISE(isfinite(s->weight) && fabsf(s->weight) <= (float)RT_PROMPT_MAX_WEIGHT);
        PROMISE(s->length > 0 || s->is_break || p.count == 1);
        PROMISE(!s->is_break || (s->length == 0 && s->weight == 1));
        PROMISE(s->text[s->length] == '\0');
        total += s->length;
    }
    PROMISE(total <= length);
    rt_prompt_free(&p);
}

static void tokens(const char *text, size_t length, bool weighted) {
    const rt_tokenizer *t = tokenizer();
    rt_token_list list = {0};
    rt_error err = {""};
    int32_t ids[CHUNKS * LENGTH];
    float weights[CHUNKS * LENGTH];
    if (rt_prompt_tokens(t, text, length, weighted, &list, &err)) {
        refused(&err);
    } else {
        for (size_t i = 0; i < list.count; i++)
            PROMISE(list.ids[i] < t->id_count && isfinite(list.weights[i]) &&
                    (weighted || list.weights[i] == 1));
        const size_t cut = rt_prompt_frame(t, &list, CHUNKS, ids, weights);
        const size_t room = (size_t)CHUNKS * (LENGTH - 2);
        PROMISE(cut == (list.count > room ? list.count - room : 0));
        for (int i = 0; i < CHUNKS * LENGTH; i++) PROMISE((uint32_t)ids[i] < t->id_count);
        PROMISE((uint32_t)ids[0] == t->bos && (uint32_t)ids[LENGTH] == t->bos);
    }
    rt_token_list_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    segments(text, size);
    tokens(text, size, false);
    tokens(text, size, true);
    return 0;
}
