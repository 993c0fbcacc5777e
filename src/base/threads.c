#include "base/threads.h"

#include "base/clock.h"
#include "base/mem.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GATE_CLOSED ((uint64_t)1 << 31)
#define GATE_COUNT  (GATE_CLOSED - 1)

/* LONG_WAIT_NS: what a caller waits for others only if one of them is kept off its CPU.
 * CAREFUL_RUNS: for so many runs after that the same is expected again. */
enum { SPIN_ROUNDS = 2000, LONG_WAIT_NS = 300000, CAREFUL_RUNS = 4096 };
#define TAKEN_BACK UINT64_MAX

/* Items [begin, end) that a thread has before it, begin in the upper half of `range`. */
typedef struct worker {
    _Alignas(64) _Atomic uint64_t range;
    _Atomic uint64_t lent; /* the item that it lends out, plus 1; 0; or TAKEN_BACK */
    bool lost;             /* what it lent was taken back: it is no longer inside the run */
    struct hone_pool *pool;
    pthread_t thread;
    int index;
} worker;

/* Each thread begins with a range of its own, one after the other, so that it reads memory in one
 * stream (what a kernel asks for ahead is what the same thread will need); who is through takes
 * half of what the slowest has left.
 *
 * A run is published by setting `gate` and bumping `epoch`. A worker enters a run through the gate,
 * if it still is open; the caller closes it when no item is left and waits only for those inside.
 * So a worker that a foreign thread keeps off its CPU delays nobody, and none meets a later run's
 * items with an earlier run's function. gate: bits 63..32 the epoch, bit 31 closed, bits 30..0 the
 * workers inside. */
struct hone_pool {
    int threads, sharers; /* holders but one */
    int careful;          /* runs for which workers are expected to be kept off their CPUs */
    void (*on_start)(void);
    hone_pool_fn *fn;
    void *arg;
    hone_pool_log *log; /* or NULL; changed between runs only */
    _Alignas(64) _Atomic uint32_t epoch;
    _Atomic int sleeping;
    _Alignas(64) _Atomic uint64_t gate;
    _Atomic uint32_t emptied; /* bumped by the last worker to leave a closed gate */
    _Atomic bool stop;
    worker workers[];
};

static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void note(hone_pool_log *log, int thread, uint64_t begin_ns, uint32_t items)
{
    hone_pool_track *t = &log->tracks[thread];
    if (t->count == log->capacity)
        t->dropped++;
    else
        t->list[t->count++] = (hone_pool_mark){begin_ns, hone_clock_ns(), items};
}

static uint64_t range(uint64_t begin, uint64_t end)
{
    return begin << 32 | end;
}

static uint32_t left(uint64_t r)
{
    return (uint32_t)r - (uint32_t)(r >> 32);
}

/* The next item of a thread's own range */
static bool take(worker *w, uint32_t *item)
{
    uint64_t r = atomic_load_explicit(&w->range, memory_order_relaxed);
    while (left(r)) {
        *item = (uint32_t)(r >> 32);
        if (atomic_compare_exchange_weak_explicit(&w->range, &r, range(*item + 1, (uint32_t)r),
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
    return false;
}

/* Out of items: the second half of what the thread with the most still has. No range comes back
 * once it was cut, so that a comparison with what was read is enough. */
static bool steal(hone_pool *p, worker *w)
{
    for (;;) {
        worker *from = NULL;
        uint64_t most = 0;
        for (int i = 0; i < p->threads; i++) {
            uint64_t r = atomic_load_explicit(&p->workers[i].range, memory_order_relaxed);
            if (left(r) > left(most))
                most = r, from = &p->workers[i];
        }
        if (!from)
            return false;
        uint32_t end = (uint32_t)most, middle = end - (left(most) + 1) / 2;
        if (atomic_compare_exchange_strong_explicit(&from->range, &most, range(most >> 32, middle),
                                                    memory_order_relaxed, memory_order_relaxed)) {
            atomic_store_explicit(&w->range, range(middle, end), memory_order_relaxed);
            return true;
        }
    }
}

static void work(hone_pool *p, int thread)
{
    hone_pool_log *log = p->log;
    worker *w = &p->workers[thread];
    uint64_t begin = log ? hone_clock_ns() : 0;
    uint32_t taken = 0, item;
    do
        for (; take(w, &item); taken++) {
            p->fn(p->arg, item, thread);
            if (w->lost)
                return;
        }
    while (steal(p, w));
    if (log && taken)
        note(log, thread, begin, taken);
}

static bool enter(hone_pool *p, uint32_t epoch)
{
    uint64_t g = atomic_load_explicit(&p->gate, memory_order_acquire);
    while ((uint32_t)(g >> 32) == epoch && !(g & GATE_CLOSED))
        if (atomic_compare_exchange_weak(&p->gate, &g, g + 1))
            return true;
    return false;
}

static void leave(hone_pool *p)
{
    uint64_t g = atomic_fetch_sub(&p->gate, 1);
    if ((g & GATE_CLOSED) && (g & GATE_COUNT) == 1) {
        atomic_fetch_add(&p->emptied, 1);
        futex_wake(&p->emptied);
    }
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    hone_pool *p = w->pool;
    if (p->on_start)
        p->on_start();
    uint32_t seen = 0;
    for (;;) {
        uint32_t now = atomic_load_explicit(&p->epoch, memory_order_acquire);
        for (int i = 0; now == seen && i < SPIN_ROUNDS; i++) {
            relax();
            now = atomic_load_explicit(&p->epoch, memory_order_acquire);
        }
        while (now == seen) {
            atomic_fetch_add(&p->sleeping, 1);
            if (atomic_load(&p->epoch) == seen)
                futex_wait(&p->epoch, seen);
            atomic_fetch_sub(&p->sleeping, 1);
            now = atomic_load_explicit(&p->epoch, memory_order_acquire);
        }
        seen = now;
        if (atomic_load_explicit(&p->stop, memory_order_acquire))
            return NULL;
        if (enter(p, now)) {
            work(p, w->index);
            if (!w->lost)
                leave(p);
            w->lost = false;
        }
    }
}

int hone_cpus_allowed(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

int hone_threads_default(void)
{
    int n = hone_cpus_allowed();
    return n < HONE_THREADS_MAX ? n : HONE_THREADS_MAX;
}

/* Opens the gate for the next epoch, makes the workers see it, and wakes those that sleep. */
static void publish(hone_pool *p)
{
    uint64_t next = (uint64_t)(atomic_load(&p->epoch) + 1) & UINT32_MAX;
    atomic_store(&p->gate, next << 32);
    atomic_store(&p->epoch, (uint32_t)next);
    if (atomic_load(&p->sleeping) > 0)
        futex_wake(&p->epoch);
}

hone_status hone_pool_open(int threads, void (*on_start)(void), hone_pool **out)
{
    *out = NULL;
    if (threads == 0)
        threads = hone_threads_default();
    if (threads < 1 || threads > HONE_THREADS_MAX)
        return hone_fail(HONE_USAGE, "%d threads: give 1 to %d", threads, HONE_THREADS_MAX);
    size_t bytes = sizeof(hone_pool) + (size_t)threads * sizeof(worker);
    hone_pool *p = hone_alloc_big(bytes);
    if (!p)
        return hone_fail_memory(bytes, "a thread pool");
    p->on_start = on_start;
    p->threads = 1;
    /* Signals are the caller's business, but those of a fault belong to the thread that caused it:
     * blocked they would end the program past any handler. */
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
    sigset_t others, old;
    sigfillset(&others);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&others, faults[i]);
    pthread_sigmask(SIG_SETMASK, &others, &old);
    int err = 0;
    for (int i = 1; i < threads && !err; i++) {
        p->workers[i] = (worker){.pool = p, .index = i};
        err = pthread_create(&p->workers[i].thread, NULL, worker_main, &p->workers[i]);
        if (!err)
            p->threads = i + 1;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err) {
        hone_pool_close(p);
        return hone_fail_errno(err, "cannot start %d threads", threads);
    }
    *out = p;
    return HONE_OK;
}

void hone_pool_close(hone_pool *p)
{
    if (!p || p->sharers-- > 0)
        return;
    atomic_store(&p->stop, true);
    publish(p);
    int threads = p->threads;
    for (int i = 1; i < threads; i++)
        pthread_join(p->workers[i].thread, NULL);
    hone_free_big(p, sizeof(hone_pool) + (size_t)threads * sizeof(worker));
}

hone_pool *hone_pool_share(hone_pool *p)
{
    p->sharers++;
    return p;
}

int hone_pool_threads(const hone_pool *p)
{
    return p->threads;
}

/* Does an item that a worker has lent and does not come to finish; the worker then is not inside
 * any more. Behind that item there may be others in its range: a thief cuts another's range first
 * and fills its own then, so that the caller can find all ranges empty in between. They are the
 * caller's too. The worker takes none of them, nor any of a later run's: it leaves work() when it
 * finds the item gone (`lost`). Others that are still inside may, by the same comparisons. */
static bool take_back(hone_pool *p)
{
    for (int i = 1; i < p->threads; i++) {
        uint64_t item = atomic_load(&p->workers[i].lent);
        if (!item || item == TAKEN_BACK ||
            !atomic_compare_exchange_strong(&p->workers[i].lent, &item, TAKEN_BACK))
            continue;
        atomic_fetch_sub(&p->gate, 1);
        p->fn(p->arg, (size_t)(item - 1), 0);
        for (uint32_t more; take(&p->workers[i], &more);)
            p->fn(p->arg, more, 0);
        p->careful = CAREFUL_RUNS;
        return true;
    }
    return false;
}

static void close_gate(hone_pool *p)
{
    uint64_t g = atomic_fetch_or(&p->gate, GATE_CLOSED);
    for (int i = 0; (g & GATE_COUNT) && i < SPIN_ROUNDS; i++) {
        relax();
        g = atomic_load_explicit(&p->gate, memory_order_acquire);
    }
    if (!(g & GATE_COUNT))
        return;
    uint64_t begin = hone_clock_ns();
    for (;;) {
        uint32_t seen = atomic_load(&p->emptied);
        if (!(atomic_load(&p->gate) & GATE_COUNT))
            break;
        if (!take_back(p))
            futex_wait(&p->emptied, seen);
    }
    if (hone_clock_ns() - begin > LONG_WAIT_NS)
        p->careful = CAREFUL_RUNS;
}

bool hone_pool_careful(const hone_pool *p)
{
#if defined(__SANITIZE_THREAD__) /* who was taken an item from still reads what others write */
    (void)p;
    return false;
#else
    return p->careful > 0;
#endif
}

void hone_pool_lend(hone_pool *p, size_t item, int thread)
{
    if (thread > 0)
        atomic_store(&p->workers[thread].lent, (uint64_t)item + 1);
}

bool hone_pool_reclaim(hone_pool *p, int thread)
{
    worker *w = &p->workers[thread];
    uint64_t item = atomic_load(&w->lent);
    if (thread == 0 || (item != TAKEN_BACK && atomic_compare_exchange_strong(&w->lent, &item, 0)))
        return true;
    w->lost = true;
    atomic_store(&w->lent, 0);
    return false;
}

void hone_pool_drain(const hone_pool *p)
{
    for (int i = 1; i < p->threads; i++)
        while (atomic_load(&p->workers[i].lent) == TAKEN_BACK)
            sched_yield();
}

void hone_pool_run(hone_pool *p, hone_pool_fn *fn, void *arg, size_t items)
{
    if (p->threads == 1 || items <= 1 ||
        items > UINT32_MAX) { /* a range has 32 bits for each end */
        for (size_t i = 0; i < items; i++)
            fn(arg, i, 0);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    p->careful -= p->careful > 0;
    for (size_t i = 0, n = (size_t)p->threads; i < n; i++)
        atomic_store_explicit(&p->workers[i].range, range(items * i / n, items * (i + 1) / n),
                              memory_order_relaxed);
    publish(p);
    work(p, 0);
    uint64_t begin = p->log ? hone_clock_ns() : 0;
    close_gate(p);
    if (p->log)
        note(p->log, 0, begin, 0);
}

/* ---- the log ----------------------------------------------------------------------------------
 */

hone_status hone_pool_log_open(int threads, size_t capacity, hone_pool_log *out)
{
    *out = (hone_pool_log){.threads = threads, .capacity = capacity};
    size_t n = (size_t)threads;
    out->tracks = hone_alloc_big(n * sizeof *out->tracks);
    for (size_t t = 0; out->tracks && t < n; t++) {
        out->tracks[t].list = hone_calloc(capacity, sizeof(hone_pool_mark));
        if (!out->tracks[t].list) {
            hone_pool_log_close(out);
            break;
        }
    }
    return out->tracks ? HONE_OK
                       : hone_fail_memory(n * capacity * sizeof(hone_pool_mark), "a threads' log");
}

void hone_pool_log_clear(hone_pool_log *log)
{
    for (int t = 0; t < log->threads; t++)
        log->tracks[t].count = log->tracks[t].dropped = 0;
}

void hone_pool_log_close(hone_pool_log *log)
{
    for (int t = 0; log->tracks && t < log->threads; t++)
        hone_free(log->tracks[t].list);
    hone_free_big(log->tracks, (size_t)log->threads * sizeof *log->tracks);
    *log = (hone_pool_log){0};
}

void hone_pool_record(hone_pool *p, hone_pool_log *log)
{
    p->log = log && log->threads >= p->threads ? log : NULL;
}
