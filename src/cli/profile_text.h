/* profile_text - a profile as tables for a terminal. Threading: one thread. */
#ifndef HONE_CLI_PROFILE_TEXT_H
#define HONE_CLI_PROFILE_TEXT_H

#include "observe/profile.h"

#include <stdio.h>

/* layers: a row for each layer too. */
HONE_CHECKED hone_status cli_print_profile(const hone_profile *p, bool layers, FILE *f);

#endif
