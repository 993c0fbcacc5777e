/*
 * A byte-level BPE vocabulary (Radford et al., "Language models are unsupervised multitask
 * learners", 2019, section 2.2) of any size without a text to learn it from: the 256 bytes in
 * GPT-2's spelling, then " a".." z", "aa".."zz", " aa".., "aaa".., " aaa".., "aaaa".. in this
 * order. Each string is the merge of the one without its last letter (an earlier token) and that
 * letter.
 */
#include "base/mem.h"
#include "base/utf8.h"
#include "compress/synth_parts.h"

#include <stdio.h>
#include <string.h>

enum { PIECE_MAX = 64, MERGE_MAX = 32 };

typedef struct synth_vocab {
    uint32_t tokens, special;
    char (*piece)[PIECE_MAX];
    char (*merge)[MERGE_MAX];
    const char **pieces, **merges;
    int32_t *types;
} synth_vocab;

/* The code point that GPT-2 writes for a byte: itself if printable, else the next free one from
 * 256. */
static uint32_t byte_code_point(unsigned byte)
{
    uint32_t free_code = 256;
    for (unsigned b = 0; b < 256; b++) {
        bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte)
            return printable ? b : free_code;
        free_code += !printable;
    }
    return 0;
}

/* Token ids of the bytes: the printable ones first, as in GPT-2. */
static void fill_bytes(synth_vocab *v)
{
    uint32_t id = 0;
    for (int pass = 0; pass < 2; pass++)
        for (unsigned b = 0; b < 256; b++) {
            uint32_t c = byte_code_point(b);
            if ((c < 256) == (pass == 0))
                hone_utf8_put(c, v->piece[id++]); /* the rest is zero */
        }
}

/* String number `i` of a level: `letters` letters in base 26, after a blank or not. */
static void level_string(uint64_t i, int letters, bool blank, char *out)
{
    size_t n = blank ? hone_utf8_put(byte_code_point(' '), out) : 0;
    for (int d = letters - 1; d >= 0; d--, i /= 26)
        out[n + (size_t)d] = (char)('a' + i % 26);
    out[n + (size_t)letters] = 0;
}

static void fill_merges(synth_vocab *v, uint32_t base)
{
    uint32_t id = 256;
    uint64_t count = 26; /* strings of a level with `letters` letters */
    for (int letters = 1; id < base; letters++, count *= 26)
        for (int blank = letters == 1; blank < 2; blank++)
            for (uint64_t i = 0; i < count && id < base; i++, id++) {
                char *piece = v->piece[id];
                level_string(i, letters, blank, piece);
                size_t n = strlen(piece);
                snprintf(v->merge[id - 256], MERGE_MAX, "%.*s %c", (int)(n - 1 > 24 ? 24 : n - 1),
                         piece, piece[n - 1]);
            }
}

/* Names and places as in Llama 3, as far as there is room. */
static void fill_special(synth_vocab *v, uint32_t base)
{
    static const struct {
        uint32_t place;
        const char *name;
    } known[] = {
        {0, "<|begin_of_text|>"}, {1, "<|end_of_text|>"}, {6, "<|start_header_id|>"},
        {7, "<|end_header_id|>"}, {9, "<|eot_id|>"},
    };
    for (uint32_t i = 0; i < v->special; i++) {
        snprintf(v->piece[base + i], PIECE_MAX, "<|reserved_special_token_%u|>", i);
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            if (known[k].place == i)
                snprintf(v->piece[base + i], PIECE_MAX, "%s", known[k].name);
    }
}

static hone_status write_vocab(hone_gguf_writer *w, const synth_vocab *v, uint32_t base)
{
    HONE_TRY(hone_gguf_writer_str(w, "tokenizer.ggml.model", "gpt2"));
    HONE_TRY(hone_gguf_writer_str(w, "tokenizer.ggml.pre", "llama-bpe"));
    HONE_TRY(hone_gguf_writer_str_array(w, "tokenizer.ggml.tokens", v->pieces, NULL, v->tokens));
    HONE_TRY(hone_gguf_writer_i32_array(w, "tokenizer.ggml.token_type", v->types, v->tokens));
    HONE_TRY(hone_gguf_writer_str_array(w, "tokenizer.ggml.merges", v->merges, NULL, base - 256));
    HONE_TRY(hone_gguf_writer_u32(w, "tokenizer.ggml.bos_token_id", base));
    HONE_TRY(hone_gguf_writer_u32(w, "tokenizer.ggml.eos_token_id", base + 1));
    return hone_gguf_writer_bool(w, "tokenizer.ggml.add_bos_token", true);
}

static void free_vocab(synth_vocab *v)
{
    hone_free(v->piece);
    hone_free(v->merge);
    hone_free(v->pieces);
    hone_free(v->merges);
    hone_free(v->types);
}

hone_status hone_synth_write_tokenizer(hone_gguf_writer *w, uint32_t vocab, uint32_t special)
{
    if (special > vocab || vocab - special < 256)
        return hone_fail(HONE_USAGE, "a vocabulary of %u tokens has no room for 256 bytes", vocab);
    uint32_t base = vocab - special;
    synth_vocab v = {.tokens = vocab, .special = special};
    v.piece = hone_calloc(vocab, PIECE_MAX);
    v.merge = hone_calloc(vocab, MERGE_MAX);
    v.pieces = hone_calloc(vocab, sizeof *v.pieces);
    v.merges = hone_calloc(vocab, sizeof *v.merges);
    v.types = hone_calloc(vocab, sizeof *v.types);
    hone_status s = HONE_OK;
    if (!v.piece || !v.merge || !v.pieces || !v.merges || !v.types) {
        s = hone_fail_memory((size_t)vocab * (PIECE_MAX + MERGE_MAX), "a vocabulary");
    } else {
        fill_bytes(&v);
        fill_merges(&v, base);
        fill_special(&v, base);
        for (uint32_t i = 0; i < vocab; i++) {
            v.pieces[i] = v.piece[i];
            v.merges[i] = v.merge[i];
            v.types[i] = i < base ? 1 : 3; /* llama.cpp's NORMAL, CONTROL */
        }
        s = write_vocab(w, &v, base);
    }
    free_vocab(&v);
    return s;
}
