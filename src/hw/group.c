#include "hw/group.h"

#include "hw/sysfs.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16, PATH_BYTES = 1024, FILE_BYTES = 16384 };

typedef struct walk {
    const char *root;
    hone_group_limits *limits;
    char text[FILE_BYTES]; /* the file read last */
} walk;

/* Takes what limits the group that this folder is. */
typedef void group_fn(walk *w, const char *folder);

static bool read_member(walk *w, const char *folder, const char *name)
{
    char path[PATH_BYTES + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return hone_sysfs_read(w->root, path, w->text, sizeof w->text);
}

static void take(double *least, double limit)
{
    if (limit > 0 && (*least == 0 || limit < *least))
        *least = limit;
}

static void group_v2(walk *w, const char *folder)
{
    double quota, period;
    if (read_member(w, folder, "cpu.max") && sscanf(w->text, "%lf %lf", &quota, &period) == 2 &&
        period > 0)
        take(&w->limits->cpus, quota / period);
    if (read_member(w, folder, "memory.max")) /* "max" is no number */
        take(&w->limits->memory_bytes, strtod(w->text, NULL));
}

static void group_cpu_v1(walk *w, const char *folder)
{
    double quota = read_member(w, folder, "cpu.cfs_quota_us") ? strtod(w->text, NULL) : -1;
    double period = read_member(w, folder, "cpu.cfs_period_us") ? strtod(w->text, NULL) : 0;
    if (period > 0)
        take(&w->limits->cpus, quota / period);
}

static void group_memory_v1(walk *w, const char *folder)
{
    double bytes = read_member(w, folder, "memory.limit_in_bytes") ? strtod(w->text, NULL) : 0;
    if (bytes < 1e18) /* "no limit" is near 2^63 */
        take(&w->limits->memory_bytes, bytes);
}

/* The group of a controller ("": of v2) by /proc/self/cgroup, whose lines are ID:LIST:PATH */
static void group_of(walk *w, const char *controller, char *out, size_t size)
{
    const size_t n = strlen(controller);
    *out = 0;
    if (!hone_sysfs_read(w->root, "/proc/self/cgroup", w->text, sizeof w->text))
        return;
    for (const char *line = w->text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *list = line + strcspn(line, ":\n");
        const char *path = list + 1 + (*list == ':' ? strcspn(list + 1, ":\n") : 0);
        for (const char *c = list; *list == ':' && *path == ':' && c < path;
             c += 1 + strcspn(c + 1, ",:"))
            if (strncmp(c + 1, controller, n) == 0 && (c[1 + n] == ',' || c + 1 + n == path))
                snprintf(out, size, "%.*s", (int)strcspn(path + 1, "\n"), path + 1);
    }
}

/* From the group up to the root; in a container the root may be the group itself, and its path not
 * to be seen. */
static void walk_group(walk *w, const char *root, const char *controller, group_fn *see)
{
    char group[PATH_BYTES / 2], folder[PATH_BYTES];
    group_of(w, controller, group, sizeof group);
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        char *slash = strrchr(group, '/');
        if (slash && slash[1] == 0)
            *slash = 0;
        snprintf(folder, sizeof folder, "%s%s", root, group);
        see(w, folder);
        if (!group[0] || !(slash = strrchr(group, '/')))
            break;
        *slash = 0;
    }
}

void hone_group_read(const char *root, hone_group_limits *out)
{
    walk w = {.root = root, .limits = out};
    *out = (hone_group_limits){0};
    if (!hone_sysfs_read(root, "/proc/self/cgroup", w.text, sizeof w.text))
        return;
    bool v2 = hone_sysfs_read(root, "/sys/fs/cgroup/cgroup.controllers", w.text, sizeof w.text);
    out->version = v2 ? 2 : 1;
    if (v2) {
        walk_group(&w, "/sys/fs/cgroup", "", group_v2);
    } else {
        walk_group(&w, "/sys/fs/cgroup/cpu", "cpu", group_cpu_v1);
        walk_group(&w, "/sys/fs/cgroup/memory", "memory", group_memory_v1);
        walk_group(&w, "/sys/fs/cgroup/unified", "", group_v2); /* beside v1 */
    }
}
