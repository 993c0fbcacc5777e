#include "cli/engine_args.h"

#include "base/io.h"
#include "base/mem.h"
#include "dtype/dtype.h"
#include "hw/isa.h"
#include "kernel/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES_MAX = 1 << 16 };

/* As a path that means the same elsewhere: configurations are kept. */
static hone_status put_adapter(const char *named, const char *path, hone_config *c)
{
    char *full = realpath(path, NULL);
    if (!full)
        return hone_fail_errno(errno, "%s %s", named, path);
    size_t n = strlen(full);
    if (n < sizeof c->adapter)
        memcpy(c->adapter, full, n + 1);
    free(full);
    return n < sizeof c->adapter ? HONE_OK
                                 : hone_fail(HONE_LIMIT, "%s: a path of %zu bytes, at most %zu",
                                             named, n, sizeof c->adapter - 1);
}

/* What a file names is seen from its folder. */
static hone_status find_adapter(const char *file, hone_config *c)
{
    char *folder = hone_strdup(file), *path = NULL;
    if (folder) {
        folder[hone_path_name(file) - file] = 0;
        path = hone_path_join(*folder ? folder : ".", c->adapter);
    }
    hone_status s =
        path ? put_adapter("adapter", path, c) : hone_fail_memory(strlen(file), "a path");
    hone_free(folder);
    hone_free(path);
    return s;
}

static hone_status read_config_file(const char *path, hone_config *out)
{
    char *text;
    size_t bytes;
    HONE_TRY(hone_read_file(path, CONFIG_BYTES_MAX, &text, &bytes));
    hone_status s = hone_config_from_json(text, out);
    hone_free(text);
    if (s == HONE_OK && *out->adapter && *out->adapter != '/')
        s = find_adapter(path, out);
    return s == HONE_OK ? s : hone_fail_in(s, "%s", path);
}

/* "q8_0" for all kinds, or "attention=q8_0,mlp=q4_0". */
static hone_status read_weights(const char *text, hone_config *c)
{
    static const char *const kinds[HONE_WEIGHT_KINDS] = {"attention", "mlp", "head"};
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, ",");
        const char *equal = memchr(at, '=', n);
        int first = 0, last = HONE_WEIGHT_KINDS - 1;
        const char *name = at;
        if (equal) {
            size_t length = (size_t)(equal - at);
            for (first = 0; first < HONE_WEIGHT_KINDS; first++)
                if (strlen(kinds[first]) == length && memcmp(kinds[first], at, length) == 0)
                    break;
            if (first == HONE_WEIGHT_KINDS)
                return hone_fail(
                    HONE_USAGE,
                    "--weights: \"%.*s\" is no kind of layer; give attention, mlp or head",
                    (int)length, at);
            last = first;
            name = equal + 1;
        }
        char format[32];
        snprintf(format, sizeof format, "%.*s", (int)(n - (size_t)(name - at)), name);
        hone_dtype t;
        bool filed = strcmp(format, "as_filed") == 0;
        if (!filed && (!hone_dtype_by_name(format, &t) || !hone_dtype_can_encode(t)))
            return hone_fail(HONE_USAGE,
                             "--weights: \"%s\" is no format to round to; for example: bf16, q8_0, "
                             "q4_0",
                             format);
        for (int k = first; k <= last; k++)
            c->weight_dtype[k] = filed ? HONE_WEIGHT_AS_FILED : (int)t;
        at += n;
        at += *at == ',';
    }
    return HONE_OK;
}

static hone_status read_kv(const char *name, hone_config *c)
{
    for (int i = 0; i < HONE_KV_COUNT; i++) {
        if (strcmp(name, hone_kv_format_name((hone_kv_format)i)) == 0) {
            c->kv_format = i;
            return HONE_OK;
        }
    }
    return hone_fail(HONE_INTERNAL, "--kv %s is in the table of options but is no format", name);
}

static hone_status read_products(const char *name, hone_config *c)
{
    for (int i = 0; i < HONE_PRODUCTS_COUNT; i++) {
        if (strcmp(name, hone_products_name((hone_products)i)) == 0) {
            c->products = i;
            return HONE_OK;
        }
    }
    return hone_fail(HONE_INTERNAL, "--products %s is in the table of options but is no kind",
                     name);
}

static hone_status apply_options(const cli_context *c, hone_config *out)
{
    if (cli_given(c, "dtype")) {
        bool f32 = strcmp(cli_text(c, "dtype"), "f32") == 0;
        out->compute = f32 ? HONE_COMPUTE_F32 : HONE_COMPUTE_BF16;
        out->kv_format = f32 ? HONE_KV_F32 : HONE_KV_BF16;
        if (f32)
            out->products = HONE_PRODUCTS_EXACT;
    }
    if (cli_given(c, "weights"))
        HONE_TRY(read_weights(cli_text(c, "weights"), out));
    if (cli_given(c, "products"))
        HONE_TRY(read_products(cli_text(c, "products"), out));
    if (cli_given(c, "kv"))
        HONE_TRY(read_kv(cli_text(c, "kv"), out));
    if (cli_given(c, "adapter"))
        HONE_TRY(put_adapter("--adapter", cli_text(c, "adapter"), out));
    if (cli_given(c, "threads"))
        out->threads = (int)cli_int(c, "threads");
    if (cli_given(c, "isa")) {
        hone_isa isa;
        HONE_TRY(hone_isa_pick(cli_text(c, "isa"), &isa));
        out->isa = (int)isa;
    }
    return HONE_OK;
}

hone_status cli_engine_config(const cli_context *c, hone_config *out)
{
    *out = hone_config_default();
    if (cli_given(c, "config") && strcmp(cli_text(c, "config"), "none") != 0)
        HONE_TRY(read_config_file(cli_text(c, "config"), out));
    return apply_options(c, out);
}

hone_status cli_model_config(const cli_context *c, const char *model, hone_config *out)
{
    char *promoted = NULL, text[256], by[48] = "by hand";
    int64_t run = 0;
    if (!cli_given(c, "config") && !cli_given(c, "dtype") && !cli_given(c, "adapter"))
        HONE_TRY(cli_promoted_config(c, model, &promoted, &run));
    if (!promoted)
        return cli_engine_config(c, out);
    hone_status s = hone_config_from_json(promoted, out);
    hone_free(promoted);
    if (s != HONE_OK)
        return hone_fail_in(s, "the configuration in force (--config none starts without it)");
    hone_config_describe(out, text, sizeof text);
    if (run)
        snprintf(by, sizeof by, "by run %lld", (long long)run);
    fprintf(stderr, "hone: in force, promoted %s: %s (--config none: without)\n", by, text);
    return apply_options(c, out);
}

void cli_engine_progress(void *arg, const char *what, double done, double total)
{
    (void)arg;
    cli_progress(total > 0 ? done / total : -1, "%s", what);
}

hone_status cli_open_engine(const char *path, const hone_config *config, hone_engine **out)
{
    hone_status s = hone_engine_open(path, config, cli_engine_progress, NULL, out);
    cli_progress_end();
    return s;
}

hone_status cli_open_engine_cached(const char *path, const hone_config *config, hone_engine **out)
{
    char *folder;
    HONE_TRY(hone_packed_folder(&folder));
    hone_packed_cache cache = {.folder = folder};
    hone_status s = hone_engine_open_cached(path, config, &cache, cli_engine_progress, NULL, out);
    cli_progress_end();
    if (s == HONE_OK && *hone_engine_note(*out) &&
        hone_packed_usable(folder) == HONE_OK) /* else hone doctor says why */
        fprintf(stderr, "hone: %s\n", hone_engine_note(*out));
    hone_free(folder);
    return s;
}

void cli_close_engine(hone_engine *e)
{
    if (e)
        hone_engine_keep(e, cli_engine_progress, NULL);
    cli_progress_end();
    hone_engine_close(e);
}

json_t *cli_config_json(const hone_engine *e)
{
    char *text;
    if (hone_config_to_json(hone_engine_config(e), &text) != HONE_OK)
        return NULL;
    json_t *o = json_loads(text, 0, NULL);
    hone_free(text);
    return o;
}
