/* webhook - one HTTP POST of JSON, in a bounded time. Threading: one thread. */
#ifndef HONE_CLI_WEBHOOK_H
#define HONE_CLI_WEBHOOK_H

#include "base/status.h"

/* USAGE: no http or https address. */
HONE_CHECKED hone_status cli_webhook_check(const char *url);
/* To such an address. Redirects are not followed; at most `seconds` in all. Errors: IO (no answer,
 * or one that is not 2xx), MEMORY. */
HONE_CHECKED hone_status cli_webhook_post(const char *url, const char *json, double seconds);

#endif
