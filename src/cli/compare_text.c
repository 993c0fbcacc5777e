#include "cli/compare_text.h"

#include "cli/cli.h"
#include "cli/table.h"

#include <math.h>
#include <string.h>

static void put_number(cli_table *t, const char *fmt, double v)
{
    char text[64];
    if (!isfinite(v)) {
        cli_table_cell(t, "-");
        return;
    }
    if (strcmp(fmt, "bytes") == 0)
        cli_format_bytes(v, text, sizeof text);
    else if (strcmp(fmt, "percent") == 0)
        snprintf(text, sizeof text, "%.1f %%", 100 * v);
    else if (strcmp(fmt, "bits") == 0)
        snprintf(text, sizeof text, "%.2f", v);
    else if (strcmp(fmt, "ratio") == 0)
        snprintf(text, sizeof text, "%.5f", v);
    else if (strcmp(fmt, "speed") == 0)
        snprintf(text, sizeof text, "%.1f", v);
    else
        snprintf(text, sizeof text, "%.4g", v);
    cli_table_cell(t, "%s", text);
}

/* "1.31x", or what may not be claimed: "=" equal, "?" hidden by the noise. */
static void put_ratio(cli_table *t, const hone_compare *c, size_t i, size_t test)
{
    const hone_interval *r = &c->sides[i].speed[test].ratio;
    static const char *const marks[] = {"", "", " =", " ?"};
    if (i == 0 || !isfinite(r->point))
        cli_table_cell(t, "%s", i || !isfinite(c->sides[i].speed[test].tok_s.point) ? "-" : "1");
    else
        cli_table_cell(t, "%.2fx%s", r->point, marks[hone_versus_judge(r, c->margin)]);
}

static bool any(const hone_compare *c, size_t offset)
{
    for (size_t i = 0; i < c->n_sides; i++) {
        double v;
        memcpy(&v, (const char *)&c->sides[i] + offset, sizeof v);
        if (isfinite(v))
            return true;
    }
    return false;
}

typedef struct column {
    const char *head, *fmt;
    size_t offset;
} column;

static const column before[] = {
    {">size", "bytes", offsetof(hone_compare_side, stored_bytes)},
    {">bits/weight", "bits", offsetof(hone_compare_side, bits)},
    {">memory", "bytes", offsetof(hone_compare_side, memory_bytes)},
};
static const column after[] = {
    {">seconds", "number", offsetof(hone_compare_side, cost_seconds)},
    {">perplexity", "number", offsetof(hone_compare_side, perplexity)},
    {">perplexity to original's", "ratio", offsetof(hone_compare_side, perplexity_ratio)},
    {">KL mean", "number", offsetof(hone_compare_side, kl_mean)},
    {">KL p99", "number", offsetof(hone_compare_side, kl_p99)},
    {">top-1", "percent", offsetof(hone_compare_side, top1)},
};

static void put_columns(cli_table *t, const hone_compare *c, size_t i, const column *list, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        double v;
        if (!any(c, list[k].offset))
            continue;
        memcpy(&v, (const char *)&c->sides[i] + list[k].offset, sizeof v);
        put_number(t, list[k].fmt, v);
    }
}

static size_t add_heads(char *heads, size_t size, size_t used, const hone_compare *c,
                        const column *list, size_t n)
{
    for (size_t k = 0; k < n && used < size; k++)
        if (any(c, list[k].offset))
            used += (size_t)snprintf(heads + used, size - used, ",%s", list[k].head);
    return used;
}

/* "decode 64" of "decode 64, depth 0, batch 1", unless depth or batch matter. */
static void short_name(const char *test, char *out, size_t size)
{
    const char *plain = strstr(test, ", depth 0, batch 1");
    snprintf(out, size, "%.*s", plain ? (int)(plain - test) : (int)strlen(test), test);
    for (char *p = out; *p; p++)
        *p = *p == ',' ? ';' : *p;
}

static hone_status print_table(const hone_compare *c)
{
    char heads[HONE_COMPARE_TESTS * 140 + 400] = ""; /* no column: nothing is known but the names */
    cli_table *t;
    size_t n_before = sizeof before / sizeof *before, n_after = sizeof after / sizeof *after;
    size_t used = add_heads(heads, sizeof heads, 0, c, before, n_before);
    for (size_t k = 0; k < c->n_tests && used < sizeof heads; k++) {
        char name[96];
        short_name(c->tests[k], name, sizeof name);
        used += (size_t)snprintf(heads + used, sizeof heads - used, ",>%s,>ratio", name);
    }
    if (used < sizeof heads)
        add_heads(heads, sizeof heads, used, c, after, n_after);
    HONE_TRY(cli_table_open(heads, &t));
    for (size_t i = 0; i < c->n_sides; i++) {
        cli_table_cell(t, "%s", c->sides[i].label);
        put_columns(t, c, i, before, n_before);
        for (size_t k = 0; k < c->n_tests; k++) {
            put_number(t, "speed", c->sides[i].speed[k].tok_s.point);
            put_ratio(t, c, i, k);
        }
        put_columns(t, c, i, after, n_after);
    }
    return cli_table_print(t, stdout);
}

hone_status cli_print_compare(const hone_compare *c)
{
    char words[512];
    HONE_TRY(print_table(c));
    if (c->n_tests)
        printf("\nspeeds in tok/s; ratio: times as fast as %s%s (= equal to within %.3g %%, ? the "
               "noise hides it)\n",
               c->sides[0].label, c->in_turns ? ", in turns" : ", NOT measured in turns",
               100 * c->margin);
    if (*c->reference)
        printf("divergence from %s, in nats; %s\n", c->reference, c->protocol);
    for (size_t i = 1; i < c->n_sides && c->n_sides == 2; i++)
        for (size_t t = 0; t < c->n_tests; t++)
            if (*hone_compare_words(c, i, t, words, sizeof words))
                printf("%s: %s\n", c->tests[t], words);
    for (size_t i = 0; i < c->n_differences; i++)
        printf("differs: %s\n", c->differences[i]);
    for (size_t i = 0; i < c->n_sides; i++)
        if (*c->sides[i].note)
            printf("%s: %s\n", c->sides[i].label, c->sides[i].note);
    for (size_t i = 0; i < c->n_skipped; i++)
        printf("left out: %s\n", c->skipped[i]);
    return HONE_OK;
}
