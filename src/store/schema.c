#include "store/internal.h"

/* A step is never changed once it was released: files made by it exist. Add another one. */
static const char step_1[] =
    "CREATE TABLE models("
    " id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, path TEXT NOT NULL,"
    " name TEXT NOT NULL, arch TEXT NOT NULL, bytes INTEGER NOT NULL) STRICT;"

    "CREATE TABLE environments("
    " id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, json TEXT NOT NULL) STRICT;"

    "CREATE TABLE configurations("
    " id INTEGER PRIMARY KEY, json TEXT NOT NULL UNIQUE) STRICT;"

    "CREATE TABLE runs("
    " id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,"
    " model INTEGER NOT NULL REFERENCES models(id),"
    " environment INTEGER NOT NULL REFERENCES environments(id),"
    " goal TEXT NOT NULL, max_loss REAL NOT NULL, data_hash TEXT NOT NULL,"
    " seed INTEGER NOT NULL, settings TEXT NOT NULL,"
    " state TEXT NOT NULL CHECK(state IN ('running', 'done')), result TEXT,"
    " started TEXT NOT NULL, finished TEXT,"
    " CHECK((state = 'done') = (result IS NOT NULL))) STRICT;"

    "CREATE TABLE experiments("
    " id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,"
    " configuration INTEGER NOT NULL REFERENCES configurations(id),"
    " key TEXT NOT NULL, label TEXT NOT NULL,"
    " state TEXT NOT NULL CHECK(state IN ('running', 'done', 'failed')), metrics TEXT,"
    " UNIQUE(run, key), CHECK((state = 'running') = (metrics IS NULL))) STRICT;"

    "CREATE TABLE samples("
    " experiment INTEGER NOT NULL REFERENCES experiments(id) ON DELETE CASCADE,"
    " pair INTEGER NOT NULL, baseline REAL NOT NULL, candidate REAL NOT NULL,"
    " PRIMARY KEY(experiment, pair)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE decisions("
    " id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,"
    " experiment INTEGER NOT NULL REFERENCES experiments(id) ON DELETE CASCADE,"
    " verdict TEXT NOT NULL CHECK(verdict IN ('chosen', 'accepted', 'rejected')),"
    " why TEXT NOT NULL, UNIQUE(run, experiment)) STRICT;"

    /* previous: the promotion that comes back in force on a rollback; NULL = the file as it is. */
    "CREATE TABLE promotions("
    " id INTEGER PRIMARY KEY, model INTEGER NOT NULL REFERENCES models(id),"
    " configuration INTEGER REFERENCES configurations(id),"
    " previous INTEGER REFERENCES promotions(id), run INTEGER REFERENCES runs(id),"
    " action TEXT NOT NULL CHECK(action IN ('promote', 'rollback')),"
    " at TEXT NOT NULL) STRICT;";

static const char step_2[] = "ALTER TABLE experiments ADD COLUMN predicted TEXT;"
                             "CREATE INDEX runs_by_model ON runs(model);"
                             "CREATE INDEX promotions_by_model ON promotions(model);";

/* Files whose content was hashed once, by their cheap fingerprint (hone_file_fingerprint). */
static const char step_3[] = "CREATE TABLE files("
                             " fingerprint TEXT PRIMARY KEY,"
                             " model INTEGER NOT NULL REFERENCES models(id))"
                             " STRICT, WITHOUT ROWID;";

/* What benchmarks measured: a row each, a point per test (its median cost in seconds), found again
 * by machine (hone_fingerprint_machine) whatever the version of hone was. */
static const char step_4[] =
    "CREATE TABLE limits(machine TEXT NOT NULL, threads INTEGER NOT NULL, json TEXT NOT NULL,"
    " at TEXT NOT NULL, PRIMARY KEY(machine, threads)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE benches("
    " id INTEGER PRIMARY KEY, model INTEGER NOT NULL REFERENCES models(id),"
    " environment INTEGER NOT NULL REFERENCES environments(id),"
    " configuration INTEGER NOT NULL REFERENCES configurations(id),"
    " machine TEXT NOT NULL, name TEXT, at TEXT NOT NULL, result TEXT NOT NULL) STRICT;"
    "CREATE INDEX benches_by_name ON benches(name);"

    "CREATE TABLE points("
    " bench INTEGER NOT NULL REFERENCES benches(id) ON DELETE CASCADE,"
    " test TEXT NOT NULL, seconds REAL NOT NULL,"
    " PRIMARY KEY(bench, test)) STRICT, WITHOUT ROWID;";

/* Runs of hone train and their curves, a point for each step; NULL = unknown. */
static const char step_5[] =
    "CREATE TABLE trainings("
    " id INTEGER PRIMARY KEY, environment INTEGER NOT NULL REFERENCES environments(id),"
    " folder TEXT NOT NULL, settings TEXT NOT NULL, arch TEXT NOT NULL,"
    " parameters INTEGER NOT NULL, steps INTEGER NOT NULL,"
    " state TEXT NOT NULL CHECK(state IN ('running', 'done', 'stopped')),"
    " started TEXT NOT NULL, updated TEXT NOT NULL, UNIQUE(folder, settings)) STRICT;"

    "CREATE TABLE curves("
    " training INTEGER NOT NULL REFERENCES trainings(id) ON DELETE CASCADE,"
    " step INTEGER NOT NULL, tokens INTEGER NOT NULL,"
    " loss REAL, rate REAL, norm REAL, tokens_s REAL, validation REAL,"
    " PRIMARY KEY(training, step)) STRICT, WITHOUT ROWID;";

const char *const hone_schema_steps[] = {step_1, step_2, step_3, step_4, step_5};
const int hone_schema_version = 5;
