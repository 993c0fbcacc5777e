// links: file
/* The hub against a server on this machine that does wrong on request (support/hub_server.h). */
#include "../support/hub_server.h"

#include "base/io.h"
#include "base/mem.h"
#include "file/hub.h"
#include "file/hub_internal.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../folder.h"

enum { WEIGHT_BYTES = 300000, GGUF_BYTES = 150000, PART_BYTES = 60000, PIECE = 16384 };

static uint8_t weights[WEIGHT_BYTES], quantised[GGUF_BYTES], part[3][PART_BYTES];
static const char config[] = "{\"model_type\": \"llama\"}\n",
                  tokenizer[] = "{\"version\": \"1.0\"}";
#define TEXT(s) (const uint8_t *)(s), sizeof(s) - 1

static const hub_server_file files[] = {
    {"README.md", TEXT("# tiny\n"), false, true},
    {"config.json", TEXT(config), false, true},
    {"empty.json", TEXT(""), false, true},
    {"copy of config.json", TEXT(config), false, false},
    {"mmproj-Q8_0.gguf", TEXT("projector"), true, false},
    {"model.safetensors", weights, WEIGHT_BYTES, true, true},
    {"one.txt", TEXT("1"), false, true},
    {"pytorch_model.bin", TEXT("pickle"), true, true},
    {"q8/tiny-Q8_0-00001-of-00003.gguf", part[0], PART_BYTES, true, false},
    {"q8/tiny-Q8_0-00002-of-00003.gguf", part[1], PART_BYTES, true, false},
    {"q8/tiny-Q8_0-00003-of-00003.gguf", part[2], PART_BYTES, true, false},
    {"tiny-Q4_K_M.gguf", quantised, GGUF_BYTES, true, false},
    {"tiny-UD-Q4_K_M.gguf", TEXT("dynamic"), true, false},
    {"tokenizer.json", TEXT(tokenizer), false, true},
};
enum { FILES = sizeof files / sizeof *files };

typedef struct world {
    hub_server *server;
    const char *cache;
    char endpoint[128];
    hone_hub_options options;
    hone_hub_result result;
} world;

static void fill(uint8_t *data, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24);
    }
}

static int set_up(void **state)
{
    world *w = calloc(1, sizeof *w);
    *state = w;
    if (!w || make_folder(NULL) != 0)
        return -1;
    w->cache = folder;
    w->server = hub_server_start(files, FILES, 0);
    snprintf(w->endpoint, sizeof w->endpoint, "http://127.0.0.1:%d", hub_server_port(w->server));
    w->options = (hone_hub_options){.endpoint = w->endpoint,
                                    .cache_dir = w->cache,
                                    .piece_bytes = PIECE,
                                    .retry_ms = 5,
                                    .stall_s = 20,
                                    .wait_max_s = 5};
    return w->server ? 0 : -1;
}

static int tear_down(void **state)
{
    world *w = *state;
    hone_hub_result_free(&w->result);
    hub_server_stop(w->server);
    free(w);
    return remove_folder(NULL);
}

/* The endpoint that does wrong. */
static void make_wrong(world *w, const char *faults)
{
    snprintf(w->endpoint, sizeof w->endpoint, "http://127.0.0.1:%d%s%s", hub_server_port(w->server),
             faults[0] ? "/~" : "", faults);
}

static hone_status pull(world *w, const char *name)
{
    hone_hub_result_free(&w->result);
    return hone_hub_pull(name, &w->options, &w->result);
}

static void pull_well(world *w, const char *name)
{
    hone_status s = pull(w, name);
    if (s != HONE_OK)
        fail_msg("%s: %s (%s)", name, hone_error(), w->endpoint);
}

static void pull_badly(world *w, const char *name, hone_status expected, const char *says)
{
    hone_status s = pull(w, name);
    if (s != expected || !strstr(hone_error(), says))
        fail_msg("%s with %s: %s: \"%s\" instead of %s: \"%s\"", name, w->endpoint,
                 hone_status_name(s), hone_error(), hone_status_name(expected), says);
}

static const hub_server_file *file_of(const char *path)
{
    for (size_t i = 0; i < FILES; i++)
        if (strlen(files[i].path) == strlen(path) && /* strcmp: gcc 12 warns without cause at -O3 */
            memcmp(files[i].path, path, strlen(path)) == 0)
            return &files[i];
    fail_msg("no file %s", path);
    return NULL;
}

/* Is dir/sub/... this content? */
static void assert_content(const char *dir, const char *path)
{
    const hub_server_file *f = file_of(path);
    char at[4096], *text;
    size_t bytes;
    snprintf(at, sizeof at, "%s/%s", dir, path);
    if (hone_read_file(at, 1 << 24, &text, &bytes) != HONE_OK)
        fail_msg("%s", hone_error());
    assert_int_equal(bytes, f->bytes);
    assert_memory_equal(text, f->data, bytes);
    hone_free(text);
}

static bool is_there(const world *w, const char *path)
{
    char at[4096];
    snprintf(at, sizeof at, "%s/models--acme--tiny/%s", w->cache, path);
    return access(at, F_OK) == 0;
}

/* blobs/<hash of path><suffix> */
static const char *blob_path(const world *w, const char *path, const char *suffix)
{
    static char at[4096];
    char hash[65];
    hub_server_hash(file_of(path), hash);
    snprintf(at, sizeof at, "%s/models--acme--tiny/blobs/%s%s", w->cache, hash, suffix);
    return at;
}

static long long bytes_sent(const world *w)
{
    return hub_server_counters(w->server)->body_bytes;
}

static int count_incomplete(const world *w)
{
    char at[4096];
    int n = 0;
    snprintf(at, sizeof at, "%s/models--acme--tiny/blobs", w->cache);
    DIR *d = opendir(at);
    for (struct dirent *e; d && (e = readdir(d));)
        n += strstr(e->d_name, ".incomplete") != NULL;
    if (d)
        closedir(d);
    return n;
}

/* ---- what is right ---- */

static void a_pull_lays_the_cache_out_as_huggingface_hub_does(void **state)
{
    world *w = *state;
    static const char *const wanted[] = {"config.json", "empty.json", "model.safetensors",
                                         "tokenizer.json"};
    char at[4096], target[256] = {0}, hash[65], expected[256];
    pull_well(w, "acme/tiny");
    assert_string_equal(w->result.commit, HUB_SERVER_MAIN);
    assert_string_equal(w->result.model, w->result.snapshot);
    assert_int_equal(w->result.file_count, 5); /* and "copy of config.json" */
    for (size_t i = 0; i < 4; i++) {
        assert_content(w->result.snapshot, wanted[i]);
        snprintf(at, sizeof at, "%s/models--acme--tiny/snapshots/%s/%s", w->cache, HUB_SERVER_MAIN,
                 wanted[i]);
        memset(target, 0, sizeof target);
        assert_true(readlink(at, target, sizeof target - 1) > 0);
        hub_server_hash(file_of(wanted[i]), hash);
        snprintf(expected, sizeof expected, "../../blobs/%s", hash);
        assert_string_equal(target, expected);
    }
    char *ref;
    size_t bytes;
    snprintf(at, sizeof at, "%s/models--acme--tiny/refs/main", w->cache);
    assert_int_equal(hone_read_file(at, 100, &ref, &bytes), HONE_OK);
    assert_string_equal(ref, HUB_SERVER_MAIN);
    hone_free(ref);
    assert_int_equal(count_incomplete(w), 0);
    assert_int_equal(w->result.bytes_total,
                     WEIGHT_BYTES + 2 * (sizeof config - 1) + sizeof tokenizer - 1);
}

static void a_second_pull_fetches_nothing(void **state)
{
    world *w = *state;
    pull_well(w, "acme/tiny");
    long long before = bytes_sent(w);
    int asked = hub_server_counters(w->server)->resolve;
    pull_well(w, "acme/tiny");
    assert_int_equal(bytes_sent(w), before);
    assert_int_equal(hub_server_counters(w->server)->resolve, asked);
    assert_int_equal(w->result.bytes_received, 0);
    assert_int_equal(w->result.files[0].cached_bytes, w->result.files[0].bytes);
}

static void a_quantisation_brings_its_file_only_and_all_parts_of_a_split_one(void **state)
{
    world *w = *state;
    pull_well(w, "acme/tiny:q8_0");
    assert_int_equal(w->result.file_count, 3);
    assert_true(strstr(w->result.model, "/q8/tiny-Q8_0-00001-of-00003.gguf"));
    for (size_t i = 0; i < 3; i++)
        assert_content(w->result.snapshot, w->result.files[i].path);
    pull_well(w, "acme/tiny:tiny-Q4_K_M");
    assert_content(w->result.snapshot, "tiny-Q4_K_M.gguf");
    assert_int_equal(w->result.file_count, 1);
    pull_badly(w, "acme/tiny:Q4_K_M", HONE_USAGE, "tiny-UD-Q4_K_M (0.01 kB)");
    pull_badly(w, "acme/tiny:Q2_K", HONE_NOT_FOUND, "Q8_0 (180.00 kB)");
}

static void a_large_file_is_fetched_by_ranges_and_each_byte_once(void **state)
{
    world *w = *state;
    pull_well(w, "acme/tiny:q8_0");
    assert_int_equal(bytes_sent(w), 3 * PART_BYTES);
    int pieces = (PART_BYTES + PIECE - 1) / PIECE;
    assert_int_equal(hub_server_counters(w->server)->cdn, 3 * pieces);
    assert_int_equal(hub_server_counters(w->server)->resolve, 3); /* the redirect is remembered */
    w->options.connections = 1;
    pull_well(w, "acme/tiny");
    assert_content(w->result.snapshot, "model.safetensors");
}

static void ranges_are_fetched_at_the_same_time(void **state)
{
    world *w = *state;
    make_wrong(w, "slow");
    w->options.connections = 1;
    pull_well(w, "acme/tiny:q8_0");
    assert_int_equal(hub_server_counters(w->server)->parallel_max, 1);
    w->options.connections = 8;
    pull_well(w, "acme/tiny");
    assert_true(hub_server_counters(w->server)->parallel_max >= 2);
    assert_content(w->result.snapshot, "model.safetensors");
}

static void a_revision_is_pinned_and_a_branch_remembered(void **state)
{
    world *w = *state;
    w->options.revision = "v1";
    pull_well(w, "acme/tiny");
    assert_string_equal(w->result.commit, HUB_SERVER_V1);
    assert_true(is_there(w, "refs/v1"));
    assert_false(is_there(w, "refs/main"));
    w->options.revision = NULL;
    pull_well(w, "acme/tiny@" HUB_SERVER_V1);
    assert_false(is_there(w, "refs/" HUB_SERVER_V1));
    assert_int_equal(w->result.bytes_received, 0);
    pull_badly(w, "acme/tiny@v2", HONE_NOT_FOUND, "no such revision");
    w->options.revision = "../../x";
    pull_badly(w, "acme/tiny", HONE_USAGE, "no branch, tag or commit");
}

static void a_renamed_repository_is_followed(void **state)
{
    world *w = *state;
    pull_well(w, "acme/old");
    assert_content(w->result.snapshot, "model.safetensors");
    assert_true(strstr(w->result.snapshot, "models--acme--old"));
}

static void include_and_exclude_choose_by_globs(void **state)
{
    world *w = *state;
    static const char *const include[] = {"*.md", "q8/"}, *const exclude[] = {"*00002*"};
    w->options.include = include;
    w->options.include_count = 2;
    w->options.exclude = exclude;
    w->options.exclude_count = 1;
    w->options.dry_run = true;
    pull_well(w, "acme/tiny");
    assert_int_equal(w->result.file_count, 3);
    assert_string_equal(w->result.files[0].path, "README.md");
    assert_string_equal(w->result.files[2].path, "q8/tiny-Q8_0-00003-of-00003.gguf");
    assert_null(w->result.model);
    assert_int_equal(bytes_sent(w), 0);
    assert_false(is_there(w, ""));
    pull_badly(w, "acme/tiny:Q8_0", HONE_USAGE, "not both");
    static const char *const nothing[] = {"*.nothing"};
    w->options.include = nothing;
    w->options.include_count = 1;
    pull_badly(w, "acme/tiny", HONE_NOT_FOUND, "none of the 14 files");
}

static void lists_without_sizes_and_in_pages_do(void **state)
{
    world *w = *state;
    make_wrong(w, "nosize");
    pull_well(w, "acme/tiny");
    assert_content(w->result.snapshot, "model.safetensors");
    assert_content(w->result.snapshot, "config.json");
    assert_true(w->result.files[0].verifiable);
    make_wrong(w, "pages");
    pull_well(w, "acme/tiny:q8_0");
    assert_int_equal(w->result.file_count, 3);
    make_wrong(w, "endless");
    pull_badly(w, "acme/tiny", HONE_LIMIT, "pages");
}

/* ---- resuming ---- */

static void start_blob(const world *w, const char *path, const void *data, size_t n)
{
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/models--acme--tiny/blobs", w->cache);
    assert_int_equal(hone_make_directory(folder), HONE_OK);
    assert_int_equal(hone_write_file(blob_path(w, path, ".incomplete"), data, n), HONE_OK);
}

static void a_pull_goes_on_where_another_stopped(void **state)
{
    world *w = *state;
    static const char *const faults[] = {"", "norange"};
    for (int i = 0; i < 2; i++) {
        const char *path = i ? "tiny-Q4_K_M.gguf" : "model.safetensors";
        make_wrong(w, faults[i]);
        start_blob(w, path, file_of(path)->data, 100000);
        long long before = bytes_sent(w);
        pull_well(w, i ? "acme/tiny:tiny-Q4_K_M.gguf" : "acme/tiny");
        assert_content(w->result.snapshot, path);
        if (i == 0)
            assert_true(bytes_sent(w) - before < WEIGHT_BYTES - 90000);
    }
}

static void a_complete_or_too_long_rest_is_told_from_a_good_one(void **state)
{
    world *w = *state;
    start_blob(w, "model.safetensors", weights, WEIGHT_BYTES);
    start_blob(w, "tokenizer.json", weights, 1000);
    pull_well(w, "acme/tiny");
    assert_content(w->result.snapshot, "model.safetensors");
    assert_content(w->result.snapshot, "tokenizer.json");
    assert_int_equal(bytes_sent(w), sizeof config - 1 + sizeof tokenizer - 1);
}

static void a_wrong_rest_is_noticed_and_fetched_again(void **state)
{
    world *w = *state;
    start_blob(w, "model.safetensors", quantised, 70000);
    start_blob(w, "config.json", "x", 1);
    pull_well(w, "acme/tiny");
    assert_content(w->result.snapshot, "model.safetensors");
    assert_content(w->result.snapshot, "config.json");
}

static void verify_finds_what_is_damaged_in_the_cache(void **state)
{
    world *w = *state;
    pull_well(w, "acme/tiny");
    const char *blob = blob_path(w, "model.safetensors", "");
    FILE *f = fopen(blob, "r+");
    assert_non_null(f);
    fputc(weights[0] ^ 1, f);
    fclose(f);
    pull_well(w, "acme/tiny");
    assert_int_equal(w->result.bytes_received, 0);
    w->options.verify = true;
    pull_well(w, "acme/tiny");
    assert_true(w->result.bytes_received >= WEIGHT_BYTES);
    assert_content(w->result.snapshot, "model.safetensors");
    assert_int_equal(truncate(blob, 100), 0); /* a wrong length needs no --verify */
    w->options.verify = false;
    pull_well(w, "acme/tiny");
    assert_content(w->result.snapshot, "model.safetensors");
}

/* ---- what goes wrong ---- */

static void faults_that_pass_are_survived(void **state)
{
    world *w = *state;
    static const char *const faults[] = {
        "cutonce",   "cut",    "norange",         "part",       "500", "429",
        "stallonce", "expire", "norange,cutonce", "part,expire"};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        make_wrong(w, faults[i]);
        if (strcmp(faults[i], "stallonce") == 0)
            w->options.stall_s = 1;
        pull_well(w, i % 2 ? "acme/tiny" : "acme/tiny:q8_0");
        for (size_t k = 0; k < w->result.file_count; k++)
            assert_content(w->result.snapshot, w->result.files[k].path);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
        w = *state;
    }
}

static void faults_that_stay_are_named(void **state)
{
    world *w = *state;
    static const struct {
        const char *fault;
        hone_status status;
        const char *says;
    } cases[] = {
        {"mute", HONE_IO, "no answer from"},
        {"wrongrange", HONE_FORMAT, "the answer is \"bytes 1-16384/300000\""},
        {"wrongtotal", HONE_FORMAT, "/300001"},
        {"short", HONE_FORMAT, "the answer has 14 bytes, the list of files says 24"},
        {"gzip", HONE_FORMAT, "compressed"},
        {"long", HONE_FORMAT, "beyond its end"},
        {"429ever", HONE_IO, "86400 s"},
        {"500ever", HONE_IO, "500"},
        {"gated", HONE_PERMISSION, "gated"},
        {"private", HONE_PERMISSION, "set HF_TOKEN"},
        {"loop", HONE_FORMAT, "redirects"},
        {"noplace", HONE_FORMAT, "a redirect without an address"},
        {"traversal", HONE_FORMAT, "../../../../evil"},
        {"absolute", HONE_FORMAT, "/tmp/evil"},
        {"twice", HONE_FORMAT, "twice"},
        {"badjson", HONE_FORMAT, "the hub's answer"},
        {"notlist", HONE_FORMAT, "the hub's answer"},
        {"nosha", HONE_FORMAT, "names no commit"},
        {"badhash", HONE_FORMAT, "hash of"},
        {"badsize", HONE_FORMAT, "the size of"},
        {"huge", HONE_DISK, "--cache-dir"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_wrong(w, cases[i].fault);
        pull_badly(w, "acme/tiny", cases[i].status, cases[i].says);
        assert_null(strchr(hone_error(), '\033'));
        assert_false(is_there(w, "refs/main"));
        make_wrong(w, "");
        pull_well(w, "acme/tiny");
        assert_content(w->result.snapshot, "model.safetensors");
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
        w = *state;
    }
    assert_int_not_equal(access("/tmp/evil", F_OK), 0);
}

static void a_file_of_a_byte_is_not_asked_for_forever(void **state)
{
    world *w = *state;
    static const char *const only[] = {"one.txt"};
    w->options.include = only;
    w->options.include_count = 1;
    make_wrong(w, "mute");
    pull_badly(w, "acme/tiny", HONE_IO, "no answer from");
    assert_int_equal(hub_server_counters(w->server)->resolve, HUB_ATTEMPTS_MAX);
}

static void damaged_content_is_removed_and_said(void **state)
{
    world *w = *state;
    char hash[65];
    hub_server_hash(file_of("model.safetensors"), hash);
    make_wrong(w, "hash");
    static const char *const only[] = {"*.safetensors"};
    w->options.include = only;
    w->options.include_count = 1;
    pull_badly(w, "acme/tiny", HONE_FORMAT, hash);
    assert_true(strstr(hone_error(), "model.safetensors arrived damaged: its SHA-256 is "));
    assert_int_equal(count_incomplete(w), 0);
    assert_int_not_equal(access(blob_path(w, "model.safetensors", ""), F_OK), 0);
    w->options.include_count = 0;
    pull_badly(w, "acme/tiny", HONE_FORMAT, "its git SHA-1 is ");
}

static void what_came_before_a_failure_is_kept(void **state)
{
    world *w = *state;
    static const char *const only[] = {"*.safetensors"};
    w->options.include = only;
    w->options.include_count = 1;
    make_wrong(w, "cutmute");
    pull_badly(w, "acme/tiny", HONE_IO, "no answer from");
    struct stat st;
    assert_int_equal(stat(blob_path(w, "model.safetensors", ".incomplete"), &st), 0);
    assert_true(st.st_size >= PIECE / 2);
    make_wrong(w, "");
    long long before = bytes_sent(w);
    pull_well(w, "acme/tiny");
    assert_true(bytes_sent(w) - before == WEIGHT_BYTES - st.st_size);
}

static void a_full_disk_is_said_and_resumed_from(void **state)
{
    world *w = *state;
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    hone_status s = pull(w, "acme/tiny");
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(s, HONE_DISK);
    assert_non_null(strstr(hone_error(), "the next pull goes on"));
    struct stat st;
    assert_int_equal(stat(blob_path(w, "model.safetensors", ".incomplete"), &st), 0);
    assert_int_equal(st.st_size, 100000);
    pull_well(w, "acme/tiny");
    assert_content(w->result.snapshot, "model.safetensors");
}

static void every_failed_allocation_is_survived(void **state)
{
    world *w = *state;
    char command[128];
    int failures = 0, step = 1;
    for (int n = 0;; n += step) {
        snprintf(command, sizeof command, "rm -rf %s/*", w->cache);
        assert_int_equal(system(command), 0);
        hone_mem_fail_after(n);
        hone_status s = pull(w, "acme/tiny");
        hone_mem_fail_after(-1);
        if (s == HONE_OK)
            break;
        failures++;
        if (hone_error()[0] == 0)
            fail_msg("allocation %d: no message", n);
        step = 1 + n / 40;
    }
    assert_true(failures > 20);
    assert_content(w->result.snapshot, "model.safetensors");
}

/* ---- the token ---- */

static void the_token_goes_to_the_hub_and_nowhere_else(void **state)
{
    world *w = *state;
    make_wrong(w, "private");
    setenv("HF_TOKEN", " " HUB_SERVER_TOKEN "\n", 1);
    pull_well(w, "acme/tiny");
    hub_server_counts *counts = hub_server_counters(w->server);
    assert_int_equal(counts->leaks, 0);
    assert_true(counts->cdn > 0);
    assert_int_equal(counts->tokens, counts->api + counts->resolve);
    setenv("HF_TOKEN", "hf_wrong_secret", 1);
    pull_badly(w, "acme/tiny", HONE_PERMISSION, "the token that is set may not see it");
    assert_null(strstr(hone_error(), "secret"));
    setenv("HF_TOKEN", "a\r\nEvil: 1", 1);
    pull_badly(w, "acme/tiny", HONE_USAGE, "token");
    assert_null(strstr(hone_error(), "Evil"));
    unsetenv("HF_TOKEN");
    setenv("HUGGING_FACE_HUB_TOKEN", HUB_SERVER_TOKEN, 1);
    pull_well(w, "acme/tiny");
    unsetenv("HUGGING_FACE_HUB_TOKEN");
    char home[128], file[160];
    snprintf(home, sizeof home, "%s/home", w->cache);
    snprintf(file, sizeof file, "%s/token", home);
    assert_int_equal(hone_make_directory(home), HONE_OK);
    assert_int_equal(hone_write_file(file, HUB_SERVER_TOKEN "\n", strlen(HUB_SERVER_TOKEN) + 1),
                     HONE_OK);
    setenv("HF_HOME", home, 1);
    pull_well(w, "acme/tiny");
    setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
    pull_badly(w, "acme/tiny", HONE_PERMISSION, "set HF_TOKEN");
    unsetenv("HF_HUB_DISABLE_IMPLICIT_TOKEN");
    unsetenv("HF_HOME");
}

static void proxies_of_the_environment_are_used(void **state)
{
    world *w = *state;
    unsetenv("no_proxy");
    setenv("http_proxy", w->endpoint, 1);
    w->options.endpoint = "http://hub.invalid";
    setenv("HF_TOKEN", HUB_SERVER_TOKEN, 1);
    hone_status s = pull(w, "acme/tiny");
    unsetenv("HF_TOKEN");
    unsetenv("http_proxy");
    setenv("no_proxy", "*", 1);
    if (s != HONE_OK)
        fail_msg("%s", hone_error());
    hub_server_counts *counts = hub_server_counters(w->server);
    assert_int_equal(counts->proxied, counts->api + counts->resolve + counts->cdn);
    assert_int_equal(counts->tokens, 0); /* plain http */
}

static void a_blob_that_another_program_fetches_is_waited_for(void **state)
{
    world *w = *state;
    hone_arena arena = {0};
    hub_cache cache;
    int lock, second;
    char hash[65];
    hub_server_hash(file_of("model.safetensors"), hash);
    assert_int_equal(hub_cache_open(&arena, w->cache, "acme/tiny", &cache), HONE_OK);
    assert_int_equal(hub_cache_lock(&cache, hash, &lock), HONE_OK);
    assert_true(lock >= 0);
    assert_int_equal(hub_cache_lock(&cache, hash, &second), HONE_OK);
    assert_int_equal(second, -1);
    pid_t other = fork(); /* the lock's description is shared: it falls when both have closed it */
    if (other == 0) {
        usleep(300000);
        start_blob(w, "model.safetensors", weights, WEIGHT_BYTES);
        char *from = strdup(blob_path(w, "model.safetensors", ".incomplete"));
        if (rename(from, blob_path(w, "model.safetensors", "")) != 0)
            _exit(1);
        _exit(0);
    }
    close(lock);
    pull_well(w, "acme/tiny");
    int status;
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(status, 0);
    assert_content(w->result.snapshot, "model.safetensors");
    assert_int_equal(hub_server_counters(w->server)->cdn, 0); /* it came from the other */
    hone_arena_free(&arena);
}

/* ---- the cache without a network ---- */

static void resolve_badly(const world *w, const char *name, hone_status expected, const char *says)
{
    char *path;
    hone_status s = hone_hub_resolve(name, w->cache, &path);
    if (s != expected || path || !strstr(hone_error(), says))
        fail_msg("%s: %s: \"%s\" instead of \"%s\"", name, hone_status_name(s), hone_error(), says);
}

static void resolve_well(const world *w, const char *name, const char *ends)
{
    char *path;
    if (hone_hub_resolve(name, w->cache, &path) != HONE_OK)
        fail_msg("%s: %s", name, hone_error());
    size_t n = strlen(path), k = strlen(ends);
    assert_true(n > k);
    assert_string_equal(path + n - k, ends);
    hone_free(path);
}

static void names_are_resolved_from_the_cache(void **state)
{
    world *w = *state;
    resolve_badly(w, "acme/tiny", HONE_NOT_FOUND, "hone pull acme/tiny");
    pull_well(w, "acme/tiny:q8_0");
    resolve_well(w, "acme/tiny:Q8_0", HUB_SERVER_MAIN "/q8/tiny-Q8_0-00001-of-00003.gguf");
    resolve_well(w, "acme/tiny", "/q8/tiny-Q8_0-00001-of-00003.gguf"); /* the only one */
    resolve_badly(w, "acme/tiny:Q4_K_M", HONE_NOT_FOUND, "there are: Q8_0 (180.00 kB)");
    assert_non_null(strstr(hone_error(), "hone pull acme/tiny:Q4_K_M"));
    pull_well(w, "acme/tiny:tiny-Q4_K_M");
    resolve_badly(w, "acme/tiny", HONE_USAGE, ", Q4_K_M (150.00 kB)");
    pull_well(w, "acme/tiny");
    resolve_well(w, "acme/tiny", "snapshots/" HUB_SERVER_MAIN);
    resolve_badly(w, "acme/tiny@v1", HONE_NOT_FOUND, "hone pull acme/tiny@v1");
    resolve_well(w, "acme/tiny@" HUB_SERVER_MAIN, "snapshots/" HUB_SERVER_MAIN);
    assert_int_equal(unlink(blob_path(w, "model.safetensors", "")), 0);
    resolve_badly(w, "acme/tiny@main:Q5_0", HONE_NOT_FOUND, "not all, in the cache");
    w->options.endpoint = "http://127.0.0.1:1"; /* nobody is there */
    pull_badly(w, "acme/tiny:Q8_0", HONE_IO, "the cache has it");
    pull_badly(w, "acme/tiny:Q5_0", HONE_IO, "there are: Q8_0");
    w->options.endpoint = w->endpoint;
    w->options.offline = true;
    int asked = hub_server_counters(w->server)->api;
    pull_badly(w, "acme/tiny:Q5_0", HONE_NOT_FOUND, "offline");
    pull_well(w, "acme/tiny:Q8_0");
    assert_true(strstr(w->result.model, "00001-of-00003.gguf"));
    assert_int_equal(hub_server_counters(w->server)->api, asked);
}

static void missing_shards_are_named(void **state)
{
    world *w = *state;
    char folder[4096], at[4200];
    static const char index[] = "{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\", "
                                "\"b\": \"model-00002-of-00002.safetensors\"}}";
    snprintf(folder, sizeof folder, "%s/models--acme--tiny/snapshots/%s", w->cache,
             HUB_SERVER_MAIN);
    assert_int_equal(hone_make_directory(folder), HONE_OK);
    snprintf(at, sizeof at, "%s/model.safetensors.index.json", folder);
    assert_int_equal(hone_write_file(at, index, sizeof index - 1), HONE_OK);
    snprintf(at, sizeof at, "%s/model-00001-of-00002.safetensors", folder);
    assert_int_equal(hone_write_file(at, "x", 1), HONE_OK);
    resolve_badly(w, "acme/tiny@" HUB_SERVER_MAIN, HONE_NOT_FOUND,
                  "model-00002-of-00002.safetensors is not in the cache");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_pull_lays_the_cache_out_as_huggingface_hub_does),
        TEST(a_second_pull_fetches_nothing),
        TEST(a_quantisation_brings_its_file_only_and_all_parts_of_a_split_one),
        TEST(a_large_file_is_fetched_by_ranges_and_each_byte_once),
        TEST(ranges_are_fetched_at_the_same_time),
        TEST(a_revision_is_pinned_and_a_branch_remembered),
        TEST(a_renamed_repository_is_followed),
        TEST(include_and_exclude_choose_by_globs),
        TEST(lists_without_sizes_and_in_pages_do),
        TEST(a_pull_goes_on_where_another_stopped),
        TEST(a_complete_or_too_long_rest_is_told_from_a_good_one),
        TEST(a_wrong_rest_is_noticed_and_fetched_again),
        TEST(verify_finds_what_is_damaged_in_the_cache),
        TEST(faults_that_pass_are_survived),
        TEST(faults_that_stay_are_named),
        TEST(a_file_of_a_byte_is_not_asked_for_forever),
        TEST(damaged_content_is_removed_and_said),
        TEST(what_came_before_a_failure_is_kept),
        TEST(a_full_disk_is_said_and_resumed_from),
        TEST(every_failed_allocation_is_survived),
        TEST(the_token_goes_to_the_hub_and_nowhere_else),
        TEST(proxies_of_the_environment_are_used),
        TEST(a_blob_that_another_program_fetches_is_waited_for),
        TEST(names_are_resolved_from_the_cache),
        TEST(missing_shards_are_named),
    };
    static const char *const variables[] = {"HF_TOKEN",
                                            "HUGGING_FACE_HUB_TOKEN",
                                            "HF_HOME",
                                            "HF_HUB_CACHE",
                                            "HUGGINGFACE_HUB_CACHE",
                                            "HF_ENDPOINT",
                                            "http_proxy",
                                            "all_proxy",
                                            "ALL_PROXY",
                                            "NO_PROXY",
                                            "HF_TOKEN_PATH",
                                            "HF_HUB_OFFLINE",
                                            "TRANSFORMERS_OFFLINE",
                                            "XDG_CACHE_HOME"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    setenv("HOME", "/nonexistent", 1);
    setenv("no_proxy", "*", 1);
    signal(SIGPIPE, SIG_IGN);
    fill(weights, sizeof weights, 1);
    fill(quantised, sizeof quantised, 2);
    for (uint32_t i = 0; i < 3; i++)
        fill(part[i], PART_BYTES, 3 + i);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
