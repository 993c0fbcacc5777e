#include "technique/rows.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const goals[] = {
#define ROW(id, name, text, unit) name,
    HONE_GOAL_LIST(ROW)
#undef ROW
};

static const struct {
    const char *name, *text;
} bottlenecks[] = {
#define ROW(id, name, text) {name, text},
    HONE_BOTTLENECK_LIST(ROW)
#undef ROW
};

static const hone_technique *const table[] = {
#define X(row) &hone_technique_##row,
#include "technique/rows.def"
};

const char *hone_goal_name(hone_goal g)
{
    return goals[g];
}

bool hone_goal_by_name(const char *name, hone_goal *out)
{
    for (int g = 0; g < HONE_GOALS; g++) {
        if (strcmp(goals[g], name) == 0) {
            *out = (hone_goal)g;
            return true;
        }
    }
    return false;
}

const char *hone_bottleneck_name(hone_bottleneck b)
{
    return bottlenecks[b].name;
}

const char *hone_bottleneck_text(hone_bottleneck b)
{
    return bottlenecks[b].text;
}

const hone_technique *const *hone_techniques(size_t *count)
{
    *count = sizeof table / sizeof *table;
    return table;
}

bool hone_technique_find(const char *label, const hone_technique **t,
                         const hone_technique_value **value)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        for (size_t v = 0; v < table[i]->n_values; v++) {
            if (strcmp(table[i]->values[v].label, label) == 0) {
                *t = table[i];
                *value = &table[i]->values[v];
                return true;
            }
        }
    }
    return false;
}

static void document_row(FILE *f, const hone_technique *t)
{
    fprintf(f, "\n## %s (`%s`)\n\n", t->title, t->name);
    fprintf(f, "- **Addresses:** %s (%s).\n", bottlenecks[t->addresses].name,
            bottlenecks[t->addresses].text);
    fprintf(f, "- **Quality:** %s.\n",
            t->lossy ? "changes the logits; must pass the quality gate"
                     : "the same bits, lossless");
    fprintf(f, "- **Values:**");
    for (size_t v = 0; v < t->n_values; v++)
        fprintf(f, "%s `%s`", v ? "," : "", t->values[v].label);
    fprintf(f, ".\n- **Why it works:** %s\n- **When not:** %s\n- **Source:** %s.\n", t->why,
            t->when_not, t->source);
}

hone_status hone_technique_document(char **markdown)
{
    *markdown = NULL;
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!f)
        return hone_fail_memory(4096, "the techniques' document");
    fprintf(f, "# Techniques\n\nGenerated from the technique table by `hone optimize --list "
               "--markdown`; change the rows in `src/technique/`, not this file.\n\nThe effect of "
               "a technique is predicted by the roofline (bytes over read bandwidth, operations "
               "over the arithmetic limit), measured on the machine, and judged on held-out text "
               "before anything is promoted.\n");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        document_row(f, table[i]);
    bool failed = ferror(f);
    failed |= fclose(f) != 0;
    if (!failed)
        *markdown = hone_strdup(text);
    free(text);
    return *markdown ? HONE_OK : hone_fail_memory(bytes, "the techniques' document");
}
