#include "model/source.h"

#include "base/mem.h"

#include <string.h>

/* Asked in this order; the plain tensor comes last. */
static const hone_source_kind *const kinds[] = {
    &hone_source_plain,
};

hone_status hone_source_open(const hone_file *f, const char *weight, size_t n, size_t k,
                             hone_source *out)
{
    size_t last = sizeof kinds / sizeof *kinds - 1, i = 0;
    memset(out, 0, sizeof *out);
    while (i < last && !kinds[i]->holds(f, weight))
        i++;
    hone_status s = kinds[i]->open(f, weight, n, k, out);
    if (s != HONE_OK)
        hone_source_close(out);
    return s;
}

void hone_source_close(hone_source *s)
{
    hone_free(s->owned);
    s->owned = NULL;
}
