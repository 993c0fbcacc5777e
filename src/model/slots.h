/*
 * slots - where weights go and where they come from: one row for each slot (its shape, its kind,
 * the block that it belongs to), and the place of a slot's rows in a file, be it a tensor of its
 * own, a part of a fused one, transposed, or with rows in another order.
 *
 * The loader reads through a place and the converter writes through one, so both know the same.
 *
 * Threading: pure functions. Ownership: nothing is owned.
 */
#ifndef HONE_MODEL_SLOTS_H
#define HONE_MODEL_SLOTS_H

#include "model/arch.h"

enum { HONE_NAME_MAX = 192 };

/* Kinds of weight matrices that a technique may give a format of their own. */
typedef enum hone_weight_kind {
    HONE_WEIGHT_ATTENTION,
    HONE_WEIGHT_MLP,
    HONE_WEIGHT_HEAD, /* output head; the embedding too when tied */
    HONE_WEIGHT_KINDS
} hone_weight_kind;

typedef struct hone_slot_info {
    const char *name; /* "q" */
    hone_weight_kind kind;
    bool vector; /* one float32 row: norms */
    bool lookup; /* rows are looked up, not multiplied with */
} hone_slot_info;
const hone_slot_info *hone_slot_describe(hone_slot slot);

/* Row r of the slot is row hone_row_source(map, r) of the stored tensor. */
typedef struct hone_row_map {
    size_t first; /* stored row where the slot begins */
    size_t run;   /* rows come in runs of so many (a head), one every `stride`; 0 = one run */
    size_t stride;
    uint32_t pairs; /* the first so many rows of a run are pairs (2i, 2i+1) of (i, i + pairs/2) */
} hone_row_map;
size_t hone_row_source(const hone_row_map *m, size_t r);

typedef struct hone_place {
    char weight[HONE_NAME_MAX], bias[HONE_NAME_MAX]; /* bias "" = never has one */
    hone_row_map map;
    size_t n, k;     /* of the slot */
    size_t stored_n; /* rows of the tensor: more than n if slots share it */
    int flags;       /* HONE_NAME_* */
} hone_place;

/* Where slot `slot` of layer `layer` lies in files of this kind. False: the architecture or the
 * layer has no such weight. prefix: hone_arch_prefix (HF), or NULL. */
bool hone_place_find(const hone_arch *a, const hone_hparams *h, bool gguf, const char *prefix,
                     hone_slot slot, uint32_t layer, hone_place *out);
/* The prefix that a folder's tensors have: the first of the architecture's for which the embedding
 * exists. */
const char *hone_arch_prefix(const hone_arch *a, const hone_file *f);
/* Whether a tensor of this name belongs to a slot that the model has: its weight, its bias, or what
 * goes with a quantised weight ("<weight>.absmax", "<weight without .weight>.scales"). */
bool hone_slot_claims(const hone_arch *a, const hone_hparams *h, bool gguf, const char *prefix,
                      const char *name);
/* How many layers a slot exists in: hp.layers, or 1 for those of the model. */
uint32_t hone_slot_layers(const hone_hparams *h, hone_slot slot);

#endif
