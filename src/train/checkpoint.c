#include "train/trainer.h"

#include "base/io.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define STATE "training.safetensors"

static const char *const buffers[] = {"weights", "optimizer"};
enum { BUFFERS = sizeof buffers / sizeof *buffers };
enum { BEFORE = 24 /* characters told before a difference */, CHECKSUM = 17 /* as text */ };

_Static_assert(sizeof(hone_training_state) == 56, "no gaps");

/* Of all that goes on */
static void checksum(const hone_trainable *t, const hone_optimizer *o, const hone_training_state *s,
                     char out[CHECKSUM])
{
    uint64_t h = XXH3_64bits(s, sizeof *s);
    h = XXH3_64bits_withSeed(t->weights, t->p.floats * sizeof(float), h);
    h = XXH3_64bits_withSeed(o->state, o->state_floats * sizeof(float), h);
    snprintf(out, CHECKSUM, "%016" PRIx64, h);
}

/* ---- writing --------------------------------------------------------------------------------- */

static hone_status write_words(hone_safetensors_writer *w, const hone_training_state *s,
                               const char *settings)
{
    char text[64];
    const struct {
        const char *key;
        uint64_t value;
    } words[] = {{"steps", s->steps},        {"optimizer_steps", s->optimizer_steps},
                 {"tokens", s->tokens},      {"bad", s->bad},
                 {"epoch", s->cursor.epoch}, {"row", s->cursor.row}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        snprintf(text, sizeof text, "%" PRIu64, words[i].value);
        HONE_TRY(hone_safetensors_writer_str(w, words[i].key, text));
    }
    snprintf(text, sizeof text, "%a", s->rate_scale);
    HONE_TRY(hone_safetensors_writer_str(w, "rate_scale", text));
    return hone_safetensors_writer_str(w, "settings", settings);
}

static hone_status write_state(const char *path, const hone_trainable *t, const hone_optimizer *o,
                               const hone_training_state *s, const char *settings)
{
    const float *values[BUFFERS] = {t->weights, o->state};
    const uint64_t n[BUFFERS] = {t->p.floats, o->state_floats};
    hone_safetensors_writer *w;
    HONE_TRY(hone_safetensors_writer_open(path, &w));
    char sum[CHECKSUM];
    checksum(t, o, s, sum);
    hone_status status = write_words(w, s, settings);
    if (status == HONE_OK)
        status = hone_safetensors_writer_str(w, "xxh3", sum);
    for (int i = 0; i < BUFFERS && status == HONE_OK; i++)
        status = hone_safetensors_writer_tensor(w, buffers[i], HONE_DTYPE_F32, 1, &n[i]);
    for (int i = 0; i < BUFFERS && status == HONE_OK; i++)
        status = hone_safetensors_writer_write(w, values[i], n[i] * sizeof(float));
    if (status == HONE_OK)
        return hone_safetensors_writer_commit(w);
    hone_safetensors_writer_abort(w);
    return status;
}

hone_status hone_checkpoint_write(const char *folder, const hone_trainable *t,
                                  const hone_optimizer *o, const hone_training_state *s,
                                  const char *settings, hone_dtype type)
{
    if (t->adapter)
        type = HONE_DTYPE_F32;
    char *model =
             hone_path_join(folder, t->adapter ? "adapter_model.safetensors" : "model.safetensors"),
         *state = hone_path_join(folder, STATE);
    hone_status status = model && state ? hone_parameters_save(&t->p, type, t->weights, model)
                                        : hone_fail_memory(strlen(folder), "a path");
    if (status == HONE_OK)
        status = write_state(state, t, o, s, settings);
    hone_free(model);
    hone_free(state);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

bool hone_checkpoint_exists(const char *folder)
{
    char *state = hone_path_join(folder, STATE);
    bool there = state && hone_is_file(state);
    hone_free(state);
    return there;
}

static hone_status read_word(const hone_file *f, const char *key, uint64_t *out)
{
    const char *text;
    char end;
    HONE_TRY(hone_file_str(f, key, &text));
    if (sscanf(text, "%" SCNu64 "%c", out, &end) != 1)
        return hone_fail(HONE_FORMAT, "%s: %s is no number", hone_file_path(f), key);
    return HONE_OK;
}

static hone_status read_words(const hone_file *f, hone_training_state *s)
{
    const char *text;
    char end;
    HONE_TRY(read_word(f, "steps", &s->steps));
    HONE_TRY(read_word(f, "optimizer_steps", &s->optimizer_steps));
    HONE_TRY(read_word(f, "tokens", &s->tokens));
    HONE_TRY(read_word(f, "bad", &s->bad));
    HONE_TRY(read_word(f, "epoch", &s->cursor.epoch));
    HONE_TRY(read_word(f, "row", &s->cursor.row));
    HONE_TRY(hone_file_str(f, "rate_scale", &text));
    if (sscanf(text, "%la%c", &s->rate_scale, &end) != 1 || !(s->rate_scale > 0))
        return hone_fail(HONE_FORMAT, "%s: rate_scale is no number", hone_file_path(f));
    return HONE_OK;
}

static hone_status read_state(const hone_file *f, hone_trainable *t, hone_optimizer *o,
                              hone_training_state *s)
{
    float *values[BUFFERS] = {t->weights, o->state};
    const uint64_t n[BUFFERS] = {t->p.floats, o->state_floats};
    const char *theirs;
    char sum[CHECKSUM];
    HONE_TRY(read_words(f, s));
    for (int i = 0; i < BUFFERS; i++) {
        const hone_tensor *x;
        HONE_TRY(hone_file_need_tensor(f, buffers[i], 1, &n[i], &x));
        if (x->dtype != HONE_DTYPE_F32)
            return hone_fail(HONE_FORMAT, "%s: %s is not float32", hone_file_path(f), buffers[i]);
        memcpy(values[i], x->data, x->bytes);
    }
    checksum(t, o, s, sum);
    HONE_TRY(hone_file_str_or(f, "xxh3", sum, &theirs)); /* older ones have none */
    if (strcmp(sum, theirs) != 0)
        return hone_fail(HONE_FORMAT,
                         "%s is damaged: its content is not what was written (checksum)",
                         hone_file_path(f));
    o->steps = s->optimizer_steps;
    hone_trainable_push(t);
    return HONE_OK;
}

/* ---- settings -------------------------------------------------------------------------------- */

/* What a run's settings say of its adapter: their end. */
static const char *adapter_of(const char *settings)
{
    const char *lora = strstr(settings, ", lora "), *dora = strstr(settings, ", dora ");
    return lora ? lora : dora ? dora : "";
}

/* USAGE if they differ: both are told from a little before that. */
static hone_status check_same(const hone_file *f, const char *theirs, const char *ours,
                              const char *what, const char *advice)
{
    size_t at = 0;
    while (theirs[at] && theirs[at] == ours[at])
        at++;
    if (theirs[at] == ours[at])
        return HONE_OK;
    at = at > BEFORE ? at - BEFORE : 0;
    const char *cut = at ? "..." : "";
    return hone_fail(HONE_USAGE, "%s is a run %s: \"%s%.300s\", not \"%s%.300s\"; %s",
                     hone_file_path(f), what, cut, theirs + at, cut, ours + at, advice);
}

static hone_status check_branch(const hone_file *f, const char *theirs, const char *settings,
                                const char *data)
{
    if (!strstr(theirs, data))
        return hone_fail(
            HONE_USAGE,
            "%s is a run on other data: \"%.300s\" is without \"%s\"; a branch goes on "
            "at its place in the same",
            hone_file_path(f), theirs, data);
    return check_same(f, adapter_of(theirs), adapter_of(settings),
                      "of another adapter, or beside other weights",
                      "a branch goes on with the same");
}

static uint64_t row_length(const char *settings)
{
    static const char before[] = " rows of ";
    const char *at = strstr(settings, before);
    return at ? strtoull(at + sizeof before - 1, NULL, 10) : 0;
}

/* What a branch does not take along: what the rate was halved for was the former one, and rows of
 * another length begin at the same share of the epoch. */
static void leave_run(hone_training_state *s, const char *theirs, const char *settings)
{
    const uint64_t length = row_length(settings);
    s->bad = 0;
    s->rate_scale = 1;
    if (length)
        s->cursor.row = s->cursor.row * row_length(theirs) / length;
}

static hone_status read_checkpoint(const char *folder, hone_trainable *t, hone_optimizer *o,
                                   hone_training_state *s, const char *settings, const char *data)
{
    hone_file *f = NULL;
    const char *theirs;
    char *path = hone_path_join(folder, STATE);
    hone_status status =
        path ? hone_file_open(path, &f) : hone_fail_memory(strlen(folder), "a path");
    if (status == HONE_OK)
        status = hone_file_str(f, "settings", &theirs);
    if (status == HONE_OK)
        status = data ? check_branch(f, theirs, settings, data)
                      : check_same(f, theirs, settings, "with other settings",
                                   "give those, or another folder");
    if (status == HONE_OK)
        status = read_state(f, t, o, s);
    if (status == HONE_OK && data)
        leave_run(s, theirs, settings);
    hone_file_close(f);
    hone_free(path);
    return status;
}

hone_status hone_checkpoint_read(const char *folder, hone_trainable *t, hone_optimizer *o,
                                 hone_training_state *s, const char *settings)
{
    return read_checkpoint(folder, t, o, s, settings, NULL);
}

hone_status hone_checkpoint_branch(const char *folder, hone_trainable *t, hone_optimizer *o,
                                   hone_training_state *s, const char *settings, const char *data)
{
    return read_checkpoint(folder, t, o, s, settings, data);
}
