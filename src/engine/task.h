/*
 * task - what a model was made for, as its files tell it: how token vectors are pooled, what is put
 * before a text, what the classifier's labels are called.
 *
 * Read from sentence-transformers' files of a folder (modules.json, the pooling's config.json,
 * sentence_bert_config.json, config_sentence_transformers.json), from config.json, or from the keys
 * of a GGUF file (<arch>.pooling_type, <arch>.classifier.output_labels). All of them may be absent.
 *
 * Ownership: the task owns its strings. Threading: plain data.
 */
#ifndef HONE_ENGINE_TASK_H
#define HONE_ENGINE_TASK_H

#include "engine/encode.h"
#include "file/file.h"

enum { HONE_TASK_PROMPTS = 16 };

typedef struct hone_task {
    bool pooling_known;
    hone_pooling pooling;
    bool normalize_known, normalize; /* to length 1 */
    uint32_t max_tokens;             /* of a text, special tokens included; 0 = not said */
    uint32_t n_prompts;
    struct {
        char *name, *text; /* "query" -> "Represent this ..." */
    } prompts[HONE_TASK_PROMPTS];
    int default_prompt; /* index, -1 = none */

    uint32_t n_labels; /* that are named; label i may still be NULL */
    char **labels;
    bool multi_label; /* each label has a probability of its own */
    bool regression;  /* scores are no probabilities */
    bool raw_scores;  /* a cross-encoder whose score is what the classifier gives */
} hone_task;

/* modules false: modules.json is left unread (its pooling is overridden, or not wanted).
 * Errors: FORMAT (names the file), UNSUPPORTED (a module or pooling that hone does not run), LIMIT,
 * MEMORY. */
HONE_CHECKED hone_status hone_task_read(const hone_file *f, bool modules, hone_task *out);
void hone_task_free(hone_task *t);

#endif
