#include "train/events.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { HEAD = 12, TAIL = 4 }; /* length and its sum; the data's sum */
static const size_t FILE_MAX = (size_t)1 << 30;

struct hone_events {
    FILE *file;
    char *path;
    double wall_s; /* of the last record */
};

/* ---- records --------------------------------------------------------------------------------- */

uint32_t hone_crc32c(const uint8_t *data, size_t bytes)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static uint8_t *put_sum(uint8_t *to, const uint8_t *data, size_t bytes)
{
    uint32_t crc = hone_crc32c(data, bytes), masked = (crc >> 15 | crc << 17) + 0xa282ead8u;
    for (int i = 0; i < 4; i++)
        *to++ = (uint8_t)(masked >> 8 * i);
    return to;
}

static uint64_t get_bytes(const uint8_t *from, int n)
{
    uint64_t x = 0;
    for (int i = n; i-- > 0;)
        x = x << 8 | from[i];
    return x;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* Wire types (protobuf.dev/programming-guides/encoding): a field begins with number << 3 | type. */
enum { VARINT = 0, EIGHT_BYTES = 1, LENGTH = 2, FOUR_BYTES = 5 };
/* Fields of Event, Summary and Summary.Value */
enum { EVENT_WALL = 1, EVENT_STEP = 2, EVENT_VERSION = 3, EVENT_SUMMARY = 5 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE = 2 };

static uint8_t *put_varint(uint8_t *to, uint64_t x)
{
    for (; x >= 0x80; x >>= 7)
        *to++ = (uint8_t)(x | 0x80);
    *to++ = (uint8_t)x;
    return to;
}

static uint8_t *put_field(uint8_t *to, int field, int type)
{
    return put_varint(to, (uint64_t)(field << 3 | type));
}

static uint8_t *put_fixed(uint8_t *to, const void *value, size_t bytes)
{
    uint64_t x = 0;
    memcpy(&x, value, bytes); /* little-endian, as the machines that hone knows */
    for (size_t i = 0; i < bytes; i++)
        *to++ = (uint8_t)(x >> 8 * i);
    return to;
}

static uint8_t *put_block(uint8_t *to, int field, const void *data, size_t bytes)
{
    to = put_varint(put_field(to, field, LENGTH), bytes);
    memcpy(to, data, bytes);
    return to + bytes;
}

static uint8_t *put_value(uint8_t *to, const hone_event_value *v)
{
    uint8_t one[HONE_EVENT_TAG + 16], *at = one;
    assert(strlen(v->tag) < HONE_EVENT_TAG);
    at = put_block(at, VALUE_TAG, v->tag, strlen(v->tag));
    at = put_fixed(put_field(at, VALUE_SIMPLE, FOUR_BYTES), &v->value, sizeof v->value);
    return put_block(to, SUMMARY_VALUE, one, (size_t)(at - one));
}

size_t hone_event_encode(double wall_s, uint64_t step, const hone_event_value *v, size_t n,
                         uint8_t out[HONE_EVENT_BYTES])
{
    static const char version[] = "brain.Event:2";
    uint8_t summary[HONE_EVENT_VALUES * (HONE_EVENT_TAG + 20)], *end = summary, *at = out + HEAD;
    assert(n <= HONE_EVENT_VALUES);
    at = put_fixed(put_field(at, EVENT_WALL, EIGHT_BYTES), &wall_s, sizeof wall_s);
    if (step)
        at = put_varint(put_field(at, EVENT_STEP, VARINT), step);
    for (size_t i = 0; i < n; i++)
        end = put_value(end, &v[i]);
    at = n ? put_block(at, EVENT_SUMMARY, summary, (size_t)(end - summary))
           : put_block(at, EVENT_VERSION, version, sizeof version - 1);
    uint64_t bytes = (uint64_t)(at - out) - HEAD;
    put_fixed(out, &bytes, sizeof bytes);
    put_sum(out + 8, out, 8);
    at = put_sum(at, out + HEAD, bytes);
    return (size_t)(at - out);
}

/* The step of a message that hone_event_encode made; 0 where it is not given. */
static uint64_t step_of(const uint8_t *data, size_t bytes)
{
    uint64_t step = 0;
    size_t at = 9; /* after the wall time */
    if (bytes <= at || data[at] != (EVENT_STEP << 3 | VARINT))
        return 0;
    for (unsigned shift = 0; shift < 64 && ++at < bytes; shift += 7) {
        step |= (uint64_t)(data[at] & 0x7f) << shift;
        if (!(data[at] & 0x80))
            break;
    }
    return step;
}

size_t hone_events_keep(const uint8_t *data, size_t bytes, uint64_t steps)
{
    size_t at = 0;
    uint8_t sum[4];
    while (bytes - at >= HEAD + TAIL) {
        uint64_t n = get_bytes(data + at, 8);
        put_sum(sum, data + at, 8);
        if (memcmp(sum, data + at + 8, 4) != 0 || n > bytes - at - HEAD - TAIL)
            break;
        put_sum(sum, data + at + HEAD, n);
        if (memcmp(sum, data + at + HEAD + n, 4) != 0 || step_of(data + at + HEAD, n) > steps)
            break;
        at += HEAD + n + TAIL;
    }
    return at;
}

/* ---- the file -------------------------------------------------------------------------------- */

static hone_status write_record(hone_events *e, uint64_t step, const hone_event_value *v, size_t n)
{
    uint8_t record[HONE_EVENT_BYTES];
    double now = hone_clock_wall_s();
    e->wall_s = now > e->wall_s ? now : e->wall_s;
    size_t bytes = hone_event_encode(e->wall_s, step, v, n, record);
    if (fwrite(record, 1, bytes, e->file) != bytes)
        return hone_fail(HONE_DISK, "%s cannot be written", e->path);
    return HONE_OK;
}

static hone_status open_file(hone_events *e, const char *folder, uint64_t steps)
{
    char *text = NULL;
    size_t bytes = 0;
    e->path = hone_path_join(folder, HONE_EVENTS_NAME);
    if (!e->path)
        return hone_fail_memory(strlen(folder), "a path");
    HONE_TRY(hone_read_member(folder, HONE_EVENTS_NAME, FILE_MAX, &text, &bytes));
    size_t keep = text ? hone_events_keep((const uint8_t *)text, bytes, steps) : 0;
    hone_status s = hone_write_file(e->path, text ? text : "", keep);
    hone_free(text);
    HONE_TRY(s);
    e->file = fopen(e->path, "ae");
    if (!e->file)
        return hone_fail(HONE_DISK, "%s: cannot be opened", e->path);
    return keep ? HONE_OK : write_record(e, 0, NULL, 0);
}

hone_status hone_events_open(const char *folder, uint64_t steps, hone_events **out)
{
    *out = NULL;
    hone_events *e = hone_calloc(1, sizeof *e);
    if (!e)
        return hone_fail_memory(sizeof *e, "an event file");
    hone_status s = open_file(e, folder, steps);
    if (s == HONE_OK)
        *out = e;
    else
        hone_events_close(e);
    return s;
}

void hone_events_close(hone_events *e)
{
    if (!e)
        return;
    if (e->file)
        (void)fclose(e->file);
    hone_free(e->path);
    hone_free(e);
}

hone_status hone_events_add(hone_events *e, uint64_t step, const hone_event_value *v, size_t n)
{
    return n ? write_record(e, step, v, n) : HONE_OK;
}

hone_status hone_events_flush(hone_events *e)
{
    return fflush(e->file) == 0 ? HONE_OK : hone_fail(HONE_DISK, "%s cannot be written", e->path);
}
