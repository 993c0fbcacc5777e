// links: text
// corpus: tests/fuzz/corpus/jinja tests/golden/data/chat
/*
 * Any bytes as a template, and after the first 0 byte as its variables in JSON. What compiles is
 * rendered within small bounds; nothing may take long, grow, or come out as invalid UTF-8.
 */
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char usual[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be \\u00e4.\"}, {\"role\": \"user\", "
    "\"content\": \"a b\\n\"}, {\"role\": \"assistant\", \"content\": null, \"tool_calls\": "
    "[{\"id\": \"x\", \"function\": {\"name\": \"f\", \"arguments\": {\"k\": [1, 2.5, true]}}}]}], "
    "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {}}}], "
    "\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"add_generation_prompt\": true}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const jinja_limits limits = {
        .steps = 200000, .memory_bytes = 8 << 20, .output_bytes = 1 << 20};
    const char *text = (const char *)data, *zero = size ? memchr(text, 0, size) : NULL;
    size_t n = zero ? (size_t)(zero - text) : size;
    jinja_program *p;
    if (jinja_compile(text, n, "fuzz", &p) != HONE_OK)
        return 0;
    json_t *variables = NULL;
    if (!zero ||
        hone_json_parse(zero + 1, size - n - 1, 300, 100000, "fuzz", &variables) != HONE_OK)
        (void)!hone_json_parse(usual, sizeof usual - 1, 64, 1000, "usual", &variables);
    char *out;
    size_t bytes;
    if (jinja_render(p, variables, 0, &limits, &out, &bytes) == HONE_OK) {
        if (bytes > limits.output_bytes || hone_utf8_valid_prefix(out, bytes) != bytes)
            abort();
        hone_free(out);
    }
    json_decref(variables);
    jinja_close(p);
    return 0;
}
