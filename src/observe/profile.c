#include "observe/profile.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name, *text;
} phases[] = {
#define ROW(id, name, text) {name, text},
    HONE_PHASE_LIST(ROW)
#undef ROW
};

static const char *const groups[] = {
#define ROW(id, name) name,
    HONE_PROFILE_GROUP_LIST(ROW)
#undef ROW
};

/* limited: its bytes have to come from memory, or it multiplies. */
static const struct {
    hone_profile_group group;
    bool limited;
} kinds[HONE_SPAN_KINDS] = {
    [HONE_SPAN_TOKENIZE] = {HONE_PROFILE_TEXT, false},
    [HONE_SPAN_LOAD] = {HONE_PROFILE_TEXT, false},
    [HONE_SPAN_EMBED] = {HONE_PROFILE_ENDS, false},
    [HONE_SPAN_NORM] = {HONE_PROFILE_NORMS, false},
    [HONE_SPAN_ATTN_QKV] = {HONE_PROFILE_MIXER, true},
    [HONE_SPAN_ATTN_ROPE] = {HONE_PROFILE_MIXER, false},
    [HONE_SPAN_ATTENTION] = {HONE_PROFILE_MIXER, true},
    [HONE_SPAN_ATTN_OUT] = {HONE_PROFILE_MIXER, true},
    [HONE_SPAN_MLP_UP] = {HONE_PROFILE_CHANNEL, true},
    [HONE_SPAN_MLP_ACT] = {HONE_PROFILE_CHANNEL, false},
    [HONE_SPAN_MLP_DOWN] = {HONE_PROFILE_CHANNEL, true},
    [HONE_SPAN_RESIDUAL] = {HONE_PROFILE_NORMS, false},
    [HONE_SPAN_HEAD] = {HONE_PROFILE_ENDS, true},
    [HONE_SPAN_SAMPLE] = {HONE_PROFILE_TEXT, false},
    [HONE_SPAN_DETOKENIZE] = {HONE_PROFILE_TEXT, false},
    [HONE_SPAN_STEP] = {HONE_PROFILE_TEXT, false},
};

const char *hone_phase_name(hone_phase p)
{
    return phases[p].name;
}

const char *hone_phase_text(hone_phase p)
{
    return phases[p].text;
}

const char *hone_profile_group_name(hone_profile_group g)
{
    return groups[g];
}

hone_profile_group hone_profile_group_of(int span_kind)
{
    return kinds[span_kind].group;
}

static hone_status open_lists(hone_profile *p, size_t spans_max)
{
    HONE_TRY(hone_spans_open(spans_max, &p->spans));
    p->spans.threads = hone_calloc(1, sizeof *p->spans.threads);
    if (!p->spans.threads)
        return hone_fail_memory(sizeof *p->spans.threads, "a profile");
    HONE_TRY(hone_pool_log_open(p->threads, 2 * spans_max, p->spans.threads));
    for (int i = 0; i < HONE_PHASES; i++) {
        p->phases[i].layers = hone_calloc(p->layers + 1, sizeof *p->phases[i].layers);
        if (!p->phases[i].layers)
            return hone_fail_memory(p->layers * sizeof *p->phases[i].layers, "a profile");
    }
    return HONE_OK;
}

hone_status hone_profile_open(uint32_t layers, int threads, size_t spans_max, hone_profile **out)
{
    *out = NULL;
    hone_profile *p = hone_calloc(1, sizeof *p);
    if (!p)
        return hone_fail_memory(sizeof *p, "a profile");
    p->layers = layers;
    p->threads = threads;
    hone_status s = open_lists(p, spans_max);
    if (s == HONE_OK)
        *out = p;
    else
        hone_profile_close(p);
    return s;
}

void hone_profile_close(hone_profile *p)
{
    if (!p)
        return;
    for (int i = 0; i < HONE_PHASES; i++)
        hone_free(p->phases[i].layers);
    if (p->spans.threads)
        hone_pool_log_close(p->spans.threads);
    hone_free(p->spans.threads);
    hone_spans_close(&p->spans);
    hone_free(p);
}

void hone_profile_clear(hone_profile *p)
{
    hone_spans_clear(&p->spans);
    p->n_last = p->dropped_now = 0;
}

void hone_profile_reset(hone_profile *p)
{
    hone_profile_clear(p);
    p->dropped = 0;
    for (int i = 0; i < HONE_PHASES; i++) {
        void *layers = p->phases[i].layers;
        memset(layers, 0, p->layers * sizeof *p->phases[i].layers);
        p->phases[i] = (hone_profile_phase){.layers = layers};
    }
}

/* Seconds of a track's marks, at work or waiting, that lie in [begin, end). Spans come in the order
 * of time, so that *at never goes back. */
static double overlap(const hone_pool_track *t, size_t *at, uint64_t begin, uint64_t end,
                      bool waiting)
{
    double s = 0;
    while (*at < t->count && t->list[*at].end_ns <= begin)
        ++*at;
    for (size_t i = *at; i < t->count && t->list[i].begin_ns < end; i++) {
        const hone_pool_mark *m = &t->list[i];
        if ((m->items == 0) != waiting)
            continue;
        uint64_t from = m->begin_ns > begin ? m->begin_ns : begin,
                 to = m->end_ns < end ? m->end_ns : end;
        if (to > from)
            s += 1e-9 * (double)(to - from);
    }
    return s;
}

static void add_part(hone_profile_part *to, const hone_profile_part *from)
{
    to->seconds += from->seconds;
    to->waiting_s += from->waiting_s;
    to->busy_s += from->busy_s;
    to->flops += from->flops;
    to->bytes += from->bytes;
    to->calls += from->calls;
}

enum { TRACKS_MAX = 512 }; /* as many threads as a pool has at most */

void hone_profile_add(hone_profile *p, hone_phase phase, uint64_t begin_ns, uint64_t end_ns,
                      double cpu_s, uint64_t tokens)
{
    hone_profile_phase *f = &p->phases[phase];
    const hone_pool_log *log = p->spans.threads;
    size_t at[TRACKS_MAX] = {0};
    double in_spans = 0;
    for (size_t i = 0; i < p->spans.count; i++) {
        const hone_span *s = &p->spans.list[i];
        if (s->kind == HONE_SPAN_STEP || s->begin_ns < begin_ns || s->end_ns > end_ns)
            continue;
        hone_profile_part one = {.seconds = 1e-9 * (double)(s->end_ns - s->begin_ns),
                                 .flops = s->flops,
                                 .bytes = s->bytes,
                                 .calls = 1};
        one.waiting_s = overlap(&log->tracks[0], &at[0], s->begin_ns, s->end_ns, true);
        one.busy_s = one.seconds - one.waiting_s;
        for (int t = 1; t < log->threads && t < TRACKS_MAX; t++)
            one.busy_s += overlap(&log->tracks[t], &at[t], s->begin_ns, s->end_ns, false);
        add_part(&f->parts[s->kind], &one);
        if (s->layer >= 0 && (uint32_t)s->layer < p->layers)
            add_part(&f->layers[s->layer][s->kind], &one);
        in_spans += one.seconds;
        f->waiting_s += one.waiting_s;
    }
    double wall = 1e-9 * (double)(end_ns - begin_ns);
    f->wall_s += wall;
    f->between_s += wall - in_spans;
    f->cpu_s += cpu_s;
    f->tokens += tokens;
    f->stretches++;
    size_t dropped = p->spans.dropped; /* since it was emptied: part of it may be counted */
    for (int t = 0; t < log->threads; t++)
        dropped += log->tracks[t].dropped;
    p->dropped += dropped - p->dropped_now;
    p->dropped_now = dropped;
    if (p->n_last < HONE_PHASES)
        p->last[p->n_last++] = (hone_profile_stretch){phase, begin_ns, end_ns};
}

static void hold_part(hone_profile_part *part, int kind, double read_bytes_s, double ops_s)
{
    part->limit_s = 0;
    if (!kinds[kind].limited)
        return;
    if (read_bytes_s > 0)
        part->limit_s = part->bytes / read_bytes_s;
    if (ops_s > 0)
        part->limit_s = fmax(part->limit_s, part->flops / ops_s);
}

void hone_profile_hold(hone_profile *p, double read_bytes_s, const double ops_s[HONE_PHASES])
{
    p->read_bytes_s = read_bytes_s;
    for (int i = 0; i < HONE_PHASES; i++) {
        p->ops_s[i] = ops_s[i];
        for (int k = 0; k < HONE_SPAN_KINDS; k++) {
            hold_part(&p->phases[i].parts[k], k, read_bytes_s, ops_s[i]);
            for (uint32_t layer = 0; layer < p->layers; layer++)
                hold_part(&p->phases[i].layers[layer][k], k, read_bytes_s, ops_s[i]);
        }
    }
}

void hone_profile_records(hone_profile *p, double *per_token, double *each_s)
{
    enum { TIMES = 1000, PASSES = 50 };
    const hone_profile_stretch *last = p->n_last ? &p->last[p->n_last - 1] : NULL;
    size_t n = 0;
    for (size_t i = 0; last && i < p->spans.count; i++)
        n += p->spans.list[i].begin_ns >= last->begin_ns;
    for (int t = 0; last && t < p->threads; t++)
        for (size_t i = 0; i < p->spans.threads->tracks[t].count; i++)
            n += p->spans.threads->tracks[t].list[i].begin_ns >= last->begin_ns;
    *per_token = p->decode_tokens ? (double)n / p->decode_tokens : 0;
    hone_span list[TIMES];
    double best = INFINITY; /* the least disturbed pass */
    for (int pass = 0; pass < PASSES; pass++) {
        hone_spans scratch = {.list = list, .capacity = TIMES};
        uint64_t begin = hone_clock_ns();
        for (int i = 0; i < TIMES; i++)
            hone_span_end(&scratch, HONE_SPAN_NORM, i, hone_span_begin(&scratch), 0, 0);
        best = fmin(best, 1e-9 * (double)(hone_clock_ns() - begin));
    }
    *each_s = best / TIMES;
}

/* ---- as JSON ------------------------------------------------------------------------------------
 */

static json_t *part_json(const hone_profile_part *part, int kind, double wall_s)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "name",
                          hone_span_name((hone_span_kind)kind), "text",
                          hone_span_text((hone_span_kind)kind), "group", groups[kinds[kind].group],
                          "calls", (json_int_t)part->calls, "seconds", part->seconds, "waiting_s",
                          part->waiting_s, "busy_s", part->busy_s, "bytes", part->bytes, "flops",
                          part->flops, "share", wall_s > 0 ? part->seconds / wall_s : 0);
    if (part->limit_s > 0 && part->seconds > 0)
        json_object_set_new(o, "limit_share", json_real(part->limit_s / part->seconds));
    return o;
}

static json_t *parts_json(const hone_profile_part *parts, double wall_s)
{
    json_t *list = json_array();
    for (int k = 0; k < HONE_SPAN_KINDS; k++)
        if (parts[k].calls)
            json_array_append_new(list, part_json(&parts[k], k, wall_s));
    return list;
}

static json_t *phase_json(const hone_profile *p, hone_phase phase, bool layers)
{
    const hone_profile_phase *f = &p->phases[phase];
    json_t *o = json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:I, s:I, s:f, s:o}", "name",
                          phases[phase].name, "text", phases[phase].text, "wall_s", f->wall_s,
                          "cpu_s", f->cpu_s, "between_s", f->between_s, "waiting_s", f->waiting_s,
                          "tokens", (json_int_t)f->tokens, "stretches", (json_int_t)f->stretches,
                          "ops_s", p->ops_s[phase], "parts", parts_json(f->parts, f->wall_s));
    if (!layers)
        return o;
    json_t *list = json_array();
    for (uint32_t i = 0; i < p->layers; i++)
        json_array_append_new(list, json_pack("{s:I, s:o}", "layer", (json_int_t)i, "parts",
                                              parts_json(f->layers[i], f->wall_s)));
    json_object_set_new(o, "layers", list);
    return o;
}

json_t *hone_profile_json(const hone_profile *p, bool layers)
{
    json_t *list = json_array();
    for (int i = 0; i < HONE_PHASES; i++)
        if (p->phases[i].stretches)
            json_array_append_new(list, phase_json(p, (hone_phase)i, layers));
    return json_pack("{s:I, s:i, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, "
                     "s:o}",
                     "layers", (json_int_t)p->layers, "threads", p->threads, "prompt_tokens",
                     (json_int_t)p->prompt_tokens, "decode_tokens", (json_int_t)p->decode_tokens,
                     "requests", (json_int_t)p->requests, "load_s", p->load_s, "load_cpu_s",
                     p->load_cpu_s, "tokenizer_s", p->tokenizer_s, "first_cold_s", p->first_cold_s,
                     "first_s", p->first_s, "second_s", p->second_s, "steady_s", p->steady_s,
                     "steady_p95_s", p->steady_p95_s, "read_bytes_s", p->read_bytes_s, "dropped",
                     (json_int_t)p->dropped, "phases", list);
}
