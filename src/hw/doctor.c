#include "hw/doctor.h"

#include "base/threads.h"
#include "hw/group.h"
#include "hw/isa.h"
#include "hw/sysfs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { FILE_BYTES = 65536 };

typedef struct exam {
    const char *root;
    hone_doctor_report *report;
    char text[FILE_BYTES]; /* the file read last, trimmed */
} exam;

static bool read_text(exam *e, const char *path)
{
    return hone_sysfs_read(e->root, path, e->text, sizeof e->text);
}

/* The rest of the line that begins with `key`, behind a colon and blanks; false if there is none.
 */
static bool find_line(const char *text, const char *key, char *out, size_t size)
{
    size_t length = strlen(key);
    for (const char *p = text; p && *p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (strncmp(p, key, length) != 0 || !strchr(" \t:", p[length]))
            continue;
        p += length;
        p += strspn(p, " \t:");
        snprintf(out, size, "%.*s", (int)strcspn(p, "\n"), p);
        return true;
    }
    return false;
}

static hone_doctor_fact *add(exam *e, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static hone_doctor_fact *add(exam *e, const char *name, const char *fmt, ...)
{
    hone_doctor_report *r = e->report;
    hone_doctor_fact *f = &r->facts[r->count < HONE_DOCTOR_FACTS_MAX ? r->count++ : r->count - 1];
    memset(f, 0, sizeof *f);
    f->name = name;
    va_list args;
    va_start(args, fmt);
    vsnprintf(f->value, sizeof f->value, fmt, args);
    va_end(args);
    return f;
}

static void complain(hone_doctor_fact *f, hone_health health, const char *why, const char *mend)
{
    f->health = health;
    snprintf(f->why, sizeof f->why, "%s", why);
    snprintf(f->mend, sizeof f->mend, "%s", mend);
}

static void examine_system(exam *e)
{
    struct utsname u;
    char line[HONE_DOCTOR_TEXT];
    if (uname(&u) == 0) {
        hone_doctor_fact *f = add(e, "kernel", "%s %s (%s)", u.sysname, u.release, u.machine);
        int major = 0, minor = 0;
        if (sscanf(u.release, "%d.%d", &major, &minor) == 2 &&
            (major < 5 || (major == 5 && minor < 16)))
            complain(f, HONE_HEALTH_NOTE, "before Linux 5.16 a process cannot use AMX tiles",
                     "apt-get install linux-image-amd64");
    }
    if (read_text(e, "/proc/cpuinfo") && find_line(e->text, "model name", line, sizeof line))
        add(e, "processor", "%s", line);
    int online = (int)sysconf(_SC_NPROCESSORS_ONLN), allowed = hone_cpus_allowed();
    hone_doctor_fact *f = add(e, "CPUs", "%d online, %d allowed for this process", online, allowed);
    if (allowed < online)
        complain(f, HONE_HEALTH_NOTE, "the affinity mask leaves CPUs unused",
                 "taskset -cp 0-$(($(nproc --all) - 1)) $$");
}

static void examine_isa(exam *e)
{
    char sets[HONE_DOCTOR_TEXT] = "";
    size_t used = 0;
    for (int i = 0; i < HONE_ISA_COUNT && used < sizeof sets; i++) {
        if (hone_isa_supported((hone_isa)i))
            used += (size_t)snprintf(sets + used, sizeof sets - used, "%s%s", i ? ", " : "",
                                     hone_isa_name((hone_isa)i));
    }
    hone_doctor_fact *f = add(e, "instruction sets", "%s", sets);
    if (hone_isa_best() == HONE_ISA_SCALAR)
        complain(f, HONE_HEALTH_NOTE, "no vector instructions that hone has kernels for: slow", "");
    const char *forced = getenv("HONE_ISA");
    if (forced && *forced)
        complain(add(e, "HONE_ISA", "%.60s", forced), HONE_HEALTH_NOTE,
                 "the environment forces an instruction set", "unset HONE_ISA");
    if (!read_text(e, "/proc/cpuinfo") || !strstr(e->text, " amx_tile"))
        return;
    bool allowed = hone_isa_supported(HONE_ISA_AMX_BF16) || hone_isa_supported(HONE_ISA_AMX_INT8);
    f = add(e, "AMX permission", "%s", allowed ? "given" : "refused");
    if (!allowed)
        complain(
            f, HONE_HEALTH_NOTE,
            "the processor has AMX, but the system does not let this process use tiles (kernel "
            "before 5.16, or a sandbox that refuses arch_prctl)",
            "run outside the sandbox, or on Linux 5.16 or later");
}

static void examine_frequency(exam *e)
{
    if (read_text(e, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")) {
        hone_doctor_fact *f = add(e, "frequency governor", "%.60s", e->text);
        if (strcmp(e->text, "performance") != 0)
            complain(f, HONE_HEALTH_NOTE, "the clock follows the load: measurements scatter",
                     "cpupower frequency-set -g performance");
    } else {
        add(e, "frequency governor", "not visible (a virtual machine, or no cpufreq driver)");
    }
}

/* no_turbo: intel_pstate; boost: acpi-cpufreq, amd-pstate. */
static void examine_turbo(exam *e)
{
    bool intel = read_text(e, "/sys/devices/system/cpu/intel_pstate/no_turbo");
    if (!intel && !read_text(e, "/sys/devices/system/cpu/cpufreq/boost"))
        return;
    bool on = strcmp(e->text, intel ? "0" : "1") == 0;
    hone_doctor_fact *f = add(e, "turbo", "%s", on ? "on" : "off");
    if (!on)
        complain(f, HONE_HEALTH_NOTE, "the clock stays at its nominal value: steadier, but slower",
                 intel ? "echo 0 >/sys/devices/system/cpu/intel_pstate/no_turbo"
                       : "echo 1 >/sys/devices/system/cpu/cpufreq/boost");
}

/* hone computes on the CPU alone: a GPU is worth knowing, its driver too. */
static void examine_gpu(exam *e)
{
    char version[64];
    if (read_text(e, "/proc/driver/nvidia/version")) {
        const char *v = strstr(e->text, "Module");
        v = v ? v + strlen("Module") : e->text;
        v += strspn(v, " ");
        snprintf(version, sizeof version, "%.*s", (int)strcspn(v, " \n"), v);
        add(e, "CUDA driver", "%s (not used)", version);
    }
    if (read_text(e, "/sys/module/amdgpu/version"))
        add(e, "ROCm driver", "amdgpu %.40s (not used)", e->text);
    else if (read_text(e, "/sys/module/amdgpu/initstate"))
        add(e, "ROCm driver", "amdgpu, of the kernel (not used)");
}

static void examine_huge_pages(exam *e)
{
    if (!read_text(e, "/sys/kernel/mm/transparent_hugepage/enabled"))
        return;
    char *open = strchr(e->text, '['), *close = strchr(e->text, ']');
    if (!open || !close || close < open)
        return;
    *close = 0;
    hone_doctor_fact *f = add(e, "transparent huge pages", "%.60s", open + 1);
    if (strcmp(open + 1, "never") == 0)
        complain(f, HONE_HEALTH_NOTE, "weights in 4 KiB pages: reading memory is 15-20 % slower",
                 "echo madvise >/sys/kernel/mm/transparent_hugepage/enabled");
}

/* How many numbers a list such as "0-1,4" names; 0 if it is none. */
static unsigned count_list(const char *text)
{
    unsigned count = 0, first, last;
    for (int used; *text; text += used + (text[used] == ',')) {
        if (sscanf(text, "%u%n", &first, &used) != 1)
            return 0;
        last = first;
        if (text[used] == '-') {
            text += used + 1;
            if (sscanf(text, "%u%n", &last, &used) != 1 || last < first)
                return 0;
        }
        if (text[used] && text[used] != ',')
            return 0;
        count += last - first + 1;
    }
    return count;
}

static void examine_numa(exam *e)
{
    unsigned nodes = read_text(e, "/sys/devices/system/node/online") ? count_list(e->text) : 0;
    if (!nodes)
        return;
    hone_doctor_fact *f =
        add(e, "NUMA nodes", "%u (node%s %.60s)", nodes, nodes > 1 ? "s" : "", e->text);
    if (nodes > 1)
        complain(f, HONE_HEALTH_NOTE,
                 "memory of another node is slower; hone does not place weights by node yet",
                 "numactl --cpunodebind=0 --membind=0 hone ...");
}

static double memory_kib(const char *text, const char *key)
{
    char line[64];
    return find_line(text, key, line, sizeof line) ? strtod(line, NULL) : -1;
}

static void examine_memory(exam *e)
{
    static const double gib = 1024 * 1024;
    if (!read_text(e, "/proc/meminfo"))
        return;
    double total = memory_kib(e->text, "MemTotal"), available = memory_kib(e->text, "MemAvailable");
    double swap = memory_kib(e->text, "SwapTotal"), swap_free = memory_kib(e->text, "SwapFree");
    hone_doctor_fact *f =
        add(e, "memory", "%.1f GiB, %.1f GiB available", total / gib, available / gib);
    if (available >= 0 && available < total / 10)
        complain(f, HONE_HEALTH_BAD, "less than a tenth is available: models will not fit or swap",
                 "ps -eo rss,pid,comm --sort=-rss | head");
    if (swap < 0)
        return;
    f = add(e, "swap", "%.1f GiB, %.1f GiB used", swap / gib, (swap - swap_free) / gib);
    if (swap > 0 && swap - swap_free > total / 20)
        complain(f, HONE_HEALTH_NOTE,
                 "swap is in use: weights that were swapped out are read from disk",
                 "swapoff -a && swapon -a");
}

/* Of this process's group and of those above it. */
static void examine_groups(exam *e)
{
    hone_group_limits l;
    hone_group_read(e->root, &l);
    if (l.cpus > 0)
        complain(add(e, "container CPU limit", "%.2f CPUs", l.cpus), HONE_HEALTH_NOTE,
                 "the group is stopped when its share is used up: use no more threads than that",
                 "hone ... --threads N");
    if (l.memory_bytes > 0)
        add(e, "container memory limit", "%.2f GiB", l.memory_bytes / (1 << 30));
    if (l.version && !(l.cpus > 0) && !(l.memory_bytes > 0))
        add(e, "container limits", "none (cgroup v%d)", l.version);
}

/* A limit of bytes as ulimit has it, in KiB. */
static hone_doctor_fact *add_kib(exam *e, const char *name, rlim_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes == RLIM_INFINITY)
        return add(e, name, "unlimited");
    double v = (double)bytes / 1024;
    size_t u = 0;
    for (; v >= 1024 && u < 3; u++)
        v /= 1024;
    unsigned long long kib = bytes / 1024;
    return u ? add(e, name, "%llu KiB (%.1f %s)", kib, v, units[u]) : add(e, name, "%llu KiB", kib);
}

/* Locked memory is told only: nothing is locked. */
static void examine_rlimits(exam *e)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_AS, &r) == 0) {
        hone_doctor_fact *f = add_kib(e, "address space (ulimit -v)", r.rlim_cur);
        if (r.rlim_cur != RLIM_INFINITY)
            complain(f, HONE_HEALTH_NOTE, "mapped models count against it", "ulimit -v unlimited");
    }
    if (getrlimit(RLIMIT_MEMLOCK, &r) == 0)
        add_kib(e, "locked memory (ulimit -l)", r.rlim_cur);
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        bool all = r.rlim_cur == RLIM_INFINITY;
        hone_doctor_fact *f = add(e, "open files (ulimit -n)", all ? "unlimited" : "%llu",
                                  (unsigned long long)r.rlim_cur);
        if (r.rlim_cur < 256)
            complain(f, HONE_HEALTH_NOTE, "models in many shards need a file each",
                     "ulimit -n 1024");
    }
}

static void examine_steal(exam *e)
{
    double user, nice, system, idle, wait, irq, soft, steal;
    if (!read_text(e, "/proc/stat") ||
        sscanf(e->text, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &system, &idle, &wait,
               &irq, &soft, &steal) != 8)
        return;
    double busy = user + nice + system + irq + soft + steal;
    hone_doctor_fact *f = add(e, "time stolen by the host", "%.2f %% of the busy time since boot",
                              busy > 0 ? 100 * steal / busy : 0);
    if (steal > busy / 50)
        complain(f, HONE_HEALTH_BAD,
                 "other guests take this machine's time: speeds are not its own",
                 "move to a dedicated host");
    double load;
    if (read_text(e, "/proc/loadavg") && sscanf(e->text, "%lf", &load) == 1) {
        f = add(e, "load", "%.2f over the last minute", load);
        if (load > 0.5 * hone_cpus_allowed())
            complain(f, HONE_HEALTH_NOTE, "other work runs beside: measurements will scatter",
                     "ps -eo pcpu,pid,comm --sort=-pcpu | head");
    }
}

void hone_doctor_examine(const char *root, hone_doctor_report *out)
{
    exam e = {.root = root, .report = out};
    memset(out, 0, sizeof *out);
    examine_system(&e);
    examine_isa(&e);
    examine_frequency(&e);
    examine_turbo(&e);
    examine_huge_pages(&e);
    examine_numa(&e);
    examine_memory(&e);
    examine_groups(&e);
    examine_rlimits(&e);
    examine_steal(&e);
    examine_gpu(&e);
}
