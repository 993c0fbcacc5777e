/* Methods of dictionaries, lists, loops and the rest, and the functions that a template may call.
 */
#include "text/jinja_value.h"

#include <math.h>
#include <string.h>

typedef jinja_run run;
typedef jinja_value value;

const jinja_builtin *jinja_find_row(const jinja_builtin *rows, size_t count, const char *name,
                                    size_t n)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(rows[i].name) == n && memcmp(rows[i].name, name, n) == 0)
            return &rows[i];
    return NULL;
}

/* ---- dictionaries ---- */

static hone_status m_get(run *r, const jinja_args *a, value *out)
{
    const value *found;
    HONE_TRY(jinja_dict_get(r, &a->self, &a->v[0], &found));
    *out = found ? *found : a->v[1].type == JINJA_V_ABSENT ? jinja_none : a->v[1];
    return HONE_OK;
}

/* Keys (1), values (2) or both as tuples (3). */
static hone_status view(run *r, const value *dict, int what, value *out)
{
    static const char *const names[] = {"", "dict_keys", "dict_values", "dict_items"};
    const jinja_dict *d = dict->as.dict;
    HONE_TRY(jinja_seq_new(r, JINJA_V_VIEW, d->n, out));
    out->as.seq->name = names[what];
    for (uint32_t i = 0; i < d->n; i++) {
        value item = what == 1 ? d->pairs[i].key : d->pairs[i].value;
        if (what == 3) {
            HONE_TRY(jinja_seq_new(r, JINJA_V_TUPLE, 2, &item));
            HONE_TRY(jinja_seq_add(r, &item, &d->pairs[i].key));
            HONE_TRY(jinja_seq_add(r, &item, &d->pairs[i].value));
        }
        HONE_TRY(jinja_seq_add(r, out, &item));
    }
    return jinja_charge(r, d->n);
}

static hone_status m_keys(run *r, const jinja_args *a, value *out)
{
    return view(r, &a->self, 1, out);
}

static hone_status m_values(run *r, const jinja_args *a, value *out)
{
    return view(r, &a->self, 2, out);
}

static hone_status m_items(run *r, const jinja_args *a, value *out)
{
    return view(r, &a->self, 3, out);
}

static hone_status m_self(run *r, const jinja_args *a, value *out) /* copy(): nothing changes */
{
    (void)r;
    *out = a->self;
    return HONE_OK;
}

static const jinja_builtin dict_methods[] = {
    {"get", m_get, "key default", 1}, {"items", m_items, "", 0}, {"keys", m_keys, "", 0},
    {"values", m_values, "", 0},      {"copy", m_self, "", 0},
};

/* ---- lists and tuples ---- */

static hone_status m_count(run *r, const jinja_args *a, value *out)
{
    int64_t count = 0;
    value *items;
    uint32_t n;
    HONE_TRY(jinja_items(r, &a->self, &items, &n));
    for (uint32_t i = 0; i < n; i++) {
        bool same;
        HONE_TRY(jinja_equal(r, &items[i], &a->v[0], &same));
        count += same;
    }
    *out = jinja_int(count);
    return HONE_OK;
}

static hone_status m_index(run *r, const jinja_args *a, value *out)
{
    value *items;
    uint32_t n;
    HONE_TRY(jinja_items(r, &a->self, &items, &n));
    for (uint32_t i = 0; i < n; i++) {
        bool same;
        HONE_TRY(jinja_equal(r, &items[i], &a->v[0], &same));
        if (same) {
            *out = jinja_int(i);
            return HONE_OK;
        }
    }
    return jinja_raise(r, HONE_DATA, "the value is not in the %s", jinja_type_name(&a->self));
}

static const jinja_builtin list_methods[] = {
    {"count", m_count, "value", 1}, {"index", m_index, "value", 1}, {"copy", m_self, "", 0}};

static const jinja_builtin tuple_methods[] = {{"count", m_count, "value", 1},
                                              {"index", m_index, "value", 1}};

/* ---- numbers ---- */

static hone_status m_is_integer(run *r, const jinja_args *a, value *out)
{
    (void)r;
    *out = jinja_bool(isfinite(a->self.as.f) && trunc(a->self.as.f) == a->self.as.f);
    return HONE_OK;
}

static const jinja_builtin float_methods[] = {{"is_integer", m_is_integer, "", 0}};

/* ---- loops ---- */

static hone_status m_cycle(run *r, const jinja_args *a, value *out)
{
    if (a->n == 0 || a->n_keys)
        return jinja_raise(r, HONE_DATA, "no items for cycling given");
    *out = a->v[a->self.as.loop->index % a->n];
    return HONE_OK;
}

static hone_status m_changed(run *r, const jinja_args *a, value *out)
{
    jinja_loop *l = a->self.as.loop;
    value now;
    bool same = false;
    HONE_TRY(jinja_seq_new(r, JINJA_V_TUPLE, a->n, &now));
    for (uint32_t i = 0; i < a->n; i++)
        HONE_TRY(jinja_seq_add(r, &now, &a->v[i]));
    if (l->changed.type != JINJA_V_ABSENT)
        HONE_TRY(jinja_equal(r, &l->changed, &now, &same));
    l->changed = now;
    *out = jinja_bool(!same);
    return HONE_OK;
}

/* loop(items): the body of a recursive loop once more, its output as text. */
static hone_status m_recurse(run *r, const jinja_args *a, value *out)
{
    const jinja_loop *l = a->self.as.loop;
    if (!(l->node->flags & JINJA_RECURSIVE))
        return jinja_raise(r, HONE_DATA,
                           "The loop must have the 'recursive' marker to be called recursively.");
    jinja_text t = {0}, *outer = r->out;
    HONE_TRY(jinja_enter(r, JINJA_CALL_DEPTH));
    r->out = &t;
    hone_status s = jinja_exec_for(r, l->scope, l->node, &a->v[0], l->depth + 1);
    r->out = outer;
    jinja_leave(r, JINJA_CALL_DEPTH);
    return jinja_text_take(r, &t, s, out);
}

static const jinja_builtin loop_methods[] = {
    {"cycle", m_cycle, NULL, 0}, {"changed", m_changed, NULL, 0}, {"", m_recurse, "iterable", 1}};

/* ---- cycler, joiner: a sequence whose `at` goes on ---- */

static hone_status m_next(run *r, const jinja_args *a, value *out)
{
    jinja_seq *seq = a->self.as.seq;
    (void)r;
    *out = seq->items[seq->at];
    seq->at = (seq->at + 1) % seq->n;
    return HONE_OK;
}

static hone_status m_reset(run *r, const jinja_args *a, value *out)
{
    (void)r;
    a->self.as.seq->at = 0;
    *out = jinja_none;
    return HONE_OK;
}

static hone_status m_joint(run *r, const jinja_args *a, value *out)
{
    jinja_seq *seq = a->self.as.seq;
    (void)r;
    *out = seq->at ? seq->items[0] : jinja_str("", 0);
    seq->at = 1;
    return HONE_OK;
}

static const jinja_builtin cycler_methods[] = {{"next", m_next, "", 0}, {"reset", m_reset, "", 0}};
static const jinja_builtin joiner_methods[] = {{"", m_joint, "", 0}};

#define ROWS(table) table, sizeof table / sizeof *table

const jinja_builtin *jinja_find_method(jinja_type type, const char *name, size_t n)
{
    static const struct {
        const jinja_builtin *rows;
        size_t count;
    } tables[JINJA_V_TYPES] = {
        [JINJA_V_DICT] = {ROWS(dict_methods)},     [JINJA_V_LIST] = {ROWS(list_methods)},
        [JINJA_V_TUPLE] = {ROWS(tuple_methods)},   [JINJA_V_RANGE] = {ROWS(tuple_methods)},
        [JINJA_V_FLOAT] = {ROWS(float_methods)},   [JINJA_V_LOOP] = {ROWS(loop_methods)},
        [JINJA_V_CYCLER] = {ROWS(cycler_methods)}, [JINJA_V_JOINER] = {ROWS(joiner_methods)},
    };
    if (type == JINJA_V_STR)
        return jinja_find_row(jinja_str_methods, jinja_str_method_count, name, n);
    return jinja_find_row(tables[type].rows, tables[type].count, name, n);
}

bool jinja_is_mutator(jinja_type type, const char *name, size_t n)
{
    static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault", "update"};
    static const char *const of_list[] = {"append", "clear", "pop",    "reverse",
                                          "insert", "sort",  "extend", "remove"};
    bool dict = type == JINJA_V_DICT;
    size_t count = dict                   ? sizeof of_dict / sizeof *of_dict
                   : type == JINJA_V_LIST ? sizeof of_list / sizeof *of_list
                                          : 0;
    for (size_t i = 0; i < count; i++) {
        const char *known = dict ? of_dict[i] : of_list[i];
        if (strlen(known) == n && memcmp(known, name, n) == 0)
            return true;
    }
    return false;
}

/* ---- functions ---- */

static hone_status f_range(run *r, const jinja_args *a, value *out)
{
    enum { RANGE_MAX = 100000 }; /* jinja2.sandbox.MAX_RANGE */
    int64_t v[3] = {0, 0, 1};
    for (int i = 0; i < 3; i++)
        HONE_TRY(jinja_get_int(r, &a->v[i], v[i], &v[i]));
    if (a->v[1].type == JINJA_V_ABSENT) {
        v[1] = v[0];
        v[0] = 0;
    }
    if (v[2] == 0)
        return jinja_raise(r, HONE_DATA, "range() arg 3 must not be zero");
    bool down = v[2] < 0;
    uint64_t gap = down ? (uint64_t)v[0] - (uint64_t)v[1] : (uint64_t)v[1] - (uint64_t)v[0];
    uint64_t step = down ? 0 - (uint64_t)v[2] : (uint64_t)v[2];
    uint64_t n = (down ? v[0] > v[1] : v[1] > v[0]) ? (gap - 1) / step + 1 : 0;
    if (n > RANGE_MAX)
        return jinja_raise(r, HONE_DATA,
                           "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                           RANGE_MAX);
    HONE_TRY(jinja_seq_new(r, JINJA_V_RANGE, 0, out));
    out->as.seq->n = (uint32_t)n;
    out->as.seq->start = v[0];
    out->as.seq->step = v[2];
    return HONE_OK;
}

/* dict(mapping or pairs, name=value...), as a dictionary or a namespace. */
static hone_status build(run *r, const jinja_args *a, jinja_type type, value *out)
{
    HONE_TRY(jinja_dict_new(r, type, a->n_keys, out));
    if (a->n > 1)
        return jinja_raise(r, HONE_DATA, "dict expected at most 1 argument, got %u", a->n);
    if (a->n && a->v[0].type == JINJA_V_DICT) {
        const jinja_dict *d = a->v[0].as.dict;
        for (uint32_t i = 0; i < d->n; i++)
            HONE_TRY(jinja_dict_set(r, out, &d->pairs[i].key, &d->pairs[i].value));
    } else if (a->n) {
        value *items;
        uint32_t n;
        HONE_TRY(jinja_items(r, &a->v[0], &items, &n));
        for (uint32_t i = 0; i < n; i++) {
            value *pair;
            uint32_t two;
            HONE_TRY(jinja_items(r, &items[i], &pair, &two));
            if (two != 2)
                return jinja_raise(r, HONE_DATA,
                                   "dictionary update sequence element #%u has length %u; 2 is "
                                   "required",
                                   i, two);
            HONE_TRY(jinja_dict_set(r, out, &pair[0], &pair[1]));
        }
    }
    for (uint32_t i = 0; i < a->n_keys; i++)
        HONE_TRY(jinja_dict_set(r, out, &a->keys[i].key, &a->keys[i].value));
    return HONE_OK;
}

static hone_status f_dict(run *r, const jinja_args *a, value *out)
{
    return build(r, a, JINJA_V_DICT, out);
}

static hone_status f_namespace(run *r, const jinja_args *a, value *out)
{
    return build(r, a, JINJA_V_NAMESPACE, out);
}

static hone_status f_raise(run *r, const jinja_args *a, value *out)
{
    value message;
    (void)out;
    HONE_TRY(jinja_to_str(r, &a->v[0], &message));
    return jinja_raise(r, HONE_DATA, "the template refuses the conversation: %.*s",
                       message.n < 500 ? (int)message.n : 500, message.as.s);
}

static hone_status f_strftime(run *r, const jinja_args *a, value *out)
{
    enum { BYTES_MAX = 4096 };
    if (a->v[0].type != JINJA_V_STR)
        return jinja_raise(r, HONE_DATA, "strftime_now: a str is needed, not %s",
                           jinja_type_name(&a->v[0]));
    char *format, *text;
    struct tm tm;
    if (a->v[0].n > 256 || !localtime_r(&r->now, &tm))
        return jinja_raise(r, HONE_LIMIT, "strftime_now: a format of more than 256 bytes");
    HONE_TRY(jinja_alloc(r, a->v[0].n + (size_t)2, 1, &format));
    HONE_TRY(jinja_alloc(r, BYTES_MAX, 1, &text));
    if (a->v[0].n)
        memcpy(format, a->v[0].as.s, a->v[0].n);
    format[a->v[0].n] = '.'; /* so that an empty result is told from one that did not fit */
    size_t n = strftime(text, BYTES_MAX, format, &tm);
    if (n == 0)
        return jinja_raise(r, HONE_LIMIT, "strftime_now: the result is too long");
    *out = jinja_str(text, n - 1);
    return HONE_OK;
}

static hone_status f_cycler(run *r, const jinja_args *a, value *out)
{
    if (a->n == 0 || a->n_keys)
        return jinja_raise(r, HONE_DATA, "at least one item has to be provided");
    HONE_TRY(jinja_seq_new(r, JINJA_V_CYCLER, a->n, out));
    for (uint32_t i = 0; i < a->n; i++)
        HONE_TRY(jinja_seq_add(r, out, &a->v[i]));
    return HONE_OK;
}

static hone_status f_joiner(run *r, const jinja_args *a, value *out)
{
    value sep = jinja_str(", ", 2);
    if (a->v[0].type != JINJA_V_ABSENT)
        sep = a->v[0];
    HONE_TRY(jinja_seq_new(r, JINJA_V_JOINER, 1, out));
    return jinja_seq_add(r, out, &sep);
}

static const jinja_builtin functions[] = {
    {"range", f_range, "start stop step", 1},
    {"dict", f_dict, NULL, 0},
    {"namespace", f_namespace, NULL, 0},
    {"raise_exception", f_raise, "message", 1},
    {"strftime_now", f_strftime, "format", 1},
    {"cycler", f_cycler, NULL, 0},
    {"joiner", f_joiner, "sep", 0},
};

const jinja_builtin *jinja_find_function(const char *name, size_t n)
{
    return jinja_find_row(ROWS(functions), name, n);
}
