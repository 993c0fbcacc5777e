#include "cli/train_record.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "cli/registry_args.h"
#include "store/fingerprint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t LOG_BYTES_MAX = (size_t)1 << 30;
static const double WRITE_S = 30; /* at most so long apart, so that a report can be looked at */

static void give_up(cli_train_record *r)
{
    cli_progress_end();
    fprintf(stderr, "note: the curves are not kept in the registry: %s\n", hone_error());
    hone_registry_close(r->registry);
    r->registry = NULL;
}

static hone_status start(cli_train_record *r, const hone_trainer *t, const char *folder,
                         uint64_t steps)
{
    const hone_trainable *model = hone_trainer_model(t);
    char key[HONE_DIGEST_BYTES], *json;
    char *path = realpath(folder, NULL); /* its own malloc */
    if (!path)
        return hone_fail(HONE_IO, "%s: no such folder", folder);
    hone_training_record record = {.folder = path,
                                   .settings = hone_trainer_settings(t),
                                   .arch = model->model->arch->name,
                                   .parameters = model->p.numbers,
                                   .steps = steps};
    hone_status s = hone_fingerprint_take(&json, key);
    if (s == HONE_OK) {
        s = hone_registry_put_environment(r->registry, key, json, &record.environment);
        hone_free(json);
    }
    if (s == HONE_OK)
        s = hone_registry_start_training(r->registry, &record, hone_trainer_step(t), &r->id);
    free(path); /* NOLINT: realpath's */
    return s;
}

/* ---- the steps before ------------------------------------------------------------------------ */

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

/* What a run that was killed had not written yet: from log.jsonl, which tells no speeds. */
static hone_status add_earlier(cli_train_record *r, const char *folder)
{
    char *text, *line, *rest;
    size_t bytes;
    HONE_TRY(hone_read_member(folder, "log.jsonl", LOG_BYTES_MAX, &text, &bytes));
    hone_status s = HONE_OK;
    for (line = text ? strtok_r(text, "\n", &rest) : NULL; line && s == HONE_OK;
         line = strtok_r(NULL, "\n", &rest)) {
        json_t *o = json_loads(line, 0, NULL);
        r->points[r->n++] = (hone_training_point){
            .step = (uint64_t)json_integer_value(json_object_get(o, "step")),
            .tokens = (uint64_t)json_integer_value(json_object_get(o, "tokens")),
            .loss = number(o, "loss"),
            .rate = number(o, "rate"),
            .norm = number(o, "norm"),
            .tokens_s = (double)NAN,
            .validation = number(o, "validation")};
        if (!o)
            r->n--;
        json_decref(o);
        if (r->n == CLI_TRAIN_POINTS) {
            s = hone_registry_add_training(r->registry, r->id, r->points, r->n, "running");
            r->n = 0;
        }
    }
    hone_free(text);
    return s;
}

void cli_train_record_open(const cli_context *c, const hone_trainer *t, const char *folder,
                           uint64_t steps, cli_train_record *out)
{
    *out = (cli_train_record){.written_s = hone_clock_s()};
    if (cli_open_registry(c, true, &out->registry) != HONE_OK ||
        start(out, t, folder, steps) != HONE_OK || add_earlier(out, folder) != HONE_OK)
        give_up(out);
}

static void write_points(cli_train_record *r, const char *state)
{
    if (r->registry &&
        hone_registry_add_training(r->registry, r->id, r->points, r->n, state) != HONE_OK)
        give_up(r);
    r->n = 0;
    r->written_s = hone_clock_s();
}

void cli_train_record_add(cli_train_record *r, const hone_trainer_state *s)
{
    r->points[r->n++] = (hone_training_point){.step = s->step,
                                              .tokens = s->tokens,
                                              .loss = s->loss,
                                              .rate = s->rate,
                                              .norm = s->norm,
                                              .tokens_s = s->tokens_s,
                                              .validation = s->validation};
    if (r->n == CLI_TRAIN_POINTS || hone_clock_s() - r->written_s > WRITE_S)
        write_points(r, "running");
}

void cli_train_record_close(cli_train_record *r, bool done)
{
    write_points(r, done ? "done" : "stopped");
    hone_registry_close(r->registry);
    r->registry = NULL;
}
