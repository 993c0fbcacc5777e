/* walk - the registry's records, row by row. */
#include "store/internal.h"

hone_status hone_registry_each_model(hone_registry *r, hone_model_fn *fn, void *arg)
{
    sqlite3_stmt *q;
    HONE_TRY(hone_store_prepare(
        r, &q, "SELECT id, sha256, path, name, arch, bytes FROM models ORDER BY id", ""));
    hone_status s = HONE_OK;
    while (hone_store_next(r, q, &s)) {
        const hone_model_record record = {
            .id = sqlite3_column_int64(q, 0),
            .sha256 = hone_store_text(q, 1),
            .path = hone_store_text(q, 2),
            .name = hone_store_text(q, 3),
            .arch = hone_store_text(q, 4),
            .bytes = (uint64_t)sqlite3_column_int64(q, 5),
        };
        s = fn(arg, &record);
    }
    return s;
}

hone_status hone_registry_each_run(hone_registry *r, int64_t model, hone_run_fn *fn, void *arg)
{
    sqlite3_stmt *q;
    HONE_TRY(
        hone_store_prepare(r, &q,
                           "SELECT id, model, environment, key, goal, max_loss, data_hash, seed, "
                           "settings, state, result,"
                           " started, finished FROM runs WHERE ?1 = 0 OR model = ?1 ORDER BY id",
                           "i", model));
    hone_status s = HONE_OK;
    while (hone_store_next(r, q, &s)) {
        const hone_run_record record = {
            .id = sqlite3_column_int64(q, 0),
            .model = sqlite3_column_int64(q, 1),
            .environment = sqlite3_column_int64(q, 2),
            .key = hone_store_text(q, 3),
            .goal = hone_store_text(q, 4),
            .max_loss = sqlite3_column_double(q, 5),
            .data_hash = hone_store_text(q, 6),
            .seed = (uint64_t)sqlite3_column_int64(q, 7),
            .settings = hone_store_text(q, 8),
            .state = hone_store_text(q, 9),
            .result = hone_store_text(q, 10),
            .started = hone_store_text(q, 11),
            .finished = hone_store_text(q, 12),
        };
        s = fn(arg, &record);
    }
    return s;
}

hone_status hone_registry_each_experiment(hone_registry *r, int64_t run, hone_experiment_fn *fn,
                                          void *arg)
{
    sqlite3_stmt *q;
    HONE_TRY(hone_store_prepare(r, &q,
                                "SELECT e.id, e.run, e.key, e.label, c.json, e.predicted, e.state, "
                                "e.metrics"
                                " FROM experiments e JOIN configurations c ON c.id = "
                                "e.configuration WHERE e.run = ? ORDER BY e.id",
                                "i", run));
    hone_status s = HONE_OK;
    while (hone_store_next(r, q, &s)) {
        const hone_experiment_record record = {
            .id = sqlite3_column_int64(q, 0),
            .run = sqlite3_column_int64(q, 1),
            .key = hone_store_text(q, 2),
            .label = hone_store_text(q, 3),
            .config = hone_store_text(q, 4),
            .predicted = hone_store_text(q, 5),
            .state = hone_store_text(q, 6),
            .metrics = hone_store_text(q, 7),
        };
        s = fn(arg, &record);
    }
    return s;
}

hone_status hone_registry_each_decision(hone_registry *r, int64_t run, hone_decision_fn *fn,
                                        void *arg)
{
    sqlite3_stmt *q;
    HONE_TRY(hone_store_prepare(
        r, &q,
        "SELECT d.id, d.run, d.experiment, e.label, d.verdict, d.why FROM decisions d"
        " JOIN experiments e ON e.id = d.experiment WHERE d.run = ? ORDER BY d.id",
        "i", run));
    hone_status s = HONE_OK;
    while (hone_store_next(r, q, &s)) {
        const hone_decision_record record = {
            .id = sqlite3_column_int64(q, 0),
            .run = sqlite3_column_int64(q, 1),
            .experiment = sqlite3_column_int64(q, 2),
            .label = hone_store_text(q, 3),
            .verdict = hone_store_text(q, 4),
            .why = hone_store_text(q, 5),
        };
        s = fn(arg, &record);
    }
    return s;
}

hone_status hone_registry_each_promotion(hone_registry *r, int64_t model, hone_promotion_fn *fn,
                                         void *arg)
{
    sqlite3_stmt *q;
    HONE_TRY(hone_store_prepare(
        r, &q,
        "SELECT p.id, p.model, p.run, m.sha256, m.path, p.action, c.json, p.at FROM promotions p"
        " JOIN models m ON m.id = p.model LEFT JOIN configurations c ON c.id = p.configuration"
        " WHERE ?1 = 0 OR p.model = ?1 ORDER BY p.id",
        "i", model));
    hone_status s = HONE_OK;
    while (hone_store_next(r, q, &s)) {
        const hone_promotion_record record = {
            .id = sqlite3_column_int64(q, 0),
            .model = sqlite3_column_int64(q, 1),
            .run = sqlite3_column_int64(q, 2),
            .model_sha256 = hone_store_text(q, 3),
            .model_path = hone_store_text(q, 4),
            .action = hone_store_text(q, 5),
            .config = hone_store_text(q, 6),
            .when = hone_store_text(q, 7),
        };
        s = fn(arg, &record);
    }
    return s;
}

hone_status hone_registry_each_sample(hone_registry *r, int64_t experiment, hone_sample_fn *fn,
                                      void *arg)
{
    sqlite3_stmt *q;
    HONE_TRY(hone_store_prepare(r, &q,
                                "SELECT pair, baseline, candidate FROM samples"
                                " WHERE experiment = ? ORDER BY pair",
                                "i", experiment));
    hone_status s = HONE_OK;
    while (hone_store_next(r, q, &s))
        s = fn(arg, sqlite3_column_int64(q, 0), sqlite3_column_double(q, 1),
               sqlite3_column_double(q, 2));
    return s;
}
