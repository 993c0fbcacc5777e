// links: pipeline
#include "base/mem.h"
#include "base/rng.h"
#include "kernel/kernel.h"
#include "pipeline/trial.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../folder.h"

/* A backend with planted effects: what each configuration costs and loses is known. */
typedef struct fake {
    double noise; /* relative standard deviation of a sample */
    double drift; /* grows with every sample: a machine that slows down */
    double speed_q8, speed_q4, speed_mlp, speed_kv, speed_threads; /* factors on the cost */
    double bf16_loss, loss_q8, loss_q4, loss_kv;                   /* mean difference of scores */
    double fresh_loss;     /* more on text that nothing was chosen by, */
    double fresh_head;     /* and this much more with a head in 4 bits, */
    double speed_head;     /* which is so much faster */
    hone_status refuse_q4; /* status of loading it */
    int short_loads;       /* so many loads find no memory */
    bool meets;            /* another one at the same time, which is refused */
    int stop_after;        /* measurements until INTERRUPTED; -1 = never */
    bool die;              /* or kill -9 instead */
    uint64_t measured, loads, compared;
} fake;

typedef struct variant {
    hone_config c;
} variant;

static bool has(const hone_config *c, int dtype)
{
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++)
        if (c->weight_dtype[k] == dtype)
            return true;
    return false;
}

static bool has_head_q4(const hone_config *c)
{
    int head = c->weight_dtype[HONE_WEIGHT_HEAD];
    return head == HONE_DTYPE_Q4_0 || head == HONE_DTYPE_Q4_1;
}

static void meet(void);

static hone_status fake_load(void *self, const hone_config *c, void **out)
{
    fake *f = self;
    f->loads++;
    if (f->short_loads && f->short_loads--)
        return hone_fail(HONE_MEMORY, "planted");
    if (f->meets)
        meet();
    if (f->refuse_q4 != HONE_OK && (has(c, HONE_DTYPE_Q4_0) || has(c, HONE_DTYPE_Q4_1)))
        return hone_fail(f->refuse_q4, "planted");
    variant *v = hone_malloc(sizeof *v);
    v->c = *c;
    *out = v;
    return HONE_OK;
}

static void fake_unload(void *self, void *v)
{
    (void)self;
    hone_free(v);
}

static hone_status fake_facts(void *self, void *v, hone_technique_facts *out)
{
    (void)self;
    const hone_config *c = &((variant *)v)->c;
    *out = (hone_technique_facts){.model = {.layers = 2,
                                            .hidden = 64,
                                            .heads = 4,
                                            .kv_heads = 2,
                                            .head_dim = 16,
                                            .ffn = 128,
                                            .vocab = 1000,
                                            .context_tokens = 100,
                                            .packed_kind_bytes = {49152, 98304, 128000}},
                                  .machine = {.threads = 2, .read_bytes_s = 1e9},
                                  .cpus = 2,
                                  .prompt_tokens = 50,
                                  .depth_tokens = 1500,
                                  .sessions = 8};
    out->model.flops_per_token = 2 * (24576 + 49152 + 64000);
    out->model.packed_bytes = has(c, HONE_DTYPE_Q8_0) ? 100000 : 200000;
    for (int i = 0; i < HONE_ISA_COUNT; i++)
        out->machine.ops_s[i] = 1e12;
    return HONE_OK;
}

static hone_status fake_profile(void *self, void *v, hone_goal g, hone_pipeline_profile *out)
{
    (void)self;
    (void)v;
    (void)g;
    out->n_parts = 1;
    out->parts[0] = (hone_pipeline_part){.name = "mlp_up", .text = "gate", .seconds = 1};
    out->seconds = 1;
    out->cost = 4e-4; /* the roofline says 6.6e-4 */
    return HONE_OK;
}

static double cost_of(const fake *f, const hone_config *c)
{
    double cost = 1e-3;
    if (has(c, HONE_DTYPE_Q4_0) || has(c, HONE_DTYPE_Q4_1))
        cost *= f->speed_q4 * (has_head_q4(c) ? f->speed_head : 1);
    else if (c->weight_dtype[HONE_WEIGHT_HEAD] == HONE_DTYPE_Q8_0)
        cost *= f->speed_q8;
    else if (has(c, HONE_DTYPE_Q8_0))
        cost *= f->speed_mlp;
    if (c->kv_format == HONE_KV_I8)
        cost *= f->speed_kv;
    return c->threads == 1 ? cost * f->speed_threads : cost;
}

static hone_status fake_measure(void *self, void *v, hone_goal g, double *cost)
{
    fake *f = self;
    (void)g;
    if (f->stop_after >= 0 && f->measured >= (uint64_t)f->stop_after) {
        if (f->die)
            kill(getpid(), SIGKILL);
        return hone_fail(HONE_INTERRUPTED, "planted");
    }
    double z[2];
    hone_rng_normal2(99, 0, f->measured++, z);
    *cost = cost_of(f, &((variant *)v)->c) * exp(f->noise * z[0]) *
            (1 + f->drift * (double)f->measured);
    return HONE_OK;
}

static hone_status fake_compare(void *self, void *v, bool fresh, hone_pipeline_comparison *out)
{
    fake *f = self;
    const hone_config *c = &((variant *)v)->c;
    enum { n = 2000 };
    double loss = c->compute == HONE_COMPUTE_F32 ? 0 : f->bf16_loss;
    if (has(c, HONE_DTYPE_Q4_0) || has(c, HONE_DTYPE_Q4_1))
        loss += f->loss_q4;
    if (has(c, HONE_DTYPE_Q8_0))
        loss += f->loss_q8;
    if (c->kv_format == HONE_KV_I8)
        loss += f->loss_kv;
    if (fresh)
        loss += f->fresh_loss + (has_head_q4(c) ? f->fresh_head : 0);
    *out = (hone_pipeline_comparison){.nll_ref = hone_malloc(n * sizeof(double)),
                                      .nll = hone_malloc(n * sizeof(double)),
                                      .scored = n,
                                      .kl_mean = loss,
                                      .top1_agreement = 1};
    for (uint64_t i = 0; i < n; i++) {
        double z[2];
        hone_rng_normal2(5, 0, i, z);
        out->nll_ref[i] = 2 + 0.5 * z[0];
        out->nll[i] = out->nll_ref[i] + loss * (1 + 0.1 * z[1]);
    }
    f->compared++;
    return HONE_OK;
}

#define REGISTRY in_folder("registry.db")

static fake plain(void)
{
    return (fake){.noise = 0.02,
                  .speed_q8 = 0.6,
                  .speed_q4 = 0.4,
                  .speed_mlp = 0.8,
                  .speed_head = 1,
                  .speed_kv = 1,
                  .speed_threads = 1.5,
                  .bf16_loss = 1e-5,
                  .loss_q8 = 1e-3,
                  .loss_q4 = 0.05,
                  .loss_kv = 1e-4,
                  .stop_after = -1};
}

static hone_status optimize(fake *f, double max_loss, bool fresh, hone_pipeline_result *out)
{
    hone_pipeline_backend b = {
        f, fake_load, fake_unload, fake_facts, fake_profile, fake_measure, fake_compare};
    hone_pipeline_request q = {
        .model = {.sha256 = "aa", .path = "m", .name = "m", .arch = "llama", .bytes = 1},
        .goal = HONE_GOAL_DECODE_LATENCY,
        .max_loss = max_loss,
        .data_hash = "dd",
        .seed = 1,
        .pairs = 20,
        .settings = "{}",
        .environment_key = "e",
        .environment = "{}",
        .fresh = fresh,
        .promote = true};
    hone_registry *r;
    HONE_TRY(hone_registry_open(REGISTRY, true, &r));
    hone_status s = hone_pipeline_optimize(&q, &b, r, out);
    hone_registry_close(r);
    return s;
}

static void meet(void)
{
    fake other = plain();
    hone_pipeline_result out;
    assert_int_equal(optimize(&other, 0.01, false, &out), HONE_BUSY);
    assert_int_equal(optimize(&other, 0.01, true, &out), HONE_BUSY);
    assert_int_equal(other.loads, 0);
}

static void two_at_once_do_not_share_a_run(void **state)
{
    (void)state;
    fake f = plain();
    f.meets = true;
    hone_pipeline_result out;
    assert_int_equal(optimize(&f, 0.01, false, &out), HONE_OK);
    assert_true(out.won);
}

static void a_passing_shortage_is_no_verdict_on_the_baseline(void **state)
{
    (void)state;
    fake f = plain();
    f.short_loads = 1;
    hone_pipeline_result out;
    assert_int_equal(optimize(&f, 0.01, false, &out), HONE_MEMORY);
    assert_int_equal(optimize(&f, 0.01, false, &out), HONE_OK);
    assert_true(out.won);
}

static char *current(void)
{
    hone_registry *r;
    char *config;
    assert_int_equal(hone_registry_open(REGISTRY, false, &r), HONE_OK);
    assert_int_equal(hone_registry_current(r, "aa", &config), HONE_OK);
    hone_registry_close(r);
    return config;
}

static void the_fastest_that_passes_the_gate_wins_and_is_promoted(void **state)
{
    (void)state;
    fake f = plain();
    hone_pipeline_result out;
    assert_int_equal(optimize(&f, 0.01, false, &out), HONE_OK);
    assert_true(out.won && out.promoted && !out.was_done);
    assert_int_equal(out.chosen.weight_dtype[HONE_WEIGHT_MLP], HONE_DTYPE_Q8_0);
    assert_int_equal(out.chosen.weight_dtype[HONE_WEIGHT_ATTENTION], HONE_DTYPE_Q8_0);
    assert_int_equal(out.chosen.threads, 0); /* one is slower */
    assert_int_equal(out.chosen.kv_format, HONE_KV_BF16);
    char *in_force = current(), *want;
    assert_int_equal(hone_config_to_json(&out.chosen, &want), HONE_OK);
    assert_string_equal(in_force, want);
    hone_free(in_force);
    hone_free(want);
}

static void a_generous_bound_takes_the_faster_lossier_one(void **state)
{
    (void)state;
    fake f = plain();
    hone_pipeline_result out;
    assert_int_equal(optimize(&f, 0.1, false, &out), HONE_OK);
    assert_true(out.won);
    assert_true(has(&out.chosen, HONE_DTYPE_Q4_0) || has(&out.chosen, HONE_DTYPE_Q4_1));
}

static hone_status take_metrics(void *arg, const hone_experiment_record *e)
{
    char **metrics = arg;
    if (strcmp(e->key, "base:f32") == 0)
        *metrics = hone_strdup(e->metrics);
    return HONE_OK;
}

/* The float32 baseline has figures of its own: no loss, and its weights. */
static void check_f32_figures(int64_t run)
{
    hone_registry *r;
    char *metrics = NULL;
    assert_int_equal(hone_registry_open(REGISTRY, false, &r), HONE_OK);
    assert_int_equal(hone_registry_each_experiment(r, run, take_metrics, &metrics), HONE_OK);
    hone_registry_close(r);
    assert_non_null(metrics);
    assert_non_null(strstr(metrics, "\"kl_mean\":0.0,"));
    assert_non_null(strstr(metrics, "\"top1_agreement\":1.0"));
    assert_non_null(strstr(metrics, "\"weight_bytes\":"));
    hone_free(metrics);
}

static void a_tight_bound_refuses_everything_lossy(void **state)
{
    (void)state;
    fake f = plain();
    hone_pipeline_result out;
    assert_int_equal(optimize(&f, 1e-6, false, &out), HONE_OK); /* bf16 itself loses 1e-5 */
    assert_false(out.won);
    assert_int_equal(out.chosen.compute, HONE_COMPUTE_F32);
    assert_string_equal(out.label, "baseline f32");
    assert_true(out.promoted); /* else the file would run in the arithmetic that was refused */
    char *in_force = current();
    assert_non_null(strstr(in_force, "f32"));
    hone_free(in_force);
    check_f32_figures(out.run);

    f.speed_threads = 0.5; /* lossless: still allowed */
    assert_int_equal(optimize(&f, 1e-6, true, &out), HONE_OK);
    assert_true(out.won);
    assert_int_equal(out.chosen.threads, 1);
    assert_int_equal(out.chosen.compute, HONE_COMPUTE_F32);
}

static void the_bound_counts_not_the_mean(void **state)
{
    (void)state;
    fake f = plain();
    f.loss_q8 = 0.00995; /* mean loss just under 1 %, its upper bound above */
    hone_pipeline_result out;
    assert_int_equal(optimize(&f, 0.01, false, &out), HONE_OK);
    assert_false(has(&out.chosen, HONE_DTYPE_Q8_0));
}

static void a_loss_that_shows_on_fresh_text_only_keeps_the_baseline(void **state)
{
    (void)state;
    fake f = plain();
    f.fresh_loss = 0.05;
    hone_pipeline_result out;
    assert_int_equal(optimize(&f, 0.01, false, &out), HONE_OK);
    assert_false(out.won);
    assert_string_equal(out.label, "baseline");
    assert_null(current());
}

static void when_the_choice_does_not_hold_the_next_best_is_put_to_the_proof(void **state)
{
    (void)state;
    fake f = plain();
    f.speed_head = 0.8; /* q4_0 and q4_1 are the fastest, and on fresh text they fail */
    f.fresh_head = 0.2;
    hone_pipeline_result out, again;
    assert_int_equal(optimize(&f, 0.1, false, &out), HONE_OK);
    assert_true(out.won && out.promoted);
    assert_true(has(&out.chosen, HONE_DTYPE_Q4_0) || has(&out.chosen, HONE_DTYPE_Q4_1));
    assert_false(has_head_q4(&out.chosen));
    uint64_t measured = f.measured;
    assert_int_equal(optimize(&f, 0.1, false, &again), HONE_OK);
    assert_string_equal(again.label, out.label);
    assert_int_equal(f.measured, measured);
    f.fresh_loss = 0.2; /* nothing holds: three are tried and no more */
    uint64_t loads = f.loads;
    assert_int_equal(optimize(&f, 0.1, true, &again), HONE_OK);
    assert_false(again.won);
    f.fresh_loss = 0;
    f.fresh_head = 0;
    uint64_t with_three = f.loads - loads;
    assert_int_equal(optimize(&f, 0.1, true, &again), HONE_OK);
    assert_int_equal(with_three - 2, f.loads - loads - with_three);
}

static void null_effects_are_seldom_claimed_even_on_a_drifting_machine(void **state)
{
    (void)state;
    int claims = 0;
    for (int trial = 0; trial < 60; trial++) {
        fake f = plain();
        f.speed_q8 = f.speed_q4 = f.speed_mlp = f.speed_kv = f.speed_threads = 1;
        f.noise = 0.05;
        f.measured = 100000 * (uint64_t)(trial + 1); /* other noise */
        f.drift = 1e-8;
        hone_pipeline_result out;
        assert_int_equal(optimize(&f, 0.5, true, &out), HONE_OK);
        claims += out.won;
    }
    assert_in_range(claims, 0, 3); /* 5 % of 60 if the screening alone decided */
}

static void independent_gains_are_combined_and_the_combination_is_measured(void **state)
{
    (void)state;
    fake f = plain();
    f.speed_threads = 0.7;
    f.speed_kv = 0.8;
    hone_pipeline_result out;
    assert_int_equal(optimize(&f, 0.01, false, &out), HONE_OK);
    assert_int_equal(out.chosen.weight_dtype[HONE_WEIGHT_HEAD], HONE_DTYPE_Q8_0);
    assert_int_equal(out.chosen.threads, 1);
    assert_int_equal(out.chosen.kv_format, HONE_KV_I8);
    /* Each passes alone, both together lose too much: the second is left out. */
    f.loss_q8 = 0.006;
    f.loss_kv = 0.006;
    assert_int_equal(optimize(&f, 0.01, true, &out), HONE_OK);
    assert_int_equal(out.chosen.weight_dtype[HONE_WEIGHT_HEAD], HONE_DTYPE_Q8_0);
    assert_int_equal(out.chosen.threads, 1);
    assert_int_equal(out.chosen.kv_format, HONE_KV_BF16);
}

static void a_candidate_that_cannot_be_loaded_is_rejected_and_the_rest_goes_on(void **state)
{
    (void)state;
    fake f = plain();
    f.refuse_q4 = HONE_UNSUPPORTED;
    hone_pipeline_result out;
    assert_int_equal(optimize(&f, 0.1, false, &out), HONE_OK);
    assert_true(out.won && has(&out.chosen, HONE_DTYPE_Q8_0));
    f.refuse_q4 = HONE_DISK; /* not the candidate's fault */
    assert_int_equal(optimize(&f, 0.1, true, &out), HONE_DISK);
}

static void an_identical_call_after_the_end_measures_nothing(void **state)
{
    (void)state;
    fake f = plain();
    hone_pipeline_result a, b;
    assert_int_equal(optimize(&f, 0.01, false, &a), HONE_OK);
    uint64_t measured = f.measured;
    assert_int_equal(optimize(&f, 0.01, false, &b), HONE_OK);
    assert_int_equal(f.measured, measured);
    assert_true(b.was_done && b.won);
    assert_int_equal(a.run, b.run);
    assert_string_equal(a.label, b.label);
    assert_memory_equal(&a.chosen.weight_dtype, &b.chosen.weight_dtype,
                        sizeof a.chosen.weight_dtype);
    assert_int_equal(optimize(&f, 0.02, false, &b), HONE_OK); /* another bound: another run */
    assert_true(f.measured > measured && b.run != a.run);
}

/* Interrupted anywhere, and again and again, a run ends with the same choice, and in all no more is
 * measured than once straight through plus the experiments that were cut. */
static void an_interrupted_run_goes_on_without_redoing_what_was_finished(void **state)
{
    (void)state;
    fake whole = plain();
    hone_pipeline_result want, out;
    assert_int_equal(optimize(&whole, 0.01, true, &want), HONE_OK);
    uint64_t total = whole.measured, per_experiment = 2 + 2 * 20;
    for (int step = 50; step <= 250; step += 100) {
        char *now;
        uint64_t measured = 0;
        int calls = 0;
        hone_status s = HONE_INTERRUPTED;
        while (s == HONE_INTERRUPTED && calls < 100) {
            fake f = plain();
            f.stop_after = step;
            s = optimize(&f, 0.01, calls == 0, &out);
            measured += f.measured;
            calls++;
        }
        assert_int_equal(s, HONE_OK);
        assert_true(calls > 1);
        assert_string_equal(out.label, want.label);
        assert_true(measured <= total + (uint64_t)(calls - 1) * per_experiment);
        assert_non_null(now = current());
        hone_free(now);
    }
}

static void killed_in_the_middle_the_second_call_finishes_the_rest(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        fake f = plain();
        f.stop_after = 190;
        f.die = true;
        hone_pipeline_result out;
        _exit((int)optimize(&f, 0.01, false, &out));
    }
    int code;
    waitpid(child, &code, 0);
    assert_true(WIFSIGNALED(code) && WTERMSIG(code) == SIGKILL);
    fake again = plain(), straight = plain();
    hone_pipeline_result out;
    assert_int_equal(optimize(&again, 0.01, false, &out), HONE_OK);
    assert_true(out.won && !out.was_done);
    assert_int_equal(optimize(&straight, 0.01, true, &out), HONE_OK);
    assert_true(again.measured <= straight.measured - 160); /* four whole experiments were kept */
    assert_true(again.compared < straight.compared);
}

static void quality_is_the_paired_ratio_of_perplexities(void **state)
{
    (void)state;
    enum { n = 320 };
    double ref[n], test[n];
    for (int i = 0; i < n; i++) {
        ref[i] = 1 + 0.01 * i;
        test[i] = ref[i] + 0.02;
    }
    hone_pipeline_comparison c = {.nll_ref = ref, .nll = test, .scored = n};
    pipeline_quality q;
    assert_int_equal(pipeline_judge(&c, 0.95, &q), HONE_OK);
    assert_true(fabs(q.perplexity / q.perplexity_ref - exp(0.02)) < 1e-9);
    assert_true(fabs(q.loss - expm1(0.02)) < 1e-12);
    assert_true(fabs(q.loss_upper - q.loss) < 1e-9); /* the difference does not vary */
    test[7] = NAN;
    assert_int_equal(pipeline_judge(&c, 0.95, &q), HONE_DATA);
    c.scored = 10;
    assert_int_equal(pipeline_judge(&c, 0.95, &q), HONE_DATA);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(the_fastest_that_passes_the_gate_wins_and_is_promoted),
        TEST(a_generous_bound_takes_the_faster_lossier_one),
        TEST(a_tight_bound_refuses_everything_lossy),
        TEST(the_bound_counts_not_the_mean),
        TEST(a_loss_that_shows_on_fresh_text_only_keeps_the_baseline),
        TEST(when_the_choice_does_not_hold_the_next_best_is_put_to_the_proof),
        TEST(null_effects_are_seldom_claimed_even_on_a_drifting_machine),
        TEST(independent_gains_are_combined_and_the_combination_is_measured),
        TEST(a_candidate_that_cannot_be_loaded_is_rejected_and_the_rest_goes_on),
        TEST(an_identical_call_after_the_end_measures_nothing),
        TEST(an_interrupted_run_goes_on_without_redoing_what_was_finished),
        TEST(killed_in_the_middle_the_second_call_finishes_the_rest),
        TEST(two_at_once_do_not_share_a_run),
        TEST(a_passing_shortage_is_no_verdict_on_the_baseline),
        TEST(quality_is_the_paired_ratio_of_perplexities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
