/*
 * kernel - the arithmetic of a step: one table of functions per instruction set.
 *
 * hone_kernels_get(isa) gives the table in which every slot holds the strongest implementation that
 * `isa` and the sets below it have. All sets give the same bits (docs/numerics.md defines them); a
 * NaN is only promised to be a NaN. So results do not depend on how many rows a call has, how work
 * is split over threads (by panels of 16 outputs or by rows, never along K), or on the machine.
 *
 * Every thread that calls a kernel must be in hone_fp_mode_enter() (flush-to-zero; hw/isa.h).
 *
 * Ownership: nothing here allocates or frees; buffers and scratch come from the caller. Scratch,
 * packed data, activations and pages must be aligned to 64 bytes; scratch belongs to one thread at
 * a time. Threading: kernels are pure functions of their arguments.
 */
#ifndef HONE_KERNEL_KERNEL_H
#define HONE_KERNEL_KERNEL_H

#include "base/status.h"
#include "dtype/dtype.h"
#include "hw/isa.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The version of docs/numerics.md that this room implements. Whatever keeps bits (configurations,
 * caches, the registry) keeps this number beside them. */
enum { HONE_NUMERICS_VERSION = 1 };

enum {
    HONE_PANEL = 16,        /* output columns of a panel */
    HONE_K_BLOCK = 32,      /* elements along K whose sums E and O are formed together */
    HONE_KV_PAGE = 64,      /* positions of a page = keys of an attention tile */
    HONE_ATTN_PIECE = 1024, /* positions of a piece of the context */
    HONE_FEW_ROWS = 4       /* so few rows are one sweep over the weights, bound by memory */
};

/* ---- packed weights ------------------------------------------------------------------------- */

typedef enum hone_layout {
    HONE_LAYOUT_F32,  /* [k_pad][16] float */
    HONE_LAYOUT_BF16, /* [k_pad/2][16][2] bfloat16 */
    HONE_LAYOUT_I8,   /* [k_pad][16] int8, scaled by group */
    HONE_LAYOUT_U4,   /* [k_pad/8][16][2] uint16: nibble i of word (column, parity) = code of
                         k = 8*j + 2*i + parity; value = table[code], scaled by group */
    /* Planes (layout.h): per block of 32 k the low bits of the codes, then the high ones; value =
       code + low, scaled by group */
    HONE_LAYOUT_U2, /* 2 bits */
    HONE_LAYOUT_U3, /* 2 + 1 */
    HONE_LAYOUT_U5, /* 4 + 1 */
    HONE_LAYOUT_U6, /* 4 + 2 */
    HONE_LAYOUT_COUNT
} hone_layout;

/* A weight matrix W[n][k] (y = x W^T), packed once. Panel p holds columns 16p..16p+15 of the
 * result, contiguously: codes, then scales [ceil(k_pad/group)][16], then mins likewise; of nested
 * scales then the super-scales [ceil(k_pad/256)][16] and those of the mins. Padded columns and the
 * padded tail of K are zero (of codes that do not mean 0: scale and min 0 in padded columns, the
 * activation 0 in the tail of K). */
typedef struct hone_packed {
    hone_layout layout;
    size_t n, k;
    size_t k_pad;    /* k rounded up to a multiple of 32 */
    size_t n_panels; /* ceil(n / 16) */
    size_t group;    /* elements of K per scale: 16, a multiple of 32, or k_pad = one per column */
    int scale_bytes; /* of a scale or min: 2 (float16), 4 (float32), 1 (int8, times a float16 for
                        every 256 elements: the product is exact in float32), 0 = no scales */
    bool has_min;
    float table[16];     /* U4: value of each code, rounded to bfloat16 */
    float low;           /* planes: value of code 0 */
    size_t panel_bytes;  /* from one panel to the next, a multiple of 64 */
    size_t scale_offset; /* within a panel */
    size_t min_offset, super_offset, min_super_offset;
    const uint8_t *data; /* n_panels * panel_bytes, 64-byte aligned; set by the owner */
} hone_packed;

/* The rows of a matrix W[n][k] as the packer takes them, in whatever tensors and codes they lie.
 * Both calls give elements [k0, k0 + count) of a row, k0 a multiple of 256, count 256 or what is
 * left; false if the bytes make no sense. scales and mins: of the groups that the elements begin or
 * continue, the first being k0 / group (group 0: one). If coding.nested, supers gives the factors
 * of which the scales and mins of elements [k0, k0 + 256) are multiples by -128..127. */
typedef struct hone_rows hone_rows;
struct hone_rows {
    hone_coding coding;
    bool (*decode)(const hone_rows *s, size_t row, size_t k0, size_t count, float *out);
    bool (*codes)(const hone_rows *s, size_t row, size_t k0, size_t count, int8_t *codes,
                  float *scales, float *mins); /* NULL if coding.bits == 0 */
    bool (*supers)(const hone_rows *s, size_t row, size_t k0, float *scale,
                   float *min); /* NULL unless coding.nested */
    const void *context;        /* of the two; the next three are the stored rows' */
    hone_dtype dtype;
    const uint8_t *data;
    size_t row_bytes;
};
/* Rows of k elements stored as t, one after the other from data on. False if k is no multiple of
 * t's block. */
bool hone_rows_init(hone_rows *s, hone_dtype t, const void *data, size_t k);

/* The layout that holds this coding exactly: 4-bit codes -> U4 (table values that are no bfloat16
 * numbers, as NF4's, are rounded), 2, 3, 5 and 6 bits -> their planes, others -> I8; plain numbers
 * and groups that no kernel scales (neither 16 nor a multiple of 32 nor the row) -> BF16, rounded;
 * or F32 for everything when f32 is true. */
hone_layout hone_layout_for(const hone_coding *c, bool f32);

/* Fills *w (data NULL) for a matrix [n][k] of this coding. The packed size is hone_packed_bytes.
 * Errors: UNSUPPORTED (the layout cannot hold it), LIMIT (size overflow). */
HONE_CHECKED hone_status hone_packed_plan(hone_layout layout, const hone_coding *c, size_t n,
                                          size_t k, hone_packed *w);
size_t hone_packed_bytes(const hone_packed *w);
/* The same of numbers (F32 or BF16 layout) whose sizes are known to be in order. */
hone_packed hone_packed_plain(hone_layout layout, size_t n, size_t k);
/* Numbers [from, from + k) along K of such a matrix (from a multiple of 32; data may be NULL), and
 * the byte of each panel where they begin */
hone_packed hone_packed_part(const hone_packed *m, size_t from, size_t k);
size_t hone_packed_part_at(const hone_packed *m, size_t from);

/* Packs panels [panel0, panel1) into dst, the start of the whole packed matrix. Panels are
 * independent: spread them over threads. False if the rows could not be read. */
HONE_CHECKED bool hone_pack_panels(const hone_packed *w, const hone_rows *rows, size_t panel0,
                                   size_t panel1, uint8_t *dst);

/* Row `row` of W as floats, out[k]: the embedding of a token from a tied table. Scaled layouts:
 * fma(scale, code, min). */
void hone_unpack_row(const hone_packed *w, size_t row, float *out);
/* The same of rows [n0, n1) and their elements [k0, k1): out[n - n0][k - k0], rows ld apart. n0 and
 * k0 are multiples of 16. */
void hone_unpack_block(const hone_packed *w, size_t n0, size_t n1, size_t k0, size_t k1, float *out,
                       size_t ld);

const char *hone_layout_name(hone_layout layout); /* "bf16", "int8"... */

/* ---- activations ---------------------------------------------------------------------------- */

enum {
    HONE_ACT_F32 = 1,    /* keep float32 (for F32 layouts); otherwise rounded to bfloat16 */
    HONE_ACT_SUMS = 2,   /* with the sums that weights with a minimum need */
    HONE_ACT_SUMS16 = 4, /* the same for groups of 16 */
    HONE_ACT_NUMBERS = 8 /* the numbers are read, not only 8-bit codes with a scale per row */
};

typedef struct hone_act {
    size_t rows, k, k_pad;
    int flags;
    size_t ld;        /* floats from row to row of f32: more than k_pad, so that rows a power of two
                         apart do not compete for the same lines of the cache */
    float *f32;       /* [rows][ld], rounded unless HONE_ACT_F32; zero in the tail; or NULL: */
    uint16_t *half;   /* [rows][ld] bfloat16 instead, of a table with products BF16_DOT; NULL, too,
                         where many rows are only read as tiles */
    uint16_t *bf16;   /* [rows/tile_rows][k_pad/32][tile_rows][32], the last rows unset where there
                         are none; NULL if the table does not want it */
    size_t tile_rows; /* 16 of at most 16 rows, otherwise 32 */
    bool near;        /* what products make of it is read at once: never written past the caches */
    float *sums;      /* [rows][k_pad/32]: E + O of each block with weights 1; NULL without SUMS */
    float *sums16;    /* [rows][k_pad/16]: the same in blocks of 16; NULL without SUMS16 */
    /* Only of a table with int8 products, otherwise NULL: */
    const struct hone_kernels *kt;
    int8_t *codes8; /* row r at codes8 + r * ld8, in the order of kernel/int8.h; NULL, with f32,
                       bf16 and the sums, too, where many rows are only read as tiles */
    size_t ld8;
    uint8_t *tiles8; /* [rows/tile_rows][ceil(k_pad/64)][tile_rows][64]: the same codes, the last
                        rows and k unset where there are none; NULL if the table does not want it */
    bool row_scales; /* scales8 are all those of the row (the first one alone is set in tiles) */
    float *scales8;  /* [rows][k_pad/32] */
    int32_t *sums8, *sums8_16; /* [rows][k_pad/32] and [rows][k_pad/16]: sums of codes */
    /* Only of a single row, and of a table whose act_whole is set, otherwise NULL: the row as whole
     * numbers (kernel/whole.h). */
    int8_t *digits;
    struct hone_whole *whole; /* [k_pad/32] */
} hone_act;

typedef struct hone_kernels hone_kernels;

/* The arithmetic of products (docs/numerics.md): EXACT is the definition; the others are
 * techniques, definitions of their own with a cost in quality. */
#define HONE_PRODUCTS_LIST(X)                                                                      \
    X(EXACT, "exact")               /* float32 sums of bfloat16 activations */                     \
    X(INT8, "int8")                 /* activations in 8 bits, a scale per 32 of them */            \
    X(INT8_ROW, "int8-row")         /* a scale per row */                                          \
    X(BF16_DOT, "bf16-dot")         /* the chains of VDPBF16PS */                                  \
    X(BF16_WEIGHTS, "bf16-weights") /* codes times their scale, rounded to bfloat16 */

typedef enum hone_products {
#define HONE_PRODUCTS_ENUM(id, name) HONE_PRODUCTS_##id,
    HONE_PRODUCTS_LIST(HONE_PRODUCTS_ENUM)
#undef HONE_PRODUCTS_ENUM
        HONE_PRODUCTS_COUNT
} hone_products;

const char *hone_products_name(hone_products p);

/* The flags that products with w need. One act may serve several weights: or their flags, but F32
 * layouts never share one with others. Who calls hone_act_at adds HONE_ACT_NUMBERS. */
int hone_act_flags(const hone_packed *w);
/* Enough for so many rows and for fewer, with these flags or fewer */
size_t hone_act_bytes(const hone_kernels *kt, size_t rows, size_t k, int flags);
float hone_act_at(const hone_act *a, size_t row, size_t k); /* an element, as it was rounded */
/* Lays *act out in mem (64-byte aligned; of the size that it gives, hone_act_bytes at most). Then
 * kt->act_pack(act, x, ldx, row0, row1) fills rows [row0, row1) from x[row][0..k), row r at x + r *
 * ldx. */
size_t hone_act_init(const hone_kernels *kt, size_t rows, size_t k, int flags, void *mem,
                     hone_act *act);

/* ---- products ------------------------------------------------------------------------------- */

/* y[r * ldy + c] = sum over k of act[r][k] * W[c][k] (+ bias[c]) for rows [row0, row1) and the
 * columns of panels [panel0, panel1) that are < n; y is the start of the whole result, bias[n] may
 * be NULL. */
void hone_product(const hone_kernels *kt, const hone_packed *w, const hone_act *a, size_t row0,
                  size_t row1, size_t panel0, size_t panel1, float *y, size_t ldy,
                  const float *bias, void *scratch);
/* Scratch of one thread for any product, a multiple of 64. */
size_t hone_product_scratch_bytes(void);

/* What a call needs at least, for spans. */
typedef struct hone_cost {
    double flops, bytes;
} hone_cost;
hone_cost hone_product_cost(const hone_packed *w, size_t rows);

/* ---- keys and values ------------------------------------------------------------------------ */

typedef enum hone_kv_format {
    HONE_KV_F32,
    HONE_KV_BF16,
    HONE_KV_I8,
    HONE_KV_I4,
    HONE_KV_E4M3,
    HONE_KV_E5M2,
    HONE_KV_COUNT
} hone_kv_format;

/* A page holds 64 positions, at absolute multiples of 64, of one layer and one KV head. Keys: 4
 * panels of 16 keys along the head, each in the panel order of the weights (F32, BF16, U4 for 4
 * bits, I8 for 8); values: panels of 16 dimensions along the 64 keys. Then scales: one float per
 * key, 64, and one per value, 64; of 4 bits a float16 for every 32 dimensions of each (layout.h). A
 * page must be zeroed before its first use. */
typedef struct hone_kv {
    hone_kv_format format;
    size_t k_dim, v_dim; /* of one head; at most HONE_HEAD_MAX */
} hone_kv;

enum { HONE_HEAD_MAX = 512 };

const char *hone_kv_format_name(hone_kv_format f); /* "f32", "int8", "fp8_e4m3"... */
size_t hone_kv_page_bytes(const hone_kv *kv);      /* a multiple of 64 */
/* kt->kv_write(kv, page, slot 0..63, k[k_dim], v[v_dim]) */

/* ---- attention ------------------------------------------------------------------------------ */

/* The query heads that share one KV head, of some consecutive tokens of one sequence. Row r is head
 * r % group of token r / group: its query starts at q + (r / group) * ldq + (r % group) * k_dim,
 * its output at out + (r / group) * ldo + (r % group) * v_dim. */
typedef struct hone_attn {
    hone_kv kv;
    size_t tokens, group;
    const float *q;
    size_t ldq;
    const int32_t *last; /* [tokens]: last position that the token sees; -1 = none (output zero) */
    int32_t window;      /* the token sees (last - window, last]; 0 = all */
    /* [tokens]: first position that the token sees, instead of a window; or NULL */
    const int32_t *first;
    float scale;              /* of the scores, 1/sqrt(k_dim) */
    float softcap;            /* then s -> softcap * tanh(s / softcap); 0 = none */
    const void *const *pages; /* [last / 64]: page of positions 64 i...; unseen ones may be NULL */
    float *out;
    size_t ldo;
    /* [tokens][group][2], tokens lds apart: minus the maximum of a row's scores, and 1 / the sum of
     * the exponentials of scores less the maximum (0, 0 of a row that sees no key); or NULL */
    float *stats;
    size_t lds;
    /* Not 0: what is called tokens are KV heads of one token, one after the other, that all see
     * what last[0] says; the pages of each lie so many bytes after the former's. They go through
     * the context together, so that pages side by side are read one after the other. */
    size_t head_step;
} hone_attn;

/* The whole attention of rows [row0, row1) of tokens * group. */
void hone_attention(const hone_kernels *kt, const hone_attn *t, size_t row0, size_t row1,
                    void *scratch);
size_t hone_attn_scratch_bytes(const hone_kv *kv);

/* The same in pieces of 1024 positions that threads can share: kt->attn_piece for every piece in
 * [*first, *end) into a partial result of its own, then, in the order of the pieces, kt->attn_merge
 * of pieces first+1... into the first's, then kt->attn_finish. The bits are those of
 * hone_attention. A partial result is [row - row0][hone_attn_partial_floats]; *first == *end if no
 * row sees a key. attn_piece's scratch: hone_attn_piece_scratch_bytes. */
void hone_attn_pieces(const hone_attn *t, size_t *first, size_t *end);
size_t hone_attn_piece_scratch_bytes(const hone_kv *kv);
size_t
hone_attn_partial_floats(const hone_kv *kv); /* per row: v_dim padded to 16, then m, l; pad */
hone_cost hone_attn_cost(const hone_attn *t);

/* Backward of attention: one query head over a sequence from position 0, whose token i sees the
 * keys (i - window, i], without a window [0, i]. With z = scale q k^T (capped: cap tanh(z / cap))
 * and out = p v (Dao et al., arXiv:2205.14135, appendix B.4):
 *
 *     p = exp(z + shift) inv        dp = d_out v^T        ds = p (dp - mean) scale (1 - (z /
 * cap)^2) dv = p^T d_out                dk = ds^T q           dq = ds k
 */
typedef struct hone_attn_back {
    size_t n, dim;          /* tokens; of the head */
    const float *q, *d_out; /* [n][dim], rows ldq apart, as of dq */
    const float *k, *v;     /* [n][dim], rows ldk apart, as of dk and dv */
    size_t ldq, ldk;
    const float *shift, *inv; /* [n]: hone_attn.stats of each query */
    const float *mean;        /* [n]: sum of d_out * out, which is that of p * dp */
    float scale, softcap;
    size_t window; /* less than n, or 0 = none */
    float *dq, *dk, *dv;
    bool more; /* dk and dv are added to: not the first head of its group */
    bool f32;  /* products in float32, not bfloat16 */
} hone_attn_back;

enum { HONE_ATTN_BACK_KEYS = 64 }; /* that go through their queries together */

/* One behind the last query that sees one of the keys from `key` (a multiple of that) on */
size_t hone_attn_back_end(const hone_attn_back *t, size_t key);

/* ---- the table ------------------------------------------------------------------------------ */

/* A step of AdamW (Loshchilov and Hutter, arXiv:1711.05101): the gradient times grad_scale enters
 * the means m and v; p = p * keep - rate * m / (sqrt(v) * v_scale + eps). The caller puts the bias
 * corrections in: keep = 1 - lr * decay, rate = lr / (1 - beta1^t), v_scale = 1 / sqrt(1 -
 * beta2^t). */
typedef struct hone_adamw {
    float grad_scale, beta1, beta2, keep, rate, v_scale, eps;
} hone_adamw;

#define X(ret, name, args, text) typedef ret hone_##name##_fn args;
#include "kernel/kernels.def"
#include "kernel/kernels_back.def"
#undef X

/* Semantics beyond the names in kernels.def:
 * numbers   elements of the padded tail of K and padded columns are written, too.
 * act_part  as act_pack, of elements [k0, k1) alone, in whole blocks of 32; those of row0 are at x.
 *           Of exact tables, and not of a single row.
 * rmsnorm   x[rows][n] at ldx, y likewise (may be x); weight[n] or NULL (= ones).
 * rope      x[heads][head_dim]; cos, sin [rot_dim / 2]; pairs (i, i + rot_dim/2), or (2i, 2i+1) if
 *           interleaved; the rest of the head stays.
 * layernorm weight and bias [n] or NULL; y may be x.
 * silu_mul and the other activations: y may be a or b; b NULL = without. exp_sum: y may be x. max
 * of n = 0 is -inf. argmax    NaNs are never chosen; 0 if there is nothing else.
 * pack_*    into dst, the start of the packed matrix; data of w is not looked at.
 * *norm_back x, dy, dx [rows][n], rows one after the other; dx may be dy; dw[rows][n] = dy times
 * the normalised x (to be summed over rows: the weight's gradient), or NULL. *_back of activations:
 * b and db NULL = without; da may be dy or a. softmax_back: softmax_back_16 in
 * cpu/generic/backward.h element by element; cap 0 = none; p may be s, ds may be dp. attn_back: of
 * the layout f32 says, in scratch of attn_back_bytes; grows with n and dim. */
struct hone_kernels {
    hone_isa isa;
    hone_products products;
    bool act_bf16; /* act_pack also writes bf16 (for tiles) */
    /* So many rows and more are written as tiles alone, for product_many or, of codes with a scale
     * per row, product_int8; 0 = never */
    uint8_t tiles_alone;
    bool act_tiles8; /* and act_int8 tiles8, where there is one scale per row */
    /* act_pack also makes whole numbers of single rows, for product_whole, which has the bits of
     * product_few and takes its place for one row of these layouts. */
    bool act_whole, whole[HONE_LAYOUT_COUNT];
    /* Up to so many rows hone_product takes product_few, straight from the codes; more go to
     * product_many. Same bits: what is faster was found by measurement (engine/variants.h measures
     * it on the machine at hand). At least HONE_FEW_ROWS. */
    uint8_t few_rows[HONE_LAYOUT_COUNT];
    /* Panels that a call of product_many should have at least: the activations of all rows come
     * from beyond L2 for each call. A multiple of 4. */
    uint8_t many_panels;
#define X(ret, name, args, text) hone_##name##_fn *name;
#include "kernel/kernels.def"
#include "kernel/kernels_back.def"
#undef X
};

/* The table of `isa` over the weaker ones. isa must be supported. Never NULL. */
const hone_kernels *hone_kernels_get(hone_isa isa);

/* The same table for other products. hone_products_supported: whether isa has fast ones; only
 * BF16_DOT asks for an instruction (AVX512_BF16) that a set may be without, and works without it
 * too, slowly. */
const hone_kernels *hone_kernels_with(hone_isa isa, hone_products products);
bool hone_products_supported(hone_isa isa, hone_products products);

enum { HONE_TURNED = 128 };
/* Columns [k0, k0 + w->n) of packed W[n][k] (`from`) as the second factor w = W'[w->n][n] of
 * dx = dy W, packed at dst: layouts F32 and BF16 (rounded). k0 is a multiple of 32, w->n at most
 * HONE_TURNED. */
void hone_pack_turned(const hone_kernels *kt, const hone_packed *from, size_t k0,
                      const hone_packed *w, uint8_t *dst);

#endif
