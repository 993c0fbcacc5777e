// links: engine
/* Any bytes as a configuration: what is taken comes back from its own JSON as it was. */
#include "base/mem.h"
#include "engine/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = hone_malloc(size + 1), *json, *again, words[200];
    hone_config c, same;
    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    if (hone_config_from_json(text, &c) == HONE_OK) {
        if (hone_config_to_json(&c, &json) != HONE_OK ||
            hone_config_from_json(json, &same) != HONE_OK ||
            hone_config_to_json(&same, &again) != HONE_OK || strcmp(json, again) != 0)
            abort();
        for (size_t n = 1; n < sizeof words; n += 33) {
            hone_config_describe(&c, words, n);
            if (strlen(words) >= n)
                abort();
        }
        hone_free(json);
        hone_free(again);
    } else if (!hone_error()[0]) {
        abort();
    }
    hone_free(text);
    return 0;
}
