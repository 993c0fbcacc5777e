// links: file
/* What a pull is made of, without a server: names, paths, addresses, hashes, the choice of files.
 */
#include "base/mem.h"
#include "file/hub.h"
#include "file/hub_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void the_token_is_withheld_from_plain_http_elsewhere(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint;
        bool sent;
    } cases[] = {{"https://hub.invalid", true},
                 {"http://hub.invalid", false},
                 {"http://127.0.0.1:80", true},
                 {"http://localhost/hub/", true},
                 {"http://localhost.evil.invalid", false},
                 {"http://127.0.0.1.invalid", false}};
    setenv("HF_TOKEN", "hf_sesame", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hone_arena arena = {0};
        hub_client client;
        hone_hub_options o = {.endpoint = cases[i].endpoint};
        assert_int_equal(hub_client_open(&arena, &o, &client), HONE_OK);
        assert_int_equal(client.token != NULL, cases[i].sent);
        hone_arena_free(&arena);
    }
    unsetenv("HF_TOKEN");
    static const char *const bad[] = {"ftp://x",         "hub", "https://",
                                      "https://u:p@hub", "",    "https://hub/?q"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hone_arena arena = {0};
        hub_client client;
        hone_hub_options o = {.endpoint = bad[i]};
        if (bad[i][0])
            assert_int_equal(hub_client_open(&arena, &o, &client), HONE_USAGE);
        hone_arena_free(&arena);
    }
}

static void origins_are_scheme_host_and_port(void **state)
{
    (void)state;
    assert_true(hub_same_origin("https://a.b/x", "https://A.b:443/y?z"));
    assert_false(hub_same_origin("https://a.b/", "http://a.b/"));
    assert_false(hub_same_origin("https://a.b/", "https://a.b:444/"));
    assert_false(hub_same_origin("https://a.b/", "https://a.b.c/"));
    assert_false(hub_same_origin("https://a.b/", "https://a.b@evil/"));
    assert_false(hub_same_origin("nonsense", "nonsense"));
}

static void encrypted_addresses_do_not_lead_to_plain_ones(void **state)
{
    (void)state;
    assert_true(hub_may_follow("https://a/", "https://b/"));
    assert_true(hub_may_follow("http://a/", "https://b/"));
    assert_true(hub_may_follow("http://a/", "http://b/"));
    assert_false(hub_may_follow("https://a/", "http://a/"));
    assert_false(hub_may_follow("http://a/", "file:///etc/passwd"));
    assert_false(hub_may_follow("https://a/", "ftp://a/"));
}

static void the_cache_is_where_huggingface_hub_has_it(void **state)
{
    (void)state;
    char *dir;
    setenv("HOME", "/h", 1);
    unsetenv("XDG_CACHE_HOME");
    static const char *const steps[][3] = {{NULL, NULL, "/h/.cache/huggingface/hub"},
                                           {"XDG_CACHE_HOME", "/x", "/x/huggingface/hub"},
                                           {"HF_HOME", "~/y", "/h/y/hub"},
                                           {"HUGGINGFACE_HUB_CACHE", "/z", "/z"},
                                           {"HF_HUB_CACHE", "/c", "/c"}};
    for (int i = 0; i < 5; i++) {
        if (steps[i][0])
            setenv(steps[i][0], steps[i][1], 1);
        assert_int_equal(hone_hub_cache_dir(&dir), HONE_OK);
        assert_string_equal(dir, steps[i][2]);
        hone_free(dir);
    }
    for (int i = 1; i < 5; i++)
        unsetenv(steps[i][0]);
}

static void names_are_huggingface_hubs(void **state)
{
    (void)state;
    static const char *const good[] = {"acme/tiny",       "acme/tiny:Q4_K_M",
                                       "a/b@refs/pr/1:q", "meta-llama/Llama-3.2-1B",
                                       "a/b.c_d",         "a/b@main"};
    static const char *const bad[] = {"",         "a",     "/a/b", "a/b/c",   "a--b/c",  "a/..b",
                                      "../a",     "a/.b",  "a/b-", "a/b.git", "a/b:",    "a/b@",
                                      "a/b@../c", "a b/c", "a/",   "./a",     "a/m.gguf"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!hone_hub_is_name(good[i]))
            fail_msg("%s is a name", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (hone_hub_is_name(bad[i]))
            fail_msg("%s is no name", bad[i]);
}

static void paths_stay_below_their_folder(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "a/b", "..a", "a..", "a/b c.txt", "\xc3\xa4", "..."};
    static const char *const bad[] = {"",      "/a",   "a/",   "a//b", "..",   "a/../b", ".",
                                      "a/./b", "a\\b", "a\nb", "a/..", "\xff", "a\x7f"};
    char name[300];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(hub_path_is_safe(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(hub_path_is_safe(bad[i]));
    memset(name, 'a', 256);
    name[256] = 0;
    assert_false(hub_path_is_safe(name));
    name[255] = 0;
    assert_true(hub_path_is_safe(name));
}

static void hashes_are_sha256_and_gits(void **state)
{
    (void)state;
    char hex[65];
    hub_hash h;
    /* FIPS 180-4's example, and `printf 'hello\n' | git hash-object --stdin`. */
    assert_int_equal(hub_hash_open(&h, HUB_HASH_SHA256, 3), HONE_OK);
    assert_int_equal(hub_hash_add(&h, "ab", 2), HONE_OK);
    assert_int_equal(hub_hash_add(&h, "c", 1), HONE_OK);
    assert_int_equal(hub_hash_finish(&h, hex), HONE_OK);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(hub_hash_open(&h, HUB_HASH_GIT_SHA1, 6), HONE_OK);
    assert_int_equal(hub_hash_add(&h, "hello\n", 6), HONE_OK);
    assert_int_equal(hub_hash_finish(&h, hex), HONE_OK);
    assert_string_equal(hex, "ce013625030ba8dba906f756967f9e9ca394464a");
}

/* ---- the choice of files ---- */

/* hub_choose on these paths (separated by ';'): what is kept, in the same form, or NULL. */
static const char *choose(const char *paths, const char *quant, const char **model, hone_status *s)
{
    static char kept[1000];
    static hone_arena arena;
    const hone_hub_options none = {0};
    hub_list l = {.arena = &arena};
    char copy[1000], *save;
    hone_arena_free(&arena);
    snprintf(copy, sizeof copy, "%s", paths);
    for (char *path = strtok_r(copy, ";", &save); path; path = strtok_r(NULL, ";", &save))
        assert_int_equal(hub_list_add(&l, path, "", 1000000000, true), HONE_OK);
    assert_int_equal(hub_list_finish(&l), HONE_OK);
    *s = hub_choose(&l, quant, &none, model);
    kept[0] = 0;
    size_t n = 0;
    for (size_t i = 0; *s == HONE_OK && i < l.count && n < sizeof kept; i++)
        n += (size_t)snprintf(kept + n, sizeof kept - n, "%s%s", i ? ";" : "", l.entries[i].path);
    hub_list_free(&l);
    return *s == HONE_OK ? kept : NULL;
}

static void a_model_in_safetensors_is_what_loads_and_no_more(void **state)
{
    (void)state;
    static const struct {
        const char *paths, *kept;
    } cases[] = {
        /* one file: the shards, the pickles and other frameworks' weights stay */
        {".gitattributes;README.md;config.json;flax_model.msgpack;merges.txt;model.safetensors;"
         "onnx/config.json;onnx/model.onnx;pytorch_model.bin;pytorch_model.bin.index.json;"
         "tf_model.h5;tokenizer.json;vocab.json",
         "config.json;merges.txt;model.safetensors;tokenizer.json;vocab.json"},
        /* shards beside a consolidated copy and original weights */
        {"LICENSE;config.json;consolidated.safetensors;model-00001-of-00002.safetensors;"
         "model-00002-of-00002.safetensors;model.safetensors.index.json;original/params.json;"
         "original/tokenizer.model;params.json;tokenizer.model;USE_POLICY.md",
         "config.json;model-00001-of-00002.safetensors;model-00002-of-00002.safetensors;"
         "model.safetensors.index.json;params.json;tokenizer.model"},
        /* weights of another name */
        {"config.json;gptq_model-4bit-128g.safetensors;quantize_config.json",
         "config.json;gptq_model-4bit-128g.safetensors;quantize_config.json"},
        /* sentence-transformers: its modules come along */
        {"1_Pooling/config.json;2_Dense/config.json;2_Dense/model.safetensors;"
         "2_Dense/pytorch_model.bin;config.json;model.safetensors;modules.json;vocab.txt",
         "1_Pooling/config.json;2_Dense/config.json;2_Dense/model.safetensors;config.json;"
         "model.safetensors;modules.json;vocab.txt"},
        /* chat templates, tiktoken */
        {"chat_template.jinja;config.json;model.safetensors;qwen.tiktoken;trainer_state.json",
         "chat_template.jinja;config.json;model.safetensors;qwen.tiktoken"},
    };
    const char *model;
    hone_status s;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *kept = choose(cases[i].paths, "", &model, &s);
        assert_non_null(kept);
        assert_string_equal(kept, cases[i].kept);
        assert_string_equal(model, "");
    }
}

static void a_quantisation_is_the_end_of_a_name(void **state)
{
    (void)state;
    static const char paths[] =
        "M-BF16/M-BF16-00001-of-00002.gguf;M-BF16/M-BF16-00002-of-00002.gguf;"
        "M-IQ4_XS.gguf;M-Q4_K_M.gguf;M-Q4_K_S.gguf;M-UD-Q4_K_XL.gguf;M.Q2_K.gguf;"
        "M_Q8_0.GGUF;README.md;config.json;imatrix_M.gguf;mmproj-BF16.gguf;"
        "mmproj-model-f16.gguf";
    static const struct {
        const char *quant, *model; /* NULL: not one */
        size_t files;
    } cases[] = {
        {"Q4_K_M", "M-Q4_K_M.gguf", 1},
        {"q4_k_s", "M-Q4_K_S.gguf", 1},
        {"Q4_K", NULL, 0},
        {"UD-Q4_K_XL", "M-UD-Q4_K_XL.gguf", 1},
        {"Q2_K", "M.Q2_K.gguf", 1},
        {"Q8_0", "M_Q8_0.GGUF", 1},
        {"bf16", "M-BF16/M-BF16-00001-of-00002.gguf", 2},
        {"F16", NULL, 0},
        {"M-IQ4_XS.gguf", "M-IQ4_XS.gguf", 1},
        {"mmproj-BF16", NULL, 0},
    };
    const char *model;
    hone_status s;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *kept = choose(paths, cases[i].quant, &model, &s);
        if (!cases[i].model) {
            assert_null(kept);
            assert_int_equal(s, HONE_NOT_FOUND);
            assert_non_null(strstr(hone_error(), "BF16 (2.00 GB), IQ4_XS (1.00 GB)"));
            continue;
        }
        assert_non_null(kept);
        assert_string_equal(model, cases[i].model);
        size_t files = 1;
        for (const char *p = kept; *p; p++)
            files += *p == ';';
        assert_int_equal(files, cases[i].files);
    }
}

static void what_cannot_be_chosen_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *paths, *quant, *says;
        hone_status status;
    } cases[] = {
        {"M-Q4_0.gguf;M-Q8_0.gguf", "",
         "there are several GGUF files: write one of these after "
         "':': Q4_0 (1.00 GB), Q8_0 (1.00 GB)",
         HONE_USAGE},
        {"A-Q4_0.gguf;B-Q4_0.gguf", "Q4_0", "A-Q4_0 (1.00 GB), B-Q4_0 (1.00 GB)", HONE_USAGE},
        {"M-Q8_0-00001-of-00003.gguf;M-Q8_0-00003-of-00003.gguf", "Q8_0",
         "split into 3 files, and only 2", HONE_NOT_FOUND},
        {"M-Q8_0-00002-of-00002.gguf", "", "split into 2 files, and only 1", HONE_NOT_FOUND},
        {"config.json;pytorch_model.bin", "", "pickled weights (pytorch_model.bin)",
         HONE_UNSUPPORTED},
        {"README.md;config.json", "", "there are no weights", HONE_NOT_FOUND},
        {"config.json;model.safetensors", "Q4_0", "there are: none", HONE_NOT_FOUND},
    };
    const char *model;
    hone_status s;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(choose(cases[i].paths, cases[i].quant, &model, &s));
        if (s != cases[i].status || !strstr(hone_error(), cases[i].says))
            fail_msg("case %zu: %s: %s", i, hone_status_name(s), hone_error());
    }
}

static void pauses_double_and_keep_to_the_server(void **state)
{
    (void)state;
    const hub_client c = {.retry_ms = 500, .wait_max_s = 120};
    static const int64_t expected[] = {500, 1000, 2000, 4000, 8000, 8000};
    for (int i = 0; i < 6; i++)
        assert_int_equal(hub_pause_ms(&c, i + 1, 0), expected[i]);
    assert_int_equal(hub_pause_ms(&c, 1, 7), 7000);
    assert_int_equal(hub_pause_ms(&c, 1, 120), 120000);
    assert_int_equal(hub_pause_ms(&c, 1, 121), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_token_is_withheld_from_plain_http_elsewhere),
        cmocka_unit_test(origins_are_scheme_host_and_port),
        cmocka_unit_test(encrypted_addresses_do_not_lead_to_plain_ones),
        cmocka_unit_test(the_cache_is_where_huggingface_hub_has_it),
        cmocka_unit_test(names_are_huggingface_hubs),
        cmocka_unit_test(paths_stay_below_their_folder),
        cmocka_unit_test(hashes_are_sha256_and_gits),
        cmocka_unit_test(a_model_in_safetensors_is_what_loads_and_no_more),
        cmocka_unit_test(a_quantisation_is_the_end_of_a_name),
        cmocka_unit_test(what_cannot_be_chosen_says_why),
        cmocka_unit_test(pauses_double_and_keep_to_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
