/*
 * tokenizer_internal - the data that a tokenizer is, and what the files of this room share.
 * Private to text/.
 *
 * A loader (tokenizer_json.c, tokenizer_spm.c, tokenizer_gguf.c) starts with hone_tokenizer_new,
 * adds tokens, added tokens, steps and merges, and ends with hone_tokenizer_finish, which builds
 * the tables that encode and decode run on. Ids are dense after finish; holes are UNUSED tokens.
 *
 * Strings live in one pool and are named by hone_str (offset, length), each followed by a 0.
 * A symbol is what merges work on: an id of the vocabulary, or beyond it a single character that is
 * no token but part of one (SentencePiece vocabularies need that).
 */
#ifndef HONE_TEXT_TOKENIZER_INTERNAL_H
#define HONE_TEXT_TOKENIZER_INTERNAL_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/mem.h"
#include "text/tokenizer.h"

#include <pcre2.h>

enum {
    HONE_VOCAB_MAX = 1 << 22,      /* tokens */
    HONE_MERGES_MAX = 1 << 23,     /* merges */
    HONE_PIECE_MAX = 1 << 16,      /* bytes of a token */
    HONE_ADDED_MAX = 4096,         /* bytes of an added token */
    HONE_MERGED_PIECE_MAX = 512,   /* bytes of a token that merges by score may build */
    HONE_STEPS_MAX = 32,           /* normalizer or pre-tokenizer steps */
    HONE_AFFIX_MAX = 16,           /* ids put before or after a text */
    HONE_EXPRESSION_MAX = 1 << 14, /* bytes of a regular expression */
    HONE_NO_SYMBOL = -1
};
#define HONE_TEXT_MAX      ((size_t)1 << 30) /* bytes of one text to encode */
#define HONE_TOKENIZER_MAX ((size_t)1 << 28) /* bytes of a tokenizer file */
#define HONE_META_SPACE    "\xE2\x96\x81"    /* U+2581, SentencePiece's blank */

/* Grows *p (elements of `size` bytes) so that `need` fit; *capacity follows. MEMORY or LIMIT. */
HONE_CHECKED hone_status hone_grow(void *p, uint32_t *capacity, size_t need, size_t size);
#define HONE_GROW(vector, capacity, need)                                                          \
    ((need) <= (capacity) ? HONE_OK : hone_grow(&(vector), &(capacity), (need), sizeof *(vector)))

typedef struct hone_str {
    uint32_t at, n;
} hone_str;

/* String -> index of a table of hone_str, by open addressing; slots hold index + 1. */
typedef struct hone_str_index {
    uint32_t *slots;
    uint32_t mask, n;
} hone_str_index;

typedef struct hone_merge {
    uint64_t key; /* left symbol << 32 | right symbol; UINT64_MAX = empty */
    uint32_t rank, id;
} hone_merge;

/* A set of added tokens to look for, longest first: a trie whose edges are hashed. */
typedef struct hone_trie {
    struct hone_trie_edge {
        uint32_t from, byte, to; /* to = 0: empty */
    } * edges;
    uint32_t mask, n_edges, n_nodes;
    int32_t *leaf; /* per node: index into added, -1 */
    uint32_t leaf_capacity;
    bool starts[256];
} hone_trie;

typedef struct hone_added {
    hone_str content;
    int32_t id;
    bool special, lstrip, rstrip, normalized, single_word;
    bool literal; /* with normalized: sought as written, not normalised itself */
} hone_added;

typedef enum hone_norm_kind {
    HONE_NORM_PREPEND,    /* `with` before a text that is not empty */
    HONE_NORM_REPLACE,    /* every `what` by `with` */
    HONE_NORM_EXPRESSION, /* every match of `code` by `with` */
    HONE_NORM_NFC,
    HONE_NORM_NFD,
    HONE_NORM_NFKC,
    HONE_NORM_NFKD,
    HONE_NORM_LOWERCASE,
    HONE_NORM_STRIP,   /* blanks off the left and/or right */
    HONE_NORM_COLLAPSE /* SentencePiece's remove_extra_whitespaces */
} hone_norm_kind;

typedef struct hone_norm_step {
    hone_norm_kind kind;
    hone_str what, with;
    pcre2_code *code;
    bool left, right;
} hone_norm_step;

typedef enum hone_split_kind {
    HONE_SPLIT_EXPRESSION, /* by `code` */
    HONE_SPLIT_STRING,     /* by `what` */
    HONE_SPLIT_DIGITS,     /* numeric characters (N*), together or one by one */
    HONE_SPLIT_METASPACE,  /* blank -> `what`, perhaps one before, split before each */
    HONE_SPLIT_PREFIX      /* ByteLevel's add_prefix_space */
} hone_split_kind;

typedef enum hone_split_behaviour {
    HONE_SPLIT_ISOLATED,
    HONE_SPLIT_REMOVED,
    HONE_SPLIT_MERGED_PREVIOUS,
    HONE_SPLIT_MERGED_NEXT,
    HONE_SPLIT_CONTIGUOUS
} hone_split_behaviour;

typedef enum hone_prepend {
    HONE_PREPEND_NEVER,
    HONE_PREPEND_FIRST, /* only to what starts the text */
    HONE_PREPEND_ALWAYS
} hone_prepend;

typedef struct hone_split_step {
    hone_split_kind kind;
    hone_split_behaviour behaviour;
    bool invert;     /* matches and what is between them change roles */
    bool individual; /* DIGITS: one by one; METASPACE: split */
    hone_prepend prepend;
    hone_str what;
    pcre2_code *code;
} hone_split_step;

struct hone_tokenizer {
    char *pool;
    uint32_t pool_n, pool_capacity;

    /* Per id. */
    int32_t n_tokens;
    uint32_t piece_capacity, out_capacity, type_capacity, flag_capacity, symbol_capacity;
    hone_str *pieces; /* as written */
    hone_str *outs;   /* decoded bytes */
    uint8_t *types;   /* hone_token_type */
    uint8_t *flags;   /* HONE_TOKEN_IS_* */
    float *scores;    /* SentencePiece only, else NULL */
    uint32_t score_capacity;

    /* Per symbol: the bytes that the model sees. n_symbols >= n_tokens. */
    hone_str *symbols;
    uint32_t n_symbols;

    hone_str_index by_piece;  /* all tokens */
    hone_str_index by_symbol; /* what text may become: neither special nor byte tokens */
    int32_t byte_symbol[256]; /* symbol of a single byte: byte-level alphabet, or <0xNN> tokens */

    hone_added *added;
    uint32_t n_added, added_capacity;
    hone_trie raw_trie, normalized_trie;

    hone_norm_step norms[HONE_STEPS_MAX];
    hone_split_step splits[HONE_STEPS_MAX];
    int n_norms, n_splits;

    /* Model: merges by rank. */
    bool byte_level;    /* words are bytes, not characters */
    bool byte_fallback; /* a character without a token becomes its bytes' tokens */
    bool fuse_unk;
    bool ignore_merges; /* a word that is a token is taken whole */
    bool by_score;      /* merges made from scores */
    hone_str word_end;  /* appended to the last symbol of each word ("</w>"); n = 0: none */
    hone_merge *merges;
    uint32_t merge_mask, n_merges;
    bool cut_meta;       /* no token reaches over the start of a run of U+2581 */
    bool cut_ascii[128]; /* the character is in no longer token */

    /* Decoder. */
    bool out_alphabet;         /* pieces are written in GPT-2's alphabet */
    bool out_bytes;            /* BYTE tokens give their byte */
    hone_str out_from, out_to; /* replaced in every piece */
    hone_str out_unk;          /* what the unknown token gives; n = 0: its piece */
    int strip_start;           /* blanks to take off the start of the text */
    bool join_blank; /* tokens are joined by blanks (a tokenizer.json without a decoder) */

    int32_t prefix[HONE_AFFIX_MAX], suffix[HONE_AFFIX_MAX];
    int n_prefix, n_suffix;
    int32_t bos, eos, eot, unk, pad;
    char description[128];
};

enum {
    HONE_TOKEN_IS_SPECIAL = 1,
    HONE_TOKEN_IS_END = 2,
    HONE_TOKEN_IS_MODEL = 4, /* in the model's vocabulary, not only among the added tokens */
    HONE_TOKEN_IS_SET = 8
};

/* ---- token_vocab.c: tokens, strings, added tokens ---- */
HONE_CHECKED hone_status hone_tokenizer_new(hone_tokenizer **out);
HONE_CHECKED hone_status hone_pool_add(hone_tokenizer *t, const char *s, size_t n, hone_str *out);
static inline const char *hone_pool_str(const hone_tokenizer *t, hone_str s)
{
    return t->pool + s.at;
}
/* Makes ids 0..n-1 exist (UNUSED until set). */
HONE_CHECKED hone_status hone_vocab_reserve(hone_tokenizer *t, int64_t n);
/* Sets a token; FORMAT if the id is set already. */
HONE_CHECKED hone_status hone_vocab_set(hone_tokenizer *t, int64_t id, const char *piece, size_t n,
                                        hone_token_type type, unsigned flags);
HONE_CHECKED hone_status hone_added_add(hone_tokenizer *t, const char *s, size_t n,
                                        const hone_added *like);
/* Builds the indexes, symbols and decoded bytes; after it tokens are fixed and merges may be added.
 */
HONE_CHECKED hone_status hone_vocab_index(hone_tokenizer *t);
/* Builds the other tables from what the loader put in; the last call of a loader. */
HONE_CHECKED hone_status hone_tokenizer_finish(hone_tokenizer *t);
int32_t hone_str_index_find(const hone_str_index *x, const hone_tokenizer *t, const hone_str *table,
                            const char *s, size_t n);
/* Adds table[i]; of equal strings the first stays. */
HONE_CHECKED hone_status hone_str_index_put(hone_str_index *x, const hone_tokenizer *t,
                                            const hone_str *table, uint32_t i);
/* GPT-2's alphabet: the bytes that a piece of printable stand-ins spells, into out (n bytes at
 * most). False if a character is none of them. */
bool hone_byte_alphabet_decode(const char *s, size_t n, char *out, size_t *bytes);

/* ---- token_merge.c: the model ---- */
/* Adds left + right -> id; a pair that is there keeps its first rank. */
HONE_CHECKED hone_status hone_merges_put(hone_tokenizer *t, uint32_t left, uint32_t right,
                                         uint32_t rank, uint32_t id);
/* Adds the merge of two pieces into left + right[skip..); FORMAT if one of the three is no token.
 */
HONE_CHECKED hone_status hone_merges_put_pieces(hone_tokenizer *t, const char *left, size_t n,
                                                const char *right, size_t m, size_t skip,
                                                uint32_t rank);
/* All merges that SentencePiece's scores imply: a pair whose concatenation is a token; the token
 * with the higher score first. */
HONE_CHECKED hone_status hone_merges_from_scores(hone_tokenizer *t);
void hone_merges_find_cuts(hone_tokenizer *t);

/* ---- scratch of one call of encode ---- */
typedef struct hone_scratch {
    char *text; /* every normalised or pre-tokenised text of the call; only grows */
    uint32_t text_n, text_capacity;
    hone_str *pieces[2]; /* the words of a fragment, before and after a step */
    uint32_t n_pieces[2], piece_capacity[2];
    int32_t *ids;
    uint32_t n_ids, id_capacity;
    struct hone_word_slot *cache; /* words already encoded */
    uint32_t cache_mask;
    struct hone_node *nodes; /* symbols of a long word */
    uint32_t node_capacity;
    uint64_t *heap;
    uint32_t n_heap, heap_capacity;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *jit_stack;
    bool last_unk; /* the last id is an unknown that may be fused */
} hone_scratch;

HONE_CHECKED hone_status hone_scratch_init(hone_scratch *s, size_t text_bytes);
void hone_scratch_free(hone_scratch *s);
HONE_CHECKED hone_status hone_scratch_put_id(hone_scratch *s, int32_t id);
/* Room for n more bytes of text after text_n. */
HONE_CHECKED hone_status hone_scratch_room(hone_scratch *s, size_t n);
HONE_CHECKED hone_status hone_scratch_put_text(hone_scratch *s, const char *text, size_t n);

/* Encodes the word text[w] of the scratch into ids. */
HONE_CHECKED hone_status hone_model_encode_word(const hone_tokenizer *t, hone_scratch *s,
                                                hone_str w);

/* ---- token_normalize.c ---- */
/* Normalises n bytes of well-formed UTF-8 (not inside s->text); the result is s->text[*out]. */
HONE_CHECKED hone_status hone_normalize(const hone_tokenizer *t, hone_scratch *s, const char *text,
                                        size_t n, hone_str *out);

/* ---- token_split.c: the pre-tokenizer and regular expressions ---- */
/* Compiles with UTF and UCP and the JIT where the system allows; `what` names it in the message. */
HONE_CHECKED hone_status hone_expression_compile(const char *pattern, size_t n, const char *what,
                                                 pcre2_code **out);
/* Next match at or after *from in the piece; *from = its start, *to = its end; *from = n: none. */
HONE_CHECKED hone_status hone_expression_next(const pcre2_code *code, hone_scratch *s,
                                              hone_str piece, uint32_t *from, uint32_t *to);
/* Cuts s->text[whole] into words: s->pieces[*which][0 .. s->n_pieces[*which]). first: the piece
 * starts the text. */
HONE_CHECKED hone_status hone_split(const hone_tokenizer *t, hone_scratch *s, hone_str whole,
                                    bool first, int *which);
bool hone_is_space(uint32_t c); /* Unicode White_Space */

/* ---- token_added.c: added tokens in a text ---- */
HONE_CHECKED hone_status hone_added_build(hone_tokenizer *t);
void hone_trie_free(hone_trie *x);
/* The next added token in text[from..n); *at = where it starts, *end = where it ends (lstrip,
 * rstrip heeded); NULL if there is none. Special ones only when parse_special. */
const hone_added *hone_added_next(const hone_tokenizer *t, const hone_trie *x, const char *text,
                                  size_t n, size_t from, bool parse_special, size_t *at,
                                  size_t *end);

/* ---- loaders ---- `name` is the file's name for messages. They fill t up to before finish. */
HONE_CHECKED hone_status hone_load_tokenizer_json(hone_tokenizer *t, const char *text, size_t n);
HONE_CHECKED hone_status hone_load_tokenizer_spm(hone_tokenizer *t, const uint8_t *data, size_t n,
                                                 const char *config, size_t n_config);
HONE_CHECKED hone_status hone_load_tokenizer_gguf(hone_tokenizer *t, const struct hone_file *f);
HONE_CHECKED hone_status hone_load_vocab_merges(hone_tokenizer *t, const char *vocab, size_t n,
                                                const char *merges, size_t m);
/* tokenizer_config.json (config NULL: nothing). Its added_tokens_decoder: tokens that the
 * vocabulary lacks; to be called before hone_vocab_index. */
HONE_CHECKED hone_status hone_load_config_tokens(hone_tokenizer *t, const char *config, size_t n);
/* Its names of special tokens; affixes if may_add. */
HONE_CHECKED hone_status hone_load_tokenizer_config(hone_tokenizer *t, const char *text, size_t n,
                                                    bool may_add);
/* Steps; kind etc. set by the caller. LIMIT beyond HONE_STEPS_MAX. */
HONE_CHECKED hone_status hone_norm_add(hone_tokenizer *t, hone_norm_step step);
HONE_CHECKED hone_status hone_split_add(hone_tokenizer *t, hone_split_step step);
HONE_CHECKED hone_status hone_split_add_expression(hone_tokenizer *t, const char *pattern);
extern const char hone_gpt2_expression[];
/* The dummy prefix and blank of SentencePiece. */
HONE_CHECKED hone_status hone_norm_add_spm(hone_tokenizer *t, bool prefix, bool collapse);

#endif
