/* pull - a model from a hub into the cache that huggingface_hub uses too. */
#include "cli/cli.h"
#include "cli/table.h"

#include "base/clock.h"
#include "file/hub.h"

#include <string.h>

/* What the line of progress is computed from: the rate is that of the last few seconds. */
typedef struct pull_rate {
    double began, at, bytes_s;
    uint64_t received;
} pull_rate;

static void update_rate(pull_rate *r, uint64_t received)
{
    double now = hone_clock_s(), passed = now - r->at;
    if (passed < 0.5)
        return;
    double bytes_s = (double)(received - r->received) / passed;
    double weight = r->bytes_s > 0 ? passed / (passed + 3) : 1;
    r->bytes_s += (bytes_s - r->bytes_s) * weight;
    r->at = now;
    r->received = received;
}

static const char *last_part(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path ? path : "";
}

static void show_progress(void *arg, const hone_hub_state *state)
{
    pull_rate *r = arg;
    char done[16], total[16], rate[16];
    if (state->bytes_total == 0) {
        cli_progress(-1, "%s %s", state->doing, last_part(state->file));
        return;
    }
    update_rate(r, state->bytes_received);
    char speed[48] = "";
    double left = (double)(state->bytes_total - state->bytes_done);
    long s = r->bytes_s > 1 ? (long)(left / r->bytes_s) : 0;
    if (r->bytes_s > 1)
        snprintf(speed, sizeof speed, ", %s/s, %ld:%02ld:%02ld left",
                 cli_format_bytes(r->bytes_s, rate, sizeof rate), s / 3600, s / 60 % 60, s % 60);
    cli_progress((double)state->bytes_done / (double)state->bytes_total, "%s of %s%s  %s%s%.28s",
                 cli_format_bytes((double)state->bytes_done, done, sizeof done),
                 cli_format_bytes((double)state->bytes_total, total, sizeof total), speed,
                 strcmp(state->doing, "fetching") == 0 ? "" : state->doing,
                 strcmp(state->doing, "fetching") == 0 ? "" : " ", last_part(state->file));
}

static uint64_t bytes_missing(const hone_hub_result *r)
{
    uint64_t missing = 0;
    for (size_t i = 0; i < r->file_count; i++)
        missing += r->files[i].bytes - r->files[i].cached_bytes;
    return missing;
}

static hone_status print_json(const hone_hub_result *r, bool dry)
{
    json_t *files = json_array();
    for (size_t i = 0; i < r->file_count; i++) {
        const hone_hub_file *f = &r->files[i];
        json_array_append_new(files, json_pack("{s:s, s:I, s:s, s:I, s:b}", "path", f->path,
                                               "bytes", (json_int_t)f->bytes, "hash", f->hash,
                                               "cached_bytes", (json_int_t)f->cached_bytes,
                                               "verifiable", (int)f->verifiable));
    }
    return cli_print_json(json_pack(
        "{s:s, s:s, s:s, s:s, s:s?, s:b, s:I, s:I, s:I, s:o}", "repository", r->repository,
        "revision", r->revision, "commit", r->commit, "snapshot", r->snapshot, "model", r->model,
        "dry_run", (int)dry, "bytes_total", (json_int_t)r->bytes_total, "bytes_missing",
        (json_int_t)(dry ? bytes_missing(r) : 0), "bytes_received", (json_int_t)r->bytes_received,
        "files", files));
}

static hone_status print_plan(const hone_hub_result *r)
{
    char bytes[16];
    cli_table *t;
    HONE_TRY(cli_table_open("file,>bytes,in the cache", &t));
    for (size_t i = 0; i < r->file_count; i++) {
        const hone_hub_file *f = &r->files[i];
        cli_table_cell(t, "%s", f->path);
        cli_table_cell(t, "%s", cli_format_bytes((double)f->bytes, bytes, sizeof bytes));
        if (f->cached_bytes == f->bytes)
            cli_table_cell(t, "yes");
        else
            cli_table_cell(t, "%s",
                           f->cached_bytes
                               ? cli_format_bytes((double)f->cached_bytes, bytes, sizeof bytes)
                               : "no");
    }
    HONE_TRY(cli_table_print(t, stdout));
    char missing[16];
    printf("\n%s at %s: %zu files, %s; %s to fetch\n", r->repository, r->commit, r->file_count,
           cli_format_bytes((double)r->bytes_total, bytes, sizeof bytes),
           cli_format_bytes((double)bytes_missing(r), missing, sizeof missing));
    return HONE_OK;
}

/* The path alone on standard output, for scripts; what happened on standard error. */
static hone_status print_path(const hone_hub_result *r, double seconds)
{
    char total[16], received[16], rate[16];
    for (size_t i = 0; i < r->file_count; i++)
        if (!r->files[i].verifiable)
            fprintf(stderr, "hone: %s: the hub names no hash of it; only its length was checked\n",
                    r->files[i].path);
    if (r->file_count && r->bytes_received)
        fprintf(stderr, "%s at %.12s: %zu files, %s; fetched %s in %.1f s (%s/s)\n", r->repository,
                r->commit, r->file_count,
                cli_format_bytes((double)r->bytes_total, total, sizeof total),
                cli_format_bytes((double)r->bytes_received, received, sizeof received), seconds,
                cli_format_bytes((double)r->bytes_received / seconds, rate, sizeof rate));
    else
        fprintf(stderr, "%s at %.12s: all of it was in the cache\n", r->repository, r->commit);
    puts(r->model ? r->model : r->snapshot);
    return HONE_OK;
}

static hone_status run(cli_context *c)
{
    pull_rate rate = {.began = hone_clock_s(), .at = hone_clock_s()};
    hone_hub_options o = {.endpoint = cli_text(c, "endpoint"),
                          .cache_dir = cli_text(c, "cache-dir"),
                          .revision = cli_text(c, "revision"),
                          .connections = (int)cli_int(c, "connections"),
                          .offline = cli_flag(c, "offline"),
                          .dry_run = cli_flag(c, "dry-run"),
                          .verify = cli_flag(c, "verify"),
                          .progress = show_progress,
                          .progress_arg = &rate};
    hone_hub_result r;
    o.include = cli_texts(c, "include", &o.include_count);
    o.exclude = cli_texts(c, "exclude", &o.exclude_count);
    hone_status s = hone_hub_pull(cli_operand(c, 0), &o, &r);
    cli_progress_end();
    if (s == HONE_OK && cli_json(c))
        s = print_json(&r, o.dry_run);
    else if (s == HONE_OK && o.dry_run)
        s = print_plan(&r);
    else if (s == HONE_OK)
        s = print_path(&r, hone_clock_s() - rate.began);
    hone_hub_result_free(&r);
    return s;
}

static const cli_option options[] = {
    {.name = "revision",
     .type = CLI_TEXT,
     .argument = "REV",
     .help = "branch, tag or commit (default: main); also OWNER/NAME@REV"},
    {.name = "include",
     .type = CLI_TEXTS,
     .argument = "GLOB",
     .help = "these files instead of the choice described above"},
    {.name = "exclude", .type = CLI_TEXTS, .argument = "GLOB", .help = "not these files"},
    {.name = "endpoint",
     .type = CLI_TEXT,
     .argument = "URL",
     .help = "the hub (default: HF_ENDPOINT, else https://huggingface.co)"},
    {.name = "cache-dir",
     .type = CLI_TEXT,
     .argument = "DIR",
     .help = "the cache (default: HF_HUB_CACHE, HF_HOME/hub, ~/.cache/huggingface/hub)"},
    {.name = "connections",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "8",
     .min = 1,
     .max = 32,
     .help = "ranges fetched at a time"},
    {.name = "verify", .type = CLI_FLAG, .help = "hash what is in the cache too"},
    {.name = "offline", .type = CLI_FLAG, .help = "ask no server, say what the cache has"},
    {.name = "dry-run", .type = CLI_FLAG, .help = "list the files and fetch nothing"},
    {0},
};

static const cli_example examples[] = {
    {"hone pull acme/tiny-GGUF:Q4_K_M", "one quantisation of a GGUF repository"},
    {"hone run $(hone pull acme/tiny) -p \"Once\"",
     "safetensors, configuration and tokenizer; prints the folder"},
    {"hone pull acme/tiny --revision v1.0 --include '*.json' --json", "some files of a tag"},
    {0},
};

const cli_command cli_cmd_pull = {
    .name = "pull",
    .summary = "fetch a model from a hub",
    .description =
        "Fetches a model from a hub that speaks the Hugging Face hub's API into the cache that "
        "huggingface_hub uses (same layout, same environment variables), checks every file "
        "against the hash that the hub gives, and prints the path. Afterwards every command "
        "takes OWNER/NAME[@REVISION][:QUANT] as MODEL, without a network.\n\nWith QUANT (Q4_K_M, "
        "or the end of a file's name) that GGUF file is fetched, all parts of a split one; without "
        "it the safetensors with configuration and tokenizer, or the only GGUF there is.\n\n"
        "Stopped pulls go on where they stopped. The token is taken from HF_TOKEN, "
        "HUGGING_FACE_HUB_TOKEN or huggingface_hub's token file, and sent to the hub only. "
        "Proxies: HTTPS_PROXY, ALL_PROXY, NO_PROXY. More: docs/hub.md.",
    .operands = "OWNER/NAME[@REVISION][:QUANT]",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
