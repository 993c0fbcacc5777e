/* A matrix in one tensor [n][k] of a format of dtype/: GGUF files and unquantised checkpoints. */
#include "model/source.h"
#include "model/source/claim.h"

static bool holds(const hone_file *f, const char *weight)
{
    return hone_file_tensor(f, weight) != NULL;
}

/* Why there is no such tensor: another form that hone does not read, or nothing at all. */
static hone_status missing(const hone_file *f, const char *weight, const hone_claim *claim)
{
    if (!claim->method)
        return hone_fail(HONE_NOT_FOUND,
                         "%s: tensor '%s' is missing; the file is incomplete or of another "
                         "architecture",
                         hone_file_path(f), weight);
    return hone_fail(claim->known ? HONE_NOT_FOUND : HONE_UNSUPPORTED,
                     "%s: tensor '%s' is missing, and no quantised form of it that hone reads is "
                     "there (quant_method \"%.40s\"%s%.40s%s)",
                     hone_file_path(f), weight, claim->method, claim->format ? ", \"" : "",
                     claim->format ? claim->format : "", claim->format ? "\"" : "");
}

static hone_status plain_open(const hone_file *f, const char *weight, size_t n, size_t k,
                              const hone_claim *claim, hone_source *out)
{
    const hone_tensor *t = hone_file_tensor(f, weight);
    if (!t)
        return missing(f, weight, claim);
    if (n || k)
        HONE_TRY(hone_file_need_tensor(f, weight, 2, (uint64_t[]){n, k}, &t));
    if (t->n_dims != 2 || !hone_tensor_elements(t))
        return hone_fail(HONE_FORMAT, "%s: tensor %s is no matrix", hone_file_path(f), t->name);
    out->n = (size_t)t->shape[0];
    out->k = (size_t)t->shape[1];
    out->name = t->name;
    out->tensors[0] = t;
    switch (t->dtype) {
    case HONE_DTYPE_I8:
    case HONE_DTYPE_U8:
    case HONE_DTYPE_I16:
    case HONE_DTYPE_U16:
    case HONE_DTYPE_I32:
    case HONE_DTYPE_U32:
    case HONE_DTYPE_I64:
    case HONE_DTYPE_U64:
    case HONE_DTYPE_BOOL:
        return hone_fail(HONE_FORMAT,
                         "%s: tensor %s holds %s and no scales that hone knows stand beside it "
                         "(weight_scale, SCB, absmax)",
                         hone_file_path(f), t->name, hone_dtype_name((hone_dtype)t->dtype));
    default:
        break;
    }
    if (!hone_rows_init(&out->rows, (hone_dtype)t->dtype, t->data, out->k))
        return hone_fail(HONE_FORMAT,
                         "%s: tensor %s: rows of %zu elements do not fill the blocks of %s",
                         hone_file_path(f), t->name, out->k, hone_dtype_name((hone_dtype)t->dtype));
    out->bits = out->rows.coding.bits;
    out->group = out->rows.coding.group;
    out->bf16_exact = t->dtype == HONE_DTYPE_BF16 || t->dtype == HONE_DTYPE_F8_E4M3 ||
                      t->dtype == HONE_DTYPE_F8_E5M2;
    return HONE_OK;
}

const hone_source_kind hone_source_plain = {
    "plain", "one tensor of a number format", "docs/formats.md", ".weight", NULL, holds, plain_open,
};
