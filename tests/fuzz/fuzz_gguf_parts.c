// links: file
// corpus: tests/fuzz/corpus/gguf
/* The second part of a split GGUF whose first is well-formed, in a folder of its own. */
#include "base/io.h"
#include "file/file.h"
#include "file/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char first[64], second[64];

static void clean_up(void)
{
    unlink(first);
    unlink(second);
    *strrchr(first, '/') = 0;
    rmdir(first);
}

static void make_first(void)
{
    static char in_memory[] = "/dev/shm/fuzz_parts_XXXXXX", on_disk[] = "/tmp/fuzz_parts_XXXXXX";
    hone_gguf_writer *w;
    const char *dir = mkdtemp(in_memory);
    if (!dir && !(dir = mkdtemp(on_disk)))
        abort();
    snprintf(first, sizeof first, "%s/m-00001-of-00002.gguf", dir);
    snprintf(second, sizeof second, "%s/m-00002-of-00002.gguf", dir);
    if (hone_gguf_writer_open(first, &w) != HONE_OK ||
        hone_gguf_writer_u32(w, "split.no", 0) != HONE_OK ||
        hone_gguf_writer_u32(w, "split.count", 2) != HONE_OK ||
        hone_gguf_writer_commit(w) != HONE_OK)
        abort();
    atexit(clean_up);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hone_file *f;
    if (!first[0])
        make_first();
    FILE *out = fopen(second, "wb");
    if (!out || fwrite(data, 1, size, out) != size || fclose(out) != 0)
        abort();
    if (hone_file_open(first, &f) == HONE_OK) {
        for (size_t i = 0; i < hone_file_tensor_count(f); i++) {
            const hone_tensor *t = hone_file_tensor_at(f, i);
            volatile uint8_t sink = 0;
            for (uint64_t b = 0; b < t->bytes; b++)
                sink = (uint8_t)(sink + t->data[b]);
        }
        hone_file_close(f);
    }
    return 0;
}
