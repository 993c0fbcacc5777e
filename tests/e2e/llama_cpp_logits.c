/*
 * llama_cpp_logits GGUF ARCH VOCAB "logits"|"mean" IDS...: what llama.cpp computes in float32, as
 * text, a row a line. Compiled by test_llama_cpp.sh against a build of llama.cpp; no part of hone.
 */
#include <llama.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_MAX = 512 };

static void silent(enum ggml_log_level level, const char *text, void *arg)
{
    (void)arg;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

/* The models of the goldens have no tokenizer. */
static struct llama_model *load(const char *path, const char *arch, int vocab)
{
    static struct llama_model_kv_override over[3];
    struct llama_model_params m = llama_model_default_params();
    over[0].tag = LLAMA_KV_OVERRIDE_TYPE_STR;
    snprintf(over[0].key, sizeof over[0].key, "tokenizer.ggml.model");
    snprintf(over[0].val_str, sizeof over[0].val_str, "none");
    over[1].tag = LLAMA_KV_OVERRIDE_TYPE_INT;
    snprintf(over[1].key, sizeof over[1].key, "%s.vocab_size", arch);
    over[1].val_i64 = vocab;
    m.kv_overrides = over;
    m.n_gpu_layers = 0;
    return llama_model_load_from_file(path, m);
}

static void print_row(const float *x, int n)
{
    for (int i = 0; i < n; i++)
        printf("%s%.9g", i ? " " : "", (double)x[i]);
    printf("\n");
}

int main(int argc, char **argv)
{
    if (argc < 6 || argc - 5 > TOKENS_MAX)
        return 2;
    llama_log_set(silent, NULL);
    struct llama_model *model = load(argv[1], argv[2], atoi(argv[3]));
    if (!model)
        return 1;
    int n = argc - 5, mean = strcmp(argv[4], "mean") == 0;
    struct llama_context_params c = llama_context_default_params();
    c.n_ctx = c.n_batch = c.n_ubatch = TOKENS_MAX;
    c.n_threads = c.n_threads_batch = 1;
    c.type_k = c.type_v = GGML_TYPE_F32;
    c.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    c.embeddings = mean;
    c.pooling_type = mean ? LLAMA_POOLING_TYPE_MEAN : LLAMA_POOLING_TYPE_NONE;
    struct llama_context *ctx = llama_init_from_model(model, c);
    if (!ctx)
        return 1;
    struct llama_batch b = llama_batch_init(TOKENS_MAX, 0, 1);
    b.n_tokens = n;
    for (int i = 0; i < n; i++) {
        b.token[i] = atoi(argv[5 + i]);
        b.pos[i] = i;
        b.n_seq_id[i] = 1;
        b.seq_id[i][0] = 0;
        b.logits[i] = 1;
    }
    if (llama_decode(ctx, b) != 0)
        return 1;
    if (mean)
        print_row(llama_get_embeddings_seq(ctx, 0), llama_model_n_embd(model));
    for (int i = 0; i < n && !mean; i++)
        print_row(llama_get_logits_ith(ctx, i), atoi(argv[3]));
    llama_batch_free(b);
    llama_free(ctx);
    llama_model_free(model);
    return 0;
}
