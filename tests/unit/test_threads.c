// links: base
#include "base/mem.h"
#include "base/rng.h"
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* In place of the system's: a mask of so many CPUs, unless 0. */
static size_t masked;

int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    CPU_ZERO_S(size, set);
    if (!masked)
        return syscall(SYS_sched_getaffinity, pid, size, set) < 0 ? -1 : 0;
    for (size_t i = 0; i < masked; i++)
        CPU_SET_S(i, size, set);
    return 0;
}

enum { ITEMS_MAX = 3000, LOADS = 3 };

typedef struct work {
    _Atomic int taken[ITEMS_MAX];
    int plain[ITEMS_MAX]; /* not atomic: the run's end must make them visible to the caller */
    _Atomic int outside;  /* thread numbers out of range */
    int threads;
} work;

static void count(void *arg, size_t item, int thread)
{
    work *w = arg;
    atomic_fetch_add(&w->taken[item], 1);
    w->plain[item] += (int)item + 1;
    if (thread < 0 || thread >= w->threads)
        atomic_fetch_add(&w->outside, 1);
}

static void run_and_check(hone_pool *p, work *w, size_t items)
{
    memset(w, 0, sizeof *w);
    w->threads = hone_pool_threads(p);
    hone_pool_run(p, count, w, items);
    for (size_t i = 0; i < ITEMS_MAX; i++) {
        int times = atomic_load(&w->taken[i]);
        if (times != (i < items))
            fail_msg("item %zu of %zu was done %d times", i, items, times);
        assert_int_equal(w->plain[i], i < items ? (int)i + 1 : 0);
    }
    assert_int_equal(atomic_load(&w->outside), 0);
}

static work shared_work;

static void every_item_is_done_once(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 3, 8};
    static const size_t items[] = {0, 1, 2, 3, 7, 64, 1000, ITEMS_MAX};
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        hone_pool *p;
        assert_int_equal(hone_pool_open(threads[t], NULL, &p), HONE_OK);
        assert_int_equal(hone_pool_threads(p), threads[t]);
        for (size_t i = 0; i < sizeof items / sizeof *items; i++)
            run_and_check(p, &shared_work, items[i]);
        hone_pool_close(p);
    }
}

static _Atomic bool stop_load;

static void *foreign_load(void *arg)
{
    volatile uint64_t x = 1;
    while (!atomic_load(&stop_load))
        for (int i = 0; i < 10000; i++)
            x = x * 3 + 1;
    return arg;
}

/* More busy threads than CPUs, and runs of all sizes right after each other. */
static void every_item_is_done_once_under_foreign_load(void **state)
{
    (void)state;
    pthread_t load[LOADS];
    atomic_store(&stop_load, false);
    for (int i = 0; i < LOADS; i++)
        assert_int_equal(pthread_create(&load[i], NULL, foreign_load, NULL), 0);
    hone_pool *p;
    assert_int_equal(hone_pool_open(3, NULL, &p), HONE_OK);
    for (size_t r = 0; r < 300; r++)
        run_and_check(p, &shared_work, (r * 37) % 50 + r % 2 * 200);
    hone_pool_close(p);
    atomic_store(&stop_load, true);
    for (int i = 0; i < LOADS; i++)
        pthread_join(load[i], NULL);
}

/* What an item takes: nothing in three of four runs (so that threads meet at the same range), in
 * the fourth some give up a turn on the CPU, work for microseconds, or sleep: ranges run dry in
 * every order. */
typedef struct delays {
    work w;
    uint64_t run;
} delays;

static void delayed(void *arg, size_t item, int thread)
{
    delays *d = arg;
    uint64_t draw = d->run % 4 ? 12 : hone_rng_below(3, d->run, item, 64);
    volatile uint64_t x = 1;
    if (draw == 0)
        usleep(20);
    else if (draw < 4)
        sched_yield();
    else if (draw < 12)
        for (uint64_t i = 0; i < 300 * draw; i++)
            x = x * 3 + 1;
    count(&d->w, item, thread);
}

static void every_item_is_done_once_whatever_the_delays(void **state)
{
    (void)state;
    static const int threads[] = {2, 3, 16};
    static const size_t runs[] = {12000, 12000, 1500};
    delays *d = hone_calloc(1, sizeof *d);
    assert_non_null(d);
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        hone_pool *p;
        assert_int_equal(hone_pool_open(threads[t], NULL, &p), HONE_OK);
        d->w.threads = threads[t];
        for (size_t r = 0; r < runs[t]; r++) {
            size_t items = (size_t)hone_rng_below(4, t, r, r % 16 ? 40 : 400);
            d->run = r;
            memset(d->w.taken, 0, items * sizeof *d->w.taken);
            memset(d->w.plain, 0, items * sizeof *d->w.plain);
            hone_pool_run(p, delayed, d, items);
            for (size_t i = 0; i < items; i++)
                if (atomic_load(&d->w.taken[i]) != 1 || d->w.plain[i] != (int)i + 1)
                    fail_msg("%d threads, run %zu: item %zu of %zu was done %d times", threads[t],
                             r, i, items, atomic_load(&d->w.taken[i]));
        }
        hone_pool_close(p);
    }
    assert_int_equal(atomic_load(&d->w.outside), 0);
    hone_free(d);
}

/* The worker lends the one item that it gets and keeps it until the run is over: the caller must do
 * it instead. */
typedef struct lending {
    hone_pool *pool;
    _Atomic int lent, over, kept, mine[64], lost;
} lending;

static void lent_item(void *arg, size_t item, int thread)
{
    lending *l = arg;
    if (thread == 0) {
        while (!atomic_load(&l->lent))
            sched_yield();
        atomic_fetch_add(&l->mine[item], 1);
        return;
    }
    hone_pool_lend(l->pool, item, thread);
    atomic_store(&l->lent, 1);
    while (!atomic_load(&l->over))
        sched_yield();
    if (hone_pool_reclaim(l->pool, thread))
        atomic_fetch_add(&l->kept, 1);
    else
        atomic_fetch_add(&l->lost, 1);
}

static void what_a_worker_cannot_finish_is_done_by_the_caller(void **state)
{
    (void)state;
    hone_pool *p;
    assert_int_equal(hone_pool_open(2, NULL, &p), HONE_OK);
    for (int run = 0; run < 20; run++) {
        static lending l;
        l = (lending){.pool = p};
        hone_pool_run(p, lent_item, &l, 64); /* would not return otherwise */
        for (int i = 0; i < 64; i++)
            assert_int_equal(atomic_load(&l.mine[i]), 1);
        run_and_check(p, &shared_work, 100); /* without the worker */
        atomic_store(&l.over, 1);
        hone_pool_drain(p);
        while (!atomic_load(&l.lost) && !atomic_load(&l.kept))
            sched_yield();
        assert_int_equal(atomic_load(&l.kept), 0);
        run_and_check(p, &shared_work, 100);
    }
    hone_pool_close(p);
}

/* What is lent and finished in time counts, once. */
static void lend_and_count(void *arg, size_t item, int thread)
{
    hone_pool *p = ((void **)arg)[0];
    hone_pool_lend(p, item, thread);
    if (item % 7 == 0)
        usleep(200);
    if (hone_pool_reclaim(p, thread))
        count(((void **)arg)[1], item, thread);
}

static void what_is_lent_is_done_once(void **state)
{
    (void)state;
    hone_pool *p;
    assert_int_equal(hone_pool_open(3, NULL, &p), HONE_OK);
    for (int run = 0; run < 200; run++) {
        void *arg[2] = {p, &shared_work};
        memset(&shared_work, 0, sizeof shared_work);
        shared_work.threads = 3;
        hone_pool_run(p, lend_and_count, arg, 40);
        for (size_t i = 0; i < 40; i++)
            assert_int_equal(atomic_load(&shared_work.taken[i]), 1);
    }
    hone_pool_close(p);
}

static _Atomic int started;

static void on_start(void)
{
    atomic_fetch_add(&started, 1);
}

static void every_worker_but_not_the_caller_runs_on_start(void **state)
{
    (void)state;
    hone_pool *p;
    atomic_store(&started, 0);
    assert_int_equal(hone_pool_open(4, on_start, &p), HONE_OK);
    hone_pool_close(p);
    assert_int_equal(atomic_load(&started), 3);
}

static void a_run_allocates_nothing(void **state)
{
    (void)state;
    hone_pool *p;
    assert_int_equal(hone_pool_open(2, NULL, &p), HONE_OK);
    uint64_t before = hone_mem_count();
    for (int i = 0; i < 50; i++)
        hone_pool_run(p, count, &shared_work, 100);
    assert_true(hone_mem_count() == before);
    hone_pool_close(p);
}

static void wrong_numbers_of_threads_and_no_memory_are_refused(void **state)
{
    (void)state;
    hone_pool *p;
    assert_int_equal(hone_pool_open(-1, NULL, &p), HONE_USAGE);
    assert_int_equal(hone_pool_open(100000, NULL, &p), HONE_USAGE);
    hone_mem_fail_after(0);
    assert_int_equal(hone_pool_open(2, NULL, &p), HONE_MEMORY);
    hone_mem_fail_after(-1);
    assert_null(p);
}

static void zero_threads_means_the_cpus_allowed(void **state)
{
    (void)state;
    hone_pool *p;
    assert_int_equal(hone_pool_open(0, NULL, &p), HONE_OK);
    assert_int_equal(hone_pool_threads(p), hone_threads_default());
    assert_true(hone_threads_default() >= 1);
    hone_pool_close(p);
}

static void by_default_a_large_machine_gets_as_many_threads_as_a_pool_takes(void **state)
{
    (void)state;
    masked = 768;
    assert_int_equal(hone_cpus_allowed(), 768);
    assert_int_equal(hone_threads_default(), HONE_THREADS_MAX);
    masked = 3;
    assert_int_equal(hone_threads_default(), 3);
    masked = 0;
}

static void the_log_holds_every_item_once_and_in_the_order_of_time(void **state)
{
    (void)state;
    enum { RUNS = 300, ITEMS = 40, THREADS = 3 };
    work *w = hone_calloc(1, sizeof *w);
    hone_pool *p;
    hone_pool_log log, small;
    assert_non_null(w);
    assert_int_equal(hone_pool_open(THREADS, NULL, &p), HONE_OK);
    assert_int_equal(hone_pool_log_open(THREADS, 2 * RUNS, &log), HONE_OK);
    assert_int_equal(hone_pool_log_open(1, RUNS, &small), HONE_OK);
    w->threads = THREADS;
    hone_pool_record(p, &log);
    for (int i = 0; i < RUNS; i++)
        hone_pool_run(p, count, w, ITEMS);
    hone_pool_record(p, &small); /* of too few threads: not taken */
    hone_pool_run(p, count, w, ITEMS);
    assert_int_equal(small.tracks[0].count, 0);
    size_t items = 0, waits = 0;
    for (int t = 0; t < THREADS; t++) {
        uint64_t last = 0;
        assert_int_equal(log.tracks[t].dropped, 0);
        for (size_t i = 0; i < log.tracks[t].count; i++) {
            const hone_pool_mark *m = &log.tracks[t].list[i];
            assert_true(m->begin_ns >= last && m->end_ns >= m->begin_ns);
            last = m->end_ns;
            items += m->items;
            waits += m->items == 0;
            assert_true(t == 0 || m->items > 0);
        }
    }
    assert_int_equal(items, RUNS * ITEMS);
    assert_int_equal(waits, RUNS);
    hone_pool_log_clear(&log);
    assert_int_equal(log.tracks[0].count, 0);
    hone_pool_log_close(&log);
    hone_pool_log_close(&small);
    hone_pool_close(p);
    hone_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_done_once),
        cmocka_unit_test(every_item_is_done_once_under_foreign_load),
        cmocka_unit_test(every_item_is_done_once_whatever_the_delays),
        cmocka_unit_test(what_a_worker_cannot_finish_is_done_by_the_caller),
        cmocka_unit_test(what_is_lent_is_done_once),
        cmocka_unit_test(every_worker_but_not_the_caller_runs_on_start),
        cmocka_unit_test(a_run_allocates_nothing),
        cmocka_unit_test(wrong_numbers_of_threads_and_no_memory_are_refused),
        cmocka_unit_test(zero_threads_means_the_cpus_allowed),
        cmocka_unit_test(by_default_a_large_machine_gets_as_many_threads_as_a_pool_takes),
        cmocka_unit_test(the_log_holds_every_item_once_and_in_the_order_of_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
