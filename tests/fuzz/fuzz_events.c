// links: train
/* What a run that goes on keeps of an event file, whose checksums are put right in one of two
 * tries so that what is behind them is reached: never more than there is, the same again of what
 * was kept, and with more steps no less. */
#include "train/events.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_sum(uint8_t *to, const uint8_t *data, size_t bytes)
{
    uint32_t crc = hone_crc32c(data, bytes), masked = (crc >> 15 | crc << 17) + 0xa282ead8u;
    memcpy(to, &masked, sizeof masked);
}

static void mend(uint8_t *data, size_t size)
{
    for (size_t at = 0, n; size - at >= 16; at += 16 + n) {
        n = data[at]; /* short records */
        if (n > size - at - 16)
            n = size - at - 16;
        memset(data + at, 0, 8);
        data[at] = (uint8_t)n;
        put_sum(data + at + 8, data + at, 8);
        put_sum(data + at + 12 + n, data + at + 12, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    for (int mended = 0; mended < 2; mended++) {
        size_t before = 0;
        if (mended)
            mend(copy, size);
        for (uint64_t steps = 0; steps < 1000; steps = 3 * steps + 1) {
            size_t keep = hone_events_keep(copy, size, steps);
            if (keep > size || keep < before || hone_events_keep(copy, keep, steps) != keep)
                abort();
            before = keep;
        }
        if (mended && size >= 16 && !hone_events_keep(copy, size, UINT64_MAX))
            abort();
    }
    free(copy);
    return 0;
}
