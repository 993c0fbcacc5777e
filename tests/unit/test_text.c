// links: text
/* Behaviour of tokenizers at the edges: bad files, bad text, failing memory, long words. */
#include "base/io.h"
#include "base/mem.h"
#include "file/write.h"
#include "text/tokenizer_internal.h"
#include "text/tokenizer_write.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../stories.h"

#define DATA HONE_SOURCE_DIR "/tests/golden/data/text/"
static const char json_path[] = STORIES_HF "/tokenizer.json";

/* A byte-level tokenizer with all 256 bytes is too long to write out; these suffice. */
static const char small_bytes[] =
    "{\"added_tokens\":[{\"id\":6,\"content\":\"<|end|>\",\"special\":true},"
    "{\"id\":7,\"content\":\"word\",\"special\":false,\"single_word\":true},"
    "{\"id\":8,\"content\":\"<|x|>\",\"special\":true,\"lstrip\":true,\"rstrip\":true}],"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
    "\"decoder\":{\"type\":\"ByteLevel\"},"
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"Ġ\":3,\"Ã\":4,\"©\":5,"
    "\"ĀB\":9,\"Ā\":10,\"B\":11,\"w\":12,\"o\":13,\"r\":14,\"d\":15,\"s\":16,\"aba\":17,\"ÿ\":18,"
    "\"<\":19,\"|\":20,\"e\":21,\"n\":22,\">\":23},"
    "\"merges\":[\"a b\",[\"ab\",\"a\"]]}}";

static char *temporary(void)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/text.%d.tmp", HONE_BUILD_DIR, (int)getpid());
    return path;
}

static hone_status open_bytes(const void *data, size_t n, hone_tokenizer **t)
{
    assert_int_equal(hone_write_file(temporary(), data, n), HONE_OK);
    hone_status s = hone_tokenizer_open(temporary(), t);
    unlink(temporary());
    return s;
}

static hone_tokenizer *open_text(const char *text)
{
    hone_tokenizer *t;
    if (open_bytes(text, strlen(text), &t) != HONE_OK)
        fail_msg("%s", hone_error());
    return t;
}

static hone_tokenizer *open_path(const char *path)
{
    hone_tokenizer *t;
    if (hone_tokenizer_open(path, &t) != HONE_OK)
        fail_msg("%s", hone_error());
    return t;
}

static void expect(const hone_tokenizer *t, const char *text, size_t n, unsigned flags,
                   const char *want)
{
    int32_t *ids;
    size_t n_ids;
    char got[4096] = "", *p = got;
    assert_int_equal(hone_tokenizer_encode(t, text, n, flags, &ids, &n_ids), HONE_OK);
    for (size_t i = 0; i < n_ids; i++)
        p += snprintf(p, 16, "%s%d", i ? " " : "", ids[i]);
    hone_free(ids);
    assert_string_equal(got, want);
}

static void round_trip(const hone_tokenizer *t, const char *text, size_t n, const char *want,
                       size_t m)
{
    int32_t *ids;
    size_t n_ids, bytes;
    char *back;
    assert_int_equal(hone_tokenizer_encode(t, text, n, 0, &ids, &n_ids), HONE_OK);
    assert_int_equal(hone_tokenizer_decode(t, ids, n_ids, 0, &back, &bytes), HONE_OK);
    assert_int_equal(bytes, m);
    assert_memory_equal(back, want, m);
    hone_free(back);
    hone_free(ids);
}

static void special_tokens_in_text_are_ids_only_when_asked(void **state)
{
    (void)state;
    need_stories();
    hone_tokenizer *t = open_text(small_bytes);
    expect(t, "a<|end|>b", 9, HONE_ENCODE_PARSE_SPECIAL, "0 6 1");
    expect(t, "a<|end|>b", 9, 0, "0 19 20 21 22 15 20 23 1");
    expect(t, "a <|x|>  b", 10, HONE_ENCODE_PARSE_SPECIAL, "0 8 1");
    hone_tokenizer_close(t);
    t = open_path(json_path);
    expect(t, "a<s>b", 5, HONE_ENCODE_PARSE_SPECIAL, "261 1 268");
    int32_t *ids;
    size_t n;
    assert_int_equal(hone_tokenizer_encode(t, "<s></s><unk>", 12, 0, &ids, &n), HONE_OK);
    for (size_t i = 0; i < n; i++)
        assert_false(hone_tokenizer_is_special(t, ids[i]));
    hone_free(ids);
    hone_tokenizer_close(t);
}

static void added_words_match_only_alone_when_single_word(void **state)
{
    (void)state;
    hone_tokenizer *t = open_text(small_bytes);
    expect(t, "word", 4, 0, "7");
    expect(t, "a word", 6, 0, "0 3 7");
    expect(t, "words", 5, 0, "12 13 14 15 16");
    hone_tokenizer_close(t);
}

static void merges_take_the_lowest_rank_and_the_leftmost(void **state)
{
    (void)state;
    hone_tokenizer *t = open_text(small_bytes);
    expect(t, "abab", 4, 0, "2 2");
    expect(t, "aba", 3, 0, "17");
    expect(t, "abaab", 5, 0, "17 2");
    hone_tokenizer_close(t);
}

static void invalid_bytes_pass_through_byte_level(void **state)
{
    (void)state;
    hone_tokenizer *t = open_text(small_bytes);
    expect(t, "a\xFF\xC3\xA9", 4, 0, "0 18 4 5");
    expect(t, "\xC3", 1, 0, "4");
    expect(t, "\0B", 2, 0, "10 11");
    round_trip(t, "a\xC3", 2, "a\xEF\xBF\xBD", 4);
    round_trip(t, "a\0b", 3, "a\0b", 3);
    hone_tokenizer_close(t);
}

static void invalid_bytes_become_replacements_in_sentencepiece(void **state)
{
    (void)state;
    need_stories();
    hone_tokenizer *t = open_path(json_path);
    /* U+FFFD is EF BF BD by byte fallback: ids 3 + byte. */
    expect(t, "\xFF", 1, 0, "410 242 194 192");
    round_trip(t, "x\xE2\x82y", 4, "x\xEF\xBF\xBD\xEF\xBF\xBDy", 8);
    round_trip(t, "a\0b", 3, "a\0b", 3);
    hone_tokenizer_close(t);
}

static void a_character_without_token_or_unknown_is_an_error(void **state)
{
    (void)state;
    hone_tokenizer *t = open_text(small_bytes);
    int32_t *ids;
    size_t n;
    assert_int_equal(hone_tokenizer_encode(t, "z", 1, 0, &ids, &n), HONE_DATA);
    assert_null(ids);
    hone_tokenizer_close(t);
}

static void streaming_never_splits_a_code_point(void **state)
{
    (void)state;
    need_stories();
    hone_tokenizer *t = open_path(json_path);
    hone_detok *d;
    const char *p;
    size_t n;
    assert_int_equal(hone_detok_open(t, 0, false, &d), HONE_OK);
    const int bytes[] = {0xF0, 0x9F, 0x98, 0x80}; /* U+1F600 */
    for (int i = 0; i < 4; i++) {
        assert_int_equal(hone_detok_push(d, 3 + bytes[i], &p, &n), HONE_OK);
        assert_int_equal(n, i < 3 ? 0 : 4);
    }
    assert_string_equal(p, "\xF0\x9F\x98\x80");
    assert_int_equal(hone_detok_push(d, 3 + 0xE2, &p, &n), HONE_OK);
    assert_int_equal(hone_detok_push(d, 3 + 'x', &p, &n), HONE_OK);
    assert_string_equal(p, "\xEF\xBF\xBDx");
    assert_int_equal(hone_detok_push(d, 3 + 0xE2, &p, &n), HONE_OK);
    assert_int_equal(hone_detok_push(d, 99999, &p, &n), HONE_OK); /* a padded embedding row */
    assert_int_equal(n, 0);
    assert_int_equal(hone_detok_push(d, -1, &p, &n), HONE_DATA);
    assert_int_equal(hone_detok_push(d, 3 + 0x82, &p, &n), HONE_OK);
    assert_int_equal(n, 0);
    assert_int_equal(hone_detok_finish(d, &p, &n), HONE_OK);
    assert_string_equal(p, "\xEF\xBF\xBD");
    /* The blank before a first word goes, midway it stays. */
    int32_t word = hone_tokenizer_find(t, "\xE2\x96\x81the", 6);
    assert_true(word >= 0);
    assert_int_equal(hone_detok_push(d, word, &p, &n), HONE_OK);
    assert_string_equal(p, "the");
    hone_detok_close(d);
    assert_int_equal(hone_detok_open(t, 0, true, &d), HONE_OK);
    assert_int_equal(hone_detok_push(d, word, &p, &n), HONE_OK);
    assert_string_equal(p, " the");
    hone_detok_close(d);
    hone_tokenizer_close(t);
}

static void look_ups_name_the_special_ids(void **state)
{
    (void)state;
    need_stories();
    hone_tokenizer *t = open_path(STORIES_GGUF);
    size_t n;
    assert_int_equal(hone_tokenizer_vocab_size(t), 512);
    assert_int_equal(hone_tokenizer_bos(t), 1);
    assert_int_equal(hone_tokenizer_eos(t), 2);
    assert_int_equal(hone_tokenizer_unk(t), 0);
    assert_true(hone_tokenizer_is_end(t, 2));
    assert_false(hone_tokenizer_is_end(t, 1));
    assert_true(hone_tokenizer_adds_bos(t));
    assert_int_equal(hone_tokenizer_type(t, 1), HONE_TOKEN_CONTROL);
    assert_int_equal(hone_tokenizer_type(t, 13), HONE_TOKEN_BYTE);
    assert_string_equal(hone_tokenizer_piece(t, 13, &n), "<0x0A>");
    assert_string_equal(hone_tokenizer_bytes(t, 13, &n), "\n");
    assert_int_equal(hone_tokenizer_type(t, 512), HONE_TOKEN_UNUSED);
    assert_string_equal(hone_tokenizer_piece(t, -5, NULL), "");
    hone_tokenizer_close(t);
}

static void tokenizer_config_adds_tokens_to_a_model_file(void **state)
{
    (void)state;
    need_stories();
    static const char config[] =
        "{\"eos_token\":{\"content\":\"<|im_end|>\"},\"add_bos_token\":false,\"add_eos_token\":"
        "true,"
        "\"added_tokens_decoder\":{\"1\":{\"content\":\"<s>\",\"special\":true},"
        "\"513\":{\"content\":\"<|im_end|>\",\"special\":true}}}";
    char folder[2048], path[2200], *model;
    size_t n;
    snprintf(folder, sizeof folder, "%s.d", temporary());
    assert_int_equal(hone_make_directory(folder), HONE_OK);
    assert_int_equal(hone_read_file(STORIES_HF "/tokenizer.model", 1 << 20, &model, &n), HONE_OK);
    snprintf(path, sizeof path, "%s/tokenizer.model", folder);
    assert_int_equal(hone_write_file(path, model, n), HONE_OK);
    hone_free(model);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    assert_int_equal(hone_write_file(path, config, sizeof config - 1), HONE_OK);
    hone_tokenizer *t = open_path(folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/tokenizer.model", folder);
    unlink(path);
    rmdir(folder);
    assert_int_equal(hone_tokenizer_vocab_size(t), 514);
    assert_int_equal(hone_tokenizer_eos(t), 513);
    assert_int_equal(hone_tokenizer_type(t, 512), HONE_TOKEN_UNUSED);
    expect(t, "a<|im_end|>", 11, 3, "261 513 513");
    assert_true(hone_tokenizer_is_end(t, 513));
    hone_tokenizer_close(t);
}

#define MODEL(vocab, merges)                                                                       \
    "{\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":" vocab           \
    ",\"merges\":" merges "}}"

static void hostile_tokenizer_json_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        hone_status status;
        const char *says;
    } cases[] = {
        {"", HONE_FORMAT, "empty"},
        {"{", HONE_FORMAT, "JSON"},
        {"{}", HONE_UNSUPPORTED, "merges"},
        {MODEL("{\"a\":0,\"a\":1}", "[]"), HONE_FORMAT, "duplicate"},
        {MODEL("{\"a\":0,\"b\":0}", "[]"), HONE_FORMAT, "two tokens"},
        {MODEL("{\"a\":-1}", "[]"), HONE_FORMAT, "negative"},
        {MODEL("{\"a\":4000000}", "[]"), HONE_FORMAT, "4000000"},
        {MODEL("{\"a\":9000000000000000000}", "[]"), HONE_LIMIT, "id"},
        {MODEL("{\"a\":1.5}", "[]"), HONE_FORMAT, "integer"},
        {MODEL("{}", "[]"), HONE_FORMAT, "empty"},
        {MODEL("{\"a\":0}", "[\"a b\"]"), HONE_FORMAT, "\"b\""},
        {MODEL("{\"a\":0,\"b\":1}", "[\"a b\"]"), HONE_FORMAT, "\"ab\""},
        {MODEL("{\"a\":0}", "[\"a\"]"), HONE_FORMAT, "merge 0"},
        {MODEL("{\"a\":0}", "[[\"a\"]]"), HONE_FORMAT, "merge 0"},
        {MODEL("{\"a\":0}", "7"), HONE_FORMAT, "merges"},
        {MODEL("7", "[]"), HONE_FORMAT, "vocab"},
        {"{\"added_tokens\":[{\"id\":2000000000,\"content\":\"x\"}],\"model\":{\"vocab\":{\"a\":0},"
         "\"merges\":[]}}",
         HONE_FORMAT, "2000000000"},
        {"{\"added_tokens\":[{\"id\":0,\"content\":\"x\"}],\"model\":{\"vocab\":{\"a\":0},"
         "\"merges\":[]}}",
         HONE_FORMAT, "id 0"},
        {"{\"post_processor\":{\"type\":\"RobertaProcessing\",\"cls\":[\"a\",77],\"sep\":[\"a\",0]}"
         ","
         "\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}",
         HONE_FORMAT, "77"},
        {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":"
         "\"Isolated\"},\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}",
         HONE_FORMAT, "expression"},
        {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a&&b]\"},\"behavior\":"
         "\"Isolated\"},\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}",
         HONE_UNSUPPORTED, "Oniguruma"},
        {"{\"normalizer\":{\"type\":\"Precompiled\"},\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}"
         "}",
         HONE_FORMAT, "Precompiled"},
        {"{\"model\":{\"type\":\"Magic\",\"vocab\":{\"a\":0}}}", HONE_UNSUPPORTED, "Magic"},
        {"\x0A\xFF\xFF\xFF\x7F", HONE_FORMAT, "damaged"},
        {"no tokenizer at all", HONE_FORMAT, "damaged"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hone_tokenizer *t;
        hone_status s = open_bytes(cases[i].text, strlen(cases[i].text), &t);
        if (s != cases[i].status || !strstr(hone_error(), cases[i].says))
            fail_msg("case %zu: %s: %s", i, hone_status_name(s), hone_error());
        assert_null(t);
        assert_non_null(strstr(hone_error(), "text."));
    }
    hone_tokenizer *t;
    assert_int_equal(hone_tokenizer_open("/nonexistent/tokenizer.json", &t), HONE_NOT_FOUND);
    assert_int_equal(hone_tokenizer_open(HONE_SOURCE_DIR "/docs", &t), HONE_NOT_FOUND);
}

/* A file that is no JSON, by its first line. */
static void expect_refused(const char *text, hone_status status, const char *says)
{
    hone_tokenizer *t;
    hone_status s = open_bytes(text, strlen(text), &t);
    if (s != status || !strstr(hone_error(), says))
        fail_msg("%s: %s: %s", text, hone_status_name(s), hone_error());
    assert_null(t);
}

#define UNIGRAM(more, vocab)                                                                       \
    "{\"model\":{\"type\":\"Unigram\"," more "\"vocab\":" vocab "},\"decoder\":{\"type\":"         \
    "\"Fuse\"}}"
#define STEP(member, step)                                                                         \
    "{\"" member "\":" step ",\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0}}}"

static void hostile_models_and_steps_are_refused_by_name(void **state)
{
    (void)state;
    expect_refused(UNIGRAM("", "[]"), HONE_FORMAT, "0 tokens");
    expect_refused(UNIGRAM("", "[[\"a\"]]"), HONE_FORMAT, "token 0");
    expect_refused(UNIGRAM("", "[[\"a\",\"b\"]]"), HONE_FORMAT, "[piece, score]");
    expect_refused(UNIGRAM("\"unk_id\":1,", "[[\"a\",-1.5]]"), HONE_FORMAT, "unk_id 1");
    expect_refused(UNIGRAM("\"unk_id\":-2,", "[[\"a\",-1.5]]"), HONE_FORMAT, "unk_id -2");
    expect_refused("{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"x\",\"vocab\":{\"a\":0}}}",
                   HONE_FORMAT, "\"x\"");
    expect_refused(STEP("normalizer", "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AA\"}"),
                   HONE_FORMAT, "base64");
    expect_refused(
        STEP("normalizer", "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"/////wAA\"}"),
        HONE_FORMAT, "character map");
    expect_refused(STEP("normalizer", "{\"type\":\"Magic\"}"), HONE_UNSUPPORTED, "Magic");
    expect_refused(STEP("pre_tokenizer", "{\"type\":\"Magic\"}"), HONE_UNSUPPORTED, "Magic");
    expect_refused(STEP("decoder", "{\"type\":\"Magic\"}"), HONE_UNSUPPORTED, "Magic");
    expect_refused(STEP("pre_tokenizer", "{\"type\":\"Punctuation\",\"behavior\":\"Odd\"}"),
                   HONE_FORMAT, "Odd");
    expect_refused(STEP("pre_tokenizer", "{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"\"}"),
                   HONE_FORMAT, "delimiter");
    expect_refused(STEP("decoder", "{\"type\":\"Strip\",\"content\":\"\",\"start\":1,\"stop\":0}"),
                   HONE_FORMAT, "Strip");
    expect_refused(STEP("decoder", "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},"
                                   "{\"type\":\"WordPiece\",\"prefix\":\"#\"}]}"),
                   HONE_UNSUPPORTED, "after Fuse");
    expect_refused("IQ== 0\nYQ== 1\n", HONE_UNSUPPORTED, "2 ranks");
    expect_refused("IQ== 0\nYQ==\n", HONE_FORMAT, "line 2");
    expect_refused("IQ== 0\nYQ== 0\n", HONE_FORMAT, "two tokens");
    expect_refused("IQ== 0\nYQ== 99999999\n", HONE_LIMIT, "99999999");
    expect_refused("1 'a' 1\n2 'bc' 3\n", HONE_FORMAT, "line 2");
    expect_refused("1 'a' 1\n2 '\\xZZ' 1\n", HONE_FORMAT, "line 2");
    expect_refused("1 'a' 1\n1 'b' 1\n", HONE_FORMAT, "two tokens");
    expect_refused("1 'a' 1\n999999999 'b' 1\n", HONE_LIMIT, "999999999");
}

/* What the tokenizers library does with them (0.22.2), too: the last rank of a merge counts. */
static void ok(hone_status s)
{
    if (s != HONE_OK)
        fail_msg("%s", hone_error());
}

/* A vocabulary in GGUF of which `last` is the last token; name: of a special token with this id, or
 * NULL. */
static void write_gguf(const char *model, const char *last, int32_t type, const char *name,
                       int32_t id)
{
    const char *const tokens[] = {"<unk>", "<s>", "</s>", "\xE2\x96\x81", "\xC3\xA9", "b", last};
    const int32_t types[] = {2, 3, 3, 1, 1, 1, type};
    const float scores[] = {0, 0, 0, -1, -2, -3, 0};
    hone_gguf_writer *w;
    ok(hone_gguf_writer_open(temporary(), &w));
    ok(hone_gguf_writer_str(w, "general.architecture", "llama"));
    ok(hone_gguf_writer_str(w, "tokenizer.ggml.model", model));
    ok(hone_gguf_writer_str_array(w, "tokenizer.ggml.tokens", tokens, NULL, 7));
    ok(hone_gguf_writer_str_array(w, "tokenizer.ggml.merges", NULL, NULL, 0));
    ok(hone_gguf_writer_i32_array(w, "tokenizer.ggml.token_type", types, 7));
    ok(hone_gguf_writer_f32_array(w, "tokenizer.ggml.scores", scores, 7));
    ok(hone_gguf_writer_bool(w, "tokenizer.ggml.add_sep_token", true));
    char key[64];
    snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", name ? name : "");
    if (name)
        ok(hone_gguf_writer_i32(w, key, id));
    ok(hone_gguf_writer_commit(w));
}

static hone_status open_gguf(const char *model, const char *last, int32_t type, const char *name,
                             int32_t id, hone_tokenizer **t)
{
    write_gguf(model, last, type, name, id);
    hone_status s = hone_tokenizer_open(temporary(), t);
    unlink(temporary());
    return s;
}

/* Such a token cuts a text inside of its characters. */
static void an_added_token_that_is_no_utf8_is_refused_unless_words_are_bytes(void **state)
{
    (void)state;
    static const char *const models[] = {"llama", "t5", "bert", "gpt2", "rwkv"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (int32_t type = 3; type <= 4; type++) {
            hone_tokenizer *t;
            hone_status s = open_gguf(models[i], "\xA9", type, NULL, 0, &t);
            assert_int_equal(s, i < 3 ? HONE_FORMAT : HONE_OK);
            if (s != HONE_OK)
                assert_non_null(strstr(hone_error(), "token 6 is not valid UTF-8"));
            hone_tokenizer_close(t);
        }
    /* Control pieces 0 to 2, what is normal, and the piece A9 as a control piece. */
    static const char spm[] = "\n\x0E\n\x05<unk>\x15\0\0\0\0\x18\2"
                              "\n\x0A\n\1a\x15\0\0\x80\xBF\x18\1"
                              "\n\x0A\n\1\xA9\x15\0\0\0\0\x18\3"
                              "\x12\2\x18\1\x1A\x0A\n\x08identity";
    hone_tokenizer *t;
    assert_int_equal(open_bytes(spm, sizeof spm - 1, &t), HONE_FORMAT);
    assert_non_null(strstr(hone_error(), "token 2 is not valid UTF-8"));
}

/* The piece ends where memory does: nothing behind it may be read. */
static void a_byte_s_name_is_read_no_further_than_its_end(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p + page, page, PROT_NONE), 0);
    char *name = p + page - 6;
    static const char *const names[] = {"<0x0A>", "<0xfF>", "<0x0G>", "<0x+1>", "<0x 1>"};
    static const int bytes[] = {10, 255, -1, -1, -1};
    for (int i = 0; i < 5; i++) {
        memcpy(name, names[i], 6);
        assert_int_equal(hone_byte_of_piece(name, 6), bytes[i]);
        assert_int_equal(hone_byte_of_piece(name + 1, 5), -1);
    }
    munmap(p, 2 * page);
}

static void a_special_id_of_minus_one_is_none(void **state)
{
    (void)state;
    for (int32_t id = -2; id < 3; id++) {
        hone_tokenizer *t;
        ok(open_gguf("llama", "x", 1, "padding", id, &t));
        assert_int_equal(hone_tokenizer_pad(t), id == -2 ? -1 : id);
        hone_tokenizer_close(t);
    }
    hone_tokenizer *t;
    assert_int_equal(open_gguf("llama", "x", 1, "padding", 1 << 22, &t), HONE_FORMAT);
    assert_non_null(strstr(hone_error(), "padding_token_id is 4194304"));
}

static void special_ids_outside_the_vocabulary_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"bos", "eos", "unknown", "padding", "eot", "seperator"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int32_t id = 6; id < 8; id++) {
            hone_tokenizer *t;
            assert_int_equal(open_gguf("llama", "x", 3, names[i], id, &t),
                             id == 6 ? HONE_OK : HONE_FORMAT);
            hone_tokenizer_close(t);
        }
}

/* JSON has no place for it; what a vocabulary without it would do to texts nobody would see. */
static void a_word_piece_that_is_no_utf8_is_not_left_out_of_tokenizer_json(void **state)
{
    (void)state;
    static const char *const last[] = {"\xA9", "x"};
    for (int i = 0; i < 2; i++) {
        hone_file *f;
        json_t *tokenizer, *config;
        write_gguf("bert", last[i], 1, NULL, 0);
        ok(hone_file_open(temporary(), &f));
        hone_status s = hone_tokenizer_to_json(f, &tokenizer, &config);
        assert_int_equal(s, i == 0 ? HONE_FORMAT : HONE_OK);
        if (s == HONE_OK)
            assert_int_equal(
                json_object_size(json_object_get(json_object_get(tokenizer, "model"), "vocab")), 7);
        json_decref(tokenizer);
        json_decref(config);
        hone_file_close(f);
        unlink(temporary());
    }
}

static void a_merge_given_twice_keeps_its_last_rank(void **state)
{
    (void)state;
    hone_tokenizer *t = open_text(
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"bc\":4},"
        "\"merges\":[\"a b\",\"b c\",\"a b\"]}}");
    expect(t, "abc", 3, 0, "0 4");
    hone_tokenizer_close(t);
}

/* Every unit of the array points somewhere; no text may read outside it. */
/* A vocabulary that fills its table to the last place, and tokens behind it (for the sanitizers).
 */
static void added_tokens_behind_a_unigram_vocabulary_are_tokens(void **state)
{
    (void)state;
    hone_tokenizer *t = open_text(
        "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-1],"
        "[\"b\",-2],[\"c\",-3],[\"d\",-4],[\"e\",-5],[\"f\",-6],[\"g\",-7],[\"h\",-8],"
        "[\"i\",-9],[\"j\",-10],[\"k\",-11],[\"l\",-12],[\"m\",-13],[\"n\",-14],[\"o\",-15]]},"
        "\"added_tokens\":[{\"id\":16,\"content\":\"<x>\",\"special\":true},"
        "{\"id\":17,\"content\":\"<y>\",\"special\":false}]}");
    expect(t, "a<y>b", 5, 0, "1 17 2");
    assert_true(hone_tokenizer_score(t, 15) == -15 && hone_tokenizer_score(t, 17) == 0);
    hone_tokenizer_close(t);
}

static void a_character_map_of_noise_is_harmless(void **state)
{
    (void)state;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t x = 7;
    for (int round = 0; round < 200; round++) {
        char file[8192], map[2048];
        size_t n = 0;
        memcpy(map, "AAQAAA", 6); /* an array of 1024 bytes: 00 04 00 00 */
        for (n = 6; n < 1600; n++) {
            x = x * 1664525u + 1013904223u;
            map[n] = digits[x >> 26];
        }
        map[n] = 0;
        snprintf(
            file, sizeof file,
            "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"%s\"},\"model\":"
            "{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"u\":0}}}",
            map);
        hone_tokenizer *t = open_text(file);
        int32_t *ids;
        size_t k;
        for (int c = 0; c < 256; c++) {
            char text[5] = {(char)c, (char)(c * 7), 'a', '\xCC', '\x81'};
            assert_int_equal(hone_tokenizer_encode(t, text, 5, 0, &ids, &k), HONE_OK);
            hone_free(ids);
        }
        hone_tokenizer_close(t);
    }
}

static void generation_config_names_further_ends(void **state)
{
    (void)state;
    need_stories();
    static const char config[] = "{\"eos_token_id\": [2, 300, 99999, \"x\"]}";
    char folder[2048], path[2200], *model;
    size_t n;
    snprintf(folder, sizeof folder, "%s.g", temporary());
    assert_int_equal(hone_make_directory(folder), HONE_OK);
    assert_int_equal(hone_read_file(json_path, 1 << 20, &model, &n), HONE_OK);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    assert_int_equal(hone_write_file(path, model, n), HONE_OK);
    hone_free(model);
    snprintf(path, sizeof path, "%s/generation_config.json", folder);
    assert_int_equal(hone_write_file(path, config, sizeof config - 1), HONE_OK);
    hone_tokenizer *t = open_path(folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    unlink(path);
    rmdir(folder);
    assert_true(hone_tokenizer_is_end(t, 2));
    assert_true(hone_tokenizer_is_end(t, 300));
    assert_false(hone_tokenizer_is_end(t, 301));
    hone_tokenizer_close(t);
}

static void json_bombs_are_refused_before_they_cost_memory(void **state)
{
    (void)state;
    size_t n = 32u << 20;
    char *text = malloc(n);
    memset(text, '[', n);
    text[0] = '{';
    hone_tokenizer *t;
    assert_int_equal(open_bytes(text, n, &t), HONE_FORMAT);
    assert_non_null(strstr(hone_error(), "nested"));
    memcpy(text, "{\"a\":[", 6);
    for (size_t i = 6; i + 1 < n; i += 2)
        memcpy(text + i, "1,", 2);
    assert_int_equal(open_bytes(text, n, &t), HONE_LIMIT);
    free(text);
}

/* Cuts of a real file anywhere are an error or, past its last needed byte, a tokenizer. */
static void truncated_models_are_refused(void **state)
{
    (void)state;
    need_stories();
    const char *names[] = {STORIES_HF "/tokenizer.model", json_path, DATA "sp_unigram.model",
                           DATA "t5.vocab.gguf", DATA "rwkv.vocab.gguf"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char *data;
        size_t n;
        assert_int_equal(hone_read_file(names[k], 1 << 20, &data, &n), HONE_OK);
        size_t refusals = 0;
        for (size_t cut = 0; cut < n; cut += 97) {
            hone_tokenizer *t;
            refusals += open_bytes(data, cut, &t) != HONE_OK;
            hone_tokenizer_close(t);
        }
        assert_true(refusals * 97 + 97 > n * 95 / 100);
        hone_free(data);
    }
}

static void every_failing_allocation_is_survived(void **state)
{
    (void)state;
    need_stories();
    const char *paths[] = {json_path,
                           STORIES_HF "/tokenizer.model",
                           STORIES_GGUF,
                           DATA "sp_unigram.model",
                           DATA "t5.vocab.gguf",
                           DATA "rwkv.vocab.gguf",
                           HONE_SOURCE_DIR "/tests/fuzz/corpus/tokenizer/unigram.json",
                           HONE_SOURCE_DIR "/tests/fuzz/corpus/tokenizer/wordpiece.json",
                           HONE_SOURCE_DIR "/tests/fuzz/corpus/tokenizer/words.json",
                           temporary()};
    assert_int_equal(hone_write_file(temporary(), small_bytes, sizeof small_bytes - 1), HONE_OK);
    for (size_t k = 0; k < sizeof paths / sizeof *paths; k++) {
        int64_t at = 0;
        for (;; at += at < 200 ? 1 : at / 40) {
            hone_tokenizer *t = NULL;
            int32_t *ids = NULL;
            size_t n;
            char *text = NULL;
            hone_mem_fail_after(at);
            hone_status s = hone_tokenizer_open(paths[k], &t);
            if (s == HONE_OK)
                s = hone_tokenizer_encode(t, "ab\xFF word <|x|> ab", 17, 3, &ids, &n);
            if (s == HONE_OK)
                s = hone_tokenizer_decode(t, ids, n, 0, &text, NULL);
            hone_mem_fail_after(-1);
            hone_free(text);
            hone_free(ids);
            hone_tokenizer_close(t);
            if (s == HONE_OK)
                break;
            if (s != HONE_MEMORY)
                fail_msg("%s, allocation %d: %s: %s", paths[k], (int)at, hone_status_name(s),
                         hone_error());
        }
        assert_true(at > 20);
    }
    unlink(temporary());
}

static void a_megabyte_without_blanks_is_encoded_whole(void **state)
{
    (void)state;
    need_stories();
    size_t n = 1 << 20;
    char *text = malloc(n);
    uint32_t x = 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        text[i] = (char)('a' + (x >> 24) % 26);
    }
    hone_tokenizer *t = open_path(json_path);
    round_trip(t, text, n, text, n);
    memset(text, ' ', n);
    round_trip(t, text, n, text, n);
    hone_tokenizer_close(t);
    t = open_text(small_bytes);
    for (size_t i = 0; i < n; i++)
        text[i] = "ab"[i & 1];
    round_trip(t, text, n, text, n);
    hone_tokenizer_close(t);
    free(text);
}

static void an_expression_that_explodes_is_stopped(void **state)
{
    (void)state;
    hone_tokenizer *t = open_text(
        "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+)+(a+)+(a+)+[bc]\"},"
        "\"behavior\":\"Isolated\"},\"decoder\":{\"type\":\"ByteLevel\"},"
        "\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}");
    char text[4000];
    memset(text, 'a', sizeof text);
    int32_t *ids;
    size_t n;
    assert_int_equal(hone_tokenizer_encode(t, text, sizeof text, 0, &ids, &n), HONE_LIMIT);
    assert_non_null(strstr(hone_error(), "byte 0"));
    hone_tokenizer_close(t);
}

typedef struct job {
    const hone_tokenizer *t;
    const char *text;
    size_t n, n_ids;
    int32_t *ids;
    hone_status s;
} job;

static void *encode_job(void *p)
{
    job *j = p;
    j->s = hone_tokenizer_encode(j->t, j->text, j->n, 1, &j->ids, &j->n_ids);
    return NULL;
}

static void threads_share_one_tokenizer(void **state)
{
    (void)state;
    need_stories();
    hone_tokenizer *t = open_path(json_path);
    char *text;
    size_t n;
    assert_int_equal(hone_read_file(DATA "strings.json", 1 << 20, &text, &n), HONE_OK);
    job jobs[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        jobs[i] = (job){.t = t, .text = text, .n = n};
        assert_int_equal(pthread_create(&threads[i], NULL, encode_job, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].s, HONE_OK);
        assert_int_equal(jobs[i].n_ids, jobs[0].n_ids);
        assert_memory_equal(jobs[i].ids, jobs[0].ids, jobs[0].n_ids * sizeof *jobs[0].ids);
    }
    for (int i = 0; i < 4; i++)
        hone_free(jobs[i].ids);
    hone_free(text);
    hone_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_tokens_in_text_are_ids_only_when_asked),
        cmocka_unit_test(added_words_match_only_alone_when_single_word),
        cmocka_unit_test(merges_take_the_lowest_rank_and_the_leftmost),
        cmocka_unit_test(invalid_bytes_pass_through_byte_level),
        cmocka_unit_test(invalid_bytes_become_replacements_in_sentencepiece),
        cmocka_unit_test(a_character_without_token_or_unknown_is_an_error),
        cmocka_unit_test(streaming_never_splits_a_code_point),
        cmocka_unit_test(look_ups_name_the_special_ids),
        cmocka_unit_test(tokenizer_config_adds_tokens_to_a_model_file),
        cmocka_unit_test(hostile_tokenizer_json_is_refused),
        cmocka_unit_test(hostile_models_and_steps_are_refused_by_name),
        cmocka_unit_test(an_added_token_that_is_no_utf8_is_refused_unless_words_are_bytes),
        cmocka_unit_test(a_byte_s_name_is_read_no_further_than_its_end),
        cmocka_unit_test(a_special_id_of_minus_one_is_none),
        cmocka_unit_test(special_ids_outside_the_vocabulary_are_refused),
        cmocka_unit_test(a_word_piece_that_is_no_utf8_is_not_left_out_of_tokenizer_json),
        cmocka_unit_test(a_merge_given_twice_keeps_its_last_rank),
        cmocka_unit_test(added_tokens_behind_a_unigram_vocabulary_are_tokens),
        cmocka_unit_test(a_character_map_of_noise_is_harmless),
        cmocka_unit_test(generation_config_names_further_ends),
        cmocka_unit_test(json_bombs_are_refused_before_they_cost_memory),
        cmocka_unit_test(truncated_models_are_refused),
        cmocka_unit_test(every_failing_allocation_is_survived),
        cmocka_unit_test(a_megabyte_without_blanks_is_encoded_whole),
        cmocka_unit_test(an_expression_that_explodes_is_stopped),
        cmocka_unit_test(threads_share_one_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
