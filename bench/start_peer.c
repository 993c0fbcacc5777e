/*
 * start_peer GGUF PROMPT THREADS: the first token after a prompt with llama.cpp, and no more.
 * Compiled by bench/start against a build of llama.cpp; no part of hone.
 */
#include <llama.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void silent(enum ggml_log_level level, const char *text, void *arg)
{
    (void)level;
    (void)text;
    (void)arg;
}

int main(int argc, char **argv)
{
    llama_token tokens[256];
    if (argc != 4)
        return 2;
    llama_log_set(silent, NULL);
    llama_backend_init();
    struct llama_model *m = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (!m)
        return 1;
    struct llama_context_params p = llama_context_default_params();
    p.n_ctx = 512;
    p.n_threads = p.n_threads_batch = atoi(argv[3]);
    struct llama_context *c = llama_init_from_model(m, p);
    const struct llama_vocab *v = llama_model_get_vocab(m);
    int n = llama_tokenize(v, argv[2], (int)strlen(argv[2]), tokens, 256, true, false);
    if (!c || n <= 0 || llama_decode(c, llama_batch_get_one(tokens, n)) != 0)
        return 1;
    const float *logits = llama_get_logits_ith(c, -1);
    int best = 0;
    for (int i = 1; i < llama_vocab_n_tokens(v); i++)
        best = logits[i] > logits[best] ? i : best;
    char piece[256];
    int bytes = llama_token_to_piece(v, best, piece, sizeof piece, 0, false);
    fwrite(piece, 1, bytes > 0 ? (size_t)bytes : 0, stdout);
    fflush(stdout);
    llama_free(c);
    llama_model_free(m);
    return 0;
}
