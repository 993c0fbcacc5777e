/* internal - statements and errors of the registry, shared by its source files. */
#ifndef HONE_STORE_INTERNAL_H
#define HONE_STORE_INTERNAL_H

#include "store/registry.h"

#include <sqlite3.h>

/* SQL of this moment, UTC, in milliseconds */
#define HONE_STORE_NOW "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"

struct hone_registry {
    sqlite3 *db;
    char *path;
    bool in_transaction; /* the caller's */
    bool read_only;      /* no permission to write, or no room: it is read as it stands */
    bool no_room;
};

/* Step i (from 0) brings a file from version i to i + 1, the last to hone_schema_version. */
extern const char *const hone_schema_steps[];
extern const int hone_schema_version;

/* The status that fits SQLite's code, with its message. */
hone_status hone_store_fail(hone_registry *r, int code, const char *what);

HONE_CHECKED hone_status hone_store_exec(hone_registry *r, const char *sql);

/* Prepares and binds: types holds one letter for each ?: i int64_t, d double, s text or NULL. */
HONE_CHECKED hone_status hone_store_prepare(hone_registry *r, sqlite3_stmt **out, const char *sql,
                                            const char *types, ...);
/* Steps: *row says whether there is one. */
HONE_CHECKED hone_status hone_store_step(hone_registry *r, sqlite3_stmt *stmt, bool *row);
/* To the next row; false after the last, after a failure, and if *s is one (what was done with the
 * row before): then the statement is gone. */
bool hone_store_next(hone_registry *r, sqlite3_stmt *stmt, hone_status *s);
/* Text of a column of the row, or NULL; valid until the next. */
const char *hone_store_text(sqlite3_stmt *stmt, int column);
/* Prepares, runs to the end, and gives the first column of the first row (if id is not NULL; 0 = no
 * row). */
HONE_CHECKED hone_status hone_store_run(hone_registry *r, int64_t *id, const char *sql,
                                        const char *types, ...);
/* A function of several statements is one transaction, its own unless the caller holds one: enter
 * before them, and return leave(own, what became of them). */
HONE_CHECKED hone_status hone_store_enter(hone_registry *r, bool *own);
HONE_CHECKED hone_status hone_store_leave(hone_registry *r, bool own, hone_status s);

#endif
