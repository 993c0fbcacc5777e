/* The machine: budgets, names, expressions and calls. */
#include "text/jinja_value.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef jinja_run run;
typedef jinja_node node;

enum { CHUNK_BYTES = 16 << 10 };

/* ---- budgets ---- */

hone_status jinja_raise_(run *r, hone_status s, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!r->at)
        return hone_fail(s, "%.200s: %s", r->program->name, text);
    return jinja_fail_at_(r->program->name, r->at->line, r->at->column, s, "%s", text);
}

hone_status jinja_charge(run *r, uint64_t steps)
{
    if (steps <= r->steps) {
        r->steps -= steps;
        return HONE_OK;
    }
    r->steps = 0;
    return jinja_raise(r, HONE_LIMIT, "the template did not end within %llu steps",
                       (unsigned long long)r->limits.steps);
}

hone_status jinja_alloc(run *r, size_t count, size_t size, void *out)
{
    size_t bytes;
    if (hone_mul_overflow(count, size, &bytes) || bytes > r->limits.memory_bytes ||
        r->arena.used_bytes + r->text_bytes + bytes > r->limits.memory_bytes)
        return jinja_raise(r, HONE_LIMIT, "the template needs more than %zu bytes",
                           r->limits.memory_bytes);
    HONE_TRY(jinja_charge(r, 1 + bytes / 256));
    void *p = NULL;
    size_t need = (bytes + 15) & ~(size_t)15;
    if (need > CHUNK_BYTES / 4) {
        p = hone_arena_alloc(&r->arena, bytes);
    } else {
        if (r->chunk_left < need && (r->chunk = hone_arena_alloc(&r->arena, CHUNK_BYTES)))
            r->chunk_left = CHUNK_BYTES;
        if (r->chunk_left >= need) {
            p = r->chunk;
            r->chunk += need;
            r->chunk_left -= need;
        }
    }
    if (!p)
        return hone_fail_memory(bytes, "a rendered template");
    memcpy(out, &p, sizeof p);
    return HONE_OK;
}

hone_status jinja_enter(run *r, int levels)
{
    if (r->depth + levels > JINJA_DEPTH_MAX)
        return jinja_raise(r, HONE_LIMIT,
                           "maximum recursion depth exceeded (a macro that calls itself?)");
    r->depth += levels;
    return HONE_OK;
}

void jinja_leave(run *r, int levels)
{
    r->depth -= levels;
}

/* ---- names ---- */

hone_status jinja_scope_new(run *r, jinja_scope *parent, jinja_scope **out)
{
    HONE_TRY(jinja_alloc(r, 1, sizeof **out, out));
    (*out)->parent = parent;
    return HONE_OK;
}

hone_status jinja_scope_set(run *r, jinja_scope *s, const jinja_name *name, const jinja_value *v)
{
    HONE_TRY(jinja_charge(r, s->n / 16));
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->at[i].name == name) {
            s->at[i].value = *v;
            return HONE_OK;
        }
    }
    if (s->n == s->room) {
        uint32_t room = s->room ? 2 * s->room : 4;
        jinja_variable *more;
        HONE_TRY(jinja_alloc(r, room, sizeof *more, &more));
        if (s->n)
            memcpy(more, s->at, s->n * sizeof *more);
        s->at = more;
        s->room = room;
    }
    s->at[s->n++] = (jinja_variable){.name = name, .value = *v};
    return HONE_OK;
}

static hone_status eval_name(run *r, const jinja_scope *s, const node *n, jinja_value *out)
{
    for (; s; s = s->parent) {
        HONE_TRY(jinja_charge(r, s->n / 16));
        for (uint32_t i = 0; i < s->n; i++) {
            if (s->at[i].name == n->name && s->at[i].value.type != JINJA_V_ABSENT) {
                *out = s->at[i].value;
                return HONE_OK;
            }
        }
    }
    const jinja_builtin *row = jinja_find_function(n->name->s, n->name->n);
    if (row) {
        jinja_callable *c;
        HONE_TRY(jinja_alloc(r, 1, sizeof *c, &c));
        c->builtin = row;
        *out = (jinja_value){.type = JINJA_V_CALLABLE, .as.call = c};
        return HONE_OK;
    }
    jinja_undefined *u;
    HONE_TRY(jinja_alloc(r, 1, sizeof *u, &u));
    u->key = jinja_str(n->name->s, n->name->n);
    *out = (jinja_value){.type = JINJA_V_UNDEFINED, .as.undefined = u};
    return HONE_OK;
}

/* ---- calls ---- */

static hone_status add_positions(run *r, jinja_value *list, const jinja_value *v)
{
    jinja_value *items;
    uint32_t n;
    HONE_TRY(jinja_items(r, v, &items, &n));
    for (uint32_t i = 0; i < n; i++)
        HONE_TRY(jinja_seq_add(r, list, &items[i]));
    return HONE_OK;
}

static hone_status add_keyword(run *r, jinja_value *keys, const jinja_value *key,
                               const jinja_value *v)
{
    const jinja_value *there;
    if (key->type != JINJA_V_STR)
        return jinja_raise(r, HONE_DATA, "keywords must be strings");
    HONE_TRY(jinja_dict_get(r, keys, key, &there));
    if (there)
        return jinja_raise(r, HONE_DATA, "got multiple values for keyword argument '%.*s'",
                           key->n < 80 ? (int)key->n : 80, key->as.s);
    return jinja_dict_set(r, keys, key, v);
}

static hone_status add_keywords(run *r, jinja_value *keys, const jinja_value *v)
{
    if (v->type != JINJA_V_DICT)
        return jinja_raise(r, HONE_DATA, "argument after ** must be a mapping, not %s",
                           jinja_type_name(v));
    for (uint32_t i = 0; i < v->as.dict->n; i++)
        HONE_TRY(add_keyword(r, keys, &v->as.dict->pairs[i].key, &v->as.dict->pairs[i].value));
    return HONE_OK;
}

hone_status jinja_eval_args(run *r, jinja_scope *s, const jinja_nodes *list, jinja_args *a)
{
    jinja_value positions = {0}, keys = {0};
    if (list->n == 0)
        return HONE_OK;
    HONE_TRY(jinja_seq_new(r, JINJA_V_LIST, list->n, &positions));
    for (uint32_t i = 0; i < list->n; i++) {
        const node *n = list->at[i];
        bool keyword = n->kind == JINJA_KEYWORD;
        jinja_value v;
        HONE_TRY(jinja_eval(r, s, keyword ? n->a : n, &v));
        if (keyword && n->op != '*' && keys.type == JINJA_V_ABSENT)
            HONE_TRY(jinja_dict_new(r, JINJA_V_DICT, 0, &keys));
        if (!keyword) {
            HONE_TRY(jinja_seq_add(r, &positions, &v));
        } else if (n->op == '*') {
            HONE_TRY(add_positions(r, &positions, &v));
        } else if (n->op == 'd') {
            HONE_TRY(add_keywords(r, &keys, &v));
        } else {
            jinja_value key = jinja_str(n->name->s, n->name->n);
            HONE_TRY(add_keyword(r, &keys, &key, &v));
        }
    }
    a->v = positions.as.seq->items;
    a->n = positions.as.seq->n;
    if (keys.type == JINJA_V_DICT) {
        a->keys = keys.as.dict->pairs;
        a->n_keys = keys.as.dict->n;
    }
    return HONE_OK;
}

hone_status jinja_get_int(run *r, const jinja_value *v, int64_t fallback, int64_t *out)
{
    *out = fallback;
    if (v->type == JINJA_V_ABSENT || jinja_as_int(v, out))
        return HONE_OK;
    if (v->type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, v);
    return jinja_raise(r, HONE_DATA, "'%s' object cannot be interpreted as an integer",
                       jinja_type_name(v));
}

hone_status jinja_get_flag(run *r, const jinja_value *v, bool *out)
{
    *out = false;
    return v->type == JINJA_V_ABSENT ? HONE_OK : jinja_truth(r, v, out);
}

enum { PARAMETERS_MAX = 8 };

/* Index of a word in "a b c", -1 if it is none; *count of words. */
static int find_word(const char *words, const char *name, size_t n, uint32_t *count)
{
    int found = -1;
    *count = 0;
    for (const char *p = words; *p;) {
        size_t length = strcspn(p, " ");
        if (length == n && memcmp(p, name, n) == 0)
            found = (int)*count;
        ++*count;
        p += length;
        p += *p == ' ';
    }
    return found;
}

hone_status jinja_call_builtin(run *r, const jinja_builtin *row, const jinja_args *a,
                               jinja_value *out)
{
    HONE_TRY(jinja_charge(r, 2));
    if (!row->params)
        return row->fn(r, a, out);
    jinja_value v[PARAMETERS_MAX] = {{0}};
    uint32_t count;
    find_word(row->params, "", 0, &count);
    if (a->n > count)
        return jinja_raise(r, HONE_DATA, "%s takes at most %u arguments (%u given)", row->name,
                           count, a->n);
    if (a->n)
        memcpy(v, a->v, a->n * sizeof *v);
    for (uint32_t i = 0; i < a->n_keys; i++) {
        const jinja_value *key = &a->keys[i].key;
        int at = find_word(row->params, key->as.s, key->n, &count);
        int bytes = key->n < 80 ? (int)key->n : 80;
        if (at < 0)
            return jinja_raise(r, HONE_DATA, "%s got an unexpected keyword argument '%.*s'",
                               row->name, bytes, key->as.s);
        if (v[at].type != JINJA_V_ABSENT)
            return jinja_raise(r, HONE_DATA, "%s got multiple values for argument '%.*s'",
                               row->name, bytes, key->as.s);
        v[at] = a->keys[i].value;
    }
    for (uint32_t i = 0; i < row->required; i++)
        if (v[i].type == JINJA_V_ABSENT)
            return jinja_raise(r, HONE_DATA, "%s: argument %u is missing", row->name, i + 1);
    jinja_args bound = {.self = a->self, .v = v, .n = count};
    return row->fn(r, &bound, out);
}

hone_status jinja_call(run *r, const jinja_value *callee, const jinja_args *a, jinja_value *out)
{
    if (callee->type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, callee);
    jinja_args with = *a;
    if (callee->type == JINJA_V_CALLABLE) {
        const jinja_callable *c = callee->as.call;
        if (c->macro)
            return jinja_call_macro(r, c, a, out);
        with.self = c->self;
        return jinja_call_builtin(r, c->builtin, &with, out);
    }
    /* loop(...), joiner(): the object's own row has no name */
    const jinja_builtin *row = jinja_find_method((jinja_type)callee->type, "", 0);
    if (!row)
        return jinja_raise(r, HONE_DATA, "'%s' object is not callable", jinja_type_name(callee));
    with.self = *callee;
    return jinja_call_builtin(r, row, &with, out);
}

static hone_status eval_call(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    jinja_value callee;
    jinja_args a = {0};
    HONE_TRY(jinja_eval(r, s, n->a, &callee));
    HONE_TRY(jinja_eval_args(r, s, &n->list, &a));
    r->at = n;
    return jinja_call(r, &callee, &a, out);
}

static hone_status eval_filter(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    jinja_args a = {0};
    const char *what = n->kind == JINJA_TEST ? "test" : "filter";
    HONE_TRY(jinja_eval(r, s, n->a, &a.self));
    HONE_TRY(jinja_eval_args(r, s, &n->list, &a));
    r->at = n;
    if (!n->row)
        return jinja_raise(r, HONE_UNSUPPORTED, "%s '%.60s' is not known", what, n->name->s);
    return jinja_call_builtin(r, n->row, &a, out);
}

/* ---- operators ---- */

static hone_status compare(run *r, const node *n, const jinja_value *a, const jinja_value *b,
                           bool *out)
{
    int c;
    r->at = n;
    switch (n->op) {
    case '=':
        return jinja_equal(r, a, b, out);
    case '!':
        HONE_TRY(jinja_equal(r, a, b, out));
        *out = !*out;
        return HONE_OK;
    case 'i':
    case 'n':
        HONE_TRY(jinja_contains(r, b, a, out));
        *out = *out == (n->op == 'i');
        return HONE_OK;
    default:
        break;
    }
    char text[3] = {n->op == 'l' ? '<' : n->op == 'g' ? '>' : n->op, 0, 0};
    if (n->op == 'l' || n->op == 'g')
        text[1] = '=';
    HONE_TRY(jinja_order(r, a, b, text, &c));
    *out = c != 2 && (n->op == '<' ? c < 0 : n->op == '>' ? c > 0 : n->op == 'l' ? c <= 0 : c >= 0);
    return HONE_OK;
}

static hone_status eval_compare(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    jinja_value left, right;
    bool yes = true;
    HONE_TRY(jinja_eval(r, s, n->a, &left));
    for (uint32_t i = 0; yes && i < n->list.n; i++) {
        HONE_TRY(jinja_eval(r, s, n->list.at[i]->b, &right));
        HONE_TRY(compare(r, n->list.at[i], &left, &right, &yes));
        left = right;
    }
    *out = jinja_bool(yes);
    return HONE_OK;
}

static hone_status eval_unary(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    jinja_value v;
    int64_t i;
    HONE_TRY(jinja_eval(r, s, n->a, &v));
    r->at = n;
    if (v.type == JINJA_V_FLOAT) {
        *out = jinja_float(n->op == '-' ? -v.as.f : v.as.f);
        return HONE_OK;
    }
    if (jinja_as_int(&v, &i)) {
        if (n->op == '-' && i == INT64_MIN)
            return jinja_raise(r, HONE_UNSUPPORTED, "a whole number beyond 64 bits");
        *out = jinja_int(n->op == '-' ? -i : i);
        return HONE_OK;
    }
    if (v.type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, &v);
    return jinja_raise(r, HONE_DATA, "bad operand type for unary %c: '%s'", n->op,
                       jinja_type_name(&v));
}

static hone_status eval_logic(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    bool yes;
    HONE_TRY(jinja_eval(r, s, n->a, out));
    HONE_TRY(jinja_truth(r, out, &yes));
    if (n->kind == JINJA_NOT) {
        *out = jinja_bool(!yes);
        return HONE_OK;
    }
    return yes == (n->kind == JINJA_AND) ? jinja_eval(r, s, n->b, out) : HONE_OK;
}

static hone_status eval_condition(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    jinja_value test;
    bool yes;
    HONE_TRY(jinja_eval(r, s, n->b, &test));
    HONE_TRY(jinja_truth(r, &test, &yes));
    if (yes || n->c)
        return jinja_eval(r, s, yes ? n->a : n->c, out);
    jinja_undefined *u;
    HONE_TRY(jinja_alloc(r, 1, sizeof *u, &u));
    u->hint = "the inline if-expression evaluated to false and no else section was defined.";
    *out = (jinja_value){.type = JINJA_V_UNDEFINED, .as.undefined = u};
    return HONE_OK;
}

static hone_status eval_concat(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    jinja_text t = {0};
    hone_status status = HONE_OK;
    jinja_value v, *parts;
    HONE_TRY(jinja_alloc(r, n->list.n, sizeof *parts, &parts));
    for (uint32_t i = 0; i < n->list.n; i++)
        HONE_TRY(jinja_eval(r, s, n->list.at[i], &parts[i]));
    r->at = n;
    if (n->list.n == 2) { /* the usual way to build up a text */
        HONE_TRY(jinja_to_str(r, &parts[0], &v));
        HONE_TRY(jinja_to_str(r, &parts[1], &parts[1]));
        return jinja_str_join(r, &v, &parts[1], out);
    }
    for (uint32_t i = 0; status == HONE_OK && i < n->list.n; i++)
        status = jinja_print(r, &t, &parts[i]);
    return jinja_text_take(r, &t, status, out);
}

static hone_status eval_list(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    jinja_type type = n->kind == JINJA_LIST ? JINJA_V_LIST : JINJA_V_TUPLE;
    jinja_value list;
    HONE_TRY(jinja_seq_new(r, type, n->list.n, &list));
    for (uint32_t i = 0; i < n->list.n; i++)
        HONE_TRY(jinja_eval(r, s, n->list.at[i], &list.as.seq->items[i]));
    list.as.seq->n = n->list.n;
    *out = list;
    return HONE_OK;
}

static hone_status eval_dict(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    jinja_value dict;
    HONE_TRY(jinja_dict_new(r, JINJA_V_DICT, n->list.n / 2, &dict));
    for (uint32_t i = 0; i + 1 < n->list.n; i += 2) {
        jinja_value key, value;
        HONE_TRY(jinja_eval(r, s, n->list.at[i], &key));
        HONE_TRY(jinja_eval(r, s, n->list.at[i + 1], &value));
        r->at = n->list.at[i];
        HONE_TRY(jinja_dict_set(r, &dict, &key, &value));
    }
    *out = dict;
    return HONE_OK;
}

static hone_status eval_item(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    jinja_value v, key, bounds[3] = {{0}};
    HONE_TRY(jinja_eval(r, s, n->a, &v));
    if (n->b->kind != JINJA_SLICE) {
        HONE_TRY(jinja_eval(r, s, n->b, &key));
        r->at = n;
        return jinja_get_item(r, &v, &key, out);
    }
    const node *parts[3] = {n->b->a, n->b->b, n->b->c};
    for (int i = 0; i < 3; i++)
        if (parts[i])
            HONE_TRY(jinja_eval(r, s, parts[i], &bounds[i]));
    r->at = n;
    return jinja_get_slice(r, &v, &bounds[0], &bounds[1], &bounds[2], out);
}

static hone_status eval_attribute(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    jinja_value v;
    HONE_TRY(jinja_eval(r, s, n->a, &v));
    r->at = n;
    return jinja_get_attr(r, &v, n->name->s, n->name->n, out);
}

static hone_status eval_binary(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    jinja_value a, b;
    HONE_TRY(jinja_eval(r, s, n->a, &a));
    HONE_TRY(jinja_eval(r, s, n->b, &b));
    r->at = n;
    return jinja_arithmetic(r, n->op, &a, &b, out);
}

typedef hone_status eval_fn(run *r, jinja_scope *s, const node *n, jinja_value *out);

static hone_status eval_node(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    static eval_fn *const table[] = {
        [JINJA_NAME] = NULL, /* takes the scope as it is */
        [JINJA_LIST] = eval_list,     [JINJA_TUPLE] = eval_list,
        [JINJA_DICT] = eval_dict,     [JINJA_COND] = eval_condition,
        [JINJA_AND] = eval_logic,     [JINJA_OR] = eval_logic,
        [JINJA_NOT] = eval_logic,     [JINJA_COMPARE] = eval_compare,
        [JINJA_BINARY] = eval_binary, [JINJA_UNARY] = eval_unary,
        [JINJA_CONCAT] = eval_concat, [JINJA_ATTR] = eval_attribute,
        [JINJA_ITEM] = eval_item,     [JINJA_CALL] = eval_call,
        [JINJA_FILTER] = eval_filter, [JINJA_TEST] = eval_filter,
    };
    return table[n->kind](r, s, n, out);
}

hone_status jinja_eval(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    r->at = n;
    HONE_TRY(jinja_charge(r, 1));
    if (n->kind == JINJA_CONST) {
        *out = *n->constant;
        return HONE_OK;
    }
    if (n->kind == JINJA_NAME)
        return eval_name(r, s, n, out);
    HONE_TRY(jinja_enter(r, 1));
    jinja_value v = {0};
    hone_status status = eval_node(r, s, n, &v);
    *out = v;
    jinja_leave(r, 1);
    return status;
}
