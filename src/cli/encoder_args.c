#include "cli/encoder_args.h"

#include "base/mem.h"
#include "model/arch.h"

#include <string.h>

/* The smallest of two numbers of which 0 is none. */
static uint32_t least(uint32_t a, uint32_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

hone_status cli_encoder_open(const cli_context *c, const char *model, bool modules,
                             cli_encoder *out)
{
    *out = (cli_encoder){.task = {.default_prompt = -1}};
    const hone_arch *arch;
    HONE_TRY(hone_file_open(model, &out->file));
    hone_hparams *h = hone_malloc(sizeof *h);
    if (!h)
        return hone_fail_memory(sizeof *h, "a model");
    hone_status s = hone_arch_read(out->file, &arch, h);
    uint32_t context = h->context_tokens;
    out->labels = s == HONE_OK ? h->labels : 0;
    out->bidirectional = s == HONE_OK && h->bidirectional;
    hone_free(h);
    HONE_TRY(s);
    HONE_TRY(hone_task_read(out->file, modules, &out->task));
    HONE_TRY(hone_tokenizer_from_file(out->file, &out->tokenizer));
    uint32_t wish = (uint32_t)cli_int(c, "max-tokens");
    if (wish > context)
        return hone_fail(HONE_USAGE, "--max-tokens %u: the model takes %u", wish, context);
    out->max_tokens = wish ? wish : least(context, out->task.max_tokens);
    return HONE_OK;
}

void cli_encoder_close(cli_encoder *x)
{
    for (size_t i = 0; i < x->n; i++)
        hone_encoded_free(&x->encoded[i]);
    hone_free(x->encoded);
    hone_free(x->texts);
    cli_close_engine(x->engine);
    hone_task_free(&x->task);
    hone_tokenizer_close(x->tokenizer);
    hone_file_close(x->file);
    *x = (cli_encoder){0};
}

static hone_status grow(cli_encoder *x)
{
    if (x->n < x->capacity)
        return HONE_OK;
    size_t capacity = x->capacity ? 2 * x->capacity : 64;
    hone_encoded *encoded = hone_reallocarray(x->encoded, capacity, sizeof *encoded);
    if (encoded)
        x->encoded = encoded;
    hone_text *texts = hone_reallocarray(x->texts, capacity, sizeof *texts);
    if (texts)
        x->texts = texts;
    if (!encoded || !texts)
        return hone_fail_memory(capacity * sizeof *encoded, "texts");
    x->capacity = capacity;
    return HONE_OK;
}

hone_status cli_encoder_add(const cli_context *c, cli_encoder *x, const char *prompt,
                            const cli_item *item)
{
    const char *text = item->text;
    size_t before = strlen(prompt), n = item->n;
    char *joined = NULL;
    HONE_TRY(grow(x));
    if (before) {
        joined = hone_malloc(before + n + 1);
        if (!joined)
            return hone_fail_memory(before + n, "a text");
        memcpy(joined, prompt, before);
        memcpy(joined + before, text, n);
        text = joined;
        n += before;
    }
    hone_encoded *e = &x->encoded[x->n];
    hone_status s = hone_tokenizer_encode_pair(x->tokenizer, text, n, item->pair, item->n_pair, 0,
                                               cli_flag(c, "truncate") ? x->max_tokens : 0, e);
    hone_free(joined);
    if (s != HONE_OK)
        return hone_fail_in(s, "line %zu", item->line);
    x->texts[x->n++] = (hone_text){e->ids, e->types, (uint32_t)e->n};
    if (e->n > x->max_tokens)
        return hone_fail(HONE_LIMIT,
                         "line %zu has %zu tokens; the model takes %u (--truncate cuts)",
                         item->line, e->n, x->max_tokens);
    return HONE_OK;
}

hone_status cli_encoder_start(const cli_context *c, const char *model, cli_encoder *x)
{
    hone_config config;
    uint32_t longest = 0;
    HONE_TRY(cli_engine_config(c, &config));
    for (size_t i = 0; i < x->n; i++)
        longest = x->texts[i].n > longest ? x->texts[i].n : longest;
    if (config.step_tokens < longest) /* a text is one step; 512 are enough for short ones */
        config.step_tokens = longest > 512 ? longest : 512;
    return cli_open_engine_cached(model, &config, &x->engine);
}

hone_status cli_encoder_pooling(const cli_encoder *x, const char *wish, hone_pooling *out)
{
    *out = x->task.pooling_known ? x->task.pooling
           : x->bidirectional    ? HONE_POOLING_MEAN
                                 : HONE_POOLING_LAST;
    if (*wish && !hone_pooling_by_name(wish, out))
        return hone_fail(HONE_USAGE, "there is no pooling \"%s\"; there are: %s", wish,
                         hone_pooling_names);
    return HONE_OK;
}

hone_status cli_encoder_prompt(const cli_encoder *x, const char *name, const char **out)
{
    char known[256] = "";
    for (uint32_t i = 0; i < x->task.n_prompts; i++) {
        if (strcmp(x->task.prompts[i].name, name) == 0) {
            *out = x->task.prompts[i].text;
            return HONE_OK;
        }
        strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, x->task.prompts[i].name, sizeof known - strlen(known) - 1);
    }
    return hone_fail(HONE_USAGE, "the model has no prompt \"%s\"; it has: %s", name,
                     *known ? known : "none");
}

void cli_encoder_progress(void *arg, size_t done, size_t n)
{
    (void)arg;
    cli_progress((double)done / (double)n, "texts");
}
