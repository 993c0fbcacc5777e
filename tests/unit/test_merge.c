// links: text
/* Long words are merged in windows: the ids are those of merging the whole, one merge at a time,
 * and work and memory do not grow beyond a window's. */
#include "base/io.h"
#include "base/mem.h"
#include "base/rng.h"
#include "text/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LETTERS = 5, TOKENS = 70, LONG = 6000 };

static hone_tokenizer *open_json(const char *json)
{
    char path[1024];
    hone_tokenizer *t;
    snprintf(path, sizeof path, "%s/merge.%d.tmp", HONE_BUILD_DIR, (int)getpid());
    assert_int_equal(hone_write_file(path, json, strlen(json)), HONE_OK);
    hone_status s = hone_tokenizer_open(path, &t);
    unlink(path);
    if (s != HONE_OK)
        fail_msg("%s", hone_error());
    return t;
}

/* ---- any merges in any order of ranks, beside the definition ---- */

/* Token i < LETTERS is a letter, LETTERS <= i < 2 LETTERS one that ends a word (a single "}"). */
typedef struct model {
    char token[TOKENS][32];
    int rank[TOKENS][TOKENS], made[TOKENS][TOKENS]; /* rank 0: no merge */
} model;

static uint64_t draw(uint64_t seed, uint64_t *i, uint64_t n)
{
    return hone_rng_below(seed, 7, (*i)++, n);
}

static void make_model(uint64_t seed, bool ends, model *m)
{
    static int order[TOKENS][2];
    int n = ends ? 2 * LETTERS : LETTERS, first = n;
    uint64_t at = 0;
    memset(m, 0, sizeof *m);
    for (int i = 0; i < n; i++)
        snprintf(m->token[i], 32, "%c%s", 'a' + i % LETTERS, i < LETTERS ? "" : "}");
    while (n < TOKENS) {
        int a = (int)draw(seed, &at, (uint64_t)n), b = (int)draw(seed, &at, (uint64_t)n);
        char both[64];
        snprintf(both, sizeof both, "%s%s", m->token[a], m->token[b]);
        bool bad = strlen(both) > 12 || strchr(m->token[a], '}') || m->made[a][b];
        for (int i = 0; i < n; i++)
            bad = bad || strcmp(m->token[i], both) == 0;
        if (bad)
            continue;
        order[n][0] = a;
        order[n][1] = b;
        m->made[a][b] = n;
        strcpy(m->token[n++], both);
    }
    /* Ranks in any order: a token may be wanted before its parts are. */
    for (int i = TOKENS - 1; i > first; i--) {
        int k = first + (int)draw(seed, &at, (uint64_t)i - (uint64_t)first + 1);
        int swap[2] = {order[i][0], order[i][1]};
        memcpy(order[i], order[k], sizeof swap);
        memcpy(order[k], swap, sizeof swap);
    }
    for (int i = first; i < TOKENS; i++)
        m->rank[order[i][0]][order[i][1]] = i;
}

static hone_tokenizer *open_model(const model *m, bool ends)
{
    char json[8192], *p = json, *end = json + sizeof json;
    p += snprintf(p, 200, "{\"model\":{\"type\":\"BPE\",%s\"vocab\":{",
                  ends ? "\"end_of_word_suffix\":\"}\"," : "");
    for (int i = 0; i < TOKENS; i++)
        p += snprintf(p, (size_t)(end - p), "%s\"%s\":%d", i ? "," : "", m->token[i], i);
    p += snprintf(p, (size_t)(end - p), "},\"merges\":[");
    for (int r = 1, any = 0; r < TOKENS; r++)
        for (int a = 0; a < TOKENS; a++)
            for (int b = 0; b < TOKENS; b++)
                if (m->rank[a][b] == r)
                    p += snprintf(p, (size_t)(end - p), "%s[\"%s\",\"%s\"]", any++ ? "," : "",
                                  m->token[a], m->token[b]);
    snprintf(p, (size_t)(end - p), "]}}");
    return open_json(json);
}

/* The definition: the merge of the least rank, the leftmost of these, until there is none. */
static size_t merge_whole(const model *m, int32_t *x, size_t n)
{
    for (;;) {
        int best = TOKENS;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            int r = m->rank[x[i]][x[i + 1]];
            if (r && r < best) {
                best = r;
                at = i;
            }
        }
        if (best == TOKENS)
            return n;
        x[at] = m->made[x[at]][x[at + 1]];
        n--;
        memmove(x + at + 1, x + at + 2, (n - at - 1) * sizeof *x);
    }
}

static void long_words_are_merged_as_the_definition_says(void **state)
{
    (void)state;
    static char text[LONG];
    static int32_t want[LONG];
    for (uint64_t seed = 0; seed < 12; seed++) {
        bool ends = seed & 1;
        model m;
        make_model(seed, ends, &m);
        hone_tokenizer *t = open_model(&m, ends);
        uint64_t at = 0, period = seed % 3 == 2 ? 2 + seed : LONG;
        for (size_t i = 0; i < LONG; i++) {
            text[i] = (char)('a' + hone_rng_below(seed, 9, at++ % period, LETTERS));
            want[i] = text[i] - 'a' + (ends && i == LONG - 1 ? LETTERS : 0);
        }
        size_t n = merge_whole(&m, want, LONG), got_n;
        int32_t *got;
        if (hone_tokenizer_encode(t, text, LONG, 0, &got, &got_n) != HONE_OK)
            fail_msg("%s", hone_error());
        assert_int_equal(got_n, n);
        assert_memory_equal(got, want, n * sizeof *got);
        hone_free(got);
        hone_tokenizer_close(t);
    }
}

/* ---- a word where each merge waits for the one to its right ---- */

enum { CHAIN = 9001 };

static void a_merge_may_depend_on_the_far_end_of_a_word(void **state)
{
    (void)state;
    char *json = malloc(CHAIN * 80), *p = json, *text = malloc(CHAIN * 3 + 1);
    p += sprintf(p, "{\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (int i = 0; i < CHAIN; i++) {
        int c = 0x4E00 + i;
        sprintf(text + (size_t)i * 3, "%c%c%c", 0xE0 | c >> 12, 0x80 | (c >> 6 & 63),
                0x80 | (c & 63));
        p += sprintf(p, "%s\"%.3s\":%d", i ? "," : "", text + (size_t)i * 3, i);
    }
    for (int i = 0; i + 1 < CHAIN; i++)
        p += sprintf(p, ",\"%.6s\":%d", text + (size_t)i * 3, CHAIN + i);
    p += sprintf(p, "},\"merges\":[");
    for (int i = CHAIN - 2; i >= 0; i--)
        p += sprintf(p, "[\"%.3s\",\"%.3s\"]%s", text + (size_t)i * 3, text + (size_t)i * 3 + 3,
                     i ? "," : "]}}");
    hone_tokenizer *t = open_json(json);
    /* The last pair goes first, so pairs lie as the end of the word says: odd or even. */
    for (int length = CHAIN - 1; length <= CHAIN; length++) {
        int32_t *ids;
        size_t n, odd = (size_t)length & 1;
        assert_int_equal(hone_tokenizer_encode(t, text, (size_t)length * 3, 0, &ids, &n), HONE_OK);
        assert_int_equal(n, length / 2 + (int)odd);
        assert_int_equal(ids[0], odd ? 0 : CHAIN);
        for (size_t i = odd; i < n; i++)
            assert_int_equal(ids[i], CHAIN + 2 * (int)i - (int)odd);
        hone_free(ids);
    }
    hone_tokenizer_close(t);
    free(text);
    free(json);
}

/* ---- memory, which bounds work: the heap of a window is no larger than the window ---- */

static uint64_t allocations(const hone_tokenizer *t, const char *text, size_t n)
{
    int32_t *ids;
    size_t n_ids;
    uint64_t before = hone_mem_count();
    assert_int_equal(hone_tokenizer_encode(t, text, n, 0, &ids, &n_ids), HONE_OK);
    hone_free(ids);
    return hone_mem_count() - before;
}

static void a_megabyte_needs_no_more_room_to_merge_than_a_window(void **state)
{
    (void)state;
    for (int ends = 0; ends < 2; ends++) {
        model m;
        make_model(3, ends, &m);
        hone_tokenizer *t = open_model(&m, ends);
        size_t n = 1 << 20;
        char *text = malloc(n);
        for (size_t i = 0; i < n; i++)
            text[i] = (char)('a' + hone_rng_below(5, 1, i, LETTERS));
        /* 16 times the text: the ids grow four times; symbols and heap, were they the word's, would
         * too. */
        uint64_t small = allocations(t, text, n / 16), large = allocations(t, text, n);
        print_message("%d: %d and %d allocations\n", ends, (int)small, (int)large);
        assert_true(large <= small + 4);
        free(text);
        hone_tokenizer_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_words_are_merged_as_the_definition_says),
        cmocka_unit_test(a_merge_may_depend_on_the_far_end_of_a_word),
        cmocka_unit_test(a_megabyte_needs_no_more_room_to_merge_than_a_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
