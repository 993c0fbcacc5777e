// links: model
// corpus: tests/fuzz/corpus/source
/* A config.json and the tensors of a checkpoint, in any combination: every matrix that is found is
 * read. Input: u16 length of the config, the config; then tensors: u8 which name, u8 dtype, u8
 * dimensions, a u8 each, u8 length of a pattern, the pattern that fills it. So every mutation is a
 * sound safetensors file. */
#include "base/mem.h"
#include "file/internal.h"
#include "model/source.h"
#include "model/source/claim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STRIP = 256, ROWS = 20 };

static void read_row(const hone_source *s, size_t row)
{
    float values[STRIP], scales[STRIP], mins[STRIP];
    int8_t codes[STRIP];
    volatile bool sink = false;
    for (size_t k0 = 0; k0 < s->k; k0 += STRIP) {
        size_t count = s->k - k0 < STRIP ? s->k - k0 : STRIP;
        sink = s->rows.decode(&s->rows, row, k0, count, values);
        if (s->rows.coding.bits)
            sink = s->rows.codes(&s->rows, row, k0, count, codes, scales, mins);
    }
    (void)sink;
}

static void read_source(void *arg, const char *weight, hone_status status, const hone_source *s)
{
    (void)arg;
    if ((status == HONE_OK) != (s != NULL) || (status != HONE_OK && !hone_error()[0]))
        abort();
    if (!s)
        return;
    if (!s->n || !s->k || !s->name || !s->tensors[0] || !weight[0])
        abort();
    for (size_t k = 0; s->order && k < s->k; k++)
        if (s->order[k] >= s->k)
            abort();
    for (size_t r = 0; r < s->n && r < ROWS; r++)
        read_row(s, r);
    read_row(s, s->n - 1);
}

static void count_leftover(void *arg, const hone_tensor *t)
{
    *(size_t *)arg += t->bytes;
}

/* The order of both is that of make_source.py. */
static const char *const names[] = {
    "a.qweight",
    "a.qzeros",
    "a.scales",
    "a.g_idx",
    "a.weight_packed",
    "a.weight_scale",
    "a.weight_zero_point",
    "a.weight_shape",
    "a.weight_g_idx",
    "a.weight_global_scale",
    "a.weight",
    "a.weight.absmax",
    "a.weight.quant_map",
    "a.weight.nested_absmax",
    "a.weight.nested_quant_map",
    "a.weight.quant_state.bitsandbytes__nf4",
    "a.SCB",
    "a.weight_format",
    "a.weight_scale_inv",
    "a.weight_scale_2",
    "a.k_scale",
    "a.compressed",
    "a.bitmask",
    "a.shape",
    "a.row_offsets",
    "e.up_blocks",
    "e.up_scales",
};
static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I32", 4},     {"I64", 8},
              {"I8", 1},  {"U8", 1},  {"U32", 4},  {"F8_E4M3", 1}, {"F8_E8M0", 1}};
enum {
    NAMES = sizeof names / sizeof *names,
    DTYPES = sizeof dtypes / sizeof *dtypes,
    DATA_MAX = 1 << 17,
    HEADER_MAX = 1 << 13
};

typedef struct maker {
    const uint8_t *in, *end;
    char header[HEADER_MAX];
    size_t used, data_used;
    uint8_t data[DATA_MAX];
    bool taken[NAMES];
} maker;

static unsigned next(maker *m)
{
    return m->in < m->end ? *m->in++ : 0;
}

/* One tensor more; false if there is none, or no room. */
static bool add_tensor(maker *m)
{
    unsigned name = next(m) % NAMES, type = next(m) % DTYPES, dims = next(m) % 5, shape[4];
    size_t bytes = dtypes[type].bytes;
    for (unsigned i = 0; i < dims; i++)
        bytes *= shape[i] = next(m);
    size_t pattern = next(m);
    if (m->in >= m->end && !bytes)
        return false;
    const uint8_t *fill = m->in;
    if (pattern > (size_t)(m->end - m->in))
        pattern = (size_t)(m->end - m->in);
    m->in += pattern;
    if (m->taken[name] || bytes > DATA_MAX - m->data_used || m->used > HEADER_MAX - 300)
        return m->in < m->end;
    m->taken[name] = true;
    m->used += (size_t)sprintf(m->header + m->used, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                               m->used > 1 ? "," : "", names[name], dtypes[type].name);
    for (unsigned i = 0; i < dims; i++)
        m->used += (size_t)sprintf(m->header + m->used, "%s%u", i ? "," : "", shape[i]);
    m->used += (size_t)sprintf(m->header + m->used, "],\"data_offsets\":[%zu,%zu]}", m->data_used,
                               m->data_used + bytes);
    for (size_t i = 0; i < bytes; i++)
        m->data[m->data_used++] = pattern ? fill[i % pattern] : 1;
    return m->in < m->end;
}

/* A safetensors file of exactly its bytes, so that a sanitizer sees what lies beyond. */
static uint8_t *make_file(const uint8_t *in, size_t size, size_t *bytes)
{
    static maker m;
    m = (maker){.in = in, .end = in + size};
    m.header[m.used++] = '{';
    while (add_tensor(&m)) {
    }
    m.header[m.used++] = '}';
    uint64_t length = m.used;
    *bytes = 8 + m.used + m.data_used;
    uint8_t *file = malloc(*bytes);
    if (!file)
        abort();
    memcpy(file, &length, 8);
    memcpy(file + 8, m.header, m.used);
    memcpy(file + 8 + m.used, m.data, m.data_used);
    return file;
}

static void said_why(hone_status s)
{
    if (s != HONE_OK && !hone_error()[0])
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint16_t length;
    hone_file *f = NULL;
    hone_claim claim;
    size_t bytes, left = 0;
    if (size < 2)
        return 0;
    memcpy(&length, data, 2);
    if (length > size - 2)
        length = (uint16_t)(size - 2);
    uint8_t *file = make_file(data + 2 + length, size - 2 - length, &bytes);
    if (hone_file_open_bytes(HONE_FILE_SAFETENSORS, file, bytes, &f) != HONE_OK)
        abort();
    said_why(hone_file_read_config(f, (const char *)data + 2, length));
    hone_source_each(f, read_source, NULL);
    said_why(hone_source_leftovers(f, count_leftover, &left));
    said_why(hone_claim_read(f, "a.weight", &claim));
    hone_file_close(f);
    free(file);
    return 0;
}
