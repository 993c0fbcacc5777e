#include "cli/help.h"

#include "cli/parse.h"

#include <ctype.h>
#include <string.h>

enum { WIDTH = 92, OPTION_COLUMN = 30 };

static const cli_option common[] = {
    {.name = "json", .type = CLI_FLAG, .help = "machine-readable output"},
    {.name = "help", .type = CLI_FLAG, .letter = 'h', .help = "this text"},
    {0},
};

/* What the source asks the environment for; a test holds the one to the other. */
static const struct {
    const char *name, *what;
} environment[] = {
    {"HONE_HOME", "folder of the registry (registry.db); else $XDG_DATA_HOME/hone, else "
                  "~/.local/share/hone"},
    {"HONE_CACHE", "folder of the packed weights, or off; else $XDG_CACHE_HOME/hone, else "
                   "~/.cache/hone (docs/packed-cache.md)"},
    {"HONE_ISA", "the strongest instruction set that may be used, where --isa is not given"},
    {"HONE_VARIANTS",
     "kernel variants: off, fresh (measured again), or single ones, name:value,... "
     "(docs/measurement.md)"},
    {"XDG_STATE_HOME", "hone/chat_history is there; else in ~/.local/state"},
    {"TMPDIR", "where compare --formats writes its files; else /tmp"},
    {"HF_HUB_CACHE", "the cache of pulled models; else HUGGINGFACE_HUB_CACHE, HF_HOME/hub, "
                     "XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub (docs/hub.md)"},
    {"HF_ENDPOINT", "the hub that pull asks; else https://huggingface.co"},
    {"HF_HUB_OFFLINE", "1: pull asks no server; TRANSFORMERS_OFFLINE too"},
    {"HF_TOKEN",
     "pull's token; else HUGGING_FACE_HUB_TOKEN, the file HF_TOKEN_PATH, HF_HOME/token; "
     "HF_HUB_DISABLE_IMPLICIT_TOKEN=1: none"},
    {"SSL_CERT_FILE", "certificates for pull; else CURL_CA_BUNDLE, REQUESTS_CA_BUNDLE"},
    {"https_proxy", "with http_proxy, all_proxy, no_proxy: libcurl's proxies"},
    {"OPENAI_API_KEY", "sent to the server of bench --versus, over https or on this machine"},
};
enum { VARIABLES = sizeof environment / sizeof *environment };

static const char a_model[] =
    "A model is given as a GGUF file, as a Hugging Face folder, or by the name of one that was "
    "pulled: OWNER/NAME or OWNER/NAME:QUANT (docs/hub.md).";

static bool takes_model(const cli_command *command)
{
    bool takes = command->models || (command->operands && strstr(command->operands, "MODEL"));
    for (const cli_option *o = command->options; !takes && o && o->name; o++)
        takes = o->model;
    return takes;
}

/* Words of `text` wrapped at WIDTH, each line after the first behind `indent` spaces. */
static void print_wrapped(const char *text, int indent, int column, FILE *f)
{
    while (*text) {
        if (text[0] == '\n' && text[1] == '\n') {
            fprintf(f, "\n\n%*s", indent, "");
            column = indent;
        }
        text += strspn(text, " \n");
        int n = (int)strcspn(text, " \n");
        if (n == 0)
            break;
        bool first = column == indent;
        if (!first && column + 1 + n > WIDTH) {
            fprintf(f, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        column += fprintf(f, "%s%.*s", first ? "" : " ", n, text);
        text += n;
    }
    fputc('\n', f);
}

static void option_label(const cli_option *o, char *buf, size_t size)
{
    char letter[8] = "";
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(buf, size, "%s--%s%s%s", letter, o->name, o->argument ? " " : "",
             o->argument ? o->argument : "");
}

/* What follows the help line: choices and the default. */
static void option_note(const cli_option *o, char *buf, size_t size)
{
    const char *choices = o->choices ? o->choices : "";
    snprintf(buf, size, "%s%s%s%s%s%s%s", o->choices ? ": " : "", choices,
             o->fallback ? " (default " : "", o->fallback ? o->fallback : "",
             o->fallback ? ")" : "", o->required ? " (required)" : "",
             o->type == CLI_TEXTS ? " (may be repeated)" : "");
}

static void print_options(const cli_option *options, FILE *f)
{
    for (const cli_option *o = options; o && o->name; o++) {
        char label[96], note[256], text[768];
        option_label(o, label, sizeof label);
        option_note(o, note, sizeof note);
        snprintf(text, sizeof text, "%s%s", o->help, note);
        int column = fprintf(f, "  %-*s", OPTION_COLUMN - 2, label);
        if (column > OPTION_COLUMN)
            fprintf(f, "\n%*s", OPTION_COLUMN, "");
        print_wrapped(text, OPTION_COLUMN, OPTION_COLUMN, f);
    }
}

void cli_help_overview(FILE *f)
{
    size_t count;
    const cli_command *const *commands = cli_commands(&count);
    fputs("hone - the fastest way to run a language model on this machine that still meets the\n"
          "quality bar: measure, change, validate, promote or roll back\n\n"
          "Usage: hone COMMAND [OPTION]... [OPERAND]...\n\nCommands:\n",
          f);
    for (size_t i = 0; i < count; i++)
        fprintf(f, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n  hone help COMMAND       options and examples of a command\n"
          "  hone --version          the version\n"
          "  hone --man [COMMAND]    the manual page, as roff\n"
          "  hone --completion bash  completion for the shell: source <(hone --completion bash)\n"
          "\nExit codes: ",
          f);
    for (int s = 0; s < HONE_STATUS_COUNT; s++)
        fprintf(f, "%s%d %s", s ? (s % 6 ? ", " : ",\n            ") : "",
                hone_status_exit_code((hone_status)s), hone_status_name((hone_status)s));
    fputs("\n\nEnvironment:\n", f);
    for (int i = 0; i < VARIABLES; i++) {
        fprintf(f, "  %-15s ", environment[i].name);
        print_wrapped(environment[i].what, 18, 18, f);
    }
    fputs("\nThe pages docs/*.md are in the source tree and in PREFIX/share/doc/hone.\n", f);
}

void cli_help_command(const cli_command *command, FILE *f)
{
    fprintf(f, "hone %s - %s\n\nUsage: hone %s [OPTION]...%s%s\n", command->name, command->summary,
            command->name, command->operands ? " " : "",
            command->operands ? command->operands : "");
    if (command->description) {
        fputc('\n', f);
        print_wrapped(command->description, 0, 0, f);
    }
    if (takes_model(command)) {
        fputc('\n', f);
        print_wrapped(a_model, 0, 0, f);
    }
    fputs("\nOptions:\n", f);
    print_options(command->options, f);
    print_options(common, f);
    if (command->examples && command->examples[0].command) {
        fputs("\nExamples:\n", f);
        for (const cli_example *e = command->examples; e->command; e++)
            fprintf(f, "  %s\n      %s\n", e->command, e->what);
    }
}

/* Text with roff's special characters escaped; a blank line becomes .PP. */
static void roff(const char *text, FILE *f)
{
    bool line_start = true;
    for (const char *p = text; *p; p++) {
        if (p[0] == '\n' && p[1] == '\n') {
            fputs("\n.PP\n", f);
            p++;
            line_start = true;
            continue;
        }
        if (line_start && (*p == '.' || *p == '\''))
            fputs("\\&", f);
        if (*p == '\\')
            fputs("\\e", f);
        else if (*p == '-')
            fputs("\\-", f);
        else
            fputc(*p, f);
        line_start = *p == '\n';
    }
}

static void roff_options(const cli_option *options, FILE *f)
{
    for (const cli_option *o = options; o && o->name; o++) {
        char label[96], note[256];
        option_label(o, label, sizeof label);
        option_note(o, note, sizeof note);
        fputs(".TP\n.B ", f);
        roff(label, f);
        fputc('\n', f);
        roff(o->help, f);
        roff(note, f);
        fputc('\n', f);
    }
}

static void man_overview(FILE *f)
{
    size_t count;
    const cli_command *const *commands = cli_commands(&count);
    fputs(".TH HONE 1 \"\" \"hone\" \"User Commands\"\n.SH NAME\nhone \\- find the fastest "
          "configuration of a language model within a quality bar\n.SH SYNOPSIS\n.B hone\n.I "
          "COMMAND\n"
          "[\\fIOPTION\\fR]... [\\fIOPERAND\\fR]...\n.SH COMMANDS\n",
          f);
    for (size_t i = 0; i < count; i++) {
        fprintf(f, ".TP\n.BR hone\\-%s (1)\n", commands[i]->name);
        roff(commands[i]->summary, f);
        fputc('\n', f);
    }
    fputs(".SH EXIT STATUS\n", f);
    for (int s = 0; s < HONE_STATUS_COUNT; s++) {
        fprintf(f, ".TP\n.B %d\n", hone_status_exit_code((hone_status)s));
        roff(hone_status_text((hone_status)s), f);
        fputc('\n', f);
    }
    fputs(".SH ENVIRONMENT\n", f);
    for (int i = 0; i < VARIABLES; i++) {
        fprintf(f, ".TP\n.B %s\n", environment[i].name);
        roff(environment[i].what, f);
        fputc('\n', f);
    }
}

void cli_man(const cli_command *command, FILE *f)
{
    if (!command) {
        man_overview(f);
        return;
    }
    fputs(".TH HONE\\-", f);
    for (const char *p = command->name; *p; p++)
        fputc(toupper((unsigned char)*p), f);
    fprintf(f, " 1 \"\" \"hone\" \"User Commands\"\n.SH NAME\nhone\\-%s \\- ", command->name);
    roff(command->summary, f);
    fprintf(f, "\n.SH SYNOPSIS\n.B hone %s\n[\\fIOPTION\\fR]...", command->name);
    if (command->operands)
        fprintf(f, " \\fI%s\\fR", command->operands);
    if (command->description) {
        fputs("\n.SH DESCRIPTION\n", f);
        roff(command->description, f);
        if (takes_model(command)) {
            fputs("\n.PP\n", f);
            roff(a_model, f);
        }
    }
    fputs("\n.SH OPTIONS\n", f);
    roff_options(command->options, f);
    roff_options(common, f);
    if (command->examples && command->examples[0].command)
        fputs(".SH EXAMPLES\n", f);
    for (const cli_example *e = command->examples; e && e->command; e++) {
        fputs(".TP\n.B ", f);
        roff(e->command, f);
        fputc('\n', f);
        roff(e->what, f);
        fputc('\n', f);
    }
    fputs(".SH SEE ALSO\n.BR hone (1)\n", f);
}

void cli_completion_bash(FILE *f)
{
    size_t count;
    const cli_command *const *commands = cli_commands(&count);
    fputs("# bash completion for hone; load it with: source <(hone --completion bash)\n_hone() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} options\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W \"help",
          f);
    for (size_t i = 0; i < count; i++)
        fprintf(f, " %s", commands[i]->name);
    fputs(" --version --help --man --completion\" -- \"$word\"))\n        return\n    fi\n"
          "    case ${COMP_WORDS[1]}:$before in\n",
          f);
    for (size_t i = 0; i < count; i++) {
        for (const cli_option *o = commands[i]->options; o && o->name; o++) {
            if (o->type != CLI_CHOICE)
                continue;
            fprintf(f, "    %s:--%s) COMPREPLY=($(compgen -W \"", commands[i]->name, o->name);
            for (const char *p = o->choices; *p; p++)
                fputc(*p == '|' ? ' ' : *p, f);
            fputs("\" -- \"$word\")); return ;;\n", f);
        }
    }
    fputs("    esac\n    case ${COMP_WORDS[1]} in\n    help) options=\"", f);
    for (size_t i = 0; i < count; i++)
        fprintf(f, "%s%s", i ? " " : "", commands[i]->name);
    fputs("\" ;;\n", f);
    for (size_t i = 0; i < count; i++) {
        fprintf(f, "    %s) options=\"--json --help", commands[i]->name);
        for (const cli_option *o = commands[i]->options; o && o->name; o++)
            fprintf(f, " --%s", o->name);
        fputs("\" ;;\n", f);
    }
    fputs("    esac\n    COMPREPLY=($(compgen -W \"$options\" -- \"$word\") "
          "$(compgen -f -- \"$word\"))\n}\ncomplete -o filenames -F _hone hone\n",
          f);
}
