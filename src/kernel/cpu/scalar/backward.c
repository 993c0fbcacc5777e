/* backward of the scalar set: the definition. */
#include "kernel/cpu/scalar/vec.h"

static void transpose16(const float *x, size_t ldx, float *y, size_t ldy)
{
    for (size_t i = 0; i < 16; i++)
        for (size_t j = 0; j < 16; j++)
            y[j * ldy + i] = x[i * ldx + j];
}

static void put_bf16_pairs(uint8_t *to, v16 even, v16 odd)
{
    for (size_t c = 0; c < 16; c++) {
        uint16_t pair[2] = {hone_f32_to_bf16(even.f[c]), hone_f32_to_bf16(odd.f[c])};
        memcpy(to + c * 4, pair, 4);
    }
}

#include "kernel/cpu/generic/backward.h"
#include "kernel/table.h"

void hone_kernels_scalar_back(hone_kernels *t)
{
    BACKWARD_SLOTS(t);
    t->attn_back = hone_attn_back_by_products;
    t->attn_back_bytes = hone_attn_back_products_bytes;
}
