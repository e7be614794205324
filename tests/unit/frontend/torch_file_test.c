/* Files of torch.save: what is read of them, and what is refused; every cut and every changed byte
 * of one is an answer, never a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/torch/torch_file.h"
#include "tests/unit/support/captured_diag.h"
#include "tests/unit/support/temp_dir.h"

#define GOLDENS EBRU_TEST_DATA "/goldens/embeddings/"

static void names_and_texts(void **state) {
    (void)state;
    base_diag *d = base_diag_new(NULL);
    fe_st *st = fe_tensors_open(d, GOLDENS "a1111-3.pt"),
          *same = fe_tensors_open(d, GOLDENS "a1111-3.safetensors");
    assert_non_null(st);
    assert_int_equal(fe_st_count(st), 1);
    const fe_st_tensor *t = fe_st_find(st, "string_to_param.*"),
                       *u = fe_st_find(same, "emb_params");
    assert_non_null(t);
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->dims[0], 3);
    assert_int_equal(t->dims[1], 16);
    assert_int_equal(t->bytes, u->bytes);
    assert_memory_equal(t->data, u->data, u->bytes);
    assert_string_equal(fe_st_metadata(st, "name"), "BadHand");
    assert_string_equal(fe_st_metadata(st, "step"), "1500");
    assert_null(fe_st_metadata(st, "sd_checkpoint"));
    fe_st_close(st);
    fe_st_close(same);
    base_diag_free(d);
}

static void refuse(const char *file, const char *message) {
    capture c;
    char path[512];
    snprintf(path, sizeof path, GOLDENS "%s", file);
    capture_begin(&c, (base_diag_options){0});
    assert_null(fe_tensors_open(c.diag, path));
    if (!strstr(captured(&c), message)) fail_msg("expected <%s> in <%s>", message, captured(&c));
    capture_end(&c);
}

static void refused_files(void **state) {
    (void)state;
    refuse("call.pt", "call.pt: error: its pickle asks for 'posix.system', which would run code");
    refuse("transposed.pt", "tensor '<t>': error: unsupported: its elements do not lie one behind");
    refuse("short.pt", "tensor '<t>': error: its elements are more than 'data/0' has");
    refuse("big-endian.pt", "another order of bytes");
}

/* Reads data as a file; what it says is checked only for being said. */
static void try_file(const temp_dir *t, const void *data, size_t size) {
    capture c;
    capture_begin(&c, (base_diag_options){0});
    temp_write(t, "x.pt", data, size);
    fe_st *st = fe_torch_open(c.diag, temp_path(t, "x.pt"));
    assert_int_equal(st != NULL, base_diag_errors(c.diag) == 0);
    for (size_t i = 0; st && i < fe_st_count(st); i++) {
        const fe_st_tensor *x = fe_st_at(st, i);
        float value;
        if (x->count) fe_st_to_f32(x, &value, x->count - 1, 1);
    }
    fe_st_close(st);
    capture_end(&c);
}

static void damaged_files(void **state) {
    (void)state;
    static const char *const files[] = {"learned_embeds-3.bin", "a1111-3.pt"};
    temp_dir t;
    temp_dir_begin(&t);
    for (size_t k = 0; k < 2; k++) {
        char path[512];
        base_diag *d = base_diag_new(NULL);
        fe_map map;
        snprintf(path, sizeof path, GOLDENS "%s", files[k]);
        assert_true(fe_file_map(d, path, &map));
        uint8_t *copy = malloc(map.size);
        assert_non_null(copy);
        memcpy(copy, map.data, map.size);
        for (size_t i = 0; i < map.size; i += 31) try_file(&t, copy, i);
        for (size_t i = k; i < map.size; i += 13) {
            copy[i] = (uint8_t)(copy[i] ^ (i % 3 == 0 ? 0xff : i % 3 == 1 ? 1 : 0x80));
            try_file(&t, copy, map.size);
            copy[i] = map.data[i];
        }
        free(copy);
        fe_unmap(&map);
        base_diag_free(d);
    }
    temp_dir_end(&t);
}

/* ---- pickles by hand ---- */

static void read_pickle(const char *bytes, size_t size, const char *message) {
    pickle p;
    pickle_value *root;
    base_str why = {0};
    bool fine = pickle_read(&p, (const uint8_t *)bytes, size, &root, &why);
    if (message && (fine || !strstr(why.data, message)))
        fail_msg("expected <%s> in <%s>", message, fine ? "accepted" : why.data);
    if (!message && !fine) fail_msg("%s", why.data);
    base_str_free(&why);
    pickle_free(&p);
}
#define PICKLE(bytes, message) read_pickle(bytes, sizeof bytes - 1, message)

static void pickles(void **state) {
    (void)state;
    PICKLE("\x80\x02}q\0.", NULL);
    PICKLE("\x80\x02N.", NULL);
    PICKLE("\x80\x02\x8a\x01\xff.", NULL);
    PICKLE("\x80\x02]q\0h\0a.", NULL); /* a list that has itself */
    PICKLE("", "damaged");
    PICKLE("\x80\x02", "damaged");
    PICKLE("\x80\x07N.", "damaged");
    PICKLE("\x80\x02}", "damaged");
    PICKLE("\x80\x02.", "damaged");
    PICKLE("\x80\x02(N.", "damaged");  /* a mark that is left */
    PICKLE("\x80\x02N(0.", "damaged"); /* takes what is below the mark */
    PICKLE("\x80\x02h\5.", "damaged");
    PICKLE("\x80\x02Nr\xff\xff\xff\x7f.", "damaged");
    PICKLE("\x80\x02X\xff\xff\xff\xff.", "damaged");
    PICKLE("\x80\x02X\2\0\0\0a\xff.", "not UTF-8");
    PICKLE("\x80\x02N)R.", "damaged");
    PICKLE("\x80\x02NQ.", "damaged");
    PICKLE("\x80\x02"
           "cbuiltins\neval\n.",
           "asks for 'builtins.eval'");
    PICKLE("\x80\x04\x8c\x02os\x8c\x06system\x93.", "asks for 'os.system'");
    PICKLE("\x80\x02"
           "ccollections\nOrderedDict\nN\x81.",
           "opcode 0x81");
    PICKLE("\x80\x02"
           "I1\n.",
           "opcode 0x49");
    PICKLE("\x80\x02"
           "ctorch._utils\n_rebuild_tensor_v2\n)R.",
           "damaged");
    PICKLE("\x80\x02"
           "ctorch\nFloatStorage\n)R.",
           "damaged");
}

/* A few bytes that would copy a long tuple again and again. */
static void growing_pickles(void **state) {
    (void)state;
    enum { ITEMS = 1000, COPIES = 100000 };
    base_str s = {0};
    base_str_addn(&s, "\x80\x02(", 3);
    for (int i = 0; i < ITEMS; i++) base_str_add(&s, "N");
    base_str_addn(&s, "tq\0ctorch\nSize\nq\1", 17);
    for (int i = 0; i < COPIES; i++) base_str_addn(&s, "h\1h\0\x85R0", 7);
    base_str_add(&s, ".");
    read_pickle(s.data, s.len, "makes too much of its bytes");
    base_str_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_texts), cmocka_unit_test(refused_files),
        cmocka_unit_test(damaged_files),   cmocka_unit_test(pickles),
        cmocka_unit_test(growing_pickles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
