/*
 * documents - the documents of text and JSON Lines files, one after the other: what a tokenizer is
 * trained on and what data sets are made of.
 *
 * A text file is documents with a separator between them (the literal "<|endoftext|>" unless said
 * otherwise), or one document; blanks and line ends around a separator belong to no document. A
 * file named *.jsonl or *.ndjson is a document a line: an object with "text" (or another field),
 * with "messages", a conversation, or with "prompt" and its "completion" (or "response").
 * Documents of white space only are passed over.
 *
 * A broken document (bytes that are no UTF-8, a line that is no such object) is an error that names
 * file and line; if it is to be skipped it is counted, and `on_broken` hears the same words.
 *
 * Ownership: a document belongs to the reader until the next one. Threading: one thread.
 */
#ifndef HONE_TEXT_DOCUMENTS_H
#define HONE_TEXT_DOCUMENTS_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define HONE_DOCUMENTS_SEPARATOR "<|endoftext|>"

typedef struct hone_documents_options {
    const char *separator; /* of text files; NULL: HONE_DOCUMENTS_SEPARATOR; "": there is none */
    const char *field;     /* of the object; NULL: "text" */
    bool skip_broken;
    void (*on_broken)(void *arg, const char *message); /* may be NULL */
    void *arg;
} hone_documents_options;

typedef struct hone_document {
    const char *text; /* [n], well-formed UTF-8, n > 0; NULL when it is a conversation */
    size_t n;
    size_t prompt;    /* bytes of the text that are a prompt, the rest answers it; 0: it has none */
    json_t *messages; /* not empty; NULL when it is a text. json_incref keeps it */
    const char *file;
    uint64_t line; /* where it starts, from 1 */
} hone_document;

typedef struct hone_documents hone_documents;

/* Looks at every path before the first document is read, so that a wrong name is found at once.
 * `paths`, and the texts of the options, must stay. Errors: NOT_FOUND, PERMISSION, FORMAT (a
 * directory), DATA (a file is empty), MEMORY. */
HONE_CHECKED hone_status hone_documents_open(const char *const *paths, size_t n,
                                             const hone_documents_options *options,
                                             hone_documents **out);
/* *more false: there are no more. Errors: DATA, FORMAT, LIMIT (a document above 1 GiB), MEMORY. */
HONE_CHECKED hone_status hone_documents_next(hone_documents *d, hone_document *out, bool *more);

/* Documents that are worked on together: their texts are copies, their conversations references. */
typedef struct hone_document_lot {
    hone_document *of; /* [n] */
    size_t n;
    char *text;
    size_t text_n, text_capacity;
} hone_document_lot;
/* Replaces what is in the lot (at first all 0) by the next thousand documents or 8 MiB; n 0: there
 * are no more. Errors: those of next; the lot is still to be freed. */
HONE_CHECKED hone_status hone_documents_next_lot(hone_documents *d, hone_document_lot *lot);
void hone_document_lot_free(hone_document_lot *lot);

uint64_t hone_documents_broken(const hone_documents *d);     /* skipped so far */
uint64_t hone_documents_bytes(const hone_documents *d);      /* of all files */
uint64_t hone_documents_bytes_read(const hone_documents *d); /* of them, so far */
void hone_documents_close(hone_documents *d);                /* NULL is fine */

#endif
