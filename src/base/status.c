#include "base/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[1024];

const char *hone_status_name(hone_status s)
{
    static const char *const names[] = {
#define NAME(name, code, text) #name,
        HONE_STATUS_LIST(NAME)
#undef NAME
    };
    return (unsigned)s < HONE_STATUS_COUNT ? names[s] : "?";
}

const char *hone_status_text(hone_status s)
{
    static const char *const texts[] = {
#define TEXT(name, code, text) text,
        HONE_STATUS_LIST(TEXT)
#undef TEXT
    };
    return (unsigned)s < HONE_STATUS_COUNT ? texts[s] : "?";
}

int hone_status_exit_code(hone_status s)
{
    static const int codes[] = {
#define CODE(name, code, text) code,
        HONE_STATUS_LIST(CODE)
#undef CODE
    };
    return (unsigned)s < HONE_STATUS_COUNT ? codes[s] : 70;
}

const char *hone_error(void)
{
    return message;
}

hone_status hone_fail_(hone_status s, const char *fmt, ...)
{
    char text[sizeof message];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(message, text, sizeof message);
    return s;
}

static hone_status status_of_errno(int err)
{
    switch (err) {
    case ENOENT:
    case ENOTDIR:
        return HONE_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return HONE_PERMISSION;
    case ENOMEM:
        return HONE_MEMORY;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return HONE_DISK;
    default:
        return HONE_IO;
    }
}

hone_status hone_fail_errno_(int err, const char *fmt, ...)
{
    char text[sizeof message];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char why[128];
    const char *w = strerror_r(err, why, sizeof why);
    return hone_fail(status_of_errno(err), "%.800s: %s", text, w);
}

hone_status hone_fail_in_(hone_status s, const char *fmt, ...)
{
    char text[512], rest[sizeof message];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(rest, message, sizeof rest);
    snprintf(message, sizeof message, "%.400s: %.600s", text, rest);
    return s;
}
