/*
 * status - how every hone function reports failure.
 *
 * A function that can fail returns a hone_status and gives its result through an out-parameter. The
 * text that goes with a failure (what was wrong, where, what to do) is kept per thread until the
 * next failure of that thread; hone_error() reads it. The library never prints and never exits.
 *
 * Threading: everything here is per thread. Ownership: the message belongs to the thread.
 */
#ifndef HONE_BASE_STATUS_H
#define HONE_BASE_STATUS_H

#include <stdarg.h>
#include <stddef.h>

/* X(name, exit code of the command line, what it means) */
#define HONE_STATUS_LIST(X)                                                                        \
    X(OK, 0, "success")                                                                            \
    X(USAGE, 2, "wrong command line or argument")                                                  \
    X(NOT_FOUND, 3, "a file, tensor, key or record does not exist")                                \
    X(PERMISSION, 4, "no permission")                                                              \
    X(FORMAT, 5, "a file is damaged or not what it claims to be")                                  \
    X(UNSUPPORTED, 6, "well-formed, but hone cannot run it yet")                                   \
    X(MEMORY, 7, "out of memory or over a memory bound")                                           \
    X(DISK, 8, "the disk is full or a write failed")                                               \
    X(IO, 9, "a read failed")                                                                      \
    X(DATA, 10, "the input text, tokens or data set cannot be used")                               \
    X(LIMIT, 11, "beyond a limit of the model or the configuration")                               \
    X(GATE, 12, "a quality or regression gate said no")                                            \
    X(BUSY, 13, "locked by another process")                                                       \
    X(INTERRUPTED, 130, "stopped by a signal")                                                     \
    X(INTERNAL, 70, "a fault in hone itself")

typedef enum hone_status {
#define HONE_STATUS_ENUM(name, code, text) HONE_##name,
    HONE_STATUS_LIST(HONE_STATUS_ENUM)
#undef HONE_STATUS_ENUM
        HONE_STATUS_COUNT
} hone_status;

#define HONE_CHECKED      __attribute__((warn_unused_result))
#define HONE_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Name as in the table ("FORMAT"), meaning, and the command line's exit code. */
const char *hone_status_name(hone_status s);
const char *hone_status_text(hone_status s);
int hone_status_exit_code(hone_status s);

/* The calling thread's last message; "" if there was none. Valid until the thread's next failure.
 */
const char *hone_error(void);

/* Tells the compiler (which warns of variables that a failed call left unset) that a failure is
 * one. A macro: clang's analyzer does not look into functions that are called from far within. */
#define hone_failed_(call)                                                                         \
    __extension__({                                                                                \
        hone_status hone_failed_s_ = (call);                                                       \
        hone_failed_s_ == HONE_OK ? HONE_INTERNAL : hone_failed_s_;                                \
    })
hone_status hone_fail_(hone_status s, const char *fmt, ...) HONE_PRINTF(2, 3);
hone_status hone_fail_errno_(int err, const char *fmt, ...) HONE_PRINTF(2, 3);
hone_status hone_fail_in_(hone_status s, const char *fmt, ...) HONE_PRINTF(2, 3);

/* hone_fail(status, format, ...): sets the message and returns the status, so that `return
 * hone_fail(...)` reads well. At most 1023 bytes. */
#define hone_fail(...) hone_failed_(hone_fail_(__VA_ARGS__))

/* hone_fail_errno(errno, format, ...): appends strerror and picks the status that fits (NOT_FOUND,
 * PERMISSION, MEMORY, DISK, IO). */
#define hone_fail_errno(...) hone_failed_(hone_fail_errno_(__VA_ARGS__))

/* hone_fail_in(status, format, ...): puts "<context>: " before the current message, e.g. the file's
 * name. Returns the status. */
#define hone_fail_in(...) hone_failed_(hone_fail_in_(__VA_ARGS__))

/* Forwards a failure to the caller. */
#define HONE_TRY(call)                                                                             \
    do {                                                                                           \
        hone_status hone_try_s_ = (call);                                                          \
        if (hone_try_s_ != HONE_OK)                                                                \
            return hone_try_s_;                                                                    \
    } while (0)

/* Keeps the failure in `s` and jumps to `label` (for functions that clean up). */
#define HONE_GOTO(s, label, call)                                                                  \
    do {                                                                                           \
        (s) = (call);                                                                              \
        if ((s) != HONE_OK)                                                                        \
            goto label;                                                                            \
    } while (0)

#endif
