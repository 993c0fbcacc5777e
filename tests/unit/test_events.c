// links: train
/* Event files against TensorBoard's own (tests/golden/make_events.py) and the check values of
 * CRC-32C (RFC 3720, B.4); what a run that goes on keeps of a file, whatever became of it. */
#include "base/io.h"
#include "base/mem.h"
#include "train/events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../folder.h"

static const uint64_t golden_steps[] = {1, 127, 128, 300, 5000000000};
enum { GOLDEN_STEPS = sizeof golden_steps / sizeof *golden_steps };

static void checksums_are_those_of_the_rfc(void **state)
{
    (void)state;
    uint8_t data[32];
    assert_int_equal(hone_crc32c((const uint8_t *)"123456789", 9), 0xe3069283);
    memset(data, 0, sizeof data);
    assert_int_equal(hone_crc32c(data, 32), 0x8a9136aa);
    memset(data, 0xff, sizeof data);
    assert_int_equal(hone_crc32c(data, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        data[i] = (uint8_t)i;
    assert_int_equal(hone_crc32c(data, 32), 0x46dd794e);
}

static char *golden(size_t *bytes)
{
    char *text;
    const char *path = HONE_SOURCE_DIR "/tests/golden/data/events.tfevents";
    assert_int_equal(hone_read_file(path, 1 << 16, &text, bytes), HONE_OK);
    return text;
}

static void files_have_the_bytes_of_tensorboard(void **state)
{
    (void)state;
    size_t bytes, at = 0;
    char *want = golden(&bytes);
    uint8_t out[HONE_EVENT_BYTES];
    for (int i = -1; i < GOLDEN_STEPS; i++) {
        double step = i < 0 ? 0 : (double)golden_steps[i];
        const hone_event_value v[] = {{"train/loss", (float)(8.5 / step)},
                                      {"validation/loss", (float)step}};
        size_t n = hone_event_encode(1700000000.25 + step, (uint64_t)step, v, i < 0 ? 0 : 2, out);
        assert_true(n <= bytes - at);
        assert_memory_equal(out, want + at, n);
        at += n;
        assert_int_equal(hone_events_keep((uint8_t *)want, bytes, (uint64_t)step), at);
    }
    assert_int_equal(at, bytes);
    hone_free(want);
}

static void damage_costs_what_comes_after_it(void **state)
{
    (void)state;
    size_t bytes, whole = 0;
    char *text = golden(&bytes);
    for (size_t cut = 0; cut <= bytes; cut++) {
        size_t keep = hone_events_keep((uint8_t *)text, cut, UINT64_MAX);
        assert_true(keep <= cut && keep >= whole);
        whole = keep;
    }
    assert_int_equal(whole, bytes);
    for (size_t i = 0; i < bytes; i++) {
        text[i] ^= 0x10;
        assert_true(hone_events_keep((uint8_t *)text, bytes, UINT64_MAX) <= i);
        text[i] ^= 0x10;
    }
    hone_free(text);
}

static void add_steps(uint64_t from, uint64_t to)
{
    hone_events *e;
    assert_int_equal(hone_events_open(folder, from - 1, &e), HONE_OK);
    for (uint64_t step = from; step <= to; step++) {
        const hone_event_value v = {"train/loss", (float)step};
        assert_int_equal(hone_events_add(e, step, &v, 1), HONE_OK);
    }
    assert_int_equal(hone_events_flush(e), HONE_OK);
    hone_events_close(e);
}

/* How much of the file is whole records of steps up to `steps`: all of it, if `whole`. */
static size_t kept(uint64_t steps, bool whole)
{
    char *text;
    size_t bytes;
    assert_int_equal(hone_read_file(in_folder(HONE_EVENTS_NAME), 1 << 16, &text, &bytes), HONE_OK);
    size_t keep = hone_events_keep((uint8_t *)text, bytes, steps);
    hone_free(text);
    assert_true((keep == bytes) == whole);
    return keep;
}

static void a_run_that_goes_on_has_every_step_once(void **state)
{
    (void)state;
    add_steps(1, 20);
    size_t whole = kept(20, true);
    add_steps(11, 20); /* killed after 20, the checkpoint is of 10 */
    assert_int_equal(kept(20, true), whole);
    assert_true(kept(19, false) < whole);
    assert_int_equal(hone_write_file(in_folder(HONE_EVENTS_NAME), "damaged", 7), HONE_OK);
    add_steps(1, 20);
    assert_int_equal(kept(20, true), whole);
}

static void opening_survives_every_failing_allocation(void **state)
{
    (void)state;
    hone_events *e;
    hone_status s = HONE_MEMORY;
    for (int64_t n = 0; s != HONE_OK; n++) {
        assert_true(n < 100);
        hone_mem_fail_after(n);
        s = hone_events_open(folder, 5, &e);
        hone_mem_fail_after(-1);
        assert_true(s == HONE_OK || s == HONE_MEMORY);
    }
    hone_events_close(e);
    assert_int_not_equal(hone_events_open(in_folder("nothing"), 5, &e), HONE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums_are_those_of_the_rfc),
        cmocka_unit_test(files_have_the_bytes_of_tensorboard),
        cmocka_unit_test(damage_costs_what_comes_after_it),
        cmocka_unit_test(a_run_that_goes_on_has_every_step_once),
        cmocka_unit_test(opening_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
