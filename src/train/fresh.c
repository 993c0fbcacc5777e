#include "train/fresh.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/threads.h"
#include "model/parameters.h"

#include <math.h>
#include <string.h>

enum { FILLED = 1 << 16 /* numbers of an item, even */ };

static bool config_has(const void *arg, const hone_place *place, hone_slot slot, uint32_t layer,
                       bool bias)
{
    const hone_file *f = arg;
    bool wanted = false,
         mlp = slot == HONE_SLOT_GATE || slot == HONE_SLOT_UP || slot == HONE_SLOT_DOWN;
    (void)layer;
    if (!bias)
        return !(place->flags & HONE_NAME_OPTIONAL);
    if (place->flags & HONE_NAME_BIAS)
        return true;
    if (hone_slot_describe(slot)->vector || slot >= HONE_LAYER_SLOTS)
        return false;
    return hone_file_bool_or(f, mlp ? "mlp_bias" : "attention_bias", false, &wanted) == HONE_OK &&
           wanted;
}

typedef struct fill_work {
    const hone_parameter *p;
    uint64_t seed;
    double deviation;
    float *to;
} fill_work;

static void fill_item(void *arg, size_t item, int thread)
{
    const fill_work *w = arg;
    const size_t n = w->p->n * w->p->k, end = n - item * FILLED < FILLED ? n : (item + 1) * FILLED;
    const uint64_t stream = ((uint64_t)w->p->layer << 16) + w->p->slot;
    (void)thread;
    for (size_t j = item * FILLED; j < end; j += 2) {
        double g[2];
        hone_rng_normal2(w->seed, stream, j / 2, g);
        for (size_t i = 0; i < 2 && j + i < end; i++)
            w->to[j + i] = (float)(w->deviation * g[i]);
    }
}

static void fill(const hone_parameters *p, const hone_hparams *h, uint64_t seed, hone_pool *pool,
                 float *values)
{
    for (size_t i = 0; i < p->count; i++) {
        const hone_parameter *one = &p->list[i];
        const bool out = one->slot == HONE_SLOT_O || one->slot == HONE_SLOT_DOWN;
        fill_work w = {one, seed, out ? 0.02 / sqrt(2.0 * h->layers) : 0.02, values + one->at};
        const size_t n = one->n * one->k;
        if (!one->bias && !hone_slot_describe(one->slot)->vector)
            hone_pool_run(pool, fill_item, &w, (n + FILLED - 1) / FILLED);
        else
            for (size_t j = 0; j < n; j++)
                w.to[j] = one->bias ? 0.0f : 1.0f - one->add;
    }
}

static hone_status write_folder(const char *json, const hone_parameters *p, const float *values,
                                const char *folder)
{
    char *config = hone_path_join(folder, "config.json"),
         *weights = hone_path_join(folder, "model.safetensors");
    hone_status s = config && weights ? hone_make_directory(folder)
                                      : hone_fail_memory(strlen(folder), "a path");
    if (s == HONE_OK && (hone_is_file(config) || hone_is_file(weights)))
        s = hone_fail(HONE_USAGE, "%s holds a model already", folder);
    if (s == HONE_OK)
        s = hone_parameters_save(p, HONE_DTYPE_F32, values, weights);
    if (s == HONE_OK)
        s = hone_write_file(config, json, strlen(json));
    hone_free(config);
    hone_free(weights);
    return s;
}

static hone_status write_fresh(const hone_file *f, const char *json, uint64_t seed, hone_pool *pool,
                               const char *folder, hone_hparams *h)
{
    const hone_arch *a;
    hone_parameters p;
    HONE_TRY(hone_arch_read(f, &a, h));
    HONE_TRY(hone_parameters_list(a, h, false, a->hf_prefixes[0], config_has, f, &p));
    size_t bytes = p.floats * sizeof(float);
    float *values = hone_alloc_big(bytes);
    hone_status s = values ? HONE_OK : hone_fail_memory(bytes, "random weights");
    if (values)
        fill(&p, h, seed, pool, values);
    if (values)
        s = write_folder(json, &p, values, folder);
    hone_free_big(values, bytes);
    hone_parameters_free(&p);
    return s;
}

hone_status hone_fresh_write(const char *json, const char *path, uint64_t seed, int threads,
                             const char *folder)
{
    hone_file *f;
    hone_pool *pool = NULL;
    HONE_TRY(hone_file_from_config(json, path, &f));
    hone_hparams *h = hone_malloc(sizeof *h);
    hone_status s =
        h ? hone_pool_open(threads, NULL, &pool) : hone_fail_memory(sizeof *h, "hyper-parameters");
    if (s == HONE_OK)
        s = write_fresh(f, json, seed, pool, folder, h);
    hone_pool_close(pool);
    hone_free(h);
    hone_file_close(f);
    return s;
}
