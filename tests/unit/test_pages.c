// links: cache
/* The page pool: reference counts, the bound, prefix matching, eviction. */
#include "cache/pages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void fill(int32_t *tokens, int32_t first)
{
    for (int i = 0; i < HONE_PAGE_POSITIONS; i++)
        tokens[i] = first + i;
}

static void past_the_bound_is_a_clear_error_and_dropping_frees(void **state)
{
    (void)state;
    hone_pages *p;
    int32_t a, b, c;
    assert_int_equal(hone_pages_open(4096, 2, &p), HONE_OK);
    assert_int_equal(hone_pages_take(p, &a), HONE_OK);
    assert_int_equal(hone_pages_take(p, &b), HONE_OK);
    assert_int_not_equal(a, b);
    assert_int_equal(hone_pages_take(p, &c), HONE_MEMORY);
    assert_non_null(strstr(hone_error(), "kv_bytes_max"));
    hone_pages_drop(p, a);
    assert_int_equal(hone_pages_take(p, &c), HONE_OK);
    assert_int_equal(c, a);
    assert_int_equal(hone_pages_held(p), 2);
    hone_pages_close(p);
}

static void a_recycled_page_is_zeroed(void **state)
{
    (void)state;
    hone_pages *p;
    int32_t a;
    assert_int_equal(hone_pages_open(4096, 1, &p), HONE_OK);
    assert_int_equal(hone_pages_take(p, &a), HONE_OK);
    memset(hone_pages_data(p, a), 0xff, 4096);
    hone_pages_drop(p, a);
    assert_int_equal(hone_pages_take(p, &a), HONE_OK);
    const uint8_t *d = hone_pages_data(p, a);
    for (int i = 0; i < 4096; i++)
        assert_int_equal(d[i], 0);
    hone_pages_close(p);
}

static void a_prefix_is_matched_only_under_the_same_parent(void **state)
{
    (void)state;
    hone_pages *p;
    int32_t a, b, t0[HONE_PAGE_POSITIONS], t1[HONE_PAGE_POSITIONS];
    fill(t0, 0);
    fill(t1, 1000);
    assert_int_equal(hone_pages_open(64, 4, &p), HONE_OK);
    assert_int_equal(hone_pages_take(p, &a), HONE_OK);
    assert_int_equal(hone_pages_take(p, &b), HONE_OK);
    assert_int_equal(hone_pages_publish(p, a, HONE_PAGE_NONE, t0), a);
    assert_int_equal(hone_pages_publish(p, b, a, t1), b);
    assert_false(hone_pages_writable(p, a));
    assert_int_equal(hone_pages_match(p, HONE_PAGE_NONE, t0), a);
    assert_int_equal(hone_pages_match(p, a, t1), b);
    assert_int_equal(hone_pages_match(p, HONE_PAGE_NONE, t1), HONE_PAGE_NONE);
    t1[63]++;
    assert_int_equal(hone_pages_match(p, a, t1), HONE_PAGE_NONE);
    hone_pages_close(p);
}

static void equal_pages_become_one(void **state)
{
    (void)state;
    hone_pages *p;
    int32_t a, b, t[HONE_PAGE_POSITIONS];
    fill(t, 5);
    assert_int_equal(hone_pages_open(64, 2, &p), HONE_OK);
    assert_int_equal(hone_pages_take(p, &a), HONE_OK);
    assert_int_equal(hone_pages_take(p, &b), HONE_OK);
    assert_int_equal(hone_pages_publish(p, a, HONE_PAGE_NONE, t), a);
    assert_int_equal(hone_pages_publish(p, b, HONE_PAGE_NONE, t), a);
    assert_int_equal(hone_pages_held(p), 1);
    hone_pages_drop(p, a);
    assert_int_equal(hone_pages_held(p), 1);
    hone_pages_close(p);
}

static void idle_pages_are_evicted_oldest_first_and_their_children_go_stale(void **state)
{
    (void)state;
    hone_pages *p;
    int32_t a, b, c, t0[HONE_PAGE_POSITIONS], t1[HONE_PAGE_POSITIONS];
    fill(t0, 0);
    fill(t1, 100);
    assert_int_equal(hone_pages_open(64, 2, &p), HONE_OK);
    assert_int_equal(hone_pages_take(p, &a), HONE_OK);
    assert_int_equal(hone_pages_take(p, &b), HONE_OK);
    hone_pages_publish(p, a, HONE_PAGE_NONE, t0);
    hone_pages_publish(p, b, a, t1);
    hone_pages_drop(p, a);
    hone_pages_drop(p, b);
    assert_int_equal(hone_pages_held(p), 0);
    assert_int_equal(hone_pages_take(p, &c), HONE_OK);
    assert_int_equal(c, a); /* the oldest */
    assert_int_equal(hone_pages_match(p, HONE_PAGE_NONE, t0), HONE_PAGE_NONE);
    /* Page a now has other content; b must not be found under it. */
    hone_pages_publish(p, c, HONE_PAGE_NONE, t1);
    assert_int_equal(hone_pages_match(p, c, t1), HONE_PAGE_NONE);
    hone_pages_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(past_the_bound_is_a_clear_error_and_dropping_frees),
        cmocka_unit_test(a_recycled_page_is_zeroed),
        cmocka_unit_test(a_prefix_is_matched_only_under_the_same_parent),
        cmocka_unit_test(equal_pages_become_one),
        cmocka_unit_test(idle_pages_are_evicted_oldest_first_and_their_children_go_stale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
