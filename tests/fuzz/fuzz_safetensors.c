// links: file
// corpus: tests/fuzz/corpus/safetensors
#include "file_touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return touch_bytes(HONE_FILE_SAFETENSORS, data, size);
}
