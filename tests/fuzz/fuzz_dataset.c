// links: train
// corpus: tests/fuzz/corpus/dataset
/* A file of tokens whose hashes are put right, so that what is behind them is reached: opened in
 * several ways, every row is read, and what a row promises is looked at. */
#include "base/mem.h"
#include "train/data/dataset.h"
#include "train/data/dataset_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mend(uint8_t *data, size_t size)
{
    hone_dataset_footer f;
    if (size < sizeof f)
        return;
    uint8_t *at = data + size - sizeof f;
    memcpy(&f, at, sizeof f);
    f.content = XXH3_64bits(data, size - sizeof f);
    f.check = XXH3_64bits(&f, offsetof(hone_dataset_footer, check));
    memcpy(f.magic, HONE_DATASET_MAGIC, sizeof f.magic);
    memcpy(at, &f, sizeof f);
}

static void look(const hone_dataset_batch *b, int32_t vocab)
{
    for (uint32_t r = 0; r < b->rows; r++)
        for (uint32_t i = 0; i < b->length; i++) {
            size_t at = (size_t)r * b->length + i;
            if (b->ids[at] < 0 || b->ids[at] >= vocab || b->labels[at] < HONE_NO_LABEL ||
                b->labels[at] >= vocab || b->starts[at] < 0 || b->starts[at] > (int32_t)i)
                abort();
        }
}

static void use(const char *path, hone_dataset_options o)
{
    hone_dataset *d;
    hone_dataset_batch b;
    if (hone_dataset_open(path, "train", &o, &d) != HONE_OK)
        return;
    if (hone_dataset_batch_open(3, o.length, &b) != HONE_OK)
        abort();
    const hone_dataset_info *info = hone_dataset_get_info(d);
    uint64_t tokens = 0;
    for (uint64_t row = 0; row < hone_dataset_rows(d); row += b.rows) {
        hone_dataset_read(d, row, &b);
        look(&b, info->vocab);
        tokens += b.tokens;
    }
    if (tokens != info->tokens) /* an epoch is every token once */
        abort();
    for (int i = 0; i < 3; i++)
        if (hone_dataset_next(d, &b) != HONE_OK)
            abort();
    look(&b, info->vocab);
    hone_dataset_batch_close(&b);
    hone_dataset_close(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    uint8_t *copy = malloc(size + 1);
    int fd = memfd_create("tokens", 0);
    if (!copy || fd < 0)
        abort();
    memcpy(copy, data, size);
    for (int mended = 0; mended < 2; mended++) {
        if (mended)
            mend(copy, size);
        if (pwrite(fd, copy, size, 0) != (ssize_t)size)
            abort();
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        use(path, (hone_dataset_options){.length = 4});
        use(path,
            (hone_dataset_options){.length = 7, .shuffle = true, .whole = true, .seed = size});
    }
    close(fd);
    free(copy);
    return 0;
}
