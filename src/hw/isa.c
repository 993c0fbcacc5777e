#include "hw/isa.h"

#include "hw/isa_detect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const isa_names[HONE_ISA_COUNT] = {
#define ISA_NAME(id, name) name,
    HONE_ISA_LIST(ISA_NAME)
#undef ISA_NAME
};

static unsigned supported_sets(void)
{
    static unsigned sets; /* 0 = not yet known; every thread would find the same */
    unsigned s = __atomic_load_n(&sets, __ATOMIC_RELAXED);
    if (!s) {
        s = hone_isa_detect();
        __atomic_store_n(&sets, s, __ATOMIC_RELAXED);
    }
    return s;
}

const char *hone_isa_name(hone_isa isa)
{
    return (unsigned)isa < HONE_ISA_COUNT ? isa_names[isa] : "?";
}

bool hone_isa_supported(hone_isa isa)
{
    return (unsigned)isa < HONE_ISA_COUNT && ((supported_sets() >> isa) & 1);
}

hone_isa hone_isa_best(void)
{
    hone_isa best = HONE_ISA_SCALAR;
    for (int i = 0; i < HONE_ISA_COUNT; i++)
        if (hone_isa_supported((hone_isa)i))
            best = (hone_isa)i;
    return best;
}

hone_status hone_isa_pick(const char *name, hone_isa *out)
{
    const char *source = "instruction set";
    if (!name || !*name) {
        name = getenv("HONE_ISA");
        source = "HONE_ISA";
    }
    if (!name || !*name) {
        *out = hone_isa_best();
        return HONE_OK;
    }
    char list[256] = "";
    bool known = false;
    for (int i = 0; i < HONE_ISA_COUNT; i++) {
        bool same = strcasecmp(name, isa_names[i]) == 0;
        known |= same;
        if (!hone_isa_supported((hone_isa)i))
            continue;
        if (same) {
            *out = (hone_isa)i;
            return HONE_OK;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", isa_names[i]);
    }
    return hone_fail(HONE_USAGE, "%s '%.40s' is %s; choose one of: %s", source, name,
                     known ? "not available on this machine" : "unknown", list);
}
