#include "cli/parse.h"

#include "base/mem.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NEAREST_LENGTH_MAX = 40, NEAREST_OPTIONS_MAX = 64, LIST_MAX = 1 << 20 };

static size_t option_count(const cli_option *options)
{
    size_t n = 0;
    while (options && options[n].name)
        n++;
    return n;
}

/* Levenshtein distance with one row; words longer than NEAREST_LENGTH_MAX count as far away. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[NEAREST_LENGTH_MAX + 1], na = strlen(a), nb = strlen(b);
    if (na > NEAREST_LENGTH_MAX || nb > NEAREST_LENGTH_MAX)
        return NEAREST_LENGTH_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[nb];
}

const char *cli_nearest(const char *word, const char *const *candidates, size_t count)
{
    size_t length = strlen(word), best = length / 3 + 2;
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t d = edit_distance(word, candidates[i]);
        if (length >= 3 && strncmp(word, candidates[i], length) == 0)
            d = 0; /* an abbreviation */
        if (d < best && d < strlen(candidates[i])) {
            best = d;
            nearest = candidates[i];
        }
    }
    return nearest;
}

static hone_status bad_value(const cli_option *o, const char *text, const char *wanted)
{
    return hone_fail(HONE_USAGE, "--%s %s: %s is wanted%s%s", o->name, text, wanted,
                     o->argument ? "; " : "", o->argument ? o->help : "");
}

static hone_status check_range(const cli_option *o, const char *text, double v)
{
    double scale = o->type == CLI_PERCENT ? 100 : 1;
    const char *unit = o->type == CLI_PERCENT ? "%" : "";
    if (o->max != 0 && (v < o->min || v > o->max))
        return hone_fail(HONE_USAGE, "--%s %s: must be from %.10g%s to %.10g%s", o->name, text,
                         scale * o->min, unit, scale * o->max, unit);
    if (v < o->min)
        return hone_fail(HONE_USAGE, "--%s %s: must be at least %.10g%s", o->name, text,
                         scale * o->min, unit);
    return HONE_OK;
}

/* A whole number at *p; *p moves past it. False if there is none. One that does not fit becomes the
 * nearest that does, and errno ERANGE. */
static bool scan_int(const char **p, int64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)**p) && **p != '-')
        return false;
    errno = 0;
    long long v = strtoll(*p, &end, 10);
    if (end == *p)
        return false;
    *p = end;
    *out = v;
    return true;
}

/* strtod also takes blanks, "nan", "inf" and hexadecimal numbers. */
static bool is_decimal(const char *text)
{
    return (isdigit((unsigned char)text[0]) || text[0] == '-' || text[0] == '.') &&
           !strpbrk(text, "xX");
}

static hone_status parse_number(const cli_option *o, const char *text, cli_value *v)
{
    char *end;
    errno = 0;
    double x = strtod(text, &end);
    if (end == text || errno != 0 || !is_decimal(text) || !isfinite(x))
        return bad_value(o, text, "a number");
    if (o->type == CLI_PERCENT && *end == 0 && x != 0) /* 1: a hundredth, or all of it? */
        return hone_fail(HONE_USAGE, "--%s %s: give a percentage, such as 1%%", o->name, text);
    if (o->type == CLI_PERCENT && *end == '%') {
        x /= 100;
        end++;
    }
    if (*end)
        return bad_value(o, text, o->type == CLI_PERCENT ? "a percentage" : "a number");
    HONE_TRY(check_range(o, text, x));
    v->number = x;
    return HONE_OK;
}

static hone_status parse_bytes(const cli_option *o, const char *text, cli_value *v)
{
    static const char wanted[] = "a size such as 1000, 512M or 4G";
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    double x = strtod(text, &end);
    if (end == text || errno != 0 || !is_decimal(text) || text[0] == '-' || !isfinite(x))
        return bad_value(o, text, wanted);
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (unit) {
        x *= (double)(1ULL << (10 * (unit - units + 1)));
        end++;
        if (strcmp(end, "iB") == 0)
            end += 2;
        else if (strcmp(end, "B") == 0)
            end += 1;
    }
    if (*end || x >= 9e18)
        return bad_value(o, text, wanted);
    HONE_TRY(check_range(o, text, x));
    v->whole = (int64_t)x;
    return HONE_OK;
}

/* Right behind scan_int, whose errno it reads. */
static hone_status check_whole(const cli_option *o, const char *text, int64_t v)
{
    bool fits = errno != ERANGE;
    HONE_TRY(check_range(o, text, (double)v));
    return fits ? HONE_OK
                : hone_fail(HONE_USAGE, "--%s %s: must be from %lld to %lld", o->name, text,
                            (long long)o->min, (long long)INT64_MAX);
}

static hone_status parse_ints(const cli_option *o, const char *text, cli_value *v)
{
    size_t n = 1;
    for (const char *p = text; *p; p++)
        n += *p == ',';
    if (n > LIST_MAX)
        return hone_fail(HONE_USAGE, "--%s: more than %d numbers", o->name, LIST_MAX);
    hone_free(v->ints);
    v->count = 0;
    v->ints = hone_calloc(n, sizeof *v->ints);
    if (!v->ints)
        return hone_fail_memory(n * sizeof *v->ints, "a list of numbers");
    for (const char *p = text;; p++) {
        int64_t x;
        if (!scan_int(&p, &x) || (*p && *p != ','))
            return bad_value(o, text, "a list of whole numbers such as 1,2,3");
        HONE_TRY(check_whole(o, text, x));
        v->ints[v->count++] = x;
        if (!*p)
            return HONE_OK;
    }
}

static hone_status parse_choice(const cli_option *o, const char *text, cli_value *v)
{
    size_t n = strlen(text);
    for (const char *p = o->choices; p; p = strchr(p, '|')) {
        p += *p == '|';
        size_t length = strcspn(p, "|");
        if (length == n && strncmp(p, text, n) == 0) {
            v->text = text;
            return HONE_OK;
        }
    }
    return hone_fail(HONE_USAGE, "--%s %s: must be one of %s", o->name, text, o->choices);
}

static hone_status add_text(cli_value *v, const char *text)
{
    const char **more = hone_reallocarray(v->texts, v->count + 1, sizeof *more);
    if (!more)
        return hone_fail_memory(sizeof *more, "an option");
    v->texts = more;
    v->texts[v->count++] = text;
    return HONE_OK;
}

static hone_status parse_value(const cli_option *o, const char *text, cli_value *v)
{
    const char *p = text;
    v->text = text;
    switch (o->type) {
    case CLI_FLAG:
    case CLI_TEXT:
        return HONE_OK;
    case CLI_TEXTS:
        return add_text(v, text);
    case CLI_CHOICE:
        return parse_choice(o, text, v);
    case CLI_INT:
        if (!scan_int(&p, &v->whole) || *p)
            return bad_value(o, text, "a whole number");
        v->number = (double)v->whole;
        return check_whole(o, text, v->whole);
    case CLI_NUMBER:
    case CLI_PERCENT:
        return parse_number(o, text, v);
    case CLI_BYTES:
        return parse_bytes(o, text, v);
    case CLI_INTS:
        return parse_ints(o, text, v);
    }
    return hone_fail(HONE_INTERNAL, "option --%s has an unknown type", o->name);
}

static hone_status unknown_option(const cli_command *command, const char *word)
{
    const char *names[NEAREST_OPTIONS_MAX] = {"json", "help"};
    size_t n = 2;
    for (size_t i = 0; i < option_count(command->options) && n < NEAREST_OPTIONS_MAX; i++)
        names[n++] = command->options[i].name;
    char name[NEAREST_LENGTH_MAX + 1];
    size_t length = strcspn(word + strspn(word, "-"), "=");
    snprintf(name, sizeof name, "%.*s", (int)length, word + strspn(word, "-"));
    const char *nearest = cli_nearest(name, names, n);
    if (nearest)
        return hone_fail(HONE_USAGE, "%s has no option %s; did you mean --%s?", command->name, word,
                         nearest);
    return hone_fail(HONE_USAGE, "%s has no option %s; see: hone help %s", command->name, word,
                     command->name);
}

/* The option that argument `word` names ("--name", "--name=value", "-x"), or NULL. */
static const cli_option *find_option(const cli_command *command, const char *word)
{
    bool is_long = word[1] == '-';
    size_t length = is_long ? strcspn(word + 2, "=") : 0;
    for (const cli_option *o = command->options; o && o->name; o++) {
        if (is_long && strlen(o->name) == length && strncmp(o->name, word + 2, length) == 0)
            return o;
        if (!is_long && o->letter && word[1] == o->letter && word[2] == 0)
            return o;
    }
    return NULL;
}

/* Takes the option at argv[*at]; moves *at to its last word. */
static hone_status take_option(cli_context *c, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    if (strcmp(word, "--json") == 0) {
        c->json = true;
        return HONE_OK;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        c->help = true;
        return HONE_OK;
    }
    const cli_option *o = find_option(c->command, word);
    if (!o)
        return unknown_option(c->command, word);
    cli_value *v = &c->values[o - c->command->options];
    const char *equals = word[1] == '-' ? strchr(word, '=') : NULL;
    if (o->type == CLI_FLAG && equals)
        return hone_fail(HONE_USAGE, "--%s takes no value", o->name);
    if (v->set++ && o->type != CLI_TEXTS && o->type != CLI_FLAG)
        return hone_fail(HONE_USAGE, "--%s is given twice", o->name);
    if (o->type == CLI_FLAG)
        return HONE_OK;
    if (equals)
        return parse_value(o, equals + 1, v);
    if (*at + 1 >= argc)
        return hone_fail(HONE_USAGE, "--%s needs a value: --%s %s", o->name, o->name, o->argument);
    return parse_value(o, argv[++*at], v);
}

static hone_status check_complete(const cli_context *c)
{
    const cli_command *command = c->command;
    const char *operands = command->operands ? command->operands : "no operands";
    if (c->operand_count < command->operands_min)
        return hone_fail(HONE_USAGE, "%s needs %s; see: hone help %s", command->name, operands,
                         command->name);
    if (command->operands_max >= 0 && c->operand_count > command->operands_max) {
        const cli_option *o = find_option(command, "--prompt");
        return hone_fail(HONE_USAGE, "%s takes %s, but there is also \"%s\"%s", command->name,
                         operands, c->operands[command->operands_max],
                         o && o->type == CLI_TEXT ? "; a prompt stands behind --prompt" : "");
    }
    for (size_t i = 0; i < c->options; i++) {
        if (command->options[i].required && !c->values[i].set)
            return hone_fail(HONE_USAGE, "%s needs --%s %s (%s)", command->name,
                             command->options[i].name, command->options[i].argument,
                             command->options[i].help);
    }
    return HONE_OK;
}

/* "-", "-1" and words without a leading '-' are operands. */
static bool is_operand(const char *word)
{
    return word[0] != '-' || word[1] == 0 || isdigit((unsigned char)word[1]);
}

static hone_status apply_fallbacks(cli_context *c)
{
    for (size_t i = 0; i < c->options; i++) {
        const cli_option *o = &c->command->options[i];
        if (!c->values[i].set && o->fallback)
            HONE_TRY(parse_value(o, o->fallback, &c->values[i]));
    }
    return HONE_OK;
}

hone_status cli_parse(const cli_command *command, int argc, char **argv, cli_context *c)
{
    memset(c, 0, sizeof *c);
    c->command = command;
    size_t options = option_count(command->options);
    c->values = hone_calloc(options + 1, sizeof *c->values);
    c->operands = hone_calloc((size_t)argc + 1, sizeof *c->operands);
    if (!c->values || !c->operands)
        return hone_fail_memory(((size_t)argc + options) * sizeof *c->values, "the command line");
    c->options = options;
    bool only_operands = false;
    for (int i = 0; i < argc; i++) {
        if (!only_operands && strcmp(argv[i], "--") == 0)
            only_operands = true;
        else if (only_operands || is_operand(argv[i]))
            c->operands[c->operand_count++] = argv[i];
        else
            HONE_TRY(take_option(c, argc, argv, &i));
        if (c->help)
            return HONE_OK;
    }
    HONE_TRY(check_complete(c));
    return apply_fallbacks(c);
}

void cli_parse_free(cli_context *c)
{
    for (size_t i = 0; i < c->options; i++) {
        hone_free(c->values[i].ints);
        hone_free(c->values[i].texts);
    }
    for (int i = 0; i < c->found_count; i++)
        hone_free(c->found[i]);
    hone_free(c->values);
    hone_free(c->operands);
    memset(c, 0, sizeof *c);
}

static const cli_value *value_of(const cli_context *c, const char *name, unsigned types)
{
    for (size_t i = 0; i < c->options; i++) {
        const cli_option *o = &c->command->options[i];
        if (strcmp(o->name, name) == 0) {
            assert(types & (1u << o->type));
            return &c->values[i];
        }
    }
    assert(false && "the command has no such option");
    static const cli_value none;
    return &none;
}

int cli_operands(const cli_context *c)
{
    return c->operand_count;
}

const char *cli_operand(const cli_context *c, int i)
{
    return i < c->operand_count ? c->operands[i] : "";
}

bool cli_json(const cli_context *c)
{
    return c->json;
}

bool cli_given(const cli_context *c, const char *name)
{
    return value_of(c, name, ~0u)->set > 0;
}

bool cli_flag(const cli_context *c, const char *name)
{
    return value_of(c, name, 1u << CLI_FLAG)->set > 0;
}

const char *cli_text(const cli_context *c, const char *name)
{
    return value_of(c, name, 1u << CLI_TEXT | 1u << CLI_CHOICE)->text;
}

int64_t cli_int(const cli_context *c, const char *name)
{
    return value_of(c, name, 1u << CLI_INT)->whole;
}

double cli_number(const cli_context *c, const char *name)
{
    return value_of(c, name, 1u << CLI_NUMBER | 1u << CLI_PERCENT)->number;
}

uint64_t cli_bytes(const cli_context *c, const char *name)
{
    return (uint64_t)value_of(c, name, 1u << CLI_BYTES)->whole;
}

const int64_t *cli_ints(const cli_context *c, const char *name, size_t *count)
{
    const cli_value *v = value_of(c, name, 1u << CLI_INTS);
    *count = v->count;
    return v->ints;
}

const char *const *cli_texts(const cli_context *c, const char *name, size_t *count)
{
    const cli_value *v = value_of(c, name, 1u << CLI_TEXTS);
    *count = v->count;
    return v->texts;
}
