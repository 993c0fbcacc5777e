#include "dtype/fit.h"

enum { STEPS = 24, ROUNDS = 6, ELEMENTS = 256 };

/* Elements below this are zero under every float16 scale; their squares stay far from subnormals.
 */
#define NOTHING 0x1p-50f

static float weight_of(const float *weights, int i)
{
    return weights ? weights[i] : 1.0f;
}

/* To the nearest integer (halves to even), kept within low..high; NaN gives low. */
static int clamp(float v, int low, int high)
{
    v = v > (float)low ? v : (float)low;
    v = v < (float)high ? v : (float)high;
    return (int)((v + 12582912.0f) - 12582912.0f);
}

/* Index of the entry nearest to v, the lower of equals */
static int table_code(const float *table, float v)
{
    int a = 0;
    for (int step = 8; step; step /= 2)
        if (table[a + step] <= v)
            a += step;
    return a < 15 && table[a + 1] - v < v - table[a] ? a + 1 : a;
}

static int code_of(const hone_fit_codes *c, float v)
{
    return c->table ? table_code(c->table, v) : clamp(v, c->low, c->high);
}

static float value_of(const hone_fit_codes *c, int code)
{
    return c->table ? c->table[code] : (float)code;
}

float hone_fit_nearest(const float *x, const float *weights, int n, const hone_fit_codes *c,
                       float scale, float min, int8_t *q)
{
    float inverse = hone_block_inverse(scale), error = 0.0f;
    for (int i = 0; i < n; i++) {
        int code = code_of(c, (x[i] + min) * inverse);
        float e = x[i] - (scale * value_of(c, code) - min);
        q[i] = (int8_t)code;
        error += weight_of(weights, i) * e * e;
    }
    return error;
}

/* The least-squares scale of the codes under `inverse`, and how much of sum w x^2 it explains */
static float solve_scale(const float *x, const float *weights, int n, const hone_fit_codes *c,
                         float inverse, float *gain)
{
    float xv = 0.0f, vv = 0.0f;
    for (int i = 0; i < n; i++) {
        float v = value_of(c, code_of(c, x[i] * inverse)), wv = weight_of(weights, i) * v;
        xv += wv * x[i];
        vv += wv * v;
    }
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
    float ends[2] = {value_of(c, c->table ? 0 : c->low), value_of(c, c->table ? 15 : c->high)};
    for (int end = 0; end < 2; end++)
        for (int i = 0; i <= STEPS && ends[end] != 0.0f; i++) {
            float gain,
                scale =
                    solve_scale(x, weights, n, c,
                                ends[end] * (0.7f + 0.55f * (float)i / (float)STEPS) / peak, &gain);
            if (gain > best_gain) {
                best_gain = gain;
                best = scale;
            }
        }
    for (int i = 0; i < ROUNDS; i++) {
        float gain, scale = solve_scale(x, weights, n, c, hone_block_inverse(best), &gain);
        if (!(gain > best_gain))
            break;
        best_gain = gain;
        best = scale;
    }
    hone_fit_nearest(x, weights, n, c, best, 0.0f, q);
    return best;
}

/* Least squares of x = scale * q - min over both; min kept at 0 or above if only_below. */
static void solve_both(const float *x, const float *weights, int n, const int8_t *q,
                       bool only_below, float *scale, float *min)
{
    float sw = 0.0f, sq = 0.0f, sqq = 0.0f, sx = 0.0f, sxq = 0.0f;
    for (int i = 0; i < n; i++) {
        float w = weight_of(weights, i), v = (float)q[i];
        sw += w;
        sq += w * v;
        sqq += w * v * v;
        sx += w * x[i];
        sxq += w * x[i] * v;
    }
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
    for (int i = 0; i <= STEPS; i++) {
        float scale =
            (top - low) / ((float)high + (0.05f * (float)i - 0.6f) * (high < 7 ? 1.5f : 1.0f));
        float m = -low;
        for (int round = 0; round < 3; round++) {
            float e = hone_fit_nearest(x, weights, n, &c, scale, m, codes);
            if (e < error) {
                error = e;
                best = scale;
                best_min = m;
            }
            solve_both(x, weights, n, codes, only_below, &scale, &m);
        }
    }
    hone_fit_nearest(x, weights, n, &c, best, best_min, q);
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
    int groups;
    float scale[16], min[16]; /* as fitted freely */
    float error;              /* of *best */
    hone_fit_nested *best;
} nest;

/* Rounds group g to multiples of d and dmin, trying neighbours; the error. */
static float round_group(const nest *n, int g, float d, float dmin, hone_fit_nested *to)
{
    const hone_fit_shape *s = n->s;
    const float *x = n->x + g * s->group, *w = n->weights ? n->weights + g * s->group : NULL;
    float error = INFINITY;
    int sc = clamp(n->scale[g] * hone_block_inverse(d), s->scale_low, s->scale_high);
    int m = s->min_high ? clamp(n->min[g] * hone_block_inverse(dmin), 0, s->min_high) : 0;
    int8_t q[ELEMENTS];
    for (int i = sc - 1; i <= sc + 1; i++)
        for (int k = m - 1; k <= m + 1; k++) {
            if (i < s->scale_low || i > s->scale_high || k < 0 || k > s->min_high)
                continue;
            float e = hone_fit_nearest(x, w, s->group, &s->codes, d * (float)i, dmin * (float)k, q);
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
    float aa = 0.0f, ab = 0.0f, bb = 0.0f, xa = 0.0f, xb = 0.0f;
    for (int i = 0; i < ELEMENTS; i++) {
        int g = i / n->s->group;
        float a = (float)t->scale[g] * value_of(&n->s->codes, t->q[i]), b = (float)t->min[g];
        float w = weight_of(n->weights, i);
        aa += w * a * a;
        ab += w * a * b;
        bb += w * b * b;
        xa += w * n->x[i] * a;
        xb += w * n->x[i] * b;
    }
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
    for (int i = 0; weights && i < ELEMENTS; i++)
        most = weights[i] > most ? weights[i] : most;
    for (int i = 0; most > 0.0f && i < ELEMENTS; i++)
        scaled[i] = weights[i] / most;
    n.weights = most > 0.0f ? scaled : NULL;
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
