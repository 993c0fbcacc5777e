// links: model
// corpus: tests/fuzz/corpus/packed
/* The end of a file of packed weights: the input, laid over a sound file's last bytes as what
 * differs in them, first byte: what is cut off. Only an end that is right is believed. */
#include "base/io.h"
#include "base/mem.h"
#include "model/packed_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEY "00112233445566778899aabbccddeeff"
enum { IMAGE = 5000 };
static char *sound;
static size_t sound_bytes;

static void make_sound(void)
{
    static uint8_t image[IMAGE];
    char note[HONE_PACKED_NOTE];
    need_folder();
    hone_packed_cache c = {.folder = folder, .max_bytes = 1 << 20, .min_bytes = 1};
    hone_packed_source source = {.hashed = true};
    hone_packed_writer *w = hone_packed_write(&c, KEY, "m.gguf", &source, image, IMAGE, note);
    if (!w)
        abort();
    hone_packed_write_end(w, NULL, NULL);
    if (hone_read_file(in_folder(KEY ".packed"), 1 << 20, &sound, &sound_bytes) != HONE_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint64_t *checksums;
    size_t bytes, cut = size ? data[0] : 0, n = size ? size - 1 : 0;
    if (!sound)
        make_sound();
    if (n > sound_bytes)
        return 0;
    uint8_t *file = hone_malloc(sound_bytes - cut); /* aligned as a mapping is */
    if (!file)
        return 0;
    memcpy(file, sound, sound_bytes - cut);
    bool same = cut == 0;
    for (size_t i = 0; i < n && i < sound_bytes - cut; i++) {
        file[sound_bytes - cut - 1 - i] ^= data[1 + i];
        same = same && data[1 + i] == 0;
    }
    hone_status s = hone_packed_read_trailer(file, sound_bytes - cut, KEY, &checksums, &bytes);
    if (same ? s != HONE_OK : s == HONE_OK && (cut || bytes != IMAGE))
        abort();
    hone_free(file);
    return 0;
}
