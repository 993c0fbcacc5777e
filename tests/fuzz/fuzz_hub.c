// links: file
/* What a hub says, from its JSON to the choice of files. First byte: how it is asked for. */
#include "base/mem.h"
#include "file/hub_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const hub_list *l, const char *model)
{
    for (size_t i = 0; i < l->count; i++) {
        const hub_entry *e = &l->entries[i];
        if (!hub_path_is_safe(e->path) || e->path[0] == '/' || strncmp(e->path, "../", 3) == 0 ||
            strstr(e->path, "/../") || e->bytes > HUB_FILE_BYTES_MAX ||
            (e->hash[0] && !hub_is_blob_name(e->hash)) ||
            (i > 0 && strcmp(l->entries[i - 1].path, e->path) >= 0))
            abort(); /* what comes out of a list can be used without further checks */
    }
    if (model && model[0] && !hub_path_is_safe(model))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const quants[] = {"", "Q4_K_M", "a.gguf", "0"};
    static const char *const globs[] = {"*.json", "[a-"};
    if (size == 0)
        return 0;
    hone_arena arena = {0};
    const char *model = NULL;
    hone_hub_options o = {0};
    hub_list l = {.arena = &arena};
    if (data[0] & 4) {
        o.include = o.exclude = globs;
        o.include_count = 2;
        o.exclude_count = data[0] >> 3 & 1;
    }
    hone_status s = hub_list_read(&l, (const char *)data + 1, size - 1);
    if (s == HONE_OK)
        s = hub_list_finish(&l);
    if (s == HONE_OK) {
        check(&l, NULL);
        s = hub_choose(&l, quants[data[0] & 3], &o, &model);
    }
    if (s == HONE_OK)
        check(&l, model);
    else if (hone_error()[0] == 0)
        abort();
    hub_list_free(&l);
    hone_arena_free(&arena);
    return 0;
}
