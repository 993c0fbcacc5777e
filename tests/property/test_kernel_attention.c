// links: kernel
/* Attention on every set: the scalar definition's bits, whatever rows share the task and however
 * the context is cut; and a plain double-precision softmax within the rounding of the format. */
#include "base/mem.h"
#include "base/rng.h"
#include "kernel/kernel.h"
#include "kernel/layout.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../support/amx_emulator.h"

enum { POSITIONS = 2300, PAGES = (POSITIONS + 63) / 64, TOKENS_MAX = 40 };

typedef struct setup {
    hone_kv kv;
    size_t group;
    float *k, *v;   /* [POSITIONS][dim] */
    uint8_t *pages; /* [PAGES] */
    const void *table[PAGES];
    float *q; /* [TOKENS_MAX][group][k_dim] */
    int32_t last[TOKENS_MAX], first[TOKENS_MAX];
    int32_t spread; /* tokens see from last - spread on, by `first`; 0 = by the window */
    float softcap;
    size_t head_step; /* as hone_attn's */
    bool uneven;      /* some tokens between the others see four keys only */
} setup;

static void *get(size_t bytes)
{
    void *p = hone_alloc_big(bytes + 64);
    assert_non_null(p);
    return p;
}

static float normal(uint64_t stream, uint64_t i)
{
    double g[2];
    hone_rng_normal2(21, stream, i, g);
    return (float)g[0];
}

static void setup_open(setup *s, hone_kv_format f, size_t k_dim, size_t v_dim, size_t group,
                       hone_isa writer)
{
    *s = (setup){.kv = {f, k_dim, v_dim}, .group = group};
    size_t page = hone_kv_page_bytes(&s->kv);
    assert_int_equal(page % 64, 0);
    s->k = get(POSITIONS * k_dim * 4);
    s->v = get(POSITIONS * v_dim * 4);
    s->pages = get(PAGES * page);
    s->q = get(TOKENS_MAX * group * k_dim * 4);
    for (size_t i = 0; i < TOKENS_MAX * group * k_dim; i++)
        s->q[i] = 2.0f * normal(1, i);
    unsigned mode = hone_fp_mode_enter();
    for (size_t p = 0; p < POSITIONS; p++) {
        for (size_t d = 0; d < k_dim; d++)
            s->k[p * k_dim + d] = normal(2 + p, d);
        for (size_t d = 0; d < v_dim; d++)
            s->v[p * v_dim + d] = normal(20000 + p, d);
        hone_kernels_get(writer)->kv_write(&s->kv, s->pages + p / 64 * page, p % 64,
                                           s->k + p * k_dim, s->v + p * v_dim);
        s->table[p / 64] = s->pages + p / 64 * page;
    }
    hone_fp_mode_leave(mode);
}

static void setup_close(setup *s)
{
    hone_free_big(s->k, POSITIONS * s->kv.k_dim * 4 + 64);
    hone_free_big(s->v, POSITIONS * s->kv.v_dim * 4 + 64);
    hone_free_big(s->pages, PAGES * hone_kv_page_bytes(&s->kv) + 64);
    hone_free_big(s->q, TOKENS_MAX * s->group * s->kv.k_dim * 4 + 64);
}

/* Attention of `tokens` tokens, the first seeing up to position `last`, the others one more each.
 */
static float *run(setup *s, hone_isa isa, size_t first_token, size_t tokens, int32_t last,
                  int32_t window, bool pieces)
{
    const hone_kernels *kt = hone_kernels_get(isa);
    size_t rows = tokens * s->group, sb = hone_attn_scratch_bytes(&s->kv),
           ldo = s->group * s->kv.v_dim;
    float *out = get(tokens * ldo * 4);
    void *scratch = get(sb);
    for (size_t i = 0; i < tokens; i++) {
        s->last[i] = s->uneven && (i % 13 == 5 || i % 13 == 7) ? 3 : last + (int32_t)i;
        s->first[i] = s->last[i] > s->spread ? s->last[i] - s->spread : 0;
    }
    hone_attn t = {.kv = s->kv,
                   .tokens = tokens,
                   .group = s->group,
                   .q = s->q + first_token * s->group * s->kv.k_dim,
                   .ldq = s->group * s->kv.k_dim,
                   .last = s->last,
                   .window = window,
                   .first = s->spread ? s->first : NULL,
                   .softcap = s->softcap,
                   .scale = 1.0f / sqrtf((float)s->kv.k_dim),
                   .pages = s->table,
                   .out = out,
                   .ldo = ldo,
                   .head_step = s->head_step};
    unsigned mode = hone_fp_mode_enter();
    if (!pieces) {
        hone_attention(kt, &t, 0, rows / 2, scratch);
        hone_attention(kt, &t, rows / 2, rows, scratch);
    } else { /* as threads would: every piece by itself, the last first */
        size_t first, end, floats = rows * hone_attn_partial_floats(&s->kv);
        hone_attn_pieces(&t, &first, &end);
        float *parts = get((end - first + 1) * floats * 4);
        for (size_t p = end; p-- > first;)
            kt->attn_piece(&t, 0, rows, p, parts + (p - first) * floats, scratch);
        for (size_t p = first + 1; p < end; p++)
            kt->attn_merge(&t, 0, rows, parts, parts + (p - first) * floats);
        kt->attn_finish(&t, 0, rows, parts);
        hone_free_big(parts, (end - first + 1) * floats * 4 + 64);
    }
    hone_fp_mode_leave(mode);
    assert_int_equal(amx_tiles_held(), 0);
    hone_free_big(scratch, sb + 64);
    return out;
}

static void check_equal(const setup *s, const float *want, const float *got, size_t tokens,
                        const char *what)
{
    for (size_t i = 0; i < tokens * s->group * s->kv.v_dim; i++)
        if (hone_f32_bits(want[i]) != hone_f32_bits(got[i]))
            fail_msg("%s, %s, head %zu/%zu, group %zu: [%zu] is %a, not %a", what,
                     hone_kv_format_name(s->kv.format), s->kv.k_dim, s->kv.v_dim, s->group, i,
                     (double)got[i], (double)want[i]);
}

static void drop(setup *s, float *out, size_t tokens)
{
    hone_free_big(out, tokens * s->group * s->kv.v_dim * 4 + 64);
}

static void check_case(setup *s, size_t tokens, int32_t last, int32_t window)
{
    float *want = run(s, HONE_ISA_SCALAR, 0, tokens, last, window, false);
    for (int isa = 0; isa < HONE_ISA_COUNT; isa++) {
        if (!hone_isa_supported((hone_isa)isa))
            continue;
        float *got = isa ? run(s, (hone_isa)isa, 0, tokens, last, window, false) : NULL;
        if (got) {
            check_equal(s, want, got, tokens, hone_isa_name((hone_isa)isa));
            drop(s, got, tokens);
        }
        got = run(s, (hone_isa)isa, 0, tokens, last, window, true);
        check_equal(s, want, got, tokens, "in pieces");
        drop(s, got, tokens);
        /* a token alone */
        size_t i = tokens / 2;
        got = run(s, (hone_isa)isa, i, 1, last + (int32_t)i, window, false);
        check_equal(s, want + i * s->group * s->kv.v_dim, got, 1, "alone");
        drop(s, got, 1);
    }
    drop(s, want, tokens);
}

static void every_set_equals_scalar(void **state)
{
    (void)state;
    static const size_t shapes[][3] = {
        {64, 64, 4}, {8, 8, 1}, {40, 24, 3}, {96, 80, 2}, {128, 128, 8}};
    for (int f = 0; f < HONE_KV_COUNT; f++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            setup s;
            setup_open(&s, (hone_kv_format)f, shapes[i][0], shapes[i][1], shapes[i][2],
                       HONE_ISA_SCALAR);
            check_case(&s, 1, 0, 0);
            check_case(&s, 1, 62, 0);
            check_case(&s, 1, 1023, 0);
            check_case(&s, 2, 1024, 0);
            check_case(&s, 17, 50, 0);
            check_case(&s, TOKENS_MAX, 1010, 0);
            check_case(&s, 3, 2200, 0);
            check_case(&s, 9, 2201, 100);
            check_case(&s, 5, 1022, 3);
            s.softcap = 0.7f;
            check_case(&s, 9, 1100, 100);
            s.spread = 70;
            check_case(&s, 17, 1020, 0);
            setup_close(&s);
        }
}

/* Of 26 rows, halved: five that see a tile, one that does not, one, one, five. The few in the
 * middle must leave what the five before them expanded to those after them. */
static void rows_that_see_less_change_no_others(void **state)
{
    (void)state;
    for (int f = 0; f < HONE_KV_COUNT; f++) {
        setup s;
        setup_open(&s, (hone_kv_format)f, 16, 48, 1, HONE_ISA_SCALAR);
        s.uneven = true;
        check_case(&s, 26, 100, 0);
        setup_close(&s);
    }
}

/* Tile i of head h is page i * heads + h. */
static void interleave(setup *s, size_t heads, size_t h)
{
    for (size_t i = 0; (i + 1) * heads <= PAGES; i++)
        s->table[i] = s->pages + (i * heads + h) * hone_kv_page_bytes(&s->kv);
}

static void heads_together_equal_heads_apart(void **state)
{
    (void)state;
    enum { HEADS = 3 };
    static const size_t shapes[][3] = {{64, 64, 4}, {40, 24, 3}, {128, 128, 8}, {64, 64, 30}};
    static const int32_t lasts[] = {0, 63, 64, 700}, windows[] = {0, 100};
    for (size_t c = 0; c < 16 * (size_t)HONE_KV_COUNT; c++) {
        const size_t *shape = shapes[c / 4 % 4];
        int32_t last = lasts[c % 4], window = windows[c / 2 % 2];
        setup s;
        setup_open(&s, (hone_kv_format)(c / 16), shape[0], shape[1], shape[2], HONE_ISA_SCALAR);
        for (size_t h = 0; h < HEADS; h++) {
            interleave(&s, HEADS, h);
            s.head_step = 0;
            float *want = run(&s, HONE_ISA_SCALAR, h, 1, last, window, false);
            interleave(&s, HEADS, 0);
            s.head_step = hone_kv_page_bytes(&s.kv);
            for (int isa = 0; isa < 2 * HONE_ISA_COUNT; isa++) {
                if (!hone_isa_supported((hone_isa)(isa / 2)))
                    continue;
                float *got = run(&s, (hone_isa)(isa / 2), 0, HEADS, last, window, isa % 2);
                check_equal(&s, want, got + h * s.group * s.kv.v_dim, 1, "together");
                drop(&s, got, HEADS);
            }
            drop(&s, want, 1);
        }
        setup_close(&s);
    }
}

static void every_set_writes_the_same_pages(void **state)
{
    (void)state;
    for (int f = 0; f < HONE_KV_COUNT; f++)
        for (int isa = 1; isa < HONE_ISA_COUNT; isa++) {
            if (!hone_isa_supported((hone_isa)isa))
                continue;
            setup a, b;
            size_t k = isa % 2 ? 40 : 37, v = isa % 2 ? 24 : 19;
            setup_open(&a, (hone_kv_format)f, k, v, 1, HONE_ISA_SCALAR);
            setup_open(&b, (hone_kv_format)f, k, v, 1, (hone_isa)isa);
            assert_memory_equal(a.pages, b.pages, PAGES * hone_kv_page_bytes(&a.kv));
            setup_close(&a);
            setup_close(&b);
        }
}

static void check_double(setup *s, int32_t last, int32_t window, double tolerance)
{
    size_t kd = s->kv.k_dim, vd = s->kv.v_dim;
    float *got = run(s, hone_isa_best(), 0, 1, last, window, false);
    for (size_t h = 0; h < s->group; h++) {
        double sum = 0, *o = calloc(vd, sizeof *o);
        assert_non_null(o);
        for (int32_t p = window && last >= window ? last - window + 1 : 0; p <= last; p++) {
            double x = 0;
            for (size_t d = 0; d < kd; d++)
                x += (double)s->q[h * kd + d] * (double)s->k[(size_t)p * kd + d];
            x /= sqrt((double)kd);
            x = exp(s->softcap != 0 ? (double)s->softcap * tanh(x / (double)s->softcap) : x);
            sum += x;
            for (size_t d = 0; d < vd; d++)
                o[d] += x * (double)s->v[(size_t)p * vd + d];
        }
        for (size_t d = 0; d < vd; d++)
            assert_true(fabs(o[d] / sum - (double)got[h * vd + d]) < tolerance);
        free(o);
    }
    drop(s, got, 1);
}

static void attention_agrees_with_double_precision(void **state)
{
    (void)state;
    static const double tolerance[HONE_KV_COUNT] = {5e-6, 0.03, 0.06, 0.5, 0.3, 0.6};
    for (int f = 0; f < HONE_KV_COUNT; f++) {
        setup s;
        setup_open(&s, (hone_kv_format)f, 64, 48, 3, HONE_ISA_SCALAR);
        check_double(&s, 0, 0, tolerance[f]);
        check_double(&s, 100, 0, tolerance[f]);
        check_double(&s, 2200, 0, tolerance[f]);
        check_double(&s, 2200, 77, tolerance[f]);
        s.softcap = 1.5f;
        check_double(&s, 2200, 0, tolerance[f]);
        s.spread = 76; /* the same keys as a window of 77 */
        check_double(&s, 2200, 77, tolerance[f]);
        setup_close(&s);
    }
}

static void a_token_that_sees_nothing_gives_zero(void **state)
{
    (void)state;
    setup s;
    setup_open(&s, HONE_KV_BF16, 16, 16, 2, HONE_ISA_SCALAR);
    for (int isa = 0; isa < HONE_ISA_COUNT; isa++) {
        if (!hone_isa_supported((hone_isa)isa))
            continue;
        float *got = run(&s, (hone_isa)isa, 0, 1, -1, 0, false);
        for (size_t i = 0; i < 32; i++)
            assert_true(got[i] == 0.0f);
        drop(&s, got, 1);
    }
    setup_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_equals_scalar),
        cmocka_unit_test(rows_that_see_less_change_no_others),
        cmocka_unit_test(heads_together_equal_heads_apart),
        cmocka_unit_test(every_set_writes_the_same_pages),
        cmocka_unit_test(attention_agrees_with_double_precision),
        cmocka_unit_test(a_token_that_sees_nothing_gives_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
