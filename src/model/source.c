#include "model/source.h"

#include "base/io.h"
#include "base/mem.h"
#include "model/source/claim.h"

#include <stdio.h>
#include <string.h>

/* Asked in this order; the plain tensor comes last. */
static const hone_source_kind *const kinds[] = {
    &hone_source_experts, &hone_source_gptq,   &hone_source_awq,   &hone_source_packed,
    &hone_source_fp4,     &hone_source_bnb4,   &hone_source_bnb8,  &hone_source_int8,
    &hone_source_fp8,     &hone_source_sparse, &hone_source_plain,
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Ends of names of tensors that only a quantised matrix has. */
static const char *const parts[] = {
    ".qweight",
    ".qzeros",
    ".scales",
    ".g_idx",
    ".weight_packed",
    ".weight_scale",
    ".weight_scale_inv",
    ".weight_scale_2",
    ".weight_shape",
    ".weight_g_idx",
    ".weight_zero_point",
    ".weight_global_scale",
    ".input_scale",
    ".input_scale_ub",
    ".input_zero_point",
    ".input_global_scale",
    ".activation_scale",
    ".output_scale",
    ".k_scale",
    ".v_scale",
    ".q_scale",
    ".SCB",
    ".weight_format",
    ".absmax",
    ".quant_map",
    ".nested_absmax",
    ".nested_quant_map",
    ".bitmask",
    ".compressed",
    ".row_offsets",
    "_blocks",
    "_scales",
    "bitsandbytes__nf4",
    "bitsandbytes__fp4",
};

size_t hone_source_kind_count(void)
{
    return KINDS;
}

const hone_source_kind *hone_source_kind_at(size_t i)
{
    return kinds[i];
}

static const hone_source_kind *kind_of(const hone_file *f, const char *weight)
{
    size_t i = 0;
    while (i < KINDS - 1 && !kinds[i]->holds(f, weight))
        i++;
    return kinds[i];
}

bool hone_source_is_coded(const hone_file *f, const char *weight)
{
    return kind_of(f, weight) != &hone_source_plain;
}

/* Whether `method` is among the words of `list`. */
static bool lists(const char *list, const char *method)
{
    char word[80];
    snprintf(word, sizeof word, " %.70s ", method);
    return strstr(list, word) != NULL;
}

/* What config.json says against what the tensors are. */
static hone_status check_claim(const hone_file *f, const hone_claim *c, const hone_source *s)
{
    const char *path = hone_file_path(f);
    if (!c->method || !s->kind->methods)
        return HONE_OK;
    if (c->ignored)
        return hone_fail(HONE_FORMAT,
                         "%s: config.json says (%s) that the matrix of tensor '%s' is not "
                         "quantised, but it is stored as %s",
                         path, c->ignores, s->name, s->kind->name);
    if (c->known && !lists(s->kind->methods, c->method))
        return hone_fail(
            HONE_FORMAT,
            "%s: config.json says quant_method \"%.40s\", but tensor '%s' is stored as "
            "%s",
            path, c->method, s->name, s->kind->name);
    if (c->bits && s->bits && (uint64_t)c->bits != s->bits)
        return hone_fail(HONE_FORMAT,
                         "%s: config.json says %lld bits, but tensor '%s' holds weights of %u",
                         path, (long long)c->bits, s->name, s->bits);
    uint64_t group = c->group > 0 && (uint64_t)c->group < s->k ? (uint64_t)c->group : s->k;
    if (c->group && s->bits && group != (s->group < s->k ? s->group : s->k))
        return hone_fail(HONE_FORMAT,
                         "%s: config.json says groups of %lld weights, but tensor '%s' has scales "
                         "for %zu",
                         path, (long long)c->group, s->name, s->group);
    return HONE_OK;
}

hone_status hone_source_open(const hone_file *f, const char *weight, size_t n, size_t k,
                             hone_source *out)
{
    hone_claim claim = {0};
    const hone_source_kind *kind = kind_of(f, weight);
    memset(out, 0, sizeof *out);
    if (strlen(weight) >= HONE_SOURCE_NAME - 64)
        return hone_fail(HONE_LIMIT, "the name of a matrix is longer than %d bytes",
                         HONE_SOURCE_NAME - 64);
    hone_status s = HONE_OK;
    if (kind->methods || !kind->holds(f, weight))
        s = hone_claim_read(f, weight, &claim);
    out->kind = kind;
    out->copies = 1;
    if (s == HONE_OK)
        s = kind->open(f, weight, n, k, &claim, out);
    if (s == HONE_OK)
        s = check_claim(f, &claim, out);
    if (s != HONE_OK)
        hone_source_close(out);
    return s;
}

void hone_source_close(hone_source *s)
{
    hone_free(s->owned);
    s->owned = NULL;
}

/* ---- all of a file -------------------------------------------------------------------------- */

bool hone_source_is_part(const char *name)
{
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
        if (hone_ends_with(name, parts[p]))
            return true;
    return false;
}

/* The name of the matrix that tensor t would be the main one of, in kind `kind`; false if none. Of
 * all experts in a tensor the first. */
static bool matrix_name(const hone_tensor *t, const hone_source_kind *kind,
                        char out[HONE_SOURCE_NAME])
{
    size_t n = strlen(t->name);
    if (!hone_ends_with(t->name, kind->main) || n >= HONE_SOURCE_NAME - 64)
        return false;
    n -= strlen(kind->main);
    if (kind->main[0] == '.') {
        snprintf(out, HONE_SOURCE_NAME, "%.*s.weight", (int)n, t->name);
        return true;
    }
    size_t at = n;
    while (at > 0 && t->name[at - 1] != '.')
        at--;
    snprintf(out, HONE_SOURCE_NAME, "%.*s0.%.*s.weight", (int)at, t->name, (int)(n - at),
             t->name + at);
    return at > 0;
}

static void visit(const hone_file *f, const hone_tensor *t, hone_source_visit *each, void *arg)
{
    char weight[HONE_SOURCE_NAME];
    const hone_source_kind *kind = NULL;
    for (size_t i = 0; i < KINDS && !kind; i++)
        if (matrix_name(t, kinds[i], weight) && kind_of(f, weight) == kinds[i])
            kind = kinds[i];
    if (!kind || (kind == &hone_source_plain && t->n_dims != 2))
        return;
    hone_source s;
    hone_status status = hone_source_open(f, weight, 0, 0, &s);
    each(arg, weight, status, status == HONE_OK ? &s : NULL);
    if (status == HONE_OK)
        hone_source_close(&s);
}

void hone_source_each(const hone_file *f, hone_source_visit *each, void *arg)
{
    for (size_t i = 0; i < hone_file_tensor_count(f); i++)
        visit(f, hone_file_tensor_at(f, i), each, arg);
}

typedef struct marks {
    const hone_tensor *first;
    bool *used;
} marks;

static void mark(void *arg, const char *weight, hone_status status, const hone_source *s)
{
    marks *m = arg;
    (void)weight;
    for (size_t i = 0; status == HONE_OK && i < HONE_SOURCE_TENSORS && s->tensors[i]; i++)
        m->used[s->tensors[i] - m->first] = true;
}

hone_status hone_source_leftovers(const hone_file *f, hone_source_leftover *each, void *arg)
{
    size_t count = hone_file_tensor_count(f);
    if (!count)
        return HONE_OK;
    marks m = {hone_file_tensor_at(f, 0), hone_calloc(count, sizeof(bool))};
    if (!m.used)
        return hone_fail_memory(count, "a list of tensors");
    hone_source_each(f, mark, &m);
    for (size_t i = 0; i < count; i++) {
        const hone_tensor *t = hone_file_tensor_at(f, i);
        if (!m.used[i] && hone_source_is_part(t->name))
            each(arg, t);
    }
    hone_free(m.used);
    return HONE_OK;
}
