// links: train
/* Gradients against PyTorch's (../shared/data/golden, SOURCES.md): llama, qwen3, gpt2, every
 * parameter; the same bits on one and two threads and on every instruction set, with every layer
 * run twice, in two batches of one sequence; five steps of AdamW give PyTorch's parameters. */
#include "base/mem.h"
#include "hw/isa.h"
#include "train/optimizer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../folder.h"
#include "../shared.h"

enum { SEQUENCES = 2, LENGTH = 24, ROWS = SEQUENCES * LENGTH };

typedef struct golden {
    char path[512];
    hone_file *model, *reference, *gradients;
    int32_t ids[ROWS], labels[ROWS], targets[ROWS];
    size_t count;
    double loss;
    hone_backward_batch batch;
} golden;

static const uint32_t lengths[SEQUENCES] = {LENGTH, LENGTH};

static hone_file *open_file(const char *path)
{
    hone_file *f;
    if (hone_file_open(path, &f) != HONE_OK)
        fail_msg("%s", hone_error());
    return f;
}

static void integers(const hone_file *f, const char *name, int32_t *out)
{
    const hone_tensor *t = hone_file_tensor(f, name);
    assert_non_null(t);
    assert_int_equal(hone_tensor_elements(t), ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        int64_t v = 0;
        memcpy(&v, t->data + i * (t->bytes / ROWS), t->bytes / ROWS);
        out[i] = (int32_t)v;
    }
}

static bool open_golden(const char *name, golden *g)
{
    char inside[256], path[600];
    snprintf(g->path, sizeof g->path, HONE_SOURCE_DIR "/tests/golden/data/models/%s", name);
    snprintf(path, sizeof path, "%s/gradients.safetensors", g->path);
    if (access(path, R_OK) != 0) { /* llama's is carried by the project */
        snprintf(inside, sizeof inside, "golden/models/%s/gradients.safetensors", name);
        if (!find_shared("test_gradients", inside))
            return false;
        snprintf(g->path, sizeof g->path, "%.500s", shared(inside));
        *strrchr(g->path, '/') = 0;
    }
    snprintf(path, sizeof path, "%s/reference.safetensors", g->path);
    g->reference = open_file(path);
    snprintf(path, sizeof path, "%s/gradients.safetensors", g->path);
    g->gradients = open_file(path);
    g->model = open_file(g->path);
    integers(g->reference, "grad.input_ids", g->ids);
    integers(g->reference, "grad.labels", g->labels);
    g->batch = (hone_backward_batch){ROWS, SEQUENCES, g->ids, lengths};
    g->count = hone_shift_labels(&g->batch, g->labels, g->targets);
    float loss;
    memcpy(&loss, hone_file_tensor(g->reference, "grad.loss")->data, 4);
    g->loss = (double)loss;
    return true;
}

static void close_golden(golden *g)
{
    hone_file_close(g->model);
    hone_file_close(g->reference);
    hone_file_close(g->gradients);
}

static hone_trainable *open_model(const golden *g, hone_trainable_options o)
{
    hone_trainable *t;
    if (!o.max_rows)
        o.max_rows = ROWS;
    if (hone_trainable_open(g->model, &o, &t) != HONE_OK)
        fail_msg("%s", hone_error());
    return t;
}

static double add(hone_trainable *t, const golden *g)
{
    double sum;
    if (hone_trainable_add(t, &g->batch, g->targets, 1.0 / (double)g->count, true, &sum) != HONE_OK)
        fail_msg("%s", hone_error());
    return sum / (double)g->count;
}

/* Writes values as a checkpoint and opens it again. */
static hone_file *as_file(const hone_trainable *t, const float *values)
{
    assert_int_equal(
        hone_parameters_save(&t->p, HONE_DTYPE_F32, values, in_folder("x.safetensors")), HONE_OK);
    return open_file(in_folder("x.safetensors"));
}

/* Every tensor of `want` is in `got` within bound x its largest number, and nothing else is. */
static void compare(const char *what, const hone_file *want, const hone_file *got, double bound)
{
    assert_int_equal(hone_file_tensor_count(want), hone_file_tensor_count(got));
    for (size_t i = 0; i < hone_file_tensor_count(want); i++) {
        const hone_tensor *a = hone_file_tensor_at(want, i), *b = hone_file_tensor(got, a->name);
        double largest = 0, worst = 0;
        if (!b || b->bytes != a->bytes || b->shape[0] != a->shape[0])
            fail_msg("%s: %s is missing or has another shape", what, a->name);
        for (size_t j = 0; j < a->bytes / 4; j++) {
            float x, y;
            memcpy(&x, a->data + 4 * j, 4);
            memcpy(&y, b->data + 4 * j, 4);
            largest = fmax(largest, fabs((double)x));
            worst = fabs((double)x - (double)y) <= worst ? worst : fabs((double)x - (double)y);
        }
        if (!(worst <= bound * largest))
            fail_msg("%s: %s is off by %g of %g", what, a->name, worst, largest);
    }
}

/* max_rows LENGTH: a sequence at a time. logit_bytes 1: 16 rows of logits at a time. */
static void check_model_in(const char *name, uint32_t max_rows, size_t logit_bytes)
{
    golden g;
    if (!open_golden(name, &g))
        skip();
    hone_trainable *t = open_model(
        &g, (hone_trainable_options){
                .f32 = true, .threads = 2, .max_rows = max_rows, .logit_bytes = logit_bytes});
    if (logit_bytes)
        assert_int_equal(t->back->chunk, 16);
    double loss = add(t, &g);
    if (!(fabs(loss - g.loss) < 2e-5))
        fail_msg("%s: loss %.7f, the reference has %.7f", name, loss, g.loss);
    hone_file *got = as_file(t, t->grads);
    compare(name, g.gradients, got, 1e-4);
    hone_file_close(got);
    hone_trainable_close(t);
    close_golden(&g);
}

static void check_model(const char *name)
{
    check_model_in(name, ROWS, 0);
    check_model_in(name, ROWS, 1);
    check_model_in(name, LENGTH, 0);
}

static void llama_has_the_gradients_of_pytorch(void **state)
{
    (void)state;
    check_model("llama");
}

static void qwen3_has_the_gradients_of_pytorch(void **state)
{
    (void)state;
    check_model("qwen3");
}

static void gpt2_has_the_gradients_of_pytorch(void **state)
{
    (void)state;
    check_model("gpt2");
}

static void bits_do_not_depend_on_threads_sets_or_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "qwen3", "gpt2"};
    for (size_t m = 0; m < 3; m++)
        for (int f32 = 0; f32 < 2; f32++) {
            golden g;
            if (!open_golden(names[m], &g))
                skip();
            hone_trainable *one =
                open_model(&g, (hone_trainable_options){.f32 = f32, .threads = 1, .isa = "scalar"});
            double loss = add(one, &g);
            for (int isa = 0; isa < HONE_ISA_COUNT; isa++) {
                if (!hone_isa_supported((hone_isa)isa))
                    continue;
                hone_trainable_options o = {
                    .f32 = f32, .threads = 2, .isa = hone_isa_name((hone_isa)isa)};
                hone_trainable *all = open_model(&g, o);
                assert_int_equal(all->back->kept, all->model->hp.layers);
                assert_true(add(all, &g) == loss);
                assert_memory_equal(one->grads, all->grads, one->p.floats * sizeof(float));
                o.memory_max = all->back->memory_bytes;
                for (uint32_t kept = all->model->hp.layers; kept > 0;) {
                    o.memory_max--; /* so that one layer more runs twice */
                    hone_trainable *twice = open_model(&g, o);
                    assert_true(twice->back->kept < kept);
                    kept = twice->back->kept;
                    o.memory_max = twice->back->memory_bytes;
                    assert_true(add(twice, &g) == loss);
                    assert_memory_equal(one->grads, twice->grads, one->p.floats * sizeof(float));
                    hone_trainable_close(twice);
                }
                hone_trainable_close(all);
            }
            hone_trainable_close(one);
            close_golden(&g);
        }
}

/* A loss of one's own: here twice cross entropy, which counts how often each row came. */
typedef struct own_loss {
    hone_cross_entropy usual;
    atomic_int seen[ROWS + 1]; /* the last: of none */
} own_loss;

static double twice(void *arg, const hone_kernels *kt, size_t row, float *z, size_t vocab)
{
    own_loss *o = arg;
    atomic_fetch_add(&o->seen[row < ROWS ? row : ROWS], 1);
    return 2 * hone_cross_entropy_row(&o->usual, kt, row, z, vocab);
}

static void another_loss_takes_the_same_way(void **state)
{
    (void)state;
    golden g;
    if (!open_golden("llama", &g))
        skip();
    const hone_trainable_options o = {.f32 = true, .threads = 2, .max_rows = LENGTH};
    hone_trainable *a = open_model(&g, o), *b = open_model(&g, o);
    own_loss own = {.usual = {g.targets, 1.0f / (float)g.count}};
    double usual, sum;
    assert_int_equal(
        hone_trainable_add(a, &g.batch, g.targets, 1.0 / (double)g.count, true, &usual), HONE_OK);
    assert_int_equal(hone_trainable_add_loss(b, &g.batch, twice, &own, g.targets, true, &sum),
                     HONE_OK);
    assert_true(sum == 2 * usual);
    assert_memory_equal(a->grads, b->grads, a->p.floats * sizeof(float)); /* of the usual weight */
    for (size_t r = 0; r < ROWS; r++) /* in batches of a sequence each, each row once */
        assert_int_equal(own.seen[r], g.targets[r] >= 0);
    assert_int_equal(own.seen[ROWS], 0);
    hone_trainable_close(a);
    hone_trainable_close(b);
    close_golden(&g);
}

static void bf16_is_near_float32(void **state)
{
    (void)state;
    golden g;
    if (!open_golden("llama", &g))
        skip();
    hone_trainable *t = open_model(&g, (hone_trainable_options){.f32 = false});
    double loss = add(t, &g);
    assert_true(fabs(loss - g.loss) < 0.05);
    hone_file *got = as_file(t, t->grads);
    compare("llama in bf16", g.gradients, got, 0.12);
    hone_file_close(got);
    hone_trainable_close(t);
    close_golden(&g);
}

static void five_steps_of_adamw_give_the_parameters_of_pytorch(void **state)
{
    (void)state;
    static const double losses[] = {9.044572830200195,  6.295562744140625, 4.482288360595703,
                                    3.0954182147979736, 2.094205379486084, 1.3657457828521729};
    golden g;
    hone_optimizer o;
    const char *adamw = "golden/models/llama/adamw.safetensors";
    if (!find_shared("test_gradients", adamw) || !open_golden("llama", &g))
        skip();
    hone_trainable *t = open_model(&g, (hone_trainable_options){.f32 = true});
    const hone_optimizer_options options = {
        .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .decay = 0.1f, .decay_all = true};
    assert_int_equal(hone_optimizer_open(t, &options, &o), HONE_OK);
    for (int i = 0; i < 6; i++) {
        hone_trainable_zero(t);
        double loss = add(t, &g);
        if (!(fabs(loss - losses[i]) < 2e-4))
            fail_msg("loss before step %d is %.7f, not %.7f", i, loss, losses[i]);
        if (i < 5)
            hone_optimizer_step(&o, t, hone_gradient_norm(&o, t), 0.002);
    }
    hone_file *want = open_file(shared(adamw)), *got = as_file(t, t->weights);
    compare("llama after five steps", want, got, 5e-4);
    hone_file_close(want);
    hone_file_close(got);
    hone_optimizer_close(&o);
    hone_trainable_close(t);
    close_golden(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_has_the_gradients_of_pytorch),
        cmocka_unit_test(qwen3_has_the_gradients_of_pytorch),
        cmocka_unit_test(gpt2_has_the_gradients_of_pytorch),
        cmocka_unit_test(bits_do_not_depend_on_threads_sets_or_memory),
        cmocka_unit_test(another_loss_takes_the_same_way),
        cmocka_unit_test(bf16_is_near_float32),
        cmocka_unit_test(five_steps_of_adamw_give_the_parameters_of_pytorch),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
