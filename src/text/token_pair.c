#include "text/pair.h"
#include "text/tokenizer_internal.h"

hone_status hone_pair_put(hone_tokenizer *t, int64_t id, int32_t type)
{
    if (t->n_pair == HONE_PAIR_MAX)
        return hone_fail(HONE_LIMIT, "two texts are put together from more than %d parts",
                         HONE_PAIR_MAX);
    if (id < HONE_PAIR_B || id >= HONE_VOCAB_MAX || type < 0)
        return hone_fail(HONE_FORMAT, "the post-processor adds the impossible id %lld of type %d",
                         (long long)id, (int)type);
    t->pair[t->n_pair++] = (hone_pair_part){(int32_t)id, type};
    return HONE_OK;
}

hone_status hone_pair_put_all(hone_tokenizer *t, const int32_t *between, int n_between,
                              int32_t second_type)
{
    t->n_pair = 0;
    for (int i = 0; i < t->n_prefix; i++)
        HONE_TRY(hone_pair_put(t, t->prefix[i], 0));
    HONE_TRY(hone_pair_put(t, HONE_PAIR_A, 0));
    for (int i = 0; i < n_between; i++)
        HONE_TRY(hone_pair_put(t, between[i], 0));
    HONE_TRY(hone_pair_put(t, HONE_PAIR_B, second_type));
    for (int i = 0; i < t->n_suffix; i++)
        HONE_TRY(hone_pair_put(t, t->suffix[i], second_type));
    return HONE_OK;
}

/* The parts of one text, or of two. */
static int parts_of(const hone_tokenizer *t, bool two, hone_pair_part parts[HONE_PAIR_MAX])
{
    int n = 0;
    if (two) {
        memcpy(parts, t->pair, (size_t)t->n_pair * sizeof *parts);
        return t->n_pair;
    }
    for (int i = 0; i < t->n_prefix; i++)
        parts[n++] = (hone_pair_part){t->prefix[i], 0};
    parts[n++] = (hone_pair_part){HONE_PAIR_A, 0};
    for (int i = 0; i < t->n_suffix; i++)
        parts[n++] = (hone_pair_part){t->suffix[i], 0};
    return n;
}

/* Leaves `most` tokens of texts of *a and *b. */
static void cut_longest(size_t *a, size_t *b, size_t most)
{
    if (*a + *b <= most)
        return;
    bool swapped = *a > *b;
    size_t less = swapped ? *b : *a, more = less > most ? less : most - less;
    if (more < less)
        more = less;
    if (less + more > most) {
        less = most / 2;
        more = less + most % 2;
    }
    *a = swapped ? more : less;
    *b = swapped ? less : more;
}

static hone_status join(const hone_pair_part *parts, int n_parts, int32_t *const ids[2],
                        const size_t n[2], hone_encoded *out)
{
    size_t total = n[0] + n[1] + (size_t)n_parts;
    out->ids = hone_malloc(total * sizeof *out->ids);
    out->types = hone_malloc(total * sizeof *out->types);
    if (!out->ids || !out->types) {
        hone_encoded_free(out);
        return hone_fail_memory(total * sizeof *out->ids, "token ids");
    }
    for (int i = 0; i < n_parts; i++) {
        int text = HONE_PAIR_A - parts[i].id;
        size_t count = parts[i].id >= 0 ? 1 : n[text];
        const int32_t *from = parts[i].id >= 0 ? &parts[i].id : ids[text];
        for (size_t k = 0; k < count; k++) {
            out->ids[out->n] = from[k];
            out->types[out->n++] = parts[i].type;
        }
    }
    return HONE_OK;
}

hone_status hone_tokenizer_encode_pair(const hone_tokenizer *t, const char *a, size_t n_a,
                                       const char *b, size_t n_b, unsigned flags, size_t most,
                                       hone_encoded *out)
{
    hone_pair_part parts[HONE_PAIR_MAX];
    int32_t *ids[2] = {NULL, NULL};
    size_t n[2] = {0, 0}, special = 0;
    *out = (hone_encoded){0};
    int n_parts = parts_of(t, b != NULL, parts);
    if (n_parts == 0)
        return hone_fail(HONE_UNSUPPORTED,
                         "the tokenizer does not say how two texts are put together");
    for (int i = 0; i < n_parts; i++)
        special += parts[i].id >= 0;
    if (most && most <= special)
        return hone_fail(HONE_USAGE, "%zu tokens leave no room beside %zu special ones", most,
                         special);
    flags &= ~(unsigned)HONE_ENCODE_ADD_SPECIAL;
    hone_status s = hone_tokenizer_encode(t, a, n_a, flags, &ids[0], &n[0]);
    if (s == HONE_OK && b)
        s = hone_tokenizer_encode(t, b, n_b, flags, &ids[1], &n[1]);
    if (s == HONE_OK) {
        out->whole = n[0] + n[1] + special;
        if (most)
            cut_longest(&n[0], &n[1], most - special);
        s = join(parts, n_parts, ids, n, out);
    }
    hone_free(ids[0]);
    hone_free(ids[1]);
    return s;
}

void hone_encoded_free(hone_encoded *e)
{
    hone_free(e->ids);
    hone_free(e->types);
    *e = (hone_encoded){0};
}
