#include "cli/compare_live.h"
#include "cli/read_text.h"

#include "base/io.h"
#include "base/mem.h"
#include "hw/machine.h"
#include "pipeline/turns.h"
#include "report/report.h"
#include "text/tokenizer.h"

#include <math.h>
#include <string.h>

enum { RESAMPLES = 4000 };
#define TEXT_BYTES_MAX ((size_t)1 << 30)

/* ---- the text -------------------------------------------------------------------------------- */

static hone_status encode(const compare_live *l, const char *model, int32_t **ids, size_t *n,
                          int32_t *bos)
{
    hone_tokenizer *t;
    HONE_TRY(hone_tokenizer_open(model, &t));
    hone_status s = hone_tokenizer_encode(t, l->data.text, l->data.bytes, 0, ids, n);
    *bos = hone_tokenizer_adds_bos(t) ? hone_tokenizer_bos(t) : -1;
    hone_tokenizer_close(t);
    HONE_TRY(s);
    int64_t most = cli_int(l->c, "max-tokens");
    if (most > 0 && *n > (uint64_t)most)
        *n = (size_t)most;
    return HONE_OK;
}

static hone_eval_protocol protocol_for(const compare_live *l, const hone_engine *e, int32_t bos)
{
    hone_eval_protocol p = hone_eval_protocol_default(hone_engine_config(e)->context_tokens, bos);
    if (cli_given(l->c, "ctx"))
        p.context = p.stride = (uint32_t)cli_int(l->c, "ctx");
    return p;
}

static hone_status take_reference(compare_live *l, hone_engine *e)
{
    compare_text *d = &l->data;
    hone_status s = hone_eval_reference_take(e, d->ids, d->n, &d->protocol, HONE_EVAL_KEEP_BYTES,
                                             cli_engine_progress, NULL, &d->reference);
    cli_progress_end();
    if (s == HONE_DATA)
        s = hone_fail_in(s, "%s", cli_text(l->c, "data"));
    hone_eval_protocol_describe(&d->protocol, d->words, sizeof d->words);
    l->page->protocol = d->words;
    return s;
}

hone_status compare_live_original(compare_live *l, const char *model)
{
    hone_config config = hone_config_default();
    hone_engine *e;
    int32_t bos;
    if (!l->data.text)
        return HONE_OK;
    config.compute = HONE_COMPUTE_F32;
    config.kv_format = HONE_KV_F32;
    config.prefix_reuse = false;
    if (cli_given(l->c, "threads"))
        config.threads = (int)cli_int(l->c, "threads");
    HONE_TRY(encode(l, model, &l->data.ids, &l->data.n, &bos));
    HONE_TRY(cli_open_engine(model, &config, &e));
    l->data.protocol = protocol_for(l, e, bos);
    hone_status s = take_reference(l, e);
    hone_engine_close(e);
    return s;
}

static hone_status judge_first(compare_live *l, const char *path, hone_engine *e,
                               hone_compare_side *side)
{
    int32_t bos;
    HONE_TRY(encode(l, path, &l->data.ids, &l->data.n, &bos));
    l->data.protocol = protocol_for(l, e, bos);
    HONE_TRY(take_reference(l, e));
    side->perplexity = l->data.reference.result.perplexity;
    side->kl_mean = side->kl_p99 = 0;
    side->top1 = 1;
    return HONE_OK;
}

/* Texts that are cut otherwise, or ids that mean something else, have no divergence. */
static hone_status judge_other(compare_live *l, hone_engine *e, const int32_t *ids, size_t n,
                               int32_t bos, hone_compare_side *side)
{
    hone_eval_protocol p = l->data.protocol;
    hone_eval_result r;
    p.bos = bos;
    size_t used = strlen(side->note);
    snprintf(side->note + used, sizeof side->note - used,
             "%scuts the text into other tokens (%zu instead of %zu): its perplexity cannot be "
             "compared",
             used ? "; " : "", n, l->data.n);
    hone_status s = hone_eval_perplexity(e, ids, n, &p, cli_engine_progress, NULL, &r);
    cli_progress_end();
    HONE_TRY(s);
    side->perplexity = r.perplexity;
    hone_eval_result_close(&r);
    return HONE_OK;
}

static hone_status judge(compare_live *l, const char *path, hone_engine *e, hone_compare_side *side)
{
    int32_t *ids = NULL, bos;
    size_t n = 0;
    hone_eval_comparison r;
    if (!l->data.text)
        return HONE_OK;
    if (!l->data.reference.logits)
        return judge_first(l, path, e, side);
    hone_status s = encode(l, path, &ids, &n, &bos);
    if (s == HONE_OK && (n != l->data.n || memcmp(ids, l->data.ids, n * sizeof *ids) != 0 ||
                         hone_engine_facts(e)->vocab != l->data.reference.vocab)) {
        s = judge_other(l, e, ids, n, bos, side);
    } else if (s == HONE_OK) {
        s = hone_eval_compare(&l->data.reference, e, cli_engine_progress, NULL, &r);
        cli_progress_end();
        if (s == HONE_OK) {
            side->perplexity = r.test.perplexity;
            side->kl_mean = r.kl_mean;
            side->kl_p99 = r.kl_p99;
            side->top1 = r.top1_agreement;
            hone_eval_comparison_close(&r);
        }
    }
    hone_free(ids);
    return s;
}

/* ---- sides ----------------------------------------------------------------------------------- */

static hone_status weigh(const char *path, hone_compare_side *side)
{
    hone_file *f;
    HONE_TRY(hone_file_open(path, &f));
    double bytes = 0;
    for (size_t i = 0; i < hone_file_tensor_count(f); i++)
        bytes += (double)hone_file_tensor_at(f, i)->bytes;
    hone_file_close(f);
    side->stored_bytes = bytes;
    return HONE_OK;
}

hone_status compare_live_open(compare_live *l, const cli_context *c, size_t n, hone_compare *page)
{
    const char *data = cli_text(c, "data");
    *l = (compare_live){.c = c, .page = page, .first_open = 1};
    l->rounds_max = cli_given(c, "rounds") ? (size_t)cli_int(c, "rounds") : n > 2 ? 15 : 53;
    l->memory_max =
        cli_given(c, "memory") ? (double)cli_bytes(c, "memory") : hone_machine_memory_bytes("") / 2;
    l->benches = hone_calloc(HONE_COMPARE_SIDES, sizeof *l->benches);
    l->costs = hone_calloc(2 * HONE_COMPARE_SIDES * l->rounds_max, sizeof *l->costs);
    if (!l->benches || !l->costs)
        return hone_fail_memory(HONE_COMPARE_SIDES * l->rounds_max * sizeof *l->costs, "samples");
    if (!data)
        return HONE_OK;
    page->data = data;
    return cli_read_text(data, TEXT_BYTES_MAX, &l->data.text, &l->data.bytes);
}

static void close_bench(compare_live *l, size_t i)
{
    bench_close(&l->benches[i]);
    l->benches[i] = (bench){0};
}

void compare_live_close(compare_live *l)
{
    for (size_t i = 0; l->benches && i < HONE_COMPARE_SIDES; i++)
        if (l->benches[i].tests)
            close_bench(l, i);
    hone_eval_reference_close(&l->data.reference);
    hone_free(l->data.ids);
    hone_free(l->data.text);
    hone_free(l->benches);
    hone_free(l->costs);
}

/* Names of the tests, from the first side's list. */
static hone_status name_tests(compare_live *l, const bench *b)
{
    if (b->n_tests > HONE_COMPARE_TESTS)
        return hone_fail(HONE_USAGE, "%zu tests: at most %d in a comparison", b->n_tests,
                         (int)HONE_COMPARE_TESTS);
    l->page->n_tests = b->n_tests;
    for (size_t t = 0; t < b->n_tests; t++)
        bench_test_name(&b->tests[t], l->page->tests[t], sizeof l->page->tests[t]);
    return HONE_OK;
}

static hone_status open_side(compare_live *l, bench *b, const char *path, const hone_config *config)
{
    b->c = l->c;
    HONE_TRY(bench_list(b));
    HONE_TRY(name_tests(l, b));
    uint32_t context = cli_given(l->c, "ctx") ? (uint32_t)cli_int(l->c, "ctx") : 512;
    if (l->data.reference.logits)
        context = l->data.protocol.context;
    if (l->data.text && context > b->tokens_max)
        b->tokens_max = context;
    return bench_open(b, path, *config);
}

static hone_status look_at(compare_live *l, const char *path, const bench *b,
                           hone_compare_side *side)
{
    const hone_model_facts *f = hone_engine_facts(b->engine);
    hone_config config = *hone_engine_config(b->engine);
    if (!f->has_head)
        return hone_fail(HONE_UNSUPPORTED, "%s: an encoder gives no logits to compare", path);
    config.context_tokens = 0; /* made to fit the tests */
    if (!b->kv_asked)
        config.kv_bytes_max = 0; /* follows from the context */
    HONE_TRY(hone_config_to_json(&config, &side->config));
    side->path = hone_strdup(path);
    if (!side->path)
        return hone_fail_memory(strlen(path), "a path");
    HONE_TRY(weigh(path, side));
    side->bits = f->parameters ? 8 * side->stored_bytes / (double)f->parameters : NAN;
    side->memory_bytes = (double)f->packed_bytes + (double)f->kv_bytes_context;
    return judge(l, path, b->engine, side);
}

static double open_bytes(const compare_live *l)
{
    double sum = 0;
    for (size_t i = 0; i < l->page->n_sides; i++)
        if (l->benches[i].engine)
            sum += (double)hone_engine_facts(l->benches[i].engine)->packed_bytes;
    return sum;
}

hone_status compare_live_add(compare_live *l, const char *label, const char *path,
                             const hone_config *config, const char *note)
{
    size_t i = l->page->n_sides;
    hone_compare_side *side = &l->page->sides[i], coming;
    if (i == HONE_COMPARE_SIDES)
        return hone_fail(HONE_LIMIT, "at most %d sides", (int)HONE_COMPARE_SIDES);
    HONE_TRY(weigh(path, &coming));
    if (i > l->first_open && open_bytes(l) + 1.1 * coming.stored_bytes > l->memory_max)
        HONE_TRY(compare_live_finish(l));
    hone_compare_side_clear(side);
    (void)hone_report_clean(label, side->label, sizeof side->label);
    (void)hone_report_clean(note, side->note, sizeof side->note);
    hone_status s = open_side(l, &l->benches[i], path, config);
    if (s == HONE_OK)
        s = look_at(l, path, &l->benches[i], side);
    if (s != HONE_OK) {
        close_bench(l, i);
        hone_free(side->config);
        hone_free(side->path);
        return s;
    }
    l->page->n_sides++;
    return HONE_OK;
}

/* ---- time ------------------------------------------------------------------------------------ */

typedef struct pair {
    compare_live *l;
    size_t side, test;
} pair;

static hone_status measure_side(void *arg, int side, double *cost)
{
    pair *p = arg;
    bench *b = &p->l->benches[side ? p->side : 0];
    return bench_sample(b, &b->tests[p->test], cost);
}

/* Each side next to the first one: what lies further apart in time differs for other reasons. */
static hone_status take_round(compare_live *l, const size_t *open, size_t n, size_t round,
                              size_t test)
{
    for (size_t k = 1; k < n; k++) {
        pair p = {l, open[k], test};
        double *first = l->costs + 2 * open[k] * l->rounds_max, *own = first + l->rounds_max;
        HONE_TRY(hone_turns_take(measure_side, &p, round + k, 1, first + round, own + round));
    }
    return HONE_OK;
}

static hone_status median_speed(const double *costs, size_t rounds, hone_compare_speed *s)
{
    hone_interval cost;
    HONE_TRY(hone_stat_bootstrap_median(costs, rounds, 0.95, 1, RESAMPLES, &cost));
    s->tok_s = (hone_interval){1 / cost.point, 1 / cost.hi, 1 / cost.lo};
    s->rounds = rounds;
    return HONE_OK;
}

static hone_status settle(compare_live *l, size_t i, size_t test, size_t rounds, double level)
{
    hone_compare_side *sides = l->page->sides;
    const double *first = l->costs + 2 * i * l->rounds_max, *own = first + l->rounds_max;
    HONE_TRY(median_speed(own, rounds, &sides[i].speed[test]));
    HONE_TRY(median_speed(first, rounds, &sides[0].speed[test]));
    return hone_stat_ratio_rounds(first, own, rounds, 1, level, 1, RESAMPLES,
                                  &sides[i].speed[test].ratio);
}

static hone_status time_test(compare_live *l, const size_t *open, size_t n, size_t test)
{
    double level = hone_versus_level(l->rounds_max, 0.95);
    HONE_TRY(take_round(l, open, n, 0, test)); /* to warm up: taken again */
    for (size_t look = 0, until, round = 0; (until = hone_versus_look(look, l->rounds_max)) > 0;
         look++) {
        for (; round < until; round++) {
            cli_progress((double)round / (double)l->rounds_max, "%s, %zu sides in turns",
                         l->page->tests[test], n);
            HONE_TRY(take_round(l, open, n, round, test));
        }
        bool done = true;
        for (size_t k = 1; k < n; k++) {
            HONE_TRY(settle(l, open[k], test, round, level));
            done &= hone_versus_done(&l->page->sides[open[k]].speed[test].ratio, l->page->margin);
        }
        if (done)
            break;
    }
    return HONE_OK;
}

hone_status compare_live_finish(compare_live *l)
{
    size_t open[HONE_COMPARE_SIDES], n = 0;
    open[n++] = 0;
    for (size_t i = l->first_open; i < l->page->n_sides; i++)
        open[n++] = i;
    if (n < 2)
        return HONE_OK;
    for (size_t t = 0; t < l->page->n_tests; t++)
        HONE_TRY(time_test(l, open, n, t));
    cli_progress_end();
    for (size_t i = l->first_open; i < l->page->n_sides; i++)
        close_bench(l, i);
    l->first_open = l->page->n_sides;
    return HONE_OK;
}
