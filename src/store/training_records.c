#include "store/training_records.h"

#include "store/internal.h"

#include <math.h>

static hone_status start(hone_registry *r, const hone_training_record *t, uint64_t done,
                         int64_t *id)
{
    HONE_TRY(hone_store_run(r, id,
                            "INSERT INTO trainings(environment, folder, settings, arch, parameters,"
                            " steps, state, started, updated)"
                            " VALUES(?,?,?,?,?,?,'running'," HONE_STORE_NOW "," HONE_STORE_NOW ")"
                            " ON CONFLICT(folder, settings) DO UPDATE SET state = 'running',"
                            " environment = excluded.environment RETURNING id",
                            "isssii", t->environment, t->folder, t->settings, t->arch,
                            (int64_t)t->parameters, (int64_t)t->steps));
    return hone_store_run(r, NULL, "DELETE FROM curves WHERE training = ? AND step > ?", "ii", *id,
                          (int64_t)done);
}

hone_status hone_registry_start_training(hone_registry *r, const hone_training_record *t,
                                         uint64_t done, int64_t *id)
{
    bool own;
    *id = 0;
    HONE_TRY(hone_store_enter(r, &own));
    return hone_store_leave(r, own, start(r, t, done, id));
}

static hone_status add(hone_registry *r, int64_t id, const hone_training_point *points, size_t n,
                       const char *state)
{
    for (size_t i = 0; i < n; i++) {
        const hone_training_point *p = &points[i];
        /* SQLite keeps a NaN as NULL */
        HONE_TRY(hone_store_run(r, NULL,
                                "INSERT OR IGNORE INTO curves(training, step, tokens, loss, rate,"
                                " norm, tokens_s, validation) VALUES(?,?,?,?,?,?,?,?)",
                                "iiiddddd", id, (int64_t)p->step, (int64_t)p->tokens, p->loss,
                                p->rate, p->norm, p->tokens_s, p->validation));
    }
    return hone_store_run(
        r, NULL, "UPDATE trainings SET state = ?, updated = " HONE_STORE_NOW " WHERE id = ?", "si",
        state, id);
}

hone_status hone_registry_add_training(hone_registry *r, int64_t id,
                                       const hone_training_point *points, size_t n,
                                       const char *state)
{
    bool own;
    HONE_TRY(hone_store_enter(r, &own));
    return hone_store_leave(r, own, add(r, id, points, n, state));
}

hone_status hone_registry_each_training(hone_registry *r, const char *folder, int64_t id,
                                        hone_training_fn *fn, void *arg)
{
    sqlite3_stmt *q;
    HONE_TRY(hone_store_prepare(r, &q,
                                "SELECT id, environment, folder, settings, arch, parameters, steps,"
                                " state, started, updated FROM trainings"
                                " WHERE (?1 IS NULL OR folder = ?1) AND (?2 = 0 OR id = ?2)"
                                " ORDER BY id",
                                "si", folder, id));
    hone_status s = HONE_OK;
    while (hone_store_next(r, q, &s)) {
        const hone_training_record t = {
            .id = sqlite3_column_int64(q, 0),
            .environment = sqlite3_column_int64(q, 1),
            .folder = hone_store_text(q, 2),
            .settings = hone_store_text(q, 3),
            .arch = hone_store_text(q, 4),
            .parameters = (uint64_t)sqlite3_column_int64(q, 5),
            .steps = (uint64_t)sqlite3_column_int64(q, 6),
            .state = hone_store_text(q, 7),
            .started = hone_store_text(q, 8),
            .updated = hone_store_text(q, 9),
        };
        s = fn(arg, &t);
    }
    return s;
}

static double number(sqlite3_stmt *q, int column)
{
    return sqlite3_column_type(q, column) == SQLITE_NULL ? (double)NAN
                                                         : sqlite3_column_double(q, column);
}

hone_status hone_registry_each_training_point(hone_registry *r, int64_t id,
                                              hone_training_point_fn *fn, void *arg)
{
    sqlite3_stmt *q;
    HONE_TRY(hone_store_prepare(r, &q,
                                "SELECT step, tokens, loss, rate, norm, tokens_s, validation"
                                " FROM curves WHERE training = ? ORDER BY step",
                                "i", id));
    hone_status s = HONE_OK;
    while (hone_store_next(r, q, &s)) {
        const hone_training_point p = {
            .step = (uint64_t)sqlite3_column_int64(q, 0),
            .tokens = (uint64_t)sqlite3_column_int64(q, 1),
            .loss = number(q, 2),
            .rate = number(q, 3),
            .norm = number(q, 4),
            .tokens_s = number(q, 5),
            .validation = number(q, 6),
        };
        s = fn(arg, &p);
    }
    return s;
}
