#include "cli/bench_record.h"

#include "base/json.h"
#include "base/mem.h"
#include "file/file.h"
#include "stat/versus.h"
#include "store/bench_records.h"
#include "store/fingerprint.h"

#include <string.h>

typedef struct record {
    const bench *b;
    hone_registry *r;
    int64_t model, environment;
    char machine[HONE_DIGEST_BYTES];
    json_t *baseline; /* the result of the bench of that name; NULL = there is none yet */
} record;

static hone_status add_model(record *j, const hone_file *f, const char *fingerprint)
{
    char hash[65];
    const char *slash = strrchr(j->b->model, '/');
    cli_progress(-1, "hashing %s", j->b->model);
    hone_status s = hone_file_hash(f, hash);
    cli_progress_end();
    HONE_TRY(s);
    const hone_model_record m = {.sha256 = hash,
                                 .path = j->b->model,
                                 .name = slash && slash[1] ? slash + 1 : j->b->model,
                                 .arch = hone_engine_facts(j->b->engine)->arch,
                                 .bytes = hone_file_bytes(f)};
    HONE_TRY(hone_registry_put_model(j->r, &m, &j->model));
    return hone_registry_put_file(j->r, fingerprint, j->model);
}

static hone_status identify(record *j)
{
    hone_file *f;
    char fingerprint[33], key[HONE_DIGEST_BYTES], *environment;
    int64_t candidates;
    HONE_TRY(hone_file_open(j->b->model, &f));
    hone_status s = hone_file_fingerprint(f, fingerprint);
    if (s == HONE_OK)
        s = hone_registry_find_file(j->r, fingerprint, hone_file_bytes(f), &j->model, &candidates);
    if (s == HONE_OK && !j->model)
        s = add_model(j, f, fingerprint);
    hone_file_close(f);
    HONE_TRY(s);
    HONE_TRY(hone_fingerprint_machine(j->machine));
    HONE_TRY(hone_fingerprint_take(&environment, key));
    s = hone_registry_put_environment(j->r, key, environment, &j->environment);
    hone_free(environment);
    return s;
}

static json_t *result_json(const bench *b)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < b->n_tests; i++) {
        char name[96];
        const bench_test *t = &b->tests[i];
        json_t *row = json_pack("{s:s, s:f}", "test", bench_test_name(t, name, sizeof name),
                                "limit", t->limit);
        bench_put_speed(row, &t->speed);
        json_array_append_new(rows, row);
    }
    return json_pack("{s:I, s:o}", "reps", (json_int_t)b->reps, "rows", rows);
}

static hone_status find_baseline(void *arg, const hone_bench_record *b)
{
    record *j = arg;
    if (strcmp(b->machine, j->machine) != 0)
        return HONE_OK;
    json_decref(j->baseline);
    j->baseline = NULL;
    return hone_json_parse(b->result, strlen(b->result), 8, 10000, "the baseline", &j->baseline);
}

/* Two benches, one after the other: their intervals are all that is known, so both must move. Of
 * fewer than three repetitions there is none (or, of an earlier hone, one that says nothing). */
static json_t *compare_test(const record *j, const bench_test *t, const json_t *row)
{
    const char *name = cli_text(j->b->c, "baseline");
    double margin = cli_number(j->b->c, "margin");
    double lo = json_number_value(json_object_get(row, "tok_s_lo"));
    double hi = json_number_value(json_object_get(row, "tok_s_hi"));
    double mid = json_number_value(json_object_get(row, "tok_s"));
    char test[96], words[256];
    json_t *o = json_pack("{s:s, s:f, s:f}", "test", bench_test_name(t, test, sizeof test), "tok_s",
                          t->speed.point, "baseline_tok_s", mid);
    json_int_t reps = json_integer_value(json_object_get(j->baseline, "reps"));
    if (reps >= BENCH_INTERVAL_REPS && lo > 0 && hi > lo && t->speed.hi > t->speed.lo) {
        hone_interval ratio = {t->speed.point / mid, t->speed.lo / hi, t->speed.hi / lo};
        json_object_set_new(o, "ratio", json_real(ratio.point));
        json_object_set_new(o, "ratio_lo", json_real(ratio.lo));
        json_object_set_new(o, "ratio_hi", json_real(ratio.hi));
        json_object_set_new(o, "verdict",
                            json_string(hone_verdict_name(hone_versus_judge(&ratio, margin))));
        hone_versus_say(&ratio, margin, name, "this", words, sizeof words);
    } else {
        snprintf(
            words, sizeof words,
            "nothing can be claimed: %.1f tok/s, of %s %.1f, and fewer than %d repetitions say "
            "nothing of the noise; give more --reps",
            t->speed.point, name, mid, BENCH_INTERVAL_REPS);
    }
    json_object_set_new(o, "words", json_string(words));
    return o;
}

/* The rows of the tests that both have. */
static json_t *compare(const record *j)
{
    json_t *rows = json_array(), *row;
    for (size_t i = 0; i < j->b->n_tests; i++) {
        const bench_test *t = &j->b->tests[i];
        char test[96];
        size_t k;
        bench_test_name(t, test, sizeof test);
        json_array_foreach(json_object_get(j->baseline, "rows"), k, row)
        {
            const char *of = json_string_value(json_object_get(row, "test"));
            if (of && strcmp(of, test) == 0 && json_number_value(json_object_get(row, "tok_s")) > 0)
                json_array_append_new(rows, compare_test(j, t, row));
        }
    }
    return rows;
}

static void say(const json_t *rows, const char *name)
{
    const json_t *row;
    size_t k;
    json_array_foreach(rows, k, row)
        fprintf(stderr, "%s: %s\n", json_string_value(json_object_get(row, "test")),
                json_string_value(json_object_get(row, "words")));
    if (json_array_size(rows))
        fprintf(stderr, "(not measured in turns: the machine may have changed in between)\n");
    else
        fprintf(stderr, "nothing is compared: no test here is one of the baseline %s\n", name);
}

static hone_status put(record *j, const char *name)
{
    hone_config config = *hone_engine_config(j->b->engine);
    config.context_tokens = 0; /* made to fit the tests */
    if (!j->b->kv_asked)
        config.kv_bytes_max = 0; /* follows from the context */
    hone_bench_point points[BENCH_TESTS_MAX];
    char(*names)[96] = hone_calloc(j->b->n_tests, sizeof *names), *text = NULL, *json = NULL;
    int64_t id;
    hone_status s = names ? hone_config_to_json(&config, &json) : hone_fail_memory(96, "names");
    json_t *result = result_json(j->b);
    if (s == HONE_OK) {
        text = result ? json_dumps(result, JSON_COMPACT) : NULL;
        s = text ? HONE_OK : hone_fail_memory(1024, "a benchmark's result");
    }
    size_t n = 0;
    for (size_t i = 0; s == HONE_OK && i < j->b->n_tests; i++) {
        bench_test_name(&j->b->tests[i], names[i], sizeof *names);
        bool twice = false;
        for (size_t k = 0; k < n; k++)
            twice |= strcmp(points[k].test, names[i]) == 0;
        if (!twice)
            points[n++] = (hone_bench_point){names[i], 1 / j->b->tests[i].speed.point};
    }
    const hone_bench_record b = {.model = j->model,
                                 .environment = j->environment,
                                 .config = json,
                                 .machine = j->machine,
                                 .name = name,
                                 .result = text};
    if (s == HONE_OK)
        s = hone_registry_put_bench(j->r, &b, points, n, &id);
    json_decref(result);
    hone_free(text);
    hone_free(json);
    hone_free(names);
    return s;
}

static hone_status keep(record *j, json_t **compared)
{
    const char *name = cli_text(j->b->c, "baseline");
    HONE_TRY(identify(j));
    if (name)
        HONE_TRY(hone_registry_each_bench(j->r, j->model, name, 0, find_baseline, j));
    HONE_TRY(put(j, j->baseline ? NULL : name));
    if (j->baseline) {
        *compared = json_pack("{s:s, s:b, s:o}", "name", name, "in_turns", 0, "rows", compare(j));
        if (!*compared)
            return hone_fail_memory(1024, "a comparison");
        say(json_object_get(*compared, "rows"), name);
    } else if (name)
        fprintf(stderr, "kept as the baseline %s\n", name);
    return HONE_OK;
}

hone_status bench_record(const bench *b, json_t **compared)
{
    record j = {.b = b};
    *compared = NULL;
    bool asked = cli_given(b->c, "baseline");
    hone_status s = cli_open_registry(b->c, true, &j.r);
    if (s == HONE_OK)
        s = keep(&j, compared);
    hone_registry_close(j.r);
    json_decref(j.baseline);
    if (s == HONE_OK || asked || s == HONE_INTERRUPTED)
        return s;
    fprintf(stderr, "not kept in the registry: %s\n", hone_error());
    return HONE_OK;
}
