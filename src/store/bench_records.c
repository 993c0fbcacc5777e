#include "store/bench_records.h"

#include "store/internal.h"

static hone_status insert(hone_registry *r, const hone_bench_record *b,
                          const hone_bench_point *points, size_t n, int64_t *id)
{
    int64_t configuration;
    const char *name = b->name && b->name[0] ? b->name : NULL;
    HONE_TRY(hone_registry_put_configuration(r, b->config, &configuration));
    if (name)
        HONE_TRY(hone_store_run(
            r, NULL, "UPDATE benches SET name = NULL WHERE name = ? AND model = ? AND machine = ?",
            "sis", name, b->model, b->machine));
    HONE_TRY(hone_store_run(r, id,
                            "INSERT INTO benches(model, environment, configuration, machine, name,"
                            " at, result) VALUES(?,?,?,?,?," HONE_STORE_NOW ",?) RETURNING id",
                            "iiisss", b->model, b->environment, configuration, b->machine, name,
                            b->result));
    for (size_t i = 0; i < n; i++)
        HONE_TRY(hone_store_run(r, NULL, "INSERT INTO points(bench, test, seconds) VALUES(?,?,?)",
                                "isd", *id, points[i].test, points[i].seconds));
    return HONE_OK;
}

hone_status hone_registry_put_bench(hone_registry *r, const hone_bench_record *b,
                                    const hone_bench_point *points, size_t n, int64_t *id)
{
    bool own;
    HONE_TRY(hone_store_enter(r, &own));
    return hone_store_leave(r, own, insert(r, b, points, n, id));
}

hone_status hone_registry_each_bench(hone_registry *r, int64_t model, const char *name, int64_t id,
                                     hone_bench_fn *fn, void *arg)
{
    sqlite3_stmt *q;
    HONE_TRY(hone_store_prepare(
        r, &q,
        "SELECT b.id, b.model, b.environment, c.json, b.machine, b.name, b.at, b.result"
        " FROM benches b JOIN configurations c ON c.id = b.configuration"
        " WHERE (?1 = 0 OR b.model = ?1) AND (?2 IS NULL OR b.name = ?2)"
        " AND (?3 = 0 OR b.id = ?3) ORDER BY b.id",
        "isi", model, name, id));
    hone_status s = HONE_OK;
    while (hone_store_next(r, q, &s)) {
        const hone_bench_record b = {
            .id = sqlite3_column_int64(q, 0),
            .model = sqlite3_column_int64(q, 1),
            .environment = sqlite3_column_int64(q, 2),
            .config = hone_store_text(q, 3),
            .machine = hone_store_text(q, 4),
            .name = hone_store_text(q, 5),
            .at = hone_store_text(q, 6),
            .result = hone_store_text(q, 7),
        };
        s = fn(arg, &b);
    }
    return s;
}

hone_status hone_registry_each_point(hone_registry *r, int64_t model, const char *machine,
                                     hone_history_fn *fn, void *arg)
{
    sqlite3_stmt *q;
    HONE_TRY(hone_store_prepare(
        r, &q,
        "SELECT b.id, b.model, b.machine, c.json, p.test, b.at, e.json, p.seconds"
        " FROM points p JOIN benches b ON b.id = p.bench"
        " JOIN configurations c ON c.id = b.configuration"
        " JOIN environments e ON e.id = b.environment"
        " WHERE (?1 = 0 OR b.model = ?1) AND (?2 IS NULL OR b.machine = ?2)"
        " ORDER BY b.model, b.machine, b.configuration, p.test, b.id",
        "is", model, machine));
    hone_status s = HONE_OK;
    while (hone_store_next(r, q, &s)) {
        const hone_history_point p = {
            .bench = sqlite3_column_int64(q, 0),
            .model = sqlite3_column_int64(q, 1),
            .machine = hone_store_text(q, 2),
            .config = hone_store_text(q, 3),
            .test = hone_store_text(q, 4),
            .at = hone_store_text(q, 5),
            .environment = hone_store_text(q, 6),
            .seconds = sqlite3_column_double(q, 7),
        };
        s = fn(arg, &p);
    }
    return s;
}
