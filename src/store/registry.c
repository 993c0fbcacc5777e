#include "store/internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { APPLICATION_ID = 0x686f6e65 /* "hone" */, BUSY_MS = 10000 };

hone_status hone_registry_default_path(char **path)
{
    static const struct {
        const char *variable, *below;
    } places[] = {
        {"HONE_HOME", "registry.db"},
        {"XDG_DATA_HOME", "hone/registry.db"},
        {"HOME", ".local/share/hone/registry.db"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *base = getenv(places[i].variable);
        if (!base || !*base)
            continue;
        *path = hone_path_join(base, places[i].below);
        return *path ? HONE_OK : hone_fail_memory(strlen(base), "the registry's path");
    }
    return hone_fail(HONE_USAGE,
                     "no place for the registry: set HONE_HOME, or give --registry PATH");
}

static hone_status status_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return HONE_BUSY;
    case SQLITE_FULL:
        return HONE_DISK;
    case SQLITE_IOERR:
        return code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_FSYNC ||
                       code == SQLITE_IOERR_SHMSIZE || code == SQLITE_IOERR_TRUNCATE
                   ? HONE_DISK
                   : HONE_IO;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return HONE_PERMISSION;
    case SQLITE_CANTOPEN: /* its folder was made, or the file found, before */
        return HONE_PERMISSION;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* the statements are ours: a schema of this version that lacks what they
                          name */
        return HONE_FORMAT;
    case SQLITE_NOMEM:
        return HONE_MEMORY;
    default:
        return HONE_INTERNAL;
    }
}

static const char *advice_for(hone_status s)
{
    switch (s) {
    case HONE_BUSY:
        return "; another process holds it: wait for that, or use another --registry";
    case HONE_DISK:
        return "; free some space there, nothing was lost";
    case HONE_PERMISSION:
        return "; make the file and its folder writable, or use another --registry";
    case HONE_FORMAT:
        return "; move it away or use another --registry, a new one is made by itself";
    default:
        return "";
    }
}

hone_status hone_store_fail(hone_registry *r, int code, const char *what)
{
    hone_status s = r->no_room && (code & 0xff) == SQLITE_READONLY ? HONE_DISK : status_of(code);
    return hone_fail(s, "registry %s: %s: %s%s", r->path, what,
                     r->db ? sqlite3_errmsg(r->db) : sqlite3_errstr(code), advice_for(s));
}

hone_status hone_store_exec(hone_registry *r, const char *sql)
{
    int code = sqlite3_exec(r->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? HONE_OK
                             : hone_store_fail(r, sqlite3_extended_errcode(r->db), "write");
}

static hone_status prepare_list(hone_registry *r, sqlite3_stmt **out, const char *sql,
                                const char *types, va_list args)
{
    int code = sqlite3_prepare_v2(r->db, sql, -1, out, NULL);
    for (int i = 1; code == SQLITE_OK && types[i - 1]; i++) {
        switch (types[i - 1]) {
        case 'i':
            code = sqlite3_bind_int64(*out, i, va_arg(args, int64_t));
            break;
        case 'd':
            code = sqlite3_bind_double(*out, i, va_arg(args, double));
            break;
        default:
            code = sqlite3_bind_text(*out, i, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
        }
    }
    if (code == SQLITE_OK)
        return HONE_OK;
    hone_status s = hone_store_fail(r, code, "statement");
    sqlite3_finalize(*out);
    *out = NULL;
    return s;
}

hone_status hone_store_prepare(hone_registry *r, sqlite3_stmt **out, const char *sql,
                               const char *types, ...)
{
    va_list args;
    va_start(args, types);
    hone_status s = prepare_list(r, out, sql, types, args);
    va_end(args);
    return s;
}

hone_status hone_store_step(hone_registry *r, sqlite3_stmt *stmt, bool *row)
{
    int code = sqlite3_step(stmt);
    *row = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE
               ? HONE_OK
               : hone_store_fail(r, sqlite3_extended_errcode(r->db), "read or write");
}

bool hone_store_next(hone_registry *r, sqlite3_stmt *stmt, hone_status *s)
{
    bool row = false;
    if (*s == HONE_OK)
        *s = hone_store_step(r, stmt, &row);
    if (*s == HONE_OK && row)
        return true;
    sqlite3_finalize(stmt);
    return false;
}

const char *hone_store_text(sqlite3_stmt *stmt, int column)
{
    return (const char *)sqlite3_column_text(stmt, column);
}

hone_status hone_store_run(hone_registry *r, int64_t *id, const char *sql, const char *types, ...)
{
    sqlite3_stmt *stmt;
    va_list args;
    va_start(args, types);
    hone_status s = prepare_list(r, &stmt, sql, types, args);
    va_end(args);
    HONE_TRY(s);
    bool row = true;
    for (bool first = true; s == HONE_OK && row; first = false) {
        s = hone_store_step(r, stmt, &row);
        if (first && id)
            *id = s == HONE_OK && row ? sqlite3_column_int64(stmt, 0) : 0;
    }
    sqlite3_finalize(stmt);
    return s;
}

hone_status hone_registry_begin(hone_registry *r)
{
    HONE_TRY(hone_store_exec(r, "BEGIN IMMEDIATE"));
    r->in_transaction = true;
    return HONE_OK;
}

hone_status hone_registry_commit(hone_registry *r)
{
    hone_status s = hone_store_exec(r, "COMMIT");
    if (s != HONE_OK)
        hone_registry_abort(r);
    r->in_transaction = false;
    return s;
}

void hone_registry_abort(hone_registry *r)
{
    if (!sqlite3_get_autocommit(r->db))
        sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
    r->in_transaction = false;
}

hone_status hone_store_enter(hone_registry *r, bool *own)
{
    *own = !r->in_transaction;
    return *own ? hone_registry_begin(r) : HONE_OK;
}

hone_status hone_store_leave(hone_registry *r, bool own, hone_status s)
{
    if (!own)
        return s;
    if (s == HONE_OK)
        return hone_registry_commit(r);
    hone_registry_abort(r);
    return s;
}

/* Whose file it is, and of which version: in one transaction, for another process may be making it
 * just now. */
static hone_status read_head(hone_registry *r, int64_t *application, int64_t *version,
                             int64_t *tables)
{
    HONE_TRY(hone_store_exec(r, "BEGIN"));
    hone_status s = hone_store_run(r, tables, "SELECT count(*) FROM sqlite_schema", "");
    if (s == HONE_OK)
        s = hone_store_run(r, application, "PRAGMA application_id", "");
    if (s == HONE_OK)
        s = hone_store_run(r, version, "PRAGMA user_version", "");
    if (s == HONE_OK)
        return hone_store_exec(r, "COMMIT");
    hone_registry_abort(r);
    return s;
}

/* Settings of every connection; a foreign or damaged file is noticed here. */
static hone_status prepare_connection(hone_registry *r)
{
    sqlite3_extended_result_codes(r->db, 1);
    sqlite3_busy_timeout(r->db, BUSY_MS);
    sqlite3_db_config(r->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    HONE_TRY(hone_store_exec(r, "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF"));
    int64_t application = 0, version = 0, tables = 0;
    HONE_TRY(read_head(r, &application, &version, &tables));
    if (application != APPLICATION_ID && (tables || version || application))
        return hone_fail(HONE_FORMAT,
                         "%s is a database, but not a registry of hone; use another --registry",
                         r->path);
    if (version > hone_schema_version)
        return hone_fail(HONE_UNSUPPORTED,
                         "registry %s has version %lld, this hone knows %d: use a newer hone",
                         r->path, (long long)version, hone_schema_version);
    if (r->read_only)
        return HONE_OK;
    HONE_TRY(hone_store_exec(r, "PRAGMA journal_mode = WAL"));
    return hone_store_exec(r, "PRAGMA synchronous = FULL");
}

static hone_status check_whole(hone_registry *r)
{
    sqlite3_stmt *stmt;
    bool row;
    HONE_TRY(hone_store_prepare(r, &stmt, "PRAGMA quick_check(1)", ""));
    hone_status s = hone_store_step(r, stmt, &row);
    const char *text = s == HONE_OK && row ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    if (s == HONE_OK && (!text || strcmp(text, "ok") != 0))
        s = hone_fail(HONE_FORMAT, "registry %s is damaged (%.200s)%s", r->path, text ? text : "?",
                      advice_for(HONE_FORMAT));
    sqlite3_finalize(stmt);
    return s;
}

/* An older file that may not be written is migrated in a copy, which only this process sees. */
static hone_status copy_to_memory(hone_registry *r)
{
    sqlite3 *copy;
    int code = sqlite3_open(":memory:", &copy);
    sqlite3_backup *b = code == SQLITE_OK ? sqlite3_backup_init(copy, "main", r->db, "main") : NULL;
    if (b) {
        sqlite3_backup_step(b, -1);
        code = sqlite3_backup_finish(b);
    } else if (code == SQLITE_OK) {
        code = sqlite3_errcode(copy);
    }
    hone_status s = code == SQLITE_OK ? HONE_OK : hone_store_fail(r, code, "copy to memory");
    if (s == HONE_OK) {
        sqlite3_close(r->db);
        r->db = copy;
    } else {
        sqlite3_close(copy);
    }
    return s;
}

static hone_status migrate(hone_registry *r)
{
    int64_t version;
    HONE_TRY(hone_store_run(r, &version, "PRAGMA user_version", ""));
    if (version == hone_schema_version)
        return HONE_OK;
    if (r->read_only)
        HONE_TRY(copy_to_memory(r));
    HONE_TRY(hone_registry_begin(r));
    /* Another process may have migrated it before the lock was ours. */
    hone_status s = hone_store_run(r, &version, "PRAGMA user_version", "");
    for (int64_t v = version; s == HONE_OK && v < hone_schema_version; v++)
        s = hone_store_exec(r, hone_schema_steps[v]);
    char sql[96];
    sqlite3_snprintf(sizeof sql, sql, "PRAGMA application_id = %d; PRAGMA user_version = %d",
                     APPLICATION_ID, hone_schema_version);
    if (s == HONE_OK)
        s = hone_store_exec(r, sql);
    if (s == HONE_OK) {
        HONE_TRY(hone_registry_commit(r));
        return r->read_only ? hone_store_exec(r, "PRAGMA query_only = ON") : HONE_OK;
    }
    hone_registry_abort(r);
    return s;
}

/* The folder that path is in, in a fresh string; NULL: no memory. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return !slash          ? hone_strdup(".")
           : slash == path ? hone_strdup("/")
                           : hone_strndup(path, (size_t)(slash - path));
}

/* Makes the folder of a registry that may be created; else sees whether it can be written. */
static hone_status look_at_place(hone_registry *r, bool create)
{
    struct stat place;
    if (stat(r->path, &place) == 0 && S_ISDIR(place.st_mode))
        return hone_fail(HONE_USAGE, "%s is a folder; a registry is a file: %s/registry.db",
                         r->path, r->path);
    char *folder = folder_of(r->path);
    if (!folder)
        return hone_fail_memory(strlen(r->path), "the registry's path");
    hone_status s = HONE_OK;
    if (create) {
        s = hone_make_directory(folder);
        if (s != HONE_OK)
            s = hone_fail_in(s, "no place for the registry (set HONE_HOME, or give --registry)");
    } else if (!hone_is_file(r->path)) {
        s = hone_fail(HONE_NOT_FOUND,
                      "no registry at %s: hone bench, hone profile and hone optimize make one",
                      r->path);
    } else {
        r->read_only = access(r->path, W_OK) != 0 || access(folder, W_OK) != 0;
    }
    hone_free(folder);
    return s;
}

/* Where nothing can be written, not even SQLite's own files, a registry at rest is read as it
 * stands ("immutable"); one that another process has left a log beside needs that log's files. */
static hone_status open_read_only(hone_registry *r)
{
    struct stat log;
    size_t room = 3 * strlen(r->path) + sizeof "file:?immutable=1";
    char *uri = hone_malloc(room);
    if (!uri)
        return hone_fail_memory(room, "the registry's path");
    snprintf(uri, room, "%s-wal", r->path);
    bool at_rest = stat(uri, &log) != 0 || log.st_size == 0;
    char *to = uri + snprintf(uri, room, "file:");
    for (const char *c = r->path; *c; c++) {
        bool plain = strchr("%?#", *c) == NULL;
        to += snprintf(to, 4, plain ? "%c" : "%%%02X", (unsigned char)*c);
    }
    snprintf(to, room - (size_t)(to - uri), at_rest ? "?immutable=1" : "");
    int code = sqlite3_open_v2(uri, &r->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
    hone_free(uri);
    return code == SQLITE_OK ? HONE_OK : hone_store_fail(r, code, "open");
}

static hone_status open_database(hone_registry *r, bool create)
{
    if (r->read_only)
        return open_read_only(r);
    int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
    int code = sqlite3_open_v2(r->path, &r->db, flags, NULL);
    return code == SQLITE_OK ? HONE_OK : hone_store_fail(r, code, "open");
}

/* A full disk has no room for the files that SQLite keeps beside while a registry is in use. */
static hone_status connect(hone_registry *r, bool create)
{
    HONE_TRY(open_database(r, create));
    hone_status s = prepare_connection(r);
    if (s != HONE_DISK || create || r->read_only)
        return s;
    sqlite3_close(r->db);
    r->db = NULL;
    r->read_only = r->no_room = true;
    HONE_TRY(open_database(r, create));
    return prepare_connection(r);
}

hone_status hone_registry_open(const char *path, bool create, hone_registry **out)
{
    *out = NULL;
    hone_registry *r = hone_calloc(1, sizeof *r);
    if (!r)
        return hone_fail_memory(sizeof *r, "the registry");
    hone_status s = HONE_OK;
    if (!path)
        HONE_GOTO(s, fail, hone_registry_default_path(&r->path));
    else if (!(r->path = hone_strdup(path)))
        HONE_GOTO(s, fail, hone_fail_memory(strlen(path), "the registry's path"));
    HONE_GOTO(s, fail, look_at_place(r, create));
    HONE_GOTO(s, fail, connect(r, create));
    HONE_GOTO(s, fail, check_whole(r));
    HONE_GOTO(s, fail, migrate(r));
    *out = r;
    return HONE_OK;
fail:
    hone_registry_close(r);
    return s;
}

void hone_registry_close(hone_registry *r)
{
    if (!r)
        return;
    if (r->db)
        hone_registry_abort(r);
    sqlite3_close(r->db);
    hone_free(r->path);
    hone_free(r);
}

bool hone_registry_is_read_only(const hone_registry *r)
{
    return r->read_only;
}

const char *hone_registry_path(const hone_registry *r)
{
    return r->path;
}
