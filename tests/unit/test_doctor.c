// links: hw
/* doctor: what it finds in a machine that is made of files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../folder.h"

#include "hw/doctor.h"
#include "hw/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void put(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", folder, path);
    for (char *p = full + strlen(folder) + 1; *p; p++) {
        if (*p == '/') {
            *p = 0;
            mkdir(full, 0777);
            *p = '/';
        }
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static const hone_doctor_fact *find(const hone_doctor_report *r, const char *name)
{
    for (int i = 0; i < r->count; i++) {
        if (strcmp(r->facts[i].name, name) == 0)
            return &r->facts[i];
    }
    return NULL;
}

static const hone_doctor_fact *examine(hone_doctor_report *r, const char *name)
{
    hone_doctor_examine(folder, r);
    const hone_doctor_fact *f = find(r, name);
    assert_non_null(f);
    return f;
}

static void says_nothing_about_what_it_cannot_read(void **state)
{
    hone_doctor_report r;
    (void)state;
    hone_doctor_examine(folder, &r);
    assert_null(find(&r, "memory"));
    assert_null(find(&r, "transparent huge pages"));
    assert_null(find(&r, "time stolen by the host"));
    assert_non_null(find(&r, "instruction sets"));
}

static void turbo_and_gpu_drivers_are_found(void **state)
{
    hone_doctor_report r;
    (void)state;
    put("/sys/devices/system/cpu/intel_pstate/no_turbo", "1\n");
    put("/proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"
        "GCC version:  gcc version 12.2.0\n");
    put("/sys/module/amdgpu/version", "6.3.6\n");
    const hone_doctor_fact *f = examine(&r, "turbo");
    assert_string_equal(f->value, "off");
    assert_int_equal(f->health, HONE_HEALTH_NOTE);
    assert_string_equal(find(&r, "CUDA driver")->value, "550.54.15 (not used)");
    assert_string_equal(find(&r, "ROCm driver")->value, "amdgpu 6.3.6 (not used)");
    put("/sys/devices/system/cpu/intel_pstate/no_turbo", "0\n");
    assert_string_equal(examine(&r, "turbo")->value, "on");
}

static void powersave_governor_is_noted_with_the_command_that_mends_it(void **state)
{
    hone_doctor_report r;
    (void)state;
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
    const hone_doctor_fact *f = examine(&r, "frequency governor");
    assert_string_equal(f->value, "powersave");
    assert_int_equal(f->health, HONE_HEALTH_NOTE);
    assert_non_null(strstr(f->mend, "performance"));
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
    assert_int_equal(examine(&r, "frequency governor")->health, HONE_HEALTH_FINE);
}

static void huge_pages_that_are_off_are_noted(void **state)
{
    hone_doctor_report r;
    (void)state;
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
    assert_int_equal(examine(&r, "transparent huge pages")->health, HONE_HEALTH_NOTE);
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    const hone_doctor_fact *f = examine(&r, "transparent huge pages");
    assert_string_equal(f->value, "madvise");
    assert_int_equal(f->health, HONE_HEALTH_FINE);
}

static void numa_nodes_are_counted(void **state)
{
    static const struct {
        const char *online, *value;
        hone_health health;
    } cases[] = {{"0\n", "1 (node 0)", HONE_HEALTH_FINE},
                 {"0-1\n", "2 (nodes 0-1)", HONE_HEALTH_NOTE},
                 {"0-3,8,10-11\n", "7 (nodes 0-3,8,10-11)", HONE_HEALTH_NOTE}};
    hone_doctor_report r;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("/sys/devices/system/node/online", cases[i].online);
        assert_string_equal(examine(&r, "NUMA nodes")->value, cases[i].value);
        assert_int_equal(find(&r, "NUMA nodes")->health, cases[i].health);
    }
    put("/sys/devices/system/node/online", "many\n");
    hone_doctor_examine(folder, &r);
    assert_null(find(&r, "NUMA nodes"));
}

static void memory_that_is_nearly_gone_is_bad(void **state)
{
    hone_doctor_report r;
    (void)state;
    put("/proc/meminfo",
        "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:    1048576 kB\n"
        "SwapTotal:       4194304 kB\nSwapFree:        1048576 kB\n");
    const hone_doctor_fact *f = examine(&r, "memory");
    assert_string_equal(f->value, "16.0 GiB, 1.0 GiB available");
    assert_int_equal(f->health, HONE_HEALTH_BAD);
    assert_string_equal(find(&r, "swap")->value, "4.0 GiB, 3.0 GiB used");
    assert_int_equal(find(&r, "swap")->health, HONE_HEALTH_NOTE);
}

static void limits_of_the_group_and_of_its_parents_are_found_cgroup_v2(void **state)
{
    hone_doctor_report r;
    (void)state;
    put("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    put("/proc/self/cgroup", "0::/pod/box\n");
    put("/sys/fs/cgroup/pod/box/cpu.max", "400000 100000\n"); /* the least of both counts */
    put("/sys/fs/cgroup/pod/box/memory.max", "max\n");
    put("/sys/fs/cgroup/pod/cpu.max", "150000 100000\n");
    put("/sys/fs/cgroup/pod/memory.max", "2147483648\n");
    const hone_doctor_fact *f = examine(&r, "container CPU limit");
    assert_string_equal(f->value, "1.50 CPUs");
    assert_string_equal(find(&r, "container memory limit")->value, "2.00 GiB");
    assert_null(find(&r, "container limits"));
}

static void limits_of_the_group_are_found_cgroup_v1(void **state)
{
    hone_doctor_report r;
    (void)state;
    put("/proc/self/cgroup", "4:memory:/\n3:cpu,cpuacct:/\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_non_null(strstr(examine(&r, "container limits")->value, "none"));
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
    assert_string_equal(examine(&r, "container CPU limit")->value, "2.00 CPUs");
    /* of a group that is not the root, and of the one above it */
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("/proc/self/cgroup", "12:pids:/x\n4:memory:/pod/box\n3:cpuset:/y\n2:cpu,cpuacct:/slice\n"
                             "1:name=systemd:/\n0::/z\n");
    put("/sys/fs/cgroup/cpu/slice/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu/slice/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/pod/box/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "3221225472\n");
    assert_string_equal(examine(&r, "container CPU limit")->value, "0.50 CPUs");
    assert_string_equal(find(&r, "container memory limit")->value, "3.00 GiB");
    put("/sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "9223372036854771712\n");
    put("/proc/self/cgroup", "4:memory\n:::\n7:cpu,cpuacct\n");
    assert_non_null(strstr(examine(&r, "container limits")->value, "cgroup v1"));
}

static void assert_quota(const char *quota)
{
    json_t *facts = hone_machine_facts(folder);
    assert_string_equal(json_string_value(json_object_get(facts, "cpu_quota")), quota);
    json_decref(facts);
}

/* What is measured under a quota is not what the machine can do. */
static void a_machine_under_a_limit_of_its_group_is_another_one(void **state)
{
    (void)state;
    assert_quota("unknown");
    double all = hone_machine_memory_bytes(folder);
    put("/proc/self/cgroup", "4:memory:/box\n3:cpu,cpuacct:/box\n");
    put("/sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "9223372036854771712\n");
    assert_quota("unknown");
    assert_true(hone_machine_memory_bytes(folder) == all);
    put("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "150000\n");
    put("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1048576\n");
    assert_quota("1.50 CPUs");
    assert_true(hone_machine_memory_bytes(folder) == 1048576);
    put("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n"); /* v2 */
    put("/sys/fs/cgroup/cpu.max", "max 100000\n");
    put("/proc/self/cgroup", "0::/pod/box\n");
    assert_quota("max 100000");
    put("/sys/fs/cgroup/pod/cpu.max", "50000 100000\n");
    assert_quota("0.50 CPUs");
}

static void stolen_time_is_bad(void **state)
{
    hone_doctor_report r;
    (void)state;
    put("/proc/stat", "cpu  900 0 50 99999 0 0 0 50 0 0\ncpu0 900 0 50 99999 0 0 0 50 0 0\n");
    const hone_doctor_fact *f = examine(&r, "time stolen by the host");
    assert_int_equal(f->health, HONE_HEALTH_BAD);
    assert_non_null(strstr(f->value, "5.00 %"));
}

int main(void)
{
#define DOCTOR_TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        DOCTOR_TEST(says_nothing_about_what_it_cannot_read),
        DOCTOR_TEST(turbo_and_gpu_drivers_are_found),
        DOCTOR_TEST(powersave_governor_is_noted_with_the_command_that_mends_it),
        DOCTOR_TEST(huge_pages_that_are_off_are_noted),
        DOCTOR_TEST(numa_nodes_are_counted),
        DOCTOR_TEST(memory_that_is_nearly_gone_is_bad),
        DOCTOR_TEST(limits_of_the_group_and_of_its_parents_are_found_cgroup_v2),
        DOCTOR_TEST(limits_of_the_group_are_found_cgroup_v1),
        DOCTOR_TEST(a_machine_under_a_limit_of_its_group_is_another_one),
        DOCTOR_TEST(stolen_time_is_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
