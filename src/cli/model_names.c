#include "cli/model_names.h"

#include "base/mem.h"
#include "file/hub.h"

#include <string.h>
#include <unistd.h>

/* Is word i of the operands ("MODEL [FILE]...") a model? */
static bool is_model(const char *operands, int i)
{
    const char *word = operands;
    for (; word && i > 0; i--) {
        word = strchr(word, ' ');
        if (word)
            word++;
    }
    if (!word)
        return false;
    if (*word == '[')
        word++;
    return strncmp(word, "MODEL", 5) == 0 && !(word[5] >= 'A' && word[5] <= 'Z');
}

static hone_status find_model(cli_context *c, const char **text)
{
    char *path;
    if (!*text || access(*text, F_OK) == 0 || !hone_hub_is_name(*text))
        return HONE_OK;
    if (c->found_count == CLI_FOUND_MAX)
        return hone_fail(HONE_USAGE, "more than %d models", CLI_FOUND_MAX);
    hone_status s = hone_hub_resolve(*text, NULL, &path);
    if (s == HONE_NOT_FOUND)
        return hone_fail_in(s, "there is no file %s here", *text);
    HONE_TRY(s);
    c->found[c->found_count++] = path;
    *text = path;
    return HONE_OK;
}

hone_status cli_find_models(cli_context *c)
{
    for (int i = 0; i < c->operand_count; i++)
        if (c->command->models || is_model(c->command->operands, i))
            HONE_TRY(find_model(c, &c->operands[i]));
    for (size_t i = 0; i < c->options; i++)
        if (c->command->options[i].model && c->values[i].set)
            HONE_TRY(find_model(c, &c->values[i].text));
    return HONE_OK;
}
