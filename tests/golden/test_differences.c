// links: train
/* Gradients against differences of a plain float64 forward: every decoder that hone has (weights of
 * ../shared/data/golden, where the plain forward is first held to transformers' float64 logits),
 * and random shapes with random weights. Each slot, over all layers, in one random direction. */
#include "base/rng.h"
#include "train/fresh.h"
#include "train/trainable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../folder.h"
#include "../shared.h"
#include "plain_forward.h"

static const char *const models[] = {"llama",    "llama-tied", "mistral",      "qwen2",  "qwen3",
                                     "phi3",     "gemma",      "gemma2",       "gemma3", "gpt2",
                                     "gpt_neox", "starcoder2", "phi3-longrope"};
enum { MODELS = sizeof models / sizeof *models, FIRST = 41, SECOND = 18, ROWS = FIRST + SECOND };

static hone_trainable *open_model(const char *path)
{
    hone_file *f;
    hone_trainable *t = NULL;
    if (hone_file_open(path, &f) != HONE_OK ||
        hone_trainable_open(f,
                            &(hone_trainable_options){.f32 = true, .threads = 2, .max_rows = ROWS},
                            &t) != HONE_OK)
        fail_msg("%s: %s", path, hone_error());
    hone_file_close(f);
    return t;
}

static plain plain_of(const hone_trainable *t)
{
    double *w = hone_calloc(t->p.floats, sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < t->p.floats; i++)
        w[i] = (double)t->weights[i];
    return (plain){t->model, &t->p, w};
}

static void plain_forward_has_the_logits_of_transformers(void **state)
{
    (void)state;
    static double z[PLAIN_TOKENS][PLAIN_WIDTH];
    for (size_t m = 0; m < MODELS; m++) {
        char path[512], file[600];
        int32_t ids[PLAIN_TOKENS];
        if (!find_golden(models[m], path) || !find_shared("test_differences", "golden/models"))
            continue;
        snprintf(file, sizeof file, "golden/models/%s/reference.safetensors", models[m]);
        hone_file *reference;
        hone_trainable *t = open_model(path);
        assert_int_equal(hone_file_open(shared(file), &reference), HONE_OK);
        const hone_tensor *in = hone_file_tensor(reference, "prompt1.input_ids"),
                          *want = hone_file_tensor(reference, "prompt1.logits_f64");
        assert_true(in && want);
        size_t n = (size_t)hone_tensor_elements(in), vocab = t->model->hp.vocab;
        for (size_t i = 0; i < n; i++) {
            int64_t v = 0;
            memcpy(&v, in->data + i * (in->bytes / n), in->bytes / n);
            ids[i] = (int32_t)v;
        }
        plain f = plain_of(t);
        plain_logits(&f, ids, n, z);
        for (size_t i = 0; i < n * vocab; i++) {
            float x;
            memcpy(&x, want->data + 4 * i, 4);
            if (!(fabs((double)x - z[i / vocab][i % vocab]) < 1e-4))
                fail_msg("%s: logit %zu of token %zu is %g, the reference has %g", models[m],
                         i % vocab, i / vocab, z[i / vocab][i % vocab], (double)x);
        }
        hone_free((void *)(uintptr_t)f.w);
        hone_file_close(reference);
        hone_trainable_close(t);
    }
}

/* The loss of both sequences with the weights moved by e along direction u. */
static double moved_loss(const plain *f, const double *u, double e, const int32_t *ids,
                         const int32_t *labels)
{
    double *w = hone_malloc(f->p->floats * sizeof *w);
    for (size_t i = 0; i < f->p->floats; i++)
        w[i] = f->w[i] + e * u[i];
    plain moved = {f->m, f->p, w};
    double loss = plain_loss(&moved, ids, labels, FIRST) +
                  plain_loss(&moved, ids + FIRST, labels + FIRST, SECOND);
    hone_free(w);
    return loss;
}

/* One slot of all layers: the slope along random numbers. */
static void check_slot(const char *name, const hone_trainable *t, const plain *f, hone_slot slot,
                       bool bias, const int32_t *ids, const int32_t *labels)
{
    double *u = hone_calloc(t->p.floats, sizeof *u), g[2], along = 0, square = 0;
    const double e = 1e-6; /* the corner of a relu is seldom that near */
    for (size_t i = 0; i < t->p.count; i++) {
        const hone_parameter *one = &t->p.list[i];
        for (size_t j = one->at;
             one->slot == slot && one->bias == bias && j < one->at + one->n * one->k; j++) {
            hone_rng_normal2(5, slot, j, g);
            u[j] = g[0];
            along += g[0] * (double)t->grads[j];
            square += (double)t->grads[j] * (double)t->grads[j];
        }
    }
    if (square > 0) {
        double slope =
            (moved_loss(f, u, e, ids, labels) - moved_loss(f, u, -e, ids, labels)) / (2 * e);
        if (!(fabs(slope - along) < 1e-4 * sqrt(square) + 1e-6))
            fail_msg("%s, %s%s: slope %.9g, gradient %.9g (length %g)", name,
                     hone_slot_describe(slot)->name, bias ? " bias" : "", slope, along,
                     sqrt(square));
    }
    hone_free(u);
}

static void check_model(const char *name, hone_trainable *t, size_t from)
{
    int32_t ids[ROWS], labels[ROWS];
    const uint32_t lengths[] = {FIRST, SECOND};
    int32_t targets[ROWS];
    double sum;
    for (size_t i = 0; i < ROWS; i++) {
        ids[i] = (int32_t)hone_rng_below(3, from, i, t->model->hp.vocab);
        labels[i] = hone_rng_below(4, from, i, 4) ? ids[i] : HONE_LABEL_IGNORED;
    }
    const hone_backward_batch batch = {ROWS, 2, ids, lengths};
    size_t count = hone_shift_labels(&batch, labels, targets);
    hone_trainable_zero(t);
    if (hone_trainable_add(t, &batch, targets, 1, true, &sum) != HONE_OK)
        fail_msg("%s: %s", name, hone_error());
    plain f = plain_of(t);
    double want =
        plain_loss(&f, ids, labels, FIRST) + plain_loss(&f, ids + FIRST, labels + FIRST, SECOND);
    if (!(fabs(sum - want) < 1e-4 * (double)count))
        fail_msg("%s: loss %.9g, plainly %.9g", name, sum, want);
    size_t checked = 0;
    for (hone_slot slot = 0; slot < HONE_SLOTS; slot++)
        for (int bias = 0; bias < 2; bias++)
            for (size_t i = 0; i < t->p.count; i++)
                if (t->p.list[i].slot == slot && t->p.list[i].bias == bias) {
                    check_slot(name, t, &f, slot, bias, ids, labels);
                    checked++;
                    break;
                }
    assert_true(checked >= 8);
    hone_free((void *)(uintptr_t)f.w);
}

static void every_decoder_has_the_slopes_of_the_plain_forward(void **state)
{
    (void)state;
    for (size_t m = 0; m < MODELS; m++) {
        char path[512];
        if (!find_golden(models[m], path))
            continue;
        hone_trainable *t = open_model(path);
        check_model(models[m], t, m);
        hone_trainable_close(t);
    }
}

/* ---- random shapes --------------------------------------------------------------------------- */

static uint32_t pick(uint64_t shape, uint64_t what, uint32_t low, uint32_t high)
{
    return low + (uint32_t)hone_rng_below(11, shape, what, high - low + 1);
}

static void random_config(uint64_t shape, char *json, size_t size)
{
    static const char *const types[] = {"llama", "qwen3", "mistral", "gemma2", "starcoder2"},
                             *const acts[] = {"silu", "gelu", "gelu_pytorch_tanh", "relu"};
    uint32_t kv = pick(shape, 0, 1, 2);
    snprintf(json, size,
             "{\"model_type\": \"%s\", \"num_hidden_layers\": %u, \"hidden_size\": %u,"
             " \"num_attention_heads\": %u, \"num_key_value_heads\": %u, \"head_dim\": %u,"
             " \"intermediate_size\": %u, \"vocab_size\": %u, \"max_position_embeddings\": 64,"
             " \"hidden_act\": \"%s\", \"hidden_activation\": \"%s\", \"sliding_window\": %u,"
             " \"query_pre_attn_scalar\": 9, \"attn_logit_softcapping\": 3.0,"
             " \"final_logit_softcapping\": 5.0, \"tie_word_embeddings\": %s,"
             " \"attention_bias\": %s, \"mlp_bias\": true, \"use_bias\": true}",
             types[shape % 5], pick(shape, 1, 1, 3), pick(shape, 2, 8, 60),
             kv * pick(shape, 3, 1, 3), kv, 2 * pick(shape, 4, 2, 12), pick(shape, 5, 5, 90),
             pick(shape, 6, 20, 300), acts[pick(shape, 7, 0, 3)], acts[pick(shape, 8, 1, 2)],
             pick(shape, 9, 5, 30), pick(shape, 10, 0, 1) ? "true" : "false",
             pick(shape, 11, 0, 1) ? "true" : "false");
}

static void random_shapes_have_the_slopes_of_the_plain_forward(void **state)
{
    (void)state;
    for (uint64_t shape = 0; shape < 15; shape++) {
        char json[1024], path[300], name[32];
        double g[2];
        random_config(shape, json, sizeof json);
        snprintf(name, sizeof name, "random shape %u", (unsigned)shape);
        snprintf(path, sizeof path, "%s/shape%u", folder, (unsigned)shape);
        if (hone_fresh_write(json, "config.json", shape, 2, path) != HONE_OK)
            fail_msg("%s: %s", json, hone_error());
        hone_trainable *t = open_model(path);
        for (size_t i = 0; i < t->p.count; i++) /* weights, biases and norms that matter */
            for (size_t j = 0; j < t->p.list[i].n * t->p.list[i].k; j++) {
                hone_rng_normal2(12, shape, t->p.list[i].at + j, g);
                t->weights[t->p.list[i].at + j] +=
                    (float)(g[0] * (t->p.list[i].n > 1 ? 0.25 : 0.2));
            }
        hone_trainable_push(t);
        check_model(name, t, 100 + shape);
        hone_trainable_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_forward_has_the_logits_of_transformers),
        cmocka_unit_test(every_decoder_has_the_slopes_of_the_plain_forward),
        cmocka_unit_test(random_shapes_have_the_slopes_of_the_plain_forward),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
