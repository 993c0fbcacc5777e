#include "dtype/fit.h"

enum { STEPS = 24, ROUNDS = 6, ELEMENTS = 256 };

/* Elements below this are zero under every float16 scale; their squares stay far from subnormals.
 */
#define NOTHING 0x1p-50f

/* Four lanes, on every machine: sums have one order, lane i taking elements i, i + 4... */
typedef float f4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));

static f4 splat(float x)
{
    return (f4){x, x, x, x};
}

static f4 load(const float *p)
{
    f4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

static f4 load_codes(const int8_t *q)
{
    return (f4){q[0], q[1], q[2], q[3]};
}

static float sum(f4 v)
{
    return (v[0] + v[1]) + (v[2] + v[3]);
}

static f4 larger(f4 a, f4 b)
{
    i4 m = a > b;
    return (f4)((m & (i4)a) | (~m & (i4)b));
}

static f4 load_weights(const float *weights, int i)
{
    return weights ? load(weights + i) : splat(1.0f);
}

/* What codes may be, made ready: of a table the middles between its entries and their steps. */
typedef struct grid {
    bool table;
    f4 low, high; /* a table's low is its first entry */
    f4 middle[15], step[15];
} grid;

static void make_grid(const hone_fit_codes *c, grid *g)
{
    g->table = c->table != NULL;
    g->low = splat(c->table ? c->table[0] : (float)c->low);
    g->high = splat((float)c->high);
    for (int i = 0; c->table && i < 15; i++) {
        g->middle[i] = splat(0.5f * (c->table[i] + c->table[i + 1]));
        g->step[i] = splat(c->table[i + 1] - c->table[i]);
    }
}

/* The nearest values (of halves the even integer, or the lower entry) and their codes; NaN gives
 * the lowest. */
static f4 nearest(const grid *g, f4 v, i4 *code)
{
    if (!g->table) {
        const f4 magic = splat(12582912.0f);
        v = larger(v, g->low);
        v = -larger(-v, -g->high);
        v = (v + magic) - magic;
        *code = __builtin_convertvector(v, i4);
        return v;
    }
    f4 value = g->low;
    *code = (i4){0, 0, 0, 0};
    for (int i = 0; i < 15; i++) {
        i4 m = v > g->middle[i];
        value += (f4)(m & (i4)g->step[i]);
        *code -= m;
    }
    return value;
}

static float fit_nearest(const float *x, const float *weights, int n, const grid *g, float scale,
                         float min, int8_t *q)
{
    f4 inverse = splat(hone_block_inverse(scale)), error = splat(0.0f);
    for (int i = 0; i < n; i += 4) {
        i4 code;
        f4 v = load(x + i), value = nearest(g, (v + splat(min)) * inverse, &code);
        f4 e = v - (splat(scale) * value - splat(min));
        error += load_weights(weights, i) * e * e;
        for (int k = 0; k < 4; k++)
            q[i + k] = (int8_t)code[k];
    }
    return sum(error);
}

float hone_fit_nearest(const float *x, const float *weights, int n, const hone_fit_codes *c,
                       float scale, float min, int8_t *q)
{
    grid g;
    make_grid(c, &g);
    return fit_nearest(x, weights, n, &g, scale, min, q);
}

/* The least-squares scale of the codes under `inverse`, and how much of sum w x^2 it explains */
static float solve_scale(const float *x, const float *weights, int n, const grid *g, float inverse,
                         float *gain)
{
    f4 xvs = splat(0.0f), vvs = splat(0.0f);
    for (int i = 0; i < n; i += 4) {
        i4 code;
        f4 v = load(x + i), value = nearest(g, v * splat(inverse), &code);
        f4 wv = load_weights(weights, i) * value;
        xvs += wv * v;
        vvs += wv * value;
    }
    float xv = sum(xvs), vv = sum(vvs);
    *gain = vv > 0.0f ? xv / vv * xv : 0.0f;
    return vv > 0.0f ? xv / vv : 0.0f;
}

static float peak_of(const float *x, int n)
{
    float peak = x[0];
    for (int i = 1; i < n; i++)
        if (fabsf(x[i]) > fabsf(peak))
            peak = x[i];
    return peak;
}

float hone_fit_scale(const float *x, const float *weights, int n, const hone_fit_codes *c,
                     int8_t *q)
{
    float peak = peak_of(x, n), best = 0.0f, best_gain = 0.0f;
    if (fabsf(peak) < NOTHING) {
        hone_fit_nearest(x, weights, n, c, 0.0f, 0.0f, q);
        return 0.0f;
    }
    grid g;
    make_grid(c, &g);
    float ends[2] = {g.low[0], c->table ? c->table[15] : (float)c->high};
    for (int end = 0; end < 2; end++)
        for (int i = 0; i <= STEPS && ends[end] != 0.0f; i++) {
            float top = ends[end] * (0.7f + 0.55f * (float)i / (float)STEPS), gain;
            float scale = solve_scale(x, weights, n, &g, top / peak, &gain);
            if (gain > best_gain) {
                best_gain = gain;
                best = scale;
            }
        }
    for (int i = 0; i < ROUNDS; i++) {
        float gain, scale = solve_scale(x, weights, n, &g, hone_block_inverse(best), &gain);
        if (!(gain > best_gain))
            break;
        best_gain = gain;
        best = scale;
    }
    fit_nearest(x, weights, n, &g, best, 0.0f, q);
    return best;
}

/* Least squares of x = scale * q - min over both; min kept at 0 or above if only_below. */
static void solve_both(const float *x, const float *weights, int n, const int8_t *q,
                       bool only_below, float *scale, float *min)
{
    f4 w1 = splat(0.0f), wq = w1, wqq = w1, wx = w1, wxq = w1;
    for (int i = 0; i < n; i += 4) {
        f4 w = load_weights(weights, i), v = load_codes(q + i), wv = w * v;
        w1 += w;
        wq += wv;
        wqq += wv * v;
        wx += w * load(x + i);
        wxq += wv * load(x + i);
    }
    float sw = sum(w1), sq = sum(wq), sqq = sum(wqq), sx = sum(wx), sxq = sum(wxq);
    float det = sw * sqq - sq * sq;
    if (det > 0.0f) {
        *scale = (sw * sxq - sq * sx) / det;
        *min = (sq * sxq - sqq * sx) / det;
    }
    if (!(det > 0.0f) || (only_below && *min < 0.0f)) {
        *min = 0.0f;
        *scale = sqq > 0.0f ? sxq / sqq : 0.0f;
    }
}

float hone_fit_scale_min(const float *x, const float *weights, int n, int high, bool only_below,
                         float *min, int8_t *q)
{
    hone_fit_codes c = {0, high, NULL};
    float low = x[0], top = x[0], best = 0.0f, best_min = 0.0f;
    for (int i = 1; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        top = x[i] > top ? x[i] : top;
    }
    if (only_below && low > 0.0f)
        low = 0.0f;
    if (top - low < NOTHING) {
        *min = fabsf(low) < NOTHING ? 0.0f : -low;
        memset(q, 0, (size_t)n);
        return 0.0f;
    }
    int8_t codes[ELEMENTS];
    float error = INFINITY;
    grid g;
    make_grid(&c, &g);
    for (int i = 0; i <= STEPS; i++) {
        float scale =
            (top - low) / ((float)high + (0.05f * (float)i - 0.6f) * (high < 7 ? 1.5f : 1.0f));
        float m = -low;
        for (int round = 0; round < 3; round++) {
            float e = fit_nearest(x, weights, n, &g, scale, m, codes);
            if (e < error) {
                error = e;
                best = scale;
                best_min = m;
            }
            solve_both(x, weights, n, codes, only_below, &scale, &m);
        }
    }
    fit_nearest(x, weights, n, &g, best, best_min, q);
    *min = best_min;
    return best;
}

bool hone_fit_block(const float *x, const float *weights, const hone_fit_codes *c, uint8_t *dst,
                    uint8_t *q)
{
    int8_t codes[HONE_BLOCK];
    if (!hone_block_is_finite(x) ||
        !hone_store_f16(dst, hone_fit_scale(x, weights, HONE_BLOCK, c, codes)))
        return false;
    hone_fit_nearest(x, weights, HONE_BLOCK, c, hone_load_f16(dst), 0.0f, codes);
    for (int i = 0; i < HONE_BLOCK; i++)
        q[i] = (uint8_t)(codes[i] - (c->table ? 0 : c->low));
    return true;
}

bool hone_fit_block_min(const float *x, const float *weights, int high, uint8_t *dst, uint8_t *q)
{
    hone_fit_codes c = {0, high, NULL};
    float min;
    if (!hone_block_is_finite(x))
        return false;
    float scale = hone_fit_scale_min(x, weights, HONE_BLOCK, high, false, &min, (int8_t *)q);
    if (!hone_store_f16(dst, scale) || !hone_store_f16(dst + 2, -min))
        return false;
    hone_fit_nearest(x, weights, HONE_BLOCK, &c, hone_load_f16(dst), -hone_load_f16(dst + 2),
                     (int8_t *)q);
    return true;
}

/* ---- nested ---------------------------------------------------------------------------------- */

typedef struct nest {
    const float *x, *weights;
    const hone_fit_shape *s;
    grid grid;
    int groups;
    float scale[16], min[16]; /* as fitted freely */
    float error;              /* of *best */
    hone_fit_nested *best;
} nest;

static int rounded(float v, int low, int high)
{
    if (!(v > (float)low))
        return low;
    return v >= (float)high ? high : hone_block_round(v);
}

/* Rounds group g to multiples of d and dmin, trying neighbours; the error. */
static float round_group(const nest *n, int g, float d, float dmin, hone_fit_nested *to)
{
    const hone_fit_shape *s = n->s;
    const float *x = n->x + g * s->group, *w = n->weights ? n->weights + g * s->group : NULL;
    float error = INFINITY;
    int sc = rounded(n->scale[g] * hone_block_inverse(d), s->scale_low, s->scale_high);
    int m = s->min_high ? rounded(n->min[g] * hone_block_inverse(dmin), 0, s->min_high) : 0;
    int8_t q[ELEMENTS];
    for (int i = sc - 1; i <= sc + 1; i++)
        for (int k = m - 1; k <= m + 1; k++) {
            if (i < s->scale_low || i > s->scale_high || k < 0 || k > s->min_high)
                continue;
            float e = fit_nearest(x, w, s->group, &n->grid, d * (float)i, dmin * (float)k, q);
            if (e < error) {
                error = e;
                to->scale[g] = i;
                to->min[g] = k;
                memcpy(to->q + g * s->group, q, (size_t)s->group);
            }
        }
    return error;
}

/* Least squares of x = d * a - dmin * b, a = scale * value, b = min */
static void solve_factors(const nest *n, const hone_fit_nested *t, float *d, float *dmin)
{
    f4 zero = splat(0.0f), saa = zero, sab = zero, sbb = zero, sxa = zero, sxb = zero;
    for (int i = 0; i < ELEMENTS; i += 4) {
        int g = i / n->s->group;
        f4 v = load_codes(t->q + i), x = load(n->x + i), w = load_weights(n->weights, i);
        for (int k = 0; n->s->codes.table && k < 4; k++)
            v[k] = n->s->codes.table[t->q[i + k]];
        f4 a = splat((float)t->scale[g]) * v, b = splat((float)t->min[g]);
        saa += w * a * a;
        sab += w * a * b;
        sbb += w * b * b;
        sxa += w * x * a;
        sxb += w * x * b;
    }
    float aa = sum(saa), ab = sum(sab), bb = sum(sbb), xa = sum(sxa), xb = sum(sxb);
    float det = aa * bb - ab * ab;
    if (n->s->min_high && det > 1e-6f * aa * bb) {
        *d = (bb * xa - ab * xb) / det;
        *dmin = (ab * xa - aa * xb) / det;
    } else if (aa > 0.0f) {
        *d = (xa + *dmin * ab) / aa;
    }
}

/* From factors d and dmin: rounds the groups, solves for the factors, again; keeps the best. */
static void descend(nest *n, float d, float dmin)
{
    for (int round = 0; round < ROUNDS; round++) {
        hone_fit_nested t = {0};
        float error = 0.0f;
        t.d = hone_f32_to_f16(d);
        t.dmin = hone_f32_to_f16(dmin < 0.0f ? 0.0f : dmin);
        d = hone_f16_to_f32(t.d);
        dmin = hone_f16_to_f32(t.dmin);
        for (int g = 0; g < n->groups; g++)
            error += round_group(n, g, d, dmin, &t);
        if (!(error < n->error))
            break;
        n->error = error;
        *n->best = t;
        solve_factors(n, &t, &d, &dmin);
    }
}

bool hone_fit_nest(const float *x, const float *weights, const hone_fit_shape *s,
                   hone_fit_nested *out)
{
    float scaled[ELEMENTS], most = 0.0f;
    nest n = {.x = x, .s = s, .groups = ELEMENTS / s->group, .error = INFINITY, .best = out};
    if (!hone_floats_are_finite(x, ELEMENTS))
        return false;
    make_grid(&s->codes, &n.grid);
    for (int i = 0; weights && i < ELEMENTS; i++)
        most = weights[i] > most ? weights[i] : most;
    if (weights && most > 0.0f) {
        for (int i = 0; i < ELEMENTS; i++)
            scaled[i] = weights[i] / most;
        n.weights = scaled;
    }
    float top = 0.0f, top_min = 0.0f;
    for (int g = 0; g < n.groups; g++) {
        const float *xg = x + g * s->group, *w = n.weights ? n.weights + g * s->group : NULL;
        int8_t q[ELEMENTS];
        if (s->min_high)
            n.scale[g] = hone_fit_scale_min(xg, w, s->group, s->codes.high, true, &n.min[g], q);
        else
            n.scale[g] = hone_fit_scale(xg, w, s->group, &s->codes, q);
        top = fabsf(n.scale[g]) > fabsf(top) ? n.scale[g] : top;
        top_min = n.min[g] > top_min ? n.min[g] : top_min;
    }
    memset(out, 0, sizeof *out);
    float dmin = s->min_high ? top_min / (float)s->min_high : 0.0f;
    float ends[2] = {(float)s->scale_high, (float)s->scale_low};
    for (int end = 0; end < 2 && (top != 0.0f || top_min > 0.0f); end++)
        for (int i = 0; i < 3 && ends[end] != 0.0f; i++)
            descend(&n, top / (ends[end] * (1.0f - 0.06f * (float)i)), dmin);
    if (top == 0.0f && top_min <= 0.0f)
        return true; /* nothing but zeros */
    return (out->d & 0x7c00u) != 0x7c00u && (out->dmin & 0x7c00u) != 0x7c00u && n.error < INFINITY;
}
