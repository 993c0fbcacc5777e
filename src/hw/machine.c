#include "hw/machine.h"

#include "base/json.h"
#include "base/threads.h"
#include "hw/isa.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* First line of a small file of /proc or /sys that starts with `prefix`, without it. */
static void read_line(const char *path, const char *prefix, char *out, size_t size)
{
    snprintf(out, size, "unknown");
    FILE *f = fopen(path, "re");
    if (!f)
        return;
    char line[512];
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, prefix, strlen(prefix)) != 0)
            continue;
        const char *text = line + strlen(prefix);
        text += strspn(text, " \t:");
        snprintf(out, size, "%.*s", (int)strcspn(text, "\n"), text);
        break;
    }
    fclose(f);
}

json_t *hone_machine_facts(void)
{
    hone_json_use_memory();
    char cpu[256], governor[64], pages[64], quota[64];
    read_line("/proc/cpuinfo", "model name", cpu, sizeof cpu);
    read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "", governor,
              sizeof governor);
    read_line("/sys/kernel/mm/transparent_hugepage/enabled", "", pages, sizeof pages);
    read_line("/sys/fs/cgroup/cpu.max", "", quota, sizeof quota);
    struct utsname os;
    const char *release = uname(&os) == 0 ? os.release : "unknown";
    double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    return json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:I}", "cpu", cpu, "cpus_allowed",
                     hone_cpus_allowed(), "cpu_quota", quota, "isa_best",
                     hone_isa_name(hone_isa_best()), "governor", governor, "huge_pages", pages,
                     "kernel", release, "memory_bytes", (json_int_t)memory);
}
