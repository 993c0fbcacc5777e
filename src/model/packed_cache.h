/*
 * packed_cache - packed weights kept on disk, so that the next start maps them (docs/adr/0010).
 *
 * A folder of files KEY.packed: the model's buffer as it lies in memory, then checksums of its
 * chunks and a trailer. The key names file, plan and packer, so that whatever lies under it is what
 * packing would make; a file is only ever complete (it has no name while it is written, and is
 * linked when done) and never changed, only unlinked, which harms nobody who has it mapped.
 * It states the hash of all bytes that it was made from, and is used only for a file of this hash.
 * KEY.seen says in which state of the machine its checksums were last found right and for which
 * state of the model's file its hash, and by its time when it was last used. The folder is its
 * owner's alone; what another user put there is not used. Everything here may fail without harm:
 * the model is then packed as if there were no cache, and `note` says why.
 *
 * Threading: any number of threads and processes on one folder.
 */
#ifndef HONE_MODEL_PACKED_CACHE_H
#define HONE_MODEL_PACKED_CACHE_H

#include "base/threads.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HONE_PACKED_VERSION = 2, /* of the file and of what model/weights.c puts where */
    HONE_PACKED_CHUNK = 1 << 22,
    HONE_PACKED_KEY = 33, /* 32 hexadecimal digits and the 0 */
    HONE_PACKED_NOTE = 256
};

typedef struct hone_packed_cache {
    const char *folder; /* made when first written to; NULL = no cache */
    uint64_t max_bytes; /* of all files; 0 = a tenth of the disk, at most 20 GiB */
    uint64_t min_bytes; /* smaller models are not worth a file; 0 = 16 MiB */
} hone_packed_cache;

/* $HONE_CACHE, else $XDG_CACHE_HOME/hone, else ~/.cache/hone, with "/packed", in a fresh string
 * (hone_free); NULL when HONE_CACHE is "off" or none of them is set. */
HONE_CHECKED hone_status hone_packed_folder(char **folder);

typedef void hone_progress_fn(void *arg, const char *what, double done, double total);

/* What an image is made from. */
typedef struct hone_packed_source {
    uint64_t state[2];   /* of the file (hone_file_state): the same state, the same bytes, ... */
    bool settled;        /* ... if it is; else its bytes are hashed at the next start again */
    uint64_t content[2]; /* hash of its bytes, once hash() was called */
    bool hashed;
    bool (*hash)(void *arg, uint64_t content[2]); /* false: no memory */
    void *arg;
} hone_packed_source;

typedef struct hone_packed_reader hone_packed_reader;

/* The image kept under a key. */
typedef struct hone_packed_image {
    const uint8_t *data;        /* read-only, aligned to 2 MB; NULL = not there */
    size_t bytes;               /* of the mapping */
    hone_packed_reader *reader; /* a thread that fetches it, ahead of its use */
} hone_packed_image;

/* Maps it, of exactly `bytes` bytes. Its checksums are verified, by the pool, unless they were
 * since the machine started and the file was not touched since; the source is hashed unless it is
 * in the state in which it was last. A damaged file is unlinked, and `note` says so; note is ""
 * when there simply is none (of this source). */
void hone_packed_map(const hone_packed_cache *c, const char key[HONE_PACKED_KEY], size_t bytes,
                     hone_packed_source *source, hone_pool *pool, hone_packed_image *out,
                     char note[HONE_PACKED_NOTE]);
void hone_packed_unmap(hone_packed_image *i);

/* Whether the folder can be made and written to; PERMISSION, DISK, UNSUPPORTED (no files without a
 * name there): why not. */
HONE_CHECKED hone_status hone_packed_usable(const char *folder);
/* Whether an image of so many bytes is kept at all; if so, source->hash is to be called before the
 * source is read for packing: what changes in between is then noticed. */
bool hone_packed_wanted(const hone_packed_cache *c, size_t bytes);
/* Writes data (which must stay as it is) under a key, in a thread of low priority; the files used
 * longest ago make room. NULL: it will not be written, and note says why (no room, no permission).
 * label: for people, a model's file name. */
typedef struct hone_packed_writer hone_packed_writer;
hone_packed_writer *hone_packed_write(const hone_packed_cache *c, const char key[HONE_PACKED_KEY],
                                      const char *label, const hone_packed_source *source,
                                      const uint8_t *data, size_t bytes,
                                      char note[HONE_PACKED_NOTE]);
/* Writes what is left with the priority of the caller, so that a busy machine does not keep it
 * waiting (hone_interrupted() gives up), and frees w; NULL is fine. progress may be NULL. */
void hone_packed_write_end(hone_packed_writer *w, hone_progress_fn *progress, void *arg);

/* Every file of the folder, last used first. */
typedef struct hone_packed_entry {
    char key[HONE_PACKED_KEY], label[64];
    uint64_t bytes; /* on disk, of the whole file */
    int64_t used_s; /* since 1970 */
} hone_packed_entry;
/* *list is the caller's (hone_free). A folder that is missing has none. */
HONE_CHECKED hone_status hone_packed_list(const char *folder, hone_packed_entry **list,
                                          size_t *count);
/* Fine if it is not there. Errors: PERMISSION, IO, MEMORY. */
hone_status hone_packed_remove(const char *folder, const char key[HONE_PACKED_KEY]);

/* The end of a file, checked by itself: *checksums (one of each chunk) points into it. Pure, for
 * fuzzing. FORMAT says what is wrong. */
HONE_CHECKED hone_status hone_packed_read_trailer(const uint8_t *file, size_t file_bytes,
                                                  const char key[HONE_PACKED_KEY],
                                                  const uint64_t **checksums, size_t *image_bytes);

#endif
