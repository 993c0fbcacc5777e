/* main - finds the command, parses its options, runs it and turns its status into an exit code. */
#include "base/hone_commit.h"
#include "base/interrupt.h"
#include "cli/cli.h"
#include "cli/help.h"
#include "cli/model_names.h"
#include "cli/parse.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static const cli_command *find_command(const char *name)
{
    size_t count;
    const cli_command *const *all = cli_commands(&count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    }
    return NULL;
}

static hone_status unknown_command(const char *name)
{
    const char *names[64];
    size_t count, n = 0;
    const cli_command *const *all = cli_commands(&count);
    for (; n < count && n < sizeof names / sizeof *names; n++)
        names[n] = all[n]->name;
    const char *nearest = cli_nearest(name, names, n);
    if (nearest)
        return hone_fail(HONE_USAGE, "there is no command \"%s\"; did you mean \"%s\"?", name,
                         nearest);
    return hone_fail(HONE_USAGE, "there is no command \"%s\"; see: hone help", name);
}

static hone_status run_command(const cli_command *command, int argc, char **argv)
{
    cli_context c;
    hone_status s = cli_parse(command, argc, argv, &c);
    if (s == HONE_OK && c.help) {
        cli_help_command(command, stdout);
    } else if (s == HONE_OK) {
        if (command->interruptible)
            hone_interrupt_install();
        s = cli_find_models(&c);
        if (s == HONE_OK)
            s = command->run(&c);
        cli_progress_end();
    }
    cli_parse_free(&c);
    return s;
}

/* --version, help, --man and --completion: what is printed without a command being run. */
static hone_status run_generated(int argc, char **argv)
{
    const char *what = argv[0], *name = argc > 1 ? argv[1] : NULL;
    bool version = strcmp(what, "--version") == 0;
    int words = version ? 1 : 2;
    if (argc > words)
        return hone_fail(HONE_USAGE, "%s takes %s, but there is also \"%s\"", what,
                         version ? "nothing" : "one word", argv[words]);
    if (version) {
        printf("hone %s (%s)\n", HONE_VERSION, HONE_COMMIT);
        return HONE_OK;
    }
    if (strcmp(what, "--completion") == 0) {
        if (!name || strcmp(name, "bash") != 0)
            return hone_fail(HONE_USAGE, "--completion knows one shell: bash");
        cli_completion_bash(stdout);
        return HONE_OK;
    }
    const cli_command *command = name ? find_command(name) : NULL;
    if (name && !command)
        return unknown_command(name);
    if (strcmp(what, "--man") == 0)
        cli_man(command, stdout);
    else if (command)
        cli_help_command(command, stdout);
    else
        cli_help_overview(stdout);
    return HONE_OK;
}

static hone_status dispatch(int argc, char **argv)
{
    static const char *const generated[] = {"help",  "--help",       "-h",
                                            "--man", "--completion", "--version"};
    if (argc < 2) {
        cli_help_overview(stderr);
        return hone_fail(HONE_USAGE, "a command is needed");
    }
    for (size_t i = 0; i < sizeof generated / sizeof *generated; i++) {
        if (strcmp(argv[1], generated[i]) == 0)
            return run_generated(argc - 1, argv + 1);
    }
    const cli_command *command = find_command(argv[1]);
    if (!command)
        return unknown_command(argv[1]);
    return run_command(command, argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN); /* ulimit -f: the write fails instead, and what it wrote is removed */
    hone_status s = dispatch(argc, argv);
    if (fflush(stdout) != 0 && s == HONE_OK)
        s = hone_fail_errno(errno, "cannot write to standard output");
    if (ferror(stdout) && s == HONE_OK) /* before the end: what was lost is not flushed again */
        s = hone_fail(HONE_DISK, "cannot write to standard output");
    if (s != HONE_OK)
        fprintf(stderr, "hone: %s\n", hone_error()[0] ? hone_error() : hone_status_text(s));
    return hone_status_exit_code(s);
}
