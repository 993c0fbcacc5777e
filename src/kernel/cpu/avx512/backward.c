/* backward of the AVX-512 set. */
#include "kernel/cpu/avx512/turn.h"

#include "kernel/cpu/generic/backward.h"
#include "kernel/table.h"

void hone_kernels_avx512_back(hone_kernels *t)
{
    BACKWARD_SLOTS(t);
}
