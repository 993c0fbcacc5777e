/* folder - a temporary folder, below $TMPDIR or /tmp, for the time of a test (make_folder and
 * remove_folder are its setup and teardown) or of a whole program (the group's). Include after
 * cmocka.h, if at all. */
#ifndef HONE_TESTS_FOLDER_H
#define HONE_TESTS_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[128];

static inline int make_folder(void **state)
{
    (void)state;
    const char *root = getenv("TMPDIR");
    int n = snprintf(folder, sizeof folder, "%s/hone-test-XXXXXX", root && *root ? root : "/tmp");
    return n < (int)sizeof folder && mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
    (void)state;
    char command[320];
    snprintf(command, sizeof command, "chmod -R u+w '%s'; rm -rf '%s'", folder, folder);
    return system(command);
}

static inline void remove_at_exit(void)
{
    if (remove_folder(NULL) != 0)
        abort();
}

/* For a program without a setup and a teardown. */
static inline void need_folder(void)
{
    if (make_folder(NULL) != 0 || atexit(remove_at_exit) != 0)
        abort();
}

/* The path of a name in it, until the next call. */
static inline const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

#endif
