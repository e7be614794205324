/* The arithmetic of conditioning against torch 1.13 and numpy. The tables come from a few lines
 * each, beside them. */
#include "runtime/pipeline/condition.h"
#include "runtime/samplers/samplers.h"
#include "runtime/text/prompt_tokens.h"
#include "runtime/text/tokenizer_build.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void close_to(const float *got, const float *want, size_t n, double tolerance) {
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= tolerance * fmax(1, fabs(want[i]))))
            fail_msg("element %zu is %.9g, expected %.9g", i, got[i], want[i]);
}

/* mean, logvar = m.chunk(2); mean + torch.exp(0.5 * logvar.clamp(-30, 20)) * n */
static void posterior(void **state) {
    (void)state;
    static const float m[] = {0.5f, -1.25f, 2.0f, 0.1f, -3.0f, 25.0f, -40.0f, 1.5f},
                       n[] = {1, -0.5f, 2, -1.5f};
    static const float want[] = {0.723130167f, -11014.4824f, 2.00000072f, -3.07550025f};
    float out[4];
    rt_posterior_sample(m, n, 4, out);
    close_to(out, want, 4, 1e-6);
}

/* (1 - mask) * known + mask * x */
static void blending(void **state) {
    (void)state;
    static const float known[] = {1, 2, 3, 4, 5, 6}, mask[] = {0, 1, 0.25f};
    static const float want[] = {1, -2, 1.5f, 4, 0.25f, 4.53125f};
    float x[] = {-1, -2, -3, 0.5f, 0.25f, 0.125f};
    rt_mask_blend(mask, 3, 2, known, x);
    close_to(x, want, 6, 0);
}

/* 2.0 * (d - d.min()) / (d.max() - d.min()) - 1.0 */
static void depth(void **state) {
    (void)state;
    float d[] = {0.2f, 0.9f, 0.4f, 0.55f, 0.3f}, flat[] = {3, 3};
    static const float want[] = {-1, 1, -0.428571403f, 1.1920929e-07f, -0.714285672f};
    assert_true(rt_depth_normalise(d, 5));
    close_to(d, want, 5, 1e-7);
    assert_false(rt_depth_normalise(flat, 2));
    assert_true(flat[0] == 3 && flat[1] == 3);
}

/* diffusers' LatentConsistencyModelPipeline.get_guidance_scale_embedding(g - 1, width) for g 8.5
 * and 1.3 */
static void guidance_embedding(void **state) {
    (void)state;
    static const float eight[] = {-0.851235926f, 0.562671125f,  -0.435233027f, 0.681638718f,
                                  -0.524783254f, -0.826680839f, -0.900317848f, 0.731688917f};
    static const float nine[] = {-0.999755859f, 0.977527738f,  0.602261066f,
                                 0.0299954973f, -0.022096619f, 0.210806966f,
                                 0.798299193f,  0.999550045f,  0};
    float out[9];
    rt_guidance_embedding(8.5, 8, out);
    close_to(out, eight, 8, 1e-4); /* a unit in the last place of exp is 5e-5 in an angle of 7500 */
    rt_guidance_embedding(1.3, 9, out);
    close_to(out, nine, 9, 1e-5);
}

/* [height, width, 0, 0, height, width]; with an aesthetic score instead of the last two */
static void time_ids(void **state) {
    (void)state;
    static const float base[] = {768, 512, 0, 0, 768, 512}, refiner[] = {768, 512, 0, 0, 6};
    float out[6];
    rt_time_ids(6, 768, 512, true, out);
    close_to(out, base, 6, 0);
    rt_time_ids(5, 768, 512, false, out);
    close_to(out, refiner, 5, 0);
    rt_time_ids(5, 768, 512, true, out);
    assert_true(out[4] == 2.5f);
}

/* g = u + 7.5 * (c - u); r = g * (c.std() / g.std()); 0.7 * r + 0.3 * g */
static void guidance(void **state) {
    (void)state;
    static const float u[] = {1.54099607f,  -0.293428898f, -2.17878938f,
                              0.568431258f, -1.08452237f,  -1.39859545f};
    static const float c[] = {0.403346837f,  0.838026345f,  -0.719257593f,
                              -0.403343529f, -0.596635342f, 0.182036489f};
    static const float guided[] = {-6.99137354f, 8.19248581f, 8.76769924f,
                                   -6.71987963f, 2.57463026f, 10.4561443f};
    static const float rescaled[] = {-2.48263001f, 2.90914392f,  3.11340165f,
                                     -2.38622284f, 0.914248765f, 3.71296692f};
    float out[6];
    rt_guide(u, c, 6, 7.5f, 0, out);
    close_to(out, guided, 6, 1e-6);
    rt_guide(u, c, 6, 7.5f, 0.7f, out);
    close_to(out, rescaled, 6, 1e-6);
}

/* z = rows * w[:, None]; z * (rows.mean() / z.mean()) */
static void token_weights(void **state) {
    (void)state;
    float rows[] = {-0.856674612f, 1.10060418f,   -1.07118738f,
                    0.122701243f,  -0.566317499f, 0.373114645f},
          same[6];
    static const float w[] = {1, 1.5f, 0.5f}, ones[] = {1, 1, 1}, none[] = {0, 0, 0};
    static const float want[] = {-0.603016376f, 0.774719238f,  -1.131019f,
                                 0.129554778f,  -0.199316472f, 0.131318375f};
    memcpy(same, rows, sizeof same);
    rt_weigh_tokens(rows, w, 3, 2);
    close_to(rows, want, 6, 1e-5);
    memcpy(rows, same, sizeof same);
    rt_weigh_tokens(rows, ones, 3, 2);
    assert_memory_equal(rows, same, sizeof same);
    rt_weigh_tokens(rows, none, 3, 2);
    for (int i = 0; i < 6; i++) assert_true(rows[i] == 0);
}

/* (2.0 * (p / 255.0) - 1.0).T, and p / 255.0 >= 0.5 */
static void pictures(void **state) {
    (void)state;
    static const uint8_t p[] = {0, 51, 127, 128, 200, 255};
    static const float want[] = {-1, 0.003921628f, -0.600000024f, 0.568627477f, -0.00392156839f, 1};
    static const float mask[] = {0, 0, 0, 1, 1, 1};
    float out[6];
    rt_picture_to_float(p, 2, 3, out);
    close_to(out, want, 6, 0);
    rt_mask_to_float(p, 6, out);
    close_to(out, mask, 6, 0);
}

/* The upscaler's noise: a DDPM schedule of every timestep is asked at level 20.
 * bar = torch.cumprod(1 - torch.linspace(1e-4 ** .5, .02 ** .5, 1000) ** 2, 0)[20]; bar ** .5 * x + (1 - bar)
 * ** .5 * n */
static void low_resolution_noise(void **state) {
    (void)state;
    static const float x[] = {0.5f, -0.25f}, n[] = {1, -2}, want[] = {0.551274061f, -0.353560835f};
    rt_sampler_config c = rt_sampler_defaults(RT_SAMPLER_DDPM);
    rt_error err;
    rt_sampler *s;
    float out[2];
    assert_int_equal(rt_sampler_config_set(&c, "beta_schedule", "scaled_linear", 0, &err), RT_OK);
    assert_int_equal(rt_sampler_new(&s, &c, 1000, 2, &err), RT_OK);
    rt_sampler_add_noise(s, 1000 - 1 - 20, x, n, out);
    rt_sampler_free(s);
    close_to(out, want, 2, 1e-6);
}

/* ---- prompts ---- */

enum { BOS = 3, EOS = 4, PAD = 5 };

static rt_tokenizer tokenizer(void **blob, uint32_t max_length) {
    static const rt_vocab_entry vocab[] = {{"a</w>", 5, 0}, {"b</w>", 5, 1},  {"c</w>", 5, 2},
                                           {"<s>", 3, BOS}, {"</s>", 4, EOS}, {"!", 1, PAD}};
    rt_tokenizer_options o = {.bos = BOS,
                              .eos = EOS,
                              .pad = PAD,
                              .unk = EOS,
                              .max_length = max_length,
                              .lower_case = true};
    rt_tokenizer t = {0};
    size_t size;
    rt_error err;
    if (rt_tokenizer_build_blob(vocab, COUNT(vocab), "#version\n", 9, 0, &o, blob, &size, NULL,
                                &err) != RT_OK ||
        rt_tokenizer_open(&t, *blob, size, &err) != RT_OK)
        fail_msg("%s", err.message);
    return t;
}

/* Ids (and weights) of a prompt in `chunks` chunks; the tokens that did not fit. */
static void framed(const char *text, bool weighted, size_t chunks, const int32_t *ids,
                   const float *weights, size_t cut) {
    void *blob;
    rt_tokenizer t = tokenizer(&blob, 5);
    rt_token_list list = {0};
    rt_error err;
    int32_t got[20];
    float got_weights[20];
    if (rt_prompt_tokens(&t, text, strlen(text), weighted, &list, &err))
        fail_msg("%s", err.message);
    assert_int_equal(rt_prompt_frame(&t, &list, chunks, got, got_weights), cut);
    assert_memory_equal(got, ids, chunks * 5 * sizeof *ids);
    close_to(got_weights, weights, chunks * 5, 1e-7);
    rt_token_list_free(&list);
    free(blob);
}

static void chunks(void **state) {
    (void)state;
    static const float ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const int32_t empty[] = {BOS, EOS, PAD, PAD, PAD, BOS, EOS, PAD, PAD, PAD};
    static const int32_t two[] = {BOS, 0, 1, EOS, PAD, BOS, EOS, PAD, PAD, PAD};
    static const int32_t four[] = {BOS, 0, 1, 2, EOS, BOS, 0, EOS, PAD, PAD};
    static const int32_t full[] = {BOS, 0, 1, 2, EOS, BOS, 0, 1, 2, EOS};
    framed("", false, 2, empty, ones, 0);
    framed("a b", false, 2, two, ones, 0);
    framed("a b c a", false, 2, four, ones, 0);
    framed("a b c a", false, 1, four, ones, 1);
    framed("a b c a b c", false, 2, full, ones, 0);
    framed("a b c a b c b b", false, 2, full, ones, 2);
}

static void weights_and_breaks(void **state) {
    (void)state;
    static const int32_t plain[] = {BOS, 0, 1, 2, EOS};
    static const float weights[] = {1, 1, 1.5f, 1 / 1.1f, 1};
    static const int32_t broken[] = {BOS, 0, EOS, EOS, EOS, BOS, 1, EOS, PAD, PAD};
    static const float one_heavy[] = {1, 1, 1, 1, 1, 1, 1.1f, 1, 1, 1};
    framed("a (b:1.5) [c]", true, 1, plain, weights, 0);
    framed("a BREAK (b)", true, 2, broken, one_heavy, 0);
    framed("a BREAK (b)", true, 1, broken, one_heavy, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posterior),
        cmocka_unit_test(blending),
        cmocka_unit_test(depth),
        cmocka_unit_test(guidance_embedding),
        cmocka_unit_test(time_ids),
        cmocka_unit_test(guidance),
        cmocka_unit_test(token_weights),
        cmocka_unit_test(pictures),
        cmocka_unit_test(low_resolution_noise),
        cmocka_unit_test(chunks),
        cmocka_unit_test(weights_and_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
