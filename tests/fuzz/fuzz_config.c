// links: file
// corpus: tests/golden/data/models/llama/config.json tests/fuzz/corpus/config
#include "file_touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return touch_bytes(HONE_FILE_HF, data, size);
}
