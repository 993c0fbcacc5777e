/* limits_cache - the machine's measured limits, kept in the registry by the machine's fingerprint.
 */
#include "base/json.h"
#include "base/mem.h"
#include "base/threads.h"
#include "store/bench_records.h"
#include "store/fingerprint.h"
#include "store/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A quick measurement scatters by a few per cent even on a quiet machine. */
static const double NOISE_LEAST = 0.10;

json_t *hone_limits_json(const hone_limits *l)
{
    json_t *ops = json_object(), *peaks = json_object(), *caches = json_array();
    for (int i = 0; i < HONE_ISA_COUNT; i++)
        if (l->ops_s[i] > 0)
            json_object_set_new(ops, hone_isa_name((hone_isa)i), json_real(l->ops_s[i]));
    for (int i = 0; i < HONE_PEAK_COUNT; i++)
        if (l->peak_ops_s[i] > 0)
            json_object_set_new(peaks, hone_peak_name((hone_peak)i), json_real(l->peak_ops_s[i]));
    for (int i = 0; i < HONE_CACHE_LEVELS; i++)
        json_array_append_new(caches,
                              json_pack("{s:I, s:f}", "bytes", (json_int_t)l->cache[i].bytes,
                                        "read_bytes_s", l->cache[i].read_bytes_s));
    return json_pack("{s:i, s:f, s:f, s:f, s:f, s:o, s:o, s:o}", "threads", l->threads,
                     "read_bytes_s", l->read_bytes_s, "write_bytes_s", l->write_bytes_s,
                     "copy_bytes_s", l->copy_bytes_s, "noise", l->noise, "ops_s", ops, "peak_ops_s",
                     peaks, "caches", caches);
}

static double number(const json_t *o, const char *key)
{
    double v = json_number_value(json_object_get(o, key));
    return isfinite(v) && v > 0 ? v : 0;
}

static hone_status limits_from_json(const char *text, hone_limits *l)
{
    json_t *o;
    HONE_TRY(hone_json_parse(text, strlen(text), 6, 1000, "limits in the registry", &o));
    const json_t *ops = json_object_get(o, "ops_s"), *peaks = json_object_get(o, "peak_ops_s");
    *l = (hone_limits){.threads = (int)number(o, "threads"),
                       .read_bytes_s = number(o, "read_bytes_s"),
                       .write_bytes_s = number(o, "write_bytes_s"),
                       .copy_bytes_s = number(o, "copy_bytes_s"),
                       .noise = number(o, "noise")};
    for (int i = 0; i < HONE_ISA_COUNT; i++)
        l->ops_s[i] = number(ops, hone_isa_name((hone_isa)i));
    for (int i = 0; i < HONE_PEAK_COUNT; i++)
        l->peak_ops_s[i] = number(peaks, hone_peak_name((hone_peak)i));
    for (size_t i = 0; i < HONE_CACHE_LEVELS; i++) {
        const json_t *c = json_array_get(json_object_get(o, "caches"), i);
        l->cache[i].bytes = (size_t)number(c, "bytes");
        l->cache[i].read_bytes_s = number(c, "read_bytes_s");
    }
    json_decref(o);
    return HONE_OK;
}

/* *found: it is there, and reads as limits should. */
static hone_status find(hone_registry *r, const char *machine, int threads, hone_limits *out,
                        hone_limits_news *news, bool *found)
{
    sqlite3_stmt *q;
    *found = false;
    HONE_TRY(hone_store_prepare(r, &q,
                                "SELECT json, at FROM limits WHERE machine = ? AND threads = ?",
                                "si", machine, (int64_t)threads));
    bool row;
    hone_status s = hone_store_step(r, q, &row);
    if (s == HONE_OK && row) {
        s = limits_from_json((const char *)sqlite3_column_text(q, 0), out);
        *found = s == HONE_OK && out->threads == threads && out->read_bytes_s > 0;
        snprintf(news->measured_at, sizeof news->measured_at, "%s",
                 (const char *)sqlite3_column_text(q, 1));
        if (s == HONE_FORMAT || s == HONE_LIMIT)
            s = HONE_OK; /* measured again */
    }
    sqlite3_finalize(q);
    return s;
}

static hone_status keep(hone_registry *r, const char *machine, const hone_limits *l)
{
    json_t *o = hone_limits_json(l);
    char *text = o ? json_dumps(o, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    json_decref(o);
    if (!text)
        return hone_fail_memory(1024, "limits as JSON");
    hone_status s = hone_store_run(
        r, NULL,
        "INSERT INTO limits(machine, threads, json, at) VALUES(?,?,?," HONE_STORE_NOW ")"
        " ON CONFLICT(machine, threads) DO UPDATE SET json = excluded.json,"
        " at = excluded.at",
        "sis", machine, (int64_t)l->threads, text);
    hone_free(text);
    return s;
}

/* Says so if the quick measurement is off by more than twice the noise that was seen before. */
static void compare(const hone_limits *kept, double read_bytes_s, hone_limits_news *news)
{
    double ratio = read_bytes_s / kept->read_bytes_s, noise = fmax(2 * kept->noise, NOISE_LEAST);
    news->drifted = ratio < 1 - noise || ratio > 1 + noise;
    if (news->drifted)
        snprintf(news->text, sizeof news->text,
                 "memory reads at %.1f GB/s now, %.1f GB/s when the limits were measured (%.10s): "
                 "the machine is busy or has changed (hone doctor --measure measures anew)",
                 read_bytes_s / 1e9, kept->read_bytes_s / 1e9, news->measured_at);
}

hone_status hone_registry_limits(hone_registry *r, int threads, hone_limits_use use,
                                 hone_limits *out, hone_limits_news *news)
{
    hone_limits_news ignored = {0};
    char machine[HONE_DIGEST_BYTES];
    news = news ? news : &ignored;
    memset(news, 0, sizeof *news);
    hone_json_use_memory();
    *out = (hone_limits){0};
    if (!r)
        return use == HONE_LIMITS_KEPT ? HONE_OK : hone_limits_measure(threads, out);
    threads = threads > 0 ? threads : hone_threads_default();
    HONE_TRY(hone_fingerprint_machine(machine));
    hone_limits kept;
    bool found;
    HONE_TRY(find(r, machine, threads, &kept, news, &found));
    news->cached = found && use != HONE_LIMITS_FRESH;
    if (news->cached) {
        *out = kept;
        double now;
        if (use == HONE_LIMITS_CHECK) {
            HONE_TRY(hone_limits_measure_read(threads, &now));
            compare(out, now, news);
        }
        return HONE_OK;
    }
    if (use == HONE_LIMITS_KEPT)
        return HONE_OK;
    HONE_TRY(hone_limits_measure(threads, out));
    if (found)
        compare(&kept, out->read_bytes_s, news);
    hone_status s = keep(r, machine, out);
    return s == HONE_PERMISSION || s == HONE_BUSY || s == HONE_DISK ? HONE_OK : s;
}
