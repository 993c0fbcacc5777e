// links: cache
/* The page pool: reference counts, the bound, prefix matching, eviction, nodes. */
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
    assert_int_equal(hone_pages_open(4096, 2, 1, &p), HONE_OK);
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
    assert_int_equal(hone_pages_open(4096, 1, 1, &p), HONE_OK);
    assert_int_equal(hone_pages_take(p, &a), HONE_OK);
    memset(hone_pages_data(p, a), 0xff, 4096);
    hone_pages_drop(p, a);
    assert_int_equal(hone_pages_take(p, &a), HONE_OK);
    const uint8_t *d = hone_pages_data(p, a);
    for (int i = 0; i < 4096; i++)
        assert_int_equal(d[i], 0);
    hone_pages_close(p);
}

static int32_t take(hone_pages *p)
{
    int32_t page;
    assert_int_equal(hone_pages_take(p, &page), HONE_OK);
    return page;
}

static void a_prefix_is_found_only_under_the_same_parent(void **state)
{
    (void)state;
    hone_pages *p;
    int32_t t0[HONE_PAGE_POSITIONS], t1[HONE_PAGE_POSITIONS];
    fill(t0, 0);
    fill(t1, 1000);
    assert_int_equal(hone_pages_open(64, 4, 1, &p), HONE_OK);
    int32_t a = take(p), b = take(p);
    int32_t m = hone_pages_publish(p, HONE_PAGE_NONE, t0, &a);
    int32_t n = hone_pages_publish(p, m, t1, &b);
    assert_int_not_equal(m, n);
    assert_false(hone_pages_writable(p, a));
    assert_int_equal(hone_pages_find(p, HONE_PAGE_NONE, t0), m);
    assert_int_equal(hone_pages_find(p, m, t1), n);
    assert_int_equal(hone_pages_of(p, n, 0), b);
    assert_int_equal(hone_pages_find(p, HONE_PAGE_NONE, t1), HONE_PAGE_NONE);
    assert_int_equal(hone_pages_find(p, HONE_PAGE_NONE - 1, t0), HONE_PAGE_NONE); /* other root */
    t1[63]++;
    assert_int_equal(hone_pages_find(p, m, t1), HONE_PAGE_NONE);
    hone_pages_close(p);
}

static void equal_pages_become_one(void **state)
{
    (void)state;
    hone_pages *p;
    int32_t t[HONE_PAGE_POSITIONS];
    fill(t, 5);
    assert_int_equal(hone_pages_open(64, 4, 2, &p), HONE_OK);
    int32_t a[2] = {take(p), take(p)}, b[2] = {take(p), take(p)};
    int32_t n = hone_pages_publish(p, HONE_PAGE_NONE, t, a);
    assert_int_equal(hone_pages_publish(p, HONE_PAGE_NONE, t, b), n);
    assert_int_equal(b[0], a[0]);
    assert_int_equal(b[1], a[1]);
    assert_int_equal(hone_pages_held(p), 2);
    for (int i = 0; i < 2; i++) {
        hone_pages_drop(p, a[i]);
        assert_int_equal(hone_pages_held(p), 2 - i); /* b holds it still */
        hone_pages_drop(p, b[i]);
    }
    assert_int_equal(hone_pages_held(p), 0);
    hone_pages_close(p);
}

/* A table's pages may go while the node and its other pages stay; publishing again fills the gap.
 */
static void idle_pages_are_evicted_oldest_first_and_nodes_do_without(void **state)
{
    (void)state;
    hone_pages *p;
    int32_t t0[HONE_PAGE_POSITIONS], t1[HONE_PAGE_POSITIONS];
    fill(t0, 0);
    fill(t1, 100);
    assert_int_equal(hone_pages_open(64, 4, 2, &p), HONE_OK);
    int32_t a[2] = {take(p), take(p)}, b[2] = {take(p), take(p)};
    int32_t m = hone_pages_publish(p, HONE_PAGE_NONE, t0, a);
    int32_t n = hone_pages_publish(p, m, t1, b);
    hone_pages_drop(p, a[1]);
    int32_t c = take(p);
    assert_int_equal(c, a[1]); /* the only idle one */
    assert_int_equal(hone_pages_of(p, m, 1), HONE_PAGE_NONE);
    assert_int_equal(hone_pages_of(p, m, 0), a[0]);
    assert_int_equal(hone_pages_find(p, m, t1), n);
    /* All of m's pages gone: it stays as the way to n, and goes with it. */
    hone_pages_drop(p, a[0]);
    hone_pages_drop_node(p, m);
    assert_int_equal(take(p), a[0]);
    assert_int_equal(hone_pages_find(p, HONE_PAGE_NONE, t0), m);
    hone_pages_drop_node(p, n);
    hone_pages_drop(p, b[1]);
    hone_pages_drop(p, b[0]);
    assert_int_equal(hone_pages_held(p), 2);
    assert_int_equal(take(p), b[1]);
    assert_int_equal(hone_pages_find(p, m, t1), n);
    assert_int_equal(take(p), b[0]);
    assert_int_equal(hone_pages_find(p, HONE_PAGE_NONE, t0), HONE_PAGE_NONE);
    hone_pages_close(p);
}

static void without_room_for_a_node_pages_stay_the_callers(void **state)
{
    (void)state;
    hone_pages *p;
    int32_t t[HONE_PAGE_POSITIONS], parent = HONE_PAGE_NONE, i = 0;
    assert_int_equal(hone_pages_open(64, 1, 1, &p), HONE_OK);
    for (; i < 100000; i++) { /* a window of one page: nodes without pages add up */
        int32_t page = take(p);
        fill(t, i);
        int32_t node = hone_pages_publish(p, parent, t, &page);
        assert_true(hone_pages_writable(p, page) == (node == HONE_PAGE_NONE));
        hone_pages_drop(p, page);
        if (node == HONE_PAGE_NONE)
            break;
        parent = node;
    }
    assert_true(i > 1 && i < 100000);
    hone_pages_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(past_the_bound_is_a_clear_error_and_dropping_frees),
        cmocka_unit_test(a_recycled_page_is_zeroed),
        cmocka_unit_test(a_prefix_is_found_only_under_the_same_parent),
        cmocka_unit_test(equal_pages_become_one),
        cmocka_unit_test(idle_pages_are_evicted_oldest_first_and_nodes_do_without),
        cmocka_unit_test(without_room_for_a_node_pages_stay_the_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
