// links: train
/* The trainer's parts: schedules by their formulas, labels shifted as Hugging Face does, fresh
 * weights by seed, a model to train survives every failing allocation, damaged checkpoints. */
#include "base/io.h"
#include "base/mem.h"
#include "text/documents.h"
#include "text/tokenizer.h"
#include "train/data/dataset_build.h"
#include "train/fresh.h"
#include "train/trainer.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../folder.h"

static const char config[] =
    "{\"model_type\": \"qwen3\", \"num_hidden_layers\": 2, \"hidden_size\": 16,"
    " \"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"head_dim\": 8,"
    " \"intermediate_size\": 24, \"vocab_size\": 40, \"max_position_embeddings\": 64}";

static void schedules_follow_their_formulas(void **state)
{
    (void)state;
    hone_schedule s = {HONE_SCHEDULE_COSINE, 2.0, 0.1, 10, 110, 20};
    assert_true(fabs(hone_schedule_rate(&s, 0) - 0.2) < 1e-12);
    assert_true(fabs(hone_schedule_rate(&s, 9) - 2.0) < 1e-12);
    assert_true(fabs(hone_schedule_rate(&s, 60) - (0.2 + 0.9)) < 1e-12);
    assert_true(fabs(hone_schedule_rate(&s, 110) - 0.2) < 1e-12);
    s.kind = HONE_SCHEDULE_WSD;
    assert_true(hone_schedule_rate(&s, 10) == 2.0 && hone_schedule_rate(&s, 90) == 2.0);
    assert_true(fabs(hone_schedule_rate(&s, 100) - 1.1) < 1e-12);
    assert_true(fabs(hone_schedule_rate(&s, 110) - 0.2) < 1e-12);
    s.kind = HONE_SCHEDULE_CONSTANT;
    assert_true(hone_schedule_rate(&s, 109) == 2.0);
    s = (hone_schedule){HONE_SCHEDULE_WSD, 1.0, 0.0, 0, 3, 100};
    assert_true(hone_schedule_rate(&s, 0) == 1.0 && hone_schedule_rate(&s, 2) < 0.4);
}

static void labels_are_shifted_within_sequences(void **state)
{
    (void)state;
    const int32_t labels[] = {7, 8, -100, 9, 4, 5};
    const uint32_t lengths[] = {4, 2};
    const hone_backward_batch b = {6, 2, labels, lengths};
    const int32_t want[] = {8, -1, 9, -1, 5, -1};
    int32_t targets[6];
    assert_int_equal(hone_shift_labels(&b, labels, targets), 3);
    assert_memory_equal(targets, want, sizeof want);
}

static char *weights_of(const char *folder_name, uint64_t seed, size_t *bytes)
{
    char path[300], *text;
    snprintf(path, sizeof path, "%s", in_folder(folder_name));
    assert_int_equal(hone_fresh_write(config, "config.json", seed, 2, path), HONE_OK);
    assert_int_equal(hone_read_member(path, "model.safetensors", 1 << 20, &text, bytes), HONE_OK);
    return text;
}

static void fresh_weights_depend_on_the_seed_alone(void **state)
{
    (void)state;
    size_t a, b, c;
    char *x = weights_of("a", 1, &a), *y = weights_of("b", 1, &b), *z = weights_of("c", 2, &c);
    assert_true(a == b && a == c);
    assert_memory_equal(x, y, a);
    assert_memory_not_equal(x, z, a);
    assert_int_equal(hone_fresh_write(config, "config.json", 1, 1, in_folder("a")), HONE_USAGE);
    hone_free(x);
    hone_free(y);
    hone_free(z);
}

static hone_status open_model(hone_trainable **t)
{
    hone_file *f;
    *t = NULL;
    HONE_TRY(hone_file_open(in_folder("a"), &f));
    const hone_trainable_options o = {.f32 = true, .threads = 1, .max_rows = 8};
    hone_status s = hone_trainable_open(f, &o, t);
    hone_file_close(f);
    return s;
}

static void a_model_to_train_survives_every_failing_allocation(void **state)
{
    (void)state;
    hone_trainable *t;
    hone_status s = HONE_MEMORY;
    for (int64_t n = 0; s != HONE_OK; n++) {
        assert_true(n < 5000);
        hone_mem_fail_after(n);
        s = open_model(&t);
        hone_mem_fail_after(-1);
        assert_true(s == HONE_OK || s == HONE_MEMORY);
    }
    const uint32_t lengths[] = {9};
    const int32_t ids[9] = {0};
    double sum;
    const hone_backward_batch b = {9, 1, ids, lengths};
    assert_int_equal(hone_trainable_add(t, &b, ids, 1, true, &sum), HONE_LIMIT);
    hone_trainable_close(t);
}

static void a_damaged_checkpoint_is_named(void **state)
{
    (void)state;
    hone_trainable *t;
    hone_optimizer o;
    hone_training_state s = {.steps = 3, .bad = 2, .rate_scale = 0.5, .cursor = {1, 4}}, got;
    static const char settings[] = "data 1, 2 rows of 16 in parts";
    char *text, path[300];
    size_t n;
    assert_int_equal(open_model(&t), HONE_OK);
    assert_int_equal(hone_optimizer_open(t, &(hone_optimizer_options){.beta1 = 0.9f}, &o), HONE_OK);
    assert_int_equal(hone_checkpoint_write(in_folder("a"), t, &o, &s, settings, HONE_DTYPE_F32),
                     HONE_OK);
    assert_int_equal(hone_checkpoint_read(in_folder("a"), t, &o, &got, settings), HONE_OK);
    assert_true(got.steps == 3 && got.bad == 2 && got.rate_scale == 0.5 && got.cursor.epoch == 1 &&
                got.cursor.row == 4);
    assert_int_equal(hone_checkpoint_read(in_folder("a"), t, &o, &got, "others"), HONE_USAGE);
    assert_int_equal(
        hone_checkpoint_branch(in_folder("a"), t, &o, &got, "2 rows of 8 in", "data 1"), HONE_OK);
    assert_true(got.steps == 3 && got.bad == 0 && got.rate_scale == 1 && got.cursor.row == 8);
    assert_int_equal(hone_checkpoint_branch(in_folder("a"), t, &o, &got, "others", "data 2"),
                     HONE_USAGE);
    snprintf(path, sizeof path, "%s", in_folder("a/training.safetensors"));
    assert_int_equal(hone_read_file(path, 1 << 20, &text, &n), HONE_OK);
    text[n - 5] ^= 1;
    assert_int_equal(hone_write_file(path, text, n), HONE_OK);
    assert_int_equal(hone_checkpoint_read(in_folder("a"), t, &o, &got, settings), HONE_FORMAT);
    char *key = memmem(text, n, "xxh3", 4); /* one of a build that wrote none */
    assert_non_null(key);
    key[3] = '0';
    assert_int_equal(hone_write_file(path, text, n), HONE_OK);
    assert_int_equal(hone_checkpoint_read(in_folder("a"), t, &o, &got, settings), HONE_OK);
    for (size_t cut = 0; cut < n; cut += 1 + n / 97) {
        assert_int_equal(hone_write_file(path, text, cut), HONE_OK);
        assert_int_not_equal(hone_checkpoint_read(in_folder("a"), t, &o, &got, settings), HONE_OK);
    }
    hone_free(text);
    hone_optimizer_close(&o);
    hone_trainable_close(t);
}

/* ---- steps that are not finite --------------------------------------------------------------- */

static const char tokenizer_json[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"<e>\",\"special\":true}],\"pre_tokenizer\":"
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false},\"decoder\":"
    "{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"<e>\":0,\"a\":1,\"b\":2,"
    "\"c\":3,\"d\":4},\"merges\":[]}}";

static hone_dataset *open_rows(void)
{
    const hone_dataset_options rows = {.length = 8, .seed = 1, .shuffle = true};
    hone_dataset *out;
    assert_int_equal(hone_dataset_open(in_folder("set"), "train", &rows, &out), HONE_OK);
    return out;
}

static hone_dataset *open_text(const char *text)
{
    char path[300];
    const char *paths[] = {path};
    hone_tokenizer *t;
    hone_documents *d;
    hone_dataset_build_report report;
    assert_int_equal(hone_make_directory(in_folder("tok")), HONE_OK);
    assert_int_equal(
        hone_write_file(in_folder("tok/tokenizer.json"), tokenizer_json, sizeof tokenizer_json - 1),
        HONE_OK);
    assert_int_equal(
        hone_write_file(in_folder("tok/tokenizer_config.json"), "{\"eos_token\":\"<e>\"}", 19),
        HONE_OK);
    assert_int_equal(hone_write_file(in_folder("text.jsonl"), text, strlen(text)), HONE_OK);
    if (hone_tokenizer_open(in_folder("tok"), &t) != HONE_OK)
        fail_msg("%s", hone_error());
    snprintf(path, sizeof path, "%s", in_folder("text.jsonl"));
    assert_int_equal(hone_documents_open(paths, 1, &(hone_documents_options){0}, &d), HONE_OK);
    const hone_dataset_build_options o = {.tokenizer = t, .threads = 1};
    assert_int_equal(hone_dataset_build(d, &o, in_folder("set"), &report), HONE_OK);
    hone_documents_close(d);
    hone_tokenizer_close(t);
    return open_rows();
}

static hone_dataset *open_data(void)
{
    return open_text("{\"text\": \"abcdabcdabcdabcd\"}\n{\"text\": \"bcdabcdabcda\"}\n");
}

typedef struct spoil {
    hone_trainer *trainer;
    float kept, *before;
    double rate;
    int skipped;
} spoil;

static uint64_t kept_step(void)
{
    hone_file *f;
    const char *text;
    assert_int_equal(hone_file_open(in_folder("run/training.safetensors"), &f), HONE_OK);
    assert_int_equal(hone_file_str(f, "steps", &text), HONE_OK);
    uint64_t step = strtoull(text, NULL, 10);
    hone_file_close(f);
    return step;
}

/* After step 2 a weight is a NaN, after step 5 it is what it was. */
static void on_step(void *arg, const hone_trainer_state *s)
{
    spoil *x = arg;
    hone_trainable *t = (hone_trainable *)(uintptr_t)hone_trainer_model(x->trainer);
    const size_t bytes = t->p.floats * sizeof(float);
    x->skipped += s->skipped;
    if (s->skipped != (s->step >= 3 && s->step <= 5))
        fail_msg("step %d: loss %g, gradient %g", (int)s->step, s->loss, s->norm);
    assert_int_equal(kept_step(), s->skipped ? 2 : s->step);
    if (s->step == 2) {
        x->kept = t->weights[0];
        x->rate = s->rate;
        t->weights[0] = NAN;
        memcpy(x->before, t->weights, bytes);
        hone_trainable_push(t);
    } else if (s->skipped) {
        assert_memory_equal(x->before, t->weights, bytes); /* such a step changes nothing */
        if (s->step == 5) {
            t->weights[0] = x->kept;
            hone_trainable_push(t);
        }
    } else if (s->step > 5) {
        assert_true(isfinite(s->loss) && fabs(s->rate - x->rate / 2) < 1e-12);
    }
}

/* *skipped: steps */
static hone_status run_spoiled(uint64_t until, int *skipped)
{
    hone_dataset *data = open_data();
    hone_file *f;
    hone_trainer *t;
    hone_trainer_state end;
    const hone_trainer_options o = {
        .model = {.f32 = true, .threads = 1, .max_rows = 16},
        .optimizer = {.beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-8f},
        .schedule = {.kind = HONE_SCHEDULE_CONSTANT, .rate = 0.01, .steps = 8},
        .rows = 2,
        .length = 8,
        .checkpoint_every = 1,
        .type = HONE_DTYPE_F32,
        .seed = 1,
        .until = until};
    assert_int_equal(hone_file_open(in_folder("a"), &f), HONE_OK);
    (void)remove(in_folder("run/training.safetensors"));
    if (hone_trainer_open(f, in_folder("run"), &o, data, NULL, &t) != HONE_OK)
        fail_msg("%s", hone_error());
    spoil x = {.trainer = t};
    x.before = hone_malloc(hone_trainer_model(t)->p.floats * sizeof(float));
    assert_non_null(x.before);
    hone_status s = hone_trainer_run(t, on_step, &x, &end);
    *skipped = x.skipped;
    assert_int_equal(end.step, until);
    hone_trainer_close(t);
    hone_file_close(f);
    hone_dataset_close(data);
    hone_free(x.before);
    return s;
}

/* They change nothing, and until one is finite again the checkpoint is that of before. */
static void steps_that_are_not_finite_are_skipped_and_lower_the_rate(void **state)
{
    (void)state;
    int skipped;
    if (run_spoiled(8, &skipped) != HONE_OK)
        fail_msg("%s", hone_error());
    assert_int_equal(skipped, 3);
    assert_int_equal(run_spoiled(4, &skipped), HONE_DATA);
    assert_int_equal(skipped, 2);
    assert_int_equal(kept_step(), 2);
}

typedef struct unlabelled {
    const hone_trainer *trainer;
    float first;
    int steps, empty;
} unlabelled;

static void see_unlabelled(void *arg, const hone_trainer_state *s)
{
    unlabelled *x = arg;
    const float now = hone_trainer_model(x->trainer)->weights[0];
    const bool empty = isnan(s->loss);
    assert_true(!s->skipped && isnan(s->norm) == empty && (now == x->first) == empty);
    x->first = now;
    x->steps++;
    x->empty += empty;
}

/* Not even the decay of weights or the means of steps before do. */
static void rows_without_a_label_change_nothing(void **state)
{
    (void)state;
    hone_dataset *data =
        open_text("{\"prompt\": \"abcdabcdabcdabcdabcdabcdabcdabcd\", \"completion\": \"a\"}\n");
    hone_file *f;
    hone_trainer_state end;
    hone_trainer *t;
    const hone_trainer_options o = {
        .model = {.f32 = true, .threads = 1, .max_rows = 16},
        .optimizer = {.beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-8f, .decay = 0.1f},
        .schedule = {.kind = HONE_SCHEDULE_CONSTANT, .rate = 0.01, .steps = 24},
        .rows = 1,
        .length = 8,
        .type = HONE_DTYPE_F32};
    assert_int_equal(hone_file_open(in_folder("a"), &f), HONE_OK);
    if (hone_trainer_open(f, in_folder("unlabelled"), &o, data, NULL, &t) != HONE_OK)
        fail_msg("%s", hone_error());
    unlabelled x = {t, hone_trainer_model(t)->weights[0], 0, 0};
    if (hone_trainer_run(t, see_unlabelled, &x, &end) != HONE_OK)
        fail_msg("%s", hone_error());
    assert_true(x.steps == 24 && x.empty > 10 && x.empty < 24);
    hone_trainer_close(t);
    hone_file_close(f);
    hone_dataset_close(data);
}

/* ---- ranks ----------------------------------------------------------------------------------- */

enum { RANKS = 2, WEIGHTS = 1 << 13 };

/* Threads instead of processes: who comes last has all of it. */
typedef struct meeting {
    pthread_barrier_t all;
    float *floats[RANKS], float_sums[WEIGHTS];
    double *doubles[RANKS], double_sums[2];
    uint64_t lost; /* at this call each is cut off from the other; 0 = never */
} meeting;

typedef struct rank {
    hone_ranks ranks;
    meeting *m;
    hone_dataset *data;
    hone_trainer *trainer;
    hone_trainer_state end;
    hone_status status;
    bool fails;
    uint64_t calls;
    double losses;
    pthread_t thread;
} rank;

/* All are here with what they have, and then it is summed. */
static hone_status meet(rank *r)
{
    if (r->m->lost && ++r->calls >= r->m->lost)
        return hone_fail(HONE_BUSY, "the other rank is gone");
    pthread_barrier_wait(&r->m->all);
    return HONE_OK;
}

#define SUM_FN(type)                                                                               \
    static hone_status sum_##type##s(void *arg, type *x, size_t n)                                 \
    {                                                                                              \
        rank *r = arg;                                                                             \
        meeting *m = r->m;                                                                         \
        if (n > sizeof m->type##_sums / sizeof *m->type##_sums)                                    \
            return hone_fail(HONE_LIMIT, "%zu numbers", n);                                        \
        m->type##s[r->ranks.rank] = x;                                                             \
        HONE_TRY(meet(r));                                                                         \
        for (size_t i = 0; i < n && !r->ranks.rank; i++)                                           \
            m->type##_sums[i] = m->type##s[0][i] + m->type##s[1][i];                               \
        pthread_barrier_wait(&m->all);                                                             \
        memcpy(x, m->type##_sums, n * sizeof *x);                                                  \
        return HONE_OK;                                                                            \
    }
SUM_FN(float)
SUM_FN(double)

static void add_losses(void *arg, const hone_trainer_state *s)
{
    rank *r = arg;
    hone_trainable *t = (hone_trainable *)(uintptr_t)hone_trainer_model(r->trainer);
    r->losses += s->loss + s->validation;
    if (r->fails && s->step == 2 && r->ranks.rank == 1)
        t->max_rows = 1; /* no sequence fits: this rank alone fails at its next step */
}

static void *run_rank(void *arg)
{
    rank *r = arg;
    r->status = hone_trainer_run(r->trainer, add_losses, r, &r->end);
    return NULL;
}

typedef struct ranks_run {
    const char *folder, *other; /* other: rank 1's, or NULL */
    uint32_t count, rows;
    uint64_t until, lost;
    bool fails; /* rank 1 alone */
    float w[RANKS][WEIGHTS];
    double losses; /* of rank 0 */
    hone_status status[RANKS];
} ranks_run;

static hone_status run_ranks(ranks_run *x)
{
    static meeting m;
    static rank ranks[RANKS];
    hone_file *f;
    char path[300];
    m = (meeting){.lost = x->lost};
    assert_int_equal(pthread_barrier_init(&m.all, NULL, x->count), 0);
    assert_int_equal(hone_file_open(in_folder("a"), &f), HONE_OK);
    for (uint32_t i = 0; i < x->count; i++) {
        rank *r = &ranks[i];
        *r = (rank){
            {i, x->count, sum_floats, sum_doubles, r}, &m, .data = open_rows(), .fails = x->fails};
        snprintf(path, sizeof path, "%s", in_folder(i && x->other ? x->other : x->folder));
        const hone_trainer_options o = {
            .model = {.f32 = true, .threads = 1, .max_rows = 32},
            .optimizer = {.beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-3f, .clip = 1},
            .schedule = {.kind = HONE_SCHEDULE_CONSTANT, .rate = 0.01, .steps = 6},
            .rows = x->rows,
            .length = 8,
            .type = HONE_DTYPE_F32,
            .validation_rows = 7,
            .validate_every = 1,
            .until = x->until,
            .ranks = x->count > 1 ? &r->ranks : NULL};
        if (hone_trainer_open(f, path, &o, r->data, r->data, &r->trainer) != HONE_OK)
            fail_msg("%s", hone_error());
    }
    for (uint32_t i = 0; i < x->count; i++)
        assert_int_equal(pthread_create(&ranks[i].thread, NULL, run_rank, &ranks[i]), 0);
    for (uint32_t i = 0; i < x->count; i++) {
        const hone_trainable *t = hone_trainer_model(ranks[i].trainer);
        pthread_join(ranks[i].thread, NULL);
        assert_true(t->p.floats <= WEIGHTS);
        memcpy(x->w[i], t->weights, t->p.floats * sizeof(float));
        hone_trainer_close(ranks[i].trainer);
        hone_dataset_close(ranks[i].data);
    }
    x->losses = ranks[0].losses;
    for (uint32_t i = 0; i < x->count; i++)
        x->status[i] = ranks[i].status;
    if (x->status[0] == HONE_OK && x->count > 1)
        assert_true(ranks[0].losses == ranks[1].losses);
    hone_file_close(f);
    pthread_barrier_destroy(&m.all);
    return x->status[0];
}

/* Two ranks make the steps of one, but for the order of sums; the same bits on both, and when they
 * go on after a stop. The odd row of a step is one rank's alone; of one row the other has none. */
static void ranks_make_the_steps_of_one(void **state)
{
    (void)state;
    static ranks_run alone, two, again;
    hone_dataset_close(open_data());
    for (uint32_t rows = 1; rows <= 3; rows += 2) {
        const char *names[] = {rows > 1 ? "alone" : "alone1", rows > 1 ? "two" : "two1"};
        alone = (ranks_run){.folder = names[0], .count = 1, .rows = rows};
        two = (ranks_run){.folder = names[1], .count = 2, .rows = rows};
        assert_int_equal(run_ranks(&alone), HONE_OK);
        assert_int_equal(run_ranks(&two), HONE_OK);
        assert_int_equal(two.status[1], HONE_OK);
        assert_memory_equal(two.w[0], two.w[1], sizeof two.w[0]);
        assert_true(fabs(two.losses - alone.losses) < 1e-3 && alone.losses > 6);
        for (size_t i = 0; i < WEIGHTS; i++)
            assert_true(fabsf(two.w[0][i] - alone.w[0][i]) < 1e-4f);
    }
    again = (ranks_run){.folder = "again", .count = 2, .rows = 3, .until = 2};
    assert_int_equal(run_ranks(&again), HONE_OK);
    assert_memory_not_equal(two.w[0], again.w[0], sizeof two.w[0]);
    again.until = 0;
    again.other = "elsewhere"; /* a rank that does not see the checkpoint */
    assert_int_equal(run_ranks(&again), HONE_USAGE);
    again.other = NULL;
    assert_int_equal(run_ranks(&again), HONE_OK);
    assert_memory_equal(two.w, again.w, sizeof two.w);
}

static void what_ends_one_rank_ends_all(void **state)
{
    (void)state;
    static ranks_run x;
    x = (ranks_run){.folder = "lost", .count = 2, .rows = 3, .lost = 6};
    assert_int_equal(run_ranks(&x), HONE_BUSY);
    assert_int_equal(x.status[1], HONE_BUSY);
    x = (ranks_run){.folder = "failed", .count = 2, .rows = 3, .fails = true};
    assert_int_equal(run_ranks(&x), HONE_INTERRUPTED);
    assert_int_equal(x.status[1], HONE_LIMIT);
}

/* As many rows as asked for are judged, whatever a step takes. */
static void validation_is_of_the_same_rows_at_any_batch(void **state)
{
    (void)state;
    const uint32_t rows[] = {1, 2, 5};
    double loss[3];
    hone_dataset_close(open_data());
    for (int i = 0; i < 3; i++) {
        hone_file *f;
        hone_trainer *t;
        hone_trainer_state end;
        hone_dataset *data = open_rows(), *validation = open_rows();
        char name[32];
        snprintf(name, sizeof name, "rows%u", rows[i]);
        const hone_trainer_options o = {.model = {.f32 = true, .threads = 1, .max_rows = 40},
                                        .optimizer = {.beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-3f},
                                        .schedule = {.kind = HONE_SCHEDULE_CONSTANT, .steps = 1},
                                        .rows = rows[i],
                                        .length = 8,
                                        .type = HONE_DTYPE_F32,
                                        .validation_rows = 3};
        assert_int_equal(hone_file_open(in_folder("a"), &f), HONE_OK);
        assert_int_equal(hone_trainer_open(f, in_folder(name), &o, data, validation, &t), HONE_OK);
        assert_int_equal(hone_trainer_run(t, NULL, NULL, &end), HONE_OK);
        loss[i] = end.validation;
        hone_trainer_close(t);
        hone_file_close(f);
        hone_dataset_close(data);
        hone_dataset_close(validation);
    }
    assert_true(fabs(loss[0] - loss[1]) < 1e-5 && fabs(loss[0] - loss[2]) < 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules_follow_their_formulas),
        cmocka_unit_test(labels_are_shifted_within_sequences),
        cmocka_unit_test(fresh_weights_depend_on_the_seed_alone),
        cmocka_unit_test(a_model_to_train_survives_every_failing_allocation),
        cmocka_unit_test(a_damaged_checkpoint_is_named),
        cmocka_unit_test(steps_that_are_not_finite_are_skipped_and_lower_the_rate),
        cmocka_unit_test(rows_without_a_label_change_nothing),
        cmocka_unit_test(ranks_make_the_steps_of_one),
        cmocka_unit_test(what_ends_one_rank_ends_all),
        cmocka_unit_test(validation_is_of_the_same_rows_at_any_batch),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
