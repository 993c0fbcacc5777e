/* Making values, asking what they are, sequences and dictionaries. */
#include "text/jinja_value.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

const jinja_value jinja_none = {.type = JINJA_V_NONE};

jinja_value jinja_bool(bool b)
{
    return (jinja_value){.type = JINJA_V_BOOL, .as.b = b};
}

jinja_value jinja_int(int64_t i)
{
    return (jinja_value){.type = JINJA_V_INT, .as.i = i};
}

jinja_value jinja_float(double f)
{
    return (jinja_value){.type = JINJA_V_FLOAT, .as.f = f};
}

jinja_value jinja_str(const char *s, size_t n)
{
    return (jinja_value){.type = JINJA_V_STR, .n = (uint32_t)n, .as.s = s};
}

jinja_value jinja_cstr(const char *s)
{
    return jinja_str(s, strlen(s));
}

hone_status jinja_str_copy(jinja_run *r, const char *s, size_t n, jinja_value *out)
{
    char *copy;
    HONE_TRY(jinja_alloc(r, n + 1, 1, &copy));
    if (n)
        memcpy(copy, s, n);
    *out = jinja_str(copy, n);
    return HONE_OK;
}

/* Text that is built up by joining (s = s + x) is copied once: room is left behind the last result,
 * and what ends there grows in place. The left side still ends where it did. */
hone_status jinja_str_join(jinja_run *r, const jinja_value *a, const jinja_value *b,
                           jinja_value *out)
{
    size_t n = (size_t)a->n + b->n;
    HONE_TRY(jinja_charge(r, b->n / 16));
    if (a->n && a->as.s + a->n == r->grow && (size_t)(r->grow_end - r->grow) >= b->n) {
        memcpy(r->grow, b->as.s, b->n);
        r->grow += b->n;
        *out = jinja_str(a->as.s, n);
        return HONE_OK;
    }
    char *s;
    size_t room = n < 64 ? 64 : n + n / 2;
    HONE_TRY(jinja_alloc(r, room, 1, &s));
    if (a->n)
        memcpy(s, a->as.s, a->n);
    if (b->n)
        memcpy(s + a->n, b->as.s, b->n);
    if (n) {
        r->grow = s + n;
        r->grow_end = s + room;
    }
    *out = jinja_str(s, n);
    return HONE_OK;
}

/* ---- kinds ---- */

const char *jinja_type_name(const jinja_value *v)
{
    static const char *const names[JINJA_V_TYPES] = {
        [JINJA_V_ABSENT] = "NoneType",  [JINJA_V_UNDEFINED] = "Undefined",
        [JINJA_V_NONE] = "NoneType",    [JINJA_V_BOOL] = "bool",
        [JINJA_V_INT] = "int",          [JINJA_V_FLOAT] = "float",
        [JINJA_V_STR] = "str",          [JINJA_V_LIST] = "list",
        [JINJA_V_TUPLE] = "tuple",      [JINJA_V_RANGE] = "range",
        [JINJA_V_VIEW] = "dict_view",   [JINJA_V_ITER] = "generator",
        [JINJA_V_DICT] = "dict",        [JINJA_V_NAMESPACE] = "Namespace",
        [JINJA_V_LOOP] = "LoopContext", [JINJA_V_CYCLER] = "Cycler",
        [JINJA_V_JOINER] = "Joiner",    [JINJA_V_CALLABLE] = "builtin_function_or_method",
    };
    if (v->type == JINJA_V_VIEW)
        return v->as.seq->name;
    if (v->type == JINJA_V_CALLABLE && v->as.call->macro)
        return "Macro";
    return names[v->type];
}

/* jinja2's object_type_repr. */
static const char *owner_name(const jinja_value *v)
{
    static const char *const names[JINJA_V_TYPES] = {
        [JINJA_V_NONE] = "None",
        [JINJA_V_BOOL] = "bool object",
        [JINJA_V_INT] = "int object",
        [JINJA_V_FLOAT] = "float object",
        [JINJA_V_STR] = "str object",
        [JINJA_V_LIST] = "list object",
        [JINJA_V_TUPLE] = "tuple object",
        [JINJA_V_RANGE] = "range object",
        [JINJA_V_ITER] = "generator object",
        [JINJA_V_DICT] = "dict object",
        [JINJA_V_NAMESPACE] = "jinja2.utils.Namespace object",
        [JINJA_V_LOOP] = "jinja2.runtime.LoopContext object",
        [JINJA_V_CYCLER] = "jinja2.utils.Cycler object",
        [JINJA_V_JOINER] = "jinja2.utils.Joiner object",
    };
    if (v->type == JINJA_V_STR && v->markup)
        return "markupsafe.Markup object";
    if (names[v->type])
        return names[v->type];
    return v->type == JINJA_V_VIEW        ? "dict view object"
           : jinja_type_name(v)[0] == 'M' ? "jinja2.runtime.Macro object"
                                          : "function object";
}

bool jinja_is_undefined(const jinja_value *v)
{
    return v->type == JINJA_V_UNDEFINED;
}

bool jinja_is_number(const jinja_value *v)
{
    return v->type == JINJA_V_BOOL || v->type == JINJA_V_INT || v->type == JINJA_V_FLOAT;
}

bool jinja_is_sequence(const jinja_value *v)
{
    return v->type >= JINJA_V_LIST && v->type <= JINJA_V_ITER;
}

double jinja_as_double(const jinja_value *v)
{
    return v->type == JINJA_V_FLOAT  ? v->as.f
           : v->type == JINJA_V_BOOL ? (double)v->as.b
                                     : (double)v->as.i;
}

bool jinja_as_int(const jinja_value *v, int64_t *out)
{
    if (v->type == JINJA_V_BOOL)
        *out = v->as.b;
    else if (v->type == JINJA_V_INT)
        *out = v->as.i;
    return v->type == JINJA_V_BOOL || v->type == JINJA_V_INT;
}

hone_status jinja_raise_undefined_(jinja_run *r, const jinja_value *v)
{
    const jinja_undefined *u = v->as.undefined;
    if (!u)
        return jinja_raise(r, HONE_DATA, "an undefined value was used");
    if (u->hint)
        return jinja_raise(r, HONE_DATA, "%s", u->hint);
    jinja_text t = {0};
    hone_status s = jinja_repr(r, &t, &u->key, 0);
    if (s == HONE_OK) {
        int n = t.n < 200 ? (int)t.n : 200;
        if (!u->owner)
            s = jinja_raise(r, HONE_DATA, "%.*s is undefined", n, t.s);
        else if (u->key.type == JINJA_V_STR)
            s = jinja_raise(r, HONE_DATA, "'%s' has no attribute %.*s", u->owner, n, t.s);
        else
            s = jinja_raise(r, HONE_DATA, "%s has no element %.*s", u->owner, n, t.s);
    }
    jinja_text_free(r, &t);
    return s;
}

/* ---- sequences ---- */

hone_status jinja_seq_new(jinja_run *r, jinja_type type, uint32_t room, jinja_value *out)
{
    jinja_seq *seq;
    HONE_TRY(jinja_alloc(r, 1, sizeof *seq, &seq));
    if (room)
        HONE_TRY(jinja_alloc(r, room, sizeof *seq->items, &seq->items));
    seq->room = room;
    seq->step = 1;
    *out = (jinja_value){.type = (uint8_t)type, .as.seq = seq};
    return HONE_OK;
}

hone_status jinja_seq_add(jinja_run *r, jinja_value *v, const jinja_value *item)
{
    jinja_seq *seq = v->as.seq;
    if (seq->n == seq->room) {
        uint32_t room = seq->room ? 2 * seq->room : 4;
        jinja_value *more;
        HONE_TRY(jinja_alloc(r, room, sizeof *more, &more));
        if (seq->n)
            memcpy(more, seq->items, seq->n * sizeof *more);
        seq->items = more;
        seq->room = room;
    }
    seq->items[seq->n++] = *item;
    return HONE_OK;
}

static hone_status characters(jinja_run *r, const jinja_value *v, jinja_value **items, uint32_t *n)
{
    *n = (uint32_t)jinja_count_characters(v->as.s, v->n);
    HONE_TRY(jinja_charge(r, v->n));
    HONE_TRY(jinja_alloc(r, *n, sizeof **items, items));
    const char *s = v->as.s;
    for (uint32_t i = 0; i < *n; i++) {
        size_t bytes = hone_utf8_length(*s);
        (*items)[i] = jinja_str(s, bytes);
        s += bytes;
    }
    return HONE_OK;
}

hone_status jinja_items(jinja_run *r, const jinja_value *v, jinja_value **items, uint32_t *n)
{
    *items = NULL;
    *n = 0;
    if (v->type == JINJA_V_UNDEFINED)
        return HONE_OK;
    if (v->type == JINJA_V_STR)
        return characters(r, v, items, n);
    if (v->type == JINJA_V_DICT) {
        *n = v->as.dict->n;
        HONE_TRY(jinja_alloc(r, *n, sizeof **items, items));
        for (uint32_t i = 0; i < *n; i++)
            (*items)[i] = v->as.dict->pairs[i].key;
        return jinja_charge(r, *n);
    }
    if (!jinja_is_sequence(v))
        return jinja_raise(r, HONE_DATA, "'%s' object is not iterable", jinja_type_name(v));
    jinja_seq *seq = v->as.seq;
    HONE_TRY(jinja_charge(r, seq->n));
    if (v->type == JINJA_V_RANGE) {
        *n = seq->n;
        HONE_TRY(jinja_alloc(r, *n, sizeof **items, items));
        for (uint32_t i = 0; i < *n; i++)
            (*items)[i] = jinja_int(seq->start + (int64_t)i * seq->step);
        return HONE_OK;
    }
    *items = seq->items ? seq->items + seq->at : NULL;
    *n = seq->n - seq->at;
    if (v->type == JINJA_V_ITER)
        seq->at = seq->n;
    return HONE_OK;
}

hone_status jinja_length(jinja_run *r, const jinja_value *v, size_t *out)
{
    *out = 0;
    switch (v->type) {
    case JINJA_V_UNDEFINED:
        return HONE_OK;
    case JINJA_V_STR:
        *out = jinja_count_characters(v->as.s, v->n);
        return jinja_charge(r, v->n / 16);
    case JINJA_V_DICT:
        *out = v->as.dict->n;
        return HONE_OK;
    case JINJA_V_LOOP:
        *out = v->as.loop->n;
        return HONE_OK;
    case JINJA_V_LIST:
    case JINJA_V_TUPLE:
    case JINJA_V_RANGE:
    case JINJA_V_VIEW:
        *out = v->as.seq->n;
        return HONE_OK;
    default:
        return jinja_raise(r, HONE_DATA, "object of type '%s' has no len()", jinja_type_name(v));
    }
}

/* ---- dictionaries ---- */

hone_status jinja_dict_new(jinja_run *r, jinja_type type, uint32_t room, jinja_value *out)
{
    jinja_dict *d;
    HONE_TRY(jinja_alloc(r, 1, sizeof *d, &d));
    if (room)
        HONE_TRY(jinja_alloc(r, room, sizeof *d->pairs, &d->pairs));
    d->room = room;
    *out = (jinja_value){.type = (uint8_t)type, .as.dict = d};
    return HONE_OK;
}

static hone_status check_key(jinja_run *r, const jinja_value *key, int depth)
{
    bool bad = key->type == JINJA_V_LIST || key->type == JINJA_V_DICT ||
               (key->type == JINJA_V_VIEW && strcmp(key->as.seq->name, "dict_values") != 0);
    if (bad)
        return jinja_raise(r, HONE_DATA, "unhashable type: '%s'", jinja_type_name(key));
    if (key->type != JINJA_V_TUPLE)
        return HONE_OK;
    if (depth > JINJA_VALUE_DEPTH_MAX)
        return jinja_raise(r, HONE_LIMIT, "a key nested deeper than %d levels",
                           JINJA_VALUE_DEPTH_MAX);
    for (uint32_t i = 0; i < key->as.seq->n; i++)
        HONE_TRY(check_key(r, &key->as.seq->items[i], depth + 1));
    return HONE_OK;
}

static hone_status find_pair(jinja_run *r, const jinja_dict *d, const jinja_value *key,
                             jinja_pair **out)
{
    *out = NULL;
    HONE_TRY(jinja_charge(r, d->n / 8));
    for (uint32_t i = 0; i < d->n; i++) {
        jinja_pair *p = &d->pairs[i];
        bool same;
        if (p->key.type == JINJA_V_STR && key->type == JINJA_V_STR && key->n < 64)
            same = p->key.n == key->n && memcmp(p->key.as.s, key->as.s, key->n) == 0;
        else
            HONE_TRY(jinja_equal(r, &p->key, key, &same));
        if (same) {
            *out = p;
            return HONE_OK;
        }
    }
    return HONE_OK;
}

hone_status jinja_dict_set(jinja_run *r, jinja_value *dict, const jinja_value *key,
                           const jinja_value *value)
{
    jinja_dict *d = dict->as.dict;
    jinja_pair *p;
    HONE_TRY(check_key(r, key, 0));
    HONE_TRY(find_pair(r, d, key, &p));
    if (p) {
        p->value = *value;
        return HONE_OK;
    }
    if (d->n == d->room) {
        uint32_t room = d->room ? 2 * d->room : 4;
        jinja_pair *more;
        HONE_TRY(jinja_alloc(r, room, sizeof *more, &more));
        if (d->n)
            memcpy(more, d->pairs, d->n * sizeof *more);
        d->pairs = more;
        d->room = room;
    }
    d->pairs[d->n++] = (jinja_pair){.key = *key, .value = *value};
    return HONE_OK;
}

hone_status jinja_dict_get(jinja_run *r, const jinja_value *dict, const jinja_value *key,
                           const jinja_value **out)
{
    jinja_pair *p;
    *out = NULL;
    HONE_TRY(check_key(r, key, 0));
    HONE_TRY(find_pair(r, dict->as.dict, key, &p));
    if (p)
        *out = &p->value;
    return HONE_OK;
}

/* ---- from JSON; texts stay jansson's ---- */

static hone_status list_from_json(jinja_run *r, const json_t *j, int depth, jinja_value *out)
{
    size_t n = json_array_size(j), i;
    if (n > UINT32_MAX / 2)
        return jinja_raise(r, HONE_LIMIT, "a list of %zu items", n);
    HONE_TRY(jinja_seq_new(r, JINJA_V_LIST, (uint32_t)n, out));
    json_t *e;
    json_array_foreach(j, i, e)
    {
        HONE_TRY(jinja_from_json(r, e, depth + 1, &out->as.seq->items[i]));
    }
    out->as.seq->n = (uint32_t)n;
    return HONE_OK;
}

static hone_status dict_from_json(jinja_run *r, const json_t *j, int depth, jinja_value *out)
{
    size_t n = json_object_size(j);
    if (n > UINT32_MAX / 2)
        return jinja_raise(r, HONE_LIMIT, "an object of %zu members", n);
    HONE_TRY(jinja_dict_new(r, JINJA_V_DICT, (uint32_t)n, out));
    jinja_dict *d = out->as.dict;
    const char *key;
    json_t *e;
    json_object_foreach((json_t *)(uintptr_t)j, key, e)
    {
        jinja_pair *p = &d->pairs[d->n++]; /* keys of an object are different: no search */
        p->key = jinja_cstr(key);
        HONE_TRY(jinja_from_json(r, e, depth + 1, &p->value));
    }
    return HONE_OK;
}

hone_status jinja_from_json(jinja_run *r, const json_t *j, int depth, jinja_value *out)
{
    if (depth > JINJA_VALUE_DEPTH_MAX)
        return jinja_raise(r, HONE_LIMIT, "the conversation is nested deeper than %d levels",
                           JINJA_VALUE_DEPTH_MAX);
    HONE_TRY(jinja_charge(r, 1));
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return dict_from_json(r, j, depth, out);
    case JSON_ARRAY:
        return list_from_json(r, j, depth, out);
    case JSON_STRING:
        if (json_string_length(j) > UINT32_MAX / 2)
            return jinja_raise(r, HONE_LIMIT, "a text of %zu bytes", json_string_length(j));
        *out = jinja_str(json_string_value(j), json_string_length(j));
        return HONE_OK;
    case JSON_INTEGER:
        *out = jinja_int(json_integer_value(j));
        return HONE_OK;
    case JSON_REAL:
        *out = jinja_float(json_real_value(j));
        return HONE_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = jinja_bool(json_is_true(j));
        return HONE_OK;
    case JSON_NULL:
        break;
    }
    *out = jinja_none;
    return HONE_OK;
}

/* ---- attributes, items ---- */

static hone_status make_undefined(jinja_run *r, const jinja_value *owner, const char *hint,
                                  const jinja_value *key, jinja_value *out)
{
    jinja_undefined *u;
    HONE_TRY(jinja_alloc(r, 1, sizeof *u, &u));
    *u = (jinja_undefined){.hint = hint, .owner = owner ? owner_name(owner) : NULL, .key = *key};
    *out = (jinja_value){.type = JINJA_V_UNDEFINED, .as.undefined = u};
    return HONE_OK;
}

static hone_status unsafe(jinja_run *r, const jinja_value *v, const char *name, size_t n,
                          jinja_value *out)
{
    char text[160];
    int bytes = snprintf(text, sizeof text, "access to attribute '%.*s' of '%s' object is unsafe.",
                         n < 60 ? (int)n : 60, name, jinja_type_name(v));
    jinja_value copy, key = jinja_str(name, n);
    HONE_TRY(jinja_str_copy(r, text, (size_t)bytes, &copy)); /* a zero follows */
    return make_undefined(r, v, copy.as.s, &key, out);
}

static bool loop_attribute(const jinja_loop *l, const char *name, size_t n, jinja_value *out)
{
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"index", (int64_t)l->index + 1},
                   {"index0", l->index},
                   {"revindex", (int64_t)l->n - l->index},
                   {"revindex0", (int64_t)l->n - l->index - 1},
                   {"length", l->n},
                   {"depth", (int64_t)l->depth + 1},
                   {"depth0", l->depth}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strlen(numbers[i].name) == n && memcmp(numbers[i].name, name, n) == 0) {
            *out = jinja_int(numbers[i].value);
            return true;
        }
    if (n == 5 && memcmp(name, "first", 5) == 0)
        *out = jinja_bool(l->index == 0);
    else if (n == 4 && memcmp(name, "last", 4) == 0)
        *out = jinja_bool(l->index + 1 == l->n);
    else
        return false;
    return true;
}

static hone_status neighbour(jinja_run *r, const jinja_loop *l, bool next, jinja_value *out)
{
    static const char *const hints[] = {"there is no previous item", "there is no next item"};
    bool there = next ? l->index + 1 < l->n : l->index > 0;
    if (!there)
        return make_undefined(r, NULL, hints[next], &jinja_none, out);
    *out = l->items[next ? l->index + 1 : l->index - 1];
    return HONE_OK;
}

/* A method bound to v, a loop's or a namespace's attribute; ABSENT when there is none. */
static hone_status own_attribute(jinja_run *r, const jinja_value *v, const char *name, size_t n,
                                 jinja_value *out)
{
    out->type = JINJA_V_ABSENT;
    if (v->type == JINJA_V_LOOP) {
        if (loop_attribute(v->as.loop, name, n, out))
            return HONE_OK;
        bool next = n == 8 && memcmp(name, "nextitem", 8) == 0;
        if (next || (n == 8 && memcmp(name, "previtem", 8) == 0))
            return neighbour(r, v->as.loop, next, out);
    }
    if (v->type == JINJA_V_NAMESPACE) {
        jinja_pair *p;
        jinja_value key = jinja_str(name, n);
        HONE_TRY(find_pair(r, v->as.dict, &key, &p));
        if (p)
            *out = p->value;
        return HONE_OK;
    }
    if (v->type == JINJA_V_CYCLER && n == 7 && memcmp(name, "current", 7) == 0) {
        *out = v->as.seq->items[v->as.seq->at];
        return HONE_OK;
    }
    if (v->type == JINJA_V_CALLABLE && v->as.call->macro && n == 4 &&
        memcmp(name, "name", 4) == 0) {
        const jinja_name *macro = v->as.call->macro->name;
        *out = jinja_str(macro->s, macro->n);
        return HONE_OK;
    }
    const jinja_builtin *row = jinja_find_method((jinja_type)v->type, name, n);
    if (!row)
        return jinja_is_mutator((jinja_type)v->type, name, n) ? unsafe(r, v, name, n, out)
                                                              : HONE_OK;
    jinja_callable *c;
    HONE_TRY(jinja_alloc(r, 1, sizeof *c, &c));
    *c = (jinja_callable){.builtin = row, .self = *v};
    *out = (jinja_value){.type = JINJA_V_CALLABLE, .as.call = c};
    return HONE_OK;
}

hone_status jinja_get_attr(jinja_run *r, const jinja_value *v, const char *name, size_t n,
                           jinja_value *out)
{
    jinja_value key = jinja_str(name, n);
    if (v->type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, v);
    HONE_TRY(own_attribute(r, v, name, n, out));
    if (out->type != JINJA_V_ABSENT)
        return HONE_OK;
    if (v->type == JINJA_V_DICT) {
        const jinja_value *found;
        HONE_TRY(jinja_dict_get(r, v, &key, &found));
        if (found) {
            *out = *found;
            return HONE_OK;
        }
    }
    return make_undefined(r, v, NULL, &key, out);
}

/* Item `index` of a list, tuple, range or string; ABSENT when it is not there. */
static hone_status item_at(jinja_run *r, const jinja_value *v, int64_t index, jinja_value *out)
{
    size_t n;
    HONE_TRY(jinja_length(r, v, &n));
    if (index < 0)
        index += (int64_t)n;
    out->type = JINJA_V_ABSENT;
    if (index < 0 || index >= (int64_t)n)
        return HONE_OK;
    if (v->type == JINJA_V_RANGE) {
        *out = jinja_int(v->as.seq->start + index * v->as.seq->step);
    } else if (v->type == JINJA_V_STR) {
        size_t at = jinja_character_offset(v->as.s, v->n, (size_t)index);
        *out = jinja_str(v->as.s + at, hone_utf8_length(v->as.s[at]));
    } else {
        *out = v->as.seq->items[index];
    }
    return HONE_OK;
}

hone_status jinja_get_item(jinja_run *r, const jinja_value *v, const jinja_value *key,
                           jinja_value *out)
{
    int64_t index;
    if (v->type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, v);
    out->type = JINJA_V_ABSENT;
    if (v->type == JINJA_V_DICT) {
        const jinja_value *found = NULL;
        if (key->type != JINJA_V_LIST && key->type != JINJA_V_DICT)
            HONE_TRY(jinja_dict_get(r, v, key, &found));
        if (found)
            *out = *found;
    } else if (jinja_as_int(key, &index) &&
               (v->type == JINJA_V_STR || v->type == JINJA_V_LIST || v->type == JINJA_V_TUPLE ||
                v->type == JINJA_V_RANGE)) {
        HONE_TRY(item_at(r, v, index, out));
    }
    if (out->type == JINJA_V_ABSENT && key->type == JINJA_V_STR)
        HONE_TRY(own_attribute(r, v, key->as.s, key->n, out));
    if (out->type == JINJA_V_ABSENT)
        return make_undefined(r, v, NULL, key, out);
    return HONE_OK;
}

/* ---- slices ---- */

static hone_status slice_bound(jinja_run *r, const jinja_value *v, int64_t fallback, int64_t *out)
{
    *out = fallback;
    if (v->type == JINJA_V_ABSENT || v->type == JINJA_V_NONE || jinja_as_int(v, out))
        return HONE_OK;
    if (v->type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, v);
    return jinja_raise(r, HONE_DATA,
                       "slice indices must be integers or None or have an __index__ method");
}

/* Python's PySlice_AdjustIndices: a bound of a sequence of n, for steps in either direction. */
static int64_t adjust(int64_t bound, int64_t n, bool backwards)
{
    if (bound < 0) {
        bound = bound < -n ? -1 : bound + n;
        return bound < 0 ? (backwards ? -1 : 0) : bound;
    }
    return bound >= n ? (backwards ? n - 1 : n) : bound;
}

static hone_status slice_text(jinja_run *r, const jinja_value *v, int64_t start, int64_t step,
                              int64_t count, jinja_value *out)
{
    HONE_TRY(jinja_charge(r, v->n / 8));
    if (step == 1) {
        size_t a = jinja_character_offset(v->as.s, v->n, (size_t)start);
        size_t b = a + jinja_character_offset(v->as.s + a, v->n - a, (size_t)count);
        *out = jinja_str(v->as.s + a, count ? b - a : 0);
        return HONE_OK;
    }
    jinja_value *items;
    uint32_t n;
    jinja_text t = {0};
    HONE_TRY(jinja_items(r, v, &items, &n));
    hone_status s = HONE_OK;
    for (int64_t i = 0; s == HONE_OK && i < count; i++) {
        const jinja_value *c = &items[start + i * step];
        s = jinja_text_add(r, &t, c->as.s, c->n);
    }
    return jinja_text_take(r, &t, s, out);
}

hone_status jinja_get_slice(jinja_run *r, const jinja_value *v, const jinja_value *from,
                            const jinja_value *to, const jinja_value *by, jinja_value *out)
{
    int64_t start, stop, step;
    size_t length;
    if (v->type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, v);
    if (v->type == JINJA_V_DICT)
        return jinja_raise(r, HONE_DATA, "unhashable type: 'slice'");
    if (v->type != JINJA_V_STR && v->type != JINJA_V_LIST && v->type != JINJA_V_TUPLE &&
        v->type != JINJA_V_RANGE)
        return jinja_raise(r, HONE_DATA, "'%s' object is not subscriptable", jinja_type_name(v));
    HONE_TRY(jinja_length(r, v, &length));
    int64_t n = (int64_t)length;
    HONE_TRY(slice_bound(r, by, 1, &step));
    if (step == 0)
        return jinja_raise(r, HONE_DATA, "slice step cannot be zero");
    if (step < -INT32_MAX)
        step = -INT32_MAX;
    if (step > INT32_MAX)
        step = INT32_MAX;
    HONE_TRY(slice_bound(r, from, step < 0 ? INT64_MAX : 0, &start));
    HONE_TRY(slice_bound(r, to, step < 0 ? INT64_MIN : INT64_MAX, &stop));
    start = adjust(start, n, step < 0);
    stop = adjust(stop, n, step < 0);
    int64_t stride = step < 0 ? -step : step;
    int64_t count = ((step < 0 ? start - stop : stop - start) + stride - 1) / stride;
    if (count < 0)
        count = 0;
    if (v->type == JINJA_V_STR)
        return slice_text(r, v, start, step, count, out);
    if (v->type == JINJA_V_RANGE) {
        const jinja_seq *seq = v->as.seq;
        HONE_TRY(jinja_seq_new(r, JINJA_V_RANGE, 0, out));
        out->as.seq->n = (uint32_t)count;
        out->as.seq->start = seq->start + start * seq->step;
        out->as.seq->step = count > 1 ? seq->step * step : 1;
        return HONE_OK;
    }
    HONE_TRY(jinja_charge(r, (uint64_t)count));
    HONE_TRY(jinja_seq_new(r, (jinja_type)v->type, (uint32_t)count, out));
    for (int64_t i = 0; i < count; i++)
        HONE_TRY(item_at(r, v, start + i * step, &out->as.seq->items[i]));
    out->as.seq->n = (uint32_t)count;
    return HONE_OK;
}
