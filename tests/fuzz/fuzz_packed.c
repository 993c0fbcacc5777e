// links: model
// corpus: tests/fuzz/corpus/packed
/* Bytes of a file of packed weights: the end is believed only when it is right. */
#include "base/mem.h"
#include "model/packed_cache.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint64_t *checksums;
    size_t bytes;
    volatile uint64_t sum = 0;
    uint8_t *aligned = hone_malloc(size); /* as a mapping is */
    if (!aligned)
        return 0;
    memcpy(aligned, data, size);
    if (hone_packed_read_trailer(aligned, size, "00112233445566778899aabbccddeeff", &checksums,
                                 &bytes) == HONE_OK) {
        if (bytes > size)
            abort();
        for (size_t i = 0; i < bytes; i += HONE_PACKED_CHUNK)
            sum = sum + checksums[i / HONE_PACKED_CHUNK] + aligned[i];
    }
    hone_free(aligned);
    return 0;
}
