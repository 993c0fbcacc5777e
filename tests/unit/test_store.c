// links: store
#include "base/io.h"
#include "base/mem.h"
#include "store/fingerprint.h"
#include "store/internal.h"

#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../folder.h"

#define REGISTRY in_folder("registry.db")

static hone_registry *open_registry(void)
{
    hone_registry *r;
    if (hone_registry_open(REGISTRY, true, &r) != HONE_OK)
        fail_msg("%s", hone_error());
    return r;
}

static int64_t add_model(hone_registry *r, const char *hash)
{
    int64_t id;
    hone_model_record m = {
        .sha256 = hash, .path = "m.gguf", .name = "m", .arch = "llama", .bytes = 5};
    assert_int_equal(hone_registry_put_model(r, &m, &id), HONE_OK);
    return id;
}

static int64_t add_run(hone_registry *r, const char *key, bool *done)
{
    int64_t environment, id;
    assert_int_equal(hone_registry_put_environment(r, "env", "{}", &environment), HONE_OK);
    hone_run_record run = {.key = key,
                           .model = add_model(r, "aa"),
                           .environment = environment,
                           .goal = "memory",
                           .max_loss = 0.01,
                           .data_hash = "dd",
                           .seed = UINT64_MAX,
                           .settings = "{}"};
    assert_int_equal(hone_registry_start_run(r, &run, &id, done), HONE_OK);
    return id;
}

static int64_t add_experiment(hone_registry *r, int64_t run, const char *key, char **metrics)
{
    int64_t id;
    bool failed;
    hone_experiment_record e = {.run = run, .key = key, .label = key, .config = "{\"a\":1}"};
    assert_int_equal(hone_registry_start_experiment(r, &e, &id, &failed, metrics), HONE_OK);
    assert_false(failed);
    return id;
}

static int64_t count(hone_registry *r, const char *sql)
{
    int64_t n;
    assert_int_equal(hone_store_run(r, &n, sql, ""), HONE_OK);
    return n;
}

static hone_status see_run(void *arg, const hone_run_record *run)
{
    assert_string_equal(run->goal, "memory");
    assert_true(run->seed == UINT64_MAX);
    *(char *)arg = run->state[0];
    return HONE_OK;
}

static hone_status see_sample(void *arg, int64_t pair, double baseline, double candidate)
{
    assert_true(baseline == (double)pair && candidate == 10.0 + (double)pair);
    ++*(int *)arg;
    return HONE_OK;
}

static void a_run_and_its_experiments_are_found_again_by_their_keys(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    bool done, failed;
    char *metrics;
    int64_t run = add_run(r, "k", &done);
    assert_false(done);
    int64_t e = add_experiment(r, run, "int8", &metrics);
    assert_null(metrics);
    double a[] = {0, 1, 2}, b[] = {10, 11, 12};
    assert_int_equal(hone_registry_finish_experiment(r, e, false, "{\"x\":1}", a, b, 3), HONE_OK);
    hone_registry_close(r);

    r = open_registry();
    assert_int_equal(add_run(r, "k", &done), run);
    assert_false(done);
    assert_int_equal(add_experiment(r, run, "int8", &metrics), e);
    assert_string_equal(metrics, "{\"x\":1}");
    hone_free(metrics);
    int samples = 0;
    assert_int_equal(hone_registry_each_sample(r, e, see_sample, &samples), HONE_OK);
    assert_int_equal(samples, 3);
    assert_int_not_equal(add_experiment(r, run, "int4", &metrics), e);
    assert_int_not_equal(add_run(r, "other", &done), run);

    hone_decision_record d = {.run = run, .experiment = e, .verdict = "rejected", .why = "slow"};
    assert_int_equal(hone_registry_put_decision(r, &d), HONE_OK);
    d.verdict = "chosen";
    assert_int_equal(hone_registry_put_decision(r, &d), HONE_OK);
    assert_int_equal(count(r, "SELECT count(*) FROM decisions"), 1);
    assert_int_equal(hone_registry_finish_run(r, run, "{}"), HONE_OK);
    assert_int_equal(add_run(r, "k", &done), run);
    assert_true(done);
    char first = 0;
    assert_int_equal(hone_registry_each_run(r, 0, see_run, &first), HONE_OK);
    assert_int_equal(first, 'r'); /* the last one seen is "other", still running */

    assert_int_equal(hone_registry_restart_run(r, run), HONE_OK);
    assert_int_equal(add_run(r, "k", &done), run);
    assert_false(done);
    assert_int_equal(count(r, "SELECT count(*) FROM samples"), 0);
    e = add_experiment(r, run, "bad", &metrics);
    assert_int_equal(hone_registry_finish_experiment(r, e, true, "{}", NULL, NULL, 0), HONE_OK);
    hone_experiment_record again = {.run = run, .key = "bad", .label = "bad", .config = "{}"};
    assert_int_equal(hone_registry_start_experiment(r, &again, &e, &failed, &metrics), HONE_OK);
    assert_true(failed);
    hone_free(metrics);
    hone_registry_close(r);
}

static void expect_current(hone_registry *r, const char *want)
{
    char *config;
    assert_int_equal(hone_registry_current(r, "aa", &config), HONE_OK);
    if (want)
        assert_string_equal(config, want);
    else
        assert_null(config);
    hone_free(config);
}

static hone_status see_promotion(void *arg, const hone_promotion_record *p)
{
    char *seen = arg;
    size_t n = strlen(seen);
    seen[n] = p->action[0];
    seen[n + 1] = p->config ? p->config[0] : '-';
    return HONE_OK;
}

/* What a rollback puts back in force is still what its run has promoted. */
static void a_rollback_keeps_the_run_that_promoted(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    bool done;
    char *config;
    int64_t model = add_model(r, "aa"), id = add_run(r, "k", &done), run = 0;
    assert_int_equal(hone_registry_promote(r, model, "1", id), HONE_OK);
    assert_int_equal(hone_registry_promote(r, model, "2", 0), HONE_OK);
    assert_int_equal(hone_registry_rollback(r, model, &config), HONE_OK);
    hone_free(config);
    assert_int_equal(hone_registry_current_of(r, model, &config, &run), HONE_OK);
    assert_string_equal(config, "1");
    assert_int_equal(run, id);
    hone_free(config);
    hone_registry_close(r);
}

static void rollbacks_go_back_one_promotion_each_and_history_keeps_all(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    int64_t model = add_model(r, "aa");
    char *config;
    assert_int_equal(hone_registry_rollback(r, model, &config), HONE_NOT_FOUND);
    expect_current(r, NULL);
    assert_int_equal(hone_registry_promote(r, model, "1", 0), HONE_OK);
    assert_int_equal(hone_registry_promote(r, model, "2", 0), HONE_OK);
    assert_int_equal(hone_registry_promote(r, model, "2", 0), HONE_OK); /* changes nothing */
    expect_current(r, "2");
    assert_int_equal(hone_registry_rollback(r, model, &config), HONE_OK);
    assert_string_equal(config, "1");
    hone_free(config);
    assert_int_equal(hone_registry_promote(r, model, "3", 0), HONE_OK);
    assert_int_equal(hone_registry_rollback(r, model, &config), HONE_OK);
    assert_string_equal(config, "1");
    hone_free(config);
    expect_current(r, "1");
    assert_int_equal(hone_registry_rollback(r, model, &config), HONE_OK);
    assert_null(config);
    expect_current(r, NULL);
    assert_int_equal(hone_registry_rollback(r, model, &config), HONE_NOT_FOUND);
    char seen[32] = "";
    assert_int_equal(hone_registry_each_promotion(r, model, see_promotion, seen), HONE_OK);
    assert_string_equal(seen, "p1p2r1p3r1r-");
    hone_registry_close(r);
}

/* A file as an earlier version made it, with a row in each table that it had. */
static void make_version(int version)
{
    static const char *const rows[] = {
        "INSERT INTO models VALUES(1,'aa','p','n','llama',7);"
        "INSERT INTO environments VALUES(1,'e','{}');"
        "INSERT INTO configurations VALUES(1,'{}');"
        "INSERT INTO runs VALUES(1,'k',1,1,'memory',0.01,'dd',1,'{}','running',NULL,'2026',NULL);"
        "INSERT INTO experiments(id,run,configuration,key,label,state,metrics)"
        " VALUES(1,1,1,'x','x','done','{\"y\":2}');"
        "INSERT INTO samples VALUES(1,0,1.5,2.5);"
        "INSERT INTO decisions VALUES(1,1,1,'chosen','why');"
        "INSERT INTO promotions VALUES(1,1,1,NULL,1,'promote','2026');",
        "UPDATE experiments SET predicted = '{}';",
        "INSERT INTO files VALUES('f',1);",
        "INSERT INTO limits VALUES('m',2,'{}','2026');",
    };
    sqlite3 *db;
    char sql[96];
    unlink(REGISTRY);
    assert_int_equal(sqlite3_open(REGISTRY, &db), SQLITE_OK);
    for (int v = 0; v < version; v++) {
        assert_int_equal(sqlite3_exec(db, hone_schema_steps[v], NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, rows[v], NULL, NULL, NULL), SQLITE_OK);
    }
    snprintf(sql, sizeof sql, "PRAGMA application_id = 1752133221; PRAGMA user_version = %d",
             version);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void expect_rows_of_version(hone_registry *r, int version)
{
    static const char *const all[] = {"models",    "environments", "configurations",
                                      "runs",      "experiments",  "samples",
                                      "decisions", "promotions"};
    char sql[96];
    assert_int_equal(count(r, "PRAGMA user_version"), hone_schema_version);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", all[i]);
        assert_int_equal(count(r, sql), 1);
    }
    assert_int_equal(count(r, "SELECT count(predicted) FROM experiments"), version >= 2);
    assert_int_equal(count(r, "SELECT count(*) FROM files"), version >= 3);
    assert_int_equal(count(r, "SELECT count(*) FROM limits"), version >= 4);
    assert_int_equal(count(r, "SELECT count(*) FROM trainings"), 0);
    expect_current(r, "{}");
}

static void a_file_of_each_earlier_version_is_migrated_with_what_it_holds(void **state)
{
    (void)state;
    for (int version = 1; version < hone_schema_version; version++) {
        make_version(version);
        hone_registry *r = open_registry();
        expect_rows_of_version(r, version);
        char *metrics;
        assert_int_equal(add_experiment(r, 1, "x", &metrics), 1);
        assert_string_equal(metrics, "{\"y\":2}");
        hone_free(metrics);
        hone_registry_close(r);
    }
}

/* The superuser may write everywhere: a child that is nobody looks. */
static void become_nobody(void)
{
    if (geteuid() == 0 && (setuid(65534) != 0 || access(folder, X_OK) != 0))
        _exit(77);
}

/* Skips the test `who` where the child could not become nobody, or nobody may not come here. */
static void child_succeeds(pid_t child, const char *who)
{
    int end = 0;
    assert_true(child > 0 && waitpid(child, &end, 0) == child);
    assert_true(WIFEXITED(end));
    if (WEXITSTATUS(end) == 77) {
        print_message("SKIP %s: needs to be nobody in %s\n", who, folder);
        skip();
    }
    assert_int_equal(WEXITSTATUS(end), 0);
}

static void an_earlier_version_that_may_not_be_written_is_read(void **state)
{
    (void)state;
    make_version(1);
    assert_int_equal(chmod(REGISTRY, 0444), 0);
    assert_int_equal(chmod(in_folder("."), 0755), 0);
    pid_t pid = fork();
    if (pid == 0) {
        hone_registry *r = NULL;
        char *config = NULL;
        become_nobody();
        bool fine = hone_registry_open(REGISTRY, false, &r) == HONE_OK;
        fine = fine && hone_registry_is_read_only(r);
        fine = fine && hone_registry_current(r, "aa", &config) == HONE_OK && config;
        fine = fine && hone_registry_promote(r, 1, "2", 0) == HONE_PERMISSION;
        _exit(fine ? 0 : 1);
    }
    child_succeeds(pid, __func__);
}

static void a_newer_or_foreign_or_damaged_file_is_refused_by_name(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    assert_int_equal(hone_store_exec(r, "PRAGMA user_version = 99"), HONE_OK);
    hone_registry_close(r);
    assert_int_equal(hone_registry_open(REGISTRY, true, &r), HONE_UNSUPPORTED);
    assert_non_null(strstr(hone_error(), REGISTRY));

    unlink(REGISTRY);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(REGISTRY, &db), SQLITE_OK);
    sqlite3_exec(db, "CREATE TABLE t(x)", NULL, NULL, NULL);
    sqlite3_close(db);
    assert_int_equal(hone_registry_open(REGISTRY, true, &r), HONE_FORMAT);

    assert_int_equal(hone_write_file(REGISTRY,
                                     "this is no database, just a text of some length.........."
                                     "..........................................................",
                                     100),
                     HONE_OK);
    assert_int_equal(hone_registry_open(REGISTRY, true, &r), HONE_FORMAT);
    assert_non_null(strstr(hone_error(), REGISTRY));

    unlink(REGISTRY);
    r = open_registry();
    add_model(r, "aa");
    assert_int_equal(hone_store_exec(r, "PRAGMA wal_checkpoint(TRUNCATE)"), HONE_OK);
    hone_registry_close(r);
    int fd = open(REGISTRY, O_WRONLY);
    char junk[4096];
    memset(junk, 0x5a, sizeof junk);
    assert_int_equal(pwrite(fd, junk, sizeof junk, 4096), sizeof junk);
    close(fd);
    assert_int_equal(hone_registry_open(REGISTRY, true, &r), HONE_FORMAT);
}

static void a_schema_whose_columns_have_changed_is_damage(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    hone_registry_close(r);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(REGISTRY, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "PRAGMA writable_schema = ON;"
                                  "UPDATE sqlite_schema SET sql = replace(sql, 'goal', 'gobl')",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    r = open_registry();
    assert_int_equal(hone_registry_each_run(r, 0, see_run, &(char){0}), HONE_FORMAT);
    assert_non_null(strstr(hone_error(), "no such column"));
    assert_non_null(strstr(hone_error(), REGISTRY));
    hone_registry_close(r);
}

static void a_missing_registry_is_not_made_unless_asked(void **state)
{
    (void)state;
    hone_registry *r;
    assert_int_equal(hone_registry_open(REGISTRY, false, &r), HONE_NOT_FOUND);
    assert_int_equal(access(REGISTRY, F_OK), -1);
}

static void a_read_only_folder_or_file_is_a_permission_error(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    hone_registry_close(r);
    assert_int_equal(chmod(REGISTRY, 0444), 0);
    assert_int_equal(chmod(folder, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        become_nobody();
        hone_status file = hone_registry_open(REGISTRY, true, &r);
        unsigned wrong = file != HONE_PERMISSION || !strstr(hone_error(), REGISTRY);
        wrong += 2u * (hone_registry_open(in_folder("other.db"), true, &r) != HONE_PERMISSION);
        _exit((int)wrong);
    }
    child_succeeds(child, __func__);
}

static void a_full_disk_is_told_and_loses_nothing(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    int64_t model = add_model(r, "aa");
    assert_int_equal(hone_registry_promote(r, model, "1", 0), HONE_OK);
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA max_page_count = %d", (int)count(r, "PRAGMA page_count"));
    count(r, sql); /* from here on SQLite answers SQLITE_FULL, as on a full disk */
    char *big = malloc(200001);
    memset(big, 'x', 200000);
    big[200000] = 0;
    assert_int_equal(hone_registry_promote(r, model, big, 0), HONE_DISK);
    free(big);
    expect_current(r, "1");
    hone_registry_close(r);

    /* A real one: no file of this process may grow past 64 KiB. */
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit limit = {65536, 65536};
        setrlimit(RLIMIT_FSIZE, &limit);
        hone_status s = hone_registry_open(REGISTRY, true, &r);
        char text[3000];
        for (int i = 0; s == HONE_OK && i < 1000; i++) {
            memset(text, 'a' + i % 26, sizeof text);
            snprintf(text + sizeof text - 16, 16, "%d", i);
            s = hone_registry_promote(r, model, text, 0);
        }
        _exit((int)s);
    }
    int code;
    waitpid(child, &code, 0);
    assert_true(WIFEXITED(code));
    assert_int_equal(WEXITSTATUS(code), HONE_DISK);
    r = open_registry();
    assert_true(count(r, "SELECT count(*) FROM promotions") >= 1);
    hone_registry_close(r);
}

static void a_registry_on_a_full_disk_is_read(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    int64_t model = add_model(r, "aa");
    assert_int_equal(hone_registry_promote(r, model, "1", 0), HONE_OK);
    hone_registry_close(r);
    pid_t child = fork();
    if (child == 0) { /* no room for the files that SQLite keeps beside it */
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit limit = {4096, 4096};
        setrlimit(RLIMIT_FSIZE, &limit);
        char *config = NULL;
        unsigned wrong = hone_registry_open(REGISTRY, true, &r) != HONE_DISK;
        if (hone_registry_open(REGISTRY, false, &r) != HONE_OK)
            _exit(2);
        wrong += 4u * !hone_registry_is_read_only(r);
        wrong += 8u * (hone_registry_current(r, "aa", &config) != HONE_OK || !config);
        wrong += 16u * (hone_registry_promote(r, model, "2", 0) != HONE_DISK);
        _exit((int)wrong);
    }
    child_succeeds(child, __func__);
}

static void a_locked_registry_is_busy(void **state)
{
    (void)state;
    hone_registry *a = open_registry(), *b = open_registry();
    sqlite3_busy_timeout(b->db, 20);
    assert_int_equal(hone_registry_begin(a), HONE_OK);
    int64_t id;
    assert_int_equal(hone_registry_put_configuration(b, "1", &id), HONE_BUSY);
    hone_registry_abort(a);
    assert_int_equal(hone_registry_put_configuration(b, "1", &id), HONE_OK);
    hone_registry_close(a);
    hone_registry_close(b);
}

/* Writes experiments of three samples until it is killed; tells each finished one through the pipe.
 */
static void write_until_killed(int round, int pipe_end)
{
    hone_registry *r;
    if (hone_registry_open(REGISTRY, true, &r) != HONE_OK)
        _exit(1);
    bool done, failed;
    int64_t run = add_run(r, "k", &done), id;
    double x[] = {1, 2, 3};
    for (int i = 0;; i++) {
        char key[32], *metrics;
        snprintf(key, sizeof key, "%d.%d", round, i);
        hone_experiment_record e = {.run = run, .key = key, .label = key, .config = key};
        if (hone_registry_start_experiment(r, &e, &id, &failed, &metrics) != HONE_OK ||
            hone_registry_finish_experiment(r, id, false, "{}", x, x, 3) != HONE_OK)
            _exit(1);
        if (write(pipe_end, "+", 1) != 1)
            _exit(1);
    }
}

static void kill_at_any_point_leaves_the_registry_whole(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    bool done;
    add_run(r, "k", &done);
    hone_registry_close(r);
    int64_t told = 0;
    for (int round = 0; round < 25; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            write_until_killed(round, ends[1]);
        }
        close(ends[1]);
        char byte;
        assert_int_equal(read(ends[0], &byte, 1), 1); /* it is writing */
        told++;
        usleep((useconds_t)(round * 317 % 9000));
        kill(child, SIGKILL);
        int code;
        waitpid(child, &code, 0);
        assert_true(WIFSIGNALED(code));
        while (read(ends[0], &byte, 1) == 1)
            told++;
        close(ends[0]);
        r = open_registry();
        sqlite3_stmt *q;
        bool row;
        assert_int_equal(hone_store_prepare(r, &q, "PRAGMA integrity_check", ""), HONE_OK);
        assert_int_equal(hone_store_step(r, q, &row), HONE_OK);
        assert_string_equal(sqlite3_column_text(q, 0), "ok");
        sqlite3_finalize(q);
        assert_int_equal(count(r, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
        int64_t finished = count(r, "SELECT count(*) FROM experiments WHERE state = 'done'");
        assert_true(finished >= told && finished <= told + round + 1);
        assert_int_equal(count(r, "SELECT count(*) FROM samples"), 3 * finished);
        hone_registry_close(r);
    }
    assert_true(told >= 25);
}

static void the_default_path_follows_the_environment(void **state)
{
    (void)state;
    char *p;
    setenv("HOME", "/h", 1);
    unsetenv("XDG_DATA_HOME");
    unsetenv("HONE_HOME");
    assert_int_equal(hone_registry_default_path(&p), HONE_OK);
    assert_string_equal(p, "/h/.local/share/hone/registry.db");
    hone_free(p);
    setenv("XDG_DATA_HOME", "/x", 1);
    assert_int_equal(hone_registry_default_path(&p), HONE_OK);
    assert_string_equal(p, "/x/hone/registry.db");
    hone_free(p);
    setenv("HONE_HOME", "/o", 1);
    assert_int_equal(hone_registry_default_path(&p), HONE_OK);
    assert_string_equal(p, "/o/registry.db");
    hone_free(p);
    unsetenv("HOME");
    unsetenv("XDG_DATA_HOME");
    unsetenv("HONE_HOME");
    assert_int_equal(hone_registry_default_path(&p), HONE_USAGE);
}

static void a_digest_is_sha256(void **state)
{
    (void)state;
    char digest[HONE_DIGEST_BYTES];
    hone_digest_bytes("abc", 3, digest); /* FIPS 180-2, appendix B.1 */
    assert_string_equal(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void the_fingerprint_is_json_and_its_key_stays(void **state)
{
    (void)state;
    char *json, key[HONE_DIGEST_BYTES], again[HONE_DIGEST_BYTES];
    assert_int_equal(hone_fingerprint_take(&json, key), HONE_OK);
    json_t *o = json_loads(json, 0, NULL);
    assert_true(json_is_string(json_object_get(o, "cpu")));
    assert_true(json_integer_value(json_object_get(o, "cpus_allowed")) > 0);
    json_decref(o);
    hone_free(json);
    assert_int_equal(hone_fingerprint_take(&json, again), HONE_OK);
    hone_free(json);
    assert_string_equal(key, again);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(a_run_and_its_experiments_are_found_again_by_their_keys),
        TEST(a_rollback_keeps_the_run_that_promoted),
        TEST(rollbacks_go_back_one_promotion_each_and_history_keeps_all),
        TEST(a_file_of_each_earlier_version_is_migrated_with_what_it_holds),
        TEST(an_earlier_version_that_may_not_be_written_is_read),
        TEST(a_newer_or_foreign_or_damaged_file_is_refused_by_name),
        TEST(a_schema_whose_columns_have_changed_is_damage),
        TEST(a_missing_registry_is_not_made_unless_asked),
        TEST(a_read_only_folder_or_file_is_a_permission_error),
        TEST(a_full_disk_is_told_and_loses_nothing),
        TEST(a_registry_on_a_full_disk_is_read),
        TEST(a_locked_registry_is_busy),
        TEST(kill_at_any_point_leaves_the_registry_whole),
        TEST(the_default_path_follows_the_environment),
        TEST(a_digest_is_sha256),
        TEST(the_fingerprint_is_json_and_its_key_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
