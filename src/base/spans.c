#include "base/spans.h"

#include "base/mem.h"

hone_status hone_spans_open(size_t capacity, hone_spans *out)
{
    *out = (hone_spans){.capacity = capacity};
    out->list = hone_calloc(capacity, sizeof *out->list);
    return out->list ? HONE_OK : hone_fail_memory(capacity * sizeof *out->list, "profile spans");
}

void hone_spans_close(hone_spans *s)
{
    hone_free(s->list);
    *s = (hone_spans){0};
}

void hone_spans_clear(hone_spans *s)
{
    s->count = s->dropped = 0;
    if (s->threads)
        hone_pool_log_clear(s->threads);
}

const char *hone_span_name(hone_span_kind kind)
{
    static const char *const names[] = {"tokenize", "load",      "embed",      "norm",
                                        "attn_qkv", "attn_rope", "attention",  "attn_out",
                                        "mlp_up",   "mlp_act",   "mlp_down",   "residual",
                                        "head",     "sample",    "detokenize", "step"};
    _Static_assert(sizeof names / sizeof *names == HONE_SPAN_KINDS, "a name for each span");
    return (unsigned)kind < HONE_SPAN_KINDS ? names[kind] : "?";
}

const char *hone_span_text(hone_span_kind kind)
{
    static const char *const texts[] = {
#define TEXT(name, text) text,
        HONE_SPAN_LIST(TEXT)
#undef TEXT
    };
    return (unsigned)kind < HONE_SPAN_KINDS ? texts[kind] : "?";
}

void hone_span_end(hone_spans *s, hone_span_kind kind, int layer, uint64_t begin_ns, double flops,
                   double bytes)
{
    if (!s)
        return;
    if (s->count == s->capacity) {
        s->dropped++;
        return;
    }
    s->list[s->count++] = (hone_span){begin_ns, hone_clock_ns(), flops, bytes, (int)kind, layer};
}
