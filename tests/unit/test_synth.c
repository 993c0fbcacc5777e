// links: compress
/* Synthetic models: the distribution, independence of threads, the file and its vocabulary. */
#include "base/io.h"
#include "base/mem.h"
#include "compress/synth.h"
#include "file/file.h"
#include "model/arch.h"
#include "model/rope.h"
#include "model/slots.h"
#include "text/tokenizer.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../folder.h"

static hone_status synth(hone_synth_options o, int threads, const char *path)
{
    hone_pool *pool;
    hone_synth_result r;
    hone_status s = hone_pool_open(threads, NULL, &pool);
    if (s != HONE_OK)
        return s;
    s = hone_synth_write(&o, path, pool, NULL, NULL, &r);
    hone_pool_close(pool);
    return s;
}

static hone_synth_options tiny(hone_dtype type, uint64_t seed)
{
    return (hone_synth_options){.shape = hone_synth_shape_find("tiny"), .type = type, .seed = seed};
}

static int entries(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void weights_follow_the_normal_distribution(void **state)
{
    (void)state;
    enum { N = 1 << 18 };
    static float x[N];
    hone_synth_normal(3, "some.tensor", 0, N, 2.0f, x);
    static const double at[] = {-6, -4, -2, -1, 0, 0.5, 2, 4, 6};
    double sum = 0, square = 0;
    for (int i = 0; i < N; i++) {
        sum += x[i];
        square += (double)x[i] * x[i];
    }
    /* Five standard errors of each statistic. */
    assert_true(fabs(sum / N) < 5 * 2 / sqrt(N));
    assert_true(fabs(square / N - 4) < 5 * 4 * sqrt(2.0 / N));
    for (size_t k = 0; k < sizeof at / sizeof *at; k++) {
        double p = 0.5 * erfc(-at[k] / 2 / sqrt(2)), below = 0;
        for (int i = 0; i < N; i++)
            below += x[i] < at[k];
        assert_true(fabs(below / N - p) < 5 * sqrt(p * (1 - p) / N) + 2e-5);
    }
}

static void a_number_depends_on_seed_name_and_index_alone(void **state)
{
    (void)state;
    float whole[64], part[16], other[64];
    hone_synth_normal(7, "a", 0, 64, 1, whole);
    hone_synth_normal(7, "a", 40, 16, 1, part);
    assert_memory_equal(part, whole + 40, sizeof part);
    hone_synth_normal(7, "b", 0, 64, 1, other);
    assert_memory_not_equal(other, whole, sizeof whole);
    hone_synth_normal(8, "a", 0, 64, 1, other);
    assert_memory_not_equal(other, whole, sizeof whole);
}

static void the_file_does_not_depend_on_the_number_of_threads(void **state)
{
    (void)state;
    char *a, *b, *c, path[256];
    size_t na, nb, nc;
    snprintf(path, sizeof path, "%s", in_folder("one.gguf"));
    assert_int_equal(synth(tiny(HONE_DTYPE_Q4_1, 5), 1, path), HONE_OK);
    assert_int_equal(hone_read_file(path, 1 << 24, &a, &na), HONE_OK);
    assert_int_equal(synth(tiny(HONE_DTYPE_Q4_1, 5), 3, path), HONE_OK);
    assert_int_equal(hone_read_file(path, 1 << 24, &b, &nb), HONE_OK);
    assert_int_equal(synth(tiny(HONE_DTYPE_Q4_1, 6), 3, path), HONE_OK);
    assert_int_equal(hone_read_file(path, 1 << 24, &c, &nc), HONE_OK);
    assert_int_equal(na, nb);
    assert_memory_equal(a, b, na);
    assert_int_equal(na, nc);
    assert_memory_not_equal(a, c, na);
    hone_free(a);
    hone_free(b);
    hone_free(c);
    unlink(path);
}

static void the_file_is_a_llama_of_the_shape(void **state)
{
    (void)state;
    const hone_arch *arch;
    hone_hparams h;
    hone_file *f;
    assert_int_equal(synth(tiny(HONE_DTYPE_BF16, 1), 2, in_folder("tiny.gguf")), HONE_OK);
    assert_int_equal(hone_file_open(in_folder("tiny.gguf"), &f), HONE_OK);
    assert_int_equal(hone_arch_read(f, &arch, &h), HONE_OK);
    assert_string_equal(arch->name, "llama");
    assert_int_equal(h.layers, 4);
    assert_int_equal(h.hidden, 128);
    assert_int_equal(h.kv_heads, 2);
    assert_int_equal(h.head_dim, 32);
    assert_int_equal(h.ffn, 384);
    assert_int_equal(h.vocab, 1024);
    assert_true(h.tied);
    hone_rope_config c = {.scaling = HONE_ROPE_LLAMA3,
                          .dim = 32,
                          .theta = 500000,
                          .factor = 8,
                          .low_freq_factor = 1,
                          .high_freq_factor = 4,
                          .original_context = 512};
    hone_rope want;
    hone_rope_init(&c, &want);
    assert_memory_equal(h.ropes[0][0].inv_freq, want.inv_freq, 16 * sizeof(float));
    const hone_tensor *t = hone_file_tensor(f, "blk.3.ffn_down.weight");
    assert_non_null(t);
    assert_int_equal(t->dtype, HONE_DTYPE_BF16);
    assert_int_equal(t->shape[0], 128);
    assert_int_equal(t->shape[1], 384);
    hone_file_close(f);
    unlink(in_folder("tiny.gguf"));
}

/* Sizes of the published models, in millions of parameters (their model cards; embeddings of tied
 * models once). One layer is written, all of them are counted. */
static void each_shape_is_its_model_and_loads(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double millions;
    } models[] = {{"llama-3.2-1b", 1235.8}, {"llama-3-8b", 8030.3}, {"mistral-7b", 7241.7},
                  {"qwen2.5-0.5b", 494.0},  {"phi-3-mini", 3821.1}, {"gemma-2-2b", 2614.3},
                  {"minilm", 22.6}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const hone_synth_shape *s = hone_synth_shape_find(models[i].name);
        char config[1024];
        const hone_arch *a;
        static hone_hparams h;
        hone_file *f;
        assert_non_null(s);
        snprintf(config, sizeof config, s->config, s->layers);
        if (hone_file_from_config(config, "a shape", &f) != HONE_OK ||
            hone_arch_read(f, &a, &h) != HONE_OK)
            fail_msg("%s: %s", s->name, hone_error());
        double parameters = 0;
        for (hone_slot slot = 0; slot < HONE_SLOTS; slot++)
            for (uint32_t layer = 0; layer < hone_slot_layers(&h, slot); layer++) {
                hone_place p;
                if (!hone_place_find(a, &h, false, "", slot, layer, &p) ||
                    (p.flags & HONE_NAME_OPTIONAL))
                    continue;
                parameters += (double)p.n * (double)p.k;
                if (p.flags & HONE_NAME_BIAS)
                    parameters += (double)(hone_slot_describe(slot)->vector ? p.k : p.n);
            }
        hone_file_close(f);
        if (!(fabs(parameters / 1e6 - models[i].millions) < 0.1 + 1e-4 * models[i].millions))
            fail_msg("%s: %.1f million parameters, not %.1f", s->name, parameters / 1e6,
                     models[i].millions);
    }
}

static void its_vocabulary_encodes_any_text_and_decodes_it_again(void **state)
{
    (void)state;
    static const char text[] =
        "Once upon a time, 3.14 \xc3\xa9\xe2\x82\xac \xf0\x9f\x98\x80\n\tcat";
    hone_tokenizer *t;
    int32_t *ids;
    size_t n, bytes;
    char *back;
    assert_int_equal(synth(tiny(HONE_DTYPE_Q8_0, 1), 1, in_folder("v.gguf")), HONE_OK);
    assert_int_equal(hone_tokenizer_open(in_folder("v.gguf"), &t), HONE_OK);
    for (int32_t i = 0; i < hone_tokenizer_vocab_size(t); i++) {
        const char *piece = hone_tokenizer_piece(t, i, &bytes);
        assert_int_equal(hone_tokenizer_find(t, piece, bytes), i); /* all distinct */
    }
    assert_int_equal(
        hone_tokenizer_encode(t, text, sizeof text - 1, HONE_ENCODE_ADD_SPECIAL, &ids, &n),
        HONE_OK);
    assert_int_equal(ids[0], hone_tokenizer_bos(t));
    assert_true(n < sizeof text); /* merges happen */
    assert_int_equal(hone_tokenizer_decode(t, ids, n, HONE_DECODE_SKIP_SPECIAL, &back, &bytes),
                     HONE_OK);
    assert_string_equal(back, text);
    hone_free(back);
    hone_free(ids);
    hone_tokenizer_close(t);
    unlink(in_folder("v.gguf"));
}

static void failures_leave_nothing_behind(void **state)
{
    (void)state;
    hone_synth_options o = tiny(HONE_DTYPE_Q8_0, 1);
    o.layers = 1;
    assert_int_not_equal(synth(o, 1, in_folder("missing/x.gguf")), HONE_OK);
    o.type = HONE_DTYPE_I32;
    assert_int_equal(synth(o, 1, in_folder("x.gguf")), HONE_USAGE);
    o.type = HONE_DTYPE_Q8_0;
    int failures = 0;
    for (int64_t n = 0; n < 10000; n++) {
        hone_mem_fail_after(n);
        hone_status s = synth(o, 1, in_folder("x.gguf"));
        hone_mem_fail_after(-1);
        if (s == HONE_OK)
            break;
        assert_int_equal(s, HONE_MEMORY);
        assert_int_equal(entries(), 0);
        failures++;
    }
    assert_true(failures > 10 && failures < 9999);
    unlink(in_folder("x.gguf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_follow_the_normal_distribution),
        cmocka_unit_test(a_number_depends_on_seed_name_and_index_alone),
        cmocka_unit_test(the_file_does_not_depend_on_the_number_of_threads),
        cmocka_unit_test(the_file_is_a_llama_of_the_shape),
        cmocka_unit_test(each_shape_is_its_model_and_loads),
        cmocka_unit_test(its_vocabulary_encodes_any_text_and_decodes_it_again),
        cmocka_unit_test(failures_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
