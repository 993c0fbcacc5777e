// links: report pipeline
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "pipeline/advise.h"
#include "report/report_profile.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../folder.h"

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-12)

static void put_span(hone_profile *p, hone_span_kind kind, int layer, uint64_t begin, uint64_t end,
                     double flops, double bytes)
{
    p->spans.list[p->spans.count++] = (hone_span){begin, end, flops, bytes, (int)kind, layer};
}

static void put_mark(hone_profile *p, int thread, uint64_t begin, uint64_t end, uint32_t items)
{
    hone_pool_track *t = &p->spans.threads->tracks[thread];
    t->list[t->count++] = (hone_pool_mark){begin, end, items};
}

/* 1000 ns: 100 in no part, 300 of mlp_up with 50 waited, 200 of norm alone, 400 of head. */
static hone_profile *small_profile(void)
{
    hone_profile *p;
    assert_int_equal(hone_profile_open(2, 2, 16, &p), HONE_OK);
    put_span(p, HONE_SPAN_MLP_UP, 1, 100, 400, 600, 3000);
    put_mark(p, 0, 110, 340, 3);
    put_mark(p, 0, 345, 395, 0);
    put_mark(p, 1, 150, 394, 2);
    put_span(p, HONE_SPAN_NORM, 1, 400, 600, 0, 500);
    put_span(p, HONE_SPAN_HEAD, -1, 600, 1000, 800, 4000);
    put_mark(p, 0, 610, 990, 9);
    put_mark(p, 1, 600, 1000, 8);
    put_span(p, HONE_SPAN_STEP, -1, 50, 1000, 0, 0);
    hone_profile_add(p, HONE_PHASE_DECODE, 0, 1000, 1.5e-6, 1);
    return p;
}

static void parts_and_gaps_make_the_wall_time_and_threads_are_counted(void **state)
{
    (void)state;
    hone_profile *p = small_profile();
    const hone_profile_phase *f = &p->phases[HONE_PHASE_DECODE];
    NEAR(f->wall_s, 1000e-9);
    NEAR(f->between_s, 100e-9);
    NEAR(f->waiting_s, 50e-9);
    NEAR(f->parts[HONE_SPAN_MLP_UP].seconds, 300e-9);
    NEAR(f->parts[HONE_SPAN_MLP_UP].waiting_s, 50e-9);
    NEAR(f->parts[HONE_SPAN_MLP_UP].busy_s, (300 - 50 + 244) * 1e-9);
    NEAR(f->parts[HONE_SPAN_NORM].busy_s, 200e-9);
    NEAR(f->parts[HONE_SPAN_HEAD].busy_s, 800e-9);
    NEAR(f->layers[1][HONE_SPAN_MLP_UP].seconds, 300e-9);
    NEAR(f->layers[0][HONE_SPAN_MLP_UP].seconds, 0);
    assert_int_equal(f->parts[HONE_SPAN_STEP].calls, 0);
    /* A second stretch adds up; what lies outside its bounds is not counted. */
    hone_profile_add(p, HONE_PHASE_DECODE, 350, 1000, 0, 1);
    NEAR(f->parts[HONE_SPAN_MLP_UP].seconds, 300e-9);
    NEAR(f->parts[HONE_SPAN_HEAD].seconds, 800e-9);
    NEAR(f->between_s, (100 + 50) * 1e-9);
    /* What did not fit is counted once, however many stretches lie in the recorder. */
    p->spans.dropped = 3;
    hone_profile_add(p, HONE_PHASE_DECODE, 1000, 1100, 0, 1);
    p->spans.dropped = 5;
    hone_profile_add(p, HONE_PHASE_DECODE, 1100, 1200, 0, 1);
    assert_int_equal(p->dropped, 5);
    hone_profile_clear(p);
    p->spans.dropped = 1;
    hone_profile_add(p, HONE_PHASE_DECODE, 0, 100, 0, 1);
    assert_int_equal(p->dropped, 6);
    hone_profile_reset(p);
    NEAR(f->wall_s, 0);
    NEAR(f->layers[1][HONE_SPAN_MLP_UP].seconds, 0);
    assert_int_equal(p->spans.count, 0);
    hone_profile_close(p);
}

static void a_part_is_held_against_the_slower_of_both_limits(void **state)
{
    (void)state;
    hone_profile *p = small_profile();
    const hone_profile_part *parts = p->phases[HONE_PHASE_DECODE].parts;
    hone_profile_hold(p, 20e9, (const double[HONE_PHASES]){1e9, 1e12});
    NEAR(parts[HONE_SPAN_MLP_UP].limit_s, 3000 / 20e9); /* half of its 300 ns */
    hone_profile_hold(p, 20e9, (const double[HONE_PHASES]){1e12, 3e9});
    NEAR(parts[HONE_SPAN_MLP_UP].limit_s, 600 / 3e9);
    NEAR(parts[HONE_SPAN_NORM].limit_s, 0); /* lives in the caches */
    int order[HONE_SPAN_KINDS];
    assert_int_equal(hone_profile_rank(&p->phases[HONE_PHASE_DECODE], order), 3);
    assert_int_equal(order[0], HONE_SPAN_HEAD);
    assert_int_equal(order[2], HONE_SPAN_NORM);
    hone_profile_close(p);
}

static hone_technique_facts one_gigabyte(void)
{
    hone_technique_facts f = {
        .model = {.layers = 2,
                  .hidden = 4096,
                  .heads = 32,
                  .kv_heads = 8,
                  .head_dim = 128,
                  .ffn = 14336,
                  .vocab = 32000,
                  .context_tokens = 4096,
                  .packed_kind_bytes = {400 << 20, 400 << 20, 224 << 20}},
        .machine = {.threads = 2, .read_bytes_s = 20e9},
        .cpus = 2,
        .prompt_tokens = 512,
        .depth_tokens = 512,
        .sessions = 1,
    };
    f.model.flops_per_token = 1e9;
    for (int i = 0; i < HONE_ISA_COUNT; i++)
        f.machine.ops_s[i] = 1e12;
    return f;
}

static void the_words_name_the_bound_and_a_technique_that_addresses_it(void **state)
{
    (void)state;
    hone_profile *p = small_profile();
    hone_technique_facts f = one_gigabyte();
    hone_config c = hone_config_default();
    hone_advice *a = calloc(1, sizeof *a);
    assert_non_null(a);
    double least = hone_technique_roofline(&f, &c, HONE_GOAL_DECODE_LATENCY).cost;
    hone_profile_hold(p, 20e9, (const double[HONE_PHASES]){1e12, 1e12});
    p->phases[HONE_PHASE_DECODE].wall_s = 1.25 * least;
    hone_advise(p, HONE_PHASE_DECODE, &f, &c, a);
    assert_int_equal(a->bottleneck, HONE_BOTTLENECK_WEIGHT_READ);
    assert_non_null(strstr(a->words, "weight-read"));
    assert_non_null(strstr(a->words, "80 %"));
    assert_true(a->n_rows > 0 && a->rows[0].addressed && a->rows[0].predicted > 1);
    assert_int_equal(a->rows[0].technique->addresses, HONE_BOTTLENECK_WEIGHT_READ);
    assert_non_null(strstr(a->next, a->rows[0].label));
    /* Far from every limit it is neither memory nor arithmetic. */
    p->phases[HONE_PHASE_DECODE].wall_s = 10 * least;
    hone_advise(p, HONE_PHASE_DECODE, &f, &c, a);
    assert_int_equal(a->bottleneck, HONE_BOTTLENECK_OVERHEAD);
    free(a);
    hone_profile_close(p);
}

static void windows_are_not_counted_as_if_they_kept_everything(void **state)
{
    (void)state;
    hone_technique_facts f = one_gigabyte();
    hone_config c = hone_config_default();
    NEAR(hone_model_seen(&f.model, 512), 512);
    double all = hone_technique_roofline(&f, &c, HONE_GOAL_DECODE_LATENCY).kv_bytes,
           kept = hone_technique_roofline(&f, &c, HONE_GOAL_MEMORY).kv_bytes;
    f.model.windows[0].tokens = 128; /* one of both layers */
    f.model.windows[0].layers = 1;
    NEAR(hone_model_seen(&f.model, 512), (512 + 128) / 2.0);
    NEAR(hone_model_seen(&f.model, 100), 100);
    NEAR(hone_technique_roofline(&f, &c, HONE_GOAL_DECODE_LATENCY).kv_bytes, all * 640 / 1024);
    NEAR(hone_technique_roofline(&f, &c, HONE_GOAL_MEMORY).kv_bytes, kept * (4096 + 128) / 8192);
    /* A prompt of 512: the mean of min(depth, 128) over depths 0 to 512 is 112. */
    double prompt = hone_technique_roofline(&f, &c, HONE_GOAL_TTFT).kv_bytes;
    NEAR(prompt / (all / 512) * 2, 256 + 112);
}

/* A window of 24: taking 16 tokens back from 96 needs pages that were given back. */
static void what_recording_costs_is_measured_behind_the_whole_prompt(void **state)
{
    (void)state;
    enum { PROMPT = 80, DECODED = 16, ROUNDS = 3 }; /* the last one recorded comes last */
    int32_t tokens[PROMPT];
    double seconds[3][ROUNDS], flops = 0;
    hone_config c = hone_config_default();
    hone_profile *p;
    hone_engine *e;
    for (int i = 0; i < PROMPT; i++)
        tokens[i] = (i * 37 + 11) % 521;
    c.threads = 1;
    c.prefix_reuse = false;
    if (hone_engine_open(HONE_SOURCE_DIR "/tests/golden/data/models/gemma3", &c, NULL, NULL, &e) !=
        HONE_OK)
        fail_msg("%s", hone_error());
    const hone_profile_work w = {
        .engine = e, .tokens = tokens, .n_tokens = PROMPT, .decode_tokens = DECODED, .requests = 1};
    assert_int_equal(hone_profile_open(hone_engine_facts(e)->layers, 1, 1 << 14, &p), HONE_OK);
    assert_int_equal(hone_profile_requests(p, &w), HONE_OK);
    assert_int_equal(hone_profile_cost(p, &w, ROUNDS, seconds[0], seconds[1], seconds[2]), HONE_OK);
    for (size_t i = 0; i < p->spans.count; i++)
        if (p->spans.list[i].kind == HONE_SPAN_ATTENTION)
            flops += p->spans.list[i].flops;
    assert_true(flops > 0);
    NEAR(flops / p->phases[HONE_PHASE_DECODE].parts[HONE_SPAN_ATTENTION].flops, 1);
    hone_profile_close(p);
    hone_engine_close(e);
}

static void the_trace_is_json_with_named_tracks(void **state)
{
    (void)state;
    hone_profile *p = small_profile();
    const char *path = in_folder("trace.json");
    assert_int_equal(hone_profile_write_trace(p, "a \"model\"\n<b>", path), HONE_OK);
    char *text;
    size_t bytes;
    json_t *trace;
    assert_int_equal(hone_read_file(path, 1 << 20, &text, &bytes), HONE_OK);
    assert_int_equal(hone_json_parse(text, bytes, 8, 10000, "trace", &trace), HONE_OK);
    size_t i, events = 0, names = 0;
    const json_t *e;
    json_array_foreach(json_object_get(trace, "traceEvents"), i, e)
    {
        events += strcmp(json_string_value(json_object_get(e, "ph")), "X") == 0;
        names += strcmp(json_string_value(json_object_get(e, "name")), "thread_name") == 0;
    }
    assert_int_equal(names, 3);
    /* phase, step, 3 spans; 3 marks of thread 0; 2 of thread 1 with 2 gaps before them */
    assert_int_equal(events, 1 + 1 + 3 + 3 + 2 + 2);
    json_decref(trace);
    hone_free(text);
    hone_profile_close(p);
}

static void the_page_escapes_what_it_shows_and_survives_an_empty_profile(void **state)
{
    (void)state;
    for (int empty = 0; empty < 2; empty++) {
        hone_profile *p = small_profile();
        if (empty)
            hone_profile_reset(p);
        hone_profile_hold(p, 20e9, (const double[HONE_PHASES]){1e12, 1e12});
        hone_report_profile r = {.profile = p,
                                 .model = "/x/<script>alert(1)</script>.gguf",
                                 .config = "{\"a\":\"<b>\"}",
                                 .environment = "{\"cpu\":\"<i>&\",\"n\":3}",
                                 .changed = "<u>",
                                 .changed_since = "now"};
        for (int i = 0; i < HONE_PHASES; i++)
            r.advice[i] = (hone_report_advice){.bottleneck = "overhead", .words = "", .next = ""};
        char *html;
        size_t bytes;
        assert_int_equal(hone_report_profile_html(&r, &html, &bytes), HONE_OK);
        assert_null(strstr(html, "<script"));
        assert_null(strstr(html, "<b>&"));
        assert_null(strstr(html, "<i>&"));
        assert_null(strstr(html, "<u>"));
        assert_null(strstr(html, "nan"));
        assert_non_null(strstr(html, "</html>"));
        hone_free(html);
        hone_profile_close(p);
    }
}

static void a_failed_allocation_is_returned(void **state)
{
    (void)state;
    hone_status s = HONE_MEMORY;
    for (int i = 0; s != HONE_OK && i < 64; i++) {
        hone_profile *p;
        hone_mem_fail_after(i);
        s = hone_profile_open(3, 2, 16, &p);
        hone_mem_fail_after(-1);
        if (s == HONE_OK) {
            assert_true(i > 3);
            hone_profile_close(p);
        } else
            assert_null(p);
    }
    assert_int_equal(s, HONE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_and_gaps_make_the_wall_time_and_threads_are_counted),
        cmocka_unit_test(a_part_is_held_against_the_slower_of_both_limits),
        cmocka_unit_test(the_words_name_the_bound_and_a_technique_that_addresses_it),
        cmocka_unit_test(windows_are_not_counted_as_if_they_kept_everything),
        cmocka_unit_test(what_recording_costs_is_measured_behind_the_whole_prompt),
        cmocka_unit_test_setup_teardown(the_trace_is_json_with_named_tracks, make_folder,
                                        remove_folder),
        cmocka_unit_test(the_page_escapes_what_it_shows_and_survives_an_empty_profile),
        cmocka_unit_test(a_failed_allocation_is_returned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
