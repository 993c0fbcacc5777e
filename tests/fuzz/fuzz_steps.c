// links: text
// corpus: tests/fuzz/corpus/encode tests/golden/data/text/strings.json
/*
 * Any bytes as text, through one of the tokenizers of the golden files (every normalizer,
 * pre-tokenizer, decoder and kind of model), which the first byte chooses: ids are in the
 * vocabulary, none is special unless asked for, streaming equals decoding, and encoding twice gives
 * the same.
 */
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DATA HONE_SOURCE_DIR "/tests/golden/data/text/"
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #x, hone_error());              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { MAX = 64 };
static hone_tokenizer *tokenizers[MAX];
static size_t count;

static void open_spec(json_t *spec)
{
    char path[64];
    int fd = memfd_create("steps", 0);
    CHECK(fd >= 0 && json_dumpfd(spec, fd, JSON_COMPACT) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(count < MAX && hone_tokenizer_open(path, &tokenizers[count++]) == HONE_OK);
    close(fd);
}

static void open_all(void)
{
    static const char *const files[] = {
        DATA "sp_unigram.model", DATA "sp_bytes.model", DATA "sp_bpe.model",   DATA "sp_char.model",
        DATA "sp_word.model",    DATA "t5.vocab.gguf",  DATA "rwkv.vocab.gguf"};
    json_error_t e;
    json_t *golden = json_load_file(DATA "steps.json", JSON_ALLOW_NUL, &e), *c;
    size_t i;
    CHECK(golden);
    json_array_foreach(json_object_get(golden, "cases"), i, c)
    {
        json_t *spec = json_object_get(c, "spec");
        if (!json_object_get(spec, "model"))
            json_object_set(spec, "model", json_object_get(golden, "model"));
        open_spec(spec);
    }
    json_decref(golden);
    for (i = 0; i < sizeof files / sizeof *files; i++)
        CHECK(hone_tokenizer_open(files[i], &tokenizers[count++]) == HONE_OK);
}

static void streamed(const hone_tokenizer *t, const int32_t *ids, size_t n)
{
    hone_detok *d;
    const char *p;
    char *text;
    size_t m, bytes, done = 0;
    CHECK(hone_tokenizer_decode(t, ids, n, 0, &text, &bytes) == HONE_OK);
    CHECK(hone_utf8_valid_prefix(text, bytes) == bytes);
    CHECK(hone_detok_open(t, 0, false, &d) == HONE_OK);
    for (size_t i = 0; i <= n; i++) {
        CHECK((i < n ? hone_detok_push(d, ids[i], &p, &m) : hone_detok_finish(d, &p, &m)) ==
              HONE_OK);
        CHECK(m <= bytes - done && memcmp(p, text + done, m) == 0);
        done += m;
    }
    CHECK(done == bytes);
    hone_detok_close(d);
    hone_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (count == 0)
        open_all();
    if (size == 0)
        return 0;
    const hone_tokenizer *t = tokenizers[data[0] % count];
    for (unsigned flags = 0; flags < 4; flags++) {
        int32_t *ids, *again;
        size_t n, k;
        hone_status s = hone_tokenizer_encode(t, (const char *)data + 1, size - 1, flags, &ids, &n);
        CHECK(s == HONE_OK || s == HONE_DATA);
        if (s != HONE_OK)
            continue;
        for (size_t i = 0; i < n; i++) {
            CHECK(ids[i] >= 0 && ids[i] < hone_tokenizer_vocab_size(t));
            /* The unknown token, which may be special, stands for text. */
            CHECK(flags || ids[i] == hone_tokenizer_unk(t) ||
                  !hone_tokenizer_is_special(t, ids[i]));
        }
        CHECK(hone_tokenizer_encode(t, (const char *)data + 1, size - 1, flags, &again, &k) ==
              HONE_OK);
        CHECK(k == n && memcmp(ids, again, n * sizeof *ids) == 0);
        streamed(t, ids, n);
        hone_free(again);
        hone_free(ids);
    }
    return 0;
}
