/*
 * Normal numbers by inversion: 16 random bits pick the middle of one of 65536 slices of equal
 * probability. The quantiles come from Acklam's rational approximation (relative error 1.2e-9) with
 * a logarithm made of +, -, *, / alone, so that the table has the same bits everywhere.
 */
#include "base/rng.h"
#include "compress/synth.h"
#include "compress/synth_parts.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <xxhash.h>

enum { SLICES = 1 << 16 };

static float quantiles[SLICES];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ln x for x in (0, 1): x = m * 2^e, ln m = 2 artanh((m - 1)/(m + 1)) by its series. */
static double log_portable(double x)
{
    int e;
    double m = frexp(x, &e), s = (m - 1) / (m + 1), square = s * s, power = s, sum = 0;
    for (int i = 1; i < 80; i += 2, power *= square)
        sum += power / i;
    return 2 * sum + e * 0.69314718055994530942;
}

static double quantile(double p)
{
    static const double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,
                               -2.759285104469687e+02, 1.383577518672690e+02,
                               -3.066479806614716e+01, 2.506628277459239e+00};
    static const double b[] = {-5.447609879822406e+01, 1.615858368580409e+02,
                               -1.556989798598866e+02, 6.680131188771972e+01,
                               -1.328068155288572e+01};
    static const double c[] = {-7.784894002430293e-03, -3.223964580411365e-01,
                               -2.400758277161838e+00, -2.549732539343734e+00,
                               4.374664141464968e+00,  2.938163982698783e+00};
    static const double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                               3.754408661907416e+00};
    if (p < 0.02425) {
        double q = sqrt(-2 * log_portable(p));
        return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
               ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
    }
    double q = p - 0.5, r = q * q;
    return (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
           (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

static void fill_quantiles(void)
{
    for (int i = 0; i < SLICES / 2; i++) {
        float v = (float)quantile((i + 0.5) / SLICES);
        quantiles[i] = v;
        quantiles[SLICES - 1 - i] = -v;
    }
}

void hone_synth_normal(uint64_t seed, const char *tensor, uint64_t first, size_t n, float scale,
                       float *dst)
{
    pthread_once(&once, fill_quantiles);
    uint64_t stream = XXH3_64bits(tensor, strlen(tensor));
    for (size_t i = 0; i < n; i += 8) {
        uint32_t word[4];
        hone_rng_block(seed, stream, (first + i) / 8, word);
        for (size_t j = 0; j < 8 && i + j < n; j++)
            dst[i + j] = scale * quantiles[(word[j / 2] >> (16 * (j & 1))) & 0xffff];
    }
}
