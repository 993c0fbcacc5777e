#include "cli/damage.h"

#include "dtype/dtype.h"
#include "file/file.h"

#include <math.h>
#include <stdio.h>

enum { SCAN_ELEMENTS = 4096 };

/* The first tensor that holds a value that is no finite number, or NULL. */
static const char *find_damage(const hone_file *f)
{
    for (size_t i = 0; i < hone_file_tensor_count(f); i++) {
        const hone_tensor *t = hone_file_tensor_at(f, i);
        const hone_dtype_info *d = hone_dtype_describe((hone_dtype)t->dtype);
        uint64_t blocks = d ? t->bytes / d->block_bytes : 0;
        size_t some = d && d->block_elements ? SCAN_ELEMENTS / d->block_elements : 0;
        float values[SCAN_ELEMENTS];
        for (uint64_t at = 0; at < blocks && some; at += some) {
            size_t now = blocks - at < some ? (size_t)(blocks - at) : some;
            size_t n = now * d->block_elements;
            if (!hone_dtype_decode((hone_dtype)t->dtype, t->data + at * d->block_bytes, n, values))
                break;
            for (size_t k = 0; k < n; k++)
                if (!isfinite(values[k]))
                    return t->name;
        }
    }
    return NULL;
}

hone_status cli_name_damage(const char *path, hone_status s)
{
    char why[1024];
    hone_file *f;
    snprintf(why, sizeof why, "%s", hone_error());
    if (hone_file_open(path, &f) != HONE_OK)
        return hone_fail(s, "%s: %s", path, why);
    const char *name = find_damage(f);
    s = name ? hone_fail(HONE_FORMAT,
                         "%s: tensor '%s' holds NaN or infinity; fetch the model again (%s)", path,
                         name, why)
             : hone_fail(s, "%s: %s", path, why);
    hone_file_close(f);
    return s;
}

hone_status cli_check_numbers(const char *path, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return cli_name_damage(path,
                                   hone_fail(HONE_FORMAT,
                                             "the model gives %g: its weights are damaged, or this "
                                             "arithmetic is too narrow for them (--dtype f32)",
                                             (double)values[i]));
    return HONE_OK;
}
