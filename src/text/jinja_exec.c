/* Statements: output, branches, loops, assignments, macros; and a rendering from end to end. */
#include "text/jinja_value.h"

#include <string.h>

typedef jinja_run run;
typedef jinja_node node;

enum { /* of a rendering, unless the caller says otherwise */
       STEPS_MAX = 100000000,
       MEMORY_MAX = 512 << 20,
       OUTPUT_MAX = 64 << 20
};

/* ---- output into a text of its own ---- */

static hone_status capture(run *r, jinja_scope *s, const jinja_nodes *body, jinja_value *out)
{
    jinja_text text = {0}, *outer = r->out;
    r->out = &text;
    hone_status status = jinja_exec(r, s, body);
    r->out = outer;
    return jinja_text_take(r, &text, status, out);
}

/* A chain of filters (innermost first) over a value. */
static hone_status apply_filters(run *r, jinja_scope *s, const node *n, jinja_value *v)
{
    if (!n)
        return HONE_OK;
    HONE_TRY(jinja_enter(r, 1));
    hone_status status = apply_filters(r, s, n->a, v);
    jinja_leave(r, 1);
    HONE_TRY(status);
    jinja_args a = {0};
    HONE_TRY(jinja_eval_args(r, s, &n->list, &a));
    a.self = *v;
    r->at = n;
    if (!n->row)
        return jinja_raise(r, HONE_UNSUPPORTED, "filter '%.60s' is not known", n->name->s);
    return jinja_call_builtin(r, n->row, &a, v);
}

/* ---- assignments ---- */

static hone_status assign(run *r, jinja_scope *s, const node *target, const jinja_value *v);

static hone_status unpack(run *r, jinja_scope *s, const node *target, const jinja_value *v)
{
    jinja_value *items;
    uint32_t n;
    if (v->type != JINJA_V_UNDEFINED && v->type != JINJA_V_STR && v->type != JINJA_V_DICT &&
        !jinja_is_sequence(v))
        return jinja_raise(r, HONE_DATA, "cannot unpack non-iterable %s object",
                           jinja_type_name(v));
    HONE_TRY(jinja_items(r, v, &items, &n));
    if (n > target->list.n)
        return jinja_raise(r, HONE_DATA, "too many values to unpack (expected %u)", target->list.n);
    if (n < target->list.n)
        return jinja_raise(r, HONE_DATA, "not enough values to unpack (expected %u, got %u)",
                           target->list.n, n);
    for (uint32_t i = 0; i < n; i++)
        HONE_TRY(assign(r, s, target->list.at[i], &items[i]));
    return HONE_OK;
}

static hone_status assign(run *r, jinja_scope *s, const node *target, const jinja_value *v)
{
    if (target->kind == JINJA_NAME)
        return jinja_scope_set(r, s, target->name, v);
    if (target->kind == JINJA_TUPLE)
        return unpack(r, s, target, v);
    node name = *target; /* the namespace's name */
    jinja_value space;
    name.kind = JINJA_NAME;
    HONE_TRY(jinja_eval(r, s, &name, &space));
    r->at = target;
    if (space.type != JINJA_V_NAMESPACE)
        return jinja_raise(r, HONE_DATA, "cannot assign attribute on non-namespace object");
    return jinja_dict_set(r, &space, target->a->constant, v);
}

static hone_status exec_set(run *r, jinja_scope *s, const node *n)
{
    jinja_value v;
    if (n->b) {
        HONE_TRY(jinja_eval(r, s, n->b, &v));
    } else {
        jinja_scope *inner;
        HONE_TRY(jinja_scope_new(r, s, &inner));
        HONE_TRY(capture(r, inner, &n->body, &v));
        HONE_TRY(apply_filters(r, s, n->c, &v));
    }
    r->at = n;
    return assign(r, s, n->a, &v);
}

/* ---- branches and loops ---- */

static hone_status exec_if(run *r, jinja_scope *s, const node *n)
{
    const node *branch = n;
    for (uint32_t i = 0;; i++) {
        jinja_value v;
        bool yes;
        HONE_TRY(jinja_eval(r, s, branch->a, &v));
        HONE_TRY(jinja_truth(r, &v, &yes));
        if (yes)
            return jinja_exec(r, s, &branch->body);
        if (i == n->list.n)
            return jinja_exec(r, s, &n->other);
        branch = n->list.at[i];
    }
}

/* Only the items for which the loop's own `if` holds. */
static hone_status filter_items(run *r, jinja_scope *s, const node *n, jinja_value **items,
                                uint32_t *count)
{
    jinja_value kept;
    HONE_TRY(jinja_seq_new(r, JINJA_V_LIST, *count, &kept));
    jinja_scope *inner;
    HONE_TRY(jinja_scope_new(r, s, &inner));
    for (uint32_t i = 0; i < *count; i++) {
        jinja_value v;
        bool yes;
        HONE_TRY(assign(r, inner, n->a, &(*items)[i]));
        HONE_TRY(jinja_eval(r, inner, n->c, &v));
        HONE_TRY(jinja_truth(r, &v, &yes));
        if (yes)
            HONE_TRY(jinja_seq_add(r, &kept, &(*items)[i]));
    }
    *items = kept.as.seq->items;
    *count = kept.as.seq->n;
    return HONE_OK;
}

static hone_status open_loop(run *r, jinja_scope *s, const node *n, const jinja_value *over,
                             uint32_t depth, jinja_loop **out)
{
    jinja_value *items;
    uint32_t count;
    if (over->type != JINJA_V_UNDEFINED && over->type != JINJA_V_STR &&
        over->type != JINJA_V_DICT && !jinja_is_sequence(over))
        return jinja_raise(r, HONE_DATA, "'%s' object is not iterable", jinja_type_name(over));
    HONE_TRY(jinja_items(r, over, &items, &count));
    if (n->c)
        HONE_TRY(filter_items(r, s, n, &items, &count));
    HONE_TRY(jinja_alloc(r, 1, sizeof **out, out));
    **out = (jinja_loop){.items = items, .n = count, .depth = depth, .node = n, .scope = s};
    return HONE_OK;
}

hone_status jinja_exec_for(run *r, jinja_scope *s, const node *n, const jinja_value *over,
                           uint32_t depth)
{
    jinja_loop *loop;
    HONE_TRY(open_loop(r, s, n, over, depth, &loop));
    jinja_value value = {.type = JINJA_V_LOOP, .as.loop = loop};
    jinja_scope *inner = NULL;
    for (uint32_t i = 0; i < loop->n; i++) {
        loop->index = i;
        if (!inner || (n->flags & (JINJA_CAPTURES | JINJA_RECURSIVE)))
            HONE_TRY(jinja_scope_new(r, s, &inner));
        inner->n = 0;
        HONE_TRY(jinja_scope_set(r, inner, n->name, &value));
        r->at = n;
        HONE_TRY(assign(r, inner, n->a, &loop->items[i]));
        HONE_TRY(jinja_exec(r, inner, &n->body));
        bool stop = r->flow == JINJA_BROKE;
        r->flow = JINJA_GO;
        if (stop)
            break;
    }
    if (loop->n > 0 || n->other.n == 0)
        return HONE_OK;
    HONE_TRY(jinja_scope_new(r, s, &inner));
    return jinja_exec(r, inner, &n->other);
}

static hone_status exec_for(run *r, jinja_scope *s, const node *n)
{
    jinja_value over;
    HONE_TRY(jinja_eval(r, s, n->b, &over));
    r->at = n;
    return jinja_exec_for(r, s, n, &over, 0);
}

static hone_status exec_break(run *r, jinja_scope *s, const node *n)
{
    (void)s;
    r->flow = n->kind == JINJA_BREAK ? JINJA_BROKE : JINJA_CONTINUED;
    return HONE_OK;
}

/* ---- scopes and macros ---- */

static hone_status exec_with(run *r, jinja_scope *s, const node *n)
{
    jinja_scope *inner;
    jinja_value v;
    HONE_TRY(jinja_scope_new(r, s, &inner));
    for (uint32_t i = 0; i < n->list.n; i++) {
        HONE_TRY(jinja_eval(r, s, n->list.at[i]->b, &v)); /* not in the new scope */
        HONE_TRY(assign(r, inner, n->list.at[i]->a, &v));
    }
    return jinja_exec(r, inner, &n->body);
}

static hone_status exec_scope(run *r, jinja_scope *s, const node *n)
{
    jinja_scope *inner;
    HONE_TRY(jinja_scope_new(r, s, &inner));
    return jinja_exec(r, inner, &n->body);
}

static hone_status make_macro(run *r, jinja_scope *s, const node *n, jinja_value *out)
{
    jinja_callable *c;
    HONE_TRY(jinja_alloc(r, 1, sizeof *c, &c));
    *c = (jinja_callable){.macro = n, .scope = s};
    *out = (jinja_value){.type = JINJA_V_CALLABLE, .as.call = c};
    return HONE_OK;
}

static hone_status exec_macro(run *r, jinja_scope *s, const node *n)
{
    jinja_value v;
    HONE_TRY(make_macro(r, s, n, &v));
    return jinja_scope_set(r, s, n->name, &v);
}

/* Sets a variable if the template names it at all. */
static hone_status set_named(run *r, jinja_scope *s, const char *text, const jinja_value *v)
{
    const jinja_name *name = jinja_find_name(r->program, text, strlen(text));
    return name ? jinja_scope_set(r, s, name, v) : HONE_OK;
}

static bool is_parameter(const node *m, const jinja_value *key)
{
    for (uint32_t i = 0; i < m->list.n; i++)
        if (m->list.at[i]->name->n == key->n &&
            memcmp(m->list.at[i]->name->s, key->as.s, key->n) == 0)
            return true;
    return false;
}

/* Arguments by name that are no parameter: `caller`, or what `kwargs` catches. */
static hone_status bind_rest(run *r, jinja_scope *s, const node *m, const jinja_args *a)
{
    jinja_value rest, caller = {0};
    HONE_TRY(jinja_dict_new(r, JINJA_V_DICT, 0, &rest));
    for (uint32_t i = 0; i < a->n_keys; i++) {
        const jinja_value *key = &a->keys[i].key;
        if (is_parameter(m, key)) {
            for (uint32_t k = 0; k < m->list.n && k < a->n; k++)
                if (m->list.at[k]->name->n == key->n &&
                    memcmp(m->list.at[k]->name->s, key->as.s, key->n) == 0 &&
                    !(m->flags & JINJA_USES_KWARGS))
                    return jinja_raise(r, HONE_DATA, "macro '%s' takes no keyword argument '%.*s'",
                                       m->name->s, (int)key->n, key->as.s);
            continue;
        }
        if ((m->flags & JINJA_USES_CALLER) && key->n == 6 && memcmp(key->as.s, "caller", 6) == 0)
            caller = a->keys[i].value;
        else if (m->flags & JINJA_USES_KWARGS)
            HONE_TRY(jinja_dict_set(r, &rest, key, &a->keys[i].value));
        else
            return jinja_raise(r, HONE_DATA, "macro '%s' takes no keyword argument '%.*s'",
                               m->name->s, key->n < 80 ? (int)key->n : 80, key->as.s);
    }
    if (m->flags & JINJA_USES_KWARGS)
        HONE_TRY(set_named(r, s, "kwargs", &rest));
    if ((m->flags & JINJA_USES_CALLER) && caller.type != JINJA_V_ABSENT)
        HONE_TRY(set_named(r, s, "caller", &caller));
    return HONE_OK;
}

static hone_status bind_positions(run *r, jinja_scope *s, const node *m, const jinja_args *a)
{
    if (a->n > m->list.n && !(m->flags & JINJA_USES_VARARGS))
        return jinja_raise(r, HONE_DATA, "macro '%s' takes not more than %u argument(s)",
                           m->name->s, m->list.n);
    if (m->flags & JINJA_USES_VARARGS) {
        jinja_value rest;
        HONE_TRY(jinja_seq_new(r, JINJA_V_TUPLE, 0, &rest));
        for (uint32_t i = m->list.n; i < a->n; i++)
            HONE_TRY(jinja_seq_add(r, &rest, &a->v[i]));
        HONE_TRY(set_named(r, s, "varargs", &rest));
    }
    return HONE_OK;
}

static hone_status bind_parameters(run *r, jinja_scope *s, const node *m, const jinja_args *a)
{
    for (uint32_t i = 0; i < m->list.n; i++) {
        const node *parameter = m->list.at[i];
        jinja_value v = {0};
        if (i < a->n)
            v = a->v[i];
        for (uint32_t k = 0; i >= a->n && k < a->n_keys; k++)
            if (a->keys[k].key.n == parameter->name->n &&
                memcmp(a->keys[k].key.as.s, parameter->name->s, parameter->name->n) == 0)
                v = a->keys[k].value;
        if (v.type == JINJA_V_ABSENT && parameter->a)
            HONE_TRY(jinja_eval(r, s, parameter->a, &v));
        if (v.type == JINJA_V_ABSENT) {
            jinja_undefined *u;
            jinja_value hint;
            HONE_TRY(jinja_alloc(r, 1, sizeof *u, &u));
            jinja_text t = {0};
            hone_status status = jinja_text_cstr(r, &t, "parameter '");
            if (status == HONE_OK)
                status = jinja_text_cstr(r, &t, parameter->name->s);
            if (status == HONE_OK)
                status = jinja_text_cstr(r, &t, "' was not provided");
            HONE_TRY(jinja_text_take(r, &t, status, &hint));
            u->hint = hint.as.s;
            v = (jinja_value){.type = JINJA_V_UNDEFINED, .as.undefined = u};
        }
        HONE_TRY(jinja_scope_set(r, s, parameter->name, &v));
    }
    return HONE_OK;
}

hone_status jinja_call_macro(run *r, const jinja_callable *m, const jinja_args *a, jinja_value *out)
{
    jinja_scope *s;
    HONE_TRY(jinja_scope_new(r, m->scope, &s));
    HONE_TRY(bind_positions(r, s, m->macro, a));
    HONE_TRY(bind_rest(r, s, m->macro, a));
    HONE_TRY(jinja_enter(r, JINJA_CALL_DEPTH));
    hone_status status = bind_parameters(r, s, m->macro, a);
    if (status == HONE_OK)
        status = capture(r, s, &m->macro->body, out);
    jinja_leave(r, JINJA_CALL_DEPTH);
    return status;
}

static hone_status exec_callblock(run *r, jinja_scope *s, const node *n)
{
    jinja_value callee, caller, v;
    jinja_args a = {0};
    HONE_TRY(make_macro(r, s, n->b, &caller));
    HONE_TRY(jinja_eval(r, s, n->a->a, &callee));
    HONE_TRY(jinja_eval_args(r, s, &n->a->list, &a));
    jinja_pair *keys;
    HONE_TRY(jinja_alloc(r, (size_t)a.n_keys + 1, sizeof *keys, &keys));
    if (a.n_keys)
        memcpy(keys, a.keys, a.n_keys * sizeof *keys);
    keys[a.n_keys++] = (jinja_pair){.key = jinja_cstr("caller"), .value = caller};
    a.keys = keys;
    r->at = n->a;
    HONE_TRY(jinja_call(r, &callee, &a, &v));
    return jinja_print(r, r->out, &v);
}

static hone_status exec_filterblock(run *r, jinja_scope *s, const node *n)
{
    jinja_value v;
    jinja_scope *inner;
    HONE_TRY(jinja_scope_new(r, s, &inner));
    HONE_TRY(capture(r, inner, &n->body, &v));
    HONE_TRY(apply_filters(r, inner, n->c, &v));
    return jinja_print(r, r->out, &v);
}

static hone_status exec_data(run *r, jinja_scope *s, const node *n)
{
    (void)s;
    return jinja_text_add(r, r->out, n->constant->as.s, n->constant->n);
}

static hone_status exec_output(run *r, jinja_scope *s, const node *n)
{
    jinja_value v;
    HONE_TRY(jinja_eval(r, s, n->a, &v));
    r->at = n->a;
    return jinja_print(r, r->out, &v);
}

typedef hone_status exec_fn(run *r, jinja_scope *s, const node *n);

static hone_status exec_node(run *r, jinja_scope *s, const node *n)
{
    static exec_fn *const table[] = {
        [JINJA_DATA] = exec_data,
        [JINJA_OUTPUT] = exec_output,
        [JINJA_IF] = exec_if,
        [JINJA_FOR] = exec_for,
        [JINJA_SET] = exec_set,
        [JINJA_WITH] = exec_with,
        [JINJA_MACRO] = exec_macro,
        [JINJA_CALLBLOCK] = exec_callblock,
        [JINJA_FILTERBLOCK] = exec_filterblock,
        [JINJA_SCOPE] = exec_scope,
        [JINJA_BREAK] = exec_break,
        [JINJA_CONTINUE] = exec_break,
    };
    return table[n->kind](r, s, n);
}

hone_status jinja_exec(run *r, jinja_scope *s, const jinja_nodes *body)
{
    HONE_TRY(jinja_enter(r, 2));
    hone_status status = HONE_OK;
    for (uint32_t i = 0; status == HONE_OK && i < body->n && r->flow == JINJA_GO; i++) {
        r->at = body->at[i];
        status = jinja_charge(r, 1);
        if (status == HONE_OK)
            status = exec_node(r, s, body->at[i]);
    }
    jinja_leave(r, 2);
    return status;
}

/* ---- a rendering ---- */

static hone_status set_variables(run *r, const json_t *variables, jinja_scope *s)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)variables, key, value)
    {
        jinja_value v;
        if (!jinja_find_name(r->program, key, strlen(key)))
            continue;
        HONE_TRY(jinja_from_json(r, value, 0, &v));
        HONE_TRY(set_named(r, s, key, &v));
    }
    return HONE_OK;
}

static hone_status render(run *r, const json_t *variables)
{
    jinja_scope *outer, *s;
    HONE_TRY(jinja_scope_new(r, NULL, &outer));
    HONE_TRY(set_variables(r, variables, outer));
    HONE_TRY(jinja_scope_new(r, outer, &s));
    return jinja_exec(r, s, &r->program->body);
}

hone_status jinja_render(const jinja_program *p, const json_t *variables, time_t now,
                         const jinja_limits *limits, char **text, size_t *bytes)
{
    jinja_text out = {0};
    run r = {.program = p, .out = &out, .now = now};
    if (limits)
        r.limits = *limits;
    if (!r.limits.steps)
        r.limits.steps = STEPS_MAX;
    if (!r.limits.memory_bytes)
        r.limits.memory_bytes = MEMORY_MAX;
    if (!r.limits.output_bytes)
        r.limits.output_bytes = OUTPUT_MAX;
    r.steps = r.limits.steps;
    hone_status s = render(&r, variables);
    if (s == HONE_OK)
        s = jinja_text_add(&r, &out, "", 1);
    hone_arena_free(&r.arena);
    if (s != HONE_OK) {
        jinja_text_free(&r, &out);
        return s;
    }
    *text = out.s;
    *bytes = out.n - 1;
    return HONE_OK;
}
