// links: file
/* Any bytes as the name of a file that says it is the first of two parts: it opens if it is named
 * as one and the second is there, and no name does harm. */
#include "base/io.h"
#include "file/file.h"
#include "file/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NAME_MAX_BYTES = 200 };
static char parts[2][256];

static void make_part(uint32_t i)
{
    hone_gguf_writer *w;
    snprintf(parts[i], sizeof parts[i], "%s/m-%05u-of-00002.gguf", folder, i + 1);
    if (hone_gguf_writer_open(parts[i], &w) != HONE_OK ||
        hone_gguf_writer_u32(w, "split.no", i) != HONE_OK ||
        hone_gguf_writer_u32(w, "split.count", 2) != HONE_OK ||
        hone_gguf_writer_commit(w) != HONE_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[256 + NAME_MAX_BYTES];
    hone_file *f;
    if (!parts[0][0]) {
        need_folder();
        make_part(0);
        make_part(1);
    }
    if (size == 0 || size > NAME_MAX_BYTES || memchr(data, 0, size) || memchr(data, '/', size))
        return 0;
    snprintf(path, sizeof path, "%s/%.*s", folder, (int)size, (const char *)data);
    bool own = symlink(parts[0], path) == 0; /* else it is "." or one of the parts */
    hone_status s = hone_file_open(path, &f);
    if (s != HONE_OK && !hone_error()[0])
        abort();
    if (s == HONE_OK && own && hone_file_tensor_count(f) != 0)
        abort();
    hone_file_close(s == HONE_OK ? f : NULL);
    if (own)
        unlink(path);
    return 0;
}
