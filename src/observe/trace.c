/* trace - the recorded stretch in the Trace Event Format (Google, "Trace Event Format", 2016). */
#include "observe/profile.h"

#include "base/io.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PID = 1, TID_MAIN = 1, TID_POOL = 2 };

typedef struct trace {
    FILE *f;
    const hone_profile *p;
    uint64_t zero_ns;
    bool some;
} trace;

static double us(const trace *t, uint64_t ns)
{
    return ns > t->zero_ns ? 1e-3 * (double)(ns - t->zero_ns) : 0;
}

static void begin_event(trace *t)
{
    fputs(t->some ? ",\n" : "\n", t->f);
    t->some = true;
}

static void put_name(trace *t, const char *what, int tid, const char *name, int number)
{
    char text[64];
    snprintf(text, sizeof text, number >= 0 ? "%s %d" : "%s", name, number);
    json_t *s = json_string(text);
    char *escaped = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;
    json_decref(s);
    begin_event(t);
    fprintf(t->f, "{\"ph\":\"M\",\"name\":\"%s\",\"pid\":%d,\"tid\":%d,\"args\":{\"name\":%s}}",
            what, PID, tid, escaped ? escaped : "\"hone\"");
    if (number < 0 && tid)
        fprintf(t->f,
                ",\n{\"ph\":\"M\",\"name\":\"thread_sort_index\",\"pid\":%d,\"tid\":%d,"
                "\"args\":{\"sort_index\":%d}}",
                PID, tid, tid);
    hone_free(escaped);
}

static void put(trace *t, const char *name, const char *category, int tid, uint64_t begin_ns,
                uint64_t end_ns)
{
    begin_event(t);
    fprintf(t->f,
            "{\"ph\":\"X\",\"name\":\"%s\",\"cat\":\"%s\",\"pid\":%d,\"tid\":%d,\"ts\":%.3f,"
            "\"dur\":%.3f",
            name, category, PID, tid, us(t, begin_ns), 1e-3 * (double)(end_ns - begin_ns));
}

static void put_span(trace *t, const hone_span *s)
{
    bool step = s->kind == HONE_SPAN_STEP;
    put(t, hone_span_name((hone_span_kind)s->kind),
        step ? "step" : hone_profile_group_name(hone_profile_group_of(s->kind)), TID_MAIN,
        s->begin_ns, s->end_ns);
    if (!step) {
        fprintf(t->f, ",\"args\":{\"flops\":%.0f,\"bytes\":%.0f", s->flops, s->bytes);
        if (s->layer >= 0)
            fprintf(t->f, ",\"layer\":%d", s->layer);
        fputs("}", t->f);
    }
    fputs("}", t->f);
}

static int by_begin(const void *a, const void *b)
{
    const hone_span *x = a, *y = b;
    if (x->begin_ns != y->begin_ns)
        return x->begin_ns < y->begin_ns ? -1 : 1;
    return (x->end_ns < y->end_ns) - (x->end_ns > y->end_ns); /* the outer one first */
}

/* What the span around a mark does; spans and marks are in the order of time. */
static const char *doing(const hone_span *spans, size_t n, size_t *at, uint64_t ns)
{
    while (*at < n && (spans[*at].end_ns <= ns || spans[*at].kind == HONE_SPAN_STEP))
        ++*at;
    return *at < n && spans[*at].begin_ns <= ns ? hone_span_name((hone_span_kind)spans[*at].kind)
                                                : "work";
}

static void put_track(trace *t, int thread, const hone_span *spans, size_t n)
{
    const hone_pool_track *track = &t->p->spans.threads->tracks[thread];
    uint64_t since = t->p->n_last ? t->p->last[0].begin_ns : 0;
    size_t at = 0;
    for (size_t i = 0; i < track->count; i++) {
        const hone_pool_mark *m = &track->list[i];
        if (m->begin_ns < since)
            continue;
        if (thread > 0 && m->begin_ns > since) {
            put(t, "waiting", "waiting", TID_POOL + thread, since, m->begin_ns);
            fputs("}", t->f);
        }
        put(t, m->items ? doing(spans, n, &at, m->begin_ns) : "waiting",
            m->items ? "work" : "waiting", TID_POOL + thread, m->begin_ns, m->end_ns);
        if (m->items)
            fprintf(t->f, ",\"args\":{\"items\":%" PRIu32 "}", m->items);
        fputs("}", t->f);
        since = m->end_ns;
    }
    uint64_t end = t->p->n_last ? t->p->last[t->p->n_last - 1].end_ns : since;
    if (thread > 0 && since < end) {
        put(t, "waiting", "waiting", TID_POOL + thread, since, end);
        fputs("}", t->f);
    }
}

static void put_all(trace *t, const char *title, const hone_span *spans, size_t n)
{
    const hone_profile *p = t->p;
    fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", t->f);
    put_name(t, "process_name", 0, title, -1);
    put_name(t, "thread_name", TID_MAIN, "request", -1);
    for (int i = 0; i < p->threads; i++)
        put_name(t, "thread_name", TID_POOL + i, "pool thread", i);
    if (p->tokenizer_ns) {
        put(t, "open tokenizer", "once", TID_MAIN, p->tokenizer_ns,
            p->tokenizer_ns + (uint64_t)(1e9 * p->tokenizer_s));
        fputs("}", t->f);
    }
    if (p->load_ns) {
        put(t, "load", "once", TID_MAIN, p->load_ns, p->load_ns + (uint64_t)(1e9 * p->load_s));
        fputs("}", t->f);
    }
    size_t at = 0;
    for (size_t i = 0; i < p->n_last; i++) {
        put(t, hone_phase_name(p->last[i].phase), "phase", TID_MAIN, p->last[i].begin_ns,
            p->last[i].end_ns);
        fputs("}", t->f);
        for (; at < n && spans[at].begin_ns < p->last[i].end_ns; at++)
            put_span(t, &spans[at]);
    }
    for (int i = 0; i < p->threads; i++)
        put_track(t, i, spans, n);
    fputs("\n]}\n", t->f);
}

hone_status hone_profile_write_trace(const hone_profile *p, const char *title, const char *path)
{
    size_t n = p->spans.count, bytes = 0;
    char *text = NULL;
    trace t = {.p = p, .zero_ns = p->n_last ? p->last[0].begin_ns : 0};
    if (p->load_ns && p->load_ns < t.zero_ns)
        t.zero_ns = p->load_ns;
    if (p->tokenizer_ns && p->tokenizer_ns < t.zero_ns)
        t.zero_ns = p->tokenizer_ns;
    hone_span *sorted = hone_malloc((n + 1) * sizeof *sorted);
    if (!sorted)
        return hone_fail_memory(n * sizeof *sorted, "a trace");
    if (n)
        memcpy(sorted, p->spans.list, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_begin);
    t.f = open_memstream(&text, &bytes);
    bool failed = !t.f;
    if (t.f) {
        put_all(&t, title, sorted, n);
        failed = ferror(t.f);
        failed |= fclose(t.f) != 0;
    }
    hone_free(sorted);
    hone_status s =
        failed ? hone_fail_memory(bytes, "a trace") : hone_write_file(path, text, bytes);
    free(text);
    return s;
}
