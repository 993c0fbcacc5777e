/*
 * hub_server - a hub for tests: speaks as much of the Hugging Face hub's API as a pull needs, on a
 * port of this machine, and does wrong on request.
 *
 * It has one repository, "acme/tiny" (also reached by its old name "acme/old", through a redirect),
 * with two commits: "v1" (files with in_v1) and "main" (all). Files marked lfs are answered, as the
 * real hub does, by a redirect to another origin (a second port, "the CDN") at a signed address.
 *
 * What goes wrong is written into the endpoint: http://127.0.0.1:PORT/~cut,429 . The list of
 * words stands at `faults` in hub_server.c.
 *
 * Threading: a thread per connection; counters are atomic. Everything ends in hub_server_stop().
 */
#ifndef HONE_TESTS_HUB_SERVER_H
#define HONE_TESTS_HUB_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HUB_SERVER_MAIN  "1111111111111111111111111111111111111111"
#define HUB_SERVER_V1    "2222222222222222222222222222222222222222"
#define HUB_SERVER_TOKEN "hf_sesame"

typedef struct hub_server_file {
    const char *path;
    const uint8_t *data;
    size_t bytes;
    bool lfs, in_v1;
} hub_server_file;

typedef struct hub_server hub_server;

typedef struct hub_server_counts {
    atomic_int api, resolve, cdn;      /* requests */
    atomic_int leaks;                  /* of the token: requests to the CDN that carried one */
    atomic_int proxied;                /* requests to it as a proxy */
    atomic_int tokens;                 /* requests with the right token */
    atomic_llong body_bytes;           /* of files, sent or about to be */
    atomic_int parallel, parallel_max; /* bodies of files under way at once */
} hub_server_counts;

/* files (and what they point to) must outlive the server. port 0 = any. NULL: no socket. */
hub_server *hub_server_start(const hub_server_file *files, size_t count, int port);
int hub_server_port(const hub_server *s);
hub_server_counts *hub_server_counters(hub_server *s);
void hub_server_stop(hub_server *s);

/* What a hub calls the file's content: SHA-256 for lfs, git's SHA-1 else. */
void hub_server_hash(const hub_server_file *f, char hex[65]);

#endif
