/*
 * npy - writes NumPy's .npy files (format 1.0: numpy.lib.format in NumPy's documentation), float32,
 * two dimensions, C order, little-endian.
 */
#ifndef HONE_CLI_NPY_H
#define HONE_CLI_NPY_H

#include "base/io.h"

/* Writes the header of an array [rows][columns]; rows * columns floats must follow. */
HONE_CHECKED hone_status cli_npy_header(hone_writer *w, size_t rows, size_t columns);

#endif
