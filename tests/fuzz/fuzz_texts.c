// links: engine
/* Any bytes as the file of texts that embed, classify and rerank read: plain, pairs or JSON, which
 * the first byte says. Every byte of every text is read. */
#include "base/mem.h"
#include "cli/parse.h"
#include "cli/texts.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t read_all(const char *text, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (unsigned char)text[i];
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const cli_option options[] = {CLI_TEXTS_OPTIONS, {0}};
    static const cli_command command = {.name = "fuzz", .options = options};
    static char jsonl[] = "--jsonl", *arguments[] = {jsonl};
    cli_context c;
    cli_text_list list;
    char path[64];
    int fd = size ? memfd_create("texts", 0) : -1;
    if (fd < 0)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (cli_parse(&command, data[0] & 1, arguments, &c) != HONE_OK ||
        write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
        abort();
    volatile size_t sum = 0;
    if (cli_read_texts(&c, path, data[0] & 2, &list) == HONE_OK) {
        if (list.n == 0)
            abort();
        for (size_t i = 0; i < list.n; i++) {
            const cli_item *item = &list.items[i];
            sum = sum + read_all(item->text, item->n);
            if (item->pair)
                sum = sum + read_all(item->pair, item->n_pair);
        }
        cli_text_list_free(&list);
    } else if (!hone_error()[0]) {
        abort();
    }
    cli_parse_free(&c);
    close(fd);
    return 0;
}
