#include "cli/npy.h"

#include <stdio.h>
#include <string.h>

enum { ALIGN = 64, PREAMBLE = 10, HEADER_MAX = 256 };

hone_status cli_npy_header(hone_writer *w, size_t rows, size_t columns)
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are written as they lie");
    char text[HEADER_MAX];
    memcpy(text, "\x93NUMPY\x01\x00", 8);
    int n =
        snprintf(text + PREAMBLE, sizeof text - PREAMBLE,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", rows, columns);
    /* Blanks up to a multiple of 64, the last byte a newline. */
    size_t used = PREAMBLE + (size_t)n, bytes = (used + 1 + ALIGN - 1) / ALIGN * ALIGN;
    memset(text + used, ' ', bytes - used - 1);
    text[bytes - 1] = '\n';
    size_t length = bytes - PREAMBLE;
    text[8] = (char)(length & 0xff);
    text[9] = (char)(length >> 8);
    return hone_writer_write(w, text, bytes);
}
