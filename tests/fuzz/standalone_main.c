/*
 * A driver for fuzz targets without libFuzzer: runs every file of the corpus as it is, then a fixed
 * number of mutations, the same ones every time. `make fuzz` explores; this keeps what it found
 * from coming back, and needs no clang.
 *
 *     fuzz_x [-runs=N] [-only=I] CORPUS...     (files or folders; -only=I: just mutation I)
 *
 * On a crash the input is left in crash-<target> in the working folder, and the mutation is named.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES_MAX = 512, BYTES_MAX = 1 << 20, MUTATED_BYTES_MAX = 1 << 16 };

typedef struct seed {
    char name[256];
    uint8_t *data;
    size_t size;
} seed;

static seed seeds[FILES_MAX];
static size_t seed_count;
static const char *target = "fuzz";
static char now[512];
static const uint8_t *input;
static size_t input_size;

static char crash_file[300];

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

/* Calls nothing that a signal's handler may not. */
static void on_crash(int number)
{
    int fd = open(crash_file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    say("\ncrash at ");
    say(now);
    if (fd >= 0 && write(fd, input, input_size) >= 0) {
        say("; the input is in ");
        say(crash_file);
    }
    say("\n");
    signal(number, SIG_DFL);
    raise(number);
}

static uint64_t state;

static uint64_t next_random(void) /* splitmix64 */
{
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static size_t below(size_t n)
{
    return n ? (size_t)(next_random() % n) : 0;
}

static void run_one(const uint8_t *data, size_t size)
{
    /* A copy of exactly this size, so that a sanitizer sees a read beyond its end. */
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        exit(1);
    if (size)
        memcpy(copy, data, size);
    input = copy;
    input_size = size;
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void add_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || seed_count == FILES_MAX) {
        if (f)
            fclose(f);
        return;
    }
    seed *s = &seeds[seed_count];
    s->data = malloc(BYTES_MAX);
    if (!s->data)
        exit(1);
    s->size = fread(s->data, 1, BYTES_MAX, f);
    snprintf(s->name, sizeof s->name, "%s", path);
    fclose(f);
    seed_count++;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const seed *)a)->name, ((const seed *)b)->name);
}

static void add_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return;
    if (!S_ISDIR(st.st_mode)) {
        add_file(path);
        return;
    }
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char name[4096];
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (stat(name, &st) == 0 && S_ISREG(st.st_mode))
            add_file(name);
    }
    if (dir)
        closedir(dir);
}

/* One change of `data`, which has room for MUTATED_BYTES_MAX; the new size is returned. */
static size_t mutate_once(uint8_t *data, size_t size)
{
    static const uint64_t hard[] = {
        0,          1,          0x7F,        0x80,        0xFF,
        0xFFFF,     0x7FFFFFFF, 0x80000000u, 0xFFFFFFFFu, 0x7FFFFFFFFFFFFFFFu,
        UINT64_MAX, 1ull << 40};
    size_t at = below(size), n = 1 + below(16);
    switch (below(7)) {
    case 0: /* flip a bit */
        if (size)
            data[at] ^= (uint8_t)(1u << below(8));
        return size;
    case 1: /* any byte */
        if (size)
            data[at] = (uint8_t)next_random();
        return size;
    case 2: /* truncate */
        return below(4) ? size : at;
    case 3: /* cut out */
        if (at + n > size)
            return size;
        memmove(data + at, data + at + n, size - at - n);
        return size - n;
    case 4: /* insert a copy of what stands elsewhere */
        if (size + n > MUTATED_BYTES_MAX || size < n)
            return size;
        memmove(data + at + n, data + at, size - at);
        memmove(data + at, data + below(size - n + 1), n);
        return size + n;
    case 5: { /* a number that hurts, 1 to 8 bytes */
        size_t width = (size_t)1 << below(4);
        uint64_t value = hard[below(sizeof hard / sizeof *hard)];
        if (at + width <= size)
            memcpy(data + at, &value, width);
        return size;
    }
    default: { /* a piece of another seed */
        const seed *s = &seeds[below(seed_count)];
        if (n > s->size || at + n > size)
            return size;
        memcpy(data + at, s->data + below(s->size - n + 1), n);
        return size;
    }
    }
}

static void run_mutation(uint64_t index)
{
    static uint8_t data[MUTATED_BYTES_MAX];
    state = index * 0xD1342543DE82EF95u + 1;
    const seed *s = &seeds[index % seed_count];
    size_t size = s->size < MUTATED_BYTES_MAX ? s->size : MUTATED_BYTES_MAX;
    memcpy(data, s->data, size);
    for (size_t changes = 1 + below(6); changes > 0; changes--)
        size = mutate_once(data, size);
    snprintf(now, sizeof now, "mutation %llu of %.400s (-only=%llu)", (unsigned long long)index,
             s->name, (unsigned long long)index);
    run_one(data, size);
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
    unsigned long long runs = 2000, only = ~0ull;
    const char *slash = strrchr(argv[0], '/');
    target = slash ? slash + 1 : argv[0];
    snprintf(crash_file, sizeof crash_file, "crash-%.200s", target);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], on_crash);
    for (int i = 1; i < argc; i++) {
        if (sscanf(argv[i], "-runs=%llu", &runs) != 1 && sscanf(argv[i], "-only=%llu", &only) != 1)
            add_path(argv[i]);
    }
    if (seed_count == 0) {
        fprintf(stderr, "%s: no corpus: give files or folders that exist\n", target);
        return 1;
    }
    qsort(seeds, seed_count, sizeof *seeds, by_name);
    if (only != ~0ull) {
        run_mutation(only);
        return 0;
    }
    snprintf(now, sizeof now, "the empty input");
    run_one((const uint8_t *)"", 0);
    for (size_t i = 0; i < seed_count; i++) {
        snprintf(now, sizeof now, "%.400s", seeds[i].name);
        run_one(seeds[i].data, seeds[i].size);
    }
    for (unsigned long long i = 0; i < runs; i++)
        run_mutation(i);
    printf("%s: %zu seeds and %llu mutations\n", target, seed_count, runs);
    for (size_t i = 0; i < seed_count; i++)
        free(seeds[i].data);
    return 0;
}
