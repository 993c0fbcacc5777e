#include "train/fresh.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/parameters.h"

#include <math.h>
#include <string.h>

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

static void fill(const hone_parameters *p, const hone_hparams *h, uint64_t seed, float *values)
{
    for (size_t i = 0; i < p->count; i++) {
        const hone_parameter *one = &p->list[i];
        bool out = one->slot == HONE_SLOT_O || one->slot == HONE_SLOT_DOWN;
        double g[2] = {0, 0}, scale = out ? 0.02 / sqrt(2.0 * h->layers) : 0.02;
        uint64_t stream = ((uint64_t)one->layer << 16) + one->slot;
        float *to = values + one->at;
        size_t n = one->n * one->k;
        for (size_t j = 0; j < n; j++) {
            if (one->bias || hone_slot_describe(one->slot)->vector) {
                to[j] = one->bias ? 0.0f : 1.0f - one->add;
                continue;
            }
            if (j % 2 == 0)
                hone_rng_normal2(seed, stream, j / 2, g);
            to[j] = (float)(scale * g[j % 2]);
        }
    }
}

static hone_status write_weights(const hone_parameters *p, const float *values, const char *path)
{
    hone_safetensors_writer *w;
    HONE_TRY(hone_safetensors_writer_open(path, &w));
    hone_status s = hone_parameters_declare(p, HONE_DTYPE_F32, w);
    if (s == HONE_OK)
        s = hone_parameters_write(p, values, w);
    if (s == HONE_OK)
        return hone_safetensors_writer_commit(w);
    hone_safetensors_writer_abort(w);
    return s;
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
        s = write_weights(p, values, weights);
    if (s == HONE_OK)
        s = hone_write_file(config, json, strlen(json));
    hone_free(config);
    hone_free(weights);
    return s;
}

static hone_status write_fresh(const hone_file *f, const char *json, uint64_t seed,
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
        fill(&p, h, seed, values);
    if (values)
        s = write_folder(json, &p, values, folder);
    hone_free_big(values, bytes);
    hone_parameters_free(&p);
    return s;
}

hone_status hone_fresh_write(const char *json, const char *path, uint64_t seed, const char *folder)
{
    hone_file *f;
    HONE_TRY(hone_file_from_config(json, path, &f));
    hone_hparams *h = hone_malloc(sizeof *h);
    hone_status s =
        h ? write_fresh(f, json, seed, folder, h) : hone_fail_memory(sizeof *h, "hyper-parameters");
    hone_free(h);
    hone_file_close(f);
    return s;
}
