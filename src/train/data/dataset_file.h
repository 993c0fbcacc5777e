/*
 * dataset_file - the layout of a file of tokens (docs/format/tokens.md). Private to train/data/.
 *
 * Little-endian, without gaps but those named:
 *   ids      [tokens] of `width` bytes, zeros up to a multiple of 8
 *   learn    a bit per token, least bit first, zeros up to a multiple of 8 bytes; only if masked
 *   offsets  [documents + 1] of 8 bytes: document i is ids[offsets[i] .. offsets[i + 1])
 *   footer   hone_dataset_footer, the last 80 bytes: a file that was cut short has none
 */
#ifndef HONE_TRAIN_DATA_DATASET_FILE_H
#define HONE_TRAIN_DATA_DATASET_FILE_H

#include <stdint.h>

#define HONE_DATASET_MAGIC "HONETOK1"

typedef struct hone_dataset_footer {
    uint64_t documents, tokens, targets;
    uint64_t fingerprint; /* of the tokenizer */
    uint64_t content;     /* XXH3-64 of all bytes before the footer */
    uint32_t width;       /* 2 or 4 bytes an id */
    uint32_t vocab;
    uint32_t masked; /* 0 or 1 */
    uint32_t reserved;
    uint64_t reserved2;
    uint64_t check; /* XXH3-64 of the footer before this member */
    char magic[8];
} hone_dataset_footer;
_Static_assert(sizeof(hone_dataset_footer) == 80, "no gaps");

static inline uint64_t hone_dataset_pad8(uint64_t n)
{
    return (n + 7) & ~(uint64_t)7;
}

#endif
