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
#include "base/utf8.h"
#include "text/tokenizer.h"

#include <pcre2.h>
#include <string.h>

enum {
    HONE_VOCAB_MAX = 1 << 22,    /* tokens */
    HONE_MERGES_MAX = 1 << 23,   /* merges */
    HONE_PIECE_MAX = 1 << 16,    /* bytes of a token */
    HONE_ADDED_MAX = 4096,       /* bytes of an added token */
    HONE_MERGED_PIECE_MAX = 512, /* bytes of a token that merges by score may build */
    HONE_STEPS_MAX = 32,         /* normalizer or pre-tokenizer steps */
    HONE_AFFIX_MAX = 16,         /* ids put before or after a text */
    HONE_PAIR_MAX = 3 * HONE_AFFIX_MAX + 2,
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

/* String -> index of a table of hone_str, by open addressing; slots hold index + 1, or 0, and the
 * string's hash, so that few strings are looked at. */
typedef struct hone_str_slot {
    uint32_t at, hash;
} hone_str_slot;

typedef struct hone_str_index {
    hone_str_slot *slots;
    uint32_t mask, n;
} hone_str_index;

typedef struct hone_merge {
    uint64_t key; /* left symbol << 32 | right symbol; UINT64_MAX = empty */
    uint32_t rank, id;
} hone_merge;

/* A set of strings to look for: the nodes in breadth-first order, so that the children of a node
 * lie side by side, ordered by the byte that leads to them. Built once (token_trie.c). */
typedef struct hone_trie {
    struct hone_trie_node {
        uint32_t first;    /* its first child */
        uint32_t children; /* 0..256 */
        int32_t value;     /* of the string that ends here; -1: none does */
    } * nodes;
    uint8_t *labels;     /* per node: the byte that leads to it */
    uint32_t roots[256]; /* child of the root by byte, 0: none */
    uint32_t n_nodes;
} hone_trie;

typedef struct hone_trie_entry {
    hone_str s; /* in the pool */
    int32_t value;
} hone_trie_entry;

typedef struct hone_added {
    hone_str content;
    int32_t id;
    bool special, lstrip, rstrip, normalized, single_word;
    bool literal; /* with normalized: sought as written, not normalised itself */
} hone_added;

/*
 * A step from text to text: of the normalizer, or of the decoder, which makes a token's text from
 * its piece. token_steps.c has a row for each.
 */
typedef enum hone_step_kind {
    HONE_STEP_PREPEND,    /* `with` before a text that is not empty */
    HONE_STEP_REPLACE,    /* every `what` by `with` */
    HONE_STEP_EXPRESSION, /* every match of `code` by `with` */
    HONE_STEP_NFC,
    HONE_STEP_NFD,
    HONE_STEP_NFKC,
    HONE_STEP_NFKD,
    HONE_STEP_LOWERCASE,
    HONE_STEP_STRIP,         /* blanks off the left and/or right */
    HONE_STEP_COLLAPSE,      /* SentencePiece's remove_extra_whitespaces */
    HONE_STEP_CLEAN,         /* BERT: control characters go, white space becomes a blank */
    HONE_STEP_SPACE_CJK,     /* BERT: blanks around Chinese characters */
    HONE_STEP_DROP_MARKS,    /* characters of category Mn; with `all` also Mc and Me */
    HONE_STEP_NMT,           /* control characters go, odd blanks become a blank */
    HONE_STEP_CHARSMAP,      /* SentencePiece's character map: the longest match at each place */
    HONE_STEP_CHARSMAP_HF,   /* the same map as the tokenizers library applies it: by graphemes */
    HONE_STEP_TO_ALPHABET,   /* bytes become GPT-2's printable characters */
    HONE_STEP_FROM_ALPHABET, /* and back, where every character is one of them */
    HONE_STEP_FROM_BYTE,     /* "<0x0A>" becomes that byte; it ends the steps of the token */
    HONE_STEP_METASPACE,     /* `what` becomes a blank; in the first token nothing, if `all` */
    HONE_STEP_WORDPIECE, /* `what` at the start goes, else a blank comes; not in the first token */
    HONE_STEP_TIDY,      /* blanks before punctuation and English contractions go */
    HONE_STEP_STRIP_STRING, /* up to `start` times `what` off the left, `stop` times off the right
                             */
    HONE_STEP_KINDS
} hone_step_kind;

typedef struct hone_step {
    hone_step_kind kind;
    hone_str what, with;
    pcre2_code *code;
    bool left, right, all;
    int32_t start, stop;
} hone_step;

/* A list of steps; LIMIT beyond HONE_STEPS_MAX. */
typedef struct hone_steps {
    hone_step of[HONE_STEPS_MAX];
    int n;
} hone_steps;

typedef enum hone_split_kind {
    HONE_SPLIT_EXPRESSION, /* by `code` */
    HONE_SPLIT_STRING,     /* by `what` */
    HONE_SPLIT_CLASS,      /* by each character of which `is` is true */
    HONE_SPLIT_WORDS,      /* runs of word characters, runs of others, no white space */
    HONE_SPLIT_TRIPLES,    /* numbers by threes from the right */
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
    bool individual; /* METASPACE: split */
    hone_prepend prepend;
    hone_str what;
    pcre2_code *code;
    bool (*is)(uint32_t c);
} hone_split_step;

struct hone_scratch;
/* A kind of model: how a word becomes ids. */
typedef struct hone_token_model {
    const char *name; /* for people */
    /* From the finished vocabulary to the tables that `encode` needs; NULL: none. */
    hone_status (*build)(hone_tokenizer *t);
    /* Appends the ids of the word text[w] of the scratch, w.n > 0. */
    hone_status (*encode)(const hone_tokenizer *t, struct hone_scratch *s, hone_str w);
} hone_token_model;
extern const hone_token_model hone_model_bpe, hone_model_unigram, hone_model_wordpiece,
    hone_model_longest, hone_model_word;

/* A part of a sequence of two texts: a token, or one of the texts. */
enum { HONE_PAIR_A = -1, HONE_PAIR_B = -2 };
typedef struct hone_pair_part {
    int32_t id, type;
} hone_pair_part;

struct hone_tokenizer {
    char *pool;
    uint32_t pool_n, pool_capacity;

    /* Per id. */
    int32_t n_tokens;
    uint32_t piece_capacity, out_capacity, first_capacity, type_capacity, flag_capacity,
        symbol_capacity;
    hone_str *pieces; /* as written */
    hone_str *outs;   /* decoded bytes */
    uint8_t *types;   /* hone_token_type */
    uint8_t *flags;   /* HONE_TOKEN_IS_* */
    double *scores;   /* SentencePiece and unigram only, else NULL */
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

    hone_steps norms;
    hone_split_step splits[HONE_STEPS_MAX];
    int n_splits;
    hone_str charsmap; /* SentencePiece's character map, n = 0: none */

    const hone_token_model *model;
    hone_trie words;     /* unigram, longest match, WordPiece: symbols a word may start with */
    hone_trie tails;     /* WordPiece: those that may follow */
    uint32_t word_chars; /* WordPiece: longer words are unknown */
    double unk_score;    /* unigram */
    bool single;         /* unigram: sums in float32, as SentencePiece */

    /* Merges by rank. */
    bool byte_level;    /* words are bytes, not characters */
    bool byte_fallback; /* a character without a token becomes its bytes' tokens */
    bool fuse_unk;
    bool ignore_merges;     /* a word that is a token is taken whole */
    bool last_merge_counts; /* of merges given twice (tokenizers); else the first (llama.cpp) */
    bool by_score;          /* merges made from scores */
    hone_str word_end;      /* appended to the last symbol of each word ("</w>"); n = 0: none */
    hone_str word_mid;      /* before all symbols of a word but the first ("##") */
    hone_merge *merges;
    uint32_t merge_mask, n_merges;
    bool cut_meta;           /* no token reaches over the start of a run of U+2581 */
    bool cut_ascii[128];     /* the character is in no longer token */
    bool cut_pairs;          /* long words may be cut where `joined` has no bit */
    uint8_t joined[256][32]; /* bytes side by side in some token that merges make */

    /* Decoder. */
    hone_steps decoder; /* from a piece to its text */
    hone_str *firsts;   /* decoded bytes of a token that starts the text; NULL: as outs */
    hone_str out_unk;   /* what the unknown token gives; n = 0: its piece */
    hone_str out_end;   /* the end of a word in a piece ("</w>"): a blank if more follows */
    int strip_start;    /* blanks to take off the start of the text */
    bool strip_each;    /* one blank off each token as long as there is no text */
    bool join_blank;    /* tokens are joined by blanks (a tokenizer.json without a decoder) */
    bool skip_repeated; /* CTC: a token that repeats the one before gives nothing */

    bool plain_bytes; /* byte_level: pieces are the bytes themselves (tiktoken) */
    bool unescape;    /* pieces are written as Python writes bytes (RWKV) */

    int32_t prefix[HONE_AFFIX_MAX], suffix[HONE_AFFIX_MAX];
    int n_prefix, n_suffix;
    hone_pair_part pair[HONE_PAIR_MAX]; /* how two texts become one sequence; n_pair 0: unknown */
    int n_pair;
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
/* Makes scores of ids 0..n-1 exist, 0 until set. */
HONE_CHECKED hone_status hone_scores_reserve(hone_tokenizer *t, size_t n);
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
/* Standard base64 with its padding, into out (3/4 n at most); false if it is none. */
bool hone_base64_decode(const char *s, size_t n, char *out, size_t *bytes);
/* The printable stand-in of a byte. */
uint32_t hone_byte_alphabet_code(uint8_t b);
/* "<0x0A>" -> 10; -1 if the piece is none. */
int hone_byte_of_piece(const char *s, size_t n);
/* The value of n hexadecimal digits at s, 8 at most; -1 if one is none. */
int64_t hone_hexadecimal(const char *s, size_t n);
/* Bytes that a Python literal (without its quotes) writes, into out (n at most); false if none. */
bool hone_unescape_python(const char *s, size_t n, bool is_bytes, char *out, size_t *bytes);

/* Bytes of the symbol at p, of which `left` are left: a byte, or a character. */
static inline uint32_t hone_symbol_bytes(const hone_tokenizer *t, const char *p, uint32_t left)
{
    uint32_t n = t->byte_level ? 1 : (uint32_t)hone_utf8_length(*p);
    return n < left ? n : left;
}

/* ---- token_merge.c: the model ---- */
/* Makes room for n merges at once. */
HONE_CHECKED hone_status hone_merges_reserve(hone_tokenizer *t, size_t n);
/* Adds the merge of two pieces into left + right[skip..); FORMAT if one of the three is no token.
 */
HONE_CHECKED hone_status hone_merges_put_pieces(hone_tokenizer *t, const char *left, size_t n,
                                                const char *right, size_t m, size_t skip,
                                                uint32_t rank);
/* All merges that SentencePiece's scores imply: a pair whose concatenation is a token; the token
 * with the higher score first. */
HONE_CHECKED hone_status hone_merges_from_scores(hone_tokenizer *t);

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
    struct hone_path *paths; /* unigram: the best way to each byte of a word */
    uint32_t path_capacity;
    int32_t *codes; /* code points being normalised */
    uint32_t code_capacity;
    bool last_unk; /* the last id is an unknown that may be fused */
    bool first;    /* decoder's steps: the token starts the text */
    bool stop;     /* decoder's steps: this was the last */
} hone_scratch;

HONE_CHECKED hone_status hone_scratch_init(hone_scratch *s, size_t text_bytes);
void hone_scratch_free(hone_scratch *s);
HONE_CHECKED hone_status hone_scratch_put_id(hone_scratch *s, int32_t id);
/* Room for n more bytes of text after text_n. */
HONE_CHECKED hone_status hone_scratch_room(hone_scratch *s, size_t n);
HONE_CHECKED hone_status hone_scratch_put_text(hone_scratch *s, const char *text, size_t n);

/* What the model does with characters that no token expresses: bytes, or the unknown token. */
HONE_CHECKED hone_status hone_scratch_put_unknown(const hone_tokenizer *t, hone_scratch *s,
                                                  hone_str w);

/* Encodes the word text[w] of the scratch into ids, by its model or from memory. */
HONE_CHECKED hone_status hone_model_encode_word(const hone_tokenizer *t, hone_scratch *s,
                                                hone_str w);

/* ---- token_steps.c: from text to text ---- */
/* Applies the steps to n bytes (well-formed UTF-8, not inside s->text); the result is
 * s->text[*out]. first: the steps of a decoder make the text of a first token. */
HONE_CHECKED hone_status hone_steps_apply(const hone_tokenizer *t, hone_scratch *s,
                                          const hone_steps *steps, const char *text, size_t n,
                                          bool first, hone_str *out);
/* Appends the step to the list, which owns step.code from then on, also on failure. */
HONE_CHECKED hone_status hone_steps_add(hone_steps *list, hone_step step);
void hone_steps_free(hone_steps *list);
/* One step: reads s->text[in], appends its result at s->text_n. */
typedef hone_status hone_step_function(const hone_tokenizer *t, hone_scratch *s,
                                       const hone_step *step, hone_str in);
/* token_unicode.c */
hone_step_function hone_step_compose, hone_step_lowercase, hone_step_strip, hone_step_clean,
    hone_step_space_cjk, hone_step_drop_marks, hone_step_nmt;
bool hone_is_space(uint32_t c);       /* Unicode White_Space */
bool hone_is_number(uint32_t c);      /* category N */
bool hone_is_punctuation(uint32_t c); /* category P, and all of ASCII that is no letter or digit */
bool hone_is_cjk(uint32_t c);         /* BERT's Chinese characters */
bool hone_is_word(uint32_t c);        /* \w: Alphabetic, M, Nd, Pc, joiners (UTS 18, annex C) */
/* token_charsmap.c */
hone_step_function hone_step_charsmap, hone_step_charsmap_hf;
/* Takes a copy of a precompiled_charsmap; FORMAT if its sizes cannot be. */
HONE_CHECKED hone_status hone_charsmap_set(hone_tokenizer *t, const void *data, size_t n);

/* ---- token_expression.c: regular expressions ---- */
/* Compiles with UTF and UCP and the JIT where the system allows; `what` names it in the message.
 */
HONE_CHECKED hone_status hone_expression_compile(const char *pattern, size_t n, const char *what,
                                                 pcre2_code **out);
bool hone_is_script(const char *name, size_t n); /* of Unicode 14, as "Latin" (token_scripts.c) */
/* The same for an expression written for Oniguruma (tokenizer.json), whose sense it keeps. */
HONE_CHECKED hone_status hone_expression_compile_onig(const char *pattern, size_t n,
                                                      const char *what, pcre2_code **out);
/* Next match at or after *from in the piece; *from = its start, *to = its end; *from = n: none. */
HONE_CHECKED hone_status hone_expression_next(const pcre2_code *code, hone_scratch *s,
                                              hone_str piece, uint32_t *from, uint32_t *to);
/* Cuts s->text[whole] into words: s->pieces[*which][0 .. s->n_pieces[*which]). first: the piece
 * starts the text. */
HONE_CHECKED hone_status hone_split(const hone_tokenizer *t, hone_scratch *s, hone_str whole,
                                    bool first, int *which);

/* ---- token_pair.c: two texts in one sequence ---- */
/* Appends a part: a token, or one of the texts. */
HONE_CHECKED hone_status hone_pair_put(hone_tokenizer *t, int64_t id, int32_t type);
/* prefix, A, between, B, suffix; what follows `between` is of second_type, all before of type 0. */
HONE_CHECKED hone_status hone_pair_put_all(hone_tokenizer *t, const int32_t *between, int n_between,
                                           int32_t second_type);

/* ---- token_trie.c ---- */
/* Builds the trie of the entries, which it sorts; of equal strings the least value stays. */
HONE_CHECKED hone_status hone_trie_build(hone_trie *x, const hone_tokenizer *t,
                                         hone_trie_entry *entries, size_t n);
void hone_trie_free(hone_trie *x);
/* The longest string of the trie that starts p[0..n): its bytes, or 0. */
size_t hone_trie_longest(const hone_trie *x, const char *p, size_t n, int32_t *value);
/* The child of a node by a byte; 0: none. */
static inline uint32_t hone_trie_child(const hone_trie *x, uint32_t node, uint8_t c)
{
    uint32_t first = x->nodes[node].first, n = x->nodes[node].children;
    const uint8_t *l = x->labels + first;
    if (n > 8) {
        const uint8_t *hit = memchr(l, c, n);
        return hit ? first + (uint32_t)(hit - l) : 0;
    }
    for (uint32_t i = 0; i < n; i++)
        if (l[i] == c)
            return first + i;
    return 0;
}
/* Of all symbols that text may become: those that start with `start`, without it. */
HONE_CHECKED hone_status hone_trie_of_symbols(hone_trie *x, hone_tokenizer *t, hone_str start);

/* ---- token_added.c: added tokens in a text ---- */
HONE_CHECKED hone_status hone_added_build(hone_tokenizer *t);
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
/* vocab.txt of BERT; tokenizer_config.json (NULL: none) says whether case and accents count. */
HONE_CHECKED hone_status hone_load_vocab_txt(hone_tokenizer *t, const char *text, size_t n,
                                             const char *config, size_t n_config);
/* tokenizer_config.json (config NULL: nothing). Its added_tokens_decoder: tokens that the
 * vocabulary lacks; to be called before hone_vocab_index. */
HONE_CHECKED hone_status hone_load_config_tokens(hone_tokenizer *t, const char *config, size_t n);
/* Its names of special tokens; affixes if may_add. */
HONE_CHECKED hone_status hone_load_tokenizer_config(hone_tokenizer *t, const char *text, size_t n,
                                                    bool may_add);
/* Lines of base64 and rank (tiktoken), of which hone knows the expression by their number. */
HONE_CHECKED hone_status hone_load_tiktoken(hone_tokenizer *t, const char *text, size_t n);
bool hone_is_tiktoken(const char *text, size_t n);
/* Lines of id, Python literal and length (RWKV's vocabulary). */
HONE_CHECKED hone_status hone_load_rwkv(hone_tokenizer *t, const char *text, size_t n);
bool hone_is_rwkv(const char *text, size_t n);
/* The ids after which generation stops: of generation_config.json, or of a model's config.json,
 * which may have been written for another tokenizer: of those the special tokens. */
HONE_CHECKED hone_status hone_load_ends(hone_tokenizer *t, char *text, size_t n, bool of_model);
HONE_CHECKED hone_status hone_split_add(hone_tokenizer *t, hone_split_step step);
HONE_CHECKED hone_status hone_split_add_expression(hone_tokenizer *t, const char *pattern);
extern const char hone_gpt2_expression[];
/* The dummy prefix and blank of SentencePiece. */
HONE_CHECKED hone_status hone_norm_add_spm(hone_tokenizer *t, bool prefix, bool collapse);

#endif
