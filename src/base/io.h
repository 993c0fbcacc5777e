/*
 * io - files: mapped for reading, written whole or not at all.
 *
 * Threading: a map may be read by many threads; a writer belongs to one.
 */
#ifndef HONE_BASE_IO_H
#define HONE_BASE_IO_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct hone_map {
    const uint8_t *data; /* NULL if the file is empty */
    size_t bytes;
    char *path; /* owned */
    /* What it was when it was opened: a change of its content is one of these. */
    uint64_t device, inode;
    int64_t modified_ns, changed_ns; /* mtime, ctime */
} hone_map;

/* Maps a regular file read-only. Errors: NOT_FOUND, PERMISSION, FORMAT (a directory, a device, a
 * pipe), MEMORY. */
HONE_CHECKED hone_status hone_map_open(const char *path, hone_map *out);
void hone_map_close(hone_map *m);
/* [data, data + bytes) of a map is not needed soon: its pages leave the resident set (they come
 * back from the file when touched). */
void hone_map_forget(const void *data, size_t bytes);

/* Reads a whole file into *text (owned by the caller, hone_free; a 0 byte follows the content).
 * Refuses files above max_bytes with HONE_LIMIT. path "-" reads standard input. */
HONE_CHECKED hone_status hone_read_file(const char *path, size_t max_bytes, char **text,
                                        size_t *bytes);

/* The file `name` of a folder, likewise; *text NULL and *bytes 0 when there is none. */
HONE_CHECKED hone_status hone_read_member(const char *folder, const char *name, size_t max_bytes,
                                          char **text, size_t *bytes);

/* An atomic writer: writes PATH.tmp.<pid>, then fsync and rename on commit; a file that is replaced
 * keeps its mode. Refuses with USAGE what is there and no regular file: a folder, a device, a
 * pipe. */
typedef struct hone_writer hone_writer;
HONE_CHECKED hone_status hone_writer_open(const char *path, hone_writer **out);
HONE_CHECKED hone_status hone_writer_write(hone_writer *w, const void *data, size_t bytes);
HONE_CHECKED hone_status hone_writer_pad(hone_writer *w,
                                         size_t alignment); /* zeros up to a multiple */
uint64_t hone_writer_offset(const hone_writer *w);
/* Both free w. Commit makes the file visible under its name; abort leaves no trace. */
HONE_CHECKED hone_status hone_writer_commit(hone_writer *w);
void hone_writer_abort(hone_writer *w); /* NULL is fine */

/* Whether a file can be written there, before the work whose result it is to hold. */
HONE_CHECKED hone_status hone_check_output(const char *path);

/* Writes a whole small file atomically. */
HONE_CHECKED hone_status hone_write_file(const char *path, const void *data, size_t bytes);

bool hone_is_directory(const char *path);
bool hone_is_file(const char *path);
/* Whether both are there and the same file or folder, whatever name it goes by. */
bool hone_same_file(const char *a, const char *b);
/* Creates a directory and its parents; fine if it is there. */
HONE_CHECKED hone_status hone_make_directory(const char *path);
/* "dir/name" in a fresh string (hone_free); NULL = no memory. */
char *hone_path_join(const char *dir, const char *name);
/* "name" of "dir/name". */
const char *hone_path_name(const char *path);
bool hone_ends_with(const char *text, const char *end);
/* "path.tmp.<pid>", likewise: a file that is nobody else's */
char *hone_temporary_path(const char *path);
/* Removes those of the file `name` of a folder: for who knows that nobody is writing it, after a
 * kill -9. */
void hone_drop_temporaries(const char *folder, const char *name);

#endif
