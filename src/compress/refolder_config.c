/* config.json from GGUF: the keys of the architecture's table under their other names. */
#include "compress/refolder.h"

#include "base/mem.h"
#include "engine/task.h"
#include "model/activation.h"
#include "model/rope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *hone_refolder_type(hone_dtype type)
{
    return type == HONE_DTYPE_F32 ? "float32" : type == HONE_DTYPE_F16 ? "float16" : "bfloat16";
}

/* The number with the fewest digits that is this float32. */
static json_t *number(float v)
{
    char text[40];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v)
            break;
    }
    return json_real(strtod(text, NULL));
}

static void put_keys(json_t *c, const hone_arch *a, const hone_hparams *h)
{
    for (const hone_key *k = a->keys; k->type != HONE_KEY_END; k++) {
        const char *field = (const char *)h + k->field;
        uint32_t whole;
        float real;
        bool yes;
        memcpy(&yes, field, sizeof yes);
        if (!k->hf || (k->flags & HONE_KEY_WRITE_ONLY))
            continue;
        if (k->type == HONE_KEY_BOOL) {
            json_object_set_new(c, k->hf, json_boolean(yes));
        } else if (k->type == HONE_KEY_F32) {
            memcpy(&real, field, sizeof real);
            json_object_set_new(c, k->hf, real == 0 ? json_null() : number(real));
        } else {
            memcpy(&whole, field, sizeof whole);
            bool none = whole == 0 && ((k->flags & HONE_KEY_IF_SET) ||
                                       k->field == offsetof(hone_hparams, window));
            json_object_set_new(c, k->hf, none ? json_null() : json_integer(whole));
        }
    }
    /* the scale of the scores may stand in a key of its own */
    float scale = h->kinds[0].scale;
    if (json_object_get(c, "query_pre_attn_scalar") && scale > 0)
        json_object_set_new(c, "query_pre_attn_scalar",
                            number(roundf(1e4f / (scale * scale)) / 1e4f));
}

static void put_layers(json_t *c, const hone_hparams *h, bool biases)
{
    const char *act = h->kinds[0].activation->names[0];
    static const char *const names[] = {"hidden_act", "hidden_activation", "activation_function"};
    static const char *const bias[] = {"attention_bias", "mlp_bias", "use_bias"};
    for (size_t i = 0; i < 3; i++) {
        json_object_set_new(c, names[i], json_string(act));
        json_object_set_new(c, bias[i], json_boolean(biases));
    }
    if (!h->window)
        return;
    json_object_set_new(c, "use_sliding_window", json_true());
    json_object_set_new(c, "max_window_layers", json_integer(0));
    if (h->n_kinds < 2)
        return;
    json_t *list = json_array();
    for (uint32_t i = 0; i < h->layers; i++)
        json_array_append_new(
            list, json_string(hone_kind(h, i)->window ? "sliding_attention" : "full_attention"));
    json_object_set_new(c, "layer_types", list);
}

/* ---- rotary positions ------------------------------------------------------------------------ */

static bool same_ropes(const hone_rope *x, const hone_rope *y)
{
    if (x->dim != y->dim || fabsf(x->magnitude - y->magnitude) > 2e-6f * x->magnitude)
        return false;
    for (uint32_t i = 0; i < x->dim / 2; i++)
        if (fabsf(x->inv_freq[i] - y->inv_freq[i]) > 2e-6f * x->inv_freq[i])
            return false;
    return true;
}

static json_t *factor_list(const double *factors, uint32_t n)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new(list, number((float)factors[i]));
    return list;
}

/* Llama 3's parameters, which GGUF keeps only as what they make of the frequencies; or any factors
 * as longrope's. */
static json_t *fitted(hone_rope_config c, const hone_rope *want, double context)
{
    hone_rope plain, tried;
    double factors[HONE_ROPE_DIM_MAX / 2];
    hone_rope_init(&c, &plain);
    c.factor = 1;
    for (uint32_t i = 0; i < c.dim / 2; i++) {
        factors[i] = (double)(plain.inv_freq[i] / want->inv_freq[i]);
        c.factor = fmax(c.factor, factors[i]);
    }
    c.factor = round(c.factor * 1024) / 1024;
    c.scaling = HONE_ROPE_LLAMA3;
    for (c.low_freq_factor = 1; c.low_freq_factor <= 4; c.low_freq_factor++)
        for (c.high_freq_factor = 2; c.high_freq_factor <= 8; c.high_freq_factor++)
            for (c.original_context = 16; c.original_context <= 1 << 20; c.original_context *= 2) {
                if (c.high_freq_factor <= c.low_freq_factor)
                    continue;
                hone_rope_init(&c, &tried);
                if (same_ropes(want, &tried))
                    return json_pack("{s:s, s:f, s:f, s:f, s:I}", "rope_type", "llama3", "factor",
                                     c.factor, "low_freq_factor", c.low_freq_factor,
                                     "high_freq_factor", c.high_freq_factor,
                                     "original_max_position_embeddings",
                                     (json_int_t)c.original_context);
            }
    return json_pack("{s:s, s:f, s:I, s:o, s:o}", "rope_type", "longrope", "attention_factor",
                     (double)want->magnitude, "original_max_position_embeddings",
                     (json_int_t)context, "short_factor", factor_list(factors, c.dim / 2),
                     "long_factor", factor_list(factors, c.dim / 2));
}

static json_t *longrope(const hone_rope_config *c)
{
    hone_rope_config derived = *c;
    hone_rope x, y;
    derived.attention_factor = 0;
    hone_rope_init(c, &x);
    hone_rope_init(&derived, &y);
    json_t *o = json_pack("{s:s, s:o, s:o}", "type", "longrope", "short_factor",
                          factor_list(c->factors[0], c->n_factors), "long_factor",
                          factor_list(c->factors[1], c->n_factors));
    if (!same_ropes(&x, &y)) /* Phi-3 takes no fourth member */
        json_object_set_new(o, "attention_factor", number(x.magnitude));
    return o;
}

static json_t *scaling_of(const hone_rope_config *c, const hone_rope *r, double context)
{
    hone_rope plain;
    json_t *o;
    hone_rope_init(c, &plain);
    if (c->scaling == HONE_ROPE_LONG)
        return longrope(c);
    if (!same_ropes(r, &plain))
        return fitted(*c, r, context);
    if (c->scaling == HONE_ROPE_LINEAR)
        return json_pack("{s:s, s:o}", "rope_type", "linear", "factor", number((float)c->factor));
    if (c->scaling != HONE_ROPE_YARN)
        return json_null();
    o = json_pack("{s:s, s:o, s:I, s:f, s:f}", "rope_type", "yarn", "factor",
                  number((float)c->factor), "original_max_position_embeddings",
                  (json_int_t)c->original_context, "beta_fast", c->beta_fast, "beta_slow",
                  c->beta_slow);
    if (c->attention_factor != 0)
        json_object_set_new(o, "attention_factor", number((float)c->attention_factor));
    return o;
}

/* Folders call the same number by several names; each architecture reads its own. */
static hone_status put_ropes(json_t *c, const hone_file *f, const hone_hparams *h)
{
    static const char *const thetas[] = {"rope_theta", "rotary_emb_base", "global_rope_theta"},
                             *const locals[] = {"rope_local_base_freq", "local_rope_theta"},
                             *const partials[] = {"partial_rotary_factor", "rotary_pct"};
    hone_rope_config rope, local;
    hone_rope r;
    double context = h->context_tokens;
    if (!h->n_ropes)
        return HONE_OK;
    HONE_TRY(hone_rope_read(f, false, false, h->head_dim, context, &rope, &r));
    double partial = (double)rope.dim / h->head_dim;
    if ((uint32_t)(h->head_dim * partial) < rope.dim)
        partial *= 1 + 1e-12; /* readers multiply and truncate */
    for (size_t i = 0; i < 3; i++)
        json_object_set_new(c, thetas[i], number((float)rope.theta));
    for (size_t i = 0; i < 2; i++)
        json_object_set_new(c, partials[i], json_real(partial));
    json_object_set_new(c, "rope_scaling", scaling_of(&rope, &r, context));
    if (rope.scaling == HONE_ROPE_LONG)
        json_object_set_new(c, "original_max_position_embeddings",
                            json_integer((json_int_t)rope.original_context));
    if (h->n_ropes < 2)
        return HONE_OK;
    HONE_TRY(hone_rope_read(f, true, false, h->head_dim, context, &local, &r));
    for (size_t i = 0; i < 2; i++)
        json_object_set_new(c, locals[i], number((float)local.theta));
    return HONE_OK;
}

/* ---- the check: read again, everything that a step uses is the same -------------------------- */

static bool same_kind(const hone_layer_kind *x, const hone_layer_kind *y)
{
    bool same = x->n_blocks == y->n_blocks && x->heads == y->heads && x->kv_heads == y->kv_heads &&
                x->head_dim == y->head_dim && x->ffn == y->ffn && x->window == y->window &&
                x->rope == y->rope && fabsf(x->scale - y->scale) <= 1e-6f * x->scale &&
                x->softcap == y->softcap && x->activation == y->activation && x->gated == y->gated;
    for (uint32_t i = 0; same && i < x->n_blocks; i++)
        same = x->blocks[i].block == y->blocks[i].block &&
               x->blocks[i].norms == y->blocks[i].norms && x->blocks[i].joins == y->blocks[i].joins;
    return same;
}

/* What differs, NULL if nothing does. */
static const char *difference(const hone_hparams *x, const hone_hparams *y)
{
    const struct {
        const char *what;
        bool same;
    } checks[] = {
        {"sizes", x->layers == y->layers && x->hidden == y->hidden && x->vocab == y->vocab},
        {"the context", x->context_tokens == y->context_tokens},
        {"positions", x->positions == y->positions && x->token_types == y->token_types},
        {"norms", x->norm == y->norm && x->norm_eps == y->norm_eps},
        {"tied embeddings", x->tied == y->tied},
        {"the mask", x->bidirectional == y->bidirectional},
        {"the soft-cap of logits", x->final_softcap == y->final_softcap},
        {"scales", x->embedding_scale == y->embedding_scale && x->logit_scale == y->logit_scale},
        {"rotary positions", x->n_ropes == y->n_ropes && x->long_from == y->long_from},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (!checks[i].same)
            return checks[i].what;
    for (uint32_t i = 0; i < 2 * x->n_ropes; i++)
        if (!same_ropes(&x->ropes[i % 2][i / 2], &y->ropes[i % 2][i / 2]))
            return "rotary frequencies";
    for (uint32_t i = 0; i < x->layers; i++)
        if (!same_kind(hone_kind(x, i), hone_kind(y, i)))
            return hone_kind(x, i)->window != hone_kind(y, i)->window ? "windows"
                   : hone_kind(x, i)->scale != hone_kind(y, i)->scale ? "the scale of scores"
                                                                      : "layers";
    return NULL;
}

/* NULL: c says all of h. */
static const char *check(const json_t *c, const hone_hparams *h)
{
    const hone_arch *a;
    hone_hparams again;
    hone_file *f;
    char *text = json_dumps(c, JSON_REAL_PRECISION(17));
    if (!text || hone_file_from_config(text, "the folder to be written", &f) != HONE_OK) {
        hone_free(text);
        return "config.json";
    }
    hone_status s = hone_arch_read(f, &a, &again);
    hone_file_close(f);
    hone_free(text);
    return s == HONE_OK ? difference(h, &again) : "what the reader refuses";
}

/* ---- names of the task ----------------------------------------------------------------------- */

static hone_status put_labels(json_t *c, const hone_file *f, const hone_hparams *h)
{
    hone_task task;
    char key[16], name[32];
    if (!h->labels)
        return HONE_OK;
    HONE_TRY(hone_task_read(f, false, &task));
    json_t *names = json_object(), *ids = json_object();
    for (uint32_t i = 0; i < h->labels; i++) {
        snprintf(key, sizeof key, "%u", i);
        snprintf(name, sizeof name, "LABEL_%u", i);
        const char *label = i < task.n_labels && task.labels[i] ? task.labels[i] : name;
        json_object_set_new(names, key, json_string(label));
        json_object_set_new(ids, label, json_integer(i));
    }
    json_object_set_new(c, "id2label", names);
    json_object_set_new(c, "label2id", ids);
    hone_task_free(&task);
    return HONE_OK;
}

static hone_status build(const hone_file *f, const hone_arch *a, const hone_hparams *h,
                         hone_dtype type, json_t **out)
{
    json_t *c = json_pack("{s:s, s:s}", "model_type", a->hf_types[0], "torch_dtype",
                          hone_refolder_type(type));
    if (!c)
        return hone_fail_memory(64, "config.json");
    *out = c;
    put_keys(c, a, h);
    char bias[HONE_NAME_MAX] = "";
    hone_place p;
    if (hone_place_find(a, h, true, NULL, HONE_SLOT_Q, 0, &p))
        snprintf(bias, sizeof bias, "%s", p.bias);
    put_layers(c, h, *bias && hone_file_tensor(f, bias));
    return put_ropes(c, f, h);
}

hone_status hone_refolder_config(const hone_file *f, hone_dtype type, const hone_arch **arch,
                                 hone_hparams *h, json_t **config)
{
    const hone_arch *first;
    const char *wrong = NULL;
    HONE_TRY(hone_arch_read(f, &first, h));
    for (size_t i = 0; i < hone_arch_count(); i++) {
        const hone_arch *a = hone_arch_at(i);
        json_t *c = NULL;
        if (!a->gguf || strcmp(a->gguf, first->gguf) != 0)
            continue;
        hone_status s = build(f, a, h, type, &c);
        const char *differs = s == HONE_OK ? check(c, h) : NULL;
        if (s == HONE_OK && !differs) {
            const char *name = a->hf_classes[h->labels != 0];
            s = put_labels(c, f, h);
            if (name)
                json_object_set_new(c, "architectures", json_pack("[s]", name));
            *arch = a;
            *config = c;
            return s;
        }
        json_decref(c);
        HONE_TRY(s);
        wrong = wrong ? wrong : differs;
    }
    return hone_fail(HONE_UNSUPPORTED,
                     "%s: no config.json says this model: %s would be lost (architecture %s)",
                     hone_file_path(f), wrong ? wrong : "everything", first->name);
}
