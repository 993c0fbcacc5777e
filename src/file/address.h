/* address - of a server: whether it is one, and whether a secret may travel there. Pure functions;
 * any thread. */
#ifndef HONE_FILE_ADDRESS_H
#define HONE_FILE_ADDRESS_H

#include <stdbool.h>

/* http or https with a host, without a user or a query */
bool hone_address_is_plain(const char *url);
/* This machine, by name or number: no proxy has to do with it. */
bool hone_address_is_here(const char *url);
/* https, or this machine */
bool hone_address_is_private(const char *url);

#endif
