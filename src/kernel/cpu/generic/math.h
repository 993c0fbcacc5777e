/* math - elementary functions over v16, the same bits on every set. Include after a set's vec.h. */
#ifndef HONE_KERNEL_GENERIC_MATH_H
#define HONE_KERNEL_GENERIC_MATH_H

/* exp(x): x = n ln2 + r, polynomial of degree 6 in r (the coefficients of Cephes' expf, S.
 * Moshier), times 2^n. Below -87 it is +0, above 88.3 +infinity, NaN stays NaN. Error < 2 ulp
 * between. */
static inline v16 hone_v16_exp(v16 x)
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
    y = v16_select_lt(x, v16_set1(-87.0f), v16_zero(), y);
    return v16_select_lt(v16_set1(88.3f), x, v16_set1(__builtin_inff()), y);
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
