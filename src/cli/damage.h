/*
 * damage - which tensor of a model spoils its logits. Threading: one thread.
 */
#ifndef HONE_CLI_DAMAGE_H
#define HONE_CLI_DAMAGE_H

#include "base/status.h"

/* For a failure that says that logits are no numbers: looks through the model's file and puts the
 * first tensor that holds such a value, or at least the file, before the message. Returns s. */
hone_status cli_name_damage(const char *path, hone_status s);

#endif
