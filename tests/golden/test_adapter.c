// links: compress train
/* Adapters made by PEFT (data/adapter, make_adapter.py): its logits, PyTorch's gradients of A, B
 * and magnitudes, the same merged; slopes of the plain float64 forward with the adapter merged into
 * it; the same bits on any number of threads, on every instruction set, with layers run twice and
 * in any cut of the batch; what is refused. */
#include "base/io.h"
#include "base/rng.h"
#include "compress/export.h"
#include "engine/engine.h"
#include "hw/isa.h"
#include "train/fresh.h"
#include "train/trainable.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../folder.h"
#include "plain_forward.h"

#define DATA HONE_SOURCE_DIR "/tests/golden/data/"
enum { SEQUENCES = 2, LENGTH = 12, ROWS = SEQUENCES * LENGTH, SHOWN = 1 };

typedef struct adapted {
    const char *name, *model;
    bool dora;
} adapted;
static const adapted cases[] = {{"lora", DATA "models/llama", false},
                                {"dora", DATA "models/llama", true},
                                {"gpt2", DATA "models/gpt2", false},
                                {"gpt2-dora", DATA "models/gpt2", true}};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct reference {
    hone_file *f;
    char adapter[256];
    int32_t ids[ROWS], targets[ROWS];
    double loss;
    hone_backward_batch batch;
    size_t count;
} reference;

static const uint32_t lengths[SEQUENCES] = {LENGTH, LENGTH};

static void ok(hone_status s)
{
    if (s != HONE_OK)
        fail_msg("%s", hone_error());
}

static hone_file *open_file(const char *path)
{
    hone_file *f;
    ok(hone_file_open(path, &f));
    return f;
}

static reference open_case(const adapted *c)
{
    reference r = {.count = 0};
    char path[300];
    snprintf(r.adapter, sizeof r.adapter, DATA "adapter/%s", c->name);
    snprintf(path, sizeof path, "%s/reference.safetensors", r.adapter);
    r.f = open_file(path);
    const hone_tensor *ids = hone_file_tensor(r.f, "ids"), *loss = hone_file_tensor(r.f, "loss");
    assert_true(ids && loss && ids->bytes == ROWS * 8);
    for (size_t i = 0; i < ROWS; i++) {
        int64_t v;
        memcpy(&v, ids->data + 8 * i, 8);
        r.ids[i] = (int32_t)v;
    }
    float x;
    memcpy(&x, loss->data, 4);
    r.loss = (double)x;
    return r;
}

static void make_batch(reference *r)
{
    r->batch = (hone_backward_batch){ROWS, SEQUENCES, r->ids, lengths};
    r->count = hone_shift_labels(&r->batch, r->ids, r->targets);
}

static hone_engine *open_engine(const char *model, const char *adapter, bool f32, int threads)
{
    hone_config c = hone_config_default();
    hone_engine *e;
    c.compute = f32 ? HONE_COMPUTE_F32 : HONE_COMPUTE_BF16;
    c.kv_format = f32 ? HONE_KV_F32 : HONE_KV_BF16;
    c.threads = threads;
    c.context_tokens = 64;
    snprintf(c.adapter, sizeof c.adapter, "%s", adapter);
    ok(hone_engine_open(model, &c, NULL, NULL, &e));
    return e;
}

/* Logits of the first sequence, [LENGTH][vocab]. */
static float *logits_of(hone_engine *e, const int32_t *ids, size_t *vocab)
{
    hone_session *s;
    *vocab = hone_engine_facts(e)->vocab;
    float *out = malloc(LENGTH * *vocab * sizeof *out);
    ok(hone_session_open(e, &s));
    ok(hone_session_feed(s, ids, LENGTH, HONE_WANT_ALL, out));
    hone_session_close(s);
    return out;
}

/* The last rows of both, or of all; within bound. */
static void near(const char *what, const float *got, const float *want, size_t n, double bound)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)want[i]));
        worst = fabs((double)got[i] - (double)want[i]) <= worst
                    ? worst
                    : fabs((double)got[i] - (double)want[i]);
    }
    if (!(worst <= bound * fmax(1, largest)))
        fail_msg("%s: off by %g of %g", what, worst, largest);
}

static void logits_are_those_of_peft(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        reference r = open_case(&cases[i]);
        size_t vocab;
        hone_engine *e = open_engine(cases[i].model, r.adapter, true, 2),
                    *plain = open_engine(cases[i].model, "", true, 1),
                    *rounded = open_engine(cases[i].model, r.adapter, false, 1);
        float *got = logits_of(e, r.ids, &vocab), *without = logits_of(plain, r.ids, &vocab),
              *bf16 = logits_of(rounded, r.ids, &vocab),
              *want = malloc(SHOWN * vocab * sizeof *want);
        const hone_tensor *t = hone_file_tensor(r.f, "logits");
        assert_true(t && t->bytes == SHOWN * vocab * 4);
        memcpy(want, t->data, t->bytes);
        near(cases[i].name, got + (LENGTH - SHOWN) * vocab, want, SHOWN * vocab, 2e-5);
        near("in bfloat16", bf16 + (LENGTH - SHOWN) * vocab, want, SHOWN * vocab, 0.05);
        double moved = 0;
        for (size_t j = 0; j < SHOWN * vocab; j++)
            moved =
                fmax(moved, fabs((double)want[j] - (double)without[(LENGTH - SHOWN) * vocab + j]));
        assert_true(moved > 0.01); /* else the adapter would prove nothing */
        free(got);
        free(without);
        free(bf16);
        free(want);
        hone_engine_close(e);
        hone_engine_close(plain);
        hone_engine_close(rounded);
        hone_file_close(r.f);
    }
}

static void merged_weights_have_the_same_logits(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        reference r = open_case(&cases[i]);
        hone_export_result result;
        char path[256];
        size_t vocab;
        snprintf(path, sizeof path, "%s/merged%zu", folder, i);
        hone_file *f = open_file(cases[i].model);
        ok(hone_export_merged(f, r.adapter, HONE_DTYPE_F32, path, &result));
        hone_file_close(f);
        assert_true(result.decoded > 0);
        hone_engine *e = open_engine(cases[i].model, r.adapter, true, 1),
                    *m = open_engine(path, "", true, 1);
        float *want = logits_of(e, r.ids, &vocab), *got = logits_of(m, r.ids, &vocab);
        near(cases[i].name, got, want, LENGTH * vocab, 1e-5);
        free(want);
        free(got);
        hone_engine_close(e);
        hone_engine_close(m);
        hone_file_close(r.f);
    }
}

static hone_trainable *open_trainable(const char *model, hone_trainable_options o)
{
    hone_trainable *t;
    hone_file *f = open_file(model);
    if (!o.max_rows)
        o.max_rows = ROWS;
    ok(hone_trainable_open(f, &o, &t));
    hone_file_close(f);
    return t;
}

static double add(hone_trainable *t, const reference *r)
{
    double sum;
    hone_trainable_zero(t);
    ok(hone_trainable_add(t, &r->batch, r->targets, 1.0 / (double)r->count, true, &sum));
    return sum / (double)r->count;
}

static void gradients_are_those_of_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        reference r = open_case(&cases[i]);
        make_batch(&r);
        hone_trainable *t = open_trainable(
            cases[i].model,
            (hone_trainable_options){.f32 = true, .threads = 2, .adapter_folder = r.adapter});
        double loss = add(t, &r);
        if (!(fabs(loss - r.loss) < 2e-5))
            fail_msg("%s: loss %.7f, PyTorch's %.7f", cases[i].name, loss, r.loss);
        ok(hone_parameters_save(&t->p, HONE_DTYPE_F32, t->grads, in_folder("g.safetensors")));
        hone_file *got = open_file(in_folder("g.safetensors"));
        assert_int_equal(hone_file_tensor_count(got) + 3, hone_file_tensor_count(r.f));
        for (size_t j = 0; j < hone_file_tensor_count(got); j++) {
            const hone_tensor *g = hone_file_tensor_at(got, j);
            char name[256];
            snprintf(name, sizeof name, "grad.%s", g->name);
            const hone_tensor *want = hone_file_tensor(r.f, name);
            if (!want || want->bytes != g->bytes)
                fail_msg("%s is not in the reference", name);
            float *a = malloc(g->bytes), *b = malloc(g->bytes);
            double largest = 0, worst = 0;
            memcpy(a, g->data, g->bytes);
            memcpy(b, want->data, g->bytes);
            for (size_t k = 0; k < g->bytes / 4; k++) {
                largest = fmax(largest, fabs((double)b[k]));
                worst = fmax(worst, fabs((double)a[k] - (double)b[k]));
            }
            if (!(worst <= 1e-4 * largest) || !(largest > 0))
                fail_msg("%s, %s: off by %g of %g", cases[i].name, name, worst, largest);
            free(a);
            free(b);
        }
        hone_file_close(got);
        hone_trainable_close(t);
        hone_file_close(r.f);
    }
}

/* ---- the plain forward ----------------------------------------------------------------------- */

/* |(W + s B A)_n|, or its part without the adapter's values where `held` has it. */
static double plain_length(const double *row, size_t k)
{
    double square = 0;
    for (size_t i = 0; i < k; i++)
        square += row[i] * row[i];
    return sqrt(square);
}

/* Weights with the adapter's values merged in; lengths[...] of DoRA's rows are kept when `keep`,
 * and used as they are when not: they count as constants. */
static double *merge(const hone_trainable *t, const hone_parameters *p, const float *weights,
                     const double *v, double *held, bool keep)
{
    const hone_adapter *a = t->adapter;
    double *w = malloc(p->floats * sizeof *w);
    size_t at = 0;
    for (size_t i = 0; i < p->floats; i++)
        w[i] = (double)weights[i];
    for (size_t i = 0; i < a->count; i++) {
        const hone_low_rank *l = &a->list[i];
        const hone_parameter *one = hone_parameter_at(p, (int)l->layer, l->slot, false);
        const double *down = v + a->p.list[l->a].at, *up = v + a->p.list[l->b].at;
        for (size_t n = 0; n < l->n; n++, at++) {
            double *row = w + one->at + n * l->k;
            for (size_t j = 0; j < l->rank; j++)
                for (size_t k = 0; k < l->k; k++)
                    row[k] += (double)l->scale * up[n * l->rank + j] * down[j * l->k + k];
            if (keep)
                held[at] = plain_length(row, l->k);
            for (size_t k = 0; k < l->k && l->m != SIZE_MAX; k++)
                row[k] *= v[a->p.list[l->m].at + n] / held[at];
        }
    }
    return w;
}

static double plain_loss_of(const hone_trainable *t, const hone_parameters *p, const double *w,
                            const reference *r)
{
    plain f = {t->model, p, w};
    return plain_loss(&f, r->ids, r->ids, LENGTH) +
           plain_loss(&f, r->ids + LENGTH, r->ids + LENGTH, LENGTH);
}

/* The slope along random numbers in what `part` chooses: 0 = A, 1 = B, 2 = magnitudes. */
static void check_slope(const char *name, const hone_trainable *t, const hone_parameters *p,
                        const float *weights, const reference *r, int part)
{
    const double e = 1e-6;
    double *held = malloc(t->p.floats * 64 * sizeof *held), *v = calloc(t->p.floats, sizeof *v),
           *u = calloc(t->p.floats, sizeof *u), g[2], along = 0, square = 0, loss[2];
    for (size_t i = 0; i < t->p.floats; i++)
        v[i] = (double)t->weights[i];
    free(merge(t, p, weights, v, held, true));
    for (size_t i = 0; i < t->adapter->count; i++) {
        const hone_low_rank *l = &t->adapter->list[i];
        size_t index = part == 0 ? l->a : part == 1 ? l->b : l->m;
        if (index == SIZE_MAX)
            continue;
        const hone_parameter *one = &t->p.list[index];
        for (size_t j = one->at; j < one->at + one->n * one->k; j++) {
            hone_rng_normal2(5, 1, j, g);
            if (u[j] == 0) { /* an A that slots share counts once */
                u[j] = g[0];
                along += g[0] * (double)t->grads[j];
                square += (double)t->grads[j] * (double)t->grads[j];
            }
        }
    }
    for (int side = 0; side < 2 && square > 0; side++) {
        for (size_t i = 0; i < t->p.floats; i++)
            v[i] = (double)t->weights[i] + (side ? -e : e) * u[i];
        double *w = merge(t, p, weights, v, held, false);
        loss[side] = plain_loss_of(t, p, w, r);
        free(w);
    }
    double slope = square > 0 ? (loss[0] - loss[1]) / (2 * e) / (double)r->count : along;
    if (!(fabs(slope - along) < 1e-4 * sqrt(square) + 1e-7))
        fail_msg("%s, part %d: slope %.9g, gradient %.9g (length %g)", name, part, slope, along,
                 sqrt(square));
    free(held);
    free(u);
    free(v);
}

static void gradients_are_slopes_of_the_plain_forward(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        reference r = open_case(&cases[i]);
        make_batch(&r);
        hone_trainable *whole =
            open_trainable(cases[i].model, (hone_trainable_options){.f32 = true});
        for (int dora = 0; dora < 2; dora++) {
            const hone_adapter_options o = {
                .rank = 3, .alpha = 5, .dora = dora, .targets = "all-linear", .seed = 7};
            hone_trainable *t = open_trainable(
                cases[i].model, (hone_trainable_options){.f32 = true, .adapter = &o});
            for (size_t j = 0; j < t->adapter->count; j++) { /* a B that is not zero */
                const hone_parameter *up = &t->p.list[t->adapter->list[j].b];
                double g[2];
                for (size_t k = up->at; k < up->at + up->n * up->k; k++) {
                    hone_rng_normal2(3, 2, k, g);
                    t->weights[k] = (float)(0.1 * g[0]);
                }
            }
            hone_trainable_push(t);
            double loss = add(t, &r) * (double)r.count, plainly;
            double *v = malloc(t->p.floats * sizeof *v),
                   *held = malloc(t->p.floats * 64 * sizeof *held);
            for (size_t j = 0; j < t->p.floats; j++)
                v[j] = (double)t->weights[j];
            double *w = merge(t, &whole->p, whole->weights, v, held, true);
            plainly = plain_loss_of(t, &whole->p, w, &r);
            free(w);
            free(v);
            free(held);
            if (!(fabs(loss - plainly) < 1e-4 * (double)r.count))
                fail_msg("%s: loss %.9g, plainly %.9g", cases[i].name, loss, plainly);
            for (int part = 0; part < 3; part++)
                check_slope(cases[i].name, t, &whole->p, whole->weights, &r, part);
            hone_trainable_close(t);
        }
        hone_trainable_close(whole);
        hone_file_close(r.f);
    }
}

/* ---- bits ------------------------------------------------------------------------------------ */

static void same_gradient(const char *what, const hone_trainable *a, const hone_trainable *b)
{
    assert_int_equal(a->p.floats, b->p.floats);
    if (memcmp(a->grads, b->grads, a->p.floats * sizeof *a->grads) != 0)
        fail_msg("another gradient %s", what);
}

static void gradients_have_the_same_bits_however_they_are_computed(void **state)
{
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (size_t i = 0; i < CASES; i++) {
            reference r = open_case(&cases[i]);
            make_batch(&r);
            const hone_adapter_options o = {.rank = 2,
                                            .alpha = 4,
                                            .dora = i % 2,
                                            .dropout = 0.25,
                                            .targets = "all-linear",
                                            .seed = 3};
            const hone_trainable_options plainly = {.f32 = !bf16, .threads = 1, .adapter = &o};
            hone_trainable_options two = plainly, twice = plainly;
            two.threads = 3;
            twice.memory_max = 1; /* told what would fit */
            hone_trainable *t = open_trainable(cases[i].model, plainly), *other;
            for (size_t j = 0; j < t->p.floats; j++)
                t->weights[j] += t->weights[j] == 0 ? 0.01f * (float)(j % 7) : 0;
            float *values = t->weights;
            hone_trainable_push(t);
            hone_trainable_draw(t, true, 5);
            double loss = add(t, &r);
            for (int way = 0; way < 2; way++) {
                twice.memory_max = t->back->memory_bytes - 1;
                other = open_trainable(cases[i].model, way ? two : twice);
                memcpy(other->weights, values, t->p.floats * sizeof *values);
                hone_trainable_push(other);
                hone_trainable_draw(other, true, 5);
                assert_true(add(other, &r) == loss);
                assert_true(way || other->back->kept < other->model->hp.layers);
                same_gradient(way ? "on three threads" : "with layers run twice", t, other);
                hone_trainable_draw(other, true, 6);
                assert_true(add(other, &r) != loss); /* other numbers are dropped */
                hone_trainable_draw(other, false, 5);
                assert_true(add(other, &r) != loss);
                hone_trainable_close(other);
            }
            for (int isa = 0; isa < HONE_ISA_COUNT; isa++) {
                if (!hone_isa_supported((hone_isa)isa))
                    continue;
                hone_trainable_options set = plainly;
                set.isa = hone_isa_name((hone_isa)isa);
                other = open_trainable(cases[i].model, set);
                memcpy(other->weights, values, t->p.floats * sizeof *values);
                hone_trainable_push(other);
                hone_trainable_draw(other, true, 5);
                assert_true(add(other, &r) == loss);
                same_gradient(hone_isa_name((hone_isa)isa), t, other);
                hone_trainable_close(other);
            }
            hone_trainable_close(t);
            hone_file_close(r.f);
        }
}

/* The matrices of one model, in whatever codes, into another of float32. */
static void copy_decoded(const hone_trainable *from, hone_trainable *to)
{
    for (uint32_t layer = 0; layer < from->model->hp.layers; layer++)
        for (hone_slot slot = 0; slot < HONE_LAYER_SLOTS; slot++) {
            const hone_packed *w = &hone_model_at(from->model, (int)layer, slot)->w,
                              *v = &hone_model_at(to->model, (int)layer, slot)->w;
            if (!w->n)
                continue;
            float *rows = malloc(w->n * w->k * sizeof *rows);
            hone_unpack_block(w, 0, w->n, 0, w->k, rows, w->k);
            to->kt->pack_rows(v, rows, w->k, 0, v->n_panels, (uint8_t *)(uintptr_t)v->data);
            free(rows);
        }
    hone_trainable_push(to); /* lengths of DoRA's rows */
}

/* Beside codes (products of bfloat16, dx from expanded codes) the gradient is nearly that beside
 * the same numbers in float32, where both hold to PyTorch's. */
static void gradients_beside_codes_are_near_those_beside_their_numbers(void **state)
{
    (void)state;
    static const char config[] =
        "{\"model_type\": \"llama\", \"num_hidden_layers\": 2, \"hidden_size\": 256,"
        " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 64,"
        " \"intermediate_size\": 512, \"vocab_size\": 521, \"max_position_embeddings\": 64}";
    const hone_dtype types[] = {HONE_DTYPE_BF16, HONE_DTYPE_NF4, HONE_DTYPE_Q4_1, HONE_DTYPE_Q8_0,
                                HONE_DTYPE_Q6_K};
    ok(hone_fresh_write(config, "config.json", 3, 1, in_folder("fresh")));
    char path[256];
    snprintf(path, sizeof path, "%s/fresh", folder);
    reference r = open_case(&cases[0]);
    make_batch(&r);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const hone_adapter_options o = {.rank = 4,
                                        .alpha = 8,
                                        .dora = i % 2,
                                        .targets = "all-linear",
                                        .dropout = 0.1,
                                        .seed = 9};
        hone_trainable *t =
                           open_trainable(path, (hone_trainable_options){.adapter = &o,
                                                                         .quantise = i > 0,
                                                                         .weight_dtype = types[i]}),
                       *plainly = open_trainable(
                           path, (hone_trainable_options){.adapter = &o, .f32 = true});
        for (size_t j = 0; j < t->p.floats; j++)
            t->weights[j] += t->weights[j] == 0 ? 0.02f * (float)((int)(j % 11) - 5) : 0;
        hone_trainable_push(t);
        copy_decoded(t, plainly);
        for (size_t j = 0; j < t->p.floats; j++) /* but its own magnitudes, of the same numbers */
            plainly->weights[j] = t->weights[j];
        hone_trainable_push(plainly);
        hone_trainable_draw(t, true, 2);
        hone_trainable_draw(plainly, true, 2);
        double loss = add(t, &r), want = add(plainly, &r), dot = 0, a = 0, b = 0;
        for (size_t j = 0; j < t->p.floats; j++) {
            dot += (double)t->grads[j] * (double)plainly->grads[j];
            a += (double)t->grads[j] * (double)t->grads[j];
            b += (double)plainly->grads[j] * (double)plainly->grads[j];
        }
        if (!(fabs(loss - want) < 0.01) || !(dot / sqrt(a * b) > 0.999) ||
            !(fabs(sqrt(a / b) - 1) < 0.02))
            fail_msg("%s: loss %g and %g, cosine %g, lengths %g and %g", hone_dtype_name(types[i]),
                     loss, want, dot / sqrt(a * b), sqrt(a), sqrt(b));
        hone_trainable_close(t);
        hone_trainable_close(plainly);
    }
    hone_file_close(r.f);
}

static void a_row_does_not_depend_on_what_is_beside_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        reference r = open_case(&cases[i]);
        hone_engine *e = open_engine(cases[i].model, r.adapter, false, 2);
        size_t vocab;
        float *whole = logits_of(e, r.ids, &vocab), *one = malloc(vocab * sizeof *one);
        hone_session *s;
        ok(hone_session_open(e, &s));
        for (size_t j = 0; j < LENGTH; j++) { /* a token at a time */
            ok(hone_session_feed(s, r.ids + j, 1, HONE_WANT_LAST, one));
            assert_memory_equal(one, whole + j * vocab, vocab * sizeof *one);
        }
        hone_session_close(s);
        free(whole);
        free(one);
        hone_engine_close(e);
        hone_file_close(r.f);
    }
}

static void dropout_leaves_the_share_and_the_sum(void **state)
{
    (void)state;
    const hone_adapter_options o = {
        .rank = 2, .alpha = 2, .dropout = 0.3, .targets = "q_proj", .seed = 1};
    hone_trainable *t =
        open_trainable(DATA "models/llama", (hone_trainable_options){.adapter = &o, .threads = 1});
    const hone_low_rank *l = &t->adapter->list[0];
    double dropped = 0, sum = 0, all = 0;
    float x[1024], y[1024];
    assert_true(l->k <= 1024);
    for (size_t i = 0; i < l->k; i++)
        x[i] = 1;
    for (uint64_t row = 0; row < 2000; row++) {
        hone_low_rank_drop(l, row, x, y);
        for (size_t i = 0; i < l->k; i++, all++) {
            dropped += y[i] == 0;
            sum += (double)y[i];
        }
    }
    assert_true(fabs(dropped / all - 0.3) < 0.01 && fabs(sum / all - 1) < 0.01);
    hone_trainable_close(t);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void refuses_new(hone_adapter_options o, hone_status want, const char *text)
{
    hone_trainable *t;
    hone_file *f = open_file(DATA "models/llama");
    const hone_trainable_options options = {.max_rows = ROWS, .threads = 1, .adapter = &o};
    assert_int_equal(hone_trainable_open(f, &options, &t), want);
    if (!strstr(hone_error(), text))
        fail_msg("\"%s\" does not say \"%s\"", hone_error(), text);
    hone_file_close(f);
}

static void a_module_that_is_not_there_is_told_with_those_that_are(void **state)
{
    (void)state;
    const hone_adapter_options o = {.rank = 4, .alpha = 8, .targets = "q_prj"};
    hone_adapter_options p = o;
    refuses_new(o, HONE_USAGE, "did you mean q_proj?");
    refuses_new(o, HONE_USAGE, "gate_proj");
    p.targets = "q_proj,lm_head";
    refuses_new(p, HONE_USAGE, "lm_head");
    p.targets = ".*(query|key)";
    refuses_new(p, HONE_USAGE, "no module matches");
    p.targets = "(q_proj";
    refuses_new(p, HONE_USAGE, "no regular expression");
    p.targets = "";
    refuses_new(p, HONE_USAGE, "no module is named");
    p = o;
    p.rank = 0;
    refuses_new(p, HONE_USAGE, "rank of 0");
    p.rank = 100000;
    refuses_new(p, HONE_USAGE, "rank of 100000");
    p = o;
    p.dropout = 1;
    refuses_new(p, HONE_USAGE, "dropout");
    p = o;
    p.alpha = 0;
    refuses_new(p, HONE_USAGE, "alpha");
}

static void modules_are_chosen_as_peft_chooses(void **state)
{
    (void)state;
    static const struct {
        const char *targets;
        size_t count;
    } wants[] = {{"all-linear", 28},
                 {"q_proj,mlp.up_proj", 8},
                 {"model.layers.1.self_attn.q_proj", 1},
                 {".*\\.[02]\\.(self_attn\\.(q|k)_proj|mlp\\.up_proj)", 6},
                 {"model.*down_proj", 4}};
    for (size_t i = 0; i < sizeof wants / sizeof *wants; i++) {
        const hone_adapter_options o = {.rank = 1, .alpha = 1, .targets = wants[i].targets};
        hone_trainable *t = open_trainable(DATA "models/llama",
                                           (hone_trainable_options){.adapter = &o, .threads = 1});
        assert_int_equal(t->adapter->count, wants[i].count);
        hone_trainable_close(t);
    }
}

static void copy_case(const char *name, const char *to)
{
    char command[600];
    snprintf(command, sizeof command, "rm -rf %s/%s && cp -r " DATA "adapter/%s %s/%s", folder, to,
             name, folder, to);
    assert_int_equal(system(command), 0);
}

static void refuses_folder(const char *model, const char *name, hone_status want, const char *text)
{
    hone_config c = hone_config_default();
    hone_engine *e;
    snprintf(c.adapter, sizeof c.adapter, "%s/%s", folder, name);
    c.threads = 1;
    hone_status got = hone_engine_open(model, &c, NULL, NULL, &e);
    if (got != want || !strstr(hone_error(), text))
        fail_msg("%d, \"%s\" does not say \"%s\"", got, hone_error(), text);
}

static void write_config(const char *more)
{
    char text[512];
    snprintf(text, sizeof text, "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 8%s}", more);
    copy_case("lora", "bad");
    ok(hone_write_file(in_folder("bad/adapter_config.json"), text, strlen(text)));
}

static void adapters_of_other_models_and_damaged_ones_are_told(void **state)
{
    (void)state;
    static const char llama[] = DATA "models/llama", gpt2[] = DATA "models/gpt2";
    static const struct {
        const char *more, *text;
        hone_status status;
    } configs[] = {
        {", \"bias\": \"all\"", "bias", HONE_UNSUPPORTED},
        {", \"modules_to_save\": [\"lm_head\"]", "modules_to_save", HONE_UNSUPPORTED},
        {", \"alpha_pattern\": {\"q_proj\": 4}", "alpha_pattern", HONE_UNSUPPORTED},
        {", \"lora_bias\": true", "lora_bias", HONE_UNSUPPORTED},
        {", \"of_next_year\": 1", "of_next_year", HONE_UNSUPPORTED},
        {", \"init_lora_weights\": \"pissa_niter_4\"", "pissa", HONE_UNSUPPORTED},
        {", \"lora_dropout\": 2", "makes no sense", HONE_FORMAT},
        {", \"use_dora\": 3", "neither true nor false", HONE_FORMAT},
        {", \"use_dora\": true", "magnitude", HONE_NOT_FOUND},
        {", \"lora_alpha\": \"x\"", "lora_alpha", HONE_FORMAT},
    };
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        write_config(configs[i].more);
        refuses_folder(llama, "bad", configs[i].status, configs[i].text);
    }
    write_config("");
    hone_engine_close(open_engine(llama, in_folder("bad"), false, 1)); /* so far it is fine */
    refuses_folder(gpt2, "bad", HONE_UNSUPPORTED, "has no place");
    refuses_folder(DATA "models/llama-tied", "bad", HONE_FORMAT, "another model");
    static const char wrong[] = "{\"peft_type\": \"LORA\", \"r\": 3}",
                      other[] = "{\"peft_type\": \"IA3\"}";
    ok(hone_write_file(in_folder("bad/adapter_config.json"), wrong, strlen(wrong)));
    refuses_folder(llama, "bad", HONE_FORMAT, "has rank 2");
    ok(hone_write_file(in_folder("bad/adapter_config.json"), other, strlen(other)));
    refuses_folder(llama, "bad", HONE_UNSUPPORTED, "IA3");
    ok(hone_write_file(in_folder("bad/adapter_config.json"), "{", 1));
    refuses_folder(llama, "bad", HONE_FORMAT, "adapter_config.json");
    refuses_folder(llama, "nothing", HONE_NOT_FOUND, "not the folder of an adapter");

    char *text;
    size_t bytes;
    ok(hone_read_file(DATA "adapter/lora/adapter_model.safetensors", 1 << 20, &text, &bytes));
    for (size_t cut = 0; cut < bytes; cut += cut < 2000 ? 191 : 1777) {
        write_config("");
        ok(hone_write_file(in_folder("bad/adapter_model.safetensors"), text, cut));
        refuses_folder(llama, "bad", HONE_FORMAT, "adapter_model.safetensors");
    }
    hone_free(text);
    assert_int_equal(remove(in_folder("bad/adapter_model.safetensors")), 0);
    refuses_folder(llama, "bad", HONE_NOT_FOUND, "adapter_model.safetensors");
    ok(hone_write_file(in_folder("bad/adapter_model.bin"), "x", 1));
    refuses_folder(llama, "bad", HONE_UNSUPPORTED, "pickle");
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const hone_adapter_options o = {
        .rank = 2, .alpha = 2, .dora = true, .dropout = 0.1, .targets = "q_proj,down_proj"};
    hone_file *f = open_file(DATA "models/llama");
    hone_trainable *t;
    int64_t n = 0;
    for (int from = 0; from < 2; from++)
        for (n = 0; n < 4000; n += n < 150 ? 1 : 37) {
            hone_trainable_options options = {.max_rows = ROWS, .threads = 1, .adapter = &o};
            if (from)
                options.adapter_folder = DATA "adapter/dora";
            hone_mem_fail_after(n);
            hone_status s = hone_trainable_open(f, &options, &t);
            hone_mem_fail_after(-1);
            if (s == HONE_OK) {
                hone_trainable_close(t);
                break;
            }
            assert_true(s == HONE_MEMORY);
        }
    assert_true(n > 10 && n < 4000);
    hone_file_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_those_of_peft),
        cmocka_unit_test(merged_weights_have_the_same_logits),
        cmocka_unit_test(gradients_are_those_of_pytorch),
        cmocka_unit_test(gradients_are_slopes_of_the_plain_forward),
        cmocka_unit_test(gradients_have_the_same_bits_however_they_are_computed),
        cmocka_unit_test(gradients_beside_codes_are_near_those_beside_their_numbers),
        cmocka_unit_test(a_row_does_not_depend_on_what_is_beside_it),
        cmocka_unit_test(dropout_leaves_the_share_and_the_sum),
        cmocka_unit_test(modules_are_chosen_as_peft_chooses),
        cmocka_unit_test(a_module_that_is_not_there_is_told_with_those_that_are),
        cmocka_unit_test(adapters_of_other_models_and_damaged_ones_are_told),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
