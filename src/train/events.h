/*
 * events - a run's curves in the files that TensorBoard reads: records (length, masked CRC-32C of
 * it, data, masked CRC-32C of that; TFRecord) of Event messages in Protocol Buffers' encoding.
 *
 * One file, events.out.tfevents.0.hone, to which records are added. A run that goes on keeps the
 * whole records up to the step that it goes on from, so that no step is there twice.
 *
 * Wall time is only shown: where the clock fails it is 0, and it never falls.
 *
 * Ownership: an events owns its file. Threading: one thread.
 */
#ifndef HONE_TRAIN_EVENTS_H
#define HONE_TRAIN_EVENTS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define HONE_EVENTS_NAME "events.out.tfevents.0.hone"
enum { HONE_EVENT_VALUES = 8, HONE_EVENT_TAG = 48, HONE_EVENT_BYTES = 1024 };

typedef struct hone_event_value {
    const char *tag; /* "train/loss"; shorter than HONE_EVENT_TAG */
    float value;
} hone_event_value;

typedef struct hone_events hone_events;

/* The file in `folder`, with what it has of steps up to `steps`. What is damaged, and all after it,
 * is left out. Errors: DISK, PERMISSION, MEMORY. */
HONE_CHECKED hone_status hone_events_open(const char *folder, uint64_t steps, hone_events **out);
void hone_events_close(hone_events *e); /* NULL is fine */
/* The values of a step, at most HONE_EVENT_VALUES. Errors: DISK. */
HONE_CHECKED hone_status hone_events_add(hone_events *e, uint64_t step, const hone_event_value *v,
                                         size_t n);
HONE_CHECKED hone_status hone_events_flush(hone_events *e);

/* One record; n 0: the one that a file begins with. Returns its bytes. */
size_t hone_event_encode(double wall_s, uint64_t step, const hone_event_value *v, size_t n,
                         uint8_t out[HONE_EVENT_BYTES]);
/* How many of the bytes are whole records of steps up to `steps`. */
size_t hone_events_keep(const uint8_t *data, size_t bytes, uint64_t steps);
uint32_t hone_crc32c(const uint8_t *data, size_t bytes); /* RFC 3720 */

#endif
