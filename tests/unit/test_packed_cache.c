// links: engine
/* Packed weights on disk: mapped only when right, made anew when not, never in the way. */
#include "base/io.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "model/packed_cache.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../folder.h"

#define LLAMA HONE_SOURCE_DIR "/tests/golden/data/models/llama"
#define KEY   "00112233445566778899aabbccddeeff"
#define OTHER "ffeeddccbbaa99887766554433221100"
enum { BYTES = HONE_PACKED_CHUNK + 12345 };

static char file[256], seen[256], note[HONE_PACKED_NOTE];
static uint8_t *data;
static hone_pool *pool;
static uint64_t content = 7; /* what the source's bytes hash to */
static int hashed;           /* how often they were */

static bool hash_source(void *arg, uint64_t out[2])
{
    (void)arg;
    hashed++;
    out[0] = out[1] = content;
    return true;
}

static hone_packed_source source = {.state = {1, 2}, .settled = true, .hash = hash_source};
static hone_packed_cache cache = {.folder = folder, .min_bytes = 1};

static int set_up(void **state)
{
    (void)state;
    snprintf(file, sizeof file, "%s/%s.packed", folder, KEY);
    snprintf(seen, sizeof seen, "%s/%s.seen", folder, KEY);
    data = hone_malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    return hone_pool_open(2, NULL, &pool) == HONE_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    hone_packed_entry *list;
    size_t n;
    (void)state;
    if (hone_packed_list(folder, &list, &n) == HONE_OK)
        for (size_t i = 0; i < n; i++)
            hone_packed_remove(folder, list[i].key);
    hone_free(list);
    hone_free(data);
    hone_pool_close(pool);
    return rmdir(folder); /* nothing else was left */
}

static void write_as(const char *key)
{
    hone_packed_source from = source;
    *note = 0;
    from.hashed = hash_source(NULL, from.content);
    hone_packed_write_end(hone_packed_write(&cache, key, "model.gguf", &from, data, BYTES, note),
                          NULL, NULL);
}

static bool maps(void)
{
    hone_packed_image i;
    hone_packed_source from = source;
    hone_packed_map(&cache, KEY, BYTES, &from, pool, &i, note);
    bool there = i.data != NULL;
    if (there)
        assert_memory_equal(i.data, data, BYTES);
    hone_packed_unmap(&i);
    return there;
}

static void flip(long at)
{
    FILE *f = fopen(file, "r+b");
    assert_non_null(f);
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    int c = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(c ^ 1, f);
    fclose(f);
}

static void what_was_written_is_mapped(void **state)
{
    (void)state;
    assert_false(maps());
    assert_string_equal(note, "");
    write_as(KEY);
    assert_string_equal(note, "");
    assert_true(maps());
    assert_int_equal(unlink(seen), 0); /* as after a start of the machine */
    assert_true(maps());
    assert_true(hone_is_file(seen));
}

static void an_image_that_still_comes_from_the_disk_is_right_and_may_be_left(void **state)
{
    (void)state;
    write_as(KEY);
    assert_true(maps());
    for (int i = 0; i < 20; i++) {
        int fd = open(file, O_RDONLY);
        assert_true(fd >= 0);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
        hone_packed_image image;
        hone_packed_source from = source;
        hone_packed_map(&cache, KEY, BYTES, &from, pool, &image, note);
        assert_string_equal(note, "");
        assert_non_null(image.reader);
        if (i % 2)
            assert_memory_equal(image.data, data, BYTES);
        hone_packed_unmap(&image);
    }
}

static void a_flipped_bit_anywhere_is_noticed_and_the_file_made_anew(void **state)
{
    (void)state;
    static const long at[] = {
        0, HONE_PACKED_CHUNK - 1, HONE_PACKED_CHUNK, BYTES - 1, -1, -8, -9, -100, -120, -150, -160};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        write_as(KEY);
        assert_true(maps());
        flip(at[i]);
        assert_false(maps());
        assert_non_null(strstr(note, "damaged"));
        assert_false(hone_is_file(file));
        assert_false(hone_is_file(seen));
    }
    write_as(KEY);
    assert_true(maps());
}

static void a_source_that_may_have_changed_is_hashed_again(void **state)
{
    (void)state;
    const hone_packed_source was = source;
    write_as(KEY);
    hashed = 0;
    assert_true(maps());
    assert_int_equal(hashed, 0); /* in the state in which it was packed */
    source.state[0]++;
    assert_true(maps());
    assert_int_equal(hashed, 1); /* copied, touched: the bytes are the same */
    assert_true(maps());
    assert_int_equal(hashed, 1);
    source.settled = false; /* changed a moment ago: its times may be those of another content */
    source.state[0]++;
    assert_true(maps());
    assert_true(maps());
    assert_int_equal(hashed, 3);
    source.settled = true;
    assert_true(maps());
    assert_int_equal(hashed, 4);
    source.state[0]++;
    content++; /* same key, size, time, samples: other bytes */
    assert_false(maps());
    assert_string_equal(note, "");
    assert_false(hone_is_file(file));
    write_as(KEY);
    assert_true(maps());
    source = was;
    content--;
    assert_false(maps());
}

static void what_another_user_or_a_link_put_there_is_not_used(void **state)
{
    (void)state;
    char other[256];
    struct stat st;
    snprintf(other, sizeof other, "%s/%s.packed", folder, OTHER);
    write_as(KEY);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(rename(file, other), 0);
    assert_int_equal(symlink(other, file), 0);
    assert_false(maps());
    assert_non_null(strstr(note, "not cached"));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rename(other, file), 0);
    if (chown(file, 12345, (gid_t)-1) == 0) {
        assert_false(maps());
        assert_non_null(strstr(note, "no file of this user"));
        assert_true(hone_is_file(file));
    } else
        print_message("SKIP a file of another user: needs the right to make one\n");
    hone_packed_remove(folder, KEY);
}

static void a_cut_empty_or_foreign_file_is_removed(void **state)
{
    (void)state;
    struct stat st;
    write_as(KEY);
    assert_int_equal(stat(file, &st), 0);
    const off_t lengths[] = {0, 1, 8, 4096, BYTES, st.st_size - 1, st.st_size - 8, st.st_size + 8};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        write_as(KEY);
        assert_int_equal(truncate(file, lengths[i]), 0);
        assert_false(maps());
        assert_false(hone_is_file(file));
    }
    char other[256];
    snprintf(other, sizeof other, "%s/%s.packed", folder, OTHER);
    write_as(OTHER);
    assert_int_equal(rename(other, file), 0);
    assert_false(maps());
    assert_non_null(strstr(note, "another model"));
    hone_packed_remove(folder, OTHER);
}

static void what_was_used_longest_ago_makes_room(void **state)
{
    (void)state;
    hone_packed_entry *list;
    size_t n;
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    write_as(KEY);
    write_as(OTHER);
    assert_int_equal(utimensat(AT_FDCWD, seen, old, 0), 0);
    assert_int_equal(hone_packed_list(folder, &list, &n), HONE_OK);
    assert_int_equal(n, 2);
    assert_string_equal(list[1].key, KEY);
    assert_string_equal(list[0].label, "model.gguf");
    cache.max_bytes = 2 * list[0].bytes;
    hone_free(list);
    write_as("0123456789abcdef0123456789abcdef");
    assert_false(hone_is_file(file));
    assert_int_equal(hone_packed_list(folder, &list, &n), HONE_OK);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++)
        hone_packed_remove(folder, list[i].key);
    hone_free(list);
    cache.max_bytes = 1000;
    write_as(KEY);
    assert_non_null(strstr(note, "may have 1000"));
    assert_false(maps());
    cache.max_bytes = 0;
}

static void a_file_of_this_size_may_not_be_written(void **state)
{
    (void)state;
    struct rlimit was, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = BYTES / 2;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    write_as(KEY);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_non_null(strstr(note, "not cached"));
    assert_false(maps());
}

static void a_folder_that_cannot_be_is_only_noted(void **state)
{
    (void)state;
    cache.folder = "/proc/none/packed";
    write_as(KEY);
    assert_non_null(strstr(note, "not cached"));
    assert_false(maps());
    cache.folder = folder;
}

static void processes_that_race_and_die_leave_a_right_file_or_none(void **state)
{
    (void)state;
#if defined(__SANITIZE_THREAD__)
    print_message("SKIP processes that race: the thread sanitizer follows no fork with threads\n");
    skip();
#endif
    for (int round = 0; round < 30; round++) {
        pid_t child[3];
        for (int i = 0; i < 3; i++) {
            child[i] = fork();
            assert_true(child[i] >= 0);
            if (child[i] == 0) {
                write_as(KEY);
                _exit(0);
            }
        }
        usleep((useconds_t)(rand() % 8000)); /* any moment is one to die at */
        if (round % 3)
            for (int i = 0; i < 3; i++)
                kill(child[i], SIGKILL);
        for (int i = 0; i < 3; i++)
            waitpid(child[i], NULL, 0);
        bool there = hone_is_file(file);
        assert_true(round % 3 || there);
        assert_true(maps() == there);
        assert_string_equal(note, "");
        hone_packed_remove(folder, KEY);
    }
}

/* Logits of some tokens; *mapped: where the weights came from. */
static void logits_of(hone_config c, float **logits, size_t *bytes, bool *mapped)
{
    static const int32_t tokens[] = {1, 5, 9, 13, 2, 7};
    hone_engine *e;
    hone_session *s;
    assert_int_equal(hone_engine_open_cached(LLAMA, &c, &cache, NULL, NULL, &e), HONE_OK);
    assert_string_equal(hone_engine_note(e), "");
    *mapped = hone_engine_facts(e)->mapped;
    *bytes = 6 * hone_engine_facts(e)->vocab * sizeof **logits;
    *logits = hone_malloc(*bytes);
    assert_int_equal(hone_session_open(e, &s), HONE_OK);
    assert_int_equal(hone_session_feed(s, tokens, 6, HONE_WANT_ALL, *logits), HONE_OK);
    hone_session_close(s);
    hone_engine_close(e);
}

static void results_are_the_same_from_the_cache(void **state)
{
    (void)state;
    static const int formats[] = {HONE_WEIGHT_AS_FILED, HONE_DTYPE_F16};
    for (int i = 0; i < 3; i++) {
        float *packed, *again;
        size_t bytes;
        bool mapped;
        hone_config c = hone_config_default();
        c.context_tokens = 64;
        c.compute = i == 2 ? HONE_COMPUTE_F32 : HONE_COMPUTE_BF16;
        c.kv_format = i == 2 ? HONE_KV_F32 : HONE_KV_BF16;
        for (int k = 0; k < HONE_WEIGHT_KINDS; k++)
            c.weight_dtype[k] = formats[i % 2];
        logits_of(c, &packed, &bytes, &mapped);
        assert_false(mapped); /* every choice has a key of its own */
        logits_of(c, &again, &bytes, &mapped);
        assert_true(mapped);
        assert_memory_equal(packed, again, bytes);
        hone_free(packed);
        hone_free(again);
    }
}

/* Opens with the n-th allocation and all after it failing. */
static hone_status open_with_failure(int64_t n, bool *mapped)
{
    hone_engine *e = NULL;
    hone_config c = hone_config_default();
    c.context_tokens = 64;
    c.threads = 1;
    hone_mem_fail_after(n);
    hone_status s = hone_engine_open_cached(LLAMA, &c, &cache, NULL, NULL, &e);
    if (s == HONE_OK)
        hone_engine_keep(e, NULL, NULL);
    hone_mem_fail_after(-1);
    *mapped = s == HONE_OK && hone_engine_facts(e)->mapped;
    if (s == HONE_OK)
        assert_null(strstr(hone_engine_note(e), "damaged"));
    hone_engine_close(e);
    return s;
}

static void every_failing_allocation_is_survived_and_harms_no_file(void **state)
{
    hone_packed_entry *list;
    size_t count;
    (void)state;
    for (int there = 0; there < 2; there++) {
        hone_status s = HONE_MEMORY;
        bool mapped = false;
        for (int64_t n = 0; s != HONE_OK || (there && !mapped); n++) {
            assert_true(n < 20000);
            if (!there) { /* each time anew */
                assert_int_equal(hone_packed_list(folder, &list, &count), HONE_OK);
                for (size_t i = 0; i < count; i++)
                    hone_packed_remove(folder, list[i].key);
                hone_free(list);
            }
            s = open_with_failure(n, &mapped);
            assert_true(s == HONE_OK || s == HONE_MEMORY);
        }
    }
    bool mapped;
    assert_int_equal(open_with_failure(-1, &mapped), HONE_OK);
    assert_true(mapped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_mapped),
        cmocka_unit_test(an_image_that_still_comes_from_the_disk_is_right_and_may_be_left),
        cmocka_unit_test(a_flipped_bit_anywhere_is_noticed_and_the_file_made_anew),
        cmocka_unit_test(a_source_that_may_have_changed_is_hashed_again),
        cmocka_unit_test(what_another_user_or_a_link_put_there_is_not_used),
        cmocka_unit_test(a_cut_empty_or_foreign_file_is_removed),
        cmocka_unit_test(what_was_used_longest_ago_makes_room),
        cmocka_unit_test(a_file_of_this_size_may_not_be_written),
        cmocka_unit_test(a_folder_that_cannot_be_is_only_noted),
        cmocka_unit_test(processes_that_race_and_die_leave_a_right_file_or_none),
        cmocka_unit_test(results_are_the_same_from_the_cache),
        cmocka_unit_test(every_failing_allocation_is_survived_and_harms_no_file),
    };
    if (make_folder(NULL) != 0)
        return 1;
    int fd = open(folder, O_TMPFILE | O_RDWR, 0600);
    if (fd < 0) {
        print_message("SKIP packed weights on disk: %s has no files without a name\n", folder);
        rmdir(folder);
        return 77;
    }
    close(fd);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
