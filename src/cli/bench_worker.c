#include "base/hone_commit.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/bench_side.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 1 << 16 };

typedef struct worker {
    const char *program;
    pid_t pid;
    FILE *to, *from;
    char line[LINE_BYTES_MAX];
    struct sigaction pipe_before; /* writing to one that has died is an error, not a signal */
} worker;

/* ---- this side ------------------------------------------------------------------------------ */

/* It is asked to go, and has to if it does not. */
static void end(pid_t pid)
{
    const struct timespec moment = {.tv_nsec = 10000000};
    kill(pid, SIGTERM);
    for (int i = 0; i < 500; i++) {
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return;
        nanosleep(&moment, NULL);
    }
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static void worker_close(void *of)
{
    worker *w = of;
    if (w->to)
        fclose(w->to); /* it ends when nothing more can come */
    if (w->pid > 0)
        end(w->pid);
    if (w->from)
        fclose(w->from);
    sigaction(SIGPIPE, &w->pipe_before, NULL);
    hone_free(w);
}

static hone_status spawn(worker *w, const char *model)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0)
        return hone_fail_errno(errno, "a pipe to %s", w->program);
    if (pipe2(out, O_CLOEXEC) != 0) {
        hone_status s = hone_fail_errno(errno, "a pipe from %s", w->program);
        close(in[0]), close(in[1]);
        return s;
    }
    char program[] = "hone", bench_word[] = "bench", option[] = "--worker", end_of[] = "--";
    char *args[] = {program, bench_word, option, end_of, (char *)(uintptr_t)model, NULL};
    posix_spawn_file_actions_t acts;
    int error = posix_spawn_file_actions_init(&acts);
    if (!error) {
        error = posix_spawn_file_actions_adddup2(&acts, in[0], 0);
        if (!error)
            error = posix_spawn_file_actions_adddup2(&acts, out[1], 1);
        if (!error)
            error = posix_spawnp(&w->pid, w->program, &acts, NULL, args, environ);
        posix_spawn_file_actions_destroy(&acts);
    }
    close(in[0]), close(out[1]);
    w->to = fdopen(in[1], "w");
    w->from = fdopen(out[0], "r");
    if (!w->to)
        close(in[1]);
    if (!w->from)
        close(out[0]);
    if (error) {
        w->pid = 0;
        return hone_fail_errno(error, "--versus build:%s", w->program);
    }
    return w->to && w->from ? HONE_OK : hone_fail_memory(BUFSIZ, "the pipes to a build");
}

/* A line of at most LINE_BYTES_MAX; -1 at the end, or if it is longer. */
static ssize_t read_line(worker *w)
{
    size_t n = 0;
    int c;
    while ((c = getc(w->from)) != EOF && c != '\n' && n < LINE_BYTES_MAX)
        w->line[n++] = (char)c;
    return c == '\n' ? (ssize_t)n : -1;
}

/* One question and its answer, an object without "error" */
static hone_status ask(worker *w, json_t *question, json_t **answer)
{
    char *text = question ? json_dumps(question, JSON_COMPACT) : NULL;
    json_decref(question);
    if (!text)
        return hone_fail_memory(1024, "a question");
    bool sent = fprintf(w->to, "%s\n", text) > 0 && fflush(w->to) == 0;
    hone_free(text);
    ssize_t n = sent ? read_line(w) : -1;
    HONE_TRY(hone_interrupt_check());
    if (n < 0)
        return hone_fail(HONE_IO,
                         "--versus build:%s: it ended without an answer. It must be a build of "
                         "hone that knows `bench --worker`",
                         w->program);
    hone_status s = hone_json_parse(w->line, (size_t)n, 4, 100, w->program, answer);
    const char *error = s == HONE_OK ? json_string_value(json_object_get(*answer, "error")) : NULL;
    if (error) {
        s = hone_fail(HONE_IO, "--versus build:%s: %s", w->program, error);
        json_decref(*answer);
        *answer = NULL;
    }
    return s;
}

static json_t *test_json(const bench_test *t)
{
    return json_pack("{s:I, s:I, s:I}", t->prefill ? "prefill" : "decode", (json_int_t)t->tokens,
                     "depth", (json_int_t)t->depth, "batch", (json_int_t)t->batch);
}

static hone_status worker_sample(void *of, const bench_test *t, double *cost)
{
    worker *w = of;
    json_t *answer;
    HONE_TRY(ask(w, test_json(t), &answer));
    *cost = json_number_value(json_object_get(answer, "cost"));
    json_decref(answer);
    return *cost > 0
               ? HONE_OK
               : hone_fail(HONE_FORMAT, "--versus build:%s: an answer without a cost", w->program);
}

/* The keys that are not as they are by default: other builds may not know all. */
static hone_status config_changes(const hone_config *c, json_t **out)
{
    const hone_config usual = hone_config_default();
    char *text = NULL, *plain = NULL;
    json_t *plainly = NULL, *value;
    const char *key;
    *out = NULL;
    hone_status s = hone_config_to_json(c, &text);
    if (s == HONE_OK)
        s = hone_config_to_json(&usual, &plain);
    if (s == HONE_OK)
        s = hone_json_parse(text, strlen(text), 8, 1000, "a configuration", out);
    if (s == HONE_OK)
        s = hone_json_parse(plain, strlen(plain), 8, 1000, "a configuration", &plainly);
    json_object_foreach(plainly, key, value)
    {
        if (json_equal(value, json_object_get(*out, key)))
            json_object_del(*out, key);
    }
    json_decref(plainly);
    hone_free(text);
    hone_free(plain);
    if (s != HONE_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return s;
}

static hone_status greet(worker *w, const bench *a, const hone_config *config, bench_side *out)
{
    json_t *changes, *answer;
    HONE_TRY(spawn(w, a->model));
    HONE_TRY(config_changes(config, &changes));
    HONE_TRY(ask(w,
                 json_pack("{s:o, s:I, s:I}", "config", changes, "batch", (json_int_t)a->batch_max,
                           "tokens", (json_int_t)a->tokens_max),
                 &answer));
    const char *name = json_string_value(json_object_get(answer, "name"));
    snprintf(out->name, sizeof out->name, "%s: %s", w->program, name ? name : "?");
    out->json = json_pack("{s:s, s:s}", "build", w->program, "name", name ? name : "?");
    json_decref(answer);
    return out->json ? HONE_OK : hone_fail(HONE_FORMAT, "--versus build: a path that is no UTF-8");
}

hone_status bench_side_build(const char *program, const bench *a, const hone_config *config,
                             bench_side *out)
{
    worker *w = hone_calloc(1, sizeof *w);
    if (!w)
        return hone_fail_memory(sizeof *w, "a build to compare with");
    *w = (worker){.program = program};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, &w->pipe_before);
    *out = (bench_side){.sample = worker_sample, .close = worker_close, .of = w};
    return greet(w, a, config, out); /* the caller closes it either way */
}

/* ---- the other side ------------------------------------------------------------------------- */

static hone_status answer_line(json_t *o)
{
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(o);
    if (!text)
        return hone_fail_memory(1024, "an answer");
    bool good = printf("%s\n", text) > 0 && fflush(stdout) == 0;
    hone_free(text);
    return good ? HONE_OK : hone_fail(HONE_IO, "nobody reads the answers");
}

static hone_status serve_open(bench *b, json_t *o)
{
    hone_config config;
    char *text = json_dumps(json_object_get(o, "config"), JSON_COMPACT), name[600], words[256];
    json_int_t batch = json_integer_value(json_object_get(o, "batch")),
               tokens = json_integer_value(json_object_get(o, "tokens"));
    if (!text || batch < 1 || batch > 512 || tokens < 1 || tokens > 1 << 22) {
        hone_free(text);
        return hone_fail(HONE_FORMAT, "the first line is no {\"config\", \"batch\", \"tokens\"}");
    }
    hone_status s = hone_config_from_json(text, &config);
    hone_free(text);
    HONE_TRY(s);
    b->batch_max = (uint32_t)batch;
    b->tokens_max = (uint32_t)tokens;
    HONE_TRY(bench_open(b, cli_operand(b->c, 0), config));
    hone_config_describe(hone_engine_config(b->engine), words, sizeof words);
    snprintf(name, sizeof name, "%s (%s)", "hone " HONE_VERSION " " HONE_COMMIT, words);
    return answer_line(json_pack("{s:s}", "name", name));
}

static hone_status serve_test(bench *b, json_t *o)
{
    bench_test t = {0};
    double cost;
    HONE_TRY(bench_read_test(o, &t));
    if (t.batch > b->batch_max || t.depth + t.tokens > b->tokens_max)
        return hone_fail(HONE_LIMIT, "a test that is larger than what was said at first");
    HONE_TRY(bench_sample(b, &t, &cost));
    return answer_line(json_pack("{s:f}", "cost", cost));
}

static hone_status serve(bench *b, const char *line, size_t n)
{
    json_t *o;
    HONE_TRY(hone_json_parse(line, n, 8, 1000, "a question", &o));
    hone_status s = b->engine ? serve_test(b, o) : serve_open(b, o);
    json_decref(o);
    return s;
}

static json_t *error_text(void)
{
    json_t *text = json_string(hone_error());
    return text ? text : json_string("an error whose text is no UTF-8");
}

hone_status bench_worker_serve(const cli_context *c)
{
    bench b = {.c = c};
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    hone_status s = HONE_OK;
    while (s == HONE_OK && (n = getline(&line, &room, stdin)) >= 0)
        s = serve(&b, line, (size_t)n);
    if (s != HONE_OK && s != HONE_INTERRUPTED)
        s = answer_line(json_pack("{s:o}", "error", error_text())); /* told there, not here */
    free(line);
    bench_close(&b);
    return s;
}
