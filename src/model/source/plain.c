/* A matrix in one tensor [n][k] of a format of dtype/: GGUF files and unquantised checkpoints. */
#include "model/source.h"

static bool holds(const hone_file *f, const char *weight)
{
    return hone_file_tensor(f, weight) != NULL;
}

static hone_status plain_open(const hone_file *f, const char *weight, size_t n, size_t k,
                              hone_source *out)
{
    const hone_tensor *t;
    HONE_TRY(hone_file_need_tensor(f, weight, 2, (uint64_t[]){n, k}, &t));
    out->n = n;
    out->k = k;
    out->name = t->name;
    out->tensors[0] = t;
    if (!hone_rows_init(&out->rows, (hone_dtype)t->dtype, t->data, k))
        return hone_fail(HONE_FORMAT,
                         "%s: tensor %s: rows of %zu elements do not fill the blocks of %s",
                         hone_file_path(f), t->name, k, hone_dtype_name((hone_dtype)t->dtype));
    return HONE_OK;
}

const hone_source_kind hone_source_plain = {"plain", holds, plain_open};
