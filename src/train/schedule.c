#include "train/schedule.h"

#include <math.h>
#include <string.h>

static const char *const names[HONE_SCHEDULE_COUNT] = {"constant", "cosine", "wsd"};

const char *hone_schedule_name(hone_schedule_kind k)
{
    return (unsigned)k < HONE_SCHEDULE_COUNT ? names[k] : "?";
}

bool hone_schedule_by_name(const char *name, hone_schedule_kind *out)
{
    for (int i = 0; i < HONE_SCHEDULE_COUNT; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (hone_schedule_kind)i;
            return true;
        }
    return false;
}

/* Where step lies in [from, from + n): 0 ... 1 */
static double part_of(uint64_t step, uint64_t from, uint64_t n)
{
    if (step < from || !n)
        return 0;
    return step - from >= n ? 1 : (double)(step - from) / (double)n;
}

double hone_schedule_rate(const hone_schedule *s, uint64_t step)
{
    if (step < s->warmup)
        return s->rate * (double)(step + 1) / (double)s->warmup;
    uint64_t rest = s->steps > s->warmup ? s->steps - s->warmup : 0;
    if (s->kind == HONE_SCHEDULE_COSINE) {
        double t = part_of(step, s->warmup, rest);
        return s->rate * (s->floor + (1 - s->floor) * 0.5 * (1 + cos(3.14159265358979323846 * t)));
    }
    if (s->kind == HONE_SCHEDULE_WSD) {
        uint64_t decay = s->decay < rest ? s->decay : rest;
        return s->rate * (1 - (1 - s->floor) * part_of(step, s->steps - decay, decay));
    }
    return s->rate;
}
