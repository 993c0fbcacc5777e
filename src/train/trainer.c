#include "train/trainer.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/io.h"
#include "base/mem.h"
#include "train/events.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    BAD_HALVES = 3,
    BAD_STOPS = 10,
    SETTINGS_MAX = 1024,
    OPTIMIZER_MAX = 256,
    DATA_WORDS = 32,
    TARGETS_MAX = 200
};

struct hone_trainer {
    hone_trainer_options o;
    hone_ranks ranks;
    hone_trainable *model;
    hone_optimizer optimizer;
    hone_dataset *data, *validation;
    hone_dataset_batch batch;
    int32_t *tokens, *targets; /* of a step, without padding, segment after segment */
    uint32_t *lengths;
    hone_training_state s;
    char *folder, settings[SETTINGS_MAX];
    FILE *log;
    hone_events *events;
    int lock; /* the folder, open and locked: one run at a time; -1 = not yet */
};

/* ---- settings -------------------------------------------------------------------------------- */

/* What does not fit is there as a hash of the whole. */
static void describe_targets(const char *targets, char *out, size_t n)
{
    const size_t length = strlen(targets);
    int used = snprintf(out, n, "%.*s", TARGETS_MAX, targets);
    if (length > TARGETS_MAX)
        snprintf(out + used, n - (size_t)used, "... %016" PRIx64,
                 (uint64_t)XXH3_64bits(targets, length));
}

/* What an adapter's bits depend on besides: the weights that it stands beside, as they are packed,
 * and the values that it begins with. */
static void describe_adapter(const hone_trainer *t, char *out, size_t n)
{
    const hone_model *m = t->model->model;
    const bool new = !t->o.model.adapter_folder;
    char targets[TARGETS_MAX + 24];
    *out = 0;
    if (!t->model->adapter)
        return;
    const hone_adapter_options *a = &t->model->adapter->o;
    if (new)
        describe_targets(t->o.model.adapter->targets, targets, sizeof targets);
    else
        snprintf(targets, sizeof targets, "from %016" PRIx64,
                 (uint64_t)XXH3_64bits(t->model->weights, t->model->p.floats * sizeof(float)));
    snprintf(out, n,
             ", %s rank %u alpha %.9g dropout %.9g seed %" PRIu64 "%s beside %s of %016" PRIx64
             "%s%s",
             a->dora ? "dora" : "lora", a->rank, a->alpha, a->dropout, a->seed,
             a->rslora ? " rslora" : "", targets, (uint64_t)XXH3_64bits(m->memory, m->memory_bytes),
             t->o.model.quantise ? " in " : "",
             t->o.model.quantise ? hone_dtype_name(t->o.model.weight_dtype) : "");
}

static void describe_data(const hone_trainer *t, char out[DATA_WORDS])
{
    snprintf(out, DATA_WORDS, "data %016" PRIx64, hone_dataset_get_info(t->data)->content);
}

/* All that a step's bits depend on, as text. */
static void describe(hone_trainer *t)
{
    const hone_trainer_options *o = &t->o;
    const hone_schedule *s = &o->schedule;
    char optimizer[OPTIMIZER_MAX];
    hone_optimizer_describe(&o->optimizer, optimizer, sizeof optimizer);
    char adapter[SETTINGS_MAX / 2], ranks[32] = "", data[DATA_WORDS];
    describe_data(t, data);
    describe_adapter(t, adapter, sizeof adapter);
    if (t->ranks.count > 1)
        snprintf(ranks, sizeof ranks, ", %u ranks", t->ranks.count);
    snprintf(t->settings, sizeof t->settings,
             "%s, %s%s, %s seed %" PRIu64 ", %u%s rows of %u in parts of %u, %s rate "
             "%.9g to %.9g over %" PRIu64 " steps, warmup %" PRIu64 ", decay %" PRIu64
             ", %s, %" PRIu64 " parameters%s%s",
             t->model->model->arch->name, o->model.f32 ? "f32" : "bf16",
             o->model.products == HONE_PRODUCTS_BF16_DOT ? "-dot" : "", data, o->seed, o->rows,
             o->whole ? " whole" : "", o->length, o->model.max_rows, hone_schedule_name(s->kind),
             s->rate, s->floor, s->steps, s->warmup, s->decay, optimizer, t->model->p.numbers,
             ranks, adapter);
}

/* ---- open ------------------------------------------------------------------------------------ */

static hone_status check_data(const hone_trainer *t, const hone_dataset *d)
{
    const hone_hparams *h = &t->model->model->hp;
    const hone_dataset_info *i = hone_dataset_get_info(d);
    if (i->vocab > 0 && (uint32_t)i->vocab > h->vocab)
        return hone_fail(HONE_DATA, "the data has tokens up to %d, the model %u", i->vocab - 1,
                         h->vocab);
    if (t->o.length > h->context_tokens)
        return hone_fail(HONE_DATA, "rows of %u tokens; the model's context is %u", t->o.length,
                         h->context_tokens);
    return HONE_OK;
}

/* Whether this process writes to the folder */
static bool writes(const hone_trainer *t)
{
    return t->ranks.rank == 0;
}

/* The lines of log.jsonl up to the step that goes on. */
static hone_status open_log(hone_trainer *t)
{
    char *path = hone_path_join(t->folder, "log.jsonl"), *text = NULL;
    size_t bytes = 0, end = 0;
    static const char begin[] = "{\"step\": ";
    hone_status s = path ? hone_read_member(t->folder, "log.jsonl", (size_t)1 << 30, &text, &bytes)
                         : hone_fail_memory(strlen(t->folder), "a path");
    while (s == HONE_OK && text && end < bytes) {
        const char *line = memchr(text + end, '\n', bytes - end);
        if (!line || strncmp(text + end, begin, sizeof begin - 1) != 0 ||
            strtoull(text + end + sizeof begin - 1, NULL, 10) > t->s.steps)
            break;
        end = (size_t)(line - text) + 1;
    }
    if (s == HONE_OK)
        s = hone_write_file(path, text ? text : "", end);
    hone_free(text);
    if (s == HONE_OK && !(t->log = fopen(path, "ae")))
        s = hone_fail(HONE_DISK, "%s: cannot be opened", path);
    hone_free(path);
    return s == HONE_OK ? hone_events_open(t->folder, t->s.steps, &t->events) : s;
}

static hone_status lock_folder(hone_trainer *t)
{
    static const char *const files[] = {"model.safetensors",   "adapter_model.safetensors",
                                        "adapter_config.json", "training.safetensors",
                                        "log.jsonl",           HONE_EVENTS_NAME};
    HONE_TRY(hone_make_directory(t->folder));
    t->lock = open(t->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->lock < 0)
        return hone_fail_errno(errno, "%s", t->folder);
    if (flock(t->lock, LOCK_EX | LOCK_NB) != 0)
        return hone_fail(HONE_BUSY, "another hone train works in %s", t->folder);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) /* of a run that was killed */
        hone_drop_temporaries(t->folder, files[i]);
    return HONE_OK;
}

static hone_status write_adapter_config(const hone_trainer *t)
{
    char *path, *json;
    if (!t->model->adapter)
        return HONE_OK;
    HONE_TRY(hone_adapter_config_write(t->model->adapter, t->o.base ? t->o.base : "", &json));
    path = hone_path_join(t->folder, "adapter_config.json");
    hone_status s = path ? hone_write_file(path, json, strlen(json))
                         : hone_fail_memory(strlen(t->folder), "a path");
    hone_free(path);
    hone_free(json);
    return s;
}

/* The step after which the run stops */
static uint64_t last_step(const hone_trainer *t)
{
    const uint64_t all = t->o.schedule.steps, until = t->o.until;
    return until && until < all ? until : all;
}

static hone_status start_branch(hone_trainer *t)
{
    char data[DATA_WORDS];
    describe_data(t, data);
    HONE_TRY(
        hone_checkpoint_branch(t->o.branch, t->model, &t->optimizer, &t->s, t->settings, data));
    if (t->s.steps >= last_step(t))
        return hone_fail(HONE_USAGE,
                         "%s stands at step %" PRIu64 ": a branch to step %" PRIu64
                         " has nothing to do; steps count from that run's first",
                         t->o.branch, t->s.steps, last_step(t));
    return hone_dataset_seek(t->data, t->s.cursor);
}

static hone_status open_parts(hone_trainer *t, const hone_file *model)
{
    size_t n = (size_t)t->o.rows * t->o.length;
    if (writes(t))
        HONE_TRY(lock_folder(t));
    HONE_TRY(hone_trainable_open(model, &t->o.model, &t->model));
    HONE_TRY(check_data(t, t->data));
    if (t->validation)
        HONE_TRY(check_data(t, t->validation));
    HONE_TRY(hone_optimizer_open(t->model, &t->o.optimizer, &t->optimizer));
    HONE_TRY(hone_dataset_batch_open(t->o.rows, t->o.length, &t->batch));
    t->tokens = hone_malloc(n * sizeof *t->tokens);
    t->targets = hone_malloc(n * sizeof *t->targets);
    t->lengths = hone_malloc(n * sizeof *t->lengths);
    if (!t->tokens || !t->targets || !t->lengths)
        return hone_fail_memory(3 * n * sizeof *t->tokens, "a step's tokens");
    describe(t);
    t->s.rate_scale = 1;
    if (hone_checkpoint_exists(t->folder)) {
        HONE_TRY(hone_checkpoint_read(t->folder, t->model, &t->optimizer, &t->s, t->settings));
        HONE_TRY(hone_dataset_seek(t->data, t->s.cursor));
    } else {
        t->s.cursor = hone_dataset_tell(t->data);
        if (t->o.branch)
            HONE_TRY(start_branch(t));
        if (writes(t)) {
            HONE_TRY(write_adapter_config(t));
            HONE_TRY(hone_checkpoint_write(t->folder, t->model, &t->optimizer, &t->s, t->settings,
                                           t->o.type));
        }
    }
    return writes(t) ? open_log(t) : HONE_OK;
}

hone_status hone_trainer_open(const hone_file *model, const char *folder,
                              const hone_trainer_options *o, hone_dataset *data,
                              hone_dataset *validation, hone_trainer **out)
{
    *out = NULL;
    hone_trainer *t = hone_calloc(1, sizeof *t);
    if (!t)
        return hone_fail_memory(sizeof *t, "a trainer");
    t->o = *o;
    t->ranks = o->ranks ? *o->ranks : (hone_ranks){.count = 1};
    t->o.ranks = NULL;
    t->data = data;
    t->validation = validation;
    t->lock = -1;
    t->folder = hone_strdup(folder);
    hone_status s = t->folder ? open_parts(t, model) : hone_fail_memory(strlen(folder), "a path");
    if (s == HONE_OK)
        *out = t;
    else
        hone_trainer_close(t);
    return s;
}

void hone_trainer_close(hone_trainer *t)
{
    if (!t)
        return;
    if (t->log)
        (void)fclose(t->log);
    hone_events_close(t->events);
    if (t->lock >= 0)
        (void)close(t->lock);
    hone_trainable_close(t->model);
    hone_optimizer_close(&t->optimizer);
    hone_dataset_batch_close(&t->batch);
    hone_free(t->tokens);
    hone_free(t->targets);
    hone_free(t->lengths);
    hone_free(t->folder);
    hone_free(t);
}

uint64_t hone_trainer_step(const hone_trainer *t)
{
    return t->s.steps;
}

const hone_trainable *hone_trainer_model(const hone_trainer *t)
{
    return t->model;
}

const char *hone_trainer_settings(const hone_trainer *t)
{
    return t->settings;
}

/* ---- a step ---------------------------------------------------------------------------------- */

/* Sums over the ranks, where there are several */
static hone_status sum_doubles(const hone_trainer *t, double *x, size_t n)
{
    return t->ranks.count > 1 ? t->ranks.sum_doubles(t->ranks.arg, x, n) : HONE_OK;
}

/* This rank's status, or that another one failed: none is left to wait for one that is gone. */
static hone_status agree(const hone_trainer *t, hone_status s)
{
    double failed = s != HONE_OK;
    if (t->ranks.count < 2)
        return s;
    hone_status sum = sum_doubles(t, &failed, 1);
    if (s != HONE_OK || sum != HONE_OK)
        return s != HONE_OK ? s : sum;
    return failed > 0 ? hone_fail(HONE_INTERRUPTED, "another rank failed: it says why") : HONE_OK;
}

/* Whether all ranks stand at the same step of the same run. */
static hone_status check_ranks(const hone_trainer *t)
{
    const double mine[2] = {(double)t->s.steps,
                            (double)(XXH3_64bits(t->settings, strlen(t->settings)) >> 24)};
    double all[2] = {mine[0], mine[1]}, count = t->ranks.count;
    HONE_TRY(sum_doubles(t, all, 2));
    if (all[0] == count * mine[0] && all[1] == count * mine[1])
        return HONE_OK;
    return hone_fail(HONE_USAGE,
                     "the ranks are at different steps or have different settings (here step "
                     "%" PRIu64 ", %s): do all of them read the checkpoint in %s?",
                     t->s.steps, t->settings, t->folder);
}

static hone_status sum_gradients(const hone_trainer *t)
{
    const hone_trainable *m = t->model;
    return t->ranks.count > 1 ? t->ranks.sum_floats(t->ranks.arg, m->grads, m->p.floats) : HONE_OK;
}

/* The segments of rows [from, to) as sequences; padding, segments of one token without a label, is
 * left out. */
static hone_backward_batch sequences_of(hone_trainer *t, uint32_t from, uint32_t to)
{
    const hone_dataset_batch *in = &t->batch;
    hone_backward_batch out = {.tokens = t->tokens, .n_tokens = t->lengths};
    for (uint32_t r = from; r < to; r++)
        for (uint32_t i = 0, n; i < in->length; i += n) {
            size_t at = (size_t)r * in->length + i;
            for (n = 1; i + n < in->length && in->starts[at + n] == in->starts[at];)
                n++;
            if (n == 1 && in->labels[at] == HONE_NO_LABEL)
                continue;
            memcpy(t->tokens + out.rows, in->ids + at, n * sizeof *t->tokens);
            memcpy(t->targets + out.rows, in->labels + at, n * sizeof *t->targets);
            t->lengths[out.n_sequences++] = n;
            out.rows += n;
        }
    return out;
}

/* The mean loss over the validation rows; NAN where there are none. */
static hone_status validate(hone_trainer *t, double *loss)
{
    double sums[2] = {0, 0}; /* of losses, of targets */
    uint64_t rows = t->validation ? hone_dataset_rows(t->validation) : 0;
    if (rows > t->o.validation_rows)
        rows = t->o.validation_rows;
    hone_trainable_draw(t->model, false, 0);
    const uint64_t batch = t->o.rows, share = batch * t->ranks.count;
    hone_status s = HONE_OK;
    for (uint64_t i = batch * t->ranks.rank; s == HONE_OK && i < rows; i += share) {
        double one = 0;
        t->batch.rows = (uint32_t)(rows - i < batch ? rows - i : batch);
        hone_dataset_read(t->validation, i, &t->batch);
        hone_backward_batch b = sequences_of(t, 0, t->batch.rows);
        s = hone_trainable_add(t->model, &b, t->targets, 0, false, &one);
        sums[0] += one;
        sums[1] += (double)t->batch.targets;
    }
    t->batch.rows = t->o.rows;
    HONE_TRY(agree(t, s));
    HONE_TRY(sum_doubles(t, sums, 2));
    *loss = sums[1] > 0 ? sums[0] / sums[1] : (double)NAN;
    return HONE_OK;
}

/* A step that cannot be used: the rate falls, or the run ends. */
static hone_status count_bad(hone_trainer *t, const hone_trainer_state *now)
{
    t->s.bad++;
    if (t->s.bad % BAD_HALVES == 0)
        t->s.rate_scale /= 2;
    if (t->s.bad < BAD_STOPS)
        return HONE_OK;
    return hone_fail(HONE_DATA,
                     "the loss or the gradient was not finite in %d steps in a row (loss %g, "
                     "gradient %g at step %" PRIu64 "), although the learning rate was halved "
                     "three times: a lower --rate, clipping, or float32 (--dtype f32) may help; "
                     "the last checkpoint in %s is of before",
                     BAD_STOPS, fabs(now->loss), fabs(now->norm), t->s.steps, t->folder);
}

/* This rank's part of the gradient and of the loss of the next batch */
static hone_status add_share(hone_trainer *t, double *sum)
{
    const hone_ranks *k = &t->ranks;
    HONE_TRY(hone_dataset_next(t->data, &t->batch));
    if (!t->batch.targets) /* of all ranks */
        return HONE_OK;
    const uint64_t rows = t->batch.rows;
    hone_backward_batch b = sequences_of(t, (uint32_t)(rows * k->rank / k->count),
                                         (uint32_t)(rows * (k->rank + 1) / k->count));
    hone_trainable_zero(t->model);
    hone_trainable_draw(t->model, true, t->s.steps * k->count + k->rank);
    return hone_trainable_add(t->model, &b, t->targets, 1 / (double)t->batch.targets, true, sum);
}

/* The step itself, from this rank's part of the gradient and its rows' losses */
static hone_status use_gradient(hone_trainer *t, double sum, hone_trainer_state *now)
{
    HONE_TRY(sum_gradients(t));
    HONE_TRY(sum_doubles(t, &sum, 1));
    now->loss = sum / (double)t->batch.targets;
    now->norm = hone_gradient_norm(&t->optimizer, t->model);
    now->skipped = !isfinite(now->loss) || !isfinite(now->norm);
    if (now->skipped) {
        HONE_TRY(count_bad(t, now));
    } else {
        t->s.bad = 0;
        hone_optimizer_step(&t->optimizer, t->model, now->norm, now->rate);
    }
    return HONE_OK;
}

static hone_status one_step(hone_trainer *t, hone_trainer_state *now)
{
    double sum = 0;
    HONE_TRY(agree(t, add_share(t, &sum)));
    now->loss = now->norm = (double)NAN;
    now->rate = hone_schedule_rate(&t->o.schedule, t->s.steps) * t->s.rate_scale;
    now->skipped = false;
    if (t->batch.targets) /* else nothing is to be learned from these rows */
        HONE_TRY(use_gradient(t, sum, now));
    t->s.steps++;
    t->s.optimizer_steps = t->optimizer.steps;
    t->s.tokens += t->batch.tokens;
    t->s.cursor = hone_dataset_tell(t->data);
    return HONE_OK;
}

/* None amid steps that are not finite: it may be the weights that are ruined. */
static hone_status checkpoint(hone_trainer *t)
{
    if (!writes(t) || t->s.bad)
        return HONE_OK;
    if (fflush(t->log) != 0)
        return hone_fail(HONE_DISK, "%s: log.jsonl cannot be written", t->folder);
    HONE_TRY(hone_events_flush(t->events));
    return hone_checkpoint_write(t->folder, t->model, &t->optimizer, &t->s, t->settings, t->o.type);
}

static hone_status note(hone_trainer *t, const hone_trainer_state *s)
{
    char validation[48] = "", loss[32] = "null", norm[32] = "null";
    if (!writes(t))
        return HONE_OK;
    if (isfinite(s->validation))
        snprintf(validation, sizeof validation, ", \"validation\": %.6f", s->validation);
    if (isfinite(s->loss))
        snprintf(loss, sizeof loss, "%.6f", s->loss);
    if (isfinite(s->norm))
        snprintf(norm, sizeof norm, "%.6g", s->norm);
    int n = fprintf(t->log,
                    "{\"step\": %" PRIu64 ", \"tokens\": %" PRIu64
                    ", \"loss\": %s, \"rate\": %.6g, \"norm\": %s%s%s}\n",
                    s->step, s->tokens, loss, s->rate, norm,
                    s->skipped ? ", \"skipped\": true" : "", validation);
    if (n <= 0)
        return hone_fail(HONE_DISK, "%s: log.jsonl cannot be written", t->folder);
    const hone_event_value values[] = {{"train/loss", (float)s->loss},
                                       {"train/learning_rate", (float)s->rate},
                                       {"train/gradient_norm", (float)s->norm},
                                       {"train/tokens_per_second", (float)s->tokens_s},
                                       {"validation/loss", (float)s->validation}};
    size_t count = sizeof values / sizeof *values;
    return hone_events_add(t->events, s->step, values, isfinite(s->validation) ? count : count - 1);
}

static bool due(uint64_t every, uint64_t step, uint64_t steps)
{
    return step == steps || (every && step % every == 0);
}

hone_status hone_trainer_run(hone_trainer *t, hone_trainer_event *event, void *arg,
                             hone_trainer_state *out)
{
    const uint64_t all = t->o.schedule.steps, tokens = t->s.tokens, steps = last_step(t);
    const double begin = hone_clock_s();
    *out = (hone_trainer_state){.step = t->s.steps,
                                .steps = steps,
                                .tokens = tokens,
                                .loss = (double)NAN,
                                .validation = (double)NAN};
    hone_status s;
    HONE_TRY(check_ranks(t));
    while (t->s.steps < steps) {
        double stop = hone_interrupted();
        HONE_TRY(sum_doubles(t, &stop, 1));
        if (stop > 0) { /* keep what is done */
            HONE_TRY(checkpoint(t));
            HONE_TRY(hone_interrupt_check());
            return hone_fail(HONE_INTERRUPTED, "another rank was stopped");
        }
        HONE_TRY(one_step(t, out));
        out->step = t->s.steps;
        out->tokens = t->s.tokens;
        out->seconds = hone_clock_s() - begin;
        out->tokens_s = out->seconds > 0 ? (double)(t->s.tokens - tokens) / out->seconds : 0;
        out->validation = (double)NAN;
        if (t->validation && due(t->o.validate_every, t->s.steps, all))
            HONE_TRY(validate(t, &out->validation));
        s = note(t, out);
        if (s == HONE_OK && due(t->o.checkpoint_every, t->s.steps, steps))
            s = checkpoint(t);
        HONE_TRY(agree(t, s));
        if (event)
            event(arg, out);
    }
    if (!t->s.bad)
        return HONE_OK;
    return hone_fail(HONE_DATA,
                     "the run ends amid steps that are not finite: the last checkpoint in %s is of "
                     "before them; --until ends it earlier",
                     t->folder);
}
