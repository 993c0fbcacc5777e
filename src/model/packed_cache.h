/*
 * packed_cache - packed weights kept on disk, so that the next start maps them (docs/adr/0010).
 *
 * A folder of files KEY.packed: the model's buffer as it lies in memory, then checksums of its
 * chunks and a trailer. The key names file, plan and packer, so that whatever lies under it is what
 * packing would make; a file is only ever complete (it has no name while it is written, and is
 * linked when done) and never changed, only unlinked, which harms nobody who has it mapped.
 * KEY.seen says in which state of the machine its checksums were last found right, and by its time
 * when it was last used. Everything here may fail without harm: the model is then packed as if
 * there were no cache, and `note` says why.
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
    HONE_PACKED_VERSION = 1, /* of the file and of what model/weights.c puts where */
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

/* The image kept under a key. */
typedef struct hone_packed_image {
    const uint8_t *data; /* read-only, aligned to 2 MB; NULL = not there */
    size_t bytes;        /* of the mapping */
} hone_packed_image;

/* Maps it, of exactly `bytes` bytes. Its checksums are verified, by the pool, unless they were
 * since the machine started and the file was not touched since. A damaged file is unlinked, and
 * `note` says so; note is "" when there simply is none. */
void hone_packed_map(const hone_packed_cache *c, const char key[HONE_PACKED_KEY], size_t bytes,
                     hone_pool *pool, hone_packed_image *out, char note[HONE_PACKED_NOTE]);
void hone_packed_unmap(hone_packed_image *i);

/* Writes data (which must stay as it is) under a key, in a thread of low priority; the files used
 * longest ago make room. NULL: it will not be written, and note says why (no room, no permission).
 * label: for people, a model's file name. */
typedef struct hone_packed_writer hone_packed_writer;
hone_packed_writer *hone_packed_write(const hone_packed_cache *c, const char key[HONE_PACKED_KEY],
                                      const char *label, const uint8_t *data, size_t bytes,
                                      char note[HONE_PACKED_NOTE]);
/* Waits until all is written (hone_interrupted() gives up); NULL is fine. */
void hone_packed_write_end(hone_packed_writer *w);

/* Every file of the folder, last used first. */
typedef struct hone_packed_entry {
    char key[HONE_PACKED_KEY], label[64];
    uint64_t bytes; /* on disk */
    int64_t used_s; /* since 1970 */
} hone_packed_entry;
/* *list is the caller's (hone_free). A folder that is missing has none. */
HONE_CHECKED hone_status hone_packed_list(const char *folder, hone_packed_entry **list,
                                          size_t *count);
void hone_packed_remove(const char *folder, const char key[HONE_PACKED_KEY]);

/* The end of a file, checked by itself: *checksums (one of each chunk) points into it. Pure, for
 * fuzzing. FORMAT says what is wrong. */
HONE_CHECKED hone_status hone_packed_read_trailer(const uint8_t *file, size_t file_bytes,
                                                  const char key[HONE_PACKED_KEY],
                                                  const uint64_t **checksums, size_t *image_bytes);

#endif
