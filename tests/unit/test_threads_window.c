// links: base
/*
 * A thread that takes over a part of another's range cuts that range first and fills its own then;
 * in between the caller can find all ranges empty and close the run. threads.c is compiled here
 * with waits in these two places, so that every run goes this way.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static _Thread_local bool is_worker;
static _Atomic bool cut, closing, lent, over, lost;

static void wait_for(_Atomic bool *what)
{
    while (!atomic_load(what))
        sched_yield();
}

/* The worker has cut the caller's range; it fills its own when the caller found nothing. */
static void before_range(void)
{
    if (is_worker) {
        atomic_exchange(&cut, true);
        wait_for(&closing);
    }
}

static void before_close(void)
{
    atomic_exchange(&closing, true);
    wait_for(&lent);
}

/* Of the stores only those of ranges are relaxed. */
#undef atomic_store_explicit
#define atomic_store_explicit(object, value, order)                                                \
    ((order) == memory_order_relaxed ? before_range() : (void)0,                                   \
     (void)atomic_exchange_explicit((object), (value), (order)))
#undef atomic_fetch_or
#define atomic_fetch_or(object, value)                                                             \
    (before_close(), atomic_fetch_or_explicit((object), (value), memory_order_seq_cst))
#include "base/threads.c"

enum { ITEMS = 8 };

typedef struct job {
    hone_pool *pool;
    _Atomic int done[ITEMS];
} job;

/* Items 4 to 7 are the worker's own; of the caller's it takes over 2 and 3, lends 2 and keeps it
 * until the run is over. */
static void work_on(void *arg, size_t item, int thread)
{
    job *j = arg;
    if (item == 0)
        wait_for(&cut);
    if (item == 2 && thread != 0) {
        hone_pool_lend(j->pool, item, thread);
        atomic_exchange(&lent, true);
        wait_for(&over);
        if (!hone_pool_reclaim(j->pool, thread)) {
            atomic_exchange(&lost, true);
            return;
        }
    }
    atomic_fetch_add(&j->done[item], 1);
}

static void on_start(void)
{
    is_worker = true;
}

static void items_behind_one_that_was_taken_back_are_done(void **state)
{
    (void)state;
    job j = {0};
    assert_int_equal(hone_pool_open(2, on_start, &j.pool), HONE_OK);
    for (int run = 1; run <= 20; run++) {
        _Atomic bool *const flags[] = {&cut, &closing, &lent, &over, &lost};
        for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
            atomic_exchange(flags[i], false);
        hone_pool_run(j.pool, work_on, &j, ITEMS);
        for (int i = 0; i < ITEMS; i++)
            if (atomic_load(&j.done[i]) != run)
                fail_msg("item %d was done %d times in %d runs", i, atomic_load(&j.done[i]), run);
        atomic_exchange(&over, true);
        wait_for(&lost);
        hone_pool_drain(j.pool);
    }
    hone_pool_close(j.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_behind_one_that_was_taken_back_are_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
