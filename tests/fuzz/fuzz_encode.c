// links: text
// corpus: tests/fuzz/corpus/encode tests/golden/data/text/strings.json
/*
 * Any bytes as text, through a SentencePiece and a byte-level tokenizer: well-formed text comes
 * back as it was, streaming equals decoding, and no special id comes from text that is not parsed
 * for it.
 */
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void streamed(const hone_tokenizer *t, const int32_t *ids, size_t n, const char *text,
                     size_t bytes)
{
    hone_detok *d;
    const char *p;
    size_t m, done = 0;
    CHECK(hone_detok_open(t, 0, false, &d) == HONE_OK);
    for (size_t i = 0; i <= n; i++) {
        CHECK((i < n ? hone_detok_push(d, ids[i], &p, &m) : hone_detok_finish(d, &p, &m)) ==
              HONE_OK);
        CHECK(hone_utf8_valid_prefix(p, m) == m);
        CHECK(m <= bytes - done && memcmp(p, text + done, m) == 0);
        done += m;
    }
    CHECK(done == bytes);
    hone_detok_close(d);
}

static void check(const hone_tokenizer *t, const char *text, size_t n)
{
    int32_t *ids;
    size_t n_ids, bytes;
    char *back;
    CHECK(hone_tokenizer_encode(t, text, n, 0, &ids, &n_ids) == HONE_OK);
    for (size_t i = 0; i < n_ids; i++)
        CHECK(!hone_tokenizer_is_special(t, ids[i]));
    CHECK(hone_tokenizer_decode(t, ids, n_ids, 0, &back, &bytes) == HONE_OK);
    /* U+2581 is what SentencePiece writes for a blank: it comes back as one. The added token " two"
     * of the byte-level tokenizer swallows the blanks behind it. */
    if (hone_utf8_valid_prefix(text, n) == n && !memmem(text, n, "\xE2\x96\x81", 3) &&
        !memmem(text, n, "  two", 5))
        CHECK(bytes == n && memcmp(back, text, n) == 0);
    streamed(t, ids, n_ids, back, bytes);
    hone_free(back);
    hone_free(ids);
    CHECK(hone_tokenizer_encode(t, text, n, 3, &ids, &n_ids) == HONE_OK);
    hone_free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static hone_tokenizer *spm, *bytes;
    if (!spm) {
        const char *folder = HONE_SOURCE_DIR "/tests/golden/data/text";
        char path[1024];
        snprintf(path, sizeof path, "%s/sp_bytes.model", folder);
        CHECK(hone_tokenizer_open(path, &spm) == HONE_OK);
        snprintf(path, sizeof path, "%s/bytes.tokenizer.json", folder);
        CHECK(hone_tokenizer_open(path, &bytes) == HONE_OK);
    }
    check(spm, (const char *)data, size);
    check(bytes, (const char *)data, size);
    return 0;
}
