/* plain_forward - a decoder in float64, as plainly as it can be written: no kernels, no cache, no
 * batch. What it shares with the engine is the reading of a config (hone_hparams) and of weights.
 */
#ifndef HONE_TESTS_PLAIN_FORWARD_H
#define HONE_TESTS_PLAIN_FORWARD_H

#include "base/mem.h"
#include "model/activation.h"
#include "model/parameters.h"

#include <math.h>
#include <string.h>

enum { PLAIN_TOKENS = 160, PLAIN_WIDTH = 1024 };

typedef struct plain {
    const hone_model *m;
    const hone_parameters *p;
    const double *w; /* [p->floats] */
} plain;

static const double *plain_at(const plain *f, int layer, hone_slot slot, bool bias)
{
    const hone_parameter *one = hone_parameter_at(f->p, layer, slot, bias);
    return one ? f->w + one->at : NULL;
}

static void plain_linear(const plain *f, int layer, hone_slot slot, const double *x, double *y)
{
    const hone_parameter *one = hone_parameter_at(f->p, layer, slot, false);
    const double *bias = plain_at(f, layer, slot, true), *w;
    if (!one) /* a tied head */
        one = hone_parameter_at(f->p, layer, HONE_SLOT_EMBEDDING, false);
    w = f->w + one->at;
    for (size_t i = 0; i < one->n; i++) {
        double sum = 0;
        for (size_t k = 0; k < one->k; k++)
            sum += x[k] * w[i * one->k + k];
        y[i] = sum + (bias ? bias[i] : 0);
    }
}

static void plain_norm(const plain *f, int layer, hone_slot slot, double *x, size_t n)
{
    const hone_hparams *h = &f->m->hp;
    const hone_parameter *one = hone_parameter_at(f->p, layer, slot, false);
    const double *bias = plain_at(f, layer, slot, true);
    double mean = 0, square = 0;
    if (!one)
        return;
    for (size_t i = 0; i < n && h->norm == HONE_NORM_LAYER; i++)
        mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++)
        x[i] = (x[i] - mean) / sqrt(square + (double)h->norm_eps) *
                   (f->w[one->at + i] + (double)one->add) +
               (bias ? bias[i] : 0);
}

static void plain_rotate(const hone_rope *r, size_t position, double *x)
{
    size_t half = r->dim / 2;
    for (size_t i = 0; i < half; i++) {
        double angle = (double)position * (double)r->inv_freq[i], m = (double)r->magnitude,
               c = cos(angle) * m, s = sin(angle) * m, a = x[i], b = x[i + half];
        x[i] = a * c - b * s;
        x[i + half] = b * c + a * s;
    }
}

static double plain_activation(const char *name, double x)
{
    if (strcmp(name, "silu") == 0)
        return x / (1 + exp(-x));
    if (strcmp(name, "gelu") == 0)
        return x * (1 + erf(x / sqrt(2))) / 2;
    if (strcmp(name, "gelu_tanh") == 0)
        return x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) / 2;
    return strcmp(name, "relu") == 0 ? fmax(x, 0) : tanh(x);
}

/* One head of one token: keys and values of positions 0..i in k, v [i + 1][ld]. */
static void plain_attend(const hone_layer_kind *y, size_t i, const double *q, const double *k,
                         const double *v, size_t ld, double *out)
{
    double s[PLAIN_TOKENS], most = -INFINITY, sum = 0;
    size_t first = y->window && i + 1 > y->window ? i + 1 - y->window : 0;
    for (size_t j = first; j <= i; j++) {
        s[j] = 0;
        for (size_t d = 0; d < y->head_dim; d++)
            s[j] += q[d] * k[j * ld + d];
        s[j] *= (double)y->scale;
        if (y->softcap != 0)
            s[j] = (double)y->softcap * tanh(s[j] / (double)y->softcap);
        most = fmax(most, s[j]);
    }
    for (size_t j = first; j <= i; j++)
        sum += s[j] = exp(s[j] - most);
    for (size_t d = 0; d < y->head_dim; d++) {
        out[d] = 0;
        for (size_t j = first; j <= i; j++)
            out[d] += s[j] / sum * v[j * ld + d];
    }
}

static void plain_attention(const plain *f, int layer, size_t tokens, size_t long_rope,
                            double (*x)[PLAIN_WIDTH])
{
    static double q[PLAIN_TOKENS][PLAIN_WIDTH], k[PLAIN_TOKENS][PLAIN_WIDTH],
        v[PLAIN_TOKENS][PLAIN_WIDTH], a[PLAIN_WIDTH];
    const hone_hparams *h = &f->m->hp;
    const hone_layer_kind *y = hone_kind(h, (uint32_t)layer);
    size_t d = y->head_dim, group = y->heads / y->kv_heads;
    for (size_t i = 0; i < tokens; i++) {
        plain_linear(f, layer, HONE_SLOT_Q, x[i], q[i]);
        plain_linear(f, layer, HONE_SLOT_K, x[i], k[i]);
        plain_linear(f, layer, HONE_SLOT_V, x[i], v[i]);
        for (size_t j = 0; j < y->heads + y->kv_heads; j++) {
            double *head = j < y->heads ? q[i] + j * d : k[i] + (j - y->heads) * d;
            plain_norm(f, layer, j < y->heads ? HONE_SLOT_NORM_Q : HONE_SLOT_NORM_K, head, d);
            if (y->rope != HONE_ROPE_NONE)
                plain_rotate(&h->ropes[long_rope][y->rope], i, head);
        }
    }
    for (size_t i = 0; i < tokens; i++) {
        for (size_t j = 0; j < y->heads; j++)
            plain_attend(y, i, q[i] + j * d, k[0] + j / group * d, v[0] + j / group * d,
                         PLAIN_WIDTH, a + j * d);
        plain_linear(f, layer, HONE_SLOT_O, a, x[i]);
    }
}

static void plain_mlp(const plain *f, int layer, size_t tokens, double (*x)[PLAIN_WIDTH])
{
    double gate[PLAIN_WIDTH], up[PLAIN_WIDTH];
    const hone_layer_kind *y = hone_kind(&f->m->hp, (uint32_t)layer);
    for (size_t i = 0; i < tokens; i++) {
        plain_linear(f, layer, HONE_SLOT_UP, x[i], up);
        if (y->gated)
            plain_linear(f, layer, HONE_SLOT_GATE, x[i], gate);
        for (size_t c = 0; c < y->ffn; c++)
            up[c] = y->gated ? plain_activation(y->activation->name, gate[c]) * up[c]
                             : plain_activation(y->activation->name, up[c]);
        plain_linear(f, layer, HONE_SLOT_DOWN, up, x[i]);
    }
}

static void plain_layer(const plain *f, int layer, size_t tokens, size_t long_rope,
                        double (*x)[PLAIN_WIDTH])
{
    static double in[PLAIN_TOKENS][PLAIN_WIDTH], before[PLAIN_TOKENS][PLAIN_WIDTH];
    const hone_layer_kind *y = hone_kind(&f->m->hp, (uint32_t)layer);
    size_t n = f->m->hp.hidden;
    for (uint32_t b = 0; b < y->n_blocks; b++) {
        const hone_block_use *use = &y->blocks[b];
        bool attention = use->block->norm == HONE_SLOT_NORM_ATTENTION;
        for (size_t i = 0; i < tokens; i++) {
            memcpy(in[i], use->joins ? before[i] : x[i], n * sizeof **in);
            memcpy(before[i], in[i], n * sizeof **in);
            if (use->norms & HONE_NORM_INPUT)
                plain_norm(f, layer, use->block->norm, in[i], n);
        }
        if (attention)
            plain_attention(f, layer, tokens, long_rope, in);
        else
            plain_mlp(f, layer, tokens, in);
        for (size_t i = 0; i < tokens; i++) {
            if (use->norms & HONE_NORM_OUTPUT)
                plain_norm(f, layer, use->block->norm_after, in[i], n);
            for (size_t c = 0; c < n; c++)
                x[i][c] += in[i][c];
        }
    }
}

/* logits[tokens][vocab], vocab at most PLAIN_WIDTH */
static void plain_logits(const plain *f, const int32_t *ids, size_t tokens,
                         double (*logits)[PLAIN_WIDTH])
{
    static double x[PLAIN_TOKENS][PLAIN_WIDTH];
    const hone_hparams *h = &f->m->hp;
    size_t n = h->hidden, long_rope = h->long_from && tokens > h->long_from;
    const double *tables[] = {plain_at(f, 0, HONE_SLOT_EMBEDDING, false),
                              plain_at(f, 0, HONE_SLOT_POSITION, false)};
    for (size_t i = 0; i < tokens; i++)
        for (size_t c = 0; c < n; c++)
            x[i][c] = tables[0][(size_t)ids[i] * n + c] *
                          (h->embedding_scale != 0 ? (double)h->embedding_scale : 1) +
                      (tables[1] ? tables[1][i * n + c] : 0);
    for (uint32_t layer = 0; layer < h->layers; layer++)
        plain_layer(f, (int)layer, tokens, long_rope, x);
    for (size_t i = 0; i < tokens; i++) {
        plain_norm(f, 0, HONE_SLOT_NORM_FINAL, x[i], n);
        plain_linear(f, 0, HONE_SLOT_HEAD, x[i], logits[i]);
        for (size_t c = 0; c < h->vocab; c++) {
            logits[i][c] *= h->logit_scale != 0 ? (double)h->logit_scale : 1;
            if (h->final_softcap != 0)
                logits[i][c] =
                    (double)h->final_softcap * tanh(logits[i][c] / (double)h->final_softcap);
        }
    }
}

/* Sum of cross entropies of the tokens after the first, of those with a label. */
static double plain_loss(const plain *f, const int32_t *ids, const int32_t *labels, size_t tokens)
{
    static double z[PLAIN_TOKENS][PLAIN_WIDTH];
    double loss = 0;
    plain_logits(f, ids, tokens, z);
    for (size_t i = 0; i + 1 < tokens; i++) {
        double most = -INFINITY, sum = 0;
        if (labels[i + 1] < 0)
            continue;
        for (size_t c = 0; c < f->m->hp.vocab; c++)
            most = fmax(most, z[i][c]);
        for (size_t c = 0; c < f->m->hp.vocab; c++)
            sum += exp(z[i][c] - most);
        loss += most + log(sum) - z[i][labels[i + 1]];
    }
    return loss;
}

#endif
