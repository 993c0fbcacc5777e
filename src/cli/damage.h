/*
 * damage - which tensor of a model spoils its logits. Threading: one thread.
 */
#ifndef HONE_CLI_DAMAGE_H
#define HONE_CLI_DAMAGE_H

#include "base/status.h"

#include <stddef.h>

/* For a failure that damaged weights may be the cause of: looks through the model's file. FORMAT
 * that names the first tensor which holds such a value before the message; if there is none, s with
 * the file before it. */
hone_status cli_name_damage(const char *path, hone_status s);

/* Whether all that a model gave are numbers; else FORMAT by cli_name_damage. */
HONE_CHECKED hone_status cli_check_numbers(const char *path, const float *values, size_t n);

#endif
