// links: engine
/* Kernel variants: chosen, forced, kept; whatever is chosen, the bits are the same. */
#include "base/mem.h"
#include "base/rng.h"
#include "engine/variants.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static hone_variant *named(hone_variants *v, const char *name)
{
    for (size_t i = 0; i < v->count; i++)
        if (strcmp(v->list[i].name, name) == 0)
            return &v->list[i];
    fail_msg("there is no variant %s", name);
    return NULL;
}

static void the_usual_ones_are_the_table_as_it_is(void **state)
{
    (void)state;
    for (int i = 0; i < HONE_ISA_COUNT; i++) {
        hone_variants v;
        if (!hone_isa_supported((hone_isa)i))
            continue;
        hone_variants_usual((hone_isa)i, &v);
        assert_memory_equal(&v.table, hone_kernels_get((hone_isa)i), sizeof v.table);
        for (int l = 0; l < HONE_LAYOUT_COUNT; l++)
            assert_true(v.table.few_rows[l] >= HONE_FEW_ROWS);
    }
}

static void single_ones_can_be_forced_and_nonsense_is_refused(void **state)
{
    (void)state;
    hone_variants v;
    hone_variants_usual(hone_isa_best(), &v);
    assert_int_equal(hone_variants_force(&v, "rows-int8:77,rows-planes:9,few:scalar"), HONE_OK);
    assert_int_equal(v.table.few_rows[HONE_LAYOUT_I8], 77);
    assert_int_equal(v.table.few_rows[HONE_LAYOUT_U5], 9);
    assert_ptr_equal(v.table.product_few, hone_kernels_get(HONE_ISA_SCALAR)->product_few);
    assert_ptr_equal(v.table.product_many, hone_kernels_get(hone_isa_best())->product_many);
    static const char *const wrong[] = {
        "nonsense",    "rows-int8",      "rows-int8:",    "rows-int8:3",
        "rows-int8:x", "rows-int8:300",  "rows-int8:24x", "few:24",
        "few:mmx",     "few:scalar,x:4", "rows-int8=24",  ":"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(hone_variants_force(&v, wrong[i]), HONE_USAGE);
}

static void what_is_kept_comes_back_and_only_on_the_same_machine_and_build(void **state)
{
    (void)state;
    hone_variants v, back;
    hone_variants_usual(hone_isa_best(), &v);
    assert_int_equal(hone_variants_force(&v, "rows-bf16:5"), HONE_OK);
    named(&v, "rows-bf16")->gain = 1.25;
    char *text = hone_variants_to_json(&v);
    assert_non_null(text);
    hone_variants_usual(hone_isa_best(), &back);
    assert_true(hone_variants_from_json(&back, text, strlen(text)));
    assert_int_equal(back.table.few_rows[HONE_LAYOUT_BF16], 5);
    assert_true(named(&back, "rows-bf16")->gain == 1.25);
    assert_memory_equal(&back.table, &v.table, sizeof v.table);

    /* any piece of it missing; then what it holds for, or what it says, changed */
    for (size_t n = 0; n + 1 < strlen(text); n += 7) {
        hone_variants_usual(hone_isa_best(), &back);
        assert_false(hone_variants_from_json(&back, text, n));
        assert_int_equal(back.table.few_rows[HONE_LAYOUT_BF16],
                         hone_kernels_get(hone_isa_best())->few_rows[HONE_LAYOUT_BF16]);
    }
    static const char *const change[][2] = {{"\"kernel\": \"", "X"},    {"\"cpu\": \"", "X"},
                                            {"\"commit\": \"", "X"},    {"\"compiler\": \"", "X"},
                                            {"\"chosen\": \"", "-"},    {"\"set\": \"", "X"},
                                            {"\"cpus_allowed\": ", "9"}};
    for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
        char *other = hone_strdup(text);
        char *at = strstr(other, change[i][0]);
        assert_non_null(at);
        at[strlen(change[i][0])] = change[i][1][0];
        hone_variants_usual(hone_isa_best(), &back);
        bool same = strcmp(other, text) == 0;
        assert_int_equal(hone_variants_from_json(&back, other, strlen(other)), same);
        hone_free(other);
    }
    hone_free(text);
}

static void measuring_chooses_within_what_there_is(void **state)
{
    (void)state;
    hone_variants v;
    assert_int_equal(hone_variants_measure(hone_isa_best(), true, &v), HONE_OK);
    for (size_t i = 0; i < v.count; i++) {
        const hone_variant *x = &v.list[i];
        assert_true(x->gain >= 1);
        assert_true(x->set ? hone_isa_supported((hone_isa)x->chosen)
                           : x->chosen >= HONE_FEW_ROWS && x->chosen <= 48);
        assert_true((x->gain > 1) == (x->chosen != x->usual));
    }
    hone_mem_fail_after(0);
    assert_int_equal(hone_variants_measure(hone_isa_best(), true, &v), HONE_MEMORY);
    hone_mem_fail_after(-1);
    assert_memory_equal(&v.table, hone_kernels_get(hone_isa_best()), sizeof v.table);
}

/* A product by a table, from random weights in a type */
static void product(const hone_kernels *kt, hone_dtype type, size_t rows, float *y)
{
    enum { N = 100, K = 512 };
    hone_packed w;
    hone_act a;
    hone_coding coding = hone_dtype_coding(type);
    assert_int_equal(hone_packed_plan(hone_layout_for(&coding, false), &coding, N, K, &w), HONE_OK);
    size_t bytes = hone_packed_bytes(&w), act_bytes = hone_act_bytes(kt, rows, K, HONE_ACT_SUMS);
    uint8_t *data = hone_alloc_big(bytes), *act = hone_alloc_big(act_bytes);
    void *scratch = hone_alloc_big(hone_product_scratch_bytes());
    float *x = hone_alloc_big(rows * K * sizeof *x);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)hone_rng_u64(7, (uint64_t)type, i) & 0x3f;
    for (size_t i = 0; i < rows * K; i++)
        x[i] = (float)(int32_t)hone_rng_u64(8, 9, i) * 0x1p-31f;
    w.data = data;
    unsigned mode = hone_fp_mode_enter();
    hone_act_init(kt, rows, K, hone_act_flags(&w), act, &a);
    kt->act_pack(&a, x, K, 0, rows);
    hone_product(kt, &w, &a, 0, rows, 0, w.n_panels, y, N, NULL, scratch);
    hone_fp_mode_leave(mode);
    hone_free_big(data, bytes);
    hone_free_big(act, act_bytes);
    hone_free_big(scratch, hone_product_scratch_bytes());
    hone_free_big(x, rows * K * sizeof *x);
}

static void every_choice_gives_the_same_bits(void **state)
{
    (void)state;
    static const hone_dtype types[] = {HONE_DTYPE_BF16, HONE_DTYPE_Q8_0, HONE_DTYPE_Q4_0};
    static const int thresholds[] = {4, 12, 48};
    static float want[64 * 100], got[64 * 100];
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t rows = 1; rows <= 61; rows += 12) {
            product(hone_kernels_get(HONE_ISA_SCALAR), types[t], rows, want);
            for (int isa = 0; isa <= (int)hone_isa_best(); isa++)
                for (size_t h = 0; hone_isa_supported((hone_isa)isa) && h < 3; h++) {
                    char text[128];
                    const char *set = hone_isa_name((hone_isa)isa);
                    hone_variants v;
                    hone_variants_usual(hone_isa_best(), &v);
                    snprintf(text, sizeof text,
                             "few:%s,many:%s,rows-bf16:%d,rows-int8:%d,rows-4bit:%d", set, set,
                             thresholds[h], thresholds[h], thresholds[h]);
                    assert_int_equal(hone_variants_force(&v, text), HONE_OK);
                    product(&v.table, types[t], rows, got);
                    assert_memory_equal(got, want, rows * 100 * sizeof *got);
                }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usual_ones_are_the_table_as_it_is),
        cmocka_unit_test(single_ones_can_be_forced_and_nonsense_is_refused),
        cmocka_unit_test(what_is_kept_comes_back_and_only_on_the_same_machine_and_build),
        cmocka_unit_test(measuring_chooses_within_what_there_is),
        cmocka_unit_test(every_choice_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
