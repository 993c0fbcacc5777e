/*
 * hub_blob - one blob as it grows: its lock, its .incomplete file, its hash. Private to hub_*.c.
 *
 * Bytes are only ever appended, so that what is there is a prefix of the content at any moment:
 * hone, and huggingface_hub too, can go on from it. The hash runs along.
 */
#ifndef HONE_FILE_HUB_BLOB_H
#define HONE_FILE_HUB_BLOB_H

#include "file/hub_internal.h"

typedef struct hub_blob {
    const hub_wanted *wanted;
    const hub_cache *cache;
    const char *incomplete, *path; /* of the arena */
    int lock, fd;                  /* -1 = none */
    uint64_t bytes;                /* that are there, and hashed */
    uint64_t resumed;              /* of those, from before */
    uint64_t synced;               /* that the disk was asked to write */
    hub_hash hash;
    bool open, done;
} hub_blob;

/* Takes the lock and looks at what is there: then `open`, or `done` if another program finished it
 * meanwhile; neither if another program holds the lock. */
HONE_CHECKED hone_status hub_blob_open(hub_blob *b, const hub_cache *cache,
                                       const hub_wanted *wanted);
HONE_CHECKED hone_status hub_blob_append(hub_blob *b, const void *data, size_t bytes);
/* All bytes are there: checks the hash, puts the blob and the snapshot's link in place, closes. On
 * a wrong hash (FORMAT) what was fetched is removed. */
HONE_CHECKED hone_status hub_blob_finish(hub_blob *b, const char *commit);
/* Keeps what is there for the next pull. */
void hub_blob_close(hub_blob *b);

/* Hashes a file that is there: *right says whether it is what its name says. */
HONE_CHECKED hone_status hub_blob_check(const char *path, const char *hash, uint64_t bytes,
                                        bool *right);

#endif
