#include "cli/registry_args.h"

#include "file/file.h"

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
