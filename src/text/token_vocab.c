/* Tokens, their strings and indexes: what every loader fills. */
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

hone_status hone_grow(void *p, uint32_t *capacity, size_t need, size_t size)
{
    size_t cap = *capacity ? *capacity : 16;
    while (cap < need)
        cap *= 2;
    if (cap > UINT32_MAX)
        return hone_fail(HONE_LIMIT, "a text or vocabulary grows beyond 4 GiB");
    void *old;
    memcpy(&old, p, sizeof old);
    void *grown = hone_reallocarray(old, cap, size);
    if (!grown)
        return hone_fail_memory(cap * size, "tokenizer tables");
    memcpy(p, &grown, sizeof grown);
    *capacity = (uint32_t)cap;
    return HONE_OK;
}

hone_status hone_scores_reserve(hone_tokenizer *t, size_t n)
{
    uint32_t had = t->score_capacity;
    HONE_TRY(HONE_GROW(t->scores, t->score_capacity, n));
    memset(t->scores + had, 0, (t->score_capacity - had) * sizeof *t->scores);
    return HONE_OK;
}

hone_status hone_tokenizer_new(hone_tokenizer **out)
{
    hone_tokenizer *t = hone_calloc(1, sizeof *t);
    *out = t;
    if (!t)
        return hone_fail_memory(sizeof *t, "a tokenizer");
    t->model = &hone_model_bpe;
    t->bos = t->eos = t->eot = t->unk = t->pad = -1;
    for (int i = 0; i < 256; i++)
        t->byte_symbol[i] = HONE_NO_SYMBOL;
    hone_str empty;
    hone_status s = hone_pool_add(t, "", 0, &empty); /* so that {0, 0} is "" */
    if (s != HONE_OK) {
        hone_tokenizer_close(t);
        *out = NULL;
    }
    return s;
}

void hone_tokenizer_close(hone_tokenizer *t)
{
    if (!t)
        return;
    hone_steps_free(&t->norms);
    hone_steps_free(&t->decoder);
    for (int i = 0; i < t->n_splits; i++)
        pcre2_code_free(t->splits[i].code);
    hone_trie_free(&t->raw_trie);
    hone_trie_free(&t->normalized_trie);
    hone_trie_free(&t->words);
    hone_trie_free(&t->tails);
    void *owned[] = {t->pool,   t->pieces,  t->outs,           t->types,           t->flags,
                     t->scores, t->symbols, t->by_piece.slots, t->by_symbol.slots, t->added,
                     t->merges, t->firsts};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        hone_free(owned[i]);
    hone_free(t);
}

hone_status hone_pool_add(hone_tokenizer *t, const char *s, size_t n, hone_str *out)
{
    HONE_TRY(HONE_GROW(t->pool, t->pool_capacity, (size_t)t->pool_n + n + 1));
    *out = (hone_str){t->pool_n, (uint32_t)n};
    if (n)
        memcpy(t->pool + t->pool_n, s, n);
    t->pool[t->pool_n + n] = 0;
    t->pool_n += (uint32_t)n + 1;
    return HONE_OK;
}

hone_status hone_vocab_reserve(hone_tokenizer *t, int64_t n)
{
    if (n > HONE_VOCAB_MAX)
        return hone_fail(HONE_LIMIT, "token id %lld is beyond the %d tokens that hone allows",
                         (long long)n - 1, HONE_VOCAB_MAX);
    if (n <= t->n_tokens)
        return HONE_OK;
    size_t old = (size_t)t->n_tokens, fresh = (size_t)n - old;
    HONE_TRY(HONE_GROW(t->pieces, t->piece_capacity, (size_t)n));
    HONE_TRY(HONE_GROW(t->types, t->type_capacity, (size_t)n));
    HONE_TRY(HONE_GROW(t->flags, t->flag_capacity, (size_t)n));
    memset(t->pieces + old, 0, fresh * sizeof *t->pieces);
    memset(t->types + old, HONE_TOKEN_UNUSED, fresh);
    memset(t->flags + old, 0, fresh);
    t->n_tokens = (int32_t)n;
    return HONE_OK;
}

hone_status hone_vocab_set(hone_tokenizer *t, int64_t id, const char *piece, size_t n,
                           hone_token_type type, unsigned flags)
{
    if (id < 0)
        return hone_fail(HONE_FORMAT, "token \"%.*s\" has the negative id %lld",
                         (int)(n < 40 ? n : 40), piece, (long long)id);
    if (n > HONE_PIECE_MAX)
        return hone_fail(HONE_LIMIT, "token %lld has %zu bytes, more than %d", (long long)id, n,
                         HONE_PIECE_MAX);
    HONE_TRY(hone_vocab_reserve(t, id + 1));
    if (t->flags[id] & HONE_TOKEN_IS_SET)
        return hone_fail(HONE_FORMAT, "id %lld belongs to two tokens: \"%s\" and \"%.*s\"",
                         (long long)id, hone_pool_str(t, t->pieces[id]), (int)(n < 40 ? n : 40),
                         piece);
    HONE_TRY(hone_pool_add(t, piece, n, &t->pieces[id]));
    t->types[id] = (uint8_t)type;
    t->flags[id] = (uint8_t)(flags | HONE_TOKEN_IS_SET);
    return HONE_OK;
}

hone_status hone_added_add(hone_tokenizer *t, const char *s, size_t n, const hone_added *like)
{
    if (n == 0 || n > HONE_ADDED_MAX)
        return hone_fail(HONE_LIMIT, "added token %d has %zu bytes; 1 to %d are allowed", like->id,
                         n, HONE_ADDED_MAX);
    HONE_TRY(HONE_GROW(t->added, t->added_capacity, (size_t)t->n_added + 1));
    hone_added *a = &t->added[t->n_added];
    *a = *like;
    HONE_TRY(hone_pool_add(t, s, n, &a->content));
    t->n_added++;
    return HONE_OK;
}

hone_status hone_split_add(hone_tokenizer *t, hone_split_step step)
{
    if (t->n_splits == HONE_STEPS_MAX) {
        pcre2_code_free(step.code);
        return hone_fail(HONE_LIMIT, "more than %d pre-tokenizer steps", HONE_STEPS_MAX);
    }
    t->splits[t->n_splits++] = step;
    return HONE_OK;
}

hone_status hone_norm_add_spm(hone_tokenizer *t, bool prefix, bool collapse)
{
    hone_str meta, blank;
    HONE_TRY(hone_pool_add(t, HONE_META_SPACE, 3, &meta));
    HONE_TRY(hone_pool_add(t, " ", 1, &blank));
    if (t->charsmap.n)
        HONE_TRY(hone_steps_add(&t->norms, (hone_step){.kind = HONE_STEP_CHARSMAP}));
    if (collapse)
        HONE_TRY(hone_steps_add(&t->norms, (hone_step){.kind = HONE_STEP_COLLAPSE}));
    if (prefix)
        HONE_TRY(hone_steps_add(&t->norms, (hone_step){.kind = HONE_STEP_PREPEND, .with = blank}));
    HONE_TRY(hone_steps_add(&t->norms,
                            (hone_step){.kind = HONE_STEP_REPLACE, .what = blank, .with = meta}));
    HONE_TRY(hone_steps_add(&t->decoder, (hone_step){.kind = HONE_STEP_FROM_BYTE}));
    HONE_TRY(hone_steps_add(&t->decoder,
                            (hone_step){.kind = HONE_STEP_REPLACE, .what = meta, .with = blank}));
    t->strip_start = prefix ? 1 : 0;
    return HONE_OK;
}

/* ---- indexes ---- */

static uint32_t hash_of(const char *s, size_t n)
{
    return (uint32_t)XXH3_64bits(s, n);
}

/* The slot of a string, or the empty one in which it would stand. */
static hone_str_slot *slot_for(const hone_str_index *x, const hone_tokenizer *t,
                               const hone_str *table, const char *s, size_t n, uint32_t hash)
{
    for (uint32_t i = hash & x->mask;; i = (i + 1) & x->mask) {
        hone_str_slot *slot = &x->slots[i];
        if (!slot->at)
            return slot;
        if (slot->hash != hash)
            continue;
        hone_str e = table[slot->at - 1];
        if (e.n == n && memcmp(hone_pool_str(t, e), s, n) == 0)
            return slot;
    }
}

int32_t hone_str_index_find(const hone_str_index *x, const hone_tokenizer *t, const hone_str *table,
                            const char *s, size_t n)
{
    return x->slots ? (int32_t)slot_for(x, t, table, s, n, hash_of(s, n))->at - 1 : -1;
}

/* Makes room for n strings at once. */
static hone_status reserve(hone_str_index *x, size_t n)
{
    size_t had = x->slots ? (size_t)x->mask + 1 : 0, slots = had ? had : 64;
    while (n > slots / 2)
        slots *= 2;
    if (slots == had)
        return HONE_OK;
    hone_str_slot *fresh = hone_calloc(slots, sizeof *fresh);
    if (!fresh)
        return hone_fail_memory(slots * sizeof *fresh, "the vocabulary's index");
    uint32_t mask = (uint32_t)(slots - 1);
    for (size_t i = 0; i < had; i++) {
        if (!x->slots[i].at)
            continue;
        uint32_t at = x->slots[i].hash & mask;
        while (fresh[at].at)
            at = (at + 1) & mask;
        fresh[at] = x->slots[i];
    }
    hone_free(x->slots);
    x->slots = fresh;
    x->mask = mask;
    return HONE_OK;
}

hone_status hone_str_index_put(hone_str_index *x, const hone_tokenizer *t, const hone_str *table,
                               uint32_t i)
{
    const char *s = hone_pool_str(t, table[i]);
    uint32_t hash = hash_of(s, table[i].n);
    HONE_TRY(reserve(x, (size_t)x->n + 1));
    hone_str_slot *slot = slot_for(x, t, table, s, table[i].n, hash);
    if (!slot->at) {
        *slot = (hone_str_slot){i + 1, hash};
        x->n++;
    }
    return HONE_OK;
}

/*
 * GPT-2 writes each byte as a printable character: the printable ones of Latin-1 as themselves, the
 * others, in order, as U+0100 and up (bytes_to_unicode in OpenAI's encoder.py).
 */
static bool is_printable_byte(uint32_t b)
{
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
}

static int byte_of_stand_in(uint32_t c)
{
    if (c < 0x100)
        return is_printable_byte(c) ? (int)c : -1;
    uint32_t k = c - 0x100; /* the k-th byte that is not printable */
    if (k < 0x21)
        return (int)k;
    if (k < 0x21 + 0x22) /* 0x7F..0xA0 */
        return (int)(k - 0x21 + 0x7F);
    return k == 0x43 ? 0xAD : -1;
}

bool hone_byte_alphabet_decode(const char *s, size_t n, char *out, size_t *bytes)
{
    size_t k = 0, len;
    for (size_t i = 0; i < n; i += len) {
        if (hone_utf8_next(s + i, n - i, &len) != HONE_UTF8_VALID)
            return false;
        int b = byte_of_stand_in(hone_utf8_code(s + i));
        if (b < 0)
            return false;
        out[k++] = (char)b;
    }
    *bytes = k;
    return true;
}

uint32_t hone_byte_alphabet_code(uint8_t b)
{
    if (is_printable_byte(b))
        return b;
    return 0x100u + (b < 0x21 ? b : b < 0xA1 ? 0x21u + b - 0x7Fu : 0x43u);
}

/* ---- building ---- */

int hone_byte_of_piece(const char *s, size_t n)
{
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>')
        return -1;
    return (int)hone_hexadecimal(s + 3, 2); /* not sscanf: nothing ends s */
}

/* Decoded bytes of one token, within a text or at its start. */
static hone_status make_out(hone_tokenizer *t, hone_scratch *s, int32_t id, bool first,
                            hone_str *out)
{
    hone_str piece = t->pieces[id], made;
    if (t->types[id] == HONE_TOKEN_UNKNOWN && t->out_unk.n) {
        *out = t->out_unk;
        return HONE_OK;
    }
    if (t->unescape && t->symbols[id].n) {
        *out = t->symbols[id];
        return HONE_OK;
    }
    /* An added token is no spelling of bytes unless all of it is one. */
    s->text_n = 0;
    HONE_TRY(hone_steps_apply(t, s, &t->decoder, hone_pool_str(t, piece), piece.n, first, &made));
    const char *p = s->text + made.at;
    if (made.n == piece.n && memcmp(p, hone_pool_str(t, piece), piece.n) == 0) {
        *out = piece;
        return HONE_OK;
    }
    return hone_pool_add(t, p, made.n, out);
}

static bool depends_on_place(const hone_tokenizer *t)
{
    for (int i = 0; i < t->decoder.n; i++) {
        hone_step_kind k = t->decoder.of[i].kind;
        if (k == HONE_STEP_METASPACE || k == HONE_STEP_WORDPIECE)
            return true;
    }
    return false;
}

static hone_status make_outs(hone_tokenizer *t, hone_scratch *s)
{
    bool both = depends_on_place(t);
    if (both) {
        HONE_TRY(HONE_GROW(t->firsts, t->first_capacity, (size_t)t->n_tokens));
        memset(t->firsts, 0, (size_t)t->n_tokens * sizeof *t->firsts);
    }
    for (int32_t i = 0; i < t->n_tokens; i++) {
        if (!(t->flags[i] & HONE_TOKEN_IS_SET))
            continue;
        HONE_TRY(make_out(t, s, i, false, &t->outs[i]));
        if (both)
            HONE_TRY(make_out(t, s, i, true, &t->firsts[i]));
    }
    return HONE_OK;
}

static hone_status make_symbol(hone_tokenizer *t, int32_t id, char *work)
{
    t->symbols[id] = (hone_str){0, 0};
    if (!(t->flags[id] & HONE_TOKEN_IS_MODEL))
        return HONE_OK;
    hone_str piece = t->pieces[id];
    int byte =
        t->types[id] == HONE_TOKEN_BYTE ? hone_byte_of_piece(hone_pool_str(t, piece), piece.n) : -1;
    if (byte >= 0 && t->byte_symbol[byte] < 0)
        t->byte_symbol[byte] = id;
    bool reachable = (t->types[id] == HONE_TOKEN_NORMAL || t->types[id] == HONE_TOKEN_USER) &&
                     !(t->flags[id] & HONE_TOKEN_IS_SPECIAL);
    if (!reachable || piece.n == 0)
        return HONE_OK;
    t->symbols[id] = piece;
    size_t n;
    if (t->unescape) {
        memcpy(work, hone_pool_str(t, piece), piece.n);
        if (!hone_unescape_python(work, piece.n, true, work + HONE_PIECE_MAX, &n) || n == 0)
            return hone_fail(HONE_FORMAT, "token %d is no escaped string: \"%.60s\"", id,
                             hone_pool_str(t, piece));
        HONE_TRY(hone_pool_add(t, work + HONE_PIECE_MAX, n, &t->symbols[id]));
    } else if (t->byte_level && t->plain_bytes) {
        if (n = piece.n, n == 1)
            t->byte_symbol[(uint8_t)*hone_pool_str(t, piece)] = id;
    } else if (t->byte_level) {
        memcpy(work, hone_pool_str(t, piece), piece.n);
        if (!hone_byte_alphabet_decode(work, piece.n, work + HONE_PIECE_MAX, &n))
            return HONE_OK; /* no text becomes it */
        HONE_TRY(hone_pool_add(t, work + HONE_PIECE_MAX, n, &t->symbols[id]));
        if (n == 1)
            t->byte_symbol[(uint8_t)work[HONE_PIECE_MAX]] = id;
    }
    return hone_str_index_put(&t->by_symbol, t, t->symbols, (uint32_t)id);
}

hone_status hone_vocab_index(hone_tokenizer *t)
{
    size_t n = (size_t)t->n_tokens;
    if (n == 0)
        return hone_fail(HONE_FORMAT, "the vocabulary is empty");
    HONE_TRY(HONE_GROW(t->outs, t->out_capacity, n));
    HONE_TRY(HONE_GROW(t->symbols, t->symbol_capacity, n));
    memset(t->outs, 0, n * sizeof *t->outs);
    memset(t->symbols, 0, n * sizeof *t->symbols);
    t->n_symbols = (uint32_t)n;
    HONE_TRY(reserve(&t->by_piece, n));
    HONE_TRY(reserve(&t->by_symbol, n));
    char *work = hone_malloc(2 * (size_t)HONE_PIECE_MAX);
    if (!work)
        return hone_fail_memory(2 * (size_t)HONE_PIECE_MAX, "the vocabulary");
    hone_scratch scratch;
    hone_status s = hone_scratch_init(&scratch, 0);
    for (int32_t i = 0; i < t->n_tokens && s == HONE_OK; i++) {
        if (!(t->flags[i] & HONE_TOKEN_IS_SET))
            continue;
        HONE_GOTO(s, done, hone_str_index_put(&t->by_piece, t, t->pieces, (uint32_t)i));
        HONE_GOTO(s, done, make_symbol(t, i, work));
    }
    if (s == HONE_OK)
        s = make_outs(t, &scratch);
done:
    hone_scratch_free(&scratch);
    hone_free(work);
    return s;
}

/* Names under which published models end a turn or a text, for files that do not say. */
static const char *const turn_ends[] = {"<|eot_id|>",    "<|im_end|>", "<|end|>",
                                        "<end_of_turn>", "<|eom_id|>", "<|EOT|>",
                                        "<|return|>",    "<|call|>",   "[EOT]"};
static const char *const text_ends[] = {"</s>", "<|end_of_text|>", "<|endoftext|>", "<eos>",
                                        "<｜end▁of▁sentence｜>"};

static int32_t find_special(const hone_tokenizer *t, const char *name)
{
    int32_t id = hone_tokenizer_find(t, name, strlen(name));
    return id >= 0 && (t->flags[id] & HONE_TOKEN_IS_SPECIAL) ? id : -1;
}

static void mark_ends(hone_tokenizer *t)
{
    for (size_t i = 0; i < sizeof text_ends / sizeof *text_ends; i++) {
        int32_t id = find_special(t, text_ends[i]);
        if (id >= 0 && t->eos < 0)
            t->eos = id;
        if (id >= 0 && id != t->bos)
            t->flags[id] |= HONE_TOKEN_IS_END;
    }
    for (size_t i = 0; i < sizeof turn_ends / sizeof *turn_ends; i++) {
        int32_t id = find_special(t, turn_ends[i]);
        if (id < 0)
            continue;
        if (t->eot < 0)
            t->eot = id;
        t->flags[id] |= HONE_TOKEN_IS_END;
    }
    if (t->eos >= 0)
        t->flags[t->eos] |= HONE_TOKEN_IS_END;
    if (t->eot >= 0)
        t->flags[t->eot] |= HONE_TOKEN_IS_END;
    else
        t->eot = t->eos;
}

static hone_status check_id(const hone_tokenizer *t, int32_t id, const char *what)
{
    if (id < -1 || id >= t->n_tokens)
        return hone_fail(HONE_FORMAT, "the %s token's id %d is outside the vocabulary of %d", what,
                         id, t->n_tokens);
    return HONE_OK;
}

hone_status hone_tokenizer_finish(hone_tokenizer *t)
{
    HONE_TRY(check_id(t, t->bos, "BOS"));
    HONE_TRY(check_id(t, t->eos, "EOS"));
    HONE_TRY(check_id(t, t->eot, "EOT"));
    HONE_TRY(check_id(t, t->unk, "unknown"));
    HONE_TRY(check_id(t, t->pad, "padding"));
    for (int i = 0; i < t->n_prefix; i++)
        HONE_TRY(check_id(t, t->prefix[i], "leading"));
    for (int i = 0; i < t->n_suffix; i++)
        HONE_TRY(check_id(t, t->suffix[i], "trailing"));
    for (int i = 0; i < t->n_pair; i++)
        if (t->pair[i].id >= 0) /* no text's place */
            HONE_TRY(check_id(t, t->pair[i].id, "separating"));
    if (t->bos < 0 && t->n_prefix > 0 && (t->flags[t->prefix[0]] & HONE_TOKEN_IS_SPECIAL))
        t->bos = t->prefix[0];
    mark_ends(t);
    HONE_TRY(hone_added_build(t));
    if (t->model->build)
        HONE_TRY(t->model->build(t));
    int n = snprintf(t->description, sizeof t->description, "%s%s, %d tokens",
                     t->byte_level ? "byte-level "
                     : t->by_score ? "SentencePiece "
                                   : "",
                     t->model->name, t->n_tokens);
    if (t->n_merges && n > 0)
        snprintf(t->description + n, sizeof t->description - (size_t)n, ", %u merges", t->n_merges);
    return HONE_OK;
}

/* ---- public look-ups ---- */

static bool inside(const hone_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->n_tokens;
}

int32_t hone_tokenizer_vocab_size(const hone_tokenizer *t)
{
    return t->n_tokens;
}

const char *hone_tokenizer_piece(const hone_tokenizer *t, int32_t id, size_t *bytes)
{
    hone_str s = inside(t, id) ? t->pieces[id] : (hone_str){0, 0};
    if (bytes)
        *bytes = s.n;
    return hone_pool_str(t, s);
}

const char *hone_tokenizer_bytes(const hone_tokenizer *t, int32_t id, size_t *bytes)
{
    hone_str s = inside(t, id) ? t->outs[id] : (hone_str){0, 0};
    if (bytes)
        *bytes = s.n;
    return hone_pool_str(t, s);
}

hone_token_type hone_tokenizer_type(const hone_tokenizer *t, int32_t id)
{
    return inside(t, id) ? (hone_token_type)t->types[id] : HONE_TOKEN_UNUSED;
}

bool hone_tokenizer_is_special(const hone_tokenizer *t, int32_t id)
{
    return inside(t, id) && (t->flags[id] & HONE_TOKEN_IS_SPECIAL);
}

float hone_tokenizer_score(const hone_tokenizer *t, int32_t id)
{
    return inside(t, id) && (uint32_t)id < t->score_capacity ? (float)t->scores[id] : 0.0f;
}

bool hone_tokenizer_unigram(const hone_tokenizer *t, hone_unigram_options *out)
{
    *out = (hone_unigram_options){.charsmap = hone_pool_str(t, t->charsmap),
                                  .charsmap_bytes = t->charsmap.n};
    for (int i = 0; i < t->norms.n; i++) {
        out->prefix |= t->norms.of[i].kind == HONE_STEP_PREPEND;
        out->collapse |= t->norms.of[i].kind == HONE_STEP_COLLAPSE ||
                         t->norms.of[i].kind == HONE_STEP_EXPRESSION;
    }
    for (int i = 0; i < t->n_splits; i++) {
        out->prefix |= t->splits[i].kind == HONE_SPLIT_METASPACE && t->splits[i].prepend;
        out->collapse |= t->splits[i].behaviour == HONE_SPLIT_REMOVED;
    }
    return t->model == &hone_model_unigram;
}

bool hone_tokenizer_is_end(const hone_tokenizer *t, int32_t id)
{
    return inside(t, id) && (t->flags[id] & HONE_TOKEN_IS_END);
}

int32_t hone_tokenizer_find(const hone_tokenizer *t, const char *piece, size_t bytes)
{
    return hone_str_index_find(&t->by_piece, t, t->pieces, piece, bytes);
}

int32_t hone_tokenizer_bos(const hone_tokenizer *t)
{
    return t->bos;
}
int32_t hone_tokenizer_eos(const hone_tokenizer *t)
{
    return t->eos;
}
int32_t hone_tokenizer_eot(const hone_tokenizer *t)
{
    return t->eot;
}
int32_t hone_tokenizer_unk(const hone_tokenizer *t)
{
    return t->unk;
}
int32_t hone_tokenizer_pad(const hone_tokenizer *t)
{
    return t->pad;
}

bool hone_tokenizer_adds_bos(const hone_tokenizer *t)
{
    return t->bos >= 0 && t->n_prefix > 0 && t->prefix[0] == t->bos;
}

const char *hone_tokenizer_describe(const hone_tokenizer *t)
{
    return t->description;
}
