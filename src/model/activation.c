#include "model/activation.h"

#include <string.h>

#define KERNEL(name) offsetof(hone_kernels, name)

static const hone_activation table[] = {
    {"silu", {"silu", "swish"}, KERNEL(silu_mul)},
    {"gelu", {"gelu"}, KERNEL(gelu_mul)},
    {"gelu_tanh", {"gelu_pytorch_tanh", "gelu_new", "gelu_fast"}, KERNEL(gelu_tanh_mul)},
    {"relu", {"relu"}, KERNEL(relu_mul)},
    {"tanh", {"tanh"}, KERNEL(tanh_mul)},
};
enum { COUNT = sizeof table / sizeof *table };

const hone_activation *hone_activation_find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < 4 && table[i].names[j]; j++)
            if (strcmp(table[i].names[j], name) == 0)
                return &table[i];
    return NULL;
}

void hone_activation_names(char *out, size_t n)
{
    *out = 0;
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < 4 && table[i].names[j]; j++) {
            strncat(out, i + j ? ", " : "", n - strlen(out) - 1);
            strncat(out, table[i].names[j], n - strlen(out) - 1);
        }
}

hone_activate_fn *hone_activation_kernel(const hone_activation *a, const hone_kernels *kt)
{
    hone_activate_fn *f;
    memcpy(&f, (const char *)kt + a->slot, sizeof f);
    return f;
}
