/* Filters of sequences: parts, order, and those that call other filters and tests. */
#include "text/jinja_value.h"

#include <string.h>

typedef jinja_run run;
typedef jinja_value value;

static hone_status undefined(run *r, const char *hint, value *out)
{
    jinja_undefined *u;
    HONE_TRY(jinja_alloc(r, 1, sizeof *u, &u));
    u->hint = hint;
    *out = (value){.type = JINJA_V_UNDEFINED, .as.undefined = u};
    return HONE_OK;
}

static hone_status new_iter(run *r, const char *name, uint32_t room, value *out)
{
    HONE_TRY(jinja_seq_new(r, JINJA_V_ITER, room, out));
    out->as.seq->name = name;
    return HONE_OK;
}

/* item[part][part]... for an attribute "a.b.0" (jinja2's make_attrgetter). */
static hone_status get_path(run *r, const value *item, const value *path, const value *fallback,
                            value *out)
{
    *out = *item;
    if (path->type == JINJA_V_ABSENT || path->type == JINJA_V_NONE)
        return HONE_OK;
    if (path->type != JINJA_V_STR) {
        HONE_TRY(jinja_get_item(r, item, path, out));
    } else {
        const char *s = path->as.s, *end = s + path->n;
        for (;; s++) {
            const char *dot = s < end ? memchr(s, '.', (size_t)(end - s)) : NULL;
            size_t n = (size_t)((dot ? dot : end) - s);
            value key = jinja_str(s, n), from = *out;
            bool digits = n > 0 && n < 10;
            int64_t index = 0;
            for (size_t i = 0; i < n; i++) {
                digits = digits && s[i] >= '0' && s[i] <= '9';
                index = digits ? index * 10 + (s[i] - '0') : 0;
            }
            if (digits)
                key = jinja_int(index);
            HONE_TRY(jinja_get_item(r, &from, &key, out));
            if (fallback && out->type == JINJA_V_UNDEFINED)
                *out = *fallback;
            if (!dot)
                break;
            s = dot;
        }
    }
    if (fallback && out->type == JINJA_V_UNDEFINED)
        *out = *fallback;
    return HONE_OK;
}

/* What sort, min, max, unique compare by: the attribute, in small letters unless told otherwise. */
static hone_status sort_key(run *r, const value *item, const value *path, bool sensitive,
                            value *out)
{
    HONE_TRY(get_path(r, item, path, NULL, out));
    if (sensitive || out->type != JINJA_V_STR)
        return HONE_OK;
    value key = *out;
    return jinja_change_case(r, &key, JINJA_LOWER, out);
}

/* ---- sequences ---- */

static hone_status f_first(run *r, const jinja_args *a, value *out)
{
    value *items;
    uint32_t n;
    bool iter = a->self.type == JINJA_V_ITER;
    uint32_t at = iter ? a->self.as.seq->at : 0;
    HONE_TRY(jinja_items(r, &a->self, &items, &n));
    if (n == 0)
        return undefined(r, "No first item, sequence was empty.", out);
    if (iter)
        a->self.as.seq->at = at + 1;
    *out = items[0];
    return HONE_OK;
}

static hone_status f_last(run *r, const jinja_args *a, value *out)
{
    value *items;
    uint32_t n;
    if (a->self.type == JINJA_V_ITER)
        return jinja_raise(r, HONE_DATA, "'%s' object is not reversible",
                           jinja_type_name(&a->self));
    HONE_TRY(jinja_items(r, &a->self, &items, &n));
    if (n == 0)
        return undefined(r, "No last item, sequence was empty.", out);
    *out = items[n - 1];
    return HONE_OK;
}

static hone_status copy_items(run *r, const value *v, jinja_type type, value *out)
{
    value *items;
    uint32_t n;
    HONE_TRY(jinja_items(r, v, &items, &n));
    HONE_TRY(jinja_seq_new(r, type, n, out));
    if (n)
        memcpy(out->as.seq->items, items, n * sizeof *items);
    out->as.seq->n = n;
    return HONE_OK;
}

static hone_status f_list(run *r, const jinja_args *a, value *out)
{
    return copy_items(r, &a->self, JINJA_V_LIST, out);
}

static hone_status f_reverse(run *r, const jinja_args *a, value *out)
{
    value from = {0}, to = {0}, step = jinja_int(-1);
    if (a->self.type == JINJA_V_STR)
        return jinja_get_slice(r, &a->self, &from, &to, &step, out);
    HONE_TRY(copy_items(r, &a->self, JINJA_V_ITER, out));
    jinja_seq *seq = out->as.seq;
    seq->name = "reversed iterator";
    for (uint32_t i = 0; i < seq->n / 2; i++) {
        value v = seq->items[i];
        seq->items[i] = seq->items[seq->n - 1 - i];
        seq->items[seq->n - 1 - i] = v;
    }
    return HONE_OK;
}

static hone_status join(run *r, jinja_text *t, const jinja_args *a, const value *items, uint32_t n)
{
    value by = jinja_str("", 0);
    if (a->v[0].type != JINJA_V_ABSENT)
        HONE_TRY(jinja_to_str(r, &a->v[0], &by));
    for (uint32_t i = 0; i < n; i++) {
        value item;
        if (i)
            HONE_TRY(jinja_text_add(r, t, by.as.s, by.n));
        HONE_TRY(get_path(r, &items[i], &a->v[1], NULL, &item));
        HONE_TRY(jinja_print(r, t, &item));
    }
    return HONE_OK;
}

static hone_status f_join(run *r, const jinja_args *a, value *out)
{
    value *items;
    uint32_t n;
    jinja_text t = {0};
    HONE_TRY(jinja_items(r, &a->self, &items, &n));
    return jinja_text_take(r, &t, join(r, &t, a, items, n), out);
}

static hone_status f_items(run *r, const jinja_args *a, value *out)
{
    jinja_args none = {.self = a->self};
    if (a->self.type == JINJA_V_UNDEFINED)
        return new_iter(r, "items", 0, out);
    if (a->self.type != JINJA_V_DICT)
        return jinja_raise(r, HONE_DATA, "Can only get item pairs from a mapping.");
    HONE_TRY(jinja_call_builtin(r, jinja_find_method(JINJA_V_DICT, "items", 5), &none, out));
    out->type = JINJA_V_ITER;
    return HONE_OK;
}

static hone_status f_batch(run *r, const jinja_args *a, value *out)
{
    value *items, row = {0};
    uint32_t n;
    int64_t size;
    HONE_TRY(jinja_get_int(r, &a->v[0], 1, &size));
    HONE_TRY(jinja_items(r, &a->self, &items, &n));
    HONE_TRY(new_iter(r, "batches", 0, out));
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || row.as.seq->n == size) {
            if (i)
                HONE_TRY(jinja_seq_add(r, out, &row));
            HONE_TRY(jinja_seq_new(r, JINJA_V_LIST, 0, &row));
        }
        HONE_TRY(jinja_seq_add(r, &row, &items[i]));
    }
    if (n == 0)
        return HONE_OK;
    bool fill = a->v[1].type > JINJA_V_NONE;
    while (fill && (int64_t)row.as.seq->n < size)
        HONE_TRY(jinja_seq_add(r, &row, &a->v[1]));
    return jinja_seq_add(r, out, &row);
}

static hone_status f_slice(run *r, const jinja_args *a, value *out)
{
    value *items;
    uint32_t n, at = 0;
    int64_t slices;
    HONE_TRY(jinja_get_int(r, &a->v[0], 1, &slices));
    if (slices <= 0 || slices > 1000000)
        return jinja_raise(r, HONE_DATA, "slice: into %lld parts", (long long)slices);
    HONE_TRY(jinja_items(r, &a->self, &items, &n));
    HONE_TRY(new_iter(r, "slices", 0, out));
    uint32_t size = n / (uint32_t)slices, extra = n % (uint32_t)slices;
    for (uint32_t k = 0; k < slices; k++) {
        value row;
        uint32_t take = size + (k < extra);
        HONE_TRY(jinja_seq_new(r, JINJA_V_LIST, take + 1, &row));
        for (uint32_t i = 0; i < take; i++)
            HONE_TRY(jinja_seq_add(r, &row, &items[at++]));
        if (a->v[1].type > JINJA_V_NONE && k >= extra)
            HONE_TRY(jinja_seq_add(r, &row, &a->v[1]));
        HONE_TRY(jinja_seq_add(r, out, &row));
    }
    return HONE_OK;
}

static hone_status f_sum(run *r, const jinja_args *a, value *out)
{
    value *items, sum = a->v[1].type == JINJA_V_ABSENT ? jinja_int(0) : a->v[1];
    uint32_t n;
    if (sum.type == JINJA_V_STR)
        return jinja_raise(r, HONE_DATA, "sum() can't sum strings [use ''.join(seq) instead]");
    HONE_TRY(jinja_items(r, &a->self, &items, &n));
    for (uint32_t i = 0; i < n; i++) {
        value x, next;
        HONE_TRY(get_path(r, &items[i], &a->v[0], NULL, &x));
        HONE_TRY(jinja_arithmetic(r, '+', &sum, &x, &next));
        sum = next;
    }
    *out = sum;
    return HONE_OK;
}

/* ---- sorting ---- */

typedef struct keyed {
    value key, item;
} keyed;

/* Merges the sorted halves of a[0..n) through b; stable. */
static hone_status merge(run *r, keyed *a, keyed *b, uint32_t half, uint32_t n, bool reverse)
{
    uint32_t i = 0, k = half, out = 0;
    memcpy(b, a, n * sizeof *a);
    while (i < half && k < n) {
        int c;
        HONE_TRY(jinja_order(r, &b[k].key, &b[i].key, "<", &c));
        bool right = c != 2 && (reverse ? c > 0 : c < 0);
        a[out++] = right ? b[k++] : b[i++];
    }
    while (i < half)
        a[out++] = b[i++];
    while (k < n)
        a[out++] = b[k++];
    return HONE_OK;
}

static hone_status sort_keyed(run *r, keyed *a, keyed *b, uint32_t n, bool reverse)
{
    if (n < 2)
        return HONE_OK;
    HONE_TRY(sort_keyed(r, a, b, n / 2, reverse));
    HONE_TRY(sort_keyed(r, a + n / 2, b, n - n / 2, reverse));
    return merge(r, a, b, n / 2, n, reverse);
}

/* The key of `sort`: a list of the attributes "a,b", so that equal ones need no order. */
static hone_status list_key(run *r, const value *item, const value *paths, bool sensitive,
                            value *out)
{
    value key;
    HONE_TRY(jinja_seq_new(r, JINJA_V_LIST, 1, out));
    if (paths->type != JINJA_V_STR || paths->n == 0) {
        HONE_TRY(sort_key(r, item, paths, sensitive, &key));
        return jinja_seq_add(r, out, &key);
    }
    const char *s = paths->as.s, *end = s + paths->n;
    for (;; s++) {
        const char *comma = s < end ? memchr(s, ',', (size_t)(end - s)) : NULL;
        value path = jinja_str(s, (size_t)((comma ? comma : end) - s));
        HONE_TRY(sort_key(r, item, &path, sensitive, &key));
        HONE_TRY(jinja_seq_add(r, out, &key));
        if (!comma)
            return HONE_OK;
        s = comma;
    }
}

typedef hone_status key_fn(run *r, const value *item, const value *path, bool sensitive,
                           value *out);

static hone_status sort_items(run *r, const value *items, uint32_t n, key_fn *key,
                              const value *path, bool sensitive, bool reverse, value *out)
{
    keyed *a, *b;
    HONE_TRY(jinja_alloc(r, n, sizeof *a, &a));
    HONE_TRY(jinja_alloc(r, n, sizeof *b, &b));
    for (uint32_t i = 0; i < n; i++) {
        a[i].item = items[i];
        HONE_TRY(key(r, &items[i], path, sensitive, &a[i].key));
    }
    HONE_TRY(sort_keyed(r, a, b, n, reverse));
    HONE_TRY(jinja_seq_new(r, JINJA_V_LIST, n, out));
    for (uint32_t i = 0; i < n; i++)
        out->as.seq->items[i] = a[i].item;
    out->as.seq->n = n;
    return HONE_OK;
}

static hone_status f_sort(run *r, const jinja_args *a, value *out)
{
    value *items;
    uint32_t n;
    bool reverse, sensitive;
    HONE_TRY(jinja_get_flag(r, &a->v[0], &reverse));
    HONE_TRY(jinja_get_flag(r, &a->v[1], &sensitive));
    HONE_TRY(jinja_items(r, &a->self, &items, &n));
    return sort_items(r, items, n, list_key, &a->v[2], sensitive, reverse, out);
}

static hone_status f_dictsort(run *r, const jinja_args *a, value *out)
{
    bool reverse, sensitive;
    value pairs, index = jinja_int(0);
    const value *by = &a->v[1];
    jinja_args none = {.self = a->self};
    if (a->self.type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, &a->self);
    if (a->self.type != JINJA_V_DICT)
        return jinja_raise(r, HONE_DATA, "dictsort: a dict is needed, not %s",
                           jinja_type_name(&a->self));
    HONE_TRY(jinja_get_flag(r, &a->v[0], &sensitive));
    HONE_TRY(jinja_get_flag(r, &a->v[2], &reverse));
    if (by->type == JINJA_V_STR && by->n == 5 && memcmp(by->as.s, "value", 5) == 0)
        index = jinja_int(1);
    else if (by->type != JINJA_V_ABSENT &&
             !(by->type == JINJA_V_STR && by->n == 3 && memcmp(by->as.s, "key", 3) == 0))
        return jinja_raise(r, HONE_DATA, "You can only sort by either \"key\" or \"value\"");
    HONE_TRY(jinja_call_builtin(r, jinja_find_method(JINJA_V_DICT, "items", 5), &none, &pairs));
    return sort_items(r, pairs.as.seq->items, pairs.as.seq->n, sort_key, &index, sensitive, reverse,
                      out);
}

static hone_status extreme(run *r, const jinja_args *a, bool most, value *out)
{
    value *items, best = {0};
    uint32_t n;
    bool sensitive;
    HONE_TRY(jinja_get_flag(r, &a->v[0], &sensitive));
    HONE_TRY(jinja_items(r, &a->self, &items, &n));
    if (n == 0)
        return undefined(r, "No aggregated item, sequence was empty.", out);
    for (uint32_t i = 0; i < n; i++) {
        value key;
        int c = 0;
        HONE_TRY(sort_key(r, &items[i], &a->v[1], sensitive, &key));
        if (i)
            HONE_TRY(jinja_order(r, &key, &best, most ? ">" : "<", &c));
        if (i && (c == 2 || (most ? c <= 0 : c >= 0)))
            continue;
        best = key;
        *out = items[i];
    }
    return HONE_OK;
}

static hone_status f_min(run *r, const jinja_args *a, value *out)
{
    return extreme(r, a, false, out);
}

static hone_status f_max(run *r, const jinja_args *a, value *out)
{
    return extreme(r, a, true, out);
}

static hone_status f_unique(run *r, const jinja_args *a, value *out)
{
    value *items, seen, key;
    const value *there;
    uint32_t n;
    bool sensitive;
    HONE_TRY(jinja_get_flag(r, &a->v[0], &sensitive));
    HONE_TRY(jinja_items(r, &a->self, &items, &n));
    HONE_TRY(jinja_dict_new(r, JINJA_V_DICT, 0, &seen));
    HONE_TRY(new_iter(r, "unique items", 0, out));
    for (uint32_t i = 0; i < n; i++) {
        HONE_TRY(sort_key(r, &items[i], &a->v[1], sensitive, &key));
        HONE_TRY(jinja_dict_get(r, &seen, &key, &there));
        if (there)
            continue;
        HONE_TRY(jinja_dict_set(r, &seen, &key, &jinja_none));
        HONE_TRY(jinja_seq_add(r, out, &items[i]));
    }
    return HONE_OK;
}

/* ---- map, select, reject ---- */

static const value *keyword(const jinja_args *a, const char *name)
{
    size_t n = strlen(name);
    for (uint32_t i = 0; i < a->n_keys; i++)
        if (a->keys[i].key.n == n && memcmp(a->keys[i].key.as.s, name, n) == 0)
            return &a->keys[i].value;
    return NULL;
}

/* The row that an argument names. */
static hone_status named_row(run *r, const value *name, bool test, const jinja_builtin **out)
{
    *out = NULL;
    if (name->type == JINJA_V_STR)
        *out = test ? jinja_find_test(name->as.s, name->n) : jinja_find_filter(name->as.s, name->n);
    if (*out)
        return HONE_OK;
    return jinja_raise(r, HONE_UNSUPPORTED, "%s '%.*s' is not known", test ? "test" : "filter",
                       name->type != JINJA_V_STR ? 0
                       : name->n < 60            ? (int)name->n
                                                 : 60,
                       name->as.s);
}

/* The items; none of what is false, as jinja2's generators have it (`if value:`). */
static hone_status items_if_any(run *r, const value *v, value **items, uint32_t *n)
{
    bool any;
    *n = 0;
    HONE_TRY(jinja_truth(r, v, &any));
    return any ? jinja_items(r, v, items, n) : HONE_OK;
}

static hone_status map_attribute(run *r, const jinja_args *a, const value *items, uint32_t n,
                                 value *out)
{
    const value *path = keyword(a, "attribute"), *fallback = keyword(a, "default");
    if (a->n_keys != 1 + (uint32_t)(fallback != NULL))
        return jinja_raise(r, HONE_DATA, "map: unexpected keyword argument");
    if (fallback && fallback->type == JINJA_V_NONE)
        fallback = NULL;
    for (uint32_t i = 0; i < n; i++) {
        value v;
        HONE_TRY(get_path(r, &items[i], path, fallback, &v));
        HONE_TRY(jinja_seq_add(r, out, &v));
    }
    return HONE_OK;
}

/* The filters behind map call others: map('map', ...) is a recursion. */
static hone_status call_row(run *r, const jinja_builtin *row, const jinja_args *a, value *out)
{
    HONE_TRY(jinja_enter(r, 4));
    hone_status s = jinja_call_builtin(r, row, a, out);
    jinja_leave(r, 4);
    return s;
}

static hone_status f_map(run *r, const jinja_args *a, value *out)
{
    value *items, v;
    uint32_t n;
    const jinja_builtin *row;
    HONE_TRY(items_if_any(r, &a->self, &items, &n));
    HONE_TRY(new_iter(r, "map", n, out));
    if (n == 0)
        return HONE_OK;
    if (a->n == 0 && keyword(a, "attribute"))
        return map_attribute(r, a, items, n, out);
    if (a->n == 0)
        return jinja_raise(r, HONE_DATA, "map requires a filter argument");
    HONE_TRY(named_row(r, &a->v[0], false, &row));
    jinja_args with = {.v = a->v + 1, .n = a->n - 1, .keys = a->keys, .n_keys = a->n_keys};
    for (uint32_t i = 0; i < n; i++) {
        with.self = items[i];
        HONE_TRY(call_row(r, row, &with, &v));
        HONE_TRY(jinja_seq_add(r, out, &v));
    }
    return HONE_OK;
}

/* Items for which a test (or the truth) of them, or of an attribute, is `want`. */
static hone_status choose(run *r, const jinja_args *a, bool attribute, bool want, value *out)
{
    value *items;
    uint32_t n, used = attribute;
    const jinja_builtin *row = NULL;
    if (attribute && a->n == 0)
        return jinja_raise(r, HONE_DATA, "Missing parameter for attribute name");
    HONE_TRY(items_if_any(r, &a->self, &items, &n));
    HONE_TRY(new_iter(r, "selected items", 0, out));
    if (n == 0)
        return HONE_OK;
    if (n && a->n > used)
        HONE_TRY(named_row(r, &a->v[used++], true, &row));
    jinja_args with = {.v = a->n > used ? a->v + used : NULL,
                       .n = a->n > used ? a->n - used : 0,
                       .keys = a->keys,
                       .n_keys = a->n_keys};
    for (uint32_t i = 0; i < n; i++) {
        bool yes;
        value v = items[i];
        if (attribute)
            HONE_TRY(get_path(r, &items[i], &a->v[0], NULL, &v));
        with.self = v;
        if (row)
            HONE_TRY(call_row(r, row, &with, &v));
        HONE_TRY(jinja_truth(r, &v, &yes));
        if (yes == want)
            HONE_TRY(jinja_seq_add(r, out, &items[i]));
    }
    return HONE_OK;
}

static hone_status f_select(run *r, const jinja_args *a, value *out)
{
    return choose(r, a, false, true, out);
}

static hone_status f_reject(run *r, const jinja_args *a, value *out)
{
    return choose(r, a, false, false, out);
}

static hone_status f_selectattr(run *r, const jinja_args *a, value *out)
{
    return choose(r, a, true, true, out);
}

static hone_status f_rejectattr(run *r, const jinja_args *a, value *out)
{
    return choose(r, a, true, false, out);
}

const jinja_builtin jinja_seq_filters[] = {
    {"batch", f_batch, "linecount fill_with", 1},
    {"dictsort", f_dictsort, "case_sensitive by reverse", 0},
    {"first", f_first, "", 0},
    {"items", f_items, "", 0},
    {"join", f_join, "d attribute", 0},
    {"last", f_last, "", 0},
    {"list", f_list, "", 0},
    {"map", f_map, NULL, 0},
    {"max", f_max, "case_sensitive attribute", 0},
    {"min", f_min, "case_sensitive attribute", 0},
    {"reject", f_reject, NULL, 0},
    {"rejectattr", f_rejectattr, NULL, 0},
    {"reverse", f_reverse, "", 0},
    {"select", f_select, NULL, 0},
    {"selectattr", f_selectattr, NULL, 0},
    {"slice", f_slice, "slices fill_with", 1},
    {"sort", f_sort, "reverse case_sensitive attribute", 0},
    {"sum", f_sum, "attribute start", 0},
    {"unique", f_unique, "case_sensitive attribute", 0},
};
const size_t jinja_seq_filter_count = sizeof jinja_seq_filters / sizeof *jinja_seq_filters;
