/*
 * RWKV's vocabulary: a line per token with its id, its bytes as a Python literal ('..' or b'..')
 * and their number. Text is cut greedily into the longest tokens.
 */
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

int64_t hone_hexadecimal(const char *s, size_t n)
{
    int64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        int c = (unsigned char)s[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

/* What one escape (after its backslash) stands for, and its length; -1 if it is none. */
static int64_t escape(const char *s, size_t n, bool is_bytes, size_t *len)
{
    static const char from[] = "\\'\"nrtabfv0", to[] = "\\'\"\n\r\t\a\b\f\v";
    const char *hit = *s ? strchr(from, *s) : NULL;
    *len = 1;
    if (hit)
        return to[hit - from];
    size_t digits = *s == 'x' ? 2 : *s == 'u' && !is_bytes ? 4 : *s == 'U' && !is_bytes ? 8 : 0;
    if (digits == 0 || n < 1 + digits)
        return -1;
    *len = 1 + digits;
    return hone_hexadecimal(s + 1, digits);
}

bool hone_unescape_python(const char *s, size_t n, bool is_bytes, char *out, size_t *bytes)
{
    size_t k = 0, len;
    for (size_t i = 0; i < n; i += len) {
        len = 1;
        if (s[i] != '\\') {
            out[k++] = s[i];
            continue;
        }
        if (++i == n)
            return false;
        int64_t c = escape(s + i, n - i, is_bytes, &len);
        if (c < 0 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
            return false;
        if (is_bytes)
            out[k++] = (char)c;
        else
            k += hone_utf8_put((uint32_t)c, out + k); /* never longer than the escape */
    }
    *bytes = k;
    return true;
}

typedef struct line {
    int64_t id;
    const char *literal;
    size_t n;
    bool is_bytes;
    size_t bytes; /* that the literal should have */
} line;

static bool read_number(const char *s, size_t n, int64_t *out)
{
    *out = 0;
    if (n == 0 || n > 9)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        *out = *out * 10 + (s[i] - '0');
    }
    return true;
}

static bool read_line(const char *s, size_t n, line *out)
{
    const char *first = memchr(s, ' ', n), *last = memrchr(s, ' ', n);
    int64_t bytes;
    if (!first || first == last || !read_number(s, (size_t)(first - s), &out->id) ||
        !read_number(last + 1, (size_t)(s + n - last - 1), &bytes))
        return false;
    const char *p = first + 1;
    out->is_bytes = *p == 'b';
    p += out->is_bytes;
    if (last - p < 2 || (*p != '\'' && *p != '"') || last[-1] != *p)
        return false;
    out->literal = p + 1;
    out->n = (size_t)(last - p) - 2;
    out->bytes = (size_t)bytes;
    return true;
}

static size_t line_bytes(const char *s, size_t n)
{
    const char *nl = memchr(s, '\n', n);
    return nl ? (size_t)(nl - s) : n;
}

bool hone_is_rwkv(const char *text, size_t n)
{
    line l;
    size_t len = n ? line_bytes(text, n) : 0;
    return len > 0 && len < 1024 && read_line(text, len - (len && text[len - 1] == '\r'), &l);
}

static hone_status read_tokens(hone_tokenizer *t, const char *text, size_t n, char *work)
{
    size_t number = 0;
    for (size_t i = 0, len; i < n; i += len + 1) {
        line l;
        size_t bytes;
        len = line_bytes(text + i, n - i);
        size_t end = len - (len && text[i + len - 1] == '\r');
        number++;
        if (end == 0)
            continue;
        if (end > HONE_PIECE_MAX || !read_line(text + i, end, &l) ||
            !hone_unescape_python(l.literal, l.n, l.is_bytes, work, &bytes))
            return hone_fail(HONE_FORMAT, "line %zu is not an id, a literal and its length",
                             number);
        if (bytes != l.bytes || bytes == 0)
            return hone_fail(HONE_FORMAT, "line %zu says that its token has %zu bytes; it has %zu",
                             number, l.bytes, bytes);
        HONE_TRY(hone_vocab_set(t, l.id, work, bytes, HONE_TOKEN_NORMAL, HONE_TOKEN_IS_MODEL));
        if ((size_t)t->n_tokens > 16 * number + 65536)
            return hone_fail(HONE_FORMAT, "line %zu has id %lld", number, (long long)l.id);
    }
    return HONE_OK;
}

hone_status hone_load_rwkv(hone_tokenizer *t, const char *text, size_t n)
{
    t->byte_level = t->plain_bytes = true;
    t->model = &hone_model_longest;
    char *work = hone_malloc(HONE_PIECE_MAX);
    if (!work)
        return hone_fail_memory(HONE_PIECE_MAX, "a token");
    hone_status s = read_tokens(t, text, n, work);
    hone_free(work);
    HONE_TRY(s);
    if (t->n_tokens && !(t->flags[0] & HONE_TOKEN_IS_SET))
        t->eos = 0; /* the models end a text with the id that the file leaves out */
    return hone_vocab_index(t);
}
