/*
 * SentencePiece's precompiled_charsmap: the bytes of a double array, then replacements that end
 * with a 0. A unit holds a label (bits 0..7, 31), whether a value follows (8), and the offset of
 * its children (10.. with bit 9 as a shift), to be combined by exclusive or (darts-clone). Every
 * index from the file is checked when it is used.
 */
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

#include <utf8proc.h>

typedef struct charsmap {
    const uint8_t *units;
    uint32_t n_units;
    const char *strings;
    size_t strings_n;
} charsmap;

static uint32_t little32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

hone_status hone_charsmap_set(hone_tokenizer *t, const void *data, size_t n)
{
    if (t->charsmap.n)
        return hone_fail(HONE_UNSUPPORTED, "two character maps in one tokenizer");
    if (n < 5 || n > HONE_TOKENIZER_MAX)
        return hone_fail(HONE_FORMAT, "a character map of %zu bytes", n);
    uint32_t bytes = little32(data);
    if (bytes % 4 || bytes == 0 || bytes >= n - 4)
        return hone_fail(HONE_FORMAT,
                         "the character map says that its array has %u bytes, of %zu in all", bytes,
                         n);
    return hone_pool_add(t, data, n, &t->charsmap);
}

static charsmap open_map(const hone_tokenizer *t)
{
    const uint8_t *p = (const uint8_t *)hone_pool_str(t, t->charsmap);
    uint32_t bytes = t->charsmap.n ? little32(p) : 0;
    return (charsmap){p + 4, bytes / 4, (const char *)p + 4 + bytes,
                      t->charsmap.n ? t->charsmap.n - 4 - bytes : 0};
}

static bool unit(const charsmap *m, uint32_t at, uint32_t *out)
{
    if (at >= m->n_units)
        return false;
    *out = little32(m->units + 4 * (size_t)at);
    return true;
}

static uint32_t offset(uint32_t u)
{
    return (u >> 10) << ((u & 0x200) >> 6);
}

/*
 * The replacement of the shortest or longest prefix of p[0..n) in the map, and the prefix's bytes;
 * false if there is none. The pool's 0 ends the last replacement at the latest.
 */
static bool look_up(const charsmap *m, const char *p, size_t n, bool longest, const char **with,
                    size_t *bytes)
{
    uint32_t u, v, at, found = UINT32_MAX;
    if (!unit(m, 0, &u))
        return false;
    at = offset(u);
    for (size_t i = 0; i < n && p[i]; i++) {
        uint8_t c = (uint8_t)p[i];
        at ^= c;
        if (!unit(m, at, &u) || (u & (1u << 31 | 0xFF)) != c)
            break;
        at ^= offset(u);
        if (!(u & 0x100) || !unit(m, at, &v))
            continue;
        /* A match ends between characters. */
        if ((v & 0x7FFFFFFF) < m->strings_n && (i + 1 == n || ((uint8_t)p[i + 1] & 0xC0) != 0x80)) {
            found = v & 0x7FFFFFFF;
            *bytes = i + 1;
            if (!longest)
                break;
        }
    }
    if (found == UINT32_MAX)
        return false;
    *with = m->strings + found;
    size_t length = strlen(*with);
    return hone_utf8_valid_prefix(*with, length) == length;
}

/* At each place the longest match (sentencepiece, normalizer.cc: NormalizePrefix). */
hone_status hone_step_charsmap(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                               hone_str in)
{
    (void)step;
    charsmap m = open_map(t);
    for (uint32_t i = 0; i < in.n;) {
        const char *p = s->text + in.at + i, *with = p;
        size_t n = hone_utf8_length(*p), bytes = n;
        bool found = look_up(&m, p, in.n - i, true, &with, &bytes);
        HONE_TRY(hone_scratch_room(s, found ? 0 : n));
        HONE_TRY(
            hone_scratch_put_text(s, found ? with : s->text + in.at + i, found ? strlen(with) : n));
        i += (uint32_t)bytes;
    }
    return HONE_OK;
}

/* Appends what the tokenizers library makes of one part: the shortest match stands for all. */
static hone_status put_part(const charsmap *m, hone_scratch *s, hone_str part, bool whole_only,
                            bool *found)
{
    const char *with;
    size_t bytes;
    *found = look_up(m, s->text + part.at, part.n, false, &with, &bytes);
    if (*found)
        return hone_scratch_put_text(s, with, strlen(with));
    if (whole_only)
        return HONE_OK;
    HONE_TRY(hone_scratch_room(s, part.n));
    return hone_scratch_put_text(s, s->text + part.at, part.n);
}

/* Bytes of the grapheme at p. */
static uint32_t grapheme(const char *p, uint32_t n)
{
    uint32_t i = (uint32_t)hone_utf8_length(*p);
    if (i == n || ((uint8_t)p[0] < 0x80 && (uint8_t)p[i] < 0x80))
        return i < n && p[0] == '\r' && p[1] == '\n' ? 2 : i;
    utf8proc_int32_t state = 0, before = (utf8proc_int32_t)hone_utf8_code(p);
    while (i < n) {
        utf8proc_int32_t next = (utf8proc_int32_t)hone_utf8_code(p + i);
        if (utf8proc_grapheme_break_stateful(before, next, &state))
            break;
        i += (uint32_t)hone_utf8_length(p[i]);
        before = next;
    }
    return i;
}

/* tokenizers, normalizers/precompiled.rs: graphemes of less than 6 bytes whole, others by parts. */
hone_status hone_step_charsmap_hf(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                                  hone_str in)
{
    (void)step;
    charsmap m = open_map(t);
    bool plain[128]; /* ASCII that the map leaves alone */
    for (int c = 0; c < 128; c++) {
        char one = (char)c;
        const char *with;
        size_t bytes;
        plain[c] = c != '\r' && !look_up(&m, &one, 1, false, &with, &bytes);
    }
    HONE_TRY(hone_scratch_room(s, in.n));
    for (uint32_t i = 0; i < in.n;) {
        const uint8_t *p = (const uint8_t *)s->text + in.at + i;
        if (p[0] < 0x80 && plain[p[0]] && (i + 1 == in.n || p[1] < 0x80)) {
            HONE_TRY(hone_scratch_room(s, 1));
            s->text[s->text_n++] = s->text[in.at + i++];
            continue;
        }
        uint32_t n = grapheme(s->text + in.at + i, in.n - i);
        bool found = false;
        if (n < 6)
            HONE_TRY(put_part(&m, s, (hone_str){in.at + i, n}, true, &found));
        for (uint32_t k = 0; k < n && !found;) {
            uint32_t len = (uint32_t)hone_utf8_length(s->text[in.at + i + k]);
            bool unused;
            HONE_TRY(put_part(&m, s, (hone_str){in.at + i + k, len}, false, &unused));
            k += len;
        }
        i += n;
    }
    return HONE_OK;
}
