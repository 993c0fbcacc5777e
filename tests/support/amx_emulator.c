#include "amx_emulator.h"

#include "hw/isa.h"
#include "hw/isa_detect.h"

/* Linked with --wrap=hone_isa_detect */
unsigned real_detect(void) __asm__("__real_hone_isa_detect");
unsigned wrapped_detect(void) __asm__("__wrap_hone_isa_detect");

#if defined(__x86_64__)

#include <immintrin.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

/* The operand of LDTILECFG (Intel's Software Developer's Manual, volume 2) */
typedef struct config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} config;

static _Thread_local struct {
    config c; /* palette 0: not configured */
    uint8_t data[TILES][ROWS][ROW_BYTES];
} tiles;

static int held; /* threads whose palette is not 0 */
static bool emulating;

/* One decoded instruction: VEX with three bytes, map 0F38, L 0, W 0 */
typedef struct instruction {
    const uint8_t *at;
    size_t length;
    unsigned opcode, prefix; /* 0x49, 4b, 5c, 5e; none, 66, f3, f2 as 0..3 */
    unsigned reg, rm, vvvv;
    bool memory, sib;
    uint64_t address, stride;
} instruction;

static void say(const char *text)
{
    ssize_t n = write(STDERR_FILENO, text, strlen(text));
    (void)n;
}

static _Noreturn void fault(const instruction *i, const char *what)
{
    char line[64] = "";
    say("AMX: ");
    say(what);
    say(":");
    for (size_t b = 0; b < (i->length ? i->length : 8); b++) {
        static const char hex[] = "0123456789abcdef";
        line[3 * b] = ' ';
        line[3 * b + 1] = hex[i->at[b] >> 4];
        line[3 * b + 2] = hex[i->at[b] & 15];
        line[3 * b + 3] = 0;
    }
    say(line);
    say("\n");
    abort();
}

/* ---- decoding ------------------------------------------------------------------------------- */

static uint64_t register_of(const greg_t *r, unsigned n)
{
    static const int at[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                             REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                             REG_R12, REG_R13, REG_R14, REG_R15};
    return (uint64_t)r[at[n]];
}

/* The memory operand, from the byte after ModRM on; x and b are the bits of the prefix. */
static void decode_address(instruction *i, const greg_t *r, unsigned mod, unsigned x, unsigned b)
{
    const uint8_t *p = i->at + 5;
    bool base = true, relative = false;
    unsigned base_of = i->rm | b << 3;
    if (i->rm == 4) {
        unsigned sib = *p++, index = (sib >> 3 & 7) | x << 3;
        base_of = (sib & 7) | b << 3;
        base = (sib & 7) != 5 || mod != 0;
        i->sib = true;
        i->stride = index == 4 ? 0 : register_of(r, index) << (sib >> 6);
    } else if (i->rm == 5 && mod == 0) {
        base = false, relative = true;
    }
    i->address = base ? register_of(r, base_of) : 0;
    int32_t wide = 0;
    if (mod == 1) {
        wide = (*p++ ^ 128) - 128;
    } else if (mod == 2 || !base) {
        memcpy(&wide, p, 4);
        p += 4;
    }
    i->address += (uint64_t)(int64_t)wide;
    i->length = (size_t)(p - i->at);
    if (relative)
        i->address += (uint64_t)(uintptr_t)p;
}

/* False if it is none of AMX's */
static bool decode(const uint8_t *at, const greg_t *r, instruction *i)
{
    *i = (instruction){.at = at};
    if (at[0] != 0xc4 || (at[1] & 31) != 2 || (at[2] & 0x84) != 0)
        return false;
    i->opcode = at[3];
    if (i->opcode != 0x49 && i->opcode != 0x4b && i->opcode != 0x5c && i->opcode != 0x5e)
        return false;
    unsigned mod = at[4] >> 6;
    i->prefix = at[2] & 3;
    i->reg = (at[4] >> 3 & 7) | (at[1] & 0x80 ? 0 : 8);
    i->rm = at[4] & 7;
    i->vvvv = ~(unsigned)at[2] >> 3 & 15;
    i->memory = mod != 3;
    i->length = 5;
    if (i->memory)
        decode_address(i, r, mod, at[1] & 0x40 ? 0 : 1, at[1] & 0x20 ? 0 : 1);
    else
        i->rm |= at[1] & 0x20 ? 0 : 8;
    return true;
}

/* ---- the instructions ----------------------------------------------------------------------- */

static void set_palette(uint8_t palette)
{
    __atomic_fetch_add(&held, (palette != 0) - (tiles.c.palette != 0), __ATOMIC_RELAXED);
    tiles.c.palette = palette;
}

static void release(void)
{
    set_palette(0);
    memset(&tiles, 0, sizeof tiles);
}

static void load_config(const instruction *i)
{
    config c;
    memcpy(&c, (const void *)(uintptr_t)i->address, sizeof c);
    if (c.palette == 0) {
        release();
        return;
    }
    if (c.palette != 1)
        fault(i, "LDTILECFG with a palette that there is not");
    if (c.start_row)
        fault(i, "LDTILECFG with a start row, which nothing here should use");
    for (int k = 0; k < 14; k++)
        if (c.reserved[k])
            fault(i, "LDTILECFG with reserved bytes that are not zero");
    for (int t = 0; t < 16; t++) {
        if (t >= TILES && (c.rows[t] || c.row_bytes[t]))
            fault(i, "LDTILECFG of more than 8 tiles");
        if (c.rows[t] > ROWS || c.row_bytes[t] > ROW_BYTES)
            fault(i, "LDTILECFG of a tile that is too large");
        if (!c.rows[t] != !c.row_bytes[t])
            fault(i, "LDTILECFG of a tile with rows or columns only");
    }
    set_palette(c.palette);
    tiles.c = c;
    memset(tiles.data, 0, sizeof tiles.data);
}

static void check_tile(const instruction *i, unsigned t)
{
    if (!tiles.c.palette)
        fault(i, "a tile instruction without a configuration in this thread");
    if (t >= TILES)
        fault(i, "a tile beyond the eighth");
    if (!tiles.c.rows[t])
        fault(i, "a tile that is not configured");
}

static void check_memory(const instruction *i)
{
    if (!i->sib || i->vvvv)
        fault(i, "an encoding that the processor does not have");
    check_tile(i, i->reg);
}

static void load_tile(const instruction *i)
{
    check_memory(i);
    memset(tiles.data[i->reg], 0, sizeof tiles.data[0]);
    for (unsigned r = 0; r < tiles.c.rows[i->reg]; r++)
        memcpy(tiles.data[i->reg][r], (const void *)(uintptr_t)(i->address + r * i->stride),
               tiles.c.row_bytes[i->reg]);
}

static void store_tile(const instruction *i)
{
    check_memory(i);
    for (unsigned r = 0; r < tiles.c.rows[i->reg]; r++)
        memcpy((void *)(uintptr_t)(i->address + r * i->stride), tiles.data[i->reg][r],
               tiles.c.row_bytes[i->reg]);
}

/* Operands of a product: reg += rm x vvvv */
static void check_product(const instruction *i)
{
    unsigned c = i->reg, a = i->rm, b = i->vvvv;
    if (i->memory)
        fault(i, "an encoding that the processor does not have");
    check_tile(i, c);
    check_tile(i, a);
    check_tile(i, b);
    if (c == a || c == b || a == b)
        fault(i, "a product of a tile with itself");
    if (tiles.c.row_bytes[c] % 4 || tiles.c.row_bytes[a] % 4 || tiles.c.row_bytes[b] % 4)
        fault(i, "a product of tiles whose rows are no multiple of four bytes");
    if (tiles.c.rows[c] != tiles.c.rows[a] || tiles.c.row_bytes[c] != tiles.c.row_bytes[b] ||
        tiles.c.row_bytes[a] / 4 != tiles.c.rows[b])
        fault(i, "a product of tiles whose shapes do not fit");
}

/* Flush-to-zero and denormals-are-zero whatever the program's mode; the sums over even and odd k
 * apart, both from zero, then their sum is added. */
__attribute__((target("avx512f"), noinline)) static void product_bf16(const instruction *i)
{
    unsigned pairs = tiles.c.rows[i->vvvv];
    _mm_setcsr(0x1f80u | 0x8000u | 0x40u);
    for (unsigned m = 0; m < tiles.c.rows[i->reg]; m++) {
        __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps(), sum;
        for (unsigned k = 0; k < pairs; k++) {
            uint32_t x;
            memcpy(&x, tiles.data[i->rm][m] + 4 * k, 4);
            __m512i w = _mm512_loadu_si512(tiles.data[i->vvvv][k]);
            __m512i high = _mm512_set1_epi32((int32_t)0xffff0000u), y = _mm512_set1_epi32((int)x);
            even = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(y, 16)),
                                   _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)), even);
            odd = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(y, high)),
                                  _mm512_castsi512_ps(_mm512_and_si512(w, high)), odd);
        }
        sum = _mm512_loadu_ps(tiles.data[i->reg][m]);
        sum = _mm512_add_ps(sum, _mm512_add_ps(even, odd));
        __mmask16 columns = (__mmask16)((1u << tiles.c.row_bytes[i->reg] / 4) - 1);
        _mm512_mask_storeu_ps(tiles.data[i->reg][m], columns, sum);
    }
}

/* Byte `of` (0..3) of each dword of w, with its sign or without */
__attribute__((target("avx512f"))) static __m512i byte_of(__m512i w, unsigned of, bool sign)
{
    w = _mm512_sllv_epi32(w, _mm512_set1_epi32((int)(24 - 8 * of)));
    return sign ? _mm512_srai_epi32(w, 24) : _mm512_srli_epi32(w, 24);
}

/* 32-bit sums, which wrap */
__attribute__((target("avx512f"), noinline)) static void product_bytes(const instruction *i)
{
    bool a_sign = i->prefix >= 2, b_sign = i->prefix % 2; /* UU, US, SU, SS */
    for (unsigned m = 0; m < tiles.c.rows[i->reg]; m++) {
        __m512i sum = _mm512_loadu_si512(tiles.data[i->reg][m]);
        for (unsigned k = 0; k < tiles.c.rows[i->vvvv]; k++) {
            int32_t x;
            memcpy(&x, tiles.data[i->rm][m] + 4 * k, 4);
            __m512i y = _mm512_set1_epi32(x), w = _mm512_loadu_si512(tiles.data[i->vvvv][k]);
            for (unsigned of = 0; of < 4; of++)
                sum = _mm512_add_epi32(
                    sum, _mm512_mullo_epi32(byte_of(y, of, a_sign), byte_of(w, of, b_sign)));
        }
        __mmask16 columns = (__mmask16)((1u << tiles.c.row_bytes[i->reg] / 4) - 1);
        _mm512_mask_storeu_epi32(tiles.data[i->reg][m], columns, sum);
    }
}

/* Opcode 49: configurations, TILERELEASE, TILEZERO */
static void execute_49(const instruction *i)
{
    if (i->vvvv)
        fault(i, "an encoding that the processor does not have");
    if (i->memory && i->reg == 0 && i->prefix == 0) {
        load_config(i);
    } else if (i->memory && i->reg == 0 && i->prefix == 1) {
        memcpy((void *)(uintptr_t)i->address, &tiles.c, sizeof tiles.c);
    } else if (!i->memory && i->prefix == 0 && i->reg == 0 && i->rm == 0) {
        release();
    } else if (!i->memory && i->prefix == 3 && i->rm == 0) {
        check_tile(i, i->reg);
        memset(tiles.data[i->reg], 0, sizeof tiles.data[0]);
    } else {
        fault(i, "an instruction that is not known");
    }
}

static void execute(const instruction *i)
{
    if (i->opcode == 0x49) {
        execute_49(i);
    } else if (i->opcode == 0x4b && i->memory && i->prefix % 2) { /* TILELOADD, TILELOADDT1 */
        load_tile(i);
    } else if (i->opcode == 0x4b && i->memory && i->prefix == 2) {
        store_tile(i);
    } else if (i->opcode == 0x5c && i->prefix == 2) { /* TDPBF16PS */
        check_product(i);
        product_bf16(i);
    } else if (i->opcode == 0x5e) { /* TDPBUUD, TDPBUSD, TDPBSUD, TDPBSSD */
        check_product(i);
        product_bytes(i);
    } else {
        fault(i, "an instruction that is not known");
    }
}

/* ---- traps ---------------------------------------------------------------------------------- */

/* Tile instructions mostly come one after the other: all of a run are done in one trap. */
static void on_illegal(int number, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    instruction i;
    (void)number;
    (void)info;
    if (!decode((const uint8_t *)(uintptr_t)r[REG_RIP], r, &i))
        fault(&i, "an illegal instruction that is none of AMX's");
    do {
        execute(&i);
        r[REG_RIP] += (greg_t)i.length;
    } while (decode((const uint8_t *)(uintptr_t)r[REG_RIP], r, &i));
}

/* cmocka takes SIGILL for itself whenever a test begins: it does not get it. */
__attribute__((visibility("default"))) sighandler_t signal(int number, sighandler_t handler)
{
    struct sigaction now = {.sa_handler = handler, .sa_flags = SA_RESTART}, former;
    if (emulating && number == SIGILL)
        return SIG_DFL;
    return sigaction(number, &now, &former) == 0 ? former.sa_handler : SIG_ERR;
}

static void start(void)
{
    struct sigaction trap = {.sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO};
    if (emulating)
        return;
    emulating = true;
    sigaction(SIGILL, &trap, NULL);
    printf("AMX: emulated, this processor has none\n");
    fflush(stdout);
}

unsigned wrapped_detect(void)
{
    const unsigned amx = 1u << HONE_ISA_AMX_BF16 | 1u << HONE_ISA_AMX_INT8;
    unsigned sets = real_detect();
    if (sets & amx)
        return sets;
    if (!(sets >> HONE_ISA_AVX512_VNNI & 1) || !__builtin_cpu_supports("avx512bf16")) {
        printf("SKIP AMX: needs AVX-512 with VNNI and BF16\n");
        return sets;
    }
    start();
    return sets |
           1u << HONE_ISA_AMX_INT8; /* whose table has all of amx-bf16's slots: once is enough */
}

bool amx_emulated(void)
{
    return hone_isa_supported(HONE_ISA_AMX_INT8) && emulating;
}

int amx_tiles_held(void)
{
    config c;
    if (!hone_isa_supported(HONE_ISA_AMX_INT8))
        return 0;
    if (emulating)
        return __atomic_load_n(&held, __ATOMIC_RELAXED);
    __asm__ volatile("sttilecfg %0" : "=m"(c));
    return c.palette != 0;
}

#else

unsigned wrapped_detect(void)
{
    return real_detect();
}

bool amx_emulated(void)
{
    return false;
}

int amx_tiles_held(void)
{
    return 0;
}

#endif
