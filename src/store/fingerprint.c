#include "store/fingerprint.h"

#include "base/hone_commit.h" /* made by cmake/commit.cmake */
#include "base/mem.h"
#include "hw/machine.h"
#include "kernel/kernel.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *comparable(void)
{
    const char *forced = getenv("HONE_ISA");
    json_t *all = hone_machine_facts("");
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
    json_t *facts = hone_machine_facts("");
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
    *json = text;
    return text ? HONE_OK : hone_fail_memory(1024, "the environment's fingerprint");
}
