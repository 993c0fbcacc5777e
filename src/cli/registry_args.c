#include "cli/registry_args.h"

#include "base/io.h"
#include "base/mem.h"
#include "file/file.h"

#include <unistd.h>

hone_status cli_open_registry(const cli_context *c, bool create, hone_registry **out)
{
    return hone_registry_open(cli_text(c, "registry"), create, out);
}

hone_status cli_find_model(hone_registry *r, const char *path, int64_t *id)
{
    hone_file *f;
    char hash[65];
    HONE_TRY(hone_file_open(path, &f));
    hone_status s = hone_file_hash(f, hash);
    hone_file_close(f);
    HONE_TRY(s);
    s = hone_registry_find_model(r, hash, id);
    return s == HONE_NOT_FOUND ? hone_fail_in(s, "%s", path) : s;
}

/* *model 0: the registry does not know this file's content, or there is nothing to know. */
static hone_status known_model(hone_registry *r, const hone_file *f, int64_t *model)
{
    char fingerprint[33], hash[65];
    int64_t candidates;
    HONE_TRY(hone_file_fingerprint(f, fingerprint));
    HONE_TRY(hone_registry_find_file(r, fingerprint, hone_file_bytes(f), model, &candidates));
    if (*model || !candidates)
        return HONE_OK;
    cli_progress(-1, "hashing %s", hone_file_path(f));
    hone_status s = hone_file_hash(f, hash);
    cli_progress_end();
    HONE_TRY(s);
    s = hone_registry_find_model(r, hash, model);
    if (s == HONE_NOT_FOUND) {
        *model = 0;
        return HONE_OK;
    }
    HONE_TRY(s);
    if (hone_registry_is_read_only(r))
        return HONE_OK;
    s = hone_registry_put_file(r, fingerprint, *model);
    return s == HONE_DISK ? HONE_OK : s; /* hashed again the next time */
}

/* A registry that nobody has made yet knows nothing; where one may not be kept, neither. What is
 * there but no file is left for opening it to refuse. */
static hone_status registry_exists(const cli_context *c, bool *exists)
{
    const char *path = cli_text(c, "registry");
    char *fallback = NULL;
    if (!path && hone_registry_default_path(&fallback) != HONE_OK) {
        *exists = false;
        return HONE_OK;
    }
    *exists = access(path ? path : fallback, F_OK) == 0;
    hone_free(fallback);
    return HONE_OK;
}

hone_status cli_promoted_config(const cli_context *c, const char *path, char **config, int64_t *run)
{
    hone_registry *r;
    hone_file *f;
    bool exists;
    int64_t model = 0;
    *config = NULL;
    HONE_TRY(registry_exists(c, &exists));
    if (!exists)
        return HONE_OK;
    HONE_TRY(cli_open_registry(c, false, &r));
    hone_status s = hone_file_open(path, &f);
    if (s == HONE_OK) {
        s = known_model(r, f, &model);
        hone_file_close(f);
    }
    if (s == HONE_OK && model)
        s = hone_registry_current_of(r, model, config, run);
    hone_registry_close(r);
    return s;
}
