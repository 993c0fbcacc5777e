#include "cli/sampling_args.h"

#include "base/mem.h"

static hone_status read_bias(const cli_context *c, hone_logit_bias **bias, size_t *n)
{
    const char *const *texts = cli_texts(c, "logit-bias", n);
    *bias = hone_calloc(*n + 1, sizeof **bias);
    if (!*bias)
        return hone_fail_memory(*n * sizeof **bias, "logit biases");
    for (size_t i = 0; i < *n; i++) {
        char left;
        if (sscanf(texts[i], "%d=%f%c", &(*bias)[i].token, &(*bias)[i].bias, &left) != 2)
            return hone_fail(HONE_USAGE, "--logit-bias %s: give TOKEN=BIAS, as 42=-5 or 42=-inf",
                             texts[i]);
    }
    return HONE_OK;
}

hone_status cli_sampling(const cli_context *c, hone_sampling *o, hone_logit_bias **bias)
{
    *o = (hone_sampling){.temperature = cli_number(c, "temperature"),
                         .top_k = (uint32_t)cli_int(c, "top-k"),
                         .top_p = cli_number(c, "top-p"),
                         .min_p = cli_number(c, "min-p"),
                         .repetition_penalty = cli_number(c, "repetition-penalty"),
                         .frequency_penalty = cli_number(c, "frequency-penalty"),
                         .presence_penalty = cli_number(c, "presence-penalty"),
                         .penalty_window = (uint32_t)cli_int(c, "penalty-window"),
                         .seed = (uint64_t)cli_int(c, "seed")};
    HONE_TRY(read_bias(c, bias, &o->n_bias));
    o->bias = *bias;
    return HONE_OK;
}

hone_status cli_open_sampler(const cli_context *c, uint32_t vocab, hone_sampler **out)
{
    hone_sampling settings;
    hone_logit_bias *bias = NULL;
    hone_status s = cli_sampling(c, &settings, &bias);
    if (s == HONE_OK)
        s = hone_sampler_open(&settings, vocab, out);
    hone_free(bias);
    return s;
}
