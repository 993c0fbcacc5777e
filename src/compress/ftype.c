#include "compress/ftype.h"

#include <string.h>

static const uint16_t file_types[HONE_DTYPE_COUNT] = {
    [HONE_DTYPE_F16] = 1,     [HONE_DTYPE_Q4_0] = 2,    [HONE_DTYPE_Q4_1] = 3,
    [HONE_DTYPE_Q8_0] = 7,    [HONE_DTYPE_Q5_0] = 8,    [HONE_DTYPE_Q5_1] = 9,
    [HONE_DTYPE_BF16] = 32,   [HONE_DTYPE_Q2_K] = 21,   [HONE_DTYPE_Q3_K] = 11,
    [HONE_DTYPE_Q4_K] = 14,   [HONE_DTYPE_Q5_K] = 16,   [HONE_DTYPE_Q6_K] = 18,
    [HONE_DTYPE_IQ4_NL] = 25, [HONE_DTYPE_IQ4_XS] = 30, [HONE_DTYPE_TQ1_0] = 36,
    [HONE_DTYPE_TQ2_0] = 37,  [HONE_DTYPE_MXFP4] = 38,
};

uint32_t hone_gguf_file_type(hone_dtype t)
{
    if (t == HONE_DTYPE_F32)
        return 0;
    return t < HONE_DTYPE_COUNT && file_types[t] ? file_types[t] : 1024;
}

bool hone_gguf_only_f32(const char *name)
{
    return strcmp(name, "position_embd.weight") == 0 || strcmp(name, "token_types.weight") == 0;
}
