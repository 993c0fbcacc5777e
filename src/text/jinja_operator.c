/* Truth, equality, order, membership and arithmetic, as Python has them. */
#include "text/jinja_value.h"

#include <math.h>
#include <string.h>

hone_status jinja_truth(jinja_run *r, const jinja_value *v, bool *out)
{
    (void)r;
    switch (v->type) {
    case JINJA_V_ABSENT:
    case JINJA_V_UNDEFINED:
    case JINJA_V_NONE:
        *out = false;
        break;
    case JINJA_V_BOOL:
        *out = v->as.b;
        break;
    case JINJA_V_INT:
        *out = v->as.i != 0;
        break;
    case JINJA_V_FLOAT:
        *out = v->as.f != 0; /* NaN is true */
        break;
    case JINJA_V_STR:
        *out = v->n > 0;
        break;
    case JINJA_V_LIST:
    case JINJA_V_TUPLE:
    case JINJA_V_RANGE:
    case JINJA_V_VIEW:
        *out = v->as.seq->n > 0;
        break;
    case JINJA_V_DICT:
        *out = v->as.dict->n > 0;
        break;
    default:
        *out = true;
        break;
    }
    return HONE_OK;
}

/* An integer against a double without rounding: < 0, 0, > 0. The double is no NaN. */
static int order_mixed(int64_t i, double f)
{
    if (f >= 0x1p63)
        return -1;
    if (f < -0x1p63)
        return 1;
    double whole = trunc(f);
    int64_t w = (int64_t)whole;
    if (i != w)
        return i < w ? -1 : 1;
    return f > whole ? -1 : f < whole ? 1 : 0;
}

/* 2 when they have no order (NaN). */
static int order_numbers(const jinja_value *a, const jinja_value *b)
{
    int64_t x, y;
    bool ia = jinja_as_int(a, &x), ib = jinja_as_int(b, &y);
    if (ia && ib)
        return x < y ? -1 : x > y;
    if ((!ia && isnan(a->as.f)) || (!ib && isnan(b->as.f)))
        return 2;
    if (ia)
        return order_mixed(x, b->as.f);
    if (ib)
        return -order_mixed(y, a->as.f);
    return a->as.f < b->as.f ? -1 : a->as.f > b->as.f;
}

static hone_status equal_sequences(jinja_run *r, const jinja_value *a, const jinja_value *b,
                                   bool *out)
{
    const jinja_seq *x = a->as.seq, *y = b->as.seq;
    *out = x == y;
    if (*out || x->n != y->n || a->type == JINJA_V_ITER || a->type == JINJA_V_VIEW)
        return HONE_OK;
    *out = true;
    if (a->type == JINJA_V_RANGE) {
        *out = x->n == 0 || (x->start == y->start && (x->n == 1 || x->step == y->step));
        return HONE_OK;
    }
    for (uint32_t i = 0; *out && i < x->n; i++)
        HONE_TRY(jinja_equal(r, &x->items[i], &y->items[i], out));
    return HONE_OK;
}

static hone_status equal_dicts(jinja_run *r, const jinja_value *a, const jinja_value *b, bool *out)
{
    *out = a->as.dict == b->as.dict;
    if (*out || a->type == JINJA_V_NAMESPACE || a->as.dict->n != b->as.dict->n)
        return HONE_OK;
    *out = true;
    for (uint32_t i = 0; *out && i < a->as.dict->n; i++) {
        const jinja_value *other;
        HONE_TRY(jinja_dict_get(r, b, &a->as.dict->pairs[i].key, &other));
        *out = other != NULL;
        if (other)
            HONE_TRY(jinja_equal(r, &a->as.dict->pairs[i].value, other, out));
    }
    return HONE_OK;
}

hone_status jinja_equal(jinja_run *r, const jinja_value *a, const jinja_value *b, bool *out)
{
    *out = false;
    HONE_TRY(jinja_charge(r, 1));
    if (jinja_is_number(a) && jinja_is_number(b)) {
        *out = order_numbers(a, b) == 0;
        return HONE_OK;
    }
    if (a->type != b->type)
        return HONE_OK;
    hone_status s = HONE_OK;
    switch (a->type) {
    case JINJA_V_ABSENT:
    case JINJA_V_UNDEFINED:
    case JINJA_V_NONE:
        *out = true;
        break;
    case JINJA_V_STR:
        if (a->n != b->n)
            return HONE_OK;
        HONE_TRY(jinja_charge(r, a->n / 64));
        *out = a->n == 0 || memcmp(a->as.s, b->as.s, a->n) == 0;
        break;
    case JINJA_V_DICT:
    case JINJA_V_NAMESPACE:
        HONE_TRY(jinja_enter(r, 1));
        s = equal_dicts(r, a, b, out);
        jinja_leave(r, 1);
        return s;
    case JINJA_V_LOOP:
        *out = a->as.loop == b->as.loop;
        break;
    case JINJA_V_CALLABLE:
        *out = a->as.call == b->as.call;
        break;
    default:
        HONE_TRY(jinja_enter(r, 1));
        s = equal_sequences(r, a, b, out);
        jinja_leave(r, 1);
        return s;
    }
    return HONE_OK;
}

static hone_status order_sequences(jinja_run *r, const jinja_value *a, const jinja_value *b,
                                   const char *op, int *out)
{
    const jinja_seq *x = a->as.seq, *y = b->as.seq;
    for (uint32_t i = 0; i < x->n && i < y->n; i++) {
        bool same;
        HONE_TRY(jinja_equal(r, &x->items[i], &y->items[i], &same));
        if (!same)
            return jinja_order(r, &x->items[i], &y->items[i], op, out);
    }
    *out = x->n < y->n ? -1 : x->n > y->n;
    return HONE_OK;
}

hone_status jinja_order(jinja_run *r, const jinja_value *a, const jinja_value *b, const char *op,
                        int *out)
{
    *out = 0;
    HONE_TRY(jinja_charge(r, 1));
    if (jinja_is_number(a) && jinja_is_number(b)) {
        *out = order_numbers(a, b);
        return HONE_OK;
    }
    if (a->type == JINJA_V_STR && b->type == JINJA_V_STR) {
        uint32_t n = a->n < b->n ? a->n : b->n;
        HONE_TRY(jinja_charge(r, n / 16));
        int c = n ? memcmp(a->as.s, b->as.s, n) : 0;
        *out = c < 0 ? -1 : c > 0; /* 2 would be "no order" */
        if (*out == 0)
            *out = a->n < b->n ? -1 : a->n > b->n;
        return HONE_OK;
    }
    if (a->type == b->type && (a->type == JINJA_V_LIST || a->type == JINJA_V_TUPLE)) {
        HONE_TRY(jinja_enter(r, 1));
        hone_status s = order_sequences(r, a, b, op, out);
        jinja_leave(r, 1);
        return s;
    }
    if (a->type == JINJA_V_UNDEFINED || b->type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, a->type == JINJA_V_UNDEFINED ? a : b);
    return jinja_raise(r, HONE_DATA, "'%s' not supported between instances of '%s' and '%s'", op,
                       jinja_type_name(a), jinja_type_name(b));
}

hone_status jinja_contains(jinja_run *r, const jinja_value *in, const jinja_value *what, bool *out)
{
    *out = false;
    if (in->type == JINJA_V_STR) {
        if (what->type == JINJA_V_UNDEFINED)
            return jinja_raise(r, HONE_DATA,
                               "'in <string>' requires string as left operand, not Undefined");
        if (what->type != JINJA_V_STR)
            return jinja_raise(r, HONE_DATA,
                               "'in <string>' requires string as left operand, not %s",
                               jinja_type_name(what));
        HONE_TRY(jinja_charge(r, in->n / 16));
        *out = what->n == 0 || (in->n && memmem(in->as.s, in->n, what->as.s, what->n) != NULL);
        return HONE_OK;
    }
    if (in->type == JINJA_V_DICT) {
        const jinja_value *found;
        HONE_TRY(jinja_dict_get(r, in, what, &found));
        *out = found != NULL;
        return HONE_OK;
    }
    if (in->type != JINJA_V_UNDEFINED && !jinja_is_sequence(in))
        return jinja_raise(r, HONE_DATA, "argument of type '%s' is not iterable",
                           jinja_type_name(in));
    jinja_value *items;
    uint32_t n;
    HONE_TRY(jinja_items(r, in, &items, &n));
    for (uint32_t i = 0; !*out && i < n; i++)
        HONE_TRY(jinja_equal(r, &items[i], what, out));
    return HONE_OK;
}

/* ---- arithmetic ---- */

static hone_status overflow(jinja_run *r)
{
    return jinja_raise(r, HONE_UNSUPPORTED, "a whole number beyond 64 bits");
}

static hone_status by_zero(jinja_run *r)
{
    return jinja_raise(r, HONE_DATA, "division by zero");
}

static hone_status int_power(jinja_run *r, int64_t base, int64_t exponent, jinja_value *out)
{
    int64_t result = 1;
    while (exponent) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result))
            return overflow(r);
        exponent >>= 1;
        if (exponent && __builtin_mul_overflow(base, base, &base))
            return overflow(r);
    }
    *out = jinja_int(result);
    return HONE_OK;
}

static int64_t floor_divide(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return q - (a % b != 0 && (a < 0) != (b < 0));
}

static hone_status int_arithmetic(jinja_run *r, char op, int64_t a, int64_t b, jinja_value *out)
{
    int64_t c = 0;
    bool over = false;
    switch (op) {
    case '+':
        over = __builtin_add_overflow(a, b, &c);
        break;
    case '-':
        over = __builtin_sub_overflow(a, b, &c);
        break;
    case '*':
        over = __builtin_mul_overflow(a, b, &c);
        break;
    case '/':
        if (b == 0)
            return by_zero(r);
        *out = jinja_float((double)a / (double)b);
        return HONE_OK;
    case 'f':
    case '%':
        if (b == 0)
            return jinja_raise(r, HONE_DATA, "integer division or modulo by zero");
        if (b == -1) {
            over = op == 'f' && a == INT64_MIN;
            c = op == 'f' && !over ? -a : 0;
            break;
        }
        c = op == 'f' ? floor_divide(a, b) : a - floor_divide(a, b) * b;
        break;
    default:
        if (b >= 0)
            return int_power(r, a, b, out);
        if (a == 0)
            return jinja_raise(r, HONE_DATA, "0.0 cannot be raised to a negative power");
        *out = jinja_float(pow((double)a, (double)b));
        return HONE_OK;
    }
    if (over)
        return overflow(r);
    *out = jinja_int(c);
    return HONE_OK;
}

static hone_status float_arithmetic(jinja_run *r, char op, double a, double b, jinja_value *out)
{
    double c = 0;
    if (b == 0 && (op == '/' || op == 'f' || op == '%'))
        return jinja_raise(r, HONE_DATA, "float division by zero");
    switch (op) {
    case '+':
        c = a + b;
        break;
    case '-':
        c = a - b;
        break;
    case '*':
        c = a * b;
        break;
    case '/':
        c = a / b;
        break;
    case 'f':
    case '%': { /* float_divmod of CPython */
        double mod = fmod(a, b), div = (a - mod) / b;
        if (mod != 0 && (b < 0) != (mod < 0)) {
            mod += b;
            div -= 1;
        } else if (mod == 0) {
            mod = copysign(0, b);
        }
        double whole = div != 0 ? floor(div) : copysign(0, a / b);
        if (div != 0 && div - whole > 0.5)
            whole += 1;
        c = op == 'f' ? whole : mod;
        break;
    }
    default:
        if (a < 0 && b != trunc(b) && !isinf(b))
            return jinja_raise(r, HONE_UNSUPPORTED, "a complex number");
        c = pow(a, b);
        if (isinf(c) && !isinf(a) && !isinf(b))
            return jinja_raise(r, HONE_DATA,
                               a == 0 ? "0.0 cannot be raised to a negative power"
                                      : "(34, 'Numerical result out of range')");
        break;
    }
    *out = jinja_float(c);
    return HONE_OK;
}

static hone_status repeat(jinja_run *r, const jinja_value *v, int64_t times, jinja_value *out)
{
    size_t n = v->type == JINJA_V_STR ? v->n : v->as.seq->n, total;
    if (times < 0)
        times = 0;
    if (hone_mul_overflow(n, (size_t)times, &total) || total > UINT32_MAX / 2)
        return jinja_raise(r, HONE_LIMIT, "a repetition that is too large");
    if (v->type == JINJA_V_STR) {
        char *s;
        HONE_TRY(jinja_alloc(r, total + 1, 1, &s));
        HONE_TRY(jinja_charge(r, n ? total / n : 0));
        for (size_t i = 0; i < total; i += n)
            memcpy(s + i, v->as.s, n);
        *out = jinja_str(s, total);
        out->markup = v->markup;
        return HONE_OK;
    }
    HONE_TRY(jinja_seq_new(r, (jinja_type)v->type, (uint32_t)total, out));
    for (size_t i = 0; i < total; i += n)
        memcpy(out->as.seq->items + i, v->as.seq->items, n * sizeof(jinja_value));
    out->as.seq->n = (uint32_t)total;
    return HONE_OK;
}

static hone_status add_texts(jinja_run *r, const jinja_value *a, const jinja_value *b,
                             jinja_value *out)
{
    jinja_value x = *a, y = *b;
    bool markup = a->markup || b->markup;
    if (markup && !a->markup)
        HONE_TRY(jinja_escape(r, a, &x));
    if (markup && !b->markup)
        HONE_TRY(jinja_escape(r, b, &y));
    HONE_TRY(jinja_str_join(r, &x, &y, out));
    out->markup = markup;
    return HONE_OK;
}

static hone_status add_sequences(jinja_run *r, const jinja_value *a, const jinja_value *b,
                                 jinja_value *out)
{
    uint32_t n = a->as.seq->n, m = b->as.seq->n;
    HONE_TRY(jinja_charge(r, (n + (uint64_t)m) / 4));
    HONE_TRY(jinja_seq_new(r, (jinja_type)a->type, n + m, out));
    if (n)
        memcpy(out->as.seq->items, a->as.seq->items, n * sizeof *a);
    if (m)
        memcpy(out->as.seq->items + n, b->as.seq->items, m * sizeof *b);
    out->as.seq->n = n + m;
    return HONE_OK;
}

static bool repeats(const jinja_value *v)
{
    return v->type == JINJA_V_STR || v->type == JINJA_V_LIST || v->type == JINJA_V_TUPLE;
}

hone_status jinja_arithmetic(jinja_run *r, char op, const jinja_value *a, const jinja_value *b,
                             jinja_value *out)
{
    int64_t x, y;
    if (a->type == JINJA_V_STR && op == '%')
        return jinja_format_percent(r, a, b, out);
    if (a->type == JINJA_V_UNDEFINED || b->type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, a->type == JINJA_V_UNDEFINED ? a : b);
    if (jinja_as_int(a, &x) && jinja_as_int(b, &y))
        return int_arithmetic(r, op, x, y, out);
    if (jinja_is_number(a) && jinja_is_number(b))
        return float_arithmetic(r, op, jinja_as_double(a), jinja_as_double(b), out);
    if (op == '+' && a->type == b->type && a->type == JINJA_V_STR)
        return add_texts(r, a, b, out);
    if (op == '+' && a->type == b->type && repeats(a))
        return add_sequences(r, a, b, out);
    if (op == '*' && repeats(a) && jinja_as_int(b, &y))
        return repeat(r, a, y, out);
    if (op == '*' && repeats(b) && jinja_as_int(a, &x))
        return repeat(r, b, x, out);
    if (op == '+' && a->type == JINJA_V_STR)
        return jinja_raise(r, HONE_DATA, "can only concatenate str (not \"%s\") to str",
                           jinja_type_name(b));
    char text[3] = {op, 0, 0};
    return jinja_raise(r, HONE_DATA, "unsupported operand type(s) for %s: '%s' and '%s'",
                       op == 'f'   ? "//"
                       : op == '^' ? "** or pow()"
                                   : text,
                       jinja_type_name(a), jinja_type_name(b));
}
