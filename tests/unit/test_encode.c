// links: engine
/* What encode, classify and task refuse, and say; on a small BERT that the test writes itself. */
#include "base/mem.h"
#include "base/rng.h"
#include "engine/task.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../folder.h"

enum { HIDDEN = 32, VOCAB = 40, FFN = 64, POSITIONS = 70, LABELS = 3 };

static void put_file(const char *name, const void *data, size_t n)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *p = path + strlen(folder) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(path, 0700);
        *p = '/';
    }
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

static void put_text(const char *name, const char *text)
{
    put_file(name, text, strlen(text));
}

static void drop(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

/* ---- a model -------------------------------------------------------------------------------- */

typedef struct spec {
    const char *name;
    int rows, columns; /* rows 0 = a vector */
} spec;

static const spec tensors[] = {
    {"bert.embeddings.word_embeddings.weight", VOCAB, HIDDEN},
    {"bert.embeddings.position_embeddings.weight", POSITIONS, HIDDEN},
    {"bert.embeddings.token_type_embeddings.weight", 2, HIDDEN},
    {"bert.embeddings.LayerNorm.weight", 0, HIDDEN},
    {"bert.embeddings.LayerNorm.bias", 0, HIDDEN},
    {"bert.encoder.layer.0.attention.self.query.weight", HIDDEN, HIDDEN},
    {"bert.encoder.layer.0.attention.self.query.bias", 0, HIDDEN},
    {"bert.encoder.layer.0.attention.self.key.weight", HIDDEN, HIDDEN},
    {"bert.encoder.layer.0.attention.self.key.bias", 0, HIDDEN},
    {"bert.encoder.layer.0.attention.self.value.weight", HIDDEN, HIDDEN},
    {"bert.encoder.layer.0.attention.self.value.bias", 0, HIDDEN},
    {"bert.encoder.layer.0.attention.output.dense.weight", HIDDEN, HIDDEN},
    {"bert.encoder.layer.0.attention.output.dense.bias", 0, HIDDEN},
    {"bert.encoder.layer.0.attention.output.LayerNorm.weight", 0, HIDDEN},
    {"bert.encoder.layer.0.attention.output.LayerNorm.bias", 0, HIDDEN},
    {"bert.encoder.layer.0.intermediate.dense.weight", FFN, HIDDEN},
    {"bert.encoder.layer.0.intermediate.dense.bias", 0, FFN},
    {"bert.encoder.layer.0.output.dense.weight", HIDDEN, FFN},
    {"bert.encoder.layer.0.output.dense.bias", 0, HIDDEN},
    {"bert.encoder.layer.0.output.LayerNorm.weight", 0, HIDDEN},
    {"bert.encoder.layer.0.output.LayerNorm.bias", 0, HIDDEN},
    {"bert.pooler.dense.weight", HIDDEN, HIDDEN},
    {"bert.pooler.dense.bias", 0, HIDDEN},
    {"classifier.weight", LABELS, HIDDEN},
    {"classifier.bias", 0, LABELS},
    {"cls.predictions.bias", 0, VOCAB}, /* of another task: may lie there */
};
enum { TENSORS = sizeof tensors / sizeof *tensors };

/* Writes model.safetensors without the tensor `without`. */
static void put_weights(const char *without)
{
    static char header[8192];
    static float data[1 << 15];
    size_t at = 0, used = 8;
    used += (size_t)snprintf(header + used, sizeof header - used, "{");
    for (int i = 0; i < TENSORS; i++) {
        const spec *t = &tensors[i];
        size_t n = (size_t)(t->rows ? t->rows : 1) * (size_t)t->columns;
        char shape[32];
        if (without && strcmp(t->name, without) == 0)
            continue;
        snprintf(shape, sizeof shape, t->rows ? "%d,%d" : "%d", t->rows ? t->rows : t->columns,
                 t->columns);
        used += (size_t)snprintf(
            header + used, sizeof header - used,
            "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", at ? "," : "",
            t->name, shape, at * 4, (at + n) * 4);
        for (size_t k = 0; k < n; k++, at++)
            data[at] = (float)((at * 2654435761u >> 7) % 1000) / 1000.0f - 0.45f;
    }
    used += (size_t)snprintf(header + used, sizeof header - used, "}");
    uint64_t length = used - 8;
    memcpy(header, &length, 8);
    char *whole = hone_malloc(used + at * 4);
    memcpy(whole, header, used);
    memcpy(whole + used, data, at * 4);
    put_file("model.safetensors", whole, used + at * 4);
    hone_free(whole);
}

static void put_config(const char *more)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"model_type\":\"bert\",\"architectures\":[\"BertForSequenceClassification\"],"
             "\"hidden_size\":%d,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
             "\"intermediate_size\":%d,\"vocab_size\":%d,\"max_position_embeddings\":%d%s}",
             HIDDEN, FFN, VOCAB, POSITIONS, more);
    put_text("config.json", text);
}

static hone_status open_engine(hone_engine **e)
{
    hone_config c = hone_config_default();
    c.threads = 1;
    return hone_engine_open(folder, &c, NULL, NULL, e);
}

static void refuses(hone_status want, const char *says)
{
    hone_engine *e = NULL;
    hone_status s = open_engine(&e);
    hone_engine_close(e);
    if (s != want || !strstr(hone_error(), says))
        fail_msg("%s: %s", hone_status_name(s), hone_error());
}

static void a_classifier_that_contradicts_its_config_is_named(void **state)
{
    (void)state;
    put_config(",\"id2label\":{\"0\":\"a\",\"1\":\"b\"}");
    put_weights(NULL);
    refuses(HONE_FORMAT, "2 labels (id2label), tensor classifier.weight has 3");
    put_config("");
    put_weights("classifier.weight");
    refuses(HONE_NOT_FOUND, "classifier.weight");
    put_weights("bert.pooler.dense.weight");
    refuses(HONE_NOT_FOUND, "bert.pooler.dense.weight");
    put_weights("bert.encoder.layer.0.output.dense.bias");
    refuses(HONE_NOT_FOUND, "bert.encoder.layer.0.output.dense.bias");
    put_weights(NULL);
    put_config(",\"is_decoder\":true");
    refuses(HONE_UNSUPPORTED, "is_decoder");
    put_config(",\"position_embedding_type\":\"relative_key\"");
    refuses(HONE_UNSUPPORTED, "relative_key");
    put_config(",\"hidden_act\":\"mish\"");
    refuses(HONE_UNSUPPORTED, "mish");
    put_config("");
}

/* The weights again, the norms called as in the first BERT checkpoints: the same vector. */
static void gamma_and_beta_are_weight_and_bias(void **state)
{
    (void)state;
    char path[256];
    const int32_t ids[] = {1, 2, 3};
    const hone_text text = {ids, NULL, 3};
    static float out[2][HIDDEN];
    hone_engine *e;
    put_config("");
    for (int old = 0; old < 2; old++) {
        put_weights(NULL);
        snprintf(path, sizeof path,
                 "sed -i 's/LayerNorm.weight\"/LayerNorm.gamma\" /g;s/LayerNorm.bias\"/"
                 "LayerNorm.beta\"/g' %s/model.safetensors",
                 folder);
        if (old)
            assert_int_equal(system(path), 0);
        if (open_engine(&e) != HONE_OK)
            fail_msg("%s", hone_error());
        assert_int_equal(hone_engine_encode(e, &text, 1, HONE_POOLING_MEAN, NULL, NULL, out[old]),
                         HONE_OK);
        hone_engine_close(e);
    }
    assert_memory_equal(out[0], out[1], sizeof out[0]);
    put_weights(NULL);
}

static void what_cannot_be_encoded_is_named(void **state)
{
    (void)state;
    hone_engine *e;
    static int32_t long_text[POSITIONS + 1];
    const int32_t bad[] = {1, VOCAB}, types[] = {0, 2}, good[] = {1, 2};
    static float out[4 * HIDDEN];
    assert_int_equal(open_engine(&e), HONE_OK);
    hone_text texts[2] = {{good, NULL, 2}, {long_text, NULL, POSITIONS + 1}};
    assert_int_equal(hone_engine_encode(e, texts, 2, HONE_POOLING_MEAN, NULL, NULL, out),
                     HONE_LIMIT);
    assert_non_null(strstr(hone_error(), "text 2 has 71 tokens; the model takes 70"));
    texts[1] = (hone_text){bad, NULL, 2};
    assert_int_equal(hone_engine_encode(e, texts, 2, HONE_POOLING_MEAN, NULL, NULL, out),
                     HONE_DATA);
    texts[1] = (hone_text){good, types, 2};
    assert_int_equal(hone_engine_encode(e, texts, 2, HONE_POOLING_MEAN, NULL, NULL, out),
                     HONE_DATA);
    assert_non_null(strstr(hone_error(), "token type 2; the model has 2"));
    texts[1] = (hone_text){good, NULL, 0};
    assert_int_equal(hone_engine_classify(e, texts, 2, NULL, NULL, out), HONE_DATA);
    assert_non_null(strstr(hone_error(), "text 2 has no tokens"));
    assert_int_equal(hone_engine_encode(e, texts, 1, (hone_pooling)17, NULL, NULL, out),
                     HONE_USAGE);
    hone_session *s;
    assert_int_equal(hone_session_open(e, &s), HONE_OK);
    const hone_row row = {s, good, 2, HONE_WANT_LAST};
    assert_int_equal(hone_engine_step(e, &row, 1, out), HONE_UNSUPPORTED);
    assert_non_null(strstr(hone_error(), "hone embed"));
    hone_session_close(s);
    texts[1] = (hone_text){good, NULL, 2};
    assert_int_equal(hone_engine_classify(e, texts, 2, NULL, NULL, out), HONE_OK);
    assert_int_equal(hone_engine_encode(e, texts, 0, HONE_POOLING_MEAN, NULL, NULL, out), HONE_OK);
    hone_engine_close(e);
}

static void poolings_are_what_their_names_say(void **state)
{
    (void)state;
    hone_engine *e;
    const int32_t ids[] = {1, 2, 3};
    const hone_text text = {ids, NULL, 3};
    static float all[3 * HIDDEN], one[HIDDEN];
    assert_int_equal(open_engine(&e), HONE_OK);
    assert_int_equal(hone_engine_encode(e, &text, 1, HONE_POOLING_NONE, NULL, NULL, all), HONE_OK);
    for (int p = 1; p < HONE_POOLING_COUNT; p++) {
        if (p == HONE_POOLING_POOLER)
            continue;
        assert_int_equal(hone_engine_encode(e, &text, 1, (hone_pooling)p, NULL, NULL, one),
                         HONE_OK);
        for (int k = 0; k < HIDDEN; k++) {
            float a = all[k], b = all[HIDDEN + k], c = all[2 * HIDDEN + k], most = a > b ? a : b;
            float want = p == HONE_POOLING_CLS    ? a
                         : p == HONE_POOLING_LAST ? c
                         : p == HONE_POOLING_MAX  ? (most > c ? most : c)
                                                  : (a + b + c) * (1.0f / 3.0f);
            if (!(one[k] == want))
                fail_msg("%s: %g, not %g", hone_pooling_name((hone_pooling)p), (double)one[k],
                         (double)want);
        }
    }
    hone_engine_close(e);
}

/* ---- the task ------------------------------------------------------------------------------- */

static hone_status read_task(hone_task *t)
{
    hone_file *f;
    if (hone_file_open(folder, &f) != HONE_OK)
        fail_msg("%s", hone_error());
    hone_status s = hone_task_read(f, true, t);
    hone_file_close(f);
    return s;
}

static const char modules[] =
    "[{\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"},"
    "{\"path\":\"1_Pooling\",\"type\":\"sentence_transformers.models.Pooling\"},"
    "{\"path\":\"2_Normalize\",\"type\":\"sentence_transformers.models.Normalize\"}]";

static void pooling_prompts_and_labels_come_from_the_folder(void **state)
{
    (void)state;
    hone_task t;
    put_config(",\"id2label\":{\"0\":\"no\",\"1\":\"perhaps\",\"2\":\"yes\"},"
               "\"problem_type\":\"multi_label_classification\"");
    assert_int_equal(read_task(&t), HONE_OK);
    assert_false(t.pooling_known || t.normalize_known);
    hone_task_free(&t);
    put_text("modules.json", modules);
    put_text("1_Pooling/config.json", "{\"word_embedding_dimension\":32,"
                                      "\"pooling_mode_cls_token\":false,"
                                      "\"pooling_mode_mean_tokens\":false,"
                                      "\"pooling_mode_max_tokens\":true}");
    put_text("sentence_bert_config.json", "{\"max_seq_length\":48,\"do_lower_case\":false}");
    put_text("config_sentence_transformers.json",
             "{\"prompts\":{\"query\":\"query: \",\"passage\":\"passage: \"},"
             "\"default_prompt_name\":\"passage\"}");
    if (read_task(&t) != HONE_OK)
        fail_msg("%s", hone_error());
    assert_true(t.pooling_known && t.pooling == HONE_POOLING_MAX && t.normalize && t.multi_label);
    assert_int_equal(t.max_tokens, 48);
    assert_int_equal(t.n_prompts, 2);
    assert_string_equal(t.prompts[0].text, "query: ");
    assert_int_equal(t.default_prompt, 1);
    assert_int_equal(t.n_labels, 3);
    assert_string_equal(t.labels[1], "perhaps");
    hone_task_free(&t);
    int failures = 0;
    for (int i = 0; i < 2000; i++) { /* every allocation fails once */
        hone_mem_fail_after(i);
        hone_file *f = NULL;
        hone_status s = hone_file_open(folder, &f);
        if (s == HONE_OK)
            s = hone_task_read(f, true, &t);
        hone_mem_fail_after(-1);
        hone_file_close(f);
        if (s == HONE_OK) {
            hone_task_free(&t);
            break;
        }
        assert_int_equal(s, HONE_MEMORY);
        failures++;
    }
    assert_in_range(failures, 10, 1999);
}

static void refuses_task(hone_status want, const char *says)
{
    hone_task t;
    hone_status s = read_task(&t);
    if (s == HONE_OK)
        hone_task_free(&t);
    if (s != want || !strstr(hone_error(), says))
        fail_msg("%s: %s", hone_status_name(s), hone_error());
}

static void modules_that_hone_does_not_run_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *modules, *pooling;
        hone_status want;
        const char *says;
    } cases[] = {
        {"[{\"path\":\"2_Dense\",\"type\":\"sentence_transformers.models.Dense\"}]", NULL,
         HONE_UNSUPPORTED, "Dense"},
        {"[{\"path\":\"../x\",\"type\":\"a.Pooling\"}]", NULL, HONE_FORMAT, "../x"},
        {"[{\"path\":\"nothing\",\"type\":\"a.Pooling\"}]", NULL, HONE_NOT_FOUND,
         "nothing/config.json"},
        {"{}", NULL, HONE_FORMAT, "no list"},
        {"[{\"path\":3}]", NULL, HONE_FORMAT, "without type or path"},
        {"[", NULL, HONE_FORMAT, "modules.json"},
        {modules, "{\"pooling_mode_mean_tokens\":true,\"pooling_mode_cls_token\":true}",
         HONE_UNSUPPORTED, "another or several"},
        {modules, "{\"pooling_mode\":\"weightedmean\"}", HONE_UNSUPPORTED, "weightedmean"},
        {modules, "{\"pooling_mode\":\"sparkling\"}", HONE_UNSUPPORTED, "sparkling"},
        {modules, "{}", HONE_UNSUPPORTED, "not said"},
        {modules, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", HONE_FORMAT, "1_Pooling/config.json"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_text("modules.json", cases[i].modules);
        if (cases[i].pooling)
            put_text("1_Pooling/config.json", cases[i].pooling);
        refuses_task(cases[i].want, cases[i].says);
    }
    drop("modules.json");
    put_text("config_sentence_transformers.json", "{\"prompts\":{\"query\":7}}");
    refuses_task(HONE_FORMAT, "config_sentence_transformers.json");
    drop("config_sentence_transformers.json");
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const int32_t ids[] = {1, 2, 3};
    const hone_text texts[] = {{ids, NULL, 3}, {ids, ids + 3, 0}};
    static float out[HIDDEN];
    hone_engine *e;
    put_config("");
    assert_int_equal(open_engine(&e), HONE_OK);
    int failures = 0;
    for (int i = 0; i < 100; i++) {
        hone_mem_fail_after(i);
        hone_status s = hone_engine_encode(e, texts, 1, HONE_POOLING_MEAN, NULL, NULL, out);
        hone_mem_fail_after(-1);
        if (s == HONE_OK)
            break;
        assert_int_equal(s, HONE_MEMORY);
        failures++;
    }
    assert_in_range(failures, 5, 99);
    hone_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_classifier_that_contradicts_its_config_is_named),
        cmocka_unit_test(gamma_and_beta_are_weight_and_bias),
        cmocka_unit_test(what_cannot_be_encoded_is_named),
        cmocka_unit_test(poolings_are_what_their_names_say),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(pooling_prompts_and_labels_come_from_the_folder),
        cmocka_unit_test(modules_that_hone_does_not_run_are_named),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
