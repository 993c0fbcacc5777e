#include "model/slots.h"

#include "model/forward.h"

#include <stdio.h>
#include <string.h>

/* What a dimension of a slot is called, and where its size stands. */
typedef enum dim {
    ONE,
    HIDDEN,
    QUERIES,
    KEYS,
    HEAD,
    FFN,
    VOCAB,
    POSITIONS,
    TYPES,
    RELATIVES,
    DENSE,
    LABELS
} dim;

typedef struct slot_row {
    hone_slot_info info;
    dim n, k;
    const hone_block *block; /* that uses it, NULL = the model itself */
    int norm;                /* HONE_NORM_* with which the block uses it, 0 = always */
    bool gate;               /* only gated MLPs have it */
} slot_row;

#define VECTOR(what, kind)                                                                         \
    {                                                                                              \
        what, HONE_WEIGHT_##kind, true, false                                                      \
    }
#define MATRIX(what, kind)                                                                         \
    {                                                                                              \
        what, HONE_WEIGHT_##kind, false, false                                                     \
    }
#define LOOKUP(what)                                                                               \
    {                                                                                              \
        what, HONE_WEIGHT_HEAD, false, true                                                        \
    }
#define ATTENTION &hone_block_attention
#define MLP       &hone_block_mlp
enum { AFTER = HONE_NORM_OUTPUT | HONE_NORM_SUM };

static const slot_row rows[HONE_SLOTS] = {
    [HONE_SLOT_NORM_ATTENTION] = {VECTOR("attention norm", ATTENTION), ONE, HIDDEN, ATTENTION,
                                  HONE_NORM_INPUT, false},
    [HONE_SLOT_Q] = {MATRIX("query", ATTENTION), QUERIES, HIDDEN, ATTENTION, 0, false},
    [HONE_SLOT_K] = {MATRIX("key", ATTENTION), KEYS, HIDDEN, ATTENTION, 0, false},
    [HONE_SLOT_V] = {MATRIX("value", ATTENTION), KEYS, HIDDEN, ATTENTION, 0, false},
    [HONE_SLOT_NORM_Q] = {VECTOR("query norm", ATTENTION), ONE, HEAD, ATTENTION, 0, false},
    [HONE_SLOT_NORM_K] = {VECTOR("key norm", ATTENTION), ONE, HEAD, ATTENTION, 0, false},
    [HONE_SLOT_O] = {MATRIX("attention output", ATTENTION), HIDDEN, QUERIES, ATTENTION, 0, false},
    [HONE_SLOT_NORM_ATTENTION_AFTER] = {VECTOR("norm after attention", ATTENTION), ONE, HIDDEN,
                                        ATTENTION, AFTER, false},
    [HONE_SLOT_NORM_MLP] = {VECTOR("MLP norm", MLP), ONE, HIDDEN, MLP, HONE_NORM_INPUT, false},
    [HONE_SLOT_GATE] = {MATRIX("gate", MLP), FFN, HIDDEN, MLP, 0, true},
    [HONE_SLOT_UP] = {MATRIX("up", MLP), FFN, HIDDEN, MLP, 0, false},
    [HONE_SLOT_DOWN] = {MATRIX("down", MLP), HIDDEN, FFN, MLP, 0, false},
    [HONE_SLOT_NORM_MLP_AFTER] = {VECTOR("norm after MLP", MLP), ONE, HIDDEN, MLP, AFTER, false},
    [HONE_SLOT_EMBEDDING] = {LOOKUP("embedding"), VOCAB, HIDDEN, NULL, 0, false},
    [HONE_SLOT_POSITION] = {LOOKUP("position embedding"), POSITIONS, HIDDEN, NULL, 0, false},
    [HONE_SLOT_TOKEN_TYPE] = {LOOKUP("token type embedding"), TYPES, HIDDEN, NULL, 0, false},
    [HONE_SLOT_NORM_EMBEDDING] = {VECTOR("embedding norm", HEAD), ONE, HIDDEN, NULL, 0, false},
    [HONE_SLOT_RELATIVE] = {LOOKUP("relative position embedding"), RELATIVES, HIDDEN, NULL, 0,
                            false},
    [HONE_SLOT_NORM_RELATIVE] = {VECTOR("relative position norm", HEAD), ONE, HIDDEN, NULL, 0,
                                 false},
    [HONE_SLOT_NORM_FINAL] = {VECTOR("final norm", HEAD), ONE, HIDDEN, NULL, 0, false},
    [HONE_SLOT_HEAD] = {MATRIX("output head", HEAD), VOCAB, HIDDEN, NULL, 0, false},
    [HONE_SLOT_POOLER] = {MATRIX("pooler", HEAD), HIDDEN, HIDDEN, NULL, 0, false},
    [HONE_SLOT_DENSE] = {MATRIX("classifier's dense layer", HEAD), DENSE, HIDDEN, NULL, 0, false},
    [HONE_SLOT_NORM_DENSE] = {VECTOR("classifier's norm", HEAD), ONE, DENSE, NULL, 0, false},
    [HONE_SLOT_CLASSIFIER] = {MATRIX("classifier", HEAD), LABELS, HIDDEN, NULL, 0, false},
};

const hone_slot_info *hone_slot_describe(hone_slot slot)
{
    return &rows[slot].info;
}

uint32_t hone_slot_layers(const hone_hparams *h, hone_slot slot)
{
    return slot < HONE_LAYER_SLOTS ? h->layers : 1;
}

static size_t size_of(const hone_hparams *h, const hone_layer_kind *y, dim d)
{
    const size_t sizes[] = {
        [ONE] = 1,
        [HIDDEN] = h->hidden,
        [QUERIES] = (size_t)y->heads * y->head_dim,
        [KEYS] = (size_t)y->kv_heads * y->head_dim,
        [HEAD] = y->head_dim,
        [FFN] = y->ffn,
        [VOCAB] = h->vocab,
        [POSITIONS] = h->positions,
        [TYPES] = h->token_types,
        [RELATIVES] = 2 * (size_t)h->relative_span,
        [DENSE] = h->labels ? h->hidden : 0,
        [LABELS] = h->labels,
    };
    return sizes[d];
}

/* Whether a layer of this kind has a block that uses the slot. */
static bool used(const hone_layer_kind *y, const slot_row *s)
{
    if (!s->block)
        return true;
    for (uint32_t i = 0; i < y->n_blocks; i++)
        if (y->blocks[i].block == s->block || y->blocks[i].block->slots == s->block)
            return (!s->norm || (y->blocks[i].norms & s->norm)) && (!s->gate || y->gated);
    return false;
}

/* Outputs and inputs of a slot's matrix in this layer (any layer for those of the model); a vector
 * has n = 1. n = 0: this layer has no use for it. */
static void slot_shape(const hone_hparams *h, hone_slot slot, uint32_t layer, size_t *n, size_t *k)
{
    const hone_layer_kind *y = hone_kind(h, slot < HONE_LAYER_SLOTS ? layer : 0);
    const slot_row *s = &rows[slot];
    bool tied = slot == HONE_SLOT_HEAD && h->tied;
    *k = size_of(h, y, s->k);
    *n = used(y, s) && !tied && *k ? size_of(h, y, s->n) : 0;
}

size_t hone_row_source(const hone_row_map *m, size_t r)
{
    if (!m->run)
        return m->first + r;
    size_t i = r % m->run, half = m->pairs / 2;
    if (i < m->pairs)
        i = i < half ? 2 * i : 2 * (i - half) + 1;
    return m->first + r / m->run * m->stride + i;
}

static void spell(const char *pattern, const char *prefix, uint32_t layer, char *out)
{
    char number[16] = "";
    *out = 0;
    if (!pattern)
        return;
    bool prefixed = *pattern == '@';
    const char *from = pattern + prefixed, *hole = strstr(from, "%u");
    if (hole)
        snprintf(number, sizeof number, "%u", layer);
    snprintf(out, HONE_NAME_MAX, "%s%.*s%s%s", prefixed && prefix ? prefix : "",
             hole ? (int)(hole - from) : (int)strlen(from), from, number, hole ? hole + 2 : "");
}

static const hone_tensor_name *name_of(const hone_arch *a, bool gguf, hone_slot slot)
{
    return gguf ? &a->gguf_names[slot] : &a->hf_names[slot];
}

/* The rows of a tensor that slots share: of all of them, and of those before this one. */
static void share(const hone_arch *a, const hone_hparams *h, bool gguf, hone_slot slot,
                  uint32_t layer, hone_place *p)
{
    const char *shared = name_of(a, gguf, slot)->weight;
    size_t all = 0, before = 0, n, k, turns = 0, turn = 0;
    for (hone_slot s = 0; s < HONE_LAYER_SLOTS && slot < HONE_LAYER_SLOTS; s++) {
        const char *other = name_of(a, gguf, s)->weight;
        slot_shape(h, s, layer, &n, &k);
        if (!other || !n || strcmp(other, shared) != 0)
            continue;
        if (s == slot) {
            before = all;
            turn = turns;
        }
        all += n;
        turns++;
    }
    p->stored_n = slot < HONE_LAYER_SLOTS ? all : p->n;
    p->map.first = before;
    size_t head = hone_kind(h, slot < HONE_LAYER_SLOTS ? layer : 0)->head_dim;
    if (p->flags & HONE_NAME_PER_HEAD)
        p->map = (hone_row_map){.first = turn * head, .run = head, .stride = turns * head};
}

bool hone_place_find(const hone_arch *a, const hone_hparams *h, bool gguf, const char *prefix,
                     hone_slot slot, uint32_t layer, hone_place *out)
{
    const hone_tensor_name *name = name_of(a, gguf, slot);
    memset(out, 0, sizeof *out);
    if (!name->weight)
        return false;
    slot_shape(h, slot, layer, &out->n, &out->k);
    if (!out->n)
        return false;
    spell(name->weight, prefix, layer, out->weight);
    spell(name->bias, prefix, layer, out->bias);
    out->flags = name->flags;
    share(a, h, gguf, slot, layer, out);
    if (slot == HONE_SLOT_POSITION && !gguf) { /* llama.cpp leaves the unused rows out */
        out->stored_n += h->position_offset;
        out->map.first = h->position_offset;
    }
    if (name->flags & HONE_NAME_PAIRS) {
        const hone_layer_kind *y = hone_kind(h, layer);
        out->map.run = out->map.stride = y->head_dim;
        out->map.pairs = y->rope == HONE_ROPE_NONE ? 0 : h->ropes[0][y->rope].dim;
    }
    return true;
}

const char *hone_arch_prefix(const hone_arch *a, const hone_file *f)
{
    char name[HONE_NAME_MAX];
    for (int i = 0; i < 3 && a->hf_prefixes[i]; i++) {
        spell(a->hf_names[HONE_SLOT_EMBEDDING].weight, a->hf_prefixes[i], 0, name);
        if (hone_file_tensor(f, name))
            return a->hf_prefixes[i];
    }
    return a->hf_prefixes[0];
}

/* Whether `name` is `pattern` with a number for "%u", up to the pattern's last `drop` characters;
 * *rest is what follows. */
static bool begins(const char *pattern, size_t drop, const char *prefix, const char *name,
                   uint32_t *layer, const char **rest)
{
    size_t n = strlen(prefix), end = strlen(pattern) - drop, at = 0;
    *layer = 0;
    if (*pattern == '@') {
        if (strncmp(name, prefix, n) != 0)
            return false;
        name += n;
        at = 1;
    }
    for (; at < end; at++) {
        if (pattern[at] == '%') {
            const char *digits = name;
            while (*name >= '0' && *name <= '9' && *layer < 100000)
                *layer = *layer * 10 + (uint32_t)(*name++ - '0');
            if (name == digits || (*digits == '0' && name > digits + 1))
                return false;
            at++; /* the u */
        } else if (*name++ != pattern[at]) {
            return false;
        }
    }
    *rest = name;
    return true;
}

bool hone_slot_claims(const hone_arch *a, const hone_hparams *h, bool gguf, const char *prefix,
                      const char *name)
{
    static const char suffix[] = ".weight";
    for (hone_slot s = 0; s < HONE_SLOTS; s++) {
        const hone_tensor_name *t = name_of(a, gguf, s);
        size_t n, k, drop = sizeof suffix - 1;
        uint32_t layer;
        const char *rest;
        if (!t->weight)
            continue;
        size_t length = strlen(t->weight);
        bool module = length > drop && strcmp(t->weight + length - drop, suffix) == 0;
        if (!begins(t->weight, module ? drop : 0, prefix ? prefix : "", name, &layer, &rest) ||
            layer >= hone_slot_layers(h, s))
            continue;
        slot_shape(h, s, layer, &n, &k);
        bool bias = strcmp(rest, ".bias") == 0;
        if (n && (module ? *rest == '.' && (!bias || t->bias) : !*rest))
            return true;
    }
    return false;
}
