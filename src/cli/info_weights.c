#include "cli/info_weights.h"

#include "cli/cli.h"
#include "cli/table.h"
#include "dtype/half.h"
#include "model/source.h"

#include <string.h>

static void describe(const hone_source *s, char *out, size_t size)
{
    const char *kind = s->kind->name;
    if (s->kind == &hone_source_plain)
        snprintf(out, size, "%s", hone_dtype_name((hone_dtype)s->tensors[0]->dtype));
    else if (!s->bits)
        snprintf(out, size, "%s", kind);
    else if (s->group < s->k)
        snprintf(out, size, "%s, %u bits, groups of %zu%s", kind, s->bits, s->group,
                 s->order ? ", act-order" : "");
    else
        snprintf(out, size, "%s, %u bits, whole rows", kind, s->bits);
}

/* Whether the kernels' form holds the stored numbers as they are. */
static const char *exactness(const hone_source *s, hone_layout layout)
{
    if (layout == HONE_LAYOUT_BF16)
        return s->bf16_exact ? "exact" : "rounded to bf16";
    for (int i = 0; i < 16 && layout == HONE_LAYOUT_U4; i++) {
        float level = s->rows.coding.table[i];
        if (hone_bf16_to_f32(hone_f32_to_bf16(level)) != level)
            return "its levels rounded to bf16";
    }
    return "exact";
}

static void note(info_weights *w, const char *text)
{
    if (w->n_notes < INFO_NOTES)
        snprintf(w->notes[w->n_notes++], INFO_NOTE, "%s", text);
}

bool info_takes(const info_model *m, const char *tensor)
{
    return !m->arch || hone_slot_claims(m->arch, m->hp, m->gguf, m->prefix, tensor);
}

static void note_unused(info_weights *w, const char *tensor, const char *why)
{
    char text[INFO_NOTE];
    w->unused++;
    snprintf(text, sizeof text, "tensor %.200s %s", tensor, why);
    note(w, text);
}

static void take(void *arg, const char *weight, hone_status status, const hone_source *s)
{
    info_weights *w = arg;
    hone_packed p;
    if (!info_takes(w->model, weight)) {
        note_unused(w, weight,
                    "is not used: the embedding is the head (tied), or there is no place");
        return;
    }
    if (status != HONE_OK) {
        w->broken++;
        note(w, hone_error());
        return;
    }
    const hone_coding *c = &s->rows.coding;
    hone_layout layout = hone_layout_for(c, false);
    if (hone_packed_plan(layout, c, s->n, s->k, &p) != HONE_OK) {
        w->broken++;
        note(w, hone_error());
        return;
    }
    info_row row = {.layout = layout, .exact = exactness(s, layout)};
    describe(s, row.stored, sizeof row.stored);
    size_t i = 0;
    while (i < w->n_rows && (strcmp(w->rows[i].stored, row.stored) != 0 ||
                             w->rows[i].layout != layout || w->rows[i].exact != row.exact))
        i++;
    if (i == INFO_ROWS) { /* more ways than anybody has: into the last */
        i--;
    } else if (i == w->n_rows) {
        w->rows[w->n_rows++] = row;
    }
    w->rows[i].matrices += s->copies;
    w->rows[i].weights += s->copies * s->n * s->k;
    w->rows[i].bytes += s->copies * hone_packed_bytes(&p);
    w->packed_bytes += s->copies * hone_packed_bytes(&p);
    w->quantised = w->quantised || s->kind != &hone_source_plain;
}

static void take_leftover(void *arg, const hone_tensor *t)
{
    note_unused(arg, t->name, "belongs to no matrix: it would not be used");
}

hone_status info_weights_read(const hone_file *f, const info_model *m, info_weights *out)
{
    memset(out, 0, sizeof *out);
    out->model = m;
    hone_source_each(f, take, out);
    return hone_source_leftovers(f, take_leftover, out);
}

hone_status info_weights_print(const info_weights *w)
{
    char bytes[16];
    cli_table *t;
    HONE_TRY(cli_table_open(">matrices,stored as,run as,,>weights,>memory", &t));
    for (size_t i = 0; i < w->n_rows; i++) {
        const info_row *r = &w->rows[i];
        cli_table_cell(t, "%llu", (unsigned long long)r->matrices);
        cli_table_cell(t, "%s", r->stored);
        cli_table_cell(t, "%s", hone_layout_name(r->layout));
        cli_table_cell(t, "%s", r->exact);
        cli_table_cell(t, "%llu", (unsigned long long)r->weights);
        cli_table_cell(t, "%s", cli_format_bytes((double)r->bytes, bytes, sizeof bytes));
    }
    HONE_TRY(cli_table_print(t, stdout));
    for (size_t i = 0; i < w->n_notes; i++)
        printf("note: %s\n", w->notes[i]);
    if (w->unused + w->broken > w->n_notes)
        printf("note: and %llu more like these\n",
               (unsigned long long)(w->unused + w->broken - w->n_notes));
    return HONE_OK;
}

json_t *info_weights_json(const info_weights *w)
{
    json_t *rows = json_array(), *notes = json_array();
    for (size_t i = 0; i < w->n_rows; i++) {
        const info_row *r = &w->rows[i];
        json_array_append_new(rows,
                              json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "stored", r->stored,
                                        "layout", hone_layout_name(r->layout), "exact", r->exact,
                                        "matrices", (json_int_t)r->matrices, "weights",
                                        (json_int_t)r->weights, "bytes", (json_int_t)r->bytes));
    }
    for (size_t i = 0; i < w->n_notes; i++)
        json_array_append_new(notes, json_string(w->notes[i]));
    return json_pack("{s:o, s:o, s:I, s:I}", "rows", rows, "notes", notes, "unused",
                     (json_int_t)w->unused, "broken", (json_int_t)w->broken);
}
