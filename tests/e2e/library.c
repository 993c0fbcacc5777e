/* A program outside of hone, built against an installation: `library MODEL PROMPT N` continues the
 * prompt by N tokens, always the likeliest. */
#include <hone.h>

#include <stdio.h>
#include <stdlib.h>

typedef struct work {
    hone_tokenizer *tokenizer;
    hone_engine *engine;
    hone_session *session;
    hone_sampler *sampler;
    int32_t *ids;
    float *logits;
} work;

static hone_status go_on(work *w, const char *model, const char *prompt, size_t tokens)
{
    hone_config config = hone_config_default();
    hone_sampling greedy = hone_sampling_default();
    size_t n = 0, bytes = 0;
    char *text = NULL;
    while (prompt[bytes])
        bytes++;
    HONE_TRY(hone_tokenizer_open(model, &w->tokenizer));
    HONE_TRY(hone_engine_open(model, &config, NULL, NULL, &w->engine));
    uint32_t vocab = hone_engine_facts(w->engine)->vocab;
    HONE_TRY(hone_sampler_open(&greedy, vocab, &w->sampler));
    HONE_TRY(hone_session_open(w->engine, &w->session));
    HONE_TRY(
        hone_tokenizer_encode(w->tokenizer, prompt, bytes, HONE_ENCODE_ADD_SPECIAL, &w->ids, &n));
    w->logits = hone_malloc(vocab * sizeof *w->logits);
    int32_t *ids = hone_realloc(w->ids, (n + tokens) * sizeof *ids);
    if (!w->logits || !ids)
        return HONE_MEMORY;
    w->ids = ids;
    HONE_TRY(hone_session_feed(w->session, ids, (uint32_t)n, HONE_WANT_LAST, w->logits));
    for (size_t i = 0; i < tokens; i++, n++) {
        HONE_TRY(hone_sampler_pick(w->sampler, w->logits, ids, n, n, &ids[n]));
        HONE_TRY(hone_session_feed(w->session, &ids[n], 1, HONE_WANT_LAST, w->logits));
    }
    HONE_TRY(hone_tokenizer_decode(w->tokenizer, ids, n, HONE_DECODE_SKIP_SPECIAL, &text, NULL));
    puts(text);
    hone_free(text);
    return HONE_OK;
}

int main(int argc, char **argv)
{
    work w = {0};
    if (argc != 4)
        return 2;
    hone_status s = go_on(&w, argv[1], argv[2], strtoul(argv[3], NULL, 10));
    if (s != HONE_OK)
        fprintf(stderr, "%s\n", hone_error());
    hone_free(w.logits);
    hone_free(w.ids);
    hone_session_close(w.session);
    hone_sampler_close(w.sampler);
    hone_engine_close(w.engine);
    hone_tokenizer_close(w.tokenizer);
    return hone_status_exit_code(s);
}
