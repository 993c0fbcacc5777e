/* math - elementary functions over v16, the same bits on every set. Include after a set's vec.h. */
#ifndef HONE_KERNEL_GENERIC_MATH_H
#define HONE_KERNEL_GENERIC_MATH_H

/* exp(x) of x <= 88.3: x = n ln2 + r, polynomial of degree 6 in r (the coefficients of Cephes'
 * expf, S. Moshier), times 2^n. Below -87 it is +0, NaN stays NaN. Error < 2 ulp between. */
static inline v16 hone_v16_exp_below(v16 x)
{
    const v16 magic = v16_set1(12582912.0f);
    v16 t = v16_fma(x, v16_set1(1.44269504088896341f), magic);
    v16 n = v16_sub(t, magic);
    v16 r = v16_fma(n, v16_set1(-0.693359375f), x);
    r = v16_fma(n, v16_set1(2.12194440e-4f), r);
    v16 p = v16_set1(1.9875691500e-4f);
    p = v16_fma(p, r, v16_set1(1.3981999507e-3f));
    p = v16_fma(p, r, v16_set1(8.3334519073e-3f));
    p = v16_fma(p, r, v16_set1(4.1665795894e-2f));
    p = v16_fma(p, r, v16_set1(1.6666665459e-1f));
    p = v16_fma(p, r, v16_set1(5.0000001201e-1f));
    p = v16_fma(p, v16_mul(r, r), r);
    p = v16_add(p, v16_set1(1.0f));
    v16 y = v16_mul(p, v16_pow2_magic(t));
    return v16_select_lt(x, v16_set1(-87.0f), v16_zero(), y);
}

/* exp(x): the same, and +infinity above 88.3 */
static inline v16 hone_v16_exp(v16 x)
{
    return v16_select_lt(v16_set1(88.3f), x, v16_set1(__builtin_inff()), hone_v16_exp_below(x));
}

static inline v16 hone_v16_horner(v16 x, const float *c, int n)
{
    v16 p = v16_set1(c[0]);
    for (int i = 1; i < n; i++)
        p = v16_fma(p, x, v16_set1(c[i]));
    return p;
}

/* max(x, -x): |x| */
static inline v16 hone_v16_abs(v16 x)
{
    return v16_max(x, v16_sub(v16_zero(), x));
}

/* tanh(x): an odd polynomial below 0.625 (the coefficients of Cephes' tanhf), above it
 * 1 - 2 / (exp(2|x|) + 1) with the sign of x. */
static inline v16 hone_v16_tanh(v16 x)
{
    static const float c[5] = {-5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f,
                               1.33314422036e-1f, -3.33332819422e-1f};
    const v16 one = v16_set1(1.0f), zero = v16_zero();
    v16 z = v16_mul(x, x), a = hone_v16_abs(x);
    v16 small = v16_fma(v16_mul(hone_v16_horner(z, c, 5), z), x, x);
    v16 e = v16_add(hone_v16_exp(v16_add(a, a)), one);
    v16 big = v16_sub(one, v16_div(v16_set1(2.0f), e));
    big = v16_select_lt(x, zero, v16_sub(zero, big), big);
    return v16_select_lt(a, v16_set1(0.625f), small, big);
}

/* cap * tanh(x / cap) */
static inline v16 hone_v16_softcap(v16 x, v16 cap)
{
    return v16_mul(hone_v16_tanh(v16_div(x, cap)), cap);
}

/* erf(x): below 1 an odd polynomial (the coefficients of Cephes' erff), above it
 * 1 - exp(-x^2) q(1 / x^2) / |x| with the sign of x (Cephes' erfcf, one polynomial to 2, one
 * beyond). */
static inline v16 hone_v16_erf(v16 x)
{
    static const float t[7] = {7.853861353153693e-5f, -8.010193625184903e-4f,
                               5.188327685732524e-3f, -2.685381193529856e-2f,
                               1.128358514861418e-1f, -3.761262582423300e-1f,
                               1.128379165726710f};
    static const float p[9] = {
        2.326819970068386e-2f,  -1.387039388740657e-1f, 3.687424674597105e-1f,
        -5.824733027278666e-1f, 6.210004621745983e-1f,  -4.944515323274145e-1f,
        3.404879937665872e-1f,  -2.741127028184656e-1f, 5.638259427386472e-1f};
    static const float r[8] = {-1.047766399936249e+1f, 1.297719955372516e+1f, -7.495518717768503f,
                               2.921019019210786f,     -1.015265279202700f,   4.218463358204948e-1f,
                               -2.820767439740514e-1f, 5.641895067754075e-1f};
    const v16 one = v16_set1(1.0f), zero = v16_zero();
    v16 z = v16_mul(x, x), a = hone_v16_abs(x), inverse = v16_div(one, z);
    v16 q = v16_select_lt(a, v16_set1(2.0f), hone_v16_horner(inverse, p, 9),
                          hone_v16_horner(inverse, r, 8));
    v16 tail = v16_div(v16_mul(hone_v16_exp(v16_sub(zero, z)), q), a);
    v16 big = v16_sub(one, tail);
    big = v16_select_lt(x, zero, v16_sub(zero, big), big);
    return v16_select_lt(a, one, v16_mul(x, hone_v16_horner(z, t, 7)), big);
}

static inline float hone_exp1(float x)
{
    float out[16];
    v16_store(out, hone_v16_exp(v16_set1(x)));
    return out[0];
}

/* log(x) of a positive finite normal x (Cephes' logf): x = 2^e (1 + f), sqrt(1/2) <= 1 + f <
 * sqrt(2). */
static inline float hone_log1(float x)
{
    uint32_t u = hone_f32_bits(x);
    int e = (int)(u >> 23) - 126;
    float m = hone_f32_from_bits((u & 0x7fffffu) | 0x3f000000u); /* [0.5, 1) */
    if (m < 0.70710678118654752440f) {
        m += m;
        e--;
    }
    float f = m - 1.0f, z = f * f, n = (float)e;
    static const float c[9] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                               -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                               2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
    float p = c[0];
    for (int i = 1; i < 9; i++)
        p = __builtin_fmaf(p, f, c[i]);
    p = p * f * z;
    p = __builtin_fmaf(n, -2.12194440e-4f, p);
    p = __builtin_fmaf(z, -0.5f, p);
    return __builtin_fmaf(n, 0.693359375f, f + p);
}

#endif
