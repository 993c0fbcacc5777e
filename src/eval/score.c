#include "eval/eval.h"

#include <math.h>

/* log(sum of exp(x)) = *max + log(*sum). False if an x is NaN or +inf, or if all are -inf. */
static bool log_sum(const float *x, uint32_t n, double *max, double *sum)
{
    double m = -INFINITY;
    bool nan = false;
    for (uint32_t i = 0; i < n; i++) {
        nan |= isnan(x[i]) != 0;
        m = (double)x[i] > m ? (double)x[i] : m;
    }
    if (nan || !isfinite(m))
        return false;
    double s = 0;
    for (uint32_t i = 0; i < n; i++)
        s += exp((double)x[i] - m);
    *max = m;
    *sum = s;
    return true;
}

double hone_eval_nll(const float *logits, uint32_t vocab, int32_t target)
{
    double max, sum;
    if (!log_sum(logits, vocab, &max, &sum))
        return NAN;
    return log(sum) + (max - (double)logits[target]);
}

double hone_eval_kl(const float *ref, const float *test, uint32_t vocab)
{
    double rm, rs, tm, ts;
    if (!log_sum(ref, vocab, &rm, &rs) || !log_sum(test, vocab, &tm, &ts))
        return NAN;
    double rl = rm + log(rs), tl = tm + log(ts), kl = 0;
    for (uint32_t i = 0; i < vocab; i++) {
        double lp = (double)ref[i] - rl, p = exp(lp);
        if (p > 0)
            kl += p * (lp - ((double)test[i] - tl));
    }
    return kl > 0 ? kl : 0;
}

uint32_t hone_eval_top1(const float *logits, uint32_t vocab)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}
