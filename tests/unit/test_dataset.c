// links: train
/* Data sets: from documents to tokens on disk, and from there to rows. */
#include "base/io.h"
#include "base/mem.h"
#include "text/chat_template.h"
#include "text/documents.h"
#include "text/tokenizer.h"
#include "train/data/dataset.h"
#include "train/data/dataset_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../folder.h"

/* Letters, a blank, a line end; "<e>" ends a text, "<u>" and "<a>" are the sides of a chat. */
static const char tokenizer_json[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"<e>\",\"special\":true},"
    "{\"id\":1,\"content\":\"<u>\",\"special\":true},{\"id\":2,\"content\":\"<a>\",\"special\":"
    "true}],\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":"
    "false},\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{"
    "\"<e>\":0,\"<u>\":1,\"<a>\":2,\"Ġ\":3,\"Ċ\":4,\"a\":5,\"b\":6,\"c\":7,\"d\":8,\"e\":9,"
    "\"f\":10,\"g\":11,\"h\":12},\"merges\":[]}}";
static const char config_json[] = "{\"eos_token\":\"<e>\",\"chat_template\":\"{% for m in messages "
                                  "%}{% if m.role == 'user' %}<u>{{ m.content }}{% else %}<a>{{ "
                                  "m.content }}<e>{% endif %}{% endfor %}{% if "
                                  "add_generation_prompt %}<a>{% endif %}\"}";

static void put_file(const char *name, const char *text)
{
    assert_int_equal(hone_write_file(in_folder(name), text, strlen(text)), HONE_OK);
}

static hone_tokenizer *open_tokenizer(void)
{
    hone_tokenizer *t;
    assert_int_equal(hone_make_directory(in_folder("model")), HONE_OK);
    put_file("model/tokenizer.json", tokenizer_json);
    put_file("model/tokenizer_config.json", config_json);
    assert_int_equal(hone_tokenizer_open(in_folder("model"), &t), HONE_OK);
    return t;
}

static char last_broken[1024];
static void on_broken(void *arg, const char *message)
{
    (void)arg;
    snprintf(last_broken, sizeof last_broken, "%s", message);
}

typedef struct how {
    double validation;
    bool skip, drop, chat;
    int threads;
} how;

static hone_status build(const char *name, how h, hone_dataset_build_report *report)
{
    hone_documents *d;
    hone_chat_template *chat = NULL;
    char path[256], out[256];
    const char *paths[] = {path};
    snprintf(path, sizeof path, "%s", in_folder(name));
    snprintf(out, sizeof out, "%s", in_folder("set"));
    hone_tokenizer *t = open_tokenizer();
    hone_documents_options options = {.skip_broken = h.skip, .on_broken = on_broken};
    if (h.chat)
        assert_int_equal(hone_chat_template_open(in_folder("model"), &chat), HONE_OK);
    hone_status s = hone_documents_open(paths, 1, &options, &d);
    if (s == HONE_OK) {
        hone_dataset_build_options o = {.tokenizer = t,
                                        .chat = chat,
                                        .validation = h.validation,
                                        .drop_duplicates = h.drop,
                                        .skip_broken = h.skip,
                                        .on_broken = on_broken,
                                        .threads = h.threads};
        s = hone_dataset_build(d, &o, out, report);
        hone_documents_close(d);
    }
    hone_chat_template_close(chat);
    hone_tokenizer_close(t);
    return s;
}

static hone_dataset *open_set(const char *split, hone_dataset_options o)
{
    hone_dataset *d;
    assert_int_equal(hone_dataset_open(in_folder("set"), split, &o, &d), HONE_OK);
    return d;
}

/* A row as text: tokens as letters ("." the end of a text, "_" padding), then labels, then starts.
 */
static const char *show(const hone_dataset_batch *b, uint32_t row)
{
    static const char letters[] = ".ua \nabcdefgh";
    static char out[2][512];
    static unsigned turn;
    char *to = out[turn++ % 2];
    size_t at = (size_t)row * b->length, n = 0;
    for (uint32_t i = 0; i < b->length; i++)
        to[n++] = b->ids[at + i] == 99 ? '_' : letters[b->ids[at + i]];
    to[n++] = '|';
    for (uint32_t i = 0; i < b->length; i++)
        to[n++] = b->labels[at + i] < 0 ? '-' : letters[b->labels[at + i]];
    to[n++] = '|';
    for (uint32_t i = 0; i < b->length; i++)
        n += (size_t)sprintf(to + n, "%d", b->starts[at + i]);
    to[n] = 0;
    return to;
}

static void rows_are_cut_from_the_stream_of_documents(void **state)
{
    (void)state;
    hone_dataset_build_report r;
    put_file("a.txt", "abcabc<|endoftext|>\ndef\n<|endoftext|>  <|endoftext|>gh");
    assert_int_equal(build("a.txt", (how){0}, &r), HONE_OK);
    assert_int_equal(r.train.documents, 3);
    assert_int_equal(r.train.tokens, 7 + 4 + 3);
    assert_int_equal(r.train.targets, 6 + 3 + 2);
    hone_dataset_batch b;
    assert_int_equal(hone_dataset_batch_open(4, 5, &b), HONE_OK);
    hone_dataset *d = open_set("train", (hone_dataset_options){.length = 5, .padding = 99});
    assert_int_equal(hone_dataset_rows(d), 3);
    hone_dataset_read(d, 0, &b);
    assert_string_equal(show(&b, 0), "abcab|bcabc|00000");
    assert_string_equal(show(&b, 1), "c.def|.-ef.|00222");
    assert_string_equal(show(&b, 2), ".gh._|-h.--|01114");
    assert_string_equal(show(&b, 3), "_____|-----|01234");
    assert_int_equal(b.targets, 11);
    assert_int_equal(b.tokens, 14);
    hone_dataset_close(d);
    d = open_set("train", (hone_dataset_options){.length = 5, .padding = 99, .whole = true});
    hone_dataset_read(d, 0, &b);
    assert_int_equal(hone_dataset_rows(d), 4);
    assert_string_equal(show(&b, 1), "c.___|.----|00234"); /* "def" does not fit any more */
    assert_string_equal(show(&b, 2), "def._|ef.--|00004");
    assert_string_equal(show(&b, 3), "gh.__|h.---|00034");
    hone_dataset_close(d);
    hone_dataset_batch_close(&b);
}

/* Each epoch holds every document once, as a whole, in another order. */
static void epochs_are_permutations_of_the_documents(void **state)
{
    (void)state;
    hone_dataset_build_report r;
    char text[8192];
    size_t n = 0;
    for (int i = 0; i < 200; i++) /* all different: i in base 8, as letters */
        n += (size_t)snprintf(text + n, sizeof text - n, "%c%c%c<|endoftext|>", "abcdefgh"[i / 64],
                              "abcdefgh"[i / 8 % 8], "abcdefgh"[i % 8]);
    put_file("a.txt", text);
    assert_int_equal(build("a.txt", (how){0}, &r), HONE_OK);
    assert_int_equal(r.train.documents, 200);
    hone_dataset_batch b;
    assert_int_equal(hone_dataset_batch_open(1, 800, &b), HONE_OK);
    hone_dataset *d =
        open_set("train", (hone_dataset_options){.length = 800, .shuffle = true, .seed = 7});
    int32_t before[800] = {0};
    for (int epoch = 0; epoch < 3; epoch++) {
        bool seen[512] = {false};
        assert_int_equal(hone_dataset_tell(d).epoch, epoch);
        assert_int_equal(hone_dataset_next(d, &b), HONE_OK);
        assert_int_equal(b.tokens, 800);
        for (int i = 0; i < 800; i += 4) {
            int k = (b.ids[i] - 5) * 64 + (b.ids[i + 1] - 5) * 8 + b.ids[i + 2] - 5;
            assert_int_equal(b.ids[i + 3], 0);
            assert_int_equal(b.starts[i + 3], i);
            assert_false(seen[k]);
            seen[k] = true;
        }
        assert_memory_not_equal(before, b.ids, sizeof before);
        memcpy(before, b.ids, sizeof before);
    }
    hone_dataset_close(d);
    hone_dataset_batch_close(&b);
}

static void rows_of_a_long_document_are_spread(void **state)
{
    (void)state;
    hone_dataset_build_report r;
    char text[1024];
    size_t n = 0;
    for (int i = 0; i < 200; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%c%c%c", "abcdefgh"[i / 64],
                              "abcdefgh"[i / 8 % 8], "abcdefgh"[i % 8]);
    put_file("a.txt", text);
    assert_int_equal(build("a.txt", (how){0}, &r), HONE_OK);
    hone_dataset_batch b;
    assert_int_equal(hone_dataset_batch_open(1, 3, &b), HONE_OK);
    hone_dataset *d = open_set("train", (hone_dataset_options){.length = 3, .shuffle = true});
    assert_int_equal(hone_dataset_rows(d), 201); /* the last holds the end alone */
    bool seen[512] = {false};
    int neighbours = 0, last = -1;
    for (int i = 0; i < 201; i++) {
        assert_int_equal(hone_dataset_next(d, &b), HONE_OK);
        int k = b.tokens < 3 ? 511 : (b.ids[0] - 5) * 64 + (b.ids[1] - 5) * 8 + b.ids[2] - 5;
        assert_false(seen[k]);
        seen[k] = true;
        neighbours += k == last + 1;
        last = k;
    }
    assert_true(neighbours < 10);
    hone_dataset_close(d);
    hone_dataset_batch_close(&b);
}

static void a_cursor_resumes_exactly(void **state)
{
    (void)state;
    hone_dataset_build_report r;
    put_file("a.txt", "abcabc<|endoftext|>def<|endoftext|>gh<|endoftext|>aaaa<|endoftext|>bbb"
                      "<|endoftext|>hhhhhhh<|endoftext|>c d e f g");
    assert_int_equal(build("a.txt", (how){0}, &r), HONE_OK);
    for (int whole = 0; whole < 2; whole++) {
        hone_dataset_options o = {.length = 5, .shuffle = true, .seed = 3, .whole = whole};
        hone_dataset *d = open_set("train", o);
        hone_dataset_batch all[40], b;
        hone_dataset_cursor at[40];
        assert_int_equal(hone_dataset_batch_open(3, 5, &b), HONE_OK);
        for (int i = 0; i < 40; i++) {
            at[i] = hone_dataset_tell(d);
            assert_int_equal(hone_dataset_batch_open(3, 5, &all[i]), HONE_OK);
            assert_int_equal(hone_dataset_next(d, &all[i]), HONE_OK);
        }
        assert_true(at[39].epoch > 5);
        for (int i = 39; i >= 0; i -= 3) {
            hone_dataset *again = open_set("train", o);
            assert_int_equal(hone_dataset_seek(again, at[i]), HONE_OK);
            assert_int_equal(hone_dataset_next(again, &b), HONE_OK);
            assert_memory_equal(b.memory, all[i].memory, 3 * 15 * sizeof(int32_t));
            assert_int_equal(b.targets, all[i].targets);
            hone_dataset_close(again);
        }
        hone_dataset_cursor wrong = {2, 1000}, now = hone_dataset_tell(d);
        assert_int_equal(hone_dataset_seek(d, wrong), HONE_USAGE);
        assert_int_equal(hone_dataset_tell(d).epoch, now.epoch);
        assert_int_equal(hone_dataset_tell(d).row, now.row);
        for (int i = 0; i < 40; i++)
            hone_dataset_batch_close(&all[i]);
        hone_dataset_batch_close(&b);
        hone_dataset_close(d);
    }
}

static void only_the_assistants_turns_are_learned(void **state)
{
    (void)state;
    hone_dataset_build_report r;
    put_file("a.jsonl",
             "{\"messages\":[{\"role\":\"user\",\"content\":\"ab\"},{\"role\":\"assistant\","
             "\"content\":\"cd\"},{\"role\":\"user\",\"content\":\"e\"},{\"role\":\"assistant\","
             "\"content\":\"f\"},{\"role\":\"user\",\"content\":\"hhhh\"}]}\n\n"
             "{\"text\":\"gg\"}\n");
    assert_int_equal(build("a.jsonl", (how){.chat = true}, &r), HONE_OK);
    hone_dataset_batch b;
    assert_int_equal(hone_dataset_batch_open(1, 14, &b), HONE_OK);
    hone_dataset *d = open_set("train", (hone_dataset_options){.length = 14, .padding = 99});
    assert_true(hone_dataset_get_info(d)->masked);
    hone_dataset_read(d, 0, &b);
    assert_string_equal(show(&b, 0), "uabacd.ueaf.gg|---cd.---f.-g.|000000000000"
                                     "1212");
    assert_int_equal(r.train.targets, 3 + 2 + 2);
    hone_dataset_close(d);
    hone_dataset_batch_close(&b);
}

static void of_a_prompt_only_the_completion_is_learned(void **state)
{
    (void)state;
    hone_dataset_build_report r;
    put_file("a.jsonl", "{\"prompt\":\"ab c\",\"completion\":\" de\"}\n{\"prompt\":\"h\","
                        "\"response\":\"g\"}\n{\"prompt\":\"a\",\"completion\":\"\"}\n"
                        "{\"prompt\":\"\",\"completion\":\"ff\"}\n");
    assert_int_equal(build("a.jsonl", (how){0}, &r), HONE_OK);
    hone_dataset_batch b;
    assert_int_equal(hone_dataset_batch_open(1, 15, &b), HONE_OK);
    hone_dataset *d = open_set("train", (hone_dataset_options){.length = 15, .padding = 99});
    hone_dataset_read(d, 0, &b);
    assert_string_equal(show(&b, 0), "ab c de.hg.ff._|--- de.-g.-f.--|0000000088811111114");
    assert_int_equal(r.train.documents, 3);
    assert_int_equal(r.train.targets, 4 + 2 + 2);
    hone_dataset_close(d);
    hone_dataset_batch_close(&b);
}

static void broken_documents_are_named_and_counted(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text, *said;
        unsigned long long left;
    } rows[] = {
        {"a.jsonl", "{\"text\":\"a\"}\n{\"text\":\n{\"text\":\"b\"}\n", "a.jsonl: line 2", 2},
        {"a.jsonl", "{\"text\":\"a\"}\n\n[1]\n", "line 3 is no JSON object", 1},
        {"a.jsonl", "{\"txt\":\"a\"}\n{\"text\":\"b\"}", "line 1: the object has neither", 1},
        {"a.jsonl", "{\"text\":\"a\xff\"}\n{\"text\":\"b\"}", "line 1", 1},
        {"a.jsonl", "{\"text\":\"a\"}\n{\"messages\":[{\"role\":\"user\",\"content\":\"b\"}]}",
         "line 2: the conversation has no turn of the assistant", 1},
        {"a.jsonl", "{\"text\":\"a\"}\n{\"messages\":[{\"content\":\"b\"}]}",
         "line 2: message 1 has no \"role\"", 1},
        {"a.jsonl", "{\"text\":\"a\"}\n{\"text\":\"z\"}", "line 2: ", 1}, /* no such token */
        {"a.txt", "a\nb<|endoftext|>\nc\nd\xc3(\n<|endoftext|>e", "a.txt: line 4, byte", 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hone_dataset_build_report r;
        put_file(rows[i].file, rows[i].text);
        hone_status s = build(rows[i].file, (how){.chat = true}, &r);
        assert_int_not_equal(s, HONE_OK);
        assert_non_null(strstr(hone_error(), rows[i].said));
        assert_int_not_equal(access(in_folder("set/train.tokens"), F_OK), 0);
        assert_int_equal(build(rows[i].file, (how){.chat = true, .skip = true}, &r), HONE_OK);
        assert_non_null(strstr(last_broken, rows[i].said));
        assert_int_equal(r.broken, 1);
        assert_int_equal(r.train.documents, rows[i].left);
        unlink(in_folder("set/train.tokens"));
    }
}

static void nothing_to_read_is_an_error(void **state)
{
    (void)state;
    hone_dataset_build_report r;
    put_file("empty.txt", "");
    assert_int_equal(build("empty.txt", (how){0}, &r), HONE_DATA);
    assert_non_null(strstr(hone_error(), "empty.txt is empty"));
    put_file("blank.txt", "  \n\n<|endoftext|>\n");
    assert_int_equal(build("blank.txt", (how){0}, &r), HONE_DATA);
    assert_int_equal(build("none.txt", (how){0}, &r), HONE_NOT_FOUND);
    assert_int_equal(build("model", (how){0}, &r), HONE_FORMAT);
}

/* The side of a document depends on its text alone; equal ones (but for blanks) share it. */
static void validation_never_leaks(void **state)
{
    (void)state;
    hone_dataset_build_report r, half;
    char text[1 << 15], first[1 << 15];
    size_t n = 0, m = 0;
    for (int i = 0; i < 400; i++) {
        char word[64];
        snprintf(word, sizeof word, "%c%c%c %c", "abcdefgh"[i / 64], "abcdefgh"[i / 8 % 8],
                 "abcdefgh"[i % 8], "abcdefgh"[i % 5]);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s<|endoftext|>%.3s \n %s<|endoftext|>",
                              word, word, word + 4);
        if (i < 200)
            m += (size_t)snprintf(first + m, sizeof first - m, "%s<|endoftext|>", word);
    }
    put_file("first.txt", first);
    put_file("all.txt", text);
    assert_int_equal(build("first.txt", (how){.validation = 0.25}, &half), HONE_OK);
    assert_int_equal(half.train.documents + half.validation.documents, 200);
    assert_in_range(half.validation.documents, 25, 75);
    assert_int_equal(build("all.txt", (how){.validation = 0.25}, &r), HONE_OK);
    assert_int_equal(r.duplicates, 400);
    assert_int_equal(r.validation.documents % 2, 0);
    assert_int_equal(build("all.txt", (how){.validation = 0.25, .drop = true}, &r), HONE_OK);
    assert_int_equal(r.train.documents + r.validation.documents, 400);
    /* The first 200 are where they were, since the documents keep their order. */
    char *whole, *part;
    size_t n_whole, n_part;
    assert_int_equal(hone_read_file(in_folder("set/validation.tokens"), 1 << 20, &whole, &n_whole),
                     HONE_OK);
    assert_int_equal(build("first.txt", (how){.validation = 0.25}, &half), HONE_OK);
    assert_int_equal(hone_read_file(in_folder("set/validation.tokens"), 1 << 20, &part, &n_part),
                     HONE_OK);
    assert_true(half.validation.tokens < r.validation.tokens);
    assert_memory_equal(whole, part, half.validation.tokens * 2);
    hone_free(whole);
    hone_free(part);
}

static void files_do_not_depend_on_threads(void **state)
{
    (void)state;
    hone_dataset_build_report r;
    static char text[1 << 18];
    size_t n = 0;
    for (unsigned i = 0; n + 200 < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%.*s<|endoftext|>",
                              1 + (int)(i * 7919 % 60),
                              "abc def gha bcd efg hab cde fgh abc def gha bcd efg hab cde fgh");
    put_file("a.txt", text);
    char *one, *two;
    size_t n_one, n_two;
    assert_int_equal(build("a.txt", (how){.validation = 0.3, .threads = 1}, &r), HONE_OK);
    assert_int_equal(hone_read_file(in_folder("set/train.tokens"), 1 << 24, &one, &n_one), HONE_OK);
    assert_int_equal(build("a.txt", (how){.validation = 0.3, .threads = 3}, &r), HONE_OK);
    assert_int_equal(hone_read_file(in_folder("set/train.tokens"), 1 << 24, &two, &n_two), HONE_OK);
    assert_int_equal(n_one, n_two);
    assert_memory_equal(one, two, n_one);
    hone_free(one);
    hone_free(two);
}

/* Every file that is cut short or has another bit is refused. */
static void damaged_files_are_refused(void **state)
{
    (void)state;
    hone_dataset_build_report r;
    put_file("a.txt", "abcabc<|endoftext|>def");
    assert_int_equal(build("a.txt", (how){0}, &r), HONE_OK);
    char *all, path[256];
    size_t n;
    hone_dataset *d;
    hone_dataset_options o = {.length = 4};
    snprintf(path, sizeof path, "%s", in_folder("set/train.tokens"));
    assert_int_equal(hone_read_file(path, 1 << 20, &all, &n), HONE_OK);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(hone_write_file(path, all, i), HONE_OK);
        assert_int_equal(hone_dataset_open(path, "train", &o, &d), HONE_FORMAT);
        all[i] ^= 0x10;
        assert_int_equal(hone_write_file(path, all, n), HONE_OK);
        assert_int_equal(hone_dataset_open(path, "train", &o, &d), HONE_FORMAT);
        assert_non_null(strstr(hone_error(), "train.tokens"));
        all[i] ^= 0x10;
    }
    hone_free(all);
    assert_int_equal(hone_dataset_open(in_folder("set"), "validation", &o, &d), HONE_NOT_FOUND);
    o.length = 1;
    assert_int_equal(hone_dataset_open(in_folder("set"), "train", &o, &d), HONE_USAGE);
}

static void any_failing_allocation_is_survived(void **state)
{
    (void)state;
    hone_dataset_build_report r;
    put_file("a.jsonl", "{\"text\":\"abc\"}\n{\"messages\":[{\"role\":\"user\",\"content\":\"ab\"},"
                        "{\"role\":\"assistant\",\"content\":\"c\"}]}\n");
    hone_status s = HONE_MEMORY;
    hone_tokenizer_close(open_tokenizer());
    char path[256], out[256], model[256];
    snprintf(path, sizeof path, "%s", in_folder("a.jsonl"));
    snprintf(out, sizeof out, "%s", in_folder("set"));
    snprintf(model, sizeof model, "%s", in_folder("model"));
    const char *paths[] = {path};
    hone_tokenizer *t;
    hone_chat_template *chat;
    assert_int_equal(hone_tokenizer_open(model, &t), HONE_OK);
    assert_int_equal(hone_chat_template_open(model, &chat), HONE_OK);
    int64_t k = 0;
    for (; s != HONE_OK && k < 4000; k++) {
        hone_documents *docs = NULL;
        hone_dataset *d = NULL;
        hone_dataset_batch b = {0};
        hone_mem_fail_after(k);
        s = hone_documents_open(paths, 1, NULL, &docs);
        hone_dataset_build_options o = {.tokenizer = t, .chat = chat, .threads = 1};
        if (s == HONE_OK)
            s = hone_dataset_build(docs, &o, out, &r);
        hone_documents_close(docs);
        hone_dataset_options rows = {.length = 4, .shuffle = true};
        if (s == HONE_OK)
            s = hone_dataset_open(out, "train", &rows, &d);
        if (s == HONE_OK)
            s = hone_dataset_batch_open(2, 4, &b);
        for (int i = 0; s == HONE_OK && i < 5; i++)
            s = hone_dataset_next(d, &b);
        hone_mem_fail_after(-1);
        assert_true(s == HONE_OK || s == HONE_MEMORY);
        hone_dataset_batch_close(&b);
        hone_dataset_close(d);
    }
    assert_in_range(k, 50, 3999);
    char command[512];
    snprintf(command, sizeof command, "ls %s | grep -c tmp", out);
    FILE *ls = popen(command, "r");
    int left = -1;
    assert_int_equal(fscanf(ls, "%d", &left), 1);
    pclose(ls);
    assert_int_equal(left, 0);
    hone_chat_template_close(chat);
    hone_tokenizer_close(t);
}

#define T(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(rows_are_cut_from_the_stream_of_documents),
        T(epochs_are_permutations_of_the_documents),
        T(rows_of_a_long_document_are_spread),
        T(a_cursor_resumes_exactly),
        T(only_the_assistants_turns_are_learned),
        T(of_a_prompt_only_the_completion_is_learned),
        T(broken_documents_are_named_and_counted),
        T(nothing_to_read_is_an_error),
        T(validation_never_leaks),
        T(files_do_not_depend_on_threads),
        T(damaged_files_are_refused),
        T(any_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
