/* hub_pull - asks, chooses, compares with the cache, fetches, and notes what the revision stood
 * for. */
#include "base/io.h"
#include "file/hub_blob.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct hub_memory {
    hone_arena arena;
    hub_list list;
    hub_wanted *wanted; /* what the cache lacks; room for all */
    size_t wanted_count;
};

typedef struct pull {
    hub_name name;
    const char *revision;
    const hone_hub_options *options;
    hub_client client;
    hub_cache cache;
    hub_list *list;
    hone_arena *arena;
    hone_hub_result *out;
} pull;

static hone_status no_memory(void)
{
    return hone_fail_memory(1, "a pull");
}

/* ---- the list of files ---- */

/* The address of rel="next" in a Link header (RFC 8288), into *next (arena), or NULL. */
static hone_status next_page(const pull *p, const char *link, const char **next)
{
    *next = NULL;
    const char *rel = strstr(link, "rel=\"next\""), *from = NULL;
    for (const char *at = link; rel && at < rel; at++)
        if (*at == '<')
            from = at + 1;
    if (!from)
        return HONE_OK;
    *next = hone_arena_strndup(p->arena, from, strcspn(from, ">"));
    return *next ? HONE_OK : no_memory();
}

static hone_status read_page(const pull *p, const char *url, hub_headers *headers)
{
    char *text;
    size_t bytes;
    HONE_TRY(hub_get(&p->client, url, "the list of files", HUB_LIST_BYTES, &text, &bytes, headers));
    hone_status s = hub_list_read(p->list, text, bytes);
    hone_free(text);
    return s;
}

static hone_status read_pages(pull *p, const char *repo)
{
    const char *url = hub_print(p->arena, "%s/api/models/%s/tree/%s?recursive=true",
                                p->client.endpoint, repo, p->list->commit);
    for (int page = 0; url; page++) {
        hub_headers headers;
        if (page == HUB_PAGES_MAX)
            return hone_fail(HONE_LIMIT, "%s: the list of files has more than %d pages", repo,
                             HUB_PAGES_MAX);
        HONE_TRY(read_page(p, url, &headers));
        HONE_TRY(next_page(p, headers.link, &url));
        if (!url)
            return HONE_OK;
    }
    return no_memory();
}

static hone_status read_list(pull *p)
{
    hub_headers headers;
    const char *repo = p->name.repository, *revision = hub_escape(p->arena, p->revision, false);
    const char *url = revision ? hub_print(p->arena, "%s/api/models/%s/revision/%s?blobs=true",
                                           p->client.endpoint, repo, revision)
                               : NULL;
    if (!url)
        return no_memory();
    hone_hub_state state = {.doing = "asking the hub"};
    hub_report(&p->client, &state);
    HONE_TRY(read_page(p, url, &headers));
    if (hub_is_hex(p->revision, 40) && strcmp(p->revision, p->list->commit) != 0)
        return hone_fail(HONE_FORMAT, "%s: commit %s was asked for, and the hub answers with %s",
                         repo, p->revision, p->list->commit);
    if (!p->list->complete)
        HONE_TRY(read_pages(p, repo));
    return hub_list_finish(p->list);
}

/* W/"abc" -> abc. */
static const char *bare_etag(hone_arena *a, const char *etag)
{
    if (strncmp(etag, "W/", 2) == 0)
        etag += 2;
    etag += strspn(etag, "\"");
    return hone_arena_strndup(a, etag, strcspn(etag, "\""));
}

static const char *file_url(const pull *p, const char *path)
{
    const char *escaped = hub_escape(p->arena, path, true);
    return escaped ? hub_print(p->arena, "%s/%s/resolve/%s/%s", p->client.endpoint,
                               p->name.repository, p->list->commit, escaped)
                   : NULL;
}

/* Asks for the length and hash of a file whose entry in the list has none. */
static hone_status complete_entry(pull *p, hub_entry *e)
{
    hub_headers h;
    uint64_t bytes;
    bool sized;
    const char *url = file_url(p, e->path);
    if (!url)
        return no_memory();
    HONE_TRY(hub_head(&p->client, url, e->path, &bytes, &sized, &h));
    const char *hash = bare_etag(p->arena, h.linked_etag[0] ? h.linked_etag : h.etag);
    if (!hash)
        return no_memory();
    if (!e->hash[0])
        e->hash = hash;
    if (!e->sized && !sized)
        return hone_fail(HONE_FORMAT, "%s: the hub does not say how long %s is", p->name.repository,
                         e->path);
    if (!e->sized)
        e->bytes = bytes;
    if (e->bytes > HUB_FILE_BYTES_MAX)
        return hone_fail(HONE_LIMIT, "%s: the hub says that it has %llu bytes", e->path,
                         (unsigned long long)e->bytes);
    if (!hub_is_blob_name(e->hash))
        return hone_fail(HONE_FORMAT, "%s: the hub gives %s no ETag that can name it in the cache",
                         p->name.repository, e->path);
    return HONE_OK;
}

/* ---- the cache ---- */

/* Is the file there already? Damaged ones are removed when they are to be verified. */
static hone_status look_up(pull *p, const hub_entry *e, hone_hub_file *file)
{
    uint64_t there = 0;
    char *at = hub_cache_snapshot(&p->cache, p->list->commit, e->path);
    char *blob = hub_cache_blob(&p->cache, e->hash, "");
    char *part = hub_cache_blob(&p->cache, e->hash, ".incomplete");
    if (!at || !blob || !part)
        return no_memory();
    bool linked = hub_file_bytes(at, &there) && there == e->bytes;
    bool cached = linked || (hub_file_bytes(blob, &there) && there == e->bytes);
    if (cached && p->options->verify && !p->options->dry_run) {
        hone_hub_state state = {.doing = "checking", .file = e->path};
        hub_report(&p->client, &state);
        HONE_TRY(hub_blob_check(linked ? at : blob, e->hash, e->bytes, &cached));
        if (!cached &&
            ((unlink(at) != 0 && errno != ENOENT) || (unlink(blob) != 0 && errno != ENOENT)))
            return hone_fail_errno(errno, "cannot remove %s, which is damaged", blob);
        linked = linked && cached;
    }
    *file = (hone_hub_file){.path = e->path,
                            .hash = e->hash,
                            .bytes = e->bytes,
                            .verifiable = hub_hash_kind_of(e->hash) != HUB_HASH_NONE};
    if (cached)
        file->cached_bytes = e->bytes;
    else if (hub_file_bytes(part, &there) && there <= e->bytes)
        file->cached_bytes = there;
    if (linked)
        return HONE_OK;
    struct hub_memory *m = p->out->memory;
    hub_wanted *w = &m->wanted[m->wanted_count++];
    *w = (hub_wanted){.path = e->path,
                      .hash = e->hash,
                      .url = file_url(p, e->path),
                      .bytes = e->bytes,
                      .cached_bytes = file->cached_bytes};
    return w->url ? HONE_OK : no_memory();
}

static hone_status compare(pull *p)
{
    hone_hub_result *out = p->out;
    size_t n = p->list->count;
    out->files = hone_arena_alloc(p->arena, n * sizeof *out->files);
    out->memory->wanted = hone_arena_alloc(p->arena, n * sizeof *out->memory->wanted);
    if (!out->files || !out->memory->wanted)
        return no_memory();
    for (size_t i = 0; i < n; i++) {
        hub_entry *e = &p->list->entries[i];
        if (!e->sized || !e->hash[0])
            HONE_TRY(complete_entry(p, e));
        HONE_TRY(look_up(p, e, &out->files[i]));
        out->file_count++;
        if (__builtin_add_overflow(out->bytes_total, e->bytes, &out->bytes_total))
            return hone_fail(HONE_LIMIT, "%s: the sizes of the files overflow", p->name.repository);
    }
    return HONE_OK;
}

/* Refuses before the first byte what the disk cannot hold. */
static hone_status check_space(const pull *p)
{
    struct statvfs fs;
    const struct hub_memory *m = p->out->memory;
    uint64_t need = 0;
    for (size_t i = 0; i < m->wanted_count; i++)
        need += m->wanted[i].bytes - m->wanted[i].cached_bytes;
    if (statvfs(p->cache.repository, &fs) != 0 || fs.f_blocks == 0)
        return HONE_OK; /* the file system does not say: writing will */
    char a[32], b[32];
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (need <= room)
        return HONE_OK;
    return hone_fail(HONE_DISK,
                     "%s needs %s more, and %s has room for %s: free some, or put the "
                     "cache elsewhere (HF_HUB_CACHE, --cache-dir)",
                     p->name.repository, hub_show_bytes(need, a), p->cache.dir,
                     hub_show_bytes(room, b));
}

static hone_status fetch_missing(pull *p)
{
    struct hub_memory *m = p->out->memory;
    HONE_TRY(hone_make_directory(p->cache.repository));
    HONE_TRY(check_space(p));
    hone_status s = HONE_OK;
    bool stale = m->wanted_count > 0;
    for (size_t round = 0; stale && round <= m->wanted_count; round++)
        s = hub_fetch(&p->client, &p->cache, p->list->commit, m->wanted, m->wanted_count,
                      &p->out->bytes_received, &stale);
    return s;
}

/* ---- all of it ---- */

static hone_status set_results(pull *p, const char *model)
{
    hone_hub_result *out = p->out;
    const char *commit = p->list->commit;
    out->repository = hub_print(p->arena, "%s", p->name.repository);
    out->revision = hub_print(p->arena, "%s", p->revision);
    out->commit = hub_print(p->arena, "%s", commit);
    out->snapshot = hub_cache_snapshot(&p->cache, commit, "");
    out->model = model ? hub_cache_snapshot(&p->cache, commit, model) : NULL;
    return out->repository && out->revision && out->commit && out->snapshot &&
                   (out->model || !model)
               ? HONE_OK
               : no_memory();
}

/* Without a network: what is there is the result, and what is not is the message. */
static hone_status pull_offline(pull *p)
{
    char *path;
    hone_status s = hub_cache_resolve(&p->cache, &p->name, p->revision, &path);
    if (s != HONE_OK)
        return hone_fail_in(s, "offline (HF_HUB_OFFLINE or --offline)");
    s = hub_cache_commit(&p->cache, p->revision, p->list->commit);
    if (s == HONE_OK)
        s = set_results(p, NULL);
    p->out->model = s == HONE_OK ? hub_print(p->arena, "%s", path) : NULL;
    hone_free(path);
    return p->out->model ? s : no_memory();
}

/* The hub does not answer: says too whether the cache would do. */
static hone_status fail_unreachable(pull *p)
{
    char why[700], *path;
    snprintf(why, sizeof why, "%.699s", hone_error());
    if (hub_cache_resolve(&p->cache, &p->name, p->revision, &path) != HONE_OK)
        return hone_fail(HONE_IO, "%s; and %.300s", why, hone_error());
    hone_free(path);
    return hone_fail(HONE_IO, "%s; the cache has it as it was last pulled (--offline)", why);
}

static hone_status run(pull *p)
{
    const char *model;
    if (p->options->offline)
        return pull_offline(p);
    HONE_TRY(hub_client_open(p->arena, p->options, &p->client));
    p->client.repository = p->name.repository;
    hone_status s = read_list(p);
    if (s == HONE_IO)
        return fail_unreachable(p);
    HONE_TRY(s);
    s = hub_choose(p->list, p->name.quant, p->options, &model);
    if (s != HONE_OK)
        return hone_fail_in(s, "%s", p->name.repository);
    HONE_TRY(compare(p));
    HONE_TRY(set_results(p, model));
    if (p->options->dry_run)
        return HONE_OK;
    HONE_TRY(fetch_missing(p));
    return hub_cache_set_ref(&p->cache, p->revision, p->list->commit);
}

static hone_status open_names(pull *p, const char *text)
{
    const char *asked = p->options->revision;
    HONE_TRY(hub_name_parse(text, &p->name));
    if (asked && (!hub_path_is_safe(asked) || strlen(asked) >= sizeof p->name.revision ||
                  strpbrk(asked, ":@ ")))
        return hone_fail(HONE_USAGE, "\"%.200s\" is no branch, tag or commit", asked);
    if (asked && p->name.revision[0] && strcmp(asked, p->name.revision) != 0)
        return hone_fail(HONE_USAGE, "two revisions are given: %s and %s", p->name.revision, asked);
    p->revision = asked ? asked : p->name.revision[0] ? p->name.revision : "main";
    char *dir = NULL;
    if (!p->options->cache_dir)
        HONE_TRY(hone_hub_cache_dir(&dir));
    hone_status s =
        hub_cache_open(p->arena, dir ? dir : p->options->cache_dir, p->name.repository, &p->cache);
    hone_free(dir);
    return s;
}

hone_status hone_hub_pull(const char *name, const hone_hub_options *options, hone_hub_result *out)
{
    hone_hub_options o = *options;
    pull p = {.options = &o, .out = out};
    *out = (hone_hub_result){0};
    o.offline |= hub_is_offline();
    out->memory = hone_calloc(1, sizeof *out->memory);
    if (!out->memory)
        return no_memory();
    p.arena = &out->memory->arena;
    p.list = &out->memory->list;
    p.list->arena = p.arena;
    HONE_TRY(open_names(&p, name));
    return run(&p);
}

void hone_hub_result_free(hone_hub_result *r)
{
    if (r->memory) {
        hub_list_free(&r->memory->list);
        hone_arena_free(&r->memory->arena);
        hone_free(r->memory);
    }
    *r = (hone_hub_result){0};
}
