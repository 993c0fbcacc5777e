/* help - what is generated from the table of commands: help texts, man pages, shell completion. */
#ifndef HONE_CLI_HELP_H
#define HONE_CLI_HELP_H

#include "cli/cli.h"

void cli_help_overview(FILE *f);
void cli_help_command(const cli_command *command, FILE *f);
/* roff (man(7)) for one command, or for hone itself when command is NULL. */
void cli_man(const cli_command *command, FILE *f);
void cli_completion_bash(FILE *f);

#endif
