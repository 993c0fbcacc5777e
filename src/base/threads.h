/*
 * threads - the pool that a step's work is spread over.
 *
 * hone_pool_run() gives the caller and each worker a range of the items; who is through takes half
 * of what the slowest has left, so that a foreign busy thread costs at most its share. Between runs
 * a worker spins for a few microseconds and then sleeps on a futex. Worker threads have the
 * floating-point mode that `on_start` sets (flush-to-zero, AMX tile permission); the caller sets
 * its own.
 *
 * Invariants: results must not depend on which thread takes an item. One run at a time per pool;
 * run is called by one thread. Nothing is allocated after hone_pool_open.
 */
#ifndef HONE_BASE_THREADS_H
#define HONE_BASE_THREADS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HONE_THREADS_MAX = 512 }; /* of a pool */

typedef struct hone_pool hone_pool;

/* fn(arg, item, thread): item in [0, items), thread in [0, hone_pool_threads). */
typedef void hone_pool_fn(void *arg, size_t item, int thread);

/* threads counts the caller: 1 makes no worker; 0 = hone_threads_default(). */
HONE_CHECKED hone_status hone_pool_open(int threads, void (*on_start)(void), hone_pool **out);
void hone_pool_close(hone_pool *p); /* NULL is fine; the last holder's ends the threads */
/* One more holder, who closes it too; all of them belong to one thread. */
hone_pool *hone_pool_share(hone_pool *p);
int hone_pool_threads(const hone_pool *p);
/* More than 2^32 - 1 items are done by the caller alone. */
void hone_pool_run(hone_pool *p, hone_pool_fn *fn, void *arg, size_t items);

/* A worker that a foreign thread keeps off its CPU in the middle of an item delays the whole run.
 * An item may therefore be lent: from then on it touches nothing that the caller frees or that
 * others rely on but memory of its thread's own, so that the caller, tired of waiting, can do the
 * item itself. reclaim ends that; false: the caller has done it, may be runs ahead, and what was
 * computed is void: return at once. Thread 0 always reclaims. careful: whether it is worth the
 * trouble, that is, whether workers were missed lately. */
bool hone_pool_careful(const hone_pool *p);
void hone_pool_lend(hone_pool *p, size_t item, int thread);
HONE_CHECKED bool hone_pool_reclaim(hone_pool *p, int thread);
/* Between runs: waits for those who still compute something void. Before anything is freed that
 * lent items read. */
void hone_pool_drain(const hone_pool *p);

/* What the threads did, for a profile: a mark for each run that a thread took items of, and one of
 * 0 items for the time that the caller waited for the others. Marks are in the order of time. Work
 * that the caller does alone (one thread, or one item) leaves none. */
typedef struct hone_pool_mark {
    uint64_t begin_ns, end_ns;
    uint32_t items; /* 0: waiting */
} hone_pool_mark;

typedef struct hone_pool_track {
    _Alignas(64) hone_pool_mark *list; /* capacity of the log */
    size_t count, dropped;
} hone_pool_track;

typedef struct hone_pool_log {
    hone_pool_track *tracks; /* [threads]; 0 is the caller's */
    int threads;
    size_t capacity; /* marks of each thread */
} hone_pool_log;

HONE_CHECKED hone_status hone_pool_log_open(int threads, size_t capacity, hone_pool_log *out);
void hone_pool_log_clear(hone_pool_log *log);
void hone_pool_log_close(hone_pool_log *log);
/* Between runs: marks go to the log (of at least as many threads) from now on; NULL stops. The log
 * may be read between runs. */
void hone_pool_record(hone_pool *p, hone_pool_log *log);

/* CPUs of this process's affinity mask. */
int hone_cpus_allowed(void);
/* A thread for each of them, HONE_THREADS_MAX at most. */
int hone_threads_default(void);

#endif
