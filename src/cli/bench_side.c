#include "cli/bench_side.h"

#include "base/mem.h"
#include "report/report.h"

#include <stdio.h>

static hone_status engine_sample(void *of, const bench_test *t, double *cost)
{
    return bench_sample(of, t, cost);
}

hone_status bench_side_engine(bench *b, bench_side *out)
{
    char words[256];
    *out = (bench_side){.sample = engine_sample, .of = b};
    hone_config_describe(hone_engine_config(b->engine), words, sizeof words);
    snprintf(out->name, sizeof out->name, "%.500s (%s)", b->model, words);
    out->json = json_pack("{s:o, s:o}", "model", hone_report_text(b->model), "config",
                          cli_config_json(b->engine));
    return out->json ? HONE_OK : hone_fail_memory(sizeof *out, "the name of a side");
}

void bench_side_close(bench_side *s)
{
    json_decref(s->json);
    if (s->close)
        s->close(s->of);
}
