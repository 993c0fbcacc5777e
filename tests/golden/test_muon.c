// links: train
/* Three steps of Muon and of AdamW beside it against PyTorch's (make_muon.py): in float32 against
 * its definition in float32, in bfloat16 against torch.optim.Muon itself, which iterates so. */
#include "base/mem.h"
#include "hw/isa.h"
#include "train/fresh.h"
#include "train/optimizer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../folder.h"

enum { STEPS = 3, KEPT = 512 };
static const double RATE = 0.02;

static const char config[] =
    "{\"model_type\": \"llama\", \"num_hidden_layers\": 1, \"hidden_size\": 16,"
    " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 8,"
    " \"intermediate_size\": 1100, \"vocab_size\": 24, \"max_position_embeddings\": 64,"
    " \"rms_norm_eps\": 1e-5, \"tie_word_embeddings\": false}";

static int make_model(void **state)
{
    return make_folder(state) ||
           hone_fresh_write(config, "config.json", 1, 1, in_folder("m")) != HONE_OK;
}

/* As numbers() of make_muon.py */
static void numbers(const char *name, uint64_t step, size_t n, float scale, float *to)
{
    uint64_t seed = 0xcbf29ce484222325u;
    for (const char *c = name; *c; c++)
        seed = (seed ^ (uint64_t)*c) * 0x100000001b3u;
    for (size_t i = 0; i < n; i++) {
        uint64_t x = seed + step + (i + 1) * 0x9e3779b97f4a7c15u;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
        x = (x ^ x >> 27) * 0x94d049bb133111ebu;
        x = x ^ x >> 31;
        to[i] = ((float)(x >> 40) / 8388608.0f - 1.0f) * scale;
    }
}

static void fill(const hone_trainable *t, uint64_t step, float scale, float *to)
{
    for (size_t i = 0; i < t->p.count; i++) {
        const hone_parameter *p = &t->p.list[i];
        numbers(p->place.weight, step, p->n * p->k, scale, to + p->at);
    }
}

static hone_trainable *open_model(bool f32, int threads, const char *isa)
{
    hone_trainable *t = NULL;
    hone_file *f;
    const hone_trainable_options o = {.f32 = f32,
                                      .threads = threads,
                                      .isa = isa,
                                      .max_rows = 8}; /* fewer than the model is wide */
    if (hone_file_open(in_folder("m"), &f) != HONE_OK || hone_trainable_open(f, &o, &t) != HONE_OK)
        fail_msg("%s", hone_error());
    hone_file_close(f);
    return t;
}

static hone_optimizer_options muon(float momentum, bool plain, hone_muon_scale scale, float clip)
{
    return (hone_optimizer_options){.beta1 = 0.9f,
                                    .beta2 = 0.95f,
                                    .eps = 1e-8f,
                                    .decay = 0.1f,
                                    .clip = clip,
                                    .kind = HONE_OPTIMIZER_MUON,
                                    .momentum = momentum,
                                    .plain_momentum = plain,
                                    .muon_scale = scale};
}

static void steps(hone_trainable *t, hone_optimizer *o, uint64_t first, uint64_t last)
{
    for (uint64_t step = first; step <= last; step++) {
        fill(t, step, 1.0f / 128, t->grads);
        hone_optimizer_step(o, t, hone_gradient_norm(o, t), RATE);
    }
}

static hone_trainable *stepped(bool f32, int threads, const char *isa,
                               const hone_optimizer_options *options)
{
    hone_optimizer o;
    hone_trainable *t = open_model(f32, threads, isa);
    assert_int_equal(hone_optimizer_open(t, options, &o), HONE_OK);
    fill(t, 0, 0.125f, t->weights);
    steps(t, &o, 1, STEPS);
    hone_optimizer_close(&o);
    return t;
}

static float number(const hone_tensor *x, size_t i)
{
    float v;
    memcpy(&v, x->data + 4 * i, 4);
    return v;
}

/* What the weights moved is within bound of what the reference's moved, in Euclidean norm. */
static void check_run(const char *run, bool f32, const hone_optimizer_options *options,
                      double bound)
{
    hone_file *want;
    hone_trainable *t = stepped(f32, 2, NULL, options);
    float *start = hone_malloc(t->p.floats * sizeof *start);
    assert_int_equal(hone_file_open(HONE_SOURCE_DIR "/tests/golden/data/muon.safetensors", &want),
                     HONE_OK);
    fill(t, 0, 0.125f, start);
    assert_int_equal(t->p.count, 12);
    for (size_t i = 0; i < t->p.count; i++) {
        const hone_parameter *p = &t->p.list[i];
        char name[300];
        double off = 0, way = 0;
        snprintf(name, sizeof name, "%s/%s", run, p->place.weight);
        const hone_tensor *x = hone_file_tensor(want, name);
        size_t n = p->n * p->k, stride = (n + KEPT - 1) / KEPT;
        assert_non_null(x);
        assert_int_equal(hone_tensor_elements(x), (n + stride - 1) / stride);
        for (size_t j = 0; j < n; j += stride) {
            double w = (double)number(x, j / stride), s = (double)start[p->at + j];
            off += pow((double)t->weights[p->at + j] - w, 2);
            way += pow(w - s, 2);
        }
        if (!(sqrt(off) <= bound * sqrt(way)))
            fail_msg("%s: off by %.3g of the way", name, sqrt(off / way));
    }
    hone_free(start);
    hone_file_close(want);
    hone_trainable_close(t);
}

static void in_float32_it_makes_the_steps_of_the_definition(void **state)
{
    (void)state;
    hone_optimizer_options o = muon(0.95f, false, HONE_MUON_MATCH_RMS, 0);
    check_run("match-rms", true, &o, 1e-4);
    o = muon(0.95f, false, HONE_MUON_ORIGINAL, 0);
    check_run("original", true, &o, 1e-4);
    o = muon(0.9f, true, HONE_MUON_ORIGINAL, 0.5f);
    check_run("plain", true, &o, 1e-4);
}

static void in_bfloat16_it_is_near_torch_and_the_definition(void **state)
{
    (void)state;
    hone_optimizer_options o = muon(0.95f, false, HONE_MUON_MATCH_RMS, 0);
    check_run("torch", false, &o, 0.04); /* two different roundings */
    check_run("torch", true, &o, 0.02);  /* torch's is this far from the definition */
    check_run("match-rms", false, &o, 0.03);
}

static void bits_do_not_depend_on_threads_or_sets(void **state)
{
    (void)state;
    const hone_optimizer_options o = muon(0.95f, false, HONE_MUON_MATCH_RMS, 1);
    for (int f32 = 0; f32 < 2; f32++) {
        hone_trainable *one = stepped(f32, 1, "scalar", &o);
        for (size_t i = 0; i < one->p.floats; i++)
            assert_true(isfinite(one->weights[i]));
        for (int isa = 0; isa < HONE_ISA_COUNT; isa++) {
            if (!hone_isa_supported((hone_isa)isa))
                continue;
            hone_trainable *other = stepped(f32, 2, hone_isa_name((hone_isa)isa), &o);
            assert_memory_equal(one->weights, other->weights, one->p.floats * sizeof(float));
            hone_trainable_close(other);
        }
        hone_trainable_close(one);
    }
}

static void a_gradient_of_zero_moves_nothing_but_by_decay(void **state)
{
    (void)state;
    const hone_optimizer_options options = muon(0.95f, false, HONE_MUON_MATCH_RMS, 1);
    hone_optimizer o;
    hone_trainable *t = open_model(true, 1, NULL);
    assert_int_equal(hone_optimizer_open(t, &options, &o), HONE_OK);
    fill(t, 0, 0.125f, t->weights);
    const hone_parameter *p = hone_parameter_at(&t->p, 0, HONE_SLOT_GATE, false);
    float before = t->weights[p->at + 5];
    hone_trainable_zero(t);
    hone_optimizer_step(&o, t, hone_gradient_norm(&o, t), RATE);
    assert_true(t->weights[p->at + 5] == before * (float)(1 - RATE * (double)options.decay));
    hone_optimizer_close(&o);
    hone_trainable_close(t);
}

static void an_optimizer_survives_every_failing_allocation(void **state)
{
    (void)state;
    const hone_optimizer_options options = muon(0.95f, false, HONE_MUON_MATCH_RMS, 1);
    hone_optimizer o;
    hone_trainable *t = open_model(true, 1, NULL);
    hone_status s = HONE_MEMORY;
    for (int64_t n = 0; s != HONE_OK; n++) {
        assert_true(n < 50);
        hone_mem_fail_after(n);
        s = hone_optimizer_open(t, &options, &o);
        hone_mem_fail_after(-1);
        assert_true(s == HONE_OK || s == HONE_MEMORY);
    }
    hone_optimizer_close(&o);
    hone_trainable_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_float32_it_makes_the_steps_of_the_definition),
        cmocka_unit_test(in_bfloat16_it_is_near_torch_and_the_definition),
        cmocka_unit_test(bits_do_not_depend_on_threads_or_sets),
        cmocka_unit_test(a_gradient_of_zero_moves_nothing_but_by_decay),
        cmocka_unit_test(an_optimizer_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, make_model, remove_folder);
}
