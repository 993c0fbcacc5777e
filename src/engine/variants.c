#include "engine/variants.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    K = 2048,
    ROWS_MAX = 64,
    SPAN = 6 << 20, /* of packed weights: more than a core's own caches hold */
    ROUNDS = 5,
    KEYS = 1024,
    HEAD = 64,
    GROUP = 4,
    ATTN_TOKENS = 16
};

/* What an uneven machine may make of equal kernels */
static const double ROWS_GAIN = 1.02, SET_GAIN = 1.05;

/* Steps in rows at which the two ways are compared; a threshold is one of them, or the least. */
static const uint8_t steps[] = {6, 8, 12, 16, 20, 24, 32, 48, 64};
enum { STEPS = sizeof steps / sizeof *steps };

/* ---- the list ------------------------------------------------------------------------------- */

/* Rows of weights of a layout, and of those that are read alike */
typedef struct rows_choice {
    const char *name, *text;
    hone_dtype type;
    hone_layout layouts[4];
    int n;
} rows_choice;

static const rows_choice by_rows[] = {
    {"rows-bf16",
     "rows straight from the codes: bf16",
     HONE_DTYPE_BF16,
     {HONE_LAYOUT_BF16, HONE_LAYOUT_F32},
     2},
    {"rows-int8", "rows straight from the codes: int8", HONE_DTYPE_Q8_0, {HONE_LAYOUT_I8}, 1},
    {"rows-4bit", "rows straight from the codes: 4 bits", HONE_DTYPE_Q4_0, {HONE_LAYOUT_U4}, 1},
    {"rows-planes",
     "rows straight from the codes: 2, 3, 5, 6 bits",
     HONE_DTYPE_Q6_K,
     {HONE_LAYOUT_U2, HONE_LAYOUT_U3, HONE_LAYOUT_U5, HONE_LAYOUT_U6},
     4},
};
enum { BY_ROWS = sizeof by_rows / sizeof *by_rows };

enum { BY_FEW, BY_MANY, BY_ATTENTION, BY_SET };
static const struct {
    const char *name, *text;
} by_set[] = {{"few", "products of one row and of 8"},
              {"many", "products of 64 rows"},
              {"attention", "attention of one token and of 16"}};

static void put_rows(hone_kernels *t, const rows_choice *c, int rows)
{
    for (int i = 0; i < c->n; i++)
        t->few_rows[c->layouts[i]] = (uint8_t)rows;
}

static void put_set(hone_kernels *t, int which, const hone_kernels *from)
{
    if (which == BY_FEW) {
        t->product_few = from->product_few;
    } else if (which == BY_MANY) {
        t->product_many = from->product_many;
        t->tiles_alone = from->tiles_alone;
    } else {
        t->attn_piece = from->attn_piece;
        t->attn_merge = from->attn_merge;
        t->attn_finish = from->attn_finish;
    }
}

/* The table as the list says */
static void apply(hone_variants *v)
{
    v->table = *hone_kernels_get(v->table.isa);
    for (int i = 0; i < BY_ROWS; i++)
        if (v->list[i].chosen != v->list[i].usual)
            put_rows(&v->table, &by_rows[i], v->list[i].chosen);
    for (int i = 0; i < BY_SET; i++)
        put_set(&v->table, i, hone_kernels_get((hone_isa)v->list[BY_ROWS + i].chosen));
}

void hone_variants_usual(hone_isa isa, hone_variants *v)
{
    *v = (hone_variants){.table = *hone_kernels_get(isa), .count = BY_ROWS + BY_SET};
    for (int i = 0; i < BY_ROWS; i++) {
        int rows = v->table.few_rows[by_rows[i].layouts[0]];
        v->list[i] = (hone_variant){by_rows[i].name, by_rows[i].text, false, rows, rows, 0};
    }
    for (int i = 0; i < BY_SET; i++)
        v->list[BY_ROWS + i] =
            (hone_variant){by_set[i].name, by_set[i].text, true, (int)isa, (int)isa, 0};
    snprintf(v->origin, sizeof v->origin, "the usual ones");
}

const char *hone_variant_value(const hone_variant *v, int value, char *buf, size_t size)
{
    if (v->set)
        snprintf(buf, size, "%s", hone_isa_name((hone_isa)value));
    else
        snprintf(buf, size, "%d", value);
    return buf;
}

static bool parse_value(const hone_variant *v, const char *text, int *value)
{
    char *end;
    for (int i = 0; v->set && i <= v->usual; i++)
        if (strcmp(text, hone_isa_name((hone_isa)i)) == 0 && hone_isa_supported((hone_isa)i)) {
            *value = i;
            return true;
        }
    long n = v->set ? 0 : strtol(text, &end, 10);
    if (v->set || end == text || *end || n < HONE_FEW_ROWS || n > UINT8_MAX)
        return false;
    *value = (int)n;
    return true;
}

hone_status hone_variants_force(hone_variants *v, const char *text)
{
    for (const char *at = text; *at;) {
        char name[32] = "", value[32] = "";
        size_t length = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, ":,"), at);
        if (at[strlen(name)] == ':')
            snprintf(value, sizeof value, "%.*s", (int)(length - strlen(name) - 1),
                     at + strlen(name) + 1);
        hone_variant *x = NULL;
        for (size_t i = 0; i < v->count; i++)
            if (strcmp(v->list[i].name, name) == 0)
                x = &v->list[i];
        if (!x || !parse_value(x, value, &x->chosen))
            return hone_fail(
                HONE_USAGE,
                "HONE_VARIANTS: \"%.*s\": give off, fresh, or name:value,... (rows-int8:24,"
                "few:avx2; hone doctor shows the names)",
                (int)length, at);
        x->gain = 0;
        at += length + (at[length] == ',');
    }
    apply(v);
    return HONE_OK;
}

/* ---- the measurement ------------------------------------------------------------------------ */

typedef struct trial {
    uint8_t *memory, *weights; /* [SPAN] */
    size_t bytes, next;        /* next: panel */
    float *x, *y;              /* [ROWS_MAX][K], [ROWS_MAX][columns] */
    void *act, *scratch;
    hone_packed w;
    hone_act a;
    hone_kernels floats; /* whose activations these are */
} trial;

/* CPU time of this thread: what other processes take does not count. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t attention_bytes(hone_kv *kv, size_t *page)
{
    *kv = (hone_kv){.format = HONE_KV_BF16, .k_dim = HEAD, .v_dim = HEAD};
    *page = hone_kv_page_bytes(kv);
    return *page * (KEYS / HONE_KV_PAGE);
}

static hone_status open_trial(const hone_kernels *kt, trial *t)
{
    size_t columns = SPAN / (K / 2); /* of the smallest codes, 4 bits */
    size_t sizes[] = {SPAN, (size_t)ROWS_MAX * K * 4, hone_act_bytes(kt, ROWS_MAX, K, ~0),
                      hone_product_scratch_bytes(), ROWS_MAX * columns * 4};
    size_t at[6] = {0};
    for (int i = 0; i < 5; i++)
        at[i + 1] = at[i] + (sizes[i] + 63) / 64 * 64;
    t->bytes = at[5];
    t->memory = hone_alloc_big(t->bytes);
    if (!t->memory)
        return hone_fail_memory(t->bytes, "measuring kernels");
    t->weights = t->memory;
    t->x = (float *)(void *)(t->memory + at[1]);
    t->act = t->memory + at[2];
    t->scratch = t->memory + at[3];
    t->y = (float *)(void *)(t->memory + at[4]);
    /* Small positive numbers in whatever type: no time depends on more than that. */
    for (size_t i = 0; i < 1 << 16; i += 8) {
        uint64_t r = hone_rng_u64(1, 2, i) & 0x3f3f3f3f3f3f3f3full;
        memcpy(t->weights + i, &r, 8);
    }
    for (size_t i = 1 << 16; i < SPAN; i += 1 << 16)
        memcpy(t->weights + i, t->weights, 1 << 16);
    for (size_t i = 0; i < (size_t)ROWS_MAX * K; i++)
        t->x[i] = (float)(hone_rng_u64(3, 4, i) >> 40) * 0x1p-24f;
    return HONE_OK;
}

/* Weights of a type that fill the span, and activations for them */
static bool set_up(trial *t, const hone_kernels *kt, hone_dtype type, size_t rows)
{
    hone_coding coding = hone_dtype_coding(type);
    hone_layout layout = hone_layout_for(&coding, false);
    if (hone_packed_plan(layout, &coding, 16, K, &t->w) != HONE_OK ||
        hone_packed_plan(layout, &coding, SPAN / t->w.panel_bytes * 16, K, &t->w) != HONE_OK)
        return false;
    t->w.data = t->weights;
    t->next = 0;
    t->floats = *kt; /* for the sets that read no tiles, too */
    t->floats.tiles_alone = 0;
    hone_act_init(&t->floats, rows, K, hone_act_flags(&t->w), t->act, &t->a);
    kt->act_pack(&t->a, t->x, K, 0, rows);
    return true;
}

/* Seconds of one call over the next panels */
static double call(trial *t, hone_product_few_fn *f, size_t rows, size_t panels)
{
    panels = panels < t->w.n_panels ? panels : t->w.n_panels;
    if (t->next + panels > t->w.n_panels)
        t->next = 0;
    double begin = now();
    f(&t->w, &t->a, 0, rows, t->next, t->next + panels, t->y, t->w.n, NULL, t->scratch);
    t->next += panels;
    return now() - begin;
}

/* As the forward step cuts work for many rows */
static size_t panels_for(const hone_kernels *kt, size_t rows)
{
    size_t n = (size_t)2e7 / (2 * HONE_PANEL * K * rows) & ~(size_t)3;
    return n < kt->many_panels ? kt->many_panels : n;
}

/* Seconds of a panel at each step, the two ways in turns, the least of some rounds */
static bool time_rows(const hone_kernels *kt, trial *t, hone_dtype type, double few[STEPS],
                      double many[STEPS])
{
    for (int s = 0; s < STEPS; s++)
        few[s] = many[s] = INFINITY;
    for (int round = 0; round < ROUNDS; round++)
        for (int s = 0; s < STEPS; s++) {
            if (!set_up(t, kt, type, steps[s]))
                return false;
            size_t panels = panels_for(kt, steps[s]);
            few[s] = fmin(few[s], call(t, kt->product_few, steps[s], panels) / (double)panels);
            many[s] = fmin(many[s], call(t, kt->product_many, steps[s], panels) / (double)panels);
        }
    return true;
}

/* What a threshold costs: times over the steps, in those of the quicker way */
static double cost_of_rows(const double few[STEPS], const double many[STEPS], int rows)
{
    double sum = 0;
    for (int s = 0; s < STEPS; s++)
        sum += (steps[s] <= rows ? few[s] : many[s]) / fmin(few[s], many[s]);
    return sum;
}

/* Another threshold than the usual one must be better twice: what is chosen stays for a long time,
 * and a machine may be busy for a moment. */
static void choose_rows(const hone_kernels *kt, trial *t, const rows_choice *c, hone_variant *v)
{
    double few[STEPS], many[STEPS];
    int best = v->usual;
    if (!time_rows(kt, t, c->type, few, many))
        return;
    for (int s = -1; s < STEPS; s++) {
        int rows = s < 0 ? HONE_FEW_ROWS : steps[s];
        if (cost_of_rows(few, many, rows) < cost_of_rows(few, many, best))
            best = rows;
    }
    double gain = cost_of_rows(few, many, v->usual) / cost_of_rows(few, many, best);
    if (gain < ROWS_GAIN || !time_rows(kt, t, c->type, few, many))
        return;
    gain = fmin(gain, cost_of_rows(few, many, v->usual) / cost_of_rows(few, many, best));
    if (gain < ROWS_GAIN)
        return;
    v->chosen = best;
    v->gain = gain;
}

/* Seconds of a product of `rows` rows, over the usual types */
static double time_products(trial *t, hone_product_few_fn *f, const hone_kernels *kt, size_t rows)
{
    static const hone_dtype types[] = {HONE_DTYPE_BF16, HONE_DTYPE_Q8_0, HONE_DTYPE_Q4_0};
    double sum = 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (set_up(t, kt, types[i], rows)) {
            size_t panels =
                rows > HONE_FEW_ROWS ? panels_for(kt, rows) : (1 << 20) / t->w.panel_bytes;
            sum += call(t, f, rows, panels);
        }
    return sum;
}

/* Seconds of attention of `tokens` tokens to KEYS keys, of several KV heads one after the other */
static double time_attention(trial *t, const hone_kernels *kt, size_t tokens)
{
    hone_kv kv;
    size_t page, bytes = attention_bytes(&kv, &page), heads = tokens > 1 ? 1 : SPAN / 2 / bytes;
    const void *pages[KEYS / HONE_KV_PAGE];
    int32_t last[ATTN_TOKENS];
    for (size_t i = 0; i < tokens; i++)
        last[i] = (int32_t)(KEYS - tokens + i);
    double begin = now();
    for (size_t h = 0; h < heads; h++) {
        for (size_t i = 0; i < KEYS / HONE_KV_PAGE; i++)
            pages[i] = t->weights + h * bytes + i * page;
        hone_attn a = {.kv = kv,
                       .tokens = tokens,
                       .group = GROUP,
                       .q = t->x,
                       .ldq = GROUP * HEAD,
                       .last = last,
                       .scale = 0.125f,
                       .pages = pages,
                       .out = t->y,
                       .ldo = GROUP * HEAD};
        hone_attention(kt, &a, 0, tokens * GROUP, t->scratch);
    }
    return now() - begin;
}

static double time_set(trial *t, int which, const hone_kernels *own, const hone_kernels *of)
{
    hone_kernels kt = *own;
    put_set(&kt, which, of);
    if (which == BY_FEW)
        return sqrt(time_products(t, kt.product_few, own, 1) *
                    time_products(t, kt.product_few, own, 8));
    if (which == BY_MANY)
        return time_products(t, kt.product_many, own, 64);
    return sqrt(time_attention(t, &kt, 1) * time_attention(t, &kt, ATTN_TOKENS));
}

static bool same_slot(const hone_kernels *a, const hone_kernels *b, int which)
{
    return which == BY_FEW    ? a->product_few == b->product_few
           : which == BY_MANY ? a->product_many == b->product_many
                              : a->attn_piece == b->attn_piece;
}

/* The set whose kernels are quickest; of weaker ones those that have kernels of their own */
static void choose_set(const hone_kernels *kt, trial *t, int which, hone_variant *v)
{
    double best[HONE_ISA_COUNT];
    for (int i = 0; i < HONE_ISA_COUNT; i++)
        best[i] = INFINITY;
    for (int round = 0; round < ROUNDS; round++)
        for (int i = HONE_ISA_AVX2; i <= v->usual; i++) {
            const hone_kernels *of = hone_kernels_get((hone_isa)i);
            if (hone_isa_supported((hone_isa)i) && (i == v->usual || !same_slot(of, kt, which)))
                best[i] = fmin(best[i], time_set(t, which, kt, of));
        }
    for (int i = HONE_ISA_AVX2; i < v->usual; i++)
        if (best[i] * SET_GAIN < best[v->usual] && best[i] < best[v->chosen]) {
            v->chosen = i;
            v->gain = best[v->usual] / best[i];
        }
}

hone_status hone_variants_measure(hone_isa isa, bool others, hone_variants *v)
{
    hone_variants_usual(isa, v);
    const hone_kernels *kt = hone_kernels_get(isa);
    trial t = {0};
    double begin = now();
    if (isa == HONE_ISA_SCALAR) /* one way of everything */
        return HONE_OK;
    HONE_TRY(open_trial(kt, &t));
    for (size_t i = 0; i < v->count; i++)
        v->list[i].gain = 1;
    unsigned mode = hone_fp_mode_enter();
    for (int i = 0; i < BY_ROWS; i++)
        choose_rows(kt, &t, &by_rows[i], &v->list[i]);
    for (int i = 0; others && i < BY_SET; i++)
        choose_set(kt, &t, i, &v->list[BY_ROWS + i]);
    hone_fp_mode_leave(mode);
    hone_free_big(t.memory, t.bytes);
    apply(v);
    snprintf(v->origin, sizeof v->origin, "measured now, in %.0f ms", 1e3 * (now() - begin));
    return HONE_OK;
}
