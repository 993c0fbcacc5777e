/*
 * sysfs - small files of /proc and /sys, read as a whole.
 *
 * Threading: any thread.
 */
#ifndef HONE_HW_SYSFS_H
#define HONE_HW_SYSFS_H

#include <stdbool.h>
#include <stddef.h>

/* Reads root + path (root "": this machine's) into text, without the white space at its end and cut
 * at size. False, and an empty text, if it cannot be read or holds nothing. */
bool hone_sysfs_read(const char *root, const char *path, char *text, size_t size);

#endif
