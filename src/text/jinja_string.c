/* What Python's str can do: case, stripping, splitting, searching; its methods as a table. */
#include "text/jinja_value.h"

#include "base/utf8.h"

#include <string.h>
#include <utf8proc.h>

typedef jinja_run run;
typedef jinja_value value;

/* ---- case ---- */

/* Capitals of more than one character (Unicode's SpecialCasing, without Greek with iota). */
static const struct {
    uint32_t small;
    const char *upper, *title;
} long_upper[] = {
    {0xDF, "SS", "Ss"},   {0x149, "ʼN", "ʼN"},  {0x1F0, "J̌", "J̌"},      {0x390, "Ϊ́", "Ϊ́"},
    {0x3B0, "Ϋ́", "Ϋ́"},    {0x587, "ԵՒ", "Եւ"},  {0x1E96, "H̱", "H̱"},     {0x1E97, "T̈", "T̈"},
    {0x1E98, "W̊", "W̊"},   {0x1E99, "Y̊", "Y̊"},   {0x1E9A, "Aʾ", "Aʾ"},   {0xFB00, "FF", "Ff"},
    {0xFB01, "FI", "Fi"}, {0xFB02, "FL", "Fl"}, {0xFB03, "FFI", "Ffi"}, {0xFB04, "FFL", "Ffl"},
    {0xFB05, "ST", "St"}, {0xFB06, "ST", "St"}, {0xFB13, "ՄՆ", "Մն"},   {0xFB14, "ՄԵ", "Մե"},
    {0xFB15, "ՄԻ", "Մի"}, {0xFB16, "ՎՆ", "Վն"}, {0xFB17, "ՄԽ", "Մխ"},
};

static bool is_cased(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT;
}

static hone_status put_code(run *r, jinja_text *t, utf8proc_int32_t c)
{
    char buf[4];
    return jinja_text_add(r, t, buf, hone_utf8_put((uint32_t)c, buf));
}

static hone_status put_upper(run *r, jinja_text *t, uint32_t c, bool title)
{
    for (size_t i = 0; c >= 0xDF && i < sizeof long_upper / sizeof *long_upper; i++)
        if (long_upper[i].small == c)
            return jinja_text_cstr(r, t, title ? long_upper[i].title : long_upper[i].upper);
    return put_code(r, t,
                    title ? utf8proc_totitle((utf8proc_int32_t)c)
                          : utf8proc_toupper((utf8proc_int32_t)c));
}

/* after: a letter stands before; before: a letter follows (a sigma between is not final). */
static hone_status put_lower(run *r, jinja_text *t, uint32_t c, bool after, bool before)
{
    if (c == 0x130)
        return jinja_text_cstr(r, t, "i̇");
    if (c == 0x3A3 && after && !before)
        return put_code(r, t, 0x3C2);
    return put_code(r, t, utf8proc_tolower((utf8proc_int32_t)c));
}

static hone_status change_case(run *r, jinja_text *t, const char *s, size_t n, jinja_case how)
{
    bool after = false;
    HONE_TRY(jinja_charge(r, n));
    for (size_t i = 0; i < n;) {
        size_t bytes = hone_utf8_length(s[i]);
        uint32_t c = hone_utf8_code(s + i);
        bool first = i == 0;
        i += bytes;
        bool before = i < n && is_cased(hone_utf8_code(s + i));
        bool cased = is_cased(c);
        utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
        if (how == JINJA_UPPER)
            HONE_TRY(put_upper(r, t, c, false));
        else if ((how == JINJA_CAPITALIZE && first) || (how == JINJA_TITLE && !after))
            HONE_TRY(put_upper(r, t, c, true));
        else if (how == JINJA_SWAP && k == UTF8PROC_CATEGORY_LL)
            HONE_TRY(put_upper(r, t, c, false));
        else if (how == JINJA_SWAP && k != UTF8PROC_CATEGORY_LU)
            HONE_TRY(put_code(r, t, (utf8proc_int32_t)c));
        else
            HONE_TRY(put_lower(r, t, c, after, before));
        after = cased;
    }
    return HONE_OK;
}

hone_status jinja_change_case(run *r, const value *v, jinja_case how, value *out)
{
    jinja_text t = {0};
    value s;
    HONE_TRY(jinja_to_str(r, v, &s));
    hone_status status = change_case(r, &t, s.as.s, s.n, how);
    HONE_TRY(jinja_text_take(r, &t, status, out));
    out->markup = s.markup;
    return HONE_OK;
}

/* ---- stripping, replacing ---- */

static bool strips(const char *s, const value *set)
{
    size_t bytes = hone_utf8_length(*s);
    if (set->type != JINJA_V_STR)
        return jinja_is_space(hone_utf8_code(s));
    return set->n && memmem(set->as.s, set->n, s, bytes) != NULL;
}

value jinja_strip(const value *v, const value *set, jinja_side side)
{
    const char *s = v->as.s, *end = s + v->n;
    while ((side & JINJA_LEFT) && s < end && strips(s, set))
        s += hone_utf8_length(*s);
    while ((side & JINJA_RIGHT) && s < end) {
        const char *last = end - 1;
        while (((uint8_t)*last & 0xC0) == 0x80)
            last--;
        if (!strips(last, set))
            break;
        end = last;
    }
    value out = *v;
    out.as.s = s;
    out.n = (uint32_t)(end - s);
    return out;
}

hone_status jinja_strip_value(run *r, const value *v, const value *set, jinja_side side, value *out)
{
    uint64_t each = set->type == JINJA_V_STR ? 1 + set->n / 8 : 1; /* at worst */
    HONE_TRY(jinja_charge(r, v->n / 16 * each));
    *out = jinja_strip(v, set, side);
    return HONE_OK;
}

static hone_status replace_text(run *r, jinja_text *t, const value *v, const value *old,
                                const value *fresh, int64_t count)
{
    const char *s = v->as.s, *end = s + v->n;
    for (; count != 0; count--) {
        size_t skip = 0; /* an empty `old` is found before every character and at the end */
        const char *next = s;
        if (old->n)
            next = s < end ? memmem(s, (size_t)(end - s), old->as.s, old->n) : NULL;
        else
            skip = s < end ? hone_utf8_length(*s) : 0;
        if (!next)
            break;
        HONE_TRY(jinja_charge(r, 1 + (uint64_t)(next - s) / 16));
        HONE_TRY(jinja_text_add(r, t, s, (size_t)(next - s)));
        HONE_TRY(jinja_text_add(r, t, fresh->as.s, fresh->n));
        HONE_TRY(jinja_text_add(r, t, next, skip));
        s = next + old->n + skip;
        if (!old->n && !skip)
            return HONE_OK;
    }
    return jinja_text_add(r, t, s, (size_t)(end - s));
}

hone_status jinja_replace(run *r, const value *v, const value *old, const value *fresh,
                          int64_t count, value *out)
{
    jinja_text t = {0};
    HONE_TRY(jinja_charge(r, v->n / 16));
    if (old->n && (v->n == 0 || !memmem(v->as.s, v->n, old->as.s, old->n))) {
        *out = *v;
        return HONE_OK;
    }
    hone_status status = replace_text(r, &t, v, old, fresh, count);
    HONE_TRY(jinja_text_take(r, &t, status, out));
    out->markup = v->markup;
    return HONE_OK;
}

/* ---- arguments ---- */

static hone_status need_str(run *r, const value *v, const char *what)
{
    if (v->type == JINJA_V_STR)
        return HONE_OK;
    if (v->type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, v);
    return jinja_raise(r, HONE_DATA, "%s: a str is needed, not %s", what, jinja_type_name(v));
}

/* ---- splitting ---- */

static hone_status add_piece(run *r, value *list, const char *s, const char *end)
{
    value piece = jinja_str(s, (size_t)(end - s));
    HONE_TRY(jinja_charge(r, 1 + (uint64_t)(end - s) / 16));
    return jinja_seq_add(r, list, &piece);
}

static hone_status split_at_space(run *r, const value *v, int64_t most, value *out)
{
    const char *s = v->as.s, *end = s + v->n;
    for (;;) {
        while (s < end && jinja_is_space(hone_utf8_code(s)))
            s += hone_utf8_length(*s);
        if (s == end)
            return HONE_OK;
        const char *next = s;
        if (most-- == 0)
            return add_piece(r, out, s, end);
        while (next < end && !jinja_is_space(hone_utf8_code(next)))
            next += hone_utf8_length(*next);
        HONE_TRY(add_piece(r, out, s, next));
        s = next;
    }
}

static hone_status split_at(run *r, const value *v, const value *sep, int64_t most, value *out)
{
    const char *s = v->as.s, *end = s + v->n, *next;
    while (most-- != 0 && s < end && (next = memmem(s, (size_t)(end - s), sep->as.s, sep->n))) {
        HONE_TRY(add_piece(r, out, s, next));
        s = next + sep->n;
    }
    return add_piece(r, out, s, end);
}

/* The last place where `what` stands in s[0..n), or NULL. */
static hone_status find_last(run *r, const char *s, size_t n, const value *what, const char **out)
{
    *out = NULL;
    for (size_t i = n >= what->n ? n - what->n + 1 : 0; i-- > 0;) {
        if (i % 64 == 0)
            HONE_TRY(jinja_charge(r, 1 + what->n / 2));
        if (memcmp(s + i, what->as.s, what->n) == 0) {
            *out = s + i;
            break;
        }
    }
    return HONE_OK;
}

static void reverse_items(value *list)
{
    jinja_seq *seq = list->as.seq;
    for (uint32_t i = 0; i < seq->n / 2; i++) {
        value v = seq->items[i];
        seq->items[i] = seq->items[seq->n - 1 - i];
        seq->items[seq->n - 1 - i] = v;
    }
}

static hone_status rsplit_at(run *r, const value *v, const value *sep, int64_t most, value *out)
{
    const char *s = v->as.s, *end = s + v->n, *last;
    while (most-- != 0) {
        HONE_TRY(find_last(r, s, (size_t)(end - s), sep, &last));
        if (!last)
            break;
        HONE_TRY(add_piece(r, out, last + sep->n, end));
        end = last;
    }
    HONE_TRY(add_piece(r, out, s, end));
    reverse_items(out);
    return HONE_OK;
}

static hone_status rsplit_at_space(run *r, const value *v, int64_t most, value *out)
{
    value rest = jinja_strip(v, &jinja_none, JINJA_RIGHT);
    while (rest.n) {
        const char *s = rest.as.s, *last = s + rest.n;
        if (most-- == 0) {
            HONE_TRY(add_piece(r, out, s, last));
            break;
        }
        while (last > s) {
            const char *before = last - 1;
            while (((uint8_t)*before & 0xC0) == 0x80)
                before--;
            if (jinja_is_space(hone_utf8_code(before)))
                break;
            last = before;
        }
        HONE_TRY(add_piece(r, out, last, s + rest.n));
        rest.n = (uint32_t)(last - s);
        rest = jinja_strip(&rest, &jinja_none, JINJA_RIGHT);
    }
    reverse_items(out);
    return HONE_OK;
}

static hone_status split_either(run *r, const jinja_args *a, bool right, value *out)
{
    int64_t most;
    const value *sep = &a->v[0];
    HONE_TRY(jinja_get_int(r, &a->v[1], -1, &most));
    HONE_TRY(jinja_charge(r, a->self.n / 8));
    HONE_TRY(jinja_seq_new(r, JINJA_V_LIST, 0, out));
    if (sep->type == JINJA_V_ABSENT || sep->type == JINJA_V_NONE)
        return right ? rsplit_at_space(r, &a->self, most, out)
                     : split_at_space(r, &a->self, most, out);
    HONE_TRY(need_str(r, sep, "split"));
    if (sep->n == 0)
        return jinja_raise(r, HONE_DATA, "empty separator");
    return right ? rsplit_at(r, &a->self, sep, most, out) : split_at(r, &a->self, sep, most, out);
}

/* Pieces of markup are markup. */
static hone_status mark_pieces(const value *whole, hone_status s, value *out)
{
    for (uint32_t i = 0; s == HONE_OK && i < out->as.seq->n; i++)
        out->as.seq->items[i].markup = whole->markup;
    return s;
}

static hone_status m_split(run *r, const jinja_args *a, value *out)
{
    return mark_pieces(&a->self, split_either(r, a, false, out), out);
}

static hone_status m_rsplit(run *r, const jinja_args *a, value *out)
{
    return mark_pieces(&a->self, split_either(r, a, true, out), out);
}

static bool is_line_end(uint32_t c)
{
    return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

static hone_status m_splitlines(run *r, const jinja_args *a, value *out)
{
    bool keep;
    HONE_TRY(jinja_truth(r, &a->v[0], &keep));
    HONE_TRY(jinja_seq_new(r, JINJA_V_LIST, 0, out));
    const char *s = a->self.as.s, *end = s + a->self.n;
    while (s < end) {
        const char *line = s;
        while (s < end && !is_line_end(hone_utf8_code(s)))
            s += hone_utf8_length(*s);
        const char *stop = s;
        if (s < end)
            s += *s == '\r' && s + 1 < end && s[1] == '\n' ? 2 : hone_utf8_length(*s);
        HONE_TRY(add_piece(r, out, line, keep ? s : stop));
    }
    return mark_pieces(&a->self, HONE_OK, out);
}

static hone_status partition(run *r, const jinja_args *a, bool right, value *out)
{
    const char *s = a->self.as.s, *found = NULL;
    size_t n = a->self.n;
    HONE_TRY(need_str(r, &a->v[0], "partition"));
    if (a->v[0].n == 0)
        return jinja_raise(r, HONE_DATA, "empty separator");
    HONE_TRY(jinja_charge(r, n / 8));
    if (right)
        HONE_TRY(find_last(r, s, n, &a->v[0], &found));
    else if (n)
        found = memmem(s, n, a->v[0].as.s, a->v[0].n);
    HONE_TRY(jinja_seq_new(r, JINJA_V_TUPLE, 3, out));
    value *p = out->as.seq->items;
    out->as.seq->n = 3;
    p[0] = p[1] = p[2] = jinja_str("", 0);
    if (!found) {
        p[right ? 2 : 0] = a->self;
        return HONE_OK;
    }
    size_t after = (size_t)(found - s) + a->v[0].n;
    p[0] = jinja_str(s, (size_t)(found - s));
    p[1] = a->v[0];
    p[2] = jinja_str(s + after, n - after);
    return HONE_OK;
}

static hone_status m_partition(run *r, const jinja_args *a, value *out)
{
    return mark_pieces(&a->self, partition(r, a, false, out), out);
}

static hone_status m_rpartition(run *r, const jinja_args *a, value *out)
{
    return mark_pieces(&a->self, partition(r, a, true, out), out);
}

/* ---- stripping ---- */

static hone_status strip_side(run *r, const jinja_args *a, jinja_side side, value *out)
{
    if (a->v[0].type != JINJA_V_ABSENT && a->v[0].type != JINJA_V_NONE)
        HONE_TRY(need_str(r, &a->v[0], "strip"));
    return jinja_strip_value(r, &a->self, &a->v[0], side, out);
}

static hone_status m_strip(run *r, const jinja_args *a, value *out)
{
    return strip_side(r, a, JINJA_BOTH, out);
}

static hone_status m_lstrip(run *r, const jinja_args *a, value *out)
{
    return strip_side(r, a, JINJA_LEFT, out);
}

static hone_status m_rstrip(run *r, const jinja_args *a, value *out)
{
    return strip_side(r, a, JINJA_RIGHT, out);
}

static bool fits(const value *s, const value *part, bool end)
{
    if (part->type != JINJA_V_STR || part->n > s->n)
        return false;
    return part->n == 0 || memcmp(s->as.s + (end ? s->n - part->n : 0), part->as.s, part->n) == 0;
}

static hone_status m_removeprefix(run *r, const jinja_args *a, value *out)
{
    HONE_TRY(need_str(r, &a->v[0], "removeprefix"));
    *out = a->self;
    if (fits(&a->self, &a->v[0], false)) {
        out->as.s += a->v[0].n;
        out->n -= a->v[0].n;
    }
    return HONE_OK;
}

static hone_status m_removesuffix(run *r, const jinja_args *a, value *out)
{
    HONE_TRY(need_str(r, &a->v[0], "removesuffix"));
    *out = a->self;
    if (fits(&a->self, &a->v[0], true))
        out->n -= a->v[0].n;
    return HONE_OK;
}

/* ---- searching ---- */

/* self[start:end] of the arguments v[1], v[2]; *before: characters before it; false in *valid when
 * start lies behind the end. */
static hone_status part_of(run *r, const jinja_args *a, value *out, size_t *before, bool *valid)
{
    int64_t start, end, n = 0;
    const value *from = &a->v[1], *to = &a->v[2];
    *before = 0;
    *valid = true;
    *out = a->self;
    bool given = (from->type != JINJA_V_ABSENT && from->type != JINJA_V_NONE) ||
                 (to->type != JINJA_V_ABSENT && to->type != JINJA_V_NONE);
    if (!given)
        return jinja_charge(r, a->self.n / 16);
    n = (int64_t)jinja_count_characters(a->self.as.s, a->self.n);
    const value absent = {0};
    HONE_TRY(jinja_get_int(r, from->type == JINJA_V_NONE ? &absent : from, 0, &start));
    HONE_TRY(jinja_get_int(r, to->type == JINJA_V_NONE ? &absent : to, n, &end));
    start = start < 0 ? (start + n < 0 ? 0 : start + n) : start;
    end = end < 0 ? (end + n < 0 ? 0 : end + n) : end > n ? n : end;
    *valid = start <= end && start <= n;
    if (!*valid)
        return HONE_OK;
    *before = (size_t)start;
    value x = jinja_int(start), y = jinja_int(end), step = {0};
    return jinja_get_slice(r, &a->self, &x, &y, &step, out);
}

static hone_status ends_with(run *r, const jinja_args *a, bool end, value *out)
{
    value part;
    size_t before;
    bool valid, yes = false;
    const value *what = &a->v[0];
    HONE_TRY(part_of(r, a, &part, &before, &valid));
    if (what->type == JINJA_V_TUPLE) {
        for (uint32_t i = 0; i < what->as.seq->n; i++) {
            HONE_TRY(need_str(r, &what->as.seq->items[i], "startswith or endswith"));
            yes = yes || (valid && fits(&part, &what->as.seq->items[i], end));
        }
    } else {
        HONE_TRY(need_str(r, what, end ? "endswith" : "startswith"));
        yes = valid && fits(&part, what, end);
    }
    *out = jinja_bool(yes);
    return HONE_OK;
}

static hone_status m_startswith(run *r, const jinja_args *a, value *out)
{
    return ends_with(r, a, false, out);
}

static hone_status m_endswith(run *r, const jinja_args *a, value *out)
{
    return ends_with(r, a, true, out);
}

/* Character index of v[0] in the part that v[1], v[2] say; -1. */
static hone_status find_index(run *r, const jinja_args *a, bool last, int64_t *out)
{
    value part;
    size_t before;
    bool valid;
    *out = -1;
    HONE_TRY(need_str(r, &a->v[0], "find"));
    HONE_TRY(part_of(r, a, &part, &before, &valid));
    if (!valid)
        return HONE_OK;
    const char *found;
    if (a->v[0].n == 0)
        found = last ? part.as.s + part.n : part.as.s;
    else if (last)
        HONE_TRY(find_last(r, part.as.s, part.n, &a->v[0], &found));
    else
        found = part.n ? memmem(part.as.s, part.n, a->v[0].as.s, a->v[0].n) : NULL;
    if (found)
        *out = (int64_t)(before + jinja_count_characters(part.as.s, (size_t)(found - part.as.s)));
    return jinja_charge(r, part.n / 8);
}

static hone_status m_find(run *r, const jinja_args *a, value *out)
{
    *out = jinja_int(0);
    return find_index(r, a, false, &out->as.i);
}

static hone_status m_rfind(run *r, const jinja_args *a, value *out)
{
    *out = jinja_int(0);
    return find_index(r, a, true, &out->as.i);
}

static hone_status m_index(run *r, const jinja_args *a, value *out)
{
    HONE_TRY(m_find(r, a, out));
    return out->as.i >= 0 ? HONE_OK : jinja_raise(r, HONE_DATA, "substring not found");
}

static hone_status m_rindex(run *r, const jinja_args *a, value *out)
{
    HONE_TRY(m_rfind(r, a, out));
    return out->as.i >= 0 ? HONE_OK : jinja_raise(r, HONE_DATA, "substring not found");
}

static hone_status m_count(run *r, const jinja_args *a, value *out)
{
    value part;
    size_t before;
    bool valid;
    int64_t count = 0;
    HONE_TRY(need_str(r, &a->v[0], "count"));
    HONE_TRY(part_of(r, a, &part, &before, &valid));
    if (valid && a->v[0].n == 0) {
        count = (int64_t)jinja_count_characters(part.as.s, part.n) + 1;
    } else if (valid) {
        const char *s = part.as.s, *end = s + part.n;
        while (s < end && (s = memmem(s, (size_t)(end - s), a->v[0].as.s, a->v[0].n))) {
            s += a->v[0].n;
            count++;
        }
    }
    *out = jinja_int(count);
    return jinja_charge(r, part.n / 8);
}

/* ---- joining, filling ---- */

static hone_status join_items(run *r, jinja_text *t, const value *sep, const value *items,
                              uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (items[i].type != JINJA_V_STR)
            return jinja_raise(r, HONE_DATA, "sequence item %u: expected str instance, %s found", i,
                               jinja_type_name(&items[i]));
        if (i)
            HONE_TRY(jinja_text_add(r, t, sep->as.s, sep->n));
        HONE_TRY(jinja_text_add(r, t, items[i].as.s, items[i].n));
    }
    return HONE_OK;
}

static hone_status m_join(run *r, const jinja_args *a, value *out)
{
    value *items;
    uint32_t n;
    jinja_text t = {0};
    HONE_TRY(jinja_items(r, &a->v[0], &items, &n));
    return jinja_text_take(r, &t, join_items(r, &t, &a->self, items, n), out);
}

static hone_status fill_text(run *r, jinja_text *t, const jinja_args *a, jinja_side side)
{
    int64_t width;
    value fill = jinja_str(" ", 1);
    HONE_TRY(jinja_get_int(r, &a->v[0], 80, &width));
    if (a->v[1].type != JINJA_V_ABSENT) {
        HONE_TRY(need_str(r, &a->v[1], "the character to fill with"));
        fill = a->v[1];
        if (jinja_count_characters(fill.as.s, fill.n) != 1)
            return jinja_raise(r, HONE_DATA,
                               "The fill character must be exactly one character long");
    }
    int64_t n = (int64_t)jinja_count_characters(a->self.as.s, a->self.n);
    int64_t gap = width > n ? width - n : 0, left = side == JINJA_RIGHT ? gap : 0;
    if (gap > UINT32_MAX / 2)
        return jinja_raise(r, HONE_LIMIT, "a text of %lld characters", (long long)width);
    if (side == JINJA_BOTH)
        left = gap / 2 + (gap & width & 1);
    HONE_TRY(jinja_text_fill(r, t, fill.as.s, fill.n, (size_t)left));
    HONE_TRY(jinja_text_add(r, t, a->self.as.s, a->self.n));
    return jinja_text_fill(r, t, fill.as.s, fill.n, (size_t)(gap - left));
}

static hone_status m_ljust(run *r, const jinja_args *a, value *out)
{
    jinja_text t = {0};
    return jinja_text_take(r, &t, fill_text(r, &t, a, JINJA_LEFT), out);
}

static hone_status m_rjust(run *r, const jinja_args *a, value *out)
{
    jinja_text t = {0};
    return jinja_text_take(r, &t, fill_text(r, &t, a, JINJA_RIGHT), out);
}

static hone_status m_center(run *r, const jinja_args *a, value *out)
{
    jinja_text t = {0};
    return jinja_text_take(r, &t, fill_text(r, &t, a, JINJA_BOTH), out);
}

static hone_status m_zfill(run *r, const jinja_args *a, value *out)
{
    value v[2] = {a->v[0], jinja_str("0", 1)};
    jinja_args with = *a;
    bool sign = a->self.n && (*a->self.as.s == '-' || *a->self.as.s == '+');
    value lead = jinja_str(a->self.as.s, sign);
    with.v = v;
    with.self.as.s += sign;
    with.self.n -= sign;
    int64_t width;
    HONE_TRY(jinja_get_int(r, &v[0], 0, &width));
    v[0] = jinja_int(width > 0 ? width - sign : 0);
    HONE_TRY(m_rjust(r, &with, out));
    return jinja_str_join(r, &lead, out, out);
}

static hone_status m_replace(run *r, const jinja_args *a, value *out)
{
    int64_t count;
    HONE_TRY(need_str(r, &a->v[0], "replace"));
    HONE_TRY(need_str(r, &a->v[1], "replace"));
    HONE_TRY(jinja_get_int(r, &a->v[2], -1, &count));
    return jinja_replace(r, &a->self, &a->v[0], &a->v[1], count, out);
}

/* ---- case and kind of the characters ---- */

static hone_status m_upper(run *r, const jinja_args *a, value *out)
{
    return jinja_change_case(r, &a->self, JINJA_UPPER, out);
}

static hone_status m_lower(run *r, const jinja_args *a, value *out)
{
    return jinja_change_case(r, &a->self, JINJA_LOWER, out);
}

static hone_status m_capitalize(run *r, const jinja_args *a, value *out)
{
    return jinja_change_case(r, &a->self, JINJA_CAPITALIZE, out);
}

static hone_status m_title(run *r, const jinja_args *a, value *out)
{
    return jinja_change_case(r, &a->self, JINJA_TITLE, out);
}

static hone_status m_swapcase(run *r, const jinja_args *a, value *out)
{
    return jinja_change_case(r, &a->self, JINJA_SWAP, out);
}

/* One of these kinds for every character, of which there is at least one. */
static hone_status all_kinds(run *r, const jinja_args *a, uint64_t kinds, value *out)
{
    const char *s = a->self.as.s, *end = s + a->self.n;
    bool yes = s < end;
    for (; yes && s < end; s += hone_utf8_length(*s))
        yes = kinds >> utf8proc_category((utf8proc_int32_t)hone_utf8_code(s)) & 1;
    *out = jinja_bool(yes);
    return jinja_charge(r, a->self.n / 4);
}

#define KIND(name) ((uint64_t)1 << UTF8PROC_CATEGORY_##name)
static const uint64_t letters = KIND(LU) | KIND(LL) | KIND(LT) | KIND(LM) | KIND(LO);

static hone_status m_isalpha(run *r, const jinja_args *a, value *out)
{
    return all_kinds(r, a, letters, out);
}

static hone_status m_isalnum(run *r, const jinja_args *a, value *out)
{
    return all_kinds(r, a, letters | KIND(ND) | KIND(NL) | KIND(NO), out);
}

static hone_status m_isdigit(run *r, const jinja_args *a, value *out)
{
    return all_kinds(r, a, KIND(ND), out);
}

static hone_status m_isspace(run *r, const jinja_args *a, value *out)
{
    value rest = jinja_strip(&a->self, &jinja_none, JINJA_LEFT);
    *out = jinja_bool(a->self.n && rest.n == 0);
    return jinja_charge(r, a->self.n / 4);
}

/* At least one cased character, and all that are cased are of this kind. */
static hone_status all_cased(run *r, const jinja_args *a, utf8proc_category_t kind, value *out)
{
    const char *s = a->self.as.s, *end = s + a->self.n;
    bool any = false, all = true;
    for (; all && s < end; s += hone_utf8_length(*s)) {
        uint32_t c = hone_utf8_code(s);
        if (!is_cased(c))
            continue;
        any = true;
        all = utf8proc_category((utf8proc_int32_t)c) == kind;
    }
    *out = jinja_bool(any && all);
    return jinja_charge(r, a->self.n / 4);
}

static hone_status m_islower(run *r, const jinja_args *a, value *out)
{
    return all_cased(r, a, UTF8PROC_CATEGORY_LL, out);
}

static hone_status m_isupper(run *r, const jinja_args *a, value *out)
{
    return all_cased(r, a, UTF8PROC_CATEGORY_LU, out);
}

const jinja_builtin jinja_str_methods[] = {
    {"capitalize", m_capitalize, "", 0},
    {"casefold", m_lower, "", 0},
    {"center", m_center, "width fillchar", 1},
    {"count", m_count, "sub start end", 1},
    {"endswith", m_endswith, "suffix start end", 1},
    {"find", m_find, "sub start end", 1},
    {"format", jinja_format_braces, NULL, 0},
    {"index", m_index, "sub start end", 1},
    {"isalnum", m_isalnum, "", 0},
    {"isalpha", m_isalpha, "", 0},
    {"isdecimal", m_isdigit, "", 0},
    {"isdigit", m_isdigit, "", 0},
    {"islower", m_islower, "", 0},
    {"isnumeric", m_isdigit, "", 0},
    {"isspace", m_isspace, "", 0},
    {"isupper", m_isupper, "", 0},
    {"join", m_join, "iterable", 1},
    {"ljust", m_ljust, "width fillchar", 1},
    {"lower", m_lower, "", 0},
    {"lstrip", m_lstrip, "chars", 0},
    {"partition", m_partition, "sep", 1},
    {"removeprefix", m_removeprefix, "prefix", 1},
    {"removesuffix", m_removesuffix, "suffix", 1},
    {"replace", m_replace, "old new count", 2},
    {"rfind", m_rfind, "sub start end", 1},
    {"rindex", m_rindex, "sub start end", 1},
    {"rjust", m_rjust, "width fillchar", 1},
    {"rpartition", m_rpartition, "sep", 1},
    {"rsplit", m_rsplit, "sep maxsplit", 0},
    {"rstrip", m_rstrip, "chars", 0},
    {"split", m_split, "sep maxsplit", 0},
    {"splitlines", m_splitlines, "keepends", 0},
    {"startswith", m_startswith, "prefix start end", 1},
    {"strip", m_strip, "chars", 0},
    {"swapcase", m_swapcase, "", 0},
    {"title", m_title, "", 0},
    {"upper", m_upper, "", 0},
    {"zfill", m_zfill, "width", 1},
};
const size_t jinja_str_method_count = sizeof jinja_str_methods / sizeof *jinja_str_methods;
