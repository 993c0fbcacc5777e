/* profile - where the time of a request goes, and what to do about it. */
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/cli.h"
#include "cli/damage.h"
#include "cli/engine_args.h"
#include "cli/profile_text.h"
#include "cli/read_text.h"
#include "file/file.h"
#include "pipeline/advise.h"
#include "report/report.h"
#include "report/report_profile.h"
#include "stat/stat.h"
#include "store/bench_records.h"
#include "store/digest.h"
#include "store/fingerprint.h"

#include <string.h>
#include <unistd.h>

enum { SPANS_MAX = 1 << 18, COST_ROUNDS = 24, TEXT_BYTES_MAX = 64 << 20 };

/* Without --data: something to read, as often as it takes. */
static const char sample_text[] =
    "The lighthouse keeper counted the ships that passed before dawn. Each had a lamp at its mast, "
    "and each lamp told him where the wind stood and how the current ran. He wrote the numbers "
    "down in a long column, because a number that is not written down is only a feeling. When the "
    "fog came he lit the great lamp himself, and waited, and listened for bells. ";

typedef struct profile_job {
    const cli_context *c;
    const char *model;
    hone_config config;
    hone_tokenizer *tokenizer;
    hone_engine *engine;
    hone_profile *profile;
    char *text; /* of the prompt */
    size_t text_bytes;
    int32_t *tokens;
    size_t n_tokens;
    hone_profile_work work;
    hone_technique_facts facts;
    hone_advice advice[HONE_PHASES];
    hone_interval cost, noise; /* recording on against off, off against off; --cost */
    bool has_cost;
    char *environment; /* JSON */
    char environment_key[HONE_DIGEST_BYTES], before_when[32];
    json_t *json, *against, *before; /* what was found; the profile of --against; the last kept */
    char changed[1024];
    hone_registry *registry;
} profile_job;

static void close_job(profile_job *j)
{
    hone_profile_close(j->profile);
    hone_engine_close(j->engine);
    hone_tokenizer_close(j->tokenizer);
    hone_registry_close(j->registry);
    hone_free(j->text);
    hone_free(j->tokens);
    hone_free(j->environment);
    json_decref(j->json);
    json_decref(j->against);
    json_decref(j->before);
}

/* ---- the request --------------------------------------------------------------------------------
 */

static hone_status load(profile_job *j)
{
    HONE_TRY(cli_model_config(j->c, j->model, &j->config));
    j->config.prefix_reuse = false; /* each request does all of its work */
    uint64_t begin = hone_clock_ns();
    hone_status s = hone_tokenizer_open(j->model, &j->tokenizer);
    double tokenizer_s = 1e-9 * (double)(hone_clock_ns() - begin);
    if (s != HONE_OK && cli_given(j->c, "data"))
        return s;
    double cpu = hone_clock_cpu_s();
    uint64_t load_ns = hone_clock_ns();
    HONE_TRY(cli_open_engine(j->model, &j->config, &j->engine));
    double load_s = 1e-9 * (double)(hone_clock_ns() - load_ns);
    HONE_TRY(hone_profile_open(hone_engine_facts(j->engine)->layers,
                               hone_engine_config(j->engine)->threads, SPANS_MAX, &j->profile));
    j->profile->load_ns = load_ns;
    j->profile->load_s = load_s;
    j->profile->load_cpu_s = hone_clock_cpu_s() - cpu;
    if (j->tokenizer) {
        j->profile->tokenizer_ns = begin;
        j->profile->tokenizer_s = tokenizer_s;
    }
    if (!hone_engine_facts(j->engine)->has_head)
        return hone_fail(HONE_UNSUPPORTED,
                         "%s gives no logits: its texts are one step each, without the first and "
                         "later tokens that a profile tells apart",
                         j->model);
    return HONE_OK;
}

static hone_status read_text(profile_job *j)
{
    if (cli_given(j->c, "data"))
        return cli_read_text(cli_text(j->c, "data"), TEXT_BYTES_MAX, &j->text, &j->text_bytes);
    size_t times = (size_t)cli_int(j->c, "prompt") / 32 + 1, n = sizeof sample_text - 1;
    j->text = hone_malloc(times * n + 1);
    if (!j->text)
        return hone_fail_memory(times * n, "a prompt");
    for (size_t i = 0; i < times; i++)
        memcpy(j->text + i * n, sample_text, n);
    j->text_bytes = times * n;
    return HONE_OK;
}

/* The text is cut where about so many tokens end, between two code points. */
static hone_status take_text(profile_job *j, size_t wanted)
{
    HONE_TRY(read_text(j));
    if (j->text_bytes == 0)
        return hone_fail(HONE_DATA, "%s is empty", cli_text(j->c, "data"));
    HONE_TRY(hone_tokenizer_encode(j->tokenizer, j->text, j->text_bytes, HONE_ENCODE_ADD_SPECIAL,
                                   &j->tokens, &j->n_tokens));
    if (j->n_tokens == 0)
        return hone_fail(HONE_DATA, "the prompt has no tokens");
    if (j->n_tokens <= wanted)
        return HONE_OK;
    size_t bytes = (size_t)((double)j->text_bytes * (double)wanted / (double)j->n_tokens);
    while (bytes > 0 && ((unsigned char)j->text[bytes] & 0xC0) == 0x80)
        bytes--;
    j->text_bytes = bytes;
    j->n_tokens = wanted;
    return HONE_OK;
}

static hone_status take_random(profile_job *j, size_t wanted)
{
    uint32_t vocab = hone_engine_facts(j->engine)->vocab;
    fprintf(stderr, "hone: no tokenizer in %s: random tokens, no text\n", j->model);
    j->tokens = hone_malloc(wanted * sizeof *j->tokens);
    if (!j->tokens)
        return hone_fail_memory(wanted * sizeof *j->tokens, "a prompt");
    for (size_t i = 0; i < wanted; i++)
        j->tokens[i] = (int32_t)hone_rng_below(1, 0, i, vocab);
    j->n_tokens = wanted;
    return HONE_OK;
}

/* ---- what is compared with ----------------------------------------------------------------------
 */

static hone_status read_against(profile_job *j)
{
    const char *path = cli_text(j->c, "against");
    char *text;
    size_t bytes;
    if (!path)
        return HONE_OK;
    HONE_TRY(hone_read_file(path, TEXT_BYTES_MAX, &text, &bytes));
    hone_status s = hone_json_parse(text, bytes, 12, 1000000, path, &j->against);
    hone_free(text);
    HONE_TRY(s);
    if (!json_is_array(json_object_get(j->against, "phases")) ||
        !json_is_integer(json_object_get(j->against, "prompt_tokens")) ||
        !json_is_integer(json_object_get(j->against, "decode_tokens")))
        return hone_fail(HONE_FORMAT, "%s is no profile: give what hone profile --json printed",
                         path);
    return HONE_OK;
}

/* Times of other lengths say nothing of these; another model's may be what is asked for. */
static hone_status check_against(const profile_job *j)
{
    if (!j->against)
        return HONE_OK;
    json_int_t prompt = json_integer_value(json_object_get(j->against, "prompt_tokens"));
    json_int_t decode = json_integer_value(json_object_get(j->against, "decode_tokens"));
    const char *path = cli_text(j->c, "against");
    const char *model = json_string_value(json_object_get(j->against, "model"));
    if (prompt != (json_int_t)j->work.n_tokens || decode != (json_int_t)j->work.decode_tokens)
        return hone_fail(HONE_USAGE,
                         "%s is of a prompt of %lld tokens and %lld more, this would be of %u and "
                         "%u: give --prompt %lld --tokens %lld",
                         path, (long long)prompt, (long long)decode, j->work.n_tokens,
                         j->work.decode_tokens, (long long)prompt, (long long)decode);
    if (model && strcmp(model, j->model) != 0)
        fprintf(stderr, "hone: %s is the profile of %s\n", path, model);
    return HONE_OK;
}

/* ---- the request, prepared ----------------------------------------------------------------------
 */

/* Half of a short context each. */
static hone_status prepare(profile_job *j)
{
    size_t context = hone_engine_config(j->engine)->context_tokens;
    size_t decode = (size_t)cli_int(j->c, "tokens"), wanted = (size_t)cli_int(j->c, "prompt");
    if (!cli_given(j->c, "tokens") && decode > context / 4)
        decode = context / 4;
    if (!cli_given(j->c, "prompt") && wanted > context / 2)
        wanted = context / 2;
    if (decode < 1 || wanted < 1)
        return hone_fail(HONE_LIMIT, "a context of %zu tokens is too short to profile", context);
    HONE_TRY(j->tokenizer ? take_text(j, wanted) : take_random(j, wanted));
    j->work = (hone_profile_work){.engine = j->engine,
                                  .tokenizer = j->tokenizer,
                                  .text = j->text,
                                  .text_bytes = j->text_bytes,
                                  .tokens = j->tokens,
                                  .n_tokens = (uint32_t)j->n_tokens,
                                  .decode_tokens = (uint32_t)decode,
                                  .requests = (uint32_t)cli_int(j->c, "requests"),
                                  .progress = cli_engine_progress};
    return HONE_OK;
}

/* Those that the registry keeps for this machine, which a quick look confirms. */
static hone_status take_limits(profile_job *j)
{
    hone_limits_news news;
    if (!cli_flag(j->c, "no-keep") && cli_open_registry(j->c, true, &j->registry) != HONE_OK)
        fprintf(stderr, "not kept in the registry: %s\n", hone_error());
    cli_progress(-1, "measuring the machine's limits");
    HONE_TRY(hone_registry_limits(j->registry, hone_engine_config(j->engine)->threads,
                                  HONE_LIMITS_CHECK, &j->facts.machine, &news));
    cli_progress_end();
    if (news.drifted)
        fprintf(stderr, "hone: %s\n", news.text);
    return HONE_OK;
}

static hone_status take_cost(profile_job *j)
{
    double off[COST_ROUNDS], on[COST_ROUNDS], again[COST_ROUNDS];
    if (!cli_flag(j->c, "cost"))
        return HONE_OK;
    HONE_TRY(hone_profile_cost(j->profile, &j->work, COST_ROUNDS, off, on, again));
    HONE_TRY(hone_stat_ratio_median(on, off, COST_ROUNDS, 0.95, &j->cost));
    HONE_TRY(hone_stat_ratio_median(again, off, COST_ROUNDS, 0.95, &j->noise));
    j->has_cost = true;
    return HONE_OK;
}

static hone_status measure(profile_job *j)
{
    HONE_TRY(take_limits(j));
    HONE_TRY(take_cost(j));
    HONE_TRY(hone_profile_requests(j->profile, &j->work));
    cli_progress_end();
    const hone_config *c = hone_engine_config(j->engine);
    const hone_limits *m = &j->facts.machine;
    hone_profile_hold(j->profile, m->read_bytes_s,
                      (const double[HONE_PHASES]){
                          hone_technique_products_ops_s(m, c, j->work.n_tokens),
                          hone_technique_products_ops_s(m, c, 1),
                      });
    j->facts.model = *hone_engine_facts(j->engine);
    j->facts.cpus = hone_threads_default();
    j->facts.prompt_tokens = j->work.n_tokens;
    j->facts.depth_tokens = j->work.n_tokens + j->work.decode_tokens / 2;
    j->facts.sessions = 1;
    for (int i = 0; i < HONE_PHASES; i++)
        hone_advise(j->profile, (hone_phase)i, &j->facts, c, &j->advice[i]);
    return HONE_OK;
}

/* ---- kept, and compared -------------------------------------------------------------------------
 */

static json_t *advice_json(const hone_advice *a)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < a->n_rows; i++) {
        const hone_advice_row *r = &a->rows[i];
        json_array_append_new(rows, json_pack("{s:s, s:s, s:f, s:b, s:b, s:s}", "technique",
                                              r->technique->name, "label", r->label, "predicted",
                                              r->predicted, "addresses_it", (int)r->addressed,
                                              "lossy", (int)r->technique->lossy, "next_bottleneck",
                                              hone_bottleneck_name(r->next)));
    }
    return json_pack("{s:s, s:s, s:f, s:f, s:s, s:s, s:s, s:o}", "name", hone_phase_name(a->phase),
                     "goal", hone_goal_name(a->goal), "cost", a->cost, "limit_cost", a->least,
                     "bottleneck", hone_bottleneck_name(a->bottleneck), "words", a->words, "next",
                     a->next, "techniques", rows);
}

static hone_status make_json(profile_job *j)
{
    json_t *advice = json_array();
    for (int i = 0; i < HONE_PHASES; i++)
        json_array_append_new(advice, advice_json(&j->advice[i]));
    j->json = hone_profile_json(j->profile, cli_flag(j->c, "layers"));
    if (!j->json)
        return hone_fail_memory(4096, "a profile");
    json_object_set_new(j->json, "advice", advice);
    json_object_set_new(j->json, "model", hone_report_text(j->model));
    json_object_set_new(j->json, "config", cli_config_json(j->engine));
    if (j->has_cost) {
        json_object_set_new(j->json, "recording_cost",
                            json_pack("[f,f,f]", j->cost.point, j->cost.lo, j->cost.hi));
        json_object_set_new(j->json, "recording_noise",
                            json_pack("[f,f,f]", j->noise.point, j->noise.lo, j->noise.hi));
    }
    return HONE_OK;
}

typedef struct search {
    profile_job *j;
    const char *finished; /* of the run whose experiments are seen */
} search;

/* Of the same lengths, the last one stays. */
static hone_status see_experiment(void *arg, const hone_experiment_record *e)
{
    const search *s = arg;
    profile_job *j = s->j;
    json_t *p;
    if (!e->metrics || hone_json_parse(e->metrics, strlen(e->metrics), 12, 1000000,
                                       "a former profile", &p) != HONE_OK)
        return HONE_OK;
    if (json_integer_value(json_object_get(p, "prompt_tokens")) == j->work.n_tokens &&
        json_integer_value(json_object_get(p, "decode_tokens")) == j->work.decode_tokens) {
        json_decref(j->before);
        j->before = json_incref(p);
        snprintf(j->before_when, sizeof j->before_when, "%s", s->finished ? s->finished : "");
    }
    json_decref(p);
    return HONE_OK;
}

static hone_status see_run(void *arg, const hone_run_record *run)
{
    search *s = arg;
    s->finished = run->finished;
    return strcmp(run->goal, "profile") == 0 && strcmp(run->state, "done") == 0
               ? hone_registry_each_experiment(s->j->registry, run->id, see_experiment, s)
               : HONE_OK;
}

static hone_status put_model(profile_job *j, int64_t *id)
{
    hone_file *f;
    char hash[65];
    HONE_TRY(hone_file_open(j->model, &f));
    const char *slash = strrchr(j->model, '/');
    hone_model_record m = {.sha256 = hash,
                           .path = j->model,
                           .name = slash && slash[1] ? slash + 1 : j->model,
                           .arch = hone_engine_facts(j->engine)->arch,
                           .bytes = hone_file_bytes(f)};
    cli_progress(-1, "hashing %s", j->model);
    hone_status s = hone_file_hash(f, hash);
    cli_progress_end();
    hone_file_close(f);
    return s == HONE_OK ? hone_registry_put_model(j->registry, &m, id) : s;
}

static hone_status put_run(profile_job *j, int64_t model, const char *metrics)
{
    int64_t environment, run, experiment;
    char key[96], *config, *known = NULL;
    bool done, failed;
    snprintf(key, sizeof key, "profile:%lld:%016llx%016llx", (long long)model,
             (unsigned long long)hone_clock_ns(), (unsigned long long)getpid());
    HONE_TRY(hone_registry_put_environment(j->registry, j->environment_key, j->environment,
                                           &environment));
    hone_run_record r = {.model = model,
                         .environment = environment,
                         .key = key,
                         .goal = "profile",
                         .data_hash = "",
                         .settings = "{}"};
    HONE_TRY(hone_registry_start_run(j->registry, &r, &run, &done));
    HONE_TRY(hone_config_to_json(hone_engine_config(j->engine), &config));
    hone_experiment_record e = {.run = run, .key = "profile", .label = "profile", .config = config};
    hone_status s = hone_registry_start_experiment(j->registry, &e, &experiment, &failed, &known);
    hone_free(config);
    hone_free(known);
    HONE_TRY(s);
    HONE_TRY(
        hone_registry_finish_experiment(j->registry, experiment, false, metrics, NULL, NULL, 0));
    char result[96]; /* `hone history` shows the label */
    snprintf(result, sizeof result, "{\"label\": \"bound by %s\"}",
             hone_bottleneck_name(j->advice[HONE_PHASE_DECODE].bottleneck));
    return hone_registry_finish_run(j->registry, run, result);
}

static hone_status put(profile_job *j)
{
    int64_t model;
    HONE_TRY(put_model(j, &model));
    HONE_TRY(hone_registry_each_run(j->registry, model, see_run, &(search){.j = j}));
    char *metrics = json_dumps(j->json, JSON_COMPACT | JSON_SORT_KEYS);
    if (!metrics)
        return hone_fail_memory(4096, "a profile");
    hone_status s = put_run(j, model, metrics);
    hone_free(metrics);
    return s;
}

/* A profile is worth showing where it cannot be kept. */
static hone_status keep(profile_job *j)
{
    hone_status s = j->registry ? put(j) : HONE_OK;
    if (s == HONE_OK || s == HONE_INTERRUPTED)
        return s;
    fprintf(stderr, "not kept in the registry: %s\n", hone_error());
    return HONE_OK;
}

static hone_status compare(profile_job *j)
{
    json_t *before = j->against ? j->against : j->before;
    if (!before)
        return HONE_OK;
    if (j->against)
        snprintf(j->before_when, sizeof j->before_when, "the file given");
    hone_profile_compare(before, j->json, j->changed, sizeof j->changed);
    if (j->against && !*j->changed)
        return hone_fail(HONE_FORMAT, "%s: no times to compare with", cli_text(j->c, "against"));
    if (*j->changed)
        json_object_set_new(j->json, "changed", json_string(j->changed));
    return HONE_OK;
}

/* ---- output -------------------------------------------------------------------------------------
 */

static hone_status write_html(const profile_job *j, const char *path)
{
    hone_report_profile r = {.profile = j->profile,
                             .model = j->model,
                             .environment = j->environment,
                             .changed = j->changed,
                             .changed_since = j->before_when};
    char *html, *config;
    size_t bytes;
    for (int i = 0; i < HONE_PHASES; i++) {
        const hone_advice *a = &j->advice[i];
        hone_report_advice *to = &r.advice[i];
        to->bottleneck = hone_bottleneck_name(a->bottleneck);
        to->words = a->words;
        to->next = a->next;
        to->cost = a->cost;
        to->least = a->cached ? 0 : a->least;
        for (size_t k = 0; k < a->n_rows && to->n_rows < HONE_REPORT_ADVICE_ROWS; k++)
            to->rows[to->n_rows++] = (hone_report_advice_row){
                .title = a->rows[k].technique->title,
                .label = a->rows[k].label,
                .when_not = a->rows[k].technique->when_not,
                .next = hone_bottleneck_name(a->rows[k].next),
                .predicted = a->rows[k].predicted,
                .addressed = a->rows[k].addressed,
                .lossy = a->rows[k].technique->lossy,
            };
    }
    HONE_TRY(hone_config_to_json(hone_engine_config(j->engine), &config));
    r.config = config;
    hone_status s = hone_report_profile_html(&r, &html, &bytes);
    hone_free(config);
    HONE_TRY(s);
    s = hone_write_file(path, html, bytes);
    hone_free(html);
    return s;
}

static void print_cost(const profile_job *j)
{
    double records, each;
    hone_profile_records(j->profile, &records, &each);
    printf("\nRecording costs %+.2f %% [%+.2f, %+.2f] (95 %%, %d rounds in turns); off against "
           "off: %+.2f %% [%+.2f, %+.2f]\n",
           100 * (j->cost.point - 1), 100 * (j->cost.lo - 1), 100 * (j->cost.hi - 1), COST_ROUNDS,
           100 * (j->noise.point - 1), 100 * (j->noise.lo - 1), 100 * (j->noise.hi - 1));
    if (j->profile->steady_s > 0)
        printf("From below: %.0f records a token, %.0f ns each: %.3f %% of a steady token\n",
               records, 1e9 * each, 100 * records * each / j->profile->steady_s);
}

static hone_status print_text(const profile_job *j)
{
    const hone_profile *p = j->profile;
    HONE_TRY(cli_print_profile(p, cli_flag(j->c, "layers"), stdout));
    for (int i = 0; i < HONE_PHASES; i++)
        printf("\n%s\n%s\n", j->advice[i].words, j->advice[i].next);
    if (*j->changed)
        printf("\nSince the profile of %s: %s\n", j->before_when, j->changed);
    if (j->has_cost)
        print_cost(j);
    return HONE_OK;
}

static hone_status take(profile_job *j)
{
    if (cli_given(j->c, "trace"))
        HONE_TRY(hone_check_output(cli_text(j->c, "trace")));
    if (cli_given(j->c, "html"))
        HONE_TRY(hone_check_output(cli_text(j->c, "html")));
    HONE_TRY(read_against(j));
    HONE_TRY(load(j));
    HONE_TRY(prepare(j));
    HONE_TRY(check_against(j));
    HONE_TRY(measure(j));
    HONE_TRY(hone_fingerprint_take(&j->environment, j->environment_key));
    HONE_TRY(make_json(j));
    HONE_TRY(keep(j));
    HONE_TRY(compare(j));
    if (cli_given(j->c, "trace"))
        HONE_TRY(hone_profile_write_trace(j->profile, j->model, cli_text(j->c, "trace")));
    if (cli_given(j->c, "html"))
        HONE_TRY(write_html(j, cli_text(j->c, "html")));
    if (cli_json(j->c))
        return cli_print_json(json_incref(j->json));
    return print_text(j);
}

static hone_status run(cli_context *c)
{
    profile_job j = {.c = c, .model = cli_operand(c, 0)};
    hone_status s = take(&j);
    cli_progress_end();
    bool ran = j.engine != NULL;
    close_job(&j);
    return s == HONE_FORMAT && ran ? cli_name_damage(j.model, s) : s;
}

static const cli_option options[] = {
    {.name = "data",
     .type = CLI_TEXT,
     .argument = "FILE",
     .help = "text that the prompt is taken from (default: a paragraph of its own)"},
    {.name = "prompt",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "512",
     .min = 1,
     .max = 1 << 20,
     .help = "tokens of the prompt (of a short context, at most half of it)"},
    {.name = "tokens",
     .type = CLI_INT,
     .argument = "N",
     .letter = 'n',
     .fallback = "32",
     .min = 1,
     .max = 4096,
     .help = "tokens after the first (of a short context, at most a quarter of it)"},
    {.name = "requests",
     .type = CLI_INT,
     .argument = "R",
     .fallback = "3",
     .min = 1,
     .max = 1000,
     .help = "requests to sum up, after a cold one that is told apart"},
    {.name = "html", .type = CLI_TEXT, .argument = "FILE", .help = "write a page about it"},
    {.name = "trace",
     .type = CLI_TEXT,
     .argument = "FILE",
     .help = "write the last request as a trace for ui.perfetto.dev"},
    {.name = "layers", .type = CLI_FLAG, .help = "show each layer"},
    {.name = "cost", .type = CLI_FLAG, .help = "also measure what recording itself costs"},
    {.name = "against",
     .type = CLI_TEXT,
     .argument = "FILE",
     .help = "compare with this output of --json (default: the last kept profile of the model)"},
    {.name = "no-keep", .type = CLI_FLAG, .help = "leave the registry alone"},
    CLI_PROMOTED_OPTIONS,
    {0},
};

static const cli_example examples[] = {
    {"hone profile model.gguf", "where a request's time goes, and what would help"},
    {"hone profile model.gguf --data prompts.txt --html p.html --trace t.json",
     "the same as a page, and as a timeline"},
    {"hone profile model.gguf --weights q4_0", "after a change: what the next bottleneck is"},
    {0},
};

const cli_command cli_cmd_profile = {
    .name = "profile",
    .summary = "show where the time of a request goes, and what bounds it",
    .description =
        "Runs a request cold and then some more, greedily, and sums up where the time goes from "
        "the "
        "text to the first token and for each token after it: each part's time with its share of "
        "the "
        "machine's limit (kept in the registry, see hone doctor), what the threads waited, and the "
        "parts that "
        "make 80 % of it. It says what bounds the run and which techniques address that; hone "
        "optimize measures them.\n\n"
        "Each profile is kept in the registry; the next one of the same model, with the same "
        "lengths, says what changed. docs/profile.md tells how to read it, and when it misleads.",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
