/*
 * A line of JSON in, a line of JSON out: {"template": ..., "variables": {...}} is rendered into
 * {"text": ...} or {"status": "DATA", "error": ...}, or (the template does not compile)
 * {"syntax": "FORMAT", "error": ...}. For jinja_diff.py, which does the same with jinja2. The clock
 * stands at noon of 2026-11-21.
 */
#include "base/json.h"
#include "base/mem.h"
#include "text/jinja.h"

#include <stdio.h>
#include <stdlib.h>

static json_t *answer(const json_t *o)
{
    struct tm noon = {.tm_year = 126, .tm_mon = 10, .tm_mday = 21, .tm_hour = 12, .tm_isdst = -1};
    const json_t *source = json_object_get(o, "template");
    jinja_program *p;
    hone_status s =
        jinja_compile(json_string_value(source), json_string_length(source), "template", &p);
    if (s != HONE_OK)
        return json_pack("{s:s, s:s}", "syntax", hone_status_name(s), "error", hone_error());
    char *text = NULL;
    size_t bytes;
    s = jinja_render(p, json_object_get(o, "variables"), mktime(&noon), NULL, &text, &bytes);
    jinja_close(p);
    json_t *out = s == HONE_OK ? json_pack("{s:s%}", "text", text, bytes)
                               : json_pack("{s:s, s:s}", "status", hone_status_name(s), "error",
                                           hone_error());
    hone_free(text);
    return out;
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    hone_json_use_memory();
    for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
        json_t *o = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        json_t *out = o ? answer(o) : NULL;
        char *text = json_dumps(out ? out : json_null(), JSON_ENCODE_ANY);
        puts(text ? text : "null");
        fflush(stdout);
        hone_free(text);
        json_decref(out);
        json_decref(o);
    }
    free(line);
    return 0;
}
