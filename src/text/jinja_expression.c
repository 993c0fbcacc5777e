/* The parser's half for expressions: precedence climbs as in jinja2/parser.py, function by
 * function. */
#include "text/jinja_value.h"

#include <string.h>

typedef jinja_parser parser;
typedef jinja_node node;

bool jinja_is_op(const jinja_token *t, const char *op)
{
    return t->kind == JINJA_T_OP && strlen(op) == t->n && memcmp(op, t->text, t->n) == 0;
}

bool jinja_is_name(const jinja_token *t, const char *name)
{
    return t->kind == JINJA_T_NAME && strlen(name) == t->n && memcmp(name, t->text, t->n) == 0;
}

static bool skip_op(parser *p, const char *op)
{
    bool yes = jinja_is_op(p->at, op);
    p->at += yes;
    return yes;
}

static bool skip_name(parser *p, const char *name)
{
    bool yes = jinja_is_name(p->at, name);
    p->at += yes;
    return yes;
}

const char *jinja_show(const jinja_token *t, char *buf, size_t size)
{
    static const char *const names[] = {[JINJA_T_DATA] = "text",
                                        [JINJA_T_BEGIN] = "{%",
                                        [JINJA_T_END] = "%}",
                                        [JINJA_T_PRINT] = "{{",
                                        [JINJA_T_SHOWN] = "}}",
                                        [JINJA_T_STRING] = "a string",
                                        [JINJA_T_EOF] = "the end of the template"};
    if (t->kind < sizeof names / sizeof *names && names[t->kind])
        return names[t->kind];
    snprintf(buf, size, "'%.*s'", t->n < 40 ? (int)t->n : 40, t->text);
    return buf;
}

static hone_status unexpected(parser *p, const char *wanted)
{
    char buf[64];
    return jinja_fail_token(p, p->at, HONE_FORMAT, "expected %s, got %s", wanted,
                            jinja_show(p->at, buf, sizeof buf));
}

hone_status jinja_expect_op(parser *p, const char *op)
{
    if (skip_op(p, op))
        return HONE_OK;
    char wanted[8];
    snprintf(wanted, sizeof wanted, "'%s'", op);
    return unexpected(p, wanted);
}

hone_status jinja_node_new(parser *p, jinja_kind kind, const jinja_token *at, node **out)
{
    node *n = *out = hone_arena_alloc(&p->program->arena, sizeof *n);
    if (!n)
        return hone_fail_memory(sizeof *n, "a template");
    n->kind = kind;
    n->line = at->line;
    n->column = at->column;
    n->height = 1;
    return HONE_OK;
}

static uint16_t higher(uint16_t height, const node *n)
{
    return n && n->height > height ? n->height : height;
}

hone_status jinja_node_done(parser *p, node *n)
{
    uint16_t height = higher(higher(higher(0, n->a), n->b), n->c);
    const jinja_nodes *lists[] = {&n->list, &n->body, &n->other};
    for (int k = 0; k < 3; k++)
        for (uint32_t i = 0; i < lists[k]->n; i++)
            height = higher(height, lists[k]->at[i]);
    n->height = (uint16_t)(height + 1);
    if (n->height <= JINJA_HEIGHT_MAX)
        return HONE_OK;
    return hone_failed_(jinja_fail_at_(p->program->name, n->line, n->column, HONE_LIMIT,
                                       "an expression of more than %d levels", JINJA_HEIGHT_MAX));
}

hone_status jinja_nodes_add(parser *p, jinja_nodes *list, node *n)
{
    if (list->n == list->room) {
        uint32_t room = list->room ? 2 * list->room : 4;
        node **more = hone_arena_alloc(&p->program->arena, room * sizeof *more);
        if (!more)
            return hone_fail_memory(room * sizeof *more, "a template");
        if (list->n)
            memcpy(more, list->at, list->n * sizeof *more);
        list->at = more;
        list->room = room;
    }
    list->at[list->n++] = n;
    return HONE_OK;
}

/* kind(a, b) with op. */
static hone_status join(parser *p, jinja_kind kind, char op, const jinja_token *at, node *a,
                        node *b, node **out)
{
    node *n;
    HONE_TRY(jinja_node_new(p, kind, at, &n));
    n->op = op;
    n->a = a;
    n->b = b;
    *out = n;
    return jinja_node_done(p, n);
}

static hone_status constant(parser *p, const jinja_token *at, jinja_value v, node **out)
{
    node *n;
    HONE_TRY(jinja_node_new(p, JINJA_CONST, at, &n));
    jinja_value *copy = hone_arena_alloc(&p->program->arena, sizeof *copy);
    if (!copy)
        return hone_fail_memory(sizeof *copy, "a template");
    *copy = v;
    n->constant = copy;
    *out = n;
    return HONE_OK;
}

/* ---- primary expressions ---- */

static hone_status parse_strings(parser *p, node **out)
{
    const jinja_token *first = p->at;
    size_t n = 0;
    while (p->at->kind == JINJA_T_STRING)
        n += (p->at++)->n;
    if (p->at == first + 1)
        return constant(p, first, jinja_str(first->text, n), out);
    char *text = hone_arena_alloc(&p->program->arena, n + 1);
    if (!text)
        return hone_fail_memory(n, "a template's string");
    n = 0;
    for (const jinja_token *t = first; t < p->at; t++) {
        memcpy(text + n, t->text, t->n);
        n += t->n;
    }
    return constant(p, first, jinja_str(text, n), out);
}

static void note_special_name(parser *p, const jinja_name *name)
{
    static const struct {
        const char *name;
        uint8_t flag;
    } special[] = {{"caller", JINJA_USES_CALLER},
                   {"varargs", JINJA_USES_VARARGS},
                   {"kwargs", JINJA_USES_KWARGS}};
    for (size_t i = 0; p->macro && i < sizeof special / sizeof *special; i++)
        if (strcmp(name->s, special[i].name) == 0)
            p->macro->flags |= special[i].flag;
}

static hone_status parse_name(parser *p, bool with_namespace, node **out)
{
    static const struct {
        const char *name;
        int value;
    } words[] = {{"true", 1}, {"True", 1}, {"false", 0}, {"False", 0}, {"none", -1}, {"None", -1}};
    const jinja_token *t = p->at++;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (jinja_is_name(t, words[i].name))
            return constant(p, t, words[i].value < 0 ? jinja_none : jinja_bool(words[i].value != 0),
                            out);
    node *n;
    bool reference = with_namespace && jinja_is_op(p->at, ".");
    HONE_TRY(jinja_node_new(p, reference ? JINJA_NSREF : JINJA_NAME, t, &n));
    HONE_TRY(jinja_intern(p->program, t->text, t->n, &n->name));
    *out = n;
    if (!reference) {
        note_special_name(p, n->name);
        return HONE_OK;
    }
    p->at++;
    if (p->at->kind != JINJA_T_NAME)
        return unexpected(p, "the name of an attribute");
    HONE_TRY(constant(p, p->at, jinja_str(p->at->text, p->at->n), &n->a));
    p->at++;
    return HONE_OK;
}

static hone_status parse_list(parser *p, node **out)
{
    node *n, *item;
    HONE_TRY(jinja_node_new(p, JINJA_LIST, p->at++, &n));
    while (!jinja_is_op(p->at, "]")) {
        if (n->list.n)
            HONE_TRY(jinja_expect_op(p, ","));
        if (jinja_is_op(p->at, "]"))
            break;
        HONE_TRY(jinja_parse_expression(p, true, &item));
        HONE_TRY(jinja_nodes_add(p, &n->list, item));
    }
    *out = n;
    HONE_TRY(jinja_expect_op(p, "]"));
    return jinja_node_done(p, n);
}

static hone_status parse_dict(parser *p, node **out)
{
    node *n, *item;
    HONE_TRY(jinja_node_new(p, JINJA_DICT, p->at++, &n));
    while (!jinja_is_op(p->at, "}")) {
        if (n->list.n)
            HONE_TRY(jinja_expect_op(p, ","));
        if (jinja_is_op(p->at, "}"))
            break;
        HONE_TRY(jinja_parse_expression(p, true, &item));
        HONE_TRY(jinja_nodes_add(p, &n->list, item));
        HONE_TRY(jinja_expect_op(p, ":"));
        HONE_TRY(jinja_parse_expression(p, true, &item));
        HONE_TRY(jinja_nodes_add(p, &n->list, item));
    }
    *out = n;
    HONE_TRY(jinja_expect_op(p, "}"));
    return jinja_node_done(p, n);
}

hone_status jinja_parse_primary(parser *p, bool with_namespace, node **out)
{
    const jinja_token *t = p->at;
    *out = NULL;
    switch (t->kind) {
    case JINJA_T_NAME:
        return parse_name(p, with_namespace, out);
    case JINJA_T_STRING:
        return parse_strings(p, out);
    case JINJA_T_INT:
        p->at++;
        return constant(p, t, jinja_int(t->integer), out);
    case JINJA_T_FLOAT:
        p->at++;
        return constant(p, t, jinja_float(t->real), out);
    default:
        break;
    }
    if (skip_op(p, "(")) {
        HONE_TRY(jinja_parse_tuple(p, true, NULL, true, out));
        return jinja_expect_op(p, ")");
    }
    if (jinja_is_op(t, "["))
        return parse_list(p, out);
    if (jinja_is_op(t, "{"))
        return parse_dict(p, out);
    return unexpected(p, "an expression");
}

/* ---- what follows a primary expression ---- */

static hone_status parse_subscribed(parser *p, node **out)
{
    const jinja_token *t = p->at;
    node *parts[3] = {NULL, NULL, NULL};
    if (!jinja_is_op(p->at, ":")) {
        HONE_TRY(jinja_parse_expression(p, true, &parts[0]));
        if (!jinja_is_op(p->at, ":")) {
            *out = parts[0];
            return HONE_OK;
        }
    }
    for (int i = 1; i < 3 && skip_op(p, ":"); i++)
        if (!jinja_is_op(p->at, ":") && !jinja_is_op(p->at, "]") && !jinja_is_op(p->at, ","))
            HONE_TRY(jinja_parse_expression(p, true, &parts[i]));
    HONE_TRY(join(p, JINJA_SLICE, 0, t, parts[0], parts[1], out));
    (*out)->c = parts[2];
    return jinja_node_done(p, *out);
}

static hone_status parse_brackets(parser *p, const jinja_token *t, node *value, node **out)
{
    node *key = NULL, *tuple = NULL;
    for (int i = 0; !jinja_is_op(p->at, "]"); i++) {
        if (i > 0)
            HONE_TRY(jinja_expect_op(p, ","));
        HONE_TRY(parse_subscribed(p, &key));
        if (i == 0 && !jinja_is_op(p->at, ","))
            break;
        if (!tuple)
            HONE_TRY(jinja_node_new(p, JINJA_TUPLE, t, &tuple));
        if (key->kind == JINJA_SLICE)
            return jinja_fail_token(p, t, HONE_UNSUPPORTED, "a slice in more than one dimension");
        HONE_TRY(jinja_nodes_add(p, &tuple->list, key));
    }
    if (!key)
        return unexpected(p, "an index");
    HONE_TRY(jinja_expect_op(p, "]"));
    if (tuple) {
        HONE_TRY(jinja_node_done(p, tuple));
        key = tuple;
    }
    return join(p, JINJA_ITEM, 0, t, value, key, out);
}

static hone_status parse_dot(parser *p, const jinja_token *t, node *value, node **out)
{
    const jinja_token *name = p->at++;
    if (name->kind == JINJA_T_NAME) {
        HONE_TRY(join(p, JINJA_ATTR, 0, t, value, NULL, out));
        return jinja_intern(p->program, name->text, name->n, &(*out)->name);
    }
    node *key;
    p->at--;
    if (name->kind != JINJA_T_INT)
        return unexpected(p, "a name or number after '.'");
    p->at++;
    HONE_TRY(constant(p, name, jinja_int(name->integer), &key));
    return join(p, JINJA_ITEM, 0, t, value, key, out);
}

static hone_status parse_argument(parser *p, node **out)
{
    const jinja_token *t = p->at;
    bool star = jinja_is_op(t, "*"), stars = jinja_is_op(t, "**");
    bool named = t->kind == JINJA_T_NAME && jinja_is_op(t + 1, "=");
    if (!star && !stars && !named)
        return jinja_parse_expression(p, true, out);
    node *value, *n;
    p->at += named ? 2 : 1;
    HONE_TRY(jinja_parse_expression(p, true, &value));
    HONE_TRY(join(p, JINJA_KEYWORD, star ? '*' : stars ? 'd' : 0, t, value, NULL, &n));
    *out = n;
    return named ? jinja_intern(p->program, t->text, t->n, &n->name) : HONE_OK;
}

static hone_status parse_call_list(parser *p, jinja_nodes *list)
{
    const jinja_token *t = p->at;
    bool named = false, star = false, stars = false;
    HONE_TRY(jinja_expect_op(p, "("));
    while (!jinja_is_op(p->at, ")")) {
        if (list->n) {
            HONE_TRY(jinja_expect_op(p, ","));
            if (jinja_is_op(p->at, ")"))
                break;
        }
        node *n;
        HONE_TRY(parse_argument(p, &n));
        bool keyword = n->kind == JINJA_KEYWORD;
        bool fine = !keyword ? !named && !star && !stars : n->op == '*' ? !star && !stars : !stars;
        if (!fine)
            return jinja_fail_token(p, t, HONE_FORMAT, "arguments of a call in a wrong order");
        star |= keyword && n->op == '*';
        stars |= keyword && n->op == 'd';
        named |= keyword && n->op == 0;
        HONE_TRY(jinja_nodes_add(p, list, n));
    }
    return jinja_expect_op(p, ")");
}

static hone_status parse_call(parser *p, node *callee, node **out)
{
    node *n;
    HONE_TRY(jinja_node_new(p, JINJA_CALL, p->at, &n));
    n->a = callee;
    HONE_TRY(parse_call_list(p, &n->list));
    *out = n;
    return jinja_node_done(p, n);
}

static hone_status parse_postfix(parser *p, node *value, node **out)
{
    for (;;) {
        const jinja_token *t = p->at;
        *out = value;
        if (skip_op(p, "."))
            HONE_TRY(parse_dot(p, t, value, out));
        else if (skip_op(p, "["))
            HONE_TRY(parse_brackets(p, t, value, out));
        else if (jinja_is_op(t, "("))
            HONE_TRY(parse_call(p, value, out));
        else
            return HONE_OK;
        value = *out;
    }
}

/* "name" or "name.name" of a filter or test, and its row. */
static hone_status parse_row(parser *p, const char *what,
                             const jinja_builtin *(*find)(const char *, size_t), node *n)
{
    const jinja_token *t = p->at;
    if (t->kind != JINJA_T_NAME)
        return unexpected(p, what);
    p->at++;
    if (jinja_is_op(p->at, "."))
        return jinja_fail_token(p, t, HONE_UNSUPPORTED, "no %s with a '.' is known", what);
    HONE_TRY(jinja_intern(p->program, t->text, t->n, &n->name));
    n->row = find(t->text, t->n);
    if (!n->row && !p->soft)
        return jinja_fail_token(p, t, HONE_UNSUPPORTED, "%s '%.60s' is not known", what,
                                n->name->s);
    return HONE_OK;
}

hone_status jinja_parse_filters(parser *p, node *value, bool inline_first, node **out)
{
    *out = value;
    while (inline_first || skip_op(p, "|")) {
        node *n;
        HONE_TRY(jinja_node_new(p, JINJA_FILTER, p->at, &n));
        HONE_TRY(parse_row(p, "filter", jinja_find_filter, n));
        if (jinja_is_op(p->at, "("))
            HONE_TRY(parse_call_list(p, &n->list));
        n->a = *out;
        HONE_TRY(jinja_node_done(p, n));
        *out = n;
        inline_first = false;
    }
    return HONE_OK;
}

static bool starts_test_argument(const jinja_token *t)
{
    if (t->kind == JINJA_T_NAME)
        return !jinja_is_name(t, "else") && !jinja_is_name(t, "or") && !jinja_is_name(t, "and");
    return t->kind == JINJA_T_STRING || t->kind == JINJA_T_INT || t->kind == JINJA_T_FLOAT ||
           jinja_is_op(t, "(") || jinja_is_op(t, "[") || jinja_is_op(t, "{");
}

static hone_status parse_test(parser *p, node *value, node **out)
{
    node *n, *argument;
    const jinja_token *t = p->at++;
    bool negated = skip_name(p, "not");
    HONE_TRY(jinja_node_new(p, JINJA_TEST, p->at, &n));
    HONE_TRY(parse_row(p, "test", jinja_find_test, n));
    if (jinja_is_op(p->at, "(")) {
        HONE_TRY(parse_call_list(p, &n->list));
    } else if (starts_test_argument(p->at)) {
        if (jinja_is_name(p->at, "is"))
            return jinja_fail_token(p, p->at, HONE_FORMAT, "tests cannot be chained with 'is'");
        HONE_TRY(jinja_parse_primary(p, false, &argument));
        HONE_TRY(parse_postfix(p, argument, &argument));
        HONE_TRY(jinja_nodes_add(p, &n->list, argument));
    }
    n->a = value;
    *out = n;
    HONE_TRY(jinja_node_done(p, n));
    return negated ? join(p, JINJA_NOT, 0, t, n, NULL, out) : HONE_OK;
}

static hone_status parse_filter_expression(parser *p, node *value, node **out)
{
    for (;; value = *out) {
        *out = value;
        if (jinja_is_op(p->at, "|"))
            HONE_TRY(jinja_parse_filters(p, value, false, out));
        else if (jinja_is_name(p->at, "is"))
            HONE_TRY(parse_test(p, value, out));
        else if (jinja_is_op(p->at, "("))
            HONE_TRY(parse_call(p, value, out));
        else
            return HONE_OK;
    }
}

/* ---- operators, from the tightest ---- */

static hone_status enter(parser *p)
{
    if (++p->nested <= JINJA_NESTED_MAX)
        return HONE_OK;
    return jinja_fail_token(p, p->at, HONE_LIMIT, "nested deeper than %d levels", JINJA_NESTED_MAX);
}

static hone_status parse_unary(parser *p, bool with_filter, node **out)
{
    const jinja_token *t = p->at;
    HONE_TRY(enter(p));
    node *n = NULL;
    if (skip_op(p, "-") || skip_op(p, "+")) {
        HONE_TRY(parse_unary(p, false, &n));
        HONE_TRY(join(p, JINJA_UNARY, *t->text, t, n, NULL, &n));
    } else {
        HONE_TRY(jinja_parse_primary(p, false, &n));
    }
    HONE_TRY(parse_postfix(p, n, &n));
    *out = n;
    if (with_filter)
        HONE_TRY(parse_filter_expression(p, n, out));
    p->nested--;
    return HONE_OK;
}

typedef hone_status level(parser *p, node **out);

typedef struct operator_name {
    const char *text;
    char op;
} operator_name;

/* left op right op right... with the operators of one level. */
static hone_status parse_level(parser *p, level *next, const operator_name *names, size_t count,
                               node **out)
{
    HONE_TRY(next(p, out));
    for (;;) {
        const jinja_token *t = p->at;
        size_t i = 0;
        while (i < count && !skip_op(p, names[i].text))
            i++;
        if (i == count)
            return HONE_OK;
        node *right;
        HONE_TRY(next(p, &right));
        HONE_TRY(join(p, JINJA_BINARY, names[i].op, t, *out, right, out));
    }
}

static hone_status parse_operand(parser *p, node **out)
{
    return parse_unary(p, true, out);
}

static hone_status parse_power(parser *p, node **out)
{
    static const operator_name names[] = {{"**", '^'}};
    return parse_level(p, parse_operand, names, 1, out);
}

static hone_status parse_product(parser *p, node **out)
{
    static const operator_name names[] = {{"*", '*'}, {"/", '/'}, {"//", 'f'}, {"%", '%'}};
    return parse_level(p, parse_power, names, 4, out);
}

static hone_status parse_concat(parser *p, node **out)
{
    const jinja_token *t = p->at;
    node *first, *n;
    HONE_TRY(parse_product(p, &first));
    *out = first;
    if (!jinja_is_op(p->at, "~"))
        return HONE_OK;
    HONE_TRY(jinja_node_new(p, JINJA_CONCAT, t, &n));
    HONE_TRY(jinja_nodes_add(p, &n->list, first));
    while (skip_op(p, "~")) {
        HONE_TRY(parse_product(p, &first));
        HONE_TRY(jinja_nodes_add(p, &n->list, first));
    }
    *out = n;
    return jinja_node_done(p, n);
}

static hone_status parse_sum(parser *p, node **out)
{
    static const operator_name names[] = {{"+", '+'}, {"-", '-'}};
    return parse_level(p, parse_concat, names, 2, out);
}

static char comparison(parser *p)
{
    static const operator_name names[] = {{"==", '='}, {"!=", '!'}, {"<", '<'},
                                          {">", '>'},  {"<=", 'l'}, {">=", 'g'}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (skip_op(p, names[i].text))
            return names[i].op;
    if (skip_name(p, "in"))
        return 'i';
    if (!jinja_is_name(p->at, "not") || !jinja_is_name(p->at + 1, "in"))
        return 0;
    p->at += 2;
    return 'n';
}

static hone_status parse_compare(parser *p, node **out)
{
    HONE_TRY(parse_sum(p, out));
    const jinja_token *t = p->at;
    node *n = NULL, *right;
    for (char op; (op = comparison(p)) != 0; t = p->at) {
        if (!n) {
            HONE_TRY(jinja_node_new(p, JINJA_COMPARE, t, &n));
            n->a = *out;
        }
        HONE_TRY(parse_sum(p, &right));
        HONE_TRY(join(p, JINJA_BINARY, op, t, NULL, right, &right));
        HONE_TRY(jinja_nodes_add(p, &n->list, right));
    }
    if (!n)
        return HONE_OK;
    *out = n;
    return jinja_node_done(p, n);
}

static hone_status parse_not(parser *p, node **out)
{
    const jinja_token *t = p->at;
    if (!skip_name(p, "not"))
        return parse_compare(p, out);
    HONE_TRY(enter(p));
    HONE_TRY(parse_not(p, out));
    p->nested--;
    return join(p, JINJA_NOT, 0, t, *out, NULL, out);
}

static hone_status parse_and(parser *p, node **out)
{
    node *right;
    HONE_TRY(parse_not(p, out));
    for (const jinja_token *t = p->at; skip_name(p, "and"); t = p->at) {
        HONE_TRY(parse_not(p, &right));
        HONE_TRY(join(p, JINJA_AND, 0, t, *out, right, out));
    }
    return HONE_OK;
}

static hone_status parse_or(parser *p, node **out)
{
    node *right;
    HONE_TRY(parse_and(p, out));
    for (const jinja_token *t = p->at; skip_name(p, "or"); t = p->at) {
        HONE_TRY(parse_and(p, &right));
        HONE_TRY(join(p, JINJA_OR, 0, t, *out, right, out));
    }
    return HONE_OK;
}

static hone_status parse_condition(parser *p, node **out)
{
    HONE_TRY(parse_or(p, out));
    for (const jinja_token *t = p->at; skip_name(p, "if"); t = p->at) {
        node *n;
        HONE_TRY(jinja_node_new(p, JINJA_COND, t, &n));
        n->a = *out;
        HONE_TRY(parse_or(p, &n->b));
        if (skip_name(p, "else"))
            HONE_TRY(jinja_parse_expression(p, true, &n->c));
        HONE_TRY(jinja_node_done(p, n));
        *out = n;
    }
    return HONE_OK;
}

hone_status jinja_parse_expression(parser *p, bool with_condition, node **out)
{
    *out = NULL;
    HONE_TRY(enter(p));
    HONE_TRY(with_condition ? parse_condition(p, out) : parse_or(p, out));
    p->nested--;
    return HONE_OK;
}

static bool ends_tuple(const parser *p, const char *end)
{
    return p->at->kind == JINJA_T_END || p->at->kind == JINJA_T_SHOWN || jinja_is_op(p->at, ")") ||
           (end && jinja_is_name(p->at, end));
}

hone_status jinja_parse_tuple(parser *p, bool with_condition, const char *end, bool parentheses,
                              node **out)
{
    const jinja_token *t = p->at;
    node *first = NULL, *n = NULL;
    while (!ends_tuple(p, end)) {
        node *item;
        HONE_TRY(jinja_parse_expression(p, with_condition, &item));
        if (!first)
            first = item;
        if (!n && jinja_is_op(p->at, ","))
            HONE_TRY(jinja_node_new(p, JINJA_TUPLE, t, &n));
        if (n)
            HONE_TRY(jinja_nodes_add(p, &n->list, item));
        if (!skip_op(p, ","))
            break;
    }
    *out = first;
    if (first && !n)
        return HONE_OK;
    if (!n && !parentheses)
        return unexpected(p, "an expression");
    if (!n)
        HONE_TRY(jinja_node_new(p, JINJA_TUPLE, t, &n));
    *out = n;
    return jinja_node_done(p, n);
}
