/*
 * sampling_args - the options that say how the next token is chosen, for the commands that answer.
 *
 * Put CLI_SAMPLING_OPTIONS into the command's option list. Threading: one thread.
 */
#ifndef HONE_CLI_SAMPLING_ARGS_H
#define HONE_CLI_SAMPLING_ARGS_H

#include "cli/cli.h"
#include "engine/sampler.h"

#define CLI_INTEGER_OPTION(NAME, ARGUMENT, FALLBACK, MIN, MAX, HELP)                               \
    {                                                                                              \
        .name = NAME, .type = CLI_INT, .argument = ARGUMENT, .fallback = FALLBACK, .min = MIN,     \
        .max = MAX, .help = HELP                                                                   \
    }
#define CLI_NUMBER_OPTION(NAME, FALLBACK, MIN, MAX, HELP)                                          \
    {                                                                                              \
        .name = NAME, .type = CLI_NUMBER, .argument = "X", .fallback = FALLBACK, .min = MIN,       \
        .max = MAX, .help = HELP                                                                   \
    }

#define CLI_SAMPLING_OPTIONS                                                                       \
    CLI_NUMBER_OPTION("temperature", "0", 0, 1000, "0 takes the likeliest token (greedy)"),        \
        CLI_INTEGER_OPTION("top-k", "K", "0", 0, INT32_MAX, "only the K likeliest (0: all)"),      \
        CLI_NUMBER_OPTION("top-p", "1", 0, 1,                                                      \
                          "only the likeliest that together reach this probability"),              \
        CLI_NUMBER_OPTION("min-p", "0", 0, 1,                                                      \
                          "only those with this share of the likeliest's probability"),            \
        CLI_NUMBER_OPTION("repetition-penalty", "1", 0, 1000,                                      \
                          "divides the logits of tokens that occurred"),                           \
        CLI_NUMBER_OPTION("frequency-penalty", "0", -1000, 1000,                                   \
                          "subtracted for each occurrence"),                                       \
        CLI_NUMBER_OPTION("presence-penalty", "0", -1000, 1000,                                    \
                          "subtracted once if a token occurred"),                                  \
        CLI_INTEGER_OPTION("penalty-window", "N", "0", 0, INT32_MAX,                               \
                           "last tokens the penalties see (0: all)"),                              \
        {.name = "logit-bias",                                                                     \
         .type = CLI_TEXTS,                                                                        \
         .argument = "TOKEN=BIAS",                                                                 \
         .help = "added to a token's logit; may be repeated"},                                     \
        CLI_INTEGER_OPTION("seed", "S", "0", 0, 0, "same seed, same text")

/* What the options say; *bias (hone_free, also after a failure) holds settings->bias. Errors:
 * USAGE, MEMORY. */
HONE_CHECKED hone_status cli_sampling(const cli_context *c, hone_sampling *settings,
                                      hone_logit_bias **bias);
/* A sampler of those. */
HONE_CHECKED hone_status cli_open_sampler(const cli_context *c, uint32_t vocab, hone_sampler **out);

#endif
