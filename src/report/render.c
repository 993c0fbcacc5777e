#include "report/render.h"

#include "base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const json_t *walk(const json_t *o, va_list keys)
{
    for (const char *key = va_arg(keys, const char *); key; key = va_arg(keys, const char *))
        o = json_object_get(o, key);
    return o;
}

const char *report_text(const json_t *o, ...)
{
    va_list keys;
    va_start(keys, o);
    const char *text = json_string_value(walk(o, keys));
    va_end(keys);
    return text ? text : "";
}

double report_number(const json_t *o, ...)
{
    va_list keys;
    va_start(keys, o);
    double value = json_number_value(walk(o, keys));
    va_end(keys);
    return value;
}

const char *report_stage(const json_t *experiment)
{
    const char *key = report_text(experiment, "key", NULL);
    return strncmp(key, "confirm:", 8) == 0 ? " (measured again)"
           : strncmp(key, "add:", 4) == 0   ? " (on top)"
                                            : "";
}

void report_cost(const char *goal, double cost, char *out, size_t n)
{
    if (strcmp(goal, "memory") == 0)
        snprintf(out, n, "%.1f MiB", cost / (1 << 20));
    else if (cost < 1e-3)
        snprintf(out, n, "%.1f us", cost * 1e6);
    else if (cost < 1)
        snprintf(out, n, "%.3f ms", cost * 1e3);
    else
        snprintf(out, n, "%.3f s", cost);
}

void report_percent(double share, char *out, size_t n)
{
    double percent = 100 * share, size = fabs(percent);
    snprintf(out, n, "%.*f %%", size >= 10 ? 1 : size >= 0.1 ? 2 : size >= 0.001 ? 4 : 6, percent);
}

hone_status report_print(void (*write)(FILE *f, const json_t *document), const json_t *document,
                         char **text)
{
    *text = NULL;
    char *buffer = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&buffer, &bytes);
    if (!f)
        return hone_fail_memory(4096, "the report");
    write(f, document);
    bool failed = ferror(f) != 0;
    failed |= fclose(f) != 0;
    if (!failed)
        *text = hone_strdup(buffer);
    free(buffer);
    return *text ? HONE_OK : hone_fail_memory(bytes, "the report");
}
