#include "store/internal.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The first column of the first row (bound: key if it is not NULL, else id): a fresh copy, or NULL
 * if there is no row or the column is NULL. */
static hone_status query_text(hone_registry *r, char **out, bool *found, const char *sql,
                              int64_t id, const char *key)
{
    *out = NULL;
    sqlite3_stmt *stmt;
    if (key)
        HONE_TRY(hone_store_prepare(r, &stmt, sql, "s", key));
    else
        HONE_TRY(hone_store_prepare(r, &stmt, sql, "i", id));
    hone_status s = hone_store_step(r, stmt, found);
    const char *text = s == HONE_OK && *found ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    if (text && !(*out = hone_strdup(text)))
        s = hone_fail_memory(strlen(text), "a record of the registry");
    sqlite3_finalize(stmt);
    return s;
}

hone_status hone_registry_put_model(hone_registry *r, const hone_model_record *m, int64_t *id)
{
    return hone_store_run(r, id,
                          "INSERT INTO models(sha256, path, name, arch, bytes) VALUES(?,?,?,?,?)"
                          " ON CONFLICT(sha256) DO UPDATE SET path = excluded.path RETURNING id",
                          "ssssi", m->sha256, m->path, m->name, m->arch, (int64_t)m->bytes);
}

hone_status hone_registry_find_model(hone_registry *r, const char *sha256, int64_t *id)
{
    HONE_TRY(hone_store_run(r, id, "SELECT id FROM models WHERE sha256 = ?", "s", sha256));
    return *id ? HONE_OK
               : hone_fail(
                     HONE_NOT_FOUND,
                     "this model (sha256 %.12s...) is not in registry %s: nothing of it is kept",
                     sha256, r->path);
}

hone_status hone_registry_put_environment(hone_registry *r, const char *key, const char *json,
                                          int64_t *id)
{
    return hone_store_run(r, id,
                          "INSERT INTO environments(key, json) VALUES(?,?)"
                          " ON CONFLICT(key) DO UPDATE SET json = json RETURNING id",
                          "ss", key, json);
}

hone_status hone_registry_put_configuration(hone_registry *r, const char *json, int64_t *id)
{
    return hone_store_run(r, id,
                          "INSERT INTO configurations(json) VALUES(?)"
                          " ON CONFLICT(json) DO UPDATE SET json = json RETURNING id",
                          "s", json);
}

hone_status hone_registry_environment(hone_registry *r, int64_t id, char **json)
{
    bool found;
    HONE_TRY(query_text(r, json, &found, "SELECT json FROM environments WHERE id = ?", id, NULL));
    return found ? HONE_OK
                 : hone_fail(HONE_NOT_FOUND, "registry %s has no environment %lld", r->path,
                             (long long)id);
}

hone_status hone_registry_start_run(hone_registry *r, const hone_run_record *run, int64_t *id,
                                    bool *done)
{
    sqlite3_stmt *stmt;
    HONE_TRY(
        hone_store_prepare(r, &stmt,
                           "INSERT INTO runs(key, model, environment, goal, max_loss, data_hash, "
                           "seed, settings, state,"
                           " started) VALUES(?,?,?,?,?,?,?,?,'running'," HONE_STORE_NOW ")"
                           " ON CONFLICT(key) DO UPDATE SET key = key RETURNING id, state = 'done'",
                           "siisdsis", run->key, run->model, run->environment, run->goal,
                           run->max_loss, run->data_hash, (int64_t)run->seed, run->settings));
    bool row;
    hone_status s = hone_store_step(r, stmt, &row);
    if (s == HONE_OK) {
        *id = sqlite3_column_int64(stmt, 0);
        *done = sqlite3_column_int(stmt, 1);
        s = hone_store_step(r, stmt, &row); /* to the end: the insert takes effect */
    }
    sqlite3_finalize(stmt);
    return s;
}

/* A byte of REGISTRY.lock for each run: SQLite's own locks are on its files, and closing one of
 * them would let go of those. */
hone_status hone_registry_lock_run(hone_registry *r, int64_t run, int *lock)
{
    struct flock byte = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = run, .l_len = 1};
    size_t n = strlen(r->path) + sizeof ".lock";
    char *path = hone_malloc(n);
    if (!path)
        return hone_fail_memory(n, "a path");
    snprintf(path, n, "%s.lock", r->path);
    hone_status s = HONE_OK;
    *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*lock < 0)
        s = hone_fail_errno(errno, "%s", path);
    else if (fcntl(*lock, F_OFD_SETLK, &byte) != 0)
        s = errno == EAGAIN || errno == EACCES
                ? hone_fail(HONE_BUSY, "another hone optimize works at run %lld of %s",
                            (long long)run, r->path)
                : hone_fail_errno(errno, "%s", path);
    if (s != HONE_OK && *lock >= 0) {
        (void)close(*lock);
        *lock = -1;
    }
    hone_free(path);
    return s;
}

hone_status hone_registry_finish_run(hone_registry *r, int64_t run, const char *result)
{
    return hone_store_run(r, NULL,
                          "UPDATE runs SET state = 'done', result = ?, finished = " HONE_STORE_NOW
                          " WHERE id = ?",
                          "si", result, run);
}

hone_status hone_registry_restart_run(hone_registry *r, int64_t run)
{
    bool own;
    HONE_TRY(hone_store_enter(r, &own));
    hone_status s = hone_store_run(r, NULL, "DELETE FROM experiments WHERE run = ?", "i", run);
    if (s == HONE_OK)
        s = hone_store_run(r, NULL,
                           "UPDATE runs SET state = 'running', result = NULL, finished = NULL,"
                           " started = " HONE_STORE_NOW " WHERE id = ?",
                           "i", run);
    return hone_store_leave(r, own, s);
}

hone_status hone_registry_start_experiment(hone_registry *r, const hone_experiment_record *e,
                                           int64_t *id, bool *failed, char **metrics)
{
    *metrics = NULL;
    bool own, row;
    HONE_TRY(hone_store_enter(r, &own));
    int64_t configuration;
    hone_status s = hone_registry_put_configuration(r, e->config, &configuration);
    if (s == HONE_OK)
        s = hone_store_run(r, id,
                           "INSERT INTO experiments(run, configuration, key, label, predicted,"
                           " state) VALUES(?,?,?,?,?,'running')"
                           " ON CONFLICT(run, key) DO UPDATE SET key = key RETURNING id",
                           "iisss", e->run, configuration, e->key, e->label, e->predicted);
    if (s == HONE_OK)
        s = query_text(r, metrics, &row, "SELECT metrics FROM experiments WHERE id = ?", *id, NULL);
    int64_t bad = 0;
    if (s == HONE_OK)
        s = hone_store_run(r, &bad, "SELECT state = 'failed' FROM experiments WHERE id = ?", "i",
                           *id);
    *failed = bad;
    s = hone_store_leave(r, own, s);
    if (s != HONE_OK) {
        hone_free(*metrics);
        *metrics = NULL;
    }
    return s;
}

hone_status hone_registry_finish_experiment(hone_registry *r, int64_t experiment, bool failed,
                                            const char *metrics, const double *baseline,
                                            const double *candidate, size_t n)
{
    bool own;
    HONE_TRY(hone_store_enter(r, &own));
    hone_status s =
        hone_store_run(r, NULL, "DELETE FROM samples WHERE experiment = ?", "i", experiment);
    for (size_t i = 0; s == HONE_OK && i < n; i++)
        s = hone_store_run(r, NULL, "INSERT INTO samples VALUES(?,?,?,?)", "iidd", experiment,
                           (int64_t)i, baseline[i], candidate[i]);
    if (s == HONE_OK)
        s = hone_store_run(r, NULL, "UPDATE experiments SET state = ?, metrics = ? WHERE id = ?",
                           "ssi", failed ? "failed" : "done", metrics, experiment);
    return hone_store_leave(r, own, s);
}

hone_status hone_registry_put_decision(hone_registry *r, const hone_decision_record *d)
{
    return hone_store_run(r, NULL,
                          "INSERT INTO decisions(run, experiment, verdict, why) VALUES(?,?,?,?)"
                          " ON CONFLICT(run, experiment) DO UPDATE SET verdict = excluded.verdict,"
                          " why = excluded.why",
                          "iiss", d->run, d->experiment, d->verdict, d->why);
}

hone_status hone_registry_promote(hone_registry *r, int64_t model, const char *config, int64_t run)
{
    bool own;
    HONE_TRY(hone_store_enter(r, &own));
    int64_t configuration = 0, last = 0, in_force = 0;
    hone_status s = hone_registry_put_configuration(r, config, &configuration);
    if (s == HONE_OK)
        s = hone_store_run(r, &last, "SELECT max(id) FROM promotions WHERE model = ?", "i", model);
    if (s == HONE_OK)
        s = hone_store_run(r, &in_force, "SELECT configuration FROM promotions WHERE id = ?", "i",
                           last);
    if (s == HONE_OK && in_force != configuration)
        s = hone_store_run(r, NULL,
                           "INSERT INTO promotions(model, configuration, previous, run, action, at)"
                           " VALUES(?, ?, nullif(?, 0), nullif(?, 0), 'promote', " HONE_STORE_NOW
                           ")",
                           "iiii", model, configuration, last, run);
    return hone_store_leave(r, own, s);
}

/* The line that undoes the last one holds the former's configuration and the former's own previous,
 * so that the next rollback goes one further back. */
static hone_status insert_rollback(hone_registry *r, int64_t model)
{
    int64_t promoted;
    HONE_TRY(hone_store_run(r, &promoted,
                            "SELECT configuration IS NOT NULL FROM promotions WHERE id ="
                            " (SELECT max(id) FROM promotions WHERE model = ?)",
                            "i", model));
    if (!promoted)
        return hone_fail(HONE_NOT_FOUND, "nothing is promoted for this model in registry %s",
                         r->path);
    return hone_store_run(
        r, NULL,
        "INSERT INTO promotions(model, configuration, previous, run, action, at)"
        " SELECT last.model, old.configuration, old.previous, old.run, 'rollback', " HONE_STORE_NOW
        " FROM promotions last LEFT JOIN promotions old ON old.id = last.previous"
        " WHERE last.id = (SELECT max(id) FROM promotions WHERE model = ?)",
        "i", model);
}

static const char current_of_id[] =
    "SELECT c.json FROM promotions p LEFT JOIN configurations c ON c.id = p.configuration"
    " WHERE p.model = ? ORDER BY p.id DESC LIMIT 1";

static const char current_of_hash[] =
    "SELECT c.json FROM promotions p JOIN models m ON m.id = p.model"
    " LEFT JOIN configurations c ON c.id = p.configuration"
    " WHERE m.sha256 = ? ORDER BY p.id DESC LIMIT 1";

hone_status hone_registry_rollback(hone_registry *r, int64_t model, char **config)
{
    *config = NULL;
    bool own, found;
    HONE_TRY(hone_store_enter(r, &own));
    hone_status s = insert_rollback(r, model);
    if (s == HONE_OK)
        s = query_text(r, config, &found, current_of_id, model, NULL);
    s = hone_store_leave(r, own, s);
    if (s != HONE_OK) {
        hone_free(*config);
        *config = NULL;
    }
    return s;
}

hone_status hone_registry_current(hone_registry *r, const char *model_sha256, char **config)
{
    bool found;
    return query_text(r, config, &found, current_of_hash, 0, model_sha256);
}

hone_status hone_registry_put_file(hone_registry *r, const char *fingerprint, int64_t model)
{
    return hone_store_run(r, NULL,
                          "INSERT INTO files(fingerprint, model) VALUES(?,?)"
                          " ON CONFLICT(fingerprint) DO UPDATE SET model = excluded.model",
                          "si", fingerprint, model);
}

hone_status hone_registry_find_file(hone_registry *r, const char *fingerprint, uint64_t bytes,
                                    int64_t *model, int64_t *candidates)
{
    HONE_TRY(hone_store_run(r, model, "SELECT model FROM files WHERE fingerprint = ?", "s",
                            fingerprint));
    return hone_store_run(r, candidates,
                          "SELECT count(*) FROM models m WHERE m.bytes = ?"
                          " AND EXISTS(SELECT 1 FROM promotions p WHERE p.model = m.id)",
                          "i", (int64_t)bytes);
}

hone_status hone_registry_current_of(hone_registry *r, int64_t model, char **config, int64_t *run)
{
    bool found;
    HONE_TRY(query_text(r, config, &found, current_of_id, model, NULL));
    hone_status s = hone_store_run(r, run,
                                   "SELECT coalesce(run, 0) FROM promotions WHERE model = ?"
                                   " ORDER BY id DESC LIMIT 1",
                                   "i", model);
    if (s != HONE_OK) {
        hone_free(*config);
        *config = NULL;
    }
    return s;
}
