#include "hw/sysfs.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

bool hone_sysfs_read(const char *root, const char *path, char *text, size_t size)
{
    char full[2048];
    text[0] = 0;
    if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full)
        return false;
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t used = 0;
    for (ssize_t n = 1; n > 0 && used < size - 1;) {
        n = read(fd, text + used, size - 1 - used);
        used += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    while (used && isspace((unsigned char)text[used - 1]))
        used--;
    text[used] = 0;
    return used > 0;
}
