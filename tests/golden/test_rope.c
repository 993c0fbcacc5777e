// links: model
/* Rotary frequencies and angles against transformers (tests/golden/make_rope.py). */
#include "base/io.h"
#include "base/mem.h"
#include "file/file.h"
#include "model/rope.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../folder.h"

/* The folder's weights are one empty safetensors. */
static void write_folder(const json_t *config)
{
    char *text = json_dumps(config, 0);
    assert_int_equal(hone_write_file(in_folder("config.json"), text, strlen(text)), HONE_OK);
    free(text);
    const char header[] = "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    unsigned char file[8 + sizeof header + 3] = {sizeof header - 1};
    memcpy(file + 8, header, sizeof header - 1);
    assert_int_equal(
        hone_write_file(in_folder("model.safetensors"), file, 8 + sizeof header - 1 + 4), HONE_OK);
}

static void close_to(double a, double b, double tolerance, const char *what, size_t i)
{
    if (!(fabs(a - b) <= tolerance)) {
        print_error("%s[%zu]: %.9g, transformers has %.9g\n", what, i, a, b);
        fail();
    }
}

static void check_case(const json_t *c)
{
    const char *name = json_string_value(json_object_get(c, "name"));
    uint32_t head_dim = (uint32_t)json_integer_value(json_object_get(c, "head_dim"));
    json_t *config = json_object_get(c, "config");
    write_folder(config);
    hone_file *f;
    if (hone_file_open(folder, &f) != HONE_OK)
        fail_msg("%s", hone_error());
    double context = json_number_value(json_object_get(config, "max_position_embeddings"));
    hone_rope_config rc;
    static hone_rope rope;
    if (hone_rope_config_from_hf(f, false, head_dim, context, &rc) != HONE_OK)
        fail_msg("%s: %s", name, hone_error());
    hone_rope_init(&rc, &rope);
    hone_file_close(f);
    assert_int_equal(rope.dim, head_dim);
    close_to((double)rope.magnitude, json_number_value(json_object_get(c, "attention_factor")),
             1e-6, name, 0);
    const json_t *inv = json_object_get(c, "inv_freq");
    assert_int_equal(json_array_size(inv), head_dim / 2);
    for (size_t i = 0; i < head_dim / 2; i++) {
        double want = json_number_value(json_array_get(inv, i));
        close_to((double)rope.inv_freq[i], want, want * 1e-6, name, i);
        rope.inv_freq[i] = (float)want; /* so that angles are compared at equal frequencies */
    }
    float cs[512], sn[512];
    const json_t *positions = json_object_get(c, "positions");
    for (size_t p = 0; p < json_array_size(positions); p++) {
        hone_rope_angles(&rope, (uint32_t)json_integer_value(json_array_get(positions, p)), cs, sn);
        for (size_t i = 0; i < head_dim / 2; i++) {
            close_to(
                (double)cs[i],
                json_number_value(json_array_get(json_array_get(json_object_get(c, "cos"), p), i)),
                2e-7, name, i);
            close_to(
                (double)sn[i],
                json_number_value(json_array_get(json_array_get(json_object_get(c, "sin"), p), i)),
                2e-7, name, i);
        }
    }
}

static void frequencies_and_angles_equal_transformers(void **state)
{
    (void)state;
    json_error_t e;
    json_t *all = json_load_file(HONE_SOURCE_DIR "/tests/golden/data/rope.json", 0, &e);
    assert_non_null(all);
    const json_t *cases = json_object_get(all, "cases");
    assert_true(json_array_size(cases) >= 7);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case(json_array_get(cases, i));
    json_decref(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies_and_angles_equal_transformers),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
