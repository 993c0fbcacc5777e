/* The parser's half for statements, and the tree's owner. */
#include "text/jinja_value.h"

#include <string.h>
#include <xxhash.h>

typedef jinja_parser parser;
typedef jinja_node node;

/* ---- interned names ---- */

static hone_status grow_names(jinja_program *p)
{
    uint32_t bits = p->names_bits ? p->names_bits + 1 : 8;
    const jinja_name **more = hone_calloc((size_t)1 << bits, sizeof *more);
    if (!more)
        return hone_fail_memory(sizeof *more << bits, "a template's names");
    for (size_t i = 0; p->names && i < (size_t)1 << p->names_bits; i++) {
        if (!p->names[i])
            continue;
        size_t mask = ((size_t)1 << bits) - 1;
        size_t h = XXH3_64bits(p->names[i]->s, p->names[i]->n) & mask;
        while (more[h])
            h = (h + 1) & mask;
        more[h] = p->names[i];
    }
    hone_free(p->names);
    p->names = more;
    p->names_bits = bits;
    return HONE_OK;
}

/* The place of a name, or the free one where it belongs. */
static size_t name_slot(const jinja_program *p, const char *s, size_t n)
{
    size_t mask = ((size_t)1 << p->names_bits) - 1, h = XXH3_64bits(s, n) & mask;
    while (p->names[h] && (p->names[h]->n != n || memcmp(p->names[h]->s, s, n) != 0))
        h = (h + 1) & mask;
    return h;
}

const jinja_name *jinja_find_name(const jinja_program *p, const char *s, size_t n)
{
    return p->names ? p->names[name_slot(p, s, n)] : NULL;
}

hone_status jinja_intern(jinja_program *p, const char *s, size_t n, const jinja_name **out)
{
    if (!p->names || 2 * (size_t)p->names_used >= (size_t)1 << p->names_bits)
        HONE_TRY(grow_names(p));
    size_t h = name_slot(p, s, n);
    *out = p->names[h];
    if (*out)
        return HONE_OK;
    jinja_name *name = hone_arena_alloc(&p->arena, sizeof *name);
    char *text = hone_arena_strndup(&p->arena, s, n);
    if (!name || !text)
        return hone_fail_memory(n, "a template's names");
    *name = (jinja_name){.s = text, .n = (uint32_t)n};
    *out = p->names[h] = name;
    p->names_used++;
    return HONE_OK;
}

/* ---- statements ---- */

static hone_status parse_body(parser *p, jinja_nodes *body, const char *const ends[4]);

static hone_status expected(parser *p, const char *wanted)
{
    char buf[64];
    return jinja_fail_token(p, p->at, HONE_FORMAT, "expected %s, got %s", wanted,
                            jinja_show(p->at, buf, sizeof buf));
}

static hone_status expect_end(parser *p)
{
    if (p->at->kind != JINJA_T_END)
        return expected(p, "%}");
    p->at++;
    return HONE_OK;
}

/* The rest of a tag and the body behind it, up to one of `ends`, which is left to be read. */
static hone_status parse_block(parser *p, jinja_nodes *body, const char *a, const char *b,
                               const char *c)
{
    const char *const ends[4] = {a, b, c, NULL};
    if (jinja_is_op(p->at, ":"))
        p->at++;
    HONE_TRY(expect_end(p));
    return parse_body(p, body, ends);
}

static hone_status parse_plain_name(parser *p, node **out)
{
    if (p->at->kind != JINJA_T_NAME)
        return expected(p, "a name");
    HONE_TRY(jinja_node_new(p, JINJA_NAME, p->at, out));
    HONE_TRY(jinja_intern(p->program, p->at->text, p->at->n, &(*out)->name));
    p->at++;
    return HONE_OK;
}

static bool names_loop(const node *n)
{
    for (uint32_t i = 0; n->kind == JINJA_TUPLE && i < n->list.n; i++)
        if (names_loop(n->list.at[i]))
            return true;
    return n->kind == JINJA_NAME && strcmp(n->name->s, "loop") == 0;
}

static hone_status check_target(parser *p, const node *n)
{
    if (n->kind == JINJA_NAME || n->kind == JINJA_NSREF)
        return HONE_OK;
    if (n->kind != JINJA_TUPLE || n->list.n == 0)
        return hone_failed_(jinja_fail_at_(p->program->name, n->line, n->column, HONE_FORMAT,
                                           "only names can be assigned to"));
    for (uint32_t i = 0; i < n->list.n; i++)
        HONE_TRY(check_target(p, n->list.at[i]));
    return HONE_OK;
}

/* a, or a, b, c up to the name `end` (or an operator). */
static hone_status parse_target(parser *p, bool with_namespace, const char *end, node **out)
{
    const jinja_token *t = p->at;
    node *n = NULL, *item;
    if (++p->nested > JINJA_NESTED_MAX)
        return jinja_fail_token(p, t, HONE_LIMIT, "nested deeper than %d levels", JINJA_NESTED_MAX);
    HONE_TRY(jinja_parse_primary(p, with_namespace, out));
    while (jinja_is_op(p->at, ",")) {
        p->at++;
        if (!n) {
            HONE_TRY(jinja_node_new(p, JINJA_TUPLE, t, &n));
            HONE_TRY(jinja_nodes_add(p, &n->list, *out));
        }
        if ((end && jinja_is_name(p->at, end)) || p->at->kind == JINJA_T_END)
            break;
        HONE_TRY(jinja_parse_primary(p, with_namespace, &item));
        HONE_TRY(jinja_nodes_add(p, &n->list, item));
    }
    p->nested--;
    if (n) {
        HONE_TRY(jinja_node_done(p, n));
        *out = n;
    }
    return check_target(p, *out);
}

static hone_status parse_set(parser *p, node *n)
{
    HONE_TRY(parse_target(p, true, NULL, &n->a));
    if (jinja_is_op(p->at, "=")) {
        p->at++;
        HONE_TRY(jinja_parse_tuple(p, true, NULL, false, &n->b));
        return HONE_OK;
    }
    HONE_TRY(jinja_parse_filters(p, NULL, false, &n->c));
    HONE_TRY(parse_block(p, &n->body, "endset", NULL, NULL));
    p->at++;
    return HONE_OK;
}

static hone_status parse_for(parser *p, node *n)
{
    HONE_TRY(parse_target(p, false, "in", &n->a));
    if (names_loop(n->a))
        return jinja_fail_token(p, p->at, HONE_FORMAT, "'loop' cannot be assigned by a loop");
    if (!jinja_is_name(p->at, "in"))
        return expected(p, "'in'");
    p->at++;
    HONE_TRY(jinja_parse_tuple(p, false, "recursive", false, &n->b));
    if (jinja_is_name(p->at, "if")) {
        p->at++;
        HONE_TRY(jinja_parse_expression(p, true, &n->c));
    }
    if (jinja_is_name(p->at, "recursive")) {
        p->at++;
        n->flags |= JINJA_RECURSIVE;
    }
    HONE_TRY(jinja_intern(p->program, "loop", 4, &n->name));
    int soft = p->soft;
    int macros = p->macros;
    p->soft = 0;
    p->loops++;
    HONE_TRY(parse_block(p, &n->body, "else", "endfor", NULL));
    p->loops--;
    if (p->macros != macros)
        n->flags |= JINJA_CAPTURES;
    bool more = jinja_is_name(p->at++, "else");
    if (more) {
        HONE_TRY(parse_block(p, &n->other, "endfor", NULL, NULL));
        p->at++;
    }
    p->soft = soft;
    return HONE_OK;
}

/* elif becomes an IF in `other`; the chain is built from its end so that it is no recursion. */
static hone_status parse_if(parser *p, node *n)
{
    p->soft++;
    for (node *last = n;;) {
        HONE_TRY(jinja_parse_tuple(p, false, NULL, false, &last->a));
        HONE_TRY(parse_block(p, &last->body, "elif", "else", "endif"));
        const jinja_token *t = p->at++;
        if (jinja_is_name(t, "elif")) {
            node *more;
            HONE_TRY(jinja_node_new(p, JINJA_IF, t, &more));
            HONE_TRY(jinja_nodes_add(p, &n->list, more));
            last = more;
            continue;
        }
        if (jinja_is_name(t, "else")) {
            HONE_TRY(parse_block(p, &n->other, "endif", NULL, NULL));
            p->at++;
        }
        break;
    }
    p->soft--;
    for (uint32_t i = 0; i < n->list.n; i++)
        HONE_TRY(jinja_node_done(p, n->list.at[i]));
    return HONE_OK;
}

static hone_status parse_with(parser *p, node *n)
{
    while (p->at->kind != JINJA_T_END) {
        node *set;
        if (n->list.n)
            HONE_TRY(jinja_expect_op(p, ","));
        HONE_TRY(jinja_node_new(p, JINJA_SET, p->at, &set));
        HONE_TRY(parse_plain_name(p, &set->a));
        HONE_TRY(jinja_expect_op(p, "="));
        HONE_TRY(jinja_parse_expression(p, true, &set->b));
        HONE_TRY(jinja_node_done(p, set));
        HONE_TRY(jinja_nodes_add(p, &n->list, set));
    }
    HONE_TRY(parse_block(p, &n->body, "endwith", NULL, NULL));
    p->at++;
    return HONE_OK;
}

static hone_status parse_signature(parser *p, node *n)
{
    bool defaults = false;
    HONE_TRY(jinja_expect_op(p, "("));
    while (!jinja_is_op(p->at, ")")) {
        node *parameter;
        if (n->list.n)
            HONE_TRY(jinja_expect_op(p, ","));
        HONE_TRY(parse_plain_name(p, &parameter));
        if (jinja_is_op(p->at, "=")) {
            p->at++;
            defaults = true;
            HONE_TRY(jinja_parse_expression(p, true, &parameter->a));
            HONE_TRY(jinja_node_done(p, parameter));
        } else if (defaults) {
            return jinja_fail_token(p, p->at, HONE_FORMAT,
                                    "a parameter without default follows one with a default");
        }
        HONE_TRY(jinja_nodes_add(p, &n->list, parameter));
    }
    return jinja_expect_op(p, ")");
}

/* The body of a macro or caller: loops outside do not count, names like caller are noted. */
static hone_status parse_macro_body(parser *p, node *n, const char *end)
{
    node *outer = p->macro;
    int loops = p->loops, soft = p->soft;
    p->macro = n;
    p->macros++;
    p->loops = p->soft = 0;
    HONE_TRY(parse_block(p, &n->body, end, NULL, NULL));
    p->at++;
    p->macro = outer;
    p->loops = loops;
    p->soft = soft;
    return jinja_node_done(p, n);
}

static hone_status parse_macro(parser *p, node *n)
{
    node *name;
    HONE_TRY(parse_plain_name(p, &name));
    n->name = name->name;
    HONE_TRY(parse_signature(p, n));
    return parse_macro_body(p, n, "endmacro");
}

static hone_status parse_callblock(parser *p, node *n)
{
    const jinja_token *t = p->at;
    HONE_TRY(jinja_node_new(p, JINJA_MACRO, t, &n->b));
    HONE_TRY(jinja_intern(p->program, "caller", 6, &n->b->name));
    if (jinja_is_op(t, "("))
        HONE_TRY(parse_signature(p, n->b));
    HONE_TRY(jinja_parse_expression(p, true, &n->a));
    if (n->a->kind != JINJA_CALL)
        return jinja_fail_token(p, t, HONE_FORMAT, "a call block needs a call");
    return parse_macro_body(p, n->b, "endcall");
}

static hone_status parse_filterblock(parser *p, node *n)
{
    HONE_TRY(jinja_parse_filters(p, NULL, true, &n->c));
    HONE_TRY(parse_block(p, &n->body, "endfilter", NULL, NULL));
    p->at++;
    return HONE_OK;
}

static hone_status parse_generation(parser *p, node *n)
{
    HONE_TRY(parse_block(p, &n->body, "endgeneration", NULL, NULL));
    p->at++;
    return HONE_OK;
}

static hone_status parse_jump(parser *p, node *n)
{
    if (p->loops > 0)
        return HONE_OK;
    return hone_failed_(jinja_fail_at_(p->program->name, n->line, n->column, HONE_FORMAT,
                                       "'%s' outside of a loop",
                                       n->kind == JINJA_BREAK ? "break" : "continue"));
}

static hone_status parse_print(parser *p, node *n)
{
    HONE_TRY(jinja_node_new(p, JINJA_CONCAT, p->at, &n->a));
    while (p->at->kind != JINJA_T_END) {
        node *item;
        if (n->a->list.n)
            HONE_TRY(jinja_expect_op(p, ","));
        HONE_TRY(jinja_parse_expression(p, true, &item));
        HONE_TRY(jinja_nodes_add(p, &n->a->list, item));
    }
    return jinja_node_done(p, n->a);
}

typedef struct statement {
    const char *tag;
    jinja_kind kind;
    hone_status (*parse)(parser *p, node *n);
} statement;

static const statement statements[] = {
    {"set", JINJA_SET, parse_set},
    {"for", JINJA_FOR, parse_for},
    {"if", JINJA_IF, parse_if},
    {"with", JINJA_WITH, parse_with},
    {"macro", JINJA_MACRO, parse_macro},
    {"call", JINJA_CALLBLOCK, parse_callblock},
    {"filter", JINJA_FILTERBLOCK, parse_filterblock},
    {"generation", JINJA_SCOPE, parse_generation},
    {"break", JINJA_BREAK, parse_jump},
    {"continue", JINJA_CONTINUE, parse_jump},
    {"print", JINJA_OUTPUT, parse_print},
};

static hone_status fail_tag(parser *p, const jinja_token *t)
{
    const char *end_tag = NULL; /* the last of those that may come is the one that must */
    for (int i = 0; i < 4 && p->ends[i]; i++)
        end_tag = p->ends[i];
    char buf[64];
    if (t->kind == JINJA_T_EOF)
        return jinja_fail_token(p, t, HONE_FORMAT, "the template ends before {%% %s %%}",
                                end_tag ? end_tag : "its end");
    if (t->kind != JINJA_T_NAME)
        return expected(p, "the name of a tag");
    jinja_show(t, buf, sizeof buf);
    bool end = t->n > 3 && (memcmp(t->text, "end", 3) == 0 || jinja_is_name(t, "else") ||
                            jinja_is_name(t, "elif"));
    if (end && end_tag)
        return jinja_fail_token(p, t, HONE_FORMAT, "unexpected tag %s; '%s' is missing", buf,
                                end_tag);
    return jinja_fail_token(p, t, end ? HONE_FORMAT : HONE_UNSUPPORTED, "tag %s is not known", buf);
}

static hone_status parse_statement(parser *p, node **out)
{
    const jinja_token *t = p->at;
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!jinja_is_name(t, statements[i].tag))
            continue;
        HONE_TRY(jinja_node_new(p, statements[i].kind, t, out));
        p->at++;
        if (++p->nested > JINJA_NESTED_MAX)
            return jinja_fail_token(p, t, HONE_LIMIT, "nested deeper than %d levels",
                                    JINJA_NESTED_MAX);
        HONE_TRY(statements[i].parse(p, *out));
        p->nested--;
        HONE_TRY(jinja_node_done(p, *out));
        return expect_end(p);
    }
    return fail_tag(p, t);
}

static hone_status parse_data(parser *p, node **out)
{
    HONE_TRY(jinja_node_new(p, JINJA_DATA, p->at, out));
    jinja_value *v = hone_arena_alloc(&p->program->arena, sizeof *v);
    if (!v)
        return hone_fail_memory(sizeof *v, "a template");
    *v = jinja_str(p->at->text, p->at->n);
    (*out)->constant = v;
    p->at++;
    return HONE_OK;
}

static hone_status parse_output(parser *p, node **out)
{
    HONE_TRY(jinja_node_new(p, JINJA_OUTPUT, p->at++, out));
    HONE_TRY(jinja_parse_tuple(p, true, NULL, false, &(*out)->a));
    if (p->at->kind != JINJA_T_SHOWN)
        return expected(p, "}}");
    p->at++;
    return jinja_node_done(p, *out);
}

static bool at_end(const parser *p, const char *const ends[4])
{
    for (int i = 0; i < 4 && ends[i]; i++)
        if (jinja_is_name(p->at, ends[i]))
            return true;
    return false;
}

static hone_status parse_body(parser *p, jinja_nodes *body, const char *const ends[4])
{
    const char *outer[4];
    memcpy(outer, p->ends, sizeof outer);
    memcpy(p->ends, ends, sizeof p->ends);
    for (;;) {
        node *n;
        if (p->at->kind == JINJA_T_EOF) {
            if (ends[0])
                return fail_tag(p, p->at);
            break;
        }
        if (p->at->kind == JINJA_T_BEGIN) {
            p->at++;
            if (at_end(p, ends))
                break;
            HONE_TRY(parse_statement(p, &n));
        } else if (p->at->kind == JINJA_T_DATA) {
            HONE_TRY(parse_data(p, &n));
        } else {
            HONE_TRY(parse_output(p, &n));
        }
        HONE_TRY(jinja_nodes_add(p, body, n));
    }
    memcpy(p->ends, outer, sizeof outer);
    return HONE_OK;
}

hone_status jinja_parse(jinja_program *program, const jinja_token *tokens)
{
    static const char *const none[4];
    parser p = {.program = program, .at = tokens};
    return parse_body(&p, &program->body, none);
}

/* ---- programs ---- */

hone_status jinja_compile(const char *source, size_t n, const char *name, jinja_program **out)
{
    jinja_token *tokens;
    size_t count;
    *out = NULL;
    jinja_program *p = hone_calloc(1, sizeof *p);
    if (!p)
        return hone_fail_memory(sizeof *p, "a template");
    p->name = hone_strdup(name);
    hone_status s = p->name ? HONE_OK : hone_fail_memory(strlen(name), "a template's name");
    if (s == HONE_OK)
        s = jinja_lex(source, n, name, &p->arena, &tokens, &count);
    if (s == HONE_OK)
        s = jinja_parse(p, tokens);
    if (s != HONE_OK) {
        jinja_close(p);
        return s;
    }
    *out = p;
    return HONE_OK;
}

void jinja_close(jinja_program *p)
{
    if (!p)
        return;
    hone_free(p->names);
    hone_free(p->name);
    hone_arena_free(&p->arena);
    hone_free(p);
}
