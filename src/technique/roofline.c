#include "technique/rows.h"

#include "dtype/dtype.h"
#include "kernel/kernel.h"

#include <math.h>

double hone_technique_weights(const hone_technique_facts *f, hone_weight_kind kind)
{
    const hone_model_facts *m = &f->model;
    double layers = m->layers, hidden = m->hidden;
    switch (kind) {
    case HONE_WEIGHT_ATTENTION:
        return layers * hidden * m->head_dim * (2.0 * m->heads + 2.0 * m->kv_heads);
    case HONE_WEIGHT_MLP:
        return layers * hidden * m->ffn * (m->plain_mlp ? 2.0 : 3.0);
    default:
        return hidden * m->vocab;
    }
}

/* Share of a kind's weights whose rows a block divides; the engine leaves the others as filed. */
static double divisible(const hone_model_facts *m, hone_weight_kind kind, uint32_t block)
{
    double by_hidden = m->hidden % block == 0, by_ffn = m->ffn % block == 0;
    double heads = (double)m->heads, all = 2.0 * m->heads + 2.0 * m->kv_heads;
    bool by_heads = m->heads * m->head_dim % block == 0;
    switch (kind) {
    case HONE_WEIGHT_ATTENTION: /* the output projection's rows are the heads' */
        return all > 0 ? (by_hidden * (all - heads) + by_heads * heads) / all : 0;
    case HONE_WEIGHT_MLP:
        return m->plain_mlp ? (by_hidden + by_ffn) / 2 : (2 * by_hidden + by_ffn) / 3;
    default:
        return by_hidden;
    }
}

double hone_technique_weight_bytes(const hone_technique_facts *f, const hone_config *c,
                                   hone_weight_kind kind)
{
    double weights = hone_technique_weights(f, kind);
    if (c->compute == HONE_COMPUTE_F32)
        return weights * 4;
    double filed = (double)f->model.packed_kind_bytes[kind];
    if (c->weight_dtype[kind] == HONE_WEIGHT_AS_FILED)
        return filed;
    const hone_dtype_info *d = hone_dtype_describe((hone_dtype)c->weight_dtype[kind]);
    double share = divisible(&f->model, kind, d->block_elements);
    return weights * share * d->block_bytes / d->block_elements + filed * (1 - share);
}

bool hone_technique_codes(const hone_technique_facts *f, const hone_config *c,
                          hone_weight_kind kind)
{
    double weights = hone_technique_weights(f, kind);
    return weights > 0 && hone_technique_weight_bytes(f, c, kind) < 1.5 * weights;
}

double hone_technique_grouped(const hone_technique_facts *f, const hone_config *c,
                              hone_weight_kind kind)
{
    if (!hone_technique_codes(f, c, kind))
        return 0;
    return c->weight_dtype[kind] == HONE_WEIGHT_AS_FILED
               ? fmin((double)f->model.grouped_kind_weights[kind], hone_technique_weights(f, kind))
               : hone_technique_weights(f, kind); /* the formats that are tried have groups */
}

/* Bytes of keys and values per token and all layers, as the pages lay them out: small heads are
 * filled up to whole panels. */
static double kv_bytes_per_token(const hone_model_facts *m, const hone_config *c)
{
    hone_kv kv = {(hone_kv_format)c->kv_format, m->head_dim, m->head_dim};
    return (double)m->layers * m->kv_heads * (double)hone_kv_page_bytes(&kv) / HONE_KV_PAGE;
}

static double share_of_threads(const hone_technique_facts *f, const hone_config *c)
{
    if (!c->threads || f->machine.threads <= 0)
        return 1;
    return fmin(1, (double)c->threads / f->machine.threads);
}

/* The arithmetic limit of exact products with so many rows under c, all threads together: tiles
 * multiply bf16 for many rows, everything else is float32 fused multiply-adds. */
static double exact_ops_s(const hone_limits *machine, const hone_config *c, double rows)
{
    hone_isa top = isa_of(c);
    const double *ops = machine->ops_s;
    double best = 0;
    for (int isa = 0; isa <= (int)top; isa++) {
        bool plain = isa == HONE_ISA_AVX2 || isa == HONE_ISA_AVX512;
        bool tiles =
            isa == HONE_ISA_AMX_BF16 && rows > HONE_FEW_ROWS && c->compute == HONE_COMPUTE_BF16;
        if (plain || tiles)
            best = fmax(best, ops[isa]);
    }
    return best;
}

double hone_technique_products_ops_s(const hone_limits *machine, const hone_config *c, double rows)
{
    hone_isa top = isa_of(c);
    double exact = exact_ops_s(machine, c, rows), peak = 0;
    bool tiles = top >= HONE_ISA_AMX_INT8 && rows > HONE_FEW_ROWS;
    if (c->products == HONE_PRODUCTS_BF16_DOT)
        peak = machine->peak_ops_s[HONE_PEAK_AVX512_BF16];
    else if (c->products == HONE_PRODUCTS_INT8_ROW && tiles)
        peak = machine->peak_ops_s[HONE_PEAK_AMX_INT8];
    else if (c->products == HONE_PRODUCTS_INT8 && tiles) /* 32 of a tile's 64 k for each scale */
        peak = machine->peak_ops_s[HONE_PEAK_AMX_INT8] / 2;
    else if (c->products == HONE_PRODUCTS_INT8 || c->products == HONE_PRODUCTS_INT8_ROW)
        peak = machine->peak_ops_s[top >= HONE_ISA_AVX512_VNNI ? HONE_PEAK_AVX512_INT8
                                                               : HONE_PEAK_AVX2_INT8];
    return peak > 0 ? peak : exact;
}

/* Rows that a kind's weights multiply: of a prompt only the last goes through the head. */
static double rows_through(hone_weight_kind kind, hone_goal g, double rows)
{
    return kind == HONE_WEIGHT_HEAD && g == HONE_GOAL_TTFT ? 1 : rows;
}

/* Operations of a step's products with weights */
static double weight_ops(const hone_technique_facts *f, hone_goal g, double rows)
{
    double head = 2 * hone_technique_weights(f, HONE_WEIGHT_HEAD);
    return rows * (f->model.flops_per_token - head) +
           rows_through(HONE_WEIGHT_HEAD, g, rows) * head;
}

/* Seconds of a step's multiplications on all threads: weights that the products take at their rate,
 * other weights and attention at the exact one's. 0 = unknown. */
static double ops_seconds(const hone_technique_facts *f, const hone_config *c, hone_goal g,
                          double rows, double ops)
{
    double exact = exact_ops_s(&f->machine, c, rows),
           fast = hone_technique_products_ops_s(&f->machine, c, rows), all = 0, taken = 0;
    const bool by_group =
        c->products == HONE_PRODUCTS_EXACT || c->products == HONE_PRODUCTS_BF16_WEIGHTS;
    if (c->products == HONE_PRODUCTS_INT8_ROW && fast == f->machine.peak_ops_s[HONE_PEAK_AMX_INT8])
        fast /= 2; /* the formats' groups of 32 fill tiles by half, whatever the activations do */
    if (c->products == HONE_PRODUCTS_EXACT && rows > HONE_FEW_ROWS && exact > 0 &&
        exact == f->machine.ops_s[HONE_ISA_AMX_BF16])
        fast /= 2; /* that a group's sums leave the tiles takes as long as its products */
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++) {
        double weights = hone_technique_weights(f, (hone_weight_kind)k);
        double through = rows_through((hone_weight_kind)k, g, rows);
        bool takes = c->products == HONE_PRODUCTS_BF16_DOT ||
                     hone_technique_codes(f, c, (hone_weight_kind)k);
        all += through * weights;
        taken += through * (by_group ? hone_technique_grouped(f, c, (hone_weight_kind)k)
                            : takes  ? weights
                                     : 0);
    }
    double quick = all > 0 ? weight_ops(f, g, rows) * taken / all : 0;
    return exact > 0 ? quick / fast + (ops - quick) / exact : 0;
}

/* Positions that a token of a prompt sees on average: depth rises from 0 to n, windows cut it. */
static double seen_by_prompt(const hone_model_facts *m, double n)
{
    double sum = m->layers * n / 2;
    for (int i = 0; i < HONE_WINDOWS_MAX; i++) {
        double beyond = n - m->windows[i].tokens;
        if (m->windows[i].layers && beyond > 0)
            sum -= m->windows[i].layers * beyond * beyond / (2 * n);
    }
    return m->layers ? sum / m->layers : 0;
}

hone_roofline hone_technique_roofline(const hone_technique_facts *f, const hone_config *c,
                                      hone_goal g)
{
    const hone_model_facts *m = &f->model;
    hone_roofline r = {0};
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++)
        r.weight_bytes += hone_technique_weight_bytes(f, c, (hone_weight_kind)k);
    double kv = kv_bytes_per_token(m, c);
    if (g == HONE_GOAL_MEMORY) {
        r.kv_bytes =
            kv * hone_model_seen(m, c->context_tokens ? c->context_tokens : m->context_tokens);
        r.cost = r.weight_bytes + r.kv_bytes;
        r.bound = HONE_BOTTLENECK_SPACE;
        return r;
    }
    double rows = 1, sessions = 1, seen = hone_model_seen(m, f->depth_tokens);
    if (g == HONE_GOAL_THROUGHPUT) {
        rows = sessions = f->sessions;
    } else if (g == HONE_GOAL_TTFT) {
        rows = f->prompt_tokens;
        seen = seen_by_prompt(m, rows);
    }
    r.kv_bytes = kv * sessions * seen;
    r.cached = r.weight_bytes + r.kv_bytes < hone_limits_cache_bytes(&f->machine);
    r.ops = weight_ops(f, g, rows) + rows * 4.0 * m->layers * m->heads * m->head_dim * seen;
    double share = share_of_threads(f, c), ops_s = ops_seconds(f, c, g, rows, r.ops);
    if (f->machine.read_bytes_s <= 0 || ops_s <= 0)
        return r;
    r.read_s = (r.weight_bytes + r.kv_bytes) / (f->machine.read_bytes_s * share);
    r.ops_s = ops_s / share;
    if (c->products == HONE_PRODUCTS_BF16_WEIGHTS && rows <= HONE_FEW_ROWS)
        r.ops_s = fmax(
            r.ops_s,
            2 * r.read_s); /* scaling each weight takes more than twice as long as reading it */
    r.cost = fmax(r.read_s, r.ops_s) / (g == HONE_GOAL_THROUGHPUT ? sessions : 1);
    r.bound = r.ops_s > r.read_s            ? HONE_BOTTLENECK_ARITHMETIC
              : r.kv_bytes > r.weight_bytes ? HONE_BOTTLENECK_KV_READ
                                            : HONE_BOTTLENECK_WEIGHT_READ;
    return r;
}

double hone_technique_predict(const hone_technique_facts *f, const hone_config *before,
                              const hone_config *after, hone_goal g)
{
    hone_roofline a = hone_technique_roofline(f, before, g);
    hone_roofline b = hone_technique_roofline(f, after, g);
    if (a.cached && b.cached && a.bound != HONE_BOTTLENECK_ARITHMETIC)
        return 0; /* neither bytes nor operations explain the time of what stays in the caches */
    return a.cost > 0 && b.cost > 0 ? a.cost / b.cost : 0;
}
