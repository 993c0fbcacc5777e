#include "pipeline/turns.h"

#include "base/interrupt.h"

hone_status hone_turns_take(hone_turn_fn *fn, void *arg, size_t first, size_t n, double *a,
                            double *b)
{
    for (size_t i = 0; i < n; i++) {
        int leads = (first + i) % 2 == 1;
        HONE_TRY(hone_interrupt_check());
        HONE_TRY(fn(arg, leads, leads ? &b[i] : &a[i]));
        HONE_TRY(fn(arg, !leads, leads ? &a[i] : &b[i]));
    }
    return HONE_OK;
}
