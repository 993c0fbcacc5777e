#include "model/activation.h"

#include <string.h>

#define KERNELS(name) offsetof(hone_kernels, name##_mul), offsetof(hone_kernels, name##_back)

static const hone_activation table[] = {
    {"silu", {"silu", "swish"}, KERNELS(silu)},
    {"gelu", {"gelu"}, KERNELS(gelu)},
    {"gelu_tanh", {"gelu_pytorch_tanh", "gelu_new", "gelu_fast"}, KERNELS(gelu_tanh)},
    {"relu", {"relu"}, KERNELS(relu)},
    {"tanh", {"tanh"}, KERNELS(tanh)},
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

hone_activate_back_fn *hone_activation_back(const hone_activation *a, const hone_kernels *kt)
{
    hone_activate_back_fn *f;
    memcpy(&f, (const char *)kt + a->back, sizeof f);
    return f;
}
