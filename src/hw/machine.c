#include "hw/machine.h"

#include "base/json.h"
#include "base/threads.h"
#include "hw/group.h"
#include "hw/isa.h"
#include "hw/sysfs.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* First line of a small file of /proc or /sys that starts with `prefix`, without it. */
static void read_line(const char *root, const char *path, const char *prefix, char *out,
                      size_t size)
{
    char text[16384];
    snprintf(out, size, "unknown");
    hone_sysfs_read(root, path, text, sizeof text);
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, prefix, strlen(prefix)) != 0)
            continue;
        line += strlen(prefix);
        line += strspn(line, " \t:");
        snprintf(out, size, "%.*s", (int)strcspn(line, "\n"), line);
        return;
    }
}

static double physical_bytes(void)
{
    return (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
}

double hone_machine_memory_bytes(const char *root)
{
    hone_group_limits group;
    hone_group_read(root, &group);
    double all = physical_bytes();
    return group.memory_bytes > 0 && group.memory_bytes < all ? group.memory_bytes : all;
}

json_t *hone_machine_facts(const char *root)
{
    hone_json_use_memory();
    char cpu[256], governor[64], pages[64], quota[64];
    read_line(root, "/proc/cpuinfo", "model name", cpu, sizeof cpu);
    read_line(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "", governor,
              sizeof governor);
    read_line(root, "/sys/kernel/mm/transparent_hugepage/enabled", "", pages, sizeof pages);
    read_line(root, "/sys/fs/cgroup/cpu.max", "", quota, sizeof quota);
    hone_group_limits group;
    hone_group_read(root, &group);
    if (group.cpus > 0)
        snprintf(quota, sizeof quota, "%.2f CPUs", group.cpus);
    struct utsname os;
    const char *release = uname(&os) == 0 ? os.release : "unknown";
    return json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:I}", "cpu", cpu, "cpus_allowed",
                     hone_cpus_allowed(), "cpu_quota", quota, "isa_best",
                     hone_isa_name(hone_isa_best()), "governor", governor, "huge_pages", pages,
                     "kernel", release, "memory_bytes", (json_int_t)physical_bytes());
}
