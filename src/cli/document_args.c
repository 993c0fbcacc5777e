#include "cli/document_args.h"

#include "base/mem.h"

enum { SHOWN = 5 };

void cli_on_broken(void *broken, const char *message)
{
    cli_broken *b = broken;
    if (b->count++ < SHOWN)
        fprintf(stderr, "skipped: %s\n", message);
    else if (b->count == SHOWN + 1)
        fprintf(stderr, "skipped: more such documents (counted at the end)\n");
}

hone_status cli_open_documents(const cli_context *c, cli_broken *broken, const char ***paths,
                               hone_documents **out)
{
    *out = NULL;
    size_t n = (size_t)(cli_operands(c) - 1);
    *paths = hone_calloc(n + 1, sizeof **paths);
    if (!*paths)
        return hone_fail_memory(n * sizeof **paths, "paths");
    for (size_t i = 0; i < n; i++)
        (*paths)[i] = cli_operand(c, 1 + (int)i);
    hone_documents_options options = {.separator = cli_text(c, "separator"),
                                      .field = cli_text(c, "field"),
                                      .skip_broken = cli_flag(c, "skip-broken"),
                                      .on_broken = cli_on_broken,
                                      .arg = broken};
    return hone_documents_open(*paths, n, &options, out);
}

void cli_document_progress(const hone_documents *d, const char *what)
{
    char done[16], all[16];
    double bytes = (double)hone_documents_bytes(d), read = (double)hone_documents_bytes_read(d);
    cli_progress(read / bytes, "%s: %s of %s", what, cli_format_bytes(read, done, sizeof done),
                 cli_format_bytes(bytes, all, sizeof all));
}
