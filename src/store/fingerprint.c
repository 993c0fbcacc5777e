#include "store/fingerprint.h"

#include "base/mem.h"
#include "base/threads.h"
#include "hw/isa.h"
#include "kernel/kernel.h"
#include "store/hone_commit.h" /* made by cmake/commit.cmake */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
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

static json_t *machine(void)
{
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

static json_t *comparable(void)
{
    const char *forced = getenv("HONE_ISA");
    json_t *all = machine();
    json_t *software = json_pack("{s:s, s:s, s:s, s:s, s:i}", "isa_forced", forced ? forced : "",
                                 "compiler", __VERSION__, "hone", HONE_VERSION, "commit",
                                 HONE_COMMIT, "numerics_version", (int)HONE_NUMERICS_VERSION);
    if (all && (!software || json_object_update(all, software) != 0)) {
        json_decref(all);
        all = NULL;
    }
    json_decref(software);
    return all;
}

hone_status hone_fingerprint_machine(char key[HONE_DIGEST_BYTES])
{
    json_t *facts = machine();
    char *text = facts ? json_dumps(facts, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    json_decref(facts);
    if (!text)
        return hone_fail_memory(1024, "the machine's fingerprint");
    hone_digest_bytes(text, strlen(text), key);
    hone_free(text);
    return HONE_OK;
}

hone_status hone_fingerprint_take(char **json, char key[HONE_DIGEST_BYTES])
{
    *json = NULL;
    json_t *facts = comparable();
    char *text = facts ? json_dumps(facts, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    if (text) {
        hone_digest_bytes(text, strlen(text), key);
        hone_free(text);
        double load[1] = {-1};
        if (getloadavg(load, 1) == 1)
            json_object_set_new(facts, "load", json_real(load[0]));
        text = json_dumps(facts, JSON_SORT_KEYS | JSON_INDENT(1));
    }
    json_decref(facts);
    if (text)
        *json = hone_strdup(text);
    hone_free(text);
    return *json ? HONE_OK : hone_fail_memory(1024, "the environment's fingerprint");
}
