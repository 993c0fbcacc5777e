/* The tests: x is name(arguments). */
#include "text/jinja_value.h"

#include <string.h>

typedef jinja_run run;
typedef jinja_value value;

#define TYPE_TEST(name, condition)                                                                 \
    static hone_status name(run *r, const jinja_args *a, value *out)                               \
    {                                                                                              \
        const value *v = &a->self;                                                                 \
        (void)r;                                                                                   \
        *out = jinja_bool(condition);                                                              \
        return HONE_OK;                                                                            \
    }

static bool is_iterable(const value *v)
{
    return v->type == JINJA_V_STR || v->type == JINJA_V_DICT || v->type == JINJA_V_UNDEFINED ||
           v->type == JINJA_V_LOOP || jinja_is_sequence(v);
}

static bool is_indexed(const value *v)
{
    return v->type == JINJA_V_STR || v->type == JINJA_V_DICT || v->type == JINJA_V_UNDEFINED ||
           v->type == JINJA_V_LIST || v->type == JINJA_V_TUPLE || v->type == JINJA_V_RANGE;
}

TYPE_TEST(t_defined, v->type != JINJA_V_UNDEFINED)
TYPE_TEST(t_undefined, v->type == JINJA_V_UNDEFINED)
TYPE_TEST(t_none, v->type == JINJA_V_NONE)
TYPE_TEST(t_boolean, v->type == JINJA_V_BOOL)
TYPE_TEST(t_true, v->type == JINJA_V_BOOL && v->as.b)
TYPE_TEST(t_false, v->type == JINJA_V_BOOL && !v->as.b)
TYPE_TEST(t_integer, v->type == JINJA_V_INT)
TYPE_TEST(t_float, v->type == JINJA_V_FLOAT)
TYPE_TEST(t_number, jinja_is_number(v))
TYPE_TEST(t_string, v->type == JINJA_V_STR)
TYPE_TEST(t_mapping, v->type == JINJA_V_DICT)
TYPE_TEST(t_iterable, is_iterable(v))
TYPE_TEST(t_sequence, is_indexed(v))
TYPE_TEST(t_callable, v->type == JINJA_V_CALLABLE || v->type == JINJA_V_LOOP ||
                          v->type == JINJA_V_JOINER || v->type == JINJA_V_UNDEFINED)
TYPE_TEST(t_escaped, v->type == JINJA_V_STR && v->markup)
TYPE_TEST(t_filter, v->type == JINJA_V_STR && jinja_find_filter(v->as.s, v->n))
TYPE_TEST(t_test, v->type == JINJA_V_STR && jinja_find_test(v->as.s, v->n))

static hone_status t_sameas(run *r, const jinja_args *a, value *out)
{
    const value *x = &a->self, *y = &a->v[0];
    bool same = x->type == y->type;
    if (same && (x->type == JINJA_V_INT || x->type == JINJA_V_BOOL || x->type == JINJA_V_STR))
        HONE_TRY(jinja_equal(r, x, y, &same)); /* Python shares small ones */
    else if (same && x->type > JINJA_V_NONE)
        same = x->as.s == y->as.s;
    *out = jinja_bool(same);
    return HONE_OK;
}

static hone_status remainder_is(run *r, const value *v, const value *by, int64_t want, value *out)
{
    value rest, wanted = jinja_int(want);
    bool same;
    HONE_TRY(jinja_arithmetic(r, '%', v, by, &rest));
    HONE_TRY(jinja_equal(r, &rest, &wanted, &same));
    *out = jinja_bool(same);
    return HONE_OK;
}

static hone_status t_even(run *r, const jinja_args *a, value *out)
{
    value two = jinja_int(2);
    return remainder_is(r, &a->self, &two, 0, out);
}

static hone_status t_odd(run *r, const jinja_args *a, value *out)
{
    value two = jinja_int(2);
    return remainder_is(r, &a->self, &two, 1, out);
}

static hone_status t_divisible(run *r, const jinja_args *a, value *out)
{
    return remainder_is(r, &a->self, &a->v[0], 0, out);
}

static hone_status t_equal(run *r, const jinja_args *a, value *out)
{
    *out = jinja_bool(false);
    return jinja_equal(r, &a->self, &a->v[0], &out->as.b);
}

static hone_status t_different(run *r, const jinja_args *a, value *out)
{
    HONE_TRY(t_equal(r, a, out));
    out->as.b = !out->as.b;
    return HONE_OK;
}

static hone_status order(run *r, const jinja_args *a, const char *op, int low, int high, value *out)
{
    int c;
    HONE_TRY(jinja_order(r, &a->self, &a->v[0], op, &c));
    c = c == 2 ? 2 : c < 0 ? -1 : c > 0;
    *out = jinja_bool(c >= low && c <= high);
    return HONE_OK;
}

static hone_status t_greater(run *r, const jinja_args *a, value *out)
{
    return order(r, a, ">", 1, 1, out);
}

static hone_status t_at_least(run *r, const jinja_args *a, value *out)
{
    return order(r, a, ">=", 0, 1, out);
}

static hone_status t_less(run *r, const jinja_args *a, value *out)
{
    return order(r, a, "<", -1, -1, out);
}

static hone_status t_at_most(run *r, const jinja_args *a, value *out)
{
    return order(r, a, "<=", -1, 0, out);
}

static hone_status t_in(run *r, const jinja_args *a, value *out)
{
    *out = jinja_bool(false);
    return jinja_contains(r, &a->v[0], &a->self, &out->as.b);
}

/* str(x).islower() */
static hone_status ask_str(run *r, const jinja_args *a, const char *method, value *out)
{
    jinja_args with = {0};
    HONE_TRY(jinja_to_str(r, &a->self, &with.self));
    return jinja_call_builtin(r, jinja_find_method(JINJA_V_STR, method, strlen(method)), &with,
                              out);
}

static hone_status t_lower(run *r, const jinja_args *a, value *out)
{
    return ask_str(r, a, "islower", out);
}

static hone_status t_upper(run *r, const jinja_args *a, value *out)
{
    return ask_str(r, a, "isupper", out);
}

static const jinja_builtin tests[] = {
    {"defined", t_defined, "", 0},
    {"undefined", t_undefined, "", 0},
    {"none", t_none, "", 0},
    {"boolean", t_boolean, "", 0},
    {"true", t_true, "", 0},
    {"false", t_false, "", 0},
    {"integer", t_integer, "", 0},
    {"float", t_float, "", 0},
    {"number", t_number, "", 0},
    {"string", t_string, "", 0},
    {"mapping", t_mapping, "", 0},
    {"iterable", t_iterable, "", 0},
    {"sequence", t_sequence, "", 0},
    {"callable", t_callable, "", 0},
    {"escaped", t_escaped, "", 0},
    {"filter", t_filter, "", 0},
    {"test", t_test, "", 0},
    {"sameas", t_sameas, "other", 1},
    {"even", t_even, "", 0},
    {"odd", t_odd, "", 0},
    {"divisibleby", t_divisible, "num", 1},
    {"lower", t_lower, "", 0},
    {"upper", t_upper, "", 0},
    {"in", t_in, "seq", 1},
    {"eq", t_equal, "b", 1},
    {"equalto", t_equal, "b", 1},
    {"==", t_equal, "b", 1},
    {"ne", t_different, "b", 1},
    {"!=", t_different, "b", 1},
    {"gt", t_greater, "b", 1},
    {"greaterthan", t_greater, "b", 1},
    {">", t_greater, "b", 1},
    {"ge", t_at_least, "b", 1},
    {">=", t_at_least, "b", 1},
    {"lt", t_less, "b", 1},
    {"lessthan", t_less, "b", 1},
    {"<", t_less, "b", 1},
    {"le", t_at_most, "b", 1},
    {"<=", t_at_most, "b", 1},
};

const jinja_builtin *jinja_find_test(const char *name, size_t n)
{
    return jinja_find_row(tests, sizeof tests / sizeof *tests, name, n);
}
