// links: text
// corpus: tests/fuzz/corpus/tokenizer tests/golden/data/text/sp_unigram.model tests/golden/data/text/sp_bpe.model tests/golden/data/text/sp_word.model tests/golden/data/text/t5.vocab.gguf tests/golden/data/text/rwkv.vocab.gguf
/*
 * Any bytes as a tokenizer file (tokenizer.json, tokenizer.model, GGUF, tiktoken, RWKV: the content
 * decides); what opens must encode and decode without harm.
 */
#include "base/mem.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const hone_tokenizer *t)
{
    static const char text[] = "ab <s>it's 12345\n\n  \xE2\x96\x81the \xF0\x9F\x98\x80 \xFF x";
    for (unsigned flags = 0; flags < 4; flags++) {
        int32_t *ids;
        size_t n, bytes;
        char *back;
        if (hone_tokenizer_encode(t, text, sizeof text - 1, flags, &ids, &n) != HONE_OK)
            continue;
        for (size_t i = 0; i < n; i++)
            if (ids[i] < 0 || ids[i] >= hone_tokenizer_vocab_size(t))
                abort();
        if (hone_tokenizer_decode(t, ids, n, flags & 1, &back, &bytes) == HONE_OK)
            hone_free(back);
        hone_free(ids);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A file that is only memory; opened by its name, as a user's is. */
    int fd = memfd_create("tokenizer", 0);
    if (fd < 0)
        return 0;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    hone_tokenizer *t;
    if (write(fd, data, size) == (ssize_t)size && hone_tokenizer_open(path, &t) == HONE_OK) {
        use(t);
        hone_tokenizer_close(t);
    }
    close(fd);
    return 0;
}
