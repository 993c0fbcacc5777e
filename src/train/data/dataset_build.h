/*
 * dataset_build - from documents to a folder with train.tokens, validation.tokens and data.json.
 *
 * A text becomes its tokens and the end-of-text token. A conversation becomes what the chat
 * template writes, and only the assistant's turns, with what ends them, are to be learned; every
 * turn is tokenised by itself, as it is when the model answers. Of a prompt with its completion
 * only the completion and the end are to be learned; both are plain text.
 *
 * On which side a document goes is decided by a hash of its text (runs of white space count as one
 * blank), so that equal documents are on the same side, in every data set that is ever made with
 * the same share. The files do not depend on the number of threads.
 *
 * Threading: encodes on a pool of its own; call it from one thread.
 */
#ifndef HONE_TRAIN_DATA_DATASET_BUILD_H
#define HONE_TRAIN_DATA_DATASET_BUILD_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct hone_tokenizer;
struct hone_chat_template;
struct hone_documents;

typedef struct hone_dataset_build_options {
    const struct hone_tokenizer *tokenizer;
    const struct hone_chat_template *chat; /* NULL: conversations are broken documents */
    double validation;                     /* share of the documents, [0, 1) */
    bool drop_duplicates;                  /* of documents with the same hash the first stays */
    bool skip_broken;                      /* of conversations that cannot be used */
    void (*on_broken)(void *arg, const char *message);             /* may be NULL */
    void (*on_progress)(void *arg, const struct hone_documents *); /* may be NULL */
    void *arg;
    int threads; /* 0: all */
} hone_dataset_build_options;

typedef struct hone_dataset_counts {
    uint64_t documents, bytes, tokens, targets;
} hone_dataset_counts;

typedef struct hone_dataset_build_report {
    hone_dataset_counts train, validation;
    uint64_t duplicates; /* seen, dropped or not */
    uint64_t broken;     /* skipped, those of hone_documents included */
    bool ends;           /* texts end with the tokenizer's end-of-text token: it has one */
} hone_dataset_build_report;

/* Reads the documents to their end. The folder is made; files are replaced when all is done, and
 * nothing is left behind on failure. A side without documents has no file. Errors: those of
 * hone_documents_next, DATA (no documents; a conversation without an assistant's turn, or that the
 * template refuses: with file and line), DISK, MEMORY, INTERRUPTED. */
HONE_CHECKED hone_status hone_dataset_build(struct hone_documents *documents,
                                            const hone_dataset_build_options *options,
                                            const char *folder, hone_dataset_build_report *out);

#endif
