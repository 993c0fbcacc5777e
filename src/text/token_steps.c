/*
 * Steps from text to text, of a normalizer and of a decoder: each reads a stretch of the scratch
 * text and appends its result behind it. Those that know about Unicode are in token_unicode.c.
 */
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

#include <assert.h>

static hone_status keep(hone_scratch *s, hone_str in)
{
    HONE_TRY(hone_scratch_room(s, in.n)); /* may move the text */
    return hone_scratch_put_text(s, s->text + in.at, in.n);
}

static hone_status prepend(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                           hone_str in)
{
    if (in.n)
        HONE_TRY(hone_scratch_put_text(s, hone_pool_str(t, step->with), step->with.n));
    return keep(s, in);
}

static hone_status replace(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                           hone_str in)
{
    const char *what = hone_pool_str(t, step->what), *with = hone_pool_str(t, step->with);
    size_t n = step->what.n, m = step->with.n, hits = 0;
    if (n == 0)
        return keep(s, in);
    for (const char *p = s->text + in.at, *end = p + in.n;
         (p = memmem(p, (size_t)(end - p), what, n)); p += n)
        hits++;
    HONE_TRY(hone_scratch_room(s, in.n + hits * m));
    const char *p = s->text + in.at, *end = p + in.n;
    char *out = s->text + s->text_n;
    while (hits--) {
        const char *hit =
            n == 1 ? memchr(p, what[0], (size_t)(end - p)) : memmem(p, (size_t)(end - p), what, n);
        memcpy(out, p, (size_t)(hit - p));
        out += hit - p;
        memcpy(out, with, m);
        out += m;
        p = hit + n;
    }
    if (end > p)
        memcpy(out, p, (size_t)(end - p));
    out += end - p;
    s->text_n = (uint32_t)(out - s->text);
    return HONE_OK;
}

static hone_status replace_expression(const hone_tokenizer *t, hone_scratch *s,
                                      const hone_step *step, hone_str in)
{
    if (hone_utf8_valid_prefix(s->text + in.at, in.n) < in.n) /* a decoder's token may be bytes */
        return keep(s, in);
    uint32_t done = 0, from = 0, to = 0;
    for (;;) {
        from = to;
        HONE_TRY(hone_expression_next(step->code, s, in, &from, &to));
        HONE_TRY(hone_scratch_room(s, in.n));
        HONE_TRY(hone_scratch_put_text(s, s->text + in.at + done, from - done));
        if (from >= in.n)
            return HONE_OK;
        HONE_TRY(hone_scratch_put_text(s, hone_pool_str(t, step->with), step->with.n));
        done = to;
    }
}

static hone_status collapse(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                            hone_str in)
{
    (void)t, (void)step;
    HONE_TRY(hone_scratch_room(s, in.n));
    const char *p = s->text + in.at;
    uint32_t start = s->text_n;
    bool blank = true; /* drops blanks at the start */
    for (uint32_t i = 0; i < in.n; i++) {
        if (p[i] == ' ' && blank)
            continue;
        blank = p[i] == ' ';
        s->text[s->text_n++] = p[i];
    }
    if (blank && s->text_n > start)
        s->text_n--;
    return HONE_OK;
}

static hone_status to_alphabet(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                               hone_str in)
{
    (void)t, (void)step;
    HONE_TRY(hone_scratch_room(s, 2 * (size_t)in.n));
    for (uint32_t i = 0; i < in.n; i++)
        s->text_n += (uint32_t)hone_utf8_put(hone_byte_alphabet_code((uint8_t)s->text[in.at + i]),
                                             s->text + s->text_n);
    return HONE_OK;
}

static hone_status from_alphabet(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                                 hone_str in)
{
    (void)t, (void)step;
    HONE_TRY(hone_scratch_room(s, in.n));
    size_t n;
    if (!hone_byte_alphabet_decode(s->text + in.at, in.n, s->text + s->text_n, &n))
        return keep(s, in);
    s->text_n += (uint32_t)n;
    return HONE_OK;
}

static hone_status from_byte(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                             hone_str in)
{
    (void)t, (void)step;
    int byte = hone_byte_of_piece(s->text + in.at, in.n);
    if (byte < 0)
        return keep(s, in);
    char c = (char)byte;
    s->stop = true;
    return hone_scratch_put_text(s, &c, 1);
}

static hone_status metaspace(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                             hone_str in)
{
    hone_step blank = *step;
    if (s->first && step->all)
        blank.with.n = 0;
    return replace(t, s, &blank, in);
}

static hone_status wordpiece(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                             hone_str in)
{
    if (s->first)
        return keep(s, in);
    uint32_t n = step->what.n;
    if (in.n >= n && memcmp(s->text + in.at, hone_pool_str(t, step->what), n) == 0)
        return keep(s, (hone_str){in.at + n, in.n - n});
    HONE_TRY(hone_scratch_put_text(s, " ", 1));
    return keep(s, in);
}

/* In this order (tokenizers, decoders/wordpiece.rs: cleanup). */
static hone_status tidy(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                        hone_str in)
{
    static const char *const pairs[][2] = {{" .", "."},     {" ?", "?"},           {" !", "!"},
                                           {" ,", ","},     {" ' ", "'"},          {" n't", "n't"},
                                           {" 'm", "'m"},   {" do not", " don't"}, {" 's", "'s"},
                                           {" 've", "'ve"}, {" 're", "'re"}};
    (void)t, (void)step;
    uint32_t start = s->text_n;
    HONE_TRY(keep(s, in));
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        size_t n = strlen(pairs[k][0]), m = strlen(pairs[k][1]);
        char *p = s->text + start, *hit; /* no replacement is longer */
        while ((hit = memmem(p, (size_t)(s->text + s->text_n - p), pairs[k][0], n))) {
            memcpy(hit, pairs[k][1], m);
            memmove(hit + m, hit + n, (size_t)(s->text + s->text_n - hit) - n);
            s->text_n -= (uint32_t)(n - m);
            p = hit + m;
        }
    }
    return HONE_OK;
}

static hone_status strip_string(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                                hone_str in)
{
    const char *what = hone_pool_str(t, step->what);
    uint32_t n = step->what.n;
    for (int32_t i = 0; i < step->start && in.n >= n && memcmp(s->text + in.at, what, n) == 0; i++)
        in = (hone_str){in.at + n, in.n - n};
    for (int32_t i = 0;
         i < step->stop && in.n >= n && memcmp(s->text + in.at + in.n - n, what, n) == 0; i++)
        in.n -= n;
    return keep(s, in);
}

static hone_step_function *const functions[HONE_STEP_KINDS] = {
    [HONE_STEP_PREPEND] = prepend,
    [HONE_STEP_REPLACE] = replace,
    [HONE_STEP_EXPRESSION] = replace_expression,
    [HONE_STEP_NFC] = hone_step_compose,
    [HONE_STEP_NFD] = hone_step_compose,
    [HONE_STEP_NFKC] = hone_step_compose,
    [HONE_STEP_NFKD] = hone_step_compose,
    [HONE_STEP_LOWERCASE] = hone_step_lowercase,
    [HONE_STEP_STRIP] = hone_step_strip,
    [HONE_STEP_COLLAPSE] = collapse,
    [HONE_STEP_CLEAN] = hone_step_clean,
    [HONE_STEP_SPACE_CJK] = hone_step_space_cjk,
    [HONE_STEP_DROP_MARKS] = hone_step_drop_marks,
    [HONE_STEP_NMT] = hone_step_nmt,
    [HONE_STEP_CHARSMAP] = hone_step_charsmap,
    [HONE_STEP_CHARSMAP_HF] = hone_step_charsmap_hf,
    [HONE_STEP_TO_ALPHABET] = to_alphabet,
    [HONE_STEP_FROM_ALPHABET] = from_alphabet,
    [HONE_STEP_FROM_BYTE] = from_byte,
    [HONE_STEP_METASPACE] = metaspace,
    [HONE_STEP_WORDPIECE] = wordpiece,
    [HONE_STEP_TIDY] = tidy,
    [HONE_STEP_STRIP_STRING] = strip_string,
};

hone_status hone_steps_apply(const hone_tokenizer *t, hone_scratch *s, const hone_steps *steps,
                             const char *text, size_t n, bool first, hone_str *out)
{
    *out = (hone_str){s->text_n, (uint32_t)n};
    HONE_TRY(hone_scratch_put_text(s, text, n));
    s->first = first;
    s->stop = false;
    for (int i = 0; i < steps->n && !s->stop; i++) {
        uint32_t start = s->text_n;
        assert(functions[steps->of[i].kind]);
        HONE_TRY(functions[steps->of[i].kind](t, s, &steps->of[i], *out));
        *out = (hone_str){start, s->text_n - start};
    }
    return HONE_OK;
}

hone_status hone_steps_add(hone_steps *list, hone_step step)
{
    if (list->n == HONE_STEPS_MAX) {
        pcre2_code_free(step.code);
        return hone_fail(HONE_LIMIT, "more than %d steps of a normalizer or decoder",
                         HONE_STEPS_MAX);
    }
    list->of[list->n++] = step;
    return HONE_OK;
}

void hone_steps_free(hone_steps *list)
{
    for (int i = 0; i < list->n; i++)
        pcre2_code_free(list->of[i].code);
    list->n = 0;
}
