#include "eval/eval.h"

#include <stdio.h>

static uint32_t bos_count(const hone_eval_protocol *p)
{
    return p->bos >= 0 ? 1 : 0;
}

hone_eval_protocol hone_eval_protocol_default(uint32_t model_context_tokens, int32_t bos)
{
    uint32_t c = HONE_EVAL_CONTEXT_DEFAULT;
    if (model_context_tokens > 0 && model_context_tokens < c)
        c = model_context_tokens;
    return (hone_eval_protocol){.context = c, .stride = c, .bos = bos < 0 ? -1 : bos};
}

uint32_t hone_eval_protocol_payload(const hone_eval_protocol *p)
{
    return p->context - bos_count(p);
}

uint32_t hone_eval_protocol_step(const hone_eval_protocol *p)
{
    uint32_t payload = hone_eval_protocol_payload(p);
    return p->stride < payload ? p->stride : payload;
}

void hone_eval_protocol_describe(const hone_eval_protocol *p, char *out, size_t n)
{
    snprintf(out, n,
             "context %u, stride %u, %s, scored: every token not scored before that has a "
             "predecessor in its window",
             p->context, hone_eval_protocol_step(p), p->bos >= 0 ? "BOS per window" : "no BOS");
}

bool hone_eval_window_at(const hone_eval_protocol *p, size_t n, size_t index, hone_eval_window *out)
{
    size_t payload = hone_eval_protocol_payload(p), step = hone_eval_protocol_step(p);
    if (n == 0 || index > n / step)
        return false;
    size_t begin = index * step;
    /* The window before this one must not have reached the end. */
    if (begin >= n || (index > 0 && begin - step + payload >= n))
        return false;
    size_t end = begin + payload < n ? begin + payload : n;
    size_t from = index > 0 ? begin - step + payload : 0;
    if (!bos_count(p) && from <= begin)
        from = begin + 1;
    if (from > end)
        from = end;
    *out = (hone_eval_window){.begin = begin, .end = end, .score_from = from};
    return true;
}

void hone_eval_count(const hone_eval_protocol *p, size_t n, size_t *windows, size_t *scored)
{
    hone_eval_window w;
    *windows = 0;
    *scored = 0;
    while (hone_eval_window_at(p, n, *windows, &w)) {
        *windows += 1;
        *scored += w.end - w.score_from;
    }
}
