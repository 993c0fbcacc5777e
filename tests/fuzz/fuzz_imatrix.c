// links: compress
// corpus: tests/fuzz/corpus/imatrix
/* Bytes of a .dat importance matrix; every value that a success promises is read. */
#include "compress/imatrix.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a", "blk.0.ffn_up.weight", "output.weight"};
    hone_imatrix *m;
    if (hone_imatrix_read(data, size, &m) != HONE_OK)
        return 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (uint64_t k = 1; k < 5; k++) {
            uint64_t matrices;
            const float *w;
            if (hone_imatrix_weights(m, names[i], k, 1 + i, &w, &matrices) != HONE_OK)
                continue;
            for (uint64_t v = 0; w && v < matrices * k; v++)
                if (!(w[v] >= 0.0f))
                    abort();
        }
    hone_imatrix_close(m);
    return 0;
}
