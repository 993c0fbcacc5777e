// links: hw dtype
/* AMX's instructions as the assembler writes them: what they do, by plain sums, and what they fault
 * on. On a processor with AMX that is the hardware, otherwise the emulator of the other tests. */
#include "base/rng.h"
#include "dtype/half.h"
#include "hw/isa.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/amx_emulator.h"

#if defined(__x86_64__)

typedef struct __attribute__((aligned(64))) config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} config;

typedef struct tile {
    uint8_t row[16][64];
} tile;

static void need_amx(void)
{
    if (!hone_isa_supported(HONE_ISA_AMX_INT8))
        skip();
}

static config shape(int rows, int k_bytes)
{
    config c = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        c.rows[t] = (uint8_t)(t >= 6 ? k_bytes / 4 : rows);
        c.row_bytes[t] = (uint16_t)(t == 4 || t == 5 ? k_bytes : 64);
    }
    return c;
}

static void configure(const config *c)
{
    __asm__ volatile("ldtilecfg %0" ::"m"(*c) : "memory");
}

static void release(void)
{
    __asm__ volatile("tilerelease" ::: "memory");
}

static void store(tile *t, int n)
{
    memset(t, 0xee, sizeof *t);
#define STORE(k)                                                                                   \
    if (n == (k))                                                                                  \
        __asm__ volatile("tilestored %%tmm" #k ", (%0,%1,1)" ::"r"(t), "r"((int64_t)64)            \
                         : "memor"                                                                 \
                           "y");
    STORE(0) STORE(1) STORE(2) STORE(3) STORE(4) STORE(5) STORE(6) STORE(7)
#undef STORE
}

/* ---- configurations and memory -------------------------------------------------------------- */

static void a_configuration_is_stored_as_it_was_loaded(void **state)
{
    (void)state;
    need_amx();
    config c = shape(7, 32), got;
    configure(&c);
    assert_int_equal(amx_tiles_held(), 1);
    memset(&got, 0xee, sizeof got);
    __asm__ volatile("sttilecfg %0" : "=m"(got));
    assert_memory_equal(&got, &c, sizeof c);
    release();
    assert_int_equal(amx_tiles_held(), 0);
    config none = {0};
    __asm__ volatile("sttilecfg %0" : "=m"(got));
    assert_memory_equal(&got, &none, sizeof none);
}

/* `text` with its base in `b` and its stride / scale in `x`; tmm3 is loaded twice and compared. */
#define LOADS(text, b, x, offset, scale)                                                           \
    do {                                                                                           \
        uint64_t base_ = (uint64_t)(uintptr_t)from - (uint64_t)(int64_t)(offset);                  \
        __asm__ volatile("mov %0, %%" b "\n mov %1, %%" x "\n tileloadd " text                     \
                         ", %%tmm3" ::"r"(base_),                                                  \
                         "r"((uint64_t)stride / (scale))                                           \
                         : b, x, "memory");                                                        \
        check_loaded(from, stride);                                                                \
        __asm__ volatile("tilezero %%tmm3" ::: "memory");                                          \
        __asm__ volatile("mov %0, %%" b "\n mov %1, %%" x "\n tileloaddt1 " text                   \
                         ", %%tmm3" ::"r"(base_),                                                  \
                         "r"((uint64_t)stride / (scale))                                           \
                         : b, x, "memory");                                                        \
        check_loaded(from, stride);                                                                \
    } while (0)

static void check_loaded(const uint8_t *from, int64_t stride)
{
    tile got;
    store(&got, 3);
    for (int r = 0; r < 16; r++)
        for (int i = 0; i < 64; i++)
            assert_int_equal(got.row[r][i], r < 11 && i < 64 ? from[r * stride + i] : 0xee);
}

/* Every way in which a memory operand is written: with SIB always */
static void tiles_are_loaded_through_every_form_of_address(void **state)
{
    (void)state;
    need_amx();
    enum { BYTES = 1 << 16 };
    uint8_t *memory = mmap((void *)0x20000000, BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    for (size_t i = 0; i < BYTES; i++)
        memory[i] = (uint8_t)hone_rng_u64(1, 2, i);
    config c = shape(11, 64);
    configure(&c);
    const uint8_t *from = memory + 20000;
    int64_t stride = 128;
    LOADS("(%%rax,%%rcx,1)", "rax", "rcx", 0, 1);
    LOADS("(%%r13,%%r14,1)", "r13", "r14", 0, 1);
    LOADS("(%%r12,%%rbx,2)", "r12", "rbx", 0, 2);
    LOADS("-128(%%rdx,%%r12,4)", "rdx", "r12", -128, 4);
    LOADS("127(%%r8,%%r9,8)", "r8", "r9", 127, 8);
    LOADS("4096(%%rsi,%%rdi,1)", "rsi", "rdi", 4096, 1);
    LOADS("-4096(%%r15,%%r10,2)", "r15", "r10", -4096, 2);
    LOADS("-4096(%%r11,%%r13,1)", "r11", "r13", -4096, 1);
    stride = -1088;
    LOADS("64(%%r10,%%r8,1)", "r10", "r8", 64, 1);
    stride = 0;
    LOADS("(%%rax)", "rax", "rcx", 0, 1);
    LOADS("8(%%r13)", "r13", "rcx", 8, 1);
    /* without a base: the stride does not count for the first row */
    __asm__ volatile("tileloadd 0x20000040(,%0,4), %%tmm3" ::"r"((uint64_t)32) : "memory");
    check_loaded(memory + 64, 128);
    release();
    munmap(memory, BYTES);
}

/* Rows and columns beyond a tile's shape are zero when it is read with a larger one: not in memory.
 */
static void only_a_tiles_own_rows_and_columns_are_stored(void **state)
{
    (void)state;
    need_amx();
    config c = shape(3, 20);
    tile from, got;
    memset(&from, 0x55, sizeof from);
    configure(&c);
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm4" ::"r"(&from), "r"((int64_t)64) : "memory");
    store(&got, 4);
    for (int r = 0; r < 16; r++)
        for (int i = 0; i < 64; i++)
            assert_int_equal(got.row[r][i], r < 3 && i < 20 ? 0x55 : 0xee);
    configure(&c); /* zeroes all tiles */
    store(&got, 4);
    assert_int_equal(got.row[2][19], 0);
    release();
}

/* ---- products ------------------------------------------------------------------------------- */

typedef struct operands {
    tile c, a, b, got;
} operands;

static void fill(operands *o, uint64_t seed, bool bf16)
{
    for (size_t i = 0; i < 3 * sizeof(tile) / 4; i++) {
        uint64_t x = hone_rng_u64(seed, 0, i);
        uint32_t word = (uint32_t)x;
        float f = (float)ldexp((double)(int32_t)x, (int)(x >> 32) % 60 - 60);
        if (bf16 && i < sizeof(tile) / 4)
            memcpy(&word, &f, 4);
        if (bf16 && i >= sizeof(tile) / 4) /* exponents of both halves over most of the range */
            word = (word & 0xbf7fbf7fu) | (uint32_t)(x >> 40 & 1) << 30 |
                   (uint32_t)(x >> 41 & 1) << 14;
        if (bf16 && i % 37 == 0)
            word &= 0x807f807fu; /* subnormal or zero */
        memcpy((uint8_t *)o + 4 * i, &word, 4);
    }
}

#define PRODUCT(o, name, tc, ta, tb)                                                               \
    do {                                                                                           \
        __asm__ volatile("tileloadd (%0,%3,1), %%tmm" #tc "\n tileloadd (%1,%3,1), %%tmm" #ta "\n" \
                         "tileloadd (%2,%3,1), %%tmm" #tb "\n" name " %%tmm" #tb ", %%tmm" #ta     \
                         ", %%tmm" #tc ::"r"(&(o)->c),                                             \
                         "r"(&(o)->a), "r"(&(o)->b), "r"((int64_t)64)                              \
                         : "memory");                                                              \
        store(&(o)->got, tc);                                                                      \
    } while (0)

static float bf16_at(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return hone_bf16_to_f32(h);
}

static void check_bf16(const operands *o, int rows, int pairs)
{
    unsigned mode = hone_fp_mode_enter();
    for (int m = 0; m < rows; m++)
        for (int n = 0; n < 16; n++) {
            float e = 0.0f, odd = 0.0f, c, got;
            for (int k = 0; k < pairs; k++) {
                e = fmaf(bf16_at(o->a.row[m] + 4 * k), bf16_at(o->b.row[k] + 4 * n), e);
                odd = fmaf(bf16_at(o->a.row[m] + 4 * k + 2), bf16_at(o->b.row[k] + 4 * n + 2), odd);
            }
            memcpy(&c, o->c.row[m] + 4 * n, 4);
            memcpy(&got, o->got.row[m] + 4 * n, 4);
            c += e + odd;
            if (!(isnan(c) && isnan(got)) && hone_f32_bits(c) != hone_f32_bits(got)) {
                hone_fp_mode_leave(mode);
                fail_msg("[%d][%d] is %a, not %a", m, n, (double)got, (double)c);
            }
        }
    hone_fp_mode_leave(mode);
}

static void bf16_products_are_the_chains_of_the_definition(void **state)
{
    (void)state;
    need_amx();
    operands o;
    for (uint64_t i = 0; i < 200; i++) {
        int rows = 1 + (int)(i % 16), pairs = i % 3 ? 16 : 8;
        config c = shape(rows, 4 * pairs);
        unsigned mode = i % 2 ? hone_fp_mode_enter() : 0; /* the program's mode must not matter */
        fill(&o, i, true);
        configure(&c);
        PRODUCT(&o, "tdpbf16ps", 0, 4, 6);
        if (i % 2)
            hone_fp_mode_leave(mode);
        check_bf16(&o, rows, pairs);
        PRODUCT(&o, "tdpbf16ps", 3, 5, 7);
        check_bf16(&o, rows, pairs);
    }
    release();
}

static void check_bytes(const operands *o, int rows, int quads, bool a_sign, bool b_sign)
{
    for (int m = 0; m < rows; m++)
        for (int n = 0; n < 16; n++) {
            int64_t sum = 0;
            int32_t c, got;
            for (int k = 0; k < 4 * quads; k++) {
                uint8_t a = o->a.row[m][k], b = o->b.row[k / 4][4 * n + k % 4];
                sum += (a_sign ? (int8_t)a : (int)a) * (b_sign ? (int8_t)b : (int)b);
            }
            memcpy(&c, o->c.row[m] + 4 * n, 4);
            memcpy(&got, o->got.row[m] + 4 * n, 4);
            assert_int_equal((uint32_t)got, (uint32_t)(c + sum));
        }
}

static void byte_products_are_exact_and_wrap(void **state)
{
    (void)state;
    need_amx();
    operands o;
    for (uint64_t i = 0; i < 40; i++) {
        int rows = 1 + (int)(i % 16), quads = (int[]){16, 8, 4}[i % 3];
        config c = shape(rows, 4 * quads);
        fill(&o, i, false);
        configure(&c);
        PRODUCT(&o, "tdpbssd", 0, 4, 6);
        check_bytes(&o, rows, quads, true, true);
        PRODUCT(&o, "tdpbsud", 1, 5, 7);
        check_bytes(&o, rows, quads, true, false);
        PRODUCT(&o, "tdpbusd", 2, 4, 7);
        check_bytes(&o, rows, quads, false, true);
        PRODUCT(&o, "tdpbuud", 3, 5, 6);
        check_bytes(&o, rows, quads, false, false);
    }
    release();
}

/* ---- faults --------------------------------------------------------------------------------- */

/* What the child writes before a signal ends it; on the hardware nothing. */
static void check_fault(void (*act)(void), const char *message)
{
    int ends[2], status;
    char text[256] = "";
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGILL, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        act();
        _exit(0);
    }
    close(ends[1]);
    ssize_t n;
    for (size_t used = 0; (n = read(ends[0], text + used, sizeof text - 1 - used)) > 0;)
        used += (size_t)n;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    if (amx_emulated() && !strstr(text, message))
        fail_msg("'%s' instead of '%s'", text, message);
}

static void product_only(void)
{
    __asm__ volatile("tdpbssd %%tmm6, %%tmm4, %%tmm0" ::: "memory");
}

static void product_of(const config *c)
{
    configure(c);
    product_only();
}

static void with_palette_2(void)
{
    config c = shape(16, 64);
    c.palette = 2;
    configure(&c);
}

static void with_a_reserved_byte(void)
{
    config c = shape(16, 64);
    c.reserved[13] = 1;
    configure(&c);
}

static void with_17_rows(void)
{
    config c = shape(16, 64);
    c.rows[7] = 17;
    configure(&c);
}

static void with_no_columns(void)
{
    config c = shape(16, 64);
    c.row_bytes[0] = 0;
    configure(&c);
}

static void with_nine_tiles(void)
{
    config c = shape(16, 64);
    c.row_bytes[8] = 64;
    c.rows[8] = 16;
    configure(&c);
}

static void without_tile_4(void)
{
    config c = shape(16, 64);
    c.row_bytes[4] = c.rows[4] = 0;
    product_of(&c);
}

static void of_other_rows(void)
{
    config c = shape(16, 64);
    c.rows[4] = 15;
    product_of(&c);
}

static void of_other_columns(void)
{
    config c = shape(16, 64);
    c.row_bytes[6] = 60;
    product_of(&c);
}

static void of_another_k(void)
{
    config c = shape(16, 64);
    c.rows[6] = 8;
    product_of(&c);
}

static void after_release(void)
{
    config c = shape(16, 64);
    configure(&c);
    release();
    __asm__ volatile("tilezero %%tmm0" ::: "memory");
}

static void what_the_processor_faults_on_ends_the_program(void **state)
{
    (void)state;
    need_amx();
    check_fault(product_only, "without a configuration");
    check_fault(after_release, "without a configuration");
    check_fault(with_palette_2, "palette");
    check_fault(with_a_reserved_byte, "reserved");
    check_fault(with_17_rows, "too large");
    check_fault(with_no_columns, "rows or columns only");
    check_fault(with_nine_tiles, "more than 8");
    check_fault(without_tile_4, "not configured");
    check_fault(of_other_rows, "shapes");
    check_fault(of_other_columns, "shapes");
    check_fault(of_another_k, "shapes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_configuration_is_stored_as_it_was_loaded),
        cmocka_unit_test(tiles_are_loaded_through_every_form_of_address),
        cmocka_unit_test(only_a_tiles_own_rows_and_columns_are_stored),
        cmocka_unit_test(bf16_products_are_the_chains_of_the_definition),
        cmocka_unit_test(byte_products_are_exact_and_wrap),
        cmocka_unit_test(what_the_processor_faults_on_ends_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    print_message("SKIP AMX: another processor\n");
    return 77;
}

#endif
