/*
 * tokenizer.model: SentencePiece's ModelProto (sentencepiece_model.proto), read by hand. Of the
 * protocol buffer encoding only what occurs is needed: varints, 32- and 64-bit fields, and
 * length-delimited fields; every length is checked against what is left.
 */
#include "text/tokenizer_internal.h"

#include <string.h>

typedef struct reader {
    const uint8_t *p, *end;
} reader;

typedef struct field {
    uint32_t number, wire;
    uint64_t value;      /* varint, fixed32, fixed64 */
    const uint8_t *data; /* length-delimited */
    size_t n;
} field;

typedef struct model_spec {
    const uint8_t *charsmap_at;
    size_t charsmap;
    uint64_t model_type, byte_fallback, suffix, prefix, collapse, escape;
    int32_t unk, bos, eos, pad;
    const uint8_t *unk_surface;
    size_t unk_surface_n;
} model_spec;

static bool read_varint(reader *r, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 64 && r->p < r->end; shift += 7) {
        uint8_t b = *r->p++;
        *out |= (uint64_t)(b & 0x7F) << shift;
        if (!(b & 0x80))
            return true;
    }
    return false;
}

static bool read_fixed(reader *r, size_t n, uint64_t *out)
{
    if ((size_t)(r->end - r->p) < n)
        return false;
    *out = 0;
    for (size_t i = 0; i < n; i++)
        *out |= (uint64_t)r->p[i] << (8 * i);
    r->p += n;
    return true;
}

/* The next field; false at the end or when damaged (then r->p is not r->end). */
static bool next_field(reader *r, field *f)
{
    const uint8_t *start = r->p;
    uint64_t tag;
    *f = (field){0};
    if (r->p == r->end)
        return false;
    bool good = read_varint(r, &tag) && tag >> 3 != 0 && tag >> 3 <= UINT32_MAX;
    if (good) {
        f->number = (uint32_t)(tag >> 3);
        f->wire = (uint32_t)(tag & 7);
        if (f->wire == 0)
            good = read_varint(r, &f->value);
        else if (f->wire == 1 || f->wire == 5)
            good = read_fixed(r, f->wire == 1 ? 8 : 4, &f->value);
        else if (f->wire == 2) {
            good = read_varint(r, &f->value) && f->value <= (uint64_t)(r->end - r->p);
            if (good) {
                f->data = r->p;
                f->n = (size_t)f->value;
                r->p += f->n;
            }
        } else
            good = false;
    }
    if (!good)
        r->p = start;
    return good;
}

static hone_status damaged(const char *what)
{
    return hone_fail(HONE_FORMAT, "%s of the SentencePiece model is damaged or no protocol buffer",
                     what);
}

static hone_status read_piece(hone_tokenizer *t, const field *of)
{
    static const hone_token_type types[] = {
        HONE_TOKEN_NORMAL, HONE_TOKEN_NORMAL, HONE_TOKEN_UNKNOWN, HONE_TOKEN_CONTROL,
        HONE_TOKEN_USER,   HONE_TOKEN_UNUSED, HONE_TOKEN_BYTE};
    reader r = {of->data, of->data + of->n};
    field f;
    const char *piece = "";
    size_t n = 0;
    float score = 0;
    uint64_t type = 1;
    while (next_field(&r, &f)) {
        if (f.number == 1 && f.wire == 2) {
            piece = (const char *)f.data;
            n = f.n;
        } else if (f.number == 2 && f.wire == 5) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&score, &bits, sizeof score);
        } else if (f.number == 3 && f.wire == 0)
            type = f.value;
    }
    int32_t id = t->n_tokens;
    if (r.p != r.end)
        return damaged("a piece");
    if (type >= sizeof types / sizeof *types)
        return hone_fail(HONE_FORMAT, "piece %d has the unknown type %llu", id,
                         (unsigned long long)type);
    bool special = type == 2 || type == 3;
    HONE_TRY(hone_scores_reserve(t, (size_t)id + 1));
    t->scores[id] = score;
    HONE_TRY(hone_vocab_set(t, id, piece, n, types[type],
                            HONE_TOKEN_IS_MODEL | (special ? HONE_TOKEN_IS_SPECIAL : 0)));
    if (n == 0 || !(special || type == 4))
        return HONE_OK;
    /* User-defined pieces are found in the normalised text, control pieces only when asked. */
    hone_added a = {.id = id, .special = special, .normalized = false};
    if (type == 4)
        a.normalized = a.literal = true;
    return hone_added_add(t, piece, n, &a);
}

static hone_status read_trainer(const field *of, model_spec *m)
{
    reader r = {of->data, of->data + of->n};
    field f;
    while (next_field(&r, &f)) {
        switch (f.number) {
        case 3:
            m->model_type = f.value;
            break;
        case 24:
            m->suffix = f.value;
            break;
        case 35:
            m->byte_fallback = f.value;
            break;
        case 40:
            m->unk = (int32_t)f.value;
            break;
        case 41:
            m->bos = (int32_t)f.value;
            break;
        case 42:
            m->eos = (int32_t)f.value;
            break;
        case 43:
            m->pad = (int32_t)f.value;
            break;
        case 44:
            m->unk_surface = f.data;
            m->unk_surface_n = f.n;
            break;
        default:
            break;
        }
    }
    return r.p == r.end ? HONE_OK : damaged("the trainer's part");
}

static hone_status read_normalizer(const field *of, model_spec *m)
{
    reader r = {of->data, of->data + of->n};
    field f;
    while (next_field(&r, &f)) {
        switch (f.number) {
        case 2:
            m->charsmap = f.n;
            m->charsmap_at = f.data;
            break;
        case 3:
            m->prefix = f.value;
            break;
        case 4:
            m->collapse = f.value;
            break;
        case 5:
            m->escape = f.value;
            break;
        default:
            break;
        }
    }
    return r.p == r.end ? HONE_OK : damaged("the normalizer's part");
}

/* What SentencePiece calls model_type. */
static const struct {
    const char *name;
    const hone_token_model *model;
    bool merges; /* made from the scores */
} kinds[] = {{"?", NULL, false},
             {"unigram", &hone_model_unigram, false},
             {"BPE", &hone_model_bpe, true},
             {"word", &hone_model_word, false},
             {"char", &hone_model_bpe, false}};
enum { UNIGRAM = 1, BPE = 2, KINDS = 5 };

static hone_status check_spec(const hone_tokenizer *t, const model_spec *m)
{
    if (m->model_type == 0 || m->model_type >= KINDS)
        return hone_fail(HONE_FORMAT, "the SentencePiece model has the unknown type %llu",
                         (unsigned long long)m->model_type);
    if (m->suffix || !m->escape)
        return hone_fail(HONE_UNSUPPORTED, "a SentencePiece model with %s is not known to hone yet",
                         m->suffix ? "treat_whitespace_as_suffix" : "unescaped blanks");
    for (int32_t i = 0; i < t->n_tokens && m->model_type == BPE; i++)
        if (t->types[i] == HONE_TOKEN_UNUSED && t->pieces[i].n > 0)
            return hone_fail(HONE_UNSUPPORTED,
                             "piece %d is marked unused, which merging does not know yet", i);
    return HONE_OK;
}

static int32_t known_id(const hone_tokenizer *t, int32_t id, hone_token_type type)
{
    return id >= 0 && id < t->n_tokens && t->types[id] == type ? id : -1;
}

/* A word starts with each U+2581. */
static hone_status split_before_meta(hone_tokenizer *t)
{
    hone_split_step step = {.kind = HONE_SPLIT_STRING, .behaviour = HONE_SPLIT_MERGED_NEXT};
    HONE_TRY(hone_pool_add(t, HONE_META_SPACE, 3, &step.what));
    return hone_split_add(t, step);
}

/* remove_extra_whitespaces takes U+2581 off the end, whether it was a blank or written so. */
static hone_status strip_meta(hone_tokenizer *t)
{
    hone_step step = {.kind = HONE_STEP_STRIP_STRING, .stop = INT32_MAX};
    HONE_TRY(hone_pool_add(t, HONE_META_SPACE, 3, &step.what));
    return hone_steps_add(&t->norms, step);
}

static hone_status apply_spec(hone_tokenizer *t, const model_spec *m, const char *config,
                              size_t n_config)
{
    t->model = kinds[m->model_type].model;
    t->by_score = t->fuse_unk = t->single = true;
    t->byte_fallback = m->byte_fallback;
    t->unk = known_id(t, m->unk, HONE_TOKEN_UNKNOWN);
    t->bos = known_id(t, m->bos, HONE_TOKEN_CONTROL);
    t->eos = known_id(t, m->eos, HONE_TOKEN_CONTROL);
    t->pad = known_id(t, m->pad, HONE_TOKEN_CONTROL);
    if (!t->byte_fallback) /* only then does the unknown token stand for text */
        HONE_TRY(hone_pool_add(t, (const char *)m->unk_surface, m->unk_surface_n, &t->out_unk));
    if (m->charsmap)
        HONE_TRY(hone_charsmap_set(t, m->charsmap_at, m->charsmap));
    HONE_TRY(hone_norm_add_spm(t, m->prefix, m->collapse));
    if (m->collapse)
        HONE_TRY(strip_meta(t));
    if (t->model == &hone_model_word)
        HONE_TRY(split_before_meta(t));
    t->strip_each = m->collapse;
    if (t->bos >= 0)
        t->prefix[t->n_prefix++] = t->bos;
    HONE_TRY(hone_load_config_tokens(t, config, n_config));
    HONE_TRY(hone_vocab_index(t));
    return kinds[m->model_type].merges ? hone_merges_from_scores(t) : HONE_OK;
}

hone_status hone_load_tokenizer_spm(hone_tokenizer *t, const uint8_t *data, size_t n,
                                    const char *config, size_t n_config)
{
    static const char unknown[] = " \xE2\x81\x87 "; /* SentencePiece's default surface */
    model_spec m = {.model_type = 1,
                    .prefix = 1,
                    .collapse = 1,
                    .escape = 1,
                    .unk = 0,
                    .bos = 1,
                    .eos = 2,
                    .pad = -1,
                    .unk_surface = (const uint8_t *)unknown,
                    .unk_surface_n = sizeof unknown - 1};
    reader r = {data, data + n};
    field f;
    while (next_field(&r, &f)) {
        if (f.wire != 2)
            continue;
        if (f.number == 1)
            HONE_TRY(read_piece(t, &f));
        else if (f.number == 2)
            HONE_TRY(read_trainer(&f, &m));
        else if (f.number == 3)
            HONE_TRY(read_normalizer(&f, &m));
    }
    if (r.p != r.end || t->n_tokens == 0)
        return hone_fail(HONE_FORMAT,
                         "no tokenizer that hone knows, or a damaged SentencePiece model");
    HONE_TRY(check_spec(t, &m));
    return apply_spec(t, &m, config, n_config);
}
