// links: engine
/* Models that cannot be loaded say what is wrong, where, and free everything. */
#include "base/io.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "file/write.h"
#include "model/arch.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../folder.h"

#define MODELS HONE_SOURCE_DIR "/tests/golden/data/models/"
#define LLAMA  MODELS "llama"

static void copy(const char *name, const char *as)
{
    char from[512], to[512], *text;
    size_t n;
    snprintf(from, sizeof from, LLAMA "/%s", name);
    snprintf(to, sizeof to, "%s/%s", folder, as);
    assert_int_equal(hone_read_file(from, (size_t)64 << 20, &text, &n), HONE_OK);
    assert_int_equal(hone_write_file(to, text, n), HONE_OK);
    hone_free(text);
}

/* The golden Llama with one member of config.json replaced (value NULL: removed). */
static hone_status open_with(const char *key, const char *value, hone_config c)
{
    char path[512];
    json_error_t e;
    json_t *config = json_load_file(LLAMA "/config.json", 0, &e);
    assert_non_null(config);
    if (value)
        json_object_set_new(config, key, json_loads(value, JSON_DECODE_ANY, &e));
    else
        json_object_del(config, key);
    snprintf(path, sizeof path, "%s/config.json", folder);
    char *text = json_dumps(config, 0);
    assert_int_equal(hone_write_file(path, text, strlen(text)), HONE_OK);
    free(text);
    json_decref(config);
    hone_engine *engine = NULL;
    hone_status s = hone_engine_open(folder, &c, NULL, NULL, &engine);
    assert_true((s == HONE_OK) == (engine != NULL));
    hone_engine_close(engine);
    return s;
}

static hone_config plain(void)
{
    hone_config c = hone_config_default();
    c.threads = 2;
    return c;
}

static void expect(const char *key, const char *value, hone_status status, const char *words)
{
    hone_status s = open_with(key, value, plain());
    if (s != status || !strstr(hone_error(), words))
        fail_msg("%s = %s: %s \"%s\", wanted %s with \"%s\"", key, value ? value : "(removed)",
                 hone_status_name(s), s ? hone_error() : "", hone_status_name(status), words);
}

static void the_unchanged_model_loads(void **state)
{
    (void)state;
    if (open_with("pretraining_tp", "1", plain()) != HONE_OK)
        fail_msg("%s", hone_error());
}

static void wrong_hyper_parameters_are_named(void **state)
{
    (void)state;
    expect("model_type", "\"nonsense\"", HONE_UNSUPPORTED, "nonsense");
    expect("model_type", NULL, HONE_NOT_FOUND, "model_type");
    expect("hidden_size", "52", HONE_FORMAT, "embed_tokens");
    expect("hidden_size", "-3", HONE_FORMAT, "hidden_size");
    expect("hidden_size", "\"x\"", HONE_FORMAT, "hidden_size");
    expect("vocab_size", "520", HONE_FORMAT, "embed_tokens");
    expect("num_hidden_layers", "5", HONE_NOT_FOUND, "layers.4");
    expect("num_hidden_layers", "4000000000", HONE_FORMAT, "layers");
    expect("num_key_value_heads", "4", HONE_FORMAT, "heads");
    expect("head_dim", "4096", HONE_FORMAT, "head");
    expect("rms_norm_eps", "0", HONE_FORMAT, "epsilon");
    expect("hidden_act", "\"swirl\"", HONE_UNSUPPORTED, "swirl");
    expect("rope_scaling", "{\"rope_type\": \"spiral\"}", HONE_UNSUPPORTED, "spiral");
    expect("rope_scaling", "{\"rope_type\": \"linear\", \"factor\": 0}", HONE_FORMAT, "factor");
    expect("rope_theta", "-1", HONE_FORMAT, "theta");
    expect("tie_word_embeddings", "3", HONE_FORMAT, "tie_word_embeddings");
}

/* What a config of another architecture claims is refused by name before anything is sized by it.
 */
static hone_status read_config(const char *model, const char *changes)
{
    char path[512];
    json_error_t e;
    static hone_hparams h;
    const hone_arch *a;
    hone_file *f;
    snprintf(path, sizeof path, MODELS "%s/config.json", model);
    json_t *config = json_load_file(path, 0, &e), *change = json_loads(changes, 0, &e);
    assert_non_null(config);
    assert_non_null(change);
    json_object_update(config, change);
    char *text = json_dumps(config, 0);
    assert_int_equal(hone_file_from_config(text, "a shape", &f), HONE_OK);
    hone_status s = hone_arch_read(f, &a, &h);
    hone_file_close(f);
    free(text);
    json_decref(config);
    json_decref(change);
    return s;
}

static void absurd_configs_of_other_architectures_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *model, *changes;
        hone_status status;
        const char *words;
    } cases[] = {
        {"gemma3", "{}", HONE_OK, ""},
        {"gemma3", "{\"sliding_window\": 4000000000}", HONE_FORMAT, "sliding window"},
        {"gemma3", "{\"sliding_window\": -1}", HONE_FORMAT, "sliding_window"},
        {"gemma3", "{\"sliding_window\": \"wide\"}", HONE_FORMAT, "sliding_window"},
        {"gemma3", "{\"layer_types\": [\"full_attention\"]}", HONE_FORMAT, "layer 1"},
        {"gemma3", "{\"layer_types\": [\"linear_attention\"]}", HONE_UNSUPPORTED,
         "linear_attention"},
        {"gemma3", "{\"query_pre_attn_scalar\": -4}", HONE_FORMAT, "query_pre"},
        {"gemma3", "{\"final_logit_softcapping\": -3}", HONE_FORMAT, "soft-cap"},
        {"gemma3", "{\"final_logit_softcapping\": 1e30}", HONE_FORMAT, "soft-cap"},
        {"gemma3", "{\"hidden_activation\": \"mish\"}", HONE_UNSUPPORTED, "mish"},
        {"gemma3", "{\"rope_local_base_freq\": 0}", HONE_FORMAT, "theta"},
        {"gemma3", "{\"num_attention_heads\": 0}", HONE_FORMAT, "attention heads"},
        {"gemma3", "{\"num_attention_heads\": 7}", HONE_FORMAT, "cannot share"},
        {"gemma3", "{\"head_dim\": 9}", HONE_FORMAT, "rotary"},
        {"gemma3", "{\"num_hidden_layers\": 70000}", HONE_FORMAT, "layers"},
        {"gpt2", "{}", HONE_OK, ""},
        {"gpt2", "{\"n_embd\": null}", HONE_NOT_FOUND, "n_embd"},
        {"gpt2", "{\"n_inner\": null, \"n_embd\": 4294967295}", HONE_FORMAT, "hidden size"},
        {"gpt2", "{\"n_positions\": 0}", HONE_FORMAT, "context"},
        {"gpt2", "{\"scale_attn_by_inverse_layer_idx\": true}", HONE_UNSUPPORTED, "inverse_layer"},
        {"gpt2", "{\"scale_attn_weights\": false}", HONE_UNSUPPORTED, "without scale_attn_weights"},
        {"gpt2", "{\"scale_attn_weights\": true, \"reorder_and_upcast_attn\": true}", HONE_OK, ""},
        {"gemma3", "{\"use_bidirectional_attention\": true}", HONE_UNSUPPORTED,
         "use_bidirectional_attention is true"},
        {"gemma3", "{\"use_bidirectional_attention\": null, \"is_causal\": true}", HONE_OK, ""},
        {"llama", "{\"model_type\": \"qwen2\", \"is_causal\": false}", HONE_UNSUPPORTED,
         "is_causal is false"},
        {"gpt2", "{\"layer_norm_epsilon\": 2}", HONE_FORMAT, "epsilon"},
        {"llama", "{\"model_type\": \"phi3\"}", HONE_OK, ""},
        {"llama",
         "{\"model_type\": \"phi3\", \"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": "
         "[1],"
         " \"long_factor\": [1, 2]}}",
         HONE_FORMAT, "longrope has 1"},
        {"llama",
         "{\"model_type\": \"phi3\", \"rope_scaling\": {\"type\": \"longrope\", \"short_factor\":"
         " [1, 1, 1, 1, 1, 1, 0], \"long_factor\": [1, 1, 1, 1, 1, 1, 1]}}",
         HONE_FORMAT, "rope"},
        {"llama", "{\"model_type\": \"phi3\", \"rope_scaling\": {\"type\": \"longrope\"}}",
         HONE_NOT_FOUND, "short_factor"},
        {"llama", "{\"model_type\": \"gpt_neox\", \"rotary_pct\": 1.5}", HONE_FORMAT, "1.5"},
        {"llama", "{\"model_type\": \"gpt_neox\", \"use_parallel_residual\": 7}", HONE_FORMAT,
         "use_parallel_residual"},
        {"llama", "{\"model_type\": \"qwen2\", \"max_window_layers\": -2}", HONE_FORMAT,
         "max_window_layers"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hone_status s = read_config(cases[i].model, cases[i].changes);
        if (s != cases[i].status || (s != HONE_OK && !strstr(hone_error(), cases[i].words)))
            fail_msg("%s with %s: %s \"%s\", wanted %s with \"%s\"", cases[i].model,
                     cases[i].changes, hone_status_name(s), s ? hone_error() : "",
                     hone_status_name(cases[i].status), cases[i].words);
    }
}

/* Tensors: one too many, one missing, one of another shape; and no allocation failure is fatal. */
static void the_tensors_of_a_checkpoint_have_to_be_the_models(void **state)
{
    (void)state;
    char path[512];
    hone_file *f;
    hone_safetensors_writer *w;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    for (int fault = 0; fault < 3; fault++) {
        assert_int_equal(hone_file_open(LLAMA, &f), HONE_OK);
        assert_int_equal(hone_safetensors_writer_open(path, &w), HONE_OK);
        static const uint64_t extra[] = {48};
        const char *skip = fault == 1 ? "model.layers.2.mlp.up_proj.weight" : "";
        for (int pass = 0; pass < 2; pass++) {
            if (fault == 0)
                assert_int_equal(
                    pass == 0
                        ? hone_safetensors_writer_tensor(
                              w, "model.layers.1.self_attn.q_norm.weight", HONE_DTYPE_F32, 1, extra)
                        : hone_safetensors_writer_write_f32(w, (float[48]){0}, 48),
                    HONE_OK);
            for (size_t i = 0; i < hone_file_tensor_count(f); i++) {
                const hone_tensor *t = hone_file_tensor_at(f, i);
                uint64_t shape[2] = {t->shape[0], t->shape[1]};
                if (fault == 2 && strcmp(t->name, "model.norm.weight") == 0)
                    shape[0]--;
                if (strcmp(t->name, skip) == 0)
                    continue;
                uint64_t bytes = shape[0] * (t->n_dims > 1 ? shape[1] : 1) * 4;
                assert_int_equal(pass == 0 ? hone_safetensors_writer_tensor(
                                                 w, t->name, HONE_DTYPE_F32, t->n_dims, shape)
                                           : hone_safetensors_writer_write(w, t->data, bytes),
                                 HONE_OK);
            }
        }
        assert_int_equal(hone_safetensors_writer_commit(w), HONE_OK);
        hone_file_close(f);
        expect("pretraining_tp", "1",
               fault == 0   ? HONE_UNSUPPORTED
               : fault == 1 ? HONE_NOT_FOUND
                            : HONE_FORMAT,
               fault == 0   ? "layers.1.self_attn.q_norm"
               : fault == 1 ? "layers.2.mlp.up_proj"
                            : "model.norm.weight");
    }
    copy("model.safetensors", "model.safetensors");
}

/* By each of several threads, which sanitizers judge. */
static void a_tensor_that_its_format_cannot_hold_is_named(void **state)
{
    (void)state;
    hone_file *f;
    hone_config c = plain();
    char *bytes;
    size_t n;
    assert_int_equal(hone_read_file(LLAMA "/model.safetensors", (size_t)64 << 20, &bytes, &n),
                     HONE_OK);
    assert_int_equal(hone_file_open(LLAMA, &f), HONE_OK);
    const hone_tensor *head = hone_file_tensor(f, "lm_head.weight");
    char *at = memmem(bytes, n, head->data, head->bytes);
    size_t row = head->bytes / head->shape[0];
    assert_non_null(at);
    for (size_t r = 127; r < head->shape[0]; r += 128) /* the last of each item */
        memset(at + r * row, 0x7f, row);               /* 3.4e38 each */
    hone_file_close(f);
    assert_int_equal(hone_write_file(in_folder("model.safetensors"), bytes, n), HONE_OK);
    hone_free(bytes);
    c.weight_dtype[HONE_WEIGHT_HEAD] = HONE_DTYPE_F16;
    assert_int_equal(open_with("pretraining_tp", "1", c), HONE_FORMAT);
    assert_non_null(strstr(hone_error(), "lm_head.weight holds values"));
    assert_non_null(strstr(hone_error(), "that f16 cannot"));
    copy("model.safetensors", "model.safetensors");
}

static void a_context_beyond_learned_positions_is_refused(void **state)
{
    (void)state;
    hone_config c = plain();
    hone_engine *e;
    c.context_tokens = 257;
    assert_int_equal(hone_engine_open(MODELS "gpt2", &c, NULL, NULL, &e), HONE_LIMIT);
    assert_non_null(strstr(hone_error(), "positions for 256"));
    c.context_tokens = 256;
    assert_int_equal(hone_engine_open(MODELS "gpt2", &c, NULL, NULL, &e), HONE_OK);
    hone_engine_close(e);
}

static void any_allocation_may_fail_while_a_model_opens_and_runs(void **state)
{
    (void)state;
    hone_config c = plain();
    c.threads = 1;
    c.context_tokens = 128;
    c.step_tokens = 64;
    int failures = 0;
    for (int64_t n = 0; n < 5000; n++) {
        hone_engine *e = NULL;
        hone_session *s = NULL, *fork = NULL;
        int32_t ids[100] = {0};
        hone_mem_fail_after(n);
        hone_status st = hone_engine_open(MODELS "gemma3", &c, NULL, NULL, &e);
        if (st == HONE_OK)
            st = hone_session_open(e, &s);
        if (st == HONE_OK)
            st = hone_session_feed(s, ids, 100, HONE_WANT_NONE, NULL);
        if (st == HONE_OK)
            st = hone_session_fork(s, &fork);
        hone_mem_fail_after(-1);
        hone_session_close(fork);
        hone_session_close(s);
        hone_engine_close(e);
        if (st == HONE_OK)
            break;
        assert_int_equal(st, HONE_MEMORY);
        failures++;
    }
    assert_true(failures > 20 && failures < 4999);
}

static void a_memory_bound_below_one_page_says_so(void **state)
{
    (void)state;
    hone_config c = plain();
    c.kv_bytes_max = 100;
    assert_int_equal(open_with("pretraining_tp", "1", c), HONE_MEMORY);
    assert_non_null(strstr(hone_error(), "one page"));
}

static void impossible_thread_counts_and_steps_are_refused(void **state)
{
    (void)state;
    hone_config c = plain();
    c.threads = -1;
    assert_int_equal(open_with("pretraining_tp", "1", c), HONE_USAGE);
    c = plain();
    c.step_tokens = 1u << 30;
    assert_int_equal(open_with("pretraining_tp", "1", c), HONE_USAGE);
}

static hone_engine *open_plain(hone_config c)
{
    hone_engine *e;
    if (hone_engine_open(LLAMA, &c, NULL, NULL, &e) != HONE_OK)
        fail_msg("%s", hone_error());
    return e;
}

static void a_refused_step_leaves_the_sessions_as_they_were(void **state)
{
    (void)state;
    hone_config c = plain();
    c.context_tokens = 100;
    c.prefix_reuse = false;
    hone_engine *e = open_plain(c);
    uint32_t vocab = hone_engine_facts(e)->vocab;
    float *a = malloc(vocab * sizeof *a), *b = malloc(vocab * sizeof *b);
    hone_session *s, *t;
    assert_int_equal(hone_session_open(e, &s), HONE_OK);
    assert_int_equal(hone_session_open(e, &t), HONE_OK);
    const int32_t good[] = {1, 2, 3, 4}, bad[] = {1, 521, 3, 4}, negative[] = {-1};
    int32_t many[101] = {0};
    assert_int_equal(hone_session_feed(s, good, 4, HONE_WANT_LAST, a), HONE_OK);
    assert_int_equal(hone_session_feed(s, bad, 4, HONE_WANT_LAST, b), HONE_DATA);
    assert_non_null(strstr(hone_error(), "521"));
    assert_int_equal(hone_session_feed(s, negative, 1, HONE_WANT_LAST, b), HONE_DATA);
    assert_int_equal(hone_session_feed(s, many, 101, HONE_WANT_LAST, b), HONE_LIMIT);
    assert_int_equal(hone_session_length(s), 4);
    const hone_row twice[] = {{s, good, 1, HONE_WANT_NONE}, {s, good, 1, HONE_WANT_NONE}};
    assert_int_equal(hone_engine_step(e, twice, 2, NULL), HONE_USAGE);
    const hone_row empty[] = {{s, good, 0, HONE_WANT_NONE}};
    assert_int_equal(hone_engine_step(e, empty, 1, NULL), HONE_USAGE);
    hone_session_truncate(s, 3);
    assert_int_equal(hone_session_feed(s, good + 3, 1, HONE_WANT_LAST, b), HONE_OK);
    assert_memory_equal(a, b, vocab * sizeof *a);
    free(a);
    free(b);
    hone_session_close(s);
    hone_session_close(t);
    hone_engine_close(e);
}

static void past_the_kv_bound_a_step_fails_and_closing_a_session_helps(void **state)
{
    (void)state;
    hone_config c = plain();
    c.prefix_reuse = false;
    hone_engine *probe = open_plain(c);
    uint64_t used, most;
    c.kv_bytes_max = hone_engine_facts(probe)->kv_bytes_per_token * 64 * 2;
    hone_engine_close(probe);
    hone_engine *e = open_plain(c);
    hone_session *s[3];
    const int32_t id = 7;
    for (int i = 0; i < 3; i++)
        assert_int_equal(hone_session_open(e, &s[i]), HONE_OK);
    assert_int_equal(hone_session_feed(s[0], &id, 1, HONE_WANT_NONE, NULL), HONE_OK);
    const hone_row two[] = {{s[1], &id, 1, HONE_WANT_NONE}, {s[2], &id, 1, HONE_WANT_NONE}};
    assert_int_equal(hone_engine_step(e, two, 2, NULL), HONE_MEMORY);
    hone_engine_kv_usage(e, &used, &most);
    assert_int_equal(used, most / 2); /* what the failed step had taken is given back */
    hone_session_close(s[0]);
    assert_int_equal(hone_engine_step(e, two, 2, NULL), HONE_OK);
    hone_session_close(s[1]);
    hone_session_close(s[2]);
    hone_engine_close(e);
}

static int setup(void **state)
{
    if (make_folder(state) != 0)
        return -1;
    copy("model.safetensors", "model.safetensors");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove(in_folder("model.safetensors"));
    remove(in_folder("config.json"));
    return rmdir(folder); /* nothing else was left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_unchanged_model_loads),
        cmocka_unit_test(wrong_hyper_parameters_are_named),
        cmocka_unit_test(absurd_configs_of_other_architectures_are_named),
        cmocka_unit_test(the_tensors_of_a_checkpoint_have_to_be_the_models),
        cmocka_unit_test(a_tensor_that_its_format_cannot_hold_is_named),
        cmocka_unit_test(a_context_beyond_learned_positions_is_refused),
        cmocka_unit_test(any_allocation_may_fail_while_a_model_opens_and_runs),
        cmocka_unit_test(a_memory_bound_below_one_page_says_so),
        cmocka_unit_test(impossible_thread_counts_and_steps_are_refused),
        cmocka_unit_test(a_refused_step_leaves_the_sessions_as_they_were),
        cmocka_unit_test(past_the_kv_bound_a_step_fails_and_closing_a_session_helps),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
