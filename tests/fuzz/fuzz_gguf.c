// links: file
// corpus: tests/fuzz/corpus/gguf tests/golden/data/text/t5.vocab.gguf
#include "file_touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return touch_bytes(HONE_FILE_GGUF, data, size);
}
