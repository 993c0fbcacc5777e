#include "tensor/tensor.h"

/* The room has structs only; one symbol keeps the archive from being empty. */
const int hone_tensor_max_dims = HONE_MAX_DIMS;
