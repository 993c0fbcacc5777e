/* Which modules an adapter stands beside, chosen as PEFT chooses (tuners_utils,
 * check_target_module_exists): "all-linear", the end of a name, or an expression for whole names.
 */
#include "base/mem.h"
#include "model/adapter.h"

#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { MATCH_STEPS = 100000, KNOWN_BYTES = 400 };

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* Whether `end` is the name or what follows a dot of it. */
static bool ends_with(const char *name, const char *end, size_t n)
{
    size_t length = strlen(name);
    return length >= n && memcmp(name + length - n, end, n) == 0 &&
           (length == n || name[length - n - 1] == '.');
}

/* "q_proj, k_proj, ...": each last part once. */
static void list_known(const hone_module *list, size_t count, char known[KNOWN_BYTES])
{
    size_t at = 0;
    *known = 0;
    for (size_t i = 0; i < count; i++) {
        size_t j = 0;
        while (j < i && strcmp(last_part(list[j].name), last_part(list[i].name)) != 0)
            j++;
        if (j == i && at < KNOWN_BYTES)
            at += (size_t)snprintf(known + at, KNOWN_BYTES - at, "%s%s", at ? ", " : "",
                                   last_part(list[i].name));
    }
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters to change, put in or leave out (Levenshtein); both shorter than 64. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t row[64];
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 0; i < n; i++) {
        size_t before = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < m; j++) {
            size_t other = least(row[j], row[j + 1]) + 1, same = before + (a[i] != b[j]);
            before = row[j + 1];
            row[j + 1] = least(other, same);
        }
    }
    return row[m];
}

/* The last part nearest to a word, or NULL if none is near. */
static const char *nearest(const hone_module *list, size_t count, const char *word, size_t n)
{
    const char *best = NULL;
    size_t away = n / 2 < 3 ? n / 2 + 1 : 4;
    for (size_t i = 0; i < count && n < 63; i++) {
        const char *name = last_part(list[i].name);
        size_t m = strlen(name), d = m < 63 ? distance(word, n, name, m) : SIZE_MAX;
        if (d < away) {
            away = d;
            best = name;
        }
    }
    return best;
}

static hone_status fail_unknown(const hone_module *list, size_t count, const char *word, size_t n)
{
    char known[KNOWN_BYTES];
    const char *near = nearest(list, count, word, n);
    list_known(list, count, known);
    return hone_fail(HONE_USAGE, "no module to adapt is called \"%.*s\"%s%s%s; there are: %s",
                     (int)(n < 100 ? n : 100), word, near ? "; did you mean " : "",
                     near ? near : "", near ? "?" : "", known);
}

/* The names of a list, each of which must choose something. */
static hone_status choose_names(hone_module *list, size_t count, const char *names)
{
    for (const char *at = names; *at;) {
        size_t n = strcspn(at, ","), found = 0;
        for (size_t i = 0; i < count; i++)
            if (n && ends_with(list[i].name, at, n)) {
                list[i].chosen = true;
                found++;
            }
        if (!found)
            return fail_unknown(list, count, at, n);
        at += n;
        at += *at == ',';
    }
    return HONE_OK;
}

static hone_status choose_matching(hone_module *list, size_t count, const char *expression)
{
    int error;
    size_t where, found = 0;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)expression, PCRE2_ZERO_TERMINATED,
                                     PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C,
                                     &error, &where, NULL);
    if (!code) {
        PCRE2_UCHAR why[128] = "";
        pcre2_get_error_message(error, why, sizeof why);
        return hone_fail(HONE_USAGE, "\"%.100s\" is no regular expression, at %zu: %s", expression,
                         where, (const char *)why);
    }
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    bool memory = data && context;
    if (memory)
        pcre2_set_match_limit(context, MATCH_STEPS);
    for (size_t i = 0; i < count && memory; i++) {
        const char *name = list[i].name;
        list[i].chosen =
            pcre2_match(code, (PCRE2_SPTR)name, strlen(name), 0, 0, data, context) >= 0;
        found += list[i].chosen;
    }
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
    pcre2_code_free(code);
    if (!memory)
        return hone_fail_memory(0, "a regular expression");
    if (found)
        return HONE_OK;
    char known[KNOWN_BYTES];
    list_known(list, count, known);
    return hone_fail(
        HONE_USAGE,
        "no module matches \"%.100s\" as a whole; the first is %.100s, and their names "
        "end in: %s",
        expression, count ? list[0].name : "none", known);
}

hone_status hone_modules_choose(hone_module *list, size_t count, const char *targets)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,";
    if (strcmp(targets, "all-linear") == 0) {
        for (size_t i = 0; i < count; i++)
            list[i].chosen = true;
        return HONE_OK;
    }
    if (!*targets)
        return hone_fail(HONE_USAGE, "no module is named to be adapted");
    return targets[strspn(targets, plain)] ? choose_matching(list, count, targets)
                                           : choose_names(list, count, targets);
}

void hone_modules_describe(const hone_module *list, size_t count,
                           void (*name)(void *arg, const char *text), void *arg)
{
    for (size_t i = 0; i < count; i++) {
        const char *end = last_part(list[i].name);
        bool all = true, first = true;
        if (!list[i].chosen)
            continue;
        for (size_t j = 0; j < count; j++)
            if (strcmp(last_part(list[j].name), end) == 0) {
                all &= list[j].chosen;
                first &= j >= i || !list[j].chosen;
            }
        if (!all)
            name(arg, list[i].name);
        else if (first)
            name(arg, end);
    }
}
