/*
 * order - in which order products of many rows go through a matrix, whatever the layout: 256 rows x
 * 16 panels x a span of K at a time. The activations of a part and the results C (256 KB, dense)
 * stay in L2 meanwhile, weights pass through once, and y is written past the caches: its lines lie
 * a row apart and would be fetched first. Whoever does ends with _mm_sfence: it comes before what
 * the caller writes next.
 */
#ifndef HONE_KERNEL_AMX_ORDER_H
#define HONE_KERNEL_AMX_ORDER_H

#include "kernel/cpu/amx/scaled.h"

enum { ROW_BLOCK = 256, PANEL_BLOCK = 16 };
enum { PART_SUMS = ROW_BLOCK * PANEL_BLOCK * 16 };
enum { STREAM_BYTES = 512 << 10 }; /* results larger than this are written past the caches */

/* What is worked on: rows x panels x steps along K (of 64 bytes of a row of tiles, as a rule). */
typedef struct part {
    size_t row, rows; /* row: a multiple of the tiles' rows */
    size_t panel0, panel1;
    size_t from, to, steps; /* steps: of the whole row */
    size_t next_row;        /* the part that follows begins here, and at step `next_from` */
    size_t next_from;
    size_t ldc; /* sums from panel to panel of c */
    float *c;   /* [panels][rows][16], up to `from` */
} part;

typedef void part_fn(const tile_call *v, void *arg, const part *j);

/* c: PART_SUMS floats. A row has `steps` of K, of which a part takes `span`. */
static void in_parts(const tile_call *v, size_t steps, size_t span, float *c, part_fn *fn,
                     void *arg)
{
    const size_t rows = v->a->tile_rows, begin = v->row0 / rows * rows;
    part j = {.c = c, .steps = steps};
    for (j.row = begin; j.row < v->row1; j.row += ROW_BLOCK) {
        j.rows = v->row1 - j.row < ROW_BLOCK ? v->row1 - j.row : ROW_BLOCK;
        j.ldc = (j.rows + rows - 1) / rows * rows * 16;
        for (j.panel0 = v->panel0; j.panel0 < v->panel1; j.panel0 = j.panel1) {
            j.panel1 = v->panel1 - j.panel0 < PANEL_BLOCK ? v->panel1 : j.panel0 + PANEL_BLOCK;
            for (j.from = 0; j.from < steps; j.from = j.to) {
                j.to = steps - j.from < span ? steps : j.from + span;
                j.next_from = j.to < steps ? j.to : 0;
                j.next_row = j.next_from || j.panel1 < v->panel1 ? j.row
                             : j.row + j.rows < v->row1          ? j.row + ROW_BLOCK
                                                                 : begin;
                fn(v, arg, &j);
            }
        }
    }
}

/* The panel whose weights come next if that is `panel` of the same part, and from which step on:
 * only asked for, so that it may be beyond the last. */
static inline const uint8_t *weights_after(const tile_call *v, const part *j, size_t panel,
                                           size_t *step)
{
    bool through = panel >= j->panel1, last = j->to == j->steps;
    *step = through ? j->next_from : j->from;
    return v->w->data + (through && !last ? j->panel0 : panel) * v->w->panel_bytes;
}

/* Whether whole vectors of y can be written past the caches, and are worth it: it counts how large
 * the result of all rows is, not the piece of this call. */
static inline bool streams(const tile_call *v)
{
    return !v->a->near && (uintptr_t)v->y % 64 == 0 && v->ldy % 16 == 0 &&
           v->a->rows * v->ldy * sizeof *v->y > STREAM_BYTES;
}

/* n results at y, which may be 16 or more */
V16_INLINE void put_row(bool stream, float *y, size_t n, v16 x)
{
    if (stream && n >= 16)
        _mm512_stream_ps(y, x);
    else
        v16_store_n(y, x, n);
}

#endif
