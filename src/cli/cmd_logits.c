/* logits - the model's raw output for given tokens: how anyone checks the engine. */
#include "base/interrupt.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/damage.h"
#include "cli/engine_args.h"
#include "cli/npy.h"
#include "cli/read_text.h"
#include "report/report.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 64 << 20, BLOCK_TOKENS = 64 };

static hone_status read_tokens(const cli_context *c, int32_t **ids, size_t *n)
{
    if (cli_given(c, "tokens") == cli_given(c, "tokens-file"))
        return hone_fail(HONE_USAGE,
                         "give the token ids with --tokens 1,2,3 or with --tokens-file FILE");
    if (cli_given(c, "tokens-file")) {
        char *text;
        size_t bytes;
        const char *path = cli_text(c, "tokens-file");
        HONE_TRY(hone_read_file(path, FILE_BYTES_MAX, &text, &bytes));
        hone_status s = cli_parse_ids(path, text, bytes, ids, n);
        hone_free(text);
        HONE_TRY(s);
    } else {
        const int64_t *list = cli_ints(c, "tokens", n);
        *ids = hone_malloc(*n * sizeof **ids);
        if (!*ids)
            return hone_fail_memory(*n * sizeof **ids, "token ids");
        for (size_t i = 0; i < *n; i++)
            (*ids)[i] = (int32_t)list[i];
    }
    if (*n == 0) {
        hone_free(*ids);
        return hone_fail(HONE_DATA, "no token ids were given");
    }
    return HONE_OK;
}

static hone_status write_blocks(const char *model, hone_session *session, const int32_t *ids,
                                size_t n, size_t vocab, float *logits, hone_writer *w)
{
    HONE_TRY(cli_npy_header(w, n, vocab));
    for (size_t at = 0; at < n;) {
        HONE_TRY(hone_interrupt_check());
        size_t now = n - at < BLOCK_TOKENS ? n - at : BLOCK_TOKENS;
        HONE_TRY(hone_session_feed(session, ids + at, (uint32_t)now, HONE_WANT_ALL, logits));
        HONE_TRY(cli_check_numbers(model, logits, now * vocab));
        HONE_TRY(hone_writer_write(w, logits, now * vocab * sizeof *logits));
        at += now;
        cli_progress((double)at / (double)n, "logits");
    }
    return HONE_OK;
}

static hone_status write_logits(const char *model, hone_engine *e, const int32_t *ids, size_t n,
                                const char *path)
{
    uint32_t most = hone_engine_config(e)->context_tokens;
    if (n > most)
        return hone_fail(HONE_LIMIT, "%zu tokens exceed the model's context of %u", n, most);
    size_t vocab = hone_engine_facts(e)->vocab, bytes = BLOCK_TOKENS * vocab * sizeof(float);
    float *logits = hone_alloc_big(bytes);
    if (!logits)
        return hone_fail_memory(bytes, "logits");
    hone_session *session = NULL;
    hone_writer *w = NULL;
    hone_status s = hone_session_open_for(e, (uint32_t)n, &session);
    if (s == HONE_OK)
        s = hone_writer_open(path, &w);
    if (s == HONE_OK) {
        s = write_blocks(model, session, ids, n, vocab, logits, w);
        if (s == HONE_OK)
            s = hone_writer_commit(w);
        else
            hone_writer_abort(w);
    }
    if (session)
        hone_session_close(session);
    hone_free_big(logits, bytes);
    return s;
}

static hone_status report(const cli_context *c, const hone_engine *e, size_t n, const char *path)
{
    char text[256];
    uint32_t vocab = hone_engine_facts(e)->vocab;
    if (cli_json(c))
        return cli_print_json(json_pack("{s:o, s:I, s:I, s:o}", "file", hone_report_text(path),
                                        "tokens", (json_int_t)n, "vocab", (json_int_t)vocab,
                                        "config", cli_config_json(e)));
    hone_config_describe(hone_engine_config(e), text, sizeof text);
    printf("%s: float32 [%zu, %u], %s\n", path, n, vocab, text);
    return HONE_OK;
}

static hone_status run(cli_context *c)
{
    hone_config config;
    int32_t *ids;
    size_t n;
    hone_engine *e;
    HONE_TRY(cli_engine_config(c, &config));
    HONE_TRY(read_tokens(c, &ids, &n));
    hone_status s = cli_open_engine_cached(cli_operand(c, 0), &config, &e);
    if (s == HONE_OK) {
        s = write_logits(cli_operand(c, 0), e, ids, n, cli_text(c, "output"));
        if (s == HONE_OK)
            s = report(c, e, n, cli_text(c, "output"));
        hone_engine_close(e);
    }
    hone_free(ids);
    return s;
}

static const cli_option options[] = {
    {.name = "tokens",
     .type = CLI_INTS,
     .argument = "IDS",
     .help = "token ids, with commas between them",
     .min = 0,
     .max = INT32_MAX},
    {.name = "tokens-file",
     .type = CLI_TEXT,
     .argument = "FILE",
     .help = "file of token ids; - reads standard input"},
    {.name = "output",
     .type = CLI_TEXT,
     .argument = "FILE",
     .letter = 'o',
     .required = true,
     .help = "the .npy file to write"},
    CLI_ENGINE_OPTIONS,
    {0},
};

static const cli_example examples[] = {
    {"hone logits model.gguf --tokens 1,403,407 -o logits.npy", "logits of three tokens"},
    {"hone logits llama/ --dtype f32 --tokens-file ids.txt -o logits.npy",
     "in float32, to compare with a reference"},
    {0},
};

const cli_command cli_cmd_logits = {
    .name = "logits",
    .summary = "write the logits of given tokens to a .npy file",
    .description =
        "Runs the tokens through the model and writes the logits after each of them as a NumPy "
        "array of float32 [tokens, vocabulary]. Needs no tokenizer, so that any model can be "
        "compared with its reference implementation. The file appears whole or not at all. The "
        "same tokens give the same bits with any number of threads and on every instruction set.",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
