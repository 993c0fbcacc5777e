#include "base/json.h"

#include "base/mem.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* hone_malloc is malloc with a counter, so values made before the switch stay freeable. */
static void use_hone_memory(void)
{
    json_set_alloc_funcs(hone_malloc, hone_free);
}

void hone_json_use_memory(void)
{
    pthread_once(&once, use_hone_memory);
}

/*
 * A pass over the text before jansson sees it: bounds the depth and the number of values, so that a
 * small hostile file cannot ask for much memory. Syntax is jansson's business.
 */
static hone_status bound_json(const char *text, size_t bytes, int depth_max, size_t values_max,
                              const char *what)
{
    size_t values = 1;
    int depth = 0;
    for (size_t i = 0; i < bytes; i++) {
        switch (text[i]) {
        case '"':
            for (i++; i < bytes && text[i] != '"'; i++)
                i += text[i] == '\\';
            break;
        case '[':
        case '{':
            if (++depth > depth_max)
                return hone_fail(HONE_FORMAT, "%s is nested deeper than %d levels at byte %zu",
                                 what, depth_max, i);
            values++;
            break;
        case ']':
        case '}':
            depth--;
            break;
        case ',':
            values++;
            break;
        default:
            break;
        }
        if (values > values_max)
            return hone_fail(HONE_LIMIT, "%s has more than %zu values", what, values_max);
    }
    return HONE_OK;
}

/*
 * A copy in which whole numbers of 19 digits or more, which jansson refuses beyond 2^63, are reals
 * ("e0" appended). transformers writes 10^30 for "no limit" (model_max_length). *bytes follows.
 * NULL = no memory.
 */
static char *widen_integers(const char *text, size_t *bytes)
{
    enum { DIGITS_MAX = 18 };
    size_t n = *bytes, used = 0;
    char *copy = hone_malloc(n + n / (DIGITS_MAX + 1) * 2 + 1);
    for (size_t i = 0; copy && i < n;) {
        size_t begin = i;
        if (text[i] == '"') {
            for (i++; i < n && text[i] != '"'; i++)
                i += text[i] == '\\';
            i = i < n ? i + 1 : n;
        } else {
            while (i < n &&
                   ((text[i] >= '0' && text[i] <= '9') || (text[i] && strchr(".eE+-", text[i]))))
                i++;
            i += i == begin;
        }
        memcpy(copy + used, text + begin, i - begin);
        used += i - begin;
        bool whole = i - begin > DIGITS_MAX && text[begin] != '"';
        for (size_t k = begin; whole && k < i; k++)
            whole = (text[k] >= '0' && text[k] <= '9') || (k == begin && text[k] == '-');
        if (whole) {
            copy[used++] = 'e';
            copy[used++] = '0';
        }
    }
    *bytes = used;
    return copy;
}

hone_status hone_json_parse(const char *text, size_t bytes, int depth_max, size_t values_max,
                            const char *what, json_t **out)
{
    hone_json_use_memory();
    *out = NULL;
    HONE_TRY(bound_json(text, bytes, depth_max, values_max, what));
    json_error_t error = {0}; /* jansson leaves it as it is when memory runs out */
    uint64_t failures = hone_mem_failures();
    *out = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!*out && json_error_code(&error) == json_error_numeric_overflow) {
        char *wide = widen_integers(text, &bytes);
        if (wide)
            *out = json_loadb(wide, bytes, JSON_REJECT_DUPLICATES, &error);
        hone_free(wide);
    }
    if (*out)
        return HONE_OK;
    if (hone_mem_failures() != failures) /* jansson calls some of these syntax errors */
        return hone_fail_memory(bytes, what);
    return hone_fail(HONE_FORMAT, "%s is no valid JSON: line %d: %s", what, error.line, error.text);
}

void hone_json_mend_infinity(char *text, size_t bytes)
{
    for (size_t i = 0; text && i < bytes; i++) {
        if (text[i] == '"') {
            for (i++; i < bytes && text[i] != '"'; i++)
                i += text[i] == '\\';
        } else if (bytes - i >= 8 && memcmp(text + i, "Infinity", 8) == 0) {
            memcpy(text + i, "1e308   ", 8);
        }
    }
}

double hone_json_number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}
