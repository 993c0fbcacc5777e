/* shared - what tests read from ../shared: beside the source tree, or where $HONE_SHARED says. What
 * is not there is skipped by name. Include after cmocka.h. */
#ifndef HONE_TESTS_SHARED_H
#define HONE_TESTS_SHARED_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The path of ../shared/data/NAME, there or not; the last four stay valid. */
static inline const char *shared(const char *name)
{
    static char path[4][1024];
    static unsigned turn;
    const char *root = getenv("HONE_SHARED");
    char *out = path[turn++ % 4];
    snprintf(out, sizeof path[0], "%s/data/%s", root && *root ? root : HONE_SHARED_DIR, name);
    return out;
}

static inline bool have_shared(const char *name)
{
    return access(shared(name), R_OK) == 0;
}

/* have_shared(), with the line that says who is skipped where it is not. */
static inline bool find_shared(const char *who, const char *name)
{
    if (have_shared(name))
        return true;
    print_message("SKIP %s: needs ../shared/data/%s\n", who, name);
    return false;
}

/* Skips the test `who` where it is not. */
static inline void need_shared(const char *who, const char *name)
{
    if (!find_shared(who, name))
        skip();
}

/* Where the golden model NAME lies: carried by the project, or in ../shared. */
static inline bool find_golden(const char *name, char path[512])
{
    char inside[256];
    snprintf(path, 512, HONE_SOURCE_DIR "/tests/golden/data/models/%s", name);
    if (access(path, R_OK) == 0)
        return true;
    snprintf(inside, sizeof inside, "golden/models/%s", name);
    snprintf(path, 512, "%.511s", shared(inside));
    return find_shared(name, inside);
}

#endif
