#include "model/rope.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PI 3.14159265358979323846

/* Dimension at which a wavelength fits `rotations` times into the original context (YaRN, eq. 17).
 */
static double correction_dim(const hone_rope_config *c, double rotations)
{
    return c->dim * log(c->original_context / (rotations * 2 * PI)) / (2 * log(c->theta));
}

static double yarn_magnitude(double scale, double mscale)
{
    return scale <= 1 ? 1.0 : 0.1 * mscale * log(scale) + 1.0;
}

double hone_rope_yarn_magnitude(const hone_rope_config *c)
{
    return yarn_magnitude(c->factor, 1);
}

static void init_yarn(const hone_rope_config *c, hone_rope *out)
{
    double low = correction_dim(c, c->beta_fast), high = correction_dim(c, c->beta_slow);
    if (c->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, c->dim - 1.0);
    if (low == high)
        high += 0.001;
    for (uint32_t i = 0; i < c->dim / 2; i++) {
        double plain = 1.0 / pow(c->theta, 2.0 * i / c->dim);
        double ramp = fmin(fmax((i - low) / (high - low), 0), 1);
        out->inv_freq[i] = (float)(plain / c->factor * ramp + plain * (1 - ramp));
    }
    double m = c->attention_factor;
    if (m == 0)
        m = c->mscale != 0 && c->mscale_all_dim != 0
                ? yarn_magnitude(c->factor, c->mscale) /
                      yarn_magnitude(c->factor, c->mscale_all_dim)
                : hone_rope_yarn_magnitude(c);
    out->magnitude = (float)m;
}

static void init_llama3(const hone_rope_config *c, hone_rope *out)
{
    double low_wave = c->original_context / c->low_freq_factor;
    double high_wave = c->original_context / c->high_freq_factor;
    for (uint32_t i = 0; i < c->dim / 2; i++) {
        double f = (double)out->inv_freq[i], wave = 2 * PI / f;
        if (wave > low_wave)
            f /= c->factor;
        else if (wave >= high_wave) {
            double smooth = (c->original_context / wave - c->low_freq_factor) /
                            (c->high_freq_factor - c->low_freq_factor);
            f = (1 - smooth) * f / c->factor + smooth * f;
        }
        out->inv_freq[i] = (float)f;
    }
}

static void init_long(const hone_rope_config *c, hone_rope *out)
{
    double scale = c->context / c->original_context;
    for (uint32_t i = 0; i < c->dim / 2; i++)
        out->inv_freq[i] =
            (float)(1.0 / (c->factors[c->use_long][i] * pow(c->theta, 2.0 * i / c->dim)));
    out->magnitude = (float)(c->attention_factor != 0 ? c->attention_factor
                             : scale <= 1             ? 1
                                          : sqrt(1 + log(scale) / log(c->original_context)));
}

void hone_rope_init(const hone_rope_config *c, hone_rope *out)
{
    out->dim = c->dim;
    out->magnitude = 1;
    double theta = c->theta;
    /* Dynamic NTK depends on the length of the sequence. For bits that do not depend on how a
     * sequence grew, hone fixes it from the longest a sequence may get: the model's context. The
     * reference does the same up to original_context, which is the model's own limit. */
    if (c->scaling == HONE_ROPE_DYNAMIC && c->context > c->original_context && c->dim > 2)
        theta *= pow(c->factor * c->context / c->original_context - (c->factor - 1),
                     (double)c->dim / (c->dim - 2.0));
    for (uint32_t i = 0; i < c->dim / 2; i++) {
        double f = 1.0 / pow(theta, 2.0 * i / c->dim);
        out->inv_freq[i] = (float)(c->scaling == HONE_ROPE_LINEAR ? f / c->factor : f);
    }
    if (c->scaling == HONE_ROPE_LLAMA3)
        init_llama3(c, out);
    else if (c->scaling == HONE_ROPE_YARN)
        init_yarn(c, out);
    else if (c->scaling == HONE_ROPE_LONG)
        init_long(c, out);
}

static const struct {
    const char *name;
    hone_rope_scaling scaling;
} scalings[] = {
    {"default", HONE_ROPE_DEFAULT}, {"none", HONE_ROPE_DEFAULT}, {"linear", HONE_ROPE_LINEAR},
    {"dynamic", HONE_ROPE_DYNAMIC}, {"yarn", HONE_ROPE_YARN},    {"llama3", HONE_ROPE_LLAMA3},
    {"longrope", HONE_ROPE_LONG},   {"su", HONE_ROPE_LONG},
};

static hone_status scaling_by_name(const hone_file *f, const char *name, hone_rope_scaling *out)
{
    for (size_t i = 0; i < sizeof scalings / sizeof *scalings; i++)
        if (strcmp(scalings[i].name, name) == 0) {
            *out = scalings[i].scaling;
            return HONE_OK;
        }
    return hone_fail(HONE_UNSUPPORTED,
                     "%s: rope scaling \"%.40s\" is not one that hone knows (default, linear, "
                     "dynamic, yarn, llama3, longrope)",
                     hone_file_path(f), name);
}

static hone_status check_config(const hone_file *f, const hone_rope_config *c)
{
    bool ok = c->theta > 1 && c->theta < 1e15 && c->factor > 0 && c->factor < 1e6 &&
              c->original_context >= 1 && c->original_context < 1e12 && c->dim >= 2 &&
              c->dim <= HONE_ROPE_DIM_MAX;
    if (ok && c->scaling == HONE_ROPE_LLAMA3)
        ok = c->low_freq_factor > 0 && c->high_freq_factor > c->low_freq_factor;
    if (ok && c->scaling == HONE_ROPE_YARN)
        ok = c->beta_fast > 0 && c->beta_slow > 0 && c->attention_factor >= 0;
    if (ok && c->scaling == HONE_ROPE_LONG && c->n_factors != c->dim / 2)
        return hone_fail(HONE_FORMAT,
                         "%s: longrope has %u short and long factors; %u rotary dimensions want %u",
                         hone_file_path(f), c->n_factors, c->dim, c->dim / 2);
    for (uint32_t i = 0; ok && i < c->n_factors; i++)
        ok = c->factors[0][i] > 0 && c->factors[0][i] < 1e6 && c->factors[1][i] > 0 &&
             c->factors[1][i] < 1e6;
    return ok ? HONE_OK
              : hone_fail(
                    HONE_FORMAT,
                    "%s: rope parameters out of range (%u dimensions of a head, at most %d; theta "
                    "%g, factor %g, original context %g, low/high frequency factor %g/%g)",
                    hone_file_path(f), c->dim, HONE_ROPE_DIM_MAX, c->theta, c->factor,
                    c->original_context, c->low_freq_factor, c->high_freq_factor);
}

/* Reads a number of the scaling object `in` ("rope_scaling" or "rope_parameters"). */
static hone_status number(const hone_file *f, const char *in, const char *name, double fallback,
                          double *out)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", in, name);
    return hone_file_f64_or(f, key, fallback, out);
}

/* The factors of longrope: arrays short_factor and long_factor of equal length. */
static hone_status read_factors(const hone_file *f, const char *in, hone_rope_config *c)
{
    static const char *const names[] = {"short_factor", "long_factor"};
    char key[96];
    for (int which = 0; which < 2; which++) {
        hone_array a;
        snprintf(key, sizeof key, "%s.%s", in, names[which]);
        HONE_TRY(hone_file_array(f, key, &a));
        c->n_factors = a.count > HONE_ROPE_DIM_MAX ? UINT32_MAX : (uint32_t)a.count;
        for (uint32_t i = 0; i < a.count && i < HONE_ROPE_DIM_MAX / 2; i++)
            if (!hone_array_f64(&a, i, &c->factors[which][i]))
                return hone_fail(HONE_FORMAT, "%s: %s[%u] is not a number", hone_file_path(f), key,
                                 i);
            else /* as the reference and GGUF hold them */
                c->factors[which][i] = (double)(float)c->factors[which][i];
        if (c->n_factors != c->dim / 2)
            return check_config(f, c);
    }
    return HONE_OK;
}

/* The object that holds the parameters: transformers 5 has one for each type of layer, or one. */
static const char *section_of(const hone_file *f, bool local)
{
    const char *both = local ? "rope_parameters.sliding_attention.rope_theta"
                             : "rope_parameters.full_attention.rope_theta";
    if (hone_file_has(f, both))
        return local ? "rope_parameters.sliding_attention" : "rope_parameters.full_attention";
    if (local)
        return "rope_local"; /* transformers 4 has rope_local_base_freq alone */
    return hone_file_has(f, "rope_parameters.rope_type") ||
                   hone_file_has(f, "rope_parameters.rope_theta")
               ? "rope_parameters"
               : "rope_scaling";
}

bool hone_rope_has_local(const hone_file *f)
{
    static const char *const keys[] = {"rope_parameters.sliding_attention.rope_theta",
                                       "rope_local_base_freq", "local_rope_theta"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (hone_file_has(f, keys[i]))
            return true;
    return false;
}

/* The first of these keys that is there. */
static hone_status first_of(const hone_file *f, const char *const *keys, size_t n, double fallback,
                            double *out)
{
    for (size_t i = 0; i < n; i++)
        if (hone_file_has(f, keys[i]))
            return hone_file_f64(f, keys[i], out);
    *out = fallback;
    return HONE_OK;
}

hone_status hone_rope_config_from_hf(const hone_file *f, bool local, uint32_t head_dim,
                                     double context, hone_rope_config *c)
{
    static const char *const thetas[] = {"rope_theta", "rotary_emb_base", "global_rope_theta"},
                             *const locals[] = {"rope_local_base_freq", "local_rope_theta"},
                             *const partials[] = {"partial_rotary_factor", "rotary_pct"};
    *c = (hone_rope_config){.factor = 1, .context = context, .truncate = true};
    const char *in = section_of(f, local);
    double theta, partial, original;
    HONE_TRY(first_of(f, local ? locals : thetas, local ? 2 : 3, 10000, &theta));
    HONE_TRY(number(f, in, "rope_theta", theta, &c->theta));
    HONE_TRY(first_of(f, partials, 2, 1, &partial));
    HONE_TRY(number(f, in, "partial_rotary_factor", partial, &partial));
    if (!(partial > 0 && partial <= 1))
        return hone_fail(HONE_FORMAT, "%s: partial_rotary_factor %g is not in (0, 1]",
                         hone_file_path(f), partial);
    c->dim = (uint32_t)(head_dim * partial);
    char key[96];
    const char *name;
    snprintf(key, sizeof key, "%s.type", in);
    HONE_TRY(hone_file_str_or(f, key, "default", &name));
    snprintf(key, sizeof key, "%s.rope_type", in);
    HONE_TRY(hone_file_str_or(f, key, name, &name));
    HONE_TRY(scaling_by_name(f, name, &c->scaling));
    HONE_TRY(number(f, in, "factor", 1, &c->factor));
    HONE_TRY(number(f, in, "low_freq_factor", 1, &c->low_freq_factor));
    HONE_TRY(number(f, in, "high_freq_factor", 4, &c->high_freq_factor));
    HONE_TRY(hone_file_f64_or(f, "original_max_position_embeddings", context, &original));
    HONE_TRY(number(f, in, "original_max_position_embeddings", original, &c->original_context));
    HONE_TRY(number(f, in, "beta_fast", 32, &c->beta_fast));
    HONE_TRY(number(f, in, "beta_slow", 1, &c->beta_slow));
    HONE_TRY(number(f, in, "attention_factor", 0, &c->attention_factor));
    HONE_TRY(number(f, in, "mscale", 0, &c->mscale));
    HONE_TRY(number(f, in, "mscale_all_dim", 0, &c->mscale_all_dim));
    snprintf(key, sizeof key, "%s.truncate", in);
    HONE_TRY(hone_file_bool_or(f, key, true, &c->truncate));
    if (c->scaling == HONE_ROPE_DYNAMIC)
        c->original_context = context; /* as transformers: the limit of the config itself */
    if (c->scaling == HONE_ROPE_LONG)
        HONE_TRY(read_factors(f, in, c));
    return check_config(f, c);
}

static hone_status apply_gguf_factors(const hone_file *f, hone_rope *out)
{
    const hone_tensor *t = hone_file_tensor(f, "rope_freqs.weight");
    if (!t)
        return HONE_OK;
    if (hone_tensor_elements(t) != out->dim / 2 || t->dtype != HONE_DTYPE_F32)
        return hone_fail(HONE_FORMAT, "%s: rope_freqs.weight must hold %u float32 numbers",
                         hone_file_path(f), out->dim / 2);
    float factors[HONE_ROPE_DIM_MAX / 2];
    hone_dtype_decode(HONE_DTYPE_F32, t->data, out->dim / 2, factors);
    for (uint32_t i = 0; i < out->dim / 2; i++)
        out->inv_freq[i] /= factors[i];
    return HONE_OK;
}

/* Longrope of GGUF files: two tensors, and no scaling type (llama.cpp goes by their presence). */
static hone_status read_gguf_factors(const hone_file *f, hone_rope_config *c)
{
    static const char *const names[] = {"rope_factors_short.weight", "rope_factors_long.weight"};
    if (!hone_file_tensor(f, names[0]) || !hone_file_tensor(f, names[1]))
        return HONE_OK;
    c->scaling = HONE_ROPE_LONG;
    c->n_factors = c->dim / 2;
    for (int which = 0; which < 2; which++) {
        const hone_tensor *t = hone_file_tensor(f, names[which]);
        float factors[HONE_ROPE_DIM_MAX / 2];
        if (c->n_factors > HONE_ROPE_DIM_MAX / 2 || hone_tensor_elements(t) != c->n_factors ||
            t->dtype != HONE_DTYPE_F32)
            return hone_fail(HONE_FORMAT, "%s: %s must hold %u float32 numbers", hone_file_path(f),
                             names[which], c->n_factors);
        hone_dtype_decode(HONE_DTYPE_F32, t->data, c->n_factors, factors);
        for (uint32_t i = 0; i < c->n_factors; i++)
            c->factors[which][i] = (double)factors[i];
    }
    return HONE_OK;
}

static hone_status config_from_gguf(const hone_file *f, bool local, uint32_t head_dim,
                                    double context, hone_rope_config *c)
{
    *c = (hone_rope_config){.factor = 1,
                            .context = context,
                            .truncate = true,
                            .original_context = context,
                            .low_freq_factor = 1,
                            .high_freq_factor = 4};
    char key[96];
    uint64_t dim;
    const char *name;
    HONE_TRY(
        hone_file_u64_or(f, hone_arch_gguf_key(f, "rope.dimension_count", key), head_dim, &dim));
    c->dim = dim > HONE_ROPE_DIM_MAX ? 0 : (uint32_t)dim;
    if (local) {
        HONE_TRY(hone_file_f64_or(f, hone_arch_gguf_key(f, "rope.freq_base_swa", key), 10000,
                                  &c->theta));
        return check_config(f, c);
    }
#define KEY(suffix) hone_arch_gguf_key(f, "rope." suffix, key)
    HONE_TRY(hone_file_f64_or(f, KEY("freq_base"), 10000, &c->theta));
    HONE_TRY(hone_file_str_or(f, KEY("scaling.type"), "default", &name));
    HONE_TRY(scaling_by_name(f, name, &c->scaling));
    HONE_TRY(hone_file_f64_or(f, KEY("scale_linear"), 1, &c->factor));
    HONE_TRY(hone_file_f64_or(f, KEY("scaling.factor"), c->factor, &c->factor));
    HONE_TRY(
        hone_file_f64_or(f, KEY("scaling.original_context_length"), context, &c->original_context));
    HONE_TRY(hone_file_f64_or(f, KEY("scaling.yarn_beta_fast"), 32, &c->beta_fast));
    HONE_TRY(hone_file_f64_or(f, KEY("scaling.yarn_beta_slow"), 1, &c->beta_slow));
    HONE_TRY(hone_file_f64_or(f, KEY("scaling.attn_factor"), 0, &c->attention_factor));
#undef KEY
    if (c->scaling == HONE_ROPE_YARN) /* there it multiplies what is derived, as in llama.cpp */
        c->attention_factor *= hone_rope_yarn_magnitude(c);
    HONE_TRY(read_gguf_factors(f, c));
    return check_config(f, c);
}

hone_status hone_rope_read(const hone_file *f, bool local, bool use_long, uint32_t head_dim,
                           double context, hone_rope_config *c, hone_rope *out)
{
    bool gguf = hone_file_kind(f) == HONE_FILE_GGUF;
    HONE_TRY(gguf ? config_from_gguf(f, local, head_dim, context, c)
                  : hone_rope_config_from_hf(f, local, head_dim, context, c));
    c->use_long = use_long;
    hone_rope_init(c, out);
    return gguf && !local ? apply_gguf_factors(f, out) : HONE_OK;
}

/*
 * Sine and cosine of a float32 angle, |x| < 2^27: Cody-Waite reduction by pi/2 in three parts (the
 * first two have 33 bits, so n times them is exact for n < 2^20; beyond that the error stays below
 * 2^-40), then the Taylor-minimax polynomials of degree 13 and 14 on [-pi/4, pi/4] known from
 * fdlibm. Plain double operations in a fixed order: the same bits wherever this is compiled without
 * contraction.
 */
static void sincos_fixed(double x, double *sn, double *cs)
{
    double n = nearbyint(x * 6.36619772367581382433e-01);
    double r = ((x - n * 1.57079632673412561417e+00) - n * 6.07710050630396597660e-11) -
               n * 2.02226624879595063154e-21;
    double z = r * r;
    double s = 1.58969099521155010221e-10;
    s = s * z - 2.50507602534068634195e-08;
    s = s * z + 2.75573137070700676789e-06;
    s = s * z - 1.98412698298579493134e-04;
    s = s * z + 8.33333333332248946124e-03;
    s = s * z - 1.66666666666666324348e-01;
    s = r + r * z * s;
    double c = -1.13596475577881948265e-11;
    c = c * z + 2.08757232129817482790e-09;
    c = c * z - 2.75573143513906633035e-07;
    c = c * z + 2.48015872894767294178e-05;
    c = c * z - 1.38888888888741095749e-03;
    c = c * z + 4.16666666666666019037e-02;
    c = 1.0 - 0.5 * z + z * z * c;
    int64_t q = (int64_t)n;
    double a = q & 1 ? c : s, b = q & 1 ? s : c;
    *sn = q & 2 ? -a : a;
    *cs = (q + 1) & 2 ? -b : b;
}

void hone_rope_angles(const hone_rope *r, uint32_t position, float *cs, float *sn)
{
    for (uint32_t i = 0; i < r->dim / 2; i++) {
        double s, c;
        float angle = (float)position * r->inv_freq[i]; /* float32, as the reference */
        sincos_fixed((double)angle, &s, &c);
        cs[i] = (float)c * r->magnitude;
        sn[i] = (float)s * r->magnitude;
    }
}
